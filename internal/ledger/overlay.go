package ledger

import (
	"errors"
	"slices"
	"sort"

	"github.com/lamppost/lamppost/internal/kv"
)

// An overlay holds the writes that may be read again before they are committed. Scans read it in order, of one kind of keys
// each: every order scans for ids to forget, and shall not go over all that a block's reports wrote.
type overlay struct {
	vals  map[string][]byte // nil: deleted
	kinds map[byte]*written
}

// written are the keys of a kind. What was added is sorted in when it is next read.
type written struct{ sorted, added []string }

func newOverlay() overlay { return overlay{vals: map[string][]byte{}, kinds: map[byte]*written{}} }

// set writes a value, nil where the key is deleted.
func (o *overlay) set(key, val []byte) {
	if _, there := o.vals[string(key)]; there {
		o.vals[string(key)] = val
		return
	}
	k := string(key)
	o.vals[k] = val
	w := o.kinds[key[1]]
	if w == nil {
		w = new(written)
		o.kinds[key[1]] = w
	}
	w.added = append(w.added, k)
}

// between returns the keys in [from, to), which are of one kind, in order. They are valid until the next set.
func (o *overlay) between(from, to []byte) []string {
	w := o.kinds[from[1]]
	if w == nil {
		return nil
	}
	w.sort()
	keys := w.sorted
	keys = keys[sort.SearchStrings(keys, string(from)):]
	return keys[:sort.SearchStrings(keys, string(to))]
}

// sort merges what was added into the others, from the end, so that it touches no more than it must.
func (w *written) sort() {
	slices.Sort(w.added)
	i := len(w.sorted) - 1
	w.sorted = append(w.sorted, w.added...)
	for at := len(w.sorted) - 1; len(w.added) > 0; at-- {
		last := len(w.added) - 1
		if i >= 0 && w.sorted[i] > w.added[last] {
			w.sorted[at] = w.sorted[i]
			i--
			continue
		}
		w.sorted[at] = w.added[last]
		w.added = w.added[:last]
	}
}

func (o *overlay) clear() {
	clear(o.vals)
	for _, w := range o.kinds {
		clear(w.sorted)
		w.sorted, w.added = w.sorted[:0], w.added[:0]
	}
}

// get reads a value through what is not committed yet.
func (s *State) get(key []byte) ([]byte, error) {
	if v, ok := s.overlay.vals[string(key)]; ok {
		if v == nil {
			return nil, kv.ErrNotFound
		}
		return v, nil
	}
	return s.store.Get(key)
}

// scan visits keys in [from, to), which are of one kind, in order, through what is not committed yet. fn writes nothing.
func (s *State) scan(from, to []byte, fn func(key, val []byte) error) error {
	fresh := s.overlay.between(from, to)
	stopped := false // the store's Scan hides from us that fn has had enough
	call := func(key, val []byte) error {
		err := fn(key, val)
		stopped = errors.Is(err, kv.ErrStop)
		return err
	}
	visit := func(k string) error {
		if v := s.overlay.vals[k]; v != nil {
			return call([]byte(k), v)
		}
		return nil
	}
	err := s.store.Scan(from, to, func(key, val []byte) error {
		for len(fresh) > 0 && fresh[0] < string(key) {
			if err := visit(fresh[0]); err != nil {
				return err
			}
			fresh = fresh[1:]
		}
		if _, replaced := s.overlay.vals[string(key)]; replaced {
			return nil
		}
		return call(key, val)
	})
	for ; err == nil && !stopped && len(fresh) > 0; fresh = fresh[1:] {
		err = visit(fresh[0])
	}
	if stopped {
		return nil
	}
	return err
}
