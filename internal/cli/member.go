package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/network"
)

func memberCmd() *cobra.Command {
	f := &nodeFlags{}
	return f.group("member", "Who orders the network's transactions: list, let in, take out", `  lamppost member list --data ./node
  lamppost member add west.yaml --data ./node
  lamppost member agree --data ./node`, memberListCmd(f), memberAddCmd(f), memberRemoveCmd(f), memberAgreeCmd(f))
}

func memberListCmd(f *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the members, and what is proposed",
		Example: "  lamppost member list",
		Args:    cobra.NoArgs,
		RunE: f.run(func(n *remote, _ []string) error {
			var net api.Network
			raw, err := n.get("/api/network", &net)
			if err != nil {
				return err
			}
			return n.show(raw, func(w io.Writer) { printMembers(w, &net) })
		}),
	}
}

func printMembers(w io.Writer, net *api.Network) {
	fmt.Fprintf(w, "Network %s, ordered by %s. A change needs the word of %d of %d members.\n\n", net.Network, net.Engine, net.Consent, len(net.Members))
	t := table{head: []string{"ID", "ORGANISATION", "ADDRESS", "HTTP"}}
	for _, m := range net.Members {
		t.add(string(m.ID), m.Org, m.Address, m.URL)
	}
	t.print(w, "No members.")
	for _, c := range net.Changes {
		fmt.Fprintf(w, "\nProposed by %s: %s. Who agrees says: lamppost member agree\n", idsOf(c.By), changeWords(net, &c.NetworkBody))
	}
}

func idsOf(ids []lamppost.MemberID) string {
	var texts []string
	for _, id := range ids {
		texts = append(texts, string(id))
	}
	return strings.Join(texts, ", ")
}

// changeWords says what a change would do.
func changeWords(net *api.Network, b *lamppost.NetworkBody) string {
	var words []string
	has := func(all []lamppost.Member, id lamppost.MemberID) bool {
		return slices.ContainsFunc(all, func(m lamppost.Member) bool { return m.ID == id })
	}
	for _, m := range b.Members {
		if !has(net.Members, m.ID) {
			words = append(words, fmt.Sprintf("%s (%s, at %s) comes", m.ID, orDash(m.Org), orDash(m.Address)))
		}
	}
	for _, m := range net.Members {
		if !has(b.Members, m.ID) {
			words = append(words, fmt.Sprintf("%s goes", m.ID))
		}
	}
	if b.From > 0 {
		words = append(words, fmt.Sprintf("rules version %d from block %d", b.Rules, b.From))
	}
	if len(words) == 0 {
		return "other addresses"
	}
	return strings.Join(words, "; ")
}

func orDash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}

func memberAddCmd(f *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "add CARD",
		Short: "Let a member in, or change its addresses",
		Long: `Order that a member comes in, by its card, which lamppost init member wrote; or that one which is there has other addresses. It counts
when enough members have ordered the same: at the others, lamppost member agree. The new member starts with the network's
file in its folder and takes part as soon as it counts.`,
		Example: `  lamppost member add west.yaml --data ./node`,
		Args:    oneArg("the member's card, such as west.yaml"),
		RunE: f.run(func(n *remote, args []string) error {
			card, err := network.ReadMember(args[0])
			if err == nil && card == nil {
				err = fmt.Errorf("card %q is not there: lamppost init member makes it", args[0])
			}
			if err != nil {
				return usage(err)
			}
			m, err := card.Ledger()
			if err != nil {
				return usage(err)
			}
			return changeMembers(n, func(members []lamppost.Member) ([]lamppost.Member, error) {
				if i := slices.IndexFunc(members, func(o lamppost.Member) bool { return o.ID == m.ID }); i >= 0 {
					members[i] = m
					return members, nil
				}
				return append(members, m), nil
			})
		}),
	}
}

func memberRemoveCmd(f *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "remove ID",
		Short: "Take a member out",
		Long: `Order that a member goes. It counts when enough members have ordered the same: at the others, lamppost member agree. What it signed
stays valid; from then on it signs nothing, and the gateways it answers for neither. Its id is never given again: a machine that lost its
disk comes back as a new member.`,
		Example: `  lamppost member remove south --data ./node`,
		Args:    oneArg("the member's id"),
		RunE: f.run(func(n *remote, args []string) error {
			return changeMembers(n, func(members []lamppost.Member) ([]lamppost.Member, error) {
				i := slices.IndexFunc(members, func(m lamppost.Member) bool { return string(m.ID) == args[0] })
				if i < 0 {
					return nil, usage(fmt.Errorf("%q is no member: lamppost member list shows them", args[0]))
				}
				return slices.Delete(members, i, i+1), nil
			})
		}),
	}
}

func memberAgreeCmd(f *nodeFlags) *cobra.Command {
	var with string
	cmd := &cobra.Command{
		Use:   "agree [--with MEMBER]",
		Short: "Order what another member has proposed",
		Example: `  lamppost member list --data ./node      # says what that is
  lamppost member agree --data ./node`,
		Args: cobra.NoArgs,
		RunE: f.run(func(n *remote, _ []string) error {
			var net api.Network
			if _, err := n.get("/api/network", &net); err != nil {
				return err
			}
			var found []api.Change
			for _, c := range net.Changes {
				if with == "" || slices.Contains(c.By, lamppost.MemberID(with)) {
					found = append(found, c)
				}
			}
			switch len(found) {
			case 0:
				return &ExitError{ExitFailed, fmt.Errorf("nothing is proposed: lamppost member list shows what is")}
			case 1:
				return orderChange(n, &net, found[0].NetworkBody)
			}
			return usage(fmt.Errorf("%d changes are proposed: say whose by --with MEMBER; lamppost member list shows them", len(found)))
		}),
	}
	cmd.Flags().StringVar(&with, "with", "", "the member whose proposal it is, where there are several")
	return cmd
}

// changeMembers orders the network as it is but for its members.
func changeMembers(n *remote, change func([]lamppost.Member) ([]lamppost.Member, error)) error {
	var net api.Network
	if _, err := n.get("/api/network", &net); err != nil {
		return err
	}
	members, err := change(slices.Clone(net.Members))
	if err != nil {
		return err
	}
	return orderChange(n, &net, lamppost.NetworkBody{After: net.Changed, Members: members, Rules: net.Rules})
}

func orderChange(n *remote, net *api.Network, b lamppost.NetworkBody) error {
	var done api.Done
	raw, err := n.post("/api/network", b, &done)
	if err != nil {
		return err
	}
	return n.show(raw, func(w io.Writer) {
		fmt.Fprintf(w, "%s: %d of %d members have ordered it", changeWords(net, &b), done.Have, done.Need)
		if done.Have >= done.Need {
			fmt.Fprintf(w, ". It counts from block %d on.\n", done.Height)
		} else {
			fmt.Fprintf(w, ". It counts when enough have: lamppost member agree, at the others.\n")
		}
	})
}
