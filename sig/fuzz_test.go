package sig_test

import (
	"bytes"
	"crypto/sha256"
	"math/big"
	"testing"

	"github.com/lamppost/lamppost/sig"
)

// FuzzVerify: no key, message or signature makes a check panic, and batches, alone and among good items, decide as single
// checks do; Ed25519 and ES256 also as their references do. Ed25519 keys skip the enrolment rule to reach more of the equation.
func FuzzVerify(f *testing.F) {
	for _, suite := range usable() {
		item := goodItem(f, suite, 1)
		f.Add(int8(suite), item.Key.Bytes(), item.Msg, item.Sig)
	}
	for _, c := range edgeCases() {
		f.Add(int8(c.suite), c.public, c.message, c.signature)
	}
	for _, c := range readVectors(f, "es256.txt") {
		f.Add(int8(c.suite), c.public, c.message, c.signature)
	}
	good := manyItems(f, 6)
	var v sig.Verifier
	f.Fuzz(func(t *testing.T, suite int8, public, msg, signature []byte) {
		key, err := sig.ParsePublicKey(sig.Suite(suite), public)
		if sig.Suite(suite) == sig.EdDSA {
			key, err = sig.DecodeZIP215(public)
		}
		if err != nil {
			return
		}
		item := sig.Item{Key: key, Msg: msg, Sig: signature}
		valid := key.Verify(msg, signature)
		if sig.Suite(suite) == sig.EdDSA && valid != reference(public, msg, signature) {
			t.Fatalf("got %t, the reference says otherwise", valid)
		}
		if digest := sha256.Sum256(msg); sig.Suite(suite) == sig.ES256 && valid != checkES256(t, key.Bytes(), digest[:], signature) {
			t.Fatalf("got %t, the reference says otherwise", valid)
		}
		checkBatch(t, &v, []sig.Item{item, item, item, item, item}, 1)
		checkBatch(t, &v, append([]sig.Item{item}, good...), 1)
	})
}

// FuzzES256: whatever u1 and u2 a signature leads to, whoever's key it is, and however it is changed then, sig without and
// with a table, alone and in a batch, decides as crypto/ecdsa does; and what is not changed is valid, unless u1·G + u2·Q
// is infinity. From way 128 on, d chooses not the key but an x of the sum that is at least n.
func FuzzES256(f *testing.F) {
	n := orderP256().Bytes()
	minus := new(big.Int).Sub(orderP256(), big.NewInt(1)).Bytes()
	f.Add([]byte{3}, []byte{5}, []byte{7}, byte(0), uint16(0))
	f.Add([]byte{1}, []byte{9}, []byte{9}, byte(0), uint16(0))
	f.Add([]byte{1}, minus, []byte{1}, byte(0), uint16(0))
	f.Add(minus, []byte{}, minus, byte(1), uint16(200))
	f.Add([]byte{7}, n, bytes.Repeat([]byte{255}, 32), byte(2), uint16(100))
	for way := range byte(es256Ways) {
		f.Add(hashed("d").Bytes(), hashed("u1").Bytes(), hashed("u2").Bytes(), way, uint16(300))
	}
	f.Add([]byte{1}, hashed("u1").Bytes(), hashed("u2").Bytes(), byte(128+3), uint16(0))
	f.Fuzz(func(t *testing.T, d, u1, u2 []byte, way byte, bit uint16) {
		scalar := func(b []byte, least int64) *big.Int {
			k := new(big.Int).SetBytes(b[:min(len(b), 40)])
			k.Mod(k, orderP256())
			if k.Sign() == 0 {
				k.SetInt64(least)
			}
			return k
		}
		key := scalar(d, 1)
		forge := forgeES256{scalar(u1, 0), scalar(u2, 1)}
		public, digest, signature := forge.byKey(key)
		sum := new(big.Int).Mul(forge.u2, key)
		infinity := sum.Mod(sum.Add(sum, forge.u1), orderP256()).Sign() == 0
		if way >= 128 {
			beyond := new(big.Int).Rsh(key, 131) // p - n has 127 bits
			R, _ := firstPoint(beyond.Add(beyond, orderP256()))
			public, digest, signature = forge.byPoint(R)
			infinity = false
		}
		if valid := checkES256(t, public, digest, signature); valid == infinity {
			t.Fatalf("key %x, digest %x, signature %x: valid %t", public, digest, signature, valid)
		}
		digest, signature = spoilES256(digest, signature, way, int(bit))
		checkES256(t, public, digest, signature)
	})
}

const es256Ways = 6

// spoilES256 changes a signature, or what it signs, in the way-th manner. Not every way makes it invalid.
func spoilES256(digest, signature []byte, way byte, bit int) ([]byte, []byte) {
	n := orderP256()
	r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
	switch way % es256Ways {
	case 0:
		return digest, flip(signature, bit%512)
	case 1:
		return flip(digest, bit%256), signature
	case 2:
		s.Sub(n, s)
	case 3:
		r.Add(r, n)
	case 4:
		s.Add(s, big.NewInt(int64(bit)-1<<15))
	case 5:
		r, s = s, r
	}
	wide := func(k *big.Int) []byte {
		return k.Mod(k, new(big.Int).Lsh(big.NewInt(1), 256)).FillBytes(make([]byte, 32))
	}
	return digest, append(wide(r), wide(s)...)
}

// FuzzBatch: however keys and suites repeat and wherever forgeries stand, a batch decides as single checks do, and it
// refuses exactly what was changed. A byte is an item: the upper half chooses it, the lower how it is spoiled, if at all;
// the way after the last changes the given bit of its signature.
func FuzzBatch(f *testing.F) {
	pool := manyItems(f, 10)
	for n := range uint64(4) {
		pool = append(pool, goodItem(f, sig.ES256, n))
	}
	pool = append(pool, goodItem(f, sig.HMAC256, 0), goodItem(f, sig.HMAC256, 1))
	f.Add([]byte{}, uint16(0))
	f.Add(bytes.Repeat([]byte{0x00, 0x10, 0x20}, 16), uint16(0))
	f.Add(append(bytes.Repeat([]byte{0x10}, 40), 0x13, 0x20, 0x23), uint16(0))
	f.Add(bytes.Repeat([]byte{0x03, 0x13, 0x22, 0x31}, 12), uint16(0))
	f.Add(bytes.Repeat([]byte{0xa0, 0xb8, 0x08, 0xe8, 0xd2}, 9), uint16(511))
	var v sig.Verifier
	f.Fuzz(func(t *testing.T, script []byte, bit uint16) {
		script = script[:min(len(script), 48)]
		items := make([]sig.Item, len(script))
		for i, b := range script {
			item := pool[b>>4]
			way := int(b & 15)
			items[i] = spoil(item, way)
			if way == spoilWays {
				items[i].Sig = flip(item.Sig, int(bit)%(8*len(item.Sig)))
			}
		}
		checkBatch(t, &v, items, 1)
		ok := make([]bool, len(items))
		v.Verify(items, ok)
		for i, valid := range ok {
			if way := int(script[i] & 15); valid != (way == 0 || way > spoilWays) {
				t.Fatalf("item %d, way %d, bit %d: valid %t", i, way, bit, valid)
			}
		}
	})
}

// FuzzHalfAggregate: no bytes make it panic, sig and the reference decide alike whatever the keys, messages and bytes are,
// and of all half-aggregates of the same parts only the one that was made holds.
func FuzzHalfAggregate(f *testing.F) {
	parts := partsOf(manyItems(f, 3))
	made := combineAny(parts)
	f.Add(parts[1].public, parts[1].message, made)
	f.Add(parts[0].public, parts[0].message, combineAny([]part{parts[0], parts[0], parts[2]}))
	for bit := 0; bit < 8*len(made); bit += 37 {
		f.Add(parts[1].public, parts[1].message, flip(made, bit))
	}
	for _, c := range edgeCases() {
		if _, err := sig.DecodeZIP215(c.public); err == nil && len(c.signature) == 64 && c.valid {
			f.Add(c.public, c.message, combineAny([]part{parts[0], {c.public, c.message, c.signature}, parts[2]}))
		}
	}
	f.Fuzz(func(t *testing.T, public, msg, aggregate []byte) {
		key, err := sig.DecodeZIP215(public)
		if err != nil {
			return
		}
		// The key and message stand between two good ones, and may be the first once more.
		list := []part{parts[0], {public: public, message: msg}, parts[2]}
		signed, _ := signedOf(list)
		got := new(sig.Verifier).VerifyAggregate(signed, aggregate)
		if want := referenceAggregate(list, aggregate); got != want {
			t.Fatalf("got %t, the reference says %t", got, want)
		}
		ours := bytes.Equal(public, parts[1].public) && bytes.Equal(msg, parts[1].message)
		if got && ours && !bytes.Equal(aggregate, made) {
			t.Fatalf("a second aggregate of the same parts holds: %x", aggregate)
		}
		if got && key.Equal(testKey(t, sig.EdDSA, 0).Public()) && !bytes.Equal(msg, parts[0].message) {
			t.Fatalf("a message that nobody signed: %x", msg)
		}
	})
}
