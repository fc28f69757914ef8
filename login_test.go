package lamppost_test

import (
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/sig"
)

// A login is good for its device, key, epoch and network, and for nothing else; and nothing else is a login.
func TestLogin(t *testing.T) {
	t.Parallel()
	for _, suite := range []sig.Suite{sig.EdDSA, sig.ES256} {
		key, other := keyOf(t, suite, "lamp-17"), keyOf(t, suite, "lamp-18")
		word, err := lamppost.Login("net", "lamp-17", 3, key)
		if err != nil {
			t.Fatal(err)
		}
		if epoch, ok := lamppost.LoginEpoch(word); !ok || epoch != 3 {
			t.Errorf("%s: epoch %d, %t", suite, epoch, ok)
		}
		if !lamppost.CheckLogin(word, "net", "lamp-17", 3, key.Public()) {
			t.Errorf("%s: the device's own login is refused", suite)
		}
		change := lamppost.KeyChange{ID: "lamp-17", Epoch: 3, Next: 4, Suite: suite, Key: other.Public().Bytes()}
		consent := want(change.Sign("net", lamppost.PurposeDeviceKey, key))(t)
		for what, ok := range map[string]bool{
			"another network": lamppost.CheckLogin(word, "other", "lamp-17", 3, key.Public()),
			"another device":  lamppost.CheckLogin(word, "net", "lamp-18", 3, key.Public()),
			"another epoch":   lamppost.CheckLogin(word, "net", "lamp-17", 4, key.Public()),
			"another key":     lamppost.CheckLogin(word, "net", "lamp-17", 3, other.Public()),
			"a changed byte":  lamppost.CheckLogin(strings.Replace(word, word[20:21], "_", 1), "net", "lamp-17", 3, key.Public()),
			"a change of key": lamppost.CheckLogin(string(consent), "net", "lamp-17", 3, key.Public()),
		} {
			if ok {
				t.Errorf("%s: a login is good for %s", suite, what)
			}
		}
	}
	if _, err := lamppost.Login("net", "fan", 1, keyOf(t, sig.HMAC256, "fan")); err == nil {
		t.Error("a device with a shared key logs in by it")
	}
	for _, text := range []string{"", "token", strings.Repeat("A", 5000)} {
		if _, ok := lamppost.LoginEpoch(text); ok {
			t.Errorf("%.10q is taken for a login", text)
		}
	}
}
