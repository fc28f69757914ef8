package sig

import (
	"math/big"

	"filippo.io/nistec"
)

// DecodeZIP215 parses an Ed25519 key without the enrolment rule, so that tests can put weak keys before the equation.
var DecodeZIP215 = decodeEd25519

// ES256HalfOrder is the largest s that is valid.
const ES256HalfOrder = es256HalfOrder

// Covered returns how many claims the sums over v's last batch have covered together.
func (v *Verifier) Covered() int { return v.covered }

// Keys returns how many different keys v's last batch had.
func (v *Verifier) Keys() int { return len(v.keys.keys) }

// A Digested is a signature of a digest, whose message nobody needs to know.
type Digested struct {
	Key    *PublicKey
	Digest [32]byte
	Sig    []byte
}

// VerifyDigest decides an ES256 signature alone.
func VerifyDigest(d Digested) bool { return verifyECDSA(d.Key.p256, &d.Digest, d.Sig) }

// VerifyDigests decides ES256 signatures as a batch.
func VerifyDigests(list []Digested) []bool {
	ok := make([]bool, len(list))
	var v ecdsaVerifier
	for i := range list {
		v.add(list[i].Key.p256, &list[i].Digest, list[i].Sig, i)
	}
	v.decide(ok)
	return ok
}

// HasTable reports whether an ES256 key has a table now.
func HasTable(k *PublicKey) bool { return k.p256.comb.Load() != nil }

// GiveTable gives an ES256 key a table that the cache does not know of.
func GiveTable(k *PublicKey) { k.p256.comb.Store(newComb(&k.p256.point)) }

// Comb returns what multiplies q by way of a table.
func Comb(q *nistec.P256Point) func(k *big.Int) *nistec.P256Point {
	table := newComb(q)
	return func(k *big.Int) *nistec.P256Point {
		p := nistec.NewP256Point()
		table.mul(p, new(big.Int).Set(k))
		return p
	}
}

// The cache's own numbers.
const (
	CombAfter = combAfter
	CombPush  = combPush
)

// A CombCache is a cache that tests have for themselves.
type CombCache struct{ c combCache }

// NewCombCache returns an empty cache.
func NewCombCache(limit int) *CombCache { return &CombCache{combCache{limit: limit}} }

// Valid does what a valid signature of k does to the cache, and reports whether there was a table for it.
func (c *CombCache) Valid(k *PublicKey) bool {
	if c.c.of(k.p256) != nil {
		return true
	}
	c.c.earn(k.p256)
	return false
}
