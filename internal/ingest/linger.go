package ingest

import "time"

// A linger decides when a batch leaves the queue: a full one at once; a partial one when its oldest report has waited
// for as long as it takes, at the rate reports have been coming, to gather company of worth, at least lingerMin and at
// most the configured time. So a busy node hardly waits, and a quiet one signs a segment for all that comes within that
// time, not one per report. Nor does it hurry where segments are decided slowly: then larger ones cost everybody less, and
// those that wait anyway lose little.
//
// It is pure: times come from the caller. Pacing uses the wall clock; what is signed and judged uses Config.Now.
type linger struct {
	max      time.Duration
	maxBatch int
	rate     float64 // reports a second, smoothed
	decision float64 // seconds from proposing a segment to its decision, smoothed
}

const (
	lingerMin  = 2 * time.Millisecond
	lingerGoal = 64   // reports worth waiting for: where batch verification has half of its gain
	lingerPart = 0.25 // of a decision's time that is waited at least
)

// wait is how long the oldest report of a partial batch waits.
func (l *linger) wait() time.Duration {
	if l.rate <= 0 {
		return l.max
	}
	return min(l.max, max(lingerMin, time.Duration(max(lingerGoal/l.rate, lingerPart*l.decision)*float64(time.Second))))
}

// due says whether to take the queue now, and if not, after which time to look again (0: only when the queue grows).
func (l *linger) due(age time.Duration, queued int) (take bool, after time.Duration) {
	switch wait := l.wait(); {
	case queued == 0:
		return false, 0
	case queued >= l.maxBatch || age >= wait:
		return true, 0
	default:
		return false, wait - age
	}
}

// took learns the rate from a batch of n that took the time since the last one to gather.
func (l *linger) took(n int, since time.Duration) {
	const weight = 0.2 // of the latest batch: a burst is noticed within a few
	if s := since.Seconds(); s > 0 {
		l.rate += weight * (float64(n)/s - l.rate)
	}
}

// decided learns how long a segment was on its way.
func (l *linger) decided(after time.Duration) {
	const weight = 0.1
	l.decision += weight * (after.Seconds() - l.decision)
}

// next fills w's batch. It returns false when Run shall end.
func (in *Ingest) next(w *worker) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	for !in.ended {
		take, after := in.linger.due(time.Since(in.since), len(in.queue))
		if take {
			in.fill(w)
			return true
		}
		if after > 0 {
			w.alarm.Reset(after)
		}
		in.more.Wait()
	}
	return false
}

// itemOverhead is what a report takes in a segment besides its bytes: salt, receive time, heads.
const itemOverhead = 32

// fill moves up to a batch of reports to the worker, the oldest first. It is called with mu held.
func (in *Ingest) fill(w *worker) {
	n, size := 0, 0
	for n < min(len(in.queue), in.cfg.MaxBatch) {
		if size += len(in.queue[n].Raw) + itemOverhead; n > 0 && size > in.cfg.MaxBytes {
			break
		}
		n++
	}
	w.batch = append(w.batch[:0], in.queue[:n]...)
	rest := copy(in.queue, in.queue[n:])
	clear(in.queue[rest:])
	in.queue = in.queue[:rest]
	for i := range w.batch {
		in.bytes -= len(w.batch[i].Raw)
	}
	now := time.Now()
	in.mark(w.batch, now)
	in.linger.took(n, now.Sub(in.filled))
	in.filled = now
	if rest > 0 {
		in.more.Signal() // what is left has waited as long as what was taken: let another worker look
	}
	in.number++
	w.number = in.number
	in.room.Broadcast()
}
