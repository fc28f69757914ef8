package dashboard_test

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"testing"

	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/outlook"
)

// The fake that the pages are tested against answers in the shapes of the real API: no field that it does not have, none
// left out. So a page that works here does not wait for a field that never comes.
func TestFakeKeepsTheContract(t *testing.T) {
	t.Parallel()
	d := newDistrict(t)
	d.broker, d.pending, d.several = brokerAt(true, ""), d.waiting(), true
	server := d.serve(t)
	for path, shape := range map[string]any{
		"/api/status": &api.Status{}, "/api/devices": &api.DeviceList{}, "/api/devices/lamp-17": &api.DeviceDetail{}, "/api/devices/lamp-05/keys": &api.KeyHistory{},
		"/api/devices/lamp-17/guard": &api.GuardState{},
		"/api/keeping":               &api.Keeping{},
		"/api/alarms":                &api.AlarmList{},
		"/api/agents":                &api.AgentList{}, "/api/agents/charger-1": &api.Agent{}, "/api/decisions": &api.DecisionList{},
		"/api/outlook/tenant-3": &outlook.Outlook{}, "/api/budgets": &api.BudgetList{},
		"/api/network":                          &api.Network{},
		"/api/devices/flat-3/series?name=power": &api.Series{}, "/api/log?limit=9": &api.Log{}, "/api/log/proof?height=300&index=0": &api.LogProof{},
		"/api/centres": &api.CentreList{}, "/api/centres/charger-1": &api.Centre{},
		"/api/sessions": &api.SessionList{}, "/api/disputes": &api.DisputeList{}, "/api/accounts": &api.AccountList{}, "/api/points/flat-9": &api.PointDetail{},
		"/api/invoices/riverside-000013": &api.Invoice{},
		"/api/parties":                   &api.PartyList{}, "/api/invoices": &api.InvoiceList{}, "/api/invoices/riverside-000007": &api.Invoice{},
	} {
		body := fetch(t, server.URL+path)
		strict := json.NewDecoder(bytes.NewReader(body))
		strict.DisallowUnknownFields()
		if err := strict.Decode(shape); err != nil {
			t.Errorf("%s is not what the API answers: %v", path, err)
			continue
		}
		again, err := json.Marshal(shape)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := fields(t, body), fields(t, again); !slices.Equal(got, want) {
			t.Errorf("%s has the fields %q, the API's are %q", path, got, want)
		}
	}
}

func fetch(t *testing.T, url string) []byte {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v: %s", url, res.Status, err, body)
	}
	return body
}

// fields lists the names of all fields of a JSON text, sorted.
func fields(t *testing.T, text []byte) []string {
	t.Helper()
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	var collect func(v any)
	collect = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for name, inner := range v {
				names[name] = true
				collect(inner)
			}
		case []any:
			for _, inner := range v {
				collect(inner)
			}
		}
	}
	collect(v)
	return slices.Sorted(maps.Keys(names))
}
