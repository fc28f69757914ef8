package main

import (
	"context"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv/pebble"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/internal/tilelog"
	"golang.org/x/mod/sumdb/tlog"
)

// TestGrow lets devices report over MQTT to a node that orders alone, stops it, kills `lamppost init raft` on its folder with SIGKILL at random
// moments until it has turned, starts it, lets two members join, and kills who leads with SIGKILL. What was acknowledged at any time is
// in the chain once, all members have the same log, it is the one from before, and the folder fits.
func TestGrow(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 5))
	places, dir := loopback(t, 3), t.TempDir()
	first := &crash{t: t, dir: filepath.Join(dir, "node1"), acked: map[string]bool{}, paid: map[string]bool{}, billed: map[string]bool{}, http: places[0].http, mqtt: places[0].mqtt}
	var doors []string
	for _, p := range places {
		doors = append(doors, "mqtt://"+p.mqtt)
	}
	first.doors = strings.Join(doors, ",")
	w := &crew{t: t, members: []*crash{first}}
	first.start()
	t.Cleanup(func() {
		for _, c := range w.members {
			if c.cmd.ProcessState == nil {
				c.kill()
			}
		}
	})
	first.setUp()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for _, id := range []lamppost.DeviceID{"meter-a", "meter-b"} {
		wg.Go(func() { first.device(ctx, id) })
	}
	goesOn := func() {
		t.Helper()
		before := first.count()
		w.until("devices are acknowledged", func() bool { return first.count() > before+20 })
	}
	goesOn()
	first.watch()
	first.stop()

	turn := []string{"init", "raft", "--org", "coop", "--address", places[0].engine, "--url", first.url(), "--data", first.dir, "--yes"}
	for range 6 {
		cmd := exec.Command(os.Args[0], turn...)
		cmd.Env = append(os.Environ(), asProgram+"=1")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		late := time.AfterFunc(time.Duration(rnd.IntN(400))*time.Millisecond, func() { cmd.Process.Kill() }) // the moment is the test
		cmd.Wait()
		late.Stop()
		first.start() // as it was, or turned
		goesOn()
		first.stop()
	}
	w.lamppost(turn...)
	first.start()
	goesOn()

	text, err := os.ReadFile(filepath.Join(first.dir, "network.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for i, id := range []string{"m2", "m3"} {
		c, card := w.seat(dir, id, places[i+1])
		if err := os.WriteFile(filepath.Join(c.dir, "network.yaml"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		c.start()
		w.lamppost("member", "add", card, "--data", first.dir)
		for _, other := range w.members[1:] {
			w.until("the other agrees", func() bool {
				cmd := exec.Command(os.Args[0], "member", "agree", "--data", other.dir)
				cmd.Env = append(os.Environ(), asProgram+"=1")
				return cmd.Run() == nil
			})
		}
		w.members = append(w.members, c)
		w.until("the new one takes orders", func() bool {
			ok, code := c.ask("POST", "/api/parties", map[string]string{"id": "at-" + id, "name": "Yan"}, nil)
			return ok || strings.HasPrefix(code, "exists")
		})
		goesOn()
	}
	w.until("somebody leads", func() bool { return w.leader() != nil })
	led := w.leader()
	led.kill()
	goesOn()
	led.start()
	goesOn()
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
	first.watch()
	http.DefaultClient.CloseIdleConnections()
	for _, c := range w.members {
		c.stop()
	}
	w.check(first)
	w.grown(first)
}

// grown checks the log and the folder of the one that was alone, and compares the logs of the others with it.
func (w *crew) grown(first *crash) {
	tree := first.published()
	roots := func(tree *tilelog.Tree, size int64) tlog.Hash {
		root, err := tree.RootAt(size)
		if err != nil {
			w.t.Error(err)
		}
		return root
	}
	for _, cp := range first.seen {
		if root := roots(tree, cp.Size); lamppost.Hash(root) != cp.Root {
			w.t.Errorf("a checkpoint of size %d was seen with root %v, and the log has %v there", cp.Size, cp.Root, root)
		}
	}
	for _, c := range w.members {
		other := c.published()
		if size := min(other.Size(), tree.Size()); roots(tree, size) != roots(other, size) {
			w.t.Errorf("%s has another log", filepath.Base(c.dir))
		}
	}
	store, err := pebble.Open(filepath.Join(first.dir, "db"), pebble.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	defer store.Close()
	found, err := replica.Fsck(context.Background(), bodies(w.t, first.dir, store), tilelog.FS{FS: os.DirFS(filepath.Join(first.dir, "log"))}, func(_, _ lamppost.Height) {})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range found.Faults {
		w.t.Errorf("fsck: %s: %s", f.Where, f.What)
	}
	w.t.Logf("height %d, %d reports acknowledged", found.Height, len(first.acked))
}
