package compact

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/lamppost/lamppost"
)

// A Reading is a row that was kept: what it was is within Error of Value.
type Reading struct {
	AtMS  lamppost.TimeMS
	Value float64
	Error float64
}

// A Decoder gives back the rows of blocks. It keeps its memory for the next one, and is not for concurrent use.
type Decoder struct {
	codec codec
}

// Append decodes the block at the front of b, appends its readings, and returns what follows the block. It believes nothing: damaged bytes give an
// error or other values, and never more than [MaxRows] readings.
func (d *Decoder) Append(readings []Reading, b []byte) (all []Reading, rest []byte, err error) {
	var k Block
	rest, err = k.read(b)
	if err != nil {
		return readings, nil, err
	}
	n := len(readings)
	readings, err = d.codec.decode(readings, &k)
	if err != nil {
		return readings[:n], nil, err
	}
	return readings, rest, nil
}

// Head returns what the block at the front of b says of itself, and what follows the block.
func Head(b []byte) (k Block, rest []byte, err error) {
	rest, err = k.read(b)
	return k, rest, err
}

// A codec is the memory of both sides.
type codec struct {
	times  timeModel
	values residuals
	filter filter
	steps  []int64
}

func (w *codec) decode(readings []Reading, k *Block) ([]Reading, error) {
	c := newReader(k.coded)
	n := len(readings)
	for range k.Rows {
		readings = append(readings, Reading{Error: k.Achieved})
	}
	rows := readings[n:]
	if err := w.times.fill(&c, rows, k); err != nil {
		return readings, err
	}
	switch k.Method {
	case Constant:
		for i := range rows {
			rows[i].Value = k.a
		}
	case Linear:
		for i := range rows {
			rows[i].Value = k.line(i)
		}
	case Verbatim:
		for i := range rows {
			rows[i].Value = math.Float64frombits(binary.LittleEndian.Uint64(k.exact[8*i:]))
			if !(math.Abs(rows[i].Value) <= MaxValue) {
				return readings, fmt.Errorf("%w: a value that is no number", errBlock)
			}
		}
	default:
		if err := w.code(&c, k); err != nil {
			return readings, err
		}
		step := stepOf(k.Bound)
		for i, s := range w.steps {
			rows[i].Value = float64(float64(s) * step)
		}
	}
	return readings, nil
}

func (k *Block) line(i int) float64 { return k.a + float64(float64(i)*k.b) }

// stepOf is the quantiser's step: twice the bound, less a little for the rounding of products.
func stepOf(bound float64) float64 { return float64(bound * (2 - 1.0/(1<<20))) }

// code codes w.steps. Reading, it fills them.
func (w *codec) code(c *coder, k *Block) error {
	w.values, w.filter = residuals{}, filter{lag: k.Lag, rate: filterRates[k.rate]}
	if c.reading {
		w.steps = append(w.steps[:0], make([]int64, k.Rows)...)
	}
	var first numbers
	w.steps[0] = first.code(c, w.steps[0])
	for i := range w.steps {
		if !(w.steps[i] >= -mostStep && w.steps[i] <= mostStep) {
			return fmt.Errorf("%w: a step out of its limits", errBlock)
		}
		if i+1 == len(w.steps) {
			break
		}
		guess := float64(w.steps[i])
		if k.Method == Filtered {
			guess = w.filter.next(w.steps, i+1)
		}
		w.steps[i+1] = w.values.code(c, guess, w.steps[i+1])
		if k.Method == Filtered {
			w.filter.learn(w.steps[i+1])
		}
	}
	return nil
}

// A timeModel codes times: how often the difference of times stays the same, and by how much it changes then.
type timeModel struct {
	runs    numbers
	changes [3]numbers // after a change down, none, a change up
	read    []int64
}

// code codes the changes of the differences of times, in units. Reading, it fills them.
func (m *timeModel) code(c *coder, changes []int64) error {
	m.runs, m.changes = numbers{}, [3]numbers{}
	last := 1
	for i := 0; i < len(changes); i++ {
		run := 0
		for !c.reading && i+run < len(changes) && changes[i+run] == 0 {
			run++
		}
		got := m.runs.code(c, int64(run))
		if got < 0 || got > int64(len(changes)-i) {
			return fmt.Errorf("%w: more times than rows", errBlock)
		}
		i += int(got)
		if got > 0 {
			last = 1
		}
		if i == len(changes) {
			break
		}
		changes[i] = m.changes[last].code(c, changes[i])
		last = 0
		if changes[i] > 0 {
			last = 2
		}
	}
	return nil
}

// fill reads the times of rows.
func (m *timeModel) fill(c *coder, rows []Reading, k *Block) error {
	m.read = append(m.read[:0], make([]int64, len(rows)-1)...)
	changes := m.read
	if err := m.code(c, changes); err != nil {
		return err
	}
	at, difference, most := k.first, int64(1), maxTimeMS/k.unit
	rows[0].AtMS = at
	for i, change := range changes {
		if change < -4*most-1 || change > 4*most+1 {
			return fmt.Errorf("%w: a time out of its limits", errBlock)
		}
		difference += change
		if difference < -2*most || difference > 2*most {
			return fmt.Errorf("%w: a time out of its limits", errBlock)
		}
		at += lamppost.TimeMS(difference * k.unit)
		if at < -maxTimeMS || at > maxTimeMS {
			return fmt.Errorf("%w: a time out of its limits", errBlock)
		}
		rows[i+1].AtMS = at
	}
	return nil
}
