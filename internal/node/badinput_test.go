package node_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	paho5 "github.com/eclipse/paho.golang/paho"
	paho3 "github.com/eclipse/paho.mqtt.golang"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
)

// Every kind of bad input, at every door, with clients that others have written: the sender is told a code and words, the
// counter of that code grows by one, and good reports before and after on the same connection are committed.
func TestBadInput(t *testing.T) {
	t.Parallel()
	for _, d := range []struct {
		name string
		open func(*testing.T, *lamp, *machine) sender
		door string // the counter of what it refused
	}{
		{"MQTT 5", func(t *testing.T, l *lamp, m *machine) sender { return openMQTT5(t, l, m) }, "lamppost_mqtt_refused_total"},
		{"MQTT 3.1.1", func(t *testing.T, l *lamp, m *machine) sender { return openMQTT3(t, l, m) }, "lamppost_mqtt_refused_total"},
		{"HTTP", func(_ *testing.T, l *lamp, m *machine) sender { return httpSender{l, m} }, "lamppost_http_refused_total"},
	} {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			l := light(t)
			l.t = t
			l.order("/api/parties", lamppost.PartyBody{ID: "ada"}, nil)
			m := l.announce("m1")
			l.enrol(m)
			stale := *m // two keys ago: the one before the present one still counts
			for _, seed := range []string{"another key of m1", "and another"} {
				var dev api.DeviceToken
				l.order("/api/devices/m1/token", nil, &dev)
				m.token, m.key = dev.Token, newKey(t, seed)
				l.enrol(m)
			}
			if stale.epoch != 1 || m.epoch != 3 {
				t.Fatalf("key epochs %d and %d, want 1 and 3", stale.epoch, m.epoch)
			}
			other := l.announce("m2")
			l.enrol(other)
			b := &badInput{t: t, l: l, m: m, sender: d.open(t, l, m), door: d.door}
			b.good()
			for _, c := range badReports(t, m, &stale, other) {
				b.refuses(c, d.name == "HTTP")
				b.good()
			}
			b.resends()
			b.reuses()
			b.unknown(d.open)
		})
	}
}

// A badInput is one connection with what is to be seen of it.
type badInput struct {
	t      *testing.T
	l      *lamp
	m      *machine
	sender sender
	door   string
}

// A badReport is bytes that must not be taken, and the code that says so.
type badReport struct {
	name string
	raw  []byte
	code string
	// atDoor: the door alone can tell, so that ingest counts nothing. At the HTTP door, that is every body over a report's limit.
	atDoor bool
}

func badReports(t *testing.T, m, stale, other *machine) []badReport {
	good := func(change func(*lamppost.Report)) []byte { return m.report(t, change) }
	forged := good(nil)
	forged[len(forged)-1] ^= 1
	again := *m // its number was taken by a good report
	again.n -= 2
	reused := again.report(t, func(r *lamppost.Report) { r.Readings[0].Value = lamppost.Dec(4711, 0) })
	reused[len(reused)-1] ^= 1
	stale.n = m.n + 100
	nobody := machine{id: "m9", key: other.key, epoch: 1}
	cut := good(nil)
	many := make([]any, 10_000)
	for i := range many {
		many[i] = map[int]any{5: i}
	}
	many[0] = map[int]any{5: 0, -2: "energy", -3: begin.Unix(), -4: "Wh"}
	return []badReport{
		{"no bytes", nil, "bad_report", false},
		{"no CBOR", []byte("energy=12"), "bad_report", false},
		{"cut short", cut[:len(cut)-1], "bad_report", false},
		{"cut in the middle", cut[:len(cut)/2], "bad_report", false},
		{"a byte too many", append(slices.Clone(cut), 0), "bad_report", false},
		{"a wrong signature", forged, "bad_signature", false},
		{"a forged report of a number that was used", reused, "bad_signature", false}, // and no quarantine: the device has done nothing
		{"a key that was replaced twice", stale.report(t, nil), "bad_signature", false},
		{"the present key under an old epoch", good(func(r *lamppost.Report) { r.KeyEpoch = 1 }), "bad_signature", false},
		{"another device's name", other.report(t, nil), "forbidden", false},
		{"a name that nobody announced", nobody.report(t, nil), "forbidden", false},
		{"a synchronised clock a year ahead", good(func(r *lamppost.Report) {
			r.Readings[0].Time += lamppost.TimeMS(365 * 24 * time.Hour / time.Millisecond)
		}), "clock_ahead", false},
		{"a float as a register", m.handmade(t, []any{map[int]any{0: "energy", 1: "Wh", 5: 12.5, -3: begin.Unix()}}), "float_billed", false},
		{"10,000 readings", m.handmade(t, many), "too_large", false},
		{"a pack that says it has 10,000 readings", m.handmade(t, asIs{0x99, 0x27, 0x10}), "too_large", false},
		{"one reading too many", m.handmade(t, many[:lamppost.MaxReadings+1]), "too_large", false},
		{"a packet larger than any report", make([]byte, 100_000), "too_large", true},
		{"a packet of megabytes", make([]byte, 5<<20), "too_large", true},
	}
}

// asIs is CBOR that is not encoded again.
type asIs []byte

func (b asIs) MarshalCBOR() ([]byte, error) { return b, nil }

// handmade signs any pack as the machine's next report, which SignReport would not: COSE_Sign1 (RFC 9052 §4) put together
// here from docs/formats.md.
func (m *machine) handmade(t *testing.T, pack any) []byte {
	t.Helper()
	m.n++
	var payload []byte
	if raw, ok := pack.(asIs); ok {
		payload = raw
	} else {
		payload = lamppost.Marshal(pack)
	}
	kid := fmt.Appendf(nil, "%s/%d", m.id, m.epoch)
	protected := lamppost.Marshal(map[int]any{1: -8, 4: kid, -65537: []any{1, m.n, 0, 3, 1, 0}})
	signature, err := m.key.Sign(lamppost.Marshal([]any{"Signature1", protected, lamppost.Marshal([]any{"house", "report"}), payload}))
	must(t, err)
	return append([]byte{0xd2}, lamppost.Marshal([]any{protected, map[int]any{}, payload, signature})...)
}

// good sends a report that must be committed.
func (b *badInput) good() {
	b.t.Helper()
	before := b.l.metric(`lamppost_reports_total{code="ok"}`)
	got := b.sender.send(b.m.report(b.t, nil), false)
	if got.Code != "ok" {
		b.t.Fatalf("a good report is answered %+v", got)
	}
	if n := b.l.metric(`lamppost_reports_total{code="ok"}`); n != before+1 {
		b.t.Errorf("a good report was counted %v times", n-before)
	}
}

// refuses sends bytes that must be refused.
func (b *badInput) refuses(c badReport, overHTTP bool) {
	b.t.Helper()
	series := fmt.Sprintf(`{code="%s"}`, c.code)
	told, judged := b.l.metric(b.door+series), b.l.metric("lamppost_reports_total"+series)
	got := b.sender.send(c.raw, true)
	if got.Code != c.code || len(got.Text) < 10 {
		b.t.Errorf("%s: answered %+v, want %s and words", c.name, got, c.code)
	}
	if n := b.l.metric(b.door+series) - told; n != 1 {
		b.t.Errorf("%s: %s%s grew by %v, want 1", c.name, b.door, series, n)
	}
	want := 1.0
	if c.atDoor || overHTTP && len(c.raw) > lamppost.MaxReportBytes {
		want = 0
	}
	if n := b.l.metric("lamppost_reports_total"+series) - judged; n != want {
		b.t.Errorf("%s: lamppost_reports_total%s grew by %v, want %v", c.name, series, n, want)
	}
}

// resends sends one report three times, as a device does that lost an acknowledgement: the answer is the first one's.
func (b *badInput) resends() {
	b.t.Helper()
	raw := b.m.report(b.t, nil)
	first := b.sender.send(raw, false)
	b.good()
	before := b.l.metric(`lamppost_reports_total{code="duplicate"}`)
	for range 2 {
		again := b.sender.send(raw, false)
		if _, overHTTP := b.sender.(httpSender); overHTTP && again.Code != "duplicate" {
			b.t.Errorf("a resend is answered %+v, want duplicate", again)
		}
		if again.Text != "" || again.Height != first.Height {
			b.t.Errorf("a resend is answered %+v, the first was %+v", again, first)
		}
	}
	if n := b.l.metric(`lamppost_reports_total{code="duplicate"}`) - before; n != 2 {
		b.t.Errorf("two resends were counted %v times", n)
	}
}

// reuses signs two reports under one number: the device is quarantined, until its operator lets it enrol another key.
func (b *badInput) reuses() {
	b.t.Helper()
	b.m.n--
	reused := b.m.report(b.t, func(r *lamppost.Report) { r.Readings[0].Value = lamppost.Dec(4711, 0) })
	b.refuses(badReport{"a number used twice", reused, "number_reused", false}, false)
	b.refuses(badReport{"a quarantined device", b.m.report(b.t, nil), "quarantined", false}, false)
	b.refuses(badReport{"the same again", reused, "quarantined", false}, false)
	var dev api.DeviceToken
	b.l.order("/api/devices/m1/token", nil, &dev)
	b.m.token, b.m.key = dev.Token, newKey(b.t, "a third key of m1")
	b.l.enrol(b.m)
	b.good() // the connection is still that of the device
}

// unknown connects a device that was announced and has no key yet: its reports are refused until it enrols one.
func (b *badInput) unknown(open func(*testing.T, *lamp, *machine) sender) {
	b.t.Helper()
	young := b.l.announce("m3")
	c := &badInput{t: b.t, l: b.l, m: young, sender: open(b.t, b.l, young), door: b.door}
	c.refuses(badReport{"a device without a key", young.report(b.t, nil), "unknown", false}, false)
	b.l.enrol(young)
	c.good()
}

// A sender is one connection of one device. send returns what the device is told. refused says what the test expects, for
// the protocol that tells of a refusal in a message of its own.
type sender interface {
	send(raw []byte, refused bool) said
}

type httpSender struct {
	l *lamp
	m *machine
}

func (h httpSender) send(raw []byte, _ bool) said { return h.l.post(h.m, raw) }

type mqtt5 struct {
	t     testing.TB
	c     *paho5.Client
	topic string
}

func openMQTT5(t testing.TB, l *lamp, m *machine) *mqtt5 {
	t.Helper()
	nc, err := net.Dial("tcp", l.MQTTAddr())
	must(t, err)
	c, err := overMQTT5(t, nc, m.id, m.token)
	must(t, err)
	return c
}

// overMQTT5 logs in with receipts, with a password where there is one.
func overMQTT5(t testing.TB, nc net.Conn, id lamppost.DeviceID, token string) (*mqtt5, error) {
	c := paho5.NewClient(paho5.ClientConfig{Conn: nc, PacketTimeout: 20 * time.Second})
	login := &paho5.Connect{KeepAlive: 30, CleanStart: true, Properties: &paho5.ConnectProperties{RequestProblemInfo: true,
		User: paho5.UserProperties{{Key: "lamppost", Value: "receipts"}}}}
	if token != "" {
		login.UsernameFlag, login.Username, login.PasswordFlag, login.Password = true, string(id), true, []byte(token)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := c.Connect(ctx, login); err != nil {
		nc.Close()
		return nil, err
	}
	t.Cleanup(func() { c.Disconnect(&paho5.Disconnect{}) })
	return &mqtt5{t, c, "lp/" + string(id) + "/report"}, nil
}

func (m *mqtt5) send(raw []byte, _ bool) said {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), 20*time.Second)
	defer cancel()
	r, err := m.c.Publish(ctx, &paho5.Publish{QoS: 1, Topic: m.topic, Payload: raw})
	if r == nil {
		m.t.Fatalf("publishing %d bytes: %v", len(raw), err)
	}
	if r.ReasonCode >= 0x80 {
		code, text, _ := strings.Cut(r.Properties.ReasonString, ": ")
		return said{Code: code, Text: text}
	}
	height, err := strconv.ParseUint(r.Properties.User.Get("height"), 10, 64)
	if err != nil || r.Properties.ReasonString != "" {
		m.t.Errorf("an acknowledgement with reason %q and no height: %v", r.Properties.ReasonString, err)
	}
	return said{Code: "ok", Height: lamppost.Height(height)}
}

type mqtt3 struct {
	t       testing.TB
	c       paho3.Client
	topic   string
	refused chan said
}

func openMQTT3(t testing.TB, l *lamp, m *machine) *mqtt3 {
	t.Helper()
	opts := paho3.NewClientOptions().AddBroker("tcp://" + l.MQTTAddr()).SetClientID("c").SetUsername(string(m.id)).SetPassword(m.token).
		SetProtocolVersion(4).SetAutoReconnect(false)
	s := &mqtt3{t: t, c: paho3.NewClient(opts), topic: "lp/" + string(m.id) + "/report", refused: make(chan said, 100)}
	s.done("connecting", s.c.Connect())
	t.Cleanup(func() { s.c.Disconnect(0) })
	s.done("subscribing", s.c.Subscribe("lp/"+string(m.id)+"/refused", 1, func(_ paho3.Client, msg paho3.Message) {
		var r said
		if err := json.Unmarshal(msg.Payload(), &r); err != nil {
			r.Text = err.Error()
		}
		s.refused <- r
	}))
	return s
}

func (s *mqtt3) done(what string, token paho3.Token) {
	s.t.Helper()
	if !token.WaitTimeout(20*time.Second) || token.Error() != nil {
		s.t.Fatalf("%s: %v", what, token.Error())
	}
}

// send waits for the acknowledgement, which means committed or refused for good, and for the message that says which. A
// message where none is expected is found the next time, and by the counters.
func (s *mqtt3) send(raw []byte, refused bool) said {
	s.t.Helper()
	s.done("publishing", s.c.Publish(s.topic, 1, false, raw))
	if !refused {
		select {
		case r := <-s.refused:
			return r
		default:
			return said{Code: "ok"}
		}
	}
	select {
	case r := <-s.refused:
		return r
	case <-time.After(20 * time.Second):
		s.t.Fatal("acknowledged, and no word of the refusal")
		return said{}
	}
}
