package api

import (
	"errors"
	"fmt"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
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

	Others []string // the same checkpoint as other members signed it, as many as a quorum takes
}

// Notes are the signed checkpoints of a quorum.
func (c *Cosigned) Notes() []string { return append([]string{c.Note}, c.Others...) }

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
	if s.cfg.Agreed != nil {
		c, err := s.cfg.Agreed()
		if err != nil {
			return c, notReady("too few members have signed the same checkpoint yet: ask again in a few seconds")
		}
		return c, nil
	}
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

// unpublished turns "committed but not published" into "come again", and what is not kept any more into "gone".
func (s *Server) unpublished(err error) error {
	if errors.Is(err, archive.ErrForgotten) {
		return gone("%v: it was kept as long as the network's rules say; see /api/keeping", err)
	}
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
