// Package contract knows about programs on the ledger: what becomes of money once a bill is made. It promises that the same source,
// terms, event and state give the same payments and the same new state everywhere, at a bounded cost, or fail alike; and that
// nothing else comes of them. An auditor runs it as the ledger does. It knows nothing of accounts: what a payment may take is the
// ledger's to say.
//
// The language is a part of Starlark (docs/contracts.md). The parser is the Starlark project's; the evaluator is this package's own,
// because what a step costs and what a value may grow to are rules that members agree on, and must neither depend on how a library
// compiles nor be found out after the memory is gone. Start reading at [Check] and [Program.Run]; check.go says what is refused,
// statements.go and eval.go what runs, value.go what there is to compute with, builtins.go what can be called.
package contract

import (
	"fmt"

	"github.com/lamppost/lamppost"
)

// What a program is told of and gives stands in the log, so the formats are the root package's.
type (
	Event   = lamppost.RunEvent
	Bill    = lamppost.RunBill
	Part    = lamppost.RunPart
	Reading = lamppost.RunReading
	Payment = lamppost.Payment
	Cost    = lamppost.RunCost
	Reason  = lamppost.RunReason
	Failure = lamppost.RunFailure
)

// A Result is what a run came to.
type Result struct {
	Payments []Payment // one for each pair, in the order of the first
	State    []byte    // JSON, at most [Limits.State] bytes
	Note     string    // what the function returned, for people
	Cost     Cost
}

// Limits bound a run. They and the costs of eval.go are rules.
type Limits struct {
	Source   int   // bytes of a program
	Steps    int64 // of a run
	Bytes    int64 // of values made in it
	Text     int   // bytes of one text
	State    int   // bytes of the state as JSON
	Payments int   // of one run, each from another party or to another
}

// At returns the limits that hold under a version of the ledger's rules. A change to what this package computes is a new version of
// these, and the old one stays.
func At(rules uint32) Limits {
	return Limits{Source: 16 << 10, Steps: 50_000, Bytes: 1 << 20, Text: 4 << 10, State: 4 << 10, Payments: 64}
}

// Names of functions that the ledger calls by itself. Any other is called by order.
const (
	Settle = "settle" // a session was settled: it will be on a bill
	Split  = "split"  // an invoice was made or corrected
	Expire = "expire" // by order, once, after the contract's end
)

// Reasons.
const (
	_         Reason = iota
	OverSteps        // it did not come to an end
	OverBytes        // it made too much
	BadValue         // an operation that its operands do not allow, or that gives no value
	Failed           // it called fail
	BadState         // the new state cannot be kept
	BadSource        // not a program, or not with this function
	NotBound         // it pays from or to who is no party to the contract
	OverLimit        // it takes more of a party than was billed and agreed
	NoFunds          // a party's account does not cover what it takes
	BlockFull        // the block had no room for another run: run it again
)

// Run calls the function that the event names with what the program sees of event and state, JSON as a run before it left it or empty.
// It changes nothing it was given. An error is a [*Failure]; cost says what was used in any case.
func (p *Program) Run(e *Event, terms []lamppost.Arg, state []byte) (Result, Cost, *Failure) {
	r := run{p: p, globals: make([]value, len(p.globals))}
	res, f := r.all(e, terms, state)
	return res, r.cost, f
}

// all evaluates the constants and then the function.
func (r *run) all(e *Event, terms []lamppost.Arg, state []byte) (res Result, f *Failure) {
	fn := r.p.functions[e.Name]
	if fn == nil || !r.p.Handles(e.Name) {
		return res, &Failure{Reason: BadSource, Detail: fmt.Sprintf("no function %s(event, state)", e.Name)}
	}
	if r.terms, f = r.args(terms); f != nil {
		return res, f
	}
	r.terms.frozen = true
	for i, g := range r.p.globals {
		if r.globals[i], f = r.eval(nil, g.expr); f != nil {
			return res, f
		}
		if f = r.freeze(r.globals[i]); f != nil {
			return res, f
		}
	}
	event, f := r.event(e)
	if f != nil {
		return res, f
	}
	kept, f := r.readState(state)
	if f != nil {
		return res, f
	}
	said, f := r.call(fn, []value{event, kept}, fn.line)
	if f != nil {
		return res, f
	}
	switch said := said.(type) {
	case nil:
	case string:
		if len(said) > lamppost.MaxTextBytes {
			return res, r.fail(fn.line, BadValue, "it returns a note of %d bytes, more than %d", len(said), lamppost.MaxTextBytes)
		}
		res.Note = said
	default:
		return res, r.fail(fn.line, BadValue, "it returns a %s: a note is text", kind(said))
	}
	res.State, f = r.writeState(kept)
	res.Payments, res.Cost = r.payments, r.cost
	return res, f
}
