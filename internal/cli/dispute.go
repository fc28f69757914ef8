package cli

import (
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/tariff"
	"github.com/spf13/cobra"
)

func disputeCmd() *cobra.Command {
	f := &nodeFlags{}
	return f.group("dispute", "Disputes about invoices: open, end and list them, and hand out evidence", `  lamppost dispute open case-7 --invoice landlord-000001 --line 2 --reason "the flat was empty"
  lamppost dispute evidence case-7 -o case-7.zip
  lamppost dispute reject case-7 --reason "meter tested on 2026-12-09, within its class"
  lamppost dispute list`, disputeOpenCmd(f), disputeEndCmd(f, "reject", "as the seller: the invoice stands", lamppost.DisputeRejected),
		disputeEndCmd(f, "withdraw", "as the buyer", lamppost.DisputeWithdrawn), disputeListCmd(f), disputeEvidenceCmd(f))
}

func disputeOpenCmd(f *nodeFlags) *cobra.Command {
	b := lamppost.DisputeBody{State: lamppost.DisputeOpen}
	var until string
	cmd := &cobra.Command{
		Use:   "open ID --invoice NUMBER --reason TEXT [--line N] [--until DATE]",
		Short: "Dispute an invoice, or a line of it",
		Long: `Dispute an invoice, or a line of it. The invoice stands, and nobody's account changes; but while the dispute is open, all that its
devices reported in the period is kept, whatever the rules of retention say. It ends when the seller corrects the invoice
(lamppost invoice correct NUMBER --cause dispute --dispute ID) or rejects it, or the buyer withdraws it.`,
		Example: `  lamppost dispute open case-7 --invoice landlord-000001 --reason "the flat was empty"
  lamppost dispute open case-8 --invoice landlord-000001 --line 2 --until 2027-01-15 --reason "twice what it was last year"`,
		Args: oneArg("the dispute's id, such as case-7"),
		RunE: f.run(func(n *remote, args []string) error {
			b.ID = args[0]
			inv, err := n.invoice(b.Invoice)
			if err != nil {
				return err
			}
			b.Seller = inv.Seller
			zones, err := n.zones()
			if err != nil {
				return err
			}
			if until != "" {
				var zone *tariff.Zone
				if len(inv.Supplies) > 0 {
					zone = zones[inv.Supplies[0].Tariff]
				}
				if b.Until, err = parseMoment(until, orOnly(zone, zones)); err != nil {
					return usage(fmt.Errorf("--until: %w", err))
				}
			}
			about := "all of invoice " + b.Invoice
			if b.Line != 0 {
				about = fmt.Sprintf("line %d of invoice %s", b.Line, b.Invoice)
			}
			return n.order("/api/disputes", b, fmt.Sprintf("Dispute %s is open, about %s; its evidence is kept: lamppost dispute evidence %s", b.ID, about, b.ID))
		}),
	}
	cmd.Flags().StringVar(&b.Invoice, "invoice", "", "number of the invoice")
	cmd.Flags().Uint32Var(&b.Line, "line", 0, "one of its lines (default: all)")
	cmd.Flags().StringVar(&b.Reason, "reason", "", "what is wrong with it")
	cmd.Flags().StringVar(&until, "until", "", "when the seller must have answered: a date or an instant within 90 days (default: in 30 days)")
	return require(cmd, "invoice", "reason")
}

func disputeEndCmd(f *nodeFlags, verb, as string, state lamppost.DisputeState) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:     verb + " ID --reason TEXT",
		Short:   "End a dispute " + as,
		Example: fmt.Sprintf("  lamppost dispute %s case-7 --reason \"meter tested on 2026-12-09, within its class\"", verb),
		Args:    oneArg("the dispute's id, such as case-7"),
		RunE: f.run(func(n *remote, args []string) error {
			var d api.Dispute
			if _, err := n.get("/api/disputes/"+url.PathEscape(args[0]), &d); err != nil {
				return err
			}
			b := lamppost.DisputeBody{ID: d.ID, Invoice: d.Invoice, State: state, Reason: reason, Seller: d.Seller}
			return n.order("/api/disputes", b, fmt.Sprintf("Dispute %s is %s; invoice %s stands", d.ID, state, d.Invoice))
		}),
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	return require(cmd, "reason")
}

func disputeListCmd(f *nodeFlags) *cobra.Command {
	var status string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List disputes",
		Example: `  lamppost dispute list
  lamppost dispute list --status open`,
		Args: cobra.NoArgs,
		RunE: f.run(func(n *remote, _ []string) error {
			var all api.DisputeList
			raw, err := n.get("/api/disputes?status="+url.QueryEscape(status), &all)
			if err != nil {
				return err
			}
			return n.show(raw, func(w io.Writer) {
				t := table{head: []string{"ID", "INVOICE", ">LINE", "SELLER", "BUYER", ">TOTAL", "", "STATE", "ANSWER BY", "REASON"}}
				for i := range all.Disputes {
					d := &all.Disputes[i]
					line, by, state := "all", when(d.Until), d.Status
					if d.Line != 0 {
						line = fmt.Sprint(d.Line)
					}
					if d.Overdue {
						by += " OVERDUE"
					}
					if d.Replaced != "" {
						state += ", replaced by " + d.Replaced
					}
					t.add(d.ID, d.Invoice, line, string(d.Seller), string(d.Buyer), d.Total.String(), d.Currency, state, by, d.Reason)
				}
				t.print(w, "No disputes.")
			})
		}),
	}
	cmd.Flags().StringVar(&status, "status", "", "only those that are open, rejected, withdrawn or upheld")
	return cmd
}

func disputeEvidenceCmd(f *nodeFlags) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "evidence ID [-o FILE]",
		Short: "Fetch what both sides need to check the disputed bill",
		Long: `Fetch a ZIP with what both sides, or whom they ask, need to check a disputed bill without the node: the buyer's statement, a receipt
for every report of the devices in question, and a README.txt that says how to check them and what they do not show.`,
		Example: `  lamppost dispute evidence case-7 -o case-7.zip`,
		Args:    oneArg("the dispute's id, such as case-7"),
		RunE: f.run(func(n *remote, args []string) error {
			raw, err := n.ask(http.MethodGet, "/api/disputes/"+url.PathEscape(args[0])+"/evidence", nil)
			if err != nil {
				return err
			}
			file = or(file, "evidence-"+args[0]+".zip")
			return writeOut(n.out, file, raw, fmt.Sprintf("Evidence written to %s. Unpack it; README.txt in it says how to check it.", file))
		}),
	}
	cmd.Flags().StringVarP(&file, "output", "o", "", "file to write; - is the standard output (default evidence-ID.zip)")
	return cmd
}
