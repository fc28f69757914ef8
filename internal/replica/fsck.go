package replica

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/consensus"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/tilelog"
)

// A Fault is something fsck found: where, what does not fit, and what follows from it.
type Fault struct {
	Where  string `json:"where"`
	What   string `json:"what"`
	Means  string `json:"means"`
	Mended bool   `json:"mended"`
}

// A Checkup is what fsck did and found.
type Checkup struct {
	Height       lamppost.Height `json:"height"`
	Leaves       int64           `json:"leaves"`       // of the log
	Transactions int64           `json:"transactions"` // whose leaves were compared
	Reports      int64           `json:"reports"`      // in these
	Gone         int64           `json:"gone"`         // of these, pruned or erased
	Root         lamppost.Hash   `json:"root"`
	Replayed     bool            `json:"replayed"` // the state was derived again
	From         lamppost.Height `json:"from"`     // after this block; 0: from the first
	Faults       []Fault         `json:"faults"`
	Notes        []string        `json:"notes"` // what could not be checked, and why; what is there and harms nothing
}

// maxFaults ends a check of a store that is damaged all over.
const maxFaults = 100

// A Check says what fsck looks at, and what it may change.
type Check struct {
	Store     kv.Reader
	Packs     *archive.Packs // nil: all bodies are in the store
	Files     tilelog.Source // the published log
	Snapshots Snapshots      // nil: there are none

	// Scratch returns an empty store for the replay, and what disposes of it. Nil: memory.
	Scratch func() (kv.Store, func() error, error)
	// Mend puts right what follows from the rest. Nil: nothing is changed.
	Mend Mender
	// Progress is told how far a step is. Nil: nobody is.
	Progress func(step string, done, all int64)
}

// Snapshots are the files of a node with its state.
type Snapshots interface {
	// Each calls fn with every file and its length, the oldest first. fn must not keep the file.
	Each(fn func(name string, from io.ReaderAt, size int64) error) error
}

// A Mender changes what was found damaged, durably.
type Mender interface {
	File(path string, data []byte) error // of the published log
	Store(b *kv.Batch) error
	Snapshot(name string) error // removes it: the node takes another
}

// Fsck checks a chain without changing anything; progress is told of blocks.
func Fsck(ctx context.Context, store archive.View, files tilelog.Source, progress func(at, last lamppost.Height)) (*Checkup, error) {
	c := Check{Store: store.Reader, Packs: store.Packs, Files: files}
	c.Progress = func(_ string, done, all int64) { progress(lamppost.Height(done), lamppost.Height(all)) }
	return c.Run(ctx)
}

// Run checks a chain: every leaf, tile, bundle and root of the log; every body and result against its leaf, as far as it is still
// there; every object and snapshot; and the state, which is derived again from the first block, or, where the history was thinned,
// from the oldest snapshot after that whose digest members vouched for on the log. An error means that the store could not
// be read; what does not fit is a Fault.
func (c *Check) Run(ctx context.Context) (*Checkup, error) {
	k := &checker{Check: c, view: archive.View{Reader: c.Store, Packs: c.Packs}, found: &Checkup{Faults: []Fault{}, Notes: []string{}},
		gateways: map[lamppost.MemberID][]gatewayKey{}}
	if k.Progress == nil {
		k.Progress = func(string, int64, int64) {}
	}
	for _, step := range []func(context.Context) error{k.open, k.objects, k.snapshots, k.log, k.replay, k.balances} {
		if err := ctx.Err(); err != nil {
			return k.found, err
		}
		if err := step(ctx); err != nil {
			return k.found, err
		}
		if len(k.found.Faults) >= maxFaults {
			k.note("there is more: the check ended at %d faults", maxFaults)
			break
		}
	}
	return k.found, nil
}

// A checker is one run.
type checker struct {
	*Check
	view  archive.View
	found *Checkup

	last     consensus.Last
	network  string
	members  []lamppost.Member // now
	then     []lamppost.Member // at the block that is being walked; nil: nothing was read that says so
	began    lamppost.Height   // where this copy begins; 0: at block 1
	edge     tilelog.RightEdge // of the log there
	size     int64             // of the log in the store
	own      int64             // of that, what it remembers to have published
	head     lamppost.Checkpoint
	gateways map[lamppost.MemberID][]gatewayKey
	snaps    []*foundSnapshot

	// Of the walk along log and archive.
	at     *walked
	height lamppost.Height // of the last block whose end was seen
	time   lamppost.TimeMS
	lost   lamppost.Height // the block of these leaves cannot be read
	broken lamppost.Height // the last block that cannot be replayed: thinned, damaged or missing
	tail   kv.Batch        // leaves that the store should have
}

// fault says what does not fit and what follows.
func (k *checker) fault(where, means, format string, args ...any) {
	k.add(Fault{Where: where, What: fmt.Sprintf(format, args...), Means: means})
}

func (k *checker) add(f Fault) {
	if len(k.found.Faults) < maxFaults {
		k.found.Faults = append(k.found.Faults, f)
	}
}

func (k *checker) note(format string, args ...any) {
	k.found.Notes = append(k.found.Notes, fmt.Sprintf(format, args...))
}

// mend tries to put something right.
func (k *checker) mend(f *Fault, do func() error) {
	if k.Mend == nil {
		return
	}
	if err := do(); err != nil {
		f.What += fmt.Sprintf(" (mending it: %v)", err)
		return
	}
	f.Mended = true
}

// open reads where the chain stands, who its members are, and what is published.
func (k *checker) open(context.Context) (err error) {
	if k.last, err = readLast(k.Store); err != nil {
		return err
	}
	if _, err := k.Store.Get(replacingKey); err == nil {
		k.fault("store", "there is no chain in it: a node on it takes what another member sent again", "its state was being replaced when the node ended")
	}
	if k.began, k.edge, err = Began(k.Store); err != nil {
		k.fault("store: where this copy began", "what is before that cannot be told from what is missing", "%v", err)
	}
	if k.size, k.own, err = tilelog.StoredSize(k.Store); err != nil {
		k.fault("store: the log's edge", "nothing can be appended: a node on it does not start", "%v", err)
	}
	g, err := ledger.View{Reader: k.Store}.Network()
	if err != nil && k.last.Height > 0 {
		k.fault("state: the genesis", "whose signatures count is not known", "%v", err)
	}
	k.network, k.members, k.found.Height = g.Network, g.Members, k.last.Height
	if k.began >= g.Changed {
		k.then = g.Members
	}
	return k.openHead()
}

// openHead reads what is published, under the signature of a member.
func (k *checker) openHead() error {
	const where = "log/" + tilelog.CheckpointPath
	raw, err := k.Files.Get(tilelog.CheckpointPath)
	if errors.Is(err, fs.ErrNotExist) {
		if k.own > 0 {
			k.fault(where, "a node on it publishes its log again from the beginning, as far as it has it", "it is not there, though %d leaves were published", k.own)
		}
		return nil
	}
	if err != nil {
		return err
	}
	if k.head, err = k.pin().OpenCheckpoint(raw); err != nil {
		k.fault(where, "a node on it publishes nothing more; auditors take nothing from it", "%v", err)
		text, _, _ := strings.Cut(string(raw), "\n\n")
		if k.head, err = lamppost.ParseCheckpoint(text + "\n"); err != nil || k.head.Size > k.size {
			k.head = lamppost.Checkpoint{}
		}
	}
	if k.head.Size > k.size {
		k.fault(where, "the store is older than what was signed: a node on it signs nothing more", "it has %d leaves, the store only %d", k.head.Size, k.size)
	}
	return nil
}

func (k *checker) pin() *audit.Pin {
	return &audit.Pin{Network: k.network, Quorum: 1, Members: k.members}
}

// objects reads every object and compares it with the store's list.
func (k *checker) objects(ctx context.Context) error {
	found, err := k.view.Check(ctx, func(done, all int) { k.Progress("objects", int64(done), int64(all)) })
	for i := range found {
		f := &found[i]
		fault := Fault{Where: f.Where, What: f.What}
		switch {
		case f.Lost:
			fault.Means = fmt.Sprintf("blocks %d to %d cannot be read as they were: proofs of them cannot be made", f.First, f.Last)
		case f.Entry != nil:
			fault.Means = fmt.Sprintf("blocks %d to %d are not found, or not pruned in time", f.First, f.Last)
			k.mend(&fault, func() error {
				var b kv.Batch
				archive.List(&b, *f.Entry)
				return k.Mend.Store(&b)
			})
		case f.Last == 0:
			k.note("%s: %s", f.Where, f.What)
			continue
		}
		k.add(fault)
	}
	return err
}

// log walks along the published log and the rest of it in the store, and along the archive in step.
func (k *checker) log(ctx context.Context) error {
	check := tilelog.Check{Files: k.Files, Size: min(k.head.Size, k.size), Root: k.head.Root, Roots: map[int64]lamppost.Hash{}}
	if k.head.Size > k.size {
		check.Size = 0 // it is of another history, or of the same one further on: which, its tiles cannot say here
		k.note("the published log was not compared: it goes on where the store ends")
	}
	for _, s := range k.snaps {
		check.Roots[s.Size] = lamppost.Hash{}
	}
	if k.began > 0 {
		k.note("this copy began after block %d: what stands before is not here and was not checked", k.began)
	}
	if k.began > 0 && !check.FromStart() {
		check.Begin, k.height = k.edge, k.began
	}
	check.Fault = k.logFault
	check.Leaf = func(i int64, leaf []byte) ([]byte, error) {
		k.Progress("leaves of the log", i+1, k.size)
		return k.leaf(i, leaf), ctx.Err()
	}
	if err := check.Run(ctx); err != nil {
		return err
	}
	if err := k.mendTail(); err != nil {
		return err
	}
	if err := check.Rest(k.Store); err != nil {
		return err
	}
	k.found.Leaves = k.size
	k.end()
	for _, s := range k.snaps {
		if root, ok := check.Roots[s.Size]; ok && s.Size > check.Begin.Size() && root != s.Root {
			k.fault("snapshots/"+s.name, "no copy can begin with it", "it says that the log had root %s at size %d; it had %s", s.Root, s.Size, lamppost.Hash(root))
		}
	}
	return nil
}

func (k *checker) logFault(path, what string, again []byte) {
	f := Fault{Where: "log/" + path, What: what, Means: "proofs of the leaves in it cannot be made, and auditors cannot read it"}
	do := func() error { return k.Mend.File(path, again) }
	if strings.HasPrefix(path, "store: ") {
		f.Where, f.Means = path, "a node on it publishes nothing more"
		do = func() error { return k.mendLeaf(path, again) }
	}
	if path == tilelog.CheckpointPath {
		f.Means = "leaves were changed, or it is of another log: nothing under it can be proven"
	}
	if again != nil {
		k.mend(&f, do)
	}
	k.add(f)
}

// mendLeaf writes a leaf into the store that is missing there.
func (k *checker) mendLeaf(path string, leaf []byte) error {
	var i int64
	if _, err := fmt.Sscanf(path, "store: leaf %d", &i); err != nil {
		return err
	}
	var b kv.Batch
	tilelog.Keep(&b, i, leaf)
	return k.Mend.Store(&b)
}

// mendTail writes leaves that the store should have and the published log has.
func (k *checker) mendTail() error {
	if k.tail.Len() == 0 || k.Mend == nil {
		return nil
	}
	return k.Mend.Store(&k.tail)
}

// balances of every currency sum to zero.
func (k *checker) balances(context.Context) error {
	accounts, err := ledger.View{Reader: k.Store}.Accounts()
	if err != nil {
		k.fault("accounts", "what is owed cannot be told", "%v", err)
		return nil
	}
	sums := map[string]lamppost.Micro{}
	for _, a := range accounts {
		sums[a.Currency] += a.Balance
	}
	for currency, sum := range sums {
		if sum != 0 {
			k.fault("accounts", "somebody's balance is wrong", "balances in %s sum to %s, not to zero", currency, sum)
		}
	}
	return nil
}
