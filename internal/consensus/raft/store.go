package raft

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/metrics"

	"github.com/lamppost/lamppost"
)

// A store is what the library keeps in files: the log with its meta data, and snapshots.
type store struct {
	dir    string // of the log
	log    *wal.WAL
	meta   *metadb.BoltMetaDB // opened and closed here: the log does not close it
	snaps  *raft.FileSnapshotStore
	fail   func(error)
	logger hclog.Logger
	counts *metrics.AtomicCollector // of the log
}

func (e *Engine) openStore() (s *store, err error) {
	dir := filepath.Join(e.cfg.Dir, "log")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	s = &store{dir: dir, meta: &metadb.BoltMetaDB{}, fail: e.fail, counts: metrics.NewAtomicCollector(wal.MetricDefinitions),
		logger: hclog.New(&hclog.LoggerOptions{Name: "raft", Level: hclog.Info,
			DisableTime: true, Output: &lines{log: e.cfg.Log}})}
	if s.log, err = wal.Open(dir, wal.WithMetaStore(s.meta), wal.WithSegmentSize(e.cfg.LogFile), wal.WithLogger(s.logger), wal.WithMetricsCollector(s.counts)); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the log in %q: %w", dir, err), s.meta.Close())
	}
	if err := removeHalf(filepath.Join(e.cfg.Dir, "snapshots")); err != nil {
		s.close()
		return nil, err
	}
	if s.snaps, err = raft.NewFileSnapshotStoreWithLogger(e.cfg.Dir, 1, s.logger); err != nil {
		s.close()
		return nil, fmt.Errorf("opening the snapshots in %q: %w", e.cfg.Dir, err)
	}
	return s, nil
}

// removeHalf removes snapshots that were not whole when the process ended: the library only passes them over.
func removeHalf(dir string) error {
	half, err := filepath.Glob(filepath.Join(dir, "*.tmp"))
	for _, path := range half {
		err = errors.Join(err, os.RemoveAll(path))
	}
	return err
}

func (s *store) close() {
	s.log.Close()
	s.meta.Close()
}

// restoreNewest restores a snapshot that was received in whole, where the process ended before the App had it. It refuses
// a log that has less than the App.
func (e *Engine) restoreNewest(s *store) error {
	end, err := s.log.LastIndex()
	if err != nil {
		return err
	}
	all, err := s.snaps.List()
	if err != nil {
		return err
	}
	if len(all) > 0 {
		_, r, err := s.snaps.Open(all[0].ID)
		if err != nil {
			return err
		}
		defer r.Close()
		if err := e.restore(r); err != nil {
			return err
		}
		if end > 0 && end < all[0].Index { // the library would append behind a gap
			if err := s.log.DeleteRange(1, end); err != nil {
				return err
			}
		}
		end = max(end, all[0].Index)
	}
	if last := e.app.Last(); last.Cursor > lamppost.Cursor(end) {
		return fmt.Errorf("the ledger has block %d, which is entry %d of the log, and the log in %q ends with %d: it was lost or put back from a "+
			"backup, or the ledger is not of this network. A member without its log joins with an empty folder and a new id", last.Height, last.Cursor, e.cfg.Dir, end)
	}
	return nil
}

// transport returns how the library talks to other members.
func (e *Engine) transport(s *store) transport {
	return transport{raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{Stream: e.net, MaxPool: 3, MaxRPCsInFlight: maxInFlight,
		Timeout: rpcTimeout, Logger: s.logger})}
}

// startRaft starts the library; a founder whose log is empty begins it with all founders.
func (e *Engine) startRaft(s *store) error {
	conf := raft.DefaultConfig()
	conf.LocalID = raft.ServerID(e.cfg.Member)
	conf.Logger = s.logger
	conf.HeartbeatTimeout, conf.ElectionTimeout, conf.LeaderLeaseTimeout = e.cfg.Timeout, e.cfg.Timeout, e.cfg.Timeout
	conf.MaxAppendEntries = maxAppendEntries
	conf.ShutdownOnRemove = false                                                // Run decides what a member does that left
	conf.SnapshotThreshold, conf.SnapshotInterval = math.MaxUint64, 24*time.Hour // forget.go decides when
	conf.NoSnapshotRestoreOnStart = true                                         // restoreNewest knows whether the App needs it
	conf.NoLegacyTelemetry = true
	trans := e.transport(s)
	if err := e.found(s, conf, trans); err != nil {
		return errors.Join(err, trans.Close())
	}
	r, err := raft.NewRaft(conf, fsm{e}, watched{s.log, s.fail}, s.log, s.snaps, trans)
	if err != nil {
		return errors.Join(err, trans.Close())
	}
	r.RegisterObserver(raft.NewObserver(nil, false, func(o *raft.Observation) bool {
		if _, ok := o.Data.(raft.LeaderObservation); ok {
			poke(e.leaderMoved)
			poke(e.seatsMoved)
		}
		return false
	}))
	e.raft = r
	e.setRole("running")
	return nil
}

func (e *Engine) found(s *store, conf *raft.Config, trans raft.Transport) error {
	begun, err := raft.HasExistingState(s.log, s.log, s.snaps)
	if err != nil || begun {
		return err
	}
	var all raft.Configuration
	mine := false
	for _, id := range e.cfg.Founders {
		all.Servers = append(all.Servers, server(id))
		mine = mine || id == e.cfg.Member
	}
	if !mine {
		return nil // waits until a leader adds this member
	}
	return raft.BootstrapCluster(conf, s.log, s.log, s.snaps, trans, all)
}

// server names a member to the library: its id stands for its address, which the network looks up.
func server(id lamppost.MemberID) raft.Server {
	return raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(id)}
}

// watched is a log whose errors end the engine: what a failed write left is not known.
type watched struct {
	*wal.WAL
	fail func(error)
}

func (w watched) check(err error) error {
	if err != nil && !errors.Is(err, wal.ErrClosed) {
		w.fail(fmt.Errorf("writing the log: %w", err))
	}
	return err
}

// StoreLog implements raft.LogStore.
func (w watched) StoreLog(l *raft.Log) error { return w.check(w.WAL.StoreLog(l)) }

// StoreLogs implements raft.LogStore.
func (w watched) StoreLogs(l []*raft.Log) error { return w.check(w.WAL.StoreLogs(l)) }

// DeleteRange implements raft.LogStore.
func (w watched) DeleteRange(from, to uint64) error { return w.check(w.WAL.DeleteRange(from, to)) }

// lines passes on what the library logs: "[WARN]  raft: what: key=value".
type lines struct {
	log *slog.Logger

	mu   sync.Mutex
	said map[string]time.Time // when what was said last
}

// sayAgain is how often the same trouble with the same member is told: the library retries many times a second.
const sayAgain = 30 * time.Second

// again reports whether a line was said a short while ago, but for its times and errors.
func (l *lines) again(text string) bool {
	for _, mark := range []string{" backoff", " error=", " term="} {
		text, _, _ = strings.Cut(text, mark)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if now.Sub(l.said[text]) < sayAgain {
		return true
	}
	if len(l.said) >= maxSaid || l.said == nil {
		l.said = map[string]time.Time{}
	}
	l.said[text] = now
	return false
}

func (l *lines) Write(b []byte) (int, error) {
	levels := map[string]slog.Level{"[DEBUG]": slog.LevelDebug, "[INFO]": slog.LevelDebug, "[WARN]": slog.LevelInfo, "[ERROR]": slog.LevelWarn}
	level, text, _ := strings.Cut(strings.TrimSpace(string(b)), " ")
	if l.again(text) {
		return len(b), nil
	}
	l.log.Log(context.Background(), cmp.Or(levels[level], slog.LevelDebug), strings.TrimSpace(text))
	return len(b), nil
}
