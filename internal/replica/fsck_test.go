package replica_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/internal/tilelog"
)

// held are snapshots in memory.
type held map[string][]byte

func (h held) Each(fn func(string, io.ReaderAt, int64) error) error {
	for _, name := range slices.Sorted(maps.Keys(h)) {
		if err := fn(name, bytes.NewReader(h[name]), int64(len(h[name]))); err != nil {
			return err
		}
	}
	return nil
}

// A kept chain is billed, pruned, published, with snapshots that members vouched for.
type kept struct {
	t     *testing.T
	net   *ledgertest.Network
	store *kv.Mem
	r     *replica.Replica
	objs  *archive.MemObjects
	packs *archive.Packs
	files *tilelog.MemStorage
	snaps held
}

// newKept makes one: a snapshot of all that was billed, three blocks more, and another one.
func newKept(t *testing.T, prune bool) *kept {
	t.Helper()
	k := &kept{t: t, objs: new(archive.MemObjects), files: new(tilelog.MemStorage), snaps: held{}}
	k.net, k.store, k.r = billed(t)
	var err error
	k.packs, err = archive.NewPacks(k.store, k.objs)
	must(t, err)
	if prune {
		k.settle(archive.Retention{RawMS: 1, SummaryMS: 1})
	}
	k.snapshot()
	for i := range 3 {
		k.run(k.net.Order(k.r.Last().Time+1000, lamppost.TxParty, lamppost.PartyBody{ID: lamppost.PartyID(fmt.Sprint("new", i))}))
	}
	k.snapshot()
	k.publish()
	return k
}

func (k *kept) settle(rule archive.Retention) {
	k.t.Helper()
	keeper := archive.Keeper{Store: k.store, Packs: k.packs, Rules: func(kv.Reader) (*archive.Rules, error) { return &archive.Rules{Default: rule}, nil }}
	for did := (archive.Did{Sealed: 1}); did.Some(); {
		var err error
		did, err = keeper.Step(k.r.Last().Time + 10*ledgertest.Day)
		must(k.t, err)
	}
}

func (k *kept) run(tx *lamppost.Transaction) {
	k.t.Helper()
	res := apply(k.t, k.r, block(k.r.Last().Height+1, k.r.Last().Time+1, tx))
	must(k.t, res.Outcomes[0][0].Err())
	commit(k.t, k.r)
}

func (k *kept) publish() (string, *tilelog.Tree) {
	k.t.Helper()
	signed, tree := publish(k.t, k.net, k.store, k.files)
	var b kv.Batch
	tilelog.Trim(&b, lamppost.Checkpoint{Size: tree.Size(), Root: lamppost.Hash(tree.Root())})
	must(k.t, k.store.Apply(&b))
	return signed, tree
}

// snapshot takes one as a node does.
func (k *kept) snapshot() {
	k.t.Helper()
	k.publish()
	var raw bytes.Buffer
	w, h, err := replica.WriteSnapshot(&raw, k.store, k.files, pause)
	must(k.t, err)
	digest, err := w.Digest()
	must(k.t, err)
	k.run(k.net.Order(k.r.Last().Time+1000, lamppost.TxSnapshot, lamppost.SnapshotBody{Height: h.Height, Size: h.Size, Root: h.Root, Digest: digest}))
	signed, tree := k.publish()
	want, err := replica.WantSnapshot(k.store, h.Height)
	must(k.t, err)
	proof, err := replica.Prove(archive.View{Reader: k.store, Packs: k.packs}, k.net.ID, []string{signed}, tree, want)
	must(k.t, err)
	must(k.t, w.End(proof.Append(nil)))
	k.snaps[fmt.Sprintf("%03d", h.Height)] = raw.Bytes()
}

func (k *kept) check(change ...func(*replica.Check)) *replica.Checkup {
	k.t.Helper()
	packs, err := archive.NewPacks(k.store, k.objs) // nothing is in its cache
	must(k.t, err)
	c := replica.Check{Store: k.store, Packs: packs, Files: k.files, Snapshots: k.snaps}
	for _, f := range change {
		f(&c)
	}
	found, err := c.Run(context.Background())
	must(k.t, err)
	return found
}

func said(c *replica.Checkup) string {
	var b strings.Builder
	for _, f := range c.Faults {
		fmt.Fprintf(&b, "%s: %s; %s (mended %v)\n", f.Where, f.What, f.Means, f.Mended)
	}
	return b.String() + strings.Join(c.Notes, "\n")
}

// Goal: a chain is checked as far as it is there: replayed from the first block where all is whole; from the oldest snapshot
// after what was pruned; and where there is none, everything but the state, and that is said.
func TestFsckOfPrunedChains(t *testing.T) {
	t.Parallel()
	whole := newKept(t, false)
	if c := whole.check(); len(c.Faults) > 0 || !c.Replayed || c.From != 0 || c.Gone != 0 || c.Root != whole.r.Last().Root || c.Reports != 4 {
		t.Errorf("whole: %+v", c)
	}
	pruned := newKept(t, true)
	c := pruned.check()
	if len(c.Faults) > 0 || !c.Replayed || c.From != 6 || c.Gone != 2 || c.Root != pruned.r.Last().Root {
		t.Errorf("pruned: %+v", c)
	}
	pruned.settle(archive.Retention{RawMS: 1, SummaryMS: 1})
	if c := pruned.check(); len(c.Faults) > 0 || !c.Replayed {
		t.Errorf("in packs: %+v", c)
	}
	if c := pruned.check(func(c *replica.Check) { c.Snapshots = nil }); len(c.Faults) > 0 || c.Replayed || !strings.Contains(said(c), "block 4 is not whole any more") {
		t.Errorf("without snapshots: %+v", c)
	}
}

// Goal: on a pruned chain whatever is changed is found and named with its place and what follows; nothing else is blamed.
func TestFsckFindsInPrunedChains(t *testing.T) {
	t.Parallel()
	set := func(k *kept, key string, change func([]byte) []byte) {
		val, err := k.store.Get([]byte(key))
		must(k.t, err)
		var b kv.Batch
		b.Set([]byte(key), change(val))
		must(k.t, k.store.Apply(&b))
	}
	last := func(raw []byte) []byte { raw[len(raw)-1] ^= 1; return raw }
	object := func(k *kept) string {
		names, err := k.objs.List()
		must(k.t, err)
		return names[0]
	}
	for name, c := range map[string]struct {
		damage func(k *kept)
		want   []string
	}{
		"nothing": {func(*kept) {}, nil},
		"an object": {func(k *kept) {
			raw, err := k.objs.Read(object(k), 0, 1<<20)
			must(k.t, err)
			raw[99] ^= 16
			must(k.t, k.objs.Put(object(k), raw))
		}, []string{"frame 1 of", "blocks 1 to 6 cannot be read as they were: proofs of them cannot be made", "block 2: ", "nothing of it can be proven"}},
		"an object is gone": {func(k *kept) { must(k.t, k.objs.Remove(object(k))) }, []string{"it is not there", "block 4: "}},
		"a state":           {func(k *kept) { set(k, "sPbob", last) }, []string{`state: the value of key "sPbob"`}},
		"the proof of a snapshot": {func(k *kept) {
			raw := k.snaps["006"]
			raw[len(raw)-40] ^= 1
		}, []string{"snapshots/006: the snapshot's proof", "no copy and no check can begin with it"}},
		"a snapshot": {func(k *kept) { k.snaps["006"][30] ^= 1 }, []string{"snapshots/006: snapshot: chunk 1 of"}},
		"a tile": {func(k *kept) {
			k.files = damagedFiles(k, "tile/0/000.p/", 5)
		}, []string{"log/tile/0/000.p/"}},
		"a bundle": {func(k *kept) {
			k.files = damagedFiles(k, "tile/entries/000.p/", 500)
		}, []string{"log/tile/entries/000.p/", "proofs of the leaves in it cannot be made"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKept(t, true)
			c.damage(k)
			found := said(k.check())
			for _, want := range c.want {
				if !strings.Contains(found, want) {
					t.Errorf("it does not say %q, but\n%s", want, found)
				}
			}
			if len(c.want) == 0 && found != "" {
				t.Errorf("found\n%s", found)
			}
		})
	}
}

// damagedFiles copies the published log with a byte changed in the file of the latest size.
func damagedFiles(k *kept, prefix string, at int) *tilelog.MemStorage {
	out := new(tilelog.MemStorage)
	raw, err := k.files.Get(tilelog.CheckpointPath)
	must(k.t, err)
	must(k.t, out.PutCheckpoint(tilelog.CheckpointPath, nil, raw))
	c, err := pin(k.net).OpenCheckpoint(raw)
	must(k.t, err)
	for _, path := range []string{fmt.Sprintf("tile/0/000.p/%d", c.Size), fmt.Sprintf("tile/entries/000.p/%d", c.Size)} {
		data, err := k.files.Get(path)
		must(k.t, err)
		if strings.HasPrefix(path, prefix) {
			data[at] ^= 1
		}
		must(k.t, out.Put(tilelog.File{Path: path, Data: data}))
	}
	return out
}

// mends puts things right in a kept chain.
type mends struct{ *kept }

func (m mends) File(path string, data []byte) error {
	m.files = overwrite(m.kept, path, data)
	return nil
}
func (m mends) Store(b *kv.Batch) error    { return m.store.Apply(b) }
func (m mends) Snapshot(name string) error { delete(m.snaps, name); return nil }

func overwrite(k *kept, path string, data []byte) *tilelog.MemStorage {
	out := new(tilelog.MemStorage)
	raw, err := k.files.Get(tilelog.CheckpointPath)
	must(k.t, err)
	must(k.t, out.PutCheckpoint(tilelog.CheckpointPath, nil, raw))
	c, err := pin(k.net).OpenCheckpoint(raw)
	must(k.t, err)
	for _, p := range []string{fmt.Sprintf("tile/0/000.p/%d", c.Size), fmt.Sprintf("tile/entries/000.p/%d", c.Size)} {
		have, err := k.files.Get(p)
		must(k.t, err)
		if p == path {
			have = data
		}
		must(k.t, out.Put(tilelog.File{Path: p, Data: have}))
	}
	return out
}

// Goal: what follows from the rest is put right, and afterwards nothing is found; what does not follow is left alone.
func TestFsckMends(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		damage func(k *kept)
		mends  bool
	}{
		"a tile":        {func(k *kept) { k.files = damagedFiles(k, "tile/0/", 5) }, true},
		"a whole block": {func(k *kept) { k.files = damagedFiles(k, "tile/entries/", 2000) }, true}, // its leaves follow from the archive
		"the list of packs": {func(k *kept) {
			var b kv.Batch
			b.DeleteRange([]byte("aP"), []byte("aQ"))
			must(k.t, k.store.Apply(&b))
		}, true},
		"the index of what moved claims": {func(k *kept) {
			var b kv.Batch
			b.DeleteRange([]byte("aM\x00\x00\x00\x00\x00\x00\x00\x02"), []byte("aN"))
			must(k.t, k.store.Apply(&b))
		}, true},
		"a snapshot": {func(k *kept) { k.snaps["006"][30] ^= 1 }, true},
		"a leaf of the store": {func(k *kept) {
			var b kv.Batch
			tilelog.Keep(&b, 3, []byte("another"))
			must(k.t, k.store.Apply(&b))
		}, true},
		"a body": {func(k *kept) {
			names, err := k.objs.List()
			must(k.t, err)
			must(k.t, k.objs.Remove(names[0]))
		}, false},
		"the state": {func(k *kept) {
			var b kv.Batch
			b.Set([]byte("sPmallory"), []byte("x"))
			must(k.t, k.store.Apply(&b))
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKept(t, false)
			k.settle(archive.Retention{})
			c.damage(k)
			before := k.check(func(c *replica.Check) { c.Mend = mends{k} })
			if len(before.Faults) == 0 || before.Faults[0].Mended != c.mends {
				t.Fatalf("found\n%s", said(before))
			}
			after := k.check()
			if c.mends && len(after.Faults) > 0 || !c.mends && len(after.Faults) == 0 {
				t.Errorf("found at first\n%s\nand afterwards\n%s", said(before), said(after))
			}
		})
	}
}

// A copy that began with a snapshot is checked from there.
func TestFsckOfACopy(t *testing.T) {
	t.Parallel()
	k := newKept(t, true)
	f := reopened(t, k.snaps["006"])
	copied, files := kv.NewMem(), new(tilelog.MemStorage)
	edge, err := replica.Begin(copied, f)
	must(t, err)
	v := archive.View{Reader: k.store, Packs: k.packs}
	c := open(t, copied)
	must(t, c.CatchUp(context.Background(), sends(v, k.r.Last().Height, nil), head(k.r, v), still))
	signed, err := k.files.Get(tilelog.CheckpointPath)
	must(t, err)
	must(t, edge.Adopt(files, copied, signed, head(k.r, v)))
	check := replica.Check{Store: copied, Files: files, Snapshots: held{"006": k.snaps["006"]}}
	found, err := check.Run(context.Background())
	must(t, err)
	if len(found.Faults) > 0 || !found.Replayed || found.From != 6 || found.Root != k.r.Last().Root || !strings.Contains(said(found), "this copy began after block 6") {
		t.Errorf("the copy: %+v", found)
	}
	var b kv.Batch
	b.Delete([]byte("sPbob"))
	must(t, copied.Apply(&b))
	if found, err = check.Run(context.Background()); err != nil || !strings.Contains(said(found), `key "sPbob" is missing`) {
		t.Errorf("a key was taken out: %s, %v", said(found), err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := check.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("an ended context: %v", err)
	}
}
