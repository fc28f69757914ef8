package archive

import (
	"context"
	"fmt"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/compact"
)

// A Search is for what is left of a device's readings.
type Search struct {
	Device   lamppost.DeviceID
	From, To lamppost.TimeMS // of their times, To not included
	Rules    *Rules          // that hold: what they erase is not found, though it may still be there
	Now      lamppost.TimeMS // what the reasons are as of
}

// A Found is a report that is still raw. It is the search's own until the next one.
type Found struct {
	Report   *lamppost.Report
	Accepted bool
	Received lamppost.TimeMS
	Bytes    int
	Place    Place
	Why      compact.Reason // it would still be raw, if its pack were written now; None: it goes when its pack is written next
}

// Walk calls report for each report of a device that is raw, and series for each of its series in packs, in the order in which
// they were committed. Both may hold more than was asked for: whoever walks looks at times. Packs without readings of that time
// are not read.
func (v View) Walk(ctx context.Context, s Search, report func(*Found) error, series func(*Series) error) error {
	w := walker{Search: s, alarmed: alarmed{rules: s.Rules}, report: report, series: series}
	packs, err := v.All()
	if err != nil {
		return err
	}
	after := lamppost.Height(0)
	for i := range packs {
		p := &packs[i]
		after = p.Last
		if v.Packs == nil || !p.Times.touch(s.From, s.To) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := w.pack(v, p); err != nil {
			return err
		}
	}
	return w.hot(v, after)
}

type walker struct {
	Search
	alarmed alarmed
	report  func(*Found) error
	series  func(*Series) error
	decoded lamppost.Report
}

func (w *walker) pack(v View, p *Pack) error {
	c, err := v.content(p)
	if err != nil {
		return err
	}
	for i := range c.blocks {
		if err := w.block(&c.blocks[i]); err != nil {
			return err
		}
	}
	if w.Rules.ErasesSeries(w.Device, p.Last) {
		return nil
	}
	return w.summaries(c)
}

// summaries calls series for those of the device.
func (w *walker) summaries(c *content) error {
	var own content
	for i := range c.stored {
		if c.stored[i].Device == w.Device {
			own.stored = append(own.stored, c.stored[i])
		}
	}
	for i := range c.hours {
		if c.hours[i].Device == w.Device {
			own.hours = append(own.hours, c.hours[i])
		}
	}
	all, err := own.series()
	if err != nil {
		return err
	}
	for i := range all {
		if err := w.series(&all[i]); err != nil {
			return err
		}
	}
	return nil
}

// hot goes over the blocks that stand in the store.
func (w *walker) hot(v View, after lamppost.Height) error {
	return v.Scan(heightKey(blockKind, after+1), []byte{'a', blockKind + 1}, func(_, val []byte) error {
		var blk Block
		if err := lamppost.Unmarshal(val, &blk); err != nil {
			return err
		}
		s, _, err := v.hotBlock(blk)
		if err != nil {
			return err
		}
		return w.block(&s)
	})
}

func (w *walker) block(b *storedBlock) error {
	for i := range b.Txs {
		t, at := &b.Txs[i], Place{b.Block.Height, uint32(i)}
		if len(t.Thin) == 0 && (len(t.Result) == 0 || lamppost.ReadTransaction(t.Raw).Type != lamppost.TxSegment) {
			continue
		}
		rec, err := t.record(at.Height, at.Index)
		if err != nil {
			return err
		}
		if err := w.record(&rec, at); err != nil {
			return fmt.Errorf("transaction %d of block %d: %w", i, b.Block.Height, err)
		}
	}
	return nil
}

// record goes over a segment. One that cannot be read was refused, and has no reports.
func (w *walker) record(rec *Record, at Place) error {
	if t := rec.Thin; t != nil {
		for i := range t.Kept {
			if err := w.kept(&t.Kept[i], at); err != nil {
				return err
			}
		}
		return nil
	}
	tx, err := lamppost.ParseTransaction(rec.Raw)
	if err != nil || len(tx.Items) != len(rec.Outcomes) {
		return nil
	}
	for i := range tx.Items {
		k := lamppost.KeptReport{Index: uint32(i), SegmentItem: tx.Items[i], Outcome: rec.Outcomes[i].Append(nil)}
		if err := w.kept(&k, at); err != nil {
			return err
		}
	}
	return nil
}

// kept calls report, if it is one of the device that is not erased.
func (w *walker) kept(k *lamppost.KeptReport, at Place) error {
	r := &w.decoded
	if r.Decode(k.Report) != nil || r.Device != w.Device {
		return nil
	}
	near, err := w.alarmed.near(r.Device, k.Received)
	if err != nil {
		return err
	}
	class, why := w.Rules.class(r, k, judgement{at, w.Now, near})
	if class == Erased {
		return nil
	}
	if class != Raw {
		why = compact.None
	}
	outcome, err := lamppost.DecodeOutcome(k.Outcome)
	if err != nil {
		return err
	}
	return w.report(&Found{r, outcome.Code == lamppost.CodeOK, k.Received, len(k.Report), at, why})
}

// A Value is a reading, as far as it is kept: what was measured is within Error of it.
type Value struct {
	At    lamppost.TimeMS
	Value float64
	Error float64
	Class Class // Raw or Summary
	Unit  string
	Kind  lamppost.Kind
}

// Values calls fn for each reading of one name that was accepted and is left, raw or in a summary, in no order.
func (v View) Values(ctx context.Context, s Search, name string, fn func(Value) error) error {
	in := func(at lamppost.TimeMS) bool { return s.From <= at && at < s.To }
	return v.Walk(ctx, s, func(f *Found) error {
		for i := range f.Report.Readings {
			x := &f.Report.Readings[i]
			if !f.Accepted || x.Name != name || !in(x.Time) {
				continue
			}
			if err := fn(Value{At: x.Time, Value: number(x), Class: Raw, Unit: x.Unit, Kind: x.Kind}); err != nil {
				return err
			}
		}
		return nil
	}, func(one *Series) error {
		for _, x := range one.Values {
			if one.Name != name || !in(x.AtMS) {
				continue
			}
			if err := fn(Value{x.AtMS, x.Value, x.Error, Summary, one.Unit, one.Kind}); err != nil {
				return err
			}
		}
		return nil
	})
}
