//go:build !small

package comet

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	dbm "github.com/cometbft/cometbft-db"
	cs "github.com/cometbft/cometbft/consensus"
	"github.com/cometbft/cometbft/types"

	"github.com/lamppost/lamppost"
)

// compactEvery is the shortest time between two rewritings of the files of blocks, without which pruned ones stay in them.
const compactEvery = time.Hour

// Forgotten implements consensus.Forgetter: blocks are pruned, their files written anew since, and comet's log begins later. Where a state
// is being handed over, nothing is forgotten until that is done.
// Asking makes comet's log let go, too.
func (e *Engine) Forgotten() lamppost.Cursor {
	e.mu.Lock()
	n := e.node
	e.mu.Unlock()
	if n == nil || n.hand.giving.Load() || n.hand.receiving.Load() {
		return 0
	}
	e.pruning.Lock()
	defer e.pruning.Unlock()
	if err := e.forget(n); err != nil {
		e.cfg.Log.Warn("comet's files do not forget", "err", err)
	}
	if e.gone <= 0 {
		return 0
	}
	return e.cfg.Start + lamppost.Cursor(e.gone)
}

// forget goes on with making comet's files forget. What was begun is brought to its end before more is.
func (e *Engine) forget(n *node) error {
	// Comet moves the base before it deletes, all in one batch: the last block of it tells.
	base := n.disk.blocks.Base()
	if e.gone >= e.pruned-1 && base > max(e.pruned, 1) && n.disk.blocks.LoadBlockPart(base-1, 0) == nil && time.Since(e.compacted) >= min(compactEvery, e.cfg.Keep) {
		if err := n.databases[0].Compact(nil, nil); err != nil {
			return err
		}
		e.pruned, e.compacted, e.settled = base, time.Now(), false
	}
	if e.settled = e.settled || n.settled(); !e.settled {
		return nil
	}
	first, err := n.trimLog(base, n.disk.blocks.Height())
	e.gone = max(e.gone, min(e.pruned, first)-1)
	return err
}

// settled says whether the files of blocks that were written anew are removed, which is done in the background.
func (n *node) settled() bool {
	db, ok := n.databases[0].(*dbm.GoLevelDB)
	if !ok {
		return false
	}
	used, err := db.DB().GetProperty("leveldb.sstables") // lines such as 17:2048["a" .. "b"]
	if err != nil {
		return false
	}
	tables, _ := filepath.Glob(filepath.Join(n.cfg.Dir, dataDir, "blockstore.db", "*.ldb"))
	for _, t := range tables {
		number := strings.TrimLeft(strings.TrimSuffix(filepath.Base(t), ".ldb"), "0")
		if !strings.Contains(used, "\n"+number+":") {
			return false
		}
	}
	journals, _ := filepath.Glob(filepath.Join(n.cfg.Dir, dataDir, "blockstore.db", "*.log"))
	return len(journals) == 1
}

// trimLog removes files of comet's log of messages that come before those about the last block, which comet may need, and returns the first
// height that what is left is about, 0 if it is not known. If that is before base, the file being written goes on as another, so that it
// can go later.
func (n *node) trimLog(base, last int64) (first int64, err error) {
	files, err := logFiles(filepath.Join(n.cfg.Dir, walDir))
	if err != nil {
		return 0, err
	}
	for len(files) > 1 {
		next, err := begins(files[1])
		if err != nil {
			return 0, err
		}
		if next == 0 || next > last {
			break
		}
		if err := os.Remove(files[0]); err != nil {
			return 0, err
		}
		files = files[1:]
	}
	if first, err = begins(files[0]); err != nil {
		return 0, err
	}
	if log, ok := private[cs.WAL](n.machine, "wal").(*cs.BaseWAL); ok && len(files) == 1 && first > 0 && first < base {
		log.Group().RotateFile()
	}
	return first, nil
}

// logFiles lists the files of comet's log, the oldest first.
func logFiles(dir string) ([]string, error) {
	names, err := filepath.Glob(filepath.Join(dir, "wal.*"))
	slices.Sort(names)
	slices.SortStableFunc(names, func(a, b string) int { return len(a) - len(b) }) // numbers have three digits or more
	return append(names, filepath.Join(dir, "wal")), err
}

// begins returns the first height that a file of comet's log is about, 0 if it says none yet.
func begins(path string) (int64, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil // it is made with the first message
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	log := cs.NewWALDecoder(f)
	for {
		m, err := log.Decode()
		if errors.Is(err, io.EOF) || cs.IsDataCorruptionError(err) { // the last message is being written
			return 0, nil
		}
		if err != nil {
			return 0, err
		}
		height := int64(0) // the log begins with the end of 0
		switch m := m.Msg.(type) {
		case cs.EndHeightMessage:
			height = m.Height
		case types.EventDataRoundState:
			height = m.Height
		}
		if height > 0 {
			return height, nil
		}
	}
}
