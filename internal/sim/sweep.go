package sim

import (
	"context"
	"errors"
	"sync"

	"github.com/lamppost/lamppost"
)

// A World is what seeds are simulated in.
type World struct {
	Members int
	Engine  lamppost.Engine
}

// Worlds are those that a sweep goes through in turn unless it is told one.
var Worlds = [...]World{{1, lamppost.Solo}, {3, lamppost.Raft}, {4, lamppost.Comet}}

// Of returns the options of a seed in a world.
func (x World) Of(seed uint64) Options {
	return Options{Seed: seed, Members: x.Members, Engine: x.Engine}
}

// A Plan says which seeds a sweep simulates: N from From on, each in the world that comes next.
type Plan struct {
	From, N  uint64
	Worlds   []World
	Steps    int
	Broken   Rule
	Parallel int                    // runs at once
	Done     func(done, all uint64) // called after every run, one call at a time; nil: nobody is told
	Tell     func(event string)     // see Options; it tells one story where Parallel is 1
}

// A Tally is what became of a sweep.
type Tally struct {
	Seeds uint64 // that were simulated
	Sum   Result // over those that kept every rule; with root and trace where it was one
	Found *Violation
}

// Sweep simulates seeds until all are done, ctx is, or a rule is broken: then of the broken ones the lowest seed is Found. An error is
// ctx's; the Tally then holds what was done.
func Sweep(ctx context.Context, p Plan) (Tally, error) {
	s := sweep{p: p}
	var wg sync.WaitGroup
	for range max(1, p.Parallel) {
		wg.Go(func() {
			for ctx.Err() == nil {
				o, ok := s.next()
				if !ok {
					return
				}
				res, err := Run(o)
				s.ended(res, err)
			}
		})
	}
	wg.Wait()
	if s.tally.Found == nil && s.tally.Seeds < p.N {
		return s.tally, ctx.Err()
	}
	return s.tally, nil
}

type sweep struct {
	p Plan

	mu    sync.Mutex
	given uint64
	tally Tally
}

// next returns the options of the next run; there is none after a rule was broken.
func (s *sweep) next() (o Options, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.given == s.p.N || s.tally.Found != nil {
		return o, false
	}
	seed := s.p.From + s.given
	s.given++
	o = s.p.Worlds[seed%uint64(len(s.p.Worlds))].Of(seed)
	o.Steps, o.Broken, o.Tell = s.p.Steps, s.p.Broken, s.p.Tell
	return o, true
}

func (s *sweep) ended(res Result, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := &s.tally
	t.Seeds++
	var v *Violation
	switch {
	case !errors.As(err, &v):
		if t.Sum.add(&res); s.p.N == 1 {
			t.Sum.Root, t.Sum.Trace = res.Root, res.Trace
		}
	case t.Found == nil || v.Options.Seed < t.Found.Options.Seed:
		t.Found = v
	}
	if s.p.Done != nil {
		s.p.Done(t.Seeds, s.p.N)
	}
}

// add counts what happened in another run.
func (r *Result) add(o *Result) {
	into, from := r.counts(), o.counts()
	for i := range into {
		*into[i] += *from[i]
	}
}

func (r *Result) counts() []*int {
	return []*int{&r.Blocks, &r.Reports, &r.Resent, &r.Refused, &r.PutOff, &r.Halved, &r.Orders, &r.Invoices, &r.Rotated, &r.Revoked, &r.Crashes,
		&r.Faults, &r.Checkpoints, &r.Packets, &r.Leaders, &r.Partitions, &r.Snapshots, &r.Restored, &r.Lost, &r.Emptied}
}
