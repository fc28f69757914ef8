package ledger

import (
	"errors"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
)

// CountOpen counts the verdicts that wait for an answer, up to a number. It reads no verdict.
func (v View) CountOpen(most int) (n int, err error) {
	from := key('s', "o")
	err = v.Scan(from, end(from), func(_, _ []byte) error {
		if n++; n >= most {
			return kv.ErrStop
		}
		return nil
	})
	return n, err
}

// CountAlarms counts the alarms that a budget is about, those of anomalies and behaviour, which were found from a time on, up to a number.
func (v View) CountAlarms(since lamppost.TimeMS, most int) (n int, err error) {
	err = v.Verdicts(lamppost.VerdictID{}, func(x *Verdict) error {
		if x.Body.Kind != lamppost.Implausible && x.Time >= since {
			n++
		}
		if x.Time < since || n >= most {
			return kv.ErrStop
		}
		return nil
	})
	if errors.Is(err, kv.ErrStop) {
		err = nil
	}
	return n, err
}
