package audit

import (
	"fmt"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/tariff"
)

// What triage said of a line. The proof has the verdicts that the line names and the answers to them, signed by members: what it does not
// have, and that triage had judged all registers, is the ledger's word.

// found derives what a supply says of the verdicts on its register. One that is not answered holds the bill back.
func (c *invoiceCheck) found(logged *tariff.InvoiceSupply, s *tariff.Supply, have []tariff.Edge) error {
	s.Judged = logged.Judged
	found, err := tariff.Findings(s.Edges, have, c.e.suspicions(register{s.Device, s.Register}, c.tx.Leaf))
	if err != nil {
		return fmt.Errorf("it bills what was held back: %v", err)
	}
	s.Findings = found
	return nil
}

// suspicions returns the verdicts in the proof that suspend a register, with the answers that it has, as of a leaf.
func (e *Evidence) suspicions(of register, before int64) (all []tariff.Suspicion) {
	for _, i := range e.bodies[bodyKey{kind: lamppost.TxVerdicts, id: string(of.device)}] {
		t := &e.Txs[i]
		b := t.body.(*lamppost.VerdictsBody)
		for j := range b.Verdicts {
			if v := &b.Verdicts[j]; t.Leaf < before && v.Evidence() && v.Device == of.device && v.Name == of.name {
				all = append(all, e.answered(tariff.Suspicion{ID: lamppost.VerdictID{Height: t.Height, Tx: t.Index, Index: uint32(j)}, Verdict: v}, before))
			}
		}
	}
	return all
}

// answered adds the last answer that ends what a verdict suspends.
func (e *Evidence) answered(x tariff.Suspicion, before int64) tariff.Suspicion {
	for _, i := range e.bodies[bodyKey{kind: lamppost.TxReview, id: x.ID.String()}] {
		if t := &e.Txs[i]; t.Leaf < before && t.body.(*lamppost.ReviewBody).Answer.Final() {
			x.Answer, x.Height, x.Tx = t.body.(*lamppost.ReviewBody).Answer, t.Height, t.Index
		}
	}
	return x
}

// compareFindings names the first finding that a line hides, invents or changes.
func (c *invoiceCheck) compareFindings(logged, again *tariff.InvoiceSupply) error {
	fault := func(format string, args ...any) error {
		e := &LineError{Invoice: c.number(), Err: fmt.Errorf(format, args...)}
		if len(again.Lines) > 0 {
			e.Line = again.Lines[0].N
		}
		return e
	}
	for _, f := range again.Findings {
		if !slices.Contains(logged.Findings, f) {
			return fault("it does not say that verdict %s (%q) on its register was answered %s in block %d", f.Verdict, f.Code, f.Answer, f.Height)
		}
	}
	for i, f := range logged.Findings {
		if i >= len(again.Findings) || again.Findings[i] != f {
			return fault("it says that verdict %s (%q) on its register was answered %s in block %d, which the proof does not show", f.Verdict, f.Code, f.Answer, f.Height)
		}
	}
	return nil
}
