// Package mlav knows the identity-based batch signatures that Multi-Layer Aggregate Verification was built on, so that
// Lamppost's own can be compared with them. It is a yardstick, not for use.
//
// The equations are those of Cha and Cheon (PKC 2003), moved to the pairing-friendly curve BLS12-381, and checked in
// batches as Cheon, Kim and Yoon (2004) propose, with the random coefficients of Bellare, Garay and Rabin (1998): two
// pairings for any number of signatures and signers. Cheon, Kim and Yoon's own signature costs half a verification more
// for every further signer, so this form is the more favourable one to compare with.
//
//	setup    secret s; public P_pub = s·G2
//	extract  Q = H(identity) in G1; private key D = s·Q
//	sign     U = r·Q, h = H(identity, U, message), V = (r+h)·D; the signature is U ‖ V, 96 bytes
//	verify   e(V, G2) = e(U + h·Q, P_pub)
//
// Key escrow: whoever knows s knows every private key there is or will be, and can sign as any device. A signature
// therefore proves that the device or the authority made it, never which.
//
// Start reading at [Params.Verify] and [Params.VerifyBatch]. Signing takes variable time.
package mlav

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/big"

	"github.com/consensys/gnark-crypto/ecc"
	"github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
)

// SignatureSize is the length of a signature: two compressed points.
const SignatureSize = 2 * pointSize

const (
	pointSize       = bls12381.SizeOfG1AffineCompressed
	coefficientSize = 16 // 128 bits: a batch with a forgery passes with a chance of 2^-128

	identityDomain  = "LAMPPOST-BENCH-MLAV-ID-BLS12381G1"
	challengeDomain = "LAMPPOST-BENCH-MLAV-CHALLENGE"
)

// lines are the steps of a Miller loop that depend on the point of G2 alone.
type lines = [2][len(bls12381.LoopCounter) - 1]bls12381.LineEvaluationAff

// Params are the public parameters of an authority. They are immutable and safe for concurrent use.
type Params struct{ lines [2]lines } // of G2 and P_pub

// An Authority makes the private keys of everybody.
type Authority struct {
	secret big.Int
	params *Params
}

// NewAuthority makes an authority with a fresh secret.
func NewAuthority(random io.Reader) (*Authority, error) {
	s, err := randomScalar(random)
	if err != nil {
		return nil, fmt.Errorf("setting up an authority: %w", err)
	}
	a := new(Authority)
	s.BigInt(&a.secret)
	_, _, _, g2 := bls12381.Generators()
	var public bls12381.G2Affine
	public.ScalarMultiplicationBase(&a.secret)
	a.params = &Params{[2]lines{bls12381.PrecomputeLines(g2), bls12381.PrecomputeLines(public)}}
	return a, nil
}

// Params returns what verifiers need.
func (a *Authority) Params() *Params { return a.params }

// Extract makes the private key of an identity: of any, without its consent.
func (a *Authority) Extract(identity string) (*Key, error) {
	id, err := NewIdentity(identity)
	if err != nil {
		return nil, err
	}
	k := &Key{identity: id}
	k.d.ScalarMultiplication(&id.q, &a.secret)
	return k, nil
}

// An Identity is a name and its point, the public key. It is immutable.
type Identity struct {
	name string
	q    bls12381.G1Affine
}

// NewIdentity hashes a name to its point: work to be kept, as Lamppost keeps decoded keys.
func NewIdentity(name string) (*Identity, error) {
	q, err := bls12381.HashToG1([]byte(name), []byte(identityDomain))
	if err != nil {
		return nil, fmt.Errorf("hashing the identity %q: %w", name, err)
	}
	return &Identity{name, q}, nil
}

// A Key signs in an identity's name.
type Key struct {
	identity *Identity
	d        bls12381.G1Affine
}

// Identity returns whose key it is.
func (k *Key) Identity() *Identity { return k.identity }

// Sign signs a message.
func (k *Key) Sign(random io.Reader, msg []byte) ([]byte, error) {
	r, err := randomScalar(random)
	if err != nil {
		return nil, fmt.Errorf("signing as %q: %w", k.identity.name, err)
	}
	var n big.Int
	var u, v bls12381.G1Affine
	u.ScalarMultiplication(&k.identity.q, r.BigInt(&n))
	rawU := u.Bytes()
	h, err := challenge(k.identity, rawU[:], msg)
	if err != nil {
		return nil, fmt.Errorf("signing as %q: %w", k.identity.name, err)
	}
	r.Add(&r, &h)
	v.ScalarMultiplication(&k.d, r.BigInt(&n))
	rawV := v.Bytes()
	return append(rawU[:], rawV[:]...), nil
}

// An Item is a message with who is said to have signed it.
type Item struct {
	Identity *Identity
	Msg, Sig []byte
}

// Verify checks one signature: two pairings.
func (p *Params) Verify(it Item) bool {
	u, v, ok := decode(it.Sig)
	if !ok || !u.IsInSubGroup() || !v.IsInSubGroup() {
		return false
	}
	h, err := challenge(it.Identity, it.Sig[:pointSize], it.Msg)
	if err != nil {
		return false
	}
	var n big.Int
	var w bls12381.G1Affine
	w.ScalarMultiplication(&it.Identity.q, h.BigInt(&n))
	w.Add(&w, &u)
	return p.equal(&v, &w)
}

// VerifyBatch reports whether all signatures are valid, with two pairings for any number of them; which one is not, it
// does not say. Each is weighted by a random coefficient, or two forgeries that cancel each other would pass.
func (p *Params) VerifyBatch(random io.Reader, items []Item) (bool, error) {
	n := len(items)
	switch n {
	case 0:
		return true, nil
	case 1:
		return p.Verify(items[0]), nil // without the detour over sums
	}
	coins := make([]byte, n*coefficientSize)
	if _, err := io.ReadFull(random, coins); err != nil {
		return false, fmt.Errorf("verifying a batch of %d: %w", n, err)
	}
	b := batch{coefficients: make([]fr.Element, n), v: make([]bls12381.G1Affine, n), u: make([]bls12381.G1Affine, n, 2*n),
		place: make(map[string]int)}
	for i, it := range items {
		b.coefficients[i].SetBytes(coins[i*coefficientSize:][:coefficientSize])
		if ok, err := b.add(i, it); !ok {
			return false, err
		}
	}
	if !bls12381.IsInSubGroupBatchG1(b.v) || !bls12381.IsInSubGroupBatchG1(b.u) {
		return false, nil
	}
	return b.verify(p)
}

// A batch collects Σ c·V and Σ c·U + Σ (Σ c·h)·Q, the inner sum over the signatures of one identity.
type batch struct {
	coefficients, weights []fr.Element // c of each signature; Σ c·h of each identity
	v, u, q               []bls12381.G1Affine
	place                 map[string]int // of an identity in q
}

// add takes in signature i; false means that it is not valid whatever the rest is.
func (b *batch) add(i int, it Item) (bool, error) {
	var ok bool
	if b.u[i], b.v[i], ok = decode(it.Sig); !ok {
		return false, nil
	}
	h, err := challenge(it.Identity, it.Sig[:pointSize], it.Msg)
	if err != nil {
		return false, err
	}
	at, known := b.place[it.Identity.name]
	if !known {
		at = len(b.q)
		b.place[it.Identity.name] = at
		b.q, b.weights = append(b.q, it.Identity.q), append(b.weights, fr.Element{})
	}
	h.Mul(&h, &b.coefficients[i])
	b.weights[at].Add(&b.weights[at], &h)
	return true, nil
}

func (b *batch) verify(p *Params) (bool, error) {
	oneTask := ecc.MultiExpConfig{NbTasks: 1}
	var v, w bls12381.G1Affine
	if _, err := v.MultiExp(b.v, b.coefficients, oneTask); err != nil {
		return false, fmt.Errorf("adding up a batch: %w", err)
	}
	if _, err := w.MultiExp(append(b.u, b.q...), append(b.coefficients, b.weights...), oneTask); err != nil {
		return false, fmt.Errorf("adding up a batch: %w", err)
	}
	return p.equal(&v, &w), nil
}

// equal reports whether e(v, G2) = e(w, P_pub).
func (p *Params) equal(v, w *bls12381.G1Affine) bool {
	var minus bls12381.G1Affine
	steps := p.lines // a copy, because the library writes to it
	ok, err := bls12381.PairingCheckFixedQ([]bls12381.G1Affine{*v, *minus.Neg(w)}, steps[:])
	return err == nil && ok
}

// decode reads two points of the curve, compressed: an uncompressed one would take the bytes of both. Whether they lie in
// the subgroup of prime order is left to the caller, who can ask for many at once.
func decode(sig []byte) (u, v bls12381.G1Affine, ok bool) {
	if len(sig) != SignatureSize {
		return u, v, false
	}
	d := bls12381.NewDecoder(bytes.NewReader(sig), bls12381.NoSubgroupChecks())
	ok = d.Decode(&u) == nil && d.Decode(&v) == nil
	return u, v, ok
}

func challenge(id *Identity, rawU, msg []byte) (fr.Element, error) {
	b := make([]byte, 0, 4+len(id.name)+len(rawU)+len(msg))
	b = binary.BigEndian.AppendUint32(b, uint32(len(id.name)))
	b = append(append(append(b, id.name...), rawU...), msg...)
	h, err := fr.Hash(b, []byte(challengeDomain), 1)
	if err != nil {
		return fr.Element{}, fmt.Errorf("hashing a message of %q: %w", id.name, err)
	}
	return h[0], nil
}

// randomScalar returns a number modulo the group order, of so many bits that reducing it leaves no bias.
func randomScalar(random io.Reader) (fr.Element, error) {
	var raw [48]byte
	var s fr.Element
	if _, err := io.ReadFull(random, raw[:]); err != nil {
		return s, fmt.Errorf("reading random bytes: %w", err)
	}
	s.SetBytes(raw[:])
	if s.IsZero() {
		return s, fmt.Errorf("the random bytes are not random")
	}
	return s, nil
}
