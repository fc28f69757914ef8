package sim

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/tilelog"
)

// A disk is the node's store. What was applied survives a crash; a planned fault makes the next write fail, done or not.
type disk struct {
	*kv.Faulty
	w       *world
	mem     *kv.Mem
	next    kv.Fault
	durable *kv.Mem // a write behind mem, where DurableWrites is broken
}

func newDisk(w *world) *disk {
	d := &disk{w: w, mem: kv.NewMem(), durable: kv.NewMem()}
	d.wrap()
	return d
}

func (d *disk) wrap() {
	d.Faulty = kv.NewFaulty(d.mem, func(int) kv.Fault { return d.next })
}

// plan decides the fate of the next write.
func (d *disk) plan(w *world) {
	d.next = kv.Fails
	if w.chance(2) {
		d.next = kv.FailsWritten
	}
	w.note("the next write %v", d.next)
}

func (d *disk) calm() { d.next = kv.Works }

// Apply implements kv.Store.
func (d *disk) Apply(b *kv.Batch) error {
	if d.w.o.Broken == DurableWrites {
		d.durable = clone(d.mem)
	}
	fault := d.next
	err := d.Faulty.Apply(b)
	if errors.Is(err, kv.ErrInjected) {
		d.w.result.Faults++
		d.next = kv.Works
		if d.w.o.Broken == AtomicWrites && fault == kv.Fails {
			d.tear(b)
		}
	}
	return err
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

func (d *disk) crash(w *world) {
	if w.o.Broken == DurableWrites && !w.quiet {
		d.mem = d.durable
		d.wrap()
	}
	d.Reopen()
}

func clone(m *kv.Mem) *kv.Mem {
	var b kv.Batch
	if err := m.Scan([]byte{0}, nil, func(k, v []byte) error { b.Set(k, v); return nil }); err != nil {
		panic(err)
	}
	c := kv.NewMem()
	if err := c.Apply(&b); err != nil {
		panic(err)
	}
	return c
}

var errFile = errors.New("injected fault of a file")

// files is where the log is published. It survives crashes; an operation fails now and then, done or not.
type files struct {
	w    *world
	data map[string][]byte
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
			f.w.violate("published file %q is written again with other bytes", x.Path)
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
