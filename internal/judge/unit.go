package judge

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/triage"
)

// A unit is models that are judged, saved and replayed together: a series, a meter, or the meters of a group. A state is large and a
// verdict rare, so the state before every reading is not copied: a unit has its state as of a while ago, the base, which stands among the
// records, and the readings since, the journal. From both the state before the latest reading is made anew when it is asked for, and from both a
// unit is opened again.
type unit struct {
	id      uint64
	model   model
	journal []entry
	most    int // entries of the journal, before there is another base

	based bool // a base is there: among the records, or to be
	saved int  // entries of the journal that Save has staged
	dirty bool
}

// A model is what is in a unit.
type model interface {
	fresh() model // of the same settings, having seen nothing
	load(b []byte) error
	append(b []byte) []byte
	replay(e *entry)
}

// Entries of a journal. A series of a reading a minute is written anew three times a day.
const (
	seriesJournal = 512
	meterJournal  = 64
	grownBytes    = 58 << 10 // of a series that has seen all it remembers
	seriesBytes   = grownBytes + seriesJournal*entryMemory
)

// An entry is a reading as a model takes it.
type entry struct {
	at    lamppost.TimeMS
	bits  uint64 // of a series: the value's; of a meter: the register
	extra uint64 // of a series: billionths put upon its level; of a meter among others: when it was read, if at is a moment that it stands for
	kind  uint8  // of a series; of a meter: flags
	unit  uint8  // of a series: which
	place int8   // of a meter: where in its group
}

const (
	entryBytes  = 27 // saved
	entryMemory = 32
)

func (e *entry) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(e.at))
	b = binary.BigEndian.AppendUint64(b, e.bits)
	return append(binary.BigEndian.AppendUint64(b, e.extra), e.kind, e.unit, byte(e.place))
}

func readEntry(b []byte) entry {
	return entry{at: lamppost.TimeMS(binary.BigEndian.Uint64(b)), bits: binary.BigEndian.Uint64(b[8:]), extra: binary.BigEndian.Uint64(b[16:]),
		kind: b[24], unit: b[25], place: int8(b[26])}
}

func (j *Judge) newUnit(m model, most int) *unit {
	return &unit{id: j.id(), model: m, most: most}
}

// note writes an entry into the journal, before the model takes it.
func (j *Judge) note(u *unit, e entry) {
	if len(u.journal) == u.most {
		j.rebase(u)
	}
	u.journal = append(u.journal, e)
}

// unnote takes back the latest entry, which the model has refused.
func (u *unit) unnote() { u.journal = u.journal[:len(u.journal)-1] }

// rebase makes the state as it is the base.
func (j *Judge) rebase(u *unit) {
	old := j.bases[u.id]
	b := u.model.append(old[:0])
	j.baseBytes += len(b) - len(old)
	j.bases[u.id] = b
	u.based, u.journal, u.saved = true, u.journal[:0], 0
	j.touchUnit(u)
}

// forget begins a unit anew, with a model that has seen nothing.
func (j *Judge) forget(u *unit, m model) {
	j.baseBytes -= len(j.bases[u.id])
	delete(j.bases, u.id)
	u.model, u.based, u.journal, u.saved = m, false, u.journal[:0], 0
	j.touchUnit(u)
}

// before makes the model as it was before the latest entry.
func (j *Judge) before(u *unit) (model, error) {
	m := u.model.fresh()
	if u.based {
		base, ok := j.bases[u.id]
		if !ok {
			var err error
			if base, err = j.cfg.Records.Get(recordKey(baseKind, u.id)); err != nil {
				return nil, fmt.Errorf("reading the state of unit %d: %w", u.id, err)
			}
		}
		if err := m.load(base); err != nil {
			return nil, err
		}
	}
	for i := range u.journal[:len(u.journal)-1] {
		m.replay(&u.journal[i])
	}
	return m, nil
}

// stateBefore completes what a verdict on the latest reading can be replayed from.
func (j *Judge) stateBefore(u *unit, s saved) saved {
	m, err := j.before(u)
	if err != nil {
		j.fail(err)
		return s
	}
	s.Model = m.append(nil)
	return s
}

func (j *Judge) touchUnit(u *unit) {
	if !u.dirty {
		u.dirty = true
		j.dirtyUnit = append(j.dirtyUnit, u)
	}
}

func (j *Judge) touchSlot(s *slot) {
	if !s.dirty {
		s.dirty = true
		j.dirtySlot = append(j.dirtySlot, s)
	}
}

// A seriesModel is a detector of a slot's readings.
type seriesModel struct {
	*triage.Series
	slot *slot
	at   lamppost.TimeMS // of the latest reading; 0: none
}

func newSeriesModel(s *slot) *seriesModel { return &seriesModel{Series: triage.NewSeries(), slot: s} }

// observe judges a reading; one that is not younger than the latest by what needs no order.
func (m *seriesModel) observe(e *entry) (triage.Verdict, error) {
	m.Raise(float64(e.extra) / billion)
	x := triage.Sample{AtMS: e.at, Value: math.Float64frombits(e.bits), Unit: m.slot.units[e.unit], Kind: lamppost.Kind(e.kind)}
	v, err := m.Observe(x)
	if err == triage.ErrLate || err == triage.ErrDuplicate {
		return m.Late(x)
	}
	if err == nil {
		m.at = e.at
	}
	return v, err
}

func (m *seriesModel) fresh() model    { return newSeriesModel(m.slot) }
func (m *seriesModel) replay(e *entry) { _, _ = m.observe(e) }

func (m *seriesModel) load(b []byte) error { return m.UnmarshalBinary(b) }

func (m *seriesModel) append(b []byte) []byte {
	b, _ = m.AppendBinary(b) // never fails
	return b
}
