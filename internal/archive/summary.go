package archive

import (
	"cmp"
	"math"
	"slices"

	"github.com/lamppost/lamppost"
)

// A Series is what is kept of a device's readings of one name when their reports are gone: one bucket an hour. It is this
// node's word and proves nothing.
type Series struct {
	_        struct{} `cbor:",toarray"`
	Device   lamppost.DeviceID
	Name     string
	Unit     string
	Kind     lamppost.Kind
	Exponent int8 // of all values
	Buckets  []Bucket
}

// A Bucket sums up the readings of a UTC hour. Values are mantissas; the mean is rounded to the same exponent.
type Bucket struct {
	_     struct{} `cbor:",toarray"`
	Hour  int64    // since 1970
	Count uint32
	Min   int64
	Max   int64
	Mean  int64
	Last  int64 // by time: of a register, its reading
	At    int64 // milliseconds into the hour of Last
}

const hourMS = 3600 * 1000

type seriesKey struct {
	device lamppost.DeviceID
	name   string
	unit   string
	kind   lamppost.Kind
}

// A summariser gathers readings.
type summariser map[seriesKey]map[int64]*gathered

// gathered are the readings of an hour. Sums of a few thousand decimals need no more than a float's 53 bits to be right to
// the digit that is shown.
type gathered struct {
	count          uint32
	min, max, last float64
	sum            float64
	at             lamppost.TimeMS
	exponent       int8
}

func (s summariser) add(r *lamppost.Report) {
	for i := range r.Readings {
		x := &r.Readings[i]
		key := seriesKey{r.Device, x.Name, x.Unit, x.Kind}
		exponent := x.Value.Exponent
		v := float64(x.Value.Mantissa) * math.Pow10(int(x.Value.Exponent))
		if x.IsFloat {
			v, exponent = x.Float, floatExponent
		}
		if s[key] == nil {
			s[clone(key)] = map[int64]*gathered{}
		}
		hour := int64(x.Time) / hourMS
		g := s[key][hour]
		if g == nil {
			g = &gathered{min: v, max: v, last: v, at: x.Time}
			s[key][hour] = g
		}
		g.count++
		g.sum += v
		g.min, g.max, g.exponent = min(g.min, v), max(g.max, v), min(g.exponent, exponent)
		if x.Time >= g.at {
			g.last, g.at = v, x.Time
		}
	}
}

// floatExponent is how finely binary floating point values are kept.
const floatExponent = -6

// clone makes a key that does not refer to the report's bytes.
func clone(k seriesKey) seriesKey {
	k.device = lamppost.DeviceID(append([]byte(nil), k.device...))
	k.name, k.unit = string(append([]byte(nil), k.name...)), string(append([]byte(nil), k.unit...))
	return k
}

// series returns what was gathered, in order.
func (s summariser) series() []Series {
	var all []Series
	for key, hours := range s {
		one := Series{Device: key.device, Name: key.name, Unit: key.unit, Kind: key.kind}
		for _, g := range hours {
			one.Exponent = min(one.Exponent, g.exponent)
		}
		scale := math.Pow10(-int(one.Exponent))
		for hour, g := range hours {
			one.Buckets = append(one.Buckets, Bucket{Hour: hour, Count: g.count, Min: mantissa(g.min * scale), Max: mantissa(g.max * scale),
				Mean: mantissa(g.sum / float64(g.count) * scale), Last: mantissa(g.last * scale), At: int64(g.at) - hour*hourMS})
		}
		slices.SortFunc(one.Buckets, func(a, b Bucket) int { return cmp.Compare(a.Hour, b.Hour) })
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b Series) int {
		return cmp.Or(cmp.Compare(a.Device, b.Device), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Unit, b.Unit), cmp.Compare(a.Kind, b.Kind))
	})
	return all
}

// mantissa rounds, and stays within what an integer can hold.
func mantissa(v float64) int64 {
	return int64(max(-1<<62, min(1<<62, math.Round(v))))
}

// Value returns a mantissa of the series as a decimal.
func (s *Series) Value(mantissa int64) lamppost.Decimal { return lamppost.Dec(mantissa, s.Exponent) }

// merge adds buckets to those that are there. Two of one hour come from reports of different ages: they are joined.
func merge(old, more []Series) []Series {
	for _, m := range more {
		i := slices.IndexFunc(old, func(s Series) bool {
			return s.Device == m.Device && s.Name == m.Name && s.Unit == m.Unit && s.Kind == m.Kind && s.Exponent == m.Exponent
		})
		if i < 0 {
			old = append(old, m)
			continue
		}
		old[i].Buckets = mergeBuckets(old[i].Buckets, m.Buckets)
	}
	return old
}

func mergeBuckets(a, b []Bucket) []Bucket {
	all := slices.Concat(a, b)
	slices.SortStableFunc(all, func(a, b Bucket) int { return cmp.Compare(a.Hour, b.Hour) })
	out := all[:0]
	for _, x := range all {
		if len(out) == 0 || out[len(out)-1].Hour != x.Hour {
			out = append(out, x)
			continue
		}
		o := &out[len(out)-1]
		total := o.Count + x.Count
		o.Mean = mantissa((float64(o.Mean)*float64(o.Count) + float64(x.Mean)*float64(x.Count)) / float64(total))
		o.Count, o.Min, o.Max = total, min(o.Min, x.Min), max(o.Max, x.Max)
		if x.At >= o.At {
			o.Last, o.At = x.Last, x.At
		}
	}
	return out
}
