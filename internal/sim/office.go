package sim

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
)

// An office orders: payments, invoices, new keys and the end of old ones. It repeats what it got no answer to.
type office struct {
	open   []*order
	made   int
	billed [3]lamppost.TimeMS // by buyer: until when
}

// An order is one intention of the office.
type order struct {
	typ      lamppost.TxType
	body     any
	id       lamppost.TxID
	raw      []byte
	proposal proposal // nil: nobody took it
	after    func()   // once it is accepted
}

func party(i int) lamppost.PartyID { return lamppost.PartyID(fmt.Sprint("p", i)) }

// order makes a new order, or repeats an open one.
func (f *office) order(w *world) {
	if len(f.open) > 0 && (len(f.open) >= 6 || w.chance(3)) {
		f.retry(w)
		return
	}
	f.made++
	o := &order{}
	switch w.rng.IntN(32) {
	case 0, 1, 2:
		d := w.devices[w.rng.IntN(len(w.devices))]
		next := *d.Device
		consent := next.Rotate()
		body := next.Body("p0")
		if w.chance(2) {
			body.Consent = consent
		}
		o.typ, o.body, o.after = lamppost.TxDevice, body, func() {
			w.result.Rotated++
			if next.Epoch > d.Epoch {
				*d.Device = next
			}
		}
	case 3:
		d := w.devices[w.rng.IntN(len(w.devices))]
		o.typ, o.after = lamppost.TxRevoke, func() { w.result.Revoked++ }
		o.body = lamppost.RevokeBody{Device: d.ID, KeyEpoch: d.Epoch - min(d.Epoch, uint32(w.rng.IntN(4))), Reason: "drawn"}
	case 4, 5, 6, 7, 8, 9, 10, 11:
		buyer := 1 + w.rng.IntN(2)
		from, to := max(ledgertest.Start, f.billed[buyer]), (w.now-ledgertest.Hour/2)/lamppost.EdgeMS*lamppost.EdgeMS
		o.typ, o.body = lamppost.TxInvoice, lamppost.InvoiceBody{Seller: "p0", Buyer: party(buyer), Currency: "EUR", From: from, To: to}
		o.after = func() { f.billed[buyer] = to; w.result.Invoices++ }
	default:
		o.typ, o.body = lamppost.TxTransfer, lamppost.TransferBody{From: party(w.rng.IntN(3)), To: party(w.rng.IntN(3)), Currency: "EUR",
			Amount: lamppost.Micro(1+w.rng.IntN(9)) * lamppost.MicroUnit, Memo: fmt.Sprint("intention ", f.made)}
	}
	f.sign(w, o)
	f.open = append(f.open, o)
	w.result.Orders++
	f.submit(w, o)
}

func (f *office) sign(w *world, o *order) {
	tx := w.net.Order(w.now+20*ledgertest.Hour, o.typ, o.body)
	o.id, o.raw = tx.ID(w.net.ID), tx.Append(nil)
}

func (f *office) submit(w *world, o *order) {
	m := w.any()
	o.proposal = nil
	if m.node == nil {
		return
	}
	p, err := m.node.eng.Submit(o.id, bytes.Clone(o.raw))
	switch {
	case elsewhere(err):
		return
	case err != nil:
		w.violate("proposing a %v: %v", o.typ, err)
	}
	o.proposal = p
	w.note("%v %x proposed at %s", o.typ, o.id[:3], m.id)
}

// retry proposes again what is open, though the first proposal may still be under way: that must not matter.
func (f *office) retry(w *world) {
	for _, o := range f.open {
		if w.o.Broken == OneDecision {
			f.sign(w, o)
		}
		f.submit(w, o)
	}
	f.answered(w)
}

// answered hears what was decided.
func (f *office) answered(w *world) {
	f.open = slices.DeleteFunc(f.open, func(o *order) bool {
		if o.proposal == nil {
			return false
		}
		select {
		case <-o.proposal.Done():
		default:
			return false
		}
		if !w.quiet && w.chance(4) {
			return false // the answer got lost: the office asks again
		}
		d, err := o.proposal.Answer()
		if err != nil {
			w.violate("a %v was not decided: %v", o.typ, err)
		}
		w.promise.decided(w, o, d)
		if o.after != nil && d.Outcomes[0].Code == lamppost.CodeOK {
			o.after()
		}
		return true
	})
}
