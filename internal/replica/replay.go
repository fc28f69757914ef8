package replica

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/snapshot"
	"github.com/lamppost/lamppost/internal/tilelog"
)

// fsck derives the state again, from the first block or from a snapshot, and compares.

// A foundSnapshot is a file that holds and that members vouch for on the log.
type foundSnapshot struct {
	name string
	snapshot.Head
	digest lamppost.Hash
	edge   []byte
}

// snapshots reads every snapshot and checks it against its digest, and the digest against what members said under the pin.
func (k *checker) snapshots(ctx context.Context) error {
	if k.Snapshots == nil {
		return nil
	}
	done := int64(0)
	return k.Snapshots.Each(func(name string, from io.ReaderAt, size int64) error {
		s, err := readFound(name, from, size, k.pin())
		if done++; err == nil && s.Height > k.last.Height {
			err = fmt.Errorf("it is of block %d, and the chain ends at block %d", s.Height, k.last.Height)
		}
		k.Progress("snapshots", done, done)
		if err == nil {
			k.snaps = append(k.snaps, s)
			return ctx.Err()
		}
		f := Fault{Where: "snapshots/" + name, What: err.Error(), Means: "no copy and no check can begin with it"}
		k.mend(&f, func() error { return k.Mend.Snapshot(name) })
		k.add(f)
		return ctx.Err()
	})
}

func readFound(name string, from io.ReaderAt, size int64, pin *audit.Pin) (*foundSnapshot, error) {
	f, err := snapshot.Open(from, size)
	if err != nil {
		return nil, err
	}
	if err := f.Verify(); err != nil {
		return nil, err
	}
	if _, err := readEdge(f); err != nil {
		return nil, err
	}
	s := &foundSnapshot{name: name, Head: f.Head(), digest: f.Digest()}
	if s.edge, err = f.Edge(); err != nil {
		return nil, err
	}
	return s, vouched(f, pin)
}

// vouched checks that members of the pin vouch for a snapshot.
func vouched(f *snapshot.File, pin *audit.Pin) error {
	_, _, err := Vouched(f, pin)
	return err
}

// Vouched checks that members of the pin vouch for what a snapshot says, and returns what they said with the proof.
func Vouched(f *snapshot.File, pin *audit.Pin) (*lamppost.Proof, *audit.Snapshot, error) {
	proof, err := lamppost.ParseProof(f.Proof())
	if err != nil {
		return nil, nil, fmt.Errorf("the snapshot's proof cannot be read: %w", err)
	}
	s, err := audit.CheckSnapshot(proof, pin)
	if err != nil {
		return nil, nil, fmt.Errorf("the snapshot's proof does not hold: %w", err)
	}
	h := f.Head()
	if s.Height != h.Height || s.Time != h.Time || s.Size != h.Size || s.Root != h.Root || s.Digest != f.Digest() || proof.Network != h.Network {
		err = fmt.Errorf("the snapshot says that it is of network %q, block %d, digest %s; its proof is of %q, block %d, %s",
			h.Network, h.Height, f.Digest(), proof.Network, s.Height, s.Digest)
	}
	return proof, s, err
}

// base chooses where the replay begins: before the first block, or after the last that is not whole.
func (k *checker) base() (s *foundSnapshot, ok bool) {
	need := max(k.broken, k.began)
	if need == 0 {
		return nil, true
	}
	for _, s := range k.snaps {
		if s.Height >= need {
			return s, true
		}
	}
	return nil, false
}

// replay derives state, results and leaves again with all signatures, and compares them with what the store holds.
func (k *checker) replay(ctx context.Context) error {
	from, ok := k.base()
	if !ok {
		k.note("the state was not derived again: block %d is not whole any more, and no snapshot from after it is here: lamppost snapshot take makes one", max(k.broken, k.began))
		k.found.Root = k.head.Root
		return nil
	}
	scratch, dispose, err := k.scratch()
	if err != nil {
		return err
	}
	err = k.replayInto(ctx, scratch, from)
	return errors.Join(err, dispose())
}

func (k *checker) scratch() (kv.Store, func() error, error) {
	if k.Scratch == nil {
		return kv.NewMem(), func() error { return nil }, nil
	}
	return k.Scratch()
}

func (k *checker) replayInto(ctx context.Context, scratch kv.Store, from *foundSnapshot) error {
	if from != nil {
		if err := k.beginWith(scratch, from); err != nil {
			return err
		}
		k.found.From = from.Height
	}
	fresh, err := Open(Config{Store: scratch})
	if err != nil {
		return err
	}
	for h := fresh.Last().Height + 1; h <= k.last.Height; h++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := k.again(fresh, h); err != nil {
			k.fault(fmt.Sprintf("block %d", h), "the state after it was not compared: nothing after it can be derived", "%v", err)
			return nil
		}
		if err := k.compareSnapshots(scratch, fresh, h); err != nil {
			return err
		}
		if err := forget(scratch, h); err != nil {
			return err
		}
		k.Progress("blocks", int64(h), int64(k.last.Height))
	}
	k.found.Replayed, k.found.Root = true, fresh.Last().Root
	return k.compareState(scratch)
}

// beginWith puts the state of a snapshot into an empty store.
func (k *checker) beginWith(scratch kv.Store, s *foundSnapshot) error {
	return k.Snapshots.Each(func(name string, from io.ReaderAt, size int64) error {
		if name != s.name {
			return nil
		}
		f, err := snapshot.Open(from, size)
		if err == nil {
			_, err = Begin(scratch, f)
		}
		return err
	})
}

// again replays one block and compares its outcomes and leaves. A height without a block is an empty one.
func (k *checker) again(fresh *Replica, h lamppost.Height) error {
	blk, err := k.view.Block(h)
	if errors.Is(err, archive.ErrAbsent) {
		_, time := fresh.position()
		_, err = fresh.Apply(&lamppost.Block{Height: h, Time: time, Cursor: lamppost.Cursor(h)})
		return errors.Join(err, commitOnly(fresh))
	}
	if err != nil {
		return err
	}
	old, err := k.view.Records(h)
	if err != nil {
		return err
	}
	b := &lamppost.Block{Height: h, Time: blk.Time, Proposer: blk.Proposer, Evidence: blk.Evidence, Cursor: lamppost.Cursor(h)}
	for i := range old {
		if !old[i].Whole() {
			return &ThinnedError{h}
		}
		b.Txs = append(b.Txs, old[i].Raw)
	}
	first := fresh.log.Size()
	res, err := fresh.Apply(b)
	if err != nil {
		return err
	}
	if err := commitOnly(fresh); err != nil {
		return err
	}
	if first != blk.First {
		return fmt.Errorf("its first leaf is number %d, the archive says %d", first, blk.First)
	}
	return k.compareBlock(fresh, res, blk, old)
}

func commitOnly(fresh *Replica) error {
	_, err := fresh.Commit()
	return err
}

// compareBlock compares what the rules give with what is archived, which was compared with the log before.
func (k *checker) compareBlock(fresh *Replica, res *lamppost.Result, blk archive.Block, old []archive.Record) error {
	for i := range old {
		where := fmt.Sprintf("transaction %d of block %d", i, blk.Height)
		raw, err := tilelog.Leaf(fresh.cfg.Store, blk.First+int64(i))
		if err != nil {
			return err
		}
		got, err := lamppost.ParseLeaf(raw)
		if err != nil {
			return err
		}
		tx := lamppost.ReadTransaction(old[i].Raw)
		want := lamppost.ResultDigest(lamppost.MerkleRoot(outcomeHashes(tx, old[i].Outcomes)), old[i].Writes)
		if got.Result != want {
			k.fault(where, "the log has a result that the rules do not give", "the archived outcome or its digest of the state is not what the rules give (%v)", res.Outcomes[i])
		}
	}
	return nil
}

// compareSnapshots compares a snapshot of this height, which is another member's or an older self's word, with the derived state.
func (k *checker) compareSnapshots(scratch kv.Reader, fresh *Replica, h lamppost.Height) error {
	for _, s := range k.snaps {
		if s.Height != h {
			continue
		}
		w, err := snapshot.NewWriter(io.Discard, s.Head, s.edge)
		if err == nil {
			err = scratch.Scan(stateFrom, stateTo, w.Add)
		}
		if err != nil {
			return err
		}
		digest, err := w.Digest()
		if err != nil {
			return err
		}
		if digest != s.digest || fresh.Last().Root != s.Root {
			k.fault("snapshots/"+s.name, "a copy that began with it would have another state", "the state after block %d has the digest %s, it says %s", h, digest, s.digest)
		}
	}
	return nil
}

// forget deletes from the scratch what the replay needs no more.
func forget(scratch kv.Store, h lamppost.Height) error {
	const every = 256
	if h%every != 0 {
		return nil
	}
	var b kv.Batch
	b.DeleteRange([]byte{'a'}, []byte{'a' + 1})
	b.DeleteRange([]byte("tl"), []byte("tm"))
	return scratch.Apply(&b)
}

// compareState walks both states in step: they must hold the same keys and values.
func (k *checker) compareState(fresh kv.Reader) error {
	const means = "what the node says of it is not what the blocks give"
	next, stop := iter.Pull2(pairs(fresh))
	defer stop()
	want, wantVal, more := next()
	missing := func() {
		k.fault("state", means, "key %q is missing", want)
		want, wantVal, more = next()
	}
	err := k.Store.Scan(stateFrom, stateTo, func(key, val []byte) error {
		for more && bytes.Compare(want, key) < 0 {
			missing()
		}
		switch {
		case !more || !bytes.Equal(want, key):
			k.fault("state", means, "key %q does not follow from the blocks", key)
			return nil
		case !bytes.Equal(wantVal, val):
			k.fault("state", means, "the value of key %q is not what the blocks give", key)
		}
		want, wantVal, more = next()
		return nil
	})
	for err == nil && more {
		missing()
	}
	return err
}

// pairs yields the keys of the state with their values; they are valid until the next. The scratch can be read, or the replay would
// have failed.
func pairs(r kv.Reader) iter.Seq2[[]byte, []byte] {
	return func(yield func(k, v []byte) bool) {
		_ = r.Scan(stateFrom, stateTo, func(key, val []byte) error {
			if !yield(key, val) {
				return kv.ErrStop
			}
			return nil
		})
	}
}
