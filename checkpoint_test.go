package lamppost_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"golang.org/x/mod/sumdb/note"
	"pgregory.net/rapid"
)

// zeroRoot is 32 zero bytes in base64.
const zeroRoot = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

// checkpointKey makes a key from a fixed seed, so that a failure repeats.
func checkpointKey(t testing.TB, name string) (note.Signer, note.Verifier) {
	t.Helper()
	seed := sha256.Sum256([]byte(name))
	skey, vkey, err := note.GenerateKey(bytes.NewReader(seed[:]), name)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	return signer, verifier
}

// The text is the interface to witnesses and auditors written by others: its bytes are fixed.
func TestCheckpointText(t *testing.T) {
	t.Parallel()
	c := lamppost.Checkpoint{Origin: lamppost.Origin("harbour", "north"), Size: 20852163}
	if got, want := c.Text(), "harbour/north\n20852163\n"+zeroRoot+"\n"; got != want {
		t.Errorf("Text() = %q, want %q", got, want)
	}
}

// Every spelling but the canonical one is refused: two texts of one checkpoint would let a signature over one be
// shown beside the other.
func TestParseCheckpointRefuses(t *testing.T) {
	t.Parallel()
	good := "net/member\n7\n" + zeroRoot + "\n"
	if _, err := lamppost.ParseCheckpoint(good); err != nil {
		t.Fatalf("ParseCheckpoint(%q) = %v", good, err)
	}
	for name, text := range map[string]string{
		"empty":               "",
		"two lines":           "net/member\n7\n",
		"no final newline":    strings.TrimSuffix(good, "\n"),
		"extension line":      good + "more\n",
		"empty line":          good + "\n",
		"carriage returns":    strings.ReplaceAll(good, "\n", "\r\n"),
		"no member":           strings.Replace(good, "net/member", "net", 1),
		"empty member":        strings.Replace(good, "net/member", "net/", 1),
		"empty network":       strings.Replace(good, "net/member", "/member", 1),
		"three parts":         strings.Replace(good, "net/member", "net/member/log", 1),
		"space in origin":     strings.Replace(good, "net/member", "net/mem ber", 1),
		"plus in origin":      strings.Replace(good, "net/member", "net/mem+ber", 1),
		"no size":             strings.Replace(good, "7", "", 1),
		"leading zero":        strings.Replace(good, "7", "07", 1),
		"plus sign":           strings.Replace(good, "7", "+7", 1),
		"negative":            strings.Replace(good, "7", "-7", 1),
		"minus zero":          strings.Replace(good, "7", "-0", 1),
		"hexadecimal":         strings.Replace(good, "7", "0x7", 1),
		"too large":           strings.Replace(good, "7", "9223372036854775808", 1),
		"short root":          "net/member\n7\nAAAA\n",
		"unpadded root":       strings.Replace(good, "=", "", 1),
		"stray bits in root":  strings.Replace(good, "A=", "B=", 1),
		"root with a newline": strings.Replace(good, "A=", "\nA=", 1),
	} {
		if c, err := lamppost.ParseCheckpoint(text); err == nil {
			t.Errorf("%s: ParseCheckpoint(%q) = %+v, want an error", name, text, c)
		}
	}
}

// Goal: what is signed is what is read back, with the signature that vouches for it, for any checkpoint.
func TestCheckpointRoundTrip(t *testing.T) {
	t.Parallel()
	signer, verifier := checkpointKey(t, "net/member")
	rapid.Check(t, func(t *rapid.T) {
		want := lamppost.Checkpoint{Origin: "net/member", Size: rapid.Int64Range(0, math.MaxInt64).Draw(t, "size")}
		copy(want.Root[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "root"))
		msg, err := lamppost.SignCheckpoint(want, signer)
		if err != nil {
			t.Fatal(err)
		}
		got, sigs, err := lamppost.OpenCheckpoint(msg, note.VerifierList(verifier))
		if err != nil || got != want || len(sigs) != 1 || sigs[0].Name != "net/member" {
			t.Fatalf("OpenCheckpoint(%q) = %+v, %v, %v; want %+v and one signature", msg, got, sigs, err, want)
		}
	})
}

// Every changed byte of a signed checkpoint makes it invalid, except in the part of a signature line that says nothing.
func TestCheckpointTampered(t *testing.T) {
	t.Parallel()
	signer, verifier := checkpointKey(t, "net/member")
	msg, err := lamppost.SignCheckpoint(lamppost.Checkpoint{Origin: "net/member", Size: 300}, signer)
	if err != nil {
		t.Fatal(err)
	}
	for i := range msg {
		bad := bytes.Clone(msg)
		bad[i] ^= 1
		if c, _, err := lamppost.OpenCheckpoint(bad, note.VerifierList(verifier)); err == nil {
			t.Errorf("byte %d changed: OpenCheckpoint(%q) = %+v, want an error", i, bad, c)
		}
	}
}

// A checkpoint counts only under the key of its own origin: a known witness alone does not vouch for a member's log,
// and a member cannot speak for another.
func TestCheckpointWhoSigns(t *testing.T) {
	t.Parallel()
	memberS, memberV := checkpointKey(t, "net/member")
	witnessS, witnessV := checkpointKey(t, "witness.example")
	_, otherV := checkpointKey(t, "net/other")
	c := lamppost.Checkpoint{Origin: "net/member", Size: 1}
	both, err := lamppost.SignCheckpoint(c, memberS, witnessS)
	if err != nil {
		t.Fatal(err)
	}
	if _, sigs, err := lamppost.OpenCheckpoint(both, note.VerifierList(memberV, witnessV)); err != nil || len(sigs) != 2 {
		t.Errorf("both known: %d signatures, %v; want 2", len(sigs), err)
	}
	if _, sigs, err := lamppost.OpenCheckpoint(both, note.VerifierList(memberV)); err != nil || len(sigs) != 1 {
		t.Errorf("witness unknown: %d signatures, %v; want 1", len(sigs), err)
	}
	if _, _, err := lamppost.OpenCheckpoint(both, note.VerifierList(witnessV)); err == nil {
		t.Error("only the witness known: accepted")
	}
	var unverified *note.UnverifiedNoteError
	if _, _, err := lamppost.OpenCheckpoint(both, note.VerifierList(otherV)); !errors.As(err, &unverified) {
		t.Errorf("nobody known: %v, want a %T", err, unverified)
	}
	c.Origin = "net/other"
	if _, err := lamppost.SignCheckpoint(c, memberS); err == nil {
		t.Error("net/member signed for net/other")
	}
	// The same through the note package, as a dishonest member would do it.
	forged, err := note.Sign(&note.Note{Text: c.Text()}, memberS)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := lamppost.OpenCheckpoint(forged, note.VerifierList(memberV, otherV)); err == nil {
		t.Error("a checkpoint of net/other under the key of net/member: accepted")
	}
}

func TestCheckpointTooLong(t *testing.T) {
	t.Parallel()
	_, verifier := checkpointKey(t, "net/member")
	msg := bytes.Repeat([]byte("a"), lamppost.MaxCheckpointBytes+1)
	if _, _, err := lamppost.OpenCheckpoint(msg, note.VerifierList(verifier)); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("OpenCheckpoint of %d bytes = %v, want it refused for its length", len(msg), err)
	}
}

// Goal: parsing never panics, and what it accepts is exactly what Text writes.
func FuzzParseCheckpoint(f *testing.F) {
	f.Add("net/member\n0\n" + zeroRoot + "\n")
	f.Add("net/member\n9223372036854775807\n" + zeroRoot + "\n")
	f.Add("net/member\n07\n" + zeroRoot + "\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := lamppost.ParseCheckpoint(text)
		if err == nil && c.Text() != text {
			t.Errorf("ParseCheckpoint(%q) = %+v, whose text is %q", text, c, c.Text())
		}
	})
}

// Goal: opening never panics, and whatever else stands in the note, the three lines are the signed ones.
func FuzzOpenCheckpoint(f *testing.F) {
	signer, verifier := checkpointKey(f, "net/member")
	signed := lamppost.Checkpoint{Origin: "net/member", Size: 5}
	msg, err := lamppost.SignCheckpoint(signed, signer)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(msg)
	f.Add(append(bytes.Clone(msg), "— witness.example AAAAAAAAAA==\n"...))
	f.Fuzz(func(t *testing.T, msg []byte) {
		c, _, err := lamppost.OpenCheckpoint(msg, note.VerifierList(verifier))
		if err == nil && c != signed {
			t.Errorf("OpenCheckpoint(%q) = %+v, which nobody signed", msg, c)
		}
	})
}
