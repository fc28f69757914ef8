// Package masterdata knows about the files in which other systems keep customers and meters: it reads rows of CSV and makes
// the orders that register them.
//
// It promises that a row becomes one order or one named reason why not, that reading goes on after a bad row, and that the
// same row always gives the same order, so that importing a file again changes nothing. It registers nothing itself and asks
// no ledger; whether a row fits what is registered is the node's answer.
//
// Start reading at [Open] and [File.Next], then kinds.go (what stands in which column). docs/money.md has the columns for
// people. Limits: a line has at most 64 KiB.
package masterdata

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
)

// maxLineBytes bounds a line, so that a file that is no CSV ends the import and not the memory.
const maxLineBytes = 64 << 10

// A Row is what a line of a file says: an order, or why there is none.
type Row struct {
	Line  int
	ID    string // what the ledger calls it
	Ref   string // kind and id, such as "party ada", as others refer to it
	Order api.NewOrder
	Err   error
}

// A File reads the rows of one file. One goroutine uses it.
type File struct {
	kind *kind
	csv  *csv.Reader
	in   *lines
	head []string
	zone *time.Location
	seen map[string]int // line by what a row registers
}

// Kinds are what can be read, in the order in which one needs the other.
func Kinds() []lamppost.TxType {
	return []lamppost.TxType{lamppost.TxParty, lamppost.TxDevice, lamppost.TxPoint, lamppost.TxTariff, lamppost.TxAgreement, lamppost.TxReading}
}

// Columns lists the columns of a kind; those that must be there first, and how many these are.
func Columns(t lamppost.TxType) (names []string, required int) {
	k := kinds[t]
	return append(append(names, k.required...), k.optional...), len(k.required)
}

// Open reads the header of a file. Dates without a time are midnights in zone. The separator is a comma, or a semicolon where
// the header has one.
func Open(t lamppost.TxType, r io.Reader, zone *time.Location) (*File, error) {
	k, ok := kinds[t]
	if !ok {
		return nil, fmt.Errorf("there are no files of a %s", t)
	}
	in := &lines{r: bufio.NewReader(r)}
	f := &File{kind: k, in: in, zone: zone, seen: map[string]int{}}
	begin, _ := in.r.Peek(maxLineBytes / 16)
	if bytes.HasPrefix(begin, []byte("\ufeff")) {
		_, _ = in.r.Discard(3)
	}
	f.csv = csv.NewReader(in)
	f.csv.FieldsPerRecord, f.csv.TrimLeadingSpace = -1, true
	if line, _, _ := bytes.Cut(begin, []byte("\n")); bytes.IndexByte(line, ';') >= 0 && bytes.IndexByte(line, ',') < 0 {
		f.csv.Comma = ';'
	}
	head, err := f.csv.Read()
	if err != nil {
		return nil, fmt.Errorf("line 1: no header of columns: %v", err)
	}
	for i := range head {
		head[i] = strings.ToLower(strings.TrimSpace(head[i]))
	}
	f.head = head
	return f, f.checkHead()
}

func (f *File) checkHead() error {
	known := append(slices.Clone(f.kind.required), f.kind.optional...)
	for i, name := range f.head {
		if !slices.Contains(known, name) {
			return fmt.Errorf("line 1: column %q is not one of %s", name, strings.Join(known, ", "))
		}
		if slices.Index(f.head, name) != i {
			return fmt.Errorf("line 1: column %q is there twice", name)
		}
	}
	for _, name := range f.kind.required {
		if !slices.Contains(f.head, name) {
			return fmt.Errorf("line 1: column %q is missing; needed are %s", name, strings.Join(f.kind.required, ", "))
		}
	}
	return nil
}

// Next returns the next row, or io.EOF. Another error means that the file cannot be read any further.
func (f *File) Next() (Row, error) {
	cells, err := f.csv.Read()
	var syntax *csv.ParseError
	switch {
	case errors.As(err, &syntax):
		return Row{Line: syntax.StartLine, Err: syntax.Err}, nil
	case err != nil:
		return Row{}, err
	}
	line, _ := f.csv.FieldPos(0)
	row := Row{Line: line}
	if len(cells) != len(f.head) {
		row.Err = fmt.Errorf("%d columns, where the header has %d", len(cells), len(f.head))
		return row, nil
	}
	v := &values{cells: cells, head: f.head, zone: f.zone}
	for _, name := range f.kind.required {
		if v.text(name) == "" {
			v.fail(name, errors.New("is empty"))
		}
	}
	body, key := f.kind.read(v)
	row.ID, row.Ref, row.Err = key, f.kind.typ.String()+" "+key, v.err
	if row.Err != nil {
		return row, nil
	}
	if first := f.seen[key]; first != 0 {
		row.Err = fmt.Errorf("line %d has %s already", first, row.Ref)
		return row, nil
	}
	f.seen[key] = line
	raw, err := json.Marshal(body)
	row.Order = api.NewOrder{Type: f.kind.typ.String(), Body: raw}
	return row, err
}

// Offset is how many bytes of the file were read.
func (f *File) Offset() int64 { return f.csv.InputOffset() }

// lines refuses lines that are too long.
type lines struct {
	r *bufio.Reader
	n int // bytes since the last line feed
}

// Read reads like the reader below.
func (l *lines) Read(b []byte) (int, error) {
	n, err := l.r.Read(b)
	if i := bytes.LastIndexByte(b[:n], '\n'); i >= 0 {
		l.n = n - i - 1
	} else if l.n += n; l.n > maxLineBytes {
		return 0, fmt.Errorf("a line of more than %d bytes: is this CSV?", maxLineBytes)
	}
	return n, err
}

// Name makes a name of what another system calls something. What is a name already stays as it is; of anything else, every byte
// that a name cannot have becomes _ and its two hex digits, behind an x where the first is such a byte: 4711/3 is 4711_2f3.
func Name(external string) string {
	if lamppost.CheckName("", external) == nil {
		return external
	}
	var b strings.Builder
	for i := range len(external) {
		switch c := external[i]; {
		case c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z':
			b.WriteByte(c)
		case i > 0 && (c == '.' || c == '-'):
			b.WriteByte(c)
		default:
			if i == 0 {
				b.WriteByte('x')
			}
			fmt.Fprintf(&b, "_%02x", c)
		}
	}
	return b.String()
}
