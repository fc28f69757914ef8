package node

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/network"
)

// What members ask each other over HTTP. Both ends know each other by the keys that the ledger has of members: beside the certificate
// that everybody sees, the door shows another one to who names the members' protocol.

// asked is the key of the member that a request is for, in its context.
type asked struct{}

// openLinks makes what members know each other by, and the client for the other members' HTTP doors. It follows no redirection and uses no
// proxy: neither could show the member's certificate.
func (n *Node) openLinks() {
	n.links = &network.TLS{ID: n.cfg.Member, Key: ed25519.NewKeyFromSeed(n.key.Seed()), Members: n.members}
	n.asks = &http.Client{
		Transport: &http.Transport{DialTLSContext: n.callMember, MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		}}
}

func (n *Node) callMember(ctx context.Context, network, address string) (net.Conn, error) {
	to, _ := ctx.Value(asked{}).(lamppost.MemberID)
	cfg, err := n.links.Call(to)
	if err != nil {
		return nil, err
	}
	d := tls.Dialer{Config: cfg}
	return d.DialContext(ctx, network, address)
}

// askMember asks a member at its address. Beyond this machine the answer is the member's own, by its key.
func (n *Node) askMember(ctx context.Context, id lamppost.MemberID, at, path string) (text string, status int, err error) {
	if err := network.CheckURL(at); err != nil {
		return "", 0, err
	}
	req, err := http.NewRequestWithContext(context.WithValue(ctx, asked{}, id), http.MethodGet, strings.TrimRight(at, "/")+path, nil)
	if err != nil {
		return "", 0, err
	}
	resp, err := n.asks.Do(req)
	if err != nil {
		return "", 0, err
	}
	defer resp.Body.Close()
	if by, ok := network.Peer(resp.TLS, n.members()); resp.TLS != nil && (!ok || by != id) {
		return "", 0, fmt.Errorf("%s is the door of %q, not of %q", at, by, id) // a connection that was made to ask another
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, lamppost.MaxCheckpointBytes))
	return string(raw), resp.StatusCode, err
}

// forMembers is the configuration of the HTTP door: who names the members' protocol is shown this member's certificate.
func (n *Node) forMembers(cert *tls.Config) *tls.Config {
	if n.file == nil || cert == nil {
		return cert
	}
	door := cert.Clone()
	door.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if slices.Contains(hello.SupportedProtos, network.Protocol) {
			return n.links.Door()
		}
		return cert.GetConfigForClient(hello)
	}
	return door
}

// fromMember reports whether a request is another member's, by its key. A door without TLS is open to this machine alone.
func (n *Node) fromMember(r *http.Request) bool {
	_, ok := network.Peer(r.TLS, n.members())
	return ok || r.TLS == nil && n.private(r.Context())
}
