package advise

import (
	"fmt"

	"github.com/lamppost/lamppost/internal/explore"
)

// Range arithmetic: the ends of what is known of both belong to the ends of what comes of them.

func (r Range) scale(k float64) Range { return Range{r.Low * k, r.Mid * k, r.High * k} }

func (r Range) times(o Range) Range { return Range{r.Low * o.Low, r.Mid * o.Mid, r.High * o.High} }

func (r Range) plus(o Range) Range { return Range{r.Low + o.Low, r.Mid + o.Mid, r.High + o.High} }

const (
	daysAYear     = 365.25
	hoursAYear    = 24 * daysAYear
	secondsAYear  = 3600 * hoursAYear
	joulesPerKWh  = 3.6e6
	bytesPerGB    = 1e9
	microsecondsS = 1e6
)

// Year is what a point takes in a year of d's readings. Each figure's range is of the prediction's interval and the price's range. What
// is rented has its electricity in the rent: its kWh are told, and not paid twice.
func (c *Catalogue) Year(p explore.Point, pr Prediction, d Demand, n *Needs) *Year {
	y, model, prices := new(Year), explore.DefaultEnergy(), &c.Prices
	if cpu := c.load(p, d, pr.CPU).scale(1 / microsecondsS); cpu.High > 0 {
		y.add(Part{What: fmt.Sprintf("computing, %.0f hours of a CPU", cpu.Mid/3600), EUR: c.usd(&prices.CPU).times(cpu).scale(1. / 3600),
			KWh: cpu.scale(model.CPU.Value / joulesPerKWh), Source: c.cite(&prices.CPU) + "; energy: " + model.CPU.Source})
	}
	if wire := c.load(p, d, pr.Wire).scale(1 / bytesPerGB); wire.High > 0 {
		perByte := model.Wire[model.Link]
		y.add(Part{What: fmt.Sprintf("between members, %.3g GB", wire.Mid), EUR: c.usd(&prices.Egress).times(wire),
			KWh: wire.scale(bytesPerGB * perByte.Value / joulesPerKWh), Source: c.cite(&prices.Egress) + "; energy: " + perByte.Source})
	}
	if kept := c.stored(p, d).scale(1 / bytesPerGB); n != nil && n.RetentionYears > 0 {
		y.add(Part{What: fmt.Sprintf("keeping %.3g GB for %.3g years", kept.Mid, n.RetentionYears), EUR: prices.Storage.Range().times(kept).scale(12 * n.RetentionYears),
			Source: c.cite(&prices.Storage) + "; bytes: " + c.cite(&c.Kept.Report)})
	}
	if syncs := pr.Syncs.scale(daysAYear * d.ReadingsADay); syncs.High > 0 {
		y.add(Part{What: "making files durable", KWh: syncs.scale(model.Sync.Value / joulesPerKWh), Source: model.Sync.Source})
	}
	c.fixed(y, p)
	return y
}

// fixed adds what costs the same whatever is sent.
func (c *Catalogue) fixed(y *Year, p explore.Point) {
	y.add(c.machines(p.Nodes))
	if p.Verify != "gateway" {
		return
	}
	// As many as were measured with: fleets on more sites need more, and their owner knows that.
	kWh := c.Prices.GatewayIdle.Range().scale(float64(p.Nodes) * hoursAYear / 1000)
	y.add(Part{What: fmt.Sprintf("%s on site, one for each member", count(p.Nodes, "gateway")),
		EUR: c.Prices.Gateway.Range().scale(float64(p.Nodes)).plus(kWh.times(c.Prices.Electricity.Range())), KWh: kWh, Fixed: true,
		Source: c.cite(&c.Prices.Gateway) + "; energy: " + c.cite(&c.Prices.GatewayIdle) + "; " + c.cite(&c.Prices.Electricity)})
}

// machines are small rented ones, with what they draw while they do nothing.
func (c *Catalogue) machines(n int) Part {
	return Part{What: count(n, "rented machine"), EUR: c.Prices.Machine.Range().scale(float64(n)), Fixed: true,
		KWh: c.Prices.MachineIdle.Range().scale(float64(n) * hoursAYear / 1000), Source: c.cite(&c.Prices.Machine) + "; energy: " + c.cite(&c.Prices.MachineIdle)}
}

// load is what readings take in a year, of a figure per reading at the point's rate. That is the busiest hour's: in emptier hours what
// members do anyhow falls on fewer readings. So a year takes at least the figure for each reading, at most what the point takes when it
// runs the whole year; the middle is taken.
func (c *Catalogue) load(p explore.Point, d Demand, perReading Range) Range {
	least := daysAYear * d.ReadingsADay
	most := max(least, secondsAYear*float64(p.Rate)*float64(max(p.Readings, 1)))
	return Range{perReading.Low * least, perReading.Mid * (least + most) / 2, perReading.High * most}
}

// unmetered is how many readings are in Kept.Report already.
const unmetered = 3

// stored is what stays of a year's reports with all members. It is not the rows' disk_bytes: these are of seconds, and files of engines
// and stores that are let go again fill most of them.
func (c *Catalogue) stored(p explore.Point, d Demand) Range {
	k := float64(max(p.Readings, 1))
	report := c.Kept.Report.Range().plus(c.Kept.Reading.Range().scale(max(k-unmetered, 0)))
	return report.scale(float64(p.Nodes) * daysAYear * d.ReadingsADay / k)
}

// usd is a figure in EUR.
func (c *Catalogue) usd(f *Figure) Range { return f.Range().times(c.Prices.EURPerUSD.Range()) }

func (y *Year) add(p Part) {
	y.EUR, y.KWh, y.Parts = y.EUR.plus(p.EUR), y.KWh.plus(p.KWh), append(y.Parts, p)
}

// Variable is what settings decide of a year's cost, in EUR: all but the parts that are fixed.
func (y *Year) Variable() Range {
	var sum Range
	for _, p := range y.Parts {
		if !p.Fixed {
			sum = sum.plus(p.EUR)
		}
	}
	return sum
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
