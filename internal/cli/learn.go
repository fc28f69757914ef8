package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/federate"
)

func learnCmd() *cobra.Command {
	f := &nodeFlags{}
	return f.group("learn", "What members learn together without showing readings: status", "  lamppost learn status --data ./node", learnStatusCmd(f))
}

func learnStatusCmd(f *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "The rounds, who took part, who was left out and why, and how good it is",
		Long: `Show the models that members learn together, each a regression for so many steps ahead, with the latest round of each: who took part, for
which member, how much each counts, who was left out and why, and what each says its own last days were missed by before and after (docs/learning.md). Any member
shows the same hash: each has merged what stands on the ledger for itself.`,
		Example: `  lamppost learn status --data ./node
  lamppost learn status --json`,
		Args: cobra.NoArgs,
		RunE: f.run(func(n *remote, _ []string) error {
			var list api.SharedModelList
			raw, err := n.get("/api/learn", &list)
			if err != nil {
				return err
			}
			return n.show(raw, func(w io.Writer) { printLearning(w, list.Models) })
		}),
	}
}

func printLearning(w io.Writer, models []api.SharedModel) {
	if len(models) == 0 {
		fmt.Fprintln(w, "Nothing is learnt together. A member takes part by learn: in its configuration (docs/learning.md).")
	}
	for i := range models {
		m := &models[i]
		fmt.Fprintf(w, "%s: ", m.Model)
		if len(m.Rounds) == 0 {
			fmt.Fprint(w, "no round was merged yet")
		} else {
			r := &m.Rounds[0]
			fmt.Fprintf(w, "round %d until %s, %d rows, model %.8x", r.Round, when(r.Until), r.Rows, r.Hash[:])
			switch {
			case r.Members == 1:
				fmt.Fprint(w, ", of one member: its gateways were held against each other")
			case r.Members < federate.MinMembers:
				fmt.Fprintf(w, ", of %d members: too few to tell who lies, and none counts more than %d times the other if that harms it", r.Members, federate.MaxTimes)
			default:
				fmt.Fprintf(w, ", of %d members", r.Members)
			}
			if r.Stale > 0 {
				fmt.Fprintf(w, ", %d updates of another base not merged", r.Stale)
			}
		}
		if len(m.Open) > 0 {
			fmt.Fprintf(w, "; for the open round: %s", strings.Join(m.Open, ", "))
		}
		fmt.Fprintln(w)
		if len(m.Rounds) > 0 {
			printRound(w, &m.Rounds[0])
		}
	}
}

func printRound(w io.Writer, r *api.SharedRound) {
	t := table{head: []string{"  BY", "FOR", ">ROWS", ">DEVICES", ">SHARE", ">WOULD RAISE", ">BEFORE", ">AFTER", "LEFT OUT"}}
	for i := range r.Updates {
		u := &r.Updates[i]
		t.add("  "+u.By, u.Member, fmt.Sprint(u.Rows), fmt.Sprint(u.Devices), fmt.Sprintf("%.1f %%", 100*u.Share), fmt.Sprintf("%.1f %%", 100*u.Rise),
			u.Before.String(), u.After.String(), u.Why)
	}
	t.print(w, "")
}
