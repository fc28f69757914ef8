package checkpage_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"golang.org/x/mod/sumdb/note"

	"github.com/lamppost/lamppost/internal/checkpage"
	"github.com/lamppost/lamppost/internal/dashboard/browsertest"
	"github.com/lamppost/lamppost/sig"
)

// serve serves a page as a node does.
func serve(t *testing.T, c checkpage.Content) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(c.Serve))
	t.Cleanup(s.Close)
	return s.URL
}

// keep writes a page to a disk and returns the folder's address.
func keep(t *testing.T, c checkpage.Content) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "check.html"), c.Page(), 0o600))
	return "file://" + filepath.ToSlash(dir)
}

// drop drops a file on the page, and waits until it was checked.
func drop(p *browsertest.Tab, name string, data []byte) {
	browsertest.Value[bool](p, fmt.Sprintf(`(async () => {
		const before = document.querySelector('#result').dataset.done;
		const bytes = Uint8Array.from(atob(%q), (c) => c.charCodeAt(0));
		const data = new DataTransfer();
		data.items.add(new File([bytes], %q));
		document.body.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }));
		const result = document.querySelector('#result');
		while (result.dataset.done === before && !result.innerText.includes('cannot be')) await new Promise((next) => setTimeout(next, 10));
		return true;
	})()`, base64.StdEncoding.EncodeToString(data), name))
}

// bring pastes a pin, or types a fingerprint.
func bring(p *browsertest.Tab, text string) {
	p.Set("#pin-text", text)
	p.Run(chromedp.Click(chromedp.CSS("form button[type=submit]")))
}

// TestInBrowser opens the page in chromium, as people do.
func TestInBrowser(t *testing.T) {
	t.Parallel()
	ctx := browsertest.Start(t)
	for name, test := range map[string]func(*testing.T, context.Context){
		"holds": testHolds, "payments": testPaid, "changed": testChanged, "other network": testOtherNetwork, "changed proof": testChangedProof, "pins": testPins,
		"remembered": testRemembered, "hostile": testHostile, "from disk": testFromDisk, "a page in a page": testPageInPage, "receipts": testReceipts,
		"looks": testLooks, "keyboard": testKeyboard, "handed over": testHandedOver, "no worker": testNoWorker, "print": testPrint,
		"same answers": testSameAnswers, "speed": testSpeed,
	} {
		t.Run(name, func(t *testing.T) { test(t, ctx) })
	}
}

// settled is what a page shows once its checker has tested itself and what came with the page is shown: from then on nothing
// moves that is about to be clicked on.
const settled = "body:has(#engine-state[data-mode=live]) main:not([aria-busy])"

// ready opens a page and waits until it is settled.
func ready(t *testing.T, ctx context.Context, base, path string) *browsertest.Tab {
	t.Helper()
	p := browsertest.Open(t, ctx, base, browsertest.Desktop)
	p.Visit(path, settled)
	return p
}

// ticks lists the state of each line: ok, bad, same or open.
func ticks(p *browsertest.Tab) []string {
	return browsertest.Value[[]string](p, `[...document.querySelectorAll('.checked > tbody > tr')].map((r) => r.className)`)
}

// A true statement under the visitor's pin is green line by line, is shown with its registers and sums, and says what it
// proves and what not. Nothing but the page itself was ever asked for.
func testHolds(t *testing.T, ctx context.Context) {
	p := ready(t, ctx, serve(t, checkpage.Content{Version: "v9"}), "")
	bring(p, string(example(t, "network.pin")))
	p.WaitText("#main", "as you pasted it")
	drop(p, "statement.json", example(t, "statement.json"))
	p.WaitText("#result", "Every line holds.")
	if got := ticks(p); !slices.Equal(got, []string{"ok", "ok", "ok", "ok"}) {
		t.Errorf("the lines are %q, want all green", got)
	}
	text := strings.NewReplacer("\u202f", " ", "\u2009", " ", "\u00a0", " ").Replace(p.Text("#main"))
	for _, want := range []string{"4 lines of 1 bill", "13 signed register values", "riverside/north, whose key your pin names", "QXMY HLY2", "ST-000001", "Anna Fischer",
		"Stadtwerk Nord GmbH", "2. Night", "Hafenstraße 3, flat 2 · BQ27 · energy", "122,468,356.4 Wh", "2026-10-24 00:00+02:00, device-signed", "6.9142 kWh",
		"€0.2143 / kWh", "€1.48", "3 days", "€0.25 / day", "Tax S 19.00 % on €10.06", "€11.97", "valley 02:30-06:00 every day at 0.1237 EUR per kWh",
		"What this proves", "4 lines and total 11.97 EUR computed again", "What this does not prove", "that a meter measured right", "Lamppost v9"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q:\n%s", want, text)
		}
	}
	if live := browsertest.Value[string](p, "document.querySelector('#result').getAttribute('aria-live')"); live != "polite" {
		t.Errorf("the result is announced as %q", live)
	}
	if asked := p.Asked(); len(asked) != 1 {
		t.Errorf("requests: %q, want the page alone", asked)
	}
	p.Clean()
}

// One digit changed in what is read, and its line is red with the reason, the others green; a sum is red where it stands.
func testChanged(t *testing.T, ctx context.Context) {
	p := ready(t, ctx, serve(t, checkpage.Content{}), "")
	bring(p, string(example(t, "network.pin")))
	for _, c := range []struct {
		old, new string
		line     int // -1: none
		want     string
	}{
		{`"amount":"1.48"`, `"amount":"1.49"`, 1, `amount 1.49 is not what tariff "home-2026" version 1 gives for 6.9142 kWh (1.48)`},
		{`"price":"0.1237"`, `"price":"0.1236"`, 2, `price 0.1236 is not that of tariff "home-2026" version 1 (0.1237)`},
		{`"value":"122471319.7"`, `"value":"122471319.8"`, 0, "opening value 122471319.8 is not what device BQ27 signed for 2026-10-24 06:00+02:00"},
		{`"quantity":"6.9142"`, `"quantity":"6.9143"`, 1, "quantity 6.9143 is not what the proof gives (6.9142)"},
		{`"assurance":"device-signed"`, `"assurance":"meter-signed"`, 0, "opening assurance meter-signed is not what"},
		{`"total":"11.97"`, `"total":"11.98"`, -1, "total 11.98 is not what the proof gives (11.97)"},
		{`"name":"Anna Fischer"`, `"name":"Anna Fisher"`, -1, "name Anna Fisher is not what the proof gives (Anna Fischer)"},
	} {
		drop(p, "statement.json", replace(t, example(t, "statement.json"), c.old, c.new))
		want := []string{"ok", "ok", "ok", "ok"}
		if c.line >= 0 {
			want[c.line] = "bad"
			p.WaitText(fmt.Sprintf(".checked > tbody > tr:nth-child(%d)", c.line+1), c.want)
			if wrong := browsertest.Value[int](p, "document.querySelectorAll('.checked tr.bad .wrong').length"); wrong == 0 {
				t.Errorf("%s: the line is red, and not what is wrong in it", c.new)
			}
		}
		p.WaitText("#result", "Do not trust this statement.")
		p.WaitText("#result", c.want)
		if got := ticks(p); !slices.Equal(got, want) {
			t.Errorf("%s: the lines are %q, want %q", c.new, got, want)
		}
	}
	p.Clean()
}

// A file of another network than the pin's is refused in words, and none of it is called true; nor if the network has the
// pin's name.
func testOtherNetwork(t *testing.T, ctx context.Context) {
	p := ready(t, ctx, serve(t, checkpage.Content{}), "")
	washed, _ := laundry(t, 2, sig.EdDSA, "Laundry")
	bring(p, string(example(t, "network.pin")))
	drop(p, "statement.json", washed)
	p.WaitText("#result", "This statement is of another network than your pin.")
	p.WaitText("#result", "It is of network “lantern”, your pin of “riverside”.")
	if got := ticks(p); !slices.Equal(got, []string{"open", "open"}) {
		t.Errorf("the lines are %q, want none called true", got)
	}

	_, key, err := note.GenerateKey(rand.Reader, "riverside/north")
	must(t, err)
	p.Run(chromedp.Click(chromedp.CSS("#pin-h ~ .stack button")))
	bring(p, "network riverside\nquorum 1\nmember "+key+"\n")
	p.WaitText("#main", "as you pasted it")
	drop(p, "statement.json", example(t, "statement.json"))
	p.WaitText("#result", "Its proof does not hold:")
	if got := ticks(p); !slices.Equal(got, []string{"open", "open", "open", "open"}) {
		t.Errorf("under a pin with another key the lines are %q, want none called true", got)
	}
	p.Clean()
}

// Where the proof itself is damaged or is none of ours, the page says so, and of the lines it says nothing.
func testChangedProof(t *testing.T, ctx context.Context) {
	p := ready(t, ctx, serve(t, checkpage.Content{}), "")
	bring(p, string(example(t, "network.pin")))
	data := example(t, "statement.json")
	at := len(data) - len(data)/4 // in the proof, which stands last
	data[at] = map[bool]byte{true: 'B', false: 'A'}[data[at] == 'A']
	drop(p, "statement.json", data)
	p.WaitText("#result", "Its proof does not hold:")
	if got := ticks(p); slices.Contains(got, "ok") || slices.Contains(got, "same") {
		t.Errorf("the lines are %q, want none called true", got)
	}
	for name, c := range map[string]struct{ text, want string }{
		"no JSON":   {"%PDF-1.7", "not JSON as this program writes it"},
		"no kind":   {`{"lamppost":"letter/1"}`, `kind "letter/1" is not one of`},
		"odd":       {`{"lamppost":"statement/1","invoices":[{"lines":[7,{"opening":3}],"taxes":{}},null]}`, "Do not trust this statement."},
		"a bill":    {`[]`, "not JSON as this program writes it"},
		"empty":     {``, "not JSON"},
		"bare page": {"<!doctype html><p>hello", "This page carries no bill"},
	} {
		drop(p, name+".json", []byte(c.text))
		p.WaitText("#result", c.want)
		if name == "bare page" {
			continue
		}
		if verdict := browsertest.Value[string](p, "document.querySelector('#result > *').dataset.verdict"); verdict != "bad" {
			t.Errorf("%s: shown as %q", name, verdict)
		}
	}
	p.Clean()
}

// The pin that came with the page never makes anything green: not silently, and not by a wrong fingerprint. The right
// fingerprint does, in any spelling; the page never shows it before.
func testPins(t *testing.T, ctx context.Context) {
	pin := string(example(t, "network.pin"))
	const right = "QXMY HLY2 3PZS TYFB V7HU O3MA F5BI IKXY"
	p := ready(t, ctx, serve(t, checkpage.Content{Pin: pin}), "")
	drop(p, "statement.json", example(t, "statement.json"))
	p.WaitText("#result", "This statement agrees with itself.")
	p.WaitText("#result", "held against the pin that this page brought along. Whoever made the page could have made both.")
	p.WaitText("#main", "whose network this is: that takes a pin which you have from elsewhere")
	if got := ticks(p); !slices.Equal(got, []string{"same", "same", "same", "same"}) {
		t.Errorf("under the pin that the page brought, the lines are %q", got)
	}
	if text := p.Text("body"); strings.Contains(text, "QXMY") {
		t.Errorf("the fingerprint to type is shown by the page itself:\n%s", text)
	}
	for text, want := range map[string]string{
		"":               "Type the fingerprint, or paste the text",
		"QXMY HLY2 3PZS": "neither the text of a pin nor a fingerprint",
		"QXMY HLY2 3PZS TYFB V7HU O3MA F5BI IKXZ": "do not trust this page",
		"network riverside\nquorum 7\n":           "pin: a quorum of 7 cannot come from 0 members.",
	} {
		bring(p, text)
		p.WaitText("[role=alert]", want)
		if verdict := browsertest.Value[string](p, "document.querySelector('#result > *').dataset.verdict"); verdict != "same" {
			t.Errorf("after %q it is shown as %q", text, verdict)
		}
	}
	bring(p, strings.ToLower(strings.ReplaceAll(strings.ReplaceAll(right, " ", "-"), "O", "0")))
	p.WaitText("#result", "Every line holds.")
	p.WaitText("#main", "brought by this page, with the fingerprint that you typed")
	p.Run(chromedp.Click(chromedp.CSS("#pin-h ~ .stack button")))
	p.WaitText("#result", "This statement agrees with itself.")
	p.Clean()

	p = ready(t, ctx, serve(t, checkpage.Content{}), "")
	drop(p, "statement.json", example(t, "statement.json"))
	p.WaitText("#result", "No pin says whose network this is: anybody can found one of that name.")
	p.Clean()

	p = ready(t, ctx, serve(t, checkpage.Content{Pin: pin}), "") // the pin that the page brings is of another network
	washed, _ := laundry(t, 1, sig.EdDSA, "Laundry")
	drop(p, "statement.json", washed)
	p.WaitText("#result", "No pin says whose network this is")
	p.Clean()

	p = ready(t, ctx, serve(t, checkpage.Content{}), "")
	bring(p, right)
	p.WaitText("[role=alert]", "A fingerprint needs the pin it is of, and this page brings none along.")
	p.Clean()
}

// A pin stays in the browser only where the visitor asks for it, is used from then on by name, and is gone when told to.
func testRemembered(t *testing.T, ctx context.Context) {
	stored := func(p *browsertest.Tab) string {
		return browsertest.Value[string](p, "JSON.stringify({ ...localStorage, ...sessionStorage }) + document.cookie")
	}
	pin := string(example(t, "network.pin"))
	p := ready(t, ctx, serve(t, checkpage.Content{Pin: pin}), "")
	bring(p, pin)
	drop(p, "statement.json", example(t, "statement.json"))
	p.WaitText("#result", "Every line holds.")
	if got := stored(p); got != "{}" {
		t.Errorf("the browser keeps %s, which nobody asked for", got)
	}
	p.Run(chromedp.Click(chromedp.CSS("#pin-keep")))
	p.WaitText("#main", "Kept in this browser, for pages of this address only.")
	if got := stored(p); !strings.Contains(got, "lamppost.pins") || strings.Contains(got, "Anna") {
		t.Errorf("the browser keeps %s, want the pin alone", got)
	}
	p.Visit("", settled)
	drop(p, "statement.json", example(t, "statement.json"))
	p.WaitText("#result", "Every line holds.")
	p.WaitText("#main", "which you had this browser remember")

	p.Visit("?again", settled) // a file of another network is refused, not judged as without a pin
	washed, _ := laundry(t, 1, sig.EdDSA, "Laundry")
	drop(p, "statement.json", washed)
	p.WaitText("#result", "This statement is of another network than your pin.")
	drop(p, "statement.json", example(t, "statement.json"))
	p.WaitText("#result", "Every line holds.")
	p.Run(chromedp.Click(chromedp.CSS("#pin-h ~ .stack button"))) // another one is wanted: it does not come back by itself
	p.WaitText("#result", "This statement agrees with itself.")
	bring(p, pin)
	p.WaitText("#result", "Every line holds.")
	p.Run(chromedp.Click(chromedp.CSS("#pin-keep")))
	p.WaitText("#main", "Forgotten.")
	if got := stored(p); got != "{}" {
		t.Errorf("after forgetting, the browser keeps %s", got)
	}
	p.Clean()
}

// Names that carry markup are shown as they are and never run, also where the file is false.
func testHostile(t *testing.T, ctx context.Context) {
	const hostile = `</script><img src=x onerror="document.title='owned'"><b>&amp;`
	washed, pin := laundry(t, 1, sig.EdDSA, hostile)
	for _, base := range []string{serve(t, checkpage.Content{File: washed, Pin: pin + "# " + hostile, Version: hostile}), serve(t, checkpage.Content{})} {
		p := ready(t, ctx, base, "")
		bring(p, pin)
		p.WaitText("#main", "as you pasted it")
		drop(p, hostile, washed)
		p.WaitText("#result", "Every line holds.")
		p.WaitText(".paper", hostile)
		drop(p, hostile, replace(t, washed, `"amount":"`, `"amount":"<img src=x onerror=alert(1)>`, `"network":"lantern"`, `"network":"<img src=x>"`))
		p.WaitText("#result", "<img src=x")
		if got := browsertest.Value[string](p, "document.title + document.querySelectorAll('main img, main b').length"); got != "Check a bill – Lamppost0" {
			t.Errorf("title and images in the page are %q", got)
		}
		p.Clean()
	}
}

// A page with a bill in it works from a disk, without any network, and turns green by the visitor's pin.
func testFromDisk(t *testing.T, ctx context.Context) {
	pin := string(example(t, "network.pin"))
	p := ready(t, ctx, keep(t, checkpage.Content{File: example(t, "statement.json"), Pin: pin}), "check.html")
	p.WaitText("#result", "This statement agrees with itself.")
	p.WaitText("#main", "This page came with the bill in it. Whoever writes bills could also write a page that is green")
	bring(p, "QXMY HLY2 3PZS TYFB V7HU O3MA F5BI IKXY")
	p.WaitText("#result", "Every line holds.")
	if asked := p.Asked(); len(asked) != 1 || !strings.HasPrefix(asked[0], "file://") {
		t.Errorf("requests: %q, want the file alone", asked)
	}
	// What would betray a reader, a page of this policy cannot do, whoever wrote it.
	var heard atomic.Int32
	spy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		heard.Add(1)
		w.Header().Set("Access-Control-Allow-Origin", "*")
	}))
	t.Cleanup(spy.Close)
	got := browsertest.Value[string](p, fmt.Sprintf(`(async () => {
		const to = %q;
		const image = new Promise((done) => { const i = new Image(); i.onload = i.onerror = () => done(); i.src = to; });
		navigator.sendBeacon(to, 'all');
		await image;
		return fetch(to).then(() => 'sent', () => 'stopped');
	})()`, spy.URL))
	if got != "stopped" || heard.Load() != 0 {
		t.Errorf("a request was %s, and %d were heard of", got, heard.Load())
	}
}

// A page that came by mail can be checked with a copy of one's own: its bill is taken out of it, its pin is not.
func testPageInPage(t *testing.T, ctx context.Context) {
	pin := string(example(t, "network.pin"))
	sent := checkpage.Content{File: example(t, "statement.json"), Pin: pin}.Page()
	p := ready(t, ctx, keep(t, checkpage.Content{}), "check.html")
	drop(p, "bill.html", sent)
	p.WaitText("#result", "No pin says whose network this is")
	bring(p, pin)
	p.WaitText("#result", "Every line holds.")
	drop(p, "empty.html", checkpage.Content{}.Page())
	p.WaitText("#result", "This page carries no bill")
	p.Clean()
}

// Receipts and reports are shown with their readings, green or red one by one.
func testReceipts(t *testing.T, ctx context.Context) {
	p := ready(t, ctx, serve(t, checkpage.Content{}), "")
	bring(p, string(example(t, "network.pin")))
	for _, c := range []struct{ file, old, new, result, state string }{
		{"receipt.json", "", "", "This receipt holds.", "ok"},
		{"receipt.json", `"value":"122468356.4"`, `"value":"122468356.5"`, "value 122468356.5 is not what the proof gives (122468356.4)", "bad"},
		{"receipt.json", `"outcome":"ok"`, `"outcome":"duplicate"`, "outcome duplicate is not what the proof gives (ok)", "ok"},
		{"report.json", "", "", "This report is as its device signed it.", "ok"},
		{"report.json", `"unit":"Wh"`, `"unit":"kWh"`, "unit kWh is not what the proof gives (Wh)", "bad"},
	} {
		data := example(t, c.file)
		if c.old != "" {
			data = replace(t, data, c.old, c.new)
		}
		drop(p, c.file, data)
		p.WaitText("#result", c.result)
		if got := browsertest.Value[string](p, "document.querySelector('.readings tbody tr').className"); got != c.state {
			t.Errorf("%s with %s: the reading is %q, want %q", c.file, c.new, got, c.state)
		}
		p.WaitText(".paper", "meter of flat 2, number 1")
	}
	p.Clean()
}

// Every look of the page fits a phone and a desktop, is readable in both schemes, and has a heading for everything.
func testLooks(t *testing.T, ctx context.Context) {
	for _, l := range looks(t) {
		p := l.open(t, ctx, browsertest.Desktop, "light")
		browsertest.Value[int](p, "[...document.querySelectorAll('details')].map((d) => { d.open = true; return d; }).length")
		for _, size := range [][2]int64{browsertest.Phone, browsertest.Desktop} {
			for _, scheme := range []string{"light", "dark"} {
				p.Size(size)
				p.Prefer(scheme)
				if over := browsertest.Value[[]string](p, browsertest.Overflow); len(over) > 0 {
					t.Errorf("%s at %d: wider than the screen: %q", l.name, size[0], over)
				}
				if pale := browsertest.Value[[]string](p, browsertest.PaleText); len(pale) > 0 {
					t.Errorf("%s at %d, %s: contrast under 4.5:1: %q", l.name, size[0], scheme, pale)
				}
			}
		}
		p.Clean()
	}
}

// From the first Tab on, the page can be used without a mouse, and what is focused is seen.
func testKeyboard(t *testing.T, ctx context.Context) {
	p := ready(t, ctx, serve(t, checkpage.Content{Pin: string(example(t, "network.pin"))}), "")
	var order []string
	for range 6 {
		p.Run(chromedp.KeyEvent("\t"))
		order = append(order, browsertest.Value[string](p, `document.activeElement.labels?.[0]?.innerText || document.activeElement.innerText`))
	}
	order[5] = strings.SplitN(order[5], "…", 2)[0]
	want := []string{"Skip to the content", "Open a file", "Type its fingerprint, or paste the pin", "Use it", "Open network.pin", checkpage.Checker()[:8]}
	if !slices.Equal(order, want) {
		t.Errorf("Tab goes through %q, want %q", order, want)
	}
	p.Clean()
}

// A page of the same node can hand its file over in memory; a page of another origin cannot.
func testHandedOver(t *testing.T, ctx context.Context) {
	data := base64.StdEncoding.EncodeToString(example(t, "statement.json"))
	mux := http.NewServeMux()
	mux.HandleFunc("/check/", checkpage.Content{Pin: string(example(t, "network.pin"))}.Serve)
	mux.HandleFunc("/opener", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Cross-Origin-Opener-Policy", "same-origin")
		fmt.Fprintf(w, `<!doctype html><link rel="icon" href="data:,"><p id="opener">opener</p><script>
			const child = open('/check/'), bytes = Uint8Array.from(atob(%q), (c) => c.charCodeAt(0));
			addEventListener('message', (e) => { if (e.source === child) child.postMessage({ name: 'statement.json', bytes: bytes.buffer }, location.origin); });
			const look = () => { try { document.title = child.document.querySelector('#result').innerText; } catch {} setTimeout(look, 20); };
			look();
		</script>`, data)
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	p := browsertest.Open(t, ctx, s.URL, browsertest.Desktop)
	p.Visit("opener", "#opener")
	p.Wait("document.title.includes('This statement agrees with itself.')")
	p.Clean()
}

// Where a browser gives the page no worker, the checker runs in the page.
func testNoWorker(t *testing.T, ctx context.Context) {
	p := browsertest.Open(t, ctx, serve(t, checkpage.Content{File: example(t, "statement.json")}), browsertest.Phone)
	browsertest.Command(p, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: "delete globalThis.Worker;"})
	p.Visit("", settled)
	p.WaitText("#result", "This statement agrees with itself.")
	p.Clean()
}

// On paper the bill stands with its result and the pin's fingerprint, without what is only for the screen.
func testPrint(t *testing.T, ctx context.Context) {
	p := ready(t, ctx, serve(t, checkpage.Content{File: example(t, "statement.json")}), "")
	bring(p, string(example(t, "network.pin")))
	p.WaitText("#result", "Every line holds.")
	p.Medium("print")
	text := p.Text("body")
	for _, want := range []string{"Every line holds.", "QXMY HLY2", "€11.97", "What this does not prove", checkpage.Checker()[:8]} {
		if !strings.Contains(text, want) {
			t.Errorf("on paper it does not say %q:\n%s", want, text)
		}
	}
	for _, unwanted := range []string{"Open a file", "Use another pin", "Checker ready"} {
		if strings.Contains(text, unwanted) {
			t.Errorf("on paper it says %q", unwanted)
		}
	}
}
