package outlook

import (
	"fmt"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/tariff"
)

// A Point is a metering point whose recorded use is priced.
type Point struct {
	Mounts []lamppost.PointBody // every meter that hung there, in turn
	// Registers returns the values known of a meter in a period and around it.
	Registers func(mount uint32, from, to lamppost.TimeMS) ([]tariff.Edge, error)
}

// PointOf is a point as bills see it.
func PointOf(v ledger.View, id string, mounts []lamppost.PointBody) Point {
	return Point{mounts, func(mount uint32, from, to lamppost.TimeMS) ([]tariff.Edge, error) {
		return v.Registers(id, mount, from, to)
	}}
}

// A Part is what one meter's use comes to in one billing period.
type Part struct {
	From   lamppost.TimeMS   `json:"from_ms"`
	To     lamppost.TimeMS   `json:"to_ms"`
	Mount  uint32            `json:"mount"`
	Device lamppost.DeviceID `json:"device"`
	Lines  []tariff.Line     `json:"lines"`
}

// Priced is what use comes to under some terms.
type Priced struct {
	Parts     []Part
	Net       lamppost.Micro
	Estimated bool // some line is
}

// Price prices [from, to), which lies in the terms' validity, meter by meter.
func (p *Point) Price(terms *tariff.Tariff, from, to lamppost.TimeMS) (Priced, error) {
	var out Priced
	err := out.bill(p, terms, from, to)
	return out, err
}

// Try prices the periods between cuts under terms that need not have been offered then. When levies and prices by time hold does count.
func (p *Point) Try(x *tariff.Tariff, cuts []lamppost.TimeMS) (Priced, error) {
	var out Priced
	terms := *x
	terms.From = min(terms.From, cuts[0])
	if terms.To != 0 {
		terms.To = max(terms.To, cuts[len(cuts)-1])
	}
	if err := terms.Validate(); err != nil {
		return out, err
	}
	if unit := p.Mounts[0].Unit; terms.RegisterUnit != unit {
		return out, fmt.Errorf("the meter counts in %q, the tariff in %q", unit, terms.RegisterUnit)
	}
	for i := 1; i < len(cuts); i++ {
		if err := out.bill(p, &terms, cuts[i-1], cuts[i]); err != nil {
			return Priced{}, err
		}
	}
	return out, nil
}

func (out *Priced) bill(p *Point, terms *tariff.Tariff, from, to lamppost.TimeMS) error {
	var meters [][]tariff.Edge
	var parts []Part
	for i := range p.Mounts {
		lo, hi := During(p.Mounts, i, from, to)
		if lo >= hi {
			continue
		}
		have, err := p.Registers(uint32(i), lo, hi)
		if err != nil {
			return err
		}
		edges, err := tariff.FillEdges(terms.Edges(lo, hi), have, p.Mounts[i].RollsAt)
		if err != nil {
			return fmt.Errorf("meter %q, register %q: %w", p.Mounts[i].Device, p.Mounts[i].Register, err)
		}
		meters, parts = append(meters, edges), append(parts, Part{lo, hi, uint32(i), p.Mounts[i].Device, nil})
	}
	lines, err := tariff.PriceInTurn(terms, meters)
	if err != nil {
		return err
	}
	for i := range parts {
		parts[i].Lines = lines[i]
		if err := out.add(lines[i]); err != nil {
			return err
		}
	}
	out.Parts = append(out.Parts, parts...)
	return nil
}

func (out *Priced) add(lines []tariff.Line) error {
	for i := range lines {
		sum, fits := out.Net.Add(lines[i].Amount)
		if !fits {
			return errLarge
		}
		out.Net, out.Estimated = sum, out.Estimated || lines[i].Estimated
	}
	return nil
}

// During returns the part of a period in which meter i hung at a point; it is empty where lo ≥ hi.
func During(mounts []lamppost.PointBody, i int, from, to lamppost.TimeMS) (lo, hi lamppost.TimeMS) {
	var next *lamppost.PointBody
	if i+1 < len(mounts) {
		next = &mounts[i+1]
	}
	hung, taken := mounts[i].Mounted(next)
	return max(from, hung), min(to, taken)
}
