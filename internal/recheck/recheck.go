// Package recheck checks again every signature of a device that a copy of the archive still has, from the signed bytes, with
// nothing to trust but the root of the log: who stands behind it is for the caller to know.
//
// Keys are learnt from the orders as they pass, and every transaction is held against its leaf in the log, so whoever hands out
// the blocks can leave nothing out and add nothing. It does not apply the ledger's rules again: package replica does, with
// the same blocks, for whoever has all of them.
//
// Start reading at [Check.Run]. Limits are in limits.go.
package recheck

import (
	"context"
	"errors"
	"fmt"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/internal/tilelog"
)

// A Check says what is checked: the reports of the segments in some blocks.
type Check struct {
	Network string
	Blocks  replica.Blocks // of the copy, from the first
	Log     *tilelog.Tree  // whose root the caller trusts
	// From and To are the first and last height; 0: from the first, to the end of Log. Orders of earlier blocks are read all
	// the same, for the keys.
	From, To lamppost.Height
	Progress func(leaves, signatures int64) // of which so many have passed; called from Run's goroutine. Nil: nobody is told
}

// Found is what came of it. Reports of a segment are in exactly one of Checked to Gone.
type Found struct {
	Blocks   int64           `json:"blocks"` // with transactions, up to the last one looked at
	To       lamppost.Height `json:"to"`
	Leaves   int64           `json:"leaves"`
	Segments int64           `json:"segments"`
	Reports  int64           `json:"reports"` // that their headers count

	Checked   int64            `json:"checked"`   // signatures of devices, and of gateways where a device has no key
	Suites    map[string]int64 `json:"suites"`    // Checked, by algorithm
	Halved    int64            `json:"halved"`    // of Checked, proven together with the others of their segment
	Vouched   int64            `json:"vouched"`   // by a key that only their gateway has
	Refused   int64            `json:"refused"`   // or sent again: the ledger took nothing from them
	Alone     int64            `json:"alone"`     // halves whose others are gone: nobody can check them any more
	Gone      int64            `json:"gone"`      // pruned or erased
	Corrected int64            `json:"corrected"` // of Checked: false, and undone by a fraud order

	Bad      int64   `json:"bad"`       // of Checked: false, though the ledger took them; and what does not fit the log
	BadFirst []Fault `json:"bad_first"` // a hundred of them
}

// A Fault is something that does not hold.
type Fault struct {
	Height lamppost.Height   `json:"height"`
	Tx     uint32            `json:"tx"`
	Report *uint32           `json:"report,omitempty"` // nil: all of the transaction
	Device lamppost.DeviceID `json:"device,omitempty"`
	What   string            `json:"what"`
}

// String names the place.
func (f *Fault) String() string {
	if f.Report == nil {
		return fmt.Sprintf("block %d, transaction %d: %s", f.Height, f.Tx, f.What)
	}
	return fmt.Sprintf("block %d, transaction %d, report %d of device %q: %s", f.Height, f.Tx, *f.Report, f.Device, f.What)
}

// Run reads all blocks. An error says that it could not go on, and Found is what came of it until then.
func (c *Check) Run(ctx context.Context) (*Found, error) {
	r := &run{Check: c, found: &Found{Suites: map[string]int64{}, BadFirst: []Fault{}}, keys: newRegistry(c.Network), batch: newBatch()}
	r.start()
	err := r.blocks(ctx)
	r.flush()
	r.wait()
	r.settle()
	return r.found, err
}

// A run is one check under way.
type run struct {
	*Check
	found  *Found
	keys   *registry
	height lamppost.Height // of the last block
	leaf   int64           // that comes next

	bundle  [][]byte // leaves of a bundle of the log
	bundleN int64

	segment segment
	batch   *batch      // being filled
	full    chan *batch // to the goroutine that verifies
	empty   chan *batch // and back
	done    chan struct{}
	bad     []lie
}

var errDone = errors.New("all blocks have passed")

// blocks takes every block in its turn.
func (r *run) blocks(ctx context.Context) error {
	for {
		before := r.height
		err := r.Blocks(ctx, r.height, func(raw []byte) error {
			blk, records, err := archive.DecodeBlock(raw)
			if err != nil {
				return fmt.Errorf("after block %d: %w", r.height, err)
			}
			if err := r.block(blk, records); err != nil {
				return err
			}
			return ctx.Err()
		})
		switch {
		case errors.Is(err, errDone):
			return nil
		case err != nil:
			return err
		case r.height == before:
			return fmt.Errorf("the copy has no blocks after %d, and the log goes on: entry %d of %d comes next", r.height, r.leaf, r.Log.Size())
		}
	}
}

func (r *run) block(blk archive.Block, records []archive.Record) error {
	end := blk.First + int64(blk.Count) + 1
	switch {
	case end > r.Log.Size() || r.To != 0 && blk.Height > r.To:
		return errDone
	case blk.Height <= r.height:
		return fmt.Errorf("block %d came after block %d", blk.Height, r.height)
	case r.height == 0 && blk.First != 0:
		return fmt.Errorf("this copy begins with block %d: the keys of before are not in it; check a copy that has all orders", blk.Height)
	case blk.First != r.leaf:
		return fmt.Errorf("block %d begins at entry %d of the log: the copy leaves out those from %d on", blk.Height, blk.First, r.leaf)
	}
	for i := range records {
		if err := r.tx(lamppost.Height(blk.Height), uint32(i), &records[i]); err != nil {
			return err
		}
		r.leaf++
	}
	r.leaf++ // the block's own
	r.height = blk.Height
	r.found.Blocks++
	r.found.To, r.found.Leaves = r.height, r.leaf
	if r.Progress != nil {
		r.Progress(r.leaf, r.found.Checked+r.found.Vouched)
	}
	if r.leaf == r.Log.Size() {
		return errDone
	}
	return nil
}

// tx holds what is there of a transaction against the log, and takes keys or reports from it.
func (r *run) tx(h lamppost.Height, index uint32, rec *archive.Record) error {
	want, err := r.logged()
	if err != nil {
		return err
	}
	if rec.Thin == nil && !rec.Whole() {
		return nil // erased
	}
	have, whole, tx, err := rec.Leaf(h, index)
	switch {
	case err != nil:
		r.fault(Fault{Height: h, Tx: index, What: err.Error()})
		return nil
	case want.Type != have.Type || want.Height != h || want.Index != index || want.Body != have.Body || whole && want.Result != have.Result:
		r.fault(Fault{Height: h, Tx: index, What: fmt.Sprintf("it is not what entry %d of the log commits to", r.leaf)})
		return nil
	case have.Type != lamppost.TxSegment:
		r.keys.learn(tx, rec.Outcomes)
		return nil
	case h < r.From:
		return nil
	}
	return r.reports(h, index, rec, tx)
}

// logged returns the log's next leaf.
func (r *run) logged() (lamppost.Leaf, error) {
	const leaves = 256 // in a bundle
	if n := r.leaf / leaves; r.bundle == nil || n != r.bundleN {
		var err error
		if r.bundle, err = r.Log.Bundle(n); err != nil {
			return lamppost.Leaf{}, err
		}
		r.bundleN = n
	}
	return lamppost.ParseLeaf(r.bundle[r.leaf%leaves])
}

func (r *run) fault(f Fault) {
	r.found.Bad++
	if len(r.found.BadFirst) < maxFaults {
		r.found.BadFirst = append(r.found.BadFirst, f)
	}
}

// settle tells lies that a fraud order has undone from those that stand.
func (r *run) settle() {
	for i := range r.bad {
		x := &r.bad[i]
		if r.keys.undone[x.at] {
			r.found.Corrected++
			continue
		}
		report := x.at.report
		r.fault(Fault{Height: x.at.height, Tx: x.at.tx, Report: &report, Device: x.device, What: x.what})
	}
}
