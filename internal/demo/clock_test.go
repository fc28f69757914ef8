package demo

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

var (
	clockStart = time.Date(2026, 10, 18, 22, 0, 0, 0, time.UTC)
	clockEnd   = clockStart.Add(169 * time.Hour)
)

// The clock stays before the span until it begins, crosses the span in the wall time given, and goes on at the wall's pace.
func TestClockPace(t *testing.T) {
	t.Parallel()
	wall := time.Unix(1000, 0)
	c := NewClock(clockStart, clockEnd, 10*time.Second, func() time.Time { return wall })
	want := func(what string, at time.Time) {
		t.Helper()
		if got := c.Now(); got.Sub(at).Abs() > time.Millisecond {
			t.Errorf("%s: the clock shows %v, want %v", what, got, at)
		}
	}
	want("at first", clockStart.Add(-leadIn))
	wall = wall.Add(time.Minute)
	want("a minute later", clockStart.Add(-leadIn+time.Minute))
	wall = wall.Add(5 * time.Hour)
	want("long before it begins", clockStart.Add(-time.Millisecond))
	c.Begin()
	want("at the begin", clockStart)
	wall = wall.Add(5 * time.Second)
	want("in the middle", clockStart.Add(169*time.Hour/2))
	if got := c.Remaining(); (got - 5*time.Second).Abs() > time.Microsecond {
		t.Errorf("%v remain in the middle", got)
	}
	c.Begin() // once more changes nothing
	wall = wall.Add(5 * time.Second)
	want("at the end", clockEnd)
	wall = wall.Add(3 * time.Second)
	want("after the end", clockEnd.Add(3*time.Second))
	if got := c.Remaining(); got != 0 {
		t.Errorf("%v remain after the end", got)
	}
}

// The clock never goes back, at any instant around its changes of pace.
func TestClockNeverGoesBack(t *testing.T) {
	t.Parallel()
	wall := time.Unix(1000, 0)
	c := NewClock(clockStart, clockEnd, 3*time.Second, func() time.Time { return wall })
	last := c.Now()
	for i := range 6000 {
		if i == 1000 {
			c.Begin()
		}
		wall = wall.Add(time.Millisecond)
		if now := c.Now(); now.Before(last) {
			t.Fatalf("step %d: from %v to %v", i, last, now)
		} else {
			last = now
		}
	}
}

// Whoever waits for a time is woken when the clock shows it, neither earlier nor much later, and never before the begin.
func TestClockUntil(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := NewClock(clockStart, clockEnd, 10*time.Second, time.Now)
		woken := make(chan time.Time, 3)
		for _, at := range []time.Time{clockStart, clockStart.Add(169 * time.Hour / 2), clockEnd.Add(time.Second)} {
			go func() {
				if err := c.Until(context.Background(), at); err != nil {
					t.Error(err)
				}
				woken <- time.Now()
			}()
		}
		time.Sleep(time.Hour)
		select {
		case <-woken:
			t.Fatal("woken before the begin")
		default:
		}
		begin := time.Now()
		c.Begin()
		for _, want := range []time.Duration{0, 5 * time.Second, 11 * time.Second} {
			if got := (<-woken).Sub(begin); got < want-time.Millisecond || got > want+time.Millisecond {
				t.Errorf("woken %v after the begin, want %v", got, want)
			}
		}
	})
}

// Who is told to stop while waiting returns at once.
func TestClockUntilCancelled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := NewClock(clockStart, clockEnd, 10*time.Second, time.Now)
		for range 2 {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			if err := c.Until(ctx, clockEnd); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v", err)
			}
			cancel()
			c.Begin()
		}
	})
}
