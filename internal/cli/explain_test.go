package cli

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/device"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/sig"
)

// steps returns readings of so many steps of five minutes from a time: a register that counts steadily, and a gauge that swings.
func steps(from lamppost.TimeMS, first, n int) (all []lamppost.Reading) {
	for i := first; i < first+n; i++ {
		at := from + lamppost.TimeMS(i)*300_000
		all = append(all, lamppost.Reading{Name: "energy", Unit: "Wh", Time: at, Kind: lamppost.Register, Value: lamppost.Dec(int64(50_000+30*i+i*i%7), 0)},
			lamppost.Reading{Name: "power", Unit: "W", Time: at, Kind: lamppost.Gauge, Value: lamppost.Dec(int64(300+i*i%11), 0)})
	}
	return all
}

// waitAlarms asks until there are so many alarms.
func waitAlarms(t *testing.T, dir string, n int) []api.Alarm {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; {
		f := nodeFlags{data: dir}
		cmd := explainCmd()
		cmd.SetContext(t.Context())
		r, err := f.open(cmd)
		if err != nil {
			t.Fatal(err)
		}
		var all api.AlarmList
		if _, err := r.get("/api/alarms", &all); err != nil {
			t.Fatal(err)
		}
		if len(all.Alarms) >= n {
			return all.Alarms
		}
		if time.Now().After(end) {
			t.Fatalf("after 20 s there are %d alarms, want %d", len(all.Alarms), n)
		}
		if err := pause(t.Context(), 20*time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
}

// A meter that falls back and a gauge that jumps are alarms of a real node; explain replays each to the same bytes, says so in the reader's
// language, holds it against a pin, and says what was erased. Evidence that was touched is refused. (It sets the environment.)
func TestExplain(t *testing.T) {
	dir := t.TempDir()
	n := startNode(t, dir, "2026-12-01T12:00:00Z")
	t.Setenv("LAMPPOST_URL", n.URL())
	t.Setenv("LAMPPOST_TOKEN", "")
	verb := func(args ...string) []string { return append(args, "--data", dir) }
	says(t, verb("party", "add", "landlord"), "registered")
	token := enrol(t, n, verb)
	says(t, verb("point", "add", "flat-3", "--device", "meter-3", "--place", "Flat 3"), "flat-3 measures")
	key, err := sig.NewPrivateKey(sig.EdDSA, bytes.Repeat([]byte{7}, sig.SeedSize))
	if err != nil {
		t.Fatal(err)
	}
	h := device.NewHTTP(n.URL(), "meter-3", token, nil)
	seq := uint64(0)
	send := func(readings []lamppost.Reading) {
		t.Helper()
		seq++
		raw, err := lamppost.SignReport(&lamppost.Report{Device: "meter-3", KeyEpoch: 1, Seq: lamppost.Seq{Epoch: 1, N: seq}, TimeQuality: lamppost.TimeSynchronised,
			Readings: readings}, "house", key)
		if err != nil {
			t.Fatal(err)
		}
		if ack, err := h.Send(t.Context(), raw); err != nil || ack.Code != lamppost.CodeOK {
			t.Fatalf("%+v, %v", ack, err)
		}
	}
	from := lamppost.TimeMS(time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC).UnixMilli())
	for i := range 4 {
		send(steps(from, i*64, 64))
	}
	odd := steps(from, 256, 1)
	odd[0].Value, odd[1].Value = lamppost.Dec(41_000, 0), lamppost.Dec(9_000, 0)
	send(odd)
	alarms := waitAlarms(t, dir, 2)
	for _, a := range alarms {
		out := says(t, verb("explain", a.ID.String()), a.ID.String(), "Replayed: the same bytes", "Found by node1", "Model lamppost", "by the node's own pin")
		if !strings.Contains(out, "meter-3") {
			t.Errorf("it does not name the device: %s", out)
		}
	}
	pin := filepath.Join(dir, pinFile)
	hard := alarms[0]
	if !hard.Suspending {
		hard = alarms[1]
	}
	says(t, verb("explain", hard.ID.String(), "--lang", "de", "--pin", pin), "kann nicht stimmen", "Das Zählwerk fiel bis", "auf 41 kWh", "by the pin")
	var e explanation
	if err := json.Unmarshal([]byte(says(t, verb("explain", hard.ID.String(), "--json"))), &e); err != nil || e.Result != "same" || e.Replied == nil || !e.Replied.Suspends {
		t.Errorf("%+v, %v", e, err)
	}
	fails(t, verb("explain", "v1"), "v1204.3.0")
	fails(t, verb("explain", "v1.0.0"), "no verdict v1.0.0")
	fails(t, verb("explain", hard.ID.String(), "--lang", "tlh"), "language")

	says(t, verb("erase", "device", "meter-3", "--basis", "GDPR Art. 17(1)(b)", "--yes"))
	out, err := lamp(t, verb("explain", hard.ID.String())...)
	if !strings.Contains(out, "Inputs erased on 2026-12-01") || !strings.Contains(out, "under GDPR Art. 17(1)(b)") {
		t.Errorf("after the erasure it says: %s", out)
	}
	var exit *ExitError
	if !errors.As(err, &exit) || exit.Code != ExitNoReplay {
		t.Errorf("after the erasure: %v, want exit code %d", err, ExitNoReplay)
	}
}

// A firmware that may not run on a device is found at the node's door; explain replays that from what this node keeps, to the same bytes.
// (It sets the environment.)
func TestExplainBehaviour(t *testing.T) {
	dir := t.TempDir()
	var clock atomic.Int64
	clock.Store(time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC).UnixMilli())
	n := startNodeAt(t, dir, func() time.Time { return time.UnixMilli(clock.Load()) })
	t.Setenv("LAMPPOST_URL", n.URL())
	t.Setenv("LAMPPOST_TOKEN", "")
	verb := func(args ...string) []string { return append(args, "--data", dir) }
	says(t, verb("party", "add", "landlord"), "registered")
	token := enrol(t, n, verb)
	if _, err := n.Order(t.Context(), lamppost.TxWatch, lamppost.WatchBody{Device: "meter-3", Firmware: []lamppost.Hash{sha("ours")}}); err != nil {
		t.Fatal(err)
	}
	key, err := sig.NewPrivateKey(sig.EdDSA, bytes.Repeat([]byte{7}, sig.SeedSize))
	if err != nil {
		t.Fatal(err)
	}
	now := lamppost.TimeMS(clock.Load())
	raw, err := lamppost.SignReport(&lamppost.Report{Device: "meter-3", KeyEpoch: 1, Seq: lamppost.Seq{Epoch: 1, N: 1}, TimeQuality: lamppost.TimeSynchronised,
		Readings: []lamppost.Reading{lamppost.FirmwareReading(sha("somebody's"), now)}}, "house", key)
	if err != nil {
		t.Fatal(err)
	}
	if ack, err := device.NewHTTP(n.URL(), "meter-3", token, nil).Send(t.Context(), raw); err != nil || ack.Code != lamppost.CodeOK {
		t.Fatalf("%+v, %v", ack, err)
	}
	clock.Add(60_000)
	a := waitAlarms(t, dir, 1)[0]
	says(t, verb("explain", a.ID.String(), "--pin", filepath.Join(dir, pinFile)), "meter-3 behaves unlike before", "firmware that is not among those", "Replayed: the same bytes", "Model behaviour")
	var e explanation
	if err := json.Unmarshal([]byte(says(t, verb("explain", a.ID.String(), "--json"))), &e); err != nil || e.Result != "same" || !e.Replied.Suspends {
		t.Errorf("%+v, %v", e, err)
	}
}

// What a node hands out is not believed: another state, another verdict or a touched proof ends as an error, and a replay that finds something
// else names what differs.
func TestExplainDoubts(t *testing.T) {
	t.Parallel()
	v := lamppost.Verdict{Kind: lamppost.Anomaly, Device: "m", Name: "power", Unit: "W", Since: 1, At: 2, Height: 3, Reasons: []lamppost.VerdictReason{{Code: "value"}}, State: sha("state")}
	ev := &api.VerdictEvidence{State: "c3RhdGU="} // state
	for name, c := range map[string]struct {
		found  []lamppost.Verdict
		err    error
		result string
		text   string
	}{
		"same":    {found: []lamppost.Verdict{{Kind: lamppost.Implausible}, v}, result: "same", text: "the same bytes"},
		"other":   {found: []lamppost.Verdict{{Kind: v.Kind, Device: "m", Name: "power", Unit: "W", Since: 1, At: 3, Height: 3, Score: 7, State: v.State}}, result: "differs", text: "differs: at_ms, reasons, score"},
		"nothing": {result: "differs", text: "finds nothing"},
		"damaged": {err: errors.New("no state"), result: "differs", text: "no state"},
	} {
		x := &explainer{replay: func([]byte, *judged) ([]lamppost.Verdict, error) { return c.found, c.err }}
		e := &explanation{Verdict: &v}
		if err := x.again(e, ev, &judged{}); err != nil || e.Result != c.result || !strings.Contains(e.Text, c.text) {
			t.Errorf("%s: %v, %q %q", name, err, e.Result, e.Text)
		}
	}
	x := &explainer{}
	if err := x.again(&explanation{Verdict: &v}, &api.VerdictEvidence{State: "c3RhdGV4"}, &judged{}); err == nil || !strings.Contains(err.Error(), "another SHA-256") {
		t.Errorf("another state: %v", err)
	}
	if err := x.again(&explanation{Verdict: &v}, ev, nil); err == nil {
		t.Error("without the report something is replayed")
	}
	if _, err := proveEvidence(&api.VerdictEvidence{Proof: "AAAA"}, nil); err == nil {
		t.Error("a proof that is none is believed")
	}
}

func sha(s string) lamppost.Hash { return sha256.Sum256([]byte(s)) }
