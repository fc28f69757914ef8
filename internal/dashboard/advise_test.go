package dashboard_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/lamppost/lamppost/internal/advise"
	"github.com/lamppost/lamppost/internal/dashboard/browsertest"
	"github.com/lamppost/lamppost/internal/explore"
)

// advise answers as the node does, and keeps what it was asked.
func (d *district) advise(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	fleet, err := advise.ParseFleetJSON(body)
	if err != nil {
		refuse(w, http.StatusBadRequest, "bad_request", err.Error())
		return
	}
	d.fleet = fleet
	if d.advised == nil {
		reply(w, advice(fleet.Name))
		return
	}
	a, err := d.advised(fleet)
	if err != nil {
		panic(err)
	}
	reply(w, a)
}

// readFleet and examples do as the node does.
func (d *district) readFleet(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(err)
	}
	f, err := advise.ReadFile(body)
	if err != nil {
		refuse(w, http.StatusBadRequest, "bad_request", err.Error())
		return
	}
	reply(w, f)
}

func (d *district) examples(w http.ResponseWriter, _ *http.Request) {
	list, err := advise.Examples()
	if err != nil {
		panic(err)
	}
	reply(w, list)
}

func around(mid float64) advise.Range { return advise.Range{Low: 0.8 * mid, Mid: mid, High: 1.3 * mid} }

// advice is an answer with everything that can stand in one.
func advice(fleet string) *advise.Answer {
	figures := func(p99, capacity float64, p explore.Point) *advise.Prediction {
		return &advise.Prediction{PerS: around(40), Capacity: around(capacity), P50: around(p99 / 3), P99: around(p99), CPU: around(120), Wire: around(900), Disk: around(400), Syncs: around(0.1),
			Nearest: []advise.Near{{Point: p, Rows: 3}, {Point: p, Rows: 3, Distance: 0.4}}}
	}
	year := func(eur, kwh float64) *advise.Year {
		return &advise.Year{EUR: around(eur), KWh: around(kwh), Parts: []advise.Part{{What: "machines", EUR: around(0.8 * eur), KWh: around(kwh), Fixed: true, Source: "a small machine, price list of 2026-11-01"},
			{What: "disk, 10 years", EUR: around(0.2 * eur), Source: "0.05 EUR per GB and month, price list of 2026-11-01"}}}
	}
	at := func(engine string, nodes int) explore.Point {
		return explore.Point{Engine: engine, Nodes: nodes, Devices: 400, Rate: 12, Readings: 10, Suites: "ed25519", Verify: "full", LingerMS: 25, Segment: 1024, RTTMS: 20, Fault: "none"}
	}
	option := func(name string, place int, p explore.Point, p99, capacity, eur float64) advise.Option {
		return advise.Option{Name: name, Kind: p.Engine, Place: place, Point: &p, Figures: figures(p99, capacity, p), Year: year(eur, eur/3)}
	}
	first := option("raft, 3 members", 1, at("raft", 3), 110, 9000, 540)
	first.Binding = []string{"needs.survive is organisation: without it solo with witnesses costs €210 less"}
	first.Members = []string{"city", "utility", "maintainer"}
	first.Classes = []advise.ClassAdvice{
		{Class: "lamps", Suite: "ed25519", EverySec: 900, Readings: 3, Via: "direct", UJADay: around(740_000), Because: "a signature of its own, which everybody can check"},
		{Class: "heat meters", Suite: "hmac-sha256", EverySec: 3600, Readings: 1, Via: "gateway", UJADay: around(30_000), BatteryDays: around(4100), Because: "They share a secret with a gateway, which signs for them."},
	}
	comet := option("comet, 4 members", 2, at("comet", 4), 320, 4000, 760)
	solo := option("solo, 2 witnesses", 0, at("solo", 1), 48, 12000, 330)
	solo.Out = []string{"needs.survive is organisation, and there is one member"}
	dark := advise.Option{Name: "comet, 7 members", Kind: "comet", Unmeasured: true, Out: []string{"unmeasured: comet: nodes 7 is outside what was measured, 4 to 4"}}
	return &advise.Answer{V: 1, Fleet: fleet, Verdict: "lamppost", Summary: "Keep it with raft on three machines, one of each organisation: they believe each other, and one of them may be lost. It takes some €540 a year, nearly all of it for the machines.",
		Gate: []advise.Step{{Question: "Do several parties live with the books?", Answer: "yes", Because: "organisations: city, utility, maintainer"},
			{Question: "Is it enough that a lie is detected?", Answer: "yes", Because: "needs.check is parties: whoever checks finds a lie, and needs.nobody_alone is false"}},
		Demand: advise.Demand{ReadingsPerS: 40, ReadingsADay: 1_152_000, LatencyMS: 5000},
		Options: []advise.Option{first, comet, {Name: "Hedera Consensus Service", Kind: "outside", Place: 3, Year: &advise.Year{EUR: around(9200), Parts: []advise.Part{{What: "fees", EUR: around(9200), Source: "https://docs.hedera.com/fees, 2026-11-20"}}},
			Notes: []string{"Fee of a message as listed on 2026-11-20, converted at that day’s rate."}}, solo, dark,
			{Name: "PostgreSQL with backups", Kind: "database", Out: []string{"others do not take its operator’s word"}, Year: year(260, 110)}},
		Flips:  []advise.Flip{{Field: "needs.survive", From: "organisation", To: "nothing", Then: "solo, 2 witnesses"}, {Field: "organisations.utility.trusts", From: "city, maintainer", To: "nobody", Then: "comet, 4 members"}},
		Config: "# for lamppost serve --config\nnetwork: street\nlinger: 25ms\nsegment: 1024\n", Next: []string{"lamppost init network street --engine raft --members city.yaml,utility.yaml,maintainer.yaml --trust city,utility,maintainer --data ./node"},
		Assumed: []string{"machines of 45 EUR a month each, price list of 2026-11-01"},
		Silent:  []string{"members that a satellite connects: no round trip over 100 ms was measured"},
		Rows:    advise.Source{Commit: "6daa11d4c2b1", Machine: "2 CPUs, Intel Xeon", From: "2026-11-26T06:51:00Z", Points: 228, Rows: 684}}
}

// What is filled in is what the node is asked, and its answer is told in words, a table and a picture, at the sizes and in the schemes that
// people have, without breaking a rule of WCAG.
func testAdvise(t *testing.T, ctx context.Context) {
	d := newDistrict(t)
	url := d.serve(t).URL
	for _, size := range [][2]int64{{390, 844}, {1280, 900}, browsertest.Phone} {
		for _, scheme := range []string{"light", "dark"} {
			p := browsertest.Open(t, ctx, url, size)
			p.Prefer(scheme)
			p.Visit("#/advise", "#class-1-name")
			pick(p, "House with sub-meters")
			p.Run(chromedp.Click(chromedp.CSS("#fleet button[type=submit]")))
			p.WaitText("#verdict", "Keep it with raft on three machines")
			p.Wait("document.querySelectorAll('#tradeoff circle').length === 3")
			browsertest.Value[int](p, "[...document.querySelectorAll('#advice details')].map((e) => (e.open = true)).length")
			if over := browsertest.Value[[]string](p, browsertest.Overflow); len(over) > 0 {
				t.Errorf("at %d: wider than the screen: %q", size[0], over)
			}
			if pale := browsertest.Value[[]string](p, browsertest.PaleText); len(pale) > 0 {
				t.Errorf("at %d, %s: contrast under 4.5:1: %q", size[0], scheme, pale)
			}
			browsertest.Value[bool](p, "scrollTo(0, 0) === undefined") // nothing is under the header
			for _, broken := range p.Violations() {
				t.Errorf("at %d, %s: %s", size[0], scheme, broken)
			}
			p.Clean()
			shootWhole(p, fmt.Sprintf("advice-%d-%s", size[0], scheme))
		}
	}

	p := browsertest.Open(t, ctx, url, browsertest.Desktop)
	dir := t.TempDir()
	p.SaveTo(dir)
	p.Visit("#/advise", "#class-1-name")
	pick(p, "City's street lamps")
	p.Set("#class-2-devices", "4100")
	p.Run(chromedp.Click(chromedp.CSS("#class-2-ed25519")), chromedp.Click(chromedp.CSS("#class-more")))
	for field, text := range map[string]string{"name": "signs", "devices": "20", "readings": "24", "power": "battery", "wh": "12.5", "years": "3", "link": "lora"} {
		p.Set("#class-3-"+field, text)
	}
	p.Run(chromedp.Click(chromedp.CSS("#class-3-ed25519")), chromedp.Click(chromedp.CSS("#class-3-site")), chromedp.Click(chromedp.CSS("#org-3-trusts-1")))
	p.Set("#org-2-name", "city of Riverside") // who trusts it still does
	p.Set("#need-stay", "de, nl")
	p.Run(chromedp.Click(chromedp.CSS("#need-personal")), chromedp.Click(chromedp.CSS("#fleet button[type=submit]")))
	p.WaitText("#verdict", "Keep it with raft on three machines")
	if want := streetFleet(); !reflect.DeepEqual(d.fleet, want) {
		t.Errorf("the node is asked\n%+v, want\n%+v", d.fleet, want)
	}
	for selector, want := range map[string][]string{
		"#verdict": {"The advice for City's street lamps", "raft, 3 members", "88 to 143 ms", "€432 to €702", "7,200 to 11,700 a second", "40 a second are asked for", "run by city, utility and maintainer", "144 to 234 kWh", "without it solo with witnesses costs"},
		"#why":     {"Is it enough that a lie is detected? yes", "needs.check is parties"},
		"#options": {"3 members, segments of up to 1,024 after 25 ms", "Hedera Consensus Service", "Not measured", "needs.survive is organisation, and there is one member", "7,360 to 12,000"},
		"#classes": {"Signs with Ed25519, reports every 15 min with 3 readings, directly.", "A signature of its own, which everybody can check.", "through a gateway", "Its battery lasts 9 to 15 years.", "24 to 39 mJ a day"},
		"#flips":   {"needs.survive nothing instead of organisation: solo, 2 witnesses"},
		"#config":  {"segment: 1024", "lamppost init network street"},
		"#rests":   {"machines of 45 EUR a month", "684 measurements of 228 settings", "6daa11d4c2b1", "no round trip over 100 ms was measured"},
	} {
		for _, w := range want {
			if got := p.Text(selector); !strings.Contains(got, w) {
				t.Errorf("%s says %q, want %q in it", selector, got, w)
			}
		}
	}
	if got := browsertest.Value[string](p, "document.activeElement.id"); got != "verdict-h" {
		t.Errorf("the focus is on %q, want the answer", got)
	}
	p.Run(chromedp.Click(chromedp.CSS("#config .main")))
	p.WaitText("#config", "Saved as node.yaml.")
	path := filepath.Join(dir, "node.yaml")
	saved := func() bool { raw, err := os.ReadFile(path); return err == nil && string(raw) == advice("").Config }
	for range 200 {
		if saved() {
			break
		}
		browsertest.Value[int](p, `new Promise((done) => setTimeout(() => done(1), 20))`) // the browser writes the file in its own time
	}
	if !saved() {
		t.Errorf("the configuration was not saved in %s", dir)
	}

	p.Visit("#/network", ".members li") // what was filled in and answered is still there afterwards
	p.Visit("#/advise", "#verdict")
	p.Denied = true // the console says that the node refuses
	p.Set("#class-1-readings", "900000")
	p.Run(chromedp.Click(chromedp.CSS("#fleet button[type=submit]")))
	p.WaitText("#fleet [role=alert]", "classes.lamp.readings_a_day")
	if got := browsertest.Value[string](p, "document.activeElement.id + !!document.querySelector('#verdict')"); got != "class-1-readingsfalse" {
		t.Errorf("focus and an old answer are %q, want the field that is wrong", got)
	}
	p.Clean()
}

// A fleet's file is chosen or dropped, and fills the form; one that is wrong says where, and leaves the form alone; what is filled in is saved as a file
// that lamppost advise takes.
func testFleetFile(t *testing.T, ctx context.Context) {
	d := newDistrict(t)
	url := d.serve(t).URL
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	wrong := write("wrong.yaml", strings.Replace(advise.Example, "link: ", "link: pigeon # ", 1))
	for _, size := range [][2]int64{{390, 844}, {1280, 900}} {
		p := browsertest.Open(t, ctx, url, size)
		p.SaveTo(dir)
		p.Visit("#/advise", "#class-1-name")
		choose := func(path string) {
			p.Run(chromedp.SetUploadFiles(chromedp.CSS("#fleet-file"), []string{path}))
		}
		choose(write("mine.yaml", advise.Example))
		p.WaitText("#filled", "“mine.yaml” is filled in.")
		want, err := advise.ReadFile([]byte(advise.Example))
		if err != nil {
			t.Fatal(err)
		}
		p.Denied = true // the console says that the node refuses
		choose(wrong)
		p.WaitText("#unread", "“wrong.yaml” was not taken.")
		_, err = advise.ParseFleet([]byte(strings.Replace(advise.Example, "link: ", "link: pigeon # ", 1)))
		if got := p.Text("#unread"); !strings.Contains(got, strings.SplitN(err.Error(), "\n", 2)[0]) {
			t.Errorf("a wrong file is refused with %q, and by the command line with %q", got, err)
		}
		if over := browsertest.Value[[]string](p, browsertest.Overflow); len(over) > 0 {
			t.Errorf("at %d: wider than the screen: %q", size[0], over)
		}
		browsertest.Value[bool](p, "scrollTo(0, 0) === undefined")
		for _, broken := range p.Violations() {
			t.Errorf("at %d: %s", size[0], broken)
		}
		shootWhole(p, fmt.Sprintf("fleet-file-%d", size[0]))
		p.Size(size)
		choose(write("huge.yaml", strings.Repeat(" ", advise.MaxFleetBytes+1)))
		p.WaitText("#unread", "257 KiB, and a fleet has 256 at most")

		p.Run(chromedp.Click(chromedp.CSS("#save-fleet")))
		p.WaitText("#fleet [role=status]", "Saved as "+want.Name)
		saved := filepath.Join(dir, want.Name)
		got := savedFile(p, saved)
		if f, err := advise.ReadFile(got); err != nil || written(t, f.Fleet) != written(t, want.Fleet) {
			t.Errorf("saved was\n%s(%v), want\n%s", got, err, want.File)
		}
		if err := os.Remove(saved); err != nil {
			t.Error(err)
		}
		raw, err := json.Marshal(streetFleet())
		if err != nil {
			t.Fatal(err)
		}
		browsertest.Value[bool](p, fmt.Sprintf(`(() => { const all = new DataTransfer(); all.items.add(new File([%q], 'street.json'));
			return document.querySelector('.drop').dispatchEvent(new DragEvent('drop', { dataTransfer: all, bubbles: true, cancelable: true })); })()`, raw))
		p.WaitText("#filled", "“street.json” is filled in.")
		p.Run(chromedp.Click(chromedp.CSS("#fleet button[type=submit]")))
		p.WaitText("#verdict", "Keep it with raft on three machines")
		if got, want := written(t, d.fleet), written(t, streetFleet()); got != want {
			t.Errorf("dropped was %s, asked %s", want, got)
		}
		p.Clean()
	}
}

// savedFile waits for a file that the browser writes in its own time.
func savedFile(p *browsertest.Tab, path string) (raw []byte) {
	for range 200 {
		if raw, err := os.ReadFile(path); err == nil && len(raw) > 0 {
			return raw
		}
		browsertest.Value[int](p, `new Promise((done) => setTimeout(() => done(1), 20))`)
	}
	return nil
}

// shootWhole writes a picture of a whole page, where pictures are wanted.
func shootWhole(p *browsertest.Tab, name string) {
	if *screens != "" {
		p.Size([2]int64{browsertest.Value[int64](p, "innerWidth"), browsertest.Value[int64](p, "document.documentElement.scrollHeight")})
		p.Shoot(filepath.Join(*screens, name+".png"))
	}
}

func pick(p *browsertest.Tab, name string) {
	p.Wait("document.querySelectorAll('#fleet-example option').length === 13")
	p.Set("#fleet-example", browsertest.Value[string](p, fmt.Sprintf("[...document.querySelectorAll('#fleet-example option')].find((o) => o.innerText === %q).value", name)))
	p.WaitText("#filled", name)
}

// streetFleet is the street lamps as the test changes them.
func streetFleet() *advise.Fleet {
	return &advise.Fleet{Name: "City's street lamps",
		Classes: []advise.Class{{Name: "lamp", Devices: 4100, Signs: []string{"ed25519", "es256", "hmac-sha256"}, Power: "mains", Link: "zigbee", ReadingsADay: 96, LateMinutes: 60, Peak: 3, OnSite: true},
			{Name: "signs", Devices: 20, Signs: []string{"none"}, Power: "battery", BatteryWh: 12.5, BatteryYears: 3, Link: "lora", ReadingsADay: 24, LateMinutes: 15, Peak: 3, OnSite: true}},
		Organisations: []advise.Organisation{{Name: "city of Riverside", Runs: true, Trusts: []string{}, Place: "NL"}, {Name: "energy supplier", Runs: true, Trusts: []string{"city of Riverside"}, Place: "NL"}},
		Needs:         advise.Needs{LatencyMS: 5000, Survive: "machine", Check: "parties", RTTMS: 5, RetentionYears: 7, PersonalData: true, StayIn: []string{"DE", "NL"}, ValueADay: 9000, BudgetAYear: 40_000}}
}

// Each fleet that one may begin with is that of its file in examples/fleets, and gets the answer that its kind gets, from the measurements that the
// program brings along.
func testAdviseForReal(t *testing.T, ctx context.Context) {
	rows, err := advise.Shipped()
	if err != nil {
		t.Fatal(err)
	}
	d := newDistrict(t)
	d.advised = func(f *advise.Fleet) (*advise.Answer, error) { return advise.Advise(f, rows) }
	p := browsertest.Open(t, ctx, d.serve(t).URL, [2]int64{390, 844})
	p.Visit("#/advise", "#class-1-name")
	for _, f := range [][2]string{{"house", "Lamppost, solo"}, {"lamps", "Lamppost, raft"}, {"charging", "Lamppost, comet"}, {"factory", "PostgreSQL"}} {
		want := f[1]
		text, err := os.ReadFile("../../examples/fleets/" + f[0] + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		fleet, err := advise.ParseFleet(text)
		if err != nil {
			t.Fatal(err)
		}
		title := fleet.Name
		pick(p, title)
		p.Run(chromedp.Click(chromedp.CSS("#fleet button[type=submit]")))
		p.WaitText("#verdict", "The advice for "+fleet.Name)
		if got, want := written(t, d.fleet), written(t, fleet); got != want {
			t.Errorf("%s is not the fleet of its file:\n%s, want\n%s", title, got, want)
		}
		if got := p.Text("#options tbody tr:first-child"); !strings.HasPrefix(got, "1") || !strings.Contains(got, want) {
			t.Errorf("%s is answered %q, want %q first", title, got, want)
		}
		if over := browsertest.Value[[]string](p, browsertest.Overflow); len(over) > 0 {
			t.Errorf("%s: wider than the screen: %q", title, over)
		}
		shootWhole(p, "advice-"+f[0])
		p.Size([2]int64{390, 844})
	}
	browsertest.Value[bool](p, "scrollTo(0, 0) === undefined")
	if broken := p.Violations(); len(broken) > 0 {
		t.Errorf("axe: %q", broken)
	}
	p.Clean()
}

// written is a fleet as JSON, in which nothing is an empty list.
func written(t *testing.T, f *advise.Fleet) string {
	t.Helper()
	raw, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(raw), "null", "[]")
}
