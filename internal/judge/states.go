package judge

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/klauspost/compress/zstd"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
)

// States are what verdicts can be replayed from, compressed, among the node's own records:
//
//	nEm <hash, 32>  keptState
//	nEs <hash, 32>  the state as Replay takes it: zstd
//
// They go with the erasure of a device they are about, when they are old, and the oldest when there is no room. One goroutine uses them, but
// for [State].
type States struct {
	all   []keptState // the oldest first
	bytes int64
	most  int64
	enc   *zstd.Encoder
}

// keptState is about one state.
type keptState struct {
	Hash    lamppost.Hash
	Devices []lamppost.DeviceID // whose readings are in it
	Time    lamppost.TimeMS     // of the block of its verdict
	Bytes   int64
}

// Limits of states.
const (
	MaxStatesBytes = 256 << 20
	MaxStateAge    = 400 * 24 * 3600 * 1000 // ms
	maxStateBytes  = 4 << 20                // uncompressed
)

var statePrefix = []byte("nE")

func stateKey(kind byte, h lamppost.Hash) []byte {
	return append(append(bytes.Clone(statePrefix), kind), h[:]...)
}

// OpenStates reads which states there are.
func OpenStates(r kv.Reader) (*States, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	s := &States{most: MaxStatesBytes, enc: enc}
	err = r.Scan(append(bytes.Clone(statePrefix), 'm'), append(bytes.Clone(statePrefix), 'm'+1), func(_, val []byte) error {
		var k keptState
		if err := lamppost.Unmarshal(val, &k); err != nil {
			return err
		}
		s.all, s.bytes = append(s.all, k), s.bytes+k.Bytes
		return nil
	})
	slices.SortStableFunc(s.all, func(a, b keptState) int { return int(a.Time - b.Time) })
	return s, err
}

// Keep stages the state of a verdict found in a block of a time.
func (s *States) Keep(b *kv.Batch, f *Found, at lamppost.TimeMS) {
	if slices.ContainsFunc(s.all, func(k keptState) bool { return k.Hash == f.Verdict.State }) {
		return
	}
	small := s.enc.EncodeAll(f.State, nil)
	k := keptState{Hash: f.Verdict.State, Devices: devicesIn(f), Time: at, Bytes: int64(len(small))}
	b.Set(stateKey('m', k.Hash), lamppost.Marshal(k))
	b.Set(stateKey('s', k.Hash), small)
	s.all, s.bytes = append(s.all, k), s.bytes+k.Bytes
	for len(s.all) > 1 && (s.bytes > s.most || s.all[0].Time < at-MaxStateAge) {
		s.drop(b, 0)
	}
}

func devicesIn(f *Found) []lamppost.DeviceID {
	var s saved
	if lamppost.Unmarshal(f.State, &s) != nil || s.Meters == nil {
		return []lamppost.DeviceID{f.Device}
	}
	var all []lamppost.DeviceID
	for i := range s.Meters.Members {
		all = append(all, s.Meters.Members[i].Device)
	}
	return all
}

func (s *States) drop(b *kv.Batch, i int) {
	b.Delete(stateKey('m', s.all[i].Hash))
	b.Delete(stateKey('s', s.all[i].Hash))
	s.bytes -= s.all[i].Bytes
	s.all = slices.Delete(s.all, i, i+1)
}

// Erase stages that nothing of a device is kept.
func (s *States) Erase(b *kv.Batch, id lamppost.DeviceID) {
	for i := len(s.all) - 1; i >= 0; i-- {
		if slices.Contains(s.all[i].Devices, id) {
			s.drop(b, i)
		}
	}
}

// ErrNoState is returned for a state that is not kept, or not any more.
var ErrNoState = errors.New("the state is not kept here: it was erased, is too old, or its verdict was found before this node judged")

// State returns what a verdict can be replayed from, or ErrNoState.
func State(r kv.Reader, h lamppost.Hash) ([]byte, error) {
	small, err := r.Get(stateKey('s', h))
	if errors.Is(err, kv.ErrNotFound) {
		return nil, ErrNoState
	}
	if err != nil {
		return nil, err
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxStateBytes))
	if err != nil {
		return nil, err
	}
	defer dec.Close()
	state, err := dec.DecodeAll(small, nil)
	if err != nil {
		return nil, fmt.Errorf("reading a kept state: %w", err)
	}
	return state, nil
}

// ForgetStates stages that none is kept.
func ForgetStates(b *kv.Batch) { b.DeleteRange(statePrefix, []byte("nF")) }
