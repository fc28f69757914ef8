package recheck

import (
	"fmt"
	"runtime"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/sig"
)

// A place is that of a report.
type place struct {
	height lamppost.Height
	tx     uint32
	report uint32
}

// A lie is a report that was taken and is not signed as it says.
type lie struct {
	at     place
	device lamppost.DeviceID
	what   string
}

// A batch is what is verified together while the next is read.
type batch struct {
	items  []sig.Item
	of     []claim // by item
	signed []byte  // what they sign, one after the other
	ends   []int
	halves []aggregate
	held   int // reports in halves
	ok     []bool
}

// A claim says whose signature it is.
type claim struct {
	at     place
	device lamppost.DeviceID
}

// An aggregate is what is left of a segment's halved reports.
type aggregate struct {
	parts []sig.Signed
	of    []claim
	rs    []byte // and s
	whole bool   // none of them can be missing
}

func newBatch() *batch { return new(batch) }

func (b *batch) reset() {
	b.items, b.of, b.signed, b.ends, b.halves, b.held = b.items[:0], b.of[:0], b.signed[:0], b.ends[:0], b.halves[:0], 0
}

// A segment is the one whose reports are being read.
type segment struct {
	header lamppost.SegmentHeader
	signer *sig.PublicKey
	report lamppost.Report
	half   aggregate
}

// reports puts the signatures of a segment among those to verify.
func (r *run) reports(h lamppost.Height, index uint32, rec *archive.Record, tx *lamppost.Transaction) error {
	seg, err := rec.Segment()
	if err != nil {
		return fmt.Errorf("transaction %d of block %d: %w", index, h, err)
	}
	f := r.found
	f.Segments++
	f.Reports += int64(seg.Header.Count)
	f.Gone += int64(seg.Header.Count) - int64(len(seg.Kept))
	header, err := lamppost.ParseSigned(seg.Signed)
	if err != nil {
		return fmt.Errorf("transaction %d of block %d: %w", index, h, err)
	}
	s := &r.segment
	s.header, s.signer = seg.Header, r.keys.signer(seg.Header.Gateway, &header)
	s.half = aggregate{whole: len(seg.Kept) == int(seg.Header.Count)}
	for i := range seg.Kept {
		r.report(place{h, index, seg.Kept[i].Index}, &seg.Kept[i])
	}
	if n := len(s.half.parts); n > 0 {
		s.half.rs = append(s.half.rs, seg.Header.Aggregate...)
		r.batch.halves = append(r.batch.halves, s.half)
		r.batch.held += n
	}
	if len(r.batch.items) >= batchItems || r.batch.held >= batchReports {
		r.flush()
	}
	return nil
}

// report sorts one report out.
func (r *run) report(at place, k *lamppost.KeptReport) {
	f, s := r.found, &r.segment
	outcome, err := lamppost.DecodeOutcome(k.Outcome)
	if err != nil || outcome.Code != lamppost.CodeOK && outcome.Code != lamppost.CodeReused {
		f.Refused++
		return
	}
	rep := &s.report
	if err := rep.Decode(k.Report); err != nil {
		r.lie(at, "", fmt.Sprintf("it was taken and cannot be read: %v", err))
		return
	}
	device := rep.Device
	key, known := r.keys.devices[device][rep.KeyEpoch]
	public := key.public
	switch {
	case s.signer == nil:
		r.lie(at, device, fmt.Sprintf("it was taken in a segment that gateway %q did not sign", s.header.Gateway))
		return
	case !known:
		r.lie(at, device, fmt.Sprintf("it was taken, and the device never had a key %d", rep.KeyEpoch))
		return
	case key.assurance == lamppost.GatewayVouched:
		f.Vouched++
		return
	case key.assurance.Wrapped():
		public = s.signer
	}
	if rep.Halved() {
		s.half.parts = append(s.half.parts, sig.Signed{Key: public, Msg: rep.AppendToBeSigned(nil, r.Network)})
		s.half.rs = append(s.half.rs, rep.Signature()...)
		s.half.of = append(s.half.of, claim{at, device})
		return
	}
	b := r.batch
	b.signed = rep.AppendToBeSigned(b.signed, r.Network)
	b.ends = append(b.ends, len(b.signed))
	b.items = append(b.items, sig.Item{Key: public, Sig: rep.Signature()})
	b.of = append(b.of, claim{at, device})
	f.Checked++
	f.Suites[public.Suite().String()]++
}

func (r *run) lie(at place, device lamppost.DeviceID, what string) {
	r.found.Checked++
	r.bad = append(r.bad, lie{at, lamppost.DeviceID([]byte(device)), what})
}

// start begins the goroutine that verifies. Two batches go back and forth: one is read while the other is verified.
func (r *run) start() {
	r.full, r.empty, r.done = make(chan *batch), make(chan *batch, 2), make(chan struct{})
	r.empty <- newBatch()
	go func() {
		defer close(r.done)
		var v sig.Verifier
		for b := range r.full {
			b.verify(&v)
			r.empty <- b
		}
	}()
}

// flush hands the batch over and takes what came of the one before.
func (r *run) flush() {
	r.full <- r.batch
	r.batch = <-r.empty
	r.collect(r.batch)
	r.batch.reset()
}

// wait ends the goroutine after the last batch.
func (r *run) wait() {
	close(r.full)
	<-r.done
	r.collect(<-r.empty)
}

// verify checks the signatures of a batch on all processors.
func (b *batch) verify(v *sig.Verifier) {
	from := 0
	for i, to := range b.ends {
		b.items[i].Msg = b.signed[from:to]
		from = to
	}
	if cap(b.ok) < len(b.items) {
		b.ok = make([]bool, len(b.items))
	}
	b.ok = b.ok[:len(b.items)]
	if len(b.items) > 0 {
		sig.VerifyAll(runtime.GOMAXPROCS(0), b.items, b.ok)
	}
	for i := range b.halves {
		h := &b.halves[i]
		if v.VerifyAggregate(h.parts, h.rs) {
			h.rs = nil // it holds
		}
	}
}

// collect takes what came of a batch that was verified.
func (r *run) collect(b *batch) {
	f := r.found
	for i, ok := range b.ok[:len(b.items)] {
		if !ok {
			r.bad = append(r.bad, lie{b.of[i].at, lamppost.DeviceID([]byte(b.of[i].device)), "its device did not sign it"})
		}
	}
	for i := range b.halves {
		h := &b.halves[i]
		n := int64(len(h.parts))
		if h.rs != nil && !h.whole {
			f.Alone += n
			continue
		}
		f.Checked += n
		f.Halved += n
		f.Suites[sig.EdDSA.String()] += n
		if h.rs == nil {
			continue
		}
		for _, c := range h.of {
			r.bad = append(r.bad, lie{c.at, lamppost.DeviceID([]byte(c.device)), "the segment's half-aggregate does not hold"})
		}
	}
}
