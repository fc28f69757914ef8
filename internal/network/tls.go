package network

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"sync"
	"time"

	"github.com/lamppost/lamppost"
)

// Members know each other by the keys that the ledger has of them. A member's key is the authority of its own certificate, which it
// makes in memory and makes anew long before it ends: there is no file to renew, and who is no member any more is refused at once.

const (
	certValid = 7 * 24 * time.Hour // of a member's certificate; as much as clocks may differ before members refuse each other
	certNew   = 24 * time.Hour     // its age when another is made
)

// A TLS makes the configurations of connections between members. It may be used by several goroutines.
type TLS struct {
	ID      lamppost.MemberID
	Key     ed25519.PrivateKey       // the member's own
	Members func() []lamppost.Member // as the ledger has them now
	Now     func() time.Time         // nil: time.Now

	mu   sync.Mutex
	cert *tls.Certificate
	made time.Time
}

// Config returns the configuration for a connection: each side shows the certificate of its member, for the id as its one DNS name.
func (t *TLS) Config() (*tls.Config, error) {
	cert, err := t.current()
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	for _, m := range t.Members() {
		root, err := authority(m)
		if err != nil {
			return nil, err
		}
		pool.AddCert(root)
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{*cert}, ClientCAs: pool, RootCAs: pool, Time: t.Now,
		ClientAuth: tls.RequireAndVerifyClientCert, VerifyConnection: ownName}, nil
}

// Protocol is what callers of a member's HTTP door name besides HTTP (ALPN, RFC 7301) to be shown the member's certificate instead of the one
// that everybody knows it by. What is spoken then is HTTP.
const Protocol = "lamppost-member"

// Door returns the configuration of the HTTP door for callers that name [Protocol]: it shows the member's certificate and asks for that of the
// caller, who may have none, and is then nobody in particular.
func (t *TLS) Door() (*tls.Config, error) {
	cfg, err := t.Config()
	if err != nil {
		return nil, err
	}
	cfg.NextProtos, cfg.ClientAuth = []string{"http/1.1"}, tls.VerifyClientCertIfGiven
	cfg.SessionTicketsDisabled = true // a session that is resumed would bring along what was true when it began
	cfg.VerifyConnection = func(s tls.ConnectionState) error {
		if len(s.PeerCertificates) == 0 {
			return nil
		}
		return ownName(s)
	}
	return cfg, nil
}

// Call returns the configuration for calling the HTTP door of a member. Who is no member itself shows no certificate.
func (t *TLS) Call(to lamppost.MemberID) (*tls.Config, error) {
	cfg, err := t.Config()
	if err != nil {
		return nil, err
	}
	cfg.NextProtos, cfg.ServerName = []string{Protocol, "http/1.1"}, string(to)
	if !slices.ContainsFunc(t.Members(), func(m lamppost.Member) bool {
		return m.ID == t.ID && bytes.Equal(m.Key, t.Key.Public().(ed25519.PublicKey))
	}) {
		cfg.Certificates = nil
	}
	return cfg, nil
}

// Peer returns which of the members is at the other end of a connection, if one is. A connection may be older than the list.
func Peer(s *tls.ConnectionState, members []lamppost.Member) (lamppost.MemberID, bool) {
	if s == nil {
		return "", false
	}
	for _, chain := range s.VerifiedChains {
		key, _ := chain[len(chain)-1].PublicKey.(ed25519.PublicKey)
		for _, m := range members {
			if bytes.Equal(m.Key, key) {
				return m.ID, true
			}
		}
	}
	return "", false
}

// ownName refuses a certificate that a member's key made for another member, or for a device, which has its id as common name.
func ownName(s tls.ConnectionState) error {
	for _, chain := range s.VerifiedChains {
		leaf, root := chain[0], chain[len(chain)-1]
		if len(leaf.DNSNames) == 1 && leaf.DNSNames[0] == root.Subject.CommonName && leaf.Subject.CommonName == "" {
			return nil
		}
	}
	return errors.New("the certificate is not of the member whose key made it")
}

func (t *TLS) current() (*tls.Certificate, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now
	if t.Now != nil {
		now = t.Now
	}
	if t.cert != nil && now().Sub(t.made) < certNew && !now().Before(t.made) {
		return t.cert, nil
	}
	root, err := authority(lamppost.Member{ID: t.ID, Key: t.Key.Public().(ed25519.PublicKey)})
	if err != nil {
		return nil, err
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: serial, DNSNames: []string{string(t.ID)}, NotBefore: now().Add(-certValid), NotAfter: now().Add(certValid),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, root, public, t.Key)
	if err != nil {
		return nil, fmt.Errorf("making the certificate of member %q: %w", t.ID, err)
	}
	t.cert, t.made = &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}, now()
	return t.cert, nil
}

// authority is a certificate of a member's key, which signs the member's own. It stands in a pool and is never sent, so nobody signs it
// but a key that is thrown away.
func authority(m lamppost.Member) (*x509.Certificate, error) {
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: string(m.ID)}, NotBefore: time.Unix(0, 0),
		NotAfter: time.Unix(1<<33, 0), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	_, nobody, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, ed25519.PublicKey(m.Key), nobody)
	if err != nil {
		return nil, fmt.Errorf("the key of member %q: %w", m.ID, err)
	}
	return x509.ParseCertificate(der)
}
