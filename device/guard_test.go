package device_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/device"
	"github.com/lamppost/lamppost/guard"
	"github.com/lamppost/lamppost/sig"
)

// charters signs three: the first, one that protects less with the second party's word, and one that protects more than both.
func charters(t testing.TB) []guard.Signed {
	t.Helper()
	owner, second := testKey(t), want(sig.GenerateKey(sig.EdDSA, nil))(t)
	key := func(k *sig.PrivateKey) lamppost.CharterKey {
		return lamppost.CharterKey{Suite: k.Suite(), Key: k.Public().Bytes()}
	}
	by := key(second)
	var all []guard.Signed
	for i, least := range []uint8{30, 20, 60} {
		c := lamppost.Charter{Version: 1, Device: "meter-1", Number: uint32(i + 1), Owner: key(owner), Second: &by,
			Functions: []lamppost.Function{{Name: "light", Class: lamppost.Public, Min: least}}}
		s := guard.Signed{Charter: want(c.Sign(network, lamppost.PurposeCharter, owner))(t)}
		if i > 0 {
			s.Second = want(c.Sign(network, lamppost.PurposeAgreed, second))(t)
		}
		all = append(all, s)
	}
	return all
}

func want[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// lightOff asks for the light at 0, which is granted down to the least level of the charters that count.
var lightOff = guard.Request{ID: "r", Function: "light", Level: 0, By: "acme", Reason: "no sun", Left: 1 << 40}

// Goal: wherever the power fails, no charter that Hear has taken is forgotten, and what is found on the disk can be read. Method: the
// power is taken at every call of the disk in turn, in three ways, and the folder is opened again.
func TestGuardSurvivesPowerLoss(t *testing.T) {
	t.Parallel()
	signed := charters(t)
	for way := range lossWays {
		for at := 0; ; at++ {
			random := rand.New(rand.NewPCG(uint64(way), uint64(at)))
			on := newMemDisk()
			on.failAt = at
			heard, done := hearAll(t, on, signed)
			back := want(device.OpenOn(testConfig(t), on.lose(way, random)))(t)
			g := want(back.OpenGuard(device.GuardConfig{Class: lamppost.Public}))(t)
			if got := g.Word().Charter; int(got) < heard {
				t.Fatalf("way %d, call %d: charter %d was taken, and %d is there after the power loss", way, at, heard, got)
			}
			if d := g.Level("light"); d.Level != 100 {
				t.Fatalf("way %d, call %d: restricted by what nobody asks for: %s", way, at, d)
			}
			if done {
				break
			}
		}
	}
}

// hearAll gives a guard one charter after the other, and returns how many it said it took, and whether the power held.
func hearAll(t *testing.T, on *memDisk, signed []guard.Signed) (heard int, done bool) {
	d, err := device.OpenOn(testConfig(t), on)
	if err != nil {
		return 0, false
	}
	g, err := d.OpenGuard(device.GuardConfig{Class: lamppost.Public})
	if err != nil {
		return 0, false
	}
	for i, s := range signed {
		if err := g.Hear(guard.Asked{Network: network, Charters: []guard.Signed{s}}); err != nil {
			return heard, false
		}
		heard = i + 1
	}
	return heard, true
}

// After an error of the disk the guard restricts nothing, whatever is asked.
func TestGuardWithoutDisk(t *testing.T) {
	t.Parallel()
	on := newMemDisk()
	d := want(device.OpenOn(testConfig(t), on))(t)
	g := want(d.OpenGuard(device.GuardConfig{Class: lamppost.Public}))(t)
	if err := g.Hear(guard.Asked{Network: network, Charters: charters(t)[:1], Requests: []guard.Request{lightOff}}); err != nil {
		t.Fatal(err)
	}
	if got := g.Level("light"); got.Level != 30 || got.Why != guard.Minimum {
		t.Fatalf("the light should run at its minimum: %s", got)
	}
	on.failAt = on.calls
	other := lightOff
	other.ID = "another"
	if err := g.Hear(guard.Asked{Network: network, Requests: []guard.Request{other}}); !errors.Is(err, errPower) {
		t.Errorf("a disk that fails: %v", err)
	}
	if got := g.Level("light"); got.Level != 100 {
		t.Errorf("restricted without a disk: %s", got)
	}
}

// What is taken and what is not, in words that say why.
func TestGuardTakes(t *testing.T) {
	t.Parallel()
	signed := charters(t)
	stranger := lamppost.CharterKey{Suite: sig.EdDSA, Key: want(sig.GenerateKey(sig.EdDSA, nil))(t).Public().Bytes()}
	for _, c := range []struct {
		name  string
		cfg   device.GuardConfig
		net   string
		asked []guard.Signed
		why   string // in the error
		last  uint32
	}{
		{"all in order", device.GuardConfig{}, network, signed, "", 3},
		{"another network", device.GuardConfig{}, "elsewhere", signed, `network "elsewhere"`, 0},
		{"another owner than the device knows", device.GuardConfig{Owner: &stranger}, network, signed, "not of the owner", 0},
		{"less without the second party", device.GuardConfig{}, network, []guard.Signed{signed[0], {Charter: signed[1].Charter}}, "second party did not sign", 1},
		{"what follows one that is not taken", device.GuardConfig{}, network, []guard.Signed{signed[0], {Charter: []byte("junk")}, signed[2]}, "charter", 1},
		{"an older one again", device.GuardConfig{}, network, []guard.Signed{signed[0], signed[2], signed[1]}, "charter 2 comes after charter 3", 3},
	} {
		d := want(device.OpenOn(testConfig(t), newMemDisk()))(t)
		g := want(d.OpenGuard(c.cfg))(t)
		err := g.Hear(guard.Asked{Network: c.net, Charters: c.asked})
		if (err == nil) != (c.why == "") || err != nil && !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: %v", c.name, err)
		}
		if got := g.Word().Charter; got != c.last {
			t.Errorf("%s: charter %d is the latest, want %d", c.name, got, c.last)
		}
	}
}

// A guard tells its node what it decides, and hears what is asked; without an answer it has heard of nobody.
func TestGuardAsks(t *testing.T) {
	t.Parallel()
	said := make(chan string, 4)
	up := true
	node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		user, password, _ := r.BasicAuth()
		said <- fmt.Sprintf("%s %s %s:%s %s", r.Method, r.URL.Path, user, password, body)
		if !up {
			http.Error(w, `{"code":"busy","text":"later"}`, http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintf(w, `{"network":%q,"charters":[],"requests":[{"id":"r@7","function":"light","level":10,"by":"acme","reason":"no sun","left_ms":90000000}]}`, network)
	}))
	defer node.Close()
	cfg := testConfig(t)
	cfg.Sender = device.NewHTTP(node.URL, "meter-1", "token", nil)
	d := want(device.OpenOn(cfg, newMemDisk()))(t)
	g := want(d.OpenGuard(device.GuardConfig{Class: lamppost.Ordinary}))(t)
	if err := g.Ask(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := <-said, `POST /v1/guard meter-1:token {"charter":0,"online":false,"decisions":[]}`; got != want {
		t.Errorf("it said\n%s, want\n%s", got, want)
	}
	if got := g.Level("light").String(); got != "light (ordinary) runs at 10 %; acme asks for 10 % (no sun): granted" {
		t.Error(got)
	}
	up = false
	if err := g.Ask(t.Context()); err == nil || !strings.Contains(err.Error(), "later") {
		t.Errorf("a node that is busy: %v", err)
	}
	if got := <-said; !strings.Contains(got, `"online":true`) || !strings.Contains(got, `"request":"r@7","asked":10`) {
		t.Errorf("it said %s", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	calls := 0
	if err := g.Run(ctx, func() { calls++; cancel() }); err != nil || calls != 1 {
		t.Errorf("Run: %v after %d calls", err, calls)
	}
}
