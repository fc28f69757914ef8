package triage_test

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/triage"
	"github.com/lamppost/lamppost/internal/triage/triagetest"
)

// TestContract: each model alone and all together pass the contract.
func TestContract(t *testing.T) {
	t.Parallel()
	t.Run("all", func(t *testing.T) { t.Parallel(); triagetest.Run(t, triage.NewSeries) })
	for name, make := range triage.Alone {
		t.Run(name, func(t *testing.T) { t.Parallel(); triagetest.Run(t, make) })
	}
}

// TestNoAllocation is not parallel, as counting allows it only so.
func TestNoAllocation(t *testing.T) {
	triagetest.NoAllocation(t, triage.NewSeries)
	for _, make := range triage.Alone {
		triagetest.NoAllocation(t, make)
	}
}

// TestReplay: the same readings give the same bits on every machine. The digest was made on amd64; where it is another one, something is
// rounded in another way, see arith.go. A change of models or settings changes it too, and then the version in stateMagic.
func TestReplay(t *testing.T) {
	t.Parallel()
	s, h := triage.NewSeries(), sha256.New()
	x := uint64(1)
	for i := range 6000 {
		x = x*6364136223846793005 + 1442695040888963407
		value := float64(x>>40) / 7
		if i%288 < 100 {
			value /= 3
		}
		v, err := s.Observe(triage.Sample{AtMS: lamppost.TimeMS(i) * 300_000, Value: value})
		if err != nil {
			t.Fatal(err)
		}
		_ = binary.Write(h, binary.LittleEndian, math.Float64bits(v.Score))
	}
	if got, want := fmt.Sprintf("%x", h.Sum(nil)[:8]), "a20fc2cca757c26c"; got != want {
		t.Errorf("scores have the digest %s, want %s", got, want)
	}
}

// FuzzState: no bytes make a state that panics, when it is loaded or later.
func FuzzState(f *testing.F) {
	s := triage.NewSeries()
	for _, x := range triagetest.Street(1, 60) {
		if _, err := s.Observe(x); err != nil {
			f.Fatal(err)
		}
	}
	b, err := s.AppendBinary(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(b[:100])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) { triagetest.Survive(t, triage.NewSeries, b) })
}

// FuzzObserve: whatever readings come, scores are finite, refusals are the known ones, and the state can be restored.
func FuzzObserve(f *testing.F) {
	f.Add([]byte("0123456789abcdef0123456789abcdef"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, at := triage.NewSeries(), int64(0)
		for ; len(b) >= 10; b = b[10:] {
			at += int64(int16(binary.LittleEndian.Uint16(b[8:])))
			v, err := s.Observe(triage.Sample{AtMS: lamppost.TimeMS(at), Value: math.Float64frombits(binary.LittleEndian.Uint64(b))})
			if math.IsNaN(v.Score) || math.IsInf(v.Score, 0) || err != nil && v.Score != 0 {
				t.Fatalf("%+v, %v", v, err)
			}
		}
		state, err := s.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := triage.NewSeries().UnmarshalBinary(state); err != nil {
			t.Fatalf("a state that was saved: %v", err)
		}
	})
}

func BenchmarkObserve(b *testing.B) {
	samples := triagetest.Street(1, 10_000)
	s := triage.NewSeries()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		x := samples[i%len(samples)]
		x.AtMS = lamppost.TimeMS(i) * 300_000
		if _, err := s.Observe(x); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkObserveMany is what a reading costs a node: 4,000 full series take turns, so that none is in the cache.
func BenchmarkObserveMany(b *testing.B) {
	const many = 4000
	samples := triagetest.Street(1, 30_000)
	first := triage.NewSeries()
	for _, x := range samples {
		if _, err := first.Observe(x); err != nil {
			b.Fatal(err)
		}
	}
	state, err := first.AppendBinary(nil)
	if err != nil {
		b.Fatal(err)
	}
	series := make([]*triage.Series, many)
	for i := range series {
		series[i] = triage.NewSeries()
		if err := series[i].UnmarshalBinary(state); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		x := samples[(i/many)%len(samples)]
		x.AtMS = samples[len(samples)-1].AtMS + lamppost.TimeMS(1+i/many)*300_000
		if _, err := series[i%many].Observe(x); err != nil {
			b.Fatal(err)
		}
	}
}
