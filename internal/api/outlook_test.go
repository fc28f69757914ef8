package api_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/outlook"
	"github.com/lamppost/lamppost/internal/render"
	"github.com/lamppost/lamppost/tariff"
)

// use has the meter count so many Wh in each half of each day of [from, to), from where it stood.
func (h *house) use(from, to lamppost.TimeMS, morning, evening func(day time.Time) int64) {
	h.t.Helper()
	const half = 12 * 3600 * 1000
	readings := []lamppost.Reading{energy(from, h.stand)}
	send := func() {
		if len(readings) > 0 {
			h.clock.Store(int64(readings[len(readings)-1].Time) + 1000)
			must(h.t, h.submit(h.report("meter", lamppost.FlagBilling, readings...))[0].Err())
		}
		readings = nil
	}
	for day := from; day < to; day += 2 * half {
		at := time.UnixMilli(int64(day)).UTC()
		h.stand += morning(at)
		readings = append(readings, energy(day+half, h.stand))
		h.stand += evening(at)
		if readings = append(readings, energy(day+2*half, h.stand)); len(readings) >= 60 {
			send()
		}
	}
	send()
}

func always(wh int64) func(time.Time) int64 { return func(time.Time) int64 { return wh } }

// weekly is a use that is the same on all days of a week, and another in the next.
func weekly(wh ...int64) func(time.Time) int64 {
	return func(day time.Time) int64 { return wh[int(day.Unix()/(7*86400))%len(wh)] }
}

func (h *house) outlook() (o outlook.Outlook) {
	h.t.Helper()
	h.ok(200, "GET", "/api/outlook/tenant", nil, &o)
	return o
}

// A steady use gives the month's sum without a range; one that changes from week to week gives the cheapest and the dearest of them.
func TestForecast(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.settle()
	first, today := ms(t, "2026-11-01T00:00:00Z"), ms(t, "2027-01-11T00:00:00Z")
	h.use(first, ms(t, "2026-11-20T00:00:00Z"), always(5000), always(5000))
	h.clock.Store(int64(ms(t, "2026-11-20T06:00:00Z")))
	if m := h.outlook().Months[0]; m.Expected != nil || m.Missing != outlook.MissingHistory || m.SoFar.String() != "67.83" { // 19 days × 10 kWh × 0.30 × 1.19
		t.Errorf("after 19 days: %+v", m)
	}
	h.use(ms(t, "2026-11-20T00:00:00Z"), today, always(5000), always(5000))
	h.clock.Store(int64(today) + 3600_000)
	m := h.outlook().Months[0]
	if e := m.Expected; e == nil || *e != (outlook.Expected{Amount: e.Low, Low: e.Low, High: e.Low, Weeks: 8}) || e.Low.String() != "110.67" || m.SoFar.String() != "35.70" || m.Until != today {
		t.Errorf("steady use: %+v, expected %+v", m, e) // 31 and 10 days
	}
	h.use(today, ms(t, "2027-03-15T00:00:00Z"), weekly(4000, 5000, 6000, 7000), always(5000))
	h.clock.Store(int64(ms(t, "2027-03-15T00:00:00Z")) + 3600_000)
	m = h.outlook().Months[0]
	if e := m.Expected; e == nil || e.Low >= e.Amount || e.Amount >= e.High || e.Low <= m.SoFar {
		t.Errorf("changing use: %+v, expected %+v", m, e)
	}
	h.clock.Store(int64(ms(t, "2027-03-19T00:00:00Z")))
	if m := h.outlook().Months[0]; m.Missing != outlook.MissingReadings || m.Expected != nil || m.SoFar == 0 {
		t.Errorf("after four days of silence: %+v", m)
	}
	h.refused(404, "not_found", "GET", "/api/outlook/nobody", nil)
}

// A budget's notices come as its thresholds are crossed, and the day is the one on which the money is gone.
func TestBudgets(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.settle()
	first, today := ms(t, "2026-11-01T00:00:00Z"), ms(t, "2027-01-11T00:00:00Z")
	h.use(first, today, always(5000), always(5000)) // 3.57 a day with tax: 35.70 so far, 110.67 expected
	h.clock.Store(int64(today) + 3600_000)
	for _, c := range []struct {
		amount  string
		used    int64
		over    string
		notices []outlook.Notice
	}{
		{"200.00", 17, "", nil},
		{"110.67", 32, "", nil},
		{"110.66", 32, "2027-01-31", []outlook.Notice{"expected"}},
		{"57.12", 62, "2027-01-17", []outlook.Notice{"expected"}}, // 16 days exactly
		{"40.00", 89, "2027-01-12", []outlook.Notice{"nearly", "expected"}},
		{"35.70", 100, "2027-01-11", []outlook.Notice{"nearly", "expected"}},
		{"35.69", 100, "2027-01-10", []outlook.Notice{"nearly", "exceeded"}},
		{"3.00", 1190, "2027-01-01", []outlook.Notice{"nearly", "exceeded"}},
	} {
		amount, err := lamppost.ParseMicro(c.amount)
		must(t, err)
		h.details = render.Details{"tenant": {Budgets: outlook.Budgets{"EUR": amount}}, "landlord": {}}
		var list api.BudgetList
		h.ok(200, "GET", "/api/budgets", nil, &list)
		if len(list.Budgets) != 1 || list.Budgets[0].Party != "tenant" || list.Next != "" {
			t.Fatalf("budgets %+v", list)
		}
		b, over := list.Budgets[0].Budget, list.Budgets[0].OverDay
		if b.UsedPercent != c.used || b.TimePercent != 32 || over != c.over || len(b.Notices) != len(c.notices) {
			t.Errorf("%s: %+v, over on %q", c.amount, b, over)
			continue
		}
		for i := range c.notices {
			if b.Notices[i] != c.notices[i] {
				t.Errorf("%s: notices %q, want %q", c.amount, b.Notices, c.notices)
			}
		}
	}
}

// What is called cheaper is what `tariff try` finds, over months that were recorded without a gap, and never by a guess.
func TestComparison(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.settle()
	now := ms(t, "2027-03-10T00:00:00Z")
	offer := func(id string, day, night lamppost.Micro, from lamppost.TimeMS, change func(*tariff.Tariff)) {
		x := flat(t)
		x.ID, x.From, x.Zone.Transitions = id, from, []tariff.Transition{{AtMS: from}}
		x.Bands = []tariff.Band{{Name: "day", FromMin: 0, ToMin: 720, Price: day}, {Name: "night", FromMin: 720, ToMin: 1440, Price: night}}
		if change != nil {
			change(&x)
		}
		h.ok(201, "POST", "/api/tariffs", x, nil)
	}
	begin := ms(t, "2027-03-01T00:00:00Z")
	offer("cheap-nights", 350_000, 150_000, begin, nil) // new, and so its clock
	offer("cheap-days", 150_000, 350_000, begin, nil)
	offer("hardly", 299_900, 299_900, begin, nil)
	offer("later", 1, 1, ms(t, "2027-06-01T00:00:00Z"), nil)
	offer("over", 1, 1, ms(t, "2026-12-01T00:00:00Z"), func(x *tariff.Tariff) { x.To = begin })
	offer("francs", 1, 1, begin, func(x *tariff.Tariff) { x.Currency = "CHF" })
	offer("edges", 1, 1, begin, func(x *tariff.Tariff) { x.Bands[0].ToMin, x.Bands[1].FromMin = 600, 600 }) // nothing is recorded at 10:00

	h.use(ms(t, "2026-11-01T00:00:00Z"), now, always(2000), always(8000))
	h.clock.Store(int64(now) + 3600_000)
	c := h.outlook().Tariffs[0]
	if c.Months != 4 || c.Missing != "" || c.Compared != 3 || len(c.Cheaper) != 1 || c.Cheaper[0].Tariff != "cheap-nights" || c.From != ms(t, "2026-11-01T00:00:00Z") || c.To != begin {
		t.Fatalf("comparison %+v", c)
	}
	// 120 days, 2 kWh at 0.35 and 8 at 0.15 against 10 at 0.30.
	if x := c.Cheaper[0]; c.Total.String() != "428.40" || x.Total.String() != "271.32" || x.Less.String() != "157.08" {
		t.Errorf("total %s, cheaper %+v", c.Total, x)
	}
	var tried api.TrialResult
	h.ok(200, "POST", "/api/tariffs/try", api.Trial{ID: "power", Point: "flat-3", From: c.From, To: c.To}, &tried)
	if net := tried.Tried[0].Net; net.String() != "360.00" {
		t.Errorf("tariff try says %s", net)
	}
	h.clock.Store(int64(ms(t, "2027-01-20T00:00:00Z")))
	if c := h.outlook().Tariffs[0]; c.Missing != outlook.MissingHistory || len(c.Cheaper) > 0 || c.Months != 0 {
		t.Errorf("after two months: %+v", c)
	}
}

// A copy for reading looks ahead unless it is told not to; the statement itself never does, and neither do its lines.
func TestStatementLooksAhead(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.settle()
	first, today := ms(t, "2026-11-01T00:00:00Z"), ms(t, "2026-12-11T00:00:00Z")
	h.use(first, today, always(5000), always(5000))
	h.clock.Store(int64(today) + 3600_000)
	h.ok(201, "POST", "/api/invoices", lamppost.InvoiceBody{Seller: "landlord", Buyer: "tenant", Currency: "EUR", From: first, To: ms(t, "2026-12-01T00:00:00Z")}, nil)
	h.details = render.Details{"tenant": {Budgets: outlook.Budgets{"EUR": 50 * lamppost.MicroUnit}}}
	page := func(query string) string {
		var raw []byte
		if status := h.do("GET", "/api/statements/tenant"+query, nil, &raw); status != 200 {
			t.Fatalf("%s: status %d: %s", query, status, raw)
		}
		return string(raw)
	}
	html := page("?format=html&lang=en")
	for _, want := range []string{`class="ahead"`, "71% used after 32% of the month: €35.70 of €50.00.", "expected to be exceeded on 15 December 2026", "About €111."} {
		if !strings.Contains(html, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if strings.Contains(page("?format=html&outlook=false"), `class="ahead"`) {
		t.Error("a page looks ahead that should not")
	}
	if strings.Contains(page(""), "budget") || strings.Contains(page("?format=csv"), "50.00") {
		t.Error("the statement, or its lines, look ahead")
	}
	h.refused(400, "bad_request", "GET", "/api/statements/tenant?format=html&outlook=perhaps", nil)
	h.refused(400, "bad_request", "GET", "/api/statements/tenant?outlook=false", nil)
}

// Settled sessions count where they ended, and go on as in each of the last weeks; those without a bill do not count.
func TestSessionsAhead(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.settle()
	h.charger()
	h.ok(201, "POST", "/api/parties", lamppost.PartyBody{ID: "guest", CreditLimit: 100 * lamppost.MicroUnit}, nil)
	const week = 7 * 24 * 3600 * 1000
	begin := ms(t, "2026-11-02T10:00:00Z") // a Monday
	session := func(id string, at lamppost.TimeMS, settle string) {
		h.clock.Store(int64(at))
		h.ok(201, "POST", "/api/sessions", lamppost.SessionBody{ID: id, Buyer: "guest", Point: "bay", Tariff: "fast", Version: 1, Limit: 10 * lamppost.MicroUnit, From: at, Until: at + 7_200_000}, nil)
		h.stand += 500
		opening := charge(at+20_000, h.stand)
		h.stand += 10_000
		h.clock.Store(int64(at + 3_600_000))
		must(t, h.submit(h.report("meter", lamppost.FlagBilling, opening, charge(at+1_830_000, h.stand)))[0].Err())
		h.ok(201, "POST", "/api/sessions/"+id+"/settle", settle, nil)
	}
	for i := range lamppost.TimeMS(6) { // until 7 December: 4.31 and tax each
		session(fmt.Sprint("s", i), begin+i*week, `{}`)
	}
	session("void", ms(t, "2026-12-08T10:00:00Z"), `{"void":"nobody came"}`)
	h.clock.Store(int64(ms(t, "2026-12-10T00:00:00Z")))
	var o outlook.Outlook
	h.ok(200, "GET", "/api/outlook/guest", nil, &o)
	if len(o.Months) != 1 || len(o.Months[0].Supplies) != 1 || len(o.Tariffs) != 0 {
		t.Fatalf("outlook %+v", o)
	}
	m := o.Months[0] // and on the 14th, the 21st and the 28th
	if e := m.Expected; m.SoFar.String() != "5.13" || e == nil || e.Weeks != 5 || e.Low.String() != "20.52" || e.High != e.Low || m.Supplies[0].Agreement != "" {
		t.Errorf("month %+v, expected %+v", m, e)
	}
	h.clock.Store(int64(begin + 3*week))
	h.ok(200, "GET", "/api/outlook/guest", nil, &o)
	if m := o.Months[0]; m.Expected != nil || m.Missing != outlook.MissingHistory {
		t.Errorf("after three weeks %+v", m)
	}
}

// Nobody learns from an outlook what the buyer before used at the point.
func TestFormerBuyer(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.settle()
	first, moved, today := ms(t, "2026-11-01T00:00:00Z"), ms(t, "2027-03-01T00:00:00Z"), ms(t, "2027-03-21T00:00:00Z")
	h.use(first, today, weekly(2000, 8000), always(5000))
	h.clock.Store(int64(today) + 1000)
	h.ok(201, "POST", "/api/parties", lamppost.PartyBody{ID: "tenant-2"}, nil)
	h.ok(201, "POST", "/api/agreements", lamppost.AgreementBody{ID: "flat-3-power", Seller: "landlord", Buyer: "tenant", Point: "flat-3", Tariff: "power", From: first, To: moved}, nil)
	h.ok(201, "POST", "/api/agreements", lamppost.AgreementBody{ID: "flat-3-next", Seller: "landlord", Buyer: "tenant-2", Point: "flat-3", Tariff: "power", From: moved}, nil)
	var o outlook.Outlook
	h.ok(200, "GET", "/api/outlook/tenant-2", nil, &o)
	if m := o.Months[0]; m.Missing != outlook.MissingHistory || m.Expected != nil || m.SoFar == 0 || o.Tariffs[0].Missing != outlook.MissingHistory {
		t.Errorf("the next tenant's outlook: %+v", o)
	}
	// Who comes between two readings begins on the straight line between them, as on a bill.
	h.ok(201, "POST", "/api/parties", lamppost.PartyBody{ID: "third"}, nil)
	h.ok(201, "POST", "/api/agreements", lamppost.AgreementBody{ID: "flat-3-next", Seller: "landlord", Buyer: "tenant-2", Point: "flat-3", Tariff: "power", From: moved, To: today - 30*3600_000}, nil)
	h.ok(201, "POST", "/api/agreements", lamppost.AgreementBody{ID: "flat-3-third", Seller: "landlord", Buyer: "third", Point: "flat-3", Tariff: "power", From: today - 30*3600_000}, nil)
	h.ok(200, "GET", "/api/outlook/third", nil, &o)
	if m := o.Months[0]; m.Missing != outlook.MissingHistory || m.SoFar == 0 {
		t.Errorf("who came between two readings: %+v", m)
	}
	if o := h.outlook(); len(o.Months)+len(o.Tariffs) != 0 {
		t.Errorf("who moved out has an outlook: %+v", o)
	}
}
