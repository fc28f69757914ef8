package cli

import (
	"fmt"
	"io"
	"net/url"
	"strconv"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/tariff"
	"github.com/spf13/cobra"
)

func sessionCmd() *cobra.Command {
	f := &nodeFlags{}
	return f.group("session", "One use of a device: quote, open, settle and list sessions", `  lamppost session quote --tariff fast --units 20 --minutes 45
  lamppost session open s-1001 --point bay-1 --buyer tenant-3 --tariff fast --limit 25.00
  lamppost session settle s-1001
  lamppost session list --state open`, sessionQuoteCmd(f), sessionOpenCmd(f), sessionSettleCmd(f), sessionListCmd(f))
}

func sessionQuoteCmd(f *nodeFlags) *cobra.Command {
	var id, units, limit string
	var minutes, idle uint64
	cmd := &cobra.Command{
		Use:   "quote --tariff TARIFF [--units N] [--minutes N] [--idle N] [--limit AMOUNT]",
		Short: "Say what a session would come to, and what is held for it",
		Long: `Say what a session would come to that begins now, if its use were even, under the version of a tariff that is in force; and how much
of the buyer's money is held for it, with tax. It orders nothing.`,
		Example: `  lamppost session quote --tariff fast --units 20 --minutes 45
  lamppost session quote --tariff fast --units 20 --minutes 90 --idle 45 --limit 25.00`,
		Args: cobra.NoArgs,
		RunE: f.run(func(n *remote, _ []string) error {
			query := url.Values{"units": {units}, "limit": {limit}, "minutes": {strconv.FormatUint(minutes, 10)}, "idle_minutes": {strconv.FormatUint(idle, 10)}}
			var q api.Quote
			raw, err := n.get("/api/tariffs/"+url.PathEscape(id)+"/quote?"+query.Encode(), &q)
			if err != nil {
				return err
			}
			return n.show(raw, func(w io.Writer) { printQuote(w, &q) })
		}),
	}
	cmd.Flags().StringVar(&id, "tariff", "", "tariff's id")
	cmd.Flags().StringVar(&units, "units", "0", "that are used, in the unit of the tariff's prices, such as kWh")
	cmd.Flags().Uint64Var(&minutes, "minutes", 60, "from begin to end")
	cmd.Flags().Uint64Var(&idle, "idle", 0, "of these, at the end and without use")
	cmd.Flags().StringVar(&limit, "limit", "", "the most that it may come to, before tax (default: what it comes to)")
	return require(cmd, "tariff")
}

func printQuote(w io.Writer, q *api.Quote) {
	fmt.Fprintf(w, "%s version %d of %s: %s\n\n", q.Tariff, q.Version, q.Seller, printable(q.Terms))
	t := table{head: []string{"WHAT", ">QUANTITY", "", ">PRICE", ">AMOUNT", ""}}
	for i := range q.Lines {
		l := &q.Lines[i]
		quantity, unit := q.Units.String(), q.PerUnit
		switch l.Kind() {
		case tariff.ByMinute:
			quantity, unit = strconv.Itoa(int(l.Minutes)), "minutes"
		case tariff.Once:
			quantity, unit = "", ""
		}
		t.add(lineName(l), quantity, unit, l.Price.String(), l.Amount.String(), q.Currency)
	}
	t.add("net", "", "", "", q.Net.String(), q.Currency)
	t.add("total", "", "", "", q.Total.String(), q.Currency)
	t.print(w, "")
	fmt.Fprintf(w, "\n%s %s are held for a limit of %s before tax.\n", q.Hold, q.Currency, q.Limit)
}

func sessionOpenCmd(f *nodeFlags) *cobra.Command {
	var b lamppost.SessionBody
	var buyer, limit, from string
	var last time.Duration
	cmd := &cobra.Command{
		Use:   "open ID --point POINT --buyer PARTY --tariff TARIFF --limit AMOUNT [--for TIME] [--from TIME]",
		Short: "Begin a session and hold the buyer's money for it",
		Long: `Begin a session on the terms of a tariff that are in force, and hold what it may come to, with tax, out of the buyer's money and
credit. The limit binds: a bill never comes to more. Readings from its begin on count, so one that began while the charger was
offline is opened later, with --from.`,
		Example: `  lamppost session open s-1001 --point bay-1 --buyer tenant-3 --tariff fast --limit 25.00
  lamppost session open s-1001 --point bay-1 --buyer tenant-3 --tariff fast --limit 25.00 --for 4h --from 2026-11-24T18:05:00+01:00`,
		Args: oneArg("the session's id, such as s-1001"),
		RunE: f.run(func(n *remote, args []string) (err error) {
			b.ID, b.Buyer = args[0], lamppost.PartyID(buyer)
			if b.Limit, err = lamppost.ParseMicro(limit); err != nil {
				return usage(fmt.Errorf("--limit: %w: write it like 25.00", err))
			}
			zones, err := n.zones()
			if err != nil {
				return err
			}
			zone := zones[b.Tariff]
			if b.From, err = n.moment(from, zone); err != nil {
				return usage(fmt.Errorf("--from: %w", err))
			}
			b.Until = b.From + lamppost.TimeMS(last.Milliseconds())
			query := url.Values{"from_ms": {strconv.FormatInt(int64(b.From), 10)}, "limit": {limit}}
			var q api.Quote
			if _, err := n.get("/api/tariffs/"+url.PathEscape(b.Tariff)+"/quote?"+query.Encode(), &q); err != nil {
				return err
			}
			b.Version = q.Version
			return n.order("/api/sessions", b, fmt.Sprintf("Session %s runs at %s until %s at the latest; %s %s of %s are held", b.ID, b.Point, seconds(zone, b.Until), q.Hold, q.Currency, b.Buyer))
		}),
	}
	cmd.Flags().StringVar(&b.Point, "point", "", "metering point, opened with --sessions")
	cmd.Flags().StringVar(&buyer, "buyer", "", "party that pays")
	cmd.Flags().StringVar(&b.Tariff, "tariff", "", "tariff's id")
	cmd.Flags().StringVar(&limit, "limit", "", "the most that it may come to, before tax")
	cmd.Flags().StringVar(&from, "from", "now", "when it begins: an instant, or now")
	cmd.Flags().DurationVar(&last, "for", 24*time.Hour, "how long it lasts at most, such as 4h or 90m")
	return require(cmd, "point", "buyer", "tariff", "limit")
}

func sessionSettleCmd(f *nodeFlags) *cobra.Command {
	var at, void string
	cmd := &cobra.Command{
		Use:   "settle ID [--at TIME] [--void REASON]",
		Short: "End a session with what its readings say",
		Long: `End a session. Readings up to its stop count, at least one at its begin and one at its end; what they come to is billed by the next
invoice, and until then the money stays held. With --void nothing is billed and the money is free again.`,
		Example: `  lamppost session settle s-1001
  lamppost session settle s-1001 --at 2026-11-24T18:52:00+01:00
  lamppost session settle s-1002 --void "the cable was never plugged in"`,
		Args: oneArg("the session's id, such as s-1001"),
		RunE: f.run(func(n *remote, args []string) error {
			var s api.Session
			path := "/api/sessions/" + url.PathEscape(args[0])
			if _, err := n.get(path, &s); err != nil {
				return err
			}
			b := api.Settle{Void: void}
			if at != "now" {
				zones, err := n.zones()
				if err == nil {
					b.Stop, err = parseMoment(at, zones[s.Tariff])
				}
				if err != nil {
					return usage(fmt.Errorf("--at: %w", err))
				}
			}
			var done api.Done
			raw, err := n.post(path+"/settle", b, &done)
			if err != nil {
				return err
			}
			return n.show(raw, func(w io.Writer) {
				if void != "" {
					fmt.Fprintf(w, "Session %s is void; nothing is billed, and %s %s are free again (block %d)\n", s.ID, s.Held, s.Currency, done.Height)
					return
				}
				var net lamppost.Micro
				for i := range done.Lines {
					net += done.Lines[i].Amount
				}
				fmt.Fprintf(w, "Session %s comes to %s %s before tax; the next invoice to %s has it (block %d)\n", s.ID, net, s.Currency, s.Buyer, done.Height)
			})
		}),
	}
	cmd.Flags().StringVar(&at, "at", "now", "when it stopped: an instant, or now")
	cmd.Flags().StringVar(&void, "void", "", "bill nothing, and why")
	return cmd
}

func sessionListCmd(f *nodeFlags) *cobra.Command {
	var state string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List sessions",
		Example: `  lamppost session list
  lamppost session list --state open`,
		Args: cobra.NoArgs,
		RunE: f.run(func(n *remote, _ []string) error {
			var all api.SessionList
			raw, err := n.get("/api/sessions?state="+url.QueryEscape(state), &all)
			if err != nil {
				return err
			}
			return n.show(raw, func(w io.Writer) {
				t := table{head: []string{"ID", "POINT", "BUYER", "TARIFF", "FROM", "STOP", "STATE", ">LIMIT", ">HELD", "", "INVOICE"}}
				for i := range all.Sessions {
					s := &all.Sessions[i]
					stop, shown := seconds(nil, s.Stop), s.State
					if s.Stop == 0 {
						stop = "by " + seconds(nil, s.Until)
					}
					if s.Overdue {
						shown += ", OVERDUE"
					}
					t.add(s.ID, s.Point, string(s.Buyer), fmt.Sprintf("%s/%d", s.Tariff, s.Version), seconds(nil, s.From), stop, shown, s.Limit.String(), s.Held.String(), s.Currency, or(s.Invoice, s.Void))
				}
				t.print(w, "No sessions. Open one: lamppost session open ID --point … --buyer … --tariff … --limit …")
			})
		}),
	}
	cmd.Flags().StringVar(&state, "state", "", "only those that are open, settled, billed or void")
	return cmd
}
