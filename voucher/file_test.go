package voucher_test

import (
	"errors"
	"io"
	"math/rand/v2"
	"slices"
)

var errPower = errors.New("the power is gone")

// power fails at a chosen call; -1: never. Several files may hang on one.
type power struct{ calls, failAt int }

func (p *power) dead() bool { return p.failAt >= 0 && p.calls > p.failAt }

// step counts a call that changes something. The call at failAt still takes effect, perhaps.
func (p *power) step() error {
	p.calls++
	if p.failAt >= 0 && p.calls > p.failAt {
		return errPower
	}
	return nil
}

// A memFile keeps what is durable apart from what is merely written.
type memFile struct {
	power  *power
	data   []byte
	synced []byte
	writes []memWrite // since the last Sync
}

type memWrite struct {
	off  int64
	data []byte
}

func (w memWrite) apply(data []byte) []byte {
	if n := int(w.off) + len(w.data) - len(data); n > 0 {
		data = append(data, make([]byte, n)...)
	}
	copy(data[w.off:], w.data)
	return data
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
	if f.power.dead() {
		return 0, errPower
	}
	w := memWrite{off, slices.Clone(p)}
	f.data, f.writes = w.apply(f.data), append(f.writes, w)
	return len(p), f.power.step()
}

func (f *memFile) Sync() error {
	if err := f.power.step(); err != nil {
		return err
	}
	f.synced, f.writes = slices.Clone(f.data), nil
	return nil
}

// lose returns the file as a power loss might leave it: without what was not synced, with all of it, or with some of each write.
func (f *memFile) lose(way int, p *power, random *rand.Rand) *memFile {
	data := slices.Clone(f.synced)
	for _, w := range f.writes {
		switch way {
		case 1:
			data = w.apply(data)
		case 2:
			data = memWrite{w.off, w.data[:random.IntN(len(w.data)+1)]}.apply(data)
		}
	}
	return &memFile{power: p, data: data, synced: slices.Clone(data)}
}
