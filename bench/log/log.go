// Package log measures how many leaves a second a transparency log takes that are durable, integrated and provable: on
// disk with fsync, in the tree, under a published checkpoint. Lamppost's tilelog and Tessera's POSIX log do the same work.
package log

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"
)

// A Log takes leaves one by one, as its users give them.
type Log interface {
	// Add takes a leaf. Calling the result waits until the leaf has its place durably.
	Add(ctx context.Context, leaf []byte) (wait func() error)
	// Published waits until a checkpoint covers so many leaves.
	Published(ctx context.Context, size uint64) error
	Close(ctx context.Context) error
}

// A Load is what both sides get.
type Load struct {
	Leaves    int // in all
	LeafBytes int
	Window    int // leaves on their way at once
}

// Measure adds leaves and returns how many a second were provable, from the first Add to the checkpoint that covers the
// last one. Leaves are all different.
func Measure(ctx context.Context, l Log, load Load) (perSecond float64, err error) {
	waits := make([]func() error, 0, load.Window)
	start := time.Now()
	for i := range load.Leaves {
		leaf := make([]byte, load.LeafBytes)
		binary.BigEndian.PutUint64(leaf, uint64(i))
		waits = append(waits, l.Add(ctx, leaf))
		if len(waits) < load.Window {
			continue
		}
		half := len(waits) / 2 // the older half; the younger is on its way meanwhile
		if err := all(waits[:half]); err != nil {
			return 0, err
		}
		waits = append(waits[:0], waits[half:]...)
	}
	if err := all(waits); err != nil {
		return 0, err
	}
	if err := l.Published(ctx, uint64(load.Leaves)); err != nil {
		return 0, err
	}
	return float64(load.Leaves) / time.Since(start).Seconds(), nil
}

func all(waits []func() error) error {
	for _, wait := range waits {
		if err := wait(); err != nil {
			return fmt.Errorf("adding a leaf: %w", err)
		}
	}
	return nil
}
