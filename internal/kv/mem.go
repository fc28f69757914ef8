package kv

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// Mem is a Store in memory. It keeps the whole contract, and stands for the disk in simulated crashes: a program "dies"
// by forgetting everything but its Mem, and what was applied is still there. Close does nothing, and using a Mem again
// after Close is opening it again.
//
// The state is a tree that is never changed in place: a batch builds the next one from shared parts and then swaps the
// root. So a snapshot is a pointer, readers need no lock, and a batch is visible as a whole or not at all.
type Mem struct {
	mu   sync.Mutex // held by Apply
	root atomic.Pointer[node]
}

// NewMem returns an empty store.
func NewMem() *Mem { return new(Mem) }

// Get implements Reader.
func (m *Mem) Get(key []byte) ([]byte, error) { return memSnapshot{m.root.Load()}.Get(key) }

// Scan implements Reader.
func (m *Mem) Scan(from, to []byte, fn func(key, val []byte) error) error {
	return memSnapshot{m.root.Load()}.Scan(from, to, fn)
}

// Apply implements Store.
func (m *Mem) Apply(b *Batch) error {
	if err := b.Err(); err != nil {
		return fmt.Errorf("applying to memory: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	root := m.root.Load()
	for op := range b.All() {
		switch op.Do {
		case Set:
			root = root.with(newNode(op.Key, op.Val))
		case Delete:
			root = root.without(op.Key)
		case DeleteRange:
			root = root.withoutRange(op.Key, op.Val)
		}
	}
	m.root.Store(root)
	return nil
}

// Snapshot implements Store.
func (m *Mem) Snapshot() (Snapshot, error) { return memSnapshot{m.root.Load()}, nil }

// Fork returns a store of its own with what is in m now. It costs nothing, however much that is.
func (m *Mem) Fork() *Mem {
	c := new(Mem)
	c.root.Store(m.root.Load())
	return c
}

// Close implements Store and keeps the content.
func (m *Mem) Close() error { return nil }

type memSnapshot struct{ root *node }

func (s memSnapshot) Get(key []byte) ([]byte, error) {
	if n := s.root.at(key); n != nil {
		return append([]byte{}, n.val...), nil
	}
	return nil, ErrNotFound
}

func (s memSnapshot) Scan(from, to []byte, fn func(key, val []byte) error) error {
	if err := s.root.scan(from, to, fn); !errors.Is(err, ErrStop) {
		return err
	}
	return nil
}

func (memSnapshot) Close() error { return nil }

// A node is part of a treap: ordered by key like a search tree, by priority like a heap. The priority is a hash of the
// key, so the shape depends on the content alone and is balanced for keys that nobody chose to be unbalanced.
// Nodes that a root refers to are never changed; the methods below copy the path they change.
type node struct {
	key, val    []byte
	priority    uint64
	left, right *node
}

func newNode(key, val []byte) *node {
	buf := make([]byte, len(key)+len(val)) // one allocation for both
	copy(buf, key)
	copy(buf[len(key):], val)
	return &node{key: buf[:len(key):len(key)], val: buf[len(key):], priority: mix(key)}
}

// mix is FNV-1a with the finisher of splitmix64, which spreads keys that differ only in a counter at their end.
func mix(key []byte) uint64 {
	h := uint64(0xcbf29ce484222325)
	for _, c := range key {
		h = (h ^ uint64(c)) * 0x100000001b3
	}
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

func (n *node) child(c int) *node {
	if c < 0 {
		return n.left
	}
	return n.right
}

// with returns the tree with x in it, in the place of a node with its key.
func (n *node) with(x *node) *node {
	if n == nil {
		return x
	}
	c := bytes.Compare(x.key, n.key)
	switch {
	case c == 0:
		x.left, x.right = n.left, n.right
		return x
	case x.priority > n.priority: // then x's key is not below n: there it would have a priority ≤ n's
		x.left, x.right = n.split(x.key)
		return x
	}
	up := *n
	if c < 0 {
		up.left = n.left.with(x)
	} else {
		up.right = n.right.with(x)
	}
	return &up
}

// without returns the tree without key.
func (n *node) without(key []byte) *node {
	if n == nil {
		return nil
	}
	c := bytes.Compare(key, n.key)
	if c == 0 {
		return join(n.left, n.right)
	}
	next := n.child(c).without(key)
	if next == n.child(c) {
		return n
	}
	up := *n
	if c < 0 {
		up.left = next
	} else {
		up.right = next
	}
	return &up
}

// withoutRange returns the tree without the keys with from ≤ key < to.
func (n *node) withoutRange(from, to []byte) *node {
	if bytes.Compare(from, to) >= 0 {
		return n
	}
	below, rest := n.split(from)
	_, above := rest.split(to)
	return join(below, above)
}

// at returns the node of a key, or nil.
func (n *node) at(key []byte) *node {
	for n != nil {
		c := bytes.Compare(key, n.key)
		if c == 0 {
			return n
		}
		n = n.child(c)
	}
	return nil
}

// split returns the nodes below key and the others.
func (n *node) split(key []byte) (below, above *node) {
	if n == nil {
		return nil, nil
	}
	up := *n
	if bytes.Compare(n.key, key) < 0 {
		up.right, above = n.right.split(key)
		return &up, above
	}
	below, up.left = n.left.split(key)
	return below, &up
}

// join makes one tree of two, all keys of a being below those of b.
func join(a, b *node) *node {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	case a.priority >= b.priority:
		up := *a
		up.right = join(a.right, b)
		return &up
	}
	up := *b
	up.left = join(a, b.left)
	return &up
}

func (n *node) scan(from, to []byte, fn func(key, val []byte) error) error {
	if n == nil {
		return nil
	}
	inside := bytes.Compare(from, n.key) <= 0
	if inside {
		if err := n.left.scan(from, to, fn); err != nil {
			return err
		}
	}
	if to != nil && bytes.Compare(n.key, to) >= 0 {
		return nil
	}
	if inside {
		if err := fn(n.key, n.val); err != nil {
			return err
		}
	}
	return n.right.scan(from, to, fn)
}
