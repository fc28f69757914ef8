package sig_test

import (
	"bytes"
	"testing"

	"github.com/lamppost/lamppost/sig"
)

// FuzzVerify: no key, message or signature makes a check panic, and batches, alone and among good items, decide as single
// checks do; Ed25519 also as the reference does. Ed25519 keys skip the enrolment rule to reach more of the equation.
func FuzzVerify(f *testing.F) {
	for _, suite := range usable() {
		item := goodItem(f, suite, 1)
		f.Add(int8(suite), item.Key.Bytes(), item.Msg, item.Sig)
	}
	for _, c := range edgeCases() {
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
		checkBatch(t, &v, []sig.Item{item, item, item, item, item}, 1)
		checkBatch(t, &v, append([]sig.Item{item}, good...), 1)
	})
}

// FuzzBatch: however keys repeat and wherever forgeries stand, a batch decides as single checks do. A byte is an item: the
// upper half chooses its key, the lower how it is spoiled, if at all.
func FuzzBatch(f *testing.F) {
	pool := manyItems(f, 16)
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{0x00, 0x10, 0x20}, 16))
	f.Add(append(bytes.Repeat([]byte{0x10}, 40), 0x13, 0x20, 0x23))
	f.Add(bytes.Repeat([]byte{0x03, 0x13, 0x22, 0x31}, 12))
	var v sig.Verifier
	f.Fuzz(func(t *testing.T, script []byte) {
		script = script[:min(len(script), 48)]
		items := make([]sig.Item, len(script))
		for i, b := range script {
			items[i] = spoil(pool[b>>4], int(b&15))
		}
		checkBatch(t, &v, items, 1)
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
