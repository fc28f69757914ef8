package sig_test

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"fmt"
	"math/big"
	"testing"

	"github.com/lamppost/lamppost/sig"
)

// BenchmarkES256 is one check in each of the ways there are, beside the standard library's.
func BenchmarkES256(b *testing.B) {
	item := goodItem(b, sig.ES256, 1)
	std := stdKey(b, item.Key.Bytes())
	digest := sig.Digested{Digest: sha256.Sum256(item.Msg), Sig: item.Sig}
	b.Run("std", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if !ecdsa.Verify(std, digest.Digest[:], new(big.Int).SetBytes(item.Sig[:32]), new(big.Int).SetBytes(item.Sig[32:])) {
				b.Fatal("refused")
			}
		}
	})
	for _, tabled := range []bool{false, true} {
		b.Run(fmt.Sprintf("table=%t", tabled), func(b *testing.B) {
			b.ReportAllocs()
			forged := digest // which earns no table, and costs as much
			forged.Key, forged.Sig = fresh(b, item).Key, flip(item.Sig, 3)
			if tabled {
				sig.GiveTable(forged.Key)
			}
			for b.Loop() {
				if sig.VerifyDigest(forged) {
					b.Fatal("accepted")
				}
			}
		})
	}
	b.Run("making a table", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			sig.GiveTable(item.Key)
		}
	})
}

// BenchmarkES256Keys is a check in a batch where so many keys take turns: until their tables leave the processor's caches,
// and until there are more keys than tables.
func BenchmarkES256Keys(b *testing.B) {
	for _, keys := range []int{16, 700, 5000, 20000, 100000} {
		b.Run(fmt.Sprintf("keys=%d", keys), func(b *testing.B) {
			items := manyES256(b, max(keys, 1024), keys)
			var v sig.Verifier
			ok := make([]bool, len(items))
			for range sig.CombAfter {
				v.Verify(items, ok)
			}
			b.ReportAllocs()
			for b.Loop() {
				if v.Verify(items, ok) != len(items) {
					b.Fatal("refused")
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(len(items)), "µs/item")
		})
	}
}
