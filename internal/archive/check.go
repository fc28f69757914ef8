package archive

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
)

// A Finding is something that does not fit between objects and what the store says of them.
type Finding struct {
	Where string
	What  string
	Lost  bool // bodies cannot be read
	First lamppost.Height
	Last  lamppost.Height // of the blocks it is about
	Entry *Pack           // what the store should say, where that follows from the object; it lists nothing else in its place
}

// Check reads every object whole and compares it with the store's list. An object that nobody lists is listed again if nothing
// else has its blocks; otherwise it is what a crash left. progress is called after each.
func (v View) Check(ctx context.Context, progress func(done, all int)) (found []Finding, err error) {
	packs, err := v.All()
	if err != nil || v.Packs == nil {
		return nil, err
	}
	names, err := v.Packs.objects.List()
	if err != nil {
		return nil, err
	}
	c := packChecker{view: v, listed: map[string]bool{}, packs: packs}
	for i := range packs {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		c.pack(&packs[i])
		progress(i+1, len(names))
	}
	for _, name := range names {
		if !c.listed[name] {
			c.unlisted(name)
		}
	}
	return c.found, nil
}

type packChecker struct {
	view   View
	listed map[string]bool
	packs  []Pack
	found  []Finding
	last   lamppost.Height
}

// pack compares an entry of the store's list with its object.
func (c *packChecker) pack(p *Pack) {
	name := p.Name.String()
	c.listed[name] = true
	f := Finding{Where: objectPath(name), First: p.First, Last: p.Last}
	if p.First <= c.last || p.Last < p.First {
		c.found = append(c.found, Finding{Where: "archive index", What: fmt.Sprintf("the pack of blocks %d to %d does not follow block %d", p.First, p.Last, c.last), First: p.First, Last: p.Last})
	}
	c.last = max(c.last, p.Last)
	own, err := c.view.Packs.describe(p.Name)
	switch {
	case err != nil:
		f.What, f.Lost = err.Error(), true
		if errors.Is(err, fs.ErrNotExist) {
			f.What = "it is not there"
		}
		c.found = append(c.found, f)
	case own.differs(p):
		f.Where, f.What, f.Entry = "archive index", fmt.Sprintf("of object %s it says %s; the object has %s", name, p.words(), own.words()), &own
		c.found = append(c.found, f)
	}
}

func objectPath(name string) string { return "archive/" + name[:2] + "/" + name }

// unlisted says what an object is that the store does not list.
func (c *packChecker) unlisted(name string) {
	f := Finding{Where: "archive/" + name, What: "nobody lists it: what a crash left, and the next start removes it"}
	if len(name) == 2*len(lamppost.Hash{}) {
		f.Where = objectPath(name)
	}
	own, err := c.view.Packs.describeNamed(name)
	if err == nil && !c.covered(own.First, own.Last) {
		f.What = fmt.Sprintf("it holds blocks %d to %d, and nobody lists it", own.First, own.Last)
		f.Entry, f.First, f.Last = &own, own.First, own.Last
	}
	c.found = append(c.found, f)
}

// covered says whether some block of a range is listed or in the store.
func (c *packChecker) covered(first, last lamppost.Height) bool {
	for i := range c.packs {
		if c.packs[i].First <= last && first <= c.packs[i].Last {
			return true
		}
	}
	hot := false
	err := c.view.Scan(heightKey(blockKind, first), heightKey(blockKind, last+1), func(_, _ []byte) error { hot = true; return kv.ErrStop })
	return hot || err != nil
}

// describe reads an object whole and says what the store should know of it.
func (p *Packs) describe(name lamppost.Hash) (own Pack, err error) {
	c, err := p.read(name)
	if err != nil {
		return own, err
	}
	if len(c.blocks) == 0 {
		return own, fmt.Errorf("object %s holds no block", name)
	}
	f, err := readFooter(p.objects, name)
	if err != nil {
		return own, err
	}
	first, last := &c.blocks[0].Block, &c.blocks[len(c.blocks)-1].Block
	own = Pack{First: first.Height, Last: last.Height, From: first.Time, To: last.Time, Name: name, Due: 1, Times: noTimes}
	for i := range f.Frames {
		own.Bytes += int64(f.Frames[i].Bytes)
	}
	own.Bytes += int64(len(lamppost.Marshal(f)) + trailerBytes)
	series, err := c.series()
	if err != nil {
		return own, fmt.Errorf("object %s: %w", name, err)
	}
	for i := range series {
		own.Times.add(series[i].span())
	}
	for i := range c.blocks {
		for j := range c.blocks[i].Txs {
			if err := own.count(&c.blocks[i].Txs[j], c.blocks[i].Block.Height, uint32(j)); err != nil {
				return own, err
			}
		}
	}
	return own, nil
}

func (p *Packs) describeNamed(name string) (Pack, error) {
	raw, err := hex.DecodeString(name)
	if err != nil || len(raw) != len(lamppost.Hash{}) {
		return Pack{}, fmt.Errorf("%q is no object's name", name)
	}
	return p.describe(lamppost.Hash(raw))
}

// count adds the reports of a transaction.
func (p *Pack) count(t *storedTx, h lamppost.Height, index uint32) error {
	if len(t.Raw)+len(t.Result)+len(t.Thin) == 0 {
		return nil // erased
	}
	rec, err := t.record(h, index)
	if err != nil {
		return fmt.Errorf("transaction %d of block %d: %w", index, h, err)
	}
	if rec.Thin == nil {
		if tx, err := lamppost.ParseTransaction(rec.Raw); err != nil || tx.Type != lamppost.TxSegment {
			return nil
		}
	}
	seg, err := rec.Segment()
	if err != nil {
		return fmt.Errorf("transaction %d of block %d: %w", index, h, err)
	}
	p.Reports += uint64(seg.Header.Count)
	p.Kept += uint64(len(seg.Kept))
	var r lamppost.Report
	for i := range seg.Kept {
		if r.Decode(seg.Kept[i].Report) != nil {
			continue
		}
		for j := range r.Readings {
			p.Times.add(r.Readings[j].Time, r.Readings[j].Time)
		}
	}
	return nil
}

// differs compares all that follows from the object; when it is due does not, and an older entry does not say its readings' times.
func (p *Pack) differs(q *Pack) bool {
	a, b := *p, *q
	if a.Due, b.Due = 0, 0; b.Times == allTimes {
		a.Times = allTimes
	}
	return a != b
}

func (p *Pack) words() string {
	return fmt.Sprintf("blocks %d to %d, from %d to %d ms, %d bytes, %d of %d reports of %d to %d ms", p.First, p.Last, p.From, p.To, p.Bytes, p.Kept, p.Reports,
		p.Times.First, p.Times.Last)
}

// List stages an entry of the list of packs.
func List(b *kv.Batch, p Pack) { (*Keeper)(nil).name(b, p) }

// Verify reads an object whole and checks every byte of it, and returns how many there were.
func (p *Packs) Verify(name lamppost.Hash) (int64, error) {
	own, err := p.describe(name)
	return own.Bytes, err
}
