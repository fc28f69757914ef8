package contract_test

import (
	"fmt"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/contract"
)

// computed runs an expression and returns what the program keeps of it, or why it failed.
func computed(t *rapid.T, expr string) string {
	p, err := contract.Check("def split(event, state):\n    state[\"x\"] = "+expr+"\n", contract.At(1))
	if err != nil {
		t.Fatal(err)
	}
	res, _, f := p.Run(&contract.Event{Name: contract.Split}, nil, nil)
	if f != nil {
		return f.Reason.String()
	}
	return strings.TrimSuffix(strings.TrimPrefix(string(res.State), `{"x":`), "}")
}

func literal(n int64) string {
	if n < 0 {
		return fmt.Sprintf("(%d - 1)", n+1) // the least number is no literal
	}
	return fmt.Sprint(n)
}

var numbers = rapid.OneOf(rapid.Int64(), rapid.Int64Range(-20, 20), rapid.SampledFrom([]int64{-1 << 63, 1<<63 - 1, -1<<63 + 1, 1 << 62, 1_000_000}))

// Whatever is computed is what integers of any size come to, if that fits in 64 bits; otherwise it is an error.
func TestNumbersAgainstBig(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := numbers.Draw(t, "a"), numbers.Draw(t, "b"), numbers.Draw(t, "c")
		x, y, z := big.NewInt(a), big.NewInt(b), big.NewInt(c)
		check := func(expr string, want *big.Int) {
			t.Helper()
			said := "bad_value"
			if want != nil && want.IsInt64() {
				said = want.String()
			}
			if got := computed(t, expr); got != said {
				t.Fatalf("%s is %s, want %s", expr, got, said)
			}
		}
		check(literal(a)+" + "+literal(b), new(big.Int).Add(x, y))
		check(literal(a)+" - "+literal(b), new(big.Int).Sub(x, y))
		check(literal(a)+" * "+literal(b), new(big.Int).Mul(x, y))
		check("-"+literal(a), new(big.Int).Neg(x))
		check("abs("+literal(a)+")", new(big.Int).Abs(x))
		if b != 0 {
			check(literal(a)+" // "+literal(b), floorDiv(x, y))
		}
		for _, rule := range []string{"down", "up", "half_up", "half_even"} {
			var want *big.Int
			if c != 0 {
				want = rounded(new(big.Int).Mul(x, y), z, rule)
			}
			check(fmt.Sprintf("share(%s, %s, %s, %q)", literal(a), literal(b), literal(c), rule), want)
		}
	})
}

func floorDiv(a, b *big.Int) *big.Int {
	q, m := new(big.Int).DivMod(a, b, new(big.Int)) // Euclid's: m ≥ 0
	if b.Sign() < 0 && m.Sign() != 0 {
		q.Sub(q, big.NewInt(1))
	}
	return q
}

// rounded divides magnitudes, as people do.
func rounded(a, b *big.Int, rule string) *big.Int {
	sign := a.Sign() * b.Sign()
	q, rest := new(big.Int).QuoRem(new(big.Int).Abs(a), new(big.Int).Abs(b), new(big.Int))
	half := new(big.Int).Lsh(rest, 1).Cmp(new(big.Int).Abs(b))
	if rule == "up" && rest.Sign() != 0 || rule == "half_up" && half >= 0 || rule == "half_even" && (half > 0 || half == 0 && q.Bit(0) == 1) {
		q.Add(q, big.NewInt(1))
	}
	if sign < 0 {
		q.Neg(q)
	}
	return q
}

// What is divided among weights sums to itself, and no share is a unit or more from its exact value.
func TestDivide(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		amount := rapid.Int64Range(-1<<62, 1<<62).Draw(t, "amount")
		weights := rapid.SliceOfN(rapid.OneOf(rapid.Int64Range(0, 1<<56), rapid.Int64Range(0, 9)), 1, 40).Draw(t, "weights")
		var texts []string
		whole := new(big.Int)
		for _, w := range weights {
			texts = append(texts, fmt.Sprint(w))
			whole.Add(whole, big.NewInt(w))
		}
		got := computed(t, "divide("+literal(amount)+", ["+strings.Join(texts, ", ")+"])")
		if whole.Sign() == 0 {
			if got != "bad_value" {
				t.Fatalf("by nothing: %s", got)
			}
			return
		}
		sum := new(big.Int)
		for i, text := range strings.Split(strings.Trim(got, "[]"), ",") {
			n, ok := new(big.Int).SetString(text, 10)
			if !ok {
				t.Fatalf("%s", got)
			}
			sum.Add(sum, n)
			// |n·whole − amount·weight| < whole
			off := new(big.Int).Sub(new(big.Int).Mul(n, whole), new(big.Int).Mul(big.NewInt(amount), big.NewInt(weights[i])))
			if off.Abs(off).Cmp(whole) >= 0 {
				t.Fatalf("share %d of %s is %s", i, got, n)
			}
		}
		if sum.Cmp(big.NewInt(amount)) != 0 {
			t.Fatalf("%s sums to %s, not %d", got, sum, amount)
		}
	})
}

// A bill of more parts than a program is told of becomes one part a device, with the same sums.
func TestFold(t *testing.T) {
	t.Parallel()
	var parts []contract.Part
	for i := range 300 {
		id := lamppost.DeviceID(fmt.Sprint("m", i%2))
		parts = append(parts, contract.Part{Device: id, Session: fmt.Sprint("s", i), Earns: lamppost.PartyID(id), Pays: "b", Net: 3, Used: 2, Back: i%3 == 0})
	}
	if got := contract.Fold(parts[:128]); len(got) != 128 || got[0].Session != "s0" {
		t.Errorf("128 parts became %d", len(got))
	}
	folded := contract.Fold(parts)
	var net, used lamppost.Micro
	for _, p := range folded {
		net, used = net+p.Net, used+p.Used
	}
	if len(folded) != 4 || net != 900 || used != 600 || folded[0].Session != "" {
		t.Errorf("folded: %+v", folded)
	}
}
