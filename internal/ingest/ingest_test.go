package ingest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus"
	"github.com/lamppost/lamppost/internal/consensus/solo"
	"github.com/lamppost/lamppost/internal/ingest"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/sig"
)

const now = ledgertest.Start

// A sink keeps the replies by token and fails the test when one comes twice.
type sink struct {
	t     testing.TB
	mu    sync.Mutex
	got   map[uint64]ingest.Reply
	order []uint64
	left  int           // replies until done
	done  chan struct{} // closed then
}

func newSink(t testing.TB, want int) *sink {
	return &sink{t: t, got: map[uint64]ingest.Reply{}, left: want, done: make(chan struct{})}
}

func (s *sink) Done(token uint64, r ingest.Reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if first, twice := s.got[token]; twice {
		s.t.Errorf("report %d was answered with %+v and again with %+v", token, first, r)
	}
	s.got[token] = r
	s.order = append(s.order, token)
	if s.left--; s.left == 0 {
		close(s.done)
	}
}

// wait returns all replies once the last has come.
func (s *sink) wait() map[uint64]ingest.Reply {
	s.t.Helper()
	select {
	case <-s.done:
	case <-time.After(20 * time.Second):
		s.t.Fatalf("%d replies do not come", s.left)
	}
	return s.got
}

// A node is the way in as a node has it: ingest, engine, replica, over a store.
type node struct {
	net  *ledgertest.Network
	rep  *replica.Replica
	eng  *solo.Engine
	in   *ingest.Ingest
	devs []*ledgertest.Device
	stop func()
}

func newNode(t testing.TB, store kv.Store, devices int, change func(*ingest.Config)) *node {
	t.Helper()
	n := &node{net: ledgertest.New("net"), stop: func() {}}
	var err error
	n.rep, err = replica.Open(replica.Config{Store: store, Checked: func(id lamppost.TxID, raw []byte) bool { return n.in.Checked(id, raw) }})
	if err != nil {
		t.Fatal(err)
	}
	b := &lamppost.Block{Height: 1, Time: now, Cursor: 1}
	add := func(tx *lamppost.Transaction) { b.Txs = append(b.Txs, tx.Append(nil)) }
	add(n.net.Genesis())
	add(n.net.Order(now+ledgertest.Hour, lamppost.TxParty, lamppost.PartyBody{ID: "p"}))
	for i := range devices {
		n.devs = append(n.devs, n.net.NewDevice(lamppost.DeviceID(fmt.Sprintf("d%03d", i)), sig.EdDSA))
		add(n.net.Order(now+ledgertest.Hour, lamppost.TxDevice, n.devs[i].Body("p")))
	}
	if _, err := n.rep.Apply(b); err != nil {
		t.Fatal(err)
	}
	if _, err := n.rep.Commit(); err != nil {
		t.Fatal(err)
	}
	clock := func() lamppost.TimeMS { return now }
	n.eng = solo.New(solo.Config{App: n.rep, View: n.rep, Member: n.net.Member, Now: clock})
	var mu sync.Mutex
	cfg := ingest.Config{Network: "net", Gateway: n.net.Member, Key: func() *sig.PrivateKey { return n.net.Key }, Epoch: 1, Propose: n.eng, KeyOf: n.keyOf, Now: clock,
		Salts: func(b []byte) { mu.Lock(); n.net.Salts(b); mu.Unlock() }}
	if change != nil {
		change(&cfg)
	}
	n.in = ingest.New(cfg)
	return n
}

// keyOf asks the replica, as a node whose devices all sign by themselves.
func (n *node) keyOf(id lamppost.DeviceID, epoch uint32) (*sig.PublicKey, *lamppost.Refusal) {
	v, ok := n.rep.Vouch(id)
	if !ok {
		return nil, ingest.Unknown
	}
	if v = v.Under(epoch, now); v == nil {
		return nil, ingest.KeyOver
	}
	return v.Key, nil
}

// start runs engine and ingest until the test ends.
func (n *node) start(t testing.TB) {
	engine, stopEngine := context.WithCancel(context.Background())
	work, stopIngest := context.WithCancel(context.Background())
	var all, ing sync.WaitGroup
	all.Go(func() {
		if err := n.eng.Run(engine); err != nil {
			t.Errorf("the engine: %v", err)
		}
	})
	ing.Go(func() {
		if err := n.in.Run(work); err != nil {
			t.Errorf("ingest: %v", err)
		}
	})
	var once sync.Once
	n.stop = func() {
		once.Do(func() {
			stopIngest()
			ing.Wait()
			stopEngine()
			all.Wait()
		})
	}
	t.Cleanup(n.stop)
}

func submit(t testing.TB, in *ingest.Ingest, from lamppost.DeviceID, raw []byte, token uint64, s ingest.Sink) {
	t.Helper()
	if err := in.Submit(context.Background(), &ingest.Origin{Device: from}, raw, token, s); err != nil {
		t.Fatalf("Submit = %v", err)
	}
}

// Whatever is wrong with a report, its sender is told which, and the other reports of the batch go on.
func TestRefusals(t *testing.T) {
	t.Parallel()
	n := newNode(t, kv.NewMem(), 2, nil)
	a, b := n.devs[0], n.devs[1]
	stranger := n.net.NewDevice("ghost", sig.EdDSA)
	old, later := *a, *a
	old.Epoch, later.Epoch = 0, 2
	forged := *a
	forged.Key = stranger.Key
	es := *a
	es.Key = ledgertest.Key("es", sig.ES256)
	elsewhere := *a
	elsewhere.Network = "elsewhere"
	p := ledgertest.Power(now, 1)
	bent := a.Report(9, p)
	bent[len(bent)-1] ^= 0x80
	cases := []struct {
		name string
		from lamppost.DeviceID
		raw  []byte
		want lamppost.Code
	}{
		{"first", a.ID, a.Report(1, p), lamppost.CodeOK},
		{"no bytes", a.ID, nil, lamppost.CodeBadReport},
		{"no report", a.ID, []byte("hello"), lamppost.CodeBadReport},
		{"too large", a.ID, make([]byte, lamppost.MaxReportBytes+1), lamppost.CodeTooLarge},
		{"another's connection", b.ID, a.Report(2, p), lamppost.CodeForbidden},
		{"nobody's", "ghost", stranger.Report(1, p), lamppost.CodeUnknown},
		{"nobody's over a's connection", a.ID, stranger.Report(1, p), lamppost.CodeForbidden},
		{"a key that is over", a.ID, old.Report(3, p), lamppost.CodeBadSignature},
		{"a key to come", a.ID, later.Report(3, p), lamppost.CodeBadSignature},
		{"another's key", a.ID, forged.Report(3, p), lamppost.CodeBadSignature},
		{"another suite", a.ID, es.Report(3, p), lamppost.CodeBadSignature},
		{"another network", a.ID, elsewhere.Report(3, p), lamppost.CodeBadSignature},
		{"bent", a.ID, bent, lamppost.CodeBadSignature},
		{"last", a.ID, a.Report(3, p), lamppost.CodeOK},
		{"b's", b.ID, b.Report(1, p), lamppost.CodeOK},
		{"the ledger's refusal", b.ID, b.Report(1, ledgertest.Power(now, 2)), lamppost.CodeReused},
	}
	s := newSink(t, len(cases))
	for i, c := range cases { // all in one batch: nobody works yet
		submit(t, n.in, c.from, c.raw, uint64(i), s)
	}
	n.start(t)
	got := s.wait()
	for i, c := range cases {
		r := got[uint64(i)]
		if r.Code != c.want || !r.Code.Accepted() != (r.Text != "") || r.Code.Accepted() != (r.Height == 2) {
			t.Errorf("%s: %+v, want %v", c.name, r, c.want)
		}
		if known := c.want != lamppost.CodeBadReport && c.want != lamppost.CodeTooLarge; known == r.ID.IsZero() {
			t.Errorf("%s: report id %v", c.name, r.ID)
		}
	}
}

// The same report again, in the same batch or later, is acknowledged as before, with the block of the first.
func TestHonestResend(t *testing.T) {
	t.Parallel()
	n := newNode(t, kv.NewMem(), 1, nil)
	d := n.devs[0]
	raw := d.Report(1, ledgertest.Power(now, 1))
	s := newSink(t, 2)
	submit(t, n.in, d.ID, raw, 0, s)
	submit(t, n.in, d.ID, raw, 1, s)
	n.start(t)
	first := s.wait()
	if first[0].Code != lamppost.CodeOK || first[1].Code != lamppost.CodeDuplicate || first[0].ID != first[1].ID || first[1].Height != 2 {
		t.Errorf("replies %+v, want ok and duplicate of block 2", first)
	}
	for i := range uint64(3) {
		s := newSink(t, 1)
		submit(t, n.in, d.ID, raw, i, s)
		if r := s.wait()[i]; r.Code != lamppost.CodeDuplicate || r.Height != 2 || r.ID != first[0].ID {
			t.Errorf("resent: %+v, want duplicate of block 2", r)
		}
	}
}

// With many submitters each gets its replies, once. A worker answers a segment's reports in the order they came, so with
// one worker the whole connection's do.
func TestReplies(t *testing.T) {
	t.Parallel()
	for _, workers := range []int{1, 4} {
		t.Run(fmt.Sprint(workers), func(t *testing.T) {
			t.Parallel()
			const each = 50
			n := newNode(t, kv.NewMem(), 8, func(c *ingest.Config) { c.MaxBatch, c.Workers = 32, workers })
			sinks := make([]*sink, len(n.devs))
			var wg sync.WaitGroup
			n.start(t)
			for i, d := range n.devs {
				sinks[i] = newSink(t, each)
				wg.Go(func() {
					for k := range uint64(each) {
						submit(t, n.in, d.ID, d.Report(k+1, ledgertest.Power(now, 1)), k, sinks[i])
					}
				})
			}
			wg.Wait()
			for i, s := range sinks {
				for token, r := range s.wait() {
					if r.Code != lamppost.CodeOK {
						t.Errorf("device %d, report %d: %+v", i, token, r)
					}
				}
				if workers == 1 && !slices.IsSorted(s.order) {
					t.Errorf("device %d: replies in the order %v", i, s.order)
				}
			}
		})
	}
}

// At a full queue TrySubmit says so and takes nothing; Submit waits, for room or for its context's end, and then Done is
// not called.
func TestBusy(t *testing.T) {
	t.Parallel()
	n := newNode(t, kv.NewMem(), 1, func(c *ingest.Config) { c.MaxQueue = 2 })
	d := n.devs[0]
	from := &ingest.Origin{Device: d.ID}
	s, none := newSink(t, 3), newSink(t, 99)
	for k := range uint64(2) {
		if err := n.in.TrySubmit(from, d.Report(k+1, ledgertest.Power(now, 1)), k, s); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.in.TrySubmit(from, d.Report(7, ledgertest.Power(now, 1)), 7, none); !errors.Is(err, ingest.ErrBusy) {
		t.Errorf("TrySubmit at a full queue = %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := n.in.Submit(ctx, from, d.Report(8, ledgertest.Power(now, 1)), 8, none); !errors.Is(err, context.Canceled) {
		t.Errorf("Submit at its context's end = %v", err)
	}
	waits := make(chan error)
	go func() { waits <- n.in.Submit(context.Background(), from, d.Report(3, ledgertest.Power(now, 1)), 2, s) }()
	n.start(t)
	if err := <-waits; err != nil {
		t.Errorf("Submit, once there was room = %v", err)
	}
	s.wait()
	n.stop()
	if len(none.got) != 0 {
		t.Errorf("what was not taken was answered: %+v", none.got)
	}
	if err := n.in.Submit(context.Background(), from, nil, 9, none); !errors.Is(err, ingest.ErrEnded) {
		t.Errorf("Submit after the end = %v", err)
	}
}

// Large reports make more segments, never one that the engine would refuse.
func TestSegmentsStayBelowTheLimit(t *testing.T) {
	t.Parallel()
	n := newNode(t, kv.NewMem(), 1, nil)
	d := n.devs[0]
	var readings []lamppost.Reading
	for i := range lamppost.MaxReadings {
		readings = append(readings, ledgertest.Energy(now+lamppost.TimeMS(i)*7_000_000, int64(i)*1e15))
	}
	raw := d.Report(1, readings...)
	if len(raw) < lamppost.MaxReportBytes/2 {
		t.Fatalf("the report has only %d bytes", len(raw))
	}
	count := 2*lamppost.MaxSegmentBytes/len(raw) + 1
	s := newSink(t, count)
	for i := range uint64(count) {
		submit(t, n.in, d.ID, raw, i, s)
	}
	n.start(t)
	s.wait()
	if last := n.rep.Last().Height; last < 3 {
		t.Errorf("%d bytes went into %d blocks", count*len(raw), last-1)
	}
}

// A scripted engine.
type script func(ctx context.Context, id lamppost.TxID, raw []byte) (consensus.Decision, error)

func (f script) Propose(ctx context.Context, id lamppost.TxID, raw []byte) (consensus.Decision, error) {
	return f(ctx, id, raw)
}

// accept decides everything in a segment.
func accept(raw []byte) consensus.Decision {
	tx, err := lamppost.ParseTransaction(raw)
	if err != nil {
		panic(err)
	}
	return consensus.Decision{Height: 7, Outcomes: make([]lamppost.Outcome, len(tx.Items))}
}

// alone returns an ingest over a scripted engine, with a device it knows.
func alone(engine script, change func(*ingest.Config)) (*ingest.Ingest, *ledgertest.Device) {
	net := ledgertest.New("net")
	d := net.NewDevice("d", sig.EdDSA)
	cfg := ingest.Config{Network: "net", Gateway: "m1", Key: func() *sig.PrivateKey { return net.Key }, Propose: engine, Salts: func([]byte) {},
		KeyOf: func(lamppost.DeviceID, uint32) (*sig.PublicKey, *lamppost.Refusal) { return d.Key.Public(), nil },
		Now:   func() lamppost.TimeMS { return now }}
	if change != nil {
		change(&cfg)
	}
	return ingest.New(cfg), d
}

// A quiet node waits for company for the configured time and no longer; a full batch does not wait.
func TestPacing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		in, d := alone(func(_ context.Context, _ lamppost.TxID, raw []byte) (consensus.Decision, error) {
			return accept(raw), nil
		},
			func(c *ingest.Config) { c.Linger, c.MaxBatch = time.Second, 4 })
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan error)
		go func() { ended <- in.Run(ctx) }()
		raw := d.Report(1, ledgertest.Power(now, 1))
		start := time.Now()
		one := newSink(t, 1)
		submit(t, in, d.ID, raw, 0, one)
		one.wait()
		if waited := time.Since(start); waited != time.Second {
			t.Errorf("a lonely report was answered after %v, want 1s", waited)
		}
		start = time.Now()
		four := newSink(t, 4)
		for k := range uint64(4) {
			submit(t, in, d.ID, raw, k, four)
		}
		four.wait()
		if waited := time.Since(start); waited != 0 {
			t.Errorf("a full batch was answered after %v, want at once", waited)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// A busy engine is asked again, slower and slower, until it takes the segment.
func TestEngineBusy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var asked []time.Duration
		start := time.Now()
		in, d := alone(func(_ context.Context, _ lamppost.TxID, raw []byte) (consensus.Decision, error) {
			asked = append(asked, time.Since(start))
			if len(asked) < 5 {
				return consensus.Decision{}, consensus.ErrBusy
			}
			return accept(raw), nil
		}, func(c *ingest.Config) { c.Linger, c.Workers = time.Millisecond, 1 })
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan error)
		go func() { ended <- in.Run(ctx) }()
		s := newSink(t, 1)
		submit(t, in, d.ID, d.Report(1, ledgertest.Power(now, 1)), 0, s)
		if r := s.wait()[0]; r.Code != lamppost.CodeOK || r.Height != 7 {
			t.Errorf("reply %+v", r)
		}
		if want := "[1ms 2ms 4ms 8ms 16ms]"; fmt.Sprint(asked) != want {
			t.Errorf("asked after %v, want %v", asked, want)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// An engine that fails ends ingest with its error, and nobody is told that his report is committed.
func TestEngineFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, c := range []struct{ from, want error }{{broken, broken}, {consensus.ErrStopped, nil}} {
		in, d := alone(func(context.Context, lamppost.TxID, []byte) (consensus.Decision, error) {
			return consensus.Decision{}, c.from
		}, nil)
		s := newSink(t, 99)
		submit(t, in, d.ID, d.Report(1, ledgertest.Power(now, 1)), 0, s)
		if err := in.Run(context.Background()); !errors.Is(err, c.want) || (c.want == nil) != (err == nil) {
			t.Errorf("Run = %v, want %v", err, c.want)
		}
		if len(s.got) != 0 {
			t.Errorf("answered with %+v", s.got)
		}
		if err := in.TrySubmit(&ingest.Origin{Device: d.ID}, nil, 1, s); !errors.Is(err, ingest.ErrEnded) {
			t.Errorf("TrySubmit after the end = %v", err)
		}
	}
}

// Told to stop, ingest waits a while for a segment that nobody decides, as where a network has lost its majority, and no longer.
func TestStopWithoutQuorum(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(context.Background())
		in, d := alone(func(ctx context.Context, _ lamppost.TxID, _ []byte) (consensus.Decision, error) {
			stop()
			<-ctx.Done()
			return consensus.Decision{}, ctx.Err()
		}, nil)
		s, from := newSink(t, 99), time.Now()
		submit(t, in, d.ID, d.Report(1, ledgertest.Power(now, 1)), 0, s)
		if err := in.Run(ctx); err != nil || len(s.got) != 0 {
			t.Errorf("Run = %v, answered %+v; want no error and no answer", err, s.got)
		}
		if took := time.Since(from); took < time.Second || took > time.Minute {
			t.Errorf("Run ended %v after the start", took)
		}
	})
}

// Told to stop, ingest finishes and answers the segment at hand, and takes no other.
func TestStopFinishesTheSegmentAtHand(t *testing.T) {
	t.Parallel()
	proposed, decide := make(chan struct{}), make(chan struct{})
	in, d := alone(func(ctx context.Context, _ lamppost.TxID, raw []byte) (consensus.Decision, error) {
		close(proposed)
		select {
		case <-decide:
			return accept(raw), nil
		case <-ctx.Done():
			return consensus.Decision{}, ctx.Err()
		}
	}, func(c *ingest.Config) { c.Workers = 1 })
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- in.Run(ctx) }()
	s, late := newSink(t, 1), newSink(t, 99)
	submit(t, in, d.ID, d.Report(1, ledgertest.Power(now, 1)), 0, s)
	<-proposed
	submit(t, in, d.ID, d.Report(2, ledgertest.Power(now, 1)), 1, late)
	stop()
	for !errors.Is(in.TrySubmit(&ingest.Origin{Device: d.ID}, nil, 2, late), ingest.ErrEnded) {
		time.Sleep(0) // until the end has been noticed
	}
	close(decide)
	if err := <-ended; err != nil {
		t.Errorf("Run = %v", err)
	}
	if r := s.wait()[0]; r.Code != lamppost.CodeOK {
		t.Errorf("reply %+v", r)
	}
	if len(late.got) != 0 {
		t.Errorf("reports that were still queued were answered: %+v", late.got)
	}
}

// Cold reports lose half of their signatures where several come together and the gateway may ask again. A replica that did
// not see them whole takes them; where it cannot any more, their devices are asked again, and nobody else.
func TestCold(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cold   int // of four devices
		whole  bool
		halved int
		revoke bool
		want   string
	}{
		"several":           {cold: 3, halved: 3, want: "[ok ok ok ok]"},
		"one":               {cold: 1, want: "[ok ok ok ok]"},
		"kept whole":        {cold: 3, whole: true, want: "[ok ok ok ok]"},
		"a key ended since": {cold: 3, halved: 3, revoke: true, want: "[not_ready not_ready not_ready ok]"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var cfg ingest.Config
			n := newNode(t, kv.NewMem(), 4, func(c *ingest.Config) { cfg = *c })
			cfg.Whole = c.whole
			core, s := ingest.NewCore(cfg), newSink(t, 4)
			var batch []ingest.Item
			for i, d := range n.devs {
				r := lamppost.Report{Seq: lamppost.Seq{N: 1}, Readings: []lamppost.Reading{ledgertest.Power(now, 1)}}
				if i < c.cold {
					r.Flags = lamppost.FlagCold
				}
				batch = append(batch, ingest.Item{Raw: d.Sign(r), At: now, From: &ingest.Origin{Device: d.ID}, Token: uint64(i), Sink: s})
			}
			_, raw, err := core.Pack(batch, 1)
			if err != nil {
				t.Fatal(err)
			}
			b := &lamppost.Block{Height: 2, Time: now + 1, Cursor: 2, Txs: [][]byte{raw}}
			if c.revoke {
				b.Txs = slices.Insert(b.Txs, 0, n.net.Order(now+ledgertest.Hour, lamppost.TxRevoke,
					lamppost.RevokeBody{Device: n.devs[0].ID, KeyEpoch: 1, Reason: "stolen"}).Append(nil))
			}
			res, err := n.rep.Apply(b)
			if err != nil {
				t.Fatal(err)
			}
			core.Reply(consensus.Decision{Height: 2, Outcomes: res.Outcomes[len(b.Txs)-1]})
			got := s.wait()
			codes := fmt.Sprint([]lamppost.Code{got[0].Code, got[1].Code, got[2].Code, got[3].Code})
			if halved := countHalved(t, raw); halved != c.halved || codes != c.want {
				t.Errorf("%d halved, replies %s; want %d, %s", halved, codes, c.halved, c.want)
			}
		})
	}
}

func countHalved(t *testing.T, raw []byte) (n int) {
	t.Helper()
	tx, err := lamppost.ParseTransaction(raw)
	if err != nil {
		t.Fatal(err)
	}
	for i := range tx.Items {
		var r lamppost.Report
		if err := r.Decode(tx.Items[i].Report); err != nil {
			t.Fatal(err)
		}
		if r.Halved() {
			n++
		}
	}
	if (n > 0) != (tx.Header.Aggregate != nil) {
		t.Errorf("%d halved, aggregate %x", n, tx.Header.Aggregate)
	}
	return n
}

// What the gateway vouches for, it vouches for once, to the byte, and only while the segment is proposed.
func TestChecked(t *testing.T) {
	t.Parallel()
	var in *ingest.Ingest
	var seen lamppost.TxID
	var during [3]bool
	in, d := alone(func(_ context.Context, id lamppost.TxID, raw []byte) (consensus.Decision, error) {
		other := bytes.Clone(raw)
		other[len(other)-1] ^= 1 // what a member who lies makes of it
		seen, during = id, [3]bool{in.Checked(id, other), in.Checked(id, raw), in.Checked(id, raw)}
		return accept(raw), nil
	}, func(c *ingest.Config) { c.Workers = 1 })
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- in.Run(ctx) }()
	s := newSink(t, 1)
	submit(t, in, d.ID, d.Report(1, ledgertest.Power(now, 1)), 0, s)
	s.wait()
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if during != [3]bool{false, true, false} || in.Checked(seen, nil) || in.Checked(lamppost.TxID{1}, nil) {
		t.Errorf("Checked = %v of other bytes, these and again while proposed, %v after, %v for another", during, in.Checked(seen, nil), in.Checked(lamppost.TxID{1}, nil))
	}
}

// A liar is an engine's door before which somebody else puts a segment of the same header with another report in it.
type liar struct {
	*solo.Engine
	forge func(raw []byte) []byte
	mu    sync.Mutex
	lie   lamppost.Outcome
}

func (l *liar) Propose(ctx context.Context, id lamppost.TxID, raw []byte) (consensus.Decision, error) {
	d, err := l.Engine.Propose(ctx, lamppost.TxID{9}, l.forge(raw))
	if err != nil {
		return d, err
	}
	l.mu.Lock()
	l.lie = d.Outcomes[0]
	l.mu.Unlock()
	return l.Engine.Propose(ctx, id, raw)
}

// Goal: a member who puts made-up readings or another signature behind the header of this node's segment, while it is under way, has
// them refused here as everywhere; what this node checked itself counts. Method: the forged segment is committed just before its own.
func TestForgedBehindOwnHeader(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(tx *lamppost.Transaction, d *ledgertest.Device){
		"readings": func(tx *lamppost.Transaction, d *ledgertest.Device) {
			mallory := *d
			mallory.Key = ledgertest.Key("mallory", sig.EdDSA)
			tx.Items[0].Report = mallory.Report(1, ledgertest.Power(now, 999))
		},
		"the header's signature": func(tx *lamppost.Transaction, _ *ledgertest.Device) { tx.SignedRaw[len(tx.SignedRaw)-1] ^= 1 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := &liar{}
			n := newNode(t, kv.NewMem(), 1, func(c *ingest.Config) { l.Engine = c.Propose.(*solo.Engine); c.Propose = l })
			d := n.devs[0]
			l.forge = func(raw []byte) []byte {
				tx, err := lamppost.ParseTransaction(bytes.Clone(raw))
				if err != nil {
					t.Error(err)
					return raw
				}
				change(tx, d)
				return tx.Append(nil)
			}
			n.start(t)
			s := newSink(t, 1)
			submit(t, n.in, d.ID, d.Report(1, ledgertest.Power(now, 1)), 0, s)
			if got := s.wait()[0]; got.Code != lamppost.CodeOK {
				t.Errorf("the device's own report: %+v", got)
			}
			if l.lie.Code.Accepted() {
				t.Errorf("the forged one: %+v", l.lie)
			}
		})
	}
}

// When a batch is taken: at once when it is full, later the slower reports come, never later than configured.
func TestLinger(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	for _, c := range []struct {
		rate   float64
		age    time.Duration
		queued int
		take   bool
		after  time.Duration
	}{
		{rate: 0, age: 0, queued: 0, take: false, after: 0},
		{rate: 0, age: time.Hour, queued: 0, take: false, after: 0},
		{rate: 0, age: 0, queued: 1, take: false, after: 25 * ms},
		{rate: 0, age: 24 * ms, queued: 99, take: false, after: ms},
		{rate: 0, age: 25 * ms, queued: 1, take: true},
		{rate: 0, age: 0, queued: 1000, take: true},
		{rate: 10, age: 0, queued: 1, take: false, after: 25 * ms},
		{rate: 6400, age: 4 * ms, queued: 1, take: false, after: 6 * ms},
		{rate: 6400, age: 10 * ms, queued: 1, take: true},
		{rate: 1e9, age: 0, queued: 1, take: false, after: 2 * ms},
		{rate: 1e9, age: 2 * ms, queued: 1, take: true},
	} {
		l := ingest.NewLinger(25*ms, 1000, c.rate)
		if take, after := l.Due(c.age, c.queued); take != c.take || after != c.after {
			t.Errorf("at %v/s, %d queued for %v: %v, %v; want %v, %v", c.rate, c.queued, c.age, take, after, c.take, c.after)
		}
	}
	slow := ingest.NewLinger(25*ms, 1000, 1e9)
	for range 100 {
		slow.Decided(40 * ms)
	}
	if take, _ := slow.Due(9*ms, 1); take {
		t.Error("where segments take 40 ms a busy node waits less than 9 ms, want a quarter")
	}
	if take, _ := slow.Due(10*ms, 1); !take {
		t.Error("where segments take 40 ms a busy node waits more than 10 ms, want a quarter")
	}
	l := ingest.NewLinger(25*ms, 1000, 0)
	l.Took(5, 0) // two workers at one instant say nothing of the rate
	rate := 0.0
	for range 50 {
		rate = l.Took(100, 10*ms)
	}
	if math.Abs(rate-10_000) > 1 {
		t.Errorf("after 50 batches of 100 in 10 ms the rate is %v, want 10,000", rate)
	}
}
