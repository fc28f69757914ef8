//go:build unix

package voucher_test

import (
	"syscall"
	"testing"

	"github.com/lamppost/lamppost"
)

// cpu is what this process has used, in nanoseconds.
func cpu(b *testing.B) int64 {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return used.Utime.Nano() + used.Stime.Nano()
}

// BenchmarkVerify is what a payee's processor has to do for a payment, without its disk: CPU time, because others disturb the clock.
func BenchmarkVerify(b *testing.B) {
	w, _ := pair(b)
	raw, err := w.Pay(1, step)
	if err != nil {
		b.Fatal(err)
	}
	key, terms, before := testKey(b, 7).Public(), testTerms(b), cpu(b)
	for b.Loop() {
		var v lamppost.Voucher
		if err := v.Decode(raw); err != nil || terms.Channel.Breach(&v) != "" || !v.Verify("testnet", key) {
			b.Fatal("refused")
		}
	}
	b.ReportMetric(float64(cpu(b)-before)/float64(b.N), "cpu-ns/op")
}

// BenchmarkMake is what a payer's has to do.
func BenchmarkMake(b *testing.B) {
	v := lamppost.Voucher{Channel: "ch-1", Payee: "lamp-1", Amount: step, Until: 1000}
	key, before := testKey(b, 7), cpu(b)
	for b.Loop() {
		v.N, v.Amount = v.N+1, v.Amount+step
		if _, err := v.Sign("testnet", key); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(cpu(b)-before)/float64(b.N), "cpu-ns/op")
}
