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
	err := v.Scan(heightKey(packKind, after+1), []byte{'a', packKind + 1}, func(_, val []byte) error {
		if err := lamppost.Unmarshal(val, &p); err != nil {
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

func (v View) packPart(p Pack, after lamppost.Height) (*Part, error) {
	c, err := v.Packs.read(p.Name)
	if errors.Is(err, fs.ErrNotExist) { // written anew since the snapshot was taken
		if now, ok, findErr := find(v.Packs.latest, p.Last); findErr == nil && ok {
			c, err = v.Packs.read(now.Name)
		}
	}
	if err != nil {
		return nil, err
	}
	part := &Part{Series: c.series}
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
