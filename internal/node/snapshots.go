package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/internal/snapshot"
	"github.com/lamppost/lamppost/internal/snapshot/dir"
	"github.com/lamppost/lamppost/internal/tilelog"
)

const (
	keptSnapshots = 3

	// provenWithin is how long a snapshot waits until the order about it is published.
	provenWithin = time.Minute
	// maxPause is the longest rest between two parts of a snapshot.
	maxPause = 100 * time.Millisecond
)

// snapshots are the files with the ledger's state.
type snapshots struct {
	dir    *dir.Dir
	taking sync.Mutex // held to take one, and to remove any

	mu     sync.Mutex
	newest api.SnapshotState
	failed lamppost.TimeMS // when taking the latest one did not work
}

// openSnapshots removes what a crash left of one, and reads when the last was taken.
func (n *Node) openSnapshots() error {
	n.snaps.dir = dir.At(filepath.Join(n.cfg.Data, "snapshots"))
	if err := n.snaps.dir.Sweep(); err != nil {
		return err
	}
	all, err := n.snaps.dir.List()
	if err != nil {
		return err
	}
	if len(all) == 0 {
		// The first is due a while after the beginning of the chain, as if one had been taken there.
		if blk, err := n.archive().Block(1); err == nil {
			n.snaps.newest.Time = blk.Time
		}
		return nil
	}
	last := all[len(all)-1]
	f, err := n.readSnapshot(last.Name)
	if err != nil {
		n.cfg.Log.Error("reading the latest snapshot; another will be taken", "name", last.Name, "error", err)
		return nil
	}
	n.snaps.newest = api.SnapshotState{Height: last.Height, Time: f.Time, Bytes: last.Bytes}
	return nil
}

func (n *Node) readSnapshot(name string) (h snapshot.Head, err error) {
	f, err := n.snaps.dir.Open(name)
	if err != nil {
		return h, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return h, err
	}
	s, err := snapshot.Open(f, info.Size())
	if err != nil {
		return h, err
	}
	return s.Head(), nil
}

// SnapshotState says when the last snapshot was taken, and why the latest try did not work.
func (n *Node) SnapshotState() api.SnapshotState {
	n.snaps.mu.Lock()
	defer n.snaps.mu.Unlock()
	return n.snaps.newest
}

// takeSnapshots takes one every Config.SnapshotEvery. Blocks do not wait for it.
func (n *Node) takeSnapshots(ctx context.Context) error {
	tick := time.NewTicker(n.cfg.Keep)
	defer tick.Stop()
	for {
		if n.snapshotDue() {
			if _, err := n.TakeSnapshot(ctx); err != nil && ctx.Err() == nil {
				n.cfg.Log.Error("taking a snapshot; trying again later", "error", err)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// snapshotDue says whether the last one is old, and anything has happened since but the order about it.
func (n *Node) snapshotDue() bool {
	every := lamppost.TimeMS(time.Duration(n.cfg.SnapshotEvery).Milliseconds())
	if n.cfg.SnapshotEvery.Off() {
		return false
	}
	n.snaps.mu.Lock()
	defer n.snaps.mu.Unlock()
	last, now := n.snaps.newest, n.now()
	return n.rep.Last().Height > last.Height+1 && now-last.Time >= every && (n.snaps.failed == 0 || now-n.snaps.failed >= every/24)
}

// TakeSnapshot writes the state as it stands into a file, says so on the ledger, and puts the proof of that into the file, which
// then has its name. Of those that are there the latest stay.
func (n *Node) TakeSnapshot(ctx context.Context) (api.SnapshotFile, error) {
	n.snaps.taking.Lock()
	defer n.snaps.taking.Unlock()
	done, at, err := n.takeSnapshot(ctx)
	n.snaps.mu.Lock()
	if err == nil {
		n.snaps.newest, n.snaps.failed = api.SnapshotState{Height: done.Height, Time: at, Bytes: done.Bytes}, 0
	} else if ctx.Err() == nil {
		n.snaps.newest.Error, n.snaps.failed = err.Error(), n.now()
	}
	n.snaps.mu.Unlock()
	if err != nil {
		return done, err
	}
	n.cfg.Log.Info("took a snapshot", "height", done.Height, "bytes", done.Bytes)
	return done, n.dropSnapshots(func(older int, _ lamppost.Height) bool { return older >= keptSnapshots })
}

func (n *Node) takeSnapshot(ctx context.Context) (done api.SnapshotFile, at lamppost.TimeMS, err error) {
	snap, err := n.store.Snapshot()
	if err != nil {
		return done, 0, err
	}
	release := sync.OnceValue(snap.Close) // an erasure waits for it
	defer func() { err = errors.Join(err, release()) }()
	height, at, err := replica.Position(snap)
	if err != nil {
		return done, at, err
	}
	err = n.snaps.dir.Put(height, func(to io.Writer) error {
		w, head, err := replica.WriteSnapshot(to, snap, n.publisher.Storage, restful(ctx))
		if err != nil {
			return err
		}
		digest, err := w.Digest()
		if err = errors.Join(err, release()); err != nil {
			return err
		}
		said := lamppost.SnapshotBody{Height: head.Height, Size: head.Size, Root: head.Root, Digest: digest}
		_, err = n.Order(ctx, lamppost.TxSnapshot, said)
		var refusal *lamppost.Refusal
		if errors.As(err, &refusal) && refusal.Code == lamppost.CodeExists {
			err = n.saidBefore(said)
		}
		if err != nil {
			return fmt.Errorf("saying on the ledger what the state is: %w", err)
		}
		proof, err := n.proveSnapshot(ctx, said)
		if err != nil {
			return fmt.Errorf("proving what was said on the ledger: %w", err)
		}
		return w.End(proof.Append(nil))
	})
	if err != nil {
		return done, at, err
	}
	done = api.SnapshotFile{Name: dir.Name(height), Height: height}
	all, err := n.snaps.dir.List()
	for _, e := range all {
		if e.Name == done.Name {
			done.Bytes = e.Bytes
		}
	}
	return done, at, err
}

// restful returns a pause that lasts as long as the work since the last one: half a core is for others.
func restful(ctx context.Context) func() error {
	worked := time.Now()
	return func() error {
		t := time.NewTimer(min(maxPause, time.Since(worked)))
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		worked = time.Now()
		return nil
	}
}

// saidBefore checks that what this member said of a height is what it would say now: a crash may have taken the file.
func (n *Node) saidBefore(b lamppost.SnapshotBody) error {
	words, err := ledger.View{Reader: n.store}.Snapshots()
	if err != nil {
		return err
	}
	for _, s := range words {
		for _, w := range s.Words {
			if w.Member == n.cfg.Member && w.Body == b {
				return nil
			}
			if w.Member == n.cfg.Member && s.Height == b.Height {
				return fmt.Errorf("this member said before that at height %d its state had the digest %s, and not %s: run lamppost fsck", b.Height, w.Body.Digest, b.Digest)
			}
		}
	}
	return errors.New("what was said before is not in the ledger's state")
}

// proveSnapshot waits until the order is published, and checks the proof as whoever gets the file will.
func (n *Node) proveSnapshot(ctx context.Context, said lamppost.SnapshotBody) (*lamppost.Proof, error) {
	ctx, cancel := context.WithTimeout(ctx, provenWithin)
	defer cancel()
	for {
		proof, err := n.tryProof(said)
		var refusal *lamppost.Refusal
		if !errors.As(err, &refusal) || refusal.Code != lamppost.CodeNotReady {
			return proof, err
		}
		select {
		case <-time.After(n.cfg.Publish):
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), err)
		}
	}
}

func (n *Node) tryProof(said lamppost.SnapshotBody) (*lamppost.Proof, error) {
	note, c, _, err := n.Checkpoint() // before the store is read, so that it has all that is published
	if err != nil {
		return nil, err
	}
	snap, err := n.store.Snapshot()
	if err != nil {
		return nil, err
	}
	defer snap.Close()
	want, err := replica.WantSnapshot(snap, said.Height)
	if err != nil {
		return nil, err
	}
	tree := tilelog.TreeOf(n.publisher.Storage, c)
	proof, err := replica.Prove(archive.View{Reader: snap, Packs: n.packs}, n.cfg.Network, []string{note}, tree, want)
	if err != nil {
		return nil, err
	}
	s, err := audit.CheckSnapshot(proof, n.pin())
	if err == nil && s.SnapshotBody != said {
		err = fmt.Errorf("the ledger has %+v", s.SnapshotBody)
	}
	if err != nil {
		return nil, fmt.Errorf("a proof of this node does not hold: %w", err)
	}
	return proof, nil
}

// dropSnapshots removes those for which drop says so, given how many newer ones there are.
func (n *Node) dropSnapshots(drop func(newer int, h lamppost.Height) bool) error {
	all, err := n.snaps.dir.List()
	if err != nil {
		return err
	}
	for i, e := range all {
		if drop(len(all)-1-i, e.Height) {
			if err := n.snaps.dir.Remove(e.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

// forgetSnapshots removes states from before an erasure, which hold what was erased. Another is taken first: the bodies before it
// are not whole any more, so there must be one to begin with.
func (n *Node) forgetSnapshots(ctx context.Context, erased lamppost.Height) error {
	all, err := n.snaps.dir.List()
	if err != nil || erased == 0 {
		return err
	}
	if fresh := len(all) > 0 && all[len(all)-1].Height >= erased; !fresh && !n.cfg.SnapshotEvery.Off() {
		if _, err := n.TakeSnapshot(ctx); err != nil && ctx.Err() == nil {
			n.cfg.Log.Error("taking a snapshot after an erasure", "error", err)
		}
	}
	n.snaps.taking.Lock()
	defer n.snaps.taking.Unlock()
	return n.dropSnapshots(func(_ int, h lamppost.Height) bool { return h < erased })
}

// pin names the network's members as of the last block.
func (n *Node) pin() *audit.Pin {
	return &audit.Pin{Network: n.cfg.Network, Quorum: 1, Members: n.rep.Last().Members}
}
