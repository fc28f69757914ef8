package audit

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"

	"github.com/lamppost/lamppost"
)

// writeProof writes a proof as it stands in a file: its CBOR, compressed (RFC 1951), in base64.
func writeProof(p *lamppost.Proof) string {
	var b bytes.Buffer
	z, err := flate.NewWriter(&b, flate.BestCompression)
	if err == nil {
		_, err = z.Write(p.Append(nil))
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		panic(fmt.Sprintf("audit: compressing into memory: %v", err))
	}
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

// readProof reads what writeProof writes. However little a file holds, no more than [lamppost.MaxProofBytes] come of it.
func readProof(text string) (*lamppost.Proof, error) {
	packed, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("proof: not in base64: %v", err)
	}
	r := bytes.NewReader(packed)
	raw, err := io.ReadAll(io.LimitReader(flate.NewReader(r), lamppost.MaxProofBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("proof: cannot be unpacked: %v", err)
	case len(raw) > lamppost.MaxProofBytes:
		return nil, fmt.Errorf("proof: over the limit of %d bytes when unpacked", lamppost.MaxProofBytes)
	case r.Len() > 0:
		return nil, fmt.Errorf("proof: %d bytes after the end", r.Len())
	}
	return lamppost.ParseProof(raw)
}

// compact writes a file's JSON without white space.
func compact(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(fmt.Sprintf("audit: writing %T: %v", v, err)) // strings, numbers and structs of them always have a form
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// encode writes a file: JSON for people, the proof last. What nests deeper than so many levels stands on one line.
func encode(v any, levels int) []byte {
	compact := compact(v)
	out := make([]byte, 0, len(compact)+len(compact)/16)
	depth, quoted := 0, false
	for i := 0; i < len(compact); i++ {
		c := compact[i]
		switch {
		case quoted && c == '\\':
			out = append(out, c)
			i++
			c = compact[i]
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
			out = append(out, c)
			if next := compact[i+1]; depth <= levels && next != '}' && next != ']' {
				out = newLine(out, depth)
			}
			continue
		case c == '}' || c == ']':
			if last := out[len(out)-1]; depth <= levels && last != '{' && last != '[' {
				out = newLine(out, depth-1)
			}
			depth--
		case c == ',' && depth <= levels:
			out = newLine(append(out, c), depth)
			continue
		}
		out = append(out, c)
	}
	return append(out, '\n')
}

func newLine(b []byte, depth int) []byte {
	b = append(b, '\n')
	for range depth {
		b = append(b, ' ')
	}
	return b
}
