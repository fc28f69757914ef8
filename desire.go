package lamppost

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Commands: what a device should be like for a while. A command is an order on the ledger, which numbers those of a device by revision;
// what the device made of it stands in a report that it signs. The guard decides what of it holds (package guard).

// DesireBody says what a device should be like until a time, or takes that back. It replaces what was desired before, all of it.
type DesireBody struct {
	Device DeviceID  `cbor:"1,keyasint" json:"device"`
	ID     string    `cbor:"2,keyasint" json:"id"`            // chosen by who commands: the same id again is the same command
	Set    Setpoints `cbor:"3,keyasint,omitempty" json:"set"` // by name; none takes back what is desired
	Until  TimeMS    `cbor:"4,keyasint,omitempty" json:"until_ms"`
	By     string    `cbor:"5,keyasint" json:"by"` // who commands, for people
	Reason string    `cbor:"6,keyasint,omitempty" json:"reason"`
	After  *uint64   `cbor:"7,keyasint,omitempty" json:"after,omitempty"` // the revision that it replaces; otherwise any
	Mode   string    `cbor:"8,keyasint,omitempty" json:"mode,omitempty"`  // of the agent that commands; empty: a person does
}

// A Setpoint is what one function should be at: a level in percent, or a value of another unit.
type Setpoint struct {
	Name  string  `cbor:"1,keyasint" json:"name"`
	Value Decimal `cbor:"2,keyasint" json:"value"`
	Unit  string  `cbor:"3,keyasint" json:"unit"` // "%": a level, a whole number from 0 to 100
}

// Level is the unit of levels.
const Level = "%"

// Modes of agents whose commands count; those of any other have nothing to say.
const (
	ModeBounded = "bounded"
	ModeSafe    = "safe"
)

// IsLevel reports whether a setpoint is a level that can be, and which; 0 if it is none.
func (s *Setpoint) IsLevel() (percent uint8, ok bool) {
	n, whole := s.Value.At(0)
	if s.Unit != Level || !whole || n < 0 || n > FullService {
		return 0, false
	}
	return uint8(n), true
}

// String writes "60 %".
func (s *Setpoint) String() string { return s.Value.String() + " " + s.Unit }

// Setpoints are those of a command. Their JSON is an object by name, in which a number is a level and a text has its unit:
// {"level":60,"power":"3500 W"}.
type Setpoints []Setpoint

// reserved are the names of a message to a device that are no functions.
var reserved = [...]string{"left_ms", "revision", "until_ms"}

// Check refuses what no device could understand.
func (all Setpoints) Check() error {
	if len(all) > MaxSetpoints {
		return fmt.Errorf("%d setpoints: a command has at most %d", len(all), MaxSetpoints)
	}
	for i := range all {
		s := &all[i]
		if err := CheckName("function", s.Name); err != nil {
			return err
		}
		_, level := s.IsLevel()
		switch {
		case slices.Contains(reserved[:], s.Name):
			return fmt.Errorf("%q is no function: the message to the device uses the name", s.Name)
		case i > 0 && all[i-1].Name >= s.Name:
			return fmt.Errorf("setpoint %q: they are sorted by name, each once", s.Name)
		case s.Unit == Level && !level:
			return fmt.Errorf("%s=%s: a level is a whole number from 0 to 100 %%", s.Name, s.Value)
		case s.Unit == "" || len(s.Unit) > MaxUnitBytes || strings.ContainsFunc(s.Unit, func(r rune) bool { return r <= ' ' || r > '~' }):
			return fmt.Errorf("%s=%s: unit %q is not 1 to %d printable characters without spaces, such as W", s.Name, s.Value, clip(s.Unit), MaxUnitBytes)
		}
	}
	return nil
}

// MarshalJSON writes the object, by name.
func (all Setpoints) MarshalJSON() ([]byte, error) {
	return append(all.appendFields([]byte{'{'}), '}'), nil
}

func (all Setpoints) appendFields(b []byte) []byte {
	for i := range all {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(strconv.AppendQuote(b, all[i].Name), ':')
		if n, level := all[i].IsLevel(); level {
			b = strconv.AppendUint(b, uint64(n), 10)
		} else {
			b = strconv.AppendQuote(b, all[i].String())
		}
	}
	return b
}

// UnmarshalJSON reads what MarshalJSON writes, in any order of names, each of them once.
func (all *Setpoints) UnmarshalJSON(raw []byte) error {
	set, err := readFields(raw, func(name string, _ json.RawMessage) error { return fmt.Errorf("%q is no function", name) })
	if err == nil {
		*all = set
	}
	return err
}

// readFields reads an object of setpoints. Of a name that stands twice nobody knows which of both is meant.
func readFields(raw []byte, other func(name string, value json.RawMessage) error) (set Setpoints, err error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return nil, errors.New(`expected an object of functions, such as {"level":60}`)
	}
	seen := map[string]bool{}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, err
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, err
		}
		key := name.(string) // of an object
		if seen[key] || len(seen) > MaxSetpoints+len(reserved) {
			return nil, fmt.Errorf("%q stands twice, or there are too many", clip(key))
		}
		seen[key] = true
		if slices.Contains(reserved[:], key) {
			err = other(key, value)
		} else {
			var s Setpoint
			s, err = readSetpoint(key, value)
			set = append(set, s)
		}
		if err != nil {
			return nil, err
		}
	}
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("something follows the object")
	}
	slices.SortFunc(set, func(a, b Setpoint) int { return strings.Compare(a.Name, b.Name) })
	return set, set.Check()
}

func readSetpoint(name string, value json.RawMessage) (Setpoint, error) {
	var text string
	if len(value) == 0 || value[0] != '"' {
		text = string(value) + " " + Level
	} else if err := json.Unmarshal(value, &text); err != nil {
		return Setpoint{}, err
	}
	return ParseSetpoint(name, text)
}

// ParseSetpoint reads what Setpoint.String writes; the space before the unit may be missing, and so may the unit of a level.
func ParseSetpoint(name, text string) (Setpoint, error) {
	digits, unit := text, Level
	if i := strings.IndexFunc(text, func(r rune) bool { return (r < '0' || r > '9') && r != '.' && r != '-' }); i >= 0 {
		digits, unit = text[:i], strings.TrimSpace(text[i:])
	}
	value, err := ParseDecimal(digits)
	if err != nil {
		return Setpoint{}, fmt.Errorf(`%s: %q is neither a level, such as 60, nor a value with its unit, such as "3500 W"`, clip(name), clip(text))
	}
	return Setpoint{name, value, unit}, Setpoints{{name, value, unit}}.Check()
}

// Check refuses commands that nobody could mean, and those of agents that may not command.
func (b *DesireBody) Check() error {
	for _, id := range [...][2]string{{"device", string(b.Device)}, {"command", b.ID}} {
		if err := CheckName(id[0], id[1]); err != nil {
			return err
		}
	}
	switch {
	case b.By == "" || len(b.By) > MaxTextBytes || !utf8.ValidString(b.By) || len(b.Reason) > MaxTextBytes || !utf8.ValidString(b.Reason):
		return fmt.Errorf("command %q: it says who commands, and why in at most %d bytes", b.ID, MaxTextBytes)
	case b.Until < 0 || b.Until > math.MaxInt64/2 || (len(b.Set) == 0) != (b.Until == 0):
		return fmt.Errorf("command %q: it ends at some time, and has something to set", b.ID)
	}
	return b.Set.Check()
}

// CheckMode refuses the command of an agent that only advises, or that its owner has stopped.
func (b *DesireBody) CheckMode() error {
	switch b.Mode {
	case "", ModeBounded, ModeSafe:
		return nil
	}
	return fmt.Errorf("an agent in mode %q commands nothing: its owner lets it act in mode %q", clip(b.Mode), ModeBounded)
}

// Desired is what a device is told that it should be like: its latest revision. Without setpoints nothing is desired, and it goes to its safe
// state, as it does by itself when Left has passed since it was told.
type Desired struct {
	Revision uint64 // 0: of a gateway's own
	Until    TimeMS // for people and for devices that know the time
	Left     TimeMS // when it was told
	Set      Setpoints
}

// MarshalJSON writes {"level":60,"power":"3500 W","revision":7,"until_ms":…,"left_ms":…}; what is 0 is left out.
func (d Desired) MarshalJSON() ([]byte, error) {
	b := d.Set.appendFields([]byte{'{'})
	for _, f := range [...]struct {
		name string
		n    uint64
	}{{"revision", d.Revision}, {"until_ms", uint64(d.Until)}, {"left_ms", uint64(d.Left)}} {
		if f.n == 0 {
			continue
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(append(strconv.AppendQuote(b, f.name), ':'), f.n, 10)
	}
	return append(b, '}'), nil
}

// ParseDesired reads a message to a device. An empty one says that nothing is desired.
func ParseDesired(raw []byte) (d Desired, err error) {
	if len(raw) == 0 {
		return d, nil
	}
	if len(raw) > MaxDesiredBytes {
		return d, fmt.Errorf("a desired state of %d bytes is over the limit of %d", len(raw), MaxDesiredBytes)
	}
	d.Set, err = readFields(raw, func(name string, value json.RawMessage) error {
		n, err := strconv.ParseUint(string(value), 10, 62)
		if err != nil {
			return fmt.Errorf("%s is not a whole number", name)
		}
		switch name {
		case "revision":
			d.Revision = n
		case "until_ms":
			d.Until = TimeMS(n)
		default:
			d.Left = TimeMS(n)
		}
		return nil
	})
	if err != nil {
		return Desired{}, fmt.Errorf("reading a desired state: %w", err)
	}
	return d, nil
}

// UnmarshalJSON reads what MarshalJSON writes.
func (d *Desired) UnmarshalJSON(raw []byte) (err error) {
	*d, err = ParseDesired(raw)
	return err
}

// A Grant is what became of one setpoint at the device.
type Grant struct {
	Want Setpoint `json:"want"`
	Got  *Decimal `json:"got,omitempty"` // in the unit of Want; nil: nothing of it holds, and the function is at its safe state
	Why  Why      `json:"why"`
}

// A Why says why a device does otherwise than it was told. The numbers are part of the format.
type Why uint8

// Whys.
const (
	AsDesired Why = iota
	IsLife        // class life runs at 100 %
	IsMinimum     // not below the minimum of its class
	IsUnasked     // essential: restricted by notice only, which a command is not
	IsAsked       // the guard restricts it, as the ledger asks
	IsUnknown     // the device has no such function, or not in this unit
	IsStopped     // whoever is at the device has switched commands off
)

var whyTexts = [...]string{"as desired", "a function of class life is never restricted", "not below its minimum", "an essential function is restricted by notice only",
	"a restriction that the guard grants holds", "the device has no such function in this unit", "commands are switched off at the device"}

// String returns the reason in words.
func (w Why) String() string {
	if int(w) < len(whyTexts) {
		return whyTexts[w]
	}
	return fmt.Sprintf("for reason %d, which this version does not know", w)
}

// DesiredName is the name of the reading that acknowledges a command: its revision. Names that begin with it and a dot belong to it.
const DesiredName = "desired"

const whySuffix = ".why"

// AckReadings are what a device reports of a revision when it acts on it, all in one report: that revision, what it does of each setpoint, and
// the number of the reason where that is not what was desired.
func AckReadings(revision uint64, grants []Grant, at TimeMS) []Reading {
	all := []Reading{{Name: DesiredName, Time: at, Value: Dec(int64(min(revision, math.MaxInt64)), 0)}}
	for i := range grants {
		g := &grants[i]
		name := DesiredName + "." + g.Want.Name
		if g.Got != nil {
			all = append(all, Reading{Name: name, Unit: g.Want.Unit, Time: at, Value: *g.Got})
		}
		if g.Why != AsDesired {
			all = append(all, Reading{Name: name + whySuffix, Time: at, Value: Dec(int64(g.Why), 0)})
		}
	}
	return all
}

// An Ack is what a report says of a revision.
type Ack struct {
	Revision uint64  `json:"revision"`
	Grants   []Grant `json:"grants"` // of one that was read from a report: Want has only a name, and a unit where Got is there
}

// IsAck reports whether a reading belongs to an acknowledgement, and is no measurement.
func IsAck(name string) bool {
	rest, ok := strings.CutPrefix(name, DesiredName)
	return ok && (rest == "" || rest[0] == '.')
}

// ReadAck reads the acknowledgement in a report, if there is one. Strings are copied.
func ReadAck(readings []Reading) (a Ack, ok bool) {
	for i := range readings {
		r := &readings[i]
		if !IsAck(r.Name) || r.IsFloat {
			continue
		}
		if r.Name == DesiredName {
			n, whole := r.Value.At(0)
			a.Revision, ok = uint64(n), whole && n >= 0
			continue
		}
		name, why := strings.CutSuffix(r.Name[len(DesiredName)+1:], whySuffix)
		at := slices.IndexFunc(a.Grants, func(g Grant) bool { return g.Want.Name == name })
		if at < 0 {
			if len(a.Grants) == MaxSetpoints {
				continue
			}
			at, a.Grants = len(a.Grants), append(a.Grants, Grant{Want: Setpoint{Name: strings.Clone(name)}})
		}
		if g := &a.Grants[at]; why {
			n, _ := r.Value.At(0)
			g.Why = Why(max(0, min(n, math.MaxUint8)))
		} else {
			got := r.Value
			g.Got, g.Want.Unit = &got, strings.Clone(r.Unit)
		}
	}
	return a, ok
}
