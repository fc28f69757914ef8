package measure

import (
	"hash/fnv"
	"math"
	"math/rand/v2"

	"github.com/lamppost/lamppost/internal/triage/plausible"
)

// An injection is a fraud or a fault that is put into what one meter of a site reports. The same seed makes the same one.
type injection struct {
	kind  fraudKind
	meter int
	size  float64 // share, of what the kind says
	seed  uint64

	from, to int // steps: from is the first that is false
	amount   float64
	other    int
}

// A fraudKind is a way to be false.
type fraudKind string

// The kinds. What is hard should be found at once; of what is soft, how soon depends on how much.
const (
	rollback fraudKind = "roll-back"       // the register falls by 0.5 to 500 times the mean use of a step, evenly in the logarithm, and goes on
	rate     fraudKind = "impossible rate" // it jumps by 1.1 to 20 times what the connection lets through in a step
	clone    fraudKind = "clone"           // a second device of the same identity reports another meter's use
	twin     fraudKind = "twin"            // the meter reports another meter's use
	freeze   fraudKind = "freeze"          // it stands still
	vacant   fraudKind = "vacant"          // it goes on as ever while the place is said to be empty, for a week
	tap      fraudKind = "tap"             // somebody uses 10 to 30 % of the site's mean before the meters: nobody's meter counts it
	bypass   fraudKind = "bypass"          // it counts only a part: size is what it does not
	leak     fraudKind = "leak"            // something runs on: size is the share of the mean use of the four weeks before

	holiday fraudKind = "holiday" // no fraud: the place is empty and said to be; a refrigerator is left on
	absence fraudKind = "absence" // no fraud: nobody said so
)

// fraudHard are the hard kinds, fraudDaily those that are put into daily series, fraudControls no frauds.
var (
	fraudHard     = []fraudKind{rollback, rate, clone, twin, freeze, vacant, tap}
	fraudDaily    = []fraudKind{rollback, rate, clone, twin, freeze}
	fraudControls = []fraudKind{holiday, absence}
)

// fraudWarmDays are left to the rules to learn, and fraudHorizonDays are run behind the beginning of a fraud.
const fraudWarmDays, fraudHorizonDays = 84, 29

func hashOf(text string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(text))
	return h.Sum64()
}

// possible says whether a site has what the kind needs.
func (s *fraudSite) possible(kind fraudKind) bool {
	switch kind {
	case twin, clone:
		return len(s.use) > 1
	case tap:
		return s.main
	}
	return true
}

// inject draws where and how much.
func (s *fraudSite) inject(kind fraudKind, meter int, size float64, seed uint64) *injection {
	random := rand.New(rand.NewPCG(hashOf(s.name+string(kind)), seed<<16|uint64(meter)))
	in := &injection{kind: kind, meter: meter, size: size, seed: seed}
	warm, horizon := s.days(fraudWarmDays), s.days(fraudHorizonDays)
	in.from = warm + random.IntN(s.steps()-warm-horizon)
	in.to = in.from + horizon
	for s.use[meter][in.from] < 0 {
		in.from++ // there is no reading that could be false
	}
	if len(s.use) > 1 {
		in.other = (meter + 1 + random.IntN(len(s.use)-1)) % len(s.use)
	}
	die := random.Float64()
	switch kind {
	case rollback:
		in.amount = 0.5 * math.Pow(1000, die) * s.mean(meter, in.from)
	case rate:
		in.amount = float64(s.size*s.stepMS) / 3_600_000 * 1.1 * math.Pow(20/1.1, die)
	case tap:
		in.amount = (0.1 + 0.2*die) * s.mean(plausible.Main, in.from)
	case leak:
		in.amount = size * s.mean(meter, in.from)
	case holiday, absence:
		in.amount = 40 * float64(s.stepMS) / 3_600_000
	}
	return in
}

func (s *fraudSite) row(meter int) []int64 {
	if meter == plausible.Main {
		return s.registers[len(s.use)]
	}
	return s.registers[meter]
}

// mean is the mean use of a step in the four weeks before.
func (s *fraudSite) mean(meter, step int) float64 {
	row, back := s.row(meter), s.days(28)
	begin := step - back
	for row[begin] < 0 {
		begin++
	}
	for row[step] < 0 {
		step--
	}
	return float64(row[step]-row[begin]) / float64(step-begin)
}

// before is the latest reading before a step.
func before(row []int64, step int) int {
	for step--; row[step] < 0; step-- {
	}
	return step
}

// A fraudRun makes the readings of a site with an injection, one step after the other.
type fraudRun struct {
	site *fraudSite
	in   *injection // nil for none

	base  int64   // of the false register: the last true value
	added float64 // to the true register so far
	main  float64 // to the main meter's

	space [2]plausible.Reading
	kept  [][]plausible.Reading // by member: what it has still to deliver
}

// readings appends what a meter says at a step.
func (r *fraudRun) readings(to []plausible.Reading, meter, step int) []plausible.Reading {
	row := r.site.row(meter)
	if row[step] < 0 {
		return to
	}
	x := plausible.Reading{AtMS: r.site.at(step), Register: row[step]}
	in := r.in
	if in == nil || step < in.from || meter != in.meter && meter != plausible.Main {
		return append(to, x)
	}
	if meter == plausible.Main {
		x.Register += int64(r.main)
		return append(to, x)
	}
	last := before(row, step)
	if step == in.from {
		r.base = row[last]
	}
	used := float64(row[step] - row[last])
	r.advance(used, step-last)
	x.Register += int64(math.Floor(r.added))
	switch in.kind {
	case clone:
		return append(to, x, plausible.Reading{AtMS: x.AtMS, Register: r.copied(step)})
	case twin:
		x.Register = r.copied(step)
	case freeze:
		x.Register = r.base
	case vacant, holiday:
		x.Off = step < in.from+r.site.days(7)
	}
	return append(to, x)
}

// advance adds what the injection adds in so many steps.
func (r *fraudRun) advance(used float64, steps int) {
	in := r.in
	switch in.kind {
	case rollback:
		r.added = max(-in.amount, -float64(r.base))
	case rate:
		r.added = in.amount
	case bypass:
		r.added -= in.size * used
	case leak:
		r.added += in.amount * float64(steps)
		r.main += in.amount * float64(steps) * (1 + r.site.loss)
	case tap:
		r.main += in.amount * float64(steps)
	case holiday, absence:
		less := in.amount*float64(steps) - used
		r.added += less
		r.main += less * (1 + r.site.loss)
	}
}

// copied is the register that goes on with another meter's use.
func (r *fraudRun) copied(step int) int64 {
	other := r.site.row(r.in.other)
	return r.base + other[step] - other[r.in.from-1]
}
