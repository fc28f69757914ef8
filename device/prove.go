package device

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
)

// Where a network's pin has a quorum above 1, a single member may lie: acknowledge what it drops, or refuse what is right. There an
// acknowledged report stays in the queue, unproven, until a proof that the quorum signed shows it in the ledger, and a refusal counts
// when as many members as the quorum have refused. What is not proven in time is sent again, through another member. On disk it is as
// if the acknowledgement had not come, so a crash costs no more than sending again.

// A Roamer is a Sender that knows several members' addresses and uses one of them at a time. The acks it returns name it.
type Roamer interface {
	Sender
	// Members is how many addresses there are, each another member's.
	Members() int
	// Elsewhere makes the next attempts go to another member, if they go to this one; "": whichever it is.
	Elsewhere(server string)
}

// A Prover brings proofs of reports (docs/formats.md, Proof) from any member: a proof is checked, so it does not matter whose it
// is. It proves those of seqs, all of this device, that the ledger has under a checkpoint that a quorum has signed, and returns an
// error if there is none.
type Prover interface {
	Prove(ctx context.Context, seqs []lamppost.Seq) (proof []byte, err error)
}

// completeProofs checks that a device that needs proofs can get them, and members' refusals.
func (c *Config) completeProofs() error {
	if c.Pin == nil {
		return nil
	}
	if c.Pin.Network != c.Network {
		return fmt.Errorf("the pin is of network %q, not %q", c.Pin.Network, c.Network)
	}
	if c.Pin.Quorum < 2 || c.Sender == nil {
		return nil
	}
	if r, ok := c.Sender.(Roamer); !ok || r.Members() < c.Pin.Quorum {
		return fmt.Errorf("the network's pin has a quorum of %d, so one member alone may lie: the Sender needs the addresses of %d members or more", c.Pin.Quorum, c.Pin.Quorum)
	}
	if c.Prover == nil {
		c.Prover, _ = c.Sender.(Prover)
	}
	if c.Prover == nil {
		return fmt.Errorf("the network's pin has a quorum of %d, so an acknowledgement needs a proof: a Prover is required, such as NewHTTP makes", c.Pin.Quorum)
	}
	return nil
}

// quorum is how many members' word it takes.
func (c *Config) quorum() int {
	if c.Pin == nil {
		return 1
	}
	return max(1, c.Pin.Quorum)
}

// doubts are what a Run knows of single members' words; they are guarded as the queue is.
type doubts struct {
	acked    map[lamppost.Seq]acked
	refusals map[lamppost.Seq][]string // servers that refused it

	stay   time.Duration // until when no nameless member is left
	asking bool
	askAt  time.Duration
	failed int // requests for a proof since one proved something
	proofs chan proven
}

// An acked report is to be proven until a time.
type acked struct {
	server string
	until  time.Duration
	dup    bool
}

// proven is what a proof shows: for each report its id and the block that took it.
type proven struct {
	reports map[lamppost.Seq]inLedger
	err     error
}

type inLedger struct {
	id     lamppost.ReportID
	height lamppost.Height
}

// doubted notes an acknowledgement that is one member's word, and reports whether it is no more than that. The caller holds d.mu.
func (r *run) doubted(res result) bool {
	var report lamppost.Report
	if r.d.cfg.quorum() == 1 || report.Decode(res.raw) != nil || report.Flags&lamppost.FlagCold != 0 { // nothing proves a cold one
		return false
	}
	i, found := r.d.queue.find(res.seq)
	if !found {
		return false
	}
	now := r.now()
	if len(r.doubts.acked) == 0 {
		r.doubts.askAt = now + r.d.cfg.proveAfter
	}
	r.d.queue.entries[i].state = unproven
	r.doubts.acked[res.seq] = acked{res.ack.Server, now + r.d.cfg.ProveTimeout, res.ack.Code == lamppost.CodeDuplicate}
	return true
}

// disputed notes a refusal, and reports whether too few members have refused the report as yet: then it goes to another. The caller
// holds d.mu.
func (r *run) disputed(res result) bool {
	need := r.d.cfg.quorum()
	if need == 1 {
		return false
	}
	by := r.doubts.refusals[res.seq]
	if !slices.Contains(by, res.ack.Server) {
		by = append(by, res.ack.Server)
		r.doubts.refusals[res.seq] = by
	}
	if i, found := r.d.queue.find(res.seq); len(by) < need && found {
		e := &r.d.queue.entries[i]
		e.state = waiting
		r.blame(e)
		e.notBefore = r.now() + r.link.backoff(int(e.tries))
		r.d.cfg.Log.Info("a member refuses a report; asking another", "n", res.seq.N, "server", res.ack.Server, "code", res.ack.Code, "text", res.ack.Text)
		r.elsewhere(res.ack.Server)
		return true
	}
	delete(r.doubts.refusals, res.seq)
	return false
}

// elsewhere leaves a member that is of no use; "": whichever it is, but not two at once because of two reports.
func (r *run) elsewhere(server string) {
	s, ok := r.d.cfg.Sender.(Roamer)
	if now := r.now(); !ok || s.Members() < 2 || server == "" && now < r.doubts.stay {
		return
	} else if server == "" {
		r.doubts.stay = now + r.d.cfg.MinBackoff
	}
	s.Elsewhere(server)
}

// prove asks for a proof of what was acknowledged when it is time, gives up what was not proven in time, and returns how long until
// there is something to do.
func (r *run) prove(ctx context.Context) time.Duration {
	d, now, pause := r.d, r.now(), time.Hour
	d.mu.Lock()
	defer d.mu.Unlock()
	for seq, a := range r.doubts.acked {
		if wait := a.until - now; wait > 0 {
			pause = min(pause, wait)
			continue
		}
		r.giveUp(seq, a)
		pause = 0
	}
	switch wait := r.doubts.askAt - now; {
	case len(r.doubts.acked) == 0 || r.doubts.asking:
		return pause
	case wait > 0:
		return min(pause, wait)
	}
	r.doubts.asking = true
	go r.ask(ctx, d.unproven())
	return pause
}

// giveUp has a report that nobody proved sent again, by way of another member. The caller holds d.mu.
func (r *run) giveUp(seq lamppost.Seq, a acked) {
	delete(r.doubts.acked, seq)
	r.d.stats.Unproven++
	r.d.cfg.Log.Warn("a member acknowledged a report and nothing proves it; sending it elsewhere", "n", seq.N, "server", a.server)
	if i, found := r.d.queue.find(seq); found {
		r.d.queue.entries[i].state = waiting
	}
	r.elsewhere(a.server)
}

// unproven lists reports that are to be proven, oldest first, as many as one proof holds. The caller holds d.mu.
func (d *Device) unproven() (seqs []lamppost.Seq) {
	size := 0
	for i := range d.queue.entries {
		e := &d.queue.entries[i]
		if e.state != unproven {
			continue
		}
		if size += int(e.len); size > proveBytes && len(seqs) > 0 || len(seqs) == lamppost.RecentIDs {
			break
		}
		seqs = append(seqs, e.seq)
	}
	return seqs
}

// ask gets one proof and checks it. The loop waits for it.
func (r *run) ask(ctx context.Context, seqs []lamppost.Seq) {
	ctx, cancel := context.WithTimeout(ctx, proveTimeout)
	defer cancel()
	raw, err := r.d.cfg.Prover.Prove(ctx, seqs)
	var got proven
	if err == nil {
		got.reports, err = r.d.cfg.readProof(raw)
	}
	got.err = err
	r.doubts.proofs <- got
}

// check returns the reports of this device that a proof shows to have been taken.
func (c Config) check(raw []byte) (map[lamppost.Seq]inLedger, error) {
	p, err := lamppost.ParseProof(raw)
	if err != nil {
		return nil, err
	}
	e, err := audit.CheckProof(p, c.Pin)
	if err != nil {
		return nil, fmt.Errorf("checking a proof of reports: %w", err)
	}
	in := map[lamppost.Seq]inLedger{}
	for i := range e.Reports {
		if rep := &e.Reports[i]; rep.Signed.Device == c.ID && rep.Outcome.Code.Accepted() {
			in[rep.Signed.Seq] = inLedger{rep.Signed.ID(c.Network), rep.Tx.Height}
		}
	}
	if len(in) == 0 {
		return nil, errors.New("checking a proof of reports: it proves none of this device")
	}
	return in, nil
}

// settleProof takes out of the queue what is proven.
func (r *run) settleProof(got proven) error {
	d := r.d
	d.mu.Lock()
	defer d.mu.Unlock()
	r.doubts.asking = false
	done := 0
	for seq, in := range got.reports {
		ok, err := r.settleProven(seq, in)
		if err != nil {
			return err
		}
		if ok {
			done++
		}
	}
	r.doubts.failed++
	if done > 0 {
		r.doubts.failed = 0
	}
	r.doubts.askAt = r.now() + min(time.Duration(r.doubts.failed+1)*d.cfg.proveAfter, d.cfg.ProveTimeout/2)
	if got.err != nil {
		d.stats.LastError = got.err.Error()
		d.cfg.Log.Debug("no proof", "error", got.err)
	}
	return nil
}

func (r *run) settleProven(seq lamppost.Seq, in inLedger) (bool, error) {
	d := r.d
	i, found := d.queue.find(seq)
	if !found || d.queue.entries[i].state != unproven {
		return false, nil // under way again: its answer comes, and the next proof
	}
	raw, err := d.queue.read(d.queue.entries[i])
	if err != nil {
		return false, d.fail(err)
	}
	var report lamppost.Report
	if report.Decode(raw) != nil || report.ID(d.cfg.Network) != in.id {
		return false, nil // another report stands there: this one's turn is over when members refuse it
	}
	a := r.doubts.acked[seq]
	delete(r.doubts.acked, seq)
	delete(r.doubts.refusals, seq)
	return true, d.delivered(seq, in.height, a.dup)
}
