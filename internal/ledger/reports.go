package ledger

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"runtime"
	"slices"
	"strings"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/sig"
	"github.com/lamppost/lamppost/tariff"
)

// A device is an enrolled device with what its next report is judged by.
type device struct {
	keys[lamppost.DeviceBody]
	seq         sequence
	quarantined string       // why; empty: it is not
	reused      lamppost.Seq // the number that was used twice

	// Since the last commit: the ids taken, and how many of them are already written.
	round   uint64
	taken   []recent
	written int
	dirty   bool
	forgot  uint64 // in this round the stored ids were erased
}

// reportChecker holds the memory of applySegment from one segment to the next, so that a report costs no allocation.
type reportChecker struct {
	reports []lamppost.Report
	refused []error // by report: why it cannot be read
	signed  []byte  // the bytes every report signs, one after the other
	ends    []int
	items   []sig.Item
	which   []int // by item: its report
	ok      []bool
	dirty   []*device
	segment *sig.PublicKey // that the segment is signed with
	epoch   uint32         // of that key
	trusted bool           // its gateway's word is taken for the reports' signatures

	// The reports of which the segment's half-aggregate has the other half of the signature.
	halved    []int
	together  []sig.Signed
	aggregate []byte
	verifier  sig.Verifier
}

// applySegment judges every report of a segment on its own. A segment that its gateway did not sign as it stands is
// refused as a whole: each of its reports gets that outcome.
func (s *State) applySegment(tx *lamppost.Transaction, checked bool) ([]lamppost.Outcome, error) {
	outcomes := make([]lamppost.Outcome, len(tx.Items))
	c := &s.checker
	c.decode(s.net.Network, tx.Items)
	if refusal := s.checkSegment(tx, checked); refusal != nil {
		for i := range outcomes {
			outcomes[i] = outcome(refusal.Code, refusal.Text)
		}
		return outcomes, nil
	}
	c.trusted = s.trusts(&tx.Header)
	s.verify(tx, checked)
	for i := range tx.Items {
		out, err := s.applyReport(tx, i)
		if err != nil {
			return nil, err
		}
		outcomes[i] = out
	}
	s.writeDevices()
	if c.trusted {
		return outcomes, s.record(tx, outcomes)
	}
	return outcomes, nil
}

// decode reads all reports and the bytes they sign.
func (c *reportChecker) decode(network string, items []lamppost.SegmentItem) {
	n := len(items)
	for len(c.reports) < n {
		c.reports = append(c.reports, lamppost.Report{})
	}
	c.refused, c.ends, c.signed = slices.Grow(c.refused[:0], n)[:n], c.ends[:0], c.signed[:0]
	for i := range items {
		if c.refused[i] = c.reports[i].Decode(items[i].Report); c.refused[i] == nil {
			c.signed = c.reports[i].AppendToBeSigned(c.signed, network)
		}
		c.ends = append(c.ends, len(c.signed))
	}
}

// message returns what report i signs.
func (c *reportChecker) message(i int) []byte {
	from := 0
	if i > 0 {
		from = c.ends[i-1]
	}
	return c.signed[from:c.ends[i]]
}

// checkSegment finds the key that a segment is signed with, or says why it is refused as a whole. Of one that the caller
// checked only the key is asked: it may have been revoked since.
func (s *State) checkSegment(tx *lamppost.Transaction, checked bool) *lamppost.Refusal {
	c := &s.checker
	c.segment, c.epoch = s.segmentKey(&tx.Signed, checked)
	switch {
	case c.segment == nil:
		return lamppost.Refuse(lamppost.CodeBadSignature, "%s", s.notSegment(tx.Header.Gateway))
	case checked:
		return nil
	case lamppost.MerkleRoot(tx.Leaves()) != tx.Header.Root:
		return lamppost.Refuse(lamppost.CodeBadTx, "the reports are not those the gateway signed")
	}
	readings := 0
	for i := range tx.Items {
		if c.refused[i] == nil {
			readings += len(c.reports[i].Readings)
		}
	}
	if readings != int(tx.Header.Readings) {
		return lamppost.Refuse(lamppost.CodeBadTx, "the header counts %d readings, the reports have %d", tx.Header.Readings, readings)
	}
	return nil
}

// verify says of every report whether it is shown to be its device's. Signatures that nobody checked yet are checked
// together; those taken as good are not: the caller checked them, or the gateway's word counts. Whose key it is must be asked
// in any case: since somebody looked, an earlier transaction may have given the device another key.
func (s *State) verify(tx *lamppost.Transaction, checked bool) {
	c := &s.checker
	n := len(c.ends)
	c.ok = slices.Grow(c.ok[:0], n)[:n]
	c.items, c.which, c.halved, c.together = c.items[:0], c.which[:0], c.halved[:0], c.together[:0]
	for i := range n {
		c.ok[i] = false
		if c.refused[i] != nil {
			continue
		}
		r := &c.reports[i]
		var enrolled *held[lamppost.DeviceBody]
		if d := s.devices[r.Device]; d != nil {
			enrolled = d.under(r.KeyEpoch, s.time)
		}
		how, key := prove(enrolled, r, tx.Header.Gateway, c.segment)
		if r.Halved() {
			c.halve(i, how, key)
			continue
		}
		c.ok[i] = how != byNobody
		if how != byOwnKey || checked || c.trusted {
			continue
		}
		if valid, known := s.block.of(s.index, i, key); known {
			c.ok[i] = valid
			continue
		}
		c.items = append(c.items, sig.Item{Key: key, Msg: c.message(i), Sig: r.Signature()})
		c.which = append(c.which, i)
	}
	c.verifyWhole()
	c.verifyHalved(tx.Header.Aggregate, checked)
}

func (c *reportChecker) verifyWhole() {
	if len(c.items) == 0 {
		return
	}
	valid := make([]bool, len(c.items))
	sig.VerifyAll(runtime.GOMAXPROCS(0), c.items, valid)
	for j, i := range c.which {
		c.ok[i] = valid[j]
	}
}

// halve notes a report of the half-aggregate: with a key if it is its device's own and counts.
func (c *reportChecker) halve(i int, how proof, key *sig.PublicKey) {
	if how != byOwnKey {
		key = nil
	}
	c.halved = append(c.halved, i)
	c.together = append(c.together, sig.Signed{Key: key, Msg: c.message(i)})
}

// verifyHalved says of the halved reports whether the half-aggregate shows all of them to be their devices': together or not
// at all, and not if one of the keys does not count.
func (c *reportChecker) verifyHalved(s []byte, checked bool) {
	if len(c.halved) == 0 || s == nil {
		return
	}
	c.aggregate = c.aggregate[:0]
	for j, i := range c.halved {
		if c.together[j].Key == nil {
			return
		}
		c.aggregate = append(c.aggregate, c.reports[i].Signature()...)
	}
	c.aggregate = append(c.aggregate, s...)
	if !checked && !c.verifier.VerifyAggregate(c.together, c.aggregate) {
		return
	}
	for _, i := range c.halved {
		c.ok[i] = c.reports[i].Cold()
	}
}

// forged checks a report of a trusted gateway by itself where being wrong could not be undone.
func (s *State) forged(tx *lamppost.Transaction, d *device, i int) bool {
	c := &s.checker
	if !c.trusted {
		return false
	}
	r := &c.reports[i]
	how, key := prove(d.under(r.KeyEpoch, s.time), r, tx.Header.Gateway, c.segment)
	return how == byOwnKey && !key.Verify(c.message(i), r.Signature())
}

// applyReport decides one report: who sent it, whether it is new, what it changes.
func (s *State) applyReport(tx *lamppost.Transaction, i int) (lamppost.Outcome, error) {
	c := &s.checker
	if c.refused[i] != nil {
		return refusedReport(c.refused[i]), nil
	}
	r := &c.reports[i]
	d := s.devices[r.Device]
	switch {
	case d == nil:
		return outcome(lamppost.CodeUnknown, "no device of this name is enrolled"), nil
	case !c.ok[i] && r.Halved():
		return outcome(lamppost.CodeBadSignature, notTogether(r)), nil
	case !c.ok[i]:
		return outcome(lamppost.CodeBadSignature, d.unproven(r, s.time)), nil
	case r.Cold() && s.metered[r.Device]:
		return outcome(lamppost.CodeForbidden, "the device has a metering point: its readings are billed, so none of its reports is cold"), nil
	case d.quarantined != "":
		return outcome(lamppost.CodeQuarantined, d.quarantined), nil
	}
	id := lamppost.ReportID(sha256.Sum256(c.message(i)))
	short := lamppost.RecentID(d.under(r.KeyEpoch, s.time).Body.Salt, id) // a resend is signed under the same key
	switch d.seq.check(r.Seq) {
	case stale:
		return outcome(lamppost.CodeTooOld, "the device has begun a later epoch"), nil
	case seen:
		return s.seenBefore(d, r.Seq, short, func() bool { return s.forged(tx, d, i) })
	}
	if r.Seq.Epoch > d.seq.epoch && s.forged(tx, d, i) {
		return outcome(lamppost.CodeBadSignature, d.unproven(r, s.time)), nil
	}
	if ahead(r, s.time) {
		return outcome(lamppost.CodeAhead, "a synchronised clock more than a day ahead of the ledger"), nil
	}
	given, err := d.meterGives(r, s.time)
	if err != nil {
		return outcome(lamppost.CodeBadEvidence, err.Error()), nil
	}
	s.take(d, r, &tx.Items[i], recent{seq: r.Seq, id: short, height: s.height, tx: s.index, report: uint32(i)})
	if err := s.keepMoments(d, r, uint32(i), given); err != nil {
		return lamppost.Outcome{}, err
	}
	return lamppost.Outcome{}, s.edges(d, r, uint32(i), given)
}

// notTogether says why a report of a half-aggregate is not taken.
func notTogether(r *lamppost.Report) string {
	if !r.Cold() {
		return "half of a signature, of a report that its device did not call cold"
	}
	return "the segment's half-aggregate does not show that the devices' keys signed its reports"
}

func refusedReport(err error) lamppost.Outcome {
	var r *lamppost.Refusal
	if errors.As(err, &r) {
		return outcome(r.Code, r.Text)
	}
	return outcome(lamppost.CodeBadReport, err.Error())
}

func outcome(code lamppost.Code, text string) lamppost.Outcome {
	return lamppost.Outcome{Code: code, Text: text}
}

func ahead(r *lamppost.Report, now lamppost.TimeMS) bool {
	if r.TimeQuality != lamppost.TimeSynchronised {
		return false
	}
	for i := range r.Readings {
		if r.Readings[i].Time > now+lamppost.MaxAheadMS {
			return true
		}
	}
	return false
}

// seenBefore tells an honest resend from a second report under one number. The second, being validly signed, is
// evidence: the device or a copy of its key lies, and it is quarantined.
func (s *State) seenBefore(d *device, seq lamppost.Seq, short [16]byte, forged func() bool) (lamppost.Outcome, error) {
	first, err := s.recent(d, seq)
	if errors.Is(err, kv.ErrNotFound) {
		return outcome(lamppost.CodeTooOld, "the number is in no gap and its first report is no longer remembered"), nil
	}
	if err != nil {
		return lamppost.Outcome{}, err
	}
	if first.id == short {
		return lamppost.Outcome{Code: lamppost.CodeDuplicate, Data: binary.BigEndian.AppendUint64(nil, uint64(first.height))}, nil
	}
	if forged() {
		return outcome(lamppost.CodeBadSignature, "the signature is not that of the device's key with this epoch"), nil
	}
	d.quarantined, d.reused = "two different reports were signed under one number", seq
	s.put(key('F', string(d.Body.ID)), encodeQuarantine(d.quarantined, seq))
	return outcome(lamppost.CodeReused, "another report with this number was committed before"), nil
}

// recent finds what is kept of a number: first among what is not committed yet, then in the store, in the slots that the
// former leaves alone.
func (s *State) recent(d *device, seq lamppost.Seq) (recent, error) {
	var fresh uint32
	if d.round == s.round {
		for i := len(d.taken) - 1; i >= 0; i-- {
			switch t := &d.taken[i]; {
			case fresh>>t.slot&1 == 1: // overwritten since
			case t.seq == seq:
				return *t, nil
			default:
				fresh |= 1 << t.slot
			}
		}
	}
	if d.forgot == s.round {
		return recent{}, kv.ErrNotFound
	}
	return findRecent(s.store, d.Body.ID, seq, fresh)
}

// findRecent looks for a number in the stored slots but those in the mask without.
func findRecent(r kv.Reader, id lamppost.DeviceID, seq lamppost.Seq, without uint32) (recent, error) {
	found, err := recent{}, error(kv.ErrNotFound)
	scanned := r.Scan(recentKey(nil, id, 0), recentKey(nil, id, lamppost.RecentIDs), func(key, val []byte) error {
		x, bad := decodeRecent(val)
		if bad != nil {
			return bad
		}
		if slot := key[len(key)-1]; x.seq == seq && without>>slot&1 == 0 {
			found, err = x, nil
			found.slot = slot
			return kv.ErrStop
		}
		return nil
	})
	if scanned != nil {
		return recent{}, scanned
	}
	return found, err
}

// take marks a report as committed. Its rated time is the device's latest time, held between the device's previous
// report and the receive time that the gateway signed.
func (s *State) take(d *device, r *lamppost.Report, it *lamppost.SegmentItem, t recent) {
	d.seq.take(r.Seq)
	at := lamppost.TimeMS(0)
	for i := range r.Readings {
		at = max(at, r.Readings[i].Time)
	}
	d.seq.rated = max(d.seq.rated, min(at, it.Received))
	t.slot = uint8(d.seq.count % lamppost.RecentIDs)
	d.seq.count++
	s.remember(d, t)
}

// remember puts something into a slot, to be written with the device.
func (s *State) remember(d *device, t recent) {
	if d.round != s.round {
		d.round, d.taken, d.written = s.round, d.taken[:0], 0
	}
	d.taken = append(d.taken, t)
	s.touch(d)
}

// touch has a device written at the end of the transaction.
func (s *State) touch(d *device) {
	if !d.dirty {
		d.dirty = true
		s.checker.dirty = append(s.checker.dirty, d)
	}
}

// edges keeps the registers of a billing report, see [tariff.Edge.YieldsTo]. given marks the readings that the device's meter signed
// too; it may be nil.
func (s *State) edges(d *device, r *lamppost.Report, report uint32, given []bool) error {
	if !r.Billing() {
		return nil
	}
	for i := range r.Readings {
		x := &r.Readings[i]
		at, ok := lamppost.SnapToEdge(x.Time)
		if !ok || x.Kind != lamppost.Register || x.Quality >= lamppost.Faulty || strings.IndexByte(x.Name, 0) >= 0 || !s.counts(d.Body.ID, x.Name, x.Unit) {
			continue // a zero byte would end the name's part of the key
		}
		e := tariff.Edge{Time: at, Value: x.Value, Quality: x.Quality, MeterSigned: given != nil && given[i],
			Source: tariff.Source{Height: s.height, Tx: s.index, Report: report, Record: uint32(i)}}
		if _, err := s.putEdge(edgeKey(d.Body.ID, x.Name, at), &e); err != nil {
			return err
		}
	}
	return nil
}

// putEdge keeps a value unless what is known for its time stays.
func (s *State) putEdge(k []byte, e *tariff.Edge) (kept bool, err error) {
	raw, err := s.get(k)
	if err == nil {
		var known tariff.Edge
		if err := lamppost.Unmarshal(raw, &known); err != nil || !known.YieldsTo(e) {
			return false, err
		}
	} else if !errors.Is(err, kv.ErrNotFound) {
		return false, err
	}
	s.put(k, lamppost.Marshal(e))
	return true, nil
}

// reading keeps a value that somebody entered by hand.
func (s *State) reading(b lamppost.ReadingBody) error {
	if s.devices[b.Device] == nil {
		return lamppost.Refuse(lamppost.CodeUnknown, "no device %q whose register could be entered", b.Device)
	}
	if err := checkText(b.Reason, b.Register, b.Unit); err != nil {
		return err
	}
	grid, serves := b.Time%lamppost.EdgeMS == 0, slices.Contains(s.serving[b.Device], b.Register)
	switch {
	case b.Register == "" || len(b.Register) > lamppost.MaxReadingNameBytes || strings.IndexByte(b.Register, 0) >= 0 || b.Unit == "" || len(b.Unit) > lamppost.MaxUnitBytes:
		return lamppost.Refuse(lamppost.CodeBadTx, "a value entered by hand needs its register's name and unit")
	case b.Time <= 0 || b.Time > s.time || !grid && !serves:
		return lamppost.Refuse(lamppost.CodeBadTx, "a value entered by hand is of a UTC quarter hour in the past, or of any moment where there are sessions")
	case b.Quality != lamppost.Estimated && b.Quality != lamppost.Substituted || b.Reason == "":
		return lamppost.Refuse(lamppost.CodeBadTx, "a value entered by hand is estimated or substituted, and has a reason")
	case b.Value.Exponent > 0 || b.Value.Exponent < lamppost.MinExponent:
		return lamppost.Refuse(lamppost.CodeBadTx, "%s has an exponent that no reading has", b.Value)
	}
	if !s.counts(b.Device, b.Register, b.Unit) {
		return lamppost.Refuse(lamppost.CodeBadTx, "register %q of %q counts in %s, not %s", b.Register, b.Device,
			strings.Join(s.units[register{b.Device, b.Register}], " or "), b.Unit)
	}
	e := tariff.Edge{Time: b.Time, Value: b.Value, Quality: b.Quality, Manual: true, Source: tariff.Source{Height: s.height, Tx: s.index}}
	kept, keptToo := false, false
	var err error
	if grid {
		kept, err = s.putEdge(edgeKey(b.Device, b.Register, b.Time), &e)
	}
	if serves && err == nil {
		keptToo, err = s.putEdge(momentKey(b.Device, b.Register, b.Time), &e)
	}
	if err == nil && !kept && !keptToo {
		err = lamppost.Refuse(lamppost.CodeExists, "register %q of %q is known at that time: a substituted value would replace it", b.Register, b.Device)
	}
	return err
}

// counts reports whether a register counts in a unit at a metering point, or at none yet: opening readings may come before the point does.
// Of what is signed in another unit nothing is kept: nobody could verify a bill that rests on it.
func (s *State) counts(id lamppost.DeviceID, name, unit string) bool {
	units := s.units[register{id, name}]
	return len(units) == 0 || slices.Contains(units, unit)
}

// writeDevices encodes what the segment changed, each device once, in the order they were first touched.
func (s *State) writeDevices() {
	var buf, val []byte
	for _, d := range s.checker.dirty {
		buf = append(append(buf[:0], prefix, 'Q'), d.Body.ID...)
		val = d.seq.append(val[:0])
		s.writes = appendWrite(s.writes, buf, val)
		for i := max(d.written, len(d.taken)-lamppost.RecentIDs); i < len(d.taken); i++ { // older ones are overwritten
			buf = recentKey(buf[:0], d.Body.ID, d.taken[i].slot)
			if d.taken[i].seq.N == 0 {
				s.writes = appendDelete(s.writes, buf)
				continue
			}
			val = d.taken[i].append(val[:0])
			s.writes = appendWrite(s.writes, buf, val)
		}
		d.written, d.dirty = len(d.taken), false
	}
	s.checker.dirty = s.checker.dirty[:0]
}
