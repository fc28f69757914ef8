package lamppost_test

import (
	"encoding/json"
	"math"
	"math/big"
	"testing"

	"github.com/lamppost/lamppost"
	"pgregory.net/rapid"
)

// rat is a decimal's value in a library that rounds and overflows nowhere.
func rat(d lamppost.Decimal) *big.Rat {
	scale := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(-d.Exponent)), nil)
	return new(big.Rat).SetFrac(big.NewInt(d.Mantissa), scale)
}

// fits reports whether v is a decimal with the given exponent.
func fits(v *big.Rat, exp int8) bool {
	scale := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(-exp)), nil)
	m := new(big.Rat).Mul(v, new(big.Rat).SetInt(scale))
	return m.IsInt() && m.Num().IsInt64() && m.Num().Int64() != math.MinInt64
}

// near draws decimals of sizes that make sums and scalings overflow about as often as not.
func near(t *rapid.T, label string) lamppost.Decimal {
	d := drawDecimal(t, label)
	d.Mantissa >>= rapid.UintRange(0, 63).Draw(t, label+" shift")
	return d
}

// Goal: exact arithmetic is exact, and answers false where, and only where, the result is no Decimal. Method: compare
// with rational numbers.
func TestDecimalArithmetic(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := near(t, "a"), near(t, "b")
		exp := min(a.Exponent, b.Exponent)
		room := fits(rat(a), exp) && fits(rat(b), exp)
		for name, c := range map[string]struct {
			op   func(lamppost.Decimal) (lamppost.Decimal, bool)
			want *big.Rat
		}{"+": {a.Add, new(big.Rat).Add(rat(a), rat(b))}, "-": {a.Sub, new(big.Rat).Sub(rat(a), rat(b))}} {
			got, ok := c.op(b)
			if ok != (room && fits(c.want, exp)) {
				t.Fatalf("%v %s %v = %v, %v; want ok = %v", a, name, b, got, ok, !ok)
			}
			if ok && (rat(got).Cmp(c.want) != 0 || got.Exponent != exp) {
				t.Fatalf("%v %s %v = %v (exponent %d), want %v", a, name, b, got, got.Exponent, c.want)
			}
		}
		if got, want := a.Cmp(b), rat(a).Cmp(rat(b)); got != want {
			t.Fatalf("%v.Cmp(%v) = %d, want %d", a, b, got, want)
		}
	})
}

// Goal: At never loses a digit without saying so.
func TestDecimalAt(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := near(t, "d")
		exp := int8(-rapid.IntRange(0, 9).Draw(t, "exp"))
		m, ok := d.At(exp)
		if ok != fits(rat(d), exp) {
			t.Fatalf("%v.At(%d) = %d, %v; want ok = %v", d, exp, m, ok, !ok)
		}
		if ok && rat(lamppost.Dec(m, exp)).Cmp(rat(d)) != 0 {
			t.Fatalf("%v.At(%d) = %d, another value", d, exp, m)
		}
	})
}

// What is no Decimal at all must not slip through arithmetic as a number.
func TestDecimalInvalid(t *testing.T) {
	t.Parallel()
	one := lamppost.Dec(1, 0)
	for _, d := range []lamppost.Decimal{{Mantissa: 1, Exponent: 1}, {Mantissa: 1, Exponent: -10}, {Mantissa: 1, Exponent: -128},
		{Mantissa: math.MinInt64}} {
		if got, ok := one.Add(d); ok {
			t.Errorf("1 + %+v = %v", d, got)
		}
		if got, ok := d.Sub(one); ok {
			t.Errorf("%+v - 1 = %v", d, got)
		}
		if b, err := d.MarshalCBOR(); err == nil {
			t.Errorf("%+v.MarshalCBOR() = %x", d, b)
		}
	}
	if got, ok := lamppost.Dec(-math.MaxInt64, 0).Sub(one); ok {
		t.Errorf("-(2^63-1) - 1 = %v, which has 64 bits", got)
	}
}

// Goal: every notation of a decimal carries value and exponent there and back.
func TestDecimalNotations(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := near(t, "d")
		if got, want := d.String(), rat(d).FloatString(int(-d.Exponent)); got != want {
			t.Fatalf("%+v.String() = %q, want %q", d, got, want)
		}
		if got, err := lamppost.ParseDecimal(d.String()); err != nil || got != d {
			t.Fatalf("ParseDecimal(%q) = %+v, %v; want %+v", d, got, err, d)
		}
		var fromCBOR, fromJSON lamppost.Decimal
		if err := lamppost.Unmarshal(lamppost.Marshal(d), &fromCBOR); err != nil || fromCBOR != d {
			t.Fatalf("CBOR %x of %+v reads %+v, %v", lamppost.Marshal(d), d, fromCBOR, err)
		}
		text := want(json.Marshal(d))(t)
		if err := json.Unmarshal(text, &fromJSON); err != nil || fromJSON != d {
			t.Fatalf("JSON %s of %+v reads %+v, %v", text, d, fromJSON, err)
		}
	})
}

// One value, one exponent: one spelling.
func TestParseDecimalRefuses(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "-", ".", "1.", ".5", "+1", "-0", "-0.0", "01", "1e3", "1_000", "0x10", " 1", "1 ", "1,5", "1.2.3",
		"1.-5", "0.0000000001", "9223372036854775808", "-9223372036854775808", "922337203685477580.80", "NaN", "١"} {
		if d, err := lamppost.ParseDecimal(s); err == nil {
			t.Errorf("ParseDecimal(%q) = %+v, want an error", s, d)
		}
	}
}

func TestMicroString(t *testing.T) {
	t.Parallel()
	for m, want := range map[lamppost.Micro]string{0: "0.00", 1: "0.000001", 10: "0.00001", 1_500_000: "1.50", -250_000: "-0.25",
		lamppost.MicroUnit: "1.00", 12_345_600: "12.3456", math.MaxInt64: "9223372036854.775807"} {
		if got := m.String(); got != want {
			t.Errorf("Micro(%d).String() = %q, want %q", int64(m), got, want)
		}
	}
	for s, want := range map[string]lamppost.Micro{"1": 1_000_000, "1.5": 1_500_000, "-0.000001": -1} {
		if got, err := lamppost.ParseMicro(s); err != nil || got != want {
			t.Errorf("ParseMicro(%q) = %d, %v; want %d", s, int64(got), err, int64(want))
		}
	}
	for _, s := range []string{"", "0.0000001", "9223372036854.775808", "10000000000000", "1 EUR"} {
		if m, err := lamppost.ParseMicro(s); err == nil {
			t.Errorf("ParseMicro(%q) = %d, want an error", s, int64(m))
		}
	}
}

// Goal: sums of money never wrap around unseen, and every amount keeps its value as text.
func TestMicro(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Int64Range(-math.MaxInt64, math.MaxInt64).Draw(t, "a"), rapid.Int64().Draw(t, "b")
		sum := new(big.Int).Add(big.NewInt(a), big.NewInt(b))
		got, ok := lamppost.Micro(a).Add(lamppost.Micro(b))
		if ok != sum.IsInt64() || ok && int64(got) != sum.Int64() {
			t.Fatalf("%d + %d = %d, %v; want %v", a, b, int64(got), ok, sum)
		}
		var back lamppost.Micro
		text := want(json.Marshal(lamppost.Micro(a)))(t)
		if err := json.Unmarshal(text, &back); err != nil || int64(back) != a {
			t.Fatalf("JSON %s of Micro(%d) reads %d, %v", text, a, int64(back), err)
		}
	})
}
