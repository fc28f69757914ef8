package advise

import (
	"fmt"
	"slices"
	"strings"
)

// seats are who would run an engine's members, who would watch them, and what speaks against it.
type seats struct {
	members   []string // the organisation of each member
	witnesses []string // organisations that cosign its log
	out       []string // must-haves that it breaks, whatever it costs
	notes     []string
}

// fewest is how many members bear the loss of one.
var fewest = map[string]int{"solo": 1, "raft": 3, "comet": 4}

// seats puts organisations to an engine's members as well as it can, and says which needs are broken all the same.
func (f *Fleet) seats(engine string, g *gate) *seats {
	s := new(seats)
	able := f.able(s)
	if g.public {
		s.out = append(s.out, "needs.strangers: people nobody knows beforehand may write; members and devices of Lamppost are known")
	}
	if len(able) == 0 {
		return s
	}
	switch engine {
	case "solo":
		f.seatSolo(s, able)
	case "raft":
		f.seatRaft(s, able)
	case "comet":
		f.seatComet(s, able)
	}
	if engine != "comet" || !f.spread(s.members) {
		f.watch(s, engine)
	}
	return s
}

// able are the organisations that can run a member where data may be, those that most others trust first.
func (f *Fleet) able(s *seats) []string {
	var able, away, nowhere []string
	for _, o := range f.Organisations {
		switch {
		case !o.Runs:
		case len(f.Needs.StayIn) > 0 && o.Place == "":
			nowhere = append(nowhere, o.Name)
		case len(f.Needs.StayIn) > 0 && !slices.Contains(f.Needs.StayIn, o.Place):
			away = append(away, o.Name)
		default:
			able = append(able, o.Name)
		}
	}
	slices.SortStableFunc(able, func(a, b string) int { return f.trustedBy(b) - f.trustedBy(a) })
	if len(able) > 0 {
		if n := len(away) + len(nowhere); n > 0 {
			s.notes = append(s.notes, fmt.Sprintf("needs.stay_in leaves out members of %s", strings.Join(append(away, nowhere...), ", ")))
		}
		return able
	}
	switch {
	case len(nowhere) > 0:
		s.out = append(s.out, fmt.Sprintf("needs.stay_in: organisations.%s.place is not said, and data must stay in %s", nowhere[0], list(f.Needs.StayIn)))
	case len(away) > 0:
		s.out = append(s.out, fmt.Sprintf("needs.stay_in: %s would run a member outside %s", list(away), list(f.Needs.StayIn)))
	default:
		s.out = append(s.out, "organisations: none runs a machine (runs: true)")
	}
	return nil
}

func (f *Fleet) seatSolo(s *seats, able []string) {
	s.members = able[:1]
	if f.Needs.Survive != "nothing" {
		s.out = append(s.out, fmt.Sprintf("needs.survive: %s: with one machine the service ends", f.Needs.Survive))
	}
	f.oneDecides(s, "its operator")
}

// seatRaft seats three organisations that trust each other where the loss of one is borne, else one that has three machines.
func (f *Fleet) seatRaft(s *seats, able []string) {
	s.members = slices.Repeat(able[:1], fewest["raft"])
	f.oneDecides(s, "the leader")
	if f.Needs.Survive != "organisation" {
		s.notes = append(s.notes, fmt.Sprintf("%s needs %d machines", able[0], fewest["raft"]))
		return
	}
	three := f.friends(able, fewest["raft"])
	if three == nil {
		s.out = append(s.out, fmt.Sprintf("needs.survive: organisation: it takes %d organisations that run members and trust each other, for a member by raft believes the leader; there are no such three among %s", fewest["raft"], strings.Join(able, ", ")))
		return
	}
	s.members = three
}

// seatComet seats four organisations. Where there are fewer, one of them with four machines stands in, which is as good as its word.
func (f *Fleet) seatComet(s *seats, able []string) {
	n := fewest["comet"]
	if len(able) >= n {
		s.members = able[:n]
		return
	}
	s.members = slices.Repeat(able[:1], n)
	s.notes = append(s.notes, fmt.Sprintf("%s needs %d machines, and all of them say what it likes", able[0], n))
	short := fmt.Sprintf("it takes %d organisations that run a member, so that one may be lost or lie; %d can: %s", n, len(able), strings.Join(able, ", "))
	if f.Needs.Survive == "organisation" {
		s.out = append(s.out, "needs.survive: organisation: "+short)
	}
	if f.Needs.NobodyAlone {
		s.out = append(s.out, "needs.nobody_alone: "+short)
	}
}

func (f *Fleet) oneDecides(s *seats, who string) {
	if f.Needs.NobodyAlone {
		s.out = append(s.out, fmt.Sprintf("needs.nobody_alone: %s may refuse, delay or reorder what others send", who))
	}
}

// friends are n organisations of which each trusts each, the first in their order; nil: there are none.
func (f *Fleet) friends(able []string, n int) []string {
	var chosen []string
	var pick func(from int) bool
	pick = func(from int) bool {
		if len(chosen) == n {
			return true
		}
		for i := from; i < len(able); i++ {
			if slices.ContainsFunc(chosen, func(c string) bool { return !f.mutual(c, able[i]) }) {
				continue
			}
			chosen = append(chosen, able[i])
			if pick(i + 1) {
				return true
			}
			chosen = chosen[:len(chosen)-1]
		}
		return false
	}
	if !pick(0) {
		return nil
	}
	return chosen
}

// spread says that no organisation has more members than may lie.
func (f *Fleet) spread(members []string) bool {
	return len(members) >= fewest["comet"] && len(slices.Compact(slices.Sorted(slices.Values(members)))) == len(members)
}

// watch has those who do not take the members' word cosign the log, or says that nobody would notice a lie.
func (f *Fleet) watch(s *seats, engine string) {
	word := map[string]string{"solo": "the operator's word", "raft": "the leader's word", "comet": "the word of the one who has all members"}[engine]
	var doubting []string
	for _, o := range f.Organisations {
		if slices.Contains(s.members, o.Name) {
			continue
		}
		if slices.ContainsFunc(s.members, func(m string) bool { return !slices.Contains(o.Trusts, m) }) {
			doubting = append(doubting, o.Name)
		}
		s.witnesses = append(s.witnesses, o.Name)
	}
	switch {
	case len(doubting) == 0 && f.Needs.Check != "anyone":
		s.witnesses = nil // those who trust need no proof that there is one history
	case f.Needs.Check == "nobody":
		s.witnesses = nil
		s.out = append(s.out, fmt.Sprintf("needs.check: nobody: %s do not take %s, and nobody would notice a lie", strings.Join(doubting, ", "), word))
	case len(s.witnesses) == 0:
		s.notes = append(s.notes, "nobody here can be its witness: ask somebody outside, for a witness that the operator runs proves nothing")
	default:
		s.notes = append(s.notes, fmt.Sprintf("witnesses: %s cosign its log, so that nobody can be shown another one; each needs a small machine, of which a year is not counted here", strings.Join(s.witnesses, ", ")))
	}
}

// trusted says that everybody takes the word of all members: then gateways of theirs may check signatures for all.
func (f *Fleet) trusted(members []string) bool {
	return !slices.ContainsFunc(f.Organisations, func(o Organisation) bool {
		return slices.ContainsFunc(members, func(m string) bool { return m != o.Name && !slices.Contains(o.Trusts, m) })
	})
}
