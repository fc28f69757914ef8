package compact

import "slices"

// How far a kept value may be off, as shares of what the series has shown so far.
const (
	RangeShare = 0.01 // of its range: never more
	UsualShare = 0.03 // of where all but 2 % of its values on each side lie: what is usual stays visible beside a rare peak
)

// Closer are the parts of a bound that are tried where a detector would not tell the same of what is read back.
var Closer = [...]float64{1, 0.97, 0.94, 0.91, 0.88, 0.85, 0.82, 0.79, 0.76, 0.73, 0.7, 0.6, 0.5}

// A Span is what values a series has shown so far. Bounds come from it, so they depend on nothing ahead.
type Span struct {
	low, high float64
	sorted    []float64 // a sample: each stride-th value
	n, stride int
}

// spanSample is how many values a span keeps at most.
const spanSample = 4096

// Add takes the values of rows in.
func (s *Span) Add(rows []Row) {
	for _, r := range rows {
		if s.n == 0 {
			s.low, s.high, s.stride = r.Value, r.Value, 1
		}
		s.low, s.high = min(s.low, r.Value), max(s.high, r.Value)
		if s.n%s.stride == 0 {
			s.sorted = append(s.sorted, r.Value)
		}
		s.n++
		if len(s.sorted) == spanSample {
			slices.Sort(s.sorted)
			for i := range spanSample / 2 {
				s.sorted[i] = s.sorted[2*i]
			}
			s.sorted, s.stride = s.sorted[:spanSample/2], 2*s.stride
		}
	}
	slices.Sort(s.sorted)
}

// Range is the bound by the range alone.
func (s *Span) Range() float64 { return float64(RangeShare * (s.high - s.low)) }

// Bound is the bound by range and by what is usual. A series that hardly ever changes has only a range.
func (s *Span) Bound() float64 {
	if len(s.sorted) == 0 {
		return 0
	}
	tail := len(s.sorted) / 50
	usual := s.sorted[len(s.sorted)-1-tail] - s.sorted[tail]
	if usual > 0 {
		return min(s.Range(), float64(UsualShare*usual))
	}
	return s.Range()
}
