package pilot

import "github.com/lamppost/lamppost/internal/forecast"

// FeedBytes is the memory of a series that is forecast, alone and with what others have learnt.
func FeedBytes(kin []*forecast.Stats) (alone, with int, err error) {
	s := newFeed(nil, "").series
	alone = s.Bytes()
	err = s.SetKin(kin)
	return alone, s.Bytes(), err
}
