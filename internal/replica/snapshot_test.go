package replica_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/internal/snapshot"
	"github.com/lamppost/lamppost/internal/tilelog"
	"github.com/lamppost/lamppost/sig"
)

func pause() error { return nil }

// take writes a snapshot of a store, without a proof.
func take(t fatal, store kv.Reader, files tilelog.Source) *snapshot.File {
	t.Helper()
	var raw bytes.Buffer
	w, _, err := replica.WriteSnapshot(&raw, store, files, pause)
	if err == nil {
		_, err = w.Digest()
	}
	if err == nil {
		err = w.End(nil)
	}
	if err != nil {
		t.Fatalf("taking a snapshot: %v", err)
	}
	return reopened(t, raw.Bytes())
}

func reopened(t fatal, raw []byte) *snapshot.File {
	t.Helper()
	f, err := snapshot.Open(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatalf("opening a snapshot: %v", err)
	}
	return f
}

// Goal: a copy that begins with a snapshot and gets the blocks after it is the chain itself: the same roots, outcomes and state,
// the same published log, and again the same snapshots. Method: random chains, cut at a random place; the archive is all that
// the copy lacks.
func TestSnapshotContinues(t *testing.T) {
	t.Parallel()
	net := ledgertest.New("net")
	rapid.Check(t, func(rt *rapid.T) {
		draw := func(n int) int { return rapid.IntRange(0, n-1).Draw(rt, "") }
		chain := blocks(2+draw(9), draw)
		cut := 1 + draw(len(chain)-1)
		whole, copied := kv.NewMem(), kv.NewMem()
		r := open(rt, whole)
		for _, b := range chain[:cut] {
			apply(rt, r, b)
			commit(rt, r)
		}
		f := take(rt, whole, nowhere)
		edge, err := replica.Begin(copied, f)
		must(t, err)
		c := open(rt, copied)
		for _, b := range chain[cut:] {
			want, got := apply(rt, r, b), apply(rt, c, b)
			if got.Root != want.Root || got.Size != want.Size {
				rt.Fatalf("block %d: root %v of the copy, want %v", b.Height, got.Root, want.Root)
			}
			commit(rt, r)
			commit(rt, c)
		}
		if a, b := part(rt, whole, "s"), part(rt, copied, "s"); a != b {
			rt.Fatalf("state: %s", diff(a, b))
		}
		if h, edge, err := replica.Began(copied); err != nil || h != lamppost.Height(cut) || edge.Size() != f.Head().Size {
			rt.Fatalf("the copy began at %d, %v", h, err)
		}
		files, others := new(tilelog.MemStorage), new(tilelog.MemStorage)
		signed, tree := publish(t, net, whole, files)
		all := lamppost.Checkpoint{Size: tree.Size(), Root: lamppost.Hash(tree.Root())}
		must(t, edge.Adopt(others, copied, []byte(signed), all))
		var trim kv.Batch
		tilelog.Trim(&trim, all)
		must(t, copied.Apply(&trim))
		if a, b := take(rt, whole, files), take(rt, copied, others); a.Digest() != b.Digest() || a.Head() != b.Head() {
			rt.Fatalf("a snapshot of the copy is %+v %v, want %+v %v", b.Head(), b.Digest(), a.Head(), a.Digest())
		}
	})
}

func part(t fatal, store kv.Reader, prefix string) string {
	t.Helper()
	var b bytes.Buffer
	if err := store.Scan([]byte(prefix), []byte{prefix[0] + 1}, func(k, v []byte) error { fmt.Fprintf(&b, "%q = %x\n", k, v); return nil }); err != nil {
		t.Fatalf("Scan = %v", err)
	}
	return b.String()
}

// A snapshot whose parts do not belong together is not begun with, and leaves a store without a position.
func TestBeginRefuses(t *testing.T) {
	t.Parallel()
	store := kv.NewMem()
	r := open(t, store)
	for _, b := range blocks(3, seeded(11)) {
		apply(t, r, b)
		commit(t, r)
	}
	good := take(t, store, nowhere)
	raw, err := good.Edge()
	must(t, err)
	for name, c := range map[string]struct {
		change func(h *snapshot.Head)
		key    string
		want   string
	}{
		"another network": {func(h *snapshot.Head) { h.Network = "other" }, "", `of network "other", its state is of "net"`},
		"another root":    {func(h *snapshot.Head) { h.Root[0]++ }, "", "its head says"},
		"another size":    {func(h *snapshot.Head) { h.Size++ }, "", "its head says"},
		"no state":        {func(h *snapshot.Head) {}, "tl", "is not of the ledger's state"},
	} {
		var out bytes.Buffer
		head := good.Head()
		c.change(&head)
		w, err := snapshot.NewWriter(&out, head, raw)
		must(t, err)
		must(t, good.Each(w.Add, func() error { return nil }))
		if c.key != "" {
			must(t, w.Add([]byte(c.key), nil))
		}
		_, err = w.Digest()
		must(t, err)
		must(t, w.End(nil))
		empty := kv.NewMem()
		if _, err := replica.Begin(empty, reopened(t, out.Bytes())); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if r := open(t, empty); r.Last().Height != 0 {
			t.Errorf("%s: the store stands at height %d", name, r.Last().Height)
		}
	}
}

// Goal: what a member said of its state is proven to who has the pin alone, and with it height, time, size and root; nothing of it
// can be changed, and a member cannot say another root than the log had.
func TestSnapshotIsProven(t *testing.T) {
	t.Parallel()
	net, store, r := billed(t)
	run := func(b lamppost.SnapshotBody) lamppost.Outcome {
		t.Helper()
		at := r.Last().Time + 1
		res := apply(t, r, block(r.Last().Height+1, at, net.Order(at+1000, lamppost.TxSnapshot, b)))
		commit(t, r)
		return res.Outcomes[0][0]
	}
	f := take(t, store, nowhere)
	h := f.Head()
	said := lamppost.SnapshotBody{Height: h.Height, Size: h.Size, Root: h.Root, Digest: f.Digest()}
	if o := run(said); o.Code != lamppost.CodeOK {
		t.Fatalf("the order: %+v", o)
	}
	files := new(tilelog.MemStorage)
	prove := func(h lamppost.Height) *lamppost.Proof {
		t.Helper()
		signed, tree := publish(t, net, store, files)
		want, err := replica.WantSnapshot(store, h)
		must(t, err)
		proof, err := replica.Prove(archive.View{Reader: store}, net.ID, []string{signed}, tree, want)
		must(t, err)
		return proof
	}
	proof := prove(h.Height)
	s, err := audit.CheckSnapshot(proof, pin(net))
	if err != nil || s.SnapshotBody != said || s.Time != h.Time || len(s.Members) != 1 {
		t.Fatalf("the auditor says %+v, %v", s, err)
	}
	strict := pin(net)
	strict.Quorum, strict.Members = 2, append(strict.Members, lamppost.Member{ID: "m2", Key: ledgertest.Key("m2", sig.EdDSA).Public().Bytes()})
	if _, err := audit.CheckSnapshot(proof, strict); err == nil {
		t.Error("one member's word was enough for a quorum of two")
	}
	raw := proof.Append(nil)
	for i := range raw {
		bad := bytes.Clone(raw)
		bad[i] ^= 1 << (i % 8)
		p, err := lamppost.ParseProof(bad)
		if err != nil {
			continue
		}
		if s, err := audit.CheckSnapshot(p, pin(net)); err == nil {
			t.Errorf("byte %d of the proof was changed and it says %+v", i, s)
		}
	}
	// A member that lies about the log is found out by the proof.
	last := r.Last()
	for _, lie := range []lamppost.SnapshotBody{
		{Height: last.Height, Size: h.Size + 2, Root: lamppost.Hash{1}, Digest: said.Digest},
		{Height: last.Height + 1, Size: h.Size + 3, Root: last.Root, Digest: said.Digest},
		{Height: last.Height + 2, Size: 1, Root: last.Root, Digest: said.Digest},
	} {
		if o := run(lie); o.Code != lamppost.CodeOK {
			t.Fatalf("the ledger refused what it cannot know: %+v", o)
		}
		if _, err := audit.CheckSnapshot(prove(lie.Height), pin(net)); err == nil || !strings.Contains(err.Error(), "snapshot: ") {
			t.Errorf("%+v: %v", lie, err)
		}
	}
	if _, err := replica.WantSnapshot(store, 2); err == nil {
		t.Error("nobody said what the state was at height 2, but it can be asked for")
	}
}
