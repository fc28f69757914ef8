// Package behave knows how devices behave at a node's doors, and when one does not do what it, or its kin, did before: how often it
// speaks, how large, what about, at what hours, with which firmware, and how often it is refused.
//
// Start reading at [Fleet], which judges a device's minutes. [Model] is below it: histograms of records, of a device or of its kin,
// which say how unusual another record is; [Schema] says what a record holds, so that the same code also reads the records of public
// data sets. docs/intelligence.md lists the codes and what they find.
//
// What it promises: a verdict depends only on the records up to it; the same records give the same bits on every machine, whether or not
// the state was saved and restored between them; a device takes less than [MaxDeviceBytes]; a record allocates nothing once the device
// is known. What it does not: it knows no door, ledger, clock or disk, and not whether a device was rightly refused.
package behave

import "fmt"

// Limits.
const (
	MaxDevices     = 100_000 // of a fleet; more are not judged
	MaxKins        = 256     // of a fleet; devices of more are held against the whole fleet
	MaxDeviceBytes = 4 << 10 // in memory, and saved
	MaxReasons     = 3       // of a finding

	maxFeatures = 256
	maxCells    = 1 << 20
)

// Alone is the context of a feature that is counted by itself.
const Alone = -1

// A Feature is one histogram of a schema: the values of a column, by themselves or given another column's value.
type Feature struct {
	Code   string // of the reason
	Column int
	Given  int // another column, or Alone
	// Outage: it changes together with others when a device was away, so of them only the one that weighs most counts.
	Outage bool
}

// A Schema says what records hold. It does not change, and models of one schema share it.
type Schema struct {
	columns  []int // values of each: 0 to that, exclusive
	features []Feature
	first    []int // of each feature's cells; one more at the end
}

// NewSchema returns a schema of columns that take so many values each, and the features that are made of them.
func NewSchema(columns []int, features ...Feature) (*Schema, error) {
	s := &Schema{columns: columns, features: features, first: []int{0}}
	if len(features) == 0 || len(features) > maxFeatures {
		return nil, fmt.Errorf("a schema has 1 to %d features", maxFeatures)
	}
	for _, f := range features {
		if f.Column < 0 || f.Column >= len(columns) || f.Given < Alone || f.Given >= len(columns) {
			return nil, fmt.Errorf("feature %q is of a column that is not there", f.Code)
		}
		cells := columns[f.Column]
		if f.Given != Alone {
			cells *= columns[f.Given]
		}
		next := s.first[len(s.first)-1] + cells
		if cells <= 0 || next > maxCells {
			return nil, fmt.Errorf("with feature %q a model has %d cells: 1 to %d are allowed", f.Code, next, maxCells)
		}
		s.first = append(s.first, next)
	}
	return s, nil
}

// row is where the cells of a feature begin that x is one of.
func (s *Schema) row(feature int, x []uint16) int {
	f := &s.features[feature]
	if f.Given == Alone {
		return s.first[feature]
	}
	return s.first[feature] + int(x[f.Given])*s.columns[f.Column]
}

// cell is where x is counted.
func (s *Schema) cell(feature int, x []uint16) int {
	return s.row(feature, x) + int(x[s.features[feature].Column])
}
