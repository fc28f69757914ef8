package advise

import (
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/lamppost/lamppost/internal/explore"
)

func shippedCatalogue(t *testing.T) *Catalogue {
	t.Helper()
	c, err := ShippedCatalogue()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Every figure of the catalogue is one that is checked: with a source, its month, a unit and a condition. The figures are counted by
// reflection, so that a new field is not forgotten.
func TestCatalogueIsSourced(t *testing.T) {
	t.Parallel()
	c := shippedCatalogue(t)
	used := map[string]bool{}
	checked := c.figures()
	for _, f := range checked {
		for _, s := range f.Source {
			used[s] = true
		}
	}
	if n := countFigures(reflect.ValueOf(*c)); n != len(checked) || n < 40 {
		t.Errorf("the catalogue has %d figures, %d are checked", n, len(checked))
	}
	for _, f := range c.facts() {
		for _, s := range f.Source {
			used[s] = true
		}
	}
	for _, l := range c.Ledgers {
		for _, s := range l.Keys.Source {
			used[s] = true
		}
	}
	for key := range c.Sources {
		if !used[key] {
			t.Errorf("source %q is of nothing", key)
		}
	}
	want := []string{"Hyperledger Fabric", "IOTA", "Hedera Consensus Service", "Arbitrum One (a layer 2 of Ethereum)", "IoTeX", "peaq"}
	for _, name := range want {
		if !slices.ContainsFunc(c.Ledgers, func(l Ledger) bool { return l.Name == name }) {
			t.Errorf("there is no ledger %q", name)
		}
	}
}

func countFigures(v reflect.Value) (n int) {
	switch {
	case v.Type() == reflect.TypeFor[Figure]():
		return 1
	case v.Kind() == reflect.Pointer && !v.IsNil():
		return countFigures(v.Elem())
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			n += countFigures(v.Field(i))
		}
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			n += countFigures(v.Index(i))
		}
	}
	return n
}

// A catalogue that claims more than it can show is refused.
func TestCatalogueRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range [][3]string{ // what stands there, what is put there, what the error says
		{"v: 1\n", "v: 2\n", "version 2"},
		{"date: 2026-11", "date: today", "month"},
		{"of: 2026-03, kind: price", "of: 2027-03, kind: price", "up to 2026-11"},
		{"of: 2026-03, kind: price", "of: 2024-03, kind: price", "months old"},
		{"of: 2026-03, kind: price", "kind: price", "of is a month"},
		{"of: 2026-03, kind: price", "of: 2026-03, kind: rumour", "rumour"},
		{`url: "https://www.wring.co`, `url: "www.wring.co`, "url"},
		{"unit: USD/CPU-hour, source: [fargate]", "unit: USD/CPU-hour, source: []", "prices.cpu: it has no source"},
		{"unit: USD/CPU-hour, source: [fargate]", "unit: USD/CPU-hour, source: [hearsay]", `"hearsay"`},
		{"unit: USD/CPU-hour", "unit: EUR/CPU-hour", `"USD/CPU-hour"`},
		{"low: 0.0324, mid: 0.0405", "low: 0.0405, mid: 0.0324", "rise"},
		{"low: 0.0324", "low: .nan", "rise"},
		{"low: 3, mid: 4, high: 5, unit: s, source: [hederanet], confirmed: true", "low: 4, mid: 4, high: 4, unit: s, source: [hederanet]", "range"},
		{`confirmed: true, condition: "claimed"}`, `confirmed: true, condition: ""}`, "no condition"},
		{"    writers: members\n", "    writers: friends\n", "friends"},
		{"    token: HBAR\n", "", "a fee and a token"},
		{"    token: HBAR\n", "    coin: HBAR\n", "coin"},
		{"source: [iotastation]}", "source: []}", "gas station"},
		{"suites: [ed25519], others: secp256k1, source: [hederakeys]", "suites: [rsa], source: [hederakeys]", "rsa"},
		{"others: secp256k1, source: [iotexl1]}", "others: secp256k1}", "keys: it has no source"},
	} {
		if n := strings.Count(string(catalogueText), c[0]); n == 0 {
			t.Errorf("%q does not stand in the catalogue", c[0])
		}
		_, err := ParseCatalogue([]byte(strings.Replace(string(catalogueText), c[0], c[1], 1)))
		if err == nil || !strings.Contains(err.Error(), c[2]) {
			t.Errorf("%q in place of %q: got %v, want an error with %q", c[1], c[0], err, c[2])
		}
	}
}

func exact(v float64) Range { return Range{v, v, v} }

// A year is what a calculator says, part by part, and its parts are all of it.
func TestYear(t *testing.T) {
	t.Parallel()
	c := shippedCatalogue(t)
	// Ten reports of ten readings a second, day and night.
	p := explore.Point{Engine: "raft", Nodes: 3, Rate: 10, Readings: 10, Verify: "gateway"}
	pr := Prediction{CPU: exact(100), Wire: exact(1000), Disk: exact(1e9), Syncs: exact(0.1)}
	y := c.Year(p, pr, Demand{ReadingsADay: 100 * 86400}, &Needs{RetentionYears: 2})
	readings := 100 * 86400 * 365.25
	rate, model := c.Prices.EURPerUSD.Mid, explore.DefaultEnergy()
	kept := c.Kept.Report.Mid + 7*c.Kept.Reading.Mid
	want := map[string]Part{
		"computing":      {EUR: Range{Mid: readings * 100e-6 / 3600 * c.Prices.CPU.Mid * rate}, KWh: Range{Mid: readings * 100e-6 * model.CPU.Value / 3.6e6}},
		"between":        {EUR: Range{Mid: readings * 1000 / 1e9 * c.Prices.Egress.Mid * rate}, KWh: Range{Mid: readings * 1000 * model.Wire[model.Link].Value / 3.6e6}},
		"making":         {KWh: Range{Mid: readings * 0.1 * model.Sync.Value / 3.6e6}},
		"keeping":        {EUR: Range{Mid: readings / 10 * kept * 3 / 1e9 * 24 * c.Prices.Storage.Mid}},
		"3 rented":       {EUR: Range{Mid: 3 * c.Prices.Machine.Mid}, KWh: Range{Mid: 3 * c.Prices.MachineIdle.Mid * 8.766}, Fixed: true},
		"3 gateways on ": {EUR: Range{Mid: 3*c.Prices.Gateway.Mid + 3*c.Prices.GatewayIdle.Mid*8.766*c.Prices.Electricity.Mid}, KWh: Range{Mid: 3 * c.Prices.GatewayIdle.Mid * 8.766}, Fixed: true},
	}
	var all, variable Range
	for _, part := range y.Parts {
		var w *Part
		for begin, found := range want {
			if strings.HasPrefix(part.What, begin) {
				w = &found
			}
		}
		if w == nil {
			t.Errorf("part %q was not asked for", part.What)
			continue
		}
		if !near(part.EUR.Mid, w.EUR.Mid) || !near(part.KWh.Mid, w.KWh.Mid) || part.Fixed != w.Fixed || part.Source == "" {
			t.Errorf("%q: %+v, want %v EUR, %v kWh, fixed %v", part.What, part, w.EUR.Mid, w.KWh.Mid, w.Fixed)
		}
		ordered(t, part.What, part.EUR)
		ordered(t, part.What, part.KWh)
		all = all.plus(part.EUR)
		if !part.Fixed {
			variable = variable.plus(part.EUR)
		}
	}
	if len(y.Parts) != len(want) || y.EUR != all || y.Variable() != variable || !(variable.Mid < all.Mid) {
		t.Errorf("%d parts, want %d; %v EUR, want %v; %v of it by settings, want %v", len(y.Parts), len(want), y.EUR, all, y.Variable(), variable)
	}
}

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-9*max(math.Abs(a), math.Abs(b)) }

func ordered(t *testing.T, what string, r Range) {
	t.Helper()
	if !(0 <= r.Low && r.Low <= r.Mid && r.Mid <= r.High) {
		t.Errorf("%s: %v does not rise", what, r)
	}
}

// A node alone pays for a backup, as a database does; two copies cost what two cost.
func TestBackup(t *testing.T) {
	t.Parallel()
	c := shippedCatalogue(t)
	kept := func(nodes int) float64 {
		return c.stored(explore.Point{Nodes: nodes, Readings: 1}, Demand{ReadingsADay: 1}).Mid
	}
	if one, two, four := kept(1), kept(2), kept(4); one != two || !near(four, 2*two) || !near(two, 2*365.25*c.Kept.Report.Mid) {
		t.Errorf("kept by 1, 2 and 4 members: %v, %v and %v bytes a year", one, two, four)
	}
}

// At few readings members work for nobody: a year takes no less than its readings, and no more than the point when it runs all year.
func TestYearOfFewReadings(t *testing.T) {
	t.Parallel()
	c := shippedCatalogue(t)
	p := explore.Point{Engine: "solo", Nodes: 1, Rate: 3, Readings: 1}
	pr := Prediction{CPU: exact(4000)}
	few := c.Year(p, pr, Demand{ReadingsADay: 864}, nil).Parts[0].KWh // 0.01 a second
	full := c.Year(p, pr, Demand{ReadingsADay: 3 * 86400}, nil).Parts[0].KWh
	if !near(few.Low, full.Low/300) || !near(few.High, full.High) || !near(few.Mid, (few.Low+few.High)/2) {
		t.Errorf("0.01 readings/s take %v kWh, 3 take %v", few, full)
	}
}

func rivals(n int, needs Needs) *Fleet {
	f := &Fleet{Name: "x", Needs: needs, Classes: []Class{{Name: "c", Devices: 100, Signs: []string{"es256"}, ReadingsADay: 96, LateMinutes: 60, Peak: 3, Power: "mains", Link: "cellular"}}}
	for i := range n {
		f.Organisations = append(f.Organisations, Organisation{Name: string(rune('a' + i)), Runs: true, Place: "DE"})
	}
	f.complete(given{})
	return f
}

// What breaks a need of the fleet is out, and says which; without the need it is in.
func TestOutside(t *testing.T) {
	t.Parallel()
	c := shippedCatalogue(t)
	base := Needs{LatencyMS: 3_600_000}
	all := map[string]bool{"Hyperledger Fabric": true, "IOTA": true, "Hedera Consensus Service": true, "Arbitrum One (a layer 2 of Ethereum)": true, "IoTeX": true, "peaq": true}
	open := without(all, "Hyperledger Fabric")
	for _, s := range []struct {
		what string
		orgs int
		need func(*Fleet)
		out  map[string]bool
		says string
	}{
		{"nothing asked", 4, func(*Fleet) {}, nil, ""},
		{"personal data", 4, func(f *Fleet) { f.Needs.PersonalData = true }, open, "personal_data"},
		{"a country", 4, func(f *Fleet) { f.Needs.StayIn = []string{"DE"} }, open, "stay_in"},
		{"another country", 4, func(f *Fleet) { f.Needs.StayIn = []string{"FR"} }, all, "stay_in"},
		{"strangers", 4, func(f *Fleet) { f.Needs.Strangers = true }, set("Hyperledger Fabric"), "strangers"},
		{"anyone checks", 4, func(f *Fleet) { f.Needs.Check = "anyone" }, set("Hyperledger Fabric"), "needs.check"},
		{"nobody alone, four", 4, func(f *Fleet) { f.Needs.NobodyAlone = true }, set("Arbitrum One (a layer 2 of Ethereum)"), "nobody_alone"},
		{"nobody alone, three", 3, func(f *Fleet) { f.Needs.NobodyAlone = true }, set("Arbitrum One (a layer 2 of Ethereum)", "Hyperledger Fabric"), ""},
		{"an organisation may go, two", 2, func(f *Fleet) { f.Needs.Survive = "organisation" }, set("Hyperledger Fabric"), "4 organisations"},
		{"the same, friends", 2, func(f *Fleet) {
			f.Needs.Survive, f.Organisations[0].Trusts, f.Organisations[1].Trusts = "organisation", []string{"b"}, []string{"a"}
		}, set("Hyperledger Fabric"), "needs.survive"},
		{"five seconds", 4, func(f *Fleet) { f.Needs.LatencyMS = 5000 }, set("Arbitrum One (a layer 2 of Ethereum)", "peaq"), "latency_ms"},
		{"a second", 4, func(f *Fleet) { f.Needs.LatencyMS = 1000 }, all, "latency_ms"},
		{"a million devices", 4, func(f *Fleet) { f.Classes[0].Devices = 1_000_000 }, set("Arbitrum One (a layer 2 of Ethereum)", "IoTeX", "peaq"), "messages a second"},
	} {
		f := rivals(s.orgs, base)
		s.need(f)
		options := c.Outside(f, Demand{ReadingsADay: 9600})
		if len(options) != len(c.Ledgers) {
			t.Fatalf("%s: %d options of %d ledgers", s.what, len(options), len(c.Ledgers))
		}
		for i, o := range options {
			if (len(o.Out) > 0) != s.out[o.Name] {
				t.Errorf("%s: %s is out %v because of %q, want %v", s.what, o.Name, len(o.Out) > 0, o.Out, s.out[o.Name])
			}
			if s.out[o.Name] && !strings.Contains(strings.Join(o.Out, "\n"), s.says) {
				t.Errorf("%s: %s is out because of %q, which says nothing of %q", s.what, o.Name, o.Out, s.says)
			}
			ordered(t, s.what+", "+o.Name, o.Year.EUR)
			if i > 0 && len(options[i-1].Out) > 0 && len(o.Out) == 0 {
				t.Errorf("%s: %s is in and comes after %s, which is out", s.what, o.Name, options[i-1].Name)
			}
		}
	}
}

// Devices that cannot sign as a ledger's accounts do are named: somebody must send for them.
func TestKeysOutside(t *testing.T) {
	t.Parallel()
	c := shippedCatalogue(t)
	const cannot = "devices of c cannot"
	for _, o := range c.Outside(rivals(4, Needs{}), Demand{ReadingsADay: 9600}) { // they have es256
		can := o.Name == "Hyperledger Fabric" || o.Name == "IOTA"
		if said := strings.Contains(strings.Join(o.Notes, "\n"), cannot); said == can {
			t.Errorf("%s: %q said %v, want %v: %q", o.Name, cannot, said, !can, o.Notes)
		}
	}
}

func set(names ...string) map[string]bool {
	all := map[string]bool{}
	for _, n := range names {
		all[n] = true
	}
	return all
}

func without(all map[string]bool, name string) map[string]bool {
	rest := map[string]bool{}
	for n := range all {
		rest[n] = n != name
	}
	return rest
}

// Fees follow messages: what a report gathers costs one, and a report that is too large costs several.
func TestFees(t *testing.T) {
	t.Parallel()
	c := shippedCatalogue(t)
	hedera := c.Ledgers[slices.IndexFunc(c.Ledgers, func(l Ledger) bool { return l.Token == "HBAR" })]
	for _, s := range []struct{ readingsADay, late, aDay float64 }{
		{96, 0, 96},       // each on its own
		{96, 60, 24},      // four wait for each other
		{1440, 60, 24},    // sixty, in 693 bytes
		{1440, 300, 14.4}, // three hundred, in 2,853 bytes: three messages
	} {
		f := rivals(4, Needs{})
		f.Classes[0].Devices, f.Classes[0].ReadingsADay, f.Classes[0].LateMinutes = 1, s.readingsADay, s.late
		if got := hedera.messages(f).perYear; !near(got, s.aDay*365.25) {
			t.Errorf("%v readings a day, %v minutes late: %v messages a year, want %v", s.readingsADay, s.late, got, s.aDay*365.25)
		}
	}
	f := rivals(4, Needs{})
	y := c.outsideYear(&hedera, f, stream{perYear: 1e6})
	if got, want := y.Variable().Mid, 1e6*0.0008*c.Prices.EURPerUSD.Mid; !near(got, want) {
		t.Errorf("a million messages cost %v EUR, want %v", got, want)
	}
}

// A database is one organisation's word: it is in where nobody asks for more.
func TestDatabase(t *testing.T) {
	t.Parallel()
	c := shippedCatalogue(t)
	for _, s := range []struct {
		what string
		need func(*Fleet)
		says string // empty: it is in
	}{
		{"one organisation", func(f *Fleet) { f.Organisations = f.Organisations[:1] }, ""},
		{"all trust one, nobody checks", func(f *Fleet) { f.Organisations[1].Trusts, f.Needs.Check = []string{"a"}, "nobody" }, ""},
		{"all trust one, parties check", func(f *Fleet) { f.Organisations[1].Trusts = []string{"a"} }, "needs.check"},
		{"none trusts", func(f *Fleet) { f.Needs.Check = "nobody" }, "organisations"},
		{"nobody alone", func(f *Fleet) { f.Needs.NobodyAlone, f.Needs.Check = true, "nobody" }, "nobody_alone"},
		{"strangers", func(f *Fleet) { f.Needs.Strangers = true }, "strangers"},
		{"an organisation may go", func(f *Fleet) { f.Organisations, f.Needs.Survive = f.Organisations[:1], "organisation" }, "survive"},
		{"a millisecond", func(f *Fleet) { f.Organisations, f.Needs.LatencyMS = f.Organisations[:1], 1 }, "latency_ms"},
	} {
		f := rivals(2, Needs{})
		s.need(f)
		o := c.Database(f, Demand{ReadingsADay: 9600})
		if got := strings.Join(o.Out, "\n"); (got == "") != (s.says == "") || !strings.Contains(got, s.says) {
			t.Errorf("%s: out because of %q, want something of %q", s.what, got, s.says)
		}
		ordered(t, s.what, o.Year.EUR)
	}
	f := rivals(1, Needs{})
	one := c.Database(f, Demand{ReadingsADay: 9600}).Year.EUR.Mid
	f.Needs.Survive = "machine"
	if two := c.Database(f, Demand{ReadingsADay: 9600}).Year.EUR.Mid; !(two > one+c.Prices.Machine.Mid) {
		t.Errorf("two machines cost %v EUR a year, one %v", two, one)
	}
}
