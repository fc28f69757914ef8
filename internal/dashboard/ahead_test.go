package dashboard_test

import (
	"context"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/dashboard/browsertest"
	"github.com/lamppost/lamppost/internal/outlook"
)

// outlook is what tenant 3 may expect; of all others too little is known.
func (d *district) outlook(party string) outlook.Outlook {
	const eur = lamppost.MicroUnit
	from := lamppost.TimeMS(1_796_079_600_000) // 2026-12-01 in Berlin
	m := outlook.Month{Currency: "EUR", From: from, To: from + 31*24*hourMS, Until: d.now, SoFar: 31 * eur, Missing: outlook.MissingHistory, Supplies: []outlook.Supply{}}
	c := outlook.Comparison{Agreement: "flat-3", Seller: "riverside", Point: "flat-3", Place: "Mill House, flat 3", PerUnit: "kWh", Currency: "EUR", From: from - 91*24*hourMS, To: from, Months: 3,
		Tariff: "home", Version: 1, Total: 228 * eur, Compared: 2, Cheaper: []outlook.Offer{}}
	o := outlook.Outlook{Party: lamppost.PartyID(party), At: d.now, Months: []outlook.Month{m}, Budgets: []outlook.Budget{}, Tariffs: []outlook.Comparison{}, Zone: homeTariff().Zone}
	if party == "tenant-3" {
		o.Months[0].Missing, o.Months[0].Expected = "", &outlook.Expected{Amount: 78 * eur, Low: 71 * eur, High: 93 * eur, Weeks: 8}
		o.Budgets = append(o.Budgets, d.budgets().Budgets[0].Budget)
		c.Cheaper = append(c.Cheaper, outlook.Offer{Tariff: "night-saver", Version: 2, Total: 201 * eur, Less: 27 * eur})
		o.Tariffs = append(o.Tariffs, c)
	}
	return o
}

func (d *district) budgets() api.BudgetList {
	const eur = lamppost.MicroUnit
	one := func(amount, used lamppost.Micro, percent int64, over string, notices ...outlook.Notice) outlook.Budget {
		b := outlook.Budget{Currency: "EUR", Amount: amount * eur, Used: used * eur, UsedPercent: percent, TimePercent: 40, Until: d.now, OverDay: over, Notices: append([]outlook.Notice{}, notices...)}
		if over != "" {
			b.Over = d.now
		}
		return b
	}
	return api.BudgetList{Budgets: []api.PartyBudget{{Party: "tenant-3", Budget: one(50, 31, 62, "2026-12-20", outlook.NoticeExpected)}, {Party: "tenant-4", Budget: one(90, 31, 34, "")}}}
}

// A bill's page looks ahead, apart from the bill, and says when nothing is known; the list of bills names whose budget will not last.
func testAhead(t *testing.T, ctx context.Context) {
	d := newDistrict(t)
	p := browsertest.Open(t, ctx, d.serve(t).URL, browsertest.Phone)
	p.Visit("#/bill/riverside-000003", "#ahead-h")
	for _, want := range []string{"62 % used after 40 % of the month: €31.00 of €50.00.", "It is expected to be exceeded on December 20, 2026.", "December 2026", "About €78.00, between €71.00 and €93.00",
		"each of the last 8 weeks", "September 2026 to November 2026: €27.00 less under night-saver", "nothing proves them"} {
		p.WaitText(".ahead", want)
	}
	p.Visit("#/bill/riverside-000004", "#ahead-h")
	p.WaitText(".ahead", "it takes four weeks without a gap")
	p.Visit("#/bills", "#budgets-h")
	p.WaitText("#budgets-h ~ ul", "Chiara Romano: 62 % used")
	if n := browsertest.Value[int](p, "document.querySelectorAll('#budgets-h ~ ul li').length"); n != 1 {
		t.Errorf("%d budgets are named, want the one that crossed a threshold", n)
	}
	p.Clean()
}
