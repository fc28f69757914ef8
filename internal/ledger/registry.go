package ledger

import (
	"bytes"
	"cmp"
	"errors"
	"slices"
	"unicode/utf8"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/tariff"
)

func (s *State) party(b lamppost.PartyBody) error {
	if err := s.freeName(string(b.ID)); err != nil {
		return err
	}
	if err := checkText(b.Name); err != nil {
		return err
	}
	switch {
	case b.CreditLimit < 0:
		return lamppost.Refuse(lamppost.CodeBadTx, "a credit limit is not negative")
	case b.Erased:
		return lamppost.Refuse(lamppost.CodeBadTx, "nobody is registered as erased")
	}
	s.parties[b.ID] = b
	s.putBody(key('P', string(b.ID)), b)
	return nil
}

// credit changes how far a party may go below zero from now on.
func (s *State) credit(b lamppost.CreditBody) error {
	p, ok := s.parties[b.Party]
	switch {
	case !ok:
		return lamppost.Refuse(lamppost.CodeUnknown, "no party %q whose credit limit could be changed", b.Party)
	case b.Limit < 0:
		return lamppost.Refuse(lamppost.CodeBadTx, "a credit limit is not negative")
	case b.Limit == p.CreditLimit:
		return lamppost.Refuse(lamppost.CodeExists, "the credit limit of %q is %s already", b.Party, b.Limit)
	}
	if err := checkText(b.Reason); err != nil {
		return err
	}
	p.CreditLimit = b.Limit
	return s.rewriteParty(p)
}

// rewriteParty keeps what changed about a party. Its place stays that of the order that registered it, where its name is.
func (s *State) rewriteParty(p lamppost.PartyBody) error {
	where, err := s.view().Where(lamppost.TxParty, string(p.ID), 0)
	if err != nil {
		return err
	}
	s.parties[p.ID] = p
	s.putAt(key('P', string(p.ID)), where, p)
	return nil
}

// freeName refuses ids that cannot be or are taken: devices have accounts too, so both share one name space.
func (s *State) freeName(id string) error {
	if err := lamppost.CheckName("party or device", id); err != nil {
		return lamppost.Refuse(lamppost.CodeBadTx, "%v", err)
	}
	if _, taken := s.parties[lamppost.PartyID(id)]; taken || s.devices[lamppost.DeviceID(id)] != nil {
		return lamppost.Refuse(lamppost.CodeExists, "%q is taken", id)
	}
	return nil
}

func checkText(texts ...string) error {
	for _, t := range texts {
		if len(t) > lamppost.MaxTextBytes || !utf8.ValidString(t) {
			return lamppost.Refuse(lamppost.CodeBadTx, "a name, place or memo is UTF-8 of at most %d bytes", lamppost.MaxTextBytes)
		}
	}
	return nil
}

func (s *State) point(b lamppost.PointBody) error {
	if err := lamppost.CheckName("metering point", b.ID); err != nil {
		return lamppost.Refuse(lamppost.CodeBadTx, "%v", err)
	}
	mounts := s.points[b.ID]
	if b.Mount < uint32(len(mounts)) {
		return lamppost.Refuse(lamppost.CodeExists, "metering point %q exists with %d meters; the next is mount %d", b.ID, len(mounts), len(mounts))
	}
	if s.devices[b.Device] == nil {
		return lamppost.Refuse(lamppost.CodeUnknown, "no device %q to measure at %q", b.Device, b.ID)
	}
	if b.Register == "" || len(b.Register) > lamppost.MaxReadingNameBytes || b.Unit == "" || len(b.Unit) > lamppost.MaxUnitBytes {
		return lamppost.Refuse(lamppost.CodeBadTx, "metering point %q needs a register's name and unit", b.ID)
	}
	if err := checkText(b.Place, b.Register, b.Unit); err != nil {
		return err
	}
	if err := s.checkMount(&b, mounts); err != nil {
		return err
	}
	if b.Sessions && !slices.Contains(s.serving[b.Device], b.Register) {
		s.put(seatKey(&b), lamppost.Marshal(seat{Since: Place{s.height, s.index}}))
	}
	s.addPoint(b)
	s.putBody(pointKey(b.ID, b.Mount), b)
	return nil
}

// maxMounts bounds what is kept of one point, and how often an agreement's end changes.
const maxMounts = 256

// checkMount checks what is new where another meter is hung, or the same one begins to count anew.
func (s *State) checkMount(b *lamppost.PointBody, mounts []lamppost.PointBody) error {
	bad := func(format string, args ...any) error {
		return lamppost.Refuse(lamppost.CodeBadTx, "metering point %q: "+format, append([]any{b.ID}, args...)...)
	}
	for _, v := range [...]*lamppost.Decimal{b.Closing, b.Opening, b.RollsAt} {
		if v != nil && (v.Exponent > 0 || v.Exponent < lamppost.MinExponent || v.Mantissa < 0) {
			return bad("a register shows %s, which it cannot", v)
		}
	}
	if b.RollsAt != nil && b.RollsAt.Cmp(lamppost.Dec(minRollsAt, 0)) < 0 {
		return bad("a register of so few digits begins at 0 again too often to tell")
	}
	if _, ok := s.points[b.Main]; b.Main != "" && (!ok || b.Main == b.ID) {
		return lamppost.Refuse(lamppost.CodeUnknown, "no metering point %q over %q", b.Main, b.ID)
	}
	n := len(mounts)
	switch {
	case n == 0 && (b.Mount != 0 || b.From != 0 || b.Opening != nil || b.Closing != nil):
		return bad("its first meter is mount 0 and counts from its first reading")
	case n == 0:
		return nil
	case n == maxMounts || int(b.Mount) != n:
		return bad("%d meters hung there, of at most %d; this is mount %d", n, maxMounts, b.Mount)
	case b.Unit != mounts[0].Unit:
		return bad("it counts in %q, not %q", mounts[0].Unit, b.Unit)
	case b.From%lamppost.EdgeMS != 0 || b.From <= mounts[n-1].From || b.From > s.time+lamppost.MaxAheadMS:
		return bad("another meter hangs there from a UTC quarter hour on, after the one before, and not later than tomorrow")
	}
	return nil
}

// minRollsAt is the least value that a register can begin at 0 again instead of showing.
const minRollsAt = 1000

// A register is one of a device's.
type register struct {
	device lamppost.DeviceID
	name   string
}

func (s *State) addPoint(b lamppost.PointBody) {
	s.points[b.ID] = append(s.points[b.ID], b)
	s.metered[b.Device] = true
	r := register{b.Device, b.Register}
	if !slices.Contains(s.units[r], b.Unit) {
		s.units[r] = append(s.units[r], b.Unit)
	}
	if b.Sessions && !slices.Contains(s.serving[b.Device], b.Register) {
		s.serving[b.Device] = append(s.serving[b.Device], b.Register)
	}
}

// tariff adds a version. Versions count up from 1 and begin one after the other; what was agreed under an earlier one
// keeps it until the later begins.
func (s *State) tariff(t tariff.Tariff) error {
	if err := lamppost.CheckName("tariff", t.ID); err != nil {
		return lamppost.Refuse(lamppost.CodeBadTx, "%v", err)
	}
	if err := t.Validate(); err != nil {
		return lamppost.Refuse(lamppost.CodeBadTx, "tariff %q: %v", t.ID, err)
	}
	if _, ok := s.parties[t.Seller]; !ok {
		return lamppost.Refuse(lamppost.CodeUnknown, "no party %q to sell under tariff %q", t.Seller, t.ID)
	}
	versions := s.tariffs[t.ID]
	if int(t.Version) != len(versions)+1 {
		return lamppost.Refuse(lamppost.CodeExists, "tariff %q has %d versions; the next is %d", t.ID, len(versions), len(versions)+1)
	}
	if n := len(versions); n > 0 {
		last := &versions[n-1]
		if last.Seller != t.Seller || last.Currency != t.Currency || t.From <= last.From || t.From < s.time {
			return lamppost.Refuse(lamppost.CodeBadTx, "a version of tariff %q keeps seller and currency and begins later, not in the past", t.ID)
		}
	}
	s.tariffs[t.ID] = append(versions, t)
	s.putBody(tariffKey(t.ID, t.Version), t)
	return nil
}

func (s *State) agreement(b lamppost.AgreementBody) error {
	if err := lamppost.CheckName("agreement", b.ID); err != nil {
		return lamppost.Refuse(lamppost.CodeBadTx, "%v", err)
	}
	old, taken := s.agreements[b.ID]
	if same := old; taken {
		if same.To = b.To; same != b || old.To == b.To || s.changed[b.ID] == maxMounts {
			return lamppost.Refuse(lamppost.CodeExists, "agreement %q exists; only its end can be changed", b.ID)
		}
	}
	if _, ok := s.parties[b.Buyer]; !ok {
		return lamppost.Refuse(lamppost.CodeUnknown, "no party %q to buy", b.Buyer)
	}
	point := s.points[b.Point]
	if len(point) == 0 {
		return lamppost.Refuse(lamppost.CodeUnknown, "no metering point %q", b.Point)
	}
	versions := s.tariffs[b.Tariff]
	if len(versions) == 0 {
		return lamppost.Refuse(lamppost.CodeUnknown, "no tariff %q", b.Tariff)
	}
	if versions[0].Seller != b.Seller || versions[0].RegisterUnit != point[0].Unit {
		return lamppost.Refuse(lamppost.CodeBadTx, "tariff %q is sold by %q for registers in %q; agreement %q says %q and %q",
			b.Tariff, versions[0].Seller, versions[0].RegisterUnit, b.ID, b.Seller, point[0].Unit)
	}
	if err := s.checkExemption(&b); err != nil {
		return err
	}
	if b.From%lamppost.EdgeMS != 0 || b.To%lamppost.EdgeMS != 0 || b.From < versions[0].From || b.To != 0 && b.To <= b.From {
		return lamppost.Refuse(lamppost.CodeBadTx, "agreement %q begins and ends on UTC quarter hours, within its tariff's validity", b.ID)
	}
	s.addAgreement(b)
	s.putBody(agreementKey(b.ID, s.changed[b.ID]), b)
	return nil
}

// checkExemption checks why a buyer pays another tax than the tariff's, which is none.
func (s *State) checkExemption(b *lamppost.AgreementBody) error {
	if b.TaxCategory == "" && b.TaxReason == "" {
		return nil
	}
	if err := (tariff.Tax{Category: b.TaxCategory}).Check(); err != nil || b.TaxReason == "" {
		return lamppost.Refuse(lamppost.CodeBadTx, "agreement %q: a buyer who pays no tax has a category of EN 16931 and a reason", b.ID)
	}
	return checkText(b.TaxReason)
}

func (s *State) addAgreement(b lamppost.AgreementBody) {
	if _, again := s.agreements[b.ID]; again {
		s.changed[b.ID]++
	}
	s.agreements[b.ID] = b
	pair := sides{b.Seller, b.Buyer}
	if at, there := slices.BinarySearch(s.bySide[pair], b.ID); !there {
		s.bySide[pair] = slices.Insert(s.bySide[pair], at, b.ID)
	}
}

// forgetExpired drops a few ids whose expiry has passed, so that the state does not grow with time.
func (s *State) forgetExpired() error {
	const perTransaction = 4
	now := txKey(s.time+1, lamppost.TxID{})
	if bytes.Compare(s.soonest, now) >= 0 {
		return nil // a look into the store costs more than most orders
	}
	var gone [][]byte
	from := s.soonest // what was dropped before it is in the store's way until that is compacted
	s.soonest = end(key('X'))
	err := s.scan(from, s.soonest, func(key, _ []byte) error {
		if bytes.Compare(key, now) >= 0 || len(gone) == perTransaction {
			s.soonest = slices.Clone(key)
			return kv.ErrStop
		}
		gone = append(gone, slices.Clone(key))
		return nil
	})
	for _, k := range gone {
		s.del(k)
		s.del(append(key('Y'), k[2+8:]...))
	}
	return err
}

// load fills the registry from the store.
func (s *State) load() error {
	switch net, err := (View{s.store}).Network(); {
	case errors.Is(err, kv.ErrNotFound):
		return nil
	case err != nil:
		return err
	default:
		s.net = net
	}
	var err error
	if s.members, err = parseMembers(s.net.Members); err != nil {
		return err
	}
	return cmp.Or(
		loadEach(s, 'P', func(b lamppost.PartyBody) error { s.parties[b.ID] = b; return nil }),
		s.loadGateways(),
		s.loadDevices(),
		loadEach(s, 'R', s.loadRevoked),
		loadEach(s, 'O', func(b lamppost.PointBody) error { s.addPoint(b); return nil }),
		loadEach(s, 'T', func(t tariff.Tariff) error { s.tariffs[t.ID] = append(s.tariffs[t.ID], t); return nil }),
		loadEach(s, 'p', func(b lamppost.CentreBody) error { s.centres[b.Device] = append(s.centres[b.Device], b); return nil }),
		loadEach(s, 'G', func(b lamppost.AgreementBody) error { s.addAgreement(b); return nil }),
		loadEach(s, 'k', func(b lamppost.ContractBody) error { s.bind(b); return nil }),
		s.loadEnded(),
	)
}

// loadEach decodes every value of one kind, in the order of its keys.
func loadEach[B any](s *State, kind byte, fn func(b B) error) error {
	from := key(kind)
	return s.store.Scan(from, end(from), func(_, val []byte) error {
		b, err := decodeBody[B](slices.Clone(val))
		if err != nil {
			return err
		}
		return fn(b)
	})
}
