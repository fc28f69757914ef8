package kv

import (
	"errors"
	"fmt"
	"sync"
)

// ErrInjected is the error of an Apply that a Faulty was told to fail.
var ErrInjected = errors.New("injected fault")

// A Fault says what becomes of one Apply.
type Fault int

// The three fates of a write. To its caller the last two look the same.
const (
	Works        Fault = iota
	Fails              // nothing is written, an error is returned
	FailsWritten       // everything is written, an error is returned all the same
)

// String returns the fault's name for test output.
func (f Fault) String() string {
	switch f {
	case Works:
		return "works"
	case Fails:
		return "fails"
	case FailsWritten:
		return "fails-written"
	}
	return fmt.Sprintf("fault(%d)", int(f))
}

// Faulty is a Store that fails when it is told to. After a fault it takes no further batch until Reopen, as the
// contract of Store says: a caller that carries on as if nothing had happened is found out.
type Faulty struct {
	Store
	plan func(apply int) Fault

	mu      sync.Mutex
	applies int
	failed  error
}

// NewFaulty wraps s. The plan is asked before every Apply, which are numbered from 0 over all of s's reopenings; it must
// depend on nothing but its argument and state that the caller guards.
func NewFaulty(s Store, plan func(apply int) Fault) *Faulty {
	return &Faulty{Store: s, plan: plan}
}

// Apply implements Store.
func (f *Faulty) Apply(b *Batch) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failed != nil {
		return fmt.Errorf("applying after a failed write, without opening the store again: %w", f.failed)
	}
	if err := b.Err(); err != nil {
		return f.Store.Apply(b)
	}
	fault := f.plan(f.applies)
	n := f.applies
	f.applies++
	if fault != Fails {
		if err := f.Store.Apply(b); err != nil {
			return err
		}
	}
	if fault != Works {
		f.failed = fmt.Errorf("%w: write %d %v", ErrInjected, n, fault)
	}
	return f.failed
}

// Reopen ends the failed state, as opening the store again would.
func (f *Faulty) Reopen() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failed = nil
}

// Applies returns how many batches were tried so far.
func (f *Faulty) Applies() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.applies
}
