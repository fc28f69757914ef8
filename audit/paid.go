package audit

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/tariff"
)

// What contracts paid to and from a party, on its statement.

// Paid are the payments of contracts to or from a party and its devices, whose accounts are the party's. Times are in UTC.
type Paid struct {
	Lines []PaidLine `json:"lines"`
	Sums  []PaidSum  `json:"sums"` // by currency
}

// A PaidLine is one payment of one run of a contract.
type PaidLine struct {
	N        int    `json:"n"`
	Contract string `json:"contract"`
	Version  uint32 `json:"version"`
	Run      uint64 `json:"run"` // of the contract, from 1
	Event    string `json:"event"`
	Invoice  string `json:"invoice,omitempty"` // that the program was told of
	Session  string `json:"session,omitempty"` // likewise, where it was settled
	Time     string `json:"time"`
	From     Named  `json:"from"`
	To       Named  `json:"to"`
	Amount   string `json:"amount"`
	Currency string `json:"currency"`
	Note     string `json:"note,omitempty"` // of the program
}

// A PaidSum is what all lines in a currency come to. A payment between two accounts of the party counts on both sides.
type PaidSum struct {
	Currency string `json:"currency"`
	Received string `json:"received"`
	Paid     string `json:"paid"`
	Balance  string `json:"balance"` // received less paid
}

// A Payment is one that a contract made.
type Payment struct {
	lamppost.Payment
	Run *Run
}

// Payments returns the payments on the statement, in the order of its lines.
func (s *Statement) Payments() []Payment { return s.payments }

// ownsAccount reports whether an account is a party's, as of a leaf: its own, or that of its device.
func (e *Evidence) ownsAccount(p, account lamppost.PartyID, before int64) bool {
	return account == p || e.owns(p, lamppost.DeviceID(account), before)
}

// account names a party, or a device that has an account.
func (e *Evidence) account(id lamppost.PartyID, before int64) Named {
	if d := latest[lamppost.DeviceBody](e, bodyKey{kind: lamppost.TxDevice, id: string(id)}, before); d != nil {
		return Named{string(id), d.Name}
	}
	return e.party(id, before)
}

// pay adds what contracts paid.
func (s *Statement) pay(party lamppost.PartyID) error {
	e := s.evidence
	var lines []PaidLine
	sums := paidSums{}
	for i := range e.Runs {
		r := &e.Runs[i]
		at := r.Tx.Leaf
		if !slices.ContainsFunc(r.Body.Parties, func(x lamppost.ContractParty) bool { return e.ownsAccount(party, x.Party, at) }) {
			return fmt.Errorf("%s: it binds neither party %q nor a device of it", r, party)
		}
		for _, p := range r.Payments {
			from, to := e.ownsAccount(party, p.From, at), e.ownsAccount(party, p.To, at)
			if !from && !to {
				continue
			}
			if !sums.add(r.Currency, p.Amount, from, to) {
				return errors.New("payments: their sum is too large")
			}
			s.payments = append(s.payments, Payment{p, r})
			lines = append(lines, e.paidLine(r, p, len(lines)+1))
		}
	}
	if len(lines) > 0 {
		s.Paid = &Paid{lines, sums.list()}
	}
	return nil
}

func (e *Evidence) paidLine(r *Run, p lamppost.Payment, n int) PaidLine {
	at, _ := e.Time(r.Tx.Height) // a repeated run was told the time of the first
	if at == 0 {
		at = r.Event.Time
	}
	l := PaidLine{N: n, Contract: r.Contract, Version: r.Version, Run: r.N, Event: r.Event.Name, Time: stamp(tariff.Zone{}, at),
		From: e.account(p.From, r.Tx.Leaf), To: e.account(p.To, r.Tx.Leaf), Amount: p.Amount.String(), Currency: r.Currency, Note: r.Note}
	if b := r.Event.Bill; b != nil {
		l.Invoice = b.Number
		if b.Number == "" && len(b.Parts) > 0 {
			l.Session = b.Parts[0].Session
		}
	}
	return l
}

// paidSums are what was received and paid, by currency.
type paidSums map[string]*[2]lamppost.Micro

func (s paidSums) add(currency string, amount lamppost.Micro, from, to bool) bool {
	x := s[currency]
	if x == nil {
		x = new([2]lamppost.Micro)
		s[currency] = x
	}
	ok1, ok2 := true, true
	if to {
		x[0], ok1 = x[0].Add(amount)
	}
	if from {
		x[1], ok2 = x[1].Add(amount)
	}
	return ok1 && ok2
}

func (s paidSums) list() (all []PaidSum) {
	for _, c := range slices.Sorted(maps.Keys(s)) {
		x := s[c]
		all = append(all, PaidSum{c, x[0].String(), x[1].String(), (x[0] - x[1]).String()})
	}
	return all
}

// placePaid names the payment of a difference, and why it does not hold.
func (s *Statement) placePaid(d difference) error {
	if len(d.path) < 3 || s.Paid == nil {
		return fmt.Errorf("payments of contracts: %s", d)
	}
	i, err := strconv.Atoi(d.path[2])
	switch {
	case err != nil:
		return fmt.Errorf("payments of contracts: %s", d)
	case d.path[1] == "sums" && i < len(s.Paid.Sums):
		return fmt.Errorf("payments of contracts in %s: %s", s.Paid.Sums[i].Currency, d)
	case d.path[1] != "lines" || i >= len(s.Paid.Lines):
		return fmt.Errorf("payments of contracts: %s", d)
	}
	l := &s.Paid.Lines[i]
	what := fmt.Sprintf("payment %d, of run %d of contract %s", l.N, l.Run, printable(l.Contract))
	if len(d.path) == 4 && d.got != "" && d.want != "" {
		return fmt.Errorf("%s: %s %s is not what the run in block %d came to (%s)", what, printable(clip(d.path[3])), d.said(), s.payments[i].Run.Tx.Height, unquote(d.want))
	}
	return fmt.Errorf("%s: %s", what, d)
}

// addPaid says what of contracts is proven.
func (s *Statement) addPaid(f *Finding) {
	e := s.evidence
	f.Payments = len(s.payments)
	open := "that contracts paid the party nothing else, or took nothing else of it"
	if len(e.Runs) == 0 {
		f.DoesNotProve = append(f.DoesNotProve, open)
		return
	}
	ran := e.ran()
	for _, id := range slices.Sorted(maps.Keys(ran)) {
		f.add("%s", s.paidBy(id, ran[id]))
	}
	if e.hidden > 0 {
		f.add("contracts ran for these invoices %s more, which the file does not show", times(e.hidden))
	}
	if e.again {
		f.add("all programs run again from their source, from the first run on: each came to the same payments and left the state with which the next began")
	} else {
		f.DoesNotProve = append(f.DoesNotProve, "that the programs give these payments: no program was run again here, what they paid is read from the log; `lamppost verify` runs them")
	}
	f.DoesNotProve = append(f.DoesNotProve, open+": of each contract shown all runs are here up to the last one shown, but it may have run since, and others may bind the party",
		"that accounts could not cover what a run was refused for, or what programs were told of invoices and readings that are not in the file")
}

// ran counts the runs of each contract.
func (e *Evidence) ran() map[string]int {
	n := map[string]int{}
	for i := range e.Runs {
		n[e.Runs[i].Contract]++
	}
	return n
}

// paidBy sums up what one contract did in its runs.
func (s *Statement) paidBy(id string, runs int) string {
	sums, n, e := paidSums{}, 0, s.evidence
	for _, p := range s.payments {
		if at := p.Run.Tx.Leaf; p.Run.Contract == id {
			n++
			sums.add(p.Run.Currency, p.Amount, e.ownsAccount(s.party, p.From, at), e.ownsAccount(s.party, p.To, at))
		}
	}
	words := fmt.Sprintf("contract %s: its %s up to the last shown, none left out, are in results that the log commits to", id, plural(runs, "run"))
	if n > 0 {
		sum := sums.list()[0] // a contract has one currency
		words += fmt.Sprintf("; %s of it: %s %s received, %s paid", plural(n, "payment"), sum.Received, sum.Currency, sum.Paid)
	}
	return words
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}
