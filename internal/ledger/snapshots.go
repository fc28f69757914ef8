package ledger

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
)

// What members said of their states, so that a copy can begin with one. The ledger cannot check a digest: it keeps who said
// what, and that they disagree where they do.

// keptSnapshots is of how many heights the state keeps what was said, beside those about which members disagree.
const keptSnapshots = 64

func snapshotKey(h lamppost.Height, by lamppost.MemberID) []byte {
	return append(binary.BigEndian.AppendUint64(key('n'), uint64(h)), by...)
}

func (s *State) snapshot(b lamppost.SnapshotBody, signer lamppost.MemberID) error {
	if b.Height == 0 || b.Height >= s.height || b.Size < 1 {
		return lamppost.Refuse(lamppost.CodeBadTx, "a snapshot is of a block before this one: %d, with a log of %d, is not", b.Height, b.Size)
	}
	k := snapshotKey(b.Height, signer)
	if _, err := s.get(k); err == nil {
		return lamppost.Refuse(lamppost.CodeExists, "%q has said before what its state was at height %d", signer, b.Height)
	} else if !errors.Is(err, kv.ErrNotFound) {
		return err
	}
	s.putBody(k, b)
	return s.forgetSnapshots()
}

// forgetSnapshots drops the oldest height that members agree about, if there are too many.
func (s *State) forgetSnapshots() error {
	all, err := s.view().Snapshots()
	if err != nil {
		return err
	}
	var agreed []Snapshot
	for _, one := range all {
		if !one.Disagree {
			agreed = append(agreed, one)
		}
	}
	if len(agreed) <= keptSnapshots {
		return nil
	}
	for _, w := range agreed[0].Words {
		s.del(snapshotKey(agreed[0].Height, w.Member))
	}
	return nil
}

// A Snapshot is what members said of their states at a height.
type Snapshot struct {
	Height   lamppost.Height
	Words    []SnapshotWord // by member
	Disagree bool           // they do not all say the same
}

// A SnapshotWord is what one member said, and where.
type SnapshotWord struct {
	At     Place
	Member lamppost.MemberID
	Body   lamppost.SnapshotBody
}

// Snapshots returns what is kept of what members said of their states, by height.
func (v View) Snapshots() (all []Snapshot, err error) {
	from := key('n')
	err = v.Scan(from, end(from), func(k, val []byte) error {
		if len(k) < len(from)+8 {
			return errors.New("a member's word on a snapshot is damaged")
		}
		at, err := decodePlace(val)
		if err != nil {
			return err
		}
		b, err := decodeBody[lamppost.SnapshotBody](slices.Clone(val))
		if err != nil {
			return err
		}
		w := SnapshotWord{at, lamppost.MemberID(k[len(from)+8:]), b}
		if n := len(all); n == 0 || all[n-1].Height != b.Height {
			all = append(all, Snapshot{Height: b.Height})
		}
		one := &all[len(all)-1]
		one.Disagree = one.Disagree || len(one.Words) > 0 && one.Words[0].Body != b
		one.Words = append(one.Words, w)
		return nil
	})
	return all, err
}
