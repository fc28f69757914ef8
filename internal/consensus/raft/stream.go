package raft

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/lamppost/lamppost"
)

// A network is this member's connections with others, TLS on both sides. The library's protocol and forwarded proposals share
// one listener: a hello tells which it is. It implements raft.StreamLayer, in which a member's id stands for its address.
//
// Closing it closes every connection: the library leaves open what it accepted.
type network struct {
	cfg      *Config
	listener net.Listener
	accepted chan net.Conn // for the library
	done     context.Context
	end      context.CancelFunc
	handlers sync.WaitGroup

	mu       sync.Mutex
	conns    map[*tracked]bool
	incoming int
}

func listen(cfg *Config) (*network, error) {
	l, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("listening for other members: %w", err)
	}
	n := &network{cfg: cfg, listener: l, accepted: make(chan net.Conn), conns: map[*tracked]bool{}}
	n.done, n.end = context.WithCancel(context.Background())
	return n, nil
}

func (n *network) close() {
	n.end()
	n.listener.Close()
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		c.Conn.Close()
	}
}

// tracked is a connection that is closed with the network.
type tracked struct {
	net.Conn
	n        *network
	incoming bool
	once     sync.Once
}

func (c *tracked) Close() error {
	c.once.Do(func() {
		c.n.mu.Lock()
		defer c.n.mu.Unlock()
		delete(c.n.conns, c)
		if c.incoming {
			c.n.incoming--
		}
	})
	return c.Conn.Close()
}

var errTooMany = errors.New("too many connections")

func (n *network) track(conn net.Conn, incoming bool) (*tracked, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.done.Err(); err != nil {
		conn.Close()
		return nil, net.ErrClosed
	}
	if incoming && n.incoming >= maxConns {
		conn.Close()
		return nil, errTooMany
	}
	c := &tracked{Conn: conn, n: n, incoming: incoming}
	n.conns[c] = true
	if incoming {
		n.incoming++
	}
	return c, nil
}

// serve accepts connections until the network is closed. attend has one that forwards proposals until it returns.
func (n *network) serve(attend func(conn net.Conn, from lamppost.MemberID)) {
	defer n.handlers.Wait()
	for n.done.Err() == nil {
		raw, err := n.listener.Accept()
		if err != nil {
			pause(n.done, retryPause) // out of descriptors, perhaps
			continue
		}
		conn, err := n.track(raw, true)
		if err != nil {
			continue
		}
		n.handlers.Go(func() {
			if err := n.receive(conn, attend); err != nil {
				n.cfg.Log.Info("a connection for members was turned away", "from", conn.RemoteAddr(), "error", err)
				conn.Close()
			}
		})
	}
}

// receive learns who calls and what for.
func (n *network) receive(raw *tracked, attend func(net.Conn, lamppost.MemberID)) error {
	raw.SetDeadline(time.Now().Add(helloTimeout))
	conn, err := n.secure(raw, "")
	if err != nil {
		return err
	}
	h, err := readHello(conn)
	if err != nil {
		return err
	}
	if h.network != n.cfg.Network || h.to != n.cfg.Member {
		return fmt.Errorf("it is for member %q of network %q", h.to, h.network)
	}
	if c, ok := conn.(*tls.Conn); ok {
		if err := c.ConnectionState().PeerCertificates[0].VerifyHostname(string(h.from)); err != nil {
			return fmt.Errorf("it says it is from member %q: %w", h.from, err)
		}
	}
	raw.SetDeadline(time.Time{})
	if h.kind == kindForward {
		attend(conn, h.from)
		return conn.Close()
	}
	if h.kind != kindRaft {
		return fmt.Errorf("it is for %q", h.kind)
	}
	select {
	case n.accepted <- conn:
		return nil
	case <-n.done.Done():
		return net.ErrClosed
	}
}

// secure puts TLS around a connection, as whoever was called ("") or as who calls a member, by the certificates of now.
func (n *network) secure(raw net.Conn, call lamppost.MemberID) (net.Conn, error) {
	if n.cfg.TLS == nil {
		return raw, nil
	}
	c, err := n.cfg.TLS()
	if err != nil {
		return nil, err
	}
	c = c.Clone()
	c.MinVersion = tls.VersionTLS13
	c.GetConfigForClient = nil
	c.ClientAuth = tls.RequireAndVerifyClientCert
	c.RootCAs = c.ClientCAs
	c.ServerName = string(call)
	if c.ClientCAs == nil {
		return nil, errors.New("the TLS configuration names no authority of members' certificates")
	}
	conn := tls.Server(raw, c)
	if call != "" {
		conn = tls.Client(raw, c)
	}
	return conn, conn.HandshakeContext(n.done)
}

// dial calls a member.
func (n *network) dial(kind byte, to lamppost.MemberID, timeout time.Duration) (net.Conn, error) {
	address := n.cfg.Address(to)
	if address == "" {
		return nil, fmt.Errorf("the address of member %q is not known here", to)
	}
	ctx, cancel := context.WithTimeout(n.done, timeout)
	defer cancel()
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	if host, _, _ := net.SplitHostPort(raw.RemoteAddr().String()); n.cfg.TLS == nil && !net.ParseIP(host).IsLoopback() {
		raw.Close()
		return nil, fmt.Errorf("member %q at %q needs TLS: without it only loopback addresses are called", to, address)
	}
	kept, err := n.track(raw, false)
	if err != nil {
		return nil, err
	}
	kept.SetDeadline(time.Now().Add(timeout))
	conn, err := n.secure(kept, to)
	if err == nil {
		_, err = conn.Write(hello{kind: kind, network: n.cfg.Network, from: n.cfg.Member, to: to}.append(nil))
	}
	if err != nil {
		kept.Close()
		return nil, fmt.Errorf("calling member %q at %q: %w", to, address, err)
	}
	kept.SetDeadline(time.Time{})
	return conn, nil
}

// Dial implements raft.StreamLayer.
func (n *network) Dial(to raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	return n.dial(kindRaft, lamppost.MemberID(to), min(timeout, helloTimeout))
}

// Accept implements net.Listener for the library.
func (n *network) Accept() (net.Conn, error) {
	select {
	case c := <-n.accepted:
		return c, nil
	case <-n.done.Done():
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener for the library.
func (n *network) Close() error {
	n.close()
	return nil
}

// Addr implements net.Listener for the library.
func (n *network) Addr() net.Addr { return memberAddr(n.cfg.Member) }

type memberAddr lamppost.MemberID

func (memberAddr) Network() string  { return "member" }
func (a memberAddr) String() string { return string(a) }
