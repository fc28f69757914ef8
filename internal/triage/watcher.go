package triage

import "github.com/lamppost/lamppost"

// A Watcher is a series of one unit and kind, for those who only ask for alarms.
type Watcher struct {
	*Series
	Unit string
	Kind lamppost.Kind
}

// NewWatcher returns a watcher of a series that will have so many readings, or nil if there can be no alarm in so few.
func NewWatcher(unit string, kind lamppost.Kind, readings int) *Watcher {
	if readings <= warmUp {
		return nil
	}
	return &Watcher{NewSeries(), unit, kind}
}

// Alarm takes the next reading in and says whether it is an alarm. What [Series.Observe] refuses is none.
func (w *Watcher) Alarm(at lamppost.TimeMS, value float64) bool {
	v, err := w.Observe(Sample{AtMS: at, Value: value, Unit: w.Unit, Kind: w.Kind})
	return err == nil && v.Alarm
}
