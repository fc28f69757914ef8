package compact

import (
	"encoding/binary"
	"fmt"
	"math"
)

// An Encoder makes blocks. It keeps its memory for the next one, and is not for concurrent use.
type Encoder struct {
	codec   codec
	changes []int64
	coded   [2][]byte // of the method at hand and of the best one so far
	exact   []byte
	block   []byte
	check   []Reading
}

// Append appends a block of rows, each value within bound of what it was; a bound of 0 keeps every bit. Rows need be in no order. It refuses
// [ErrRows], [ErrNumber], [ErrTime], [ErrBound].
func (e *Encoder) Append(b []byte, rows []Row, bound float64, why Reason) ([]byte, Block, error) {
	if err := check(rows, bound); err != nil {
		return b, Block{}, err
	}
	if why >= reasons {
		return b, Block{}, fmt.Errorf("reason %d is none", why)
	}
	k := Block{Reason: why, Rows: len(rows), Bound: below(bound), first: rows[0].AtMS}
	k.unit = e.difference(rows)
	best := e.cheapest(rows, k)
	if err := e.verify(rows, &best); err != nil {
		best = e.verbatim(rows, k)
		if err := e.verify(rows, &best); err != nil {
			return b, Block{}, fmt.Errorf("a block that was made does not decode: %w", err)
		}
	}
	return best.append(b), best, nil
}

// AppendTold is Append with the first of some bounds at which told agrees to what would be read back, or with the last of them. told must not keep the
// readings.
func (e *Encoder) AppendTold(b []byte, rows []Row, bounds []float64, why Reason, told func([]Reading) bool) ([]byte, Block, error) {
	for i, bound := range bounds {
		all, k, err := e.Append(b, rows, bound, why)
		if err != nil || told(e.check) || i+1 == len(bounds) {
			return all, k, err
		}
	}
	return b, Block{}, ErrBound
}

func check(rows []Row, bound float64) error {
	switch {
	case len(rows) < 1 || len(rows) > MaxRows:
		return ErrRows
	case !(bound >= 0):
		return ErrBound
	}
	for _, r := range rows {
		if err := r.Check(); err != nil {
			return err
		}
	}
	return nil
}

// Check refuses what no block can have: [ErrNumber], [ErrTime].
func (r Row) Check() error {
	if !(math.Abs(r.Value) <= MaxValue) {
		return ErrNumber
	}
	if r.AtMS < -maxTimeMS || r.AtMS > maxTimeMS {
		return ErrTime
	}
	return nil
}

// below is the largest float32 that is not above a bound.
func below(bound float64) float64 {
	f := float32(min(bound, MaxValue))
	if float64(f) > bound {
		f = math.Nextafter32(f, 0)
	}
	return float64(f)
}

// above is the least float32 that is not below an error.
func above(e float64) float64 {
	f := float32(e)
	if float64(f) < e {
		f = math.Nextafter32(f, math.MaxFloat32)
	}
	return float64(f)
}

// difference fills e.changes, and returns the unit of all differences of times.
func (e *Encoder) difference(rows []Row) (unit int64) {
	e.changes = e.changes[:0]
	for i := 1; i < len(rows); i++ {
		unit = gcd(unit, int64(rows[i].AtMS-rows[i-1].AtMS))
	}
	unit = max(unit, 1)
	last := int64(1)
	for i := 1; i < len(rows); i++ {
		d := int64(rows[i].AtMS-rows[i-1].AtMS) / unit
		e.changes, last = append(e.changes, d-last), d
	}
	return unit
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return max(a, -a)
}

// cheapest tries the methods.
func (e *Encoder) cheapest(rows []Row, k Block) Block {
	if c, ok := e.constant(rows, k); ok {
		return c
	}
	if c, ok := e.linear(rows, k); ok {
		return c
	}
	best := e.verbatim(rows, k)
	if !e.quantise(rows, k.Bound) {
		return best
	}
	size := len(best.exact) + len(best.coded)
	try := func(m Method, lag, rate int) {
		c := k
		c.Method, c.Lag, c.rate = m, lag, rate
		w := newWriter(e.coded[0][:0])
		_ = e.codec.times.code(&w, e.changes) // only reading fails
		_ = e.codec.code(&w, &c)
		c.coded = w.end(0)
		e.coded[0] = c.coded
		if len(c.coded) < size {
			size, best = len(c.coded), c
			e.coded[0], e.coded[1] = e.coded[1], e.coded[0]
		}
	}
	try(Last, 0, 0)
	try(Filtered, 0, 0)
	for _, season := range [...]int64{dayMS, weekMS} {
		if lag := season / k.unit; season%k.unit == 0 && lag > 1 && lag < int64(len(rows))*3/4 {
			try(Filtered, int(lag), 0)
		}
	}
	for rate := 1; rate < len(filterRates); rate++ {
		try(Filtered, best.Lag, rate)
	}
	return best
}

// Seasons that are tried, where rows have a regular step.
const (
	dayMS  = 86_400_000
	weekMS = 7 * dayMS
)

func (e *Encoder) verbatim(rows []Row, k Block) Block {
	k.Method = Verbatim
	e.exact = e.exact[:0]
	for _, r := range rows {
		e.exact = binary.LittleEndian.AppendUint64(e.exact, math.Float64bits(r.Value))
	}
	k.exact = e.exact
	k.coded = e.times(1)
	return k
}

// times codes the times alone.
func (e *Encoder) times(place int) []byte {
	w := newWriter(e.coded[place][:0])
	_ = e.codec.times.code(&w, e.changes) // only reading fails
	e.coded[place] = w.end(0)
	return e.coded[place]
}

func (e *Encoder) constant(rows []Row, k Block) (Block, bool) {
	low, high := rows[0].Value, rows[0].Value
	for _, r := range rows {
		low, high = min(low, r.Value), max(high, r.Value)
	}
	k.Method, k.a = Constant, low+(high-low)/2
	if low == high {
		k.a = low
	}
	if max(high-k.a, k.a-low) > k.Bound {
		return k, false
	}
	k.coded = e.times(1)
	return k, true
}

// linear tries the line from the first row to the last, moved to the middle of what is above and below it.
func (e *Encoder) linear(rows []Row, k Block) (Block, bool) {
	if len(rows) < 3 {
		return k, false
	}
	k.Method, k.a = Linear, rows[0].Value
	k.b = (rows[len(rows)-1].Value - k.a) / float64(len(rows)-1)
	low, high := 0.0, 0.0
	for i, r := range rows {
		d := r.Value - k.line(i)
		low, high = min(low, d), max(high, d)
		if high-low > float64(2*k.Bound) {
			return k, false
		}
	}
	k.a += low + (high-low)/2 // beyond MaxValue it does not decode, and the block is verbatim
	for i, r := range rows {
		if !(math.Abs(r.Value-k.line(i)) <= k.Bound) {
			return k, false
		}
	}
	k.coded = e.times(1)
	return k, true
}

// quantise fills the steps, unless they are too large to be exact.
func (e *Encoder) quantise(rows []Row, bound float64) bool {
	step := stepOf(bound)
	e.codec.steps = e.codec.steps[:0]
	for _, r := range rows {
		s := math.Round(r.Value / step)
		if !(math.Abs(s) <= mostStep) {
			return false
		}
		e.codec.steps = append(e.codec.steps, int64(s))
	}
	return true
}

// verify decodes a block, holds every row against the bound, and notes the largest error.
func (e *Encoder) verify(rows []Row, k *Block) error {
	k.Achieved = k.Bound
	e.block = k.append(e.block[:0])
	var again Block
	rest, err := again.read(e.block)
	if err != nil {
		return err
	}
	if e.check, err = e.codec.decode(e.check[:0], &again); err != nil {
		return err
	}
	worst := 0.0
	for i, r := range rows {
		worst = max(worst, math.Abs(r.Value-e.check[i].Value))
		if e.check[i].AtMS != r.AtMS {
			return fmt.Errorf("%w: row %d has another time", errBlock, i)
		}
	}
	if !(worst <= k.Bound) || len(rest) > 0 {
		return fmt.Errorf("%w: off by %v, the bound is %v", errBlock, worst, k.Bound)
	}
	k.Achieved = min(above(worst), k.Bound)
	return nil
}
