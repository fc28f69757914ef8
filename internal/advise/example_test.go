package advise_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/lamppost/lamppost/internal/advise"
)

// The example can be read, and nothing that a fleet can say is missing in it.
func TestExample(t *testing.T) {
	t.Parallel()
	if _, err := advise.ParseFleet([]byte(advise.Example)); err != nil {
		t.Fatal(err)
	}
	for _, shape := range []reflect.Type{reflect.TypeFor[advise.Fleet](), reflect.TypeFor[advise.Class](), reflect.TypeFor[advise.Organisation](), reflect.TypeFor[advise.Needs]()} {
		for i := range shape.NumField() {
			if key := shape.Field(i).Tag.Get("yaml"); !strings.Contains(advise.Example, key+":") {
				t.Errorf("the example says nothing of %s of %s", key, shape.Name())
			}
		}
	}
}

// What is wrong with a field is told with its line, or with that of what it is missing in.
func TestErrorsSayTheLine(t *testing.T) {
	t.Parallel()
	for change, want := range map[string]string{
		"link: cellular|link: pigeon":           "line 14: classes.lamps.link: ",
		"readings_a_day: 24|readings_a_day: 0":  "line 20: classes.heat meters.readings_a_day: ",
		"    signs: [hmac-sha256]\n|":           "line 17: classes.heat meters.signs: ",
		"  - name: tenants|  - name: city":      "line 38: organisations[2].name: ",
		"trusts: [city]|trusts: [nobody]":       "line 36: organisations.utility.trusts: ",
		"survive: machine|survive: everything":  "line 43: needs.survive: ",
		"name: riverside|name: \"\"":            "line 4: name: ",
		"    devices: 400\n|    devcies: 400\n": "devcies",
	} {
		old, with, _ := strings.Cut(change, "|")
		text := strings.Replace(advise.Example, old, with, 1)
		if _, err := advise.ParseFleet([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("with %q: %v, want %q in it", with, err, want)
		}
	}
}
