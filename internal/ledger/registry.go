package ledger

import (
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
		if len(t) > maxText || !utf8.ValidString(t) {
			return lamppost.Refuse(lamppost.CodeBadTx, "a name, place or memo is UTF-8 of at most %d bytes", maxText)
		}
	}
	return nil
}

func (s *State) point(b lamppost.PointBody) error {
	if err := lamppost.CheckName("metering point", b.ID); err != nil {
		return lamppost.Refuse(lamppost.CodeBadTx, "%v", err)
	}
	if _, taken := s.points[b.ID]; taken {
		return lamppost.Refuse(lamppost.CodeExists, "metering point %q exists", b.ID)
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
	s.addPoint(b)
	s.putBody(key('O', b.ID), b)
	return nil
}

func (s *State) addPoint(b lamppost.PointBody) {
	s.points[b.ID] = b
	s.metered[b.Device] = true
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
	if _, taken := s.agreements[b.ID]; taken {
		return lamppost.Refuse(lamppost.CodeExists, "agreement %q exists", b.ID)
	}
	if _, ok := s.parties[b.Buyer]; !ok {
		return lamppost.Refuse(lamppost.CodeUnknown, "no party %q to buy", b.Buyer)
	}
	point, ok := s.points[b.Point]
	if !ok {
		return lamppost.Refuse(lamppost.CodeUnknown, "no metering point %q", b.Point)
	}
	versions := s.tariffs[b.Tariff]
	if len(versions) == 0 {
		return lamppost.Refuse(lamppost.CodeUnknown, "no tariff %q", b.Tariff)
	}
	if versions[0].Seller != b.Seller || versions[0].RegisterUnit != point.Unit {
		return lamppost.Refuse(lamppost.CodeBadTx, "tariff %q is sold by %q for registers in %q; agreement %q says %q and %q",
			b.Tariff, versions[0].Seller, versions[0].RegisterUnit, b.ID, b.Seller, point.Unit)
	}
	if b.From%lamppost.EdgeMS != 0 || b.To%lamppost.EdgeMS != 0 || b.From < versions[0].From || b.To != 0 && b.To <= b.From {
		return lamppost.Refuse(lamppost.CodeBadTx, "agreement %q begins and ends on UTC quarter hours, within its tariff's validity", b.ID)
	}
	s.addAgreement(b)
	s.putBody(key('G', b.ID), b)
	return nil
}

func (s *State) addAgreement(b lamppost.AgreementBody) {
	s.agreements[b.ID] = b
	pair := sides{b.Seller, b.Buyer}
	at, _ := slices.BinarySearch(s.bySide[pair], b.ID)
	s.bySide[pair] = slices.Insert(s.bySide[pair], at, b.ID)
}

// forgetExpired drops a few ids whose expiry has passed, so that the state does not grow with time.
func (s *State) forgetExpired() error {
	const perTransaction = 4
	var gone [][]byte
	err := s.scan(key('X'), txKey(s.time+1, lamppost.TxID{}), func(key, _ []byte) error {
		if gone = append(gone, slices.Clone(key)); len(gone) == perTransaction {
			return kv.ErrStop
		}
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
	raw, err := s.store.Get(genesisKey())
	if errors.Is(err, kv.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	var g lamppost.GenesisBody
	if err := lamppost.Unmarshal(raw, &g); err != nil {
		return err
	}
	s.network, s.memberList, s.unsigned, s.policy = g.Network, g.Members, g.AdmitUnsigned, g.Verify
	if s.members, err = parseMembers(g.Members); err != nil {
		return err
	}
	return cmp.Or(
		loadEach(s, 'P', func(b lamppost.PartyBody) error { s.parties[b.ID] = b; return nil }),
		s.loadGateways(),
		s.loadDevices(),
		loadEach(s, 'R', s.loadRevoked),
		loadEach(s, 'O', func(b lamppost.PointBody) error { s.addPoint(b); return nil }),
		loadEach(s, 'T', func(t tariff.Tariff) error { s.tariffs[t.ID] = append(s.tariffs[t.ID], t); return nil }),
		loadEach(s, 'G', func(b lamppost.AgreementBody) error { s.addAgreement(b); return nil }),
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
