package node

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/backup"
	"github.com/lamppost/lamppost/internal/folder"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/tilelog"
)

// Backup writes a backup of the data folder to where begin says, which is called with its id when everything is held fast. The
// node remembers it from before its first byte goes out: what is erased later is in it.
func (n *Node) Backup(ctx context.Context, b api.NewBackup, begin func(id string) io.Writer) error {
	if !n.backing.TryLock() {
		return lamppost.Refuse(lamppost.CodeBusy, "another backup is being made: try again when it is done")
	}
	defer n.backing.Unlock()
	rec := backup.Record{Path: b.Path, Host: b.Host, Device: b.Device, Time: n.now(), Height: n.rep.Last().Height, Erased: lamppost.Height(n.erased.Load())}
	if err := backup.Remember(n.store, &rec); err != nil {
		return err
	}
	h, staged, err := n.stage(!b.WithoutKeys, &rec)
	if err != nil {
		return errors.Join(err, backup.Forget(n.store, rec.ID)) // nothing went out
	}
	err = backup.Write(ctx, begin(rec.ID), h, staged.Parts)
	if err = errors.Join(err, staged.Release()); err != nil {
		return err
	}
	rec.Whole = true
	n.backed.Store(int64(rec.Time))
	n.cfg.Log.Info("made a backup", "id", rec.ID, "path", rec.Path, "height", rec.Height)
	return backup.Remember(n.store, &rec)
}

// stage holds fast what is backed up. The checkpoint is read first: so the store has all that it covers. Nothing is published
// meanwhile, or the store would lack leaves that only the tiles of a later checkpoint have.
func (n *Node) stage(keys bool, rec *backup.Record) (h backup.Head, staged *backup.Staged, err error) {
	n.printing.Lock()
	defer n.printing.Unlock()
	s := backup.Source{Data: n.cfg.Data, Copy: n.db.Checkpoint, Keys: keys, Still: func(fn func() error) error {
		n.keeping.Lock()
		defer n.keeping.Unlock()
		return fn()
	}}
	if s.Signed, err = n.publisher.Storage.Get(tilelog.CheckpointPath); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return h, nil, err
	}
	if err == nil {
		if s.Checkpoint, err = n.pin().OpenCheckpoint(s.Signed); err != nil {
			return h, nil, err
		}
	}
	if staged, err = backup.Stage(s); err != nil {
		return h, nil, err
	}
	h = backup.Head{Network: n.cfg.Network, Member: n.cfg.Member, Height: rec.Height, Size: s.Checkpoint.Size, Root: s.Checkpoint.Root.String(),
		Erased: rec.Erased, Version: Version(), Made: rec.Time, Keys: keys, Tiles: staged.Tiles}
	return h, staged, nil
}

// Backups lists those that this node has made and that are not known to be gone.
func (n *Node) Backups() ([]api.Backup, error) {
	all, err := backup.Records(n.store)
	list := []api.Backup{}
	for i := range all {
		r := &all[i]
		list = append(list, api.Backup{ID: r.ID, Path: r.Path, Host: r.Host, Time: r.Time, Height: r.Height, Erased: r.Erased, Whole: r.Whole,
			State: string(r.State(n.host))})
	}
	return list, err
}

// openBackups reads when the latest was made.
func (n *Node) openBackups() error {
	all, err := backup.Records(n.store)
	for i := range all {
		if all[i].Whole {
			n.backed.Store(max(n.backed.Load(), int64(all[i].Time)))
		}
	}
	return err
}

func (n *Node) backupState() (latest lamppost.TimeMS, overdue int) {
	return lamppost.TimeMS(n.backed.Load()), int(n.overdue.Load())
}

// ForgetBackup takes an operator's word that a backup is gone.
func (n *Node) ForgetBackup(id string) error {
	if err := backup.Forget(n.store, id); err != nil {
		return err
	}
	n.wake()
	return nil
}

// wake makes the part that keeps the archive look again.
func (n *Node) wake() {
	select {
	case n.erase <- struct{}{}:
	default: // it was woken already
	}
}

// holding drops backups that are gone from memory and returns those that may hold what was erased in a block.
func (n *Node) holding(erased lamppost.Height) (ids []string, err error) {
	all, err := backup.Records(n.store)
	for i := range all {
		switch r := &all[i]; {
		case r.State(n.host) == backup.Gone && !n.running():
			if err := backup.Forget(n.store, r.ID); err != nil {
				return ids, err
			}
			_ = os.Remove(backup.ErasuresPath(r.Path)) // it is of no use, and does no harm
		case r.Holds(erased):
			ids = append(ids, r.ID)
		}
	}
	return ids, err
}

// running says whether a backup is being made, whose file may not be there yet.
func (n *Node) running() bool {
	if !n.backing.TryLock() {
		return true
	}
	n.backing.Unlock()
	return false
}

// tellBackups writes beside each backup on this machine what was erased since: whoever restores it learns of it there.
func (n *Node) tellBackups() error {
	all, err := backup.Records(n.store)
	if err != nil || len(all) == 0 {
		return err
	}
	erasures, err := ledger.View{Reader: n.store}.Erasures()
	if err != nil {
		return err
	}
	for i := range all {
		if r := &all[i]; r.State(n.host) == backup.There {
			err = errors.Join(err, n.tellBackup(r, erasures))
		}
	}
	return err
}

func (n *Node) tellBackup(r *backup.Record, erasures []ledger.Erasure) error {
	list := backup.Erasures{Lamppost: backup.ErasuresKind, Network: n.cfg.Network, Member: n.cfg.Member}
	for i := range erasures {
		if e := &erasures[i]; e.Height > r.Height {
			list.Erasures = append(list.Erasures, backup.Erasure{Height: e.Height, Index: e.Index, Device: e.Device, Party: e.Party, Basis: e.Basis, Time: e.Time})
		}
	}
	if len(list.Erasures) == 0 {
		return nil
	}
	text, err := json.MarshalIndent(list, "", "\t")
	if err != nil {
		return err
	}
	if have, err := os.ReadFile(backup.ErasuresPath(r.Path)); err == nil && string(have) == string(text) {
		return nil
	}
	return folder.WriteDurably(backup.ErasuresPath(r.Path), string(text), 0o600)
}

// forgetAgain orders what was erased after the backup from which this folder was restored, before any door opens. What is done
// already, or names somebody that the backup does not know, needs no order.
func (n *Node) forgetAgain() error {
	path := filepath.Join(n.cfg.Data, folder.Erasures)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if n.file != nil {
		return os.Remove(path) // the other members have these orders, and send them
	}
	list, err := backup.ReadErasures(raw)
	if err != nil {
		return err
	}
	for _, e := range list.Erasures {
		tx, err := n.sign(lamppost.TxErase, lamppost.EraseBody{Device: e.Device, Party: e.Party, Basis: e.Basis})
		if err != nil {
			return err
		}
		last := n.rep.Last()
		res, err := n.rep.Apply(&lamppost.Block{Height: last.Height + 1, Time: max(last.Time+1, n.now()), Cursor: lamppost.Cursor(last.Height + 1),
			Proposer: n.cfg.Member, Txs: [][]byte{tx.Append(nil)}})
		if err == nil {
			_, err = n.rep.Commit()
		}
		if err != nil {
			return err
		}
		n.cfg.Log.Info("erased again what was erased after the backup", "device", e.Device, "party", e.Party, "outcome", res.Outcomes[0][0].Code)
	}
	return os.Remove(path)
}
