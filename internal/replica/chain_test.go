package replica_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/internal/tilelog"
)

// blocks makes a chain: the founding block and n more.
func blocks(n int, draw func(n int) int) []*lamppost.Block {
	t := ledgertest.NewTraffic(ledgertest.New("net"), draw)
	chain := []*lamppost.Block{block(1, t.Now, t.Found()...)}
	for len(chain) < n+1 {
		t.Wait()
		h := lamppost.Height(len(chain) + 1)
		t.Now = max(t.Now, chain[h-2].Time+1)
		var txs []*lamppost.Transaction
		for range 1 + draw(5) {
			txs = append(txs, t.Next())
		}
		chain = append(chain, block(h, t.Now, txs...))
		if draw(8) == 0 {
			chain[h-1].Txs = append(chain[h-1].Txs, []byte("no transaction"))
		}
		if draw(8) == 0 {
			chain[h-1].Evidence = []lamppost.Evidence{{Member: "m1", Height: h - 1, Kind: 1}}
		}
	}
	return chain
}

func block(h lamppost.Height, at lamppost.TimeMS, txs ...*lamppost.Transaction) *lamppost.Block {
	b := &lamppost.Block{Height: h, Time: at, Cursor: lamppost.Cursor(h), Proposer: "m1"}
	for _, tx := range txs {
		b.Txs = append(b.Txs, tx.Append(nil))
	}
	return b
}

func seeded(seed uint64) func(n int) int { return rand.New(rand.NewPCG(seed, 0)).IntN }

// fatal is what *testing.T and *rapid.T have in common.
type fatal interface {
	Helper()
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

func open(t fatal, store kv.Store) *replica.Replica {
	t.Helper()
	r, err := replica.Open(replica.Config{Store: store})
	if err != nil {
		t.Fatalf("Open = %v", err)
	}
	return r
}

func apply(t fatal, r *replica.Replica, b *lamppost.Block) *lamppost.Result {
	t.Helper()
	if err := r.Accept(b); err != nil {
		t.Fatalf("Accept(block %d) = %v", b.Height, err)
	}
	res, err := r.Apply(b)
	if err != nil {
		t.Fatalf("Apply(block %d) = %v", b.Height, err)
	}
	return res
}

func commit(t fatal, r *replica.Replica) {
	t.Helper()
	if _, err := r.Commit(); err != nil {
		t.Fatalf("Commit = %v", err)
	}
}

// dump is all that a store holds.
func dump(t fatal, store kv.Reader) string {
	t.Helper()
	var b bytes.Buffer
	if err := store.Scan([]byte{0}, nil, func(k, v []byte) error { fmt.Fprintf(&b, "%q = %x\n", k, v); return nil }); err != nil {
		t.Fatalf("Scan = %v", err)
	}
	return b.String()
}

// diff returns the first lines in which two dumps differ.
func diff(a, b string) string {
	x, y := bytes.Split([]byte(a), []byte("\n")), bytes.Split([]byte(b), []byte("\n"))
	for i := range min(len(x), len(y)) {
		if !bytes.Equal(x[i], y[i]) {
			return fmt.Sprintf("%.300s\nand\n%.300s", x[i], y[i])
		}
	}
	return fmt.Sprintf("%d and %d lines", len(x), len(y))
}

// The same blocks give the same roots, the same results and, byte for byte, the same store: whether each is committed
// alone or several together, and wherever the replica is opened again. Replaying the archive into an empty store does too.
func TestSameBlocksSameStore(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		draw := func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "") }
		sameBlocksSameStore(t, blocks(1+draw(9), draw), draw, func(*lamppost.Transaction, lamppost.Outcome) {})
	})
}

// sameBlocksSameStore calls see for each order.
func sameBlocksSameStore(t *rapid.T, chain []*lamppost.Block, draw func(n int) int, see func(*lamppost.Transaction, lamppost.Outcome)) {
	t.Helper()
	one, many, again := kv.NewMem(), kv.NewMem(), kv.NewMem()
	single, grouped, reopened := open(t, one), open(t, many), open(t, again)
	for _, b := range chain {
		a, c, d := apply(t, single, b), apply(t, grouped, b), apply(t, reopened, b)
		if a.Root != c.Root || a.Root != d.Root || a.Size != c.Size || a.Size != d.Size {
			t.Fatalf("block %d: roots %v, %v grouped, %v reopened", b.Height, a.Root, c.Root, d.Root)
		}
		if !slices.Equal(a.IDs, c.IDs) || fmt.Sprint(a.Outcomes) != fmt.Sprint(c.Outcomes) {
			t.Fatalf("block %d: outcomes %v, grouped %v", b.Height, a.Outcomes, c.Outcomes)
		}
		for i, raw := range b.Txs {
			if tx, err := lamppost.ParseTransaction(raw); err == nil && tx.Type != lamppost.TxSegment {
				see(tx, a.Outcomes[i][0])
			}
		}
		commit(t, single)
		commit(t, reopened)
		if draw(3) == 0 {
			commit(t, grouped)
		}
		if draw(2) == 0 {
			reopened = open(t, again)
		}
	}
	commit(t, grouped)
	if a, b := dump(t, one), dump(t, many); a != b {
		t.Fatalf("grouped commits: %s", diff(a, b))
	}
	if a, b := dump(t, one), dump(t, again); a != b {
		t.Fatalf("reopening: %s", diff(a, b))
	}
	checkup, err := replica.Fsck(context.Background(), archive.View{Reader: one}, nowhere, func(_, _ lamppost.Height) {})
	if err != nil || len(checkup.Faults) > 0 || checkup.Root != single.Last().Root {
		t.Fatalf("Fsck = %+v, %v; root is %v", checkup, err, single.Last().Root)
	}
}

// Apply is total: transactions with a few bytes changed, cut off or grown are refused or not, and never stop the replica;
// what they give is the same again, and fsck, which parses them anew, agrees.
func TestApplyIsTotal(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		draw := func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "") }
		chain := blocks(4, draw)
		store := kv.NewMem()
		r := open(t, store)
		for _, b := range chain {
			for i := range b.Txs {
				if b.Height > 1 || i > 0 {
					b.Txs[i] = bend(b.Txs[i], draw)
				}
			}
			apply(t, r, b)
			commit(t, r)
		}
		checkup, err := replica.Fsck(context.Background(), archive.View{Reader: store}, nowhere, func(_, _ lamppost.Height) {})
		if err != nil || len(checkup.Faults) > 0 || checkup.Root != r.Last().Root {
			t.Fatalf("Fsck = %+v, %v; root is %v", checkup, err, r.Last().Root)
		}
	})
}

// bend changes a transaction's bytes, mostly where lengths and types stand.
func bend(raw []byte, draw func(n int) int) []byte {
	raw = slices.Clone(raw)
	switch draw(5) {
	case 0:
		raw = raw[:1+draw(len(raw)-1)]
	case 1:
		raw = append(raw, byte(draw(256)))
	case 2:
		raw[draw(min(len(raw), 40))] = byte(draw(256))
	case 3:
		raw[draw(len(raw))] ^= 1 << draw(8)
	}
	return raw
}

// An empty block changes neither root nor log, and blocks that do not follow are refused without a trace.
func TestBlocksFollow(t *testing.T) {
	t.Parallel()
	store := kv.NewMem()
	r := open(t, store)
	chain := blocks(3, seeded(1))
	res := apply(t, r, chain[0])
	commit(t, r)
	for name, b := range map[string]*lamppost.Block{
		"again": chain[0], "a gap": chain[2], "no later time": {Height: 2, Time: chain[0].Time, Txs: chain[1].Txs},
	} {
		if _, err := r.Apply(b); err == nil || r.Accept(b) == nil {
			t.Errorf("%s: block %d was taken after block 1", name, b.Height)
		}
	}
	before := dump(t, store)
	commit(t, r)
	if after := dump(t, store); after != before {
		t.Errorf("Commit of nothing wrote: %s", diff(before, after))
	}
	if got := apply(t, r, &lamppost.Block{Height: 2, Time: chain[0].Time}); got.Root != res.Root || got.Size != res.Size {
		t.Errorf("an empty block: root %v size %d, was %v size %d", got.Root, got.Size, res.Root, res.Size)
	}
	got := apply(t, r, &lamppost.Block{Height: 3, Time: chain[0].Time + 1, Evidence: []lamppost.Evidence{{Member: "m1", Height: 1, Kind: 1}}})
	if got.Root == res.Root || got.Size != res.Size+1 {
		t.Errorf("a block with evidence only left the log as it was")
	}
}

// Every write fails once, with and without being written after all. Then the store holds a whole number of blocks, at
// least those whose Commit returned; the log continues every checkpoint published before; fsck finds nothing; and going
// on gives the very store that an undisturbed replica has.
func TestFailedWrites(t *testing.T) {
	t.Parallel()
	const writes = 7
	chain := blocks(writes-1, seeded(2))
	want := kv.NewMem()
	undisturbed := open(t, want)
	for _, b := range chain {
		apply(t, undisturbed, b)
		commit(t, undisturbed)
	}
	for at := range writes {
		for _, fault := range []kv.Fault{kv.Fails, kv.FailsWritten} {
			t.Run(fmt.Sprintf("write %d %v", at, fault), func(t *testing.T) {
				t.Parallel()
				store := kv.NewFaulty(kv.NewMem(), func(n int) kv.Fault {
					if n == at {
						return fault
					}
					return kv.Works
				})
				r := open(t, store)
				files := new(tilelog.MemStorage)
				for r.Last().Height < lamppost.Height(len(chain)) {
					b := chain[r.Last().Height]
					apply(t, r, b)
					if _, err := r.Commit(); err == nil {
						publish(t, ledgertest.New("net"), store, files)
						continue
					} else if !errors.Is(err, kv.ErrInjected) {
						t.Fatalf("Commit = %v", err)
					}
					if last := r.Last().Height; last != b.Height-1 {
						t.Errorf("after a failed write the replica shows height %d, want %d", last, b.Height-1)
					}
					if _, err := r.Commit(); err == nil {
						t.Error("Commit after a failed write succeeded")
					}
					store.Reopen()
					r = open(t, store)
					durable := b.Height - 1
					if fault == kv.FailsWritten {
						durable = b.Height
					}
					if last := r.Last(); last.Height != durable || last.Cursor != lamppost.Cursor(durable) {
						t.Errorf("opened at height %d, cursor %d; want %d", last.Height, last.Cursor, durable)
					}
					publish(t, ledgertest.New("net"), store, files) // refuses what does not continue the last checkpoint
					fsck(t, store)
				}
				if a, b := dump(t, want), dump(t, store); a != b {
					t.Errorf("in the end: %s", diff(a, b))
				}
			})
		}
	}
}

func fsck(t *testing.T, store kv.Reader, want ...string) {
	t.Helper()
	fsckWith(t, store, nowhere, want...)
}

func fsckWith(t *testing.T, store kv.Reader, files tilelog.Source, want ...string) {
	t.Helper()
	c, err := replica.Fsck(context.Background(), archive.View{Reader: store}, files, func(_, _ lamppost.Height) {})
	if err != nil {
		t.Fatalf("Fsck = %v", err)
	}
	if len(want) == 0 && len(c.Faults) > 0 {
		t.Errorf("Fsck finds %+v in a sound store", c.Faults)
	}
	for _, w := range want {
		if !slices.ContainsFunc(c.Faults, func(f replica.Fault) bool { return bytes.Contains([]byte(f.Where+": "+f.What), []byte(w)) }) {
			t.Errorf("Fsck does not say %q, but %+v", w, c.Faults)
		}
	}
}

// Fsck finds whatever is changed in the store and says where.
func TestFsckFinds(t *testing.T) {
	t.Parallel()
	sound := kv.NewMem()
	r := open(t, sound)
	for _, b := range blocks(12, seeded(3)) {
		apply(t, r, b)
		commit(t, r)
	}
	fsck(t, sound)
	at := func(kind string, h, i byte) []byte {
		k := append([]byte(kind), 0, 0, 0, 0, 0, 0, 0, h)
		if kind != "aB" && kind[0] == 'a' {
			k = append(k, 0, 0, 0, i)
		}
		return k
	}
	last := func(raw []byte) []byte { raw[len(raw)-1] ^= 1; return raw }
	for name, c := range map[string]struct {
		key    []byte
		change func([]byte) []byte // nil: delete
		want   []string
	}{
		"a body's signature":      {at("aT", 1, 2), func(b []byte) []byte { return last(b[:len(b)-1]) }, []string{"block 1"}},
		"a body's seed":           {at("aT", 1, 2), func(b []byte) []byte { b[4] ^= 1; return b }, []string{"transaction 2 of block 1: the archived body is not what leaf 2 commits to"}},
		"a body is missing":       {at("aT", 1, 2), nil, []string{"block 1: transaction 2 of block 1"}},
		"an outcome":              {at("aR", 1, 3), func(b []byte) []byte { return append(b, 0, 9, 0) }, []string{"transaction 3 of block 1: the archived outcome"}},
		"a digest of writes":      {at("aR", 1, 3), func(b []byte) []byte { b[0] ^= 1; return b }, []string{"transaction 3 of block 1: the archived outcome is not what leaf 3 commits to"}},
		"a result is missing":     {at("aR", 1, 3), nil, []string{"transaction 3 of block 1"}},
		"a block is missing":      {at("aB", 2, 0), nil, []string{"block 2"}},
		"a block's time":          {at("aB", 1, 0), func(b []byte) []byte { b[10] ^= 1; return b }, []string{"leaf"}},
		"a leaf":                  {at("tl", 4, 0), last, []string{"transaction 4 of block 1: the archived outcome is not what leaf 4", "store: the log's edge: it has"}},
		"a leaf is missing":       {at("tl", 4, 0), nil, []string{"store: leaf 4: it is missing"}},
		"the log's edge":          {[]byte("te"), last, []string{"store: the log's edge: it has"}},
		"a leaf beyond the end":   {at("tl", 255, 0), func([]byte) []byte { return []byte("x") }, []string{"does not follow from the blocks"}},
		"a party":                 {[]byte("sPp1"), last, []string{`state: the value of key "sPp1"`}},
		"a party is missing":      {[]byte("sPp1"), nil, []string{`state: key "sPp1" is missing`}},
		"a party of nobody":       {[]byte("sPmallory"), func([]byte) []byte { return []byte("x") }, []string{`state: key "sPmallory" does not follow`}},
		"money out of thin air":   {[]byte("sAp0\x00CHF"), func([]byte) []byte { return []byte{0, 0, 0, 0, 0, 15, 66, 64} }, []string{"accounts: balances in CHF sum to 1.00", `key "sAp0\x00CHF" does not follow`}},
		"the position's time":     {[]byte("mR"), func(b []byte) []byte { b[15] ^= 1; return b }, []string{"position: the last block's time"}},
		"the position's height":   {[]byte("mR"), func(b []byte) []byte { b[7]--; return b }, []string{"does not follow from the blocks"}},
		"a number was taken back": {[]byte("sQd0"), last, []string{`state: the value of key "sQd0"`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := kv.NewMem()
			var all, one kv.Batch
			err := sound.Scan([]byte{0}, nil, func(k, v []byte) error { all.Set(k, v); return nil })
			if err != nil || store.Apply(&all) != nil {
				t.Fatal("copying the store")
			}
			old, err := store.Get(c.key)
			if err != nil && c.change == nil {
				t.Fatalf("the store has no %q", c.key)
			}
			if c.change == nil {
				one.Delete(c.key)
			} else {
				one.Set(c.key, c.change(old))
			}
			if err := store.Apply(&one); err != nil {
				t.Fatal(err)
			}
			fsck(t, store, c.want...)
		})
	}
}

// Fsck finds whatever is changed in the published files; leaves that stand there need not be in the store.
func TestFsckFindsFiles(t *testing.T) {
	t.Parallel()
	store := kv.NewMem()
	r := open(t, store)
	for h := lamppost.Height(1); h <= 140; h++ {
		apply(t, r, block(h, lamppost.TimeMS(h)*1000, ledgertest.New("net").Genesis())) // refused but the first
		commit(t, r)
	}
	for name, c := range map[string]struct {
		path   string
		change func([]byte) []byte
		want   []string
	}{
		"nothing":              {},
		"a complete tile":      {"tile/0/000", func(b []byte) []byte { b[100] ^= 1; return b }, []string{"log/tile/0/000: its 8192 bytes"}},
		"a complete bundle":    {"tile/entries/000", func(b []byte) []byte { return b[:len(b)-1] }, []string{"log/tile/entries/000: its"}},
		"a partial tile":       {"tile/1/000.p/1", func(b []byte) []byte { b[0] ^= 1; return b }, []string{"log/tile/1/000.p/1"}},
		"the checkpoint":       {"checkpoint", func(b []byte) []byte { return bytes.Replace(b, []byte("\n280\n"), []byte("\n279\n"), 1) }, []string{"log/checkpoint: it says size 279"}},
		"no checkpoint at all": {"checkpoint", func(b []byte) []byte { return b[:20] }, []string{"log/checkpoint"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := new(tilelog.MemStorage)
			_, tree := publish(t, ledgertest.New("net"), store, files)
			damaged := overlay{Source: files, path: c.path}
			if c.change != nil {
				data, err := files.Get(c.path)
				if err != nil {
					t.Fatal(err)
				}
				damaged.data = c.change(data)
			}
			trimmed := kv.NewMem()
			var b kv.Batch
			must(t, store.Scan([]byte{0}, nil, func(k, v []byte) error { b.Set(k, v); return nil }))
			tilelog.Trim(&b, lamppost.Checkpoint{Size: tree.Size(), Root: lamppost.Hash(tree.Root())})
			must(t, trimmed.Apply(&b))
			fsckWith(t, trimmed, damaged, c.want...)
		})
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// overlay is a Source with one file replaced.
type overlay struct {
	tilelog.Source
	path string
	data []byte
}

func (o overlay) Get(path string) ([]byte, error) {
	if path == o.path {
		return o.data, nil
	}
	return o.Source.Get(path)
}

// Fsck ends with its context.
func TestFsckEnds(t *testing.T) {
	t.Parallel()
	store := kv.NewMem()
	r := open(t, store)
	apply(t, r, blocks(1, seeded(4))[0])
	commit(t, r)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := replica.Fsck(ctx, archive.View{Reader: store}, nowhere, func(_, _ lamppost.Height) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("Fsck = %v", err)
	}
}

// A Decision that is asked for later is the one that was made, and the archive gives back what was ordered.
func TestDecidedAndArchive(t *testing.T) {
	t.Parallel()
	store := kv.NewMem()
	var events []lamppost.Height
	r, err := replica.Open(replica.Config{Store: store, Committed: func(ev *replica.Event) {
		if last := ev.Block.Height; len(ev.Txs) != len(ev.Block.Txs) || len(ev.Result.Outcomes) != len(ev.Txs) {
			t.Errorf("event of block %d: %d transactions, %d outcomes", last, len(ev.Txs), len(ev.Result.Outcomes))
		}
		events = append(events, ev.Block.Height)
	}})
	if err != nil {
		t.Fatal(err)
	}
	orders := 0
	chain := blocks(20, seeded(5))
	for _, b := range chain {
		res := apply(t, r, b)
		commit(t, r)
		for i, raw := range b.Txs {
			rec, err := (archive.View{Reader: store}).Tx(b.Height, uint32(i))
			if err != nil || !bytes.Equal(rec.Raw, raw) || len(rec.Outcomes) != len(res.Outcomes[i]) {
				t.Fatalf("archive: transaction %d of block %d: %d bytes, %d outcomes, %v", i, b.Height, len(rec.Raw), len(rec.Outcomes), err)
			}
			for j, o := range rec.Outcomes {
				if want := res.Outcomes[i][j]; o.Code != want.Code || !bytes.Equal(o.Data, want.Data) {
					t.Errorf("archive: outcome %d is %+v, want %+v", j, o, want)
				}
			}
			d, ok := r.Decided(res.IDs[i])
			if o := res.Outcomes[i][0]; ok && o.Code == lamppost.CodeOK && len(res.Outcomes[i]) == 1 && d.Height == b.Height {
				orders++
				if d.Index != uint32(i) || d.Outcomes[0].Code != o.Code || !bytes.Equal(d.Outcomes[0].Data, o.Data) {
					t.Errorf("Decided = %+v, want transaction %d of block %d", d, i, b.Height)
				}
			}
		}
	}
	if len(events) != len(chain) || !slices.IsSorted(events) || orders < 10 {
		t.Errorf("events %v of %d blocks, %d orders found again", events, len(chain), orders)
	}
	if _, err := (archive.View{Reader: store}).Tx(2, 4000); !errors.Is(err, archive.ErrAbsent) {
		t.Errorf("Get of nothing = %v, want ErrAbsent", err)
	}
	if _, err := (archive.View{Reader: store}).Block(99); !errors.Is(err, archive.ErrAbsent) {
		t.Errorf("GetBlock of nothing = %v, want ErrAbsent", err)
	}
}

// signer makes the member's key into a signed note's, which is the same key in another coat.
func signer(t testing.TB, net *ledgertest.Network) note.Signer {
	t.Helper()
	vkey := audit.VerifierKey(net.ID, net.GenesisBody().Members[0])
	v, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	s, err := note.NewSigner(fmt.Sprintf("PRIVATE+KEY+%s+%08x+%s", v.Name(), v.KeyHash(),
		base64.StdEncoding.EncodeToString(append([]byte{1}, net.Key.Seed()...))))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// nowhere is where nothing is published.
var nowhere = new(tilelog.MemStorage)

func publisher(t testing.TB, net *ledgertest.Network, files tilelog.Storage) *tilelog.Publisher {
	t.Helper()
	key := signer(t, net)
	verifier, err := note.NewVerifier(audit.VerifierKey(net.ID, net.GenesisBody().Members[0]))
	if err != nil {
		t.Fatal(err)
	}
	return &tilelog.Publisher{Origin: key.Name(), Signer: key, Verifier: verifier, Storage: files}
}

// publish publishes the log as it stands and returns the checkpoint.
func publish(t testing.TB, net *ledgertest.Network, store kv.Reader, files tilelog.Storage) (string, *tilelog.Tree) {
	t.Helper()
	p := publisher(t, net, files)
	signed, err := p.Publish(store)
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := lamppost.OpenCheckpoint(signed, note.VerifierList(p.Verifier))
	if err != nil {
		t.Fatal(err)
	}
	return string(signed), tilelog.NewTree(files, c.Size, tlog.Hash(c.Root))
}
