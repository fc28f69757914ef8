package render_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/lamppost/lamppost/internal/render"
	"github.com/lamppost/lamppost/internal/triage/plausible"
)

var placeholder = regexp.MustCompile(`\{\w+\}`)

// placeholders lists those of a text, sorted.
func placeholders(text string) string {
	found := placeholder.FindAllString(text, -1)
	slices.Sort(found)
	return strings.Join(slices.Compact(found), " ")
}

// Every catalogue says everything, with the same placeholders, and nothing that nobody asks for.
func TestCataloguesAreComplete(t *testing.T) {
	t.Parallel()
	english := render.Phrases("en")
	asked := askedFor(t)
	for key := range english {
		if !asked[key] && !strings.HasPrefix(key, "tax.") {
			t.Errorf("nothing asks for %q", key)
		}
	}
	for _, category := range []string{"S", "Z", "E", "AE", "K", "G", "O", "L", "M"} {
		asked["tax."+category] = true
	}
	for _, lang := range render.Languages() {
		phrases := render.Phrases(lang)
		for key := range asked {
			if phrases[key]["other"] == "" {
				t.Errorf("%s does not say %q", lang, key)
			}
		}
		for key, forms := range phrases {
			if english[key] == nil {
				t.Errorf("%s says %q, which English does not", lang, key)
			}
			for form, text := range forms {
				if got, want := placeholders(text), placeholders(english[key]["other"]); got != want {
					t.Errorf("%s, %q (%s): placeholders %q, want %q", lang, key, form, got, want)
				}
				if shown := render.Shown(text); shown != text {
					t.Errorf("%s, %q: the font of the PDF lacks a character: %q", lang, key, shown)
				}
			}
		}
		if months, regions := render.Months(lang); len(months) != 12 || !slices.Contains(regions, "") {
			t.Errorf("%s has %d months and formats for %q", lang, len(months), regions)
		}
	}
}

var asks = regexp.MustCompile(`\b(?:l|s\.l|t\.l|w\.l)\.(?:text|count)\("([\w.]+)"[,)]`)

// askedFor finds the keys in the code.
func askedFor(t *testing.T) map[string]bool {
	t.Helper()
	keys := map[string]bool{"invoice": true, "credit_note": true, "corrected": true, "vat": true, "tax_number": true, "cause.late": true, "cause.substituted": true,
		"cause.dispute": true, "cause.terms": true, "found.valid": true, "found.wrong": true} // chosen at run time
	for _, a := range []string{"device_signed", "meter_signed", "gateway_vouched", "channel_authenticated", "unsigned", "entered_by_hand"} {
		keys["assured."+a] = true
	}
	for c := plausible.RolledBack; c.Hard(); c++ {
		keys["found.code."+c.String()] = true
	}
	for _, file := range must(filepath.Glob("*.go"))(t) {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		for _, m := range asks.FindAllStringSubmatch(string(must(os.ReadFile(file))(t)), -1) {
			keys[m[1]] = true
		}
	}
	for _, code := range strings.Fields("rate pace size largest readings repeated bad forbidden unheard connects") {
		keys["does."+code] = true // likewise
	}
	for _, key := range render.AgentKeys() {
		keys[key] = true
	}
	if len(keys) < 40 {
		t.Fatalf("only %d keys are found in the code: is the search broken?", len(keys))
	}
	return keys
}

// Numbers, money, rates, dates and plurals are those of the language and the region.
func TestFormats(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ lang, money, percent, days string }{
		{"en", "−€1,234,567.50", "7%", "1 day"}, {"en-GB", "−€1,234,567.50", "7%", "1 day"}, {"de", "−1.234.567,50\u00a0€", "7\u00a0%", "1 Tag"},
		{"de-AT", "−€\u00a01\u00a0234\u00a0567,50", "7\u00a0%", "1 Tag"}, {"de-CH", "−EUR\u00a01’234’567.50", "7%", "1 Tag"},
		{"fr", "−1\u00a0234\u00a0567,50\u00a0€", "7\u00a0%", "1 jour"}, {"fr-CH", "−1\u00a0234\u00a0567,50\u00a0€", "7%", "1 jour"},
		{"nl-BE", "−€\u00a01.234.567,50", "7%", "1 dag"}, {"es", "−1.234.567,50\u00a0€", "7\u00a0%", "1 día"},
	} {
		if got := render.Money(c.lang, "-1234567.50", "EUR"); got != c.money {
			t.Errorf("%s: money %q, want %q", c.lang, got, c.money)
		}
		if got := render.Percent(c.lang, 700); got != c.percent {
			t.Errorf("%s: percent %q, want %q", c.lang, got, c.percent)
		}
		if got := render.Count(c.lang, "days", 1); got != c.days {
			t.Errorf("%s: %q, want %q", c.lang, got, c.days)
		}
	}
	if got := render.Count("fr", "days", 0) + render.Count("de", "days", 0) + render.Count("en", "days", -1); got != "0 jour0 Tage−1 day" {
		t.Errorf("plurals %q", got)
	}
	if got := render.Money("de", "1200", "JPY") + render.Money("de", "0.3019", "CHF"); got != "1.200\u00a0¥0,3019\u00a0CHF" {
		t.Errorf("money %q", got)
	}
}

// Times are on the tariff's clock: whole days as days, the hour that a clock shows twice with its offset.
func TestPeriods(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, c := range []struct{ lang, from, to, want string }{
		{"en", "2026-10-01 00:00", "2026-11-01 00:00", "1 October 2026 to 31 October 2026"},
		{"en-US", "2026-10-01 00:00", "2026-10-02 00:00", "October 1, 2026"},
		{"fr", "2026-10-01 00:00", "2026-11-01 00:00", "du 1er octobre 2026 au 31 octobre 2026"},
		{"de", "2026-10-01 06:15", "2026-10-02 00:00", "1. Oktober 2026, 06:15 Uhr bis 2. Oktober 2026, 00:00 Uhr"},
	} {
		if got := render.Period(c.lang, h.zone, int64(h.at(c.from)), int64(h.at(c.to))); got != c.want {
			t.Errorf("%s: %q, want %q", c.lang, got, c.want)
		}
	}
	first := int64(h.at("2026-10-25 01:00")) + 3_600_000 + 900_000 // 02:15, and again an hour later
	if got, want := render.Period("en", h.zone, first, first+3_600_000), "25 October 2026, 02:15 (UTC+02:00) to 25 October 2026, 02:15 (UTC+01:00)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// An invoice is due so many days later on the calendar, also where the clock is put back in between.
func TestDue(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	d := must(h.pageOf(h.invoice("ST-1", "2026-10-01 00:00", "2026-10-20 00:00")).Render("xml", "en"))(t)
	if !strings.Contains(string(d.Data), "<cbc:DueDate>2026-11-03</cbc:DueDate>") {
		t.Errorf("not due on 3 November: %s", d.Data)
	}
}

// Languages that there are not, and what is no language, are the caller's mistake and say what there is.
func TestUnknownLanguage(t *testing.T) {
	t.Parallel()
	p := newHouse(t).page()
	for _, lang := range []string{"pl", "xx", "de_", "zh-Hant", "\u0000", strings.Repeat("a", 300)} {
		if _, err := p.Render("html", lang); !isInput(err) || !strings.Contains(err.Error(), "en, de, es, fr, nl") {
			t.Errorf("%.20q: %v", lang, err)
		}
	}
	if _, err := p.Render("docx", "en"); !isInput(err) {
		t.Errorf("format: %v", err)
	}
	if d := must(p.Render("html", ""))(t); !strings.Contains(string(d.Data), `<html lang="de-DE">`) {
		t.Error("without a choice it is not the party's language")
	}
}

// Details of parties are read strictly.
func TestDetails(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{`{`, `[]`, `{"a":{"vta":"x"}}`, `{"a":{}}{}`, `{"a b":{}}`, `{"a":{"country":"de"}}`, `{"a":{"country":"EU"}}`, `{"a":{"lang":"tlh"}}`,
		`{"a":{"due_days":-1}}`, `{"a":{"iban":"DE02 1203"}}`} {
		if d, err := render.ParseDetails([]byte(bad)); err == nil {
			t.Errorf("%s is read as %+v", bad, d)
		}
	}
}

func FuzzParseDetails(f *testing.F) {
	f.Add([]byte(`{"anna":{"lang":"de-AT","country":"AT","due_days":14}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if d, err := render.ParseDetails(raw); err == nil {
			for id, p := range d {
				if p.DueDays < 0 || id == "" {
					t.Errorf("%q: %+v", id, p)
				}
			}
		}
	})
}
