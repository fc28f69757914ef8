package compact_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/compact"
)

// lamp is a series like a street's: a day and a night, noise, steps, and times that jitter.
func lamp(seed uint64, n int) []compact.Row {
	random := rand.New(rand.NewPCG(seed, 1))
	rows := make([]compact.Row, n)
	for i := range rows {
		at := lamppost.TimeMS(i) * 300_000
		if random.IntN(50) == 0 {
			at += lamppost.TimeMS(random.IntN(9)) * 1000
		}
		v := 100 + float64(float64(i%288)/3) + float64(random.IntN(1000))/100
		if i/288%7 == 5 {
			v = 12
		}
		rows[i] = compact.Row{AtMS: at, Value: v}
	}
	return rows
}

// decode gives a block's readings back, and holds times and values against what they were.
func decode(t interface {
	Helper()
	Fatalf(string, ...any)
}, b []byte, rows []compact.Row, bound float64) compact.Block {
	t.Helper()
	var d compact.Decoder
	got, rest, err := d.Append(nil, b)
	if err != nil || len(rest) > 0 || len(got) != len(rows) {
		t.Fatalf("%d rows of %d, %d bytes left: %v", len(got), len(rows), len(rest), err)
	}
	k, _, err := compact.Head(b)
	if err != nil || k.Bound > bound || k.Achieved > k.Bound {
		t.Fatalf("bound %v, of which %v is asked: %+v, %v", k.Bound, bound, k, err)
	}
	for i, r := range got {
		if off := math.Abs(r.Value - rows[i].Value); r.AtMS != rows[i].AtMS || !(off <= r.Error) || r.Error != k.Achieved {
			t.Fatalf("%v: row %d is %+v, was %+v, off by %v", k.Method, i, r, rows[i], off)
		}
	}
	return k
}

// TestMethods: each kind of series has its method, and is as short as that promises.
func TestMethods(t *testing.T) {
	t.Parallel()
	made := func(n int, value func(i int) float64) []compact.Row {
		rows := make([]compact.Row, n)
		for i := range rows {
			rows[i] = compact.Row{AtMS: lamppost.TimeMS(i) * 60_000, Value: value(i)}
		}
		return rows
	}
	random := rand.New(rand.NewPCG(1, 2))
	walk := 0.0
	for _, c := range []struct {
		what   string
		rows   []compact.Row
		bound  float64
		method compact.Method
		most   int // bytes
	}{
		{"one value", made(4096, func(int) float64 { return 23.5 }), 0, compact.Constant, 32},
		{"within the bound", made(4096, func(i int) float64 { return 23.5 + float64(i%3)/100 }), 0.011, compact.Constant, 32},
		{"a line", made(4096, func(i int) float64 { return 5 + float64(i)*0.25 }), 0.01, compact.Linear, 40},
		{"a walk", made(4096, func(int) float64 { walk += random.NormFloat64(); return walk }), 0.5, compact.Last, 1200},
		{"noise", made(4096, func(int) float64 { return 100 * random.Float64() }), 1, compact.Filtered, 3200},
		{"a day's curve", made(8192, func(i int) float64 { return float64(i * i % 1440) }), 7.2, compact.Filtered, 6400},
		{"every bit", made(100, func(int) float64 { return random.NormFloat64() }), 0, compact.Verbatim, 840},
		{"too large for steps", made(100, func(i int) float64 { return 1e29 * random.Float64() }), 1e-9, compact.Verbatim, 840},
		{"one row", made(1, func(int) float64 { return -7 }), 1, compact.Constant, 32},
	} {
		var e compact.Encoder
		b, _, err := e.Append(nil, c.rows, c.bound, compact.Usual)
		if err != nil {
			t.Fatal(err)
		}
		if k := decode(t, b, c.rows, c.bound); k.Method != c.method || len(b) > c.most {
			t.Errorf("%s: %v, %d bytes; want %v, at most %d", c.what, k.Method, len(b), c.method, c.most)
		}
	}
}

// TestBound: whatever the rows, times come back exactly and values within the bound and within their error bars.
func TestBound(t *testing.T) {
	t.Parallel()
	value := rapid.OneOf(rapid.Float64Range(-100, 100), rapid.Float64Range(-1e30, 1e30), rapid.SampledFrom([]float64{0, 1, math.Copysign(0, -1), 5e-324, 1e30}))
	rapid.Check(t, func(t *rapid.T) {
		rows := make([]compact.Row, rapid.IntRange(1, 300).Draw(t, "rows"))
		at := rapid.Int64Range(-1<<60, 1<<60).Draw(t, "first")
		for i := range rows {
			rows[i] = compact.Row{AtMS: lamppost.TimeMS(at), Value: value.Draw(t, "value")}
			at = max(-1<<60, min(1<<60, at+rapid.OneOf(rapid.Just(int64(1000)), rapid.Int64Range(-1<<59, 1<<59)).Draw(t, "step")))
		}
		bound := rapid.OneOf(rapid.Just(0.0), rapid.Float64Range(0, 10), rapid.Float64Range(0, 1e30), rapid.Just(math.MaxFloat64)).Draw(t, "bound")
		var e compact.Encoder
		b, _, err := e.Append(nil, rows, bound, compact.Policy)
		if err != nil {
			t.Fatalf("%v", err)
		}
		if k := decode(t, b, rows, bound); k.Reason != compact.Policy {
			t.Fatalf("reason %v", k.Reason)
		}
	})
}

// TestSameBytes: the bytes of a block are the same on every machine and whatever was encoded before, and blocks stand behind each other.
func TestSameBytes(t *testing.T) {
	t.Parallel()
	var e compact.Encoder
	var all []byte
	var err error
	rows := lamp(1, 4096)
	for _, bound := range []float64{1, 0.1, 5} {
		if all, _, err = e.Append(all, rows, bound, compact.Usual); err != nil {
			t.Fatal(err)
		}
	}
	const want = "771b61475211b375"
	if got := fmt.Sprintf("%x", sha256.Sum256(all)); got[:16] != want {
		t.Errorf("%d bytes with digest %s, want %s: a new format needs a new version", len(all), got[:16], want)
	}
	var d compact.Decoder
	got, blocks := []compact.Reading(nil), 0
	for rest := all; len(rest) > 0; blocks++ {
		if got, rest, err = d.Append(got, rest); err != nil {
			t.Fatal(err)
		}
	}
	if blocks != 3 || len(got) != 3*len(rows) {
		t.Errorf("%d blocks, %d rows", blocks, len(got))
	}
	var fresh compact.Encoder
	if b, _, _ := fresh.Append(nil, rows, 1, compact.Usual); !slices.Equal(b, all[:len(b)]) {
		t.Error("a new encoder makes other bytes")
	}
}

// TestRefuses: what cannot be kept is refused with a reason.
func TestRefuses(t *testing.T) {
	t.Parallel()
	one := []compact.Row{{Value: 1}}
	for _, c := range []struct {
		rows  []compact.Row
		bound float64
		want  error
	}{
		{nil, 1, compact.ErrRows},
		{make([]compact.Row, compact.MaxRows+1), 1, compact.ErrRows},
		{one, -1, compact.ErrBound},
		{one, math.NaN(), compact.ErrBound},
		{[]compact.Row{{Value: math.Inf(1)}}, 1, compact.ErrNumber},
		{[]compact.Row{{Value: math.NaN()}}, 1, compact.ErrNumber},
		{[]compact.Row{{AtMS: 1<<60 + 1}}, 1, compact.ErrTime},
	} {
		var e compact.Encoder
		if b, _, err := e.Append(nil, c.rows, c.bound, compact.Usual); !errors.Is(err, c.want) || len(b) > 0 {
			t.Errorf("%d rows, bound %v: %v, want %v", len(c.rows), c.bound, err, c.want)
		}
	}
}

// TestCutOff: no part of a block's header decodes, and no byte changed makes more rows than a block may have.
func TestCutOff(t *testing.T) {
	t.Parallel()
	var e compact.Encoder
	b, _, err := e.Append(nil, lamp(2, 500), 1, compact.Usual)
	if err != nil {
		t.Fatal(err)
	}
	var d compact.Decoder
	for n := range b {
		if _, _, err := d.Append(nil, b[:n]); err == nil {
			t.Errorf("the first %d bytes of %d decode", n, len(b))
		}
		bad := slices.Clone(b)
		bad[n] ^= 0x55
		if got, _, _ := d.Append(nil, bad); len(got) > compact.MaxRows {
			t.Errorf("byte %d changed: %d rows", n, len(got))
		}
	}
}

// TestMemory: once warm, a block is encoded and decoded without an allocation.
func TestMemory(t *testing.T) {
	var e compact.Encoder
	var d compact.Decoder
	rows := lamp(3, 1000)
	b, _, _ := e.Append(nil, rows, 1, compact.Usual)
	got, _, _ := d.Append(nil, b)
	if n := testing.AllocsPerRun(5, func() {
		b, _, _ = e.Append(b[:0], rows, 1, compact.Usual)
		got, _, _ = d.Append(got[:0], b)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzDecode: whatever the bytes, decoding ends, in bounded memory, with numbers.
func FuzzDecode(f *testing.F) {
	var e compact.Encoder
	for _, rows := range [][]compact.Row{lamp(1, 1), lamp(1, 20), lamp(2, 600), make([]compact.Row, 5)} {
		for _, bound := range []float64{0, 1, 100} {
			b, _, err := e.Append(nil, rows, bound, compact.Usual)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var d compact.Decoder
		got, rest, err := d.Append(nil, b)
		if err != nil && len(got) > 0 || len(got) > compact.MaxRows || len(rest) > len(b) {
			t.Fatalf("%d rows, %d of %d bytes left: %v", len(got), len(rest), len(b), err)
		}
		for _, r := range got {
			if math.IsNaN(r.Value) || math.IsInf(r.Value, 0) || !(r.Error >= 0) {
				t.Fatalf("%+v", r)
			}
		}
	})
}

// TestClassify: who decides how much of a reading is kept, and in which order.
func TestClassify(t *testing.T) {
	t.Parallel()
	raw, summary, header := compact.Raw, compact.Summary, compact.HeaderOnly
	const far, late = -1, 1000
	for _, c := range []struct {
		of     compact.Case
		class  compact.Class
		reason compact.Reason
	}{
		{compact.Case{Alarm: far, After: late}, summary, compact.Usual},
		{compact.Case{Alarm: far, After: late, Policy: &raw}, raw, compact.Policy},
		{compact.Case{Alarm: far, After: late, Policy: &summary}, summary, compact.Policy},
		{compact.Case{Alarm: far, After: late, Policy: &header}, header, compact.Policy},
		{compact.Case{Alarm: 0, After: late}, raw, compact.NearAlarm},
		{compact.Case{Alarm: compact.AroundAlarm, After: late, Policy: &header}, raw, compact.NearAlarm},
		{compact.Case{Alarm: compact.AroundAlarm + 1, After: late}, summary, compact.Usual},
		{compact.Case{Alarm: far, After: compact.AroundAlarm - 1}, raw, compact.Unfinished},
		{compact.Case{Alarm: far, After: compact.AroundAlarm}, summary, compact.Usual},
		{compact.Case{Alarm: far, After: late, Billed: true, Policy: &header}, raw, compact.Billed},
		{compact.Case{Alarm: 3, After: late, Billed: true}, raw, compact.Billed},
		{compact.Case{Alarm: far, After: late, Billed: true, Disputed: true}, raw, compact.Disputed},
		{compact.Case{Alarm: far, After: late, Disputed: true, Policy: &header}, raw, compact.Disputed},
	} {
		if class, reason := compact.Classify(c.of); class != c.class || reason != c.reason {
			t.Errorf("%+v: %v, %v; want %v, %v", c.of, class, reason, c.class, c.reason)
		}
	}
}

// TestSpan: bounds are 1 % of the range so far, or 3 % of where all but a few values lie; a sample of many values changes little.
func TestSpan(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(5, 6))
	var s compact.Span
	if s.Bound() != 0 || s.Range() != 0 {
		t.Error("nothing has a bound")
	}
	for block := range 20 {
		rows := make([]compact.Row, 1000)
		for i := range rows {
			rows[i].Value = 100 * random.Float64()
		}
		if block == 10 {
			rows[7].Value = 10_000
		}
		s.Add(rows)
		want := 1.0
		if block >= 10 {
			want = 3 * 0.96
		}
		if got := s.Bound(); math.Abs(got-want) > 0.1 {
			t.Errorf("block %d: bound %v, want about %v", block, got, want)
		}
	}
	if got := s.Range(); math.Abs(got-100) > 0.1 {
		t.Errorf("range's bound %v", got)
	}
	var steady compact.Span
	steady.Add([]compact.Row{{Value: 5}, {Value: 5}, {Value: 6}})
	if got := steady.Bound(); got != 0.01 {
		t.Errorf("bound %v", got)
	}
}

// TestTold: of several bounds the first counts that the reader agrees to, and the last one if it never does.
func TestTold(t *testing.T) {
	t.Parallel()
	rows := lamp(4, 300)
	for agree := range 4 {
		var e compact.Encoder
		asked := 0
		_, k, err := e.AppendTold(nil, rows, []float64{4, 2, 1}, compact.Usual, func(got []compact.Reading) bool {
			asked++
			return len(got) == len(rows) && asked == agree+1
		})
		if want := [...]float64{4, 2, 1, 1}[agree]; err != nil || k.Bound != want {
			t.Errorf("agreed to %d: bound %v, want %v: %v", agree, k.Bound, want, err)
		}
	}
}

// A jump alarms at a value over its level. Its state is how many readings it saw.
type jump struct {
	level float64
	seen  byte
}

func (j *jump) Alarm(_ lamppost.TimeMS, v float64) bool { j.seen++; return v > j.level }
func (j *jump) AppendBinary(b []byte) ([]byte, error)   { return append(b, j.seen), nil }
func (j *jump) UnmarshalBinary(b []byte) error          { j.seen = b[0]; return nil }

// TestWriter: bounds follow from what a series has shown so far, or are the share that was asked for; where a detector would not tell the same, they
// are closer; and its state goes on as if only the last try had been.
func TestWriter(t *testing.T) {
	t.Parallel()
	var e compact.Encoder
	rows := lamp(9, 200)
	var span compact.Span
	span.Add(rows)
	for share, want := range map[float64]float64{0: span.Bound(), 0.05: 5 * span.Range()} {
		w := compact.NewWriter(&e, nil)
		w.Share = share
		b, k, told, err := w.Append(nil, rows, compact.Policy)
		if err != nil || math.Abs(k.Bound-want) > 1e-6*want || k.Reason != compact.Policy || told != (compact.Told{Tries: 1, Same: true}) {
			t.Errorf("share %v: bound %v, want %v; %+v, %v", share, k.Bound, want, told, err)
		}
		decode(t, b, rows, want*1.000001)
	}
	var peak float64
	for _, r := range rows {
		peak = max(peak, r.Value)
	}
	var back *jump
	w := compact.NewWriter(&e, func() compact.Detector { back = &jump{level: peak - 1e-9}; return back })
	for block := range 3 {
		_, k, told, err := w.Append(nil, rows, compact.Usual)
		if err != nil || told.Tries < 1 || !told.Same && told.Tries != len(compact.Closer) {
			t.Errorf("block %d: %+v, %+v, %v", block, k, told, err)
		}
		if told.Tries > 1 && !(k.Bound < span.Bound()) {
			t.Errorf("block %d: %d tries and the bound is %v of %v", block, told.Tries, k.Bound, span.Bound())
		}
		if want := byte((block + 1) * len(rows)); back.seen != want {
			t.Errorf("block %d: the detector saw %d readings, want %d", block, back.seen, want)
		}
	}
	if w = compact.NewWriter(&e, func() compact.Detector { return nil }); w == nil {
		t.Fatal("no writer")
	}
	if _, _, told, err := w.Append(nil, rows, compact.Usual); err != nil || !told.Same {
		t.Errorf("no detector: %+v, %v", told, err)
	}
	if _, _, _, err := w.Append(nil, nil, compact.Usual); !errors.Is(err, compact.ErrRows) {
		t.Errorf("no rows: %v", err)
	}
}
