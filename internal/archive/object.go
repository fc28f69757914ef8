package archive

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"github.com/lamppost/lamppost"
)

// Objects keeps packs: a folder, or an object store. Names are 64 hexadecimal digits. It may be used by many goroutines.
type Objects interface {
	// Put writes an object, durably when it returns. Putting the same again is fine.
	Put(name string, data []byte) error
	// Read returns n bytes from an offset on, or, with a negative one, the last -off bytes up to n of them. It returns an error
	// that wraps fs.ErrNotExist where there is no such object.
	Read(name string, off int64, n int) ([]byte, error)
	// Remove deletes an object and gives its space back; none of that name is fine.
	Remove(name string) error
	// List returns all names.
	List() ([]string, error)
}

// An object is frames and a footer:
//
//	| frame | … | footer | length of the footer, 4 bytes big-endian | "LPO1" |
//
// A frame is compressed with zstd. The footer, in CBOR, has each frame's kind, lengths and SHA-256, and the object's name
// is the SHA-256 of the footer: so the name stands for every byte, and a part can be read and checked without the rest.
type footer struct {
	_       struct{} `cbor:",toarray"`
	Version uint8
	Frames  []frame
}

type frame struct {
	_     struct{} `cbor:",toarray"`
	Kind  uint8
	First lamppost.Height // of its blocks
	Bytes uint32          // as they stand in the object
	Size  uint32          // uncompressed
	Sum   lamppost.Hash   // SHA-256 of the bytes
}

const (
	objectVersion = 1
	objectMagic   = "LPO1"
	trailerBytes  = 4 + len(objectMagic)

	blocksFrame = 1 // CBOR array of storedBlock
	hourlyFrame = 2 // CBOR array of hourly, of older packs
	seriesFrame = 3 // CBOR array of storedSeries
)

// A codec compresses and decompresses. It is made once: setting one up costs as much as a pack.
type codec struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

func newCodec() (*codec, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false))
	if err != nil {
		return nil, err
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxFrameBytes))
	return &codec{enc, dec}, err
}

// An objectWriter gathers frames.
type objectWriter struct {
	codec *codec
	data  []byte
	foot  footer
}

func (w *objectWriter) add(kind uint8, first lamppost.Height, plain []byte) {
	from := len(w.data)
	w.data = w.codec.enc.EncodeAll(plain, w.data)
	w.foot.Frames = append(w.foot.Frames, frame{Kind: kind, First: first, Bytes: uint32(len(w.data) - from), Size: uint32(len(plain)),
		Sum: sha256.Sum256(w.data[from:])})
}

// end returns the object and its name.
func (w *objectWriter) end() (lamppost.Hash, []byte) {
	w.foot.Version = objectVersion
	foot := lamppost.Marshal(w.foot)
	data := append(w.data, foot...)
	data = binary.BigEndian.AppendUint32(data, uint32(len(foot)))
	return sha256.Sum256(foot), append(data, objectMagic...)
}

// A DamagedError says that an object is not what its name says, and where.
type DamagedError struct {
	Object string
	What   string
}

// Error names the object.
func (e *DamagedError) Error() string { return fmt.Sprintf("object %s: %s", e.Object, e.What) }

// readFooter reads and checks an object's footer.
func readFooter(objects Objects, name lamppost.Hash) (footer, error) {
	var f footer
	tail, err := objects.Read(name.String(), -footerGuess, footerGuess)
	if err != nil {
		return f, err
	}
	damaged := &DamagedError{name.String(), "its footer is damaged"}
	if len(tail) < trailerBytes || string(tail[len(tail)-len(objectMagic):]) != objectMagic {
		return f, damaged
	}
	n := int(binary.BigEndian.Uint32(tail[len(tail)-trailerBytes:]))
	if n > maxFooterBytes {
		return f, damaged
	}
	if n > len(tail)-trailerBytes {
		if tail, err = objects.Read(name.String(), -int64(n+trailerBytes), n+trailerBytes); err != nil {
			return f, err
		}
	}
	if n > len(tail)-trailerBytes {
		return f, damaged
	}
	raw := tail[len(tail)-trailerBytes-n : len(tail)-trailerBytes]
	if sha256.Sum256(raw) != name || lamppost.Unmarshal(raw, &f) != nil || f.Version != objectVersion {
		return f, damaged
	}
	return f, nil
}

// readFrame reads, checks and decompresses frame i.
func readFrame(objects Objects, c *codec, name lamppost.Hash, f *footer, i int) ([]byte, error) {
	var off int64
	for _, x := range f.Frames[:i] {
		off += int64(x.Bytes)
	}
	x := &f.Frames[i]
	raw, err := objects.Read(name.String(), off, int(x.Bytes))
	if err != nil {
		return nil, err
	}
	if sha256.Sum256(raw) != x.Sum || x.Size > maxFrameBytes {
		return nil, &DamagedError{name.String(), fmt.Sprintf("frame %d of %d at byte %d is damaged", i+1, len(f.Frames), off)}
	}
	plain, err := c.dec.DecodeAll(raw, make([]byte, 0, x.Size))
	if err == nil && len(plain) != int(x.Size) {
		err = errors.New("another length")
	}
	if err != nil { // the bytes are those that were written: this program, or the one that wrote, is wrong
		return nil, fmt.Errorf("object %s: decompressing frame %d: %w", name, i+1, err)
	}
	return plain, nil
}
