package explore

import (
	"cmp"
	"fmt"
	"maps"

	"github.com/lamppost/lamppost/sig"
)

// Energy is the model by which joules come of what was counted, for machines that do not measure them. Every parameter stands in the
// report with where it is from.
type Energy struct {
	CPU  Param            `yaml:"cpu_j_per_s" json:"cpu_j_per_s"`         // of one CPU, for each second that it computes
	Wire map[string]Param `yaml:"wire_j_per_byte" json:"wire_j_per_byte"` // between members, by kind of link
	Link string           `yaml:"link" json:"link"`                       // the kind that counts
	Sync Param            `yaml:"sync_j" json:"sync_j"`                   // of making a file durable

	Sign    map[string]Param `yaml:"sign_j" json:"sign_j"`                       // of one signature on a device, by suite
	Devices map[string]Param `yaml:"device_j_per_byte" json:"device_j_per_byte"` // of sending one byte, by class of device
}

// A Param is a number and where it is from.
type Param struct {
	Value  float64 `yaml:"value" json:"value"`
	Source string  `yaml:"source" json:"source"`
}

// Classes are the classes of devices, in their order.
var Classes = []string{"mains", "battery", "lora"}

// DefaultEnergy is the model where a space says nothing.
func DefaultEnergy() Energy {
	return Energy{
		CPU: Param{3.5, "Cloud Carbon Footprint, methodology: average of the watts that a virtual CPU of AWS takes at full load"},
		Wire: map[string]Param{
			"loopback": {0, "assumed: nothing beside the CPU"},
			"lan":      {24e-9, "assumed: two ports of 100 Mbit/s take 0.3 W while they send"},
			"wan":      {3.6e-6, "Cloud Carbon Footprint, methodology: 0.001 kWh a gigabyte"},
		},
		Link: "wan",
		Sync: Param{1e-3, "assumed: a solid-state disk of 5 W for 0.2 ms"},
		Sign: map[string]Param{
			sig.EdDSA.String():   {7.7e-3, "SEGGER emCrypt on a Cortex-M4 of 168 MHz (MK66F): 77.4 ms; assumed 100 mW"},
			sig.ES256.String():   {8.9e-3, "SEGGER emCrypt on a Cortex-M4 of 168 MHz (MK66F), secp256r1: 89.3 ms; assumed 100 mW"},
			sig.HMAC256.String(): {1e-5, "assumed: 0.1 ms of such a processor"},
		},
		Devices: map[string]Param{
			"mains":   {24e-9, "assumed: Ethernet of 100 Mbit/s, 0.3 W while it sends"},
			"battery": {0.46e-6, "computed: 250 kbit/s (IEEE 802.15.4) at 14.4 mW, nRF52840 at 0 dBm and 3 V; sending alone"},
			"lora":    {0.44e-3, "computed: 1,758 bit/s (LoRa SF9, 125 kHz) at 96 mW, SX1276 at 13 dBm; sending alone, without preambles"},
		},
	}
}

// complete puts in what is left out.
func (e *Energy) complete() {
	d := DefaultEnergy()
	e.CPU, e.Sync, e.Link = cmp.Or(e.CPU, d.CPU), cmp.Or(e.Sync, d.Sync), cmp.Or(e.Link, d.Link)
	for _, m := range []struct{ is, or *map[string]Param }{{&e.Wire, &d.Wire}, {&e.Sign, &d.Sign}, {&e.Devices, &d.Devices}} {
		maps.Copy(*m.or, *m.is)
		*m.is = *m.or
	}
}

func (e *Energy) check() error {
	if _, ok := e.Wire[e.Link]; !ok {
		return fmt.Errorf("energy: link %q has no wire_j_per_byte", e.Link)
	}
	for name, m := range map[string]map[string]Param{"wire_j_per_byte": e.Wire, "sign_j": e.Sign, "device_j_per_byte": e.Devices} {
		for key, p := range m {
			if !(p.Value >= 0) || p.Source == "" {
				return fmt.Errorf("energy: %s of %q needs a value of 0 or more, and a source", name, key)
			}
		}
	}
	for _, p := range []Param{e.CPU, e.Sync} {
		if !(p.Value >= 0) || p.Source == "" {
			return fmt.Errorf("energy: cpu_j_per_s and sync_j need a value of 0 or more, and a source")
		}
	}
	return nil
}

// nodes is what all members took for a reading, in microjoules.
func (e *Energy) nodes(f *Figures) float64 {
	return (f.NodeCPU+f.GatewayCPU)*e.CPU.Value + 1e6*(f.WireBytes*e.Wire[e.Link].Value+f.Syncs*e.Sync.Value)
}

// device is what a device of a class takes for a reading, in microjoules: its part of the signature, and sending.
func (e *Energy) device(class string, p *Point, f *Figures) float64 {
	mix, _ := p.Mix() // was checked
	sign := 0.0
	for _, suite := range mix {
		sign += e.Sign[suite.String()].Value / float64(len(mix))
	}
	return 1e6 * (sign/float64(p.Readings) + f.DeviceBytes*e.Devices[class].Value)
}
