package guard

import (
	"fmt"
	"time"

	"github.com/lamppost/lamppost"
)

// Why a guard does not do what is asked of it, or sets nothing lower. Programs go by these.
const (
	Life    = "life"    // the function is never restricted
	Minimum = "minimum" // not below its minimum
	Offline = "offline" // the network is away
	Notice  = "notice"  // its notice is not over
	Grace   = "grace"   // its grace is not over
	Ended   = "ended"   // the request is over, though the ledger did not take it back yet
	Unasked = "unasked" // nothing on the ledger asks for it, and without notice nobody may
)

// A Decision is at which level a function runs, and why.
type Decision struct {
	Function string           `json:"function"`
	Class    string           `json:"class"`
	Level    uint8            `json:"level"`             // percent
	Request  string           `json:"request,omitempty"` // that it answers; empty: nothing is asked
	Asked    uint8            `json:"asked"`             // percent
	By       lamppost.PartyID `json:"by,omitempty"`
	Reason   string           `json:"reason,omitempty"`   // of the request, for people
	Why      string           `json:"why,omitempty"`      // the level is above what is asked
	After    lamppost.TimeMS  `json:"after_ms,omitempty"` // of contact with the network still to pass before it can be restricted
}

// String says it for people.
func (d Decision) String() string {
	head := fmt.Sprintf("%s (%s) runs at %d %%", d.Function, d.Class, d.Level)
	if d.Request != "" {
		head += fmt.Sprintf("; %s asks for %d %% (%s)", d.By, d.Asked, d.Reason)
	}
	switch d.Why {
	case "":
		if d.Request == "" {
			return head
		}
		return head + ": granted"
	case Life:
		return head + ": it protects lives and is never restricted"
	case Minimum:
		return head + ": not below its minimum"
	case Offline:
		return head + ": not while the network is away"
	case Ended:
		return head + ": its time is over"
	case Notice:
		return fmt.Sprintf("%s: notice and grace take %s more", head, span(d.After))
	case Grace:
		return fmt.Sprintf("%s: notice is over, grace takes %s more", head, span(d.After))
	}
	return head + ": nothing that was noticed restricts it"
}

func span(t lamppost.TimeMS) string {
	d := time.Duration(t) * time.Millisecond
	if d >= 48*time.Hour {
		return fmt.Sprintf("%d days %d h", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
	}
	return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
}
