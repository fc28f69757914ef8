package advise

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/lamppost/lamppost/internal/explore"
	"github.com/lamppost/lamppost/sig"
)

// A radio is what reporting by a link takes of a device beside the bytes. What is said to be assumed is a model, and wide.
type radio struct {
	class  string // of explore.Energy, for a byte sent
	frame  float64
	wake   Range // J for each frame: waking, joining, listening for the answer
	source string
}

// everyFrame is for links that cut nothing into pieces.
const everyFrame = 1e9

var radios = map[string]radio{
	"ethernet": {"mains", everyFrame, Range{0.5, 1, 2}, "assumed: 2 s of a link that comes up, at 0.5 W; nothing on mains, where it stays up"},
	"wifi":     {"battery", everyFrame, Range{0.15, 0.3, 0.6}, "assumed: 1 s of joining and waiting at 0.3 W"},
	"zigbee":   {"battery", 90, Range{0.25e-3, 0.5e-3, 1e-3}, "assumed: 30 ms of listening at 16 mW (nRF52840, 3 V) for each frame of at most 90 bytes"},
	"cellular": {"battery", everyFrame, Range{0.4, 0.75, 1.5}, "assumed: NB-IoT or LTE-M in good reach, 3 s connected at 0.25 W and released early; deep in a cellar it is many times that"},
	"lora":     {"lora", 115, Range{6e-3, 12e-3, 24e-3}, "computed: SX1276, SF9: a preamble of 50 ms at 96 mW and 200 ms of listening at 36 mW for each frame of at most 115 bytes"},
}

// What else counts for a device on battery: what it takes while it sleeps, in watts, and the share of its battery's energy that it can use.
var asleep = Range{5e-6, 10e-6, 20e-6}

const usable = 0.75

// signatureBytes are in what a report takes on its way (reportBytes).
const signatureBytes = 64

// Where radio by LoRa is free in Europe, a device may send a hundredth of the time (ETSI EN 300 220-2, 868 MHz).
const (
	loraShare     = 0.01
	loraBytesPerS = 1758.0 / 8 // SF9, 125 kHz
)

// behindGateway is how many devices share a gateway, and so a connection to a member.
const behindGateway = 100

// assumed says what the figures for devices rest on beside measurements.
func assumed(f *Fleet, o *Option, e *explore.Energy) (said []string) {
	for _, c := range o.Classes {
		if line := fmt.Sprintf("signing by %s: %s mJ (%s)", c.Suite, plain(1000*e.Sign[c.Suite].Value), e.Sign[c.Suite].Source); c.Suite != none && !slices.Contains(said, line) {
			said = append(said, line)
		}
	}
	battery := false
	for _, c := range f.Classes {
		if c.Power != "battery" {
			continue
		}
		battery = true
		if line := c.Link + ": " + radios[c.Link].source; !slices.Contains(said, line) {
			said = append(said, line)
		}
	}
	if battery {
		said = append(said, fmt.Sprintf("asleep: %s µW; %s %% of a battery's energy can be used; what a device measures with is not in it", span(asleep, 1e6), plain(100*usable)))
	}
	return append(said, fmt.Sprintf("every device has a connection of its own, or shares that of a gateway with %d", behindGateway))
}

// frames and bytes of a report.
func (c *Class) report(suite string, readings int) (bytes, frames float64) {
	bytes = reportBytes + readingBytes*float64(readings)
	switch suite {
	case sig.HMAC256.String():
		bytes -= signatureBytes / 2
	case none:
		bytes -= signatureBytes
	}
	return bytes, math.Ceil(bytes / radios[c.Link].frame)
}

// joules is what a device takes a day for signing, sending and, on battery, sleeping.
func (c *Class) joules(e *explore.Energy, suite string, readings int) Range {
	r := radios[c.Link]
	bytes, frames := c.report(suite, readings)
	reports := c.ReadingsADay / float64(readings)
	class := r.class
	if c.Power != "battery" {
		class, frames = or(map[string]string{"lora": "lora"}[c.Link], "mains"), 0
	}
	fixed := reports * (e.Sign[suite].Value + bytes*e.Devices[class].Value)
	of := func(wake, sleep float64) float64 {
		if c.Power != "battery" {
			sleep = 0
		}
		return fixed + reports*frames*wake + 86_400*sleep
	}
	return Range{of(r.wake.Low, asleep.Low), of(r.wake.Mid, asleep.Mid), of(r.wake.High, asleep.High)}
}

// days is how long a device's battery lasts.
func (c *Class) days(j Range) Range {
	if c.Power != "battery" {
		return Range{}
	}
	full := usable * c.BatteryWh * 3600
	return Range{full / j.High, full / j.Mid, full / j.Low}
}

// gather is how many readings a report may hold, so that reports are not further apart than a reading may be late.
func (c *Class) gather(most int) int {
	return max(1, min(most, int(math.Floor(c.LateMinutes*c.ReadingsADay/1440+1e-9))))
}

// onAir is the share of the time that a device sends by LoRa.
func (c *Class) onAir(suite string, readings int) float64 {
	bytes, _ := c.report(suite, readings)
	return c.ReadingsADay / float64(readings) * bytes / loraBytesPerS / 86_400
}

// preference is how strongly a suite vouches for a reading: a signature of the device's own; a secret that it shares with a member, who could
// have made it too; nothing.
var preference = []string{sig.EdDSA.String(), sig.ES256.String(), sig.HMAC256.String(), none}

// advice is what devices of a class should do: the strongest suite with which battery and radio last, in reports that gather as much as may
// wait. The error says which must-have cannot be met.
func (c *Class) advice(e *explore.Energy, most int) (ClassAdvice, error) {
	signs := c.Signs
	if len(signs) == 0 {
		signs = []string{none}
	}
	k := c.gather(most)
	var first, last *ClassAdvice
	var broken error
	for _, suite := range preference {
		if !slices.Contains(signs, suite) {
			continue
		}
		j := c.joules(e, suite, k)
		a := ClassAdvice{Class: c.Name, Suite: suite, EverySec: 86_400 / c.ReadingsADay * float64(k), Readings: k, Via: "direct",
			UJADay: Range{j.Low * 1e6, j.Mid * 1e6, j.High * 1e6}, BatteryDays: c.days(j)}
		if first == nil {
			first = &a
		}
		if last = &a; c.holds(&a) == nil {
			broken = nil
			break
		}
		broken = c.holds(&a)
	}
	if c.Link == "zigbee" && !c.OnSite {
		broken = errors.Join(broken, fmt.Errorf("classes.%s.on_site: devices by zigbee need a gateway near them", c.Name))
	}
	if c.Link == "zigbee" || c.Link == "lora" {
		last.Via = "gateway"
	}
	last.Because = c.because(e, first, last)
	return *last, broken
}

// holds says whether battery and radio bear what is advised.
func (c *Class) holds(a *ClassAdvice) error {
	if c.Link == "lora" {
		if share := c.onAir(a.Suite, a.Readings); share > loraShare {
			return fmt.Errorf("classes.%s.link: by LoRa its devices would send %.1f %% of the time, and 1 %% is allowed (868 MHz, SF9): fewer readings_a_day or more late_minutes", c.Name, 100*share)
		}
	}
	if need := c.BatteryYears * 365.25; c.BatteryYears > 0 && a.BatteryDays.Low < need {
		return fmt.Errorf("classes.%s.battery_years: its battery may last %s only, %s are needed", c.Name, years(a.BatteryDays.Low), years(need))
	}
	return nil
}

func (c *Class) because(e *explore.Energy, first, a *ClassAdvice) string {
	var words []string
	switch {
	case a.Suite == none:
		words = append(words, "it cannot sign: nobody can check who sent its readings, and bills show them as unsigned")
	case a.Suite == sig.HMAC256.String() && first.Suite != a.Suite:
		words = append(words, fmt.Sprintf("with %s its battery may last %s only; with a secret shared with one member, who vouches for it, others have that member's word alone", first.Suite, years(first.BatteryDays.Low)))
	case a.Suite == sig.HMAC256.String():
		words = append(words, "it shares a secret with one member, who vouches for it: others have that member's word alone")
	default:
		words = append(words, "a signature of its own, which everybody can check")
	}
	switch {
	case a.Readings > 1 && c.Power == "battery" && c.BatteryYears > 0:
		one := c.days(c.joules(e, a.Suite, 1))
		words = append(words, fmt.Sprintf("late_minutes lets %d readings share a report; one for each reading would leave the battery %s", a.Readings, years(one.Low)))
	case a.Readings > 1:
		words = append(words, fmt.Sprintf("late_minutes lets %d readings share a report and its signature", a.Readings))
	}
	switch {
	case a.Via != "gateway":
	case signature(a.Suite):
		words = append(words, fmt.Sprintf("by %s it needs a gateway, which checks and passes on", c.Link))
	default:
		words = append(words, fmt.Sprintf("by %s it needs a gateway, which can only pass on what it says", c.Link))
	}
	return strings.Join(words, "; ")
}

// connections is how many its devices have to members.
func (c *Class) connections(via string) float64 {
	n := float64(c.Devices)
	if via == "gateway" {
		return math.Ceil(n / behindGateway)
	}
	return n
}
