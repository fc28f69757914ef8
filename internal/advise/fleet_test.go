package advise_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/lamppost/lamppost/internal/advise"
)

// small is a fleet that leaves out what it can.
const small = `
name: house
classes:
  - {name: meters, devices: 12, signs: [ed25519], readings_a_day: 96}
organisations:
  - {name: landlord, runs: true}
  - {name: tenants, trusts: []}
`

func parseSmall(t *testing.T, text string) *advise.Fleet {
	t.Helper()
	f, err := advise.ParseFleet([]byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return f
}

// TestFleetDefaults: what a file leaves out has the value that the field's comment names; a 0 that means something stays.
func TestFleetDefaults(t *testing.T) {
	t.Parallel()
	f := parseSmall(t, small)
	want := advise.Needs{LatencyMS: 5000, Survive: "nothing", Check: "parties", RTTMS: 20, RetentionYears: 10}
	if !reflect.DeepEqual(f.Needs, want) {
		t.Errorf("needs are %+v, want %+v", f.Needs, want)
	}
	if c := f.Classes[0]; c.Power != "mains" || c.Link != "ethernet" || c.Peak != 3 {
		t.Errorf("the class is %+v", c)
	}
	if f := parseSmall(t, small+"needs: {rtt_ms: 0}"); f.Needs.RTTMS != 0 || f.Needs.LatencyMS != 5000 {
		t.Errorf("needs are %+v: 0 is said", f.Needs)
	}
}

// TestFleetErrors: what cannot be is refused, with the field and what is allowed there, in YAML and in JSON.
func TestFleetErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ old, new, want string }{
		{small, " ", "is empty"},
		{"name: house", "nam: house", `unknown field "nam"`},
		{"name: house", "name: ''", "name: say"},
		{"name: house", "name: \"a\\u001b[31mb\"", "name: 1 to 80 printable"},
		{"devices: 12", "devices: 0", "classes.meters.devices: from 1 to 10,000,000, not 0"},
		{"devices: 12", "devices: -1", "classes.meters.devices: from 1"},
		{"readings_a_day: 96", "readings_a_day: .nan", "classes.meters.readings_a_day: from 0.01"},
		{"readings_a_day: 96", "readings_a_day: 1e9", "classes.meters.readings_a_day: from 0.01 to 864,000"},
		{"readings_a_day: 96", "readings_a_day: 96, peak: 25", "classes.meters.peak: from 1 to 24, not 25"},
		{", readings_a_day: 96", "", "classes.meters.readings_a_day"},
		{"signs: [ed25519], ", "", "classes.meters.signs: say"},
		{"[ed25519]", "[rsa]", "classes.meters.signs: ed25519, es256, hmac-sha256 or none, not \"rsa\""},
		{"[ed25519]", "[none, es256]", "none stands alone"},
		{"readings_a_day: 96", "readings_a_day: 96, link: pigeon", "classes.meters.link: ethernet, wifi, zigbee, cellular or lora"},
		{"readings_a_day: 96", "readings_a_day: 96, power: battery", "classes.meters.battery_wh: from 0.01"},
		{"readings_a_day: 96", "readings_a_day: 96, battery_years: 3", "mean nothing unless power is battery"},
		{"name: tenants", "name: landlord", `organisations[1].name: "landlord" is there twice`},
		{"trusts: []", "trusts: [nobody]", `organisations.tenants.trusts: "nobody" is none of the organisations`},
		{"trusts: []", "trusts: [tenants]", "is itself"},
		{"trusts: []", "place: Germany", "organisations.tenants.place: a country in two capital letters"},
		{"organisations:", "needs: {survive: all}\norganisations:", "needs.survive: nothing, machine or organisation"},
		{"organisations:", "needs: {check: me}\norganisations:", "needs.check: nobody, parties or anyone"},
		{"organisations:", "needs: {latency_ms: -1}\norganisations:", "needs.latency_ms: from 1"},
		{"organisations:", "needs: {rtt_ms: 3000}\norganisations:", "needs.rtt_ms: from 0 to 2,000"},
		{"organisations:", "needs: {stay_in: [de]}\norganisations:", "needs.stay_in: a country"},
		{"organisations:", "needs: {budget_a_year: -5}\norganisations:", "needs.budget_a_year"},
	} {
		text := strings.Replace(small, c.old, c.new, 1)
		if text == small {
			t.Fatalf("%q is not in the fleet", c.old)
		}
		if _, err := advise.ParseFleet([]byte(text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("with %q: error %v does not say %q", c.new, err, c.want)
		}
	}
}

// TestFleetJSON: a form's JSON is the same fleet, and as strict.
func TestFleetJSON(t *testing.T) {
	t.Parallel()
	raw, err := json.Marshal(parseSmall(t, small))
	if err != nil {
		t.Fatal(err)
	}
	f, err := advise.ParseFleetJSON(raw)
	if err != nil || !reflect.DeepEqual(f, parseSmall(t, small)) {
		t.Errorf("%+v, %v", f, err)
	}
	for text, want := range map[string]string{
		string(raw) + "{}": "nothing follows",
		strings.Replace(string(raw), `"name"`, `"nam"`, 1): "unknown field",
		`{"name":"x"}`: "classes: there are no devices",
		"[]":           "not as it should be",
		strings.Repeat(" ", advise.MaxFleetBytes) + string(raw): "at most",
	} {
		if _, err := advise.ParseFleetJSON([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
}

// FuzzParseFleet: nothing panics, and what is taken is the same again by JSON.
func FuzzParseFleet(f *testing.F) {
	f.Add([]byte(small))
	f.Add([]byte(small + "needs: {rtt_ms: 0, stay_in: [DE], value_a_day: 1e3}"))
	f.Add([]byte("name: &a [*a]"))
	f.Add([]byte("classes: [[[[{}]]]]"))
	f.Add([]byte("a: 1\nclasses:\n ! 0\n0:\n  #0")) // the library panicked
	f.Fuzz(func(t *testing.T, text []byte) {
		fleet, err := advise.ParseFleet(text)
		if err != nil {
			return
		}
		raw, err := json.Marshal(fleet)
		if err != nil {
			t.Fatal(err)
		}
		again, err := advise.ParseFleetJSON(raw)
		if err != nil || !reflect.DeepEqual(again, fleet) {
			t.Fatalf("%s: %v, %+v", raw, err, again)
		}
	})
}
