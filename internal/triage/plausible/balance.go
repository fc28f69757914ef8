package plausible

import (
	"math"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/triage/saved"
)

// balance holds a main meter against the sum of those behind it. What is lost between them is learnt as a share of the main meter's use, from
// the last four weeks mostly, and not while something is wrong. What is left over is summed up (CUSUM), less an allowance for the meters'
// own errors, and found when it is more than a few hours of the usual noise. Then it says whose: the meter whose use goes up and
// down with what is missing.
type balance struct {
	hours        float64 // learnt from
	lost, passed float64 // of the last weeks
	noise        float64 // mean size of what is left over in an hour

	above, below excess
	fits         []fit // of what is left over to each meter's use, since the sum left 0
	n            float64
	e, ee        float64
	named        bool
}

type excess struct {
	sum     float64
	fromMS  lamppost.TimeMS
	passed  float64 // what the main meter saw since
	counted float64 // and the others, with the usual loss
	said    bool
}

type fit struct{ x, xx, ex float64 }

const (
	balanceWarm   = 14 * 24.0 // hours
	balanceMemory = 28 * 24.0
	balanceSlack  = 0.5   // of the noise
	balanceClass  = 0.005 // of the main meter's use: what meters err when the mix of loads changes
	balanceLevel  = 12    // hours of the noise

	nameAfter = 24  // steps
	nameFit   = 0.5 // of the variance of what is missing must be explained
	nameRest  = 0.2 // of what is missing may be left unexplained
)

func (b *balance) init(n int) { b.fits = make([]fit, n) }

// next judges what all have used since fromMS.
func (b *balance) next(from, at lamppost.TimeMS, main float64, used []float64) (Finding, bool) {
	sum := 0.0
	for _, x := range used {
		sum += x
	}
	hours := float64(at-from) / msPerHour
	share := b.share()
	left := main - sum - float64(share*main)
	counted := sum + float64(share*main)
	ready := b.hours >= balanceWarm
	noise := b.noise + 1
	if !ready {
		b.learn(hours, main, sum, math.Abs(left))
		return Finding{}, false
	}
	slack := float64(float64(balanceSlack*noise)*math.Sqrt(hours)) + float64(balanceClass*main)
	level := float64(balanceLevel * noise)
	over := b.above.add(left-slack, main, counted, from, level)
	under := b.below.add(-left-slack, main, counted, from, level)
	b.fit(left, used)
	if b.above.sum < level/2 && b.below.sum < level/2 {
		b.learn(hours, main, sum, math.Abs(left))
	}
	switch {
	case under:
		f := finding(Unbalanced, b.below.fromMS, at, b.below.passed, b.below.counted)
		f.Meter = Main
		return f, true
	case over || b.above.said && !b.named:
		f := finding(Unbalanced, b.above.fromMS, at, b.above.passed, b.above.counted)
		f.Meter, f.Share = b.name()
		b.named = f.Meter != Unnamed
		return f, over || b.named
	}
	return Finding{}, false
}

// share is what is usually lost.
func (b *balance) share() float64 {
	if b.passed <= 0 {
		return 0
	}
	return b.lost / b.passed
}

func (b *balance) learn(hours, main, sum, left float64) {
	b.hours = min(b.hours+hours, balanceMemory)
	rate := min(1, hours/b.hours)
	b.lost += float64((main - sum - b.lost) * rate)
	b.passed += float64((main - b.passed) * rate)
	b.noise += float64((left/math.Sqrt(max(hours, 1)) - b.noise) * rate)
}

// add reports whether the sum has just passed the level.
func (x *excess) add(left, main, counted float64, from lamppost.TimeMS, level float64) bool {
	if x.sum == 0 {
		*x = excess{fromMS: from}
	}
	x.passed, x.counted = min(x.passed+main, maxUsed), min(x.counted+counted, maxUsed)
	x.sum = max(0, min(x.sum+left, level+level))
	if x.said || x.sum < level {
		return false
	}
	x.said = true
	return true
}

// fit gathers what tells whose use goes with what is left over.
func (b *balance) fit(left float64, used []float64) {
	if b.above.sum == 0 {
		b.n, b.e, b.ee, b.named = 0, 0, 0, false
		clear(b.fits)
		return
	}
	if b.n >= balanceMemory {
		return
	}
	b.n, b.e, b.ee = b.n+1, b.e+left, b.ee+float64(left*left)
	for i, x := range used {
		f := &b.fits[i]
		f.x, f.xx, f.ex = f.x+x, f.xx+float64(x*x), f.ex+float64(left*x)
	}
}

// name returns the meter that what is missing goes with, and the share of its use that it would not count; or Unnamed. A meter that has
// stood still all the while is named before one that fits: to accuse a neighbour is worse than to name nobody.
func (b *balance) name() (meter int, share float64) {
	spread := b.ee - float64(b.e*b.e)/b.n
	if b.n < nameAfter || spread <= 0 {
		return Unnamed, 0
	}
	meter, best := Unnamed, nameFit
	for i, f := range b.fits {
		xx, ex := f.xx-float64(f.x*f.x)/b.n, f.ex-float64(b.e*f.x)/b.n
		if f.xx == 0 {
			return i, 1
		}
		if xx <= 0 || ex <= 0 {
			continue
		}
		slope := ex / xx
		rest := math.Abs(b.e - float64(slope*f.x)) // what does not go with its use
		if fits := float64(slope * (ex / spread)); fits > best && rest < float64(nameRest*b.e) {
			meter, best, share = i, fits, slope/(1+slope)
		}
	}
	return meter, share
}

func (x *excess) state(s *saved.State) {
	amount(s, &x.sum)
	timeState(s, &x.fromMS)
	amount(s, &x.passed)
	amount(s, &x.counted)
	s.Flag(&x.said)
}

func (b *balance) state(s *saved.State) {
	for _, p := range []*float64{&b.hours, &b.passed, &b.noise, &b.n, &b.ee} {
		amount(s, p)
	}
	signed(s, &b.lost)
	signed(s, &b.e)
	s.Flag(&b.named)
	b.above.state(s)
	b.below.state(s)
	for i := range b.fits {
		f := &b.fits[i]
		amount(s, &f.x)
		amount(s, &f.xx)
		signed(s, &f.ex)
	}
}
