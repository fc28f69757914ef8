package demo

import "github.com/lamppost/lamppost"

// A flat is the electricity meter of a flat. Within an hour of the data its power is constant.
type flat struct {
	week  *Week
	n     int
	base  int64                // Wh on the register when the week begins
	until [weekHours + 1]int64 // Wh used before each hour
}

func newFlat(w *Week, n int) *flat {
	f := &flat{week: w, n: n, base: 4_000_000 + 731_113*int64(n)}
	for i := range w.Hours {
		f.until[i+1] = f.until[i] + w.Hours[i].FlatWh[n]
	}
	return f
}

// used returns the Wh used from the week's begin to t, rounded down as meters do.
func (f *flat) used(t lamppost.TimeMS) int64 {
	i := f.week.at(t)
	return f.until[i] + f.week.Hours[i].FlatWh[f.n]*int64(t-f.week.Hours[i].Start)/int64(hourMS)
}

// read returns what the meter shows at t.
func (f *flat) read(t lamppost.TimeMS) []lamppost.Reading {
	return []lamppost.Reading{
		{Name: registerEnergy, Unit: "Wh", Kind: lamppost.Register, Time: t, Value: lamppost.Dec(f.base+f.used(t), 0)},
		{Name: "power", Unit: "W", Time: t, Value: lamppost.Dec(f.week.Hours[f.week.at(t)].FlatWh[f.n], 0)},
	}
}

func (f *flat) heldUp() int { return 0 }
