package judge

import (
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/triage/plausible"
)

// A point is a metering point as the ledger has it, and what people said of it.
type point struct {
	Body    lamppost.PointBody
	Size    *lamppost.Decimal
	Off, On lamppost.TimeMS

	unit  *unit // where its register is judged, alone or among those behind the same main meter
	place int
	heads *unit // the group of which it is the main meter
}

// member is the point's register among others.
func (p *point) member() member {
	return member{Device: p.Body.Device, Name: p.Body.Register, Unit: p.Body.Unit, Point: p.Body.ID, Size: p.Size, Rolls: p.Body.RollsAt}
}

// slotOf is the slot of the point's register; nil: nothing came of it yet.
func (j *Judge) slotOf(p *point) *slot {
	if d := j.devices[p.Body.Device]; d != nil {
		return d.slot(p.Body.Register)
	}
	return nil
}

// pointsOf are the points at which a slot's register is.
func (j *Judge) pointsOf(s *slot) []*point { return j.registers[registerOf{s.device.id, s.name}] }

// registerOf names a register.
type registerOf struct {
	device lamppost.DeviceID
	name   string
}

// order follows an accepted order.
func (j *Judge) order(tx *Tx) {
	switch tx.Type {
	case lamppost.TxPoint:
		follow(tx, j.pointOrder)
	case lamppost.TxGateway:
		follow(tx, func(b *lamppost.GatewayBody) { j.gateways[b.ID] = b.Member })
	case lamppost.TxWatch:
		follow(tx, j.watch)
	case lamppost.TxReview:
		follow(tx, j.review)
	case lamppost.TxErase:
		follow(tx, func(b *lamppost.EraseBody) { j.erase(b.Device) })
	case lamppost.TxVerdicts:
		if tx.Signed.Key == j.cfg.Member {
			follow(tx, j.Ordered)
		}
	}
}

func follow[B any](tx *Tx, do func(*B)) {
	var b B
	if lamppost.Unmarshal(tx.Order.Body, &b) == nil { // the ledger took it
		do(&b)
	}
}

// pointOrder opens a point, hangs another meter there, or begins to count anew.
func (j *Judge) pointOrder(b *lamppost.PointBody) {
	p := j.points[b.ID]
	if p == nil {
		p = &point{}
		j.points[b.ID] = p
	}
	former := p.Body
	if former.ID != "" {
		j.delist(p)
	}
	p.Body = *b
	j.enlist(p)
	j.newPoints[b.ID] = true
	if former.ID != "" && (former.Device != b.Device || former.Register != b.Register) {
		j.vacate(&former)
	}
	j.alone(p)
	for _, main := range [...]string{former.Main, b.Main, b.ID} {
		if main != "" {
			j.regroup(main)
		}
	}
	if former.ID != "" && b.Mount > former.Mount {
		for _, u := range [...]*unit{p.unit, p.heads} {
			if u != nil {
				u.model.(*meters).at(b.ID).Exchanged = true
				j.touchUnit(u)
			}
		}
	}
}

// vacate lets a register that hangs at a point no longer go on by itself.
func (j *Judge) vacate(former *lamppost.PointBody) {
	if d := j.devices[former.Device]; d != nil {
		if s := d.slot(former.Register); s != nil {
			j.attach(s)
		}
	}
}

func (j *Judge) enlist(p *point) {
	k := registerOf{p.Body.Device, p.Body.Register}
	j.registers[k] = append(j.registers[k], p)
}

func (j *Judge) delist(p *point) {
	k := registerOf{p.Body.Device, p.Body.Register}
	if j.registers[k] = slices.DeleteFunc(j.registers[k], func(x *point) bool { return x == p }); len(j.registers[k]) == 0 {
		delete(j.registers, k)
	}
}

// watch takes what people know of a point, or want of alarms.
func (j *Judge) watch(b *lamppost.WatchBody) {
	if b.Budget != nil {
		j.budget.set(*b.Budget)
		return
	}
	p := j.points[b.Point]
	if p == nil {
		return
	}
	p.Off, p.On = b.Off, b.On
	j.newPoints[b.Point] = true
	if b.Size == nil {
		return
	}
	p.Size = b.Size
	for _, u := range [...]*unit{p.unit, p.heads} {
		if u != nil {
			j.resize(u, p)
		}
	}
}

// resize tells a point's meter the size of its connection.
func (j *Judge) resize(u *unit, p *point) {
	m := u.model.(*meters)
	x, place := m.at(p.Body.ID), p.place
	if u == p.heads {
		place = plausible.Main
	}
	x.Size = p.Size
	meter := m.alone
	if m.group != nil {
		meter = m.group.Meter(place)
	}
	_ = meter.Resize(m.size(slices.IndexFunc(m.members, func(o member) bool { return o.Point == p.Body.ID }))) // sizes are in range
	j.rebase(u)
}

// at is the member at a point.
func (m *meters) at(point string) *member {
	return &m.members[slices.IndexFunc(m.members, func(x member) bool { return x.Point == point })]
}

// review lets a series, or what judges several together, need more from now on, if a person says that an alarm was normal.
func (j *Judge) review(b *lamppost.ReviewBody) {
	if b.Answer != lamppost.ReviewNormal || j.cfg.Verdict == nil {
		return
	}
	v, err := j.cfg.Verdict(b.Verdict)
	if err != nil || v.Kind != lamppost.Anomaly {
		return
	}
	d := j.devices[v.Device]
	if d == nil {
		return
	}
	if isTogether(v) {
		if d.vector != nil {
			d.vector.unit.model.(*vectorModel).accept(v)
			j.rebase(d.vector.unit)
		}
		return
	}
	if s := d.slot(v.Name); s != nil && s.series != nil {
		s.series.model.(*seriesModel).Accept(float64(v.Score+1) / 1000) // it was rounded
		j.rebase(s.series)
	}
}

// erase forgets a device: its series, and what its registers taught.
func (j *Judge) erase(id lamppost.DeviceID) {
	if id == "" {
		return // a party's name
	}
	j.erased = append(j.erased, id)
	d := j.devices[id]
	if d == nil {
		d = &device{}
	}
	j.dropVector(d)
	for _, s := range d.slots {
		if s.series != nil {
			j.drop(s.series)
			j.counts.Series--
			j.counts.Bytes -= seriesBytes
		}
		for _, r := range s.roles {
			if r.point == nil {
				j.drop(r.unit)
				j.counts.Bytes -= metersBytes
			}
		}
		j.gone = append(j.gone, s.id)
	}
	delete(j.devices, id)
	for _, p := range j.points {
		if p.Body.Device == id {
			for _, u := range [...]*unit{p.unit, p.heads} {
				if u != nil {
					m := u.model.(*meters)
					j.forget(u, m.finer(m.scale))
				}
			}
		}
	}
	j.waiting = slices.DeleteFunc(j.waiting, func(v lamppost.Verdict) bool { return v.Device == id })
}

// Ordered takes verdicts that stand on the ledger now off those that wait. Whoever ordered them may say so before Next has their block.
func (j *Judge) Ordered(b *lamppost.VerdictsBody) {
	j.said = max(j.said, b.Through)
	j.waiting = slices.DeleteFunc(j.waiting, func(v lamppost.Verdict) bool {
		return v.Height <= b.Through || slices.ContainsFunc(b.Verdicts, func(o lamppost.Verdict) bool { return Same(&v, &o) })
	})
}

// Same says whether two verdicts are one: by the same judge, of the same reading, about the same thing.
func Same(a, b *lamppost.Verdict) bool { return a.Height == b.Height && comparePlaces(a, b) == 0 }

// Waiting are the verdicts that Config.Member has still to order, the oldest first, up to most; through is up to where it then has ordered all.
func (j *Judge) Waiting(most int) (all []lamppost.Verdict, through lamppost.Height) {
	n := min(most, len(j.waiting))
	all = slices.Clone(j.waiting[:n])
	if n == len(j.waiting) {
		return all, j.height
	}
	return all, max(j.said, j.waiting[n].Height-1)
}

// Said is up to where Config.Member has ordered.
func (j *Judge) Said() lamppost.Height { return j.said }

// WaitingCount is how many verdicts Config.Member has still to order.
func (j *Judge) WaitingCount() int { return len(j.waiting) }

// Drop gives up a verdict that the ledger does not take.
func (j *Judge) Drop(v *lamppost.Verdict) {
	j.waiting = slices.DeleteFunc(j.waiting, func(w lamppost.Verdict) bool { return Same(&w, v) })
}
