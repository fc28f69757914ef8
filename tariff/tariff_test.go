package tariff_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/tariff"
)

// homeTariff is the tariff of the examples and benchmarks: day and night in Berlin with a standing charge.
func homeTariff() tariff.Tariff {
	return tariff.Tariff{
		ID: "home", Version: 1, Seller: "acme", Currency: "EUR", From: at("2025-10-26T01:00Z"), PerUnit: "kWh", RegisterUnit: "Wh", Scale: 3,
		Zone: tariff.Zone{Name: "Europe/Berlin", Transitions: []tariff.Transition{
			{AtMS: at("2025-10-26T01:00Z"), OffsetMin: 60}, {AtMS: at("2026-03-29T01:00Z"), OffsetMin: 120}, {AtMS: at("2026-10-25T01:00Z"), OffsetMin: 60},
		}},
		Bands: []tariff.Band{
			{Name: "day", FromMin: 360, ToMin: 1320, Price: 300_000},
			{Name: "night", FromMin: 0, ToMin: 360, Price: 200_000},
			{Name: "night", FromMin: 1320, ToMin: 1440, Price: 200_000},
		},
		Standing: 250_000, Rounding: tariff.RoundHalfUp, Tax: tariff.Tax{Category: "S", BasisPoints: 1900},
	}
}

func flatTariff() tariff.Tariff {
	p := homeTariff()
	p.Bands = []tariff.Band{{Name: "flat", ToMin: 1440, Price: 300_000}}
	return p
}

// Two readings make the bill of a month at a flat price.
func ExampleBill() {
	p := flatTariff()
	from, to := at("2026-01-31T23:00Z"), at("2026-02-28T23:00Z")
	order := tariff.InvoiceOrder{Number: "2026-0001", IssuedMS: to}
	order.InvoiceBody = lamppost.InvoiceBody{Seller: "acme", Buyer: "bob", Currency: "EUR", From: from, To: to}
	invoice, err := tariff.Bill(order, []tariff.Supply{{
		Agreement: lamppost.AgreementBody{ID: "a1", Seller: "acme", Buyer: "bob", Point: "flat-7", Tariff: "home", From: p.From},
		Device:    "meter-7", Register: "energy", Unit: "Wh", Tariff: p,
		Edges: []tariff.Edge{{Time: from, Value: lamppost.Dec(120_500, 0)}, {Time: to, Value: lamppost.Dec(421_250, 0)}},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, l := range invoice.Supplies[0].Lines {
		fmt.Println(l.N, l.Band, l.Amount)
	}
	fmt.Println("net", invoice.Net, "tax", invoice.Tax[0].Amount, "total", invoice.Total)
	// Output:
	// 1 flat 90.23
	// 2 standing 7.00
	// net 97.23 tax 18.47 total 115.70
}

// TestZoneOf: what a seller gets from the time zone database for Berlin is the data that the transcripts write down.
func TestZoneOf(t *testing.T) {
	t.Parallel()
	want := homeTariff().Zone
	got := tariff.ZoneOf(berlin(t), at("2025-10-26T01:00Z"), at("2027-01-01T00:00Z"))
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	utc := tariff.ZoneOf(time.UTC, at("2026-01-01T00:07Z"), at("2027-01-01T00:00Z"))
	if len(utc.Transitions) != 1 || utc.Transitions[0] != (tariff.Transition{AtMS: at("2026-01-01T00:00Z")}) {
		t.Errorf("UTC is %+v", utc)
	}
}

// TestTariffTravels: terms survive CBOR and JSON, and CBOR refuses an empty list that should have been left out, which
// would give one tariff two digests.
func TestTariffTravels(t *testing.T) {
	t.Parallel()
	series := flatTariff()
	series.Bands, series.To = nil, series.From+2*hourMS
	series.Series = &tariff.Series{From: series.From, StepMS: hourMS, Prices: []lamppost.Micro{-1, 1_234_567}}
	for _, want := range []tariff.Tariff{homeTariff(), series} {
		raw := lamppost.Marshal(want)
		var fromCBOR, fromJSON tariff.Tariff
		if err := lamppost.Unmarshal(raw, &fromCBOR); err != nil || !reflect.DeepEqual(fromCBOR, want) {
			t.Errorf("CBOR gives %+v (%v), want %+v", fromCBOR, err, want)
		}
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &fromJSON); err != nil || !reflect.DeepEqual(fromJSON, want) {
			t.Errorf("JSON gives %+v (%v), want %+v", fromJSON, err, want)
		}
	}
	withEmptyBands := lamppost.Marshal(series)
	withEmptyBands[0]++ // a map with one pair more …
	key := bytes.Index(withEmptyBands, []byte{0x0c, 0xa3})
	withEmptyBands = append(withEmptyBands[:key:key], append([]byte{0x0b, 0x80}, withEmptyBands[key:]...)...) // … 11: []
	var p tariff.Tariff
	if err := lamppost.Unmarshal(withEmptyBands, &p); err == nil || !strings.Contains(err.Error(), "deterministic") {
		t.Errorf("an empty list of bands was taken: %v", err)
	}
}

// TestPricingAsksNoClock: nothing but zoneof.go imports time, and nothing imports randomness, files or the network.
func TestPricingAsksNoClock(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) < 5 {
		t.Fatalf("found %d files (%v)", len(files), err)
	}
	allowed := map[string]bool{
		"cmp": true, "fmt": true, "math": true, "math/big": true, "math/bits": true, "slices": true, "sort": true,
		"unicode": true, "unicode/utf8": true, "github.com/lamppost/lamppost": true,
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, imp := range f.Imports {
			path := strings.Trim(imp.Path.Value, `"`)
			if !allowed[path] && !(path == "time" && name == "zoneof.go") {
				t.Errorf("%s imports %s", name, path)
			}
		}
	}
}

// TestTextFitsATable: names that people read may be in any script, but cannot break a line or hide a terminal command.
func TestTextFitsATable(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"Nachtstrom ½": "", "昼間": "", "": "1 to 40 bytes", "a\nb": "control character U+000A", "\x1b[2J": "control character U+001B",
		"\xff": "UTF-8", strings.Repeat("x", 41): "1 to 40 bytes",
	} {
		p := flatTariff()
		p.Bands[0].Name = name
		err := p.Validate()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("band %q: got %v, want %q", name, err, want)
		}
	}
}

// TestEdgesAreBounded: a hostile period or tariff costs nothing.
func TestEdgesAreBounded(t *testing.T) {
	t.Parallel()
	p := homeTariff()
	year := p.Edges(at("2026-01-01T00:00Z"), at("2027-01-01T00:00Z"))
	if len(year) != 2*365+2 {
		t.Errorf("a year of days and nights has %d edges, want %d", len(year), 2*365+2)
	}
	if got := p.Edges(0, 1<<62); got != nil {
		t.Errorf("an endless period has %d edges", len(got))
	}
	if got := p.Edges(-1<<63, 1<<63-1); got != nil {
		t.Errorf("all time has %d edges", len(got))
	}
	p.Bands[0].ToMin = 1300
	if got := p.Edges(at("2026-01-01T00:00Z"), at("2026-01-02T00:00Z")); got != nil {
		t.Errorf("a tariff with a gap has edges %v", got)
	}
}

// FuzzTariff: whatever decodes either is refused or prices a day by the edges it asks for, without a panic, and
// encodes to the bytes it came from.
func FuzzTariff(f *testing.F) {
	home, series := homeTariff(), flatTariff()
	series.Bands, series.To = nil, series.From+3*hourMS
	series.Series = &tariff.Series{From: series.From, StepMS: hourMS, Prices: []lamppost.Micro{-1, 0, 7}}
	f.Add(lamppost.Marshal(home), int64(100))
	f.Add(lamppost.Marshal(series), int64(-1))
	f.Add([]byte{0xa0}, int64(0))
	f.Fuzz(func(t *testing.T, raw []byte, use int64) {
		var p tariff.Tariff
		if lamppost.Unmarshal(raw, &p) != nil {
			return
		}
		if !bytes.Equal(lamppost.Marshal(p), raw) {
			t.Fatal("decodes, but encodes to other bytes")
		}
		times := p.Edges(p.From, p.From+dayMS)
		if p.Validate() != nil {
			if times != nil {
				t.Fatalf("a refused tariff has edges %v", times)
			}
			return
		}
		if len(times) < 2 {
			t.Fatalf("a valid tariff has edges %v on its first day", times)
		}
		var edges []tariff.Edge
		for i, at := range times {
			edges = append(edges, tariff.Edge{Time: at, Value: lamppost.Dec(int64(i)*(use>>8), int8(-i%10))})
		}
		lines, err := tariff.Price(&p, edges)
		if err == nil && len(lines) == 0 {
			t.Fatal("neither lines nor an error")
		}
	})
}

// FuzzPrice: any three readings, far out of range, price or fail, and never panic; so do the estimates between them.
func FuzzPrice(f *testing.F) {
	f.Add(int64(0), int64(900_000), int64(1), int64(2), int64(3), int8(0), uint8(0))
	f.Add(int64(-1<<63), int64(1<<63-1), int64(-1<<63), int64(1<<63-1), int64(0), int8(-9), uint8(1))
	f.Add(int64(0), int64(1), int64(1<<63-1), int64(-1<<63), int64(0), int8(127), uint8(3))
	f.Fuzz(func(t *testing.T, offset, gap, a, b, c int64, exp int8, quality uint8) {
		p := flatTariff()
		first := at("2026-03-29T00:00Z") + lamppost.TimeMS(offset)
		mid := first + lamppost.TimeMS(gap)
		edges := []tariff.Edge{
			{Time: first, Value: lamppost.Dec(a, exp)},
			{Time: mid, Value: lamppost.Dec(b, 0), Quality: lamppost.Quality(quality)},
			{Time: mid + lamppost.TimeMS(gap), Value: lamppost.Dec(c, exp)},
		}
		lines, err := tariff.Price(&p, edges)
		if err == nil && lines[0].Quantity.Mantissa < 0 {
			t.Fatalf("%v cost %+v", edges, lines)
		}
		filled, err := tariff.FillEdges([]lamppost.TimeMS{first, first + 1, mid}, edges, nil)
		if err == nil && len(filled) != 3 {
			t.Fatalf("%d of 3 edges", len(filled))
		}
	})
}

// A flat month: what most bills are. One allocation per figure is fine here; ten thousand invoices are a second.
func BenchmarkPriceTwoEdges(b *testing.B) {
	p := flatTariff()
	edges := []tariff.Edge{
		{Time: at("2026-01-31T23:00Z"), Value: lamppost.Dec(120_500, 0)}, {Time: at("2026-02-28T23:00Z"), Value: lamppost.Dec(421_250, 0)},
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tariff.Price(&p, edges); err != nil {
			b.Fatal(err)
		}
	}
}

// A week of hourly prices.
func BenchmarkBillHourlyWeek(b *testing.B) {
	p := flatTariff()
	p.Bands, p.To = nil, p.From+7*dayMS
	p.Series = &tariff.Series{From: p.From, StepMS: hourMS, Prices: make([]lamppost.Micro, 168)}
	supply := tariff.Supply{
		Agreement: lamppost.AgreementBody{ID: "a1", Seller: "acme", Buyer: "bob", Point: "flat-7", Tariff: "home", From: p.From},
		Device:    "meter-7", Register: "energy", Unit: "Wh", Tariff: p,
	}
	for i, at := range p.Edges(p.From, p.To) {
		supply.Edges = append(supply.Edges, tariff.Edge{Time: at, Value: lamppost.Dec(int64(i)*1234, 0)})
	}
	for i := range p.Series.Prices {
		p.Series.Prices[i] = lamppost.Micro(250_000 + i*1000)
	}
	order := tariff.InvoiceOrder{Number: "1", IssuedMS: p.To}
	order.InvoiceBody = lamppost.InvoiceBody{Seller: "acme", Buyer: "bob", Currency: "EUR", From: p.From, To: p.To}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tariff.Bill(order, []tariff.Supply{supply}); err != nil {
			b.Fatal(err)
		}
	}
}
