package raft

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus"
)

// forgetNow takes snapshots while the log's files hold something that the App lets go, so that they lose it. A snapshot
// leaves in the log what came since the one before, for members who lag a little; every few leave nothing.
func (e *Engine) forgetNow(ctx context.Context, s *store) {
	if _, ok := e.app.(consensus.Snapshotter); !ok {
		return // the log grows
	}
	next := time.NewTicker(e.cfg.SnapshotEvery)
	defer next.Stop()
	before := uint64(0) // the entry that the last snapshot was taken at
	for n := 1; ; n++ {
		select {
		case <-next.C:
		case <-e.mayForget:
			if !e.muchToForget() {
				continue
			}
		case <-ctx.Done():
			return
		}
		if n%fullEvery == 0 {
			before = math.MaxUint64
		}
		at, err := e.takeSnapshot(s, before)
		if err != nil {
			e.cfg.Log.Info("the log does not forget now", "error", err)
		} else if at > 0 {
			before = at
		}
	}
}

func (e *Engine) muchToForget() bool {
	e.appMu.Lock()
	defer e.appMu.Unlock()
	return e.bytes >= snapshotBytes
}

// takeSnapshot lets the log go up to an entry, if the App does, and returns the entry that the snapshot was taken at; 0: there
// was nothing to forget.
func (e *Engine) takeSnapshot(s *store, upTo uint64) (at uint64, err error) {
	forget, all, err := e.mayGo()
	if err != nil {
		return 0, err
	}
	if oldest, err := s.oldest(); err != nil || oldest > forget {
		return 0, err
	}
	end := e.raft.LastIndex()
	if all {
		forget = end // what follows the last block is no block
	}
	conf := e.raft.ReloadableConfig()
	conf.TrailingLogs = end - min(forget, upTo, end)
	if err := e.raft.ReloadConfig(conf); err != nil {
		return 0, err
	}
	if err := e.raft.Snapshot().Error(); err != nil {
		return 0, err
	}
	snaps, err := s.snaps.List()
	if err != nil || len(snaps) == 0 {
		return 0, err
	}
	return snaps[0].Index, nil
}

// mayGo asks up to where the App lets the log go, and whether that is all of it. Before the first block since the start it has not
// said so yet: a Commit of nothing tells.
func (e *Engine) mayGo() (forget uint64, all bool, err error) {
	e.appMu.Lock()
	defer e.appMu.Unlock()
	if e.failure() != nil {
		return 0, false, e.failure()
	}
	if e.forget == 0 {
		if e.forget, err = e.app.Commit(); err != nil {
			e.fail(err)
		}
	}
	return uint64(e.forget), e.forget >= e.position().Cursor, err
}

// Forgotten implements consensus.Forgetter.
func (e *Engine) Forgotten() lamppost.Cursor {
	s := e.files.Load()
	if s == nil {
		return 0
	}
	oldest, err := s.oldest()
	if err != nil || oldest == 0 {
		return 0
	}
	upTo := oldest - 1
	snaps, err := s.snaps.List()
	if err != nil {
		return 0
	}
	for _, m := range snaps {
		upTo = min(upTo, m.Index)
	}
	return lamppost.Cursor(upTo)
}

// oldest returns the first entry that the log's files hold, whether the log still knows it or not: a file goes only as a
// whole, and the last one stays while anything in it counts.
func (s *store) oldest() (uint64, error) {
	files, err := filepath.Glob(filepath.Join(s.dir, "*.wal"))
	oldest := uint64(math.MaxUint64)
	for _, f := range files {
		first, _, _ := strings.Cut(filepath.Base(f), "-")
		n, err := strconv.ParseUint(first, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("the log has a file %q, which is not named after its first entry", f)
		}
		oldest = min(oldest, n)
	}
	return oldest, err
}
