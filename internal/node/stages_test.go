package node_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/lamppost/lamppost/internal/node"
)

// A diary is what parts write down when they end.
type diary struct {
	mu    sync.Mutex
	ended []string
}

func (d *diary) write(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended = append(d.ended, name)
}

// waits is a part that runs until it is stopped and then does what it does at last.
func (d *diary) waits(name string, last func() error) node.Part {
	return node.Part{Name: name, Run: func(ctx context.Context) error {
		<-ctx.Done()
		d.write(name)
		if last != nil {
			return last()
		}
		return nil
	}}
}

func (d *diary) check(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(d.ended, want) {
		t.Errorf("the parts ended in the order %q, want %q", d.ended, want)
	}
}

// Parts stop one after the other, the last added first, so that what one has taken the next can finish.
func TestStagesStopInOrder(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	var d diary
	last, answered := make(chan struct{}), make(chan struct{}) // the door has one more thing to do after it was told to stop
	inner := node.Part{Name: "engine", Run: func(ctx context.Context) error {
		<-last
		if ctx.Err() != nil {
			t.Error("the engine was told to stop before the door had ended")
		}
		close(answered)
		<-ctx.Done()
		d.write("engine")
		return nil
	}}
	cancel()
	err := node.RunStages(ctx, d.waits("store", nil), inner, d.waits("door", func() error { close(last); <-answered; return nil }))
	if err != nil {
		t.Errorf("stopping is no failure: %v", err)
	}
	d.check(t, "door", "engine", "store")
}

// A part that fails stops the others in their order, and its error is the one returned, with its name; what others say
// when they are stopped because of it does not hide it.
func TestStagesFail(t *testing.T) {
	t.Parallel()
	broken := errors.New("the disk is full")
	var d diary
	err := node.RunStages(t.Context(), d.waits("store", nil), node.Part{Name: "engine", Run: func(context.Context) error { return broken }},
		d.waits("door", func() error { return errors.New("interrupted") }))
	if !errors.Is(err, broken) || err.Error() != "engine: the disk is full" {
		t.Errorf("error %v, want engine: the disk is full", err)
	}
	d.check(t, "door", "store")
}

// A part that ends on its own, without an error, ends the node too; one that fails while it is stopped is told of.
func TestStagesEnd(t *testing.T) {
	t.Parallel()
	var d diary
	err := node.RunStages(t.Context(), d.waits("store", nil), node.Part{Name: "door", Run: func(context.Context) error { return nil }})
	if err != nil {
		t.Errorf("error %v, want none", err)
	}
	d.check(t, "store")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	broken := errors.New("the last write failed")
	err = node.RunStages(ctx, d.waits("store", func() error { return broken }), d.waits("door", nil))
	if !errors.Is(err, broken) {
		t.Errorf("error %v, want that of the store, though the door ended before it", err)
	}
}
