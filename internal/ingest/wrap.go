package ingest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/sig"
)

// A Submitter takes reports; *Ingest is one.
type Submitter interface {
	Submit(ctx context.Context, from *Origin, raw []byte, token uint64, sink Sink) error
}

// WrapConfig says as whom a Wrapper signs. All fields are required but Known.
type WrapConfig struct {
	Network string
	Key     *sig.PrivateKey // of this gateway
	Store   kv.Store        // of the node's own records
	Submit  Submitter
	BootID  uint32 // changes with every start
	// Known returns the highest number that the ledger has of a device, so that none is used twice after the store was
	// restored from an older copy. Nil: none.
	Known func(lamppost.DeviceID) (lamppost.Seq, error)
}

// A Wrapper makes reports of what devices without a key say: it numbers them, marks them as wrapped and signs them as this
// gateway. Who the device is and whether it may speak is up to the caller.
//
// A number is durable before it is used: the counter on disk runs ahead by up to reserveAhead, and what was reserved and
// not used when the process ended stays a gap, which the ledger takes as such. Safe for concurrent use.
type Wrapper struct {
	cfg  WrapConfig
	mu   sync.Mutex
	nums map[lamppost.DeviceID]*numbers
}

// reserveAhead is how many numbers one write to disk reserves.
const reserveAhead = 256

type numbers struct {
	seq      lamppost.Seq // last used
	reserved uint64       // on disk
}

// NewWrapper returns a Wrapper. It reads a device's counter when the device first speaks.
func NewWrapper(cfg WrapConfig) *Wrapper {
	return &Wrapper{cfg: cfg, nums: map[lamppost.DeviceID]*numbers{}}
}

// Wrap submits readings as a report of a device, with its current key epoch and flags besides FlagWrapped. Times are those
// of the gateway's clock. As with Submit, sink.Done is called once if and only if Wrap returns nil.
func (w *Wrapper) Wrap(ctx context.Context, device lamppost.DeviceID, epoch uint32, readings []lamppost.Reading, flags uint32, token uint64, sink Sink) error {
	seq, err := w.next(device)
	if err != nil {
		return fmt.Errorf("numbering a report of %q: %w", device, err)
	}
	r := lamppost.Report{Device: device, KeyEpoch: epoch, Seq: seq, Flags: flags | lamppost.FlagWrapped,
		TimeQuality: lamppost.TimeSynchronised, BootID: w.cfg.BootID, Readings: readings}
	raw, err := lamppost.SignReport(&r, w.cfg.Network, w.cfg.Key)
	if err != nil {
		return err
	}
	return w.cfg.Submit.Submit(ctx, &Origin{Device: device}, raw, token, sink)
}

// next returns a number that was never used.
func (w *Wrapper) next(device lamppost.DeviceID) (lamppost.Seq, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.nums[device]
	if n == nil {
		var err error
		if n, err = w.load(device); err != nil {
			return lamppost.Seq{}, err
		}
		w.nums[device] = n
	}
	if n.seq.N >= n.reserved {
		if err := w.reserve(device, n.seq, n.seq.N+reserveAhead); err != nil {
			return lamppost.Seq{}, err
		}
		n.reserved = n.seq.N + reserveAhead
	}
	n.seq.N++
	return n.seq, nil
}

func numberKey(device lamppost.DeviceID) []byte { return append([]byte("nW"), device...) }

// load begins after all that may have been used.
func (w *Wrapper) load(device lamppost.DeviceID) (*numbers, error) {
	n := new(numbers)
	switch raw, err := w.cfg.Store.Get(numberKey(device)); {
	case err == nil && len(raw) == 12:
		n.seq = lamppost.Seq{Epoch: binary.BigEndian.Uint32(raw), N: binary.BigEndian.Uint64(raw[4:])}
	case err == nil:
		return nil, fmt.Errorf("its counter has %d bytes, not 12", len(raw))
	case !errors.Is(err, kv.ErrNotFound):
		return nil, err
	}
	if w.cfg.Known != nil {
		known, err := w.cfg.Known(device)
		if err != nil {
			return nil, err
		}
		if known.Epoch > n.seq.Epoch || known.Epoch == n.seq.Epoch && known.N > n.seq.N {
			n.seq = known
		}
	}
	n.reserved = n.seq.N
	return n, nil
}

func (w *Wrapper) reserve(device lamppost.DeviceID, seq lamppost.Seq, upTo uint64) error {
	val := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(nil, seq.Epoch), upTo)
	var b kv.Batch
	b.Set(numberKey(device), val)
	return w.cfg.Store.Apply(&b)
}
