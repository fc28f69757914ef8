package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
)

// A period is fetched page by page, of one unit; a value that may be off is shown with its error and no more digits than that leaves;
// what is gone is said.
func TestDeviceSeries(t *testing.T) {
	var asked []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		asked = append(asked, fmt.Sprintf("%s %s from %s to %s", q.Get("name"), q.Get("unit"), q.Get("from_ms"), q.Get("to_ms")))
		s := api.Series{Name: "power", Unit: "W", Kind: "gauge", Times: []lamppost.TimeMS{1793491200000}, Values: []float64{1234.56789}, Errors: []float64{0.5}, Classes: []string{"summary"},
			Next: 1793491260000, Gone: []api.Gone{{Until: 1793491200000, Class: "erased", Why: "erased on 2026-11-01 under GDPR"}}}
		if len(asked) > 1 {
			s.Times[0], s.Values[0], s.Errors[0], s.Classes[0], s.Next = 1793491260000, 1200.25, 0, "raw", 0
		}
		_ = json.NewEncoder(w).Encode(s)
	}))
	defer srv.Close()
	t.Setenv("LAMPPOST_URL", srv.URL)
	t.Setenv("LAMPPOST_TOKEN", "0123456789abcdef")
	args := []string{"device", "series", "lamp", "power", "--from", "2026-11-01", "--to", "2026-11-02"}
	says(t, args, "2026-11-01T00:00:00.000Z 1234.57 0.50 W summary", "2026-11-01T00:01:00.000Z 1200.25 W raw", "before 2026-11-01 00:00Z: erased on 2026-11-01 under GDPR")
	if got, want := strings.Join(asked, "; "), "power  from 1793491200000 to 1793577600000; power W from 1793491260000 to 1793577600000"; got != want {
		t.Errorf("asked: %s, want %s", got, want)
	}
	asked = nil
	var s api.Series
	if err := json.Unmarshal([]byte(says(t, append(args, "--json"))), &s); err != nil || len(s.Times) != 2 || s.Errors[0] != 0.5 || s.Classes[1] != "raw" {
		t.Errorf("as JSON: %+v, %v", s, err)
	}
	fails(t, []string{"device", "series", "lamp"}, "the name of its readings")
	fails(t, []string{"device", "series", "lamp", "power", "--from", "2026-11-02", "--to", "2026-11-01"}, "is not after")
	fails(t, []string{"device", "series", "lamp", "power", "--from", "yesterday"}, "neither a date")
}

// What is kept is told with its reasons, in words.
func TestRetentionShow(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(api.DeviceKept{Rule: lamppost.RetentionBody{RawDays: 30, SummaryDays: 730, Error: 5}, Raw: []api.RawKept{{Reason: "near-alarm", Reports: 12, Bytes: 1900}},
			Series: []api.SeriesKept{{Name: "power", Unit: "W", Values: 8000, Bytes: 900, Error: 12.25, LeftOut: 3, Blocks: []api.SeriesBlock{{Values: 700, Bytes: 80, Method: "filtered", Reason: "policy", Bound: 13, Error: 12.25}}}},
			Gone:   []api.Gone{{Until: 1793491200000, Class: "header-only", Why: "pruned"}}})
	}))
	defer srv.Close()
	t.Setenv("LAMPPOST_URL", srv.URL)
	t.Setenv("LAMPPOST_TOKEN", "0123456789abcdef")
	out := says(t, []string{"retention", "show", "lamp"}, "stay raw for 30 days, summed up for 730 days within 0.5 % of the range", "an alarm is near 12 1900", "power W 8000 900 12", "before 2026-11-01 00:00Z: pruned")
	if strings.Contains(out, "filtered") {
		t.Errorf("blocks are shown unasked:\n%s", out)
	}
	says(t, []string{"retention", "show", "lamp", "--blocks"}, "700 80 filtered 13 12 the rule says so", "3 blocks before these")
}

func TestParseError(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]uint32{"": 0, "2%": 20, "0.5%": 5, "25": 250, "0.1%": 1} {
		if got, err := parseError(text); err != nil || got != want {
			t.Errorf("%q: %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"0%", "26%", "-1%", "x", "0.15%", "NaN", "2%%"} {
		if got, err := parseError(text); err == nil {
			t.Errorf("%q is %d", text, got)
		}
	}
}
