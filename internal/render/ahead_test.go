package render_test

import (
	"strings"
	"testing"

	"github.com/lamppost/lamppost/internal/outlook"
	"github.com/lamppost/lamppost/internal/render"
)

// What looks ahead says so, stands apart from bill and proof, and says the same in HTML and PDF.
func TestAhead(t *testing.T) {
	t.Parallel()
	p := newHouse(t).page()
	one := must(p.Only("ST-000042"))(t)
	for lang, wants := range map[string][]string{
		"en": {"Looking ahead", "They are not part of the bill", "62% used after 38% of the month: €124.41 of €200.00.", "exceeded on 20 December 2026", "About €322, between €297 and €359.",
			"€5.06 – €8.10", "Hafenstraße 3, Wohnung 2, Wasserzähler", "“stadtwerk-nachtstrom”: Tag €0.3349 per kWh, Nacht €0.1219 per kWh", "€57.28", "1 other tariff was compared"},
		"de-AT": {"Ausblick", "62 % verbraucht nach 38 % des Monats: € 124,41 von € 200,00.", "Etwa € 322, zwischen € 297 und € 359.", "September 2026 – November 2026"},
		"fr":    {"Perspectives", "« stadtwerk-dynamisch »", "entre 297 € et 359 €", "prix d’aujourd’hui"},
		"nl-BE": {"Vooruitblik", "Ongeveer € 322"},
		"es":    {"Perspectiva", "Se prevé que se supere el 20 de diciembre de 2026."},
	} {
		page := string(must(one.Render("html", lang))(t).Data)
		bill, ahead, _ := strings.Cut(page, `<section class="ahead"`)
		ahead, proof, found := strings.Cut(ahead, `<section class="proof"`)
		if !found {
			t.Fatalf("%s: it does not stand between bill and proof", lang)
		}
		pdf := strings.Join(strings.Fields(pdfText(t, must(one.Render("pdf", lang))(t).Data)), " ")
		for _, want := range wants {
			if !strings.Contains(text([]byte(ahead)), want) {
				t.Errorf("%s: the page does not look ahead with %q", lang, want)
			}
			if strings.Contains(text([]byte(bill+proof)), want) && want != "Hafenstraße 3, Wohnung 2, Wasserzähler" {
				t.Errorf("%s: %q stands in the bill or its proof", lang, want)
			}
			if short, _, _ := strings.Cut(want, ":"); pdf != "" && !strings.Contains(pdf, short) && len(want) < 30 {
				t.Errorf("%s: the PDF does not look ahead with %q", lang, short)
			}
		}
	}
	for _, format := range []string{"csv", "xml"} {
		if d := must(one.Render(format, "en"))(t); strings.Contains(string(d.Data), "nachtstrom") {
			t.Errorf("%s looks ahead", format)
		}
	}
	if page := string(must(p.Render("html", "en"))(t).Data); strings.Index(page, `class="ahead"`) > strings.Index(page, "<article") {
		t.Error("of several bills the outlook does not follow the cover")
	}
	one.Outlook = nil
	if page := string(must(one.Render("html", "en"))(t).Data); strings.Contains(page, `class="ahead"`) {
		t.Error("without an outlook the page looks ahead")
	}
}

// Where too little is known it is said, and nothing else; where there is nothing to say there is no such part.
func TestAheadAbstains(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	p := must(h.page().Only("ST-000042"))(t)
	o := h.outlook()
	o.Budgets, o.Tariffs = nil, o.Tariffs[2:]
	m := &o.Months[0]
	m.Expected, m.Supplies = nil, m.Supplies[:1]
	p.Outlook = o
	for missing, want := range map[outlook.Missing]string{outlook.MissingHistory: "it takes 4 weeks without a gap", outlook.MissingReadings: "nothing was heard of a meter", outlook.MissingTerms: "no price is known"} {
		m.Missing = missing
		_, ahead, _ := strings.Cut(string(must(p.Render("html", "en"))(t).Data), `<section class="ahead"`)
		ahead, _, _ = strings.Cut(ahead, "</section>")
		if !strings.Contains(ahead, want) || strings.Contains(ahead, "About") || strings.Contains(ahead, "tariff") || strings.Contains(ahead, "<table") {
			t.Errorf("%s: %s", missing, ahead)
		}
	}
	o.Months = nil
	for _, format := range []string{"html", "pdf"} {
		if d := must(p.Render(format, "en"))(t); strings.Contains(string(d.Data), "Looking ahead") {
			t.Errorf("%s looks ahead to nothing", format)
		}
	}
}

// A budget says when it is or will be exceeded, and nothing where it will not.
func TestAheadBudgets(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	p := must(h.page().Only("ST-000042"))(t)
	for want, change := range map[string]func(*outlook.Budget){
		"62% used":                         func(b *outlook.Budget) { b.Notices, b.Over = nil, 0 },
		"It was exceeded on 20 December":   func(b *outlook.Budget) { b.Notices = []outlook.Notice{outlook.NoticeNearly, outlook.NoticeExceeded} },
		"It is exceeded.":                  func(b *outlook.Budget) { b.Notices, b.Over = []outlook.Notice{outlook.NoticeExceeded}, 0 },
		"It is expected to be exceeded on": func(b *outlook.Budget) { b.Notices = []outlook.Notice{outlook.NoticeNearly, outlook.NoticeExpected} },
	} {
		o := h.outlook()
		change(&o.Budgets[0])
		p.Outlook = o
		page := text(must(p.Render("html", "en"))(t).Data)
		if !strings.Contains(page, want) || strings.Contains(page, "exceeded") != strings.Contains(want, "exceeded") {
			t.Errorf("the page does not say %q alone", want)
		}
	}
	for _, bad := range []string{`{"a":{"budgets":{"EUR":"0"}}}`, `{"a":{"budgets":{"EUR":"-1.00"}}}`, `{"a":{"budgets":{"EUR":"1.001"}}}`, `{"a":{"budgets":{"XXX":"1.00"}}}`, `{"a":{"budgets":{"EUR":1}}}`} {
		if _, err := render.ParseDetails([]byte(bad)); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
	if d, err := render.ParseDetails([]byte(`{"a":{"budgets":{"EUR":"120.00","JPY":"9000"}}}`)); err != nil || d["a"].Budgets["JPY"].String() != "9000.00" {
		t.Errorf("budgets %+v, %v", d, err)
	}
}
