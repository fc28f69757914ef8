// Package scrub knows about reading everything again, slowly: objects of the archive, tiles of the log, snapshots. What rests on a disk
// changes now and then without anybody hearing of it, and is needed years later.
//
// It promises that everything is read and checked once in a time that is set, in small steps between which it rests, that a restart
// goes on where it was, and that what it finds it tells and nothing more: it stops nobody and changes nothing. Start reading at
// [Scrubber.Run].
package scrub

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/snapshot"
	"github.com/lamppost/lamppost/internal/snapshot/dir"
	"github.com/lamppost/lamppost/internal/tilelog"
)

// Config says what is read, and how slowly.
type Config struct {
	Every     time.Duration // for all of it
	Store     kv.Store      // lists the packs, and keeps where the reading is
	Packs     *archive.Packs
	Files     tilelog.Source
	Published func() (lamppost.Checkpoint, bool) // the latest checkpoint of Files
	Snapshots *dir.Dir
	Now       func() lamppost.TimeMS
	Rest      func(ctx context.Context, d time.Duration) error // waits; nil: for real
	Found     func(Fault)                                      // is told of each fault when it is found
	Read      func(bytes int64)                                // is told how much was read
}

// A Fault is something that is not what was written, and where.
type Fault struct {
	Where string
	What  string
	At    lamppost.TimeMS // when it was found
}

// A State says how far the reading is.
type State struct {
	Began   lamppost.TimeMS // this time round; 0: not yet
	Percent int             // of it
	Faults  []Fault         // that were there when they were read last, by place
}

// A Scrubber reads. Run is called once; State by anybody.
type Scrubber struct {
	cfg Config

	mu     sync.Mutex
	began  lamppost.TimeMS
	done   int64
	all    int64
	faults map[string]Fault
}

// maxFaults bounds what is kept of a disk that is going.
const maxFaults = 100

// New returns a Scrubber.
func New(cfg Config) *Scrubber {
	if cfg.Rest == nil {
		cfg.Rest = rest
	}
	return &Scrubber{cfg: cfg, faults: map[string]Fault{}}
}

func rest(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// State says how far it is.
func (s *Scrubber) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := State{Began: s.began}
	if s.all > 0 {
		st.Percent = int(100 * s.done / s.all)
	}
	for _, where := range slices.Sorted(maps.Keys(s.faults)) {
		st.Faults = append(st.Faults, s.faults[where])
	}
	return st
}

// An item is read in one go.
type item struct {
	key   string // sorts in the order of reading
	where string
	bytes int64 // about
	check func() error
}

// Run reads until ctx is done, again and again. What goes wrong with the reading itself is a fault too.
func (s *Scrubber) Run(ctx context.Context) error {
	at, began := s.resume()
	for {
		items, err := s.items()
		if err != nil {
			s.note(Fault{Where: "scrub", What: err.Error()}, true)
		}
		if err := s.pass(ctx, items, at, began); err != nil {
			return nil // ctx is done
		}
		at, began = "", 0
		if len(items) == 0 {
			if s.cfg.Rest(ctx, max(time.Minute, s.cfg.Every/100)) != nil {
				return nil
			}
		}
	}
}

// pass reads all items after one.
func (s *Scrubber) pass(ctx context.Context, items []item, after string, began lamppost.TimeMS) error {
	if began == 0 {
		began = s.cfg.Now()
	}
	s.mu.Lock()
	s.began, s.done, s.all = began, 0, 0
	for i := range items {
		s.all += items[i].bytes
	}
	all := s.all
	s.mu.Unlock()
	for i := range items {
		it := &items[i]
		if it.key > after {
			share := time.Duration(float64(s.cfg.Every) * float64(it.bytes) / float64(all))
			if err := s.cfg.Rest(ctx, share); err != nil {
				return err
			}
			s.read(it)
			s.keep(it.key, began)
		}
		s.mu.Lock()
		s.done += it.bytes
		s.mu.Unlock()
	}
	s.keep("", 0)
	return ctx.Err()
}

// read reads an item. What is not there any more was replaced or removed since the list was made, or the next list will say.
func (s *Scrubber) read(it *item) {
	err := it.check()
	s.cfg.Read(it.bytes)
	if err != nil && errors.Is(err, fs.ErrNotExist) && !s.listed(it.key) {
		err = nil
	}
	f := Fault{Where: it.where}
	if err != nil {
		f.What = err.Error()
	}
	s.note(f, err != nil)
}

// note keeps a fault or drops it.
func (s *Scrubber) note(f Fault, damaged bool) {
	s.mu.Lock()
	old, known := s.faults[f.Where]
	if f.At = s.cfg.Now(); known && damaged {
		f.At = old.At
	}
	if delete(s.faults, f.Where); damaged && len(s.faults) < maxFaults {
		s.faults[f.Where] = f
	}
	s.mu.Unlock()
	if damaged && !known {
		s.cfg.Found(f)
	}
}

// listed says whether an item is still in the list.
func (s *Scrubber) listed(key string) bool {
	items, err := s.items()
	return err != nil || slices.ContainsFunc(items, func(it item) bool { return it.key == key })
}

// items lists all there is to read.
func (s *Scrubber) items() (items []item, err error) {
	packs, err := archive.View{Reader: s.cfg.Store, Packs: s.cfg.Packs}.All()
	for _, p := range packs {
		name := p.Name.String()
		items = append(items, item{fmt.Sprintf("1 %016x %s", uint64(p.First), name), "archive/" + name[:2] + "/" + name, p.Bytes, func() error {
			_, err := s.cfg.Packs.Verify(p.Name)
			return err
		}})
	}
	if c, ok := s.cfg.Published(); ok {
		for n := int64(0); n<<8 < c.Size; n++ {
			items = append(items, item{fmt.Sprintf("2 %016x", n), fmt.Sprintf("log, leaves %d to %d", n<<8, min(c.Size, (n+1)<<8)-1), bundleBytes, func() error {
				_, err := tilelog.TreeOf(s.cfg.Files, c).Bundle(n)
				return err
			}})
		}
	}
	snaps, snapErr := s.cfg.Snapshots.List()
	for _, e := range snaps {
		items = append(items, item{"3 " + e.Name, "snapshots/" + e.Name, e.Bytes, func() error { return s.snapshot(e.Name) }})
	}
	return items, errors.Join(err, snapErr)
}

// bundleBytes is about what a bundle and its tile take on a disk.
const bundleBytes = 30 << 10

func (s *Scrubber) snapshot(name string) error {
	f, err := s.cfg.Snapshots.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	file, err := snapshot.Open(f, info.Size())
	if err != nil {
		return err
	}
	return file.Verify()
}

// placeKey holds where the reading is, so that it does not begin again with every start.
var placeKey = []byte("nS")

type place struct {
	_     struct{} `cbor:",toarray"`
	Key   string
	Began lamppost.TimeMS
}

// keep remembers the item that was read last. It is no harm if that cannot be written.
func (s *Scrubber) keep(key string, began lamppost.TimeMS) {
	var b kv.Batch
	b.Set(placeKey, lamppost.Marshal(place{Key: key, Began: began}))
	_ = s.cfg.Store.Apply(&b)
}

func (s *Scrubber) resume() (key string, began lamppost.TimeMS) {
	raw, err := s.cfg.Store.Get(placeKey)
	var p place
	if err != nil || lamppost.Unmarshal(raw, &p) != nil {
		return "", 0
	}
	return p.Key, p.Began
}
