package lamppost_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"golang.org/x/mod/sumdb/note"
)

func cosigner(t testing.TB, name string) *lamppost.Cosigner {
	t.Helper()
	seed := sha256.Sum256([]byte("witness " + name))
	c, err := lamppost.NewCosigner(name, seed[:])
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// cosign puts a cosignature below a signed checkpoint.
func cosign(t testing.TB, signed []byte, c *lamppost.Cosigner, at int64) []byte {
	t.Helper()
	text, _, _ := strings.Cut(string(signed), "\n\n")
	s, err := c.Cosign(text+"\n", at)
	if err != nil {
		t.Fatal(err)
	}
	return append(bytes.Clone(signed), "— "+s.Name+" "+s.Base64+"\n"...)
}

// Every changed byte of a cosigned checkpoint is noticed by who knows the witness, the time included.
func TestCosignatureTampered(t *testing.T) {
	t.Parallel()
	signer, verifier := checkpointKey(t, "net/member")
	witness := cosigner(t, "witness.example/w1")
	signed, err := lamppost.SignCheckpoint(lamppost.Checkpoint{Origin: "net/member", Size: 300}, signer)
	if err != nil {
		t.Fatal(err)
	}
	msg := cosign(t, signed, witness, 1_800_000_000)
	known := note.VerifierList(verifier, witness.Key())
	c, sigs, err := lamppost.OpenCheckpoint(msg, known)
	if err != nil || c.Size != 300 || len(sigs) != 2 || lamppost.CosignatureTime(sigs[1]) != 1_800_000_000 || lamppost.CosignatureTime(sigs[0]) != 0 {
		t.Fatalf("OpenCheckpoint(%q) = %+v, %v, %v", msg, c, sigs, err)
	}
	for i := range msg {
		bad := bytes.Clone(msg)
		bad[i] ^= 1
		if c, sigs, err := lamppost.OpenCheckpoint(bad, known); err == nil && len(sigs) == 2 {
			t.Errorf("byte %d changed: OpenCheckpoint(%q) = %+v with both signatures", i, bad, c)
		}
	}
}

// A witness that calls itself like a log cannot speak for it.
func TestWitnessNamedLikeLog(t *testing.T) {
	t.Parallel()
	liar := cosigner(t, "net/member")
	s, err := liar.Cosign("net/member\n7\n"+zeroRoot+"\n", 1)
	if err != nil {
		t.Fatal(err)
	}
	msg, err := lamppost.SignedNote("net/member\n7\n"+zeroRoot+"\n", s)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := lamppost.OpenCheckpoint(msg, note.VerifierList(liar.Key())); err == nil || !strings.Contains(err.Error(), "by others") {
		t.Errorf("OpenCheckpoint = %v, want it to miss the log's own signature", err)
	}
}

// A key has one spelling, so that equal keys are equal texts; those of other kinds are told apart.
func TestWitnessKey(t *testing.T) {
	t.Parallel()
	key := cosigner(t, "witness.example/w1").Key()
	again, err := lamppost.ParseWitnessKey(key.String())
	if err != nil || again.String() != key.String() || again.KeyHash() != key.KeyHash() || again.Name() != "witness.example/w1" {
		t.Fatalf("ParseWitnessKey(%q) = %v, %v", key, again, err)
	}
	name, rest, _ := strings.Cut(key.String(), "+")
	hash, text, _ := strings.Cut(rest, "+")
	raw, _ := base64.StdEncoding.DecodeString(text)
	encode := base64.StdEncoding.EncodeToString
	for what, vkey := range map[string]string{
		"nothing": "", "no key": name + "+" + hash, "other hash": name + "+00000000+" + text, "upper-case hash": name + "+" + strings.ToUpper(hash) + "+" + text,
		"other name": "witness.example/w2+" + hash + "+" + text, "no name": "+" + hash + "+" + text, "space": "a b+" + hash + "+" + text,
		"a log's key": name + "+" + hash + "+" + encode(append([]byte{1}, raw[1:]...)), "ML-DSA": name + "+" + hash + "+" + encode(append([]byte{6}, raw[1:]...)),
		"short": name + "+" + hash + "+" + encode(raw[:20]), "stray bits": name + "+" + hash + "+" + strings.TrimRight(text, "=")[:43] + "/=",
		"long name": strings.Repeat("w", 256) + "+" + hash + "+" + text, "control": "a\x07b+" + hash + "+" + text,
		"no point of the curve": name + "+" + hash + "+" + encode(append([]byte{4}, bytes.Repeat([]byte{0xee}, 32)...)),
		"of small order":        name + "+" + hash + "+" + encode(append([]byte{4, 1}, make([]byte, 31)...)),
	} {
		if k, err := lamppost.ParseWitnessKey(vkey); err == nil {
			t.Errorf("%s: ParseWitnessKey(%q) = %v, want an error", what, vkey, k)
		}
	}
	if _, err := lamppost.NewCosigner("w", make([]byte, 31)); err == nil {
		t.Error("a seed of 31 bytes is taken")
	}
	if _, err := cosigner(t, "w").Cosign("x\n", 0); err == nil {
		t.Error("a cosignature without a time is made")
	}
}

// Goal: reading a witness's key never panics, and what is accepted is spelled as it is written.
func FuzzWitnessKey(f *testing.F) {
	f.Add(cosigner(f, "witness.example/w1").Key().String())
	f.Add("a+b+c")
	f.Fuzz(func(t *testing.T, vkey string) {
		if k, err := lamppost.ParseWitnessKey(vkey); err == nil && k.String() != vkey {
			t.Errorf("ParseWitnessKey(%q) is written %q", vkey, k)
		}
	})
}

// Goal: a cosignature line never panics, and whatever line is accepted, nobody but the witness signed it. Method: the
// witness signed the checkpoint at one second; every accepted line must be that one.
func FuzzCosignatureLine(f *testing.F) {
	witness := cosigner(f, "witness.example/w1")
	text := "net/member\n7\n" + zeroRoot + "\n"
	s, err := witness.Cosign(text, 1_800_000_000)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(s.Base64)
	f.Add(s.Base64[:12])
	f.Add(base64.StdEncoding.EncodeToString(make([]byte, 76)))
	f.Fuzz(func(t *testing.T, line string) {
		at := lamppost.CosignatureTime(note.Signature{Base64: line})
		raw, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(raw) < 4 || !witness.Key().Verify([]byte(text), raw[4:]) {
			return
		}
		want, _ := base64.StdEncoding.DecodeString(s.Base64)
		if at != 1_800_000_000 || !bytes.Equal(raw[4:], want[4:]) {
			t.Errorf("%q is taken for a cosignature at %d", line, at)
		}
	})
}
