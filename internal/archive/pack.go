package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
)

// A Pack is what the store knows of an object with the bodies of some blocks.
type Pack struct {
	_       struct{} `cbor:",toarray"`
	First   lamppost.Height
	Last    lamppost.Height
	From    lamppost.TimeMS // of the first block
	To      lamppost.TimeMS // of the last block
	Name    lamppost.Hash   // of the object
	Bytes   int64
	Due     lamppost.TimeMS // when something may be taken out next; 0: never
	Reports uint64          // in its segments, when they were ordered
	Kept    uint64          // of these
}

// A storedBlock is a block in a frame.
type storedBlock struct {
	_     struct{} `cbor:",toarray"`
	Block Block
	Txs   []storedTx
}

// A storedTx is a whole transaction with its result, or a thin segment, or nothing at all: then it was erased.
type storedTx struct {
	_      struct{} `cbor:",toarray"`
	Raw    []byte
	Result []byte
	Thin   []byte
}

func (t *storedTx) record(h lamppost.Height, index uint32) (Record, error) {
	switch {
	case len(t.Thin) > 0:
		thin, err := lamppost.ParseThinSegment(t.Thin)
		return Record{Thin: thin}, err
	case len(t.Result) > 0:
		rec, err := decodeResult(t.Result)
		rec.Raw = t.Raw
		return rec, err
	}
	return Record{}, fmt.Errorf("transaction %d of block %d: %w", index, h, ErrForgotten)
}

// Packs reads packs and keeps frames that were read lately. It may be used by many goroutines.
type Packs struct {
	objects Objects
	latest  kv.Reader // the store: what replaces an object that a snapshot still names
	codec   *codec

	mu    sync.Mutex
	cache cache
}

// NewPacks returns the packs that the store lists and objects holds.
func NewPacks(store kv.Reader, objects Objects) (*Packs, error) {
	c, err := newCodec()
	return &Packs{objects: objects, latest: store, codec: c}, err
}

// All returns the packs in the order of their blocks.
func (v View) All() ([]Pack, error) {
	var all []Pack
	err := v.Scan([]byte{'a', packKind}, []byte{'a', packKind + 1}, func(_, val []byte) error {
		var p Pack
		err := lamppost.Unmarshal(val, &p)
		all = append(all, p)
		return err
	})
	return all, err
}

// find returns the pack that holds a block.
func find(r kv.Reader, h lamppost.Height) (p Pack, ok bool, err error) {
	err = r.Scan(heightKey(packKind, h), []byte{'a', packKind + 1}, func(_, val []byte) error {
		if err := lamppost.Unmarshal(val, &p); err != nil {
			return err
		}
		return kv.ErrStop
	})
	return p, err == nil && p.Last >= h && p.First <= h && p.Last > 0, err
}

// packedBlock reads a block from its pack, or returns ErrAbsent.
func (v View) packedBlock(h lamppost.Height) (*storedBlock, error) {
	absent := fmt.Errorf("block %d: %w", h, ErrAbsent)
	if v.Packs == nil {
		return nil, absent
	}
	p, ok, err := find(v.Reader, h)
	if err == nil && !ok {
		return nil, absent
	}
	if err != nil {
		return nil, err
	}
	blk, err := v.Packs.block(p.Name, h)
	if errors.Is(err, fs.ErrNotExist) { // written anew since the snapshot was taken
		if p, ok, err = find(v.Packs.latest, h); err == nil && ok {
			blk, err = v.Packs.block(p.Name, h)
		}
	}
	if err == nil && blk == nil {
		err = absent
	}
	return blk, err
}

// block reads a block of an object, nil if there is none of that height.
func (p *Packs) block(name lamppost.Hash, h lamppost.Height) (*storedBlock, error) {
	f, err := p.footer(name)
	if err != nil {
		return nil, err
	}
	at := -1
	for i := range f.Frames {
		if f.Frames[i].Kind == blocksFrame && f.Frames[i].First <= h {
			at = i
		}
	}
	if at < 0 {
		return nil, nil
	}
	blocks, err := p.blocks(name, f, at)
	for i := range blocks {
		if blocks[i].Block.Height == h {
			return &blocks[i], nil
		}
	}
	return nil, err
}

func (p *Packs) footer(name lamppost.Hash) (*footer, error) {
	return cached(p, cacheKey{name, -1}, func() (*footer, int, error) {
		f, err := readFooter(p.objects, name)
		return &f, 64 * (1 + len(f.Frames)), err
	})
}

func (p *Packs) blocks(name lamppost.Hash, f *footer, i int) ([]storedBlock, error) {
	return cached(p, cacheKey{name, i}, func() ([]storedBlock, int, error) {
		plain, err := readFrame(p.objects, p.codec, name, f, i)
		if err != nil {
			return nil, 0, err
		}
		var blocks []storedBlock
		if err := lamppost.Unmarshal(plain, &blocks); err != nil {
			return nil, 0, fmt.Errorf("object %s, frame %d: %w", name, i+1, err)
		}
		return blocks, len(plain), nil
	})
}

// A content is all that a pack holds.
type content struct {
	blocks []storedBlock
	series []Series
}

// read reads a whole pack, past the cache.
func (p *Packs) read(name lamppost.Hash) (*content, error) {
	f, err := readFooter(p.objects, name)
	if err != nil {
		return nil, err
	}
	c := new(content)
	for i := range f.Frames {
		plain, err := readFrame(p.objects, p.codec, name, &f, i)
		if err != nil {
			return nil, err
		}
		var blocks []storedBlock
		var series []Series
		switch f.Frames[i].Kind {
		case blocksFrame:
			err = lamppost.Unmarshal(plain, &blocks)
		case summaryFrame:
			err = lamppost.Unmarshal(plain, &series)
		default:
			err = fmt.Errorf("unknown kind %d", f.Frames[i].Kind)
		}
		if err != nil {
			return nil, fmt.Errorf("object %s, frame %d: %w", name, i+1, err)
		}
		c.blocks, c.series = append(c.blocks, blocks...), append(c.series, series...)
	}
	return c, nil
}

// encode makes an object of a content that has blocks, and what the store shall know of it.
func (p *Packs) encode(c *content, pause func()) (Pack, []byte) {
	w := objectWriter{codec: p.codec}
	size, from := 0, 0
	for i := range c.blocks {
		for j := range c.blocks[i].Txs {
			t := &c.blocks[i].Txs[j]
			size += len(t.Raw) + len(t.Result) + len(t.Thin) + 16
		}
		if size >= frameBytes || i == len(c.blocks)-1 {
			pause()
			w.add(blocksFrame, c.blocks[from].Block.Height, lamppost.Marshal(c.blocks[from:i+1]))
			size, from = 0, i+1
		}
	}
	if len(c.series) > 0 {
		w.add(summaryFrame, c.blocks[0].Block.Height, lamppost.Marshal(c.series))
	}
	name, data := w.end()
	first, last := &c.blocks[0].Block, &c.blocks[len(c.blocks)-1].Block
	return Pack{First: first.Height, Last: last.Height, From: first.Time, To: last.Time, Name: name, Bytes: int64(len(data))}, data
}

// A cache keeps what was read last, within maxCacheBytes: two generations, of which the older one goes when the younger one
// is half full.
type cache struct {
	young, old map[cacheKey]any
	bytes      int // of young
}

type cacheKey struct {
	name lamppost.Hash
	part int
}

func cached[T any](p *Packs, key cacheKey, read func() (T, int, error)) (T, error) {
	p.mu.Lock()
	v, ok := p.cache.young[key]
	if !ok {
		v, ok = p.cache.old[key]
	}
	p.mu.Unlock()
	if ok {
		return v.(T), nil
	}
	fresh, bytes, err := read()
	if err != nil {
		return fresh, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cache.young == nil || p.cache.bytes+bytes > maxCacheBytes/2 {
		p.cache.young, p.cache.old, p.cache.bytes = map[cacheKey]any{}, p.cache.young, 0
	}
	p.cache.young[key] = fresh
	p.cache.bytes += bytes
	return fresh, nil
}

// forget drops everything of an object from the cache.
func (p *Packs) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cache = cache{}
}

// Series returns what summaries have of a device's readings of one name in the hours that begin in [from, to): one Series for
// each unit, kind and exponent, by time of their packs.
func (v View) Series(d lamppost.DeviceID, name string, from, to lamppost.TimeMS) ([]Series, error) {
	packs, err := v.All()
	if err != nil || v.Packs == nil {
		return nil, err
	}
	var all []Series
	for i := range packs {
		series, err := v.Packs.series(packs[i].Name)
		if err != nil {
			return nil, err
		}
		for _, s := range series {
			if s.Device != d || s.Name != name {
				continue
			}
			s.Buckets = slices.DeleteFunc(slices.Clone(s.Buckets), func(b Bucket) bool {
				at := lamppost.TimeMS(b.Hour) * hourMS
				return at < from || at >= to
			})
			if len(s.Buckets) > 0 {
				all = merge(all, []Series{s})
			}
		}
	}
	return all, nil
}

// series reads the summaries of an object.
func (p *Packs) series(name lamppost.Hash) ([]Series, error) {
	f, err := p.footer(name)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(f.Frames, func(x frame) bool { return x.Kind == summaryFrame })
	if i < 0 {
		return nil, nil
	}
	return cached(p, cacheKey{name, i}, func() (all []Series, size int, err error) {
		plain, err := readFrame(p.objects, p.codec, name, f, i)
		if err == nil {
			err = lamppost.Unmarshal(plain, &all)
		}
		return all, len(plain), err
	})
}
