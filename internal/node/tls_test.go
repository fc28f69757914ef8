package node_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/node"
)

// An authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	a := &authority{}
	a.cert, a.key = a.issue(t, "authority", true)
	return a
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// issue makes a certificate for this machine's address in a name.
func (a *authority) issue(t testing.TB, name string, isCA bool) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	must(t, err)
	template := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: isCA, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}}
	parent, signer := a.cert, a.key
	if isCA {
		parent, signer = template, key
		template.KeyUsage, template.ExtKeyUsage = x509.KeyUsageCertSign, nil
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	must(t, err)
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	return cert, key
}

// client is a certificate to log in with.
func (a *authority) client(t testing.TB, name string) *tls.Certificate {
	cert, key := a.issue(t, name, false)
	return &tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

// A pki is the files of a node with TLS.
type pki struct {
	t             testing.TB
	servers       *authority
	cert, key, ca string
	changes       int
}

func newPKI(t testing.TB) *pki {
	dir := t.TempDir()
	return &pki{t: t, servers: newAuthority(t), cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem"), ca: filepath.Join(dir, "ca.pem")}
}

// write replaces a file; its time differs from that before, however coarse the file system's clock is.
func (p *pki) write(path, kind string, der []byte) {
	p.t.Helper()
	must(p.t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	p.changes++
	at := time.Now().Add(time.Duration(p.changes) * time.Second)
	must(p.t, os.Chtimes(path, at, at))
}

// renew writes another certificate and its key and returns its serial number.
func (p *pki) renew() string {
	p.t.Helper()
	cert, key := p.servers.issue(p.t, "node", false)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	must(p.t, err)
	p.write(p.cert, "CERTIFICATE", cert.Raw)
	p.write(p.key, "PRIVATE KEY", der)
	return cert.SerialNumber.String()
}

// dial connects to an address and returns the connection after the handshake.
func (p *pki) dial(addr string, client *tls.Certificate) (*tls.Conn, error) {
	cfg := &tls.Config{RootCAs: p.servers.pool()}
	if client != nil { // whatever authorities the node names
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return client, nil }
	}
	return tls.Dial("tcp", addr, cfg)
}

// serial is that of the certificate shown at an address.
func (p *pki) serial(addr string) string {
	p.t.Helper()
	conn, err := p.dial(addr, nil)
	must(p.t, err)
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
}

// Both doors show the certificate of the files, also after these have changed, without a restart and without a moment in
// which there is none.
func TestTLSReload(t *testing.T) {
	t.Parallel()
	p := newPKI(t)
	first := p.renew()
	cfg := config(t.TempDir())
	cfg.TLSCert, cfg.TLSKey = p.cert, p.key
	l := run(t, cfg)
	web := strings.TrimPrefix(l.URL(), "https://")
	check := func(when, want string) {
		t.Helper()
		for _, addr := range []string{web, l.MQTTAddr()} {
			if got := p.serial(addr); got != want {
				t.Errorf("%s, %s shows certificate %s, want %s", when, addr, got, want)
			}
		}
	}
	check("at first", first)
	second := p.renew()
	check("after renewal", second)
	p.write(p.cert, "CERTIFICATE", []byte("half"))
	check("with a half-written certificate", second)
	must(t, os.Remove(p.cert))
	check("with the certificate gone", second)
	cert, _ := p.servers.issue(t, "node", false)
	p.write(p.cert, "CERTIFICATE", cert.Raw)
	check("with a certificate and another one's key", second)
	check("after another renewal", p.renew())
	l.client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: p.servers.pool()}
	var said api.Status
	_, answer := l.ask("GET", "/api/status", nil)
	must(t, json.Unmarshal(answer, &said))
	if ends := time.UnixMilli(int64(said.Certificate)); ends.Before(time.Now()) {
		t.Errorf("the status says that the certificate ends at %v", ends)
	}
	if _, err := net.Dial("tcp", web); err != nil {
		t.Fatal(err)
	}
	if resp, err := http.Get("http://" + web + "/healthz"); err == nil && resp.StatusCode == http.StatusOK {
		t.Error("the TLS door answers in the clear")
	}
}

// A device with a certificate in its name needs no password, at both doors. Others get in by token or not at all: who has a
// certificate of another authority, or in a name that nobody announced.
func TestClientCertificate(t *testing.T) {
	t.Parallel()
	p, devices := newPKI(t), newAuthority(t)
	p.renew()
	p.write(p.ca, "CERTIFICATE", devices.cert.Raw)
	cfg := config(t.TempDir())
	cfg.TLSCert, cfg.TLSKey, cfg.TLSClientCA = p.cert, p.key, p.ca
	l := run(t, cfg)
	l.client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: p.servers.pool()}
	l.order("/api/parties", lamppost.PartyBody{ID: "ada"}, nil)
	m := l.announce("m1")
	l.enrol(m) // over HTTPS, by token

	connect := func(client *tls.Certificate, token string) (*mqtt5, error) {
		conn, err := p.dial(l.MQTTAddr(), client)
		if err != nil {
			return nil, err
		}
		return overMQTT5(t, conn, m.id, token)
	}
	byCert, err := connect(devices.client(t, "m1"), "")
	must(t, err)
	if got := byCert.send(m.report(t, nil), false); got.Code != "ok" {
		t.Errorf("a report of who logged in by certificate: %+v", got)
	}
	other := machine{id: "m2", key: m.key, epoch: 1}
	if got := byCert.send(other.report(t, nil), true); got.Code != "forbidden" {
		t.Errorf("a report of another device: %+v", got)
	}
	if got := l.postByCert(devices.client(t, "m1"), m.report(t, nil)); got.Code != "ok" {
		t.Errorf("a report over HTTPS: %+v", got)
	}
	byToken, err := connect(nil, m.token)
	must(t, err)
	if got := byToken.send(m.report(t, nil), false); got.Code != "ok" {
		t.Errorf("a report of who logged in by token: %+v", got)
	}
	for name, client := range map[string]*tls.Certificate{"of another authority": newAuthority(t).client(t, "m1"),
		"of the node's own authority": p.servers.client(t, "m1"), "of nobody announced": devices.client(t, "m9"), "none at all": nil} {
		if _, err := connect(client, ""); err == nil {
			t.Errorf("logged in without a password and with a certificate: %s", name)
		}
	}
	// Another authority takes over, and the certificates of the one before are worth nothing from then on.
	next := newAuthority(t)
	p.write(p.ca, "CERTIFICATE", next.cert.Raw)
	if _, err := connect(devices.client(t, "m1"), ""); err == nil {
		t.Error("a certificate of an authority that was replaced is still taken")
	}
	if _, err := connect(next.client(t, "m1"), ""); err != nil {
		t.Errorf("a certificate of the new authority: %v", err)
	}
}

// postByCert sends a report over HTTPS without a password.
func (l *lamp) postByCert(client *tls.Certificate, raw []byte) said {
	l.t.Helper()
	transport := &http.Transport{TLSClientConfig: l.client.Transport.(*http.Transport).TLSClientConfig.Clone()}
	transport.TLSClientConfig.Certificates = []tls.Certificate{*client}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport, Timeout: 20 * time.Second}).Post(l.URL()+"/v1/report", "application/cose", bytes.NewReader(raw))
	must(l.t, err)
	defer resp.Body.Close()
	var s said
	must(l.t, json.NewDecoder(resp.Body).Decode(&s))
	return s
}

// A node that could not serve TLS says so when it is opened.
func TestTLSFiles(t *testing.T) {
	t.Parallel()
	p := newPKI(t)
	p.renew()
	p.write(p.ca, "NOTHING", []byte("x"))
	for _, c := range []struct {
		change func(*node.Config)
		want   string
	}{
		{func(c *node.Config) { c.TLSCert += "x" }, "cert.pemx"},
		{func(c *node.Config) { c.TLSKey = p.cert }, "cert.pem"},
		{func(c *node.Config) { c.TLSClientCA = p.ca }, "ca.pem"},
		{func(c *node.Config) { c.TLSClientCA = p.ca + "x" }, "ca.pemx"},
	} {
		cfg := config(t.TempDir())
		cfg.TLSCert, cfg.TLSKey = p.cert, p.key
		c.change(&cfg)
		n, err := node.Open(cfg)
		if err == nil {
			n.Run(cancelled(t))
			t.Errorf("opened with %q, %q, %q", cfg.TLSCert, cfg.TLSKey, cfg.TLSClientCA)
		} else if !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %q does not name %q", err, c.want)
		}
	}
}
