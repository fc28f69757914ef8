package sig_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"fmt"
	"math/big"
	"slices"
	"testing"

	"filippo.io/nistec"
	"github.com/lamppost/lamppost/sig"
	"pgregory.net/rapid"
)

// referenceES256 decides an ES256 signature of a digest by the rule of the package comment, with crypto/ecdsa.
func referenceES256(t fataler, public, digest, signature []byte) bool {
	key := stdKey(t, public)
	if len(signature) != 64 || bytes.Compare(signature[32:], []byte(sig.ES256HalfOrder)) > 0 {
		return false
	}
	return ecdsa.Verify(key, digest, new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:]))
}

// stdKey reads a compressed point as the standard library does.
func stdKey(t fataler, public []byte) *ecdsa.PublicKey {
	x, y := elliptic.UnmarshalCompressed(elliptic.P256(), public)
	if x == nil {
		t.Fatalf("key %x: not a point", public)
	}
	full := slices.Concat([]byte{4}, x.FillBytes(make([]byte, 32)), y.FillBytes(make([]byte, 32)))
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), full)
	if err != nil {
		t.Fatalf("key %x: %v", public, err)
	}
	return key
}

type fataler interface{ Fatalf(string, ...any) }

// checkES256: without and with a table of the key, alone, in a batch, at its seams, and by the reference, one verdict.
func checkES256(t fataler, public, digest, signature []byte) bool {
	plain, err := sig.ParsePublicKey(sig.ES256, public)
	if err != nil {
		t.Fatalf("%v", err)
	}
	tabled, _ := sig.ParsePublicKey(sig.ES256, public)
	sig.GiveTable(tabled)
	want := referenceES256(t, public, digest, signature)
	good := goodDigest()
	a := sig.Digested{Key: plain, Digest: [32]byte(digest), Sig: signature}
	b := sig.Digested{Key: tabled, Digest: [32]byte(digest), Sig: signature}
	if got := sig.VerifyDigest(b); got != want {
		t.Fatalf("key %x, digest %x, signature %x: with a table %t, the reference says %t", public, digest, signature, got, want)
	}
	if got := sig.VerifyDigest(a); got != want {
		t.Fatalf("key %x, digest %x, signature %x: without a table %t, the reference says %t", public, digest, signature, got, want)
	}
	if got := sig.VerifyDigests([]sig.Digested{a, good, b, good, a}); !slices.Equal(got, []bool{want, true, want, true, want}) {
		t.Fatalf("key %x, digest %x, signature %x: in a batch %v, the reference says %t", public, digest, signature, got, want)
	}
	return want
}

// goodDigest returns a valid signature by the key 3.
func goodDigest() sig.Digested {
	public, digest, signature := forgeES256{u1: big.NewInt(5), u2: big.NewInt(7)}.byKey(big.NewInt(3))
	key, err := sig.ParsePublicKey(sig.ES256, public)
	if err != nil {
		panic(err)
	}
	return sig.Digested{Key: key, Digest: [32]byte(digest), Sig: signature}
}

// TestES256Agrees: on what keys sign, and on everything near it, sig and crypto/ecdsa agree.
func TestES256Agrees(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		k := testKey(t, sig.ES256, rapid.Uint64().Draw(r, "key"))
		digest := sha256.Sum256([]byte("lamp"))
		signature := mustSign(t, k, []byte("lamp"))
		public := k.Public().Bytes()
		if !checkES256(r, public, digest[:], signature) {
			r.Fatalf("signature %x refused", signature)
		}
		for range 3 {
			switch bit := rapid.IntRange(0, 255).Draw(r, "bit"); rapid.IntRange(0, 2).Draw(r, "where") {
			case 0:
				signature = flip(signature, bit)
			case 1:
				signature = flip(signature, 256+bit)
			default:
				digest = [32]byte(flip(digest[:], bit))
			}
			checkES256(r, public, digest[:], signature)
		}
	})
}

// TestComb: k·Q by a table is k·Q, for scalars at the borders of rows and columns too.
func TestComb(t *testing.T) {
	t.Parallel()
	n := orderP256()
	scalars := []*big.Int{big.NewInt(1), big.NewInt(2), big.NewInt(3), new(big.Int).Rsh(n, 1)}
	for bit := uint(36); bit < 256; bit += 1 + bit%3 {
		scalars = append(scalars, new(big.Int).Lsh(big.NewInt(1), bit), new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), bit), big.NewInt(1)))
	}
	for i := range 50 {
		scalars = append(scalars, hashed(fmt.Sprint(i)))
	}
	for _, q := range []*nistec.P256Point{timesG(big.NewInt(1)), timesG(big.NewInt(-1)), timesG(big.NewInt(2)), timesG(hashed("comb"))} {
		mul := sig.Comb(q)
		for _, k := range scalars {
			for _, k := range []*big.Int{k, new(big.Int).Sub(n, k)} {
				want, err := nistec.NewP256Point().ScalarMult(q, k.FillBytes(make([]byte, 32)))
				if err != nil {
					t.Fatal(err)
				}
				if got := mul(k); got.Equal(want) != 1 {
					t.Fatalf("%x · %x = %x, want %x", k, q.Bytes(), got.Bytes(), want.Bytes())
				}
			}
		}
	}
}
