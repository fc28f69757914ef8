package node_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	paho5 "github.com/eclipse/paho.golang/paho"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/triage/behave"
)

// A fleet is a node with devices that speak over MQTT once a minute, on a clock that the test moves.
type fleet struct {
	*lamp
	clock *atomic.Int64 // ms
	all   []*fleetDevice
}

type fleetDevice struct {
	*machine
	link    *mqtt5
	backlog [][]byte
	last    []byte
}

func simulated(t *testing.T, devices int) *fleet {
	f := &fleet{clock: new(atomic.Int64)}
	f.clock.Store(begin.UnixMilli())
	cfg := config(t.TempDir())
	cfg.Now = func() time.Time { return time.UnixMilli(f.clock.Load()) }
	f.lamp = run(t, cfg)
	f.order("/api/parties", lamppost.PartyBody{ID: "ada"}, nil)
	for i := range devices {
		m := f.announce(lamppost.DeviceID(fmt.Sprintf("m%d", i)))
		f.enrol(m)
		f.all = append(f.all, &fleetDevice{machine: m})
	}
	return f
}

var goodImage, otherImage = lamppost.Hash(sha256.Sum256([]byte("image 1"))), lamppost.Hash(sha256.Sum256([]byte("image 2")))

// reading makes a device's report of a minute.
func (f *fleet) reading(d *fleetDevice, k int, change func(*lamppost.Report)) []byte {
	at := lamppost.TimeMS(f.clock.Load() - 1000 - int64(k))
	return d.report(f.t, func(r *lamppost.Report) {
		r.Readings[0].Time = at
		r.Readings = append(r.Readings, lamppost.Reading{Name: "power", Unit: "W", Time: at, Value: lamppost.Dec(int64(200+at%97), 0)}, lamppost.FirmwareReading(goodImage, at))
		if change != nil {
			change(r)
		}
	})
}

// minute lets every device do its part, all at once, then moves the clock and has the minute judged.
func (f *fleet) minute(part func(i int, d *fleetDevice)) {
	f.t.Helper()
	var all sync.WaitGroup
	for i, d := range f.all {
		all.Go(func() { part(i, d) })
	}
	all.Wait()
	f.clock.Add(60_000)
	must(f.t, f.Behaved(f.t.Context()))
}

// send sends what waits and what is new, over a connection that is made where there is none.
func (f *fleet) send(d *fleetDevice, raw ...[]byte) {
	if d.link == nil {
		d.link = openMQTT5(f.t, f.lamp, d.machine)
	}
	for _, r := range append(d.backlog, raw...) {
		if got := d.link.send(r, false); got.Code != "ok" {
			f.t.Errorf("%s: %+v", d.id, got)
		}
		d.last = r
	}
	d.backlog = nil
}

func (d *fleetDevice) hangUp() {
	if d.link != nil {
		d.link.c.Disconnect(&paho5.Disconnect{})
		d.link = nil
	}
}

// verdicts are those on behaviour that stand on the ledger, the latest first.
func (f *fleet) verdicts() (all []ledger.Verdict) {
	f.t.Helper()
	must(f.t, (ledger.View{Reader: f.Store()}).Verdicts(lamppost.VerdictID{}, func(v *ledger.Verdict) error {
		if v.Body.Kind == lamppost.Behaviour {
			all = append(all, *v)
		}
		return nil
	}))
	return all
}

// TestHijackedDevice: in a fleet that speaks over MQTT, devices that restart, that were offline and send what they kept in a burst, and
// all of them after an outage of the whole place are let alone; one that is taken over is named within five minutes, with reasons, and what
// it was found by can be replayed.
func TestHijackedDevice(t *testing.T) {
	t.Parallel()
	f := simulated(t, 12)
	const hijack = 120
	for minute := range hijack + 5 {
		f.minute(func(i int, d *fleetDevice) {
			switch {
			case i == 0 && minute >= hijack:
				f.hijacked(d)
			case i >= 2 && i <= 4 && minute >= 50 && minute < 80, minute >= 90 && minute < 93: // offline
				d.hangUp()
				d.backlog = append(d.backlog, f.reading(d, 0, nil))
			case i == 5 && minute%40 == 20: // restarts, and sends again what it does not know to be there
				d.hangUp()
				d.backlog = [][]byte{d.last}
				f.send(d, f.reading(d, 0, nil))
			default:
				f.send(d, f.reading(d, 0, nil))
			}
		})
		if found := f.verdicts(); minute < hijack && len(found) > 0 {
			t.Fatalf("minute %d: %+v", minute, found[0].Body)
		}
	}
	found := f.verdicts()
	if len(found) != 1 || found[0].Body.Device != "m0" || found[0].Body.Suspends || len(found[0].Body.Reasons) != lamppost.MaxReasons || found[0].By != "node1" {
		t.Fatalf("found %+v", found)
	}
	v := found[0].Body
	if after := (int64(v.At) - begin.UnixMilli()) / 60_000; after < hijack || after > hijack+5 {
		t.Errorf("found after %d minutes", after)
	}
	raw, err := f.BehaviourBefore(&v)
	must(t, err)
	again, err := behave.Replay(raw, v.Device)
	if err != nil || again == nil || sha256.Sum256(raw) != v.State || !bytes.Equal(lamppost.Marshal(again.Verdict(v.Device)), lamppost.Marshal(v)) {
		t.Errorf("replayed: %+v, %v; was %+v", again, err, v)
	}
	t.Logf("%d of %d: %+v", v.Score, v.Level, v.Reasons)
}

// hijacked is a minute of a device that somebody has taken over with its key.
func (f *fleet) hijacked(d *fleetDevice) {
	for k := range 20 {
		f.send(d, f.reading(d, k, func(r *lamppost.Report) {
			r.Readings[2] = lamppost.FirmwareReading(otherImage, r.Readings[0].Time)
			for i := range 20 {
				r.Readings = append(r.Readings, lamppost.Reading{Name: fmt.Sprintf("probe%d", i), Time: r.Readings[0].Time, Value: lamppost.Dec(int64(i), 0)})
			}
		}))
	}
	own := d.link.topic
	d.link.topic = "lp/m7/report"
	if got := d.link.send(d.last, false); got.Code != "forbidden" {
		f.t.Errorf("another's topic: %+v", got)
	}
	d.link.topic = own
}

// TestFirmware: a device that runs an image which its list does not have is quarantined, is told by which verdict, and reports again when
// somebody says that the image is right. One with a listed image, and one without a list, are let alone.
func TestFirmware(t *testing.T) {
	t.Parallel()
	f := simulated(t, 3)
	for _, id := range []lamppost.DeviceID{"m0", "m1"} {
		_, err := f.Order(t.Context(), lamppost.TxWatch, lamppost.WatchBody{Device: id, Firmware: []lamppost.Hash{goodImage}})
		must(t, err)
	}
	other := func(r *lamppost.Report) { r.Readings[2] = lamppost.FirmwareReading(otherImage, r.Readings[0].Time) }
	f.minute(func(i int, d *fleetDevice) {
		change := other
		if i == 1 {
			change = nil
		}
		f.send(d, f.reading(d, 0, change))
	})
	found := f.verdicts()
	if len(found) != 1 || found[0].Body.Device != "m0" || !found[0].Body.Suspends || found[0].Body.Reasons[0].Code != behave.UnknownFirmware {
		t.Fatalf("found %+v", found)
	}
	d := f.all[0]
	next := f.reading(d, 0, nil)
	if got := d.link.send(next, false); got.Code != "quarantined" || !strings.Contains(got.Text, found[0].ID.String()) || !strings.Contains(got.Text, behave.UnknownFirmware) {
		t.Errorf("in quarantine: %+v", got)
	}
	_, err := f.Order(t.Context(), lamppost.TxReview, lamppost.ReviewBody{Verdict: found[0].ID, Answer: lamppost.ReviewValid, Reason: "image 2 is ours"})
	must(t, err)
	f.minute(func(_ int, d *fleetDevice) { f.send(d, f.reading(d, 0, other)) })
	if found := f.verdicts(); len(found) != 2 || found[0].Body.Device != "m1" {
		t.Errorf("after the answer: %+v", found)
	}
}

// TestNobodyIsFramed: whatever others do in a device's name, without its token, is not counted against it: wrong log-ins, forged reports
// and its own ones sent again over another device's connection, also with firmware that it must not run.
func TestNobodyIsFramed(t *testing.T) {
	t.Parallel()
	f := simulated(t, 4)
	victim, mallory := f.all[0], f.all[3]
	_, err := f.Order(t.Context(), lamppost.TxWatch, lamppost.WatchBody{Device: victim.id, Firmware: []lamppost.Hash{goodImage}})
	must(t, err)
	thief := machine{id: victim.id, key: mallory.key, epoch: victim.epoch, n: 1000, token: "guess"}
	const begins = 40
	for minute := range begins + 8 {
		heard := victim.last // the minute before
		f.minute(func(i int, d *fleetDevice) {
			f.send(d, f.reading(d, 0, nil))
			if i != 3 || minute < begins {
				return
			}
			forged := f.reading(&fleetDevice{machine: &thief}, 0, func(r *lamppost.Report) { r.Readings[2] = lamppost.FirmwareReading(otherImage, r.Readings[0].Time) })
			for range 10 {
				for _, raw := range [][]byte{forged, heard} {
					if got := d.link.send(raw, false); got.Code != "forbidden" {
						t.Errorf("over another's connection: %+v", got)
					}
				}
				if got := f.post(&thief, forged); got.Code != "unauthorized" && got.Code != "too_many_attempts" {
					t.Errorf("with a wrong token: %+v", got)
				}
			}
			if minute > begins {
				return // each wrong log-in over MQTT is answered later than the one before
			}
			nc, err := net.Dial("tcp", f.MQTTAddr())
			must(t, err)
			if _, err := overMQTT5(t, nc, thief.id, thief.token); err == nil {
				t.Error("a wrong token was taken over MQTT")
			}
		})
	}
	for _, v := range f.verdicts() {
		if v.Body.Device != mallory.id || v.Body.Suspends {
			t.Errorf("found %+v", v.Body)
		}
	}
	f.send(victim, f.reading(victim, 0, nil))
}

// TestBehaviourIsKept: what was learnt survives a restart, so that a device is judged by its own history at once; what is erased is gone.
func TestBehaviourIsKept(t *testing.T) {
	t.Parallel()
	f := simulated(t, 3)
	for range 80 {
		f.minute(func(_ int, d *fleetDevice) { f.send(d, f.reading(d, 0, nil)) })
	}
	for _, d := range f.all {
		d.hangUp()
	}
	f.stop()
	cfg := config(f.dir)
	cfg.Now = func() time.Time { return time.UnixMilli(f.clock.Load()) }
	f.lamp = run(t, cfg)
	for range 4 {
		f.minute(func(i int, d *fleetDevice) {
			if i == 1 {
				f.hijacked(d)
				return
			}
			f.send(d, f.reading(d, 0, nil))
		})
	}
	found := f.verdicts()
	if len(found) != 1 || found[0].Body.Device != "m1" {
		t.Fatalf("found %+v", found)
	}
	f.order("/api/erasures", lamppost.EraseBody{Device: "m1", Basis: "GDPR Art. 17(1)(b)"}, nil)
	if raw, err := f.BehaviourBefore(&found[0].Body); err == nil {
		t.Errorf("%d bytes of an erased device are kept", len(raw))
	}
}
