package replica_test

import (
	"bytes"
	"github.com/lamppost/lamppost/internal/ledger"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/internal/tilelog"
	"github.com/lamppost/lamppost/sig"
	"github.com/lamppost/lamppost/tariff"
)

// A liar is a node whose log and checkpoints are in order, and that logs other invoices than its ledger made.
type liar struct {
	t      *testing.T
	net    *ledgertest.Network
	view   archive.View
	hashes []lamppost.Hash // of the log's leaves
	proof  lamppost.Proof  // of everything bob was billed
	now    lamppost.TimeMS
	height lamppost.Height
}

func newLiar(t *testing.T) *liar {
	t.Helper()
	net, store := everything(t)
	l := &liar{t: t, net: net, view: archive.View{Reader: store}, proof: *proofOf(t, net, store, "bob")}
	_, tree := publish(t, net, store, new(tilelog.MemStorage))
	for i := range tree.Size() {
		leaf, err := tree.Leaf(i)
		must(t, err)
		l.hashes = append(l.hashes, lamppost.Hash(tlog.RecordHash(leaf)))
	}
	last, err := lamppost.ParseBlockLeaf(must1(tree.Leaf(tree.Size() - 1)))
	must(t, err)
	l.now, l.height = last.Time, last.Height
	return l
}

// bills are the transactions of the proof that made invoices.
func (l *liar) bills() (at []int) {
	for i := range l.proof.Txs {
		if x := &l.proof.Txs[i]; x.Order != nil {
			s := must1(lamppost.ParseSigned(x.Order.Signed))
			if o := must1(lamppost.ParseOrder(s)); o.Type == lamppost.TxInvoice || o.Type == lamppost.TxCorrect {
				at = append(at, i)
			}
		}
	}
	return at
}

// invoice is what the honest ledger made, with its registers.
func (l *liar) invoice(i int) *tariff.Invoice {
	x := &l.proof.Txs[i]
	inv, err := replica.Invoice(l.view, ledger.Place{Height: x.Height, Index: x.Index})
	must(l.t, err)
	return inv
}

// log puts another invoice in the place of one.
func (l *liar) log(i int, inv *tariff.Invoice) {
	x := &l.proof.Txs[i]
	order := *x.Order
	x.Order = &order
	bare, err := tariff.WithoutEdges(lamppost.Marshal(inv))
	must(l.t, err)
	order.Outcome = lamppost.Outcome{Data: bare}.Append(nil)
	s := must1(lamppost.ParseSigned(order.Signed))
	leaf := lamppost.Leaf{Type: must1(lamppost.ParseOrder(s)).Type, Height: x.Height, Index: x.Index, Body: lamppost.BodyDigest(order.Salt, lamppost.Hash{}, order.Signed),
		Result: lamppost.ResultDigest(lamppost.OutcomeHash(order.OutcomeSalt, lamppost.Outcome{Data: lamppost.Marshal(inv)}.Append(nil)), order.Writes)}
	l.hashes[x.Leaf] = lamppost.Hash(tlog.RecordHash(leaf.Append(nil)))
}

// add commits a transaction in a block of its own; of an invoice inv is the outcome.
func (l *liar) add(typ lamppost.TxType, body any, inv *tariff.Invoice) {
	l.height, l.now = l.height+1, l.now+1000
	tx := l.net.Order(l.now+1000, typ, body)
	x := lamppost.TxProof{Leaf: int64(len(l.hashes)), Height: l.height,
		Order: &lamppost.OrderProof{Salt: tx.Seed.Salt(lamppost.SaltBody), Signed: tx.SignedRaw, OutcomeSalt: tx.OutcomeSalt(0), Outcome: lamppost.Outcome{}.Append(nil)}}
	l.proof.Txs = append(slices.Clone(l.proof.Txs), x)
	leaf := lamppost.Leaf{Type: typ, Height: l.height, Body: tx.BodyDigest(), Result: lamppost.ResultDigest(lamppost.OutcomeHash(x.Order.OutcomeSalt, x.Order.Outcome), lamppost.Hash{})}
	l.hashes = append(l.hashes, lamppost.Hash(tlog.RecordHash(leaf.Append(nil))))
	block := lamppost.BlockLeaf{Height: l.height, Index: 1, Time: l.now, Members: lamppost.HashMembers(l.net.GenesisBody().Members)}
	b := block.Append(nil)
	l.proof.Blocks = append(slices.Clone(l.proof.Blocks), lamppost.BlockProof{Leaf: int64(len(l.hashes)), Raw: b})
	l.hashes = append(l.hashes, lamppost.Hash(tlog.RecordHash(b)))
	if inv != nil {
		inv.Issued = l.now
		l.log(len(l.proof.Txs)-1, inv)
	}
}

// drop leaves transactions out of the proof.
func (l *liar) drop(which func(lamppost.TxType, []byte) bool) {
	l.proof.Txs = slices.DeleteFunc(slices.Clone(l.proof.Txs), func(x lamppost.TxProof) bool {
		if x.Order == nil {
			return false
		}
		o := must1(lamppost.ParseOrder(must1(lamppost.ParseSigned(x.Order.Signed))))
		return which(o.Type, o.Body)
	})
}

// tell makes the proof of it all, and asks the auditor.
func (l *liar) tell() error {
	var at []int64
	for i := range l.proof.Txs {
		at = append(at, l.proof.Txs[i].Leaf)
	}
	for i := range l.proof.Blocks {
		at = append(at, l.proof.Blocks[i].Leaf)
	}
	slices.Sort(at)
	root := func(s lamppost.Span) lamppost.Hash { return lamppost.MerkleRoot(l.hashes[s.From : s.From+s.N]) }
	l.proof.Nodes = nil
	n := int64(len(l.hashes))
	for _, s := range lamppost.Spans(n, at) {
		l.proof.Nodes = append(l.proof.Nodes, root(s))
	}
	key := signer(l.t, l.net)
	signed, err := lamppost.SignCheckpoint(lamppost.Checkpoint{Origin: key.Name(), Size: n, Root: root(lamppost.Span{N: n})}, key)
	must(l.t, err)
	l.proof.Checkpoints = []string{string(signed)}
	_, err = audit.NewStatement(&l.proof, pin(l.net), "bob")
	return err
}

// Goal: a node that logs a wrong invoice which rests on an exchange, a value entered by hand, a session or a correction is found out, with
// the line where one is at fault. Method: falsify one thing before the log commits to it.
func TestLiars(t *testing.T) {
	t.Parallel()
	const hour, start = ledgertest.Hour, ledgertest.Start
	// Of bill 0 supply 0 is the old meter, 1 the new one, 2 the session; 1 corrects it, 2 corrects that, 3 goes on.
	change := func(n int, f func(*tariff.Invoice)) func(*liar) {
		return func(l *liar) {
			at := l.bills()[n]
			inv := l.invoice(at)
			f(inv)
			l.log(at, inv)
		}
	}
	for name, c := range map[string]struct {
		lie  func(*liar)
		want string // empty: it cannot be seen
	}{
		"nothing":                 {func(*liar) {}, "-"},
		"quantity of an exchange": {change(0, func(i *tariff.Invoice) { i.Supplies[1].Lines[0].Quantity.Mantissa++ }), "acme-000001: line 2: quantity"},
		"amount of the session":   {change(0, func(i *tariff.Invoice) { i.Supplies[2].Lines[0].Amount += 10_000 }), "acme-000001: line 3: amount"},
		"minutes":                 {change(0, func(i *tariff.Invoice) { i.Supplies[2].Lines[2].Minutes++ }), "acme-000001: line 5"},
		"start of a session":      {change(0, func(i *tariff.Invoice) { i.Supplies[2].Lines[1].Price++ }), "acme-000001: line 4"},
		"idle price":              {change(0, func(i *tariff.Invoice) { i.Supplies[2].Lines[3].Price++ }), "acme-000001: line 6"},
		"idle line gone":          {change(0, func(i *tariff.Invoice) { i.Supplies[2].Lines = i.Supplies[2].Lines[:3] }), "has 3 lines"},
		"measured, it says":       {change(0, func(i *tariff.Invoice) { i.Supplies[1].Lines[0].Estimated = false }), "acme-000001: line 2: estimated"},
		"tax of the exempt":       {change(0, func(i *tariff.Invoice) { i.Supplies[0].Tax = tariff.Tax{Category: "S", BasisPoints: 1900} }), "not the invoice"},
		"reason of the exemption": {change(0, func(i *tariff.Invoice) { i.Supplies[0].TaxReason = "because" }), "not the invoice"},
		"tax sum":                 {change(0, func(i *tariff.Invoice) { i.Tax[1].Amount += 10_000 }), "acme-000001: tax"},
		"another session":         {change(0, func(i *tariff.Invoice) { i.Supplies[2].Session = "r" }), "session \"r\" is not in the proof"},
		"mount":                   {change(0, func(i *tariff.Invoice) { i.Supplies[1].Mount = 0 }), "line 2: metering point"},
		"a mount left out": {change(0, func(i *tariff.Invoice) {
			i.Supplies[0].To = i.Supplies[1].To
			i.Supplies = slices.Delete(i.Supplies, 1, 2)
		}), "line 1: device old: mount 0 hung"},
		"register of a value by hand":     {change(0, func(i *tariff.Invoice) { i.Supplies[1].Edges[len(i.Supplies[1].Edges)-1].Value.Mantissa++ }), "other registers"},
		"a value by hand that is no more": {change(0, func(i *tariff.Invoice) { e := i.Supplies[1].Edges; e[len(e)-1].Manual = false }), "other registers"},
		"stop before the settle": {change(0, func(i *tariff.Invoice) {
			s := &i.Supplies[2]
			s.Edges = s.Edges[:len(s.Edges)-1]
			s.To = s.Edges[len(s.Edges)-1].Time
			s.Lines[2].Minutes, s.Lines[2].Amount = 33, 330_000
			s.Lines = s.Lines[:3]
		}), "acme-000001: line 5"},
		"the reading that came after": {func(l *liar) { // what the correction found, before it was known
			at := l.bills()
			inv, later := l.invoice(at[0]), l.invoice(at[1])
			later.Number, later.Issued, later.Corrects = inv.Number, inv.Issued, nil
			l.log(at[0], later)
		}, "acme-000001: line 2: quantity"},
		"the value that was substituted after": {func(l *liar) {
			at := l.bills()
			inv, later := l.invoice(at[1]), l.invoice(at[2])
			later.Number, later.Issued, later.Corrects = inv.Number, inv.Issued, inv.Corrects
			l.log(at[1], later)
		}, "acme-000002: line 3: quantity"},
		"what it corrects":      {change(1, func(i *tariff.Invoice) { i.Corrects.Number = "acme-000009" }), "acme-000002: it is not the invoice"},
		"cause":                 {change(1, func(i *tariff.Invoice) { i.Corrects.Cause = lamppost.CauseTerms }), "it is not the invoice"},
		"what that came to":     {change(1, func(i *tariff.Invoice) { i.Corrects.Total -= 10_000 }), "it is not the invoice"},
		"an agreement left out": {change(1, func(i *tariff.Invoice) { i.Supplies = i.Supplies[2:] }), "\"a\" stands on invoice acme-000001 and not on what corrects it"},
		"a session left out":    {change(1, func(i *tariff.Invoice) { i.Supplies = i.Supplies[:2] }), "\"s\" stands on invoice acme-000001 and not on what corrects it"},
		"corrected twice": {func(l *liar) {
			inv := l.invoice(l.bills()[1])
			inv.Number = "acme-000005"
			l.add(lamppost.TxCorrect, lamppost.CorrectBody{Seller: "acme", Number: "acme-000001", Cause: lamppost.CauseLate}, inv)
		}, "acme-000005: it corrects invoice acme-000001, which acme-000002 corrected before"},
		"a session billed again": {func(l *liar) {
			inv := l.invoice(l.bills()[2])
			inv.Number, inv.Corrects, inv.From, inv.To, inv.Net = "acme-000005", nil, start+4*hour, start+5*hour, 0
			inv.Supplies, inv.Tax = inv.Supplies[2:], inv.Tax[1:]
			for i := range inv.Supplies[0].Lines {
				inv.Supplies[0].Lines[i].N = uint32(i + 1)
				inv.Net += inv.Supplies[0].Lines[i].Amount
			}
			inv.Total = inv.Net + inv.Tax[0].Amount
			l.add(lamppost.TxInvoice, lamppost.InvoiceBody{Seller: "acme", Buyer: "bob", Currency: "EUR", From: inv.From, To: inv.To}, inv)
		}, "acme-000005: line 1: session s was billed on invoice acme-000001, too"},
		"a quarter hour billed again": {func(l *liar) {
			inv := l.invoice(l.bills()[3])
			inv.Number = "acme-000005"
			l.add(lamppost.TxInvoice, lamppost.InvoiceBody{Seller: "acme", Buyer: "bob", Currency: "EUR", From: inv.From, To: inv.To}, inv)
		}, "acme-000005: line 1: agreement a was billed on invoice acme-000004, too"},
		"a number again": {func(l *liar) {
			at := l.bills()
			inv := l.invoice(at[3])
			inv.Number = "acme-000003"
			l.log(at[3], inv)
		}, "acme-000003: block"},
		"a session that was not settled": {func(l *liar) {
			l.drop(func(typ lamppost.TxType, _ []byte) bool { return typ == lamppost.TxSettle })
		}, "acme-000001: line 3: device car: that session \"s\" was settled is not in the proof"},
		"what a voucher promised": {change(3, func(i *tariff.Invoice) { i.Supplies[1].Lines[0].Amount += 10_000 }), "acme-000004: line 2: amount"},
		"a voucher of another": {change(3, func(i *tariff.Invoice) {
			raw, _ := (&lamppost.Voucher{Channel: "v", Payee: "fresh", N: 9, Amount: 1_234_500, Until: start + 6*hour}).Sign("net", ledgertest.Key("eve", sig.EdDSA))
			i.Supplies[1].Voucher = raw
		}), "acme-000004: line 2: voucher 9 of channel \"v\" does not match the signature of its payer"},
		"no channel": {func(l *liar) {
			l.drop(func(typ lamppost.TxType, _ []byte) bool { return typ == lamppost.TxChannel })
		}, "acme-000004: line 2: channel \"v\" is not in the proof"},
		"no exchange": {func(l *liar) {
			l.drop(func(typ lamppost.TxType, body []byte) bool {
				var b lamppost.PointBody
				return typ == lamppost.TxPoint && lamppost.Unmarshal(body, &b) == nil && b.Mount == 1
			})
		}, "acme-000001: line 1: device old: no register reading"},
		"an order signed by nobody": {func(l *liar) {
			for i := range l.proof.Txs {
				if x := &l.proof.Txs[i]; x.Order != nil && i > 0 && bytes.Contains(x.Order.Signed, []byte("defect")) {
					order := *x.Order
					order.Signed = bytes.Replace(order.Signed, []byte("defect"), []byte("defekt"), 1)
					x.Order = &order
				}
			}
		}, "does not match the signature of member"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLiar(t)
			c.lie(l)
			switch err := l.tell(); {
			case c.want == "-" && err != nil:
				t.Fatal(err)
			case c.want != "-" && err == nil:
				t.Fatal("the auditor believes it")
			case c.want != "-" && !strings.Contains(err.Error(), c.want):
				t.Errorf("the auditor says %v; want %q", err, c.want)
			}
		})
	}
}
