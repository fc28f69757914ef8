package brokerd_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/ingest"
	"github.com/lamppost/lamppost/internal/ingest/brokerd"
)

// A fake keeps the contract of ingest.Ingest: what is submitted waits until flush answers it, or with auto is answered at
// once. Reports that begin with "bad" or "old" are refused for good, those that begin with "later" for now, once.
type fake struct {
	auto bool

	mu     sync.Mutex
	more   *sync.Cond // told of each report
	queue  []submission
	from   map[string]ingest.Origin // by report: who brought it last
	times  map[string]int           // by report: how often it was submitted
	answer map[string]int           // by report: how often it was accepted
	later  map[string]bool
	floods int // so many submissions meet a flood
}

type submission struct {
	raw   string
	token uint64
	sink  ingest.Sink
}

func newFake(auto bool) *fake {
	f := &fake{auto: auto, from: map[string]ingest.Origin{}, times: map[string]int{}, answer: map[string]int{}, later: map[string]bool{}}
	f.more = sync.NewCond(&f.mu)
	return f
}

func (f *fake) Submit(_ context.Context, from *ingest.Origin, raw []byte, token uint64, sink ingest.Sink) error {
	f.mu.Lock()
	if f.floods > 0 {
		f.floods--
		f.mu.Unlock()
		return &ingest.FloodError{Wait: time.Millisecond}
	}
	f.from[string(raw)] = *from
	f.times[string(raw)]++
	f.queue = append(f.queue, submission{string(raw), token, sink})
	f.more.Broadcast()
	f.mu.Unlock()
	if f.auto {
		f.flush(nil)
	}
	return nil
}

// flush answers what waits, shuffled where there is a die.
func (f *fake) flush(die *rand.Rand) {
	f.mu.Lock()
	queue := f.queue
	f.queue = nil
	f.mu.Unlock()
	if die != nil {
		die.Shuffle(len(queue), func(i, j int) { queue[i], queue[j] = queue[j], queue[i] })
	}
	for _, s := range queue {
		s.sink.Done(s.token, f.judge(s.raw))
	}
}

func (f *fake) judge(raw string) ingest.Reply {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := ingest.Reply{ID: sha256.Sum256([]byte(raw)), Height: 7}
	switch {
	case strings.HasPrefix(raw, "bad"):
		r.Code, r.Text, r.Height = lamppost.CodeBadSignature, "it does not verify", 0
	case strings.HasPrefix(raw, "old"):
		r.Code, r.Text, r.Height = lamppost.CodeTooOld, "too old", 0
	case strings.HasPrefix(raw, "later") && !f.later[raw]:
		f.later[raw] = true
		r.Code, r.Text, r.Height = lamppost.CodeBusy, "not now", 0
	default:
		f.answer[raw]++
	}
	return r
}

// await waits until n different reports were submitted.
func (f *fake) await(t *testing.T, n int) {
	t.Helper()
	limit := time.AfterFunc(30*time.Second, f.more.Broadcast)
	defer limit.Stop()
	f.mu.Lock()
	defer f.mu.Unlock()
	for end := time.Now().Add(30 * time.Second); len(f.times) < n; f.more.Wait() {
		if time.Now().After(end) {
			t.Fatalf("%d of %d reports came", len(f.times), n)
		}
	}
}

// seen says of a report who brought it last, how often it was submitted, and how often it was accepted.
func (f *fake) seen(raw string) (from ingest.Origin, times, accepted int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.from[raw], f.times[raw], f.answer[raw]
}

// all lists the reports that were submitted.
func (f *fake) all() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Collect(maps.Keys(f.times))
}

func (f *fake) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.times)
}

// until waits until something holds that nobody tells of.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it does not happen: %s", what)
		}
	}
}

// join runs a client until the test ends, or until stop is called.
func join(t *testing.T, addr string, change func(*brokerd.Config)) (c *brokerd.Client, stop func()) {
	t.Helper()
	cfg := brokerd.Config{Address: brokerd.Address{Host: addr}, ClientID: "node", MinBackoff: time.Millisecond, MaxBackoff: 20 * time.Millisecond}
	change(&cfg)
	c, err := brokerd.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- c.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return c, stop
}

func connected(t *testing.T, c *brokerd.Client) {
	t.Helper()
	until(t, "the client is connected", func() bool { return c.Status().Connected })
}

// A visitor is a client at the broker: a device, or whoever reads.
type visitor struct {
	t *testing.T
	*paho.Client
	got chan string // "topic payload"
}

func visit(t *testing.T, addr string) *visitor {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	v := &visitor{t: t, got: make(chan string, 1000)}
	v.Client = paho.NewClient(paho.ClientConfig{Conn: nc, PacketTimeout: 20 * time.Second, OnPublishReceived: []func(paho.PublishReceived) (bool, error){
		func(p paho.PublishReceived) (bool, error) {
			v.got <- p.Packet.Topic + " " + string(p.Packet.Payload)
			return true, nil
		}}})
	if _, err := v.Connect(t.Context(), &paho.Connect{KeepAlive: 30, CleanStart: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Disconnect(&paho.Disconnect{}) })
	return v
}

func (v *visitor) publish(topic, payload string, qos byte) {
	v.t.Helper()
	if _, err := v.Publish(v.t.Context(), &paho.Publish{QoS: qos, Topic: topic, Payload: []byte(payload)}); err != nil {
		v.t.Fatalf("publishing to %s: %v", topic, err)
	}
}

// reports publishes n reports of three devices, "<first>…".
func (v *visitor) reports(first string, n int) {
	v.t.Helper()
	for i := range n {
		v.publish(fmt.Sprintf("lp/d%d/report", i%3), fmt.Sprintf("%s %d", first, i), 1)
	}
}

// A line is a TCP connection to the broker that the test can cut, as a network does.
type line struct {
	net.Listener
	mu   sync.Mutex
	open []net.Conn
}

func newLine(t *testing.T, to string) *line {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &line{Listener: l}
	t.Cleanup(func() { l.Close(); p.cut() })
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				near.Close()
				continue
			}
			p.mu.Lock()
			p.open = append(p.open, near, far)
			p.mu.Unlock()
			go func() { io.Copy(far, near); far.Close() }()
			go func() { io.Copy(near, far); near.Close() }()
		}
	}()
	return p
}

func (p *line) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, nc := range p.open {
		nc.Close()
	}
	p.open = nil
}

// A scripted broker answers packet by packet what a test tells it to.
type scripted struct {
	t        testing.TB
	listener net.Listener
	net.Conn
}

func script(t testing.TB) *scripted {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return &scripted{t: t, listener: l}
}

// accept takes the next connection and returns its CONNECT.
func (s *scripted) accept() *packets.Connect {
	s.t.Helper()
	nc, err := s.listener.Accept()
	if err != nil {
		s.t.Fatal(err)
	}
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	s.Conn = nc
	s.t.Cleanup(func() { nc.Close() })
	return expect[*packets.Connect](s)
}

// expect reads the next packet that is no ping.
func expect[P packets.Packet](s *scripted) P {
	s.t.Helper()
	for {
		p, err := packets.ReadPacket(s.Conn)
		if err != nil {
			s.t.Fatalf("the client sends no %T: %v", *new(P), err)
		}
		if p.Type == packets.PINGREQ {
			s.send(&packets.Pingresp{})
			continue
		}
		got, ok := p.Content.(P)
		if !ok {
			s.t.Fatalf("the client sent %v, want %T", p, *new(P))
		}
		return got
	}
}

func (s *scripted) send(p packets.Packet) {
	s.t.Helper()
	if _, err := p.WriteTo(s.Conn); err != nil {
		s.t.Fatal(err)
	}
}

// welcome lets the client in.
func (s *scripted) welcome(present bool) *packets.Subscribe {
	s.t.Helper()
	s.send(&packets.Connack{SessionPresent: present, Properties: &packets.Properties{}})
	return s.granted()
}

func (s *scripted) granted() *packets.Subscribe {
	s.t.Helper()
	sub := expect[*packets.Subscribe](s)
	s.send(&packets.Suback{PacketID: sub.PacketID, Properties: &packets.Properties{}, Reasons: make([]byte, len(sub.Subscriptions))})
	return sub
}

func (s *scripted) message(id uint16, topic, payload string, dup bool) {
	s.t.Helper()
	s.send(&packets.Publish{PacketID: id, QoS: 1, Topic: topic, Payload: []byte(payload), Duplicate: dup, Properties: &packets.Properties{}})
}

// value reads a counter.
func value(m prometheus.Metric) float64 {
	var out dto.Metric
	if err := m.Write(&out); err != nil {
		panic(err)
	}
	return out.GetCounter().GetValue()
}
