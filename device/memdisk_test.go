package device_test

import (
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/lamppost/lamppost/device"
)

var errPower = errors.New("the power is gone")

// A memDisk is a disk in memory whose power fails at a chosen call. It keeps what is durable apart from what is merely
// written, so that lose can return a disk as a power loss might leave it.
type memDisk struct {
	files   map[string]*memFile // as programs see them
	durable map[string]*memFile // the directory as of the last Sync
	calls   int                 // that change anything
	failAt  int                 // the call from which on everything fails; -1: never
}

type memFile struct {
	disk   *memDisk
	data   []byte
	synced []byte
	writes []memWrite // since the last Sync
}

// A memWrite is one change of a file; cut is set for a truncation to off.
type memWrite struct {
	off  int64
	data []byte
	cut  bool
}

func newMemDisk() *memDisk {
	return &memDisk{files: map[string]*memFile{}, durable: map[string]*memFile{}, failAt: -1}
}

// step counts a call that changes something. The call at failAt still takes effect, perhaps: its caller is told that it
// failed, and lose decides what is left of it.
func (d *memDisk) step() error {
	if d.failAt >= 0 && d.calls > d.failAt {
		return errPower
	}
	d.calls++
	if d.calls-1 == d.failAt {
		return errPower
	}
	return nil
}

func (d *memDisk) dead() bool { return d.failAt >= 0 && d.calls > d.failAt }

func (d *memDisk) Open(name string) (device.File, error) {
	if f := d.files[name]; f != nil {
		return f, nil
	}
	if d.dead() {
		return nil, errPower
	}
	f := &memFile{disk: d}
	d.files[name] = f
	return f, d.step()
}

func (d *memDisk) Exists(name string) (bool, error) { return d.files[name] != nil, nil }

func (d *memDisk) Rename(oldName, newName string) error {
	if d.dead() {
		return errPower
	}
	d.files[newName] = d.files[oldName]
	delete(d.files, oldName)
	return d.step()
}

func (d *memDisk) Sync() error {
	if err := d.step(); err != nil {
		return err
	}
	d.durable = maps.Clone(d.files)
	return nil
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(len(f.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	if f.disk.dead() {
		return 0, errPower
	}
	f.change(memWrite{off: off, data: slices.Clone(p)})
	return len(p), f.disk.step()
}

func (f *memFile) Truncate(size int64) error {
	if f.disk.dead() {
		return errPower
	}
	f.change(memWrite{off: size, cut: true})
	return f.disk.step()
}

func (f *memFile) change(w memWrite) {
	f.data = w.apply(f.data)
	f.writes = append(f.writes, w)
}

func (w memWrite) apply(data []byte) []byte {
	end := int(w.off) + len(w.data)
	if n := end - len(data); n > 0 {
		data = append(data, make([]byte, n)...)
	}
	copy(data[w.off:], w.data)
	if w.cut {
		data = data[:w.off]
	}
	return data
}

func (f *memFile) Sync() error {
	if err := f.disk.step(); err != nil {
		return err
	}
	f.synced, f.writes = slices.Clone(f.data), nil
	return nil
}

func (f *memFile) Close() error { return nil }

// How a power loss treats what was not synced.
const (
	loseAll  = iota // it is all gone
	keepAll         // all of it got to the disk all the same
	loseSome        // each write is there, gone, or there in part, and so are renames
	lossWays
)

// lose returns the disk as it is found when the power is back.
func (d *memDisk) lose(way int, random *rand.Rand) *memDisk {
	back := newMemDisk()
	files := d.files
	if way == loseAll || way == loseSome && random.IntN(2) == 0 {
		files = d.durable
	}
	for name, f := range files {
		data := slices.Clone(f.synced)
		for _, w := range f.writes {
			switch fate := random.IntN(3); {
			case way == loseAll, way == loseSome && fate == 0:
			case way == loseSome && fate == 1 && !w.cut:
				data = memWrite{off: w.off, data: w.data[:random.IntN(len(w.data)+1)]}.apply(data)
			default:
				data = w.apply(data)
			}
		}
		back.files[name] = &memFile{disk: back, data: data, synced: slices.Clone(data)}
	}
	back.durable = maps.Clone(back.files)
	return back
}
