package dashboard_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/dashboard/browsertest"
	"github.com/lamppost/lamppost/internal/render"
)

// verdicts are one of each kind and one that was answered, the latest first.
func (d *district) verdicts(t func() []lamppost.Verdict) (all []any) {
	ids := []string{"v412.0.0", "v404.1.0", "v403.0.1", "v390.0.0"}
	for i, v := range t() {
		words, err := render.AlarmOf(render.Judged{Verdict: &v, Register: v.Name == "energy"}, render.Reader{Zone: homeTariff().Zone})
		if err != nil {
			panic(err)
		}
		reviews := d.reviewed[ids[i]]
		final, answered := false, false
		for _, r := range reviews {
			answer := r.(map[string]any)["answer"].(string)
			final = final || answer == "valid" || answer == "wrong"
			answered = answered || answer != "seen"
		}
		open := !final && (v.Suspends || !answered)
		one := map[string]any{"id": ids[i], "by": member, "found_ms": v.At + 1000, "verdict": v,
			"model": lamppost.Model{ID: "lamppost", Version: 1}, "device_name": strings.ToUpper(string(v.Device[:1])) + string(v.Device[1:]), "place": "Mill House", "register": v.Name == "energy",
			"open": open, "suspending": v.Suspends && !final, "words": words}
		if len(reviews) > 0 { // left out where nobody answered, as the API does
			one["reviews"] = reviews
		}
		all = append(all, one)
	}
	return all
}

func (d *district) found3() []lamppost.Verdict {
	at := func(quarters int) lamppost.TimeMS { return evening - lamppost.TimeMS(quarters)*15*60*1000 }
	dec := func(n int64, exp int8) *lamppost.Decimal { x := lamppost.Dec(n, exp); return &x }
	return []lamppost.Verdict{
		{Kind: lamppost.Behaviour, Device: "lamp-31", Since: at(3), At: at(2), Suspends: true, Score: 6210, Level: 540, Reasons: []lamppost.VerdictReason{{Code: "unknown_firmware", Value: dec(7, 0)}}},
		{Kind: lamppost.Implausible, Device: "flat-9", Name: "energy", Unit: "Wh", Since: at(40), At: at(4), Height: 396, Suspends: true,
			Reasons: []lamppost.VerdictReason{{Code: "too_fast", Value: dec(61250, 0), High: dec(55200, 0), At: at(4)}}},
		{Kind: lamppost.Anomaly, Device: "flat-3", Name: "power", Unit: "W", Since: at(30), At: at(6), Height: 394, Score: 1210, Level: 540, Reasons: []lamppost.VerdictReason{
			{Code: "pattern", Share: 610, Readings: 24, Value: dec(3114, 0), Low: dec(80, 0), High: dec(2900, 0), Gap: dec(1204, 0), At: at(12), Nearest: at(100)},
			{Code: "value", Share: 390, Readings: 1, Value: dec(3114, 0), Low: dec(80, 0), High: dec(2900, 0)}}},
		{Kind: lamppost.Anomaly, Device: "lamp-05", Name: "power", Unit: "W", Since: at(60), At: at(50), Height: 380, Score: 800, Level: 540,
			Reasons: []lamppost.VerdictReason{{Code: "mean", Readings: 36, Value: dec(713, -1), Low: dec(0, 0), High: dec(69, 0), At: at(50)}}},
	}
}

func (d *district) alarms(r *http.Request) any {
	all, open := d.verdicts(d.found3), 0
	shown := []any{}
	for _, a := range all {
		a := a.(map[string]any)
		if a["open"].(bool) {
			open++
		}
		device := r.FormValue("device")
		if v := a["verdict"].(lamppost.Verdict); (device == "" || string(v.Device) == device) && (r.FormValue("open") == "" || a["open"].(bool)) {
			shown = append(shown, a)
		}
	}
	return map[string]any{"alarms": shown, "open": open, "budget": map[string]any{"budget": 20, "last_week": 3, "devices": lamps + flats, "rate": 57.69}}
}

func (d *district) openAlarms() (n int) {
	for _, a := range d.verdicts(d.found3) {
		if a.(map[string]any)["open"].(bool) {
			n++
		}
	}
	return n
}

func (d *district) serveAlarms(mux *http.ServeMux, answer func(string, func(*http.Request) any)) {
	d.reviewed["v390.0.0"] = []any{map[string]any{"answer": "normal", "by": member, "time_ms": evening - 60_000, "height": 391, "tx": 0}}
	answer("/alarms", d.alarms)
	mux.HandleFunc("POST /api/verdicts/{id}/review", d.guard(func(w http.ResponseWriter, r *http.Request) {
		var body map[string]any
		err := json.NewDecoder(r.Body).Decode(&body)
		d.mu.Lock()
		defer d.mu.Unlock()
		if err != nil || r.PathValue("id") == "v403.0.1" && body["answer"] == "wrong" {
			refuse(w, http.StatusBadRequest, "bad_transaction", "verdict v403.0.1 was answered 16 times")
			return
		}
		id := r.PathValue("id")
		d.reviewed[id] = append(d.reviewed[id], map[string]any{"answer": body["answer"], "reason": body["reason"], "by": member, "time_ms": d.now, "height": d.height, "tx": 0})
		w.WriteHeader(http.StatusCreated)
		reply(w, map[string]any{"height": 9, "index": 0, "outcome": "ok"})
	}))
}

// Alarms are shown with why, a picture, and what to do next; an answer needs a reason where something is held back, counts at once in the
// navigation, and a refusal is shown in words.
func testAlarms(t *testing.T, ctx context.Context) {
	d := newDistrict(t)
	p := browsertest.Open(t, ctx, d.serve(t).URL, browsertest.Desktop)
	p.Visit("#/", ".rows li")
	p.WaitText("#alarm-count", "3")
	p.Run(chromedp.Click(chromedp.CSS("nav a[data-page=alarms]")))
	p.WaitText("#main", "3 wait for an answer")
	for at, want := range map[int][]string{
		1: {"lamp-31 behaves unlike before", "In quarantine", "firmware that is not among those", "give it a new key"},
		2: {"energy of flat-9 cannot be right", "Not billed", "61.25\u00a0kWh were used since", "lamppost reading enter"},
		3: {"power of flat-3 is unlike before", "Open", "resembles none before", "The dashed line is the nearest earlier course", "what was usual: 80 to 2,900 W"},
		4: {"power of lamp-05", "Not an anomaly"},
	} {
		for _, text := range want {
			browsertest.Value[bool](p, "(document.querySelector('#alarms > li:nth-child("+string(rune('0'+at))+")').scrollIntoView(), true)")
			p.WaitText("#alarms > li:nth-child("+string(rune('0'+at))+")", text)
		}
	}
	p.WaitText("#budget", "57.69 for each 1,000. The budget is 20")
	// without a reason nothing is sent
	second := "#alarms > li:nth-child(2) "
	p.Run(chromedp.Click(chromedp.CSS(second + "button.main")))
	if got := browsertest.Value[int](p, "document.querySelectorAll('#alarms .answers input:invalid').length"); got != 2 {
		t.Errorf("%d fields ask for a reason, want 2", got)
	}
	p.Set("#reason-v404-1-0", "a sauna was built in")
	p.Run(chromedp.Click(chromedp.CSS(second + "button.main")))
	p.WaitText(".note.ok", "energy of flat-9 cannot be right: it is right.")
	p.WaitText("#main", "2 wait for an answer")
	p.WaitText("#alarms", "a sauna was built in")
	p.Denied = true // the console says that the node answers 400
	p.Run(chromedp.Click(chromedp.CSS("#alarms > li:nth-child(2) .buttons[role=group] button:last-child")))
	p.WaitText("#alarms > li:nth-child(2) [role=alert]", "was answered 16 times")
	p.Denied = false
	p.Run(chromedp.Click(chromedp.CSS("#alarms > li:nth-child(2) .buttons[role=group] button:nth-child(2)")))
	p.WaitText(".note.ok", "This series needs more to alarm from now on.")
	d.advance()
	p.WaitText("#alarm-count", "1")

	p.Visit("#/device/flat-3", "#alarms-h + div + ul li")
	p.WaitText("#main", "power of flat-3 is unlike before. Since")
	p.Run(chromedp.Click(chromedp.CSS("a[href='#/alarms/flat-3']")))
	p.WaitText("#main", "Of flat-3")
	if n := browsertest.Value[int](p, "document.querySelectorAll('#alarms > li').length"); n != 1 {
		t.Errorf("%d alarms of flat-3", n)
	}
}
