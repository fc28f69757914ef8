package ledger

import (
	"runtime"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/sig"
)

// A block's signatures are checked together before its transactions are applied: many small segments cost as little as a
// few large ones. A transaction of the block may change a key, so what was found counts only if the key that it was found
// with is still the one to check with when the segment's turn comes; otherwise the signature is checked again.

// A blockChecker holds what was found of a block's signatures. It keeps its memory from one block to the next.
type blockChecker struct {
	report lamppost.Report
	signed []byte // what the reports sign, one after the other
	ends   []int  // by item, in signed
	items  []sig.Item
	good   []bool
	which  []int32 // by report of all segments: its item, or -1
	starts []int   // by transaction: where its reports begin in which, or -1
}

func (c *blockChecker) reset() {
	c.signed, c.ends, c.items, c.which, c.starts = c.signed[:0], c.ends[:0], c.items[:0], c.which[:0], c.starts[:0]
}

// of returns what was found of a report of a transaction if it was made with a key.
func (c *blockChecker) of(tx uint32, report int, key *sig.PublicKey) (good, known bool) {
	if int(tx) >= len(c.starts) || c.starts[tx] < 0 {
		return false, false
	}
	item := c.which[c.starts[tx]+report]
	if item < 0 || c.items[item].Key != key {
		return false, false
	}
	return c.good[item], true
}

// Verify checks the signatures of all segments of the block that was begun, those excepted that the caller checked and
// those that are taken on a gateway's word. It changes nothing that is decided, only how long it takes.
func (s *State) Verify(txs []*lamppost.Transaction, checked func(i int) bool) {
	c := &s.block
	c.reset()
	for i, tx := range txs {
		if tx.Type != lamppost.TxSegment || checked(i) || s.trusts(&tx.Header) {
			c.starts = append(c.starts, -1)
			continue
		}
		c.starts = append(c.starts, len(c.which))
		for j := range tx.Items {
			c.which = append(c.which, s.claim(tx.Items[j].Report))
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

// claim puts a report's signature among those to check, if its device signs by itself and the key counts. A half-aggregate is
// one check already.
func (s *State) claim(raw []byte) int32 {
	c := &s.block
	r := &c.report
	if r.Decode(raw) != nil || r.Halved() {
		return -1
	}
	d := s.devices[r.Device]
	if d == nil {
		return -1
	}
	how, key := prove(d.under(r.KeyEpoch, s.time), r, "", nil)
	if how != byOwnKey {
		return -1
	}
	c.signed = r.AppendToBeSigned(c.signed, s.network)
	c.ends = append(c.ends, len(c.signed))
	c.items = append(c.items, sig.Item{Key: key, Sig: r.Signature()})
	return int32(len(c.items) - 1)
}
