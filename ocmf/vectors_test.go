package ocmf_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/lamppost/lamppost/ocmf"
)

var rewrite = flag.Bool("rewrite", false, "write the expectations in testdata anew")

// A vector is a record with its key, and what every implementation must say of it. Its form is in testdata/README.md.
type vector struct {
	name, source, key, record string
	lines                     []string // from "expect:" on
}

func (v *vector) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\nsource: %s\nkey: %s\nrecord: %s\n", v.name, v.source, v.key, quoted(v.record))
	for _, line := range v.lines {
		fmt.Fprintln(&b, line)
	}
	return b.String()
}

// quoted writes a record of several lines as a Go string.
func quoted(record string) string {
	if strings.ContainsAny(record, "\n\r\t") {
		return strconv.Quote(record)
	}
	return record
}

// readVectors reads a file of vectors, and what stands above the first.
func readVectors(t testing.TB, path string) (head string, vs []vector) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var v *vector
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		key, value, _ := strings.Cut(line, ": ")
		switch {
		case strings.HasPrefix(line, "# "):
			vs = append(vs, vector{name: line[2:]})
			v = &vs[len(vs)-1]
		case v == nil:
			head += line + "\n"
		case line == "":
		case key == "source":
			v.source = value
		case key == "key":
			v.key = value
		case key == "record" && strings.HasPrefix(value, `"`):
			if v.record, err = strconv.Unquote(value); err != nil {
				t.Fatalf("%s: %s: %v", path, v.name, err)
			}
		case key == "record":
			v.record = value
		default:
			v.lines = append(v.lines, line)
		}
	}
	if len(vs) == 0 {
		t.Fatalf("%s has no vectors", path)
	}
	return head, vs
}

func allVectors(t testing.TB) (all []vector) {
	for _, path := range []string{"testdata/public.txt", "testdata/own.txt"} {
		_, vs := readVectors(t, path)
		all = append(all, vs...)
	}
	return all
}

// say is what this implementation says of a vector.
func (v *vector) say() []string {
	r, err := ocmf.Parse(v.record)
	if err != nil {
		return []string{"expect: refused " + rule(err)}
	}
	key, err := ocmf.ParsePublicKeyText(v.key)
	if err == nil {
		err = r.Verify(key)
	}
	expect := "ok"
	if err != nil {
		expect = "refused " + rule(err)
	}
	lines := append([]string{"expect: " + expect, "algorithm: " + r.Algorithm}, describe(r)...)
	if err != nil {
		return lines
	}
	s, err := ocmf.NewSession(key, "", r)
	if err != nil {
		return append(lines, "session: refused "+rule(err))
	}
	return append(lines, fmt.Sprintf("session: %q %s %s from %d to %d ms, exact duration %t", s.Register, s.Energy, s.Unit, s.Start.Time, s.Stop.Time, s.ExactDuration))
}

func describe(r *ocmf.Record) []string {
	lines := []string{
		fmt.Sprintf("page: %s", r.Page),
		fmt.Sprintf("gateway: %q %q %q", r.Gateway.Model, r.Gateway.Serial, r.Gateway.Firmware),
		fmt.Sprintf("meter: %q %q %q %q", r.MeterVendor, r.Meter.Model, r.Meter.Serial, r.Meter.Firmware),
	}
	if r.HasUser() {
		lines = append(lines, fmt.Sprintf("user: %t %q %q %q %q", r.User.Assigned, r.User.Level, r.User.Flags, r.User.Type, r.User.Data))
	}
	for i := range r.Readings {
		x := &r.Readings[i]
		line := fmt.Sprintf("reading: %d ms %c", x.Time, x.Sync)
		if x.Reason != 0 {
			line += " " + string(x.Reason)
		}
		if x.HasValue {
			line += fmt.Sprintf(" %s %s %q", x.Value, x.Unit, x.Register)
		}
		if x.HasLoss {
			line += fmt.Sprintf(" loss %s", x.Loss)
		}
		lines = append(lines, line+fmt.Sprintf(" %q %q %c", x.Current, x.Errors, x.Status))
	}
	return lines
}

// rule returns the rule that an error names.
func rule(err error) string {
	var r *ocmf.Refusal
	if !errors.As(err, &r) {
		return "no refusal: " + err.Error()
	}
	return string(r.Rule)
}

// TestVectors protects what is read of a record and what is said of it: the records in testdata, of meters in use and of our
// own making.
func TestVectors(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"testdata/public.txt", "testdata/own.txt"} {
		head, vs := readVectors(t, path)
		for i := range vs {
			v := &vs[i]
			got := v.say()
			if !*rewrite && !slices.Equal(got, v.lines) {
				t.Errorf("%s: %s\n got:\n%s\nwant:\n%s", filepath.Base(path), v.name, strings.Join(got, "\n"), strings.Join(v.lines, "\n"))
			}
			v.lines = got
		}
		if *rewrite {
			writeVectors(t, path, head, vs)
		}
	}
}

func writeVectors(t testing.TB, path, head string, vs []vector) {
	t.Helper()
	var parts []string
	for i := range vs {
		parts = append(parts, vs[i].String())
	}
	if err := os.WriteFile(path, []byte(head+strings.Join(parts, "\n")), 0o666); err != nil {
		t.Fatal(err)
	}
}
