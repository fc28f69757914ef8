package mqttd_test

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
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	paho5 "github.com/eclipse/paho.golang/paho"
	paho3 "github.com/eclipse/paho.mqtt.golang"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/device/devicemqtt"
	"github.com/lamppost/lamppost/internal/ingest"
)

// Tests in this file talk to clients that others have written.

// judging refuses reports that begin with "bad" and accepts others.
func judging() *fake {
	f := newFake()
	f.judge = func(raw []byte) ingest.Reply {
		if strings.HasPrefix(string(raw), "bad") {
			return ingest.Reply{Code: lamppost.CodeBadSignature, ID: lamppost.ReportID{2}, Text: "it does not verify"}
		}
		return ingest.Reply{ID: lamppost.ReportID{1}, Height: 12}
	}
	return f
}

// The MQTT 5 client of Eclipse: many publishers at once, a refusal, a receipt, a desired state, properties on a report.
func TestPaho5(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	f := judging()
	d := open(t, f, nil)
	nc, err := net.Dial("tcp", d.addr)
	if err != nil {
		t.Fatal(err)
	}
	desired := make(chan string, 10)
	c := paho5.NewClient(paho5.ClientConfig{Conn: nc, OnPublishReceived: []func(paho5.PublishReceived) (bool, error){
		func(p paho5.PublishReceived) (bool, error) {
			desired <- p.Packet.Topic + " " + string(p.Packet.Payload)
			return true, nil
		}}})
	connack, err := c.Connect(ctx, &paho5.Connect{ClientID: "c", KeepAlive: 30, CleanStart: true, UsernameFlag: true, Username: "m1",
		PasswordFlag: true, Password: []byte("token"), Properties: &paho5.ConnectProperties{RequestProblemInfo: true, User: paho5.UserProperties{{Key: "lamppost", Value: "receipts"}}}})
	if err != nil {
		t.Fatalf("connecting: %v, %+v", err, connack)
	}
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			r, err := c.Publish(ctx, &paho5.Publish{QoS: 1, Topic: ownTopic, Payload: fmt.Append(nil, "report ", i),
				Properties: &paho5.PublishProperties{ContentType: "application/cose"}})
			if err != nil || r.ReasonCode != 0 || r.Properties.User.Get("height") != "12" || r.Properties.User.Get("report") != (lamppost.ReportID{1}).String() {
				t.Errorf("publishing: %v, %+v", err, r)
			}
		})
	}
	all.Wait()
	r, err := c.Publish(ctx, &paho5.Publish{QoS: 1, Topic: ownTopic, Payload: []byte("bad one")})
	if err == nil || r.ReasonCode != 0x87 || r.Properties.ReasonString != "bad_signature: it does not verify" {
		t.Errorf("publishing a bad report: %v, %+v", err, r)
	}
	if _, err := c.Subscribe(ctx, &paho5.Subscribe{Subscriptions: []paho5.SubscribeOptions{{Topic: "lp/m1/desired", QoS: 1}}}); err != nil {
		t.Errorf("subscribing: %v", err)
	}
	d.SetDesired("m1", says([]byte("on")))
	if got := <-desired; got != "lp/m1/desired on" {
		t.Errorf("received %q", got)
	}
	if err := c.Disconnect(&paho5.Disconnect{}); err != nil {
		t.Errorf("disconnecting: %v", err)
	}
	if n := len(f.reports()); n != 51 {
		t.Errorf("ingest has %d reports, want 51", n)
	}
}

// The MQTT 3.1.1 client of Eclipse, with each QoS, and the message that says why a report was refused.
func TestPaho3(t *testing.T) {
	t.Parallel()
	f := judging()
	d := open(t, f, nil)
	opts := paho3.NewClientOptions().AddBroker("tcp://" + d.addr).SetClientID("c").SetUsername("m1").SetPassword("token").
		SetProtocolVersion(4).SetAutoReconnect(false)
	c := paho3.NewClient(opts)
	done := func(what string, token paho3.Token) {
		t.Helper()
		if !token.WaitTimeout(20*time.Second) || token.Error() != nil {
			t.Fatalf("%s: %v", what, token.Error())
		}
	}
	done("connecting", c.Connect())
	refused := make(chan string, 10)
	done("subscribing", c.Subscribe("lp/m1/refused", 1, func(_ paho3.Client, m paho3.Message) { refused <- string(m.Payload()) }))
	for i := range 60 {
		done("publishing", c.Publish(ownTopic, byte(i%3), false, fmt.Append(nil, "report ", i)))
	}
	done("publishing", c.Publish(ownTopic, 1, false, "bad one"))
	want := `{"report":"` + lamppost.ReportID{2}.String() + `","code":"bad_signature","text":"it does not verify"}`
	if got := <-refused; got != want {
		t.Errorf("told %s, want %s", got, want)
	}
	f.await(61)
	c.Disconnect(100)
}

// The commands of docs/devices.md work with Debian's mosquitto-clients.
func TestMosquitto(t *testing.T) {
	t.Parallel()
	path, err := exec.LookPath("mosquitto_pub")
	if err != nil {
		t.Skip("mosquitto_pub is not installed (Debian: mosquitto-clients)")
	}
	f := judging()
	d := open(t, f, nil)
	_, port, err := net.SplitHostPort(d.addr)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "report.cose")
	run := func(content, token, version, qos string) (string, error) {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), path, "-h", "127.0.0.1", "-p", port, "-V", version, "-u", "m1", "-P", token,
			"-t", ownTopic, "-f", file, "-q", qos).CombinedOutput()
		return string(out), err
	}
	for i, test := range []struct{ version, qos string }{{"311", "0"}, {"311", "1"}, {"311", "2"}, {"5", "0"}, {"5", "1"}} {
		content := fmt.Sprint("report ", i)
		if out, err := run(content, "token", test.version, test.qos); err != nil {
			t.Errorf("MQTT %s, QoS %s: %v\n%s", test.version, test.qos, err, out)
		}
		f.await(1)
		if all := f.reports(); string(all[len(all)-1]) != content {
			t.Errorf("MQTT %s, QoS %s: ingest has %q", test.version, test.qos, all)
		}
	}
	if out, _ := run("bad one", "token", "5", "1"); !strings.Contains(out, "Not authorized") {
		t.Errorf("a refused report: mosquitto_pub says %q", out)
	}
	if out, err := run("x", "guess", "311", "1"); err == nil {
		t.Errorf("logged in with a wrong token: %s", out)
	}
}

// Over TLS a verified client certificate is the log-in; one that was not verified is not.
func TestTLS(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	foreign := newAuthority(t)
	for _, test := range []struct {
		name   string
		mode   tls.ClientAuthType
		client []tls.Certificate
		code   byte
	}{
		{"verified", tls.VerifyClientCertIfGiven, []tls.Certificate{ca.issue(t, "m1")}, 0},
		{"asked for but not verified", tls.RequestClientCert, []tls.Certificate{foreign.issue(t, "m1")}, 5},
		{"none", tls.VerifyClientCertIfGiven, nil, 5},
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{ca.issue(t, "localhost")}, ClientAuth: test.mode, ClientCAs: ca.pool()})
		f := newFake()
		d := openOn(t, l, f, nil)
		nc, err := tls.Dial("tcp", d.addr, &tls.Config{ServerName: "localhost", RootCAs: ca.pool(), Certificates: test.client})
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		c := over(t, nc)
		c.send(connectPacket(4, "", "c", func(pk *packets.Packet) { pk.Connect.UsernameFlag, pk.Connect.PasswordFlag = false, false })...)
		ack, err := c.read()
		if err != nil || ack.ReasonCode != test.code {
			t.Errorf("%s: CONNACK %#x, %v, want %#x", test.name, ack.ReasonCode, err, test.code)
		}
		if test.code != 0 {
			c.wantEnd()
			continue
		}
		c.send(publishPacket(4, 1, ownTopic, 1, []byte("x"))...)
		if ack, err := c.read(); err != nil || ack.PacketID != 1 {
			t.Errorf("%s: %+v, %v", test.name, ack, err)
		}
		d.stop()
		c.wantEnd()
	}
}

type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	a := &authority{}
	a.key, a.cert = a.make(t, "authority", true)
	return a
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}))
	return pool
}

func (a *authority) issue(t *testing.T, name string) tls.Certificate {
	key, cert := a.make(t, name, false)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

func (a *authority) make(t *testing.T, name string, isCA bool) (*ecdsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: isCA, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}}
	parent, signer := a.cert, a.key
	if isCA {
		parent, signer = template, key
		template.KeyUsage, template.ExtKeyUsage = x509.KeyUsageCertSign, nil
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return key, cert
}

// The SDK's sender works against the front door and agrees with it on what is final.
func TestSDK(t *testing.T) {
	t.Parallel()
	d := open(t, refusing(), nil)
	s, err := devicemqtt.Open(devicemqtt.Config{URL: "mqtt://" + d.addr, Device: "m1", Token: "token"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for i := range lamppost.CodeNames() {
		code := lamppost.Code(i)
		ack, err := s.Send(ctx, []byte{byte(i)})
		// The SDK cannot know from a PUBACK that an accepted report had been accepted before.
		said := ack.Code == code || ack.Code.Accepted() && code.Accepted()
		if final := err == nil && said; final != code.Final() {
			t.Errorf("%v: the SDK got %+v, %v", code, ack, err)
		}
	}
}
