package replica_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/internal/tilelog"
	"github.com/lamppost/lamppost/sig"
	"github.com/lamppost/lamppost/tariff"
)

// everything is a network whose invoices rest on all that there is: a meter that was exchanged, another that begins at 0 again, values
// entered by hand, an agreement that ended, a session, a channel, and corrections of two of them.
func everything(t testing.TB) (*ledgertest.Network, *kv.Mem) {
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
			for j, o := range outcomes {
				if o.Code != lamppost.CodeOK {
					t.Fatalf("transaction %d of block %d, %d: %+v", i, res.Height, j, o)
				}
			}
		}
	}
	order := func(typ lamppost.TxType, body any) *lamppost.Transaction { return net.Order(now+hour, typ, body) }
	dec := func(n int64) *lamppost.Decimal { d := lamppost.Dec(n, 0); return &d }
	old, fresh, car := net.NewDevice("old", sig.EdDSA), net.NewDevice("fresh", sig.EdDSA), net.NewDevice("car", sig.EdDSA)
	fast := ledgertest.Tariff("fast", 1, "acme", start, 400_000)
	fast.Session = &tariff.SessionTerms{Start: 500_000, Minute: 10_000, Idle: 100_000, Grace: 5}
	run(net.Genesis(), order(lamppost.TxParty, lamppost.PartyBody{ID: "acme", Name: "Acme"}),
		order(lamppost.TxParty, lamppost.PartyBody{ID: "bob", Name: "Bob", CreditLimit: 100_000_000}),
		order(lamppost.TxDevice, old.Body("acme")), order(lamppost.TxDevice, fresh.Body("acme")), order(lamppost.TxDevice, car.Body("acme")),
		order(lamppost.TxPoint, lamppost.PointBody{ID: "p", Device: "old", Register: "energy", Unit: "Wh", Place: "cellar"}),
		order(lamppost.TxPoint, lamppost.PointBody{ID: "c", Device: "car", Register: "energy", Unit: "Wh", Place: "yard", Sessions: true}),
		order(lamppost.TxTariff, ledgertest.Tariff("home", 1, "acme", start, 300_000)), order(lamppost.TxTariff, fast),
		order(lamppost.TxAgreement, lamppost.AgreementBody{ID: "a", Seller: "acme", Buyer: "bob", Point: "p", Tariff: "home", From: start, TaxCategory: "AE", TaxReason: "reverse charge"}))
	run(net.Segment(now, old.Billing(1, ledgertest.Energy(start, 9000))))
	now = start + 4*hour
	run(order(lamppost.TxPoint, lamppost.PointBody{ID: "p", Device: "fresh", Register: "energy", Unit: "Wh", Place: "cellar", Mount: 1, From: start + hour,
		Closing: dec(9600), Opening: dec(9900), RollsAt: dec(10_000)}))
	run(net.Segment(now, fresh.Billing(1, ledgertest.Energy(start+2*hour, 150), ledgertest.Energy(start+4*hour, 1150))),
		order(lamppost.TxReading, lamppost.ReadingBody{Device: "fresh", Register: "energy", Unit: "Wh", Time: start + 3*hour, Value: *dec(500), Quality: lamppost.Estimated, Reason: "silent"}))
	run(order(lamppost.TxSession, lamppost.SessionBody{ID: "s", Buyer: "bob", Point: "c", Tariff: "fast", Version: 1, Limit: 20_000_000, From: start + 2*hour, Until: start + 4*hour}),
		net.Segment(now, car.Billing(1, ledgertest.Energy(start+2*hour+7*minute, 100), ledgertest.Energy(start+2*hour+20*minute, 5100),
			ledgertest.Energy(start+2*hour+40*minute, 12_100), ledgertest.Energy(start+2*hour+55*minute, 12_100))))
	run(order(lamppost.TxSettle, lamppost.SettleBody{Session: "s", Stop: start + 3*hour}))
	run(order(lamppost.TxInvoice, lamppost.InvoiceBody{Seller: "acme", Buyer: "bob", Currency: "EUR", From: start, To: start + 3*hour}))
	run(net.Segment(now, fresh.Billing(2, ledgertest.Energy(start+3*hour, 700))),
		order(lamppost.TxAgreement, lamppost.AgreementBody{ID: "a", Seller: "acme", Buyer: "bob", Point: "p", Tariff: "home", From: start, To: start + 4*hour, TaxCategory: "AE", TaxReason: "reverse charge"}))
	run(order(lamppost.TxCorrect, lamppost.CorrectBody{Seller: "acme", Number: "acme-000001", Cause: lamppost.CauseLate}))
	run(order(lamppost.TxReading, lamppost.ReadingBody{Device: "car", Register: "energy", Unit: "Wh", Time: start + 2*hour + 55*minute, Value: *dec(13_100), Quality: lamppost.Substituted, Reason: "defect"}))
	run(order(lamppost.TxDispute, lamppost.DisputeBody{ID: "d", Seller: "acme", Invoice: "acme-000002", State: lamppost.DisputeOpen, Reason: "too little"}))
	run(order(lamppost.TxCorrect, lamppost.CorrectBody{Seller: "acme", Number: "acme-000002", Cause: lamppost.CauseDispute, Dispute: "d"}))
	key := ledgertest.Key("bob", sig.EdDSA)
	run(order(lamppost.TxChannel, lamppost.ChannelBody{ID: "v", Payer: "bob", Payee: "fresh", Tariff: "home", Version: 1, Most: 5_000_000, From: start + 3*hour, Until: start + 6*hour, Key: key.Public().Bytes()}))
	voucher, err := (&lamppost.Voucher{Channel: "v", Payee: "fresh", N: 9, Amount: 1_234_500, Until: start + 6*hour}).Sign("net", key)
	must(t, err)
	run(order(lamppost.TxCash, lamppost.CashBody{Vouchers: [][]byte{voucher}, Close: []string{"v"}, Reason: "done"}))
	now = start + 4*hour + hour/4
	run(order(lamppost.TxInvoice, lamppost.InvoiceBody{Seller: "acme", Buyer: "bob", Currency: "EUR", From: start + 3*hour, To: start + 4*hour + hour/4}))
	return net, store
}

// proofOf proves all invoices of a buyer.
func proofOf(t *testing.T, net *ledgertest.Network, store *kv.Mem, buyer lamppost.PartyID) *lamppost.Proof {
	t.Helper()
	signed, tree := publish(t, net, store, new(tilelog.MemStorage))
	v := archive.View{Reader: store}
	want, err := replica.WantStatement(v, buyer)
	if err != nil {
		t.Fatal(err)
	}
	proof, err := replica.Prove(v, net.ID, []string{signed}, tree, want)
	if err != nil {
		t.Fatal(err)
	}
	return proof
}

// Invoices that rest on exchanged meters, values entered by hand, sessions and corrections are computed again by an auditor with
// nothing but the pin, amount by amount.
func TestEverythingRoundTrip(t *testing.T) {
	t.Parallel()
	net, store := everything(t)
	parsed, err := lamppost.ParseProof(proofOf(t, net, store, "bob").Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	statement, err := audit.NewStatement(parsed, pin(net), "bob")
	if err != nil {
		t.Fatalf("the auditor says %v", err)
	}
	// (600 + 600) Wh at 0.30 without tax; 12 kWh at 0.40, the start, 48 minutes, 10 of them idle, 19 %; 1.23 on the channel with tax
	for i, want := range []string{"8.43", "8.49", "7.77", "1.60"} {
		if got := statement.Invoices[i].Total; got != want {
			t.Errorf("invoice %s comes to %s, want %s: %+v", statement.Invoices[i].Number, got, want, statement.Invoices[i].Lines)
		}
	}
	if _, err := audit.Verify(statement.Encode(), pin(net)); err != nil {
		t.Error(err)
	}
}

// No character of a statement over all of it can change unnoticed; audit has the same of every one in a plain statement.
func TestEverythingCounts(t *testing.T) {
	t.Parallel()
	net, store := everything(t)
	s, err := audit.NewStatement(proofOf(t, net, store, "bob"), pin(net), "bob")
	must(t, err)
	data, draw := s.Encode(), seeded(1)
	for range 400 {
		bad, at := bytes.Clone(data), draw(len(data))
		switch c := bad[at]; {
		case '0' <= c && c <= '9':
			bad[at] = '0' + (c-'0'+1)%10
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
			bad[at] = c ^ 1
			if (c^1)|0x20 < 'a' || (c^1)|0x20 > 'z' {
				bad[at] = c ^ 2
			}
		default:
			continue
		}
		if _, err := audit.Verify(bad, pin(net)); err == nil && at < len(data)-8 { // bits that fill up the compressed stream say nothing
			t.Errorf("%q for %q at %d is accepted", bad[at], data[at], at)
		}
	}
}

// A correction that leaves nothing to bill, because its agreement had ended before, is a statement like another; and an invoice after an
// agreement's end is not taken for one that left it out.
func TestNothingLeft(t *testing.T) {
	t.Parallel()
	const start, hour = ledgertest.Start, ledgertest.Hour
	net, store := ledgertest.New("net"), kv.NewMem()
	r, now := open(t, store), start+6*hour
	d := net.NewDevice("meter", sig.EdDSA)
	order := func(typ lamppost.TxType, body any) *lamppost.Transaction { return net.Order(now+hour, typ, body) }
	agreement := func(id string, from, to lamppost.TimeMS) *lamppost.Transaction {
		return order(lamppost.TxAgreement, lamppost.AgreementBody{ID: id, Seller: "acme", Buyer: "bob", Point: "p", Tariff: "home", From: from, To: to})
	}
	bill := func(from, to lamppost.TimeMS) *lamppost.Transaction {
		return order(lamppost.TxInvoice, lamppost.InvoiceBody{Seller: "acme", Buyer: "bob", Currency: "EUR", From: from, To: to})
	}
	correct := func(number string) *lamppost.Transaction {
		return order(lamppost.TxCorrect, lamppost.CorrectBody{Seller: "acme", Number: number, Cause: lamppost.CauseTerms})
	}
	res := apply(t, r, block(1, now, net.Genesis(), order(lamppost.TxParty, lamppost.PartyBody{ID: "acme"}), order(lamppost.TxParty, lamppost.PartyBody{ID: "bob"}),
		order(lamppost.TxDevice, d.Body("acme")), order(lamppost.TxPoint, lamppost.PointBody{ID: "p", Device: "meter", Register: "energy", Unit: "Wh"}),
		order(lamppost.TxTariff, ledgertest.Tariff("home", 1, "acme", start, 300_000)), agreement("a", start, 0),
		net.Segment(now, d.Billing(1, ledgertest.Energy(start, 0), ledgertest.Energy(start+hour, 1000), ledgertest.Energy(start+3*hour, 3000))),
		bill(start, start+hour), bill(start+hour, start+2*hour), agreement("a", start, start+hour/2), agreement("c", start+2*hour, 0),
		bill(start+2*hour, start+3*hour), correct("acme-000002")))
	commit(t, r)
	for i, o := range res.Outcomes {
		if o[0].Code != lamppost.CodeOK {
			t.Fatalf("transaction %d: %+v", i, o[0])
		}
	}
	s, err := audit.NewStatement(proofOf(t, net, store, "bob"), pin(net), "bob")
	must(t, err)
	if _, err := audit.Verify(s.Encode(), pin(net)); err != nil {
		t.Error(err)
	}
}

// Whatever order or segment is left out of a proof, the auditor refuses it.
func TestEverythingIsNeeded(t *testing.T) {
	t.Parallel()
	net, store := everything(t)
	whole := proofOf(t, net, store, "bob")
	for i := range whole.Txs {
		less := *whole
		less.Txs = append(append([]lamppost.TxProof{}, whole.Txs[:i]...), whole.Txs[i+1:]...)
		_, err := audit.NewStatement(&less, pin(net), "bob")
		if err == nil {
			t.Errorf("without transaction %d of block %d nothing is missing", whole.Txs[i].Index, whole.Txs[i].Height)
		} else {
			t.Logf("without %d/%d: %s", whole.Txs[i].Height, whole.Txs[i].Index, strings.SplitN(err.Error(), "\n", 2)[0])
		}
	}
}
