package joint_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/triage"
	"github.com/lamppost/lamppost/internal/triage/joint"
)

const stepMS = 300_000

// sizes are how many quantities vectors of tests have: the fewest, a few, the most with three rows, and the most.
var sizes = []int{2, 5, 44, 64}

func names(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("q%d", i)
	}
	return all
}

func vector(t testing.TB, n int) *joint.Vector {
	t.Helper()
	v, err := joint.New(names(n)...)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func all(n int) uint64 { return math.MaxUint64 >> (64 - n) }

// plant is a plant's rows: what drives it wanders by day and by chance, and every quantity follows it in a way of its own, with noise.
func plant(seed uint64, n, rows int) [][]float64 {
	random := rand.New(rand.NewPCG(seed, 1))
	drift, made := 0.0, make([][]float64, rows)
	for k := range made {
		drift = 0.9*drift + random.NormFloat64()
		row := make([]float64, n)
		for i := range row {
			driver := drift
			if i%2 == 1 {
				driver = 4 * math.Sin(2*math.Pi*float64(k)/288)
			}
			row[i] = float64(100*(i+1)) + float64(i+2)*(driver+drift/2) + 0.3*random.NormFloat64()
		}
		made[k] = row
	}
	return made
}

// observe returns the verdicts on rows that are all accepted, the first one as the from-th step.
func observe(t testing.TB, v *joint.Vector, from int, rows [][]float64, present uint64) []joint.Verdict {
	t.Helper()
	said := make([]joint.Verdict, len(rows))
	for k, row := range rows {
		verdict, err := v.Observe(lamppost.TimeMS(from+k)*stepMS, row, present)
		if err != nil {
			t.Fatalf("row %d, %v: %v", from+k, row, err)
		}
		if !(verdict.Score >= 0 && verdict.Score <= 1000) {
			t.Fatalf("row %d, %v: score %v", from+k, row, verdict.Score)
		}
		verdict.Reasons = slices.Clone(verdict.Reasons)
		said[k] = verdict
	}
	return said
}

func save(t testing.TB, v *joint.Vector) []byte {
	t.Helper()
	b, err := v.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestCausal: what comes later changes no verdict, and the same rows give the same ones.
func TestCausal(t *testing.T) {
	t.Parallel()
	for _, n := range sizes {
		rows := plant(1, n, 800)
		whole := observe(t, vector(t, n), 0, rows, all(n))
		if again := observe(t, vector(t, n), 0, rows, all(n)); !reflect.DeepEqual(whole, again) {
			t.Errorf("%d quantities: the same rows gave other verdicts", n)
		}
		for k := 500; k < len(rows); k++ {
			rows[k] = make([]float64, n)
		}
		if got := observe(t, vector(t, n), 0, rows, all(n)); !reflect.DeepEqual(got[:500], whole[:500]) {
			t.Errorf("%d quantities: later rows change earlier verdicts", n)
		}
	}
}

// TestRestored: a vector that is saved and restored anywhere goes on as if it had not been, and saves the same bytes; it takes no more than
// it may.
func TestRestored(t *testing.T) {
	t.Parallel()
	for _, n := range sizes {
		rows := plant(2, n, 900)
		for k := 700; k < 800; k++ {
			rows[k][0] += 300
		}
		straight := vector(t, n)
		want := observe(t, straight, 0, rows, all(n))
		stopped, got := vector(t, n), []joint.Verdict(nil)
		random := rand.New(rand.NewPCG(3, 3))
		for at := 0; at < len(rows); {
			next := min(at+1+random.IntN(100), len(rows))
			got = append(got, observe(t, stopped, at, rows[at:next], all(n))...)
			at = next
			b := save(t, stopped)
			stopped = vector(t, n)
			if err := stopped.UnmarshalBinary(b); err != nil {
				t.Fatalf("%d quantities, after row %d: %v", n, at, err)
			}
			if again := save(t, stopped); !bytes.Equal(again, b) {
				t.Fatalf("%d quantities: after row %d the restored vector saves other bytes", n, at)
			}
			if len(b) > joint.MaxBytes || stopped.Bytes() > joint.MaxBytes {
				t.Fatalf("%d quantities: %d bytes in memory, %d saved", n, stopped.Bytes(), len(b))
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%d quantities: a restored vector gives other verdicts", n)
		}
		if !bytes.Equal(save(t, stopped), save(t, straight)) {
			t.Errorf("%d quantities: a restored vector ends in another state", n)
		}
	}
}

// TestNoAllocation: a row allocates nothing, an alarm and a row with gaps neither. It is not parallel, as counting allows it only so.
func TestNoAllocation(t *testing.T) {
	const n = 6
	v, rows := vector(t, n), plant(4, n, 600)
	observe(t, v, 0, rows, all(n))
	k, row := len(rows), make([]float64, n)
	if got := testing.AllocsPerRun(300, func() {
		k++
		row[k%n] = float64(k * k % 7919)
		if _, err := v.Observe(lamppost.TimeMS(k)*stepMS, row, all(n)&^(1<<(k%7))); err != nil {
			t.Error(err)
		}
	}); got != 0 {
		t.Errorf("%v allocations a row", got)
	}
}

// TestRefused: what is refused says why and leaves no trace.
func TestRefused(t *testing.T) {
	t.Parallel()
	const n = 3
	v := vector(t, n)
	observe(t, v, 0, plant(5, n, 300), all(n))
	before, last, row := save(t, v), lamppost.TimeMS(299)*stepMS, []float64{1, 2, 3}
	for _, c := range []struct {
		what    string
		at      lamppost.TimeMS
		row     []float64
		present uint64
		want    error
	}{
		{"too few values", last + 1, row[:2], 3, joint.ErrRow},
		{"too many values", last + 1, []float64{1, 2, 3, 4}, 7, joint.ErrRow},
		{"nothing present", last + 1, row, 0, joint.ErrRow},
		{"a value that has no name present", last + 1, row, 15, joint.ErrRow},
		{"no number", last + 1, []float64{1, math.NaN(), 3}, 7, triage.ErrNumber},
		{"infinite", last + 1, []float64{1, 2, math.Inf(-1)}, 7, triage.ErrNumber},
		{"too large", last + 1, []float64{1, 2, 2 * triage.MaxValue}, 7, triage.ErrNumber},
		{"late", last - 1, row, 7, triage.ErrLate},
		{"the same time again", last, row, 7, triage.ErrDuplicate},
	} {
		if got, err := v.Observe(c.at, c.row, c.present); !errors.Is(err, c.want) || got.Score != 0 || got.Alarm {
			t.Errorf("%s: %+v, %v; want %v", c.what, got, err, c.want)
		}
		if !bytes.Equal(save(t, v), before) {
			t.Fatalf("%s: refused, and yet the state is another one", c.what)
		}
	}
	if _, err := v.Observe(last+1, []float64{1, math.NaN(), 3}, 5); err != nil {
		t.Errorf("a value that is not present is no number: %v", err)
	}
	for what, names := range map[string][]string{
		"one": {"a"}, "65": names(65), "one name twice": {"a", "b", "a"}, "no name": {"a", ""}, "a long name": {"a", strings.Repeat("b", 65)},
	} {
		if _, err := joint.New(names...); !errors.Is(err, joint.ErrQuantities) {
			t.Errorf("%s: %v, want %v", what, err, joint.ErrQuantities)
		}
	}
}

// TestConstant: quantities that never change, or of which some never do, are never unusual.
func TestConstant(t *testing.T) {
	t.Parallel()
	v := vector(t, 6)
	for k := range 1500 {
		verdict, err := v.Observe(lamppost.TimeMS(k), []float64{0, 1, -273.15, 1e-30, triage.MaxValue, 7}, all(6))
		if err != nil || verdict.Score != 0 || verdict.Alarm {
			t.Fatalf("row %d: %+v, %v", k, verdict, err)
		}
	}
	rows := plant(6, 4, 1500)
	for _, row := range rows {
		row[1], row[3] = 5, 2*row[0]-row[2] // a constant, and what is nothing but a sum of others
	}
	for k, verdict := range observe(t, vector(t, 4), 0, rows, all(4)) {
		if verdict.Score > 3.5 {
			t.Errorf("row %d of a calm plant: %+v", k, verdict)
		}
	}
}

// TestExtremes: whatever numbers come, scores are finite and states can be restored.
func TestExtremes(t *testing.T) {
	t.Parallel()
	values := []float64{0, math.Copysign(0, -1), 1, triage.MaxValue, -triage.MaxValue, math.SmallestNonzeroFloat64, 1e-300, 1e15, 0.1}
	random, rows := rand.New(rand.NewPCG(7, 7)), plant(7, 5, 2500)
	for _, row := range rows {
		for i := range row {
			if random.IntN(3) == 0 {
				row[i] = values[random.IntN(len(values))]
			}
		}
	}
	v := vector(t, 5)
	for k, row := range rows {
		observe(t, v, k, [][]float64{row}, 1+random.Uint64N(31))
		if k%100 == 0 {
			if err := vector(t, 5).UnmarshalBinary(save(t, v)); err != nil {
				t.Fatalf("after row %d: %v", k, err)
			}
		}
	}
}

// TestFinds: a quantity that is where it often was, but not where the others say, is found within ten rows, and named with what was
// expected of it; one that leaves its level is named with its level; and what is left without the reasons is said.
func TestFinds(t *testing.T) {
	t.Parallel()
	const n, at = 5, 2000
	for _, c := range []struct {
		what   string
		code   joint.Code
		change func(rows [][]float64, k int)
	}{
		{"its own course of half a day before", joint.Relation, func(rows [][]float64, k int) { rows[k][2] = rows[k-1000][2] }},
		{"frozen", joint.Relation, func(rows [][]float64, k int) { rows[k][2] = rows[at-1][2] }},
		{"above all that it was", joint.Level, func(rows [][]float64, k int) {
			for i := range n {
				rows[k][i] = float64(100*(i+1)) + float64(i+2)*(rows[k-1000][2]-300)
			}
			rows[k][2] = 500
		}},
	} {
		rows := plant(8, n, at+40)
		for k := at; k < len(rows); k++ {
			c.change(rows, k)
		}
		v := vector(t, n)
		for k, verdict := range observe(t, v, 0, rows[:at], all(n)) {
			if k > 500 && verdict.Score > 3.5 {
				t.Errorf("%s: row %d before it has the score %v", c.what, k, verdict.Score)
			}
		}
		found := false
		for k, verdict := range observe(t, v, at, rows[at:], all(n)) {
			if !verdict.Alarm {
				continue
			}
			found = true
			if k > 12 {
				t.Errorf("%s: found after %d rows", c.what, k)
			}
			checkReasons(t, c.what, verdict)
			r := verdict.Reasons[0]
			if r.Quantity != "q2" || c.code == joint.Relation && r.Code != c.code || r.Value >= r.Low && r.Value <= r.High {
				t.Errorf("%s: %+v", c.what, r)
			}
			break
		}
		if !found {
			t.Errorf("%s: not found", c.what)
		}
	}
}

// checkReasons: one to three, the weightiest first, of known codes and finite numbers, and with the rest they are the score.
func checkReasons(t *testing.T, what string, v joint.Verdict) {
	t.Helper()
	sum := v.Without
	for i, r := range v.Reasons {
		sum += r.Worth
		if r.Code.String() == "unknown" || r.Worth <= 0 || (r.Other == "") != (r.Code == joint.Level) || r.Other == r.Quantity {
			t.Errorf("%s: reason %d is %+v", what, i, r)
		}
		if !(math.Abs(r.Value) < 1e9 && r.Low < r.High && math.Abs(r.Low) < 1e9 && math.Abs(r.High) < 1e9) {
			t.Errorf("%s: reason %d is %+v", what, i, r)
		}
	}
	if len(v.Reasons) < 1 || len(v.Reasons) > triage.MaxReasons || math.Abs(sum-v.Score) > 1e-9 {
		t.Errorf("%s: %d reasons and the rest are %v, the score is %v", what, len(v.Reasons), sum, v.Score)
	}
}

// TestMissing: gaps are nothing unusual, whichever they are, and what is unusual is found beside a quantity that is always missing.
func TestMissing(t *testing.T) {
	t.Parallel()
	const n, at = 5, 2000
	rows, random := plant(9, n, at+20), rand.New(rand.NewPCG(9, 9))
	v, high := vector(t, n), 0
	for k, row := range rows[:at] {
		present := all(n) &^ 8 // q3 never comes
		for i := range 3 {
			if random.IntN(10) == 0 {
				present &^= 1 << i
			}
		}
		if verdict := observe(t, v, k, [][]float64{row}, present)[0]; k > 500 && verdict.Score > 3.5 {
			high++
		}
	}
	if high > 0 {
		t.Errorf("%d rows of a calm plant with gaps are unusual", high)
	}
	for k := at; k < len(rows); k++ {
		rows[k][2] = rows[k-1000][2]
	}
	last := observe(t, v, at, rows[at:], all(n)&^8)[19]
	if last.Score < joint.DefaultLevel {
		t.Errorf("score %v beside a missing quantity", last.Score)
	}
	before := last.Score
	for k := range 40 { // q2 falls silent: nothing more is held against it
		last = observe(t, v, len(rows)+k, [][]float64{plant(9, n, at+1)[at]}, all(n)&^12)[0]
	}
	if last.Score > before/2 {
		t.Errorf("score %v long after the unusual quantity fell silent, %v before", last.Score, before)
	}
}

// TestAnew: what lasts stays unusual for 500 rows, and is then the usual; alarms are few all the while.
func TestAnew(t *testing.T) {
	t.Parallel()
	const n, at = 4, 1500
	rows := plant(10, n, 4000)
	for k := at; k < len(rows); k++ {
		rows[k][1] += 200
		rows[k][2] = 50 - rows[k][2]
	}
	alarms := 0
	for k, verdict := range observe(t, vector(t, n), 0, rows, all(n)) {
		if verdict.Alarm {
			alarms++
		}
		if k > at+20 && k < at+450 && verdict.Score < joint.DefaultLevel {
			t.Fatalf("row %d, while it is new: %v", k, verdict.Score)
		}
		if k > at+1000 && verdict.Score > 3.5 {
			t.Fatalf("row %d, long after: %v", k, verdict.Score)
		}
	}
	if alarms < 1 || alarms > 12 {
		t.Errorf("%d alarms", alarms)
	}
}

// TestHostile: a state that was cut, changed or of other quantities is refused, or taken and harmless; a refused one leaves a new vector.
func TestHostile(t *testing.T) {
	t.Parallel()
	const n = 3
	v := vector(t, n)
	observe(t, v, 0, plant(11, n, 400), all(n))
	good, random := save(t, v), rand.New(rand.NewPCG(12, 12))
	for i := range 400 {
		bad := slices.Clone(good)
		if i%4 == 0 {
			bad = bad[:random.IntN(len(bad))]
		} else {
			bad[random.IntN(len(bad))] ^= byte(1 + random.IntN(255))
		}
		survive(t, bad)
	}
	other, err := joint.New("q0", "q1", "q3")
	if err != nil {
		t.Fatal(err)
	}
	if other.UnmarshalBinary(good) == nil {
		t.Error("a state of other quantities was taken")
	}
	if vector(t, 4).UnmarshalBinary(good) == nil {
		t.Error("a state of fewer quantities was taken")
	}
}

// survive loads a state of three quantities that may be anything and, whether it is taken or not, observes rows after it.
func survive(t testing.TB, b []byte) {
	t.Helper()
	v := vector(t, 3)
	if err := v.UnmarshalBinary(b); err != nil && !bytes.Equal(save(t, v), save(t, vector(t, 3))) {
		t.Fatalf("refused (%v), and yet it is no new vector", err)
	}
	for k, row := range plant(13, 3, 200) {
		verdict, err := v.Observe(1<<60+lamppost.TimeMS(k), row, uint64(1+k%7))
		if refusal := errors.Is(err, triage.ErrLate) || errors.Is(err, triage.ErrDuplicate); err != nil && !refusal || !(verdict.Score >= 0 && verdict.Score < 1e9) {
			t.Fatalf("after a strange state: %+v, %v", verdict, err)
		}
	}
	if err := vector(t, 3).UnmarshalBinary(save(t, v)); err != nil {
		t.Fatalf("after a strange state another one that cannot be restored: %v", err)
	}
}

// TestReplay: the same rows give the same bits on every machine. The digest was made on amd64; where it is another one, something is rounded
// in another way. A change of settings changes it too, and then the version in stateMagic.
func TestReplay(t *testing.T) {
	t.Parallel()
	const n = 7
	v, h, x := vector(t, n), sha256.New(), uint64(1)
	row := make([]float64, n)
	for k := range 3000 {
		for i := range row {
			x = x*6364136223846793005 + 1442695040888963407
			row[i] = float64(x>>40)/7 + float64(row[(i+1)%n]/2)
			if k > 2000 && k < 2200 && i == 3 {
				row[i] = row[i] / 3
			}
		}
		verdict, err := v.Observe(lamppost.TimeMS(k), row, all(n)&^(x>>60&7))
		if err != nil {
			t.Fatal(err)
		}
		_ = binary.Write(h, binary.LittleEndian, math.Float64bits(verdict.Score))
	}
	if got, want := fmt.Sprintf("%x", h.Sum(nil)[:8]), "36c79f1eb0fdd5be"; got != want {
		t.Errorf("scores have the digest %s, want %s", got, want)
	}
}

// FuzzState: no bytes make a state that panics, when it is loaded or later.
func FuzzState(f *testing.F) {
	v := vector(f, 3)
	observe(f, v, 0, plant(1, 3, 60), all(3))
	b := save(f, v)
	f.Add(b)
	f.Add(b[:100])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) { survive(t, b) })
}

// FuzzObserve: whatever rows come, scores are finite, refusals are the known ones, and the state can be restored.
func FuzzObserve(f *testing.F) {
	f.Add([]byte("0123456789abcdef0123456789abcdef0123456789abcdef"))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, at := vector(t, 2), int64(0)
		for ; len(b) >= 18; b = b[18:] {
			at += int64(int8(b[16]))
			row := []float64{math.Float64frombits(binary.LittleEndian.Uint64(b)), math.Float64frombits(binary.LittleEndian.Uint64(b[8:]))}
			verdict, err := v.Observe(lamppost.TimeMS(at), row, uint64(b[17]))
			if !(verdict.Score >= 0 && verdict.Score < 1e9) || err != nil && verdict.Score != 0 {
				t.Fatalf("%+v, %v", verdict, err)
			}
		}
		if err := vector(t, 2).UnmarshalBinary(save(t, v)); err != nil {
			t.Fatalf("a state that was saved: %v", err)
		}
	})
}
