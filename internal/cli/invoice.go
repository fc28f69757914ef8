package cli

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"reflect"
	"strconv"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/tariff"
	"github.com/spf13/cobra"
)

func invoiceCmd() *cobra.Command {
	f := &nodeFlags{}
	return f.group("invoice", "Invoices: make, list and show them", `  lamppost invoice create --seller landlord --buyer tenant-3 --currency EUR --from 2026-11-01 --to 2026-12-01
  lamppost invoice list --buyer tenant-3
  lamppost invoice show landlord-000001
  lamppost invoice correct landlord-000001 --cause late`, invoiceCreateCmd(f), invoiceListCmd(f), invoiceShowCmd(f), invoiceCorrectCmd(f))
}

func invoiceCreateCmd(f *nodeFlags) *cobra.Command {
	var seller, buyer, currency, from, to string
	cmd := &cobra.Command{
		Use:   "create --seller PARTY --buyer PARTY --currency EUR --from DATE --to DATE",
		Short: "Make the invoice of a period from signed registers",
		Long: `Make the invoice of everything a seller supplied to a buyer in a period, from the registers that devices signed. A
date is the midnight at which that day begins on the tariff's clock; the end is not part of the period, so November is
--from 2026-11-01 --to 2026-12-01. A period begins where the last invoice ended, and its closing registers must be in.`,
		Example: `  lamppost invoice create --seller landlord --buyer tenant-3 --currency EUR --from 2026-11-01 --to 2026-12-01`,
		Args:    cobra.NoArgs,
		RunE: f.run(func(n *remote, _ []string) error {
			b := lamppost.InvoiceBody{Seller: lamppost.PartyID(seller), Buyer: lamppost.PartyID(buyer), Currency: currency}
			zone, err := n.zoneBetween(b.Seller, b.Buyer)
			if err != nil {
				return err
			}
			if b.From, err = parseInstant(from, zone); err != nil {
				return usage(fmt.Errorf("--from: %w", err))
			}
			if b.To, err = parseInstant(to, zone); err != nil {
				return usage(fmt.Errorf("--to: %w", err))
			}
			var done api.Done
			raw, err := n.post("/api/invoices", b, &done)
			if err != nil {
				return err
			}
			return n.show(raw, func(w io.Writer) {
				if done.Invoice != nil {
					printInvoice(w, &api.Invoice{Invoice: *done.Invoice, Due: done.Invoice.Due(), Height: done.Height}, zone)
				}
			})
		}),
	}
	cmd.Flags().StringVar(&seller, "seller", "", "party that sold")
	cmd.Flags().StringVar(&buyer, "buyer", "", "party that bought")
	cmd.Flags().StringVar(&currency, "currency", "EUR", "ISO 4217")
	cmd.Flags().StringVar(&from, "from", "", "first day, or instant")
	cmd.Flags().StringVar(&to, "to", "", "day after the last, or instant")
	return require(cmd, "seller", "buyer", "from", "to")
}

// zoneBetween is the clock of the tariffs between two parties, or nil where they have none or several.
func (n *remote) zoneBetween(seller, buyer lamppost.PartyID) (*tariff.Zone, error) {
	var agreements api.AgreementList
	if _, err := n.get("/api/agreements", &agreements); err != nil {
		return nil, err
	}
	zones, err := n.zones()
	if err != nil {
		return nil, err
	}
	var zone *tariff.Zone
	for _, a := range agreements.Agreements {
		z := zones[a.Tariff]
		if a.Seller != seller || a.Buyer != buyer || z == nil {
			continue
		}
		if zone != nil && !reflect.DeepEqual(zone, z) {
			return nil, nil
		}
		zone = z
	}
	if zone != nil {
		return zone, nil
	}
	var sessions api.SessionList
	if _, err := n.get("/api/sessions?state=settled", &sessions); err != nil {
		return nil, err
	}
	for i := range sessions.Sessions {
		if s := &sessions.Sessions[i]; s.Seller == seller && s.Buyer == buyer {
			return zones[s.Tariff], nil
		}
	}
	return nil, fmt.Errorf("no agreement and no settled session between seller %q and buyer %q: `lamppost agreement list` and `lamppost session list` show those there are", seller, buyer)
}

func invoiceListCmd(f *nodeFlags) *cobra.Command {
	var buyer, seller string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List invoices, the newest first",
		Example: `  lamppost invoice list
  lamppost invoice list --buyer tenant-3`,
		Args: cobra.NoArgs,
		RunE: f.run(func(n *remote, _ []string) error {
			var all api.InvoiceList
			query := url.Values{"buyer": {buyer}, "seller": {seller}}
			raw, err := n.get("/api/invoices?"+query.Encode(), &all)
			if err != nil {
				return err
			}
			return n.show(raw, func(w io.Writer) {
				t := table{head: []string{"NUMBER", "SELLER", "BUYER", "FROM", "TO", ">NET", ">TOTAL", ">DUE", "", ""}}
				for _, i := range all.Invoices {
					t.add(i.Number, string(i.Seller), string(i.Buyer), when(i.From), when(i.To), i.Net.String(), i.Total.String(), i.Due.String(), i.Currency, replaces(i.Corrects, i.Replaced))
				}
				t.print(w, "No invoices. Make one: lamppost invoice create --seller … --buyer … --from … --to …")
			})
		}),
	}
	cmd.Flags().StringVar(&buyer, "buyer", "", "only of this buyer")
	cmd.Flags().StringVar(&seller, "seller", "", "only of this seller")
	return cmd
}

func invoiceShowCmd(f *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "show NUMBER",
		Short:   "Show an invoice with its lines",
		Example: "  lamppost invoice show landlord-000001",
		Args:    oneArg("the invoice's number, such as landlord-000001"),
		RunE: f.run(func(n *remote, args []string) error {
			var inv api.Invoice
			raw, err := n.get("/api/invoices/"+url.PathEscape(args[0]), &inv)
			if err != nil {
				return err
			}
			zones, err := n.zones()
			if err != nil {
				return err
			}
			var zone *tariff.Zone
			if len(inv.Supplies) > 0 {
				zone = zones[inv.Supplies[0].Tariff]
			}
			return n.show(raw, func(w io.Writer) { printInvoice(w, &inv, zone) })
		}),
	}
}

// causes are the words for them on the command line.
var causes = map[string]lamppost.Cause{"late": lamppost.CauseLate, "substituted": lamppost.CauseSubstituted, "dispute": lamppost.CauseDispute, "terms": lamppost.CauseTerms}

func invoiceCorrectCmd(f *nodeFlags) *cobra.Command {
	var cause, dispute, reason string
	cmd := &cobra.Command{
		Use:   "correct NUMBER --cause late|substituted|terms|dispute [--dispute ID]",
		Short: "Bill a period again with what is known now",
		Long: `Bill again what an invoice billed, with what is known now. The invoice stays as it is; another with the next number replaces it and
claims the difference, which may be a credit. Causes:
  late         a reading came after the bill
  substituted  a reading was replaced by hand (lamppost reading enter)
  terms        a meter, an agreement or its dates were registered late or wrongly
  dispute      the buyer was right: the dispute is upheld by it`,
		Example: `  lamppost invoice correct landlord-000001 --cause late
  lamppost invoice correct landlord-000001 --cause dispute --dispute case-7 --reason "meter replaced"`,
		Args: oneArg("the invoice's number, such as landlord-000001"),
		RunE: f.run(func(n *remote, args []string) error {
			b := lamppost.CorrectBody{Number: args[0], Cause: causes[cause], Dispute: dispute, Reason: reason}
			if b.Cause == 0 {
				return usage(fmt.Errorf("--cause %q: there are late, substituted, terms and dispute", cause))
			}
			if (dispute != "") != (b.Cause == lamppost.CauseDispute) {
				return usage(errors.New("--dispute ID goes with --cause dispute, and the other way round"))
			}
			inv, err := n.invoice(b.Number)
			if err != nil {
				return err
			}
			b.Seller = inv.Seller
			zones, err := n.zones()
			if err != nil {
				return err
			}
			var done api.Done
			raw, err := n.post("/api/corrections", b, &done)
			if err != nil {
				return err
			}
			return n.show(raw, func(w io.Writer) {
				if done.Invoice == nil {
					return
				}
				var zone *tariff.Zone
				if len(inv.Supplies) > 0 {
					zone = zones[inv.Supplies[0].Tariff]
				}
				printInvoice(w, &api.Invoice{Invoice: *done.Invoice, Due: done.Invoice.Due(), Height: done.Height}, zone)
			})
		}),
	}
	cmd.Flags().StringVar(&cause, "cause", "", "late, substituted, terms or dispute")
	cmd.Flags().StringVar(&dispute, "dispute", "", "the dispute that is upheld")
	cmd.Flags().StringVar(&reason, "reason", "", "for the record")
	return require(cmd, "cause")
}

func (n *remote) invoice(number string) (*api.Invoice, error) {
	inv := new(api.Invoice)
	_, err := n.get("/api/invoices/"+url.PathEscape(number), inv)
	return inv, err
}

// replaces says what an invoice replaces and what replaced it.
func replaces(before, after string) string {
	switch {
	case before != "" && after != "":
		return "replaces " + before + ", replaced by " + after
	case before != "":
		return "replaces " + before
	case after != "":
		return "replaced by " + after
	}
	return ""
}

// printInvoice shows an invoice with its period on the clock of its tariff.
func printInvoice(w io.Writer, inv *api.Invoice, zone *tariff.Zone) {
	fmt.Fprintf(w, "Invoice %s from %s to %s\n", printable(inv.Number), named(inv.Seller, inv.SellerName), named(inv.Buyer, inv.BuyerName))
	if c := inv.Corrects; c != nil {
		fmt.Fprintf(w, "It replaces %s (%s), which came to %s %s\n", printable(c.Number), c.Cause, c.Total, inv.Currency)
	}
	if inv.Replaced != "" {
		fmt.Fprintf(w, "It was replaced by %s\n", printable(inv.Replaced))
	}
	for _, id := range inv.FoundSince {
		fmt.Fprintf(w, "Billed before it was found: verdict %s (lamppost verdict show %s). A correction puts it right\n", id, id)
	}
	for i := range inv.Supplies {
		for _, f := range inv.Supplies[i].Findings {
			fmt.Fprintf(w, "Verdict %s on %s (%s) was found %s\n", f.Verdict, inv.Supplies[i].Device, printable(f.Code), f.Answer)
		}
	}
	fmt.Fprintf(w, "%s until %s, issued %s in block %d\n\n", localDate(zone, inv.From), localDate(zone, inv.To), when(inv.Issued), inv.Height)
	t := table{head: []string{">LINE", "WHERE", "DEVICE", "WHAT", ">OPENING", ">CLOSING", ">QUANTITY", "", ">PRICE", ">AMOUNT", ""}}
	for i := range inv.Supplies {
		s := &inv.Supplies[i]
		for j := range s.Lines {
			addLine(&t, s, &s.Lines[j], inv.Currency)
		}
	}
	t.add("", "", "", "net", "", "", "", "", "", inv.Net.String(), inv.Currency)
	for _, x := range inv.Tax {
		rate := lamppost.Dec(int64(x.BasisPoints), -2).String()
		t.add("", "", "", "tax "+x.Category+" "+rate+" % on "+x.Base.String(), "", "", "", "", "", x.Amount.String(), inv.Currency)
	}
	t.add("", "", "", "total", "", "", "", "", "", inv.Total.String(), inv.Currency)
	if inv.Corrects != nil {
		t.add("", "", "", "due", "", "", "", "", "", inv.Due.String(), inv.Currency)
	}
	t.print(w, "")
}

// addLine shows what a line charges. Where a band holds in several stretches, opening and closing are those of the whole
// period, and only the statement has them all.
func addLine(t *table, s *tariff.InvoiceSupply, l *tariff.Line, currency string) {
	where := s.Place
	if where == "" {
		where = s.Point
	}
	note := currency
	if l.Estimated {
		note += " estimated"
	}
	opening, closing, quantity, unit := "", "", "", ""
	switch l.Kind() {
	case tariff.ByDay:
		quantity, unit = strconv.Itoa(int(l.Days)), "days"
	case tariff.ByMinute:
		quantity, unit = strconv.Itoa(int(l.Minutes)), "minutes"
	case tariff.ByPeak:
		quantity, unit = perUnit(s, l.Quantity), s.PerUnit+"/h"
	case tariff.ByUse:
		opening, closing = s.Edges[0].Value.String(), s.Edges[len(s.Edges)-1].Value.String()
		quantity, unit = perUnit(s, l.Quantity), s.PerUnit
	}
	name := lineName(l)
	if what, once := s.Once(); once {
		name = what + ": " + name
	}
	t.add(strconv.Itoa(int(l.N)), where, string(s.Device), name, opening, closing, quantity, unit, l.Price.String(), l.Amount.String(), note)
}

// lineName names a line: a band, block or levy by its own name.
func lineName(l *tariff.Line) string {
	names := map[string]string{tariff.LineStanding: "standing charge", tariff.LineStart: "start", tariff.LineTime: "time", tariff.LineIdle: "time without use",
		tariff.LineMinimum: "to the minimum", tariff.LineMaximum: "over the maximum", tariff.LineSeries: "use at interval prices"}
	name := or(names[l.Band], l.Band)
	if l.Block > 0 {
		name += " " + strconv.Itoa(int(l.Block))
	}
	return name
}

func perUnit(s *tariff.InvoiceSupply, quantity lamppost.Decimal) string {
	quantity.Exponent -= int8(s.Scale)
	return quantity.String()
}

func named(id lamppost.PartyID, name string) string {
	if name == "" {
		return printable(string(id))
	}
	return printable(name + " (" + string(id) + ")")
}
