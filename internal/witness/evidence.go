package witness

import (
	"slices"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
)

// How forks are kept: durably, each pair once, so many per log. Anybody can submit an honest checkpoint with a wrong
// proof, so of those that are not proven the oldest give way; of those that are, the first is worth as much as a hundred.

type keptFork struct {
	Fork
	number uint32
	proven bool
}

// contradicted keeps the checkpoint cosigned last beside one that does not continue it by the proof that came along. An
// error means that the state is not known any more.
func (w *Witness) contradicted(f *followed, shown *note.Note, proof tlog.TreeProof) error {
	signed, err := lamppost.SignedNote(shown.Text, shown.Sigs...)
	if err != nil {
		return err
	}
	h, err := parseHead(shown.Text)
	if err != nil {
		return err
	}
	found := Fork{Found: w.now(), Smaller: f.state.Note, Larger: string(signed)}
	proven := h.size == f.state.size
	if !proven {
		var begin tlog.Hash
		if begin, proven = beginning(proof, h.size, h.root, f.state.size); proven {
			found.Begin, found.Proof = lamppost.Hash(begin), hashesOf(proof)
		}
	}
	var b kv.Batch
	kept, next := f.forks, f.record
	kept = next.add(&b, kept, &keptFork{Fork: found, proven: proven})
	return w.writeForks(f, &b, kept, next)
}

// writeForks makes changes of a log's forks durable, then valid.
func (w *Witness) writeForks(f *followed, b *kv.Batch, kept []*keptFork, next record) error {
	if b.Len() == 0 && next.Dropped == f.record.Dropped {
		return nil
	}
	b.Set(key(logKind, f.origin), lamppost.Marshal(next))
	if err := w.write(b); err != nil {
		return err
	}
	for _, k := range kept {
		if k.number >= f.record.Next {
			w.cfg.Log.Warn("checkpoints of one log contradict each other", "origin", f.origin, "proven", k.proven, "words", k.Words())
		}
	}
	f.forks, f.record = kept, next
	select {
	case w.pending <- struct{}{}:
	default:
	}
	return nil
}

// add puts a fork among those kept, unless the pair is there, and notes what changes in the store. The list it is given
// stays as it is.
func (r *record) add(b *kv.Batch, kept []*keptFork, n *keptFork) []*keptFork {
	same := 0
	for _, k := range kept {
		if n.samePair(&k.Fork) && (k.proven || !n.proven) {
			return kept
		}
		if k.proven == n.proven {
			same++
		}
	}
	kept = r.without(b, kept, func(k *keptFork) bool { return !k.proven && n.samePair(&k.Fork) }) // it is proven now
	if n.proven && same >= maxForks {
		r.Dropped++
		return kept
	}
	if !n.proven && same >= maxUnresolved {
		r.Dropped++
		oldest := kept[slices.IndexFunc(kept, func(k *keptFork) bool { return !k.proven })]
		kept = r.without(b, kept, func(k *keptFork) bool { return k == oldest })
	}
	n.number = r.Next
	r.Next++
	b.Set(r.forkKey(n), lamppost.Marshal(n.Fork))
	return append(slices.Clone(kept), n)
}

// without leaves out the forks that drop names, in the list and in the store.
func (r *record) without(b *kv.Batch, kept []*keptFork, drop func(*keptFork) bool) (rest []*keptFork) {
	for _, k := range kept {
		if drop(k) {
			b.Delete(r.forkKey(k))
			continue
		}
		rest = append(rest, k)
	}
	return rest
}

func (r *record) forkKey(k *keptFork) []byte {
	kind := byte(unprovenKind)
	if k.proven {
		kind = forkKind
	}
	return forkKey(kind, r.Log.Origin, k.number)
}

// samePair compares what was signed, whoever cosigned it besides.
func (f *Fork) samePair(g *Fork) bool {
	a, b, err1 := f.heads()
	c, d, err2 := g.heads()
	return err1 == nil && err2 == nil && a == c && b == d
}

// cleared returns the forks that are left when a checkpoint was found to continue what was cosigned before: what was
// shown with a wrong proof once and is cosigned now never was a fork.
func (f *followed) cleared(b *kv.Batch, h head) []*keptFork {
	return f.record.without(b, f.forks, func(k *keptFork) bool {
		_, larger, err := k.heads()
		return err == nil && !k.proven && larger == h
	})
}
