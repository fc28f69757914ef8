package device_test

import (
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/device"
	"pgregory.net/rapid"
)

// TestGuard shows each rule once.
func TestGuard(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		class          lamppost.SafetyClass
		min, requested int
		granted        int
		reason         string
	}{
		{lamppost.Ordinary, 0, 0, 0, ""},
		{lamppost.Ordinary, 30, 10, 10, ""}, // a minimum is for public functions
		{lamppost.Ordinary, 0, -5, 0, device.GuardRange},
		{lamppost.Ordinary, 0, 130, 100, device.GuardRange},
		{lamppost.Essential, 0, 40, 40, ""},
		{lamppost.Life, 0, 100, 100, ""},
		{lamppost.Life, 0, 99, 100, device.GuardLife},
		{lamppost.Life, 0, -1, 100, device.GuardLife},
		{lamppost.Public, 30, 30, 30, ""},
		{lamppost.Public, 30, 29, 30, device.GuardMinimum},
		{lamppost.Public, 300, 29, 100, device.GuardMinimum},
		{lamppost.Public, -3, -3, 0, device.GuardRange},
	} {
		granted, reason := device.Guard{Class: c.class, Min: c.min}.Level(c.requested)
		if granted != c.granted || reason != c.reason {
			t.Errorf("%v with minimum %d asked for %d: got %d, %q, want %d, %q",
				c.class, c.min, c.requested, granted, reason, c.granted, c.reason)
		}
	}
}

// TestGuardInvariants: whatever is asked, a level is a percentage, life runs at 100, public at its minimum or above,
// nothing is granted beyond a valid request for other classes, and the reason is empty exactly if the request is granted.
func TestGuardInvariants(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		g := device.Guard{Class: lamppost.SafetyClass(rapid.IntRange(0, 5).Draw(r, "class")), Min: rapid.Int().Draw(r, "min")}
		requested := rapid.OneOf(rapid.Int(), rapid.IntRange(-10, 110)).Draw(r, "requested")
		granted, reason := g.Level(requested)
		switch {
		case granted < 0 || granted > 100:
			r.Fatalf("granted %d percent", granted)
		case g.Class == lamppost.Life && granted != 100:
			r.Fatalf("a life function was granted %d", granted)
		case g.Class == lamppost.Public && granted < min(max(g.Min, 0), 100):
			r.Fatalf("a public function was granted %d, below %d", granted, g.Min)
		case g.Class != lamppost.Life && g.Class != lamppost.Public && requested >= 0 && requested <= 100 && granted != requested:
			r.Fatalf("granted %d of %d", granted, requested)
		case (reason == "") != (granted == requested):
			r.Fatalf("granted %d of %d for reason %q", granted, requested, reason)
		}
		if again, _ := g.Level(granted); again != granted {
			r.Fatalf("what was granted, %d, is granted as %d when asked for", granted, again)
		}
	})
}
