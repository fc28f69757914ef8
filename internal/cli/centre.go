package cli

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/tariff"
	"github.com/spf13/cobra"
)

func centreCmd() *cobra.Command {
	f := &nodeFlags{}
	return f.group("centre", "Devices as profit centres: shares, costs, limits, payouts, books", `  lamppost centre set lamp-7 --share ann=30 --energy feed/spot --limit 20.00/1d
  lamppost centre show lamp-7
  lamppost centre payout lamp-7
  lamppost centre books lamp-7`, centreSetCmd(f), centreListCmd(f), centreShowCmd(f), centrePayoutCmd(f), centreBooksCmd(f))
}

func centreSetCmd(f *nodeFlags) *cobra.Command {
	b := lamppost.CentreBody{}
	var shares, service, depreciation []string
	var whole uint32
	var energy, limit, from string
	cmd := &cobra.Command{
		Use:   "set DEVICE [--share PARTY=PARTS]… [--of N] [--energy POINT/TARIFF] [--service COST]… [--depreciation COST]… [--limit AMOUNT/DAYS] [--from TIME]",
		Short: "Make a device a profit centre, or change its terms",
		Long: `Make a device a profit centre: say who shares in its profit, what its own energy is priced by, which costs are declared, and how much
it may spend by itself. Parts are out of --of, and what nobody else has is the owner's. A cost is AMOUNT/FROM/TO and falls evenly on that
time; COST takes a text after a last slash, and its dates begin at midnight UTC. What is said holds in whole from --from on, which is a quarter hour and not in the past, and
replaces what was said before; close the books until then first.`,
		Example: `  lamppost centre set lamp-7 --share ann=30 --energy feed/spot --service 120.00/2027-01-01/2028-01-01/cleaning
  lamppost centre set lamp-7 --share ann=1 --share bob=1 --of 3 --depreciation 900.00/2027-01-01/2037-01-01
  lamppost centre set robot-1 --limit 20.00/1d`,
		Args: oneArg("the device's id, such as lamp-7"),
		RunE: f.run(func(n *remote, args []string) (err error) {
			b.Device = lamppost.DeviceID(args[0])
			var d api.DeviceDetail
			if _, err := n.get("/api/devices/"+url.PathEscape(args[0]), &d); err != nil {
				return err
			}
			if b.Shares, err = parseShares(shares, whole, d.Owner); err != nil {
				return usage(fmt.Errorf("--share: %w", err))
			}
			if b.Point, b.Tariff, err = parsePair(energy); err != nil {
				return usage(fmt.Errorf("--energy: %w", err))
			}
			for kind, costs := range [...][]string{lamppost.CostService: service, lamppost.CostDepreciation: depreciation} {
				for _, text := range costs {
					c, err := parseCost(text)
					if err != nil {
						return usage(fmt.Errorf("--%s: %w", lamppost.CostKind(kind), err))
					}
					c.Kind = lamppost.CostKind(kind)
					b.Costs = append(b.Costs, c)
				}
			}
			if b.Limit, b.LimitDays, err = parseLimit(limit); err != nil {
				return usage(fmt.Errorf("--limit: %w", err))
			}
			if from != "" {
				if b.From, err = parseInstant(from, &utcClock); err != nil {
					return usage(fmt.Errorf("--from: %w", err))
				}
			}
			return n.order("/api/centres", b, fmt.Sprintf("%s keeps its own books, as said, from the next quarter hour or --from on", b.Device))
		}),
	}
	cmd.Flags().StringArrayVar(&shares, "share", nil, "PARTY=PARTS of the profit; once for each investor")
	cmd.Flags().Uint32Var(&whole, "of", 100, "how many parts the whole has")
	cmd.Flags().StringVar(&b.Currency, "currency", "EUR", "ISO 4217")
	cmd.Flags().StringVar(&energy, "energy", "", "POINT/TARIFF: what the device's own energy is metered and priced by, where no agreement bills it")
	cmd.Flags().StringArrayVar(&service, "service", nil, "AMOUNT/FROM/TO[/TEXT]: cleaning, repair, insurance, rent")
	cmd.Flags().StringArrayVar(&depreciation, "depreciation", nil, "AMOUNT/FROM/TO[/TEXT]: what it was bought for less what it will be sold for, over its life")
	cmd.Flags().StringVar(&limit, "limit", "", "AMOUNT/DAYS: the most that it may agree to spend, before tax, such as 20.00/1d; without it, nothing")
	cmd.Flags().StringVar(&from, "from", "", "when the terms begin: an instant (default: the next quarter hour)")
	return cmd
}

// utcClock is the clock of devices' books: a device may sell under tariffs of several.
var utcClock = tariff.Zone{Name: "UTC"}

// parseShares reads PARTY=PARTS, and gives the owner what is left of the whole.
func parseShares(texts []string, whole uint32, owner lamppost.PartyID) (all []lamppost.Share, err error) {
	left := int64(whole)
	own := true
	for _, text := range texts {
		party, parts, _ := strings.Cut(text, "=")
		n, err := strconv.ParseUint(parts, 10, 32)
		if err != nil || n == 0 {
			return nil, fmt.Errorf("%q: write it like ann=30", text)
		}
		left -= int64(n)
		own = own && party != string(owner)
		all = append(all, lamppost.Share{Party: lamppost.PartyID(party), Parts: uint32(n)})
	}
	switch {
	case left < 0 || left > 0 && !own:
		return nil, fmt.Errorf("the parts are not %d together: --of says how many the whole has", whole)
	case left > 0:
		all = append([]lamppost.Share{{Party: owner, Parts: uint32(left)}}, all...)
	}
	return all, nil
}

func parsePair(text string) (point, terms string, err error) {
	point, terms, ok := strings.Cut(text, "/")
	if text != "" && !ok {
		return "", "", fmt.Errorf("%q: write it like feed/spot, a metering point and a tariff", text)
	}
	return point, terms, nil
}

func parseCost(text string) (c lamppost.Cost, err error) {
	parts := strings.SplitN(text, "/", 4)
	if len(parts) < 3 {
		return c, fmt.Errorf("%q: write it like 120.00/2027-01-01/2028-01-01/cleaning", text)
	}
	if c.Amount, err = lamppost.ParseMicro(parts[0]); err != nil {
		return c, err
	}
	if c.From, err = parseInstant(parts[1], &utcClock); err != nil {
		return c, err
	}
	if c.To, err = parseInstant(parts[2], &utcClock); err != nil {
		return c, err
	}
	c.Text = strings.Join(parts[3:], "")
	return c, nil
}

func parseLimit(text string) (amount lamppost.Micro, days uint32, err error) {
	if text == "" {
		return 0, 0, nil
	}
	money, span, ok := strings.Cut(text, "/")
	if amount, err = lamppost.ParseMicro(money); err != nil {
		return 0, 0, err
	}
	n, err := strconv.ParseUint(strings.TrimSuffix(span, "d"), 10, 32)
	if !ok || err != nil {
		return 0, 0, fmt.Errorf("%q: write it like 20.00/1d, an amount and a number of days", text)
	}
	return amount, uint32(n), nil
}

func centreListCmd(f *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the devices that keep books, and how they stand",
		Example: `  lamppost centre list`,
		Args:    cobra.NoArgs,
		RunE: f.run(func(n *remote, _ []string) error {
			var all api.CentreList
			raw, err := n.get("/api/centres", &all)
			if err != nil {
				return err
			}
			return n.show(raw, func(w io.Writer) {
				t := table{head: []string{"DEVICE", "OWNER", "CLOSED UNTIL", ">LOSS", ">PROFIT SINCE", ">BALANCE", "", "MAY SPEND"}}
				for i := range all.Centres {
					c := &all.Centres[i]
					profit, spend := "-", "nothing"
					if c.Open != nil {
						profit = c.Open.Profit.String()
					}
					if x := c.Spending; x != nil {
						spend = fmt.Sprintf("%s of %s", max(0, x.Limit-x.Spent-x.Held), x.Limit)
					}
					t.add(string(c.Device), string(c.Owner), seconds(nil, c.Closed), c.Loss.String(), profit, c.Balance.String(), c.Currency, spend)
				}
				t.print(w, "No device keeps books. Make one a profit centre: lamppost centre set DEVICE …")
			})
		}),
	}
}

func centreShowCmd(f *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "show DEVICE",
		Short: "Show a device's profit and loss",
		Long: `Show what a device earned and cost, period by period as they were closed, and what it has since as far as that is known. The file of
` + "`lamppost centre books`" + ` proves the closed ones.`,
		Example: `  lamppost centre show lamp-7`,
		Args:    oneArg("the device's id, such as lamp-7"),
		RunE: f.run(func(n *remote, args []string) error {
			var c api.Centre
			raw, err := n.get("/api/centres/"+url.PathEscape(args[0]), &c)
			if err != nil {
				return err
			}
			return n.show(raw, func(w io.Writer) { printCentre(w, &c) })
		}),
	}
}

func printCentre(w io.Writer, c *api.Centre) {
	now := &c.Terms[len(c.Terms)-1]
	var shares []string
	for _, s := range now.Shares {
		shares = append(shares, fmt.Sprintf("%s %d", s.Party, s.Parts))
	}
	fmt.Fprintf(w, "%s of %s, shares: %s\n", c.Device, c.Owner, strings.Join(shares, ", "))
	if x := c.Spending; x != nil {
		fmt.Fprintf(w, "may spend %s %s until %s, has spent %s and holds %s\n", x.Limit, c.Currency, seconds(nil, x.To), x.Spent, x.Held)
	}
	fmt.Fprintln(w)
	t := table{head: []string{"FROM", "TO", ">INCOME", ">BOUGHT", ">ENERGY", ">SERVICE", ">DEPRECIATION", ">PROFIT", ">BEFORE", "PAID"}}
	add := func(p *api.Period, open string) {
		paid := []string{}
		for _, x := range p.Paid {
			paid = append(paid, fmt.Sprintf("%s %s", x.Party, x.Amount))
		}
		t.add(seconds(nil, p.From), seconds(nil, p.To), p.Income.String(), p.Bought.String(), p.Energy.String(), p.Service.String(), p.Depreciation.String(), p.Profit.String(), p.Before.String(),
			cmp.Or(open, strings.Join(paid, ", ")))
	}
	for i := range c.Periods {
		add(&c.Periods[i], "")
	}
	if c.Open != nil {
		add(c.Open, "not closed yet")
	}
	t.print(w, "Nothing is known yet.")
}

func centrePayoutCmd(f *nodeFlags) *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use:   "payout DEVICE [--to TIME]",
		Short: "Close a period of a device's books and pay out its profit",
		Long: `Close a device's books from where they were closed last up to a quarter hour, and pay what it has earned to those who share in it, to the last
cent and once. A loss is paid by nobody: it is carried on, and later profits make it up first. Invoices count when they were issued.`,
		Example: `  lamppost centre payout lamp-7
  lamppost centre payout lamp-7 --to 2027-02-01`,
		Args: oneArg("the device's id, such as lamp-7"),
		RunE: f.run(func(n *remote, args []string) (err error) {
			var b api.Payout
			if to != "" {
				if b.To, err = parseInstant(to, &utcClock); err != nil {
					return usage(fmt.Errorf("--to: %w", err))
				}
			}
			var done api.Done
			raw, err := n.post("/api/centres/"+url.PathEscape(args[0])+"/payout", b, &done)
			if err != nil {
				return err
			}
			return n.show(raw, func(w io.Writer) {
				p := done.Period
				if p == nil {
					return
				}
				fmt.Fprintf(w, "The books of %s are closed until %s: profit %s, losses before %s (block %d)\n", args[0], seconds(nil, p.To), p.Profit, p.Before, done.Height)
				for _, x := range p.Paid {
					fmt.Fprintf(w, "paid to %s: %s\n", x.Party, x.Amount)
				}
			})
		}),
	}
	cmd.Flags().StringVar(&to, "to", "", "an instant (default: as far as everything is known)")
	return cmd
}

func centreBooksCmd(f *nodeFlags) *cobra.Command {
	var d delivery
	cmd := &cobra.Command{
		Use:   "books DEVICE [-o FILE]",
		Short: "Fetch a device's profit-and-loss statement, with its proof",
		Long: `Fetch the books of a device: every period that was closed, with the proof of every figure of it. Whoever gets the file checks it offline, as a
statement. It shows the invoices that the income is made of in full, with the customers' readings: it is for the owner and who checks for him.`,
		Example: `  lamppost centre books lamp-7
  lamppost centre books lamp-7 -o - | less`,
		Args: oneArg("the device's id, such as lamp-7"),
		RunE: f.run(func(n *remote, args []string) error {
			raw, err := n.ask(http.MethodGet, "/api/centres/"+url.PathEscape(args[0])+"/books", nil)
			if err != nil {
				return err
			}
			return d.deliver(n, "Books of "+args[0], "books-"+args[0]+".json", raw)
		}),
	}
	cmd.Flags().StringVarP(&d.file, "output", "o", "", "file to write; - is the standard output (default books-DEVICE.json)")
	return cmd
}

func offerCmd() *cobra.Command {
	f := &nodeFlags{}
	return f.group("offer", "What devices offer each other", `  lamppost offer add noon --device charger-1 --point bay-1 --tariff fast --most 10.00 --longest 2h --for 8h
  lamppost offer list`, offerAddCmd(f), offerListCmd(f))
}

func offerAddCmd(f *nodeFlags) *cobra.Command {
	var b lamppost.OfferBody
	var device, to, most string
	var longest, lasts time.Duration
	cmd := &cobra.Command{
		Use:   "add ID --device DEVICE --point POINT --tariff TARIFF --most AMOUNT [--longest TIME] [--for TIME] [--to DEVICE]",
		Short: "Offer a device to other devices, for its owner",
		Long: `Offer sessions on a device to other devices, on the terms of a tariff that are in force. A device that accepts signs so itself, within the spending limit
of its owner, and no person is needed from then on. Devices with the SDK offer themselves; this is for one that cannot.`,
		Example: `  lamppost offer add noon --device charger-1 --point bay-1 --tariff fast --most 10.00
  lamppost offer add robot-night --device charger-1 --point bay-1 --tariff fast --most 10.00 --longest 6h --for 12h --to robot-1`,
		Args: oneArg("the offer's id, such as noon"),
		RunE: f.run(func(n *remote, args []string) (err error) {
			b.ID, b.Device, b.To = args[0], lamppost.DeviceID(device), lamppost.DeviceID(to)
			if b.Most, err = lamppost.ParseMicro(most); err != nil {
				return usage(fmt.Errorf("--most: %w: write it like 10.00", err))
			}
			now, err := n.moment("now", nil)
			if err != nil {
				return err
			}
			var q api.Quote
			if _, err := n.get("/api/tariffs/"+url.PathEscape(b.Tariff)+"/quote", &q); err != nil {
				return err
			}
			b.Version, b.Longest, b.Until = q.Version, lamppost.TimeMS(longest.Milliseconds()), now+lamppost.TimeMS(lasts.Milliseconds())
			return n.order("/api/offers", b, fmt.Sprintf("%s can be used by other devices until %s, for at most %s %s a session", b.Device, seconds(nil, b.Until), b.Most, q.Currency))
		}),
	}
	cmd.Flags().StringVar(&device, "device", "", "that can be used")
	cmd.Flags().StringVar(&b.Point, "point", "", "its metering point, opened with --sessions")
	cmd.Flags().StringVar(&b.Tariff, "tariff", "", "tariff's id, sold by the device's owner")
	cmd.Flags().StringVar(&most, "most", "", "the most that a session may come to, before tax")
	cmd.Flags().DurationVar(&longest, "longest", 4*time.Hour, "how long a session may last")
	cmd.Flags().DurationVar(&lasts, "for", 8*time.Hour, "how long the offer is good, at most a week")
	cmd.Flags().StringVar(&to, "to", "", "the only device that may accept it (default: any)")
	return require(cmd, "device", "point", "tariff", "most")
}

func offerListCmd(f *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the offers that can be accepted now",
		Example: `  lamppost offer list`,
		Args:    cobra.NoArgs,
		RunE: f.run(func(n *remote, _ []string) error {
			var all api.OfferList
			raw, err := n.get("/api/offers", &all)
			if err != nil {
				return err
			}
			return n.show(raw, func(w io.Writer) {
				t := table{head: []string{"ID", "DEVICE", "POINT", "TARIFF", ">MOST", "", "UNTIL", "FOR", "BY"}}
				for i := range all.Offers {
					o := &all.Offers[i]
					by := "the owner"
					if len(o.Word) > 0 {
						by = "itself"
					}
					t.add(o.ID, string(o.Device), o.Point, fmt.Sprintf("%s/%d", o.Tariff, o.Version), o.Most.String(), o.Currency, seconds(nil, o.Until), cmp.Or(string(o.To), "any device"), by)
				}
				t.print(w, "No offers. Devices make them, or for one that cannot: lamppost offer add ID --device … --point … --tariff … --most …")
			})
		}),
	}
}
