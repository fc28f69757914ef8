// Package brokerd brings reports from an MQTT broker that others run: it joins the broker as a client, subscribes to what
// devices publish there, and acknowledges a message to the broker only when ingest has said that it is committed or
// refused for good. Until then the broker keeps the message, also while this node is away: the session outlives the
// connection. What the broker brings twice, the ledger's sequence rule makes harmless.
//
// So the promise that an acknowledgement means "committed" holds between broker and node. What a device hears is the
// broker's word, which only says that the broker has the message. Who published, a broker does not say: a signed report
// counts by its signature, for the device that its topic names, and other messages are unsigned, unless
// [Config.BindsTopics] says that the broker checks.
//
// It needs MQTT 5, for sessions that expire and for Receive Maximum: while ingest is busy at most a window of messages is
// here, and the rest waits in the broker. With a shared subscription several nodes split what comes (docs/decisions/0004).
//
// Start reading at [Client.Run], then connection.received (the way in) and delivery.Done (the way out). Limits are in
// limits.go, what operators and devices must know in docs/devices.md.
package brokerd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/ingest"
)

// A Submitter takes reports; *ingest.Ingest is one, and its comments are the contract.
type Submitter interface {
	Submit(ctx context.Context, from *ingest.Origin, raw []byte, token uint64, sink ingest.Sink) error
}

// A Foreign takes messages that are no reports; *mapping.Door is one, and its comments are the contract.
type Foreign interface {
	Device(topic string) (lamppost.DeviceID, bool)
	Publish(ctx context.Context, from *ingest.Origin, topic string, message []byte, token uint64, sink ingest.Sink) (bool, error)
}

// Config is what a Client needs. Zero values of the limits mean the defaults of limits.go.
type Config struct {
	Address        Address
	User, Password string      // without a user there is no log-in
	TLS            *tls.Config // where the address asks for TLS; nil: the system's roots

	ClientID string // stable, and of this node alone: the broker keeps the session under it
	Group    string // of shared subscriptions: nodes of one group split what comes; empty: this node gets all of it

	// BindsTopics says that the broker lets a device publish only to topics that name it, so that a message without a
	// signature counts as its device's own.
	BindsTopics bool

	Submit Submitter // required to Run
	// Tally counts the reports of the device that a topic names; nil, or nil of a device: they are not counted.
	Tally   func(lamppost.DeviceID) *ingest.Tally
	Foreign Foreign  // nil: signed reports only
	Filters []string // of the foreign messages' topics

	Window                 int // messages that wait for their acknowledgement
	MinBackoff, MaxBackoff time.Duration

	Now     func() time.Time // of Status; nil: time.Now
	Log     *slog.Logger     // nil: nothing is logged
	Metrics *Metrics         // nil: counted, but nowhere to be seen
}

// Status is how a Client is.
type Status struct {
	Connected    bool
	Since        time.Time // of the connection, or of being without one
	Err          error     // why there is none
	Received     uint64    // messages, those that came again included
	Redelivered  uint64    // messages that the broker says it sent before
	Acknowledged uint64    // to the broker: committed, or refused for good
	Refused      uint64    // for good
}

// A Client is one node's part at a broker. Run drives it; Status may be called by anybody.
type Client struct {
	cfg     Config
	log     *slog.Logger
	metrics *Metrics
	bad     *ingest.Allowance // of bad reports, of all that the broker brings

	mu     sync.Mutex
	status Status // without what the metrics count
}

// New makes a Client. It starts nothing.
func New(cfg Config) (*Client, error) {
	if cfg.Address.Host == "" || cfg.ClientID == "" {
		return nil, errors.New("broker: Address and ClientID are required")
	}
	if strings.ContainsAny(cfg.Group, "/+#\x00") {
		return nil, fmt.Errorf("broker: group %q: it has no /, + or #", cfg.Group)
	}
	if cfg.Window < 0 || cfg.Window > maxWindow || cfg.MinBackoff < 0 || cfg.MaxBackoff < 0 {
		return nil, fmt.Errorf("broker: limits must not be negative, nor the window over %d", maxWindow)
	}
	if cfg.Window == 0 {
		cfg.Window = DefaultWindow
	}
	if cfg.MinBackoff == 0 {
		cfg.MinBackoff = DefaultMinBackoff
	}
	if cfg.MaxBackoff == 0 {
		cfg.MaxBackoff = DefaultMaxBackoff
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Metrics == nil {
		cfg.Metrics = NewMetrics(nil)
	}
	return &Client{cfg: cfg, log: cfg.Log.With("broker", cfg.Address.String()), metrics: cfg.Metrics,
		bad: ingest.NewAllowance(badBurst, badPerSecond), status: Status{Since: cfg.Now()}}, nil
}

// Run stays at the broker until ctx is done: where the connection is lost or cannot be made, it tries again, later each
// time. At the end it takes nothing more, acknowledges what ingest has taken (waiting DrainTimeout at most) and leaves; the
// broker keeps what comes meanwhile.
func (c *Client) Run(ctx context.Context) error {
	for failures := 0; ctx.Err() == nil; failures++ {
		began := time.Now()
		err := c.stay(ctx)
		if ctx.Err() != nil {
			break
		}
		c.became(false, err)
		if time.Since(began) > c.cfg.MaxBackoff {
			failures = 0 // it was a good connection
		}
		pause := c.backoff(failures)
		c.log.Warn("broker: not connected; what devices publish waits there", "err", err, "again_in", pause)
		wait(ctx, pause)
	}
	c.became(false, errors.New("the node is stopping"))
	return nil
}

// stay makes a connection and returns when it has ended.
func (c *Client) stay(ctx context.Context) error {
	conn, err := c.connect(ctx, c.login())
	if err != nil {
		return err
	}
	c.became(true, nil)
	c.log.Info("broker: connected", "resumed", !conn.fresh.Load())
	return conn.serve(ctx)
}

// Probe tries whether the broker can be reached, takes the log-in and has what is needed. It does so under a client id of
// its own and without subscribing, so that it takes no message and disturbs no node that runs.
func (c *Client) Probe(ctx context.Context) error {
	connect, now := c.login(), uint32(0)
	connect.ClientID, connect.CleanStart, connect.Properties.SessionExpiryInterval = connect.ClientID+"-check", true, &now
	conn, err := c.connect(ctx, connect)
	if err == nil {
		conn.close()
	}
	return err
}

// Address is where the broker is, without any log-in.
func (c *Client) Address() string { return c.cfg.Address.String() }

// Status says how the Client is.
func (c *Client) Status() Status {
	c.mu.Lock()
	s := c.status
	c.mu.Unlock()
	m := c.metrics
	s.Received, s.Redelivered, s.Acknowledged, s.Refused = m.received.Load(), m.redelivered.Load(), m.acked.Load(), m.refused.Load()
	return s
}

// became notes a change; Since stays where there is none.
func (c *Client) became(connected bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.status.Connected != connected {
		c.status.Connected, c.status.Since = connected, c.cfg.Now()
		c.metrics.connected.Store(connected)
	}
	c.status.Err = err
}

// backoff returns the pause after one failure more than the given: doubling, with the upper half left to chance, so that
// the nodes of a broker that was restarted do not come all at once.
func (c *Client) backoff(failures int) time.Duration {
	pause := c.cfg.MaxBackoff
	if failures < 32 && c.cfg.MinBackoff <= c.cfg.MaxBackoff>>failures {
		pause = c.cfg.MinBackoff << failures
	}
	return pause/2 + rand.N(pause/2+1)
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
