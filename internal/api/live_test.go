package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/replica"
	"pgregory.net/rapid"
)

func power(at lamppost.TimeMS, w float64) lamppost.Reading {
	return lamppost.Reading{Name: "power", Unit: "W", Time: at, Float: w, IsFloat: true}
}

// The totals are exact: each accepted report counts once, energy is last − first (by time) of every register, refusals count by
// code; and a twin shows the latest reading of each name, whatever order they came in.
func TestTotalsAndTwin(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.settle()
	at := h.now()
	first := h.report("meter", 0, energy(at, 1000), power(at, 40.5))
	late := h.report("meter", 0, energy(at-1000, 900), power(at-1000, 1))
	h.clock.Add(60_000)
	fraction := energy(at+60_000, 0)
	fraction.Value = lamppost.Dec(2500_750, -3)
	h.submit(first, late, h.report("meter", 0, fraction), first, []byte("noise"))
	forged := h.report("meter", 0, energy(at, 1))
	forged[len(forged)-1] ^= 1
	h.submit(forged)
	h.do("POST", "/api/parties", `{"id":"tenant"}`, nil)

	var s api.Status
	h.ok(200, "GET", "/api/status", nil, &s)
	want := map[string]uint64{"duplicate": 1, "bad_report": 1, "bad_signature": 1, "exists": 1}
	if s.Totals.Reports != 3 || s.Totals.Readings != 5 || s.Totals.KWh != "1.600" || !maps.Equal(s.Totals.Refused, want) {
		t.Errorf("totals %+v, want 3 reports, 5 readings, 1.600 kWh, %v", s.Totals, want)
	}
	if s.Totals.Devices != 1 || s.Totals.DevicesOnline != 1 || s.Network != network || s.Engine.Engine != "solo" || s.Speed != 1 {
		t.Errorf("status %+v", s)
	}
	var d api.DeviceDetail
	h.ok(200, "GET", "/api/devices/meter", nil, &d)
	got := fmt.Sprint(d.Readings)
	if got != fmt.Sprintf("[{energy Wh 2500.750 register measured %d} {power W 40.5 gauge measured %d}]", at+60_000, at) {
		t.Errorf("readings %s", got)
	}
	if d.Seq != (api.Seq{Epoch: 1, N: 3}) || len(d.Points) != 1 || !d.Online || d.Last != h.now() {
		t.Errorf("device %+v", d)
	}
	h.clock.Add(3600_000)
	h.ok(200, "GET", "/api/devices/meter", nil, &d)
	if d.Online {
		t.Error("a device that has said nothing for an hour is online")
	}
}

// What is rebuilt from the archive is what was observed live.
func TestRebuild(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.settle()
	h.bill()
	for i := range 20 {
		at := h.now() + lamppost.TimeMS(i)*60_000
		h.submit(h.report("meter", 0, energy(at, 11_000+int64(i)*7), power(at, float64(i))))
	}
	before := answers(h)
	live := api.NewLive(1)
	must(t, live.Rebuild(archive.View{Reader: h.store}, h.rep.Last().Height, 1000))
	h.serve(live)
	if after := answers(h); after != before {
		t.Errorf("rebuilt:\n%s\nobserved:\n%s", after, before)
	}
	live = api.NewLive(1)
	must(t, live.Rebuild(archive.View{Reader: h.store}, h.rep.Last().Height, 2))
	h.serve(live)
	var s api.Status
	h.ok(200, "GET", "/api/status", nil, &s)
	if s.Totals.Reports != 2 || s.Totals.Billed["EUR"].String() != "3.57" || s.Totals.Devices != 1 {
		t.Errorf("rebuilt from two blocks: %+v", s.Totals)
	}
}

func answers(h *house) string {
	var b strings.Builder
	var s api.Status
	h.ok(200, "GET", "/api/status", nil, &s)
	text, err := json.Marshal(s.Totals)
	must(h.t, err)
	b.Write(text)
	for _, path := range []string{"/api/devices", "/api/devices/meter", "/api/devices/meter/series?name=energy", "/api/devices/meter/series?name=power"} {
		var raw []byte
		h.do("GET", path, nil, &raw)
		b.Write(raw)
	}
	return b.String()
}

// A ring holds at most its limit, in ascending order, only points that were given, and always reaches from near the
// first point of the window to near the last.
func TestRing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var g api.Ring
		limit := rapid.IntRange(api.MinPoints, 64).Draw(t, "limit")
		step := rapid.Int64Range(1, 100_000).Draw(t, "step")
		n := rapid.IntRange(1, 2000).Draw(t, "n")
		at, first := int64(1), int64(0)
		given := map[int64]float32{}
		for i := range n {
			at += rapid.Int64Range(-step/4, step).Draw(t, "dt")
			if _, twice := given[at]; !twice {
				given[at] = float32(i)
			}
			if i == 0 {
				first = at
			}
			g.Add(at, given[at], limit)
			if g.Len() > limit {
				t.Fatalf("%d points, limit %d", g.Len(), limit)
			}
		}
		last := int64(-1 << 62)
		for i := range g.Len() {
			at, v := g.Point(i)
			if want, ok := given[at]; at <= last || !ok || want != v {
				t.Fatalf("point %d is (%d, %v), after %d, given %v", i, at, v, last, want)
			}
			last = at
		}
		const week = 7 * 24 * 3600 * 1000
		if head, _ := g.Point(0); last-first < week && head != first {
			t.Fatalf("the ring begins at %d, not at %d", head, first)
		}
		if g.Len() < min(limit/4, 2) && n > 100 {
			t.Fatalf("only %d points of %d are left", g.Len(), n)
		}
	})
}

// A device cannot fill the memory with names; its totals count on.
func TestManyNames(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.settle()
	var readings []lamppost.Reading
	for i := range 2 * api.MaxSeries {
		readings = append(readings, lamppost.Reading{Name: fmt.Sprint("n", i), Unit: "W", Time: h.now(), Value: lamppost.Dec(1, 0)})
	}
	h.submit(h.report("meter", 0, readings...))
	var d api.DeviceDetail
	h.ok(200, "GET", "/api/devices/meter", nil, &d)
	if got := h.live.Totals(int64(h.now())); len(d.Series) != api.MaxSeries || got.Readings != 2*api.MaxSeries {
		t.Errorf("%d series, %d readings", len(d.Series), got.Readings)
	}
}

// The history of a series ends with the latest reading.
func TestSeries(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.settle()
	for i := range 5 {
		h.submit(h.report("meter", 0, power(h.now()+lamppost.TimeMS(i), 0.1+float64(i))))
	}
	var s api.Series
	h.ok(200, "GET", "/api/devices/meter/series?name=power", nil, &s)
	if s.Unit != "W" || s.Kind != "gauge" || len(s.Times) != 5 || s.Values[0] != 0.1 || s.Times[4] != h.now()+4 || s.Values[4] != 4.1 {
		t.Errorf("%+v", s)
	}
	h.refused(404, "not_found", "GET", "/api/devices/meter/series?name=x", nil)
	h.refused(400, "bad_request", "GET", "/api/devices/meter/series", nil)
}

// The event stream begins with a status, tells of blocks, adding up what comes at once, and ends with the server.
func TestEvents(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.settle()
	web := httptest.NewServer(h.handler)
	defer web.Close()
	req, err := http.NewRequestWithContext(context.Background(), "GET", web.URL+"/api/events", nil)
	must(t, err)
	req.Header.Set("Authorization", "Bearer "+adminToken)
	res, err := http.DefaultClient.Do(req)
	must(t, err)
	defer res.Body.Close()
	if got := res.Header.Get("Content-Type"); res.StatusCode != 200 || got != "text/event-stream" {
		t.Fatalf("%d %q", res.StatusCode, got)
	}
	in := bufio.NewScanner(res.Body)
	name, data := event(t, in)
	var s api.Status
	must(t, json.Unmarshal([]byte(data), &s))
	if name != "status" || s.Totals.Devices != 1 {
		t.Fatalf("first event %q %s", name, data)
	}
	h.submit(h.report("meter", 0, energy(h.now(), 1), power(h.now(), 1)))
	h.submit(h.report("meter", 0, energy(h.now(), 2)))
	var sum api.Block
	for sum.Transactions < 2 {
		if name, data = event(t, in); name != "block" {
			continue
		}
		var b api.Block
		must(t, json.Unmarshal([]byte(data), &b))
		sum.Height = b.Height
		sum.Transactions += b.Transactions
		sum.Reports += b.Reports
		sum.Readings += b.Readings
	}
	if want := (api.Block{Height: h.rep.Last().Height, Transactions: 2, Reports: 2, Readings: 3}); sum != want {
		t.Errorf("blocks %+v, want %+v", sum, want)
	}
	for { // the status follows
		if name, data = event(t, in); name == "status" {
			must(t, json.Unmarshal([]byte(data), &s))
			if s.Totals.Readings == 3 {
				break
			}
		}
	}
	h.server.Close()
	for in.Scan() {
	}
}

func event(t *testing.T, in *bufio.Scanner) (name, data string) {
	t.Helper()
	for in.Scan() {
		switch field, value, _ := strings.Cut(in.Text(), ": "); field {
		case "event":
			name = value
		case "data":
			data = value
		case "":
			return name, data
		}
	}
	t.Fatalf("the stream ended: %v", in.Err())
	return "", ""
}

// The budget on the way of a block is 1 µs per report of a single reading.
func BenchmarkObserve(b *testing.B) {
	for _, names := range []int{1, 4} {
		b.Run(fmt.Sprintf("readings=%d", names), func(b *testing.B) {
			const reports, events = 1000, 8
			var evs []*replica.Event
			for i := range events {
				evs = append(evs, segmentEvent(b, lamppost.TimeMS(1_700_000_000_000+i*60_000), reports, names))
			}
			live := api.NewLive(1)
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				if i%events == 0 && i > 0 { // times must rise, or the rings would have nothing to do
					b.StopTimer()
					live = api.NewLive(1)
					live.Observe(evs[0])
					b.StartTimer()
				}
				live.Observe(evs[i%events])
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/reports, "ns/report")
		})
	}
}

// segmentEvent is a block with one segment: a report each of many devices.
func segmentEvent(b *testing.B, at lamppost.TimeMS, reports, names int) *replica.Event {
	tx := &lamppost.Transaction{Type: lamppost.TxSegment}
	for i := range reports {
		id := lamppost.DeviceID(fmt.Sprintf("device-%05d", i))
		r := lamppost.Report{Device: id, KeyEpoch: 1, Seq: lamppost.Seq{Epoch: 1, N: uint64(i + 1)}}
		for j := range names {
			x := energy(at, int64(at/1000))
			x.Name = []string{"energy", "power", "voltage", "current"}[j]
			r.Readings = append(r.Readings, x)
		}
		raw, err := lamppost.SignReport(&r, network, deviceKey(b, id))
		must(b, err)
		tx.Items = append(tx.Items, lamppost.SegmentItem{Received: at, Report: raw})
	}
	return &replica.Event{Block: &lamppost.Block{Height: 1, Time: at}, Txs: []*lamppost.Transaction{tx},
		Result: &lamppost.Result{Outcomes: [][]lamppost.Outcome{make([]lamppost.Outcome, reports)}}}
}
