package federate

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
)

// A member may register as many gateways as it likes, and each has a word of its own. So what is counted is members: their updates
// share one voice where the middle one is asked (share, median), and are bounded together where weights are added (bound). Each update is still
// judged by itself: one gateway that was taken over costs its member that gateway only.

// voiceEps is more than what adding up voices is off by.
const voiceEps = 1e-9

// bySide returns candidates by who has one voice, in the order of first names.
func bySide(all []*candidate) (sides [][]*candidate) {
	at := map[string]int{}
	for _, c := range all {
		i, ok := at[c.side]
		if !ok {
			i = len(sides)
			at[c.side], sides = i, append(sides, nil)
		}
		sides[i] = append(sides[i], c)
	}
	return sides
}

// share divides each side's voice evenly.
func share(all []*candidate) {
	for _, own := range bySide(all) {
		for _, c := range own {
			c.voice = 1 / float64(len(own))
		}
	}
}

func byName(all []*candidate) []*candidate {
	slices.SortFunc(all, func(a, b *candidate) int { return cmp.Compare(a.part.By, b.part.By) })
	return all
}

// said is a number with the voice that says it.
type said struct{ x, voice float64 }

// median is the lower middle one by voices.
func median(all []said) float64 {
	slices.SortFunc(all, func(a, b said) int { return cmp.Compare(a.x, b.x) })
	half, voices := 0.0, 0.0
	for _, s := range all {
		half += s.voice / 2
	}
	for _, s := range all {
		if voices += s.voice; voices >= half-voiceEps {
			return s.x
		}
	}
	return 0
}

// ofOneForm leaves out those of other features than most members have; of two numbers that as many have, the larger.
func ofOneForm(all []*candidate) (same []*candidate) {
	counts, most := map[int]int{}, 0
	for _, own := range bySide(all) {
		mine := map[int]bool{}
		for _, c := range own {
			mine[c.stats.Features()] = true
		}
		for f := range mine {
			counts[f]++
		}
	}
	for f, n := range counts {
		if n > counts[most] || n == counts[most] && f > most {
			most = f
		}
	}
	for _, c := range all {
		if f := c.stats.Features(); f != most {
			c.part.Left, c.part.Why = LeftForm, fmt.Sprintf("it is of %d features, and most members' are of %d", f, most)
			continue
		}
		same = append(same, c)
	}
	return same
}

// atMost leaves out what is beyond MaxUpdates: of those who have most, the last by name.
func atMost(all []*candidate) []*candidate {
	type turn struct {
		c *candidate
		n int // of its member
	}
	var turns []turn
	for _, own := range bySide(all) {
		for n, c := range own {
			turns = append(turns, turn{c, n})
		}
	}
	slices.SortStableFunc(turns, func(a, b turn) int { return cmp.Compare(a.n, b.n) })
	var in []*candidate
	for i, t := range turns {
		if i >= MaxUpdates {
			t.c.part.Left, t.c.part.Why = LeftTooMany, fmt.Sprintf("a round has %d updates, and members take turns", MaxUpdates)
			continue
		}
		in = append(in, t.c)
	}
	return byName(in)
}

// memberwise adds up each member's updates, none for more than MaxTimes its middle one, and judges what members come to: what gateways say can
// pass one by one and spoil together.
func memberwise(kept []*candidate) (members []*candidate, err error) {
	for _, own := range bySide(kept) {
		m, err := together(own)
		if err != nil {
			return nil, err
		}
		members = append(members, m)
	}
	if len(members) == len(kept) {
		return members, nil // each is judged already
	}
	in := told(members)
	for _, m := range members {
		for _, c := range m.signers {
			if m.part.Left != "" {
				c.part.Left, c.part.Why, c.part.Factor = m.part.Left, "with all of its member: "+m.part.Why, 0
			}
		}
	}
	return in, nil
}

// together is a member's updates as one.
func together(own []*candidate) (*candidate, error) {
	weights := make([]said, len(own))
	for i, c := range own {
		weights[i] = said{c.stats.Weight, 1}
	}
	most := float64(MaxTimes * median(weights))
	for _, c := range own {
		c.part.Factor = min(1, most/c.stats.Weight)
	}
	if len(own) == 1 {
		return own[0], nil
	}
	m := &candidate{part: &Part{By: own[0].side}, side: own[0].side, signers: own}
	var err error
	if m.stats, err = merged(own, true); err != nil {
		return nil, err
	}
	m.one = zero(m.stats)
	w, fitErr := m.stats.Fit()
	m.w = w
	return m, errors.Join(fitErr, m.one.Merge(m.stats, 1/m.stats.Weight))
}

// allSigners returns what members consist of, in the order of names.
func allSigners(members []*candidate) (all []*candidate) {
	for _, m := range members {
		if m.signers == nil {
			all = append(all, m)
		}
		all = append(all, m.signers...)
	}
	return byName(all)
}

// bound scales down what is too large, unless in full it harms nobody: then what comes out is what all rows in one place would have taught.
func bound(members []*candidate) error {
	weights := make([]said, len(members))
	for i, m := range members {
		weights[i] = said{m.stats.Weight, 1}
	}
	most := float64(MaxTimes * median(weights))
	all := allSigners(members)
	for _, m := range members {
		factor := min(1, most/m.stats.Weight)
		for _, c := range allSigners([]*candidate{m}) {
			c.part.Factor = float64(c.part.Factor * factor)
		}
	}
	if harm, err := harmInFull(all); err != nil || harm > MaxHarm {
		return err
	}
	for _, c := range all {
		c.part.Factor = 1
	}
	return nil
}

// harmInFull is by what part those that are not scaled down would miss more if nobody were.
func harmInFull(all []*candidate) (float64, error) {
	judges := slices.DeleteFunc(slices.Clone(all), func(c *candidate) bool { return c.part.Factor < 1 })
	if len(judges) == len(all) {
		return 0, nil
	}
	if len(judges) == 0 {
		return math.Inf(1), nil
	}
	var w [2][]float64
	for i, bounded := range [...]bool{false, true} {
		sum, err := merged(all, bounded)
		if err == nil {
			w[i], err = sum.Fit()
		}
		if err != nil {
			return 0, err
		}
	}
	share(judges)
	var rises []said
	for _, c := range judges {
		rises = append(rises, said{rise(c, w[0], w[1]), c.voice})
	}
	return median(rises), nil
}
