package contract

import (
	"math"
	"math/bits"
	"strconv"

	"github.com/lamppost/lamppost"
)

// A builtin is a function that every program has.
type builtin struct {
	min, max int
	fn       func(r *run, at int32, args []value) (value, *Failure)
}

// A method is called on a value.
type method struct {
	min, max int
	fn       func(r *run, at int32, self value, args []value) (value, *Failure)
}

var builtins = map[string]builtin{
	"pay":    {3, 3, pay},
	"share":  {3, 4, share},
	"divide": {2, 2, divide},
	"fail":   {1, 1, fail},
	"len":    {1, 1, length},
	"range":  {1, 3, makeRange},
	"min":    {2, 8, func(r *run, at int32, args []value) (value, *Failure) { return extreme(r, at, args, true) }},
	"max":    {2, 8, func(r *run, at int32, args []value) (value, *Failure) { return extreme(r, at, args, false) }},
	"abs":    {1, 1, absolute},
	"str":    {1, 1, str},
	"list":   {1, 1, toList},
}

var methods = map[string]method{
	"append": {1, 1, func(r *run, at int32, self value, args []value) (value, *Failure) {
		l, ok := self.(*list)
		if !ok || l.tuple {
			return nil, r.fail(at, BadValue, "append is for lists")
		}
		return nil, r.add(at, l, args[0])
	}},
	"get": {1, 2, get},
	"pop": {1, 1, popKey},
	"keys": {0, 0, func(r *run, at int32, self value, _ []value) (value, *Failure) {
		return entries(r, at, self, true, false)
	}},
	"values": {0, 0, func(r *run, at int32, self value, _ []value) (value, *Failure) {
		return entries(r, at, self, false, true)
	}},
	"items": {0, 0, func(r *run, at int32, self value, _ []value) (value, *Failure) {
		return entries(r, at, self, true, true)
	}},
}

// integers reads arguments that are numbers.
func integers(r *run, at int32, args []value) ([]int64, *Failure) {
	ns := make([]int64, len(args))
	for i, a := range args {
		n, ok := a.(int64)
		if !ok {
			return nil, r.fail(at, BadValue, "it takes integers, not a %s", kind(a))
		}
		ns[i] = n
	}
	return ns, nil
}

// pay(from, to, amount) moves money. 0 moves nothing; what goes the same way is summed up.
func pay(r *run, at int32, args []value) (value, *Failure) {
	from, ok1 := args[0].(string)
	to, ok2 := args[1].(string)
	amount, ok3 := args[2].(int64)
	switch {
	case !ok1 || !ok2 || !ok3 || amount < 0:
		return nil, r.fail(at, BadValue, "pay takes who pays, who gets it, and an amount that is not negative")
	case lamppost.CheckName("party", from) != nil || lamppost.CheckName("party", to) != nil || from == to:
		return nil, r.fail(at, NotBound, "%.40q cannot pay %.40q", from, to)
	case amount == 0:
		return nil, nil
	}
	if f := r.step(at, len(r.payments)/8); f != nil {
		return nil, f
	}
	return nil, r.pays(at, Payment{From: lamppost.PartyID(from), To: lamppost.PartyID(to), Amount: lamppost.Micro(amount)})
}

// pays adds a payment to what goes the same way.
func (r *run) pays(at int32, p Payment) *Failure {
	for i := range r.payments {
		x := &r.payments[i]
		if x.From != p.From || x.To != p.To {
			continue
		}
		sum, ok := x.Amount.Add(p.Amount)
		if !ok {
			return r.overflow(at)
		}
		x.Amount = sum
		return nil
	}
	if len(r.payments) == r.p.limits.Payments {
		return r.fail(at, OverBytes, "a run makes payments between at most %d pairs", r.p.limits.Payments)
	}
	r.payments = append(r.payments, p)
	return nil
}

// share(amount, part, whole, rule) is amount · part ÷ whole, with a product of any size, rounded by the rule: "down", towards zero,
// where none is given; "up", away from it; "half_up"; "half_even".
func share(r *run, at int32, args []value) (value, *Failure) {
	rule := "down"
	if len(args) == 4 {
		var ok bool
		if rule, ok = args[3].(string); !ok {
			return nil, r.fail(at, BadValue, "a rule of rounding is text")
		}
	}
	n, f := integers(r, at, args[:3])
	if f != nil {
		return nil, f
	}
	q, ok := mulDiv(n[0], n[1], n[2], rule)
	if !ok {
		return nil, r.fail(at, BadValue, "share(%d, %d, %d, %.20q) has no value", n[0], n[1], n[2], rule)
	}
	return q, nil
}

func magnitude(n int64) uint64 {
	if n < 0 {
		return -uint64(n)
	}
	return uint64(n)
}

// mulDiv computes a·b÷c by magnitude and sign.
func mulDiv(a, b, c int64, rule string) (int64, bool) {
	if c == 0 {
		return 0, false
	}
	hi, lo := bits.Mul64(magnitude(a), magnitude(b))
	d := magnitude(c)
	if hi >= d {
		return 0, false
	}
	q, rest := bits.Div64(hi, lo, d)
	up := false
	half := rest > d-rest || rest == d-rest // rest ≥ d/2, without overflow
	switch rule {
	case "down":
	case "up":
		up = rest > 0
	case "half_up":
		up = rest > 0 && half
	case "half_even":
		up = rest > 0 && half && (rest != d-rest || q%2 == 1)
	default:
		return 0, false
	}
	if up {
		if q++; q == 0 {
			return 0, false
		}
	}
	negative := (a < 0) != (b < 0) != (c < 0)
	switch {
	case negative && q <= 1<<63:
		return int64(-q), true
	case !negative && q <= math.MaxInt64:
		return int64(q), true
	}
	return 0, false
}

// divide(amount, weights) divides an amount among weights, in a list, so that nothing is left: each gets its share rounded towards
// zero, and what remains goes in single units to those whose shares lost most, the first of equals first.
func divide(r *run, at int32, args []value) (value, *Failure) {
	amount, ok := args[0].(int64)
	l, ok2 := args[1].(*list)
	if !ok || !ok2 {
		return nil, r.fail(at, BadValue, "divide takes an amount and a list of weights")
	}
	if f := r.step(at, len(l.items)*(1+bits.Len(uint(len(l.items))))); f != nil {
		return nil, f
	}
	out, f := r.newList(at, 2*len(l.items), false) // twice: what is needed on the way
	if f != nil {
		return nil, f
	}
	weights, f := integers(r, at, l.items)
	if f != nil {
		return nil, f
	}
	shares, ok := apportion(amount, weights)
	if !ok {
		return nil, r.fail(at, BadValue, "weights are not negative, not all 0, and together below 2^62")
	}
	for _, n := range shares {
		out.items = append(out.items, n)
	}
	return out, nil
}

// fail(text) ends the run: nothing comes of it.
func fail(r *run, at int32, args []value) (value, *Failure) {
	said, ok := args[0].(string)
	if !ok || len(said) > lamppost.MaxTextBytes {
		return nil, r.fail(at, BadValue, "fail takes a text of at most %d bytes", lamppost.MaxTextBytes)
	}
	return nil, &Failure{Reason: Failed, Line: at, Said: said}
}

func length(r *run, at int32, args []value) (value, *Failure) {
	switch v := args[0].(type) {
	case *list:
		return int64(len(v.items)), nil
	case *dict:
		return int64(len(v.keys)), nil
	case span:
		return v.n, nil
	case string:
		return int64(len(v)), nil
	}
	return nil, r.fail(at, BadValue, "a %s has no length", kind(args[0]))
}

// makeRange is range(stop), range(start, stop) or range(start, stop, step).
func makeRange(r *run, at int32, args []value) (value, *Failure) {
	n, f := integers(r, at, args)
	if f != nil {
		return nil, f
	}
	const most = 1 << 31
	for _, x := range n {
		if x < -most || x > most {
			return nil, r.fail(at, BadValue, "range takes numbers of 32 bits")
		}
	}
	from, to, step := int64(0), n[0], int64(1)
	if len(n) > 1 {
		from, to = n[0], n[1]
	}
	if len(n) > 2 {
		step = n[2]
	}
	switch {
	case step == 0:
		return nil, r.fail(at, BadValue, "range makes no steps of 0")
	case step > 0:
		return span{from, step, max(0, (to-from+step-1)/step)}, nil
	}
	return span{from, step, max(0, (from-to-step-1)/-step)}, nil
}

func extreme(r *run, at int32, args []value, least bool) (value, *Failure) {
	best := args[0]
	for _, a := range args[1:] {
		x, y := a, best
		if !least {
			x, y = best, a
		}
		better, f := r.less(at, x, y)
		if f != nil {
			return nil, f
		}
		if better {
			best = a
		}
	}
	return best, nil
}

func absolute(r *run, at int32, args []value) (value, *Failure) {
	n, f := integers(r, at, args)
	switch {
	case f != nil:
		return nil, f
	case n[0] == math.MinInt64:
		return nil, r.overflow(at)
	}
	return max(n[0], -n[0]), nil
}

// str makes text of a number, or leaves text as it is. What has parts has no text.
func str(r *run, at int32, args []value) (value, *Failure) {
	switch v := args[0].(type) {
	case string:
		return v, nil
	case int64:
		return r.text(at, 20, func() string { return strconv.FormatInt(v, 10) })
	}
	return nil, r.fail(at, BadValue, "a %s has no text", kind(args[0]))
}

func toList(r *run, at int32, args []value) (value, *Failure) {
	l, f := r.newList(at, 0, false)
	if f != nil {
		return nil, f
	}
	return l, r.each(at, args[0], func(v value) (bool, *Failure) { return true, r.add(at, l, v) })
}

func get(r *run, at int32, self value, args []value) (value, *Failure) {
	d, ok := self.(*dict)
	k, ok2 := args[0].(string)
	if !ok || !ok2 {
		return nil, r.fail(at, BadValue, "get is for dicts, and takes a text")
	}
	if f := r.step(at, len(k)/64); f != nil {
		return nil, f
	}
	if v, there := d.vals[k]; there {
		return v, nil
	}
	if len(args) == 2 {
		return args[1], nil
	}
	return nil, nil
}

func popKey(r *run, at int32, self value, args []value) (value, *Failure) {
	d, ok := self.(*dict)
	k, ok2 := args[0].(string)
	if !ok || !ok2 {
		return nil, r.fail(at, BadValue, "pop is for dicts, and takes a text")
	}
	v, there := d.vals[k]
	if !there {
		return nil, r.fail(at, BadValue, "the dict has no key %.40q", k)
	}
	return v, r.pop(at, d, k)
}

// entries lists keys, values, or pairs of both.
func entries(r *run, at int32, self value, keys, values bool) (value, *Failure) {
	d, ok := self.(*dict)
	if !ok {
		return nil, r.fail(at, BadValue, "keys, values and items are for dicts")
	}
	if f := r.step(at, len(d.keys)); f != nil {
		return nil, f
	}
	l, f := r.newList(at, len(d.keys), false)
	if f != nil {
		return nil, f
	}
	for _, k := range d.keys {
		var v value = k
		switch {
		case keys && values:
			pair, f := r.newList(at, 2, true)
			if f != nil {
				return nil, f
			}
			pair.items = append(pair.items, k, d.vals[k])
			v = pair
		case values:
			v = d.vals[k]
		}
		l.items = append(l.items, v)
	}
	return l, nil
}
