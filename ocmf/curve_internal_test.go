package ocmf

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"math/big"
	"math/rand/v2"
	"testing"
)

// TestCurveArithmetic protects the generic arithmetic against that of the standard library, on the curves that both have: the
// same verdict on signatures, on their mutations and on what is no signature at all.
func TestCurveArithmetic(t *testing.T) {
	t.Parallel()
	rng := rand.NewChaCha8([32]byte{1})
	for _, std := range []elliptic.Curve{elliptic.P256(), elliptic.P384()} {
		p := std.Params()
		c := &curve{name: p.Name, p: p.P, a: new(big.Int).Sub(p.P, big.NewInt(3)), b: p.B, n: p.N, g: affine(p.Gx, p.Gy)}
		for range 20 {
			key, err := ecdsa.GenerateKey(std, rng)
			if err != nil {
				t.Fatal(err)
			}
			pub, _ := key.PublicKey.Bytes()
			size := (len(pub) - 1) / 2
			x, y := new(big.Int).SetBytes(pub[1:1+size]), new(big.Int).SetBytes(pub[1+size:])
			digest := make([]byte, 32)
			rng.Read(digest)
			r, s, err := ecdsa.Sign(rng, key, digest)
			if err != nil || !c.has(x, y) || c.has(y, x) {
				t.Fatalf("%s: a key that is not on the curve, or %v", p.Name, err)
			}
			one := big.NewInt(1)
			for i, sig := range [][2]*big.Int{
				{r, s}, {r, new(big.Int).Sub(p.N, s)}, {s, r}, {new(big.Int).Add(r, one), s}, {r, new(big.Int).Add(s, one)},
				{new(big.Int).Add(r, p.N), s}, {r, new(big.Int).Add(s, p.N)}, {new(big.Int), s}, {r, new(big.Int)}, {p.N, s}, {one, one},
				{new(big.Int).Neg(r), s},
			} {
				want := ecdsa.Verify(&key.PublicKey, digest, sig[0], sig[1])
				if got := c.verify(x, y, digest, sig[0], sig[1]); got != want || want != (i < 2) {
					t.Errorf("%s: signature %d: %v, the standard library %v", p.Name, i, got, want)
				}
			}
		}
	}
}

// TestCurveEdges protects the cases of the addition that signatures hardly ever reach, and the constants: n·G is the point at
// infinity, G lies on its curve.
func TestCurveEdges(t *testing.T) {
	t.Parallel()
	zero := new(big.Int)
	for _, c := range curves {
		if c.nist != nil {
			continue
		}
		if !c.p.ProbablyPrime(20) || !c.n.ProbablyPrime(20) || !c.has(c.g.x, c.g.y) {
			t.Errorf("%s: its constants do not hold", c.name)
		}
		for n, k := range map[string]*big.Int{"n": c.n, "0": zero} {
			if inf := c.sum(k, zero, c.g); inf.z.Sign() != 0 {
				t.Errorf("%s: %s·G is not the point at infinity", c.name, n)
			}
		}
		half := new(big.Int).Rsh(c.n, 1)
		rest := new(big.Int).Sub(c.n, half)
		if inf := c.sum(half, rest, c.g); inf.z.Sign() != 0 {
			t.Errorf("%s: ⌊n/2⌋·G + (n-⌊n/2⌋)·G is not the point at infinity", c.name)
		}
		minus := point{c.g.x, c.sub(zero, 1, c.g.y), big.NewInt(1)}
		if inf := c.add(c.g, minus); inf.z.Sign() != 0 {
			t.Errorf("%s: G - G is not the point at infinity", c.name)
		}
		twice, doubled := c.add(c.g, c.g), c.double(c.g)
		if !c.same(twice, doubled) || c.same(twice, c.g) || !c.same(c.sum(big.NewInt(2), zero, c.g), c.sum(big.NewInt(3), big.NewInt(1), minus)) {
			t.Errorf("%s: 2G is not G + G, or not 3G - G", c.name)
		}
	}
}

// same compares points.
func (c *curve) same(a, b point) bool {
	zza, zzb := c.mul(a.z, a.z), c.mul(b.z, b.z)
	return c.mul(a.x, zzb).Cmp(c.mul(b.x, zza)) == 0 && c.mul(a.y, c.mul(zzb, b.z)).Cmp(c.mul(b.y, c.mul(zza, a.z))) == 0
}
