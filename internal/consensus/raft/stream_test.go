package raft

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
)

// An authority issues members' certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t}
	a.cert, a.key = a.make(&x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

func (a *authority) make(c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	raw, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	made, err := x509.ParseCertificate(raw)
	if err != nil {
		a.t.Fatal(err)
	}
	return made, key
}

// issue returns the TLS configuration of a member that trusts the authority.
func (a *authority) issue(id string, serial int64) *tls.Config {
	cert, key := a.make(&x509.Certificate{SerialNumber: big.NewInt(serial), DNSNames: []string{id}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}})
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}, ClientCAs: pool}
}

// callee is a network that listens, and a channel with what came to it for forwarding.
func callee(t *testing.T, cfg Config) (*network, chan net.Conn) {
	cfg.Listen, cfg.Log = "127.0.0.1:0", slog.New(slog.DiscardHandler)
	n, err := listen(&cfg)
	if err != nil {
		t.Fatal(err)
	}
	came := make(chan net.Conn, 8)
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.serve(func(conn net.Conn, from lamppost.MemberID) {
			came <- conn
			<-n.done.Done()
		})
	}()
	t.Cleanup(func() { n.close(); <-done })
	return n, came
}

func dialer(t *testing.T, cfg Config, to *network) *network {
	cfg.Listen, cfg.Log = "127.0.0.1:0", slog.New(slog.DiscardHandler)
	cfg.Address = func(lamppost.MemberID) string { return to.listener.Addr().String() }
	n, err := listen(&cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.close)
	return n
}

// reaches reports whether a call gets through: whoever is turned away sees the connection end.
func reaches(t *testing.T, from *network, to lamppost.MemberID, came chan net.Conn) bool {
	t.Helper()
	conn, err := from.dial(kindForward, to, helloTimeout)
	if err != nil {
		return false
	}
	defer conn.Close()
	ended := make(chan error, 1)
	go func() {
		_, err := io.ReadFull(conn, make([]byte, 1))
		ended <- err
	}()
	select {
	case <-came:
		return true
	case <-ended:
		return false
	}
}

// Only members are let in, and only as themselves; members call nobody else.
func TestWhoIsLetIn(t *testing.T) {
	t.Parallel()
	ours, theirs := newAuthority(t), newAuthority(t)
	as := func(c *tls.Config) func() (*tls.Config, error) { return func() (*tls.Config, error) { return c, nil } }
	b, came := callee(t, Config{Network: "net", Member: "b", TLS: as(ours.issue("b", 2))})
	mixed := theirs.issue("a", 3) // shows a foreign certificate, and would trust ours
	mixed.ClientCAs = ours.issue("a", 4).ClientCAs
	for name, c := range map[string]struct {
		cfg Config
		to  lamppost.MemberID
		ok  bool
	}{
		"a member":                       {Config{Network: "net", Member: "a", TLS: as(ours.issue("a", 5))}, "b", true},
		"another network":                {Config{Network: "other", Member: "a", TLS: as(ours.issue("a", 6))}, "b", false},
		"under another's name":           {Config{Network: "net", Member: "c", TLS: as(ours.issue("a", 7))}, "b", false},
		"of another authority":           {Config{Network: "net", Member: "a", TLS: as(mixed)}, "b", false},
		"who trusts another authority":   {Config{Network: "net", Member: "a", TLS: as(theirs.issue("a", 8))}, "b", false},
		"for a member that is elsewhere": {Config{Network: "net", Member: "a", TLS: as(ours.issue("a", 9))}, "c", false},
		"without TLS":                    {Config{Network: "net", Member: "a"}, "b", false},
	} {
		if got := reaches(t, dialer(t, c.cfg, b), c.to, came); got != c.ok {
			t.Errorf("%s: let in %v, want %v", name, got, c.ok)
		}
	}
}

// New certificates count from the next connection on, on both sides, and connections that are open stay so.
func TestCertificatesAreReloaded(t *testing.T) {
	t.Parallel()
	before, after := newAuthority(t), newAuthority(t)
	var ours, theirs atomic.Pointer[tls.Config]
	ours.Store(before.issue("b", 2))
	theirs.Store(before.issue("a", 3))
	b, came := callee(t, Config{Network: "net", Member: "b", TLS: func() (*tls.Config, error) { return ours.Load(), nil }})
	a := dialer(t, Config{Network: "net", Member: "a", TLS: func() (*tls.Config, error) { return theirs.Load(), nil }}, b)
	open, err := a.dial(kindForward, "b", helloTimeout)
	if err != nil {
		t.Fatal(err)
	}
	accepted := <-came
	ours.Store(after.issue("b", 4))
	if reaches(t, a, "b", came) {
		t.Error("the former certificates still count")
	}
	theirs.Store(after.issue("a", 5))
	if !reaches(t, a, "b", came) {
		t.Error("the new certificates do not count")
	}
	if _, err := open.Write([]byte{1}); err != nil {
		t.Errorf("the open connection ended: %v", err)
	}
	if _, err := io.ReadFull(accepted, make([]byte, 1)); err != nil {
		t.Errorf("the open connection ended: %v", err)
	}
	b.close()
	if _, err := io.ReadFull(open, make([]byte, 1)); err == nil {
		t.Error("a closed network left a connection open")
	}
}

// Without TLS members neither listen nor call beyond loopback.
func TestPlainOnlyOnLoopback(t *testing.T) {
	t.Parallel()
	cfg := Config{Network: "net", Member: "a", Dir: t.TempDir(), Address: func(lamppost.MemberID) string { return "" },
		Now: func() lamppost.TimeMS { return 0 }}
	for listen, ok := range map[string]bool{"127.0.0.1:0": true, "[::1]:0": true, "0.0.0.0:0": false, ":0": false, "192.0.2.1:0": false, "localhost:0": false, "127.0.0.1": false} {
		cfg.Listen = listen
		if err := cfg.check(); (err == nil) != ok {
			t.Errorf("listening at %q without TLS: %v", listen, err)
		}
	}
}

// The limit of connections turns away who comes last, and makes room when one ends.
func TestConnectionsAreLimited(t *testing.T) {
	t.Parallel()
	n, err := listen(&Config{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	var all []*tracked
	for range maxConns {
		here, _ := net.Pipe()
		c, err := n.track(here, true)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	here, _ := net.Pipe()
	if _, err := n.track(here, true); !errors.Is(err, errTooMany) {
		t.Errorf("one more connection: %v", err)
	}
	all[0].Close()
	here, _ = net.Pipe()
	if _, err := n.track(here, true); err != nil {
		t.Errorf("a connection after one ended: %v", err)
	}
}
