package sig

import (
	"crypto/rand"
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

// A Verifier checks many signatures at once. The zero value is ready. It keeps its buffers (about 0.4 MB once it has
// seen a full batch), so reuse it; it serves one goroutine at a time.
//
// The Ed25519 claims of a batch are checked by one equation instead of one each. With z random and z·x short for the
// sum of every claim's z times its x, all of them hold only if
//
//	8(z·R + zk·A - zs·B) = 0
//
// and if some do not, at most one draw of the z in 2^128 makes it zero all the same (Bellare, Garay, Rabin 1998). With
// no z, a forgery too high in s and another too low by as much would cancel. A failed equation is bisected; the z
// stay, since the signatures were fixed before they were drawn. Fewer than 2^11 equations are asked of one draw, hence
// the bound of 2^-117.
type Verifier struct {
	claims []claim
	random [16 * MaxBatch]byte
	budget int // claims that equations may still cover

	// The operands of the equation being checked: sum of scalars[i]·points[i].
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

// batch checks at most MaxBatch items: Ed25519 together, the others one by one.
func (v *Verifier) batch(items []Item, ok []bool) int {
	v.claims = v.claims[:0]
	for i := range items {
		ok[i] = false
		switch key := items[i].Key; {
		case key == nil:
		case key.suite == EdDSA:
			v.add(i, &items[i])
		default:
			ok[i] = key.Verify(items[i].Msg, items[i].Sig)
		}
	}
	v.weigh()
	v.budget = searchBudget * len(v.claims)
	v.settle(v.claims, ok, false)

	good := 0
	for _, valid := range ok {
		if valid {
			good++
		}
	}
	return good
}

// add takes an Ed25519 item in as a claim, or leaves it refused.
func (v *Verifier) add(at int, item *Item) {
	n := len(v.claims)
	if n < cap(v.claims) {
		v.claims = v.claims[:n+1]
	} else {
		v.claims = append(v.claims, claim{})
	}
	c := &v.claims[n]
	c.at = at
	if !c.read(item.Key, item.Msg, item.Sig) {
		v.claims = v.claims[:n]
	}
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
		var z [scalar.ScalarSize]byte
		copy(z[:], random[16*i:16*i+16])
		if _, err := c.z.SetBits(z[:]); err != nil {
			panic(fmt.Sprintf("sig: 128-bit scalar refused: %v", err))
		}
		c.zs.Mul(&c.z, &c.s)
		c.zk.Mul(&c.z, &c.k)
	}
}

// settle writes the verdicts of the claims and reports whether all hold. suspect says that one of them is known not to,
// so that the equation need not be asked; it never decides a verdict.
func (v *Verifier) settle(claims []claim, ok []bool, suspect bool) bool {
	if len(claims) < minBatch || len(claims) > v.budget {
		return settleSingly(claims, ok)
	}
	if !suspect {
		v.budget -= len(claims)
		if v.equation(claims) {
			for i := range claims {
				ok[claims[i].at] = true
			}
			return true
		}
	}
	half := len(claims) / 2
	left := v.settle(claims[:half], ok, false)
	right := v.settle(claims[half:], ok, left) // if the culprit is not at the left, it is at the right
	return left && right
}

// settleSingly writes the verdicts of the claims after checking each alone.
func settleSingly(claims []claim, ok []bool) bool {
	all := true
	for i := range claims {
		c := &claims[i]
		ok[c.at] = c.holds()
		all = all && ok[c.at]
	}
	return all
}

// equation checks the claims together. A key that signed several of them could be one point with the sum of their zk
// here; nothing else would change.
func (v *Verifier) equation(claims []claim) bool {
	v.base.Zero()
	v.scalars, v.points = v.scalars[:0], v.points[:0]
	for i := range claims {
		c := &claims[i]
		v.base.Add(&v.base, &c.zs)
		v.scalars = append(v.scalars, &c.z, &c.zk)
		v.points = append(v.points, &c.R, c.A)
	}
	v.base.Neg(&v.base)
	v.scalars = append(v.scalars, &v.base)
	v.points = append(v.points, curve.ED25519_BASEPOINT_POINT)

	var sum curve.EdwardsPoint
	return sum.MultiscalarMulVartime(v.scalars, v.points).IsSmallOrder()
}

// VerifyAll does what [Verifier.Verify] does with up to so many workers at once, and returns when all are done. Fewer
// than 2 workers means that the caller's goroutine does all of it.
func VerifyAll(workers int, items []Item, ok []bool) int {
	mustPair(items, ok)
	size := share(len(items), workers)
	workers = min(workers, (len(items)+size-1)/size)
	if workers < 2 {
		return new(Verifier).Verify(items, ok)
	}
	var next, good atomic.Int64
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			var v Verifier
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
