package mqttd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/ingest"
)

// noAck is the token of reports with QoS 0: nobody waits for an acknowledgement.
const noAck = ^uint64(0)

// A conn is one connection: a goroutine that reads (serve) and one that writes (write). The reader is the owner and
// waits for the writer.
//
//	socket ─▶ input ─▶ publish ─▶ expect ─▶ TrySubmit ──────▶ ingest
//	            │         (token = place in the window)          │
//	            └▶ control ─▶ reply ─▶ outbox                   Done
//	                                     │                       ▼
//	socket ◀────── write ◀────────── collect ◀── window: done from the front on
//
// It ends in one of three ways: the reader has met an error or the client's DISCONNECT, somebody called finish (another
// connection took over, the node is busy or stops), or a write went wrong. Each leads to finish, which wakes both
// goroutines; the writer closes the socket, the reader waits for that. Reports that ingest has taken and whose
// acknowledgement finds no connection any more are committed all the same: the device sends them again and hears
// "duplicate", which is an acknowledgement like the first.
type conn struct {
	srv *Server
	nc  net.Conn
	ctx context.Context // the server's: a report that was read is submitted even if its connection has ended
	log *slog.Logger

	// Set by connect, only read afterwards.
	version   byte // 4 is MQTT 3.1.1, 5 is MQTT 5
	origin    *ingest.Origin
	reader    bool   // an administrator, who reads alarms and is no device
	client    string // the client id
	topics    struct{ report, refused, desired string }
	keepalive time.Duration // longest silence, 0 for any
	receipts  bool
	mods      packets.Mods // what the client takes: sizes, reason strings

	// The reader's.
	in       input
	received int  // PUBLISH packets since the counter was told
	late     bool // the read deadline belongs to the packet before

	written chan struct{} // closed when the writer has ended and closed the socket

	mu    sync.Mutex // everything below
	ready sync.Cond  // the writer waits for work
	room  sync.Cond  // the reader waits for the writer
	owed  window
	out   outbox
	end   ending
}

// nobody is whose connection it is before the log-in.
var nobody = new(ingest.Origin)

// An ending is how a connection ends. The first reason counts.
type ending struct {
	begun bool
	why   packets.Code // told to MQTT 5 clients where it is an error
	drain bool         // write what is owed first
	limit *time.Timer  // of draining
}

// errEnded is how the reader hears that the connection was ended by somebody else, who has told why.
var errEnded = errors.New("ended")

// errNotTaken ends a connection whose report ingest could not take: the node is shutting down.
var errNotTaken = errors.New("the report was not taken")

func newConn(s *Server, ctx context.Context, nc net.Conn) *conn {
	c := &conn{srv: s, nc: nc, ctx: ctx, log: s.log.With("remote", nc.RemoteAddr().String()), in: newInput(nc, s.cfg.MaxPacket),
		written: make(chan struct{}), owed: window{max: s.cfg.InFlight}, origin: nobody, keepalive: ConnectTimeout, late: true}
	c.ready.L, c.room.L = &c.mu, &c.mu
	return c
}

// serve runs the connection from the first byte to the closed socket.
func (c *conn) serve() {
	stop := context.AfterFunc(c.ctx, func() { c.finish(packets.ErrServerShuttingDown, true) })
	defer c.release()
	defer stop()
	defer c.srv.exit(c)
	defer c.srv.board.leave(c)
	if err := c.connect(); err != nil {
		c.report(err)
		c.nc.Close()
		return
	}
	if !c.reader {
		defer c.srv.mail.unsubscribe(c, topicRefused|topicDesired)
	}
	c.log.Debug("mqtt: connected", "version", c.version)

	go c.write() // ends after finish; waited for below
	c.late = true
	err := c.read()
	if errors.Is(err, errNotTaken) {
		c.finish(packets.ErrServerShuttingDown, true) // may come before the server's context says so
	}
	c.finish(codeOf(err), false)
	<-c.written
	c.report(err)
}

// release stops what finish may have started.
func (c *conn) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.end.limit != nil {
		c.end.limit.Stop()
	}
}

// session names the connection among those of all devices: a device cannot take over another one's.
func (c *conn) session() string { return string(c.origin.Device) + "/" + c.client }

// report logs and counts why a connection ended.
func (c *conn) report(err error) {
	cause := ""
	var code packets.Code
	switch {
	case errors.Is(err, errEnded), errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed), c.ctx.Err() != nil:
		return
	case errors.Is(err, os.ErrDeadlineExceeded):
		cause = "silent"
	case !errors.As(err, &code):
		cause = "socket"
	case code == errBadPassword:
		cause = "log_in"
	case code == packets.ErrPacketTooLarge:
		cause = "too_large"
	case code == packets.CodeDisconnect, code == packets.ErrUseAnotherServer:
		return
	case code == packets.ErrMessageRateTooHigh:
		cause = "flood"
	case code.Code == packets.ErrMalformedPacket.Code:
		cause = "malformed"
	default:
		cause = "protocol"
	}
	c.srv.metrics.Closed.WithLabelValues(cause).Inc()
	c.log.Warn("mqtt: connection ended", "cause", cause, "err", err)
}

// read takes packets until the connection ends. It always returns an error: a packets.Code for the peer, errEnded, or
// what the socket said.
func (c *conn) read() error {
	defer c.countReceived()
	for {
		first, body, err := c.next()
		switch {
		case err != nil:
			err = c.unread(err)
		case first>>4 == packets.Publish:
			err = c.publish(first, body)
		default:
			err = c.control(first, body)
		}
		if err != nil {
			return err
		}
	}
}

// next returns the next packet, valid until the next call.
func (c *conn) next() (first byte, body []byte, err error) {
	for {
		first, body, need, err := c.in.peek()
		if err != nil {
			return 0, nil, err
		}
		if need == 0 {
			c.late = true
			return first, body, nil
		}
		if err := c.more(need, c.keepalive); err != nil {
			return 0, nil, err
		}
	}
}

// more reads once from the socket, with room for need bytes, within the packet's time limit (0: none).
func (c *conn) more(need int, limit time.Duration) error {
	c.countReceived()
	if err := c.arm(limit); err != nil {
		return err
	}
	if err := c.in.fill(need); err != nil {
		return c.readError(err, limit)
	}
	return nil
}

// countReceived tells the counter, once per read of the socket rather than per packet.
func (c *conn) countReceived() {
	if c.received > 0 {
		c.srv.metrics.Received.Add(float64(c.received))
		c.received = 0
	}
}

// arm sets the read deadline, once for each packet: one that comes byte by byte gets no more time than another.
func (c *conn) arm(limit time.Duration) error {
	if !c.late {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.end.begun { // keeps the deadline that finish has set
		return errEnded
	}
	c.late = false
	if limit == 0 {
		return c.nc.SetReadDeadline(time.Time{})
	}
	return c.nc.SetReadDeadline(time.Now().Add(limit))
}

// readError tells an error of the socket from the deadlines we set: finish's, and that of the packet.
func (c *conn) readError(err error, limit time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.end.begun:
		return errEnded
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("no packet came whole in %v: %w: %w", limit, packets.ErrKeepAliveTimeout, err)
	}
	return err
}

// publish submits one report and leaves its acknowledgement to Done. It is the hot path in: per report, one copy of the
// payload, one lock for the window, one call of ingest.
func (c *conn) publish(first byte, body []byte) error {
	p, ok := parseReport(first, body, c.version, c.topics.report)
	if !ok {
		var err error
		if p, err = parsePublish(first, body, c.version, c.topics.report); err != nil {
			return err
		}
	}
	c.received++
	token, err := c.expect(p)
	if err != nil {
		return err
	}
	if c.reader {
		return c.refusePublish(token)
	}
	if p.foreign && c.srv.cfg.Foreign != nil {
		return c.foreign(p, token)
	}
	if p.foreign {
		c.origin.Tally.Forbid(p.topic)
		c.Done(token, ingest.Reply{Code: lamppost.CodeForbidden, Text: "publish to " + c.topics.report + " only"})
		return nil
	}
	// From here on the report is ingest's, and the only way to know of it is Done: even if the connection ends in the
	// middle of the next line, the report is either taken, and answered, or not taken, and never acknowledged.
	raw := c.in.keep(p.payload)
	if err = c.srv.cfg.Submit.TrySubmit(c.origin, raw, token, c); err == nil {
		return nil
	}
	if errors.Is(err, ingest.ErrBusy) {
		err = c.busy(func() error { return c.srv.cfg.Submit.Submit(c.ctx, c.origin, raw, token, c) })
	}
	return c.notTaken(token, c.forgiven(err, func() error { return c.srv.cfg.Submit.Submit(c.ctx, c.origin, raw, token, c) }))
}

// notTaken says what follows from the error of ingest about the last token's report.
func (c *conn) notTaken(token uint64, err error) error {
	if err == nil {
		return nil
	}
	c.forget(token)
	var code packets.Code
	if errors.As(err, &code) {
		return err
	}
	return fmt.Errorf("%w: %w", errNotTaken, err)
}

// foreign hands on a message that is not a report. It may be wrapped as one; the acknowledgement then is that report's.
func (c *conn) foreign(p publish, token uint64) error {
	ours := false
	publish := func() (err error) {
		ours, err = c.srv.cfg.Foreign.Publish(c.ctx, c.origin, p.topic, bytes.Clone(p.payload), token, c)
		return err
	}
	if err := c.forgiven(c.busy(publish), publish); err != nil {
		return c.notTaken(token, err)
	}
	if !ours {
		c.origin.Tally.Forbid(p.topic)
		c.Done(token, ingest.Reply{Code: lamppost.CodeForbidden, Text: "publish to " + c.topics.report + ", or to a topic that is mapped"})
	}
	return nil
}

// busy calls a function that waits for others. If that takes longer than BusyTimeout the client is sent away, for
// another node may have time for it; the function is not interrupted: what was read is submitted.
func (c *conn) busy(wait func() error) error {
	start := time.Now()
	timer := time.AfterFunc(c.srv.cfg.BusyTimeout, func() {
		c.sendAway(packets.ErrServerBusy, "busy")
	})
	defer func() {
		timer.Stop()
		c.srv.metrics.BusySeconds.Add(time.Since(start).Seconds())
		c.late = true // the silence was ours
	}()
	return wait()
}

// forgiven does what can be done about the error of an attempt that met a flood of bad reports from this device: it leaves the
// connection unread until ingest listens again, and tries again. If that would take longer than FloodPause, it waits so
// long and gives up with the code that ends the connection: who floods does not come back at once.
func (c *conn) forgiven(err error, again func() error) error {
	var flood *ingest.FloodError
	for end := time.Now().Add(FloodPause); errors.As(err, &flood); {
		c.late = true // the silence is ours
		left := time.Until(end)
		wait(c.ctx, min(flood.Wait, left))
		if flood.Wait > left || c.ctx.Err() != nil {
			return fmt.Errorf("%w: %w", packets.ErrMessageRateTooHigh, err)
		}
		err = c.busy(again)
	}
	return err
}

// expect gives the token of a report's acknowledgement, after waiting while as many are owed as the client may have in
// flight. MQTT 3.1.1 has no word for that limit, so nobody is disconnected for passing it.
func (c *conn) expect(p publish) (token uint64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.owed.full() && p.qos > 0 && !c.end.begun {
		if err := c.await(func() bool { return !c.owed.full() }); err != nil {
			return 0, err
		}
	}
	if c.end.begun {
		return 0, errEnded
	}
	if p.qos == 0 {
		return noAck, nil
	}
	return c.owed.push(p.id, p.qos), nil
}

// await waits until the writer has made room, or the connection has ended. c.mu is held.
func (c *conn) await(room func() bool) error {
	return c.busy(func() error {
		for !room() {
			if c.end.begun {
				return errEnded
			}
			c.room.Wait()
		}
		return nil
	})
}

// forget takes back the last token, whose report ingest has not taken.
func (c *conn) forget(token uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if token != noAck {
		c.owed.unpush()
	}
	c.ready.Signal()
}

// Done is ingest's answer to one report (ingest.Sink).
func (c *conn) Done(token uint64, r ingest.Reply) {
	var detail *ingest.Reply
	if !r.Code.Accepted() {
		if c.srv.metrics.refuse(r.Code); !c.refuse(token, r) {
			return
		}
	}
	if c.receipts || !r.Code.Accepted() {
		kept := r // only here, so that r itself stays on the stack
		detail = &kept
	}
	if token == noAck {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.owed.at(token)
	s.done, s.detail = true, detail
	if token == c.owed.head { // else the writer has nothing new to send
		c.ready.Signal()
	}
}

// refuse says on the refused topic what an acknowledgement cannot say: MQTT 3.1.1 has no reason codes, QoS 0 no
// acknowledgements. It returns false if there must not be one: in MQTT 3.1.1 it would mean "never send this again", which
// is wrong of a report that was only refused for now. Then the connection ends, and the client sends it again.
func (c *conn) refuse(token uint64, r ingest.Reply) bool {
	if c.version == 5 && token != noAck || c.reader {
		return true
	}
	if r.Code.Final() {
		c.srv.mail.refuse(c.origin.Device, r.Refusal())
		return true
	}
	if token != noAck {
		c.sendAway(packets.ErrServerBusy, "busy")
	}
	return false
}

// finish ends the connection: reading stops, the writer sends what is ready (with drain, also what is still owed, for
// DrainTimeout at most), tells the client why and closes the socket. Only the first call counts.
func (c *conn) finish(why packets.Code, drain bool) (first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.end.begun {
		return false
	}
	c.end = ending{begun: true, why: why, drain: drain}
	if drain {
		c.end.limit = time.AfterFunc(DrainTimeout, c.stopDraining)
	}
	c.nc.SetReadDeadline(time.Unix(1, 0)) // wakes the reader
	c.ready.Signal()
	c.room.Signal()
	return true
}

// sendAway finishes a connection that has done nothing wrong.
func (c *conn) sendAway(why packets.Code, cause string) {
	if c.finish(why, false) {
		c.srv.metrics.Closed.WithLabelValues(cause).Inc()
		c.log.Info("mqtt: connection sent away", "cause", cause)
	}
}

// stopDraining gives up waiting for ingest.
func (c *conn) stopDraining() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end.drain = false
	c.ready.Signal()
}
