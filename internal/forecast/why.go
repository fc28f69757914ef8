package forecast

import "github.com/lamppost/lamppost"

// A Reason is a part of a forecast, with what a sentence needs to tell it.
type Reason struct {
	Part  Part
	Worth float64         // by how much the forecast is higher for it, in the unit of the series
	Value float64         // what the part looks at: see Part; of Weekday the day (Monday is 0), of Hour the step of the day, of Trend a step's change
	At    lamppost.TimeMS // of Yesterday and LastWeek: when Value was
}

// An Explanation is what a forecast's middle is made of: Level + the worths of Reasons + Rest.
type Explanation struct {
	Level   float64
	Reasons []Reason // up to MaxReasons, the weightiest first
	Rest    float64
}

// Parts are all parts of a point of the latest forecast. They sum to its middle.
func (s *Series) Parts(i int) [parts]float64 {
	r := s.rowOf(i)
	g := groupOf(r.h)
	o, w := r.origin, s.mixes[g].weights()
	var p [parts]float64
	by, total := float64(w[ridge]*o.scale), dot(&s.model.groups[g].w, &r.x)
	if held := cut(total); held != total {
		by = float64(by*held) / total
	}
	at := 0
	for _, l := range layout {
		for range l.n {
			p[l.part] += float64(by * float64(s.model.groups[g].w[at]*r.x[at]))
			at++
		}
	}
	p[Usual] += float64(w[theta] * (r.usual - o.center))
	p[Recent] += float64(w[theta] * o.ahead)
	p[Trend] += float64(w[theta] * float64(s.drift(o)*float64(r.h)))
	p[LastWeek] += float64(w[lastWeek] * (r.experts[lastWeek] - o.center))
	p[Yesterday] += float64(w[lastDay] * (r.experts[lastDay] - o.center))
	o.share(&p)
	p[Level] += o.center
	return p
}

// share lets the parts, which are counted from the center, sum to what is left of them within four weeks' range.
func (o *origin) share(p *[parts]float64) {
	sum := 0.0
	for _, worth := range p {
		sum += worth
	}
	held := o.tame(o.center+sum) - o.center
	if sum == 0 || o.center+sum == o.center+held {
		return
	}
	for i := range p {
		p[i] = float64(p[i]*held) / sum
	}
}

// rowOf computes a point of the latest forecast again.
func (s *Series) rowOf(i int) *row {
	h := s.slotOf(s.points[i].At) - s.window.last
	s.expect(&s.row, s.window.origin(s.window.last), groupOf(h), h)
	return &s.row
}

// Why explains a point of the latest forecast.
func (s *Series) Why(i int) Explanation {
	p := s.Parts(i)
	e := Explanation{Level: p[Level]}
	for part := Level + 1; part < parts; part++ {
		at := len(e.Reasons)
		for at > 0 && size(p[part]) > size(e.Reasons[at-1].Worth) {
			at--
		}
		if p[part] == 0 || at == MaxReasons {
			e.Rest += p[part]
			continue
		}
		if len(e.Reasons) == MaxReasons {
			e.Rest += e.Reasons[MaxReasons-1].Worth
			e.Reasons = e.Reasons[:MaxReasons-1]
		}
		e.Reasons = append(e.Reasons, Reason{})
		copy(e.Reasons[at+1:], e.Reasons[at:])
		e.Reasons[at] = s.reason(part, p[part])
	}
	return e
}

func size(x float64) float64 { return max(x, -x) }

func (s *Series) reason(part Part, worth float64) Reason {
	r, o := &s.row, s.row.origin
	x := Reason{Part: part, Worth: worth}
	switch part {
	case Recent:
		x.Value = o.short[0]
	case Yesterday:
		x.Value, x.At = r.experts[lastDay], s.begin(r.day)
	case LastWeek:
		x.Value, x.At = r.experts[lastWeek], s.begin(r.week)
	case Usual:
		x.Value = r.usual
	case Weekday:
		x.Value = float64(r.clock.weekday)
	case Hour:
		x.Value = float64(r.clock.phase)
	case Holiday:
		x.Value = 1
	case Trend:
		x.Value = s.drift(o)
	}
	return x
}
