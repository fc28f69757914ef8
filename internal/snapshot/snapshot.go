// Package snapshot knows about files that hold the ledger's whole state after a block, so that a copy of the chain can begin
// there and needs no block before. A file also holds the right edge of the log, so that it can be continued, and a proof
// that members vouched for the state's digest on the ledger.
//
// It promises that equal states at equal heights give equal digests, whoever wrote the file with whatever compressor, and
// that every part is checked against the digest before it is handed out, without reading the others. It does not know what
// the state means, nor whether the proof is good: that is for package audit, against a pin.
//
// Start reading at [Writer] and [Open]. docs/formats.md has the bytes. Limits are in limits.go.
package snapshot

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
)

// A Head says where a snapshot was taken: after a block, with the log that it made.
type Head struct {
	Network string
	Height  lamppost.Height
	Time    lamppost.TimeMS // of the last block
	Size    int64           // of the log
	Root    lamppost.Hash   // of the log
}

const (
	version   = 1
	magic     = "LPS1"
	tailBytes = 4 + 4 + len(magic)
)

// A footer lists the chunks: the right edge of the log, then the state.
type footer struct {
	_       struct{} `cbor:",toarray"`
	Version uint8
	Network string
	Height  lamppost.Height
	Time    lamppost.TimeMS
	Size    int64
	Root    lamppost.Hash
	Chunks  []chunk
}

type chunk struct {
	_     struct{}      `cbor:",toarray"`
	Bytes uint32        // as it stands in the file
	Size  uint32        // uncompressed
	File  lamppost.Hash // SHA-256 of the bytes in the file
	Plain lamppost.Hash // SHA-256 uncompressed
}

func (f *footer) head() Head { return Head{f.Network, f.Height, f.Time, f.Size, f.Root} }

func (f *footer) digest() lamppost.Hash {
	sums := make([]lamppost.Hash, len(f.Chunks))
	for i := range f.Chunks {
		sums[i] = f.Chunks[i].Plain
	}
	return lamppost.HashSnapshot(f.Height, f.Time, f.Size, f.Root, sums)
}

// A Writer writes a snapshot from the front to the end. It is used once, by one goroutine.
type Writer struct {
	to   io.Writer
	enc  *zstd.Encoder
	foot footer
	buf  []byte // pairs of the chunk at hand
	out  []byte
	last []byte // key
}

// NewWriter begins a snapshot: edge is the right edge of the log as tilelog writes it.
func NewWriter(to io.Writer, h Head, edge []byte) (*Writer, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false))
	if err != nil {
		return nil, err
	}
	w := &Writer{to: to, enc: enc, foot: footer{Version: version, Network: h.Network, Height: h.Height, Time: h.Time, Size: h.Size, Root: h.Root}}
	if _, err := io.WriteString(to, magic); err != nil {
		return nil, err
	}
	w.buf = append(w.buf, edge...)
	return w, w.cut()
}

// Add adds a key of the state with its value; keys ascend.
func (w *Writer) Add(key, val []byte) error {
	if len(key) == 0 || len(key) > kv.MaxKeyBytes || len(val) > kv.MaxValueBytes || string(key) <= string(w.last) {
		return fmt.Errorf("a snapshot's key %q after %q, with a value of %d bytes", key, w.last, len(val))
	}
	w.last = append(w.last[:0], key...)
	w.buf = append(binary.BigEndian.AppendUint16(w.buf, uint16(len(key))), key...)
	w.buf = append(binary.BigEndian.AppendUint32(w.buf, uint32(len(val))), val...)
	if len(w.buf) < chunkBytes {
		return nil
	}
	return w.cut()
}

// cut ends a chunk. Where it ends follows from what was added alone.
func (w *Writer) cut() error {
	if len(w.foot.Chunks) == maxChunks {
		return fmt.Errorf("a snapshot has more than %d chunks", maxChunks)
	}
	w.out = w.enc.EncodeAll(w.buf, w.out[:0])
	w.foot.Chunks = append(w.foot.Chunks, chunk{Bytes: uint32(len(w.out)), Size: uint32(len(w.buf)), File: sha256.Sum256(w.out), Plain: sha256.Sum256(w.buf)})
	w.buf = w.buf[:0]
	_, err := w.to.Write(w.out)
	return err
}

// Digest ends the state and returns the snapshot's digest, which members vouch for.
func (w *Writer) Digest() (lamppost.Hash, error) {
	if len(w.buf) > 0 {
		if err := w.cut(); err != nil {
			return lamppost.Hash{}, err
		}
	}
	return w.foot.digest(), nil
}

// End ends the file after Digest, with the proof that they have.
func (w *Writer) End(proof []byte) error {
	foot := lamppost.Marshal(w.foot)
	tail := append(foot, proof...)
	tail = binary.BigEndian.AppendUint32(tail, uint32(len(foot)))
	tail = binary.BigEndian.AppendUint32(tail, uint32(len(proof)))
	_, err := w.to.Write(append(tail, magic...))
	return err
}

// A File is a snapshot that can be read. It is used by one goroutine.
type File struct {
	from  io.ReaderAt
	dec   *zstd.Decoder
	foot  footer
	at    []int64 // where the chunks begin
	proof []byte
}

// A DamagedError says that a file is not a snapshot, or not any more, and where.
type DamagedError struct{ What string }

// Error says where.
func (e *DamagedError) Error() string { return "snapshot: " + e.What }

func damaged(format string, args ...any) error { return &DamagedError{fmt.Sprintf(format, args...)} }

// Open reads what stands at the end of a snapshot of so many bytes. It checks that the parts fit into each other, and no part:
// what is wrong with the file is a *DamagedError.
func Open(from io.ReaderAt, size int64) (*File, error) {
	tail := make([]byte, tailBytes)
	if size < int64(len(magic)+tailBytes) {
		return nil, damaged("%d bytes are too short", size)
	}
	if err := readAt(from, tail, size-int64(len(tail))); err != nil {
		return nil, err
	}
	begin := make([]byte, len(magic))
	if err := readAt(from, begin, 0); err != nil {
		return nil, err
	}
	if string(begin) != magic || string(tail[8:]) != magic {
		return nil, damaged("it does not begin and end with %q", magic)
	}
	foot, proof := int64(binary.BigEndian.Uint32(tail)), int64(binary.BigEndian.Uint32(tail[4:]))
	if foot > maxFooterBytes || proof > lamppost.MaxProofBytes || foot+proof > size-int64(len(magic)+tailBytes) {
		return nil, damaged("its last 12 bytes are damaged")
	}
	raw := make([]byte, foot+proof)
	at := size - int64(len(tail)) - foot - proof
	if err := readAt(from, raw, at); err != nil {
		return nil, err
	}
	f := &File{from: from, proof: raw[foot:]}
	if err := lamppost.Unmarshal(raw[:foot], &f.foot); err != nil || f.foot.Version != version {
		return nil, damaged("its footer at byte %d is damaged, or of another version than %d", at, version)
	}
	if err := f.fits(at); err != nil {
		return nil, err
	}
	var err error
	f.dec, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxChunkBytes))
	return f, err
}

func readAt(from io.ReaderAt, b []byte, at int64) error {
	_, err := from.ReadAt(b, at)
	if errors.Is(err, io.EOF) {
		err = damaged("it ends before byte %d", at+int64(len(b)))
	}
	return err
}

// fits checks the list of chunks, which must fill the file up to a byte.
func (f *File) fits(end int64) error {
	at := int64(len(magic))
	for i := range f.foot.Chunks {
		f.at = append(f.at, at)
		at += int64(f.foot.Chunks[i].Bytes)
		if f.foot.Chunks[i].Size > maxChunkBytes {
			return damaged("chunk %d has %d bytes, more than %d", i, f.foot.Chunks[i].Size, maxChunkBytes)
		}
	}
	if len(f.foot.Chunks) == 0 || at != end || f.foot.Size < 0 {
		return damaged("its footer at byte %d does not fit what stands before it", end)
	}
	return nil
}

// Head says where the snapshot was taken.
func (f *File) Head() Head { return f.foot.head() }

// Digest is what members vouch for. Every part is checked against it when it is read.
func (f *File) Digest() lamppost.Hash { return f.foot.digest() }

// Proof is what shows that they do.
func (f *File) Proof() []byte { return f.proof }

// Chunks returns how many parts the file has.
func (f *File) Chunks() int { return len(f.foot.Chunks) }

// Check reads a part and checks it, and returns its length in the file.
func (f *File) Check(i int) (int64, error) {
	_, err := f.chunk(i)
	return int64(f.foot.Chunks[i].Bytes), err
}

// chunk reads, checks and decompresses part i.
func (f *File) chunk(i int) ([]byte, error) {
	c := &f.foot.Chunks[i]
	raw := make([]byte, c.Bytes)
	if err := readAt(f.from, raw, f.at[i]); err != nil {
		return nil, err
	}
	broken := damaged("chunk %d of %d, at byte %d, is damaged", i+1, len(f.foot.Chunks), f.at[i])
	if sha256.Sum256(raw) != c.File {
		return nil, broken
	}
	plain, err := f.dec.DecodeAll(raw, make([]byte, 0, min(c.Size, chunkBytes)))
	if err != nil || len(plain) != int(c.Size) || sha256.Sum256(plain) != c.Plain {
		return nil, broken
	}
	return plain, nil
}

// Edge returns the right edge of the log.
func (f *File) Edge() ([]byte, error) { return f.chunk(0) }

// Each calls fn with every key of the state and its value, in order, and done after each part. The slices are valid during
// the call only.
func (f *File) Each(fn func(key, val []byte) error, done func() error) error {
	var last []byte
	for i := 1; i < len(f.foot.Chunks); i++ {
		plain, err := f.chunk(i)
		if err != nil {
			return err
		}
		for rest := plain; len(rest) > 0; {
			var key, val []byte
			if key, val, rest = pair(rest); key == nil || string(key) <= string(last) {
				return damaged("chunk %d of %d is no list of ascending keys", i+1, len(f.foot.Chunks))
			}
			last = append(last[:0], key...)
			if err := fn(key, val); err != nil {
				return err
			}
		}
		if err := done(); err != nil {
			return err
		}
	}
	return nil
}

// pair takes a key and a value off the front; the key is nil where there is none.
func pair(b []byte) (key, val, rest []byte) {
	if len(b) < 2 {
		return nil, nil, nil
	}
	n := int(binary.BigEndian.Uint16(b))
	if n == 0 || n > kv.MaxKeyBytes || len(b) < 2+n+4 {
		return nil, nil, nil
	}
	key, b = b[2:2+n:2+n], b[2+n:]
	size := int64(binary.BigEndian.Uint32(b))
	if size > kv.MaxValueBytes || size > int64(len(b)-4) {
		return nil, nil, nil
	}
	return key, b[4 : 4+size : 4+size], b[4+size:]
}

// Verify reads the whole file and checks each part against the digest.
func (f *File) Verify() error {
	if _, err := f.Edge(); err != nil {
		return err
	}
	return f.Each(func(_, _ []byte) error { return nil }, func() error { return nil })
}
