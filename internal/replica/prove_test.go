package replica_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/internal/tilelog"
	"github.com/lamppost/lamppost/sig"
	"github.com/lamppost/lamppost/tariff"
	"golang.org/x/mod/sumdb/tlog"
)

// billed is a network with two invoices between a seller and a buyer, over two versions of a tariff, an estimated edge
// and a key that was changed in between.
func billed(t *testing.T) (*ledgertest.Network, *kv.Mem, *replica.Replica) {
	t.Helper()
	const start, hour = ledgertest.Start, ledgertest.Hour
	net := ledgertest.New("net")
	store := kv.NewMem()
	r := open(t, store)
	now := start
	run := func(txs ...*lamppost.Transaction) {
		t.Helper()
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
	d, e := net.NewDevice("meter", sig.EdDSA), net.NewDevice("other", sig.ES256)
	run(net.Genesis(), order(lamppost.TxParty, lamppost.PartyBody{ID: "acme", Name: "Acme"}),
		order(lamppost.TxParty, lamppost.PartyBody{ID: "bob", Name: "Bob"}),
		order(lamppost.TxDevice, d.Body("acme")), order(lamppost.TxDevice, e.Body("bob")),
		order(lamppost.TxPoint, lamppost.PointBody{ID: "p", Device: "meter", Register: "energy", Unit: "Wh", Place: "cellar"}),
		order(lamppost.TxTariff, ledgertest.Tariff("home", 1, "acme", start, 300_000)),
		order(lamppost.TxTariff, ledgertest.Tariff("home", 2, "acme", start+3*hour, 400_000)),
		order(lamppost.TxAgreement, lamppost.AgreementBody{ID: "a", Seller: "acme", Buyer: "bob", Point: "p", Tariff: "home", From: start}))
	now = start + hour
	run(net.Segment(now, d.Billing(1, ledgertest.Energy(start, 1000), ledgertest.Energy(now, 2500)), e.Report(1, ledgertest.Power(now, 7))))
	d.Rotate()
	run2 := order(lamppost.TxDevice, d.Body("acme"))
	now += 1
	run(run2)
	now = start + 5*hour
	run(net.Segment(now, e.Report(2, ledgertest.Power(now, 8)), d.Billing(2, ledgertest.Energy(start+4*hour, 8500))))
	now++
	run(order(lamppost.TxInvoice, lamppost.InvoiceBody{Seller: "acme", Buyer: "bob", Currency: "EUR", From: start, To: start + hour}))
	now++
	run(order(lamppost.TxInvoice, lamppost.InvoiceBody{Seller: "acme", Buyer: "bob", Currency: "EUR", From: start + hour, To: start + 4*hour}))
	return net, store, r
}

func pin(net *ledgertest.Network) *audit.Pin {
	return &audit.Pin{Network: net.ID, Quorum: 1, Members: net.GenesisBody().Members}
}

// A statement that the node makes is one that an auditor with nothing but the pin accepts, amount by amount, also after
// the log has grown, and with no reader but a snapshot.
func TestStatementRoundTrip(t *testing.T) {
	t.Parallel()
	net, store, r := billed(t)
	for range 2 {
		signed, tree := publish(t, net, store, new(tilelog.MemStorage))
		snap, err := store.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		want, err := replica.WantStatement(archive.View{Reader: snap}, "bob")
		if err != nil {
			t.Fatal(err)
		}
		proof, err := replica.Prove(archive.View{Reader: snap}, net.ID, []string{signed}, tree, want)
		if err != nil {
			t.Fatal(err)
		}
		checkStatement(t, net, proof)
		for range 5 {
			at := r.Last().Time + 1
			apply(t, r, block(r.Last().Height+1, at, net.Order(at+1, lamppost.TxParty, lamppost.PartyBody{ID: "acme"})))
			commit(t, r)
		}
	}
}

// checkStatement checks the statement of what billed has billed, as the customer would.
func checkStatement(t *testing.T, net *ledgertest.Network, proof *lamppost.Proof) {
	t.Helper()
	parsed, err := lamppost.ParseProof(proof.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	statement, err := audit.NewStatement(parsed, pin(net), "bob")
	if err != nil {
		t.Fatalf("the auditor says %v", err)
	}
	if len(statement.Invoices) != 2 || statement.Invoices[0].Total != "0.54" || statement.Invoices[1].Total != "2.38" {
		t.Errorf("invoices %+v, want 0.45 and (4 kWh at 0.30 + 2 kWh at 0.40) with 19 %% tax", statement.Invoices)
	}
	finding, err := audit.Verify(statement.Encode(), pin(net))
	if err != nil || !finding.Pinned || finding.Invoices != 2 {
		t.Errorf("Verify = %+v, %v", finding, err)
	}
}

// Every report of the chain is proven to an auditor alone; what is not published yet is not ready, and what is not there
// is an error.
func TestReportRoundTrip(t *testing.T) {
	t.Parallel()
	net, store, _ := billed(t)
	signed, tree := publish(t, net, store, new(tilelog.MemStorage))
	for _, s := range []tariff.Source{{Height: 2, Report: 0}, {Height: 2, Report: 1}, {Height: 4, Report: 0}, {Height: 4, Report: 1}} {
		want, err := replica.WantReport(archive.View{Reader: store}, s)
		if err != nil {
			t.Fatal(err)
		}
		proof, err := replica.Prove(archive.View{Reader: store}, net.ID, []string{signed}, tree, want)
		if err != nil {
			t.Fatal(err)
		}
		e, err := audit.CheckProof(proof, pin(net))
		if err != nil || len(e.Reports) != 1 {
			t.Fatalf("report %+v: the auditor says %v", s, err)
		}
		if _, err := audit.NewReceipt(proof, pin(net)); err != nil {
			t.Errorf("receipt of %+v: %v", s, err)
		}
	}
	v := ledger.View{Reader: store}
	if at, report, err := v.Recent("meter", lamppost.Seq{N: 2}); err != nil || at.Height != 4 || report != 1 {
		t.Errorf("Recent = %+v, %d, %v; want report 1 of block 4", at, report, err)
	}
	var refusal *lamppost.Refusal
	want, err := replica.WantReport(archive.View{Reader: store}, tariff.Source{Height: 4, Report: 1})
	if err != nil {
		t.Fatal(err)
	}
	older := tilelog.NewTree(new(tilelog.MemStorage), 12, tlog.Hash{})
	if _, err := replica.Prove(archive.View{Reader: store}, net.ID, nil, older, want); !errors.As(err, &refusal) || refusal.Code != lamppost.CodeNotReady {
		t.Errorf("Prove of what is not published = %v, want not_ready", err)
	}
	if _, err := replica.WantStatement(archive.View{Reader: store}, "acme"); !errors.As(err, &refusal) || refusal.Code != lamppost.CodeNotReady {
		t.Errorf("WantStatement of one without invoices = %v, want not_ready", err)
	}
	for _, s := range []tariff.Source{{Height: 2, Report: 2}, {Height: 2, Tx: 1}, {Height: 99}, {Height: 1}} {
		if _, err := replica.WantReport(archive.View{Reader: store}, s); err == nil {
			t.Errorf("WantReport(%+v) found something", s)
		}
	}
}

// What a halved report says is proven by its segment only: the node refuses to prove it alone, and so does an auditor who is
// shown such a proof.
func TestHalvedReportIsNotProvenAlone(t *testing.T) {
	t.Parallel()
	const start, hour = ledgertest.Start, ledgertest.Hour
	net, store := ledgertest.New("net"), kv.NewMem()
	r := open(t, store)
	a, b := net.NewDevice("a", sig.EdDSA), net.NewDevice("b", sig.EdDSA)
	cold := func(d *ledgertest.Device) []byte {
		return d.Sign(lamppost.Report{Seq: lamppost.Seq{N: 1}, Flags: lamppost.FlagCold, Readings: []lamppost.Reading{ledgertest.Power(start, 1)}})
	}
	keys := []*sig.PublicKey{a.Key.Public(), b.Key.Public(), nil}
	for i, txs := range [][]*lamppost.Transaction{
		{net.Genesis(), net.Order(start+hour, lamppost.TxParty, lamppost.PartyBody{ID: "p"}), net.Order(start+hour, lamppost.TxDevice, a.Body("p")),
			net.Order(start+hour, lamppost.TxDevice, b.Body("p"))},
		{net.Aggregate(start, func(i int) *sig.PublicKey { return keys[i] }, cold(a), cold(b), a.Report(2, ledgertest.Power(start, 2)))},
	} {
		apply(t, r, block(lamppost.Height(i+1), start+lamppost.TimeMS(i), txs...))
		commit(t, r)
	}
	v := archive.View{Reader: store}
	var refusal *lamppost.Refusal
	if _, err := replica.WantReport(v, tariff.Source{Height: 2, Report: 1}); !errors.As(err, &refusal) || !strings.Contains(refusal.Text, "none alone") {
		t.Errorf("WantReport of a halved report: %v", err)
	}
	want, err := replica.WantReport(v, tariff.Source{Height: 2, Report: 2})
	if err != nil {
		t.Fatal(err)
	}
	signed, tree := publish(t, net, store, new(tilelog.MemStorage))
	for report, says := range []string{"half a signature", "half a signature", ""} {
		want.Reports[0].Report = uint32(report)
		proof, err := replica.Prove(v, net.ID, []string{signed}, tree, want)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := audit.CheckProof(proof, pin(net)); (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("report %d: CheckProof = %v, want %q", report, err, says)
		}
	}
}
