package explore

import (
	"cmp"
	"fmt"
	"maps"

	"github.com/lamppost/lamppost/sig"
)

// Energy is the model by which joules come of what was counted, for machines that do not measure them. Every parameter stands in the
// report with where it is from; what had a page was looked up in November 2026.
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
	const methodology = "Cloud Carbon Footprint, Methodology, https://github.com/cloud-carbon-footprint/cloud-carbon-footprint/blob/1559c186661db0671984f660adefb99080de5db1/microsite/docs/Methodology.md"
	return Energy{
		CPU: Param{3.5, methodology + ": average of the watts of a virtual CPU of AWS at full load, its part of the idle machine (0.74 W) included"},
		Wire: map[string]Param{
			"loopback": {0, "assumed: nothing beside the CPU"},
			"lan":      {48e-9, "computed: two ports of 100 Mbit/s with 0.3 W each while they send; a PHY takes 0.11 to more than 0.3 W: Texas Instruments, G. Yamasaki, https://training-dev.ti.com/document-viewer/lit/html/ssztam3"},
			"wan":      {3.6e-6, methodology + ": 0.001 kWh a gigabyte (it writes Gb, and multiplies gigabytes) between data centres, the lowest of the studies it names"},
		},
		Link: "wan",
		Sync: Param{1.2e-3, "computed: a solid-state disk of 6 W (average of 2020: " + methodology + "), busy for 0.2 ms, which is assumed"},
		Sign: map[string]Param{
			sig.EdDSA.String():   {7.7e-3, "computed: SEGGER emCrypt 2.34 on a Cortex-M4 of 168 MHz takes 77.36 ms, June 2019, https://kb.segger.com/EdDSA_Sign_Verify_MK66FN2M0; assumed 100 mW"},
			sig.ES256.String():   {8.9e-3, "computed: the same, secp256r1, 89.32 ms, June 2019, https://kb.segger.com/ECDSA_Sign_Verify_MK66FN2M0; assumed 100 mW"},
			sig.HMAC256.String(): {1.8e-5, "computed: the same, SHA-256 in software 2.11 MB/s, June 2019, https://kb.segger.com/Hash_MK66FN2M0; 6 blocks of 64 bytes for a report of 160 bytes; assumed 100 mW"},
		},
		Devices: map[string]Param{
			"mains":   {24e-9, "computed: Ethernet of 100 Mbit/s, 0.3 W while it sends, source as of lan"},
			"battery": {0.61e-6, "computed: 250 kbit/s (IEEE 802.15.4) at 6.40 mA and 3 V, the whole nRF52840 at 0 dBm with DC/DC: Nordic, nRF52840 Product Specification, I_RADIO_TX5, https://docs.nordicsemi.com/r/bundle/ps_nrf52840/page/_tmp/nrf52840/autodita/current/parameters.i_radio.html; sending alone"},
			"lora":    {0.44e-3, "computed: 1,758 bit/s (SF9, 125 kHz, 4/5; LoRaWAN says 1,760, https://docs.rakwireless.com/product-categories/software-apis-and-libraries/rui3/appendix/) at 29 mA (13 dBm) and 3.3 V: Semtech, SX1276/77/78/79 data sheet, table 6, as drivers cite it, http://www.semtech.com/images/datasheet/sx1276.pdf; sending alone, without preambles"},
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

// reckon computes the joules of a row.
func (e *Energy) reckon(r *Row) {
	if r.Error != "" {
		return
	}
	r.NodeUJ, r.DeviceUJ = e.nodes(&r.Figures), map[string]float64{}
	for _, class := range Classes {
		r.DeviceUJ[class] = e.device(class, &r.Point, &r.Figures)
	}
}

// reckon computes the joules of all rows by the set's model: a row on disk has those of the model of its day.
func (s *Set) reckon() {
	for i := range s.Rows {
		s.Space.Energy.reckon(&s.Rows[i])
	}
}

// nodes is what all members and gateways took for a reading, in microjoules.
func (e *Energy) nodes(f *Figures) float64 {
	cpu, wire, syncs := e.parts(f.NodeCPU+f.GatewayCPU, f.WireBytes, f.Syncs, e.Link)
	return cpu + wire + syncs
}

// parts are the microjoules of what was counted for a reading: of µs of CPU, of bytes over a kind of link, of syncs.
func (e *Energy) parts(cpu, wire, syncs float64, link string) (ofCPU, ofWire, ofSyncs float64) {
	return cpu * e.CPU.Value, 1e6 * wire * e.Wire[link].Value, 1e6 * syncs * e.Sync.Value
}

// device is what a device of a class takes for a reading, in microjoules: its part of the signature, and sending.
func (e *Energy) device(class string, p *Point, f *Figures) float64 {
	mix, _ := p.Mix() // was checked
	sign := 0.0
	for _, suite := range mix {
		sign += e.Sign[suite.String()].Value / float64(len(mix))
	}
	return 1e6 * (sign/float64(max(p.Readings, 1)) + f.DeviceBytes*e.Devices[class].Value)
}
