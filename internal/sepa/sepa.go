// Package sepa knows the files that banks take and give in the Single Euro Payments Area: it writes direct debits (ISO 20022
// pain.008.001.08) and credit transfers (pain.001.001.09), and reads statements (camt.053.001.08).
//
// It promises that what is written keeps to the rules below, which are our own reading of the EPC's rulebooks (EPC130-08, EPC132-08:
// core direct debits and credit transfers, customer to bank) and of the message definitions: characters, lengths, amounts, check
// digits, control sums, order of elements; and that reading a statement takes little memory however long it is. It knows no
// ledger: whom to ask for how much, and what came for what, is decided elsewhere.
//
// Start reading at [Message.Debits], [Check] and [Read]. All functions may be called concurrently. Limits are in limits.go.
package sepa

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"slices"
	"time"

	"github.com/lamppost/lamppost"
)

// A Party is one side of a payment. Street and the like may be empty.
type Party struct {
	Name, IBAN, BIC                 string
	Street, Postcode, City, Country string
}

// A Payment is one to collect, or to make.
type Payment struct {
	EndToEnd string // by which both sides know it: the invoice's number
	Amount   lamppost.Micro
	Date     string // when, as 2026-11-30
	Party    Party  // the other side
	Text     string

	// Of a direct debit.
	Mandate  string
	Signed   string // when the mandate was, as 2026-01-02
	Sequence string // FRST, RCUR, OOFF or FNAL
}

// A Message is what goes to the bank in one file: payments of one party, each of which passes [Check].
type Message struct {
	Created    time.Time
	Self       Party
	CreditorID string // of a direct debit
	Payments   []Payment
}

// ID is the message's id: the same payments have the same, so that a bank that looks for doubles finds them.
func (m *Message) ID() string {
	sum := sha256.New()
	fmt.Fprintf(sum, "%q %q", m.Self, m.CreditorID)
	for i := range m.Payments {
		fmt.Fprintf(sum, "%q %d", m.Payments[i], m.Payments[i].Amount)
	}
	return "LP-" + hex.EncodeToString(sum.Sum(nil))[:24]
}

// Sum is the control sum.
func (m *Message) Sum() (sum lamppost.Micro) {
	for i := range m.Payments {
		sum += m.Payments[i].Amount // each is below a billion, and there are few enough of them
	}
	return sum
}

// Debits writes pain.008.001.08.
func (m *Message) Debits() ([]byte, error) {
	if err := m.check(true); err != nil {
		return nil, err
	}
	type document struct {
		XMLName xml.Name `xml:"urn:iso:std:iso:20022:tech:xsd:pain.008.001.08 Document"`
		Header  header   `xml:"CstmrDrctDbtInitn>GrpHdr"`
		Groups  []debits `xml:"CstmrDrctDbtInitn>PmtInf"`
	}
	doc := document{Header: m.header()}
	for i, g := range m.groups() {
		d := debits{ID: fmt.Sprintf("%s-%d", m.ID(), i+1), Method: "DD", N: len(g), Sum: sumOf(g), Service: "SEPA", Instrument: "CORE", Sequence: g[0].Sequence,
			Date: g[0].Date, Creditor: name(m.Self), Account: m.Self.IBAN, Agent: agentOf(m.Self), Charges: "SLEV", CreditorID: m.CreditorID, Scheme: "SEPA"}
		for _, p := range g {
			d.Payments = append(d.Payments, debit{EndToEnd: p.EndToEnd, Amount: amountOf(p.Amount), Mandate: p.Mandate, Signed: p.Signed,
				Agent: agentOf(p.Party), Debtor: full(p.Party), Account: p.Party.IBAN, Text: p.Text})
		}
		doc.Groups = append(doc.Groups, d)
	}
	return encode(doc)
}

// Credits writes pain.001.001.09.
func (m *Message) Credits() ([]byte, error) {
	if err := m.check(false); err != nil {
		return nil, err
	}
	type document struct {
		XMLName xml.Name  `xml:"urn:iso:std:iso:20022:tech:xsd:pain.001.001.09 Document"`
		Header  header    `xml:"CstmrCdtTrfInitn>GrpHdr"`
		Groups  []credits `xml:"CstmrCdtTrfInitn>PmtInf"`
	}
	doc := document{Header: m.header()}
	for i, g := range m.groups() {
		c := credits{ID: fmt.Sprintf("%s-%d", m.ID(), i+1), Method: "TRF", N: len(g), Sum: sumOf(g), Service: "SEPA", Date: g[0].Date,
			Debtor: name(m.Self), Account: m.Self.IBAN, Agent: agentOf(m.Self), Charges: "SLEV"}
		for _, p := range g {
			x := credit{EndToEnd: p.EndToEnd, Amount: amountOf(p.Amount), Creditor: full(p.Party), Account: p.Party.IBAN, Text: p.Text}
			if p.Party.BIC != "" {
				x.Agent = &agent{BIC: p.Party.BIC}
			}
			c.Payments = append(c.Payments, x)
		}
		doc.Groups = append(doc.Groups, c)
	}
	return encode(doc)
}

func (m *Message) header() header {
	return header{ID: m.ID(), Created: m.Created.UTC().Format("2006-01-02T15:04:05Z"), N: len(m.Payments), Sum: euros(m.Sum()), Initiator: name(m.Self).Name}
}

// groups puts together what has one date and sequence type, as the format wants it.
func (m *Message) groups() (all [][]Payment) {
	at := map[[2]string]int{}
	for _, p := range m.Payments {
		key := [2]string{p.Date, p.Sequence}
		i, ok := at[key]
		if !ok {
			i, all = len(all), append(all, nil)
			at[key] = i
		}
		all[i] = append(all[i], p)
	}
	slices.SortStableFunc(all, func(a, b []Payment) int { return compareStrings(a[0].Date+a[0].Sequence, b[0].Date+b[0].Sequence) })
	return all
}

func compareStrings(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func sumOf(g []Payment) string {
	m := Message{Payments: g}
	return euros(m.Sum())
}

// euros writes an amount with two digits; Check has refused more.
func euros(m lamppost.Micro) string { return fmt.Sprintf("%d.%02d", m/1_000_000, m%1_000_000/10_000) }

// encode writes a document.
func encode(doc any) ([]byte, error) {
	text, err := xml.MarshalIndent(doc, "", " ")
	if err != nil {
		return nil, err
	}
	return append([]byte(xml.Header), append(text, '\n')...), nil
}
