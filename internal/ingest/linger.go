package ingest

import "time"

// A linger decides when a worker takes a batch: a full one at once; a partial one when its oldest report has waited
// long enough for company. So a busy node never waits, and a quiet one writes a block per Linger, not per report.
//
// It is pure: now comes from the caller.
type linger struct {
	wait     time.Duration
	maxBatch int
}

// due says whether to take the queue now, and if not, after which time to look again (0: only when the queue grows).
func (l linger) due(now, since time.Time, queued int) (take bool, after time.Duration) {
	switch age := now.Sub(since); {
	case queued == 0:
		return false, 0
	case queued >= l.maxBatch || age >= l.wait:
		return true, 0
	default:
		return false, l.wait - age
	}
}

// next fills w's batch. It returns false when Run shall end.
func (in *Ingest) next(w *worker) bool {
	l := linger{in.cfg.Linger, in.cfg.MaxBatch}
	in.mu.Lock()
	defer in.mu.Unlock()
	for !in.ended {
		take, after := l.due(time.Now(), in.since, len(in.queue))
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

// fill moves up to a batch of reports to the worker, the oldest first. It is called with mu held.
func (in *Ingest) fill(w *worker) {
	n := min(len(in.queue), in.cfg.MaxBatch)
	w.batch = append(w.batch[:0], in.queue[:n]...)
	rest := copy(in.queue, in.queue[n:])
	clear(in.queue[rest:])
	in.queue = in.queue[:rest]
	for i := range w.batch {
		in.bytes -= len(w.batch[i].raw)
	}
	if rest > 0 {
		in.more.Signal() // what is left has waited for as long as what was taken: let another worker look
	}
	in.number++
	w.number = in.number
	in.room.Broadcast()
}
