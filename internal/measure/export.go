package measure

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/export"
	"github.com/lamppost/lamppost/internal/tilelog"
)

// ExportResult says what it took to export the readings of a fleet.
type ExportResult struct {
	Rows         int64   `json:"rows"`
	Seconds      float64 `json:"seconds"`
	CPUSeconds   float64 `json:"cpu_seconds"`
	RowsPerS     float64 `json:"rows_per_s"`
	BytesPerRow  float64 `json:"bytes_per_row"`
	PeakHeapMB   float64 `json:"peak_heap_mb"` // above what the fleet itself takes
	ArchiveBytes int64   `json:"archive_bytes"`
}

// export writes all readings as lamppost export does, and watches the heap meanwhile.
func (g *growth) export(ctx context.Context) (*ExportResult, error) {
	note, err := os.ReadFile(filepath.Join(g.dir, "log", tilelog.CheckpointPath))
	if err != nil {
		return nil, err
	}
	out, err := os.Create(filepath.Join(g.dir, "readings.parquet"))
	if err != nil {
		return nil, err
	}
	defer out.Close()
	src := export.Source{Note: string(note), Version: "bench",
		See: func(see func(archive.View) error) error {
			return see(archive.View{Reader: g.store, Packs: g.keeper.Packs})
		}}
	runtime.GC()
	idle, peak, looked := heapBytes(), uint64(0), time.Now()
	began, cpu := time.Now(), cpuSeconds()
	res, err := export.Write(ctx, src, export.Options{}, export.Files{Readings: out}, func(done, all, _ int64) {
		if time.Since(looked) > 20*time.Millisecond {
			peak, looked = max(peak, heapBytes()), time.Now()
		}
		if g.o.Progress != nil {
			g.o.Progress(done, all, "log entries exported")
		}
	})
	if err = errors.Join(err, out.Sync()); err != nil {
		return nil, fmt.Errorf("exporting: %w", err)
	}
	x := &ExportResult{Rows: res.Readings, Seconds: time.Since(began).Seconds(), CPUSeconds: cpuSeconds() - cpu, ArchiveBytes: diskBytes(filepath.Join(g.dir, "archive"))}
	info, err := out.Stat()
	if err != nil {
		return nil, err
	}
	x.RowsPerS, x.BytesPerRow = float64(x.Rows)/x.Seconds, float64(info.Size())/float64(max(1, x.Rows))
	x.PeakHeapMB = float64(max(peak, idle)-idle) / 1e6
	return x, nil
}

// heapBytes is what is allocated and not yet collected.
func heapBytes() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
