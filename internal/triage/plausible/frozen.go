package plausible

import (
	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/triage/saved"
)

// frozen knows how likely it is that a register stands still, at first and once it does, by the hour of the day (UTC): a run of
// unchanged readings is implausible when its probability falls below unlikely. So a register that never stood still is frozen after half a
// day, one that rests each night is given the night, and an empty house is left alone. It counts readings: silence is not standing still.
type frozen struct {
	begins, steps float64     // runs that began, of so many steps that could begin one
	stays, after  [24]float64 // steps that stood still, of those after one that did
	run           int         // steps that the run has
	fromMS        lamppost.TimeMS
	chance        float64
	longest       int
	said          bool
}

const (
	unlikely   = 1e-6
	frozenWarm = 200       // steps before it speaks
	maxSteps   = 1<<31 - 1 // that a count of steps reaches
)

func (z *frozen) stop() { z.run, z.said = 0, false }

func (z *frozen) next(s step) (Finding, bool) {
	hour := int(s.atMS/msPerHour) % 24
	begins := float64((z.begins + 0.5) / (z.steps + 1))
	stays := (z.stays[hour] + 0.5) / (z.after[hour] + 1)
	z.learn(s.used == 0, hour)
	if s.used != 0 {
		if !z.said {
			z.longest = max(z.longest, z.run)
		}
		z.stop()
		return Finding{}, false
	}
	if z.run == 0 {
		z.fromMS, z.chance = s.fromMS, begins
	} else {
		z.chance = float64(z.chance * stays)
	}
	z.run = min(z.run+1, maxSteps)
	if z.said || z.chance >= unlikely || z.steps < frozenWarm || z.run <= z.longest {
		return Finding{}, false
	}
	z.said = true
	return finding(Frozen, z.fromMS, s.atMS, float64(z.run), float64(z.longest)), true
}

// learn counts the step. A run that was found is learnt too, so that an empty house is found once.
func (z *frozen) learn(still bool, hour int) {
	if z.run > 0 {
		z.after[hour] = min(z.after[hour]+1, maxSteps)
		if still {
			z.stays[hour] = min(z.stays[hour]+1, maxSteps)
		}
		return
	}
	z.steps = min(z.steps+1, maxSteps)
	if still {
		z.begins = min(z.begins+1, maxSteps)
	}
}

func (z *frozen) state(s *saved.State) {
	amount(s, &z.begins)
	amount(s, &z.steps)
	amounts(s, z.stays[:])
	amounts(s, z.after[:])
	s.Count(&z.run, maxSteps)
	timeState(s, &z.fromMS)
	amount(s, &z.chance)
	s.Count(&z.longest, maxSteps)
	s.Flag(&z.said)
}
