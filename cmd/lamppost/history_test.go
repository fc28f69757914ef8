package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/ledger"
)

// What people asked of the members and were told, as one history, and whether one ledger could have told it. docs/cluster.md promises:
//
//   - Orders take effect in the order of their places, height and index, and who was answered before another asked has the lower height.
//   - What is refused for lack of funds lacked them between question and answer.
//   - Balances are those after the block that the answer names. They may be old, but not older than anything else that the same member
//     answered before the question.
//
// All but the last is linearizability with reads that may lie back.

const people = 5 // with accounts: p0 to p4

// A funds is what people have, each not below -creditLimit.
type funds [people]lamppost.Micro

const creditLimit = 20 * 1_000_000

// A question is a transfer, or asks for all balances where the amount is 0.
type question struct {
	from, to int
	amount   lamppost.Micro
	memo     string
	member   int // who was asked
}

// An answer has a place where something took effect, or, of balances, the last place of its block.
type answer struct {
	verdict verdict
	at      ledger.Place
	rank    int // of the place among those of the history
	funds   funds
}

type verdict int

const (
	done verdict = iota
	noFunds
	undone // nothing was done, the member says
	unknown
)

// A deed is a question with its answer, and when they were, in nanoseconds.
type deed struct {
	who         int
	asked, told int64
	question
	answer
}

const (
	lastIndex = math.MaxUint32
	never     = math.MaxInt64
)

func comparePlaces(a, b ledger.Place) int {
	return cmp.Or(cmp.Compare(a.Height, b.Height), cmp.Compare(a.Index, b.Index))
}

// A book is the ledger, as far as this test sees it.
type book struct {
	at    ledger.Place
	rank  int
	funds funds
}

var bookModel = porcupine.Model{
	Init: func() any { return book{} },
	Step: func(state, input, output any) (bool, any) {
		b, q, a := state.(book), input.(question), output.(answer)
		if a.verdict == noFunds {
			return b.funds[q.from]-q.amount < -creditLimit, b
		}
		if a.rank != b.rank+1 {
			return false, b // the place of another comes before; without this, what comes after would be tried in all orders
		}
		order := comparePlaces(a.at, b.at)
		b.at, b.rank = a.at, a.rank
		if q.amount == 0 {
			return order >= 0 && a.funds == b.funds, b
		}
		b.funds[q.from] -= q.amount
		b.funds[q.to] += q.amount
		return order > 0 && b.funds[q.from] >= -creditLimit, b
	},
}

// checkHistory reports what no ledger could have told. An answer that did not come is one that came at the end if in the end the transfer
// stands in the chain, and nothing if it does not.
func checkHistory(t testing.TB, deeds []deed, chain map[string]ledger.Place) (porcupine.LinearizationInfo, bool) {
	t.Helper()
	var all []deed
	for _, d := range deeds {
		at, in := chain[d.memo]
		switch {
		case d.verdict == unknown && in:
			d.verdict, d.at, d.told = done, at, never
		case d.verdict == unknown:
			continue
		case d.verdict == undone || d.verdict == noFunds:
			if in {
				t.Errorf("%q told that nothing was done, and it stands at %v: %+v", d.memo, at, d)
			}
			if d.verdict == undone {
				continue
			}
		case d.amount > 0 && (!in || at != d.at):
			t.Errorf("%q was confirmed at %v, and stands at %v (%v)", d.memo, d.at, at, in)
		}
		all = append(all, d)
	}
	checkMembers(t, all)
	squeeze(t, all)
	var ops []porcupine.Operation
	for _, d := range all {
		ops = append(ops, porcupine.Operation{ClientId: d.who, Input: d.question, Output: d.answer, Call: d.asked, Return: d.told})
	}
	verdict, info := porcupine.CheckOperationsVerbose(bookModel, ops, time.Minute)
	if verdict != porcupine.Ok {
		t.Errorf("%d orders and answers: no ledger tells this (%s)", len(ops), verdict)
	}
	return info, verdict == porcupine.Ok
}

// checkMembers looks whether a member's balances are older than what it answered before.
func checkMembers(t testing.TB, deeds []deed) {
	t.Helper()
	slices.SortStableFunc(deeds, func(a, b deed) int { return cmp.Compare(a.told, b.told) })
	for i, later := range deeds {
		if later.amount > 0 {
			continue
		}
		for _, d := range deeds[:i] {
			if d.member == later.member && d.told < later.asked && d.at.Height > later.at.Height {
				t.Errorf("member %d answered from height %d, and before that from %d: %+v, %+v", later.member, later.at.Height, d.at.Height, later, d)
				return
			}
		}
	}
}

// squeeze narrows the time in which each deed may have taken effect by the deeds before and after it in the order of their places, which
// is the order that they took effect in. So the search is short. Balances may be from any time before they were told.
func squeeze(t testing.TB, deeds []deed) {
	t.Helper()
	slices.SortStableFunc(deeds, func(a, b deed) int { return comparePlaces(a.at, b.at) })
	asked, last, rank := int64(math.MinInt64), deed{}, 0
	for i := range deeds {
		d := &deeds[i]
		if d.verdict == done {
			rank++
			d.rank = rank
		}
		switch {
		case d.verdict == noFunds:
			continue
		case d.amount == 0:
			d.asked = asked
		case d.asked > asked:
			asked, last = d.asked, *d
		default:
			d.asked = asked
		}
		if d.told < asked {
			t.Errorf("it was told before another with a lower place was asked: %+v, %+v", *d, last)
		}
	}
	told := int64(never)
	for i := len(deeds) - 1; i >= 0; i-- {
		if d := &deeds[i]; d.verdict != noFunds {
			told = min(told, d.told)
			d.told = max(told, d.asked)
		}
	}
}

// tattle notes errors instead of failing.
type tattle struct {
	testing.TB
	errs int
}

func (n *tattle) Errorf(string, ...any) { n.errs++ }
func (n *tattle) Helper()               {}

// TestHistory protects the check: it is content with what a ledger could have told and with nothing else.
func TestHistory(t *testing.T) {
	t.Parallel()
	const euro = 1_000_000
	pay := func(asked, told int64, memo string, amount lamppost.Micro, h lamppost.Height) deed {
		return deed{asked: asked, told: told, question: question{from: 0, to: 1, amount: amount * euro, memo: memo}, answer: answer{at: ledger.Place{Height: h}}}
	}
	as := func(d deed, v verdict) deed { d.verdict = v; return d }
	look := func(asked, told int64, h lamppost.Height, member int, moved lamppost.Micro) deed {
		return deed{asked: asked, told: told, question: question{member: member}, answer: answer{at: ledger.Place{Height: h, Index: lastIndex}, funds: funds{-moved * euro, moved * euro}}}
	}
	places := func(hs ...lamppost.Height) map[string]ledger.Place {
		m := map[string]ledger.Place{}
		for i, h := range hs {
			if h > 0 {
				m[string('a'+rune(i))] = ledger.Place{Height: h}
			}
		}
		return m
	}
	for name, c := range map[string]struct {
		ok    bool
		deeds []deed
		chain map[string]ledger.Place
	}{
		"one after the other":                           {true, []deed{pay(1, 2, "a", 1, 5), pay(3, 4, "b", 2, 6), look(5, 6, 6, 0, 3)}, places(5, 6)},
		"at once, in any order":                         {true, []deed{pay(1, 9, "a", 1, 7), pay(2, 8, "b", 2, 6), look(3, 4, 6, 0, 2)}, places(7, 6)},
		"an old answer":                                 {true, []deed{pay(1, 2, "a", 1, 5), look(3, 4, 4, 1, 0), look(3, 4, 5, 0, 1)}, places(5)},
		"no answer, done late":                          {true, []deed{as(pay(1, 2, "a", 1, 0), unknown), look(3, 4, 5, 0, 0), look(5, 6, 8, 0, 1)}, places(8)},
		"no answer, never done":                         {true, []deed{as(pay(1, 2, "a", 1, 0), unknown), look(3, 4, 5, 0, 0)}, nil},
		"refused for lack of funds":                     {true, []deed{pay(1, 2, "a", 20, 5), as(pay(3, 4, "b", 1, 0), noFunds)}, places(5)},
		"no answer, and its effect is gone":             {false, []deed{as(pay(1, 2, "a", 1, 0), unknown), look(3, 4, 5, 0, 1)}, nil},
		"a confirmed one is lost":                       {false, []deed{pay(1, 2, "a", 1, 5)}, nil},
		"a confirmed one stands elsewhere":              {false, []deed{pay(1, 2, "a", 1, 5)}, places(6)},
		"later, and lower":                              {false, []deed{pay(1, 2, "a", 1, 6), pay(3, 4, "b", 1, 5)}, places(6, 5)},
		"two in one place":                              {false, []deed{pay(1, 2, "a", 1, 5), pay(1, 2, "b", 1, 5)}, places(5, 5)},
		"balances of no block":                          {false, []deed{pay(1, 2, "a", 1, 5), look(3, 4, 5, 0, 2)}, places(5)},
		"balances from before the block":                {false, []deed{pay(1, 2, "a", 1, 5), look(3, 4, 6, 0, 0)}, places(5)},
		"balances from the future":                      {false, []deed{look(1, 2, 5, 0, 1), pay(3, 4, "a", 1, 5)}, places(5)},
		"a member forgets its own answer":               {false, []deed{pay(1, 2, "a", 1, 5), look(3, 4, 4, 0, 0)}, places(5)},
		"over the limit":                                {false, []deed{pay(1, 2, "a", 21, 5)}, places(5)},
		"refused with funds":                            {false, []deed{as(pay(1, 2, "a", 1, 0), noFunds)}, nil},
		"nothing was done, and it was":                  {false, []deed{as(pay(1, 2, "a", 1, 0), undone)}, places(5)},
		"many at once, and many answers from one block": {true, crowd(pay, look), crowdPlaces()},
	} {
		n := &tattle{TB: t}
		checkHistory(n, c.deeds, c.chain)
		if (n.errs == 0) != c.ok {
			t.Errorf("%s: %d errors, want none: %v", name, n.errs, c.ok)
		}
	}
}

// crowd are transfers that all were under way at once, the last one first, and balances after each.
func crowd(pay func(int64, int64, string, lamppost.Micro, lamppost.Height) deed, look func(int64, int64, lamppost.Height, int, lamppost.Micro) deed) (all []deed) {
	for h := lamppost.Height(15); h > 0; h-- {
		all = append(all, pay(1, 1000, fmt.Sprint(h), 1, h))
		for member := range 10 {
			all = append(all, look(1, 1000, h, member, lamppost.Micro(h)))
		}
	}
	return all
}

func crowdPlaces() map[string]ledger.Place {
	m := map[string]ledger.Place{}
	for h := lamppost.Height(15); h > 0; h-- {
		m[fmt.Sprint(h)] = ledger.Place{Height: h}
	}
	return m
}
