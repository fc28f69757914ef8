package judge

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/triage/joint"
)

// What a Judge knows stands in the node's own records:
//
//	nJg                 savedJudge
//	nJp <point>         savedPoint
//	nJs <id, 8>         savedSlot
//	nJu <id, 8>         savedUnit
//	nJb <id, 8>         the base of a unit: as packages triage and plausible write their states
//	nJc <id, 8> <n, 4>  entries of its journal from the nth on
//
// A save writes what has changed since the one before, in one batch with the height that it is of.
const (
	judgeKind = 'g'
	pointKind = 'p'
	slotKind  = 's'
	unitKind  = 'u'
	baseKind  = 'b'
	chunkKind = 'c'
)

// Prefix begins the keys of all records.
var (
	Prefix    = []byte("nJ")
	prefixEnd = []byte("nK")
)

func recordKey(kind byte, id uint64) []byte {
	return binary.BigEndian.AppendUint64(append(bytes.Clone(Prefix), kind), id)
}

func chunkKey(id uint64, n int) []byte {
	return binary.BigEndian.AppendUint32(recordKey(chunkKind, id), uint32(n))
}

// stateVersion of all records; others are thrown away.
const stateVersion = 3

type savedJudge struct {
	Version  uint8
	Height   lamppost.Height
	Time     lamppost.TimeMS
	NextID   uint64
	Said     lamppost.Height
	Gateways map[lamppost.MemberID]lamppost.MemberID
	Waiting  []lamppost.Verdict
	Budget   [4]int64
}

type savedPoint struct {
	Body    lamppost.PointBody
	Size    *lamppost.Decimal
	Off, On lamppost.TimeMS
	Unit    uint64
	Place   int
	Heads   uint64
}

type savedSlot struct {
	Device lamppost.DeviceID
	Name   string
	Order  int // among its device's
	Units  []string
	Marks  marks
	LastAt lamppost.TimeMS
	Begun  bool
	Series uint64
	At     lamppost.TimeMS // of the series's latest
	Meter  uint64          // of a register at no point
}

type savedUnit struct {
	Based   bool
	Entries int
	Members []member // of meters
	Scale   int8
	Grouped bool
	Vector  *vectorOf // of a vector
}

// vectorOf is whose rows a vector judges.
type vectorOf struct {
	Device     lamppost.DeviceID
	Quantities []quantity
	Strange    int
}

// Save stages everything that has changed since it was called last.
func (j *Judge) Save(b *kv.Batch) error {
	if j.failed != nil {
		return j.failed
	}
	for _, id := range j.gone {
		for _, kind := range [...]byte{slotKind, unitKind, baseKind} {
			b.Delete(recordKey(kind, id))
		}
		b.DeleteRange(chunkKey(id, 0), recordKey(chunkKind, id+1))
	}
	for _, u := range j.dirtyUnit {
		if !slices.Contains(j.gone, u.id) {
			j.saveUnit(b, u)
		}
		u.dirty = false
	}
	for _, s := range j.dirtySlot {
		if !slices.Contains(j.gone, s.id) {
			b.Set(recordKey(slotKind, s.id), lamppost.Marshal(s.saved()))
		}
		s.dirty = false
	}
	for id := range j.newPoints {
		b.Set(append(recordPrefix(pointKind), id...), lamppost.Marshal(j.points[id].saved()))
	}
	g := savedJudge{stateVersion, j.height, j.time, j.nextID, j.said, j.gateways, j.waiting,
		[4]int64{j.budget.per1000Week, j.budget.level, j.budget.owed, j.budget.passed}}
	b.Set(recordPrefix(judgeKind), lamppost.Marshal(g))
	clear(j.bases)
	clear(j.newPoints)
	j.gone, j.dirtyUnit, j.dirtySlot, j.baseBytes = j.gone[:0], j.dirtyUnit[:0], j.dirtySlot[:0], 0
	return b.Err()
}

func recordPrefix(kind byte) []byte { return append(bytes.Clone(Prefix), kind) }

// Unsaved is how many bytes of states wait to be saved.
func (j *Judge) Unsaved() int { return j.baseBytes }

func (j *Judge) saveUnit(b *kv.Batch, u *unit) {
	if base, ok := j.bases[u.id]; ok {
		b.Set(recordKey(baseKind, u.id), base)
	}
	if u.saved == 0 {
		b.DeleteRange(chunkKey(u.id, 0), recordKey(chunkKind, u.id+1))
	}
	if len(u.journal) > u.saved {
		j.chunk = j.chunk[:0]
		for i := range u.journal[u.saved:] {
			j.chunk = u.journal[u.saved+i].append(j.chunk)
		}
		b.Set(chunkKey(u.id, u.saved), j.chunk)
		u.saved = len(u.journal)
	}
	s := savedUnit{Based: u.based, Entries: len(u.journal)}
	switch m := u.model.(type) {
	case *meters:
		s.Members, s.Scale, s.Grouped = m.members, m.scale, m.group != nil
	case *vectorModel:
		s.Vector = &vectorOf{m.device.id, m.quantities, m.device.vector.strange}
	}
	b.Set(recordKey(unitKind, u.id), lamppost.Marshal(s))
}

func (s *slot) saved() savedSlot {
	x := savedSlot{Device: s.device.id, Name: s.name, Order: slices.Index(s.device.slots, s), Units: s.units, Marks: s.marks, LastAt: s.lastAt, Begun: s.begun}
	if s.series != nil {
		x.Series, x.At = s.series.id, s.series.model.(*seriesModel).at
	}
	for _, r := range s.roles {
		if r.point == nil {
			x.Meter = r.unit.id
		}
	}
	return x
}

func (p *point) saved() savedPoint {
	x := savedPoint{Body: p.Body, Size: p.Size, Off: p.Off, On: p.On, Place: p.place}
	if p.unit != nil {
		x.Unit = p.unit.id
	}
	if p.heads != nil {
		x.Heads = p.heads.id
	}
	return x
}

// drop gives up a unit.
func (j *Judge) drop(u *unit) {
	j.baseBytes -= len(j.bases[u.id])
	delete(j.bases, u.id)
	j.gone = append(j.gone, u.id)
}

func (j *Judge) fail(err error) {
	if j.failed == nil {
		j.failed = err
	}
}

// Err is why what is found cannot be relied on any more: records could not be read.
func (j *Judge) Err() error { return j.failed }

// TakeErased returns the devices that were erased since it was called last.
func (j *Judge) TakeErased() []lamppost.DeviceID {
	all := j.erased
	j.erased = nil
	return all
}

// Open returns a Judge that goes on where the records end. Records of another version, or that do not fit each other, are an error:
// [Forget] removes them, and everything is judged anew.
func Open(cfg Config) (*Judge, error) {
	j := New(cfg)
	raw, err := cfg.Records.Get(recordPrefix(judgeKind))
	if errors.Is(err, kv.ErrNotFound) {
		return j, nil
	}
	if err != nil {
		return nil, err
	}
	var g savedJudge
	if err := lamppost.Unmarshal(raw, &g); err != nil {
		return nil, err
	}
	if g.Version != stateVersion {
		return nil, fmt.Errorf("its records are of version %d, not %d", g.Version, stateVersion)
	}
	j.height, j.time, j.nextID, j.said, j.waiting = g.Height, g.Time, g.NextID, g.Said, g.Waiting
	j.budget = budget{g.Budget[0], g.Budget[1], g.Budget[2], g.Budget[3]}
	if g.Gateways != nil {
		j.gateways = g.Gateways
	}
	return j, j.open()
}

// Forget stages that there are no records.
func Forget(b *kv.Batch) { b.DeleteRange(Prefix, prefixEnd) }

func (j *Judge) open() error {
	units := map[uint64]*savedUnit{}
	if err := each(j.cfg.Records, unitKind, func(id []byte, u *savedUnit) error {
		units[binary.BigEndian.Uint64(id)] = u
		return nil
	}); err != nil {
		return err
	}
	opened := map[uint64]*unit{}
	meter := func(id uint64) (*unit, error) {
		if id == 0 || opened[id] != nil {
			return opened[id], nil
		}
		s := units[id]
		if s == nil || len(s.Members) == 0 {
			return nil, fmt.Errorf("unit %d is not among the records", id)
		}
		m := &meters{members: s.Members, scale: s.Scale}
		m.make(s.Grouped)
		u := &unit{id: id, model: m, most: meterJournal}
		if s.Grouped {
			u.most = seriesJournal
		}
		opened[id] = u
		return u, j.openUnit(u, s)
	}
	if err := each(j.cfg.Records, pointKind, func(_ []byte, s *savedPoint) (err error) {
		p := &point{Body: s.Body, Size: s.Size, Off: s.Off, On: s.On, place: s.Place}
		j.points[s.Body.ID] = p
		j.enlist(p)
		if p.unit, err = meter(s.Unit); err == nil {
			p.heads, err = meter(s.Heads)
		}
		return err
	}); err != nil {
		return err
	}
	order := map[*slot]int{}
	err := each(j.cfg.Records, slotKind, func(id []byte, x *savedSlot) error {
		d := j.devices[x.Device]
		if d == nil {
			d = j.newDevice(x.Device)
		}
		s := &slot{id: binary.BigEndian.Uint64(id), device: d, name: x.Name, units: x.Units, marks: x.Marks, lastAt: x.LastAt, begun: x.Begun, place: -1}
		order[s] = x.Order
		d.slots = append(d.slots, s)
		if x.Meter != 0 {
			u, err := meter(x.Meter)
			if err != nil {
				return err
			}
			s.roles = []role{{unit: u}}
			j.counts.Bytes += metersBytes
		}
		j.attach(s)
		return j.openSeries(s, x, units)
	})
	for _, d := range j.devices {
		slices.SortFunc(d.slots, func(a, b *slot) int { return order[a] - order[b] })
	}
	for _, s := range j.dirtySlot {
		s.dirty = false
	}
	j.dirtySlot = j.dirtySlot[:0]
	for id, u := range units {
		if err == nil && u.Vector != nil {
			err = j.openVector(id, u)
		}
	}
	return err
}

func (j *Judge) openVector(id uint64, s *savedUnit) error {
	n, d := len(s.Vector.Quantities), j.devices[s.Vector.Device]
	if d == nil || n < 2 || n > joint.MaxQuantities || !d.place(s.Vector.Quantities) {
		return fmt.Errorf("unit %d is of quantities that are not among the records", id)
	}
	u := vectorUnit(id, d, s.Vector.Quantities)
	d.vector = &vector{unit: u, strange: s.Vector.Strange}
	j.counts.Vectors++
	j.counts.Bytes += vectorBytes(n)
	return j.openUnit(u, s)
}

func (j *Judge) openSeries(s *slot, x *savedSlot, units map[uint64]*savedUnit) error {
	if x.Series == 0 {
		return nil
	}
	u := units[x.Series]
	if u == nil {
		return fmt.Errorf("series %d is not among the records", x.Series)
	}
	m := newSeriesModel(s)
	s.series = &unit{id: x.Series, model: m, most: seriesJournal}
	j.counts.Series++
	j.counts.Bytes += seriesBytes
	err := j.openUnit(s.series, u)
	m.at = x.At
	return err
}

// openUnit reads base and journal.
func (j *Judge) openUnit(u *unit, s *savedUnit) error {
	u.based = s.Based
	if s.Based {
		base, err := j.cfg.Records.Get(recordKey(baseKind, u.id))
		if err == nil {
			err = u.model.load(base)
		}
		if err != nil {
			return fmt.Errorf("unit %d: %w", u.id, err)
		}
	}
	err := j.cfg.Records.Scan(chunkKey(u.id, 0), recordKey(chunkKind, u.id+1), func(_, val []byte) error {
		for ; len(val) >= entryBytes; val = val[entryBytes:] {
			e := readEntry(val)
			u.journal = append(u.journal, e)
			u.model.replay(&e)
		}
		return nil
	})
	if err == nil && len(u.journal) != s.Entries {
		err = fmt.Errorf("unit %d has %d readings since its base, not %d", u.id, len(u.journal), s.Entries)
	}
	u.saved = len(u.journal)
	return err
}

// each reads all records of a kind.
func each[R any](r kv.Reader, kind byte, do func(id []byte, rec *R) error) error {
	return r.Scan(recordPrefix(kind), recordPrefix(kind+1), func(key, val []byte) error {
		rec := new(R)
		if err := lamppost.Unmarshal(val, rec); err != nil {
			return err
		}
		return do(bytes.Clone(key[len(Prefix)+1:]), rec)
	})
}
