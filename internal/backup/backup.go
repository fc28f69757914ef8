// Package backup knows about files that hold a whole data folder, and which of them a node has made.
//
// It promises that a backup is of one moment: what its checkpoint covers is in its store, and what its store lists is in its
// archive, however the node works on meanwhile; and that whoever reads one sees each part checked before it counts. It does not
// know whether the chain in it is true: that is for package fsck.
//
// Start reading at [Stage], [Write] and [Read]; records.go has what a node remembers of its backups, so that what was erased can be
// followed into them. docs/formats.md has the file. Limits are in limits.go.
package backup

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/lamppost/lamppost"
)

// A Head says what a backup is. It is the first part of the file.
type Head struct {
	Lamppost string            `json:"lamppost"` // Kind
	Network  string            `json:"network"`
	Member   lamppost.MemberID `json:"member"`
	Height   lamppost.Height   `json:"height"` // of the last block
	Size     int64             `json:"size"`   // of the log
	Root     string            `json:"root"`   // of that log, hex
	Erased   lamppost.Height   `json:"erased"` // what was erased up to this block is not in it
	Version  string            `json:"version"`
	Made     lamppost.TimeMS   `json:"made_ms"`
	Keys     bool              `json:"keys"`  // the member's key and the administrator's token are in it
	Tiles    int64             `json:"tiles"` // complete bundles of the log that are elsewhere (log_archive) and not in it
	Bytes    int64             `json:"bytes"` // of all parts
}

// Kind is what a Head begins with.
const Kind = "backup/1"

const (
	headName = "backup.json"
	sumsName = "sums.json"
)

// A Sum is the SHA-256 of a part, hex. The list of all is the last part of the file.
type Sum struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// A Part is a file that goes into a backup, under a name with forward slashes.
type Part struct {
	Name string
	Size int64
	Open func() (io.ReadCloser, error)
}

// Write writes a backup of the parts, which hold what the head says.
func Write(ctx context.Context, to io.Writer, h Head, parts []Part) error {
	h.Lamppost, h.Bytes = Kind, 0
	for i := range parts {
		h.Bytes += parts[i].Size
	}
	enc, err := zstd.NewWriter(to, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	w := writer{tar: tar.NewWriter(enc), at: time.UnixMilli(int64(h.Made)).UTC()}
	if err := w.json(headName, h); err != nil {
		return err
	}
	for i := range parts {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := w.part(&parts[i]); err != nil {
			return fmt.Errorf("%s: %w", parts[i].Name, err)
		}
	}
	if err := w.json(sumsName, w.sums); err != nil {
		return err
	}
	return errors.Join(w.tar.Close(), enc.Close())
}

// A writer writes parts and sums them up.
type writer struct {
	tar  *tar.Writer
	at   time.Time
	sums []Sum
}

func (w *writer) json(name string, v any) error {
	text, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		return err
	}
	return w.part(&Part{name, int64(len(text)), func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil }})
}

func (w *writer) part(p *Part) error {
	from, err := p.Open()
	if err != nil {
		return err
	}
	defer from.Close()
	if err := w.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: p.Name, Size: p.Size, Mode: 0o600, ModTime: w.at}); err != nil {
		return err
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(w.tar, sum), io.LimitReader(from, p.Size))
	if err == nil && n != p.Size {
		err = fmt.Errorf("%d bytes of %d are there", n, p.Size)
	}
	w.sums = append(w.sums, Sum{p.Name, n, hex.EncodeToString(sum.Sum(nil))})
	return err
}

// A DamagedError says that a backup is not what was written.
type DamagedError struct{ What string }

// Error says what is wrong.
func (e *DamagedError) Error() string { return "the backup is damaged: " + e.What }

func damaged(format string, args ...any) error { return &DamagedError{fmt.Sprintf(format, args...)} }

// Read reads a backup from the front to the end and checks it; create makes the file for each part, nil: nothing is kept. What
// create was given counts only when Read returns nil. progress is told of bytes.
func Read(ctx context.Context, from io.Reader, create func(name string, size int64) (io.WriteCloser, error), progress func(done, all int64)) (*Head, error) {
	dec, err := zstd.NewReader(from, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxWindow))
	if err != nil {
		return nil, err
	}
	defer dec.Close()
	r := reader{tar: tar.NewReader(dec), create: create, progress: progress, sums: map[string]Sum{}}
	if err := r.read(ctx); err != nil {
		return r.head, err
	}
	if n, err := io.Copy(io.Discard, dec); err != nil || n > maxPadding {
		return r.head, damaged("after its parts: %d bytes, %v", n, err)
	}
	return r.head, nil
}

// A reader reads parts and sums them up.
type reader struct {
	tar      *tar.Reader
	create   func(name string, size int64) (io.WriteCloser, error)
	progress func(done, all int64)
	head     *Head
	done     int64
	sums     map[string]Sum
	ended    bool
}

func (r *reader) read(ctx context.Context) error {
	for {
		h, err := r.tar.Next()
		if errors.Is(err, io.EOF) && r.ended {
			return nil
		}
		if errors.Is(err, io.EOF) {
			return damaged("it ends early")
		}
		if err != nil {
			return damaged("%v", err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := r.part(h); err != nil {
			return err
		}
	}
}

// part reads one part. The first and the last are about the others.
func (r *reader) part(h *tar.Header) error {
	if h.Typeflag != tar.TypeReg || !CleanName(h.Name) || r.ended {
		return damaged("part %q is none of a data folder", h.Name)
	}
	if _, twice := r.sums[h.Name]; twice || (r.head == nil) != (h.Name == headName) || len(r.sums) > maxParts {
		return damaged("part %q stands where it should not", h.Name)
	}
	switch h.Name {
	case headName:
		return r.readHead(h)
	case sumsName:
		return r.compare(h)
	}
	out := io.WriteCloser(nowhere{})
	if r.create != nil {
		var err error
		if out, err = r.create(h.Name, h.Size); err != nil {
			return err
		}
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(out, sum, counter{r}), r.tar)
	if closed := out.Close(); err == nil {
		err = closed
	}
	r.note(h.Name, n, sum)
	var at *fs.PathError
	if err != nil && !errors.As(err, &at) { // not one of writing
		err = damaged("part %q: %v", h.Name, err)
	}
	return err
}

func (r *reader) note(name string, n int64, sum hash.Hash) {
	r.sums[name] = Sum{name, n, hex.EncodeToString(sum.Sum(nil))}
}

// text reads a short part.
func (r *reader) text(h *tar.Header, limit int64, v any) error {
	text, err := io.ReadAll(io.LimitReader(r.tar, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = errors.New("too long")
	}
	if err == nil {
		sum := sha256.New()
		sum.Write(text)
		r.note(h.Name, int64(len(text)), sum)
		dec := json.NewDecoder(bytes.NewReader(text))
		dec.DisallowUnknownFields()
		err = dec.Decode(v)
	}
	if err != nil {
		return damaged("part %q: %v", h.Name, err)
	}
	return nil
}

func (r *reader) readHead(h *tar.Header) error {
	r.head = new(Head)
	if err := r.text(h, maxHeadBytes, r.head); err != nil {
		return err
	}
	if r.head.Lamppost != Kind {
		return damaged("it is of kind %q, this program reads %q", r.head.Lamppost, Kind)
	}
	return nil
}

// compare compares what came with the list at the end.
func (r *reader) compare(h *tar.Header) error {
	var want []Sum
	if err := r.text(h, maxSumsBytes, &want); err != nil {
		return err
	}
	delete(r.sums, sumsName)
	for _, w := range want {
		if got, ok := r.sums[w.Name]; !ok || got != w {
			return damaged("part %q is not what was written", w.Name)
		}
		delete(r.sums, w.Name)
	}
	for name := range r.sums {
		return damaged("part %q was not written with it", name)
	}
	r.ended = true
	return nil
}

// counter tells of progress.
type counter struct{ r *reader }

// Write implements io.Writer.
func (c counter) Write(b []byte) (int, error) {
	c.r.done += int64(len(b))
	c.r.progress(c.r.done, max(c.r.done, c.r.head.Bytes))
	return len(b), nil
}

type nowhere struct{}

// Write implements io.Writer.
func (nowhere) Write(b []byte) (int, error) { return len(b), nil }

// Close implements io.Closer.
func (nowhere) Close() error { return nil }

// CleanName says whether a part's name is a path inside a folder, as it is usually written.
func CleanName(name string) bool {
	return name != "" && len(name) <= maxNameBytes && path.Clean(name) == name && filepath.IsLocal(filepath.FromSlash(name)) && !strings.Contains(name, `\`)
}

// Into returns a create for Read that makes the parts in a folder, each durable.
func Into(root string) func(name string, size int64) (io.WriteCloser, error) {
	return func(name string, _ int64) (io.WriteCloser, error) {
		at := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
			return nil, err
		}
		return os.OpenFile(at, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	}
}
