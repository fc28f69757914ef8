package archive_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/kv"
)

// walked lists "height/report" of each kept report that Part comes across, and how many readings the summaries stand for.
func walked(t *testing.T, v archive.View, after lamppost.Height) (reports []string, summed uint32) {
	t.Helper()
	for {
		p, err := v.Part(after)
		if err != nil {
			t.Fatal(err)
		}
		if p == nil {
			return reports, summed
		}
		for _, b := range p.Blocks {
			if b.Height != after+1 || len(b.Records) != 2 {
				t.Fatalf("block %d with %d records follows block %d", b.Height, len(b.Records), after)
			}
			after = b.Height
			seg := must(b.Records[0].Segment())(t)
			for i := range seg.Kept {
				reports = append(reports, fmt.Sprintf("%d/%d", b.Height, seg.Kept[i].Index))
			}
			if _, err := v.Tx(b.Height, 1); errors.Is(err, archive.ErrForgotten) != (b.Records[1].Raw == nil) {
				t.Errorf("the order of block %d: %v, and Part has %d bytes of it", b.Height, err, len(b.Records[1].Raw))
			}
		}
		for _, s := range p.Series {
			summed += uint32(len(s.Values))
		}
	}
}

// Goal: walking by parts meets every block once, whether it stands in a pack or in the store, from every beginning; and a
// report is either there or in the summaries of its part, also where a pack was written anew under the walk.
func TestPart(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for i := range 42 {
		at := start + lamppost.TimeMS(i)*hour
		h.block(at, nil, h.report("ann", at, int64(i), 0), h.report("ben", at, 5, 0), h.report("ann", at, 6, lamppost.FlagBilling))
	}
	k := h.keeper()
	h.settle(k, start+20*hour)
	if n := hot(t, h.store); n == 0 || n == 42*5 {
		t.Fatalf("%d keys are in the store: the test wants some in packs and some not", n)
	}
	v := archive.View{Reader: h.store, Packs: h.packs()}
	all := h.left()
	for after := range lamppost.Height(44) {
		want := all[min(len(all), 3*int(after)):]
		if got, _ := walked(t, v, after); !slices.Equal(got, want) {
			t.Errorf("after block %d: %v, want %v", after, got, want)
		}
	}
	snap := must(h.store.Snapshot())(t)
	defer snap.Close()
	h.rules = archive.Rules{Default: archive.Retention{RawMS: 1}, Gone: map[archive.Place]bool{{Height: 3, Index: 1}: true}, Changed: 43}
	h.settle(k, start+60*hour)
	for what, r := range map[string]kv.Reader{"now": h.store, "an older snapshot": snap} {
		got, summed := walked(t, archive.View{Reader: r, Packs: h.packs()}, 0)
		if len(got)+int(summed) != len(all) || summed == 0 {
			t.Errorf("%s: %d reports and summaries of %d, want %d together", what, len(got), summed, len(all))
		}
	}
	if p, err := (archive.View{Reader: kv.NewMem()}).Part(0); p != nil || err != nil {
		t.Errorf("an empty archive has part %v, %v", p, err)
	}
}
