package joint_test

import (
	"fmt"
	"syscall"
	"testing"

	"github.com/lamppost/lamppost"
)

// BenchmarkObserve also says how much memory a vector takes, and the time of the processor, which other work does not change much.
func BenchmarkObserve(b *testing.B) {
	for _, n := range []int{2, 4, 16, 44, 64} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			v, rows := vector(b, n), plant(1, n, 2000)
			b.ReportAllocs()
			k, before := 0, cpuUS(b)
			for b.Loop() {
				k++
				if _, err := v.Observe(lamppost.TimeMS(k), rows[k%len(rows)], all(n)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric((cpuUS(b)-before)/float64(k), "cpu-us/op")
			b.ReportMetric(float64(v.Bytes()), "bytes")
			b.ReportMetric(float64(len(save(b, v))), "saved")
		})
	}
}

func cpuUS(b *testing.B) float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e3
}
