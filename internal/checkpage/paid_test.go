package checkpage_test

import (
	"context"
	"slices"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/checkpage"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
	"github.com/lamppost/lamppost/sig"
)

// shared is the statement of ivy, who has no bill and a third of what a washing machine earns.
func shared(t testing.TB) (statement []byte, pin string) {
	t.Helper()
	c := newChain(t, "lantern")
	d, from := c.net.NewDevice("washer", sig.EdDSA), c.now
	c.run(c.net.Genesis(), c.order(lamppost.TxParty, lamppost.PartyBody{ID: "coop"}), c.order(lamppost.TxParty, lamppost.PartyBody{ID: "house"}),
		c.order(lamppost.TxParty, lamppost.PartyBody{ID: "ivy", Name: "Ivy <b>"}), c.order(lamppost.TxTariff, ledgertest.Tariff("wash", 1, "coop", from, 300_000)),
		c.order(lamppost.TxDevice, d.Body("coop")), c.order(lamppost.TxPoint, lamppost.PointBody{ID: "p", Device: d.ID, Register: "energy", Unit: "Wh"}),
		c.order(lamppost.TxAgreement, lamppost.AgreementBody{ID: "a", Seller: "coop", Buyer: "house", Point: "p", Tariff: "wash", From: from}),
		c.order(lamppost.TxContract, lamppost.ContractBody{ID: "third", Version: 1, Currency: "EUR", Devices: []lamppost.DeviceID{"washer"},
			Parties: []lamppost.ContractParty{{Party: "ivy"}, {Party: "washer"}}, Source: `
def split(event, state):
    pay("washer", "ivy", share(event["net"], 1, 3))
    return "a third"
`}))
	for k := range lamppost.TimeMS(2) {
		c.now = from + k*ledgertest.Hour + 1000
		c.run(c.net.Segment(c.now, d.Billing(uint64(k+1), ledgertest.Energy(from+k*ledgertest.Hour, int64(1000+10_000*k)))))
	}
	c.run(c.order(lamppost.TxInvoice, lamppost.InvoiceBody{Seller: "coop", Buyer: "house", Currency: "EUR", From: from, To: from + ledgertest.Hour}))
	return compacted(t, c.statement("ivy")), c.pin().String()
}

// What contracts paid is shown line by line as it is in the file, green where it holds and red with the reason where it does not, and the page
// says that it ran no program.
func testPaid(t *testing.T, ctx context.Context) {
	p := ready(t, ctx, serve(t, checkpage.Content{}), "")
	statement, pin := shared(t)
	bring(p, pin)
	drop(p, "statement.json", statement)
	for _, want := range []string{"1 payment of contracts, as the log has them", "Payments by contracts", "a third", "third, version 1, run 1", "Ivy <b>", "€1.00", "no program was run again here",
		"its 1 run up to the last shown"} {
		p.WaitText("#main", want)
	}
	if got := ticks(p); !slices.Equal(got, []string{"ok"}) {
		t.Errorf("the payments are %q", got)
	}
	drop(p, "statement.json", replace(t, statement, `"amount":"1.00"`, `"amount":"2.00"`))
	p.WaitText("#result", "Do not trust this statement.")
	p.WaitText("#result", "Payment 1: amount 2.00 is not what the proof gives (1.00)")
	if got := ticks(p); !slices.Equal(got, []string{"bad"}) {
		t.Errorf("the changed payment is %q", got)
	}
	p.Clean()
}
