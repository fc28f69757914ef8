package replica

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/tilelog"
)

// A Fault is something fsck found: where, and what does not fit.
type Fault struct {
	Where string `json:"where"`
	What  string `json:"what"`
}

// A Checkup is what fsck did and found.
type Checkup struct {
	Height       lamppost.Height `json:"height"`
	Transactions int64           `json:"transactions"`
	Reports      int64           `json:"reports"`
	Root         lamppost.Hash   `json:"root"`
	Faults       []Fault         `json:"faults"`
}

// maxFaults ends a check of a store that is damaged all over.
const maxFaults = 100

// Fsck replays the archive from block 1 into an empty replica, signatures included, and compares what comes out with
// what the store holds and what is published in files: every leaf, every tile, every root, every key of the state.
// Balances must sum to zero in every currency. progress is called after every block. An error means that the store could
// not be read; what does not fit is a Fault.
func Fsck(ctx context.Context, store archive.View, files tilelog.Source, progress func(at, last lamppost.Height)) (*Checkup, error) {
	c := &checker{store: store, found: &Checkup{Faults: []Fault{}}}
	if err := c.openLog(files); err != nil {
		return c.found, err
	}
	var err error
	if c.packs, err = store.All(); err != nil {
		return c.found, err
	}
	old, err := readLast(store)
	if err != nil {
		return nil, err
	}
	mem := kv.NewMem()
	fresh, err := Open(Config{Store: mem})
	if err != nil {
		return nil, err
	}
	for h := lamppost.Height(1); h <= old.Height && len(c.found.Faults) < maxFaults; h++ {
		if err := ctx.Err(); err != nil {
			return c.found, err
		}
		if err := c.block(fresh, h); err != nil {
			c.fault(fmt.Sprintf("block %d", h), "%v", err)
			return c.found, nil // nothing after it can be derived
		}
		progress(h, old.Height)
	}
	if at := fresh.Last().Time; at != old.Time {
		c.fault("position", "the last block's time is %d ms, the store says %d ms", at, old.Time)
	}
	if c.log.Size() != c.head.Size || c.head.Size > 0 && lamppost.Hash(c.log.Root()) != c.head.Root {
		c.fault("log/"+tilelog.CheckpointPath, "it says size %d and root %s; the blocks give %d leaves with root %s there",
			c.head.Size, c.head.Root, c.log.Size(), lamppost.Hash(c.log.Root()))
	}
	if err := c.compare(mem); err != nil {
		return c.found, err
	}
	return c.found, c.balances()
}

type checker struct {
	store archive.View
	found *Checkup
	packs []archive.Pack
	head  lamppost.Checkpoint // what is published
	log   *tilelog.Checker
}

// openLog reads what is published. Whose signature it is under is known when the replay has the members.
func (c *checker) openLog(files tilelog.Source) error {
	raw, err := files.Get(tilelog.CheckpointPath)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	default:
		text, _, _ := strings.Cut(string(raw), "\n\n")
		if c.head, err = lamppost.ParseCheckpoint(text + "\n"); err != nil {
			c.fault("log/"+tilelog.CheckpointPath, "%v", err)
		}
	}
	c.log = tilelog.NewChecker(files, c.head.Size, func(path, what string) { c.fault("log/"+path, "%s", what) })
	return nil
}

func (c *checker) fault(where, format string, args ...any) {
	if len(c.found.Faults) < maxFaults {
		c.found.Faults = append(c.found.Faults, Fault{where, fmt.Sprintf(format, args...)})
	}
}

// block replays one block and compares its results and leaves.
func (c *checker) block(fresh *Replica, h lamppost.Height) error {
	blk, err := c.store.Block(h)
	if err != nil {
		return err
	}
	b := &lamppost.Block{Height: h, Time: blk.Time, Proposer: blk.Proposer, Evidence: blk.Evidence, Cursor: lamppost.Cursor(h)}
	var old []archive.Record
	for i := range blk.Count {
		rec, err := c.store.Tx(h, i)
		if err != nil {
			return err
		}
		old = append(old, rec)
		b.Txs = append(b.Txs, rec.Raw)
	}
	res, err := fresh.Apply(b)
	if err != nil {
		return err
	}
	for i := range old {
		if !slices.EqualFunc(old[i].Outcomes, res.Outcomes[i], sameOutcome) {
			c.fault(fmt.Sprintf("transaction %d of block %d", i, h), "the archived outcome is not what the rules give")
		}
		c.found.Reports += int64(len(fresh.pending[0].Txs[i].Items))
	}
	if _, err := fresh.Commit(); err != nil {
		return err
	}
	c.found.Height, c.found.Root = h, res.Root
	c.found.Transactions += int64(len(old))
	return c.leaves(fresh.cfg.Store, blk)
}

func sameOutcome(a, b lamppost.Outcome) bool { return a.Code == b.Code && bytes.Equal(a.Data, b.Data) }

func (c *checker) leaves(fresh kv.Reader, blk archive.Block) error {
	for i := blk.First; i <= blk.First+int64(blk.Count); i++ {
		want, err := tilelog.Leaf(fresh, i)
		if err != nil {
			return err
		}
		c.log.Add(want)
		have, err := tilelog.Leaf(c.store, i)
		if errors.Is(err, kv.ErrNotFound) && i < c.head.Size {
			continue // it stands in the files
		}
		if err != nil || !bytes.Equal(have, want) {
			c.fault(fmt.Sprintf("leaf %d (block %d)", i, blk.Height), "it does not commit to the archived body and result")
		}
	}
	return nil
}

// compare walks both stores in step: state, log and archive must hold the same keys and values, but for leaves that are
// published. The node's own records, under 'n', are no part of the chain; the cursor in 'm' is the engine's.
func (c *checker) compare(fresh kv.Reader) error {
	for _, area := range []struct{ prefix, name string }{{"s", "state"}, {"t", "log"}, {"a", "archive"}} {
		from, to := []byte(area.prefix), []byte{area.prefix[0] + 1}
		want := map[string][]byte{}
		err := fresh.Scan(from, to, func(k, v []byte) error {
			want[string(k)] = bytes.Clone(v)
			return nil
		})
		if err != nil {
			return err
		}
		err = c.store.Scan(from, to, func(k, v []byte) error {
			if tilelog.Private(k) || archive.Private(k) {
				return nil
			}
			w, ok := want[string(k)]
			switch {
			case !ok:
				c.fault(area.name, "key %q does not follow from the blocks", k)
			case !bytes.Equal(w, v):
				c.fault(area.name, "the value of key %q is not what the blocks give", k)
			}
			delete(want, string(k))
			return nil
		})
		if err != nil {
			return err
		}
		for k := range want {
			if h, body := archive.Height([]byte(k)); body && c.packed(h) {
				continue
			}
			if i, leaf := tilelog.LeafIndex([]byte(k)); leaf && i < c.head.Size {
				continue
			}
			c.fault(area.name, "key %q is missing", k)
		}
	}
	return nil
}

// packed says whether a block's bodies are in a pack, where the replay has read them.
func (c *checker) packed(h lamppost.Height) bool {
	return slices.ContainsFunc(c.packs, func(p archive.Pack) bool { return p.First <= h && h <= p.Last })
}

func (c *checker) balances() error {
	accounts, err := ledger.View{Reader: c.store}.Accounts()
	if err != nil {
		return err
	}
	sums := map[string]lamppost.Micro{}
	for _, a := range accounts {
		sums[a.Currency] += a.Balance
	}
	for currency, sum := range sums {
		if sum != 0 {
			c.fault("accounts", "balances in %s sum to %s, not to zero", currency, sum)
		}
	}
	return nil
}
