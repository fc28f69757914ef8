package agent_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/agent"
)

// TestClear: over random offers what is bought is sold, nobody pays above an offer or gets less than asked for, no trade that both sides want
// is left, nobody gets more than was offered for, and the order of offers changes nothing.
func TestClear(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(7, 8))
	traded := 0
	for range 3000 {
		offers := randomOffers(random)
		c, err := agent.Clear(offers)
		if err != nil {
			t.Fatal(err)
		}
		if c.Quantity > 0 {
			traded++
		}
		checkClearing(t, offers, c)
		random.Shuffle(len(offers), func(i, j int) { offers[i], offers[j] = offers[j], offers[i] })
		if again, err := agent.Clear(offers); err != nil || !reflect.DeepEqual(c, again) {
			t.Fatalf("in another order: %+v, not %+v (%v)", again, c, err)
		}
	}
	if traded < 1000 {
		t.Errorf("only %d of 3,000 traded", traded)
	}
}

func randomOffers(random *rand.Rand) (all []agent.Offer) {
	for i := range 1 + random.IntN(8) {
		o := agent.Offer{ID: fmt.Sprint("d", i), Sells: random.IntN(2) == 0}
		price, way := random.Int64N(20), int64(-1)
		if o.Sells {
			way = 1
		}
		for range random.IntN(4) {
			o.Levels = append(o.Levels, agent.Level{Price: lamppost.Micro(price), Quantity: random.Int64N(10)})
			price += way * random.Int64N(5)
		}
		all = append(all, o)
	}
	return all
}

func checkClearing(t *testing.T, offers []agent.Offer, c *agent.Clearing) {
	t.Helper()
	byID := map[string]agent.Offer{}
	for _, o := range offers {
		byID[o.ID] = o
	}
	bought, sold := int64(0), int64(0)
	wantMore, haveMore := false, false
	for _, f := range c.Fills {
		o, left := byID[f.ID], f.Quantity
		for _, l := range o.Levels {
			got := min(left, l.Quantity)
			left -= got
			if got > 0 && (!o.Sells && l.Price < c.Price || o.Sells && l.Price > c.Price) {
				t.Fatalf("%s trades at %v though it offers %v", f.ID, c.Price, l.Price)
			}
			if got < l.Quantity {
				wantMore = wantMore || !o.Sells && l.Price > c.Price
				haveMore = haveMore || o.Sells && l.Price < c.Price
			}
		}
		if left > 0 {
			t.Fatalf("%s trades more than it offers: %+v", f.ID, f)
		}
		if o.Sells {
			sold += f.Quantity
		} else {
			bought += f.Quantity
		}
		if f.Why == "" || (f.Why == "filled") == (f.Next != nil) {
			t.Fatalf("%+v is not explained", f)
		}
	}
	if bought != sold || bought != c.Quantity {
		t.Fatalf("%d bought, %d sold, %d said", bought, sold, c.Quantity)
	}
	if c.Quantity > 0 && (wantMore || haveMore) {
		t.Fatalf("somebody who is better than the price is left: %+v of %+v", c, offers)
	}
}

// TestClearSite: a site of 10 kW and three chargers share a limit and trade with the sun: the price says who waits.
func TestClearSite(t *testing.T) {
	t.Parallel()
	c, err := agent.Clear([]agent.Offer{
		{ID: "grid", Sells: true, Levels: []agent.Level{{Price: 300_000, Quantity: 10_000}}},
		{ID: "sun", Sells: true, Levels: []agent.Level{{Price: 80_000, Quantity: 4_000}}},
		{ID: "car-1", Levels: []agent.Level{{Price: 900_000, Quantity: 11_000}}},
		{ID: "car-2", Levels: []agent.Level{{Price: 400_000, Quantity: 2_000}, {Price: 350_000, Quantity: 9_000}}},
		{ID: "car-3", Levels: []agent.Level{{Price: 310_000, Quantity: 11_000}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(c.Price, c.Quantity)
	for _, f := range c.Fills {
		got += fmt.Sprintf(" %s:%d:%s", f.ID, f.Quantity, f.Why)
	}
	if want := "0.35 14000 car-1:11000:filled car-2:3000:rationed car-3:0:price grid:10000:filled sun:4000:filled"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestClearRefuses: offers that are none are refused with their id.
func TestClearRefuses(t *testing.T) {
	t.Parallel()
	for _, offers := range [][]agent.Offer{
		{{ID: "a"}, {ID: "a"}},
		{{ID: "a", Levels: []agent.Level{{Price: 1, Quantity: 1}, {Price: 2, Quantity: 1}}}},
		{{ID: "a", Sells: true, Levels: []agent.Level{{Price: 2, Quantity: 1}, {Price: 1, Quantity: 1}}}},
		{{ID: "a", Levels: []agent.Level{{Price: 1, Quantity: -1}}}},
	} {
		if _, err := agent.Clear(offers); err == nil {
			t.Errorf("%+v is accepted", offers)
		}
	}
}
