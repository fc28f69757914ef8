package measure

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/lamppost/lamppost/internal/compact"
	"github.com/lamppost/lamppost/internal/triage"
)

// CompressOptions says what is measured.
type CompressOptions struct {
	Sets string // folder of data sets

	Progress func(done, all int64, what string)
}

// A CompressedSet is what the series of one set came to.
type CompressedSet struct {
	Set    string  `json:"set"`
	Series int     `json:"series"`
	Rows   int     `json:"rows"`
	Bytes  int     `json:"bytes"` // all of them: values, times, headers
	Ratio  float64 `json:"ratio"` // 8 bytes for each value ÷ bytes
	Middle float64 `json:"middle_ratio"`
	Range  float64 `json:"range_ratio"` // with 1 % of the range so far as the only bound
	Block  float64 `json:"block_ratio"` // with 1 % of each block's range

	ratios               []float64
	rangeBytes, ownBytes int
}

// CompressResult is what [Compress] has measured. Bounds are those of package compact: 1 % of the range so far, 3 % of what is usual so far, and closer
// where the detectors would not tell the same.
type CompressResult struct {
	CompressedSet
	Ratio16 float64 `json:"ratio_16"` // against 16 bytes, a time and a value

	Violations int     `json:"violations"`        // rows whose time is another or whose value is off by more than the bound or the error bar, in all three ways
	Achieved   float64 `json:"achieved_of_range"` // the largest error as a share of its series' range
	Mean       float64 `json:"mean_of_range"`     // the mean error, likewise, over all rows
	Constants  int     `json:"constant_series"`   // that never change: left out, they would flatter

	Methods map[string]int `json:"methods"`     // blocks by method
	Closer  int            `json:"closer"`      // blocks whose bound was made closer for the detectors
	Untold  int            `json:"untold"`      // blocks of which they tell something else all the same
	Windows int            `json:"nab_windows"` // of NAB that the detectors find in what came
	Lost    int            `json:"nab_lost"`    // of these, not found in what is read back
	Gained  int            `json:"nab_gained"`  // found there only

	NearAlarm float64 `json:"near_alarm"` // the share of rows that stay raw because an alarm is near; they are in the ratio too

	RangeLost    int     `json:"range_nab_lost"` // the same with the range as the only bound
	RangeGained  int     `json:"range_nab_gained"`
	EncodeMBPerS float64 `json:"encode_mb_per_s"` // CPU time; of 8 bytes a value, detectors apart
	DecodeMBPerS float64 `json:"decode_mb_per_s"`

	Sets []CompressedSet `json:"sets"`

	encode, decode float64 // CPU seconds
	timed          int     // rows of these
	sum            float64 // of errors as shares of the range
	nearAlarm      int     // rows
}

// Compress keeps the series of all data sets as summaries would, reads them back and holds every row against its bound.
func Compress(ctx context.Context, o CompressOptions) (*CompressResult, error) {
	all, err := keptCorpus(o.Sets)
	if err != nil {
		return nil, err
	}
	labels, err := nabByName(o.Sets)
	if err != nil {
		return nil, err
	}
	r := &CompressResult{Methods: map[string]int{}}
	for i := range all {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		s := &all[i]
		if o.Progress != nil {
			o.Progress(int64(i), int64(len(all)), s.set+", "+s.name)
		}
		if len(r.Sets) == 0 || r.Sets[len(r.Sets)-1].Set != s.set {
			r.Sets = append(r.Sets, CompressedSet{Set: s.set})
		}
		if err := r.keep(s, labels[s.name]); err != nil {
			return nil, fmt.Errorf("%s, %s: %w", s.set, s.name, err)
		}
	}
	r.finish()
	return r, nil
}

// nabByName are NAB's files, by the names of their series here.
func nabByName(sets string) (map[string]*nabFile, error) {
	files, err := nabCorpus(sets)
	if err != nil {
		return nil, err
	}
	named := map[string]*nabFile{}
	for i := range files {
		named[nabSeriesName(files[i].name)] = &files[i]
	}
	return named, nil
}

func (r *CompressResult) finish() {
	all := &r.CompressedSet
	all.Set = "all"
	for i := range r.Sets {
		s := &r.Sets[i]
		all.Series, all.Rows, all.Bytes = all.Series+s.Series, all.Rows+s.Rows, all.Bytes+s.Bytes
		all.rangeBytes, all.ownBytes, all.ratios = all.rangeBytes+s.rangeBytes, all.ownBytes+s.ownBytes, append(all.ratios, s.ratios...)
		s.finish()
	}
	all.finish()
	r.Ratio16 = 2 * all.Ratio
	r.Mean, r.NearAlarm = r.sum/float64(max(all.Rows, 1)), float64(r.nearAlarm)/float64(max(all.Rows, 1))
	const mb = 1e6
	r.EncodeMBPerS = float64(8*r.timed) / mb / max(r.encode, 1e-9)
	r.DecodeMBPerS = float64(8*r.timed) / mb / max(r.decode, 1e-9)
}

func (s *CompressedSet) finish() {
	raw := float64(8 * s.Rows)
	if s.Rows == 0 {
		return
	}
	s.Ratio, s.Range, s.Block = raw/float64(s.Bytes), raw/float64(s.rangeBytes), raw/float64(s.ownBytes)
	slices.Sort(s.ratios)
	s.Middle = s.ratios[len(s.ratios)/2]
}

// keep measures one series in three ways: as it is kept, by its range alone, and by the ranges of its blocks.
func (r *CompressResult) keep(s *keptSeries, f *nabFile) error {
	low, high := s.rows[0].Value, s.rows[0].Value
	for _, row := range s.rows {
		low, high = min(low, row.Value), max(high, row.Value)
	}
	if low == high {
		r.Constants++
		return nil
	}
	var e compact.Encoder
	kept := &keeping{writer: compact.NewWriter(&e, func() compact.Detector { return &triage.Watcher{Series: triage.NewSeries()} })}
	ranged := &keeping{encoder: &e, bound: func(span *compact.Span, _ []compact.Row) float64 { return span.Range() }}
	own := &keeping{encoder: &e, bound: func(_ *compact.Span, rows []compact.Row) float64 {
		var one compact.Span
		one.Add(rows)
		return one.Range()
	}}
	for _, k := range []*keeping{kept, ranged, own} {
		k.width, k.methods = high-low, map[string]int{}
		if err := r.blocks(s, k); err != nil {
			return err
		}
	}
	set := &r.Sets[len(r.Sets)-1]
	set.Series, set.Rows, set.Bytes = set.Series+1, set.Rows+len(s.rows), set.Bytes+kept.bytes
	set.rangeBytes, set.ownBytes = set.rangeBytes+ranged.bytes, set.ownBytes+own.bytes
	set.ratios = append(set.ratios, float64(8*len(s.rows))/float64(kept.bytes))
	r.Achieved, r.sum = max(r.Achieved, kept.worst), r.sum+kept.sum
	for m, n := range kept.methods {
		r.Methods[m] += n
	}
	r.tell(f, s.rows, kept, ranged)
	return nil
}

// tell compares what the detectors said: of what came, of what is kept, and of what the range alone would leave.
func (r *CompressResult) tell(f *nabFile, came []compact.Row, kept, ranged *keeping) {
	raw := alarmsIn(came)
	r.Closer, r.Untold, r.nearAlarm = r.Closer+kept.closer, r.Untold+kept.untold, r.nearAlarm+nearAlarm(raw, len(came))
	if f == nil {
		return
	}
	was := f.found(raw)
	r.Windows += len(was)
	lost, gained := difference(was, f.found(alarmsIn(kept.values)))
	r.Lost, r.Gained = r.Lost+lost, r.Gained+gained
	lost, gained = difference(was, f.found(alarmsIn(ranged.values)))
	r.RangeLost, r.RangeGained = r.RangeLost+lost, r.RangeGained+gained
}

// A keeping is one way to choose bounds, and what came of it.
type keeping struct {
	writer  *compact.Writer // as the archive keeps a series; nil: the encoder alone, with this bound
	encoder *compact.Encoder
	bound   func(span *compact.Span, rows []compact.Row) float64
	span    compact.Span
	width   float64 // the range of the whole series, to judge by

	bytes          int
	worst, sum     float64 // errors as shares of the range
	methods        map[string]int
	values         []compact.Row
	closer, untold int // blocks that the detectors asked to be closer; of which they tell something else all the same
}

// append encodes the next rows.
func (k *keeping) append(b []byte, rows []compact.Row) ([]byte, compact.Block, error) {
	if k.writer == nil {
		k.span.Add(rows)
		return k.encoder.Append(b, rows, k.bound(&k.span, rows), compact.Usual)
	}
	b, head, told, err := k.writer.Append(b, rows, compact.Usual)
	if told.Tries > 1 {
		k.closer++
	}
	if !told.Same {
		k.untold++
	}
	return b, head, err
}

// blocks encodes a series block by block, as it grows, and checks what is read back.
func (r *CompressResult) blocks(s *keptSeries, k *keeping) error {
	var d compact.Decoder
	var block []byte
	var back []compact.Reading
	for rows := range slices.Chunk(s.rows, compact.MaxRows) {
		before := cpuSeconds()
		var head compact.Block
		var err error
		if block, head, err = k.append(block[:0], rows); err != nil {
			return err
		}
		encoded := cpuSeconds()
		if back, _, err = d.Append(back[:0], block); err != nil {
			return err
		}
		if k.writer == nil { // without the detectors
			r.encode, r.decode, r.timed = r.encode+encoded-before, r.decode+cpuSeconds()-encoded, r.timed+len(rows)
		}
		k.bytes += len(block)
		k.methods[head.Method.String()]++
		r.Violations += k.hold(rows, back, head.Bound)
	}
	return nil
}

// hold counts the rows that are not what was promised.
func (k *keeping) hold(rows []compact.Row, back []compact.Reading, bound float64) (violations int) {
	for i, row := range rows {
		if i >= len(back) {
			return violations + len(rows) - i
		}
		off := math.Abs(row.Value - back[i].Value)
		if !(off <= bound && off <= back[i].Error && off <= compact.RangeShare*k.width) || back[i].AtMS != row.AtMS {
			violations++
		}
		k.worst, k.sum = max(k.worst, off/k.width), k.sum+off/k.width
		k.values = append(k.values, compact.Row{AtMS: back[i].AtMS, Value: back[i].Value})
	}
	return violations
}
