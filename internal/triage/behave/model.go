package behave

import (
	"math"

	"github.com/lamppost/lamppost/internal/triage"
)

// Settings, chosen on the training file of NSL-KDD alone: docs/intelligence.md says how.
const (
	unseen     = 0.01    // of a record is every value that was never met
	noise      = 1       // in nats, is put upon the spread of a feature's surprise
	most       = 8       // no feature weighs more: several must agree
	forgetting = 1 << 15 // records after which all counts are halved
)

// A Model counts records: how often each value came, and how surprising values usually are. It is not for concurrent use.
type Model struct {
	schema *Schema
	n      int // records, halved now and then
	due    int // how many there are when what is usual is reckoned again
	counts []uint16
	met    []int // cells of each feature that are not 0

	// Of each feature's surprise, -ln of a value's chance.
	usual, spread []float64
}

// NewModel returns a model that has counted nothing.
func NewModel(s *Schema) *Model {
	n := len(s.features)
	return &Model{schema: s, counts: make([]uint16, s.first[n]), met: make([]int, n), usual: make([]float64, n), spread: make([]float64, n)}
}

// Records is how many records count.
func (m *Model) Records() int { return m.n }

// Learn counts a record. Its values must be within the schema.
func (m *Model) Learn(x []uint16) {
	for f := range m.met {
		cell := m.schema.cell(f, x)
		if m.counts[cell]++; m.counts[cell] == 1 {
			m.met[f]++
		}
	}
	if m.n++; m.n >= forgetting {
		m.halve()
	}
	if m.n >= m.due {
		m.reckon()
	}
}

// halve lets what is old count for less.
func (m *Model) halve() {
	m.n, m.due = m.n/2, 0
	for i := range m.counts {
		m.counts[i] /= 2
	}
	m.recount()
}

func (m *Model) recount() {
	for f := range m.met {
		m.met[f] = 0
		for _, c := range m.counts[m.schema.first[f]:m.schema.first[f+1]] {
			if c > 0 {
				m.met[f]++
			}
		}
	}
}

// reckon finds what is usual of each feature's surprise, whenever an eighth more is counted: a fixed cost for each record.
func (m *Model) reckon() {
	m.due = m.n + m.n/8 + 1
	for f := range m.met {
		mean, square := 0.0, 0.0
		for _, c := range m.counts[m.schema.first[f]:m.schema.first[f+1]] {
			if c == 0 {
				continue
			}
			share, s := float64(c)/float64(m.n), -triage.Ln(m.chance(f, c))
			mean += float64(share * s)
			square += float64(float64(share*s) * s)
		}
		m.usual[f], m.spread[f] = mean, math.Sqrt(max(0, square-float64(mean*mean)))
	}
}

// chance is that of a value that came c times.
func (m *Model) chance(feature int, c uint16) float64 {
	return (float64(c) + unseen) / (float64(m.n) + float64(unseen*float64(m.met[feature]+1)))
}

// between returns the least and the greatest value of a feature's column, in the context of x, that all but a fiftieth of the records
// lie between on each side. ok is false where there are none.
func (m *Model) between(feature int, x []uint16) (low, high int, ok bool) {
	row := m.schema.row(feature, x)
	cells := m.counts[row : row+m.schema.columns[m.schema.features[feature].Column]]
	all := 0
	for _, c := range cells {
		all += int(c)
	}
	if all == 0 {
		return 0, 0, false
	}
	high = len(cells) - 1
	for below := int(cells[low]); below <= all/50; below += int(cells[low]) {
		low++
	}
	for above := int(cells[high]); above <= all/50; above += int(cells[high]) {
		high--
	}
	return low, high, true
}

// A Scorer says how unusual records are. It keeps the parts of the last score, and is not for concurrent use.
type Scorer struct {
	own, kin *Model // of the last score
	trust    float64
	parts    []float64
}

// How far a device's own history counts: nothing at first, half after so many records more.
const (
	enoughOwn = 30
	halfOwn   = 64
)

// Score returns how unusual a record is for who did own before, among those who did kin: the sum over all features of how much more
// surprising the value is than values usually are, in widths of that surprise. Either model may be nil.
func (s *Scorer) Score(own, kin *Model, x []uint16) float64 {
	s.own, s.kin = own, kin
	m := own
	switch {
	case kin == nil:
		s.trust = 1
	case own == nil || own.n < enoughOwn:
		s.trust, m = 0, kin
	default:
		s.trust = float64(own.n) / float64(own.n+halfOwn)
	}
	s.parts = s.parts[:0]
	score, cause := 0.0, 0.0
	heaviest := -1 // of those with the common cause
	for f := range m.met {
		part := s.part(f, m.schema.cell(f, x))
		s.parts = append(s.parts, part)
		switch {
		case !m.schema.features[f].Outage:
			score += part
		case part <= cause:
			s.parts[f] = 0
		default:
			if heaviest >= 0 {
				s.parts[heaviest] = 0
			}
			heaviest, cause = f, part
		}
	}
	return score + cause
}

func (s *Scorer) part(f, cell int) float64 {
	chance, usual, spread := 0.0, 0.0, 0.0
	if s.trust > 0 {
		chance = float64(s.trust * s.own.chance(f, s.own.counts[cell]))
		usual, spread = float64(s.trust*s.own.usual[f]), float64(s.trust*s.own.spread[f])
	}
	if rest := 1 - s.trust; rest > 0 {
		chance += float64(rest * s.kin.chance(f, s.kin.counts[cell]))
		usual += float64(rest * s.kin.usual[f])
		spread += float64(rest * s.kin.spread[f])
	}
	return min(most, max(0, -triage.Ln(chance)-usual)/(spread+noise))
}

// A Share is what a feature adds to a score.
type Share struct {
	Feature int
	Worth   float64
}

// Weightiest fills list with the features that weigh most in the last score, the weightiest first, and returns how many weigh anything.
func (s *Scorer) Weightiest(list []Share) int {
	n := 0
	for f, worth := range s.parts {
		at := n
		for at > 0 && list[at-1].Worth < worth {
			at--
		}
		if worth <= 0 || at == len(list) {
			continue
		}
		n = min(n+1, len(list))
		copy(list[at+1:n], list[at:n-1])
		list[at] = Share{f, worth}
	}
	return n
}

// between is what is usual of a feature: for the device, if it has done enough, else for its kin.
func (s *Scorer) between(feature int, x []uint16) (low, high int, ok bool) {
	if s.trust > 0 {
		if low, high, ok = s.own.between(feature, x); ok {
			return low, high, ok
		}
	}
	if s.kin == nil {
		return 0, 0, false
	}
	return s.kin.between(feature, x)
}
