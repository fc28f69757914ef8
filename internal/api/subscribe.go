package api

import "sync"

// A subscription gathers the news of committed blocks for one reader. What was not taken yet is added up, so a slow
// reader gets fewer and larger pieces, and nobody waits for it.
type subscription struct {
	wake chan struct{} // has a token while there are news

	mu   sync.Mutex // taken under Live.mu by add, alone by take
	news Block
}

// subscribe returns a subscription to blocks committed from now on, or false where there are too many.
func (l *Live) subscribe() (*subscription, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.subs) >= maxStreams {
		return nil, false
	}
	s := &subscription{wake: make(chan struct{}, 1)}
	l.subs[s] = struct{}{}
	return s, true
}

func (l *Live) unsubscribe(s *subscription) {
	l.mu.Lock()
	delete(l.subs, s)
	l.mu.Unlock()
}

func (s *subscription) add(b *Block) {
	s.mu.Lock()
	s.news.Height, s.news.Time = b.Height, b.Time
	s.news.Transactions += b.Transactions
	s.news.Reports += b.Reports
	s.news.Readings += b.Readings
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// take returns the news since the last take; a height of 0 means none.
func (s *subscription) take() Block {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.news
	s.news = Block{}
	return b
}
