package replica_test

import (
	"fmt"
	"slices"
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

// A meter's key changes twice and its gateway's once while a bill is made up, and reports come late, signed with the keys
// before. Every report is proven to an auditor who has nothing but the pin, by the keys that counted when it was ordered;
// so is the bill, which says which key the device did not agree to.
func TestProofsOverKeyChanges(t *testing.T) {
	t.Parallel()
	const start, hour = ledgertest.Start, ledgertest.Hour
	net, store := ledgertest.New("net"), kv.NewMem()
	gw, gw2 := *net, *net
	gw.Member, gw.Key = "gw", ledgertest.Key("gw", sig.EdDSA)
	gw2.Member, gw2.Key = "gw", ledgertest.Key("gw2", sig.EdDSA)
	r, now := open(t, store), start
	var sources []tariff.Source
	run := func(txs ...*lamppost.Transaction) {
		t.Helper()
		now += hour / 4
		res := apply(t, r, block(r.Last().Height+1, now, txs...))
		commit(t, r)
		for i, outcomes := range res.Outcomes {
			for j, o := range outcomes {
				if o.Code != lamppost.CodeOK {
					t.Fatalf("transaction %d of block %d, %d: %+v", i, res.Height, j, o)
				}
				if txs[i].Type == lamppost.TxSegment {
					sources = append(sources, tariff.Source{Height: res.Height, Tx: uint32(i), Report: uint32(j)})
				}
			}
		}
	}
	order := func(typ lamppost.TxType, body any) *lamppost.Transaction { return net.Order(now+hour, typ, body) }
	m := net.NewDevice("meter", sig.EdDSA)
	run(net.Genesis(), order(lamppost.TxParty, lamppost.PartyBody{ID: "acme"}), order(lamppost.TxParty, lamppost.PartyBody{ID: "bob"}),
		order(lamppost.TxDevice, m.Body("acme")), order(lamppost.TxPoint, lamppost.PointBody{ID: "p", Device: "meter", Register: "energy", Unit: "Wh"}),
		order(lamppost.TxTariff, ledgertest.Tariff("home", 1, "acme", start, 300_000)),
		order(lamppost.TxAgreement, lamppost.AgreementBody{ID: "a", Seller: "acme", Buyer: "bob", Point: "p", Tariff: "home", From: start}),
		order(lamppost.TxGateway, lamppost.GatewayBody{ID: "gw", Member: "m1", Key: gw.Key.Public().Bytes()}))
	first := *m
	run(gw.Segment(now, m.Billing(1, ledgertest.Energy(start, 1000))))
	consent := m.Rotate()
	body := m.Body("acme")
	body.Consent = consent
	run(order(lamppost.TxDevice, body))
	run(gw.Segment(now, m.Billing(3, ledgertest.Energy(start+hour/2, 2000)), first.Billing(2, ledgertest.Energy(start+hour/4, 1500))))
	second := *m
	m.Rotate()
	change := lamppost.KeyChange{ID: "gw", Next: 1, Suite: sig.EdDSA, Key: gw2.Key.Public().Bytes()}
	agreed, err := change.Sign("net", lamppost.PurposeGatewayKey, gw.Key)
	if err != nil {
		t.Fatal(err)
	}
	run(order(lamppost.TxDevice, m.Body("acme")),
		order(lamppost.TxGateway, lamppost.GatewayBody{ID: "gw", Member: "m1", Key: change.Key, KeyEpoch: 1, Consent: agreed}))
	run(gw2.Segment(now, m.Billing(5, ledgertest.Energy(start+hour, 3000))), gw.Segment(now, second.Report(4, ledgertest.Power(now, 1))),
		net.Segment(now, second.Report(6, ledgertest.Power(now, 1))))
	run(order(lamppost.TxRevoke, lamppost.RevokeBody{Device: "meter", KeyEpoch: 3, Reason: "stolen"}),
		order(lamppost.TxRevoke, lamppost.RevokeBody{Gateway: "gw", KeyEpoch: 1, Reason: "stolen too"}))
	run(order(lamppost.TxInvoice, lamppost.InvoiceBody{Seller: "acme", Buyer: "bob", Currency: "EUR", From: start, To: start + hour}))

	signed, tree := publish(t, net, store, new(tilelog.MemStorage))
	v := archive.View{Reader: store}
	const operator = "key 3 of meter was set by member m1 on 2026-01-01 01:15+00:00; the device's former key did not sign the change"
	for _, s := range sources {
		want, err := replica.WantReport(v, s)
		if err != nil {
			t.Fatal(err)
		}
		p, err := replica.Prove(v, "net", []string{signed}, tree, want)
		if err != nil {
			t.Fatal(err)
		}
		receipt, err := audit.NewReceipt(p, pin(net))
		if err != nil {
			t.Fatalf("report %+v: %v", s, err)
		}
		var rep lamppost.Report
		if err := rep.Decode(reportOf(p)); err != nil {
			t.Fatal(err)
		}
		if got, want := fmt.Sprint(receipt.Notes), map[uint32]string{1: "[]", 2: "[]", 3: "[" + operator + "]"}[rep.KeyEpoch]; got != want {
			t.Errorf("report %d notes %s, want %s", rep.Seq.N, got, want)
		}
		for i := range p.Txs { // nothing in the proof is spare
			if typ := typeOf(t, &p.Txs[i]); typ == lamppost.TxDevice || typ == lamppost.TxGateway {
				less := *p
				less.Txs = slices.Delete(slices.Clone(p.Txs), i, i+1)
				if _, err := audit.NewReceipt(&less, pin(net)); err == nil {
					t.Errorf("report %d: the proof holds without transaction %d", rep.Seq.N, i)
				}
			}
		}
	}
	want, err := replica.WantStatement(v, "bob")
	if err != nil {
		t.Fatal(err)
	}
	p, err := replica.Prove(v, "net", []string{signed}, tree, want)
	if err != nil {
		t.Fatal(err)
	}
	statement, err := audit.NewStatement(p, pin(net), "bob")
	if err != nil {
		t.Fatal(err)
	}
	if len(statement.Notes) != 1 || statement.Notes[0] != operator {
		t.Errorf("the statement notes %q", statement.Notes)
	}
	if f, err := audit.Verify(statement.Encode(), pin(net)); err != nil || !strings.Contains(fmt.Sprint(f.Summary), operator) {
		t.Errorf("Verify = %+v, %v", f, err)
	}
}

// reportOf is the report of a proof of one.
func reportOf(p *lamppost.Proof) []byte {
	for i := range p.Txs {
		if s := p.Txs[i].Segment; s != nil {
			return s.Kept[0].Report
		}
	}
	return nil
}

func typeOf(t *testing.T, p *lamppost.TxProof) lamppost.TxType {
	t.Helper()
	if p.Order == nil {
		return lamppost.TxSegment
	}
	s, err := lamppost.ParseSigned(p.Order.Signed)
	must(t, err)
	o, err := lamppost.ParseOrder(s)
	must(t, err)
	return o.Type
}
