package lamppost

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/note"

	"github.com/lamppost/lamppost/sig"
)

// A witness is somebody else who follows a log. Its cosignature on a checkpoint (C2SP tlog-cosignature, Ed25519) states
// that, at the time it names, this was the largest tree that the witness had seen under this origin, and that every
// tree it had seen before is the beginning of it. It says nothing about what stands in the log.

// Parts of a cosignature as a signed note carries it: key hash ‖ time ‖ signature.
const (
	algCosignature   = 0x04 // timestamped Ed25519, in C2SP signed-note's list of signature types
	noteHashBytes    = 4
	cosigTimeBytes   = 8
	cosignatureBytes = cosigTimeBytes + ed25519.SignatureSize
)

// A WitnessKey is a witness's name and public key. It is a [note.Verifier] of its cosignatures. It does not change and
// may be used concurrently.
type WitnessKey struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func newWitnessKey(name string, public []byte) (*WitnessKey, error) {
	if name == "" || len(name) > MaxWitnessNameBytes || !utf8.ValidString(name) || strings.Contains(name, "+") ||
		strings.ContainsFunc(name, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return nil, fmt.Errorf("witness %q: a name has 1 to %d bytes, no space and no +", clip(name), MaxWitnessNameBytes)
	}
	if _, err := sig.ParsePublicKey(sig.EdDSA, public); err != nil {
		return nil, fmt.Errorf("witness %q: %w", clip(name), err)
	}
	sum := sha256.Sum256(append([]byte(name+"\n"), typed(public)...))
	return &WitnessKey{name: name, hash: binary.BigEndian.Uint32(sum[:]), key: public}, nil
}

// typed puts the signature type before a key.
func typed(public []byte) []byte { return append([]byte{algCosignature}, public...) }

// ParseWitnessKey reads a verifier key, <name>+<hash>+base64(4 ‖ public key), as String writes it and in no other form.
func ParseWitnessKey(vkey string) (*WitnessKey, error) {
	name, rest, _ := strings.Cut(vkey, "+")
	_, text, _ := strings.Cut(rest, "+")
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) == 0 {
		return nil, fmt.Errorf("witness key %q is not <name>+<hash>+<base64>, as the witness prints it", clip(vkey))
	}
	if raw[0] != algCosignature || len(raw) != 1+ed25519.PublicKeySize {
		return nil, fmt.Errorf("witness key %q is of signature type %d: witnesses sign with type %d, Ed25519 with a time (C2SP tlog-cosignature)",
			clip(vkey), raw[0], algCosignature)
	}
	k, err := newWitnessKey(name, raw[1:])
	if err != nil {
		return nil, err
	}
	if k.String() != vkey {
		return nil, fmt.Errorf("witness key %q does not have the hash of its name and key, which is %08x", clip(vkey), k.hash)
	}
	return k, nil
}

// Name implements [note.Verifier].
func (k *WitnessKey) Name() string { return k.name }

// KeyHash implements [note.Verifier].
func (k *WitnessKey) KeyHash() uint32 { return k.hash }

// Public returns the Ed25519 key.
func (k *WitnessKey) Public() []byte { return k.key }

// String returns the verifier key that [ParseWitnessKey] reads.
func (k *WitnessKey) String() string {
	return fmt.Sprintf("%s+%08x+%s", k.name, k.hash, base64.StdEncoding.EncodeToString(typed(k.key)))
}

// Verify implements [note.Verifier]: signature is the time and the Ed25519 signature over what was cosigned at it. As for
// every signed note the rule is that of crypto/ed25519 (RFC 8032).
func (k *WitnessKey) Verify(text, signature []byte) bool {
	if len(signature) != cosignatureBytes {
		return false
	}
	at := binary.BigEndian.Uint64(signature)
	return at > 0 && at < 1<<63 && ed25519.Verify(k.key, cosigned(text, at), signature[cosigTimeBytes:])
}

// cosigned is the message of C2SP tlog-cosignature, "Ed25519 signed message".
func cosigned(text []byte, at uint64) []byte {
	return append([]byte("cosignature/v1\ntime "+strconv.FormatUint(at, 10)+"\n"), text...)
}

// A Cosigner is a witness's private key with its name. It may be used concurrently.
type Cosigner struct {
	key     *WitnessKey
	private ed25519.PrivateKey
}

// NewCosigner makes the key pair of a 32-byte seed. A witness that goes by another name needs another seed: what it
// signs does not contain the name.
func NewCosigner(name string, seed []byte) (*Cosigner, error) {
	if len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("witness %q: a seed has %d bytes, not %d", clip(name), ed25519.SeedSize, len(seed))
	}
	c := &Cosigner{private: ed25519.NewKeyFromSeed(seed)}
	var err error
	c.key, err = newWitnessKey(name, c.private.Public().(ed25519.PublicKey))
	return c, err
}

// Key returns the public half.
func (c *Cosigner) Key() *WitnessKey { return c.key }

// Cosign signs the text of a checkpoint, all its lines, as seen at a time in seconds since 1970. The caller answers for
// what that states.
func (c *Cosigner) Cosign(text string, unix int64) (note.Signature, error) {
	if unix <= 0 {
		return note.Signature{}, errors.New("cosigning: the clock stands before 1970")
	}
	raw := binary.BigEndian.AppendUint32(nil, c.key.hash)
	raw = binary.BigEndian.AppendUint64(raw, uint64(unix))
	raw = append(raw, ed25519.Sign(c.private, cosigned([]byte(text), uint64(unix)))...)
	return note.Signature{Name: c.key.name, Hash: c.key.hash, Base64: base64.StdEncoding.EncodeToString(raw)}, nil
}

// CosignatureTime returns the time that a cosignature states, in seconds since 1970, or 0 for a signature of another form.
func CosignatureTime(s note.Signature) int64 {
	raw, err := base64.StdEncoding.DecodeString(s.Base64)
	if err != nil || len(raw) != noteHashBytes+cosignatureBytes {
		return 0
	}
	return int64(binary.BigEndian.Uint64(raw[noteHashBytes:]))
}

// SignedNote writes a note with signatures that were made or verified before, in their order and in one spelling: what
// note.Open accepts may have other bits at its end.
func SignedNote(text string, sigs ...note.Signature) ([]byte, error) {
	n := &note.Note{Text: text}
	for _, s := range sigs {
		raw, err := base64.StdEncoding.DecodeString(s.Base64)
		if err != nil {
			return nil, fmt.Errorf("writing a note: the signature of %q is not in base64", s.Name)
		}
		s.Base64 = base64.StdEncoding.EncodeToString(raw)
		n.Sigs = append(n.Sigs, s)
	}
	msg, err := note.Sign(n)
	if err != nil {
		return nil, fmt.Errorf("writing a note: %w", err)
	}
	return msg, nil
}
