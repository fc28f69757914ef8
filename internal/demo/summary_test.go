package demo

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/tariff"
)

var rewrite = flag.Bool("rewrite", false, "write the expected output of tests anew")

func compareGolden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

// twoInvoices bill a flat for two days by the district's own tariff.
func twoInvoices(t *testing.T) []tariff.Invoice {
	t.Helper()
	d := newDistrict(loadWeek(t))
	m, terms := &d.machines[lamps+2], d.tariffs[2]
	a := d.agreements[2*lamps+2]
	var invoices []tariff.Invoice
	for i, day := range d.days[5:] {
		var edges []tariff.Edge
		for _, at := range terms.Edges(day.From, day.To) {
			edges = append(edges, tariff.Edge{Time: at, Value: newFlat(d.week, 2).read(at)[0].Value})
		}
		inv, err := tariff.Bill(tariff.InvoiceOrder{Number: fmt.Sprintf("hausverwaltung-%06d", 3+12*i), IssuedMS: day.To,
			InvoiceBody: lamppost.InvoiceBody{Seller: landlord, Buyer: a.Buyer, Currency: currency, From: day.From, To: day.To}},
			[]tariff.Supply{{Agreement: a, Device: m.id, Register: registerEnergy, Unit: "Wh", Place: m.place, Tariff: *terms, Edges: edges}})
		if err != nil {
			t.Fatal(err)
		}
		invoices = append(invoices, inv)
	}
	return invoices
}

func aSummary(t *testing.T) *summary {
	s := &summary{
		from: "Mon 19 Oct 00:00", to: "Mon 26 Oct 00:00", hours: 169, wall: 30140 * time.Millisecond, days: 7,
		reckoning: reckoning{amount{35940, 150123}, amount{35940, 150123}, amount{35940, 150123}, "1898.412"},
		held:      4321, invoices: 98, billed: 812_340_000, bill: newBill(twoInvoices(t), "Lucía Fernández"),
		home: takenHome{command: "lamppost", statement: "/tmp/it's a demo/statement.json", pin: "/tmp/it's a demo/network.pin",
			changed: "/tmp/it's a demo/changed.json", edit: `s/"total": "3\.41"/"total": "3.42"/`,
			finding: &audit.Finding{Invoices: 2, Lines: 6, Readings: 1008}},
	}
	for i := range lamps {
		s.lamps = append(s.lamps, lampResult{lamppost.DeviceID(fmt.Sprintf("lamp-%02d", i+1)), 1_000_000, lamppost.Micro(i) * 60_000})
	}
	return s
}

// The ending of a whole week reads as it should.
func TestSummary(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	aSummary(t).write(&b)
	compareGolden(t, "summary.txt", b.Bytes())
}

// An ending on the first day says what there is, and does not speak of what there is not.
func TestSummaryEarly(t *testing.T) {
	t.Parallel()
	s := &summary{from: "Mon 19 Oct 00:00", to: "Mon 19 Oct 11:15", hours: 11, wall: 2 * time.Second, interrupted: true,
		reckoning: reckoning{amount{100, 200}, amount{100, 200}, amount{100, 200}, "80.1"}, held: 12}
	var b bytes.Buffer
	s.write(&b)
	compareGolden(t, "early.txt", b.Bytes())
}

// A summary never says that counts are equal which are not.
func TestSummaryUnequal(t *testing.T) {
	t.Parallel()
	for i := range 3 {
		s := aSummary(t)
		[]*amount{&s.taken, &s.acked, &s.committed}[i].readings++
		var b bytes.Buffer
		s.write(&b)
		if text := b.String(); strings.Contains(text, ": equal") || !strings.Contains(text, "NOT EQUAL") {
			t.Errorf("count %d one higher: %s", i, text)
		}
	}
}

// A tenant's bill is the sum of its invoices: line by line, and the lines with the tax are the total.
func TestBillAddsUp(t *testing.T) {
	t.Parallel()
	invoices := twoInvoices(t)
	b := newBill(invoices, "somebody")
	var sum lamppost.Micro
	wh := lamppost.Decimal{}
	for _, l := range b.lines {
		sum += l.amount
		wh, _ = wh.Add(l.quantity)
	}
	if sum != b.net || b.net+b.tax != b.total || b.total != invoices[0].Total+invoices[1].Total {
		t.Errorf("lines %s, net %s, tax %s, total %s", sum, b.net, b.tax, b.total)
	}
	d := newDistrict(loadWeek(t))
	f := newFlat(d.week, 2)
	if want := f.used(d.week.To()) - f.used(d.days[5].From); wh.Mantissa != want {
		t.Errorf("%s Wh on the bill, %d used", wh, want)
	}
	if len(b.lines) != 3 || b.lines[2].days != 2 || newBill(nil, "nobody") != nil {
		t.Errorf("lines %+v", b.lines)
	}
}

// oneDigit changes exactly one digit of each field that is like the first total, and its sed command does the same.
func TestOneDigit(t *testing.T) {
	t.Parallel()
	file := []byte("{\n \"total\": \"12.39\",\n \"x\": \"12.39\"\n}\n")
	sed, changed, err := oneDigit(file)
	if err != nil || string(changed) != "{\n \"total\": \"12.30\",\n \"x\": \"12.39\"\n}\n" {
		t.Errorf("%q, %v", changed, err)
	}
	if want := `s/"total": "12\.39"/"total": "12.30"/`; sed != want {
		t.Errorf("%s, want %s", sed, want)
	}
	if _, _, err := oneDigit([]byte("{}")); err == nil {
		t.Error("a digit of nothing was changed")
	}
}

// A progress line on a terminal covers what was there before.
func TestProgressLine(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	p := progressLine{out: &b, inPlace: true}
	p.write("a long line")
	p.write("short")
	p.finish()
	if got := b.String(); got != "\ra long line\rshort      \n" {
		t.Errorf("%q", got)
	}
	b.Reset()
	p = progressLine{out: &b}
	p.write("one")
	p.write("two")
	p.finish()
	if got := b.String(); got != "one\ntwo\n" {
		t.Errorf("%q", got)
	}
}

// Numbers are grouped by thousands.
func TestGrouped(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := grouped(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
}
