package guard_test

import (
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/guard"
)

// Goal: no command takes a function below what anybody on site may set, nor above what a granted restriction allows, and a value in another unit holds
// only where any level would. Method: every class, with and without a charter and a restriction, online and not, and every level.
func TestCommandStaysWithin(t *testing.T) {
	t.Parallel()
	charter := lamppost.Charter{Device: "d", Number: 1, Functions: []lamppost.Function{{Name: "f", Class: lamppost.Public, Min: 30}, {Name: "o", Class: lamppost.Ordinary}}}
	for _, class := range []lamppost.SafetyClass{lamppost.Life, lamppost.Public, lamppost.Essential, lamppost.Ordinary} {
		for setting := range 8 {
			s := guard.New(class)
			if setting&1 != 0 {
				s.Charters = []guard.Held{{Charter: charter}}
			}
			if setting&2 != 0 {
				s.Contact([]guard.Request{{ID: "r", Function: "f", Level: 20, Left: 1 << 40}})
			}
			if setting&4 != 0 {
				s.Tick(1<<39, 1<<39)
				s.Tick(0, 0)
			}
			for _, name := range []string{"f", "o", "unnamed"} {
				least, most := s.Least(name).Level, s.Level(name).Level
				for level := int64(0); level <= 100; level++ {
					want := lamppost.Setpoint{Name: name, Value: lamppost.Dec(level, 0), Unit: lamppost.Level}
					g := s.Command(want)
					got, _ := g.Got.At(0)
					if got < int64(least) || got > int64(most) || (got == level) != (g.Why == lamppost.AsDesired) || got != max(int64(least), min(level, int64(most))) {
						t.Fatalf("%v, setting %d, %s at %d: granted %d (%s) of %d to %d", class, setting, name, level, got, g.Why, least, most)
					}
				}
				g := s.Command(lamppost.Setpoint{Name: name, Value: lamppost.Dec(-5, 0), Unit: "W"})
				if free := least == 0 && most == lamppost.FullService; free != (g.Got != nil) || free != (g.Why == lamppost.AsDesired) {
					t.Errorf("%v, setting %d, a value of %s: %+v of %d to %d", class, setting, name, g, least, most)
				}
			}
		}
	}
}
