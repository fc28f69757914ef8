package api

import (
	"strconv"
	"strings"
	"sync"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/tariff"
)

// Live is what people want to see at once: the twin of every device – its latest readings and their recent history – and
// totals over everything. It is fed with committed blocks by Observe and is not durable: Rebuild fills it at the start.
//
// Observe runs on the way of every block, so it does little: each accepted report is read once, under one lock, without
// allocation once a device's series are known. Readers copy what they need in short turns. All methods may be called
// concurrently.
type Live struct {
	slack lamppost.TimeMS // on the node's clock, for what is under way

	mu     sync.Mutex // guards everything below
	twins  map[lamppost.DeviceID]*twin
	order  []*twin // as they came, for reading in turns
	series int     // of all twins
	totals totals
	report lamppost.Report // memory for decoding
	subs   map[*subscription]struct{}
}

// totals count since the first block that was observed or rebuilt from.
type totals struct {
	since    lamppost.TimeMS // time of that block
	height   lamppost.Height // of the last block
	reports  uint64          // accepted, each once
	readings uint64          // in them
	wh       energy
	billed   map[string]lamppost.Micro
	refused  [256]uint64 // by code
}

// A twin is the latest known state of a device.
type twin struct {
	id       lamppost.DeviceID
	received lamppost.TimeMS // when its last report came
	pause    lamppost.TimeMS // usual time between two reports; 0: not known
	series   []*series
	acked    *acked // nil: none was seen
}

// An acked is the latest acknowledgement of a command by the device itself. It is replaced, never changed.
type acked struct {
	lamppost.Ack
	seq      lamppost.Seq
	received lamppost.TimeMS
	time     lamppost.TimeMS // of its readings, on the device's clock
}

// A series is the readings of one name of one device.
type series struct {
	first lamppost.Reading // earliest: what is counted begins there; its name is not kept
	last  lamppost.Reading // its strings are the series' own
	ring  ring
}

// NewLive returns an empty Live for a clock that runs speed times as fast as the wall's.
func NewLive(speed float64) *Live {
	l := &Live{slack: lamppost.TimeMS(slackMS * speed), twins: map[lamppost.DeviceID]*twin{}, subs: map[*subscription]struct{}{}}
	l.totals.billed = map[string]lamppost.Micro{}
	return l
}

// Observe takes in a committed block. It keeps nothing of ev. It is what replica.Config.Committed calls.
func (l *Live) Observe(ev *replica.Event) {
	news := Block{Height: ev.Block.Height, Time: ev.Block.Time, Transactions: len(ev.Txs)}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.totals.since == 0 {
		l.totals.since = ev.Block.Time
	}
	l.totals.height = ev.Block.Height
	reports, readings := l.totals.reports, l.totals.readings
	for i, tx := range ev.Txs {
		l.observe(tx, ev.Result.Outcomes[i])
	}
	news.Reports, news.Readings = l.totals.reports-reports, l.totals.readings-readings
	for s := range l.subs {
		s.add(&news)
	}
}

func (l *Live) observe(tx *lamppost.Transaction, outcomes []lamppost.Outcome) {
	if tx.Type == lamppost.TxSegment {
		l.observeSegment(tx.Items, outcomes)
		return
	}
	if len(outcomes) == 0 {
		return
	}
	if !outcomes[0].Code.Accepted() {
		l.totals.refused[outcomes[0].Code]++
		return
	}
	switch tx.Type {
	case lamppost.TxDevice:
		var b lamppost.DeviceBody
		if outcomes[0].Code == lamppost.CodeOK && lamppost.Unmarshal(tx.Order.Body, &b) == nil {
			l.twin(lamppost.DeviceID(strings.Clone(string(b.ID))))
		}
	case lamppost.TxErase:
		var b lamppost.EraseBody
		if lamppost.Unmarshal(tx.Order.Body, &b) == nil && l.twins[b.Device] != nil {
			l.twins[b.Device].forget(l)
		}
	case lamppost.TxInvoice, lamppost.TxCorrect:
		var inv tariff.Invoice
		if outcomes[0].Code == lamppost.CodeOK && lamppost.Unmarshal(outcomes[0].Data, &inv) == nil {
			l.bill(&inv)
		}
	}
}

func (l *Live) bill(inv *tariff.Invoice) {
	if sum, ok := l.totals.billed[inv.Currency].Add(inv.Due()); ok {
		l.totals.billed[strings.Clone(inv.Currency)] = sum
	}
}

// observeSegment counts every report by its outcome and reads the accepted ones.
func (l *Live) observeSegment(items []lamppost.SegmentItem, outcomes []lamppost.Outcome) {
	r := &l.report
	for i := range items {
		if i >= len(outcomes) {
			break
		}
		if code := outcomes[i].Code; code != lamppost.CodeOK {
			l.totals.refused[code]++ // duplicates too: they are told apart when shown
			continue
		}
		if r.Decode(items[i].Report) != nil {
			continue // an accepted report can be read; if not, there is nothing to show
		}
		l.totals.reports++
		l.totals.readings += uint64(len(r.Readings))
		t := l.twins[r.Device]
		if t == nil {
			t = l.twin(lamppost.DeviceID(strings.Clone(string(r.Device))))
		}
		t.seen(items[i].Received)
		acks := false
		for j := range r.Readings {
			if lamppost.IsAck(r.Readings[j].Name) {
				acks = true
				continue
			}
			l.take(t, &r.Readings[j])
		}
		if acks {
			t.acks(r, items[i].Received)
		}
	}
	r.Device, r.Readings = "", r.Readings[:0] // they alias the block's bytes
}

// twin returns a device's twin, making it where there is none. The id is kept.
func (l *Live) twin(id lamppost.DeviceID) *twin {
	t := l.twins[id]
	if t == nil {
		t = &twin{id: id}
		l.twins[id] = t
		l.order = append(l.order, t)
	}
	return t
}

// acks keeps an acknowledgement, unless a later report had one: reports come in any order.
func (t *twin) acks(r *lamppost.Report, received lamppost.TimeMS) {
	a, ok := lamppost.ReadAck(r.Readings)
	if was := t.acked; !ok || was != nil && (r.Seq.Epoch < was.seq.Epoch || r.Seq.Epoch == was.seq.Epoch && r.Seq.N <= was.seq.N) {
		return
	}
	x := &acked{Ack: a, seq: r.Seq, received: received}
	for i := range r.Readings {
		if r.Readings[i].Name == lamppost.DesiredName {
			x.time = r.Readings[i].Time
		}
	}
	t.acked = x
}

// ack returns the latest acknowledgement of a device, nil if none was seen.
func (l *Live) ack(id lamppost.DeviceID) *acked {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := l.twins[id]; t != nil {
		return t.acked
	}
	return nil
}

// reading returns the latest reading of a name.
func (l *Live) reading(id lamppost.DeviceID, name string) (lamppost.Reading, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := l.twins[id]; t != nil {
		if s := t.find(name); s != nil {
			return s.last, true
		}
	}
	return lamppost.Reading{}, false
}

// forget drops all that reports said.
func (t *twin) forget(l *Live) {
	l.series -= len(t.series)
	t.series, t.acked = nil, nil
}

// seen notes that a report came. Reports that were on their way together do not count as a pause.
func (t *twin) seen(at lamppost.TimeMS) {
	if pause := at - t.received; t.received != 0 && pause > 0 {
		if t.pause == 0 {
			t.pause = pause
		} else {
			t.pause += (pause - t.pause) / 8
		}
	}
	t.received = max(t.received, at)
}

// online says whether a device still reports as often as it used to.
func (t *twin) online(now, slack lamppost.TimeMS) bool {
	patience := unknownOnlineMS
	if t.pause > 0 {
		patience = min(maxOnlineMS, max(minOnlineMS, 3*t.pause))
	}
	return t.received != 0 && now-t.received <= patience+slack
}

// take makes a reading its series' last one, unless a later one is known.
func (l *Live) take(t *twin, x *lamppost.Reading) {
	s := t.find(x.Name)
	if s == nil {
		if len(t.series) == maxSeries {
			return
		}
		s = &series{}
		s.last.Name, s.last.Unit = strings.Clone(x.Name), strings.Clone(x.Unit)
		s.first = lamppost.Reading{Time: x.Time, Kind: x.Kind, Unit: s.last.Unit, Value: x.Value}
		t.series = append(t.series, s)
		l.series++
	} else if x.Time < s.last.Time {
		if x.Time < s.first.Time { // reports of one device may come in any order
			l.grow(x, &s.first)
			s.first.Time, s.first.Value = x.Time, x.Value
		}
		return
	} else {
		l.grow(&s.last, x)
	}
	if s.last.Unit != x.Unit {
		s.last.Unit = strings.Clone(x.Unit)
	}
	name, unit := s.last.Name, s.last.Unit
	s.last = *x
	s.last.Name, s.last.Unit = name, unit
	s.ring.add(x.Time, float32(number(x)), limitOf(l.series))
}

func (t *twin) find(name string) *series {
	for _, s := range t.series {
		if s.last.Name == name {
			return s
		}
	}
	return nil
}

// grow adds what an energy register counted since its last reading, so that the total is the sum of last − first.
func (l *Live) grow(old, x *lamppost.Reading) {
	if x.Kind != lamppost.Register || x.Unit != "Wh" || old.Kind != lamppost.Register || old.Unit != "Wh" {
		return
	}
	if diff, ok := x.Value.Sub(old.Value); ok {
		l.totals.wh.add(diff)
	}
}

// An energy is a sum of Wh of any decimals: whole ones, and the rest in 10⁻⁹, below one.
type energy struct{ whole, nano int64 }

func (e *energy) add(d lamppost.Decimal) {
	one := int64(scales[-d.Exponent])
	e.whole += d.Mantissa / one
	e.nano += d.Mantissa % one * (1e9 / one)
	e.whole += e.nano / 1e9
	e.nano %= 1e9
}

// kWh writes the sum in kWh, cut to whole Wh.
func (e energy) kWh() string { return lamppost.Dec(e.whole, -3).String() }

var scales = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9}

// number is a reading's value for drawing.
func number(x *lamppost.Reading) float64 {
	if x.IsFloat {
		return x.Float
	}
	return float64(x.Value.Mantissa) / scales[-x.Value.Exponent]
}

// text is a reading's value as a decimal number.
func text(x *lamppost.Reading) string {
	if x.IsFloat {
		return strconv.FormatFloat(x.Float, 'g', -1, 64)
	}
	return x.Value.String()
}

// readings returns a device's latest readings in the order their names first came, and when its last report came.
func (l *Live) readings(id lamppost.DeviceID, now lamppost.TimeMS) (readings []Reading, received lamppost.TimeMS, online bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.twins[id]
	readings = []Reading{}
	if t == nil {
		return readings, 0, false
	}
	for _, s := range t.series {
		readings = append(readings, Reading{Name: s.last.Name, Unit: s.last.Unit, Value: text(&s.last), Kind: s.last.Kind.String(),
			Quality: s.last.Quality.String(), Time: s.last.Time})
	}
	return readings, t.received, t.online(now, l.slack)
}

// Latest returns a device's latest reading of a name.
func (l *Live) Latest(id lamppost.DeviceID, name string) (lamppost.Reading, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := l.twins[id]; t != nil {
		if s := t.find(name); s != nil {
			return s.last, true
		}
	}
	return lamppost.Reading{}, false
}

// history returns the points of a series, its latest reading always being the last.
func (l *Live) history(id lamppost.DeviceID, name string) (Series, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.twins[id]
	if t == nil {
		return Series{}, false
	}
	s := t.find(name)
	if s == nil {
		return Series{}, false
	}
	out := Series{Name: s.last.Name, Unit: s.last.Unit, Kind: s.last.Kind.String(), Times: append([]lamppost.TimeMS{}, s.ring.times...),
		Values: make([]float64, 0, len(s.ring.values)+1)}
	for _, v := range s.ring.values {
		out.Values = append(out.Values, shortFloat(v))
	}
	if n := len(out.Times); s.last.Time > out.Times[n-1] {
		out.Times, out.Values = append(out.Times, s.last.Time), append(out.Values, number(&s.last))
	}
	out.Errors, out.Classes, out.Gone = make([]float64, len(out.Times)), make([]string, len(out.Times)), []Gone{}
	for i := range out.Classes {
		out.Classes[i] = archive.Raw.String()
	}
	return out, true
}

// IsRegister says whether a reading is a running total, as it last came.
func (l *Live) IsRegister(id lamppost.DeviceID, name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.twins[id]
	if t == nil {
		return false
	}
	s := t.find(name)
	return s != nil && s.last.Kind == lamppost.Register
}

// devices is how many there are.
func (l *Live) devices() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.order)
}

// shortFloat widens without showing digits that were never there: 0.1 stays 0.1.
func shortFloat(v float32) float64 {
	f, _ := strconv.ParseFloat(strconv.FormatFloat(float64(v), 'g', -1, 32), 64)
	return f
}

// summary returns the totals as the API shows them.
func (l *Live) summary(now lamppost.TimeMS) Totals {
	l.mu.Lock()
	t := &l.totals
	out := Totals{Devices: len(l.order), Reports: t.reports, Readings: t.readings, KWh: t.wh.kWh(), Since: t.since,
		Billed: make(map[string]lamppost.Micro, len(t.billed)), Refused: map[string]uint64{}}
	for currency, sum := range t.billed {
		out.Billed[currency] = sum
	}
	for code, n := range t.refused {
		if n > 0 {
			out.Refused[lamppost.Code(code).String()] = n
		}
	}
	all := l.order
	l.mu.Unlock()
	out.DevicesOnline = l.countOnline(all, now)
	return out
}

// countOnline looks at the twins in turns, so that no block waits long for it.
func (l *Live) countOnline(all []*twin, now lamppost.TimeMS) (n int) {
	const turn = 1024
	for len(all) > 0 {
		some := all[:min(turn, len(all))]
		all = all[len(some):]
		l.mu.Lock()
		for _, t := range some {
			if t.online(now, l.slack) {
				n++
			}
		}
		l.mu.Unlock()
	}
	return n
}
