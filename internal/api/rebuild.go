package api

import (
	"errors"
	"fmt"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/replica"
)

// Rebuild fills an empty Live from the store: all devices, all that was ever billed, and the readings of the last blocks
// up to height last: so many blocks, but no more than fit a start of a few seconds. Totals of reports, readings and
// energy begin with the first of these blocks; see Totals.Since.
func (l *Live) Rebuild(r archive.View, last lamppost.Height, blocks int) error {
	if err := l.rebuild(r, last, blocks); err != nil {
		return fmt.Errorf("rebuilding the twins from the archive: %w", err)
	}
	return nil
}

func (l *Live) rebuild(r archive.View, last lamppost.Height, blocks int) error {
	view := ledger.View{Reader: r}
	devices, err := view.Devices()
	if err != nil {
		return err
	}
	l.mu.Lock()
	for i := range devices {
		l.twin(devices[i].ID)
	}
	l.mu.Unlock()
	recent, err := recentEvents(r, last, blocks)
	if err != nil {
		return err
	}
	for _, ev := range slices.Backward(recent) {
		l.Observe(ev)
	}
	return l.rebuildBilled(r, view)
}

// recentEvents reads blocks from the last one back.
func recentEvents(r archive.View, last lamppost.Height, blocks int) (recent []*replica.Event, err error) {
	bytes := 0
	for h := last; h > 0 && len(recent) < blocks && bytes < maxRebuildBytes; h-- {
		ev, err := readEvent(r, h)
		if errors.Is(err, archive.ErrAbsent) {
			continue // an empty block
		}
		if err != nil {
			return nil, err
		}
		for _, raw := range ev.Block.Txs {
			bytes += len(raw)
		}
		recent = append(recent, ev)
	}
	return recent, nil
}

// rebuildBilled counts every invoice that this copy has, also those before the blocks that were read.
func (l *Live) rebuildBilled(r archive.View, view ledger.View) error {
	places, err := view.AllInvoices()
	if err != nil {
		return err
	}
	began, _, err := replica.Began(r)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.totals.billed)
	for _, at := range places {
		if at.Height <= began {
			continue // its order is not here
		}
		inv, err := replica.Invoice(r, at)
		if err != nil {
			return err
		}
		l.bill(inv)
	}
	return nil
}

// readEvent reads an archived block as it was committed.
func readEvent(r archive.View, h lamppost.Height) (*replica.Event, error) {
	blk, err := r.Block(h)
	if err != nil {
		return nil, err
	}
	ev := &replica.Event{Block: &lamppost.Block{Height: h, Time: blk.Time, Proposer: blk.Proposer}, Result: &lamppost.Result{Height: h}}
	for i := range blk.Count {
		rec, err := r.Tx(h, i)
		if err != nil && !errors.Is(err, archive.ErrForgotten) {
			return nil, err
		}
		tx, outcomes := reopen(&rec)
		ev.Block.Txs = append(ev.Block.Txs, rec.Raw)
		ev.Txs = append(ev.Txs, tx)
		ev.Result.Outcomes = append(ev.Result.Outcomes, outcomes)
	}
	return ev, nil
}

// reopen makes of a record what was observed when it was committed, as far as it is still there.
func reopen(rec *archive.Record) (*lamppost.Transaction, []lamppost.Outcome) {
	if rec.Thin == nil {
		tx, err := lamppost.ParseTransaction(rec.Raw)
		if err != nil {
			tx = &lamppost.Transaction{Type: lamppost.TxBlock} // unreadable: it changed nothing but has an outcome
		}
		return tx, rec.Outcomes
	}
	tx := &lamppost.Transaction{Type: lamppost.TxSegment, Header: rec.Thin.Header}
	var outcomes []lamppost.Outcome
	for i := range rec.Thin.Kept {
		if o, err := lamppost.DecodeOutcome(rec.Thin.Kept[i].Outcome); err == nil {
			tx.Items, outcomes = append(tx.Items, rec.Thin.Kept[i].SegmentItem), append(outcomes, o)
		}
	}
	return tx, outcomes
}
