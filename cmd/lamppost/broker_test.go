package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/device"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/consensus/consensustest"
	"github.com/lamppost/lamppost/internal/ingest/brokerd/brokertest"
	"github.com/lamppost/lamppost/sig"
)

// TestBrokerCrash kills a serving process with SIGKILL at random moments while devices publish to a broker that it has
// joined. Afterwards: every report that the broker had acknowledged to its device is in the archive exactly once, though the
// broker had to bring some again.
//
// A longer run: go test ./cmd/lamppost -run TestBrokerCrash -kills 120 -timeout 30m
func TestBrokerCrash(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	c := &crash{t: t, dir: t.TempDir(), rnd: rand.New(rand.NewPCG(seed, 1)), acked: map[string]bool{}, paid: map[string]bool{},
		flags: []string{"--mqtt-broker", "mqtt://" + b.Addr}}
	c.http, c.mqtt = consensustest.FreeAddress(t), "off"
	c.start()
	c.setUp()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, id := range []lamppost.DeviceID{"meter-a", "meter-b", "meter-c"} {
		key := c.enrolled(id)
		wg.Go(func() { c.publisher(ctx, b.Addr, id, key) })
	}
	for range *kills {
		time.Sleep(time.Duration(50+c.rnd.IntN(600)) * time.Millisecond) // the moment is the test
		c.watch()
		c.kill()
		c.start()
	}
	cancel()
	wg.Wait()
	c.drained()
	c.must("POST", "/api/transfers", map[string]string{"from": "ann", "to": "ben", "currency": "EUR", "amount": "0.01", "memo": "the end"}, nil)
	c.paid["the end"] = true
	c.watch()
	c.stop()
	c.check()
}

// enrolled announces a device and registers its key.
func (c *crash) enrolled(id lamppost.DeviceID) *sig.PrivateKey {
	c.t.Helper()
	var added struct{ Token string }
	c.must("POST", "/api/devices", map[string]string{"id": string(id), "owner": "ann", "safety": "ordinary"}, &added)
	key, err := device.LoadOrCreateKey(c.t.TempDir(), sig.EdDSA)
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := device.Enrol(c.t.Context(), device.Enrolment{URL: "http://" + c.http, Device: id, Token: added.Token, Key: key, Dir: c.t.TempDir()}); err != nil {
		c.t.Fatal(err)
	}
	return key
}

// publisher signs a report every few milliseconds and notes those that the broker has acknowledged.
func (c *crash) publisher(ctx context.Context, addr string, id lamppost.DeviceID, key *sig.PrivateKey) {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		c.t.Error(err)
		return
	}
	client := paho.NewClient(paho.ClientConfig{Conn: nc, PacketTimeout: 20 * time.Second, OnPublishReceived: []func(paho.PublishReceived) (bool, error){
		func(p paho.PublishReceived) (bool, error) {
			c.t.Errorf("%s is told %s", id, p.Packet.Payload)
			return true, nil
		}}})
	if _, err := client.Connect(context.Background(), &paho.Connect{KeepAlive: 30, CleanStart: true}); err != nil {
		c.t.Error(err)
		return
	}
	defer client.Disconnect(&paho.Disconnect{})
	if _, err := client.Subscribe(context.Background(), &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: fmt.Sprintf("lp/%s/refused", id), QoS: 1}}}); err != nil {
		c.t.Error(err)
	}
	for n := uint64(1); ctx.Err() == nil; n++ {
		r := lamppost.Report{Device: id, KeyEpoch: 1, Seq: lamppost.Seq{Epoch: 1, N: n}, TimeQuality: lamppost.TimeSynchronised,
			Readings: []lamppost.Reading{{Name: "energy", Unit: "Wh", Kind: lamppost.Register, Time: lamppost.TimeMS(time.Now().UnixMilli()), Value: lamppost.Dec(int64(n), 0)}}}
		raw, err := lamppost.SignReport(&r, network, key)
		if err == nil {
			err = r.Decode(raw) // for its id
		}
		if err == nil {
			_, err = client.Publish(context.Background(), &paho.Publish{QoS: 1, Topic: fmt.Sprintf("lp/%s/report", id), Payload: raw})
		}
		if err != nil {
			c.t.Error(err)
			return
		}
		c.mu.Lock()
		c.acked[r.ID(network).String()] = true
		c.mu.Unlock()
		time.Sleep(time.Millisecond)
	}
}

// drained waits until the broker has nothing left: the node has heard of it for long enough, and heard nothing new.
func (c *crash) drained() {
	c.t.Helper()
	var last api.Status
	for quiet, end := 0, time.Now().Add(time.Minute); quiet < 20; time.Sleep(20 * time.Millisecond) {
		var s api.Status
		if ok, _ := c.ask("GET", "/api/status", nil, &s); !ok || s.Broker == nil || !s.Broker.Connected || s.Broker.Acknowledged != s.Broker.Received ||
			last.Broker == nil || *last.Broker != *s.Broker {
			quiet, last = 0, s
		}
		quiet++
		if time.Now().After(end) {
			c.t.Fatalf("the broker is never empty: %+v", s.Broker)
		}
	}
	c.t.Logf("since the last kill the broker brought %d messages, %d of them again", last.Broker.Received, last.Broker.Redelivered)
}
