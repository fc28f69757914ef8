package contract

import (
	"fmt"
	"math"
	"slices"
)

// A value is nil, bool, int64, string, *list, *dict or span. Keys of a dict are texts, so that nothing has to be hashed that has parts.
type value any

// A list is a list, or a tuple, which never changes.
type list struct {
	items  []value
	tuple  bool
	frozen bool
	loops  int // over it, that are running: nothing is added or taken away meanwhile
}

// A dict keeps its keys in the order in which they came.
type dict struct {
	keys   []string
	vals   map[string]value
	frozen bool
	loops  int
}

// A span is what range returns: it takes no room whatever its length.
type span struct{ from, step, n int64 }

func kind(v value) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		return "bool"
	case int64:
		return "int"
	case string:
		return "text"
	case *list:
		if v.tuple {
			return "tuple"
		}
		return "list"
	case *dict:
		return "dict"
	case span:
		return "range"
	}
	panic(fmt.Sprintf("contract: a value of type %T", v))
}

func truth(v value) bool {
	switch v := v.(type) {
	case nil:
		return false
	case bool:
		return v
	case int64:
		return v != 0
	case string:
		return v != ""
	case *list:
		return len(v.items) > 0
	case *dict:
		return len(v.keys) > 0
	case span:
		return v.n > 0
	}
	return false
}

// What values are charged for, in bytes: a little more than they take, with what is left over when a slice or a map grows.
const (
	costText  = 16
	costList  = 64
	costItem  = 48 // of a list
	costDict  = 96
	costEntry = 160 // of a dict, beside its key
	costFrame = 64
	costSlot  = 16
)

// make charges for something made before it is.
func (r *run) make(line int32, n int) *Failure {
	if r.cost.Bytes += int64(n); r.cost.Bytes > r.p.limits.Bytes {
		return r.fail(line, OverBytes, "it made values of more than %d bytes", r.p.limits.Bytes)
	}
	return nil
}

// step charges for work.
func (r *run) step(line int32, n int) *Failure {
	if r.cost.Steps += int64(n); r.cost.Steps > r.p.limits.Steps {
		return r.fail(line, OverSteps, "it did not end within %d steps", r.p.limits.Steps)
	}
	return nil
}

func (r *run) fail(line int32, why Reason, format string, args ...any) *Failure {
	return &Failure{Reason: why, Line: line, Detail: fmt.Sprintf(format, args...)}
}

func (r *run) newList(line int32, n int, tuple bool) (*list, *Failure) {
	if f := r.make(line, costList+costItem*n); f != nil {
		return nil, f
	}
	return &list{items: make([]value, 0, n), tuple: tuple}, nil
}

func (r *run) newDict(line int32) (*dict, *Failure) {
	if f := r.make(line, costDict); f != nil {
		return nil, f
	}
	return &dict{vals: map[string]value{}}, nil
}

func (r *run) add(line int32, l *list, v value) *Failure {
	switch {
	case l.frozen || l.tuple:
		return r.fail(line, BadValue, "this %s cannot be changed", kind(l))
	case l.loops > 0:
		return r.fail(line, BadValue, "a list cannot grow while it is gone through")
	}
	if f := r.make(line, costItem); f != nil {
		return f
	}
	l.items = append(l.items, v)
	return nil
}

func (r *run) set(line int32, d *dict, key string, v value) *Failure {
	_, there := d.vals[key]
	switch {
	case d.frozen:
		return r.fail(line, BadValue, "this dict cannot be changed")
	case d.loops > 0:
		return r.fail(line, BadValue, "a dict cannot be changed while it is gone through")
	}
	if f := r.step(line, len(key)/64); f != nil {
		return f
	}
	if !there {
		if f := r.make(line, costEntry); f != nil {
			return f
		}
		d.keys = append(d.keys, key)
	}
	d.vals[key] = v
	return nil
}

// pop takes a key away.
func (r *run) pop(line int32, d *dict, key string) *Failure {
	if d.frozen || d.loops > 0 {
		return r.fail(line, BadValue, "this dict cannot be changed, or not while it is gone through")
	}
	if f := r.step(line, len(d.keys)/8); f != nil {
		return f
	}
	delete(d.vals, key)
	i := slices.Index(d.keys, key)
	d.keys = slices.Delete(d.keys, i, i+1)
	return nil
}

// maxNesting is how deeply values are compared, frozen and kept.
const maxNesting = 8

// equal compares, and pays for every part: what is shared is compared as often as it is met.
func (r *run) equal(line int32, a, b value, depth int) (bool, *Failure) {
	if f := r.step(line, 1); f != nil {
		return false, f
	}
	if depth > maxNesting {
		return false, r.fail(line, BadValue, "values are nested too deeply to compare")
	}
	switch a := a.(type) {
	case string:
		b, ok := b.(string)
		return ok && a == b, r.step(line, len(a)/64)
	case *list:
		b, ok := b.(*list)
		if !ok || a.tuple != b.tuple || len(a.items) != len(b.items) {
			return false, nil
		}
		for i := range a.items {
			if same, f := r.equal(line, a.items[i], b.items[i], depth+1); f != nil || !same {
				return false, f
			}
		}
		return true, nil
	case *dict:
		b, ok := b.(*dict)
		if !ok || len(a.keys) != len(b.keys) {
			return false, nil
		}
		for _, k := range a.keys {
			other, there := b.vals[k]
			if !there {
				return false, nil
			}
			if same, f := r.equal(line, a.vals[k], other, depth+1); f != nil || !same {
				return false, f
			}
		}
		return true, nil
	case span:
		b, ok := b.(span)
		return ok && a.n == b.n && (a.n == 0 || a.from == b.from && (a.n == 1 || a.step == b.step)), nil
	}
	return a == b, nil
}

// less orders integers and texts.
func (r *run) less(line int32, a, b value) (bool, *Failure) {
	switch a := a.(type) {
	case int64:
		if b, ok := b.(int64); ok {
			return a < b, nil
		}
	case string:
		if b, ok := b.(string); ok {
			return a < b, r.step(line, len(a)/64)
		}
	}
	return false, r.fail(line, BadValue, "a %s and a %s have no order", kind(a), kind(b))
}

// freeze makes a constant of a value.
func (r *run) freeze(v value) *Failure {
	switch v := v.(type) {
	case *list:
		if v.frozen {
			return nil
		}
		v.frozen = true
		for _, x := range v.items {
			if f := r.freeze(x); f != nil {
				return f
			}
		}
	case *dict:
		if v.frozen {
			return nil
		}
		v.frozen = true
		for _, k := range v.keys {
			if f := r.freeze(v.vals[k]); f != nil {
				return f
			}
		}
	}
	return nil
}

// plus adds integers of 64 bits, and refuses what does not fit. Text, lists and tuples are joined.
func (r *run) plus(line int32, a, b value) (value, *Failure) {
	switch a := a.(type) {
	case int64:
		if b, ok := b.(int64); ok {
			if sum := a + b; (sum > a) == (b > 0) {
				return sum, nil
			}
			return nil, r.overflow(line)
		}
	case string:
		if b, ok := b.(string); ok {
			return r.text(line, len(a)+len(b), func() string { return a + b })
		}
	case *list:
		if b, ok := b.(*list); ok && a.tuple == b.tuple {
			n := len(a.items) + len(b.items)
			if f := r.step(line, n/8); f != nil {
				return nil, f
			}
			sum, f := r.newList(line, n, a.tuple)
			if f == nil {
				sum.items = append(append(sum.items, a.items...), b.items...)
			}
			return sum, f
		}
	}
	return nil, r.fail(line, BadValue, "%s + %s cannot be computed", kind(a), kind(b))
}

// text makes a text of n bytes after it was charged for.
func (r *run) text(line int32, n int, build func() string) (value, *Failure) {
	if n > r.p.limits.Text {
		return nil, r.fail(line, OverBytes, "a text has at most %d bytes", r.p.limits.Text)
	}
	if f := r.make(line, costText+n); f != nil {
		return nil, f
	}
	return build(), r.step(line, n/64)
}

func (r *run) overflow(line int32) *Failure {
	return r.fail(line, BadValue, "the number does not fit in 64 bits")
}

func minus(a, b int64) (int64, bool) {
	d := a - b
	return d, (d < a) == (b > 0)
}

func times(a, b int64) (int64, bool) {
	if a == 0 || b == 0 {
		return 0, true
	}
	p := a * b
	return p, p/b == a && (a != -1 || b != math.MinInt64) && (b != -1 || a != math.MinInt64)
}

// floor divides and rounds down, as // does.
func floor(a, b int64) (int64, bool) {
	if b == 0 || a == math.MinInt64 && b == -1 {
		return 0, false
	}
	q := a / b
	if a%b != 0 && (a < 0) != (b < 0) {
		q--
	}
	return q, true
}
