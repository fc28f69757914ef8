package api

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/tilelog"
)

// Witnesses is what a node that asks witnesses tells its API. Files are then proven against the latest checkpoint that
// enough of them have cosigned, because only that satisfies the network's pin.
type Witnesses struct {
	Keys   []string // verifier keys, for the pin
	Quorum int      // how many of them are enough
	// Cosigned returns the latest checkpoint that enough have cosigned, or an error before the first.
	Cosigned func() (Cosigned, error)
	States   func() []WitnessState
}

// A Cosigned is a checkpoint with the lines of witnesses below it.
type Cosigned struct {
	lamppost.Checkpoint
	Note string
	Keys []string // verifier keys of these lines, ascending
}

// A WitnessState is how it stands with one witness.
type WitnessState struct {
	Name   string          `json:"name"`
	URL    string          `json:"url"`
	Size   int64           `json:"size"`
	At     lamppost.TimeMS `json:"cosigned_ms"`
	Error  string          `json:"error"`
	Failed lamppost.TimeMS `json:"failed_ms"`
}

// A Conflict is why a node signs nothing any more: somebody holds a checkpoint signed with its key that its log does not
// continue, or enough witnesses say so.
type Conflict struct {
	Found  lamppost.TimeMS `json:"found_ms"`
	Text   string          `json:"text"`
	Ours   string          `json:"ours"`   // signed note, the latest that is published here
	Theirs string          `json:"theirs"` // signed note, or empty where there is only their word
}

// provable is the checkpoint that files are proven against.
func (s *Server) provable() (Cosigned, error) {
	if s.cfg.Witnesses != nil {
		c, err := s.cfg.Witnesses.Cosigned()
		if err != nil {
			return c, notReady("no checkpoint is cosigned yet: ask again in a few seconds; /api/status says which witness is late")
		}
		return c, nil
	}
	note, c, _, err := s.cfg.Checkpoint()
	if err != nil {
		return Cosigned{}, notReady("no checkpoint is published yet: ask again in a second")
	}
	return Cosigned{Checkpoint: c, Note: note}, nil
}

// unpublished turns "committed but not published" into "come again".
func (s *Server) unpublished(err error) error {
	var refusal *lamppost.Refusal
	if !errors.As(err, &refusal) || refusal.Code != lamppost.CodeNotReady {
		return err
	}
	if w := s.cfg.Witnesses; w != nil {
		return notReady(fmt.Sprintf("it is committed, and %d of the network's %d witnesses have not cosigned it yet: ask again in a few seconds; "+
			"/api/status says which witness is late", w.Quorum, len(w.Keys)))
	}
	return notReady(refusal.Text)
}

// tileFile is the path of a tile or entry bundle in C2SP tlog-tiles.
var tileFile = regexp.MustCompile(`^tile/(entries|\d{1,2})/(x\d{3}/)*\d{3}(\.p/\d{1,3})?$`)

// getPublished serves the log's files (C2SP tlog-tiles) to everybody: leaves are salted commitments.
func (s *Server) getPublished(w http.ResponseWriter, req *http.Request) error {
	path := req.PathValue("path")
	head := path == tilelog.CheckpointPath || path == tilelog.CosignedPath
	if !head && !tileFile.MatchString(path) {
		return notFound("no file %q of the log: C2SP tlog-tiles says which there are", clip(path))
	}
	data, err := s.cfg.Published(path)
	if errors.Is(err, os.ErrNotExist) {
		return notFound("the log has no file %q", clip(path))
	}
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	if head {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-cache")
	}
	_, err = w.Write(data)
	return err
}
