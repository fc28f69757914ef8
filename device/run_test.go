package device_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/device"
	"github.com/lamppost/lamppost/sig"
)

func open(t testing.TB, cfg device.Config) *device.Device {
	t.Helper()
	d, err := device.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func report(t testing.TB, d *device.Device, n int) {
	t.Helper()
	for i := range n {
		if _, err := d.Report(energy(int64(i))); err != nil {
			t.Fatal(err)
		}
	}
}

// start runs the device and returns what stops it and waits.
func start(t testing.TB, d *device.Device) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- d.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	}
}

// TestOrderAndWindow: sends start in order of number, never more than Window at once, and the window is used in full.
func TestOrderAndWindow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig(t)
		cfg.Window = 4
		var mu sync.Mutex
		var order []uint64
		atOnce, most := 0, 0
		release := make(chan struct{})
		cfg.Sender = senderFunc(func(_ context.Context, raw []byte) (device.Ack, error) {
			seq := seqOf(t, raw)
			mu.Lock()
			order = append(order, seq.N)
			atOnce++
			most = max(most, atOnce)
			mu.Unlock()
			<-release
			mu.Lock()
			atOnce--
			mu.Unlock()
			return device.Ack{}, nil
		})
		d, err := device.OpenOn(cfg, newMemDisk())
		if err != nil {
			t.Fatal(err)
		}
		report(t, d, 40)
		stop := start(t, d)
		for left := 40; left > 0; left -= 4 {
			synctest.Wait()
			if got := d.Stats(); got.UnderWay != 4 || got.Queued != left {
				t.Fatalf("got %d under way and %d queued, want 4 and %d", got.UnderWay, got.Queued, left)
			}
			batch := order[len(order)-4:]
			slices.Sort(batch) // the four start together
			if want := uint64(40 - left + 1); batch[0] != want || batch[3] != want+3 {
				t.Fatalf("got numbers %v under way, want those from %d", batch, want)
			}
			for range 4 {
				release <- struct{}{}
			}
		}
		if err := d.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		stop()
		if most != 4 {
			t.Errorf("got %d sends at once, want 4", most)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A device that calls its reports cold says so in each, bills nothing, and has an Ed25519 key.
func TestCold(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	cfg.Dir, cfg.Cold = t.TempDir(), true
	var flags uint32
	cfg.Sender = senderFunc(func(_ context.Context, raw []byte) (device.Ack, error) {
		var r lamppost.Report
		if err := r.Decode(raw); err != nil {
			t.Error(err)
		}
		flags = r.Flags
		return device.Ack{}, nil
	})
	d := open(t, cfg)
	report(t, d, 1)
	stop := start(t, d)
	if err := d.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop()
	if flags != lamppost.FlagCold {
		t.Errorf("flags %#x, want cold", flags)
	}
	if _, err := d.Billing("energy", "Wh", nil); err == nil {
		t.Error("billing of a cold device was opened")
	}
	var err error
	cfg.Dir = t.TempDir()
	if cfg.Key, err = sig.NewPrivateKey(sig.ES256, bytes.Repeat([]byte{7}, sig.SeedSize)); err != nil {
		t.Fatal(err)
	}
	if _, err := device.Open(cfg); err == nil || !strings.Contains(err.Error(), "ed25519") {
		t.Errorf("cold with es256: %v", err)
	}
}

type senderFunc func(context.Context, []byte) (device.Ack, error)

func (f senderFunc) Send(ctx context.Context, raw []byte) (device.Ack, error) { return f(ctx, raw) }

func seqOf(t testing.TB, raw []byte) lamppost.Seq {
	var r lamppost.Report
	if err := r.Decode(raw); err != nil {
		t.Error(err)
	}
	return r.Seq
}

// TestBackoff: while the network is away, pauses double from MinBackoff to MaxBackoff with jitter of at most a half, one
// pause for the whole window; a WaitError stretches one; and all is delivered when the network is back.
func TestBackoff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig(t)
		cfg.MinBackoff, cfg.MaxBackoff, cfg.Window = time.Second, 20*time.Second, 8
		l := newLedger()
		var rounds []time.Duration // at which attempts were made
		began := time.Now()
		l.answer = func(seq lamppost.Seq, n int) (device.Ack, error) {
			if at := time.Since(began); len(rounds) == 0 || rounds[len(rounds)-1] != at {
				rounds = append(rounds, at)
			}
			switch {
			case n <= 8:
				return device.Ack{}, errors.New("no route to host")
			case n == 9:
				return device.Ack{}, &device.WaitError{After: 5 * time.Minute, Why: "starting"}
			}
			return device.Ack{Code: lamppost.CodeOK}, nil
		}
		cfg.Sender = l
		d, err := device.OpenOn(cfg, newMemDisk())
		if err != nil {
			t.Fatal(err)
		}
		report(t, d, 8)
		stop := start(t, d)
		if err := d.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		stop()
		if len(rounds) != 10 {
			t.Fatalf("got attempts at %v, want 10 rounds", rounds)
		}
		want := time.Second
		for i := 1; i < 9; i++ {
			if pause := rounds[i] - rounds[i-1]; pause < want/2 || pause > want {
				t.Errorf("pause %d: got %v, want %v to %v", i, pause, want/2, want)
			}
			want = min(2*want, 20*time.Second)
		}
		if pause := rounds[9] - rounds[8]; pause < 5*time.Minute || pause > 5*time.Minute+20*time.Second {
			t.Errorf("after a request to wait five minutes: got a pause of %v", pause)
		}
		if s := d.Stats(); s.Failures != 72 || s.Delivered != 8 || s.Queued != 0 {
			t.Errorf("got %+v, want 72 failures and 8 delivered", s)
		}
	})
}

// TestOneBadReport: a report that never gets through does not hold up the others for more than minutes.
func TestOneBadReport(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig(t)
		l := newLedger()
		began := time.Now()
		l.answer = func(seq lamppost.Seq, n int) (device.Ack, error) {
			if seq.N == 1 && time.Since(began) < time.Hour {
				return device.Ack{}, errors.New("status 500")
			}
			return device.Ack{Code: lamppost.CodeOK}, nil
		}
		cfg.Sender = l
		d, err := device.OpenOn(cfg, newMemDisk())
		if err != nil {
			t.Fatal(err)
		}
		report(t, d, 300)
		stop := start(t, d)
		for d.Stats().Queued > 1 {
			time.Sleep(time.Second)
		}
		if took := time.Since(began); took < device.BlockedAtMost || took > device.BlockedAtMost+time.Minute {
			t.Errorf("299 reports waited %v for one, want %v", took, device.BlockedAtMost)
		}
		if err := d.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		stop()
	})
}

// TestOnlyCommittedCounts: busy, not ready, an acknowledgement of another report and an error all mean "again".
func TestOnlyCommittedCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig(t)
		l := newLedger()
		l.answer = func(seq lamppost.Seq, n int) (device.Ack, error) {
			return []device.Ack{{Code: lamppost.CodeBusy}, {Code: lamppost.CodeNotReady}, {ID: lamppost.ReportID{1}},
				{Code: lamppost.CodeBadReport, ID: lamppost.ReportID{1}}, {Code: lamppost.CodeDuplicate, Height: 12}}[n-1], nil
		}
		cfg.Sender = l
		d, err := device.OpenOn(cfg, newMemDisk())
		if err != nil {
			t.Fatal(err)
		}
		report(t, d, 1)
		stop := start(t, d)
		if err := d.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		stop()
		if s := d.Stats(); s.Failures != 4 || s.Duplicates != 1 || s.Delivered != 1 || s.Height != 12 || s.Refused != 0 {
			t.Errorf("got %+v, want 4 failures and then a duplicate at height 12", s)
		}
	})
}

// TestRefused: a report refused for good leaves the queue, stands in the record with its reason and bytes, and is told.
func TestRefused(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	cfg.Dir = t.TempDir()
	var told []device.Refused
	cfg.OnRefused = func(r device.Refused) { told = append(told, r) }
	l := newLedger()
	l.answer = func(seq lamppost.Seq, n int) (device.Ack, error) {
		if seq.N == 2 {
			return device.Ack{Code: lamppost.CodeTooOld, Text: "in no gap"}, nil
		}
		return device.Ack{}, nil
	}
	cfg.Sender = l
	d := open(t, cfg)
	report(t, d, 3)
	if !deliver(t, d) {
		t.Fatal("the device failed")
	}
	if s := d.Stats(); s.Refused != 1 || s.Delivered != 2 || s.Queued != 0 {
		t.Errorf("got %+v, want 1 refused and 2 delivered", s)
	}
	text, err := os.ReadFile(filepath.Join(cfg.Dir, "refused"))
	if err != nil {
		t.Fatal(err)
	}
	var got device.Refused
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	want := l.reports[lamppost.Seq{Epoch: 1, N: 2}]
	if got.Code != "too_old" || got.Text != "in no gap" || got.N != 2 || !bytes.Equal(got.Report, want) {
		t.Errorf("got %+v, want number 2, too_old, with its bytes", got)
	}
	if len(told) != 1 || told[0].N != 2 {
		t.Errorf("OnRefused was called with %+v, want number 2 once", told)
	}
}

// TestRefusedBounded: however many reports are refused, their record stays within its limit, and the newest are in it.
func TestRefusedBounded(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	l := newLedger()
	l.answer = func(lamppost.Seq, int) (device.Ack, error) {
		return device.Ack{Code: lamppost.CodeBadReport, Text: strings.Repeat("x", 20_000)}, nil
	}
	cfg.Sender = l
	disk := newMemDisk()
	d, err := device.OpenOn(cfg, disk)
	if err != nil {
		t.Fatal(err)
	}
	report(t, d, 150)
	deliver(t, d)
	for _, name := range []string{"refused", "refused.old"} {
		f := disk.files[name]
		if f == nil || len(f.data) > device.MaxRefusedBytes || len(f.data) == 0 {
			t.Errorf("file %q is missing, empty or over %d bytes", name, device.MaxRefusedBytes)
		}
	}
	if !bytes.Contains(disk.files["refused"].data, []byte(`"n":150,`)) {
		t.Error("the last refusal is not in the record")
	}
}

// TestQueueFull: at the limit Report says so, uses no number and loses nothing; with room again it goes on.
func TestQueueFull(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	cfg.MaxReports, cfg.Sender = 3, newLedger()
	d, err := device.OpenOn(cfg, newMemDisk())
	if err != nil {
		t.Fatal(err)
	}
	report(t, d, 3)
	if _, err := d.Report(energy(4)); !errors.Is(err, device.ErrQueueFull) {
		t.Fatalf("got %v, want ErrQueueFull", err)
	}
	deliver(t, d)
	if seq, err := d.Report(energy(5)); err != nil || seq.N != 4 {
		t.Errorf("got number %d, %v, want 4", seq.N, err)
	}
	if s := d.Stats(); s.Delivered != 3 || s.Queued != 1 {
		t.Errorf("got %+v, want 3 delivered and 1 queued", s)
	}
}

// TestBadReadings: readings that cannot be signed are an error that uses no number and leaves the device usable.
func TestBadReadings(t *testing.T) {
	t.Parallel()
	d, err := device.OpenOn(testConfig(t), newMemDisk())
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range [][]lamppost.Reading{nil, {{}}, {{Name: "x", Value: lamppost.Dec(1, 5)}},
		make([]lamppost.Reading, lamppost.MaxReadings+1)} {
		if _, err := d.Report(bad...); err == nil {
			t.Errorf("%d readings were taken, want an error", len(bad))
		}
	}
	if seq, err := d.Report(energy(1)); err != nil || seq.N == 0 {
		t.Errorf("got number %d, %v, want 1", seq.N, err)
	}
}

// TestRestart: an orderly stop leaves no gap, the queue is sent with the same bytes, and the boot number rises.
func TestRestart(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	cfg.Dir = t.TempDir()
	first := newLedger()
	tried := make(chan struct{}, 100)
	first.answer = func(lamppost.Seq, int) (device.Ack, error) {
		tried <- struct{}{}
		return device.Ack{}, errors.New("down")
	}
	cfg.Sender = first
	d := open(t, cfg)
	report(t, d, 5)
	stop := start(t, d)
	for range 5 {
		<-tried
	}
	stop()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	second := newLedger()
	cfg.Sender = second
	d = open(t, cfg)
	if seq, err := d.Report(energy(9)); err != nil || seq != (lamppost.Seq{Epoch: 1, N: 6}) {
		t.Fatalf("got number %v, %v, want 6 of epoch 1", seq, err)
	}
	deliver(t, d)
	for seq, raw := range first.reports {
		if !bytes.Equal(second.reports[seq], raw) {
			t.Errorf("report %v: sent with other bytes after the restart", seq)
		}
	}
	var a, b lamppost.Report
	if err := errors.Join(a.Decode(second.reports[lamppost.Seq{Epoch: 1, N: 5}]), b.Decode(second.reports[lamppost.Seq{Epoch: 1, N: 6}])); err != nil {
		t.Fatal(err)
	}
	if b.BootID != a.BootID+1 {
		t.Errorf("got boot %d after boot %d, want one more", b.BootID, a.BootID)
	}
	if !b.Verify(network, cfg.Key.Public()) || b.Device != cfg.ID || b.Readings[0].Time == 0 {
		t.Errorf("report %+v does not verify, or lacks device or time", b)
	}
}

// TestFolder: one process, one device, one numbering per folder; each mix-up has an error that says what to do.
func TestFolder(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	cfg.Dir = t.TempDir()
	d := open(t, cfg)
	report(t, d, 2)
	if _, err := device.Open(cfg); !errors.Is(err, device.ErrLocked) {
		t.Errorf("second open: got %v, want ErrLocked", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Report(energy(1)); !errors.Is(err, device.ErrClosed) {
		t.Errorf("after Close: got %v, want ErrClosed", err)
	}
	other := cfg
	other.ID = "meter-2"
	wantError(t, other, "belongs to device")
	raised := cfg
	raised.SeqEpoch = 3
	d = open(t, raised)
	if seq, err := d.Report(energy(1)); err != nil || seq != (lamppost.Seq{Epoch: 3, N: 1}) {
		t.Errorf("got %v, %v, want number 1 of epoch 3", seq, err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	wantError(t, cfg, "lies behind epoch 3")
	if err := os.Remove(filepath.Join(cfg.Dir, "numbers")); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the refusal itself must not make the second try work
		wantError(t, raised, "raise SeqEpoch")
	}
	raised.SeqEpoch = 4
	d = open(t, raised)
	if s := d.Stats(); s.Queued != 3 {
		t.Errorf("got %d reports queued, want the 3 of the old epochs", s.Queued)
	}
}

func wantError(t *testing.T, cfg device.Config, words string) {
	t.Helper()
	d, err := device.Open(cfg)
	if err == nil {
		d.Close()
	}
	if err == nil || !strings.Contains(err.Error(), words) {
		t.Errorf("got error %v, want one with %q", err, words)
	}
}

// TestRot: bytes that go bad in the queue cost the report they are in and no other, and are counted; a rotten copy of
// the numbers never brings a used one back; two rotten copies are an error.
func TestRot(t *testing.T) {
	t.Parallel()
	const reports = device.ReserveAhead + 6 // two reservations, so that each copy of the numbers is needed in turn
	whole := newMemDisk()
	cfg := testConfig(t)
	d, err := device.OpenOn(cfg, whole)
	if err != nil {
		t.Fatal(err)
	}
	report(t, d, reports)
	rot := func(name string, at ...int) *memDisk {
		disk := whole.lose(keepAll, cfg.Rand)
		for _, i := range at {
			disk.files[name].data[i] ^= 0x10
		}
		return disk
	}
	for at := 9; at < len(whole.files["queue"].data); at += 41 {
		d, err := device.OpenOn(cfg, rot("queue", at))
		if err != nil {
			t.Fatalf("queue rotten at %d: %v", at, err)
		}
		if s := d.Stats(); s.Queued != reports-1 || s.Damaged == 0 && at < len(whole.files["queue"].data)-300 {
			t.Errorf("queue rotten at %d: got %+v, want one report fewer and the damage counted", at, s)
		}
	}
	for _, at := range []int{9, 30, 4096 + 9, 4096 + 30} {
		d, err := device.OpenOn(cfg, rot("numbers", at))
		if err != nil {
			t.Fatalf("numbers rotten at %d: %v", at, err)
		}
		if seq, err := d.Report(energy(1)); err != nil || seq.N <= reports || seq.N > reports+2*device.ReserveAhead+1 {
			t.Errorf("numbers rotten at %d: got number %d, %v, want a new one", at, seq.N, err)
		}
	}
	if _, err := device.OpenOn(cfg, rot("numbers", 9, 4096+9)); err == nil || !strings.Contains(err.Error(), "raise SeqEpoch") {
		t.Errorf("both copies rotten: got %v, want an error that says what to do", err)
	}
}

// TestCompaction: the queue's file stays in proportion to what waits, however many reports pass through it.
func TestCompaction(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	cfg.Dir, cfg.Durability, cfg.Sender = t.TempDir(), device.SyncNumbers, newLedger()
	d := open(t, cfg)
	for range 10 {
		report(t, d, 500)
		deliver(t, d)
	}
	info, err := os.Stat(filepath.Join(cfg.Dir, "queue"))
	if err != nil {
		t.Fatal(err)
	}
	if limit := int64(device.CompactBytes + 200_000); info.Size() > limit {
		t.Errorf("the file of an empty queue has %d bytes, want at most %d", info.Size(), limit)
	}
}

// TestConcurrentReports: reports from many goroutines, while others are sent, get numbers 1 to n once each.
func TestConcurrentReports(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	l := newLedger()
	cfg.Sender, cfg.Durability = l, device.SyncNumbers
	d, err := device.OpenOn(cfg, newMemDisk())
	if err != nil {
		t.Fatal(err)
	}
	stop := start(t, d)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() { report(t, d, 50) })
	}
	all.Wait()
	if err := d.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop()
	for n := range uint64(400) {
		if l.reports[lamppost.Seq{Epoch: 1, N: n + 1}] == nil {
			t.Fatalf("number %d never arrived", n+1)
		}
	}
	if len(l.reports) != 400 || len(l.reused) > 0 {
		t.Errorf("got %d numbers and %v twice, want 400 and none", len(l.reports), l.reused)
	}
}

// TestCloseStopsRun: Close ends Run and waits for its sends.
func TestCloseStopsRun(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	sending := make(chan struct{})
	cfg.Sender = senderFunc(func(ctx context.Context, _ []byte) (device.Ack, error) {
		close(sending)
		<-ctx.Done()
		return device.Ack{}, ctx.Err()
	})
	d, err := device.OpenOn(cfg, newMemDisk())
	if err != nil {
		t.Fatal(err)
	}
	report(t, d, 1)
	ran := make(chan error, 1)
	go func() { ran <- d.Run(context.Background()) }()
	<-sending
	if err := d.Run(context.Background()); err == nil || !strings.Contains(err.Error(), "running already") {
		t.Errorf("second Run: got %v, want an error", err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ran; err != nil {
		t.Errorf("Run: got %v, want nil after Close", err)
	}
}

// BenchmarkReport is the cost of a report to the machine, for each durability and suite on this disk.
func BenchmarkReport(b *testing.B) {
	for name, durability := range map[string]device.Durability{"numbers": device.SyncNumbers, "every": device.SyncEvery} {
		b.Run(fmt.Sprintf("sync=%s", name), func(b *testing.B) {
			cfg := testConfig(b)
			cfg.Dir, cfg.Durability = b.TempDir(), durability
			cfg.MaxReports, cfg.MaxBytes = 1<<40, 1<<50
			d := open(b, cfg)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := d.Report(energy(1)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestSpan: while the oldest report is not acknowledged, no number 16 or more above it is sent, however many in between are. The network
// remembers the ids of the last 32 it took: an earlier one sent again would not be recognised, and refused (TestResendIsKnown).
func TestSpan(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig(t)
		var mu sync.Mutex
		var highest uint64
		stuck := true
		cfg.Sender = senderFunc(func(_ context.Context, raw []byte) (device.Ack, error) {
			seq := seqOf(t, raw)
			mu.Lock()
			defer mu.Unlock()
			highest = max(highest, seq.N)
			if seq.N == 1 && stuck {
				return device.Ack{}, errors.New("the acknowledgement was lost")
			}
			return device.Ack{}, nil
		})
		d, err := device.OpenOn(cfg, newMemDisk())
		if err != nil {
			t.Fatal(err)
		}
		report(t, d, 100)
		stop := start(t, d)
		time.Sleep(200 * time.Millisecond) // less than the first pause
		mu.Lock()
		if highest != device.MaxUnproven {
			t.Errorf("got numbers up to %d sent while 1 was not acknowledged, want %d", highest, device.MaxUnproven)
		}
		stuck = false
		mu.Unlock()
		if err := d.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		stop()
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestReportMetered: a meter's records go with their readings in one billing report, unchanged.
func TestReportMetered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig(t)
		var sent []byte
		cfg.Sender = senderFunc(func(_ context.Context, raw []byte) (device.Ack, error) {
			sent = slices.Clone(raw)
			return device.Ack{}, nil
		})
		d, err := device.OpenOn(cfg, newMemDisk())
		if err != nil {
			t.Fatal(err)
		}
		record := lamppost.MeterRecord{Name: "energy", Text: `OCMF|{"PG":"F1"}|{"SD":"00"}`}
		if _, err := d.ReportMetered([]lamppost.MeterRecord{record}, energy(1)); err != nil {
			t.Fatal(err)
		}
		if _, err := d.ReportMetered(make([]lamppost.MeterRecord, lamppost.MaxMeterRecords+1), energy(1)); err == nil {
			t.Error("more records than a report holds were taken")
		}
		stop := start(t, d)
		synctest.Wait()
		stop()
		var r lamppost.Report
		if err := r.Decode(sent); err != nil || !r.Billing() || !slices.Equal(r.Meter, []lamppost.MeterRecord{record}) || len(r.Readings) != 1 {
			t.Errorf("sent %+v, %v", r, err)
		}
	})
}

// TestReportMoment: the registers at a session's start and stop go in billing reports at their very times, and are on disk when the call
// returns, whatever the durability; what cannot be billed is refused and takes no number.
func TestReportMoment(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg, disk := testConfig(t), newMemDisk()
		cfg.Durability = device.SyncNumbers
		d, err := device.OpenOn(cfg, disk)
		if err != nil {
			t.Fatal(err)
		}
		gauge, faulty := energy(1), energy(1)
		gauge.Kind, faulty.Quality = lamppost.Gauge, lamppost.Faulty
		for _, bad := range []lamppost.Reading{gauge, faulty} {
			if _, err := d.ReportMoment(bad); err == nil {
				t.Errorf("%+v was taken", bad)
			}
		}
		now, before := energy(1000), energy(900)
		now.Time, before.Time = 0, lamppost.TimeMS(cfg.Now().UnixMilli())-1234
		if seq, err := d.ReportMoment(before, now); err != nil || seq.N != 1 {
			t.Fatalf("%v, %v", seq, err)
		}
		var sent []byte
		cfg.Sender = senderFunc(func(_ context.Context, raw []byte) (device.Ack, error) {
			sent = slices.Clone(raw)
			return device.Ack{}, nil
		})
		again, err := device.OpenOn(cfg, disk.lose(loseAll, rand.New(rand.NewPCG(1, 1))))
		if err != nil {
			t.Fatal(err)
		}
		stop := start(t, again)
		synctest.Wait()
		stop()
		var r lamppost.Report
		if err := r.Decode(sent); err != nil || !r.Billing() || len(r.Readings) != 2 || r.Readings[0].Time != before.Time || r.Readings[1].Time < before.Time+1234 {
			t.Errorf("sent %+v, %v", r, err)
		}
		cold := testConfig(t)
		cold.Cold = true
		c, err := device.OpenOn(cold, newMemDisk())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.ReportMoment(energy(1)); err == nil {
			t.Error("a cold device billed")
		}
	})
}
