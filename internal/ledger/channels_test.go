package ledger_test

import (
	"fmt"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
	"github.com/lamppost/lamppost/sig"
)

// Goal: 1,000 payments settle in one transaction, whether they went to one device or to a thousand. Method: a payer signs a voucher for
// each; the last of each channel is cashed and the channels closed by one order, and one invoice bills all of it.
func TestThousandPaymentsInOneTransaction(t *testing.T) {
	t.Parallel()
	for _, devices := range []int{1, 1000} {
		t.Run(fmt.Sprint(devices, " devices"), func(t *testing.T) {
			t.Parallel()
			c := newCounter(t)
			c.order(lamppost.TxParty, lamppost.PartyBody{ID: "acme"})
			c.order(lamppost.TxParty, lamppost.PartyBody{ID: "bob", CreditLimit: 2000 * lamppost.MicroUnit})
			c.order(lamppost.TxTariff, ledgertest.Tariff("light", 1, "acme", ledgertest.Start, 100_000))
			key := ledgertest.Key("bob", sig.EdDSA)
			var cash lamppost.CashBody
			for i := range devices {
				id := fmt.Sprint("lamp", i)
				c.order(lamppost.TxDevice, c.net.NewDevice(lamppost.DeviceID(id), sig.EdDSA).Body("acme"))
				ch := lamppost.ChannelBody{ID: id, Payer: "bob", Payee: lamppost.PartyID(id), Tariff: "light", Version: 1, Most: 1000 / lamppost.Micro(devices) * lamppost.MicroUnit,
					From: c.now, Until: c.now + ledgertest.Hour, Key: key.Public().Bytes()}
				c.order(lamppost.TxChannel, ch)
				v := lamppost.Voucher{Channel: id, Payee: ch.Payee, Until: ch.Until}
				for range 1000 / devices {
					v.N, v.Amount = v.N+1, v.Amount+500_000
				}
				raw, err := v.Sign("net", key)
				if err != nil {
					t.Fatal(err)
				}
				cash.Vouchers, cash.Close = append(cash.Vouchers, raw), append(cash.Close, id)
			}
			cash.Reason = "done"
			c.order(lamppost.TxCash, cash)
			c.now = ledgertest.Start + ledgertest.Hour
			c.order(lamppost.TxInvoice, lamppost.InvoiceBody{Seller: "acme", Buyer: "bob", Currency: "EUR", From: ledgertest.Start, To: ledgertest.Start + ledgertest.Hour})
			want := map[lamppost.PartyID]lamppost.Micro{"bob": -595 * lamppost.MicroUnit, "acme": 95 * lamppost.MicroUnit}
			for i := range devices {
				want[lamppost.PartyID(fmt.Sprint("lamp", i))] = 500 * lamppost.MicroUnit / lamppost.Micro(devices)
			}
			accounts, err := ledger.View{Reader: c.store}.Accounts()
			if err != nil || len(accounts) != len(want) {
				t.Fatalf("%d accounts (%v), want %d", len(accounts), err, len(want))
			}
			for _, a := range accounts {
				if a.Balance != want[a.Party] || a.Held != 0 {
					t.Errorf("%s has %s, %s held, want %s and nothing", a.Party, a.Balance, a.Held, want[a.Party])
				}
			}
		})
	}
}

// A counter takes orders, each a block, of which none may be refused.
type counter struct {
	t      *testing.T
	net    *ledgertest.Network
	store  *kv.Mem
	state  *ledger.State
	height lamppost.Height
	now    lamppost.TimeMS
}

func newCounter(t *testing.T) *counter {
	c := &counter{t: t, net: ledgertest.New("net"), store: kv.NewMem(), now: ledgertest.Start}
	var err error
	if c.state, err = ledger.Open(c.store); err != nil {
		t.Fatal(err)
	}
	c.apply(c.net.Genesis())
	return c
}

func (c *counter) order(typ lamppost.TxType, body any) {
	c.t.Helper()
	c.apply(c.net.Order(c.now+ledgertest.Hour, typ, body))
}

func (c *counter) apply(tx *lamppost.Transaction) {
	c.t.Helper()
	c.height, c.now = c.height+1, c.now+1
	c.state.Begin(c.height, c.now)
	outcomes, _, err := c.state.Apply(tx, tx.ID("net"), false)
	if err != nil || outcomes[0].Code != lamppost.CodeOK {
		c.t.Fatalf("a %s: %+v (%v)", tx.Type, outcomes, err)
	}
	var b kv.Batch
	c.state.Stage(&b)
	if err := c.store.Apply(&b); err != nil {
		c.t.Fatal(err)
	}
	c.state.Committed()
}
