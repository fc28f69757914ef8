package node

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/ingest"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/internal/triage/behave"
)

// How devices behave is judged where they come in: each minute the tallies of this node's doors are taken, and what is found is ordered
// as this member's verdicts. A device that goes to another member begins a history there.

const (
	behaviourMinuteMS = 60_000
	behaviourSaveMS   = 10 * behaviourMinuteMS // between writes of what was learnt; a crash costs no more
	behaviourBatch    = 256                    // devices in a write
	maxFindings       = 4 * lamppost.MaxVerdicts
	maxBefores        = 16 // findings of a device that can be replayed
	findingTimeout    = 30 * time.Second
)

// Among the node's own records:
//
//	nQc                              what all devices share
//	nQd <device>                     a device
//	nQv <device> 0 <time, 8> <hash>  what the verdict of that time is replayed from
const behaviourPrefix = "nQ"

// behaviour is what a node knows of how devices behave.
type behaviour struct {
	origins ingest.Origins // of both doors
	broker  ingest.Origins // of devices whose reports come by a broker of others
	model   lamppost.Model

	turn sync.Mutex // held while a minute is judged and what was found is ordered; taken before mu

	mu      sync.Mutex
	fleet   *behave.Fleet
	next    lamppost.TimeMS // when the minute is over that is counted now
	saved   lamppost.TimeMS
	changed map[lamppost.DeviceID]bool // since it was saved
	waiting []lamppost.Verdict         // that are not ordered yet
	behind  map[lamppost.MemberID]*behind

	found, lost prometheus.Counter
}

// watchesDoors reports whether it is judged how devices behave.
func (n *Node) watchesDoors() bool { return n.cfg.Triage != "off" && !n.cfg.Played }

// openBehaviour loads what was learnt. What is of another version, or damaged, is learnt anew; where it is not judged it is forgotten.
func (n *Node) openBehaviour() error {
	b := &n.behaviour
	b.model = lamppost.Model{ID: "behaviour", Version: 1, Hash: sha256.Sum256([]byte(behave.Settings()))}
	b.fleet, b.changed, b.behind = behave.NewFleet(), map[lamppost.DeviceID]bool{}, map[lamppost.MemberID]*behind{}
	b.found = prometheus.NewCounter(prometheus.CounterOpts{Name: "lamppost_behaviour_findings_total", Help: "Findings on how devices behave at this node's doors."})
	b.lost = prometheus.NewCounter(prometheus.CounterOpts{Name: "lamppost_behaviour_lost_total", Help: "Minutes of devices that were not judged and findings that were not ordered, because there were too many or the ledger refused them."})
	if !n.watchesDoors() {
		var batch kv.Batch
		batch.DeleteRange([]byte(behaviourPrefix), after([]byte(behaviourPrefix)))
		return n.store.Apply(&batch)
	}
	b.origins.Tallies, b.broker.Tallies, b.broker.Others = true, true, true
	n.registry.MustRegister(b.found, b.lost)
	common, err := n.store.Get([]byte(behaviourPrefix + "c"))
	if errors.Is(err, kv.ErrNotFound) {
		return nil
	}
	if err == nil {
		err = b.fleet.LoadCommon(common)
	}
	if err != nil {
		n.cfg.Log.Warn("how devices behave is learnt anew", "why", err)
		return nil
	}
	prefix := []byte(behaviourPrefix + "d")
	return n.store.Scan(prefix, after(prefix), func(key, val []byte) error {
		id := lamppost.DeviceID(key[len(prefix):])
		if err := b.fleet.LoadDevice(id, val); err != nil {
			n.cfg.Log.Warn("how a device behaves is learnt anew", "why", err)
		}
		return nil
	})
}

// after is the first key behind those with a prefix, which does not end in 0xff.
func after(prefix []byte) []byte {
	end := bytes.Clone(prefix)
	end[len(end)-1]++
	return end
}

// judgeBehaviour takes the tallies whenever a minute of the node's clock is over, and saves what was learnt at the end.
func (n *Node) judgeBehaviour(ctx context.Context) error {
	tick := time.NewTicker(max(50*time.Millisecond, time.Duration(float64(time.Second)/max(1, n.cfg.Speed))))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return n.saveBehaviour(n.now())
		case <-tick.C:
		}
		if err := n.behaved(ctx, n.now()); err != nil {
			return err
		}
	}
}

// behaved judges the minute that is over, if one is, and orders what was found.
func (n *Node) behaved(ctx context.Context, now lamppost.TimeMS) error {
	b := &n.behaviour
	b.turn.Lock()
	defer b.turn.Unlock()
	b.mu.Lock()
	if now < b.next {
		b.mu.Unlock()
		return nil
	}
	b.next = now - now%behaviourMinuteMS + behaviourMinuteMS
	err := n.judgeMinutes(func(each func(lamppost.DeviceID, *ingest.Counts, lamppost.TimeMS)) {
		for _, doors := range [...]*ingest.Origins{&b.origins, &b.broker} {
			doors.Take(func(id lamppost.DeviceID, c *ingest.Counts) { each(id, c, now) })
		}
	})
	due := now >= b.saved+behaviourSaveMS
	b.mu.Unlock()
	if err != nil {
		return err
	}
	n.orderFindings(ctx)
	if due {
		return n.saveBehaviour(now)
	}
	return nil
}

// judgeMinutes judges what devices did in minutes that ended then. It is called with the lock held.
func (n *Node) judgeMinutes(take func(each func(id lamppost.DeviceID, c *ingest.Counts, end lamppost.TimeMS))) error {
	snap, err := n.store.Snapshot()
	if err != nil {
		return err
	}
	defer snap.Close()
	v, b := ledger.View{Reader: snap}, &n.behaviour
	var keep kv.Batch
	take(func(id lamppost.DeviceID, c *ingest.Counts, end lamppost.TimeMS) {
		m := minuteOf(c, end)
		found, err := b.fleet.Observe(id, kinOf(v, b.fleet, id, c), &m, imagesOf(v, id, c.Firmware))
		if err != nil {
			b.lost.Inc()
			return
		}
		b.changed[id] = true
		if found == nil {
			return
		}
		if len(b.waiting) >= maxFindings {
			b.lost.Inc()
			return
		}
		b.found.Inc()
		x := found.Verdict(id)
		b.waiting = append(b.waiting, x)
		n.keepBefore(&keep, &x, found.Before)
		n.cfg.Log.Warn("a device does not behave as it did", "device", id, "first_reason", x.Reasons[0].Code, "quarantine", x.Suspends)
	})
	if keep.Len() == 0 {
		return nil
	}
	return n.store.Apply(&keep)
}

func minuteOf(c *ingest.Counts, now lamppost.TimeMS) behave.Minute {
	m := behave.Minute{At: now, Reports: c.Reports, Repeated: c.Repeated, Refused: c.Refused, Bad: c.Bad, Forbidden: c.Forbidden, Unheard: c.Unheard,
		Connects: c.Connects, Taken: c.Taken, Readings: c.Readings, Bytes: c.Bytes, Largest: c.Largest, From: c.From, To: c.To,
		Sets: c.Sets, Firmware: c.Firmware, Topic: c.Topic}
	for i, set := range c.Names[:c.Sets] {
		m.Names[i] = behave.Names{Hash: set.Hash, List: set.List}
	}
	return m
}

// kinOf names who is like a device that is met for the first time: those of one owner and safety class that report the same.
func kinOf(v ledger.View, f *behave.Fleet, id lamppost.DeviceID, c *ingest.Counts) string {
	if f.Knows(id) {
		return ""
	}
	d, err := v.Device(id)
	if err != nil || c.Sets == 0 {
		return ""
	}
	return fmt.Sprintf("%s %s %x", d.Owner, d.Safety, c.Names[0].Hash)
}

// imagesOf is what may run on a device, as it says it. Only a device that signs for itself can say what it runs.
func imagesOf(v ledger.View, id lamppost.DeviceID, runs uint64) (may []uint64) {
	if runs == 0 {
		return nil
	}
	w, err := v.WatchedDevice(id)
	if err != nil {
		return nil
	}
	for _, image := range w.Firmware {
		may = append(may, lamppost.FirmwareValue(image))
	}
	return may
}

// orderFindings orders what was found. What cannot be decided now is tried again a minute later.
func (n *Node) orderFindings(ctx context.Context) {
	b := &n.behaviour
	b.mu.Lock()
	waiting := b.waiting
	b.waiting = nil
	b.mu.Unlock()
	for len(waiting) > 0 {
		part := waiting[:min(len(waiting), lamppost.MaxVerdicts)]
		if !n.orderVerdicts(ctx, part) {
			break
		}
		waiting = waiting[len(part):]
	}
	b.mu.Lock()
	b.waiting = append(waiting, b.waiting...)
	b.mu.Unlock()
}

// orderVerdicts returns false where it is to be tried again.
func (n *Node) orderVerdicts(ctx context.Context, part []lamppost.Verdict) (done bool) {
	timed, cancel := context.WithTimeout(ctx, findingTimeout)
	defer cancel()
	_, err := n.Order(timed, lamppost.TxVerdicts, lamppost.VerdictsBody{Model: n.behaviour.model, Verdicts: part})
	var refusal *lamppost.Refusal
	switch {
	case err == nil:
		return true
	case !errors.As(err, &refusal):
		return false // not decided
	case refusal.Code == lamppost.CodeDuplicate:
		return true
	case !refusal.Code.Final():
		return false
	case len(part) > 1: // one of them is about a device that is gone, or stands there already
		for i := range part {
			if !n.orderVerdicts(ctx, part[i:i+1]) {
				return false
			}
		}
		return true
	}
	if refusal.Code != lamppost.CodeExists {
		n.behaviour.lost.Inc()
		n.cfg.Log.Warn("a finding on a device's behaviour cannot be ordered", "device", part[0].Device, "why", refusal)
	}
	return true
}

// saveBehaviour writes what was learnt since it was written last: first what all share, which the devices' states count in.
func (n *Node) saveBehaviour(now lamppost.TimeMS) error {
	b := &n.behaviour
	b.mu.Lock()
	defer b.mu.Unlock()
	b.saved = now
	told := maps.Clone(b.changed)
	for i := range b.waiting {
		delete(told, b.waiting[i].Device) // a restart is to find it again
	}
	var batch kv.Batch
	batch.Set([]byte(behaviourPrefix+"c"), b.fleet.AppendCommon(nil))
	for part := range slices.Chunk(slices.Collect(maps.Keys(told)), behaviourBatch) {
		for _, id := range part {
			batch.Set([]byte(behaviourPrefix+"d"+string(id)), b.fleet.AppendDevice(nil, id))
			delete(b.changed, id)
		}
		if err := n.store.Apply(&batch); err != nil {
			return fmt.Errorf("saving how devices behave: %w", err)
		}
		batch.Reset()
	}
	return nil
}

func beforeKey(v *lamppost.Verdict) []byte {
	k := append([]byte(behaviourPrefix+"v"+string(v.Device)), 0)
	return append(binary.BigEndian.AppendUint64(k, uint64(v.At)), v.State[:]...)
}

// keepBefore stages what a verdict is replayed from, and that the oldest of the device goes where there are too many.
func (n *Node) keepBefore(batch *kv.Batch, v *lamppost.Verdict, before []byte) {
	batch.Set(beforeKey(v), before)
	prefix := append([]byte(behaviourPrefix+"v"+string(v.Device)), 0)
	var keys [][]byte
	err := n.store.Scan(prefix, after(prefix), func(key, _ []byte) error {
		keys = append(keys, bytes.Clone(key))
		return nil
	})
	for ; err == nil && len(keys) >= maxBefores; keys = keys[1:] {
		batch.Delete(keys[0])
	}
}

// BehaviourBefore is what a verdict on a device's behaviour is replayed from, by behave.Replay; kv.ErrNotFound where this node does not
// have it: another member found it, or it is too old.
func (n *Node) BehaviourBefore(v *lamppost.Verdict) ([]byte, error) { return n.store.Get(beforeKey(v)) }

// answered hears what a block says of devices: a new key or an answer lets one alarm again; what is erased is forgotten.
func (n *Node) answered(ev *replica.Event) error {
	for i, tx := range ev.Txs {
		if tx.Type == lamppost.TxSegment || !ev.Result.Outcomes[i][0].Code.Accepted() {
			continue
		}
		var err error
		switch tx.Type {
		case lamppost.TxReview:
			err = n.reviewed(tx)
		case lamppost.TxDevice:
			var body lamppost.DeviceBody
			if err = lamppost.Unmarshal(tx.Order.Body, &body); err == nil {
				n.calm(body.ID, false)
			}
		case lamppost.TxErase:
			var body lamppost.EraseBody
			if err = lamppost.Unmarshal(tx.Order.Body, &body); err == nil && body.Device != "" {
				err = n.forgetBehaviour(body.Device)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (n *Node) reviewed(tx *lamppost.Transaction) error {
	var body lamppost.ReviewBody
	if err := lamppost.Unmarshal(tx.Order.Body, &body); err != nil {
		return err
	}
	v, err := (ledger.View{Reader: n.store}).Verdict(body.Verdict)
	if errors.Is(err, kv.ErrNotFound) || err == nil && (v.Body.Kind != lamppost.Behaviour || body.Answer == lamppost.ReviewSeen) {
		return nil
	}
	if err == nil {
		// Of firmware that is said to be right the device is not asked again.
		if body.Answer != lamppost.ReviewValid {
			n.calm(v.Body.Device, body.Answer == lamppost.ReviewNormal)
		}
	}
	return err
}

func (n *Node) calm(id lamppost.DeviceID, normal bool) {
	b := &n.behaviour
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.fleet.Knows(id) {
		return
	}
	b.fleet.Calm(id)
	if normal {
		b.fleet.Normal(id)
	}
	b.changed[id] = true
}

// forgetBehaviour takes a device out of memory and of the store.
func (n *Node) forgetBehaviour(id lamppost.DeviceID) error {
	b := &n.behaviour
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fleet.Forget(id)
	for _, g := range b.behind {
		delete(g.devices, id)
	}
	delete(b.changed, id)
	b.waiting = slices.DeleteFunc(slices.Clone(b.waiting), func(v lamppost.Verdict) bool { return v.Device == id })
	var batch kv.Batch
	batch.Delete([]byte(behaviourPrefix + "d" + string(id)))
	verdicts := append([]byte(behaviourPrefix+"v"+string(id)), 0)
	batch.DeleteRange(verdicts, after(verdicts))
	return n.store.Apply(&batch)
}
