package lamppost_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
)

// A message to a device reads back as it was written, and what cannot be understood is refused, never half taken.
func TestDesired(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]lamppost.Desired{
		``:   {},
		`{}`: {},
		`{"level":60,"power":"-3.5 kW","revision":7,"until_ms":1800000900000,"left_ms":840000}`: {Revision: 7, Until: 1_800_000_900_000, Left: 840_000, Set: lamppost.Setpoints{
			{Name: "level", Value: lamppost.Dec(60, 0), Unit: "%"}, {Name: "power", Value: lamppost.Dec(-35, -1), Unit: "kW"}}},
		`{"revision":7}`: {Revision: 7},
	} {
		got, err := lamppost.ParseDesired([]byte(text))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s is read as %+v, %v; want %+v", text, got, err, want)
		}
		if again, err := json.Marshal(got); err != nil || text != "" && string(again) != text {
			t.Errorf("%s is written as %s, %v", text, again, err)
		}
	}
	for _, text := range []string{`60`, `[]`, `{"level":60`, `{"level":60,"level":50}`, `{"level":101}`, `{"level":-1}`, `{"level":1.5}`, `{"level":true}`, `{"level":null}`,
		`{"level":{"a":1}}`, `{"power":"3500"}`, `{"power":" W"}`, `{"power":"3500 watts per hour"}`, `{"a/b":1}`, `{"revision":"7"}`, `{"revision":-1}`, `{"left_ms":1.5}`,
		`{"":1}`, `{"level":60}{"level":0}`, `{"level":60}]`, `{"a":` + strings.Repeat("1", lamppost.MaxDesiredBytes) + `}`, "{" + strings.Repeat(`"a":1,`, 20) + `"b":1}`} {
		if got, err := lamppost.ParseDesired([]byte(text)); err == nil {
			t.Errorf("%.80s is read as %+v", text, got)
		}
	}
}

// What a device reports of a revision is read back as it acted: what it does, and why it does no more.
func TestAck(t *testing.T) {
	t.Parallel()
	eighty := lamppost.Dec(80, 0)
	grants := []lamppost.Grant{{Want: lamppost.Setpoint{Name: "level", Value: lamppost.Dec(60, 0), Unit: "%"}, Got: &eighty, Why: lamppost.IsMinimum},
		{Want: lamppost.Setpoint{Name: "power", Value: lamppost.Dec(1, 0), Unit: "W"}, Why: lamppost.IsUnknown}}
	readings := append(lamppost.AckReadings(7, grants, 5), lamppost.Reading{Name: "desired_power", Value: lamppost.Dec(1, 0)}, lamppost.Reading{Name: "level", Value: eighty})
	ack, ok := lamppost.ReadAck(readings)
	if !ok || ack.Revision != 7 || len(ack.Grants) != 2 || *ack.Grants[0].Got != eighty || ack.Grants[0].Why != lamppost.IsMinimum || ack.Grants[1].Got != nil || ack.Grants[1].Why != lamppost.IsUnknown {
		t.Errorf("read back: %+v, %v", ack, ok)
	}
	if _, ok := lamppost.ReadAck(readings[1:]); ok {
		t.Error("readings that name no revision are an acknowledgement")
	}
}

// No message makes the reader panic, and what it takes it writes to what it takes again.
func FuzzParseDesired(f *testing.F) {
	f.Add([]byte(`{"level":60,"power":"3500 W","revision":7,"until_ms":1,"left_ms":2}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		d, err := lamppost.ParseDesired(raw)
		if err != nil {
			return
		}
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := lamppost.ParseDesired(text); err != nil && len(text) <= lamppost.MaxDesiredBytes || err == nil && !reflect.DeepEqual(d, again) {
			t.Fatalf("%q is written as %q, which is read as %+v, %v", raw, text, again, err)
		}
	})
}
