package raft

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/hashicorp/raft"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus"
)

// Begin makes the folder of a log for an App whose blocks came in another way until now. The log has no entry: it begins with a
// snapshot of the App, as if it had forgotten all before, so that its first entry is the one after the App's cursor, and whoever
// joins is handed the state. member alone takes part. The folder must not be there yet; making it durable is the caller's.
func Begin(dir string, member lamppost.MemberID, app consensus.Snapshotter) (err error) {
	e := &Engine{cfg: Config{Dir: dir, Member: member, LogFile: logFileBytes, Log: slog.New(slog.DiscardHandler)}}
	s, err := e.openStore()
	if err != nil {
		return err
	}
	defer s.close()
	begun, err := raft.HasExistingState(s.log, s.log, s.snaps)
	if err == nil && begun {
		err = fmt.Errorf("there is a log in %q", dir)
	}
	if err != nil {
		return err
	}
	last, state, err := app.Snapshot()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, state.Close()) }()
	if last.Cursor == 0 {
		return errors.New("a log begins behind a block, and there is none")
	}
	const term = 1 // as of any log that begins
	if err := s.log.SetUint64([]byte("CurrentTerm"), term); err != nil {
		return err
	}
	_, peers := raft.NewInmemTransport(raft.ServerAddress(member)) // writes addresses as they are
	at := uint64(last.Cursor)
	sink, err := s.snaps.Create(raft.SnapshotVersionMax, at, term, raft.Configuration{Servers: []raft.Server{server(member)}}, at, peers)
	if err != nil {
		return err
	}
	return (&snapshot{last, state}).Persist(sink)
}
