package replica

import (
	"bytes"
	"slices"
	"sync"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/sig"
)

// maxForeseen bounds the blocks that are read ahead of their turn: those an engine has on their way, and one that came to nothing.
const maxForeseen = 4

// foresight holds what was read of blocks that are not decided yet.
type foresight struct {
	mu     sync.Mutex
	blocks []*foreseen // the oldest first
	spare  []*ledger.Signatures
}

// A foreseen block is read by a goroutine of its own.
type foreseen struct {
	txs   [][]byte
	found *ledger.Signatures
	known []incoming
	ready chan struct{} // closed when found and known are there
}

// Foresee implements consensus.Foreseer: it reads a block's transactions and checks their signatures while the engine makes the
// block durable and agrees on it. Apply waits for what was found, and looks again where a key has changed since.
func (r *Replica) Foresee(txs [][]byte) {
	network, full := r.keys.checks()
	if !full {
		return // before the founding, or where a gateway's word may count
	}
	f := &foreseen{txs: txs, ready: make(chan struct{})}
	if !r.ahead.add(f) {
		return
	}
	now := r.Last().Time
	go func() { // ends by itself; it reads nothing but keys
		defer close(f.ready)
		f.known = make([]incoming, len(txs), len(txs)+1)
		parsed := make([]*lamppost.Transaction, len(txs))
		for i, raw := range txs {
			f.known[i] = r.read(raw, network)
			parsed[i] = f.known[i].tx
		}
		f.found.Check(network, parsed, func(i int) bool { return f.known[i].checked },
			func(rep *lamppost.Report) *sig.PublicKey { return r.keys.of(rep, now) })
	}()
}

// add takes a block, unless it is there already. The oldest that is read makes room.
func (a *foresight) add(f *foreseen) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if slices.ContainsFunc(a.blocks, func(o *foreseen) bool { return sameTxs(o.txs, f.txs) }) {
		return false
	}
	if len(a.blocks) == maxForeseen {
		select {
		case <-a.blocks[0].ready:
			a.spare = append(a.spare, a.blocks[0].found)
			a.blocks = slices.Delete(a.blocks, 0, 1)
		default:
			return false
		}
	}
	f.found = new(ledger.Signatures)
	if n := len(a.spare); n > 0 {
		f.found, a.spare = a.spare[n-1], a.spare[:n-1]
	}
	a.blocks = append(a.blocks, f)
	return true
}

// take returns what was foreseen of a block, or nil. Its found is given back by done.
func (a *foresight) take(txs [][]byte) *foreseen {
	a.mu.Lock()
	i := slices.IndexFunc(a.blocks, func(f *foreseen) bool { return sameTxs(f.txs, txs) })
	if i < 0 {
		a.mu.Unlock()
		return nil
	}
	f := a.blocks[i]
	a.blocks = slices.Delete(a.blocks, i, i+1)
	a.mu.Unlock()
	<-f.ready
	return f
}

func (a *foresight) done(f *foreseen) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.spare = append(a.spare, f.found)
}

func sameTxs(a, b [][]byte) bool { return slices.EqualFunc(a, b, bytes.Equal) }

// checks says for which network reports are signed, and whether every replica checks all of them.
func (k *keyring) checks() (network string, full bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.network, k.network != "" && k.policy == lamppost.VerifyFull
}

// of returns the key of a report's device, if that signs by itself and the key counts at a time.
func (k *keyring) of(r *lamppost.Report, now lamppost.TimeMS) *sig.PublicKey {
	k.mu.RLock()
	v := k.byID[r.Device].Under(r.KeyEpoch, now)
	k.mu.RUnlock()
	if v == nil || v.Assurance != lamppost.DeviceSigned || v.Key == nil || v.Key.Suite() != r.Suite() || r.Wrapped() {
		return nil
	}
	return v.Key
}
