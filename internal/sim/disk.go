package sim

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/tilelog"
)

// A disk is a store: a member's, or the log of its engine. What was applied survives a crash, unless the disk lies. It can be
// told to fail the next write, done or not, or all of them, since it is full; and a value on it can rot, which whoever reads it
// is told, as a store with checksums does.
type disk struct {
	*kv.Faulty
	w     *world
	mem   *kv.Mem
	next  kv.Fault
	full  bool
	lies  bool
	kept  []*kv.Mem       // while it lies, the states before the last writes
	rot   map[string]bool // keys whose values rotted
	found bool            // somebody was told
}

// maxLost is how many writes a lying disk loses at most.
const maxLost = 6

var errRot = errors.New("the checksum does not fit: a bit has flipped")

func newDisk(w *world, content *kv.Mem) *disk {
	d := &disk{w: w, rot: map[string]bool{}}
	d.set(content)
	return d
}

// set replaces the content, as a new disk with it would.
func (d *disk) set(content *kv.Mem) {
	d.mem = content
	d.Faulty = kv.NewFaulty(d.mem, func(int) kv.Fault { return d.next })
	d.kept = nil
	d.lies, d.found = false, false
	clear(d.rot)
}

// plan decides the fate of the next write.
func (d *disk) plan(w *world) {
	d.next = kv.Fails
	if w.chance(2) {
		d.next = kv.FailsWritten
	}
}

// fill lets every write fail until calm.
func (d *disk) fill() { d.full, d.next = true, kv.Fails }

// calm ends what is wrong from now on. What rotted stays rotten.
func (d *disk) calm() {
	d.full, d.lies, d.next, d.kept = false, false, kv.Works, nil
}

// Get implements kv.Reader.
func (d *disk) Get(key []byte) ([]byte, error) {
	if d.rotten(key) {
		return nil, errRot
	}
	return d.Faulty.Get(key)
}

// Scan implements kv.Reader.
func (d *disk) Scan(from, to []byte, fn func(key, val []byte) error) error {
	return d.scan(d.Faulty, from, to, fn)
}

func (d *disk) scan(r kv.Reader, from, to []byte, fn func(key, val []byte) error) error {
	if len(d.rot) == 0 {
		return r.Scan(from, to, fn)
	}
	return r.Scan(from, to, func(key, val []byte) error {
		if d.rotten(key) {
			return errRot
		}
		return fn(key, val)
	})
}

// rotten says whether a value's checksum does not fit. Nobody looks where ReadsChecked is broken.
func (d *disk) rotten(key []byte) bool {
	if !d.rot[string(key)] {
		return false
	}
	d.found = true
	return d.w.o.Broken != ReadsChecked
}

// Snapshot implements kv.Store.
func (d *disk) Snapshot() (kv.Snapshot, error) {
	s, err := d.Faulty.Snapshot()
	return checkedSnapshot{s, d}, err
}

type checkedSnapshot struct {
	kv.Snapshot
	d *disk
}

// Get implements kv.Reader.
func (s checkedSnapshot) Get(key []byte) ([]byte, error) {
	if s.d.rotten(key) {
		return nil, errRot
	}
	return s.Snapshot.Get(key)
}

// Scan implements kv.Reader.
func (s checkedSnapshot) Scan(from, to []byte, fn func(key, val []byte) error) error {
	return s.d.scan(s.Snapshot, from, to, fn)
}

// Apply implements kv.Store.
func (d *disk) Apply(b *kv.Batch) error {
	d.keep()
	fault, tried := d.next, d.Applies()
	err := d.Faulty.Apply(b)
	if errors.Is(err, kv.ErrInjected) {
		d.w.result.Faults++
		if !d.full {
			d.next = kv.Works
		}
		if d.w.o.Broken == AtomicWrites && fault == kv.Fails {
			d.tear(b)
		}
	}
	if fault != kv.Fails && d.Applies() > tried {
		d.heal(b)
	}
	return err
}

// keep remembers what a crash goes back to.
func (d *disk) keep() {
	most := maxLost
	if d.w.o.Broken == DurableWrites {
		most = 1
	} else if !d.lies {
		return
	}
	if d.kept = append(d.kept, d.mem.Fork()); len(d.kept) > most {
		d.kept = d.kept[1:]
	}
}

// heal forgets the rot of what is written anew.
func (d *disk) heal(b *kv.Batch) {
	if len(d.rot) == 0 {
		return
	}
	for op := range b.All() {
		for key := range d.rot {
			if key == string(op.Key) || op.Do == kv.DeleteRange && key >= string(op.Key) && key < string(op.Val) {
				delete(d.rot, key)
			}
		}
	}
}

// decay flips a bit in one of the values.
func (d *disk) decay(w *world) {
	var keys []string
	if err := d.mem.Scan([]byte{0}, nil, func(k, v []byte) error {
		if len(v) > 0 {
			keys = append(keys, string(k))
		}
		return nil
	}); err != nil || len(keys) == 0 {
		return
	}
	key := keys[w.rng.IntN(len(keys))]
	val, err := d.mem.Get([]byte(key))
	if err != nil {
		panic(err)
	}
	val[w.rng.IntN(len(val))] ^= 1 << w.rng.IntN(8)
	var b kv.Batch
	b.Set([]byte(key), val)
	if err := d.mem.Apply(&b); err != nil {
		panic(err)
	}
	d.rot[key] = true
	w.note("a bit flips in %q", key)
}

// tear writes the first half of a batch.
func (d *disk) tear(b *kv.Batch) {
	var half kv.Batch
	n := 0
	for op := range b.All() {
		if n++; n > b.Len()/2 {
			break
		}
		switch op.Do {
		case kv.Set:
			half.Set(op.Key, op.Val)
		case kv.Delete:
			half.Delete(op.Key)
		case kv.DeleteRange:
			half.DeleteRange(op.Key, op.Val)
		}
	}
	if err := d.mem.Apply(&half); err != nil {
		panic(err)
	}
}

// crash loses what was not durable and returns how many writes the disk had lied about.
func (d *disk) crash() (lost int) {
	if n := len(d.kept); n > 0 {
		lost = 1 + d.w.rng.IntN(n)
		rot := d.rot
		d.rot = map[string]bool{}
		d.set(d.kept[n-lost])
		for key := range rot {
			if _, err := d.mem.Get([]byte(key)); err == nil {
				d.rot[key] = true
			}
		}
	}
	d.Reopen()
	return lost
}

var errFile = errors.New("injected fault of a file")

// files is where the log is published. It survives crashes; an operation fails now and then, done or not. Its methods run in a
// goroutine of the publisher's, which waits for them.
type files struct {
	w     *world
	data  map[string][]byte
	wrong string // a rule that its user has broken
}

func newFiles(w *world) *files { return &files{w: w, data: map[string][]byte{}} }

// Get implements tilelog.Storage.
func (f *files) Get(path string) ([]byte, error) {
	if data, ok := f.data[path]; ok {
		return data, nil
	}
	return nil, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
}

// Put implements tilelog.Storage.
func (f *files) Put(list ...tilelog.File) error {
	for _, x := range list {
		if old, ok := f.data[x.Path]; ok && string(old) != string(x.Data) {
			f.wrong = fmt.Sprintf("published file %q is written again with other bytes", x.Path)
			return errors.New(f.wrong)
		}
		if err := f.write(x.Path, x.Data); err != nil {
			return err
		}
	}
	return nil
}

// PutCheckpoint implements tilelog.Storage.
func (f *files) PutCheckpoint(path string, old, new []byte) error {
	if string(f.data[path]) != string(old) {
		return errors.New("another checkpoint is there")
	}
	return f.write(path, new)
}

func (f *files) write(path string, data []byte) error {
	fails := !f.w.quiet && f.w.chance(40)
	if fails && f.w.chance(2) {
		return errFile
	}
	f.data[path] = append([]byte(nil), data...)
	if fails {
		return errFile
	}
	return nil
}
