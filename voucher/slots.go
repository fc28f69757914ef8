package voucher

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/lamppost/lamppost"
)

// A File holds the state of a wallet or till. Nothing written is durable before Sync returns; until then any part of it may be. Whoever
// makes one makes its name durable too. *os.File is one.
type File interface {
	io.ReaderAt
	io.WriterAt
	Sync() error
}

// slots keep a state in two places of a file, written in turn, so that the one being written can be lost; nothing was shown of it then:
//
//	offset        size  what
//	0 and 4096    8     magic: seven letters and a version digit
//	8             8     generation, big-endian like all that follows; the slot with the higher one counts
//	16            2     length n of the state, at most 1024
//	18            n     state, deterministic CBOR
//	18+n          4     CRC-32C over all before it
type slots struct {
	f      File
	magic  string
	gen    uint64
	broken error // of the disk: what it holds is known only after opening it anew
}

const (
	slotOffset    = 4096
	slotHead      = 18
	maxStateBytes = 1024
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// begin writes the first state where there is none.
func (s *slots) begin(state any) error {
	if _, _, ok := s.newest(); ok {
		return errors.New("the file holds the state of a channel: it would be lost")
	}
	return s.save(state)
}

func (s *slots) load(state any) error {
	gen, body, ok := s.newest()
	if !ok {
		return fmt.Errorf("the file holds no state of this kind (%s), or its making was cut short", s.magic)
	}
	s.gen = gen
	return lamppost.Unmarshal(body, state)
}

func (s *slots) newest() (gen uint64, body []byte, ok bool) {
	for i := range int64(2) {
		if g, b, valid := s.read(i); valid && (!ok || g > gen) {
			gen, body, ok = g, b, true
		}
	}
	return gen, body, ok
}

func (s *slots) read(i int64) (gen uint64, body []byte, ok bool) {
	var buf [slotHead + maxStateBytes + 4]byte
	n, err := s.f.ReadAt(buf[:], i*slotOffset)
	if err != nil && err != io.EOF || n < slotHead || string(buf[:8]) != s.magic {
		return 0, nil, false
	}
	end := slotHead + int(binary.BigEndian.Uint16(buf[16:]))
	if end+4 > n || crc32.Checksum(buf[:end], castagnoli) != binary.BigEndian.Uint32(buf[end:]) {
		return 0, nil, false
	}
	return binary.BigEndian.Uint64(buf[8:]), buf[slotHead:end], true
}

// save makes a state durable, in the slot that does not hold the last one.
func (s *slots) save(state any) error {
	if s.broken != nil {
		return s.broken
	}
	body := lamppost.Marshal(state)
	if len(body) > maxStateBytes {
		return fmt.Errorf("a state of %d bytes is over the limit of %d", len(body), maxStateBytes)
	}
	b := binary.BigEndian.AppendUint64([]byte(s.magic), s.gen+1)
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(body))), body...)
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	_, err := s.f.WriteAt(b, int64(s.gen%2)*slotOffset)
	if err == nil {
		err = s.f.Sync()
	}
	if err != nil {
		s.broken = fmt.Errorf("keeping the state of a channel; open it anew: %w", err)
		return s.broken
	}
	s.gen++
	return nil
}
