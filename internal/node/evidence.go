package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/folder"
)

// What proves that a member lied is kept, one file each in the folder "evidence", and shown: what the engine found stands in a block
// as well, two checkpoints of one size stand in the file.

// maxEvidence is how much of one kind is kept against one member: a member that lies once may do it all day.
const maxEvidence = 16

// Kinds of evidence.
const (
	doubleVote = "double_vote" // votes for two blocks of one height
	falseChain = "false_chain" // a chain for those outside that is not the members'
	otherLog   = "other_log"   // a checkpoint of another log
)

// evidence is what is kept, and how often something was found.
type evidence struct {
	dir   string
	count *prometheus.CounterVec

	mu   sync.Mutex
	list []api.Evidence // oldest first
}

// evidenceFile is a file of the folder.
type evidenceFile struct {
	api.Evidence
	Ours   string `json:"ours,omitempty"`   // signed notes
	Theirs string `json:"theirs,omitempty"` // by Member
}

// openEvidence reads what was kept, and finds in recent blocks what a crash kept from being written.
func (n *Node) openEvidence() error {
	e := &n.accused
	e.dir = filepath.Join(n.cfg.Data, folder.Evidence)
	e.count = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lamppost_evidence_total",
		Help: "What was found to prove that a member lied, since the start, by member and kind; the folder evidence and /api/status say what."}, []string{"member", "kind"})
	n.registry.MustRegister(e.count)
	files, err := os.ReadDir(e.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".json") {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(e.dir, f.Name()))
		if err != nil {
			return err
		}
		var was evidenceFile
		if err := json.Unmarshal(raw, &was); err != nil {
			return fmt.Errorf("reading %q: %w; it shows that a member lied: look at it, then move it away", filepath.Join(e.dir, f.Name()), err)
		}
		was.File = f.Name()
		e.list = append(e.list, was.Evidence)
		e.count.WithLabelValues(string(was.Member), was.Kind).Add(0)
	}
	slices.SortStableFunc(e.list, func(a, b api.Evidence) int { return int(a.Found - b.Found) })
	return n.evidenceOfBlocks()
}

func (n *Node) evidenceOfBlocks() error {
	if !n.liars {
		return nil
	}
	top := n.rep.Last().Height
	for h := top - min(top, recentBlocks) + 1; h <= top; h++ {
		b, err := n.archive().Block(h)
		if errors.Is(err, archive.ErrAbsent) {
			continue
		}
		if err != nil {
			return err
		}
		n.caught(h, b.Time, b.Evidence)
	}
	return nil
}

// caught keeps what the engine says of members in a block.
func (n *Node) caught(in lamppost.Height, at lamppost.TimeMS, list []lamppost.Evidence) {
	for _, e := range list {
		kind, did := doubleVote, "signed votes for two blocks"
		if e.Kind != 1 {
			kind, did = falseChain, "signed a chain that is not the members'"
		}
		n.keepEvidence(fmt.Sprintf("%s-block-%d-%s-%d.json", e.Member, in, kind, e.Height), evidenceFile{Evidence: api.Evidence{Member: e.Member, Kind: kind, Found: at, Height: in,
			Text: fmt.Sprintf("member %q %s at the engine's height %d; block %d says so", e.Member, did, e.Height, in)}})
	}
}

// differs keeps two checkpoints of one size with different roots, which prove to everybody that one of the two members signed what
// is not the network's log.
func (n *Node) differs(a signedBy, ours string) {
	text := fmt.Sprintf("member %q signed another log: a checkpoint of %d entries with root %s, which is not this log's", a.member, a.Size, a.Root)
	n.keepEvidence(fmt.Sprintf("%s-%d.json", a.member, a.Size),
		evidenceFile{api.Evidence{Member: a.member, Kind: otherLog, Found: n.now(), Size: a.Size, Text: text}, ours, a.note})
}

// keepEvidence keeps a file and tells of it, unless it is kept already.
func (n *Node) keepEvidence(name string, f evidenceFile) {
	e := &n.accused
	e.mu.Lock()
	defer e.mu.Unlock()
	same := 0
	for _, old := range e.list {
		if old.File == name {
			return
		}
		if old.Member == f.Member && old.Kind == f.Kind {
			same++
		}
	}
	e.count.WithLabelValues(string(f.Member), f.Kind).Inc()
	if same >= maxEvidence {
		return
	}
	n.cfg.Log.Error("a member lied", "member", f.Member, "what", f.Text, "kept", filepath.Join(e.dir, name))
	f.File = name
	e.list = append(e.list, f.Evidence)
	if err := writeEvidence(e.dir, name, f); err != nil {
		n.cfg.Log.Error("keeping what shows that a member lied", "member", f.Member, "what", f.Text, "error", err)
	}
}

func writeEvidence(dir, name string, f evidenceFile) error {
	raw, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return folder.WriteDurably(filepath.Join(dir, name), string(raw)+"\n", 0o600)
}

// Evidence is what is kept, oldest first.
func (n *Node) Evidence() []api.Evidence {
	n.accused.mu.Lock()
	defer n.accused.mu.Unlock()
	return append([]api.Evidence{}, n.accused.list...)
}
