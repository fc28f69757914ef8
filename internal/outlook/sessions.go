package outlook

import (
	"errors"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/tariff"
)

// settled is a session with what it came to, with tax.
type settled struct {
	stop   lamppost.TimeMS
	amount lamppost.Micro
	tariff tariff.Tariff
}

// readSessions reads the party's sessions of the running month and of the weeks before.
func (b *buyer) readSessions(party lamppost.PartyID) error {
	all, err := b.v.SessionsOf(party)
	if err != nil {
		return err
	}
	for i := range all {
		x := &all[i]
		if x.Stop < b.now-monthMS-MaxWeeks*weekMS || x.Void != "" { // an open one has no stop
			continue
		}
		t, err := b.v.Tariff(x.Tariff, x.Version)
		if err != nil {
			return err
		}
		rec, err := b.r.Tx(x.Settled.Height, x.Settled.Index)
		if errors.Is(err, archive.ErrForgotten) || errors.Is(err, archive.ErrAbsent) {
			continue // only old ones, and those of a copy that began later
		}
		var lines []tariff.Line
		if err == nil && len(rec.Outcomes) > 0 {
			err = lamppost.Unmarshal(rec.Outcomes[0].Data, &lines)
		}
		if err != nil {
			return err
		}
		var net lamppost.Micro
		for j := range lines {
			net += lines[j].Amount // the ledger bounded them by the session's limit
		}
		amount, _ := tariff.WithTax(net, t.Tax, t.Currency, t.Rounding) // as was held for it
		b.settled = append(b.settled, settled{x.Stop, amount, t})
	}
	return nil
}

// A sessionPart is what sessions of a currency come to together.
type sessionPart struct {
	Supply
	first   lamppost.TimeMS
	courses []course
}

// sessionParts sums up sessions by currency, as they ended.
func (b *buyer) sessionParts() map[string]*sessionPart {
	parts := map[string]*sessionPart{}
	for _, x := range b.settled {
		p := parts[x.tariff.Currency]
		if p == nil {
			p = &sessionPart{Supply: Supply{Until: b.now}, first: x.stop}
			parts[x.tariff.Currency] = p
		}
		p.first = min(p.first, x.stop)
		if b.from <= x.stop && x.stop < b.to {
			p.SoFar += x.amount
		}
	}
	for currency, p := range parts {
		weeks := min(MaxWeeks, int((b.now-p.first)/weekMS))
		if weeks < MinWeeks {
			p.Missing = MissingHistory
			continue
		}
		for back := 1; back <= weeks; back++ {
			p.courses = append(p.courses, b.sessionsLike(currency, back))
		}
		p.Expected, _, _ = expect(p.courses, b.to, currency) // they only add up
	}
	return parts
}

// sessionsLike goes on as in the week that began back weeks ago, over and over.
func (b *buyer) sessionsLike(currency string, back int) course {
	begin := b.now - lamppost.TimeMS(back)*weekMS
	return func(at lamppost.TimeMS) (sum lamppost.Micro, err error) {
		for _, x := range b.settled {
			if x.tariff.Currency != currency {
				continue
			}
			if b.from <= x.stop && x.stop < min(at, b.to) {
				sum += x.amount
			}
			if x.stop < begin || x.stop >= begin+weekMS {
				continue
			}
			for again := x.stop + lamppost.TimeMS(back)*weekMS; again < min(at, b.to); again += weekMS {
				sum += x.amount
			}
		}
		return sum, nil
	}
}
