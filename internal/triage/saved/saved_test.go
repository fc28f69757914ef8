package saved_test

import (
	"math"
	"testing"

	"github.com/lamppost/lamppost/internal/triage/saved"
)

// TestState: what was written is read again, and what could not have been written is refused.
func TestState(t *testing.T) {
	t.Parallel()
	small, u := float32(1.5), uint32(math.MaxUint32)
	list := func(s *saved.State, n *int, f *float64, yes *bool, text *string) {
		s.Count(n, 7)
		s.Float(f)
		s.Flag(yes)
		s.Text(text, 9)
		s.Pair(&small, &u)
	}
	n, f, yes, text := 7, -1.5, true, "lamp post"
	w := saved.Writer(nil)
	list(w, &n, &f, &yes, &text)
	read := func(b []byte) error {
		n, f, yes, text, small, u = 0, 0, false, "", 0, 0
		r := saved.Reader(b)
		list(r, &n, &f, &yes, &text)
		return r.End()
	}
	if err := read(w.Bytes()); err != nil || n != 7 || f != -1.5 || !yes || text != "lamp post" || small != 1.5 || u != math.MaxUint32 {
		t.Errorf("%v: %v %v %v %q %v %v", err, n, f, yes, text, small, u)
	}
	for what, change := range map[string]func(b []byte) []byte{
		"too large a count":        func(b []byte) []byte { b[0] = 8; return b },
		"no number":                func(b []byte) []byte { copy(b[8:], word(math.Float64bits(math.NaN()))); return b },
		"no flag":                  func(b []byte) []byte { b[16] = 2; return b },
		"too long a text":          func(b []byte) []byte { b[24] = 10; return b },
		"too large a small number": func(b []byte) []byte { copy(b[len(b)-4:], word(uint64(math.Float32bits(2e31)))); return b },
		"an early end":             func(b []byte) []byte { return b[:len(b)-1] },
		"a late end":               func(b []byte) []byte { return append(b, 0) },
	} {
		if err := read(change(append([]byte(nil), w.Bytes()...))); err == nil {
			t.Errorf("%s was taken", what)
		}
	}
}

func word(u uint64) []byte {
	w := saved.Writer(nil)
	w.U64(&u)
	return w.Bytes()
}
