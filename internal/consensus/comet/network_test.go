//go:build !small

package comet_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus"
	"github.com/lamppost/lamppost/internal/consensus/comet"
	"github.com/lamppost/lamppost/internal/consensus/consensustest"
)

const patience = 60 * time.Second

// An app keeps its blocks in memory, which outlives its engine. A transaction's id is its hash.
type app struct {
	save    func([]byte) error // makes a block durable; nil: nothing does
	trace   bool               // ids are remembered
	forgets bool
	light   bool // blocks are not kept
	name    func(tx []byte) lamppost.TxID
	hold    func(tx []byte) bool // whether a proposer leaves it for later; nil: never. Called with mu held

	mu      sync.Mutex
	fails   error // of Apply
	last    consensus.Last
	pending *lamppost.Block
	blocks  []*lamppost.Block
	decided map[lamppost.TxID]consensus.Decision
	came    chan struct{} // closed and made anew with every block
}

func newApp() *app {
	return &app{trace: true, name: idOf, decided: map[lamppost.TxID]consensus.Decision{}, came: make(chan struct{})}
}

func idOf(tx []byte) lamppost.TxID { return sha256.Sum256(tx) }

func (a *app) Last() consensus.Last {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.last
}

func (a *app) Prepare(b *lamppost.Block, maxBytes int) [][]byte {
	if a.hold != nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		return slices.DeleteFunc(slices.Clone(b.Txs), a.hold)
	}
	size := 0
	for i, tx := range b.Txs {
		if size += len(tx); size > maxBytes || i == lamppost.MaxBlockTxs {
			return b.Txs[:i]
		}
	}
	return b.Txs
}

func (a *app) Accept(*lamppost.Block) error { return nil }

func (a *app) Apply(b *lamppost.Block) (*lamppost.Result, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.fails != nil {
		return nil, a.fails
	}
	kept := *b
	kept.Txs = nil
	res := &lamppost.Result{Height: b.Height}
	h := sha256.New()
	h.Write(a.last.Root[:])
	fmt.Fprint(h, b.Height, b.Time, b.Evidence)
	for i, tx := range b.Txs {
		kept.Txs = append(kept.Txs, slices.Clone(tx))
		h.Write(tx)
		o := []lamppost.Outcome{{}}
		res.IDs, res.Outcomes = append(res.IDs, a.name(tx)), append(res.Outcomes, o)
		if _, again := a.decided[a.name(tx)]; a.trace && !again {
			a.decided[a.name(tx)] = consensus.Decision{Height: b.Height, Index: uint32(i), Outcomes: o}
		}
	}
	res.Root = lamppost.Hash(h.Sum(nil))
	a.last.Height, a.last.Time, a.last.Cursor, a.last.Root = b.Height, b.Time, b.Cursor, res.Root
	a.pending = &kept
	return res, nil
}

func (a *app) Commit() (lamppost.Cursor, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.pending == nil {
		return 0, nil
	}
	if a.save != nil {
		if err := a.save(slices.Concat(a.pending.Txs...)); err != nil {
			return 0, err
		}
	}
	if !a.light {
		a.blocks = append(a.blocks, a.pending)
	}
	a.pending = nil
	close(a.came)
	a.came = make(chan struct{})
	if a.forgets {
		return a.last.Cursor, nil
	}
	return 0, nil
}

func (a *app) CheckTx(tx []byte) error {
	if _, again := a.Decided(a.name(tx)); again {
		return lamppost.Refuse(lamppost.CodeDuplicate, "decided before")
	}
	return nil
}

func (a *app) Decided(id lamppost.TxID) (consensus.Decision, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	d, ok := a.decided[id]
	return d, ok
}

// until waits until the app's blocks satisfy a condition.
func (a *app) until(t testing.TB, what string, ok func([]*lamppost.Block) bool) {
	t.Helper()
	end := time.After(patience)
	for {
		a.mu.Lock()
		done, came := ok(a.blocks), a.came
		a.mu.Unlock()
		if done {
			return
		}
		select {
		case <-came:
		case <-end:
			t.Fatalf("no %s after %v", what, patience)
		}
	}
}

func (a *app) at(h lamppost.Height) func([]*lamppost.Block) bool {
	return func(all []*lamppost.Block) bool { return len(all) >= int(h) }
}

// A seat is a member's engine, running or not.
type seat struct {
	t      testing.TB
	cfg    comet.Config
	app    *app
	wraps  func(*app) consensus.App // what the engine drives in its place; nil: itself
	engine *comet.Engine
	cancel context.CancelFunc
	ended  chan error
}

// seats makes members "a", "b", … on loopback that are not started.
func seats(t testing.TB, n int) (all []*seat) {
	t.Helper()
	var members []lamppost.Member
	addresses := map[lamppost.MemberID]string{}
	founded := lamppost.TimeMS(time.Now().UnixMilli())
	for i := range n {
		dir := t.TempDir()
		key, err := comet.PublicKey(dir)
		if err != nil {
			t.Fatal(err)
		}
		members = append(members, lamppost.Member{ID: lamppost.MemberID(rune('a' + i)), Key: key})
		addresses[members[i].ID] = consensustest.FreeAddress(t)
		all = append(all, &seat{t: t, app: newApp(), cfg: comet.Config{Member: members[i].ID, Dir: dir, Listen: addresses[members[i].ID], Network: "net",
			Founded:        founded,
			ProposeTimeout: 300 * time.Millisecond, VoteTimeout: 50 * time.Millisecond, Now: func() lamppost.TimeMS { return lamppost.TimeMS(time.Now().UnixMilli()) }, Log: quiet(t)}})
	}
	for _, s := range all {
		s.cfg.Founders, s.cfg.Address = members, func(to lamppost.MemberID) string { return addresses[to] }
	}
	return all
}

func (s *seat) start() {
	s.t.Helper()
	drives := consensus.App(s.app)
	if s.wraps != nil {
		drives = s.wraps(s.app)
	}
	engine, err := comet.New(s.cfg, drives, s.app)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	s.engine, s.cancel, s.ended = engine, cancel, ended
	go func() { ended <- engine.Run(ctx) }()
	s.t.Cleanup(func() {
		cancel()
		ended <- <-ended
	})
}

// end waits for what Run returns.
func (s *seat) end() error {
	s.t.Helper()
	select {
	case err := <-s.ended:
		s.ended <- err
		return err
	case <-time.After(patience):
		s.t.Fatal("Run does not end")
		return nil
	}
}

func (s *seat) stop() {
	s.t.Helper()
	s.cancel()
	if err := s.end(); err != nil {
		s.t.Fatalf("Run = %v at the end of its context", err)
	}
}

// must proposes and wants it ordered.
func (s *seat) must(tx string) consensus.Decision {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	d, err := s.engine.Propose(ctx, idOf([]byte(tx)), []byte(tx))
	if err != nil {
		s.t.Fatalf("Propose(%.20q) = %v", tx, err)
	}
	return d
}

// moved tells a seat another address of a member.
func (s *seat) moved(id lamppost.MemberID, address string) {
	before := s.cfg.Address
	s.cfg.Address = func(to lamppost.MemberID) string {
		if to == id {
			return address
		}
		return before(to)
	}
}

// A member that was away while the others ordered many blocks gets them from the others' stores, and the same root. If it was away for a
// moment it is a validator meanwhile.
func TestCatchUp(t *testing.T) {
	t.Parallel()
	for name, later := range absences {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all, last := missing(t, 40, later)
			away := all[3]
			away.start()
			away.app.until(t, "catching up", away.app.at(2))
			if role := away.engine.Status().Role; later < 0 && role != "validator" {
				t.Errorf("with the first of the blocks it is %q", role)
			}
			away.app.until(t, "catching up", away.app.at(last.Height))
			all[0].must("after")
			away.must("after")
			sameBlocks(t, all)
		})
	}
}

// absences are how much later it is by the clock of a member that comes back, so that it thinks that it was away for long, or for a moment,
// however long this machine takes.
var absences = map[string]time.Duration{"a moment": -10 * time.Minute, "long": time.Hour}

// missing makes four seats, the last of which stopped before so many blocks.
func missing(t *testing.T, blocks int, later time.Duration) (all []*seat, last consensus.Decision) {
	all = seats(t, 4)
	for _, s := range all {
		s.start()
	}
	first := all[0].must("first")
	away := all[3]
	away.app.until(t, "first block", away.app.at(first.Height))
	away.stop()
	now := away.cfg.Now
	away.cfg.Now = func() lamppost.TimeMS { return now() + lamppost.TimeMS(later.Milliseconds()) }
	for i := range blocks {
		last = all[i%3].must(fmt.Sprint("meanwhile ", i))
	}
	return all, last
}

// An error of the App while its member catches up ends Run with it, not the process; opened again, the member goes on.
func TestErrorInCatchUp(t *testing.T) {
	t.Parallel()
	for name, later := range absences {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all, last := missing(t, 10, later)
			away, broken := all[3], errors.New("the disk is broken")
			away.app.fails = broken
			away.start()
			if err := away.end(); !errors.Is(err, broken) {
				t.Fatalf("Run = %v, want the App's error", err)
			}
			away.app.fails = nil
			away.start()
			away.app.until(t, "catching up", away.app.at(last.Height))
		})
	}
}

// Two of four order nothing; proposals wait, Status tells how long, and a third member brings the answer.
func TestNoQuorum(t *testing.T) {
	t.Parallel()
	all := seats(t, 4)
	for _, s := range all {
		s.start()
	}
	all[0].must("first")
	all[2].stop()
	all[3].stop()
	height := all[0].engine.Status().Height
	answered := make(chan error, 1)
	tx := []byte("waits")
	go func() {
		_, err := all[0].engine.Propose(context.Background(), idOf(tx), tx)
		answered <- err
	}()
	for end := time.Now().Add(patience); all[0].engine.Status().WaitedMS < 1500; {
		select {
		case err := <-answered:
			t.Fatalf("Propose = %v without a quorum", err)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(end) {
			t.Fatalf("Status = %+v, want the age of what waits", all[0].engine.Status())
		}
	}
	if s := all[0].engine.Status(); s.Height != height || s.Queued != 1 {
		t.Errorf("Status = %+v without a quorum at height %d", s, height)
	}
	all[2].start()
	select {
	case err := <-answered:
		if err != nil {
			t.Errorf("Propose = %v", err)
		}
	case <-time.After(patience):
		t.Error("no answer with three of four members")
	}
}

// A member that signs twice, because it runs twice, is in a block as evidence, and no honest member decides otherwise
// than the others.
func TestDoubleSigner(t *testing.T) {
	t.Parallel()
	all := seats(t, 4)
	twin := &seat{t: t, app: newApp(), cfg: all[3].cfg}
	twin.cfg.Dir, twin.cfg.Listen = t.TempDir(), consensustest.FreeAddress(t)
	useKey(t, twin.cfg.Dir, keyOf(t, all[3].cfg.Dir))
	// The third member meets the twin only, the first two do not.
	nowhere := consensustest.FreeAddress(t)
	all[2].moved("d", twin.cfg.Listen)
	all[3].moved("c", nowhere)
	twin.moved("a", nowhere)
	twin.moved("b", nowhere)
	for _, s := range append(all, twin) {
		s.start()
	}
	accused := func(blocks []*lamppost.Block) bool {
		return slices.ContainsFunc(blocks, func(b *lamppost.Block) bool {
			return slices.ContainsFunc(b.Evidence, func(e lamppost.Evidence) bool { return e.Member == "d" && e.Kind == 1 && e.Height > 0 })
		})
	}
	end := time.Now().Add(2 * patience)
	for i, found := 0, false; !found; i++ {
		if time.Now().After(end) {
			t.Fatal("nobody notices that a member signs twice")
		}
		for _, s := range all[:3] {
			s.must(fmt.Sprint("tx ", i, s.cfg.Member))
		}
		all[0].app.mu.Lock()
		found = accused(all[0].app.blocks)
		all[0].app.mu.Unlock()
	}
	for _, s := range all[:3] {
		s.app.until(t, "evidence", accused)
	}
	sameBlocks(t, all[:3])
}

// sameBlocks wants the blocks of all seats to be equal as far as all have them.
func sameBlocks(t testing.TB, all []*seat) {
	t.Helper()
	var want []*lamppost.Block
	for _, s := range all {
		s.app.mu.Lock()
		got := slices.Clone(s.app.blocks)
		s.app.mu.Unlock()
		for i := range min(len(got), len(want)) {
			if fmt.Sprint(*got[i]) != fmt.Sprint(*want[i]) {
				t.Fatalf("block %d at %q is\n%v\nand\n%v", i+1, s.cfg.Member, *got[i], *want[i])
			}
		}
		want = got
	}
}

// What was ordered and left no trace in the ledger may be ordered again with the same bytes, here and elsewhere.
func TestSameBytesAgain(t *testing.T) {
	t.Parallel()
	all := seats(t, 2)
	for _, s := range all {
		s.app.trace = false
		s.start()
	}
	heights := map[lamppost.Height]bool{}
	for i := range 6 {
		h := all[i%2].must("the same").Height
		heights[h] = true
		for _, s := range all { // who has the block still to come would be answered with it
			s.app.until(t, "block", s.app.at(h))
		}
	}
	if len(heights) != 6 {
		t.Errorf("6 attempts were ordered at the heights %v", heights)
	}
}

// Told to end while comet replays to an App that lacks blocks, Run ends without an error.
func TestEndWhileReplaying(t *testing.T) {
	t.Parallel()
	s := seats(t, 1)[0]
	s.start()
	for i := range 5 {
		s.must(fmt.Sprint("tx ", i))
	}
	s.stop()
	s.app = newApp() // it was emptied
	engine, err := comet.New(s.cfg, s.app, s.app)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := engine.Run(ctx); err != nil {
		t.Errorf("Run = %v", err)
	}
}
