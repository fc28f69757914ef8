//go:build !small

package comet_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

// BenchmarkPropose proposes to four members in one process, each with its own files and a durable write per block beside
// comet's. An iteration is one proposal; latencies are from Propose to its answer.
func BenchmarkPropose(b *testing.B) {
	for _, c := range []struct{ callers, bytes int }{{1, 200}, {64, 200}, {512, 200}, {8, 64 << 10}, {64, 64 << 10}, {8, 256 << 10}, {32, 256 << 10}} {
		b.Run(fmt.Sprintf("callers=%d/bytes=%d", c.callers, c.bytes), func(b *testing.B) { propose(b, c.callers, c.bytes) })
	}
}

func propose(b *testing.B, callers, size int) {
	all := seats(b, 4)
	for _, s := range all {
		file, err := os.Create(filepath.Join(s.cfg.Dir, "app"))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { file.Close() })
		s.app.save = func(block []byte) error {
			if _, err := file.WriteAt(block, 0); err != nil {
				return err
			}
			return file.Sync()
		}
		s.app.light, s.cfg.ProposeTimeout, s.cfg.VoteTimeout = true, 0, 0
		s.start()
	}
	all[0].must("first")
	var mu sync.Mutex
	var took []time.Duration
	todo := make(chan int)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), uint64(b.N)))
			for range todo {
				tx := make([]byte, size)
				for j := range tx {
					tx[j] = byte(rng.Uint32())
				}
				start := time.Now()
				if _, err := all[i%4].engine.Propose(context.Background(), idOf(tx), tx); err != nil {
					b.Error(err)
				}
				mu.Lock()
				took = append(took, time.Since(start))
				mu.Unlock()
			}
		})
	}
	b.SetBytes(int64(size))
	b.ResetTimer()
	for i := range b.N {
		todo <- i
	}
	close(todo)
	wg.Wait()
	b.StopTimer()
	slices.Sort(took)
	at := func(share float64) float64 {
		return float64(took[int(share*float64(len(took)-1))].Microseconds()) / 1000
	}
	b.ReportMetric(at(0.5), "p50-ms")
	b.ReportMetric(at(0.99), "p99-ms")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tx/s")
	for _, s := range all {
		s.stop()
	}
}
