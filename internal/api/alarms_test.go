package api_test

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/api"
)

// alarm has a report of the meter judged, and returns the verdict.
func (h *house) alarm(kind lamppost.VerdictKind, suspends bool, code string) lamppost.VerdictID {
	h.t.Helper()
	h.clock.Add(60_000)
	h.stand += 4200
	must(h.t, h.submit(h.report("meter", 0, energy(h.now(), 20_000+h.stand)))[0].Err())
	height := h.engine.Status().Height
	v := lamppost.Verdict{Kind: kind, Device: "meter", Name: "energy", Unit: "Wh", Since: h.now() - 3600_000, At: h.now(), Height: height, Suspends: suspends,
		State: sha256.Sum256([]byte("state " + code)), Reasons: []lamppost.VerdictReason{{Code: code, Value: dec(4200), Low: dec(0), High: dec(900)}}}
	if kind == lamppost.Behaviour {
		v.Name, v.Unit, v.Height = "", "", 0
	}
	d, err := h.order(h.t.Context(), lamppost.TxVerdicts, lamppost.VerdictsBody{Model: lamppost.Model{ID: "lamppost", Version: 1}, Through: height, Verdicts: []lamppost.Verdict{v}})
	must(h.t, err)
	must(h.t, d.Outcomes[0].Err())
	return lamppost.VerdictID{Height: d.Height, Tx: d.Index}
}

func dec(n int64) *lamppost.Decimal { d := lamppost.Dec(n, 0); return &d }

// Alarms come in the reader's words and on the reader's clock, those that wait for an answer apart, with the budget; an answer closes one.
func TestAlarms(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.settle()
	soft, hard := h.alarm(lamppost.Anomaly, false, "value"), h.alarm(lamppost.Implausible, true, "too_fast")
	does := h.alarm(lamppost.Behaviour, false, "rate")
	var all api.AlarmList
	h.ok(200, "GET", "/api/alarms?lang=de&zone=Europe/Berlin", nil, &all)
	if len(all.Alarms) != 3 || all.Open != 3 || all.Alarms[0].ID != does || all.Alarms[2].ID != soft {
		t.Fatalf("%+v", all)
	}
	a := all.Alarms[2]
	if want := "4,2\u00a0kW am 1. November 2026, 01:01 Uhr; das Höchste bisher war 900\u00a0W."; a.Words.Why[0] != want || a.Place != "Flat 3" || !a.Register || !a.Open {
		t.Errorf("%+v, want the reason %q", a, want)
	}
	if b := all.Budget; b.Budget != 20 || b.LastWeek != 2 || b.Devices != 1 || b.Rate != 2000 {
		t.Errorf("budget %+v", b)
	}
	if !all.Alarms[1].Suspending || all.Alarms[0].Suspending {
		t.Errorf("what suspends: %+v", all.Alarms)
	}
	h.refused(400, "bad_transaction", "POST", "/api/verdicts/"+hard.String()+"/review", `{"answer":"valid"}`)
	h.ok(201, "POST", "/api/verdicts/"+hard.String()+"/review", `{"answer":"valid","reason":"a sauna was built in"}`, nil)
	h.ok(201, "POST", "/api/verdicts/"+soft.String()+"/review", `{"answer":"normal"}`, nil)
	h.ok(201, "POST", "/api/verdicts/"+does.String()+"/review", `{"answer":"seen"}`, nil)
	var open api.AlarmList
	h.ok(200, "GET", "/api/alarms?open=true", nil, &open)
	if len(open.Alarms) != 1 || open.Open != 1 || open.Alarms[0].ID != does || open.Alarms[0].Reviews[0].Answer != lamppost.ReviewSeen {
		t.Errorf("open: %+v", open)
	}
	var page api.AlarmList
	h.ok(200, "GET", "/api/alarms?device=meter&limit=1&before="+does.String(), nil, &page)
	if len(page.Alarms) != 1 || page.Alarms[0].ID != hard {
		t.Errorf("page: %+v", page)
	}
	var st api.Status
	h.ok(200, "GET", "/api/status", nil, &st)
	if st.Alarms != 1 {
		t.Errorf("the status counts %d alarms", st.Alarms)
	}
	for _, bad := range []string{"lang=tlh", "zone=Moon/Sea", "before=12", "open=perhaps", "limit=1e9"} {
		h.refused(400, "bad_request", "GET", "/api/alarms?"+bad, nil)
	}
}

// What a verdict can be replayed from comes with the proof of both the verdict and the report that it is about, and where something is missing
// the answer says why.
func TestVerdictEvidence(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.states = map[lamppost.Hash][]byte{sha256.Sum256([]byte("state value")): []byte("a state"), sha256.Sum256([]byte("state rate")): []byte("a door's")}
	h.serve(h.live)
	h.settle()
	kept, lost := h.alarm(lamppost.Anomaly, false, "value"), h.alarm(lamppost.Anomaly, false, "mean")
	does, elsewhere := h.alarm(lamppost.Behaviour, false, "rate"), h.alarm(lamppost.Behaviour, false, "pace")
	for id, want := range map[lamppost.VerdictID]struct {
		missing, state string
		reports        int
	}{kept: {"", "a state", 1}, lost: {"state", "", 1}, does: {"", "a door's", 0}, elsewhere: {"state", "", 0}} {
		var e api.VerdictEvidence
		h.ok(200, "GET", "/api/verdicts/"+id.String()+"/evidence", nil, &e)
		state, err := base64.StdEncoding.DecodeString(e.State)
		must(t, err)
		if e.Missing != want.missing || string(state) != want.state || (want.missing != "") != (e.Why != "") {
			t.Errorf("%s: %+v", id, e)
		}
		raw, err := base64.StdEncoding.DecodeString(e.Proof)
		must(t, err)
		p, err := lamppost.ParseProof(raw)
		must(t, err)
		proven, err := audit.CheckProof(p, h.pin())
		must(t, err)
		if last := proven.Txs[len(proven.Txs)-1]; last.Type != lamppost.TxVerdicts || last.Height != id.Height || len(proven.Reports) != want.reports {
			t.Errorf("%s: the proof shows %s and %d reports", id, &last, len(proven.Reports))
		}
	}
	h.clock.Add(1000)
	h.ok(201, "POST", "/api/erasures", `{"device":"meter","basis":"GDPR Art. 17(1)(b)"}`, nil)
	h.refused(404, "not_found", "GET", "/api/verdicts/v99.0.0/evidence", nil)
	if e := h.refused(410, "gone", "GET", "/api/verdicts/"+kept.String()+"/evidence", nil); !strings.Contains(e.Text, "erased on 2026-11-01 ") || !strings.Contains(e.Text, "GDPR") {
		t.Errorf("after the erasure: %+v", e)
	}
	h.refused(400, "bad_request", "GET", "/api/verdicts/7/evidence", nil)
}
