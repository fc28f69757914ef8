package contract

import (
	"slices"

	"go.starlark.net/syntax"
)

// expr checks an expression. What is not named here is not in the language.
func (c *checker) expr(e syntax.Expr) *Failure {
	if c.depth++; c.depth > 2*maxDepth {
		return c.bad(line(e), "expressions are nested too deeply")
	}
	defer func() { c.depth-- }()
	switch e := e.(type) {
	case *syntax.Ident:
		return c.name(e)
	case *syntax.Literal:
		return c.literal(e)
	case *syntax.ParenExpr:
		return c.expr(e.X)
	case *syntax.UnaryExpr:
		if e.Op != syntax.MINUS && e.Op != syntax.NOT {
			return c.bad(line(e), "%s is not in the language", e.Op)
		}
		return c.expr(e.X)
	case *syntax.BinaryExpr:
		return c.binary(e)
	case *syntax.CondExpr:
		return c.all(c.expr(e.Cond), c.expr(e.True), c.expr(e.False))
	case *syntax.IndexExpr:
		return c.all(c.expr(e.X), c.expr(e.Y))
	case *syntax.ListExpr:
		return c.exprs(e.List)
	case *syntax.TupleExpr:
		return c.exprs(e.List)
	case *syntax.DictExpr:
		return c.exprs(e.List)
	case *syntax.DictEntry:
		return c.all(c.expr(e.Key), c.expr(e.Value))
	case *syntax.CallExpr:
		return c.call(e)
	case *syntax.Comprehension:
		return c.comprehension(e)
	}
	return c.bad(line(e), "%s is not in the language", expression(e))
}

func expression(e syntax.Expr) string {
	switch e.(type) {
	case *syntax.LambdaExpr:
		return "lambda"
	case *syntax.SliceExpr:
		return "a slice"
	case *syntax.DotExpr:
		return "a member that is not called"
	}
	return "this expression"
}

func (c *checker) exprs(list []syntax.Expr) *Failure {
	for _, x := range list {
		if f := c.expr(x); f != nil {
			return f
		}
	}
	return nil
}

func (c *checker) literal(e *syntax.Literal) *Failure {
	switch e.Value.(type) {
	case int64:
		return nil
	case string:
		if e.Token == syntax.STRING {
			return nil
		}
	case float64:
		return c.bad(line(e), "%s is not in the language: amounts are integers, in millionths", e.Raw)
	}
	return c.bad(line(e), "this literal is not in the language: there are texts, and integers of 64 bits")
}

// name binds a name to where its value is.
func (c *checker) name(id *syntax.Ident) *Failure {
	for i := len(c.scopes) - 1; i >= 0; i-- {
		if at, ok := c.scopes[i][id.Name]; ok {
			id.Binding = inFrame(at)
			return nil
		}
	}
	at, constant := c.constants[id.Name]
	switch {
	case constant:
		id.Binding = inGlobal(at)
	case id.Name == "terms":
		id.Binding = theTerms{}
	case id.Name == "True":
		id.Binding = true
	case id.Name == "False":
		id.Binding = false
	case id.Name == "None":
	default:
		return c.bad(line(id), "no %s is known here; functions are called and are no values", id.Name)
	}
	return nil
}

var binaryOps = []syntax.Token{syntax.PLUS, syntax.MINUS, syntax.STAR, syntax.SLASHSLASH, syntax.EQL, syntax.NEQ, syntax.LT, syntax.LE, syntax.GT, syntax.GE,
	syntax.IN, syntax.NOT_IN, syntax.AND, syntax.OR}

func (c *checker) binary(e *syntax.BinaryExpr) *Failure {
	if !slices.Contains(binaryOps, e.Op) {
		hint := ""
		if e.Op == syntax.SLASH {
			hint = ": use share(amount, part, whole)"
		}
		return c.bad(e.OpPos.Line, "%s is not in the language%s", e.Op, hint)
	}
	return c.all(c.expr(e.X), c.expr(e.Y))
}

// call checks a call: of a function of the program, one that is built in, or a method, by name and with values in order.
func (c *checker) call(e *syntax.CallExpr) *Failure {
	for _, a := range e.Args {
		if b, ok := a.(*syntax.BinaryExpr); ok && b.Op == syntax.EQ {
			return c.bad(line(a), "arguments are given in order, without names")
		}
	}
	if f := c.exprs(e.Args); f != nil {
		return f
	}
	switch fn := e.Fn.(type) {
	case *syntax.DotExpr:
		m, ok := methods[fn.Name.Name]
		if !ok {
			return c.bad(line(fn), "no method %s is known", fn.Name.Name)
		}
		if n := len(e.Args); n < m.min || n > m.max {
			return c.bad(line(e), "%s takes %d to %d values, not %d", fn.Name.Name, m.min, m.max, n)
		}
		return c.expr(fn.X)
	case *syntax.Ident:
		return c.callName(e, fn)
	}
	return c.bad(line(e), "only a name can be called")
}

func (c *checker) callName(e *syntax.CallExpr, id *syntax.Ident) *Failure {
	for _, scope := range c.scopes {
		if _, hidden := scope[id.Name]; hidden {
			return c.bad(line(e), "%s is a value here, not a function", id.Name)
		}
	}
	n := len(e.Args)
	if b := builtins[id.Name]; b.fn != nil {
		if n < b.min || n > b.max {
			return c.bad(line(e), "%s takes %d to %d values, not %d", id.Name, b.min, b.max, n)
		}
		if c.fn == nil && id.Name == "pay" {
			return c.bad(line(e), "nothing is paid outside of functions")
		}
		id.Binding = b
		return nil
	}
	fn := c.p.functions[id.Name]
	switch {
	case fn == nil:
		return c.bad(line(e), "no function %s is known", id.Name)
	case c.fn == nil:
		return c.bad(line(e), "%s is called outside of functions", id.Name)
	case n != fn.params:
		return c.bad(line(e), "%s takes %d values, not %d", id.Name, fn.params, n)
	}
	c.fn.calls = append(c.fn.calls, id.Name)
	id.Binding = fn
	return nil
}

// comprehension has names of its own. The first of its lists is looked up outside of it.
func (c *checker) comprehension(e *syntax.Comprehension) *Failure {
	if c.fn == nil {
		return c.bad(line(e), "a comprehension outside of functions is not in the language")
	}
	if _, entry := e.Body.(*syntax.DictEntry); e.Curly && !entry {
		return c.bad(line(e), "a set is not in the language")
	}
	first, ok := e.Clauses[0].(*syntax.ForClause)
	if !ok {
		return c.bad(line(e), "a comprehension begins with for")
	}
	if f := c.expr(first.X); f != nil {
		return f
	}
	c.scopes = append(c.scopes, map[string]int{})
	defer func() { c.scopes = c.scopes[:len(c.scopes)-1] }()
	for i, clause := range e.Clauses {
		if f := c.clause(clause, i == 0); f != nil {
			return f
		}
	}
	return c.expr(e.Body)
}

func (c *checker) clause(n syntax.Node, first bool) *Failure {
	switch n := n.(type) {
	case *syntax.IfClause:
		return c.expr(n.Cond)
	case *syntax.ForClause:
		if !first {
			if f := c.expr(n.X); f != nil {
				return f
			}
		}
		c.targets(n.Vars)
		return c.target(n.Vars)
	}
	return c.bad(line(n), "this clause is not in the language")
}
