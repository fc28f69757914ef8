package judge_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/judge"
	"github.com/lamppost/lamppost/internal/kv"
)

// BenchmarkReport is the cost of a report of 100 devices that have seen 1,200, by quantities.
func BenchmarkReport(b *testing.B) {
	for _, n := range []int{1, 2, 8} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			const devices, before = 100, 1200
			c, j, random := newChain(b), judge.New(judge.Config{Records: kv.NewMem()}), rand.New(rand.NewPCG(1, 1))
			next := func(i int) *judge.Block {
				for d := range devices {
					var all []lamppost.Reading
					for k := range n {
						all = append(all, named(begin+lamppost.TimeMS(i)*minute, fmt.Sprint("q", k), math.Sin(float64(i*(k+1))/50)+random.NormFloat64()))
					}
					c.report(lamppost.DeviceID(fmt.Sprint("d", d)), all...)
				}
				block := c.block()
				c.blocks = c.blocks[:0]
				return block
			}
			for i := range before {
				j.Next(next(i))
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				b.StopTimer()
				block := next(before + i)
				b.StartTimer()
				j.Next(block)
				i++
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/devices, "us/report")
		})
	}
}
