// Package devicemqtt sends a device's reports over MQTT 5, and brings it what its network desires of it.
//
// It promises what [device.Sender] asks for: a report counts as delivered only when the network's own acknowledgement,
// the PUBACK of QoS 1, says that it is committed. It keeps one connection, makes it anew when it is lost, and never has
// more reports under way than the server allows. It keeps no MQTT session: what was not acknowledged when a connection
// was lost is sent again by [device.Device.Run], which has it on disk.
//
// The PUBACK means "committed" only at a Lamppost node. A foreign broker acknowledges what it merely has, so do not point
// a device at one.
//
// Start reading at [Open] and [Sender.Send].
//
//	topic                     direction   payload
//	lp/<device>/report        up          one signed report
//	lp/<device>/desired       down        what the network desires, for Config.OnDesired
//	lp/<device>/refused       down        refusals of reports, for Config.OnRefused
package devicemqtt

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/device"
)

// Limits and defaults.
const (
	DefaultKeepAlive  = 30 * time.Second // a dead connection is noticed after about one and a half
	DefaultMinBackoff = 500 * time.Millisecond
	DefaultMaxBackoff = time.Minute
	DefaultAckTimeout = 20 * time.Second // far above what a network takes that can commit; device.DefaultSendTimeout where there is one server

	connectTimeout = 20 * time.Second // for address, TLS, CONNECT and SUBSCRIBE together
	firstTimeout   = 2 * time.Second  // likewise, while there are other servers that have not been tried; doubles whenever all have been
	ackTimeout     = 2 * time.Minute  // above device.DefaultSendTimeout, which normally decides
	maxKeepAlive   = 18 * time.Hour   // what 16 bits of seconds hold
)

// PUBACK reason codes (MQTT 5 §3.4.2.1) that decide nothing about the report.
const (
	reasonNoSubscribers = 0x10
	reasonQuotaExceeded = 0x97
	reasonFailure       = 0x80 // from here on
)

// Config is what Open needs. URL, Device and Token are required.
type Config struct {
	URL    string // mqtt://host[:1883], or mqtts://host[:8883] with TLS; of several members, with commas between
	Device lamppost.DeviceID
	Token  string      // from the operator
	TLS    *tls.Config // for mqtts; nil: the system's roots

	// OnDesired and OnRefused are called from one goroutine with payloads they may keep. They should return soon: while
	// they run, nothing else is received on the connection's subscriptions.
	OnDesired func(payload []byte)
	OnRefused func(payload []byte)

	Commands bool // makes the Sender a device.Commander, for device.CommandConfig.From

	// AckTimeout is how long a server may leave a report unanswered: then the connection is ended, and the next one goes to another
	// server, if there are several. Default DefaultAckTimeout if there are, otherwise what the context of Send says.
	AckTimeout time.Duration

	KeepAlive              time.Duration // default DefaultKeepAlive
	MinBackoff, MaxBackoff time.Duration // between attempts to connect; defaults DefaultMinBackoff, DefaultMaxBackoff
	Rand                   *rand.Rand    // for the jitter of backoff; default randomly seeded
	Log                    *slog.Logger  // default: nothing is logged
}

// A Sender is a [device.Sender] over one MQTT connection at a time. Its methods may be called concurrently.
type Sender struct {
	cfg     Config
	hosts   []string // host:port, tried in turn
	cancel  context.CancelFunc
	stopped chan struct{}

	mu   sync.Mutex
	live *connection   // nil while there is none
	up   chan struct{} // closed when live is set; made anew when it is lost
	last error         // why the last attempt or connection failed

	desired  []byte        // the last message that told what is desired
	messages uint64        // how many did
	another  chan struct{} // closed when one comes
}

// A connection is one MQTT connection, from CONNACK to its end.
type connection struct {
	host   string
	conn   net.Conn
	client *paho.Client
	gone   context.Context // done once the client has stopped
	leave  context.CancelFunc
}

var errLost = errors.New("the connection was lost")

// Open starts connecting and returns at once; the connection is made, and made again, in the background until Close.
func Open(cfg Config) (*Sender, error) {
	if err := lamppost.CheckName("device", string(cfg.Device)); err != nil {
		return nil, err
	}
	hosts, err := hostsOf(cfg.URL, &cfg.TLS)
	if err != nil {
		return nil, err
	}
	if cfg.KeepAlive == 0 {
		cfg.KeepAlive = DefaultKeepAlive
	}
	if cfg.AckTimeout == 0 {
		cfg.AckTimeout = ackTimeout
		if len(hosts) > 1 {
			cfg.AckTimeout = DefaultAckTimeout
		}
	}
	if cfg.MinBackoff == 0 {
		cfg.MinBackoff = DefaultMinBackoff
	}
	if cfg.MaxBackoff == 0 {
		cfg.MaxBackoff = DefaultMaxBackoff
	}
	if cfg.KeepAlive < time.Second || cfg.KeepAlive > maxKeepAlive || cfg.AckTimeout < 0 || cfg.MinBackoff < 0 || cfg.MaxBackoff < cfg.MinBackoff {
		return nil, fmt.Errorf("opening MQTT for %q: keep-alive %v, acknowledgement %v or backoff %v to %v is out of range", cfg.Device, cfg.KeepAlive, cfg.AckTimeout, cfg.MinBackoff, cfg.MaxBackoff)
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Sender{cfg: cfg, hosts: hosts, cancel: cancel, stopped: make(chan struct{}), up: make(chan struct{}), another: make(chan struct{})}
	go s.stayConnected(ctx)
	return s, nil
}

// hostsOf reads addresses with commas between, all with TLS or none.
func hostsOf(list string, config **tls.Config) (hosts []string, err error) {
	given := *config
	for i, text := range strings.Split(list, ",") {
		own := given
		host, err := hostOf(strings.TrimSpace(text), &own)
		if err != nil {
			return nil, err
		}
		if i > 0 && (own == nil) != (*config == nil) {
			return nil, fmt.Errorf("reading the MQTT addresses %q: some are mqtt:// and some mqtts://", list)
		}
		*config, hosts = own, append(hosts, host)
	}
	return hosts, nil
}

// hostOf returns the host and port of the URL, and makes a TLS configuration or removes it as the scheme says.
func hostOf(text string, config **tls.Config) (string, error) {
	u, err := url.Parse(text)
	if err != nil {
		return "", fmt.Errorf("reading the MQTT address %q: %w", text, err)
	}
	port := "1883"
	switch {
	case u.Hostname() == "":
		return "", fmt.Errorf("reading the MQTT address %q: it has no host", text)
	case u.Scheme == "mqtt":
		*config = nil
	case u.Scheme == "mqtts":
		port = "8883"
		if *config == nil {
			*config = &tls.Config{MinVersion: tls.VersionTLS12}
		}
	default:
		return "", fmt.Errorf("reading the MQTT address %q: it begins neither with mqtt:// nor with mqtts://", text)
	}
	if u.Port() != "" {
		port = u.Port()
	}
	return net.JoinHostPort(u.Hostname(), port), nil
}

// Close ends the connection and waits until nothing of it is running. Sends under way return an error.
func (s *Sender) Close() error {
	s.cancel()
	<-s.stopped
	return nil
}

// Send implements [device.Sender]. It waits for a connection if there is none.
func (s *Sender) Send(ctx context.Context, report []byte) (device.Ack, error) {
	c, err := s.connection(ctx)
	if err != nil {
		return device.Ack{}, fmt.Errorf("sending a report: %w", err)
	}
	ctx, late := context.WithTimeout(ctx, s.cfg.AckTimeout)
	defer late()
	// A Publish that begins just as the connection ends waits for a PUBACK that nobody will bring; paho v0.23.0 does not
	// notice (session/state: the connection is looked at before a packet identifier is taken, not after).
	sending, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(c.gone, func() { cancel(errLost) })()
	resp, err := c.client.Publish(sending, &paho.Publish{Topic: topic(s.cfg.Device, "report"), QoS: 1, Payload: report})
	if resp != nil { // the server has answered; an answer that is no success comes with an error too
		ack, err := ackOf(resp)
		if err == nil {
			ack.Server = c.host
		}
		return ack, err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		// A server that does not answer keeps a place of its Receive Maximum taken. Only a new connection frees it, and it goes to
		// another server, where there is one: this one may not want to.
		c.conn.Close()
	}
	if cause := context.Cause(sending); cause != nil {
		err = cause
	}
	return device.Ack{}, fmt.Errorf("sending a report: %w", err)
}

// Members implements [device.Roamer].
func (s *Sender) Members() int { return len(s.hosts) }

// Elsewhere implements [device.Roamer]: it ends the connection, and the next server is tried.
func (s *Sender) Elsewhere(server string) {
	s.mu.Lock()
	live := s.live
	s.mu.Unlock()
	if live != nil && (server == "" || server == live.host) {
		live.conn.Close()
	}
}

// connection returns the live connection, waiting for it.
func (s *Sender) connection(ctx context.Context) (*connection, error) {
	for {
		s.mu.Lock()
		live, up := s.live, s.up
		s.mu.Unlock()
		if live != nil {
			return live, nil
		}
		select {
		case <-up:
		case <-s.stopped:
			return nil, fmt.Errorf("the sender of %q is closed", s.cfg.Device)
		case <-ctx.Done():
			s.mu.Lock()
			defer s.mu.Unlock()
			return nil, errors.Join(ctx.Err(), s.last) // the deadline alone would not say what is wrong
		}
	}
}

// ackOf reads a PUBACK. A Lamppost node writes the code's name first in the reason string, and report id and height as
// user properties.
func ackOf(resp *paho.PublishResponse) (device.Ack, error) {
	if resp.Properties == nil {
		resp.Properties = &paho.PublishResponseProperties{}
	}
	reason := resp.Properties.ReasonString
	name, text, _ := strings.Cut(reason, ":")
	name, _, _ = strings.Cut(name, " ")
	code, known := device.ParseCode(name)
	ack, err := ackProperties(resp.Properties.User)
	switch {
	case err != nil:
		return device.Ack{}, err
	case resp.ReasonCode == reasonQuotaExceeded:
		return device.Ack{}, &device.WaitError{Why: "sending a report: the server says: " + reason}
	case resp.ReasonCode == reasonNoSubscribers:
		return device.Ack{}, errors.New("sending a report: the server has nobody to give it to")
	case resp.ReasonCode < reasonFailure:
		if known && code == lamppost.CodeDuplicate {
			ack.Code = code
		}
		return ack, nil
	case !known || code.Accepted():
		return device.Ack{}, fmt.Errorf("sending a report: reason code %#x: %.200q", resp.ReasonCode, reason)
	}
	ack.Code, ack.Text = code, strings.TrimSpace(text)
	return ack, nil
}

func ackProperties(user paho.UserProperties) (ack device.Ack, err error) {
	if text := user.Get("report"); text != "" {
		if ack.ID, err = lamppost.ParseHash(text); err != nil {
			return ack, fmt.Errorf("reading a PUBACK: %w", err)
		}
	}
	if text := user.Get("height"); text != "" {
		height, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return ack, fmt.Errorf("reading a PUBACK: %q is not a height", text)
		}
		ack.Height = lamppost.Height(height)
	}
	return ack, nil
}

func topic(id lamppost.DeviceID, what string) string { return "lp/" + string(id) + "/" + what }

// stayConnected is the one goroutine of a Sender. It makes a connection, waits for its end, and goes to the next server; it pauses
// when it has been at all of them.
func (s *Sender) stayConnected(ctx context.Context) {
	defer close(s.stopped)
	at := s.cfg.Rand.IntN(len(s.hosts)) // so that members get as many devices each
	for failures := 0; ctx.Err() == nil; failures++ {
		host := s.hosts[at]
		at = (at + 1) % len(s.hosts)
		c, err := s.connect(ctx, host, s.timeout(failures))
		if err == nil {
			failures = 0
			s.cfg.Log.Info("connected", "device", s.cfg.Device, "server", host)
			s.become(c, nil)
			err = c.wait(ctx)
		}
		s.become(nil, err)
		if ctx.Err() != nil {
			return
		}
		s.cfg.Log.Warn("not connected", "device", s.cfg.Device, "server", host, "error", err)
		if (failures+1)%len(s.hosts) == 0 {
			pause(ctx, s.backoff(failures/len(s.hosts)))
		}
	}
}

// become makes c the live connection, or none.
func (s *Sender) become(c *connection, why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case c != nil:
		close(s.up)
	case s.live != nil:
		s.up = make(chan struct{})
	}
	s.live, s.last = c, why
}

// timeout returns how long an attempt to connect may take after so many failures. A server that stands still takes a connection and never
// answers, so with others to go to one does not wait for it; but a slow link shall not keep a device away from all.
func (s *Sender) timeout(failures int) time.Duration {
	if len(s.hosts) == 1 {
		return connectTimeout
	}
	return min(firstTimeout<<min(failures/len(s.hosts), 8), connectTimeout)
}

// backoff returns the pause after one failure more than the given: doubling, with the upper half left to chance.
func (s *Sender) backoff(failures int) time.Duration {
	pause := s.cfg.MaxBackoff
	if failures < 32 && s.cfg.MinBackoff <= s.cfg.MaxBackoff>>failures {
		pause = s.cfg.MinBackoff << failures
	}
	return pause/2 + time.Duration(s.cfg.Rand.Int64N(int64(pause/2)+1))
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// connect makes one connection, subscriptions included.
func (s *Sender) connect(ctx context.Context, host string, timeout time.Duration) (*connection, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conn, err := s.dial(ctx, host)
	if err != nil {
		return nil, fmt.Errorf("connecting to %q: %w", host, err)
	}
	gone, leave := context.WithCancel(context.Background())
	c := &connection{host: host, conn: conn, gone: gone, leave: leave, client: paho.NewClient(paho.ClientConfig{
		Conn: packets.NewThreadSafeConn(conn), PacketTimeout: ackTimeout,
		OnPublishReceived:  []func(paho.PublishReceived) (bool, error){s.received},
		OnServerDisconnect: func(d *paho.Disconnect) { s.cfg.Log.Warn("the server disconnects", "reason", d.ReasonCode) },
	})}
	// Clean start and no session expiry: MQTT must not send again by itself what the device's queue sends again.
	_, err = c.client.Connect(ctx, &paho.Connect{ClientID: string(s.cfg.Device), CleanStart: true,
		KeepAlive: uint16(s.cfg.KeepAlive / time.Second), UsernameFlag: true, Username: string(s.cfg.Device),
		PasswordFlag: true, Password: []byte(s.cfg.Token)})
	if err != nil {
		conn.Close()
		leave()
		return nil, fmt.Errorf("connecting to %q as %q: %w", host, s.cfg.Device, err)
	}
	if err := s.subscribe(ctx, c); err != nil {
		return nil, errors.Join(fmt.Errorf("subscribing at %q as %q: %w", host, s.cfg.Device, err), c.end())
	}
	return c, nil
}

func (s *Sender) dial(ctx context.Context, host string) (net.Conn, error) {
	if s.cfg.TLS != nil {
		return (&tls.Dialer{Config: s.cfg.TLS}).DialContext(ctx, "tcp", host)
	}
	return new(net.Dialer).DialContext(ctx, "tcp", host)
}

func (s *Sender) subscribe(ctx context.Context, c *connection) error {
	var to []paho.SubscribeOptions
	if s.cfg.OnDesired != nil || s.cfg.Commands {
		to = append(to, paho.SubscribeOptions{Topic: topic(s.cfg.Device, "desired"), QoS: 1})
	}
	if s.cfg.OnRefused != nil {
		to = append(to, paho.SubscribeOptions{Topic: topic(s.cfg.Device, "refused"), QoS: 1})
	}
	if len(to) == 0 {
		return nil
	}
	_, err := c.client.Subscribe(ctx, &paho.Subscribe{Subscriptions: to})
	return err
}

// received hands a message on to the callback of its topic.
func (s *Sender) received(m paho.PublishReceived) (bool, error) {
	switch m.Packet.Topic {
	case topic(s.cfg.Device, "desired"):
		s.mu.Lock()
		s.desired = m.Packet.Payload
		s.messages++
		close(s.another)
		s.another = make(chan struct{})
		s.mu.Unlock()
		if s.cfg.OnDesired != nil {
			s.cfg.OnDesired(m.Packet.Payload)
		}
	case topic(s.cfg.Device, "refused"):
		if s.cfg.OnRefused != nil {
			s.cfg.OnRefused(m.Packet.Payload)
		}
	}
	return true, nil
}

// Desired implements [device.Commander]: what the server said last, also if it said the same before, since it says it again to a device that
// connects again.
func (s *Sender) Desired(ctx context.Context, tag string, wait time.Duration) (message []byte, newTag string, changed bool, err error) {
	if !s.cfg.Commands {
		return nil, "", false, errors.New("Config.Commands is off: nothing is subscribed to")
	}
	over := time.NewTimer(wait)
	defer over.Stop()
	for {
		s.mu.Lock()
		message, n, another := s.desired, s.messages, s.another
		s.mu.Unlock()
		if now := strconv.FormatUint(n, 10); n > 0 && now != tag {
			return message, now, true, nil
		}
		select {
		case <-another:
		case <-over.C:
			return nil, tag, false, nil
		case <-s.stopped:
			return nil, "", false, fmt.Errorf("the sender of %q is closed", s.cfg.Device)
		case <-ctx.Done():
			return nil, "", false, ctx.Err()
		}
	}
}

// wait returns when the connection has ended, which it makes it do when ctx is done.
func (c *connection) wait(ctx context.Context) error {
	defer c.leave()
	select {
	case <-c.client.Done():
		return errLost
	case <-ctx.Done():
		return c.end()
	}
}

// end says goodbye and waits until the client has stopped.
func (c *connection) end() error {
	defer c.leave()
	err := c.client.Disconnect(&paho.Disconnect{})
	<-c.client.Done()
	return err
}
