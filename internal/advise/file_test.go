package advise_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/lamppost/lamppost/examples/fleets"
	"github.com/lamppost/lamppost/internal/advise"
)

// TestFile: what is written of a fleet is read as the same one; as JSON, too, however that is indented. There are twelve examples.
func TestFile(t *testing.T) {
	t.Parallel()
	if got := fleets.Names(); len(got) != 12 {
		t.Errorf("examples: %q", got)
	}
	for _, name := range fleets.Names() {
		text, err := fleets.File(name)
		must(t, err)
		f, err := advise.ReadFile(text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		asJSON, err := json.MarshalIndent(f.Fleet, "", "\t")
		must(t, err)
		for what, again := range map[string][]byte{"YAML": []byte(f.File), "JSON": asJSON} {
			g, err := advise.ReadFile(again)
			if err != nil || !reflect.DeepEqual(g, f) {
				t.Errorf("%s as %s is read as %+v (%v), want %+v; written\n%s", name, what, g, err, f, again)
			}
		}
	}
	odd := &advise.Fleet{Name: "- no: 1 'yes' {x}", Classes: []advise.Class{{Name: "12", Devices: 3, Signs: []string{}, Power: "mains", Link: "wifi", ReadingsADay: 0.25, Peak: 3}},
		Organisations: []advise.Organisation{{Name: "no", Trusts: []string{"~"}}, {Name: "~", Place: "NO", Trusts: []string{"no"}}},
		Needs:         advise.Needs{LatencyMS: 86_400_000, Survive: "nothing", Check: "anyone", RetentionYears: 0.5, StayIn: []string{"NO"}, ValueADay: 1e12}}
	raw, err := json.Marshal(odd)
	must(t, err)
	f, err := advise.ReadFile(raw)
	must(t, err)
	if g, err := advise.ReadFile([]byte(f.File)); err != nil || !reflect.DeepEqual(g.Fleet, odd) || g.Name != "no-1-yes-x.yaml" {
		t.Errorf("%+v (%v), want %+v; written\n%s", g, err, odd, f.File)
	}
	if _, err := advise.ReadFile([]byte("name: x\nclasses:\n  - name: a\n    devices: 1\n    signs: [none]\n    readings_a_day: 1\n    link: pigeon\norganisations: [{name: o}]\n")); err == nil || !strings.Contains(err.Error(), "7") {
		t.Errorf("a wrong link in line 7: %v", err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
