package dashboard_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/dashboard/browsertest"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/witness"
)

// serveWitness starts a witness with a log of each kind: honest, one that signed two histories, one that somebody sent a
// wrong proof for, and one that was never heard of.
func serveWitness(t *testing.T) *httptest.Server {
	t.Helper()
	w, err := witness.New(witness.Config{Store: kv.NewMem(), Name: "witness.tenants.example/riverside"})
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	show := func(signer note.Signer, origin string, old, size int64, what string) error {
		c := lamppost.Checkpoint{Origin: origin, Size: size, Root: sha256.Sum256(fmt.Appendf(nil, "%s %d", what, size))}
		signed, err := lamppost.SignCheckpoint(c, signer)
		must(err)
		r := witness.Request{Old: old, Checkpoint: signed}
		if old > 0 && old != size {
			r.Proof = tlog.TreeProof{{1}, {2}}
		}
		_, err = w.AddCheckpoint(r.Append(nil))
		return err
	}
	for _, name := range []string{"riverside/north", "harbour/pilot-station-with-a-long-name", "lantern/node1", "quarry/new"} {
		seed := sha256.Sum256([]byte(name))
		skey, vkey, err := note.GenerateKey(bytes.NewReader(seed[:]), name)
		must(err)
		signer, err := note.NewSigner(skey)
		must(err)
		must(w.Add(witness.Log{Origin: name, Keys: []string{vkey}, URL: "https://" + strings.Split(name, "/")[0] + ".example:8443/log"}))
		switch name {
		case "riverside/north":
			must(show(signer, name, 0, 812, "a"))
		case "lantern/node1":
			must(show(signer, name, 0, 1234567, "a"))
			_ = show(signer, name, 1234567, 1234567, "b")
		case "harbour/pilot-station-with-a-long-name":
			must(show(signer, name, 0, 512, "a"))
			_ = show(signer, name, 512, 600, "a")
		}
	}
	server := httptest.NewServer(w.Handler("0123456789abcdef0123456789abcdef"))
	t.Cleanup(server.Close)
	return server
}

// The page of a witness has the look of the dashboard and keeps its promises: at both sizes, in both schemes, readable,
// without anything from elsewhere, and without a script.
func TestWitnessPage(t *testing.T) {
	t.Parallel()
	ctx := browsertest.Start(t)
	server := serveWitness(t)
	for _, size := range [][2]int64{browsertest.Phone, browsertest.Desktop} {
		for _, scheme := range []string{"light", "dark"} {
			t.Run(fmt.Sprintf("%d %s", size[0], scheme), func(t *testing.T) { testWitnessPage(t, ctx, server.URL, size, scheme) })
		}
	}
}

func testWitnessPage(t *testing.T, ctx context.Context, url string, size [2]int64, scheme string) {
	p := browsertest.Open(t, ctx, url, size)
	p.Prefer(scheme)
	p.Run(chromedp.Navigate(url), chromedp.WaitVisible(chromedp.CSS("main .card")))
	browsertest.Value[int](p, "document.querySelectorAll('details').forEach((d) => { d.open = true; }) ?? 1")
	for selector, want := range map[string]string{
		"h1": "witness.tenants.example/riverside", ".note.bad": "The log lantern/node1 signed two histories: of its first 1234567 entries",
		"main": "Either the proof was wrong, or the log signed two histories", "footer": "As of 20",
	} {
		p.WaitText(selector, want)
	}
	if got := browsertest.Value[int](p, "document.querySelectorAll('.two pre').length"); got != 4 {
		t.Errorf("%d notes are shown, want two of each pair", got)
	}
	if over := browsertest.Value[[]string](p, browsertest.Overflow); len(over) > 0 {
		t.Errorf("wider than the screen: %q", over)
	}
	if pale := browsertest.Value[[]string](p, browsertest.PaleText); len(pale) > 0 {
		t.Errorf("contrast under 4.5:1: %q", pale)
	}
	p.Clean()
	if *screens != "" {
		browsertest.Value[int](p, "document.querySelectorAll('details').forEach((d) => { d.open = false; }) ?? 1")
		p.Run(chromedp.EmulateViewport(size[0], 3*size[1]/2))
		p.Shoot(filepath.Join(*screens, fmt.Sprintf("witness-%d-%s.png", size[0], scheme)))
	}
}
