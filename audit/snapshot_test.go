package audit_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
)

// Goal: a state counts if as many members as the pin asks for said the same of it, each for itself, of a block whose place in
// the log is shown; anything else is refused and says why.
func TestCheckSnapshot(t *testing.T) {
	t.Parallel()
	// world has a party in block 2, then what members say of the state after it.
	said := func(change ...func(*lamppost.SnapshotBody)) *lamppost.Proof {
		w := newWorld(t, "net", "north", "south")
		w.order(lamppost.TxParty, lamppost.PartyBody{ID: "acme"})
		root := w.root(lamppost.Span{N: 4})
		for i, f := range change {
			body := lamppost.SnapshotBody{Height: 2, Size: 4, Root: root, Digest: lamppost.Hash{9}}
			f(&body)
			speaker := *w
			speaker.members = w.members[i%2:]
			speaker.order(lamppost.TxSnapshot, body)
			speaker.members = w.members
			*w = speaker
		}
		p := w.proof(func(p *logged) bool { return p.Type == lamppost.TxSnapshot }, nil)
		p.Blocks = slices.Clone(w.blocks[1:2])
		w.prove(p)
		return p
	}
	same := func(*lamppost.SnapshotBody) {}
	pin := newWorld(t, "net", "north", "south").pin(2)
	for name, c := range map[string]struct {
		proof *lamppost.Proof
		want  string // "" is accepted
	}{
		"two members":             {said(same, same), ""},
		"one member":              {said(same), "1 of the members said"},
		"one member twice":        {said(same, same, same), `"north" speaks twice`},
		"they differ":             {said(same, func(b *lamppost.SnapshotBody) { b.Digest[0]++ }), "members say different things"},
		"another root":            {said(func(b *lamppost.SnapshotBody) { b.Root[0]++ }, func(b *lamppost.SnapshotBody) { b.Root[0]++ }), "another root at size 4"},
		"another size":            {said(func(b *lamppost.SnapshotBody) { b.Size-- }, func(b *lamppost.SnapshotBody) { b.Size-- }), "not shown to end at leaf 2"},
		"of a block to come":      {said(func(b *lamppost.SnapshotBody) { b.Height = 9 }), "is not before it"},
		"of a larger log to come": {said(func(b *lamppost.SnapshotBody) { b.Size = 9 }), "is not before it"},
	} {
		s, err := audit.CheckSnapshot(c.proof, pin)
		if c.want == "" {
			if err != nil || s.Height != 2 || s.Digest != (lamppost.Hash{9}) || len(s.Members) != 2 || s.Time == 0 {
				t.Errorf("%s: %+v, %v", name, s, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	w := newWorld(t, "net", "north")
	w.order(lamppost.TxParty, lamppost.PartyBody{ID: "acme"})
	if _, err := audit.CheckSnapshot(w.all(), w.pin(1)); err == nil {
		t.Error("a party was taken for a word on a state")
	}
}
