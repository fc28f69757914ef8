package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"path/filepath"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
)

// Backups makes backups and remembers them.
type Backups struct {
	// Make writes one to where begin says, which is called with its id before the first byte.
	Make   func(ctx context.Context, b NewBackup, begin func(id string) io.Writer) error
	List   func() ([]Backup, error)
	Forget func(id string) error // kv.ErrNotFound: no such backup
	// State says when the latest whole one was made, 0 for none, and how many erasures should be out of every file and backup of
	// this member and are not.
	State func() (latest lamppost.TimeMS, overdue int)
}

// NewBackup asks for a backup, in POST /api/backups.
type NewBackup struct {
	Path        string `json:"path"`   // where it will stand
	Host        string `json:"host"`   // on which machine
	Device      uint64 `json:"device"` // on which disk of it; 0: not known
	WithoutKeys bool   `json:"without_keys"`
}

// BackupList answers /api/backups.
type BackupList struct {
	Backups []Backup `json:"backups"`
}

// A Backup is one that the node has made.
type Backup struct {
	ID     string          `json:"id"`
	Path   string          `json:"path"`
	Host   string          `json:"host"`
	Time   lamppost.TimeMS `json:"time_ms"`
	Height lamppost.Height `json:"height"`
	Erased lamppost.Height `json:"erased"` // what was erased up to this block is not in it
	Whole  bool            `json:"whole"`
	State  string          `json:"state"` // there, gone or elsewhere
}

// BackupHeader names the backup that an answer is.
const BackupHeader = "Lamppost-Backup"

func (s *Server) getBackups(w http.ResponseWriter, _ *http.Request) error {
	list, err := s.backups()
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, BackupList{list})
}

// backups lists them; none where the node makes none.
func (s *Server) backups() ([]Backup, error) {
	if s.cfg.Backups == nil {
		return []Backup{}, nil
	}
	return s.cfg.Backups.List()
}

func (s *Server) postBackup(w http.ResponseWriter, r *http.Request) error {
	var b NewBackup
	if err := readJSON(r, &b); err != nil {
		return err
	}
	if s.cfg.Backups == nil {
		return notFound("this node makes no backups")
	}
	if !filepath.IsAbs(b.Path) || b.Host == "" || len(b.Path) > maxPathBytes || len(b.Host) > maxText {
		return badRequest("path and host say where the backup will stand, so that what is erased can be followed there: an absolute path, and a machine's name")
	}
	out := unhurried(w)
	begun := false
	err := s.cfg.Backups.Make(r.Context(), b, func(id string) io.Writer {
		begun = true
		w.Header().Set("Content-Type", "application/zstd")
		w.Header().Set(BackupHeader, id)
		w.WriteHeader(http.StatusOK)
		return out
	})
	if err != nil && begun {
		s.log.Error("making a backup", "path", b.Path, "err", err)
		panic(http.ErrAbortHandler) // the reader must not take it for the end
	}
	return err
}

func (s *Server) postBackupGone(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	if s.cfg.Backups == nil {
		return notFound("this node makes no backups")
	}
	if err := s.cfg.Backups.Forget(id); errors.Is(err, kv.ErrNotFound) {
		return notFound("no backup %q: GET /api/backups lists them", clip(id))
	} else if err != nil {
		return err
	}
	list, err := s.backups()
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, BackupList{list})
}

// holds returns the ids of backups that may hold what was erased in a block.
func holds(all []Backup, erased lamppost.Height) []string {
	ids := []string{}
	for i := range all {
		if all[i].Erased < erased && all[i].State != "gone" {
			ids = append(ids, all[i].ID)
		}
	}
	return ids
}
