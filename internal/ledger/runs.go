package ledger

import (
	"errors"
	"math"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/contract"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/tariff"
)

// An attempt is a run that is decided and not written yet.
type attempt struct {
	lamppost.Run
	body     lamppost.ContractBody
	standing standing
	postings []posting
}

// income is what a bill brought to accounts and contracts have not taken yet.
type income map[lamppost.PartyID]lamppost.Micro

// bring returns what parts of a bill bring to the accounts that earn them. A correction that takes back brings nothing.
func bring(parts []contract.Part) income {
	all := income{}
	for _, p := range parts {
		sum, ok := all[p.Earns].Add(p.Net)
		if !ok {
			return income{}
		}
		all[p.Earns] = sum
	}
	for p, n := range all {
		all[p] = max(n, 0)
	}
	return all
}

// attempt runs a contract for an event. left is what the bill brought and may be taken; covered says that accounts have it still. What
// goes wrong is the attempt's failure: an error means that the state could not be read.
func (s *State) attempt(b lamppost.ContractBody, st standing, e contract.Event, left income, covered bool) (*attempt, error) {
	a := &attempt{Run: lamppost.Run{Contract: b.ID, Version: b.Version, Event: e, Currency: b.Currency, Before: st.State}, body: b, standing: st}
	limits := contract.At(s.rules())
	if s.spent+limits.Steps+int64(len(b.Source)) > blockSteps {
		a.Failure = &contract.Failure{Reason: contract.BlockFull}
		return a, nil
	}
	s.spent += int64(len(b.Source))
	p, err := contract.Check(b.Source, limits)
	if err != nil {
		errors.As(err, &a.Failure) // rules that came later may refuse what was deployed
		return a, nil
	}
	if !p.Handles(e.Name) && (e.Name == contract.Settle || e.Name == contract.Split || e.Name == contract.Expire) {
		return nil, nil
	}
	a.run(p)
	s.spent += a.Cost.Steps
	if a.Failure != nil {
		return a, nil
	}
	return a, s.allow(a, left, covered)
}

func (a *attempt) run(p *contract.Program) {
	var res contract.Result
	res, a.Cost, a.Failure = p.Run(&a.Event, a.body.Terms, a.standing.State)
	if a.Failure == nil {
		a.Payments, a.Note, a.standing.State = res.Payments, res.Note, res.State
	}
}

// allow checks what a run's payments take of each party: first of what the bill brought, then of what was agreed, as far as the account
// covers it.
func (s *State) allow(a *attempt, left income, covered bool) error {
	nets := a.agreed(left)
	for _, x := range nets {
		needs := -x.sum
		if covered {
			needs -= x.ofBill
		}
		err := s.fits(x.party, a.Currency, x.sum)
		if err == nil && needs > 0 {
			err = s.covers(x.party, a.Currency, needs)
		}
		var refusal *lamppost.Refusal
		if errors.As(err, &refusal) {
			a.fail(contract.NoFunds)
			return nil
		} else if err != nil {
			return err
		}
	}
	for _, x := range nets {
		left[x.party] -= x.ofBill
	}
	return nil
}

// A net is what all payments of a run come to for one party.
type net struct {
	party       lamppost.PartyID
	sum, ofBill lamppost.Micro // of which so much is taken of what a bill brought
}

// agreed sums the payments up by party and notes what is taken of each beyond the bill, or fails where that was not agreed.
func (a *attempt) agreed(left income) []net {
	sums := income{}
	for _, p := range a.Payments {
		for _, side := range [...]posting{{p.From, -p.Amount}, {p.To, p.Amount}} {
			if !a.body.Binds(side.party) {
				return a.fail(contract.NotBound)
			}
			sum, ok := sums[side.party].Add(side.amount)
			if !ok || sum == math.MinInt64 {
				return a.fail(contract.OverLimit)
			}
			sums[side.party] = sum
			a.postings = append(a.postings, side)
		}
	}
	var nets []net
	for _, p := range a.body.Parties {
		x := net{party: p.Party, sum: sums[p.Party]}
		x.ofBill = min(max(-x.sum, 0), left[p.Party])
		taken, ok := a.standing.took(p.Party).Add(-x.sum - x.ofBill)
		switch {
		case x.sum == 0:
			continue
		case x.sum < 0 && (!ok || taken > p.Limit):
			return a.fail(contract.OverLimit)
		case !ok:
			taken = -math.MaxInt64 // it was given more than can be counted
		}
		a.standing.take(p.Party, taken)
		nets = append(nets, x)
	}
	return nets
}

func (a *attempt) fail(why contract.Reason) []net {
	a.Failure = &contract.Failure{Reason: why}
	a.Payments, a.Note, a.postings = nil, "", nil
	return nil
}

// finish books an attempt that succeeded, and writes down what came of it.
func (s *State) finish(a *attempt) error {
	if len(a.postings) > 0 {
		if err := s.post(a.Currency, a.postings); err != nil { // never a refusal: what does not fit was not allowed
			return err
		}
	}
	st, at := &a.standing, Place{s.height, s.index}
	if a.Failure != nil {
		before, err := s.standing(a.Contract)
		if err != nil {
			return err
		}
		*st = before
		st.Failed = lastOf(append(st.Failed, at))
	}
	st.Runs++
	a.N = st.Runs
	st.Recent = lastOf(append(st.Recent, at))
	s.put(standingKey(a.Contract), lamppost.Marshal(st))
	s.put(nthRunKey(a.Contract, a.N), at.append(nil))
	s.put(runKey(at, a.Contract), lamppost.Marshal(a.Run))
	return nil
}

func lastOf(places []Place) []Place { return places[max(0, len(places)-keptPlaces):] }

// hear tells the contracts of the devices of a bill. Whatever they do, the bill stands. former is where the bill stands that this one
// corrects, or nil.
func (s *State) hear(name, currency string, bill contract.Bill, former *Place) error {
	var ids []string
	for _, p := range bill.Parts {
		ids = append(ids, s.hearing[p.Device]...)
	}
	if len(ids) == 0 {
		return nil
	}
	slices.Sort(ids)
	left := income{}
	if name == contract.Split {
		left = bring(bill.Parts)
	}
	for _, id := range slices.Compact(ids) {
		b, st, err := s.contract(id)
		if err != nil {
			return err
		}
		if b.Currency != currency {
			continue
		}
		of := bill
		of.Parts = slices.DeleteFunc(slices.Clone(bill.Parts), func(p contract.Part) bool {
			_, about := slices.BinarySearch(b.Devices, p.Device)
			return !about
		})
		of.Parts = contract.Fold(of.Parts)
		if err := s.hears(b, st, contract.Event{Name: name, Time: s.time, Bill: &of}, left, former); err != nil {
			return err
		}
	}
	return nil
}

// hears runs one contract for a bill.
func (s *State) hears(b lamppost.ContractBody, st standing, e contract.Event, left income, former *Place) error {
	covered := true
	if former != nil {
		before, err := s.view().RunAt(*former, b.ID)
		switch {
		case errors.Is(err, kv.ErrNotFound):
			return nil // it did not hear of the bill that is corrected
		case err != nil:
			return err
		case before.open():
			// What it was told came to nothing: this takes its place, and takes back only what that would have.
			e.Bill.Parts = slices.DeleteFunc(e.Bill.Parts, func(p contract.Part) bool { return p.Back })
			for _, p := range before.Event.Bill.Parts {
				if p.Back {
					e.Bill.Parts = append(e.Bill.Parts, p)
				}
			}
			e.Bill.Parts = contract.Fold(e.Bill.Parts)
			left, covered = bring(e.Bill.Parts), false
			s.overtaken(&before, &st)
			s.put(standingKey(b.ID), lamppost.Marshal(st))
		}
	}
	a, err := s.attempt(b, st, e, left, covered)
	if err != nil || a == nil {
		return err
	}
	if err := s.finish(a); err != nil {
		return err
	}
	s.ran = append(s.ran, lamppost.Outcome{Data: lamppost.Marshal(a.Run)})
	return nil
}

// open reports whether a run failed, and nothing took its place.
func (x *Run) open() bool { return x.Failure != nil && x.Again == Place{} }

// overtaken notes that the transaction being applied took the place of a run that failed.
func (s *State) overtaken(before *Run, st *standing) {
	before.Again = Place{s.height, s.index}
	s.put(runKey(before.At, before.Contract), lamppost.Marshal(before))
	st.Failed = slices.DeleteFunc(slices.Clone(st.Failed), func(p Place) bool { return p == before.At })
}

// hearBill tells contracts of an invoice, or of the difference that a correction makes.
func (s *State) hearBill(inv *tariff.Invoice, now, before *billed) error {
	b := contract.Bill{Number: inv.Number, Seller: inv.Seller, Buyer: inv.Buyer, From: inv.From, To: inv.To, Parts: now.told(1)}
	if before == nil {
		return s.hear(contract.Split, inv.Currency, b, nil)
	}
	b.Corrects = inv.Corrects.Number
	b.Parts = append(b.Parts, before.told(-1)...)
	raw, err := s.get(key('V', string(inv.Buyer), string(inv.Seller), b.Corrects))
	if err != nil {
		return err
	}
	former, err := decodePlace(raw)
	if err != nil {
		return err
	}
	return s.hear(contract.Split, inv.Currency, b, &former)
}

// told returns what contracts are told of a bill, or that it is taken back.
func (b *billed) told(sign lamppost.Micro) (parts []contract.Part) {
	for _, p := range b.Parts {
		parts = append(parts, contract.Part{Device: p.Device, Agreement: p.Agreement, Session: p.Session, Earns: p.Seller, Pays: p.Buyer,
			Net: sign * p.Net, Used: sign * p.Used, Back: sign < 0})
	}
	return parts
}

// used is what a register counted between the first and the last of its edges, in millionths of what prices are per.
func used(edges []tariff.Edge, scale uint8) lamppost.Micro {
	if len(edges) == 0 {
		return 0
	}
	diff, ok := edges[len(edges)-1].Value.Sub(edges[0].Value)
	if !ok {
		return math.MaxInt64
	}
	return millionths(diff, int(scale))
}

// millionths of a decimal after its point moved to the left, without further digits; of what is too large the most there is.
func millionths(d lamppost.Decimal, left int) lamppost.Micro {
	n, exp := d.Mantissa, int(d.Exponent)-left+6
	for ; exp < 0 && n != 0; exp++ {
		n /= 10
	}
	for ; exp > 0 && n != 0; exp-- {
		if n > math.MaxInt64/10 || n < -math.MaxInt64/10 {
			return math.MaxInt64
		}
		n *= 10
	}
	return lamppost.Micro(n)
}

// hearSession tells contracts that a session was settled.
func (s *State) hearSession(u *use, supply *tariff.Supply, lines []tariff.Line) error {
	p := contract.Part{Device: supply.Device, Session: u.Body.ID, Earns: s.centre(u.Seller, supply.Device), Pays: s.centre(u.Body.Buyer, supply.Device),
		Used: used(supply.Edges, supply.Tariff.Scale)}
	for i := range lines {
		p.Net += lines[i].Amount // within the limit
	}
	return s.hear(contract.Settle, supply.Tariff.Currency, contract.Bill{Seller: u.Seller, Buyer: u.Body.Buyer, From: u.Body.From, To: u.Stop, Parts: []contract.Part{p}}, nil)
}

// call runs a contract by order. What fails changes nothing and is refused.
func (s *State) call(c lamppost.CallBody, signer lamppost.MemberID) ([]byte, error) {
	b, st, err := s.contract(c.Contract)
	if err != nil {
		return nil, err
	}
	var a *attempt
	if c.Height != 0 {
		a, err = s.again(&c, b, st)
	} else {
		a, err = s.ordered(&c, b, st, signer)
	}
	if err != nil {
		return nil, err
	}
	if a.Failure != nil {
		code := lamppost.CodeBadTx
		switch a.Failure.Reason {
		case contract.NoFunds:
			code = lamppost.CodeNoFunds
		case contract.BlockFull:
			code = lamppost.CodeNotReady
		}
		return nil, lamppost.Refuse(code, "contract %q, version %d: %v", b.ID, b.Version, a.Failure)
	}
	if c.Event == contract.Expire {
		a.standing.Ended = true
		s.end(b.ID)
	}
	if c.Height != 0 {
		before, err := s.view().RunAt(Place{c.Height, c.Index}, b.ID)
		if err != nil {
			return nil, err
		}
		s.overtaken(&before, &a.standing)
	}
	if err := s.finish(a); err != nil {
		return nil, err
	}
	return lamppost.Marshal(a.Run), nil
}

// ordered runs an event that comes from no bill.
func (s *State) ordered(c *lamppost.CallBody, b lamppost.ContractBody, st standing, signer lamppost.MemberID) (*attempt, error) {
	switch {
	case c.Event == contract.Split || c.Event == contract.Settle:
		return nil, lamppost.Refuse(lamppost.CodeForbidden, "%q comes of a bill, and not by order", c.Event)
	case c.Event == contract.Expire && (b.To == 0 || s.time < b.To):
		return nil, lamppost.Refuse(lamppost.CodeNotReady, "contract %q has not come to its end", b.ID)
	case len(c.Readings) > maxCallReadings:
		return nil, lamppost.Refuse(lamppost.CodeBadTx, "an event has at most %d readings", maxCallReadings)
	}
	if err := lamppost.CheckName("event", c.Event); err != nil {
		return nil, lamppost.Refuse(lamppost.CodeBadTx, "%v", err)
	}
	if err := checkArgs(c.Args); err != nil {
		return nil, err
	}
	e := contract.Event{Name: c.Event, Time: s.time, By: string(signer), Args: c.Args}
	for _, ref := range c.Readings {
		x, err := s.readingOf(&b, ref)
		if err != nil {
			return nil, err
		}
		e.Readings = append(e.Readings, x)
	}
	a, err := s.attempt(b, st, e, income{}, true)
	if err == nil && a == nil { // it ends, and has nothing to do for that
		a = &attempt{Run: lamppost.Run{Contract: b.ID, Version: b.Version, Event: e, Currency: b.Currency, Before: st.State}, body: b, standing: st}
	}
	return a, err
}

// readingOf looks up a register's value of a device that the contract is about.
func (s *State) readingOf(b *lamppost.ContractBody, ref lamppost.ReadingRef) (x contract.Reading, err error) {
	if _, about := slices.BinarySearch(b.Devices, ref.Device); !about {
		return x, lamppost.Refuse(lamppost.CodeForbidden, "contract %q is not about device %.40q", b.ID, ref.Device)
	}
	e, err := s.view().Edge(ref.Device, ref.Register, ref.Time)
	if errors.Is(err, kv.ErrNotFound) {
		return x, lamppost.Refuse(lamppost.CodeNotReady, "no value of register %.64q of %q is known at %d ms", ref.Register, ref.Device, ref.Time)
	}
	if err != nil {
		return x, err
	}
	suspicions, err := s.view().suspicions(ref.Device, ref.Register)
	if held := tariff.HeldBy(suspicions, ref.Time, e.Manual); held != nil {
		return x, lamppost.Refuse(lamppost.CodeNotReady, "%s", held.Why())
	}
	return contract.Reading{Device: ref.Device, Register: ref.Register, Time: ref.Time, Value: millionths(e.Value, 0),
		Measured: !e.Manual && !e.Estimated && e.Quality == lamppost.Measured}, err
}

// again repeats a run that failed, by the version that holds now. What its bill brought counts, as far as the accounts still have it.
func (s *State) again(c *lamppost.CallBody, b lamppost.ContractBody, st standing) (*attempt, error) {
	if c.Event != "" || len(c.Args)+len(c.Readings) > 0 {
		return nil, lamppost.Refuse(lamppost.CodeBadTx, "a run is repeated as it was")
	}
	before, err := s.view().RunAt(Place{c.Height, c.Index}, b.ID)
	switch {
	case errors.Is(err, kv.ErrNotFound):
		return nil, lamppost.Refuse(lamppost.CodeUnknown, "contract %q did not run in transaction %d of block %d", b.ID, c.Index, c.Height)
	case err != nil:
		return nil, err
	case !before.open():
		return nil, lamppost.Refuse(lamppost.CodeExists, "that run did not fail, or another took its place")
	}
	left := income{}
	if before.Event.Name == contract.Split {
		left = bring(before.Event.Bill.Parts)
	}
	a, err := s.attempt(b, st, before.Event, left, false)
	if err == nil && a == nil {
		err = lamppost.Refuse(lamppost.CodeBadTx, "version %d of contract %q has no function %s", b.Version, b.ID, before.Event.Name)
	}
	return a, err
}
