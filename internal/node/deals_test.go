package node_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/device"
	"github.com/lamppost/lamppost/device/devicemqtt"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/node"
	"github.com/lamppost/lamppost/sig"
	"github.com/lamppost/lamppost/tariff"
)

// A dealer is a device that deals: its reports go over MQTT or HTTP, its word over HTTP.
type dealer struct {
	*device.Device
	*device.Deals
	http *device.HTTP
}

func (l *lamp) dealer(t *testing.T, id lamppost.DeviceID, owner lamppost.PartyID, suite sig.Suite, mqtt bool, now func() time.Time) dealer {
	t.Helper()
	var token api.DeviceToken
	l.order("/api/devices", api.NewDevice{ID: id, Owner: owner, Safety: "ordinary"}, &token)
	dir := t.TempDir()
	key, err := device.LoadOrCreateKey(dir, suite)
	must(t, err)
	got, err := device.Enrol(t.Context(), device.Enrolment{URL: l.URL(), Device: id, Token: token.Token, Key: key, Dir: dir, Client: l.client})
	must(t, err)
	h := device.NewHTTP(l.URL(), id, token.Token, l.client)
	var sender device.Sender = h
	if mqtt {
		m, err := devicemqtt.Open(devicemqtt.Config{URL: "mqtt://" + l.MQTTAddr(), Device: id, Token: token.Token})
		must(t, err)
		t.Cleanup(func() { m.Close() })
		sender = m
	}
	d, err := device.Open(device.Config{Network: got.Network, ID: id, Key: key, KeyEpoch: got.KeyEpoch, Dir: dir, Sender: sender, Now: now, MinBackoff: 20 * time.Millisecond})
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); d.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended; d.Close() })
	return dealer{d, d.Deals(h), h}
}

// meter reports a register that sessions rest on, and waits until that is committed.
func (m dealer) meter(t *testing.T, at time.Time, value int64) {
	t.Helper()
	_, err := m.ReportMetered(nil, lamppost.Reading{Name: "energy", Unit: "Wh", Kind: lamppost.Register, Time: lamppost.TimeMS(at.UnixMilli()), Value: lamppost.Dec(value, 0)})
	must(t, err)
	must(t, m.Drain(t.Context()))
}

// A delivery robot charges at a charger: offer, acceptance, session, metering, settlement, bill, and both devices' books, with nobody but the
// two devices after they were registered. What neither may do is refused, and counted by its reason.
func TestRobotChargesItself(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(t *testing.T, later func(clock) clock) (*lamp, clock){
		"solo": func(t *testing.T, later func(clock) clock) (*lamp, clock) {
			cfg := config(t.TempDir())
			cfg.Now = later(cfg.Now)
			return run(t, cfg), cfg.Now
		},
		"raft": func(t *testing.T, later func(clock) clock) (*lamp, clock) {
			var last *member
			for _, s := range founded(t, "raft", 3)[:3] {
				last = s.runWith(t, func(cfg *node.Config) { cfg.Now = later(cfg.Now) })
			}
			return last.lamp(), last.cfg.Now
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var ahead atomic.Int64
			l, now := open(t, func(base clock) clock {
				return func() time.Time { return base().Add(time.Duration(ahead.Load())) }
			})
			chargesItself(t, l, now, func(d time.Duration) { ahead.Add(int64(d)) })
		})
	}
}

type clock = func() time.Time

func chargesItself(t *testing.T, l *lamp, clock clock, jump func(time.Duration)) {
	now := func() lamppost.TimeMS { return lamppost.TimeMS(clock().UnixMilli()) }

	l.order("/api/parties", lamppost.PartyBody{ID: "grid", Name: "Grid"}, nil)
	l.order("/api/parties", lamppost.PartyBody{ID: "farm", Name: "Farm", CreditLimit: 50 * lamppost.MicroUnit}, nil)
	l.order("/api/parties", lamppost.PartyBody{ID: "ann", Name: "Ann"}, nil)
	charger := l.dealer(t, "charger", "grid", sig.ES256, true, clock)
	robot := l.dealer(t, "robot", "farm", sig.EdDSA, false, clock)
	l.order("/api/points", lamppost.PointBody{ID: "bay", Device: "charger", Register: "energy", Unit: "Wh", Sessions: true}, nil)
	fast := tariff.Tariff{ID: "fast", Version: 1, Seller: "grid", Currency: "EUR", From: 0, Zone: tariff.Zone{Name: "UTC", Transitions: []tariff.Transition{{}}}, PerUnit: "kWh", RegisterUnit: "Wh",
		Scale: 3, Bands: []tariff.Band{{Name: "flat", ToMin: 1440, Price: 500_000}}, Rounding: tariff.RoundHalfUp, Tax: tariff.Tax{Category: "S", BasisPoints: 1900}}
	l.order("/api/tariffs", fast, nil)
	l.order("/api/centres", lamppost.CentreBody{Device: "charger", Currency: "EUR", Shares: []lamppost.Share{{Party: "grid", Parts: 2}, {Party: "ann", Parts: 1}},
		Costs: []lamppost.Cost{{Kind: lamppost.CostService, Amount: lamppost.MicroUnit, From: now(), To: now() + 365*24*3600*1000}}}, nil)
	l.order("/api/centres", lamppost.CentreBody{Device: "robot", Currency: "EUR", Shares: []lamppost.Share{{Party: "farm", Parts: 1}}, Limit: 6 * lamppost.MicroUnit, LimitDays: 1}, nil)
	jump(20 * time.Minute)

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err := charger.Offer(ctx, lamppost.OfferBody{ID: "noon", Point: "bay", Tariff: "fast", Version: 1, Most: 8 * lamppost.MicroUnit, Longest: 2 * 3600 * 1000, Until: now() + 4*3600*1000})
	must(t, err)
	if _, err := robot.Offer(ctx, lamppost.OfferBody{ID: "mine", Point: "bay", Tariff: "fast", Version: 1, Most: lamppost.MicroUnit, Longest: 1000, Until: now() + 1000}); !refusedWith(err, lamppost.CodeBadTx) {
		t.Errorf("the robot offers the charger's bay: %v", err)
	}
	offers, err := robot.Offers(ctx)
	if must(t, err); len(offers) != 1 || offers[0].ID != "noon" || offers[0].Seller != "grid" || offers[0].Terms == "" {
		t.Fatalf("the robot sees %+v", offers)
	}
	offer := &offers[0]
	for want, bid := range map[lamppost.Code]device.Bid{
		lamppost.CodeNoFunds: {Buyer: "farm"}, lamppost.CodeForbidden: {Buyer: "grid", Limit: lamppost.MicroUnit}, lamppost.CodeBadTx: {Buyer: "farm", Limit: 9 * lamppost.MicroUnit},
	} {
		if _, err := robot.Accept(ctx, offer, bid); !refusedWith(err, want) {
			t.Errorf("a bid %+v is answered %v, want %s", bid, err, want)
		}
		if n := l.metric(`lamppost_http_refused_total{code="` + want.String() + `"}`); n == 0 {
			t.Errorf("that it is %s is not counted", want)
		}
	}
	s, err := robot.Accept(ctx, offer, device.Bid{Buyer: "farm", Limit: 6 * lamppost.MicroUnit, For: time.Hour})
	must(t, err)
	if err := charger.Settle(ctx, "other"); !refusedWith(err, lamppost.CodeUnknown) {
		t.Errorf("a session of nobody is settled: %v", err)
	}
	early, stop := context.WithTimeout(ctx, 300*time.Millisecond)
	if err := robot.Settle(early, s.ID); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a session without readings is settled: %v", err)
	}
	stop()
	if _, log := l.ask("GET", "/api/log?limit=100", nil); strings.Contains(string(log), `"settle"`) {
		t.Error("what cannot be accepted was ordered, and stands in the log for ever")
	}
	charger.meter(t, clock(), 1000)
	jump(40 * time.Minute)
	charger.meter(t, clock(), 9000)
	must(t, robot.Settle(ctx, s.ID))
	jump(20 * time.Minute)
	deal := l.untilDeal(t, robot, s.ID, "billed")
	if deal.Invoice != "grid-000001" || deal.For != "robot" || deal.Device != "charger" {
		t.Errorf("the session is %+v", deal)
	}

	// A second one runs out by itself; 2.00 are left of the day's 6.00.
	s, err = robot.Accept(ctx, offer, device.Bid{Buyer: "farm", Limit: 2 * lamppost.MicroUnit, For: 10 * time.Minute})
	must(t, err)
	charger.meter(t, clock(), 9000)
	jump(5 * time.Minute)
	charger.meter(t, clock(), 20_000)
	jump(20 * time.Minute)
	l.untilDeal(t, charger, s.ID, "billed")
	if _, err := robot.Accept(ctx, offer, device.Bid{Buyer: "farm", Limit: 10_000}); !refusedWith(err, lamppost.CodeNoFunds) {
		t.Errorf("a cent beyond the limit is answered %v", err)
	}

	jump(30 * time.Minute)
	var done api.Done
	l.order("/api/centres/charger/payout", api.Payout{}, &done)
	if p := done.Period; p == nil || p.Income != 6*lamppost.MicroUnit || p.Profit+p.Service != p.Income || len(p.Paid) != 2 {
		t.Errorf("the charger earned %+v", done.Period)
	}
	l.order("/api/centres/robot/payout", api.Payout{}, &done)
	var c api.Centre
	status, answer := l.ask("GET", "/api/centres/robot", nil)
	if must(t, json.Unmarshal(answer, &c)); status != http.StatusOK || c.Spending == nil || c.Spending.Spent != 6*lamppost.MicroUnit || len(c.Periods) != 1 || c.Periods[0].Bought != 6*lamppost.MicroUnit {
		t.Errorf("the robot's books are %s", answer)
	}
	for _, id := range []string{"charger", "robot"} {
		l.books(t, id)
	}
}

// untilDeal waits for a state of a session.
func (l *lamp) untilDeal(t *testing.T, m dealer, id, state string) device.Deal {
	t.Helper()
	var deal device.Deal
	eventually(t, fmt.Sprintf("session %s is %s", id, state), func() bool {
		var err error
		deal, err = m.Session(t.Context(), id)
		must(t, err)
		return deal.State == state
	})
	return deal
}

// books fetches a device's books, once they are published, and checks them as whoever gets them does.
func (l *lamp) books(t *testing.T, id string) {
	t.Helper()
	var status int
	var file []byte
	eventually(t, "the books of "+id+" are published", func() bool {
		status, file = l.ask("GET", "/api/centres/"+id+"/books", nil)
		return status == http.StatusOK
	})
	_, pin := l.ask("GET", "/network.pin", nil)
	p, err := audit.ParsePin(string(pin))
	must(t, err)
	f, err := audit.Verify(file, p)
	if err != nil || f.Kind != audit.KindBooks || !strings.Contains(strings.Join(f.Summary, " "), "books of "+id) {
		t.Errorf("status %d, %v: %.300s", status, err, file)
	}
}

func refusedWith(err error, code lamppost.Code) bool {
	var refusal *lamppost.Refusal
	return errors.As(err, &refusal) && refusal.Code == code
}
