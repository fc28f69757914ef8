package archive_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/sig"
)

const (
	hour  lamppost.TimeMS = 3600_000
	day                   = 24 * hour
	start lamppost.TimeMS = 1_800_000_000_000 - 1_800_000_000_000%86_400_000
)

// A house is a store with blocks of reports, and the packs they go to.
type house struct {
	t       testing.TB
	store   kv.Store
	objects archive.Objects
	rules   archive.Rules
	keys    map[lamppost.DeviceID]*sig.PrivateKey
	height  lamppost.Height
	number  map[lamppost.DeviceID]uint64

	aggregate []byte // of the segments from now on
}

func newHouse(t testing.TB) *house {
	return &house{t: t, store: kv.NewMem(), objects: new(archive.MemObjects), keys: map[lamppost.DeviceID]*sig.PrivateKey{}, number: map[lamppost.DeviceID]uint64{}}
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// report signs a report with one reading.
func (h *house) report(d lamppost.DeviceID, at lamppost.TimeMS, value int64, flags uint32) []byte {
	return h.sign(d, flags, lamppost.Reading{Name: "energy", Unit: "Wh", Kind: lamppost.Register, Time: at, Value: lamppost.Dec(value, -1)})
}

// sign signs a report.
func (h *house) sign(d lamppost.DeviceID, flags uint32, readings ...lamppost.Reading) []byte {
	key := h.keys[d]
	if key == nil {
		key = must(sig.NewPrivateKey(sig.EdDSA, bytes.Repeat([]byte{byte(len(h.keys) + 1)}, sig.SeedSize)))(h.t)
		h.keys[d] = key
	}
	h.number[d]++
	r := lamppost.Report{Device: d, Seq: lamppost.Seq{N: h.number[d]}, Flags: flags, TimeQuality: lamppost.TimeSynchronised, Readings: readings}
	return must(lamppost.SignReport(&r, "net", key))(h.t)
}

// block archives a block of one segment with these reports, all accepted but the outcomes given, and of one order.
func (h *house) block(at lamppost.TimeMS, outcomes map[int]lamppost.Outcome, reports ...[]byte) {
	h.height++
	salt := func(i int) (s [16]byte) {
		binary.BigEndian.PutUint64(s[:], uint64(h.height)<<20|uint64(i)|1<<63)
		return s
	}
	var items []lamppost.SegmentItem
	var outs []lamppost.Outcome
	for i, raw := range reports {
		items = append(items, lamppost.SegmentItem{Salt: salt(i), Received: at, Report: raw})
		outs = append(outs, outcomes[i])
	}
	key := must(sig.NewPrivateKey(sig.EdDSA, bytes.Repeat([]byte{200}, sig.SeedSize)))(h.t)
	seg := must(lamppost.NewAggregate("net", lamppost.Seq{N: uint64(h.height)}, len(reports), items, h.aggregate, "north", key, salt(1000)))(h.t)
	party := must(lamppost.NewTx("net", lamppost.Order{Type: lamppost.TxParty, Nonce: salt(2000),
		Body: lamppost.Marshal(lamppost.PartyBody{ID: lamppost.PartyID(fmt.Sprintf("p%d", h.height)), Name: "Somebody"})}, "north", key, salt(3000)))(h.t)
	var b kv.Batch
	archive.Put(&b, h.height, 0, archive.Record{Raw: seg.Append(nil), Outcomes: outs, Writes: lamppost.Hash{0: 1, 1: byte(h.height)}})
	archive.Put(&b, h.height, 1, archive.Record{Raw: party.Append(nil), Outcomes: []lamppost.Outcome{{}}})
	archive.PutBlock(&b, archive.Block{Height: h.height, Time: at, Proposer: "north", Count: 2, First: int64(3 * (h.height - 1))})
	if err := h.store.Apply(&b); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) packs() *archive.Packs { return must(archive.NewPacks(h.store, h.objects))(h.t) }

func (h *house) keeper() *archive.Keeper {
	return &archive.Keeper{Store: h.store, Packs: h.packs(), MaxHot: 3000,
		Rules: func(kv.Reader) (*archive.Rules, error) { r := h.rules; return &r, nil }}
}

// settle steps until there is nothing to do.
func (h *house) settle(k *archive.Keeper, now lamppost.TimeMS) (sum archive.Did) {
	h.t.Helper()
	for range 1000 {
		did, err := k.Step(now)
		if err != nil {
			h.t.Fatal(err)
		}
		if !did.Some() {
			return sum
		}
		sum.Sealed += did.Sealed
		sum.Thinned += did.Thinned
		sum.Freed += did.Freed
		sum.Erased, sum.Rules = max(sum.Erased, did.Erased), max(sum.Rules, did.Rules)
	}
	h.t.Fatal("it does not come to an end")
	return sum
}

// left lists what can still be read of all blocks: "height/report" of each kept report.
func (h *house) left() (reports []string) {
	h.t.Helper()
	v := archive.View{Reader: h.store, Packs: h.packs()}
	for at := lamppost.Height(1); at <= h.height; at++ {
		blk := must(v.Block(at))(h.t)
		if blk.Height != at || blk.Count != 2 || blk.First != int64(3*(at-1)) {
			h.t.Fatalf("block %d is %+v", at, blk)
		}
		rec := must(v.Tx(at, 0))(h.t)
		seg := must(rec.Segment())(h.t)
		for i := range seg.Kept {
			k := &seg.Kept[i]
			reports = append(reports, fmt.Sprintf("%d/%d", at, k.Index))
			if err := lamppost.CheckMerklePath(k.LeafHash(), int(k.Index), int(seg.Header.Count), seg.Path(k.Index), seg.Header.Root); err != nil {
				h.t.Fatalf("block %d, report %d: %v", at, k.Index, err)
			}
		}
		order, err := v.Tx(at, 1)
		if gone := h.rules.Gone[archive.Place{Height: at, Index: 1}]; gone != errors.Is(err, archive.ErrForgotten) || !gone && (err != nil || len(order.Raw) == 0) {
			h.t.Fatalf("the order of block %d: %v, gone %v", at, err, gone)
		}
		if _, err := v.Tx(at, 2); !errors.Is(err, archive.ErrAbsent) {
			h.t.Fatalf("transaction 2 of block %d: %v, want absent", at, err)
		}
	}
	return reports
}

// objectBytes is all that stands in objects.
func (h *house) objectBytes() (all []byte) {
	for _, name := range must(h.objects.List())(h.t) {
		all = append(all, must(h.objects.Read(name, 0, 1<<30))(h.t)...)
	}
	return all
}

func hot(t testing.TB, s kv.Reader) (keys int) {
	t.Helper()
	for _, kind := range []string{"aB", "aT", "aR"} {
		if err := s.Scan([]byte(kind), []byte{'a', kind[1] + 1}, func(_, _ []byte) error { keys++; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	return keys
}

// Bodies go to packs by size or by age and read as before, whole and byte for byte; the store keeps none of them.
func TestSeal(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	want := map[lamppost.Height]archive.Record{}
	for i := range 21 {
		at := start + lamppost.TimeMS(i)*60_000
		h.block(at, map[int]lamppost.Outcome{1: {Code: lamppost.CodeDuplicate, Data: []byte{7}}}, h.report("a", at, 1, 0), h.report("b", at, 2, 0))
		want[h.height] = must(archive.View{Reader: h.store}.Tx(h.height, 0))(t)
	}
	k := h.keeper()
	if did := h.settle(k, start+hour); did.Sealed == 0 || did.Sealed == 21 || did.Thinned != 0 {
		t.Errorf("by size: %+v, want some but not the last", did)
	}
	h.settle(k, start+2*day)
	if n := hot(t, h.store); n != 0 {
		t.Errorf("%d keys are left in the store", n)
	}
	v := archive.View{Reader: h.store, Packs: h.packs()}
	for at, w := range want {
		if got, err := v.Tx(at, 0); err != nil || !same(got, w) {
			t.Errorf("block %d: %+v, %v; want %+v", at, got, err, w)
		}
	}
	if _, err := v.Block(22); !errors.Is(err, archive.ErrAbsent) {
		t.Errorf("a block that never was: %v", err)
	}
	if _, err := (archive.View{Reader: h.store}).Tx(3, 0); !errors.Is(err, archive.ErrAbsent) {
		t.Errorf("without packs: %v", err)
	}
}

// Goal: a report stays raw for as long as the rule of its device says and a pack's length more, then it is summed up, then
// only its header is there. Billing reports, evidence and what is held stay; what stays can be proven.
func TestClasses(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.rules = archive.Rules{Default: archive.Retention{RawMS: 2 * day, SummaryMS: 10 * day},
		Devices: map[lamppost.DeviceID]archive.Retention{"brief": {RawMS: 1, SummaryMS: 1}, "forever": {}},
		Holds:   []archive.Hold{{Device: "held", From: start, To: start + hour}}}
	for i := range 4 {
		at := start + lamppost.TimeMS(i)*30*60_000
		h.block(at, map[int]lamppost.Outcome{5: {Code: lamppost.CodeReused}, 6: {Code: lamppost.CodeBadReport}},
			h.report("plain", at, int64(10*i), 0), h.report("plain", at, 1, lamppost.FlagBilling), h.report("brief", at, 1, 0),
			h.report("forever", at, 1, 0), h.report("held", at, 1, 0), h.report("plain", at, 1, 0), []byte("not a report"))
	}
	k := h.keeper()
	h.settle(k, start+day+2*hour)
	all := func(reports string) []string {
		var list []string
		for at := 1; at <= 4; at++ {
			for _, r := range strings.Fields(reports) {
				list = append(list, fmt.Sprintf("%d/%s", at, r))
			}
		}
		return list
	}
	expect := func(when string, want []string) {
		t.Helper()
		slices.Sort(want)
		got := h.left()
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: left are %v, want %v", when, got, want)
		}
	}
	expect("after a day", all("0 1 3 4 5 6"))
	h.settle(k, start+4*day)
	expect("after four days", slices.Concat(all("1 3 5"), []string{"1/4", "2/4"}))
	var summed []string
	for _, x := range h.values("plain", "energy", start+4*day) {
		if x.Class == archive.Summary {
			summed = append(summed, fmt.Sprintf("%d: %v", (x.At-start)/60_000, x.Value))
		} else if x.Error != 0 {
			t.Errorf("%+v is raw and has an error bar", x)
		}
	}
	if got, want := fmt.Sprint(summed), "[0: 0 30: 1 60: 2 90: 3]"; got != want {
		t.Errorf("summaries of plain: %s, want %s", got, want)
	}
	count := func(d lamppost.DeviceID, class archive.Class, now lamppost.TimeMS) (n int) {
		for _, x := range h.values(d, "energy", now) {
			if x.Class == class {
				n++
			}
		}
		return n
	}
	for _, d := range []lamppost.DeviceID{"brief", "forever", "nobody"} {
		if n := count(d, archive.Summary, start+4*day); n != 0 {
			t.Errorf("%d values of %s are in summaries", n, d)
		}
	}
	h.rules.Holds, h.rules.Changed = nil, 4
	h.settle(k, start+4*day)
	expect("the hold was lifted", all("1 3 5"))
	h.settle(k, start+20*day)
	if n := count("plain", archive.Summary, start+20*day); n != 0 {
		t.Errorf("after 20 days there are still %d values in summaries", n)
	}
	expect("in the end", all("1 3 5"))
}

// Halved reports prove together, so they stay together until the last of them may go; whole ones beside them go alone, and an
// erased one goes at once.
func TestHalvedReportsStayTogether(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.aggregate = make([]byte, lamppost.AggregateBytes)
	h.rules = archive.Rules{Default: archive.Retention{RawMS: 5 * day, SummaryMS: 5 * day},
		Devices: map[lamppost.DeviceID]archive.Retention{"brief": {RawMS: day, SummaryMS: day}}}
	half := func(d lamppost.DeviceID) []byte {
		var r lamppost.Report
		if err := r.Decode(h.report(d, start, 1, lamppost.FlagCold)); err != nil {
			t.Fatal(err)
		}
		return r.Halve(nil)
	}
	for range 2 {
		h.block(start, nil, half("brief"), half("long"), h.report("brief", start, 1, 0), half("erased"))
	}
	k := h.keeper()
	for _, step := range []struct {
		after lamppost.TimeMS
		left  string
	}{{2 * day, "[1/0 1/1 1/3 2/0 2/1 2/3]"}, {4 * day, "[1/0 1/1 2/0 2/1 2/3]"}, {6 * day, "[]"}} {
		h.settle(k, start+step.after)
		if got := fmt.Sprint(h.left()); got != step.left {
			t.Errorf("after %d days: %s, want %s", step.after/day, got, step.left)
		}
		h.rules.Erased, h.rules.Erase, h.rules.Changed = map[lamppost.DeviceID][]archive.Place{"erased": {{Height: 1, Index: 1}}}, 2, 2
	}
}

// An erasure reaches the reports before it in the log, not those after it in its own block. A hold keeps from it only what it
// held already: what a later one finds erased is gone, here as at members who were quicker.
func TestErasureReachesBack(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for range 3 {
		h.block(start, nil, h.report("a", start, 1, 0), h.report("b", start, 1, 0), h.report("c", start, 1, 0), h.report("d", start, 1, 0))
	}
	order := archive.Place{Height: 2} // before the segment of block 2
	h.rules = archive.Rules{Erase: 2, Changed: 3, Erased: map[lamppost.DeviceID][]archive.Place{"a": {order}, "b": {order}, "c": {order},
		"d": {order, {Height: 3}}},
		Holds: []archive.Hold{{Device: "b", Since: archive.Place{Height: 1, Index: 1}}, {Device: "c", Since: archive.Place{Height: 2, Index: 1}},
			{Device: "d", Since: archive.Place{Height: 2, Index: 1}}}}
	h.settle(h.keeper(), start)
	if got, want := fmt.Sprint(h.left()), "[1/1 2/0 2/1 2/2 2/3 3/0 3/1 3/2 3/3]"; got != want {
		t.Errorf("left are %s, want %s", got, want)
	}
	h.rules.Holds, h.rules.Changed = nil, 4
	h.settle(h.keeper(), start)
	if got, want := fmt.Sprint(h.left()), "[2/0 2/1 2/2 3/0 3/1 3/2 3/3]"; got != want {
		t.Errorf("without the holds: left are %s, want %s", got, want)
	}
}

// Pruning gives space back: of a segment of which nothing is kept, little more than its signed header stays.
func TestPruningFreesSpace(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.rules.Default = archive.Retention{RawMS: 2 * day, SummaryMS: 2 * day}
	for i := range 50 {
		at := start + lamppost.TimeMS(i)*60_000
		var reports [][]byte
		for d := range 30 {
			reports = append(reports, h.report(lamppost.DeviceID(fmt.Sprintf("meter-%d", d)), at, int64(i*d), 0))
		}
		h.block(at, nil, reports...)
	}
	h.settle(h.keeper(), start+day+hour)
	raw := len(h.objectBytes())
	did := h.settle(h.keeper(), start+4*day)
	now := len(h.objectBytes())
	if did.Freed != int64(raw-now) || did.Thinned != 1500 {
		t.Errorf("did %+v, the objects went from %d to %d bytes", did, raw, now)
	}
	if per := now / 50; per > 600 { // two transactions, one of them a party's
		t.Errorf("%d bytes a block are left of %d", per, raw/50)
	}
}

// Goal: after an erasure neither objects nor store hold a byte of what was erased, wherever it stood, in packs or still in
// the store; the rest reads and proves as before; what was billed stays.
func TestErase(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	secret := func(at lamppost.TimeMS) []byte { return h.report("ann", at, 987654, 0) }
	var secrets [][]byte
	for i := range 12 {
		at := start + lamppost.TimeMS(i)*hour
		s := secret(at)
		secrets = append(secrets, s)
		h.block(at, nil, s, h.report("ben", at, 5, 0), h.report("ann", at, 6, lamppost.FlagBilling))
	}
	k := h.keeper()
	h.settle(k, start+12*hour)
	purged := 0
	k.Purge = func() error { purged++; return nil }
	h.rules.Erased, h.rules.Erase, h.rules.Changed = map[lamppost.DeviceID][]archive.Place{"ann": {{Height: 12, Index: 1}}}, 12, 12
	h.rules.Gone = map[archive.Place]bool{{Height: 3, Index: 1}: true}
	if did := h.settle(k, start+13*hour); did.Erased != 12 || did.Thinned != 12 || purged != 1 {
		t.Errorf("did %+v, purged %d times", did, purged)
	}
	for i, s := range secrets {
		salt := binary.BigEndian.AppendUint64(nil, uint64(i+1)<<20|1<<63)
		for what, bytes := range map[string][]byte{"store": dump(t, h.store), "objects": decompressed(t, h)} {
			if strings.Contains(string(bytes), string(s)) || strings.Contains(string(bytes), string(salt)) {
				t.Errorf("report %d or its salt is still in the %s", i, what)
			}
		}
	}
	if strings.Contains(string(decompressed(t, h)), "p3") {
		t.Error("the erased order is still there")
	}
	for at := 1; at <= 12; at++ {
		if got := h.left(); !slices.Contains(got, fmt.Sprintf("%d/1", at)) || !slices.Contains(got, fmt.Sprintf("%d/2", at)) || slices.Contains(got, fmt.Sprintf("%d/0", at)) {
			t.Fatalf("left are %v", got)
		}
	}
	if did := h.settle(k, start+13*hour); did.Some() {
		t.Errorf("once more: %+v", did)
	}
}

func dump(t testing.TB, s kv.Reader) (all []byte) {
	t.Helper()
	if err := s.Scan(nil, nil, func(k, v []byte) error { all = append(append(all, k...), v...); return nil }); err != nil {
		t.Fatal(err)
	}
	return all
}

// decompressed is all that can be read of the objects.
func decompressed(t testing.TB, h *house) (all []byte) {
	t.Helper()
	v := archive.View{Reader: h.store, Packs: h.packs()}
	for at := lamppost.Height(1); at <= h.height; at++ {
		for i := range uint32(2) {
			rec, err := v.Tx(at, i)
			if errors.Is(err, archive.ErrForgotten) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, rec.Raw...)
			if rec.Thin != nil {
				all = append(all, rec.Thin.Append(nil)...)
			}
		}
	}
	return all
}

// faults counts every write of store and objects and lets one of them fail.
type faults struct {
	archive.Objects
	n, failAt int
	written   bool // it reached the disk all the same
}

var errDisk = errors.New("disk error")

func (f *faults) step(do func() error) error {
	n := f.n
	f.n++
	if n != f.failAt {
		return do()
	}
	if f.written {
		if err := do(); err != nil {
			return err
		}
	}
	return errDisk
}

func (f *faults) Put(name string, data []byte) error {
	return f.step(func() error { return f.Objects.Put(name, data) })
}

func (f *faults) Remove(name string) error {
	return f.step(func() error { return f.Objects.Remove(name) })
}

// Goal: whichever write fails, and whether or not it reached the disk, everything that is due to be there can be read after
// a restart, and going on ends with the same objects and the same store. Method: count the writes of a run without faults,
// then a run for each of them and each fate.
func TestFailureTable(t *testing.T) {
	t.Parallel()
	build := func(t testing.TB) *house {
		h := newHouse(t)
		for i := range 8 {
			at := start + lamppost.TimeMS(i)*hour
			h.block(at, nil, h.report("a", at, 1, 0), h.report("b", at, 2, 0), h.report("b", at, 2, lamppost.FlagBilling))
		}
		return h
	}
	// live is one life: sweep, then all that is due.
	live := func(h *house, f *faults, store kv.Store) error {
		k := h.keeper()
		k.Store, k.Packs = store, must(archive.NewPacks(store, f))(h.t)
		if err := k.Sweep(); err != nil {
			return err
		}
		for _, now := range []lamppost.TimeMS{start + 9*hour, start + 3*day} {
			h.rules = archive.Rules{Default: archive.Retention{RawMS: 2 * day, SummaryMS: 2 * day},
				Devices: map[lamppost.DeviceID]archive.Retention{"b": {RawMS: day, SummaryMS: 9 * day}}}
			if now > start+2*day {
				h.rules.Erased, h.rules.Erase, h.rules.Changed = map[lamppost.DeviceID][]archive.Place{"a": {{Height: 6, Index: 1}}}, 8, 8
			}
			for {
				did, err := k.Step(now)
				if err != nil {
					return err
				}
				if !did.Some() {
					break
				}
			}
		}
		return nil
	}
	run := func(t testing.TB, failAt int, written bool) (*house, int) {
		h := build(t)
		f := &faults{Objects: h.objects, failAt: failAt, written: written}
		mem := h.store
		store := kv.NewFaulty(mem, func(int) kv.Fault {
			n := f.n
			f.n++
			switch {
			case n != f.failAt:
				return kv.Works
			case written:
				return kv.FailsWritten
			}
			return kv.Fails
		})
		lives := 1
		for ; ; lives++ {
			err := live(h, f, store)
			if err == nil {
				break
			}
			if !errors.Is(err, errDisk) && !errors.Is(err, kv.ErrInjected) {
				t.Fatal(err)
			}
			store.Reopen()
			h.left() // nothing is lost
		}
		if lives > 2 {
			t.Fatalf("%d lives", lives)
		}
		return h, f.n
	}
	golden, steps := run(t, -1, false)
	want := state(t, golden)
	if len(golden.values("b", "energy", start+3*day)) != 16 {
		t.Fatal("the summaries of b are not there in the end")
	}
	if steps < 10 {
		t.Fatalf("only %d writes", steps)
	}
	for _, written := range []bool{false, true} {
		for at := range steps {
			h, _ := run(t, at, written)
			if got := state(t, h); !maps.Equal(got, want) {
				t.Fatalf("write %d, written %v: in the end there is %v, want %v", at, written, slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
			}
		}
	}
}

func state(t testing.TB, h *house) map[string]string {
	t.Helper()
	all := map[string]string{"store": string(dump(t, h.store))}
	for _, name := range must(h.objects.List())(t) {
		all[name] = ""
	}
	return all
}

// Goal: no bit of an object can change without whoever reads it hearing of it.
func TestDamagedObjects(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for i := range 6 {
		at := start + lamppost.TimeMS(i)*hour
		h.block(at, nil, h.report("a", at, 1, 0), h.report("b", at, 2, 0))
	}
	h.settle(h.keeper(), start+3*day)
	want := decompressed(t, h)
	names := must(h.objects.List())(t)
	flips := 0
	for _, name := range names {
		good := must(h.objects.Read(name, 0, 1<<30))(t)
		for at := 0; at < 8*len(good); at += 1 + len(good)/10 {
			bad := bytes.Clone(good)
			bad[at/8] ^= 1 << (at % 8)
			if err := h.objects.Put(name, bad); err != nil {
				t.Fatal(err)
			}
			flips++
			v := archive.View{Reader: h.store, Packs: h.packs()}
			failed := false
			var got []byte
			for at := lamppost.Height(1); at <= h.height; at++ {
				for i := range uint32(2) {
					rec, err := v.Tx(at, i)
					var damaged *archive.DamagedError
					if err != nil && (!errors.As(err, &damaged) || damaged.Object != name) {
						t.Fatalf("bit %d of %s: %v is no %T that names the object", at, name, err, damaged)
					}
					failed = failed || err != nil
					got = append(got, rec.Raw...)
				}
			}
			if !failed && !bytes.Equal(got, want) {
				t.Fatalf("bit %d of %s: other bytes were read", at, name)
			}
			if !failed {
				t.Errorf("bit %d of %s: nobody noticed", at, name)
			}
		}
		if err := h.objects.Put(name, good); err != nil {
			t.Fatal(err)
		}
	}
	if flips < 50 {
		t.Errorf("only %d bits were flipped", flips)
	}
}

// A proof that is being made while its pack is written again finds the new one.
func TestRewrittenUnderASnapshot(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.rules.Default = archive.Retention{RawMS: 2 * day, SummaryMS: 2 * day}
	h.block(start, nil, h.report("a", start, 1, 0), h.report("a", start, 2, lamppost.FlagBilling))
	k := h.keeper()
	h.settle(k, start+day)
	snap := must(h.store.Snapshot())(t)
	defer snap.Close()
	h.settle(k, start+5*day)
	rec, err := archive.View{Reader: snap, Packs: must(archive.NewPacks(h.store, h.objects))(t)}.Tx(1, 0)
	if err != nil || rec.Thin == nil || len(rec.Thin.Kept) != 1 {
		t.Errorf("read %+v, %v", rec, err)
	}
}
