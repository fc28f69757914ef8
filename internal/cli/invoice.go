package cli

import (
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
  lamppost invoice show landlord-000001`, invoiceCreateCmd(f), invoiceListCmd(f), invoiceShowCmd(f))
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
					printInvoice(w, &api.Invoice{Invoice: *done.Invoice, Height: done.Height}, zone)
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
	if zone == nil {
		return nil, fmt.Errorf("no agreement between seller %q and buyer %q: `lamppost agreement list` shows those there are", seller, buyer)
	}
	return zone, nil
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
				t := table{head: []string{"NUMBER", "SELLER", "BUYER", "FROM", "TO", ">NET", ">TOTAL", ""}}
				for _, i := range all.Invoices {
					t.add(i.Number, string(i.Seller), string(i.Buyer), when(i.From), when(i.To), i.Net.String(), i.Total.String(), i.Currency)
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
			if err != nil || len(inv.Supplies) == 0 {
				return err
			}
			return n.show(raw, func(w io.Writer) { printInvoice(w, &inv, zones[inv.Supplies[0].Tariff]) })
		}),
	}
}

// printInvoice shows an invoice with its period on the clock of its tariff.
func printInvoice(w io.Writer, inv *api.Invoice, zone *tariff.Zone) {
	fmt.Fprintf(w, "Invoice %s from %s to %s\n", printable(inv.Number), named(inv.Seller, inv.SellerName), named(inv.Buyer, inv.BuyerName))
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
	name := l.Band
	if l.Band == tariff.LineStanding {
		name = "standing charge"
	} else if l.Block > 0 {
		name += " " + strconv.Itoa(int(l.Block))
	}
	t.add(strconv.Itoa(int(l.N)), where, string(s.Device), name, opening, closing, quantity, unit, l.Price.String(), l.Amount.String(), note)
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
