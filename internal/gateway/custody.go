package gateway

import (
	"context"
	"errors"
	"fmt"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus"
	"github.com/lamppost/lamppost/internal/ingest"
)

// A custodian stands where a node has its engine: it takes segments that ingest has checked and signed. In custody mode
// a report counts as acknowledged once its segment is durable here; else once the upstream has committed it.
type custodian struct {
	keep    *keep
	waits   bool // for the upstream
	stopped <-chan struct{}
}

// Propose implements ingest.Proposer.
func (c *custodian) Propose(ctx context.Context, _ lamppost.TxID, raw []byte) (consensus.Decision, error) {
	select {
	case <-c.stopped:
		return consensus.Decision{}, consensus.ErrStopped
	default:
	}
	tx, err := lamppost.ParseTransaction(raw)
	if err != nil {
		return consensus.Decision{}, fmt.Errorf("reading a segment made here: %w", err)
	}
	n := int(tx.Header.Count)
	var answered chan delivered
	if c.waits {
		answered = make(chan delivered, 1)
	}
	switch err := c.keep.put(raw, n, tx.Header.First, answered); {
	case errors.Is(err, errFull):
		return consensus.Decision{}, consensus.ErrBusy
	case err != nil:
		return consensus.Decision{}, err
	case !c.waits:
		return consensus.Decision{Outcomes: make([]lamppost.Outcome, n)}, nil // all CodeOK, no height yet
	}
	select {
	case d := <-answered:
		return consensus.Decision{Height: d.height, Outcomes: d.outcomes}, nil
	case <-ctx.Done():
		return consensus.Decision{}, ctx.Err()
	case <-c.stopped:
		return consensus.Decision{}, consensus.ErrStopped
	}
}

// A door refuses reports while there is no disk space for them, before they are queued and checked.
type door struct {
	in   *ingest.Ingest
	keep *keep
}

// TrySubmit implements the Submitter of the front doors.
func (d *door) TrySubmit(from *ingest.Origin, raw []byte, token uint64, sink ingest.Sink) error {
	if full, _ := d.keep.full(); full {
		return ingest.ErrBusy
	}
	return d.in.TrySubmit(from, raw, token, sink)
}

// Submit implements the Submitter of the MQTT door: it waits for room.
func (d *door) Submit(ctx context.Context, from *ingest.Origin, raw []byte, token uint64, sink ingest.Sink) error {
	for {
		full, room := d.keep.full()
		if !full {
			return d.in.Submit(ctx, from, raw, token, sink)
		}
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
