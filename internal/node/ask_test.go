package node_test

import (
	"crypto/ed25519"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus/consensustest"
	"github.com/lamppost/lamppost/internal/folder"
	"github.com/lamppost/lamppost/internal/network"
	"github.com/lamppost/lamppost/internal/node"
	"github.com/lamppost/lamppost/sig"
)

// Goal: members ask each other by their keys and nothing else, whatever certificates their doors show to everybody: nobody else is told what is
// for members, and nobody is taken for a member. Method: three members whose doors have certificates that no one of them knows, and who calls as whom.
func TestMembersAskByTheirKeys(t *testing.T) {
	t.Parallel()
	f := network.File{Network: "house", Engine: "raft", Verify: "full"}
	var seats []seat
	var ledger []lamppost.Member
	for i := range 3 {
		s := newSeat(t, lamppost.MemberID(fmt.Sprint("m", i+1)))
		s.card.URL = "https://" + consensustest.FreeAddress(t)
		seats, f.Members = append(seats, s), append(f.Members, s.card)
		m, err := s.card.Ledger()
		must(t, err)
		ledger = append(ledger, m)
	}
	must(t, f.Found(seats[0].key, begin))
	var all []*member
	for _, s := range seats {
		must(t, os.WriteFile(filepath.Join(s.dir, folder.Network), f.Bytes(), 0o600))
		p := newPKI(t)
		p.renew()
		s.door = func(cfg *node.Config) {
			cfg.HTTP, cfg.TLSCert, cfg.TLSKey = strings.TrimPrefix(s.card.URL, "https://"), p.cert, p.key
		}
		all = append(all, s.run(t, time.Hour))
	}
	eventually(t, "each has heard of the others", func() bool {
		for _, m := range all {
			for _, o := range m.lamp().OtherMembers() {
				if o.Seen == 0 || o.Certificate == 0 {
					return false
				}
			}
		}
		return len(all[0].lamp().OtherMembers()) == 2
	})
	for _, o := range all[0].lamp().OtherMembers() {
		if o.Role == "" || o.Error != "" {
			t.Errorf("m1 says of the others %+v", o)
		}
	}

	as := func(id lamppost.MemberID, key *sig.PrivateKey, known ...lamppost.Member) *network.TLS {
		return &network.TLS{ID: id, Key: ed25519.NewKeyFromSeed(key.Seed()), Members: func() []lamppost.Member { return known }}
	}
	stranger := newSeat(t, "m4")
	strangers, err := stranger.card.Ledger()
	must(t, err)
	call := func(links *network.TLS, to lamppost.MemberID) *tls.Config {
		cfg, err := links.Call(to)
		must(t, err)
		return cfg
	}
	forged := call(as("m2", stranger.key, append(ledger[:1:1], lamppost.Member{ID: "m2", Key: strangers.Key})...), "m1")
	for name, c := range map[string]struct {
		cfg  *tls.Config
		path string
		want string
	}{
		"a member":                         {call(as("m2", seats[1].key, ledger...), "m1"), "/api/member", "200"},
		"a member, what is the operator's": {call(as("m2", seats[1].key, ledger...), "m1"), "/api/status", "401"},
		"a member, of another":             {call(as("m2", seats[1].key, ledger...), "m3"), "/api/member", "certificate"},
		"anybody by the members' protocol": {call(as("m4", stranger.key, ledger...), "m1"), "/api/member", "401"},
		"anybody, what is public":          {call(as("m4", stranger.key, ledger...), "m1"), "/network.pin", "200"},
		"a stranger's key":                 {call(as("m4", stranger.key, append(ledger, strangers)...), "m1"), "/api/member", "401"},
		"a stranger in a member's name":    {forged, "/api/member", "certificate"},
		"anybody":                          {&tls.Config{InsecureSkipVerify: true}, "/api/member", "401"},
		"a member's key, without the members' protocol": {func() *tls.Config {
			cfg := call(as("m2", seats[1].key, ledger...), "m1")
			cfg.NextProtos, cfg.InsecureSkipVerify, cfg.VerifyConnection = nil, true, nil
			return cfg
		}(), "/api/member", "401"},
	} {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: c.cfg, DisableKeepAlives: true}, Timeout: 20 * time.Second}
		got := ""
		resp, err := client.Get(seats[0].card.URL + c.path)
		if err != nil {
			got = err.Error()
		} else {
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			got = fmt.Sprint(resp.StatusCode, " ", string(body))
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: %.200s, want %s", name, got, c.want)
		}
	}
}

// Beyond one machine members do not ask each other in the clear.
func TestMembersAskNothingInTheClear(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]bool{"https://north.example:8443": true, "http://127.0.0.1:8080": true, "http://[::1]:1": true, "http://localhost:8080": true,
		"http://north.example:8080": false, "http://10.0.0.7": false, "ftp://north.example": false, "north.example": false, "http://localhost.example": false} {
		if err := network.CheckURL(url); (err == nil) != want {
			t.Errorf("%s: %v", url, err)
		}
	}
}
