package lamppost_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/sig"
	"pgregory.net/rapid"
)

// committed is a segment of n reports with an outcome for each.
func committed(t testing.TB, n int) (*lamppost.Transaction, []lamppost.Outcome, lamppost.Hash) {
	t.Helper()
	items := make([]lamppost.SegmentItem, n)
	outcomes := make([]lamppost.Outcome, n)
	for i := range items {
		sum := sha256.Sum256(binary.BigEndian.AppendUint32([]byte("salt"), uint32(i)))
		items[i] = lamppost.SegmentItem{Salt: [16]byte(sum[:16]), Received: lamppost.TimeMS(1000 + i), Report: []byte{byte(i), byte(i >> 8), 7}}
		if i%5 == 3 {
			outcomes[i] = lamppost.Outcome{Code: lamppost.CodeDuplicate, Data: []byte{0, 0, 0, 0, 0, 0, 0, byte(i)}}
		}
	}
	key := want(sig.NewPrivateKey(sig.EdDSA, bytes.Repeat([]byte{7}, sig.SeedSize)))(t)
	tx := want(lamppost.NewSegment("net", lamppost.Seq{Epoch: 1, N: 1}, 0, items, "north", key, lamppost.Seed{1, 2, 3}))(t)
	return tx, outcomes, sha256.Sum256([]byte("writes"))
}

func outcomesRoot(tx *lamppost.Transaction, outcomes []lamppost.Outcome) lamppost.Hash {
	hashes := make([]lamppost.Hash, len(outcomes))
	for i := range outcomes {
		hashes[i] = lamppost.OutcomeHash(tx.OutcomeSalt(i), outcomes[i].Append(nil))
	}
	return lamppost.MerkleRoot(hashes)
}

// Goal: whatever is taken out of a segment, at once or in steps, it leads to the same leaf of the log, every report that
// stays is proven by the same paths as before, and it is encoded in one way only.
func TestThinSegment(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.SampledFrom([]int{1, 2, 3, 5, 8, 13, 64, 100}).Draw(rt, "n")
		tx, outcomes, writes := committed(t, n)
		keep := rapid.SliceOfN(rapid.Bool(), n, n).Draw(rt, "keep")
		first := rapid.SliceOfN(rapid.Bool(), n, n).Draw(rt, "first")
		thin := lamppost.Thin(tx, outcomes, writes, func(i int) bool { return keep[i] })
		steps := lamppost.Thin(tx, outcomes, writes, func(i int) bool { return keep[i] || first[i] }).
			Thin(func(k *lamppost.KeptReport) bool { return keep[k.Index] })
		raw := thin.Append(nil)
		if !bytes.Equal(raw, steps.Append(nil)) {
			rt.Fatalf("in two steps %x, at once %x", steps.Append(nil), raw)
		}
		back, err := lamppost.ParseThinSegment(raw)
		if err != nil {
			rt.Fatal(err)
		}
		if !bytes.Equal(back.Append(nil), raw) || back.BodyDigest() != tx.BodyDigest() {
			rt.Fatalf("read back: %x", back.Append(nil))
		}
		root := outcomesRoot(tx, outcomes)
		if digest, ok := back.ResultDigest(); ok && digest != lamppost.ResultDigest(root, writes) {
			rt.Fatal("the result digest is another one")
		}
		if n := len(back.Kept); n > 0 && back.OutcomesRoot() != root {
			rt.Fatal("the outcomes' root is another one")
		}
		for i := range n {
			k, ok := back.Find(uint32(i))
			if ok != keep[i] {
				rt.Fatalf("report %d is there: %v, want %v", i, ok, keep[i])
			}
			if !ok {
				continue
			}
			if err := lamppost.CheckMerklePath(k.LeafHash(), i, n, back.Path(uint32(i)), tx.Header.Root); err != nil {
				rt.Fatalf("report %d: %v", i, err)
			}
			if !bytes.Equal(k.Report, tx.Items[i].Report) || !bytes.Equal(k.Outcome, outcomes[i].Append(nil)) {
				rt.Fatalf("report %d: %x with outcome %x", i, k.Report, k.Outcome)
			}
		}
	})
}

// BenchmarkThin goes over a full segment of which nothing is taken out, as packing does with every segment.
func BenchmarkThin(b *testing.B) {
	tx, outcomes, writes := committed(b, 1024)
	for b.Loop() {
		lamppost.Thin(tx, outcomes, writes, func(int) bool { return true })
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1024, "ns/report")
}

// What was taken out is gone: neither its bytes nor its salt nor the transaction's seed, from which all salts of digests come,
// are in what is left.
func TestThinSegmentForgets(t *testing.T) {
	t.Parallel()
	tx, outcomes, writes := committed(t, 9)
	raw := lamppost.Thin(tx, outcomes, writes, func(i int) bool { return i != 4 }).Append(nil)
	writesSalt := tx.Seed.Salt(lamppost.SaltWrites)
	for name, secret := range map[string][]byte{"report": tx.Items[4].Report, "salt": tx.Items[4].Salt[:], "seed": tx.Seed[:], "salt of the writes": writesSalt[:]} {
		if bytes.Contains(raw, secret) {
			t.Errorf("the %s is still there", name)
		}
	}
}

// Any change of a byte of a thin segment is refused, or shows in what it leads to.
func TestThinSegmentMutations(t *testing.T) {
	t.Parallel()
	tx, outcomes, writes := committed(t, 11)
	good := lamppost.Thin(tx, outcomes, writes, func(i int) bool { return i%3 == 0 })
	raw := good.Append(nil)
	body := good.BodyDigest()
	result, _ := good.ResultDigest()
	key := want(sig.NewPrivateKey(sig.EdDSA, bytes.Repeat([]byte{7}, sig.SeedSize)))(t).Public()
	for i := range raw {
		bad := bytes.Clone(raw)
		bad[i] ^= 1 << (i % 8)
		back, err := lamppost.ParseThinSegment(bad)
		if err != nil {
			continue
		}
		if got, _ := back.ResultDigest(); got == result && back.BodyDigest() == body {
			t.Errorf("byte %d changed, and nothing shows", i)
		}
	}
	s := want(lamppost.ParseSigned(good.Signed))(t)
	if !s.Verify("net", lamppost.PurposeSegment, key) {
		t.Error("the header's signature does not hold")
	}
}
