package forecast

import "math"

// A pending is what was said of one step, until it comes true. Errors are those of forecasts as they were made: what a model would say now
// of a step so near to those it has learnt since would look too good.
type pending struct {
	origin    int // the slot it was said at
	h         int // steps ahead; 0: none
	experts   [nExperts]float32
	middle    float32
	low, high float32
}

// newPendings has a ring for each group of horizons, as long as its last.
func newPendings(horizon int) [][]pending {
	all := make([][]pending, groupOf(horizon)+1)
	for g := range all {
		_, last := groupBounds(g)
		all[g] = make([]pending, min(last, horizon))
	}
	return all
}

// said notes what is forecast now for one step of each group.
func (s *Series) said() {
	slot := s.window.last
	o := s.window.origin(slot)
	for g, ring := range s.pendings {
		first, last := groupBounds(g)
		last = min(last, s.settings.Horizon)
		p := &ring[modulo(slot, len(ring))]
		*p = pending{}
		if o.n < s.least() || o.scale <= 0 {
			continue
		}
		*p = pending{origin: slot, h: first + scatter(slot, g)%(last-first+1)}
		at := s.point(p.h)
		for i, v := range s.row.experts {
			p.experts[i] = float32(v)
		}
		p.middle, p.low, p.high = float32(at.Middle), float32(at.Low), float32(at.High)
	}
}

// scatter is a number that has nothing to do with the time of the day.
func scatter(slot, group int) int {
	u := (uint64(slot) + uint64(group)<<32) * 0x9e3779b97f4a7c15
	return int((u ^ u>>29) >> 33)
}

// came compares what was said of the latest step with its value, and learns from it.
func (s *Series) came() {
	slot := s.window.last
	e := s.window.entry(slot)
	sum, n := 0.0, 0
	for g, ring := range s.pendings {
		first, last := groupBounds(g)
		for h := first; h <= min(last, s.settings.Horizon); h++ {
			p := &ring[modulo(slot-h, len(ring))]
			if p.h != h || p.origin != slot-h {
				continue
			}
			if o := s.window.origin(slot - h); o != nil {
				sum, n = sum+math.Abs(s.judge(g, p, o, e.value)), n+1
			}
			p.h = 0
		}
	}
	if n > 0 {
		s.phases[e.clock.phase].learn(sum / float64(n))
	}
}

// judge returns by how much a value was above what was said, in units of the scale.
func (s *Series) judge(g int, p *pending, o *origin, value float64) float64 {
	off := cut((value - float64(p.middle)) / o.scale)
	s.spreads[g].learn(off, value < float64(p.low), value > float64(p.high))
	if !s.model.frozen {
		s.mixes[g].learn(&p.experts, value, o.scale)
		s.features(&s.row, o, p.h)
		s.model.learn(g, &s.row.x, cut((value-o.center)/o.scale))
	}
	return off
}
