package guard

import (
	"time"

	"github.com/lamppost/lamppost"
)

// Command decides what a device does of a setpoint that somebody desires: a level no lower than anybody on site may set it, and no higher than
// what is granted of the restrictions on it. How far a value of another unit restricts a function is not known here, so it holds only where
// any level would.
func (s *State) Command(want lamppost.Setpoint) lamppost.Grant {
	g := lamppost.Grant{Want: want}
	least, most := s.Least(want.Name), s.Level(want.Name)
	percent, level := want.IsLevel()
	switch {
	case percent < least.Level:
		g.Why = whyLeast(least.Why)
	case (!level || percent > most.Level) && most.Level < lamppost.FullService:
		g.Why = lamppost.IsAsked
	default:
		g.Got = &want.Value
		return g
	}
	if level {
		got := lamppost.Dec(int64(max(least.Level, min(percent, most.Level))), 0)
		g.Got = &got
	}
	return g
}

func whyLeast(why string) lamppost.Why {
	switch why {
	case Life:
		return lamppost.IsLife
	case Minimum:
		return lamppost.IsMinimum
	}
	return lamppost.IsUnasked
}

// Command decides what the device does of a setpoint now.
func (k *Keeper) Command(want lamppost.Setpoint) lamppost.Grant {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tick()
	return k.state.Command(want)
}

// Floor decides on a setpoint by what a ledger knows: how the device is enrolled, and its latest charter, if any. It is for whoever tells a
// device that may have no guard.
func Floor(class lamppost.SafetyClass, charter *lamppost.Charter, want lamppost.Setpoint) lamppost.Grant {
	s := New(class)
	if charter != nil {
		s.Charters = []Held{{Charter: *charter}}
	}
	return s.Command(want)
}

// A Standing is what a device, or a gateway for it, was told to be like, with the clock by which that ends. It is not kept through a restart:
// a device that does not know how long it was off goes to its safe state. The zero value is that of a device that was told nothing.
type Standing struct {
	told lamppost.Desired
	at   time.Time
}

// Tell replaces what was told before. It returns false for a command that came late, while a later one holds.
func (s *Standing) Tell(d lamppost.Desired, now time.Time) bool {
	if d.Revision != 0 && d.Revision < s.Now(now).Revision && len(s.told.Set) > 0 {
		return false
	}
	if d.Revision != 0 && d.Left <= 0 {
		d.Set = nil // a command always has an end
	}
	d.Left = min(d.Left, lamppost.MaxDesireMS)
	s.told, s.at = d, now
	return true
}

// Now returns what is desired now. Of two clocks, monotonic and of days, the faster ends a command, and once it is over it stays so.
func (s *Standing) Now(now time.Time) lamppost.Desired {
	d := s.told
	if d.Left == 0 {
		return d
	}
	passed := max(now.Sub(s.at), now.Round(0).Sub(s.at.Round(0)))
	if d.Left -= lamppost.TimeMS(max(passed, 0).Milliseconds()); d.Left > 0 {
		return d
	}
	s.told = lamppost.Desired{Revision: d.Revision}
	return s.told
}
