package ingest

import "time"

// A Linger is the core that decides when a batch is taken, for its table test.
type Linger struct{ l linger }

// NewLinger returns a core at a rate of reports a second, 0 for none known.
func NewLinger(wait time.Duration, maxBatch int, rate float64) *Linger {
	return &Linger{linger{max: wait, maxBatch: maxBatch, rate: rate}}
}

// Due is linger.due.
func (l *Linger) Due(age time.Duration, queued int) (bool, time.Duration) {
	return l.l.due(age, queued)
}

// Decided is linger.decided.
func (l *Linger) Decided(after time.Duration) { l.l.decided(after) }

// Took is linger.took; it returns the new rate.
func (l *Linger) Took(n int, since time.Duration) float64 {
	l.l.took(n, since)
	return l.l.rate
}
