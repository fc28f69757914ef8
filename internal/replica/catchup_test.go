package replica_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
	"github.com/lamppost/lamppost/internal/replica"
)

// sends hands out the blocks of an archive, a few at a time; change may falsify them.
func sends(v archive.View, last lamppost.Height, change func(h lamppost.Height, raw []byte) []byte) replica.Blocks {
	return func(_ context.Context, after lamppost.Height, fn func([]byte) error) error {
		for h, n := after+1, 0; h <= last && n < 3; h++ {
			raw, err := v.Encoded(h)
			if errors.Is(err, archive.ErrAbsent) {
				continue
			}
			if err == nil && change != nil {
				raw = change(h, raw)
			}
			if err == nil {
				err = fn(raw)
			}
			if err != nil {
				return err
			}
			n++
		}
		return nil
	}
}

func head(r *replica.Replica, v archive.View) lamppost.Checkpoint {
	last := r.Last()
	blk, err := v.Block(last.Height)
	if err != nil {
		panic(err)
	}
	return lamppost.Checkpoint{Size: blk.First + int64(blk.Count) + 1, Root: last.Root}
}

func still(int64) {}

// Goal: a replica that is sent the blocks of another ends with the same store. Method: random chains with empty blocks in
// them, from the beginning and from a snapshot.
func TestCatchUp(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		draw := func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "") }
		source := kv.NewMem()
		r := open(t, source)
		skipped := lamppost.Height(0)
		for _, b := range blocks(3+draw(6), draw) {
			if b.Height > 1 && draw(3) == 0 {
				skipped++
				apply(t, r, &lamppost.Block{Height: r.Last().Height + 1, Time: r.Last().Time, Cursor: lamppost.Cursor(r.Last().Height + 1)})
			}
			b.Height += skipped
			b.Cursor = lamppost.Cursor(b.Height)
			apply(t, r, b)
			commit(t, r)
		}
		v := archive.View{Reader: source}
		copied := kv.NewMem()
		c := open(t, copied)
		if err := c.CatchUp(context.Background(), sends(v, r.Last().Height, nil), head(r, v), still); err != nil {
			t.Fatalf("CatchUp = %v", err)
		}
		if a, b := dump(t, source), dump(t, copied); a != b {
			t.Fatalf("the copy: %s", diff(a, b))
		}
	})
}

// Goal: whatever the other copy sends that is not the history of the checkpoint is refused, and says what.
func TestCatchUpRefuses(t *testing.T) {
	t.Parallel()
	source := kv.NewMem()
	r := open(t, source)
	for _, b := range blocks(8, seeded(21)) {
		apply(t, r, b)
		commit(t, r)
	}
	v := archive.View{Reader: source}
	good := head(r, v)
	last := r.Last().Height
	flip := func(at int) func(lamppost.Height, []byte) []byte {
		return func(h lamppost.Height, raw []byte) []byte {
			if h == 4 {
				raw[at] ^= 1
			}
			return raw
		}
	}
	signature := func(_ lamppost.Height, raw []byte) []byte { // of the first order
		_, records, err := archive.DecodeBlock(raw)
		must(t, err)
		for i := range records {
			if tx, err := lamppost.ParseTransaction(records[i].Raw); err == nil && tx.Type == lamppost.TxTransfer {
				raw[bytes.Index(raw, tx.SignedRaw)+len(tx.SignedRaw)-10] ^= 1
				break
			}
		}
		return raw
	}
	shorter, forked := good, good
	shorter.Size--
	forked.Root[0]++
	for name, c := range map[string]struct {
		from replica.Blocks
		to   lamppost.Checkpoint
		want string
	}{
		"no block":         {sends(v, last, flip(0)), good, "reading a block"},
		"another content":  {sends(v, last, signature), good, "another history"},
		"it ends early":    {sends(v, last-1, nil), good, "has no blocks after"},
		"inside a block":   {sends(v, last, nil), shorter, "goes from below the checkpoint's"},
		"another root":     {sends(v, last, nil), forked, "what came is another history"},
		"one is left out":  {sends(v, last, func(h lamppost.Height, raw []byte) []byte { return must1(v.Encoded(min(h+1, last))) }), good, "checkpoint"},
		"always the first": {sends(v, last, func(lamppost.Height, []byte) []byte { return must1(v.Encoded(1)) }), good, "does not follow"},
	} {
		copied := open(t, kv.NewMem())
		err := copied.CatchUp(context.Background(), c.from, c.to, still)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := open(t, kv.NewMem()).CatchUp(ctx, sends(v, last, nil), good, still); !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}
}

func must1[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// What was pruned cannot be replayed: whoever needs it is told so, and begins with a snapshot from after it.
func TestCatchUpNeedsWholeBlocks(t *testing.T) {
	t.Parallel()
	_, source, r := billed(t)
	at := head(r, archive.View{Reader: source})
	packs, err := archive.NewPacks(source, new(archive.MemObjects))
	must(t, err)
	k := archive.Keeper{Store: source, Packs: packs, Rules: func(kv.Reader) (*archive.Rules, error) {
		return &archive.Rules{Default: archive.Retention{RawMS: 1, SummaryMS: 1}}, nil
	}}
	for did := (archive.Did{Sealed: 1}); did.Some(); {
		did, err = k.Step(r.Last().Time + 10*ledgertest.Day)
		must(t, err)
	}
	v := archive.View{Reader: source, Packs: packs}
	var thinned *replica.ThinnedError
	if err := open(t, kv.NewMem()).CatchUp(context.Background(), sends(v, r.Last().Height, nil), at, still); !errors.As(err, &thinned) || thinned.Height != 2 {
		t.Errorf("CatchUp = %v", err)
	}
}
