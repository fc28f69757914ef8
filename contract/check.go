package contract

import (
	"fmt"
	"slices"
	"unicode/utf8"

	"go.starlark.net/syntax"

	"github.com/lamppost/lamppost"
)

// A Program is a source that was checked. Many goroutines may run one.
type Program struct {
	limits    Limits
	functions map[string]*function
	globals   []global
}

type global struct {
	name string
	expr syntax.Expr
}

// A function is one that the program defines. Its names are places in a frame.
type function struct {
	name   string
	params int
	slots  int
	body   []syntax.Stmt
	line   int32
	calls  []string // others of the program
}

// What a name is bound to, in [syntax.Ident.Binding].
type (
	inFrame  int
	inGlobal int
	theTerms struct{}
)

// maxDepth is how deeply expressions and statements may nest.
const maxDepth = 32

// Handles reports whether there is a function for an event.
func (p *Program) Handles(name string) bool {
	f := p.functions[name]
	return f != nil && f.params == 2 && name[0] != '_'
}

// Handlers lists the names of events that the program has a function for.
func (p *Program) Handlers() (all []string) {
	for name := range p.functions {
		if p.Handles(name) {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

// Check reads a program, or says what is not allowed in it. The error is a [*Failure] with reason [BadSource].
func Check(source string, limits Limits) (*Program, error) {
	p, f := check(source, limits)
	if f != nil {
		return nil, f
	}
	return p, nil
}

func check(source string, limits Limits) (*Program, *Failure) {
	c := checker{p: &Program{limits: limits, functions: map[string]*function{}}, constants: map[string]int{}}
	if len(source) > limits.Source || !utf8.ValidString(source) {
		return nil, c.bad(0, "a program is UTF-8 of at most %d bytes", limits.Source)
	}
	file, err := (&syntax.FileOptions{}).Parse("contract", source, 0)
	if err != nil {
		if e, ok := err.(syntax.Error); ok {
			return nil, c.bad(e.Pos.Line, "%s", e.Msg)
		}
		return nil, c.bad(0, "%v", err)
	}
	if f := c.file(file); f != nil {
		return nil, f
	}
	return c.p, c.noRecursion()
}

// A checker walks a program once, refuses what is not in the language, and binds names.
type checker struct {
	p         *Program
	constants map[string]int
	fn        *function // nil: at the top
	scopes    []map[string]int
	loops     int
	depth     int
}

func (c *checker) bad(line int32, format string, args ...any) *Failure {
	return &Failure{Reason: BadSource, Line: line, Detail: fmt.Sprintf(format, args...)}
}

func line(n syntax.Node) int32 { return syntax.Start(n).Line }

// file takes functions first, because they may call those that come later.
func (c *checker) file(file *syntax.File) *Failure {
	for _, s := range file.Stmts {
		if d, ok := s.(*syntax.DefStmt); ok {
			if f := c.define(d); f != nil {
				return f
			}
		}
	}
	for _, s := range file.Stmts {
		if f := c.top(s); f != nil {
			return f
		}
	}
	for _, s := range file.Stmts {
		if d, ok := s.(*syntax.DefStmt); ok {
			if f := c.function(d); f != nil {
				return f
			}
		}
	}
	if len(c.p.Handlers()) == 0 {
		return c.bad(0, "it has no function of two parameters, event and state, that an event could call")
	}
	return nil
}

func (c *checker) newName(id *syntax.Ident) *Failure {
	_, fn := c.p.functions[id.Name]
	_, constant := c.constants[id.Name]
	if fn || constant || builtins[id.Name].fn != nil || id.Name == "terms" {
		return c.bad(line(id), "%s has a meaning already", id.Name)
	}
	return nil
}

func (c *checker) define(d *syntax.DefStmt) *Failure {
	if f := c.newName(d.Name); f != nil {
		return f
	}
	if len(d.Name.Name) > lamppost.MaxNameBytes {
		return c.bad(line(d), "a function's name has at most %d bytes", lamppost.MaxNameBytes)
	}
	c.p.functions[d.Name.Name] = &function{name: d.Name.Name, params: len(d.Params), body: d.Body, line: line(d)}
	return nil
}

// top checks a statement outside of functions: a constant, a comment in quotes, or a function, which comes later.
func (c *checker) top(s syntax.Stmt) *Failure {
	switch s := s.(type) {
	case *syntax.DefStmt:
		return nil
	case *syntax.ExprStmt:
		if l, ok := s.X.(*syntax.Literal); ok && l.Token == syntax.STRING {
			return nil
		}
	case *syntax.AssignStmt:
		id, ok := s.LHS.(*syntax.Ident)
		if !ok || s.Op != syntax.EQ {
			break
		}
		if f := c.newName(id); f != nil {
			return f
		}
		if f := c.expr(s.RHS); f != nil {
			return f
		}
		c.constants[id.Name] = len(c.p.globals)
		c.p.globals = append(c.p.globals, global{id.Name, s.RHS})
		return nil
	}
	return c.bad(line(s), "outside of functions there are only constants, NAME = value, and functions")
}

func (c *checker) function(d *syntax.DefStmt) *Failure {
	c.fn = c.p.functions[d.Name.Name]
	c.scopes = []map[string]int{{}}
	defer func() { c.fn, c.scopes = nil, nil }()
	for _, p := range d.Params {
		id, ok := p.(*syntax.Ident)
		if !ok {
			return c.bad(line(p), "a parameter is a name, without default or star")
		}
		if _, twice := c.scopes[0][id.Name]; twice {
			return c.bad(line(p), "parameter %s stands twice", id.Name)
		}
		c.slot(id)
	}
	c.assigned(d.Body)
	return c.block(d.Body)
}

// slot gives a name a place in the frame of the innermost scope.
func (c *checker) slot(id *syntax.Ident) {
	scope := c.scopes[len(c.scopes)-1]
	if _, there := scope[id.Name]; !there {
		scope[id.Name] = c.fn.slots
		c.fn.slots++
	}
}

// assigned finds the names that a function assigns anywhere: they are its own everywhere.
func (c *checker) assigned(body []syntax.Stmt) {
	for _, s := range body {
		switch s := s.(type) {
		case *syntax.AssignStmt:
			c.targets(s.LHS)
		case *syntax.ForStmt:
			c.targets(s.Vars)
			c.assigned(s.Body)
		case *syntax.IfStmt:
			c.assigned(s.True)
			c.assigned(s.False)
		}
	}
}

func (c *checker) targets(e syntax.Expr) {
	switch e := e.(type) {
	case *syntax.Ident:
		c.slot(e)
	case *syntax.TupleExpr:
		for _, x := range e.List {
			if id, ok := x.(*syntax.Ident); ok {
				c.slot(id)
			}
		}
	case *syntax.ParenExpr:
		c.targets(e.X)
	}
}

func (c *checker) block(body []syntax.Stmt) *Failure {
	if c.depth++; c.depth > maxDepth {
		return c.bad(line(body[0]), "statements are nested too deeply")
	}
	defer func() { c.depth-- }()
	for _, s := range body {
		if f := c.stmt(s); f != nil {
			return f
		}
	}
	return nil
}

func (c *checker) stmt(s syntax.Stmt) *Failure {
	switch s := s.(type) {
	case *syntax.ExprStmt:
		return c.expr(s.X)
	case *syntax.ReturnStmt:
		if s.Result == nil {
			return nil
		}
		return c.expr(s.Result)
	case *syntax.BranchStmt:
		if s.Token != syntax.PASS && c.loops == 0 {
			return c.bad(line(s), "%s is outside of a loop", s.Token)
		}
		return nil
	case *syntax.AssignStmt:
		return c.assign(s)
	case *syntax.IfStmt:
		if f := c.expr(s.Cond); f != nil {
			return f
		}
		if f := c.block(s.True); f != nil || s.False == nil {
			return f
		}
		return c.block(s.False)
	case *syntax.ForStmt:
		if f := c.all(c.expr(s.X), c.target(s.Vars)); f != nil {
			return f
		}
		c.loops++
		defer func() { c.loops-- }()
		return c.block(s.Body)
	}
	return c.bad(line(s), "%s is not in the language", statement(s))
}

func statement(s syntax.Stmt) string {
	switch s.(type) {
	case *syntax.WhileStmt:
		return "while"
	case *syntax.LoadStmt:
		return "load"
	case *syntax.DefStmt:
		return "a function in a function"
	}
	return "this statement"
}

func (c *checker) all(fs ...*Failure) *Failure {
	for _, f := range fs {
		if f != nil {
			return f
		}
	}
	return nil
}

var assignOps = map[syntax.Token]syntax.Token{syntax.PLUS_EQ: syntax.PLUS, syntax.MINUS_EQ: syntax.MINUS, syntax.STAR_EQ: syntax.STAR, syntax.SLASHSLASH_EQ: syntax.SLASHSLASH}

func (c *checker) assign(s *syntax.AssignStmt) *Failure {
	if f := c.expr(s.RHS); f != nil {
		return f
	}
	if s.Op == syntax.EQ {
		return c.target(s.LHS)
	}
	if assignOps[s.Op] == 0 {
		return c.bad(line(s), "%s is not in the language", s.Op)
	}
	switch s.LHS.(type) {
	case *syntax.Ident, *syntax.IndexExpr:
		return c.target(s.LHS)
	}
	return c.bad(line(s), "%s changes one name or element", s.Op)
}

// target checks what is assigned to: a name, an element, or several names at once.
func (c *checker) target(e syntax.Expr) *Failure {
	switch e := e.(type) {
	case *syntax.Ident:
		return c.expr(e)
	case *syntax.IndexExpr:
		return c.expr(e)
	case *syntax.ParenExpr:
		return c.target(e.X)
	case *syntax.TupleExpr:
		for _, x := range e.List {
			id, ok := x.(*syntax.Ident)
			if !ok {
				return c.bad(line(x), "only names can be assigned together")
			}
			if f := c.expr(id); f != nil {
				return f
			}
		}
		return nil
	}
	return c.bad(line(e), "this cannot be assigned to")
}

// noRecursion refuses functions that call themselves, over others or not: so a program ends unless its loops do not.
func (c *checker) noRecursion() *Failure {
	const open, done = 1, 2
	seen := map[string]int{}
	var visit func(name string) *Failure
	visit = func(name string) *Failure {
		fn := c.p.functions[name]
		switch seen[name] {
		case open:
			return c.bad(fn.line, "%s calls itself", name)
		case done:
			return nil
		}
		seen[name] = open
		for _, next := range fn.calls {
			if f := visit(next); f != nil {
				return f
			}
		}
		seen[name] = done
		return nil
	}
	names := make([]string, 0, len(c.p.functions))
	for name := range c.p.functions {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if f := visit(name); f != nil {
			return f
		}
	}
	return nil
}
