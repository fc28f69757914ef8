package raft

import (
	"context"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/lamppost/lamppost"
)

// seats returns who takes part in the log, by the newest configuration known here.
func (e *Engine) seats() (ids []lamppost.MemberID) {
	for _, s := range e.raft.GetConfiguration().Configuration().Servers {
		ids = append(ids, lamppost.MemberID(s.ID))
	}
	return ids
}

// keepSeats makes the log's configuration follow the App's members while this member leads, and closes left once it is no
// member itself.
func (e *Engine) keepSeats(ctx context.Context, left chan<- struct{}) {
	was := slices.Contains(e.cfg.Founders, e.cfg.Member) // a member: who still catches up may read of a time before it was one
	leaving := map[lamppost.MemberID]time.Time{}
	for {
		var again <-chan time.Time
		want := e.members()
		isMember := len(want) == 0 || slices.Contains(want, e.cfg.Member)
		was = was || isMember && len(want) > 0
		switch leads := e.raft.State() == raft.Leader; {
		case leads && e.changeSeats(want, leaving):
			again = time.After(retryPause)
		case !leads && was && !isMember && e.letGo():
			close(left)
			return
		case was && !isMember:
			again = time.After(e.cfg.Timeout)
		}
		select {
		case <-e.seatsMoved:
		case <-again:
		case <-ctx.Done():
			return
		}
	}
}

func (e *Engine) members() (ids []lamppost.MemberID) {
	for _, m := range e.app.Last().Members {
		ids = append(ids, m.ID)
	}
	return ids
}

// changeSeats makes one change towards the members wanted, and reports whether it has to be looked at again. One that was
// not made, because the library is busy with another or leadership is lost, is made later, perhaps by another leader. Who leaves
// hears nothing more from then on: it keeps its seat for a moment after leaving was first seen, to read of it in the log.
func (e *Engine) changeSeats(want []lamppost.MemberID, leaving map[lamppost.MemberID]time.Time) bool {
	if len(want) == 0 {
		return false // before the founding
	}
	have := e.seats()
	for _, id := range want {
		if !slices.Contains(have, id) && (id == e.cfg.Member || e.cfg.Address(id) != "") { // who cannot be reached would only count
			if len(have) == 1 && id != e.cfg.Member && !e.answers(id) {
				return true
			}
			e.cfg.Log.Info("a member joins", "member", id)
			e.raft.AddVoter(raft.ServerID(id), raft.ServerAddress(id), 0, e.cfg.Timeout)
			return true
		}
	}
	for _, id := range have {
		switch {
		case slices.Contains(want, id):
			delete(leaving, id)
		case id != e.cfg.Member:
			if leaving[id].IsZero() {
				leaving[id] = time.Now()
			}
			if time.Since(leaving[id]) < 2*e.cfg.Timeout {
				return true
			}
			delete(leaving, id)
			e.cfg.Log.Info("a member leaves", "member", id)
			e.raft.RemoveServer(raft.ServerID(id), 0, e.cfg.Timeout)
			return true
		case len(have) > 1:
			e.handOver() // the next leader removes this member
			return true
		}
	}
	return false
}

// answers reports whether a member can be reached. Of two members both must be there for anything to be committed, even that one of them
// leaves again: so one that is alone lets the second take part only when it is there.
func (e *Engine) answers(id lamppost.MemberID) bool {
	conn, err := e.net.dial(kindRaft, id, e.cfg.Timeout)
	if err != nil {
		e.cfg.Log.Debug("the second member does not answer yet", "member", id, "error", err)
		pause(e.net.done, e.cfg.Timeout)
		return false
	}
	return conn.Close() == nil
}

// letGo reports whether the others have let this member go: it is out of the configuration, or hears nothing more.
func (e *Engine) letGo() bool {
	return !slices.Contains(e.seats(), e.cfg.Member) || time.Since(e.raft.LastContact()) > 4*e.cfg.Timeout
}
