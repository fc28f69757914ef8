package render

import (
	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/tariff"
)

// PageOf makes the view model of invoices that no ledger made.
func PageOf(st *audit.Statement, invoices []*audit.Invoice, details Details, name func(*tariff.InvoiceSupply) string) (*Page, error) {
	b := builder{st: st, invoices: invoices, details: details, deviceName: name}
	return b.page()
}

// Only is the page with one invoice.
func (p *Page) Only(number string) (*Page, error) { return p.only(number) }

// Phrases are the texts of a language by their keys, and then by plural category.
func Phrases(lang string) map[string]map[string]string {
	all := map[string]map[string]string{}
	for _, c := range catalogues() {
		if c.Language == lang {
			for key, p := range c.Messages {
				all[key] = p
			}
		}
	}
	return all
}

// Months are the names of the months in a language, Regions the regions with formats of their own.
func Months(lang string) (months, regions []string) {
	for _, c := range catalogues() {
		if c.Language == lang {
			months = c.Months
			for r := range c.Formats {
				regions = append(regions, r)
			}
		}
	}
	return months, regions
}

// Money, Number, Percent, Moment and Period write as readers of a language do.
func Money(lang, amount, currency string) string {
	return must(newLocale(lang)).money(amount, currency)
}

func Percent(lang string, basisPoints uint16) string {
	return must(newLocale(lang)).percent(int64(basisPoints))
}

func Period(lang string, z tariff.Zone, from, to int64) string {
	return must(newLocale(lang)).period(z, lamppost.TimeMS(from), lamppost.TimeMS(to))
}

func Count(lang, key string, n int) string { return must(newLocale(lang)).count(key, n) }

func must(l *locale, err error) *locale {
	if err != nil {
		panic(err)
	}
	return l
}

// Shown is a text as the PDF's font has it.
func Shown(s string) string { return shown(s) }

// CSVColumns are the columns of the CSV.
var CSVColumns = csvColumns

// AgentKeys are the keys of agents' decisions that are chosen at run time.
func AgentKeys() (all []string) {
	for code := range decisionReasons {
		all = append(all, "agent.why."+code)
	}
	for _, what := range quantities {
		all = append(all, "agent.of."+what)
	}
	for m := lamppost.AgentAdvises; m <= lamppost.AgentSafe; m++ {
		all = append(all, "agent.mode."+m.String())
	}
	return append(all, "agent.do.level", "agent.do.power", "agent.do.valve", "agent.flip.above", "agent.flip.below")
}
