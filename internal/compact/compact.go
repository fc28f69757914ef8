// Package compact knows how a series of readings is kept in few bytes, every value within a stated error.
//
// Start reading at [Encoder.Append], which makes a block of rows, and [Decode], which gives them back with their error bars. A block is
// made by the cheapest of five methods; before it is accepted it is decoded again and each row is held against the bound. A [Writer] keeps a series
// block by block, chooses the bound and hears a detector. [Classify] says which readings may be kept so, and which must stay as they were signed.
//
// What it promises: a value comes back within its block's bound, times exactly; the same rows give the same bytes, and the same bytes the same
// values on every machine; a block decodes alone, in memory bounded by [MaxRows]. What it does not: it proves nothing, since what a device signed is
// gone; it notices no flipped bit, which is for whoever stores the block.
package compact

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/lamppost/lamppost"
)

// Limits.
const (
	MaxRows  = 8192    // of a block
	MaxValue = 1e30    // of a reading's magnitude, as in package triage
	MaxLag   = MaxRows // rows of a season

	maxTimeMS = 1 << 60
	mostStep  = 1 << 50 // of the quantiser: steps are exact in float64
)

// What is refused.
var (
	ErrRows   = errors.New("a block has 1 to 8192 rows")
	ErrNumber = errors.New("a value is a finite number of a magnitude up to 1e30")
	ErrTime   = errors.New("a time is within 2^60 milliseconds of 1970")
	ErrBound  = errors.New("a bound is a number, and not below 0")

	errBlock = errors.New("damaged block")
)

// A Row is a value and its time.
type Row struct {
	AtMS  lamppost.TimeMS
	Value float64
}

// A Method says how a block keeps values.
type Method uint8

// Methods. Verbatim is for what no other keeps within the bound, or in fewer bytes.
const (
	Verbatim Method = iota // 8 bytes each, exactly
	Constant               // one value
	Linear                 // a line over the rows
	Last                   // steps of a quantiser, foreseen by the last one
	Filtered               // steps of a quantiser, foreseen by a filter that learns
	methods
)

var methodNames = [methods]string{"verbatim", "constant", "linear", "last", "filtered"}

// String returns the method's name.
func (m Method) String() string { return methodNames[m] }

// A Block says of a block what its header says.
type Block struct {
	Method   Method
	Reason   Reason
	Rows     int
	Bound    float64 // no row is farther from what it was
	Achieved float64 // the largest error of a row, rounded up: the error bar of each
	Lag      int     // rows of the season that Filtered looks back; 0: none

	rate  int // of its filter, in filterRates
	first lamppost.TimeMS
	unit  int64 // of differences of times, in ms
	a, b  float64
	coded []byte
	exact []byte // Verbatim's values
}

const (
	version     = 1
	headerFixed = 11 // version, method, reason, bound, achieved
)

// read takes a block off the front of b.
func (k *Block) read(b []byte) (rest []byte, err error) {
	if len(b) < headerFixed || b[0] != version || b[1] >= byte(methods) || b[2] >= byte(reasons) {
		return nil, fmt.Errorf("%w: unknown version, method or reason", errBlock)
	}
	*k = Block{Method: Method(b[1]), Reason: Reason(b[2])}
	k.Bound, k.Achieved = float32At(b[3:]), float32At(b[7:])
	if !(k.Achieved >= 0 && k.Achieved <= k.Bound && k.Bound <= math.MaxFloat32) {
		return nil, fmt.Errorf("%w: bound %v, achieved %v", errBlock, k.Bound, k.Achieved)
	}
	r := reader{b: b[headerFixed:]}
	k.Rows = int(r.uint(1, MaxRows))
	k.first = lamppost.TimeMS(r.int(maxTimeMS))
	k.unit = int64(r.uint(1, maxTimeMS))
	switch k.Method {
	case Constant:
		k.a = r.float()
	case Linear:
		k.a, k.b = r.float(), r.float()
	case Filtered:
		k.Lag, k.rate = int(r.uint(0, MaxLag)), int(r.uint(0, uint64(len(filterRates)-1)))
		if k.Lag == 1 { // it would look at the row itself
			r.fail("a season of one row")
		}
	case Verbatim:
		k.exact = r.bytes(8 * k.Rows)
	}
	k.coded = r.bytes(int(r.uint(0, 64*MaxRows)))
	return r.b, r.err
}

// append writes a block whose parts are known.
func (k *Block) append(b []byte) []byte {
	b = append(b, version, byte(k.Method), byte(k.Reason))
	b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(k.Bound)))
	b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(k.Achieved)))
	b = binary.AppendUvarint(b, uint64(k.Rows))
	b = binary.AppendVarint(b, int64(k.first))
	b = binary.AppendUvarint(b, uint64(k.unit))
	switch k.Method {
	case Constant:
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(k.a))
	case Linear:
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(k.a))
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(k.b))
	case Filtered:
		b = binary.AppendUvarint(b, uint64(k.Lag))
		b = append(b, byte(k.rate))
	case Verbatim:
		b = append(b, k.exact...)
	}
	b = binary.AppendUvarint(b, uint64(len(k.coded)))
	return append(b, k.coded...)
}

func float32At(b []byte) float64 { return float64(math.Float32frombits(binary.LittleEndian.Uint32(b))) }

// A reader takes numbers off the front of bytes. After an error it gives zeros.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", errBlock, what)
	}
	r.b = nil
}

func (r *reader) uint(least, most uint64) uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v < least || v > most {
		r.fail("a number out of its limits")
		return least
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) int(most int64) int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 || v < -most || v > most {
		r.fail("a time out of its limits")
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) bytes(n int) []byte {
	if len(r.b) < n {
		r.fail("it is cut off")
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) float() float64 {
	b := r.bytes(8)
	if b == nil {
		return 0
	}
	v := math.Float64frombits(binary.LittleEndian.Uint64(b))
	if !(math.Abs(v) <= MaxValue) {
		r.fail("a value that is no number")
	}
	return v
}
