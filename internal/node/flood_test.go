package node_test

import (
	"testing"
	"time"

	"github.com/lamppost/lamppost"
)

// A device that floods with forged reports is held up at the door it comes through, with words, and at no other device's
// cost; when it stops, it is heard again.
func TestFlood(t *testing.T) {
	t.Parallel()
	l := light(t)
	l.order("/api/parties", lamppost.PartyBody{ID: "ada"}, nil)
	m, other := l.announce("m1"), l.announce("m2")
	l.enrol(m)
	l.enrol(other)
	forged := m.report(t, nil)
	forged[len(forged)-1] ^= 1
	refused, got := 0, said{}
	for refused < 3000 && got.Code != "too_many_bad_reports" {
		if got = l.post(m, forged); got.Code == "bad_signature" {
			refused++
		}
	}
	if refused < 100 || got.Code != "too_many_bad_reports" || len(got.Text) < 20 {
		t.Fatalf("after %d forged reports: %+v", refused, got)
	}
	if got := l.post(other, other.report(t, nil)); got.Code != "ok" {
		t.Errorf("another device's report: %+v", got)
	}
	good := m.report(t, nil)
	for end := time.Now().Add(20 * time.Second); got.Code != "ok" && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		got = l.post(m, good)
	}
	if got.Code != "ok" {
		t.Errorf("a good report after the flood: %+v", got)
	}
	for series, least := range map[string]float64{"lamppost_ingest_floods_total": 1, `lamppost_http_refused_total{code="too_many_bad_reports"}`: 1,
		`lamppost_ingest_checked_total{how="alone"}`: 90, `lamppost_reports_total{code="bad_signature"}`: 100} {
		if got := l.metric(series); got < least {
			t.Errorf("%s is %v, want at least %v", series, got, least)
		}
	}
	if searches := l.metric("lamppost_ingest_searches_total"); searches > 8 {
		t.Errorf("%v batches were searched", searches)
	}
}
