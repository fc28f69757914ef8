package audit_test

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"golang.org/x/mod/sumdb/tlog"
)

// A shown is a world's log as a server shows it, honestly or not.
type shown struct {
	*world
	note   string // instead of the true checkpoint
	broken bool   // the proofs lead nowhere
	asked  bool   // for the cosigned checkpoint
	one    bool   // whatever is asked for, only the first member's is shown
}

func (s *shown) Checkpoints(members int, cosigned bool) (notes []string, err error) {
	s.asked = cosigned
	if s.note != "" {
		return []string{s.note}, nil
	}
	for i := 0; i < members && (i == 0 || !s.one); i++ {
		notes = append(notes, s.checkpoint(i))
	}
	return notes, nil
}

func (s *shown) Beginning(c lamppost.Checkpoint, n int64) (lamppost.Hash, tlog.TreeProof, error) {
	if c.Size > int64(len(s.hashes)) {
		return lamppost.Hash{}, nil, errors.New("no such tiles")
	}
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(at []int64) (list []tlog.Hash, err error) {
		for _, i := range at {
			list = append(list, stored[i])
		}
		return list, nil
	})
	for i, h := range s.hashes {
		hashes, err := tlog.StoredHashesForRecordHash(int64(i), h, reader)
		must(s.t, err)
		stored = append(stored, hashes...)
	}
	proof, err := tlog.ProveTree(c.Size, n, reader)
	must(s.t, err)
	if s.broken {
		proof[0][0] ^= 1
	}
	return s.root(lamppost.Span{N: n}), proof, nil
}

func (w *world) party(id string) {
	w.order(lamppost.TxParty, lamppost.PartyBody{ID: lamppost.PartyID(id)})
}

// grown is a network of one member with parties of these names.
func grown(t *testing.T, parties ...string) *world {
	w := newWorld(t, "riverside", "north")
	for _, id := range parties {
		w.party(id)
	}
	return w
}

// A follower believes what continues what it remembers, and nothing else; what is remembered stays where it refuses.
func TestFollower(t *testing.T) {
	t.Parallel()
	start := grown(t, "a", "b")
	for name, c := range map[string]struct {
		next *shown
		size int64 // that is remembered then
		want string
	}{
		"the same":                {&shown{world: grown(t, "a", "b")}, 6, ""},
		"grown":                   {&shown{world: grown(t, "a", "b", "c")}, 8, ""},
		"far grown":               {&shown{world: grown(t, strings.Split("abcdefghijk", "")...)}, 24, ""},
		"shorter":                 {&shown{world: grown(t, "a")}, 6, "rolled back: it has 4 entries, and had 6"},
		"shorter, and another":    {&shown{world: grown(t, "x")}, 6, "rolled back"}, // its files do not tell
		"another":                 {&shown{world: grown(t, "a", "x")}, 6, "two histories: of the log's first 6 entries riverside/north signed root"},
		"another that grew":       {&shown{world: grown(t, "a", "x", "b")}, 6, "but in the log of 8 entries that riverside/north signed they have root"},
		"files that lead nowhere": {&shown{world: grown(t, "a", "b", "c"), broken: true}, 6, "do not say how it came from 6 to 8 entries"},
		"a stranger's":            {&shown{world: newWorld(t, "hillside", "north")}, 6, "not as the pin asks"},
		"noise":                   {&shown{world: start, note: "noise"}, 6, "not as the pin asks"},
	} {
		f := &audit.Follower{Pin: start.pin(1)}
		if grew, err := f.Look(&shown{world: start}); err != nil || !grew || f.Head.Size != 6 {
			t.Fatalf("first look = %t, %v", grew, err)
		}
		before := f.Head
		grew, err := f.Look(c.next)
		if f.Head.Size != c.size || grew != (c.size > 6) || (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || f.Head != before) {
			t.Errorf("%s: Look = %t, %v, remembered %d; want %q, %d", name, grew, err, f.Head.Size, c.want, c.size)
		}
		var fork *audit.Fork
		if errors.As(err, &fork) != strings.HasPrefix(c.want, "two") && c.want != "but in the log of 8 entries that riverside/north signed they have root" {
			t.Errorf("%s: a fork or not: %v", name, err)
		}
	}
}

// Where a shorter log's files are still those of the remembered one, they tell whether it is another history.
func TestShorterFork(t *testing.T) {
	t.Parallel()
	w := grown(t, "a", "b")
	f := &audit.Follower{Pin: w.pin(1)}
	_, err := f.Look(&shown{world: w})
	must(t, err)
	_, err = f.Look(&shown{world: w, note: w.note(0, lamppost.Checkpoint{Size: 4, Root: sha256.Sum256([]byte("fork"))})})
	var fork *audit.Fork
	if !errors.As(err, &fork) || fork.Check(w.pin(1)) != nil {
		t.Errorf("Look = %v, want a fork that is proven", err)
	}
	_, err = f.Look(&shown{world: w, note: w.note(0, lamppost.Checkpoint{Size: 4, Root: w.root(lamppost.Span{N: 4})})})
	if back := (*audit.RollbackError)(nil); !errors.As(err, &back) {
		t.Errorf("Look = %v, want a rollback", err)
	}
}

// A pin with witnesses asks for their word: the cosigned checkpoint is read, and one with too few is refused.
func TestFollowerAsksWitnesses(t *testing.T) {
	t.Parallel()
	h := billed(t, nil)
	h.witness("w1.example")
	h.witness("w2.example")
	s := &shown{world: h.world}
	f := &audit.Follower{Pin: h.witnessed(1, "w1.example")}
	_, err := f.Look(s)
	must(t, err)
	if !s.asked || len(f.Head.Cosigned) != 1 || f.Head.Cosigned[0].Witness != "w1.example" || strings.Contains(f.Head.Notes[0], "w2.example") {
		t.Errorf("asked for the cosigned one: %t; head %+v", s.asked, f.Head)
	}
	h.witnesses = h.witnesses[1:]
	_, err = f.Look(s)
	refused(t, err, "none of the pin's witnesses cosigned")
	if !errors.Is(err, audit.ErrNotBelieved) {
		t.Errorf("%v is no %v", err, audit.ErrNotBelieved)
	}
}

// A pin that asks for two members is not satisfied by the checkpoint of one.
func TestFollowerAsksQuorum(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "riverside", "north", "south")
	_, err := (&audit.Follower{Pin: w.pin(2)}).Look(&shown{world: w, one: true})
	refused(t, err, "signed by 1 of the members")
}

// With a quorum, the checkpoints of all its members are remembered and read again. A fork names one member that signed both histories, where
// there is one.
func TestFollowerOfQuorum(t *testing.T) {
	t.Parallel()
	start := func(parties ...string) *world {
		w := newWorld(t, "riverside", "north", "south", "west", "east")
		for _, id := range parties {
			w.party(id)
		}
		return w
	}
	w := start("a")
	f := &audit.Follower{Pin: w.pin(2)}
	_, err := f.Look(&shown{world: w})
	must(t, err)
	if len(f.Head.Notes) != 2 || fmt.Sprint(f.Head.Signers) != "[riverside/north riverside/south]" {
		t.Errorf("remembered %q by %q", f.Head.Notes, f.Head.Signers)
	}
	h, _, err := w.pin(2).ParseHead(f.Head.Encode("log"))
	must(t, err)
	if fmt.Sprint(h) != fmt.Sprint(f.Head) {
		t.Errorf("read again %+v, want %+v", h, f.Head)
	}
	grew, err := f.Look(&shown{world: start("a", "b")})
	if err != nil || !grew {
		t.Errorf("Look = %t, %v", grew, err)
	}
	other := start("a", "x")
	other.members = other.members[1:] // south and west say so
	_, err = f.Look(&shown{world: other})
	var fork *audit.Fork
	if !errors.As(err, &fork) || fork.Check(w.pin(2)) != nil || strings.Count(err.Error(), "riverside/south") != 2 {
		t.Errorf("Look = %v, want a fork that south signed", err)
	}
}

// What several members signed is one file, and nothing else is read as such.
func TestNotes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "riverside", "north", "south", "west")
	var notes []string
	for i := range w.members {
		notes = append(notes, w.checkpoint(i))
		again, err := lamppost.SplitNotes(lamppost.JoinNotes(notes))
		if err != nil || !slices.Equal(again, notes) {
			t.Errorf("%d notes are read as %q, %v", i+1, again, err)
		}
	}
	for _, bad := range []string{"", "a", "a\n\nb\n\nc", strings.Repeat("a\n\nb\n\n", 300) + "a\n\nb", strings.Repeat("a", 17<<20)} {
		if n, err := lamppost.SplitNotes(bad); err == nil {
			t.Errorf("%.20q is read as %d notes", bad, len(n))
		}
	}
}

// Files are of the history that is remembered, or prove that there are two.
func TestFileOfAHistory(t *testing.T) {
	t.Parallel()
	h := billed(t, nil)
	f, err := audit.Verify(h.statement(), h.pin(1))
	must(t, err)
	follower := &audit.Follower{Pin: h.pin(1)}
	if err := follower.Compare(f, &shown{world: h.world}); !errors.Is(err, audit.ErrNewer) {
		t.Errorf("before a look: %v", err)
	}
	_, err = follower.Look(&shown{world: h.world})
	must(t, err)
	must(t, follower.Compare(f, nil)) // at one size no file of the log is needed
	h.order(lamppost.TxParty, lamppost.PartyBody{ID: "later"})
	_, err = follower.Look(&shown{world: h.world})
	must(t, err)
	must(t, follower.Compare(f, &shown{world: h.world}))

	forked := grown(t, "for", "nobody", "else")
	r, err := audit.NewReceipt(forked.proof(func(p *logged) bool { return p.Leaf < 3 && p.Type == lamppost.TxParty }, nil), forked.pin(1))
	must(t, err)
	alone, err := audit.Verify(r.Encode(), h.pin(1))
	must(t, err) // it holds: the member signed it
	var fork *audit.Fork
	if err := follower.Compare(alone, &shown{world: h.world}); !errors.As(err, &fork) || fork.Check(h.pin(1)) != nil {
		t.Errorf("a file for one reader alone: %v, want a fork", err)
	}
}

// What is remembered is believed again only if it is what was written, under the pin.
func TestHeadFile(t *testing.T) {
	t.Parallel()
	w := grown(t, "a")
	f := &audit.Follower{Pin: w.pin(1)}
	_, err := f.Look(&shown{world: w})
	must(t, err)
	data := f.Head.Encode("https://node.example")
	h, log, err := w.pin(1).ParseHead(data)
	if err != nil || h.Notes[0] != f.Head.Notes[0] || h.Checkpoint != f.Head.Checkpoint || log != "https://node.example" {
		t.Errorf("ParseHead = %+v, %q, %v", h, log, err)
	}
	from, to := strings.Index(string(data), "riverside"), len(data)-4
	for at := from; at < to; at++ {
		bad := slices.Clone(data)
		bad[at] ^= 1
		if h, _, err := w.pin(1).ParseHead(bad); err == nil && h.Notes[0] != f.Head.Notes[0] {
			t.Errorf("byte %d: accepted %q", at, h.Notes)
		}
	}
	for _, bad := range []string{"", "{}", `{"lamppost":"head/2"}`, `{"lamppost":"head/1","more":1}`, strings.Repeat(" ", audit.MaxHeadBytes+1)} {
		if _, _, err := w.pin(1).ParseHead([]byte(bad)); err == nil {
			t.Errorf("%.40q is accepted", bad)
		}
	}
	if _, _, err := newWorld(t, "hillside", "north").pin(1).ParseHead(data); err == nil {
		t.Error("it is believed under another pin")
	}
}

// A fork's file proves it to everybody with the pin, and nothing else does.
func TestForkFile(t *testing.T) {
	t.Parallel()
	w := grown(t, "a", "b")
	pin := w.pin(1)
	f := &audit.Follower{Pin: pin}
	_, err := f.Look(&shown{world: w})
	must(t, err)
	_, err = f.Look(&shown{world: grown(t, "a", "x", "y")})
	var fork *audit.Fork
	if !errors.As(err, &fork) {
		t.Fatalf("Look = %v", err)
	}
	found, err := audit.Verify(fork.Encode(), pin)
	must(t, err)
	if found.Kind != audit.KindFork || fmt.Sprint(found.Summary) != "["+fork.Error()+"]" {
		t.Errorf("finding %+v", found)
	}
	if _, err := audit.Verify(fork.Encode(), nil); !errors.Is(err, audit.ErrUnknownMembers) {
		t.Errorf("without a pin: %v", err)
	}
	change := func(c func(*audit.Fork)) []byte {
		bad, err := audit.ParseFork(fork.Encode())
		must(t, err)
		c(bad)
		return bad.Encode()
	}
	for name, data := range map[string][]byte{
		"swapped":         change(func(f *audit.Fork) { f.Smaller, f.Larger = f.Larger, f.Smaller }),
		"one history":     change(func(f *audit.Fork) { f.Larger, f.Begin, f.Proof = f.Smaller, lamppost.Hash{}, nil }),
		"another begin":   change(func(f *audit.Fork) { f.Begin[0] ^= 1 }),
		"no proof":        change(func(f *audit.Fork) { f.Proof = nil }),
		"more proof":      change(func(f *audit.Fork) { f.Proof = append(f.Proof, f.Begin) }),
		"unsigned":        change(func(f *audit.Fork) { f.Larger = strings.Replace(f.Larger, "\n8\n", "\n9\n", 1) }),
		"a spare proof":   change(func(f *audit.Fork) { f.Larger = w.note(0, lamppost.Checkpoint{Size: 6, Root: lamppost.Hash{1}}) }),
		"of another pin":  change(func(f *audit.Fork) { f.Larger = newWorld(t, "hillside", "north").checkpoint(0) }),
		"not hexadecimal": []byte(strings.Replace(string(fork.Encode()), fork.Begin.String(), strings.ToUpper(fork.Begin.String()), 1)),
	} {
		if _, err := audit.Verify(data, pin); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// Whatever a state or a fork's file holds, reading returns, and what is accepted is written the same.
func FuzzFollowFiles(f *testing.F) {
	w := newWorld(f, "riverside", "north")
	pin := w.pin(1)
	head, err := pin.OpenHead(w.checkpoint(0))
	must(f, err)
	f.Add(head.Encode("node"))
	f.Add((&audit.Fork{Smaller: head.Notes[0], Larger: w.note(0, lamppost.Checkpoint{Size: head.Size, Root: lamppost.Hash{1}})}).Encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		if h, log, err := pin.ParseHead(data); err == nil {
			if again, place, err := pin.ParseHead(h.Encode(log)); err != nil || fmt.Sprint(again.Notes) != fmt.Sprint(h.Notes) || !json.Valid(data) || place != log && !strings.Contains(log, "\ufffd") {
				t.Errorf("accepted, but not what is written: %q", data)
			}
		}
		fork, err := audit.ParseFork(data)
		if err != nil || fork.Check(pin) != nil {
			return
		}
		again, err := audit.ParseFork(fork.Encode())
		if err != nil || again.Check(pin) != nil {
			t.Errorf("accepted, but not what is written: %q", data)
		}
	})
}
