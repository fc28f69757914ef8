package demo

import (
	"context"
	"sync"
	"time"
)

// A Clock is the time that the node and all devices of a demo share. Until Begin it goes at the pace of the wall and stays
// before the start; then a span of it passes in a given wall time; after the span it goes at the pace of the wall again.
// All methods may be called concurrently.
type Clock struct {
	wall       func() time.Time
	made       time.Time // by the wall
	start, end time.Time // of the fast span
	speed      float64

	begun chan struct{} // closed by Begin, which sets at before
	once  sync.Once
	at    time.Time // wall time of start
}

// leadIn is how long before the span the clock starts: room to set everything up.
const leadIn = time.Hour

// NewClock returns a clock on which [start, end) takes wallTime.
func NewClock(start, end time.Time, wallTime time.Duration, wall func() time.Time) *Clock {
	return &Clock{wall: wall, made: wall(), start: start, end: end, begun: make(chan struct{}),
		speed: float64(end.Sub(start)) / float64(wallTime)}
}

// Speed returns how many seconds of the span pass in one of the wall.
func (c *Clock) Speed() float64 { return c.speed }

// Begin lets the span begin now. Only the first call counts.
func (c *Clock) Begin() {
	c.once.Do(func() {
		c.at = c.wall()
		close(c.begun)
	})
}

// Now returns the time on this clock. It never goes back.
func (c *Clock) Now() time.Time {
	select {
	case <-c.begun:
	default:
		early := c.start.Add(-leadIn).Add(c.wall().Sub(c.made))
		return earlier(early, c.start.Add(-time.Millisecond))
	}
	passed := c.wall().Sub(c.at)
	if spanWall := c.spanWall(); passed >= spanWall {
		return c.end.Add(passed - spanWall)
	}
	return c.start.Add(time.Duration(float64(passed) * c.speed))
}

// spanWall is the wall time that the span takes.
func (c *Clock) spanWall() time.Duration {
	return time.Duration(float64(c.end.Sub(c.start)) / c.speed)
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// wallFor returns how long the clock takes from one time to a later one. The span has begun.
func (c *Clock) wallFor(from, to time.Time) time.Duration {
	if !to.After(c.end) {
		return time.Duration(float64(to.Sub(from)) / c.speed)
	}
	if from.After(c.end) {
		return to.Sub(from)
	}
	return time.Duration(float64(c.end.Sub(from))/c.speed) + to.Sub(c.end)
}

// Until waits until the clock shows t, which it never does before Begin. It returns the context's error if that is first.
func (c *Clock) Until(ctx context.Context, t time.Time) error {
	select {
	case <-c.begun:
	case <-ctx.Done():
		return ctx.Err()
	}
	for now := c.Now(); now.Before(t); now = c.Now() {
		timer := time.NewTimer(max(c.wallFor(now, t), time.Microsecond))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
	return ctx.Err()
}

// Remaining returns how much wall time the span still takes.
func (c *Clock) Remaining() time.Duration {
	now := c.Now()
	if !now.Before(c.end) {
		return 0
	}
	if now.Before(c.start) {
		return c.spanWall()
	}
	return c.wallFor(now, c.end)
}

// Lasted returns how much wall time has passed since Begin, and 0 before it.
func (c *Clock) Lasted() time.Duration {
	select {
	case <-c.begun:
		return c.wall().Sub(c.at)
	default:
		return 0
	}
}
