package demo

import (
	"context"
	"errors"
	"sync"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/pilot"
)

// decisions are what agents decided and what does not stand on the ledger yet. Devices act at once and do not wait for it.
type decisions struct {
	mu   sync.Mutex
	all  []pilot.Made
	more chan struct{} // holds something when there are new ones
}

func newDecisions() *decisions { return &decisions{more: make(chan struct{}, 1)} }

func (q *decisions) add(m pilot.Made) {
	q.mu.Lock()
	q.all = append(q.all, m)
	q.mu.Unlock()
	select {
	case q.more <- struct{}{}:
	default:
	}
}

// next takes the oldest of each device: what came of a decision is ordered with the next one.
func (q *decisions) next() (part []pilot.Made) {
	q.mu.Lock()
	defer q.mu.Unlock()
	taken, rest := map[lamppost.DeviceID]bool{}, q.all[:0]
	for _, m := range q.all {
		if id := m.Decision.Device; !taken[id] {
			taken[id] = true
			part = append(part, m)
		} else {
			rest = append(rest, m)
		}
	}
	clear(q.all[len(rest):])
	q.all = rest
	return part
}

// followDecisions orders what is decided until ctx is done. An order that was begun is finished within life.
func (r *run) followDecisions(ctx, life context.Context) error {
	for {
		if err := r.orderDecisions(life); err != nil {
			return err
		}
		select {
		case <-r.said.more:
		case <-ctx.Done():
			return nil
		}
	}
}

// orderDecisions orders all that wait. An order expires by the node's clock, of which a fast one leaves little time: one that came too late is given again.
func (r *run) orderDecisions(ctx context.Context) error {
	for {
		part := r.said.next()
		if len(part) == 0 {
			return nil
		}
		for tries := 0; ; tries++ {
			err := r.node.Take(ctx, part)
			var refused *lamppost.Refusal
			if err == nil {
				break
			}
			if errors.As(err, &refused) || ctx.Err() != nil || tries == takeTries {
				return err
			}
		}
	}
}
