package api

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/guard"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/replica"
)

// Desires tells devices what they should be like. The commands are the ledger's, so every member has them and a restart loses none; only
// what was delivered here, and what gateways said, is in memory. All methods may be called concurrently.
type Desires struct {
	store kv.Reader
	now   func() lamppost.TimeMS
	mqtt  MQTT
	log   *slog.Logger

	mu      sync.Mutex
	devices map[lamppost.DeviceID]*delivery // of those that were commanded, or ask
}

// An MQTT door hands messages to devices; *mqttd.Server is one.
type MQTT interface {
	SetDesired(device lamppost.DeviceID, message func() []byte)
}

// A delivery is what is known of how a command reached a device.
type delivery struct {
	changed  chan struct{} // closed when something else is desired
	at       lamppost.TimeMS
	revision uint64 // that was delivered here at that time
	by       string // the gateway that told the device, if one did
	ack      *lamppost.Ack
	acked    lamppost.TimeMS
}

// NewDesires returns Desires that have told nobody anything.
func NewDesires(store kv.Reader, now func() lamppost.TimeMS, mqtt MQTT, log *slog.Logger) *Desires {
	return &Desires{store: store, now: now, mqtt: mqtt, log: log, devices: map[lamppost.DeviceID]*delivery{}}
}

// Load begins to tell all devices that were ever commanded.
func (ds *Desires) Load() error {
	all, err := ledger.View{Reader: ds.store}.Desires()
	for i := range all {
		ds.tell(all[i].Body.Device)
	}
	return err
}

// Observe tells devices of commands in a durable block, and of charters that may allow less.
func (ds *Desires) Observe(ev *replica.Event) {
	for i, tx := range ev.Txs {
		if outcomes := ev.Result.Outcomes[i]; len(outcomes) != 1 || outcomes[0].Code != lamppost.CodeOK {
			continue
		}
		switch tx.Type {
		case lamppost.TxDesire:
			var b lamppost.DesireBody
			if lamppost.Unmarshal(tx.Order.Body, &b) == nil {
				ds.tell(b.Device)
			}
		case lamppost.TxCharter:
			var b lamppost.CharterBody
			if lamppost.Unmarshal(tx.Order.Body, &b) != nil {
				continue
			}
			if _, err := (ledger.View{Reader: ds.store}).Desire(b.Device); err == nil {
				ds.tell(b.Device)
			}
		}
	}
}

func (ds *Desires) tell(id lamppost.DeviceID) {
	id = lamppost.DeviceID(strings.Clone(string(id)))
	ds.mqtt.SetDesired(id, func() []byte {
		message, err := ds.message(id)
		if err != nil {
			ds.log.Error("telling a device what it should be like", "device", id, "error", err)
		}
		return message
	})
	ds.mu.Lock()
	defer ds.mu.Unlock()
	d := ds.of(id)
	close(d.changed)
	d.changed = make(chan struct{})
}

// of returns what is known of a device. The caller holds mu.
func (ds *Desires) of(id lamppost.DeviceID) *delivery {
	d := ds.devices[id]
	if d == nil {
		d = &delivery{changed: make(chan struct{})}
		ds.devices[id] = d
	}
	return d
}

// Told returns what the HTTP door tells a device, and what is closed when that changes.
func (ds *Desires) Told(id lamppost.DeviceID) (message []byte, changed <-chan struct{}, err error) {
	ds.mu.Lock()
	changed = ds.of(id).changed
	ds.mu.Unlock()
	message, err = ds.message(id)
	return message, changed, err
}

// message makes what a device is told now, and notes that it is. It may have no guard, so it is told nothing that its charter forbids.
func (ds *Desires) message(id lamppost.DeviceID) ([]byte, error) {
	v := ledger.View{Reader: ds.store}
	d, err := v.Desire(id)
	if errors.Is(err, kv.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	m := d.Told(ds.now())
	grants, err := floor(v, id, m.Set)
	if err != nil {
		return nil, err
	}
	m.Set = nil
	for _, g := range grants {
		if g.Got != nil {
			m.Set = append(m.Set, lamppost.Setpoint{Name: g.Want.Name, Value: *g.Got, Unit: g.Want.Unit})
		}
	}
	ds.mu.Lock()
	x := ds.of(id)
	x.revision, x.at = m.Revision, ds.now()
	ds.mu.Unlock()
	return json.Marshal(m)
}

// floor decides on setpoints by a device's class and latest charter.
func floor(v ledger.View, id lamppost.DeviceID, set lamppost.Setpoints) (all []lamppost.Grant, err error) {
	if len(set) == 0 {
		return nil, nil
	}
	b, err := v.Device(id)
	if err != nil {
		return nil, err
	}
	charters, err := v.Charters(id)
	if err != nil {
		return nil, err
	}
	var latest *lamppost.Charter
	if n := len(charters); n > 0 {
		c, err := lamppost.ParseCharter(charters[n-1].Charter)
		if err != nil {
			return nil, err
		}
		latest = &c.Charter
	}
	for _, want := range set {
		all = append(all, guard.Floor(b.Safety, latest, want))
	}
	return all, nil
}

// forGateway returns what a gateway is told of a device whose guard it runs, nil if it was never commanded.
func (ds *Desires) forGateway(v ledger.View, id lamppost.DeviceID) (*lamppost.Desired, error) {
	d, err := v.Desire(id)
	if errors.Is(err, kv.ErrNotFound) {
		return nil, nil
	}
	m := d.Told(ds.now())
	return &m, err
}

// said takes the word of a gateway on what it told a device.
func (ds *Desires) said(id lamppost.DeviceID, by string, ack *lamppost.Ack) {
	if len(ack.Grants) > lamppost.MaxSetpoints {
		return
	}
	ds.mu.Lock()
	defer ds.mu.Unlock()
	x := ds.of(lamppost.DeviceID(strings.Clone(string(id))))
	x.by, x.ack, x.acked = by, ack, ds.now()
}

func (ds *Desires) known(id lamppost.DeviceID) delivery {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	if d := ds.devices[id]; d != nil {
		return *d
	}
	return delivery{}
}

// A Command is what a device should be like for a while: PUT /api/devices/{id}/desired.
type Command struct {
	ID     string             `json:"id"`  // the same id again is the same command; empty: a new one
	Set    lamppost.Setpoints `json:"set"` // {"level":60,"power":"3500 W"}
	For    lamppost.TimeMS    `json:"for_ms"`
	By     string             `json:"by"` // who commands, for people; empty: operator
	Reason string             `json:"reason"`
	After  *uint64            `json:"after,omitempty"` // only if the device is at this revision
	Mode   string             `json:"mode"`            // of the agent that commands; empty: a person does
}

// DefaultCommandMS is how long a command holds that does not say.
const DefaultCommandMS lamppost.TimeMS = 15 * 60 * 1000

// Desire commands a device, or with nothing to set takes back what was desired. It returns when the command is durable, and how the device
// stands to it then. A refusal is a *lamppost.Refusal.
func (s *Server) Desire(ctx context.Context, id lamppost.DeviceID, c Command) (DesiredState, error) {
	b := lamppost.DesireBody{Device: id, ID: c.ID, Set: c.Set, By: cmp.Or(c.By, "operator"), Reason: c.Reason, After: c.After, Mode: c.Mode}
	if b.ID == "" {
		var random [8]byte
		rand.Read(random[:]) // never fails
		b.ID = hex.EncodeToString(random[:])
	}
	if c.For < 0 || c.For > lamppost.MaxDesireMS {
		return DesiredState{}, lamppost.Refuse(lamppost.CodeBadTx, "for_ms: a command holds for at most 7 days")
	}
	if len(b.Set) > 0 {
		b.Until = s.cfg.Now() + cmp.Or(c.For, DefaultCommandMS)
	}
	if err := b.Check(); err != nil {
		return DesiredState{}, lamppost.Refuse(lamppost.CodeBadTx, "%v", err)
	}
	if err := b.CheckMode(); err != nil { // before it stands in the log, as often as the agent tries
		return DesiredState{}, lamppost.Refuse(lamppost.CodeForbidden, "%v", err)
	}
	ctx, cancel := context.WithTimeout(ctx, orderTimeout)
	defer cancel()
	if _, err := s.cfg.Order.do(ctx, lamppost.TxDesire, b); err != nil {
		return DesiredState{}, err
	}
	return s.Desired(id)
}

// Desired returns what a device should be like and how it stands to that.
func (s *Server) Desired(id lamppost.DeviceID) (out DesiredState, err error) {
	err = s.snapshot(func(r archive.View) error {
		v := ledger.View{Reader: r}
		if _, err := v.Device(id); errors.Is(err, kv.ErrNotFound) {
			return notFound("no device %q", clip(string(id)))
		} else if err != nil {
			return err
		}
		out, err = s.desired(v, id)
		return err
	})
	return out, err
}

func (s *Server) getDesired(w http.ResponseWriter, r *http.Request) error {
	out, err := s.Desired(lamppost.DeviceID(r.PathValue("id")))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, out)
}

func (s *Server) putDesired(w http.ResponseWriter, r *http.Request) error {
	var c Command
	if err := readJSON(r, &c); err != nil {
		return err
	}
	if len(c.Set) == 0 {
		return badRequest(`set: nothing is set: write {"set":{"level":60}}, or DELETE what is desired`)
	}
	return s.command(w, r, c)
}

// deleteDesired takes back what is desired; ?id=, by= and reason= are those of a Command.
func (s *Server) deleteDesired(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	return s.command(w, r, Command{ID: q.Get("id"), By: q.Get("by"), Reason: q.Get("reason")})
}

func (s *Server) command(w http.ResponseWriter, r *http.Request, c Command) error {
	out, err := s.Desire(r.Context(), lamppost.DeviceID(r.PathValue("id")), c)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, out)
}

func desireSummary(b lamppost.DesireBody) string {
	what := "nothing is desired any more"
	if len(b.Set) > 0 {
		what = setText(b.Set) + " until " + utc(b.Until)
	}
	return strings.TrimSuffix(fmt.Sprintf("command %s of %s to %s: %s: %s", b.ID, b.By, b.Device, what, b.Reason), ": ")
}

func setText(set lamppost.Setpoints) string {
	var parts []string
	for i := range set {
		parts = append(parts, set[i].Name+" "+set[i].String())
	}
	return strings.Join(parts, ", ")
}
