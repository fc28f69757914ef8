package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/contract"
	"github.com/lamppost/lamppost/internal/checkpage"
	"github.com/spf13/cobra"
)

// ExitUnpinned is how verify ends where everything holds but there was no pin to hold it against.
const ExitUnpinned = 3

// pinFile is what a network's pin is called.
const pinFile = "network.pin"

func verifyCmd() *cobra.Command {
	var v verifier
	r := resegment{verifier: &v}
	cmd := &cobra.Command{
		Use:   "verify [--pin FILE] [--state FILE] [--intervals] [--json] FILE… | --segments DIR|URL",
		Short: "Check statements, receipts and reports, offline, or all signatures of a node",
		Long: `Check statements, receipts and reports, offline and without trusting whoever sent them.

Every line is computed again from readings that the devices signed, under the tariff and the agreement in the
network's log, up to the checkpoints that the network's members signed. The pin says who these members are: get it
from somebody you trust, and not from the same place as the file.

A page that ` + "`lamppost statement --self-check`" + ` wrote is taken as a file too: what it carries is checked, and it is said whether
the checker in the page is this program's own. Whoever has no program checks in a browser: see ` + "`lamppost checker`" + `.
With --state, each file's checkpoint must be of the same history as the one that lamppost follow remembers there; the
log's files, where it was followed, prove it. Without, a file only shows a history that the members signed, perhaps for
you alone.

With --segments, the archive of a node is checked instead: every signature of a device that it still has, under the keys that
the network's orders gave, and every transaction against the log. DIR is the data folder of a node that is stopped, or a backup; URL a
node's address, with the administrator's token in LAMPPOST_TOKEN.

Exit status: 0 everything holds against the pin; 1 something does not hold; 2 wrong usage, an unreadable file, or one
that says nothing without a pin; 3 everything holds, but without a pin, so nothing says whose network it is.`,
		Example: `  lamppost verify --pin network.pin statement.json
  lamppost verify --pin network.pin bill.html
  lamppost verify --pin network.pin --json receipts/*.json
  lamppost verify --pin network.pin --segments ./node
  LAMPPOST_TOKEN=… lamppost verify --pin network.pin --segments https://node.example --from 120000 --to 130000`,
		Args: func(_ *cobra.Command, files []string) error {
			if r.at != "" && len(files) > 0 {
				return usage(fmt.Errorf("verify: --segments checks %q, and %q besides is too much: run it twice", r.at, files[0]))
			}
			if len(files) == 0 && r.at == "" {
				return usage(errors.New("verify: name at least one file, as in: lamppost verify --pin network.pin statement.json"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, files []string) error {
			v.out, r.errs = cmd.OutOrStdout(), cmd.ErrOrStderr()
			if r.at != "" {
				return r.run(cmd.Context())
			}
			return v.run(files)
		},
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage(fmt.Errorf("verify: %w", err)) })
	cmd.Flags().StringVar(&v.pinPath, "pin", "", "the network's pin: whose signatures count")
	cmd.Flags().StringVar(&v.state.path, "state", "", "what lamppost follow remembers: the file must be of the same history of the log")
	cmd.Flags().BoolVar(&v.json, "json", false, "print one JSON object per file")
	cmd.Flags().BoolVar(&v.intervals, "intervals", false, "list the intervals in which the price of each line of a statement held, with their registers")
	cmd.Flags().StringVar(&r.at, "segments", "", "check all signatures in a node's folder, or of a node at an address")
	cmd.Flags().Uint64Var(&r.from, "from", 0, "with --segments: the first block (default: all)")
	cmd.Flags().Uint64Var(&r.to, "to", 0, "with --segments: the last block (default: all under the checkpoint)")
	cmd.Flags().StringVar(&r.archived, "log-archive", "", "with --segments: where tiles of the log are that were moved away: a folder or an address")
	return cmd
}

func usage(err error) error { return &ExitError{ExitUsage, err} }

// A verifier is one run of the verb.
type verifier struct {
	pinPath   string
	json      bool
	intervals bool
	state     headState // of a follower, where one is given
	out       io.Writer
	pin       *audit.Pin
	follower  *audit.Follower
}

// A verdict is what came of one file, as --json prints it.
type verdict struct {
	File    string         `json:"file"`
	Holds   bool           `json:"holds"`
	Error   string         `json:"error,omitempty"`
	Finding *audit.Finding `json:"finding,omitempty"`
	// Intervals say how the lines of a statement came about, where --intervals asks for them.
	Intervals []lineIntervals `json:"intervals,omitempty"`
	// Faults are the places in the file where something does not hold.
	Faults []audit.Fault `json:"faults,omitempty"`
	// Page is "own" or "other", where the file stood in a page that checks it: whether that is as this program makes it.
	Page string `json:"page,omitempty"`
	// Fraud is what proves to the network that a gateway lied, where that is what does not hold: for POST /api/fraud.
	Fraud *lamppost.FraudBody `json:"fraud,omitempty"`
	code  int
}

// A lineIntervals is a line of an invoice with the intervals in which its price held.
type lineIntervals struct {
	Invoice   string           `json:"invoice"`
	Line      uint32           `json:"line"`
	Text      string           `json:"text"`
	Unit      string           `json:"unit"` // of the registers
	Intervals []audit.Interval `json:"intervals"`
}

func intervalsOf(s *audit.Statement) (all []lineIntervals) {
	for i := range s.Invoices {
		for j := range s.Invoices[i].Lines {
			line := &s.Invoices[i].Lines[j]
			if list := s.Intervals(i, j); len(list) > 0 {
				all = append(all, lineIntervals{s.Invoices[i].Number, line.N, line.Text, line.Opening.Unit, list})
			}
		}
	}
	return all
}

// run checks all files and ends with the gravest code: what does not hold, then what cannot be read, then no pin.
func (v *verifier) run(files []string) error {
	if err := v.readPin(); err != nil {
		return usage(err)
	}
	counts := make(map[int]int)
	for _, file := range files {
		d := v.check(file)
		counts[d.code]++
		if err := v.print(&d); err != nil {
			return fmt.Errorf("verify: printing what was found: %w", err)
		}
	}
	switch {
	case counts[ExitFailed] > 0:
		return &ExitError{ExitFailed, fmt.Errorf("verify: %d of %d files do not hold", counts[ExitFailed], len(files))}
	case counts[ExitUsage] > 0:
		return usage(fmt.Errorf("verify: %d of %d files could not be checked", counts[ExitUsage], len(files)))
	case counts[ExitUnpinned] > 0:
		return &ExitError{ExitUnpinned, errors.New("verify: everything holds, but without a pin it only agrees with itself; check again with --pin FILE")}
	}
	return nil
}

// readPin reads the pin and what is remembered of its log, where they are given.
func (v *verifier) readPin() (err error) {
	if v.pinPath == "" {
		if v.state.path != "" {
			return errors.New("verify: --state needs --pin: what is remembered was believed under it")
		}
		return nil
	}
	if v.pin, err = readPin(v.pinPath); err != nil || v.state.path == "" {
		return err
	}
	if v.follower, err = v.state.open(v.pin); err == nil && v.follower.Head == nil {
		err = fmt.Errorf("nothing is remembered in %q yet: lamppost follow writes it", v.state.path)
	}
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	return nil
}

func readPin(path string) (*audit.Pin, error) {
	text, err := readLimited(path, audit.MaxPinBytes)
	if err != nil {
		return nil, fmt.Errorf("reading the pin: %w", err)
	}
	pin, err := audit.ParsePin(string(text))
	if err != nil {
		return nil, fmt.Errorf("reading the pin %q: %w; get it again from whoever runs the network", path, err)
	}
	return pin, nil
}

// readLimited reads a file of at most limit bytes.
func readLimited(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%q is longer than %d bytes, the limit for such a file", path, limit)
	}
	return data, nil
}

func (v *verifier) check(file string) verdict {
	d := verdict{File: file}
	data, err := readLimited(file, audit.MaxFileBytes)
	if err == nil && checkpage.IsPage(data) {
		data, d.Page, err = carried(data)
	}
	if err != nil {
		d.Error, d.code = "reading the file: "+err.Error(), ExitUsage
		return d
	}
	d.Finding, err = audit.VerifyRunning(data, v.pin, contract.Again)
	if err == nil && v.follower != nil && d.Finding.Kind != audit.KindFork {
		err = v.compare(d.Finding)
	}
	return v.judged(d, data, err)
}

// An incomparableError is of a file that can be held against nothing remembered.
type incomparableError struct{ error }

// compare holds what was found against what is remembered of the log.
func (v *verifier) compare(f *audit.Finding) error {
	err := v.follower.Compare(f, logFiles{logAt(context.Background(), v.state.log)})
	var fork *audit.Fork
	switch {
	case err == nil:
		h := v.follower.Head
		f.Summary = append(f.Summary, fmt.Sprintf("of the same history as the checkpoint of %d entries remembered from %s", h.Size, v.state.log))
		return nil
	case errors.As(err, &fork):
		path, kerr := v.state.keep(fork)
		if kerr != nil {
			return fmt.Errorf("%w; and the proof could not be kept: %w", fork, kerr)
		}
		return fmt.Errorf("%w; both checkpoints are kept in %s", err, path)
	case errors.Is(err, audit.ErrNewer):
		return incomparableError{fmt.Errorf("%w: run lamppost follow, then check again", err)}
	default:
		return incomparableError{fmt.Errorf("it cannot be held against what is remembered of the log: %w", err)}
	}
}

func (v *verifier) judged(d verdict, data []byte, err error) verdict {
	var incomparable incomparableError
	switch f := d.Finding; {
	case errors.Is(err, audit.ErrUnknownMembers):
		d.Error, d.code = err.Error()+"; check it with --pin FILE", ExitUsage
	case errors.As(err, &incomparable):
		d.Error, d.code = err.Error(), ExitUsage
	case err != nil:
		d.Error, d.Fraud, d.code = err.Error(), audit.Fraud(err), ExitFailed
		d.Faults, _ = audit.Faults(data, err)
	default:
		d.Holds = true
		if !f.Pinned {
			d.code = ExitUnpinned
		}
		if v.intervals && f.Statement != nil {
			d.Intervals = intervalsOf(f.Statement)
		}
	}
	if err != nil {
		d.Finding = nil
	}
	return d
}

// carried takes the file out of a page and says whose page it is.
func carried(page []byte) (file []byte, whose string, err error) {
	c, own, err := checkpage.Read(page)
	if err == nil && len(c.File) == 0 {
		err = errors.New("it is a page that checks files, and carries none")
	}
	if own {
		return c.File, "own", err
	}
	return c.File, "other", err
}

func (v *verifier) print(d *verdict) error {
	if v.json {
		return json.NewEncoder(v.out).Encode(d)
	}
	var b strings.Builder
	switch d.code {
	case 0:
		fmt.Fprintf(&b, "%s: holds\n", d.File)
	case ExitUnpinned:
		fmt.Fprintf(&b, "%s: agrees with itself, but there is no pin to hold it against\n", d.File)
	case ExitUsage:
		fmt.Fprintf(&b, "%s: cannot be checked: %s\n", d.File, d.Error)
	default:
		fmt.Fprintf(&b, "%s: does not hold: %s\n", d.File, d.Error)
	}
	if len(d.Faults) > 1 {
		for _, f := range d.Faults {
			fmt.Fprintf(&b, "  %s: %s\n", f.Path, f.Text)
		}
	}
	if d.code != ExitUsage {
		b.WriteString(pageWords[d.Page])
	}
	if d.Finding != nil {
		list(&b, "", d.Finding.Summary)
		list(&b, "does not prove ", d.Finding.DoesNotProve)
	}
	for _, l := range d.Intervals {
		fmt.Fprintf(&b, "  invoice %s, line %d, %s\n", l.Invoice, l.Line, l.Text)
		for _, x := range l.Intervals {
			fmt.Fprintf(&b, "    %s to %s: %s to %s %s", x.From, x.To, x.Opening, x.Closing, l.Unit)
			if x.Price != "" {
				fmt.Fprintf(&b, " at %s", x.Price)
			}
			b.WriteByte('\n')
		}
	}
	if d.Fraud != nil {
		b.WriteString("  A gateway signed for this report, which its device did not sign. If the network trusts its gateways, have that\n" +
			"  corrected: send what --json prints as \"fraud\" to POST /api/fraud of any node.\n")
	}
	if d.code == ExitUnpinned {
		explainPin(&b, d)
	}
	_, err := io.WriteString(v.out, printable(b.String()))
	return err
}

var pageWords = map[string]string{
	"own":   "  It stands in a page whose checker is this program's own.\n",
	"other": "  It stands in a page with another checker than this program's: believe what is said here, not what the page says.\n",
}

func list(b *strings.Builder, before string, lines []string) {
	for _, line := range lines {
		fmt.Fprintf(b, "  %s%s\n", before, line)
	}
}

// explainPin says who signed and what to do next. A pin beside the file came the same way as the file: it is named, never
// used.
func explainPin(b *strings.Builder, d *verdict) {
	b.WriteString("  The file itself says that these are the members:\n")
	for _, key := range d.Finding.Members {
		fmt.Fprintf(b, "    member %s\n", key)
	}
	beside := filepath.Join(filepath.Dir(d.File), pinFile)
	if _, err := os.Stat(beside); err == nil {
		fmt.Fprintf(b, "  There is a pin at %s. If you know that it is the network's, and not only that it came with this\n"+
			"  file, run: lamppost verify --pin %s %s\n", beside, beside, d.File)
		return
	}
	fmt.Fprintf(b, "  Get %s from whoever runs network %s, by another way than this file, and run:\n"+
		"  lamppost verify --pin %s %s\n", pinFile, d.Finding.Network, pinFile, d.File)
}

// printable keeps names and paths from moving the terminal's cursor.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && !unicode.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, s)
}
