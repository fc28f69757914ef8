package ledger

import (
	"runtime"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/sig"
)

// A block's signatures are checked together, before its transactions are applied or even before the block is decided: many small
// segments cost as little as a few large ones. A transaction may change a key, so what was found counts only if the key that it was
// found with is still the one to check with when the segment's turn comes; otherwise the signature is checked again.

// Signatures are what was found of a block's. The zero value is ready, and keeps its memory from one block to the next.
type Signatures struct {
	report lamppost.Report
	signed []byte // what the reports sign, one after the other
	ends   []int  // by item, in signed
	items  []sig.Item
	good   []bool
	which  []int32 // by report of all segments: its item, or -1
	starts []int   // by transaction: where its reports begin in which, or -1
}

func (c *Signatures) reset() {
	c.signed, c.ends, c.items, c.which, c.starts = c.signed[:0], c.ends[:0], c.items[:0], c.which[:0], c.starts[:0]
}

// of returns what was found of a report of a transaction if it was made with a key.
func (c *Signatures) of(tx uint32, report int, key *sig.PublicKey) (good, known bool) {
	if int(tx) >= len(c.starts) || c.starts[tx] < 0 {
		return false, false
	}
	item := c.which[c.starts[tx]+report]
	if item < 0 || c.items[item].Key != key {
		return false, false
	}
	return c.good[item], true
}

// Check checks the signatures of all segments among a block's transactions but those to skip. keyOf says with which key a report's is to
// be checked, nil: not now. It uses no State.
func (c *Signatures) Check(network string, txs []*lamppost.Transaction, skip func(i int) bool, keyOf func(*lamppost.Report) *sig.PublicKey) {
	c.reset()
	for i, tx := range txs {
		if tx.Type != lamppost.TxSegment || skip(i) {
			c.starts = append(c.starts, -1)
			continue
		}
		c.starts = append(c.starts, len(c.which))
		for j := range tx.Items {
			c.which = append(c.which, c.claim(network, tx.Items[j].Report, keyOf))
		}
	}
	from := 0
	for i, to := range c.ends {
		c.items[i].Msg = c.signed[from:to]
		from = to
	}
	c.good = slices.Grow(c.good[:0], len(c.items))[:len(c.items)]
	if len(c.items) == 0 {
		return
	}
	sig.VerifyAll(runtime.GOMAXPROCS(0), c.items, c.good)
}

// claim puts a report's signature among those to check, if there is a key. A half-aggregate is one check already.
func (c *Signatures) claim(network string, raw []byte, keyOf func(*lamppost.Report) *sig.PublicKey) int32 {
	r := &c.report
	if r.Decode(raw) != nil || r.Halved() {
		return -1
	}
	key := keyOf(r)
	if key == nil {
		return -1
	}
	c.signed = r.AppendToBeSigned(c.signed, network)
	c.ends = append(c.ends, len(c.signed))
	c.items = append(c.items, sig.Item{Key: key, Sig: r.Signature()})
	return int32(len(c.items) - 1)
}

// Verify checks the signatures of all segments of the block that was begun, those excepted that the caller checked and
// those that are taken on a gateway's word. It changes nothing that is decided, only how long it takes.
func (s *State) Verify(txs []*lamppost.Transaction, checked func(i int) bool) {
	s.block = &s.own
	s.own.Check(s.net.Network, txs, func(i int) bool { return checked(i) || s.trusts(&txs[i].Header) }, s.ownKey)
}

// Verified is Verify where somebody else has found c, for just these transactions. c is used until the next Begin.
func (s *State) Verified(c *Signatures) { s.block = c }

// ownKey returns the key of the report's device, if that signs by itself and the key counts.
func (s *State) ownKey(r *lamppost.Report) *sig.PublicKey {
	d := s.devices[r.Device]
	if d == nil {
		return nil
	}
	how, key := prove(d.under(r.KeyEpoch, s.time), r, "", nil)
	if how != byOwnKey {
		return nil
	}
	return key
}
