package replica_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/books"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/internal/tilelog"
	"github.com/lamppost/lamppost/sig"
	"github.com/lamppost/lamppost/tariff"
)

// dealings is a network in which a robot charges at a charger, both on their own word; the bill is corrected; and both devices' books are closed
// twice, the charger's with energy of its own, costs and an investor.
func dealings(t *testing.T) (*ledgertest.Network, *kv.Mem) {
	t.Helper()
	const start, hour, minute = ledgertest.Start, ledgertest.Hour, ledgertest.Hour / 60
	net, store := ledgertest.New("net"), kv.NewMem()
	r := open(t, store)
	now := start
	run := func(txs ...*lamppost.Transaction) {
		t.Helper()
		now++
		res := apply(t, r, block(r.Last().Height+1, now, txs...))
		commit(t, r)
		for i, outcomes := range res.Outcomes {
			for _, o := range outcomes {
				if o.Code != lamppost.CodeOK {
					t.Fatalf("transaction %d of block %d: %+v", i, res.Height, o)
				}
			}
		}
	}
	order := func(typ lamppost.TxType, body any) *lamppost.Transaction { return net.Order(now+hour, typ, body) }
	charger, robot, meter := net.NewDevice("charger", sig.EdDSA), net.NewDevice("robot", sig.ES256), net.NewDevice("meter", sig.EdDSA)
	spot := ledgertest.Tariff("spot", 1, "grid", start, 100_000)
	share := func(parts ...any) (all []lamppost.Share) {
		for i := 0; i < len(parts); i += 2 {
			all = append(all, lamppost.Share{Party: lamppost.PartyID(parts[i].(string)), Parts: uint32(parts[i+1].(int))})
		}
		return all
	}
	party := func(id string, limit lamppost.Micro) *lamppost.Transaction {
		return order(lamppost.TxParty, lamppost.PartyBody{ID: lamppost.PartyID(id), Name: strings.ToUpper(id), CreditLimit: limit})
	}
	run(net.Genesis(), party("grid", 0), party("farm", 100_000_000), party("ann", 0),
		order(lamppost.TxDevice, charger.Body("grid")), order(lamppost.TxDevice, robot.Body("farm")), order(lamppost.TxDevice, meter.Body("grid")),
		order(lamppost.TxPoint, lamppost.PointBody{ID: "bay", Device: "charger", Register: "energy", Unit: "Wh", Sessions: true}),
		order(lamppost.TxPoint, lamppost.PointBody{ID: "feed", Device: "meter", Register: "energy", Unit: "Wh"}),
		order(lamppost.TxTariff, ledgertest.Tariff("fast", 1, "grid", start, 500_000)), order(lamppost.TxTariff, spot),
		order(lamppost.TxCentre, lamppost.CentreBody{Device: "charger", Version: 1, From: start + hour, Currency: "EUR", Shares: share("grid", 2, "ann", 1), Point: "feed", Tariff: "spot",
			Costs: []lamppost.Cost{{Kind: lamppost.CostService, Amount: 1_000_000, From: start, To: start + 30*hour, Text: "cleaning"},
				{Kind: lamppost.CostDepreciation, Amount: 7_000_000, From: start, To: start + 300*hour}}}),
		order(lamppost.TxCentre, lamppost.CentreBody{Device: "robot", Version: 1, From: start + hour, Currency: "EUR", Shares: share("farm", 1), Limit: 10_000_000, LimitDays: 1}))
	now = start + hour + minute
	offer := lamppost.OfferBody{ID: "o", Device: "charger", Point: "bay", Tariff: "fast", Version: 1, Most: 10_000_000, Longest: 2 * hour, Until: now + hour, KeyEpoch: 1}
	must(t, offer.Sign(net.ID, charger.Key))
	accept := lamppost.AcceptBody{Offer: "o", Device: "robot", KeyEpoch: 1, Session: lamppost.SessionBody{ID: "s", Buyer: "farm", Point: "bay", Tariff: "fast", Version: 1,
		Limit: 8_000_000, From: now, Until: now + hour}}
	must(t, accept.Sign(net.ID, robot.Key))
	run(order(lamppost.TxOffer, offer), order(lamppost.TxAccept, accept), net.Segment(now, meter.Billing(1, ledgertest.Energy(start+hour, 0))))
	now = start + 2*hour + minute
	run(net.Segment(now, charger.Billing(1, ledgertest.Energy(start+hour+2*minute, 0), ledgertest.Energy(start+hour+50*minute, 12_000)), meter.Billing(2, ledgertest.Energy(start+2*hour, 13_000))))
	run(order(lamppost.TxSettle, lamppost.SettleBody{Session: "s", Stop: start + 2*hour}))
	run(order(lamppost.TxInvoice, lamppost.InvoiceBody{Seller: "grid", Buyer: "farm", Currency: "EUR", From: start + hour, To: start + 2*hour}))
	now = start + 3*hour + minute
	run(net.Segment(now, meter.Billing(3, ledgertest.Energy(start+3*hour, 14_000))),
		order(lamppost.TxPayout, lamppost.PayoutBody{Device: "charger", From: start + hour, To: start + 3*hour}),
		order(lamppost.TxPayout, lamppost.PayoutBody{Device: "robot", From: start + hour, To: start + 3*hour}),
		order(lamppost.TxReading, lamppost.ReadingBody{Device: "charger", Register: "energy", Unit: "Wh", Time: start + hour + 50*minute, Value: lamppost.Dec(11_000, 0), Quality: lamppost.Substituted, Reason: "display"}))
	run(order(lamppost.TxCorrect, lamppost.CorrectBody{Seller: "grid", Number: "grid-000001", Cause: lamppost.CauseSubstituted}))
	now = start + 4*hour + minute
	run(net.Segment(now, meter.Billing(4, ledgertest.Energy(start+4*hour, 14_000))),
		order(lamppost.TxPayout, lamppost.PayoutBody{Device: "charger", From: start + 3*hour, To: start + 4*hour}),
		order(lamppost.TxPayout, lamppost.PayoutBody{Device: "robot", From: start + 3*hour, To: start + 4*hour}))
	return net, store
}

func booksProof(t *testing.T, net *ledgertest.Network, store *kv.Mem, device lamppost.DeviceID) *lamppost.Proof {
	t.Helper()
	signed, tree := publish(t, net, store, new(tilelog.MemStorage))
	v := archive.View{Reader: store}
	want, err := replica.WantBooks(v, device)
	must(t, err)
	proof, err := replica.Prove(v, net.ID, []string{signed}, tree, want)
	must(t, err)
	return proof
}

// An auditor with nothing but the pin computes both devices' books again, to the last cent; and a buyer's statement over a session that a device
// accepted holds as well.
func TestBooksRoundTrip(t *testing.T) {
	t.Parallel()
	net, store := dealings(t)
	for device, want := range map[lamppost.DeviceID][]string{
		// 12 kWh at 0.50; 14 kWh at 0.10; 2 of 30 and of 300 hours, of 1.00 and 7.00; then half a euro back, and an hour
		"charger": {"income 6.00 energy 1.40 service 0.07 depreciation 0.05 profit 4.48 paid grid 2.99 ann 1.49 after 0.00",
			"income -0.50 energy 0.00 service 0.03 depreciation 0.02 profit -0.55 paid after -0.55"},
		"robot": {"bought 6.00 profit -6.00 after -6.00", "bought -0.50 profit 0.50 after -5.50"},
	} {
		b, err := audit.NewBooks(booksProof(t, net, store, device), pin(net), device)
		if err != nil {
			t.Fatalf("%s: %v", device, err)
		}
		for i, p := range b.Periods {
			said := "income " + p.IncomeSum + " energy " + p.EnergySum + " service " + p.Service + " depreciation " + p.Depreciation + " profit " + p.Profit + " paid"
			for _, x := range p.Paid {
				said += " " + x.Party + " " + x.Amount
			}
			if said += " after " + p.After; device == "robot" {
				said = "bought " + p.BoughtSum + " profit " + p.Profit + " after " + p.After
			}
			if said != want[i] {
				t.Errorf("%s, period %d: %s, want %s", device, i+1, said, want[i])
			}
		}
		f, err := audit.Verify(b.Encode(), pin(net))
		if err != nil || f.Books == nil || len(f.Books.Profits()) != 2 {
			t.Errorf("%s: %v", device, err)
		}
	}
	s, err := audit.NewStatement(proofOf(t, net, store, "farm"), pin(net), "farm")
	must(t, err)
	if _, err := audit.Verify(s.Encode(), pin(net)); err != nil {
		t.Error(err)
	}
}

// The journal has payouts, and what a device bought on that device's account.
func TestJournalOfDealings(t *testing.T) {
	t.Parallel()
	_, store := dealings(t)
	var out bytes.Buffer
	see := func(f func(archive.View) error) error { return f(archive.View{Reader: store}) }
	if _, err := books.WriteJournal(t.Context(), &out, see, false); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"profit of charger from 2026-01-01 until 2026-01-01", "parties:ann                              1.49 EUR  ; share", "devices:robot                           -6.00 EUR  ; session s"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the journal has no %q:\n%s", want, out.String())
		}
	}
}

// A figure that the ledger logged wrongly is named, whichever it is: so is a wrong one in the file, and no character of it can change unnoticed.
func TestBooksNameTheLine(t *testing.T) {
	t.Parallel()
	net, store := dealings(t)
	for want, lie := range map[string]func(p *tariff.Profit){
		"income: invoice grid-000001: 6.01 is not what its lines come to for the device (6.00)": func(p *tariff.Profit) { p.Income[0].Net += 10_000 },
		"income: invoice grid-000001 is missing":                                                func(p *tariff.Profit) { p.Income = nil },
		"income: invoice grid-000009 is not in the proof":                                       func(p *tariff.Profit) { p.Income[0].Number = "grid-000009" },
		"bought: invoice grid-000001 is not in the proof":                                       func(p *tariff.Profit) { p.Bought = p.Income },
		"energy: amount 1.41 is not":                                                            func(p *tariff.Profit) { p.Energy[0].Lines[0].Amount += 10_000 },
		"energy: quantity 15 is not":                                                            func(p *tariff.Profit) { p.Energy[0].Lines[0].Quantity = lamppost.Dec(15_000, 0) },
		"energy 1.39 is not":                                                                    func(p *tariff.Profit) { p.EnergyCost -= 10_000 },
		"it cannot be computed again: energy":                                                   func(p *tariff.Profit) { p.Energy = nil },
		"service 0.08 is not":                                                                   func(p *tariff.Profit) { p.Service += 10_000 },
		"depreciation 0.06 is not":                                                              func(p *tariff.Profit) { p.Depreciation += 10_000 },
		"profit 4.49 is not":                                                                    func(p *tariff.Profit) { p.Profit += 10_000 },
		"loss of earlier periods -1.00 is not":                                                  func(p *tariff.Profit) { p.Before = -1_000_000 },
		"loss that is carried on -1.00 is not":                                                  func(p *tariff.Profit) { p.After = -1_000_000 },
		"paid 3.00 to grid: it is 2.99 to grid":                                                 func(p *tariff.Profit) { p.Paid[0].Amount += 10_000 },
		"paid 1.49 to eve: it is 1.49 to ann":                                                   func(p *tariff.Profit) { p.Paid[1].Party = "eve" },
		"it is not the profit that its order":                                                   func(p *tariff.Profit) { p.Paid = p.Paid[:1] },
		"from 2026-01-01 01:00+00:00: it is not":                                                func(p *tariff.Profit) { p.Version = 2 },
	} {
		proof := booksProof(t, net, store, "charger")
		for i := range proof.Txs {
			o := proof.Txs[i].Order
			if o == nil {
				continue
			}
			s, err := lamppost.ParseSigned(o.Signed)
			must(t, err)
			body, err := lamppost.ParseOrder(s)
			must(t, err)
			if body.Type != lamppost.TxPayout {
				continue
			}
			out, err := lamppost.DecodeOutcome(o.Outcome)
			must(t, err)
			var p tariff.Profit
			must(t, lamppost.Unmarshal(out.Data, &p))
			lie(&p)
			out.Data = lamppost.Marshal(p)
			o.Outcome = out.Append(nil)
			break
		}
		if _, err := audit.NewBooks(proof, pin(net), "charger"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	b, err := audit.NewBooks(booksProof(t, net, store, "charger"), pin(net), "charger")
	must(t, err)
	data, draw := b.Encode(), seeded(1)
	for want, change := range map[string][2]string{
		"books of charger from 2026-01-01 01:00+00:00: income: invoice grid-000001: net 6.01": {`"net":"6.00"`, `"net":"6.01"`},
		"paid to ann: amount 1.50":            {`"amount":"1.49"`, `"amount":"1.50"`},
		"depreciation: depreciation 0.06 is":  {`"depreciation": "0.05"`, `"depreciation": "0.06"`},
		"energy: line 1: amount 1.41 is not":  {`"amount":"1.40"`, `"amount":"1.41"`},
		"from 2026-01-01 03:00+00:00: profit": {`"profit": "-0.55"`, `"profit": "0.55"`},
	} {
		spaced := strings.ReplaceAll(change[0], `": "`, `":"`)
		bad := bytes.Replace(data, []byte(spaced), []byte(strings.ReplaceAll(change[1], `": "`, `":"`)), 1)
		if bytes.Equal(bad, data) {
			t.Fatalf("%s does not stand in the file:\n%s", change[0], data)
		}
		if _, err := audit.Verify(bad, pin(net)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	for range 150 {
		bad, at := bytes.Clone(data), draw(len(data)-8) // bits that fill up the compressed stream say nothing
		c := bad[at]
		if bad[at] = c ^ 1; c < '0' || c > 'z' || bad[at] == '"' || bad[at] == '\\' {
			continue
		}
		if _, err := audit.Verify(bad, pin(net)); err == nil {
			t.Errorf("%q for %q at %d is accepted", bad[at], c, at)
		}
	}
}

// Whatever order or segment is left out of a proof of books, the auditor refuses it; and so is a word of another key.
func TestBooksNeedEverything(t *testing.T) {
	t.Parallel()
	net, store := dealings(t)
	whole := booksProof(t, net, store, "robot")
	for i := range whole.Txs {
		less := *whole
		less.Txs = append(append([]lamppost.TxProof{}, whole.Txs[:i]...), whole.Txs[i+1:]...)
		if _, err := audit.NewBooks(&less, pin(net), "robot"); err == nil {
			t.Errorf("without transaction %d of block %d nothing is missing", whole.Txs[i].Index, whole.Txs[i].Height)
		}
	}
}
