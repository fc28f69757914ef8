package replica

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/snapshot"
	"github.com/lamppost/lamppost/internal/tilelog"
)

// The ledger's keys in the store.
var stateFrom, stateTo = []byte{'s'}, []byte{'s' + 1}

// beganKey holds where this copy of the chain began, if that is not block 1: a snapshot's height, 8 bytes big-endian, and the
// right edge of its log.
var beganKey = []byte("mB")

// WriteSnapshot writes the state in r, a snapshot of the store that is not written meanwhile, with the right edge of the log
// that is published in files. pause is called now and then, so that the work can be spread. End the file with Writer.End.
func WriteSnapshot(to io.Writer, r kv.Reader, files tilelog.Source, pause func() error) (*snapshot.Writer, snapshot.Head, error) {
	var head snapshot.Head
	last, err := readLast(r)
	if err != nil {
		return nil, head, err
	}
	g, err := ledger.View{Reader: r}.Network()
	if err != nil {
		return nil, head, err
	}
	_, begin, err := Began(r)
	if err != nil {
		return nil, head, err
	}
	edge, err := tilelog.ReadRightEdge(r, files, begin)
	if err != nil {
		return nil, head, err
	}
	head = snapshot.Head{Network: g.Network, Height: last.Height, Time: last.Time, Size: edge.Size(), Root: lamppost.Hash(edge.Root())}
	w, err := snapshot.NewWriter(to, head, edge.Append(nil))
	if err != nil {
		return nil, head, err
	}
	bytes := 0
	err = r.Scan(stateFrom, stateTo, func(key, val []byte) error {
		if bytes += len(key) + len(val); bytes >= pauseBytes {
			bytes = 0
			if err := pause(); err != nil {
				return err
			}
		}
		return w.Add(key, val)
	})
	return w, head, err
}

// pauseBytes of the state are written between two pauses.
const pauseBytes = 1 << 20

// Begin makes an empty store a copy of the chain that stands where a snapshot was taken. The last write is the position: a
// store that has none was not begun. Whether the snapshot is true is for the caller to know. It returns the right edge of the log.
func Begin(store kv.Store, f *snapshot.File) (tilelog.RightEdge, error) {
	return begin(store, f, lamppost.Cursor(f.Head().Height)) // where one member is alone, cursors count blocks
}

func begin(store kv.Store, f *snapshot.File, cursor lamppost.Cursor) (tilelog.RightEdge, error) {
	h := f.Head()
	edge, err := readEdge(f)
	if err != nil {
		return edge, err
	}
	var b kv.Batch
	err = f.Each(func(key, val []byte) error {
		b.Set(key, val)
		return ofState(key)
	}, func() error {
		defer b.Reset()
		return store.Apply(&b)
	})
	if err != nil {
		return edge, err
	}
	g, err := ledger.View{Reader: store}.Network()
	if err == nil && g.Network != h.Network {
		err = fmt.Errorf("the snapshot says that it is of network %q, its state is of %q", h.Network, g.Network)
	}
	if err != nil {
		return edge, err
	}
	edge.Begin(&b)
	pos := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(h.Height)), uint64(h.Time))
	b.Set(metaKey, binary.BigEndian.AppendUint64(pos, uint64(cursor)))
	b.Delete(replacingKey)
	b.Set(beganKey, edge.Append(binary.BigEndian.AppendUint64(nil, uint64(h.Height))))
	return edge, store.Apply(&b)
}

func ofState(key []byte) error {
	if key[0] != stateFrom[0] {
		return fmt.Errorf("the snapshot's key %q is not of the ledger's state", key)
	}
	return nil
}

func readEdge(f *snapshot.File) (edge tilelog.RightEdge, err error) {
	raw, err := f.Edge()
	if err != nil {
		return edge, err
	}
	if edge, err = tilelog.ParseRightEdge(raw); err != nil {
		return edge, err
	}
	if h := f.Head(); edge.Size() != h.Size || lamppost.Hash(edge.Root()) != h.Root {
		return edge, fmt.Errorf("the snapshot's log has %d leaves and root %v, its head says %d and %v", edge.Size(), lamppost.Hash(edge.Root()), h.Size, h.Root)
	}
	return edge, nil
}

// Began returns the height of the snapshot that a copy of the chain began with, and the right edge of the log there; 0 if it
// began at block 1.
func Began(r kv.Reader) (h lamppost.Height, edge tilelog.RightEdge, err error) {
	raw, err := r.Get(beganKey)
	if errors.Is(err, kv.ErrNotFound) {
		return 0, edge, nil
	}
	if err == nil && len(raw) < 8 {
		err = fmt.Errorf("the record of where this copy began has %d bytes", len(raw))
	}
	if err != nil {
		return 0, edge, err
	}
	edge, err = tilelog.ParseRightEdge(raw[8:])
	return lamppost.Height(binary.BigEndian.Uint64(raw)), edge, err
}

// WantSnapshot lists what proves what members said of the state at a height: the words of those who still are members, whom a pin
// names, and the block's own leaf.
func WantSnapshot(r kv.Reader, h lamppost.Height) (Want, error) {
	w := Want{Blocks: []lamppost.Height{h}}
	v := ledger.View{Reader: r}
	all, err := v.Snapshots()
	if err != nil {
		return w, err
	}
	is, err := v.Network()
	if err != nil {
		return w, err
	}
	for _, s := range all {
		if s.Height == h && s.Disagree {
			return w, fmt.Errorf("members disagree about the state at height %d", h)
		}
		for _, word := range s.Words {
			member := slices.ContainsFunc(is.Members, func(m lamppost.Member) bool { return m.ID == word.Member })
			if s.Height == h && member {
				w.Txs = append(w.Txs, word.At)
			}
		}
	}
	if len(w.Txs) == 0 {
		return w, lamppost.Refuse(lamppost.CodeNotReady, "no member said what its state was at height %d", h)
	}
	return w, nil
}

// Position returns the height and time of the last block in r, zeros before the first.
func Position(r kv.Reader) (lamppost.Height, lamppost.TimeMS, error) {
	last, err := readLast(r)
	return last.Height, last.Time, err
}
