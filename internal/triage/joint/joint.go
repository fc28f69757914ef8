// Package joint knows what is unusual in several quantities that come in one report, judged together: which of them departs from what the
// others say, though each alone may look usual.
//
// Start reading at [Vector], which judges one row of values after the other. Of each quantity two numbers are followed: how far it is from
// its own mean, and how far from what the others and the rows before say (relations.go). Both are smoothed and held against their own past
// (stream.go), and together they make the score. docs/intelligence.md has what that finds in public data, and how it was chosen.
//
// What it promises: a verdict depends only on the rows up to it; the same rows give the same bits on every machine, whether or not the state
// was saved and restored between them; a vector takes less than [MaxBytes]; a row allocates nothing. What it does not: it knows no device,
// ledger or disk, nor what a quantity is: a register's must be what was used in a step.
package joint

import (
	"errors"
	"math"
	"math/bits"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/triage"
)

// Limits.
const (
	MaxQuantities = 64
	MaxNameBytes  = 64
	MaxBytes      = 128 << 10 // in memory, and saved

	maxRows = math.MaxInt32
)

// DefaultLevel is the score of an alarm. It was chosen on one part of the benchmarks: see docs/intelligence.md.
const DefaultLevel = 2.15

// What is refused, beside what package triage names. A refused row changes nothing.
var (
	ErrQuantities = errors.New("2 to 64 quantities are judged together, each with a name of its own of 1 to 64 bytes")
	ErrRow        = errors.New("a row has one value for each quantity, and at least one is present")
)

// A Code says in which way a quantity is unusual.
type Code uint8

// Codes.
const (
	Relation Code = iota + 1 // it is not what the others and the rows before say
	Level                    // it is not what it was
)

var codeNames = [...]string{"unknown", "relation", "level"}

// String returns the code's name, as the ledger and the API have it.
func (c Code) String() string {
	if int(c) < len(codeNames) {
		return codeNames[c]
	}
	return codeNames[0]
}

// A Reason is one quantity that is unusual, in numbers.
type Reason struct {
	Code      Code
	Quantity  string
	Other     string  // Relation: the quantity that this one leans on most
	Worth     float64 // by how much the score is lower without it
	Value     float64 // the mean of the latest five rows or so, later ones weigh more
	Low, High float64 // expected of it, less and more the usual error
}

// A Verdict is what a vector says of a row.
type Verdict struct {
	Score float64 // how unusual: 0 is usual; about the deviations that the most unusual quantity is away, comparable between vectors
	Alarm bool
	Fresh bool // there is too little to compare with

	// Of an alarm: the weightiest reasons, and what the score would be without these quantities. The slice is the vector's own until the
	// next row.
	Reasons []Reason
	Without float64
}

// A Vector judges the rows of several quantities. It is not for concurrent use.
type Vector struct {
	names []string
	alarm triage.Alarm

	begun      bool
	rows       int
	atMS       lamppost.TimeMS
	score      float64
	unusual    int // rows in a row that were
	quantities []quantity
	relations  relations
	reasons    [triage.MaxReasons]Reason
}

// A quantity is what is known of one.
type quantity struct {
	scale    scale
	level    stream
	relation stream
}

// How rows are judged and learnt.
const (
	settling = 30  // rows until scales are good enough for the rest
	fresh    = 100 // rows that have too little before them

	// What is unusual is hardly learnt: else an attack that lasts becomes the usual. Nor is it never learnt, and where it is
	// unusual for very long the vector begins anew: the plant was rebuilt.
	unusualScore = 4
	hardly       = 0.01
	veryLong     = 500
)

// New returns a vector of the quantities of these names, in the order in which their values come.
func New(names ...string) (*Vector, error) {
	if len(names) < 2 || len(names) > MaxQuantities {
		return nil, ErrQuantities
	}
	for i, name := range names {
		if name == "" || len(name) > MaxNameBytes || slices.Contains(names[:i], name) {
			return nil, ErrQuantities
		}
	}
	v := &Vector{names: slices.Clone(names), alarm: triage.NewAlarm(DefaultLevel), quantities: make([]quantity, len(names)),
		relations: newRelations(len(names))}
	return v, nil
}

// Raise puts something above 0 upon the level of the vector until it is called again: what whoever has many wants fewer alarms by. A saved
// state does not hold it.
func (v *Vector) Raise(by float64) { v.alarm.Raise(by) }

// Level is what the latest score was held against.
func (v *Vector) Level() float64 { return v.alarm.Height() }

// Accept notes that a person called an alarm of this score usual: for 40,000 rows only a higher score is one. A saved state holds it.
func (v *Vector) Accept(score float64) { v.alarm.Accept(score) }

// forget begins anew, alarms and time apart.
func (v *Vector) forget() {
	v.rows, v.score, v.unusual = 0, 0, 0
	clear(v.quantities)
	v.relations.forget()
}

// Observe judges a row and learns it. Values are in the order of the names; where the bit in present is not set, nothing is known of the
// value. It refuses [ErrRow], triage.ErrNumber, triage.ErrLate and triage.ErrDuplicate.
func (v *Vector) Observe(at lamppost.TimeMS, values []float64, present uint64) (Verdict, error) {
	if err := v.check(at, values, present); err != nil {
		return Verdict{}, err
	}
	if v.unusual == veryLong {
		v.forget()
	}
	v.begun, v.atMS = true, at
	v.rows = min(v.rows+1, maxRows)
	v.judge(values, present)
	verdict := Verdict{Score: v.score, Fresh: v.rows <= fresh}
	if verdict.Alarm = v.alarm.Next(v.score); verdict.Alarm {
		verdict.Reasons, verdict.Without = v.explain()
	}
	return verdict, nil
}

func (v *Vector) check(at lamppost.TimeMS, values []float64, present uint64) error {
	if len(values) != len(v.names) || present == 0 || bits.Len64(present) > len(values) {
		return ErrRow
	}
	for i, x := range values {
		if has(present, i) && !(math.Abs(x) <= triage.MaxValue) {
			return triage.ErrNumber
		}
	}
	switch {
	case v.begun && at < v.atMS:
		return triage.ErrLate
	case v.begun && at == v.atMS:
		return triage.ErrDuplicate
	}
	return nil
}

func has(present uint64, i int) bool { return present>>i&1 == 1 }

func (v *Vector) judge(values []float64, present uint64) {
	learn := 1.0
	if v.unusual > 0 {
		learn = hardly
	}
	z := v.relations.row(learn)
	for i := range z {
		if has(present, i) {
			z[i] = v.quantities[i].scale.next(values[i], learn)
		}
	}
	if v.rows <= settling {
		return
	}
	v.relations.predict(present)
	for i := range v.quantities {
		q := &v.quantities[i]
		if !has(present, i) {
			q.level.miss()
			q.relation.miss()
			continue
		}
		q.level.next(z[i], learn)
		q.relation.next(v.relations.residual(i), learn)
	}
	v.relations.learn()
	if v.score = v.scoreOf(v.sum()); v.score >= unusualScore {
		v.unusual++
	} else {
		v.unusual = 0
	}
}
