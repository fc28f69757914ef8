package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
)

func deviceSeriesCmd(f *nodeFlags) *cobra.Command {
	var from, to, unit string
	cmd := &cobra.Command{
		Use:   "series ID NAME [--from TIME] [--to TIME]",
		Short: "Show a device's readings of one name over a period, as far as they are kept",
		Long: `Show a device's readings of one name over a period, as far as they are kept: raw ones as they were signed, those in summaries with how
far they may be off (±). What was erased or pruned is said. Times are by the device's clock.`,
		Example: `  lamppost device series lamp-7 power --from 2026-11-01 --to 2026-12-01
  lamppost device series lamp-7 power --json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usage(fmt.Errorf("say the device's id and the name of its readings, such as: lamp-7 power"))
			}
			return nil
		},
		RunE: f.run(func(n *remote, args []string) error {
			begin, end, err := periodOf(from, to)
			if err != nil {
				return err
			}
			s, err := n.series(args[0], args[1], unit, begin, end)
			if err != nil {
				return err
			}
			raw, err := json.Marshal(s)
			if err != nil {
				return err
			}
			return n.show(raw, func(w io.Writer) { printSeries(w, s) })
		}),
	}
	cmd.Flags().StringVar(&from, "from", "", "first time: a date (UTC) or an instant like 2026-11-01T06:00:00+01:00 (default: a day before the end)")
	cmd.Flags().StringVar(&to, "to", "", "time after the last, likewise (default: now)")
	cmd.Flags().StringVar(&unit, "unit", "", "where readings of that name have several units (default: that of the latest)")
	return cmd
}

// periodOf reads a period; without an end it reaches to all that is there.
func periodOf(from, to string) (begin, end lamppost.TimeMS, err error) {
	if begin, err = moment("--from", from); err != nil {
		return 0, 0, err
	}
	if end, err = moment("--to", to); err != nil {
		return 0, 0, err
	}
	if from == "" {
		last := end
		if to == "" {
			last = lamppost.TimeMS(time.Now().UnixMilli())
		}
		begin = max(0, last-24*3600*1000)
	}
	if to != "" && end <= begin {
		return 0, 0, usage(fmt.Errorf("--to %s is not after --from %s", to, from))
	}
	return begin, end, nil
}

// series fetches a period, page by page.
func (n *remote) series(device, name, unit string, from, to lamppost.TimeMS) (*api.Series, error) {
	q := url.Values{"name": {name}, "limit": {"100000"}}
	if to > 0 {
		q.Set("to_ms", strconv.FormatInt(int64(to), 10))
	}
	if unit != "" {
		q.Set("unit", unit)
	}
	var all *api.Series
	for {
		q.Set("from_ms", strconv.FormatInt(int64(from), 10))
		var s api.Series
		if _, err := n.get("/api/devices/"+url.PathEscape(device)+"/series?"+q.Encode(), &s); err != nil {
			return nil, err
		}
		if all == nil {
			all = &s
		} else {
			all.Times, all.Values = append(all.Times, s.Times...), append(all.Values, s.Values...)
			all.Errors, all.Classes = append(all.Errors, s.Errors...), append(all.Classes, s.Classes...)
		}
		if from = s.Next; from == 0 {
			all.Next = 0
			return all, nil
		}
		q.Set("unit", all.Unit)
	}
}

func printSeries(w io.Writer, s *api.Series) {
	t := table{head: []string{"TIME", ">" + or(s.Name, "VALUE"), ">±", "UNIT", "KEPT"}}
	for i, at := range s.Times {
		off := ""
		if s.Errors[i] > 0 {
			off = digits(s.Errors[i], s.Errors[i])
		}
		t.add(time.UnixMilli(int64(at)).UTC().Format("2006-01-02T15:04:05.000Z"), digits(s.Values[i], s.Errors[i]), off, s.Unit, s.Classes[i])
	}
	t.print(w, "No readings of that name are kept from that time.")
	for _, g := range s.Gone {
		fmt.Fprintf(w, "\nOf what was received before %s: %s\n", minute(g.Until), printable(g.Why))
	}
}

// digits writes a number with as many digits as its error leaves, and one more.
func digits(v, off float64) string {
	if off <= 0 {
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return strconv.FormatFloat(v, 'f', min(max(0, 1-int(math.Floor(math.Log10(off)))), 12), 64)
}

func retentionShowCmd(f *nodeFlags) *cobra.Command {
	var blocks bool
	cmd := &cobra.Command{
		Use:   "show DEVICE",
		Short: "Show what is kept of a device, how closely, and why",
		Long: `Show what is kept of a device and why: its raw reports by reason, and of each series in summaries how many readings it has, in how many
bytes, and how far a value may be off at most. --blocks lists the blocks of summaries with their methods.`,
		Example: `  lamppost retention show lamp-7
  lamppost retention show lamp-7 --blocks`,
		Args: oneArg("the device's id"),
		RunE: f.run(func(n *remote, args []string) error {
			var k api.DeviceKept
			raw, err := n.get("/api/devices/"+url.PathEscape(args[0])+"/kept", &k)
			if err != nil {
				return err
			}
			return n.show(raw, func(w io.Writer) { printKept(w, &k, blocks) })
		}),
	}
	cmd.Flags().BoolVar(&blocks, "blocks", false, "list the blocks of summaries")
	return cmd
}

// whyKept says what a reason means to people.
var whyKept = map[string]string{
	"disputed": "a hold or a dispute covers them, or they are evidence", "billed": "bills rest on them", "near-alarm": "an alarm is near",
	"policy": "the rule says so", "none": "they go when their pack is written next",
}

func printKept(w io.Writer, k *api.DeviceKept, blocks bool) {
	if k.Rule.RawDays == 0 {
		fmt.Fprintln(w, "Everything stays raw: no rule says otherwise.")
	} else {
		fmt.Fprintf(w, "Reports stay raw for %s, summed up for %s%s.\n", inDays(k.Rule.RawDays), inDays(k.Rule.SummaryDays), offBy(k.Rule.Error))
	}
	fmt.Fprintln(w)
	t := table{head: []string{"RAW BECAUSE", ">REPORTS", ">BYTES", "FIRST", "LAST"}}
	for _, r := range k.Raw {
		t.add(or(whyKept[r.Reason], r.Reason), fmt.Sprint(r.Reports), fmt.Sprint(r.Bytes), minute(r.From), minute(r.To))
	}
	t.print(w, "No report is raw.")
	fmt.Fprintln(w)
	t = table{head: []string{"IN SUMMARIES", "UNIT", ">READINGS", ">BYTES", ">OFF BY AT MOST"}}
	for _, s := range k.Series {
		t.add(s.Name, s.Unit, fmt.Sprint(s.Values), fmt.Sprint(s.Bytes), digits(s.Error, s.Error))
	}
	t.print(w, "Nothing is in summaries.")
	for _, s := range k.Series {
		if blocks {
			printBlocks(w, &s)
		}
	}
	for _, g := range k.Gone {
		fmt.Fprintf(w, "\nOf what was received before %s: %s\n", minute(g.Until), printable(g.Why))
	}
}

func printBlocks(w io.Writer, s *api.SeriesKept) {
	fmt.Fprintln(w)
	t := table{head: []string{printable(s.Name) + " FROM", "TO", ">READINGS", ">BYTES", "METHOD", ">ALLOWED", ">OFF BY", "WHY"}}
	for _, b := range s.Blocks {
		t.add(minute(b.From), minute(b.To), fmt.Sprint(b.Values), fmt.Sprint(b.Bytes), b.Method, digits(b.Bound, b.Bound), digits(b.Error, b.Error), or(whyKept[b.Reason], b.Reason))
	}
	t.print(w, "")
	if s.LeftOut > 0 {
		fmt.Fprintf(w, "%d blocks before these are not shown.\n", s.LeftOut)
	}
}

// offBy says what a rule allows in summaries.
func offBy(thousandths uint32) string {
	if thousandths == 0 {
		return ""
	}
	return fmt.Sprintf(" within %g %% of the range", float64(thousandths)/10)
}
