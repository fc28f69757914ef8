package demo

import (
	"fmt"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/tariff"
)

// The parties of the district. Tenants are "tenant-01" and so on.
const (
	utility   lamppost.PartyID = "stadtwerke"
	lampOwner lamppost.PartyID = "laternen-eg"
	city      lamppost.PartyID = "stadt"
	landlord  lamppost.PartyID = "hausverwaltung"
)

const (
	wornMeter    lamppost.DeviceID = "water-03" // of the teller's flat
	exchangeDay                    = 3          // Thursday
	exchangeTime                   = 10*hourMS + quarterMS
)

const (
	lamps          = 40
	registerEnergy = "energy"
	registerLight  = "light"
	unitLight      = "lmh" // lumen hours
	currency       = "EUR"
)

// vat is what all sellers of the district charge: the German standard rate.
var vat = tariff.Tax{Category: "S", BasisPoints: 1900}

// The people of the house are invented.
var tenantNames = [flats]string{
	"Amina Yılmaz", "Jonas Becker", "Lucía Fernández", "Oluwaseun Adeyemi", "Katarzyna Nowak", "Minh Anh Trần",
	"Frieda Lindqvist", "Rahul Deshpande", "Chiara Rossi", "Yusuf Karim", "Hannelore Vogt", "Mateo Silva",
}

// waterTax is the reduced rate, which drinking water has.
var waterTax = tariff.Tax{Category: "S", BasisPoints: 700}

// A district is everything about the scenario that does not depend on its running: a street of lamps that buy their
// electricity and sell their light, and a house whose landlord sells electricity and water to the tenants.
type district struct {
	world
	week  *Week
	days  []Day
	pairs []pair // who is invoiced by whom every day
}

const (
	street = "Kastanienallee"
	house  = "Kastanienallee 7"
)

// A pair is two parties with agreements.
type pair struct{ seller, buyer lamppost.PartyID }

func newDistrict(w *Week) *district {
	d := &district{week: w, days: w.Days(), world: world{span: "A week", from: w.From(), to: w.To(), zone: w.Zone}}
	d.parties = []lamppost.PartyBody{
		{ID: utility, Name: "Stadtwerke Lindenau"},
		{ID: lampOwner, Name: "Laternen eG, a cooperative"},
		{ID: city, Name: "Stadt Lindenau"},
		{ID: landlord, Name: "Hausverwaltung Kastanienallee 7", CreditLimit: 10_000 * lamppost.MicroUnit},
	}
	power, light, flat, water := w.powerTariff("street-power"), d.lightTariff(), d.flatTariff(), d.waterTariff()
	d.tariffs = []*tariff.Tariff{power, light, flat, water}
	d.pairs = []pair{{utility, lampOwner}, {lampOwner, city}}
	for i := range lamps {
		d.addLamp(i, power, light)
	}
	for i := range flats {
		d.addFlat(i, flat)
	}
	for i := range flats {
		d.addTap(i, water)
	}
	d.exchange(water)
	return d
}

// lampID is the id of the n-th lamp, counted from 0.
func lampID(n int) lamppost.DeviceID { return lamppost.DeviceID(fmt.Sprintf("lamp-%02d", n+1)) }

func (d *district) addLamp(i int, power, light *tariff.Tariff) {
	id := string(lampID(i))
	d.agents = append(d.agents, lampAgent(lampID(i), power.ID))
	d.machines = append(d.machines, machineSpec{
		id: lamppost.DeviceID(id), owner: lampOwner, name: fmt.Sprintf("Street lamp %d", i+1),
		site: street, place: fmt.Sprintf("%s, pole %d", street, i+1), safety: lamppost.Public, model: newLamp(d.week, i),
		registers: []registerSpec{
			{registerEnergy, power.RegisterUnit, d.edges(power)},
			{registerLight, light.RegisterUnit, d.edges(light)},
		},
	})
	d.supply(id, registerEnergy, power, lampOwner)
	d.supply(id, registerLight, light, city)
}

func (d *district) addFlat(i int, t *tariff.Tariff) {
	id, tenant := fmt.Sprintf("flat-%02d", i+1), lamppost.PartyID(fmt.Sprintf("tenant-%02d", i+1))
	d.parties = append(d.parties, lamppost.PartyBody{ID: tenant, Name: tenantNames[i]})
	d.pairs = append(d.pairs, pair{landlord, tenant})
	d.machines = append(d.machines, machineSpec{
		id: lamppost.DeviceID(id), owner: landlord, name: fmt.Sprintf("Meter of flat %d", i+1),
		site: house, place: fmt.Sprintf("%s, flat %d", house, i+1), safety: lamppost.Essential, model: newFlat(d.week, i),
		registers: []registerSpec{{registerEnergy, t.RegisterUnit, d.edges(t)}},
	})
	d.supply(id, registerEnergy, t, tenant)
}

func (d *district) addTap(i int, t *tariff.Tariff) {
	id, home := fmt.Sprintf("water-%02d", i+1), &d.machines[lamps+i]
	model := &tap{flat: home.model.(*flat), hung: d.week.From(), base: 300_000 + 41_237*int64(i)}
	d.machines = append(d.machines, machineSpec{
		id: lamppost.DeviceID(id), owner: landlord, name: fmt.Sprintf("Water meter of flat %d", i+1),
		site: house, place: home.place, safety: lamppost.Essential, model: model,
		registers: []registerSpec{{registerWater, t.RegisterUnit, d.edges(t)}},
	})
	d.supply(id, registerWater, t, lamppost.PartyID(fmt.Sprintf("tenant-%02d", i+1)))
}

// exchange has the water meter of the teller's flat replaced in the middle of the week: both sign what they show then.
func (d *district) exchange(t *tariff.Tariff) {
	i := slices.IndexFunc(d.machines, func(m machineSpec) bool { return m.id == wornMeter })
	at := d.days[exchangeDay].From + exchangeTime
	next := d.machines[i]
	next.id, next.name, next.from = wornMeter+"b", next.name+", new", at
	next.model = &tap{flat: next.model.(*tap).flat, hung: at, base: 12} // from its calibration
	old, edges := &d.machines[i], d.edges(t)
	n, _ := slices.BinarySearch(edges, at)
	old.to = at
	old.registers = []registerSpec{{registerWater, t.RegisterUnit, append(slices.Clone(edges[:n]), at)}}
	next.registers = []registerSpec{{registerWater, t.RegisterUnit, append([]lamppost.TimeMS{at}, edges[n:]...)}}
	old.next = next.id
	d.machines = append(d.machines, next)
}

// pointOf returns the metering point at which a machine measures what it bills by.
func (d *district) pointOf(id lamppost.DeviceID) lamppost.PointBody {
	return d.points[slices.IndexFunc(d.points, func(p lamppost.PointBody) bool { return p.Device == id })]
}

// supply opens a metering point of the machine added last, and the agreement to buy there.
func (d *district) supply(device, register string, t *tariff.Tariff, buyer lamppost.PartyID) {
	m := &d.machines[len(d.machines)-1]
	id := device + "-" + register
	d.points = append(d.points, lamppost.PointBody{ID: id, Device: m.id, Register: register, Unit: t.RegisterUnit, Place: m.place})
	d.agreements = append(d.agreements, lamppost.AgreementBody{ID: id, Seller: t.Seller, Buyer: buyer, Point: id, Tariff: t.ID,
		From: d.week.From()})
}

// terms are what the district's tariffs have in common.
func (d *district) terms(id string, seller lamppost.PartyID) *tariff.Tariff {
	return d.week.terms(id, seller)
}

func (w *Week) terms(id string, seller lamppost.PartyID) *tariff.Tariff {
	return &tariff.Tariff{ID: id, Version: 1, Seller: seller, Currency: currency, From: w.From(),
		PerUnit: "kWh", RegisterUnit: "Wh", Scale: 3, Zone: w.Zone, Rounding: tariff.RoundHalfUp, Tax: vat}
}

// powerTariff passes the hourly price on. Its series ends with the week.
func (w *Week) powerTariff(id string) *tariff.Tariff {
	t := w.terms(id, utility)
	t.To = w.To()
	t.Series = &tariff.Series{From: t.From, StepMS: hourMS}
	for i := range w.Hours {
		t.Series.Prices = append(t.Series.Prices, w.Hours[i].Price)
	}
	return t
}

// lightTariff pays for light that reaches the street, less in the small hours.
func (d *district) lightTariff() *tariff.Tariff {
	t := d.terms("street-light", lampOwner)
	t.PerUnit, t.RegisterUnit = "klmh", unitLight
	t.Bands = []tariff.Band{
		{Name: "after midnight", FromMin: 0, ToMin: 5 * 60, Price: 2_400},
		{Name: "evening and morning", FromMin: 5 * 60, ToMin: 24 * 60, Price: 3_400},
	}
	return t
}

func (d *district) flatTariff() *tariff.Tariff {
	t := d.terms("flat-power", landlord)
	t.Bands = []tariff.Band{
		{Name: "night", FromMin: 0, ToMin: 6 * 60, Price: 240_000},
		{Name: "day", FromMin: 6 * 60, ToMin: 22 * 60, Price: 320_000},
		{Name: "night", FromMin: 22 * 60, ToMin: 24 * 60, Price: 240_000},
	}
	t.Standing = 350_000
	return t
}

// waterTariff charges more for what goes beyond what a household needs in a day.
func (d *district) waterTariff() *tariff.Tariff {
	t := d.terms("house-water", landlord)
	t.PerUnit, t.RegisterUnit, t.Tax = "m³", unitWater, waterTax
	t.Bands = []tariff.Band{{Name: registerWater, ToMin: 24 * 60}}
	t.Blocks = []tariff.Block{{To: lamppost.Dec(150, -3), Price: 3_800_000}, {Price: 5_100_000}}
	t.BlockRule = tariff.BlockDay
	return t
}

// reportsOn is how many billing reports there are of a UTC day: one of every register that hangs there then.
func (d *district) reportsOn(day lamppost.TimeMS) (n int) {
	for i := range d.machines {
		if m := &d.machines[i]; m.on(day) {
			n += len(m.registers)
		}
	}
	return n
}

// edges returns at which times a register is needed to bill every day of the week on its own.
func (d *district) edges(t *tariff.Tariff) []lamppost.TimeMS {
	var all []lamppost.TimeMS
	for _, day := range d.days {
		all = append(all, t.Edges(day.From, day.To)...)
	}
	return slices.Compact(all)
}
