package tariff

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"

	"github.com/lamppost/lamppost"
)

// An Edge is a register's value at an instant where a price begins or ends to hold.
type Edge struct {
	Time    lamppost.TimeMS  `cbor:"1,keyasint" json:"time_ms"`
	Value   lamppost.Decimal `cbor:"2,keyasint" json:"value"`
	Quality lamppost.Quality `cbor:"3,keyasint,omitempty" json:"quality"`
	// Estimated: no reading is known at this time; the value lies on the line between those of Source and Next.
	Estimated bool   `cbor:"4,keyasint,omitempty" json:"estimated,omitempty"`
	Source    Source `cbor:"5,keyasint" json:"source"`                 // the reading; of an estimated edge the one before
	Next      Source `cbor:"6,keyasint,omitzero" json:"next,omitzero"` // of an estimated edge the reading after
	// MeterSigned: a record that the meter itself signed gives the same value at the reading's time.
	MeterSigned bool `cbor:"7,keyasint,omitempty" json:"meter_signed,omitempty"`
	// Manual: somebody entered the value by hand; Source is the order.
	Manual bool `cbor:"8,keyasint,omitempty" json:"manual,omitempty"`
}

// YieldsTo reports whether a value that is known for an instant is replaced by one that comes later. The first that a device signed
// stays, unless somebody substitutes it; what somebody estimated stays until a device signs one.
func (e *Edge) YieldsTo(next *Edge) bool {
	if next.Manual {
		return next.Quality == lamppost.Substituted
	}
	return e.Manual && e.Quality == lamppost.Estimated
}

// Declared returns a meter's readings with what was declared of its register when it was hung and when the next one was, which counts
// instead of what was signed then. where says where a point's order stands.
func Declared(have []Edge, p, next *lamppost.PointBody, where func(*lamppost.PointBody) (Source, error)) ([]Edge, error) {
	declare := func(at lamppost.TimeMS, value *lamppost.Decimal, of *lamppost.PointBody) error {
		source, err := where(of)
		if err != nil {
			return err
		}
		e := Edge{Time: at, Value: *value, Quality: lamppost.Substituted, Source: source, Manual: true}
		i, there := slices.BinarySearchFunc(have, at, func(e Edge, at lamppost.TimeMS) int { return cmp.Compare(e.Time, at) })
		if have = slices.Clone(have); there {
			have[i] = e
		} else {
			have = slices.Insert(have, i, e)
		}
		return nil
	}
	if p.Opening != nil {
		if err := declare(p.From, p.Opening, p); err != nil {
			return nil, err
		}
	}
	if next != nil && next.Closing != nil {
		if err := declare(next.From, next.Closing, next); err != nil {
			return nil, err
		}
	}
	return have, nil
}

// Moments sorts values of a register, of which those of one time were known in the order of their sources, and keeps of each time the
// one that counts, see [Edge.YieldsTo].
func Moments(all []Edge) []Edge {
	slices.SortFunc(all, func(a, b Edge) int { return cmp.Or(cmp.Compare(a.Time, b.Time), a.Source.Compare(b.Source)) })
	kept := all[:0]
	for i := range all {
		switch n := len(kept); {
		case n == 0 || kept[n-1].Time != all[i].Time:
			kept = append(kept, all[i])
		case kept[n-1].YieldsTo(&all[i]):
			kept[n-1] = all[i]
		}
	}
	return kept
}

// rolled returns by how much later a register's value is raised where it began at 0 again after an earlier one: by rollsAt, or 0. A fall
// of less than half of that is no such beginning, and is left for [Price] to refuse.
func rolled(earlier, later lamppost.Decimal, rollsAt *lamppost.Decimal) lamppost.Decimal {
	if rollsAt == nil {
		return lamppost.Decimal{}
	}
	fall, ok := earlier.Sub(later)
	twice, ok2 := fall.Add(fall)
	if ok && ok2 && twice.Cmp(*rollsAt) > 0 {
		return *rollsAt
	}
	return lamppost.Decimal{}
}

// unroll makes a register that begins at 0 again instead of showing rollsAt go on.
func unroll(edges []Edge, rollsAt *lamppost.Decimal) error {
	var turns lamppost.Decimal
	for i := range edges {
		if rollsAt == nil {
			return nil
		}
		raised, ok := edges[i].Value.Add(turns)
		if i > 0 && ok {
			more := rolled(edges[i-1].Value, raised, rollsAt)
			var ok1, ok2 bool
			turns, ok1 = turns.Add(more)
			raised, ok2 = raised.Add(more)
			ok = ok1 && ok2
		}
		if !ok {
			return fmt.Errorf("the register at %s began at 0 again too often", stamp(edges[i].Time))
		}
		edges[i].Value = raised
	}
	return nil
}

// A Source says where a signed reading stands in the ledger.
type Source struct {
	Height lamppost.Height `cbor:"1,keyasint" json:"height"` // block
	Tx     uint32          `cbor:"2,keyasint" json:"tx"`     // transaction in the block
	Report uint32          `cbor:"3,keyasint" json:"report"` // report in the segment
	Record uint32          `cbor:"4,keyasint" json:"record"` // reading in the report
}

// Compare puts sources into the order of the ledger.
func (s Source) Compare(o Source) int {
	return cmp.Or(cmp.Compare(s.Height, o.Height), cmp.Compare(s.Tx, o.Tx), cmp.Compare(s.Report, o.Report), cmp.Compare(s.Record, o.Record))
}

// rough edges make a line provisional.
func (e *Edge) rough() bool { return e.Estimated || e.Quality != lamppost.Measured }

// Edges returns the instants at which the register must be known to price [from, to): from, every change of the band or
// step of the series in between, and to. The period is first clamped to the tariff's validity. There are none for a
// period that is empty or longer than [MaxPeriodMS], or for a tariff that [Tariff.Validate] refuses. If from and to are
// UTC quarter hours, all are.
func (t *Tariff) Edges(from, to lamppost.TimeMS) []lamppost.TimeMS {
	from, to = t.clamp(from, to)
	if t.Validate() != nil || from >= to || to > maxTimeMS || to-from > MaxPeriodMS {
		return nil
	}
	var edges []lamppost.TimeMS
	for at := from; at < to; at = t.stretch(at, to).end {
		edges = append(edges, at)
	}
	return append(edges, to)
}

// clamp returns the part of [from, to) in which the tariff is valid.
func (t *Tariff) clamp(from, to lamppost.TimeMS) (lamppost.TimeMS, lamppost.TimeMS) {
	return clamp(from, to, t.From, t.To)
}

// clamp returns what [from, to) has in common with [lo, hi), where a hi of 0 means no end.
func clamp(from, to, lo, hi lamppost.TimeMS) (lamppost.TimeMS, lamppost.TimeMS) {
	if hi != 0 {
		to = min(to, hi)
	}
	return max(from, lo), to
}

// FillEdges returns the register at every wanted time: the reading that stands there, or a value on the straight line
// between the readings around it, rounded towards the earlier one and marked Estimated. Readings must ascend in time;
// those of quality [lamppost.Faulty] are passed over. A time with no reading on one of its sides is an error that names it. Where the
// register begins at 0 again instead of showing rollsAt, it goes on in the values returned; nil: it never does.
func FillEdges(want []lamppost.TimeMS, have []Edge, rollsAt *lamppost.Decimal) ([]Edge, error) {
	usable, err := usableReadings(have)
	if err != nil {
		return nil, err
	}
	edges := make([]Edge, len(want))
	for i, at := range want {
		if edges[i], err = edgeAt(at, usable, rollsAt); err != nil {
			return nil, err
		}
	}
	return edges, unroll(edges, rollsAt)
}

func usableReadings(have []Edge) ([]Edge, error) {
	for i := 1; i < len(have); i++ {
		if have[i-1].Time >= have[i].Time {
			return nil, fmt.Errorf("readings at %s and %s: times must ascend", stamp(have[i-1].Time), stamp(have[i].Time))
		}
	}
	faulty := func(e Edge) bool { return e.Quality >= lamppost.Faulty }
	if !slices.ContainsFunc(have, faulty) {
		return have, nil
	}
	return slices.DeleteFunc(slices.Clone(have), faulty), nil
}

func edgeAt(at lamppost.TimeMS, have []Edge, rollsAt *lamppost.Decimal) (Edge, error) {
	i, found := slices.BinarySearchFunc(have, at, func(e Edge, at lamppost.TimeMS) int {
		return cmp.Compare(e.Time, at)
	})
	switch {
	case found:
		return have[i], nil
	case i == 0:
		return Edge{}, fmt.Errorf("no register reading at %s or before", stamp(at))
	case i == len(have):
		return Edge{}, fmt.Errorf("no register reading at %s or after", stamp(at))
	}
	return between(&have[i-1], &have[i], at, rollsAt)
}

// between returns a + (b-a) × (at-a.Time) / (b.Time-a.Time) for a.Time < at < b.Time.
func between(a, b *Edge, at lamppost.TimeMS, rollsAt *lamppost.Decimal) (Edge, error) {
	diff, ok := b.Value.Sub(a.Value)
	diff, ok2 := diff.Add(rolled(a.Value, b.Value, rollsAt))
	if !ok || !ok2 {
		return Edge{}, fmt.Errorf("estimating the register at %s: the difference from %s to %s has too many digits", stamp(at), a.Value, b.Value)
	}
	size := uint64(diff.Mantissa)
	if diff.Mantissa < 0 {
		size = -size
	}
	// The quotient is below size, because at lies inside: it fits 64 bits, and Div64 cannot overflow.
	hi, lo := bits.Mul64(size, uint64(at-a.Time))
	part, _ := bits.Div64(hi, lo, uint64(b.Time-a.Time))
	step := int64(part)
	if diff.Mantissa < 0 {
		step = -step
	}
	value, ok := a.Value.Add(lamppost.Dec(step, diff.Exponent))
	if !ok {
		return Edge{}, fmt.Errorf("estimating the register at %s: %s has too many digits", stamp(at), a.Value)
	}
	return Edge{Time: at, Value: value, Quality: lamppost.Estimated, Estimated: true, Source: a.Source, Next: b.Source}, nil
}
