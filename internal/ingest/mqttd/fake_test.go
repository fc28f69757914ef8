package mqttd_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/ingest"
	"github.com/lamppost/lamppost/internal/ingest/mqttd"
)

// A fake keeps the contract of ingest.Ingest with a queue of its own: judge says what becomes of each report, and flush
// answers all that wait, in the order it is told.
type fake struct {
	judge func(raw []byte) ingest.Reply // nil: accepted
	limit int                           // reports that may wait; 0: no limit
	hold  bool                          // answer only at flush
	flood func(lamppost.DeviceID) error // nil: nobody floods

	mu     sync.Mutex
	room   sync.Cond
	queue  []submission
	taken  [][]byte
	height lamppost.Height
	more   chan struct{} // told of each report taken
}

type submission struct {
	reply ingest.Reply
	token uint64
	sink  ingest.Sink
}

func newFake() *fake {
	f := &fake{more: make(chan struct{}, 1<<16)}
	f.room.L = &f.mu
	return f
}

func (f *fake) TrySubmit(from *ingest.Origin, raw []byte, token uint64, sink ingest.Sink) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.flood != nil && f.flood(from.Device) != nil {
		return f.flood(from.Device)
	}
	if f.limit > 0 && len(f.queue) >= f.limit {
		return ingest.ErrBusy
	}
	f.take(raw, token, sink)
	return nil
}

func (f *fake) Submit(ctx context.Context, from *ingest.Origin, raw []byte, token uint64, sink ingest.Sink) error {
	stop := context.AfterFunc(ctx, func() { f.mu.Lock(); f.room.Broadcast(); f.mu.Unlock() })
	defer stop()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.flood != nil && f.flood(from.Device) != nil {
		return f.flood(from.Device)
	}
	for f.limit > 0 && len(f.queue) >= f.limit {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		f.room.Wait()
	}
	f.take(raw, token, sink)
	return nil
}

func (f *fake) take(raw []byte, token uint64, sink ingest.Sink) {
	f.height++
	r := ingest.Reply{ID: sha256.Sum256(raw), Height: f.height}
	if f.judge != nil {
		r = f.judge(raw)
	}
	f.taken = append(f.taken, raw)
	f.queue = append(f.queue, submission{r, token, sink})
	if !f.hold {
		go f.flush(nil)
	}
	f.more <- struct{}{}
}

// flush answers what waits, in the order of a permutation, or first in first out.
func (f *fake) flush(order func(n int) []int) {
	f.mu.Lock()
	q := f.queue
	f.queue = nil
	f.room.Broadcast()
	f.mu.Unlock()
	if order == nil {
		for _, s := range q {
			s.sink.Done(s.token, s.reply)
		}
		return
	}
	for _, i := range order(len(q)) {
		q[i].sink.Done(q[i].token, q[i].reply)
	}
}

// await waits until n more reports were taken.
func (f *fake) await(n int) {
	for range n {
		<-f.more
	}
}

func (f *fake) reports() [][]byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([][]byte(nil), f.taken...)
}

// auth knows every device by the password "token", or by a certificate of its name.
func auth(user, password string, cert *x509.Certificate) (lamppost.DeviceID, error) {
	switch {
	case cert != nil:
		return lamppost.DeviceID(cert.Subject.CommonName), nil
	case password != "token":
		return "", errors.New("no such token")
	}
	return lamppost.DeviceID(user), lamppost.CheckName("device", user)
}

// A door is a running server.
type door struct {
	*mqttd.Server
	metrics *mqttd.Metrics
	addr    string
	stop    func() // returns when Serve has
}

func open(t testing.TB, submit mqttd.Submitter, change func(*mqttd.Config)) *door {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return openOn(t, l, submit, change)
}

func openOn(t testing.TB, l net.Listener, submit mqttd.Submitter, change func(*mqttd.Config)) *door {
	t.Helper()
	cfg := mqttd.Config{Auth: auth, Submit: submit, Metrics: mqttd.NewMetrics(nil)}
	if change != nil {
		change(&cfg)
	}
	s, err := mqttd.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Serve(ctx, l); close(ended) }()
	d := &door{Server: s, metrics: cfg.Metrics, addr: l.Addr().String()}
	d.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if n := value(cfg.Metrics.Connections); n != 0 {
			t.Errorf("%v connections counted as open after Serve has returned", n)
		}
	})
	t.Cleanup(d.stop)
	return d
}

// value reads a counter or a gauge.
func value(m prometheus.Metric) float64 {
	var out dto.Metric
	if err := m.Write(&out); err != nil {
		panic(err)
	}
	return out.GetCounter().GetValue() + out.GetGauge().GetValue()
}

// A raw client speaks bytes.
type raw struct {
	t testing.TB
	net.Conn
	r       *bufio.Reader
	version byte
}

func dial(t testing.TB, d *door) *raw {
	t.Helper()
	nc, err := net.Dial("tcp", d.addr)
	if err != nil {
		t.Fatal(err)
	}
	return over(t, nc)
}

func over(t testing.TB, nc net.Conn) *raw {
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(60 * time.Second))
	return &raw{t: t, Conn: nc, r: bufio.NewReader(nc), version: 4}
}

func (c *raw) send(b ...byte) {
	c.t.Helper()
	if _, err := c.Write(b); err != nil {
		c.t.Fatalf("writing %x: %v", b, err)
	}
}

// login connects as a device with MQTT 3.1.1 or 5 and returns the CONNACK.
func (c *raw) login(version byte, device, client string, change func(*packets.Packet)) packets.Packet {
	c.t.Helper()
	c.version = version
	c.send(connectPacket(version, device, client, change)...)
	ack, err := c.read()
	if err != nil || ack.FixedHeader.Type != packets.Connack {
		c.t.Fatalf("after CONNECT: %+v, %v", ack, err)
	}
	return ack
}

// read returns the next packet from the server.
func (c *raw) read() (packets.Packet, error) {
	pk := packets.Packet{ProtocolVersion: c.version}
	first, err := c.r.ReadByte()
	if err != nil {
		return pk, err
	}
	if err := pk.FixedHeader.Decode(first); err != nil {
		return pk, err
	}
	if pk.FixedHeader.Remaining, _, err = packets.DecodeLength(c.r); err != nil {
		return pk, err
	}
	body := make([]byte, pk.FixedHeader.Remaining)
	if _, err := io.ReadFull(c.r, body); err != nil {
		return pk, err
	}
	switch pk.FixedHeader.Type {
	case packets.Connack:
		err = pk.ConnackDecode(body)
	case packets.Publish:
		err = pk.PublishDecode(body)
	case packets.Puback:
		err = pk.PubackDecode(body)
	case packets.Pubrec:
		err = pk.PubrecDecode(body)
	case packets.Pubcomp:
		err = pk.PubcompDecode(body)
	case packets.Suback:
		err = pk.SubackDecode(body)
	case packets.Unsuback:
		err = pk.UnsubackDecode(body)
	case packets.Disconnect:
		err = pk.DisconnectDecode(body)
	}
	return pk, err
}

// want reads the next packet and checks its type.
func (c *raw) want(kind byte) packets.Packet {
	c.t.Helper()
	pk, err := c.read()
	if err != nil || pk.FixedHeader.Type != kind {
		c.t.Fatalf("got %s with reason %#x, topic %q, payload %q, error %v, want %s", packets.PacketNames[pk.FixedHeader.Type], pk.ReasonCode,
			pk.TopicName, pk.Payload, err, packets.PacketNames[kind])
	}
	return pk
}

// wantEnd checks that the server has closed the connection.
func (c *raw) wantEnd() {
	c.t.Helper()
	if pk, err := c.read(); !errors.Is(err, io.EOF) {
		c.t.Fatalf("got %s with reason %#x, payload %q, error %v, want the connection closed", packets.PacketNames[pk.FixedHeader.Type],
			pk.ReasonCode, pk.Payload, err)
	}
}

func (c *raw) subscribe(filters ...string) packets.Packet {
	c.t.Helper()
	c.send(subscribePacket(c.version, filters...)...)
	return c.want(packets.Suback)
}

func connectPacket(version byte, device, client string, change func(*packets.Packet)) []byte {
	pk := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Connect}, ProtocolVersion: version}
	pk.Connect = packets.ConnectParams{ProtocolName: []byte("MQTT"), Clean: true, ClientIdentifier: client,
		UsernameFlag: true, Username: []byte(device), PasswordFlag: true, Password: []byte("token")}
	if change != nil {
		change(&pk)
	}
	return encoded(pk.ConnectEncode)
}

func subscribePacket(version byte, filters ...string) []byte {
	pk := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Subscribe, Qos: 1}, ProtocolVersion: version, PacketID: 77}
	for _, f := range filters {
		pk.Filters = append(pk.Filters, packets.Subscription{Filter: f, Qos: 1})
	}
	return encoded(pk.SubscribeEncode)
}

// publishPacket writes a PUBLISH by hand, so that tests do not lean on the codec under test.
func publishPacket(version, qos byte, topic string, id uint16, payload []byte) []byte {
	body := binary.BigEndian.AppendUint16(nil, uint16(len(topic)))
	body = append(body, topic...)
	if qos > 0 {
		body = binary.BigEndian.AppendUint16(body, id)
	}
	if version == 5 {
		body = append(body, 0)
	}
	body = append(body, payload...)
	return append(appendLength([]byte{0x30 | qos<<1}, len(body)), body...)
}

func appendLength(b []byte, n int) []byte {
	for ; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}

func encoded(encode func(*bytes.Buffer) error) []byte {
	var b bytes.Buffer
	if err := encode(&b); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func says(message []byte) func() []byte { return func() []byte { return message } }
