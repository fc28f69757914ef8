package network

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
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

// ownName refuses a certificate that a member's key made for another member.
func ownName(s tls.ConnectionState) error {
	for _, chain := range s.VerifiedChains {
		leaf, root := chain[0], chain[len(chain)-1]
		if len(leaf.DNSNames) == 1 && leaf.DNSNames[0] == root.Subject.CommonName {
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
