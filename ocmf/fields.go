package ocmf

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/lamppost/lamppost"
)

// fields are the members of one JSON object, by their exact names. The first thing that does not hold is kept in err, and
// what is read after it is empty.
type fields struct {
	raw map[string]json.RawMessage
	err error
}

// readObject reads a JSON object. Names that stand twice are refused: two readers could take different ones.
func readObject(text string) fields {
	f := fields{}
	if !json.Valid([]byte(text)) {
		f.fail(RuleForm, "it is not JSON")
		return f
	}
	d := json.NewDecoder(strings.NewReader(text))
	if f.err = checkNames(d, 1); f.err != nil {
		return f
	}
	if json.Unmarshal([]byte(text), &f.raw) != nil || f.raw == nil {
		f.fail(RuleForm, "it is not a JSON object")
	}
	return f
}

// checkNames walks one value of valid JSON.
func checkNames(d *json.Decoder, depth int) error {
	t, err := d.Token()
	if err != nil {
		return refuse(RuleForm, "it is not JSON: %v", err)
	}
	open, nested := t.(json.Delim)
	if !nested {
		return nil
	}
	if depth > maxDepth {
		return refuse(RuleLimit, "its values are nested more than %d deep", maxDepth)
	}
	seen := map[string]bool{}
	for d.More() {
		if open == '{' {
			name, _ := d.Token() // valid JSON has a string here
			s, _ := name.(string)
			if seen[s] {
				return refuse(RuleForm, "%q stands there twice", clip(s))
			}
			seen[s] = true
		}
		if err := checkNames(d, depth+1); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return refuse(RuleForm, "it is not JSON: %v", err)
	}
	return nil
}

func (f *fields) fail(rule Rule, format string, args ...any) {
	if f.err == nil {
		f.err = refuse(rule, format, args...)
	}
}

func (f *fields) has(name string) bool { return f.err == nil && f.raw[name] != nil }

// into decodes a field whose JSON begins with one of some bytes, so that null is never taken for an empty value.
func (f *fields) into(name, begins, kind string, v any) {
	if !f.has(name) {
		return
	}
	raw := f.raw[name]
	if strings.IndexByte(begins, raw[0]) < 0 || json.Unmarshal(raw, v) != nil {
		f.fail(RuleForm, "%s is not %s", name, kind)
	}
}

func (f *fields) text(name string) (s string) {
	f.into(name, `"`, "a string", &s)
	return s
}

func (f *fields) must(name string) string {
	if f.err == nil && !f.has(name) {
		f.fail(RuleForm, "%s is missing", name)
	}
	return f.text(name)
}

func (f *fields) bool(name string) (b bool) {
	f.into(name, "tf", "true or false", &b)
	return b
}

func (f *fields) texts(name string, most int) (all []string) {
	var items []*string
	f.into(name, "[", "a list of strings", &items)
	if len(items) > most {
		f.fail(RuleForm, "%s has %d entries, the format allows %d", name, len(items), most)
	}
	for _, s := range items {
		if s == nil {
			f.fail(RuleForm, "%s is not a list of strings", name)
			return nil
		}
		all = append(all, *s)
	}
	return all
}

// decimal reads a number as it is written, digit by digit: no float touches it.
func (f *fields) decimal(name string) lamppost.Decimal {
	if !f.has(name) {
		return lamppost.Decimal{}
	}
	d, ok := parseNumber(string(f.raw[name]))
	if !ok {
		f.fail(RuleForm, "%s %s is not a number of at most %d digits after the point and 63 bits", name, clip(string(f.raw[name])), -lamppost.MinExponent)
	}
	return d
}

// parseNumber reads a JSON number (RFC 8259 §6), which may have an exponent. Digits after the point are kept as written, so
// 5.0 stays 5.0; of 2.5E1 the value is kept, 25.
func parseNumber(s string) (lamppost.Decimal, bool) {
	digits, power, hasPower := strings.Cut(strings.ToLower(s), "e")
	exp := 0
	if hasPower {
		n, err := strconv.ParseInt(power, 10, 8)
		if err != nil {
			return lamppost.Decimal{}, false
		}
		exp = int(n)
	}
	whole, fraction, _ := strings.Cut(digits, ".")
	n, err := strconv.ParseInt(whole+fraction, 10, 64)
	if err != nil || n == -n && n != 0 { // the least int64 has no counterpart
		return lamppost.Decimal{}, false
	}
	for exp -= len(fraction); exp > 0; exp-- {
		if n*10/10 != n {
			return lamppost.Decimal{}, false
		}
		n *= 10
	}
	if exp < lamppost.MinExponent {
		return lamppost.Decimal{}, false
	}
	return lamppost.Dec(n, int8(exp)), true
}
