package node

import (
	"context"
	"fmt"
	"sync"
)

// stages run parts side by side and stop them one after the other, the last added first.
type stages struct {
	names []string
	parts []func(context.Context) error
}

func (s *stages) add(name string, part func(context.Context) error) {
	s.names = append(s.names, name)
	s.parts = append(s.parts, part)
}

// run returns when all parts have ended: after ctx is done, or after one of them has failed or ended on its own. It
// returns the first failure, also where that came of stopping.
func (s *stages) run(ctx context.Context) error {
	var mu sync.Mutex // guards failure
	var failure error
	var once sync.Once
	ended := make(chan struct{})
	done := make([]chan struct{}, len(s.parts))
	cancels := make([]context.CancelFunc, len(s.parts))
	for i, part := range s.parts {
		partCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		done[i], cancels[i] = make(chan struct{}), cancel
		go func() {
			defer close(done[i])
			if err := part(partCtx); err != nil {
				mu.Lock()
				if failure == nil {
					failure = fmt.Errorf("%s: %w", s.names[i], err)
				}
				mu.Unlock()
			}
			once.Do(func() { close(ended) })
		}()
	}
	select {
	case <-ctx.Done():
	case <-ended:
	}
	for i := len(s.parts) - 1; i >= 0; i-- {
		cancels[i]()
		<-done[i]
	}
	return failure
}
