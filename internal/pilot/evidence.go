package pilot

import (
	"encoding/binary"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
)

// Evidence is what a decision is replayed from, and what its outcome was computed from, among the node's own records:
//
//	nAe <device> 0 <at, 8>   Evidence: zstd
type Evidence struct {
	Inputs []byte `cbor:"1,keyasint" json:"inputs"`         // agent.Inputs, as committed to
	Data   []byte `cbor:"2,keyasint,omitempty" json:"data"` // Data, as committed to; none while the decision holds
	Start  Book   `cbor:"3,keyasint" json:"start"`
}

const (
	prefix           = "nAe"
	maxEvidenceBytes = 1 << 20 // uncompressed
)

func evidenceKey(id lamppost.DeviceID, at lamppost.TimeMS) []byte {
	return binary.BigEndian.AppendUint64(append([]byte(prefix+string(id)), 0), uint64(at))
}

// keep makes durable what decisions are replayed from, before they are ordered, and lets go what is old.
func (p *Pilot) keep(part []due) error {
	p.mu.Lock()
	defer p.mu.Unlock() // an erasure comes before or after
	var b kv.Batch
	for i := range part {
		x := &part[i]
		id := x.body.Device
		if _, gone := p.erased[id]; gone {
			continue
		}
		p.put(&b, id, x.body.At, &Evidence{Inputs: x.inputs, Start: x.end})
		r, last := x.m.run, x.body.At
		if r != nil {
			last = r.body.At // what was decided before a long stop can be explained until the second decision after it
		}
		b.DeleteRange(evidenceKey(id, 0), evidenceKey(id, max(0, last-keptFor)))
		if r != nil && x.data != nil {
			p.put(&b, id, r.body.At, &Evidence{Inputs: r.inputs.Encode(), Start: r.data.Start, Data: x.data})
		}
	}
	return p.cfg.Records.Apply(&b)
}

func (p *Pilot) put(b *kv.Batch, id lamppost.DeviceID, at lamppost.TimeMS, e *Evidence) {
	b.Set(evidenceKey(id, at), p.enc.EncodeAll(lamppost.Marshal(e), nil))
}

// ReadEvidence returns what a decision is replayed from, or kv.ErrNotFound: another node made it, or it is old or erased.
func ReadEvidence(r kv.Reader, d *lamppost.Decision) (Evidence, error) {
	return readEvidence(r, d.Device, d.At)
}

func readEvidence(r kv.Reader, id lamppost.DeviceID, at lamppost.TimeMS) (e Evidence, err error) {
	raw, err := r.Get(evidenceKey(id, at))
	if err != nil {
		return e, err
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxEvidenceBytes))
	if err != nil {
		return e, err
	}
	defer dec.Close()
	if raw, err = dec.DecodeAll(raw, nil); err == nil {
		err = lamppost.Unmarshal(raw, &e)
	}
	if err != nil {
		err = fmt.Errorf("what a decision of %q was made from is damaged: %w", id, err)
	}
	return e, err
}

// Erase forgets what decisions of devices were made from before a time, and what was observed of these devices. It holds for the device that is erased and for all whose agents observe it.
func (p *Pilot) Erase(ids []lamppost.DeviceID, before lamppost.TimeMS) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var b kv.Batch
	for _, x := range ids {
		p.erased[x] = max(p.erased[x], before)
		b.DeleteRange(evidenceKey(x, 0), evidenceKey(x, before+1))
		if err := p.eraseFeeds(&b, x, before); err != nil {
			return err
		}
	}
	return p.cfg.Records.Apply(&b)
}
