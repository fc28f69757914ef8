package brokerd_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/ingest"
	"github.com/lamppost/lamppost/internal/ingest/brokerd"
	"github.com/lamppost/lamppost/internal/ingest/brokerd/brokertest"
)

// Tests in this file join a broker that others have written.

// Reports of every QoS arrive with the device that their topic names; all of QoS 1 are acknowledged; refusals are
// published where the device reads them, whoever the message was from.
func TestReports(t *testing.T) {
	t.Parallel()
	b, f := brokertest.Start(t), newFake(true)
	c, _ := join(t, b.Addr, func(c *brokerd.Config) { c.Submit = f })
	connected(t, c)
	v := visit(t, b.Addr)
	if _, err := v.Subscribe(t.Context(), &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: "lp/+/refused", QoS: 1}}}); err != nil {
		t.Fatal(err)
	}
	v.reports("good", 50)
	v.publish("lp/d7/report", "of QoS 0", 0)
	v.publish("lp/d7/report", "of QoS 2", 2)
	v.publish("lp/d7/report", "bad one", 1)
	v.publish("lp/d7/report", "bad two", 0)
	v.publish("lp/no device/report", "of nobody", 1)
	v.publish("lp//report", "of nobody either", 1)
	f.await(t, 54)
	for range 2 {
		if got := <-v.got; !strings.HasPrefix(got, `lp/d7/refused {"report":"`) || !strings.HasSuffix(got, `","code":"bad_signature","text":"it does not verify"}`) {
			t.Errorf("told %s", got)
		}
	}
	until(t, "all are acknowledged", func() bool { return c.Status().Acknowledged == 54 })
	if st := c.Status(); st.Received != 56 || st.Refused != 4 || st.Redelivered != 0 {
		t.Errorf("status %+v", st)
	}
	for raw, from := range map[string]lamppost.DeviceID{"good 0": "d0", "good 49": "d1", "of QoS 0": "d7", "of QoS 2": "d7"} {
		if got, times, _ := f.seen(raw); got.Device != from || !got.Relayed || got.Late || times != 1 {
			t.Errorf("%q came %d times from %+v", raw, times, got)
		}
	}
}

// A mapper stands for the mapping.
type mapper struct{ *fake }

func (m mapper) Device(topic string) (lamppost.DeviceID, bool) {
	name, ok := strings.CutPrefix(topic, "tele/")
	name, sensor := strings.CutSuffix(name, "/SENSOR")
	return lamppost.DeviceID(name), ok && sensor
}

func newMapper() mapper { return mapper{newFake(true)} }

// Publish answers as the mapping does: of a report for which the fake stands.
func (m mapper) Publish(ctx context.Context, from *ingest.Origin, topic string, message []byte, token uint64, sink ingest.Sink) (bool, error) {
	if _, ok := m.Device(topic); !ok {
		return false, nil
	}
	return true, m.Submit(ctx, from, message, token, sink)
}

// Messages of mapped topics go to the mapping, and a refusal of one is told to the device it names.
func TestMapped(t *testing.T) {
	t.Parallel()
	b, f := brokertest.Start(t), newFake(true)
	m := newMapper()
	c, _ := join(t, b.Addr, func(c *brokerd.Config) { c.Submit, c.Foreign, c.Filters = f, m, []string{"tele/+/SENSOR"} })
	connected(t, c)
	v := visit(t, b.Addr)
	if _, err := v.Subscribe(t.Context(), &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: "lp/#", QoS: 1}}}); err != nil {
		t.Fatal(err)
	}
	v.publish("tele/plug/SENSOR", `{"energy":1}`, 1)
	v.publish("tele/plug/STATE", `{"energy":2}`, 1)
	v.publish("tele/plug/SENSOR", "bad json", 0)
	m.fake.await(t, 2)
	if got := <-v.got; !strings.HasPrefix(got, "lp/plug/refused ") {
		t.Errorf("told %s", got)
	}
	from, _, _ := m.seen(`{"energy":1}`)
	if st := c.Status(); st.Received != 2 || f.count() != 0 || from.Device != "plug" {
		t.Errorf("status %+v, %d reports, from %+v", st, f.count(), from)
	}
}

// What was not answered when the connection broke comes again on the next, and nothing else does. Nothing is lost.
func TestCut(t *testing.T) {
	t.Parallel()
	const n = 200
	b, f := brokertest.Start(t), newFake(false)
	p := newLine(t, b.Addr)
	c, _ := join(t, p.Addr().String(), func(c *brokerd.Config) { c.Submit = f })
	connected(t, c)
	v := visit(t, b.Addr)
	v.reports("first", n)
	f.await(t, n)
	f.flush(nil)
	until(t, "the first are acknowledged", func() bool { return c.Status().Acknowledged == n })
	v.reports("second", n)
	f.await(t, 2*n)
	p.cut() // the broker waits for the second's acknowledgements
	v.reports("third", n)
	f.await(t, 3*n)
	until(t, "the second come again", func() bool { f.mu.Lock(); defer f.mu.Unlock(); return len(f.queue) >= 3*n })
	f.flush(nil) // also those of the connection that is gone: nobody hears of it
	until(t, "all are acknowledged", func() bool { return c.Status().Acknowledged == 3*n })
	for _, raw := range f.all() {
		want := 1
		if strings.HasPrefix(raw, "second") {
			want = 2
		}
		if _, times, accepted := f.seen(raw); times != want || accepted != want {
			t.Errorf("%q was submitted %d times and accepted %d times, want %d", raw, times, accepted, want)
		}
	}
	// Of the third, some may have been sent into the broken connection.
	if st := c.Status(); st.Redelivered < n || st.Received != 4*n || f.count() != 3*n {
		t.Errorf("status %+v, %d reports", st, f.count())
	}
}

// While ingest answers nothing, no more than a window of messages is taken out of the broker; the rest waits there.
func TestWindow(t *testing.T) {
	t.Parallel()
	b, f := brokertest.Start(t), newFake(false)
	c, _ := join(t, b.Addr, func(c *brokerd.Config) { c.Submit, c.Window = f, 8 })
	connected(t, c)
	v := visit(t, b.Addr)
	v.reports("r", 100) // acknowledged by the broker
	for taken := 8; taken < 100; taken += 8 {
		f.await(t, taken)
		if got := f.count(); got > taken {
			t.Fatalf("%d reports are here, %d were answered, and the window is 8", got, taken-8)
		}
		f.flush(nil)
	}
	until(t, "all come", func() bool { f.flush(nil); return c.Status().Acknowledged == 100 })
}

// A node that joins a group after it had been alone gets nothing twice, and loses nothing.
func TestJoinsGroup(t *testing.T) {
	t.Parallel()
	b, f := brokertest.Start(t), newFake(true)
	c, stop := join(t, b.Addr, func(c *brokerd.Config) { c.Submit = f })
	connected(t, c)
	stop()
	v := visit(t, b.Addr)
	v.reports("between", 30)
	c, _ = join(t, b.Addr, func(c *brokerd.Config) { c.Submit, c.Group = f, "net" })
	connected(t, c)
	v.reports("after", 30)
	f.await(t, 60)
	until(t, "all are acknowledged", func() bool { return c.Status().Acknowledged >= 60 })
	if st := c.Status(); st.Received != 60 {
		t.Errorf("status %+v", st)
	}
}

// Clients of one group split what comes; each message is one's.
func TestGroup(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	fakes := []*fake{newFake(true), newFake(true)}
	for i, f := range fakes {
		c, _ := join(t, b.Addr, func(c *brokerd.Config) { c.Submit, c.ClientID, c.Group = f, fmt.Sprint("node", i), "net" })
		connected(t, c)
	}
	visit(t, b.Addr).reports("r", 300)
	until(t, "all come", func() bool { return fakes[0].count()+fakes[1].count() >= 300 })
	for _, raw := range fakes[0].all() {
		if _, times, _ := fakes[1].seen(raw); times > 0 {
			t.Errorf("%q came to both", raw)
		}
	}
	if a, b := fakes[0].count(), fakes[1].count(); a+b != 300 || min(a, b) < 75 {
		t.Errorf("%d and %d of 300", a, b)
	}
}

// A broker that is restarted under load, keeping its sessions on disk, loses nothing: both sides come back.
func TestRestart(t *testing.T) {
	t.Parallel()
	b, f := brokertest.Start(t), newFake(true)
	c, _ := join(t, b.Addr, func(c *brokerd.Config) { c.Submit = f })
	connected(t, c)
	sent := map[string]bool{}
	for round := range 4 {
		v := visit(t, b.Addr)
		v.reports(fmt.Sprint("round ", round), 100)
		for i := range 100 {
			sent[fmt.Sprintf("round %d %d", round, i)] = true
		}
		b.Stop()
		if round == 2 {
			until(t, "the client notices", func() bool { return !c.Status().Connected })
			if st := c.Status(); st.Err == nil || time.Since(st.Since) > 20*time.Second {
				t.Errorf("status %+v", st)
			}
		}
		b.Begin()
	}
	f.await(t, len(sent))
	connected(t, c)
	for raw := range sent {
		if _, times, _ := f.seen(raw); times == 0 {
			t.Errorf("%q is lost", raw)
		}
	}
}

// Messages that came while the client was away wait for it.
func TestAway(t *testing.T) {
	t.Parallel()
	b, f := brokertest.Start(t), newFake(true)
	c, stop := join(t, b.Addr, func(c *brokerd.Config) { c.Submit = f })
	connected(t, c)
	stop()
	visit(t, b.Addr).reports("meanwhile", 30)
	b.Stop()
	b.Begin()
	join(t, b.Addr, func(c *brokerd.Config) { c.Submit = f })
	f.await(t, 30)
	if from, _, _ := f.seen("meanwhile 0"); !from.Late {
		t.Errorf("from %+v", from)
	}
}

// A wrong password is told in words, and a right one lets in; a probe says the same and takes nothing.
func TestLogIn(t *testing.T) {
	t.Parallel()
	b, f := brokertest.Start(t, "allow_anonymous false", "password_file "+brokertest.Passwords(t, "node:right", "dev:ice")), newFake(true)
	for password, want := range map[string]string{"wrong": "does not know the user and password", "": "does not know the user and password", "right": ""} {
		cfg := brokerd.Config{Address: brokerd.Address{Host: b.Addr}, ClientID: "node", User: "node", Password: password}
		c, err := brokerd.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Probe(t.Context()); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("password %q: probe says %v", password, err)
		}
	}
	c, _ := join(t, b.Addr, func(c *brokerd.Config) { c.Submit, c.User, c.Password = f, "node", "wrong" })
	until(t, "it is refused", func() bool { return c.Status().Err != nil })
	if err := c.Status().Err; !strings.Contains(err.Error(), "user and password") || strings.Contains(err.Error(), "wrong") {
		t.Errorf("status says %v", err)
	}
	c, _ = join(t, b.Addr, func(c *brokerd.Config) { c.Submit, c.User, c.Password, c.ClientID = f, "node", "right", "other" })
	connected(t, c)
}

// A broker that is not there yet is told in words, and found when it is.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	b, f := brokertest.Start(t), newFake(true)
	b.Stop()
	c, _ := join(t, b.Addr, func(c *brokerd.Config) { c.Submit = f })
	until(t, "it fails", func() bool { return c.Status().Err != nil })
	if err := c.Status().Err; !strings.Contains(err.Error(), "connecting to mqtt://"+b.Addr) || !strings.Contains(err.Error(), "refused") {
		t.Errorf("status says %v", err)
	}
	if err := c.Probe(t.Context()); err == nil {
		t.Error("a probe finds a broker that is not there")
	}
	b.Begin()
	connected(t, c)
}

// Where the broker's rules do not let the node publish, reports are taken all the same.
func TestMayNotPublish(t *testing.T) {
	t.Parallel()
	rules := filepath.Join(t.TempDir(), "acl")
	if err := os.WriteFile(rules, []byte("topic read lp/+/report\ntopic write lp/d0/report\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b, f := brokertest.Start(t, "allow_anonymous true", "acl_file "+rules), newFake(true)
	m := brokerd.NewMetrics(nil)
	c, _ := join(t, b.Addr, func(c *brokerd.Config) { c.Submit, c.Metrics = f, m })
	connected(t, c)
	v := visit(t, b.Addr)
	v.publish("lp/d0/report", "bad", 1)
	v.publish("lp/d0/report", "good", 1)
	f.await(t, 2)
	until(t, "both are acknowledged", func() bool { return c.Status().Acknowledged == 2 })
	until(t, "the refusal is dropped", func() bool { return value(m.Dropped) == 1 })
	if st := c.Status(); !st.Connected {
		t.Errorf("status %+v", st)
	}
}

// Over TLS the broker's certificate is checked, by the authorities that were named or the system's.
func TestTLS(t *testing.T) {
	t.Parallel()
	pool, certFile, keyFile := certificate(t)
	b, f := brokertest.Start(t, "allow_anonymous true", "certfile "+certFile, "keyfile "+keyFile), newFake(true)
	at := brokerd.Address{Host: b.Addr, TLS: true}
	c, _ := join(t, b.Addr, func(c *brokerd.Config) { c.Submit, c.Address, c.TLS = f, at, &tls.Config{RootCAs: pool} })
	connected(t, c)
	for want, cfg := range map[string]brokerd.Config{
		"mqtt_broker_ca": {Address: at}, // the system's authorities have not signed it
		"mqtts://":       {Address: brokerd.Address{Host: b.Addr}},
	} {
		cfg.ClientID = "x"
		c, err := brokerd.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Probe(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s in it", cfg.Address, err, want)
		}
	}
	plain := brokertest.Start(t)
	c, err := brokerd.New(brokerd.Config{Address: brokerd.Address{Host: plain.Addr, TLS: true}, ClientID: "x"})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Probe(t.Context()); err == nil {
		t.Error("TLS with a broker that does not speak it")
	} else if !strings.Contains(err.Error(), "connecting to mqtts://") {
		t.Errorf("TLS with a broker that does not speak it: %v", err)
	}
}

// certificate makes a certificate for 127.0.0.1 that signs itself.
func certificate(t *testing.T) (pool *x509.CertPool, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "broker"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	certFile, keyFile = write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", secret)
	pool = x509.NewCertPool()
	text, err := os.ReadFile(certFile)
	if err != nil || !pool.AppendCertsFromPEM(text) {
		t.Fatal("the certificate cannot be read back:", err)
	}
	return pool, certFile, keyFile
}
