package sig_test

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lamppost/lamppost/sig"
)

var rewrite = flag.Bool("rewrite", false, "write the files in testdata that tests build anew")

// A vector is one block of a file in testdata: "field: value" lines, hexadecimal where the value is bytes.
type vector struct {
	name               string
	suite              sig.Suite
	seed, public       []byte
	message, signature []byte
	digest             []byte // instead of a message
	valid              bool
	hasSeed, hasExpect bool
}

// TestVectors: every file's signatures are decided as published, alone and in one batch; with a seed, the key and the
// signature are made again byte for byte.
func TestVectors(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"ed25519.txt", "es256.txt", "hmac.txt", "ed25519-edge.txt"} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			vectors := readVectors(t, file)
			items := make([]sig.Item, len(vectors))
			for i, v := range vectors {
				items[i] = v.item(t)
				checkVector(t, v, items[i])
			}
			ok := make([]bool, len(items))
			new(sig.Verifier).Verify(items, ok)
			for i, v := range vectors {
				if ok[i] != v.valid {
					t.Errorf("%s: in a batch: got valid %t, want %t", v.name, ok[i], v.valid)
				}
			}
		})
	}
}

func checkVector(t *testing.T, v vector, item sig.Item) {
	t.Helper()
	if got := item.Key.Verify(v.message, v.signature); got != v.valid {
		t.Errorf("%s: got valid %t, want %t", v.name, got, v.valid)
	}
	if !v.hasSeed {
		return
	}
	k, err := sig.NewPrivateKey(v.suite, v.seed)
	if err != nil {
		t.Fatalf("%s: %v", v.name, err)
	}
	if got := k.Public().Bytes(); !bytes.Equal(got, v.public) {
		t.Errorf("%s: public key %x, want %x", v.name, got, v.public)
	}
	if got := mustSign(t, k, v.message); !bytes.Equal(got, v.signature) {
		t.Errorf("%s: signature %x, want %x", v.name, got, v.signature)
	}
}

// item decodes Ed25519 keys by ZIP-215 alone, since the edge cases need keys that no enrolment would take.
func (v *vector) item(t *testing.T) sig.Item {
	t.Helper()
	parse := func(raw []byte) (*sig.PublicKey, error) { return sig.ParsePublicKey(v.suite, raw) }
	if v.suite == sig.EdDSA {
		parse = sig.DecodeZIP215
	}
	key, err := parse(v.public)
	if err != nil {
		t.Fatalf("%s: %v", v.name, err)
	}
	return sig.Item{Key: key, Msg: v.message, Sig: v.signature}
}

func readVectors(t testing.TB, file string) []vector {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	var vectors []vector
	var v vector
	for n, line := range strings.Split(string(text), "\n") {
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch {
		case strings.HasPrefix(line, "#"):
		case line != "":
			if err := v.set(field, value); err != nil {
				t.Fatalf("%s:%d: %v", file, n+1, err)
			}
		case v.name != "":
			vectors, v = append(vectors, v.checked(t)), vector{}
		}
	}
	if len(vectors) == 0 {
		t.Fatalf("%s: no vectors", file)
	}
	return vectors
}

func (v *vector) set(field, value string) (err error) {
	switch field {
	case "name":
		v.name = value
	case "suite":
		v.suite, err = sig.ParseSuite(value)
	case "seed":
		v.hasSeed = true
		v.seed, err = hex.DecodeString(value)
	case "public":
		v.public, err = hex.DecodeString(value)
	case "message":
		v.message, err = hex.DecodeString(value)
	case "digest":
		v.digest, err = hex.DecodeString(value)
	case "signature":
		v.signature, err = hex.DecodeString(value)
	case "expect":
		v.valid, v.hasExpect = value == "valid", value == "valid" || value == "invalid"
	default:
		err = fmt.Errorf("unknown field %q", field)
	}
	return err
}

func (v *vector) checked(t testing.TB) vector {
	t.Helper()
	if !v.hasExpect || v.suite == 0 {
		t.Fatalf("%s: needs suite and expect", v.name)
	}
	return *v
}

func (v *vector) write(b *bytes.Buffer) {
	expect := "invalid"
	if v.valid {
		expect = "valid"
	}
	what := strings.TrimSuffix(fmt.Sprintf("message: %x", v.message), " ")
	if v.digest != nil {
		what = fmt.Sprintf("digest: %x", v.digest)
	}
	fmt.Fprintf(b, "\nname: %s\nsuite: %s\npublic: %x\n%s\nsignature: %x\nexpect: %s\n",
		v.name, v.suite, v.public, what, v.signature, expect)
}
