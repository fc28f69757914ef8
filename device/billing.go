package device

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/lamppost/lamppost"
)

// Billing makes the daily billing report of one register (architecture.md §4): its value at each edge of the day, an
// edge being a UTC quarter hour at which a price may change. All methods may be called concurrently.
//
// An edge's value is that of the reading closest to it within [lamppost.EdgeToleranceMS]; an edge without one is left
// out. Values are kept on disk until their report is in the queue, and that report is always durable, whatever
// [Config.Durability] says: bills are made of it.
type Billing struct {
	d          *Device
	name, unit string
	edges      func(lamppost.TimeMS) []lamppost.TimeMS

	mu     sync.Mutex // guards what follows; taken before the Device's
	j      *journal
	held   map[lamppost.TimeMS]edgeValue // by edge: not signed yet
	signed map[lamppost.TimeMS]bool      // edges that are in a report already
	sealed []sealedReport                // found at the start, signed and perhaps not in the queue
	day    lamppost.TimeMS               // the day of wanted; -1 at first
	wanted []lamppost.TimeMS             // its edges
	failed error
}

// edgeValue is the reading held for an edge.
type edgeValue struct {
	time  lamppost.TimeMS
	value lamppost.Decimal
}

// A sealedReport is a billing report between its signature and the queue. A crash there puts it into the queue again
// with the same bytes, so that a day is never reported under two numbers.
type sealedReport struct {
	seq lamppost.Seq
	raw []byte
}

// The journal's records: recEdge is edge (8 bytes), time (8), mantissa (8), exponent (1); recSealed is epoch (4), number
// (8), the report; recQueued is epoch and number of a sealed report that is in the queue; recSigned is an edge (8).
const (
	edgesMagic = "lpedges1"

	recEdge   = 1
	recSealed = 2
	recQueued = 3
	recSigned = 4

	dayMS     lamppost.TimeMS = 24 * 3600 * 1000
	maxTimeMS lamppost.TimeMS = 1 << 52
)

// Billing returns the billing of the register of this name and SenML unit. edges names the edges of the UTC day that
// begins at its argument, in any order; what is not a UTC quarter hour of that day is passed over. The day's beginning
// always is an edge, and the only one if edges is nil. A register has one Billing in a process.
func (d *Device) Billing(name, unit string, edges func(dayStart lamppost.TimeMS) []lamppost.TimeMS) (*Billing, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.usable(); err != nil {
		return nil, err
	}
	if d.cfg.Cold {
		return nil, fmt.Errorf("billing of %q: the device calls its reports cold", name)
	}
	if len(name) == 0 || len(name) > lamppost.MaxReadingNameBytes || len(unit) > lamppost.MaxUnitBytes {
		return nil, fmt.Errorf("billing of %q in %q: the name or the unit is too long or missing", name, unit)
	}
	if d.billings[name] != nil {
		return nil, fmt.Errorf("billing of %q: it is open already", name)
	}
	if edges == nil {
		edges = func(lamppost.TimeMS) []lamppost.TimeMS { return nil }
	}
	b := &Billing{d: d, name: name, unit: unit, edges: edges, day: -1,
		held: make(map[lamppost.TimeMS]edgeValue), signed: make(map[lamppost.TimeMS]bool)}
	var err error
	if b.j, err = openJournal(d.disk, edgesFile(name), edgesMagic, b.replay); err == nil {
		err = b.resume()
	}
	if err != nil {
		return nil, fmt.Errorf("billing of %q: %w", name, err)
	}
	d.billings[name] = b
	return b, nil
}

// resume puts the reports into the queue that a crash kept from it. The caller holds the Device's mutex.
func (b *Billing) resume() error {
	for _, s := range b.sealed {
		if err := b.d.enqueue(s.seq, s.raw, true); err != nil {
			return errors.Join(err, b.j.close())
		}
		if _, err := b.j.append(recQueued, encodeSeq(s.seq)); err != nil {
			return errors.Join(err, b.j.close())
		}
	}
	b.sealed = nil
	return nil
}

// edgesFile names the file by a hash, because a reading's name may hold what a file name may not.
func edgesFile(name string) string {
	sum := sha256.Sum256([]byte(name))
	return fmt.Sprintf("edges-%x", sum[:8])
}

func (b *Billing) replay(rec record) error {
	switch {
	case rec.kind == recEdge && len(rec.body) == 25:
		edge := decodeTime(rec.body)
		if b.signed[edge] {
			return nil // an old record that a power loss brought back
		}
		b.held[edge] = edgeValue{decodeTime(rec.body[8:]),
			lamppost.Dec(int64(binary.BigEndian.Uint64(rec.body[16:])), int8(rec.body[24]))}
	case rec.kind == recSealed && len(rec.body) > seqBytes:
		s := sealedReport{decodeSeq(rec.body), slices.Clone(rec.body[seqBytes:])}
		b.sealed = append(b.sealed, s)
		return b.markSigned(s.raw)
	case rec.kind == recQueued && len(rec.body) == seqBytes:
		b.sealed = slices.DeleteFunc(b.sealed, func(s sealedReport) bool { return s.seq == decodeSeq(rec.body) })
	case rec.kind == recSigned && len(rec.body) == 8:
		b.signed[decodeTime(rec.body)] = true
	default:
		return fmt.Errorf("a record of kind %d has %d bytes", rec.kind, len(rec.body))
	}
	return nil
}

func encodeTime(t lamppost.TimeMS) []byte { return binary.BigEndian.AppendUint64(nil, uint64(t)) }

func decodeTime(b []byte) lamppost.TimeMS { return lamppost.TimeMS(binary.BigEndian.Uint64(b)) }

// markSigned takes the edges of a signed report out of what is held. A reading tells its edge: it is the nearest one.
func (b *Billing) markSigned(raw []byte) error {
	var report lamppost.Report
	if err := report.Decode(raw); err != nil {
		return fmt.Errorf("reading a billing report: %w", err)
	}
	for i := range report.Readings {
		edge := nearestEdge(report.Readings[i].Time)
		delete(b.held, edge)
		b.signed[edge] = true
	}
	return nil
}

// Observe takes in the register's value at a time by the device's clock, which must be set before billing begins. A value
// to keep is durable when Observe returns, but for one before its edge that replaces an earlier one: after a power loss
// the earlier one stands. When t is the first in a later UTC day than a value kept, that day's report is signed and put
// into the queue; [ErrQueueFull] leaves this to the next Observe.
func (b *Billing) Observe(t lamppost.TimeMS, value lamppost.Decimal) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failed != nil {
		return b.failed
	}
	if _, ok := value.At(value.Exponent); !ok || t != min(max(t, -maxTimeMS), maxTimeMS) {
		return fmt.Errorf("billing of %q: %s at %d ms has too many digits to be signed", b.name, value, t)
	}
	if err := b.keep(t, value); err != nil {
		return b.fail(err)
	}
	return b.signDays(t)
}

// Flush signs all that is kept, days that are not over included, one report a day. Values observed later for other edges
// of such a day make another report.
func (b *Billing) Flush() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failed != nil {
		return b.failed
	}
	return b.signDays(2 * maxTimeMS)
}

// close ends the billing; what it holds stays on disk.
func (b *Billing) close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failed = fmt.Errorf("billing of %q: %w", b.name, ErrClosed)
	return b.j.close()
}

// fail stops this billing after an error of the disk. The caller holds b.mu.
func (b *Billing) fail(err error) error {
	b.failed = fmt.Errorf("billing of %q: %w", b.name, err)
	return b.failed
}

// keep holds the value if no closer one is held for its edge.
func (b *Billing) keep(t lamppost.TimeMS, value lamppost.Decimal) error {
	edge := nearestEdge(t)
	if distance(t, edge) > lamppost.EdgeToleranceMS || b.signed[edge] || !b.wants(edge) {
		return nil
	}
	old, known := b.held[edge]
	if known && distance(old.time, edge) <= distance(t, edge) {
		return nil
	}
	mantissa := binary.BigEndian.AppendUint64(nil, uint64(value.Mantissa))
	_, err := b.j.append(recEdge, encodeTime(edge), encodeTime(t), mantissa, []byte{byte(value.Exponent)})
	if err == nil && (!known || t >= edge) { // so that a reading a second costs two or three syncs an edge, not sixty
		err = b.j.sync()
	}
	if err != nil {
		return err
	}
	b.held[edge] = edgeValue{t, value}
	return nil
}

// wants reports whether the edge is one of its day's.
func (b *Billing) wants(edge lamppost.TimeMS) bool {
	day := dayOf(edge)
	if day == edge {
		return true
	}
	if day != b.day {
		b.day, b.wanted = day, b.edges(day)
	}
	return slices.Contains(b.wanted, edge)
}

// signDays signs every day that was over at t and has values held, the earliest first.
func (b *Billing) signDays(t lamppost.TimeMS) error {
	for len(b.held) > 0 {
		edges := slices.Sorted(maps.Keys(b.held))
		day := dayOf(edges[0])
		if day+dayMS > t {
			return nil
		}
		n := slices.IndexFunc(edges, func(e lamppost.TimeMS) bool { return dayOf(e) != day })
		if n < 0 {
			n = len(edges)
		}
		if err := b.signDay(edges[:n]); err != nil {
			return err
		}
	}
	return nil
}

// signDay makes the report of one day: signed, then durable here, then durable in the queue, then no longer needed here.
func (b *Billing) signDay(edges []lamppost.TimeMS) error {
	readings := make([]lamppost.Reading, len(edges))
	for i, edge := range edges {
		v := b.held[edge]
		readings[i] = lamppost.Reading{Name: b.name, Unit: b.unit, Kind: lamppost.Register, Time: v.time, Value: v.value}
	}
	b.d.mu.Lock()
	seq, raw, err := b.d.sign(lamppost.FlagBilling, readings)
	b.d.mu.Unlock()
	if err != nil {
		return fmt.Errorf("billing of %q: %w", b.name, err)
	}
	if _, err = b.j.append(recSealed, encodeSeq(seq), raw); err == nil {
		err = b.j.sync()
	}
	if err == nil {
		b.d.mu.Lock()
		err = b.d.enqueue(seq, raw, true)
		b.d.mu.Unlock()
	}
	if err == nil {
		_, err = b.j.append(recQueued, encodeSeq(seq))
	}
	if err == nil {
		err = b.markSigned(raw)
	}
	if err == nil && b.j.size > b.d.cfg.compactEdges {
		err = b.compact()
	}
	if err != nil {
		return b.fail(err)
	}
	return nil
}

// compact rewrites the journal with the edges that matter. The oldest signed ones are forgotten: only a reading as old
// would bring one back.
func (b *Billing) compact() error {
	signed := slices.Sorted(maps.Keys(b.signed))
	for _, edge := range signed[:max(0, len(signed)-maxSignedEdges)] {
		delete(b.signed, edge)
	}
	return b.j.rewrite(func(add func(byte, ...[]byte) (int64, error)) error {
		for _, edge := range slices.Sorted(maps.Keys(b.signed)) {
			if _, err := add(recSigned, encodeTime(edge)); err != nil {
				return err
			}
		}
		for edge, v := range b.held {
			mantissa := binary.BigEndian.AppendUint64(nil, uint64(v.value.Mantissa))
			if _, err := add(recEdge, encodeTime(edge), encodeTime(v.time), mantissa, []byte{byte(v.value.Exponent)}); err != nil {
				return err
			}
		}
		return nil
	})
}

func nearestEdge(t lamppost.TimeMS) lamppost.TimeMS {
	return floor(t+lamppost.EdgeMS/2, lamppost.EdgeMS)
}

func dayOf(t lamppost.TimeMS) lamppost.TimeMS { return floor(t, dayMS) }

// floor rounds down to a multiple of unit, also before 1970.
func floor(t, unit lamppost.TimeMS) lamppost.TimeMS {
	rest := t % unit
	if rest < 0 {
		rest += unit
	}
	return t - rest
}

func distance(a, b lamppost.TimeMS) lamppost.TimeMS { return max(a-b, b-a) }
