//go:build !small

package export

import (
	"io"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"
)

func newWriter[T any](out io.Writer, version string) writer[T] {
	return parquet.NewGenericWriter[T](out, parquet.DataPageVersion(1), parquet.Compression(&zstd.Codec{Level: zstd.SpeedDefault}),
		parquet.MaxRowsPerRowGroup(rowGroupRows), parquet.CreatedBy("lamppost", version, "parquet-go"))
}
