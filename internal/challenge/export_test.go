package challenge

import "context"

const MaxQueue = maxQueue

// Drain looks at what was drawn so far, as Run does.
func (s *Sampler) Drain(ctx context.Context) error {
	for len(s.queue) > 0 {
		if err := s.look(ctx, <-s.queue); err != nil {
			return err
		}
	}
	return nil
}
