package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/lamppost/lamppost/tariff"
)

// A difference is a place where a file says something else than its proof.
type difference struct {
	path []string // field names and indexes
	got  string   // what the file says, as JSON; empty: nothing
	want string   // what the proof gives, as JSON; empty: nothing
}

// String says it without knowing what the field means.
func (d difference) String() string {
	name := "the file"
	if len(d.path) > 0 {
		name = d.path[len(d.path)-1]
		if _, err := strconv.Atoi(name); err == nil && len(d.path) > 1 {
			name = d.path[len(d.path)-2] + " " + name
		}
	}
	name = printable(clip(name))
	switch {
	case d.want == "":
		return fmt.Sprintf("%s %s stands in the file, but the proof does not give it", name, d.said())
	case d.got == "":
		return fmt.Sprintf("%s is missing, the proof gives %s", name, clip(d.want))
	}
	return fmt.Sprintf("%s %s is not what the proof gives (%s)", name, d.said(), unquote(d.want))
}

// said is the file's value for a message.
func (d difference) said() string { return printable(unquote(d.got)) }

func unquote(raw string) string {
	var s string
	if json.Unmarshal([]byte(raw), &s) == nil {
		return clip(s)
	}
	return clip(raw)
}

// A comparison gathers where two JSON documents differ, without regard to order, up to maxFaults.
type comparison struct{ found []difference }

// differences compares two JSON documents. It finds none where one of them cannot be read.
func differences(got, want []byte) []difference {
	a, errA := readJSON(got)
	b, errB := readJSON(want)
	if errA != nil || errB != nil {
		return nil
	}
	var c comparison
	c.values(nil, a, b)
	return c.found
}

func readJSON(data []byte) (v any, err error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	return v, dec.Decode(&v)
}

func (c *comparison) add(path []string, got, want string) {
	if len(c.found) < maxFaults {
		c.found = append(c.found, difference{slices.Clone(path), got, want})
	}
}

func (c *comparison) values(path []string, a, b any) {
	switch b := b.(type) {
	case map[string]any:
		if a, ok := a.(map[string]any); ok {
			c.objects(path, a, b)
			return
		}
	case []any:
		if a, ok := a.([]any); ok {
			c.arrays(path, a, b)
			return
		}
	default:
		if a == b { // b is a string, number, truth value or null, so this compares no map
			return
		}
	}
	c.add(path, text(a), text(b))
}

func (c *comparison) objects(path []string, a, b map[string]any) {
	var names []string
	for name := range b {
		names = append(names, name)
	}
	for name := range a {
		if _, ok := b[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		x, inA := a[name]
		y, inB := b[name]
		switch here := append(path, name); {
		case !inB:
			c.add(here, text(x), "")
		case !inA:
			c.add(here, "", text(y))
		default:
			c.values(here, x, y)
		}
	}
}

func (c *comparison) arrays(path []string, a, b []any) {
	for i := range min(len(a), len(b)) {
		c.values(append(path, strconv.Itoa(i)), a[i], b[i])
	}
	if len(a) != len(b) {
		c.add(path, fmt.Sprintf("with %d entries", len(a)), fmt.Sprintf("%d entries", len(b)))
	}
}

func text(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		return "?"
	}
	return string(raw)
}

// place names the invoice and line of a difference, and for what people look at first the link that broke.
func (s *Statement) place(d difference) error {
	if len(d.path) > 0 && d.path[0] == "payments" {
		return s.placePaid(d)
	}
	if len(d.path) < 3 || d.path[0] != "invoices" {
		if d.path != nil && d.path[0] == "checkpoint" {
			return fmt.Errorf("checkpoint: %s", d)
		}
		return nil
	}
	i, err := strconv.Atoi(d.path[1])
	if err != nil || i >= len(s.invoices) {
		return nil
	}
	inv := s.invoices[i]
	if d.path[2] != "lines" || len(d.path) < 5 {
		return &LineError{Invoice: inv.Number, Err: errors.New(d.String())}
	}
	j, err := strconv.Atoi(d.path[3])
	if err != nil || j >= len(s.Invoices[i].Lines) {
		return nil
	}
	line := &s.Invoices[i].Lines[j]
	return &LineError{inv.Number, line.N, lineWords(d, d.path[4:], inv, line)}
}

// lineWords says what a difference in a line means; at is the path inside the line.
func lineWords(d difference, at []string, inv *Invoice, line *BilledLine) error {
	i, billed := findLine(inv, line.N)
	switch field := at[0]; {
	case d.got == "" || d.want == "" || billed == nil:
	case field == "amount":
		return amountDifference(&inv.Supplies[i], billed, d.said())
	case field == "price":
		return fmt.Errorf("price %s is not that of tariff %q version %d (%s)", d.said(), inv.Supplies[i].Tariff, inv.Supplies[i].Version, line.Price)
	case (field == "opening" || field == "closing") && len(at) == 2:
		v := line.Opening
		if field == "closing" {
			v = line.Closing
		}
		return fmt.Errorf("%s %s %s is not what device %s signed for %s (%s)", field, at[1], d.said(), line.Device, v.Time, unquote(d.want))
	}
	return errors.New(d.String())
}

// findLine returns a line of an invoice and the place of its supply, or nil.
func findLine(inv *Invoice, n uint32) (supply int, line *tariff.Line) {
	for i := range inv.Supplies {
		s := &inv.Supplies[i]
		for j := range s.Lines {
			if s.Lines[j].N == n {
				return i, &s.Lines[j]
			}
		}
	}
	return 0, nil
}
