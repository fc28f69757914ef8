package render_test

import (
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/outlook"
	"github.com/lamppost/lamppost/internal/render"
	"github.com/lamppost/lamppost/tariff"
)

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// A house makes the invoices of a house with all that a bill may show: several places and devices, bands, a series, standing
// charges, two rates of tax, a price below zero, a meter that was exchanged, readings that were estimated, a clock change.
// Only the ledger is missing: amounts are those of [tariff.Bill].
type house struct {
	t    testing.TB
	zone tariff.Zone
}

func newHouse(t testing.TB) *house {
	berlin := must(time.LoadLocation("Europe/Berlin"))(t)
	h := &house{t: t}
	h.zone = tariff.ZoneOf(berlin, h.at("2026-01-01 00:00"), h.at("2027-12-31 00:00"))
	return h
}

// at is a time on Berlin's clock.
func (h *house) at(text string) lamppost.TimeMS {
	h.t.Helper()
	berlin := must(time.LoadLocation("Europe/Berlin"))(h.t)
	return lamppost.TimeMS(must(time.ParseInLocation("2006-01-02 15:04", text, berlin))(h.t).UnixMilli())
}

func (h *house) terms(id, per, register string, scale uint8) tariff.Tariff {
	return tariff.Tariff{ID: id, Version: 1, Seller: "stadtwerk", Currency: "EUR", From: h.at("2026-09-01 00:00"), To: h.at("2027-06-01 00:00"),
		PerUnit: per, RegisterUnit: register, Scale: scale, Zone: h.zone, Rounding: tariff.RoundHalfUp, Tax: tariff.Tax{Category: "S", BasisPoints: 1900}}
}

func micro(t testing.TB, s string) lamppost.Micro { return must(lamppost.ParseMicro(s))(t) }

// power has two bands and a standing charge.
func (h *house) power() tariff.Tariff {
	x := h.terms("home-2026", "kWh", "Wh", 3)
	x.Standing = micro(h.t, "0.3512")
	x.Bands = []tariff.Band{{Name: "Tag", FromMin: 360, ToMin: 1320, Price: micro(h.t, "0.3019")},
		{Name: "Nacht", FromMin: 1320, ToMin: 1440, Price: micro(h.t, "0.2143")}, {Name: "Nacht", FromMin: 0, ToMin: 360, Price: micro(h.t, "0.2143")}}
	return x
}

// water has one price and another rate of tax.
func (h *house) water() tariff.Tariff {
	x := h.terms("water", "m3", "l", 3)
	x.Tax.BasisPoints = 700
	x.Bands = []tariff.Band{{Name: "Trinkwasser", FromMin: 0, ToMin: 1440, Price: micro(h.t, "1.813")}}
	return x
}

// solar pays the buyer.
func (h *house) solar() tariff.Tariff {
	x := h.terms("solar", "kWh", "Wh", 3)
	x.Bands = []tariff.Band{{Name: "Einspeisung", FromMin: 0, ToMin: 1440, Price: -micro(h.t, "0.0812")}}
	return x
}

// charging has a price for each hour.
func (h *house) charging() tariff.Tariff {
	x := h.terms("spot", "kWh", "Wh", 3)
	s := &tariff.Series{From: x.From, StepMS: 3_600_000}
	for i := lamppost.TimeMS(0); x.From+i*s.StepMS < x.To; i++ {
		s.Prices = append(s.Prices, lamppost.Micro(120_000+(i*7919)%210_000))
	}
	x.Series = s
	return x
}

// A contract is an agreement with what stands behind it.
type contract struct {
	id, place, device string
	terms             tariff.Tariff
	perHour           int64           // of the register
	rough             lamppost.TimeMS // from then on readings are substituted; 0: never
	exchanged         lamppost.TimeMS // when the meter was exchanged; 0: never
}

// supplies fills registers in with steady use.
func (h *house) supplies(c contract, from, to lamppost.TimeMS) (all []tariff.Supply) {
	a := lamppost.AgreementBody{ID: c.id, Seller: "stadtwerk", Buyer: "anna", Point: "point-" + c.id, Tariff: c.terms.ID, From: h.at("2026-09-01 00:00")}
	cuts := []lamppost.TimeMS{from, to}
	if from < c.exchanged && c.exchanged < to {
		cuts = []lamppost.TimeMS{from, c.exchanged, to}
	}
	for i := 1; i < len(cuts); i++ {
		s := tariff.Supply{Agreement: a, Device: lamppost.DeviceID(c.device), Register: "energy", Unit: c.terms.RegisterUnit, Place: c.place, Tariff: c.terms}
		if c.exchanged != 0 && cuts[i-1] >= c.exchanged {
			s.Device += "-new"
		}
		for _, at := range c.terms.Edges(cuts[i-1], cuts[i]) {
			used := int64(at-h.at("2026-09-01 00:00"))*c.perHour/360_000 + int64(at/3_600_000*7%13)*min(c.perHour, 1) // in tenths
			e := tariff.Edge{Time: at, Value: lamppost.Dec(used, -1)}
			if c.rough != 0 && at >= c.rough {
				e.Quality = lamppost.Substituted
			}
			s.Edges = append(s.Edges, e)
		}
		all = append(all, s)
	}
	return all
}

func (h *house) contracts() []contract {
	const flat, yard = "Hafenstraße 3, Wohnung 2", "Hafenstraße 3, Hof"
	return []contract{
		{id: "a-power", place: flat, device: "BQ27", terms: h.power(), perHour: 3130},
		{id: "b-water", place: flat, device: "W-0815", terms: h.water(), perHour: 90, rough: h.at("2026-11-12 00:00")},
		{id: "c-wallbox", place: yard, device: "WB-1", terms: h.charging(), perHour: 4010},
		{id: "d-solar", place: yard, device: "PV-1", terms: h.solar(), perHour: 970, exchanged: h.at("2026-11-20 00:00")},
	}
}

// invoice bills [from, to).
func (h *house) invoice(number, from, to string) *audit.Invoice {
	h.t.Helper()
	order := tariff.InvoiceOrder{Number: number, IssuedMS: h.at(to) + 63_000, InvoiceBody: lamppost.InvoiceBody{Seller: "stadtwerk", Buyer: "anna", Currency: "EUR",
		From: h.at(from), To: h.at(to)}}
	var supplies []tariff.Supply
	for _, c := range h.contracts() {
		supplies = append(supplies, h.supplies(c, order.From, order.To)...)
	}
	inv := &audit.Invoice{Invoice: must(tariff.Bill(order, supplies))(h.t), Zone: h.zone}
	for range inv.Supplies {
		t := h.power()
		inv.Tariffs = append(inv.Tariffs, &t)
	}
	return inv
}

// names are those of devices in the log.
func names(s *tariff.InvoiceSupply) string {
	return map[lamppost.DeviceID]string{"BQ27": "Stromzähler", "W-0815": "Wasserzähler", "WB-1": "Ladestation", "PV-1": "Solaranlage", "PV-1-new": "Solaranlage"}[s.Device]
}

// page is the house's statement over two months.
func (h *house) page() *render.Page {
	h.t.Helper()
	p := h.pageOf(h.invoice("ST-000041", "2026-10-01 00:00", "2026-11-01 00:00"), h.invoice("ST-000042", "2026-11-01 00:00", "2026-12-01 00:00"))
	p.Outlook = h.outlook()
	return p
}

func (h *house) pageOf(invoices ...*audit.Invoice) *render.Page {
	h.t.Helper()
	st := &audit.Statement{Network: "riverside", Party: audit.Named{ID: "anna", Name: "Anna Fischer"}, Checkpoint: audit.SignedCheckpoint{Size: 12_345,
		Root: "7428973c3a3ee3bb2f29ff992ee1a67cd95bcb0bdf1769aaecf9e440927dd5a0", Signers: []string{"riverside/north", "riverside/south"},
		Cosigned: []audit.CosignedBy{{Witness: "w1.utility.example", Log: "riverside/north", Time: "2026-12-01 00:02Z"}}}}
	for range invoices {
		st.Invoices = append(st.Invoices, audit.BilledInvoice{Seller: audit.Named{ID: "stadtwerk", Name: "Stadtwerk Nord GmbH"}, Buyer: st.Party,
			Lines: []audit.BilledLine{{N: 1, Opening: &audit.Value{Assurance: "device-signed"}, Closing: &audit.Value{Assurance: "entered by hand"}}}})
	}
	p := must(render.PageOf(st, invoices, details(h.t), names))(h.t)
	p.Proof.Pinned = true
	return p
}

// outlook is what Anna may expect in December: of one place too little is known to compare tariffs, and her budget will not last.
func (h *house) outlook() *outlook.Outlook {
	const flat, yard = "Hafenstraße 3, Wohnung 2", "Hafenstraße 3, Hof"
	m := func(s string) lamppost.Micro { return micro(h.t, s) }
	night := h.power()
	night.ID, night.Bands[0].Price, night.Bands[1].Price, night.Bands[2].Price = "stadtwerk-nachtstrom", m("0.3349"), m("0.1219"), m("0.1219")
	spot := h.charging()
	spot.ID = "stadtwerk-dynamisch"
	from, to, now := h.at("2026-12-01 00:00"), h.at("2027-01-01 00:00"), h.at("2026-12-13 00:00")
	return &outlook.Outlook{Party: "anna", At: now + 36_000_000, Zone: h.zone,
		Months: []outlook.Month{{Currency: "EUR", From: from, To: to, Until: now, SoFar: m("124.41"), Expected: &outlook.Expected{Amount: m("321.87"), Low: m("297.11"), High: m("358.50"), Weeks: 8},
			Supplies: []outlook.Supply{
				{Agreement: "a-power", Seller: "stadtwerk", Point: "point-a-power", Place: flat, PerUnit: "kWh", Until: now, SoFar: m("121.94"), Expected: &outlook.Expected{Amount: m("315.33"), Low: m("292.05"), High: m("350.40"), Weeks: 8}},
				{Agreement: "b-water", Seller: "stadtwerk", Point: "point-b-water", Place: flat, PerUnit: "m3", Until: now, SoFar: m("2.47"), Expected: &outlook.Expected{Amount: m("6.54"), Low: m("5.06"), High: m("8.10"), Weeks: 8}}}}},
		Budgets: []outlook.Budget{{Currency: "EUR", Amount: m("200"), From: from, To: to, Until: now, Used: m("124.41"), UsedPercent: 62, TimePercent: 38,
			Over: h.at("2026-12-20 00:00"), Notices: []outlook.Notice{outlook.NoticeExpected}}},
		Tariffs: []outlook.Comparison{
			{Agreement: "a-power", Seller: "stadtwerk", Point: "point-a-power", Place: flat, PerUnit: "kWh", Currency: "EUR", From: h.at("2026-09-01 00:00"), To: from, Months: 3, Tariff: "home-2026", Version: 1,
				Total: m("912.40"), Compared: 2, Cheaper: []outlook.Offer{{Tariff: night.ID, Version: 1, Total: m("855.12"), Less: m("57.28"), Terms: night},
					{Tariff: spot.ID, Version: 2, Total: m("881.97"), Less: m("30.43"), Terms: spot}}},
			{Agreement: "d-solar", Seller: "stadtwerk", Point: "point-d-solar", Place: yard, PerUnit: "kWh", Currency: "EUR", Tariff: "solar", Version: 1, Compared: 1, Cheaper: []outlook.Offer{}},
			{Agreement: "b-water", Seller: "stadtwerk", Point: "point-b-water", Place: flat, PerUnit: "m3", Currency: "EUR", Tariff: "water", Missing: outlook.MissingHistory}}}
}

func details(t testing.TB) render.Details {
	return must(render.ParseDetails([]byte(`{
		"stadtwerk": {"street": "Kaiserkai 10", "postcode": "20457", "city": "Hamburg", "country": "DE", "vat": "DE123456789", "registration": "HRB 4711",
			"email": "rechnung@stadtwerk.example", "iban": "DE02120300000000202051", "bic": "BYLADEM1001", "due_days": 14},
		"anna": {"lang": "de-DE", "street": "Hafenstraße 3", "postcode": "20457", "city": "Hamburg", "country": "DE"}}`)))(t)
}
