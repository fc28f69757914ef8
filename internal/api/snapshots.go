package api

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/snapshot/dir"
)

// Snapshots are the files with the ledger's state, and who takes them.
type Snapshots struct {
	Dir   *dir.Dir
	State func() SnapshotState
	Take  func(context.Context) (SnapshotFile, error)
}

// Copies says how it stands with what else there is of the chain on this node.
type Copies struct {
	Snapshot SnapshotState   `json:"snapshot"`
	Backup   lamppost.TimeMS `json:"backup_ms"` // when the latest whole backup was made; 0: none is known
	Scrub    ScrubState      `json:"scrub"`
	Overdue  int             `json:"overdue"` // erasures that should be out of every file and backup of this member, and are not
}

// A ScrubState says how far the reading of everything on the disk is, and what it has found.
type ScrubState struct {
	Began   lamppost.TimeMS `json:"began_ms"` // this time round; 0: not yet, or never
	Percent int             `json:"percent"`
	Faults  []Fault         `json:"faults"`
}

// A Fault is something on the disk that is not what was written.
type Fault struct {
	Where string          `json:"where"`
	What  string          `json:"what"`
	At    lamppost.TimeMS `json:"at_ms"`
}

// A SnapshotState says when the last snapshot was taken; its height is 0 before the first.
type SnapshotState struct {
	Height lamppost.Height `json:"height"`
	Time   lamppost.TimeMS `json:"time_ms"` // of its block
	Bytes  int64           `json:"bytes"`
	Error  string          `json:"error"` // why the latest try did not work
}

// SnapshotList answers /api/snapshots.
type SnapshotList struct {
	Files []SnapshotFile  `json:"files"` // of this node
	Said  []SnapshotWords `json:"said"`  // on the ledger, by members
}

// A SnapshotFile is one that this node has.
type SnapshotFile struct {
	Name   string          `json:"name"`
	Height lamppost.Height `json:"height"`
	Bytes  int64           `json:"bytes"`
}

// SnapshotWords are what members said of their states at a height.
type SnapshotWords struct {
	Height   lamppost.Height `json:"height"`
	Disagree bool            `json:"disagree"`
	Members  []SnapshotWord  `json:"members"`
}

// A SnapshotWord is what one member said.
type SnapshotWord struct {
	Member lamppost.MemberID `json:"member"`
	Digest string            `json:"digest"`
	Size   int64             `json:"size"`
	Root   string            `json:"root"`
	Block  lamppost.Height   `json:"block"` // where it stands
}

func (s *Server) getSnapshots(w http.ResponseWriter, _ *http.Request) error {
	out := SnapshotList{Files: []SnapshotFile{}, Said: []SnapshotWords{}}
	if s.cfg.Snapshots != nil {
		all, err := s.cfg.Snapshots.Dir.List()
		if err != nil {
			return err
		}
		for _, e := range all {
			out.Files = append(out.Files, SnapshotFile(e))
		}
	}
	err := s.snapshot(func(r archive.View) error {
		said, err := ledger.View{Reader: r}.Snapshots()
		for _, one := range said {
			words := SnapshotWords{Height: one.Height, Disagree: one.Disagree}
			for _, w := range one.Words {
				words.Members = append(words.Members, SnapshotWord{w.Member, w.Body.Digest.String(), w.Body.Size, w.Body.Root.String(), w.At.Height})
			}
			out.Said = append(out.Said, words)
		}
		return err
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, out)
}

func (s *Server) postSnapshot(w http.ResponseWriter, r *http.Request) error {
	if s.cfg.Snapshots == nil {
		return notFound("this node takes no snapshots")
	}
	unhurried(w)
	done, err := s.cfg.Snapshots.Take(r.Context())
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusCreated, done)
}

func (s *Server) getSnapshot(w http.ResponseWriter, r *http.Request) error {
	if s.cfg.Snapshots == nil {
		return notFound("this node takes no snapshots")
	}
	f, err := s.cfg.Snapshots.Dir.Open(r.PathValue("name"))
	if errors.Is(err, fs.ErrNotExist) {
		return notFound("no snapshot %q: GET /api/snapshots lists those that are there", clip(r.PathValue("name")))
	}
	if err != nil {
		return err
	}
	defer f.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(unhurried(w), r, f.Name(), time.Time{}, f)
	return nil
}

// unhurried lifts the bounds on how long a request may take: a large file takes as long as its reader reads at all.
func unhurried(w http.ResponseWriter) http.ResponseWriter {
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Time{})
	_ = c.SetWriteDeadline(time.Time{})
	return &patient{w, c}
}

// patient is a writer whose reader must read on within streamTimeout.
type patient struct {
	http.ResponseWriter
	c *http.ResponseController
}

// Write implements io.Writer.
func (p *patient) Write(b []byte) (int, error) {
	_ = p.c.SetWriteDeadline(time.Now().Add(streamTimeout))
	return p.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (p *patient) Unwrap() http.ResponseWriter { return p.ResponseWriter }
