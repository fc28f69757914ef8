package cli

import (
	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/judge"
)

// replayVerdict judges a reading again, from the state before it.
func replayVerdict(state []byte, r *judgedReading) ([]lamppost.Verdict, error) {
	v := r.Verdict
	return judge.Replay(state, judge.Reading{Reading: r.Reading, Height: v.Height, Tx: v.Tx, Report: v.Report, Record: v.Record, Received: r.Received,
		Device: r.Device, Billing: r.Billing})
}
