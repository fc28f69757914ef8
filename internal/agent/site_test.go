package agent_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/agent"
)

// together gives devices of a site their offers, as a node does, and returns what is left for them.
func together(all []*agent.Inputs, limit, feed int64) {
	bids, firm := make([][]agent.Offer, len(all)), int64(0)
	for i, in := range all {
		var f int64
		bids[i], f = in.Bid()
		firm += f
	}
	for i, in := range all {
		if len(bids[i]) == 0 && in.Mode != lamppost.AgentBounded {
			continue
		}
		in.Site = &agent.Site{Limit: max(0, limit-firm), Feed: feed}
		for k, b := range bids {
			if k != i {
				in.Site.Offers = append(in.Site.Offers, b...)
			}
		}
	}
}

func watts(d *lamppost.Decision) int64 { return d.Action.Value.Mantissa }

// TestSiteTrades: a charger that must hurry gets more than the site's connection gives, from a storage that would else have kept its energy for later,
// and both say so.
func TestSiteTrades(t *testing.T) {
	t.Parallel()
	car := charger("car", 11_000, []int64{200_000, 200_000, 300_000, 200_000}, session("car", 6_600, 1, 11_000))
	cell := storage(6400, 200_000, 200_000, 300_000, 200_000)
	cell.Device, cell.Forecasts = "cell", cell.Forecasts[:1]
	cell.Storage.Feed = 1000
	alone := agent.Decide(cell)
	if watts(&alone) != 0 {
		t.Fatalf("alone it keeps what it has: %+v", alone)
	}
	together([]*agent.Inputs{car, cell}, 4000, 1000)
	drives, gives := agent.Record(car), agent.Record(cell)
	if watts(&drives) != 6600 || watts(&gives) != -2600 {
		t.Errorf("%d W drawn, %d W given\n%+v\n%+v", watts(&drives), watts(&gives), drives.Reasons, gives.Reasons)
	}
	for _, d := range [...]lamppost.Decision{drives, gives} {
		if len(d.Reasons) < 2 || d.Reasons[0].Code != "site_share" || d.Reasons[1].Code != "site_price" || *d.Reasons[0].Value != d.Action.Value || *d.Reasons[1].Value != *drives.Reasons[1].Value {
			t.Errorf("%s: %+v", d.Device, d.Reasons)
		}
	}
}

// TestSiteLimit: over random sites of chargers and storages, of which some only advise or know no price, what they draw less what they give stays within the
// limit, who sold gives just that, a limit that binds nobody changes nobody, and every decision replays byte for byte.
func TestSiteLimit(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(11, 12))
	bound, gave := 0, 0
	for range 50 {
		limit := 4000 + random.Int64N(30_000)
		all := randomSite(random, limit)
		alone := make([]lamppost.Decision, len(all))
		for i, in := range all {
			alone[i] = agent.Decide(in)
		}
		together(all, limit, 0)
		drawn, free := int64(0), true
		for i, in := range all {
			if in.Site == nil {
				_, firm := in.Bid()
				drawn += firm
				continue
			}
			data := in.Encode()
			d, err := agent.Replay(data)
			again := agent.Record(in)
			if err != nil || !bytes.Equal(lamppost.Marshal(d), lamppost.Marshal(again)) {
				t.Fatalf("%+v replays to %+v (%v)", again, d, err)
			}
			drawn += watts(&d)
			if watts(&d) != watts(&alone[i]) {
				free = false
			}
			if watts(&d) < 0 && watts(&alone[i]) >= 0 {
				gave++
			}
		}
		if drawn > limit {
			t.Fatalf("%d W drawn of %d", drawn, limit)
		}
		if !free {
			bound++
		}
	}
	if bound < 15 || gave == 0 {
		t.Errorf("%d sites were bound, %d storages gave to others", bound, gave)
	}
}

func randomSite(random *rand.Rand, limit int64) (all []*agent.Inputs) {
	prices := make([]int64, 8)
	for i := range prices {
		prices[i] = 50_000 + random.Int64N(400_000)
	}
	var sessions []agent.Session
	for i := range 1 + random.IntN(3) {
		s := session(fmt.Sprint("a", i), 2000+random.Int64N(30_000), 1+random.Int64N(8), 11_000)
		s.Equal = random.IntN(5) == 0
		sessions = append(sessions, s)
	}
	for i, s := range sessions {
		in := charger(fmt.Sprint("a", i), limit, prices, sessions...)
		if s.Equal {
			in.Mode = lamppost.AgentAdvises
		}
		all = append(all, in)
	}
	for i := range 1 + random.IntN(3) {
		in := storage(random.Int64N(6400), prices...)
		in.Device, in.Forecasts = lamppost.DeviceID(fmt.Sprint("b", i)), slices.Clone(in.Forecasts[:1])
		if random.IntN(6) == 0 {
			in.Forecasts[0].Usable = false
		}
		all = append(all, in)
	}
	return all
}

// TestSiteUnbound: a connection that is large enough leaves everybody what they would do alone.
func TestSiteUnbound(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(13, 14))
	for range 60 {
		all := randomSite(random, 22_000)
		alone := make([]lamppost.Decision, len(all))
		for i, in := range all {
			alone[i] = agent.Decide(in)
		}
		together(all, 200_000, 0)
		for i, in := range all {
			if d := agent.Decide(in); watts(&d) > watts(&alone[i]) {
				t.Fatalf("%+v, alone %+v", d, alone[i])
			} else if watts(&alone[i]) > 0 && watts(&d) < watts(&alone[i])*9/10 {
				t.Fatalf("%s %d W, alone %d W: %+v", in.Device, watts(&d), watts(&alone[i]), d.Reasons)
			}
		}
	}
}

// TestSiteRefuses: offers that are none make the safe rule.
func TestSiteRefuses(t *testing.T) {
	t.Parallel()
	for _, site := range []*agent.Site{{Limit: -1}, {Feed: 1001}, {Offers: []agent.Offer{{ID: "d"}}}, {Offers: []agent.Offer{{ID: ""}}}, {Offers: []agent.Offer{{ID: "b"}, {ID: "a"}}},
		{Offers: []agent.Offer{{ID: "a", Levels: []agent.Level{{Price: 1, Quantity: -1}}}}}} {
		in := storage(3000, 100_000, 200_000)
		in.Site = site
		if d := agent.Decide(in); d.Mode != lamppost.AgentSafe || d.Reasons[0].Code != "bad_inputs" {
			t.Errorf("%+v: %+v", site, d)
		}
	}
}
