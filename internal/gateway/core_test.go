package gateway

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus"
	"github.com/lamppost/lamppost/internal/ingest"
	"github.com/lamppost/lamppost/internal/ingest/httpd"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/kv/pebble"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
	"github.com/lamppost/lamppost/sig"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A farSide is an upstream that fails on demand. It takes every segment it sees, and whether its answer arrives is another
// matter, as with real networks.
type farSide struct {
	took  []string
	seen  map[string]bool
	fails func() (before, after error) // before: it never came; after: the answer got lost
}

func (f *farSide) deliver(_ context.Context, raw []byte, reports int) (delivered, error) {
	before, after := f.fails()
	if before != nil {
		return delivered{}, before
	}
	code := lamppost.CodeOK
	if f.seen[string(raw)] {
		code = lamppost.CodeDuplicate
	} else {
		f.took = append(f.took, string(raw))
		f.seen[string(raw)] = true
	}
	d := delivered{height: 1, outcomes: make([]lamppost.Outcome, reports)}
	for i := range d.outcomes {
		d.outcomes[i].Code = code
	}
	return d, after
}

func newForwarder(k *keep, to carrier) *forwarder {
	return &forwarder{keep: k, to: to, fresh: func(raw []byte) ([]byte, error) { return raw, nil }, random: func() float64 { return 0.5 }, log: slog.New(slog.DiscardHandler)}
}

// Whatever the uplink does and whenever the process dies, every held segment reaches the upstream, in the order it was
// held, and is taken there once.
func TestForwardInOrder(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		disk := kv.NewMem()
		far := &farSide{seen: map[string]bool{}, fails: func() (before, after error) {
			switch rnd.IntN(4) {
			case 0:
				return errors.New("no way"), nil
			case 1:
				return nil, errors.New("the answer is lost")
			}
			return nil, nil
		}}
		k, err := openKeep(disk, 1<<20, nil)
		must(t, err)
		f := newForwarder(k, far)
		put := 0
		for range 300 {
			switch rnd.IntN(8) {
			case 0: // the process dies and starts again
				k, err = openKeep(disk, 1<<20, nil)
				must(t, err)
				f = newForwarder(k, far)
			case 1, 2, 3:
				must(t, k.put(fmt.Appendf(nil, "segment %d", put), 2, lamppost.TimeMS(put), nil))
				put++
			default:
				_, _, err := f.step(t.Context(), 0)
				must(t, err)
			}
		}
		for n := 0; n < 1000; n++ {
			if _, worked, err := f.step(t.Context(), 0); err != nil {
				t.Fatal(err)
			} else if !worked {
				break
			}
		}
		for i, s := range far.took {
			if s != fmt.Sprintf("segment %d", i) {
				t.Fatalf("seed %d: the upstream took %q in place %d", seed, s, i)
			}
		}
		held, counts := k.held()
		if len(far.took) != put || held.Segments != 0 || held.Bytes != 0 || held.Reports != 0 {
			t.Fatalf("seed %d: %d of %d segments arrived, %+v is held", seed, len(far.took), put, held)
		}
		if got := counts.Outcomes["ok"] + counts.Outcomes["duplicate"]; counts.Segments != uint64(put) || got != uint64(2*put) {
			t.Fatalf("seed %d: the counts are %+v after %d segments", seed, counts, put)
		}
	}
}

// The backoff doubles up to its limit, keeps some randomness, and ends with the first success.
func TestBackoff(t *testing.T) {
	t.Parallel()
	k, err := openKeep(kv.NewMem(), 1<<20, nil)
	must(t, err)
	must(t, k.put([]byte("segment"), 1, 0, nil))
	down := errors.New("down")
	f := newForwarder(k, &farSide{seen: map[string]bool{}, fails: func() (error, error) { return down, nil }})
	want := minBackoff
	for range 20 {
		wait, worked, err := f.step(t.Context(), 7)
		if err != nil || !worked || wait != want*3/4 {
			t.Fatalf("waits %v (%v, %v), want %v", wait, worked, err, want*3/4)
		}
		want = min(2*want, maxBackoff)
	}
	if s := f.status(); s.Up || s.Error != "down" || s.Since != 7 {
		t.Errorf("the uplink is %+v", s)
	}
	down = nil
	if wait, _, err := f.step(t.Context(), 9); wait != 0 || err != nil || f.backoff != 0 || !f.status().Up {
		t.Errorf("after a success: waits %v, backoff %v, %v", wait, f.backoff, err)
	}
}

// A segment that the upstream will never take is set aside and does not hold up the others; at most maxRejected are kept.
func TestReject(t *testing.T) {
	t.Parallel()
	disk := kv.NewMem()
	k, err := openKeep(disk, 1<<20, nil)
	must(t, err)
	never := error(&rejectedError{"no"})
	f := newForwarder(k, &farSide{seen: map[string]bool{}, fails: func() (error, error) { return never, nil }})
	for i := range maxRejected + 3 {
		must(t, k.put(fmt.Appendf(nil, "bad %d", i), 1, 0, nil))
		_, _, err := f.step(t.Context(), 0)
		must(t, err)
	}
	never = nil
	must(t, k.put([]byte("good"), 1, 0, nil))
	_, _, err = f.step(t.Context(), 0)
	must(t, err)
	kept := 0
	must(t, disk.Scan([]byte{'x'}, []byte{'x' + 1}, func(_, _ []byte) error { kept++; return nil }))
	if _, c := k.held(); c.Rejected != maxRejected+3 || c.Segments != 1 || kept != maxRejected {
		t.Errorf("counts %+v, %d set aside", c, kept)
	}
}

// Only a judgement of the bytes sets a segment aside: a wrong token, a missing registration or a busy node must not.
func TestFinal(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]bool{400: true, 413: true, 422: true, 401: false, 403: false, 404: false, 408: false,
		409: false, 429: false, 500: false, 502: false, 503: false} {
		if final(status) != want {
			t.Errorf("status %d is final: %v", status, !want)
		}
	}
}

// An answer that does not judge every report once is no answer: the segment stays.
func TestExpand(t *testing.T) {
	t.Parallel()
	for _, bad := range [][]httpd.Run{nil, {{N: 2, Code: "ok"}}, {{N: 4, Code: "ok"}}, {{N: 3, Code: "fine"}}, {{N: 0, Code: "ok"}, {N: 3, Code: "ok"}},
		{{N: 5, Code: "ok"}, {N: -2, Code: "ok"}}, {{N: 1 << 60, Code: "ok"}}} {
		if d, err := expand(httpd.Delivery{Height: 1, Outcomes: bad}, 3); err == nil {
			t.Errorf("%+v was read as %+v", bad, d)
		}
	}
	d, err := expand(httpd.Delivery{Height: 5, Outcomes: []httpd.Run{{N: 2, Code: "ok"}, {N: 1, Code: "too_old", Text: "old"}}}, 3)
	if err != nil || d.height != 5 || d.outcomes[1].Code != lamppost.CodeOK || d.outcomes[2].Code != lamppost.CodeTooOld || d.outcomes[2].Text != "old" {
		t.Errorf("%+v, %v", d, err)
	}
}

// While there is no room, nothing is held and devices are told to try again; each delivery makes room.
func TestFull(t *testing.T) {
	t.Parallel()
	k, err := openKeep(kv.NewMem(), MinHold, nil)
	must(t, err)
	raw := make([]byte, 1<<20)
	for i := 0; ; i++ {
		if err := k.put(raw, 1, 0, nil); errors.Is(err, errFull) {
			if i != MinHold>>20 {
				t.Errorf("full after %d MiB", i)
			}
			break
		} else {
			must(t, err)
		}
	}
	door := &door{in: ingest.New(ingest.Config{Now: func() lamppost.TimeMS { return 0 }}), keep: k}
	from := &ingest.Origin{Device: "meter"}
	if err := door.TrySubmit(from, nil, 0, nil); !errors.Is(err, ingest.ErrBusy) {
		t.Errorf("a full gateway says %v, want ErrBusy", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := door.Submit(ctx, from, nil, 0, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting for room ended with %v", err)
	}
	waited := make(chan error, 1)
	go func() { waited <- door.Submit(t.Context(), from, nil, 0, nil) }()
	for range MinHold>>21 + 1 {
		e, _, _, err := k.oldest()
		must(t, err)
		must(t, k.done(e, delivered{outcomes: make([]lamppost.Outcome, 1)}))
	}
	must(t, <-waited)
}

var diskMiB = flag.Int64("disk-mib", 32, "how much TestDisk holds")

// The folder never takes more than Disk says, through several times of filling up and being emptied.
func TestDisk(t *testing.T) {
	t.Parallel()
	hold := *diskMiB << 20
	dir := t.TempDir()
	store, err := pebble.Open(dir, pebble.Options{NoFsync: true, MemTableBytes: memTableBytes, CacheBytes: 1 << 20})
	must(t, err)
	defer store.Close()
	k, err := openKeep(store, hold, store.Compact)
	must(t, err)
	rnd := rand.NewChaCha8([32]byte{1})
	raw := make([]byte, segmentBytes)
	var most int64
	for range 3 {
		for {
			rnd.Read(raw) // does not compress
			if err := k.put(raw, 1, 0, nil); errors.Is(err, errFull) {
				break
			} else {
				must(t, err)
			}
			if k.next%16 == 0 {
				most = max(most, size(dir))
			}
		}
		for {
			e, _, ok, err := k.oldest()
			must(t, err)
			if !ok {
				break
			}
			must(t, k.done(e, delivered{outcomes: make([]lamppost.Outcome, 1)}))
			most = max(most, size(dir))
		}
	}
	t.Logf("at most %d MiB for %d MiB held; Disk says %d", most>>20, hold>>20, Disk(hold)>>20)
	if most > Disk(hold) {
		t.Errorf("the folder had %d MiB, Disk says %d", most>>20, Disk(hold)>>20)
	}
}

func size(dir string) (sum int64) {
	filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			if info, err := d.Info(); err == nil {
				sum += info.Size()
			}
		}
		return nil // files come and go
	})
	return sum
}

// A receipt is good for its network, its purpose and its gateway's key alone.
func TestReceipt(t *testing.T) {
	t.Parallel()
	key, other := ledgertest.Key("cellar", sig.EdDSA), ledgertest.Key("attic", sig.EdDSA)
	want := Receipt{Report: lamppost.ReportID{1, 2}, Received: 1234, Epoch: 3, N: 9}
	raw, err := want.sign("house", "cellar", key)
	must(t, err)
	got, by, err := OpenReceipt(raw, "house", key.Public())
	want.Version = receiptVersion
	if err != nil || by != "cellar" || got != want {
		t.Errorf("%+v by %q, %v", got, by, err)
	}
	if _, _, err := OpenReceipt(raw, "house", other.Public()); err == nil {
		t.Error("a receipt opens with another gateway's key")
	}
	if _, _, err := OpenReceipt(raw, "street", key.Public()); err == nil {
		t.Error("a receipt is good in another network")
	}
	foreign, err := lamppost.SignBody("house", lamppost.PurposeSegment, "cellar", key, lamppost.Marshal(want))
	must(t, err)
	if _, _, err := OpenReceipt(foreign, "house", key.Public()); err == nil {
		t.Error("what was signed for another purpose is taken for a receipt")
	}
	for i := range raw {
		bad := append([]byte(nil), raw...)
		bad[i] ^= 1
		if r, id, err := OpenReceipt(bad, "house", key.Public()); err == nil {
			t.Fatalf("with byte %d changed it reads %+v by %q", i, r, id)
		}
	}
}

// In custody mode a report is acknowledged once it is held; else only with what the upstream decided, and never where
// the gateway stops before.
func TestCustodian(t *testing.T) {
	t.Parallel()
	n := ledgertest.New("house")
	items := []lamppost.SegmentItem{{Received: 5, Report: []byte{1}}, {Received: 6, Report: []byte{2}}}
	tx, err := lamppost.NewSegment(n.ID, lamppost.Seq{Epoch: 1, N: 1}, 0, items, "cellar", n.Key, lamppost.Seed{})
	must(t, err)
	raw := tx.Append(nil)
	k, err := openKeep(kv.NewMem(), 1<<20, nil)
	must(t, err)
	stopped := make(chan struct{})
	d, err := (&custodian{keep: k, stopped: stopped}).Propose(t.Context(), lamppost.TxID{}, raw)
	if err != nil || d.Height != 0 || len(d.Outcomes) != 2 || d.Outcomes[1].Code != lamppost.CodeOK {
		t.Errorf("custody: %+v, %v", d, err)
	}
	waits := &custodian{keep: k, waits: true, stopped: stopped}
	answer := make(chan consensus.Decision, 1)
	go func() {
		d, _ := waits.Propose(t.Context(), lamppost.TxID{}, raw)
		answer <- d
	}()
	for {
		e, _, ok, err := k.oldest()
		must(t, err)
		if ok {
			must(t, k.done(e, delivered{height: 8, outcomes: []lamppost.Outcome{{Code: lamppost.CodeTooOld}, {}}}))
		}
		if e.Number == 2 {
			break
		}
	}
	if d := <-answer; d.Height != 8 || d.Outcomes[0].Code != lamppost.CodeTooOld {
		t.Errorf("committed: %+v", d)
	}
	close(stopped)
	if _, err := waits.Propose(t.Context(), lamppost.TxID{}, raw); !errors.Is(err, consensus.ErrStopped) {
		t.Errorf("a gateway that stops says %v", err)
	}
}

// What a crash leaves is what was held: a write that failed was not acknowledged.
func TestKeepFaulty(t *testing.T) {
	t.Parallel()
	broken := errors.New("no disk")
	k, err := openKeep(failing{kv.NewMem(), broken}, 1<<20, nil)
	must(t, err)
	if err := k.put([]byte("segment"), 1, 0, nil); !errors.Is(err, broken) {
		t.Errorf("a failed write says %v", err)
	}
	if h, _ := k.held(); h.Segments != 0 || h.Bytes != 0 {
		t.Errorf("a failed write counts as held: %+v", h)
	}
}

type failing struct {
	kv.Store
	err error
}

func (f failing) Apply(*kv.Batch) error { return f.err }
