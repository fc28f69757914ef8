package lamppost

import (
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
)

// A Decimal is Mantissa × 10^Exponent, with -9 ≤ Exponent ≤ 0 and |Mantissa| < 2^63: what registers, prices and
// quantities are made of. The exponent is kept as it was signed (5.0 stays 5.0), so that encoding what was decoded gives
// the same bytes. Arithmetic on anything else answers false.
type Decimal struct {
	Mantissa int64
	Exponent int8
}

// MinExponent is the finest decimal that is accepted.
const MinExponent = -9

// Dec returns n × 10^exp.
func Dec(n int64, exp int8) Decimal { return Decimal{n, exp} }

var pow10 = [...]int64{1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000}

// At returns d's mantissa at a finer exponent, or false where it does not fit 63 bits or would lose digits.
func (d Decimal) At(exp int8) (int64, bool) {
	if exp < MinExponent || exp > 0 || d.Exponent < MinExponent || d.Exponent > 0 {
		return 0, false
	}
	if exp > d.Exponent {
		p := pow10[exp-d.Exponent]
		return d.Mantissa / p, d.Mantissa%p == 0
	}
	return mulOK(d.Mantissa, pow10[d.Exponent-exp])
}

func mulOK(a, b int64) (int64, bool) {
	neg := (a < 0) != (b < 0)
	hi, lo := bits.Mul64(abs(a), abs(b))
	if hi != 0 || lo > math.MaxInt64 {
		return 0, false
	}
	if neg {
		return -int64(lo), true
	}
	return int64(lo), true
}

func abs(a int64) uint64 {
	if a < 0 {
		return -uint64(a)
	}
	return uint64(a)
}

// Sub returns d - e at the finer of both exponents, or false on overflow.
func (d Decimal) Sub(e Decimal) (Decimal, bool) {
	exp := min(d.Exponent, e.Exponent)
	a, ok1 := d.At(exp)
	b, ok2 := e.At(exp)
	diff := a - b
	if !ok1 || !ok2 || diff == math.MinInt64 || (a >= 0) != (b >= 0) && (diff >= 0) != (a >= 0) {
		return Decimal{}, false
	}
	return Decimal{diff, exp}, true
}

// Add returns d + e at the finer of both exponents, or false on overflow.
func (d Decimal) Add(e Decimal) (Decimal, bool) {
	return d.Sub(Decimal{-e.Mantissa, e.Exponent})
}

// Cmp compares by value: -1, 0 or +1. Decimals that differ only in trailing zeros are equal.
func (d Decimal) Cmp(e Decimal) int {
	exp := min(d.Exponent, e.Exponent)
	a, okA := d.At(exp)
	b, okB := e.At(exp)
	switch {
	case okA && okB && a == b:
		return 0
	case okA && okB && a < b, !okA && d.Mantissa < 0, !okB && e.Mantissa > 0:
		return -1
	default:
		return 1
	}
}

// String returns the plain decimal notation with exactly -Exponent digits after the point.
func (d Decimal) String() string {
	digits := strconv.FormatUint(abs(d.Mantissa), 10)
	if n := int(-d.Exponent); n > 0 {
		if len(digits) <= n {
			digits = strings.Repeat("0", n+1-len(digits)) + digits
		}
		digits = digits[:len(digits)-n] + "." + digits[len(digits)-n:]
	}
	if d.Mantissa < 0 {
		return "-" + digits
	}
	return digits
}

// ParseDecimal reads what String writes.
func ParseDecimal(s string) (Decimal, error) {
	whole, frac, _ := strings.Cut(s, ".")
	m, err := strconv.ParseInt(whole+frac, 10, 64)
	d := Decimal{m, int8(-len(frac))}
	if err != nil || m == math.MinInt64 || len(frac) > -MinExponent || d.String() != s {
		return Decimal{}, fmt.Errorf("%q is not a decimal number with at most %d digits after the point", clip(s), -MinExponent)
	}
	return d, nil
}

// MarshalText writes the notation of String, so that JSON carries decimals as strings and no float ever touches them.
func (d Decimal) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads the notation of String.
func (d *Decimal) UnmarshalText(b []byte) (err error) {
	*d, err = ParseDecimal(string(b))
	return err
}

// MicroUnit is one major unit of a currency in Micro.
const MicroUnit Micro = 1_000_000

// Micro is an amount of money: 10⁻⁶ of a currency's major unit.
type Micro int64

// Add returns a + b, or false on overflow.
func (a Micro) Add(b Micro) (Micro, bool) {
	c := a + b
	return c, (b >= 0) == (c >= a)
}

// String writes the amount in major units with two digits after the point, or up to six where they are not zero.
func (a Micro) String() string {
	s := Decimal{int64(a), -6}.String()
	for i := 0; i < 4 && s[len(s)-1] == '0'; i++ {
		s = s[:len(s)-1]
	}
	return s
}

// ParseMicro reads an amount in major units with at most six digits after the point.
func ParseMicro(s string) (Micro, error) {
	d, err := ParseDecimal(s)
	if err != nil {
		return 0, fmt.Errorf("%q is not an amount of money", clip(s))
	}
	m, ok := d.At(-6)
	if !ok {
		return 0, fmt.Errorf("%q: an amount has at most six digits after the point and fits 63 bits", clip(s))
	}
	return Micro(m), nil
}

// MarshalText writes the form of String.
func (a Micro) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads what ParseMicro reads.
func (a *Micro) UnmarshalText(b []byte) (err error) {
	*a, err = ParseMicro(string(b))
	return err
}
