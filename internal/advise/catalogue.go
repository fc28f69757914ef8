package advise

import (
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/goccy/go-yaml"
)

//go:embed catalogue.yaml
var catalogueText []byte

// A Catalogue is what is known of prices, and of ledgers that others run. It is dated: every number has a source, the month that is
// of, and the condition under which it holds.
type Catalogue struct {
	V            int                  `yaml:"v"`
	Date         Month                `yaml:"date"`
	OldestMonths map[string]int       `yaml:"oldest_months"` // that a source may be at Date, by kind
	Sources      map[string]Reference `yaml:"sources"`
	Prices       Prices               `yaml:"prices"`
	Kept         Kept                 `yaml:"kept"`
	Plain        Plain                `yaml:"database"`
	Ledgers      []Ledger             `yaml:"ledgers"`
}

// A Reference is where something is from.
type Reference struct {
	Title string `yaml:"title"`
	URL   string `yaml:"url"` // or a page of this project's docs
	Of    Month  `yaml:"of"`
	Kind  string `yaml:"kind"` // price, claim, report, measurement
}

// A Month is such as 2026-11.
type Month string

// number counts months; false: it is none.
func (m Month) number() (int, bool) {
	var y, n int
	if _, err := fmt.Sscanf(string(m), "%4d-%2d", &y, &n); err != nil || len(m) != len("2026-11") || n < 1 || n > 12 {
		return 0, false
	}
	return 12*y + n, true
}

// A Figure is a number that is known within a range.
type Figure struct {
	Low       float64  `yaml:"low"`
	Mid       float64  `yaml:"mid"`
	High      float64  `yaml:"high"`
	Unit      string   `yaml:"unit"`
	Source    []string `yaml:"source"`    // keys of the catalogue's sources
	Confirmed bool     `yaml:"confirmed"` // a source was read that says so
	Condition string   `yaml:"condition"`
}

// Range is the figure without its origin.
func (f *Figure) Range() Range { return Range{f.Low, f.Mid, f.High} }

// A Fact is a sentence with its sources.
type Fact struct {
	Text   string   `yaml:"text"`
	Source []string `yaml:"source"`
}

// Prices are what machines and what they use cost. Rents include electricity.
type Prices struct {
	EURPerUSD   Figure `yaml:"eur_per_usd"`
	CPU         Figure `yaml:"cpu"`
	Storage     Figure `yaml:"storage"`
	Egress      Figure `yaml:"egress"`
	Machine     Figure `yaml:"machine"` // for a member
	Server      Figure `yaml:"server"`  // for a peer of Fabric
	Gateway     Figure `yaml:"gateway"`
	Electricity Figure `yaml:"electricity"`
	MachineIdle Figure `yaml:"machine_idle"`
	GatewayIdle Figure `yaml:"gateway_idle"`
}

// Kept is what stays of a report on each member's disk.
type Kept struct {
	Report  Figure `yaml:"report"`  // with up to three readings
	Reading Figure `yaml:"reading"` // each above these
}

// Plain is a database of one organisation.
type Plain struct {
	Name       string `yaml:"name"`
	CPU        Figure `yaml:"cpu"`
	Stored     Figure `yaml:"stored"`
	Throughput Figure `yaml:"throughput"`
	Latency    Figure `yaml:"latency"`
	Notes      []Fact `yaml:"notes"`
}

// A Ledger is one that others wrote, or run.
type Ledger struct {
	Name      string `yaml:"name"`
	Writers   string `yaml:"writers"`   // members, anyone
	Erase     bool   `yaml:"erase"`     // personal data can be kept out of what all have, and erased
	Outsiders bool   `yaml:"outsiders"` // can check it
	Final     string `yaml:"final"`     // by whom: bft; sequencer: a single party orders
	Token     string `yaml:"token"`     // that fees are paid in; none: no fees
	Runs      string `yaml:"runs"`      // who runs it
	Keys      Keys   `yaml:"keys"`

	Peers    *Figure `yaml:"peers"`    // that each organisation runs
	Orderers *Figure `yaml:"orderers"` // that they run together
	Stored   *Figure `yaml:"stored"`   // by each peer, for as long as a message is kept
	Message  Figure  `yaml:"message_bytes"`
	Fee      *Figure `yaml:"fee"` // of a message of so many bytes
	PerS     Figure  `yaml:"throughput"`
	Finality Figure  `yaml:"finality"`
	Energy   *Figure `yaml:"energy"` // nil: nobody measured it
	Notes    []Fact  `yaml:"notes"`
}

// Keys are what accounts of a ledger sign with.
type Keys struct {
	Suites    []string `yaml:"suites"` // of those that devices here have
	Others    string   `yaml:"others"`
	Source    []string `yaml:"source"`
	Confirmed bool     `yaml:"confirmed"`
}

// ShippedCatalogue is the one that this program carries, read once. It does not change.
func ShippedCatalogue() (*Catalogue, error) { return readCatalogue() }

var readCatalogue = sync.OnceValues(func() (*Catalogue, error) { return ParseCatalogue(catalogueText) })

// ParseCatalogue reads a catalogue. What it does not know, and figures without unit, source or condition, are errors.
func ParseCatalogue(text []byte) (*Catalogue, error) {
	c := new(Catalogue)
	if err := yaml.UnmarshalWithOptions(text, c, yaml.Strict()); err != nil {
		return nil, errors.New(yaml.FormatError(err, false, true))
	}
	if c.V != 1 {
		return nil, fmt.Errorf("the catalogue is of version %d; this program reads 1", c.V)
	}
	if err := c.checkSources(); err != nil {
		return nil, err
	}
	for _, f := range c.figures() {
		if err := c.checkFigure(f); err != nil {
			return nil, fmt.Errorf("%s: %w", f.where, err)
		}
	}
	for _, f := range c.facts() {
		if f.Text == "" {
			return nil, errors.New("a note has no text")
		}
		if err := c.known(f.Source); err != nil {
			return nil, fmt.Errorf("note %q: %w", f.Text, err)
		}
	}
	return c, c.checkLedgers()
}

func (c *Catalogue) checkSources() error {
	today, ok := c.Date.number()
	if !ok {
		return fmt.Errorf("date is a month such as 2026-11, not %q", c.Date)
	}
	for key, s := range c.Sources {
		of, ok := s.Of.number()
		oldest, kind := c.OldestMonths[s.Kind]
		switch {
		case s.Title == "" || !strings.HasPrefix(s.URL, "https://") && !strings.HasPrefix(s.URL, "docs/"):
			return fmt.Errorf("source %q needs a title and a url", key)
		case !ok || of > today:
			return fmt.Errorf("source %q: of is a month up to %s, not %q", key, c.Date, s.Of)
		case !kind:
			return fmt.Errorf("source %q: kind %q has no oldest_months", key, s.Kind)
		case today-of > oldest:
			return fmt.Errorf("source %q is of %s, and a %s may be %d months old", key, s.Of, s.Kind, oldest)
		}
	}
	return nil
}

// A placed figure stands somewhere, where one unit is expected.
type placed struct {
	where string
	*Figure
	unit string
}

func (c *Catalogue) figures() []placed {
	p, k, d := &c.Prices, &c.Kept, &c.Plain
	all := []placed{{"prices.eur_per_usd", &p.EURPerUSD, "EUR/USD"}, {"prices.cpu", &p.CPU, "USD/CPU-hour"},
		{"prices.storage", &p.Storage, "EUR/GB-month"}, {"prices.egress", &p.Egress, "USD/GB"}, {"prices.machine", &p.Machine, "EUR/year"},
		{"prices.server", &p.Server, "EUR/year"}, {"prices.gateway", &p.Gateway, "EUR/year"}, {"prices.electricity", &p.Electricity, "EUR/kWh"},
		{"prices.machine_idle", &p.MachineIdle, "W"}, {"prices.gateway_idle", &p.GatewayIdle, "W"},
		{"kept.report", &k.Report, "bytes/report"}, {"kept.reading", &k.Reading, "bytes/reading"},
		{"database.cpu", &d.CPU, "us/reading"}, {"database.stored", &d.Stored, "bytes/reading"},
		{"database.throughput", &d.Throughput, "readings/s"}, {"database.latency", &d.Latency, "s"}}
	for i := range c.Ledgers {
		l := &c.Ledgers[i]
		all = append(all, placed{l.Name + ": message_bytes", &l.Message, "bytes"}, placed{l.Name + ": throughput", &l.PerS, "messages/s"},
			placed{l.Name + ": finality", &l.Finality, "s"})
		for _, f := range []placed{{": peers", l.Peers, "servers/organisation"}, {": orderers", l.Orderers, "machines"}, {": stored", l.Stored, "bytes/message"},
			{": fee", l.Fee, "USD/message"},
			{": energy", l.Energy, "J/message"}} {
			if f.Figure != nil {
				all = append(all, placed{l.Name + f.where, f.Figure, f.unit})
			}
		}
	}
	return all
}

func (c *Catalogue) checkFigure(f placed) error {
	switch {
	case !(f.Low >= 0 && f.Low <= f.Mid && f.Mid <= f.High && f.High > 0 && f.High < 1e12):
		return fmt.Errorf("low, mid and high are %v, %v and %v: they must rise, from 0", f.Low, f.Mid, f.High)
	case f.Unit != f.unit:
		return fmt.Errorf("its unit is %q, not %q", f.unit, f.Unit)
	case f.Condition == "":
		return errors.New("it has no condition")
	case !f.Confirmed && f.Low == f.High && f.Unit != "bytes":
		return errors.New("it is not confirmed: it needs a range")
	}
	return c.known(f.Source)
}

func (c *Catalogue) known(sources []string) error {
	if len(sources) == 0 {
		return errors.New("it has no source")
	}
	for _, s := range sources {
		if _, ok := c.Sources[s]; !ok {
			return fmt.Errorf("source %q is not among sources", s)
		}
	}
	return nil
}

func (c *Catalogue) facts() []Fact {
	all := slices.Clone(c.Plain.Notes)
	for _, l := range c.Ledgers {
		all = append(all, l.Notes...)
	}
	return all
}

func (c *Catalogue) checkLedgers() error {
	for _, l := range c.Ledgers {
		if err := c.known(l.Keys.Source); err != nil {
			return fmt.Errorf("ledger %q: keys: %w", l.Name, err)
		}
		for _, suite := range l.Keys.Suites {
			if err := oneOf("keys.suites", suite, suites); err != nil {
				return fmt.Errorf("ledger %q: %w", l.Name, err)
			}
		}
		switch {
		case l.Name == "" || l.Runs == "" || len(l.Notes) == 0:
			return fmt.Errorf("ledger %q needs a name, who runs it, and notes", l.Name)
		case l.Writers != "members" && l.Writers != "anyone":
			return fmt.Errorf("ledger %q: writers is members or anyone, not %q", l.Name, l.Writers)
		case l.Final != "bft" && l.Final != "sequencer":
			return fmt.Errorf("ledger %q: final is bft or sequencer, not %q", l.Name, l.Final)
		case (l.Fee == nil) != (l.Token == "") || (l.Fee == nil) == (l.Peers == nil) || (l.Peers == nil) != (l.Orderers == nil) || (l.Peers == nil) != (l.Stored == nil):
			return fmt.Errorf("ledger %q has a fee and a token, or peers, orderers and stored", l.Name)
		}
	}
	return nil
}

// cite says where a figure is from, for people.
func (c *Catalogue) cite(f *Figure) string {
	return c.vouched(f.Source, f.Confirmed) + ": " + f.Condition
}

func (c *Catalogue) vouched(keys []string, confirmed bool) string {
	if confirmed {
		return c.sources(keys)
	}
	return c.sources(keys) + "; not confirmed"
}

func (c *Catalogue) sources(keys []string) string {
	var all []string
	for _, key := range keys {
		s := c.Sources[key]
		all = append(all, fmt.Sprintf("%s, %s, of %s (%s)", s.Title, s.URL, s.Of, s.Kind))
	}
	return strings.Join(all, "; ")
}
