package log

import (
	"context"
	"crypto/rand"
	"errors"
	"path/filepath"
	"sync"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/kv/pebble"
	"github.com/lamppost/lamppost/internal/tilelog"
	"golang.org/x/mod/sumdb/note"
)

const origin = "bench/log"

// Lamppost is the log as a node drives it, without the ledger in front: one goroutine appends what has gathered, in one
// durable batch like a block's; another publishes beside it.
type Lamppost struct {
	store     *pebble.Store
	applying  sync.Mutex // a store takes one batch at a time
	publisher *tilelog.Publisher

	mu        sync.Mutex
	some      *sync.Cond
	queue     [][]byte
	batch     *batch // of what is in the queue
	published int64
	err       error
	ended     bool
	running   sync.WaitGroup
}

// A batch is durable as a whole.
type batch struct {
	done chan struct{}
	err  error
}

// OpenLamppost makes a new log in dir.
func OpenLamppost(dir string, every time.Duration) (*Lamppost, error) {
	skey, vkey, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		return nil, err
	}
	p := &tilelog.Publisher{Origin: origin}
	if p.Signer, err = note.NewSigner(skey); err != nil {
		return nil, err
	}
	if p.Verifier, err = note.NewVerifier(vkey); err != nil {
		return nil, err
	}
	if p.Storage, err = tilelog.OpenDir(filepath.Join(dir, "log")); err != nil {
		return nil, err
	}
	store, err := pebble.Open(filepath.Join(dir, "db"), pebble.Options{})
	if err != nil {
		return nil, err
	}
	l := &Lamppost{store: store, publisher: p, batch: &batch{done: make(chan struct{})}}
	l.some = sync.NewCond(&l.mu)
	tree, err := tilelog.Open(store)
	if err != nil {
		return nil, err
	}
	l.running.Go(func() { l.append(tree) })
	l.running.Go(func() { l.publish(every) })
	return l, nil
}

// Add implements Log.
func (l *Lamppost) Add(_ context.Context, leaf []byte) func() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = append(l.queue, leaf)
	if len(l.queue) == 1 {
		l.some.Broadcast()
	}
	b := l.batch
	return func() error { <-b.done; return b.err }
}

// append makes a batch of all that waits, again and again.
func (l *Lamppost) append(tree *tilelog.Log) {
	var b kv.Batch
	var leaves [][]byte
	for {
		l.mu.Lock()
		for len(l.queue) == 0 && !l.ended {
			l.some.Wait()
		}
		if len(l.queue) == 0 {
			l.mu.Unlock()
			return
		}
		leaves, l.queue = l.queue, leaves[:0]
		now := l.batch
		l.batch = &batch{done: make(chan struct{})}
		l.mu.Unlock()

		b.Reset()
		now.err = tree.Append(&b, leaves...)
		if now.err == nil {
			now.err = l.apply(&b)
		}
		tree.Committed()
		close(now.done)
	}
}

func (l *Lamppost) apply(b *kv.Batch) error {
	l.applying.Lock()
	defer l.applying.Unlock()
	return l.store.Apply(b)
}

// publish publishes what is durable, at most once in a while.
func (l *Lamppost) publish(every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for range tick.C {
		size, err := l.publishNow()
		l.mu.Lock()
		l.published, l.err = size, err
		ended := l.ended || err != nil
		l.some.Broadcast()
		l.mu.Unlock()
		if ended {
			return
		}
	}
}

func (l *Lamppost) publishNow() (int64, error) {
	snap, err := l.store.Snapshot()
	if err != nil {
		return 0, err
	}
	defer snap.Close()
	tree, err := tilelog.Open(snap)
	if err != nil {
		return 0, err
	}
	if _, err := l.publisher.Publish(snap); err != nil {
		return 0, err
	}
	var b kv.Batch
	tilelog.Trim(&b, lamppost.Checkpoint{Size: tree.Size(), Root: lamppost.Hash(tree.Root())})
	return tree.Size(), l.apply(&b)
}

// Published implements Log.
func (l *Lamppost) Published(_ context.Context, size uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.published < int64(size) && l.err == nil {
		l.some.Wait()
	}
	return l.err
}

// Close implements Log.
func (l *Lamppost) Close(context.Context) error {
	l.mu.Lock()
	l.ended = true
	l.some.Broadcast()
	l.mu.Unlock()
	l.running.Wait()
	return errors.Join(l.err, l.store.Close())
}
