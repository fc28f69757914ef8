package tariff

import (
	"cmp"
	"fmt"
	"math/big"
	"slices"

	"github.com/lamppost/lamppost"
)

// An InvoiceOrder is what an invoice is made from besides the supplies: who, when, and the number the ledger gave it.
type InvoiceOrder struct {
	Number string // 1 to 40 bytes of UTF-8 without control characters
	lamppost.InvoiceBody
	IssuedMS lamppost.TimeMS // the block's time
	Corrects *Correction     // nil: it is the first for its period
}

// A Correction says what an invoice replaces, and what that came to.
type Correction struct {
	Number string         `cbor:"1,keyasint" json:"number"`
	Cause  lamppost.Cause `cbor:"2,keyasint" json:"cause"`
	Net    lamppost.Micro `cbor:"3,keyasint" json:"net"`
	Tax    []TaxSum       `cbor:"4,keyasint" json:"tax"`
	Total  lamppost.Micro `cbor:"5,keyasint" json:"total"`
}

// A Supply is what one register delivered under one agreement and one version of its tariff. An agreement whose tariff
// or meter changed in the period has several, one after the other.
type Supply struct {
	Agreement lamppost.AgreementBody
	Device    lamppost.DeviceID
	Register  string // the reading's name
	Unit      string // the register's unit, as the tariff counts it
	Place     string
	Tariff    Tariff
	Edges     []Edge // at the times of [Tariff.Edges], see [FillEdges]
	Mount     uint32 // which meter of the point
	RollsAt   *lamppost.Decimal
	Session   *lamppost.SessionBody // what it was used for, in place of an agreement
	Channel   *lamppost.ChannelBody // what was promised on it, in place of a register
	Voucher   []byte                // the last one; its signature is the caller's to check
	Judged    bool                  // triage had judged all of the registers
	Findings  []Finding             // see [Findings]
}

// id sorts supplies: by agreement, session or channel.
func (s *Supply) id() string {
	switch {
	case s.Session != nil:
		return s.Session.ID
	case s.Channel != nil:
		return s.Channel.ID + "\x00" // an agreement may have the same id
	}
	return s.Agreement.ID
}

// priceInTurn prices a session, a channel, or supplies of one agreement and version of its tariff, of which each goes on where the one before stopped.
func priceInTurn(run []*Supply) ([][]Line, error) {
	s := run[0]
	switch {
	case s.Session != nil:
		lines, err := PriceSession(&s.Tariff, s.Edges, s.Session.Limit)
		return [][]Line{lines}, err
	case s.Channel != nil:
		lines, err := PriceVoucher(&s.Tariff, s.Channel, s.Voucher)
		return [][]Line{lines}, err
	}
	meters := make([][]Edge, len(run))
	for i := range run {
		meters[i] = run[i].Edges
	}
	return PriceInTurn(&s.Tariff, meters)
}

// sameTerms reports whether a supply only has another meter than the one before it.
func (s *Supply) sameTerms(before *Supply) bool {
	return s.Session == nil && before.Session == nil && s.Channel == nil && before.Channel == nil && s.id() == before.id() && s.Tariff.Version == before.Tariff.Version
}

// tax is the tariff's, or the agreement's exception.
func (s *Supply) tax() Tax {
	if c := s.Agreement.TaxCategory; c != "" {
		return Tax{Category: c}
	}
	return s.Tariff.Tax
}

// Period returns the part of the order's period in which an agreement holds; it is empty where from ≥ to.
func (o *InvoiceOrder) Period(a *lamppost.AgreementBody) (from, to lamppost.TimeMS) {
	return clamp(o.From, o.To, a.From, a.To)
}

// An Invoice is one seller's claim on one buyer for one period in one currency, with all that is needed to recompute it
// but the signatures. It is never edited.
type Invoice struct {
	Number   string           `cbor:"1,keyasint" json:"number"`
	Seller   lamppost.PartyID `cbor:"2,keyasint" json:"seller"`
	Buyer    lamppost.PartyID `cbor:"3,keyasint" json:"buyer"`
	Currency string           `cbor:"4,keyasint" json:"currency"`
	From     lamppost.TimeMS  `cbor:"5,keyasint" json:"from_ms"`
	To       lamppost.TimeMS  `cbor:"6,keyasint" json:"to_ms"`
	Issued   lamppost.TimeMS  `cbor:"7,keyasint" json:"issued_ms"`
	Supplies []InvoiceSupply  `cbor:"8,keyasint" json:"supplies"` // by agreement, then time
	Net      lamppost.Micro   `cbor:"9,keyasint" json:"net"`      // the sum of the lines
	Tax      []TaxSum         `cbor:"10,keyasint" json:"tax"`     // by category, then rate
	Total    lamppost.Micro   `cbor:"11,keyasint" json:"total"`   // net and taxes
	Corrects *Correction      `cbor:"12,keyasint,omitempty" json:"corrects,omitempty"`
}

// Due is what the invoice claims: its total, less that of the one it replaces.
func (inv *Invoice) Due() lamppost.Micro {
	if inv.Corrects == nil {
		return inv.Total
	}
	return inv.Total - inv.Corrects.Total
}

// An InvoiceSupply is a supply as it stands on an invoice.
type InvoiceSupply struct {
	Agreement string            `cbor:"1,keyasint" json:"agreement"`
	Point     string            `cbor:"2,keyasint" json:"point"`
	Place     string            `cbor:"3,keyasint,omitempty" json:"place,omitempty"`
	Device    lamppost.DeviceID `cbor:"4,keyasint" json:"device"`
	Register  string            `cbor:"5,keyasint" json:"register"`
	Unit      string            `cbor:"6,keyasint" json:"unit"`
	PerUnit   string            `cbor:"7,keyasint" json:"per_unit"`
	Scale     uint8             `cbor:"8,keyasint" json:"scale"`
	Tariff    string            `cbor:"9,keyasint" json:"tariff"`
	Version   uint32            `cbor:"10,keyasint" json:"version"` // of the tariff
	Tax       Tax               `cbor:"11,keyasint" json:"tax"`
	From      lamppost.TimeMS   `cbor:"12,keyasint" json:"from_ms"`
	To        lamppost.TimeMS   `cbor:"13,keyasint" json:"to_ms"`
	Edges     []Edge            `cbor:"14,keyasint" json:"edges"`
	Lines     []Line            `cbor:"15,keyasint" json:"lines"`
	Mount     uint32            `cbor:"16,keyasint,omitempty" json:"mount,omitempty"`      // which meter of the point
	TaxReason string            `cbor:"17,keyasint,omitempty" json:"tax_reason,omitempty"` // why its tax is not the tariff's
	Session   string            `cbor:"18,keyasint,omitempty" json:"session,omitempty"`    // in place of an agreement
	Channel   string            `cbor:"19,keyasint,omitempty" json:"channel,omitempty"`    // likewise
	Voucher   []byte            `cbor:"20,keyasint,omitempty" json:"voucher,omitempty"`    // the channel's last, which the line is made of
	Judged    bool              `cbor:"21,keyasint,omitempty" json:"judged,omitempty"`     // triage had judged all of its registers
	Findings  []Finding         `cbor:"22,keyasint,omitempty" json:"findings,omitempty"`   // what it found of them that held up the bill, by id
}

// Once reports whether the supply is billed once and then done with, and names it: a session or a channel.
func (s *InvoiceSupply) Once() (what string, ok bool) {
	switch {
	case s.Session != "":
		return "session " + s.Session, true
	case s.Channel != "":
		return "channel " + s.Channel, true
	}
	return "", false
}

// WithoutEdges returns an encoded invoice without its supplies' edges, as it stands in a proof: they follow from the
// agreements, the tariffs and the reports there.
func WithoutEdges(invoice []byte) ([]byte, error) {
	var inv Invoice
	if err := lamppost.Unmarshal(invoice, &inv); err != nil {
		return nil, err
	}
	for i := range inv.Supplies {
		inv.Supplies[i].Edges = nil
	}
	return lamppost.Marshal(inv), nil
}

// A TaxSum is the tax on all lines of one category and rate, rounded once.
type TaxSum struct {
	Category    string         `cbor:"1,keyasint" json:"category"`
	BasisPoints uint16         `cbor:"2,keyasint" json:"basis_points"`
	Base        lamppost.Micro `cbor:"3,keyasint" json:"base"`
	Amount      lamppost.Micro `cbor:"4,keyasint" json:"amount"`
}

// Bill makes the invoice of an order. The order of the supplies does not matter. All must be between the order's parties
// and in its currency; those of one agreement must follow each other without gap or overlap over
// [InvoiceOrder.Period], the closing register of one being the opening register of the next, unless the meter changed.
// The invoice shares the edges' memory with the supplies.
func Bill(order InvoiceOrder, supplies []Supply) (Invoice, error) {
	inv, err := bill(&order, supplies)
	if err != nil {
		return Invoice{}, fmt.Errorf("billing invoice %q: %v", clip(order.Number), err)
	}
	return inv, nil
}

func bill(order *InvoiceOrder, supplies []Supply) (Invoice, error) {
	if err := order.check(len(supplies)); err != nil {
		return Invoice{}, err
	}
	inv := Invoice{
		Number: order.Number, Seller: order.Seller, Buyer: order.Buyer, Currency: order.Currency,
		From: order.From, To: order.To, Issued: order.IssuedMS, Corrects: order.Corrects,
	}
	sorted, err := inOrder(supplies)
	if err != nil {
		return Invoice{}, err
	}
	for i, j := 0, 0; i < len(sorted); i = j {
		for j = i; j == i || j < len(sorted) && sorted[j].sameTerms(sorted[i]); j++ {
			if err := checkSupply(order, sorted, j); err != nil {
				return Invoice{}, fmt.Errorf("%s: %v", sorted[j].what(), err)
			}
		}
		lines, err := priceInTurn(sorted[i:j])
		if err != nil {
			return Invoice{}, fmt.Errorf("%s: %v", sorted[i].what(), err)
		}
		for k, s := range sorted[i:j] {
			inv.add(s, lines[k])
		}
	}
	return inv, inv.sum(roundings(sorted))
}

// roundings says how each tax is rounded: as all tariffs under it round their lines, or half up where they differ.
func roundings(supplies []*Supply) map[Tax]string {
	rules := map[Tax]string{}
	for _, s := range supplies {
		if rule, known := rules[s.tax()]; known && rule != s.Tariff.Rounding {
			rules[s.tax()] = RoundHalfUp
		} else {
			rules[s.tax()] = s.Tariff.Rounding
		}
	}
	return rules
}

func (o *InvoiceOrder) check(supplies int) error {
	if err := checkText("number", o.Number, MaxNumberBytes); err != nil {
		return err
	}
	if supplies == 0 && o.Corrects == nil || supplies > MaxSupplies {
		return fmt.Errorf("%d supplies, not 1 to %d", supplies, MaxSupplies)
	}
	return checkPeriod(o.From, o.To)
}

// inOrder sorts by agreement, then by the first reading, which every supply but a channel must have.
func inOrder(supplies []Supply) ([]*Supply, error) {
	sorted := make([]*Supply, len(supplies))
	for i := range supplies {
		sorted[i] = &supplies[i]
		if len(supplies[i].Edges) == 0 && supplies[i].Channel == nil {
			return nil, fmt.Errorf("%s: no register readings", supplies[i].what())
		}
	}
	slices.SortStableFunc(sorted, func(a, b *Supply) int {
		return cmp.Or(cmp.Compare(a.id(), b.id()), cmp.Compare(a.from(), b.from()))
	})
	return sorted, nil
}

// what names a supply in messages.
func (s *Supply) what() string {
	if s.Session != nil {
		return fmt.Sprintf("session %q", clip(s.Session.ID))
	}
	if s.Channel != nil {
		return fmt.Sprintf("channel %q", clip(s.Channel.ID))
	}
	return fmt.Sprintf("agreement %q", clip(s.Agreement.ID))
}

// from and to need edges, unless it is a channel.
func (s *Supply) from() lamppost.TimeMS {
	if s.Channel != nil {
		return s.Channel.From
	}
	return s.Edges[0].Time
}

func (s *Supply) to() lamppost.TimeMS {
	if s.Channel != nil {
		return s.Channel.Until
	}
	return s.Edges[len(s.Edges)-1].Time
}

// checkSupply refuses a supply that does not belong on the invoice or does not adjoin its neighbours.
func checkSupply(order *InvoiceOrder, sorted []*Supply, i int) error {
	s := sorted[i]
	if err := s.checkTerms(order); err != nil {
		return err
	}
	if s.Session != nil {
		return s.checkSession(order, i > 0 && sorted[i-1].Session != nil && sorted[i-1].Session.ID == s.Session.ID)
	}
	if s.Channel != nil {
		return s.checkChannel(order, i > 0 && sorted[i-1].Channel != nil && sorted[i-1].Channel.ID == s.Channel.ID)
	}
	from, to := order.Period(&s.Agreement)
	if from >= to {
		return fmt.Errorf("it does not hold between %s and %s", stamp(order.From), stamp(order.To))
	}
	if i > 0 && sorted[i-1].id() == s.id() {
		from = sorted[i-1].to()
		if err := s.checkFollows(sorted[i-1]); err != nil {
			return err
		}
	}
	if s.from() != from {
		return fmt.Errorf("the registers begin at %s, the supply at %s", stamp(s.from()), stamp(from))
	}
	if last := i+1 == len(sorted) || sorted[i+1].id() != s.id(); last && s.to() != to {
		return fmt.Errorf("the registers end at %s, the supply at %s", stamp(s.to()), stamp(to))
	}
	return nil
}

// checkSession refuses a session that does not belong on the invoice.
func (s *Supply) checkSession(order *InvoiceOrder, twice bool) error {
	x := s.Session
	switch {
	case twice:
		return fmt.Errorf("it is there twice")
	case x.Version != s.Tariff.Version:
		return fmt.Errorf("it was agreed under version %d of the tariff, not %d", x.Version, s.Tariff.Version)
	case s.from() < x.From || s.to() > x.Until || s.to() > order.To:
		return fmt.Errorf("its registers are from %s to %s: not all in it, or after the invoice's period", stamp(s.from()), stamp(s.to()))
	}
	return nil
}

// checkChannel refuses a channel that does not belong on the invoice.
func (s *Supply) checkChannel(order *InvoiceOrder, twice bool) error {
	x := s.Channel
	switch {
	case twice:
		return fmt.Errorf("it is there twice")
	case x.Version != s.Tariff.Version:
		return fmt.Errorf("it was opened under version %d of the tariff, not %d", x.Version, s.Tariff.Version)
	case x.From > order.To:
		return fmt.Errorf("it begins at %s, after the invoice's period", stamp(x.From))
	case s.Device != "" && lamppost.PartyID(s.Device) != x.Payee, s.Device == "" && x.Payee != order.Seller:
		return fmt.Errorf("it pays %q, not %q", clip(string(x.Payee)), clip(string(s.Device)))
	}
	return nil
}

// checkTerms compares what the order, the agreement, the register and the tariff say about each other.
func (s *Supply) checkTerms(order *InvoiceOrder) error {
	a, t := s.Agreement, &s.Tariff
	if x := s.Session; x != nil {
		a = lamppost.AgreementBody{Seller: order.Seller, Buyer: x.Buyer, Tariff: x.Tariff}
	}
	unit := s.Unit
	if x := s.Channel; x != nil {
		a, unit = lamppost.AgreementBody{Seller: order.Seller, Buyer: x.Payer, Tariff: x.Tariff}, t.RegisterUnit
	}
	pairs := [...]struct{ what, got, want string }{
		{"the agreement's seller", string(a.Seller), string(order.Seller)},
		{"the tariff's seller", string(t.Seller), string(order.Seller)},
		{"the agreement's buyer", string(a.Buyer), string(order.Buyer)},
		{"the tariff's currency", t.Currency, order.Currency},
		{"the tariff", t.ID, a.Tariff},
		{"the register's unit", unit, t.RegisterUnit},
	}
	for _, p := range pairs {
		if p.got != p.want {
			return fmt.Errorf("%s is %q, not %q", p.what, clip(p.got), clip(p.want))
		}
	}
	return nil
}

// checkFollows refuses a supply under the same agreement that does not go on where the one before stopped.
func (s *Supply) checkFollows(before *Supply) error {
	if s.Agreement != before.Agreement {
		return fmt.Errorf("two supplies under it disagree about its terms")
	}
	closing, opening := &before.Edges[len(before.Edges)-1], &s.Edges[0]
	sameMeter := s.Mount == before.Mount && s.Device == before.Device && s.Register == before.Register
	if sameMeter && !sameValue(closing.Value, opening.Value, s.RollsAt) {
		return fmt.Errorf("register %q closes with %s at %s and opens with %s", clip(s.Register), closing.Value,
			stamp(closing.Time), opening.Value)
	}
	return nil
}

// sameValue compares a register's closing and opening value; it may have begun anew in between, and often.
func sameValue(a, b lamppost.Decimal, rollsAt *lamppost.Decimal) bool {
	if rollsAt != nil {
		exp := min(a.Exponent, rollsAt.Exponent)
		m, ok1 := a.At(exp)
		n, ok2 := rollsAt.At(exp)
		if ok1 && ok2 && n > 0 && m >= 0 {
			a = lamppost.Dec(m%n, exp)
		}
	}
	return a.Cmp(b) == 0
}

func (inv *Invoice) add(s *Supply, lines []Line) {
	n := uint32(0)
	for i := range inv.Supplies {
		n += uint32(len(inv.Supplies[i].Lines))
	}
	for i := range lines {
		lines[i].N = n + uint32(i) + 1
	}
	a, t, session, channel, to := s.Agreement, &s.Tariff, "", "", s.to()
	if s.Session != nil {
		a.Point, session = s.Session.Point, s.Session.ID
	}
	if s.Channel != nil {
		channel, to = s.Channel.ID, min(to, inv.To) // it was closed before its end
	}
	inv.Supplies = append(inv.Supplies, InvoiceSupply{
		Agreement: a.ID, Session: session, Channel: channel, Voucher: s.Voucher, Point: a.Point, Place: s.Place, Device: s.Device, Register: s.Register, Unit: s.Unit,
		PerUnit: t.PerUnit, Scale: t.Scale, Tariff: t.ID, Version: t.Version, Tax: s.tax(),
		From: s.from(), To: to, Edges: s.Edges, Lines: lines, Mount: s.Mount, TaxReason: a.TaxReason,
		Judged: s.Judged, Findings: s.Findings,
	})
}

// sum fills in net, taxes and total from the lines.
func (inv *Invoice) sum(roundings map[Tax]string) error {
	fits := true
	add := func(to *lamppost.Micro, amount lamppost.Micro) {
		sum, ok := to.Add(amount)
		*to, fits = sum, fits && ok
	}
	for i := range inv.Supplies {
		s := &inv.Supplies[i]
		base := inv.taxBase(s.Tax)
		for j := range s.Lines {
			add(&inv.Net, s.Lines[j].Amount)
			add(base, s.Lines[j].Amount)
		}
	}
	inv.Total = inv.Net
	for i := range inv.Tax {
		x := &inv.Tax[i]
		value := new(big.Int).Mul(big.NewInt(int64(x.Base)), big.NewInt(int64(x.BasisPoints)))
		amount, ok := roundTo(inv.Currency, roundings[Tax{x.Category, x.BasisPoints}], value, 4) // basis points are 10⁻⁴
		x.Amount, fits = amount, fits && ok
		add(&inv.Total, amount)
	}
	if !fits {
		return fmt.Errorf("its sum does not fit 63 bits")
	}
	return nil
}

// taxBase returns where the lines under a tax are summed, keeping inv.Tax sorted.
func (inv *Invoice) taxBase(x Tax) *lamppost.Micro {
	i, found := slices.BinarySearchFunc(inv.Tax, x, func(have TaxSum, want Tax) int {
		return cmp.Or(cmp.Compare(have.Category, want.Category), cmp.Compare(have.BasisPoints, want.BasisPoints))
	})
	if !found {
		inv.Tax = slices.Insert(inv.Tax, i, TaxSum{Category: x.Category, BasisPoints: x.BasisPoints})
	}
	return &inv.Tax[i].Base
}
