package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/guard"
	"github.com/lamppost/lamppost/internal/ingest/mqttd"
	"github.com/lamppost/lamppost/internal/kv"
)

// What a device is told passes its guard here, because devices without our SDK have none of their own. A desired state is understood
// if it is a JSON object of functions and their levels in percent, such as {"level":100}, and nothing else.

// guards are those of the devices of which anything was ever asked.
type guards struct {
	g *Gateway

	asking  sync.Mutex // held while the upstream is asked; before sending
	sending sync.Mutex // held while devices are told, so that the last word is the latest; before mu
	mu      sync.Mutex
	byID    map[lamppost.DeviceID]*guarded
}

// guarded is a device with what it is told.
type guarded struct {
	*guard.Keeper
	refused  string   // why it does not take a charter
	operator []byte   // what the operator wants it to be like; empty: nothing
	touched  []string // functions that the guard spoke of and goes on to, by name; durable before the device hears of one

	mu      sync.Mutex // last of all; guards what follows
	command guard.Standing
	sent    told
	changed chan struct{} // closed when something else is sent
}

// Keys: 'G' ‖ device: its guard's state. 'g' ‖ device: the functions that the guard spoke of, in JSON.
var (
	guardPrefix   = []byte{'G'}
	touchedPrefix = []byte{'g'}
)

func guardKey(prefix []byte, id lamppost.DeviceID) []byte { return append(slices.Clone(prefix), id...) }

func openGuards(g *Gateway) (*guards, error) {
	gs := &guards{g: g, byID: map[lamppost.DeviceID]*guarded{}}
	err := g.store.Scan(guardPrefix, []byte{guardPrefix[0] + 1}, func(key, val []byte) error {
		_, err := gs.open(lamppost.DeviceID(key[len(guardPrefix):]), bytes.Clone(val))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the guards of devices: %w", err)
	}
	return gs, nil
}

func (gs *guards) open(id lamppost.DeviceID, kept []byte) (*guarded, error) {
	class, _ := gs.g.fleet.safety(id)
	k, err := guard.Open(guard.Config{Network: gs.g.Network(), Device: id, Class: class, Kept: kept, Now: gs.g.cfg.Now, Save: func(raw []byte) error {
		var b kv.Batch
		b.Set(guardKey(guardPrefix, id), raw)
		return gs.g.apply(&b)
	}})
	if err != nil {
		return nil, err
	}
	d := &guarded{Keeper: k, changed: make(chan struct{})}
	switch raw, err := gs.g.store.Get(guardKey(touchedPrefix, id)); {
	case err == nil:
		if err := json.Unmarshal(raw, &d.touched); err != nil {
			return nil, err
		}
	case !errors.Is(err, kv.ErrNotFound):
		return nil, err
	}
	gs.byID[id] = d
	return d, nil
}

// of returns the guard of a device, which begins here if it is the first time.
func (gs *guards) of(id lamppost.DeviceID) (*guarded, error) {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	if d := gs.byID[id]; d != nil {
		return d, nil
	}
	return gs.open(id, nil)
}

func (gs *guards) all() map[lamppost.DeviceID]*guarded {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	all := make(map[lamppost.DeviceID]*guarded, len(gs.byID))
	for id, d := range gs.byID {
		all[id] = d
	}
	return all
}

// ask tells the upstream what the guards decide, hears what is asked of them, and tells the devices.
func (gs *guards) ask(ctx context.Context) error {
	gs.asking.Lock()
	defer gs.asking.Unlock()
	words := map[lamppost.DeviceID]guard.Word{}
	for id, d := range gs.all() {
		w := d.Word()
		w.Refused, w.Ack = d.refused, d.ack()
		words[id] = w
	}
	asked, err := gs.g.up.guards(ctx, words)
	for id, a := range asked {
		class, known := gs.g.fleet.safety(id)
		if !known {
			continue // the list of devices is older: next time
		}
		d, opened := gs.of(id)
		if opened != nil {
			err = errors.Join(err, opened)
			continue
		}
		d.Enrolled(class)
		if a.Desired != nil {
			d.mu.Lock()
			d.command.Tell(*a.Desired, gs.g.cfg.Now())
			d.mu.Unlock()
		}
		d.refused = ""
		if heard := d.Hear(a); heard != nil {
			d.refused = heard.Error()
			gs.g.cfg.Log.Warn("a guard does not do as it is asked", "device", id, "err", heard)
		}
	}
	gs.tell()
	return err
}

// tell sends what has become different for any device, also by mere passing of time.
func (gs *guards) tell() {
	for id, d := range gs.all() {
		if err := gs.send(id, d, nil); err != nil {
			gs.g.cfg.Log.Error("telling a device what its guard decides", "device", id, "err", err)
		}
	}
}

// send tells a device what it should be like, if that is something else than before. Nothing else in this program tells a device
// anything. wish, if there is one, is what the operator wants from now on: the guard may refuse it.
func (gs *guards) send(id lamppost.DeviceID, d *guarded, wish *[]byte) error {
	gs.sending.Lock()
	defer gs.sending.Unlock()
	if wish != nil {
		if err := d.allows(*wish); err != nil {
			return lamppost.Refuse(lamppost.CodeForbidden, "%s: %v", id, err)
		}
		d.operator = *wish
	}
	command := d.commanded(gs.g.cfg.Now())
	if err := gs.touch(id, d, command.Set); err != nil {
		return err
	}
	out := d.desired(command)
	if !d.becomes(out) {
		return nil
	}
	gs.g.mqtt.SetDesired(id, func() []byte { return d.message(gs.g.cfg.Now()) })
	return nil
}

// commanded returns what the upstream says that the device should be like now.
func (d *guarded) commanded(now time.Time) lamppost.Desired {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.command.Now(now)
}

// becomes notes what is sent from now on, if it is something else.
func (d *guarded) becomes(out told) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	was := &d.sent
	same := bytes.Equal(out.text, was.text) && out.revision == was.revision && out.holds == was.holds
	d.sent = out
	if same {
		return false
	}
	close(d.changed)
	d.changed = make(chan struct{})
	return true
}

// message is what the device is told now: what was decided last, and while a command holds, which and how much time is left. When it has ended
// since, the device is told no more than that, until the next decision.
func (d *guarded) message(now time.Time) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.sent.holds && (len(d.sent.text) > 0 || d.sent.revision == 0) {
		return d.sent.text
	}
	c := d.command.Now(now)
	m := lamppost.Desired{Revision: d.sent.revision, Until: c.Until, Left: c.Left}
	if c.Left > 0 && m.Set.UnmarshalJSON(d.sent.text) != nil {
		m.Left, m.Until = 0, 0 // cannot be: a command that holds is written by us
	}
	text, err := json.Marshal(m)
	if err != nil {
		panic(err) // names, numbers and units
	}
	return text
}

// ack is what the guard granted of the latest command, nil where there is none.
func (d *guarded) ack() *lamppost.Ack {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.sent.revision == 0 {
		return nil
	}
	return &lamppost.Ack{Revision: d.sent.revision, Grants: d.sent.grants}
}

// touch remembers what the guard speaks of from now on, for a device that is not there when it is let go. After a command its levels are
// spoken of too: the device has no clock of its own that ends it.
func (gs *guards) touch(id lamppost.DeviceID, d *guarded, command lamppost.Setpoints) error {
	touched := slices.Clone(d.touched)
	add := func(name string) {
		if !slices.Contains(touched, name) {
			touched = append(touched, name)
		}
	}
	for _, w := range d.Word().Decisions {
		if w.Request != "" {
			add(w.Function)
		}
	}
	for i := range command {
		if _, level := command[i].IsLevel(); level {
			add(command[i].Name)
		}
	}
	if len(touched) == len(d.touched) {
		return nil
	}
	slices.Sort(touched)
	text, err := json.Marshal(touched)
	if err != nil {
		return err
	}
	var b kv.Batch
	b.Set(guardKey(touchedPrefix, id), text)
	if err := gs.g.apply(&b); err != nil {
		return err
	}
	d.touched = touched
	return nil
}

// allows says why the operator may not want a device to be like that, or nil. To want nothing is always allowed.
func (d *guarded) allows(wish []byte) error {
	if len(wish) == 0 {
		return nil
	}
	levels, ok := readLevels(wish)
	if !ok {
		if least := d.Least(unnamed); least.Level > 0 {
			return fmt.Errorf("what is desired cannot be understood, so it may be a restriction: write {\"<function>\":<percent>}, such as {\"level\":100}; %s", least)
		}
		return nil
	}
	for _, name := range names(levels) {
		if least := d.Least(name); levels[name] < least.Level {
			return fmt.Errorf("%s may not be set to %d %%: %s", name, levels[name], least)
		}
	}
	return nil
}

// unnamed stands for what a desired state means that is not understood: no function has this name.
const unnamed = ""

// A told is what a device is told, without the time that is left.
type told struct {
	text     []byte
	revision uint64 // of the latest command
	holds    bool   // that one does, and is in the text
	grants   []lamppost.Grant
}

// desired is what a device should be like: what the operator wants, and over it what the upstream commands while that holds, no lower than the
// guard grants, and where something is asked, no higher. What was once asked is spoken of from then on, because silence would leave it as it was.
func (d *guarded) desired(command lamppost.Desired) told {
	levels, ok := readLevels(d.operator)
	if levels == nil {
		levels = map[string]uint8{}
	}
	out := told{revision: command.Revision, holds: len(command.Set) > 0}
	var values lamppost.Setpoints
	for _, want := range command.Set {
		g := d.Command(want)
		out.grants = append(out.grants, g)
		if _, level := want.IsLevel(); level {
			got, _ := g.Got.At(0) // a level always has one
			levels[want.Name] = uint8(got)
		} else if g.Got != nil {
			values = append(values, want)
		}
	}
	out.text = d.levels(levels, ok)
	if len(values) > 0 {
		out.text = join(levels, values)
	}
	return out
}

// join writes levels and values as one state, by name. A value takes the place of a level of its name.
func join(levels map[string]uint8, values lamppost.Setpoints) []byte {
	for _, name := range names(levels) {
		if !slices.ContainsFunc(values, func(s lamppost.Setpoint) bool { return s.Name == name }) {
			values = append(values, lamppost.Setpoint{Name: name, Value: lamppost.Dec(int64(levels[name]), 0), Unit: lamppost.Level})
		}
	}
	slices.SortFunc(values, func(a, b lamppost.Setpoint) int { return strings.Compare(a.Name, b.Name) })
	text, err := json.Marshal(values)
	if err != nil {
		panic(err) // names, numbers and units
	}
	return text
}

// levels makes levels that are wanted into what the device is told; ok says that the operator's were understood.
func (d *guarded) levels(levels map[string]uint8, ok bool) []byte {
	guards := len(d.touched) > 0
	for _, name := range d.touched {
		granted := d.Level(name).Level
		if wanted, wants := levels[name]; !wants || wanted > granted {
			levels[name] = granted
		}
	}
	for name, level := range levels {
		if least := d.Least(name).Level; level < least {
			levels[name], guards = least, true
		}
	}
	if !guards || !ok && len(levels) == 0 {
		return d.operator
	}
	out, err := json.Marshal(levels) // by name
	if err != nil {
		panic(err) // a map of names and numbers
	}
	return out
}

func names(levels map[string]uint8) (all []string) {
	for name := range levels {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

// readLevels reads a desired state that is understood: it would be written again to the letter, but for spaces and order. Of a name that
// stands twice, for one, nobody knows which of both a device takes.
func readLevels(desired []byte) (levels map[string]uint8, ok bool) {
	var text bytes.Buffer
	if json.Unmarshal(desired, &levels) != nil || len(levels) == 0 || json.Compact(&text, desired) != nil {
		return nil, false
	}
	for name, level := range levels {
		if lamppost.CheckName("function", name) != nil || level > lamppost.FullService {
			return nil, false
		}
	}
	again, err := json.Marshal(levels)
	return levels, err == nil && len(again) == text.Len()
}

// setDesired takes a command from the operator.
func (g *Gateway) setDesired(w http.ResponseWriter, r *http.Request) {
	id := lamppost.DeviceID(r.PathValue("id"))
	if _, known := g.fleet.safety(id); !known {
		tell(w, http.StatusNotFound, answer{"not_found", "this gateway has no device of this name"})
		return
	}
	wish, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mqttd.MaxDesiredBytes))
	if err != nil {
		tell(w, http.StatusRequestEntityTooLarge, answer{"too_large", fmt.Sprintf("a desired state has at most %d bytes", mqttd.MaxDesiredBytes)})
		return
	}
	d, err := g.guards.of(id)
	if err == nil {
		err = g.guards.send(id, d, &wish)
	}
	var refusal *lamppost.Refusal
	switch {
	case errors.As(err, &refusal):
		g.cfg.Log.Warn("the guard refused a command", "device", id, "why", refusal.Text)
		tell(w, http.StatusForbidden, answer{refusal.Code.String(), refusal.Text})
	case err != nil:
		tell(w, http.StatusInternalServerError, answer{"internal", err.Error()})
	default:
		tell(w, http.StatusOK, answer{Code: lamppost.CodeOK.String()})
	}
}

// desired is what the HTTP door tells a device.
func (g *Gateway) desired(id lamppost.DeviceID) (message []byte, changed <-chan struct{}, err error) {
	d, err := g.guards.of(id)
	if err != nil {
		return nil, nil, err
	}
	d.mu.Lock()
	changed = d.changed
	d.mu.Unlock()
	return d.message(g.cfg.Now()), changed, nil
}

// relay carries the word of a device that has a guard of its own to the upstream. While that cannot be reached, the device must not
// think that it can.
func (g *Gateway) relay(ctx context.Context, id lamppost.DeviceID, w guard.Word) (guard.Asked, error) {
	w.Own = true
	asked, err := g.up.guards(ctx, map[lamppost.DeviceID]guard.Word{id: w})
	if err != nil {
		return guard.Asked{}, lamppost.Refuse(lamppost.CodeNotReady, "the uplink is down: ask again later")
	}
	a, ok := asked[id]
	if !ok {
		return a, lamppost.Refuse(lamppost.CodeUnknown, "device %q is not enrolled", id)
	}
	return a, nil
}
