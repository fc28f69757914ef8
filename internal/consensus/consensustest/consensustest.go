// Package consensustest is the contract of consensus.Engine as a test suite: what every engine promises to the App it
// drives and to whoever proposes, checked the same way. [Run] drives one engine at a time; [Cluster], in cluster.go,
// network.go and members.go, checks what the members of a network promise each other.
//
// Start reading at [Run]. The App of the suite, in app.go, checks the engine from inside.
package consensustest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus"
)

// A Factory makes the engines under test.
type Factory struct {
	// Open returns an engine that drives app. Dir is an existing folder for the engine's own files: with the same one,
	// and an app that continues its own disk, it goes on where the last engine stopped.
	Open func(t testing.TB, dir string, app consensus.App, view consensus.View, now func() lamppost.TimeMS) consensus.Engine

	// Queue is how many proposals may wait before ErrBusy; 0: the engine never says so.
	Queue int
	// Replays says that the engine has a log of its own, from which a block comes again whose Commit failed.
	Replays bool
}

// patience is how long a step may take on a busy machine before a test calls it stuck.
const patience = time.Minute

// Run checks the whole contract, each part on a fresh engine.
func Run(t *testing.T, f Factory) {
	for name, check := range map[string]func(*testing.T, *node){
		"ManyProposers":      manyProposers,
		"AnswerAfterCommit":  answerAfterCommit,
		"TwoOnOneID":         twoOnOneID,
		"RetryAfterCommit":   retryAfterCommit,
		"RetryAfterContext":  retryAfterContext,
		"RetryAfterReopen":   retryAfterReopen,
		"Refused":            refused,
		"Dropped":            dropped,
		"ErrorOfAccept":      func(t *testing.T, n *node) { errorOf(t, n, "Accept") },
		"ErrorOfApply":       func(t *testing.T, n *node) { errorOf(t, n, "Apply") },
		"ErrorOfCommit":      func(t *testing.T, n *node) { errorOf(t, n, "Commit") },
		"ErrorAfterTheWrite": func(t *testing.T, n *node) { errorOf(t, n, "Committed") },
		"Busy":               busy,
		"TooLarge":           tooLarge,
		"ContextEnds":        contextEnds,
		"RunEnds":            runEnds,
		"NothingNew":         nothingNew,
		"ClockGoesBack":      clockGoesBack,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := &node{t: t, f: f, dir: t.TempDir(), disk: newDisk()}
			n.clock = func() lamppost.TimeMS { return 1_000_000 }
			check(t, n)
		})
	}
}

// A node is an engine, running or not, with the disk it comes back to.
type node struct {
	t     testing.TB
	f     Factory
	dir   string
	disk  *disk
	clock func() lamppost.TimeMS

	chain  *chain
	engine consensus.Engine
	cancel context.CancelFunc
	ended  chan error
	label  string
}

// open makes an engine over a chain that continues the disk; at may be nil.
func (n *node) open(at func(string) error) {
	n.chain = openChain(n.t, n.disk)
	if at != nil {
		n.chain.at = at
	}
	n.engine = n.f.Open(n.t, n.dir, n.chain, n.chain, n.clock)
	if calls := n.chain.calls.Load(); calls != 0 {
		n.t.Errorf("the constructor called the App %d times", calls)
	}
}

// run starts the engine, labelled so that its goroutines can be told from others.
func (n *node) run() {
	ctx, cancel := context.WithCancel(context.Background())
	n.cancel, n.ended = cancel, make(chan error, 1)
	n.label = fmt.Sprintf("%p-%s", n.engine, n.t.Name())
	go pprof.Do(ctx, pprof.Labels("engine", n.label), func(ctx context.Context) { n.ended <- n.engine.Run(ctx) })
	ended := n.ended
	n.t.Cleanup(func() { // the folder is about to go
		cancel()
		select {
		case err := <-ended:
			ended <- err
		case <-time.After(patience):
		}
	})
}

func (n *node) start(at func(string) error) {
	n.open(at)
	n.run()
}

// wait returns what Run returned.
func (n *node) wait() error {
	n.t.Helper()
	select {
	case err := <-n.ended:
		n.ended <- err
		return err
	case <-time.After(patience):
		n.t.Fatalf("Run does not end")
		return nil
	}
}

func (n *node) stop() {
	n.t.Helper()
	n.cancel()
	if err := n.wait(); err != nil {
		n.t.Fatalf("Run = %v at the end of its context, want nil", err)
	}
}

// An answer is what a Propose returned.
type answer struct {
	d   consensus.Decision
	err error
}

// propose proposes in a goroutine of its own. It must answer within the test's patience.
func (n *node) propose(ctx context.Context, id lamppost.TxID, raw []byte) func() answer {
	c := make(chan answer, 1)
	engine := n.engine
	go func() {
		d, err := engine.Propose(ctx, id, raw)
		c <- answer{d, err}
	}()
	return func() answer {
		n.t.Helper()
		select {
		case a := <-c:
			return a
		case <-time.After(patience):
			n.t.Fatalf("Propose(%x) does not return", id[:4])
			return answer{}
		}
	}
}

// must proposes and wants a decision that agrees with the disk.
func (n *node) must(name string, kind byte, more string) consensus.Decision {
	n.t.Helper()
	id, raw := tx(name, kind, more)
	return n.decided(id, n.propose(context.Background(), id, raw)())
}

// decided wants an answer to be the committed decision of an id.
func (n *node) decided(id lamppost.TxID, a answer) consensus.Decision {
	n.t.Helper()
	want, ok := n.chain.Decided(id)
	if a.err != nil || !ok || !reflect.DeepEqual(a.d, want) {
		n.t.Fatalf("Propose(%x) = %+v, %v; committed is %+v (%v)", id[:4], a.d, a.err, want, ok)
	}
	if times := n.disk.times(id); times != 1 {
		n.t.Errorf("%x stands %d times in the chain", id[:4], times)
	}
	return a.d
}

// queued waits until so many proposals wait in the engine.
func (n *node) queued(want int) {
	n.t.Helper()
	for end := time.Now().Add(patience); n.engine.Status().Queued < want; runtime.Gosched() {
		if time.Now().After(end) {
			n.t.Fatalf("Status says %d proposals are queued, want %d", n.engine.Status().Queued, want)
		}
	}
}

// Every one of many concurrent proposals is answered once with the decision in the chain, and the App, which checks
// order, heights, times and overlaps itself, sees each once.
func manyProposers(t *testing.T, n *node) {
	n.start(nil)
	var wg sync.WaitGroup
	for who := range 8 {
		wg.Go(func() {
			for i := range 25 {
				id, raw := tx(fmt.Sprint(who, "-", i), takes, fmt.Sprint(i))
				d, err := n.engine.Propose(context.Background(), id, raw)
				want, ok := n.chain.Decided(id)
				if err != nil || !ok || !reflect.DeepEqual(d, want) {
					t.Errorf("Propose = %+v, %v; committed is %+v (%v)", d, err, want, ok)
				}
			}
		})
	}
	wg.Wait()
	n.stop()
	if got := len(n.disk.decided); got != 200 {
		t.Errorf("%d transactions were decided, want 200", got)
	}
	if s := n.engine.Status(); s.Height != n.disk.last.Height || s.Queued != 0 {
		t.Errorf("Status = %+v at the end, height is %d", s, n.disk.last.Height)
	}
}

// Nobody is answered while Commit has not returned.
func answerAfterCommit(t *testing.T, n *node) {
	g := newGate()
	n.start(g.at("Commit", nil))
	id, raw := tx("a", takes, "")
	got := make(chan answer, 1)
	wait := n.propose(context.Background(), id, raw)
	go func() { got <- wait() }()
	<-g.reached
	for range 1000 {
		runtime.Gosched()
	}
	select {
	case a := <-got:
		t.Errorf("Propose = %+v before Commit returned", a)
	default:
	}
	close(g.open)
	n.decided(id, <-got)
}

// Two callers with one id, one of them with other bytes, share the first's decision, whether they wait in the queue or
// for the same block.
func twoOnOneID(t *testing.T, n *node) {
	g := newGate()
	n.start(g.at("Apply", nil))
	first, raw := tx("first", takes, "")
	hold := n.propose(context.Background(), first, raw)
	<-g.reached
	id, raw := tx("twice", takes, "one")
	_, other := tx("twice", takes, "two")
	before := n.engine.Status().Queued
	a := n.propose(context.Background(), id, raw)
	n.queued(before + 1)
	b := n.propose(context.Background(), id, other)
	c := n.propose(context.Background(), first, other)
	n.queued(before + 3)
	close(g.open)
	n.decided(first, hold())
	n.decided(first, c())
	d := n.decided(id, a())
	n.decided(id, b())
	if string(d.Outcomes[0].Data) != "one" {
		t.Errorf("decided was %q, want what came first", d.Outcomes[0].Data)
	}
}

// A retry of a decided id gets the first decision, whatever its bytes.
func retryAfterCommit(t *testing.T, n *node) {
	n.start(nil)
	first := n.must("a", takes, "one")
	n.must("b", takes, "")
	for _, more := range []string{"one", "two"} {
		if again := n.must("a", takes, more); !reflect.DeepEqual(first, again) {
			t.Errorf("retry = %+v, first %+v", again, first)
		}
	}
	if blocks := len(n.disk.blocks); blocks != 2 {
		t.Errorf("%d blocks, want 2: retries make none", blocks)
	}
}

// A caller who gave up may ask again and learns what became of his transaction; it counts once.
func retryAfterContext(t *testing.T, n *node) {
	for _, step := range []string{"Apply", "Commit"} {
		g := newGate()
		n.start(g.at(step, nil))
		ctx, cancel := context.WithCancel(context.Background())
		id, raw := tx("slow"+step, takes, "one")
		gaveUp := n.propose(ctx, id, raw)
		<-g.reached
		cancel()
		if a := gaveUp(); !errors.Is(a.err, context.Canceled) {
			t.Errorf("Propose = %+v after its context's end", a)
		}
		_, other := tx("slow"+step, takes, "two")
		again := n.propose(context.Background(), id, other)
		close(g.open)
		if d := n.decided(id, again()); string(d.Outcomes[0].Data) != "one" {
			t.Errorf("the retry got %q, want the first", d.Outcomes[0].Data)
		}
		n.stop()
	}
}

// Ids are remembered by the App, so a retry across a restart gets the first decision too.
func retryAfterReopen(t *testing.T, n *node) {
	n.start(nil)
	first := n.must("a", takes, "one")
	n.stop()
	n.start(nil)
	if again := n.must("a", takes, "two"); !reflect.DeepEqual(first, again) {
		t.Errorf("retry = %+v, first %+v", again, first)
	}
	if next := n.must("b", takes, ""); next.Height <= first.Height {
		t.Errorf("after reopening height %d was committed after %d", next.Height, first.Height)
	}
	n.stop()
}

// A refused transaction is answered with its outcome, does not come back and does not stop the chain.
func refused(t *testing.T, n *node) {
	n.start(nil)
	if d := n.must("bad", refuses, ""); d.Outcomes[0].Code != lamppost.CodeForbidden {
		t.Errorf("outcome %+v, want forbidden", d.Outcomes[0])
	}
	n.must("good", takes, "")
	n.stop()
	n.start(nil)
	n.must("better", takes, "")
	id, _ := tx("bad", refuses, "")
	if times := n.disk.times(id); times != 1 {
		t.Errorf("the refused transaction stands %d times in the chain", times)
	}
}

// What Prepare drops leaves the queue: its caller gets a refusal, no block carries it, and no empty blocks follow.
func dropped(t *testing.T, n *node) {
	g := newGate()
	n.start(g.at("Apply", nil))
	first, raw := tx("first", takes, "")
	hold := n.propose(context.Background(), first, raw)
	<-g.reached
	bad, raw := tx("bad", drops, "")
	before := n.engine.Status().Queued
	lost := n.propose(context.Background(), bad, raw)
	n.queued(before + 1)
	good, raw := tx("good", takes, "")
	kept := n.propose(context.Background(), good, raw)
	n.queued(before + 2)
	close(g.open)
	n.decided(first, hold())
	n.decided(good, kept())
	var refusal *lamppost.Refusal
	if a := lost(); !errors.As(a.err, &refusal) {
		t.Errorf("Propose of what Prepare drops = %+v, want a refusal", a)
	}
	alone, raw := tx("alone", drops, "")
	if a := n.propose(context.Background(), alone, raw)(); !errors.As(a.err, &refusal) {
		t.Errorf("Propose of what Prepare drops, alone = %+v, want a refusal", a)
	}
	n.must("last", takes, "")
	n.stop()
	if n.disk.times(bad)+n.disk.times(alone) != 0 {
		t.Errorf("what Prepare dropped stands in the chain")
	}
	if blocks := len(n.disk.blocks); blocks > 3 {
		t.Errorf("%d blocks for 3 transactions: empty ones followed the dropped", blocks)
	}
}

// The first error of the App ends Run with it. Whoever waits learns that his transaction is undecided; nothing is called
// any more; opened again, the node goes on, and a retry finds what the disk kept.
func errorOf(t *testing.T, n *node, step string) {
	g := newGate()
	n.start(g.at("Accept", fails(step)))
	id, raw := tx("a", takes, "one")
	inBlock := n.propose(context.Background(), id, raw)
	select {
	case <-g.reached:
	case <-time.After(patience):
		t.Fatal("no block comes")
	}
	behind, raw := tx("b", takes, "")
	before := n.engine.Status().Queued
	inQueue := n.propose(context.Background(), behind, raw)
	n.queued(before + 1)
	close(g.open)
	if err := n.wait(); !errors.Is(err, errBroken) {
		t.Errorf("Run = %v, want the error of %s", err, step)
	}
	for name, wait := range map[string]func() answer{"in the block": inBlock, "in the queue": inQueue} {
		if a := wait(); !errors.Is(a.err, consensus.ErrStopped) {
			t.Errorf("Propose %s = %+v, want ErrStopped", name, a)
		}
	}
	late, raw := tx("c", takes, "")
	if a := n.propose(context.Background(), late, raw)(); !errors.Is(a.err, consensus.ErrStopped) {
		t.Errorf("Propose after the end = %+v, want ErrStopped", a)
	}
	n.gone()
	kept := step == "Committed"
	if _, durable := n.chain.Decided(id); durable != kept {
		t.Errorf("after an error of %s the block is durable: %v", step, durable)
	}
	n.start(nil)
	want := "two"
	if kept || n.f.Replays {
		want = "one"
	}
	if d := n.must("a", takes, "two"); string(d.Outcomes[0].Data) != want {
		t.Errorf("the retry got %q, want %q", d.Outcomes[0].Data, want)
	}
	n.must("b", takes, "")
	n.stop()
}

// A full queue says so at once, and what it turned away is never ordered.
func busy(t *testing.T, n *node) {
	if n.f.Queue == 0 {
		t.Skip("this engine's queue has no end")
	}
	g := newGate()
	n.start(g.at("Apply", nil))
	first, raw := tx("first", takes, "")
	hold := n.propose(context.Background(), first, raw)
	<-g.reached
	before := n.engine.Status().Queued
	waits := map[lamppost.TxID]func() answer{}
	for i := range n.f.Queue {
		id, raw := tx(fmt.Sprint(i), takes, "")
		waits[id] = n.propose(context.Background(), id, raw)
	}
	n.queued(before + n.f.Queue)
	away, raw := tx("away", takes, "")
	if a := n.propose(context.Background(), away, raw)(); !errors.Is(a.err, consensus.ErrBusy) {
		t.Errorf("Propose at a full queue = %+v, want ErrBusy", a)
	}
	close(g.open)
	n.decided(first, hold())
	for _, id := range slices.Collect(maps.Keys(waits)) {
		n.decided(id, waits[id]())
	}
	if n.disk.times(away) != 0 {
		t.Error("what was turned away was ordered")
	}
	n.must("away", takes, "")
}

// A transaction over the limit is refused for good, one at the limit is taken; blocks stay below theirs.
func tooLarge(t *testing.T, n *node) {
	g := newGate()
	n.start(g.at("Apply", nil))
	id, raw := tx("big", takes, strings.Repeat("x", lamppost.MaxTxBytes-32))
	if a := n.propose(context.Background(), id, raw)(); !errors.Is(a.err, consensus.ErrTooLarge) {
		t.Errorf("Propose over the limit = %+v, want ErrTooLarge", a)
	}
	var waits []func() answer
	var ids []lamppost.TxID
	for i := range 5 {
		id, raw := tx(fmt.Sprint("fits", i), takes, strings.Repeat("x", lamppost.MaxTxBytes-33))
		ids, waits = append(ids, id), append(waits, n.propose(context.Background(), id, raw))
	}
	n.queued(5)
	close(g.open)
	for i := range waits {
		if a := waits[i](); a.err != nil {
			t.Errorf("Propose(%x) at the limit = %v", ids[i][:4], a.err)
		}
	}
	n.stop()
	for _, b := range n.disk.blocks {
		if size := len(bytes.Join(b.Txs, nil)); size > lamppost.MaxBlockBytes {
			t.Errorf("block %d has %d bytes", b.Height, size)
		}
	}
	if n.disk.times(id) != 0 {
		t.Error("what was too large was ordered")
	}
}

// Propose ends with its context while the App is busy, with the error that says so.
func contextEnds(t *testing.T, n *node) {
	g := newGate()
	n.start(g.at("Apply", nil))
	first, raw := tx("first", takes, "")
	hold := n.propose(context.Background(), first, raw)
	<-g.reached
	ctx, cancel := context.WithCancel(context.Background())
	id, raw := tx("b", takes, "")
	gaveUp := n.propose(ctx, id, raw)
	cancel()
	if a := gaveUp(); !errors.Is(a.err, context.Canceled) {
		t.Errorf("Propose = %+v, want the context's error", a)
	}
	close(g.open)
	n.decided(first, hold())
	n.must("b", takes, "")
}

// Run ends with its context, though the block at hand is finished and answered; then nobody waits, no goroutine is left,
// and the App is not called again.
func runEnds(t *testing.T, n *node) {
	g := newGate()
	n.start(g.at("Apply", nil))
	id, raw := tx("a", takes, "")
	hold := n.propose(context.Background(), id, raw)
	<-g.reached
	n.cancel()
	close(g.open)
	if err := n.wait(); err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
	if a := hold(); a.err == nil {
		n.decided(id, a)
	} else if !errors.Is(a.err, consensus.ErrStopped) {
		t.Errorf("Propose at the end = %+v, want a decision or ErrStopped", a)
	}
	n.gone()
	calls := n.chain.calls.Load()
	late, raw := tx("late", takes, "")
	if a := n.propose(context.Background(), late, raw)(); !errors.Is(a.err, consensus.ErrStopped) {
		t.Errorf("Propose after Run = %+v, want ErrStopped", a)
	}
	if n.chain.calls.Load() != calls {
		t.Error("the App was called after Run had returned")
	}
}

// gone wants no goroutine of an engine whose Run has returned.
func (n *node) gone() {
	n.t.Helper()
	for end := time.Now().Add(patience); ; runtime.Gosched() {
		var profile bytes.Buffer
		if err := pprof.Lookup("goroutine").WriteTo(&profile, 1); err != nil {
			n.t.Fatal(err)
		}
		if !strings.Contains(profile.String(), n.label) {
			return
		}
		if time.Now().After(end) { // the one that called Run needs a moment to end
			n.t.Fatalf("goroutines of the engine are left:\n%s", &profile)
		}
	}
}

// Opened again with nothing to do, an engine applies no block that is not empty and writes nothing.
func nothingNew(t *testing.T, n *node) {
	n.start(nil)
	n.must("a", takes, "")
	n.stop()
	blocks, writes, last := len(n.disk.blocks), n.disk.writes, n.disk.last
	n.start(nil)
	n.must("a", takes, "") // answered from what was decided: now the engine surely serves
	n.stop()
	for _, b := range n.disk.blocks[blocks:] {
		if !b.Empty() {
			t.Errorf("block %d was applied again", b.Height)
		}
	}
	if n.disk.writes != writes || n.disk.last.Root != last.Root {
		t.Errorf("%d writes after reopening, root %v; want none and %v", n.disk.writes-writes, n.disk.last.Root, last.Root)
	}
}

// Block times rise even where the proposer's clock goes back.
func clockGoesBack(t *testing.T, n *node) {
	var mu sync.Mutex
	now := lamppost.TimeMS(5000)
	n.clock = func() lamppost.TimeMS {
		mu.Lock()
		defer mu.Unlock()
		now -= 10
		return now
	}
	n.start(nil)
	for i := range 10 {
		n.must(fmt.Sprint(i), takes, "")
	}
	n.stop()
	n.start(nil)
	n.must("after", takes, "")
	n.stop()
}
