package sig_test

import (
	"bytes"
	"fmt"
	"math/big"
	"slices"
	"testing"

	"filippo.io/edwards25519"
	"github.com/lamppost/lamppost/sig"
	"pgregory.net/rapid"
)

// spoil returns the item made invalid in the way-th manner; 0 leaves it valid.
func spoil(item sig.Item, way int) sig.Item {
	switch way {
	case 1:
		item.Sig = flip(item.Sig, 3) // R, r or tag: perhaps not even a point
	case 2:
		item.Sig = flip(item.Sig, 8*len(item.Sig)-9) // s
	case 3:
		item.Msg = flip(item.Msg, 0)
	case 4:
		item.Sig = item.Sig[:len(item.Sig)-1]
	case 5:
		item.Sig = nil
	case 6:
		item.Key = nil
	case 7:
		item.Sig = bytes.Repeat([]byte{255}, len(item.Sig)) // s >= l
	}
	return item
}

const spoilWays = 8

// checkBatch: Verifier and VerifyAll say of each item what Verify alone says, and count right.
func checkBatch(t interface{ Fatalf(string, ...any) }, v *sig.Verifier, items []sig.Item, workers int) {
	want, good := make([]bool, len(items)), 0
	for i, item := range items {
		want[i] = item.Key != nil && item.Key.Verify(item.Msg, item.Sig)
		if want[i] {
			good++
		}
	}
	got := make([]bool, len(items))
	for i := range got {
		got[i] = i%2 == 0 // what was there before must not matter
	}
	if n := v.Verify(items, got); n != good || !slices.Equal(got, want) {
		t.Fatalf("batch of %d: got %d good: %v, want %d: %v", len(items), n, got, good, want)
	}
	if n := sig.VerifyAll(workers, items, got); n != good || !slices.Equal(got, want) {
		t.Fatalf("%d items, %d workers: got %d good: %v, want %d: %v", len(items), workers, n, got, good, want)
	}
}

// TestBatchIsSingle: whatever is mixed into a batch, its verdicts are those of single checks. The Verifier is reused, so
// nothing of an earlier batch may stay.
func TestBatchIsSingle(t *testing.T) {
	t.Parallel()
	pool := make(map[sig.Suite][]sig.Item)
	for _, suite := range usable() {
		for n := range uint64(16) {
			pool[suite] = append(pool[suite], goodItem(t, suite, n))
		}
	}
	// Mostly Ed25519, which is what batches are about.
	suites := []sig.Suite{sig.EdDSA, sig.EdDSA, sig.EdDSA, sig.EdDSA, sig.EdDSA, sig.EdDSA, sig.ES256, sig.HMAC256}
	var v sig.Verifier
	rapid.Check(t, func(r *rapid.T) {
		badIn100 := rapid.SampledFrom([]int{0, 1, 5, 50, 100}).Draw(r, "bad in 100")
		draw := rapid.Custom(func(r *rapid.T) sig.Item {
			item := rapid.SampledFrom(pool[rapid.SampledFrom(suites).Draw(r, "suite")]).Draw(r, "item")
			if rapid.IntRange(0, 99).Draw(r, "fate") >= badIn100 {
				return item
			}
			return spoil(item, rapid.IntRange(1, spoilWays-1).Draw(r, "way"))
		})
		checkBatch(r, &v, rapid.SliceOfN(draw, 0, 150).Draw(r, "items"), rapid.IntRange(-1, 4).Draw(r, "workers"))
	})
}

// TestCulpritAnywhere: one bad signature is found at every place of a batch, and two at every distance.
func TestCulpritAnywhere(t *testing.T) {
	t.Parallel()
	items := manyItems(t, 37)
	var v sig.Verifier
	for i := range items {
		one := slices.Clone(items)
		one[i] = spoil(one[i], 3)
		checkVerdicts(t, &v, one, i, i)
		for j := i + 1; j < len(items); j += 5 {
			two := slices.Clone(one)
			two[j] = spoil(two[j], 2)
			checkVerdicts(t, &v, two, i, j)
		}
	}
}

// checkVerdicts: all items but i and j are valid.
func checkVerdicts(t *testing.T, v *sig.Verifier, items []sig.Item, i, j int) {
	t.Helper()
	ok := make([]bool, len(items))
	v.Verify(items, ok)
	for n, valid := range ok {
		if valid != (n != i && n != j) {
			t.Fatalf("%d items, %d and %d bad: item %d valid %t", len(items), i, j, n, valid)
		}
	}
}

// TestChunks: counts around the limits of batches and shares lose no item, with the bad ones at the seams.
func TestChunks(t *testing.T) {
	t.Parallel()
	pool := manyItems(t, 2*sig.MaxBatch+3)
	var v sig.Verifier
	for _, n := range []int{0, 1, 2, 3, 4, 63, 64, 65, 129, sig.MaxBatch - 1, sig.MaxBatch, sig.MaxBatch + 1, 2*sig.MaxBatch + 3} {
		items := slices.Clone(pool[:n])
		for _, at := range []int{0, 63, 64, sig.MaxBatch - 1, sig.MaxBatch, n - 1} {
			if at >= 0 && at < n {
				items[at] = spoil(pool[at], 3)
			}
		}
		for _, workers := range []int{1, 2, 3} {
			checkBatch(t, &v, items, workers)
		}
	}
}

// TestSearchCost: a batch of valid signatures, torsion in R included, costs one sum, so that nobody slows it down with
// strange but valid ones. One culprit costs sums over less than twice the batch, a flood two and a half times, and
// no choice of forgeries makes it more than three and a half.
func TestSearchCost(t *testing.T) {
	t.Parallel()
	var valid []sig.Item
	for _, c := range edgeCases() {
		if c.valid {
			valid = append(valid, c.item(t))
		}
	}
	checkCovered(t, valid, len(valid))

	items := manyItems(t, 256)
	for _, at := range []int{0, 1, 100, 254, 255} {
		checkCovered(t, spoilAt(items, at), 2*len(items))
	}
	all := make([]int, len(items))
	for i := range all {
		all[i] = i
	}
	checkCovered(t, spoilAt(items, all...), 5*len(items)/2)
	rapid.Check(t, func(r *rapid.T) {
		bad := rapid.SliceOfDistinct(rapid.IntRange(0, len(items)-1), rapid.ID[int]).Draw(r, "bad")
		checkCovered(r, spoilAt(items, bad...), 7*len(items)/2)
	})
}

// spoilAt returns the items with those at the given places forged.
func spoilAt(items []sig.Item, bad ...int) []sig.Item {
	items = slices.Clone(items)
	for _, at := range bad {
		items[at] = spoil(items[at], 3)
	}
	return items
}

// checkCovered: the sums over the batch cover between all its claims and the given number of them.
func checkCovered(t interface{ Errorf(string, ...any) }, items []sig.Item, most int) {
	var v sig.Verifier
	v.Verify(items, make([]bool, len(items)))
	if got := v.Covered(); got < len(items) || got > most {
		t.Errorf("sums over %d claims covered %d, want at most %d", len(items), got, most)
	}
}

// TestFewKeys: the claims of one key share a point, in every half of a search too; a key parsed a second time is the same
// key. The forgeries are of keys that also signed honestly, and of every key.
func TestFewKeys(t *testing.T) {
	t.Parallel()
	var v sig.Verifier
	for _, keys := range []int{1, 2, 3, 16} {
		items := fewKeys(t, 100, keys)
		for at := range items {
			j := (at + 1 + at%7) % len(items)
			checkVerdicts(t, &v, spoilAt(items, at, j), at, j)
		}
	}
	twice := fewKeys(t, 8, 1)
	again, err := sig.ParsePublicKey(sig.EdDSA, twice[0].Key.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	twice[5].Key = again
	checkVerdicts(t, &v, twice, -1, -1)
	if keys := v.Keys(); keys != 1 {
		t.Errorf("one key parsed twice counts as %d", keys)
	}
}

// fewKeys returns n valid Ed25519 items of different messages, whose keys take turns.
func fewKeys(t testing.TB, n, keys int) []sig.Item {
	t.Helper()
	items := make([]sig.Item, n)
	for i := range items {
		k, msg := testKey(t, sig.EdDSA, uint64(i%keys)), make([]byte, 200)
		msg[0], msg[1] = byte(i>>8), byte(i)
		items[i] = sig.Item{Key: k.Public(), Msg: msg, Sig: mustSign(t, k, msg)}
	}
	return items
}

// TestFlood: a batch of forgeries only, which uses up the budget of the search, is still decided item by item.
func TestFlood(t *testing.T) {
	t.Parallel()
	items := manyItems(t, 256)
	for i := range items {
		if i%17 != 0 {
			items[i] = spoil(items[i], 3)
		}
	}
	checkBatch(t, new(sig.Verifier), items, 2)
}

// TestCancellingForgeries: one s too high and another too low by as much satisfy the plain sum of the equations, which the
// test checks, and are refused by the batch.
func TestCancellingForgeries(t *testing.T) {
	t.Parallel()
	items := manyItems(t, 8)
	l := groupOrder()
	for _, delta := range []int64{1, 8, 1 << 40} {
		forged := slices.Clone(items)
		forged[2].Sig = shiftS(items[2].Sig, big.NewInt(delta), l)
		forged[5].Sig = shiftS(items[5].Sig, big.NewInt(-delta), l)
		if !plainSum(forged) {
			t.Fatalf("delta %d: the forgeries do not cancel: the test tests nothing", delta)
		}
		checkVerdicts(t, new(sig.Verifier), forged, 2, 5)
		// A pair on its own, below and at the size of an equation.
		pair := []sig.Item{forged[2], forged[5], forged[2], forged[5]}
		for n := 2; n <= 4; n += 2 {
			if got := new(sig.Verifier).Verify(pair[:n], make([]bool, n)); got != 0 {
				t.Errorf("delta %d: %d of %d cancelling forgeries accepted", delta, got, n)
			}
		}
	}
}

func shiftS(signature []byte, delta, l *big.Int) []byte {
	s := fromLittleEndian(signature[32:])
	s.Mod(s.Add(s, delta), l)
	return append(bytes.Clone(signature[:32]), littleEndian(s)...)
}

// plainSum checks 8·sum(sB - kA - R) = 0, the batch equation without coefficients.
func plainSum(items []sig.Item) bool {
	sum := edwards25519.NewIdentityPoint()
	for _, item := range items {
		public := item.Key.Bytes()
		A, errA := new(edwards25519.Point).SetBytes(public)
		R, errR := new(edwards25519.Point).SetBytes(item.Sig[:32])
		s, errS := new(edwards25519.Scalar).SetCanonicalBytes(item.Sig[32:])
		if errA != nil || errR != nil || errS != nil {
			return false
		}
		sum.Add(sum, new(edwards25519.Point).ScalarBaseMult(s))
		sum.Subtract(sum, new(edwards25519.Point).ScalarMult(challenge(item.Sig[:32], public, item.Msg), A))
		sum.Subtract(sum, R)
	}
	return sum.MultByCofactor(sum).Equal(edwards25519.NewIdentityPoint()) == 1
}

// TestLengths: a slice of verdicts of another length is the caller's mistake and must not pass silently.
func TestLengths(t *testing.T) {
	t.Parallel()
	items := manyItems(t, 2)
	for name, verify := range map[string]func([]sig.Item, []bool) int{
		"Verifier":  new(sig.Verifier).Verify,
		"VerifyAll": func(items []sig.Item, ok []bool) int { return sig.VerifyAll(2, items, ok) },
	} {
		for _, room := range []int{1, 3} {
			if !panics(func() { verify(items, make([]bool, room)) }) {
				t.Errorf("%s: 2 items and room for %d verdicts: no panic", name, room)
			}
		}
	}
}

func panics(f func()) (did bool) {
	defer func() { did = recover() != nil }()
	f()
	return false
}

// manyItems returns n valid Ed25519 items of different keys.
func manyItems(t testing.TB, n int) []sig.Item {
	t.Helper()
	items := make([]sig.Item, n)
	for i := range items {
		items[i] = goodItem(t, sig.EdDSA, uint64(i))
	}
	return items
}

// manyES256 returns n valid ES256 items of so many keys, which take turns.
func manyES256(t testing.TB, n, keys int) []sig.Item {
	t.Helper()
	items := make([]sig.Item, n)
	for i := range items {
		items[i] = goodItem(t, sig.ES256, uint64(i%keys))
		if i >= keys {
			items[i].Key = items[i-keys].Key // the same, not just an equal one
		}
	}
	return items
}

// BenchmarkVerify is one check of a 200-byte message with a kept key.
func BenchmarkVerify(b *testing.B) {
	for _, suite := range usable() {
		item := goodItem(b, suite, 1)
		b.Run(suite.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !item.Key.Verify(item.Msg, item.Sig) {
					b.Fatal("refused")
				}
			}
		})
	}
}

// BenchmarkSign is one signature of a 200-byte message.
func BenchmarkSign(b *testing.B) {
	for _, suite := range usable() {
		k, msg := testKey(b, suite, 1), make([]byte, 200)
		b.Run(suite.String(), func(b *testing.B) {
			for b.Loop() {
				mustSign(b, k, msg)
			}
		})
	}
}

// BenchmarkParse is reading a key as it is enrolled.
func BenchmarkParse(b *testing.B) {
	for _, suite := range usable() {
		raw := testKey(b, suite, 1).Public().Bytes()
		b.Run(suite.String(), func(b *testing.B) {
			for b.Loop() {
				if _, err := sig.ParsePublicKey(suite, raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkBatch is Ed25519 with different, kept keys on one core, some of the items forged. `lamppost bench verify` tells
// more, and by CPU time.
func BenchmarkBatch(b *testing.B) {
	for _, n := range []int{16, 64, 256, 1024} {
		for _, bad := range []int{0, 1, 4, 16, n} {
			if bad > n || (bad != 0 && n != 1024) {
				continue
			}
			items := manyItems(b, n)
			for i := range bad {
				items[i*n/bad] = spoil(items[i*n/bad], 3)
			}
			b.Run(fmt.Sprintf("n=%d/bad=%d", n, bad), func(b *testing.B) {
				ok := make([]bool, n)
				var v sig.Verifier
				b.ReportAllocs()
				for b.Loop() {
					if v.Verify(items, ok) != n-bad {
						b.Fatal("wrong count")
					}
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(n), "µs/item")
			})
		}
	}
}
