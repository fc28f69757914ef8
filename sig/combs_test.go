package sig_test

import (
	"runtime"
	"sync"
	"testing"

	"github.com/lamppost/lamppost/sig"
)

// TestEarnTable: a key has a table from its combAfter-th valid signature on, by single checks and by batches alike, and
// never by forgeries.
func TestEarnTable(t *testing.T) {
	t.Parallel()
	for name, verify := range map[string]func(sig.Item) bool{
		"single": func(item sig.Item) bool { return item.Key.Verify(item.Msg, item.Sig) },
		"batch": func(item sig.Item) bool {
			return new(sig.Verifier).Verify([]sig.Item{item}, make([]bool, 1)) == 1
		},
	} {
		item := fresh(t, goodItem(t, sig.ES256, 1))
		for range 4 * sig.CombPush {
			if verify(spoil(item, 3)) {
				t.Fatalf("%s: forgery accepted", name)
			}
		}
		for n := range 2 * sig.CombAfter {
			if got, want := sig.HasTable(item.Key), n >= sig.CombAfter; got != want {
				t.Errorf("%s: after %d valid signatures: table %t, want %t", name, n, got, want)
			}
			if !verify(item) {
				t.Fatalf("%s: refused", name)
			}
		}
	}
}

// fresh returns the item with a key that nobody has used.
func fresh(t testing.TB, item sig.Item) sig.Item {
	t.Helper()
	key, err := sig.ParsePublicKey(item.Key.Suite(), item.Key.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	item.Key = key
	return item
}

// freshKeys returns n keys that no cache knows.
func freshKeys(t testing.TB, n int) []*sig.PublicKey {
	t.Helper()
	keys := make([]*sig.PublicKey, n)
	for i := range keys {
		keys[i] = fresh(t, sig.Item{Key: testKey(t, sig.ES256, uint64(i)).Public()}).Key
	}
	return keys
}

// turns lets each key sign once, in turn, rounds times, and returns how many of the signatures had a table.
func turns(c *sig.CombCache, keys []*sig.PublicKey, rounds int) (hits int) {
	for range rounds {
		for _, k := range keys {
			if c.Valid(k) {
				hits++
			}
		}
	}
	return hits
}

func tables(keys []*sig.PublicKey) (n int) {
	for _, k := range keys {
		if sig.HasTable(k) {
			n++
		}
	}
	return n
}

// TestCombsTooFew: a fleet four times as large as the cache has as many tables as there may be, and keeps them instead of
// taking them from one another; when it is replaced by a small fleet, that one gets its tables.
func TestCombsTooFew(t *testing.T) {
	t.Parallel()
	const limit = 16
	c, keys := sig.NewCombCache(limit), freshKeys(t, 4*limit)
	turns(c, keys, 50)
	if got := tables(keys); got != limit {
		t.Fatalf("%d tables, want %d", got, limit)
	}
	if hits := turns(c, keys, 50); hits != 50*limit {
		t.Errorf("%d hits in 50 rounds, want %d", hits, 50*limit)
	}
	heirs := freshKeys(t, limit)
	turns(c, heirs, 2*limit*sig.CombPush)
	if old, now := tables(keys), tables(heirs); old != 0 || now != limit {
		t.Errorf("%d tables of a fleet that is gone, %d of the new one, want 0 and %d", old, now, limit)
	}
}

// TestCombsOfTheGone: a key that nobody holds any more keeps no table, and its place is free at once.
func TestCombsOfTheGone(t *testing.T) {
	t.Parallel()
	c := sig.NewCombCache(1)
	if turns(c, freshKeys(t, 1), sig.CombAfter+1) != 1 {
		t.Fatal("the first key has no table")
	}
	runtime.GC()
	keys := freshKeys(t, 1)
	turns(c, keys, sig.CombAfter)
	if tables(keys) != 1 {
		t.Error("the place of a key that is gone is still taken")
	}
}

// TestCombsTogether: many goroutines at one small cache, and never more tables than there may be.
func TestCombsTogether(t *testing.T) {
	t.Parallel()
	const limit = 3
	c, keys := sig.NewCombCache(limit), freshKeys(t, 2*limit)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() { turns(c, append(keys[i%len(keys):], keys...), 50) })
	}
	all.Wait()
	if got := tables(keys); got != limit {
		t.Errorf("%d tables, want %d", got, limit)
	}
}

// TestVerifyTogether: goroutines that share keys, which get their tables meanwhile, agree about every item.
func TestVerifyTogether(t *testing.T) {
	t.Parallel()
	items := make([]sig.Item, 64)
	shared := freshKeys(t, 8)
	for i := range items {
		items[i] = goodItem(t, sig.ES256, uint64(i%len(shared)))
		items[i].Key = shared[i%len(shared)]
		if i%5 == 0 {
			items[i] = spoil(items[i], 1+i%3)
		}
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			ok := make([]bool, len(items))
			var v sig.Verifier
			for i := range items {
				ok[i] = items[i].Key.Verify(items[i].Msg, items[i].Sig)
			}
			v.Verify(items, ok)
			for i, valid := range ok {
				if valid != (i%5 != 0) {
					t.Errorf("item %d: valid %t", i, valid)
				}
			}
		})
	}
	all.Wait()
}
