package archive_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/kv"
)

// Goal: what does not fit between objects and their list is found and named, what follows from the objects can be put right, and a
// sound archive is not blamed.
func TestCheck(t *testing.T) {
	t.Parallel()
	build := func() *house {
		h := newHouse(t)
		for i := range 9 {
			at := start + lamppost.TimeMS(i)*hour
			h.block(at, nil, h.report("a", at, 1, 0), h.report("b", at, 2, 0))
		}
		h.rules.Default = archive.Retention{RawMS: 1} // so packs have summaries
		h.settle(h.keeper(), start+5*day)
		return h
	}
	check := func(h *house) (words []string, found []archive.Finding) {
		found, err := archive.View{Reader: h.store, Packs: h.packs()}.Check(context.Background(), func(_, _ int) {})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			words = append(words, fmt.Sprintf("%s: %s (lost %v, blocks %d to %d)", f.Where, f.What, f.Lost, f.First, f.Last))
		}
		return words, found
	}
	if words, _ := check(build()); len(words) > 0 {
		t.Fatalf("a sound archive: %v", words)
	}
	entry := func(h *house) (key, val []byte) {
		err := h.store.Scan([]byte("aP"), []byte("aQ"), func(k, v []byte) error { key, val = slices.Clone(k), slices.Clone(v); return kv.ErrStop })
		if err != nil || key == nil {
			t.Fatal("no pack is listed")
		}
		return key, val
	}
	set := func(h *house, key, val []byte) {
		var b kv.Batch
		if b.Delete(key); val != nil {
			b.Set(key, val)
		}
		if err := h.store.Apply(&b); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		damage func(h *house)
		want   string
		mends  bool
	}{
		"a bit of an object": {func(h *house) {
			name := must(h.objects.List())(t)[0]
			data := must(h.objects.Read(name, 0, 1<<30))(t)
			data[50] ^= 4
			_ = h.objects.Put(name, data)
		}, "is damaged (lost true", false},
		"an object is missing": {func(h *house) { _ = h.objects.Remove(must(h.objects.List())(t)[0]) }, "it is not there (lost true", false},
		"an object of nobody":  {func(h *house) { _ = h.objects.Put(strings.Repeat("ab", 32), []byte("x")) }, "what a crash left", false},
		"half an object":       {func(h *house) { _ = h.objects.Put("x.tmp", []byte("x")) }, "archive/x.tmp: nobody lists it", false},
		"an entry is missing":  {func(h *house) { k, _ := entry(h); set(h, k, nil) }, "and nobody lists it", true},
		"an entry's times": {func(h *house) {
			k, v := entry(h)
			v[len(v)-1] ^= 1
			set(h, k, v)
		}, "archive index: of object", true},
	} {
		h := build()
		c.damage(h)
		words, found := check(h)
		if len(found) == 0 || !slices.ContainsFunc(words, func(w string) bool { return strings.Contains(w, c.want) }) {
			t.Errorf("%s: found %v, want %q", name, words, c.want)
			continue
		}
		var b kv.Batch
		for _, f := range found {
			if f.Entry != nil {
				archive.List(&b, *f.Entry)
			}
		}
		if c.mends != (b.Len() > 0) {
			t.Errorf("%s: %d entries can be written again", name, b.Len())
		}
		if err := h.store.Apply(&b); err != nil {
			t.Fatal(err)
		}
		if words, _ := check(h); c.mends && len(words) > 0 {
			t.Errorf("%s: mended, and still %v", name, words)
		}
	}
}
