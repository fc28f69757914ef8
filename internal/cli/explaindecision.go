package cli

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/agent"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/pilot"
	"github.com/lamppost/lamppost/internal/render"
)

// A decisionExplained is what explain prints of a decision with --json.
type decisionExplained struct {
	ID       lamppost.DecisionID       `json:"id"`
	Words    *render.Decided           `json:"words"`
	Decision *lamppost.Decision        `json:"decision"`
	Outcome  *lamppost.DecisionOutcome `json:"outcome"` // as the ledger has it; null: it holds
	Model    lamppost.Model            `json:"model"`
	By       lamppost.MemberID         `json:"by"`
	Pinned   bool                      `json:"pinned"`   // the proof was held against a pin
	Result   string                    `json:"result"`   // same, differs or inputs
	Differs  []string                  `json:"differs"`  // fields
	Text     string                    `json:"text"`     // Result in words
	Replied  *lamppost.Decision        `json:"replayed"` // null: it was not
}

// decision explains a decision: it decides again from the inputs that the decision commits to, and compares byte for byte.
func (x *explainer) decision(n *remote, id string) error {
	e, err := x.fetchDecision(n, id)
	if err != nil {
		return err
	}
	return tell(n, e, e.Result, e.print)
}

func (x *explainer) fetchDecision(n *remote, id string) (*decisionExplained, error) {
	var ev api.DecisionEvidence
	pin, err := x.ask(n, "/api/decisions/"+url.PathEscape(id)+"/evidence", &ev)
	if err != nil {
		return nil, err
	}
	e := &decisionExplained{ID: ev.Decision.ID, Outcome: ev.Decision.Outcome, Pinned: x.pin != "", Result: ev.Missing, Text: ev.Why, Differs: []string{}}
	if err := e.prove(&ev, pin); err != nil {
		return nil, err
	}
	if e.Words, err = render.TellDecision(e.Decision, e.Outcome, x.lang, time.Local); err != nil {
		return nil, usage(err)
	}
	if ev.Missing != "" {
		return e, nil
	}
	return e, e.again(&ev)
}

// prove reads the decision from the order in the proof, not from what the node says of it.
func (e *decisionExplained) prove(ev *api.DecisionEvidence, pin *audit.Pin) error {
	proven, err := checkProof(ev.Proof, "decision", pin)
	if err != nil {
		return err
	}
	for i := range proven.Txs {
		t := &proven.Txs[i]
		if t.Height != e.ID.Height || t.Index != e.ID.Tx || t.Type != lamppost.TxDecisions || t.Outcome.Code != lamppost.CodeOK {
			continue
		}
		var b lamppost.DecisionsBody
		if err := lamppost.Unmarshal(t.Order.Body, &b); err != nil || int(e.ID.Index) >= len(b.Decisions) {
			return fmt.Errorf("transaction %d of block %d has no decision %d", e.ID.Tx, e.ID.Height, e.ID.Index)
		}
		e.Decision, e.Model, e.By = &b.Decisions[e.ID.Index], b.Model, ev.Decision.By
		return nil
	}
	return fmt.Errorf("the node's proof is not of decision %s", e.ID)
}

// again decides from the inputs, and computes the outcome again where there is one.
func (e *decisionExplained) again(ev *api.DecisionEvidence) error {
	inputs, err := base64.StdEncoding.DecodeString(ev.Inputs)
	if err != nil {
		return fmt.Errorf("the node's evidence is not whole: %w", err)
	}
	if lamppost.Hash(sha256.Sum256(inputs)) != e.Decision.Inputs {
		return fmt.Errorf("the inputs that the node hands out are not those that the decision commits to: they have another SHA-256")
	}
	d, err := agent.Replay(inputs)
	if err != nil {
		e.Result, e.Text = "differs", "differs: this program cannot read the inputs: "+err.Error()
		return nil
	}
	e.Replied = &d
	if !bytes.Equal(lamppost.Marshal(d), lamppost.Marshal(e.Decision)) {
		e.Differs = differences(e.Decision, &d)
		e.Result, e.Text = "differs", "differs: "+strings.Join(e.Differs, ", ")
		return nil
	}
	e.Result, e.Text = "same", "replayed: the same bytes"
	return e.outcome(ev, inputs)
}

func (e *decisionExplained) outcome(ev *api.DecisionEvidence, inputs []byte) error {
	if e.Outcome == nil || ev.Data == "" {
		return nil
	}
	raw, err := base64.StdEncoding.DecodeString(ev.Data)
	if err != nil {
		return fmt.Errorf("the node's evidence is not whole: %w", err)
	}
	in, err := agent.ParseInputs(inputs)
	if err != nil {
		return err
	}
	var data pilot.Data
	if err := lamppost.Unmarshal(raw, &data); err != nil {
		return fmt.Errorf("the node's evidence cannot be read: %w", err)
	}
	again := *e.Outcome
	o := pilot.Realise(in, e.Decision, &data)
	again.Gain, again.Expected, again.Spent, again.Measured, again.Data, again.Until = o.Gain, o.Expected, o.Spent, o.Measured, sha256.Sum256(raw), data.Until
	if again != *e.Outcome {
		e.Differs = differences(e.Outcome, &again)
		e.Result, e.Text = "differs", "differs: what it came to: "+strings.Join(e.Differs, ", ")
		return nil
	}
	e.Text += ", and it came to what the ledger says"
	return nil
}

func (e *decisionExplained) print(w io.Writer) {
	printDecided(w, e.ID, e.Words)
	fmt.Fprintf(w, "Decided by %s in block %d\n", printable(string(e.By)), e.ID.Height)
	fmt.Fprintf(w, "Model %s, version %d, %s\n", printable(e.Model.ID), e.Model.Version, e.Model.Hash)
	if e.Pinned {
		fmt.Fprintln(w, "It stands in the log, by the pin")
	} else {
		fmt.Fprintln(w, "It stands in the log, by the node's own pin; say --pin FILE to hold it against another")
	}
	fmt.Fprintln(w, strings.ToUpper(e.Text[:1])+printable(e.Text[1:]))
}

// differences names the fields in which two of a kind differ.
func differences[T any](a, b *T) (names []string) {
	fields := func(v *T) (m map[string]json.RawMessage) {
		raw, err := json.Marshal(v)
		if err != nil || json.Unmarshal(raw, &m) != nil {
			panic("cli: what stands in the log is not JSON") // it came from a decoder
		}
		return m
	}
	x, y := fields(a), fields(b)
	for name := range x {
		if !bytes.Equal(x[name], y[name]) {
			names = append(names, name)
		}
	}
	for name := range y {
		if x[name] == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
