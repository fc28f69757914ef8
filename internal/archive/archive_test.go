package archive_test

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/kv"
)

func records() *rapid.Generator[archive.Record] {
	return rapid.Custom(func(t *rapid.T) archive.Record {
		r := archive.Record{Raw: rapid.SliceOfN(rapid.Byte(), 1, 50).Draw(t, "raw")}
		r.Writes[0] = rapid.Byte().Draw(t, "writes")
		for range rapid.IntRange(0, 40).Draw(t, "outcomes") {
			o := lamppost.Outcome{}
			if rapid.IntRange(0, 3).Draw(t, "plain") == 0 {
				o.Code = lamppost.Code(rapid.IntRange(0, 17).Draw(t, "code"))
				o.Data = rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "data")
			}
			r.Outcomes = append(r.Outcomes, o)
		}
		return r
	})
}

func same(a, b archive.Record) bool {
	if !bytes.Equal(a.Raw, b.Raw) || a.Writes != b.Writes || len(a.Outcomes) != len(b.Outcomes) {
		return false
	}
	for i := range a.Outcomes {
		if a.Outcomes[i].Code != b.Outcomes[i].Code || !bytes.Equal(a.Outcomes[i].Data, b.Outcomes[i].Data) {
			return false
		}
	}
	return true
}

// What is put comes back, each under its place, and nothing else does.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.SliceOfN(records(), 1, 5).Draw(t, "records")
		store := kv.NewMem()
		var b kv.Batch
		for i, r := range all {
			archive.Put(&b, 7, uint32(i), r)
		}
		blk := archive.Block{Height: 7, Time: 8, Proposer: "m", Count: uint32(len(all)), First: 9,
			Evidence: []lamppost.Evidence{{Member: "x", Height: 3, Kind: 1}}}
		archive.PutBlock(&b, blk)
		if err := store.Apply(&b); err != nil {
			t.Fatal(err)
		}
		view := archive.View{Reader: store}
		for i, want := range all {
			if got, err := view.Tx(7, uint32(i)); err != nil || !same(got, want) {
				t.Fatalf("Get(7, %d) = %+v, %v; want %+v", i, got, err, want)
			}
		}
		if got, err := view.Block(7); err != nil || !reflect.DeepEqual(got, blk) {
			t.Fatalf("GetBlock(7) = %+v, %v; want %+v", got, err, blk)
		}
		if _, err := view.Tx(7, uint32(len(all))); !errors.Is(err, archive.ErrAbsent) {
			t.Fatalf("Get of nothing = %v", err)
		}
		if _, err := view.Block(6); !errors.Is(err, archive.ErrAbsent) {
			t.Fatalf("GetBlock of nothing = %v", err)
		}
	})
}

// A damaged result is an error or a result, never a panic, and never more memory than a segment's outcomes; what decodes
// and is written again decodes to the same.
func FuzzDecodeResult(f *testing.F) {
	f.Add([]byte{})
	f.Add(archive.AppendResult(nil, archive.Record{Outcomes: make([]lamppost.Outcome, 3)}))
	f.Add(archive.AppendResult(nil, archive.Record{Outcomes: []lamppost.Outcome{{Code: lamppost.CodeDuplicate, Data: make([]byte, 8)}, {Code: lamppost.CodeReused}}}))
	f.Add(append(make([]byte, 32), 0xff, 0xff, 0xff, 0xff, 0x0f))
	f.Add(append(make([]byte, 32), 1, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1))
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := archive.DecodeResult(raw)
		if err != nil {
			return
		}
		if len(r.Outcomes) > lamppost.MaxSegmentReports {
			t.Fatalf("%d outcomes", len(r.Outcomes))
		}
		again, err := archive.DecodeResult(archive.AppendResult(nil, r))
		if err != nil || !same(r, again) {
			t.Fatalf("%+v became %+v, %v", r, again, err)
		}
	})
}

// Whatever stands for a block: it is refused, or read with as many records as it says, and written again as it was.
func FuzzDecodeBlock(f *testing.F) {
	h := newHouse(f)
	h.block(start, map[int]lamppost.Outcome{1: {Code: lamppost.CodeDuplicate, Data: []byte{7}}}, h.report("a", start, 1, 0), h.report("b", start, 2, 0))
	h.block(start+1, nil, h.report("a", start, 1, 0))
	f.Add(must(archive.View{Reader: h.store}.Encoded(1))(f))
	h.rules = archive.Rules{Default: archive.Retention{RawMS: 1, SummaryMS: 1}, Gone: map[archive.Place]bool{{Height: 2, Index: 1}: true}}
	h.settle(h.keeper(), start+3*day)
	for at := range lamppost.Height(2) {
		f.Add(must(archive.View{Reader: h.store, Packs: h.packs()}.Encoded(at + 1))(f))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		blk, records, err := archive.DecodeBlock(raw)
		if err == nil && int(blk.Count) != len(records) {
			t.Fatalf("%d records of %d", len(records), blk.Count)
		}
	})
}

// A block is encoded with all that is left of it, from the store and from a pack, and reads as the archive has it.
func TestEncodedBlock(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for i := range 3 {
		at := start + lamppost.TimeMS(i)
		h.block(at, map[int]lamppost.Outcome{1: {Code: lamppost.CodeDuplicate, Data: []byte{7}}}, h.report("a", at, 1, 0), h.report("b", at, 2, 0))
	}
	check := func(v archive.View) {
		t.Helper()
		for at := range lamppost.Height(3) {
			blk, records, err := archive.DecodeBlock(must(v.Encoded(at + 1))(t))
			if err != nil || !reflect.DeepEqual(blk, must(v.Block(at+1))(t)) || len(records) != 2 {
				t.Fatalf("block %d: %+v with %d records, %v", at+1, blk, len(records), err)
			}
			for i := range records {
				want, err := v.Tx(at+1, uint32(i))
				if gone := errors.Is(err, archive.ErrForgotten); gone && (records[i].Whole() || records[i].Thin != nil) || !gone && !same(records[i], want) {
					t.Errorf("transaction %d of block %d is %+v, want %+v", i, at+1, records[i], want)
				}
			}
		}
		if _, err := v.Encoded(4); !errors.Is(err, archive.ErrAbsent) {
			t.Errorf("a block that never was: %v", err)
		}
	}
	check(archive.View{Reader: h.store})
	h.rules.Gone = map[archive.Place]bool{{Height: 2, Index: 1}: true}
	h.settle(h.keeper(), start+2*day)
	check(archive.View{Reader: h.store, Packs: h.packs()})
}
