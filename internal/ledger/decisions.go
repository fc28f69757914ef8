package ledger

import (
	"errors"
	"fmt"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/tariff"
)

// What agents decide. Nothing is decided here: the ledger keeps how owners want their agents, what these decided and what came of it, and
// refuses what an owner or a spending limit does not allow. docs/agents.md.

// maxKept is how many decisions of a device the state keeps; those before stand in their orders. maxUpdates is the same of a learner's
// updates of a model.
const (
	maxKept    = 256
	maxUpdates = 4
	// fastMS is how far the clock of who decides may run before that of the block.
	fastMS lamppost.TimeMS = 5 * 60 * 1000
)

// A Decision is one as the state has it.
type Decision struct {
	ID      lamppost.DecisionID       `cbor:"1,keyasint" json:"id"`
	By      lamppost.MemberID         `cbor:"2,keyasint" json:"by"`
	Model   lamppost.Model            `cbor:"3,keyasint" json:"model"`
	Body    lamppost.Decision         `cbor:"4,keyasint" json:"decision"`
	Outcome *lamppost.DecisionOutcome `cbor:"5,keyasint,omitempty" json:"outcome,omitempty"`
	Period  lamppost.TimeMS           `cbor:"6,keyasint,omitempty" json:"-"` // of the device's limit in which it counts; 0: in none
}

// A Tally counts decisions, and what they came to.
type Tally struct {
	Decisions uint32         `cbor:"1,keyasint,omitempty" json:"decisions"`
	Outcomes  uint32         `cbor:"2,keyasint,omitempty" json:"outcomes"`
	Better    uint32         `cbor:"3,keyasint,omitempty" json:"better"`   // outcomes that gained
	Worse     uint32         `cbor:"4,keyasint,omitempty" json:"worse"`    // that lost
	Expected  lamppost.Micro `cbor:"5,keyasint,omitempty" json:"expected"` // of those with an outcome
	Realised  lamppost.Micro `cbor:"6,keyasint,omitempty" json:"realised"`
}

// A Record is what an agent's decisions of a month came to, against the safe rule. Months are UTC; a decision belongs to that of its At.
type Record struct {
	Month    string `cbor:"1,keyasint" json:"month"` // such as "2026-11"
	Currency string `cbor:"2,keyasint" json:"currency"`
	Acted    Tally  `cbor:"3,keyasint" json:"acted"`
	Advised  Tally  `cbor:"4,keyasint" json:"advised"`        // what following the advice would have come to
	Safe     uint32 `cbor:"5,keyasint,omitempty" json:"safe"` // decisions that were the safe rule: a forecast could not be used, or the owner stopped it
}

// progress is how far an agent's decisions are known.
type progress struct {
	Last lamppost.TimeMS `cbor:"1,keyasint"`           // At of the last decision
	Next uint32          `cbor:"2,keyasint,omitempty"` // slot of the next one
}

func agentKey(id lamppost.DeviceID) []byte    { return key('0', string(id)) }
func progressKey(id lamppost.DeviceID) []byte { return key('1', string(id)) }

func recordKey(id lamppost.DeviceID, month, currency string) []byte {
	return key('2', string(id), month, currency)
}

func decisionKey(id lamppost.DeviceID, slot uint32) []byte { return epochKey('3', string(id), slot) }

// decisionIDKey holds whose decision an id is, and its slot.
func decisionIDKey(id lamppost.DecisionID) []byte {
	return appendVerdict(key('4'), lamppost.VerdictID(id))
}

// decidedKey is of each order that says something of a device: an erasure forgets them.
func decidedKey(id lamppost.DeviceID, at Place) []byte {
	return at.append(append(key('5', string(id)), 0))
}

func updateKey(model string, by lamppost.MemberID, base lamppost.Hash) []byte {
	return append(append(key('6', model, string(by)), 0), base[:]...)
}

// agent keeps how an owner wants a device's agent.
func (s *State) agent(b lamppost.AgentBody) error {
	if err := b.Check(); err != nil {
		return lamppost.Refuse(lamppost.CodeBadTx, "%v", err)
	}
	if s.devices[b.Device] == nil {
		return lamppost.Refuse(lamppost.CodeUnknown, "no device %q that could have an agent", b.Device)
	}
	for _, in := range b.Inputs {
		if s.devices[in.Device] == nil {
			return lamppost.Refuse(lamppost.CodeUnknown, "no device %q that the agent of %q could observe", in.Device, b.Device)
		}
	}
	switch versions := s.tariffs[b.Tariff]; {
	case s.members[b.Member] == nil:
		return lamppost.Refuse(lamppost.CodeUnknown, "no member %q whose node could run the agent of %q", b.Member, b.Device)
	case b.Tariff != "" && len(versions) == 0:
		return lamppost.Refuse(lamppost.CodeUnknown, "no tariff %q whose prices the agent of %q could go by", b.Tariff, b.Device)
	case b.Tariff != "" && versions[0].Currency != b.Currency:
		return lamppost.Refuse(lamppost.CodeBadTx, "tariff %q is in %s, and the agent of %q counts in %s", b.Tariff, versions[0].Currency, b.Device, b.Currency)
	}
	s.putBody(agentKey(b.Device), b)
	return nil
}

// decisions keeps what a member's agents decided, and what came of earlier decisions.
func (s *State) decisions(b lamppost.DecisionsBody, by lamppost.MemberID) error {
	if err := b.Check(); err != nil {
		return lamppost.Refuse(lamppost.CodeBadTx, "%v", err)
	}
	v := s.view()
	done := make([]Decision, len(b.Outcomes))
	freed := map[Planned]lamppost.Micro{}
	for i := range b.Outcomes {
		d, err := v.mayEnd(&b.Outcomes[i], by, s.time)
		if err != nil {
			return err
		}
		done[i] = d
	}
	for i := range done {
		p, back, err := v.frees(&done[i], s.time)
		if err != nil {
			return err
		}
		freed[p] = addCut(freed[p], back)
	}
	for i := range b.Decisions {
		d := &b.Decisions[i]
		if err := v.MayDecide(d, by, s.time, freed); err != nil {
			return err
		}
	}
	for i := range done {
		if err := s.endDecision(&done[i]); err != nil {
			return err
		}
	}
	for i := range b.Decisions {
		id := lamppost.DecisionID{Height: s.height, Tx: s.index, Index: uint32(i)}
		if err := s.decided(&Decision{ID: id, By: by, Model: b.Model, Body: b.Decisions[i]}); err != nil {
			return err
		}
	}
	return nil
}

// frees is what the outcome of a decision gives back of its device's limit in a period: what it was expected to spend, less what it spent where nobody
// else counts that. Where the device's energy is bought, a bill does.
func (v View) frees(d *Decision, now lamppost.TimeMS) (p Planned, back lamppost.Micro, err error) {
	if d.Period == 0 {
		return p, 0, nil
	}
	versions, err := v.Centre(d.Body.Device)
	if err != nil {
		return p, 0, err
	}
	back = d.Body.Spend
	if c := centreAt(versions, now); c != nil && c.Point != "" {
		back -= d.Outcome.Spent
	}
	return Planned{d.Body.Device, d.Period}, back, nil
}

// Frees is what an outcome, in the same order as a decision, gives back of the limit, as [View.MayDecide] takes it.
func (v View) Frees(o *lamppost.DecisionOutcome, by lamppost.MemberID, now lamppost.TimeMS) (map[Planned]lamppost.Micro, error) {
	d, err := v.mayEnd(o, by, now)
	if err != nil {
		return nil, err
	}
	p, back, err := v.frees(&d, now)
	return map[Planned]lamppost.Micro{p: back}, err
}

// Planned is a device's limit in a period.
type Planned struct {
	Device lamppost.DeviceID
	From   lamppost.TimeMS
}

// MayDecide refuses a decision that the owner or the spending limit does not allow at a time. freed is what outcomes in the same order give back of
// limits; nil: nothing. The error is a *lamppost.Refusal, or the store's.
func (v View) MayDecide(d *lamppost.Decision, by lamppost.MemberID, now lamppost.TimeMS, freed map[Planned]lamppost.Micro) error {
	a, err := v.Agent(d.Device)
	if errors.Is(err, kv.ErrNotFound) {
		return lamppost.Refuse(lamppost.CodeUnknown, "device %q has no agent that could decide", d.Device)
	}
	if err != nil {
		return err
	}
	last, err := v.progress(d.Device)
	if err != nil {
		return err
	}
	switch {
	case a.Member != by:
		return lamppost.Refuse(lamppost.CodeForbidden, "the agent of %q runs at member %q: %q decides nothing for it", d.Device, a.Member, by)
	case d.Mode != a.Mode && d.Mode != lamppost.AgentSafe:
		return lamppost.Refuse(lamppost.CodeForbidden, "the agent of %q is in mode %s: a decision in mode %s does not count", d.Device, a.Mode, d.Mode)
	case d.Kind != a.Kind || d.Currency != a.Currency:
		return lamppost.Refuse(lamppost.CodeBadTx, "the agent of %q is a %s that counts in %s, not a %s in %s", d.Device, a.Kind, a.Currency, d.Kind, d.Currency)
	case d.At <= last.Last:
		return lamppost.Refuse(lamppost.CodeExists, "the agent of %q decided at %d ms already: the next decision is later", d.Device, last.Last)
	case d.At > now+fastMS:
		return lamppost.Refuse(lamppost.CodeBadTx, "the decision of %q at %d ms is of later than now", d.Device, d.At)
	}
	return v.mayPlan(d, now, freed)
}

// mayPlan refuses a decision that is expected to spend more than is left of its device's limit. A device that is no profit centre has none.
func (v View) mayPlan(d *lamppost.Decision, now lamppost.TimeMS, freed map[Planned]lamppost.Micro) error {
	versions, err := v.Centre(d.Device)
	if errors.Is(err, kv.ErrNotFound) || d.Mode != lamppost.AgentBounded || d.Spend == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	c := centreAt(versions, now)
	if c == nil || c.Limit == 0 || c.Currency != d.Currency {
		return lamppost.Refuse(lamppost.CodeNoFunds, "device %q has no spending limit in %s: it may not decide to spend %s", d.Device, d.Currency, d.Spend)
	}
	from, to := tariff.LimitPeriod(c, now)
	x, err := spendingOf(v, d.Device, from)
	if err != nil {
		return err
	}
	x.Decided = max(0, addCut(x.Decided, -freed[Planned{d.Device, from}]))
	sum, ok1 := x.sum()
	if sum, ok2 := sum.Add(d.Spend); !ok1 || !ok2 || sum > c.Limit {
		return lamppost.Refuse(lamppost.CodeNoFunds, "device %q may spend %s %s until %d ms, has spent %s, holds %s and decided on %s: not %s more",
			d.Device, c.Limit, c.Currency, to, x.Spent, x.Held, x.Decided, d.Spend)
	}
	return nil
}

// decided keeps a decision in the place of the oldest one.
func (s *State) decided(d *Decision) error {
	v, id := s.view(), d.Body.Device
	at, err := v.progress(id)
	if err != nil {
		return err
	}
	if old, err := v.decisionIn(id, at.Next); err == nil {
		s.del(decisionIDKey(old.ID))
	} else if !errors.Is(err, kv.ErrNotFound) {
		return err
	}
	if c := centreAt(s.centres[id], s.time); c != nil && d.Body.Mode == lamppost.AgentBounded && d.Body.Spend > 0 {
		d.Period, _ = tariff.LimitPeriod(c, s.time)
		if err := s.plan(id, d.Period, d.Body.Spend); err != nil {
			return err
		}
	}
	s.put(decisionKey(id, at.Next), lamppost.Marshal(d))
	s.put(decisionIDKey(d.ID), lamppost.Marshal(slotOf{Device: id, Slot: at.Next}))
	s.put(decidedKey(id, Place{s.height, s.index}), nil)
	s.put(progressKey(id), lamppost.Marshal(progress{Last: d.Body.At, Next: (at.Next + 1) % maxKept}))
	return s.keepRecord(&d.Body, func(r *Record, t *Tally) {
		if t == nil {
			r.Safe++
			return
		}
		t.Decisions++
	})
}

type slotOf struct {
	_      struct{} `cbor:",toarray"`
	Device lamppost.DeviceID
	Slot   uint32
}

// mayEnd refuses an outcome of what is no decision of a member's, or has one.
func (v View) mayEnd(o *lamppost.DecisionOutcome, by lamppost.MemberID, now lamppost.TimeMS) (Decision, error) {
	d, err := v.Decision(o.Decision)
	switch {
	case errors.Is(err, kv.ErrNotFound):
		return d, lamppost.Refuse(lamppost.CodeUnknown, "no decision %s that could have an outcome, or it is not among the latest %d of its device", o.Decision, maxKept)
	case err != nil:
		return d, err
	case d.By != by:
		return d, lamppost.Refuse(lamppost.CodeForbidden, "decision %s is %q's, who says what came of it", o.Decision, d.By)
	case d.Outcome != nil:
		return d, lamppost.Refuse(lamppost.CodeExists, "decision %s has its outcome", o.Decision)
	case o.Until <= d.Body.At || o.Until > min(now+fastMS, d.Body.At+lamppost.MaxDecisionMS):
		return d, lamppost.Refuse(lamppost.CodeBadTx, "decision %s held from %d ms on, until now and for a day at most, not until %d ms", o.Decision, d.Body.At, o.Until)
	}
	d.Outcome = o
	return d, nil
}

// endDecision keeps what came of a decision.
func (s *State) endDecision(d *Decision) error {
	var at slotOf
	raw, err := s.get(decisionIDKey(d.ID))
	if err == nil {
		err = lamppost.Unmarshal(raw, &at)
	}
	if err != nil {
		return err
	}
	id := d.Body.Device
	p, back, err := s.view().frees(d, s.time)
	if err != nil {
		return err
	}
	if p.From != 0 {
		if err := s.plan(id, p.From, -back); err != nil {
			return err
		}
	}
	s.put(decisionKey(id, at.Slot), lamppost.Marshal(d))
	s.put(decidedKey(id, Place{s.height, s.index}), nil)
	return s.keepRecord(&d.Body, func(_ *Record, t *Tally) {
		if t == nil {
			return
		}
		t.Outcomes++
		if d.Outcome.Gain > 0 {
			t.Better++
		} else if d.Outcome.Gain < 0 {
			t.Worse++
		}
		t.Expected = addCut(t.Expected, d.Outcome.Expected)
		t.Realised = addCut(t.Realised, d.Outcome.Gain)
	})
}

// addCut adds, and stays where it would overflow.
func addCut(a, b lamppost.Micro) lamppost.Micro {
	if sum, ok := a.Add(b); ok {
		return sum
	}
	return a
}

// keepRecord changes the month of a decision in its agent's record. The tally is nil of the safe rule.
func (s *State) keepRecord(d *lamppost.Decision, change func(*Record, *Tally)) error {
	r := Record{Month: month(d.At), Currency: d.Currency}
	k := recordKey(d.Device, r.Month, r.Currency)
	raw, err := s.get(k)
	if err == nil {
		err = lamppost.Unmarshal(raw, &r)
	}
	if err != nil && !errors.Is(err, kv.ErrNotFound) {
		return err
	}
	switch d.Mode {
	case lamppost.AgentBounded:
		change(&r, &r.Acted)
	case lamppost.AgentAdvises:
		change(&r, &r.Advised)
	default:
		change(&r, nil)
	}
	s.put(k, lamppost.Marshal(r))
	return nil
}

// month writes the UTC month of a time, such as "2026-11", by the days before it (H. Hinnant, days_from_civil; times are after 1970).
func month(t lamppost.TimeMS) string {
	days := int64(t)/(24*3600*1000) + 719468 // since 1 March of year 0
	era, day := days/146097, days%146097
	year := (day - day/1460 + day/36524 - day/146096) / 365
	day -= 365*year + year/4 - year/100
	m := (5*day+2)/153 + 3
	return fmt.Sprintf("%04d-%02d", era*400+year+(m-1)/12, (m-1)%12+1)
}

// plan counts what a device decided to spend against its limit in a period.
func (s *State) plan(id lamppost.DeviceID, from lamppost.TimeMS, amount lamppost.Micro) error {
	x, err := spendingOf(s.view(), id, from)
	if err != nil {
		return err
	}
	x.Decided = max(0, addCut(x.Decided, amount))
	s.put(spendingKey(id, from), lamppost.Marshal(x))
	return nil
}

// learn keeps an update of a model that several learn together.
func (s *State) learn(b lamppost.LearnBody, by lamppost.MemberID) error {
	if err := b.Check(); err != nil {
		return lamppost.Refuse(lamppost.CodeBadTx, "%v", err)
	}
	learner := by
	if b.Gateway != "" {
		learner = b.Gateway
		if err := s.saidByGateway(&b, by); err != nil {
			return err
		}
	}
	all, err := s.view().updatesBy(b.Model, learner)
	if err != nil {
		return err
	}
	oldest := 0
	for i := range all {
		if all[i].Base == b.Base {
			return lamppost.Refuse(lamppost.CodeExists, "%q updated this base of %q in block %d", learner, b.Model, all[i].Place.Height)
		}
		if all[i].Place.Compare(all[oldest].Place) < 0 {
			oldest = i
		}
	}
	if len(all) >= maxUpdates {
		s.del(updateKey(b.Model, learner, all[oldest].Base))
	}
	s.putBody(updateKey(b.Model, learner, b.Base), b)
	return nil
}

// saidByGateway refuses an update that is not its gateway's word, brought by the member who answers for it.
func (s *State) saidByGateway(b *lamppost.LearnBody, by lamppost.MemberID) error {
	g := s.gateways[b.Gateway]
	switch {
	case g == nil:
		return lamppost.Refuse(lamppost.CodeUnknown, "no gateway %q that could have learned", b.Gateway)
	case g.Body.Member != by:
		return lamppost.Refuse(lamppost.CodeForbidden, "member %q signed for gateway %q, for which %q answers", by, b.Gateway, g.Body.Member)
	}
	now, former := g.under(g.epoch, s.time), (*held[lamppost.GatewayBody])(nil)
	if g.former != nil {
		former = g.under(g.former.epoch, s.time)
	}
	for _, k := range [...]*held[lamppost.GatewayBody]{now, former} {
		if k != nil && b.Verify(s.net.Network, k.public) {
			return nil
		}
	}
	return lamppost.Refuse(lamppost.CodeBadSignature, "this update of %q is not the word of gateway %q", b.Model, b.Gateway)
}

// eraseDecisions forgets what a device's agent decided, in which orders, and what came of it. How its owner wants it stays.
func (s *State) eraseDecisions(id lamppost.DeviceID) error {
	last, err := s.view().progress(id)
	if err != nil || last.Last == 0 {
		return err
	}
	var gone [][]byte
	keep := func(k, _ []byte) error {
		gone = append(gone, slices.Clone(k))
		return nil
	}
	for _, from := range [...][]byte{append(key('2', string(id)), 0), append(key('5', string(id)), 0)} {
		if err := s.scan(from, end(from), keep); err != nil {
			return err
		}
	}
	for slot := range uint32(maxKept) {
		d, err := s.view().decisionIn(id, slot)
		if errors.Is(err, kv.ErrNotFound) {
			break
		}
		if err != nil {
			return err
		}
		s.del(decisionIDKey(d.ID))
		s.del(decisionKey(id, slot))
	}
	s.put(progressKey(id), lamppost.Marshal(progress{Last: last.Last}))
	here := Place{s.height, s.index}.append(nil)
	for _, k := range gone {
		if s.del(k); k[1] == '5' {
			s.put(append(key('g'), k[len(k)-placeBytes:]...), here)
		}
	}
	return nil
}
