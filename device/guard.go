package device

import "github.com/lamppost/lamppost"

// A Guard is the last word on what a contract, a bill or an outage may do to one function of a machine. It is asked with
// every request that would change the function's level, and its answer is what the machine does.
//
// It knows nothing but the function's safety class and its minimum. The notice and the grace that an essential function
// is owed before it is degraded (architecture.md §7) are not kept by this type: ask it only once they are over.
type Guard struct {
	Class lamppost.SafetyClass
	Min   int // percent; the least a public function may be set to; counted as within 0 to 100
}

// Why a Guard grants another level than was requested.
const (
	GuardRange   = "range"          // the request was not a percentage
	GuardLife    = "life"           // never restricted
	GuardMinimum = "public_minimum" // not below Min
)

// Level returns the level, in percent, that the function is set to when requested is asked for. The reason is empty
// exactly if both are the same. A life function always runs at 100, a public one never under its minimum.
func (g Guard) Level(requested int) (granted int, reason string) {
	granted = clamp(requested)
	if granted != requested {
		reason = GuardRange
	}
	switch least := clamp(g.Min); {
	case g.Class == lamppost.Life && granted < 100:
		return 100, GuardLife
	case g.Class == lamppost.Public && granted < least:
		return least, GuardMinimum
	}
	return granted, reason
}

func clamp(percent int) int { return min(max(percent, 0), 100) }
