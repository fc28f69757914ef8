package sim

import (
	"encoding/base64"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/internal/tilelog"
)

// publish writes tiles and checkpoint and holds the new checkpoint against those before.
func (n *node) publish(w *world) {
	m := n.m
	_, begin, err := replica.Began(m.disk)
	if err != nil {
		w.crash(m, "publishing: "+err.Error())
		return
	}
	signer, verifier := m.noteKey(w)
	p := &tilelog.Publisher{Origin: lamppost.Origin(w.net.ID, m.id), Signer: signer, Verifier: verifier, Storage: m.files, Begin: begin}
	signed, err := p.Publish(m.disk)
	var conflict *tilelog.ConflictError
	switch {
	case m.files.wrong != "":
		w.violate("%s: %s", m.id, m.files.wrong)
	case errors.Is(err, errFile):
		w.note("%s: publishing failed", m.id)
		m.seePublished(w, verifier) // it may be there all the same
		return
	case errors.As(err, &conflict) && conflict.Stored < conflict.Size && n.rep.Last().Height < m.reached:
		w.note("%s has not caught up with what it published", m.id)
		return
	case errors.Is(err, errRot):
		w.crash(m, "publishing: "+err.Error())
		return
	case err != nil:
		w.violate("%s publishing: %v", m.id, err)
	}
	if string(signed) != string(m.files.data[tilelog.CheckpointPath]) {
		w.violate("Publish returned another checkpoint than it wrote")
	}
	m.seePublished(w, verifier)
	n.trim(w)
}

// trim takes out of the store what stands in complete tiles.
func (n *node) trim(w *world) {
	var b kv.Batch
	tilelog.Trim(&b, n.m.checkpoints[len(n.m.checkpoints)-1])
	if err := n.m.disk.Apply(&b); err != nil {
		w.note("%s: trimming failed", n.m.id)
		w.crash(n.m, "a failed write")
	}
}

// seePublished is a witness of all members: every checkpoint that anybody could have seen must be the beginning of the member's
// next, and have the root that the chain has at its size.
func (m *member) seePublished(w *world, verifier note.Verifier) {
	raw, ok := m.files.data[tilelog.CheckpointPath]
	if !ok {
		return
	}
	c, _, err := lamppost.OpenCheckpoint(raw, note.VerifierList(verifier))
	if err != nil {
		w.violate("the checkpoint that %s published: %v", m.id, err)
	}
	if k := len(m.checkpoints); k > 0 {
		old := m.checkpoints[k-1]
		if c == old {
			return
		}
		if c.Size < old.Size {
			w.violate("the log that %s published shrank from %d to %d leaves", m.id, old.Size, c.Size)
		}
		if err := m.continues(c, old); err != nil {
			w.violate("checkpoint of size %d by %s does not continue that of size %d: %v", c.Size, m.id, old.Size, err)
		}
	}
	if root, known := w.roots[c.Size]; !known || root != c.Root {
		w.violate("%s published root %v at size %d; the chain has root %v there (%v)", m.id, c.Root, c.Size, root, known)
	}
	w.result.Checkpoints++
	w.note("%s published at size %d", m.id, c.Size)
	m.checkpoints = append(m.checkpoints, c)
}

// continues says whether a published log has an earlier one as its beginning.
func (m *member) continues(c, old lamppost.Checkpoint) error {
	if old.Size == 0 {
		return nil
	}
	proof, err := m.tree(c).ProveConsistency(old.Size)
	if err != nil {
		return err
	}
	return tlog.CheckTree(proof, c.Size, tlog.Hash(c.Root), old.Size, tlog.Hash(old.Root))
}

// tree reads what is published under a checkpoint.
func (m *member) tree(c lamppost.Checkpoint) *tilelog.Tree {
	return tilelog.NewTree(m.files, c.Size, tlog.Hash(c.Root))
}

// noteKey writes the member's key as a signed note's.
func (m *member) noteKey(w *world) (note.Signer, note.Verifier) {
	verifier, err := note.NewVerifier(audit.VerifierKey(w.net.ID, lamppost.Member{ID: m.id, Key: m.key.Public().Bytes()}))
	if err != nil {
		panic(err)
	}
	secret := base64.StdEncoding.EncodeToString(append([]byte{1}, m.key.Seed()...))
	signer, err := note.NewSigner(fmt.Sprintf("PRIVATE+KEY+%s+%08x+%s", verifier.Name(), verifier.KeyHash(), secret))
	if err != nil {
		panic(err)
	}
	return signer, verifier
}
