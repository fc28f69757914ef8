package behave

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"unsafe"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/triage/saved"
)

// The words that open a saved device and what a fleet shares: four letters and the version of columns and settings, one for both.
const (
	deviceMagic = 0x31_30_30_30_44_42_50_4c // "LPBD0001", little-endian
	commonMagic = 0x31_30_30_30_43_42_50_4c // "LPBC0001"
)

var (
	errVersion = errors.New("it is of another version")
	errSum     = errors.New("counts that no records make")
)

// AppendDevice appends the state of a device, or nothing where it is not known. A fleet with the same common state that loads it goes on
// as this one would. docs/formats.md has the layout.
func (f *Fleet) AppendDevice(b []byte, id lamppost.DeviceID) []byte {
	d := f.devices[id]
	if d == nil {
		return b
	}
	s := saved.Writer(b)
	d.state(s)
	return s.Bytes()
}

// LoadDevice loads what AppendDevice wrote. On an error the device is not known.
func (f *Fleet) LoadDevice(id lamppost.DeviceID, b []byte) error {
	d := &device{own: NewModel(deviceSchema)}
	s := saved.Reader(b)
	d.state(s)
	if err := s.End(); err != nil {
		return fmt.Errorf("reading how device %q behaves: %w", id, err)
	}
	if f.devices[id] == nil && len(f.devices) >= MaxDevices {
		return ErrFull
	}
	f.devices[id] = d
	return nil
}

func (d *device) state(s *saved.State) {
	if !opens(s, deviceMagic) {
		return
	}
	s.Text(&d.kin, maxKinBytes)
	odd := int(d.odd)
	times(s, &d.last, &d.newest, &d.since)
	s.Count(&odd, 1<<5-1)
	s.Count(&d.quiet, refractory)
	s.Count(&d.skips, oddLearnt)
	s.U64(&d.banned)
	s.Within(&d.level, Level, maxLevel)
	d.odd = uint8(odd)
	d.own.state(s)
}

// A before is all that a finding depends on: docs/formats.md has its table.
type before struct {
	Common []byte   `cbor:"1,keyasint"` // with the device's kin alone
	Device []byte   `cbor:"2,keyasint"`
	Minute Minute   `cbor:"3,keyasint"`
	May    []uint64 `cbor:"4,keyasint"`
}

func (f *Fleet) before(d *device, m *Minute, may []uint64) []byte {
	part := *f
	part.kins = map[string]*Model{}
	if k := f.kins[d.kin]; k != nil {
		part.kins[d.kin] = k
	}
	s, kept := saved.Writer(nil), *d
	kept.state(s)
	return lamppost.Marshal(before{part.AppendCommon(nil), s.Bytes(), *m, may})
}

// Replay gives a finding on a device again, from its Before. It refuses what was damaged or is of another version.
func Replay(raw []byte, id lamppost.DeviceID) (*Finding, error) {
	var b before
	if err := lamppost.Unmarshal(raw, &b); err != nil {
		return nil, fmt.Errorf("reading what a finding is replayed from: %w", err)
	}
	f := NewFleet()
	if err := f.LoadCommon(b.Common); err != nil {
		return nil, err
	}
	if err := f.LoadDevice(id, b.Device); err != nil {
		return nil, err
	}
	return f.Observe(id, "", &b.Minute, b.May)
}

// maxKinBytes is the longest name of a kin that is saved.
const maxKinBytes = lamppost.MaxNameBytes + lamppost.MaxNameBytes

// AppendCommon appends what all devices share: their kin, and the numbers of names and firmware.
func (f *Fleet) AppendCommon(b []byte) []byte {
	s := saved.Writer(b)
	f.common(s)
	return s.Bytes()
}

// LoadCommon loads what AppendCommon wrote. On an error the fleet is as NewFleet made it.
func (f *Fleet) LoadCommon(b []byte) error {
	s := saved.Reader(b)
	f.common(s)
	if err := s.End(); err != nil {
		*f = *NewFleet()
		return fmt.Errorf("reading how devices behave: %w", err)
	}
	return nil
}

func (f *Fleet) common(s *saved.State) {
	if !opens(s, commonMagic) {
		return
	}
	f.names.state(s)
	f.images.state(s)
	f.all.state(s)
	names := slices.Sorted(maps.Keys(f.kins))
	n := len(names)
	s.Count(&n, MaxKins)
	for i := 0; i < n && s.Err() == nil; i++ {
		name, m := "", NewModel(deviceSchema)
		if i < len(names) {
			name, m = names[i], f.kins[names[i]]
		}
		s.Text(&name, maxKinBytes)
		m.state(s)
		f.kins[name] = m
	}
}

func opens(s *saved.State, magic uint64) bool {
	word := magic
	if s.U64(&word); word != magic {
		s.Fail(errVersion)
	}
	return s.Err() == nil
}

func times(s *saved.State, all ...*lamppost.TimeMS) {
	for _, t := range all {
		word := uint64(*t)
		s.Upto(&word, math.MaxInt64/2)
		*t = lamppost.TimeMS(word)
	}
}

func (n *numbers) state(s *saved.State) {
	count := len(n.list)
	s.Count(&count, n.bins-2)
	for i := range count {
		if i == len(n.list) {
			n.list = append(n.list, 0)
		}
		s.U64(&n.list[i])
	}
}

// state writes the counts four in a word. How many cells are not 0 follows from them.
func (m *Model) state(s *saved.State) {
	s.Count(&m.n, forgetting)
	s.Count(&m.due, forgetting+forgetting/8+1)
	for i := 0; i < len(m.counts); i += 4 {
		four := m.counts[i:min(i+4, len(m.counts))]
		word := uint64(0)
		for k, c := range four {
			word |= uint64(c) << (16 * k)
		}
		s.U64(&word)
		for k := range four {
			four[k] = uint16(word >> (16 * k))
		}
	}
	for f := range m.met {
		s.Within(&m.usual[f], 0, maxNats)
		s.Within(&m.spread[f], 0, maxNats)
	}
	m.recount()
	if !m.adds() {
		s.Fail(errSum)
	}
}

// maxNats is more than any surprise has.
const maxNats = 100

// adds reports whether no feature was counted more often than there were records.
func (m *Model) adds() bool {
	for f := range m.met {
		sum := 0
		for _, c := range m.counts[m.schema.first[f]:m.schema.first[f+1]] {
			sum += int(c)
		}
		if sum > m.n {
			return false
		}
	}
	return true
}

// DeviceBytes is how much memory a device takes.
func DeviceBytes() int {
	m := NewModel(deviceSchema)
	return int(unsafe.Sizeof(device{})+unsafe.Sizeof(*m)) + 2*len(m.counts) + 8*(len(m.met)+len(m.usual)+len(m.spread))
}
