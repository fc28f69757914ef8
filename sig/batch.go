package sig

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/oasisprotocol/curve25519-voi/curve"
	"github.com/oasisprotocol/curve25519-voi/curve/scalar"
)

// An Item is a signature to check. Items may repeat keys, mix suites and hold anything: bad input is a refused item.
type Item struct {
	Key      *PublicKey // nil is refused
	Msg, Sig []byte
}

// A Verifier checks many signatures at once. The zero value is ready. It keeps its buffers (about 0.5 MB after a full
// batch of Ed25519, four times that after a full half-aggregate, and 0.5 MB after a full batch of ES256), so reuse it; it
// serves one goroutine at a time.
//
// ES256 and HMAC signatures have an equation each. The Ed25519 claims of a batch are checked by one equation instead of
// one each. With z random and z·x short for the sum of every claim's z times its x, all of them hold only if
//
//	8(z·R + zk·A - zs·B) = 0
//
// and if some do not, at most one draw of the z in 2^128 makes it zero all the same (Bellare, Garay, Rabin 1998). With
// no z, a forgery too high in s and another too low by as much would cancel. A batch whose sum is not zero is bisected;
// the z stay, since the signatures were fixed before they were drawn. Fewer than 2^11 sums are asked of one draw, hence
// the bound of 2^-117.
//
// Claims of one key share one point A, with the sum of their zk: a batch of few keys costs three quarters of one of
// different keys.
type Verifier struct {
	claims  []claim
	random  [16 * MaxBatch]byte
	covered int // claims that the sums of this batch cover together, each as often as it is summed
	keys    keyTable
	ecdsa   ecdsaVerifier

	// The operands of the sum being made: scalars[i]·points[i] of each i.
	base    scalar.Scalar
	scalars []*scalar.Scalar
	points  []*curve.EdwardsPoint
}

// Verify checks the items, sets ok[i] to whether items[i] is valid, and returns how many are. The result is what
// [PublicKey.Verify] says of each item. It panics if the lengths differ.
func (v *Verifier) Verify(items []Item, ok []bool) int {
	mustPair(items, ok)
	good := 0
	for len(items) > 0 {
		n := min(len(items), MaxBatch)
		good += v.batch(items[:n], ok[:n])
		items, ok = items[n:], ok[n:]
	}
	return good
}

// batch checks at most MaxBatch items: Ed25519 by one equation, ES256 with one inversion, HMAC one by one.
func (v *Verifier) batch(items []Item, ok []bool) int {
	v.reset()
	for i := range items {
		ok[i] = false
		switch key := items[i].Key; {
		case key == nil:
		case key.suite == EdDSA:
			if c := v.add(key); c.read(key, items[i].Msg, items[i].Sig) {
				c.at = i
			} else {
				v.claims = v.claims[:len(v.claims)-1]
			}
		case key.suite == ES256:
			digest := sha256.Sum256(items[i].Msg)
			v.ecdsa.add(key.p256, &digest, items[i].Sig, i)
		default:
			ok[i] = key.Verify(items[i].Msg, items[i].Sig)
		}
	}
	v.weigh()
	v.decide(ok)
	v.ecdsa.decide(ok)

	good := 0
	for _, valid := range ok {
		if valid {
			good++
		}
	}
	return good
}

// reset forgets the batch before.
func (v *Verifier) reset() {
	v.claims = v.claims[:0]
	v.keys.reset()
	v.covered = 0
}

// add makes room for a claim of the key, to be read or taken off again.
func (v *Verifier) add(key *PublicKey) *claim {
	n := len(v.claims)
	if n < cap(v.claims) {
		v.claims = v.claims[:n+1]
	} else {
		v.claims = append(v.claims, claim{})
	}
	c := &v.claims[n]
	c.group = v.keys.group(key)
	return c
}

// weigh draws every claim's z, after all claims are known. A z of zero would leave its claim out; that is one of the
// draws in 2^128 which the bound allows.
func (v *Verifier) weigh() {
	if len(v.claims) < minBatch {
		return
	}
	random := v.random[:16*len(v.claims)]
	rand.Read(random) // never fails: the program stops if the system has no randomness
	for i := range v.claims {
		c := &v.claims[i]
		c.weigh(random[16*i : 16*i+16])
		c.zs.Mul(&c.z, &c.s)
	}
}

// decide writes the verdicts of the batch.
func (v *Verifier) decide(ok []bool) {
	if len(v.claims) < minBatch {
		settleSingly(v.claims, ok)
		return
	}
	total := v.sum(v.claims)
	if !settled(v.claims, ok, &total) {
		v.search(v.claims, ok, &total, 0)
	}
}

// settled writes the verdicts of the claims and reports true if their sum says that all hold.
func settled(claims []claim, ok []bool, sum *curve.EdwardsPoint) bool {
	if !sum.IsSmallOrder() {
		return false
	}
	for i := range claims {
		ok[claims[i].at] = true
	}
	return true
}

// search writes the verdicts of claims of which some does not hold. The sum of the right half is what the left one
// leaves of the total, so that finding one culprit among n covers n/2 + n/4 + … claims, wherever it is. forks counts the
// halvings on the way here that found culprits at both sides: after some, whoever is left is checked alone. That others
// hold never decides against a claim.
func (v *Verifier) search(claims []claim, ok []bool, total *curve.EdwardsPoint, forks int) {
	if len(claims) <= maxSingly || forks >= maxForks {
		settleSingly(claims, ok)
		return
	}
	half := len(claims) / 2
	left := v.sum(claims[:half])
	var right curve.EdwardsPoint
	right.Sub(total, &left)
	leftHolds, rightHolds := settled(claims[:half], ok, &left), settled(claims[half:], ok, &right)
	if !leftHolds && !rightHolds {
		forks++
	}
	if !leftHolds {
		v.search(claims[:half], ok, &left, forks)
	}
	if !rightHolds {
		v.search(claims[half:], ok, &right, forks)
	}
}

// settleSingly writes the verdicts of the claims after checking each alone.
func settleSingly(claims []claim, ok []bool) {
	for i := range claims {
		ok[claims[i].at] = claims[i].holds()
	}
}

// sum returns z·R + zk·A - zs·B of the claims, which has small order if all hold.
func (v *Verifier) sum(claims []claim) curve.EdwardsPoint {
	v.covered += len(claims)
	v.base.Zero()
	for i := range claims {
		v.base.Add(&v.base, &claims[i].zs)
	}
	return v.combine(claims)
}

// combine returns z·R + zk·A of the claims, less v.base times B. Where keys have torsion, adding up zk modulo l changes
// the sum by a point of small order, which nothing here distinguishes from zero.
func (v *Verifier) combine(claims []claim) (sum curve.EdwardsPoint) {
	v.scalars, v.points = v.scalars[:0], v.points[:0]
	v.keys.clearSums()
	for i := range claims {
		c := &claims[i]
		v.scalars = append(v.scalars, &c.z)
		v.points = append(v.points, &c.R)
		v.keys.add(c)
	}
	v.scalars, v.points = v.keys.appendTo(v.scalars, v.points)
	v.base.Neg(&v.base)
	v.scalars = append(v.scalars, &v.base)
	v.points = append(v.points, curve.ED25519_BASEPOINT_POINT)
	sum.MultiscalarMulVartime(v.scalars, v.points)
	return sum
}

// verifiers are those of VerifyAll between its calls, for their buffers.
var verifiers = sync.Pool{New: func() any { return new(Verifier) }}

// VerifyAll does what [Verifier.Verify] does with up to so many workers at once, and returns when all are done. Fewer
// than 2 workers means that the caller's goroutine does all of it.
func VerifyAll(workers int, items []Item, ok []bool) int {
	mustPair(items, ok)
	size := share(len(items), workers)
	workers = min(workers, (len(items)+size-1)/size)
	if workers < 2 {
		v := verifiers.Get().(*Verifier)
		defer verifiers.Put(v)
		return v.Verify(items, ok)
	}
	var next, good atomic.Int64
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			v := verifiers.Get().(*Verifier)
			defer verifiers.Put(v)
			for {
				from := int(next.Add(int64(size))) - size
				if from >= len(items) {
					return
				}
				to := min(from+size, len(items))
				good.Add(int64(v.Verify(items[from:to], ok[from:to])))
			}
		})
	}
	all.Wait()
	return int(good.Load())
}

// share returns how many of n items a worker takes at a time: equal shares over as few rounds as MaxBatch allows.
func share(n, workers int) int {
	workers = max(workers, 1)
	rounds := max(1, (n+workers*MaxBatch-1)/(workers*MaxBatch))
	return max(minShare, (n+workers*rounds-1)/(workers*rounds))
}

func mustPair(items []Item, ok []bool) {
	if len(items) != len(ok) {
		panic(fmt.Sprintf("sig: %d items, but room for %d verdicts", len(items), len(ok)))
	}
}
