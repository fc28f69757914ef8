package judge

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/triage"
	"github.com/lamppost/lamppost/internal/triage/joint"
)

// Quantities that a device reports together are judged together too, beside each by itself. What readings that stand beside each other in
// a report say of one moment is a row; the quantities are those of the device's first row.

const (
	momentMS = 1000 // readings of a row are so near to its first in time
	newNames = 100  // rows in a row with others than the quantities, until these are the quantities
	rowsKept = 64   // in a journal

	rowMemory = 80 // of each quantity, beside its vector and journal
)

// A quantity is one of several that are judged together. With another unit, or of another kind, it is another.
type quantity struct {
	Name string        `cbor:"1,keyasint"`
	Unit string        `cbor:"2,keyasint"`
	Kind lamppost.Kind `cbor:"3,keyasint"`
}

// A row is readings of the block that is being judged.
type row struct {
	device   *device
	first, n int
}

// A vector is what judges a device's rows.
type vector struct {
	unit    *unit
	strange int // rows in a row that had others than the quantities
}

// vectorBytes is the memory of a vector.
func vectorBytes(quantities int) int64 {
	return int64(joint.MostBytes(quantities) + quantities*(rowsKept*entryMemory+rowMemory))
}

// rowsOf finds the rows of a report whose readings are the work from an index on.
func (j *Judge) rowsOf(d *device, from int) {
	for n := 0; from < len(j.work); from += n {
		if n = j.rowAt(from); n < 2 {
			continue
		}
		j.rows = append(j.rows, row{d, from, n})
		j.rowLinks = append(j.rowLinks, link{at: j.work[from].Time})
		if d.rows.add(j.rowLinks) {
			j.together = append(j.together, d)
		}
	}
}

// rowAt is how many readings make a row: no name comes twice in it.
func (j *Judge) rowAt(from int) (n int) {
	j.rowNo++
	for at := j.work[from].Time; from+n < len(j.work); n++ {
		w := &j.work[from+n]
		if w.slot.row == j.rowNo || w.Time < at-momentMS || w.Time > at+momentMS {
			break
		}
		w.slot.row = j.rowNo
	}
	return n
}

// judgeRows judges what several quantities of a device say together.
func (j *Judge) judgeRows(d *device) {
	for i := d.rows.head; i >= 0; i = j.rowLinks[i].next {
		r := &j.rows[i]
		j.judgeRow(d, j.work[r.first:r.first+r.n])
	}
	d.rows = list{}
}

func (j *Judge) judgeRow(d *device, all []work) {
	known := j.known(d, all)
	if known < 2 {
		return
	}
	v, at, level := d.vector, all[0].Time, j.budget.level
	m := v.unit.model.(*vectorModel)
	if at <= m.at {
		return // it came late: what goes together is judged in order
	}
	if len(v.unit.journal)+known > v.unit.most {
		j.rebase(v.unit)
	}
	for i := range all {
		if place := m.place(&all[i]); place >= 0 {
			v.unit.journal = append(v.unit.journal, entry{at: at, bits: math.Float64bits(all[i].value), extra: uint64(level), unit: uint8(place)})
		}
	}
	entries := v.unit.journal[len(v.unit.journal)-known:]
	entries[known-1].kind = rowEnds
	for i := range entries {
		m.take(&entries[i])
	}
	j.counts.Rows++
	if said := m.judge(at, level); said.Alarm {
		j.foundTogether(d, all, &said, entries)
	}
}

// known is how many of a row's readings are among the device's quantities, which the row may be the first to have, or may change.
func (j *Judge) known(d *device, all []work) int {
	if d.vector == nil && !j.newVector(d, all) {
		return 0
	}
	v, known := d.vector, 0
	for i := range all {
		if v.unit.model.(*vectorModel).place(&all[i]) >= 0 {
			known++
		}
	}
	j.touchUnit(v.unit)
	if known == len(all) {
		v.strange = 0
		return known
	}
	if v.strange++; v.strange < newNames {
		return known
	}
	j.dropVector(d)
	if !j.newVector(d, all) {
		return 0
	}
	return len(all)
}

// newVector lets a row's quantities be judged together, if there is memory.
func (j *Judge) newVector(d *device, all []work) bool {
	if !j.room(vectorBytes(len(all)), j.cfg.Bytes) {
		return false
	}
	quantities := make([]quantity, 0, len(all))
	for i := range all {
		quantities = append(quantities, quantity{all[i].slot.name, all[i].Unit, all[i].Kind})
	}
	slices.SortFunc(quantities, func(a, b quantity) int { return strings.Compare(a.Name, b.Name) })
	d.vector = &vector{unit: vectorUnit(j.id(), d, quantities)}
	j.counts.Vectors++
	return d.place(quantities)
}

func vectorUnit(id uint64, d *device, quantities []quantity) *unit {
	most := rowsKept * len(quantities)
	return &unit{id: id, model: newVectorModel(d, quantities), most: most, journal: make([]entry, 0, most)}
}

// place lets a device's slots know their place among the quantities. It is false where one is missing.
func (d *device) place(quantities []quantity) bool {
	for _, s := range d.slots {
		s.place = -1
	}
	for i := range quantities {
		s := d.slot(quantities[i].Name)
		if s == nil {
			return false
		}
		s.place = i
	}
	return true
}

func (j *Judge) dropVector(d *device) {
	if d.vector == nil {
		return
	}
	j.drop(d.vector.unit)
	j.counts.Vectors--
	j.counts.Bytes -= vectorBytes(len(d.vector.unit.model.(*vectorModel).quantities))
	d.vector = nil
}

// foundTogether takes an alarm of a row. Where the reading that it is about has one of its own, that says it already.
func (j *Judge) foundTogether(d *device, all []work, said *joint.Verdict, row []entry) {
	m := d.vector.unit.model.(*vectorModel)
	name := m.about(said)
	w := &all[slices.IndexFunc(all, func(w work) bool { return w.slot.name == name })]
	if slices.ContainsFunc(j.found, func(f Found) bool {
		return f.Kind == lamppost.Anomaly && f.Tx == w.Tx && f.Report == w.Report && f.Record == w.Record
	}) {
		return
	}
	j.budget.alarm(len(j.devices))
	s := &savedVector{Device: d.id, Quantities: m.quantities, Level: int64(row[0].extra), At: row[0].at}
	for i := range row {
		s.Row = append(s.Row, savedValue{row[i].unit, row[i].bits})
	}
	v := m.anomaly(said, name)
	j.find([]lamppost.Verdict{v}, j.stateBefore(d.vector.unit, saved{Vector: s, From: w.slot.marks.from(w.Received)}), w)
}

// A vectorModel judges rows. Registers are judged by what was used since the last row that had them, an hour.
type vectorModel struct {
	*joint.Vector
	device     *device
	quantities []quantity
	at         lamppost.TimeMS // of the latest row; 0: none
	risen      lamppost.TimeMS // since when all scores reach the level; 0: the latest does not
	alarmed    lamppost.TimeMS // the row of the latest alarm,
	peak       float64         // and the highest score until scores were below the level again
	registers  []shown         // by quantity

	// The row that is being taken, which is not of the state.
	row     []float64
	present uint64
	judged  bool
}

// shown is what a register showed, and when; 0: never.
type shown struct {
	at    lamppost.TimeMS
	value float64
}

// rowEnds is an entry's kind: it is the last of its row. Until then nothing of the row is in the state.
const rowEnds = 1

func newVectorModel(d *device, quantities []quantity) *vectorModel {
	names := make([]string, len(quantities))
	for i := range names {
		names[i] = quantities[i].Name
	}
	v, _ := joint.New(names...) // they are 2 to 64, and differ
	return &vectorModel{Vector: v, device: d, quantities: quantities, registers: make([]shown, len(names)), row: make([]float64, len(names))}
}

// place is a reading's place among the quantities; -1: it has none.
func (m *vectorModel) place(w *work) int {
	place := w.slot.place
	if place < 0 || m.quantities[place].Unit != w.Unit || m.quantities[place].Kind != w.Kind {
		return -1
	}
	return place
}

// take puts a value into the row.
func (m *vectorModel) take(e *entry) {
	if m.judged {
		m.present, m.judged = 0, false
	}
	if int(e.unit) < len(m.row) {
		m.row[e.unit] = math.Float64frombits(e.bits)
		m.present |= 1 << e.unit
	}
}

// judge judges the row that was taken. Of what was put upon the levels of series a vector's takes as much in its own measure.
func (m *vectorModel) judge(at lamppost.TimeMS, level int64) joint.Verdict {
	present := m.used(at)
	m.at, m.judged = at, true
	m.Raise(float64(level) / billion * (joint.DefaultLevel / triage.DefaultLevel))
	v, err := m.Observe(at, m.row, present)
	if err != nil {
		return joint.Verdict{} // there was nothing in it yet: the first values of registers
	}
	switch {
	case v.Score < joint.DefaultLevel:
		m.risen = 0
	case m.risen == 0:
		m.risen = at
	}
	switch {
	case v.Alarm:
		m.alarmed, m.peak = at, v.Score
	case m.risen > 0 && m.risen <= m.alarmed:
		m.peak = max(m.peak, v.Score)
	}
	return v
}

// accept notes that what a verdict is about was called normal: not only its score, which the first rows had, but all that came of it so far.
func (m *vectorModel) accept(v *lamppost.Verdict) {
	score := float64(v.Score+1) / 1000 // it was rounded
	if v.At >= m.alarmed-momentMS && v.At <= m.alarmed+momentMS {
		score = max(score, m.peak+0.001)
	}
	m.Accept(score)
}

// used makes rates of registers, and returns what is then present: what no detector takes is missing.
func (m *vectorModel) used(at lamppost.TimeMS) (present uint64) {
	for i, x := range m.row {
		if m.present>>i&1 == 0 {
			continue
		}
		ok := true
		if m.quantities[i].Kind == lamppost.Register {
			before := m.registers[i]
			m.registers[i] = shown{at, x}
			ok = before.at > 0 && x >= before.value // a fall is a reset or an exchange
			m.row[i] = float64((x - before.value) / float64(at-before.at) * 3_600_000)
		}
		if ok && math.Abs(m.row[i]) <= triage.MaxValue {
			present |= 1 << i
		}
	}
	return present
}

// about is the quantity of the weightiest reason that is in the row.
func (m *vectorModel) about(v *joint.Verdict) string {
	first := ""
	for i := len(m.quantities) - 1; i >= 0; i-- {
		if m.present>>i&1 == 1 {
			first = m.quantities[i].Name
		}
	}
	for i := range v.Reasons {
		place := slices.IndexFunc(m.quantities, func(q quantity) bool { return q.Name == v.Reasons[i].Quantity })
		if m.present>>place&1 == 1 {
			return v.Reasons[i].Quantity
		}
	}
	return first
}

// anomaly says what was found, as a verdict on the reading of a name.
func (m *vectorModel) anomaly(v *joint.Verdict, name string) lamppost.Verdict {
	out := lamppost.Verdict{Kind: lamppost.Anomaly, Score: thousandths(v.Score), Level: thousandths(m.Level()), Since: m.risen}
	for i := range v.Reasons {
		r := &v.Reasons[i]
		reason := lamppost.VerdictReason{Code: r.Code.String(), Value: quantise(r.Value), Low: quantise(r.Low), High: quantise(r.High), Other: r.Other,
			Share: share(r.Worth, v.Score)}
		if r.Quantity != name {
			reason.Name = r.Quantity
		}
		out.Reasons = append(out.Reasons, reason)
	}
	return out
}

// isTogether says whether a vector found it, rather than a series.
func isTogether(v *lamppost.Verdict) bool {
	return v.Kind == lamppost.Anomaly && (v.Reasons[0].Code == joint.Relation.String() || v.Reasons[0].Code == joint.Level.String())
}

func (m *vectorModel) fresh() model { return newVectorModel(m.device, m.quantities) }

func (m *vectorModel) replay(e *entry) {
	if m.take(e); e.kind == rowEnds {
		m.judge(e.at, int64(e.extra))
	}
}

// What follows the state of package joint: at, risen, alarmed, peak, and time and value of each register, 0 of others.
func (m *vectorModel) append(b []byte) []byte {
	b, _ = m.AppendBinary(b) // never fails
	b = binary.BigEndian.AppendUint64(b, uint64(m.at))
	b = binary.BigEndian.AppendUint64(b, uint64(m.risen))
	b = binary.BigEndian.AppendUint64(b, uint64(m.alarmed))
	b = binary.BigEndian.AppendUint64(b, math.Float64bits(m.peak))
	for _, r := range m.registers {
		b = binary.BigEndian.AppendUint64(b, uint64(r.at))
		b = binary.BigEndian.AppendUint64(b, math.Float64bits(r.value))
	}
	return b
}

func (m *vectorModel) load(b []byte) error {
	own := len(b) - 16*(2+len(m.registers))
	if own < 0 {
		return errState
	}
	if err := m.UnmarshalBinary(b[:own]); err != nil {
		return err
	}
	word := func() (u uint64) {
		u, own = binary.BigEndian.Uint64(b[own:]), own+8
		return u
	}
	m.at, m.risen, m.alarmed, m.peak = lamppost.TimeMS(word()), lamppost.TimeMS(word()), lamppost.TimeMS(word()), math.Float64frombits(word())
	for i := range m.registers {
		m.registers[i] = shown{lamppost.TimeMS(word()), math.Float64frombits(word())}
	}
	return nil
}
