package agent

import (
	"crypto/sha256"
	"fmt"
	"math"

	"github.com/lamppost/lamppost"
)

// Limits of inputs. What is beyond them is a mistake, and the safe rule holds; within them no sum overflows.
const (
	MaxSteps    = 96
	MaxStep     = 86_400_000    // ms
	MaxPower    = 10_000_000    // W
	MaxEnergy   = 1_000_000_000 // Wh
	MaxPrice    = 100_000_000   // Micro per kWh or m³
	MaxNeeds    = 8
	MaxSessions = 64
	MaxReasons  = 3
	MaxBytes    = 64 << 10 // of encoded inputs
	// MaxAge is how old the data may be that a forecast was made from.
	MaxAge lamppost.TimeMS = 6 * 3_600_000

	format = 1
	most   = 1_000_000_000 // of any other number's magnitude
)

// Inputs are all that a decision depends on. One of Lamp, Charger, Storage and Valve is there, that of the kind.
type Inputs struct {
	Format    uint8              `cbor:"1,keyasint" json:"format"` // 1
	Device    lamppost.DeviceID  `cbor:"2,keyasint" json:"device"`
	Kind      lamppost.AgentKind `cbor:"3,keyasint" json:"kind"`
	Mode      lamppost.AgentMode `cbor:"4,keyasint" json:"mode"` // the owner's: not safe
	At        lamppost.TimeMS    `cbor:"5,keyasint" json:"at_ms"`
	Step      lamppost.TimeMS    `cbor:"6,keyasint" json:"step_ms"` // of an interval; the decision is for the first
	Steps     uint8              `cbor:"7,keyasint" json:"steps"`   // of the horizon
	Currency  string             `cbor:"8,keyasint" json:"currency"`
	Bounds    Bounds             `cbor:"9,keyasint" json:"bounds"`
	Budget    *lamppost.Micro    `cbor:"10,keyasint,omitempty" json:"budget,omitempty"` // that is left of the spending limit; nil: there is none
	Forecasts []Forecast         `cbor:"11,keyasint,omitempty" json:"forecasts,omitempty"`

	Lamp    *Lamp    `cbor:"12,keyasint,omitempty" json:"lamp,omitempty"`
	Charger *Charger `cbor:"13,keyasint,omitempty" json:"charger,omitempty"`
	Storage *Storage `cbor:"14,keyasint,omitempty" json:"storage,omitempty"`
	Valve   *Valve   `cbor:"15,keyasint,omitempty" json:"valve,omitempty"`

	Site *Site `cbor:"16,keyasint,omitempty" json:"site,omitempty"` // of chargers and storages that trade
}

// Bounds are what no action leaves, in W, or in thousandths of a level or a valve. Least is the guard's minimum.
type Bounds struct {
	Least int64 `cbor:"1,keyasint" json:"least"`
	Most  int64 `cbor:"2,keyasint" json:"most"`
}

// A Forecast is what is expected of a quantity in each interval of the horizon.
type Forecast struct {
	Name   string          `cbor:"1,keyasint" json:"name"`
	Age    lamppost.TimeMS `cbor:"2,keyasint" json:"age_ms"`
	Usable bool            `cbor:"3,keyasint" json:"usable"` // by whoever made it
	Points []Point         `cbor:"4,keyasint,omitempty" json:"points,omitempty"`
}

// A Point is the forecast of one interval, which nine of ten come to lie in: one of twenty below Low, one above High.
type Point struct {
	_    struct{}        `cbor:",toarray"`
	At   lamppost.TimeMS `json:"at_ms"` // the interval's begin
	Mean int64           `json:"mean"`
	Low  int64           `json:"low"`
	High int64           `json:"high"`
}

// Round makes a point of a forecast in numbers, scale units of the inputs to one of the forecast's. It answers false where a number is
// none or too large.
func Round(at lamppost.TimeMS, mean, low, high, scale float64) (Point, bool) {
	p := Point{At: at}
	for _, x := range [...]struct {
		from float64
		to   *int64
	}{{mean, &p.Mean}, {low, &p.Low}, {high, &p.High}} {
		v := math.Round(float64(x.from * scale))
		if !(math.Abs(v) <= most) {
			return Point{}, false
		}
		*x.to = int64(v)
	}
	p.Mean = min(max(p.Mean, p.Low), p.High)
	return p, p.Low <= p.High
}

// Encode writes the canonical form: deterministic CBOR. Its SHA-256 is the commitment to the inputs.
func (in *Inputs) Encode() []byte { return lamppost.Marshal(in) }

// Hash is the commitment to the inputs.
func (in *Inputs) Hash() lamppost.Hash { return sha256.Sum256(in.Encode()) }

// ParseInputs reads what Encode writes, and nothing else. Inputs that make no sense are read too: they decide for the safe rule.
func ParseInputs(data []byte) (*Inputs, error) {
	if len(data) > MaxBytes {
		return nil, fmt.Errorf("inputs of %d bytes, at most %d", len(data), MaxBytes)
	}
	in := new(Inputs)
	if err := lamppost.Unmarshal(data, in); err != nil {
		return nil, fmt.Errorf("reading an agent's inputs: %w", err)
	}
	if in.Format != format {
		return nil, fmt.Errorf("inputs of format %d, not %d", in.Format, format)
	}
	return in, nil
}

// valid says whether the numbers can be counted with.
func (in *Inputs) valid() bool {
	ok := in.Step > 0 && in.Step <= MaxStep && in.Steps > 0 && in.Steps <= MaxSteps && within(int64(in.At), 1<<50) &&
		in.Bounds.Least <= in.Bounds.Most && within(in.Bounds.Least, most) && within(in.Bounds.Most, most) &&
		in.Mode >= lamppost.AgentAdvises && in.Mode <= lamppost.AgentStopped
	if share := in.Kind == lamppost.AgentLamp || in.Kind == lamppost.AgentValve; !ok || share && (in.Bounds.Least < 0 || in.Bounds.Most > 1000) {
		return false
	}
	if powered := in.Kind == lamppost.AgentStorage || in.Kind == lamppost.AgentCharger; in.Site != nil && !powered || !in.Site.valid(in.Device) {
		return false
	}
	switch in.Kind {
	case lamppost.AgentLamp:
		return in.Lamp != nil && in.Lamp.valid()
	case lamppost.AgentCharger:
		return in.Charger != nil && in.Charger.valid()
	case lamppost.AgentStorage:
		return in.Storage != nil && in.Storage.valid()
	case lamppost.AgentValve:
		return in.Valve != nil && in.Valve.valid()
	}
	return false
}

// series returns a forecast's points of the horizon, or why they cannot be used.
func (in *Inputs) series(name string) (points []Point, why string) {
	for i := range in.Forecasts {
		f := &in.Forecasts[i]
		switch {
		case f.Name != name:
			continue
		case f.Age < 0 || f.Age > MaxAge:
			return nil, "stale_forecast"
		case !f.Usable:
			return nil, "unusable_forecast"
		case len(f.Points) < int(in.Steps):
			return nil, "short_forecast"
		}
		points = f.Points[:in.Steps]
		for k, p := range points {
			if p.At != in.At+lamppost.TimeMS(k)*in.Step || p.Low > p.Mean || p.Mean > p.High || !within(p.Low, MaxPrice) || !within(p.High, MaxPrice) {
				return nil, "bad_forecast"
			}
		}
		return points, ""
	}
	return nil, "no_forecast"
}

func (in *Inputs) has(name string) bool {
	for i := range in.Forecasts {
		if in.Forecasts[i].Name == name {
			return true
		}
	}
	return false
}

func within(v, bound int64) bool { return v >= -bound && v <= bound }

func between(v, low, high int64) bool { return v >= low && v <= high }

// wh is the energy of a power over one interval, in Wh, towards 0.
func (in *Inputs) wh(watts int64) int64 { return watts * int64(in.Step) / 3_600_000 }

// watts is the power that makes an energy of one interval, towards 0.
func (in *Inputs) watts(wh int64) int64 { return wh * 3_600_000 / int64(in.Step) }

// hours is a price of an hour for one interval.
func (in *Inputs) hours(perHour int64) int64 { return perHour * int64(in.Step) / 3_600_000 }

// below is the chance, in thousandths, that a value lies under x: through the forecast's three points, and from its bounds on tails half as
// wide as their side.
func (p Point) below(x int64) int64 {
	wl, wh := max(1, (p.Mean-p.Low)/2), max(1, (p.High-p.Mean)/2)
	switch {
	case x <= p.Low-wl:
		return 0
	case x <= p.Low:
		return 50 * (x - p.Low + wl) / wl
	case x <= p.Mean:
		return 50 + 450*(x-p.Low)/(p.Mean-p.Low)
	case x <= p.High:
		return 500 + 450*(x-p.Mean)/(p.High-p.Mean)
	case x < p.High+wh:
		return 950 + 50*(x-p.High)/wh
	}
	return 1000
}

// Weights of a forecast's low, middle and high for a mean over what may come (Keefer and Bodily, Management Science 29, 1983: the extended
// Pearson-Tukey approximation for quantiles of 5, 50 and 95 %), in thousandths.
var weights = [3]int64{185, 630, 185}

func (p Point) cases() [3]int64 { return [3]int64{p.Low, p.Mean, p.High} }
