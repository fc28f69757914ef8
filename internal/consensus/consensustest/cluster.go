package consensustest

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus"
)

// A Seat is what the engine of one member of a network is opened with.
type Seat struct {
	Member   lamppost.MemberID
	Key      ed25519.PrivateKey // of the member; Founders has the public half
	Founders []lamppost.Member  // with whom the network begins; who joins later is not among them
	Dir      string             // for the engine's own files
	App      consensus.App      // implements consensus.Snapshotter too
	View     consensus.View
	Now      func() lamppost.TimeMS
	Listen   string                                  // an address on loopback, for the engine's one listener
	Address  func(to lamppost.MemberID) (tcp string) // where this seat reaches another: a link that the suite can cut
}

// A Network says how engines of several members are made, and what they can do.
type Network struct {
	// Open is Factory.Open for a seat. After Run has ended, the same seat is opened again with the same folder and address.
	Open func(t testing.TB, s Seat) consensus.Engine
	// Size is how many members a network has that outlives the loss of one.
	Size int
	// Gap is the longest time without an answer after the loss of a leader.
	Gap time.Duration

	Snapshots bool // a replica that is too far behind gets a snapshot
	Changes   bool // members change by Last.Members
	Forgets   bool // what the App lets the engine forget leaves its files soon
}

// Cluster checks what the members of a network promise each other, each part on a fresh network.
func Cluster(t *testing.T, f Network) {
	for name, check := range map[string]func(*cluster){
		"Order":            order,
		"LeaderKilled":     leaderKilled,
		"Partition":        partition,
		"FollowerRestarts": followerRestarts,
		"AllRestart":       allRestart,
		"RetryElsewhere":   retryElsewhere,
		"DroppedElsewhere": droppedElsewhere,
		"OtherRoot":        otherRoot,
		"ErrorInFollower":  func(c *cluster) { errorInOne(c, false) },
		"ErrorInLeader":    func(c *cluster) { errorInOne(c, true) },
		"Stream":           stream,
		"LateMember":       lateMember,
		"LateWaiter":       lateWaiter,
		"Members":          members,
		"LeaderLeaves":     leaderLeaves,
		"Forgotten":        forgotten,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(newCluster(t, f))
		})
	}
}

// A cluster is a network of nodes and the links between them.
type cluster struct {
	t     *testing.T
	f     Network
	nodes []*node // in the order of names
	links map[[2]lamppost.MemberID]*link

	forgets bool
}

// newCluster makes a network that is not started. There is one more seat than founders, for who joins later.
func newCluster(t *testing.T, f Network) *cluster {
	c := &cluster{t: t, f: f, links: map[[2]lamppost.MemberID]*link{}}
	var names []string
	listen := map[lamppost.MemberID]string{}
	for i := range f.Size + 1 {
		names = append(names, string(rune('a'+i)))
		listen[c.name(i)] = FreeAddress(t)
	}
	for i := range names {
		for j := range names {
			if i != j {
				c.links[[2]lamppost.MemberID{c.name(i), c.name(j)}] = newLink(t, listen[c.name(j)])
			}
		}
		c.nodes = append(c.nodes, c.newNode(i, membersOf(names[:f.Size]...), listen[c.name(i)]))
	}
	return c
}

func (c *cluster) name(i int) lamppost.MemberID { return lamppost.MemberID(rune('a' + i)) }

func (c *cluster) newNode(i int, founders []lamppost.Member, listen string) *node {
	me := c.name(i)
	open := func(t testing.TB, dir string, app consensus.App, view consensus.View, now func() lamppost.TimeMS) consensus.Engine {
		app.(*chain).forgets = c.forgets
		return c.f.Open(t, Seat{Member: me, Key: memberKey(me), Founders: founders, Dir: dir, App: app, View: view, Now: now, Listen: listen,
			Address: func(to lamppost.MemberID) string {
				if l := c.links[[2]lamppost.MemberID{me, to}]; l != nil {
					return l.door.Addr().String()
				}
				return ""
			}})
	}
	return &node{t: c.t, f: Factory{Open: open}, dir: c.t.TempDir(), disk: newDisk(),
		clock: func() lamppost.TimeMS { return lamppost.TimeMS(time.Now().UnixMilli()) }}
}

// start starts the founders, and stops whoever runs at the end of the test.
func (c *cluster) start() []*node {
	founders := c.nodes[:c.f.Size]
	for _, n := range founders {
		n.start(nil)
	}
	c.t.Cleanup(c.stop)
	return founders
}

func (c *cluster) stop() {
	for _, n := range c.nodes {
		if n.cancel != nil {
			n.cancel()
		}
	}
	for _, n := range c.nodes {
		if n.ended != nil {
			n.wait()
		}
	}
}

// isolate cuts a node off from all others, or joins it again.
func (c *cluster) isolate(n *node, cut bool) {
	me := c.name(slices.Index(c.nodes, n))
	for pair, l := range c.links {
		if pair[0] == me || pair[1] == me {
			l.set(cut)
		}
	}
}

// kill ends a node as a power cut does for the others: nothing is said any more.
func (c *cluster) kill(n *node) {
	c.isolate(n, true)
	n.cancel()
	n.wait()
	c.isolate(n, false)
}

// leader returns the node that leads, by the word of one of those given; where no member leads, the first.
func (c *cluster) leader(of []*node) *node {
	c.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		for _, n := range of {
			s := n.engine.Status()
			if s.Role == "leader" && s.Leader == c.name(slices.Index(c.nodes, n)) {
				return n
			}
			if s.Leader == "" && s.Role == "validator" {
				return of[0]
			}
		}
	}
	c.t.Fatal("nobody leads")
	return nil
}

func without(all []*node, n *node) []*node {
	return slices.DeleteFunc(slices.Clone(all), func(o *node) bool { return o == n })
}

// agree waits until all nodes have the same blocks, at the same heights and times, empty ones aside, and the same root.
func (c *cluster) agree(nodes ...*node) {
	c.t.Helper()
	var want []string
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		same := true
		for _, n := range nodes {
			got := n.blocks()
			if n == nodes[0] {
				want = got
			}
			same = same && slices.Equal(got, want)
		}
		if same {
			break
		}
		if time.Now().After(end) {
			for _, n := range nodes {
				c.t.Logf("%s: %d blocks, %+v", n.dir, len(n.blocks()), n.engine.Status())
			}
			c.t.Fatal("the replicas do not come to agree")
		}
	}
}

// blocks tells of every block that is not empty, and of the root, to compare.
func (n *node) blocks() (all []string) {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	for _, b := range n.disk.blocks {
		if !b.Empty() {
			all = append(all, fmt.Sprintf("%d at %d: %x", b.Height, b.Time, b.Txs))
		}
	}
	return append(all, n.disk.last.Root.String())
}

// offer proposes at a node until an answer comes, also where it does not lead, or is stopped for a while.
func offer(ctx context.Context, to *node, id lamppost.TxID, raw []byte) (consensus.Decision, error) {
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		d, err := to.engine.Propose(ctx, id, raw)
		var elsewhere *consensus.NotLeaderError
		again := errors.Is(err, consensus.ErrStopped) || errors.Is(err, consensus.ErrBusy) || errors.As(err, &elsewhere)
		if !again || ctx.Err() != nil || time.Now().After(end) {
			return d, err
		}
	}
}

// A load proposes in several goroutines until it is stopped, and notes when answers came.
type load struct {
	stop context.CancelFunc
	wait sync.WaitGroup

	mu      sync.Mutex
	answers map[lamppost.TxID]consensus.Decision
	last    time.Time
	longest time.Duration // between two answers, from the first on
}

// load begins with proposals at each node from one caller that has no other; name tells loads apart.
func (c *cluster) load(name string, nodes ...*node) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{stop: cancel, answers: map[lamppost.TxID]consensus.Decision{}}
	for who, n := range nodes {
		l.wait.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				id, raw := tx(fmt.Sprint(name, who, "-", i), takes, fmt.Sprint(i))
				d, err := offer(ctx, n, id, raw)
				if err == nil {
					l.note(id, d)
				} else if ctx.Err() == nil {
					c.t.Errorf("Propose = %v under load", err)
				}
			}
		})
	}
	c.t.Cleanup(func() { cancel(); l.wait.Wait() })
	return l
}

func (l *load) note(id lamppost.TxID, d consensus.Decision) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if !l.last.IsZero() {
		l.longest = max(l.longest, now.Sub(l.last))
	}
	l.last = now
	l.answers[id] = d
}

// until waits for so many answers.
func (l *load) until(c *cluster, count int) {
	c.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		l.mu.Lock()
		have := len(l.answers)
		l.mu.Unlock()
		if have >= count {
			return
		}
		if time.Now().After(end) {
			for _, n := range c.nodes {
				if n.ended != nil && n.failed() {
					c.t.Logf("%s: Run = %v", n.dir, n.wait())
				}
			}
			c.t.Fatalf("%d answers came, want %d", have, count)
		}
	}
}

// end stops a load and wants every answer to be what a node decided, once.
func (l *load) end(c *cluster, n *node) {
	c.t.Helper()
	l.stop()
	l.wait.Wait()
	for id, d := range l.answers {
		c.agreeOn(id, true, []*node{n})
		if want, ok := n.chain.Decided(id); !ok || !reflect.DeepEqual(d, want) {
			c.t.Errorf("%x was answered with %+v; decided is %+v (%v)", id[:4], d, want, ok)
		}
	}
}
