package mlav_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"math/big"
	"slices"
	"testing"

	"github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"

	"github.com/lamppost/lamppost/bench/mlav"
)

func authority(t testing.TB) *mlav.Authority {
	t.Helper()
	a, err := mlav.NewAuthority(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// signed returns n messages, signed in turn by so many devices.
func signed(t testing.TB, a *mlav.Authority, n, devices int) []mlav.Item {
	t.Helper()
	keys := make([]*mlav.Key, devices)
	for i := range keys {
		var err error
		if keys[i], err = a.Extract(fmt.Sprintf("lamp-%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	items := make([]mlav.Item, n)
	for i := range items {
		items[i] = mlav.Item{Identity: keys[i%devices].Identity(), Msg: fmt.Appendf(nil, "reading %d", i)}
		var err error
		if items[i].Sig, err = keys[i%devices].Sign(rand.Reader, items[i].Msg); err != nil {
			t.Fatal(err)
		}
	}
	return items
}

func batch(t testing.TB, p *mlav.Params, items []mlav.Item) bool {
	t.Helper()
	ok, err := p.VerifyBatch(rand.Reader, items)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

func all(p *mlav.Params, items []mlav.Item) bool {
	return !slices.ContainsFunc(items, func(it mlav.Item) bool { return !p.Verify(it) })
}

// TestHonest: what devices sign is valid, alone and in batches of one signer, of many, and of more than 40, where another
// check of the subgroup is used.
func TestHonest(t *testing.T) {
	t.Parallel()
	a := authority(t)
	for _, c := range []struct{ n, devices int }{{0, 1}, {1, 1}, {2, 1}, {2, 2}, {10, 3}, {100, 100}} {
		items := signed(t, a, c.n, c.devices)
		if !batch(t, a.Params(), items) {
			t.Errorf("a batch of %d by %d devices is refused", c.n, c.devices)
		}
		if c.n <= 10 && !all(a.Params(), items) {
			t.Errorf("one of %d by %d devices is refused", c.n, c.devices)
		}
	}
}

// TestRefused: anything that is not as it was signed is refused, alone and among good ones.
func TestRefused(t *testing.T) {
	t.Parallel()
	a := authority(t)
	good := signed(t, a, 3, 2)
	other := signed(t, authority(t), 3, 2)
	stray := outsideSubgroup(t)
	infinity := append([]byte{0xc0}, make([]byte, 47)...)
	cases := map[string]func(it *mlav.Item){
		"another message":         func(it *mlav.Item) { it.Msg = []byte("reading 9") },
		"another device":          func(it *mlav.Item) { it.Identity = good[1].Identity },
		"another authority":       func(it *mlav.Item) { it.Sig = other[0].Sig },
		"another signature":       func(it *mlav.Item) { it.Sig = good[2].Sig },
		"u and v exchanged":       func(it *mlav.Item) { it.Sig = join(it.Sig[48:], it.Sig[:48]) },
		"u outside the subgroup":  func(it *mlav.Item) { it.Sig = join(stray, it.Sig[48:]) },
		"v outside the subgroup":  func(it *mlav.Item) { it.Sig = join(it.Sig[:48], stray) },
		"v with a stray part":     func(it *mlav.Item) { it.Sig = join(it.Sig[:48], plus(t, it.Sig[48:], torsion(t))) },
		"both at infinity":        func(it *mlav.Item) { it.Sig = join(infinity, infinity) },
		"cut short":               func(it *mlav.Item) { it.Sig = it.Sig[:95] },
		"too long":                func(it *mlav.Item) { it.Sig = join(it.Sig, []byte{0}) },
		"empty":                   func(it *mlav.Item) { it.Sig = nil },
		"one uncompressed point":  func(it *mlav.Item) { it.Sig = uncompressed(t, it.Sig[:48]) },
		"a coordinate over p":     func(it *mlav.Item) { it.Sig = join(bytes.Repeat([]byte{0x9f}, 48), it.Sig[48:]) },
		"the other root in v":     func(it *mlav.Item) { it.Sig = flip(it.Sig, 48, 0x20) },
		"the other root in u":     func(it *mlav.Item) { it.Sig = flip(it.Sig, 0, 0x20) },
		"a bit of u":              func(it *mlav.Item) { it.Sig = flip(it.Sig, 47, 1) },
		"a bit of v":              func(it *mlav.Item) { it.Sig = flip(it.Sig, 95, 1) },
		"marked as not in packed": func(it *mlav.Item) { it.Sig = flip(it.Sig, 0, 0x80) },
	}
	for name, spoil := range cases {
		bad := good[0]
		spoil(&bad)
		if a.Params().Verify(bad) {
			t.Errorf("%s: valid alone", name)
		}
		for _, n := range []int{1, 2, 60} { // a batch of one, a small one, and one with the other check of the subgroup
			items := slices.Repeat(good[1:], n/2+1)[:n]
			items[n-1] = bad
			if batch(t, a.Params(), items) {
				t.Errorf("%s: valid in a batch of %d", name, n)
			}
		}
	}
}

// TestCancelling: two forgeries whose errors cancel pass a check that merely adds up, and must not pass this one. The first
// half of the test shows that they would.
func TestCancelling(t *testing.T) {
	t.Parallel()
	a := authority(t)
	items := signed(t, a, 2, 2)
	_, _, g1, _ := bls12381.Generators()
	var minus bls12381.G1Affine
	minus.Neg(&g1)
	forged := slices.Clone(items)
	forged[0].Sig = join(items[0].Sig[:48], plus(t, items[0].Sig[48:], g1))
	forged[1].Sig = join(items[1].Sig[:48], plus(t, items[1].Sig[48:], minus))
	sum := func(items []mlav.Item) []byte { return plus(t, items[0].Sig[48:], point(t, items[1].Sig[48:])) }
	if !bytes.Equal(sum(items), sum(forged)) {
		t.Fatal("the forgeries do not cancel: the test is broken")
	}
	if all(a.Params(), forged[:1]) || all(a.Params(), forged[1:]) {
		t.Error("a forgery is valid alone")
	}
	for range 20 {
		if batch(t, a.Params(), forged) {
			t.Fatal("two forgeries that cancel are valid together")
		}
	}
}

// TestEscrow shows what the scheme costs: the authority signs in a device's name whenever it likes, and nobody can tell.
func TestEscrow(t *testing.T) {
	t.Parallel()
	a := authority(t)
	device := signed(t, a, 1, 1)[0].Identity
	again, err := a.Extract("lamp-0")
	if err != nil {
		t.Fatal(err)
	}
	invented := []byte("the lamp burned all day")
	forgery, err := again.Sign(rand.Reader, invented)
	if err != nil {
		t.Fatal(err)
	}
	if !a.Params().Verify(mlav.Item{Identity: device, Msg: invented, Sig: forgery}) {
		t.Error("the authority cannot sign as a device: then this is another scheme")
	}
}

func join(parts ...[]byte) []byte { return slices.Concat(parts...) }

func flip(b []byte, at int, bits byte) []byte {
	b = bytes.Clone(b)
	b[at] ^= bits
	return b
}

func point(t *testing.T, raw []byte) bls12381.G1Affine {
	t.Helper()
	var p bls12381.G1Affine
	if err := bls12381.NewDecoder(bytes.NewReader(raw), bls12381.NoSubgroupChecks()).Decode(&p); err != nil {
		t.Fatal(err)
	}
	return p
}

func plus(t *testing.T, raw []byte, q bls12381.G1Affine) []byte {
	t.Helper()
	p := point(t, raw)
	sum := p.Add(&p, &q).Bytes()
	return sum[:]
}

func uncompressed(t *testing.T, raw []byte) []byte {
	t.Helper()
	p := point(t, raw)
	b := p.RawBytes()
	return b[:]
}

// outsideSubgroup finds a point of the curve that is not of prime order.
func outsideSubgroup(t *testing.T) []byte {
	t.Helper()
	for x := range byte(255) {
		raw := append([]byte{0x80}, make([]byte, 47)...)
		raw[47] = x
		var p bls12381.G1Affine
		d := bls12381.NewDecoder(bytes.NewReader(raw), bls12381.NoSubgroupChecks())
		if d.Decode(&p) == nil && !p.IsInfinity() && !p.IsInSubGroup() {
			return raw
		}
	}
	t.Fatal("no point outside the subgroup was found")
	return nil
}

// torsion returns a point that every pairing maps to one: added to a signature, it changes no equation.
func torsion(t *testing.T) bls12381.G1Affine {
	t.Helper()
	p := point(t, outsideSubgroup(t))
	var q bls12381.G1Affine
	q.ScalarMultiplication(&p, bls12381Order())
	if q.IsInfinity() || q.IsInSubGroup() || !q.IsOnCurve() {
		t.Fatal("not a torsion point: the test is broken")
	}
	return q
}

func bls12381Order() *big.Int { return fr.Modulus() }
