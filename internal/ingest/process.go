package ingest

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus"
	"github.com/lamppost/lamppost/sig"
)

// A worker carries batches from the queue to the reply, one at a time, and keeps its memory from one to the next.
type worker struct {
	in     *Ingest
	alarm  *time.Timer // wakes next when the oldest report has waited long enough
	batch  []item
	number uint64 // of the segment

	reports  []lamppost.Report
	signed   []byte // what every report signs, one after the other
	entries  []entry
	checks   []sig.Item
	ok       []bool
	salts    []byte
	items    []lamppost.SegmentItem
	verifier sig.Verifier
	raw      []byte
}

// An entry is a report on its way through process.
type entry struct {
	item     *item
	key      *sig.PublicKey
	from, to int // in signed
	id       lamppost.ReportID
	readings int
	sig      []byte
}

func newWorker(in *Ingest) *worker {
	w := &worker{in: in, reports: make([]lamppost.Report, 1)}
	w.alarm = time.AfterFunc(time.Hour, func() { in.mu.Lock(); in.more.Broadcast(); in.mu.Unlock() })
	return w
}

// process takes a batch all the way: read, verify together, pack and sign, propose, reply.
func (in *Ingest) process(ctx context.Context, w *worker) error {
	w.read()
	w.verify()
	if len(w.entries) == 0 {
		return nil
	}
	tx, err := w.segment()
	if err != nil {
		return err
	}
	id := tx.ID(in.cfg.Network)
	in.checked.add(id)
	defer in.checked.take(id)
	w.raw = tx.Append(w.raw[:0])
	d, err := in.propose(ctx, id, w.raw)
	if err != nil {
		return err // nothing is acknowledged: the devices send again; w.raw may still be in use
	}
	w.reply(d)
	return nil
}

// read decodes every report of the batch, refuses those that cannot be, and looks up their keys.
func (w *worker) read() {
	w.entries, w.signed = w.entries[:0], w.signed[:0]
	for i := range w.batch {
		it := &w.batch[i]
		r := &w.reports[0]
		if err := r.Decode(it.raw); err != nil {
			var refusal *lamppost.Refusal
			if !errors.As(err, &refusal) {
				refusal = lamppost.Refuse(lamppost.CodeBadReport, "%v", err)
			}
			w.refuse(it, lamppost.ReportID{}, refusal.Code, refusal.Text)
			continue
		}
		e := entry{item: it, from: len(w.signed), readings: len(r.Readings), sig: r.Signature()}
		w.signed = r.AppendToBeSigned(w.signed, w.in.cfg.Network)
		e.to = len(w.signed)
		e.id = sha256.Sum256(w.signed[e.from:])
		key, epoch, known := w.in.cfg.KeyOf(r.Device)
		switch {
		case r.Device != it.from.Device:
			w.refuse(it, e.id, lamppost.CodeForbidden, "this connection is another device's")
		case !known:
			w.refuse(it, e.id, lamppost.CodeUnknown, "no device of this name is enrolled")
		case epoch != r.KeyEpoch || key.Suite() != r.Suite():
			w.refuse(it, e.id, lamppost.CodeBadSignature, "signed with a key that is not the device's current one")
		default:
			e.key = key
			w.entries = append(w.entries, e)
			continue
		}
		w.signed = w.signed[:e.from]
	}
}

// verify checks all signatures of the batch together and refuses the bad ones.
func (w *worker) verify() {
	w.checks, w.ok = w.checks[:0], w.ok[:0]
	for i := range w.entries {
		e := &w.entries[i]
		w.checks = append(w.checks, sig.Item{Key: e.key, Msg: w.signed[e.from:e.to], Sig: e.sig})
		w.ok = append(w.ok, false)
	}
	if len(w.checks) == 0 || w.verifier.Verify(w.checks, w.ok) == len(w.checks) {
		return
	}
	good := w.entries[:0]
	for i, e := range w.entries {
		if w.ok[i] {
			good = append(good, e)
		} else {
			w.refuse(e.item, e.id, lamppost.CodeBadSignature, "the signature does not verify against the device's key")
		}
	}
	w.entries = good
}

// segment packs and signs what is left. It gives every report its own salt.
func (w *worker) segment() (*lamppost.Transaction, error) {
	n := len(w.entries)
	if need := (n + 1) * lamppost.SaltBytes; cap(w.salts) < need {
		w.salts = make([]byte, need)
	}
	w.salts = w.salts[:(n+1)*lamppost.SaltBytes]
	w.in.cfg.Salts(w.salts)
	w.items = w.items[:0]
	readings := 0
	for i := range w.entries {
		it := lamppost.SegmentItem{Received: w.entries[i].item.at, Report: w.entries[i].item.raw}
		copy(it.Salt[:], w.salts[i*lamppost.SaltBytes:])
		w.items = append(w.items, it)
		readings += w.entries[i].readings
	}
	seed := lamppost.Seed(w.salts[n*lamppost.SaltBytes:])
	seq := lamppost.Seq{Epoch: w.in.cfg.Epoch, N: w.number}
	return lamppost.NewSegment(w.in.cfg.Network, seq, readings, w.items, w.in.cfg.Gateway, w.in.cfg.Key, seed)
}

// propose retries while the engine is busy: what was taken from a device is not dropped.
func (in *Ingest) propose(ctx context.Context, id lamppost.TxID, raw []byte) (consensus.Decision, error) {
	for wait := time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		d, err := in.cfg.Propose.Propose(ctx, id, raw)
		if !errors.Is(err, consensus.ErrBusy) {
			return d, err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return d, ctx.Err()
		}
	}
}

func (w *worker) reply(d consensus.Decision) {
	m := w.in.cfg.Metrics
	for i := range w.entries {
		e := &w.entries[i]
		o := &d.Outcomes[i]
		r := Reply{Code: o.Code, ID: e.id, Height: d.Height, Text: o.Text}
		switch {
		case o.Code == lamppost.CodeDuplicate && len(o.Data) == 8:
			r.Height = lamppost.Height(binary.BigEndian.Uint64(o.Data))
		case !o.Code.Accepted():
			r.Height = 0
		}
		m.count(o.Code)
		if o.Code == lamppost.CodeOK {
			m.Readings.Add(float64(e.readings))
		}
		e.item.sink.Done(e.item.token, r)
	}
}

func (w *worker) refuse(it *item, id lamppost.ReportID, code lamppost.Code, text string) {
	w.in.cfg.Metrics.count(code)
	it.sink.Done(it.token, Reply{Code: code, ID: id, Text: text})
}
