package node

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/lamppost/lamppost"
)

// openTLS returns the TLS configuration of both doors. What it reads from files is read again when a file has changed, so
// that renewing a certificate needs no restart.
func (n *Node) openTLS() (*tls.Config, error) {
	files := &tlsFiles{cert: n.cfg.TLSCert, key: n.cfg.TLSKey, ca: n.cfg.TLSClientCA}
	if _, err := files.current(); err != nil {
		return nil, err
	}
	n.tls = files
	return &tls.Config{MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return files.current() }}, nil
}

// certificateEnds is when the certificate of the doors ends, 0 where there is none.
func (n *Node) certificateEnds() lamppost.TimeMS {
	if n.tls == nil {
		return 0
	}
	c, err := n.tls.current()
	if err != nil {
		return 0
	}
	return lamppost.TimeMS(c.Certificates[0].Leaf.NotAfter.UnixMilli())
}

// tlsFiles are the files of a TLS configuration and what was last read from them.
type tlsFiles struct {
	cert, key, ca string // ca may be empty

	mu      sync.Mutex
	read    *tls.Config
	changed [3]time.Time // the files, when read was read
}

// current returns the configuration as the files have it. What cannot be read, because it is half written or gone for a
// moment, does not count: the last good one serves until the new one is whole.
func (f *tlsFiles) current() (*tls.Config, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	changed, err := f.stat()
	if err == nil && (f.read == nil || changed != f.changed) {
		var fresh *tls.Config
		if fresh, err = f.load(); err == nil {
			f.read, f.changed = fresh, changed
		}
	}
	if f.read != nil {
		return f.read, nil
	}
	return nil, err
}

// stat is asked before the files are read: a change in between is seen the next time.
func (f *tlsFiles) stat() (changed [3]time.Time, err error) {
	for i, name := range []string{f.cert, f.key, f.ca} {
		if name == "" {
			continue
		}
		info, err := os.Stat(name)
		if err != nil {
			return changed, fmt.Errorf("reading what TLS needs: %w", err)
		}
		changed[i] = info.ModTime()
	}
	return changed, nil
}

// load reads the files. With authorities for devices a client may show a certificate; one that does not verify ends the
// connection, and who shows none logs in by password.
func (f *tlsFiles) load() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return nil, fmt.Errorf("reading the TLS certificate %q and its key %q: %w", f.cert, f.key, err)
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	if f.ca == "" {
		return c, nil
	}
	text, err := os.ReadFile(f.ca)
	if err != nil {
		return nil, fmt.Errorf("reading the authorities of devices' certificates: %w", err)
	}
	c.ClientCAs, c.ClientAuth = x509.NewCertPool(), tls.VerifyClientCertIfGiven
	if !c.ClientCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("the file %q of authorities of devices' certificates holds no certificate in PEM", f.ca)
	}
	return c, nil
}
