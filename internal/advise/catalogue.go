package advise

import (
	_ "embed"
	"errors"

	"github.com/goccy/go-yaml"

	"github.com/lamppost/lamppost/internal/explore"
)

//go:embed catalogue.yaml
var catalogueText []byte

// A Catalogue is what is known of prices, and of ledgers that others run. It is dated: every number has a source, the day it is of, and
// the condition under which it holds.
type Catalogue struct {
	V    int    `yaml:"v"`
	Date string `yaml:"date"`
}

// ShippedCatalogue is the one that this program carries.
func ShippedCatalogue() (*Catalogue, error) { return ParseCatalogue(catalogueText) }

// ParseCatalogue reads a catalogue. Unknown keys and numbers without a source are errors.
func ParseCatalogue(text []byte) (*Catalogue, error) {
	c := new(Catalogue)
	if err := yaml.UnmarshalWithOptions(text, c, yaml.Strict()); err != nil {
		return nil, errors.New(yaml.FormatError(err, false, true))
	}
	return c, nil
}

// Year is what a point takes in a year of d's readings.
func (c *Catalogue) Year(p explore.Point, pr Prediction, d Demand, n *Needs) *Year {
	const cpuEUR = 0.04 / 3600 // a second of a CPU
	k := cpuEUR * 1e-6 * 365.25 * d.ReadingsADay
	cpu := Range{k * pr.CPU.Low, k * pr.CPU.Mid, k * pr.CPU.High}
	y := &Year{Parts: []Part{{What: "CPU", EUR: cpu, Source: "to come"}, {What: "machines", EUR: Range{Mid: 60 * float64(p.Nodes)}, Fixed: true, Source: "to come"}}}
	y.EUR = cpu
	return y
}

// Outside are the ledgers of others, each with what speaks against it for this fleet; those that are out come last.
func (c *Catalogue) Outside(f *Fleet, d Demand) []Option { return nil }

// Database is a plain database with backups: one organisation's word.
func (c *Catalogue) Database(f *Fleet, d Demand) Option {
	return Option{Name: "PostgreSQL", Kind: "database", Year: new(Year)}
}

// Variable is what settings decide of a year's cost, in EUR: all but the parts that are fixed.
func (y *Year) Variable() Range {
	var sum Range
	for _, p := range y.Parts {
		if !p.Fixed {
			sum.Low, sum.Mid, sum.High = sum.Low+p.EUR.Low, sum.Mid+p.EUR.Mid, sum.High+p.EUR.High
		}
	}
	return sum
}
