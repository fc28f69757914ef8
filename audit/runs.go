package audit

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/lamppost/lamppost"
)

// What contracts did. That a run came to these payments is what its leaf in the log commits to; who can run programs, runs it again.

// A Run is a run of a contract that stands in the log.
type Run struct {
	lamppost.Run
	Tx   *Tx                    // the bill, session or call it ran for; of a bill it may show nothing but the run
	Body *lamppost.ContractBody // the version that ran
}

func (r *Run) String() string { return fmt.Sprintf("run %d of contract %s", r.N, clip(r.Contract)) }

// A Rerun runs a contract's program again under a version of the rules, demands that the same comes of it, and returns the state it leaves.
// Package contract's Again is one: this package has no interpreter.
type Rerun func(body *lamppost.ContractBody, run *lamppost.Run, rules uint32) (state []byte, err error)

// readRuns checks the form of what a transaction shows of its runs.
func (t *Tx) readRuns() error {
	runs := t.proof.Runs
	shown := 0
	for i := range runs {
		if runs[i].Run != nil {
			shown++
		}
	}
	switch {
	case len(runs) == 0:
		return nil
	case t.Type != lamppost.TxInvoice && t.Type != lamppost.TxCorrect && t.Type != lamppost.TxSettle:
		return errors.New("contracts run for bills and settled sessions alone")
	case t.proof.Result != nil && shown == 0:
		return errors.New("nothing of it is shown")
	case t.proof.Order != nil && t.Outcome.Code != lamppost.CodeOK:
		return errors.New("it was refused, and a contract is said to have run for it")
	}
	return nil
}

// result makes the root of the outcomes' tree: the own one's leaf, and those of the runs.
func (t *Tx) result(own lamppost.Hash) lamppost.Hash {
	leaves := []lamppost.Hash{own}
	for i := range t.proof.Runs {
		leaves = append(leaves, t.proof.Runs[i].Leaf())
	}
	return lamppost.MerkleRoot(leaves)
}

// checkRuns reads the runs that the proof shows. Of each contract they are the first ones, without a gap, and each is what its transaction may
// lead to, under the version that the log has before it.
func (e *Evidence) checkRuns() error {
	last := map[string]uint64{}
	for i := range e.Txs {
		t := &e.Txs[i]
		if t.Type == lamppost.TxCall && t.Outcome.Code == lamppost.CodeOK {
			if err := e.addRun(t, t.Outcome.Data); err != nil {
				return fmt.Errorf("%s: %w", t, err)
			}
		}
		for j := range t.proof.Runs {
			if raw := t.proof.Runs[j].Run; raw != nil {
				if err := e.addRun(t, raw); err != nil {
					return fmt.Errorf("%s: %w", t, err)
				}
			} else if t.Invoice != nil {
				e.hidden++
			}
		}
	}
	for i := range e.Runs {
		r := &e.Runs[i]
		if r.N != last[r.Contract]+1 {
			return fmt.Errorf("%s: %s: run %d of it is not in the proof before that", r.Tx, r, last[r.Contract]+1)
		}
		last[r.Contract] = r.N
		if err := e.checkRun(r); err != nil {
			return fmt.Errorf("%s: %s: %w", r.Tx, r, err)
		}
	}
	return nil
}

func (e *Evidence) addRun(t *Tx, raw []byte) error {
	r := Run{Tx: t}
	if err := lamppost.Unmarshal(raw, &r.Run); err != nil {
		return fmt.Errorf("a run of a contract: %w", err)
	}
	r.Body = latest[lamppost.ContractBody](e, bodyKey{lamppost.TxContract, r.Contract, r.Version}, t.Leaf)
	if r.Body == nil {
		return fmt.Errorf("%s: its version %d is not in the proof before it", &r, r.Version)
	}
	e.Runs = append(e.Runs, r)
	return nil
}

func (e *Evidence) checkRun(r *Run) error {
	if r.Currency != r.Body.Currency || r.Failure != nil && len(r.Payments) > 0 {
		return fmt.Errorf("it pays in %s, or though it failed", clip(r.Currency))
	}
	for _, p := range r.Payments {
		if p.Amount <= 0 || !r.Body.Binds(p.From) || !r.Body.Binds(p.To) {
			return fmt.Errorf("it pays %s of %s to %s, whom the contract does not bind, or nothing", p.Amount, clip(string(p.From)), clip(string(p.To)))
		}
	}
	if r.Tx.Type == lamppost.TxCall {
		return e.checkCall(r)
	}
	name := "split"
	if r.Tx.Type == lamppost.TxSettle {
		name = "settle"
	}
	if at, ok := e.Time(r.Tx.Height); r.Event.Name != name || r.Event.Bill == nil || ok && at != r.Event.Time {
		return fmt.Errorf("it is told of %q, or of another time than its block's", clip(r.Event.Name))
	}
	if t := r.Tx; t.Invoice != nil && t.Invoice.Number != r.Event.Bill.Number {
		return fmt.Errorf("it is told of invoice %s", clip(r.Event.Bill.Number))
	}
	return e.checkTold(r.Event.Bill, r.Body, r.Tx.Leaf)
}

// checkCall compares a run with the order for it.
func (e *Evidence) checkCall(r *Run) error {
	var b lamppost.CallBody
	if err := lamppost.Unmarshal(r.Tx.Order.Body, &b); err != nil {
		return err
	}
	if b.Contract != r.Contract {
		return fmt.Errorf("contract %s was called", clip(b.Contract))
	}
	if b.Height == 0 {
		if b.Event != r.Event.Name || string(r.Tx.Signer) != r.Event.By || !bytes.Equal(lamppost.Marshal(b.Args), lamppost.Marshal(r.Event.Args)) || r.Event.Bill != nil {
			return errors.New("it is told something else than was ordered")
		}
		return nil
	}
	for i := range e.Runs { // those before it are all there
		if x := &e.Runs[i]; x.Contract == r.Contract && x.Tx.Height == b.Height && x.Tx.Index == b.Index && x.N < r.N {
			if x.Failure == nil || !bytes.Equal(lamppost.Marshal(x.Event), lamppost.Marshal(r.Event)) {
				return fmt.Errorf("it repeats run %d, which did not fail, or was told something else", x.N)
			}
			return nil
		}
	}
	return fmt.Errorf("it repeats a run of block %d that is not in the proof", b.Height)
}

// checkTold compares what a program is told of an invoice with the invoice, where the proof has it.
func (e *Evidence) checkTold(b *lamppost.RunBill, body *lamppost.ContractBody, before int64) error {
	t := e.numbers[billNumber{b.Seller, b.Number}]
	if b.Number == "" || t == nil || t.Leaf > before {
		return nil
	}
	inv, corrects := t.Invoice, ""
	if inv.Corrects != nil {
		corrects = inv.Corrects.Number
	}
	if b.Buyer != inv.Buyer || b.From != inv.From || b.To != inv.To || b.Corrects != corrects || body.Currency != inv.Currency {
		return fmt.Errorf("what it is told of invoice %s is not what that says", inv.Number)
	}
	for _, d := range body.Devices {
		var told, billed lamppost.Micro // sums that wrap around differ or do not, like others
		for i := range b.Parts {
			if p := &b.Parts[i]; p.Device == d && !p.Back {
				told += p.Net
			}
		}
		for i := range inv.Supplies {
			for j := range inv.Supplies[i].Lines {
				if inv.Supplies[i].Device == d {
					billed += inv.Supplies[i].Lines[j].Amount
				}
			}
		}
		if told != billed {
			return fmt.Errorf("it is told that %s of invoice %s are for device %s, whose lines come to %s", told, inv.Number, d, billed)
		}
	}
	return nil
}

// runAgain runs all programs again, each contract's first run from nothing and each further one from what the one before left.
func (e *Evidence) runAgain(rerun Rerun) error {
	states := map[string][]byte{}
	for i := range e.Runs {
		r := &e.Runs[i]
		if !bytes.Equal(r.Before, states[r.Contract]) {
			return fmt.Errorf("%s: %s began with another state than the run before it left", r.Tx, r)
		}
		var err error
		if states[r.Contract], err = rerun(r.Body, &r.Run, e.rulesAt(r.Tx)); err != nil {
			return fmt.Errorf("%s: %s, run again: %w", r.Tx, r, err)
		}
	}
	e.again = len(e.Runs) > 0
	return nil
}

// rulesAt is the version of the rules that a transaction's block went by.
func (e *Evidence) rulesAt(t *Tx) uint32 {
	if term := e.termAt(t.Leaf); term != nil {
		return term.net.RulesAt(t.Height)
	}
	return 1
}
