package cli

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/spf13/cobra"
)

func statusCmd() *cobra.Command {
	f := &nodeFlags{}
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say how the node is",
		Example: `  lamppost status --data ./node
  LAMPPOST_URL=https://node.example:8443 LAMPPOST_TOKEN=… lamppost status --json`,
		Args: cobra.NoArgs,
		RunE: f.run(func(n *remote, _ []string) error {
			var s api.Status
			raw, err := n.get("/api/status", &s)
			if err != nil {
				return err
			}
			return n.show(raw, func(w io.Writer) { printStatus(w, n.url, &s) })
		}),
	}
	return f.add(cmd)
}

func printStatus(w io.Writer, url string, s *api.Status) {
	fact := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-11s %s\n", name+":", printable(fmt.Sprintf(format, args...)))
	}
	fact("Network", "%s, member %s, at %s", s.Network, s.Member, url)
	fact("Engine", "%s (%s), block %d, %d waiting", s.Engine.Engine, s.Engine.Role, s.Engine.Height, s.Engine.Queued)
	if s.Log.Size == 0 {
		fact("Log", "nothing is published yet")
	} else {
		fact("Log", "%d entries, root %.16s…, published %s", s.Log.Size, s.Log.Root, since(s.Log.Published, s.Now))
	}
	fact("Signatures", "%s", verification(&s.Verify))
	t := &s.Totals
	fact("Devices", "%d, %d online", t.Devices, t.DevicesOnline)
	fact("Readings", "%d in %d reports, %s kWh, since %s", t.Readings, t.Reports, t.KWh, when(t.Since))
	if billed := money(t.Billed); billed != "" {
		fact("Billed", "%s", billed)
	}
	var refused []string
	for _, code := range slices.Sorted(maps.Keys(t.Refused)) {
		refused = append(refused, fmt.Sprintf("%d %s", t.Refused[code], code))
	}
	if len(refused) > 0 {
		fact("Not taken", "%s", strings.Join(refused, ", "))
	}
	if s.Speed != 1 {
		fact("Clock", "%s, %g times as fast as ours", when(s.Now), s.Speed)
	}
}

func verification(v *api.Verification) string {
	if v.Policy != lamppost.VerifyGateway.String() {
		return "all checked by every replica"
	}
	s := fmt.Sprintf("checked by gateways; %d checked again here by lot, %d found false", v.Sampled, v.Hits)
	if v.Skipped > 0 {
		s += fmt.Sprintf(", %d drawn and not checked for want of time", v.Skipped)
	}
	return s
}
