package api

import (
	"errors"
	"io"
	"net/http"

	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
)

func (s *Server) getHealth(w http.ResponseWriter, _ *http.Request) error {
	_, err := io.WriteString(w, "ok\n")
	return err
}

// getReady says whether the node can answer for its ledger: it is founded, a checkpoint is out, and nothing contradicts it.
func (s *Server) getReady(w http.ResponseWriter, _ *http.Request) error {
	if _, err := (ledger.View{Reader: s.cfg.Store}).Network(); err != nil {
		return notReady("the network is not founded yet")
	}
	if c := s.cfg.Conflict(); c != nil {
		return notReady("nothing is signed or taken any more: " + c.Text)
	}
	if _, _, _, err := s.cfg.Checkpoint(); err != nil {
		return notReady("no checkpoint is published yet")
	}
	_, err := io.WriteString(w, "ready\n")
	return err
}

// getPin hands out what a stranger has to trust to check this network's files. Who gets it from here trusts this node;
// who gets it on paper does not have to.
func (s *Server) getPin(w http.ResponseWriter, _ *http.Request) error {
	pin, err := s.pin(s.cfg.Store)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, err = io.WriteString(w, pin.String())
	return err
}

// getCheck serves the page on which anybody checks a file. It brings this network's pin along, and says so.
func (s *Server) getCheck(w http.ResponseWriter, req *http.Request) error {
	if s.cfg.Check == nil || req.URL.Path != "/check/" {
		return notFound("no page %q here", clip(req.URL.Path))
	}
	pin, err := s.pin(s.cfg.Store)
	if err != nil {
		return err
	}
	s.cfg.Check(w, req, pin.String())
	return nil
}

func (s *Server) pin(r kv.Reader) (*audit.Pin, error) {
	g, err := ledger.View{Reader: r}.Network()
	if errors.Is(err, kv.ErrNotFound) {
		return nil, notReady("the network is not founded yet")
	}
	if err != nil {
		return nil, err
	}
	pin := &audit.Pin{Network: g.Network, Quorum: g.Engine.Quorum(len(g.Members)), Members: g.Members}
	if w := s.cfg.Witnesses; w != nil {
		pin.Witnesses, pin.WitnessQuorum = w.Keys, w.Quorum
	}
	return pin, nil
}

func (s *Server) getStatus(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, s.status())
}

func (s *Server) status() Status {
	now := s.cfg.Now()
	out := Status{Network: s.cfg.Network, Member: s.cfg.Member, Engine: s.cfg.Status(), Log: s.head(), Totals: s.cfg.Live.summary(now),
		Verify: s.cfg.Verify(), Now: now, Speed: s.cfg.Speed, Version: s.cfg.Version, Witnesses: []WitnessState{}, Conflict: s.cfg.Conflict(), Members: []MemberState{}, Evidence: []Evidence{}}
	out.Alarms = s.alarms.count(ledger.View{Reader: s.cfg.Store}, out.Engine.Height)
	if s.cfg.Certificate != nil {
		out.Certificate = s.cfg.Certificate()
	}
	if s.cfg.Triage != nil {
		out.Triage = s.cfg.Triage()
	}
	if s.cfg.Members != nil {
		out.Members = s.cfg.Members()
	}
	if s.cfg.Evidence != nil {
		out.Evidence = s.cfg.Evidence()
	}
	if w := s.cfg.Witnesses; w != nil {
		out.Witnesses, out.Quorum = w.States(), w.Quorum
		if c, err := w.Cosigned(); err == nil {
			out.Log.Cosigned = c.Size
		}
	}
	if s.cfg.Snapshots != nil {
		out.Copies.Snapshot = s.cfg.Snapshots.State()
	}
	out.Copies.Scrub.Faults = []Fault{}
	if s.cfg.Scrub != nil {
		out.Copies.Scrub = s.cfg.Scrub()
	}
	if s.cfg.Backups != nil {
		out.Copies.Backup, out.Copies.Overdue = s.cfg.Backups.State()
	}
	if s.cfg.Broker != nil {
		out.Broker = s.cfg.Broker()
	}
	return out
}

// getMember is what the other members ask for.
func (s *Server) getMember(w http.ResponseWriter, _ *http.Request) error {
	e := s.cfg.Status()
	m := MemberState{ID: s.cfg.Member, Role: e.Role, Height: e.Height, Size: s.head().Size, Seen: s.cfg.Now()}
	if s.cfg.Certificate != nil {
		m.Certificate = s.cfg.Certificate()
	}
	return writeJSON(w, http.StatusOK, m)
}

// head is the latest published checkpoint, or nothing before the first.
func (s *Server) head() LogHead {
	note, c, published, err := s.cfg.Checkpoint()
	if err != nil {
		return LogHead{Archive: s.cfg.LogArchive}
	}
	return LogHead{Size: c.Size, Root: c.Root.String(), Checkpoint: note, Published: published, Archive: s.cfg.LogArchive}
}
