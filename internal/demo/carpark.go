package demo

import (
	"fmt"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/tariff"
)

// The parties of the car park. Drivers are "driver-01" and so on; "guest-01" are people without a name who pay at once.
const (
	operator lamppost.PartyID = "parkhaus"
	provider lamppost.PartyID = "zahlfix" // takes the guests' money, and gives the rest back
)

const (
	carParkSite = "Parkhaus Lindenau"
	lowerDeck   = carParkSite + ", lower deck"
	upperDeck   = carParkSite + ", upper deck"

	providerCredit = 10_000 * lamppost.MicroUnit
	driverCredit   = 150 * lamppost.MicroUnit
	noCreditLimit  = 5 * lamppost.MicroUnit // of the driver who may not charge
	graceMin       = 60                     // in which a full car may stay for nothing
)

// The drivers are invented.
var (
	givenNames  = [...]string{"Alba", "Björn", "Chipo", "Daan", "Elif", "Farid", "Greta", "Hiroshi"}
	familyNames = [...]string{"Albrecht", "Baptista", "Chukwu", "Doğan", "Eriksen", "Fontaine", "Grigorescu"}
)

// A carPark is a car park with chargers at which people with an account and guests charge their cars for two days.
type carPark struct {
	world
	week       *Week // whose prices the operator pays
	cheap      [24]bool
	stays      []stay
	source     string // of the stays
	buyers     []lamppost.PartyID
	terms      *tariff.Tariff
	controller *controller
	charged    charging // as its agents decided
}

func newCarPark(sets string) (*carPark, error) {
	stays, source, err := loadStays(sets, parkFrom())
	if err != nil {
		return nil, err
	}
	return carParkOf(stays, source)
}

// parkFrom is Thursday's begin in the town.
func parkFrom() lamppost.TimeMS {
	return lamppost.TimeMS(time.Date(2026, 10, 21, 22, 0, 0, 0, time.UTC).UnixMilli())
}

func carParkOf(stays []stay, source string) (*carPark, error) {
	week, err := LoadWeek()
	if err != nil {
		return nil, err
	}
	from := parkFrom()
	p := &carPark{week: week, cheap: week.cheap(), stays: stays, source: source,
		world: world{span: "A pair of days", from: from, to: from + parkDays*24*hourMS, zone: townZone()}}
	p.parties = []lamppost.PartyBody{
		// What guests paid stands on the chargers' accounts; the operator's own pays the provider out.
		{ID: operator, Name: "Parkhaus Lindenau GmbH", CreditLimit: providerCredit},
		{ID: provider, Name: "Zahlfix, a payment provider", CreditLimit: providerCredit},
		{ID: utility, Name: "Stadtwerke Lindenau"},
	}
	p.terms = p.tariff()
	p.tariffs = []*tariff.Tariff{p.terms, week.powerTariff("car-park-power")}
	for i := range chargers {
		p.addCharger(i)
	}
	p.addBuyers()
	p.controller = newController(p)
	cars, peak := p.charge(p.controller.decide)
	p.charged = p.sum(cars, peak)
	for i := range cars {
		p.stays[i].marks = cars[i].marks
	}
	return p, nil
}

func (p *carPark) addCharger(i int) {
	id, site := fmt.Sprintf("charger-%02d", i+1), lowerDeck
	if i >= chargers/2 {
		site = upperDeck
	}
	place := fmt.Sprintf("%s, place %d", site, i+1)
	p.machines = append(p.machines, machineSpec{id: lamppost.DeviceID(id), owner: operator, name: fmt.Sprintf("Charger %d", i+1),
		site: site, place: place, safety: lamppost.Ordinary})
	p.points = append(p.points, lamppost.PointBody{ID: id, Device: lamppost.DeviceID(id), Register: registerEnergy,
		Unit: p.terms.RegisterUnit, Place: place, Sessions: true})
	p.agents = append(p.agents, chargerAgent(lamppost.DeviceID(id), p.tariffs[1].ID))
}

// addBuyers makes a party of each driver, and of each guest, who comes once.
func (p *carPark) addBuyers() {
	ids := make(map[string]lamppost.PartyID)
	guests := 0
	for i := range p.stays {
		s := &p.stays[i]
		id, known := ids[s.who]
		if s.who == "" {
			guests++
			id = lamppost.PartyID(fmt.Sprintf("guest-%02d", guests))
			p.parties = append(p.parties, lamppost.PartyBody{ID: id})
		} else if !known {
			n := len(ids)
			id = lamppost.PartyID(fmt.Sprintf("driver-%02d", n+1))
			ids[s.who] = id
			d := lamppost.PartyBody{ID: id, CreditLimit: driverCredit,
				Name: givenNames[n%len(givenNames)] + " " + familyNames[n%len(familyNames)]}
			if s.mishap == noCredit {
				d.CreditLimit = noCreditLimit
			}
			p.parties = append(p.parties, d)
		}
		p.buyers = append(p.buyers, id)
	}
}

func (p *carPark) tariff() *tariff.Tariff {
	return &tariff.Tariff{ID: "charging", Version: 1, Seller: operator, Currency: currency, From: p.from - leadInMS,
		PerUnit: "kWh", RegisterUnit: "Wh", Scale: 3, Zone: p.zone, Rounding: tariff.RoundHalfUp, Tax: vat,
		Bands: []tariff.Band{
			{Name: "night", FromMin: 0, ToMin: 7 * 60, Price: 390_000},
			{Name: "day", FromMin: 7 * 60, ToMin: 21 * 60, Price: 490_000},
			{Name: "night", FromMin: 21 * 60, ToMin: 24 * 60, Price: 390_000},
		},
		Session: &tariff.SessionTerms{Start: 500_000, Idle: 50_000, Grace: graceMin, MaxMin: 120},
	}
}

const leadInMS = lamppost.TimeMS(leadIn / time.Millisecond)

// until is when a stay's session has ended at the latest.
func (s *stay) until() lamppost.TimeMS { return s.out + minuteMS }

// price is what the operator pays for a kWh.
func (p *carPark) price(t lamppost.TimeMS) lamppost.Micro { return p.week.Hours[p.week.at(t)].Price }

// quote says what a stay will cost if it is charged at once, and the limit that its session should have: that, a reserve for other hours,
// and full fives.
func (p *carPark) quote(s stay) (lines []tariff.Line, sum, limit lamppost.Micro, err error) {
	planned := s.atOnce()
	var have []tariff.Edge
	add := func(t lamppost.TimeMS) {
		have = append(have, tariff.Edge{Time: t, Value: lamppost.Dec(planned.used(t), 0)})
	}
	for t := planned.in - planned.in%quarterMS + quarterMS; t < planned.out; t += quarterMS {
		add(t)
	}
	for _, t := range [...]lamppost.TimeMS{planned.in, planned.full, planned.out} {
		add(t)
	}
	edges, err := tariff.SessionEdges(p.terms, tariff.Moments(have), planned.in, planned.out, nil)
	if err != nil {
		return nil, 0, 0, err
	}
	if lines, err = tariff.PriceSession(p.terms, edges, tariff.MaxPrice); err != nil {
		return nil, 0, 0, err
	}
	for i := range lines {
		sum += lines[i].Amount
	}
	const step = 5 * lamppost.MicroUnit
	return lines, sum, (sum/step + 2) * step, nil
}
