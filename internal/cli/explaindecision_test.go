package cli

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/device"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
	"github.com/lamppost/lamppost/sig"
	"github.com/lamppost/lamppost/tariff"
)

// An agent of a real node decides within seconds of being set, by published prices and the device's own reading; agent verbs show it, explain replays it to
// the same bytes and says what would have changed it in the reader's language; stopped, its device follows the safe rule. Evidence that was touched is
// refused. (It sets the environment.)
func TestExplainDecision(t *testing.T) {
	dir := t.TempDir()
	n := startNode(t, dir, "2026-12-01T12:00:00Z")
	t.Setenv("LAMPPOST_URL", n.URL())
	t.Setenv("LAMPPOST_TOKEN", "")
	verb := func(args ...string) []string { return append(args, "--data", dir) }
	says(t, verb("party", "add", "landlord"), "registered")
	token := enrol(t, n, verb)
	noon := lamppost.TimeMS(time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC).UnixMilli())
	key, err := sig.NewPrivateKey(sig.EdDSA, bytes.Repeat([]byte{7}, sig.SeedSize))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := lamppost.SignReport(&lamppost.Report{Device: "meter-3", KeyEpoch: 1, Seq: lamppost.Seq{Epoch: 1, N: 1}, TimeQuality: lamppost.TimeSynchronised,
		Readings: []lamppost.Reading{{Name: "stored", Unit: "Wh", Time: noon, Kind: lamppost.Gauge, Value: lamppost.Dec(1000, 0)}}}, "house", key)
	if err != nil {
		t.Fatal(err)
	}
	if ack, err := device.NewHTTP(n.URL(), "meter-3", token, nil).Send(t.Context(), raw); err != nil || ack.Code != lamppost.CodeOK {
		t.Fatalf("%+v, %v", ack, err)
	}
	spot := ledgertest.Tariff("spot", 1, "landlord", noon, 0)
	spot.Bands, spot.Series, spot.To = nil, &tariff.Series{From: noon, StepMS: 3_600_000}, noon+48*3_600_000
	for h := range 48 {
		price := lamppost.Micro(300_000)
		if h == 0 {
			price = 50_000
		}
		spot.Series.Prices = append(spot.Series.Prices, price)
	}
	if _, err := n.Order(t.Context(), lamppost.TxTariff, spot); err != nil {
		t.Fatal(err)
	}
	says(t, verb("agent", "list"), "No agents")
	fails(t, verb("agent", "set", "meter-3", "toaster"), "lamp, charger, storage or valve")
	fails(t, verb("agent", "set", "meter-3", "storage", "--input", "stored"), "traffic=road/cars")
	says(t, verb("agent", "set", "meter-3", "storage", "--tariff", "spot", "--input", "stored=meter-3/stored", "--rule", "feed=100"), "storage's agent, in mode advise")

	d := waitDecision(t, dir, lamppost.AgentAdvises)
	says(t, verb("agent", "show", "meter-3", "--lang", "de"), "storage, mode advise", "Rule feed: 100", "meter-3 wird ab", "Leistung 5 kW")
	says(t, verb("agent", "list"), "meter-3", "advise", "power 5000 W")
	says(t, verb("explain", d.ID.String()), "is advised", "Later it costs more", "Had the price", "Instead: power 0 W", "Replayed: the same bytes", "by the node's own pin")
	var e decisionExplained
	if err := json.Unmarshal([]byte(says(t, verb("explain", d.ID.String(), "--json", "--pin", dir+"/"+pinFile))), &e); err != nil || e.Result != "same" || e.Replied == nil || e.Decision.Flip == nil || !e.Pinned {
		t.Errorf("%+v, %v", e, err)
	}
	fails(t, verb("explain", "d1.0.0"), "no decision d1.0.0")
	fails(t, verb("explain", "d1"), "d1204.3.0")

	says(t, verb("agent", "stop", "meter-3"), "follows its safe rule")
	s := waitDecision(t, dir, lamppost.AgentStopped)
	says(t, verb("explain", s.ID.String(), "--lang", "fr"), "Le propriétaire a arrêté", "Replayed: the same bytes")
	says(t, verb("explain", d.ID.String()), "it came to", "and it came to what the ledger says")
	touched(t, dir, d.ID)
}

// waitDecision waits until meter-3's last decision is in a mode.
func waitDecision(t *testing.T, dir string, mode lamppost.AgentMode) api.Decision {
	t.Helper()
	r := remoteOf(t, dir)
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		var all api.DecisionList
		if _, err := r.get("/api/decisions?device=meter-3", &all); err != nil {
			t.Fatal(err)
		}
		if len(all.Decisions) > 0 && all.Decisions[0].Body.Mode == mode {
			return all.Decisions[0]
		}
		if err := pause(t.Context(), 20*time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatalf("after 20 s there is no decision in mode %s", mode)
	return api.Decision{}
}

func remoteOf(t *testing.T, dir string) *remote {
	t.Helper()
	f, cmd := nodeFlags{data: dir}, explainCmd()
	cmd.SetContext(t.Context())
	r, err := f.open(cmd)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// touched holds evidence that was changed on the way against what explain says of it.
func touched(t *testing.T, dir string, id lamppost.DecisionID) {
	t.Helper()
	r := remoteOf(t, dir)
	var good api.DecisionEvidence
	if _, err := r.get("/api/decisions/"+id.String()+"/evidence", &good); err != nil {
		t.Fatal(err)
	}
	x := &explainer{}
	pin, err := x.pinOf(r)
	if err != nil {
		t.Fatal(err)
	}
	try := func(ev api.DecisionEvidence) (*decisionExplained, error) {
		e := &decisionExplained{ID: ev.Decision.ID, Outcome: ev.Decision.Outcome}
		if err := e.prove(&ev, pin); err != nil {
			return e, err
		}
		return e, e.again(&ev)
	}
	if e, err := try(good); err != nil || e.Result != "same" {
		t.Fatalf("%+v, %v", e, err)
	}
	ev := good
	raw, _ := base64.StdEncoding.DecodeString(ev.Inputs)
	raw[len(raw)-1] ^= 1
	ev.Inputs = base64.StdEncoding.EncodeToString(raw)
	if _, err := try(ev); err == nil || !strings.Contains(err.Error(), "another SHA-256") {
		t.Errorf("other inputs: %v", err)
	}
	ev = good
	lie := *ev.Decision.Outcome
	lie.Gain++
	ev.Decision.Outcome = &lie
	if e, err := try(ev); err != nil || e.Result != "differs" || len(e.Differs) != 1 || e.Differs[0] != "gain" {
		t.Errorf("another outcome: %+v, %v", e, err)
	}
	ev = good
	ev.Decision.ID.Index++
	if _, err := try(ev); err == nil {
		t.Error("another decision than the proof's is explained")
	}
}
