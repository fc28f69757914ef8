package sig

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"

	"github.com/oasisprotocol/curve25519-voi/curve/scalar"
)

// A Use says what becomes of signed readings, which decides whether their signatures may be half-aggregated. The zero
// value is unknown, and as good as billed.
type Use int8

// The uses of readings.
const (
	// Cold readings are telemetry that is neither billed nor personal: it is kept whole or not at all.
	Cold Use = 1

	// Billed readings must be provable one at a time, to one customer.
	Billed Use = 2

	// Personal readings must be erasable one at a time without taking the proof of the others with them.
	Personal Use = 3
)

// A Signed is a message and the key that signed it. Its signature is somewhere in a half-aggregate.
type Signed struct {
	Key *PublicKey
	Msg []byte
}

// halfAggregateDomain begins what half-aggregates hash, so that it is no other hash of Lamppost.
const halfAggregateDomain = "lamppost/half-aggregate/1"

// Aggregate checks n Ed25519 signatures and makes one half-aggregate of 32n + 32 bytes of them: R_0 ‖ … ‖ R_n-1 ‖ s
// (Chalkias, Garillot, Kondi, Nikolaenko, "Non-interactive half-aggregation of EdDSA", 2021; byte by byte in
// docs/formats.md). The order of the items is part of it.
//
// Mind what is lost. A half-aggregate proves that each of the n keys signed its message, to who has all n messages in
// order; it never proves one of them, the n signatures cannot be made from it again, and when it does not hold nobody
// can tell which part is to blame. So it is made for Cold readings alone, and any other use is refused. An aggregator
// needs no key: who has the signatures can make other aggregates of some of them, or in another order, too.
//
// It refuses an empty list, more than MaxAggregate items, other suites and invalid signatures, naming the first.
func (v *Verifier) Aggregate(use Use, items []Item) ([]byte, error) {
	if err := aggregable(use, len(items)); err != nil {
		return nil, err
	}
	ok := make([]bool, len(items))
	v.Verify(items, ok)
	for i := range items {
		if !ok[i] {
			return nil, fmt.Errorf("aggregating signatures: item %d is no valid ed25519 signature", i)
		}
	}
	return v.AggregateValid(use, items)
}

// AggregateValid is Aggregate for who has verified the signatures. With one among them that is not valid it returns an error
// or an aggregate that does not hold.
func (v *Verifier) AggregateValid(use Use, items []Item) ([]byte, error) {
	if err := aggregable(use, len(items)); err != nil {
		return nil, err
	}
	t := newTranscript(len(items))
	v.reset()
	for i := range items {
		if items[i].Key.suite != EdDSA {
			return nil, fmt.Errorf("aggregating signatures: item %d is no valid ed25519 signature", i)
		}
		c := v.add(items[i].Key)
		if !c.read(items[i].Key, items[i].Msg, items[i].Sig) {
			return nil, fmt.Errorf("aggregating signatures: item %d is no valid ed25519 signature", i)
		}
		t.append(items[i].Key, items[i].Sig[:32], &c.k)
	}
	return v.halve(items, t.seed()), nil
}

func aggregable(use Use, n int) error {
	if use != Cold {
		return errors.New("aggregating signatures: only of readings that are neither billed nor personal")
	}
	if n == 0 || n > MaxAggregate {
		return fmt.Errorf("aggregating signatures: %d of them, want 1 to %d", n, MaxAggregate)
	}
	return nil
}

// halve returns the R of the items and the sum of z·s of their claims.
func (v *Verifier) halve(items []Item, seed *seed) []byte {
	out := make([]byte, 0, HalfAggregateSize(len(items)))
	var s, zs scalar.Scalar
	for i := range v.claims {
		c := &v.claims[i]
		z := seed.coefficient(i)
		c.weigh(z[:])
		s.Add(&s, zs.Mul(&c.z, &c.s))
		out = append(out, items[i].Sig[:32]...)
	}
	out = out[:cap(out)]
	if err := s.ToBytes(out[32*len(items):]); err != nil {
		panic(fmt.Sprintf("sig: encoding a scalar: %v", err)) // never: there is room
	}
	return out
}

// HalfAggregateSize returns the size of a half-aggregate of n signatures in bytes.
func HalfAggregateSize(n int) int { return 32*n + 32 }

// VerifyAggregate reports whether every key of the list signed its message, as the half-aggregate says. With z_i bound
// to n, to all keys, R and messages, and to i, the equation is that of a batch:
//
//	s < l and 8sB = 8·(z_0(R_0 + k_0·A_0) + … + z_n-1(R_n-1 + k_n-1·A_n-1)), points decoded as in ZIP-215
//
// Who tries q half-aggregates of something unsigned succeeds with a chance of about q in 2^128; no randomness is drawn.
func (v *Verifier) VerifyAggregate(signed []Signed, aggregate []byte) bool {
	n := len(signed)
	if n == 0 || n > MaxAggregate || len(aggregate) != HalfAggregateSize(n) {
		return false
	}
	s := aggregate[32*n:]
	if !scalar.ScMinimalVartime(s) {
		return false
	}
	t := newTranscript(n)
	v.reset()
	for i := range signed {
		key, r := signed[i].Key, aggregate[32*i:32*i+32]
		if key == nil || key.suite != EdDSA {
			return false
		}
		c := v.add(key)
		if !c.readR(key, signed[i].Msg, r) {
			return false
		}
		t.append(key, r, &c.k)
	}
	seed := t.seed()
	for i := range v.claims {
		z := seed.coefficient(i)
		v.claims[i].weigh(z[:])
	}
	if _, err := v.base.SetBits(s); err != nil {
		return false
	}
	sum := v.combine(v.claims)
	return sum.IsSmallOrder()
}

// A transcript is what the coefficients of a half-aggregate are bound to: domain ‖ be64(n) ‖ A_i ‖ R_i ‖ k_i of each i, A
// and R as they were sent, k in 32 bytes, little-endian, below l.
type transcript struct{ hash.Hash }

func newTranscript(n int) transcript {
	t := transcript{sha256.New()}
	t.Write([]byte(halfAggregateDomain))
	var count [8]byte
	binary.BigEndian.PutUint64(count[:], uint64(n))
	t.Write(count[:])
	return t
}

func (t transcript) append(key *PublicKey, r []byte, k *scalar.Scalar) {
	var entry [3 * 32]byte
	copy(entry[:], key.raw)
	copy(entry[32:], r)
	if err := k.ToBytes(entry[64:]); err != nil {
		panic(fmt.Sprintf("sig: encoding a scalar: %v", err)) // never: there is room
	}
	t.Write(entry[:])
}

// A seed is the hash of a whole transcript, with room for an index.
type seed [sha256.Size + 8]byte

func (t transcript) seed() *seed {
	s := new(seed)
	t.Sum(s[:0])
	return s
}

// coefficient returns z_i: the first 16 bytes, little-endian, of SHA-256(seed ‖ be64(i)).
func (s *seed) coefficient(i int) (z [16]byte) {
	binary.BigEndian.PutUint64(s[sha256.Size:], uint64(i))
	sum := sha256.Sum256(s[:])
	copy(z[:], sum[:])
	return z
}
