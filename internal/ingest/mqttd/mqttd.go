// Package mqttd is the MQTT front door for devices: MQTT 3.1.1 and 5 on sockets, reports to ingest, acknowledgements
// back. It is not a broker. A device publishes to lp/<device>/report and reads lp/<device>/refused and
// lp/<device>/desired; an administrator reads lp/alarms/<device>; nobody else's messages pass through here, no session outlives its connection, and nothing is on
// disk.
//
// It promises that the acknowledgement (PUBACK, or PUBREC for QoS 2) of a report is sent only after ingest has said that
// the report is committed or refused for good, in the order the reports came, and that reading stops while ingest is
// busy, so that a full node slows its devices down and drops nothing. What was not acknowledged, the device sends again;
// the ledger's sequence rule makes that harmless. QoS 0 promises nothing.
//
// Start reading at [Server.Serve], then conn.serve (one connection), conn.publish (the hot path in) and conn.collect (the hot
// path out). The codec is mochi-mqtt's, except for the one packet that makes the traffic: parseReport. Limits are in
// limits.go, the tables of topics and codes in docs/devices.md.
package mqttd

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/bits"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/ingest"
)

// A Submitter takes reports; *ingest.Ingest is one, and its comments are the contract. In short: both methods take
// ownership of raw, Submit waits while the queue is full, TrySubmit returns ingest.ErrBusy instead; both return an
// *ingest.FloodError where too many bad reports came from there; after nil, and only then, sink.Done(token) is called exactly
// once, from any goroutine.
type Submitter interface {
	Submit(ctx context.Context, from *ingest.Origin, raw []byte, token uint64, sink ingest.Sink) error
	TrySubmit(from *ingest.Origin, raw []byte, token uint64, sink ingest.Sink) error
}

// A Foreign takes messages that are no reports; *mapping.Door is one. It returns false where the topic means nothing to it.
// After true and nil, and only then, sink.Done(token) is called exactly once. It may wait.
type Foreign interface {
	Publish(ctx context.Context, from *ingest.Origin, topic string, message []byte, token uint64, sink ingest.Sink) (bool, error)
}

// Config is what a Server needs. Zero values of the limits mean the defaults of limits.go.
type Config struct {
	// Auth says which device a client is, or refuses it; required. cert is the client's certificate where TLS verified
	// one, else nil. It is called by many goroutines at once and may take its time.
	Auth   func(user, password string, cert *x509.Certificate) (lamppost.DeviceID, error)
	Submit Submitter // required

	// Admin says whether a password is an administrator's, who may read alarms. Nil: nobody may.
	Admin func(password string) bool

	// Foreign takes messages on other topics than a device's own. Then clients may have a will, which is ignored: foreign
	// firmware cannot do without. Nil: such messages are refused.
	Foreign Foreign

	// Origins are those of the devices that logged in. Nil: the server's own.
	Origins *ingest.Origins

	MaxConnections int           // open sockets; further ones are closed at once
	MaxPacket      int           // bytes of one packet; a larger PUBLISH is refused, a larger packet of another type ends the connection
	InFlight       int           // reports per connection that wait for acknowledgement; rounded up to a power of two
	BusyTimeout    time.Duration // how long a connection may be left unread before it is sent away

	Log     *slog.Logger // nil: nothing is logged
	Metrics *Metrics     // nil: counted, but nowhere to be seen
}

// A Server is a front door. Its methods are safe for concurrent use; Serve may run for several listeners at once, for
// instance plain on loopback and TLS elsewhere.
type Server struct {
	cfg     Config
	log     *slog.Logger
	metrics *Metrics
	mail    post
	board   board
	reader  *ingest.Origin // of all administrators
	waiting penalties

	mu       sync.Mutex
	away     bool             // clients are told to go elsewhere
	open     int              // sockets
	sessions map[string]*conn // by device and client id: a second connection takes over from the first
}

// New makes a Server. It starts nothing.
func New(cfg Config) (*Server, error) {
	if cfg.Auth == nil || cfg.Submit == nil {
		return nil, errors.New("mqtt: Auth and Submit are required")
	}
	if cfg.InFlight < 0 || cfg.InFlight > MaxInFlight || cfg.MaxPacket < 0 || cfg.MaxConnections < 0 || cfg.BusyTimeout < 0 {
		return nil, fmt.Errorf("mqtt: limits must not be negative, nor InFlight over %d", MaxInFlight)
	}
	if cfg.MaxConnections == 0 {
		cfg.MaxConnections = DefaultMaxConnections
	}
	if cfg.MaxPacket == 0 {
		cfg.MaxPacket = DefaultMaxPacket
	}
	if cfg.InFlight == 0 {
		cfg.InFlight = DefaultInFlight
	}
	cfg.InFlight = 1 << bits.Len(uint(cfg.InFlight-1))
	if cfg.BusyTimeout == 0 {
		cfg.BusyTimeout = DefaultBusyTimeout
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Metrics == nil {
		cfg.Metrics = NewMetrics(nil)
	}
	if cfg.Origins == nil {
		cfg.Origins = new(ingest.Origins)
	}
	s := &Server{cfg: cfg, log: cfg.Log, metrics: cfg.Metrics, sessions: map[string]*conn{}}
	s.mail.dropped = cfg.Metrics.Dropped
	s.board = board{dropped: cfg.Metrics.Dropped, alarms: map[lamppost.DeviceID][]byte{}, readers: map[*conn][]string{}}
	s.reader = newReader()
	return s, nil
}

// Serve accepts connections until ctx is done or the listener fails. Then it stops reading from its connections, writes
// the acknowledgements of what ingest has taken (waiting DrainTimeout at most), says good-bye and returns after the last
// of its goroutines has ended. The error is nil where ctx was the reason. It closes the listener.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	var conns sync.WaitGroup
	defer conns.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { listener.Close() })
	defer stop()
	for {
		nc, err := listener.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				nc.Close()
			}
			return nil
		case passing(err):
			s.log.Warn("mqtt: accepting a connection", "err", err)
			wait(ctx, acceptPause)
		case err != nil:
			listener.Close()
			return fmt.Errorf("mqtt: accepting connections: %w", err)
		case !s.admit():
			s.metrics.Closed.WithLabelValues("too_many").Inc()
			nc.Close()
		default:
			conns.Go(func() {
				defer s.leave()
				newConn(s, ctx, nc).serve()
			})
		}
	}
}

// SetDesired sets what a device should be like: delivered to its connections that subscribed to lp/<device>/desired, now
// and at every later subscription, until another value replaces it. Nil takes it back. message is called for each delivery, so
// that it can say how much time is left; it must not call the Server, and what it returns is not copied and must not change. One over
// [MaxDesiredBytes] is dropped, and counted.
func (s *Server) SetDesired(device lamppost.DeviceID, message func() []byte) {
	s.mail.setDesired(device, message)
}

// passing tells errors of accept that pass, such as too many open files, from those that mean the listener is gone.
func passing(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ECONNABORTED)
}

// wait waits, but not longer than ctx.
func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// admit counts a socket, if there is room for it.
func (s *Server) admit() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open >= s.cfg.MaxConnections {
		return false
	}
	s.open++
	s.metrics.Connections.Inc()
	return true
}

// leave is called when the last goroutine of a connection has ended. One that waits for a busy ingest keeps its place
// although its socket is closed: otherwise clients that come back again and again would pile up in memory.
func (s *Server) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open--
	s.metrics.Connections.Dec()
}

// enter makes c the connection of its device and client id and returns the one that was, unless clients are to go elsewhere.
func (s *Server) enter(c *conn) (old *conn, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return nil, false
	}
	old = s.sessions[c.session()]
	s.sessions[c.session()] = c
	return old, true
}

// SetAway tells all clients, those that are connected and those that come, to use another server, until it is taken back. What they
// sent and ingest has taken is acknowledged elsewhere: they send it again.
func (s *Server) SetAway(away bool) {
	s.mu.Lock()
	s.away = away
	var all []*conn
	if away {
		all = slices.Collect(maps.Values(s.sessions))
	}
	s.mu.Unlock()
	for _, c := range all {
		c.sendAway(packets.ErrUseAnotherServer, "away")
	}
}

// exit forgets c, unless another has taken over already.
func (s *Server) exit(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sessions[c.session()] == c {
		delete(s.sessions, c.session())
	}
}
