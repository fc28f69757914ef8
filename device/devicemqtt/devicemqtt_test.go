package devicemqtt_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/device"
	"github.com/lamppost/lamppost/device/devicemqtt"
	"github.com/lamppost/lamppost/sig"
	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// A node is an MQTT server that acknowledges reports as a Lamppost node does, by a function of the test.
type node struct {
	mqtt.HookBase
	server  *mqtt.Server
	address string
	reports chan incoming
	ready   chan struct{} // a token for every subscription made
	close   func()        // may be called again
}

// An incoming report waits for its answer.
type incoming struct {
	client  *mqtt.Client
	topic   string
	payload []byte
	id      uint16
	qos     byte
}

func (n *node) ID() string { return "node" }

func (n *node) Provides(b byte) bool {
	return b == mqtt.OnConnectAuthenticate || b == mqtt.OnACLCheck || b == mqtt.OnPublish || b == mqtt.OnSubscribed
}

func (n *node) OnConnectAuthenticate(_ *mqtt.Client, pk packets.Packet) bool {
	return string(pk.Connect.Username) == "meter-1" && string(pk.Connect.Password) == "secret" && pk.Connect.Clean
}

func (n *node) OnACLCheck(*mqtt.Client, string, bool) bool { return true }

func (n *node) OnSubscribed(*mqtt.Client, packets.Packet, []byte) { n.ready <- struct{}{} }

// OnPublish keeps the server from acknowledging by itself.
func (n *node) OnPublish(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	if cl.Net.Inline {
		return pk, nil
	}
	n.reports <- incoming{cl, pk.TopicName, bytes.Clone(pk.Payload), pk.PacketID, pk.FixedHeader.Qos}
	return pk, packets.ErrRejectPacket
}

// answer sends the PUBACK of a report.
func (in incoming) answer(reason byte, words string, user ...packets.UserProperty) {
	in.client.WritePacket(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Puback}, PacketID: in.id, ReasonCode: reason,
		Properties: packets.Properties{ReasonString: words, User: user}})
}

func startNode(t *testing.T, receiveMaximum uint16, address string, config *tls.Config) *node {
	t.Helper()
	capabilities := mqtt.NewDefaultServerCapabilities()
	capabilities.ReceiveMaximum = receiveMaximum
	n := &node{reports: make(chan incoming, 100), ready: make(chan struct{}, 10)}
	n.server = mqtt.New(&mqtt.Options{InlineClient: true, Capabilities: capabilities, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err := n.server.AddHook(n, nil); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	n.address = l.Addr().String()
	if config != nil {
		l = tls.NewListener(l, config)
	}
	if err := n.server.Serve(); err != nil {
		t.Fatal(err)
	}
	n.close = sync.OnceFunc(n.accept(l))
	t.Cleanup(n.close)
	return n
}

// accept serves connections until what it returns is called, which waits for all of them. The server's own listeners
// begin to count a connection only after its goroutine has started, which races with the server's Close.
func (n *node) accept(l net.Listener) (stop func()) {
	var accepting, serving sync.WaitGroup
	var conns []net.Conn
	accepting.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns = append(conns, c)
			serving.Go(func() { n.server.EstablishConnection("test", c) })
		}
	})
	return func() {
		l.Close()
		accepting.Wait()
		for _, c := range conns {
			c.Close()
		}
		serving.Wait()
		n.server.Close()
	}
}

func openSender(t *testing.T, cfg devicemqtt.Config) *devicemqtt.Sender {
	t.Helper()
	cfg.Device, cfg.MinBackoff, cfg.MaxBackoff = "meter-1", time.Millisecond, 20*time.Millisecond
	if cfg.Token == "" {
		cfg.Token = "secret"
	}
	s, err := devicemqtt.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// TestReplies: what each PUBACK means to a report: committed, refused for good, or to be sent again.
func TestReplies(t *testing.T) {
	t.Parallel()
	n := startNode(t, 100, "127.0.0.1:0", nil)
	s := openSender(t, devicemqtt.Config{URL: "mqtt://" + n.address})
	id := lamppost.ReportID{1, 2, 3}
	user := func(pairs ...string) (list []packets.UserProperty) {
		for i := 0; i < len(pairs); i += 2 {
			list = append(list, packets.UserProperty{Key: pairs[i], Val: pairs[i+1]})
		}
		return list
	}
	const again, wait = "again", "wait"
	for _, c := range []struct {
		reason byte
		words  string
		user   []packets.UserProperty
		want   device.Ack
		err    string
	}{
		{0, "ok height=123", user("height", "123", "report", id.String()), device.Ack{Height: 123, ID: id}, ""},
		{0, "duplicate height=9", user("height", "9"), device.Ack{Code: lamppost.CodeDuplicate, Height: 9}, ""},
		{0, "", nil, device.Ack{}, ""},
		{0x83, "too_old: in no gap: closed", user("report", id.String()), device.Ack{Code: lamppost.CodeTooOld, ID: id, Text: "in no gap: closed"}, ""},
		{0x99, "bad_report: cut short", nil, device.Ack{Code: lamppost.CodeBadReport, Text: "cut short"}, ""},
		{0x87, "forbidden", nil, device.Ack{Code: lamppost.CodeForbidden}, ""},
		{0x97, "busy: queue full", nil, device.Ack{}, wait},
		{0x10, "no matching subscribers", nil, device.Ack{}, again}, // a broker without a subscriber
		{0x80, "", nil, device.Ack{}, again},                        // nobody has judged the report
		{0x83, "ok: really", nil, device.Ack{}, again},              // contradicts itself
		{0, "ok", user("report", "12"), device.Ack{}, again},
		{0, "ok", user("height", "-1"), device.Ack{}, again},
	} {
		got := make(chan incoming, 1)
		go func() {
			in := <-n.reports
			in.answer(c.reason, c.words, c.user...)
			got <- in
		}()
		ack, err := s.Send(t.Context(), []byte("the report"))
		if in := <-got; in.topic != "lp/meter-1/report" || in.qos != 1 || string(in.payload) != "the report" {
			t.Errorf("got %+v, want the report with QoS 1", in)
		}
		if err == nil && ack.Server != n.address {
			t.Errorf("answered by %q, want %q", ack.Server, n.address)
		}
		ack.Server = ""
		var busy *device.WaitError
		if outcome := map[bool]string{err == nil: "", err != nil: again}[true]; c.err != outcome && (c.err != wait || !errors.As(err, &busy)) ||
			ack != c.want {
			t.Errorf("reason %#x, %q: got %+v, %v, want %+v, %q", c.reason, c.words, ack, err, c.want, c.err)
		}
	}
}

// TestReceiveMaximum: however many sends there are at once, the server never has more unacknowledged than it allows.
func TestReceiveMaximum(t *testing.T) {
	t.Parallel()
	n := startNode(t, 3, "127.0.0.1:0", nil)
	s := openSender(t, devicemqtt.Config{URL: "mqtt://" + n.address})
	var all sync.WaitGroup
	for i := range 30 {
		all.Go(func() {
			if _, err := s.Send(t.Context(), []byte(strconv.Itoa(i))); err != nil {
				t.Error(err)
			}
		})
	}
	for range 10 {
		batch := []incoming{<-n.reports, <-n.reports, <-n.reports}
		if more := len(n.reports); more > 0 {
			t.Fatalf("got %d reports beyond the three allowed", more)
		}
		for _, in := range batch {
			in.answer(0, "ok")
		}
	}
	all.Wait()
}

// TestReconnect: a report whose connection breaks before the PUBACK is an error, and the next Send goes over a new
// connection, also when the server was away for a while; Send ends with its context when there is no server.
func TestReconnect(t *testing.T) {
	t.Parallel()
	n := startNode(t, 100, "127.0.0.1:0", nil)
	s := openSender(t, devicemqtt.Config{URL: "mqtt://" + n.address})
	sent := make(chan error, 1)
	send := func(ctx context.Context) {
		_, err := s.Send(ctx, []byte("x"))
		sent <- err
	}
	go send(t.Context())
	in := <-n.reports
	in.client.Stop(nil)
	if err := <-sent; err == nil {
		t.Fatal("a report without a PUBACK was acknowledged")
	}
	go send(t.Context())
	(<-n.reports).answer(0, "ok")
	if err := <-sent; err != nil {
		t.Fatalf("after the connection was lost: %v", err)
	}
	n.close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	send(ctx)
	if err := <-sent; err == nil {
		t.Fatal("a report was acknowledged without a server")
	}
	go send(t.Context())
	back := startNode(t, 100, n.address, nil)
	for done := false; !done; {
		select {
		case in := <-back.reports:
			in.answer(0, "ok")
		case err := <-sent:
			if done = err == nil; !done { // it may have met the end of the old connection
				go send(t.Context())
			}
		}
	}
}

// TestSilentServer: a PUBACK that does not come ends the connection, so that its place in the Receive Maximum is free.
func TestSilentServer(t *testing.T) {
	t.Parallel()
	n := startNode(t, 1, "127.0.0.1:0", nil)
	s := openSender(t, devicemqtt.Config{URL: "mqtt://" + n.address})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := s.Send(ctx, []byte("1")); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v, want the deadline", err)
	}
	<-n.reports
	go func() { (<-n.reports).answer(0, "ok") }()
	for {
		_, err := s.Send(t.Context(), []byte("2"))
		if err == nil {
			return
		}
		if t.Context().Err() != nil {
			t.Fatal(err)
		}
	}
}

// TestSilentMember: a member that takes reports and never answers is left after AckTimeout, and one that is told to be left at once;
// the next report goes to another.
func TestSilentMember(t *testing.T) {
	t.Parallel()
	a, b := startNode(t, 10, "127.0.0.1:0", nil), startNode(t, 10, "127.0.0.1:0", nil)
	s := openSender(t, devicemqtt.Config{URL: "mqtt://" + a.address + ",mqtt://" + b.address, AckTimeout: 50 * time.Millisecond})
	if s.Members() != 2 {
		t.Errorf("%d members", s.Members())
	}
	var mu sync.Mutex
	silent := ""
	stop := make(chan struct{})
	t.Cleanup(func() { close(stop) })
	for _, n := range []*node{a, b} {
		go func() {
			for {
				select {
				case in := <-n.reports:
					mu.Lock()
					if n.address != silent {
						in.answer(0, "ok")
					}
					mu.Unlock()
				case <-stop:
					return
				}
			}
		}()
	}
	next := func() string {
		for {
			ack, err := s.Send(t.Context(), []byte("report"))
			if err == nil {
				return ack.Server
			}
			if t.Context().Err() != nil {
				t.Fatal(err)
			}
		}
	}
	first := next()
	mu.Lock()
	silent = first
	mu.Unlock()
	second := next()
	if second == first {
		t.Errorf("still at %q, which does not answer", first)
	}
	mu.Lock()
	silent = ""
	mu.Unlock()
	s.Elsewhere(first)
	if got := next(); got != second {
		t.Errorf("at %q, though only %q was to be left", got, first)
	}
	s.Elsewhere(second)
	if got := next(); got != first {
		t.Errorf("at %q, want %q", got, first)
	}
}

// TestStandingServer: a device does not wait long for a server that stands still, whose kernel takes its connection, while there is
// another one.
func TestStandingServer(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	n := startNode(t, 100, "127.0.0.1:0", nil)
	s := openSender(t, devicemqtt.Config{URL: "mqtt://" + l.Addr().String() + ",mqtt://" + n.address, Rand: rand.New(first{})})
	go func() { (<-n.reports).answer(0, "ok") }()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if ack, err := s.Send(ctx, []byte("x")); err != nil || ack.Server != n.address {
		t.Errorf("got %+v, %v, want an answer of %q", ack, err, n.address)
	}
}

// first draws the lowest of everything.
type first struct{}

func (first) Uint64() uint64 { return 0 }

// TestDesired: what the network desires and refuses reaches the callbacks, also after a new connection.
func TestDesired(t *testing.T) {
	t.Parallel()
	n := startNode(t, 100, "127.0.0.1:0", nil)
	got := make(chan string, 10)
	openSender(t, devicemqtt.Config{URL: "mqtt://" + n.address,
		OnDesired: func(p []byte) { got <- "desired " + string(p) }, OnRefused: func(p []byte) { got <- "refused " + string(p) }})
	for round := range 3 {
		<-n.ready
		for _, what := range []string{"desired", "refused"} {
			want := fmt.Sprintf("%s %d", what, round)
			if err := n.server.Publish("lp/meter-1/"+what, []byte(strconv.Itoa(round)), false, 1); err != nil {
				t.Fatal(err)
			}
			if text := <-got; text != want {
				t.Fatalf("got %q, want %q", text, want)
			}
		}
		client, ok := n.server.Clients.Get("meter-1")
		if !ok {
			t.Fatal("the device is not connected")
		}
		client.Stop(nil)
	}
}

// TestDevice: a device delivers its whole queue, each report once and in order, over connections that keep breaking.
func TestDevice(t *testing.T) {
	t.Parallel()
	n := startNode(t, 4, "127.0.0.1:0", nil)
	key, err := sig.GenerateKey(sig.ES256, nil)
	if err != nil {
		t.Fatal(err)
	}
	d, err := device.Open(device.Config{Network: "testnet", ID: "meter-1", Key: key, Dir: t.TempDir(), Durability: device.SyncNumbers,
		MinBackoff: time.Millisecond, MaxBackoff: 10 * time.Millisecond, Sender: openSender(t, devicemqtt.Config{URL: "mqtt://" + n.address})})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	const reports = 100
	for i := range int64(reports) {
		if _, err := d.Report(lamppost.Reading{Name: "energy", Unit: "Wh", Kind: lamppost.Register, Value: lamppost.Dec(i, 0)}); err != nil {
			t.Fatal(err)
		}
	}
	served := make(chan map[lamppost.Seq][]byte)
	stop := make(chan struct{})
	go func() { served <- serveBadly(t, n, key, stop) }()
	ran := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { ran <- d.Run(ctx) }()
	if err := d.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-ran; err != nil {
		t.Error(err)
	}
	close(stop)
	if got := <-served; len(got) != reports {
		t.Errorf("the node has %d reports, want %d", len(got), reports)
	}
	if s := d.Stats(); s.Delivered != reports || s.Height == 0 || s.Failures == 0 {
		t.Errorf("got %+v, want %d delivered, with heights, after failures", s, reports)
	}
}

// serveBadly commits reports, but hangs up on every tenth instead of acknowledging it. It returns what was committed.
func serveBadly(t *testing.T, n *node, key *sig.PrivateKey, stop chan struct{}) map[lamppost.Seq][]byte {
	have := make(map[lamppost.Seq][]byte)
	for count := 1; ; count++ {
		select {
		case <-stop:
			return have
		case in := <-n.reports:
			var r lamppost.Report
			if err := r.Decode(in.payload); err != nil || !r.Verify("testnet", key.Public()) {
				t.Errorf("a report that does not verify: %v", err)
			}
			if old := have[r.Seq]; old != nil && !bytes.Equal(old, in.payload) {
				t.Errorf("number %v came with other bytes", r.Seq)
			}
			have[r.Seq] = in.payload
			if count%10 == 0 {
				in.client.Stop(nil)
				continue
			}
			in.answer(0, "ok", packets.UserProperty{Key: "height", Val: strconv.Itoa(count)},
				packets.UserProperty{Key: "report", Val: r.ID("testnet").String()})
		}
	}
}

// TestTLS: over mqtts the server's certificate is checked, and reports pass.
func TestTLS(t *testing.T) {
	t.Parallel()
	web := httptest.NewTLSServer(nil) // for its certificate
	defer web.Close()
	n := startNode(t, 100, "127.0.0.1:0", &tls.Config{Certificates: web.TLS.Certificates})
	roots := x509.NewCertPool()
	roots.AddCert(web.Certificate())
	good := openSender(t, devicemqtt.Config{URL: "mqtts://" + n.address, TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}})
	go func() { (<-n.reports).answer(0, "ok") }()
	if _, err := good.Send(t.Context(), []byte("x")); err != nil {
		t.Errorf("with the right root: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	log := slog.New(slog.NewTextHandler(writerFunc(func(line []byte) (int, error) {
		cancel() // the first thing said is why there is no connection
		return len(line), nil
	}), nil))
	doubtful := openSender(t, devicemqtt.Config{URL: "mqtts://" + n.address, Log: log})
	_, err := doubtful.Send(ctx, []byte("x"))
	var unknown *tls.CertificateVerificationError
	if !errors.As(err, &unknown) {
		t.Errorf("with the system's roots: got %v, want a doubt about the certificate", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// TestOpen: addresses that cannot work are refused at once; a wrong token shows in Send's error; Close ends a Send.
func TestOpen(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "localhost:1883", "http://localhost", "mqtt://", "mqtt://%zz"} {
		if s, err := devicemqtt.Open(devicemqtt.Config{URL: bad, Device: "meter-1", Token: "secret"}); err == nil {
			s.Close()
			t.Errorf("address %q was taken", bad)
		}
	}
	n := startNode(t, 100, "127.0.0.1:0", nil)
	s := openSender(t, devicemqtt.Config{URL: "mqtt://" + n.address, Token: "wrong"})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := s.Send(ctx, []byte("x")); err == nil {
		t.Error("a wrong token was good enough")
	}
	sent := make(chan error, 1)
	go func() { _, err := s.Send(context.Background(), []byte("x")); sent <- err }()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := <-sent; err == nil {
		t.Error("a report was sent after Close")
	}
}
