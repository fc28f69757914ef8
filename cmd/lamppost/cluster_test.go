package main

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus/consensustest"
	"github.com/lamppost/lamppost/internal/kv/pebble"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/tilelog"
	"golang.org/x/mod/sumdb/tlog"
)

var clusterKills = flag.Int("clusterkills", 3, "how often TestClusterCrash kills a member")

// A crew is the members of a network, as processes. They share what devices and people were told.
type crew struct {
	t       *testing.T
	members []*crash
}

// A place is where a member runs and is found.
type place struct {
	engine, http, mqtt string // host:port
	inside, flags      []string
	tls                *tls.Config
}

// loopback gives so many members places on this machine.
func loopback(t *testing.T, n int) (all []place) {
	for range n {
		all = append(all, place{engine: consensustest.FreeAddress(t), http: consensustest.FreeAddress(t), mqtt: consensustest.FreeAddress(t)})
	}
	return all
}

// found founds a network of a member at each place and starts them.
func found(t *testing.T, engine string, places []place) *crew {
	w := &crew{t: t}
	dir := t.TempDir()
	var cards, doors []string
	for i, p := range places {
		c, card := w.seat(dir, fmt.Sprintf("m%d", i+1), p)
		cards = append(cards, card)
		doors = append(doors, strings.Replace(strings.Replace(c.url(), "http", "mqtt", 1), c.http, c.mqtt, 1))
		w.members = append(w.members, c)
	}
	file := filepath.Join(dir, "network.yaml")
	w.lamppost("init", "network", network, "--engine", engine, "--members", strings.Join(cards, ","), "--data", w.members[0].dir, "--out", file)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range w.members {
		c.doors = strings.Join(doors, ",")
		if err := os.WriteFile(filepath.Join(c.dir, "network.yaml"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		c.start()
		t.Cleanup(func() {
			if c.cmd.ProcessState == nil {
				c.kill()
			}
		})
	}
	return w
}

// seat makes the folder of a member at a place, and the file with its card.
func (w *crew) seat(dir, id string, p place) (c *crash, card string) {
	c = &crash{t: w.t, dir: filepath.Join(dir, id), acked: map[string]bool{}, paid: map[string]bool{}, billed: map[string]bool{}, http: p.http, mqtt: p.mqtt, inside: p.inside, flags: p.flags, tls: p.tls}
	text := w.lamppost("init", "member", id, "--org", "coop", "--address", p.engine, "--url", c.url(), "--data", c.dir)
	card = filepath.Join(dir, id+".yaml")
	if err := os.WriteFile(card, text, 0o600); err != nil {
		w.t.Fatal(err)
	}
	return c, card
}

func (w *crew) lamppost(args ...string) []byte {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	out, err := cmd.Output()
	if err != nil {
		w.t.Fatalf("lamppost %v: %v", args, err)
	}
	return out
}

// leader is the member that leads, or nil.
func (w *crew) leader() *crash {
	led := make([]bool, len(w.members))
	var wg sync.WaitGroup
	for i, c := range w.members {
		wg.Go(func() {
			var s struct{ Engine struct{ Role string } }
			ok, _ := c.ask("GET", "/api/status", nil, &s)
			led[i] = ok && s.Engine.Role == "leader"
		})
	}
	wg.Wait()
	if i := slices.Index(led, true); i >= 0 {
		return w.members[i]
	}
	return nil
}

// TestClusterCrash kills members of a network with SIGKILL, each third time stops one with SIGSTOP and lets it go on, under raft whoever
// leads each other time, while devices report over MQTT to any of them and invoices are ordered. Afterwards every acknowledged report and invoice is in the chain
// of every member once, numbers have no gap, and all have the same chain.
//
// A longer run: go test ./cmd/lamppost -run TestClusterCrash -clusterkills 60 -timeout 30m -v
func TestClusterCrash(t *testing.T) {
	t.Parallel()
	t.Run("raft", func(t *testing.T) { clusterCrash(t, "raft", 3) })
	t.Run("comet", func(t *testing.T) { clusterCrash(t, "comet", 4) })
}

func clusterCrash(t *testing.T, engine string, n int) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 3))
	w := found(t, engine, loopback(t, n))
	first := w.works()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, id := range []lamppost.DeviceID{"meter-a", "meter-b", "meter-c"} {
		wg.Go(func() { first.device(ctx, id) })
	}
	wg.Go(func() { first.invoices(ctx) })
	w.until("devices are acknowledged", func() bool { return first.count() > 50 })
	for i := range *clusterKills {
		c := w.members[rnd.IntN(len(w.members))]
		if l := w.leader(); i%2 == 0 && l != nil {
			c = l
		}
		kill := i%3 < 2
		if kill {
			c.kill()
		} else {
			c.cmd.Process.Signal(syscall.SIGSTOP)
		}
		before := first.count()
		w.until("devices are acknowledged by the others", func() bool { return first.count() > before+20 })
		if kill {
			c.start()
		} else {
			c.cmd.Process.Signal(syscall.SIGCONT) // it may think for a moment that it leads
		}
		time.Sleep(time.Duration(50+rnd.IntN(1500)) * time.Millisecond) // the moment is the test
	}
	before := first.count()
	w.until("devices are acknowledged", func() bool { return first.count() > before+20 })
	cancel()
	wg.Wait()
	w.until("all have the same chain", func() bool {
		heights := map[lamppost.Height]bool{}
		for _, c := range w.members {
			var s struct {
				Engine struct{ Height lamppost.Height }
			}
			c.ask("GET", "/api/status", nil, &s)
			heights[s.Engine.Height] = true
		}
		return len(heights) == 1 && !heights[0]
	})
	http.DefaultClient.CloseIdleConnections()
	size := int64(1) << 62
	for _, c := range w.members {
		c.stop()
		c.acked, c.paid, c.billed = first.acked, first.paid, first.billed
		one, _ := w.check(c)
		size = min(size, one)
	}
	roots := map[tlog.Hash]bool{}
	for _, c := range w.members {
		root, err := c.published().RootAt(size)
		if err != nil {
			t.Fatal(err)
		}
		roots[root] = true
	}
	silence, _ := first.silence(first.acks[0].at, first.acks[len(first.acks)-1].at)
	t.Logf("%d kills, %d reports and %d invoices confirmed, the longest time without an acknowledgement %v", *clusterKills, len(first.acked), len(first.billed), silence)
	if len(roots) != 1 || size < 10 {
		t.Errorf("at size %d the members have different logs: %v", size, roots)
	}
}

// works waits until the network works, and sets it up for devices.
func (w *crew) works() (first *crash) {
	first = w.members[0]
	w.until("the network works", func() bool {
		ok, code := first.ask("POST", "/api/parties", map[string]string{"id": "zoe", "name": "Zoe"}, nil)
		return ok || strings.HasPrefix(code, "exists")
	})
	first.setUp()
	return first
}

// TestMembersComeAndGo lets a fifth member into a comet network of four and takes one out, while devices report over MQTT. Nobody is
// started anew. The fifth takes part: with one of the others gone, nothing is ordered without it.
func TestMembersComeAndGo(t *testing.T) {
	t.Parallel()
	w := found(t, "comet", loopback(t, 4))
	first := w.works()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for _, id := range []lamppost.DeviceID{"meter-a", "meter-b"} {
		wg.Go(func() { first.device(ctx, id) })
	}
	goesOn := func() {
		t.Helper()
		before := first.count()
		w.until("devices are acknowledged", func() bool { return first.count() > before+10 })
	}
	goesOn()
	fifth, card := w.seat(filepath.Dir(first.dir), "m5", loopback(t, 1)[0])
	text, err := os.ReadFile(filepath.Join(first.dir, "network.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(fifth.dir, "network.yaml"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	fifth.start()
	w.members = append(w.members, fifth)
	w.lamppost("member", "add", card, "--data", first.dir)
	for _, c := range w.members[1:3] { // three of four must agree
		w.lamppost("member", "agree", "--data", c.dir)
	}
	w.until("the fifth takes orders", func() bool {
		ok, code := fifth.ask("POST", "/api/parties", map[string]string{"id": "yan", "name": "Yan"}, nil)
		return ok || strings.HasPrefix(code, "exists")
	})
	goesOn()
	w.lamppost("member", "remove", "m4", "--data", fifth.dir)
	for _, c := range w.members[:3] { // four of five
		w.lamppost("member", "agree", "--data", c.dir)
	}
	goesOn()
	w.members[3].stop()
	w.members[2].kill()
	w.members = append(w.members[:2], fifth)
	goesOn()
	cancel()
	wg.Wait()
	for _, c := range w.members {
		c.stop()
	}
}

func (c *crash) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.acked)
}

func (w *crew) until(what string, ok func() bool) {
	w.t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			for _, c := range w.members {
				var s struct{ Engine any }
				_, code := c.ask("GET", "/api/status", nil, &s)
				w.t.Logf("%s: %+v %s", filepath.Base(c.dir), s.Engine, code)
				if s.Engine == nil {
					c.kill()
					text := c.errs.String()
					w.t.Logf("its log ended with\n%s", text[max(0, len(text)-2000):])
				}
			}
			w.t.Fatalf("a minute, and not yet: %s", what)
		}
	}
}

// check reads the folder of a stopped member and returns the size of its log, and where transfers stand.
func (w *crew) check(c *crash) (int64, map[string]ledger.Place) {
	store, err := pebble.Open(filepath.Join(c.dir, "db"), pebble.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	defer store.Close()
	places := c.checkArchive(store)
	return c.published().Size(), places
}

// published is the log in a member's folder.
func (c *crash) published() *tilelog.Tree {
	raw, err := os.ReadFile(filepath.Join(c.dir, "log", "checkpoint"))
	if err != nil {
		c.t.Fatal(err)
	}
	text, _, _ := strings.Cut(string(raw), "\n\n")
	cp, err := lamppost.ParseCheckpoint(text + "\n")
	if err != nil {
		c.t.Fatal(err)
	}
	return tilelog.NewTree(tilelog.FS{FS: os.DirFS(filepath.Join(c.dir, "log"))}, cp.Size, tlog.Hash(cp.Root))
}
