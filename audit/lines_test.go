package audit_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
)

// Goal: a statement shows the lines that were billed, all of them, once and in order. Method: move whole lines of the file, which
// each stand on one of its own, and take one from another customer's.
func TestLinesOfTheFile(t *testing.T) {
	t.Parallel()
	h := flat(t, 5)
	s, err := audit.NewStatement(h.all(), h.pin(1), "anna")
	must(t, err)
	file, pin := s.Encode(), h.pin(1)
	rows := strings.SplitAfter(string(file), "\n")
	first := slices.IndexFunc(rows, func(row string) bool { return strings.Contains(row, `"n":1,`) })
	alien := strings.Replace(rows[first+1], "P-001", "P-901", 1)
	alien = strings.Replace(alien, "flat 001", "flat 901", 1)
	for name, c := range map[string]struct {
		change func([]string) []string
		want   string
	}{
		"one is left out":  {func(r []string) []string { return slices.Delete(r, first+1, first+2) }, "line"},
		"one stands twice": {func(r []string) []string { return slices.Insert(r, first+1, r[first]) }, "line"},
		"two are swapped":  {func(r []string) []string { r[first], r[first+1] = r[first+1], r[first]; return r }, "line 1: device"},
		"one of another":   {func(r []string) []string { r[first+1] = alien; return r }, "line 2: place"},
		"one more":         {func(r []string) []string { return slices.Insert(r, first+1, alien) }, "line"},
	} {
		bad := strings.Join(c.change(slices.Clone(rows)), "")
		if bad == string(file) {
			t.Fatalf("%s: nothing changed", name)
		}
		_, err := audit.Verify([]byte(bad), pin)
		t.Run(name, func(t *testing.T) { refused(t, err, "invoice ST-000001: "+c.want) })
	}
}

// The same in the proof, where a segment shows several reports: no report can be left out that a line rests on, none can stand
// twice, elsewhere, in another segment, or come from another network's.
func TestReportsOfASegment(t *testing.T) {
	t.Parallel()
	h, other := flat(t, 5), flat(t, 6)
	pin := h.pin(1)
	segment := func(p *lamppost.Proof, n int) *lamppost.ThinSegment {
		for i := range p.Txs {
			if p.Txs[i].Segment == nil {
				continue
			}
			if n--; n < 0 {
				return p.Txs[i].Segment
			}
		}
		t.Fatal("no such segment")
		return nil
	}
	for name, c := range map[string]struct {
		change func(p *lamppost.Proof)
		want   string
	}{
		"one is left out": {func(p *lamppost.Proof) {
			s := segment(p, 0)
			*s = *s.Thin(func(k *lamppost.KeptReport) bool { return k.Index != 2 })
		}, "line 3: device 1EMH00002: no register reading"},
		"one is left out, no hash in its place": {func(p *lamppost.Proof) {
			s := segment(p, 0)
			s.Kept = slices.Delete(s.Kept, 2, 3)
		}, "the hashes do not make a tree"},
		"one stands twice": {func(p *lamppost.Proof) {
			s := segment(p, 0)
			s.Kept = slices.Insert(s.Kept, 2, s.Kept[2])
		}, "out of order"},
		"two are swapped": {func(p *lamppost.Proof) {
			s := segment(p, 0)
			s.Kept[1], s.Kept[2] = s.Kept[2], s.Kept[1]
		}, "out of order"},
		"two have each other's places": {func(p *lamppost.Proof) {
			s := segment(p, 0)
			s.Kept[1], s.Kept[2] = s.Kept[2], s.Kept[1]
			s.Kept[1].Index, s.Kept[2].Index = 1, 2
		}, "not those the gateway signed"},
		"one of another segment": {func(p *lamppost.Proof) {
			segment(p, 0).Kept[2].SegmentItem = segment(p, 1).Kept[2].SegmentItem
		}, "outside the times of its segment"},
		"one of another network": {func(p *lamppost.Proof) {
			segment(p, 0).Kept[2].SegmentItem = segment(other.all(), 0).Kept[2].SegmentItem
		}, ""},
	} {
		p := decoded(t, h.all().Append(nil))
		c.change(p)
		raw := p.Append(nil)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := lamppost.ParseProof(raw)
			if err == nil {
				_, err = audit.NewStatement(p, pin, "anna")
			}
			refused(t, err, c.want)
		})
	}
}

// A report that no line needs may stand in a proof, but only as the log has it.
func TestSpareReport(t *testing.T) {
	t.Parallel()
	h := billed(t, nil)
	h.segment(h.sign("CZ11", reading(h.now/lamppost.EdgeMS*lamppost.EdgeMS)))
	p := h.all()
	honest := p.Append(nil)
	_, err := audit.NewStatement(p, h.pin(1), "anna")
	must(t, err)
	p = decoded(t, honest)
	p.Txs[len(p.Txs)-1].Segment.Kept[0].Outcome = lamppost.Outcome{Code: lamppost.CodeDuplicate}.Append(nil)
	_, err = audit.NewStatement(p, h.pin(1), "anna")
	refused(t, err, "log: what the proof shows does not lead to the checkpoint's root")
}
