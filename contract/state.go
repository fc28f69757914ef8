package contract

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/lamppost/lamppost"
)

// MaxParts is how many parts an event tells of at most.
const MaxParts = 128

// Fold makes fewer parts of more than a program is told of: one of all that a device delivered, or that is taken back of it.
func Fold(parts []Part) []Part {
	if len(parts) <= MaxParts {
		return parts
	}
	var all []Part
	at := map[Part]int{}
	for _, p := range parts {
		key := Part{Device: p.Device, Earns: p.Earns, Pays: p.Pays, Back: p.Back}
		i, there := at[key]
		if !there {
			i, all = len(all), append(all, key)
			at[key] = i
		}
		var ok1, ok2 bool
		all[i].Net, ok1 = all[i].Net.Add(p.Net)
		all[i].Used, ok2 = all[i].Used.Add(p.Used)
		if !ok1 || !ok2 {
			return parts // which no program can sum up either
		}
	}
	return all
}

// A field of a dict that a program is given.
type field struct {
	key string
	val value
}

func (r *run) dictFrom(fields ...field) (*dict, *Failure) {
	d, f := r.newDict(0)
	for i := 0; f == nil && i < len(fields); i++ {
		f = r.set(0, d, fields[i].key, fields[i].val)
	}
	return d, f
}

// args makes a dict of what an order named.
func (r *run) args(args []lamppost.Arg) (*dict, *Failure) {
	fields := make([]field, len(args))
	for i, a := range args {
		fields[i] = field{a.Name, a.Number}
		if a.Text != "" {
			fields[i].val = a.Text
		}
	}
	return r.dictFrom(fields...)
}

// event makes the dict that a program sees. Every key is there whatever happened.
func (r *run) event(e *Event) (value, *Failure) {
	args, f := r.args(e.Args)
	if f != nil {
		return nil, f
	}
	readings, f := listFrom(r, e.Readings, func(x *Reading) (*dict, *Failure) {
		return r.dictFrom(field{"device", string(x.Device)}, field{"register", x.Register}, field{"time", int64(x.Time)}, field{"value", int64(x.Value)},
			field{"measured", x.Measured})
	})
	if f != nil {
		return nil, f
	}
	var b Bill
	if e.Bill != nil {
		b = *e.Bill
	}
	if len(b.Parts) > MaxParts {
		return nil, r.fail(0, OverBytes, "the bill has %d parts, more than %d", len(b.Parts), MaxParts)
	}
	var net, used lamppost.Micro
	ok := true
	parts, f := listFrom(r, b.Parts, func(x *Part) (*dict, *Failure) {
		var ok1, ok2 bool
		net, ok1 = net.Add(x.Net)
		used, ok2 = used.Add(x.Used)
		ok = ok && ok1 && ok2
		return r.dictFrom(field{"device", string(x.Device)}, field{"agreement", x.Agreement}, field{"session", x.Session}, field{"earns", string(x.Earns)},
			field{"pays", string(x.Pays)}, field{"net", int64(x.Net)}, field{"used", int64(x.Used)},
			field{"back", x.Back})
	})
	if f == nil && !ok {
		f = r.overflow(0)
	}
	if f != nil {
		return nil, f
	}
	return r.dictFrom(field{"name", e.Name}, field{"time", int64(e.Time)}, field{"by", e.By}, field{"number", b.Number}, field{"corrects", b.Corrects},
		field{"seller", string(b.Seller)}, field{"buyer", string(b.Buyer)}, field{"from", int64(b.From)}, field{"to", int64(b.To)},
		field{"net", int64(net)}, field{"used", int64(used)}, field{"parts", parts}, field{"readings", readings}, field{"args", args})
}

func listFrom[X any](r *run, all []X, fn func(*X) (*dict, *Failure)) (*list, *Failure) {
	l, f := r.newList(0, len(all), false)
	for i := 0; f == nil && i < len(all); i++ {
		var d *dict
		d, f = fn(&all[i])
		l.items = append(l.items, d)
	}
	return l, f
}

// writeState writes what a program keeps as JSON: None, bools, integers, texts, lists and dicts, keys in the order in which they came.
func (r *run) writeState(v *dict) ([]byte, *Failure) {
	b, f := r.appendJSON(nil, v, 0)
	if f == nil && len(b) > r.p.limits.State {
		f = r.fail(0, BadState, "the state has more than %d bytes", r.p.limits.State)
	}
	if f != nil {
		return nil, f
	}
	return b, nil
}

func (r *run) appendJSON(b []byte, v value, depth int) ([]byte, *Failure) {
	if f := r.step(0, 1); f != nil {
		return nil, f
	}
	if depth > maxNesting || len(b) > r.p.limits.State {
		return nil, r.fail(0, BadState, "the state is nested too deeply, or has more than %d bytes", r.p.limits.State)
	}
	switch v := v.(type) {
	case nil:
		return append(b, "null"...), nil
	case bool:
		return strconv.AppendBool(b, v), nil
	case int64:
		return strconv.AppendInt(b, v, 10), nil
	case string:
		return appendText(b, v), nil
	case *list:
		b = append(b, '[')
		for i, x := range v.items {
			if i > 0 {
				b = append(b, ',')
			}
			var f *Failure
			if b, f = r.appendJSON(b, x, depth+1); f != nil {
				return nil, f
			}
		}
		return append(b, ']'), nil
	case *dict:
		b = append(b, '{')
		for i, k := range v.keys {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendText(b, k), ':')
			var f *Failure
			if b, f = r.appendJSON(b, v.vals[k], depth+1); f != nil {
				return nil, f
			}
		}
		return append(b, '}'), nil
	}
	return nil, r.fail(0, BadState, "a %s cannot be kept", kind(v))
}

// appendText writes a JSON string in one spelling, whichever version of a library is at hand.
func appendText(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < 0x20:
			b = fmt.Appendf(b, "\\u%04x", c)
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

// readState reads what writeState wrote, or makes an empty dict of nothing.
func (r *run) readState(raw []byte) (*dict, *Failure) {
	if len(raw) == 0 {
		return r.newDict(0)
	}
	dec := json.NewDecoder(strings.NewReader(string(raw)))
	dec.UseNumber()
	v, f := r.readJSON(dec, 0)
	if f != nil {
		return nil, f
	}
	d, ok := v.(*dict)
	if _, err := dec.Token(); !ok || err == nil {
		return nil, r.fail(0, BadState, "the state is not a dict")
	}
	return d, nil
}

func (r *run) readJSON(dec *json.Decoder, depth int) (value, *Failure) {
	t, err := dec.Token()
	if f := r.step(0, 1); f != nil {
		return nil, f
	}
	bad := func() (value, *Failure) { return nil, r.fail(0, BadState, "the state is damaged") }
	if err != nil || depth > maxNesting {
		return bad()
	}
	switch t := t.(type) {
	case nil, bool:
		return t, nil
	case string:
		return t, r.make(0, costText+len(t))
	case json.Number:
		n, err := strconv.ParseInt(string(t), 10, 64)
		if err != nil {
			return bad()
		}
		return n, nil
	case json.Delim:
		if t == '[' {
			return r.readList(dec, depth)
		} else if t == '{' {
			return r.readDict(dec, depth)
		}
	}
	return bad()
}

func (r *run) readList(dec *json.Decoder, depth int) (value, *Failure) {
	l, f := r.newList(0, 0, false)
	for f == nil && dec.More() {
		var v value
		if v, f = r.readJSON(dec, depth+1); f == nil {
			f = r.add(0, l, v)
		}
	}
	if _, err := dec.Token(); f == nil && err != nil {
		f = r.fail(0, BadState, "the state is damaged")
	}
	return l, f
}

func (r *run) readDict(dec *json.Decoder, depth int) (value, *Failure) {
	d, f := r.newDict(0)
	for f == nil && dec.More() {
		var k, v value
		if k, f = r.readJSON(dec, depth+1); f != nil {
			break
		}
		key, ok := k.(string)
		if !ok {
			return nil, r.fail(0, BadState, "the state is damaged")
		}
		if v, f = r.readJSON(dec, depth+1); f == nil {
			f = r.set(0, d, key, v)
		}
	}
	if _, err := dec.Token(); f == nil && err != nil {
		f = r.fail(0, BadState, "the state is damaged")
	}
	return d, f
}
