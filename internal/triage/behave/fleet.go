package behave

import (
	"errors"
	"fmt"
	"math/bits"

	"github.com/lamppost/lamppost"
)

// Settings, chosen on simulated fleets: docs/intelligence.md.
const (
	// Level is the score of a minute that is unlike a device: no feature reaches it alone.
	Level = 13.0

	enoughKin  = 200 // records of its kin before a device without a history is judged
	maxLevel   = 4 * Level
	oddMinutes = 3   // of the latest five in which a device spoke make an alarm
	refractory = 120 // minutes in which a device spoke, after an alarm
	oddLearnt  = 4   // of so many minutes above the level one is learnt: what goes on becomes usual, later
)

// ErrFull says that a fleet has as many devices as it can.
var ErrFull = errors.New("as many devices are judged already as can be")

// A Fleet judges the devices of a network by what they do. It is not for concurrent use.
type Fleet struct {
	devices map[lamppost.DeviceID]*device
	kins    map[string]*Model
	all     *Model // every device is also kin of every other
	names   numbers
	images  numbers

	scorer  Scorer
	x       [columns]uint16
	shares  [MaxReasons]Share
	reasons [MaxReasons]Reason
}

// A device is what is known of one.
type device struct {
	kin    string
	own    *Model
	last   lamppost.TimeMS // the end of its latest minute
	newest lamppost.TimeMS // of its readings, by its own clock
	odd    uint8           // of the latest minutes: a bit for each, the latest lowest
	since  lamppost.TimeMS // when the first of them began
	quiet  int             // minutes until it may alarm again
	skips  int             // minutes above the level since the last one that was learnt
	banned uint64          // the firmware that was told of last
	level  float64
}

// NewFleet returns a fleet that knows no device.
func NewFleet() *Fleet {
	return &Fleet{devices: map[lamppost.DeviceID]*device{}, kins: map[string]*Model{}, all: NewModel(deviceSchema),
		names: numbers{bins: binsNames}, images: numbers{bins: binsImage}}
}

// A Finding says that a device behaves unlike itself.
type Finding struct {
	Since, At lamppost.TimeMS // when the first odd minute began, when it was seen; by the node's clock
	Score     float64
	Level     float64 // that it reached
	// Hard: the device runs what it must not run. Only such a finding puts it into quarantine.
	Hard bool
	// Reasons are the fleet's own until the next minute.
	Reasons []Reason
	Before  []byte // what the finding can be replayed from: see Replay
}

// A Reason is a code with the numbers of it.
type Reason struct {
	Code      string
	Share     float64 // of the score
	Value     uint64
	Low, High uint64 // what is usual; High below Low: nothing is known
	Other     string // a topic, names of readings
}

// Settings says all that verdicts depend on besides what a device does. Other settings are another model.
func Settings() string {
	return fmt.Sprint(deviceSchema.columns, deviceSchema.features, unseen, noise, most, forgetting, enoughOwn, halfOwn, Level, enoughKin, oddMinutes, refractory, oddLearnt)
}

// UnknownFirmware is the code of the hard finding.
const UnknownFirmware = "unknown_firmware"

// Observe judges a minute of a device and learns it. kin names those it is like; it counts when the device is met for the first
// time. may is the firmware that may run on it, none: any. It returns nil where there is nothing to tell, and refuses with [ErrFull].
func (f *Fleet) Observe(id lamppost.DeviceID, kin string, m *Minute, may []uint64) (*Finding, error) {
	d, err := f.device(id, kin)
	if err != nil {
		return nil, err
	}
	was := *d
	f.record(&f.x, d, m)
	score := 0.0
	if like := f.kin(d); like.n >= enoughKin || d.own.n >= enoughOwn {
		score = f.scorer.Score(d.own, like, f.x[:])
	}
	found := f.hard(d, m, may)
	if alarm := d.next(score, m.At); alarm && found == nil {
		found = &Finding{Since: d.since, At: m.At, Score: score, Level: d.level, Reasons: f.explain(score, d, m)}
	}
	if found != nil {
		found.Before = f.before(&was, m, may)
	}
	f.learn(d, m, score)
	return found, nil
}

func (f *Fleet) device(id lamppost.DeviceID, kin string) (*device, error) {
	d := f.devices[id]
	if d != nil {
		return d, nil
	}
	if len(f.devices) >= MaxDevices {
		return nil, ErrFull
	}
	d = &device{kin: kin, own: NewModel(deviceSchema), level: Level}
	f.devices[id] = d
	if f.kins[kin] == nil && len(f.kins) < MaxKins {
		f.kins[kin] = NewModel(deviceSchema)
	}
	return d, nil
}

// kin is the model of those that a device is like, or of all, while there is too little of them.
func (f *Fleet) kin(d *device) *Model {
	if k := f.kins[d.kin]; k != nil && k.n >= enoughKin {
		return k
	}
	return f.all
}

// next says whether to alarm after a minute of this score.
func (d *device) next(score float64, at lamppost.TimeMS) (alarm bool) {
	d.odd = d.odd << 1 & 0x1f
	if score >= d.level {
		d.odd |= 1
	}
	switch {
	case d.odd == 0:
		d.since = 0
	case d.since == 0:
		d.since = at - msPerMinute
	}
	if d.quiet > 0 {
		d.quiet--
		return false
	}
	if score < d.level || bits.OnesCount8(d.odd) < oddMinutes {
		return false
	}
	d.quiet = refractory
	return true
}

// hard tells of firmware that must not run, once.
func (f *Fleet) hard(d *device, m *Minute, may []uint64) *Finding {
	if m.Firmware == 0 || len(may) == 0 {
		return nil
	}
	for _, image := range may {
		if image == m.Firmware {
			d.banned = 0
			return nil
		}
	}
	if d.banned == m.Firmware {
		return nil
	}
	d.banned = m.Firmware
	f.reasons[0] = Reason{Code: UnknownFirmware, Share: 1, Value: m.Firmware, Low: 1}
	return &Finding{Since: m.At - msPerMinute, At: m.At, Hard: true, Reasons: f.reasons[:1]}
}

// explain names the weightiest features of the last score.
func (f *Fleet) explain(score float64, d *device, m *Minute) []Reason {
	n := f.scorer.Weightiest(f.shares[:])
	for i, s := range f.shares[:n] {
		feature := &deviceSchema.features[s.Feature]
		r := Reason{Code: feature.Code, Share: s.Worth / score, Value: m.value(feature.Column, d), Low: 1}
		switch feature.Column {
		case colNames:
			r.Other = m.list(f, f.x[colNames])
		case colFirmware:
		case colForbidden:
			r.Other = m.Topic
			fallthrough
		default:
			if low, high, ok := f.scorer.between(s.Feature, f.x[:]); ok {
				r.Low, r.High = edges(feature.Column, low, high)
			}
		}
		f.reasons[i] = r
	}
	return f.reasons[:n]
}

// value is a column's number in a minute, before it was put into a bin.
func (m *Minute) value(column int, d *device) uint64 {
	per := max(1, uint64(m.Reports))
	return [columns]uint64{uint64(m.Reports), m.pace(d), d.gap(m), m.Bytes / per, m.Largest, m.Readings / per, m.Readings / per, m.Firmware,
		uint64(m.Repeated), uint64(m.Refused), uint64(m.Bad), uint64(m.Forbidden), uint64(m.Unheard), uint64(m.Connects), uint64(m.Taken), uint64(m.At) / msPerHour % 24}[column]
}

func (m *Minute) list(f *Fleet, bin uint16) string {
	for _, set := range m.Names[:min(m.Sets, MaxNames)] {
		if f.names.number(set.Hash) == bin {
			return set.List
		}
	}
	return ""
}

// edges are the least number of the lowest bin and the greatest of the highest.
func edges(column, low, high int) (from, to uint64) {
	switch column {
	case colHour:
		return uint64(low), uint64(high)
	case colTaken: // in fours
		return 4 * octaveFrom(low), 4*octaveFrom(high+1) - 1
	case colSize, colLargest:
		return halfFrom(low), halfFrom(high+1) - 1
	}
	return octaveFrom(low), octaveFrom(high+1) - 1
}

// learn counts a minute: of those above the level every fourth.
func (f *Fleet) learn(d *device, m *Minute, score float64) {
	learnt := score < d.level
	if !learnt {
		d.skips = (d.skips + 1) % oddLearnt
		learnt = d.skips == 0
	}
	if learnt {
		for _, set := range m.Names[:min(m.Sets, MaxNames)] {
			f.names.add(set.Hash)
		}
		f.images.add(m.Firmware)
		f.record(&f.x, d, m) // what was new has a number now
		d.own.Learn(f.x[:])
		f.all.Learn(f.x[:])
		if k := f.kins[d.kin]; k != nil {
			k.Learn(f.x[:])
		}
	}
	d.last, d.newest = m.At, max(d.newest, min(m.To, m.At))
}

// Calm lets a device alarm again at once: somebody has looked after it.
func (f *Fleet) Calm(id lamppost.DeviceID) {
	if d := f.devices[id]; d != nil {
		d.odd, d.since, d.quiet, d.banned = 0, 0, 0, 0
	}
}

// Normal raises the level of a device: what it did was no reason to alarm.
func (f *Fleet) Normal(id lamppost.DeviceID) {
	if d := f.devices[id]; d != nil {
		d.level = min(d.level+Level/2, maxLevel)
	}
}

// Knows reports whether a device was met.
func (f *Fleet) Knows(id lamppost.DeviceID) bool { return f.devices[id] != nil }

// Forget takes a device out: it is erased. Its kin keep what it was counted for.
func (f *Fleet) Forget(id lamppost.DeviceID) { delete(f.devices, id) }

// Devices is how many devices are known.
func (f *Fleet) Devices() int { return len(f.devices) }
