package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/device"
	"github.com/lamppost/lamppost/internal/node"
	"github.com/lamppost/lamppost/internal/notify"
	"github.com/lamppost/lamppost/sig"
)

// A node tells its webhooks of what it finds and of the answer, and notify test says what came back. (It sets the environment.)
func TestNotify(t *testing.T) {
	came := make(chan notify.Message, 16)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var m notify.Message
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			t.Error(err)
		}
		came <- m
	}))
	defer hook.Close()
	dir := t.TempDir()
	secret := filepath.Join(dir, "hook.secret")
	if err := os.WriteFile(secret, []byte("0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	begin, started := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC), time.Now()
	n, err := node.Open(node.Config{Data: dir, Network: "house", HTTP: "127.0.0.1:0", MQTT: "127.0.0.1:0", NoFsync: true, Publish: 10 * time.Millisecond,
		Now: func() time.Time { return begin.Add(time.Since(started)) }, Notify: notify.Config{Webhooks: []notify.Webhook{{URL: hook.URL, Secret: secret}}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	t.Setenv("LAMPPOST_URL", n.URL())
	t.Setenv("LAMPPOST_TOKEN", "")
	verb := func(args ...string) []string { return append(args, "--data", dir) }
	next := func(event string) notify.Message {
		t.Helper()
		for {
			select {
			case m := <-came:
				if m.Event == event {
					return m
				}
			case <-time.After(20 * time.Second):
				t.Fatalf("no message %q came", event)
			}
		}
	}
	says(t, verb("notify", "test"), hook.URL+": took it (200)")
	next("test")
	says(t, verb("party", "add", "landlord"))
	token := enrol(t, n, verb)
	says(t, verb("point", "add", "flat-3", "--device", "meter-3", "--place", "Flat 3"))
	key, err := sig.NewPrivateKey(sig.EdDSA, bytes.Repeat([]byte{7}, sig.SeedSize))
	if err != nil {
		t.Fatal(err)
	}
	from := lamppost.TimeMS(begin.Add(-36 * time.Hour).UnixMilli())
	fallen := steps(from, 64, 1)[:1]
	fallen[0].Value = lamppost.Dec(41_000, 0)
	for i, readings := range [][]lamppost.Reading{steps(from, 0, 64), fallen} {
		raw, err := lamppost.SignReport(&lamppost.Report{Device: "meter-3", KeyEpoch: 1, Seq: lamppost.Seq{Epoch: 1, N: uint64(i + 1)}, TimeQuality: lamppost.TimeSynchronised,
			Readings: readings}, "house", key)
		if err != nil {
			t.Fatal(err)
		}
		if ack, err := device.NewHTTP(n.URL(), "meter-3", token, nil).Send(t.Context(), raw); err != nil || ack.Code != lamppost.CodeOK {
			t.Fatalf("%+v, %v", ack, err)
		}
	}
	m := next("alarm")
	if m.Device != "meter-3" || m.Code != "rolled_back" || !m.Suspends || len(m.Why) == 0 {
		t.Errorf("told of %+v", m)
	}
	says(t, verb("verdict", "review", m.Verdict.String(), "valid", "--reason", "the meter was exchanged"))
	if m := next("resolved"); m.Because != "valid" || m.Code != "rolled_back" {
		t.Errorf("told of the answer %+v", m)
	}
}
