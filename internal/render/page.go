package render

import (
	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/tariff"
)

// A Page is the view model: all that a statement shows, grouped as its reader knows it, in numbers and not in words. Every
// format is written from it alone, so that no two can differ in a number.
type Page struct {
	Network  string
	Party    Party // whose statement it is
	Invoices []Invoice
	Proof    Proof
}

// A Kind is what a document is.
type Kind uint8

// Kinds. Nothing makes credit notes yet; the formats that tell them apart have their place.
const (
	KindInvoice Kind = iota
	KindCreditNote
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
	Changes       *Changes // nil: the statement has no invoice of the period before
}

// A Place is where something was used, in the reader's words.
type Place struct {
	Name     string
	Devices  []Device
	Subtotal lamppost.Micro
}

// A Device is what measured at a place. Name is empty where it would only repeat the place.
type Device struct {
	Name   string
	Meters []*Meter
	Lines  []Line
}

// A Meter is a register over the part of the period in which one agreement, tariff and meter held.
type Meter struct {
	ID               string // the device's
	Register         string
	Unit             string // that prices are in
	Agreement, Point string
	Tariff           string
	Version          uint32
	Opening, Closing Reading
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
)

// A Line is a line of an invoice.
type Line struct {
	N         uint32
	Kind      LineKind
	Band      string // the seller's name of a price, of [LineBand]
	From, To  lamppost.TimeMS
	Quantity  lamppost.Decimal // in Unit, without zeros at the end
	Unit      string           // "day" of a standing charge
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
