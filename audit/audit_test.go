package audit_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/tariff"
)

// A true file of every kind holds, against its pin and, with less weight, without.
func TestFilesHold(t *testing.T) {
	t.Parallel()
	h := billed(t, nil)
	for kind, data := range files(t, h) {
		for _, pin := range []*audit.Pin{h.pin(1), nil} {
			f, err := audit.Verify(data, pin)
			if err != nil {
				t.Fatalf("%s: Verify(pin %v) = %v", kind, pin, err)
			}
			if f.Pinned != (pin != nil) || len(f.Summary) < 3 || len(f.DoesNotProve) == 0 {
				t.Errorf("%s: finding = %+v", kind, f)
			}
		}
	}
	f, err := audit.Verify(h.statement(), h.pin(1))
	must(t, err)
	if f.Invoices != 1 || f.Lines != 4 || f.Readings != 13 {
		t.Errorf("finding = %+v, want 1 invoice of 4 lines on 13 readings", f)
	}
}

var rewrite = flag.Bool("rewrite", false, "write testdata anew")

// The files of testdata are examples for other implementations, and what the tests of the verb check.
func TestExamples(t *testing.T) {
	t.Parallel()
	h := billed(t, nil)
	made := files(t, h)
	changed, _ := moved(t)
	changed.billMoved()
	for name, data := range map[string][]byte{"statement.json": made["statement"], "receipt.json": made["receipt of a report"],
		"report.json": made["report"], "network.pin": []byte(h.pin(1).String()),
		"moved.json": changed.receipt(changed.reports[0].Tx), "moved.pin": []byte(changed.pin(3).String())} {
		path := filepath.Join("testdata", name)
		if *rewrite {
			must(t, os.WriteFile(path, data, 0o644))
		}
		committed, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(committed, data) {
			t.Errorf("%s differs from what the test makes (%v); run with -rewrite and look at the difference", path, err)
		}
	}
}

// The words of a statement are the interface to people: times on the tariff's clock with their offset, quantities in the
// unit of the price, every line with its registers.
func TestStatementWords(t *testing.T) {
	t.Parallel()
	text := string(billed(t, nil).statement())
	for _, want := range []string{
		`"name":"Anna Fischer"`, `"number":"ST-000001"`, `"issued":"2026-10-27 00:01:03+01:00"`,
		`"text":"night: 6.9142 kWh at 0.2143 EUR per kWh"`, `"place":"Hafenstraße 3, flat 2"`,
		`"opening":{"time":"2026-10-24 00:00+02:00"`, `"intervals":5,`, `"assurance":"device-signed"`,
		`"text":"standing charge: 3 days at 0.25 EUR per day"`, `"total":"11.97"`, `"rate":"S 19.00 %"`,
		"night 22:00-24:00 every day at 0.2143 EUR per kWh",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the statement lacks %s", want)
		}
	}
}

// A difference in the words names invoice, line and link.
func TestChangedWords(t *testing.T) {
	t.Parallel()
	h := billed(t, nil)
	data, pin := h.statement(), h.pin(1)
	_, rest, _ := strings.Cut(string(data), `"proof":"`)
	first := rest[:1]
	for _, c := range []struct{ old, new, want string }{
		{`"amount":"1.48"`, `"amount":"1.49"`, `invoice ST-000001: line 2: amount 1.49 is not what tariff "home-2026" version 1 gives for 6.9142 kWh (1.48)`},
		{`"amount":"0.75"`, `"amount":"0.57"`, `line 4: amount 0.57 is not what tariff "home-2026" version 1 gives for 3 days (0.75)`},
		{`"price":"0.1237"`, `"price":"0.1"`, `line 3: price 0.1 is not that of tariff "home-2026" version 1 (0.1237)`},
		{`"value":"122471319.7"`, `"value":"122471319.8"`, `line 1: opening value 122471319.8 is not what device BQ27 signed for 2026-10-24 06:00+02:00 (122471319.7)`},
		{`"intervals":5`, `"intervals":6`, `line 2: intervals 6 is not what the proof gives (5)`},
		{`"total":"11.97"`, `"total":"11.79"`, `invoice ST-000001: total 11.79 is not what the proof gives (11.97)`},
		{`"size":26`, `"size":27`, `checkpoint: size 27 is not what the proof gives (26)`},
		{`"estimated":false`, `"estimated":true`, `line 1: estimated true is not what the proof gives (false)`},
		{`"network":"riverside",`, `"network":"hillside",`, `statement: network hillside`},
		{`"currency":"EUR",`, ``, `invoice ST-000001: currency is missing`},
		{`"currency":"EUR",`, `"currency":"EUR","discount":"0.50",`, `invoice ST-000001: discount 0.50 stands in the file`},
		{`"currency":"EUR",`, `"currency":"EUR","currency":"EUR",`, `a field stands twice`},
		{`"number":"ST-000001",`, `"number":"ST\u002d000001",`, `another spelling`},
		{`"taxes":[`, `"taxes":[{"rate":"S","base":"0","amount":"0"},`, `invoice ST-000001`},
		{`"lamppost":"statement/1"`, `"lamppost":"statement/2"`, `kind "statement/2"`},
		{`"id":"anna"`, `"id":"stadtwerk"`, `statement: name Anna Fischer`},
		{`"proof":"` + first, fmt.Sprintf(`"proof":"\u%04x`, first[0]), `another spelling`},
	} {
		bad := bytes.Replace(data, []byte(c.old), []byte(c.new), 1)
		if bytes.Equal(bad, data) {
			t.Fatalf("%s is not in the statement", c.old)
		}
		_, err := audit.Verify(bad, pin)
		t.Run(c.new, func(t *testing.T) { refused(t, err, c.want) })
	}
}

// White space is not part of what a file says: it may be reformatted on its way.
func TestWhiteSpace(t *testing.T) {
	t.Parallel()
	h := billed(t, nil)
	var compact bytes.Buffer
	must(t, json.Compact(&compact, h.statement()))
	for _, data := range [][]byte{compact.Bytes(), bytes.ReplaceAll(h.statement(), []byte("\n"), []byte("\r\n"))} {
		if _, err := audit.Verify(data, h.pin(1)); err != nil {
			t.Errorf("Verify = %v", err)
		}
	}
	if _, err := audit.Verify(append(h.statement(), '{', '}'), h.pin(1)); err == nil {
		t.Error("a second document after the first is accepted")
	}
}

// A series has one line, whose intervals have their own prices: the proof gives them, the file only says how many.
func TestSeriesStatement(t *testing.T) {
	t.Parallel()
	h := registered(t, "north")
	const hour = 3600 * 1000
	h.terms.Version, h.terms.Bands = 2, nil
	h.terms.From, h.terms.To = h.invoice.From, h.invoice.To
	h.terms.Series = &tariff.Series{From: h.invoice.From, StepMS: hour}
	for i := range int((h.invoice.To - h.invoice.From) / hour) {
		h.terms.Series.Prices = append(h.terms.Series.Prices, lamppost.Micro(100_000+1_000*i))
	}
	h.order(lamppost.TxTariff, h.terms)
	h.readingsAt(h.terms.Edges(h.invoice.From, h.invoice.To))
	h.bill(h.invoice, "ST-000001", h.supply(), nil)
	data := h.statement()
	f, err := audit.Verify(data, h.pin(1))
	must(t, err)
	if f.Lines != 2 || f.Readings != 74 {
		t.Errorf("finding = %+v, want 2 lines on 74 readings", f)
	}
	all := f.Statement.Intervals(0, 0)
	last := audit.Interval{From: "2026-10-26 23:00+01:00", Opening: "", To: "2026-10-27 00:00+01:00", Closing: "", Price: "0.172"}
	if n := len(all); n == 73 {
		last.Opening, last.Closing = value(h.invoice.To-hour).String(), value(h.invoice.To).String()
	}
	if n := len(all); n != 73 || all[n-1] != last || f.Statement.Invoices[0].Lines[0].Intervals != 73 || len(f.Statement.Intervals(0, 1)) > 0 {
		t.Errorf("%d intervals, the last of %+v; want 73 and %+v, and none of the standing charge", n, all, last)
	}
}

// A pin's text is read strictly and written as it is read.
func TestPin(t *testing.T) {
	t.Parallel()
	h := billed(t, nil, "north", "south")
	text := h.pin(2).String()
	p, err := audit.ParsePin("# riverside, from the contract\n\n" + strings.ReplaceAll(text, "\n", "\r\n"))
	must(t, err)
	if p.String() != text {
		t.Errorf("ParsePin → String = %q, want %q", p, text)
	}
	h.witness("w1.example", "w2.example")
	witnessed := h.witnessed(2, "w1.example", "w2.example").String()
	if p, err := audit.ParsePin(witnessed); err != nil || p.String() != witnessed || len(p.Witnesses) != 2 || p.WitnessQuorum != 2 {
		t.Errorf("ParsePin(%q) = %+v, %v", witnessed, p, err)
	}
	w := strings.SplitAfter(strings.TrimPrefix(witnessed, text), "\n")
	lines := strings.SplitAfter(text, "\n")
	other, err := lamppost.NewCosigner("another.example", seedOf("witness w1.example"))
	must(t, err)
	for name, bad := range map[string]string{
		"empty":                     "",
		"no network":                lines[1] + lines[2],
		"no quorum":                 lines[0] + lines[2],
		"no members":                lines[0] + lines[1],
		"two networks":              lines[0] + text,
		"two quorums":               lines[0] + lines[1] + lines[1] + lines[2],
		"member twice":              text + lines[2],
		"quorum too large":          strings.Replace(text, "quorum 2", "quorum 3", 1),
		"quorum zero":               strings.Replace(text, "quorum 2", "quorum 0", 1),
		"quorum spelled":            strings.Replace(text, "quorum 2", "quorum 02", 1),
		"unknown word":              text + "witness x\n",
		"three words":               text + "member a b\n",
		"other network":             strings.Replace(text, "network riverside", "network hillside", 1),
		"key changed":               strings.Replace(text, "+A", "+B", 1),
		"bad network name":          strings.ReplaceAll(text, "riverside", "river side"),
		"no witness_quorum":         text + w[0],
		"witness_quorum too large":  text + w[0] + w[2],
		"no witnesses":              text + w[2],
		"two witness_quorums":       witnessed + w[2],
		"witness twice":             text + w[0] + w[0] + w[2],
		"one witness, two names":    text + w[0] + "witness " + other.Key().String() + "\n" + w[2],
		"a member's key as witness": text + w[0] + strings.Replace(lines[2], "member", "witness", 1) + w[2],
		"too many witnesses":        text + strings.Repeat(w[0], 40) + w[2],
		"too long":                  text + strings.Repeat("#\n", audit.MaxPinBytes),
	} {
		if _, err := audit.ParsePin(bad); err == nil {
			t.Errorf("%s: ParsePin(%q) is accepted", name, bad)
		}
	}
}

// Whatever a file holds, Verify returns; and nothing but the honest files is accepted.
func FuzzVerify(f *testing.F) {
	h := billed(f, nil)
	pin := h.pin(1)
	honest := map[string]bool{}
	all := files(f, h)
	all["statement with contracts"] = paidStatement(f)
	for _, data := range all {
		f.Add(data)
		var compact bytes.Buffer
		must(f, json.Compact(&compact, data))
		honest[unpacked(f, compact.Bytes())] = true
	}
	f.Add([]byte(`{"lamppost":"statement/1","proof":""}`))
	f.Add([]byte(`{"lamppost":"report/1","raw":1,"proof":"oA=="}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		audit.Verify(data, nil)
		if _, err := audit.Verify(data, pin); err == nil {
			var compact bytes.Buffer
			must(t, json.Compact(&compact, data))
			if !honest[unpacked(t, compact.Bytes())] {
				t.Errorf("accepted: %s", data)
			}
		}
	})
}

// FuzzProof mutates the CBOR itself, which the base64 of files hides from the fuzzer.
func FuzzProof(f *testing.F) {
	h := billed(f, nil)
	f.Add(h.customer().Append(nil))
	f.Add(h.all().Append(nil))
	f.Add(shared(f, "north").payments().Append(nil))
	pin := h.pin(1)
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := lamppost.ParseProof(raw)
		if err != nil {
			return
		}
		for _, pin := range []*audit.Pin{nil, pin} {
			audit.NewStatement(p, pin, "anna")
			audit.NewReceipt(p, pin)
		}
	})
}
