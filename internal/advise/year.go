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
	daysAYear    = 365.25
	hoursAYear   = 24 * daysAYear
	secondsAYear = 3600 * hoursAYear

	joulesInKWh     = 3.6e6
	bytesInGB       = 1e9
	microsecondsInS = 1e6
)

// Year is what a point takes in a year of d's readings. Each figure's range is of the prediction's interval and the price's range. What
// is rented has its electricity in the rent: its kWh are told, and not paid twice.
func (c *Catalogue) Year(p explore.Point, pr Prediction, d Demand, n *Needs) *Year {
	y, model := new(Year), explore.DefaultEnergy()
	y.add(c.computing(yearly(p, d, pr.CPU).scale(1/microsecondsInS), "CPU-seconds: predicted"))
	if wire := yearly(p, d, pr.Wire); wire.High > 0 {
		perByte := model.Wire[model.Link]
		y.add(Part{What: fmt.Sprintf("between members, %.3g GB", wire.Mid/bytesInGB), EUR: c.usd(&c.Prices.Egress).times(wire).scale(1 / bytesInGB),
			KWh: wire.scale(perByte.Value / joulesInKWh), Source: c.cite(&c.Prices.Egress) + "; energy: " + perByte.Source})
	}
	if syncs := pr.Syncs.scale(daysAYear * d.ReadingsADay); syncs.High > 0 {
		y.add(Part{What: "making files durable", KWh: syncs.scale(model.Sync.Value / joulesInKWh), Source: "energy: " + model.Sync.Source})
	}
	if n != nil && n.RetentionYears > 0 {
		y.add(c.keeping(c.stored(p, d), n.RetentionYears, &c.Kept.Report))
	}
	c.fixed(y, p)
	return y
}

// computing is CPU-seconds, rented by the second.
func (c *Catalogue) computing(cpu Range, source string) Part {
	joules := explore.DefaultEnergy().CPU
	return Part{What: fmt.Sprintf("computing, %.3g hours of a CPU", cpu.Mid/3600), EUR: c.usd(&c.Prices.CPU).times(cpu).scale(1. / 3600),
		KWh: cpu.scale(joules.Value / joulesInKWh), Source: source + "; " + c.cite(&c.Prices.CPU) + "; energy: " + joules.Source}
}

// keeping is what a year's bytes cost until they are forgotten; of is where their number is from.
func (c *Catalogue) keeping(bytes Range, years float64, of *Figure) Part {
	gb := bytes.scale(1 / bytesInGB)
	return Part{What: fmt.Sprintf("keeping %.3g GB for %.3g years", gb.Mid, years), EUR: c.Prices.Storage.Range().times(gb).scale(12 * years),
		Source: c.cite(&c.Prices.Storage) + "; bytes: " + c.cite(of)}
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

// yearly is what readings take in a year, of a figure per reading at the point's rate. That is the busiest hour's: in emptier hours what
// members do anyhow falls on fewer readings. So a year takes at least the figure for each reading, at most what the point takes when it
// runs the whole year; the middle is taken.
func yearly(p explore.Point, d Demand, perReading Range) Range {
	least := daysAYear * d.ReadingsADay
	most := max(least, secondsAYear*float64(p.Rate)*float64(max(p.Readings, 1)))
	return Range{perReading.Low * least, perReading.Mid * (least + most) / 2, perReading.High * most}
}

// inReport is how many readings are in Kept.Report already.
const inReport = 3

// copies is how many there are of what members keep: one alone has a backup, several have each other.
func copies(members int) float64 { return float64(max(members, 2)) }

// stored is what stays of a year's reports with all members. It is not the rows' disk_bytes: these are of seconds, and files of engines
// and stores that are let go again fill most of them.
func (c *Catalogue) stored(p explore.Point, d Demand) Range {
	k := float64(max(p.Readings, 1))
	report := c.Kept.Report.Range().plus(c.Kept.Reading.Range().scale(max(k-inReport, 0)))
	return report.scale(copies(p.Nodes) * daysAYear * d.ReadingsADay / k)
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
