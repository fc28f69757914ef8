package export

import (
	"context"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/replica"
)

// An exporter makes rows. What it knows of devices and rules is as of its beginning, later than every block it reads.
type exporter struct {
	src Source
	o   Options
	res Result

	rules   *archive.Rules
	trusts  bool // gateways' words are taken, so reports can be corrected
	devices []lamppost.DeviceBody
	keys    map[key]lamppost.DeviceBody
	points  map[measured]string
	wanted  map[lamppost.DeviceID]bool

	corrected map[place]bool
	readings  *table[Reading]
	summaries *table[Summary]
	values    *table[Value]
	exact     [batchRows]fixed // of the rows of readings
	report    lamppost.Report
}

// A key is one of a device's.
type key struct {
	device lamppost.DeviceID
	epoch  uint32
}

// measured is what a metering point measures.
type measured struct {
	device     lamppost.DeviceID
	name, unit string
}

// A place is a report's in the ledger.
type place struct {
	height     lamppost.Height
	tx, report uint32
}

func newExporter(src Source, o Options) (e *exporter, err error) {
	e = &exporter{src: src, o: o, keys: map[key]lamppost.DeviceBody{}, points: map[measured]string{}, wanted: map[lamppost.DeviceID]bool{}, corrected: map[place]bool{}}
	network, member, c, err := readCheckpoint(src.Note)
	if err != nil {
		return nil, err
	}
	e.res = Result{Network: network, Member: member, Size: c.Size, Root: c.Root}
	for _, d := range o.Devices {
		e.wanted[d] = true
	}
	return e, src.See(e.learn)
}

// learn reads what the ledger knows of devices, and what may be shown.
func (e *exporter) learn(v archive.View) (err error) {
	l := ledger.View{Reader: v}
	g, err := l.Network()
	if err != nil {
		return err
	}
	e.trusts = g.Verify == lamppost.VerifyGateway
	if e.rules, err = replica.Rules(v); err != nil {
		return err
	}
	if e.devices, err = l.Devices(); err != nil {
		return err
	}
	for _, d := range e.devices {
		keys, err := l.Keys(d.ID)
		if err != nil {
			return err
		}
		for _, k := range keys {
			e.keys[key{d.ID, k.Body.KeyEpoch}] = k.Body
		}
	}
	for id := range e.wanted {
		if !slices.ContainsFunc(e.devices, func(d lamppost.DeviceBody) bool { return d.ID == id }) {
			return lamppost.Refuse(lamppost.CodeUnknown, "no device %q is enrolled", id)
		}
	}
	points, err := l.Points()
	for _, p := range slices.Backward(points) {
		e.points[measured{p.Device, p.Register, p.Unit}] = p.ID
	}
	return err
}

func (e *exporter) wants(d lamppost.DeviceID) bool { return len(e.wanted) == 0 || e.wanted[d] }

func (e *exporter) inTime(at lamppost.TimeMS) bool {
	return (e.o.From == 0 || at >= e.o.From) && (e.o.To == 0 || at < e.o.To)
}

func (e *exporter) named(name string) bool {
	return len(e.o.Names) == 0 || slices.Contains(e.o.Names, name)
}

// point returns the metering point of a register, or nothing.
func (e *exporter) point(m measured, k lamppost.Kind) string {
	if k != lamppost.Register {
		return ""
	}
	return e.points[m]
}

// findCorrected notes the reports that gateways lied about: they were accepted in their blocks and undone later. Where no
// gateway's word is taken there are none.
func (e *exporter) findCorrected(ctx context.Context) error {
	if !e.trusts {
		return nil
	}
	return e.walk(ctx, func(b *archive.PartBlock) error {
		for _, rec := range b.Records {
			if len(rec.Outcomes) != 1 || rec.Outcomes[0].Code != lamppost.CodeOK {
				continue
			}
			tx, err := lamppost.ParseTransaction(rec.Raw)
			var f lamppost.FraudBody
			if err == nil && tx.Type == lamppost.TxFraud && lamppost.Unmarshal(tx.Order.Body, &f) == nil {
				e.corrected[place{f.Height, f.Tx, f.Report}] = true
			}
		}
		return nil
	}, func(*archive.Part) error { return nil })
}

// block writes the readings of a block.
func (e *exporter) block(b *archive.PartBlock) error {
	if e.res.First == 0 {
		e.res.First = b.Height
	}
	e.res.Last = b.Height
	for i := range b.Records {
		if err := e.record(b.Height, uint32(i), &b.Records[i]); err != nil {
			return err
		}
	}
	return nil
}

// record writes the readings of a segment, whole or thin; other transactions have none.
func (e *exporter) record(h lamppost.Height, index uint32, rec *archive.Record) error {
	if t := rec.Thin; t != nil {
		e.res.Gone += int64(t.Header.Count) - int64(len(t.Kept))
		for i := range t.Kept {
			o, err := lamppost.DecodeOutcome(t.Kept[i].Outcome)
			if err != nil {
				return err
			}
			if err := e.kept(place{h, index, t.Kept[i].Index}, &t.Kept[i].SegmentItem, o); err != nil {
				return err
			}
		}
		return nil
	}
	tx, err := lamppost.ParseTransaction(rec.Raw)
	if err != nil || tx.Type != lamppost.TxSegment || len(tx.Items) != len(rec.Outcomes) {
		return nil // unreadable, an order, or erased
	}
	for i := range tx.Items {
		if err := e.kept(place{h, index, uint32(i)}, &tx.Items[i], rec.Outcomes[i]); err != nil {
			return err
		}
	}
	return nil
}

// kept writes the readings of a report that is wanted and not erased.
func (e *exporter) kept(at place, item *lamppost.SegmentItem, o lamppost.Outcome) error {
	outcome := o.Code.String()
	if e.corrected[at] {
		outcome = "corrected"
	}
	r := &e.report
	if e.readings == nil || !e.o.All && outcome != lamppost.CodeOK.String() || r.Decode(item.Report) != nil || !e.wants(r.Device) {
		return nil
	}
	if len(e.rules.Erased[r.Device]) > 0 {
		k := lamppost.KeptReport{Index: at.report, SegmentItem: *item, Outcome: o.Append(nil)}
		if e.rules.Erases(r, &k, archive.Place{Height: at.height, Index: at.tx}) {
			e.res.Gone++
			return nil
		}
	}
	common := Reading{Device: string(r.Device), TimeQuality: r.TimeQuality.String(), Received: int64(item.Received), Billing: r.Billing(), Outcome: outcome,
		SeqEpoch: int64(r.Seq.Epoch), SeqN: int64(r.Seq.N), Height: int64(at.height), Tx: int32(at.tx), Report: int32(at.report)}
	if d, ok := e.keys[key{r.Device, r.KeyEpoch}]; ok {
		common.Owner, common.Assurance = string(d.Owner), d.Assurance.String()
	}
	before := e.res.Readings
	for i := range r.Readings {
		if err := e.reading(&common, i); err != nil {
			return err
		}
	}
	if e.res.Readings > before {
		e.res.Reports++
	}
	return nil
}

// reading writes reading i of the report, if it is wanted.
func (e *exporter) reading(common *Reading, i int) error {
	x := &e.report.Readings[i]
	if !e.inTime(x.Time) || !e.named(x.Name) {
		return nil
	}
	row, err := e.readings.next()
	if err != nil {
		return err
	}
	*row = *common
	row.Name, row.Unit, row.Kind, row.Quality = x.Name, x.Unit, x.Kind.String(), x.Quality.String()
	row.Point = e.point(measured{e.report.Device, x.Name, x.Unit}, x.Kind)
	row.Time, row.Record, row.Class = int64(x.Time), int32(i), archive.Raw.String()
	if x.IsFloat {
		row.Value = x.Float
	} else {
		row.Value, row.Exact = float(x.Value), &e.exact[len(e.readings.rows)-1]
		row.Exact.set(x.Value)
	}
	e.res.Readings++
	return nil
}

// series writes the values and the summaries of a part.
func (e *exporter) series(part *archive.Part) error {
	if e.summaries == nil && e.values == nil || e.o.After > 0 || len(part.Blocks) == 0 {
		return nil
	}
	first, last := part.Blocks[0].Height, part.Blocks[len(part.Blocks)-1].Height
	for i := range part.Series {
		s := &part.Series[i]
		if e.rules.ErasesSeries(s.Device, last) || !e.wants(s.Device) || !e.named(s.Name) {
			continue
		}
		if err := e.each(s, first, last); err != nil {
			return err
		}
		if err := e.hours(s, first, last); err != nil {
			return err
		}
	}
	return nil
}

// each writes each value of a series.
func (e *exporter) each(s *archive.Series, first, last lamppost.Height) error {
	if e.values == nil {
		return nil
	}
	at := 0
	for _, b := range s.Blocks {
		for _, v := range s.Values[at : at+b.Rows] {
			if !e.inTime(v.AtMS) {
				continue
			}
			row, err := e.values.next()
			if err != nil {
				return err
			}
			*row = Value{Device: string(s.Device), Point: e.point(measured{s.Device, s.Name, s.Unit}, s.Kind), Name: s.Name, Unit: s.Unit, Kind: s.Kind.String(),
				Time: int64(v.AtMS), Value: v.Value, Error: v.Error, Class: archive.Summary.String(), Reason: b.Reason.String(), Method: b.MethodName(), First: int64(first), End: int64(last)}
			e.res.Values++
		}
		at += b.Rows
	}
	return nil
}

// hours writes a series by the hour.
func (e *exporter) hours(s *archive.Series, first, last lamppost.Height) error {
	if e.summaries == nil {
		return nil
	}
	for _, h := range s.Hours() {
		if !e.inTime(h.At) {
			continue
		}
		row, err := e.summaries.next()
		if err != nil {
			return err
		}
		*row = Summary{Device: string(s.Device), Point: e.point(measured{s.Device, s.Name, s.Unit}, s.Kind), Name: s.Name, Unit: s.Unit, Kind: s.Kind.String(),
			Hour: int64(h.At), Count: int64(h.Count), Min: h.Min, Max: h.Max, Mean: h.Mean, Last: h.Last, LastTime: int64(h.LastAt), First: int64(first), End: int64(last),
			Error: h.Error, Class: archive.Summary.String()}
		e.res.Summaries++
	}
	return nil
}
