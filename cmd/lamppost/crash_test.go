package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
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
	"github.com/lamppost/lamppost/device"
	"github.com/lamppost/lamppost/device/devicemqtt"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/archive/dir"
	"github.com/lamppost/lamppost/internal/consensus/consensustest"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/kv/pebble"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/internal/tilelog"
	"github.com/lamppost/lamppost/sig"
	"golang.org/x/mod/sumdb/tlog"
)

var kills = flag.Int("kills", 6, "how often TestCrash kills the node")

// TestCrash kills a serving process with SIGKILL at random moments while devices report over MQTT, and claims are
// transferred and invoices ordered over HTTP. Afterwards: every acknowledged report, transfer and invoice is in the archive exactly once,
// nothing is there twice, invoice numbers have no gap, every checkpoint that was ever seen is a prefix of the final log, balances sum to zero, and a replay
// of all blocks gives the same state.
//
// A longer run: go test ./cmd/lamppost -run TestCrash -kills 120 -timeout 30m
func TestCrash(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	c := &crash{t: t, dir: t.TempDir(), rnd: rand.New(rand.NewPCG(seed, 1)), acked: map[string]bool{}, paid: map[string]bool{}, billed: map[string]bool{}}
	c.http, c.mqtt = consensustest.FreeAddress(t), consensustest.FreeAddress(t)
	c.start()
	c.setUp()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, id := range []lamppost.DeviceID{"meter-a", "meter-b", "meter-c"} {
		wg.Go(func() { c.device(ctx, id) })
	}
	wg.Go(func() { c.transfers(ctx) })
	wg.Go(func() { c.invoices(ctx) })
	for range *kills {
		time.Sleep(time.Duration(50+c.rnd.IntN(400)) * time.Millisecond) // the moment is the test
		c.watch()
		c.kill()
		c.start()
		c.watch()
	}
	cancel()
	wg.Wait()
	c.watch()
	c.stop()
	c.check()
}

type crash struct {
	t          *testing.T
	dir        string
	rnd        *rand.Rand
	http, mqtt string
	inside     []string      // command that runs it somewhere else; empty: it runs here
	flags      []string      // further ones of serve
	tls        *tls.Config   // for who calls its doors; nil: they are open
	people     *http.Client  // who calls them; nil: one with patience
	doors      string        // MQTT addresses of all members, for devices that log in by their keys; empty: this node's
	pace       time.Duration // between the reports of a device
	token      string
	cmd        *exec.Cmd
	errs       *bytes.Buffer // what it says in its log, to be read when it has ended

	mu    sync.Mutex
	acked map[string]bool // report ids
	paid  map[string]bool // memos of transfers
	// numbers of invoices
	billed map[string]bool
	seen   []lamppost.Checkpoint
	acks   []ackAt // in order
}

// An ackAt is when a device was acknowledged a report.
type ackAt struct {
	at time.Time
	id lamppost.DeviceID
}

// start runs `lamppost serve` and waits until it answers.
func (c *crash) start() {
	args := slices.Concat(c.inside, []string{os.Args[0], "serve", "--data", c.dir, "--http", c.http, "--mqtt", c.mqtt}, c.flags)
	c.cmd = exec.Command(args[0], args[1:]...)
	c.cmd.Env = append(os.Environ(), asProgram+"=1")
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	errs := new(bytes.Buffer)
	c.cmd.Stderr, c.errs = errs, errs
	if err := c.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	ready := make(chan bool, 1)
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), "Next:") {
				ready <- true
			}
		}
		ready <- false
	}()
	late := time.AfterFunc(2*time.Minute, func() { c.cmd.Process.Signal(syscall.SIGQUIT) }) // which prints its goroutines
	defer late.Stop()
	if !<-ready {
		c.cmd.Wait()
		c.t.Fatalf("the node did not start:\n%s", errs.String())
	}
	if c.token == "" {
		raw, err := os.ReadFile(filepath.Join(c.dir, "admin.token"))
		if err != nil {
			c.t.Fatal(err)
		}
		c.token = strings.TrimSpace(string(raw))
	}
}

func (c *crash) kill() {
	c.cmd.Process.Kill()
	c.cmd.Wait()
}

func (c *crash) stop() {
	c.cmd.Process.Signal(os.Interrupt)
	late := time.AfterFunc(time.Minute, func() { c.cmd.Process.Signal(syscall.SIGQUIT) }) // which prints its goroutines
	defer late.Stop()
	if err := c.cmd.Wait(); err != nil {
		c.t.Errorf("an interrupted node ended with %v, want exit status 0:\n%s", err, c.errs)
	}
}

func (c *crash) url() string {
	if c.tls != nil {
		return "https://" + c.http
	}
	return "http://" + c.http
}

func (c *crash) client() *http.Client {
	if c.people == nil {
		return &http.Client{Timeout: 20 * time.Second}
	}
	return c.people
}

// ask calls the API; ok is false where the node is down or busy.
func (c *crash) ask(method, path string, body, answer any) (ok bool, code string) {
	raw, err := json.Marshal(body)
	if err != nil {
		c.t.Error(err)
		return false, ""
	}
	req, err := http.NewRequest(method, c.url()+path, bytes.NewReader(raw))
	if err != nil {
		c.t.Error(err)
		return false, ""
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.client().Do(req)
	if err != nil {
		return false, ""
	}
	defer resp.Body.Close()
	raw, err = io.ReadAll(resp.Body)
	if err != nil {
		return false, ""
	}
	if resp.StatusCode >= 300 {
		var e struct{ Code, Text string }
		json.Unmarshal(raw, &e)
		return false, e.Code + ": " + e.Text
	}
	return answer == nil || json.Unmarshal(raw, answer) == nil, ""
}

func (c *crash) must(method, path string, body, answer any) {
	c.t.Helper()
	if ok, code := c.ask(method, path, body, answer); !ok {
		c.t.Fatalf("%s %s: %s", method, path, code)
	}
}

func (c *crash) setUp() {
	type m = map[string]string
	c.must("POST", "/api/parties", m{"id": "ann", "name": "Ann", "credit_limit": "1000000.00"}, nil)
	c.must("POST", "/api/parties", m{"id": "ben", "name": "Ben"}, nil)
}

// device reports as fast as it is acknowledged, through the real SDK, which sends what was not acknowledged again.
func (c *crash) device(ctx context.Context, id lamppost.DeviceID) {
	var added struct{ Token string }
	for ok := false; !ok && ctx.Err() == nil; {
		if ok, _ = c.ask("POST", "/api/devices", map[string]string{"id": string(id), "owner": "ann", "safety": "ordinary"}, &added); !ok {
			if ok, _ = c.ask("POST", "/api/devices/"+string(id)+"/token", nil, &added); !ok {
				time.Sleep(10 * time.Millisecond)
			}
		}
	}
	dir := c.t.TempDir()
	key, err := device.LoadOrCreateKey(dir, sig.EdDSA)
	if err != nil {
		c.t.Error(err)
		return
	}
	var who device.Enrolled
	for {
		if who, err = device.Enrol(ctx, device.Enrolment{URL: c.url(), Device: id, Token: added.Token, Key: key, Dir: dir, Client: c.client()}); err == nil {
			break
		}
		if ctx.Err() != nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	doors, word := "mqtt://"+c.mqtt, added.Token
	if c.doors != "" {
		doors = c.doors
		if word, err = lamppost.Login(network, id, who.KeyEpoch, key); err != nil {
			c.t.Error(err)
			return
		}
	}
	sender, err := devicemqtt.Open(devicemqtt.Config{URL: doors, Device: id, Token: word, TLS: c.tls,
		MinBackoff: 5 * time.Millisecond, MaxBackoff: 50 * time.Millisecond})
	if err != nil {
		c.t.Error(err)
		return
	}
	defer sender.Close()
	d, err := device.Open(device.Config{Network: who.Network, ID: id, Key: key, KeyEpoch: who.KeyEpoch, Dir: dir,
		Sender: &ackNoter{sender, c, id}, Durability: device.SyncNumbers, SendTimeout: 5 * time.Second, MinBackoff: 5 * time.Millisecond, MaxBackoff: 50 * time.Millisecond,
		OnRefused: func(r device.Refused) { c.t.Errorf("a good report of %q was refused: %+v", id, r) }})
	if err != nil {
		c.t.Error(err)
		return
	}
	var wg sync.WaitGroup
	wg.Go(func() { d.Run(ctx) })
	for n := int64(0); ctx.Err() == nil; n++ {
		_, err := d.Report(lamppost.Reading{Name: "energy", Unit: "Wh", Kind: lamppost.Register, Value: lamppost.Dec(n, 0)})
		if err != nil {
			time.Sleep(5 * time.Millisecond) // the queue is full while the node is down
		}
		time.Sleep(max(c.pace, time.Millisecond))
	}
	wg.Wait()
	d.Close()
}

// ackNoter notes what was acknowledged.
type ackNoter struct {
	device.Sender
	c  *crash
	id lamppost.DeviceID
}

func (w *ackNoter) Send(ctx context.Context, report []byte) (device.Ack, error) {
	ack, err := w.Sender.Send(ctx, report)
	if err == nil && ack.Code.Accepted() {
		var r lamppost.Report
		if err := r.Decode(report); err != nil {
			w.c.t.Error(err)
		}
		w.c.mu.Lock()
		w.c.acked[r.ID(network).String()] = true
		w.c.acks = append(w.c.acks, ackAt{time.Now(), w.id})
		w.c.mu.Unlock()
	}
	return ack, err
}

const network = "lamppost" // what serve founds by default

// transfers moves claims and notes which were confirmed.
func (c *crash) transfers(ctx context.Context) {
	for n := 0; ctx.Err() == nil; n++ {
		memo := fmt.Sprintf("payment %d", n)
		ok, _ := c.ask("POST", "/api/transfers", map[string]string{"from": "ann", "to": "ben", "currency": "EUR", "amount": "0.01", "memo": memo}, nil)
		if ok {
			c.mu.Lock()
			c.paid[memo] = true
			c.mu.Unlock()
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// watch notes the latest checkpoint.
func (c *crash) watch() {
	var status struct {
		Log struct{ Checkpoint string }
	}
	if ok, _ := c.ask("GET", "/api/status", nil, &status); !ok || status.Log.Checkpoint == "" {
		return
	}
	text, _, _ := strings.Cut(status.Log.Checkpoint, "\n\n")
	cp, err := lamppost.ParseCheckpoint(text + "\n")
	if err != nil {
		c.t.Errorf("a checkpoint cannot be read: %v", err)
		return
	}
	c.seen = append(c.seen, cp)
}

// check reads the folder of the stopped node.
func (c *crash) check() {
	store, err := pebble.Open(filepath.Join(c.dir, "db"), pebble.Options{})
	if err != nil {
		c.t.Fatal(err)
	}
	defer store.Close()
	c.checkArchive(store)
	files := tilelog.FS{FS: os.DirFS(filepath.Join(c.dir, "log"))}
	for _, cp := range c.seen {
		last := c.seen[len(c.seen)-1]
		tree := tilelog.NewTree(files, last.Size, tlog.Hash(last.Root))
		if root, err := tree.RootAt(cp.Size); err != nil || lamppost.Hash(root) != cp.Root {
			c.t.Errorf("checkpoint of size %d with root %s was seen; the log now has %v there (%v)", cp.Size, cp.Root, root, err)
		}
	}
	found, err := replica.Fsck(context.Background(), bodies(c.t, c.dir, store), files, func(_, _ lamppost.Height) {})
	if err != nil {
		c.t.Fatal(err)
	}
	for _, f := range found.Faults {
		c.t.Errorf("fsck: %s: %s", f.Where, f.What)
	}
	c.t.Logf("%d kills, height %d, %d reports acknowledged, %d transfers and %d invoices confirmed, %d checkpoints seen",
		*kills, found.Height, len(c.acked), len(c.paid), len(c.billed), len(c.seen))
	if len(c.acked) == 0 || len(c.paid) == 0 || c.billed != nil && len(c.billed) == 0 || len(c.seen) == 0 {
		c.t.Error("the test did not get to acknowledge, confirm and publish anything")
	}
}

// bodies reads what is kept in a folder, also in packs.
func bodies(t *testing.T, folder string, store kv.Store) archive.View {
	objects, err := dir.Open(filepath.Join(folder, "archive"))
	if err != nil {
		t.Fatal(err)
	}
	packs, err := archive.NewPacks(store, objects)
	if err != nil {
		t.Fatal(err)
	}
	return archive.View{Reader: store, Packs: packs}
}

// silence is the longest time in a span in which nobody was acknowledged anything, and in which some device was not. What comes after
// the last acknowledgement does not count.
func (c *crash) silence(from, to time.Time) (all, one time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if end := c.acks[len(c.acks)-1].at; end.Before(to) {
		to = end
	}
	last, each := from, map[lamppost.DeviceID]time.Time{}
	for _, a := range c.acks {
		each[a.id] = from
	}
	for _, a := range c.acks {
		if a.at.After(from) && a.at.Before(to) {
			all, one = max(all, a.at.Sub(last)), max(one, a.at.Sub(each[a.id]))
			last, each[a.id] = a.at, a.at
		}
	}
	for _, at := range each {
		one = max(one, to.Sub(at))
	}
	return max(all, to.Sub(last)), one
}

// checkArchive counts every report and transfer that was accepted, and returns where the transfers stand, by memo.
func (c *crash) checkArchive(store kv.Store) map[string]ledger.Place {
	reports, memos, places := map[string]int{}, map[string]int{}, map[string]ledger.Place{}
	bills := ledgerOfBills{c: c, found: map[string]int{}}
	view := bodies(c.t, c.dir, store)
	for h := lamppost.Height(1); ; h++ {
		blk, err := view.Block(h)
		if errors.Is(err, archive.ErrAbsent) {
			break
		}
		if err != nil {
			c.t.Fatal(err)
		}
		for i := range blk.Count {
			rec, err := view.Tx(h, i)
			if err != nil {
				c.t.Fatal(err)
			}
			tx, err := lamppost.ParseTransaction(rec.Raw)
			if err != nil {
				c.t.Fatal(err)
			}
			for j := range tx.Items {
				var r lamppost.Report
				if err := r.Decode(tx.Items[j].Report); err != nil {
					c.t.Fatal(err)
				}
				if rec.Outcomes[j].Code == lamppost.CodeOK {
					reports[r.ID(network).String()]++
				}
			}
			if tx.Type == lamppost.TxInvoice {
				bills.see(&rec)
			}
			var b lamppost.TransferBody
			if tx.Type == lamppost.TxTransfer && rec.Outcomes[0].Code == lamppost.CodeOK && lamppost.Unmarshal(tx.Order.Body, &b) == nil {
				memos[b.Memo]++
				places[b.Memo] = ledger.Place{Height: h, Index: i}
			}
		}
	}
	c.compare("report", c.acked, reports)
	c.compare("transfer", c.paid, memos)
	c.compare("invoice", c.billed, bills.found)
	return places
}

func (c *crash) compare(what string, promised map[string]bool, found map[string]int) {
	for id := range promised {
		if found[id] == 0 {
			c.t.Errorf("%s %q was confirmed and is lost", what, id)
		}
	}
	for id, n := range found {
		if n > 1 {
			c.t.Errorf("%s %q was accepted %d times", what, id, n)
		}
	}
}
