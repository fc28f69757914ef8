package sig_test

import (
	"bytes"
	"crypto/elliptic"
	"crypto/sha256"
	"math/big"
	"os"
	"slices"
	"testing"

	"filippo.io/nistec"
	"github.com/lamppost/lamppost/sig"
)

// TestES256EdgeCases: where ECDSA has corners, every path agrees with crypto/ecdsa and with what the algebra says. The cases
// are also committed as testdata/es256-edge.txt, for other implementations of the formats.
func TestES256EdgeCases(t *testing.T) {
	cases := es256Cases()
	var file bytes.Buffer
	file.WriteString("# ES256 at the edges of FIPS 186-5 §6.4.2 with s <= n/2, over digests: nobody knows messages of these.\n" +
		"# Made by TestES256EdgeCases; -rewrite writes it anew.\n")
	for _, c := range cases {
		if got := checkES256(t, c.public, c.digest, c.signature); got != c.valid {
			t.Errorf("%s: got %t, want %t", c.name, got, c.valid)
		}
		c.write(&file)
	}
	const path = "testdata/es256-edge.txt"
	if *rewrite {
		if err := os.WriteFile(path, file.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if committed, err := os.ReadFile(path); err != nil || !bytes.Equal(committed, file.Bytes()) {
		t.Errorf("%s differs from what the test builds (%v); run with -rewrite and look at the difference", path, err)
	}
	if read := readVectors(t, "es256-edge.txt"); len(read) != len(cases) {
		t.Errorf("%d vectors read back, want %d", len(read), len(cases))
	}
}

func es256Cases() []vector {
	return slices.Concat(wrapCases(), sumCases(), rangeCases(), digestCases())
}

func es256Case(name string, valid bool, public, digest, signature []byte) vector {
	return vector{name: name, suite: sig.ES256, public: public, digest: digest, signature: signature, valid: valid}
}

// wrapCases are about x(R) modulo n = r. p is larger than n, so r may stand for x = r and, if r < p - n, for x = r + n.
func wrapCases() []vector {
	n, p := orderP256(), elliptic.P256().Params().P
	gap := new(big.Int).Sub(p, n)
	f := forgeES256{hashed("wrap u1"), hashed("wrap u2")}
	var cases []vector
	at := func(name string, from *big.Int) (*nistec.P256Point, *big.Int, vector) {
		R, x := firstPoint(from)
		public, digest, signature := f.byPoint(R)
		cases = append(cases, es256Case(name, true, public, digest, signature))
		return R, x, cases[len(cases)-1]
	}
	withR := func(c vector, name string, r *big.Int) {
		cases = append(cases, es256Case(name, false, c.public, c.digest, append(r.FillBytes(make([]byte, 32)), c.signature[32:]...)))
	}
	R, x, c := at("x(R) = r + n, the least", new(big.Int).Add(n, big.NewInt(1)))
	withR(c, "r = x(R) >= n", x)
	public, digest, signature := f.byPoint(R.Negate(R))
	cases = append(cases, es256Case("x(R) = r + n, y negated", true, public, digest, signature))
	at("x(R) = r + n, in between", new(big.Int).Add(n, hashed("wrap x").Rsh(hashed("wrap x"), 132)))
	at("x(R) = r + n, near p", new(big.Int).Sub(p, big.NewInt(64)))
	_, x, c = at("x(R) = r < p - n", big.NewInt(5))
	withR(c, "x(R) = r + n modulo p", new(big.Int).Add(x, gap))
	withR(c, "r = x(R) + n", new(big.Int).Add(x, n))
	_, x, c = at("x(R) = r >= p - n, the least", gap)
	withR(c, "r = x(R) - (p - n)", new(big.Int).Sub(x, gap))
	at("x(R) = r just below n", new(big.Int).Sub(n, big.NewInt(64)))
	return cases
}

// sumCases are sums u1·G + u2·Q that formulas with exceptions get wrong: doublings, cancellations, infinity on one side.
func sumCases() []vector {
	n := orderP256()
	minus := func(k *big.Int) *big.Int { return new(big.Int).Sub(n, k) }
	one, d, u := big.NewInt(1), hashed("sum d"), hashed("sum u")
	du := new(big.Int).Mul(d, u)
	du.Mod(du, n)
	teeth := new(big.Int).Lsh(one, 222)
	var cases []vector
	for _, c := range []struct {
		name      string
		d, u1, u2 *big.Int
		valid     bool
	}{
		{"Q = G", one, hashed("sum v"), u, true},
		{"Q = -G", minus(one), hashed("sum v"), u, true},
		{"Q = 2G", big.NewInt(2), hashed("sum v"), u, true},
		{"Q = G, u1 = u2", one, u, u, true},
		{"Q = G, u1 = u2 = 1", one, one, one, true},
		{"Q = G, u1 = -u2", one, minus(u), u, false},
		{"Q = -G, u1 = u2", minus(one), u, u, false},
		{"Q = -G, u1 = -u2", minus(one), minus(u), u, true},
		{"u1·G = u2·Q", d, du, u, true},
		{"u1·G = -u2·Q", d, minus(du), u, false},
		{"u1 = 0", d, big.NewInt(0), u, true},
		{"u1 = 1", d, one, u, true},
		{"u1 = -1", d, minus(one), u, true},
		{"u2 = 1", d, u, one, true},
		{"u2 = -1", d, u, minus(one), true},
		{"u2 = 2", d, u, big.NewInt(2), true},
		{"u2 = 2^222", d, u, teeth, true},
		{"u2 = 2^222 + 1", d, u, new(big.Int).Add(teeth, one), true},
		{"u2 = 2^222 - 1", d, u, new(big.Int).Sub(teeth, one), true},
		{"u2 = (n-1)/2", d, u, new(big.Int).Rsh(n, 1), true},
		{"u1·G + u2·Q = G", d, new(big.Int).Mod(new(big.Int).Sub(one, du), n), u, true},
		{"u1·G + u2·Q = -Q", d, new(big.Int).Mod(new(big.Int).Sub(minus(d), du), n), u, true},
	} {
		public, digest, signature := forgeES256{c.u1, c.u2}.byKey(c.d)
		cases = append(cases, es256Case(c.name, c.valid, public, digest, signature))
	}
	return cases
}

// rangeCases put r and s at and beyond their bounds.
func rangeCases() []vector {
	n, zero, one := orderP256(), new(big.Int), big.NewInt(1)
	ones := new(big.Int).Sub(new(big.Int).Lsh(one, 256), one)
	half := new(big.Int).Rsh(n, 1)
	public, digest, good := forgeES256{hashed("range u1"), hashed("range u2")}.byKey(hashed("range d"))
	r, s := new(big.Int).SetBytes(good[:32]), new(big.Int).SetBytes(good[32:])
	cases := []vector{es256Case("in range", true, public, digest, good)}
	for _, c := range []struct {
		name string
		r, s *big.Int
	}{
		{"r = 0", zero, s}, {"r = 1", one, s}, {"r = n - 1", new(big.Int).Sub(n, one), s}, {"r = n", n, s},
		{"r = n + 1", new(big.Int).Add(n, one), s}, {"r = 2^256 - 1", ones, s},
		{"r = n - r", new(big.Int).Sub(n, r), s}, {"s = 0", r, zero}, {"s = 1", r, one}, {"s = (n-1)/2", r, half},
		{"s = (n+1)/2", r, new(big.Int).Add(half, one)}, {"s high", r, new(big.Int).Sub(n, s)}, {"s = n - 1", r, new(big.Int).Sub(n, one)},
		{"s = n", r, n}, {"s = 2^256 - 1", r, ones}, {"r = s = 0", zero, zero}, {"r = s = 1", one, one}, {"r and s swapped", s, r},
	} {
		signature := append(c.r.FillBytes(make([]byte, 32)), c.s.FillBytes(make([]byte, 32))...)
		cases = append(cases, es256Case(c.name, false, public, digest, signature))
	}
	return append(cases, boundCases(half)...)
}

// boundCases are valid signatures whose s is the least and the largest there may be: u2 = r/s.
func boundCases(half *big.Int) []vector {
	var cases []vector
	for name, s := range map[string]*big.Int{"valid, s = 1": big.NewInt(1), "valid, s = (n-1)/2": half} {
		R, x := firstPoint(hashed("bound x"))
		u2 := new(big.Int).ModInverse(s, orderP256())
		u2.Mod(u2.Mul(u2, x), orderP256())
		public, digest, signature := forgeES256{hashed("bound u1"), u2}.byPoint(R)
		cases = append(cases, es256Case(name, true, public, digest, signature))
	}
	slices.SortFunc(cases, func(a, b vector) int { return len(a.name) - len(b.name) })
	return cases
}

// digestCases: a digest is a number of 256 bits, taken modulo n.
func digestCases() []vector {
	n, d := orderP256(), hashed("digest d")
	ones := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1))
	public := timesG(d).BytesCompressed()
	of := func(name string, valid bool, signed, claimed *big.Int) vector {
		return es256Case(name, valid, public, claimed.FillBytes(make([]byte, 32)), signDigest(d, signed))
	}
	return []vector{
		of("digest = 0", true, new(big.Int), new(big.Int)),
		of("digest = n, signed as 0", true, new(big.Int), n),
		of("digest = n - 1", true, new(big.Int).Sub(n, big.NewInt(1)), new(big.Int).Sub(n, big.NewInt(1))),
		of("digest = n + 1, signed as 1", true, big.NewInt(1), new(big.Int).Add(n, big.NewInt(1))),
		of("digest = 2^256 - 1", true, ones, ones),
		of("digest = 1, signed as 0", false, new(big.Int), big.NewInt(1)),
	}
}

// signDigest signs the way everybody does, for a digest that may be any number.
func signDigest(d, digest *big.Int) []byte {
	n, k := orderP256(), hashed("nonce")
	r, err := timesG(k).BytesX()
	if err != nil {
		panic(err)
	}
	s := new(big.Int).Mul(new(big.Int).SetBytes(r), d)
	s.Mul(s.Add(s, digest), k.ModInverse(k, n))
	if s.Mod(s, n).Cmp(new(big.Int).Rsh(n, 1)) > 0 {
		s.Sub(n, s)
	}
	return append(r, s.FillBytes(make([]byte, 32))...)
}

// A forgeES256 makes a digest and a signature that lead the check to u1·G + u2·Q, or to the negative of both where s would
// be high otherwise. Who may choose the digest need not know any private key.
type forgeES256 struct{ u1, u2 *big.Int }

// byKey signs with the private key d. Where the sum is infinity, there is no r, and it is 1.
func (f forgeES256) byKey(d *big.Int) (public, digest, signature []byte) {
	r := big.NewInt(1)
	sum := new(big.Int).Mul(f.u2, d)
	sum.Mod(sum.Add(sum, f.u1), orderP256())
	if sum.Sign() != 0 {
		x, err := timesG(sum).BytesX()
		if err != nil {
			panic(err)
		}
		r.SetBytes(x)
	}
	digest, signature = f.finish(r)
	return timesG(d).BytesCompressed(), digest, signature
}

// byPoint makes the key for which the sum is R.
func (f forgeES256) byPoint(R *nistec.P256Point) (public, digest, signature []byte) {
	Q := timesG(f.u1)
	Q.Add(R, Q.Negate(Q))
	inverse := new(big.Int).ModInverse(f.u2, orderP256())
	if _, err := Q.ScalarMult(Q, inverse.FillBytes(make([]byte, 32))); err != nil {
		panic(err)
	}
	x, err := R.BytesX()
	if err != nil {
		panic(err)
	}
	digest, signature = f.finish(new(big.Int).SetBytes(x))
	return Q.BytesCompressed(), digest, signature
}

func (f forgeES256) finish(x *big.Int) (digest, signature []byte) {
	n := orderP256()
	r := new(big.Int).Mod(x, n)
	s := new(big.Int).ModInverse(f.u2, n)
	s.Mod(s.Mul(s, r), n)
	e := new(big.Int).Mul(s, f.u1)
	if s.Cmp(new(big.Int).Rsh(n, 1)) > 0 {
		s.Sub(n, s)
	}
	return e.Mod(e, n).FillBytes(make([]byte, 32)), slices.Concat(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32)))
}

func orderP256() *big.Int { return new(big.Int).Set(elliptic.P256().Params().N) }

func timesG(k *big.Int) *nistec.P256Point {
	p, err := nistec.NewP256Point().ScalarBaseMult(new(big.Int).Mod(k, orderP256()).FillBytes(make([]byte, 32)))
	if err != nil {
		panic(err)
	}
	return p
}

// hashed returns a scalar that looks random and is always the same.
func hashed(label string) *big.Int {
	sum := sha256.Sum256([]byte(label))
	return new(big.Int).Mod(new(big.Int).SetBytes(sum[:]), orderP256())
}

// firstPoint returns the first point whose x is at least from, and that x.
func firstPoint(from *big.Int) (*nistec.P256Point, *big.Int) {
	x := new(big.Int).Set(from)
	for ; ; x.Add(x, big.NewInt(1)) {
		p, err := nistec.NewP256Point().SetBytes(append([]byte{2}, x.FillBytes(make([]byte, 32))...))
		if err == nil {
			return p, x
		}
	}
}
