package agent

import "github.com/lamppost/lamppost"

// A Valve closes on a verdict that water leaks, unless it is essential, somebody draws water right now, or what is wanted of it is worth more than what is
// lost. It needs the forecast "use" (mL/h that is wanted) only while a leak stands and nobody declared the place vacant.
//
// It opens again when a person says the leak is none or mended, when the verdict no longer stands, and for one interval every Retry to see whether
// water still runs.
type Valve struct {
	Leak      *Leak           `cbor:"1,keyasint,omitempty" json:"leak,omitempty"` // nil: no verdict stands
	Essential bool            `cbor:"2,keyasint" json:"essential"`                // sprinklers, people who depend on it: never closed
	Vacant    bool            `cbor:"3,keyasint" json:"vacant"`                   // declared: nobody wants water
	Cleared   bool            `cbor:"4,keyasint" json:"cleared"`                  // a person said of this verdict that all is well
	Flow      int64           `cbor:"5,keyasint" json:"flow"`                     // mL/h, now
	Closed    lamppost.TimeMS `cbor:"6,keyasint" json:"closed_ms"`                // since it was closed; 0: it is open
	Retry     lamppost.TimeMS `cbor:"7,keyasint" json:"retry_ms"`                 // after which a closed valve is tried; 0: never
	Price     lamppost.Micro  `cbor:"8,keyasint" json:"price"`                    // per m³
	Damage    lamppost.Micro  `cbor:"9,keyasint" json:"damage"`                   // per hour that it leaks
	Worth     lamppost.Micro  `cbor:"10,keyasint" json:"worth"`                   // per m³ that is wanted and does not come
}

// A Leak is what the verdict says.
type Leak struct {
	Flow int64           `cbor:"1,keyasint" json:"flow"` // mL/h that run day and night
	Sure int64           `cbor:"2,keyasint" json:"sure"` // thousandths
	For  lamppost.TimeMS `cbor:"3,keyasint" json:"for_ms"`
}

// patience is how long a leak waits for somebody who draws water; a shower is shorter.
const patience = 3_600_000

// maxLeak is 10 m³/h, in mL/h.
const maxLeak = 10_000_000

func (v *Valve) valid() bool {
	ok := between(v.Flow, 0, most) && between(int64(v.Closed), 0, 1<<50) && between(int64(v.Retry), 0, 1<<50) && between(int64(v.Price), 0, MaxPrice) &&
		between(int64(v.Damage), 0, most) && between(int64(v.Worth), 0, most)
	if v.Leak != nil {
		ok = ok && between(v.Leak.Flow, 0, maxLeak) && between(v.Leak.Sure, 0, 1000) && between(int64(v.Leak.For), 0, 1<<50)
	}
	return ok
}

const (
	open   = 1000
	closed = 0
)

// settled is what needs no weighing: an answer, why, and whether there is one.
func (in *Inputs) settled() (value int64, why string) {
	v := in.Valve
	switch {
	case v.Essential:
		return open, "essential"
	case v.Leak == nil:
		return open, "no_leak"
	case v.Cleared:
		return open, "cleared"
	case v.Closed > 0 && v.Retry > 0 && v.Closed >= v.Retry && v.Closed%v.Retry < in.Step:
		return open, "tried"
	case !v.Vacant && v.Closed == 0 && v.Flow > 2*v.Leak.Flow && v.Leak.For < patience:
		return open, "in_use"
	}
	return 0, ""
}

// valveSafe: as it stands, but closed where nobody wants water, and open where nothing leaks or it is essential.
func (in *Inputs) valveSafe() int64 {
	if value, why := in.settled(); why != "" && why != "tried" {
		return value
	}
	if in.Valve.Vacant || in.Valve.Closed > 0 {
		return closed
	}
	return open
}

func (in *Inputs) valve(c *choice) (name, why string) {
	v := in.Valve
	safe := in.valveSafe()
	if value, why := in.settled(); why != "" {
		c.offer(option{value: in.Bounds.hold(value)})
		c.because(reason{code: why})
		if v.Leak != nil {
			c.because(v.leakReason())
		}
		return "", ""
	}
	wanted := int64(0) // mL over the horizon
	if !v.Vacant {
		use, why := in.series("use")
		if why != "" {
			return "use", why
		}
		for _, p := range use {
			wanted += in.hours(max(0, p.Mean))
		}
		c.saw("use", use[0])
	}
	steps := int64(in.Steps)
	lost := v.Leak.Sure * (steps*in.hours(v.Leak.Flow)*int64(v.Price)/1_000_000 + steps*in.hours(int64(v.Damage))) / 1000
	missed := wanted / 1000 * int64(v.Worth) / 1000
	first := v.Leak.Sure * in.hours(v.Leak.Flow) / 1000 * int64(v.Price) / 1_000_000
	for _, o := range [...]option{{value: open, cost: lost, spend: first}, {value: closed, cost: missed}} {
		o.value = in.Bounds.hold(o.value)
		if o.value == in.Bounds.hold(safe) {
			c.safe = o
		}
		c.offer(o)
	}
	c.because(v.leakReason())
	if v.Vacant {
		c.because(reason{code: "vacant"})
	} else {
		c.because(forecastReason("use", flow, c.seen[0].p))
	}
	return "", ""
}

func (v *Valve) leakReason() reason {
	return reason{code: "leak", value: v.Leak.Flow, set: 1, of: flow}
}
