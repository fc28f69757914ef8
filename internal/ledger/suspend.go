package ledger

import (
	"math"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/tariff"
)

// What a verdict that suspends a register does to money. Nothing is billed, settled, paid out or told to a contract that rests on what
// the register showed from then on, until somebody answers. What was billed before the verdict came is not undone: views say so.

// suspicions returns the verdicts that suspend a register, or did, as bills see them.
func (v View) suspicions(d lamppost.DeviceID, register string) (all []tariff.Suspicion, err error) {
	found, err := v.evidence(d, register)
	for i := range found {
		all = append(all, found[i].suspicion())
	}
	return all, err
}

func (v *Verdict) suspicion() tariff.Suspicion {
	x := tariff.Suspicion{ID: v.ID, Verdict: &v.Body}
	if r := v.Final(); r != nil {
		x.Answer, x.Height, x.Tx = r.Answer, r.Height, r.Tx
	}
	return x
}

// find fills in what was found of a supply's register, or refuses the supply if that holds it back. have is what its edges are filled from.
func (v View) find(x *tariff.Supply, have []tariff.Edge, what string) error {
	all, err := v.suspicions(x.Device, x.Register)
	if err != nil {
		return err
	}
	if x.Findings, err = tariff.Findings(x.Edges, have, all); err != nil {
		return lamppost.Refuse(lamppost.CodeNotReady, "%s: %v", what, err)
	}
	return nil
}

// judged is up to which block all members have judged.
func (s *State) judged() (lamppost.Height, error) {
	least := lamppost.Height(math.MaxInt64)
	for _, m := range s.net.Members {
		h, err := s.view().Judged(m.ID)
		if err != nil {
			return 0, err
		}
		least = min(least, h)
	}
	return least, nil
}

// markJudged notes on supplies whether all that their registers come from was judged.
func (s *State) markJudged(all []tariff.Supply) error {
	through, err := s.judged()
	for i := range all {
		all[i].Judged = all[i].JudgedUntil(through)
	}
	return err
}

// A Billed is an invoice that bills what is held back, or was found wrong.
type Billed struct {
	Seller lamppost.PartyID `json:"seller"`
	Number string           `json:"number"`
}

// BilledBefore returns the invoices that bill what a verdict holds back, made before it came, or what was found wrong, made before
// somebody said so; but those that were corrected since. Where the answer is that all is true, there are none.
func (v View) BilledBefore(x *Verdict) (all []Billed, err error) {
	if r := x.Final(); !x.Body.Evidence() || r != nil && r.Answer == lamppost.ReviewValid {
		return nil, nil
	}
	points, err := v.Points()
	if err != nil {
		return nil, err
	}
	at := map[string]bool{}
	for i := range points {
		if points[i].Device == x.Body.Device && points[i].Register == x.Body.Name {
			at[points[i].ID] = true
		}
	}
	candidates, err := v.billsAt(at)
	for _, c := range candidates {
		rests, err := v.billed(c, x, at)
		if err != nil {
			return nil, err
		}
		if rests {
			all = append(all, c)
		}
	}
	return all, err
}

// FoundSince returns the verdicts for which BilledBefore has an invoice.
func (v View) FoundSince(inv *tariff.Invoice) (all []lamppost.VerdictID, err error) {
	for i := range inv.Supplies {
		s := &inv.Supplies[i]
		if s.Channel != "" {
			continue
		}
		found, err := v.evidence(s.Device, s.Register)
		if err != nil {
			return nil, err
		}
		for j := range found {
			x := &found[j]
			if r := x.Final(); r != nil && r.Answer == lamppost.ReviewValid || slices.Contains(all, x.ID) {
				continue
			}
			billed, err := v.billed(Billed{inv.Seller, inv.Number}, x, map[string]bool{s.Point: true})
			if err != nil {
				return nil, err
			}
			if billed {
				all = append(all, x.ID)
			}
		}
	}
	return all, nil
}

// billsAt returns the invoices that may bill something at metering points: of agreements by their sides, of sessions by their number.
func (v View) billsAt(points map[string]bool) (all []Billed, err error) {
	agreements, err := v.Agreements()
	if err != nil {
		return nil, err
	}
	for _, a := range agreements {
		if !points[a.Point] {
			continue
		}
		from := append(key('V', string(a.Buyer), string(a.Seller)), 0)
		err := v.Scan(from, end(from), func(k, _ []byte) error {
			all = append(all, Billed{a.Seller, string(k[len(from):])})
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	sessions, err := v.Sessions()
	for i := range sessions {
		if x := &sessions[i]; points[x.Point] && x.Invoice != "" {
			all = append(all, Billed{x.Seller, x.Invoice})
		}
	}
	slices.SortFunc(all, func(a, b Billed) int {
		return slices.Compare([]string{string(a.Seller), a.Number}, []string{string(b.Seller), b.Number})
	})
	return slices.Compact(all), err
}

// since is where what a verdict holds back now began to be held back: the verdict, or the answer that it is wrong.
func (x *Verdict) since() Place {
	at := Place{x.ID.Height, x.ID.Tx}
	for i := len(x.Reviews) - 1; i >= 0; i-- {
		switch r := &x.Reviews[i]; r.Answer {
		case lamppost.ReviewWrong:
			at = Place{r.Height, r.Tx}
		case lamppost.ReviewValid:
			return at
		}
	}
	return at
}

// billed reports whether an invoice that was made before, and that none replaced, bills what a verdict holds back at points.
func (v View) billed(c Billed, x *Verdict, points map[string]bool) (bool, error) {
	b, err := read[billed](v, billedKey(c.Seller, c.Number))
	if err != nil || b.Next != "" {
		return false, err
	}
	at, err := v.InvoicePlace(b.Order.Buyer, c.Seller, c.Number)
	if err != nil || at.Compare(x.since()) > 0 {
		return false, err
	}
	suspicion := x.suspicion()
	from, to := suspicion.Window()
	for i := range b.Parts {
		p := &b.Parts[i]
		point, began, ended, err := v.period(&b.Order, p)
		if err != nil {
			return false, err
		}
		if p.Device == x.Body.Device && points[point] && began <= to && ended >= from {
			return true, nil
		}
	}
	return false, nil
}

// period says which point's use a part of an invoice bills, from when until when; none for a channel.
func (v View) period(order *lamppost.InvoiceBody, p *part) (point string, from, to lamppost.TimeMS, err error) {
	switch {
	case p.Session != "":
		s, err := v.Session(p.Session)
		return s.Point, s.From, s.Stop, err
	case p.Agreement != "":
		a, err := v.Agreement(p.Agreement)
		from, to = (&tariff.InvoiceOrder{InvoiceBody: *order}).Period(&a)
		return a.Point, from, to, err
	}
	return "", 0, 0, nil
}
