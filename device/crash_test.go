package device_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/device"
	"github.com/lamppost/lamppost/sig"
)

const network = "testnet"

func testKey(t testing.TB) *sig.PrivateKey {
	t.Helper()
	key, err := sig.NewPrivateKey(sig.EdDSA, bytes.Repeat([]byte{7}, sig.SeedSize))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// testConfig has a clock that moves a second a call, so that two reports are never equal by accident.
func testConfig(t testing.TB) device.Config {
	var mu sync.Mutex
	now := time.UnixMilli(1_700_000_000_000)
	return device.Config{Network: network, ID: "meter-1", Key: testKey(t), KeyEpoch: 1, Rand: rand.New(rand.NewPCG(1, 2)),
		Now: func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			now = now.Add(time.Second)
			return now
		}}
}

func energy(n int64) lamppost.Reading {
	return lamppost.Reading{Name: "energy", Unit: "Wh", Kind: lamppost.Register, Value: lamppost.Dec(n, 0)}
}

// A ledger is a Sender that keeps the network's side of the promises: every number it sees belongs to one report only.
type ledger struct {
	mu      sync.Mutex
	reports map[lamppost.Seq][]byte
	reused  []lamppost.Seq
	answer  func(seq lamppost.Seq, n int) (device.Ack, error) // nil: commits; n counts the attempts at this number
	tries   map[lamppost.Seq]int
	order   []lamppost.Seq
	at      int // which of three members is talked to; the first may lie
	lies    bool
}

func newLedger() *ledger {
	return &ledger{reports: make(map[lamppost.Seq][]byte), tries: make(map[lamppost.Seq]int)}
}

func (l *ledger) Send(_ context.Context, raw []byte) (device.Ack, error) {
	var r lamppost.Report
	if err := r.Decode(raw); err != nil {
		return device.Ack{}, fmt.Errorf("a report that cannot be read: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.order = append(l.order, r.Seq)
	l.tries[r.Seq]++
	if old := l.reports[r.Seq]; old != nil && !bytes.Equal(old, raw) {
		l.reused = append(l.reused, r.Seq)
	}
	server := fmt.Sprint("member ", l.at)
	if l.lies && l.at == 0 && r.Seq.N%2 == 1 { // acknowledges and drops
		return device.Ack{Code: lamppost.CodeOK, Height: 7, Server: server}, nil
	}
	l.reports[r.Seq] = bytes.Clone(raw)
	if l.answer != nil {
		return l.answer(r.Seq, l.tries[r.Seq])
	}
	return device.Ack{Code: lamppost.CodeOK, ID: r.ID(network), Height: 7, Server: server}, nil
}

func (l *ledger) Members() int { return 3 }

func (l *ledger) Elsewhere(server string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if server == "" || server == fmt.Sprint("member ", l.at) {
		l.at = (l.at + 1) % 3
	}
}

// Prove shows what of some reports was committed.
func (l *ledger) Prove(_ context.Context, seqs []lamppost.Seq) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var shown []string
	for _, s := range seqs {
		var r lamppost.Report
		if raw := l.reports[s]; raw != nil && r.Decode(raw) == nil {
			shown = append(shown, fmt.Sprintf("%d/%d/%s", s.Epoch, s.N, r.ID(network)))
		}
	}
	return json.Marshal(shown)
}

// life runs a device on a disk until the power fails or all is done: it reports, bills, delivers half way and at the end.
// It returns the numbers whose Report returned, which is what must not be lost.
func life(t *testing.T, cfg device.Config, disk *memDisk, l *ledger, reports int) (queued []lamppost.Seq, alive bool) {
	cfg.Sender = l
	d, err := device.OpenOn(cfg, disk)
	if err != nil {
		return nil, notPower(t, err)
	}
	b, err := d.Billing("energy", "Wh", nil)
	if err != nil {
		return nil, notPower(t, err)
	}
	day := lamppost.TimeMS(19_700 * 24 * 3600 * 1000)
	for i := range reports {
		seq, err := d.Report(energy(int64(disk.calls)*1000 + int64(i)))
		if err != nil {
			return queued, notPower(t, err)
		}
		queued = append(queued, seq)
		if err := b.Observe(day+lamppost.TimeMS(i)*24*3600*1000, lamppost.Dec(int64(i), 0)); err != nil {
			return queued, notPower(t, err)
		}
		if i == reports/2 && !deliver(t, d) {
			return queued, false
		}
	}
	if !deliver(t, d) {
		return queued, false
	}
	if err := d.Close(); err != nil {
		return queued, notPower(t, err)
	}
	return queued, true
}

// notPower fails the test on an error that is not the power's, and returns that the device is not alive.
func notPower(t *testing.T, err error) bool {
	t.Helper()
	if !errors.Is(err, errPower) {
		t.Fatalf("got %v, want only the power to fail", err)
	}
	return false
}

// deliver runs the device until its queue is empty, and reports whether the power held.
func deliver(t *testing.T, d *device.Device) bool {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { defer cancel(); ran <- d.Run(ctx) }()
	drained := d.Drain(ctx)
	cancel()
	if err := <-ran; err != nil {
		return notPower(t, err)
	}
	if drained != nil {
		t.Fatalf("draining: %v", drained)
	}
	return true
}

// TestPowerLoss takes the power away at every single write, sync, truncation, rename and creation in a device's life, in
// several ways each, lets it start again, and again takes the power away, and then lets it finish. Throughout, no number
// may stand for two reports; in the end, the network has everything that Report returned for (SyncEvery), and a power
// loss has skipped no more numbers than promised. In a network whose members may lie, one of them acknowledges every other report and
// drops it, and all the same holds.
func TestPowerLoss(t *testing.T) {
	t.Parallel()
	for _, durability := range []device.Durability{device.SyncEvery, device.SyncNumbers} {
		for way := range lossWays {
			t.Run(fmt.Sprintf("durability=%d way=%d", durability, way), func(t *testing.T) {
				t.Parallel()
				cfg := testConfig(t)
				cfg.Durability = durability
				for failAt := 0; !powerLoss(t, cfg, way, failAt); failAt++ {
				}
			})
			t.Run(fmt.Sprintf("durability=%d way=%d liar", durability, way), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { // on a clock that does not wait
					cfg := device.Doubting(testConfig(t), readProof)
					cfg.Durability = durability
					for failAt := 0; !powerLoss(t, cfg, way, failAt); failAt++ {
					}
				})
			})
		}
	}
}

// powerLoss reports whether the first life ended before the power would have failed.
func powerLoss(t *testing.T, cfg device.Config, way, failAt int) bool {
	random := rand.New(rand.NewPCG(uint64(way), uint64(failAt)))
	l, disk := newLedger(), newMemDisk()
	l.lies = cfg.Pin != nil
	disk.failAt = failAt
	promised, alive := life(t, cfg, disk, l, 5)
	for range 2 { // the second loss comes early in the next life, while things are mended
		disk = disk.lose(way, random)
		disk.failAt = random.IntN(25)
		more, _ := life(t, cfg, disk, l, 3)
		promised = append(promised, more...)
	}
	disk = disk.lose(way, random)
	last, ok := life(t, cfg, disk, l, 3)
	if !ok {
		t.Fatalf("power lost at call %d: the last life failed without a power loss", failAt)
	}
	checkLedger(t, cfg, l, append(promised, last...), failAt)
	return alive
}

func checkLedger(t *testing.T, cfg device.Config, l *ledger, promised []lamppost.Seq, failAt int) {
	t.Helper()
	if len(l.reused) > 0 {
		t.Fatalf("power lost at call %d: numbers %v stand for two reports", failAt, l.reused)
	}
	highest, seen := uint64(0), make(map[lamppost.Seq]bool)
	for _, seq := range promised {
		if seen[seq] {
			t.Fatalf("power lost at call %d: number %v was given out twice", failAt, seq)
		}
		seen[seq] = true
		highest = max(highest, seq.N)
		if cfg.Durability == device.SyncEvery && l.reports[seq] == nil {
			t.Fatalf("power lost at call %d: report %v was queued and never arrived", failAt, seq)
		}
	}
	// Three losses skip at most twice the reservation each; all else is used or was lost with its report.
	if limit := uint64(3*2*device.ReserveAhead + 40); highest > limit {
		t.Fatalf("power lost at call %d: number %d was reached, want at most %d", failAt, highest, limit)
	}
	checkBilledOnce(t, l, failAt)
}

// checkBilledOnce: a day's billing report keeps its number and bytes over crashes, so no day has two.
func checkBilledOnce(t *testing.T, l *ledger, failAt int) {
	t.Helper()
	days := make(map[lamppost.TimeMS]lamppost.Seq)
	for seq, raw := range l.reports {
		var r lamppost.Report
		if err := r.Decode(raw); err != nil {
			t.Fatal(err)
		}
		if !r.Billing() {
			continue
		}
		day := r.Readings[0].Time
		if other, ok := days[day]; ok {
			t.Fatalf("power lost at call %d: the day %d has billing reports %v and %v", failAt, day, other, seq)
		}
		days[day] = seq
	}
	if len(days) == 0 {
		t.Fatalf("power lost at call %d: no billing report at all", failAt)
	}
}
