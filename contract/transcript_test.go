package contract_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/contract"
	"github.com/lamppost/lamppost/internal/transcript"
)

// TestTranscripts runs testdata/*.txt: events in, payments out, of the programs of the library and of others. A paragraph is a command,
// "----" and the answer; those of a file share program, terms and state.
//
//	program FILE             loads it anew; or "program" and the source on the lines below, each after "| "
//	terms NAME=VALUE …       VALUE is a number, an amount with a point, or text
//	EVENT KEY=VALUE …        number corrects seller buyer by; other keys are arguments
//	part DEVICE NET USED [agreement=ID] [session=ID] [earns=PARTY] [pays=PARTY]       below an event
//	reading DEVICE REGISTER TIME VALUE [by-hand]                                      likewise
func TestTranscripts(t *testing.T) {
	t.Parallel()
	transcript.Run(t, func(t *testing.T) func(string) string {
		d := desk{t: t}
		return d.answer
	})
}

// A desk is the state of one transcript.
type desk struct {
	t     *testing.T
	p     *contract.Program
	terms []lamppost.Arg
	state []byte
	now   lamppost.TimeMS
}

func (d *desk) answer(question string) string {
	lines := strings.Split(question, "\n")
	words := strings.Fields(lines[0])
	switch words[0] {
	case "program":
		return d.load(words[1:], lines[1:])
	case "terms":
		d.terms = nil
		for _, w := range words[1:] {
			d.terms = append(d.terms, arg(w))
		}
		return "ok"
	}
	d.now += 1000
	e := contract.Event{Name: words[0], Time: d.now}
	for _, w := range words[1:] {
		d.header(&e, w)
	}
	for _, l := range lines[1:] {
		d.detail(&e, strings.Fields(l))
	}
	return d.run(&e)
}

func (d *desk) load(words, lines []string) string {
	var source strings.Builder
	if len(words) == 1 {
		raw, err := os.ReadFile(words[0])
		if err != nil {
			d.t.Fatal(err)
		}
		source.Write(raw)
	}
	for _, l := range lines {
		source.WriteString(strings.TrimPrefix(strings.TrimPrefix(l, "|"), " ") + "\n")
	}
	p, err := contract.Check(source.String(), contract.At(1))
	d.p, d.state = p, nil
	if err != nil {
		return err.Error()
	}
	return strings.Join(p.Handlers(), " ")
}

func (d *desk) run(e *contract.Event) string {
	res, cost, f := d.p.Run(e, d.terms, d.state)
	var b strings.Builder
	if f != nil {
		fmt.Fprintln(&b, f)
	} else {
		for _, p := range res.Payments {
			fmt.Fprintf(&b, "%s pays %s %s\n", p.From, p.To, p.Amount)
		}
		if res.Note != "" {
			fmt.Fprintln(&b, "note:", res.Note)
		}
		fmt.Fprintf(&b, "%s\n", res.State)
		d.state = res.State
	}
	fmt.Fprintf(&b, "%d steps, %d bytes", cost.Steps, cost.Bytes)
	return b.String()
}

func arg(word string) lamppost.Arg {
	name, val, _ := strings.Cut(word, "=")
	if n, err := strconv.ParseInt(val, 10, 64); err == nil {
		return lamppost.Arg{Name: name, Number: n}
	}
	if m, err := lamppost.ParseMicro(val); err == nil {
		return lamppost.Arg{Name: name, Number: int64(m)}
	}
	return lamppost.Arg{Name: name, Text: val}
}

func (d *desk) header(e *contract.Event, word string) {
	key, val, _ := strings.Cut(word, "=")
	if e.Bill == nil && key != "by" {
		e.Bill = &contract.Bill{}
	}
	switch key {
	case "number":
		e.Bill.Number = val
	case "corrects":
		e.Bill.Corrects = val
	case "seller":
		e.Bill.Seller = lamppost.PartyID(val)
	case "buyer":
		e.Bill.Buyer = lamppost.PartyID(val)
	case "by":
		e.By = val
	default:
		e.Args = append(e.Args, arg(word))
	}
}

func (d *desk) detail(e *contract.Event, words []string) {
	money := func(s string) lamppost.Micro {
		m, err := lamppost.ParseMicro(s)
		if err != nil {
			d.t.Fatal(err)
		}
		return m
	}
	if words[0] == "reading" {
		at, err := strconv.ParseInt(words[3], 10, 64)
		if err != nil {
			d.t.Fatal(err)
		}
		e.Readings = append(e.Readings, contract.Reading{Device: lamppost.DeviceID(words[1]), Register: words[2], Time: lamppost.TimeMS(at), Value: money(words[4]),
			Measured: len(words) == 5})
		return
	}
	if e.Bill == nil {
		e.Bill = &contract.Bill{}
	}
	p := contract.Part{Device: lamppost.DeviceID(words[1]), Earns: lamppost.PartyID(words[1]), Pays: "buyer", Net: money(words[2]), Used: money(words[3])}
	for _, w := range words[4:] {
		switch key, val, _ := strings.Cut(w, "="); key {
		case "agreement":
			p.Agreement = val
		case "session":
			p.Session = val
		case "earns":
			p.Earns = lamppost.PartyID(val)
		case "pays":
			p.Pays = lamppost.PartyID(val)
		}
	}
	e.Bill.Parts = append(e.Bill.Parts, p)
}
