package ledgertest

import (
	"github.com/lamppost/lamppost"
)

// What triage finds and people answer, among the random orders about money. Most of what suspends a register is soon true all the same, for
// a register that nobody bills tests little.

// triage is an order of it.
func (m *Money) triage() (lamppost.TxType, any) {
	switch n := m.Draw(10); {
	case n < 3:
		return lamppost.TxVerdicts, m.verdicts()
	case n < 9 && len(m.verdicted) > 0:
		id := m.verdicted[len(m.verdicted)-1-m.Draw(min(len(m.verdicted), 3))]
		answers := [...]lamppost.ReviewAnswer{lamppost.ReviewValid, lamppost.ReviewValid, lamppost.ReviewValid, lamppost.ReviewValid, lamppost.ReviewValid, lamppost.ReviewWrong, lamppost.ReviewSeen, lamppost.ReviewNormal}
		return lamppost.TxReview, lamppost.ReviewBody{Verdict: id, Answer: answers[m.Draw(len(answers))], Reason: "drawn"}
	}
	size := lamppost.Dec(int64(m.Draw(9000)), 0)
	return lamppost.TxWatch, lamppost.WatchBody{Point: m.places[m.Draw(len(m.places))].id, Size: &size}
}

func (m *Money) verdicts() lamppost.VerdictsBody {
	b := lamppost.VerdictsBody{Model: lamppost.Model{ID: "drawn", Version: 1}, Through: max(0, m.Height-1-lamppost.Height(m.Draw(3)))}
	x := m.meters[m.Draw(supplied+2)]
	if len(x.told) == 0 {
		return b
	}
	v := lamppost.Verdict{Kind: lamppost.Implausible, Device: x.ID, Name: "energy", Unit: "Wh", Height: 1 + lamppost.Height(m.Draw(int(max(m.Height, 2)))),
		Tx: uint32(m.Draw(3)), Report: uint32(m.Draw(6)), Record: uint32(m.Draw(9)), Reasons: []lamppost.VerdictReason{{Code: "drawn"}}}
	v.At = x.told[m.Draw(len(x.told))].Time
	v.Since = max(0, v.At-lamppost.TimeMS(m.Draw(3))*Hour/4)
	if v.Suspends = m.Draw(4) > 0; !v.Suspends {
		v.Kind = lamppost.Anomaly
	}
	b.Verdicts = []lamppost.Verdict{v}
	return b
}

// found remembers verdicts that were accepted.
func (m *Money) found(b lamppost.VerdictsBody) {
	for i := range b.Verdicts {
		m.verdicted = append(m.verdicted, lamppost.VerdictID{Height: m.Height, Tx: m.Index, Index: uint32(i)})
	}
}
