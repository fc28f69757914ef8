package render

import (
	"embed"
	"encoding/json"
	"fmt"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/tariff"
	"golang.org/x/text/currency"
	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
	"golang.org/x/text/number"
)

//go:embed lang/*.json
var catalogueFiles embed.FS

// A catalogue is all that is said in a language. docs/statements.md says how to add one.
type catalogue struct {
	Language string             `json:"language"` // BCP 47
	Name     string             `json:"name"`     // in itself
	Months   []string           `json:"months"`
	Formats  map[string]formats `json:"formats"` // by region; "" for all others
	Messages map[string]phrase  `json:"messages"`
}

// formats are the patterns of a region. What a region leaves out is as elsewhere in the language.
type formats struct {
	Money   string `json:"money,omitempty"`
	Date    string `json:"date,omitempty"`
	Percent string `json:"percent,omitempty"`
	First   string `json:"first,omitempty"` // day of a month; empty: 1
}

// A phrase is a text for each plural category that the language has; only "other" where it does not count.
type phrase map[string]string

// UnmarshalJSON reads a text, or an object of texts by plural category.
func (p *phrase) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*p = phrase{"other": one}
		return nil
	}
	var many map[string]string
	err := json.Unmarshal(b, &many)
	*p = many
	return err
}

// catalogues are in the order of their files, the fallback first.
var catalogues = sync.OnceValue(func() (all []*catalogue) {
	for _, name := range [...]string{"en", "de", "es", "fr", "nl"} {
		raw, err := catalogueFiles.ReadFile(path.Join("lang", name+".json"))
		c := new(catalogue)
		if err == nil {
			err = json.Unmarshal(raw, c)
		}
		if err != nil {
			panic(fmt.Sprintf("render: catalogue %q: %v", name, err)) // it was embedded by the build, and a test reads it
		}
		all = append(all, c)
	}
	return all
})

// Languages lists the languages there are catalogues of.
func Languages() (all []string) {
	for _, c := range catalogues() {
		all = append(all, c.Language)
	}
	return all
}

// A locale writes for readers of a language in a region.
type locale struct {
	tag     language.Tag
	words   *catalogue
	formats formats
	group   string // between thousands
	point   string
}

// newLocale finds the catalogue of a BCP 47 tag, such as "de" or "fr-CH"; the region decides on formats.
func newLocale(want string) (*locale, error) {
	all := catalogues()
	if want == "" {
		want = all[0].Language
	}
	tag, err := language.Parse(want)
	if err != nil {
		return nil, unknownLanguage(want)
	}
	base, _ := tag.Base()
	for _, c := range all {
		if c.Language == base.String() {
			return localeOf(c, tag), nil
		}
	}
	return nil, unknownLanguage(want)
}

func unknownLanguage(want string) error {
	return &InputError{fmt.Sprintf("language %q: there are %s, each with or without a region as in de-AT", want, strings.Join(Languages(), ", "))}
}

func localeOf(c *catalogue, tag language.Tag) *locale {
	l := &locale{tag: tag, words: c, formats: c.Formats[""]}
	if region, confidence := tag.Region(); confidence == language.Exact {
		own := c.Formats[region.String()]
		l.formats = formats{orElse(own.Money, l.formats.Money), orElse(own.Date, l.formats.Date), orElse(own.Percent, l.formats.Percent), orElse(own.First, l.formats.First)}
	}
	// The library writes only numbers that pass through a float; ours are exact. So it is asked for its signs alone.
	sample := message.NewPrinter(tag).Sprint(number.Decimal(1234567.5))
	l.group, l.point = ",", "."
	if i, j := strings.Index(sample, "234"), strings.LastIndex(sample, "5"); i > 1 && j > 0 {
		l.group = sample[1:i]
		l.point = sample[strings.LastIndex(sample, "7")+1 : j]
	}
	return l
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// text writes a message. Arguments are pairs of a placeholder's name and its value.
func (l *locale) text(key string, args ...string) string {
	return fill(l.words.Messages[key]["other"], args)
}

// count writes a message about n things; {n} is their number.
func (l *locale) count(key string, n int) string {
	form := "other"
	for name, f := range pluralForms {
		if plural.Cardinal.MatchPlural(l.tag, max(n, -n)%10_000_000, 0, 0, 0, 0) == f {
			form = name
		}
	}
	p := l.words.Messages[key]
	return fill(orElse(p[form], p["other"]), []string{"n", l.decimal(fmt.Sprint(n))})
}

var pluralForms = map[string]plural.Form{"zero": plural.Zero, "one": plural.One, "two": plural.Two, "few": plural.Few, "many": plural.Many}

func fill(pattern string, args []string) string {
	pairs := make([]string, len(args))
	for i := range args {
		pairs[i] = args[i]
		if i%2 == 0 {
			pairs[i] = "{" + args[i] + "}"
		}
	}
	return strings.NewReplacer(pairs...).Replace(pattern)
}

// decimal writes a number in the plain notation of [lamppost.Decimal] with the language's signs.
func (l *locale) decimal(s string) string {
	s, negative := strings.CutPrefix(s, "-")
	whole, fraction, _ := strings.Cut(s, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + l.group + whole[i:]
	}
	if fraction != "" {
		whole += l.point + fraction
	}
	if negative {
		return "−" + whole
	}
	return whole
}

// money writes an amount with its currency, as the region puts the two.
func (l *locale) money(amount, code string) string {
	symbol := code
	if unit, err := currency.ParseISO(code); err == nil {
		symbol = message.NewPrinter(l.tag).Sprint(currency.Symbol(unit))
	}
	text := fill(l.formats.Money, []string{"amount", l.decimal(strings.TrimPrefix(amount, "-")), "currency", symbol})
	if strings.HasPrefix(amount, "-") {
		return "−" + text
	}
	return text
}

// percent writes a rate of basis points.
func (l *locale) percent(basisPoints int64) string {
	return fill(l.formats.Percent, []string{"n", l.decimal(trimZeros(lamppost.Dec(basisPoints, -2)).String())})
}

// month names the month of an instant on a zone's clock.
func (l *locale) month(z tariff.Zone, at lamppost.TimeMS) string {
	t := local(z, at)
	return l.words.Months[t.Month()-1] + " " + fmt.Sprint(t.Year())
}

// date writes the day of an instant on a zone's clock.
func (l *locale) date(z tariff.Zone, at lamppost.TimeMS) string {
	t := local(z, at)
	day := fmt.Sprint(t.Day())
	if t.Day() == 1 {
		day = orElse(l.formats.First, day)
	}
	return fill(l.formats.Date, []string{"day", day, "month", l.words.Months[t.Month()-1], "year", fmt.Sprint(t.Year())})
}

// moment writes an instant on a zone's clock, with the offset from UTC where the clock shows that time twice.
func (l *locale) moment(z tariff.Zone, at lamppost.TimeMS) string {
	t := local(z, at)
	layout := "15:04"
	if at%60_000 != 0 {
		layout = "15:04:05"
	}
	text := l.text("moment", "date", l.date(z, at), "time", t.Format(layout))
	if shownTwice(z, at) {
		text += t.Format(" (UTC-07:00)")
	}
	return text
}

// period writes [from, to): in days where it begins and ends with them.
func (l *locale) period(z tariff.Zone, from, to lamppost.TimeMS) string {
	if z.Local(from).Minute != 0 || z.Local(to).Minute != 0 {
		return l.text("period", "from", l.moment(z, from), "to", l.moment(z, to))
	}
	first, last := l.date(z, from), l.date(z, to-1)
	if first == last {
		return first
	}
	return l.text("period", "from", first, "to", last)
}

func local(z tariff.Zone, at lamppost.TimeMS) time.Time {
	return time.UnixMilli(int64(at)).In(time.FixedZone("", z.OffsetAt(at)*60))
}

// shownTwice says whether a zone's clock, being put back, shows the time of an instant a second time.
func shownTwice(z tariff.Zone, at lamppost.TimeMS) bool {
	for i := 1; i < len(z.Transitions); i++ {
		t := z.Transitions[i]
		if back := lamppost.TimeMS(z.Transitions[i-1].OffsetMin-t.OffsetMin) * 60_000; t.AtMS-back <= at && at < t.AtMS+back {
			return true
		}
	}
	return false
}
