// Package books knows about what was posted: it goes through the ledger's history and tells every movement of claims with its
// postings, and makes of them a journal for plain text accounting, what is due on each invoice, and what a reported payment pays.
//
// It promises that the postings are those the ledger made: for a journal their sums are compared with the ledger's accounts, and a
// difference is an error. Holds for sessions and channels are no postings and stand nowhere here. It decides and changes nothing; a payment
// that was matched is still to be ordered. It needs the whole history: a copy that began with a snapshot has no books.
//
// Start reading at [Walker.Walk], then [WriteJournal], [Dues] and [Dues.Match].
package books

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/tariff"
)

// A Posting is one side of a movement: an account's claim in a currency grows or shrinks.
type Posting struct {
	Party    lamppost.PartyID
	Currency string
	Amount   lamppost.Micro
	Note     string // what for, of an invoice's
}

// An Entry is an order that moved claims, or what one contract paid on account of it, which follows that. Its postings sum to zero in each
// currency. One of the five is set.
type Entry struct {
	At       ledger.Place
	Time     lamppost.TimeMS
	Postings []Posting

	Invoice  *tariff.Invoice // also one that corrects another
	Transfer *lamppost.TransferBody
	Convert  *lamppost.ConvertBody
	Profit   *tariff.Profit // of a device, paid out
	Run      *ledger.Run
}

// See calls a function with one state of the store, the same or a later one each time.
type See func(func(archive.View) error) error

// A Walker goes through the history once. One goroutine uses it.
type Walker struct {
	after   lamppost.Height
	checked bool                                   // compares the sums with the ledger's accounts after a walk, all of which are read for it
	all     bool                                   // reads every block, whatever the store says of it
	devices map[lamppost.DeviceID]lamppost.PartyID // owners, who never change
	deals   map[string]lamppost.DeviceID           // by session: which device accepted it for itself
	billed  map[[2]string][]Posting                // by seller and number
	sums    map[account]lamppost.Micro
}

type account struct {
	party    lamppost.PartyID
	currency string
}

// NewWalker returns a walker at the beginning.
func NewWalker() *Walker {
	return &Walker{devices: map[lamppost.DeviceID]lamppost.PartyID{}, deals: map[string]lamppost.DeviceID{}, billed: map[[2]string][]Posting{}, sums: map[account]lamppost.Micro{}}
}

// errSums is what a difference to the ledger's accounts means. The walker is of no use then.
var errSums = errors.New("the postings do not come to the ledger's accounts: `lamppost fsck` says whether the history is whole")

// Walk calls fn for each entry since the last walk, in the ledger's order, up to the last block there is. It returns fn's error. After
// an error the walker is of no use.
func (w *Walker) Walk(ctx context.Context, see See, fn func(*Entry) error) (lamppost.Height, error) {
	var last lamppost.Height
	var accounts []ledger.Account
	err := see(func(v archive.View) (err error) {
		if last, _, err = replica.Position(v); err == nil && w.checked {
			accounts, err = ledger.View{Reader: v.Reader}.Accounts()
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	for w.after < last {
		var part *archive.Part
		runs := map[ledger.Place][]ledger.Run{}
		err := see(func(v archive.View) (err error) {
			if part, err = w.next(v); err != nil || part == nil || len(part.Blocks) == 0 {
				return err
			}
			all, err := ledger.View{Reader: v.Reader}.Runs(part.Blocks[0].Height, part.Blocks[len(part.Blocks)-1].Height+1)
			for _, x := range all {
				runs[x.At] = append(runs[x.At], x)
			}
			return err
		})
		if err != nil {
			return 0, err
		}
		if part == nil {
			break // what is left are empty blocks
		}
		if err := w.part(ctx, part, runs, last, fn); err != nil {
			return 0, err
		}
	}
	w.after = max(w.after, last)
	if !w.checked {
		return last, nil
	}
	return last, w.compare(accounts)
}

// next reads the next blocks that may have moved claims, or all where the store does not say which these are; nil after the last.
func (w *Walker) next(v archive.View) (*archive.Part, error) {
	if !w.all {
		if part, indexed, err := v.Moved(w.after); indexed || err != nil {
			return part, err
		}
	}
	return v.Part(w.after)
}

func (w *Walker) part(ctx context.Context, part *archive.Part, runs map[ledger.Place][]ledger.Run, last lamppost.Height, fn func(*Entry) error) error {
	for i := range part.Blocks {
		b := &part.Blocks[i]
		switch {
		case b.Height > last:
			w.after = last
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case w.after == 0 && b.Height != 1:
			return fmt.Errorf("this copy of the history begins with block %d: its books are with a member who has it from the first", b.Height)
		}
		for j := range b.Records {
			at := ledger.Place{Height: b.Height, Index: uint32(j)}
			entries := paid(runs[at])
			e, err := w.entry(&b.Records[j])
			if e != nil {
				entries = append([]*Entry{e}, entries...)
			}
			for i := 0; err == nil && i < len(entries); i++ {
				e := entries[i]
				e.At, e.Time = at, b.Time
				w.add(e)
				err = fn(e)
			}
			if err != nil {
				return fmt.Errorf("transaction %d of block %d: %w", j, b.Height, err)
			}
		}
		w.after = b.Height
	}
	return nil
}

// paid returns what contracts paid.
func paid(runs []ledger.Run) (all []*Entry) {
	for i := range runs {
		x := &runs[i]
		if len(x.Payments) == 0 {
			continue
		}
		e := &Entry{Run: x}
		for _, p := range x.Payments {
			e.Postings = append(e.Postings, Posting{p.From, x.Currency, -p.Amount, ""}, Posting{p.To, x.Currency, p.Amount, ""})
		}
		all = append(all, e)
	}
	return all
}

func (w *Walker) add(e *Entry) {
	for _, p := range e.Postings {
		w.sums[account{p.Party, p.Currency}] += p.Amount
	}
}

// compare holds the sums against the ledger's accounts, of which those that were never posted to hold nothing.
func (w *Walker) compare(accounts []ledger.Account) error {
	left := maps.Clone(w.sums)
	for _, a := range accounts {
		at := account{a.Party, a.Currency}
		if left[at] != a.Balance {
			return fmt.Errorf("%q has %s %s in the ledger, and %s by its postings: %w", a.Party, a.Balance, a.Currency, left[at], errSums)
		}
		delete(left, at)
	}
	for at, sum := range left {
		if sum != 0 {
			return fmt.Errorf("%q has no account in %s, and %s by its postings: %w", at.party, at.currency, sum, errSums)
		}
	}
	return nil
}

// entry reads a transaction, nil where it moved nothing.
func (w *Walker) entry(rec *archive.Record) (*Entry, error) {
	if !rec.Whole() || len(rec.Outcomes) == 0 || rec.Outcomes[0].Code != lamppost.CodeOK || len(rec.Outcomes) > 1 && len(rec.Outcomes[0].Data) == 0 {
		return nil, nil // a segment of several reports is told by its outcomes alone, one of a single report by its type
	}
	tx := lamppost.ReadTransaction(rec.Raw)
	switch tx.Type { // all of these are in [replica.Moves]
	case lamppost.TxDevice:
		var b lamppost.DeviceBody
		err := lamppost.Unmarshal(tx.Order.Body, &b)
		w.devices[b.ID] = b.Owner
		return nil, err
	case lamppost.TxAccept:
		var b lamppost.AcceptBody
		err := lamppost.Unmarshal(tx.Order.Body, &b)
		w.deals[b.Session.ID] = b.Device
		return nil, err
	case lamppost.TxPayout:
		p := new(tariff.Profit)
		if err := lamppost.Unmarshal(rec.Outcomes[0].Data, p); err != nil || len(p.Paid) == 0 {
			return nil, err
		}
		e := &Entry{Profit: p, Postings: []Posting{{lamppost.PartyID(p.Device), p.Currency, -p.PaidOut(), ""}}}
		for _, x := range p.Paid {
			e.Postings = append(e.Postings, Posting{x.Party, p.Currency, x.Amount, "share"})
		}
		return e, nil
	case lamppost.TxInvoice, lamppost.TxCorrect:
		inv := new(tariff.Invoice)
		if err := lamppost.Unmarshal(rec.Outcomes[0].Data, inv); err != nil {
			return nil, err
		}
		return w.invoice(inv)
	case lamppost.TxTransfer:
		b := new(lamppost.TransferBody)
		if err := lamppost.Unmarshal(tx.Order.Body, b); err != nil {
			return nil, err
		}
		return &Entry{Transfer: b, Postings: []Posting{{b.From, b.Currency, -b.Amount, ""}, {b.To, b.Currency, b.Amount, ""}}}, nil
	case lamppost.TxConvert:
		b := new(lamppost.ConvertBody)
		if err := lamppost.Unmarshal(tx.Order.Body, b); err != nil {
			return nil, err
		}
		into, _ := tariff.Convert(b.Amount, b.Rate, b.To)
		return &Entry{Convert: b, Postings: []Posting{{b.Party, b.From, -b.Amount, ""}, {b.With, b.From, b.Amount, ""},
			{b.With, b.To, -into, ""}, {b.Party, b.To, into, ""}}}, nil
	}
	return nil, nil
}

// invoice takes back what the corrected invoice booked, and books this one.
func (w *Walker) invoice(inv *tariff.Invoice) (*Entry, error) {
	e := &Entry{Invoice: inv, Postings: w.booked(inv)}
	w.billed[[2]string{string(inv.Seller), inv.Number}] = e.Postings
	if inv.Corrects == nil {
		return e, nil
	}
	key := [2]string{string(inv.Seller), inv.Corrects.Number}
	before, ok := w.billed[key]
	if !ok {
		return nil, fmt.Errorf("invoice %q corrects %q, which is not there", inv.Number, inv.Corrects.Number)
	}
	delete(w.billed, key) // an invoice is corrected once
	e.Postings = slices.Clone(e.Postings)
	for _, p := range before {
		p.Amount, p.Note = -p.Amount, p.Note+" on "+inv.Corrects.Number
		e.Postings = append(e.Postings, p)
	}
	return e, nil
}

// booked is what an invoice comes to on each account, as the ledger books it: a device is a profit centre, and what a supply earns
// or costs goes to its account where the device belongs to that side; what a device bought from another, to the one that accepted. Taxes are
// between the parties.
func (w *Walker) booked(inv *tariff.Invoice) (all []Posting) {
	for i := range inv.Supplies {
		s := &inv.Supplies[i]
		var net lamppost.Micro
		for j := range s.Lines {
			net += s.Lines[j].Amount // tariff.Bill summed them up without overflow
		}
		note, buyer := "agreement "+s.Agreement, w.centre(inv.Buyer, s.Device)
		if what, once := s.Once(); once {
			note = what
			if by, ok := w.deals[s.Session]; ok {
				buyer = lamppost.PartyID(by)
			}
		}
		all = append(all, Posting{buyer, inv.Currency, -net, note}, Posting{w.centre(inv.Seller, s.Device), inv.Currency, net, note})
	}
	tax := inv.Total - inv.Net
	return append(all, Posting{inv.Buyer, inv.Currency, -tax, "tax"}, Posting{inv.Seller, inv.Currency, tax, "tax"})
}

func (w *Walker) centre(p lamppost.PartyID, d lamppost.DeviceID) lamppost.PartyID {
	if w.devices[d] == p {
		return lamppost.PartyID(d)
	}
	return p
}
