package mapping

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strconv"
	"strings"

	"github.com/lamppost/lamppost"
)

// Read returns the readings of a message, all at one time: that of its arrival, since foreign clocks are anybody's guess.
// What a mapping names and a message lacks is left out, so there may be none. Of two sources with one name the first counts.
func (m *Mapping) Read(message []byte, at lamppost.TimeMS) ([]lamppost.Reading, error) {
	if len(message) > maxMessage {
		return nil, lamppost.Refuse(lamppost.CodeTooLarge, "a message of %d bytes is over the limit of %d", len(message), maxMessage)
	}
	d := json.NewDecoder(bytes.NewReader(message))
	d.UseNumber()
	var tree any
	if err := d.Decode(&tree); err != nil {
		return nil, lamppost.Refuse(lamppost.CodeBadReport, "mapping %q: the message is not JSON: %v", m.Name, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, lamppost.Refuse(lamppost.CodeBadReport, "mapping %q: something follows the JSON", m.Name)
	}
	var readings []lamppost.Reading
	have := map[string]bool{}
	for i := range m.readings {
		s := &m.readings[i]
		text, ok := number(find(tree, s.path))
		if !ok || have[s.name] {
			continue
		}
		value, err := exact(text, s.scale, s.kind != lamppost.Register)
		if err != nil {
			return nil, lamppost.Refuse(lamppost.CodeBadReport, "mapping %q: %s: %v", m.Name, strings.Join(s.path, "."), err)
		}
		have[s.name] = true
		readings = append(readings, lamppost.Reading{Name: s.name, Unit: s.unit, Kind: s.kind, Time: at, Value: value})
	}
	return readings, nil
}

// find follows keys, or positions in arrays, from the outside in.
func find(tree any, path []string) any {
	for _, key := range path {
		switch t := tree.(type) {
		case map[string]any:
			tree = t[key]
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil || i < 0 || i >= len(t) {
				return nil
			}
			tree = t[i]
		default:
			return nil
		}
	}
	return tree
}

// number returns the digits of a JSON number, also of one that stands in a string.
func number(v any) (string, bool) {
	switch t := v.(type) {
	case json.Number:
		return t.String(), true
	case string:
		var n json.Number
		if json.Unmarshal([]byte(t), &n) == nil && n != "" && !strings.HasPrefix(t, `"`) {
			return n.String(), true
		}
	}
	return "", false
}

// exact returns a JSON number times a scale as a decimal. With round, digits beyond the ninth after the point are cut off;
// otherwise they are an error, for a register must not lose any.
func exact(text string, scale lamppost.Decimal, round bool) (lamppost.Decimal, error) {
	if len(text) > maxDigits {
		return lamppost.Decimal{}, fmt.Errorf("a number of %d characters is over the limit of %d", len(text), maxDigits)
	}
	digits, power, _ := strings.Cut(strings.ToLower(text), "e")
	shift := 0
	if power != "" {
		var err error
		if shift, err = strconv.Atoi(power); err != nil || shift > maxShift || shift < -maxShift {
			return lamppost.Decimal{}, fmt.Errorf("%q is out of range", text)
		}
	}
	whole, frac, _ := strings.Cut(digits, ".")
	m, ok := new(big.Int).SetString(whole+frac, 10)
	if !ok {
		return lamppost.Decimal{}, fmt.Errorf("%q is not a number", text)
	}
	m.Mul(m, big.NewInt(scale.Mantissa))
	return settle(m, shift-len(frac)+int(scale.Exponent), text, round)
}

// settle brings m × 10^exp into the form of a decimal, with as few digits after the point as it needs.
func settle(m *big.Int, exp int, text string, round bool) (lamppost.Decimal, error) {
	ten, rest := big.NewInt(10), new(big.Int)
	for ; exp > 0; exp-- {
		m.Mul(m, ten)
	}
	for exp < 0 {
		q, r := new(big.Int).QuoRem(m, ten, rest)
		if r.Sign() != 0 && (exp >= lamppost.MinExponent || !round) {
			break
		}
		m, exp = q, exp+1
	}
	if exp < lamppost.MinExponent {
		return lamppost.Decimal{}, fmt.Errorf("%q has more than %d digits after the point, and a register must not lose any", text, -lamppost.MinExponent)
	}
	if !m.IsInt64() || m.Int64() == -1<<63 {
		return lamppost.Decimal{}, fmt.Errorf("%q is out of range", text)
	}
	return lamppost.Dec(m.Int64(), int8(exp)), nil
}
