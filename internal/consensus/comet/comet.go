//go:build !small

// Package comet is the engine of several members of whom fewer than a third may lie: CometBFT v0.38 in this process. It
// joins comet's parts into a node, translates between ABCI and the port, and keeps what comet does not: an answer for
// everybody who proposes, members who come and go, the others' state for one that is far behind, one error for whatever goes
// wrong, and an end with nothing left over. Comet decides the order and the time; what a transaction means is others' business.
//
// Start reading at [Engine.Run], then at machine, which is the App in comet's eyes, at proposals, which is whoever
// proposes, and at hand, which gives and takes states. docs/decisions/0010-comet.md has the reasons of every setting. A folder belongs to one engine at a time.
package comet

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus"
)

// An Engine implements consensus.Engine.
type Engine struct {
	cfg  Config
	app  consensus.App
	view consensus.View
	pool *proposals

	failed chan struct{} // closed with the first failure

	mu      sync.Mutex
	failure error
	node    *node // while it runs

	pruning   sync.Mutex
	pruned    int64     // the first of comet's heights that the files of blocks may hold
	compacted time.Time // when they were written anew
	settled   bool      // and the old ones are gone
	gone      int64     // the last of comet's heights that no file holds any more
}

var _ consensus.Engine = (*Engine)(nil)

// New checks the configuration. Run makes everything else; it is called once.
func New(cfg Config, app consensus.App, view consensus.View) (*Engine, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	startSignals()
	cfg.Log = cfg.Log.With("engine", "comet")
	return &Engine{cfg: cfg, app: app, view: view, pool: newProposals(&cfg, view, app.Last()), failed: make(chan struct{})}, nil
}

// Propose implements consensus.Engine.
func (e *Engine) Propose(ctx context.Context, id lamppost.TxID, tx []byte) (consensus.Decision, error) {
	switch {
	case len(tx) > lamppost.MaxTxBytes:
		return consensus.Decision{}, consensus.ErrTooLarge
	case len(tx) == 0:
		return consensus.Decision{}, lamppost.Refuse(lamppost.CodeBadTx, "a transaction of no bytes")
	}
	return e.pool.propose(ctx, id, tx)
}

// Run implements consensus.Engine. When the others' state has come, it begins again with it.
func (e *Engine) Run(ctx context.Context) error {
	defer e.pool.stop()
	for {
		if err := e.takeArrival(); err != nil {
			return err
		}
		if err := e.runOnce(ctx); !errors.Is(err, errArrived) {
			return err
		}
	}
}

// errArrived says that the others' state has come.
var errArrived = errors.New("comet: the state of the other members has come")

func (e *Engine) runOnce(ctx context.Context) error {
	n := &node{cfg: &e.cfg, log: logger{e.cfg.Log, e.fail}}
	err := n.open(e.app.Last())
	if err == nil {
		err = labelled(ctx, func(ctx context.Context) error { return e.run(ctx, n) })
	}
	e.setNode(nil)
	if err != errLeft { // whom files are closed on panics
		n.close()
	}
	if failure := e.why(); failure != nil {
		return failure
	}
	if ctx.Err() != nil && (errors.Is(err, ctx.Err()) || errors.Is(err, errArrived)) {
		return nil // it ended while comet replayed, or is taken over at the next start
	}
	return err
}

func (e *Engine) run(ctx context.Context, n *node) error {
	m, err := newMachine(e, n)
	if err != nil {
		return err
	}
	n.hand = newHand(n, m)
	m.hand = n.hand
	defer func() {
		n.stop(m.failedOutside()) // a block that is being applied is finished and answered
		m.close()
	}()
	if err := e.start(ctx, n, m); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var ours sync.WaitGroup
	ours.Go(func() { e.pool.run(ctx, n.pool) })
	ours.Go(func() { n.dial(ctx) })
	arrived := false
	ours.Go(func() {
		if arrived = n.hand.run(ctx); arrived {
			cancel()
		}
	})
	select {
	case <-ctx.Done():
	case <-e.failed:
	}
	cancel()
	ours.Wait()
	if arrived {
		return errArrived
	}
	return nil
}

// start builds and starts comet's node. Where comet finds its files or the App at odds with each other it panics.
func (e *Engine) start(ctx context.Context, n *node, m *machine) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("comet: starting: %v", r)
			e.cfg.Log.Debug("starting", "panic", r, "stack", string(debug.Stack()))
		}
	}()
	if err := n.build(ctx, m); err != nil {
		return err
	}
	if err := n.start(); err != nil {
		return err
	}
	e.setNode(n)
	return nil
}

func (e *Engine) setNode(n *node) {
	e.pruning.Lock()
	e.pruned, e.gone, e.settled, e.compacted = 0, 0, false, time.Time{}
	e.pruning.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.node = n
}

// fail notes the first failure, which ends Run.
func (e *Engine) fail(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.failure == nil && err != errEnded {
		e.failure = err
		close(e.failed)
	}
}

func (e *Engine) why() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.failure
}

// Status implements consensus.Engine. Nobody leads: members propose by turns.
func (e *Engine) Status() consensus.Status {
	s := e.pool.report()
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case s.Role == "stopped":
	case e.node == nil:
		s.Role = "starting"
	case e.node.consensus.WaitSync():
		s.Role = "syncing"
	}
	return s
}

// makeDir makes a folder durable together with its name.
func makeDir(parent, dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		return err
	}
	return syncDir(parent)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
