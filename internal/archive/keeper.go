package archive

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/compact"
	"github.com/lamppost/lamppost/internal/kv"
)

// A Keeper moves bodies from the store into packs and takes out of packs what the rules let go. One goroutine steps it;
// everything else may run beside it.
//
// An object is durable before the store names it, and removed only after the store names another: a crash in between leaves
// an object that nobody names, which Sweep removes.
type Keeper struct {
	Store kv.Store
	Packs *Packs
	// Rules reads the rules that hold in a state.
	Rules func(kv.Reader) (*Rules, error)
	// Purge gives back the space of keys deleted from the store, and returns when they are in none of its files. Nil: the store
	// sees to it.
	Purge func() error
	// Pause is called again and again during a Step, about every frame of work, so that what is not urgent can make way. Nil: never.
	Pause func()
	// Detect makes a detector for a series of so many rows; nil where it would say nothing of so few. Nil: none has a say in summaries.
	Detect func(unit string, kind lamppost.Kind, rows int) compact.Detector

	MaxHot   int             // bytes; 0: MaxHotBytes
	MaxHotMS lamppost.TimeMS // 0: MaxHotMS
}

// keeperKey holds which orders the Keeper has followed: the blocks of Rules.Changed and Rules.Erase, 8 bytes big-endian each.
const keeperKey = "aK"

// Did says what a step did.
type Did struct {
	Sealed  int             // blocks moved into a pack
	Thinned int             // reports taken out of a pack
	Freed   int64           // bytes of objects, less those written instead
	Erased  lamppost.Height // all that was erased up to this block is gone from packs and store
	Rules   lamppost.Height // the rules changed in this block, and all packs will be looked at again
	Packs   int             // looked at again
}

// Some reports whether there was anything to do, and so may be more.
func (d *Did) Some() bool { return *d != Did{} }

// Step does one thing that is due at a time: seal a pack, write one again, or carry out an erasure.
func (k *Keeper) Step(now lamppost.TimeMS) (Did, error) {
	did, err := k.step(now)
	if err != nil || did.Erased == 0 {
		return did, err
	}
	if k.Purge != nil {
		if err := k.Purge(); err != nil { // with no snapshot open that would keep what is to go
			return Did{}, fmt.Errorf("clearing the store's files: %w", err)
		}
	}
	changed, _, err := k.followed(k.Store)
	if err != nil {
		return Did{}, err
	}
	var b kv.Batch
	k.follow(&b, changed, did.Erased)
	return did, k.Store.Apply(&b)
}

func (k *Keeper) step(now lamppost.TimeMS) (did Did, err error) {
	snap, err := k.Store.Snapshot()
	if err != nil {
		return did, err
	}
	defer func() { err = errors.Join(err, snap.Close()) }()
	rules, err := k.Rules(snap)
	if err != nil {
		return did, err
	}
	changed, erased, err := k.followed(snap)
	if err != nil {
		return did, err
	}
	v := View{snap, k.Packs}
	if rules.Erase > erased {
		return k.erase(v, rules, now)
	}
	if rules.Changed > changed {
		did.Rules = rules.Changed
		return did, k.reconsider(v, rules)
	}
	if did, err = k.seal(v, rules, now, false); err != nil || did.Some() {
		return did, err
	}
	return k.thin(v, rules, now)
}

// Erased returns the last block whose erasure was carried out.
func (k *Keeper) Erased() (lamppost.Height, error) {
	_, erased, err := k.followed(k.Store)
	return erased, err
}

func (k *Keeper) followed(r kv.Reader) (changed, erased lamppost.Height, err error) {
	raw, err := r.Get([]byte(keeperKey))
	if errors.Is(err, kv.ErrNotFound) {
		return 0, 0, nil
	}
	if err == nil && len(raw) != 16 {
		err = fmt.Errorf("the archive's record of what it has done has %d bytes, not 16", len(raw))
	}
	if err != nil {
		return 0, 0, err
	}
	return lamppost.Height(binary.BigEndian.Uint64(raw)), lamppost.Height(binary.BigEndian.Uint64(raw[8:])), nil
}

func (k *Keeper) follow(b *kv.Batch, changed, erased lamppost.Height) {
	b.Set([]byte(keeperKey), binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(changed)), uint64(erased)))
}

// Hot returns the blocks that stand in the store, from the first not in a pack, up to a pack's worth of bytes.
func (k *Keeper) hot(v View) (blocks []storedBlock, bytes int, err error) {
	limit := k.MaxHot
	if limit == 0 {
		limit = MaxHotBytes
	}
	err = v.Scan(heightKey(blockKind, 0), []byte{'a', blockKind + 1}, func(_, val []byte) error {
		var blk Block
		if err := lamppost.Unmarshal(val, &blk); err != nil {
			return err
		}
		s, n, err := v.hotBlock(blk)
		if err != nil {
			return err
		}
		if blocks, bytes = append(blocks, s), bytes+n; bytes >= limit {
			return kv.ErrStop
		}
		return nil
	})
	return blocks, bytes, err
}

// hotBlock reads the transactions of a block from the store, and how many bytes they are.
func (v View) hotBlock(blk Block) (s storedBlock, bytes int, err error) {
	s = storedBlock{Block: blk, Txs: make([]storedTx, blk.Count)}
	for i := range s.Txs {
		t := &s.Txs[i]
		if t.Raw, err = v.Get(recordKey(txKind, blk.Height, uint32(i))); err != nil {
			return s, 0, fmt.Errorf("transaction %d of block %d: %w", i, blk.Height, err)
		}
		if t.Result, err = v.Get(recordKey(resultKind, blk.Height, uint32(i))); err != nil {
			return s, 0, fmt.Errorf("result %d of block %d: %w", i, blk.Height, err)
		}
		bytes += len(t.Raw) + len(t.Result)
	}
	return s, bytes, nil
}

// seal moves the oldest blocks of the store into a pack, if there are enough of them, or they are old enough, or all shall go.
func (k *Keeper) seal(v View, rules *Rules, now lamppost.TimeMS, all bool) (did Did, err error) {
	blocks, bytes, err := k.hot(v)
	if err != nil || len(blocks) == 0 {
		return did, err
	}
	limit, age := k.MaxHot, k.MaxHotMS
	if limit == 0 {
		limit = MaxHotBytes
	}
	if age == 0 {
		age = MaxHotMS
	}
	if !all && bytes < limit && now-blocks[0].Block.Time < age {
		return did, nil
	}
	c := &content{blocks: blocks}
	p, err := k.rewrite(c, lamppost.Hash{}, rules, now, &did)
	if err != nil {
		return did, err
	}
	var b kv.Batch
	k.name(&b, p)
	first, next := blocks[0].Block.Height, blocks[len(blocks)-1].Block.Height+1
	for _, kind := range [...]byte{blockKind, txKind, resultKind} {
		b.DeleteRange(heightKey(kind, first), heightKey(kind, next))
	}
	did.Sealed = len(blocks)
	return did, k.Store.Apply(&b)
}

func (k *Keeper) name(b *kv.Batch, p Pack) { b.Set(heightKey(packKind, p.Last), lamppost.Marshal(p)) }

// rewrite takes out of a content what the rules let go and writes it as an object, if that is not the old one.
func (k *Keeper) rewrite(c *content, old lamppost.Hash, rules *Rules, now lamppost.TimeMS, did *Did) (Pack, error) {
	pause := k.Pause
	if pause == nil {
		pause = func() {}
	}
	t := thinner{rules: rules, now: now, devices: map[lamppost.DeviceID]bool{}, sums: summariser{k.Detect, map[seriesKey][]compact.Row{}},
		alarmed: alarmed{rules: rules}, times: noTimes, pause: pause}
	if err := t.thin(c); err != nil {
		return Pack{}, err
	}
	p, data := k.Packs.encode(c, pause)
	p.Reports, p.Kept = t.reports, t.kept
	p.Due, p.Times = rules.due(t.last, t.devices, now), t.times
	did.Thinned += t.out
	if p.Name == old {
		return p, nil
	}
	return p, k.Packs.objects.Put(p.Name.String(), data)
}

// thin writes the pack again that is due first.
func (k *Keeper) thin(v View, rules *Rules, now lamppost.TimeMS) (did Did, err error) {
	packs, err := v.All()
	if err != nil {
		return did, err
	}
	for i := range packs {
		if p := &packs[i]; p.Due != 0 && p.Due <= now {
			return did, k.again(*p, rules, now, &did)
		}
	}
	return did, nil
}

// again writes a pack again, and removes the object that it replaces.
func (k *Keeper) again(old Pack, rules *Rules, now lamppost.TimeMS, did *Did) error {
	c, err := k.Packs.read(old.Name)
	if err != nil {
		return err
	}
	p, err := k.rewrite(c, old.Name, rules, now, did)
	if err != nil {
		return err
	}
	did.Packs++
	var b kv.Batch
	k.name(&b, p)
	if err := k.Store.Apply(&b); err != nil {
		return err
	}
	if p.Name == old.Name {
		return nil
	}
	did.Freed += old.Bytes - p.Bytes
	k.Packs.forget()
	return k.Packs.objects.Remove(old.Name.String())
}

// reconsider makes all packs due, because other rules hold now.
func (k *Keeper) reconsider(v View, rules *Rules) error {
	packs, err := v.All()
	if err != nil {
		return err
	}
	var b kv.Batch
	for _, p := range packs {
		p.Due = 1
		k.name(&b, p)
	}
	_, erased, err := k.followed(v)
	if err != nil {
		return err
	}
	k.follow(&b, rules.Changed, erased)
	return k.Store.Apply(&b)
}

// erase brings everything up to the latest erasure into packs and writes all of these again without what was erased. Step then
// waits until the store's files have forgotten it too. If it is interrupted, it begins again.
func (k *Keeper) erase(v View, rules *Rules, now lamppost.TimeMS) (did Did, err error) {
	if sealed, err := k.seal(v, rules, now, true); err != nil || sealed.Some() {
		return sealed, err // the next step goes on, on a new snapshot
	}
	packs, err := v.All()
	if err != nil {
		return did, err
	}
	for _, p := range packs {
		if p.First > rules.Erase {
			break
		}
		if err := k.again(p, rules, now, &did); err != nil {
			return did, err
		}
	}
	did.Erased = rules.Erase
	return did, nil
}

// Sweep removes objects that no pack names: what a crash left. It is called before the first Step.
func (k *Keeper) Sweep() error {
	packs, err := View{k.Store, k.Packs}.All()
	if err != nil {
		return err
	}
	named := map[string]bool{}
	for _, p := range packs {
		named[p.Name.String()] = true
	}
	names, err := k.Packs.objects.List()
	if err != nil {
		return err
	}
	for _, name := range names {
		if named[name] {
			continue
		}
		if err := k.Packs.objects.Remove(name); err != nil {
			return err
		}
	}
	return nil
}

// A thinner goes over a content once.
type thinner struct {
	rules   *Rules
	now     lamppost.TimeMS
	report  lamppost.Report
	sums    summariser
	devices map[lamppost.DeviceID]bool // of reports and series that may go later
	last    lamppost.TimeMS            // when the last of these was received
	reports uint64
	kept    uint64
	out     int
	times   times // of all readings that stay
	alarmed alarmed
	err     error // of alarmed
	pause   func()

	// The segment at hand has reports that are only proven together, and one of them stays raw: so do the others, unless they
	// were erased.
	together bool
}

func (t *thinner) thin(c *content) error {
	for i := range c.blocks {
		t.pause()
		blk := &c.blocks[i]
		for j := range blk.Txs {
			if err := t.tx(&blk.Txs[j], Place{blk.Block.Height, uint32(j)}); err != nil {
				return fmt.Errorf("transaction %d of block %d: %w", j, blk.Block.Height, err)
			}
		}
	}
	more, err := t.sums.series(t.rules, t.pause)
	if err != nil {
		return err
	}
	c.stored = append(c.stored, more...)
	first, last := c.blocks[0].Block, c.blocks[len(c.blocks)-1].Block
	gone := func(d lamppost.DeviceID) bool { return t.gone(d, first, last) }
	c.stored = slices.DeleteFunc(c.stored, func(s storedSeries) bool { return gone(s.Device) })
	c.hours = slices.DeleteFunc(c.hours, func(h hourly) bool { return gone(h.Device) })
	series, err := c.series()
	for i := range series {
		t.times.add(series[i].span())
	}
	return err
}

// gone says whether a device's series go out of a pack: they were erased, or all of the pack is too old and nothing of it is held. Later
// packs never had what was erased before them.
func (t *thinner) gone(d lamppost.DeviceID, first, last Block) bool {
	if slices.ContainsFunc(t.rules.Erased[d], func(e Place) bool { return last.Height < e.Height }) {
		return true
	}
	keep := t.rules.Of(d)
	held := func(x Hold) bool {
		return (x.Device == "" || x.Device == d) && x.From <= last.Time && (x.To == 0 || first.Time < x.To)
	}
	if keep.SummaryMS != 0 && t.now-last.Time >= keep.SummaryMS && !slices.ContainsFunc(t.rules.Holds, held) {
		return true
	}
	t.devices[d] = true
	t.last = max(t.last, last.Time)
	return false
}

// tx takes reports out of a segment. Other transactions stay, unless they were erased.
func (t *thinner) tx(s *storedTx, at Place) error {
	if t.rules.Gone[at] {
		*s = storedTx{}
		return nil
	}
	if len(s.Raw)+len(s.Thin) == 0 {
		return nil
	}
	rec, err := s.record(at.Height, at.Index)
	if err != nil {
		return err
	}
	if rec.Thin == nil {
		if tx, err := lamppost.ParseTransaction(rec.Raw); err != nil || tx.Type != lamppost.TxSegment {
			return nil // what cannot be read was refused, and its bytes are what its leaf commits to
		}
	}
	seg, err := rec.Segment()
	if err != nil {
		return err
	}
	t.together = seg.Header.Aggregate != nil && slices.ContainsFunc(seg.Kept, func(k lamppost.KeptReport) bool {
		class, _ := t.class(&k, at)
		return class == Raw && t.report.Halved()
	})
	thin := seg.Thin(func(k *lamppost.KeptReport) bool { return t.keep(k, at) })
	if t.err != nil {
		return t.err
	}
	t.reports += uint64(seg.Header.Count)
	t.kept += uint64(len(thin.Kept))
	if len(thin.Kept) < len(seg.Kept) {
		t.out += len(seg.Kept) - len(thin.Kept)
		*s = storedTx{Thin: thin.Append(nil)}
	}
	return nil
}

// class reads a report and judges it.
func (t *thinner) class(k *lamppost.KeptReport, at Place) (Class, compact.Reason) {
	if t.report.Decode(k.Report) != nil {
		t.report = lamppost.Report{Readings: t.report.Readings[:0]} // nobody's: the general rule holds
	}
	near, err := t.alarmed.near(t.report.Device, k.Received)
	t.err = errors.Join(t.err, err)
	class, why := t.rules.class(&t.report, k, judgement{at, t.now, near})
	if class == Summary && !fits(&t.report) {
		return Raw, compact.None
	}
	return class, why
}

// keep says whether a report stays, and sums it up if it goes and shall not be forgotten yet.
func (t *thinner) keep(k *lamppost.KeptReport, at Place) bool {
	class, why := t.class(k, at)
	if t.together && t.report.Halved() && class != Erased {
		class = Raw
	}
	switch class {
	case Raw:
		for i := range t.report.Readings {
			t.times.add(t.report.Readings[i].Time, t.report.Readings[i].Time)
		}
		if keep := t.rules.Of(t.report.Device); keep.RawMS != 0 {
			t.devices[clone(seriesKey{device: t.report.Device}).device] = true
			t.last = max(t.last, k.Received)
		}
	case Summary:
		t.sums.add(&t.report, why)
	}
	return class == Raw
}
