package api_test

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/sig"
)

// Readers and the commit path do not disturb each other: run with -race. At the end every report was counted once, as
// often as the block events said.
func TestReadersBesideCommits(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.settle()
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for _, path := range []string{"/api/status", "/api/devices", "/api/devices/meter", "/api/devices/meter/series?name=energy", "/api/log?limit=5"} {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				req := httptest.NewRequest("GET", path, nil)
				req.Header.Set("Authorization", "Bearer "+adminToken)
				w := httptest.NewRecorder()
				h.handler.ServeHTTP(w, req)
				if w.Code != http.StatusOK && w.Code != http.StatusNotFound {
					t.Errorf("%s: %d %s", path, w.Code, w.Body)
				}
			}
		})
	}
	const blocks = 100
	for i := range blocks {
		h.clock.Add(1000)
		h.submit(h.report("meter", 0, energy(h.now(), int64(i)), power(h.now(), float64(i))))
	}
	close(stop)
	readers.Wait()
	if got := h.live.Totals(int64(h.now())); got.Reports != blocks || got.Readings != 2*blocks || got.KWh != "0.099" {
		t.Errorf("totals %+v", got)
	}
}

// A device that asks twice at once enrols once, and both are told so.
func TestEnrolTwiceAtOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.ok(201, "POST", "/api/parties", `{"id":"owner"}`, nil)
	for i := range 20 {
		id := lamppost.DeviceID(fmt.Sprint("lamp-", i))
		h.ok(201, "POST", "/api/devices", api.NewDevice{ID: id, Owner: "owner"}, nil)
		key := deviceKey(t, id).Public().Bytes()
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() {
				if epoch, err := h.devices.Enrol(context.Background(), id, api.NewKey{Suite: sig.EdDSA, Key: key}); err != nil || epoch != 1 {
					t.Errorf("%s: epoch %d, %v", id, epoch, err)
				}
			})
		}
		both.Wait()
	}
}

// A certificate that TLS verified lets in the device of its common name, and nobody else.
func TestCertificates(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.ok(201, "POST", "/api/parties", `{"id":"owner"}`, nil)
	h.ok(201, "POST", "/api/devices", `{"id":"lamp","owner":"owner"}`, nil)
	cert := func(name string) *x509.Certificate { return &x509.Certificate{Subject: pkix.Name{CommonName: name}} }
	for _, c := range []struct {
		user, password string
		cert           *x509.Certificate
		admitted       bool
	}{
		{"", "", cert("lamp"), true}, {"lamp", "", cert("lamp"), true}, {"other", "", cert("lamp"), false},
		{"", "", cert("other"), false}, {"lamp", "", cert("other"), false}, {"lamp", "wrong", cert("lamp"), false},
		{"lamp", "", nil, false}, {"", "", cert(""), false},
	} {
		id, err := h.devices.Authenticate(c.user, c.password, c.cert)
		if (err == nil) != c.admitted || c.admitted && id != "lamp" {
			t.Errorf("user %q, password %q, certificate %v: %q, %v", c.user, c.password, c.cert != nil, id, err)
		}
	}
}

// Streams are bounded; one that ends makes room.
func TestStreamsAreBounded(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	web := httptest.NewServer(h.handler)
	defer web.Close()
	open := func() *http.Response {
		req, err := http.NewRequest("GET", web.URL+"/api/events", nil)
		must(t, err)
		req.Header.Set("Authorization", "Bearer "+adminToken)
		res, err := http.DefaultClient.Do(req)
		must(t, err)
		return res
	}
	for range api.MaxStreams {
		defer open().Body.Close()
	}
	res := open()
	defer res.Body.Close()
	if res.StatusCode != 503 || res.Header.Get("Retry-After") != "1" {
		t.Errorf("one stream too many: %d", res.StatusCode)
	}
	h.server.Close()
}

func BenchmarkAuthenticate(b *testing.B) {
	h := newHouse(b)
	h.ok(201, "POST", "/api/parties", `{"id":"owner"}`, nil)
	var token api.DeviceToken
	h.ok(201, "POST", "/api/devices", `{"id":"lamp","owner":"owner"}`, &token)
	for b.Loop() {
		if _, err := h.devices.Authenticate("lamp", token.Token, nil); err != nil {
			b.Fatal(err)
		}
	}
}
