//go:build unix

package ingest_test

import (
	"context"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/ingest"
)

// What an honest report costs in CPU time of the whole process, from Submit to the reply, alone and beside a device that floods
// with forged reports as fast as it is let. One op is an honest report; there are 50 honest devices.
func BenchmarkFlood(b *testing.B) {
	for _, name := range []string{"without", "with"} {
		b.Run(name, func(b *testing.B) {
			f := newFleet(51, func(*ingest.Config) {})
			ctx, stop := context.WithCancel(context.Background())
			var all sync.WaitGroup
			all.Go(func() { f.in.Run(ctx) })
			var honest, forged tally
			began := cpu(b)
			if name == "with" {
				all.Go(func() { f.flood(ctx, &forged) })
			}
			b.ResetTimer()
			f.report(b, b.N/50+1, 0, &honest)
			for want := 50 * (b.N/50 + 1); honest.of(lamppost.CodeOK) < want; {
				time.Sleep(time.Millisecond)
			}
			b.StopTimer()
			used := cpu(b) - began
			stop()
			all.Wait()
			b.ReportMetric(float64(used.Nanoseconds())/float64(honest.of(lamppost.CodeOK)), "cpu-ns/report")
			b.ReportMetric(float64(value(f.metrics.Searches)), "searches")
			b.ReportMetric(float64(forged.of(lamppost.CodeBadSignature)), "forged-checked")
		})
	}
}

// cpu is the time that this process has computed.
func cpu(b *testing.B) time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
