package outlook

import (
	"cmp"
	"slices"

	"github.com/lamppost/lamppost"
)

// A month is one with how it may go on.
type month struct {
	Month
	courses []course // nil: nobody knows
	mean    course   // that comes to what is expected
}

// months sums up supplies and sessions by currency. There is one for each budget, too.
func (b *buyer) months(budgets Budgets) []month {
	var all []month
	of := func(currency string) *month {
		i := slices.IndexFunc(all, func(m month) bool { return m.Currency == currency })
		if i < 0 {
			i, all = len(all), append(all, month{Month: Month{Currency: currency, From: b.from, To: b.to, Until: b.now, Supplies: []Supply{}}})
		}
		return &all[i]
	}
	for currency := range budgets {
		of(currency)
	}
	for _, x := range b.supplies {
		part, courses := x.foresee(b.now)
		of(x.versions[0].Currency).add(part, courses, x.to < b.to)
	}
	for currency, part := range b.sessionParts() {
		of(currency).add(part.Supply, part.courses, false)
	}
	for i := range all {
		all[i].expect()
	}
	slices.SortFunc(all, func(a, b month) int { return cmp.Compare(a.Currency, b.Currency) })
	return all
}

// add takes a part of the month in. One that ends before the month does not hold back how far it is known.
func (m *month) add(part Supply, courses []course, ended bool) {
	first := len(m.Supplies) == 0
	m.Supplies = append(m.Supplies, part)
	sum, fits := m.SoFar.Add(part.SoFar)
	if m.SoFar = sum; !fits {
		part.Missing = MissingReadings
	}
	if !ended {
		m.Until = min(m.Until, part.Until)
	}
	switch {
	case part.Missing != "":
		m.Missing, m.courses = part.Missing, nil
	case m.Missing != "":
	case first:
		m.courses = courses
	default:
		m.courses = together(m.courses, courses)
	}
}

// together adds up courses of the same weeks.
func together(a, b []course) []course {
	sums := make([]course, min(len(a), len(b)))
	for i := range sums {
		sums[i] = func(at lamppost.TimeMS) (lamppost.Micro, error) {
			one, err := a[i](at)
			if err != nil {
				return 0, err
			}
			other, err := b[i](at)
			sum, fits := one.Add(other)
			if err == nil && !fits {
				err = errLarge
			}
			return sum, err
		}
	}
	return sums
}

// expect says what the month will come to.
func (m *month) expect() {
	if len(m.courses) == 0 {
		return
	}
	var err error
	if m.Expected, m.mean, err = expect(m.courses, m.To, m.Currency); err != nil {
		m.Missing = missing(err)
	}
}
