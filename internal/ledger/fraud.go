package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/sig"
	"github.com/lamppost/lamppost/tariff"
)

// Under [lamppost.VerifyGateway] a registered gateway's word is taken for its reports, and can be challenged for
// [lamppost.ChallengeMS]: until then the state keeps of each such segment which it was and which reports it brought, and
// of a report which invoices rest on it. docs/formats.md, "fraud", has the rule.

// A segmentRecord is what is kept of a segment that was taken on its gateway's word.
type segmentRecord struct {
	ID       lamppost.TxID   `cbor:"1,keyasint"`
	Time     lamppost.TimeMS `cbor:"2,keyasint"`           // of its block
	Accepted []byte          `cbor:"3,keyasint"`           // a bit for each report that was accepted as new, the first in bit 0 of byte 0
	Epoch    uint32          `cbor:"4,keyasint,omitempty"` // of the gateway's key that signed it
}

// A reportRecord is what is kept of one of its reports beyond that, where there is something.
type reportRecord struct {
	Invoices  []string `cbor:"1,keyasint,omitempty"` // that rest on it
	Convicted bool     `cbor:"2,keyasint,omitempty"`
}

const forgetPerTx = 8 // records dropped with each transaction: more than it adds, but for invoices

// segmentAt is the key of a segment's record, reportAt that of a report in it, which comes right after it.
func segmentAt(at Place) []byte { return at.append(key('S')) }

func reportAt(at Place, report uint32) []byte {
	return binary.BigEndian.AppendUint32(segmentAt(at), report)
}

// trusts reports whether a gateway's word is taken for the reports of its segment. Members' segments are checked like
// everybody's, and so are those with a half-aggregate: of one report of it nobody could prove that it was forged.
func (s *State) trusts(h *lamppost.SegmentHeader) bool {
	return s.net.Verify == lamppost.VerifyGateway && s.members[h.Gateway] == nil && s.gateways[h.Gateway] != nil && h.Aggregate == nil
}

// record keeps what a challenge of this segment will need.
func (s *State) record(tx *lamppost.Transaction, outcomes []lamppost.Outcome) error {
	rec := segmentRecord{ID: tx.ID(s.net.Network), Time: s.time, Accepted: make([]byte, (len(outcomes)+7)/8), Epoch: s.checker.epoch}
	for i := range outcomes {
		if outcomes[i].Code == lamppost.CodeOK {
			rec.Accepted[i/8] |= 1 << (i % 8)
		}
	}
	s.put(segmentAt(Place{s.height, s.index}), lamppost.Marshal(rec))
	return s.forgetSegments()
}

// forgetSegments drops a few records that can be challenged no more, oldest first. A report's record follows its segment's,
// so one without a segment before it belongs to a segment that is dropped already.
func (s *State) forgetSegments() error {
	if s.net.Verify != lamppost.VerifyGateway {
		return nil
	}
	var gone [][]byte
	from := key('S')
	err := s.scan(from, end(from), func(k, val []byte) error {
		if len(k) == len(from)+placeBytes {
			var rec segmentRecord
			if err := lamppost.Unmarshal(val, &rec); err != nil {
				return err
			}
			if rec.Time+lamppost.ChallengeMS > s.time {
				return kv.ErrStop
			}
		}
		if gone = append(gone, slices.Clone(k)); len(gone) == forgetPerTx {
			return kv.ErrStop
		}
		return nil
	})
	for _, k := range gone {
		s.del(k)
	}
	return err
}

// rests notes that an invoice rests on reports that can still be challenged.
func (s *State) rests(inv *tariff.Invoice) error {
	if s.net.Verify != lamppost.VerifyGateway {
		return nil
	}
	seen := map[tariff.Source]bool{}
	for i := range inv.Supplies {
		for _, e := range inv.Supplies[i].Edges {
			for _, at := range [...]tariff.Source{e.Source, e.Next} {
				at.Record = 0
				if at.Height == 0 || seen[at] {
					continue
				}
				seen[at] = true
				if err := s.restsOn(at, inv.Number); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (s *State) restsOn(at tariff.Source, number string) error {
	place := Place{at.Height, at.Tx}
	if _, err := s.get(segmentAt(place)); errors.Is(err, kv.ErrNotFound) {
		return nil
	} else if err != nil {
		return err
	}
	rec, err := readReport(reader{s}, place, at.Report)
	if err != nil {
		return err
	}
	rec.Invoices = append(rec.Invoices, number)
	s.put(reportAt(place, at.Report), lamppost.Marshal(rec))
	return nil
}

func readReport(r kv.Reader, at Place, report uint32) (rec reportRecord, err error) {
	raw, err := r.Get(reportAt(at, report))
	if errors.Is(err, kv.ErrNotFound) {
		return rec, nil
	}
	if err != nil {
		return rec, err
	}
	return rec, lamppost.Unmarshal(raw, &rec)
}

// A lie is an accusation that was looked into and holds.
type lie struct {
	gateway lamppost.MemberID
	epoch   uint32 // of the key that signed the segment
	report  lamppost.Report
	taken   bool // the report was accepted as new
	record  reportRecord
}

// challenge looks into an accusation. What does not hold is a *lamppost.Refusal.
func challenge(r kv.Reader, network string, now lamppost.TimeMS, b *lamppost.FraudBody) (*lie, error) {
	signed, err := lamppost.ParseSigned(b.Header)
	if err != nil {
		return nil, lamppost.Refuse(lamppost.CodeBadTx, "%v", err)
	}
	h, err := lamppost.ParseSegmentHeader(signed)
	if err != nil {
		return nil, lamppost.Refuse(lamppost.CodeBadTx, "%v", err)
	}
	rec, err := committed(r, network, now, b, &signed)
	if err != nil {
		return nil, err
	}
	key, epoch, err := signer(r, network, &signed)
	if err == nil && epoch != rec.Epoch {
		err = lamppost.Refuse(lamppost.CodeBadSignature, "key %d of gateway %q signed this segment, not key %d", rec.Epoch, h.Gateway, epoch)
	}
	if err != nil {
		return nil, err
	}
	l := &lie{gateway: h.Gateway, epoch: epoch, taken: rec.accepted(b.Report)}
	if err := standsIn(b, &h); err != nil {
		return nil, err
	}
	if l.record, err = readReport(r, Place{b.Height, b.Tx}, b.Report); err != nil {
		return nil, err
	}
	if l.record.Convicted {
		return nil, lamppost.Refuse(lamppost.CodeExists, "report %d of segment %d in block %d was corrected before", b.Report, b.Tx, b.Height)
	}
	return l, l.check(r, network, key, b.Raw)
}

// check refuses to call a report a lie that is signed as it says. segment is the key that signed the header.
func (l *lie) check(r kv.Reader, network string, segment *sig.PublicKey, raw []byte) error {
	if err := l.report.Decode(raw); err != nil {
		return lamppost.Refuse(lamppost.CodeBadTx, "nobody takes this for a device's report: %v", err)
	}
	key, err := claimed(r, &l.report, segment)
	if err != nil {
		return err
	}
	if l.report.Verify(network, key) {
		return lamppost.Refuse(lamppost.CodeBadTx, "%q signed this report with key %d: gateway %q did not lie", l.report.Device, l.report.KeyEpoch, l.gateway)
	}
	return nil
}

// committed checks that the segment stands where the accusation says and can still be challenged, and returns its record.
func committed(r kv.Reader, network string, now lamppost.TimeMS, b *lamppost.FraudBody, signed *lamppost.Signed) (rec segmentRecord, err error) {
	raw, err := r.Get(segmentAt(Place{b.Height, b.Tx}))
	if errors.Is(err, kv.ErrNotFound) {
		return rec, lamppost.Refuse(lamppost.CodeUnknown, "no segment was taken on a gateway's word as transaction %d of block %d in the last 7 days", b.Tx, b.Height)
	}
	if err == nil {
		err = lamppost.Unmarshal(raw, &rec)
	}
	switch {
	case err != nil:
		return rec, err
	case rec.Time+lamppost.ChallengeMS <= now:
		return rec, lamppost.Refuse(lamppost.CodeExpired, "block %d is more than 7 days old", b.Height)
	case rec.ID != signed.ID(network, lamppost.PurposeSegment):
		return rec, lamppost.Refuse(lamppost.CodeBadTx, "transaction %d of block %d is another segment", b.Tx, b.Height)
	}
	return rec, nil
}

// accepted says whether a report of the segment was accepted as new.
func (r *segmentRecord) accepted(report uint32) bool {
	i := int(report / 8)
	return i < len(r.Accepted) && r.Accepted[i]>>(report%8)&1 == 1
}

// standsIn checks that the report stands at its place under the header.
func standsIn(b *lamppost.FraudBody, h *lamppost.SegmentHeader) error {
	leaf, err := b.Leaf()
	if err == nil {
		err = lamppost.CheckMerklePath(leaf, int(b.Report), int(h.Count), b.Path, h.Root)
	}
	if err != nil {
		return lamppost.Refuse(lamppost.CodeBadTx, "not report %d of this segment: %v", b.Report, err)
	}
	return nil
}

// signer finds the gateway's key that signed a header, and its epoch.
func signer(r kv.Reader, network string, signed *lamppost.Signed) (*sig.PublicKey, uint32, error) {
	keys, err := View{r}.GatewayKeys(signed.Key)
	if err != nil {
		return nil, 0, err
	}
	for i := len(keys) - 1; i >= 0; i-- {
		public, err := sig.ParsePublicKey(sig.EdDSA, keys[i].Body.Key)
		if err != nil {
			return nil, 0, err
		}
		if signed.Verify(network, lamppost.PurposeSegment, public) {
			return public, keys[i].Body.KeyEpoch, nil
		}
	}
	return nil, 0, lamppost.Refuse(lamppost.CodeBadSignature, "no key of gateway %q signed this header", signed.Key)
}

// claimed returns the key that a report says it is signed with. segment is the one that signed the header.
func claimed(r kv.Reader, rep *lamppost.Report, segment *sig.PublicKey) (*sig.PublicKey, error) {
	raw, err := r.Get(epochKey('D', string(rep.Device), rep.KeyEpoch))
	if errors.Is(err, kv.ErrNotFound) {
		return nil, lamppost.Refuse(lamppost.CodeUnknown, "device %q never had a key %d: the report could not be taken", rep.Device, rep.KeyEpoch)
	}
	if err != nil {
		return nil, err
	}
	k, err := decodeBody[Key[lamppost.DeviceBody]](raw)
	switch {
	case err != nil:
		return nil, err
	case k.Body.Assurance == lamppost.DeviceSigned:
		return sig.ParsePublicKey(k.Body.Suite, k.Body.Key)
	case k.Body.Assurance.Wrapped():
		return segment, nil
	}
	return nil, lamppost.Refuse(lamppost.CodeForbidden, "only the gateway that shares key %d of %q can check its reports", rep.KeyEpoch, rep.Device)
}

// Challenge says what would become of an accusation now: nil if it holds, a *lamppost.Refusal if it does not.
func (v View) Challenge(now lamppost.TimeMS, b *lamppost.FraudBody) error {
	g, err := v.Network()
	if err != nil {
		return err
	}
	if g.Verify != lamppost.VerifyGateway {
		return trustsNobody(g.Network)
	}
	_, err = challenge(v, g.Network, now, b)
	return err
}

// Honest reports whether a report of a committed segment is signed as it says, or nobody can tell. It is what Challenge
// would find, without a Merkle path over the whole segment.
func (v View) Honest(tx *lamppost.Transaction, report uint32) (bool, error) {
	g, err := v.Network()
	if err != nil {
		return false, err
	}
	key, _, err := signer(v, g.Network, &tx.Signed)
	if err == nil {
		err = new(lie).check(v, g.Network, key, tx.Items[report].Report)
	}
	var refusal *lamppost.Refusal
	if errors.As(err, &refusal) {
		return true, nil
	}
	return false, err
}

func trustsNobody(network string) error {
	return lamppost.Refuse(lamppost.CodeForbidden, "network %q takes no gateway's word: every signature was checked", network)
}

// Challengeable calls fn for every segment that can be challenged, the oldest first.
func (v View) Challengeable(fn func(Place) error) error {
	from := key('S')
	return v.Scan(from, end(from), func(k, _ []byte) error {
		if len(k) != len(from)+placeBytes {
			return nil
		}
		at, err := decodePlace(k[len(from):])
		if err != nil {
			return err
		}
		return fn(at)
	})
}

// fraud undoes what a report did that its device did not sign, and suspends the gateway that signed for it. It returns the
// encoded correction.
func (s *State) fraud(b lamppost.FraudBody) ([]byte, error) {
	if s.net.Verify != lamppost.VerifyGateway {
		return nil, trustsNobody(s.net.Network)
	}
	l, err := challenge(reader{s}, s.net.Network, s.time, &b)
	if err != nil {
		return nil, err
	}
	seq := l.report.Seq
	c := lamppost.Correction{Gateway: l.gateway, Device: l.report.Device, Epoch: seq.Epoch, N: seq.N, Taken: l.taken, Invoices: l.record.Invoices}
	if l.taken {
		if c.Edges, err = s.undo(&l.report, tariff.Source{Height: b.Height, Tx: b.Tx, Report: b.Report}); err != nil {
			return nil, err
		}
	}
	l.record.Convicted = true
	s.put(reportAt(Place{b.Height, b.Tx}, b.Report), lamppost.Marshal(l.record))
	if g := s.gateways[l.gateway]; !g.isRevoked(l.epoch) {
		c.Suspended = true
		s.endGateway(g, lamppost.RevokeBody{Gateway: l.gateway, KeyEpoch: g.epoch, Reason: fmt.Sprintf("it signed for report %d/%d of %s in block %d, which %s did not sign",
			seq.Epoch, seq.N, l.report.Device, b.Height, l.report.Device)})
	}
	return lamppost.Marshal(c), nil
}

// undo takes back the edges that came from a report, frees its number, and ends a quarantine that rests on it.
func (s *State) undo(r *lamppost.Report, at tariff.Source) (edges uint32, err error) {
	gone, err := s.edgesFrom(r, at)
	if err != nil {
		return 0, err
	}
	d := s.devices[r.Device]
	if err := s.forget(d, r.Seq, at); err != nil {
		return 0, err
	}
	for _, k := range gone {
		s.del(k)
	}
	d.seq.reopen(r.Seq)
	s.touch(d)
	s.writeDevices()
	if d.quarantined != "" && d.reused == r.Seq {
		if err := s.free(d); err != nil {
			return 0, err
		}
	}
	return uint32(len(gone)), nil
}

// edgesFrom returns the keys of the edges that came from a report.
func (s *State) edgesFrom(r *lamppost.Report, at tariff.Source) (gone [][]byte, err error) {
	if !r.Billing() {
		return nil, nil
	}
	for i := range r.Readings {
		x := &r.Readings[i]
		if x.Kind != lamppost.Register || strings.IndexByte(x.Name, 0) >= 0 {
			continue
		}
		keys := [][]byte{momentKey(r.Device, x.Name, x.Time)}
		if edge, near := lamppost.SnapToEdge(x.Time); near {
			keys = append(keys, edgeKey(r.Device, x.Name, edge))
		}
		for _, k := range keys {
			from, err := s.isFrom(k, at)
			if err != nil {
				return nil, err
			}
			if from && !slices.ContainsFunc(gone, func(g []byte) bool { return string(g) == string(k) }) {
				gone = append(gone, k)
			}
		}
	}
	return gone, nil
}

// isFrom reports whether a value of a register came from a report.
func (s *State) isFrom(key []byte, at tariff.Source) (bool, error) {
	raw, err := s.get(key)
	if errors.Is(err, kv.ErrNotFound) {
		return false, nil
	}
	var e tariff.Edge
	if err == nil {
		err = lamppost.Unmarshal(raw, &e)
	}
	e.Source.Record = 0
	return e.Source == at && !e.Manual, err
}

// forget drops what is remembered of a report under its number, which another may use now.
func (s *State) forget(d *device, seq lamppost.Seq, at tariff.Source) error {
	t, err := s.recent(d, seq)
	if errors.Is(err, kv.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if t.height == at.Height && t.tx == at.Tx && t.report == at.Report {
		s.remember(d, recent{slot: t.slot}) // no number: an empty slot
	}
	return nil
}
