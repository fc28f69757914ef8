package replica

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/tilelog"
	"github.com/lamppost/lamppost/sig"
)

// fsck walks along the log leaf by leaf, and along the archive block by block: what a leaf commits to is compared with
// what is still there of it.

// walked is a block whose leaves are passing.
type walked struct {
	archive.Block
	records []archive.Record
	errs    []error // by record: why it is not there, though it was not erased
	ids     []lamppost.TxID
	unknown bool // an id was erased, so the block's hash cannot be made
}

type gatewayKey = *sig.PublicKey

// leaf takes the next leaf of the log, nil where its bundle is damaged, and returns it as the archive gives it, if it does.
func (k *checker) leaf(i int64, leaf []byte) []byte {
	k.compareTail(i, leaf)
	if k.at == nil && !k.next(i, leaf) {
		return nil
	}
	index := uint32(i - k.at.First)
	where := fmt.Sprintf("transaction %d of block %d", index, k.at.Height)
	var derived []byte
	if index < k.at.Count {
		derived = k.txLeaf(where, index, i, leaf)
	} else {
		derived = k.blockLeaf(i, leaf)
		k.height, k.time = k.at.Height, k.at.Time
		k.at = nil
	}
	return derived
}

// compareTail compares the store's copy of a leaf that is not yet in a complete tile, or not long.
func (k *checker) compareTail(i int64, leaf []byte) {
	if i < k.head.Size&^255 || i >= k.head.Size || leaf == nil {
		return
	}
	have, err := tilelog.Leaf(k.Store, i)
	missing := errors.Is(err, kv.ErrNotFound)
	if err == nil && bytes.Equal(have, leaf) || missing && i < k.own {
		return
	}
	f := Fault{Where: tilelog.StoredLeaf(i), What: "it is not the published one", Means: "the log cannot be gone on with from the store"}
	if missing {
		f.What = "it is missing"
	}
	tilelog.Keep(&k.tail, i, leaf)
	f.Mended = k.Mend != nil
	k.add(f)
}

// next finds the block that begins with a leaf.
func (k *checker) next(i int64, leaf []byte) bool {
	h, ends := leafHeight(leaf)
	if leaf == nil {
		h = k.beginsWith(i)
	}
	if h == 0 || h == k.lost {
		if ends && h == k.lost {
			k.height = h
		}
		return false
	}
	for g := k.height + 1; g < h && g <= k.height+maxLookedAt; g++ {
		if _, err := k.view.Block(g); err == nil {
			k.fault(fmt.Sprintf("block %d", g), "nothing of it can be proven", "the archive has it, and the log has no leaf of it")
		}
	}
	w, err := k.walk(h)
	switch {
	case err == nil && h > k.height && w.First == i:
		k.at = w
		return true
	case err == nil:
		err = fmt.Errorf("the archive has it at leaf %d, the log at leaf %d after block %d", w.First, i, k.height)
	case errors.Is(err, archive.ErrAbsent):
		err = errors.New("the archive does not have it")
	}
	if h <= k.began {
		err = nil // this copy never had it
	} else {
		k.fault(fmt.Sprintf("block %d", h), "nothing of it can be proven, and the state cannot be derived from before it", "%v", err)
	}
	k.lost, k.broken = h, max(k.broken, h)
	if ends {
		k.height = h
	}
	return false
}

// maxLookedAt is how many heights are looked at for blocks that the log leaves out.
const maxLookedAt = 100_000

// leafHeight reads which block a leaf is of, and whether it is the block's own.
func leafHeight(leaf []byte) (h lamppost.Height, ends bool) {
	if b, err := lamppost.ParseBlockLeaf(leaf); err == nil {
		return b.Height, true
	}
	l, err := lamppost.ParseLeaf(leaf)
	if err != nil {
		return 0, false
	}
	return l.Height, false
}

// beginsWith looks for the block of a leaf that cannot be read.
func (k *checker) beginsWith(i int64) lamppost.Height {
	for h := k.height + 1; h <= k.last.Height && h <= k.height+maxLookedAt; h++ {
		if blk, err := k.view.Block(h); err == nil {
			if blk.First == i {
				return h
			}
			return 0
		}
	}
	return 0
}

// walk reads a block with what is left of its transactions.
func (k *checker) walk(h lamppost.Height) (*walked, error) {
	blk, err := k.view.Block(h)
	if err != nil {
		return nil, err
	}
	w := &walked{Block: blk, errs: make([]error, blk.Count)}
	if w.records, err = k.view.Records(h); err == nil {
		return w, nil
	}
	w.records = make([]archive.Record, blk.Count)
	for i := range w.records {
		if w.records[i], err = k.view.Tx(h, uint32(i)); err != nil && !errors.Is(err, archive.ErrForgotten) {
			w.errs[i] = err
		}
	}
	return w, nil
}

// txLeaf compares a transaction with its leaf, and returns the leaf that follows from it, if all of it is there.
func (k *checker) txLeaf(where string, index uint32, i int64, leaf []byte) []byte {
	const means = "proofs of it cannot be made"
	w, rec := k.at, &k.at.records[index]
	k.found.Transactions++
	if err := w.errs[index]; err != nil {
		k.fault(where, means, "%v", err)
		w.unknown, k.broken = true, max(k.broken, w.Height)
		return nil
	}
	have, full, err := k.recordLeaf(w.Height, index, rec)
	if err != nil {
		k.fault(where, means, "%v", err)
		w.unknown, k.broken = true, max(k.broken, w.Height)
		return nil
	}
	if !rec.Whole() {
		k.broken = max(k.broken, w.Height)
	}
	if full && leaf == nil {
		return have.Append(nil)
	}
	want, err := lamppost.ParseLeaf(leaf)
	switch {
	case leaf == nil:
	case err != nil, want.Height != w.Height, want.Index != index:
		k.fault(fmt.Sprintf("leaf %d (block %d)", i, w.Height), means, "it is not of %s", where)
	case rec.Thin == nil && !rec.Whole(): // erased: nothing is left to compare
	case want.Type != have.Type || want.Body != have.Body:
		k.fault(where, means, "the archived body is not what leaf %d commits to", i)
		k.broken = max(k.broken, w.Height)
	case full && want.Result != have.Result:
		k.fault(where, means, "the archived outcome is not what leaf %d commits to", i)
		k.broken = max(k.broken, w.Height)
	}
	return nil
}

// recordLeaf makes the leaf of what is archived of a transaction; full says whether its result is part of it. It also remembers the
// transaction's id, what it counts, and the keys of gateways, and checks a thin segment's signature.
func (k *checker) recordLeaf(h lamppost.Height, index uint32, rec *archive.Record) (l lamppost.Leaf, full bool, err error) {
	l.Height, l.Index = h, index
	if rec.Thin != nil {
		return k.thinLeaf(l, rec.Thin)
	}
	if !rec.Whole() {
		k.at.unknown = true
		k.at.ids = append(k.at.ids, lamppost.TxID{})
		return l, false, nil
	}
	l, full, tx, err := rec.Leaf(h, index)
	network := k.network
	var g lamppost.GenesisBody
	if tx.Type == lamppost.TxGenesis && h == 1 && lamppost.Unmarshal(tx.Order.Body, &g) == nil {
		network = g.Network
	}
	k.at.ids = append(k.at.ids, tx.ID(network))
	k.found.Reports += int64(len(tx.Items))
	if err == nil {
		k.learn(tx, rec.Outcomes)
		k.indexed(h, tx, rec.Outcomes)
	}
	return l, full, err
}

// indexed compares an order that moved claims with the index of such blocks, where there is one.
func (k *checker) indexed(h lamppost.Height, tx *lamppost.Transaction, outcomes []lamppost.Outcome) {
	if !Moves(tx.Type) || outcomes[0].Code != lamppost.CodeOK {
		return
	}
	whole, there, err := k.view.MovedAt(h)
	if err == nil && (there || !whole) {
		return
	}
	f := Fault{Where: fmt.Sprintf("block %d", h), What: "it moved claims, and the index of such blocks does not have it", Means: "what is due may be wrong"}
	k.mend(&f, func() error {
		var b kv.Batch
		archive.PutMoved(&b, h)
		return k.Mend.Store(&b)
	})
	k.add(f)
}

func (k *checker) thinLeaf(l lamppost.Leaf, t *lamppost.ThinSegment) (lamppost.Leaf, bool, error) {
	s, err := lamppost.ParseSigned(t.Signed)
	if err != nil {
		return l, false, err
	}
	k.at.ids = append(k.at.ids, s.ID(k.network, lamppost.PurposeSegment))
	k.found.Reports += int64(t.Header.Count)
	k.found.Gone += int64(t.Header.Count) - int64(len(t.Kept))
	if accepted(t) && !k.signed(t.Header.Gateway, &s) {
		return l, false, fmt.Errorf("the segment of gateway %q has accepted reports and not its signature", t.Header.Gateway)
	}
	l.Type, l.Body = lamppost.TxSegment, t.BodyDigest()
	var full bool
	l.Result, full = t.ResultDigest()
	return l, full, nil
}

// accepted says whether a kept report of a segment was accepted: then the ledger had taken the gateway's signature.
func accepted(t *lamppost.ThinSegment) bool {
	for i := range t.Kept {
		if o, err := lamppost.DecodeOutcome(t.Kept[i].Outcome); err == nil && o.Code == lamppost.CodeOK {
			return true
		}
	}
	return false
}

// learn remembers the keys that members and gateways sign segments with.
func (k *checker) learn(tx *lamppost.Transaction, outcomes []lamppost.Outcome) {
	if tx.Type == lamppost.TxSegment || outcomes[0].Code != lamppost.CodeOK {
		return
	}
	keep := func(id lamppost.MemberID, raw []byte) {
		if key, err := sig.ParsePublicKey(sig.EdDSA, raw); err == nil {
			k.gateways[id] = append(k.gateways[id], key)
		}
	}
	if members, ok := lamppost.MembersAfter(tx, &outcomes[0]); ok {
		k.then = members
		for _, m := range members {
			keep(m.ID, m.Key)
		}
	}
	var b lamppost.GatewayBody
	if tx.Type == lamppost.TxGateway && lamppost.Unmarshal(tx.Order.Body, &b) == nil {
		keep(b.ID, b.Key)
	}
}

// signed says whether a segment carries the signature of its gateway, by any key it had; one that was registered before this copy
// began is not known.
func (k *checker) signed(id lamppost.MemberID, s *lamppost.Signed) bool {
	if len(k.gateways[id]) == 0 {
		return k.began > 0
	}
	for _, key := range k.gateways[id] {
		if s.Verify(k.network, lamppost.PurposeSegment, key) {
			return true
		}
	}
	return false
}

// blockLeaf compares a block's header with its own leaf.
func (k *checker) blockLeaf(i int64, leaf []byte) []byte {
	w := k.at
	want, err := lamppost.ParseBlockLeaf(leaf)
	have := lamppost.BlockLeaf{Height: w.Height, Index: w.Count, Time: w.Time, Members: lamppost.HashMembers(k.then)}
	if k.then == nil {
		have.Members = want.Members // this copy began later, and nothing says who they were then
	}
	if w.unknown {
		have.Block = want.Block
	} else {
		have.Block = lamppost.HashBlock(w.Height, w.Time, w.ids, w.Evidence)
	}
	switch {
	case leaf == nil && w.unknown:
		return nil
	case leaf == nil:
		return have.Append(nil)
	case err != nil || want != have:
		k.fault(fmt.Sprintf("block %d", w.Height), "its time and order cannot be proven", "leaf %d is not that of the archived header: %s", i, leafDiff(want, have))
		k.broken = max(k.broken, w.Height)
	}
	return nil
}

func leafDiff(want, have lamppost.BlockLeaf) string {
	switch {
	case want.Height != have.Height || want.Index != have.Index:
		return fmt.Sprintf("it is of block %d with %d transactions", want.Height, want.Index)
	case want.Time != have.Time:
		return fmt.Sprintf("it has the time %d ms, the header %d ms", want.Time, have.Time)
	case want.Members != have.Members:
		return "it is of other members"
	}
	return "it is of other transactions, or of the same in another order"
}

// end looks at what is beyond the end of the log.
func (k *checker) end() {
	for h := k.height + 1; h <= k.last.Height && h <= k.height+maxLookedAt; h++ {
		if _, err := k.view.Block(h); err == nil {
			k.fault(fmt.Sprintf("block %d", h), "nothing of it can be proven", "the archive has it, and the log has no leaf of it")
		}
	}
	switch {
	case k.last.Height < k.height:
		k.fault("position", "a node on it would make block "+fmt.Sprint(k.last.Height+1)+" again", "the store says block %d, the log goes to block %d", k.last.Height, k.height)
	case k.last.Height == k.height && k.last.Time != k.time && k.time > 0 || k.last.Time < k.time:
		k.fault("position", "the next block's time may be wrong", "the last block's time is %d ms, the store says %d ms", k.time, k.last.Time)
	}
	if err := k.strays(); err != nil {
		k.fault("archive", "what it holds is not known", "%v", err)
	}
}

// strays looks for keys of the archive and leaves of the log that no block has.
func (k *checker) strays() error {
	what := func(key []byte) {
		k.fault("archive", "it takes up space, and says nothing true", "key %q does not follow from the blocks", key)
	}
	blk, known := archive.Block{}, false
	err := k.Store.Scan([]byte{'a'}, []byte{'a' + 1}, func(key, _ []byte) error {
		if archive.Private(key) {
			return nil
		}
		h, index, ok := archive.Where(key)
		if !ok || h > k.last.Height {
			what(key)
			return nil
		}
		if !known || blk.Height != h {
			var err error
			blk, err = k.view.Block(h)
			known = err == nil
			blk.Height = h
		}
		if index >= 0 && (!known || index >= int64(blk.Count)) {
			what(key)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return k.Store.Scan([]byte{'t'}, []byte{'t' + 1}, func(key, _ []byte) error {
		if i, leaf := tilelog.LeafIndex(key); leaf && i >= k.size {
			k.fault("log", "it takes up space, and says nothing true", "key %q does not follow from the blocks", key)
		}
		return nil
	})
}
