package cli

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
)

func retentionCmd() *cobra.Command {
	f := &nodeFlags{}
	return f.group("retention", "How long reports are kept: set and list rules, show what is kept of a device", `  lamppost retention set --raw 30d --summary 2y --data ./node
  lamppost retention list --data ./node
  lamppost retention show lamp-7 --data ./node`, retentionSetCmd(f), retentionListCmd(f), retentionShowCmd(f))
}

func retentionSetCmd(f *nodeFlags) *cobra.Command {
	var raw, summary, off string
	cmd := &cobra.Command{
		Use:   "set [DEVICE] --raw TIME [--summary TIME] [--error PERCENT]",
		Short: "Say how long reports stay raw, and then in summaries",
		Long: `Say how long reports are kept after they were received: raw, so that each can be proven; then in summaries, each reading
with its time and within a small error, which prove nothing; then only by the headers of their segments. Without DEVICE it is the
rule for all that have none of their own. Billing reports, evidence, what is held and what is around alarms always stay raw. Packs are written again when all in them is due, up to a day later.`,
		Example: `  lamppost retention set --raw 30d --summary 2y      90d, 12w, 2y or ever
  lamppost retention set lamp-01 --raw 7d
  lamppost retention set lamp-01 --raw 7d --summary 5y --error 2%`,
		Args: cobra.MaximumNArgs(1),
		RunE: f.run(func(n *remote, args []string) error {
			var b lamppost.RetentionBody
			var err error
			if b.RawDays, err = parseDays("--raw", raw); err != nil {
				return err
			}
			if b.SummaryDays, err = parseDays("--summary", summary); err != nil {
				return err
			}
			if b.RawDays > 0 && b.SummaryDays == 0 && !strings.EqualFold(summary, "ever") {
				b.SummaryDays = b.RawDays // nothing was said of summaries: none
			}
			if b.Error, err = parseError(off); err != nil {
				return err
			}
			what := "all devices without a rule of their own"
			if len(args) == 1 {
				b.Device, what = lamppost.DeviceID(args[0]), args[0]
			}
			return n.order("/api/retentions", b, fmt.Sprintf("Reports of %s stay raw for %s, summed up for %s%s", what, inDays(b.RawDays), inDays(b.SummaryDays), offBy(b.Error)))
		}),
	}
	cmd.Flags().StringVar(&raw, "raw", "", "how long reports stay raw: days (90d), weeks (12w), years (2y), or ever")
	cmd.Flags().StringVar(&summary, "summary", "", "how long they stay summed up, counted from the same moment (default: as long as raw)")
	cmd.Flags().StringVar(&off, "error", "", "how far a value in summaries may be off, of its series's range: 0.1% to 25% (default: 1%, and less where that says less)")
	_ = cmd.MarkFlagRequired("raw")
	return cmd
}

// parseError reads 2% or 0.5% as thousandths.
func parseError(s string) (uint32, error) {
	if s == "" {
		return 0, nil
	}
	percent, err := strconv.ParseFloat(strings.TrimSuffix(s, "%"), 64)
	n := math.Round(percent * 10)
	if err != nil || !(n >= 1 && n <= 250) || math.Abs(n-percent*10) > 1e-9 {
		return 0, usage(fmt.Errorf("--error %q: write it like 0.5%% or 2%%, from 0.1%% to 25%% in steps of 0.1%%", s))
	}
	return uint32(n), nil
}

// parseDays reads 90d, 12w, 2y or ever (0).
func parseDays(flag, s string) (uint32, error) {
	if s == "" || strings.EqualFold(s, "ever") {
		return 0, nil
	}
	for unit, days := range map[string]uint64{"d": 1, "w": 7, "y": 365} {
		if digits, ok := strings.CutSuffix(s, unit); ok {
			if n, err := strconv.ParseUint(digits, 10, 16); err == nil && n > 0 {
				return uint32(n * days), nil
			}
		}
	}
	return 0, usage(fmt.Errorf("%s %q: write it like 90d, 12w, 2y, or ever", flag, s))
}

func inDays(n uint32) string {
	switch n {
	case 0:
		return "ever"
	case 1:
		return "1 day"
	}
	return fmt.Sprintf("%d days", n)
}

func retentionListCmd(f *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the rules, and what the archive holds",
		Example: "  lamppost retention list",
		Args:    cobra.NoArgs,
		RunE: f.run(func(n *remote, _ []string) error {
			var k api.Keeping
			raw, err := n.get("/api/keeping", &k)
			if err != nil {
				return err
			}
			return n.show(raw, func(w io.Writer) {
				t := table{head: []string{"REPORTS OF", "RAW FOR", "SUMMED UP FOR", "WITHIN"}}
				for _, b := range k.Retentions {
					t.add(or(string(b.Device), "all others"), inDays(b.RawDays), inDays(b.SummaryDays), strings.TrimPrefix(offBy(b.Error), " within "))
				}
				t.print(w, "Everything is kept for ever. Change it: lamppost retention set --raw 30d --summary 2y")
				if a := k.Archive; a.Packs > 0 {
					fmt.Fprintf(w, "\nThe archive holds %d of %d reports raw, in %d packs of %.1f MB.\n", a.Kept, a.Reports, a.Packs, float64(a.Bytes)/1e6)
				}
			})
		}),
	}
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func holdCmd() *cobra.Command {
	f := &nodeFlags{}
	return f.group("hold", "Keep reports whatever else says that they may go", `  lamppost hold add case-7 --device meter-3 --from 2026-10-01 --to 2026-11-01 --reason "dispute of invoice acme-000042"
  lamppost hold lift case-7 --reason settled
  lamppost hold list`, holdAddCmd(f), holdLiftCmd(f), holdListCmd(f))
}

func holdAddCmd(f *nodeFlags) *cobra.Command {
	var device, from, to, reason string
	cmd := &cobra.Command{
		Use:     "add ID --reason TEXT [--device ID] [--from DATE] [--to DATE]",
		Short:   "Keep reports raw that were received in a period",
		Example: `  lamppost hold add case-7 --device meter-3 --from 2026-10-01 --reason "dispute of invoice acme-000042"`,
		Args:    oneArg("the hold's id, such as case-7"),
		RunE: f.run(func(n *remote, args []string) error {
			b := lamppost.HoldBody{ID: args[0], Device: lamppost.DeviceID(device), Reason: reason}
			for flag, at := range map[string]*lamppost.TimeMS{from: &b.From, to: &b.To} {
				if flag == "" {
					continue
				}
				t, err := time.Parse(time.DateOnly, flag)
				if err != nil {
					return usage(fmt.Errorf("%q is not a date like 2026-10-01", flag))
				}
				*at = lamppost.TimeMS(t.UnixMilli())
			}
			return n.order("/api/holds", b, fmt.Sprintf("Hold %s keeps reports of %s until it is lifted", b.ID, or(device, "all devices")))
		}),
	}
	cmd.Flags().StringVar(&device, "device", "", "whose reports (default: all)")
	cmd.Flags().StringVar(&from, "from", "", "first day, UTC (default: from the beginning)")
	cmd.Flags().StringVar(&to, "to", "", "day after the last, UTC (default: without end)")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	_ = cmd.MarkFlagRequired("reason")
	return cmd
}

func holdLiftCmd(f *nodeFlags) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:     "lift ID --reason TEXT",
		Short:   "End a hold; the rules decide again",
		Example: "  lamppost hold lift case-7 --reason settled",
		Args:    oneArg("the hold's id"),
		RunE: f.run(func(n *remote, args []string) error {
			return n.order("/api/holds", lamppost.HoldBody{ID: args[0], Reason: reason, Lifted: true}, fmt.Sprintf("Hold %s is lifted", args[0]))
		}),
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	_ = cmd.MarkFlagRequired("reason")
	return cmd
}

func holdListCmd(f *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List holds",
		Example: "  lamppost hold list",
		Args:    cobra.NoArgs,
		RunE: f.run(func(n *remote, _ []string) error {
			var k api.Keeping
			raw, err := n.get("/api/keeping", &k)
			if err != nil {
				return err
			}
			return n.show(raw, func(w io.Writer) {
				t := table{head: []string{"ID", "REPORTS OF", "FROM", "TO", "STATE", "REASON"}}
				for _, b := range k.Holds {
					state := "in force"
					if b.Lifted {
						state = "lifted"
					}
					t.add(b.ID, or(string(b.Device), "all devices"), day(b.From, "beginning"), day(b.To, "no end"), state, b.Reason)
				}
				t.print(w, "Nothing is held.")
			})
		}),
	}
}

func day(at lamppost.TimeMS, zero string) string {
	if at == 0 {
		return zero
	}
	return time.UnixMilli(int64(at)).UTC().Format(time.DateOnly)
}

func eraseCmd() *cobra.Command {
	f := &nodeFlags{}
	return f.group("erase", "Forget the reports of a device, or a party's name", `  lamppost erase device meter-3 --basis "GDPR Art. 17(1)(b)"
  lamppost erase party tenant-3 --basis "GDPR Art. 17(1)(a)"
  lamppost erase list`, eraseWhatCmd(f, "device"), eraseWhatCmd(f, "party"), eraseListCmd(f))
}

func eraseWhatCmd(f *nodeFlags, what string) *cobra.Command {
	var basis string
	var yes bool
	cmd := &cobra.Command{
		Use:     what + " ID --basis TEXT",
		Example: fmt.Sprintf("  lamppost erase %s ID --basis \"GDPR Art. 17(1)(b)\"", what),
		Args:    oneArg("the id of a " + what),
	}
	ask := "All reports of %s so far will be gone, except those that bills rest on."
	cmd.Short = "Forget all reports of a device but those that bills rest on"
	if what == "party" {
		cmd.Short, ask = "Forget a party's name; its id stays", "The name of %s will be gone; its id stays in accounts and invoices."
	}
	cmd.Long = cmd.Short + `. The order stands in the log, with its basis in law; the log keeps only commitments to what is
erased, and every other proof still holds. It is out of all views when the command returns, and out of every file of every
member within 24 hours, which each of them attests: lamppost erase list. It cannot be undone.`
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		n, err := f.open(cmd)
		if err != nil {
			return err
		}
		if err := confirm(cmd, yes, fmt.Sprintf(ask+" This cannot be undone.", args[0])); err != nil {
			return err
		}
		b := lamppost.EraseBody{Basis: basis}
		if what == "party" {
			b.Party = lamppost.PartyID(args[0])
		} else {
			b.Device = lamppost.DeviceID(args[0])
		}
		return n.order("/api/erasures", b, fmt.Sprintf("Erased for %s; out of every file within 24 hours: lamppost erase list", args[0]))
	}
	cmd.Flags().StringVar(&basis, "basis", "", "the basis in law, for the record")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	_ = cmd.MarkFlagRequired("basis")
	return cmd
}

func eraseListCmd(f *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List what was erased, and who has attested it",
		Example: "  lamppost erase list",
		Args:    cobra.NoArgs,
		RunE: f.run(func(n *remote, _ []string) error {
			var k api.Keeping
			raw, err := n.get("/api/keeping", &k)
			if err != nil {
				return err
			}
			return n.show(raw, func(w io.Writer) {
				t := table{head: []string{"WHAT", "WHEN", "BASIS", "OUT OF EVERY FILE BY", "ATTESTED BY", "STILL IN BACKUPS"}}
				late := 0
				for _, e := range k.Erasures {
					what := "reports of device " + string(e.Device)
					if e.Party != "" {
						what = "name of party " + string(e.Party)
					}
					var by []string
					for _, m := range slices.Sorted(maps.Keys(e.Attested)) {
						by = append(by, fmt.Sprintf("%s %s", m, minute(e.Attested[m])))
					}
					due := minute(e.Due)
					if e.Overdue {
						late++
						due += " OVERDUE"
					}
					t.add(what, minute(e.Time), e.Basis, due, or(strings.Join(by, ", "), "nobody yet"), strings.Join(e.Backups, ", "))
				}
				t.print(w, "Nothing was erased.")
				if late > 0 {
					fmt.Fprintln(w, "\n"+overdueWords(late))
				}
			})
		}),
	}
}

func minute(at lamppost.TimeMS) string {
	return time.UnixMilli(int64(at)).UTC().Format("2006-01-02 15:04Z")
}

// overdueWords says what is late, and what to do.
func overdueWords(n int) string {
	return fmt.Sprintf("%d erasures should be out of every file and backup by now and are not: delete the backups named above and their copies;\n"+
		"where the node cannot see that, say so with lamppost backup forget ID", n)
}
