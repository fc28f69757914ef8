package cli

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/render"
)

// ExitNoReplay is how explain ends where what a verdict was made of is not there any more.
const ExitNoReplay = 3

func explainCmd() *cobra.Command {
	f, x := &nodeFlags{}, &explainer{replay: replayVerdict}
	cmd := &cobra.Command{
		Use:   "explain ID [--lang LANG] [--pin FILE]",
		Short: "Say why triage raised an alarm, or why an agent decided, and replay it here",
		Long: `Say why triage found something, in words, and prove that it did. The node hands out what the verdict was made of: the state of the
models before the reading, the signed report, and the proof that report and verdict stand in the network's log. This program checks
the proof, judges the reading again, and compares what comes out with what stands in the log, byte for byte. What a device did at a door
is not in the log: of that, the node at whose door it was hands out the minute too, and the hash in the verdict holds it to that.

Of an agent's decision, such as d1204.3.0, it says what else could have been done and what would have changed it, decides again from the inputs that the
decision commits to, and computes again what it came to.

Exit status: 0 the same bytes; 1 other bytes, or a proof that does not hold; 2 wrong usage; 3 it cannot be replayed, because its inputs were
erased or are not kept any more.`,
		Example: `  lamppost explain v1204.3.0 --data ./node
  lamppost explain v1204.3.0 --lang de --pin network.pin
  lamppost explain d1204.3.0
  lamppost explain v1204.3.0 --json`,
		Args: oneArg("the id of a verdict, such as v1204.3.0, or of a decision, such as d1204.3.0: the pages Alarms and Agents have them"),
		RunE: f.run(func(n *remote, args []string) error { return x.run(n, args[0]) }),
	}
	cmd.Flags().StringVar(&x.lang, "lang", "", "language of the reasons: "+strings.Join(render.Languages(), ", ")+" (default: English)")
	cmd.Flags().StringVar(&x.pin, "pin", "", "the network's pin, from somebody else than the node (default: the node's word)")
	return f.add(cmd)
}

// An explainer explains one verdict.
type explainer struct {
	lang, pin string
	replay    func(state []byte, r *judged) ([]lamppost.Verdict, error)
}

// A judged is a verdict and the reading that it is about, as the log proves them. Of behaviour there is no reading.
type judged struct {
	*lamppost.Verdict
	Reading  lamppost.Reading
	Device   lamppost.DeviceID // who said it: of a verdict on a group, another than the verdict's
	Received lamppost.TimeMS
	Billing  bool
}

// An explanation is what explain prints with --json.
type explanation struct {
	ID      lamppost.VerdictID `json:"id"`
	Words   *render.Alarm      `json:"words"`
	Verdict *lamppost.Verdict  `json:"verdict"`
	Model   lamppost.Model     `json:"model"`
	By      lamppost.MemberID  `json:"by"`
	Found   lamppost.TimeMS    `json:"found_ms"`
	Pinned  bool               `json:"pinned"`   // the proof was held against a pin
	Result  string             `json:"result"`   // same, differs, erased, state or report
	Differs []string           `json:"differs"`  // fields
	Text    string             `json:"text"`     // Result in words
	Replied *lamppost.Verdict  `json:"replayed"` // null: it was not
}

func (x *explainer) run(n *remote, id string) error {
	if _, err := lamppost.ParseDecisionID(id); err == nil {
		return x.decision(n, id)
	}
	if _, err := lamppost.ParseVerdictID(id); err != nil {
		return usage(fmt.Errorf("%w; decisions of agents like d1204.3.0", err))
	}
	e, err := x.fetch(n, id)
	if err != nil {
		return err
	}
	return tell(n, e, e.Result, e.print)
}

// tell shows an explanation, and ends as its replay did.
func tell(n *remote, e any, result string, print func(io.Writer)) error {
	raw, err := json.Marshal(e)
	if err == nil {
		err = n.show(raw, print)
	}
	switch {
	case err != nil:
		return err
	case result == "differs":
		return &ExitError{ExitFailed, nil}
	case result != "same":
		return &ExitError{ExitNoReplay, nil}
	}
	return nil
}

// ask gets what a verdict or a decision was made of, and the pin to hold it against.
func (x *explainer) ask(n *remote, path string, evidence any) (*audit.Pin, error) {
	_, err := n.get(path, evidence)
	if err != nil && strings.Contains(err.Error(), "(gone)") {
		return nil, &ExitError{ExitNoReplay, err}
	}
	if err != nil {
		return nil, err
	}
	return x.pinOf(n)
}

// checkProof checks the proof that something stands in the log, as the node sends it.
func checkProof(proof, what string, pin *audit.Pin) (*audit.Evidence, error) {
	raw, err := base64.StdEncoding.DecodeString(proof)
	if err != nil {
		return nil, fmt.Errorf("the node's evidence cannot be read: %w", err)
	}
	p, err := lamppost.ParseProof(raw)
	if err != nil {
		return nil, fmt.Errorf("the node's evidence cannot be read: %w", err)
	}
	e, err := audit.CheckProof(p, pin)
	if err != nil {
		return nil, fmt.Errorf("the proof that the %s stands in the log does not hold: %w", what, err)
	}
	return e, nil
}

// fetch gets the evidence, checks it, and replays.
func (x *explainer) fetch(n *remote, id string) (*explanation, error) {
	var ev api.VerdictEvidence
	pin, err := x.ask(n, "/api/verdicts/"+url.PathEscape(id)+"/evidence", &ev)
	if err != nil {
		return nil, err
	}
	proven, err := proveEvidence(&ev, pin)
	if err != nil {
		return nil, err
	}
	r, err := readingOf(&proven.verdict, proven.evidence)
	if err != nil {
		return nil, err
	}
	e := &explanation{ID: ev.Verdict.ID, Verdict: &proven.verdict, Model: proven.model, By: ev.Verdict.By, Found: ev.Verdict.Time, Pinned: x.pin != "",
		Result: ev.Missing, Text: ev.Why, Differs: []string{}}
	register := r != nil && r.Reading.Kind == lamppost.Register
	if e.Words, err = render.TellAlarm(render.Judged{Verdict: &proven.verdict, Register: register}, x.lang, time.Local); err != nil {
		return nil, usage(err)
	}
	if ev.Missing != "" {
		return e, nil
	}
	return e, x.again(e, &ev, r)
}

func (x *explainer) pinOf(n *remote) (*audit.Pin, error) {
	raw, err := []byte(nil), error(nil)
	if x.pin == "" {
		raw, err = n.ask("GET", "/network.pin", nil)
	} else if raw, err = os.ReadFile(x.pin); err != nil {
		err = usage(err)
	}
	if err != nil {
		return nil, err
	}
	return audit.ParsePin(string(raw))
}

// provenVerdict is a verdict as the log has it.
type provenVerdict struct {
	verdict  lamppost.Verdict
	model    lamppost.Model
	evidence *audit.Evidence
}

// proveEvidence checks the proof and reads the verdict from the order in it, not from what the node says of it.
func proveEvidence(ev *api.VerdictEvidence, pin *audit.Pin) (*provenVerdict, error) {
	evidence, err := checkProof(ev.Proof, "verdict", pin)
	if err != nil {
		return nil, err
	}
	out := &provenVerdict{evidence: evidence}
	id := ev.Verdict.ID
	for i := range out.evidence.Txs {
		t := &out.evidence.Txs[i]
		if t.Height != id.Height || t.Index != id.Tx || t.Type != lamppost.TxVerdicts || t.Outcome.Code != lamppost.CodeOK {
			continue
		}
		var b lamppost.VerdictsBody
		if err := lamppost.Unmarshal(t.Order.Body, &b); err != nil || int(id.Index) >= len(b.Verdicts) {
			return nil, fmt.Errorf("transaction %d of block %d has no verdict %d", id.Tx, id.Height, id.Index)
		}
		out.verdict, out.model = b.Verdicts[id.Index], b.Model
		return out, nil
	}
	return nil, fmt.Errorf("the node's proof is not of verdict %s", id)
}

// readingOf finds the reading that a verdict is about in the proof; nil where no report is in it.
func readingOf(v *lamppost.Verdict, e *audit.Evidence) (*judged, error) {
	if v.Kind == lamppost.Behaviour {
		return &judged{Verdict: v}, nil
	}
	for i := range e.Reports {
		r := &e.Reports[i]
		if r.Tx.Height != v.Height || r.Tx.Index != v.Tx || r.Index != v.Report {
			continue
		}
		if int(v.Record) >= len(r.Signed.Readings) {
			return nil, fmt.Errorf("report %d of transaction %d of block %d has no reading %d", v.Report, v.Tx, v.Height, v.Record)
		}
		return &judged{Verdict: v, Reading: r.Signed.Readings[v.Record], Device: r.Signed.Device, Received: r.Received, Billing: r.Signed.Billing()}, nil
	}
	return nil, nil
}

// again judges the reading again and compares.
func (x *explainer) again(e *explanation, ev *api.VerdictEvidence, r *judged) error {
	state, err := base64.StdEncoding.DecodeString(ev.State)
	if err == nil && r == nil {
		err = errors.New("the report that was judged is not in the proof")
	}
	if err != nil {
		return fmt.Errorf("the node's evidence is not whole: %w", err)
	}
	if lamppost.Hash(sha256.Sum256(state)) != e.Verdict.State {
		return fmt.Errorf("the state that the node hands out is not the one that the verdict names: it has another SHA-256")
	}
	all, err := x.replay(state, r)
	if err != nil {
		e.Result, e.Text = "differs", "differs: the state cannot be replayed by this program: "+err.Error()
		return nil
	}
	want := lamppost.Marshal(e.Verdict)
	for i := range all {
		v := &all[i]
		if v.Kind != e.Verdict.Kind || v.Device != e.Verdict.Device || v.Name != e.Verdict.Name {
			continue
		}
		e.Replied = v
		if bytes.Equal(lamppost.Marshal(v), want) {
			e.Result, e.Text = "same", "replayed: the same bytes"
			return nil
		}
		e.Differs = differences(e.Verdict, v)
	}
	e.Result, e.Text = "differs", "differs: the replay finds nothing"
	if e.Replied != nil {
		e.Text = "differs: " + strings.Join(e.Differs, ", ")
	}
	return nil
}

func (e *explanation) print(w io.Writer) {
	fmt.Fprintf(w, "%s  %s\n%s\n", e.ID, printable(e.Words.Title), printable(e.Words.Since))
	for _, s := range e.Words.Why {
		fmt.Fprintf(w, "  - %s\n", printable(strings.ReplaceAll(s, "\u00a0", " ")))
	}
	fmt.Fprintf(w, "Found by %s in block %d, %s\n", printable(string(e.By)), e.ID.Height, when(e.Found))
	fmt.Fprintf(w, "Model %s, version %d, %s\n", printable(e.Model.ID), e.Model.Version, e.Model.Hash)
	if !e.Pinned {
		fmt.Fprintln(w, "It stands in the log, by the node's own pin; say --pin FILE to hold it against another")
	} else {
		fmt.Fprintln(w, "It stands in the log, by the pin")
	}
	fmt.Fprintln(w, strings.ToUpper(e.Text[:1])+printable(e.Text[1:]))
}
