package mapping_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/ingest"
	"github.com/lamppost/lamppost/internal/ingest/mapping"
)

const at lamppost.TimeMS = 1_767_225_600_000 // 2026-01-01T00:00Z, a quarter hour

func parse(t testing.TB, text string) *mapping.Set {
	t.Helper()
	s, err := mapping.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func all(t testing.TB) *mapping.Set {
	return parse(t, "builtin: ["+strings.Join(mapping.Builtin(), ", ")+"]\nbridges: [z2m]\n")
}

func words(readings []lamppost.Reading) string {
	var out []string
	for _, r := range readings {
		kind := ""
		if r.Kind == lamppost.Register {
			kind = " register"
		}
		out = append(out, fmt.Sprintf("%s %s %s%s", r.Name, r.Value, r.Unit, kind))
	}
	return strings.Join(out, ", ")
}

// The mappings that come with the program read messages of the shape their makers document, to the digit.
func TestBuiltin(t *testing.T) {
	t.Parallel()
	set := all(t)
	for _, c := range []struct{ topic, message, device, mapping, want string }{
		{"tele/fridge/SENSOR", `{"Time":"2026-01-01T00:00:07","ENERGY":{"TotalStartTime":"2024-03-02T11:20:31","Total":82.417,"Yesterday":0.913,` +
			`"Today":0.044,"Period":0,"Power":61,"ApparentPower":88,"ReactivePower":63,"Factor":0.69,"Voltage":229,"Current":0.384}}`,
			"fridge", "tasmota", "energy 82417 Wh register, power 61 W, voltage 229 V, current 0.384 A"},
		{"tele/attic/SENSOR", `{"Time":"2026-01-01T00:00:07","AM2301":{"Temperature":19.4,"Humidity":55.1},"TempUnit":"C"}`, "attic", "tasmota", ""},
		{"shellyplus1pm-a8032abe54dc/status/switch:0", `{"id":0,"source":"timer","output":true,"apower":8.9,"voltage":237.5,"current":0.112,` +
			`"aenergy":{"total":6532.127,"by_minute":[145.199,138.402,141.02],"minute_ts":1767225600},"temperature":{"tC":53.5,"tF":128.3}}`,
			"shellyplus1pm-a8032abe54dc", "shelly-gen2", "energy 6532.127 Wh register, power 8.9 W, voltage 237.5 V, current 0.112 A"},
		{"zigbee2mqtt/kettle", `{"child_lock":"UNLOCK","current":0.05,"energy":31.02,"linkquality":76,"power":0,"state":"ON","voltage":236}`,
			"kettle", "zigbee2mqtt", "energy 31020 Wh register, power 0 W, voltage 236 V, current 0.05 A"},
		{"meters/cellar", `{"energy_wh": 1234.50, "power_w": 1.5e1}`, "cellar", "generic", "energy 1234.5 Wh register, power 15 W"},
		{"meters/cellar", `{"energy_kwh": "0.000000001"}`, "cellar", "generic", "energy 0.000001 Wh register"},
	} {
		device, m, ok := set.Match(c.topic)
		if !ok || device != c.device || m.Name != c.mapping {
			t.Errorf("%s: matched %t as %q", c.topic, ok, device)
			continue
		}
		readings, err := m.Read([]byte(c.message), at)
		if got := words(readings); got != c.want || err != nil {
			t.Errorf("%s: read %q, %v; want %q", c.topic, got, err, c.want)
		}
		for _, r := range readings {
			if r.IsFloat || r.Time != at || r.Quality != lamppost.Measured {
				t.Errorf("%s: %+v", c.topic, r)
			}
		}
	}
}

// The file in docs/devices.md is a good one, and reads what it says.
func TestDocumentedFile(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../../docs/devices.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(doc), "```yaml\n")
	text, _, _ = strings.Cut(text, "```")
	set := parse(t, text)
	_, m, ok := set.Match("heating/boiler/state")
	if !ok || !set.Bridge("z2m") {
		t.Fatal("the example maps no heat meter, or has no bridge")
	}
	readings, err := m.Read([]byte(`{"total": {"mwh": 12.5}, "flow": [0.75]}`), at)
	if got := words(readings); err != nil || got != "heat 12500000 Wh register, flow 0.75 m3/h" {
		t.Errorf("read %q, %v", got, err)
	}
}

// Topics that merely look like a mapped one belong to nobody, nor does anything below lp/.
func TestNoMatch(t *testing.T) {
	t.Parallel()
	set := all(t)
	for _, topic := range []string{"", "tele", "tele/x/STATE", "tele/a/b/SENSOR", "/tele/x/SENSOR", "tele/x/SENSOR/", "x/status/switch:1", "stat/x/SENSOR",
		"zigbee2mqtt/a/b", "lp/status/switch:0", "lp/x/report", "TELE/x/SENSOR"} {
		if device, m, ok := set.Match(topic); ok {
			t.Errorf("%q is %q of %s", topic, device, m.Name)
		}
	}
}

// What cannot be read exactly is refused and not guessed; what is not there is left out.
func TestReadRefuses(t *testing.T) {
	t.Parallel()
	_, m, _ := all(t).Match("meters/cellar")
	for message, want := range map[string]lamppost.Code{
		`{"energy_wh": 0.1234567891}`: lamppost.CodeBadReport, `{"energy_wh": 1e31}`: lamppost.CodeBadReport,
		`{"energy_wh": 9223372036854775808}`: lamppost.CodeBadReport, `{"energy_wh": 1` + strings.Repeat("0", 70) + `}`: lamppost.CodeBadReport,
		`{"energy_wh": 1`: lamppost.CodeBadReport, `{} {}`: lamppost.CodeBadReport, ``: lamppost.CodeBadReport, `NaN`: lamppost.CodeBadReport,
		`{"energy_wh": 01}`: lamppost.CodeBadReport, `{"energy_wh": +1}`: lamppost.CodeBadReport,
		`{"x": "` + strings.Repeat("x", 70_000) + `"}`: lamppost.CodeTooLarge,
	} {
		var refusal *lamppost.Refusal
		if readings, err := m.Read([]byte(message), at); !errors.As(err, &refusal) || refusal.Code != want {
			t.Errorf("%.40s: read %q, %v; want %v", message, words(readings), err, want)
		}
	}
	for message, want := range map[string]string{
		`{}`: "", `[]`: "", `null`: "", `7`: "", `{"energy_wh": null}`: "", `{"energy_wh": "off"}`: "", `{"energy_wh": {"a": 1}}`: "",
		`{"energy_wh": "NaN"}`: "", `{"energy_wh": ""}`: "", `{"energy_wh": -0.0}`: "energy 0 Wh register",
		`{"energy_wh": 9223372036854775807}`:        "energy 9223372036854775807 Wh register",
		`{"power_w": 0.12345678919, "energy_wh":1}`: "energy 1 Wh register, power 0.123456789 W", // a gauge may lose digits
		`{"energy_wh": 1, "energy_kwh": 2}`:         "energy 1 Wh register",
	} {
		if readings, err := m.Read([]byte(message), at); words(readings) != want || err != nil {
			t.Errorf("%s: read %q, %v; want %q", message, words(readings), err, want)
		}
	}
}

// Whatever decimal is written into JSON is what is read, times the scale: no digit changes on the way.
func TestExact(t *testing.T) {
	t.Parallel()
	_, plain, _ := parse(t, "mappings: [{name: p, topic: '{device}', readings: [{path: a.1, name: v, unit: Wh, kind: register}]}]").Match("d")
	_, scaled, _ := parse(t, "mappings: [{name: p, topic: '{device}', readings: [{name: v, unit: Wh, scale: '0.25', kind: register}]}]").Match("d")
	rapid.Check(t, func(t *rapid.T) {
		d := lamppost.Dec(rapid.Int64Range(-1<<50, 1<<50).Draw(t, "mantissa"), int8(-rapid.IntRange(0, 9).Draw(t, "digits")))
		readings, err := plain.Read([]byte(fmt.Sprintf(`{"a": [true, %s]}`, d)), at)
		if err != nil || len(readings) != 1 || readings[0].Value.Cmp(d) != 0 {
			t.Fatalf("%s was read as %q, %v", d, words(readings), err)
		}
		if d.Exponent < -7 {
			return
		}
		readings, err = scaled.Read([]byte(d.String()), at)
		if err != nil || len(readings) != 1 || readings[0].Value.Cmp(lamppost.Dec(d.Mantissa*25, d.Exponent-2)) != 0 {
			t.Fatalf("a quarter of %s was read as %q, %v", d, words(readings), err)
		}
	})
}

// Mistakes in the file are told with the mapping's name; none is passed over.
func TestParseRefuses(t *testing.T) {
	t.Parallel()
	const ok = "readings: [{path: a, name: e, unit: Wh}]"
	for text, want := range map[string]string{
		"": "maps nothing", "mapings: []": "mapings", "builtin: [tasmotta]": `no mapping "tasmotta"`, "bridges: ['a b']\nbuiltin: [generic]": "bridge",
		"mappings: [{name: x, topic: a/b, " + ok + "}]":                                                    "{device} once",
		"mappings: [{name: x, topic: '{device}/{device}', " + ok + "}]":                                    "{device} once",
		"mappings: [{topic: '{device}', " + ok + "}]":                                                      "a name",
		"mappings: [{name: x, topic: 'lp/{device}', " + ok + "}]":                                          "outside of lp/",
		"mappings: [{name: x, topic: '+/{device}', " + ok + "}]":                                           "literal",
		"mappings: [{name: x, topic: 'a{device}', " + ok + "}]":                                            "literal",
		"mappings: [{name: x, topic: '{device}'}]":                                                         "1 to 64 readings",
		"mappings: [{name: x, topic: '{device}', readings: [{path: a, name: e}]}]":                         "a name and a unit",
		"mappings: [{name: x, topic: '{device}', readings: [{path: a, name: e, unit: Wh, kind: sum}]}]":    `kind "sum"`,
		"mappings: [{name: x, topic: '{device}', readings: [{path: a, name: e, unit: Wh, scale: '0'}]}]":   `scale "0"`,
		"mappings: [{name: x, topic: '{device}', readings: [{path: a, name: e, unit: Wh, scale: '1e3'}]}]": `scale "1e3"`,
	} {
		if _, err := mapping.Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q in it", text, err, want)
		}
	}
}

// A wraps counts what is wrapped.
type wraps struct {
	said []string
	err  error
}

func (w *wraps) Wrap(_ context.Context, device lamppost.DeviceID, epoch uint32, readings []lamppost.Reading, flags uint32, token uint64, sink ingest.Sink) error {
	if w.err != nil {
		return w.err
	}
	w.said = append(w.said, fmt.Sprintf("%s/%d %d: %s", device, epoch, flags, words(readings)))
	sink.Done(token, ingest.Reply{Code: lamppost.CodeOK})
	return nil
}

type codes []lamppost.Code

func (c *codes) Done(_ uint64, r ingest.Reply) { *c = append(*c, r.Code) }

// Who may speak for whom: a channel-authenticated device for itself alone, for an unsigned one a bridge too, for one that
// signs or that another gateway wraps nobody. Every message is answered once; devices not enrolled are remembered.
func TestDoor(t *testing.T) {
	t.Parallel()
	enrolled := map[lamppost.DeviceID]mapping.Enrolled{
		"plug": {lamppost.ChannelAuthenticated, "m1", 3}, "bulb": {lamppost.Unsigned, "m1", 1}, "meter": {KeyEpoch: 1},
		"fan": {lamppost.GatewayVouched, "m1", 1}, "away": {lamppost.Unsigned, "m2", 1},
	}
	now, w := at, &wraps{}
	door := mapping.NewDoor(mapping.Config{Set: all(t), Gateway: "m1", Wrap: w, Now: func() lamppost.TimeMS { return now },
		Enrolled: func(id lamppost.DeviceID) (mapping.Enrolled, bool) { e, ok := enrolled[id]; return e, ok }})
	const good = `{"energy_wh": 5}`
	for _, c := range []struct {
		from, topic, message string
		want                 lamppost.Code
	}{
		{"plug", "meters/plug", good, lamppost.CodeOK},
		{"bulb", "meters/bulb", good, lamppost.CodeOK},
		{"z2m", "meters/bulb", good, lamppost.CodeOK},
		{"z2m", "meters/plug", good, lamppost.CodeForbidden},
		{"bulb", "meters/plug", good, lamppost.CodeForbidden},
		{"plug", "meters/bulb", good, lamppost.CodeForbidden},
		{"meter", "meters/meter", good, lamppost.CodeForbidden},
		{"z2m", "meters/meter", good, lamppost.CodeForbidden},
		{"fan", "meters/fan", good, lamppost.CodeForbidden},
		{"away", "meters/away", good, lamppost.CodeForbidden},
		{"z2m", "meters/living room", good, lamppost.CodeForbidden},
		{"z2m", "meters/", good, lamppost.CodeForbidden},
		{"plug", "meters/plug", `{"state":"on"}`, lamppost.CodeOK},
		{"plug", "meters/plug", `on`, lamppost.CodeBadReport},
		{"z2m", "meters/new", good, lamppost.CodeUnknown},
		{"late", "meters/late", good, lamppost.CodeUnknown},
	} {
		var got codes
		ours, err := door.Publish(context.Background(), &ingest.Origin{Device: lamppost.DeviceID(c.from)}, c.topic, []byte(c.message), 1, &got)
		if !ours || err != nil || len(got) != 1 || got[0] != c.want {
			t.Errorf("%s on %s: %t, %v, %v; want %v", c.from, c.topic, ours, got, err, c.want)
		}
	}
	want := []string{"plug/3 1: energy 5 Wh register", "bulb/1 1: energy 5 Wh register", "bulb/1 1: energy 5 Wh register"}
	if fmt.Sprint(w.said) != fmt.Sprint(want) {
		t.Errorf("wrapped %q, want %q", w.said, want)
	}
	seen := door.Seen()
	if len(seen) != 2 || seen[0].ID != "late" || seen[0].Bridge || seen[1].ID != "new" || !seen[1].Bridge || seen[1].Topic != "meters/new" {
		t.Errorf("seen %+v", seen)
	}
	enrolled["new"] = mapping.Enrolled{Assurance: lamppost.Unsigned, Gateway: "m1", KeyEpoch: 1}
	if seen := door.Seen(); len(seen) != 1 {
		t.Errorf("after one was adopted: %+v", seen)
	}
	var got codes
	if ours, err := door.Publish(context.Background(), &ingest.Origin{Device: "plug"}, "cmnd/plug/POWER", nil, 1, &got); ours || err != nil || len(got) != 0 {
		t.Errorf("a topic of nobody: %t, %v, %v", ours, got, err)
	}
	now = at + 5*60_000 // no quarter hour
	w.said = nil
	if _, err := door.Publish(context.Background(), &ingest.Origin{Device: "plug"}, "meters/plug", []byte(good), 1, &got); err != nil || fmt.Sprint(w.said) != "[plug/3 0: energy 5 Wh register]" {
		t.Errorf("between quarter hours: %q, %v", w.said, err)
	}
	w.err = ingest.ErrEnded
	got = nil
	if _, err := door.Publish(context.Background(), &ingest.Origin{Device: "plug"}, "meters/plug", []byte(good), 1, &got); !errors.Is(err, ingest.ErrEnded) || len(got) != 0 {
		t.Errorf("while the node ends: %v, %v", got, err)
	}
}

// A broker that relays speaks for unsigned devices alone, whatever its topics name; one that binds topics to devices is
// like the device's own connection. What may have waited on its way is never billed.
func TestRelayed(t *testing.T) {
	t.Parallel()
	enrolled := map[lamppost.DeviceID]mapping.Enrolled{
		"plug": {lamppost.ChannelAuthenticated, "m1", 3}, "bulb": {lamppost.Unsigned, "m1", 1}, "meter": {KeyEpoch: 1}, "z2m": {lamppost.ChannelAuthenticated, "m1", 1},
	}
	w := &wraps{}
	door := mapping.NewDoor(mapping.Config{Set: all(t), Gateway: "m1", Wrap: w, Now: func() lamppost.TimeMS { return at },
		Enrolled: func(id lamppost.DeviceID) (mapping.Enrolled, bool) { e, ok := enrolled[id]; return e, ok }})
	const ok, forbidden, unknown = lamppost.CodeOK, lamppost.CodeForbidden, lamppost.CodeUnknown
	for device, want := range map[lamppost.DeviceID][3]lamppost.Code{ // relayed, with bound topics, late
		"plug": {forbidden, ok, forbidden}, "bulb": {ok, ok, ok}, "meter": {forbidden, forbidden, forbidden}, "z2m": {forbidden, ok, forbidden}, "new": {unknown, unknown, unknown},
	} {
		topic := "meters/" + string(device)
		if id, known := door.Device(topic); id != device || !known {
			t.Errorf("%s is %q's, %t", topic, id, known)
		}
		var got codes
		for _, from := range []ingest.Origin{{Device: device, Relayed: true}, {Device: device}, {Device: device, Relayed: true, Late: true}} {
			if ours, err := door.Publish(t.Context(), &from, topic, []byte(`{"energy_wh": 5}`), 1, &got); !ours || err != nil {
				t.Errorf("%s: %t, %v", topic, ours, err)
			}
		}
		if len(got) != 3 || [3]lamppost.Code(got) != want {
			t.Errorf("%s: %v, want %v", device, got, want)
		}
		for i, said := range w.said {
			if late := len(w.said) > 1 && i == 2; strings.Contains(said, " 1: ") == late {
				t.Errorf("%s: wrapped as %q", device, said)
			}
		}
		w.said = nil
	}
	if seen := door.Seen(); len(seen) != 1 || seen[0].ID != "new" || !seen[0].Bridge {
		t.Errorf("seen %+v", seen)
	}
	if _, known := door.Device("cmnd/plug/POWER"); known {
		t.Error("a topic of nobody is somebody's")
	}
}

// The filters of a file bring what its mappings read, each once.
func TestFilters(t *testing.T) {
	t.Parallel()
	set := parse(t, "builtin: [tasmota, shelly-gen2, zigbee2mqtt]\nmappings: [{name: x, topic: 'tele/{device}/SENSOR', readings: [{path: a, name: e, unit: Wh}]}]")
	if got, want := fmt.Sprint(set.Filters()), "[+/status/switch:0 tele/+/SENSOR zigbee2mqtt/+]"; got != want {
		t.Errorf("filters %s, want %s", got, want)
	}
}

// Messages that are no JSON use up the allowance of who brings them, and then nothing is taken from there.
func TestFloodOfNoise(t *testing.T) {
	t.Parallel()
	door := mapping.NewDoor(mapping.Config{Set: all(t), Gateway: "m1", Wrap: &wraps{}, Now: func() lamppost.TimeMS { return at },
		Enrolled: func(lamppost.DeviceID) (mapping.Enrolled, bool) {
			return mapping.Enrolled{Assurance: lamppost.Unsigned, Gateway: "m1"}, true
		}})
	from, got := &ingest.Origin{Device: "bulb", Allowance: ingest.NewAllowance(3, 0.001)}, codes{}
	for range 3 {
		if ours, err := door.Publish(t.Context(), from, "meters/bulb", []byte("on"), 1, &got); !ours || err != nil {
			t.Errorf("%t, %v", ours, err)
		}
	}
	var flood *ingest.FloodError
	if ours, err := door.Publish(t.Context(), from, "meters/bulb", []byte(`{"energy_wh": 5}`), 1, &got); !ours || !errors.As(err, &flood) {
		t.Errorf("after three messages that are none: %t, %v", ours, err)
	}
	if fmt.Sprint(got) != "[bad_report bad_report bad_report]" {
		t.Errorf("answered %v", got)
	}
}

// However many strangers speak, a bounded number is remembered, the latest ones.
func TestSeenIsBounded(t *testing.T) {
	t.Parallel()
	now := at
	door := mapping.NewDoor(mapping.Config{Set: all(t), Wrap: &wraps{}, Now: func() lamppost.TimeMS { now++; return now },
		Enrolled: func(lamppost.DeviceID) (mapping.Enrolled, bool) { return mapping.Enrolled{}, false }})
	var got codes
	for i := range 3000 {
		door.Publish(context.Background(), &ingest.Origin{Device: "z2m"}, fmt.Sprintf("meters/d%04d", i), nil, 1, &got)
	}
	if seen := door.Seen(); len(seen) != 1024 || seen[0].ID != "d1976" || len(got) != 3000 {
		t.Errorf("%d remembered, from %s", len(seen), seen[0].ID)
	}
}
