package judge

import (
	"cmp"
	"math"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/triage/plausible"
)

// meters are registers whose plausibility is judged together: one alone, or those behind a main meter, which is the last then.
type meters struct {
	members []member
	scale   int8 // registers are integers in units of 10^scale: from 0 down to minScale, by the finest that came
	alone   *plausible.Meter
	group   *plausible.Group
}

const (
	minScale    = -3
	metersBytes = 5700 + meterJournal*entryMemory // of each
)

// A member is a register among others.
type member struct {
	Device lamppost.DeviceID
	Name   string
	Unit   string            // others are not judged; empty: the first that comes
	Point  string            // empty: the register is at no point
	Size   *lamppost.Decimal // of the connection, an hour; nil: not known, so nothing is too fast
	Rolls  *lamppost.Decimal

	Begun bool            // there is a reading
	AtMS  lamppost.TimeMS // the latest's time; of a group's, the edge that it is taken for
	// Exchanged: the next reading does not go on from the latest, as was declared.
	Exchanged bool
}

// role is a register's place among others.
type role struct {
	unit  *unit
	place int // plausible.Main: it is the main meter
	point *point
}

func newMeters(members []member, grouped bool) *meters {
	m := &meters{members: members}
	m.make(grouped)
	return m
}

// make makes models that have seen nothing.
func (m *meters) make(grouped bool) {
	m.alone, m.group = nil, nil
	if !grouped {
		m.alone, _ = plausible.NewMeter(m.size(0)) // sizes are in range
		return
	}
	n := len(m.members) - 1
	sizes := make([]int64, n)
	for i := range sizes {
		sizes[i] = m.size(i)
	}
	m.group, _ = plausible.NewGroup(m.size(n), sizes...)
}

// size is the member's connection in the registers' units.
func (m *meters) size(i int) int64 {
	size := m.members[i].Size
	if size == nil {
		return plausible.MaxRegister
	}
	return max(1, scaled(*size, m.scale))
}

// scaled returns a decimal in units of 10^scale, cut off, up to the most that a register may be.
func scaled(d lamppost.Decimal, scale int8) int64 {
	for ; d.Exponent < scale; d.Exponent++ {
		d.Mantissa /= 10
	}
	x, ok := d.At(scale)
	if !ok || x > plausible.MaxRegister {
		return plausible.MaxRegister
	}
	return x
}

func (m *meters) fresh() model {
	c := &meters{members: m.members, scale: m.scale}
	c.make(m.group != nil)
	return c
}

func (m *meters) load(b []byte) error {
	if m.group != nil {
		return m.group.UnmarshalBinary(b)
	}
	return m.alone.UnmarshalBinary(b)
}

func (m *meters) append(b []byte) []byte {
	if m.group != nil {
		b, _ = m.group.AppendBinary(b) // never fails
		return b
	}
	b, _ = m.alone.AppendBinary(b)
	return b
}

func (m *meters) replay(e *entry) { _, _ = m.observe(e) }

// Flags of an entry.
const (
	flagOff       = 1
	flagExchanged = 2
	flagAside     = 4
)

func (m *meters) observe(e *entry) ([]plausible.Finding, error) {
	r := plausible.Reading{AtMS: e.at, ReadMS: lamppost.TimeMS(e.extra), Register: int64(e.bits), Off: e.kind&flagOff != 0, Exchanged: e.kind&flagExchanged != 0,
		Aside: e.kind&flagAside != 0}
	if m.group != nil {
		return m.group.Observe(int(e.place), r)
	}
	return m.alone.Observe(r)
}

func (m *meters) member(place int) *member {
	if place < 0 {
		return &m.members[len(m.members)-1]
	}
	return &m.members[place]
}

// meter is the model of a member.
func (m *meters) meter(place int) *plausible.Meter {
	if m.group != nil {
		return m.group.Meter(place)
	}
	return m.alone
}

// entry makes of a reading what the model takes. Meters of a group are judged at quarter hours, by the first reading that stands for one, as all
// must have said something about the same moment; others are aside.
func (m *meters) entry(r *Reading, place int, flags uint8) entry {
	e := entry{at: r.Time, kind: flags, place: int8(place)}
	if m.group != nil {
		if edge, near := lamppost.SnapToEdge(r.Time); near {
			e.at, e.extra = edge, uint64(r.Time)
		} else {
			e.kind |= flagAside
		}
	}
	x, v := m.member(place), scaled(r.Value, m.scale)
	if x.Rolls != nil && flags&flagExchanged == 0 {
		if near, ok := m.meter(place).Near(r.Time); ok {
			v = unroll(v, near, scaled(*x.Rolls, m.scale))
		}
	}
	e.bits = uint64(v)
	return e
}

// unroll adds as many turns of a register as bring it nearest to where it was.
func unroll(v, last, rolls int64) int64 {
	turns := (last - v + rolls/2) / rolls
	return v + max(turns, 0)*rolls
}

// late says whether an entry is not younger than the latest that was in order.
func (x *member) late(e *entry) bool { return x.Begun && e.at <= x.AtMS }

// pass notes that the model took a reading.
func (x *member) pass(e *entry) {
	if e.kind&flagAside == 0 && !x.late(e) {
		x.AtMS, x.Begun, x.Exchanged = e.at, true, x.Exchanged && e.kind&flagExchanged == 0
	}
}

// finer begins anew in units that hold another digit.
func (m *meters) finer(scale int8) *meters {
	c := &meters{members: slices.Clone(m.members), scale: scale}
	for i := range c.members {
		c.members[i].Begun = false
	}
	c.make(m.group != nil)
	return c
}

// refined is finer, and what the registers showed is held against what comes.
func (m *meters) refined(scale int8) *meters {
	c, times := m.finer(scale), int64(pow10(m.scale-scale))
	for i := range c.members {
		place := i
		if m.group != nil && i == len(c.members)-1 {
			place = plausible.Main
		}
		c.meter(place).Refine(m.meter(place), times)
		c.members[i].Begun = m.members[i].Begun
	}
	return c
}

// judgeRegisters judges each register in the order of its times, and those of groups all in that order, as they say something about each other.
func (j *Judge) judgeRegisters() {
	j.grouped = j.grouped[:0]
	for _, s := range j.touched {
		grouped := slices.ContainsFunc(s.roles, func(r role) bool { return r.unit.model.(*meters).group != nil })
		for i := s.readings.head; i >= 0; i = j.links[i].next {
			switch {
			case j.work[i].Kind != lamppost.Register:
			case grouped:
				j.grouped = append(j.grouped, i)
			default:
				j.register(&j.work[i])
			}
		}
	}
	slices.SortStableFunc(j.grouped, func(a, b int32) int { return cmp.Compare(j.links[a].at, j.links[b].at) })
	for _, i := range j.grouped {
		j.register(&j.work[i])
	}
}

// register lets the rules judge a register's reading, wherever it has a part.
func (j *Judge) register(w *work) {
	if len(w.slot.roles) == 0 && !j.settle(w.slot) {
		j.counts.NotJudged++
		return
	}
	for _, role := range w.slot.roles {
		j.judgeRole(w, role, len(w.slot.roles) > 1)
	}
}

// settle gives a register that is at no point a meter of its own.
func (j *Judge) settle(s *slot) bool {
	if !j.room(metersBytes, j.cfg.Bytes+j.cfg.Bytes/4) {
		return false
	}
	u := j.newUnit(newMeters([]member{{Device: s.device.id, Name: s.name}}, false), meterJournal)
	s.roles = []role{{unit: u}}
	return true
}

func (j *Judge) judgeRole(w *work, role role, twice bool) {
	m := role.unit.model.(*meters)
	x := m.member(role.place)
	if x.Unit == "" {
		x.Unit = w.Unit
	}
	if x.Unit != w.Unit || role.point != nil && w.Time < role.point.Body.From {
		return
	}
	if scale := max(w.Value.Exponent, minScale); scale < m.scale {
		m = m.refined(scale)
		role.unit.model = m
		j.rebase(role.unit)
		x = m.member(role.place)
	}
	flags := j.flags(w, role, x)
	e := m.entry(&w.Reading, role.place, flags)
	j.note(role.unit, e)
	found, err := m.observe(&e)
	if err != nil {
		role.unit.unnote()
		return
	}
	j.touchUnit(role.unit)
	j.counts.Registers++
	w.judged = true
	found = m.own(found, role.place, twice)
	if len(found) > 0 {
		state := saved{Meters: &savedMeters{Members: slices.Clone(m.members), Scale: m.scale, Grouped: m.group != nil, Place: role.place, Flags: flags, Twice: twice},
			From: w.slot.marks.from(w.Received)}
		j.find(m.verdicts(found), j.stateBefore(role.unit, state), w)
	}
	x.pass(&e)
}

// flags are what is known of the time since the reading before.
func (j *Judge) flags(w *work, role role, x *member) (flags uint8) {
	p := role.point
	if p == nil {
		return 0
	}
	since := x.AtMS
	if x.Begun && p.Off > 0 && since >= p.Off && (p.On == 0 || w.Time <= p.On) {
		flags |= flagOff
	}
	if x.Exchanged && w.Time >= p.Body.From {
		flags |= flagExchanged
	}
	return flags
}

// verdicts says what findings mean: one for each register, with a reason for each finding, what suspends first.
func (m *meters) verdicts(found []plausible.Finding) []lamppost.Verdict {
	all := make([]lamppost.Verdict, 0, len(found))
	for i := range found {
		f := &found[i]
		place := f.Meter
		if m.group == nil {
			place = 0
		} else if place == plausible.Unnamed {
			place = plausible.Main // of whose is missing nobody knows more than the main meter
		}
		x, r := m.member(place), m.reason(f)
		at := slices.IndexFunc(all, func(v lamppost.Verdict) bool { return v.Device == x.Device && v.Name == x.Name })
		if at < 0 {
			at = len(all)
			all = append(all, lamppost.Verdict{Kind: lamppost.Implausible, Device: x.Device, Name: x.Name, Unit: x.Unit, Since: f.FromMS, At: f.AtMS})
		}
		v, suspends := &all[at], f.Code.Hard() && f.Meter != plausible.Unnamed
		if f.Code != plausible.Late { // whose time is that of what came after
			v.At = max(v.At, f.AtMS)
		}
		switch {
		case suspends && !v.Suspends:
			v.Reasons, v.Since = slices.Insert(v.Reasons, 0, r), f.FromMS
		case suspends || !v.Suspends: // a hint from before holds nothing back
			v.Reasons, v.Since = append(v.Reasons, r), min(v.Since, f.FromMS)
		default:
			v.Reasons = append(v.Reasons, r)
		}
		v.Suspends = v.Suspends || suspends
		v.Reasons = v.Reasons[:min(len(v.Reasons), lamppost.MaxReasons)]
	}
	for i := range all {
		all[i].At = max(all[i].At, all[i].Since)
	}
	return all
}

func (m *meters) reason(f *plausible.Finding) lamppost.VerdictReason {
	r := lamppost.VerdictReason{Code: f.Code.String(), Share: uint16(math.Round(min(max(f.Share, 0), 1) * 1000)), At: f.AtMS}
	r.Value, r.High = m.amount(f, f.Value), m.amount(f, f.Limit)
	switch f.Code {
	case plausible.Twin:
		r.Other = string(m.member(f.Other).Device)
	case plausible.Late:
		if r.At, r.Nearest = f.FromMS, f.AtMS; f.FromMS > 0 {
			r.Low = m.amount(f, f.Low)
		}
	}
	return r
}

// amount is a finding's number: steps, or an amount in the register's unit.
func (m *meters) amount(f *plausible.Finding, x float64) *lamppost.Decimal {
	if f.Code == plausible.Frozen || f.Code == plausible.Twin {
		return quantise(x)
	}
	return quantise(x / pow10(-m.scale))
}

// regroup makes the groups of a main point and of those behind it anew. What was learnt of each register alone stays.
func (j *Judge) regroup(main string) {
	head, behind := j.points[main], []*point(nil)
	for _, p := range j.points {
		if p.Body.Main == main && p.Body.ID != main {
			behind = append(behind, p)
		}
	}
	slices.SortFunc(behind, func(a, b *point) int { return cmp.Compare(a.Body.ID, b.Body.ID) })
	together := head != nil && len(behind) > 0 && len(behind) <= plausible.MaxMeters
	for _, p := range behind {
		together = together && p.Body.Unit == head.Body.Unit
	}
	if together {
		j.group(head, behind)
		return
	}
	for _, p := range behind {
		j.alone(p)
	}
	if head != nil {
		j.leave(head, &head.heads)
	}
}

// alone gives a point's register a meter of its own, that goes on as the one it had.
func (j *Judge) alone(p *point) {
	m := newMeters([]member{p.member()}, false)
	if p.unit != nil {
		m = &meters{members: m.members, scale: p.unit.model.(*meters).scale}
		m.make(false)
	}
	m.inherit(0, p)
	j.replace(p, &p.unit, j.newUnit(m, meterJournal), 0)
	j.rebase(p.unit)
}

// group puts the registers behind a main meter together. The main meter keeps the meter of its own, by which it is judged alone.
func (j *Judge) group(head *point, behind []*point) {
	members := make([]member, 0, len(behind)+1)
	scale := int8(0)
	for _, p := range append(slices.Clone(behind), head) {
		members = append(members, p.member())
		scale = min(scale, p.unit.model.(*meters).scale)
	}
	m := &meters{members: members, scale: scale}
	m.make(true)
	for i, p := range behind {
		m.inherit(i, p)
	}
	m.inherit(plausible.Main, head)
	u := j.newUnit(m, seriesJournal)
	for i, p := range behind {
		j.replace(p, &p.unit, u, i)
	}
	j.replace(head, &head.heads, u, plausible.Main)
	j.rebase(u)
}

// inherit lets a new meter go on as the point's former one.
func (m *meters) inherit(place int, p *point) {
	if p.unit == nil {
		return
	}
	old := p.unit.model.(*meters)
	was, x := old.member(p.place), m.member(place)
	if was.Device != x.Device || was.Name != x.Name {
		return
	}
	meter := old.meter(p.place)
	switch {
	case old.scale > m.scale:
		m.meter(place).Refine(meter, int64(pow10(old.scale-m.scale)))
	case m.group != nil:
		_ = m.group.Take(place, meter) // the place is there
	default:
		m.alone.Take(meter)
	}
	x.AtMS, x.Begun, x.Exchanged = was.AtMS, was.Begun, was.Exchanged
}

// replace puts a point's register into another unit.
func (j *Judge) replace(p *point, where **unit, u *unit, place int) {
	j.leave(p, where)
	*where = u
	if where == &p.unit {
		p.place = place
	}
	j.newPoints[p.Body.ID] = true
	if s := j.slotOf(p); s != nil {
		j.attach(s)
	}
}

// leave takes a point's register out of a unit, which goes when nobody is left in it.
func (j *Judge) leave(p *point, where **unit) {
	old := *where
	if *where = nil; old == nil {
		return
	}
	j.newPoints[p.Body.ID] = true
	if s := j.slotOf(p); s != nil {
		j.attach(s)
	}
	for _, other := range j.points {
		if other.unit == old || other.heads == old {
			return
		}
	}
	j.drop(old)
}

// attach finds the parts that a slot's register has. One that is at no point has its own meter, if it had one before.
func (j *Judge) attach(s *slot) {
	roles := s.roles[:0:0]
	for _, p := range j.pointsOf(s) {
		if p.unit != nil {
			roles = append(roles, role{p.unit, p.place, p})
		}
		if p.heads != nil {
			roles = append(roles, role{p.heads, plausible.Main, p})
		}
	}
	for _, r := range s.roles {
		if r.point == nil && len(roles) == 0 {
			roles = append(roles, r)
		} else if r.point == nil {
			j.drop(r.unit)
			j.counts.Bytes -= metersBytes
		}
	}
	s.roles = roles
	j.touchSlot(s)
}
