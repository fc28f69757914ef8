package node

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/archive/dir"
	"github.com/lamppost/lamppost/internal/consensus/raft"
	"github.com/lamppost/lamppost/internal/folder"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/kv/pebble"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/network"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/internal/tilelog"
	"github.com/lamppost/lamppost/sig"
)

// From solo to raft: a turn is one more block, with the order that changes the engine, and a log of raft that begins behind that block.
// Committing the block is the turn. What it needs is durable in the folder before that, and goes to its place after it, at the latest when
// the node starts.

// TurnConfig says what a node that orders alone shall be as the first member of a network under raft.
type TurnConfig struct {
	Data              string
	Archive           tilelog.Source // where tiles of the log are that were moved away; nil: nowhere
	Org, Address, URL string         // empty: as the ledger has them
	Trust             [][]string
	Reason            string
	Now               func() time.Time

	step func(name string) error // nil, or a test's: an error ends everything there, as a crash would
}

// A Turn is one that was rehearsed on a copy of the store; the folder is as it was, and locked.
type Turn struct {
	Network string
	Member  network.Member
	Height  lamppost.Height // of the block with the order
	Done    bool            // the folder has turned before: there is nothing to do

	cfg   TurnConfig
	store *pebble.Store
	rep   *replica.Replica
	files tilelog.Storage
	key   *sig.PrivateKey
	tx    []byte
	time  lamppost.TimeMS // of the block
	root  lamppost.Hash   // after it, by the rehearsal
}

// OpenTurn checks that the folder can turn, and prepares it beside what is there. After an error, the next start or turn removes what was
// prepared. Close a turn in any case.
func OpenTurn(cfg TurnConfig) (t *Turn, err error) {
	if _, err := os.Stat(filepath.Join(cfg.Data, folder.DB)); err != nil {
		return nil, fmt.Errorf("%q holds no network: lamppost init network founds one of several members", cfg.Data)
	}
	if cfg.step == nil {
		cfg.step = func(string) error { return nil }
	}
	t = &Turn{cfg: cfg}
	if t.store, err = pebble.Open(filepath.Join(cfg.Data, folder.DB), pebble.Options{}); err != nil {
		return nil, err
	}
	if err = settleTurn(cfg.Data, t.store); err == nil {
		err = t.prepare()
	}
	if err != nil {
		return nil, errors.Join(err, t.store.Close())
	}
	return t, nil
}

// Close lets the folder go. What was prepared and not committed goes.
func (t *Turn) Close() error {
	return errors.Join(os.RemoveAll(t.unready()), t.store.Close())
}

// unready is where what is needed stands until all of it is durable.
func (t *Turn) unready() string { return filepath.Join(t.cfg.Data, folder.Turning+".new") }

func (t *Turn) prepare() error {
	is, err := ledger.View{Reader: t.store}.Network()
	if errors.Is(err, kv.ErrNotFound) {
		return fmt.Errorf("%q holds no network: lamppost init network founds one of several members", t.cfg.Data)
	}
	if err != nil {
		return err
	}
	founding, err := ledger.View{Reader: t.store}.Founding()
	if err != nil {
		return err
	}
	t.Network = is.Network
	if t.Done = is.Engine == lamppost.Raft && founding.Engine == lamppost.Solo; t.Done {
		return nil
	}
	if err := t.check(&is); err != nil {
		return err
	}
	f, err := t.order(&is)
	if err != nil {
		return err
	}
	return t.rehearse(f)
}

// check refuses what is not the whole folder of a node that orders alone.
func (t *Turn) check(is *lamppost.Network) error {
	if is.Engine != lamppost.Solo {
		return fmt.Errorf("network %q orders by %s already: let members in with lamppost member add CARD", is.Network, is.Engine)
	}
	for name, what := range map[string]string{
		folder.Raft: "a log of raft stands there: move it away, if it is of another network", folder.Arrived: "start the node once, so that it takes over this state",
		folder.Erasures: "start the node once, so that what was erased since its backup is erased again"} {
		if _, err := os.Stat(filepath.Join(t.cfg.Data, name)); err == nil {
			return fmt.Errorf("%q: %s", filepath.Join(t.cfg.Data, name), what)
		}
	}
	seed, err := folder.ReadSecret(t.cfg.Data, folder.MemberKey, sig.SeedSize)
	if err != nil {
		return fmt.Errorf("the member's key: %w", err)
	}
	if t.key, err = sig.NewPrivateKey(sig.EdDSA, seed); err != nil {
		return err
	}
	m := is.Members[0]
	if string(m.Key) != string(t.key.Public().Bytes()) {
		return fmt.Errorf("the key in %q is not that of member %q: this folder is a copy, and only the member itself turns", t.cfg.Data, m.ID)
	}
	near, err := tilelog.OpenDir(filepath.Join(t.cfg.Data, folder.Log))
	if err != nil {
		return err
	}
	if t.files = near; t.cfg.Archive != nil {
		t.files = tilelog.Archived{DirStorage: near, Far: t.cfg.Archive}
	}
	if t.rep, err = replica.Open(replica.Config{Store: t.store}); err != nil {
		return err
	}
	return t.checkSigned(m)
}

// checkSigned refuses an older copy of what the member signed: a block on top of it would begin a second history.
func (t *Turn) checkSigned(m lamppost.Member) error {
	signed, err := t.files.Get(tilelog.CheckpointPath)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, verifier, err := noteKey(t.Network, m, t.key.Seed())
	if err != nil {
		return err
	}
	c, _, err := lamppost.OpenCheckpoint(signed, note.VerifierList(verifier))
	if err != nil {
		return err
	}
	log, err := tilelog.Open(t.store)
	if err == nil && c.Size > log.Size() {
		err = fmt.Errorf("%q has a log of %d leaves, and the member has signed %d: it is an older copy, on which nothing can be built", t.cfg.Data, log.Size(), c.Size)
	}
	return err
}

// order signs the order to turn, and returns the network's file with it.
func (t *Turn) order(is *lamppost.Network) (*network.File, error) {
	m := is.Members[0]
	t.Member = network.Member{ID: m.ID, Org: or(t.cfg.Org, m.Org), Address: or(t.cfg.Address, m.Address), URL: or(t.cfg.URL, m.URL),
		Key: base64.StdEncoding.EncodeToString(m.Key)}
	if err := t.Member.Check(); err != nil {
		return nil, err
	}
	seat, err := t.Member.Ledger()
	if err != nil {
		return nil, err
	}
	last := t.rep.Last()
	if last.Cursor != lamppost.Cursor(last.Height) {
		return nil, fmt.Errorf("the ledger stands at block %d and position %d, and where one member orders alone both are the same: run lamppost fsck", last.Height, last.Cursor)
	}
	t.Height, t.time = last.Height+1, max(last.Time+1, lamppost.TimeMS(t.cfg.Now().UnixMilli()))
	o := lamppost.Order{Type: lamppost.TxNetwork, ExpiryTime: t.time + 3600*1000, Body: lamppost.Marshal(lamppost.NetworkBody{After: is.Changed,
		Members: []lamppost.Member{seat}, Rules: is.Rules, Engine: lamppost.Raft, Trust: t.cfg.Trust, Reason: t.cfg.Reason})}
	var seed lamppost.Seed
	rand.Read(o.Nonce[:]) // never fails
	rand.Read(seed[:])
	tx, err := lamppost.NewTx(t.Network, o, m.ID, t.key, seed)
	if err != nil {
		return nil, err
	}
	t.tx = tx.Append(nil)
	f := &network.File{Network: t.Network, Engine: lamppost.Raft.String(), Verify: is.Verify.String(), AdmitUnsigned: is.AdmitUnsigned,
		Members: []network.Member{t.Member}, Trust: t.cfg.Trust, Reason: t.cfg.Reason, Turned: base64.StdEncoding.EncodeToString(t.tx)}
	return f, t.founding(f)
}

// founding puts what founded the network into its file, so that new members begin with the same block.
func (t *Turn) founding(f *network.File) error {
	objects, err := dir.Open(filepath.Join(t.cfg.Data, folder.Archive))
	if err != nil {
		return err
	}
	packs, err := archive.NewPacks(t.store, objects)
	if err != nil {
		return err
	}
	v := archive.View{Reader: t.store, Packs: packs}
	block, err := v.Block(1)
	if err != nil {
		return fmt.Errorf("reading the founding, with which new members begin: %w. A folder that began with a snapshot cannot turn", err)
	}
	tx, err := v.Tx(1, 0)
	if err != nil {
		return fmt.Errorf("reading the founding: %w", err)
	}
	f.Founded, f.Founding = time.UnixMilli(int64(block.Time)).UTC(), base64.StdEncoding.EncodeToString(tx.Raw)
	_, err = f.First()
	return err
}

// rehearse applies the block to a copy of the store and makes the log of raft from that.
func (t *Turn) rehearse(f *network.File) (err error) {
	work := t.unready()
	if err := errors.Join(os.RemoveAll(work), os.Mkdir(work, 0o700)); err != nil {
		return err
	}
	if err := t.cfg.step("copying"); err != nil {
		return err
	}
	if err := t.rehearseOn(filepath.Join(work, folder.DB), filepath.Join(work, folder.Raft)); err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(work, folder.DB)); err != nil {
		return err
	}
	if err := t.cfg.step("writing the file"); err != nil {
		return err
	}
	return folder.WriteDurably(filepath.Join(work, folder.Network), string(f.Bytes()), 0o644)
}

func (t *Turn) rehearseOn(db, log string) (err error) {
	if err := t.store.Checkpoint(db); err != nil {
		return err
	}
	store, err := pebble.Open(db, pebble.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	rep, err := replica.Open(replica.Config{Store: store, Files: t.files})
	if err != nil {
		return err
	}
	if t.root, err = t.apply(rep); err != nil {
		return err
	}
	if err := t.cfg.step("making the log"); err != nil {
		return err
	}
	return raft.Begin(log, t.Member.ID, rep)
}

// apply commits the block, if the network turns by it.
func (t *Turn) apply(rep *replica.Replica) (root lamppost.Hash, err error) {
	res, err := rep.Apply(&lamppost.Block{Height: t.Height, Time: t.time, Cursor: lamppost.Cursor(t.Height), Proposer: t.Member.ID, Txs: [][]byte{t.tx}})
	if err != nil {
		return root, err
	}
	if err := res.Outcomes[0][0].Err(); err != nil {
		return root, err
	}
	if !t.root.IsZero() && res.Root != t.root {
		return root, fmt.Errorf("the block gives root %v, and gave %v in the rehearsal: run lamppost fsck", res.Root, t.root)
	}
	_, err = rep.Commit()
	return res.Root, err
}

// Commit turns the folder: afterwards its node is the only member of a network under raft.
func (t *Turn) Commit() error {
	if t.Done {
		return nil
	}
	for _, s := range []struct {
		name string
		do   func() error
	}{
		{"making it durable", func() error { return folder.Sync(t.unready()) }},
		{"making its name durable", func() error { return folder.Rename(t.unready(), filepath.Join(t.cfg.Data, folder.Turning)) }},
		{"committing", func() error { _, err := t.apply(t.rep); return err }},
		{"putting it in its place", func() error { return settleTurn(t.cfg.Data, t.store) }},
	} {
		if err := t.cfg.step(s.name); err != nil {
			return err
		}
		if err := s.do(); err != nil {
			return fmt.Errorf("turning to raft: %s: %w", s.name, err)
		}
	}
	return nil
}

// settleTurn ends a turn that was cut short: where its block is committed, what belongs to it goes to its place, and otherwise it goes.
func settleTurn(data string, store kv.Reader) error {
	work := filepath.Join(data, folder.Turning)
	is, err := ledger.View{Reader: store}.Network()
	if err != nil && !errors.Is(err, kv.ErrNotFound) {
		return err
	}
	if err == nil && is.Engine == lamppost.Raft {
		for _, name := range []string{folder.Network, folder.Raft} {
			err := folder.Rename(filepath.Join(work, name), filepath.Join(data, name))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return errors.Join(os.RemoveAll(work), os.RemoveAll(work+".new"))
}
