package cli

import (
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/spf13/cobra"
)

func verdictCmd() *cobra.Command {
	f := &nodeFlags{}
	return f.group("verdict", "What triage found: list it, look at it and answer it", `  lamppost verdict list --open
  lamppost verdict show v1204.3.0
  lamppost verdict review v1204.3.0 valid --reason "there was a party"`, verdictListCmd(f), verdictShowCmd(f), verdictReviewCmd(f))
}

func verdictListCmd(f *nodeFlags) *cobra.Command {
	var device, kind, before string
	var open bool
	var limit int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List verdicts, the latest first",
		Example: `  lamppost verdict list --open
  lamppost verdict list --device meter-3 --kind implausible
  lamppost verdict list --before v1204.3.0 --limit 200 --json`,
		Args: cobra.NoArgs,
		RunE: f.run(func(n *remote, _ []string) error {
			q := url.Values{"limit": {fmt.Sprint(limit)}}
			for name, value := range map[string]string{"device": device, "kind": kind, "before": before} {
				if value != "" {
					q.Set(name, value)
				}
			}
			if open {
				q.Set("open", "true")
			}
			var all api.VerdictList
			raw, err := n.get("/api/verdicts?"+q.Encode(), &all)
			if err != nil {
				return err
			}
			return n.show(raw, func(w io.Writer) { printVerdicts(w, &all) })
		}),
	}
	cmd.Flags().StringVar(&device, "device", "", "only those about a device")
	cmd.Flags().StringVar(&kind, "kind", "", "only of a kind: anomaly, implausible or behaviour")
	cmd.Flags().BoolVar(&open, "open", false, "only those that wait for an answer")
	cmd.Flags().StringVar(&before, "before", "", "only those found before this one")
	cmd.Flags().IntVar(&limit, "limit", 50, "how many, up to 1,000")
	return cmd
}

func printVerdicts(w io.Writer, all *api.VerdictList) {
	t := table{head: []string{"ID", "KIND", "DEVICE", "READING", "SINCE", "WHY", "STATE"}}
	for i := range all.Verdicts {
		v := &all.Verdicts[i]
		t.add(v.ID.String(), v.Kind.String(), string(v.Device), v.Name, when(v.Since), v.Reasons[0].Code, verdictState(v))
	}
	t.print(w, "No verdicts.")
	if all.Next != "" {
		fmt.Fprintf(w, "There are more: --before %s\n", all.Next)
	}
}

// verdictState says in a few words where a verdict stands.
func verdictState(v *api.Verdict) string {
	state := "open"
	if n := len(v.Reviews); n > 0 {
		state = v.Reviews[n-1].Answer.String()
	}
	if v.Suspending {
		state += ", suspends"
	}
	if len(v.BilledBefore) > 0 {
		state += ", BILLED BEFORE IT WAS FOUND"
	}
	return state
}

func verdictShowCmd(f *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "show ID",
		Short:   "Show a verdict with its reasons, what it holds back and what was answered",
		Example: `  lamppost verdict show v1204.3.0`,
		Args:    oneArg("the verdict's id, such as v1204.3.0"),
		RunE: f.run(func(n *remote, args []string) error {
			var v api.Verdict
			raw, err := n.get("/api/verdicts/"+url.PathEscape(args[0]), &v)
			if err != nil {
				return err
			}
			return n.show(raw, func(w io.Writer) { printVerdict(w, &v) })
		}),
	}
}

func printVerdict(w io.Writer, v *api.Verdict) {
	about := "device " + string(v.Device)
	if v.Name != "" {
		about = fmt.Sprintf("%s of %s", printable(v.Name), v.Device)
	}
	fmt.Fprintf(w, "%s: %s, %s, since %s, seen at %s\n", v.ID, v.Kind, about, when(v.Since), when(v.At))
	fmt.Fprintf(w, "Found by %s with %s version %d at %s\n", v.By, printable(v.Model.ID), v.Model.Version, when(v.Found))
	if v.Height > 0 {
		fmt.Fprintf(w, "Reading: record %d of report %d in transaction %d of block %d\n", v.Record, v.Report, v.Tx, v.Height)
	}
	if v.Score > 0 {
		fmt.Fprintf(w, "Score: %.3f, the level is %.3f\n", float64(v.Score)/1000, float64(v.Level)/1000)
	}
	for i := range v.Reasons {
		fmt.Fprintf(w, "Reason: %s\n", printable(reasonWords(&v.Reasons[i], v.Unit)))
	}
	if v.Suspending {
		fmt.Fprintln(w, heldBack(v))
	}
	for _, b := range v.BilledBefore {
		fmt.Fprintf(w, "Billed before it was found: invoice %s. Put it right with: lamppost invoice correct %s\n", b.Number, b.Number)
	}
	for _, r := range v.Reviews {
		fmt.Fprintln(w, strings.TrimSuffix(fmt.Sprintf("%s, %s says %s: %s", when(r.Time), r.By, r.Answer, printable(r.Reason)), ": "))
	}
}

// reasonWords writes a reason's code and numbers.
func reasonWords(r *lamppost.VerdictReason, unit string) string {
	words := r.Code
	for _, x := range []struct {
		name  string
		value *lamppost.Decimal
	}{{"value", r.Value}, {"low", r.Low}, {"high", r.High}, {"gap", r.Gap}} {
		if x.value != nil {
			words += strings.TrimRight(fmt.Sprintf(", %s %s %s", x.name, x.value, unit), " ")
		}
	}
	if r.Readings > 0 {
		words += fmt.Sprintf(", %d readings", r.Readings)
	}
	if r.At > 0 {
		words += ", at " + when(r.At)
	}
	if r.Nearest > 0 {
		words += ", most like " + when(r.Nearest)
	}
	if r.Other != "" {
		words += ", " + r.Other
	}
	return words
}

// heldBack says what a verdict suspends and what to do.
func heldBack(v *api.Verdict) string {
	if v.Kind == lamppost.Behaviour {
		return fmt.Sprintf("The device is quarantined: its reports are refused. To end that: lamppost verdict review %s valid --reason … (or wrong, once it is mended), or enrol a new key", v.ID)
	}
	return fmt.Sprintf("Nothing is billed that rests on what the register showed since. To bill it as it is: lamppost verdict review %s valid --reason …; otherwise enter what it should show (lamppost reading enter --help) and answer wrong", v.ID)
}

func verdictReviewCmd(f *nodeFlags) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "review ID seen|normal|valid|wrong [--reason TEXT]",
		Short: "Answer a verdict",
		Long: `Answer a verdict. The last answer counts, and the reason stands on the ledger for good.

  seen    somebody looks after it; it changes nothing else
  normal  it is no anomaly: this series needs more to alarm from now on
  valid   it is true all the same: what was suspended is billed, a quarantine ends
  wrong   it is put right: values were entered in its place (lamppost reading enter), or the device was mended`,
		Example: `  lamppost verdict review v1204.3.0 valid --reason "there was a party"
  lamppost verdict review v1204.3.0 wrong --reason "photo of the display"`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usage(fmt.Errorf("%s takes a verdict's id and an answer: seen, normal, valid or wrong", cmd.CommandPath()))
			}
			return nil
		},
		RunE: f.run(func(n *remote, args []string) error {
			answer, err := lamppost.ParseReviewAnswer(args[1])
			if err != nil {
				return usage(err)
			}
			return n.order("/api/verdicts/"+url.PathEscape(args[0])+"/review", api.NewReview{Answer: answer, Reason: reason}, fmt.Sprintf("Verdict %s is %s", args[0], answer))
		}),
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record; needed where something is suspended")
	return cmd
}

func watchCmd() *cobra.Command {
	f := &nodeFlags{}
	return f.group("watch", "What triage should know and cannot see", `  lamppost watch point flat-3 --size 11000 --off 2026-12-01 --on 2027-02-01
  lamppost watch device meter-3 --firmware 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
  lamppost watch budget 20
  lamppost watch list`, watchListCmd(f), watchPointCmd(f), watchDeviceCmd(f), watchBudgetCmd(f))
}

func watchListCmd(f *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "Show what triage was told", Example: "  lamppost watch list", Args: cobra.NoArgs,
		RunE: f.run(func(n *remote, _ []string) error {
			var all api.WatchList
			raw, err := n.get("/api/watch", &all)
			if err != nil {
				return err
			}
			return n.show(raw, func(w io.Writer) {
				t := table{head: []string{"ABOUT", "WHAT"}}
				for i := range all.Watch {
					t.add(watchWords(&all.Watch[i]))
				}
				t.print(w, "Triage was told nothing.")
			})
		}),
	}
}

func watchWords(b *lamppost.WatchBody) (about, what string) {
	switch {
	case b.Budget != nil:
		return "budget", fmt.Sprintf("%d alarms for each 1,000 meters and week", *b.Budget)
	case b.Device != "":
		return string(b.Device), fmt.Sprintf("firmware that may run: %d", len(b.Firmware))
	}
	var words []string
	if b.Size != nil {
		words = append(words, "lets "+b.Size.String()+" through in an hour")
	}
	if b.Off != 0 {
		until := "further notice"
		if b.On != 0 {
			until = when(b.On)
		}
		words = append(words, fmt.Sprintf("off from %s until %s", when(b.Off), until))
	}
	return b.Point, strings.Join(words, ", ")
}

func watchPointCmd(f *nodeFlags) *cobra.Command {
	var size, off, on string
	cmd := &cobra.Command{
		Use:   "point ID [--size N] [--off DATE [--on DATE]]",
		Short: "Say what a metering point's connection lets through, and when it is off",
		Long: `Say what a metering point's connection lets through in an hour, in the register's unit, and from when until when nothing is used there:
it is vacant, or switched off. It replaces all that was said of the point before.`,
		Example: `  lamppost watch point flat-3 --size 11000
  lamppost watch point flat-3 --size 11000 --off 2026-12-01 --on 2027-02-01`,
		Args: oneArg("the metering point's id"),
		RunE: f.run(func(n *remote, args []string) error {
			_, zone, err := n.point(args[0], "")
			if err != nil {
				return err
			}
			b := lamppost.WatchBody{Point: args[0]}
			if size != "" {
				if b.Size, err = register("--size", size); err != nil {
					return err
				}
			}
			for _, x := range []struct {
				flag string
				at   *lamppost.TimeMS
			}{{off, &b.Off}, {on, &b.On}} {
				if x.flag == "" {
					continue
				}
				if *x.at, err = parseMoment(x.flag, zone); err != nil {
					return usage(err)
				}
			}
			_, what := watchWords(&b)
			return n.order("/api/watch", b, fmt.Sprintf("Metering point %s: %s", b.Point, what))
		}),
	}
	cmd.Flags().StringVar(&size, "size", "", "the most in an hour, in the register's unit")
	cmd.Flags().StringVar(&off, "off", "", "nothing is used from then on: a date or an instant")
	cmd.Flags().StringVar(&on, "on", "", "until then (default: until further notice)")
	return cmd
}

func watchDeviceCmd(f *nodeFlags) *cobra.Command {
	var images []string
	cmd := &cobra.Command{
		Use: "device ID --firmware SHA256 [--firmware SHA256 …]", Short: "Say what may run on a device",
		Example: "  lamppost watch device meter-3 --firmware 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
		Args:    oneArg("the device's id"),
		RunE: f.run(func(n *remote, args []string) error {
			b := lamppost.WatchBody{Device: lamppost.DeviceID(args[0])}
			for _, text := range images {
				var h lamppost.Hash
				if err := h.UnmarshalText([]byte(text)); err != nil {
					return usage(fmt.Errorf("--firmware: %w", err))
				}
				b.Firmware = append(b.Firmware, h)
			}
			_, what := watchWords(&b)
			return n.order("/api/watch", b, fmt.Sprintf("Device %s: %s", b.Device, what))
		}),
	}
	cmd.Flags().StringArrayVar(&images, "firmware", nil, "SHA-256 of an image, in hexadecimal; more than once for several")
	return require(cmd, "firmware")
}

func watchBudgetCmd(f *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use: "budget N", Short: "Say how many alarms for each 1,000 meters and week people want",
		Example: "  lamppost watch budget 20", Args: oneArg("a number of alarms"),
		RunE: f.run(func(n *remote, args []string) error {
			var budget uint32
			if _, err := fmt.Sscan(args[0], &budget); err != nil {
				return usage(fmt.Errorf("%q is no number of alarms", args[0]))
			}
			return n.order("/api/watch", lamppost.WatchBody{Budget: &budget}, fmt.Sprintf("Triage may say %d alarms for each 1,000 meters and week", budget))
		}),
	}
}
