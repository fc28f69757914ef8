package api_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/replica"
)

// keep lets the archive do all that is due.
func (h *house) keep() {
	h.t.Helper()
	k := archive.Keeper{Store: h.store, Packs: h.packs, Rules: replica.Rules}
	for {
		did, err := k.Step(h.now())
		must(h.t, err)
		if !did.Some() {
			return
		}
	}
}

const dayMS = 24 * 3600_000

// Goal: through the API a device's history is read back over any period, raw and summed up, each value within its error bar; around what
// a verdict names it stays raw; what is kept is told with its reasons; and what is gone is said to be gone.
func TestHistory(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.settle()
	h.ok(201, "POST", "/api/retentions", `{"device":"meter","raw_days":1,"summary_days":30,"error":20}`, nil)
	begin := h.now()
	said := map[lamppost.TimeMS]float64{}
	for i := range 4 * 48 {
		h.clock.Add(dayMS / 48)
		v := 100*math.Sin(float64(i)/9) + float64(i*7919%13)
		said[h.now()] = v
		h.submit(h.report("meter", 0, lamppost.Reading{Name: "draw", Unit: "W", Time: h.now(), Float: v, IsFloat: true}))
	}
	from, to := begin+2*dayMS, begin+2*dayMS+6*3600_000
	_, err := h.order(t.Context(), lamppost.TxVerdicts, lamppost.VerdictsBody{Model: lamppost.Model{ID: "m"}, Through: 1, Verdicts: []lamppost.Verdict{{Kind: lamppost.Anomaly, Device: "meter",
		Name: "draw", Unit: "W", Since: from, At: from, Height: 1, KeepFrom: from, KeepTo: to, Reasons: []lamppost.VerdictReason{{Code: "value"}}}}})
	must(t, err)
	h.submit(h.report("meter", lamppost.FlagBilling, energy(h.now(), 99_000)))
	h.clock.Add(3 * dayMS)
	h.keep()

	path := fmt.Sprintf("/api/devices/meter/series?name=draw&from_ms=%d", begin)
	var s api.Series
	h.ok(200, "GET", path, nil, &s)
	if len(s.Times) != len(said) || s.Next != 0 || s.Unit != "W" || s.Kind != "gauge" || len(s.Gone) != 0 {
		t.Fatalf("%d values of %d, next %d, %q %q, gone %v", len(s.Times), len(said), s.Next, s.Unit, s.Kind, s.Gone)
	}
	raw := 0
	for i, at := range s.Times {
		off := math.Abs(s.Values[i] - said[at])
		if near := from <= at && at < to; near != (s.Classes[i] == "raw") || near && s.Errors[i] != 0 || !(off <= s.Errors[i]) || s.Errors[i] > 0.02*213 || i > 0 && at <= s.Times[i-1] {
			t.Fatalf("value %d at %d is %v ± %v, %s; was %v", i, at, s.Values[i], s.Errors[i], s.Classes[i], said[at])
		}
		if s.Classes[i] == "raw" {
			raw++
		}
	}
	if raw != 12 {
		t.Errorf("%d values are raw, want the 12 around the alarm", raw)
	}

	var all int
	for next := begin; next != 0; next = s.Next {
		s = api.Series{}
		h.ok(200, "GET", fmt.Sprintf("/api/devices/meter/series?name=draw&from_ms=%d&limit=50", next), nil, &s)
		if all += len(s.Times); len(s.Times) > 50 {
			t.Fatalf("%d values on a page", len(s.Times))
		}
	}
	if all != len(said) {
		t.Errorf("%d values on all pages, want %d", all, len(said))
	}
	h.ok(200, "GET", path+"&points=20", nil, &s)
	if n := len(s.Times); n > 20 || n < 10 {
		t.Errorf("%d points, want about 20", n)
	}
	h.ok(200, "GET", path+"&unit=kW", nil, &s)
	if len(s.Times) != 0 {
		t.Errorf("%d values of another unit", len(s.Times))
	}

	var k api.DeviceKept
	h.ok(200, "GET", "/api/devices/meter/kept", nil, &k)
	reasons := map[string]int{}
	for _, r := range k.Raw {
		reasons[r.Reason] = r.Reports
	}
	if k.Rule.Error != 20 || reasons["near-alarm"] != 12 || reasons["billed"] == 0 || len(k.Series) == 0 {
		t.Errorf("kept: %+v", k)
	}
	for _, x := range k.Series {
		values := 0
		for _, b := range x.Blocks {
			if values += b.Values; b.Error > b.Bound || b.Reason != "policy" || b.Method == "" {
				t.Errorf("block of %s: %+v", x.Name, b)
			}
		}
		if values != x.Values || x.Name == "draw" && values != len(said)-12 {
			t.Errorf("%s: %d values in blocks, %d in all", x.Name, values, x.Values)
		}
	}

	h.clock.Add(30 * dayMS)
	h.keep()
	h.ok(200, "GET", path, nil, &s)
	if len(s.Times) != 12 || len(s.Gone) != 1 || s.Gone[0].Class != "header-only" || !strings.Contains(s.Gone[0].Why, "summed up for 30 days") {
		t.Errorf("after 30 days: %d values, gone %+v", len(s.Times), s.Gone)
	}
	h.ok(201, "POST", "/api/erasures", `{"device":"meter","basis":"GDPR Art. 17"}`, nil)
	if e := h.refused(410, "gone", "GET", path, nil); !strings.Contains(e.Text, "erased on") || !strings.Contains(e.Text, "GDPR Art. 17") {
		t.Errorf("after it was erased: %q", e.Text)
	}
	h.refused(404, "not_found", "GET", "/api/devices/nobody/series?name=draw&from_ms=0", nil)
	h.refused(404, "not_found", "GET", "/api/devices/nobody/kept", nil)
	h.refused(400, "bad_request", "GET", path+"&to_ms=5", nil)
	h.refused(400, "bad_request", "GET", path+"&limit=x", nil)
}
