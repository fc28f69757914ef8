package api_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/lamppost/lamppost/internal/advise"
	"github.com/lamppost/lamppost/internal/api"
)

// A fleet is answered; one that is wrong is refused in words that name the field; whatever else goes wrong stays in the log. A program that
// gives no advice says so.
func TestAdvise(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	if e := h.refused(404, "not_found", "POST", "/api/advise", "{}"); !strings.Contains(e.Text, "tag small") {
		t.Errorf("without advice: %q", e.Text)
	}
	for _, call := range [][2]string{{"POST", "{}"}, {"GET", ""}} {
		if e := h.refused(404, "not_found", call[0], "/api/fleets", call[1]); !strings.Contains(e.Text, "tag small") {
			t.Errorf("%s without advice: %q", call[0], e.Text)
		}
	}
	rows, err := advise.Shipped()
	must(t, err)
	h.advise = func(fleet []byte) (any, error) {
		f, err := advise.ParseFleetJSON(fleet)
		switch {
		case err != nil:
			return nil, &api.FleetError{Err: err}
		case f.Name == "broken":
			return nil, errors.New("a secret of the node")
		}
		return advise.Advise(f, rows)
	}
	h.serve(h.live)

	fleet, err := advise.ParseFleet([]byte(advise.Example))
	must(t, err)
	var a advise.Answer
	h.ok(200, "POST", "/api/advise", fleet, &a)
	if a.V != advise.Version || a.Fleet != fleet.Name || a.Summary == "" || len(a.Options) == 0 {
		t.Errorf("the example is answered %+v", a)
	}

	fleet.Classes[0].Link = "pigeon"
	if e := h.refused(400, "bad_request", "POST", "/api/advise", fleet); !strings.Contains(e.Text, "classes.lamps.link") || !strings.Contains(e.Text, "zigbee") {
		t.Errorf("a wrong link is refused with %q", e.Text)
	}
	for body, want := range map[string]string{`{"naem":"x"}`: "naem", `[]`: "array", ``: "fleet", `{"name":"x"`: "fleet", strings.Repeat(" ", advise.MaxFleetBytes) + "{}": "at most"} {
		if e := h.refused(400, "bad_request", "POST", "/api/advise", body); !strings.Contains(e.Text, want) {
			t.Errorf("%.20q is refused with %q, want %q in it", body, e.Text, want)
		}
	}
	h.refused(413, "too_large", "POST", "/api/advise", strings.Repeat(" ", 1<<20+1))

	fleet.Name, fleet.Classes[0].Link = "broken", "wifi"
	if e := h.refused(500, "internal", "POST", "/api/advise", fleet); strings.Contains(e.Text, "secret") {
		t.Errorf("a fault of the node is told to whoever asks: %q", e.Text)
	}
}

// TestFleetFile: a file is read, as YAML and as JSON, and refused with its line; the examples are there, each as it can be sent.
func TestFleetFile(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.readFleet = func(file []byte) (any, error) {
		f, err := advise.ReadFile(file)
		if err != nil {
			return nil, &api.FleetError{Err: err}
		}
		return f, nil
	}
	h.examples = func() (any, error) { return advise.Examples() }
	h.serve(h.live)
	var list advise.FleetFileList
	h.ok(200, "GET", "/api/fleets", nil, &list)
	if len(list.Fleets) != 12 {
		t.Errorf("%d examples", len(list.Fleets))
	}
	for i := range list.Fleets {
		x := &list.Fleets[i]
		var got, again advise.FleetFile
		h.ok(200, "POST", "/api/fleets", x.File, &got)
		h.ok(200, "POST", "/api/fleets", x.Fleet, &again)
		if !reflect.DeepEqual(got.Fleet, x.Fleet) || !reflect.DeepEqual(again, got) || got.File == x.File || x.Name == got.Name {
			t.Errorf("%s is read as %+v, and as JSON as %+v", x.Name, got, again)
		}
	}
	for file, want := range map[string]string{"": "empty", "name: x\nnaem: y\n": "naem", "\x00\xff": "line 1", strings.Repeat(" ", advise.MaxFleetBytes+1): "at most"} {
		if e := h.refused(400, "bad_request", "POST", "/api/fleets", file); !strings.Contains(e.Text, want) {
			t.Errorf("%.20q is refused with %q, want %q in it", file, e.Text, want)
		}
	}
}
