package network_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
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

// At its HTTP door a member is shown by its key to who asks so, and knows members by theirs; who has no certificate is nobody, and one that a member's
// key made for a device, or for another, is refused.
func TestDoor(t *testing.T) {
	t.Parallel()
	all := []string{"north", "south", "west"}
	public := func(id string) ed25519.PublicKey { return ledgertest.Key(id, sig.EdDSA).Public().Bytes() }
	made := func(by, name, device string) tls.Certificate {
		template := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: device}, DNSNames: []string{name},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
		own := ed25519.NewKeyFromSeed(ledgertest.Key(by, sig.EdDSA).Seed())
		der, err := x509.CreateCertificate(rand.Reader, template, &x509.Certificate{Subject: pkix.Name{CommonName: by}}, public(by), own)
		if err != nil {
			t.Fatal(err)
		}
		return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: own}
	}
	for name, c := range map[string]struct {
		caller *network.TLS
		show   []tls.Certificate
		want   string // who the door thinks it is; "refused"
	}{
		"a member":               {seat("north", "north", all...), nil, "north"},
		"a stranger":             {seat("east", "east", all...), nil, ""},
		"a former member":        {seat("east", "east", append(all, "east")...), nil, ""}, // its certificate is not asked for
		"a member in its name":   {seat("north", "north", all...), []tls.Certificate{made("north", "north", "")}, "north"},
		"a member as a device":   {seat("north", "north", all...), []tls.Certificate{made("north", "north", "meter-1")}, "refused"},
		"a member as another":    {seat("north", "north", all...), []tls.Certificate{made("north", "west", "")}, "refused"},
		"a stranger as a member": {seat("north", "north", all...), []tls.Certificate{made("east", "north", "")}, "refused"},
	} {
		door, err := seat("south", "south", all...).Door()
		if err != nil {
			t.Fatal(err)
		}
		call, err := c.caller.Call("south")
		if err != nil {
			t.Fatal(err)
		}
		if c.show != nil { // whatever the door asks for
			call.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &c.show[0], nil }
		}
		a, b := net.Pipe()
		client, server := tls.Client(a, call), tls.Server(b, door)
		go func() {
			client.Handshake()
			io.Copy(io.Discard, client) // why it was refused
		}()
		got := "refused"
		if server.Handshake() == nil {
			state := server.ConnectionState()
			id, _ := network.Peer(&state, []lamppost.Member{{ID: "north", Key: public("north")}, {ID: "west", Key: public("west")}})
			got = string(id)
		}
		server.Close()
		client.Close()
		if got != c.want {
			t.Errorf("%s is taken for %q, want %q", name, got, c.want)
		}
	}
}
