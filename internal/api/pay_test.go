package api_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/sig"
	"github.com/lamppost/lamppost/voucher"
)

const seriesPath = "/api/devices/meter/series?name=energy"

// selling is a house whose series cost 0.004 a request.
func selling(t *testing.T) *house {
	t.Helper()
	h := newHouse(t)
	h.settle()
	h.submit(h.report("meter", 0, energy(h.now(), 1)))
	h.selling = &api.Pay{Payee: "meter", Tariff: "power", Prices: map[string]lamppost.Micro{"GET /api/devices/{id}/series": 4000}}
	h.serve(h.live)
	return h
}

func payerKey(t *testing.T) *sig.PrivateKey {
	t.Helper()
	seed := sha256.Sum256([]byte("payer"))
	key, err := sig.NewPrivateKey(sig.EdDSA, seed[:])
	must(t, err)
	return key
}

func (h *house) channel(id string) voucher.Terms {
	h.t.Helper()
	b := lamppost.ChannelBody{ID: id, Payer: "tenant", Payee: "meter", Tariff: "power", Version: 1, Most: lamppost.MicroUnit, From: h.now(), Until: h.now() + 3_600_000,
		Key: payerKey(h.t.(*testing.T)).Public().Bytes()}
	h.clock.Add(1000)
	h.ok(201, "POST", "/api/channels", b, nil)
	return voucher.Terms{Network: network, Channel: b}
}

// buy asks without the token and with a voucher, if there is one.
func (h *house) buy(path string, raw []byte) (status int, asked voucher.Required, said voucher.Settlement) {
	h.t.Helper()
	req := httptest.NewRequest("GET", path, nil)
	if raw != nil {
		req.Header.Set(voucher.PaymentHeader, voucher.Header(voucher.NewPayment(network, raw)))
	}
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, req)
	if w.Code == http.StatusPaymentRequired {
		must(h.t, json.Unmarshal(w.Body.Bytes(), &asked))
	}
	if head := w.Header().Get(voucher.ResponseHeader); head != "" {
		must(h.t, voucher.ReadHeader(head, &said))
	}
	return w.Code, asked, said
}

func newWallet(t *testing.T, terms voucher.Terms) *voucher.Wallet {
	t.Helper()
	w, err := voucher.NewWallet(&memory{}, terms, payerKey(t))
	must(t, err)
	return w
}

// memory is a file that nobody pulls the plug of.
type memory struct{ data []byte }

func (f *memory) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(len(f.data)) {
		return 0, errors.New("the end")
	}
	return copy(p, f.data[off:]), nil
}

func (f *memory) WriteAt(p []byte, off int64) (int, error) {
	if n := int(off) + len(p) - len(f.data); n > 0 {
		f.data = append(f.data, make([]byte, n)...)
	}
	return copy(f.data[off:], p), nil
}

func (f *memory) Sync() error { return nil }

// A stranger is told in the shape of x402 what a request costs, pays with vouchers, is let in once for each price, and not at all with
// what is no payment. Nothing that has no price is open.
func TestPaymentRequired(t *testing.T) {
	t.Parallel()
	h := selling(t)
	status, asked, _ := h.buy(seriesPath, nil)
	if status != 402 || asked.X402Version != 1 || len(asked.Accepts) != 1 {
		t.Fatalf("%d %+v", status, asked)
	}
	if a := asked.Accepts[0]; a.Scheme != "voucher" || a.Network != "lamppost:street" || a.MaxAmountRequired != "4000" || a.Asset != "EUR" || a.PayTo != "meter" ||
		!strings.HasSuffix(a.Resource, seriesPath) || a.Extra.Tariff != "power" || a.Extra.Seller != "landlord" {
		t.Errorf("accepts %+v", a)
	}
	if status, _, _ := h.buy("/api/parties", nil); status != 401 {
		t.Errorf("what is not for sale answers %d", status)
	}
	w := newWallet(t, h.channel("c1"))
	first, err := w.Pay(h.now(), 4000)
	must(t, err)
	status, _, said := h.buy(seriesPath, first)
	if status != 200 || !said.Success || said.Payer != "tenant" || said.Network != "lamppost:street" || len(said.Transaction) != 64 {
		t.Fatalf("%d %+v", status, said)
	}
	status, asked, said = h.buy(seriesPath, first)
	if status != 402 || said.Success || said.ErrorReason != "no_funds" || asked.Accepts[0].Extra.Promise != "8000" {
		t.Errorf("the same voucher again: %d %+v %+v", status, said, asked)
	}
	second, err := w.Pay(h.now(), 9000) // two requests and a little
	must(t, err)
	for i, want := range []int{200, 200, 402} {
		if status, _, _ := h.buy(seriesPath, second); status != want {
			t.Errorf("request %d of two that were paid: %d, want %d", i, status, want)
		}
	}
	if status, _, _ := h.buy("/api/devices/nobody/series?name=energy", h.more(w, 3000)); status != 404 {
		t.Errorf("a device that is not there: %d", status)
	}
	if status, _, _ := h.buy(seriesPath, w.Last()); status != 200 {
		t.Errorf("what was not delivered was not given back: %d", status)
	}
	if status, _, _ := h.buy(seriesPath+"&names=true", h.more(w, 4000)); status != 403 {
		t.Errorf("names: %d", status)
	}
	req := httptest.NewRequest("GET", seriesPath, nil)
	req.Header.Set(voucher.PaymentHeader, "nothing")
	answer := httptest.NewRecorder()
	if h.handler.ServeHTTP(answer, req); answer.Code != 400 {
		t.Errorf("junk in place of a payment: %d %s", answer.Code, answer.Body)
	}
}

func (h *house) more(w *voucher.Wallet, more lamppost.Micro) []byte {
	h.t.Helper()
	raw, err := w.Pay(h.now(), more)
	must(h.t, err)
	return raw
}

// What the node is not paid by: channels to others, closed or ended ones, strangers' signatures. A wallet that lost its file adopts what the node has.
func TestPaymentRefused(t *testing.T) {
	t.Parallel()
	h := selling(t)
	terms := h.channel("c1")
	w := newWallet(t, terms)
	if status, _, _ := h.buy(seriesPath, h.more(w, 4000)); status != 200 {
		t.Fatal(status)
	}
	other := terms
	other.Channel.ID, other.Channel.Payee = "c2", "landlord"
	h.ok(201, "POST", "/api/channels", other.Channel, nil)
	unknown := terms
	unknown.Channel.ID = "c9"
	for reason, raw := range map[string][]byte{"forbidden": h.more(newWallet(t, other), 4000), "unknown": h.more(newWallet(t, unknown), 4000)} {
		if status, _, said := h.buy(seriesPath, raw); status != 402 || said.ErrorReason != reason {
			t.Errorf("%s: %d %+v", reason, status, said)
		}
	}
	forged, err := (&lamppost.Voucher{Channel: "c1", Payee: "meter", N: 7, Amount: 90_000, Until: terms.Channel.Until}).Sign(network, deviceKey(t, "meter"))
	must(t, err)
	if status, asked, said := h.buy(seriesPath, forged); status != 402 || said.ErrorReason != "bad_signature" || asked.Accepts[0].Extra.Last != nil {
		t.Errorf("forged: %d %+v %+v", status, said, asked)
	}
	lost := newWallet(t, terms) // as if its file were gone
	_, asked, said := h.buy(seriesPath, h.more(lost, 3000))
	if said.ErrorReason != "forbidden" || asked.Accepts[0].Extra.Last == nil {
		t.Fatalf("a voucher that contradicts: %+v %+v", said, asked)
	}
	must(t, lost.Adopt(asked.Accepts[0].Extra.Last))
	lost2 := newWallet(t, terms)
	must(t, lost2.Adopt(asked.Accepts[0].Extra.Last))
	if status, _, _ := h.buy(seriesPath, h.more(lost2, 4000)); status != 200 {
		t.Errorf("after it was adopted: %d", status)
	}
	h.clock.Add(3_600_000)
	late, err := (&lamppost.Voucher{Channel: "c1", Payee: "meter", N: 8, Amount: 90_000, Until: terms.Channel.Until}).Sign(network, payerKey(t))
	must(t, err)
	if status, _, said := h.buy(seriesPath, late); status != 402 || said.ErrorReason != "expired" {
		t.Errorf("after the end: %d %+v", status, said)
	}
}

// What the node was paid with is cashed by one order, which closes channels that have ended; the log says so, and what is cashed is forgotten.
func TestCashKept(t *testing.T) {
	t.Parallel()
	h := selling(t)
	wallets := []*voucher.Wallet{newWallet(t, h.channel("c1")), newWallet(t, h.channel("c2"))}
	for i, w := range wallets {
		for range i + 1 {
			if status, _, _ := h.buy(seriesPath, h.more(w, 4000)); status != 200 {
				t.Fatal(status)
			}
		}
	}
	var done api.Done
	h.ok(201, "POST", "/api/channels/cash", api.Cash{Kept: true, Vouchers: [][]byte{wallets[0].Last()}}, &done)
	if len(done.Cashed) != 2 || done.Cashed[0].Amount+done.Cashed[1].Amount != 12_000 {
		t.Fatalf("cashed %+v", done.Cashed)
	}
	h.refused(409, "not_ready", "POST", "/api/channels/cash", api.Cash{Kept: true})
	h.refused(400, "bad_request", "POST", "/api/channels/cash", api.Cash{Vouchers: [][]byte{{1}}})
	if status, _, _ := h.buy(seriesPath, h.more(wallets[1], 4000)); status != 200 {
		t.Fatal(status)
	}
	var c api.Channel
	h.ok(200, "GET", "/api/channels/c2", nil, &c)
	if c.State != "open" || c.Cashed != 8000 || c.Kept != 12_000 || c.Currency != "EUR" || c.Network != network || c.Ended {
		t.Errorf("channel %+v", c)
	}
	h.clock.Add(3_600_000)
	if n, err := h.server.CashEnded(context.Background()); err != nil || n != 1 {
		t.Fatalf("%d channels cashed (%v)", n, err)
	}
	h.logged("vouchers of 1 channels cashed, 0.004 more in all; 1 closed")
	h.ok(200, "GET", "/api/channels/c2", nil, &c)
	if c.State != "closed" || c.Cashed != 12_000 {
		t.Errorf("channel %+v", c)
	}
	if n, err := h.server.CashEnded(context.Background()); err != nil || n != 0 {
		t.Errorf("%d channels cashed again (%v)", n, err)
	}
	if _, err := h.store.Get([]byte("nVc2")); !errors.Is(err, kv.ErrNotFound) {
		t.Errorf("the till of a closed channel is still there (%v)", err)
	}
	var all api.ChannelList
	h.ok(200, "GET", "/api/channels?state=open&payer=tenant&payee=meter", nil, &all)
	if len(all.Channels) != 1 || !all.Channels[0].Ended {
		t.Errorf("channels %+v", all.Channels)
	}
	h.refused(400, "bad_request", "GET", "/api/channels?state=late", nil)
	h.refused(404, "not_found", "GET", "/api/channels/c9", nil)
}

// Contradictions are shown, listed in words, and lifted.
func TestContradictions(t *testing.T) {
	t.Parallel()
	h := selling(t)
	terms := h.channel("c1")
	two := func(amount lamppost.Micro) []byte {
		raw, err := (&lamppost.Voucher{Channel: "c1", Payee: "meter", N: 2, Amount: amount, Until: terms.Channel.Until}).Sign(network, payerKey(t))
		must(t, err)
		return raw
	}
	h.refused(400, "bad_transaction", "POST", "/api/contradictions", lamppost.ContradictBody{Vouchers: [][]byte{two(1)}})
	h.ok(201, "POST", "/api/contradictions", lamppost.ContradictBody{Vouchers: [][]byte{two(1), two(2)}}, nil)
	h.logged("2 vouchers of channel c1 shown that no honest payer signs")
	var all api.ContradictionList
	h.ok(200, "GET", "/api/contradictions", nil, &all)
	if len(all.Contradictions) != 1 || all.Contradictions[0].Payer != "tenant" || !strings.Contains(all.Contradictions[0].Why, "number 2 promises") {
		t.Errorf("contradictions %+v", all)
	}
	terms.Channel.ID = "c2"
	h.refused(403, "forbidden", "POST", "/api/channels", terms.Channel)
	h.ok(201, "POST", "/api/contradictions", lamppost.ContradictBody{Lift: "tenant", Reason: "its key was stolen"}, nil)
	h.logged("tenant may open channels again: its key was stolen")
	h.ok(201, "POST", "/api/channels", terms.Channel, nil)
	h.logged("channel c2: tenant may promise meter at most 1.00")
}

// Prices of what is not for sale are refused at the start.
func TestPayConfig(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for what, p := range map[string]*api.Pay{
		"nothing":       {},
		"a party's own": {Payee: "meter", Tariff: "power", Prices: map[string]lamppost.Micro{"GET /api/statements/{party}": 1}},
		"everything":    {Payee: "meter", Tariff: "power", Prices: map[string]lamppost.Micro{"GET /api/blocks": 1}},
		"for nothing":   {Payee: "meter", Tariff: "power", Prices: map[string]lamppost.Micro{"GET /api/devices/{id}/series": 0}},
	} {
		if _, err := api.New(api.Config{Store: h.store, Order: h.order, Checkpoint: h.checkpoint, Status: h.engine.Status, Files: &h.files, Now: h.now, AdminToken: adminToken,
			Live: h.live, Devices: h.devices, Pay: p}); err == nil {
			t.Errorf("%s is for sale", what)
		}
	}
}

// Many requests at once with one voucher are answered as often as it pays for.
func TestPaidOnceAtOnce(t *testing.T) {
	t.Parallel()
	h := selling(t)
	raw := h.more(newWallet(t, h.channel("c1")), 2*4000)
	var served atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if status, _, _ := h.buy(seriesPath, raw); status == http.StatusOK {
				served.Add(1)
			}
		})
	}
	wg.Wait()
	if served.Load() != 2 {
		t.Errorf("%d requests were served for the price of 2", served.Load())
	}
}
