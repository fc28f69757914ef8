package ledger

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
)

// What is kept and what is forgotten. The ledger decides; each member's archive carries it out, within EraseWithinMS in every
// file. Of the ledger's own state an erasure takes the ids that are kept for the sequence rule, by which guesses at an erased
// report could be tested, and a party's name.

// EraseWithinMS is how long a member has until what was erased is in none of its files and backups.
const EraseWithinMS lamppost.TimeMS = 24 * 3600 * 1000

// maxDays bounds a retention: a hundred years.
const maxDays = 36525

// maxSummaryError bounds the error of summaries, in thousandths of a series's range: with more there is not much left.
const maxSummaryError = 250

// challengeDays is how long a report is kept at least where its gateway's word is taken for it.
const challengeDays = uint32(lamppost.ChallengeMS / (24 * 3600 * 1000))

// changedKey holds the heights of the last block that changed what is kept, and of the last that erased.
func changedKey() []byte { return key('c') }

func (s *State) keepChanged(erased bool) error {
	raw, err := s.get(changedKey())
	if errors.Is(err, kv.ErrNotFound) {
		raw, err = make([]byte, 16), nil
	}
	if err != nil {
		return err
	}
	raw = slices.Clone(raw)
	binary.BigEndian.PutUint64(raw, uint64(s.height))
	if erased {
		binary.BigEndian.PutUint64(raw[8:], uint64(s.height))
	}
	s.put(changedKey(), raw)
	return nil
}

func (s *State) retention(b lamppost.RetentionBody) error {
	if b.Device != "" && s.devices[b.Device] == nil {
		return lamppost.Refuse(lamppost.CodeUnknown, "no device %q whose reports are kept", b.Device)
	}
	if b.RawDays > maxDays || b.SummaryDays > maxDays {
		return lamppost.Refuse(lamppost.CodeBadTx, "reports are kept for at most %d days, or for ever with 0", maxDays)
	}
	switch {
	case s.net.Verify == lamppost.VerifyGateway && b.RawDays != 0 && b.RawDays < challengeDays:
		return lamppost.Refuse(lamppost.CodeBadTx, "gateways are trusted here, and can be challenged for %d days: reports are kept raw for as long", challengeDays)
	case b.Error > maxSummaryError:
		return lamppost.Refuse(lamppost.CodeBadTx, "a summary's error is at most %d thousandths of the range, not %d", maxSummaryError, b.Error)
	case (b.SummaryDays != 0 || b.Error != 0) && b.RawDays == 0:
		return lamppost.Refuse(lamppost.CodeBadTx, "reports that are kept raw for ever are never summed up")
	case b.SummaryDays != 0 && b.SummaryDays < b.RawDays:
		return lamppost.Refuse(lamppost.CodeBadTx, "summaries are kept for at least as long as raw reports: %d days are less than %d", b.SummaryDays, b.RawDays)
	}
	s.putBody(key('r', string(b.Device)), b)
	return s.keepChanged(false)
}

func (s *State) hold(b lamppost.HoldBody) error {
	if err := lamppost.CheckName("hold", b.ID); err != nil {
		return lamppost.Refuse(lamppost.CodeBadTx, "%v", err)
	}
	if err := checkText(b.Reason); err != nil {
		return err
	}
	if b.Reason == "" || b.To != 0 && b.To <= b.From {
		return lamppost.Refuse(lamppost.CodeBadTx, "hold %q needs a reason, and ends after it begins", b.ID)
	}
	old, err := read[lamppost.HoldBody](s.view(), key('h', b.ID))
	switch {
	case err != nil && !errors.Is(err, kv.ErrNotFound):
		return err
	case err != nil && b.Lifted:
		return lamppost.Refuse(lamppost.CodeUnknown, "no hold %q to lift", b.ID)
	case err == nil && (!b.Lifted || old.Lifted):
		return lamppost.Refuse(lamppost.CodeExists, "hold %q exists; lifted: %v", b.ID, old.Lifted)
	case b.Lifted:
		reason := b.Reason
		b, b.Reason, b.Lifted = old, reason, true
	}
	if b.Device != "" && s.devices[b.Device] == nil {
		return lamppost.Refuse(lamppost.CodeUnknown, "no device %q whose reports are held", b.Device)
	}
	s.putBody(key('h', b.ID), b)
	return s.keepChanged(false)
}

// erase forgets. Who asks, and whether rightly, is for the members to decide before one of them signs.
func (s *State) erase(b lamppost.EraseBody) error {
	if err := checkText(b.Basis); err != nil {
		return err
	}
	if b.Basis == "" || (b.Device == "") == (b.Party == "") {
		return lamppost.Refuse(lamppost.CodeBadTx, "an erasure names a device or a party, and its basis in law")
	}
	var err error
	if b.Device != "" {
		err = s.eraseDevice(b.Device)
	} else {
		err = s.eraseParty(b.Party)
	}
	if err != nil {
		return err
	}
	s.putBody(eraseKey(s.height, s.index), erasure{Time: s.time, Body: b})
	if b.Device != "" {
		s.put(key('d', string(b.Device)), Place{s.height, s.index}.append(nil))
	}
	return s.keepChanged(true)
}

// erasure is what the state keeps of an order to erase.
type erasure struct {
	_    struct{} `cbor:",toarray"`
	Time lamppost.TimeMS
	Body lamppost.EraseBody
}

func eraseKey(h lamppost.Height, index uint32) []byte {
	return append(key('e'), Place{h, index}.append(nil)...)
}

// eraseDevice takes the ids of the device's reports out of the state. An honest resend of one of them is too_old from now on.
func (s *State) eraseDevice(id lamppost.DeviceID) error {
	d := s.devices[id]
	if d == nil {
		return lamppost.Refuse(lamppost.CodeUnknown, "no device %q to erase", id)
	}
	var slots [][]byte
	if err := s.scan(recentKey(nil, id, 0), recentKey(nil, id, lamppost.RecentIDs), func(key, _ []byte) error {
		slots = append(slots, slices.Clone(key))
		return nil
	}); err != nil {
		return err
	}
	if d.round == s.round {
		for i := range d.taken {
			slots = append(slots, recentKey(nil, id, d.taken[i].slot))
		}
	}
	slices.SortFunc(slots, slices.Compare)
	for _, k := range slices.CompactFunc(slots, slices.Equal) {
		s.del(k)
	}
	d.round, d.taken, d.written, d.forgot = s.round, d.taken[:0], 0, s.round
	if err := s.eraseVerdicts(id); err != nil {
		return err
	}
	return s.eraseDecisions(id)
}

// eraseParty blanks a name. Its id stays, in accounts and invoices: it should not say who it is.
func (s *State) eraseParty(id lamppost.PartyID) error {
	p, ok := s.parties[id]
	if !ok {
		return lamppost.Refuse(lamppost.CodeUnknown, "no party %q to erase", id)
	}
	if p.Erased {
		return lamppost.Refuse(lamppost.CodeExists, "the name of %q was erased before", id)
	}
	for _, a := range s.agreements {
		if (a.Buyer == id || a.Seller == id) && (a.To == 0 || a.To > s.time) {
			return lamppost.Refuse(lamppost.CodeNotReady, "agreements of %q are in force", id)
		}
	}
	for _, d := range s.devices {
		if d.Body.Owner == id {
			return lamppost.Refuse(lamppost.CodeNotReady, "devices belong to %q", id)
		}
	}
	if c := s.binding(id); c != "" {
		return lamppost.Refuse(lamppost.CodeNotReady, "contract %q binds %q", c, id)
	}
	owes := false
	for _, kind := range [...]byte{'A', 'H'} { // what is held will be owed
		prefix := append(key(kind, string(id)), 0)
		if err := s.scan(prefix, end(prefix), func(_, val []byte) error {
			owes = owes || slices.ContainsFunc(val, func(b byte) bool { return b != 0 })
			return nil
		}); err != nil {
			return err
		}
	}
	if owes {
		return lamppost.Refuse(lamppost.CodeNotReady, "accounts of %q are not settled", id)
	}
	where, err := s.view().Where(lamppost.TxParty, string(id), 0)
	if err != nil {
		return err
	}
	p.Name, p.Erased = "", true
	if err := s.rewriteParty(p); err != nil {
		return err
	}
	s.put(append(key('g'), where.append(nil)...), Place{s.height, s.index}.append(nil))
	return nil
}

// erased takes a member's word.
func (s *State) erased(b lamppost.ErasedBody, signer lamppost.MemberID) error {
	if _, err := s.get(eraseKey(b.Height, b.Index)); errors.Is(err, kv.ErrNotFound) {
		return lamppost.Refuse(lamppost.CodeUnknown, "transaction %d of block %d erased nothing", b.Index, b.Height)
	} else if err != nil {
		return err
	}
	k := attestKey(Place{b.Height, b.Index}, signer)
	if _, err := s.get(k); err == nil {
		return lamppost.Refuse(lamppost.CodeExists, "%q has said so before", signer)
	} else if !errors.Is(err, kv.ErrNotFound) {
		return err
	}
	s.put(k, binary.BigEndian.AppendUint64(nil, uint64(s.time)))
	return nil
}

func attestKey(at Place, by lamppost.MemberID) []byte {
	return append(append(key('a'), at.append(nil)...), by...)
}

// reader reads the state through what is not committed yet, for what is written for committed state.
type reader struct{ s *State }

// Get implements kv.Reader.
func (r reader) Get(key []byte) ([]byte, error) { return r.s.get(key) }

// Scan implements kv.Reader.
func (r reader) Scan(from, to []byte, fn func(key, val []byte) error) error {
	return r.s.scan(from, to, fn)
}

// view reads the state as it will be when everything applied is committed.
func (s *State) view() View { return View{reader{s}} }

// An Erasure is an order to forget, with what became of it.
type Erasure struct {
	Place
	lamppost.EraseBody
	Time     lamppost.TimeMS
	Attested map[lamppost.MemberID]lamppost.TimeMS // who has said, and when, that nothing is left
}

// Due is by when all members have forgotten it in every file.
func (e *Erasure) Due() lamppost.TimeMS { return e.Time + EraseWithinMS }

// Erasures returns all orders to forget, the oldest first.
func (v View) Erasures() ([]Erasure, error) {
	var all []Erasure
	from := key('e')
	err := v.Scan(from, end(from), func(k, val []byte) error {
		at, err := decodePlace(k[2:])
		if err != nil {
			return err
		}
		e, err := decodeBody[erasure](slices.Clone(val))
		all = append(all, Erasure{Place: at, EraseBody: e.Body, Time: e.Time, Attested: map[lamppost.MemberID]lamppost.TimeMS{}})
		return err
	})
	if err != nil {
		return nil, err
	}
	for i := range all {
		from := attestKey(all[i].Place, "")
		err := v.Scan(from, end(from), func(k, val []byte) error {
			if len(val) != 8 {
				return errors.New("an attestation of an erasure is damaged")
			}
			all[i].Attested[lamppost.MemberID(k[len(from):])] = lamppost.TimeMS(binary.BigEndian.Uint64(val))
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Erased returns the latest erasure of a device's reports, or kv.ErrNotFound.
func (v View) Erased(id lamppost.DeviceID) (e Erasure, err error) {
	raw, err := v.Get(key('d', string(id)))
	if err != nil {
		return e, err
	}
	if e.Place, err = decodePlace(raw); err != nil {
		return e, err
	}
	x, err := read[erasure](v, eraseKey(e.Height, e.Index))
	e.EraseBody, e.Time = x.Body, x.Time
	return e, err
}

// Gone returns where erased orders stand, and by which order they were erased.
func (v View) Gone() (map[Place]Place, error) {
	all := map[Place]Place{}
	from := key('g')
	err := v.Scan(from, end(from), func(k, val []byte) error {
		at, err := decodePlace(k[2:])
		if err != nil {
			return err
		}
		all[at], err = decodePlace(val)
		return err
	})
	return all, err
}

// Retentions returns the rules of what is kept: the general one, if there is one, first.
func (v View) Retentions() ([]lamppost.RetentionBody, error) {
	return readAll[lamppost.RetentionBody](v, 'r')
}

// Holds returns all holds by id, lifted ones too.
func (v View) Holds() ([]lamppost.HoldBody, error) { return readAll[lamppost.HoldBody](v, 'h') }

// HeldSince returns where the order stands that made a hold, if it is not lifted.
func (v View) HeldSince(id string) (Place, error) {
	raw, err := v.Get(key('h', id))
	if err != nil {
		return Place{}, err
	}
	return decodePlace(raw)
}

// KeepWindowsOf is KeepWindows of a device.
func (v View) KeepWindowsOf(d lamppost.DeviceID) (all []KeepWindow, err error) {
	from := keepKey(d)
	err = v.Scan(from, end(from), func(k, val []byte) error {
		if len(val) != 16 || len(k) != len(from)+verdictBytes {
			return errors.New("a time that is kept raw is damaged")
		}
		all = append(all, KeepWindow{Device: d, Verdict: verdictIn(k), From: lamppost.TimeMS(binary.BigEndian.Uint64(val)), To: lamppost.TimeMS(binary.BigEndian.Uint64(val[8:]))})
		return nil
	})
	return all, err
}

// KeptSince returns the last blocks that changed what is kept, and that erased anything.
func (v View) KeptSince() (changed, erased lamppost.Height, err error) {
	raw, err := v.Get(changedKey())
	if errors.Is(err, kv.ErrNotFound) {
		return 0, 0, nil
	}
	if err == nil && len(raw) != 16 {
		err = errors.New("the record of what is kept is damaged")
	}
	if err != nil {
		return 0, 0, err
	}
	return lamppost.Height(binary.BigEndian.Uint64(raw)), lamppost.Height(binary.BigEndian.Uint64(raw[8:])), nil
}
