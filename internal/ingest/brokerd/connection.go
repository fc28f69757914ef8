package brokerd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/ingest"
)

// A connection is one connection to the broker, from its CONNACK to its end.
//
//	broker ─▶ library ─▶ received ─▶ Submit ─▶ ingest
//	             ▲                                │
//	             ├──── acknowledge ◀── acks ◀──── Done
//	             └──── sayRefused ◀── refusals ◀──┘
//
// The library calls received from one goroutine, in the order of the messages; while that waits for a busy ingest, at most
// a window of messages is between the broker and here. The library sends acknowledgements in the order of the messages
// (MQTT 5 §4.6) whatever the order of the replies. Messages without an acknowledgement when it ends come again on the next.
type connection struct {
	client *Client
	mqtt   *paho.Client
	began  time.Time
	fresh  atomic.Bool // the broker has kept nothing for this node, as far as is known

	ctx    context.Context // done when the connection has ended or must end; its cause says why
	end    context.CancelCauseFunc
	closed chan error // what the library says about the end

	leaving  atomic.Bool    // nothing more is taken
	owed     chan struct{}  // holds an entry for each message without acknowledgement; room for a window of them
	acks     chan uint16    // packet identifiers of those that may go out; as much room
	paid     chan struct{}  // told when owed has become empty
	refusals chan refusal   // room for maxRefused
	workers  sync.WaitGroup // acknowledge, sayRefused
}

// A refusal is on its way to the device.
type refusal struct {
	device  lamppost.DeviceID
	message []byte
}

var (
	errLost     = errors.New("the connection was lost")
	errNotTaken = errors.New("a message could not be taken; it comes again")
	errNotNow   = errors.New("a message was refused only for now; it comes again")
)

// connect makes a connection and logs in. It subscribes, unless it starts clean, as a probe does.
func (c *Client) connect(ctx context.Context, login *paho.Connect) (*connection, error) {
	ctx, cancel := context.WithTimeout(ctx, ioTimeout)
	defer cancel()
	nc, err := c.dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", c.cfg.Address, hint(err))
	}
	conn := c.over(nc)
	if err = conn.logIn(ctx, login); err == nil && !login.CleanStart {
		err = conn.subscribe(ctx)
	}
	if err == nil {
		return conn, nil
	}
	conn.close()
	if errors.Is(err, paho.ErrConnectionLost) {
		err = fmt.Errorf("%w: %w", err, <-conn.closed)
	}
	return nil, err
}

func (c *Client) dial(ctx context.Context) (net.Conn, error) {
	if !c.cfg.Address.TLS {
		return new(net.Dialer).DialContext(ctx, "tcp", c.cfg.Address.Host)
	}
	config := c.cfg.TLS
	if config == nil {
		config = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", c.cfg.Address.Host)
}

// over makes a connection of a socket.
func (c *Client) over(nc net.Conn) *connection {
	conn := &connection{client: c, began: time.Now(), closed: make(chan error, 1), owed: make(chan struct{}, c.cfg.Window),
		acks: make(chan uint16, c.cfg.Window), paid: make(chan struct{}, 1), refusals: make(chan refusal, maxRefused)}
	conn.ctx, conn.end = context.WithCancelCause(context.Background())
	conn.mqtt = paho.NewClient(paho.ClientConfig{
		Conn: newWire(nc, conn.acked, func() { conn.end(errLost) }), PacketTimeout: ioTimeout,
		EnableManualAcknowledgment: true, SendAcksInterval: ackEvery,
		OnPublishReceived:  []func(paho.PublishReceived) (bool, error){conn.received},
		OnServerDisconnect: func(d *paho.Disconnect) { conn.said(wordsOfDisconnect(d)) },
		OnClientError:      conn.said,
	})
	// What the broker kept comes right after its CONNACK.
	conn.workers.Go(conn.acknowledge)
	conn.workers.Go(conn.sayRefused)
	return conn
}

// login is the CONNECT of a session that outlives its connections.
func (c *Client) login() *paho.Connect {
	window, largest, expiry := uint16(c.cfg.Window), uint32(maxPacket), uint32(SessionExpiry/time.Second)
	return &paho.Connect{ClientID: c.cfg.ClientID, KeepAlive: uint16(keepAlive / time.Second),
		UsernameFlag: c.cfg.User != "", Username: c.cfg.User, PasswordFlag: c.cfg.Password != "", Password: []byte(c.cfg.Password),
		Properties: &paho.ConnectProperties{SessionExpiryInterval: &expiry, ReceiveMaximum: &window, MaximumPacketSize: &largest,
			RequestProblemInfo: true}}
}

func (conn *connection) logIn(ctx context.Context, login *paho.Connect) error {
	at := conn.client.cfg.Address
	ack, err := conn.mqtt.Connect(ctx, login)
	switch {
	case err != nil && ack != nil:
		return fmt.Errorf("logging in at %s: %w", at, wordsOfConnack(ack, login))
	case err != nil:
		return fmt.Errorf("logging in at %s: %w", at, hint(err))
	case ack.Properties != nil && !ack.Properties.WildcardSubAvailable:
		return fmt.Errorf("%s has no subscriptions with wildcards, which are needed to take reports from it", at)
	case ack.Properties != nil && !ack.Properties.SharedSubAvailable && conn.client.cfg.Group != "":
		return fmt.Errorf("%s has no shared subscriptions: leave the group out", at)
	}
	conn.fresh.Store(!ack.SessionPresent)
	return nil
}

// subscribe asks for reports and what the mapping reads. The broker may know these subscriptions already; those of before
// this node joined a group it must forget, or everything would come twice.
func (conn *connection) subscribe(ctx context.Context) error {
	cfg := &conn.client.cfg
	ask, alone := &paho.Subscribe{}, append([]string{"lp/+/report"}, cfg.Filters...)
	for _, filter := range alone {
		if cfg.Group != "" {
			filter = "$share/" + cfg.Group + "/" + filter
		}
		// What was retained is old (RetainHandling 2: not sent, MQTT 5 §3.8.3.1).
		ask.Subscriptions = append(ask.Subscriptions, paho.SubscribeOptions{Topic: filter, QoS: 1, RetainHandling: 2})
	}
	ack, err := conn.mqtt.Subscribe(ctx, ask)
	if ack != nil {
		for i, code := range ack.Reasons {
			if code >= 0x80 && i < len(ask.Subscriptions) {
				return fmt.Errorf("subscribing to %s at %s: %s", ask.Subscriptions[i].Topic, cfg.Address, words(code))
			}
		}
	}
	if err == nil && cfg.Group != "" {
		_, err = conn.mqtt.Unsubscribe(ctx, &paho.Unsubscribe{Topics: alone})
	}
	if err != nil {
		return fmt.Errorf("subscribing at %s: %w", cfg.Address, err)
	}
	return nil
}

// said keeps what the library says about the end; the first counts.
func (conn *connection) said(err error) {
	select {
	case conn.closed <- err:
	default:
	}
}

// serve returns when the connection has ended, or when ctx is done and what was taken is acknowledged.
func (conn *connection) serve(ctx context.Context) error {
	select {
	case <-ctx.Done():
		conn.drain()
	case <-conn.ctx.Done():
	}
	conn.close()
	err := context.Cause(conn.ctx)
	if errors.Is(err, errLost) {
		err = <-conn.closed // the library, which closed it, says why
	}
	return err
}

// drain waits until nothing is owed to the broker any more, DrainTimeout at most.
func (conn *connection) drain() {
	conn.leaving.Store(true)
	limit, cancel := context.WithTimeout(conn.ctx, DrainTimeout)
	defer cancel()
	for len(conn.owed) > 0 {
		select {
		case <-conn.paid:
		case <-limit.Done():
			return
		}
	}
}

// close says good-bye, if that is still possible, and waits until nothing of the connection is running.
func (conn *connection) close() {
	conn.end(nil) // received waits no longer; an earlier cause stays
	_ = conn.mqtt.Disconnect(&paho.Disconnect{})
	<-conn.mqtt.Done()
	conn.workers.Wait()
}

// received hands a message to ingest. It waits while ingest is busy, after too many bad reports, and while a window of
// messages is there: a broker must not send more, but mosquitto 2.0.11 does where its max_inflight_messages is 0
// (TestWindow).
func (conn *connection) received(p paho.PublishReceived) (bool, error) {
	m, d := p.Packet, &delivery{conn: conn, again: p.Packet.Duplicate()}
	if m.QoS > 0 {
		d.id = m.PacketID
		select {
		case conn.owed <- struct{}{}:
		case <-conn.ctx.Done():
			return true, nil // the broker has it still
		}
	}
	if conn.leaving.Load() {
		if m.QoS > 0 {
			conn.pay()
		}
		return true, nil
	}
	conn.client.metrics.received.Add(1)
	if d.again {
		conn.client.metrics.redelivered.Add(1)
	}
	err := conn.hand(m, d)
	for flood := (*ingest.FloodError)(nil); errors.As(err, &flood) && conn.ctx.Err() == nil; {
		wait(conn.ctx, flood.Wait)
		err = conn.hand(m, d)
	}
	if err != nil {
		conn.end(fmt.Errorf("%w: %w", errNotTaken, err))
	}
	return true, nil
}

// hand submits a message. After nil, and only then, d.Done is called once.
func (conn *connection) hand(m *paho.Publish, d *delivery) error {
	cfg := &conn.client.cfg
	device, signed := reporter(m.Topic)
	known := signed
	if !signed && cfg.Foreign != nil {
		device, known = cfg.Foreign.Device(m.Topic)
	}
	if !known {
		d.refused("this topic is neither a report's nor mapped")
		return nil
	}
	if err := lamppost.CheckName("device", string(device)); err != nil {
		d.refused(err.Error())
		return nil
	}
	d.device = device
	from := &ingest.Origin{Device: device, Relayed: !cfg.BindsTopics, Late: d.again || !conn.fresh.Load() && time.Since(conn.began) < settleTime,
		Allowance: conn.client.bad}
	if signed {
		if cfg.Tally != nil {
			from.Tally = cfg.Tally(device)
		}
		return cfg.Submit.Submit(conn.ctx, from, m.Payload, 0, d)
	}
	ours, err := cfg.Foreign.Publish(conn.ctx, from, m.Topic, m.Payload, 0, d)
	if !ours && err == nil {
		d.refused("nobody reads this topic any more")
	}
	return err
}

// reporter says whose report a topic carries.
func reporter(topic string) (lamppost.DeviceID, bool) {
	topic, ours := strings.CutPrefix(topic, "lp/")
	device, report := strings.CutSuffix(topic, "/report")
	return lamppost.DeviceID(device), ours && report
}

// A delivery is a message that was handed to ingest.
type delivery struct {
	conn   *connection
	device lamppost.DeviceID // whom the topic names; empty: nobody
	id     uint16            // packet identifier; 0 with QoS 0, which nobody acknowledges
	again  bool              // the broker has sent it before
}

// refused answers a message that is nothing for ingest.
func (d *delivery) refused(text string) {
	d.Done(0, ingest.Reply{Code: lamppost.CodeForbidden, Text: text})
}

// Done is ingest's answer (ingest.Sink). What was refused only for now is not acknowledged: the connection ends, and the
// broker brings the message again on the next.
func (d *delivery) Done(_ uint64, r ingest.Reply) {
	if !r.Code.Accepted() {
		d.conn.client.metrics.refuse(r.Code)
		if !r.Code.Final() {
			d.conn.end(fmt.Errorf("%w: %s", errNotNow, r.Text))
			return
		}
		if !d.again || r.Code != lamppost.CodeTooOld { // too old to be known again, it may well be the one that was committed
			d.conn.refuse(d.device, &r)
		}
	}
	if d.id != 0 {
		d.conn.acks <- d.id // does not block: there is room for each that is owed
	}
}

// refuse has the device told, unless too many others wait to be.
func (conn *connection) refuse(device lamppost.DeviceID, r *ingest.Reply) {
	if device == "" {
		return
	}
	select {
	case conn.refusals <- refusal{device, r.Refusal()}:
	default:
		conn.client.metrics.Dropped.Inc()
	}
}

// acknowledge gives the library what is answered. It is not done in Done, because it waits while the broker takes no bytes.
func (conn *connection) acknowledge() {
	for {
		select {
		case id := <-conn.acks:
			_ = conn.mqtt.Ack(&paho.Publish{PacketID: id, QoS: 1}) // an error: the connection has ended
		case <-conn.ctx.Done():
			return
		}
	}
}

// acked is told of each acknowledgement that was sent.
func (conn *connection) acked() {
	conn.client.metrics.acked.Add(1)
	conn.pay()
}

// pay takes a message off those that are owed.
func (conn *connection) pay() {
	if <-conn.owed; len(conn.owed) == 0 {
		select {
		case conn.paid <- struct{}{}:
		default:
		}
	}
}

// sayRefused tells devices of refusals. The broker may not let this node; that is logged once a connection.
func (conn *connection) sayRefused() {
	c, told := conn.client, false
	for {
		select {
		case r := <-conn.refusals:
			topic := "lp/" + string(r.device) + "/refused"
			answer, err := conn.mqtt.Publish(conn.ctx, &paho.Publish{QoS: 1, Topic: topic, Payload: r.message})
			if err == nil || conn.ctx.Err() != nil {
				continue
			}
			c.metrics.Dropped.Inc()
			if answer != nil {
				err = errors.New(words(answer.ReasonCode))
			}
			if !told {
				c.log.Warn("broker: devices are not told of refusals", "topic", topic, "err", err)
				told = true
			}
		case <-conn.ctx.Done():
			return
		}
	}
}
