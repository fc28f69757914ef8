package cli

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/lamppost/lamppost/device"
	"github.com/lamppost/lamppost/internal/gateway"
	"github.com/lamppost/lamppost/sig"
)

var shownToken = regexp.MustCompile(`shown this once: ([0-9a-f]{32})`)

// A device's keys from the first to the last: by itself, revoked, set by the operator; each verb says what it did and what
// to do next. (Like the others it reads the environment, so it does not run in parallel.)
func TestDeviceKeyVerbs(t *testing.T) {
	dir := t.TempDir()
	n := startNode(t, dir, "2026-12-01T12:00:00Z")
	t.Setenv("LAMPPOST_URL", n.URL())
	t.Setenv("LAMPPOST_TOKEN", "")
	verb := func(args ...string) []string { return append(args, "--data", dir) }
	says(t, verb("party", "add", "city"), "registered")
	token := shownToken.FindStringSubmatch(says(t, verb("device", "add", "lamp-7", "--owner", "city"), "Token"))[1]
	fails(t, verb("device", "keys", "lamp-7"), "not_found")
	home := t.TempDir()
	key, err := device.LoadOrCreateKey(home, sig.EdDSA)
	if err != nil {
		t.Fatal(err)
	}
	in, err := device.Enrol(t.Context(), device.Enrolment{URL: n.URL(), Device: "lamp-7", Token: token, Key: key, Dir: home})
	if err != nil {
		t.Fatal(err)
	}
	d, err := device.Open(device.Config{Network: in.Network, ID: "lamp-7", Key: key, KeyEpoch: in.KeyEpoch, Dir: home,
		Sender: device.NewHTTP(n.URL(), "lamp-7", token, nil)})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	says(t, verb("device", "keys", "lamp-7"), "1 ed25519", "enrolled", "in use")
	if err := d.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	says(t, verb("device", "keys", "lamp-7"), "2 ed25519", "rotated by the device in use", "enrolled replaced; counts until 2026-12-31")
	fails(t, verb("device", "revoke", "lamp-7"), `"reason" not set`)
	fails(t, verb("device", "revoke", "lamp-7", "--reason", "x", "--yes", "--epoch", "7"), "not 7 yet")
	if out := says(t, verb("device", "revoke", "lamp-7", "--reason", "copied", "--yes", "--epoch", "1"), "Key 1 of device lamp-7 and all before it are revoked (block"); strings.Contains(out, "token") {
		t.Errorf("the key in use stays, and yet: %s", out)
	}
	says(t, verb("device", "keys", "lamp-7"), "rotated by the device in use", "enrolled revoked 2026-12-01", ": copied")
	says(t, verb("device", "revoke", "lamp-7", "--reason", "stolen", "--yes", "--yes"), "Key 2 of device lamp-7 and all before it are revoked",
		"until it has another key: lamppost device token lamp-7")
	fails(t, verb("device", "revoke", "lamp-7", "--reason", "again", "--yes"), "is revoked")
	if err := d.Rotate(t.Context()); err == nil || !strings.Contains(err.Error(), "lamppost device token lamp-7") {
		t.Errorf("a device with a revoked key: %v", err)
	}
	token = shownToken.FindStringSubmatch(says(t, verb("device", "rotate", "lamp-7"), "shown this once"))[1]
	if _, err := device.Enrol(t.Context(), device.Enrolment{URL: n.URL(), Device: "lamp-7", Token: token, Key: otherKey(t)}); err != nil {
		t.Fatal(err)
	}
	says(t, verb("device", "keys", "lamp-7"), "set by node1, without the consent of the key before in use", "revoked 2026-12-01", ": stolen")
	says(t, append(verb("device", "keys", "lamp-7"), "--json"), `"how": "set"`)
}

func otherKey(t *testing.T) *sig.PrivateKey {
	t.Helper()
	key, err := sig.NewPrivateKey(sig.EdDSA, bytes.Repeat([]byte{9}, sig.SeedSize))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// The same for a gateway, at the node and on site.
func TestGatewayKeyVerbs(t *testing.T) {
	dir, site := t.TempDir(), t.TempDir()
	n := startNode(t, dir, "2026-12-01T12:00:00Z")
	t.Setenv("LAMPPOST_URL", n.URL())
	t.Setenv("LAMPPOST_TOKEN", "")
	verb := func(args ...string) []string { return append(args, "--data", dir) }
	says(t, verb("gateway", "list"), "No gateways yet")
	token := shownToken.FindStringSubmatch(says(t, verb("gateway", "add", "cellar"), "may start"))[1]
	says(t, verb("gateway", "list"), "cellar", "announced, has not started")
	fails(t, []string{"gateway", "rotate", "--data", site}, "data folder of a gateway?")
	g, err := gateway.Open(t.Context(), gateway.Config{Data: site, Upstream: n.URL(), ID: "cellar", Token: token, HTTP: "127.0.0.1:0", MQTT: "off", NoFsync: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	says(t, verb("gateway", "list"), "cellar node1 0 registered")
	says(t, []string{"gateway", "rotate", "--data", site}, "signs with key 1 from now on")
	says(t, []string{"gateway", "status", "--data", site}, "Key: 1", "Gateway: cellar of network house")
	says(t, verb("gateway", "keys", "cellar"), "rotated by the gateway in use", "enrolled replaced; counts until")
	says(t, verb("gateway", "revoke", "cellar", "--reason", "stolen", "--yes"), "Key 1 of gateway cellar", "lamppost gateway add cellar", "lamppost gateway rotate")
	says(t, verb("gateway", "list"), "revoked: stolen")
	fails(t, []string{"gateway", "rotate", "--data", site}, "was revoked", "lamppost gateway add cellar")
	t.Setenv("LAMPPOST_GATEWAY_TOKEN", shownToken.FindStringSubmatch(says(t, verb("gateway", "add", "cellar"), "may start"))[1])
	says(t, []string{"gateway", "rotate", "--data", site}, "signs with key 2 from now on")
	says(t, verb("gateway", "keys", "cellar"), "set by node1, without the consent of the key before in use")
	if err := os.WriteFile(filepath.Join(site, "admin.token"), []byte("0123456789abcdef0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	fails(t, []string{"gateway", "rotate", "--data", site}, "401", "admin.token")
}

// What cannot be taken back is asked about, and only a yes is one.
func TestAsk(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]bool{"y\n": true, "Yes\n": true, "yes": true, "n\n": false, "\n": false, "": false, "yellow\n": false} {
		var out strings.Builder
		err := ask(strings.NewReader(answer), &out, "This ends it.")
		if (err == nil) != want || out.String() != "This ends it. Go on? [y/N] " {
			t.Errorf("%q: %v after %q", answer, err, out.String())
		}
	}
	if err := ask(broken{}, io.Discard, "This ends it."); err == nil {
		t.Error("what cannot be read is a yes")
	}
	if isTerminal(strings.NewReader("")) {
		t.Error("a reader is taken for a terminal")
	}
	if null, err := os.Open(os.DevNull); err != nil || isTerminal(null) {
		t.Errorf("nothing is taken for a terminal (%v)", err)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrClosedPipe }
