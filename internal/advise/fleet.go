package advise

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"

	"github.com/goccy/go-yaml"

	"github.com/lamppost/lamppost/internal/explore"
	"github.com/lamppost/lamppost/sig"
)

// A Fleet is what is known of the machines, of those who live with their readings, and of what must hold. Its file is YAML, with the
// names below; unknown keys are errors.
type Fleet struct {
	Name          string         `yaml:"name" json:"name"`
	Classes       []Class        `yaml:"classes" json:"classes"`
	Organisations []Organisation `yaml:"organisations" json:"organisations"`
	Needs         Needs          `yaml:"needs" json:"needs"`
}

// A Class is devices that are alike.
type Class struct {
	Name         string   `yaml:"name" json:"name"`
	Devices      int      `yaml:"devices" json:"devices"`
	Signs        []string `yaml:"signs" json:"signs"`                 // suites that the device can sign with: ed25519, es256, hmac-sha256; [] or none: it cannot
	Power        string   `yaml:"power" json:"power"`                 // mains (default), battery
	BatteryWh    float64  `yaml:"battery_wh" json:"battery_wh"`       // of a device on battery
	BatteryYears float64  `yaml:"battery_years" json:"battery_years"` // how long it must last
	Link         string   `yaml:"link" json:"link"`                   // ethernet (default), wifi, zigbee, cellular, lora
	ReadingsADay float64  `yaml:"readings_a_day" json:"readings_a_day"`
	LateMinutes  float64  `yaml:"late_minutes" json:"late_minutes"` // how old a reading may be when it is committed: what a report may gather; 0: it is sent at once
	Peak         float64  `yaml:"peak" json:"peak"`                 // the busiest hour against the mean; default 3
	OnSite       bool     `yaml:"on_site" json:"on_site"`           // a gateway can stand near the devices
}

// An Organisation is somebody who writes or reads the fleet's books.
type Organisation struct {
	Name   string   `yaml:"name" json:"name"`
	Runs   bool     `yaml:"runs" json:"runs"`     // can run a member on a machine of its own
	Trusts []string `yaml:"trusts" json:"trusts"` // whose books it takes unchecked
	Place  string   `yaml:"place" json:"place"`   // where its machine stands: a country (ISO 3166)
}

// Needs are what must hold.
type Needs struct {
	LatencyMS      float64  `yaml:"latency_ms" json:"latency_ms"`           // from a report's sending until it is final, 99 of 100; default 5,000
	Survive        string   `yaml:"survive" json:"survive"`                 // whose loss the service bears: nothing (default), machine, organisation
	NobodyAlone    bool     `yaml:"nobody_alone" json:"nobody_alone"`       // no single party may refuse, delay or reorder what others send
	Check          string   `yaml:"check" json:"check"`                     // who may check the books: nobody, parties (default), anyone
	Strangers      bool     `yaml:"strangers" json:"strangers"`             // people nobody knows beforehand may write
	RTTMS          float64  `yaml:"rtt_ms" json:"rtt_ms"`                   // round trip between members' machines; default 20
	RetentionYears float64  `yaml:"retention_years" json:"retention_years"` // default 10
	PersonalData   bool     `yaml:"personal_data" json:"personal_data"`     // readings tell of persons
	StayIn         []string `yaml:"stay_in" json:"stay_in"`                 // countries the data may be in; none: anywhere
	ValueADay      float64  `yaml:"value_a_day" json:"value_a_day"`         // EUR that the readings of a day decide on
	BudgetAYear    float64  `yaml:"budget_a_year" json:"budget_a_year"`     // EUR; 0: not said
}

// Limits of a fleet.
const (
	MaxFleetBytes    = 256 << 10 // of its file
	maxClasses       = 50
	maxOrganisations = 30
	maxTextRunes     = 80 // of a name
)

// Words that fields may have.
var (
	powers   = []string{"mains", "battery"}
	links    = []string{"ethernet", "wifi", "zigbee", "cellular", "lora"}
	survives = []string{"nothing", "machine", "organisation"}
	checks   = []string{"nobody", "parties", "anyone"}
	suites   = []string{sig.EdDSA.String(), sig.ES256.String(), sig.HMAC256.String(), none}
)

const none = "none"

// defaultRTTMS is for a file that does not say: two towns of a country. 0 is a value of its own.
const defaultRTTMS = 20

// given says which of the fields are there whose 0 means something else than that they are left out.
type given struct {
	Needs struct {
		RTTMS *float64 `yaml:"rtt_ms" json:"rtt_ms"`
	} `yaml:"needs" json:"needs"`
}

// ParseFleet reads a fleet's file and puts in what it leaves out. Its errors name the field and say what is allowed there.
func ParseFleet(text []byte) (*Fleet, error) {
	if len(text) > MaxFleetBytes {
		return nil, fmt.Errorf("a fleet has at most %d bytes", MaxFleetBytes)
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, errors.New("the fleet is empty: lamppost advise --example prints one, and examples/fleets has some")
	}
	f, g := new(Fleet), given{}
	if err := unmarshal(text, f, yaml.Strict()); err != nil {
		return nil, err
	}
	if err := unmarshal(text, &g); err != nil {
		return nil, err
	}
	f.complete(g)
	if err := f.Check(); err != nil {
		return nil, atLine(text, f, err)
	}
	return f, nil
}

// unmarshal reads YAML. The library panics at some texts that are none, such as a tag without a value.
func unmarshal(text []byte, into any, options ...yaml.DecodeOption) (err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("the fleet is no YAML that can be read")
		}
	}()
	if err := yaml.UnmarshalWithOptions(text, into, options...); err != nil {
		return explore.PlainYAML(err)
	}
	return nil
}

// ParseFleetJSON reads a fleet with the same names in JSON.
func ParseFleetJSON(text []byte) (*Fleet, error) {
	if len(text) > MaxFleetBytes {
		return nil, fmt.Errorf("a fleet has at most %d bytes", MaxFleetBytes)
	}
	f, g := new(Fleet), given{}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(f); err != nil {
		return nil, fmt.Errorf("the fleet is not as it should be: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("the fleet is one JSON object, and nothing follows it")
	}
	if err := json.Unmarshal(text, &g); err != nil {
		return nil, err
	}
	f.complete(g)
	return f, f.Check()
}

// complete puts in what is left out.
func (f *Fleet) complete(g given) {
	for i := range f.Classes {
		c := &f.Classes[i]
		c.Power, c.Link, c.Peak = or(c.Power, "mains"), or(c.Link, "ethernet"), or(c.Peak, 3)
	}
	n := &f.Needs
	n.LatencyMS, n.Survive, n.Check, n.RetentionYears = or(n.LatencyMS, 5000), or(n.Survive, "nothing"), or(n.Check, "parties"), or(n.RetentionYears, 10)
	if g.Needs.RTTMS == nil {
		n.RTTMS = defaultRTTMS
	}
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// Check refuses what cannot be a fleet. It changes nothing.
func (f *Fleet) Check() error {
	switch {
	case f.Name == "":
		return errors.New("name: say what the fleet is called")
	case len(f.Classes) == 0:
		return errors.New("classes: there are no devices; say at least one class, with name, devices, signs and readings_a_day")
	case len(f.Classes) > maxClasses:
		return fmt.Errorf("classes: at most %d, not %d", maxClasses, len(f.Classes))
	case len(f.Organisations) == 0:
		return errors.New("organisations: say at least one, whose books they are")
	case len(f.Organisations) > maxOrganisations:
		return fmt.Errorf("organisations: at most %d, not %d", maxOrganisations, len(f.Organisations))
	}
	if err := checkText("name", f.Name); err != nil {
		return err
	}
	seen := map[string]bool{}
	for i := range f.Classes {
		if err := f.Classes[i].check(i, seen); err != nil {
			return err
		}
	}
	clear(seen)
	for i := range f.Organisations {
		if err := f.checkOrganisation(i, seen); err != nil {
			return err
		}
	}
	return f.Needs.check()
}

func (c *Class) check(i int, seen map[string]bool) error {
	if err := checkName("classes", i, c.Name, seen); err != nil {
		return err
	}
	at := "classes." + c.Name + "."
	battery := c.Power == "battery"
	if c.Signs == nil {
		return fmt.Errorf("%ssigns: say what its devices can sign with, of %s; or [] if they cannot", at, list(suites[:3]))
	}
	for _, s := range c.Signs {
		if err := oneOf(at+"signs", s, suites); err != nil {
			return err
		}
		if s == none && len(c.Signs) > 1 {
			return fmt.Errorf("%ssigns: none stands alone", at)
		}
	}
	if (c.BatteryWh != 0 || c.BatteryYears != 0) && !battery {
		return fmt.Errorf("%sbattery_wh and battery_years mean nothing unless power is battery", at)
	}
	return errors.Join(
		oneOf(at+"power", c.Power, powers),
		oneOf(at+"link", c.Link, links),
		within(at+"devices", float64(c.Devices), 1, 10_000_000),
		within(at+"readings_a_day", c.ReadingsADay, 0.01, 864_000),
		within(at+"late_minutes", c.LateMinutes, 0, 10_080),
		within(at+"peak", c.Peak, 1, 24),
		when(battery, within(at+"battery_wh", c.BatteryWh, 0.01, 100_000)),
		within(at+"battery_years", c.BatteryYears, 0, 50),
	)
}

func (f *Fleet) checkOrganisation(i int, seen map[string]bool) error {
	o := &f.Organisations[i]
	if err := checkName("organisations", i, o.Name, seen); err != nil {
		return err
	}
	at := "organisations." + o.Name + "."
	for _, t := range o.Trusts {
		switch {
		case t == o.Name:
			return fmt.Errorf("%strusts: %q is itself", at, t)
		case !slices.ContainsFunc(f.Organisations, func(o Organisation) bool { return o.Name == t }):
			return fmt.Errorf("%strusts: %q is none of the organisations", at, t)
		}
	}
	return checkCountry(at+"place", o.Place)
}

func (n *Needs) check() error {
	for _, country := range n.StayIn {
		if err := checkCountry("needs.stay_in", or(country, "?")); err != nil {
			return err
		}
	}
	return errors.Join(
		within("needs.latency_ms", n.LatencyMS, 1, 86_400_000),
		oneOf("needs.survive", n.Survive, survives),
		oneOf("needs.check", n.Check, checks),
		within("needs.rtt_ms", n.RTTMS, 0, 2000),
		within("needs.retention_years", n.RetentionYears, 0.01, 100),
		within("needs.value_a_day", n.ValueADay, 0, 1e12),
		within("needs.budget_a_year", n.BudgetAYear, 0, 1e12),
	)
}

func checkName(list string, i int, name string, seen map[string]bool) error {
	if name == "" {
		return fmt.Errorf("%s[%d].name: say what it is called", list, i)
	}
	if err := checkText(fmt.Sprintf("%s[%d].name", list, i), name); err != nil {
		return err
	}
	if seen[name] {
		return fmt.Errorf("%s[%d].name: %q is there twice", list, i, name)
	}
	seen[name] = true
	return nil
}

// checkText keeps names to what a terminal, a page and a path of fields can show. "*" is for all of them in paths.
func checkText(field, text string) error {
	odd := func(r rune) bool {
		return !unicode.IsPrint(r) || r == unicode.ReplacementChar || strings.ContainsRune("*#\"`", r)
	}
	if n := len([]rune(text)); n > maxTextRunes || strings.ContainsFunc(text, odd) || strings.TrimSpace(text) != text {
		return fmt.Errorf("%s: 1 to %d printable characters, without blanks around it and without * # \" and `", field, maxTextRunes)
	}
	return nil
}

func checkCountry(field, c string) error {
	if c != "" && (len(c) != 2 || c[0] < 'A' || c[0] > 'Z' || c[1] < 'A' || c[1] > 'Z') {
		return fmt.Errorf("%s: a country in two capital letters (ISO 3166), such as DE, not %q", field, c)
	}
	return nil
}

func within(field string, v, low, high float64) error {
	if v >= low && v <= high {
		return nil
	}
	return fmt.Errorf("%s: from %s to %s, not %s", field, plain(low), plain(high), plain(v))
}

func when(condition bool, err error) error {
	if !condition {
		return nil
	}
	return err
}

func oneOf(field, v string, words []string) error {
	if slices.Contains(words, v) {
		return nil
	}
	return fmt.Errorf("%s: %s, not %q", field, list(words), v)
}

// list is "a, b or c".
func list(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
