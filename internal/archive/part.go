package archive

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
)

// A Part is some blocks that follow one another with all that is left of them: what a pack holds, or about as much of what
// stands in the store. Reports that are gone from these blocks, and no others, are what Series sums up.
type Part struct {
	Blocks []PartBlock
	Series []Series
}

// A PartBlock is a block with a record for each transaction, and nothing in that of one that was erased.
type PartBlock struct {
	Block
	Records []Record
}

// Part reads the blocks that follow a height, as many as are read at once, and returns nil after the last. It is the way to
// walk the archive: it reads a pack in one piece, past the cache.
func (v View) Part(after lamppost.Height) (*Part, error) {
	if v.Packs == nil {
		return v.hotPart(after)
	}
	var p Pack
	err := v.Scan(heightKey(packKind, after+1), []byte{'a', packKind + 1}, func(_, val []byte) (err error) {
		if p, err = decodePack(val); err != nil {
			return err
		}
		return kv.ErrStop
	})
	if err != nil {
		return nil, err
	}
	if p.Last == 0 {
		return v.hotPart(after)
	}
	return v.packPart(p, after)
}

// MovedAt says whether the index of blocks that may have moved claims has one of them, and whether there is such an index at all.
func (v View) MovedAt(h lamppost.Height) (indexed, there bool, err error) {
	if indexed, err = v.has(heightKey(movedKind, 1)); err != nil || !indexed {
		return false, false, err
	}
	there, err = v.has(heightKey(movedKind, h))
	return true, there, err
}

func (v View) has(key []byte) (bool, error) {
	_, err := v.Get(key)
	if errors.Is(err, kv.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Moved reads, of the blocks that follow a height, those that may have moved claims, as many as are read at once, and returns nil
// after the last. Where the store does not say which these are, indexed is false.
func (v View) Moved(after lamppost.Height) (part *Part, indexed bool, err error) {
	if indexed, err = v.has(heightKey(movedKind, 1)); err != nil || !indexed {
		return nil, false, err
	}
	part, bytes := new(Part), 0
	err = v.Scan(heightKey(movedKind, after+1), []byte{'a', movedKind + 1}, func(key, _ []byte) (err error) {
		h, _, _ := Where(key)
		s, err := v.stored(h)
		if err != nil {
			return err
		}
		b := PartBlock{Block: s.Block}
		if b.Records, err = s.records(); err != nil {
			return err
		}
		for i := range b.Records {
			bytes += len(b.Records[i].Raw)
		}
		if part.Blocks = append(part.Blocks, b); bytes >= MaxHotBytes {
			return kv.ErrStop
		}
		return nil
	})
	if len(part.Blocks) == 0 {
		part = nil
	}
	return part, true, err
}

// content reads a pack whole, or what stands in its place: it may have been written anew since the snapshot was taken.
func (v View) content(p *Pack) (*content, error) {
	c, err := v.Packs.read(p.Name)
	if errors.Is(err, fs.ErrNotExist) {
		if now, ok, findErr := find(v.Packs.latest, p.Last); findErr == nil && ok {
			return v.Packs.read(now.Name)
		}
	}
	return c, err
}

func (v View) packPart(p Pack, after lamppost.Height) (*Part, error) {
	c, err := v.content(&p)
	if err != nil {
		return nil, err
	}
	series, err := c.series()
	if err != nil {
		return nil, fmt.Errorf("object %s: %w", p.Name, err)
	}
	part := &Part{Series: series}
	for i := range c.blocks {
		s := &c.blocks[i]
		if s.Block.Height <= after {
			continue
		}
		b := PartBlock{Block: s.Block, Records: make([]Record, len(s.Txs))}
		for j := range s.Txs {
			if b.Records[j], err = s.Txs[j].record(s.Block.Height, uint32(j)); err != nil && !errors.Is(err, ErrForgotten) {
				return nil, fmt.Errorf("transaction %d of block %d: %w", j, s.Block.Height, err)
			}
		}
		part.Blocks = append(part.Blocks, b)
	}
	return part, nil
}

func (v View) hotPart(after lamppost.Height) (*Part, error) {
	part, bytes := new(Part), 0
	err := v.Scan(heightKey(blockKind, after+1), []byte{'a', blockKind + 1}, func(_, val []byte) error {
		var b PartBlock
		if err := lamppost.Unmarshal(val, &b.Block); err != nil {
			return err
		}
		b.Records = make([]Record, b.Count)
		for i := range b.Records {
			var err error
			if b.Records[i], err = v.Tx(b.Height, uint32(i)); err != nil && !errors.Is(err, ErrForgotten) {
				return err
			}
			bytes += len(b.Records[i].Raw)
		}
		if part.Blocks = append(part.Blocks, b); bytes >= MaxHotBytes {
			return kv.ErrStop
		}
		return nil
	})
	if err != nil || len(part.Blocks) == 0 {
		return nil, err
	}
	return part, nil
}
