package outlook

import (
	"cmp"
	"math/big"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/tariff"
)

// A Comparison is what the use of an agreement's last whole months would come to under the present terms of the same seller's tariffs.
type Comparison struct {
	Agreement string           `json:"agreement"`
	Seller    lamppost.PartyID `json:"seller"`
	Point     string           `json:"point"`
	Place     string           `json:"place,omitempty"`
	PerUnit   string           `json:"per_unit"` // that prices are in
	Currency  string           `json:"currency"`
	From      lamppost.TimeMS  `json:"from_ms"` // of the months; 0: none
	To        lamppost.TimeMS  `json:"to_ms"`
	Months    int              `json:"months"`
	Tariff    string           `json:"tariff"`
	Version   uint32           `json:"version"`
	Total     lamppost.Micro   `json:"total"`    // under it
	Compared  int              `json:"compared"` // other tariffs that could be priced
	Cheaper   []Offer          `json:"cheaper"`  // the cheapest first
	Missing   Missing          `json:"missing,omitempty"`
}

// An Offer is a tariff that would have been cheaper.
type Offer struct {
	Tariff  string         `json:"tariff"`
	Version uint32         `json:"version"`
	Total   lamppost.Micro `json:"total"`
	Less    lamppost.Micro `json:"less"` // than under the present one

	Terms tariff.Tariff `json:"-"`
}

// compare tries all tariffs that the seller offers now on the months before the running one. Months with a value that was not measured
// do not count, and neither do tariffs that need such a value: what was used when would be a guess.
func (b *buyer) compare(x *supply) Comparison {
	out := Comparison{Agreement: x.ID, Seller: x.Seller, Point: x.Point, Place: x.place, PerUnit: x.versions[0].PerUnit, Currency: x.versions[0].Currency, Tariff: x.Tariff, Cheaper: []Offer{}}
	own, _ := x.version(b.now, b.now+1)
	if own == nil {
		out.Missing = MissingTerms
		return out
	}
	out.Version = own.Version
	cuts := b.recorded(x, own)
	if out.Months = len(cuts) - 1; out.Months < MinMonths {
		out.Months, out.Missing = 0, MissingHistory
		return out
	}
	out.From, out.To = cuts[0], cuts[len(cuts)-1]
	out.Total, _ = b.try(x, own, cuts)
	for _, t := range b.offered(own) {
		total, ok := b.try(x, t, cuts)
		if !ok {
			continue
		}
		out.Compared++
		if less := out.Total - total; less > 0 && cheaper(less, out.Total) {
			out.Cheaper = append(out.Cheaper, Offer{t.ID, t.Version, total, less, *t})
		}
	}
	slices.SortStableFunc(out.Cheaper, func(a, b Offer) int { return cmp.Compare(a.Total, b.Total) })
	out.Cheaper = out.Cheaper[:min(len(out.Cheaper), MaxOffers)]
	return out
}

// cheaper reports whether a saving is worth a word.
func cheaper(less, total lamppost.Micro) bool {
	hundredfold := new(big.Int).Mul(big.NewInt(int64(less)), big.NewInt(100))
	least := new(big.Int).Mul(big.NewInt(int64(max(total, -total))), big.NewInt(minSaving))
	return hundredfold.Cmp(least) >= 0
}

// recorded returns where the last whole months that can be priced begin, and where the last one ends.
func (b *buyer) recorded(x *supply, own *tariff.Tariff) []lamppost.TimeMS {
	cuts := []lamppost.TimeMS{b.from}
	for len(cuts) <= MaxMonths {
		begin, _ := monthOf(b.zone, cuts[0]-1)
		if begin < x.From {
			break
		}
		if _, ok := b.try(x, own, []lamppost.TimeMS{begin, cuts[0]}); !ok {
			break
		}
		cuts = slices.Insert(cuts, 0, begin)
	}
	return cuts
}

// try prices months under terms as `tariff try` does, with tax; false: not without a guess.
func (b *buyer) try(x *supply, t *tariff.Tariff, cuts []lamppost.TimeMS) (lamppost.Micro, bool) {
	terms := *t
	terms.Zone = b.clock(t.Zone)
	priced, err := x.point.Try(&terms, cuts)
	if err != nil || priced.Estimated || len(priced.Parts) == 0 {
		return 0, false
	}
	return tariff.WithTax(priced.Net, x.tax(t), t.Currency, t.Rounding)
}

// offered returns what else the seller offers now for such registers: of each tariff the version that holds.
func (b *buyer) offered(own *tariff.Tariff) (all []*tariff.Tariff) {
	for i := range b.tariffs {
		t := &b.tariffs[i]
		open := t.From <= b.now && (t.To == 0 || t.To > b.now) && t.Session == nil
		if !open || t.ID == own.ID || t.Seller != own.Seller || t.Currency != own.Currency || t.RegisterUnit != own.RegisterUnit {
			continue
		}
		if n := len(all); n > 0 && all[n-1].ID == t.ID {
			all = all[:n-1] // the later version holds
		}
		all = append(all, t)
	}
	return all
}
