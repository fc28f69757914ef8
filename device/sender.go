package device

import (
	"context"
	"fmt"
	"time"

	"github.com/lamppost/lamppost"
)

// A Sender takes reports to a network and brings back what became of them. [NewHTTP] makes one; package devicemqtt has
// another.
//
// Send is called concurrently. It returns an Ack only when the network has decided: committed, refused for good, or a
// code that is not Final, which means that it asks to wait. An error means that the outcome is unknown or that nothing
// was decided; the same bytes are sent again later, after at least the pause of a [WaitError] if there is one in it.
// Send does not keep or change report.
type Sender interface {
	Send(ctx context.Context, report []byte) (Ack, error)
}

// An Ack is the network's answer to one report.
type Ack struct {
	Code   lamppost.Code
	ID     lamppost.ReportID // zero if the network did not name it; otherwise it must be that of the report sent
	Height lamppost.Height   // of the first commit, if accepted
	Text   string            // for people, of a refusal
	Server string            // which member answered, of a Roamer
}

// A WaitError is a Send's error that asks for a pause of at least After: a rate limit, or a node that is starting.
type WaitError struct {
	After time.Duration // 0: as long as usual
	Why   string
}

// Error returns why, and how long.
func (e *WaitError) Error() string {
	if e.After == 0 {
		return e.Why
	}
	return fmt.Sprintf("%s; try again after %v", e.Why, e.After)
}

// ParseCode returns the code of a name as [lamppost.Code.String] writes it, for writers of Senders.
func ParseCode(name string) (lamppost.Code, bool) {
	for i, known := range lamppost.CodeNames() {
		if name == known {
			return lamppost.Code(i), true
		}
	}
	return 0, false
}
