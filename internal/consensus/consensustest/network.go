package consensustest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"sync"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus"
)

// Replicas see the same blocks in the same order with the same times, whoever proposed what.
func order(c *cluster) {
	nodes := c.start()
	var wg sync.WaitGroup
	for who := range 3 * len(nodes) {
		n := nodes[who%len(nodes)]
		wg.Go(func() {
			for i := range 10 {
				id, raw := tx(fmt.Sprint(who, "-", i), takes, fmt.Sprint(i))
				d, err := offer(context.Background(), n, id, raw)
				if want, ok := n.chain.Decided(id); err != nil || !ok || !reflect.DeepEqual(d, want) {
					c.t.Errorf("Propose = %+v, %v; committed here is %+v (%v)", d, err, want, ok)
				}
			}
		})
	}
	wg.Wait()
	c.agree(nodes...)
}

// The loss of the leader under load costs at most a gap; nothing that was answered is lost, and what was proposed to the
// others meanwhile is answered without anybody's help. The lost one comes back and catches up.
func leaderKilled(c *cluster) {
	nodes := c.start()
	lost := c.leader(nodes)
	rest := without(nodes, lost)
	l := c.load("x", rest...)
	l.until(c, 20)
	c.kill(lost)
	l.mu.Lock()
	have := len(l.answers)
	l.mu.Unlock()
	l.until(c, have+20)
	lost.start(nil)
	l.until(c, have+40)
	l.end(c, rest[0])
	c.t.Logf("longest time without an answer: %v", l.longest)
	if c.f.Gap > 0 && l.longest > c.f.Gap {
		c.t.Errorf("%v without an answer, want at most %v", l.longest, c.f.Gap)
	}
	c.agree(nodes...)
}

// A leader that is cut off answers nothing, while the others go on; joined again, it answers as they decided.
func partition(c *cluster) {
	nodes := c.start()
	c.nodes[0].must("first", takes, "")
	cut := c.leader(nodes)
	rest := without(nodes, cut)
	c.isolate(cut, true)
	id, raw := tx("alone", takes, "")
	alone := cut.propose(context.Background(), id, raw)
	l := c.load("x", rest...)
	l.until(c, 20)
	if d, ok := cut.chain.Decided(id); ok {
		c.t.Errorf("without the others %+v was decided", d)
	}
	c.isolate(cut, false)
	if a := alone(); a.err != nil {
		c.t.Errorf("Propose at the one that was cut off = %v after it was joined again", a.err)
	} else if d, ok := cut.chain.Decided(id); !ok || !reflect.DeepEqual(a.d, d) {
		c.t.Errorf("Propose = %+v, decided is %+v", a.d, d)
	}
	l.end(c, rest[0])
	c.agree(nodes...)
}

// The others do not wait for one that is away; it catches up with what it missed.
func followerRestarts(c *cluster) {
	nodes := c.start()
	away := without(nodes, c.leader(nodes))[0]
	rest := without(nodes, away)
	l := c.load("x", rest...)
	for i := range 2 {
		l.until(c, 20+40*i)
		c.kill(away)
		l.until(c, 40+40*i)
		away.start(nil)
	}
	id, raw := tx("back", takes, "")
	if a := away.propose(context.Background(), id, raw)(); a.err != nil {
		c.t.Errorf("Propose at the one that came back = %v", a.err)
	}
	l.end(c, rest[0])
	c.agree(nodes...)
}

// A network that was stopped as a whole goes on where it was, with nothing new in it.
func allRestart(c *cluster) {
	nodes := c.start()
	first := c.nodes[0].must("a", takes, "one")
	c.agree(nodes...)
	before := nodes[0].blocks()
	for _, n := range nodes {
		n.cancel()
	}
	for _, n := range nodes {
		n.wait()
		n.start(nil)
	}
	if again := c.nodes[0].must("a", takes, "two"); !reflect.DeepEqual(again, first) {
		c.t.Errorf("after the restart %+v was decided, before it %+v", again, first)
	}
	if after := nodes[0].blocks(); len(after) != len(before) {
		c.t.Errorf("%d blocks after the restart, %d before", len(after), len(before))
	}
	c.nodes[0].must("b", takes, "")
	c.agree(nodes...)
}

// One id proposed through all members, by callers that give up and come again with other bytes, some of them at a member
// that is cut off on the way, counts once, and everybody hears the same.
func retryElsewhere(c *cluster) {
	nodes := c.start()
	c.leader(nodes)
	for i := range 5 {
		name := fmt.Sprint("one", i)
		id, raw := tx(name, takes, "first")
		ctx, cancel := context.WithCancel(context.Background())
		gaveUp := nodes[i%len(nodes)].propose(ctx, id, raw)
		var waits []func() answer
		for j, n := range nodes {
			_, other := tx(name, takes, fmt.Sprint("via", j))
			waits = append(waits, n.propose(context.Background(), id, other))
		}
		cut := nodes[(i+1)%len(nodes)]
		c.isolate(cut, true)
		cancel()
		gaveUp()
		c.isolate(cut, false)
		first := waits[0]()
		if o := first.d.Outcomes; first.err != nil || len(o) != 1 || o[0].Code != lamppost.CodeOK {
			c.t.Errorf("Propose = %+v, %v; want the first decision, which was accepted", first.d, first.err)
		}
		for _, wait := range waits[1:] {
			if a := wait(); a.err != nil || !reflect.DeepEqual(a.d, first.d) {
				c.t.Errorf("Propose = %+v, %v; elsewhere %+v", a.d, a.err, first.d)
			}
		}
	}
	c.agree(nodes...)
}

// What the proposer of a block drops is refused to the caller at another member too, and the chain goes on.
func droppedElsewhere(c *cluster) {
	nodes := c.start()
	c.leader(nodes)
	for i, n := range nodes {
		id, raw := tx(fmt.Sprint("bad", i), drops, "")
		var refusal *lamppost.Refusal
		if a := n.propose(context.Background(), id, raw)(); !errors.As(a.err, &refusal) {
			c.t.Errorf("Propose of what Prepare drops = %+v, want a refusal", a)
		}
		if n.disk.times(id) != 0 {
			c.t.Error("what Prepare dropped stands in the chain")
		}
	}
	c.nodes[0].must("good", takes, "")
	c.agree(nodes...)
}

// A replica that decides otherwise than the others stops; they go on.
func otherRoot(c *cluster) {
	nodes := c.start()
	c.nodes[0].must("first", takes, "")
	bad := without(nodes, c.leader(nodes))[0]
	rest := without(nodes, bad)
	c.agree(nodes...)
	bad.chain.spoilt.Store(true)
	l := c.load("x", rest...)
	if err := bad.wait(); err == nil {
		c.t.Error("Run = nil at a replica with another root, want an error")
	}
	bad.gone()
	l.mu.Lock()
	have := len(l.answers)
	l.mu.Unlock()
	l.until(c, have+20)
	l.end(c, rest[0])
	c.agree(rest...)
}

// An error of one App stops that member alone, though it leads; its callers learn it, the others go on, and opened again
// it catches up.
func errorInOne(c *cluster, leader bool) {
	nodes := c.start()
	c.nodes[0].must("first", takes, "")
	c.agree(nodes...)
	bad := c.leader(nodes)
	if !leader {
		bad = without(nodes, bad)[0]
	}
	bad.stop()
	bad.start(fails("Commit"))
	for range 20 {
		if !leader || c.leader(nodes) == bad || bad.failed() {
			break
		}
		other := c.leader(nodes)
		other.stop() // until it is the other's turn
		other.start(nil)
	}
	rest := without(nodes, bad)
	l := c.load("x", rest...)
	if err := bad.wait(); !errors.Is(err, errBroken) {
		c.t.Errorf("Run = %v, want the error of Commit", err)
	}
	id, raw := tx("late", takes, "")
	if a := bad.propose(context.Background(), id, raw)(); !errors.Is(a.err, consensus.ErrStopped) {
		c.t.Errorf("Propose after the end = %+v, want ErrStopped", a)
	}
	l.mu.Lock()
	have := len(l.answers)
	l.mu.Unlock()
	l.until(c, have+20)
	bad.start(nil)
	l.end(c, rest[0])
	c.agree(nodes...)
}

// failed reports whether Run has returned.
func (n *node) failed() bool {
	select {
	case err := <-n.ended:
		n.ended <- err
		return true
	default:
		return false
	}
}

// A random stream of proposals, one after the other, at random members, among them refused ones, repeated ones and such that
// are dropped, gives the root that the same stream gives without any engine.
func stream(c *cluster) {
	nodes := c.start()
	rng := rand.New(rand.NewPCG(7, 11))
	var want lamppost.Hash
	seen := map[lamppost.TxID]bool{}
	for i := range 60 {
		name := fmt.Sprint(rng.IntN(50))
		kind := byte(takes)
		switch rng.IntN(6) {
		case 0:
			kind = refuses
		case 1:
			kind, name = drops, "dropped"+name
		}
		id, raw := tx(name, kind, fmt.Sprint(i))
		n := nodes[rng.IntN(len(nodes))]
		d, err := n.engine.Propose(context.Background(), id, raw)
		var refusal *lamppost.Refusal
		switch {
		case kind == drops && !errors.As(err, &refusal):
			c.t.Errorf("Propose of what Prepare drops = %+v, %v", d, err)
		case kind != drops && err != nil:
			c.t.Fatalf("Propose = %v", err)
		case kind != drops && !seen[id]:
			seen[id], want = true, nextRoot(want, [][]byte{raw})
		}
		c.agreeOn(id, kind != drops, nodes)
	}
	c.agree(nodes...)
	if got := nodes[0].chain.Last().Root; got != want {
		c.t.Errorf("the root is %v, without an engine %v", got, want)
	}
}

// agreeOn waits until all have decided an id, so that none answers a retry as new.
func (c *cluster) agreeOn(id lamppost.TxID, decided bool, nodes []*node) {
	c.t.Helper()
	end := time.Now().Add(patience)
	for _, n := range nodes {
		for _, ok := n.chain.Decided(id); decided && !ok; _, ok = n.chain.Decided(id) {
			if time.Now().After(end) {
				c.t.Fatalf("%x was decided elsewhere and does not come", id[:4])
			}
			time.Sleep(time.Millisecond)
		}
	}
}
