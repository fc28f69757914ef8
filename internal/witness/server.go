package witness

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/lamppost/lamppost/internal/kv/pebble"
)

// ServerConfig is all that can be set about a running witness.
type ServerConfig struct {
	Data string // folder for its key and what it cosigned; required
	Name string // of its key, at the first start

	// HTTP is the address to listen on, default DefaultHTTP. One that others can reach needs TLS.
	HTTP            string
	TLSCert, TLSKey string // PEM files

	Now     func() time.Time // default time.Now
	Log     *slog.Logger     // default: nothing is logged
	NoFsync bool             // for tests that do not cut the power
}

// DefaultHTTP is where a witness listens unless told otherwise.
const DefaultHTTP = "127.0.0.1:8090"

// Files that a witness leaves in its folder for people and verbs.
const (
	URLFile   = "witness.url"
	KeyFile   = "witness.vkey"
	TokenFile = "admin.token"
)

// A Server is a witness on a folder and an address.
type Server struct {
	*Witness
	cfg   ServerConfig
	store *pebble.Store
	web   *http.Server
	l     net.Listener
}

// OpenFolder opens the witness in a folder without serving it. It needs the folder for itself; Close it.
func OpenFolder(cfg ServerConfig) (*Server, error) {
	if cfg.Data == "" {
		return nil, errors.New("a witness needs a folder for its key and what it cosigned: say --data DIR")
	}
	if err := os.MkdirAll(cfg.Data, 0o700); err != nil {
		return nil, fmt.Errorf("making the witness's folder: %w", err)
	}
	store, err := pebble.Open(filepath.Join(cfg.Data, "db"), pebble.Options{Logger: cfg.Log, NoFsync: cfg.NoFsync, CacheBytes: 8 << 20, MemTableBytes: 4 << 20})
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, store: store}
	s.Witness, err = New(Config{Store: store, Name: cfg.Name, Now: cfg.Now, Log: cfg.Log})
	if err == nil {
		err = leave(cfg.Data, KeyFile, s.Key().String()+"\n")
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Open opens the witness in a folder, making one at the first start, and listens.
func Open(cfg ServerConfig) (*Server, error) {
	if cfg.HTTP == "" {
		cfg.HTTP = DefaultHTTP
	}
	if (cfg.TLSCert == "") != (cfg.TLSKey == "") {
		return nil, errors.New("a TLS certificate and its key belong together: give both or neither")
	}
	if host, _, err := net.SplitHostPort(cfg.HTTP); err != nil {
		return nil, fmt.Errorf("address %q is not host:port", cfg.HTTP)
	} else if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) && cfg.TLSCert == "" {
		return nil, fmt.Errorf("address %q can be reached from other machines: give a TLS certificate and its key, or listen on 127.0.0.1 behind a web server", cfg.HTTP)
	}
	s, err := OpenFolder(cfg)
	if err != nil {
		return nil, err
	}
	if err := s.listen(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Server) listen() error {
	token, err := loadToken(s.cfg.Data)
	if err != nil {
		return err
	}
	if s.l, err = net.Listen("tcp", s.cfg.HTTP); err != nil {
		return fmt.Errorf("opening the HTTP door: %w", err)
	}
	if s.cfg.TLSCert != "" {
		pair, err := tls.LoadX509KeyPair(s.cfg.TLSCert, s.cfg.TLSKey)
		if err != nil {
			return fmt.Errorf("reading the TLS certificate %q and its key %q: %w", s.cfg.TLSCert, s.cfg.TLSKey, err)
		}
		s.l = tls.NewListener(s.l, &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}})
	}
	s.web = &http.Server{Handler: s.Handler(token), ReadHeaderTimeout: requestTimeout, ReadTimeout: requestTimeout, WriteTimeout: requestTimeout,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10}
	return leave(s.cfg.Data, URLFile, s.URL()+"\n")
}

// loadToken reads the administrator's token, or draws one at the first start.
func loadToken(data string) (string, error) {
	raw, err := os.ReadFile(filepath.Join(data, TokenFile))
	if err == nil && len(strings.TrimSpace(string(raw))) >= 32 {
		return strings.TrimSpace(string(raw)), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	secret := make([]byte, 16)
	rand.Read(secret) // never fails
	token := hex.EncodeToString(secret)
	return token, leave(data, TokenFile, token+"\n")
}

// leave replaces a file as a whole. None of these matters after a power cut: they are written again.
func leave(data, name, text string) error {
	path := filepath.Join(data, name)
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// URL is where the witness listens.
func (s *Server) URL() string {
	if s.cfg.TLSCert != "" {
		return "https://" + s.l.Addr().String()
	}
	return "http://" + s.l.Addr().String()
}

// Run serves until ctx is done or the door fails; then the folder is closed. It is called once.
func (s *Server) Run(ctx context.Context) error {
	defer s.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var parts sync.WaitGroup
	parts.Go(func() { s.Witness.Run(ctx) })
	parts.Go(func() {
		<-ctx.Done()
		grace, done := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer done()
		if s.web.Shutdown(grace) != nil {
			s.web.Close()
		}
	})
	err := s.web.Serve(s.l)
	cancel()
	parts.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Close releases what Open took; it may be called twice.
func (s *Server) Close() {
	if s.l != nil {
		s.l.Close()
	}
	if s.store != nil {
		if err := s.store.Close(); err != nil && s.cfg.Log != nil {
			s.cfg.Log.Error("closing the store", "err", err)
		}
		s.store = nil
	}
}
