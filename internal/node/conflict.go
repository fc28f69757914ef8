package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/consensus"
	"github.com/lamppost/lamppost/internal/cosign"
	"github.com/lamppost/lamppost/internal/folder"
	"github.com/lamppost/lamppost/internal/tilelog"
)

// A node that learns that its log is not what it signed before, because its store is an older copy or another one, stops:
// it signs nothing more, or there would be two histories under its name, and takes nothing more, because what it takes
// may have to be given up. Devices keep their reports and try again. It goes on showing what it has, the conflict first.

// conflictFolder holds what is known of a conflict. As long as it is there the node does not go on.
const conflictFolder = "conflict"

// settle turns a conflict of the published log with the store into a stop, and returns every other error.
func (n *Node) settle(err error) error {
	var c *tilelog.ConflictError
	if !errors.As(err, &c) {
		return err
	}
	n.stop(api.Conflict{Text: c.Error(), Ours: n.note(), Theirs: string(c.Published)}, true)
	return nil
}

// weigh decides about witnesses that contradict this log. A checkpoint that our own key signed proves it. Where there is
// only their word, it counts if more say so than the quorum can do without: then one of those says so whom the network's
// pin relies on.
func (n *Node) weigh(against []cosign.Contradiction) {
	for _, c := range against {
		n.cfg.Log.Error("a witness contradicts this log", "witness", c.Witness, "what", c.Text)
		if c.Shown != "" {
			n.stop(api.Conflict{Text: c.Text, Ours: n.note(), Theirs: c.Shown}, true)
			return
		}
	}
	if spare := len(n.cfg.Witnesses) - n.cfg.WitnessQuorum; len(against) > spare {
		words := make([]string, len(against))
		for i, c := range against {
			words[i] = c.Text
		}
		n.stop(api.Conflict{Text: strings.Join(words, "; ") + ". That is their word only: if it is wrong, take them out of witnesses and start again",
			Ours: n.note()}, false)
	}
}

// note is the latest checkpoint that was published here.
func (n *Node) note() string {
	if p := n.published.Load(); p != nil {
		return p.note
	}
	return ""
}

// stop ends signing and taking. What is proven is kept in the data folder, so that the next start knows.
func (n *Node) stop(c api.Conflict, keep bool) {
	c.Found = n.now()
	if !n.conflict.CompareAndSwap(nil, &c) {
		return
	}
	n.cfg.Log.Error("nothing is signed or taken any more: this log is not what was signed before", "why", c.Text)
	if !keep {
		return
	}
	if err := n.keepConflict(c); err != nil {
		n.cfg.Log.Error("keeping both checkpoints", "error", err)
	}
}

func (n *Node) keepConflict(c api.Conflict) error {
	dir := filepath.Join(n.cfg.Data, conflictFolder)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	raw, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	for name, text := range map[string]string{"ours.note": c.Ours, "theirs.note": c.Theirs} {
		if err := folder.WriteDurably(filepath.Join(dir, name), text, 0o600); err != nil {
			return err
		}
	}
	return folder.WriteDurably(filepath.Join(dir, "conflict.json"), string(raw)+"\n", 0o600)
}

// readConflict finds a conflict that an earlier start met, and shows what was published then.
func (n *Node) readConflict() error {
	path := filepath.Join(n.cfg.Data, conflictFolder, "conflict.json")
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	c := new(api.Conflict)
	if err := json.Unmarshal(raw, c); err != nil {
		return fmt.Errorf("reading %q: %w", path, err)
	}
	n.conflict.Store(c)
	n.cfg.Log.Error("nothing is signed or taken: this log is not what was signed before. When you know what happened, move the folder "+
		conflictFolder+" away", "data", n.cfg.Data, "why", c.Text)
	if signed, _, err := n.publisher.Latest(n.store); err == nil && signed != nil {
		return n.show(signed)
	}
	return nil
}

// A gate is the engine until the node must take nothing more: then a proposal waits for the end.
type gate struct {
	consensus.Engine
	shut func() bool
	once sync.Once
	end  chan struct{}
}

// Propose implements consensus.Engine.
func (g *gate) Propose(ctx context.Context, id lamppost.TxID, tx []byte) (consensus.Decision, error) {
	if !g.shut() {
		return g.Engine.Propose(ctx, id, tx)
	}
	select {
	case <-ctx.Done():
		return consensus.Decision{}, ctx.Err()
	case <-g.end:
		return consensus.Decision{}, consensus.ErrStopped
	}
}

// open lets those go who wait for the end.
func (g *gate) open() { g.once.Do(func() { close(g.end) }) }
