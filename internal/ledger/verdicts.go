package ledger

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
)

// What triage found, and what people say of it. Triage reads committed blocks and orders what it finds; nothing of it is decided here. The
// ledger keeps it, and holds back what a verdict suspends until somebody answers. suspend.go has what that does to money.

// A Verdict is one as the state has it: with who found it and what people said of it.
type Verdict struct {
	ID      lamppost.VerdictID `cbor:"1,keyasint" json:"id"`
	By      lamppost.MemberID  `cbor:"2,keyasint" json:"by"`
	Time    lamppost.TimeMS    `cbor:"3,keyasint" json:"found_ms"` // of its block
	Model   lamppost.Model     `cbor:"4,keyasint" json:"model"`
	Body    lamppost.Verdict   `cbor:"5,keyasint" json:"verdict"`
	Reviews []Review           `cbor:"6,keyasint,omitempty" json:"reviews,omitempty"` // the last one counts
}

// A Review is what somebody said of a verdict, in an order at Height and Tx.
type Review struct {
	Answer lamppost.ReviewAnswer `cbor:"1,keyasint" json:"answer"`
	Reason string                `cbor:"2,keyasint,omitempty" json:"reason,omitempty"`
	By     lamppost.MemberID     `cbor:"3,keyasint" json:"by"` // empty: the order that gave the device a new key
	Time   lamppost.TimeMS       `cbor:"4,keyasint" json:"time_ms"`
	Height lamppost.Height       `cbor:"5,keyasint" json:"height"`
	Tx     uint32                `cbor:"6,keyasint" json:"tx"`
}

// maxReviews of one verdict.
const maxReviews = 16

// Answer is the last review, or nil.
func (v *Verdict) Answer() *Review {
	if n := len(v.Reviews); n > 0 {
		return &v.Reviews[n-1]
	}
	return nil
}

// Final is the last review that ends what the verdict suspends, or nil.
func (v *Verdict) Final() *Review {
	for i := len(v.Reviews) - 1; i >= 0; i-- {
		if v.Reviews[i].Answer.Final() {
			return &v.Reviews[i]
		}
	}
	return nil
}

// Open reports whether it waits for an answer: somebody who saw it gave none.
func (v *Verdict) Open() bool {
	return v.Final() == nil && (v.Body.Suspends || !slices.ContainsFunc(v.Reviews, func(r Review) bool { return r.Answer != lamppost.ReviewSeen }))
}

// Suspending reports whether it holds something back.
func (v *Verdict) Suspending() bool { return v.Body.Suspends && v.Final() == nil }

const verdictBytes = placeBytes + 4

// appendVerdict appends an id so that later ones sort first.
func appendVerdict(b []byte, id lamppost.VerdictID) []byte {
	n := len(b)
	b = binary.BigEndian.AppendUint32(Place{id.Height, id.Tx}.append(b), id.Index)
	for i := n; i < len(b); i++ {
		b[i] = ^b[i]
	}
	return b
}

// verdictIn reads the id at the end of a key.
func verdictIn(k []byte) lamppost.VerdictID {
	var b [verdictBytes]byte
	for i, x := range k[len(k)-verdictBytes:] {
		b[i] = ^x
	}
	at, _ := decodePlace(b[:])
	return lamppost.VerdictID{Height: at.Height, Tx: at.Index, Index: binary.BigEndian.Uint32(b[placeBytes:])}
}

func verdictKey(id lamppost.VerdictID) []byte { return appendVerdict(key('t'), id) }
func openVerdictKey(id lamppost.VerdictID) []byte {
	return appendVerdict(key('s', "o"), id)
}
func ofDeviceKey(d lamppost.DeviceID, id lamppost.VerdictID) []byte {
	return appendVerdict(append(key('z', string(d)), 0), id)
}
func suspendedKey(d lamppost.DeviceID, register string) []byte {
	return append(key('b', string(d), register), 0)
}
func keepKey(d lamppost.DeviceID) []byte   { return append(key('s', "k"+string(d)), 0) }
func judgedKey(d lamppost.DeviceID) []byte { return append(key('s', "r"+string(d)), 0) }
func throughKey(m lamppost.MemberID) []byte {
	return key('s', "m"+string(m))
}

// judgedBy is the key under which a reading is known as judged by a model, so that nothing is found twice.
func judgedBy(m *lamppost.Model, v *lamppost.Verdict) []byte {
	x := lamppost.Verdict{Kind: v.Kind, Device: v.Device, Name: v.Name, Height: v.Height, Tx: v.Tx, Report: v.Report, Record: v.Record}
	if v.Kind == lamppost.Behaviour {
		x.At, x.Reasons = v.At, []lamppost.VerdictReason{{Code: v.Reasons[0].Code}}
	}
	sum := sha256.Sum256(append(lamppost.Marshal(x), m.Hash[:]...))
	return append(judgedKey(v.Device), sum[:16]...)
}

// verdicts keeps what a member's triage found. All that was found before is a duplicate; some of it is refused, so that nothing is lost.
func (s *State) verdicts(b lamppost.VerdictsBody, by lamppost.MemberID) (out lamppost.Outcome, err error) {
	if err := b.Check(); err != nil {
		return out, lamppost.Refuse(lamppost.CodeBadTx, "%v", err)
	}
	if b.Through >= s.height {
		return out, lamppost.Refuse(lamppost.CodeBadTx, "block %d is not there to be judged in block %d", b.Through, s.height)
	}
	again, err := s.checkVerdicts(&b)
	if err != nil {
		return out, err
	}
	if n := len(b.Verdicts); n > 0 && again != (lamppost.VerdictID{}) {
		return lamppost.Outcome{Code: lamppost.CodeDuplicate, Data: binary.BigEndian.AppendUint64(nil, uint64(again.Height))}, nil
	}
	for i := range b.Verdicts {
		s.keepVerdict(&Verdict{ID: lamppost.VerdictID{Height: s.height, Tx: s.index, Index: uint32(i)}, By: by, Time: s.time, Model: b.Model, Body: b.Verdicts[i]})
	}
	if through, err := s.number(throughKey(by)); err != nil || lamppost.Height(through) >= b.Through {
		return out, err
	}
	s.put(throughKey(by), binary.BigEndian.AppendUint64(nil, uint64(b.Through)))
	return out, nil
}

// checkVerdicts refuses those that cannot be. If all were found before it returns the first.
func (s *State) checkVerdicts(b *lamppost.VerdictsBody) (again lamppost.VerdictID, err error) {
	seen, known := map[string]bool{}, 0
	for i := range b.Verdicts {
		v := &b.Verdicts[i]
		if err := s.checkVerdict(v); err != nil {
			return again, err
		}
		k := judgedBy(&b.Model, v)
		if seen[string(k)] {
			return again, lamppost.Refuse(lamppost.CodeBadTx, "verdict %d is there twice", i)
		}
		seen[string(k)] = true
		raw, err := s.get(k)
		if errors.Is(err, kv.ErrNotFound) {
			continue
		}
		if err != nil {
			return again, err
		}
		if known++; known == 1 {
			again = verdictIn(raw)
		}
	}
	if known > 0 && known < len(b.Verdicts) {
		return again, lamppost.Refuse(lamppost.CodeExists, "%d of %d verdicts stand in the ledger, the first as %s: order the others alone", known, len(b.Verdicts), again)
	}
	return again, nil
}

func (s *State) checkVerdict(v *lamppost.Verdict) error {
	if s.devices[v.Device] == nil {
		return lamppost.Refuse(lamppost.CodeUnknown, "no device %q that a verdict could be about", v.Device)
	}
	if v.Kind == lamppost.Behaviour {
		return nil
	}
	at := Place{v.Height, v.Tx}
	if at.Compare(Place{s.height, s.index}) >= 0 {
		return lamppost.Refuse(lamppost.CodeBadTx, "transaction %d of block %d is not there to be judged", v.Tx, v.Height)
	}
	erased, err := s.view().Erased(v.Device)
	if errors.Is(err, kv.ErrNotFound) || err == nil && (v.Evidence() || at.Compare(erased.Place) > 0) {
		return nil
	}
	if err == nil {
		err = lamppost.Refuse(lamppost.CodeForbidden, "what %q reported before block %d was erased: nothing is said of it", v.Device, erased.Height)
	}
	return err
}

func (s *State) keepVerdict(v *Verdict) {
	b := &v.Body
	s.put(verdictKey(v.ID), lamppost.Marshal(v))
	s.put(ofDeviceKey(b.Device, v.ID), nil)
	s.put(openVerdictKey(v.ID), nil)
	s.put(judgedBy(&v.Model, b), appendVerdict(nil, v.ID))
	if b.KeepTo > 0 {
		s.put(appendVerdict(keepKey(b.Device), v.ID), binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(b.KeepFrom)), uint64(b.KeepTo)))
	}
	if b.Evidence() {
		s.put(appendVerdict(suspendedKey(b.Device, b.Name), v.ID), nil)
	}
	if d := s.devices[b.Device]; b.Kind == lamppost.Behaviour && b.Suspends && d.quarantined == "" {
		s.quarantine(d, v)
	}
}

// quarantine has a device's reports refused for its behaviour.
func (s *State) quarantine(d *device, v *Verdict) {
	d.quarantined, d.reused = quarantinedBy(v), lamppost.Seq{}
	s.put(key('F', string(d.Body.ID)), encodeQuarantine(d.quarantined, d.reused))
}

// quarantinedBy is why a device is quarantined that a verdict suspends.
func quarantinedBy(v *Verdict) string {
	return fmt.Sprintf("verdict %s on its behaviour: %s", v.ID, v.Body.Reasons[0].Code)
}

// review keeps what somebody says of a verdict, and ends what it suspends.
func (s *State) review(b lamppost.ReviewBody, by lamppost.MemberID) error {
	if err := b.Check(); err != nil {
		return lamppost.Refuse(lamppost.CodeBadTx, "%v", err)
	}
	v, err := s.view().Verdict(b.Verdict)
	switch {
	case errors.Is(err, kv.ErrNotFound):
		return lamppost.Refuse(lamppost.CodeUnknown, "no verdict %s", b.Verdict)
	case err != nil:
		return err
	case v.Body.Suspends && b.Answer == lamppost.ReviewNormal:
		return lamppost.Refuse(lamppost.CodeBadTx, "verdict %s suspends %s: the answer is valid or wrong", v.ID, v.about())
	case v.Body.Suspends && b.Answer.Final() && b.Reason == "":
		return lamppost.Refuse(lamppost.CodeBadTx, "verdict %s suspends %s: what ends that has a reason", v.ID, v.about())
	case len(v.Reviews) >= maxReviews:
		return lamppost.Refuse(lamppost.CodeExists, "verdict %s was answered %d times", v.ID, maxReviews)
	}
	v.Reviews = append(v.Reviews, Review{Answer: b.Answer, Reason: b.Reason, By: by, Time: s.time, Height: s.height, Tx: s.index})
	s.put(verdictKey(v.ID), lamppost.Marshal(v))
	if !v.Open() {
		s.del(openVerdictKey(v.ID))
	}
	if b.Answer.Final() {
		return s.endQuarantine(&v)
	}
	return nil
}

// about names what a verdict suspends.
func (v *Verdict) about() string {
	if v.Body.Kind == lamppost.Behaviour {
		return fmt.Sprintf("device %q", v.Body.Device)
	}
	return fmt.Sprintf("register %q of %q", v.Body.Name, v.Body.Device)
}

// endQuarantine frees a device that a verdict quarantined.
func (s *State) endQuarantine(v *Verdict) error {
	d := s.devices[v.Body.Device]
	if d.quarantined != quarantinedBy(v) {
		return nil
	}
	return s.free(d)
}

// free ends a device's quarantine, unless a verdict that nobody answered asks for one.
func (s *State) free(d *device) error {
	asks, err := s.asking(d.Body.ID)
	if err != nil {
		return err
	}
	if len(asks) > 0 {
		s.quarantine(d, asks[0])
		return nil
	}
	d.quarantined = ""
	s.del(key('F', string(d.Body.ID)))
	return nil
}

// asking returns the verdicts that ask for a device's quarantine and that nobody answered.
func (s *State) asking(id lamppost.DeviceID) (all []*Verdict, err error) {
	err = s.view().VerdictsOf(id, lamppost.VerdictID{}, func(x *Verdict) error {
		if x.Body.Kind == lamppost.Behaviour && x.Suspending() {
			all = append(all, x)
		}
		return nil
	})
	return all, err
}

// vouched answers with a device's new key what asks for its quarantine: its owner vouches for it anew.
func (s *State) vouched(asks []*Verdict) {
	for _, v := range asks {
		v.Reviews = append(v.Reviews, Review{Answer: lamppost.ReviewWrong, Reason: "the device has a new key", Time: s.time, Height: s.height, Tx: s.index})
		s.put(verdictKey(v.ID), lamppost.Marshal(v))
		s.del(openVerdictKey(v.ID))
	}
}

// watch keeps what triage should know. It replaces what was said before of the same point or device.
func (s *State) watch(b lamppost.WatchBody) error {
	if err := b.Check(); err != nil {
		return lamppost.Refuse(lamppost.CodeBadTx, "%v", err)
	}
	switch {
	case b.Point != "" && len(s.points[b.Point]) == 0:
		return lamppost.Refuse(lamppost.CodeUnknown, "no metering point %q to watch", b.Point)
	case b.Device != "" && s.devices[b.Device] == nil:
		return lamppost.Refuse(lamppost.CodeUnknown, "no device %q to watch", b.Device)
	}
	s.putBody(watchKey(b.Point, b.Device), b)
	return nil
}

func watchKey(point string, device lamppost.DeviceID) []byte {
	switch {
	case point != "":
		return key('s', "p"+point)
	case device != "":
		return key('s', "d"+string(device))
	}
	return key('s', "b")
}

// eraseVerdicts forgets what was found of a device, and in which orders, but what suspends a register: that is evidence of bills, as
// billing reports are. What an order says of other devices stays in the state.
func (s *State) eraseVerdicts(id lamppost.DeviceID) error {
	var gone []*Verdict
	err := s.view().VerdictsOf(id, lamppost.VerdictID{}, func(v *Verdict) error {
		if s.del(appendVerdict(keepKey(id), v.ID)); !v.Body.Evidence() {
			gone = append(gone, v)
		}
		return nil
	})
	if err != nil {
		return err
	}
	here := Place{s.height, s.index}.append(nil)
	forget := func(at Place) { s.put(append(key('g'), at.append(nil)...), here) }
	for _, v := range gone {
		for _, k := range [...][]byte{verdictKey(v.ID), ofDeviceKey(id, v.ID), openVerdictKey(v.ID), judgedBy(&v.Model, &v.Body)} {
			s.del(k)
		}
		forget(Place{v.ID.Height, v.ID.Tx})
		for _, r := range v.Reviews {
			if r.By != "" {
				forget(Place{r.Height, r.Tx})
			}
		}
	}
	return nil
}
