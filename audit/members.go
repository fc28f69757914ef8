package audit

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/sig"
	"golang.org/x/mod/sumdb/note"
)

// Who was a member when. A pin says whose checkpoints count; the log under them says, by its founding and by every change since,
// who the members were at each place of it. What a member signed counts where it was one. Each change names the block of the one
// before and the leaf of each block the members after it, so none can be left out.

// A term is a stretch of the log with the same members.
type term struct {
	after int64 // the leaf that made them the members
	net   *lamppost.Network
	hash  lamppost.Hash // as block leaves have it
	keys  map[lamppost.MemberID]*sig.PublicKey
}

// checkGenesis checks the founding by its own members: those of the pin may be others by now.
func (e *Evidence) checkGenesis(t *Tx, s *lamppost.Signed) error {
	g, ok := decode[lamppost.GenesisBody](t.Order.Body)
	if !ok {
		return errors.New("its body cannot be read")
	}
	if t.Outcome.Code != lamppost.CodeOK {
		return fmt.Errorf("it was refused (%s)", t.Outcome.Code)
	}
	if g.Network != e.Network || t.Leaf != 0 || t.Height != 1 || t.Index != 0 || len(e.terms) > 0 {
		return fmt.Errorf("it founds network %q and is not the first entry of %q", g.Network, e.Network)
	}
	if err := lamppost.CheckMembers(g.Engine, g.Members); err != nil {
		return err
	}
	if err := e.begin(t, &lamppost.Network{GenesisBody: *g, Changed: 1}); err != nil {
		return err
	}
	key := e.memberKey(t.Signer)
	if key == nil || !s.Verify(e.Network, lamppost.PurposeTx, key) {
		return fmt.Errorf("it is not signed by a member it names")
	}
	return nil
}

// changeMembers takes a change of the network that enough members had ordered. That so many had is the log's word, as any outcome is;
// that it is as many as it takes, and a change that may be, is checked.
func (e *Evidence) changeMembers(t *Tx) error {
	b, ok := decode[lamppost.NetworkBody](t.Order.Body)
	if !ok {
		return errors.New("its body cannot be read")
	}
	if !lamppost.Consented(&t.Outcome) {
		return nil // a member's word, and too few have given it as yet
	}
	if len(e.terms) == 0 {
		return errors.New("it changes the members, and the founding is not in the proof")
	}
	now := e.terms[len(e.terms)-1].net
	if need := now.Engine.Consent(len(now.Members)); int(t.Outcome.Data[1]) != need {
		return fmt.Errorf("it counts by the word of %d members, and of %d it takes %d", t.Outcome.Data[1], len(now.Members), need)
	}
	next, err := now.Next(b, t.Height)
	if err != nil {
		return err
	}
	return e.begin(t, next)
}

// begin begins a term. Members keep their keys, so that only those of who came are read.
func (e *Evidence) begin(t *Tx, n *lamppost.Network) error {
	next := term{after: t.Leaf, net: n, hash: lamppost.HashMembers(n.Members), keys: make(map[lamppost.MemberID]*sig.PublicKey, len(n.Members))}
	for _, m := range n.Members {
		key := e.memberKey(m.ID)
		if key == nil || len(e.terms) == 0 {
			var err error
			if key, err = sig.ParsePublicKey(sig.EdDSA, m.Key); err != nil {
				return fmt.Errorf("member %q: %w", m.ID, err)
			}
		}
		next.keys[m.ID] = key
	}
	e.terms = append(e.terms, next)
	return nil
}

// memberKey returns the key of a member as of the latest transaction that was read, or nil. Where the founding is not in the proof, the members
// are those of the pin.
func (e *Evidence) memberKey(id lamppost.MemberID) *sig.PublicKey {
	switch {
	case len(e.terms) > 0:
		return e.terms[len(e.terms)-1].keys[id]
	case e.members != nil:
		return e.members.keys[id]
	}
	return nil
}

// noMember says that somebody is no member as of the latest transaction that was read, and since when not.
func (e *Evidence) noMember(id lamppost.MemberID) error {
	if e.members == nil && len(e.terms) == 0 {
		return ErrUnknownMembers
	}
	for i := len(e.terms) - 1; i > 0; i-- {
		if e.terms[i-1].keys[id] != nil {
			return fmt.Errorf("it is signed by %q, who was taken out of the network by block %d", id, e.terms[i].net.Changed)
		}
	}
	return fmt.Errorf("it is signed by %q, who is not a known member", id)
}

// termAt returns the term that a leaf lies in, or nil where the proof does not say who the members were.
func (e *Evidence) termAt(leaf int64) *term {
	for i := len(e.terms) - 1; i >= 0; i-- {
		if e.terms[i].after < leaf {
			return &e.terms[i]
		}
	}
	return nil
}

// chooseSigners makes the last members those whose checkpoints count, where there is no pin.
func (e *Evidence) chooseSigners() (err error) {
	if e.members != nil {
		return nil
	}
	if len(e.terms) == 0 {
		return ErrUnknownMembers
	}
	e.members, err = newRoster(e.Network, e.terms[len(e.terms)-1].net.Members)
	return err
}

// checkSigner refuses the checkpoint of a member of the pin whom the log under it has taken out, or has with another key.
func (e *Evidence) checkSigner(origin string) error {
	id := lamppost.MemberID(strings.TrimPrefix(origin, e.Network+"/"))
	switch key := e.memberKey(id); {
	case key == nil:
		return e.noMember(id)
	case !bytes.Equal(key.Bytes(), e.members.keys[id].Bytes()):
		return fmt.Errorf("it is signed by %q, whose key in the log is another than in the pin", id)
	}
	return nil
}

// newcomers says which of those who signed a checkpoint became members after the pin was made, or nothing.
func (e *Evidence) newcomers(n *note.Note) string {
	for _, s := range n.UnverifiedSigs {
		id := lamppost.MemberID(strings.TrimPrefix(s.Name, e.Network+"/"))
		if len(e.terms) > 0 && e.memberKey(id) != nil && e.members.keys[id] == nil {
			return fmt.Sprintf("; the file says that %q is a member since the pin was made: if so, there is a newer pin", id)
		}
	}
	return ""
}

// checkMembers compares a block's leaf with who the members are after it: a proof that leaves out a change ends here.
func (e *Evidence) checkMembers(at int64, b *lamppost.BlockLeaf) error {
	if t := e.termAt(at); t != nil && t.hash != b.Members {
		return fmt.Errorf("block %d: its members are not those of block %d: a change of the network is not in the proof", b.Height, t.net.Changed)
	}
	return nil
}
