package device

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/lamppost/lamppost"
)

// Run sends the queue's reports until ctx is done or Close is called, up to Window at once, started in order of number.
// It returns nil then, after every send has returned, and an error only if the disk or another Run is in the way.
func (d *Device) Run(ctx context.Context) error {
	if d.cfg.Sender == nil {
		return fmt.Errorf("running device %q: it has no Sender", d.cfg.ID)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	me := &running{cancel: cancel, done: make(chan struct{})}
	d.mu.Lock()
	err := d.usable()
	if err == nil && d.running != nil {
		err = errors.New("it is running already")
	}
	if err != nil {
		d.mu.Unlock()
		return fmt.Errorf("running device %q: %w", d.cfg.ID, err)
	}
	d.running = me
	d.mu.Unlock()

	r := run{d: d, results: make(chan result, d.cfg.Window), started: time.Now(), link: newLink(d.cfg),
		doubts: doubts{acked: map[lamppost.Seq]acked{}, refusals: map[lamppost.Seq][]string{}, proofs: make(chan proven, 1)}}
	d.resend()
	var keys sync.WaitGroup
	keys.Go(func() { d.goOn(ctx) })
	err = r.loop(ctx)
	cancel()
	keys.Wait()
	d.mu.Lock()
	d.running = nil
	d.mu.Unlock()
	close(me.done)
	return err
}

// running is how Close ends a Run.
type running struct {
	cancel context.CancelFunc
	done   chan struct{}
}

// Drain waits until the queue is empty. Reports are sent by Run, which must be running meanwhile.
func (d *Device) Drain(ctx context.Context) error {
	for {
		d.mu.Lock()
		emptied, err := d.emptied, d.usable()
		d.mu.Unlock()
		if emptied == nil || err != nil {
			return err
		}
		select {
		case <-emptied:
		case <-ctx.Done():
			return fmt.Errorf("waiting for the queue of device %q: %w", d.cfg.ID, ctx.Err())
		}
	}
}

// A run is the state of Run's goroutine. It alone starts sends and settles their results; entries are guarded by d.mu.
type run struct {
	d        *Device
	results  chan result // room for all under way, so that a send never waits for the loop
	started  time.Time
	link     link
	underWay int
	doubts   doubts

	oldest  lamppost.Seq // see limit
	probes  uint64
	suspect bool // the oldest failed, and since then nothing got through
}

// A result is what a send brought back.
type result struct {
	seq  lamppost.Seq
	raw  []byte
	mark mark
	ack  Ack
	err  error
}

func (r *run) loop(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var err error
	for err == nil && ctx.Err() == nil {
		var pause time.Duration
		if pause, err = r.start(ctx); err != nil {
			break
		}
		timer.Reset(min(pause, r.prove(ctx)))
		select {
		case <-ctx.Done():
		case res := <-r.results:
			err = r.settle(res)
		case got := <-r.doubts.proofs:
			err = r.settleProof(got)
		case <-r.d.wake:
		case <-timer.C:
		}
	}
	for r.underWay > 0 { // each has ctx or a time limit, so this ends; what was acknowledged meanwhile counts
		if settled := r.settle(<-r.results); err == nil {
			err = settled
		}
	}
	if r.doubts.asking { // likewise
		if settled := r.settleProof(<-r.doubts.proofs); err == nil {
			err = settled
		}
	}
	return err
}

// start sends what may be sent now, and returns how long until more may be.
func (r *run) start(ctx context.Context) (pause time.Duration, err error) {
	const idle = time.Hour // woken earlier by a new report or a result
	now := r.now()
	if wait := r.link.notBefore - now; wait > 0 {
		return wait, nil
	}
	d := r.d
	d.mu.Lock()
	defer d.mu.Unlock()
	pause = idle
	limit := r.limit()
	for i := range d.queue.entries {
		if r.underWay == d.cfg.Window {
			break
		}
		e := &d.queue.entries[i]
		if compareSeq(e.seq, limit) >= 0 {
			break
		}
		if e.state != waiting {
			continue
		}
		if wait := e.notBefore - now; wait > 0 {
			pause = min(pause, wait)
			continue
		}
		raw, err := d.queue.read(*e)
		if err != nil {
			return 0, d.fail(err)
		}
		e.state = underWay
		r.underWay++
		d.stats.UnderWay++
		go r.send(ctx, result{seq: e.seq, raw: raw, mark: r.link.mark()})
	}
	return pause, nil
}

// limit returns the first number that must wait until the oldest unacknowledged report is through. Any that was sent may be
// committed already, its answer lost; sent again it is recognised only while fewer than lamppost.RecentIDs others were committed after
// it, in whatever order. Those may be the maxWindow-1 numbers below it, which need not have been through when it was sent, and as many
// above it: 30. A later epoch waits for an earlier one, which it ends.
//
// But a report that fails again and again for its own sake shall not hold up the others for ever: each time it fails with nothing else
// under way, one more number is sent to find out whether the link is to blame, and one that is found guilty patience times, for
// blockedAtMost, is no longer waited for. That is long, because its answers may have been lost by chance or by members in
// trouble, and if one of those was of a commit, it will be refused. The caller holds d.mu.
func (r *run) limit() lamppost.Seq {
	for i := range r.d.queue.entries {
		e := &r.d.queue.entries[i]
		if e.state == over || e.tries >= patience && r.now()-e.blamed >= blockedAtMost {
			continue
		}
		if r.oldest != e.seq {
			r.oldest, r.probes, r.suspect = e.seq, 0, false
		}
		return lamppost.Seq{Epoch: e.seq.Epoch, N: e.seq.N + maxWindow - patience + r.probes}
	}
	return lamppost.Seq{Epoch: math.MaxUint32}
}

// now is monotonic, unlike Config.Now: a device's clock may be set while a pause lasts.
func (r *run) now() time.Duration { return time.Since(r.started) }

// send makes one attempt. The loop waits for its result.
func (r *run) send(ctx context.Context, res result) {
	ctx, cancel := context.WithTimeout(ctx, r.d.cfg.SendTimeout)
	defer cancel()
	if res.ack, res.err = r.d.cfg.Sender.Send(ctx, res.raw); res.err == nil {
		res.err = r.d.checkAck(res)
	}
	r.results <- res
}

// checkAck refuses an acknowledgement that is none: of another report, or asking to wait.
func (d *Device) checkAck(res result) error {
	if !res.ack.Code.Final() {
		return &WaitError{Why: fmt.Sprintf("the network says %q", res.ack.Code)}
	}
	if res.ack.ID.IsZero() {
		return nil
	}
	var report lamppost.Report
	if err := report.Decode(res.raw); err != nil {
		return nil // not readable even for us, so the network names no id either
	}
	if id := report.ID(d.cfg.Network); id != res.ack.ID {
		return fmt.Errorf("the acknowledgement is for report %s, not for %s", res.ack.ID, id)
	}
	return nil
}

// settle takes in the result of one send.
func (r *run) settle(res result) error {
	r.underWay--
	d := r.d
	d.mu.Lock()
	d.stats.UnderWay--
	var refused *Refused
	var err error
	switch {
	case res.err != nil:
		r.failed(res)
	case res.ack.Code.Accepted():
		r.succeeded(res)
		if !r.doubted(res) {
			err = d.delivered(res.seq, res.ack.Height, res.ack.Code == lamppost.CodeDuplicate)
		}
	default:
		r.succeeded(res)
		if !r.disputed(res) {
			refused, err = d.refuse(res)
		}
	}
	d.mu.Unlock()
	if refused != nil {
		d.cfg.OnRefused(*refused)
	}
	return err
}

// succeeded notes that the link works, so that the oldest report, if it failed just before, failed for its own sake. The
// caller holds d.mu.
func (r *run) succeeded(res result) {
	r.link.succeeded()
	if i, found := r.d.queue.find(r.oldest); r.suspect && found && res.seq != r.oldest {
		r.blame(&r.d.queue.entries[i])
		r.suspect = false
	}
}

// blame notes that a report failed for its own sake. The caller holds d.mu.
func (r *run) blame(e *entry) {
	if e.tries == 0 {
		e.blamed = r.now()
	}
	e.tries = min(e.tries+1, 32)
}

// failed puts the report back into the queue. The caller holds d.mu.
func (r *run) failed(res result) {
	d := r.d
	d.stats.Failures++
	d.stats.LastError = res.err.Error()
	i, found := d.queue.find(res.seq)
	if !found {
		return
	}
	e := &d.queue.entries[i]
	e.state = waiting
	var wait *WaitError
	after := time.Duration(0)
	if errors.As(res.err, &wait) {
		after = wait.After
	}
	round := r.link.round
	if r.link.failed(res.mark, r.now(), after) {
		if r.link.round > round && r.link.failures%patience == 0 {
			r.elsewhere("")
		}
		if res.seq == r.oldest {
			r.probes, r.suspect = min(r.probes+1, patience), true
		}
		return
	}
	r.blame(e)
	if res.seq == r.oldest {
		r.suspect = false // and convicted
	}
	if e.tries%patience == 0 {
		r.elsewhere("") // it may be this member that does not want it
	}
	e.notBefore = r.now() + max(after, r.link.backoff(int(e.tries)))
	d.cfg.Log.Debug("a report is to be sent again", "n", res.seq.N, "error", res.err)
}

// delivered records that the ledger has a report. The caller holds d.mu.
func (d *Device) delivered(seq lamppost.Seq, height lamppost.Height, again bool) error {
	d.stats.Delivered++
	if again {
		d.stats.Duplicates++
	}
	d.stats.Height = max(d.stats.Height, height)
	return d.finish(seq)
}

// resend forgets what members acknowledged to a Run before this one and nobody proved, and what failed when, by that one's clock.
func (d *Device) resend() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range d.queue.entries {
		e := &d.queue.entries[i]
		e.tries, e.notBefore = 0, 0
		if e.state == unproven {
			e.state = waiting
		}
	}
}

// refuse records a refusal, first its reason and then that the report is over: if the power fails in between, the report
// is sent and refused once more. The caller holds d.mu.
func (d *Device) refuse(res result) (*Refused, error) {
	d.stats.Refused++
	ref := Refused{Time: lamppost.TimeMS(d.cfg.Now().UnixMilli()), Epoch: res.seq.Epoch, N: res.seq.N, ID: res.ack.ID,
		Code: res.ack.Code.String(), Text: res.ack.Text, Report: res.raw}
	d.cfg.Log.Warn("a report was refused", "n", ref.N, "code", ref.Code, "text", ref.Text)
	if err := d.refused.add(ref); err != nil {
		return nil, d.fail(err)
	}
	return &ref, d.finish(res.seq)
}

// finish takes a report out of the queue. The caller holds d.mu.
func (d *Device) finish(seq lamppost.Seq) error {
	if err := d.queue.done(seq); err != nil {
		return d.fail(err)
	}
	if d.queue.waiting == 0 && d.emptied != nil {
		close(d.emptied)
		d.emptied = nil
	}
	return nil
}

// A link decides when to try again. A failed attempt is put down to the link, and everybody pauses, unless another
// attempt has succeeded since it began: then it is put down to that one report, and the others go on.
type link struct {
	min, max  time.Duration
	random    *rand.Rand
	successes int64
	round     int64 // one pause each, however many of the attempts before it fail
	failures  int   // rounds without a success
	notBefore time.Duration
}

// A mark is the state of the link when an attempt began.
type mark struct{ successes, round int64 }

func newLink(c Config) link { return link{min: c.MinBackoff, max: c.MaxBackoff, random: c.Rand} }

func (l *link) mark() mark { return mark{l.successes, l.round} }

func (l *link) succeeded() {
	l.successes++
	l.failures, l.notBefore = 0, 0
}

// failed reports whether the link is to blame, and if so begins a pause of at least after.
func (l *link) failed(m mark, now, after time.Duration) bool {
	if m.successes != l.successes && after == 0 {
		return false
	}
	if m.round == l.round {
		l.round++
		l.failures++
		l.notBefore = now + l.backoff(l.failures)
	}
	l.notBefore = max(l.notBefore, now+after)
	return true
}

// backoff returns the pause after so many failures, at least 1: doubling, with the upper half left to chance.
func (l *link) backoff(failures int) time.Duration {
	pause := l.max
	if shift := failures - 1; shift < 32 && l.min <= l.max>>shift {
		pause = l.min << shift
	}
	return pause/2 + time.Duration(l.random.Int64N(int64(pause/2)+1))
}
