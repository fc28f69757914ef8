package books

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/ledger"
)

// A Due is what is to be paid on an invoice and all that corrected it: below zero, what is to be paid back.
type Due struct {
	Invoice  string           `json:"invoice"` // the latest number
	Numbers  []string         `json:"numbers"` // all of them, the first invoice's first
	Seller   lamppost.PartyID `json:"seller"`
	Buyer    lamppost.PartyID `json:"buyer"`
	Currency string           `json:"currency"`
	Issued   lamppost.TimeMS  `json:"issued_ms"` // of the latest
	Claimed  lamppost.Micro   `json:"claimed"`   // by all of them: the latest total
	Paid     lamppost.Micro   `json:"paid"`      // by transfers to the buyer's account, less those from it
	Due      lamppost.Micro   `json:"due"`

	// Tariff and Version are those on whose clock its days are: the first supply's, as on the invoice.
	Tariff  string `json:"-"`
	Version uint32 `json:"-"`
}

// Dues are what is due on all invoices, as of a height. They are brought up to date by [Dues.Update]; one goroutine uses them.
type Dues struct {
	Height   lamppost.Height
	walker   *Walker
	byNumber map[string][]*Due // two sellers with long ids may share a number
	all      []*Due
	booked   map[string]ledger.Place // by reference
}

// NewDues returns dues that know nothing yet.
func NewDues() *Dues {
	return &Dues{walker: NewWalker(), byNumber: map[string][]*Due{}, booked: map[string]ledger.Place{}}
}

// Update reads what was committed since the last time. After an error the dues are of no use. The first time it goes by the store's index of
// blocks, and by all blocks where the accounts say that the index is not whole.
func (d *Dues) Update(ctx context.Context, see See) error {
	first := d.walker.after == 0 && !d.walker.all
	d.walker.checked = first
	err := d.read(ctx, see)
	if first && errors.Is(err, errSums) {
		*d = *NewDues()
		d.walker.all = true
		err = d.read(ctx, see)
	}
	return err
}

func (d *Dues) read(ctx context.Context, see See) (err error) {
	d.Height, err = d.walker.Walk(ctx, see, func(e *Entry) error {
		if e.Invoice != nil {
			d.invoice(e)
		} else if e.Transfer != nil {
			d.transfer(e)
		}
		return nil
	})
	return err
}

func (d *Dues) invoice(e *Entry) {
	inv := e.Invoice
	x := &Due{Seller: inv.Seller, Buyer: inv.Buyer, Currency: inv.Currency}
	if inv.Corrects != nil {
		x = d.Find(inv.Corrects.Number, inv.Seller)
	} else {
		d.all = append(d.all, x)
	}
	x.Invoice, x.Issued = inv.Number, inv.Issued
	if len(inv.Supplies) > 0 {
		x.Tariff, x.Version = inv.Supplies[0].Tariff, inv.Supplies[0].Version
	}
	x.Numbers = append(x.Numbers, inv.Number)
	x.Claimed += inv.Due()
	x.Due = x.Claimed - x.Paid
	d.byNumber[inv.Number] = append(d.byNumber[inv.Number], x)
}

// transfer counts a payment where its memo begins with an invoice's number and the buyer has part in it.
func (d *Dues) transfer(e *Entry) {
	t := e.Transfer
	number, ref := parseMemo(t.Memo)
	if ref != "" {
		d.booked[ref] = e.At
	}
	for _, x := range d.byNumber[number] {
		if x.Currency != t.Currency {
			continue
		}
		switch x.Buyer {
		case t.To:
			x.Paid += t.Amount
		case t.From:
			x.Paid -= t.Amount
		}
		x.Due = x.Claimed - x.Paid
	}
}

// Try counts a match as if it was booked, until undo is called: so that a dry run sees what came before.
func (d *Dues) Try(m *Match) (undo func()) {
	d.transfer(&Entry{At: ledger.Place{Height: d.Height}, Transfer: &m.Transfer})
	return func() {
		back := m.Transfer
		back.From, back.To = back.To, back.From
		d.transfer(&Entry{Transfer: &back})
		_, ref := parseMemo(m.Transfer.Memo)
		delete(d.booked, ref)
	}
}

// Find returns what is due on the invoice of a number, or on what corrected it, nil where there is none. No seller is any.
func (d *Dues) Find(number string, seller lamppost.PartyID) *Due {
	for _, x := range d.byNumber[number] {
		if seller == "" || x.Seller == seller {
			return x
		}
	}
	return nil
}

// List returns what is due between two parties, by seller, buyer and number; no party is any. Without settled, only what is not
// nothing.
func (d *Dues) List(seller, buyer lamppost.PartyID, settled bool) []Due {
	list := []Due{}
	for _, x := range d.all {
		if (seller == "" || x.Seller == seller) && (buyer == "" || x.Buyer == buyer) && (settled || x.Due != 0) {
			list = append(list, *x)
		}
	}
	slices.SortFunc(list, func(a, b Due) int {
		return cmp.Or(cmp.Compare(a.Seller, b.Seller), cmp.Compare(a.Buyer, b.Buyer), cmp.Compare(a.Invoice, b.Invoice))
	})
	return list
}

// Booked says where the payment of a reference was booked.
func (d *Dues) Booked(reference string) (ledger.Place, bool) {
	at, ok := d.booked[shortReference(reference)]
	return at, ok
}

const refPrefix = " ref:"

// memo is what a payment's transfer says: the invoice, and the reference by which it is known again.
func memo(number, reference string) string { return number + refPrefix + shortReference(reference) }

func parseMemo(memo string) (number, ref string) {
	number, rest, _ := strings.Cut(memo, " ")
	if r, ok := strings.CutPrefix(" "+rest, refPrefix); ok {
		ref = r
	}
	return number, ref
}

// shortReference is the reference itself, or its hash where it does not fit a memo.
func shortReference(ref string) string {
	const longest = 120
	if len(ref) <= longest && !strings.ContainsFunc(ref, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return ref
	}
	sum := sha256.Sum256([]byte(ref))
	return "sha256-" + hex.EncodeToString(sum[:])
}
