// Package ingest is the one way in for reports: it reads them, checks their signatures together, packs them into signed
// segments as the node's built-in gateway, proposes the segments, and tells each sender what became of its report. A
// report that was not answered was not taken; one that was answered as accepted is committed and durable.
//
// Start reading at [Ingest.Submit], [Core.Pack] and [Core.Reply]. linger.go decides how long a report waits for company. The
// listeners are mqttd and httpd: bytes to Submit, replies to protocol codes.
//
// The queue holds at most Config.MaxQueue reports and MaxQueueBytes bytes; more wait, or are told ErrBusy.
package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus"
	"github.com/lamppost/lamppost/sig"
)

// ErrBusy says that the queue is full and nothing was taken: try again.
var ErrBusy = errors.New("ingest: the queue is full")

// A Reply is what the sender is told about one report.
type Reply struct {
	Code   lamppost.Code     // accepted, refused for good, or CodeBusy
	ID     lamppost.ReportID // zero where the bytes could not be read
	Height lamppost.Height   // of the first commit, where it is accepted
	Text   string            // for people, of a refusal

	// Of a report that went into a segment: when it was received, and the segment's number.
	Received lamppost.TimeMS
	Segment  lamppost.Seq
}

// A Sink receives replies. Done is called once for every submitted report, from ingest's goroutines, in no order; it
// must not block and not call back into Ingest.
type Sink interface{ Done(token uint64, r Reply) }

// An Origin is the authenticated connection a report came over; only reports of its device are taken.
type Origin struct {
	Device lamppost.DeviceID

	// Relayed: the connection is a foreign broker's, which does not say who published; Device is who the topic names.
	Relayed bool
	// Late: what comes may have waited on its way.
	Late bool

	Allowance *Allowance // of bad reports; nil: any number
	Tally     *Tally     // of what comes; nil: nobody wants to know
}

// A Proposer orders a segment; it is the engine.
type Proposer interface {
	Propose(ctx context.Context, id lamppost.TxID, tx []byte) (consensus.Decision, error)
}

// Config says as whom the gateway signs, how reports are judged, and how many may wait.
type Config struct {
	Network string
	Gateway lamppost.MemberID
	Key     func() *sig.PrivateKey // that signs the next segment
	Epoch   uint32                 // of the segment numbers: changes with every start

	Propose Proposer
	// KeyOf returns what a device's report that is signed with a key epoch is checked with: the device's own key, the HMAC
	// key that this gateway shares with it, or this gateway's own where it wraps; or why there is none, such as Unknown. It is
	// called for every report and should not allocate.
	KeyOf func(device lamppost.DeviceID, epoch uint32) (key *sig.PublicKey, why *lamppost.Refusal)
	Now   func() lamppost.TimeMS
	Salts func([]byte) // fills with random bytes
	// Whole keeps the signatures of cold reports whole: for who cannot ask the devices again if a key is revoked on the way.
	Whole bool

	Linger   time.Duration // longest wait for company; default 25 ms
	Workers  int           // segments in the making at once; default 4
	MaxBatch int           // reports in a segment; default 1024
	MaxBytes int           // of reports in a segment, at most lamppost.MaxSegmentBytes; default 1 MiB
	MaxQueue int           // reports waiting; default 65,536
	Metrics  *Metrics      // nil: counted nowhere
}

// Reasons why there is no key to check a report with. They do not change.
var (
	Unknown   = lamppost.Refuse(lamppost.CodeUnknown, "no device of this name is enrolled")
	Elsewhere = lamppost.Refuse(lamppost.CodeForbidden, "another gateway vouches for this device")
	KeyOver   = lamppost.Refuse(lamppost.CodeBadSignature, "signed with a key of the device that does not count: it was replaced or revoked, or is not enrolled")
	// KeyAhead is said where keys are learnt late: the next one may be on its way.
	KeyAhead = lamppost.Refuse(lamppost.CodeNotReady, "signed with a newer key than is known here: try again")
)

// An Ingest takes reports from any number of goroutines. Run does the work.
type Ingest struct {
	cfg     Config
	checked checkedSet

	// mu is taken before an Allowance's.
	mu       sync.Mutex
	room     *sync.Cond // signalled when the queue got shorter, and at the end
	more     *sync.Cond // signalled when it got longer, when a deadline has passed, and at the end
	queue    []Item
	bytes    int
	since    time.Time // when the oldest item came
	filled   time.Time // when a batch was last taken
	linger   linger
	number   uint64 // of the last segment
	suspects suspects
	ended    bool
}

// New returns an Ingest that takes reports at once and works on them when Run is called.
func New(cfg Config) *Ingest {
	if cfg.Linger == 0 {
		cfg.Linger = 25 * time.Millisecond
	}
	if cfg.Workers == 0 {
		cfg.Workers = 4
	}
	if cfg.MaxBatch == 0 {
		cfg.MaxBatch = 1024
	}
	if cfg.MaxBytes == 0 || cfg.MaxBytes > lamppost.MaxSegmentBytes {
		cfg.MaxBytes = 1 << 20
	}
	if cfg.MaxQueue == 0 {
		cfg.MaxQueue = 1 << 16
	}
	if cfg.Metrics == nil {
		cfg.Metrics = NewMetrics(nil)
	}
	in := &Ingest{cfg: cfg, checked: checkedSet{raw: map[lamppost.TxID][]byte{}}, filled: time.Now(),
		linger: linger{max: cfg.Linger, maxBatch: cfg.MaxBatch}}
	in.room, in.more = sync.NewCond(&in.mu), sync.NewCond(&in.mu)
	return in
}

// ErrEnded is returned by Submit after Run has returned.
var ErrEnded = errors.New("ingest: the node is shutting down")

// Submit takes ownership of raw and waits while the queue is full, until ctx is done: then it returns its error and Done
// is not called. Nor is it after a *FloodError, which says that too many bad reports came from there. Everything else,
// refusals too, arrives at sink.Done(token).
func (in *Ingest) Submit(ctx context.Context, from *Origin, raw []byte, token uint64, sink Sink) error {
	err := in.TrySubmit(from, raw, token, sink)
	if !errors.Is(err, ErrBusy) {
		return err
	}
	stop := context.AfterFunc(ctx, func() { in.mu.Lock(); in.room.Broadcast(); in.mu.Unlock() })
	defer stop()
	in.mu.Lock()
	defer in.mu.Unlock()
	for in.full() && !in.ended && ctx.Err() == nil {
		in.room.Wait()
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return in.enqueue(from, raw, token, sink)
}

// TrySubmit is Submit that returns ErrBusy instead of waiting.
func (in *Ingest) TrySubmit(from *Origin, raw []byte, token uint64, sink Sink) error {
	if err := from.Allowance.Check(); err != nil {
		in.cfg.Metrics.Floods.Inc()
		from.Tally.unheard()
		return err
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.full() && !in.ended {
		in.cfg.Metrics.Busy.Inc()
		return ErrBusy
	}
	return in.enqueue(from, raw, token, sink)
}

func (in *Ingest) full() bool { return len(in.queue) >= in.cfg.MaxQueue || in.bytes >= maxQueueBytes }

// enqueue is called with mu held.
func (in *Ingest) enqueue(from *Origin, raw []byte, token uint64, sink Sink) error {
	if in.ended {
		return ErrEnded
	}
	if len(in.queue) == 0 {
		in.since = time.Now()
		in.more.Signal()
	}
	in.queue = append(in.queue, Item{Raw: raw, At: in.cfg.Now(), Token: token, From: from, Sink: sink})
	in.bytes += len(raw)
	if len(in.queue) == in.cfg.MaxBatch {
		in.more.Signal()
	}
	return nil
}

// finishTimeout is for the segments at hand at the end. Where too few members are left to decide them, nobody ever will.
const finishTimeout = 5 * time.Second

// Run works until ctx is done, then finishes the segments at hand, if the engine decides them soon; what is still queued is
// not answered. It returns the first error that means the engine cannot go on.
func (in *Ingest) Run(ctx context.Context) error {
	work, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	late := time.AfterFunc(math.MaxInt64, func() { cancel(consensus.ErrStopped) })
	defer late.Stop()
	stop := context.AfterFunc(ctx, func() {
		in.end()
		late.Reset(finishTimeout)
	})
	defer stop()
	var wg sync.WaitGroup
	for range in.cfg.Workers {
		wg.Go(func() {
			w := newWorker(in)
			defer w.alarm.Stop()
			for in.next(w) {
				if err := in.process(work, w); err != nil {
					in.end()
					cancel(err)
					return
				}
			}
		})
	}
	wg.Wait()
	in.end()
	if err := context.Cause(work); err != nil && !errors.Is(err, consensus.ErrStopped) {
		return fmt.Errorf("ingest: %w", err)
	}
	return nil
}

func (in *Ingest) end() {
	in.mu.Lock()
	in.ended = true
	in.room.Broadcast()
	in.more.Broadcast()
	in.mu.Unlock()
}

// Checked reports whether this gateway verified the signatures of a segment of just these bytes itself and was not asked about it
// before. The id alone would not do: it names the header, and a member who lies can put other reports behind it.
func (in *Ingest) Checked(id lamppost.TxID, raw []byte) bool { return in.checked.take(id, raw) }

// checkedSet holds the segments in flight.
type checkedSet struct {
	mu  sync.Mutex
	raw map[lamppost.TxID][]byte
}

func (c *checkedSet) add(id lamppost.TxID, raw []byte) {
	c.mu.Lock()
	c.raw[id] = raw
	c.mu.Unlock()
}

func (c *checkedSet) take(id lamppost.TxID, raw []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	own, ok := c.raw[id]
	if !ok || !bytes.Equal(own, raw) {
		return false
	}
	delete(c.raw, id)
	return true
}

func (c *checkedSet) drop(id lamppost.TxID) {
	c.mu.Lock()
	delete(c.raw, id)
	c.mu.Unlock()
}
