package node

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/cosign"
)

const (
	// refreshEvery is how often witnesses are asked again for a checkpoint they have cosigned: its time shows that the log
	// is still there.
	refreshEvery = 10 * time.Minute
	// againEvery is how often those are asked again that did not cosign, while the log does not grow.
	againEvery = time.Minute
)

// openWitnesses prepares asking, reads what was cosigned before, and whether this log was contradicted.
func (n *Node) openWitnesses() error {
	if err := n.readConflict(); err != nil {
		return err
	}
	if len(n.cfg.Witnesses) == 0 {
		return nil
	}
	cfg := cosign.Config{Own: n.verifier, Files: n.files, Now: n.now}
	for _, w := range n.cfg.Witnesses {
		key, err := lamppost.ParseWitnessKey(w.VKey)
		if err != nil {
			return err
		}
		cfg.Witnesses = append(cfg.Witnesses, cosign.Witness{Key: key, URL: w.URL})
	}
	n.asker = cosign.New(cfg)
	signed, _, err := n.publisher.Cosigned(n.store)
	if err != nil || signed == nil {
		return n.settle(err)
	}
	c, err := n.readCosigned(signed)
	if err == nil && len(c.Keys) >= n.cfg.WitnessQuorum {
		n.cosigned.Store(&c)
	}
	return err
}

// readCosigned takes from a published checkpoint the lines of the witnesses that are configured now.
func (n *Node) readCosigned(signed []byte) (api.Cosigned, error) {
	known := []note.Verifier{n.verifier}
	for _, w := range n.cfg.Witnesses {
		key, err := lamppost.ParseWitnessKey(w.VKey)
		if err != nil {
			return api.Cosigned{}, err
		}
		known = append(known, key)
	}
	c, sigs, err := lamppost.OpenCheckpoint(signed, note.VerifierList(known...))
	if err != nil {
		return api.Cosigned{}, fmt.Errorf("reading the cosigned checkpoint: %w", err)
	}
	out := api.Cosigned{Checkpoint: c}
	for _, s := range sigs {
		for _, v := range known[1:] {
			if s.Name == v.Name() && s.Hash == v.KeyHash() {
				out.Keys = append(out.Keys, v.(*lamppost.WitnessKey).String())
			}
		}
	}
	slices.Sort(out.Keys)
	text, err := lamppost.SignedNote(c.Text(), sigs...)
	out.Note = string(text)
	return out, err
}

// witnesses is what the API tells of them.
func (n *Node) witnesses() *api.Witnesses {
	if n.asker == nil {
		return nil
	}
	w := &api.Witnesses{Quorum: n.cfg.WitnessQuorum, Cosigned: n.Cosigned, States: func() (list []api.WitnessState) {
		for _, s := range n.asker.States() {
			list = append(list, api.WitnessState{Name: s.Name, URL: s.URL, Size: s.Size, At: s.At, Error: s.Error, Failed: s.FailedAt})
		}
		return list
	}}
	for _, c := range n.cfg.Witnesses {
		w.Keys = append(w.Keys, c.VKey)
	}
	return w
}

// Cosigned returns the latest checkpoint that enough witnesses have cosigned.
func (n *Node) Cosigned() (api.Cosigned, error) {
	if c := n.cosigned.Load(); c != nil {
		return *c, nil
	}
	return api.Cosigned{}, lamppost.Refuse(lamppost.CodeNotReady, "no checkpoint is cosigned yet: ask again in a few seconds")
}

// askWitnesses asks for the newest checkpoint as soon as there is one, at most every Config.WitnessEvery. Neither the
// commits nor the log's own checkpoints wait for it.
func (n *Node) askWitnesses(ctx context.Context) error {
	if n.asker == nil {
		close(n.introduced)
		<-ctx.Done()
		return nil
	}
	for first := true; ; first = false {
		p := n.published.Load()
		if p != nil && n.conflict.Load() == nil {
			n.ask(ctx, p)
		}
		if first {
			close(n.introduced)
		}
		if !n.rest(ctx, p) {
			return nil
		}
	}
}

// rest waits until the witnesses are to be asked again, which p was for, and reports false if that is never.
func (n *Node) rest(ctx context.Context, p *published) bool {
	pause := refreshEvery
	for _, s := range n.asker.States() {
		if s.Error != "" {
			pause = againEvery
		}
	}
	late := time.After(max(pause, n.cfg.WitnessEvery))
	select {
	case <-time.After(n.cfg.WitnessEvery):
	case <-ctx.Done():
		return false
	}
	for n.published.Load() == p {
		select {
		case <-n.grown:
		case <-late:
			return true
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// ask asks all witnesses once and hands on what they say.
func (n *Node) ask(ctx context.Context, p *published) {
	against, err := n.asker.Ask(ctx, []byte(p.note), n.cfg.WitnessQuorum, func(sigs []note.Signature) {
		c, err := n.withLines(p, sigs)
		if err != nil {
			n.cfg.Log.Error("writing a cosigned checkpoint", "error", err)
			return
		}
		select {
		case n.cosignatures <- c:
		case <-ctx.Done():
		}
	})
	if err != nil {
		n.cfg.Log.Error("asking witnesses", "error", err)
	}
	n.weigh(against)
}

// withLines puts the witnesses' lines below a checkpoint.
func (n *Node) withLines(p *published, sigs []note.Signature) (api.Cosigned, error) {
	_, own, err := lamppost.OpenCheckpoint([]byte(p.note), note.VerifierList(n.verifier))
	if err != nil {
		return api.Cosigned{}, err
	}
	signed, err := lamppost.SignedNote(p.Text(), append(own, sigs...)...)
	if err != nil {
		return api.Cosigned{}, err
	}
	return n.readCosigned(signed)
}

// publishCosigned puts a cosigned checkpoint where everybody finds it, and then lets proofs rest on it.
func (n *Node) publishCosigned(c api.Cosigned) error {
	n.printing.Lock()
	defer n.printing.Unlock()
	if n.conflict.Load() != nil {
		return nil
	}
	snap, err := n.store.Snapshot()
	if err != nil {
		return err
	}
	defer snap.Close()
	if err := n.publisher.PublishCosigned(snap, []byte(c.Note)); err != nil {
		return err
	}
	if old := n.cosigned.Load(); old == nil || old.Size <= c.Size {
		n.cosigned.Store(&c)
	}
	return nil
}
