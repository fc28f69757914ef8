package measure

import (
	"fmt"
	"math"

	"github.com/lamppost/lamppost/internal/federate"
	"github.com/lamppost/lamppost/internal/forecast"
)

// FederateMembers is what becomes of a split where gateways belong to members.
type FederateMembers struct {
	Gap      float64 `json:"gap"`           // as of the split, where members have one, two, three gateways and so on
	HalfGap  float64 `json:"half_gap"`      // where one member has half of all
	Smallest float64 `json:"least_counted"` // what the rows count there of the gateway that counts least; 1: all in full
	LeftOut  int     `json:"left_out"`      // honest ones

	Scattered FederateAttack  `json:"scattered"`
	Sybil     []FederateSybil `json:"sybil"` // none where there are fewer than ten gateways
}

// A FederateSybil is one member of ten that lies through so many gateways, each of which says everything.
type FederateSybil struct {
	Gateways  int            `json:"gateways"`
	Worst     FederateAttack `json:"worst"`
	ByGateway float64        `json:"error_rise_by_gateway"` // were gateways counted and not members
}

// sybils are the numbers of gateways that one of sybilMembers has.
var sybils = [...]int{1, 5, 20, 50}

const sybilMembers = 10

// owners are the ways in which members own n gateways unequally: one, two, three and so on; and one member half of all.
func owners(n int) (ways [2][]int) {
	for member := 0; len(ways[0]) < n; member++ {
		for range member + 1 {
			ways[0] = append(ways[0], member)
		}
	}
	ways[0] = ways[0][:n]
	for i := range n {
		ways[1] = append(ways[1], max(0, i-n/2))
	}
	return ways
}

func memberName(i int) string { return fmt.Sprintf("member-%03d", i) }

// owned is the updates of members' gateways.
func (l *learned) owned(g int, of []int) []federate.Update {
	all := updatesOf(l, g)
	for i := range all {
		all[i].Member = memberName(of[i])
	}
	return all
}

func (r *FederateResult) members(out *FederateSplit, l *learned) error {
	m := &FederateMembers{Smallest: 1}
	out.Members = m
	for way, of := range owners(len(l.gateways)) {
		gap := [...]*float64{&m.Gap, &m.HalfGap}[way]
		for g, central := range l.central {
			round, err := federate.Merge(l.owned(g, of))
			if err != nil {
				return err
			}
			var f FederateSplit
			if err := f.compare(round, central); err != nil {
				return err
			}
			*gap, m.LeftOut = max(*gap, f.Gap), m.LeftOut+f.LeftOut
			for i := range round.Parts {
				m.Smallest = min(m.Smallest, round.Parts[i].Factor)
			}
		}
	}
	r.MembersGap, r.HalfGap, r.HonestOut = max(r.MembersGap, m.Gap), max(r.HalfGap, m.HalfGap), r.HonestOut+m.LeftOut
	if err := m.scatter(l); err != nil {
		return err
	}
	r.Scattered20 = max(r.Scattered20, m.Scattered.Rise)
	if len(l.gateways) < sybilMembers {
		return nil
	}
	for i, worst := range [...]*float64{&r.Sybil1, &r.Sybil5, &r.Sybil20, &r.Sybil50} {
		s, err := l.sybil(sybils[i])
		if err != nil {
			return err
		}
		m.Sybil = append(m.Sybil, *s)
		*worst, r.ByGateway50 = max(*worst, s.Worst.Rise), max(r.ByGateway50, s.ByGateway)
	}
	return nil
}

// scatter lets a fifth of the gateways lie, of members with two each.
func (m *FederateMembers) scatter(l *learned) error {
	who := l.plot(0.2)
	who.updates = func(g int) []federate.Update {
		of := make([]int, len(l.gateways))
		for i := range of {
			of[i] = i / 2
		}
		return l.owned(g, of)
	}
	m.Scattered.Rise = math.Inf(-1)
	for i := range poisons {
		a, err := l.worst(&poisons[i], everyOther(poisons[i].amounts), who)
		if err != nil {
			return err
		}
		if a.Rise > m.Scattered.Rise {
			m.Scattered = a
		}
	}
	return nil
}

// everyOther keeps the measuring short.
func everyOther(amounts []float64) (some []float64) {
	for i := 0; i < len(amounts); i += 2 {
		some = append(some, amounts[i])
	}
	return some
}

// sybil lets the first of ten members lie through k gateways.
func (l *learned) sybil(k int) (*FederateSybil, error) {
	s := &FederateSybil{Gateways: k, Worst: FederateAttack{Rise: math.Inf(-1)}, ByGateway: math.Inf(-1)}
	who := &plot{liar: map[string]bool{}}
	for i := range k {
		who.liar[sybilName(i)] = true
	}
	for i := range poisons {
		amounts := everyOther(poisons[i].amounts)
		who.updates = func(g int) []federate.Update { return l.behind(g, k) }
		a, err := l.worst(&poisons[i], amounts, who)
		if err != nil {
			return nil, err
		}
		if a.Rise > s.Worst.Rise {
			s.Worst = a
		}
		if k != sybils[len(sybils)-1] {
			continue
		}
		who.updates = func(g int) []federate.Update { return alone(l.behind(g, k)) }
		if a, err = l.worst(&poisons[i], amounts, who); err != nil {
			return nil, err
		}
		s.ByGateway = max(s.ByGateway, a.Rise)
	}
	if k != sybils[len(sybils)-1] {
		s.ByGateway = 0
	}
	return s, nil
}

func sybilName(i int) string { return fmt.Sprintf("a-%03d", i) }

// behind deals the gateways to ten members, and puts k in the place of the first one's, each with all that it knows.
func (l *learned) behind(g, k int) (all []federate.Update) {
	n := len(l.gateways)
	own, _ := forecast.NewStats(l.central[g].Features())
	for i, u := range updatesOf(l, g) {
		if u.Member = memberName(i * sybilMembers / n); u.Member == memberName(0) {
			_ = own.Merge(u.Stats, 1)
			continue
		}
		all = append(all, u)
	}
	for i := range k {
		all = append(all, federate.Update{By: sybilName(i), Member: memberName(0), Devices: federate.MinDevices, Stats: own})
	}
	return all
}

// alone makes each gateway a member of its own.
func alone(all []federate.Update) []federate.Update {
	for i := range all {
		all[i].Member = all[i].By
	}
	return all
}
