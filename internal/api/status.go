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

// getReady says whether the node can answer for its ledger: it is founded and a checkpoint is out.
func (s *Server) getReady(w http.ResponseWriter, _ *http.Request) error {
	if _, err := (ledger.View{Reader: s.cfg.Store}).Network(); err != nil {
		return notReady("the network is not founded yet")
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

func (s *Server) pin(r kv.Reader) (*audit.Pin, error) {
	g, err := ledger.View{Reader: r}.Network()
	if errors.Is(err, kv.ErrNotFound) {
		return nil, notReady("the network is not founded yet")
	}
	if err != nil {
		return nil, err
	}
	return &audit.Pin{Network: g.Network, Quorum: s.cfg.Quorum, Members: g.Members}, nil
}

func (s *Server) getStatus(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, s.status())
}

func (s *Server) status() Status {
	now := s.cfg.Now()
	all := Status{Network: s.cfg.Network, Member: s.cfg.Member, Engine: s.cfg.Status(), Log: s.head(), Totals: s.cfg.Live.summary(now),
		Now: now, Speed: s.cfg.Speed, Version: s.cfg.Version}
	if s.cfg.Snapshots != nil {
		all.Copies.Snapshot = s.cfg.Snapshots.State()
	}
	all.Copies.Scrub.Faults = []Fault{}
	if s.cfg.Scrub != nil {
		all.Copies.Scrub = s.cfg.Scrub()
	}
	if s.cfg.Backups != nil {
		all.Copies.Backup, all.Copies.Overdue = s.cfg.Backups.State()
	}
	if s.cfg.Broker != nil {
		all.Broker = s.cfg.Broker()
	}
	return all
}

// head is the latest published checkpoint, or nothing before the first.
func (s *Server) head() LogHead {
	note, c, published, err := s.cfg.Checkpoint()
	if err != nil {
		return LogHead{Archive: s.cfg.LogArchive}
	}
	return LogHead{Size: c.Size, Root: c.Root.String(), Checkpoint: note, Published: published, Archive: s.cfg.LogArchive}
}
