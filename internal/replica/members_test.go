package replica_test

import (
	"fmt"
	"slices"
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

// While a bill is made up, a member goes that packed its first reports, and one comes that packs the last. Every report and the bill are
// proven to who has the pin of any of these times, as long as it names who signed the checkpoint; no change of the network is spare.
func TestProofsAcrossMembers(t *testing.T) {
	t.Parallel()
	const start, hour = ledgertest.Start, ledgertest.Hour
	net, store := ledgertest.New("net"), kv.NewMem()
	seat := func(id lamppost.MemberID) *ledgertest.Network {
		n := *net
		n.Member, n.Key = id, ledgertest.Key("net/"+string(id), sig.EdDSA)
		return &n
	}
	m2, m3, m4 := seat("m2"), seat("m3"), seat("m4")
	member := func(n *ledgertest.Network) lamppost.Member {
		return lamppost.Member{ID: n.Member, Key: n.Key.Public().Bytes(), Org: "one"}
	}
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
	order := func(n *ledgertest.Network, typ lamppost.TxType, body any) *lamppost.Transaction {
		return n.Order(now+hour, typ, body)
	}
	founders := []lamppost.Member{member(net), member(m2), member(m3)}
	d := net.NewDevice("meter", sig.EdDSA)
	run(net.Order(0, lamppost.TxGenesis, lamppost.GenesisBody{Network: "net", Rules: 1, Engine: lamppost.Raft, Members: founders}),
		order(net, lamppost.TxParty, lamppost.PartyBody{ID: "acme"}), order(net, lamppost.TxParty, lamppost.PartyBody{ID: "bob"}),
		order(m2, lamppost.TxDevice, d.Body("acme")), order(m2, lamppost.TxPoint, lamppost.PointBody{ID: "p", Device: "meter", Register: "energy", Unit: "Wh"}),
		order(m3, lamppost.TxTariff, ledgertest.Tariff("home", 1, "acme", start, 300_000)),
		order(m2, lamppost.TxAgreement, lamppost.AgreementBody{ID: "a", Seller: "acme", Buyer: "bob", Point: "p", Tariff: "home", From: start}))
	run(m2.Segment(now, d.Billing(1, ledgertest.Energy(start, 1000))))
	change := func(after lamppost.Height, list []lamppost.Member, by ...*ledgertest.Network) {
		t.Helper()
		for _, n := range by {
			other := lamppost.PartyBody{ID: lamppost.PartyID(fmt.Sprint("p", now))} // the change is not the first of its block
			run(order(net, lamppost.TxParty, other), order(n, lamppost.TxNetwork, lamppost.NetworkBody{After: after, Members: list, Rules: 1}))
		}
	}
	four := append(slices.Clone(founders), member(m4))
	change(1, four, net, m2)
	run(m2.Segment(now, d.Billing(2, ledgertest.Energy(start+hour/4, 1500))), m4.Segment(now, d.Billing(3, ledgertest.Energy(start+hour/2, 2000))))
	three := slices.Delete(slices.Clone(four), 1, 2)
	change(r.Last().Height-1, three, net, m3, m4)
	run(m4.Segment(now, d.Billing(4, ledgertest.Energy(start+hour, 3000))))
	run(order(m3, lamppost.TxInvoice, lamppost.InvoiceBody{Seller: "acme", Buyer: "bob", Currency: "EUR", From: start, To: start + hour}))

	signed, tree := publish(t, net, store, new(tilelog.MemStorage))
	v := archive.View{Reader: store}
	prove := func(want replica.Want, err error) *lamppost.Proof {
		t.Helper()
		must(t, err)
		p, err := replica.Prove(v, "net", []string{signed}, tree, want)
		must(t, err)
		return p
	}
	pins := []*audit.Pin{nil}
	for _, list := range [][]lamppost.Member{founders, four, three} {
		pins = append(pins, &audit.Pin{Network: "net", Quorum: 1, Members: list})
	}
	for i, pin := range pins {
		for _, s := range sources {
			p := prove(replica.WantReport(v, s))
			if _, err := audit.NewReceipt(p, pin); err != nil {
				t.Errorf("pin %d, report %+v: %v", i, s, err)
			}
			for i := range p.Txs { // the last of the changes may be later than the report
				less := *p
				less.Txs = slices.Delete(slices.Clone(p.Txs), i, i+1)
				if _, err := audit.NewReceipt(&less, pin); err == nil {
					t.Errorf("report %+v: the proof holds without transaction %d", s, i)
				}
			}
		}
		statement, err := audit.NewStatement(prove(replica.WantStatement(v, "bob")), pin, "bob")
		if err == nil {
			_, err = audit.Verify(statement.Encode(), pin)
		}
		if err != nil {
			t.Errorf("pin %d: the statement: %v", i, err)
		}
	}
}
