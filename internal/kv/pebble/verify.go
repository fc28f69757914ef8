package pebble

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// A DamagedError says that a file of the store is not what was written, and where.
type DamagedError struct {
	File   string // its name
	Offset int64  // of what is damaged; -1: not known
	What   string
}

// Error names the place.
func (e *DamagedError) Error() string {
	if e.Offset < 0 {
		return fmt.Sprintf("%s is damaged: %s", e.File, e.What)
	}
	return fmt.Sprintf("%s is damaged at byte %d: %s", e.File, e.Offset, e.What)
}

// Verify reads every file of the store in dir, which nobody has open, and checks every checksum in it. What is damaged it returns; an
// error means that the folder cannot be read. progress is called after each file with the bytes read.
func Verify(ctx context.Context, dir string, progress func(done, all int64)) ([]*DamagedError, error) {
	disk := vfs.Default
	names, err := disk.List(dir)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	var all, done int64
	sizes := map[string]int64{}
	for _, name := range names {
		info, err := disk.Stat(disk.PathJoin(dir, name))
		if err != nil {
			return nil, err
		}
		sizes[name] = info.Size()
		all += info.Size()
	}
	var found []*DamagedError
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		err := verifyFile(disk, dir, name)
		var damaged *DamagedError
		if errors.As(err, &damaged) {
			found = append(found, damaged)
		} else if err != nil {
			return nil, err
		}
		done += sizes[name]
		progress(done, all)
	}
	return found, nil
}

func verifyFile(disk vfs.FS, dir, name string) error {
	switch {
	case strings.HasSuffix(name, ".sst"):
		return verifyTable(disk, dir, name)
	case strings.HasSuffix(name, ".log"), strings.HasPrefix(name, "MANIFEST-"):
		return verifyRecords(disk, dir, name)
	}
	return nil
}

// verifyTable checks every block of a table. Its footer and properties are checked by opening it.
func verifyTable(disk vfs.FS, dir, name string) error {
	f, err := disk.Open(disk.PathJoin(dir, name))
	if err != nil {
		return err
	}
	readable, err := sstable.NewSimpleReadable(f)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	table, err := sstable.NewReader(context.Background(), readable, settings(disk, nil, Options{}).MakeReaderOptions())
	if err != nil {
		return errors.Join(&DamagedError{name, -1, err.Error()}, readable.Close())
	}
	if err := table.ValidateBlockChecksums(); err != nil {
		return errors.Join(&DamagedError{name, -1, err.Error()}, table.Close())
	}
	return table.Close()
}

// The write ahead logs and the manifest are in blocks of 32 KiB, which hold chunks: checksum, length, type, and by type the low
// bits of the log's number and the offset up to which was synced; then the payload. What is left of a block is zeros. Whatever the
// library cannot read at the end of a file it takes for a write that a crash cut short, and goes on without it. Such a write
// ends with the file, or has sectors of zeros in it that never reached the disk. Anything else was written whole, synced and
// acknowledged: opening the store would silently forget it.
const (
	recordBlock  = 32 << 10
	recordHeader = 7
	sector       = 512
	endChunk     = 5 // the type of the chunk that ends a log
)

// headerBytes of a chunk by its type; 0: there is no such type.
var headerBytes = [13]int{0, 7, 7, 7, 7, 11, 11, 11, 11, 19, 19, 19, 19}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// masked is a checksum as the library stores it.
func masked(crc uint32) uint32 { return (crc>>15 | crc<<17) + 0xa282ead8 }

// verifyRecords checks every chunk of a write ahead log or manifest.
func verifyRecords(disk vfs.FS, dir, name string) error {
	f, err := disk.Open(disk.PathJoin(dir, name))
	if err != nil {
		return err
	}
	defer f.Close()
	number, _ := strconv.ParseUint(strings.TrimSuffix(name, ".log"), 10, 64) // 0 for the manifest, whose chunks have none
	for at := int64(0); ; at += recordBlock {
		block := make([]byte, recordBlock)
		n, err := io.ReadFull(f, block)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return err
		}
		c := records{block: block[:n], last: n < recordBlock, number: uint32(number)}
		off, what := c.check()
		if what == "" {
			continue
		}
		rest, err := io.ReadAll(f)
		if err != nil {
			return err
		}
		if c.short || torn(at+int64(off), append(c.block[off:], rest...)) {
			return nil
		}
		return &DamagedError{name, at + int64(off), what}
	}
}

// records checks the chunks of one block.
type records struct {
	block  []byte
	last   bool // of the file
	number uint32
	short  bool // the file ends inside a chunk
}

// check returns where the first chunk stands that is not as it was written, and what is wrong with it.
func (c *records) check() (off int, what string) {
	for off < len(c.block) {
		rest := c.block[off:]
		if len(rest) < recordHeader || allZero(rest[:recordHeader]) {
			if !allZero(rest) || c.last && len(rest) >= headerBytes[12] {
				return off, "zeros stand where something should, or the other way round"
			}
			return 0, ""
		}
		size, what := c.chunk(rest)
		if what != "" {
			return off, what
		}
		off += size
	}
	return 0, ""
}

// chunk checks the chunk at the front of b and returns how long it is.
func (c *records) chunk(b []byte) (size int, what string) {
	kind := int(b[6])
	if kind >= len(headerBytes) || headerBytes[kind] == 0 {
		return 0, fmt.Sprintf("a chunk of type %d", kind)
	}
	head := headerBytes[kind]
	size = head + int(binary.LittleEndian.Uint16(b[4:]))
	sum := binary.LittleEndian.Uint32(b)
	if head > recordHeader && len(b) >= head {
		switch n := binary.LittleEndian.Uint32(b[7:]); {
		case n == c.number+1 && size == head && sum == 0 && kind == endChunk: // the end of the log; it has no checksum
			return size, ""
		case n != c.number:
			return 0, fmt.Sprintf("a chunk of log %d", n)
		}
	}
	if size > len(b) {
		c.short = c.last && !holds(b[6:], sum)
		return 0, "a chunk that does not end in its block"
	}
	if masked(crc32.Checksum(b[6:size], castagnoli)) != sum {
		return 0, "its checksum does not fit"
	}
	return size, ""
}

// holds says whether some beginning of b has the checksum: then the chunk is there and its length is what is damaged.
func holds(b []byte, sum uint32) bool {
	crc := uint32(0)
	for i := range b {
		if crc = crc32.Update(crc, castagnoli, b[i:i+1]); masked(crc) == sum {
			return true
		}
	}
	return false
}

// torn says whether a crash can have left this at the end of a file, from an offset on: a sector, or what of one is in it, is zeros.
func torn(off int64, rest []byte) bool {
	for len(rest) > 0 {
		n := min(len(rest), sector-int(off%sector))
		if allZero(rest[:n]) {
			return true
		}
		off, rest = off+int64(n), rest[n:]
	}
	return false
}

func allZero(b []byte) bool { return len(bytes.TrimLeft(b, "\x00")) == 0 }

// verifyLogs checks what the library would go on without, before it does.
func verifyLogs(disk vfs.FS, dir string) error {
	names, err := disk.List(dir)
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, name := range names {
		if strings.HasSuffix(name, ".log") || strings.HasPrefix(name, "MANIFEST-") {
			if err := verifyRecords(disk, dir, name); err != nil {
				return fmt.Errorf("%s in %q: what was written there was acknowledged, so nothing is opened: lamppost fsck says more: %w",
					filepath.Base(name), dir, err)
			}
		}
	}
	return nil
}
