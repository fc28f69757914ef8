// Package judge knows what is unusual, and what cannot be, in the readings of all devices of a ledger: it reads committed blocks in order and
// returns verdicts.
//
// Start reading at [Judge.Next]. It sorts a block's readings by their series and lets packages triage and plausible judge them; orders.go
// follows what the ledger says of points, devices and earlier verdicts; unit.go keeps what a verdict can be replayed from ([Replay]).
// docs/intelligence.md has how it runs in a node.
//
// What it promises: the same blocks give the same verdicts and the same states on every machine, whether or not it was saved and opened
// between them; memory is bounded; a reading allocates nothing once its series is known. What it does not: it orders nothing, knows no
// clock or network, and does not say what follows from a verdict. It is not for concurrent use.
package judge

import (
	"cmp"
	"crypto/sha256"
	"math"
	"slices"
	"strings"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/triage"
)

// Limits.
const (
	DefaultBytes = 512 << 20 // of memory for detectors
	MaxNames     = 64        // readings' names of a device that are judged
	maxUnits     = 16        // units that a series had
	maxWork      = 4096      // readings after which those that came are sorted and judged; reports stay whole
)

// Config says whose verdicts wait to be ordered, and how much memory there is.
type Config struct {
	Records kv.Reader         // that holds what Save staged
	Bytes   int64             // of memory for detectors, and a quarter of it for meters; 0: DefaultBytes
	Member  lamppost.MemberID // who orders verdicts on what it, or a gateway it answers for, signed; empty: nobody
	// Verdict returns what an order said, for reviews of it. Nil: reviews change nothing.
	Verdict func(lamppost.VerdictID) (*lamppost.Verdict, error)
}

// A Block is what was committed at a height. Of an erased transaction there is nothing, of a thinned segment what was kept.
type Block struct {
	Height lamppost.Height
	Time   lamppost.TimeMS
	Txs    []Tx
}

// A Tx is a transaction with what became of it.
type Tx struct {
	*lamppost.Transaction // nil: erased
	Outcomes              []lamppost.Outcome
	Places                []uint32 // of the reports in their segment; nil: all are there
}

// Found is a verdict, and what it can be replayed from.
type Found struct {
	lamppost.Verdict
	By    lamppost.MemberID // who answers for the segment
	State []byte            // see Replay
}

// Counts are of all that was judged since the Judge was opened; Series, Vectors and Bytes are as of now.
type Counts struct {
	Readings  uint64 // judged by a detector, in order
	Registers uint64 // judged by rules of plausibility
	Rows      uint64 // of several quantities that were judged together
	NotJudged uint64 // for want of memory or names
	Late      uint64 // that were not younger than the latest of their series, and were judged by what needs no order
	Passed    uint64 // faulty, too far ahead, of another unit, or late where there is nothing to hold them against: not judged at all
	Verdicts  [lamppost.Behaviour + 1]uint64
	Series    int
	Vectors   int // of several quantities
	Bytes     int64
}

// A Judge judges blocks.
type Judge struct {
	cfg    Config
	height lamppost.Height
	time   lamppost.TimeMS
	counts Counts

	devices   map[lamppost.DeviceID]*device
	points    map[string]*point
	registers map[registerOf][]*point                 // that are at points
	gateways  map[lamppost.MemberID]lamppost.MemberID // who answers for them
	budget    budget
	nextID    uint64
	waiting   []lamppost.Verdict // of Config.Member, not yet seen in an order
	said      lamppost.Height    // up to where Config.Member ordered

	// Of the block that is being judged.
	report   lamppost.Report
	work     []work
	links    []link // of the work
	touched  []*slot
	grouped  []int32 // registers among the work that are judged with others
	rows     []row
	rowLinks []link // of the rows
	rowNo    uint64
	together []*device // that have rows
	found    []Found

	// Since the last Save.
	bases     map[uint64][]byte // by unit
	gone      []uint64          // units and slots that are no more
	erased    []lamppost.DeviceID
	failed    error
	dirtyUnit []*unit
	dirtySlot []*slot
	newPoints map[string]bool
	baseBytes int
	chunk     []byte
}

// A device is one whose readings came.
type device struct {
	id     lamppost.DeviceID
	slots  []*slot
	vector *vector // nil: nothing came together, or there was no memory
	rows   list
}

// A slot is a quantity of a device: a name.
type slot struct {
	id     uint64
	device *device
	name   string
	units  []string
	marks  marks
	lastAt lamppost.TimeMS // latest reading by the device's clock
	begun  bool
	series *unit // nil: there was no memory
	roles  []role
	place  int // among the quantities of its device that are judged together; -1: none
	dirty  bool

	readings list   // in the block's work
	row      uint64 // the latest that has it
}

// work is a reading of the block that is being judged.
type work struct {
	Reading
	slot  *slot
	by    lamppost.MemberID
	unit  uint8
	value float64

	judged, late bool
}

// New returns a Judge that has seen nothing.
func New(cfg Config) *Judge {
	if cfg.Bytes == 0 {
		cfg.Bytes = DefaultBytes
	}
	return &Judge{cfg: cfg, devices: map[lamppost.DeviceID]*device{}, points: map[string]*point{}, registers: map[registerOf][]*point{}, gateways: map[lamppost.MemberID]lamppost.MemberID{},
		bases: map[uint64][]byte{}, newPoints: map[string]bool{}, nextID: 1, budget: budget{per1000Week: lamppost.DefaultAlarmBudget}}
}

// Height is that of the last block.
func (j *Judge) Height() lamppost.Height { return j.height }

// Counts says what was judged.
func (j *Judge) Counts() Counts { return j.counts }

// Next judges the block that follows. What it returns, in the order of the readings, is its own until the next call.
func (j *Judge) Next(b *Block) []Found {
	j.height, j.time, j.found = b.Height, b.Time, j.found[:0]
	for i := range b.Txs {
		tx := &b.Txs[i]
		switch {
		case tx.Transaction == nil:
		case tx.Type == lamppost.TxSegment:
			j.segment(tx, uint32(i))
		case len(tx.Outcomes) > 0 && tx.Outcomes[0].Code.Accepted():
			j.flush()
			j.order(tx)
		}
	}
	j.flush()
	j.found = once(j.found)
	for i := range j.found {
		f := &j.found[i]
		j.counts.Verdicts[f.Kind]++
		if j.cfg.Member != "" && f.By == j.cfg.Member {
			j.waiting = append(j.waiting, f.Verdict)
		}
	}
	return j.found
}

// once sorts verdicts by their readings. Of a main meter's register there may be two on the same reading, by itself and by its group: the ledger
// takes one, and what suspends comes first.
func once(all []Found) []Found {
	slices.SortStableFunc(all, func(a, b Found) int {
		if c := comparePlaces(&a.Verdict, &b.Verdict); c != 0 || a.Suspends == b.Suspends {
			return c
		}
		if a.Suspends {
			return -1
		}
		return 1
	})
	return slices.CompactFunc(all, func(a, b Found) bool { return Same(&a.Verdict, &b.Verdict) })
}

func comparePlaces(a, b *lamppost.Verdict) int {
	return cmp.Or(cmp.Compare(a.Tx, b.Tx), cmp.Compare(a.Report, b.Report), cmp.Compare(a.Record, b.Record), cmp.Compare(a.Kind, b.Kind),
		cmp.Compare(a.Device, b.Device), cmp.Compare(a.Name, b.Name))
}

// segment takes the readings of a segment's accepted reports.
func (j *Judge) segment(tx *Tx, index uint32) {
	by := tx.Header.Gateway
	if answers, ok := j.gateways[by]; ok {
		by = answers
	}
	for i := range tx.Items {
		if tx.Outcomes[i].Code != lamppost.CodeOK || j.report.Decode(tx.Items[i].Report) != nil {
			continue
		}
		r := Reading{Height: j.height, Tx: index, Report: uint32(i), Received: tx.Items[i].Received, Device: j.report.Device, Billing: j.report.Billing()}
		if tx.Places != nil {
			r.Report = tx.Places[i]
		}
		d := j.devices[r.Device]
		if d == nil {
			d = j.newDevice(r.Device)
		}
		r.Device = d.id // the report's aliases its bytes
		from := len(j.work)
		for k := range j.report.Readings {
			r.Record, r.Reading = uint32(k), j.report.Readings[k]
			j.take(d, &r, by)
		}
		if j.rowsOf(d, from); len(j.work) >= maxWork {
			j.flush()
		}
	}
}

func (j *Judge) newDevice(id lamppost.DeviceID) *device {
	d := &device{id: lamppost.DeviceID(strings.Clone(string(id)))}
	j.devices[d.id] = d
	return d
}

// take puts a reading to the others of its series.
func (j *Judge) take(d *device, r *Reading, by lamppost.MemberID) {
	if r.Name == lamppost.FirmwareName && r.Kind == lamppost.Gauge {
		return // the number of an image is no quantity
	}
	if r.Quality == lamppost.Faulty || r.Time < 0 || r.Time > r.Received+lamppost.MaxAheadMS {
		j.counts.Passed++
		return
	}
	s := d.slot(r.Name)
	if s == nil {
		if s = j.newSlot(d, r.Name); s == nil {
			j.counts.NotJudged++
			return
		}
	}
	unit, ok := s.unit(r.Unit)
	if !ok {
		j.counts.NotJudged++
		return
	}
	r.Name, r.Unit = s.name, s.units[unit]
	j.work = append(j.work, work{Reading: *r, slot: s, by: by, unit: unit, value: r.number()})
	j.links = append(j.links, link{at: r.Time})
	if s.readings.add(j.links) {
		j.touched = append(j.touched, s)
	}
}

func (d *device) slot(name string) *slot {
	for _, s := range d.slots {
		if s.name == name {
			return s
		}
	}
	return nil
}

func (j *Judge) newSlot(d *device, name string) *slot {
	if len(d.slots) == MaxNames {
		return nil
	}
	s := &slot{id: j.id(), device: d, name: strings.Clone(name), place: -1}
	d.slots = append(d.slots, s)
	j.attach(s)
	if j.room(seriesBytes, j.cfg.Bytes) {
		s.series = j.newUnit(newSeriesModel(s), seriesJournal)
		j.counts.Series++
	}
	return s
}

func (j *Judge) id() uint64 {
	j.nextID++
	return j.nextID - 1
}

// room takes memory if there is some.
func (j *Judge) room(bytes, most int64) bool {
	if j.counts.Bytes+bytes > most {
		return false
	}
	j.counts.Bytes += bytes
	return true
}

func (s *slot) unit(unit string) (uint8, bool) {
	for i, u := range s.units {
		if u == unit {
			return uint8(i), true
		}
	}
	if len(s.units) == maxUnits {
		return 0, false
	}
	s.units = append(s.units, strings.Clone(unit))
	return uint8(len(s.units) - 1), true
}

// number is a reading's value as detectors take it: the nearest double.
func (r *Reading) number() float64 {
	if r.IsFloat {
		return r.Float
	}
	return decimalFloat(r.Value)
}

func decimalFloat(d lamppost.Decimal) float64 {
	if d.Exponent == 0 {
		return float64(d.Mantissa)
	}
	return float64(d.Mantissa) / pow10(-d.Exponent)
}

func pow10(n int8) float64 {
	x := 1.0
	for ; n > 0; n-- {
		x = float64(x * 10) // exact up to 10^22
	}
	return x
}

// flush judges what has come: first each series by itself, so that its state is fetched once, then what each device said together, then
// registers.
func (j *Judge) flush() {
	if len(j.work) == 0 {
		return
	}
	for _, s := range j.touched {
		j.touchSlot(s)
		if s.series != nil {
			j.touchUnit(s.series)
			for i := s.readings.head; i >= 0; i = j.links[i].next {
				j.observe(s, &j.work[i])
			}
		}
	}
	for _, d := range j.together {
		j.judgeRows(d)
	}
	j.judgeRegisters()
	for i := range j.work {
		w := &j.work[i]
		w.slot.readings = list{}
		switch {
		case w.slot.series == nil:
			j.counts.NotJudged++
		case !w.judged:
			j.counts.Passed++
		}
		if w.judged && w.late {
			j.counts.Late++
		}
		w.slot.pass(w.Received, w.Time)
	}
	j.budget.settle(len(j.devices))
	j.work, j.links, j.touched = j.work[:0], j.links[:0], j.touched[:0]
	j.rows, j.rowLinks, j.together = j.rows[:0], j.rowLinks[:0], j.together[:0]
}

// pass notes that a reading was judged.
func (s *slot) pass(received, at lamppost.TimeMS) {
	s.marks.add(received)
	if !s.begun || at > s.lastAt {
		s.lastAt, s.begun = at, true
	}
}

// observe lets a series judge a reading.
func (j *Judge) observe(s *slot, w *work) {
	m, level := s.series.model.(*seriesModel), j.budget.level
	e := entry{at: w.Time, bits: math.Float64bits(w.value), extra: uint64(level), kind: uint8(w.Kind), unit: w.unit}
	before := m.at
	j.note(s.series, e)
	v, err := m.observe(&e)
	w.late = err == triage.ErrLate || v.LatestMS != 0
	if err != nil || w.late && !v.Alarm { // the model is as it was
		s.series.unnote()
	}
	if err != nil || w.late && v.Fresh {
		return
	}
	w.judged = true
	if !w.late {
		j.counts.Readings++
	}
	if s == s.device.slots[0] && before > 0 && !w.late {
		j.budget.pass(w.Time - before)
	}
	if !v.Alarm {
		return
	}
	j.budget.alarm(len(j.devices))
	state := saved{Series: &savedSeries{Device: s.device.id, Name: s.name, Units: s.units, Level: level}, From: s.marks.from(w.Received)}
	j.find([]lamppost.Verdict{anomaly(&v, m.Level())}, j.stateBefore(s.series, state), w)
}

// find takes verdicts on a reading, with the state before it.
func (j *Judge) find(all []lamppost.Verdict, before saved, w *work) {
	state := before.encode()
	for i := range all {
		place(&all[i], &w.Reading, before.From, sha256.Sum256(state))
		j.found = append(j.found, Found{Verdict: all[i], By: w.by, State: state})
	}
}
