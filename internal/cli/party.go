package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/tariff"
	"github.com/spf13/cobra"
)

func partyCmd() *cobra.Command {
	f := &nodeFlags{}
	return f.group("party", "Who sells and buys: add and list parties", `  lamppost party add landlord --name "Lena Landlord" --data ./node
  lamppost party list --data ./node`, partyAddCmd(f), partyListCmd(f), partyCreditCmd(f), partyOutlookCmd(f), partyBudgetsCmd(f), partyConvertCmd(f))
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

func partyCreditCmd(f *nodeFlags) *cobra.Command {
	var b lamppost.CreditBody
	var limit string
	cmd := &cobra.Command{
		Use:   "credit PARTY --limit AMOUNT",
		Short: "Change a party's credit limit",
		Long: `Change how far below zero a party's accounts may go by transfers and for sessions. What it owes and what is held already stays, also
where that is more: sessions go on, and the next transfer or session has to fit.`,
		Example: `  lamppost party credit tenant-3 --limit 800.00 --reason "deposit raised"
  lamppost party credit tenant-3 --limit 0`,
		Args: oneArg("the party's id, such as tenant-3"),
		RunE: f.run(func(n *remote, args []string) (err error) {
			b.Party = lamppost.PartyID(args[0])
			if b.Limit, err = lamppost.ParseMicro(limit); err != nil {
				return usage(fmt.Errorf("--limit: %w: write it like 500.00", err))
			}
			return n.order("/api/credits", b, fmt.Sprintf("The credit limit of %s is %s", b.Party, b.Limit))
		}),
	}
	cmd.Flags().StringVar(&limit, "limit", "", "how far below zero its accounts may go, such as 500.00")
	cmd.Flags().StringVar(&b.Reason, "reason", "", "why, for the log")
	return require(cmd, "limit")
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
	balances, held := map[lamppost.PartyID][]string{}, map[lamppost.PartyID][]string{}
	for _, a := range accounts.Accounts {
		balances[a.Party] = append(balances[a.Party], a.Balance.String()+" "+a.Currency)
		if a.Held != 0 {
			held[a.Party] = append(held[a.Party], a.Held.String()+" "+a.Currency)
		}
	}
	t := table{head: []string{"ID", "NAME", ">CREDIT LIMIT", ">BALANCE", ">HELD FOR SESSIONS"}}
	for _, p := range parties.Parties {
		t.add(string(p.ID), p.Name, p.CreditLimit.String(), strings.Join(balances[p.ID], ", "), strings.Join(held[p.ID], ", "))
	}
	t.print(w, "No parties yet. Add one: lamppost party add ID --name NAME")
}

func partyConvertCmd(f *nodeFlags) *cobra.Command {
	var b lamppost.ConvertBody
	var with, amount, rate, at string
	cmd := &cobra.Command{
		Use:   "convert PARTY --with PARTY --amount AMOUNT --from EUR --to USD --rate RATE --source TEXT",
		Short: "Exchange a party's claim for one in another currency",
		Long: `Exchange a party's claim for one in another currency at a rate that both sides agreed on: the party gives the amount, the other
side takes it and gives what it comes to, rounded half up. No account falls below its credit limit by it.`,
		Example: `  lamppost party convert tenant-3 --with bank --amount 100.00 --from EUR --to USD --rate 1.0837 --source "ECB reference rate" --at 2026-11-24`,
		Args:    oneArg("the party that gives, such as tenant-3"),
		RunE: f.run(func(n *remote, args []string) (err error) {
			b.Party, b.With = lamppost.PartyID(args[0]), lamppost.PartyID(with)
			if b.Amount, err = lamppost.ParseMicro(amount); err != nil {
				return usage(fmt.Errorf("--amount: %w: write it like 12.34", err))
			}
			if b.Rate, err = lamppost.ParseDecimal(rate); err != nil {
				return usage(fmt.Errorf("--rate: %w: write it like 1.0837", err))
			}
			if b.RateTime, err = n.moment(at, &tariff.Zone{}); err != nil {
				return usage(fmt.Errorf("--at: %w", err))
			}
			return n.order("/api/conversions", b, fmt.Sprintf("%s gave %s %s to %s for %s at %s", b.Party, b.Amount, b.From, b.With, b.To, b.Rate))
		}),
	}
	cmd.Flags().StringVar(&with, "with", "", "the other side")
	cmd.Flags().StringVar(&amount, "amount", "", "that is given, such as 12.34")
	cmd.Flags().StringVar(&b.From, "from", "", "its currency, ISO 4217")
	cmd.Flags().StringVar(&b.To, "to", "", "currency that is got")
	cmd.Flags().StringVar(&rate, "rate", "", "of the second for one of the first")
	cmd.Flags().StringVar(&b.Source, "source", "", "where the rate is from")
	cmd.Flags().StringVar(&at, "at", "now", "when it was the rate: a date (UTC), an instant, or now")
	return require(cmd, "with", "amount", "from", "to", "rate", "source")
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

// twoArgs names the two arguments of a verb.
func twoArgs(first, second string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 2 {
			return usage(fmt.Errorf("%s takes two arguments, %s, and %s; got %d", cmd.CommandPath(), first, second, len(args)))
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
