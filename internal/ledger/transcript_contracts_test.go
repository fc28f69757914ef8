package ledger_test

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/ledger"
)

// Contracts in transcripts:
//
//	contract ID VERSION PROGRAM PARTY[:LIMIT] … [devices=ID,…] [currency=C] [to=TIME] [terms.NAME=VALUE …]
//	                         PROGRAM is a file of testdata/contracts or of the library, without .star
//	call ID EVENT [args.NAME=VALUE …] [readings=DEVICE/REGISTER/TIME,…]    call ID [again=HEIGHT/TX]
//	show contracts | runs
//
// A VALUE is a number, an amount with a point, or text.
func contracts(d *desk, w words) (lamppost.TxType, any) {
	if w.verb == "call" {
		return lamppost.TxCall, d.call(w)
	}
	b := lamppost.ContractBody{ID: w.arg(0), Version: uint32(number(w.arg(1))), Source: program(w.arg(2)), Currency: w.or("currency", "EUR"), Terms: args(w, "terms.")}
	for _, p := range w.args[3:] {
		id, limit, _ := strings.Cut(p, ":")
		if limit == "" {
			limit = "0"
		}
		b.Parties = append(b.Parties, lamppost.ContractParty{Party: lamppost.PartyID(id), Limit: money(limit)})
	}
	for _, id := range strings.FieldsFunc(w.or("devices", ""), func(r rune) bool { return r == ',' }) {
		b.Devices = append(b.Devices, lamppost.DeviceID(id))
	}
	if to, ok := w.opts["to"]; ok {
		b.To = d.time(to)
	}
	return lamppost.TxContract, b
}

func (d *desk) call(w words) lamppost.CallBody {
	b := lamppost.CallBody{Contract: w.arg(0), Event: w.arg(1), Args: args(w, "args.")}
	if at, ok := w.opts["again"]; ok {
		height, tx, _ := strings.Cut(at, "/")
		b.Height, b.Index = lamppost.Height(number(height)), uint32(number(tx))
	}
	for _, r := range strings.FieldsFunc(w.or("readings", ""), func(r rune) bool { return r == ',' }) {
		p := strings.Split(r, "/")
		b.Readings = append(b.Readings, lamppost.ReadingRef{Device: lamppost.DeviceID(p[0]), Register: p[1], Time: d.time(p[2])})
	}
	return b
}

func program(name string) string {
	raw, err := os.ReadFile("testdata/contracts/" + name + ".star")
	if err != nil {
		raw, err = os.ReadFile("../../contract/library/" + name + ".star")
	}
	if err != nil {
		return name
	}
	return string(raw)
}

func args(w words, prefix string) (all []lamppost.Arg) {
	for key, val := range w.opts {
		name, ok := strings.CutPrefix(key, prefix)
		if !ok {
			continue
		}
		a := lamppost.Arg{Name: name, Text: val}
		if n, err := strconv.ParseInt(val, 10, 64); err == nil {
			a.Text, a.Number = "", n
		} else if m, err := lamppost.ParseMicro(val); err == nil {
			a.Text, a.Number = "", int64(m)
		}
		all = append(all, a)
	}
	slices.SortFunc(all, func(a, b lamppost.Arg) int { return strings.Compare(a.Name, b.Name) })
	return all
}

func showContracts(v ledger.View) (out []string) {
	all, err := v.Contracts()
	must(err)
	for _, c := range all {
		line := fmt.Sprintf("%s v%d: %d runs, failed at %v, %s", c.ID, c.Version, c.Runs, c.Failed, c.State)
		for i, p := range c.Parties {
			line += fmt.Sprintf(", %s gave %s of %s", p.Party, c.Taken[i], p.Limit)
		}
		if c.Ended {
			line += ", ended"
		}
		out = append(out, line)
	}
	return out
}

func showRuns(v ledger.View) (out []string) {
	all, err := v.Runs(0, 1<<62)
	must(err)
	for _, r := range all {
		out = append(out, fmt.Sprintf("%d/%d %s", r.At.Height, r.At.Index, sayRun(r)))
	}
	return out
}

func sayRun(r ledger.Run) string {
	s := fmt.Sprintf("%s v%d %s:", r.Contract, r.Version, r.Event.Name)
	if r.Failure != nil {
		s += " " + r.Failure.Error()
	}
	if r.Again != (ledger.Place{}) {
		s += fmt.Sprintf(", repeated at %d/%d", r.Again.Height, r.Again.Index)
	}
	for _, p := range r.Payments {
		s += fmt.Sprintf(" %s pays %s %s,", p.From, p.To, p.Amount)
	}
	if r.Note != "" {
		s += " " + r.Note
	}
	return s
}
