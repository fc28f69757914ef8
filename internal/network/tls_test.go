package network_test

import (
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
	"github.com/lamppost/lamppost/internal/network"
	"github.com/lamppost/lamppost/sig"
)

// seat is a member's side of connections; members are those it knows.
func seat(id, keyOf string, members ...string) *network.TLS {
	var list []lamppost.Member
	for _, m := range members {
		list = append(list, lamppost.Member{ID: lamppost.MemberID(m), Key: ledgertest.Key(m, sig.EdDSA).Public().Bytes()})
	}
	return &network.TLS{ID: lamppost.MemberID(id), Key: ed25519.NewKeyFromSeed(ledgertest.Key(keyOf, sig.EdDSA).Seed()),
		Members: func() []lamppost.Member { return list }}
}

// meet connects two sides and returns what each says.
func meet(t *testing.T, caller, called *network.TLS, to string) (clientErr, serverErr error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	side := func(x *network.TLS, wrap func(net.Conn, *tls.Config) *tls.Conn, c net.Conn) error {
		defer c.Close()
		cfg, err := x.Config()
		if err != nil {
			return err
		}
		cfg.ServerName = to
		conn := wrap(c, cfg)
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		if err := conn.Handshake(); err != nil {
			return err
		}
		wrote := make(chan error, 1)
		go func() { _, err := conn.Write([]byte("x")); wrote <- err }()
		_, err = io.ReadFull(conn, make([]byte, 1)) // TLS 1.3 tells a client that it was refused after its handshake
		return errors.Join(err, <-wrote)
	}
	done := make(chan error, 1)
	go func() { done <- side(called, tls.Server, b) }()
	clientErr = side(caller, tls.Client, a)
	return clientErr, <-done
}

// Members know each other by the keys in the ledger; nobody else gets in, also not under a member's name, and nobody who was one.
func TestMembersMeet(t *testing.T) {
	t.Parallel()
	all := []string{"north", "south", "west"}
	if a, b := meet(t, seat("north", "north", all...), seat("south", "south", all...), "south"); a != nil || b != nil {
		t.Fatalf("two members: %v, %v", a, b)
	}
	for name, c := range map[string]struct {
		caller *network.TLS
		called *network.TLS
		to     string
	}{
		"a stranger calls":              {seat("east", "east", append(all, "east")...), seat("south", "south", all...), "south"},
		"a stranger in a member's name": {seat("north", "east", all...), seat("south", "south", all...), "south"},
		"a member in another's name":    {seat("north", "west", all...), seat("south", "south", all...), "south"},
		"another member answers":        {seat("north", "north", all...), seat("west", "west", all...), "south"},
		"a former member calls":         {seat("west", "west", all...), seat("south", "south", "north", "south"), "south"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if a, b := meet(t, c.caller, c.called, c.to); errors.Join(a, b) == nil {
				t.Error("they were connected")
			}
		})
	}
}

// A certificate is made anew long before it ends, without a restart.
func TestCertificatesRenew(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)
	s := seat("north", "north", "north", "south")
	s.Now = func() time.Time { return at }
	show := func() string {
		cfg, err := s.Config()
		if err != nil {
			t.Fatal(err)
		}
		return string(cfg.Certificates[0].Certificate[0])
	}
	first := show()
	if show() != first {
		t.Error("every connection has a certificate of its own")
	}
	at = at.Add(25 * time.Hour)
	if show() == first {
		t.Error("a day later it is still the same certificate")
	}
}
