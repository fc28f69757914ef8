package witness_test

import (
	"testing"

	"github.com/lamppost/lamppost/internal/witness"
)

// BenchmarkAddCheckpoint is a log that grows by an entry each time, at a witness on a real disk: the log's signature, the
// proof, our signature and one synced write.
func BenchmarkAddCheckpoint(b *testing.B) {
	s, err := witness.OpenFolder(witness.ServerConfig{Data: b.TempDir(), Name: "w.example"})
	must(b, err)
	defer s.Close()
	const most = 4000
	h := newHistory(b, origin).grow(b, most, "entry")
	must(b, s.Add(witness.Log{Origin: origin, Keys: []string{h.vkey}}))
	bodies := make([][]byte, most)
	for i := range bodies {
		bodies[i] = h.request(b, int64(i), int64(i+1))
	}
	last := h.request(b, most, most)
	n := 0
	for b.Loop() {
		body := last
		if n < most {
			body = bodies[n]
		}
		n++
		if _, err := s.AddCheckpoint(body); err != nil {
			b.Fatal(err)
		}
	}
}
