package cli

import (
	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/judge"
	"github.com/lamppost/lamppost/internal/triage/behave"
)

// replayVerdict judges again, from the state before it, a reading, or the minute at a door that such a state has in itself.
func replayVerdict(state []byte, r *judged) ([]lamppost.Verdict, error) {
	v := r.Verdict
	if v.Kind == lamppost.Behaviour {
		f, err := behave.Replay(state, v.Device)
		if err != nil || f == nil {
			return nil, err
		}
		return []lamppost.Verdict{f.Verdict(v.Device)}, nil
	}
	return judge.Replay(state, judge.Reading{Reading: r.Reading, Height: v.Height, Tx: v.Tx, Report: v.Report, Record: v.Record, Received: r.Received,
		Device: r.Device, Billing: r.Billing})
}
