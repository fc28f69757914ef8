package sig_test

import (
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
