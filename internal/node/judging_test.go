package node_test

import (
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/ledger"
)

// judged are the verdicts on the ledger, and up to where the member says that all is judged.
func (l *lamp) judged() (verdicts []ledger.Verdict, through lamppost.Height) {
	l.t.Helper()
	v := ledger.View{Reader: l.Store()}
	through, err := v.Judged("node1") // first: there may be more verdicts than when it was said
	must(l.t, err)
	must(l.t, v.Verdicts(lamppost.VerdictID{}, func(x *ledger.Verdict) error {
		verdicts = append(verdicts, *x)
		return nil
	}))
	return verdicts, through
}

// TestJudgeStalls: while triage is behind, an invoice waits, is refused as not_ready, and nothing is billed; when it has caught up, the
// same invoice is made, and says that it was judged.
func TestJudgeStalls(t *testing.T) {
	t.Parallel()
	l := light(t)
	m, from, to := l.supply()
	l.BoundTriage(0, 100*time.Millisecond)
	l.meter(m, from, to)
	bill := map[string]any{"seller": "ada", "buyer": "tom", "currency": "EUR", "from_ms": from, "to_ms": to}
	began := time.Now()
	status, text := l.ask("POST", "/api/invoices", bill)
	if waited := time.Since(began); waited < 100*time.Millisecond || status != http.StatusConflict || !strings.Contains(string(text), "not_ready") || !strings.Contains(string(text), "triage has judged up to block") {
		t.Errorf("after %v: %d %s", waited, status, text)
	}
	if _, text := l.ask("GET", "/api/invoices", nil); strings.Contains(string(text), "ada-000001") {
		t.Errorf("it is billed: %s", text)
	}
	l.BoundTriage(1, 20*time.Second)
	var done struct {
		Invoice struct {
			Supplies []struct{ Judged bool }
		}
	}
	if l.order("/api/invoices", bill, &done); !done.Invoice.Supplies[0].Judged {
		t.Errorf("%+v", done)
	}
}

// TestLateIsNotBilled: a register that fell is found in a reading that comes hours after younger ones, and the bill that would rest on it is refused with
// the verdict, and made when somebody has answered.
func TestLateIsNotBilled(t *testing.T) {
	t.Parallel()
	l := light(t)
	m, from, to := l.supply()
	l.meter(m, from, to) // 0, 6,000 and 12,000 Wh
	late := from + (to-from)*3/4
	if got := l.post(m, m.report(t, func(r *lamppost.Report) {
		r.Flags, r.Readings[0].Time, r.Readings[0].Value = lamppost.FlagBilling, late, lamppost.Dec(5_000, 0)
	})); got.Code != "ok" {
		t.Fatalf("%+v", got)
	}
	bill := map[string]any{"seller": "ada", "buyer": "tom", "currency": "EUR", "from_ms": from, "to_ms": to}
	status, text := l.ask("POST", "/api/invoices", bill)
	verdicts, _ := l.judged()
	if len(verdicts) != 1 {
		t.Fatalf("%d verdicts; %s", len(verdicts), text)
	}
	v := verdicts[0].Body
	if last := v.Reasons[len(v.Reasons)-1]; !v.Suspends || v.Reasons[0].Code != "rolled_back" || last.Code != "late" || last.Low.Mantissa != 6000 || last.High.Mantissa != 12_000 || last.Nearest != to {
		t.Errorf("found %+v", v)
	}
	if status != http.StatusConflict || !strings.Contains(string(text), verdicts[0].ID.String()) {
		t.Errorf("%d %s", status, text)
	}
	_, err := l.Order(t.Context(), lamppost.TxReview, lamppost.ReviewBody{Verdict: verdicts[0].ID, Answer: lamppost.ReviewValid, Reason: "the clock was wrong"})
	must(t, err)
	l.order("/api/invoices", bill, nil)
}

// TestThrough: while something comes and nothing is found, a member says every ten minutes up to where it has judged; while nothing comes
// it says nothing.
func TestThrough(t *testing.T) {
	t.Parallel()
	l := light(t)
	l.order("/api/parties", lamppost.PartyBody{ID: "ada"}, nil)
	m := l.announce("meter")
	l.enrol(m)
	came := l.post(m, m.report(t, nil)).Height
	eventually(t, "the report is judged", func() bool { return l.status().Triage.Height >= came })
	if _, through := l.judged(); through != 0 {
		t.Errorf("it says at once that all is judged up to %d", through)
	}
	l.SaidAgo(10 * time.Minute)
	eventually(t, "it is said that all is judged", func() bool { _, through := l.judged(); return through >= came })
	height := l.Height()
	eventually(t, "the order is judged", func() bool { return l.status().Triage.Height >= height })
	l.SaidAgo(10 * time.Minute)
	l.order("/api/parties", lamppost.PartyBody{ID: "tom"}, nil) // something comes: only now there is more to say
	eventually(t, "it is said again", func() bool { _, through := l.judged(); return through > height })
	if verdicts, _ := l.judged(); len(verdicts) != 0 {
		t.Errorf("%d verdicts", len(verdicts))
	}
	for h := height + 1; h <= l.Height(); h++ {
		for _, raw := range l.Raw(h) {
			if tx := lamppost.ReadTransaction(raw); tx.Type == lamppost.TxVerdicts && h == height+1 {
				t.Error("something was said though nothing had come")
			}
		}
	}
}

// TestManyVerdicts: where more is found than may wait, nothing more is judged until it is ordered, so what is said to be judged is what was
// ordered, and every verdict stands on the ledger once.
func TestManyVerdicts(t *testing.T) {
	t.Parallel()
	l := light(t)
	l.order("/api/parties", lamppost.PartyBody{ID: "ada"}, nil)
	m := l.announce("meter")
	l.enrol(m)
	l.BoundTriage(0, time.Second)
	const falls = 40
	var heights []lamppost.Height // of the falls
	for i := range falls + 1 {
		got := l.post(m, m.report(t, func(r *lamppost.Report) {
			r.Readings[0].Time += lamppost.TimeMS(i) * 1000
			r.Readings[0].Value = lamppost.Dec(int64(1000-i), 0)
		}))
		if got.Code != "ok" {
			t.Fatalf("%+v", got)
		}
		if i > 0 {
			heights = append(heights, got.Height)
		}
		if i == falls/2 {
			l.BoundTriage(3, time.Second)
		}
		if n := l.WaitingVerdicts(); n > 3 {
			t.Errorf("%d verdicts wait", n)
		}
		verdicts, through := l.judged()
		if found := slices.IndexFunc(append(heights, math.MaxInt64), func(h lamppost.Height) bool { return h > through }); found > len(verdicts) {
			t.Errorf("it is said that all up to %d is judged, with %d verdicts of %d", through, len(verdicts), found)
		}
	}
	eventually(t, "all falls are on the ledger", func() bool { verdicts, _ := l.judged(); return len(verdicts) >= falls })
	verdicts, _ := l.judged()
	at := map[lamppost.TimeMS]bool{}
	for _, v := range verdicts {
		at[v.Body.At] = true
	}
	if len(verdicts) != falls || len(at) != falls {
		t.Errorf("%d verdicts on %d readings, where a register fell %d times", len(verdicts), len(at), falls)
	}
}

// TestTriageOff: nothing is judged, neither readings nor behaviour, and what was known is forgotten.
func TestTriageOff(t *testing.T) {
	t.Parallel()
	cfg := config(t.TempDir())
	l := run(t, cfg)
	l.order("/api/parties", lamppost.PartyBody{ID: "ada"}, nil)
	m := l.announce("meter")
	l.enrol(m)
	came := l.post(m, m.report(t, nil)).Height
	eventually(t, "the report is judged", func() bool { return l.status().Triage.Height >= came })
	l.stop() // saves
	cfg.Triage = "off"
	l = run(t, cfg)
	for i := range 3 {
		if got := l.post(m, m.report(t, func(r *lamppost.Report) {
			r.Readings[0].Time, r.Readings[0].Value = r.Readings[0].Time+lamppost.TimeMS(i+1)*1000, lamppost.Dec(int64(-i), 0)
		})); got.Code != "ok" {
			t.Fatalf("%+v", got)
		}
	}
	if s := l.status().Triage; s != nil {
		t.Errorf("triage says %+v", s)
	}
	if n := l.metric("lamppost_behaviour_findings_total"); n != 0 || l.Tallied() != 0 {
		t.Errorf("%v findings, %d devices are counted", n, l.Tallied())
	}
	for _, prefix := range []string{"nE", "nJ", "nQ"} {
		must(t, l.Store().Scan([]byte(prefix), []byte(prefix+"\xff"), func(key, _ []byte) error {
			t.Errorf("there is still %q", key)
			return nil
		}))
	}
}
