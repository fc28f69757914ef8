package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/tariff"
)

// KindBooks marks the file of a device's books.
const KindBooks = "books/1"

// Books are the profit-and-loss statement of a device over all periods that were closed, with the proof that it is true at its end. All of
// it but the device follows from the proof. Amounts are in major units of the currency, times in UTC; costs are positive.
type Books struct {
	Lamppost   string           `json:"lamppost"`
	Network    string           `json:"network"`
	Device     Named            `json:"device"`
	Owner      Named            `json:"owner"`
	Currency   string           `json:"currency"`
	Terms      []CentreTerms    `json:"terms"`
	Periods    []BookedPeriod   `json:"periods"`
	Notes      []string         `json:"notes,omitempty"`
	Checkpoint SignedCheckpoint `json:"checkpoint"`
	Proof      string           `json:"proof"`

	profits  []*Profit
	evidence *Evidence
}

// CentreTerms are a version of a device's terms as a profit centre.
type CentreTerms struct {
	Version uint32         `json:"version"`
	From    string         `json:"from"`
	Shares  []NamedShare   `json:"shares"`
	Energy  string         `json:"energy,omitempty"` // metering point and tariff
	Costs   []DeclaredCost `json:"costs,omitempty"`
	Limit   string         `json:"limit,omitempty"` // that it may spend, and in which time
}

// A NamedShare is a party's part of the profit.
type NamedShare struct {
	Party Named  `json:"party"`
	Parts uint32 `json:"parts"`
}

// A DeclaredCost is one that no invoice shows.
type DeclaredCost struct {
	Kind   string `json:"kind"`
	Amount string `json:"amount"`
	From   string `json:"from"`
	To     string `json:"to"`
	Text   string `json:"text,omitempty"`
}

// A BookedPeriod is a closed period.
type BookedPeriod struct {
	From         string        `json:"from"`
	To           string        `json:"to"`
	Closed       string        `json:"closed"` // when
	Version      uint32        `json:"version"`
	Income       []BookedBill  `json:"income"`
	Bought       []BookedBill  `json:"bought"`
	Energy       []EnergyLine  `json:"energy"`
	IncomeSum    string        `json:"income_sum"`
	BoughtSum    string        `json:"bought_sum"`
	EnergySum    string        `json:"energy_sum"`
	Service      string        `json:"service"`
	Depreciation string        `json:"depreciation"`
	Profit       string        `json:"profit"`
	Before       string        `json:"before"` // losses of earlier periods
	Paid         []BookedShare `json:"paid"`
	After        string        `json:"after"` // loss that is carried on
}

// A BookedBill is what an invoice came to for the device.
type BookedBill struct {
	Invoice string `json:"invoice"`
	With    string `json:"with"` // the other side
	Net     string `json:"net"`
}

// An EnergyLine is a line of what the device's own energy costs.
type EnergyLine struct {
	Text   string `json:"text"`
	From   string `json:"from"`
	To     string `json:"to"`
	Amount string `json:"amount"`
	// Estimated: not all of its registers were measured.
	Estimated bool `json:"estimated"`
}

// A BookedShare is what a party was paid.
type BookedShare struct {
	Party  string `json:"party"`
	Amount string `json:"amount"`
}

// NewBooks checks a proof and writes the books of a device. The pin may be nil, see [CheckProof].
func NewBooks(p *lamppost.Proof, pin *Pin, device lamppost.DeviceID) (*Books, error) {
	b, err := newBooks(p, pin, device)
	if err == nil {
		b.Proof = writeProof(p)
	}
	return b, err
}

func newBooks(p *lamppost.Proof, pin *Pin, device lamppost.DeviceID) (*Books, error) {
	e, err := checkLines(p, pin)
	if err != nil {
		return nil, err
	}
	b := &Books{Lamppost: KindBooks, Network: e.Network, Device: Named{ID: string(device)}, Checkpoint: e.signed(), Notes: e.notes(), evidence: e}
	if d := latest[lamppost.DeviceBody](e, bodyKey{kind: lamppost.TxDevice, id: string(device)}, maxLogSize); d != nil {
		b.Device.Name, b.Owner = d.Name, e.party(d.Owner, maxLogSize)
	}
	for i := range e.Txs {
		if x := e.Txs[i].Profit; x != nil && x.Device == device {
			b.profits = append(b.profits, x)
			b.Periods = append(b.Periods, e.period(x))
			b.Currency = x.Currency
		}
	}
	if len(b.profits) == 0 {
		return nil, fmt.Errorf("books: the proof closes no period of device %q", device)
	}
	for _, c := range e.centres(device, maxLogSize) {
		b.Terms = append(b.Terms, e.centreTerms(c))
	}
	return b, nil
}

func (e *Evidence) centreTerms(c *lamppost.CentreBody) CentreTerms {
	t := CentreTerms{Version: c.Version, From: stamp(tariff.Zone{}, c.From)}
	for _, s := range c.Shares {
		t.Shares = append(t.Shares, NamedShare{e.party(s.Party, maxLogSize), s.Parts})
	}
	if c.Point != "" {
		t.Energy = fmt.Sprintf("what is used at %s, at the prices of %s", c.Point, c.Tariff)
	}
	for i := range c.Costs {
		x := &c.Costs[i]
		t.Costs = append(t.Costs, DeclaredCost{x.Kind.String(), x.Amount.String(), stamp(tariff.Zone{}, x.From), stamp(tariff.Zone{}, x.To), x.Text})
	}
	if c.Limit > 0 {
		t.Limit = fmt.Sprintf("%s %s in %s", c.Limit, c.Currency, days(c.LimitDays))
	}
	return t
}

func (e *Evidence) period(x *Profit) BookedPeriod {
	at, _ := e.Time(x.Tx.Height) // the log has it, the proof need not
	b := BookedPeriod{From: stamp(tariff.Zone{}, x.From), To: stamp(tariff.Zone{}, x.To), Version: x.Version, Closed: stamp(tariff.Zone{}, at),
		Income: e.bills(x.Income, false), Bought: e.bills(x.Bought, true), Energy: []EnergyLine{}, Paid: []BookedShare{},
		IncomeSum: tariff.Sum(x.Income).String(), BoughtSum: tariff.Sum(x.Bought).String(), EnergySum: x.EnergyCost.String(),
		Service: x.Service.String(), Depreciation: x.Depreciation.String(), Profit: x.Profit.Profit.String(), Before: x.Before.String(), After: x.After.String()}
	for i := range x.Energy {
		s, zone := &x.Energy[i], x.Tariffs[i].Zone
		for j := range s.Lines {
			l := &s.Lines[j]
			b.Energy = append(b.Energy, EnergyLine{lineText(s, l, x.Currency), stamp(zone, s.From), stamp(zone, s.To), l.Amount.String(), l.Estimated})
		}
	}
	for _, p := range x.Paid {
		b.Paid = append(b.Paid, BookedShare{string(p.Party), p.Amount.String()})
	}
	return b
}

func (e *Evidence) bills(all []tariff.Booked, bought bool) []BookedBill {
	bills := []BookedBill{}
	for _, b := range all {
		inv := e.numbers[billNumber{b.Seller, b.Number}].Invoice
		with := inv.Buyer
		if bought {
			with = inv.Seller
		}
		bills = append(bills, BookedBill{b.Number, string(with), b.Net.String()})
	}
	return bills
}

// Encode writes the books' file.
func (b *Books) Encode() []byte { return encode(b, 4) }

// Profits returns the periods as they were computed again.
func (b *Books) Profits() []*Profit { return b.profits }

// place says which period a difference is in.
func (b *Books) place(d difference) error {
	if len(d.path) < 3 || d.path[0] != "periods" {
		return nil
	}
	i, err := strconv.Atoi(d.path[1])
	if err != nil || i >= len(b.Periods) {
		return nil
	}
	p, where := &b.Periods[i], d.path[2]
	if len(d.path) > 3 {
		j, err := strconv.Atoi(d.path[3])
		switch {
		case err != nil:
		case where == "income" && j < len(p.Income):
			where = "income: invoice " + p.Income[j].Invoice
		case where == "bought" && j < len(p.Bought):
			where = "bought: invoice " + p.Bought[j].Invoice
		case where == "energy" && j < len(p.Energy):
			where = "energy: line " + strconv.Itoa(j+1)
		case where == "paid" && j < len(p.Paid):
			where = "paid to " + p.Paid[j].Party
		}
	}
	return fmt.Errorf("books of %s from %s: %s: %s", b.Device.ID, p.From, printable(where), d)
}

func verifyBooks(data, device []byte, p *lamppost.Proof, text string, pin *Pin) (*Finding, error) {
	var named Named
	if err := json.Unmarshal(device, &named); err != nil {
		return nil, errors.New("device: not an id and a name")
	}
	b, err := newBooks(p, pin, lamppost.DeviceID(named.ID))
	if err != nil {
		return nil, err
	}
	b.Proof = text
	if err := compareFile(data, compact(b), "books", b.place); err != nil {
		return nil, err
	}
	return b.finding(), nil
}

func (b *Books) finding() *Finding {
	f := b.evidence.finding(KindBooks)
	f.Books = b
	f.Invoices = len(b.evidence.invoices())
	for i, x := range b.profits {
		p := &b.Periods[i]
		f.Lines += len(p.Income) + len(p.Bought) + len(p.Energy) + len(p.Paid)
		f.add("books of %s from %s to %s: income %s, bought %s, energy %s, service %s, depreciation %s: profit %s %s, of which %s was paid out", b.Device.ID, p.From, p.To, p.IncomeSum, p.BoughtSum,
			p.EnergySum, p.Service, p.Depreciation, p.Profit, b.Currency, x.PaidOut())
		for j := range x.Energy {
			f.Readings += len(x.Energy[j].Edges)
		}
	}
	f.add("%s computed again from signed registers, and %s of %s", plural(f.Invoices, "invoice"), plural(len(b.evidence.Reports), "report"), strings.Join(b.evidence.devices(), ", "))
	b.evidence.addAssurances(f)
	f.Summary = append(f.Summary, b.Notes...)
	f.DoesNotProve = append(f.DoesNotProve,
		"that the books go on: periods may have been closed since",
		"that service and depreciation cost what was declared: only that the network's members recorded it",
		"that money changed hands: what is paid out is a claim",
		"that the log has no later terms or earlier readings: only that the members, who see all of it, agreed on these",
	)
	return f
}
