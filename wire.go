package lamppost

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"
	"unsafe"

	"github.com/x448/float16"
)

// The hot path of a reading is encoded and decoded by hand: no reflection, no allocation, and only the one canonical
// form (RFC 8949 §4.2.1) is ever accepted. Tests check both directions against a general CBOR library.

// CBOR major types, shifted into place.
const (
	majUint  = 0 << 5
	majNint  = 1 << 5
	majBytes = 2 << 5
	majText  = 3 << 5
	majArray = 4 << 5
	majMap   = 5 << 5
	majTag   = 6 << 5
	majOther = 7 << 5
)

func appendHead(b []byte, major byte, n uint64) []byte {
	switch {
	case n < 24:
		return append(b, major|byte(n))
	case n <= math.MaxUint8:
		return append(b, major|24, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, major|25), uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(b, major|26), uint32(n))
	default:
		return binary.BigEndian.AppendUint64(append(b, major|27), n)
	}
}

func appendInt(b []byte, n int64) []byte {
	if n < 0 {
		return appendHead(b, majNint, uint64(^n))
	}
	return appendHead(b, majUint, uint64(n))
}

func appendBytes(b, s []byte) []byte {
	return append(appendHead(b, majBytes, uint64(len(s))), s...)
}

func appendText(b []byte, s string) []byte {
	return append(appendHead(b, majText, uint64(len(s))), s...)
}

// appendDecimal writes an integer, or where there are digits after the point a decimal fraction (tag 4).
func appendDecimal(b []byte, d Decimal) []byte {
	if d.Exponent == 0 {
		return appendInt(b, d.Mantissa)
	}
	b = append(b, majTag|4, majArray|2)
	return appendInt(appendInt(b, int64(d.Exponent)), d.Mantissa)
}

// appendFloat writes the shortest of half, single and double precision that keeps the value.
func appendFloat(b []byte, f float64) []byte {
	single := float32(f)
	if float64(single) != f {
		return binary.BigEndian.AppendUint64(append(b, majOther|27), math.Float64bits(f))
	}
	if half := float16.Fromfloat32(single); half.Float32() == single {
		return binary.BigEndian.AppendUint16(append(b, majOther|25), half.Bits())
	}
	return binary.BigEndian.AppendUint32(append(b, majOther|26), math.Float32bits(single))
}

// appendTime writes milliseconds as whole seconds, or as a decimal fraction with exponent -3 (RFC 8428 §4.5.3: seconds).
func appendTime(b []byte, t TimeMS) []byte {
	if t%1000 == 0 {
		return appendInt(b, int64(t/1000))
	}
	return appendDecimal(b, Decimal{int64(t), -3})
}

// A wire reads canonical CBOR. The first fault sticks: reads after it return zero values, and err names the fault, so
// that a decoder is one straight story with a single check at its end (and at loops).
type wire struct {
	b   []byte
	off int
	err error
}

var (
	errShort     = errors.New("cut short")
	errCanonical = errors.New("not in deterministic form (RFC 8949 §4.2.1)")
)

func (w *wire) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

func (w *wire) more() bool { return w.err == nil && w.off < len(w.b) }

func (w *wire) peek() byte {
	if !w.more() {
		return 0xff // "break": never valid here
	}
	return w.b[w.off]
}

// raw takes the next n bytes; the result aliases the input.
func (w *wire) raw(n uint64) []byte {
	if w.err != nil || n > uint64(len(w.b)-w.off) {
		w.fail(errShort)
		return nil
	}
	s := w.b[w.off : w.off+int(n) : w.off+int(n)]
	w.off += int(n)
	return s
}

// head reads a major type and its argument in the shortest form.
func (w *wire) head() (major byte, n uint64) {
	first := w.raw(1)
	if first == nil {
		return 0xff, 0
	}
	major, info := first[0]&0xe0, first[0]&0x1f
	if info < 24 {
		return major, uint64(info)
	}
	if info > 27 {
		w.fail(errCanonical)
		return 0xff, 0
	}
	size := 1 << (info - 24)
	for _, c := range w.raw(uint64(size)) {
		n = n<<8 | uint64(c)
	}
	if short := n < 24 || size > 1 && n>>(size*4) == 0; short && major != majOther {
		w.fail(errCanonical)
	}
	return major, n
}

func (w *wire) want(major byte, what string) uint64 {
	m, n := w.head()
	if m != major {
		w.fail(fmt.Errorf("expected %s", what))
		return 0
	}
	return n
}

func (w *wire) uint() uint64       { return w.want(majUint, "an unsigned integer") }
func (w *wire) arrayLen() uint64   { return w.want(majArray, "an array") }
func (w *wire) mapLen() uint64     { return w.want(majMap, "a map") }
func (w *wire) tag() uint64        { return w.want(majTag, "a tag") }
func (w *wire) bytes() []byte      { return w.raw(w.want(majBytes, "a byte string")) }
func (w *wire) array(n uint64)     { w.exactly(w.arrayLen(), n, "items of an array") }
func (w *wire) uint32() (n uint32) { return uint32(w.max(w.uint(), math.MaxUint32)) }

func (w *wire) exactly(got, want uint64, what string) {
	if w.err == nil && got != want {
		w.fail(fmt.Errorf("%s: expected %d, got %d", what, want, got))
	}
}

func (w *wire) constInt(want int64) {
	if got := w.int(); w.err == nil && got != want {
		w.fail(fmt.Errorf("expected the integer %d, got %d", want, got))
	}
}

func (w *wire) max(n, limit uint64) uint64 {
	if n > limit {
		w.fail(fmt.Errorf("%d is over the limit of %d", n, limit))
		return 0
	}
	return n
}

// int reads an integer n with |n| < 2^63: the one more that two's complement has below zero could not be negated.
func (w *wire) int() int64 {
	m, n := w.head()
	switch {
	case n > math.MaxInt64 || m != majUint && m != majNint || m == majNint && n == math.MaxInt64:
		w.fail(errors.New("expected an integer of at most 63 bits"))
		return 0
	case m == majNint:
		return ^int64(n)
	default:
		return int64(n)
	}
}

// text reads a UTF-8 string of at most limit bytes. The string aliases the input, which must not change afterwards.
func (w *wire) text(limit int) string {
	s := w.raw(w.max(w.want(majText, "a text string"), uint64(limit)))
	if len(s) == 0 {
		return ""
	}
	if !utf8.Valid(s) {
		w.fail(errors.New("text is not UTF-8"))
		return ""
	}
	return unsafe.String(&s[0], len(s))
}

func (w *wire) decimal() Decimal {
	if w.peek()&0xe0 != majTag {
		return Decimal{Mantissa: w.int()}
	}
	w.exactly(w.tag(), 4, "tag of a decimal fraction")
	w.array(2)
	exp := w.int()
	if exp < MinExponent || exp >= 0 {
		w.fail(fmt.Errorf("a decimal fraction has an exponent from %d to -1 here", MinExponent))
		return Decimal{}
	}
	return Decimal{w.int(), int8(exp)}
}

func (w *wire) float() float64 {
	start := w.off
	m, n := w.head()
	var f float64
	switch size := w.off - start; {
	case w.err != nil:
		return 0
	case m == majOther && size == 3:
		f = float64(float16.Frombits(uint16(n)).Float32())
	case m == majOther && size == 5:
		f = float64(math.Float32frombits(uint32(n)))
	case m == majOther && size == 9:
		f = math.Float64frombits(n)
	default:
		w.fail(errors.New("expected a number"))
		return 0
	}
	if math.IsNaN(f) || math.IsInf(f, 0) {
		w.fail(errors.New("NaN and infinity are not readings"))
		return 0
	}
	var again [9]byte
	if len(appendFloat(again[:0], f)) != w.off-start {
		w.fail(errCanonical)
	}
	return f
}

// time reads what appendTime writes. |t| stays below 2^53 ms so that sums of two never overflow.
func (w *wire) time() TimeMS {
	d := w.decimal()
	ms := d.Mantissa
	switch {
	case d.Exponent == 0 && ms < 1<<43 && ms > -(1<<43):
		ms *= 1000
	case d.Exponent == -3 && ms%1000 != 0 && ms < 1<<53 && ms > -(1<<53):
	default:
		w.fail(errors.New("a time is whole seconds, or a decimal fraction with exponent -3"))
		return 0
	}
	return TimeMS(ms)
}

// end refuses trailing bytes and returns the first fault with what was being read.
func (w *wire) end(what string) error {
	if w.err == nil && w.off != len(w.b) {
		w.fail(fmt.Errorf("%d bytes after the end", len(w.b)-w.off))
	}
	if w.err != nil {
		return fmt.Errorf("%s: byte %d: %w", what, w.off, w.err)
	}
	return nil
}

// MarshalCBOR writes an integer or a decimal fraction (tag 4).
func (d Decimal) MarshalCBOR() ([]byte, error) {
	if _, ok := d.At(d.Exponent); !ok {
		return nil, fmt.Errorf("%d × 10^%d is not a decimal with an exponent from %d to 0", d.Mantissa, d.Exponent, MinExponent)
	}
	return appendDecimal(nil, d), nil
}

// UnmarshalCBOR reads what MarshalCBOR writes.
func (d *Decimal) UnmarshalCBOR(b []byte) error {
	w := wire{b: b}
	*d = w.decimal()
	return w.end("decimal")
}
