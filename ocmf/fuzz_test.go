package ocmf_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/lamppost/lamppost/ocmf"
)

// FuzzParse protects the parser: it never panics, refuses by name, and what it accepts keeps its bytes and its limits.
func FuzzParse(f *testing.F) {
	for _, v := range allVectors(f) {
		f.Add(v.record)
	}
	v := own(f, "a session in one record, ECDSA-secp256k1-SHA256")
	_, key := v.read(f)
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ocmf.Parse(text)
		if err != nil {
			rule(err)
			return
		}
		if !strings.HasPrefix(text, "OCMF|"+r.Signed()+"|") {
			t.Fatalf("signed %q is not what stands in %q", r.Signed(), text)
		}
		if n := len(r.Readings); n == 0 || n > ocmf.MaxRecordReadings {
			t.Fatalf("%d readings", n)
		}
		if r.Verify(key) == nil && text != v.record && r.Signed() != session {
			t.Fatalf("%q verifies", text)
		}
		if s, err := ocmf.NewSession(key, "", r); err == nil && s.Energy.Mantissa < 0 {
			t.Fatalf("energy %s", s.Energy)
		}
	})
}

// FuzzPublicKey protects the reader of keys: it never panics, and a key it accepts is written as one that it reads again.
func FuzzPublicKey(f *testing.F) {
	for _, v := range allVectors(f) {
		f.Add(v.key)
	}
	f.Fuzz(func(t *testing.T, text string) {
		key, err := ocmf.ParsePublicKeyText(text)
		if err != nil {
			rule(err)
			return
		}
		again, err := ocmf.ParsePublicKey(key.DER())
		if err != nil || !bytes.Equal(again.DER(), key.DER()) || again.Curve() != key.Curve() {
			t.Fatalf("key %q: %x is not read again: %v", text, key.DER(), err)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	for _, m := range algorithms {
		v := own(b, "a session in one record, "+m.algorithm)
		r, key := v.read(b)
		b.Run(m.algorithm, func(b *testing.B) {
			for b.Loop() {
				if err := r.Verify(key); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
