package archive

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/compact"
)

// A Series is what is kept of a device's readings of one name whose reports are gone: times exactly, each value within a stated
// error. It is this node's word and proves nothing. A series may come in several, from several writings of its pack.
type Series struct {
	Device lamppost.DeviceID
	Name   string
	Unit   string
	Kind   lamppost.Kind
	Blocks []Kept
	Values []compact.Reading // in the order in which they were committed

	hours []Hour // of an older pack, which had no more
}

// Kept says how some values of a series are kept that follow one another.
type Kept struct {
	Method   compact.Method
	Reason   compact.Reason
	Rows     int
	Bound    float64 // that was set; 0 where each is kept to the last bit
	Achieved float64 // the largest error of a value: the error bar of all
	From, To lamppost.TimeMS
	Bytes    int
	Hourly   int // of older packs: readings that the one value stands for
}

// MethodName returns the method's name, hourly for an hour of an older pack.
func (k *Kept) MethodName() string {
	if k.Hourly > 0 {
		return "hourly"
	}
	return k.Method.String()
}

// A storedSeries is a Series in a pack: blocks of package compact, one behind the other. A device's quantities mostly have the same times;
// since a block begins with them, compression finds that.
type storedSeries struct {
	_      struct{} `cbor:",toarray"`
	Device lamppost.DeviceID
	Name   string
	Unit   string
	Kind   lamppost.Kind
	Blocks []byte
}

// span is when a series begins and ends. It has a value.
func (s *Series) span() (first, last lamppost.TimeMS) { return spanOf(s.Values) }

// decode returns the series. left is how many values there may be, and counts down.
func (x *storedSeries) decode(d *compact.Decoder, left *int) (s Series, err error) {
	s = Series{Device: x.Device, Name: x.Name, Unit: x.Unit, Kind: x.Kind}
	for b := x.Blocks; len(b) > 0; {
		head, _, err := compact.Head(b)
		if err != nil {
			return s, err
		}
		if *left -= head.Rows; *left < 0 {
			return s, fmt.Errorf("a pack has at most %d values in summaries", maxPackValues)
		}
		from, bytes := len(s.Values), len(b)
		if s.Values, b, err = d.Append(s.Values, b); err != nil {
			return s, err
		}
		k := Kept{Method: head.Method, Reason: head.Reason, Rows: head.Rows, Bound: head.Bound, Achieved: head.Achieved, Bytes: bytes - len(b)}
		k.From, k.To = spanOf(s.Values[from:])
		s.Blocks = append(s.Blocks, k)
	}
	if len(s.Values) == 0 {
		return s, errors.New("it has no values")
	}
	return s, nil
}

func spanOf(values []compact.Reading) (from, to lamppost.TimeMS) {
	from, to = values[0].AtMS, values[0].AtMS
	for _, v := range values {
		from, to = min(from, v.AtMS), max(to, v.AtMS)
	}
	return from, to
}

type seriesKey struct {
	device lamppost.DeviceID
	name   string
	unit   string
	kind   lamppost.Kind
	why    compact.Reason
}

// A summariser gathers readings whose reports go.
type summariser struct {
	detect func(unit string, kind lamppost.Kind, rows int) compact.Detector
	rows   map[seriesKey][]compact.Row
}

// fits says whether a summary can have all of a report's readings.
func fits(r *lamppost.Report) bool {
	for i := range r.Readings {
		x := compact.Row{AtMS: r.Readings[i].Time, Value: number(&r.Readings[i])}
		if x.Check() != nil {
			return false
		}
	}
	return true
}

func (s *summariser) add(r *lamppost.Report, why compact.Reason) {
	for i := range r.Readings {
		x := &r.Readings[i]
		key := seriesKey{r.Device, x.Name, x.Unit, x.Kind, why}
		rows, ok := s.rows[key]
		if !ok {
			key = clone(key)
		}
		s.rows[key] = append(rows, compact.Row{AtMS: x.Time, Value: number(x)})
	}
}

// number is the floating point number nearest to a reading's value.
func number(x *lamppost.Reading) float64 {
	if x.IsFloat {
		return x.Float
	}
	return float(x.Value)
}

func float(d lamppost.Decimal) float64 {
	const exact = 1 << 53 // below, mantissa and power of ten have no error, and a division rounds once
	if m := d.Mantissa; -exact < m && m < exact {
		return float64(m) / math.Pow10(-int(d.Exponent))
	}
	f, _ := strconv.ParseFloat(d.String(), 64) // a decimal is a number, and in range
	return f
}

// clone makes a key that does not refer to the report's bytes.
func clone(k seriesKey) seriesKey {
	k.device = lamppost.DeviceID(append([]byte(nil), k.device...))
	k.name, k.unit = string(append([]byte(nil), k.name...)), string(append([]byte(nil), k.unit...))
	return k
}

// series returns what was gathered, in order. pause is called before each.
func (s *summariser) series(rules *Rules, pause func()) (all []storedSeries, err error) {
	keys := slices.SortedFunc(maps.Keys(s.rows), func(a, b seriesKey) int {
		return cmp.Or(cmp.Compare(a.device, b.device), cmp.Compare(a.name, b.name), cmp.Compare(a.unit, b.unit), cmp.Compare(a.kind, b.kind), cmp.Compare(a.why, b.why))
	})
	var e compact.Encoder
	for _, key := range keys {
		pause()
		one := storedSeries{Device: key.device, Name: key.name, Unit: key.unit, Kind: key.kind}
		if one.Blocks, err = s.encode(&e, key, rules.Of(key.device).Error); err != nil {
			return nil, fmt.Errorf("summary of %q of device %q: %w", key.name, key.device, err)
		}
		all = append(all, one)
	}
	return all, nil
}

// encode makes the blocks of a series.
func (s *summariser) encode(e *compact.Encoder, key seriesKey, share float64) (b []byte, err error) {
	rows := s.rows[key]
	var detect func() compact.Detector
	if s.detect != nil {
		detect = func() compact.Detector { return s.detect(key.unit, key.kind, len(rows)) }
	}
	w := compact.NewWriter(e, detect)
	w.Share = share
	for some := range slices.Chunk(rows, compact.MaxRows) {
		if b, _, _, err = w.Append(b, some, key.why); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// An hourly is what packs had of a device's readings of one name before they had series: one bucket an hour. Such packs are read
// and kept; none are made.
type hourly struct {
	_        struct{} `cbor:",toarray"`
	Device   lamppost.DeviceID
	Name     string
	Unit     string
	Kind     lamppost.Kind
	Exponent int8 // of all values
	Buckets  []bucket
}

// A bucket sums up the readings of a UTC hour. Values are mantissas.
type bucket struct {
	_     struct{} `cbor:",toarray"`
	Hour  int64    // since 1970
	Count uint32
	Min   int64
	Max   int64
	Mean  int64
	Last  int64 // by time
	At    int64 // milliseconds into the hour of Last
}

const hourMS = 3600 * 1000

// series returns the hours as a series of their means, each with an error bar that has all readings of its hour.
func (h *hourly) series() Series {
	s := Series{Device: h.Device, Name: h.Name, Unit: h.Unit, Kind: h.Kind}
	value := func(mantissa int64) float64 { return float(lamppost.Dec(mantissa, h.Exponent)) }
	for _, b := range h.Buckets {
		x := Hour{At: lamppost.TimeMS(b.Hour * hourMS), Count: int(b.Count), Min: value(b.Min), Max: value(b.Max), Mean: value(b.Mean), Last: value(b.Last)}
		x.LastAt = x.At + lamppost.TimeMS(b.At)
		off := max(x.Max-x.Mean, x.Mean-x.Min)
		s.hours = append(s.hours, x)
		s.Values = append(s.Values, compact.Reading{AtMS: x.LastAt, Value: x.Mean, Error: off})
		s.Blocks = append(s.Blocks, Kept{Reason: compact.Policy, Hourly: int(b.Count), Rows: 1, Bound: off, Achieved: off, From: x.LastAt, To: x.LastAt})
	}
	return s
}

// An Hour sums up the values of a UTC hour.
type Hour struct {
	At     lamppost.TimeMS // its begin
	Count  int
	Min    float64
	Max    float64
	Mean   float64
	Last   float64 // by time: of a register, its reading
	LastAt lamppost.TimeMS
	Error  float64 // how far each of them may be off
}

// Hours sums the series up by the hour, in order.
func (s *Series) Hours() []Hour {
	if s.hours != nil {
		return s.hours
	}
	all := map[lamppost.TimeMS]*Hour{}
	for _, v := range s.Values {
		at := v.AtMS - ((v.AtMS%hourMS)+hourMS)%hourMS
		h := all[at]
		if h == nil {
			h = &Hour{At: at, Min: v.Value, Max: v.Value, LastAt: v.AtMS}
			all[at] = h
		}
		h.Count++
		h.Mean += (v.Value - h.Mean) / float64(h.Count)
		h.Min, h.Max, h.Error = min(h.Min, v.Value), max(h.Max, v.Value), max(h.Error, v.Error)
		if v.AtMS >= h.LastAt {
			h.Last, h.LastAt = v.Value, v.AtMS
		}
	}
	hours := make([]Hour, 0, len(all))
	for _, at := range slices.Sorted(maps.Keys(all)) {
		hours = append(hours, *all[at])
	}
	return hours
}
