package sig_test

import (
	"bytes"
	"crypto/elliptic"
	"encoding/binary"
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/lamppost/lamppost/sig"
	"pgregory.net/rapid"
)

// usable are the suites that work.
func usable() []sig.Suite { return []sig.Suite{sig.EdDSA, sig.ES256, sig.HMAC256} }

// testKey returns the n-th key of a suite, the same at every run.
func testKey(t testing.TB, suite sig.Suite, n uint64) *sig.PrivateKey {
	t.Helper()
	seed := [32]byte{31: 1}
	binary.BigEndian.PutUint64(seed[8:], n)
	k, err := sig.GenerateKey(suite, rand.NewChaCha8(seed))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func mustSign(t testing.TB, k *sig.PrivateKey, msg []byte) []byte {
	t.Helper()
	s, err := k.Sign(msg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// goodItem returns a valid signature of a 200-byte message by the suite's n-th key.
func goodItem(t testing.TB, suite sig.Suite, n uint64) sig.Item {
	t.Helper()
	k := testKey(t, suite, n)
	msg := binary.BigEndian.AppendUint64(make([]byte, 192), n)
	return sig.Item{Key: k.Public(), Msg: msg, Sig: mustSign(t, k, msg)}
}

// TestRoundTrip: what a key signs, its parsed public key accepts, and no neighbour of it: any bit of signature or message
// changed is refused.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		suite := rapid.SampledFrom(usable()).Draw(r, "suite")
		k := testKey(t, suite, rapid.Uint64().Draw(r, "key"))
		msg := rapid.SliceOfN(rapid.Byte(), 1, 300).Draw(r, "msg")
		s := mustSign(t, k, msg)
		public, err := sig.ParsePublicKey(suite, k.Public().Bytes())
		if err != nil {
			r.Fatal(err)
		}
		if !public.Equal(k.Public()) || !public.Verify(msg, s) {
			r.Fatalf("%s: own signature %x of %x refused", suite, s, msg)
		}
		if again := mustSign(t, k, msg); !bytes.Equal(again, s) {
			r.Fatalf("%s: signed twice: %x, then %x", suite, s, again)
		}
		bit := rapid.IntRange(0, 8*len(s)-1).Draw(r, "bit of signature")
		if public.Verify(msg, flip(s, bit)) {
			r.Fatalf("%s: accepted with bit %d of the signature changed", suite, bit)
		}
		bit = rapid.IntRange(0, 8*len(msg)-1).Draw(r, "bit of message")
		if public.Verify(flip(msg, bit), s) {
			r.Fatalf("%s: accepted with bit %d of the message changed", suite, bit)
		}
	})
}

// TestSeed: a key made again from its seed is the same key, and the caller's bytes are not kept.
func TestSeed(t *testing.T) {
	t.Parallel()
	for _, suite := range usable() {
		k := testKey(t, suite, 1)
		seed := k.Seed()
		again, err := sig.NewPrivateKey(suite, seed)
		if err != nil {
			t.Fatal(err)
		}
		clear(seed)
		clear(k.Public().Bytes())
		if !again.Public().Equal(k.Public()) || bytes.Equal(again.Seed(), seed) {
			t.Errorf("%s: seed %x gave public key %v, want %v", suite, k.Seed(), again.Public(), k.Public())
		}
	}
}

// TestHighS: of the two signatures (r, s) and (r, n-s) that ECDSA accepts, exactly the one with s <= n/2 is valid here.
func TestHighS(t *testing.T) {
	t.Parallel()
	n := elliptic.P256().Params().N
	half := new(big.Int).Rsh(n, 1)
	if got := new(big.Int).SetBytes([]byte(sig.ES256HalfOrder)); got.Cmp(half) != 0 {
		t.Fatalf("half order %x, want %x", got, half)
	}
	for i := range uint64(50) {
		item := goodItem(t, sig.ES256, i)
		s := new(big.Int).SetBytes(item.Sig[32:])
		if s.Cmp(half) > 0 {
			t.Fatalf("signed with high s %x", s)
		}
		high := append(bytes.Clone(item.Sig[:32]), s.Sub(n, s).FillBytes(make([]byte, 32))...)
		if !item.Key.Verify(item.Msg, item.Sig) || item.Key.Verify(item.Msg, high) {
			t.Fatalf("signature %x must be valid, %x must not", item.Sig, high)
		}
	}
}

// TestES256Keys: both SEC 1 forms are one key whose bytes are the compressed form; other strings are refused.
func TestES256Keys(t *testing.T) {
	t.Parallel()
	for i := range uint64(20) {
		short := testKey(t, sig.ES256, i).Public().Bytes()
		x, y := elliptic.UnmarshalCompressed(elliptic.P256(), short)
		full := append(append([]byte{4}, short[1:]...), y.FillBytes(make([]byte, 32))...)
		k, err := sig.ParsePublicKey(sig.ES256, full)
		if err != nil || !bytes.Equal(k.Bytes(), short) {
			t.Fatalf("%x: got %v, %v, want %x", full, k, err, short)
		}
		hybrid := append([]byte{6 | full[64]&1}, full[1:]...)
		p := elliptic.P256().Params().P
		refused := [][]byte{
			nil, {0}, hybrid, full[:64], short[:32], append(bytes.Clone(short), 0), flip(full, 8*64),
			append([]byte{short[0]}, p.FillBytes(make([]byte, 32))...),
			append([]byte{5}, short[1:]...),
		}
		if wide := new(big.Int).Add(x, p); wide.BitLen() <= 256 {
			refused = append(refused, append([]byte{short[0]}, wide.FillBytes(make([]byte, 32))...))
		}
		for _, raw := range refused {
			if k, err := sig.ParsePublicKey(sig.ES256, raw); err == nil {
				t.Errorf("%x: parsed as %v, want an error", raw, k)
			}
		}
	}
}

// TestPrivateKeysRefused: a P-256 scalar out of range and seeds of other lengths make no key, and a broken generator
// ends in an error instead of a loop.
func TestPrivateKeysRefused(t *testing.T) {
	t.Parallel()
	n := elliptic.P256().Params().N.FillBytes(make([]byte, 32))
	ones := bytes.Repeat([]byte{255}, 32)
	for _, seed := range [][]byte{make([]byte, 32), n, ones} {
		if _, err := sig.NewPrivateKey(sig.ES256, seed); err == nil {
			t.Errorf("es256: seed %x accepted", seed)
		}
	}
	for _, suite := range usable() {
		for _, size := range []int{0, 31, 33, 64} {
			if _, err := sig.NewPrivateKey(suite, bytes.Repeat([]byte{1}, size)); err == nil {
				t.Errorf("%s: seed of %d bytes accepted", suite, size)
			}
		}
		if _, err := sig.GenerateKey(suite, strings.NewReader("short")); err == nil {
			t.Errorf("%s: generated from 5 bytes", suite)
		}
	}
	if _, err := sig.GenerateKey(sig.ES256, bytes.NewReader(bytes.Repeat(ones, 100))); err == nil {
		t.Error("es256: generated from ones only")
	}
	if a, b := mustGenerate(t), mustGenerate(t); a.Public().Equal(b.Public()) {
		t.Error("two keys from the system's generator are equal")
	}
}

func mustGenerate(t *testing.T) *sig.PrivateKey {
	t.Helper()
	k, err := sig.GenerateKey(sig.EdDSA, nil)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestSuites: names read back, numbers are COSE's, and the reserved suite is known by name but does nothing.
func TestSuites(t *testing.T) {
	t.Parallel()
	for name, number := range map[string]int{"ed25519": -8, "es256": -7, "hmac-sha256": 5, "ml-dsa-44": -48} {
		s, err := sig.ParseSuite(name)
		if err != nil || int(s) != number || s.String() != name {
			t.Errorf("%q: got %v (%d), %v, want %d", name, s, int(s), err, number)
		}
	}
	if s, err := sig.ParseSuite("rsa"); err == nil {
		t.Errorf("rsa: parsed as %v", s)
	}
	for suite, want := range map[sig.Suite]string{sig.MLDSA44: "reserved", 0: "unknown", 7: "unknown"} {
		_, errPublic := sig.ParsePublicKey(suite, make([]byte, 32))
		_, errPrivate := sig.NewPrivateKey(suite, make([]byte, 32))
		_, errGenerate := sig.GenerateKey(suite, nil)
		for _, err := range []error{errPublic, errPrivate, errGenerate} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got error %v, want one that says %q", suite, err, want)
			}
		}
	}
}

// TestSecretsStayOut: no way of printing a key shows a seed or an HMAC secret.
func TestSecretsStayOut(t *testing.T) {
	t.Parallel()
	for _, suite := range usable() {
		k := testKey(t, suite, 1)
		secret := fmt.Sprintf("%x", k.Seed())[:16]
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
			for _, shown := range []string{fmt.Sprintf(verb, k), fmt.Sprintf(verb, k.Public())} {
				if strings.Contains(shown, secret) || strings.Contains(shown, fmt.Sprint(k.Seed()[:8])[1:20]) {
					t.Errorf("%s printed with %s shows its secret: %s", suite, verb, shown)
				}
			}
		}
	}
}
