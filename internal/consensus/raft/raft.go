// Package raft is the engine of several members who trust each other: a log that a majority of them holds, by
// hashicorp/raft. One entry of the log is one block. It survives the loss of fewer than half of the members, and nothing
// worse than a loss: a member that lies is not noticed, except that a replica with another root than the leader's stops.
//
// Start reading at [Engine.Propose], then lead.go (entries), fsm.go (blocks), carry.go (what followers forward to the
// leader). docs/decisions/0009-raft.md has the reasons and the figures; limits are in limits.go.
//
// A caller may propose at any member, and need not know who leads or that the leader was lost: Propose never returns a
// *consensus.NotLeaderError. The App's Last.Members, once it has any, is who the members are; the leader makes the log's
// configuration follow, one member at a time. A member whose log was lost, or put back from a backup, must not come back
// under its id, since it may have promised what it no longer knows: it joins under a new one.
package raft

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus"
)

// Config says who this member is and how it reaches the others.
type Config struct {
	Network string
	Member  lamppost.MemberID
	Dir     string // the log's folder, made if it is not there

	// Founders begin the network; each of them is started with the same. Who joins later is none of them.
	Founders []lamppost.MemberID
	Listen   string                                  // host:port for the other members
	Address  func(to lamppost.MemberID) (tcp string) // host:port of another member, empty if it is not known

	// TLS is asked for every connection, so that certificates change without a restart. Both sides show theirs: issued by
	// ClientCAs, which must serve for nothing else, for the member's id as DNS name. Nil: no TLS, on loopback only.
	TLS func() (*tls.Config, error)

	// Now is the proposer's clock. What a leader says by it stays: the blocks' time never goes back.
	Now func() lamppost.TimeMS
	Log *slog.Logger // nil: nothing is logged

	Timeout       time.Duration // without a word from the leader, until another is elected; default 500 ms
	SnapshotEvery time.Duration // while the App lets something be forgotten; default 1 h
	LogFile       int           // bytes of a file of the log, which is forgotten as a whole; default 1 MiB
}

// An Engine implements consensus.Engine.
type Engine struct {
	cfg  Config
	app  consensus.App
	view consensus.View
	desk *desk
	net  *network
	raft *raft.Raft // set by Run

	files atomic.Pointer[store] // set by Run

	// appMu serialises calls of the App. What follows belongs to who holds it.
	appMu  sync.Mutex
	past   roots
	failed chan struct{} // closed when the App, or the log, failed
	err    error         // why
	forget lamppost.Cursor
	bytes  int // of entries since the last snapshot

	leaderMoved, seatsMoved, mayForget, anew chan struct{} // 1 each
	mark                                     atomic.Pointer[mark]

	mu      sync.Mutex
	last    consensus.Last
	role    string
	stopped bool
	inside  sync.WaitGroup // calls of Propose; none is added once stopped
}

// New returns an engine that continues where its App stands. Run drives it.
func New(cfg Config, app consensus.App, view consensus.View) (*Engine, error) {
	cfg.Timeout = cmp.Or(cfg.Timeout, defaultTimeout)
	cfg.SnapshotEvery = cmp.Or(cfg.SnapshotEvery, defaultSnapshotEvery)
	cfg.LogFile = cmp.Or(cfg.LogFile, logFileBytes)
	cfg.Log = cmp.Or(cfg.Log, slog.New(slog.DiscardHandler))
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("raft: %w", err)
	}
	e := &Engine{cfg: cfg, app: app, view: view, desk: newDesk(), failed: make(chan struct{}), leaderMoved: make(chan struct{}, 1),
		seatsMoved: make(chan struct{}, 1), mayForget: make(chan struct{}, 1), anew: make(chan struct{}, 1), last: app.Last(), role: "starting"}
	e.past.add(e.last.Height, e.last.Root)
	return e, nil
}

func (c *Config) check() error {
	for _, id := range append([]lamppost.MemberID{c.Member}, c.Founders...) {
		if err := lamppost.CheckName("member", string(id)); err != nil {
			return err
		}
	}
	host, _, err := net.SplitHostPort(c.Listen)
	switch {
	case err != nil:
		return fmt.Errorf("the address %q for other members is not host:port: %w", c.Listen, err)
	case c.TLS == nil && !net.ParseIP(host).IsLoopback():
		return fmt.Errorf("members at %q need TLS: without it only loopback addresses are taken", c.Listen)
	case c.Network == "" || c.Dir == "" || c.Address == nil || c.Now == nil:
		return errors.New("network, folder, addresses and clock must be given")
	}
	return nil
}

// Propose implements consensus.Engine, at whichever member.
func (e *Engine) Propose(ctx context.Context, id lamppost.TxID, tx []byte) (consensus.Decision, error) {
	if len(tx) > lamppost.MaxTxBytes {
		return consensus.Decision{}, consensus.ErrTooLarge
	}
	if len(tx) == 0 {
		return consensus.Decision{}, lamppost.Refuse(lamppost.CodeBadTx, "a transaction of no bytes")
	}
	if !e.enter() {
		return consensus.Decision{}, consensus.ErrStopped
	}
	defer e.inside.Done()
	c, err := e.desk.join(id, tx, e.cfg.Now())
	if err != nil {
		return consensus.Decision{}, err
	}
	defer e.desk.leave(c)
	if d, ok := e.view.Decided(id); ok { // asked after joining: a block in between is heard of one way or the other
		return d, nil
	}
	if err := e.view.CheckTx(tx); err != nil {
		return consensus.Decision{}, err
	}
	e.desk.pass(c)
	select {
	case a := <-c.answer:
		return a.d, a.err
	case <-ctx.Done():
	}
	select { // the answer may have come with the end
	case a := <-c.answer:
		return a.d, a.err
	default:
		return consensus.Decision{}, ctx.Err()
	}
}

// enter counts a call of Propose, so that Run can wait for it.
func (e *Engine) enter() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.stopped {
		e.inside.Add(1)
	}
	return !e.stopped
}

// turnAway answers everybody who waits, and who comes, with ErrStopped.
func (e *Engine) turnAway() {
	e.mu.Lock()
	e.stopped = true
	e.mu.Unlock()
	e.desk.close()
}

// Run implements consensus.Engine. A member that is none any more takes nothing and waits for ctx. It is called once.
func (e *Engine) Run(ctx context.Context) error {
	defer e.inside.Wait()
	defer e.turnAway()
	defer e.setRole("stopped")
	removed, err := e.serve(ctx)
	if err != nil {
		return fmt.Errorf("raft: %w", err)
	}
	if removed && ctx.Err() == nil {
		e.cfg.Log.Info("this member has left the network and takes no part any more", "member", e.cfg.Member)
		e.setRole("removed")
		e.turnAway()
		<-ctx.Done()
	}
	return nil
}

// serve opens the log and takes part until ctx is done, something failed, or the member was removed.
func (e *Engine) serve(ctx context.Context) (removed bool, err error) {
	store, err := e.openStore()
	if err != nil {
		return false, err
	}
	defer store.close()
	if err := e.restoreNewest(store); err != nil {
		return false, err
	}
	e.files.Store(store)
	if e.net, err = listen(&e.cfg); err != nil {
		return false, err
	}
	defer e.net.close()
	if err := e.startRaft(store); err != nil {
		return false, err
	}
	work, cancel := context.WithCancel(ctx)
	left := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { e.net.serve(e.attend) })
	wg.Go(func() { e.leadWhenElected(work) })
	wg.Go(func() { e.carryToLeaders(work) })
	wg.Go(func() { e.keepSeats(work, left) })
	wg.Go(func() { e.forgetNow(work, store) })
	select {
	case <-ctx.Done():
	case <-e.failed:
		e.turnAway()
	case <-left:
		removed = true
	}
	cancel()
	e.handOver()
	down := e.raft.Shutdown()
	e.net.close()
	err = down.Error()
	e.turnAway()
	wg.Wait()
	return removed, cmp.Or(e.failure(), err)
}

// handOver makes another member lead, if there is one to be reached, so that nobody waits for an election. The library may
// leave the call unanswered when it ends, so its state is watched.
func (e *Engine) handOver() {
	if e.raft.State() != raft.Leader || len(e.seats()) < 2 {
		return
	}
	e.raft.LeadershipTransfer()
	for end := time.Now().Add(e.cfg.Timeout); e.raft.State() == raft.Leader && time.Now().Before(end); {
		time.Sleep(retryPause / 4)
	}
	poke(e.anew) // if it failed, what the library turned away meanwhile is proposed again
}

// fail notes the first error, after which the App is not called any more.
func (e *Engine) fail(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err == nil {
		e.err = err
		close(e.failed)
	}
}

func (e *Engine) failure() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.err
}

func (e *Engine) setRole(role string) {
	e.mu.Lock()
	e.role = role
	e.mu.Unlock()
}

// leader names who leads, as far as is known here.
func (e *Engine) leader() lamppost.MemberID {
	_, id := e.raft.LeaderWithID()
	return lamppost.MemberID(id)
}

// Syncs is how often the log was made durable since its start: once for every batch of entries.
func (e *Engine) Syncs() uint64 {
	if s := e.files.Load(); s != nil {
		return s.counts.Summary().Counters["log_appends"]
	}
	return 0
}

// Status implements consensus.Engine.
func (e *Engine) Status() consensus.Status {
	e.mu.Lock()
	s := consensus.Status{Engine: "raft", Role: e.role, Height: e.last.Height, Time: e.last.Time}
	running := e.role == "running"
	e.mu.Unlock()
	if running {
		s.Role, s.Leader = roles[e.raft.State()], e.leader()
	}
	var since lamppost.TimeMS
	if s.Queued, since = e.desk.waiting(); s.Queued > 0 {
		s.WaitedMS = max(0, e.cfg.Now()-since)
	}
	return s
}

var roles = map[raft.RaftState]string{raft.Follower: "follower", raft.Candidate: "candidate", raft.Leader: "leader", raft.Shutdown: "stopped"}
