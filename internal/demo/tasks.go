package demo

import (
	"context"
	"errors"
	"sync"
	"time"
)

// A task is a goroutine with its owner's means to end it.
type task struct {
	cancel context.CancelFunc
	done   chan error
}

// begin starts fn. The caller ends it.
func begin(ctx context.Context, fn func(context.Context) error) *task {
	ctx, cancel := context.WithCancel(ctx)
	t := &task{cancel, make(chan error, 1)}
	go func() { t.done <- fn(ctx) }()
	return t
}

// end cancels the task, waits for it and returns its error, unless that is the cancellation. It is called once.
func (t *task) end() error {
	t.cancel()
	if err := <-t.done; !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// together calls all at once and waits for all. The first that fails cancels the others, and its error is returned.
func together(ctx context.Context, fns []func(context.Context) error) error {
	return each(ctx, len(fns), len(fns), func(ctx context.Context, i int) error { return fns[i](ctx) })
}

// each calls fn for 0 to n-1, some at once, until one fails, and returns the first error.
func each(ctx context.Context, n, atOnce int, fn func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	room := make(chan struct{}, atOnce)
	var wg sync.WaitGroup
	for i := range n {
		room <- struct{}{}
		wg.Go(func() {
			defer func() { <-room }()
			if ctx.Err() != nil {
				return
			}
			if err := fn(ctx, i); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// pause waits, or returns the context's error.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
