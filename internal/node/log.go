package node

import (
	"context"
	"encoding/base64"
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/folder"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/internal/tilelog"
)

// openFiles opens where the log is published.
func (n *Node) openFiles() error {
	near, err := tilelog.OpenDir(filepath.Join(n.cfg.Data, folder.Log))
	if err != nil {
		return err
	}
	n.files = near
	if far := LogArchive(n.cfg.LogArchive); far != nil {
		n.files = tilelog.Archived{DirStorage: near, Far: far}
	}
	return nil
}

// openLog prepares publishing, publishes what the store holds, and writes the network's pin for people to copy. It is
// published before anything new can be committed: if this store is an older copy of the log, what is signed here is still
// the beginning of the true one, and the witnesses say so before anything else is signed.
func (n *Node) openLog() error {
	origin := lamppost.Origin(n.cfg.Network, n.cfg.Member)
	var err error
	if n.signer, n.verifier, err = noteKey(n.cfg.Network, lamppost.Member{ID: n.cfg.Member, Key: n.key.Public().Bytes()}, n.key.Seed()); err != nil {
		return fmt.Errorf("the log's key: %w", err)
	}
	_, begin, err := replica.Began(n.store)
	if err != nil {
		return err
	}
	n.publisher = &tilelog.Publisher{Origin: origin, Signer: n.signer, Verifier: n.verifier, Storage: n.files, Begin: begin}
	if err := n.openWitnesses(); err != nil {
		return err
	}
	if err := n.settle(n.publishNow()); err != nil {
		return fmt.Errorf("publishing the log: %w", err)
	}
	return n.writePin(n.rep.Last().Members)
}

// writePin writes whose signatures count now.
func (n *Node) writePin(members []lamppost.Member) error {
	pin := audit.Pin{Network: n.cfg.Network, Quorum: n.quorum(members), Members: members}
	if w := n.witnesses(); w != nil {
		pin.Witnesses, pin.WitnessQuorum = w.Keys, w.Quorum
	}
	return folder.WriteDurably(filepath.Join(n.cfg.Data, "network.pin"), pin.String(), 0o644)
}

// noteKey writes a member's key as signed notes do (C2SP signed-note): algorithm 1 is Ed25519, and the key's hash is the
// same for both halves.
func noteKey(network string, m lamppost.Member, seed []byte) (note.Signer, note.Verifier, error) {
	vkey := audit.VerifierKey(network, m)
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, nil, err
	}
	private := base64.StdEncoding.EncodeToString(append([]byte{1}, seed...))
	signer, err := note.NewSigner(fmt.Sprintf("PRIVATE+KEY+%s+%08x+%s", verifier.Name(), verifier.KeyHash(), private))
	return signer, verifier, err
}

// publish brings the files and the checkpoint up to date every Config.Publish, and once more at the end; what witnesses
// have cosigned goes out as it comes. It begins when the witnesses had a chance to say that this log is behind, at most
// cosign.DefaultTimeout after the start; after that it waits for nobody.
func (n *Node) publish(ctx context.Context) error {
	select {
	case <-n.introduced:
	case <-ctx.Done():
	}
	tick := time.NewTicker(n.cfg.Publish)
	defer tick.Stop()
	for {
		if err := n.settle(n.publishNow()); err != nil {
			n.cfg.Log.Error("publishing the log; trying again", "error", err)
		}
		select {
		case c := <-n.cosignatures:
			if err := n.settle(n.publishCosigned(c)); err != nil {
				n.cfg.Log.Error("publishing a cosigned checkpoint", "error", err)
			}
		case <-tick.C:
		case <-ctx.Done():
			return n.settle(n.publishNow())
		}
	}
}

func (n *Node) publishNow() error {
	n.printing.Lock()
	defer n.printing.Unlock()
	if n.conflict.Load() != nil || n.outside.Load() {
		return nil
	}
	snap, err := n.store.Snapshot()
	if err != nil {
		return err
	}
	defer snap.Close()
	l, err := tilelog.Open(snap)
	if err != nil {
		return err
	}
	if p := n.published.Load(); p != nil && p.Size == l.Size() {
		return nil
	}
	signed, err := n.publisher.Publish(snap)
	if err != nil {
		return err
	}
	return n.show(signed)
}

// show makes a published checkpoint the one that is told, without the lines of others: not every reader knows them.
func (n *Node) show(signed []byte) error {
	c, own, err := lamppost.OpenCheckpoint(signed, note.VerifierList(n.verifier))
	if err != nil {
		return err
	}
	text, err := lamppost.SignedNote(c.Text(), own...)
	if err != nil {
		return err
	}
	n.published.Store(&published{note: string(text), Checkpoint: c, at: n.now()})
	select {
	case n.grown <- struct{}{}:
	default:
	}
	return n.trimLog(c)
}

// trimLog takes leaves out of the store that stand in complete published tiles, whenever there is another one.
func (n *Node) trimLog(c lamppost.Checkpoint) error {
	const tile = 256
	if c.Size/tile == n.trimmed {
		return nil
	}
	var b kv.Batch
	tilelog.Trim(&b, c)
	if err := n.store.Apply(&b); err != nil {
		return err
	}
	n.trimmed = c.Size / tile
	return nil
}
