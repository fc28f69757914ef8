package dashboard_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/lamppost/lamppost/internal/dashboard/browsertest"
	"github.com/lamppost/lamppost/internal/render"
)

var screens = flag.String("screens", "", "write screenshots of all pages into this directory")

// views are the pages with what must stand on them, once loaded.
var views = []struct{ name, hash, ready, heading string }{
	{"fleet", "#/", ".rows li:nth-child(52)", "The fleet at a glance"},
	{"lamp", "#/device/lamp-05", ".chart canvas", "Lamp 5"},
	{"lamp-silent", "#/device/lamp-17", ".chart canvas", "Lamp 17"},
	{"lamp-quarantined", "#/device/lamp-31", ".note.bad", "Lamp 31"},
	{"flat", "#/device/flat-3", ".chart canvas", "Flat 3"},
	{"alarms", "#/alarms", "#alarms > li:nth-child(4)", "Alarms"},
	{"alarms-of", "#/alarms/flat-3", "#alarms > li canvas", "Alarms"},
	{"agents", "#/agents", "#agents > li", "Agents"},
	{"agent", "#/agents/charger-1", "#decisions > li:nth-child(2)", "Charger 1"},
	{"log", "#/log", ".entries li:nth-child(14)", "The log"},
	{"proof", "#/log/402/0", ".result", "The log"},
	{"bills", "#/bills", ".bills tbody tr:nth-child(13)", "Bills"},
	{"bill", "#/bill/riverside-000003", "#bill-total", "riverside-000003"},
	{"bill-estimated", "#/bill/riverside-000007", "#bill-total", "riverside-000007"},
	{"bill-corrected", "#/bill/riverside-000013", "#bill-corrects", "riverside-000013"},
	{"bill-replaced", "#/bill/riverside-000009", "#bill-replaced", "riverside-000009"},
	{"sessions", "#/sessions", ".cases li:nth-child(4)", "Sessions"},
	{"disputes", "#/disputes", ".cases li:nth-child(3)", "Disputes"},
	{"profits", "#/profit", ".cases li", "Profit"},
	{"profit", "#/profit/charger-1", "#periods tbody tr:nth-child(3)", "Charger 1"},
	{"accounts", "#/accounts", ".accounts tbody tr:nth-child(3)", "Accounts"},
	{"point", "#/point/flat-9", ".cases li:nth-child(2)", "flat-9"},
	{"network", "#/network", ".members li", "The network"},
	{"advise", "#/advise", "#class-1-name", "Advise"},
}

// TestInBrowser loads the pages in chromium, as people do.
func TestInBrowser(t *testing.T) {
	t.Parallel()
	ctx := browsertest.Start(t)
	for name, test := range map[string]func(*testing.T, context.Context){
		"pages fit": testPagesFit, "numbers move": testNumbersMove, "numbers move without events": testPolling,
		"proof": testProof, "bill": testBill, "login": testLogin, "hostile names": testHostileNames,
		"statement": testStatement, "hand over": testHandOver, "chart": testChart, "find": testFind, "broker": testBroker, "adopt": testAdopt, "arithmetic": testArithmetic,
		"lies": testLies, "witnesses": testWitnesses, "copies": testCopies, "keyboard": testKeyboard, "keys": testKeys, "guard": testGuard, "keeping": testKeeping, "network": testNetwork,
		"bill to read": testBillToRead, "sessions": testSessions, "disputes": testDisputes, "profit": testProfit, "accessible": testAccessible, "alarms": testAlarms, "alarms by key": testAlarmsByKey, "agents": testAgents, "ahead": testAhead, "advise": testAdvise, "advise for real": testAdviseForReal, "fleet file": testFleetFile,
	} {
		t.Run(name, func(t *testing.T) { test(t, ctx) })
	}
}

// Every page shows its heading at both sizes and in both schemes, never wider than the screen, with readable contrast,
// no error and no request elsewhere.
func testPagesFit(t *testing.T, ctx context.Context) {
	d := newDistrict(t)
	d.pending, d.broker = d.waiting(), brokerAt(false, "connecting to mqtts://broker.riverside.example:8883: connection refused")
	server := d.serve(t)
	for _, size := range [][2]int64{browsertest.Phone, browsertest.Desktop} {
		for _, scheme := range []string{"light", "dark"} {
			p := browsertest.Open(t, ctx, server.URL, size)
			p.Prefer(scheme)
			for _, v := range views {
				p.Visit(v.hash, v.ready)
				openForms(p)
				if got := p.Text("h1"); got != v.heading {
					t.Errorf("%s at %d: heading %q, want %q", v.name, size[0], got, v.heading)
				}
				if over := browsertest.Value[[]string](p, browsertest.Overflow); len(over) > 0 {
					t.Errorf("%s at %d: wider than the screen: %q", v.name, size[0], over)
				}
				if pale := browsertest.Value[[]string](p, browsertest.PaleText); len(pale) > 0 {
					t.Errorf("%s at %d, %s: contrast under 4.5:1: %q", v.name, size[0], scheme, pale)
				}
			}
			p.Clean()
		}
	}
}

// openForms opens what a page keeps folded to adopt a device.
func openForms(p *browsertest.Tab) {
	browsertest.Value[int](p, `[...document.querySelectorAll('.waiting button[aria-expanded=false]')].filter((b) => b.checkVisibility()).slice(0, 1).map((b) => b.click()).length`)
	browsertest.Value[int](p, `[...document.querySelectorAll('.cases details, #dispute-h ~ details')].slice(0, 1).map((e) => (e.open = true)).length`)
}

// The headline shows the node's totals and follows an event without anybody reloading.
func testNumbersMove(t *testing.T, ctx context.Context) {
	d := newDistrict(t)
	p := browsertest.Open(t, ctx, d.serve(t).URL, browsertest.Desktop)
	p.Visit("#/", ".rows li")
	const readings = "#headline .tile:nth-child(2) .figure"
	p.WaitText(readings, grouped(d.readings))
	p.WaitText("#link", "Live")
	energy := p.Text(".rows li:last-child .values dd")
	d.advance()
	p.WaitText(readings, grouped(d.readings))
	p.Wait(fmt.Sprintf("document.querySelector('.rows li:last-child .values dd').innerText !== %q", energy))
	for selector, want := range map[string]string{
		"#headline .tile:nth-child(1)": "50\nof 52", "#headline .tile:nth-child(4)": "€", "#headline .tile:nth-child(5)": "2 × wrong signature",
		".rows li:first-child": "Quarantined", ".rows li:nth-child(2)": "Silent",
	} {
		if got := p.Text(selector); !strings.Contains(got, want) {
			t.Errorf("%s shows %q, want %q in it", selector, got, want)
		}
	}
	p.Clean()
}

// grouped writes a number as an English reader does.
func grouped(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Where the stream of events is not to be had, the page asks every few seconds and says so.
func testPolling(t *testing.T, ctx context.Context) {
	d := newDistrict(t)
	d.streams = false
	p := browsertest.Open(t, ctx, d.serve(t).URL, browsertest.Phone)
	p.Visit("#/", ".rows li")
	p.WaitText("#link", "Every 3 s")
	d.advance()
	p.WaitText("#headline", grouped(d.readings))
}

// A proof is computed in the browser: green for what is in the log, red for a wrong path or one changed bit.
func testProof(t *testing.T, ctx context.Context) {
	d := newDistrict(t)
	p := browsertest.Open(t, ctx, d.serve(t).URL, browsertest.Desktop)
	p.Visit("#/log", ".entries li")
	p.WaitText("#verified", "drawn by lot: 1 report turned out to be false and was corrected")
	p.Run(chromedp.Click(chromedp.CSS(".entries li:nth-child(3) a")))
	p.WaitText(".result", "It is in the log, unchanged.")
	if ok := browsertest.Value[int](p, "document.querySelectorAll('.checks .ok').length"); ok != 4 {
		t.Errorf("%d checks are green, want 4: %s", ok, p.Text(".checks"))
	}
	if steps := browsertest.Value[int](p, "document.querySelectorAll('.steps li').length"); steps < 5 {
		t.Errorf("%d steps of the path are shown, want those of a log of %d", steps, len(d.leaves))
	}
	p.Run(chromedp.Click(chromedp.CSS("#tamper")))
	p.WaitText(".result.bad", "One bit is enough.")
	p.Run(chromedp.Click(chromedp.CSS("#tamper")))
	p.WaitText(".result.ok", "unchanged")
	p.Clean()

	d = newDistrict(t)
	d.tamper = true
	p = browsertest.Open(t, ctx, d.serve(t).URL, browsertest.Phone)
	p.Visit("#/log/300/0", ".result")
	if got := browsertest.Value[string](p, "document.querySelector('.result').dataset.ok"); got != "false" {
		t.Errorf("a wrong path is shown as %s: %s", got, p.Text("#proof"))
	}
	p.WaitText(".checks", "Not so: Joined step by step")
	p.Clean()
}

// The log's page says who has cosigned it and who does not, and where a witness holds another history every page says that
// the node stands still, and the log's shows both signed notes, at both sizes and in both schemes.
func testWitnesses(t *testing.T, ctx context.Context) {
	d := newDistrict(t)
	p := browsertest.Open(t, ctx, d.serve(t).URL, browsertest.Phone)
	p.Visit("#/log", ".witnesses li:nth-child(3)")
	p.WaitText("#cosigned", "2 of 3 have signed: "+grouped(int64(len(d.leaves)-4))+" entries, 4 newer ones to follow.")
	for i, want := range []string{"signing", "w1.utility.example", "9 s ago: it cannot be reached"} {
		p.WaitText(fmt.Sprintf(".witnesses li:nth-child(%d)", i+1), want)
	}
	if got := browsertest.Value[int](p, "document.querySelectorAll('#conflict, #alarm *').length"); got != 0 {
		t.Errorf("%d pieces of an alarm are shown without one", got)
	}
	p.Clean()

	d = newDistrict(t)
	d.forked = true
	url := d.serve(t).URL
	for _, size := range [][2]int64{browsertest.Phone, browsertest.Desktop} {
		for _, scheme := range []string{"light", "dark"} {
			p := browsertest.Open(t, ctx, url, size)
			p.Prefer(scheme)
			p.Visit("#/", ".rows li")
			p.WaitText("#alarm", "This node stands still")
			p.Run(chromedp.Click(chromedp.CSS("#alarm a")))
			p.WaitText("#conflict", "holds a checkpoint of "+fmt.Sprint(len(d.leaves)+12)+" entries")
			if got := browsertest.Value[int](p, "[...document.querySelectorAll('#conflict pre')].filter((e) => e.textContent.includes('— riverside/north ')).length"); got != 2 {
				t.Errorf("%d signed notes are shown, want both", got)
			}
			if over := browsertest.Value[[]string](p, browsertest.Overflow); len(over) > 0 {
				t.Errorf("at %d: wider than the screen: %q", size[0], over)
			}
			if pale := browsertest.Value[[]string](p, browsertest.PaleText); len(pale) > 0 {
				t.Errorf("at %d, %s: contrast under 4.5:1: %q", size[0], scheme, pale)
			}
			p.Clean()
		}
	}
}

// What a guard decided is told in words, and so is that nobody answers.
func testGuard(t *testing.T, ctx context.Context) {
	d := newDistrict(t)
	p := browsertest.Open(t, ctx, d.serve(t).URL, browsertest.Phone)
	p.Visit("#/device/lamp-17", ".guard li")
	p.WaitText(".guard li", "light (public) runs at 30 %; city asks for 10 % (power is scarce): not below its minimum")
	p.WaitText(".guard + .quiet", "Its guard spoke ")
	p.WaitText("#desired", "The device does otherwise: level is 30 %, not 10: not below its minimum.")
	p.WaitText(".desired li", "level should be 10")
	p.WaitText(".desired + .quiet", "Revision 3 by ann")
	p.Visit("#/device/flat-3", ".keys li")
	p.WaitText(".guard + .quiet", "1 restriction asked for. No guard has answered, so nothing reaches the device.")
}

// The device page tells how each key came, and ends the one in use only with a reason, after which nothing more is offered.
func testKeys(t *testing.T, ctx context.Context) {
	d := newDistrict(t)
	p := browsertest.Open(t, ctx, d.serve(t).URL, browsertest.Phone)
	p.Visit("#/device/flat-3", ".keys li:nth-child(2)")
	p.WaitText(".keys li:first-child", "Set by north, the operator: the key before did not sign the change.")
	p.Visit("#/device/lamp-05", ".keys li:nth-child(2)")
	p.WaitText(".keys li:first-child", "In use")
	p.WaitText(".keys li:first-child", "The device changed to it by itself")
	p.WaitText(".keys li:nth-child(2)", "Counts until")
	p.Run(chromedp.Click(chromedp.CSS(".keys + details summary")))
	p.Run(chromedp.Click(chromedp.CSS(".keys + details button")))
	if d.revokedOf("lamp-05") != "" {
		t.Error("a key was revoked without a reason")
	}
	p.Run(chromedp.SendKeys(chromedp.CSS("#revoke-reason"), "stolen on Monday"))
	p.Run(chromedp.Click(chromedp.CSS(".keys + details button")))
	p.WaitText(".keys li:first-child .pill.bad", "stolen on Monday")
	p.Wait("document.querySelector('.keys + details').hidden")
	if got := d.revokedOf("lamp-05"); got != "stolen on Monday" {
		t.Errorf("the node was told %q", got)
	}
	p.Clean()
}

func (d *district) revokedOf(id string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.revoked[id]
}

// Every place of a log of every size up to 70 is proved, and no other size, place or path: the arithmetic of merkle.js
// is compared with package tlog's, which the node uses.
func testArithmetic(t *testing.T, ctx context.Context) {
	d := newDistrict(t)
	p := browsertest.Open(t, ctx, d.serve(t).URL, browsertest.Desktop)
	p.Visit("#/bills", ".bills")
	cases, err := json.Marshal(proofCases())
	if err != nil {
		t.Fatal(err)
	}
	wrong := browsertest.Value[[]string](p, fmt.Sprintf(`(async () => {
		const m = await import('/static/js/merkle.js'), f = await import('/static/js/format.js'), wrong = [];
		for (const c of %s) {
			const walk = async (size, path) => { try { return m.toHex((await m.walk(m.fromHex(c.leaf), c.index, size, path.map(m.fromHex))).root); } catch { return ''; } };
			if (await walk(c.size, c.path) !== c.root) wrong.push('refused ' + c.index + '/' + c.size);
			if (await walk(c.index, c.path) !== '') wrong.push('place beyond the size ' + c.index);
			if (c.path.length && await walk(c.size, c.path.slice(1)) !== '') wrong.push('short path ' + c.index + '/' + c.size);
			if (await walk(c.size, [...c.path, c.leaf]) !== '') wrong.push('long path ' + c.index + '/' + c.size);
		}
		for (let n = 0; n < 200; n++) {
			const bytes = Uint8Array.from({ length: n }, (_, i) => i * 7 + n);
			if (m.toHex(m.sha256Plain(bytes)) !== m.toHex(await m.sha256(bytes))) wrong.push('SHA-256 of ' + n + ' bytes');
		}
		const equal = (got, want) => got === want || wrong.push(got + ' instead of ' + want);
		equal(f.shift('1234.5', -3), '1.2345'); equal(f.shift('7', -3), '0.007'); equal(f.shift('-0.19', 2), '-19');
		equal(f.shift('0.5', 3), '500'); equal(f.shift('1900', -2), '19.00');
		equal(f.money('9007199254740993.01', 'EUR'), '€9,007,199,254,740,993.01'); equal(f.price('0.3112', 'EUR'), '€0.3112');
		equal(f.money('-0.12', 'EUR'), '-€0.12'); equal(f.money('5', 'no currency'), '5 no currency'); equal(f.quantity('1285043', 'Wh'), '1,285.043 kWh');
		equal(f.ago(1000, 91_000), '2 min ago');
		return wrong;
	})()`, cases))
	if len(wrong) > 0 {
		t.Errorf("wrong: %q", wrong)
	}
	p.Clean()
}

// Whatever a node lies about in a proof, the check that compares it turns red, and so does the whole.
func testLies(t *testing.T, ctx context.Context) {
	p := browsertest.Open(t, ctx, newDistrict(t).serve(t).URL, browsertest.Desktop)
	p.Visit("#/bills", ".bills tbody tr")
	got := browsertest.Value[map[string]string](p, `(async () => {
		const { check } = await import('/static/js/merkle.js');
		const proof = await (await fetch('/api/log/proof?height=300&index=0')).json();
		const [origin, size, root, ...rest] = proof.checkpoint.split('\n');
		const otherRoot = btoa(String.fromCharCode(...new Uint8Array(32)));
		const lies = {
			none: {}, height: { height: 301 }, index: { index: 1 },
			leaf: { leaf: proof.leaf.slice(0, -1) + (proof.leaf.endsWith('0') ? '1' : '0') },
			leaf_hash: { leaf_hash: proof.root }, root: { root: proof.leaf_hash }, path: { path: [...proof.path].reverse() },
			short: { path: proof.path.slice(0, -1) }, place: { leaf_index: proof.leaf_index + 1 }, size: { size: proof.size - 1 },
			signed_root: { checkpoint: [origin, size, otherRoot, ...rest].join('\n') },
			signed_size: { checkpoint: [origin, Number(size) + 1, root, ...rest].join('\n') },
		};
		const got = {};
		for (const [name, { height = 300, index = 0, ...change }] of Object.entries(lies)) {
			const result = await check({ ...proof, ...change }, height, index);
			got[name] = (result.ok ? 'ok ' : 'bad ') + result.list.filter((c) => !c.ok).map((c) => c.name).join(' ');
		}
		return got;
	})()`)
	want := map[string]string{"none": "ok ", "height": "bad entry", "index": "bad entry", "leaf": "bad fingerprint root checkpoint",
		"leaf_hash": "bad fingerprint", "root": "bad root", "path": "bad root checkpoint", "short": "bad root checkpoint", "place": "bad root checkpoint",
		"size": "bad checkpoint", "signed_root": "bad checkpoint", "signed_size": "bad checkpoint"}
	if !maps.Equal(got, want) {
		t.Errorf("the lies are answered\n%q, want\n%q", got, want)
	}
	p.Clean()
}

// The bill's page shows the figures that package tariff computed, line by line.
func testBill(t *testing.T, ctx context.Context) {
	d := newDistrict(t)
	p := browsertest.Open(t, ctx, d.serve(t).URL, browsertest.Desktop)
	p.Visit("#/bills", ".bills tbody tr")
	p.Run(chromedp.Click(chromedp.CSS(`.bills a[href="#/bill/riverside-000007"]`)), chromedp.WaitVisible(chromedp.CSS("#bill-total")))
	bill := d.invoices[6]
	want := []string{"Riverside Housing", "Goran Petrović", "Mill House, flat 7", "Night", "Day", "Standing charge", "7 days", "€0.3112 / kWh", "€0.19 / kWh",
		"€0.25 / day", "estimated", "Tax 19 % on €" + bill.Net.String(), "€" + bill.Net.String(), "€" + bill.Tax[0].Amount.String(), "€" + bill.Total.String(),
		"Nov 16, 2026, 12:00", "Europe/Berlin (GMT+1)"}
	for _, l := range bill.Supplies[0].Lines {
		want = append(want, "€"+l.Amount.String())
	}
	got := strings.NewReplacer("\u202f", " ", "\u2009", " ").Replace(p.Text(".paper"))
	for _, w := range want {
		if !strings.Contains(got, w) {
			t.Errorf("the bill does not show %q:\n%s", w, got)
		}
	}
	edges := bill.Supplies[0].Edges
	if first, last := kwh(edges[0].Value.Mantissa), kwh(edges[len(edges)-1].Value.Mantissa); !strings.Contains(got, first) || !strings.Contains(got, last) {
		t.Errorf("the bill does not show the registers %s and %s:\n%s", first, last, got)
	}
	p.Run(chromedp.Click(chromedp.CSS(`a.button[href^="#/log/"]`)))
	p.WaitText(".result", "It is in the log, unchanged.")
	p.Clean()
}

func kwh(wattHours int64) string {
	return fmt.Sprintf("%s.%03d kWh", grouped(wattHours/1000), wattHours%1000)
}

// The statement is saved under its name, waiting while it is not yet published.
func testStatement(t *testing.T, ctx context.Context) {
	d := newDistrict(t)
	d.notReady = 1
	p := browsertest.Open(t, ctx, d.serve(t).URL, browsertest.Phone)
	dir := t.TempDir()
	p.SaveTo(dir)
	p.Visit("#/bill/riverside-000003", "#bill-total")
	p.Run(chromedp.Click(chromedp.CSS("#check-h ~ .buttons .main")))
	p.WaitText("#main", "Saved as statement.json.")
	p.WaitText(".command", "lamppost verify --pin network.pin statement.json")
	path := filepath.Join(dir, "statement.json")
	for range 200 {
		if raw, err := os.ReadFile(path); err == nil && strings.Contains(string(raw), `"party":"tenant-3"`) {
			return
		}
		browsertest.Value[int](p, `new Promise((done) => setTimeout(() => done(1), 20))`) // the browser writes the file in its own time
	}
	t.Errorf("statement.json was not saved in %s", dir)
}

// A bill is saved for its reader in the format and language that were chosen, which are all that the node writes.
func testBillToRead(t *testing.T, ctx context.Context) {
	d := newDistrict(t)
	p := browsertest.Open(t, ctx, d.serve(t).URL, browsertest.Desktop)
	dir := t.TempDir()
	p.SaveTo(dir)
	p.Visit("#/bill/riverside-000003", "#copy-lang")
	langs := browsertest.Value[[]string](p, "[...document.querySelectorAll('#copy-lang option')].map((o) => o.value).filter(Boolean)")
	formats := browsertest.Value[[]string](p, "[...document.querySelectorAll('.copies button')].map((b) => b.dataset.format)")
	slices.Sort(formats)
	if want := slices.Sorted(slices.Values(render.Formats)); !slices.Equal(langs, render.Languages()) || !slices.Equal(formats, want) {
		t.Errorf("languages %q and formats %q, the node writes %q and %q", langs, formats, render.Languages(), want)
	}
	p.Set("#copy-lang", "nl")
	p.Run(chromedp.Click(chromedp.CSS(".copies [data-format=pdf]")))
	p.WaitText("#main", "Saved as invoice-riverside-000003.pdf.")
	for range 200 {
		if raw, err := os.ReadFile(filepath.Join(dir, "invoice-riverside-000003.pdf")); err == nil && string(raw) == "pdf of riverside-000003 in nl" {
			p.Clean()
			return
		}
		browsertest.Value[int](p, `new Promise((done) => setTimeout(() => done(1), 20))`) // the browser writes the file in its own time
	}
	t.Errorf("the bill was not saved in %s", dir)
}

// The pages keep WCAG 2.2 AA as far as axe-core can tell: every other one on a phone in the dark, the others on a desk by light.
func testAccessible(t *testing.T, ctx context.Context) {
	d := newDistrict(t)
	d.pending, d.broker = d.waiting(), brokerAt(false, "connecting to mqtts://broker.riverside.example:8883: connection refused")
	server := d.serve(t)
	for i, v := range views {
		size, scheme := browsertest.Desktop, "light"
		if i%2 == 0 {
			size, scheme = browsertest.Phone, "dark"
		}
		p := browsertest.Open(t, ctx, server.URL, size)
		p.Prefer(scheme)
		p.Visit(v.hash, v.ready)
		openForms(p)
		browsertest.Value[int](p, `[...document.querySelectorAll(':is(ul, ol, tbody) > :nth-child(n+6)')].map((e) => e.remove()).length`) // rows are alike
		for _, broken := range p.Violations() {
			t.Errorf("%s at %d: %s", v.name, size[0], broken)
		}
	}
}

// The page that checks files gets them handed over, a statement and a receipt, and says what it finds.
func testHandOver(t *testing.T, ctx context.Context) {
	d := newDistrict(t)
	for hash, button := range map[string]string{"#/bill/riverside-000003": "#check-h ~ .buttons button:nth-child(2)", "#/device/lamp-05": "#receipt-h ~ .buttons button:nth-child(2)"} {
		p := browsertest.Open(t, ctx, d.serve(t).URL, browsertest.Phone)
		p.Visit(hash, button)
		browsertest.Value[bool](p, `(() => { const open = window.open; window.open = (...a) => (window.child = open.apply(window, a)); return true; })()`)
		p.Run(chromedp.Click(chromedp.CSS(button)))
		p.WaitText("#main", "Handed over to the page that checks it.")
		p.Wait(`child.document.querySelector('#result')?.innerText.includes('Do not trust this')`) // the fake's files have no proof
		p.Clean()
	}
}

// Without a token the page asks for it; a wrong one is refused in words, the right one opens the page that was asked for.
func testLogin(t *testing.T, ctx context.Context) {
	d := newDistrict(t)
	d.open = false
	p := browsertest.Open(t, ctx, d.serve(t).URL, browsertest.Phone)
	p.Denied = true
	p.Visit("#/bills", "#token")
	p.Run(chromedp.SendKeys(chromedp.CSS("#token"), "wrong\r"))
	p.WaitText(".login", "does not know this token")
	p.Run(chromedp.SendKeys(chromedp.CSS("#token"), token+"\r"), chromedp.WaitVisible(chromedp.CSS(".bills tbody tr")))
	if got := browsertest.Value[string](p, "document.cookie + JSON.stringify({...localStorage, ...sessionStorage}) + location.href"); strings.Contains(got, token) {
		t.Errorf("the token can be read by scripts or stands in the address: %s", got)
	}
	p.WaitText("#link", "Live")
	p.Clean()
}

// Names that carry markup are shown as they were typed and never run.
func testHostileNames(t *testing.T, ctx context.Context) {
	p := browsertest.Open(t, ctx, newDistrict(t).serve(t).URL, browsertest.Phone)
	p.Visit("#/", ".rows li")
	p.WaitText(".rows", hostile)
	p.Visit("#/device/lamp-13", ".chart canvas")
	if got := p.Text("h1"); got != hostile {
		t.Errorf("the name is shown as %q, want %q", got, hostile)
	}
	if got := browsertest.Value[string](p, "document.title + document.querySelectorAll('main img').length"); got != "lamp-13 – Lamppost0" {
		t.Errorf("title and images in the page are %q", got)
	}
	p.Clean()
}

// The chart draws what was picked and says it in words; a reading's numbers can be had as a table.
func testChart(t *testing.T, ctx context.Context) {
	p := browsertest.Open(t, ctx, newDistrict(t).serve(t).URL, browsertest.Phone)
	p.Visit("#/device/flat-3", ".chart canvas")
	p.WaitText("#main", "288 values from")
	p.Set("#window", "86400000")
	p.WaitText("#main", "97 values from")
	p.Run(chromedp.Click(chromedp.CSS(".picks button:first-child")))
	p.WaitText("#main", "Wh, highest")
	p.Set("#window", "2592000000") // from the archive
	p.WaitText("#main", "may be off by up to 12 Wh, which the band shows")
	p.WaitText("#main", "pruned: reports stay raw for 30 days")
	p.Set("#window", "3600000")
	p.WaitText("#main", "5 values from")
	for selector, want := range map[string]string{"#assurance": "device-signed · Ed25519", "#twin": "running total", "#balance": "€", "#sequence-h + .verdict": "Every report arrived"} {
		if got := browsertest.Value[string](p, fmt.Sprintf("document.querySelector(%q)?.textContent", selector)); !strings.Contains(got, want) {
			t.Errorf("%s shows %q, want %q in it", selector, got, want)
		}
	}
	p.Clean()
}

// The list can be narrowed by words and by state.
func testFind(t *testing.T, ctx context.Context) {
	p := browsertest.Open(t, ctx, newDistrict(t).serve(t).URL, browsertest.Desktop)
	p.Visit("#/", ".rows li")
	rows := func() int { return browsertest.Value[int](p, "document.querySelectorAll('.rows li').length") }
	p.Run(chromedp.SendKeys(chromedp.CSS("#find"), "mill flat"))
	if got := rows(); got != flats {
		t.Errorf("%d devices match the flats, want %d", got, flats)
	}
	p.Set("#find", "")
	p.Set("#state", "idle")
	if got := p.Text(".rows"); rows() != 1 || !strings.Contains(got, "Lamp 17") {
		t.Errorf("silent are %q, want lamp 17", got)
	}
	p.Clean()
}

// A broker that the node cannot reach is told of at the top of the fleet; one that it has reached, at the foot of every page.
func testBroker(t *testing.T, ctx context.Context) {
	d := newDistrict(t)
	d.broker = brokerAt(false, "logging in at mqtts://broker.riverside.example:8883: the broker does not know this user and password (reason 0x86)")
	p := browsertest.Open(t, ctx, d.serve(t).URL, browsertest.Phone)
	p.Visit("#/", ".rows li")
	p.WaitText(".note.warn", "out of reach since Nov 22, 2026")
	for _, want := range []string{"mqtts://broker.riverside.example:8883", "12 min ago", "does not know this user and password"} {
		if got := p.Text(".note.warn"); !strings.Contains(got, want) {
			t.Errorf("the page says %q, want %q in it", got, want)
		}
	}
	p.WaitText("#foot-node", "broker.riverside.example:8883 not connected")
	d.mu.Lock()
	d.broker = brokerAt(true, "")
	d.mu.Unlock()
	d.advance()
	p.WaitText("#foot-node", "broker.riverside.example:8883 connected")
	p.Wait("!document.querySelector('.note.warn')")
	p.Clean()
}

// What is wrong with the disk or with copies is said on every page, in words that fit, and goes when it is over. What comes from the
// node cannot be more than words.
func testCopies(t *testing.T, ctx context.Context) {
	d := newDistrict(t)
	d.ailing = true
	p := browsertest.Open(t, ctx, d.serve(t).URL, browsertest.Phone)
	for _, v := range []string{"#/", "#/log", "#/bills"} {
		p.Visit(v, "#alarm .note.bad")
		for _, want := range []string{"2 things on this node’s disk are not what was written", "archive/9c/9c56", "log, leaves 256 to 511", "2 erasures should be out of every file",
			"lamppost backup forget", "no space left on device", "doors ends in 12 days"} {
			if got := p.Text("#alarm"); !strings.Contains(got, want) {
				t.Errorf("%s says %q, want %q in it", v, got, want)
			}
		}
		if over := browsertest.Value[[]string](p, browsertest.Overflow); len(over) > 0 {
			t.Errorf("%s is wider than the screen: %q", v, over)
		}
		if pale := browsertest.Value[[]string](p, browsertest.PaleText); len(pale) > 0 {
			t.Errorf("%s: contrast under 4.5:1: %q", v, pale)
		}
	}
	d.mu.Lock()
	d.ailing = false
	d.mu.Unlock()
	d.advance()
	p.Wait("!document.querySelector('#alarm .note')")
	p.Clean()
}

// Who waits to be let in is shown, and adopted by a form that says what was chosen means; a refusal is in the node's words.
// Where nobody waits there is nothing of it.
func testAdopt(t *testing.T, ctx context.Context) {
	d := newDistrict(t)
	p := browsertest.Open(t, ctx, d.serve(t).URL, browsertest.Phone)
	p.Visit("#/", ".rows li")
	if shown := browsertest.Value[bool](p, "document.querySelector('#waiting').checkVisibility()"); shown {
		t.Error("nobody waits, and the page shows who does")
	}
	d.mu.Lock()
	d.pending = d.waiting()
	d.mu.Unlock()
	d.advance()
	p.WaitText("#waiting", "3 devices speak and nobody adopted them")
	p.WaitText("#waiting", "1 announced, without a key yet")
	if got := p.Text(".waiting li:first-child"); !strings.Contains(got, "kettle") || !strings.Contains(got, "on zigbee2mqtt/kettle, read as zigbee2mqtt") || !strings.Contains(got, "15 min ago") {
		t.Errorf("the latest is shown as %q", got)
	}
	if buttons := browsertest.Value[int](p, "[...document.querySelectorAll('.w-row button')].filter((b) => b.checkVisibility()).length"); buttons != 3 {
		t.Errorf("%d can be adopted, want the 3 that speak", buttons)
	}
	p.Run(chromedp.Click(chromedp.CSS(".waiting li:first-child .w-row button")))
	p.Wait("document.querySelectorAll('#owner-kettle option').length > 1")
	for field, want := range map[string]string{"owner": "", "name": "", "site": "", "safety": "essential", "assurance": "unsigned"} {
		if got := browsertest.Value[string](p, fmt.Sprintf("document.querySelector('#%s-kettle').value", field)); got != want {
			t.Errorf("%s is %q at first, want %q", field, got, want)
		}
	}
	p.WaitText("#assurance-kettle-words", "Nobody signed these values")
	p.Set("#assurance-kettle", "channel-authenticated")
	p.WaitText("#assurance-kettle-words", "The connection was checked")
	const adopt = ".waiting li:first-child .adopt button[type=submit]"
	p.Run(chromedp.Click(chromedp.CSS(adopt))) // without an owner: the browser says so itself
	if got := browsertest.Value[string](p, "document.activeElement.id"); got != "owner-kettle" {
		t.Errorf("the focus is on %q, want the owner that is missing", got)
	}
	p.Set("#owner-kettle", "tenant-3")
	p.Set("#name-kettle", "Kettle")
	p.Set("#site-kettle", "Mill House")
	p.Set("#safety-kettle", "ordinary")
	p.Denied = true // the console says that the node answers 422
	p.Run(chromedp.Click(chromedp.CSS(adopt)))
	p.WaitText(".adopt [role=alert]", `device "kettle" was not announced and cannot log in`)
	d.advance() // the form stays as it was filled in
	p.Set("#assurance-kettle", "unsigned")
	p.Run(chromedp.Click(chromedp.CSS(adopt)))
	p.WaitText("#waiting .note.ok", "Kettle is enrolled as unsigned and belongs to tenant-3.")
	p.WaitText("#waiting", "2 devices speak")
	p.WaitText(".waiting li:first-child", "shellyplus1pm-a8032abe54dc")
	if over := browsertest.Value[[]string](p, browsertest.Overflow); len(over) > 0 {
		t.Errorf("wider than the screen: %q", over)
	}

	// What was announced is asked for no more.
	p.Run(chromedp.Click(chromedp.CSS(".waiting li:nth-child(2) .w-row button")))
	p.WaitText(".adopt", "It was announced: it belongs to riverside, stands at Mill House, and its safety class is ordinary.")
	if fields := browsertest.Value[int](p, "document.querySelectorAll('.adopt select, .adopt input').length"); fields != 1 {
		t.Errorf("%d fields, want the assurance alone", fields)
	}
	p.Run(chromedp.KeyEvent("\u001b")) // escape
	p.Wait("!document.querySelector('.adopt').checkVisibility()")
	p.Run(chromedp.Click(chromedp.CSS(".waiting li:nth-child(2) .w-row button")), chromedp.Click(chromedp.CSS(".waiting li:nth-child(2) .adopt button[type=submit]")))
	p.WaitText("#waiting", "1 device speaks and nobody adopted it")
	d.mu.Lock()
	defer d.mu.Unlock()
	want := map[string]map[string]any{"kettle": {"owner": "tenant-3", "name": "Kettle", "site": "Mill House", "safety": "ordinary", "assurance": "unsigned"},
		"laundry-1": {"assurance": "channel-authenticated"}}
	if !reflect.DeepEqual(d.adopted, want) {
		t.Errorf("asked for %v, want %v", d.adopted, want)
	}
	p.Clean()
}

// From the first Tab on, the page can be used without a mouse: the skip link, the pages, the first device.
func testKeyboard(t *testing.T, ctx context.Context) {
	p := browsertest.Open(t, ctx, newDistrict(t).serve(t).URL, browsertest.Desktop)
	p.Visit("#/", ".rows li")
	focused := func() string {
		return browsertest.Value[string](p, "document.activeElement.innerText || document.activeElement.id")
	}
	var order []string
	for range 13 {
		p.Run(chromedp.KeyEvent("\t"))
		order = append(order, strings.SplitN(focused(), "\n", 2)[0])
	}
	want := []string{"Skip to the content", "Lamppost", "Fleet", "Alarms", "Agents", "Log", "Bills", "Network", "Advise", "find", "Any state", "Any safety class", "Lamp 31"}
	if !slices.Equal(order, want) {
		t.Errorf("Tab goes through %q, want %q", order, want)
	}
	p.Run(chromedp.KeyEvent("\r"), chromedp.WaitVisible(chromedp.CSS(".chart canvas")))
	if got := focused(); !strings.Contains(got, "Lamp 31") {
		t.Errorf("after opening a device the focus is on %q, want the page", got)
	}
	p.Clean()
}

// TestScreens writes a picture of the top of every page at both widths and in both schemes, for people to look at.
func TestScreens(t *testing.T) {
	if *screens == "" {
		t.Skip("give -screens DIR to write screenshots")
	}
	ctx := browsertest.Start(t)
	if err := os.MkdirAll(*screens, 0o755); err != nil {
		t.Fatal(err)
	}
	server := newDistrict(t).serve(t)
	busy := newDistrict(t)
	busy.pending, busy.broker = busy.waiting(), brokerAt(false, "connecting to mqtts://broker.riverside.example:8883: connection refused")
	busyServer := busy.serve(t)
	forked := newDistrict(t)
	forked.forked = true
	forkedServer := forked.serve(t)
	several := newDistrict(t)
	several.several, several.lied = true, true
	severalServer := several.serve(t)
	locked := newDistrict(t)
	locked.open = false
	lockedServer := locked.serve(t)
	for _, scheme := range []string{"light", "dark"} {
		for name, size := range map[string][2]int64{"phone": {browsertest.Phone[0], 2 * browsertest.Phone[1]}, "desktop": {browsertest.Desktop[0], 1300}} {
			p := browsertest.Open(t, ctx, server.URL, size)
			p.Prefer(scheme)
			for _, v := range views {
				p.Visit(v.hash, v.ready)
				p.Shoot(filepath.Join(*screens, fmt.Sprintf("%s-%s-%s.png", v.name, name, scheme)))
			}
			p = browsertest.Open(t, ctx, busyServer.URL, size)
			p.Prefer(scheme)
			p.Visit("#/", ".waiting li")
			openForms(p)
			p.Shoot(filepath.Join(*screens, fmt.Sprintf("waiting-%s-%s.png", name, scheme)))
			p = browsertest.Open(t, ctx, forkedServer.URL, size)
			p.Prefer(scheme)
			p.Visit("#/log", "#conflict")
			p.Shoot(filepath.Join(*screens, fmt.Sprintf("conflict-%s-%s.png", name, scheme)))
			p = browsertest.Open(t, ctx, severalServer.URL, size)
			p.Prefer(scheme)
			p.Visit("#/network", "#lies")
			p.Shoot(filepath.Join(*screens, fmt.Sprintf("members-%s-%s.png", name, scheme)))
			p = browsertest.Open(t, ctx, lockedServer.URL, size)
			p.Prefer(scheme)
			p.Visit("", "#token")
			p.Shoot(filepath.Join(*screens, fmt.Sprintf("login-%s-%s.png", name, scheme)))
		}
	}
}
