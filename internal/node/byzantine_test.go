//go:build !small

package node_test

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/device"
	"github.com/lamppost/lamppost/device/devicemqtt"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/consensus/consensustest"
	"github.com/lamppost/lamppost/internal/folder"
	"github.com/lamppost/lamppost/internal/ingest"
	"github.com/lamppost/lamppost/internal/ingest/mqttd"
	"github.com/lamppost/lamppost/internal/node"
	"github.com/lamppost/lamppost/sig"
)

// A twoFaced member is an honest node behind a door of its own, which says of checkpoints what lie returns.
type twoFaced struct {
	key  *sig.PrivateKey
	lie  atomic.Pointer[func(size int64, honest string) string]
	node string // where the honest door is
	addr string
}

func (f *twoFaced) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	resp, err := http.Get(f.node + r.URL.Path)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer resp.Body.Close()
	raw, _ := io.ReadAll(resp.Body)
	w.WriteHeader(resp.StatusCode)
	var size int64
	if lie := f.lie.Load(); lie != nil && resp.StatusCode == http.StatusOK {
		if _, err := fmt.Sscanf(r.URL.Path, "/api/checkpoints/%d", &size); err == nil {
			raw = []byte((*lie)(size, string(raw)))
		}
	}
	w.Write(raw)
}

// signer signs notes as the member does.
func (f *twoFaced) signer(t testing.TB, name string) note.Signer {
	vkey := audit.VerifierKey("house", lamppost.Member{ID: "m4", Key: f.key.Public().Bytes()})
	hash := strings.Split(vkey, "+")[1]
	s, err := note.NewSigner("PRIVATE+KEY+" + name + "+" + hash + "+" + base64.StdEncoding.EncodeToString(append([]byte{1}, f.key.Seed()...)))
	must(t, err)
	return s
}

// otherRoot signs a log that is not the network's.
func (f *twoFaced) otherRoot(t testing.TB) func(int64, string) string {
	s := f.signer(t, "house/m4")
	return func(size int64, _ string) string {
		signed, err := lamppost.SignCheckpoint(lamppost.Checkpoint{Origin: "house/m4", Size: size, Root: lamppost.Hash{6, 6, 6}}, s)
		must(t, err)
		return string(signed)
	}
}

// house runs four members who order by comet, of whom the last lies at its door.
func house(t *testing.T) (honest []*member, liar *member, face *twoFaced, seats []seat) {
	t.Helper()
	doors := make([]string, 5)
	for i := range doors {
		doors[i] = consensustest.FreeAddress(t)
	}
	face = &twoFaced{addr: doors[3], node: "http://" + consensustest.FreeAddress(t)}
	seats = foundedAt(t, lamppost.Comet.String(), 4, time.Now().Add(-time.Second), func(i int) string { return "http://" + doors[i] })
	face.key = seats[3].key
	var all []*member
	for i, s := range seats[:4] {
		all = append(all, s.runWith(t, func(c *node.Config) {
			c.Now = time.Now // comet's
			if c.HTTP = doors[i]; i == 3 {
				c.HTTP = strings.TrimPrefix(face.node, "http://")
			}
		}))
	}
	l, err := net.Listen("tcp", face.addr)
	must(t, err)
	server := &http.Server{Handler: face}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return all[:3], all[3], face, seats
}

// today gives a report the time of comet's clock, which is the machine's.
func today(r *lamppost.Report) { r.Readings[0].Time = lamppost.TimeMS(time.Now().UnixMilli()) }

// sameLog wants the members' logs to be one: at a size that all have published, they sign one root.
func sameLog(t *testing.T, all []*member) {
	t.Helper()
	eventually(t, "the members publish one log", func() bool {
		var size int64
		for _, m := range all {
			_, c, _, err := m.lamp().Checkpoint()
			if err != nil {
				return false
			}
			size = max(size, c.Size)
		}
		roots := map[lamppost.Hash]bool{}
		for _, m := range all {
			text, err := m.lamp().Sign(size)
			if err != nil {
				return false // it has not published as much
			}
			_, root, _ := strings.Cut(text, "\n")
			root = strings.Split(root, "\n")[1]
			h, err := base64.StdEncoding.DecodeString(root)
			must(t, err)
			roots[lamppost.Hash(h)] = true
		}
		if len(roots) != 1 {
			t.Fatalf("of %d entries there are %d roots", size, len(roots))
		}
		return true
	})
}

func (m *member) status() (s api.Status) {
	m.t.Helper()
	code, raw := m.lamp().ask("GET", "/api/status", nil)
	if code != http.StatusOK {
		m.t.Fatalf("status: %d %s", code, raw)
	}
	must(m.t, json.Unmarshal(raw, &s))
	return s
}

// Goal: whatever one of four members puts before the others, forged reports in its own name, transactions in another's, bytes that are no
// transactions, what was decided before, nothing of it changes what the ledger holds of a device, and everybody has the same log.
func TestMemberForges(t *testing.T) {
	t.Parallel()
	honest, liar, _, seats := house(t)
	honest[0].ordered(lamppost.TxParty, lamppost.PartyBody{ID: "ada", Name: "Ada"})
	l := honest[0].lamp()
	meter := l.announce("meter")
	l.enrol(meter)
	first := meter.report(t, today)
	if got := l.post(meter, first); got.Code != "ok" {
		t.Fatalf("an honest report: %+v", got)
	}
	eventually(t, "the liar has all that", func() bool { return liar.lamp().Height() >= l.Height() })

	mallory := &machine{id: "meter", key: newKey(t, "mallory"), epoch: meter.epoch, n: 1}
	forged := mallory.report(t, func(r *lamppost.Report) { today(r); r.Readings[0].Value = lamppost.Dec(1_000_000, 0) })
	bent := append([]byte(nil), first...)
	bent[len(bent)-1] ^= 1
	now := lamppost.TimeMS(time.Now().UnixMilli())
	var lies [][]byte
	for i, report := range [][]byte{forged, bent, []byte("no report")} {
		seg, err := lamppost.NewSegment("house", lamppost.Seq{Epoch: 9, N: uint64(i + 1)}, 1, []lamppost.SegmentItem{{Received: now, Report: report}}, "m4", seats[3].key, lamppost.Seed{})
		must(t, err)
		lies = append(lies, seg.Append(nil))
	}
	order, err := lamppost.NewTx("house", lamppost.Order{Type: lamppost.TxParty, ExpiryTime: now + 3600_000, Body: lamppost.Marshal(lamppost.PartyBody{ID: "eve"})},
		"m1", seats[3].key, lamppost.Seed{}) // in another's name
	must(t, err)
	lies = append(lies, order.Append(nil), []byte("no transaction"), []byte{0})
	for h := lamppost.Height(1); h <= l.Height(); h++ {
		lies = append(lies, l.Raw(h)...) // again
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for i, raw := range lies {
		go liar.lamp().Propose(ctx, lamppost.TxID{1, byte(i)}, raw)
	}
	height := l.Height()
	eventually(t, "the lies are in blocks", func() bool {
		n := 0
		for h := height + 1; h <= l.Height(); h++ {
			n += len(l.Raw(h))
		}
		return n >= len(lies)
	})
	if got := l.post(meter, meter.report(t, today)); got.Code != "ok" {
		t.Errorf("an honest report after the lies: %+v", got)
	}
	sameLog(t, append(honest, liar))
	var d api.DeviceDetail
	_, raw := l.ask("GET", "/api/devices/meter", nil)
	must(t, json.Unmarshal(raw, &d))
	if len(d.Readings) != 1 || d.Readings[0].Value != "2" || d.Quarantined != "" {
		t.Errorf("the ledger has of the meter: %+v, quarantined %q", d.Readings, d.Quarantined)
	}
	if code, raw := l.ask("GET", "/api/parties", nil); strings.Contains(string(raw), "eve") {
		t.Errorf("the forged party is there: %d %s", code, raw)
	}
}

// Goal: a member that signs another log, or adds a line that nobody can check, keeps nobody from receipts that hold; the first is kept and
// shown, with who, what and when, also after a restart, and bounded.
func TestMemberSignsAnotherLog(t *testing.T) {
	t.Parallel()
	honest, _, face, seats := house(t)
	junk := func(_ int64, honest string) string {
		text, _, _ := strings.Cut(honest, "\n\n")
		signed, err := note.Sign(&note.Note{Text: text + "\n"}, face.signer(t, "house/m4"))
		must(t, err)
		return string(signed) + "— nobody.example/x " + base64.StdEncoding.EncodeToString(make([]byte, 68)) + "\n"
	}
	face.lie.Store(&junk)
	honest[0].ordered(lamppost.TxParty, lamppost.PartyBody{ID: "ada", Name: "Ada"})
	l := honest[0].lamp()
	meter := l.announce("meter")
	l.enrol(meter)
	receipt := func() {
		t.Helper()
		if got := l.post(meter, meter.report(t, today)); got.Code != "ok" {
			t.Fatalf("a report: %+v", got)
		}
		eventually(t, "a receipt", func() bool {
			code, raw := l.ask("GET", fmt.Sprintf("/api/receipts/meter/1/%d", meter.n), nil)
			if code == http.StatusInternalServerError {
				t.Fatalf("a receipt: %s", raw)
			}
			return code == http.StatusOK
		})
	}
	receipt()
	lie := face.otherRoot(t)
	face.lie.Store(&lie)
	receipt()
	for _, m := range honest {
		eventually(t, "the lie is seen", func() bool { return len(m.status().Evidence) > 0 })
		e := m.status().Evidence[0]
		if e.Member != "m4" || e.Kind != "other_log" || e.Size == 0 || e.Found == 0 || !strings.Contains(e.Text, `member "m4" signed another log`) {
			t.Errorf("evidence: %+v", e)
		}
		raw, err := os.ReadFile(filepath.Join(m.cfg.Data, folder.Evidence, e.File))
		must(t, err)
		if !strings.Contains(string(raw), "house/m4") || !strings.Contains(string(raw), "house/"+string(seats[0].card.ID)[:1]) {
			t.Errorf("%s holds %s", e.File, raw)
		}
		if v := m.lamp().metric(`lamppost_evidence_total{kind="other_log",member="m4"}`); v == 0 {
			t.Error("the metric does not say so")
		}
		if m.status().Conflict != nil {
			t.Error("an honest member has stopped")
		}
	}
	kept := honest[2].status().Evidence[0]
	honest[2].stop()
	again := seats[2].runWith(t, func(c *node.Config) { c.HTTP, c.Now = strings.TrimPrefix(seats[2].card.URL, "http://"), time.Now })
	if got := again.status().Evidence; len(got) == 0 || got[0] != kept {
		t.Errorf("after a restart: %+v, want %+v first", got, kept)
	}
	sameLog(t, []*member{honest[0], honest[1], again})
}

// A falseDoor takes what devices send and does with it what it likes.
type falseDoor struct {
	answer func(sink ingest.Sink, token uint64) // nil: never
	took   atomic.Int64
}

func (d *falseDoor) Submit(_ context.Context, _ *ingest.Origin, _ []byte, token uint64, sink ingest.Sink) error {
	d.took.Add(1)
	if d.answer != nil {
		d.answer(sink, token)
	}
	return nil
}

func (d *falseDoor) TrySubmit(from *ingest.Origin, raw []byte, token uint64, sink ingest.Sink) error {
	return d.Submit(context.Background(), from, raw, token, sink)
}

// open serves MQTT on loopback.
func (d *falseDoor) open(t *testing.T) (address string) {
	t.Helper()
	s, err := mqttd.New(mqttd.Config{Submit: d, Auth: func(user, _ string, _ *x509.Certificate) (lamppost.DeviceID, error) {
		return lamppost.DeviceID(user), nil
	}})
	must(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	t.Cleanup(func() { cancel(); <-ended })
	return l.Addr().String()
}

// Goal: a device whose member acknowledges and drops its reports, refuses them, or says nothing, gets all of them into the ledger
// through another, and has nothing left in its queue only when a quorum has signed so.
func TestMemberCensors(t *testing.T) {
	t.Parallel()
	honest, _, face, _ := house(t)
	lie := face.otherRoot(t)
	face.lie.Store(&lie) // it also lies about what is in the ledger
	honest[0].ordered(lamppost.TxParty, lamppost.PartyBody{ID: "ada", Name: "Ada"})
	l := honest[0].lamp()
	eventually(t, "the pin", func() bool { _, err := os.Stat(filepath.Join(honest[0].cfg.Data, "network.pin")); return err == nil })
	text, err := os.ReadFile(filepath.Join(honest[0].cfg.Data, "network.pin"))
	must(t, err)
	pin, err := audit.ParsePin(string(text))
	must(t, err)
	if pin.Quorum != 2 {
		t.Fatalf("the pin has a quorum of %d", pin.Quorum)
	}
	urls := face.node + "," + honest[0].lamp().URL() + "," + honest[1].lamp().URL()
	for name, answer := range map[string]func(ingest.Sink, uint64){
		"drops": func(s ingest.Sink, token uint64) { s.Done(token, ingest.Reply{Code: lamppost.CodeOK, Height: 9}) },
		"refuses": func(s ingest.Sink, token uint64) {
			s.Done(token, ingest.Reply{Code: lamppost.CodeQuarantined, Text: "no"})
		},
		"silent": nil,
	} {
		m := l.announce(lamppost.DeviceID(name))
		l.enrol(m)
		login, err := lamppost.Login("house", m.id, m.epoch, m.key)
		must(t, err)
		t.Run(name, func(t *testing.T) {
			door := &falseDoor{answer: answer}
			sender, err := devicemqtt.Open(devicemqtt.Config{URL: "mqtt://" + door.open(t) + ",mqtt://" + honest[1].lamp().MQTTAddr(), Device: m.id, Token: login,
				AckTimeout: 3 * time.Second, MinBackoff: time.Millisecond})
			must(t, err)
			defer sender.Close()
			for door.took.Load() == 0 { // the first member is drawn by lot
				sender.Elsewhere("")
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				sender.Send(ctx, []byte("is it you?"))
				cancel()
			}
			d, err := device.Open(device.Config{Network: "house", ID: m.id, Key: m.key, KeyEpoch: m.epoch, Dir: t.TempDir(), Sender: sender, Pin: pin,
				Prover: device.NewHTTP(urls, m.id, login, l.client), ProveTimeout: 2 * time.Second, MinBackoff: 10 * time.Millisecond,
			})
			must(t, err)
			defer d.Close()
			var last lamppost.Seq
			for i := range 5 {
				last, err = d.Report(lamppost.Reading{Name: "energy", Unit: "Wh", Kind: lamppost.Register, Value: lamppost.Dec(int64(i), 0)})
				must(t, err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
			defer cancel()
			ran := make(chan error, 1)
			go func() { ran <- d.Run(ctx) }()
			must(t, d.Drain(ctx))
			cancel()
			must(t, <-ran)
			if s := d.Stats(); s.Delivered != 5 || s.Refused != 0 {
				t.Errorf("%+v", s)
			}
			for n := range last.N {
				eventually(t, fmt.Sprintf("a receipt of report %d", n+1), func() bool {
					code, _ := l.ask("GET", fmt.Sprintf("/api/receipts/%s/1/%d", m.id, n+1), nil)
					return code == http.StatusOK // 503 until it is published at this member
				})
			}
		})
	}
}
