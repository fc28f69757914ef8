package tilelog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/lamppost/lamppost"
	"golang.org/x/mod/sumdb/tlog"
)

// Moved says what Offload did.
type Moved struct {
	Bundles int64 // with the tiles above them
	Bytes   int64
	Before  int64 // all leaves before it are there now
}

// Offload copies complete tiles and bundles of a published log, as far as a checkpoint states it, to another folder, reads
// them back there against the root, and then removes here the bundles of the leaves before a size, with the tile of hashes of each:
// nearly all there is. Higher tiles stay here too, so that a proof asks the other folder for one file. It may be interrupted and
// called again, and runs beside a node that reads both.
func Offload(ctx context.Context, here, there *DirStorage, c lamppost.Checkpoint, before int64, progress func(done, all int64)) (moved Moved, err error) {
	end := min(before, c.Size) >> tileHeight
	moved.Before = end << tileHeight
	for n := int64(0); n < end; n++ {
		if err := ctx.Err(); err != nil {
			return moved, err
		}
		bytes, err := offload(here, there, c, n)
		if err != nil {
			return moved, fmt.Errorf("moving leaves %d to %d: %w", n<<tileHeight, (n+1)<<tileHeight-1, err)
		}
		if bytes > 0 {
			moved.Bundles++
			moved.Bytes += bytes
		}
		progress(n+1, end)
	}
	return moved, nil
}

// offload moves bundle n and its tile, and copies the higher tiles that end with it.
func offload(here, there *DirStorage, c lamppost.Checkpoint, n int64) (bytes int64, err error) {
	tile := tlog.Tile{H: tileHeight, L: 0, N: n, W: tileWidth}
	bundle := tile
	bundle.L = -1
	var move, files []File
	for _, t := range []tlog.Tile{bundle, tile} {
		data, err := here.Get(tilePath(t))
		if errors.Is(err, fs.ErrNotExist) {
			continue // it is there already
		}
		if err != nil {
			return 0, err
		}
		move = append(move, File{tilePath(t), data})
		bytes += int64(len(data))
	}
	if len(move) == 0 {
		return 0, nil
	}
	files = move
	for l := 1; (n+1)%(1<<(tileHeight*l)) == 0; l++ {
		up := tlog.Tile{H: tileHeight, L: l, N: n >> (tileHeight * l), W: tileWidth}
		data, err := here.Get(tilePath(up))
		if err != nil {
			return 0, err
		}
		files = append(files, File{tilePath(up), data})
	}
	if err := there.Put(files...); err != nil {
		return 0, err
	}
	if _, err := TreeOf(Layers{there, here}, c).Bundle(n); err != nil { // as it reads there now
		return 0, err
	}
	return bytes, here.remove(move)
}

// remove deletes files, in the order given. It is not synced: files that come back after a power cut do no harm.
func (d *DirStorage) remove(files []File) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range files {
		if err := d.around("remove", f.Path, func() error { return os.Remove(d.file(f.Path)) }); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
