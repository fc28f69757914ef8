package audit_test

import (
	"cmp"
	"crypto/sha256"
	"slices"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
)

func seedOf(name string) []byte {
	sum := sha256.Sum256([]byte(name))
	return sum[:]
}

// witness lets witnesses cosign every checkpoint from now on.
func (w *world) witness(names ...string) {
	w.t.Helper()
	for _, name := range names {
		c, err := lamppost.NewCosigner(name, seedOf("witness "+name))
		must(w.t, err)
		w.witnesses = append(w.witnesses, c)
	}
	slices.SortFunc(w.witnesses, func(a, b *lamppost.Cosigner) int { return cmp.Compare(a.Key().String(), b.Key().String()) })
}

// witnessed is a pin for all members that demands the cosignatures of all these witnesses.
func (w *world) witnessed(quorum int, names ...string) *audit.Pin {
	w.t.Helper()
	p := w.pin(quorum)
	for _, name := range names {
		c, err := lamppost.NewCosigner(name, seedOf("witness "+name))
		must(w.t, err)
		p.Witnesses = append(p.Witnesses, c.Key().String())
	}
	p.WitnessQuorum = len(names)
	return p
}

// A pin that names witnesses is satisfied by so many of them and by nobody else, and the finding says who cosigned and
// when. A pin without witnesses takes the same file.
func TestWitnessQuorum(t *testing.T) {
	t.Parallel()
	h := billed(t, nil)
	plain := h.statement()
	h.witness("w1.example", "w2.example", "w3.example")
	file := h.statement()

	two := h.witnessed(1, "w1.example", "w2.example", "absent.example")
	two.WitnessQuorum = 2
	f, err := audit.Verify(file, two)
	must(t, err)
	pinned := 0
	for _, c := range f.Cosigned {
		if c.Log != "riverside/north" || !strings.HasPrefix(c.Time, "2026-1") {
			t.Errorf("cosigned: %+v", c)
		}
		if c.Pinned {
			pinned++
		}
	}
	words := strings.Join(f.Summary, "\n")
	if len(f.Cosigned) != 3 || pinned != 2 || !strings.Contains(words, "cosigned by w1.example at 2026-") || !strings.Contains(words, "w3.example") ||
		!strings.Contains(string(file), `"witness":"w2.example"`) {
		t.Errorf("the finding is %+v\n%s", f, words)
	}
	three := *two
	three.WitnessQuorum = 3
	_, err = audit.Verify(file, &three)
	refused(t, err, "cosigned by 2 of the pin's witnesses (w1.example, w2.example), the pin asks for 3")
	_, err = audit.Verify(plain, two)
	refused(t, err, "none of the pin's witnesses cosigned")
	for _, pin := range []*audit.Pin{h.pin(1), nil} {
		f, err := audit.Verify(file, pin)
		if err != nil || len(f.Cosigned) != 3 || f.Cosigned[0].Pinned || !strings.Contains(strings.Join(f.DoesNotProve, "\n"), "no witness that a pin names") {
			t.Errorf("without witnesses in the pin: %+v, %v", f, err)
		}
	}
	// A witness of the same name with another key is another witness.
	impostor := h.pin(1)
	c, err := lamppost.NewCosigner("w1.example", seedOf("impostor"))
	must(t, err)
	impostor.Witnesses, impostor.WitnessQuorum = []string{c.Key().String()}, 1
	_, err = audit.Verify(file, impostor)
	refused(t, err, "none of the pin's witnesses cosigned")
}

// Each member's checkpoint must be cosigned on its own: a witness that follows two logs never compares them, so
// cosignatures of different members' logs do not add up.
func TestWitnessesOfEachMember(t *testing.T) {
	t.Parallel()
	h := billed(t, nil, "north", "south")
	p := h.customer()
	h.witness("w1.example")
	p.Witnesses = []string{h.witnesses[0].Key().String()}
	both := []string{h.checkpoint(0), h.checkpoint(1)}
	bare := p.Checkpoints
	check := func(pin *audit.Pin, notes ...string) error {
		q := *p
		q.Checkpoints = notes
		_, err := audit.CheckProof(&q, pin)
		return err
	}
	pin := h.witnessed(2, "w1.example")
	must(t, check(pin, both...))
	refused(t, check(pin, both[0], bare[1]), "none of the pin's witnesses cosigned that of riverside/south")
	must(t, check(h.witnessed(1, "w1.example"), both[0], bare[1]))
	must(t, check(h.witnessed(1, "w1.example"), bare[0], both[1]))
	refused(t, check(h.witnessed(1, "w1.example"), bare...), "none of the pin's witnesses")
	refused(t, check(h.pin(1), bare...), "cosigned none of the proof's checkpoints")
}

// What a proof says of witnesses has one spelling, and a line that nobody can check is refused.
func TestWitnessLines(t *testing.T) {
	t.Parallel()
	h := billed(t, nil)
	h.witness("w1.example", "w2.example")
	p := h.customer()
	lines := strings.SplitAfter(p.Checkpoints[0], "\n")
	check := func(change func(*lamppost.Proof)) error {
		q := *p
		q.Checkpoints, q.Witnesses = slices.Clone(p.Checkpoints), slices.Clone(p.Witnesses)
		change(&q)
		_, err := audit.CheckProof(&q, h.pin(1))
		return err
	}
	must(t, check(func(*lamppost.Proof) {}))
	for name, c := range map[string]struct {
		change func(*lamppost.Proof)
		want   string
	}{
		"keys swapped": {func(q *lamppost.Proof) { slices.Reverse(q.Witnesses) }, "ascend"},
		"key twice":    {func(q *lamppost.Proof) { q.Witnesses = append(q.Witnesses, q.Witnesses[1]) }, "ascend"},
		"key missing":  {func(q *lamppost.Proof) { q.Witnesses = q.Witnesses[:1] }, "unknown key"},
		"no keys":      {func(q *lamppost.Proof) { q.Witnesses = nil }, "unknown key"},
		"lines swapped": {func(q *lamppost.Proof) {
			q.Checkpoints[0] = strings.Join(append(slices.Clone(lines[:5]), lines[6], lines[5]), "")
		}, "unusual form"},
		"a line missing": {func(q *lamppost.Proof) { q.Checkpoints[0] = strings.Join(lines[:6], "") }, "cosigned none"},
		"too many":       {func(q *lamppost.Proof) { q.Witnesses = make([]string, 33) }, "over the limit"},
		"the year 10000": {func(q *lamppost.Proof) {
			s, err := h.witnesses[1].Cosign(strings.Join(lines[:3], ""), 253_402_300_800)
			must(t, err)
			q.Checkpoints[0] = strings.Join(lines[:6], "") + "— " + s.Name + " " + s.Base64 + "\n"
		}, "year 9999"},
		"of another checkpoint": {func(q *lamppost.Proof) {
			s, err := h.witnesses[1].Cosign(strings.Replace(strings.Join(lines[:3], ""), "\n", "\n1", 1), 1)
			must(t, err)
			q.Checkpoints[0] = strings.Join(lines[:6], "") + "— " + s.Name + " " + s.Base64 + "\n"
		}, "invalid signature"},
	} {
		t.Run(name, func(t *testing.T) { refused(t, check(c.change), c.want) })
	}
}
