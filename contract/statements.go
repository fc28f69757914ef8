package contract

import "go.starlark.net/syntax"

// How a block ended.
type flow uint8

const (
	goesOn flow = iota
	breaks
	continues
	returns
)

func (r *run) block(fr frame, body []syntax.Stmt, result *value) (flow, *Failure) {
	for _, s := range body {
		if how, f := r.stmt(fr, s, result); f != nil || how != goesOn {
			return how, f
		}
	}
	return goesOn, nil
}

func (r *run) stmt(fr frame, s syntax.Stmt, result *value) (how flow, f *Failure) {
	if f := r.step(line(s), 1); f != nil {
		return goesOn, f
	}
	switch s := s.(type) {
	case *syntax.ExprStmt:
		_, f = r.eval(fr, s.X)
	case *syntax.AssignStmt:
		f = r.assignStmt(fr, s)
	case *syntax.ReturnStmt:
		if s.Result != nil {
			*result, f = r.eval(fr, s.Result)
		}
		return returns, f
	case *syntax.BranchStmt:
		switch s.Token {
		case syntax.BREAK:
			return breaks, nil
		case syntax.CONTINUE:
			return continues, nil
		}
	case *syntax.IfStmt:
		cond, f := r.eval(fr, s.Cond)
		if f != nil {
			return goesOn, f
		}
		if truth(cond) {
			return r.block(fr, s.True, result)
		}
		return r.block(fr, s.False, result)
	case *syntax.ForStmt:
		return r.forStmt(fr, s, result)
	}
	return goesOn, f
}

func (r *run) forStmt(fr frame, s *syntax.ForStmt, result *value) (flow, *Failure) {
	over, f := r.eval(fr, s.X)
	if f != nil {
		return goesOn, f
	}
	ended := goesOn
	f = r.each(line(s), over, func(v value) (bool, *Failure) {
		if f := r.assign(fr, s.Vars, v); f != nil {
			return false, f
		}
		how, f := r.block(fr, s.Body, result)
		if how == returns {
			ended = returns
		}
		return how == goesOn || how == continues, f
	})
	return ended, f
}

// each calls fn for every element, until it has enough. Each turn is a step.
func (r *run) each(at int32, over value, fn func(value) (more bool, f *Failure)) *Failure {
	turn := func(v value) (bool, *Failure) {
		if f := r.step(at, 1); f != nil {
			return false, f
		}
		return fn(v)
	}
	switch over := over.(type) {
	case *list:
		over.loops++
		defer func() { over.loops-- }()
		for _, v := range over.items {
			if more, f := turn(v); f != nil || !more {
				return f
			}
		}
	case *dict:
		over.loops++
		defer func() { over.loops-- }()
		for _, k := range over.keys {
			if more, f := turn(k); f != nil || !more {
				return f
			}
		}
	case span:
		for i := range over.n {
			if more, f := turn(over.from + i*over.step); f != nil || !more {
				return f
			}
		}
	default:
		return r.fail(at, BadValue, "a %s cannot be gone through", kind(over))
	}
	return nil
}

func (r *run) assignStmt(fr frame, s *syntax.AssignStmt) *Failure {
	if s.Op == syntax.EQ {
		v, f := r.eval(fr, s.RHS)
		if f != nil {
			return f
		}
		return r.assign(fr, s.LHS, v)
	}
	if x, ok := s.LHS.(*syntax.IndexExpr); ok { // its parts are evaluated once
		of, f := r.eval(fr, x.X)
		if f != nil {
			return f
		}
		at, f := r.eval(fr, x.Y)
		if f != nil {
			return f
		}
		old, f := r.index(line(s), of, at)
		if f != nil {
			return f
		}
		v, f := r.augment(fr, s, old)
		if f != nil {
			return f
		}
		return r.setIndex(line(s), of, at, v)
	}
	old, f := r.eval(fr, s.LHS)
	if f != nil {
		return f
	}
	v, f := r.augment(fr, s, old)
	if f != nil {
		return f
	}
	return r.assign(fr, s.LHS, v)
}

// augment computes what += and its like assign. A list is added to in place.
func (r *run) augment(fr frame, s *syntax.AssignStmt, old value) (value, *Failure) {
	v, f := r.eval(fr, s.RHS)
	if f != nil {
		return nil, f
	}
	l, ok := old.(*list)
	more, ok2 := v.(*list)
	if !ok || !ok2 || l.tuple || s.Op != syntax.PLUS_EQ {
		return r.arithmetic(line(s), assignOps[s.Op], old, v)
	}
	for _, x := range more.items[:len(more.items):len(more.items)] {
		if f := r.step(line(s), 1); f != nil {
			return nil, f
		}
		if f := r.add(line(s), l, x); f != nil {
			return nil, f
		}
	}
	return l, nil
}

func (r *run) assign(fr frame, to syntax.Expr, v value) *Failure {
	switch to := to.(type) {
	case *syntax.Ident:
		fr[to.Binding.(inFrame)] = v
		return nil
	case *syntax.ParenExpr:
		return r.assign(fr, to.X, v)
	case *syntax.IndexExpr:
		of, f := r.eval(fr, to.X)
		if f != nil {
			return f
		}
		at, f := r.eval(fr, to.Y)
		if f != nil {
			return f
		}
		return r.setIndex(line(to), of, at, v)
	}
	names, l := to.(*syntax.TupleExpr).List, (*list)(nil)
	if l, _ = v.(*list); l == nil || len(l.items) != len(names) {
		return r.fail(line(to), BadValue, "a %s does not give %d values", kind(v), len(names))
	}
	for i, name := range names {
		fr[name.(*syntax.Ident).Binding.(inFrame)] = l.items[i]
	}
	return r.step(line(to), len(names))
}
