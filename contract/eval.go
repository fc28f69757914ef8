package contract

import (
	"math"

	"go.starlark.net/syntax"
)

// A run is one call of a program. Every expression and every turn of a loop is a step; steps for the length of what is gone through
// come on top, and all that is made is charged before it is.
type run struct {
	p        *Program
	globals  []value
	terms    *dict
	cost     Cost
	payments []Payment
}

// A frame holds the values of a function's names.
type frame []value

// unset is the value of a name that nothing was assigned to yet.
type unset struct{}

func (r *run) call(fn *function, args []value, at int32) (value, *Failure) {
	if f := r.make(at, costFrame+costSlot*fn.slots); f != nil {
		return nil, f
	}
	if f := r.step(at, fn.slots/8); f != nil {
		return nil, f
	}
	fr := make(frame, fn.slots)
	copy(fr, args)
	for i := len(args); i < len(fr); i++ {
		fr[i] = unset{}
	}
	var result value
	_, f := r.block(fr, fn.body, &result)
	return result, f
}

func (r *run) eval(fr frame, e syntax.Expr) (value, *Failure) {
	if f := r.step(line(e), 1); f != nil {
		return nil, f
	}
	switch e := e.(type) {
	case *syntax.Ident:
		return r.ident(fr, e)
	case *syntax.Literal:
		if s, ok := e.Value.(string); ok && len(s) > r.p.limits.Text {
			return nil, r.fail(line(e), OverBytes, "a text has at most %d bytes", r.p.limits.Text)
		}
		return e.Value, nil
	case *syntax.ParenExpr:
		return r.eval(fr, e.X)
	case *syntax.UnaryExpr:
		return r.unary(fr, e)
	case *syntax.BinaryExpr:
		return r.binary(fr, e)
	case *syntax.CondExpr:
		cond, f := r.eval(fr, e.Cond)
		if f != nil {
			return nil, f
		}
		if truth(cond) {
			return r.eval(fr, e.True)
		}
		return r.eval(fr, e.False)
	case *syntax.IndexExpr:
		of, f := r.eval(fr, e.X)
		if f != nil {
			return nil, f
		}
		at, f := r.eval(fr, e.Y)
		if f != nil {
			return nil, f
		}
		return r.index(line(e), of, at)
	case *syntax.ListExpr:
		return r.listOf(fr, e, e.List, false)
	case *syntax.TupleExpr:
		return r.listOf(fr, e, e.List, true)
	case *syntax.DictExpr:
		return r.dictOf(fr, e)
	case *syntax.CallExpr:
		return r.callExpr(fr, e)
	}
	return r.comprehension(fr, e.(*syntax.Comprehension))
}

func (r *run) ident(fr frame, id *syntax.Ident) (value, *Failure) {
	switch at := id.Binding.(type) {
	case inFrame:
		v := fr[at]
		if _, ok := v.(unset); ok {
			return nil, r.fail(line(id), BadValue, "%s is used before it is assigned", id.Name)
		}
		return v, nil
	case inGlobal:
		return r.globals[at], nil
	case theTerms:
		return r.terms, nil
	case bool:
		return at, nil
	}
	return nil, nil // None
}

func (r *run) unary(fr frame, e *syntax.UnaryExpr) (value, *Failure) {
	v, f := r.eval(fr, e.X)
	if f != nil {
		return nil, f
	}
	if e.Op == syntax.NOT {
		return !truth(v), nil
	}
	n, ok := v.(int64)
	switch {
	case !ok:
		return nil, r.fail(line(e), BadValue, "-%s cannot be computed", kind(v))
	case n == math.MinInt64:
		return nil, r.overflow(line(e))
	}
	return -n, nil
}

func (r *run) binary(fr frame, e *syntax.BinaryExpr) (value, *Failure) {
	a, f := r.eval(fr, e.X)
	if f != nil {
		return nil, f
	}
	if e.Op == syntax.AND && !truth(a) || e.Op == syntax.OR && truth(a) {
		return a, nil
	}
	b, f := r.eval(fr, e.Y)
	if f != nil {
		return nil, f
	}
	at := e.OpPos.Line
	switch e.Op {
	case syntax.AND, syntax.OR:
		return b, nil
	case syntax.EQL, syntax.NEQ:
		same, f := r.equal(at, a, b, 0)
		return same == (e.Op == syntax.EQL), f
	case syntax.LT:
		return r.ordered(at, a, b, false)
	case syntax.GT:
		return r.ordered(at, b, a, false)
	case syntax.LE:
		return r.ordered(at, b, a, true)
	case syntax.GE:
		return r.ordered(at, a, b, true)
	case syntax.IN, syntax.NOT_IN:
		there, f := r.contains(at, b, a)
		return there == (e.Op == syntax.IN), f
	}
	return r.arithmetic(at, e.Op, a, b)
}

// ordered is a < b, or its opposite.
func (r *run) ordered(at int32, a, b value, not bool) (value, *Failure) {
	less, f := r.less(at, a, b)
	return less != not, f
}

func (r *run) arithmetic(at int32, op syntax.Token, a, b value) (value, *Failure) {
	if op == syntax.PLUS {
		return r.plus(at, a, b)
	}
	x, ok1 := a.(int64)
	y, ok2 := b.(int64)
	if !ok1 || !ok2 {
		return nil, r.fail(at, BadValue, "%s %s %s cannot be computed", kind(a), op, kind(b))
	}
	var n int64
	var ok bool
	switch op {
	case syntax.MINUS:
		n, ok = minus(x, y)
	case syntax.STAR:
		n, ok = times(x, y)
	default:
		if y == 0 {
			return nil, r.fail(at, BadValue, "nothing can be divided by 0")
		}
		n, ok = floor(x, y)
	}
	if !ok {
		return nil, r.overflow(at)
	}
	return n, nil
}

// contains looks for an element in a list, or a key in a dict.
func (r *run) contains(at int32, in, v value) (bool, *Failure) {
	switch in := in.(type) {
	case *list:
		for _, x := range in.items {
			if same, f := r.equal(at, x, v, 0); f != nil || same {
				return same, f
			}
		}
		return false, nil
	case *dict:
		if k, ok := v.(string); ok {
			_, there := in.vals[k]
			return there, r.step(at, len(k)/64)
		}
	}
	return false, r.fail(at, BadValue, "a %s is not looked for in a %s", kind(v), kind(in))
}

// place is where an index points to in a list; negative ones count from its end.
func (r *run) place(at int32, l *list, i value) (int, *Failure) {
	n, ok := i.(int64)
	if ok && n < 0 {
		n += int64(len(l.items))
	}
	if !ok || n < 0 || n >= int64(len(l.items)) {
		return 0, r.fail(at, BadValue, "a %s of %d has nothing there", kind(l), len(l.items))
	}
	return int(n), nil
}

func (r *run) index(at int32, of, i value) (value, *Failure) {
	switch of := of.(type) {
	case *list:
		n, f := r.place(at, of, i)
		if f != nil {
			return nil, f
		}
		return of.items[n], nil
	case *dict:
		k, ok := i.(string)
		v, there := of.vals[k]
		if !ok || !there {
			return nil, r.fail(at, BadValue, "the dict has no key %.40q", k)
		}
		return v, r.step(at, len(k)/64)
	}
	return nil, r.fail(at, BadValue, "a %s has no elements", kind(of))
}

func (r *run) setIndex(at int32, of, i, v value) *Failure {
	switch of := of.(type) {
	case *list:
		n, f := r.place(at, of, i)
		if f != nil {
			return f
		}
		if of.tuple || of.frozen || of.loops > 0 {
			return r.fail(at, BadValue, "this %s cannot be changed, or not while it is gone through", kind(of))
		}
		of.items[n] = v
		return nil
	case *dict:
		if k, ok := i.(string); ok {
			return r.set(at, of, k, v)
		}
		return r.fail(at, BadValue, "a key is text")
	}
	return r.fail(at, BadValue, "a %s has no elements to change", kind(of))
}

func (r *run) listOf(fr frame, e syntax.Expr, items []syntax.Expr, tuple bool) (value, *Failure) {
	l, f := r.newList(line(e), len(items), tuple)
	if f != nil {
		return nil, f
	}
	for _, x := range items {
		v, f := r.eval(fr, x)
		if f != nil {
			return nil, f
		}
		l.items = append(l.items, v)
	}
	return l, nil
}

func (r *run) dictOf(fr frame, e *syntax.DictExpr) (value, *Failure) {
	d, f := r.newDict(line(e))
	if f != nil {
		return nil, f
	}
	for _, x := range e.List {
		before := len(d.keys)
		if f := r.entry(fr, d, x.(*syntax.DictEntry)); f != nil {
			return nil, f
		}
		if len(d.keys) == before {
			return nil, r.fail(line(x), BadValue, "a key stands twice")
		}
	}
	return d, nil
}

func (r *run) entry(fr frame, d *dict, e *syntax.DictEntry) *Failure {
	k, f := r.eval(fr, e.Key)
	if f != nil {
		return f
	}
	v, f := r.eval(fr, e.Value)
	if f != nil {
		return f
	}
	return r.setIndex(line(e), d, k, v)
}

func (r *run) callExpr(fr frame, e *syntax.CallExpr) (value, *Failure) {
	var self value
	if dot, ok := e.Fn.(*syntax.DotExpr); ok {
		var f *Failure
		if self, f = r.eval(fr, dot.X); f != nil {
			return nil, f
		}
	}
	if f := r.make(line(e), costSlot*len(e.Args)); f != nil {
		return nil, f
	}
	args := make([]value, len(e.Args))
	for i, a := range e.Args {
		var f *Failure
		if args[i], f = r.eval(fr, a); f != nil {
			return nil, f
		}
	}
	switch fn := e.Fn.(type) {
	case *syntax.DotExpr:
		return methods[fn.Name.Name].fn(r, line(e), self, args)
	case *syntax.Ident:
		if b, ok := fn.Binding.(builtin); ok {
			return b.fn(r, line(e), args)
		}
		return r.call(fn.Binding.(*function), args, line(e))
	}
	panic("contract: a call of what cannot be called was checked")
}

func (r *run) comprehension(fr frame, e *syntax.Comprehension) (value, *Failure) {
	var made value
	var f *Failure
	if e.Curly {
		made, f = r.newDict(line(e))
	} else {
		made, f = r.newList(line(e), 0, false)
	}
	if f != nil {
		return nil, f
	}
	return made, r.clauses(fr, e, e.Clauses, made)
}

func (r *run) clauses(fr frame, e *syntax.Comprehension, rest []syntax.Node, made value) *Failure {
	if len(rest) == 0 {
		if d, ok := made.(*dict); ok {
			return r.entry(fr, d, e.Body.(*syntax.DictEntry))
		}
		v, f := r.eval(fr, e.Body)
		if f != nil {
			return f
		}
		return r.add(line(e), made.(*list), v)
	}
	if c, ok := rest[0].(*syntax.IfClause); ok {
		cond, f := r.eval(fr, c.Cond)
		if f != nil || !truth(cond) {
			return f
		}
		return r.clauses(fr, e, rest[1:], made)
	}
	c := rest[0].(*syntax.ForClause)
	over, f := r.eval(fr, c.X)
	if f != nil {
		return f
	}
	return r.each(line(e), over, func(v value) (bool, *Failure) {
		if f := r.assign(fr, c.Vars, v); f != nil {
			return false, f
		}
		return true, r.clauses(fr, e, rest[1:], made)
	})
}
