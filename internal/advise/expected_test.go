package advise

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// expectation is what a fleet of examples should be told.
type expectation struct {
	Verdict string                   `yaml:"verdict"`
	Engine  string                   `yaml:"engine"` // kind of the first option; left out: there is none
	Name    string                   `yaml:"name"`   // of the first option; left out: no matter
	Classes map[string]classExpected `yaml:"classes"`
}

type classExpected struct {
	Suite  string  `yaml:"suite"`
	Via    string  `yaml:"via"`
	EveryS float64 `yaml:"every_s"`
}

const examples = "../../examples/fleets"

// The fleets of examples are told what was argued for in docs/advise.md before there was a program to ask.
func TestExpected(t *testing.T) {
	t.Parallel()
	want := map[string]expectation{}
	text, err := os.ReadFile(filepath.Join(examples, "expected.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalWithOptions(text, &want, yaml.Strict()); err != nil {
		t.Fatal(yaml.FormatError(err, false, true))
	}
	measured, err := Shipped()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(examples, "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range files {
		if name := strings.TrimSuffix(filepath.Base(file), ".yaml"); name != "expected" {
			names = append(names, name)
		}
	}
	if told := slices.Sorted(maps.Keys(want)); !slices.Equal(names, told) || len(names) != 12 {
		t.Fatalf("fleets are %q, expected are %q", names, told)
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(filepath.Join(examples, name+".yaml"))
			if err != nil {
				t.Fatal(err)
			}
			f, err := ParseFleet(text)
			if err != nil {
				t.Fatal(err)
			}
			a, err := Advise(f, measured)
			if err != nil {
				t.Fatal(err)
			}
			want[name].hold(t, a)
		})
	}
}

func (e expectation) hold(t *testing.T, a *Answer) {
	t.Helper()
	if a.Verdict != e.Verdict {
		t.Errorf("verdict %q, expected %q: %s", a.Verdict, e.Verdict, a.Summary)
	}
	first := a.Options[0]
	switch {
	case e.Engine == "" && first.Place == 1:
		t.Errorf("%q is recommended, expected nothing", first.Name)
	case e.Engine != "" && (first.Place != 1 || first.Kind != e.Engine || e.Name != "" && first.Name != e.Name):
		t.Errorf("%q (%s, place %d, out: %q) is first, expected %s %s", first.Name, first.Kind, first.Place, first.Out, e.Engine, e.Name)
	}
	if i := slices.IndexFunc(a.Options, func(o Option) bool { return o.Kind == "outside" }); i >= 0 && slices.ContainsFunc(a.Options[i:], func(o Option) bool { return o.Place > 0 && o.Kind != "outside" }) {
		t.Errorf("what only orders, %q, comes before what also bills", a.Options[i].Name)
	}
	if len(e.Classes) == 0 {
		return
	}
	got := map[string]classExpected{}
	for _, c := range first.Classes {
		got[c.Class] = classExpected{c.Suite, c.Via, c.EverySec}
	}
	if !maps.Equal(got, e.Classes) {
		t.Errorf("classes are told %+v, expected %+v", got, e.Classes)
	}
}
