package federate

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/lamppost/lamppost/internal/forecast"
)

// Who would spoil a model is told from the sums alone: they say what any weights miss on average over the rows behind them (Stats.Loss). So
// each update is tried on those of other members, all members with equal weight, whatever numbers of rows and gateways they claim. As long as most
// members are honest, the middle one of them tells the truth (Huber's argument for medians; Blanchard et al. 2017 pick by distances in the same spirit, and
// Yin et al. 2018 take medians of what is sent; here the median only decides who is in, so that the sum stays exact).

// judge returns those to be merged, and says of all how they would change what others miss. Where there are fewer members than can be told from
// each other, each member's updates are held against each other, and no member's word throws out another's.
func judge(sound []*candidate) (kept []*candidate) {
	members := bySide(sound)
	if len(members) >= MinMembers {
		return told(sound)
	}
	for _, own := range members {
		for _, c := range own {
			c.side = c.part.By
		}
		kept = append(kept, told(own)...)
		for _, c := range own {
			c.side = c.part.Member
		}
	}
	return byName(kept)
}

// told returns those that do not spoil.
func told(all []*candidate) []*candidate {
	if len(bySide(all)) < MinMembers {
		return all // nobody can be told from another
	}
	core := central(all)
	for range 2 { // the second time with all that the first has kept: more ways to be honest
		core = keep(all, core)
	}
	return core
}

// central returns the better half of the voices: whose own weights serve the middle one of the other sides best.
func central(all []*candidate) []*candidate {
	type ranked struct {
		c    *candidate
		rise float64
	}
	share(all)
	order := make([]ranked, len(all))
	for i, c := range all {
		var rises []said
		for _, other := range all {
			if other.side != c.side {
				rises = append(rises, said{rise(other, c.w, other.w), other.voice})
			}
		}
		order[i] = ranked{c, median(rises)}
	}
	slices.SortStableFunc(order, func(a, b ranked) int { return cmp.Compare(a.rise, b.rise) })
	var core []*candidate
	voices, half := 0.0, float64(len(bySide(all)))/2
	for _, x := range order {
		if voices > half+voiceEps {
			break
		}
		core, voices = append(core, x.c), voices+x.c.voice
	}
	return byName(core)
}

// keep tries each update with the core, its own side left out of it, half and half, on each of the core.
func keep(all, core []*candidate) []*candidate {
	share(core)
	var kept []*candidate
	rises := make([]said, 0, len(core))
	for _, c := range all {
		c.part.Rise, c.part.Left, c.part.Why = effect(c, core), "", ""
		if slices.Contains(core, c) {
			rises = append(rises, said{c.part.Rise, c.voice})
		}
	}
	most := max(MaxRise, float64(usualRises*median(rises)))
	for _, c := range all {
		if c.part.Rise <= most {
			kept = append(kept, c)
			continue
		}
		c.part.Left = LeftSpoils
		c.part.Why = fmt.Sprintf("if half of all had learnt like this, the others would miss %.0f %% more (squares); %.0f %% is allowed", 100*c.part.Rise, 100*most)
	}
	return kept
}

// usualRises is how often the rise that is usual among the core may be had: of few days all are unlike.
const usualRises = 5

// maxKnownRise is what is said of one that is worse: numbers stay writable.
const maxKnownRise = 1e6

func effect(c *candidate, core []*candidate) float64 {
	rest, n := zero(c.stats), 0.0
	for _, other := range core {
		if other.side != c.side {
			_ = rest.Merge(other.one, other.voice) // of as many features
			n += other.voice
		}
	}
	if n == 0 {
		return 0
	}
	without, err := rest.Fit()
	if err != nil {
		return maxKnownRise
	}
	_ = rest.Merge(c.one, n)
	with, err := rest.Fit()
	if err != nil {
		return maxKnownRise
	}
	var rises []said
	for _, other := range core {
		if other.side != c.side {
			rises = append(rises, said{rise(other, with, without), other.voice})
		}
	}
	return median(rises)
}

// rise is by what part weights miss more than others of one update's rows.
func rise(on *candidate, with, without []float64) float64 {
	a, b := loss(on.stats, with), loss(on.stats, without)
	return min(max((a-b)/(b+1e-9), -1), maxKnownRise)
}

// loss is never below 0, as rounding may make it.
func loss(s *forecast.Stats, w []float64) float64 {
	x, _ := s.Loss(w) // of as many features, and of weight
	return max(x, 0)
}
