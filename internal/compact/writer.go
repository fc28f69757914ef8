package compact

import (
	"encoding"

	"github.com/lamppost/lamppost"
)

// A Detector says what is unusual in a series, one reading after the other. Its state can be saved, and goes on the same when it is restored.
type Detector interface {
	// Alarm takes the next reading in and says whether it is an alarm. One that the detector refuses is none.
	Alarm(at lamppost.TimeMS, value float64) bool
	encoding.BinaryAppender
	encoding.BinaryUnmarshaler
}

// A Writer keeps one series as it grows: blocks of up to [MaxRows] rows, each within the bound that follows from what the series has shown so far,
// and closer where a detector would not tell the same of what is read back. It is not for concurrent use.
type Writer struct {
	// Share is the bound as a share of the range so far; 0: RangeShare and UsualShare.
	Share float64

	encoder *Encoder
	span    Span
	watch   *watch // nil: no detector has a say
	bounds  []float64
}

// NewWriter returns a writer of a new series, which borrows an encoder. detect makes a detector for such a series; nil, or one that returns nil:
// none has a say.
func NewWriter(e *Encoder, detect func() Detector) *Writer {
	w := &Writer{encoder: e}
	if detect == nil {
		return w
	}
	if came := detect(); came != nil {
		w.watch = &watch{came: came, back: detect()}
	}
	return w
}

// A Told says what the detectors said to a block.
type Told struct {
	Tries int  // bounds tried
	Same  bool // each alarm in what came is told near its row in what is read back; true where no detector has a say
}

// Append appends a block of the series's next rows, as [Encoder.Append] does.
func (w *Writer) Append(b []byte, rows []Row, why Reason) ([]byte, Block, Told, error) {
	if err := check(rows, 0); err != nil {
		return b, Block{}, Told{}, err
	}
	w.span.Add(rows)
	bound := w.span.Bound()
	if w.Share > 0 {
		bound = float64(w.Share * (w.span.high - w.span.low))
	}
	if w.watch == nil {
		all, k, err := w.encoder.Append(b, rows, bound, why)
		return all, k, Told{1, true}, err
	}
	w.watch.begin(rows)
	w.bounds = w.bounds[:0]
	for _, part := range Closer {
		w.bounds = append(w.bounds, float64(bound*part))
	}
	all, k, err := w.encoder.AppendTold(b, rows, w.bounds, why, w.watch.same)
	return all, k, Told{w.watch.tries, w.watch.agrees}, err
}

// nearRows is how far an alarm in what is read back may be from one in what came.
const nearRows = 30

// A watch runs two detectors, one over what came and one over what is read back.
type watch struct {
	came, back Detector
	rows       int   // before this block
	size       int   // rows of this block
	raw, told  []int // rows with an alarm: of this block in what came; of this one and the end of the last in what is read back
	before     int   // of told, those before this block
	state      []byte
	tries      int
	agrees     bool
}

// begin is called before a block.
func (w *watch) begin(rows []Row) {
	w.rows, w.size, w.tries = w.rows+w.size, len(rows), 0
	w.raw = w.raw[:0]
	for i, r := range rows {
		if w.came.Alarm(r.AtMS, r.Value) {
			w.raw = append(w.raw, w.rows+i)
		}
	}
	for len(w.told) > 0 && w.told[0] < w.rows-nearRows {
		w.told = w.told[1:]
	}
	w.before = len(w.told)
	w.state, _ = w.back.AppendBinary(w.state[:0]) // it has no error
}

// same tells whether each alarm of the block is told near its row in what is read back.
func (w *watch) same(back []Reading) bool {
	if w.tries++; w.tries > 1 {
		if err := w.back.UnmarshalBinary(w.state); err != nil {
			panic("the state of a detector does not load: " + err.Error())
		}
	}
	w.told = w.told[:w.before]
	for i, r := range back {
		if w.back.Alarm(r.AtMS, r.Value) {
			w.told = append(w.told, w.rows+i)
		}
	}
	w.agrees = true
	for _, at := range w.raw {
		w.agrees = w.agrees && near(w.told, at)
	}
	return w.agrees
}

func near(rows []int, at int) bool {
	for _, row := range rows {
		if row >= at-nearRows && row <= at+nearRows {
			return true
		}
	}
	return false
}
