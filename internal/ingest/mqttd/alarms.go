package mqttd

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/mochi-mqtt/server/v2/packets"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/ingest"
)

// Alarms are the one thing here that people read. Who logs in as AdminUser and is one, by Config.Admin, may subscribe to
// lp/alarms/<device>, lp/alarms/+ and lp/alarms/#, and do nothing else: what such a client publishes is refused.

// AdminUser is the user name of an administrator's log-in.
const AdminUser = "admin"

const alarmPrefix = "lp/alarms/"

// newReader is who administrators are to the rest of the door: no device, with an allowance for what they may not do.
func newReader() *ingest.Origin {
	return &ingest.Origin{Allowance: ingest.NewAllowance(readerBurst, 1)}
}

// A board has the alarm of each device that has one, and who reads them. Everything is delivered with QoS 0: what stands is sent again at
// each subscription. Lock order: board.mu, then conn.mu.
type board struct {
	dropped prometheus.Counter

	mu      sync.Mutex
	alarms  map[lamppost.DeviceID][]byte
	readers map[*conn][]string // filters of each, maxFilters at most
}

// enter lets a connection read, unless MaxReaders do.
func (b *board) enter(c *conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.readers) >= MaxReaders {
		return false
	}
	b.readers[c] = nil
	return true
}

func (b *board) leave(c *conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.readers, c)
}

// subscribe adds a filter, unless the connection has maxFilters.
func (b *board) subscribe(c *conn, filter string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	has := b.readers[c]
	if !slices.Contains(has, filter) {
		if len(has) >= maxFilters {
			return false
		}
		b.readers[c] = append(has, filter)
	}
	return true
}

// show sends what stands to a connection that has subscribed.
func (b *board) show(c *conn, filter string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for device, payload := range b.alarms {
		if matches(filter, device) {
			c.sendAlarm(device, payload, true)
		}
	}
}

func (b *board) unsubscribe(c *conn, filter string) (had bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.Index(b.readers[c], filter)
	if i < 0 {
		return false
	}
	b.readers[c] = slices.Delete(b.readers[c], i, i+1)
	return true
}

// set replaces a device's alarm and tells those who read it; empty: it has none any more, and that is told if it had.
func (b *board) set(device lamppost.DeviceID, payload []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, had := b.alarms[device]
	switch {
	case len(payload) == 0 && !had:
		return nil
	case len(payload) == 0:
		delete(b.alarms, device)
	case !had && len(b.alarms) >= MaxAlarms:
		b.dropped.Inc()
		return fmt.Errorf("alarms of %d devices are shown already, that of %q is not", MaxAlarms, device)
	default:
		b.alarms[device] = payload
	}
	for c, filters := range b.readers {
		if slices.ContainsFunc(filters, func(f string) bool { return matches(f, device) }) {
			c.sendAlarm(device, payload, false)
		}
	}
	return nil
}

// readsAlarms reports whether a filter names nothing but alarms.
func readsAlarms(filter string) bool {
	rest, ok := strings.CutPrefix(filter, alarmPrefix)
	return ok && rest != "" && (rest == "#" || rest == "+" || !strings.ContainsAny(rest, "+#/"))
}

func matches(filter string, device lamppost.DeviceID) bool {
	rest := filter[len(alarmPrefix):]
	return rest == "#" || rest == "+" || rest == string(device)
}

// SetAlarm shows an alarm of a device on lp/alarms/<device>, retained, until another replaces it. Nil takes it back: who reads gets an empty
// message, which is how MQTT says that a retained one is gone. The payload is not copied and must not change.
func (s *Server) SetAlarm(device lamppost.DeviceID, payload []byte) error {
	if len(payload) > MaxAlarmBytes {
		return fmt.Errorf("an alarm of %d bytes for %q is over the limit of %d", len(payload), device, MaxAlarmBytes)
	}
	return s.board.set(device, payload)
}

// subscribeAlarms answers an administrator's SUBSCRIBE.
func (c *conn) subscribeAlarms(pk *packets.Packet) error {
	ack := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Suback}, ProtocolVersion: c.version, PacketID: pk.PacketID}
	var granted []string
	for _, f := range pk.Filters {
		code := packets.CodeGrantedQos0.Code
		switch {
		case !readsAlarms(f.Filter):
			code = packets.ErrNotAuthorized.Code
		case !c.srv.board.subscribe(c, f.Filter):
			code = packets.ErrQuotaExceeded.Code
		case f.RetainHandling < 2:
			granted = append(granted, f.Filter)
		}
		if code != packets.CodeGrantedQos0.Code && c.version != 5 {
			code = packets.ErrUnspecifiedError.Code
		}
		ack.ReasonCodes = append(ack.ReasonCodes, code)
	}
	if err := c.reply(encode(&ack)); err != nil {
		return err
	}
	for _, f := range granted {
		c.srv.board.show(c, f)
	}
	return nil
}

// refusePublish answers a PUBLISH of an administrator. Many are a flood.
func (c *conn) refusePublish(token uint64) error {
	if err := c.forgiven(c.origin.Allowance.Check(), c.origin.Allowance.Check); err != nil {
		return c.notTaken(token, err)
	}
	c.origin.Allowance.Spend()
	c.Done(token, ingest.Reply{Code: lamppost.CodeForbidden, Text: "an administrator reads " + alarmPrefix + "# here, and publishes nothing"})
	return nil
}

// pending is what a reader's writer has yet to send, in order. Of each device only the newest counts, so that a client that reads slowly
// costs no more than there are alarms.
type pending struct {
	order  []lamppost.DeviceID
	newest map[lamppost.DeviceID]alarm
}

type alarm struct {
	payload  []byte // the board's
	retained bool
}

func (c *conn) sendAlarm(device lamppost.DeviceID, payload []byte, retained bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := &c.out.alarms
	if c.end.begun {
		return
	}
	if p.newest == nil {
		p.newest = map[lamppost.DeviceID]alarm{}
	}
	if _, waits := p.newest[device]; waits {
		c.srv.metrics.Dropped.Inc()
	} else {
		p.order = append(p.order, device)
	}
	p.newest[device] = alarm{payload, retained}
	c.ready.Signal()
}

// appendAlarms writes what fits into a write. c.mu is held.
func (c *conn) appendAlarms(b []byte) []byte {
	p := &c.out.alarms
	n := 0
	for ; n < len(p.order) && len(b) < maxWriteBytes; n++ {
		device := p.order[n]
		a := p.newest[device]
		delete(p.newest, device)
		if m, ok := c.message(alarmPrefix+string(device), a.payload, a.retained); ok {
			b = append(b, m...)
		}
	}
	if p.order = p.order[n:]; len(p.order) == 0 {
		*p = pending{}
	}
	return b
}
