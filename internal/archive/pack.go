package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"sync"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/compact"
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
	Times   times           // of the readings that are left, by their devices' clocks
}

// times are when the first and the last of some readings were measured; none: the first is after the last.
type times struct {
	_           struct{} `cbor:",toarray"`
	First, Last lamppost.TimeMS
}

var (
	noTimes  = times{First: math.MaxInt64, Last: math.MinInt64}
	allTimes = times{First: math.MinInt64, Last: math.MaxInt64}
)

func (t *times) add(first, last lamppost.TimeMS) {
	t.First, t.Last = min(t.First, first), max(t.Last, last)
}

// touch says whether a reading may be in [from, to).
func (t *times) touch(from, to lamppost.TimeMS) bool { return t.Last >= from && t.First < to }

// An olderPack is what the store knew of an object before it knew its readings' times.
type olderPack struct {
	_           struct{} `cbor:",toarray"`
	First, Last lamppost.Height
	From, To    lamppost.TimeMS
	Name        lamppost.Hash
	Bytes       int64
	Due         lamppost.TimeMS
	Reports     uint64
	Kept        uint64
}

func decodePack(raw []byte) (p Pack, err error) {
	if err = lamppost.Unmarshal(raw, &p); err == nil {
		return p, nil
	}
	var old olderPack
	if lamppost.Unmarshal(raw, &old) != nil {
		return p, err
	}
	return Pack{First: old.First, Last: old.Last, From: old.From, To: old.To, Name: old.Name, Bytes: old.Bytes, Due: old.Due, Reports: old.Reports, Kept: old.Kept,
		Times: allTimes}, nil
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
		p, err := decodePack(val)
		all = append(all, p)
		return err
	})
	return all, err
}

// find returns the pack that holds a block.
func find(r kv.Reader, h lamppost.Height) (p Pack, ok bool, err error) {
	err = r.Scan(heightKey(packKind, h), []byte{'a', packKind + 1}, func(_, val []byte) (err error) {
		if p, err = decodePack(val); err != nil {
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
	stored []storedSeries
	hours  []hourly // of older packs
}

// series decodes all summaries.
func (c *content) series() (all []Series, err error) {
	var d compact.Decoder
	left := maxPackValues
	for i := range c.stored {
		x := &c.stored[i]
		s, err := x.decode(&d, &left)
		if err != nil {
			return nil, fmt.Errorf("summary of %q of device %q: %w", x.Name, x.Device, err)
		}
		all = append(all, s)
	}
	for i := range c.hours {
		if len(c.hours[i].Buckets) > 0 {
			all = append(all, c.hours[i].series())
		}
	}
	return all, nil
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
		switch f.Frames[i].Kind {
		case blocksFrame:
			var blocks []storedBlock
			err = lamppost.Unmarshal(plain, &blocks)
			c.blocks = append(c.blocks, blocks...)
		case seriesFrame:
			var stored []storedSeries
			err = lamppost.Unmarshal(plain, &stored)
			c.stored = append(c.stored, stored...)
		case hourlyFrame:
			var hours []hourly
			err = lamppost.Unmarshal(plain, &hours)
			c.hours = append(c.hours, hours...)
		default:
			err = fmt.Errorf("unknown kind %d", f.Frames[i].Kind)
		}
		if err != nil {
			return nil, fmt.Errorf("object %s, frame %d: %w", name, i+1, err)
		}
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
	if len(c.stored) > 0 {
		w.add(seriesFrame, c.blocks[0].Block.Height, lamppost.Marshal(c.stored))
	}
	if len(c.hours) > 0 {
		w.add(hourlyFrame, c.blocks[0].Block.Height, lamppost.Marshal(c.hours))
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
