package render

import (
	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/outlook"
	"github.com/lamppost/lamppost/tariff"
)

// A Page is the view model: all that a statement shows, grouped as its reader knows it, in numbers and not in words. Every
// format is written from it alone, so that no two can differ in a number.
type Page struct {
	Network  string
	Party    Party // whose statement it is
	Invoices []Invoice
	Paid     *Paid            // by contracts; nil: nothing, or the page is one invoice of several
	Outlook  *outlook.Outlook // of the reader; nothing proves it. nil: nobody estimated
	Proof    Proof
}

// A Kind is what a document is.
type Kind uint8

// Kinds.
const (
	KindInvoice    Kind = iota
	KindCreditNote      // it replaces an invoice that came to more
)

// A Party is a seller or buyer: who the log says it is, and what only the operator knows.
type Party struct {
	ID   string
	Name string // in the log; the id where it has none
	PartyDetails
}

// An Invoice is a document of the statement.
type Invoice struct {
	Kind          Kind
	Number        string
	Seller, Buyer Party
	Currency      string
	Zone          tariff.Zone // whose clock all times are on
	From, To      lamppost.TimeMS
	Issued        lamppost.TimeMS
	Places        []Place
	Net           lamppost.Micro
	Taxes         []tariff.TaxSum
	Total         lamppost.Micro
	Exempt        []Exemption
	Corrects      *Corrected // nil: it replaces no other
	Changes       *Changes   // nil: the statement has no invoice of the period before
}

// An Exemption is why a buyer pays no tax of a category, in the words of the agreement.
type Exemption struct{ Category, Reason string }

// Corrected is the invoice that another one replaces, and what it came to.
type Corrected struct {
	Number string
	Issued lamppost.TimeMS // 0: the statement does not have it
	Cause  lamppost.Cause
	Net    lamppost.Micro
	Taxes  []tariff.TaxSum
	Total  lamppost.Micro
}

// Due is what the document claims: its total, less that of the one it replaces. Negative: it is credited.
func (v *Invoice) Due() lamppost.Micro {
	if v.Corrects == nil {
		return v.Total
	}
	return v.Total - v.Corrects.Total
}

// takenBack are lines that take back what was billed before, one for each tax, numbered after the others: with them the lines sum up to
// what is claimed.
func (v *Invoice) takenBack() (lines []Line) {
	if v.Corrects == nil {
		return nil
	}
	n := uint32(0)
	v.each(func(_ *Place, _ *Device, l *Line) { n = max(n, l.N) })
	for i, x := range v.Corrects.Taxes {
		lines = append(lines, Line{N: n + uint32(i) + 1, Kind: LineReplaced, From: v.From, To: v.To, Quantity: lamppost.Dec(1, 0), Price: -x.Base, Amount: -x.Base,
			Tax: tariff.Tax{Category: x.Category, BasisPoints: x.BasisPoints}, Meter: &Meter{}})
	}
	return lines
}

// A Place is where something was used, in the reader's words.
type Place struct {
	Name     string
	Devices  []Device
	Subtotal lamppost.Micro
}

// A Device is what measured at a place, or what one session there used. Name is empty where it would only repeat the place.
type Device struct {
	Name    string
	Session *Session
	Meters  []*Meter
	Lines   []Line
}

// A Session is one use of a device.
type Session struct {
	ID       string
	From, To lamppost.TimeMS
}

// A Meter is a register over the part of the period in which one agreement, tariff and meter held.
type Meter struct {
	ID               string // the device's
	Register         string
	Unit             string // that prices are in
	Agreement, Point string
	Session, Channel string // in place of an agreement
	Tariff           string
	Version          uint32
	Opening, Closing Reading
	Assurances       []string // how its readings are vouched for, in the words of statements; empty: nobody said
	Judged           bool     // triage had judged all of its readings
	Findings         []tariff.Finding
}

// A Reading is a register at an instant, in the unit that prices are in.
type Reading struct {
	At        lamppost.TimeMS
	Value     lamppost.Decimal
	Estimated bool // or substituted
}

// A LineKind is how a line's amount comes about.
type LineKind uint8

// Kinds of lines.
const (
	LineBand     LineKind = iota // a quantity at one price
	LineSeries                   // a quantity at prices that change from interval to interval
	LineStanding                 // days at a price
	LineDay                      // days at the price of a levy, which Band names
	LineCapacity                 // the highest quarter hour at a price per day
	LineStart                    // of a session, once
	LineTime                     // minutes of a session
	LineIdle                     // minutes of a session without use
	LineMinimum                  // what is lacking to the least that something costs, which is Price
	LineMaximum                  // what is over the most that it costs, likewise
	LineVouchers                 // what was promised on a channel
	LineReplaced                 // what was billed before under a tax; it stands only where sums must be of lines
)

// byUse says whether a register's difference is the line's quantity.
func (k LineKind) byUse() bool { return k == LineBand || k == LineSeries }

// once says whether the line has no quantity.
func (k LineKind) once() bool {
	return k == LineStart || k == LineMinimum || k == LineMaximum || k == LineVouchers || k == LineReplaced
}

// A Line is a line of an invoice.
type Line struct {
	N         uint32
	Kind      LineKind
	Band      string // the seller's name of a price, of [LineBand] and [LineDay]
	Block     uint32 // of a price in blocks, from 1
	From, To  lamppost.TimeMS
	Quantity  lamppost.Decimal // in Unit, without zeros at the end
	Unit      string           // "day" or "min" of charges by time; of a peak that of what an hour like it has; empty: it is once
	Days      uint32           // of a peak
	Price     lamppost.Micro   // per Unit; not of a series
	Amount    lamppost.Micro
	Tax       tariff.Tax
	Estimated bool
	Meter     *Meter
}

// Changes compares an invoice with the one before of the same agreements.
type Changes struct {
	Before   string // its number
	From, To lamppost.TimeMS
	Rows     []Change
	Net      lamppost.Micro // of the invoice before
}

// A Change is what became of a price band at a place. A side without a quantity was not billed there.
type Change struct {
	Place, Band       string
	Block             uint32
	Kind              LineKind
	Unit              string
	Before, Now, More Use // More is Now less Before; negative: less
}

// A Use is a quantity with what it cost.
type Use struct {
	Quantity lamppost.Decimal
	Amount   lamppost.Micro
}

// A Proof says how to check a statement and what it hangs on. Identifiers that no reader knows stand only here.
type Proof struct {
	Size      int64
	Root      string
	Signers   []string
	Witnesses []Witness
	Pinned    bool     // it was held against a pin
	Notes     []string // of the statement, in English: who put in the devices' keys
}

// A Witness cosigned the checkpoint.
type Witness struct{ Name, Log, Time string }
