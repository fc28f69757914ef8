package ocmf

import (
	"crypto/elliptic"
	"encoding/asn1"
	"math/big"
)

// A curve is a short Weierstrass curve y² = x³ + ax + b over the field of p elements, with a generator of prime order n
// (SEC 2, RFC 5639). The arithmetic takes a time that depends on its input; nothing it is used for is secret.
type curve struct {
	name string
	oid  asn1.ObjectIdentifier
	nist elliptic.Curve // the standard library's, used in place of the rest but p

	p, a, b, n *big.Int
	g          point
}

// A point is in Jacobian coordinates: (x/z², y/z³); z = 0 is the point at infinity.
type point struct{ x, y, z *big.Int }

var (
	secp192k1 = &curve{name: "secp192k1", oid: asn1.ObjectIdentifier{1, 3, 132, 0, 31},
		p: num("fffffffffffffffffffffffffffffffffffffffeffffee37"),
		a: num("0"),
		b: num("3"),
		n: num("fffffffffffffffffffffffe26f2fc170f69466a74defd8d"),
		g: affine(num("db4ff10ec057e9ae26b07d0280b7f4341da5d1b1eae06c7d"), num("9b2f2f6d9c5628a7844163d015be86344082aa88d95e2f9d"))}
	secp192r1 = &curve{name: "secp192r1", oid: asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 1},
		p: num("fffffffffffffffffffffffffffffffeffffffffffffffff"),
		a: num("fffffffffffffffffffffffffffffffefffffffffffffffc"),
		b: num("64210519e59c80e70fa7e9ab72243049feb8deecc146b9b1"),
		n: num("ffffffffffffffffffffffff99def836146bc9b1b4d22831"),
		g: affine(num("188da80eb03090f67cbf20eb43a18800f4ff0afd82ff1012"), num("07192b95ffc8da78631011ed6b24cdd573f977a11e794811"))}
	secp256k1 = &curve{name: "secp256k1", oid: asn1.ObjectIdentifier{1, 3, 132, 0, 10},
		p: num("fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f"),
		a: num("0"),
		b: num("7"),
		n: num("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"),
		g: affine(num("79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"),
			num("483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8"))}
	brainpool256r1 = &curve{name: "brainpool256r1", oid: asn1.ObjectIdentifier{1, 3, 36, 3, 3, 2, 8, 1, 1, 7},
		p: num("a9fb57dba1eea9bc3e660a909d838d726e3bf623d52620282013481d1f6e5377"),
		a: num("7d5a0975fc2c3057eef67530417affe7fb8055c126dc5c6ce94a4b44f330b5d9"),
		b: num("26dc5c6ce94a4b44f330b5d9bbd77cbf958416295cf7e1ce6bccdc18ff8c07b6"),
		n: num("a9fb57dba1eea9bc3e660a909d838d718c397aa3b561a6f7901e0e82974856a7"),
		g: affine(num("8bd2aeb9cb7e57cb2c4b482ffc81b7afb9de27e1e3bd23c23a4453bd9ace3262"),
			num("547ef835c3dac4fd97f8461a14611dc9c27745132ded8e545c1d54c72f046997"))}
	brainpool384r1 = &curve{name: "brainpool384r1", oid: asn1.ObjectIdentifier{1, 3, 36, 3, 3, 2, 8, 1, 1, 11},
		p: num("8cb91e82a3386d280f5d6f7e50e641df152f7109ed5456b412b1da197fb71123acd3a729901d1a71874700133107ec53"),
		a: num("7bc382c63d8c150c3c72080ace05afa0c2bea28e4fb22787139165efba91f90f8aa5814a503ad4eb04a8c7dd22ce2826"),
		b: num("04a8c7dd22ce28268b39b55416f0447c2fb77de107dcd2a62e880ea53eeb62d57cb4390295dbc9943ab78696fa504c11"),
		n: num("8cb91e82a3386d280f5d6f7e50e641df152f7109ed5456b31f166e6cac0425a7cf3ab6af6b7fc3103b883202e9046565"),
		g: affine(num("1d1c64f068cf45ffa2a63a81b7c13f6b8847a3e77ef14fe3db7fcafe0cbd10e8e826e03436d646aaef87b2e247d4af1e"),
			num("8abe1d7520f9c2a45cb1eb8e95cfd55262b70b29feec5864e19c054ff99129280e4646217791811142820341263c5315"))}

	secp256r1 = &curve{name: "secp256r1", oid: asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7}, nist: elliptic.P256(), p: elliptic.P256().Params().P}
	secp384r1 = &curve{name: "secp384r1", oid: asn1.ObjectIdentifier{1, 3, 132, 0, 34}, nist: elliptic.P384(), p: elliptic.P384().Params().P}

	curves = [...]*curve{secp192k1, secp192r1, secp256k1, secp256r1, secp384r1, brainpool256r1, brainpool384r1}
)

// num reads a constant of this file.
func num(hex string) *big.Int {
	n, ok := new(big.Int).SetString(hex, 16)
	if !ok {
		panic("ocmf: not a number: " + hex)
	}
	return n
}

func affine(x, y *big.Int) point { return point{x, y, big.NewInt(1)} }

// has reports whether (x, y) is on the curve.
func (c *curve) has(x, y *big.Int) bool {
	if x.Cmp(c.p) >= 0 || y.Cmp(c.p) >= 0 {
		return false
	}
	right := c.mul(x, x)
	right.Add(right, c.a)
	right = c.mul(right, x)
	right.Add(right, c.b).Mod(right, c.p)
	return c.mul(y, y).Cmp(right) == 0
}

// verify is ECDSA (SEC 1 §4.1.4) for a public key that is on the curve.
func (c *curve) verify(x, y *big.Int, digest []byte, r, s *big.Int) bool {
	if r.Sign() <= 0 || s.Sign() <= 0 || r.Cmp(c.n) >= 0 || s.Cmp(c.n) >= 0 {
		return false
	}
	e := new(big.Int).SetBytes(digest)
	if extra := 8*len(digest) - c.n.BitLen(); extra > 0 {
		e.Rsh(e, uint(extra)) // the leftmost bits of the hash
	}
	w := new(big.Int).ModInverse(s, c.n)
	u1 := e.Mul(e, w).Mod(e, c.n)
	u2 := w.Mul(w, r).Mod(w, c.n)
	sum := c.sum(u1, u2, affine(x, y))
	if sum.z.Sign() == 0 {
		return false
	}
	// x/z² mod n = r. There is no inverse of z² to compute: r, or where it is small enough r+n, times z² must be x.
	zz := c.mul(sum.z, sum.z)
	for t := new(big.Int).Set(r); t.Cmp(c.p) < 0; t.Add(t, c.n) {
		if c.mul(t, zz).Cmp(sum.x) == 0 {
			return true
		}
	}
	return false
}

// sum returns u1·G + u2·Q, both at once (Shamir's trick): a doubling for each bit and an addition for three out of four.
func (c *curve) sum(u1, u2 *big.Int, q point) point {
	table := [...]point{1: c.g, 2: q, 3: c.add(c.g, q)}
	sum := point{new(big.Int), new(big.Int), new(big.Int)}
	for i := max(u1.BitLen(), u2.BitLen()) - 1; i >= 0; i-- {
		sum = c.double(sum)
		if j := u1.Bit(i) | u2.Bit(i)<<1; j != 0 {
			sum = c.add(sum, table[j])
		}
	}
	return sum
}

func (c *curve) mul(x, y *big.Int) *big.Int {
	z := new(big.Int).Mul(x, y)
	return z.Mod(z, c.p)
}

// sub returns x - n·y mod p.
func (c *curve) sub(x *big.Int, n int64, y *big.Int) *big.Int {
	z := new(big.Int).Mul(big.NewInt(n), y)
	return z.Sub(x, z).Mod(z, c.p)
}

// double returns 2a: with M = 3x² + a·z⁴ and S = 4xy², x' = M² - 2S, y' = M(S - x') - 8y⁴, z' = 2yz.
func (c *curve) double(a point) point {
	if a.z.Sign() == 0 || a.y.Sign() == 0 {
		return point{new(big.Int), new(big.Int), new(big.Int)}
	}
	yy, zz := c.mul(a.y, a.y), c.mul(a.z, a.z)
	m := c.mul(a.x, a.x)
	m.Mul(m, big.NewInt(3))
	if c.a.Sign() != 0 {
		m.Add(m, c.mul(c.a, c.mul(zz, zz)))
	}
	m.Mod(m, c.p)
	s := c.mul(a.x, yy)
	s.Lsh(s, 2)
	x := c.sub(c.mul(m, m), 2, s)
	y := c.sub(c.mul(m, c.sub(s, 1, x)), 8, c.mul(yy, yy))
	z := c.mul(a.y, a.z)
	return point{x, y, z.Lsh(z, 1).Mod(z, c.p)}
}

// add returns a + b: with H = x₂z₁² - x₁z₂² and R = y₂z₁³ - y₁z₂³, x' = R² - H³ - 2x₁z₂²H², y' = R(x₁z₂²H² - x') - y₁z₂³H³,
// z' = Hz₁z₂.
func (c *curve) add(a, b point) point {
	switch {
	case a.z.Sign() == 0:
		return b
	case b.z.Sign() == 0:
		return a
	}
	zz1, zz2 := c.mul(a.z, a.z), c.mul(b.z, b.z)
	u1, s1 := c.mul(a.x, zz2), c.mul(a.y, c.mul(b.z, zz2))
	h, r := c.sub(c.mul(b.x, zz1), 1, u1), c.sub(c.mul(b.y, c.mul(a.z, zz1)), 1, s1)
	switch {
	case h.Sign() == 0 && r.Sign() == 0:
		return c.double(a)
	case h.Sign() == 0:
		return point{new(big.Int), new(big.Int), new(big.Int)}
	}
	hh := c.mul(h, h)
	hhh, v := c.mul(h, hh), c.mul(u1, hh)
	x := c.sub(c.sub(c.mul(r, r), 1, hhh), 2, v)
	y := c.sub(c.mul(r, c.sub(v, 1, x)), 1, c.mul(s1, hhh))
	return point{x, y, c.mul(h, c.mul(a.z, b.z))}
}
