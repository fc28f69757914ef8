package audit

import (
	"errors"
	"fmt"
	"slices"

	"github.com/lamppost/lamppost"
)

// A Snapshot is what a quorum of the members said of their state after a block.
type Snapshot struct {
	lamppost.SnapshotBody
	Time       lamppost.TimeMS // of the block
	Members    []lamppost.MemberID
	Checkpoint lamppost.Checkpoint // it was said under
}

// CheckSnapshot follows a snapshot's proof, which has the members' words and the leaf of the block, to the keys of the pin. That
// the log had this size and root after the block follows from the proof itself; that the state had this digest is the word of
// as many members as the pin asks for.
func CheckSnapshot(p *lamppost.Proof, pin *Pin) (*Snapshot, error) {
	e, err := CheckProof(p, pin)
	if err != nil {
		return nil, err
	}
	s := &Snapshot{Checkpoint: e.Checkpoint}
	for i := range e.Txs {
		t := &e.Txs[i]
		err := s.add(t)
		if err == nil && e.members.keys[t.Signer] == nil && t.Type == lamppost.TxSnapshot {
			err = fmt.Errorf("%q is no member of the pin", t.Signer)
		}
		if err != nil {
			return nil, fmt.Errorf("snapshot: %s: %w", t, err)
		}
	}
	quorum := 1
	if pin != nil {
		quorum = pin.Quorum
	}
	if len(s.Members) < quorum {
		return nil, fmt.Errorf("snapshot: %d of the members said what the state was, the pin asks for %d", len(s.Members), quorum)
	}
	return s, s.checkPlace(e)
}

// add takes a member's word.
func (s *Snapshot) add(t *Tx) error {
	if t.Type == lamppost.TxGenesis || t.Type == lamppost.TxNetwork {
		return nil
	}
	if t.Type != lamppost.TxSnapshot || t.Outcome.Code != lamppost.CodeOK {
		return errors.New("it is no member's word on a snapshot that was taken")
	}
	body, ok := decode[lamppost.SnapshotBody](t.Order.Body)
	switch {
	case !ok:
		return errors.New("it cannot be read")
	case len(s.Members) > 0 && *body != s.SnapshotBody:
		return errors.New("members say different things")
	case slices.Contains(s.Members, t.Signer):
		return fmt.Errorf("%q speaks twice", t.Signer)
	case body.Height >= t.Height || body.Size < 1 || body.Size > t.Leaf:
		return fmt.Errorf("block %d with a log of %d leaves is not before it", body.Height, body.Size)
	}
	s.SnapshotBody, s.Members = *body, append(s.Members, t.Signer)
	return nil
}

// checkPlace shows by the leaf of the block, the last one of the log after it, that there was such a log: no subtree without a
// known leaf reaches over it, so what stands left of it in the larger tree makes the smaller one's root.
func (s *Snapshot) checkPlace(e *Evidence) error {
	if len(e.blocks) != 1 || e.blocks[0].Height != s.Height || e.proof.Blocks[0].Leaf != s.Size-1 {
		return fmt.Errorf("snapshot: block %d is not shown to end at leaf %d", s.Height, s.Size-1)
	}
	s.Time = e.blocks[0].Time
	at, leaves := e.leaves()
	n, _ := slices.BinarySearch(at, s.Size)
	at, leaves = at[:n], leaves[:n]
	root, err := lamppost.RootOver(s.Size, at, leaves, e.proof.Nodes[:len(lamppost.Spans(s.Size, at))])
	if err == nil && root != s.Root {
		err = fmt.Errorf("%s, not %s", root, s.Root)
	}
	if err != nil {
		return fmt.Errorf("snapshot: the log had another root at size %d: %v", s.Size, err)
	}
	return nil
}

// OpenCheckpoint reads a signed checkpoint of one of the members.
func (p *Pin) OpenCheckpoint(signed []byte) (lamppost.Checkpoint, error) {
	r, err := newRoster(p.Network, p.Members)
	if err != nil {
		return lamppost.Checkpoint{}, err
	}
	c, _, err := lamppost.OpenCheckpoint(signed, r.notes)
	return c, err
}
