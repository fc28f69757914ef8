package tariff

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/lamppost/lamppost"
)

// A Finding is a verdict on a supply's register that held up its bill, and what was answered. The reason for the answer stands in its
// order alone.
type Finding struct {
	Verdict lamppost.VerdictID    `cbor:"1,keyasint" json:"verdict"`
	Code    string                `cbor:"2,keyasint" json:"code"` // the weightiest reason's
	Answer  lamppost.ReviewAnswer `cbor:"3,keyasint" json:"answer"`
	Height  lamppost.Height       `cbor:"4,keyasint" json:"height"` // of the answer's order
	Tx      uint32                `cbor:"5,keyasint" json:"tx"`
}

// A Suspicion is a verdict that suspends a register, with the last answer that ends that; 0: nobody has given one.
type Suspicion struct {
	ID      lamppost.VerdictID
	Verdict *lamppost.Verdict
	Answer  lamppost.ReviewAnswer
	Height  lamppost.Height // of the answer's order
	Tx      uint32
}

// Window is of which times, both included, values are held back: of the readings that were judged and of the quarter hours that they
// stand for, and of all times after where nobody has answered.
func (x *Suspicion) Window() (from, to lamppost.TimeMS) {
	from, to = x.Verdict.Since, x.Verdict.At
	if edge, near := lamppost.SnapToEdge(from); near {
		from = min(from, edge)
	}
	if edge, near := lamppost.SnapToEdge(to); near {
		to = max(to, edge)
	}
	if x.Answer == 0 {
		to = math.MaxInt64
	}
	return from, to
}

// HeldBy says which of the verdicts on a register holds back what it showed at a time, nil: none does. manual: somebody entered the value.
func HeldBy(all []Suspicion, at lamppost.TimeMS, manual bool) *Suspicion {
	for i := range all {
		x := &all[i]
		from, to := x.Window()
		if from <= at && at <= to && (x.Answer == 0 || x.Answer == lamppost.ReviewWrong && !manual) {
			return x
		}
	}
	return nil
}

// Why says what holds back a value, and what to do.
func (x *Suspicion) Why() string {
	v := x.Verdict
	if x.Answer == lamppost.ReviewWrong {
		return fmt.Sprintf("what register %q of %q showed from %s to %s was found wrong (verdict %s: %s) and still counts: enter what it should show, with `lamppost reading enter %s %s TIME VALUE --substituted --reason …`",
			clip(v.Name), clip(string(v.Device)), stamp(v.Since), stamp(v.At), x.ID, clip(v.Reasons[0].Code), clip(string(v.Device)), clip(v.Name))
	}
	return fmt.Sprintf("verdict %s (%s) suspends register %q of %q from %s on: answer `lamppost verdict review %s valid --reason …` to bill it as it is, or enter what it should show and answer wrong",
		x.ID, clip(v.Reasons[0].Code), clip(v.Name), clip(string(v.Device)), stamp(v.Since), x.ID)
}

// Findings returns what a bill says of the verdicts on a register whose values are edges, filled from the readings known: those answered
// that lie within, by id. If one holds back a value that the edges rest on, that is the error.
func Findings(edges, have []Edge, all []Suspicion) ([]Finding, error) {
	if len(all) == 0 || len(edges) == 0 {
		return nil, nil
	}
	basis := restOn(edges, have)
	for i := range basis {
		if x := HeldBy(all, basis[i].Time, basis[i].Manual); x != nil {
			return nil, fmt.Errorf("%s", x.Why())
		}
	}
	var found []Finding
	for i := range all {
		x := &all[i]
		if from, to := x.Window(); x.Answer != 0 && from <= basis[len(basis)-1].Time && to >= basis[0].Time {
			found = append(found, Finding{Verdict: x.ID, Code: x.Verdict.Reasons[0].Code, Answer: x.Answer, Height: x.Height, Tx: x.Tx})
		}
	}
	slices.SortFunc(found, func(a, b Finding) int { return compareVerdicts(a.Verdict, b.Verdict) })
	return found, nil
}

func compareVerdicts(a, b lamppost.VerdictID) int {
	return cmp.Or(cmp.Compare(a.Height, b.Height), cmp.Compare(a.Tx, b.Tx), cmp.Compare(a.Index, b.Index))
}

// restOn returns the readings that edges rest on, by time: the one at each, or those around it.
func restOn(edges, have []Edge) (basis []Edge) {
	usable := slices.DeleteFunc(slices.Clone(have), func(e Edge) bool { return e.Quality >= lamppost.Faulty })
	for i := range edges {
		j, there := slices.BinarySearchFunc(usable, edges[i].Time, func(e Edge, at lamppost.TimeMS) int { return cmp.Compare(e.Time, at) })
		if !there && j > 0 {
			basis = append(basis, usable[j-1])
		}
		if j < len(usable) {
			basis = append(basis, usable[j])
		}
	}
	return basis
}

// JudgedUntil reports whether triage had judged all blocks of which a supply's readings are, having judged those up to a height. What
// somebody entered is no reading; where there is none at all, nothing was judged.
func (s *Supply) JudgedUntil(h lamppost.Height) bool {
	read := func(e Edge) bool { return !e.Manual }
	later := func(e Edge) bool { return read(e) && max(e.Source.Height, e.Next.Height) > h }
	return slices.ContainsFunc(s.Edges, read) && !slices.ContainsFunc(s.Edges, later)
}
