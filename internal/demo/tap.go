package demo

import "github.com/lamppost/lamppost"

const (
	registerWater = "water"
	unitWater     = "l"
	whPerLitre    = 80 // made up: who is at home uses water where he uses power
)

// A tap is the water meter of a flat, or the one that took its place.
type tap struct {
	flat *flat
	hung lamppost.TimeMS // it counts what flows from then on
	base int64           // litres on it then
}

// shows returns the litres on the register at a time, rounded down as meters do.
func (m *tap) shows(t lamppost.TimeMS) int64 {
	return m.base + m.flat.used(t)/whPerLitre - m.flat.used(m.hung)/whPerLitre
}

// read returns what the meter shows at t.
func (m *tap) read(t lamppost.TimeMS) []lamppost.Reading {
	return []lamppost.Reading{
		{Name: registerWater, Unit: unitWater, Kind: lamppost.Register, Time: t, Value: lamppost.Dec(m.shows(t), 0)},
	}
}

func (m *tap) heldUp() int { return 0 }
