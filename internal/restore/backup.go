package restore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/archive/dir"
	"github.com/lamppost/lamppost/internal/backup"
	"github.com/lamppost/lamppost/internal/folder"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/kv/pebble"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/notify"
	"github.com/lamppost/lamppost/internal/replica"
	snapdir "github.com/lamppost/lamppost/internal/snapshot/dir"
	"github.com/lamppost/lamppost/internal/tilelog"
	"github.com/lamppost/lamppost/sig"
)

// BackUp makes a backup of a folder whose node is stopped. It reads as from a running node; done says how it went.
func BackUp(ctx context.Context, data string, b api.NewBackup, version string) (from io.ReadCloser, done func(error) error, err error) {
	if _, err := os.Stat(filepath.Join(data, folder.DB)); err != nil {
		return nil, nil, fmt.Errorf("%q is not a node's data folder: %w", data, err)
	}
	store, err := pebble.Open(filepath.Join(data, folder.DB), pebble.Options{})
	if err != nil {
		return nil, nil, err
	}
	o := offline{data: data, store: store, rec: backup.Record{Path: b.Path, Host: b.Host, Device: b.Device, Time: lamppost.TimeMS(time.Now().UnixMilli())}}
	h, staged, err := o.stage(!b.WithoutKeys, version)
	if err != nil {
		return nil, nil, errors.Join(err, store.Close())
	}
	in, out := io.Pipe()
	go func() { // it ends when the reader has read all or closed; done waits for it
		out.CloseWithError(backup.Write(ctx, out, h, staged.Parts))
		close(o.written)
	}()
	return in, func(err error) error {
		<-o.written
		if err == nil {
			o.rec.Whole = true
			err = backup.Remember(store, &o.rec)
		} else {
			err = backup.Forget(store, o.rec.ID)
		}
		return errors.Join(err, staged.Release(), store.Close())
	}, nil
}

// offline is a folder whose node is stopped.
type offline struct {
	data    string
	store   *pebble.Store
	rec     backup.Record
	written chan struct{}
}

func (o *offline) stage(keys bool, version string) (h backup.Head, staged *backup.Staged, err error) {
	o.written = make(chan struct{})
	if o.rec.Height, _, err = replica.Position(o.store); err != nil {
		return h, nil, err
	}
	if o.rec.Erased, err = o.erased(); err != nil {
		return h, nil, err
	}
	g, err := ledger.View{Reader: o.store}.Network()
	if err != nil {
		return h, nil, err
	}
	s := backup.Source{Data: o.data, Copy: o.store.Checkpoint, Keys: keys, Still: func(fn func() error) error { return fn() }}
	files := tilelog.FS{FS: os.DirFS(filepath.Join(o.data, folder.Log))}
	if s.Signed, err = files.Get(tilelog.CheckpointPath); err == nil {
		s.Checkpoint, err = pinOf(g).OpenCheckpoint(s.Signed)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return h, nil, err
	}
	h = backup.Head{Network: g.Network, Member: o.member(g), Height: o.rec.Height, Size: s.Checkpoint.Size, Root: s.Checkpoint.Root.String(),
		Erased: o.rec.Erased, Version: version, Made: o.rec.Time, Keys: keys}
	if err := backup.Remember(o.store, &o.rec); err != nil {
		return h, nil, err
	}
	if staged, err = backup.Stage(s); err != nil {
		return h, nil, errors.Join(err, backup.Forget(o.store, o.rec.ID))
	}
	h.Tiles = staged.Tiles
	return h, staged, nil
}

// erased is up to which block everything erased is out of the folder: a stop may have come before the snapshots went.
func (o *offline) erased() (lamppost.Height, error) {
	done, err := (&archive.Keeper{Store: o.store}).Erased()
	if err != nil {
		return 0, err
	}
	all, err := snapdir.At(filepath.Join(o.data, folder.Snapshots)).List()
	for _, s := range all {
		if s.Height < done {
			return 0, err
		}
	}
	return done, err
}

// member is whose folder it is, by its key; empty where there is none.
func (o *offline) member(g lamppost.Network) lamppost.MemberID {
	seed, err := folder.ReadSecret(o.data, folder.MemberKey, sig.SeedSize)
	if err != nil {
		return ""
	}
	key, err := sig.NewPrivateKey(sig.EdDSA, seed)
	if err != nil {
		return ""
	}
	for _, m := range g.Members {
		if slices.Equal(m.Key, key.Public().Bytes()) {
			return m.ID
		}
	}
	return ""
}

func pinOf(g lamppost.Network) *audit.Pin {
	return &audit.Pin{Network: g.Network, Quorum: 1, Members: g.Members}
}

// A Backup says what to restore.
type Backup struct {
	Data     string
	From     io.Reader
	Pin      *audit.Pin       // whose signatures count; nil: those that the backup itself names
	Last     [][]byte         // signed checkpoints of the log that are known from elsewhere
	Erasures *backup.Erasures // what was erased since, if that is known
	Source   Source           // a copy that runs, for the blocks since; nil: none
	Progress Progress
}

// Restored says what became of a backup.
type Restored struct {
	backup.Head
	Reached lamppost.Height  `json:"reached"` // with the blocks since
	Again   []backup.Erasure `json:"again"`   // erasures that the first start orders again
	Checked bool             `json:"checked"` // a checkpoint from elsewhere was compared
}

// A LaterError says that the log was signed further than a backup goes: a node on it would sign a second history.
type LaterError struct {
	Known lamppost.Checkpoint
	Size  int64 // of the log in the backup
}

// Error says so.
func (e *LaterError) Error() string {
	return fmt.Sprintf("the log %s was signed up to %d leaves, the backup has %d: a node on it would sign a second history of the same log", e.Known.Origin, e.Known.Size, e.Size)
}

// Restore makes a data folder from a backup. It refuses with a *LaterError where a later checkpoint is known than it comes to.
func (b *Backup) Restore(ctx context.Context) (r *Restored, err error) {
	err = into(b.Data, func(work string) error {
		r, err = b.into(ctx, work)
		return err
	})
	return r, err
}

func (b *Backup) into(ctx context.Context, work string) (*Restored, error) {
	h, err := backup.Read(ctx, b.From, backup.Into(work), func(done, all int64) { b.Progress("bytes of the backup", done, all) })
	if err != nil {
		return nil, err
	}
	r := &Restored{Head: *h, Reached: h.Height, Again: []backup.Erasure{}}
	store, err := pebble.Open(filepath.Join(work, folder.DB), pebble.Options{})
	if err != nil {
		return nil, err
	}
	return r, errors.Join(b.open(ctx, work, store, r), store.Close())
}

// open brings the folder to where it can go on from.
func (b *Backup) open(ctx context.Context, work string, store *pebble.Store, r *Restored) error {
	g, err := ledger.View{Reader: store}.Network()
	if err != nil {
		return fmt.Errorf("the backup holds no network: %w", err)
	}
	if b.Pin != nil && (b.Pin.Network != g.Network || !slices.EqualFunc(b.Pin.Members, g.Members, sameMember)) {
		return fmt.Errorf("the backup is of network %q with members that are not those of the pin", g.Network)
	}
	if b.Pin == nil {
		b.Pin = pinOf(g)
	}
	if b.Erasures != nil && b.Erasures.Network != g.Network {
		return fmt.Errorf("the list of erasures is of network %q, the backup of %q", b.Erasures.Network, g.Network)
	}
	objects, err := dir.Open(filepath.Join(work, folder.Archive))
	if err != nil {
		return err
	}
	packs, err := archive.NewPacks(store, objects)
	if err != nil {
		return err
	}
	if b.Source != nil {
		if err := b.catchUp(ctx, store, packs, work, r); err != nil {
			return err
		}
	}
	if err := b.compare(store, work, r); err != nil {
		return err
	}
	if err := notify.Restored(store); err != nil {
		return err
	}
	if err := carryOut(store, packs); err != nil {
		return fmt.Errorf("erasing what the chain says is erased: %w", err)
	}
	return b.forgetAgain(store, work, r)
}

func sameMember(a, c lamppost.Member) bool { return a.ID == c.ID && slices.Equal(a.Key, c.Key) }

// catchUp applies the blocks of a source up to its checkpoint, and publishes as far.
func (b *Backup) catchUp(ctx context.Context, store *pebble.Store, packs *archive.Packs, work string, r *Restored) error {
	signed, err := b.Source.Checkpoint(ctx)
	if err != nil {
		return err
	}
	c, err := b.Pin.OpenCheckpoint(signed)
	if err != nil {
		return fmt.Errorf("the source's checkpoint is by no member of the network: %w", err)
	}
	rep, err := replica.Open(replica.Config{Store: store, Packs: packs})
	if err != nil {
		return err
	}
	size, _, err := tilelog.StoredSize(store)
	if err != nil {
		return err
	}
	if size > c.Size {
		return fmt.Errorf("the source's checkpoint has %d leaves, the backup %d: the source is an older copy", c.Size, size)
	}
	if err := rep.CatchUp(ctx, b.Source.Blocks, c, func(at int64) { b.Progress("leaves of the log", at-size, c.Size-size) }); err != nil {
		return err
	}
	r.Reached = rep.Last().Height
	log, err := tilelog.OpenDir(filepath.Join(work, folder.Log))
	if err != nil {
		return err
	}
	return tilelog.Continue(log, store, signed, c)
}

// compare holds the log against checkpoints that are known from elsewhere.
func (b *Backup) compare(store kv.Reader, work string, r *Restored) error {
	size, _, err := tilelog.StoredSize(store)
	if err != nil {
		return err
	}
	files := tilelog.FS{FS: os.DirFS(filepath.Join(work, folder.Log))}
	for _, signed := range b.Last {
		c, err := b.Pin.OpenCheckpoint(signed)
		if err != nil {
			return fmt.Errorf("the last checkpoint that is known is by no member of network %q: %w", b.Pin.Network, err)
		}
		if c.Size > size {
			return &LaterError{c, size}
		}
		if same, err := tilelog.Continues(store, files, c); err != nil || !same {
			return fmt.Errorf("the last checkpoint that is known, of %d leaves, is of another history than the backup (%v): one of them was replaced", c.Size, err)
		}
		r.Checked = true
	}
	return nil
}

// carryOut erases what the chain orders to erase and the backup still held.
func carryOut(store kv.Store, packs *archive.Packs) error {
	k := archive.Keeper{Store: store, Packs: packs, Rules: replica.Rules}
	if s, ok := store.(*pebble.Store); ok {
		k.Purge = s.Purge
	}
	rules, err := replica.Rules(store)
	if err != nil || rules.Erase == 0 {
		return err
	}
	for {
		if done, err := k.Erased(); err != nil || done >= rules.Erase {
			return err
		}
		if _, err := k.Step(lamppost.TimeMS(time.Now().UnixMilli())); err != nil {
			return err
		}
	}
}

// forgetAgain removes states from before what was erased, and leaves for the first start what was erased after the backup and does
// not stand in its chain.
func (b *Backup) forgetAgain(store kv.Reader, work string, r *Restored) error {
	_, erased, err := ledger.View{Reader: store}.KeptSince()
	if err != nil {
		return err
	}
	snaps := snapdir.At(filepath.Join(work, folder.Snapshots))
	all, err := snaps.List()
	for _, s := range all {
		if s.Height < erased {
			err = errors.Join(err, snaps.Remove(s.Name))
		}
	}
	if err != nil || b.Erasures == nil {
		return err
	}
	known, err := ledger.View{Reader: store}.Erasures()
	if err != nil {
		return err
	}
	for _, e := range b.Erasures.Erasures {
		if !slices.ContainsFunc(known, func(k ledger.Erasure) bool { return k.Height == e.Height && k.Device == e.Device && k.Party == e.Party }) {
			r.Again = append(r.Again, e)
		}
	}
	if len(r.Again) == 0 {
		return nil
	}
	list := *b.Erasures
	list.Erasures = r.Again
	text, err := json.MarshalIndent(list, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(work, folder.Erasures), text, 0o600) // into makes it durable
}
