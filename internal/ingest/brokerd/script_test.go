package brokerd_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"github.com/lamppost/lamppost/internal/ingest/brokerd"
)

// Tests in this file look at the packets of the client, through a broker that does what they say.

// What the client asks of a broker is what the promise rests on: a session that stays, under one id, with a window and a
// largest packet, and subscriptions of QoS 1, which the nodes of a group share.
func TestAsks(t *testing.T) {
	t.Parallel()
	s := script(t)
	join(t, s.listener.Addr().String(), func(c *brokerd.Config) {
		c.Submit, c.Window, c.User, c.Password, c.Filters, c.Group = newFake(true), 8, "node", "secret", []string{"tele/+/SENSOR"}, "net"
	})
	con := s.accept()
	p := con.Properties
	if con.ClientID != "node" || con.CleanStart || *p.ReceiveMaximum != 8 || *p.SessionExpiryInterval != 86_400 || *p.MaximumPacketSize != 72<<10 ||
		con.Username != "node" || string(con.Password) != "secret" || con.KeepAlive != 30 || con.WillFlag {
		t.Errorf("CONNECT %v", con)
	}
	var got []string
	for _, sub := range s.welcome(false).Subscriptions {
		got = append(got, fmt.Sprint(sub.Topic, " ", sub.QoS, sub.RetainHandling))
	}
	if want := "[$share/net/lp/+/report 1 2 $share/net/tele/+/SENSOR 1 2]"; fmt.Sprint(got) != want {
		t.Errorf("subscribes to %v, want %s", got, want)
	}
	if got := expect[*packets.Unsubscribe](s); fmt.Sprint(got.Topics) != "[lp/+/report tele/+/SENSOR]" {
		t.Errorf("ends the subscriptions %v", got.Topics)
	}

	s = script(t)
	join(t, s.listener.Addr().String(), func(c *brokerd.Config) { c.Submit = newFake(true) })
	if con := s.accept(); con.UsernameFlag || con.PasswordFlag {
		t.Errorf("CONNECT %v", con)
	}
	if got := s.welcome(false).Subscriptions; len(got) != 1 || got[0].Topic != "lp/+/report" {
		t.Errorf("subscribes to %+v", got)
	}
}

// However ingest orders its replies, acknowledgements go out in the order of the messages (MQTT 5 §4.6), none before its
// message and all before it are answered.
func TestOrderOfAcknowledgements(t *testing.T) {
	t.Parallel()
	const n = 60
	f, s := newFake(false), script(t)
	c, _ := join(t, s.listener.Addr().String(), func(c *brokerd.Config) { c.Submit = f })
	s.accept()
	s.welcome(false)
	die := rand.New(rand.NewPCG(4, 6))
	for i := range n {
		s.message(uint16(500-7*i), "lp/d/report", fmt.Sprint("r", i), false)
		if i%20 == 19 {
			f.await(t, i+1)
			if got := c.Status().Acknowledged; got > uint64(i-19) {
				t.Errorf("%d messages are acknowledged, %d were answered", got, i-19)
			}
			f.flush(die)
			for j := i - 19; j <= i; j++ {
				if ack := expect[*packets.Puback](s); ack.PacketID != uint16(500-7*j) || ack.ReasonCode != 0 {
					t.Fatalf("acknowledged %d (%#x), want %d", ack.PacketID, ack.ReasonCode, 500-7*j)
				}
			}
		}
	}
	until(t, "all are counted", func() bool { return c.Status().Acknowledged == n })
	if st := c.Status(); st.Received != n || st.Refused != 0 || st.Redelivered != 0 {
		t.Errorf("status %+v", st)
	}
}

// What was refused only for now is not acknowledged: the client comes back, and takes it when it comes again.
func TestNotNow(t *testing.T) {
	t.Parallel()
	f, s := newFake(false), script(t)
	c, _ := join(t, s.listener.Addr().String(), func(c *brokerd.Config) { c.Submit = f })
	s.accept()
	s.welcome(false)
	s.message(1, "lp/d/report", "later", false)
	f.await(t, 1)
	f.flush(nil)
	expect[*packets.Disconnect](s)
	s.accept()
	s.welcome(true)
	s.message(1, "lp/d/report", "later", true)
	until(t, "it is submitted again", func() bool { _, times, _ := f.seen("later"); return times == 2 })
	f.flush(nil)
	if ack := expect[*packets.Puback](s); ack.PacketID != 1 {
		t.Errorf("acknowledged %d", ack.PacketID)
	}
	until(t, "it is counted", func() bool { return c.Status().Acknowledged == 1 })
	from, _, _ := f.seen("later")
	if st := c.Status(); st.Redelivered != 1 || st.Refused != 0 || !from.Late {
		t.Errorf("status %+v, from %+v", st, from)
	}
}

// After too many bad reports the broker is read more slowly, and nothing is lost, nor comes twice. The allowance is the
// broker's, not that of a device that a topic names: anybody may have published there.
func TestFlood(t *testing.T) {
	t.Parallel()
	f, s := newFake(true), script(t)
	f.floods = 20
	c, _ := join(t, s.listener.Addr().String(), func(c *brokerd.Config) { c.Submit = f })
	s.accept()
	s.welcome(false)
	for i := range uint16(10) {
		s.message(i+1, fmt.Sprintf("lp/d%d/report", i), fmt.Sprint("r", i), false)
		if ack := expect[*packets.Puback](s); ack.PacketID != i+1 {
			t.Errorf("acknowledged %d", ack.PacketID)
		}
	}
	first, _, _ := f.seen("r0")
	last, _, _ := f.seen("r9")
	if st := c.Status(); st.Received != 10 || f.count() != 10 || first.Allowance == nil || first.Allowance != last.Allowance {
		t.Errorf("status %+v, from %+v and %+v", st, first, last)
	}
}

// A report that came before and is too old to be known again was probably committed: no device is told that it was not.
func TestTooOldAgain(t *testing.T) {
	t.Parallel()
	s := script(t)
	c, _ := join(t, s.listener.Addr().String(), func(c *brokerd.Config) { c.Submit = newFake(true) })
	s.accept()
	s.welcome(true)
	s.message(1, "lp/d/report", "old and came before", true)
	if ack := expect[*packets.Puback](s); ack.PacketID != 1 {
		t.Errorf("acknowledged %d", ack.PacketID)
	}
	s.message(2, "lp/e/report", "old", false)
	for range 2 { // in either order
		switch p := expect[packets.Packet](s).(type) {
		case *packets.Puback:
		case *packets.Publish:
			if p.Topic != "lp/e/refused" || !strings.Contains(string(p.Payload), `"too_old"`) {
				t.Errorf("published %s to %s", p.Payload, p.Topic)
			}
		default:
			t.Errorf("the client sent %v", p)
		}
	}
	until(t, "both are counted", func() bool { st := c.Status(); return st.Acknowledged == 2 && st.Refused == 2 })
}

// Only a session that was not there before is known to have kept nothing: what comes out of another may be old.
func TestLate(t *testing.T) {
	t.Parallel()
	for _, present := range []bool{false, true} {
		f, s := newFake(true), script(t)
		_, stop := join(t, s.listener.Addr().String(), func(c *brokerd.Config) { c.Submit, c.BindsTopics = f, present })
		s.accept()
		s.welcome(present)
		s.message(1, "lp/d/report", "x", false)
		expect[*packets.Puback](s)
		s.message(2, "lp/d/report", "y", true)
		expect[*packets.Puback](s)
		x, _, _ := f.seen("x")
		y, _, _ := f.seen("y")
		if x.Device != "d" || x.Late != present || !y.Late || x.Relayed == present {
			t.Errorf("session present %t: from %+v and %+v", present, x, y)
		}
		stop()
	}
}

// Told to stop, the client takes nothing more, acknowledges what it has taken, and leaves without ending its session.
func TestStopAcknowledges(t *testing.T) {
	t.Parallel()
	f, s := newFake(false), script(t)
	c, stop := join(t, s.listener.Addr().String(), func(c *brokerd.Config) { c.Submit, c.Window = f, 1 })
	s.accept()
	s.welcome(false)
	connected(t, c)
	s.message(1, "lp/d/report", "taken", false)
	s.message(2, "lp/d/report", "one more than the window", false)
	start := time.Now()
	f.await(t, 1)
	stopped := make(chan bool)
	go func() { stop(); close(stopped) }()
	f.flush(nil)
	if ack := expect[*packets.Puback](s); ack.PacketID != 1 {
		t.Errorf("acknowledged %d", ack.PacketID)
	}
	if d := expect[*packets.Disconnect](s); d.ReasonCode != 0 || d.Properties.SessionExpiryInterval != nil {
		t.Errorf("left with %v", d)
	}
	<-stopped
	if took := time.Since(start); took >= brokerd.DrainTimeout || f.count() != 1 {
		t.Errorf("it took %v, and %d reports", took, f.count())
	}
}

// Whatever keeps the client out, its status says in words, and it comes again.
func TestKeptOut(t *testing.T) {
	t.Parallel()
	no := byte(0)
	refuse := func(code byte) func(*scripted) {
		return func(s *scripted) { s.send(&packets.Connack{ReasonCode: code, Properties: &packets.Properties{}}) }
	}
	disconnect := func(code byte, reason string) func(*scripted) {
		return func(s *scripted) {
			s.welcome(false)
			s.send(&packets.Disconnect{ReasonCode: code, Properties: &packets.Properties{ReasonString: reason}})
		}
	}
	for name, test := range map[string]struct {
		do   func(*scripted)
		want []string
	}{
		"wrong password":    {refuse(0x86), []string{"does not know this user and password", "mqtt_broker_user", "0x86"}},
		"not authorised":    {refuse(0x87), []string{"its rules forbid it", "mqtt_broker_user"}},
		"no MQTT 5":         {refuse(0x84), []string{"does not speak MQTT 5"}},
		"client id":         {refuse(0x85), []string{`client id (reason 0x85) "node"`}},
		"an unknown reason": {refuse(0x99), []string{"reason 0x99"}},
		"closes":            {func(s *scripted) { s.Close() }, []string{"closed the connection without a word", "mqtts://"}},
		"no wildcards": {func(s *scripted) {
			s.send(&packets.Connack{Properties: &packets.Properties{WildcardSubAvailable: &no}})
		}, []string{"no subscriptions with wildcards"}},
		"a topic refused":   {func(s *scripted) { s.send(&packets.Connack{Properties: &packets.Properties{}}); s.denied(1) }, []string{"subscribing to tele/+/SENSOR", "not authorised"}},
		"closes later":      {func(s *scripted) { s.welcome(false); s.Close() }, nil},
		"shuts down":        {disconnect(0x8b, ""), []string{"shutting down"}},
		"taken over":        {disconnect(0x8e, ""), []string{"another client", "same id"}},
		"a reason in words": {disconnect(0x97, "too much of it"), []string{"quota", `"too much of it"`}},
		"gone in between": {func(s *scripted) {
			s.send(&packets.Connack{Properties: &packets.Properties{}})
			expect[*packets.Subscribe](s)
			s.Close()
		}, []string{"subscribing"}},
		"what is not MQTT 5": {func(s *scripted) { s.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")); s.Close() }, []string{"logging in at"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := script(t)
			c, _ := join(t, s.listener.Addr().String(), func(c *brokerd.Config) { c.Submit, c.Filters = newFake(true), []string{"tele/+/SENSOR"} })
			s.accept()
			test.do(s)
			s.accept() // again
			st := c.Status()
			if st.Connected || st.Err == nil {
				t.Fatalf("status %+v", st)
			}
			for _, want := range test.want {
				if !strings.Contains(st.Err.Error(), want) {
					t.Errorf("%q does not say %q", st.Err, want)
				}
			}
			s.welcome(false)
			connected(t, c)
			if st := c.Status(); st.Err != nil {
				t.Errorf("connected, and %v", st.Err)
			}
		})
	}
}

// A broker without shared subscriptions will do for a node that is in no group.
func TestNoSharedSubscriptions(t *testing.T) {
	t.Parallel()
	no := byte(0)
	for _, group := range []string{"", "net"} {
		s := script(t)
		c, _ := join(t, s.listener.Addr().String(), func(c *brokerd.Config) { c.Submit, c.Group = newFake(true), group })
		s.accept()
		s.send(&packets.Connack{Properties: &packets.Properties{SharedSubAvailable: &no}})
		if group == "" {
			s.granted()
			connected(t, c)
			continue
		}
		s.accept() // again
		if err := c.Status().Err; err == nil || !strings.Contains(err.Error(), "leave the group out") {
			t.Errorf("status says %v", err)
		}
	}
}

// denied refuses one of the subscriptions.
func (s *scripted) denied(at int) {
	s.t.Helper()
	sub := expect[*packets.Subscribe](s)
	reasons := make([]byte, len(sub.Subscriptions))
	reasons[at] = 0x87
	s.send(&packets.Suback{PacketID: sub.PacketID, Properties: &packets.Properties{}, Reasons: reasons})
}
