package backup

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
)

// A Record is what a node remembers of a backup that it has made, from before its first byte went out: what was erased since is
// still in it.
type Record struct {
	_      struct{} `cbor:",toarray"`
	ID     string
	Path   string // as the user gave it, made absolute
	Host   string // the machine that it is a path of
	Device uint64 // the disk that it is on there, 0 if that is not known
	Time   lamppost.TimeMS
	Height lamppost.Height // of the last block in it
	Erased lamppost.Height // what was erased up to this block is not in it
	Whole  bool            // it was written to the end
}

var (
	recordPrefix = []byte("nB")
	recordEnd    = []byte("nC")
)

// Records returns what is remembered, the oldest first.
func Records(r kv.Reader) (all []Record, err error) {
	err = r.Scan(recordPrefix, recordEnd, func(_, val []byte) error {
		var rec Record
		err := lamppost.Unmarshal(val, &rec)
		all = append(all, rec)
		return err
	})
	return all, err
}

// Remember writes a record. One without an id gets one, by its time.
func Remember(s kv.Store, rec *Record) error {
	if rec.ID == "" {
		base := time.UnixMilli(int64(rec.Time)).UTC().Format("20060102-150405")
		rec.ID = base
		for n := 2; ; n++ {
			if _, err := s.Get(recordKey(rec.ID)); errors.Is(err, kv.ErrNotFound) {
				break
			} else if err != nil {
				return err
			}
			rec.ID = fmt.Sprintf("%s-%d", base, n)
		}
	}
	var b kv.Batch
	b.Set(recordKey(rec.ID), lamppost.Marshal(*rec))
	return s.Apply(&b)
}

// Forget drops a record: the backup is gone. It returns kv.ErrNotFound where there is none.
func Forget(s kv.Store, id string) error {
	if _, err := s.Get(recordKey(id)); err != nil {
		return err
	}
	var b kv.Batch
	b.Delete(recordKey(id))
	return s.Apply(&b)
}

func recordKey(id string) []byte { return append(slices.Clone(recordPrefix), id...) }

// Partial is where a backup stands while it is written.
func Partial(path string) string { return path + ".partial" }

// A State says whether a backup is still there.
type State string

// States.
const (
	There State = "there"
	Gone  State = "gone"
	// Elsewhere is on another machine, or on a disk that is not here now: only people know.
	Elsewhere State = "elsewhere"
)

// State looks for the file, if it is on the machine host.
func (r *Record) State(host string) State {
	if r.Host != host {
		return Elsewhere
	}
	for _, p := range []string{r.Path, Partial(r.Path)} {
		if _, err := os.Stat(p); err == nil {
			return There
		} else if !errors.Is(err, os.ErrNotExist) {
			return Elsewhere
		}
	}
	if d := Device(filepath.Dir(r.Path)); r.Device != 0 && d != r.Device {
		return Elsewhere
	}
	return Gone
}

// Holds says whether the backup may hold what was erased in a block.
func (r *Record) Holds(erased lamppost.Height) bool { return r.Erased < erased }

// An Erasure is an order to forget that a backup does not know of.
type Erasure struct {
	Height lamppost.Height   `json:"height"`
	Index  uint32            `json:"index"`
	Device lamppost.DeviceID `json:"device,omitempty"`
	Party  lamppost.PartyID  `json:"party,omitempty"`
	Basis  string            `json:"basis"`
	Time   lamppost.TimeMS   `json:"time_ms"`
}

// Erasures is the file beside a backup with what was erased since it was made.
type Erasures struct {
	Lamppost string            `json:"lamppost"` // ErasuresKind
	Network  string            `json:"network"`
	Member   lamppost.MemberID `json:"member"`
	Erasures []Erasure         `json:"erasures"`
}

// ErasuresKind is what such a file begins with.
const ErasuresKind = "erasures/1"

// ErasuresPath is where it stands.
func ErasuresPath(path string) string { return path + ".erasures" }

// ReadErasures reads such a file.
func ReadErasures(raw []byte) (*Erasures, error) {
	e := new(Erasures)
	dec := json.NewDecoder(strings.NewReader(string(raw)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(e); err != nil {
		return nil, fmt.Errorf("reading a list of erasures: %w", err)
	}
	if e.Lamppost != ErasuresKind {
		return nil, fmt.Errorf("a list of erasures of kind %q, this program reads %q", e.Lamppost, ErasuresKind)
	}
	return e, nil
}
