package api_test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/sig"
)

// outcomes has many orders decided and returns what became of each.
func (h *house) outcomes(dry bool, orders ...api.NewOrder) (all []string, results []api.OrderResult) {
	h.t.Helper()
	var out api.OrderResults
	if status := h.do("POST", "/api/orders", api.Orders{Orders: orders, DryRun: dry}, &out); status != http.StatusOK {
		h.t.Fatalf("status %d", status)
	}
	for _, r := range out.Results {
		all = append(all, r.Outcome)
	}
	return all, out.Results
}

func newOrder(t testing.TB, typ string, body any) api.NewOrder {
	t.Helper()
	raw, err := json.Marshal(body)
	must(t, err)
	return api.NewOrder{Type: typ, Body: raw}
}

// Many orders are decided in one request, each by itself; the same ones again change nothing; a dry run does nothing.
func TestManyOrders(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	key := hex.EncodeToString(h.key.Public().Bytes())
	first := []api.NewOrder{
		newOrder(t, "party", lamppost.PartyBody{ID: "ada", Name: "Ada", CreditLimit: 5}),
		newOrder(t, "party", lamppost.PartyBody{ID: "bob", Name: "Bob"}),
	}
	then := []api.NewOrder{
		newOrder(t, "device", api.KnownDevice{NewDevice: api.NewDevice{ID: "keyed", Owner: "ada", Safety: "ordinary"}, Suite: sig.EdDSA.String(), Key: key}),
		newOrder(t, "device", api.KnownDevice{NewDevice: api.NewDevice{ID: "announced", Owner: "ada"}}),
		newOrder(t, "device", api.KnownDevice{NewDevice: api.NewDevice{ID: "lost", Owner: "nobody"}, Suite: sig.EdDSA.String(), Key: key}),
		{Type: "party", Body: json.RawMessage(`{"id":"eve","colour":"red"}`)},
		{Type: "genesis", Body: json.RawMessage(`{}`)},
	}
	if got, _ := h.outcomes(true, first...); !slices.Equal(got, []string{"new", "new"}) {
		t.Fatalf("a dry run: %q", got)
	}
	if _, results := h.outcomes(true, then[0]); !slices.Equal(results[0].Missing, []string{"party ada"}) {
		t.Fatalf("a dry run does not say what is missing: %+v", results)
	}
	if got, _ := h.outcomes(false, first...); !slices.Equal(got, []string{"ok", "ok"}) {
		t.Fatalf("parties: %q", got)
	}
	got, results := h.outcomes(false, then...)
	if want := []string{"ok", "ok", "unknown", "bad_request", "bad_request"}; !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q: %+v", got, want, results)
	}
	if len(results[1].Token) != 32 || results[0].Token != "" || results[0].Height == 0 {
		t.Errorf("tokens and heights: %+v", results)
	}
	reading := newOrder(t, "reading", lamppost.ReadingBody{Device: "keyed", Register: "energy", Unit: "Wh", Time: h.now() - 900_000, Value: lamppost.Dec(7, 0),
		Quality: lamppost.Estimated, Reason: "opening"})
	point := newOrder(t, "point", lamppost.PointBody{ID: "p", Device: "keyed", Register: "energy", Unit: "Wh"})
	if got, _ := h.outcomes(false, reading, point); !slices.Equal(got, []string{"ok", "ok"}) {
		t.Fatalf("reading and point: %q", got)
	}
	height := h.engine.Status().Height
	again := append(append(first, then[:2]...), reading, point)
	if got, _ := h.outcomes(false, again...); slices.ContainsFunc(got, func(o string) bool { return o != "unchanged" }) {
		t.Errorf("again: %q", got)
	}
	if now := h.engine.Status().Height; now != height {
		t.Errorf("orders that say nothing new made blocks %d to %d", height+1, now)
	}
	other := newOrder(t, "party", lamppost.PartyBody{ID: "ada", Name: "Ada", CreditLimit: 6})
	if _, results := h.outcomes(false, other); results[0].Outcome != "exists" || results[0].Text != `this party is registered otherwise: credit_limit is "0.000005", not "0.000006"` {
		t.Errorf("another credit limit: %+v", results[0])
	}
}

// One request brings a bounded number of orders, and all of them are decided.
func TestManyOrdersLimit(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	var orders []api.NewOrder
	for i := range api.MaxOrders {
		orders = append(orders, newOrder(t, "party", lamppost.PartyBody{ID: lamppost.PartyID(fmt.Sprintf("p%d", i))}))
	}
	if got, _ := h.outcomes(false, orders...); slices.ContainsFunc(got, func(o string) bool { return o != "ok" }) {
		t.Error("not all orders were taken")
	}
	for _, n := range []int{0, api.MaxOrders + 1} {
		if status := h.do("POST", "/api/orders", api.Orders{Orders: make([]api.NewOrder, n)}, nil); status != http.StatusBadRequest {
			t.Errorf("%d orders: status %d", n, status)
		}
	}
}
