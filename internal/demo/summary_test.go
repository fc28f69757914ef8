package demo

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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

// twoInvoices bill a flat and its water for two days by the district's own tariffs: the day of the exchange, and the long one.
func twoInvoices(t *testing.T) []tariff.Invoice {
	t.Helper()
	d := newDistrict(loadWeek(t))
	var invoices []tariff.Invoice
	for i, day := range []Day{d.days[exchangeDay], d.days[6]} {
		var supplies []tariff.Supply
		for _, id := range []lamppost.DeviceID{"flat-03", wornMeter, wornMeter + "b"} {
			supplies = append(supplies, d.supplied(id, day)...)
		}
		inv, err := tariff.Bill(tariff.InvoiceOrder{Number: fmt.Sprintf("hausverwaltung-%06d", 3+12*i), IssuedMS: day.To,
			InvoiceBody: lamppost.InvoiceBody{Seller: landlord, Buyer: teller, Currency: currency, From: day.From, To: day.To}}, supplies)
		if err != nil {
			t.Fatal(err)
		}
		invoices = append(invoices, inv)
	}
	return invoices
}

// supplied is what the ledger would find of a machine's first register on a day, if it hung there.
func (d *district) supplied(id lamppost.DeviceID, day Day) []tariff.Supply {
	m := &d.machines[slices.IndexFunc(d.machines, func(m machineSpec) bool { return m.id == id })]
	from, to := max(day.From, m.from), day.To
	if m.to != 0 {
		to = min(to, m.to)
	}
	if from >= to {
		return nil
	}
	id, mount := lamppost.DeviceID(strings.TrimSuffix(string(id), "b")), uint32(0)
	if m.from != 0 {
		mount = 1
	}
	i := slices.IndexFunc(d.agreements, func(a lamppost.AgreementBody) bool { return a.Point == d.pointOf(id).ID })
	terms := d.tariffs[slices.IndexFunc(d.tariffs, func(t *tariff.Tariff) bool { return t.ID == d.agreements[i].Tariff })]
	s := tariff.Supply{Agreement: d.agreements[i], Device: m.id, Mount: mount, Register: m.registers[0].name, Unit: m.registers[0].unit, Place: m.place, Tariff: *terms}
	for _, at := range terms.Edges(from, to) {
		s.Edges = append(s.Edges, tariff.Edge{Time: at, Value: m.model.read(at)[0].Value})
	}
	return []tariff.Supply{s}
}

func aSummary(t *testing.T) *summary {
	s := &summary{
		from: "Mon 19 Oct 00:00", to: "Mon 26 Oct 00:00", hours: 169, wall: 30140 * time.Millisecond, days: 7,
		reckoning: reckoning{amount{35940, 150123}, amount{35940, 150123}, amount{35940, 150123}, "1898.412"},
		held:      4321, invoices: 98, billed: 812_340_000, bill: newBill(twoInvoices(t), "Lucía Fernández", &townClock),
		home: takenHome{command: "lamppost", statement: "/tmp/it's a demo/statement.json", pin: "/tmp/it's a demo/network.pin",
			changed: "/tmp/it's a demo/changed.json", edit: `s/"total": "3\.41"/"total": "3.42"/`,
			finding: &audit.Finding{Invoices: 2, Lines: 6, Readings: 1008}},
	}
	const kWh = 1000 * mwMSPerWh
	lit := lighting{decided: used{91 * kWh, 27_930_000}, timetable: used{95 * kWh, 29_200_000}, full: used{153 * kWh, 41_710_000}}
	s.worth = lit.worth()
	s.worth.decisions, s.worth.safe, s.worth.example = 1523, 12, lamppost.DecisionID{Height: 453, Index: 3}
	s.worth.command, s.worth.data = "lamppost", "/tmp/it's a demo"
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
	b := newBill(invoices, "somebody", &townClock)
	var sum, tax lamppost.Micro
	used := map[string]lamppost.Decimal{}
	for _, l := range b.lines {
		sum += l.amount
		used[l.unit], _ = used[l.unit].Add(l.quantity)
	}
	for _, x := range b.taxes {
		tax += x.Amount
	}
	if sum != b.net || b.net+tax != b.total || b.total != invoices[0].Total+invoices[1].Total {
		t.Errorf("lines %s, net %s, tax %s, total %s", sum, b.net, tax, b.total)
	}
	d := newDistrict(loadWeek(t))
	f := newFlat(d.week, 2)
	days := []Day{d.days[exchangeDay], d.days[6]}
	wh, litres := int64(0), int64(0)
	for _, day := range days {
		wh += f.used(day.To) - f.used(day.From)
		litres += f.used(day.To)/whPerLitre - f.used(day.From)/whPerLitre
	}
	if used["kWh"].Mantissa != wh || used["m³"].Mantissa != litres {
		t.Errorf("%s Wh and %s l on the bill, %d and %d used", used["kWh"], used["m³"], wh, litres)
	}
	if len(b.lines) != 5 || b.lines[2].days != 2 || len(b.taxes) != 2 || len(b.exchanges) != 1 || newBill(nil, "nobody", &townClock) != nil {
		t.Errorf("lines %+v, taxes %+v, exchanges %q", b.lines, b.taxes, b.exchanges)
	}
}

var townClock = townZone()

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
