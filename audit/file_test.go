package audit_test

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
)

// packed compresses as somebody else's program might.
func packed(t testing.TB, raw []byte, level int) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := flate.NewWriter(&b, level)
	must(t, err)
	_, err = z.Write(raw)
	must(t, err)
	must(t, z.Close())
	return b.Bytes()
}

// withProof is a file with another text in place of its proof.
func withProof(file []byte, packed []byte) []byte {
	words, _, _ := strings.Cut(string(file), `"proof":"`)
	return []byte(words + `"proof":"` + base64.StdEncoding.EncodeToString(packed) + "\"\n}\n")
}

// A proof holds whichever compressor made its file smaller, and a file that unpacks to too much, to something else or to more
// than the proof is refused.
func TestPackedProof(t *testing.T) {
	t.Parallel()
	h := billed(t, nil)
	file, raw, pin := h.statement(), h.customer().Append(nil), h.pin(1)
	for level := flate.HuffmanOnly; level <= flate.BestCompression; level++ {
		if _, err := audit.Verify(withProof(file, packed(t, raw, level)), pin); err != nil {
			t.Errorf("level %d: %v", level, err)
		}
	}
	good := packed(t, raw, flate.BestCompression)
	bomb := packed(t, make([]byte, lamppost.MaxProofBytes+1), flate.BestCompression)
	for name, c := range map[string]struct {
		packed []byte
		want   string
	}{
		"not compressed":   {raw, "proof: cannot be unpacked"},
		"cut short":        {good[:len(good)-1], "proof: cannot be unpacked"},
		"more behind":      {append(bytes.Clone(good), 0), "proof: 1 bytes after the end"},
		"more inside":      {packed(t, append(bytes.Clone(raw), 0), 9), "bytes after the end"},
		"nothing":          {nil, "proof: cannot be unpacked"},
		"nothing inside":   {packed(t, nil, 9), "proof: byte 0: cut short"},
		"a bomb":           {bomb, "over the limit of 67108864 bytes when unpacked"},
		"as it was before": {packed(t, []byte{0xa7, 1, 1}, 9), "proof: byte 1: expected an array"},
	} {
		_, err := audit.Verify(withProof(file, c.packed), pin)
		t.Run(name, func(t *testing.T) { refused(t, err, c.want) })
	}
	if len(bomb) > 100<<10 {
		t.Errorf("the bomb has %d bytes: it proves little", len(bomb))
	}
}

// A file is JSON whatever stands in it, with a line for each line of an invoice, and its words are those that are hashed over.
func TestLayout(t *testing.T) {
	t.Parallel()
	h := billed(t, nil)
	for kind, file := range files(t, h) {
		var a bytes.Buffer
		must(t, json.Compact(&a, file))
		if n := len(file) - a.Len(); n > len(file)/8 {
			t.Errorf("%s: %d of %d bytes are white space", kind, n, len(file))
		}
		if kind != "statement" {
			continue
		}
		for i, line := range strings.Split(string(file), "\n") {
			if strings.Count(line, `"band":`) > 1 || strings.Contains(line, `"band":`) != strings.Contains(line, `"n":`) {
				t.Errorf("line %d of the file is no line of an invoice: %s", i+1, line)
			}
		}
	}
	odd := registered(t, "north")
	odd.order(lamppost.TxParty, lamppost.PartyBody{ID: "odd", Name: "quo\"te, back\\slash\\\", [brackets] {and} <tags>"})
	r, err := audit.NewReceipt(odd.proof(func(p *logged) bool { return p.Height == 1 || p.Height == odd.height }, anyReport), odd.pin(1))
	must(t, err)
	if _, err := audit.Verify(r.Encode(), odd.pin(1)); err != nil {
		t.Errorf("a name with every sign: %v\n%s", err, r.Encode())
	}
}
