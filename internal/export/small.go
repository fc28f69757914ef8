//go:build small

package export

import (
	"errors"
	"io"
)

var errLeftOut = errors.New("this program was built without Parquet (tag small): use the full one")

// A leftOut writes nothing.
type leftOut[T any] struct{}

func newWriter[T any](io.Writer, string) writer[T] { return leftOut[T]{} }

func (leftOut[T]) Write([]T) (int, error)             { return 0, errLeftOut }
func (leftOut[T]) SetKeyValueMetadata(string, string) {}
func (leftOut[T]) Close() error                       { return errLeftOut }
