package measure_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/lamppost/lamppost/internal/measure"
)

// TestVerify: every row that the documents speak of is measured, with the bytes that a signature takes, and every
// verdict is right (a wrong one is an error). The figures themselves are not judged: the machine may be busy.
func TestVerify(t *testing.T) {
	cores := runtime.GOMAXPROCS(0)
	var told []int64
	res, err := measure.Verify(t.Context(), measure.VerifyOptions{
		For: time.Nanosecond, Sizes: []int{8, 64},
		Progress: func(done, all int64, what string) { told = append(told, done) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOMAXPROCS(0) != cores || res.Cores != 1 {
		t.Errorf("%d cores afterwards, want %d; measured on %d", runtime.GOMAXPROCS(0), cores, res.Cores)
	}
	var got []string
	for _, r := range res.Rows {
		got = append(got, fmt.Sprintf("%s %s n=%d keys=%d bad=%d %.1f", r.Suite, r.Mode, r.N, r.Keys, r.Bad, r.BytesPerSig))
		if r.USPerSig <= 0 || r.USPerSig > 1e6 {
			t.Errorf("%s: %v µs", got[len(got)-1], r.USPerSig)
		}
	}
	for _, want := range []string{
		"ed25519 std n=64 keys=64 bad=0 64.0", "ed25519 single n=64 keys=64 bad=0 64.0",
		"es256 std n=64 keys=64 bad=0 64.0", "es256 single n=64 keys=64 bad=0 64.0",
		"es256 first n=256 keys=256 bad=0 64.0", "es256 batch n=64 keys=64 bad=0 64.0", "es256 batch n=64 keys=16 bad=0 64.0",
		"hmac-sha256 single n=64 keys=64 bad=0 32.0",
		"ed25519 batch n=8 keys=8 bad=0 64.0", "ed25519 batch n=64 keys=64 bad=0 64.0", "ed25519 batch n=64 keys=16 bad=0 64.0",
		"ed25519 halfagg n=8 keys=8 bad=0 36.0", "ed25519 halfagg n=64 keys=64 bad=0 32.5", "ed25519 halfagg n=64 keys=16 bad=0 32.5",
		"ed25519 batch n=64 keys=64 bad=1 64.0", "ed25519 batch n=64 keys=16 bad=1 64.0", "ed25519 batch n=64 keys=64 bad=64 64.0",
		"mixed std n=1000 keys=1000 bad=0 57.6", "mixed single n=1000 keys=1000 bad=0 57.6", "mixed batch n=1000 keys=1000 bad=0 57.6",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("no row %q in %q", want, got)
		}
	}
	if len(told) != len(res.Rows) {
		t.Errorf("told of %d rows, measured %d", len(told), len(res.Rows))
	}
}

// TestVerifyEnds: it ends with its context.
func TestVerifyEnds(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := measure.Verify(ctx, measure.VerifyOptions{For: time.Hour}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want it to be cancelled", err)
	}
}
