package raft

import (
	"context"
	"time"

	"github.com/lamppost/lamppost/internal/consensus"
)

// forgetNow takes snapshots while there is something in the log that the App lets go, so that the log's files lose it. A
// snapshot leaves in the log what came since the one before, for members who lag a little; every few leave nothing.
func (e *Engine) forgetNow(ctx context.Context, s *store) {
	if _, ok := e.app.(consensus.Snapshotter); !ok {
		return // the log grows
	}
	next := time.NewTicker(e.cfg.SnapshotEvery)
	defer next.Stop()
	before := uint64(0) // the index of the last snapshot
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
			before = 0
		}
		before = e.takeSnapshot(s, before)
	}
}

func (e *Engine) muchToForget() bool {
	e.appMu.Lock()
	defer e.appMu.Unlock()
	return e.bytes >= snapshotBytes
}

func (e *Engine) takeSnapshot(s *store, before uint64) uint64 {
	e.appMu.Lock()
	forget := uint64(e.forget)
	e.appMu.Unlock()
	first, err := s.log.FirstIndex()
	if err != nil || first == 0 || first > forget {
		return before
	}
	if before == 0 {
		before = forget
	}
	conf := e.raft.ReloadableConfig()
	conf.TrailingLogs = e.raft.LastIndex() - min(forget, before, e.raft.LastIndex())
	if err = e.raft.ReloadConfig(conf); err == nil {
		err = e.raft.Snapshot().Error()
	}
	if err != nil {
		e.cfg.Log.Info("no snapshot of the ledger was taken for the log", "error", err)
		return before
	}
	all, err := s.snaps.List()
	if err != nil || len(all) == 0 {
		return before
	}
	return all[0].Index
}
