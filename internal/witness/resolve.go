package witness

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/tilelog"
)

// Run looks at what is not resolved until ctx is done: at once when something is kept, and again every while.
func (w *Witness) Run(ctx context.Context) {
	tick := time.NewTicker(resolveEvery)
	defer tick.Stop()
	for {
		w.Resolve(ctx)
		select {
		case <-w.pending:
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Resolve finds out about contradictions that are not proven, from the files of the logs whose address is known. The log
// signed its latest checkpoint too: if both checkpoints of a pair are the beginning of that one, the proof was wrong; if
// one is not, the log signed two histories, and its own files prove it. Of a log without an address, and of one that was
// looked at a moment ago, nothing is asked.
func (w *Witness) Resolve(ctx context.Context) {
	for _, f := range w.all() {
		open, l, keys := w.unresolved(f)
		if len(open) == 0 || l.URL == "" {
			continue
		}
		found := w.look(ctx, l, keys, open)
		if ctx.Err() != nil {
			return
		}
		w.resolved(f, found)
	}
}

// look fetches a log's latest checkpoint and judges pairs by it.
func (w *Witness) look(ctx context.Context, l Log, keys note.Verifiers, open []*keptFork) (found []verdict) {
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	latest, err := fetchTree(ctx, w.cfg.Client, l, keys)
	for _, k := range open {
		found = append(found, latest.judge(k, err))
	}
	return found
}

// unresolved returns what is to be found out about a log now.
func (w *Witness) unresolved(f *followed) (open []*keptFork, l Log, keys note.Verifiers) {
	f.mu.Lock()
	defer f.mu.Unlock()
	due := w.now() - lamppost.TimeMS(resolveEvery.Milliseconds())
	for _, k := range f.forks {
		if !k.proven && k.Tried <= due && w.failed.Load() == nil {
			open = append(open, k)
		}
	}
	return open, f.record.Log, f.keys
}

// A verdict is what came of looking at a pair: a fork, or no fork, or why it cannot be told.
type verdict struct {
	open *keptFork
	fork *Fork
	none bool
	why  string
}

// resolved keeps what was found out. A pair that gave way meanwhile is left alone.
func (w *Witness) resolved(f *followed, found []verdict) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var b kv.Batch
	kept, next := f.forks, f.record
	for _, v := range found {
		if !slices.Contains(kept, v.open) {
			continue
		}
		kept = next.without(&b, kept, func(k *keptFork) bool { return k == v.open })
		switch {
		case v.fork != nil:
			v.fork.Found = v.open.Found
			kept = next.add(&b, kept, &keptFork{Fork: *v.fork, proven: true})
		case !v.none:
			again := *v.open // the same, with another remark
			again.Tried, again.Why = w.now(), v.why
			b.Set(next.forkKey(&again), lamppost.Marshal(again.Fork))
			kept = append(kept, &again)
		}
	}
	_ = w.writeForks(f, &b, kept, next) // a failure is logged, and nothing is cosigned any more
}

// A tree is a log's latest checkpoint with its files.
type tree struct {
	head
	note string
	*tilelog.Tree
}

func fetchTree(ctx context.Context, client *http.Client, l Log, keys note.Verifiers) (*tree, error) {
	files := tilelog.Web{URL: l.URL, Client: client, Ctx: ctx}
	raw, err := files.Get(tilelog.CheckpointPath)
	if err != nil {
		return nil, err
	}
	n, err := note.Open(raw, keys)
	if err != nil {
		return nil, fmt.Errorf("its latest checkpoint: %w", err)
	}
	h, err := parseHead(n.Text)
	if err == nil && h.origin != l.Origin {
		err = fmt.Errorf("it is of log %q", h.origin)
	}
	if err != nil {
		return nil, fmt.Errorf("its latest checkpoint: %w", err)
	}
	signed, err := lamppost.SignedNote(n.Text, n.Sigs...)
	return &tree{h, string(signed), tilelog.NewTree(files, h.size, h.root)}, err
}

// judge compares both checkpoints of a pair with the tree; err is why there is none.
func (t *tree) judge(k *keptFork, err error) verdict {
	v := verdict{open: k}
	a, b, err2 := k.heads()
	if err = errors.Join(err, err2); err != nil {
		v.why = err.Error()
		return v
	}
	if t.size < max(a.size, b.size) {
		v.why = fmt.Sprintf("its latest checkpoint has only %d entries", t.size)
		return v
	}
	for _, c := range []struct {
		head
		note string
	}{{a, k.Smaller}, {b, k.Larger}} {
		root, err := t.RootAt(c.size)
		if err != nil {
			v.why = err.Error()
			return v
		}
		if root == c.root {
			continue
		}
		fork := Fork{Smaller: c.note, Larger: t.note}
		if c.size < t.size {
			proof, err := t.ProveConsistency(c.size)
			if err != nil {
				v.why = err.Error()
				return v
			}
			fork.Begin, fork.Proof = lamppost.Hash(root), hashesOf(proof)
		}
		v.fork = &fork
		return v
	}
	v.none = true
	return v
}
