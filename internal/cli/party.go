package cli

import (
	"fmt"
	"io"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/spf13/cobra"
)

func partyCmd() *cobra.Command {
	f := &nodeFlags{}
	return f.group("party", "Who sells and buys: add and list parties", `  lamppost party add landlord --name "Lena Landlord" --data ./node
  lamppost party list --data ./node`, partyAddCmd(f), partyListCmd(f))
}

func partyAddCmd(f *nodeFlags) *cobra.Command {
	var name, limit string
	cmd := &cobra.Command{
		Use:   "add ID --name NAME",
		Short: "Register a person or an organisation",
		Example: `  lamppost party add landlord --name "Lena Landlord"
  lamppost party add tenant-3 --name "Tom Tenant" --credit-limit 500.00`,
		Args: oneArg("the party's id, such as tenant-3"),
		RunE: f.run(func(n *remote, args []string) error {
			credit, err := lamppost.ParseMicro(limit)
			if err != nil {
				return usage(fmt.Errorf("--credit-limit: %w: write it like 500.00", err))
			}
			body := lamppost.PartyBody{ID: lamppost.PartyID(args[0]), Name: name, CreditLimit: credit}
			return n.order("/api/parties", body, fmt.Sprintf("Party %s is registered", args[0]))
		}),
	}
	cmd.Flags().StringVar(&name, "name", "", "name for bills")
	cmd.Flags().StringVar(&limit, "credit-limit", "0", "how far below zero its accounts may go by transfers")
	return cmd
}

func partyListCmd(f *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List parties with their balances",
		Example: "  lamppost party list",
		Args:    cobra.NoArgs,
		RunE: f.run(func(n *remote, _ []string) error {
			var parties api.PartyList
			raw, err := n.get("/api/parties", &parties)
			if err != nil {
				return err
			}
			var accounts api.AccountList
			if _, err := n.get("/api/accounts", &accounts); err != nil {
				return err
			}
			return n.show(raw, func(w io.Writer) { printParties(w, parties, accounts) })
		}),
	}
}

func printParties(w io.Writer, parties api.PartyList, accounts api.AccountList) {
	balances := map[lamppost.PartyID]string{}
	for _, a := range accounts.Accounts {
		if balances[a.Party] != "" {
			balances[a.Party] += ", "
		}
		balances[a.Party] += a.Balance.String() + " " + a.Currency
	}
	t := table{head: []string{"ID", "NAME", ">CREDIT LIMIT", ">BALANCE"}}
	for _, p := range parties.Parties {
		t.add(string(p.ID), p.Name, p.CreditLimit.String(), balances[p.ID])
	}
	t.print(w, "No parties yet. Add one: lamppost party add ID --name NAME")
}

// oneArg takes exactly one argument and says what it should be.
func oneArg(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usage(fmt.Errorf("%s takes one argument, %s; got %d", cmd.CommandPath(), what, len(args)))
		}
		return nil
	}
}

// require marks flags without which a verb makes no sense.
func require(cmd *cobra.Command, names ...string) *cobra.Command {
	for _, name := range names {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // no such flag: a mistake of ours
		}
	}
	return cmd
}

func transferCmd() *cobra.Command {
	f := &nodeFlags{}
	var from, to, amount, currency, memo string
	cmd := &cobra.Command{
		Use:   "transfer --from PARTY --to PARTY --amount AMOUNT --currency EUR",
		Short: "Record a payment: move a claim from one account to another",
		Long: `Record a payment that a bank or a provider reported: it moves a claim from one account to another. Lamppost keeps
claims, not money; no account falls below its credit limit by a transfer. When a buyer has paid an invoice, the seller's claim goes
back to the buyer's account, with the invoice's number as the first word of the memo; lamppost payment match does that from a
bank's statement.`,
		Example: `  lamppost transfer --from landlord --to tenant-3 --amount 12.34 --currency EUR --memo landlord-000001`,
		Args:    cobra.NoArgs,
		RunE: f.run(func(n *remote, _ []string) error {
			value, err := lamppost.ParseMicro(amount)
			if err != nil {
				return usage(fmt.Errorf("--amount: %w: write it like 12.34", err))
			}
			body := lamppost.TransferBody{From: lamppost.PartyID(from), To: lamppost.PartyID(to), Currency: currency, Amount: value, Memo: memo}
			return n.order("/api/transfers", body, fmt.Sprintf("%s %s moved from %s to %s", value, currency, from, to))
		}),
	}
	cmd.Flags().StringVar(&from, "from", "", "party or device whose claim it was")
	cmd.Flags().StringVar(&to, "to", "", "party or device whose claim it is now")
	cmd.Flags().StringVar(&amount, "amount", "", "in major units, such as 12.34")
	cmd.Flags().StringVar(&currency, "currency", "", "ISO 4217, such as EUR")
	cmd.Flags().StringVar(&memo, "memo", "", "what for")
	return f.add(require(cmd, "from", "to", "amount", "currency"))
}
