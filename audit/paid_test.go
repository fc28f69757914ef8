package audit_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/contract"
	"github.com/lamppost/lamppost/tariff"
)

// cashback gives the buyer a part of the bill back, and takes a fee when it is told to.
const cashback = `
def split(event, state):
    state["n"] = state.get("n", 0) + 1
    pay("BQ27", "anna", share(event["net"], 5, 100))
    return "5 % back"

def fee(event, state):
    state["n"] = state["n"] + 1
    pay("anna", "stadtwerk", event["args"]["amount"])
`

// A shop runs contracts for a world's bills by package contract, as the ledger does.
type shop struct {
	h      *home
	body   lamppost.ContractBody
	state  []byte
	n      uint64
	change func(*lamppost.Run) // falsifies what is logged; nil: nothing is
}

func (s *shop) run(e lamppost.RunEvent) []byte {
	s.n++
	x := lamppost.Run{Contract: s.body.ID, Version: 1, Event: e, Currency: "EUR", Before: s.state, N: s.n}
	p, err := contract.Check(s.body.Source, contract.At(1))
	must(s.h.t, err)
	res, cost, f := p.Run(&e, s.body.Terms, s.state)
	if f != nil {
		s.h.t.Fatal(f)
	}
	x.Payments, x.Note, x.Cost, s.state = res.Payments, res.Note, cost, res.State
	if s.change != nil {
		s.change(&x)
	}
	return lamppost.Marshal(x)
}

func (s *shop) hears(inv *tariff.Invoice) []lamppost.Outcome {
	b := &lamppost.RunBill{Number: inv.Number, Seller: inv.Seller, Buyer: inv.Buyer, From: inv.From, To: inv.To,
		Parts: []lamppost.RunPart{{Device: "BQ27", Agreement: "A-1", Earns: "BQ27", Pays: inv.Buyer, Net: inv.Net}}}
	other := lamppost.Marshal(lamppost.Run{Contract: "alien", Version: 1, Event: lamppost.RunEvent{Name: "split", Bill: b}, Currency: "EUR", N: 9})
	return []lamppost.Outcome{{Data: other}, {Data: s.run(lamppost.RunEvent{Name: "split", Time: s.h.now + 1500, Bill: b})}}
}

// shared is the usual home with a contract that hears of the bill, is called, and hears of a bill to somebody else.
func shared(t testing.TB, members ...lamppost.MemberID) *home { return sharedAs(t, nil, members...) }

func sharedAs(t testing.TB, change func(*lamppost.Run), members ...lamppost.MemberID) *home {
	t.Helper()
	h := registered(t, members...)
	h.order(lamppost.TxParty, lamppost.PartyBody{ID: "carl", Name: "Carl"})
	s := &shop{h: h, change: change, body: lamppost.ContractBody{ID: "cashback", Version: 1, Source: cashback, Currency: "EUR", Devices: []lamppost.DeviceID{"BQ27"},
		Parties: []lamppost.ContractParty{{Party: "BQ27"}, {Party: "anna", Limit: 5_000_000}, {Party: "stadtwerk"}}}}
	h.order(lamppost.TxContract, s.body)
	h.hears = s.hears
	h.readingsAt(h.terms.Edges(h.invoice.From, h.invoice.To))
	h.bill(h.invoice, "ST-000001", h.supply(), nil)
	args := []lamppost.Arg{{Name: "amount", Number: 1_250_000}}
	h.decided(lamppost.TxCall, lamppost.CallBody{Contract: "cashback", Event: "fee", Args: args},
		lamppost.Outcome{Data: s.run(lamppost.RunEvent{Name: "fee", Time: h.now + 1500, By: string(members[0]), Args: args})})
	alien := tariff.Invoice{Number: "ST-000002", Seller: "stadtwerk", Buyer: "carl", Net: 7_000_000}
	h.decided(lamppost.TxInvoice, lamppost.InvoiceBody{Seller: "stadtwerk", Buyer: "carl"}, lamppost.Outcome{Data: lamppost.Marshal(alien)}, s.hears(&alien)...)
	return h
}

// payments is the proof of anna's bill and of all that the contract did: of the bill to carl nothing but that, and of the other contract
// nothing.
func (h *home) payments() *lamppost.Proof {
	h.t.Helper()
	p := h.proof(anyTx, func(r reported) bool { return r.Index == 0 })
	for i := range p.Txs {
		x := &p.Txs[i]
		x.Runs = slices.Clone(x.Runs)
		if len(x.Runs) > 0 {
			x.Runs[0] = lamppost.RunProof{Hash: x.Runs[0].Leaf()}
		}
		if i == len(p.Txs)-1 {
			o := x.Order
			x.Order, x.Result = nil, &lamppost.ResultProof{Type: lamppost.TxInvoice, Body: lamppost.BodyDigest(o.Salt, lamppost.Hash{}, o.Signed),
				Outcome: lamppost.OutcomeHash(o.OutcomeSalt, o.Outcome), Writes: o.Writes}
		}
	}
	return p
}

func paidStatement(t testing.TB) []byte {
	t.Helper()
	h := shared(t, "north")
	h.witness("w1.example")
	s, err := audit.NewStatement(h.payments(), h.pin(1), "anna")
	must(t, err)
	return s.Encode()
}

func verifyPaid(data []byte, h *home) (*audit.Finding, error) {
	return audit.VerifyRunning(data, h.pin(1), contract.Again)
}

// A statement shows what contracts paid to and from the party, whichever bill or order led to it, and says which of it was run again.
func TestPaid(t *testing.T) {
	t.Parallel()
	h, data := shared(t, "north"), paidStatement(t)
	f, err := verifyPaid(data, h)
	must(t, err)
	var got []string
	for _, l := range f.Statement.Paid.Lines {
		got = append(got, fmt.Sprintln(l.N, l.Contract, l.Version, l.Run, l.Event, l.Invoice, l.From.ID, l.To.ID, l.Amount, l.Currency, l.Note))
	}
	net := f.Statement.Evidence().Txs[len(f.Statement.Evidence().Txs)-1]
	if net.Invoice != nil {
		t.Error("a result was taken for an invoice")
	}
	back := f.Statement.Payments()[0].Amount
	want := []string{fmt.Sprintln(1, "cashback", 1, 1, "split", "ST-000001", "BQ27", "anna", back, "EUR", "5 % back"),
		fmt.Sprintln(2, "cashback", 1, 2, "fee", "", "anna", "stadtwerk", "1.25", "EUR", ""),
		fmt.Sprintln(3, "cashback", 1, 3, "split", "ST-000002", "BQ27", "anna", "0.35", "EUR", "5 % back")}
	if !slices.Equal(got, want) {
		t.Errorf("lines\n%s, want\n%s", got, want)
	}
	if s := f.Statement.Paid.Sums; len(s) != 1 || s[0] != (audit.PaidSum{Currency: "EUR", Received: (back + 350_000).String(), Paid: "1.25", Balance: (back - 900_000).String()}) {
		t.Errorf("sums %+v", s)
	}
	said := strings.Join(f.Summary, "\n")
	for _, want := range []string{"its 3 runs up to the last shown", "run again from their source", "ran for these invoices once more"} {
		if !strings.Contains(said, want) {
			t.Errorf("it says\n%s\nand not %q", said, want)
		}
	}
	if f, err = audit.Verify(data, h.pin(1)); err != nil || !strings.Contains(strings.Join(f.DoesNotProve, "\n"), "no program was run again here") {
		t.Errorf("without an interpreter: %v, %+v", err, f)
	}
	// the device's owner has the device's payments on his statement, and no bill
	if s, err := audit.NewStatement(h.payments(), h.pin(1), "stadtwerk"); err != nil || s.Paid.Sums[0].Paid != (back+350_000).String() || s.Paid.Sums[0].Received != "1.25" {
		t.Errorf("the seller's: %v, %+v", err, s)
	}
}

// Whatever field of a line is changed, the verdict names the payment and the field.
func TestPaidFieldsCount(t *testing.T) {
	t.Parallel()
	h, data := shared(t, "north"), paidStatement(t)
	for i, fields := range []string{"n contract version run event invoice time from to amount currency note", "n contract version run event time from to amount currency"} {
		for _, field := range strings.Fields(fields) {
			var file map[string]any
			must(t, json.Unmarshal(data, &file))
			line := file["payments"].(map[string]any)["lines"].([]any)[i].(map[string]any)
			switch was := line[field].(type) {
			case float64:
				line[field] = was + 1
			case string:
				line[field] = was + "1"
			case map[string]any:
				was["id"] = "carl"
			default:
				t.Fatalf("field %q is a %T", field, was)
			}
			bad, err := json.Marshal(file)
			must(t, err)
			_, err = verifyPaid(bad, h)
			refused(t, err, fmt.Sprintf("payment %d, of run %d of contract cashback", i+1, i+1), "is not what the ")
			faults, proven := audit.Faults(bad, err)
			if at := fmt.Sprintf("/payments/lines/%d/%s", i, field); !proven || len(faults) != 1 || !strings.HasPrefix(faults[0].Path, at) {
				t.Errorf("faults %+v, want one at %s", faults, at)
			}
		}
	}
	for _, c := range [][2]string{{`"received":"`, `"received":"1`}, {`"balance":"`, `"balance":"1`}} {
		_, err := verifyPaid(bytes.Replace(compactJSON(t, data), []byte(c[0]), []byte(c[1]), 1), h)
		refused(t, err, "payments of contracts in EUR")
	}
}

func compactJSON(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	must(t, json.Compact(&b, data))
	return b.Bytes()
}

// What the proof shows of contracts hangs together: none can be left out, and none can be of another bill than it says.
func TestPaidProofs(t *testing.T) {
	t.Parallel()
	without := func(at func(*lamppost.TxProof) bool) func(*lamppost.Proof) {
		return func(p *lamppost.Proof) {
			p.Txs = slices.DeleteFunc(p.Txs, func(x lamppost.TxProof) bool { return at(&x) })
		}
	}
	typed := func(want lamppost.TxType) func(*lamppost.TxProof) bool {
		return func(x *lamppost.TxProof) bool {
			if x.Order == nil {
				return false
			}
			s, err := lamppost.ParseSigned(x.Order.Signed)
			must(t, err)
			o, err := lamppost.ParseOrder(s)
			must(t, err)
			return o.Type == want
		}
	}
	for name, c := range map[string]struct {
		logged func(*lamppost.Run) // before the log commits to it
		shown  func(*lamppost.Proof)
		want   string
	}{
		"a run is left out":           {nil, without(typed(lamppost.TxCall)), "run 3 of contract cashback: run 2 of it is not in the proof before that"},
		"the contract is left out":    {nil, without(typed(lamppost.TxContract)), "its version 1 is not in the proof before it"},
		"a run is hidden":             {nil, func(p *lamppost.Proof) { p.Txs[len(p.Txs)-1].Runs[1] = p.Txs[len(p.Txs)-1].Runs[0] }, "nothing of it is shown"},
		"of an order with no bill":    {nil, func(p *lamppost.Proof) { p.Txs[len(p.Txs)-1].Result.Type = lamppost.TxTransfer }, "contracts run for bills"},
		"it pays somebody else":       {func(x *lamppost.Run) { x.Payments[0].To = "carl" }, nil, "whom the contract does not bind"},
		"it pays nothing":             {func(x *lamppost.Run) { x.Payments[0].Amount = 0 }, nil, "or nothing"},
		"in another currency":         {func(x *lamppost.Run) { x.Currency = "USD" }, nil, "it pays in USD"},
		"though it failed":            {func(x *lamppost.Run) { x.Failure = &lamppost.RunFailure{Reason: contract.Failed} }, nil, "or though it failed"},
		"of another bill":             {func(x *lamppost.Run) { x.Event.Bill.Number = "ST-000009" }, nil, "it is told of invoice ST-000009"},
		"of another time":             {func(x *lamppost.Run) { x.Event.Time++ }, nil, "of another time than its block's"},
		"of another event":            {func(x *lamppost.Run) { x.Event.Name = "settle" }, nil, `it is told of "settle"`},
		"told more than was billed":   {func(x *lamppost.Run) { x.Event.Bill.Parts[0].Net++ }, nil, "whose lines come to"},
		"told of another buyer":       {func(x *lamppost.Run) { x.Event.Bill.Buyer = "carl" }, nil, "is not what that says"},
		"the second before the first": {func(x *lamppost.Run) { x.N++ }, nil, "run 1 of it is not in the proof before that"},
		"more than the program gives": {func(x *lamppost.Run) { x.Payments[0].Amount++ }, nil, "run again: it pays"},
		"another note":                {func(x *lamppost.Run) { x.Note = "6 % back" }, nil, "run again: it returns"},
		"another cost":                {func(x *lamppost.Run) { x.Cost.Steps++ }, nil, "run again: it takes"},
		"another state before it":     {func(x *lamppost.Run) { x.Before = []byte(`{"n":7}`) }, nil, "began with another state"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := sharedAs(t, func(x *lamppost.Run) {
				if c.logged != nil && x.N == 1 {
					c.logged(x)
				}
			}, "north")
			p := h.payments()
			if c.shown != nil {
				c.shown(p)
				h.prove(p)
			}
			s, err := audit.NewStatement(p, h.pin(1), "anna")
			if err == nil {
				_, err = verifyPaid(s.Encode(), h)
			}
			refused(t, err, c.want)
		})
	}
	h := shared(t, "north")
	_, err := audit.NewStatement(h.payments(), h.pin(1), "carl")
	refused(t, err, "does not concern party")
}
