package consensustest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/lamppost/lamppost/internal/consensus"
)

// many commits so many blocks, one by one.
func (c *cluster) many(name string, count int, at *node) {
	c.t.Helper()
	for i := range count {
		id, raw := tx(fmt.Sprint(name, i), takes, strings.Repeat("x", 16<<10)) // more than an engine keeps in one piece
		if a := at.propose(context.Background(), id, raw)(); a.err != nil {
			c.t.Fatalf("Propose = %v", a.err)
		}
	}
}

// forget commits blocks, one by one, until no engine has any more what was there before.
func (c *cluster) forget(name string, nodes []*node) {
	c.t.Helper()
	before := nodes[0].chain.Last().Cursor
	end := time.Now().Add(3 * patience)
	for i := 0; ; i++ {
		c.many(fmt.Sprint(name, i), 2, nodes[0])
		done := true
		for _, n := range nodes {
			done = done && n.engine.(consensus.Forgetter).Forgotten() > before
		}
		if done {
			return
		}
		if time.Now().After(end) {
			c.t.Fatal("the engines keep all blocks, though they are to be forgotten")
		}
	}
}

// seat orders who the members are.
func (c *cluster) seat(name, list string, at *node) {
	c.t.Helper()
	id, raw := tx(name, seats, list)
	if a := at.propose(context.Background(), id, raw)(); a.err != nil {
		c.t.Fatalf("Propose of the members %q = %v", list, a.err)
	}
}

// list names the first members.
func (c *cluster) list(count int) (names string) {
	for i := range count {
		names += string(c.name(i)) + " "
	}
	return names
}

// A member that joins when the others have forgotten the beginning gets a snapshot, and the rest block by block.
func lateMember(c *cluster) {
	if !c.f.Snapshots || !c.f.Changes {
		c.t.Skip("this engine hands over no snapshots, or changes no members")
	}
	c.forgets = true
	nodes := c.start()
	c.forget("before", nodes)
	late := c.nodes[c.f.Size]
	late.start(nil)
	c.seat("four", c.list(c.f.Size+1), nodes[0])
	c.many("after", 10, nodes[1])
	c.agree(c.nodes...)
	if late.chain.restored.Load() == 0 {
		c.t.Error("the late member was given every block, though they were to be forgotten")
	}
	id, raw := tx("through the late one", takes, "")
	if a := late.propose(context.Background(), id, raw)(); a.err != nil {
		c.t.Errorf("Propose at the late member = %v", a.err)
	}
	c.agree(c.nodes...)
}

// A caller at a member that was cut off is answered though its block came within a snapshot.
func lateWaiter(c *cluster) {
	if !c.f.Snapshots {
		c.t.Skip("this engine hands over no snapshots")
	}
	c.forgets = true
	nodes := c.start()
	c.many("before", 5, nodes[0])
	cut := without(nodes, c.leader(nodes))[0]
	rest := without(nodes, cut)
	c.agree(nodes...)
	c.isolate(cut, true)
	id, raw := tx("waits", takes, "")
	wait := cut.propose(context.Background(), id, raw)
	cut.queued(1)
	if a := rest[0].propose(context.Background(), id, raw)(); a.err != nil {
		c.t.Fatalf("Propose = %v", a.err)
	}
	c.forget("meanwhile", rest)
	c.isolate(cut, false)
	cut.decided(id, wait())
	c.agree(nodes...)
	if cut.chain.restored.Load() == 0 {
		c.t.Error("no snapshot came, though the blocks were to be forgotten")
	}
}

// Members join and leave by what the App says, one loss in between; who left is not needed any more.
func members(c *cluster) {
	if !c.f.Changes {
		c.t.Skip("this engine changes no members")
	}
	nodes := c.start()
	c.seat("three", c.list(c.f.Size), nodes[0])
	late := c.nodes[c.f.Size]
	late.start(nil)
	c.seat("four", c.list(c.f.Size+1), nodes[0])
	c.kill(c.leader(nodes)) // perhaps before it has made the change
	for _, n := range nodes {
		if n.failed() {
			n.start(nil)
		}
	}
	c.agree(c.nodes...)
	leaves := without(nodes, c.leader(c.nodes))[0]
	var stay string
	for i, n := range c.nodes {
		if n != leaves {
			stay += string(c.name(i)) + " "
		}
	}
	rest := without(c.nodes, leaves)
	c.seat("three again", stay, rest[0])
	c.agree(rest...)
	c.retired(leaves)
	c.many("after", 5, late)
	c.agree(rest...)
}

// A leader that is no member any more hands over, and nobody notices.
func leaderLeaves(c *cluster) {
	if !c.f.Changes {
		c.t.Skip("this engine changes no members")
	}
	nodes := c.start()
	leaves := c.leader(nodes)
	var stay string
	for i, n := range nodes {
		if n != leaves {
			stay += string(c.name(i)) + " "
		}
	}
	rest := without(nodes, leaves)
	l := c.load("x", rest...)
	c.seat("others", stay, rest[0])
	c.retired(leaves)
	l.mu.Lock()
	have := len(l.answers)
	l.mu.Unlock()
	l.until(c, have+20)
	l.end(c, rest[0])
	c.agree(rest...)
}

// retired waits until a member that left takes nothing any more; its Run goes on until it is told to end.
func (c *cluster) retired(n *node) {
	c.t.Helper()
	end := time.Now().Add(patience)
	for i := 0; ; i++ {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		id, raw := tx(fmt.Sprint("too late", i), takes, "")
		_, err := n.engine.Propose(ctx, id, raw)
		cancel()
		if errors.Is(err, consensus.ErrStopped) {
			break
		}
		if time.Now().After(end) {
			c.t.Fatalf("Propose at a member that left = %v, want ErrStopped; %+v", err, n.engine.Status())
		}
	}
	if n.failed() {
		c.t.Errorf("Run has ended at a member that left")
	}
	n.stop()
}

// What the App has erased and lets the engine forget is soon in none of its files, at no member, though nothing more
// is proposed.
func forgotten(c *cluster) {
	if !c.f.Forgets {
		c.t.Skip("this engine does not forget")
	}
	c.forgets = true
	nodes := c.start()
	secret := "the secret that must be forgotten"
	id, raw := tx("private", takes, secret)
	if a := nodes[0].propose(context.Background(), id, raw)(); a.err != nil {
		c.t.Fatal(a.err)
	}
	c.agree(nodes...)
	for _, n := range nodes {
		if !holds(c, n.dir, secret) {
			c.t.Fatal("the engine's files do not hold what it ordered: this test looks at the wrong place")
		}
	}
	nodes[0].must("gone", erases, "private")
	for end := time.Now().Add(3 * patience); ; time.Sleep(20 * time.Millisecond) {
		left := 0
		for _, n := range nodes {
			n.engine.(consensus.Forgetter).Forgotten() // who asks makes an engine forget
			if holds(c, n.dir, secret) {
				left++
			}
		}
		if left == 0 {
			return
		}
		if time.Now().After(end) {
			c.t.Fatalf("the files of %d members still hold what was to be forgotten", left)
		}
	}
}

// holds looks for a text in all files of a folder; files may come and go meanwhile.
func holds(c *cluster, dir, text string) (found bool) {
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			var all []byte
			all, err = os.ReadFile(path)
			found = found || bytes.Contains(all, []byte(text))
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return found
}
