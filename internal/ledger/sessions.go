package ledger

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/tariff"
)

// Sessions: one use of a device, for which money is held until it is billed.

// A use is what the state keeps of a session.
type use struct {
	Body    lamppost.SessionBody `cbor:"1,keyasint"`
	Seller  lamppost.PartyID     `cbor:"2,keyasint"`
	Mount   uint32               `cbor:"3,keyasint"` // the meter
	Held    lamppost.Micro       `cbor:"4,keyasint"`
	Stop    lamppost.TimeMS      `cbor:"5,keyasint,omitempty"` // 0: it goes on
	Void    string               `cbor:"6,keyasint,omitempty"`
	Invoice string               `cbor:"7,keyasint,omitempty"`
	Opened  Place                `cbor:"8,keyasint"`
	Settled Place                `cbor:"9,keyasint,omitzero"`
	// Of one that a device accepted for itself: which, from when the period of its limit is, and the digest of its acceptance.
	For      lamppost.DeviceID `cbor:"10,keyasint,omitempty"`
	Period   lamppost.TimeMS   `cbor:"11,keyasint,omitempty"`
	Accepted []byte            `cbor:"12,keyasint,omitempty"`
}

func useKey(id string) []byte { return key('L', id) }

// openKey holds the ids of sessions that are settled and not billed yet.
func openKey(seller, buyer lamppost.PartyID, id string) []byte {
	return key('l', string(seller), string(buyer), id)
}

// momentKey holds a register's value at any time, of a point that has sessions.
func momentKey(id lamppost.DeviceID, register string, t lamppost.TimeMS) []byte {
	return binary.BigEndian.AppendUint64(append(key('M', string(id), register), 0), uint64(t))
}

// seatKey holds which session a register serves, or until when it served the last.
func seatKey(p *lamppost.PointBody) []byte { return key('Z', string(p.Device), p.Register) }

// A seat is what a register serves.
type seat struct {
	Session string          `cbor:"1,keyasint,omitempty"`
	Until   lamppost.TimeMS `cbor:"2,keyasint"` // the last session's stop
	Since   Place           `cbor:"3,keyasint"` // of the first point with sessions: values that came before are not kept for them
}

func (s *State) seat(p *lamppost.PointBody) (seat, error) {
	var x seat
	raw, err := s.get(seatKey(p))
	if errors.Is(err, kv.ErrNotFound) {
		return x, nil
	}
	if err != nil {
		return x, err
	}
	return x, lamppost.Unmarshal(raw, &x)
}

// begin begins a session and holds what it may come to.
func (s *State) begin(u use) error {
	b := u.Body
	if err := lamppost.CheckName("session", b.ID); err != nil {
		return lamppost.Refuse(lamppost.CodeBadTx, "%v", err)
	}
	if _, err := s.get(useKey(b.ID)); err == nil {
		return lamppost.Refuse(lamppost.CodeExists, "session %q exists", b.ID)
	} else if !errors.Is(err, kv.ErrNotFound) {
		return err
	}
	t, p, err := s.sessionTerms(&b)
	if err != nil {
		return err
	}
	at, err := s.seat(p)
	switch {
	case err != nil:
		return err
	case at.Session != "":
		return lamppost.Refuse(lamppost.CodeExists, "%q serves session %q: settle it first", b.Point, at.Session)
	case b.From < at.Until:
		return lamppost.Refuse(lamppost.CodeExists, "%q served another session until %d ms", b.Point, at.Until)
	}
	held, ok := tariff.WithTax(b.Limit, t.Tax, t.Currency, t.Rounding)
	if !ok {
		return lamppost.Refuse(lamppost.CodeBadTx, "a limit of %s with its tax cannot be held", b.Limit)
	}
	if err := s.covers(b.Buyer, t.Currency, held); err != nil {
		return err
	}
	if err := s.changeHeld(b.Buyer, t.Currency, held); err != nil {
		return err
	}
	s.put(seatKey(p), lamppost.Marshal(seat{b.ID, at.Until, at.Since}))
	u.Seller, u.Mount, u.Held, u.Opened = t.Seller, p.Mount, held, Place{s.height, s.index}
	s.putBody(useKey(b.ID), u)
	return nil
}

// sessionTerms finds a session's tariff and meter, and checks what it says of them.
func (s *State) sessionTerms(b *lamppost.SessionBody) (*tariff.Tariff, *lamppost.PointBody, error) {
	mounts, versions := s.points[b.Point], s.tariffs[b.Tariff]
	if len(mounts) == 0 || b.Version == 0 || int(b.Version) > len(versions) {
		return nil, nil, lamppost.Refuse(lamppost.CodeUnknown, "no metering point %q, or no version %d of tariff %q", b.Point, b.Version, b.Tariff)
	}
	if _, ok := s.parties[b.Buyer]; !ok {
		return nil, nil, lamppost.Refuse(lamppost.CodeUnknown, "no party %q to buy", b.Buyer)
	}
	p, t := &mounts[len(mounts)-1], &versions[b.Version-1]
	switch {
	case !p.Sessions || p.Unit != t.RegisterUnit:
		return nil, nil, lamppost.Refuse(lamppost.CodeBadTx, "metering point %q is not for sessions, or counts in another unit than tariff %q", b.Point, b.Tariff)
	case b.Buyer == t.Seller:
		return nil, nil, lamppost.Refuse(lamppost.CodeBadTx, "nobody sells to himself")
	case b.Limit <= 0 || b.Limit < t.Minimum || b.Limit > tariff.MaxPrice:
		return nil, nil, lamppost.Refuse(lamppost.CodeBadTx, "a session's limit is at least the tariff's minimum, %s, and more than nothing", t.Minimum)
	case !tariff.Whole(b.Limit, t.Currency):
		return nil, nil, lamppost.Refuse(lamppost.CodeBadTx, "a session's limit of %s cannot be paid in %s: use whole minor units", b.Limit, t.Currency)
	case b.From <= 0 || b.From < p.From || b.From > s.time+lamppost.MaxAheadMS || b.Until <= b.From || b.Until-b.From > tariff.MaxSessionMS || s.time-b.From > tariff.MaxSessionMS:
		return nil, nil, lamppost.Refuse(lamppost.CodeBadTx, "a session begins within a month of now, under the meter that hangs there, and lasts a month at most")
	case b.From < t.From || t.To != 0 && b.Until > t.To || int(b.Version) < len(versions) && b.From >= versions[b.Version].From:
		return nil, nil, lamppost.Refuse(lamppost.CodeBadTx, "version %d of tariff %q does not hold all the time", b.Version, b.Tariff)
	}
	return t, p, nil
}

// covers refuses to spend what an account does not have beyond its limit, or what is held on it.
func (s *State) covers(p lamppost.PartyID, currency string, amount lamppost.Micro) error {
	balance, err := s.balance(p, currency)
	if err != nil {
		return err
	}
	held, err := s.held(p, currency)
	if err != nil {
		return err
	}
	limit := s.parties[p].CreditLimit
	free, ok := balance.Add(-held)
	after, ok2 := free.Add(-amount)
	if !ok || !ok2 || after < -limit {
		of := ""
		if held != 0 {
			of = fmt.Sprintf(" of which %s are held", held)
		}
		return lamppost.Refuse(lamppost.CodeNoFunds, "%q has %s %s%s and may go to -%s", p, balance, currency, of, limit)
	}
	return nil
}

func heldKey(p lamppost.PartyID, currency string) []byte { return key('H', string(p), currency) }

// held is what is held of an account.
func (s *State) held(p lamppost.PartyID, currency string) (lamppost.Micro, error) {
	n, err := s.number(heldKey(p, currency))
	return lamppost.Micro(n), err
}

func (s *State) changeHeld(p lamppost.PartyID, currency string, by lamppost.Micro) error {
	held, err := s.held(p, currency)
	if err != nil {
		return err
	}
	sum, ok := held.Add(by)
	if !ok || sum < 0 {
		return lamppost.Refuse(lamppost.CodeBadTx, "%s %s more cannot be held of %q", by, currency, p)
	}
	s.put(heldKey(p, currency), binary.BigEndian.AppendUint64(nil, uint64(sum)))
	if balance, err := s.balance(p, currency); err != nil {
		return err
	} else if balance == 0 {
		s.put(key('A', string(p), currency), make([]byte, 8)) // so that the account is there
	}
	return nil
}

// session finds a session.
func (s *State) session(id string) (*use, error) {
	u, err := read[use](s.view(), useKey(id))
	if errors.Is(err, kv.ErrNotFound) {
		err = lamppost.Refuse(lamppost.CodeUnknown, "no session %q", id)
	}
	return &u, err
}

// settle ends a session. What it used is told, and billed by the next invoice.
func (s *State) settle(b lamppost.SettleBody) ([]byte, error) {
	u, err := s.session(b.Session)
	if err != nil {
		return nil, err
	}
	if err := checkText(b.Void); err != nil {
		return nil, err
	}
	switch {
	case u.Stop != 0:
		return nil, lamppost.Refuse(lamppost.CodeExists, "session %q was settled before", b.Session)
	case b.Stop < u.Body.From || b.Stop > min(u.Body.Until, s.time):
		return nil, lamppost.Refuse(lamppost.CodeBadTx, "session %q stops between its begin and its end, and not in the future", b.Session)
	}
	mount := &s.points[u.Body.Point][u.Mount]
	at, err := s.seat(mount)
	if err != nil {
		return nil, err
	}
	u.Stop, u.Void, u.Settled = b.Stop, b.Void, Place{s.height, s.index}
	var supplies []tariff.Supply
	var lines []tariff.Line
	if b.Void == "" {
		if supplies, err = s.sessionSupply(nil, u); err != nil {
			return nil, err
		}
		lines, err = tariff.PriceSession(&supplies[0].Tariff, supplies[0].Edges, u.Body.Limit)
		if err != nil {
			return nil, lamppost.Refuse(lamppost.CodeNotReady, "session %q: %v", b.Session, err)
		}
		s.put(openKey(u.Seller, u.Body.Buyer, b.Session), nil)
	} else if err := s.release(u); err != nil {
		return nil, err
	}
	s.put(seatKey(mount), lamppost.Marshal(seat{Until: b.Stop, Since: at.Since}))
	s.putBody(useKey(b.Session), u)
	if b.Void != "" {
		return nil, nil
	}
	return lamppost.Marshal(lines), s.hearSession(u, &supplies[0], lines)
}

// release gives back what is held for a session.
func (s *State) release(u *use) error {
	held := u.Held
	u.Held = 0
	if u.For != "" {
		if err := s.changeSpending(u.For, u.Period, 0, -u.Body.Limit); err != nil {
			return err
		}
	}
	return s.changeHeld(u.Body.Buyer, s.tariffs[u.Body.Tariff][0].Currency, -held)
}

// sessionSupply appends what a settled session used.
func (s *State) sessionSupply(all []tariff.Supply, u *use) ([]tariff.Supply, error) {
	b := &u.Body
	p, t := &s.points[b.Point][u.Mount], s.tariffs[b.Tariff][b.Version-1]
	have, err := moments(s.view(), p, b.From, u.Stop)
	if err != nil {
		return nil, err
	}
	edges, err := tariff.SessionEdges(&t, have, b.From, u.Stop, p.RollsAt)
	if err != nil {
		return nil, lamppost.Refuse(lamppost.CodeNotReady, "session %q, meter %q, register %q: %v", b.ID, p.Device, p.Register, err)
	}
	x := tariff.Supply{Device: p.Device, Register: p.Register, Unit: p.Unit, Place: p.Place, Tariff: t, Edges: edges, Mount: p.Mount, RollsAt: p.RollsAt, Session: b}
	if err := s.view().find(&x, have, fmt.Sprintf("session %q", b.ID)); err != nil {
		return nil, err
	}
	return append(all, x), nil
}

// moments returns what is known of a register from a time to another, at its very times.
func moments(v View, p *lamppost.PointBody, from, to lamppost.TimeMS) (all []tariff.Edge, err error) {
	err = v.Scan(momentKey(p.Device, p.Register, from), momentKey(p.Device, p.Register, to+1), func(_, val []byte) error {
		var e tariff.Edge
		err := lamppost.Unmarshal(val, &e)
		all = append(all, e)
		return err
	})
	return all, err
}

// addSessions appends what was used in sessions that have ended and are not billed, and returns them.
func (s *State) addSessions(b *lamppost.InvoiceBody, all []tariff.Supply) ([]tariff.Supply, []*use, error) {
	ids, err := s.idsUnder(openKey(b.Seller, b.Buyer, ""))
	if err != nil {
		return nil, nil, err
	}
	var uses []*use
	for _, id := range ids {
		u, err := s.session(id)
		if err != nil {
			return nil, nil, err
		}
		if u.Stop > b.To || s.tariffs[u.Body.Tariff][0].Currency != b.Currency || len(all) == tariff.MaxSupplies {
			continue
		}
		if all, err = s.sessionSupply(all, u); err != nil {
			return nil, nil, err
		}
		uses = append(uses, u)
	}
	return all, uses, nil
}

// idsUnder returns the ids whose keys begin with a prefix.
func (s *State) idsUnder(prefix []byte) (ids []string, err error) {
	err = s.scan(prefix, end(prefix), func(key, _ []byte) error {
		ids = append(ids, string(key[len(prefix):]))
		return nil
	})
	return ids, err
}

// bill notes that sessions stand on an invoice, and releases what was held for them.
func (s *State) bill(uses []*use, number string) error {
	for _, u := range uses {
		if err := s.release(u); err != nil {
			return err
		}
		u.Invoice = number
		s.putBody(useKey(u.Body.ID), u)
		s.del(openKey(u.Seller, u.Body.Buyer, u.Body.ID))
	}
	return nil
}

// keepMoments keeps the registers of a billing report at their very times, where a point of the device has sessions.
func (s *State) keepMoments(d *device, r *lamppost.Report, report uint32, given []bool) error {
	registers := s.serving[d.Body.ID]
	if len(registers) == 0 || !r.Billing() {
		return nil
	}
	for i := range r.Readings {
		x := &r.Readings[i]
		if x.Kind != lamppost.Register || x.Quality >= lamppost.Faulty || x.Time < 0 || !slices.Contains(registers, x.Name) || !s.counts(d.Body.ID, x.Name, x.Unit) {
			continue
		}
		e := tariff.Edge{Time: x.Time, Value: x.Value, Quality: x.Quality, MeterSigned: given != nil && given[i],
			Source: tariff.Source{Height: s.height, Tx: s.index, Report: report, Record: uint32(i)}}
		if _, err := s.putEdge(momentKey(d.Body.ID, x.Name, x.Time), &e); err != nil {
			return err
		}
	}
	return nil
}

// convert exchanges claims in two currencies between two parties.
func (s *State) convert(b lamppost.ConvertBody) error {
	_, from := tariff.Minor(b.From)
	_, to := tariff.Minor(b.To)
	switch {
	case !from || !to || b.From == b.To || b.Party == b.With || b.Amount <= 0 || b.Rate.Mantissa <= 0:
		return lamppost.Refuse(lamppost.CodeBadTx, "a conversion changes a positive amount of one known currency into another between two parties")
	case b.Rate.Exponent > 0 || b.Rate.Exponent < lamppost.MinExponent || b.RateTime <= 0 || b.RateTime > s.time || b.Source == "":
		return lamppost.Refuse(lamppost.CodeBadTx, "a conversion names its rate, from when that is, and where from")
	}
	if err := checkText(b.Source); err != nil {
		return err
	}
	for _, p := range [...]lamppost.PartyID{b.Party, b.With} {
		if !s.hasAccount(p) {
			return lamppost.Refuse(lamppost.CodeUnknown, "no party or device %q", p)
		}
	}
	into, ok := tariff.Convert(b.Amount, b.Rate, b.To)
	if !ok || into <= 0 {
		return lamppost.Refuse(lamppost.CodeBadTx, "%s %s at %s is no amount of %s", b.Amount, b.From, b.Rate, b.To)
	}
	if err := cmp.Or(s.covers(b.Party, b.From, b.Amount), s.covers(b.With, b.To, into)); err != nil {
		return err
	}
	// Both fit, or neither is written: what a refused order wrote would be no refusal.
	if err := s.fits(b.With, b.From, b.Amount); err != nil {
		return err
	}
	if err := s.fits(b.Party, b.To, into); err != nil {
		return err
	}
	return cmp.Or(s.post(b.From, []posting{{b.Party, -b.Amount}, {b.With, b.Amount}}), s.post(b.To, []posting{{b.With, -into}, {b.Party, into}}))
}

// fits refuses what an account cannot hold.
func (s *State) fits(p lamppost.PartyID, currency string, amount lamppost.Micro) error {
	balance, err := s.balance(p, currency)
	if err != nil {
		return err
	}
	if _, ok := balance.Add(amount); !ok {
		return lamppost.Refuse(lamppost.CodeBadTx, "the account of %q cannot hold so much", p)
	}
	return nil
}
