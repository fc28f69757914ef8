// Package mapping reads what devices say that never heard of this project: JSON on MQTT topics, by a file that says which
// topic is whose and which number is which reading. What it reads is wrapped by the node as gateway and enrolled as
// channel-authenticated or unsigned; it never passes for a signature.
//
// It promises that numbers go from the JSON's digits to decimals without a float between, and that nothing is made up: a
// number that is not there, or not exact, is no reading. It does not convert beyond a factor, keep state per device, or
// send anything back.
//
// Start reading at [Parse] (the file), [Set.Match] and [Mapping.Read] (a message), then [Door] (who may say it). Limits are
// in limits.go. The mappings that come with the program are in builtin.yaml.
package mapping

import (
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/lamppost/lamppost"
)

//go:embed builtin.yaml
var builtin []byte

// A Set is a mapping file. It does not change and may be used concurrently.
type Set struct {
	mappings []*Mapping
	bridges  []lamppost.DeviceID
}

// A Mapping says which messages are a device's and what their numbers mean.
type Mapping struct {
	Name     string
	levels   []string // of the topic
	readings []source
}

// A source is where a reading stands in a message.
type source struct {
	path  []string // keys from the outside in; empty: the message is the number
	name  string
	unit  string
	kind  lamppost.Kind
	scale lamppost.Decimal
}

// file is the form of a mapping file.
type file struct {
	Builtin  []string      `yaml:"builtin"`
	Bridges  []string      `yaml:"bridges"`
	Mappings []fileMapping `yaml:"mappings"`
}

type fileMapping struct {
	Name     string        `yaml:"name"`
	Topic    string        `yaml:"topic"`
	Readings []fileReading `yaml:"readings"`
}

type fileReading struct {
	Path  string `yaml:"path"`
	Name  string `yaml:"name"`
	Unit  string `yaml:"unit"`
	Kind  string `yaml:"kind"`
	Scale string `yaml:"scale"`
}

// Parse reads a mapping file. Unknown keys are errors.
func Parse(text []byte) (*Set, error) {
	if len(text) > maxFileBytes {
		return nil, fmt.Errorf("mapping file: %d bytes are over the limit of %d", len(text), maxFileBytes)
	}
	f, err := read(text)
	if err != nil {
		return nil, fmt.Errorf("mapping file: %w", err)
	}
	s := &Set{}
	for _, b := range f.Bridges {
		if err := lamppost.CheckName("bridge", b); err != nil {
			return nil, fmt.Errorf("mapping file: %w", err)
		}
		s.bridges = append(s.bridges, lamppost.DeviceID(b))
	}
	for i := range f.Mappings {
		if err := s.add(&f.Mappings[i]); err != nil {
			return nil, err
		}
	}
	if err := s.addBuiltin(f.Builtin); err != nil {
		return nil, err
	}
	if len(s.mappings) == 0 {
		return nil, errors.New("mapping file: it maps nothing: name some under builtin or mappings")
	}
	return s, nil
}

func read(text []byte) (f file, err error) {
	if err := yaml.UnmarshalWithOptions(text, &f, yaml.Strict()); err != nil {
		return f, errors.New(yaml.FormatError(err, false, true))
	}
	return f, nil
}

// addBuiltin adds mappings of builtin.yaml by name.
func (s *Set) addBuiltin(names []string) error {
	ours, err := read(builtin)
	if err != nil {
		return err
	}
	for _, name := range names {
		i := slices.IndexFunc(ours.Mappings, func(m fileMapping) bool { return m.Name == name })
		if i < 0 {
			return fmt.Errorf("mapping file: no mapping %q comes with this program; there are %s", name, strings.Join(Builtin(), ", "))
		}
		if err := s.add(&ours.Mappings[i]); err != nil {
			return err
		}
	}
	return nil
}

// Builtin returns the names of the mappings that come with the program.
func Builtin() []string {
	ours, err := read(builtin)
	if err != nil {
		return nil // a test reads it
	}
	var names []string
	for _, m := range ours.Mappings {
		names = append(names, m.Name)
	}
	return names
}

func (s *Set) add(f *fileMapping) error {
	m := &Mapping{Name: f.Name, levels: strings.Split(f.Topic, "/")}
	fail := func(format string, args ...any) error {
		return fmt.Errorf("mapping %q: %s", f.Name, fmt.Sprintf(format, args...))
	}
	devices := 0
	for _, level := range m.levels {
		switch {
		case level == placeholder:
			devices++
		case strings.ContainsAny(level, "+#{}\x00"):
			return fail("topic %q: a level is literal, or %s", f.Topic, placeholder)
		}
	}
	if f.Name == "" || devices != 1 || m.levels[0] == "lp" {
		return fail("it needs a name and a topic with %s once, outside of lp/, not %q", placeholder, f.Topic)
	}
	if n := len(f.Readings); n == 0 || n > maxReadings || len(s.mappings) == maxMappings {
		return fail("a mapping has 1 to %d readings, and a file at most %d mappings", maxReadings, maxMappings)
	}
	for i := range f.Readings {
		r, err := f.Readings[i].source()
		if err != nil {
			return fail("%v", err)
		}
		m.readings = append(m.readings, r)
	}
	s.mappings = append(s.mappings, m)
	return nil
}

// placeholder stands in a topic for the level that names the device.
const placeholder = "{device}"

func (f *fileReading) source() (source, error) {
	r := source{name: f.Name, unit: f.Unit, scale: lamppost.Dec(1, 0)}
	if f.Path != "" {
		r.path = strings.Split(f.Path, ".")
	}
	if f.Name == "" || len(f.Name) > lamppost.MaxReadingNameBytes || f.Unit == "" || len(f.Unit) > lamppost.MaxUnitBytes {
		return r, fmt.Errorf("reading %q at %q: it needs a name and a unit", f.Name, f.Path)
	}
	switch f.Kind {
	case "", "gauge":
	case "register":
		r.kind = lamppost.Register
	default:
		return r, fmt.Errorf("reading %q: kind %q is not gauge or register", f.Name, f.Kind)
	}
	if f.Scale != "" {
		var err error
		if r.scale, err = lamppost.ParseDecimal(f.Scale); err != nil || r.scale.Mantissa <= 0 {
			return r, fmt.Errorf("reading %q: scale %q is not a decimal above zero", f.Name, f.Scale)
		}
	}
	return r, nil
}

// Filters returns the filters of MQTT subscriptions that bring every message Match finds somebody for.
func (s *Set) Filters() []string {
	var filters []string
	for _, m := range s.mappings {
		filters = append(filters, strings.Replace(strings.Join(m.levels, "/"), placeholder, "+", 1))
	}
	slices.Sort(filters)
	return slices.Compact(filters)
}

// Match finds whose message a topic carries: the device as the topic names it, which may be no valid id.
func (s *Set) Match(topic string) (device string, m *Mapping, ok bool) {
	if strings.HasPrefix(topic, "lp/") {
		return "", nil, false
	}
	levels := strings.Split(topic, "/")
	for _, m := range s.mappings {
		if device, ok := m.match(levels); ok {
			return device, m, true
		}
	}
	return "", nil, false
}

func (m *Mapping) match(levels []string) (device string, ok bool) {
	if len(levels) != len(m.levels) {
		return "", false
	}
	for i, level := range m.levels {
		switch {
		case level == placeholder:
			device = levels[i]
		case level != levels[i]:
			return "", false
		}
	}
	return device, true
}

// Bridge reports whether a device's connection may bring messages of others.
func (s *Set) Bridge(id lamppost.DeviceID) bool { return slices.Contains(s.bridges, id) }
