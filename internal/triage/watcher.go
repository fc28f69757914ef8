package triage

import "github.com/lamppost/lamppost"

// A Watcher is a series of one unit and kind, for those who only ask for alarms.
type Watcher struct {
	*Series
	Unit string
	Kind lamppost.Kind
}

// Alarm takes the next reading in and says whether it is an alarm. What [Series.Observe] refuses is none.
func (w *Watcher) Alarm(at lamppost.TimeMS, value float64) bool {
	v, err := w.Observe(Sample{AtMS: at, Value: value, Unit: w.Unit, Kind: w.Kind})
	return err == nil && v.Alarm
}
