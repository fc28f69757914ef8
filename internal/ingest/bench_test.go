package ingest_test

import (
	"runtime"
	"sync"
	"testing"

	"github.com/lamppost/lamppost/internal/ingest"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/kv/pebble"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
)

// A counter is a sink that only counts.
type counter struct{ all *sync.WaitGroup }

func (c counter) Done(uint64, ingest.Reply) { c.all.Done() }

// The whole pipeline in one process, from Submit to the reply: one op is a report of one reading. Reports are signed
// before the clock starts.
func BenchmarkPipeline(b *testing.B) {
	for name, open := range map[string]func() kv.Store{
		"mem": func() kv.Store { return kv.NewMem() },
		"pebble": func() kv.Store {
			db, err := pebble.Open(b.TempDir(), pebble.Options{})
			if err != nil {
				b.Fatal(err)
			}
			return db
		},
	} {
		b.Run(name, func(b *testing.B) {
			store := open()
			defer store.Close()
			n := newNode(b, store, 100, nil)
			reports := make([][]byte, b.N)
			for i := range reports {
				d := n.devs[i%100]
				reports[i] = d.Report(uint64(i/100+1), ledgertest.Power(now, int64(i)))
			}
			n.start(b)
			var all sync.WaitGroup
			all.Add(b.N)
			counted := ingest.Origins{Tallies: true}
			origins := make([]*ingest.Origin, 100)
			for i := range origins {
				origins[i] = counted.Of(n.devs[i].ID)
			}
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			b.ResetTimer()
			for i, raw := range reports {
				if err := n.in.Submit(b.Context(), origins[i%100], raw, uint64(i), counter{&all}); err != nil {
					b.Fatal(err)
				}
			}
			all.Wait()
			b.StopTimer()
			runtime.ReadMemStats(&after)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "reports/s")
			b.ReportMetric(float64(after.Mallocs-before.Mallocs)/float64(b.N), "allocs/report")
			n.stop()
		})
	}
}
