package measure

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/lamppost/lamppost/internal/federate"
	"github.com/lamppost/lamppost/internal/forecast"
)

// Attacks make sums that rows could have, of an attacker's choice: those of the gateway's true rows with other targets, or with more rows.
// Attackers know each other's plan and push the same way.

// A poison turns honest sums into those of a liar. amount is how hard it pushes.
type poison struct {
	name    string
	amounts []float64 // of several the one that does most harm is counted
	make    func(s *forecast.Stats, amount float64, random *rand.Rand)
}

var poisons = [...]poison{
	{"sign flip", []float64{1}, func(s *forecast.Stats, _ float64, _ *rand.Rand) { retarget(s, -1, nil) }},
	{"scaled", []float64{10}, func(s *forecast.Stats, by float64, _ *rand.Rand) { // and said to be of a hundred times the rows
		retarget(s, by, nil)
		heavier(s, 100)
	}},
	{"label shift", []float64{3}, func(s *forecast.Stats, by float64, _ *rand.Rand) { retarget(s, 1, []float64{by}) }},
	{"random", []float64{1}, func(s *forecast.Stats, _ float64, random *rand.Rand) {
		w := make([]float64, s.Features())
		for i := range w {
			w[i] = 0.3 * random.NormFloat64()
		}
		retarget(s, 0, w)
	}},
	{"heavy flip", []float64{1}, func(s *forecast.Stats, _ float64, _ *rand.Rand) {
		retarget(s, -1, nil)
		heavier(s, 100)
	}},
	// As strong as it goes without being found out: the attacker tries.
	{"subtle drift", steps(0.1, 1.2), func(s *forecast.Stats, by float64, _ *rand.Rand) {
		retarget(s, 1, []float64{by})
		heavier(s, 100)
	}},
	{"subtle shrink", steps(0.1, 1), func(s *forecast.Stats, by float64, _ *rand.Rand) {
		retarget(s, 1-by, nil)
		heavier(s, 100)
	}},
}

// steps are the amounts that an attacker tries.
func steps(from, until float64) (all []float64) {
	for x := from; x <= until+1e-9; x += 0.05 {
		all = append(all, x)
	}
	return all
}

// retarget makes the targets scale·y + w·x.
func retarget(s *forecast.Stats, scale float64, w []float64) {
	w = append(w, make([]float64, s.Features()-len(w))...)
	zero, _ := forecast.NewStats(s.Features())
	_ = zero.Merge(s, 1)
	zero.Square, zero.Cross = 0, make([]float64, s.Features())
	squares, _ := zero.Loss(w) // the mean of (w·x)²
	cross := 0.0
	for i, at := 0, 0; i < len(w); i, at = i+1, at+i+1 {
		for j := range i + 1 {
			g := s.Gram[at+j]
			zero.Cross[i] += g * w[j]
			if j < i {
				zero.Cross[j] += g * w[i]
			}
		}
		cross += w[i] * s.Cross[i]
	}
	s.Square = scale*scale*s.Square + 2*scale*cross + squares*s.Weight
	for i := range w {
		s.Cross[i] = scale*s.Cross[i] + zero.Cross[i]
	}
}

func heavier(s *forecast.Stats, by float64) {
	more, _ := forecast.NewStats(s.Features())
	_ = more.Merge(s, by)
	more.Rows = int(by) * s.Rows
	*s = *more
}

func (r *FederateResult) attacks(out *FederateSplit, l *learned) error {
	for _, x := range [...]struct {
		share            float64
		rise, undefended *float64
	}{{0.1, &r.Rise10, &r.Undefended10}, {0.2, &r.Rise20, &r.Undefended20}, {0.3, &r.Rise30, &r.Undefended30}} {
		plot := l.plot(x.share)
		for i := range poisons {
			worst, err := l.worst(&poisons[i], poisons[i].amounts, plot)
			if err != nil {
				return err
			}
			out.Attacks = append(out.Attacks, worst)
			*x.rise, *x.undefended = max(*x.rise, worst.Rise), max(*x.undefended, worst.Undefended)
		}
	}
	return nil
}

// A plot is who lies of whose updates.
type plot struct {
	updates func(g int) []federate.Update // of a horizon; those of liars are still true
	liar    map[string]bool               // by name
}

// plot lets a share of the gateways lie, at least one, each a member of its own.
func (l *learned) plot(share float64) *plot {
	p := &plot{func(g int) []federate.Update { return updatesOf(l, g) }, map[string]bool{}}
	for _, i := range rand.New(rand.NewPCG(31, 2)).Perm(len(l.gateways))[:max(1, int(math.Round(share*float64(len(l.gateways)))))] {
		p.liar[gatewayName(i)] = true
	}
	return p
}

// worst is what the amount does that does most harm.
func (l *learned) worst(p *poison, amounts []float64, who *plot) (FederateAttack, error) {
	worst := FederateAttack{Rise: math.Inf(-1)}
	for _, amount := range amounts {
		a, err := l.attacked(p, amount, who)
		if err != nil {
			return a, fmt.Errorf("%s: %w", p.name, err)
		}
		if a.Rise > worst.Rise {
			worst = a
		}
	}
	return worst, nil
}

// attacked lets them lie at all horizons.
func (l *learned) attacked(p *poison, amount float64, who *plot) (FederateAttack, error) {
	a := FederateAttack{Attack: p.name, Amount: amount}
	for g, central := range l.central {
		updates := who.updates(g)
		plain, _ := forecast.NewStats(central.Features())
		for i := range updates {
			if who.liar[updates[i].By] {
				lie, _ := forecast.NewStats(central.Features())
				_ = lie.Merge(updates[i].Stats, 1)
				p.make(lie, amount, rand.New(rand.NewPCG(31, 3))) // the same die for all: they push one way
				updates[i].Stats = lie
			}
			_ = plain.Merge(updates[i].Stats, 1)
		}
		a.Poisoned = float64(len(who.liar)) / float64(len(updates))
		round, err := federate.Merge(updates)
		if err != nil {
			return a, err
		}
		for i := range round.Parts {
			switch out := round.Parts[i].Left != ""; {
			case out && who.liar[round.Parts[i].By]:
				a.Caught += 1 / float64(len(who.liar)*len(l.central))
			case out:
				a.LeftOut++
			}
		}
		rise, err := l.rise(g, round.Stats)
		if err != nil {
			return a, err
		}
		undefended, err := l.rise(g, plain)
		if err != nil {
			return a, err
		}
		a.Rise, a.Undefended = a.Rise+rise/float64(len(l.central)), a.Undefended+undefended/float64(len(l.central))
	}
	return a, nil
}

// rise is by how much sums miss more on the test period than those of all honest ones.
func (l *learned) rise(g int, s *forecast.Stats) (float64, error) {
	w, err := s.Fit()
	if err != nil {
		return 0, err
	}
	c, err := l.central[g].Fit()
	if err != nil {
		return 0, err
	}
	return missed(l.test[g], w)/missed(l.test[g], c) - 1, nil
}
