package sig

import (
	"crypto/elliptic"
	"fmt"
	"math/big"
	"sync"
	"sync/atomic"

	"filippo.io/nistec"
)

// p256Order is n, the order of P-256.
var p256Order = elliptic.P256().Params().N

// A p256Key is a point to check signatures with. All but the point is about how fast.
type p256Key struct {
	point nistec.P256Point // never infinity

	comb   atomic.Pointer[comb] // nil if it has no table (now)
	used   atomic.Bool          // the table, since the cache last asked
	earned int                  // valid signatures without a table; guarded by combs.mu
}

// An ecdsaClaim is a P-256 signature taken apart: that the x of (e/s)·G + (r/s)·Q is r modulo n.
type ecdsaClaim struct {
	key     *p256Key
	r, s, e big.Int
	before  big.Int // the product of the s of the claims before it
	at      int     // where the verdict belongs
}

// An ecdsaVerifier checks P-256 signatures by FIPS 186-5 §6.4.2 and s <= n/2. Single checks and batches are one code, and
// each signature has its own equation: a batch saves only the inversions of all s but one (Montgomery's trick). Points are
// added by nistec, whose formulas have no exceptions; scalars are math/big's.
type ecdsaVerifier struct {
	claims []ecdsaClaim

	inverse           big.Int // of the product of the s of the claims to come
	w, u1, u2, x      big.Int
	product, quotient big.Int
	scalar            [32]byte
}

// add takes sig apart, unless no equation can make it valid.
func (v *ecdsaVerifier) add(key *p256Key, digest *[32]byte, sig []byte, at int) {
	if len(sig) != signatureSize || string(sig[32:]) > es256HalfOrder {
		return
	}
	c := v.next()
	c.key, c.at = key, at
	c.r.SetBytes(sig[:32])
	c.s.SetBytes(sig[32:])
	c.e.SetBytes(digest[:]) // as long as n, so it is not cut
	if c.r.Sign() == 0 || c.r.Cmp(p256Order) >= 0 || c.s.Sign() == 0 {
		v.claims = v.claims[:len(v.claims)-1]
	}
}

// next makes room for a claim and keeps the numbers of an earlier one to write over.
func (v *ecdsaVerifier) next() *ecdsaClaim {
	n := len(v.claims)
	if n < cap(v.claims) {
		v.claims = v.claims[:n+1]
	} else {
		v.claims = append(v.claims, ecdsaClaim{})
	}
	return &v.claims[n]
}

// decide writes the verdicts of the claims, which are valid or not, and forgets the claims.
func (v *ecdsaVerifier) decide(ok []bool) {
	if len(v.claims) == 0 {
		return
	}
	v.inverse.SetUint64(1)
	for i := range v.claims {
		c := &v.claims[i]
		c.before.Set(&v.inverse)
		v.mul(&v.inverse, &v.inverse, &c.s)
	}
	v.inverse.ModInverse(&v.inverse, p256Order)
	for i := len(v.claims) - 1; i >= 0; i-- {
		c := &v.claims[i]
		v.mul(&v.w, &v.inverse, &c.before)
		v.mul(&v.inverse, &v.inverse, &c.s)
		ok[c.at] = v.holds(c)
		c.key = nil
	}
	v.claims = v.claims[:0]
}

// mul sets z to x·y modulo n. Unlike Mod it allocates nothing once its buffers have grown.
func (v *ecdsaVerifier) mul(z, x, y *big.Int) {
	v.product.Mul(x, y)
	v.quotient.QuoRem(&v.product, p256Order, z)
}

// holds checks the claim, with w the inverse of its s.
func (v *ecdsaVerifier) holds(c *ecdsaClaim) bool {
	v.mul(&v.u1, &c.e, &v.w)
	v.mul(&v.u2, &c.r, &v.w)
	var sum, part nistec.P256Point
	must(sum.ScalarBaseMult(v.u1.FillBytes(v.scalar[:])))
	table := combs.of(c.key)
	if table != nil {
		table.mul(&part, &v.u2)
	} else {
		must(part.ScalarMult(&c.key.point, v.u2.FillBytes(v.scalar[:])))
	}
	x, err := sum.Add(&sum, &part).BytesX()
	if err != nil {
		return false // infinity
	}
	v.x.SetBytes(x)
	if v.x.Cmp(p256Order) >= 0 { // then it is below 2n; so is one x in 2^128
		v.x.Sub(&v.x, p256Order)
	}
	valid := v.x.Cmp(&c.r) == 0
	if valid && table == nil {
		combs.earn(c.key)
	}
	return valid
}

// must stops the program if a scalar was refused, which only its length could be the reason of.
func must(_ *nistec.P256Point, err error) {
	if err != nil {
		panic(fmt.Sprintf("sig: 32-byte scalar refused: %v", err))
	}
}

// singles are for checks outside of a batch.
var singles = sync.Pool{New: func() any { return new(ecdsaVerifier) }}

func verifyECDSA(key *p256Key, digest *[32]byte, sig []byte) bool {
	v := singles.Get().(*ecdsaVerifier)
	defer singles.Put(v)
	var ok [1]bool
	v.add(key, digest, sig, 0)
	v.decide(ok[:])
	return ok[0]
}
