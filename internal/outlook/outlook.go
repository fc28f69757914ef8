// Package outlook knows what a buyer may expect that no bill says yet: what the running month will come to, how much of a budget
// that is, and which tariff of the same seller would have been cheaper.
//
// It promises that use is priced by the code that bills are made with, that a supply is judged only by what was recorded while its
// buyer had it, and that it says nothing where too little is known. It proves nothing and orders nothing: what it says are
// estimates, and a bill may come to something else.
//
// Start reading at [Source.Of], then forecast.go (how the rest of a month is foreseen), budget.go and offer.go. [Point] prices recorded use
// under any terms, for `tariff try` too. Limits are in limits.go.
package outlook

import (
	"cmp"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/tariff"
)

// An Outlook is what a party may expect as a buyer. All amounts are with tax.
type Outlook struct {
	Party   lamppost.PartyID `json:"party"`
	At      lamppost.TimeMS  `json:"at_ms"`  // when this was estimated
	Months  []Month          `json:"months"` // the running one, by currency
	Budgets []Budget         `json:"budgets"`
	Tariffs []Comparison     `json:"tariffs"`
	Skipped int              `json:"skipped"` // agreements beyond [MaxAgreements], of which nothing is said

	// Zone is whose clock months are on: that of the party's first agreement or session.
	Zone tariff.Zone `json:"zone"`
}

// A Month is what a calendar month comes to in one currency.
type Month struct {
	Currency string          `json:"currency"`
	From     lamppost.TimeMS `json:"from_ms"`
	To       lamppost.TimeMS `json:"to_ms"`
	Until    lamppost.TimeMS `json:"until_ms"` // up to where all its supplies are known
	SoFar    lamppost.Micro  `json:"so_far"`
	Expected *Expected       `json:"expected"`          // null: see Missing
	Missing  Missing         `json:"missing,omitempty"` // why nothing is expected
	Supplies []Supply        `json:"supplies"`
}

// Expected is what a month will probably come to, were its rest like the last weeks.
type Expected struct {
	Amount lamppost.Micro `json:"amount"` // the mean of the latest four weeks
	Low    lamppost.Micro `json:"low"`    // the cheapest of Weeks
	High   lamppost.Micro `json:"high"`
	Weeks  int            `json:"weeks"`
}

// A Supply is one agreement's part of a month, or that of all sessions together.
type Supply struct {
	Agreement string           `json:"agreement,omitempty"` // empty: sessions
	Seller    lamppost.PartyID `json:"seller,omitempty"`
	Point     string           `json:"point,omitempty"`
	Place     string           `json:"place,omitempty"`
	PerUnit   string           `json:"per_unit,omitempty"` // that prices are in
	Until     lamppost.TimeMS  `json:"until_ms"`
	SoFar     lamppost.Micro   `json:"so_far"`
	Expected  *Expected        `json:"expected"`
	Missing   Missing          `json:"missing,omitempty"`
}

// Missing says why nothing is expected, or no tariff is compared.
type Missing string

// What may be missing.
const (
	MissingHistory  Missing = "history"  // too little was recorded in one piece: under MinWeeks, or MinMonths
	MissingReadings Missing = "readings" // nothing was heard of the meter for [silentMS], or its values cannot be priced
	MissingTerms    Missing = "terms"    // no price is known for part of the month
)

// A Source is what outlooks are made from: the ledger at one time. It may be used by one goroutine.
type Source struct {
	r       archive.View
	v       ledger.View
	now     lamppost.TimeMS
	tariffs []tariff.Tariff // by id and version
}

// Open reads what all parties' outlooks share. The view must stay open as long as the source is used.
func Open(r archive.View, now lamppost.TimeMS) (*Source, error) {
	v := ledger.View{Reader: r}
	tariffs, err := v.Tariffs()
	return &Source{r, v, now, tariffs}, err
}

// Of returns what a party may expect.
func (s *Source) Of(party lamppost.PartyID, budgets Budgets) (*Outlook, error) {
	b, err := s.buyer(party)
	if err != nil {
		return nil, err
	}
	out := &Outlook{Party: party, At: s.now, Months: []Month{}, Budgets: []Budget{}, Tariffs: []Comparison{}, Skipped: b.skipped, Zone: b.zone}
	for _, m := range b.months(budgets) {
		if len(m.Supplies) > 0 {
			out.Months = append(out.Months, m.Month)
		}
		if amount, ok := budgets[m.Currency]; ok {
			out.Budgets = append(out.Budgets, m.budget(amount, b.zone))
		}
	}
	for _, x := range b.supplies {
		if x.to > s.now {
			out.Tariffs = append(out.Tariffs, b.compare(x))
		}
	}
	return out, nil
}

// Spent returns only how much of its budgets a party has used.
func (s *Source) Spent(party lamppost.PartyID, budgets Budgets) (all []Budget, err error) {
	b, err := s.buyer(party)
	if err != nil {
		return nil, err
	}
	for _, m := range b.months(budgets) {
		if amount, ok := budgets[m.Currency]; ok {
			all = append(all, m.budget(amount, b.zone))
		}
	}
	return all, nil
}

// A buyer is what is known of a party.
type buyer struct {
	*Source
	zone     tariff.Zone
	from, to lamppost.TimeMS // the running month
	supplies []*supply       // by agreement
	settled  []settled
	skipped  int
}

// buyer reads a party's sessions, and its meters' registers as far back as anything is said of them.
func (s *Source) buyer(party lamppost.PartyID) (*buyer, error) {
	b := &buyer{Source: s}
	mine, err := s.v.AgreementsOf(party)
	if err != nil {
		return nil, err
	}
	mine = slices.DeleteFunc(mine, func(a lamppost.AgreementBody) bool { return a.From > s.now || a.To != 0 && a.To <= s.now-monthMS })
	if b.skipped = max(0, len(mine)-MaxAgreements); b.skipped > 0 {
		mine = mine[:MaxAgreements]
	}
	if err := b.readSessions(party); err != nil {
		return nil, err
	}
	b.setZone(mine)
	b.from, b.to = monthOf(b.zone, s.now)
	for _, a := range mine {
		x, err := b.supply(a)
		if err != nil {
			return nil, err
		}
		if x != nil {
			b.supplies = append(b.supplies, x)
		}
	}
	return b, nil
}

// setZone chooses the clock.
func (b *buyer) setZone(agreements []lamppost.AgreementBody) {
	b.zone = tariff.Zone{Name: "UTC", Transitions: []tariff.Transition{{}}}
	id := ""
	switch {
	case len(agreements) > 0:
		id = agreements[0].Tariff
	case len(b.settled) > 0:
		id = b.settled[0].tariff.ID
	}
	for i := range b.tariffs {
		if b.tariffs[i].ID == id {
			b.zone = b.clock(b.tariffs[i].Zone)
		}
	}
}

// clock returns all that any tariff knows of a zone: one that is new does not know the clock of the year before.
func (s *Source) clock(z tariff.Zone) tariff.Zone {
	all := tariff.Zone{Name: z.Name}
	for i := range s.tariffs {
		if s.tariffs[i].Zone.Name == z.Name {
			all.Transitions = append(all.Transitions, s.tariffs[i].Zone.Transitions...)
		}
	}
	slices.SortFunc(all.Transitions, func(a, b tariff.Transition) int { return cmp.Compare(a.AtMS, b.AtMS) })
	all.Transitions = slices.CompactFunc(all.Transitions, func(a, b tariff.Transition) bool { return a.AtMS == b.AtMS })
	if len(all.Transitions) > tariff.MaxTransitions {
		return z
	}
	return all
}
