package export

import (
	"encoding/json"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// A writer writes a file's rows.
type writer[T any] interface {
	Write(rows []T) (int, error)
	SetKeyValueMetadata(key, value string)
	Close() error
}

// A table is a file being written. A nil one takes everything and writes nothing.
type table[T any] struct {
	w    writer[T]
	rows []T
	n    int64
}

// newTable begins a file. It writes nothing yet.
func newTable[T any](out io.Writer, version string) *table[T] {
	if out == nil {
		return nil
	}
	return &table[T]{rows: make([]T, 0, batchRows), w: newWriter[T](out, version)}
}

// next returns the row to fill in, which is written some time later. What it refers to must not change until flush.
func (t *table[T]) next() (*T, error) {
	if len(t.rows) == batchRows {
		if err := t.flush(); err != nil {
			return nil, err
		}
	}
	var zero T
	t.rows = append(t.rows, zero)
	t.n++
	return &t.rows[len(t.rows)-1], nil
}

func (t *table[T]) flush() error {
	_, err := t.w.Write(t.rows)
	t.rows = t.rows[:0]
	return err
}

// end writes what is left, and what the file says of itself.
func (t *table[T]) end(about map[string]string) error {
	if t == nil {
		return nil
	}
	if err := t.flush(); err != nil {
		return err
	}
	what, err := json.Marshal(meanings(reflect.TypeFor[T]()))
	if err != nil {
		return err
	}
	t.w.SetKeyValueMetadata("lamppost.columns", string(what))
	for _, k := range slices.Sorted(maps.Keys(about)) { // as they are set, so they are written
		t.w.SetKeyValueMetadata("lamppost."+k, about[k])
	}
	return t.w.Close()
}

// meanings returns what the columns of a row mean, by name.
func meanings(row reflect.Type) map[string]string {
	all := map[string]string{}
	for i := range row.NumField() {
		tag := row.Field(i).Tag
		name, _, _ := strings.Cut(tag.Get("parquet"), ",")
		all[name] = tag.Get("what")
	}
	return all
}
