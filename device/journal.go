package device

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// A journal is a file of records that grows at its end:
//
//	offset  size  what
//	0       8     magic: seven letters and a version digit
//	then for every record:
//	0       1     0xa5
//	1       1     type
//	2       4     length n of the body, big-endian, at most maxRecordBytes
//	6       4     CRC-32C over bytes 1 to 5 and the body
//	10      n     body
//
// Bytes that are no record are passed over, so a torn or rotten one costs itself and none after it. What is passed over
// at the end is cut off. Whoever reads a journal must therefore bear an old record that comes back: after a power loss,
// blocks of a file's former life can stand beyond its end.
type journal struct {
	disk    disk
	name    string
	magic   string
	f       file
	size    int64 // where the next record goes
	damaged int64 // bytes before size that are no record
}

const (
	recordMark   = 0xa5
	recordHeader = 10
	magicBytes   = 8
)

// A record is one entry of a journal. Its body aliases a buffer that the next record reuses.
type record struct {
	kind byte
	body []byte
	off  int64 // of the body in the file
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// openJournal opens the named journal, making it durably where it is absent, and calls each for every record in order.
func openJournal(d disk, name, magic string, each func(record) error) (*journal, error) {
	f, err := d.Open(name)
	if err != nil {
		return nil, fmt.Errorf("opening %q: %w", name, err)
	}
	j := &journal{disk: d, name: name, magic: magic, f: f}
	if err := j.replay(each); err != nil {
		return nil, errors.Join(fmt.Errorf("reading %q: %w", name, err), f.Close())
	}
	return j, nil
}

func (j *journal) replay(each func(record) error) error {
	var magic [magicBytes + 1]byte
	n, err := j.f.ReadAt(magic[:], 0)
	if err != nil && err != io.EOF {
		return err
	}
	if string(magic[:min(n, magicBytes)]) == j.magic {
		return j.replayRecords(each)
	}
	if n > magicBytes {
		return fmt.Errorf("it begins with %q, not with %q", magic[:magicBytes], j.magic)
	}
	return j.create() // new, or torn while it was being made: the magic is durable before the first record
}

func (j *journal) create() error {
	if err := j.f.Truncate(0); err != nil {
		return err
	}
	if _, err := j.f.WriteAt([]byte(j.magic), 0); err != nil {
		return err
	}
	j.size = magicBytes
	if err := j.f.Sync(); err != nil {
		return err
	}
	return j.disk.Sync()
}

func (j *journal) replayRecords(each func(record) error) error {
	r := bufio.NewReaderSize(io.NewSectionReader(j.f, magicBytes, 1<<62), recordHeader+maxRecordBytes)
	j.size = magicBytes
	var skipped int64
	for {
		rec, err := peekRecord(r)
		if err == io.EOF {
			break
		}
		if err == errNoRecord {
			skipped++
			r.Discard(1)
			continue
		}
		if err != nil {
			return err
		}
		rec.off = j.size + skipped + recordHeader
		if err := each(rec); err != nil {
			return err
		}
		j.damaged += skipped
		j.size, skipped = rec.off+int64(len(rec.body)), 0
		r.Discard(recordHeader + len(rec.body))
	}
	if skipped == 0 {
		return nil
	}
	return j.f.Truncate(j.size)
}

var errNoRecord = errors.New("no record here")

// peekRecord returns the record at the reader's place without moving on. io.EOF means that nothing is left at all.
func peekRecord(r *bufio.Reader) (record, error) {
	head, err := r.Peek(recordHeader)
	switch {
	case len(head) == 0:
		return record{}, err
	case err != nil && err != io.EOF:
		return record{}, err
	case err == io.EOF, head[0] != recordMark:
		return record{}, errNoRecord
	}
	n, sum := binary.BigEndian.Uint32(head[2:]), binary.BigEndian.Uint32(head[6:])
	if n > maxRecordBytes {
		return record{}, errNoRecord
	}
	all, err := r.Peek(recordHeader + int(n))
	if err != nil && err != io.EOF {
		return record{}, err
	}
	if err == io.EOF || recordSum(all) != sum {
		return record{}, errNoRecord
	}
	return record{kind: all[1], body: all[recordHeader:]}, nil
}

func recordSum(all []byte) uint32 {
	return crc32.Update(crc32.Checksum(all[1:6], castagnoli), castagnoli, all[recordHeader:])
}

func appendRecord(b []byte, kind byte, body ...[]byte) []byte {
	start, n := len(b), 0
	for _, part := range body {
		n += len(part)
	}
	b = append(b, recordMark, kind)
	b = binary.BigEndian.AppendUint32(b, uint32(n))
	b = append(b, 0, 0, 0, 0)
	for _, part := range body {
		b = append(b, part...)
	}
	binary.BigEndian.PutUint32(b[start+6:], recordSum(b[start:]))
	return b
}

// append writes a record whose body is the given parts and returns where that body stands. After an error the journal
// must not be used again: what the file holds is then known only after opening it anew.
func (j *journal) append(kind byte, body ...[]byte) (off int64, err error) {
	rec := appendRecord(nil, kind, body...)
	if _, err := j.f.WriteAt(rec, j.size); err != nil {
		return 0, fmt.Errorf("writing %q: %w", j.name, err)
	}
	off = j.size + recordHeader
	j.size += int64(len(rec))
	return off, nil
}

func (j *journal) sync() error {
	if err := j.f.Sync(); err != nil {
		return fmt.Errorf("syncing %q: %w", j.name, err)
	}
	return nil
}

// rewrite replaces the journal by one that holds what fill adds, wholly or not at all.
func (j *journal) rewrite(fill func(add func(kind byte, body ...[]byte) (int64, error)) error) error {
	f, err := j.disk.Open(j.name + ".new")
	if err != nil {
		return fmt.Errorf("rewriting %q: %w", j.name, err)
	}
	fresh := &journal{disk: j.disk, name: j.name + ".new", magic: j.magic, f: f}
	if err := fresh.fillFrom(fill); err != nil {
		return errors.Join(fmt.Errorf("rewriting %q: %w", j.name, err), f.Close())
	}
	if err := j.disk.Rename(fresh.name, j.name); err != nil {
		return errors.Join(fmt.Errorf("rewriting %q: %w", j.name, err), f.Close())
	}
	if err := j.disk.Sync(); err != nil {
		return errors.Join(fmt.Errorf("rewriting %q: %w", j.name, err), f.Close())
	}
	old := j.f
	j.f, j.size, j.damaged = f, fresh.size, 0
	if err := old.Close(); err != nil {
		return fmt.Errorf("closing the old %q: %w", j.name, err)
	}
	return nil
}

// fillFrom makes the journal of what fill adds, durable but for its name.
func (j *journal) fillFrom(fill func(add func(kind byte, body ...[]byte) (int64, error)) error) error {
	if err := j.create(); err != nil {
		return err
	}
	if err := fill(j.append); err != nil {
		return err
	}
	return j.f.Sync()
}

func (j *journal) close() error { return j.f.Close() }
