package ledger_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/contract"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
	"github.com/lamppost/lamppost/sig"
)

// Goal: a block full of contracts that never end makes no node fall behind, and harms no bill. Method: eight of them hear of each of sixteen bills of
// one block. All bills are made; runs fail by their steps until the block has none left, and with block_full from then on; a bill of the next block
// is heard again, and what had no room can be repeated there.
func TestBlockFull(t *testing.T) {
	t.Parallel()
	const buyers, hearing = 16, 8
	net, store := ledgertest.New("net"), kv.NewMem()
	now := ledgertest.Start + 4*ledgertest.Hour
	order := func(typ lamppost.TxType, body any) *lamppost.Transaction {
		return net.Order(now+ledgertest.Hour, typ, body)
	}
	lamp := net.NewDevice("lamp", sig.EdDSA)
	txs := []*lamppost.Transaction{net.Genesis(), order(lamppost.TxParty, lamppost.PartyBody{ID: "acme"}), order(lamppost.TxDevice, lamp.Body("acme")),
		order(lamppost.TxPoint, lamppost.PointBody{ID: "p", Device: "lamp", Register: "energy", Unit: "Wh"}),
		order(lamppost.TxTariff, ledgertest.Tariff("light", 1, "acme", ledgertest.Start, 300_000))}
	var bills []*lamppost.Transaction
	for i := range buyers {
		b := lamppost.PartyID(fmt.Sprint("b", i))
		txs = append(txs, order(lamppost.TxParty, lamppost.PartyBody{ID: b}),
			order(lamppost.TxAgreement, lamppost.AgreementBody{ID: fmt.Sprint("a", i), Seller: "acme", Buyer: b, Point: "p", Tariff: "light", From: ledgertest.Start}))
		bills = append(bills, order(lamppost.TxInvoice, lamppost.InvoiceBody{Seller: "acme", Buyer: b, Currency: "EUR", From: ledgertest.Start, To: ledgertest.Start + ledgertest.Hour}))
	}
	loops := program("loops")
	for i := range hearing {
		txs = append(txs, order(lamppost.TxContract, lamppost.ContractBody{ID: fmt.Sprint("c", i), Version: 1, Source: loops, Currency: "EUR",
			Parties: []lamppost.ContractParty{{Party: "acme"}, {Party: "lamp"}}, Devices: []lamppost.DeviceID{"lamp"}}))
	}
	txs = append(txs, net.Segment(now, lamp.Billing(1, ledgertest.Energy(ledgertest.Start, 0), ledgertest.Energy(ledgertest.Start+ledgertest.Hour, 5000),
		ledgertest.Energy(ledgertest.Start+2*ledgertest.Hour, 9000))))
	s, err := ledger.Open(store)
	must(err)
	height := lamppost.Height(0)
	block := func(txs ...*lamppost.Transaction) []lamppost.Code {
		height++
		s.Begin(height, now+lamppost.TimeMS(height))
		var codes []lamppost.Code
		for _, tx := range txs {
			outcomes, _, err := s.Apply(tx, tx.ID("net"), false)
			must(err)
			codes = append(codes, outcomes[0].Code)
		}
		var batch kv.Batch
		s.Stage(&batch)
		must(store.Apply(&batch))
		s.Committed()
		return codes
	}
	fine := func(codes []lamppost.Code) {
		t.Helper()
		for i, c := range codes {
			if c != lamppost.CodeOK {
				t.Fatalf("transaction %d of block %d is %s", i, height, c)
			}
		}
	}
	fine(block(txs...))
	begin := time.Now()
	fine(block(bills...))
	took := time.Since(begin)
	count := map[string]int{}
	view := ledger.View{Reader: store}
	failures := func(h lamppost.Height) (first ledger.Run) {
		clear(count)
		runs, err := view.Runs(h, h+1)
		must(err)
		for i := range runs {
			if runs[i].Failure == nil {
				count["ok"]++
				continue
			}
			count[runs[i].Failure.Reason.String()]++
			if runs[i].Failure.Reason == contract.BlockFull && first.Contract == "" {
				first = runs[i]
			}
		}
		return first
	}
	full := failures(height)
	t.Logf("%d bills with %d contracts each took %v: %v", buyers, hearing, took, count)
	if count["over_steps"]+count["block_full"] != buyers*hearing || count["over_steps"] < 70 || count["over_steps"] > 80 {
		t.Errorf("failures %v, want about 79 over_steps of 4,000,000 steps together, and block_full for the rest", count)
	}
	fine(block(order(lamppost.TxInvoice, lamppost.InvoiceBody{Seller: "acme", Buyer: "b0", Currency: "EUR", From: ledgertest.Start + ledgertest.Hour, To: ledgertest.Start + 2*ledgertest.Hour}),
		order(lamppost.TxContract, lamppost.ContractBody{ID: full.Contract, Version: 2, Source: program("corrected"), Currency: "EUR",
			Parties: []lamppost.ContractParty{{Party: "acme"}, {Party: "lamp"}}, Devices: []lamppost.DeviceID{"lamp"}}),
		order(lamppost.TxCall, lamppost.CallBody{Contract: full.Contract, Height: full.At.Height, Index: full.At.Index})))
	if failures(height); count["over_steps"] != hearing || count["block_full"] != 0 || count["ok"] != 1 {
		t.Errorf("in the next block: %v", count)
	}
}

// A joint session over two devices goes on when one of them is void: what was delivered is billed and shared out, the other owes what was agreed.
func TestJointSession(t *testing.T) {
	t.Parallel()
	d := newDesk()
	for _, step := range []string{`genesis
party acme
party bob limit=100
party site
device tool acme
device lift acme
point t tool energy sessions
point l lift energy sessions
tariff fast 1 acme 0.40 00:00Z
transfer bob lift 5
contract j 1 joint lift:2 site tool devices=lift,tool to=2026-01-02T00:00Z terms.organiser=site terms.share=500 terms.session1=s-tool terms.session2=s-lift terms.device1=tool terms.device2=lift terms.compensation=1.00`, `at 01:00Z
session s-tool bob t fast 10 00:30Z 02:00Z
session s-lift bob l fast 10 00:30Z 02:00Z
report tool 1 billing energy@00:31Z=0 energy@00:59Z=20000`, `settle s-tool 01:00Z
settle s-lift 01:00Z`, `settle s-lift 01:00Z void=broken`, `at 02:00Z
invoice acme bob 00:00Z 02:00Z
show accounts`, `at 2026-01-02T00:00Z
call j expire
show accounts`} {
		t.Logf("%s\n----\n%s", step, d.answer(step))
	}
	accounts := map[lamppost.PartyID]string{}
	all, err := ledger.View{Reader: d.store}.Accounts()
	must(err)
	for _, a := range all {
		accounts[a.Party] = a.Balance.String()
	}
	if accounts["site"] != "0.40" || accounts["tool"] != "8.60" || accounts["lift"] != "4.00" {
		t.Errorf("accounts %v: want 5 %% of 8.00 for the site, and 1.00 from the lift for the tool", accounts)
	}
}
