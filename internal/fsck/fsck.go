// Package fsck knows how to check a whole data folder whose node is stopped: every file of the store byte by byte, the chain by
// what its log commits to, and the keys and tokens that lie beside it.
//
// It promises to change nothing unless it is told to, and then only what follows from the rest. What it finds it names with its
// place and with what follows from it. Start reading at [Folder.Check]; the chain itself is checked by package replica.
package fsck

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/archive/dir"
	"github.com/lamppost/lamppost/internal/folder"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/kv/pebble"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/replica"
	snapdir "github.com/lamppost/lamppost/internal/snapshot/dir"
	"github.com/lamppost/lamppost/internal/tilelog"
	"github.com/lamppost/lamppost/sig"
)

// A Folder is what is checked.
type Folder struct {
	Data     string
	Archive  tilelog.Source // where tiles are that are not here any more; nil: all are here
	Scratch  string         // where the replay may put a store; "": where temporary files go
	Repair   bool           // put right what follows from the rest
	Progress func(step string, done, all int64)
}

// Check checks it. An error means that nothing can be said: the folder is none, or in use.
func (f *Folder) Check(ctx context.Context) (*replica.Checkup, error) {
	if f.Progress == nil {
		f.Progress = func(string, int64, int64) {}
	}
	db := filepath.Join(f.Data, folder.DB)
	if _, err := os.Stat(db); err != nil {
		return nil, fmt.Errorf("%q is not a node's data folder: %w", f.Data, err)
	}
	r := &run{Folder: f}
	damaged, err := pebble.Verify(ctx, db, func(done, all int64) { f.Progress("bytes of the store", done, all) })
	if err != nil {
		return nil, err
	}
	for _, d := range damaged {
		r.early = append(r.early, replica.Fault{Where: folder.DB + "/" + d.File, What: d.Error(),
			Means: "what the store held there is lost: restore a backup, and keep this folder"})
	}
	r.repair = f.Repair && len(damaged) == 0 // nothing is written over what may still be evidence
	store, err := pebble.Open(db, pebble.Options{ReadOnly: !r.repair})
	var broken *pebble.DamagedError
	if errors.As(err, &broken) || err != nil && len(damaged) > 0 {
		return r.end(&replica.Checkup{Faults: []replica.Fault{}, Notes: []string{"the chain was not looked at: the store cannot be opened"}}), nil
	}
	if err != nil {
		return nil, err
	}
	found, err := r.chain(ctx, store)
	if err != nil && len(damaged) > 0 && ctx.Err() == nil {
		found.Notes, err = append(found.Notes, fmt.Sprintf("the check ended where the store cannot be read: %v", err)), nil
	}
	if err == nil {
		r.files(store)
	}
	if err = errors.Join(err, store.Close()); err != nil {
		return nil, err
	}
	return r.end(found), nil
}

// run is one check.
type run struct {
	*Folder
	repair bool
	early  []replica.Fault // of the store's files
	late   []replica.Fault // of files beside the chain
	notes  []string
}

// end puts together what was found.
func (r *run) end(c *replica.Checkup) *replica.Checkup {
	c.Faults = slices.Concat(r.early, c.Faults, r.late)
	c.Notes = append(c.Notes, r.notes...)
	if r.Repair && !r.repair {
		c.Notes = append(c.Notes, "nothing was repaired: files of the store itself are damaged")
	}
	return c
}

// chain checks the chain in an open store.
func (r *run) chain(ctx context.Context, store kv.Store) (*replica.Checkup, error) {
	objects, err := dir.Open(filepath.Join(r.Data, folder.Archive))
	if err != nil {
		return nil, err
	}
	packs, err := archive.NewPacks(store, objects)
	if err != nil {
		return nil, err
	}
	c := replica.Check{Store: store, Packs: packs, Files: r.source(), Snapshots: snapshots{snapdir.At(filepath.Join(r.Data, folder.Snapshots))},
		Scratch: r.scratch, Progress: r.Progress}
	if r.repair {
		c.Mend = mender{r, store}
	}
	return c.Run(ctx)
}

// source reads the published log, here and where older tiles are.
func (r *run) source() tilelog.Source {
	near := tilelog.FS{FS: os.DirFS(filepath.Join(r.Data, folder.Log))}
	if r.Archive == nil {
		return near
	}
	return tilelog.Layers{near, r.Archive}
}

// scratch makes a store for the replay that takes little memory, however long the chain is.
func (r *run) scratch() (kv.Store, func() error, error) {
	at, err := os.MkdirTemp(r.Scratch, "lamppost-fsck-")
	if err != nil {
		return nil, nil, err
	}
	s, err := pebble.Open(filepath.Join(at, folder.DB), pebble.Options{NoFsync: true, CacheBytes: 16 << 20, MemTableBytes: 16 << 20})
	if err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(at))
	}
	return s, func() error { return errors.Join(s.Close(), os.RemoveAll(at)) }, nil
}

// files checks what lies beside the chain against it.
func (r *run) files(store kv.Reader) {
	fault := func(where, means, format string, args ...any) {
		r.late = append(r.late, replica.Fault{Where: where, What: fmt.Sprintf(format, args...), Means: means})
	}
	g, err := ledger.View{Reader: store}.Network()
	if err != nil {
		return // the chain has said so
	}
	member := r.member(g.Members)
	switch seed, err := folder.ReadSecret(r.Data, folder.MemberKey, sig.SeedSize); {
	case errors.Is(err, fs.ErrNotExist):
		r.notes = append(r.notes, "member.key is not here: this is a copy that can sign nothing")
	case err != nil:
		fault(folder.MemberKey, "the node does not start: put the key back from a backup", "%v", err)
	case member(seed) == nil:
		fault(folder.MemberKey, "the node does not start: put the key back from a backup", "it is the key of no member")
	}
	switch token, err := folder.ReadSecret(r.Data, folder.Token, tokenBytes); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		fault(folder.Token, "the node does not start: remove the file, and it makes another token", "%v", err)
	default:
		if known, err := folder.KnowsToken(store, fmt.Sprintf("%x", token)); err == nil && !known {
			fault(folder.Token, "whoever has the former token is refused; the next start takes this one", "it is not the token of the last start")
		}
	}
	r.pin(g, fault)
}

// tokenBytes are in the administrator's token.
const tokenBytes = 16

// member returns a function that finds the member whose key has a seed.
func (r *run) member(members []lamppost.Member) func(seed []byte) *lamppost.Member {
	return func(seed []byte) *lamppost.Member {
		key, err := sig.NewPrivateKey(sig.EdDSA, seed)
		if err != nil {
			return nil
		}
		for i := range members {
			if bytes.Equal(members[i].Key, key.Public().Bytes()) {
				return &members[i]
			}
		}
		return nil
	}
}

// pin compares the pin that people copy from here with the members of the chain. What it says beside these is the operator's.
func (r *run) pin(g lamppost.GenesisBody, fault func(where, means, format string, args ...any)) {
	const means = "whoever copied it from here refuses what is true; the next start writes it again"
	text, err := os.ReadFile(filepath.Join(r.Data, folder.Pin))
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		var p *audit.Pin
		if p, err = audit.ParsePin(string(text)); err == nil && (p.Network != g.Network || !slices.EqualFunc(p.Members, g.Members, sameMember)) {
			err = errors.New("it names another network or other members")
		} else if err == nil && p.String() != string(text) {
			err = errors.New("it is not written as the node writes it")
		}
	}
	if err != nil {
		fault(folder.Pin, means, "%v", err)
	}
}

func sameMember(a, b lamppost.Member) bool { return a.ID == b.ID && bytes.Equal(a.Key, b.Key) }

// snapshots are those in the folder.
type snapshots struct{ *snapdir.Dir }

// Each implements replica.Snapshots.
func (s snapshots) Each(fn func(name string, from io.ReaderAt, size int64) error) error {
	all, err := s.List()
	if err != nil {
		return err
	}
	for _, e := range all {
		f, err := s.Open(e.Name)
		if err != nil {
			return err
		}
		if err := errors.Join(fn(e.Name, f, e.Bytes), f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// mender changes the folder.
type mender struct {
	*run
	store kv.Store
}

// File implements replica.Mender.
func (m mender) File(path string, data []byte) error {
	files, err := tilelog.OpenDir(filepath.Join(m.Data, folder.Log))
	if err != nil {
		return err
	}
	return files.Replace(tilelog.File{Path: path, Data: data})
}

// Store implements replica.Mender.
func (m mender) Store(b *kv.Batch) error { return m.store.Apply(b) }

// Snapshot implements replica.Mender.
func (m mender) Snapshot(name string) error {
	return snapdir.At(filepath.Join(m.Data, folder.Snapshots)).Remove(name)
}

// Remaining counts the faults that were not put right.
func Remaining(c *replica.Checkup) (n int) {
	for _, f := range c.Faults {
		if !f.Mended {
			n++
		}
	}
	return n
}

// Words writes a fault in a line.
func Words(f *replica.Fault) string {
	mended := ""
	if f.Mended {
		mended = " (put right)"
	}
	return strings.TrimSuffix(fmt.Sprintf("%s: %s: %s", f.Where, f.What, f.Means), ": ") + mended
}
