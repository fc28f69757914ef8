package forecast

// A Part is a kind of cause that a forecast is made of.
type Part uint8

// The parts. Their worths sum to the forecast.
const (
	Level     Part = iota // what the last week was on average, corrected by the days and weeks before
	Recent                // the last hours, against what is usual then
	Yesterday             // this time of the last days
	LastWeek              // this time of the last weeks
	Usual                 // this time of such days in four weeks
	Weekday               // the day of the week
	Hour                  // the time of the day
	Holiday               // a declared holiday
	Trend                 // half of how the weeks' means move
	parts
)

var partNames = [parts]string{"level", "recent", "yesterday", "last_week", "usual", "weekday", "hour", "holiday", "trend"}

// String names the part.
func (p Part) String() string {
	if p >= parts {
		return "unknown"
	}
	return partNames[p]
}

// hats are how many times of the day the calendar knows; between two it is interpolated.
const hats = 8

// layout says how many features a part has, in their order.
var layout = [...]struct {
	part Part
	n    int
}{{Level, 9}, {Recent, 9}, {Yesterday, 12}, {LastWeek, 7}, {Usual, 2}, {Weekday, 7}, {Hour, 2 * hats}, {Holiday, 1}}

// nFeatures is the sum of the layout's.
const nFeatures = 9 + 9 + 12 + 7 + 2 + 7 + 2*hats + 1

// A row is what is expected of one step, and why.
type row struct {
	x       [nFeatures]float64
	experts [nExperts]float64
	origin  *origin
	clock   clock
	usual   float64
	like    int // days of the kind that usual is of
	day     int // the slots that experts lastDay and lastWeek look at
	week    int
	slot, h int
}

// cut keeps what a feature or an error may be, in units of the scale.
func cut(x float64) float64 { return min(max(x, -20), 20) }

// features are of the step h steps after an origin: values are counted from its center and in its scale, so that they mean the same for all
// series. None depends on anything after the origin.
func (s *Series) features(r *row, o *origin, h int) {
	w, d := &s.window, s.perDay
	r.origin, r.h, r.slot = o, h, o.slot+h
	r.clock = s.clockOf(r.slot)
	c, n, by := r.clock, 0, 0.0
	if o.scale > 0 {
		by = 1 / o.scale
	}
	raw := func(v float64) { r.x[n] = v; n++ }
	add := func(v float64) { r.x[n] = cut(float64((v - o.center) * by)); n++ }
	known := func(slot int) {
		if slot <= o.slot {
			add(w.at(slot))
			return
		}
		raw(0)
	}
	only := func(yes bool, v float64) {
		if yes {
			add(v)
			return
		}
		raw(0)
	}
	raw(1)
	for _, v := range o.days[:6] {
		add(v)
	}
	add(o.month)
	add(o.before)
	for i := range 3 {
		add(w.at(o.slot - i))
	}
	add(o.short[0])
	add(o.short[1])
	add(w.at(o.slot - d))
	add(w.at(o.slot - 7*d))
	add(o.usual)
	raw(cut(float64(o.ahead * by)))

	days := (h + d - 1) / d
	day := min(w.back(r.slot, days, c), o.slot)
	alike := w.kind(day) == c.kind
	add(w.at(day))
	for i := 1; i < 7; i++ {
		add(w.at(w.back(r.slot, days+i, c)))
	}
	only(!alike, w.at(day))
	for _, i := range [...]int{-2, -1, 1, 2} {
		if d == 1 {
			raw(0)
			continue
		}
		known(day + i)
	}
	weeks := (h + 7*d - 1) / (7 * d)
	week := min(w.back(r.slot, 7*weeks, c), o.slot)
	add(w.at(week))
	for i := 1; i < 4; i++ {
		add(w.at(w.back(r.slot, 7*(weeks+i), c)))
	}
	known(week - 1)
	known(week + 1)
	only(!alike, w.at(week))
	same, all, like := w.usual(o.slot, r.slot, c)
	add(same)
	add(all)
	s.calendar(r.x[n:], c)
	r.usual, r.like, r.day, r.week = same, like, day, week
	r.experts = [nExperts]float64{theta: same + o.ahead + float64(s.drift(o)*float64(h)), lastWeek: w.at(week), lastDay: w.at(day)}
}

// drift is half of how much the mean of a week moves in a step.
func (s *Series) drift(o *origin) float64 {
	if o.n < 14*s.perDay {
		return 0
	}
	return float64(0.5*(o.center-o.before)) / float64(7*s.perDay)
}

// calendar are the features that only the date and the time make.
func (s *Series) calendar(x []float64, c clock) {
	clear(x)
	x[c.weekday] = 1
	at := x[7:]
	if c.kind > 0 {
		at = x[7+hats:]
	}
	place := float64(int(c.phase)*hats) / float64(s.perDay)
	i := int(place)
	share := place - float64(i)
	at[i], at[(i+1)%hats] = 1-share, share
	if c.kind == 2 && c.weekday != 6 {
		x[7+2*hats] = 1
	}
}

// usual is the mean of what there was at this time in four weeks: on days of the same kind, and on all.
func (w *window) usual(until, slot int, c clock) (same, all float64, like int) {
	m := 0
	for days := (slot - until + w.perDay - 1) / w.perDay; days < windowDays; days++ {
		j := w.back(slot, days, c)
		if j < w.first() {
			break
		}
		if j > until {
			continue
		}
		e := w.entry(j)
		all += e.value
		m++
		if e.clock.kind == c.kind {
			same += e.value
			like++
		}
	}
	if m == 0 {
		v := w.at(slot - (slot-until+7*w.perDay-1)/(7*w.perDay)*7*w.perDay)
		return v, v, 0
	}
	all /= float64(m)
	if like == 0 {
		return all, all, 0
	}
	return same / float64(like), all, like
}

// kind is the kind of day of a slot; before all that is known, that of the first.
func (w *window) kind(slot int) uint8 { return w.entry(max(slot, w.first())).clock.kind }

func (s *Series) clockOf(slot int) clock {
	if slot <= s.window.last && slot >= s.window.first() {
		return s.window.entry(slot).clock
	}
	return s.clock(slot)
}
