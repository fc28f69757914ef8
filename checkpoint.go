package lamppost

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// MaxCheckpointBytes is the length of the longest signed checkpoint that is read: three lines and room for the
// signatures of every member and witness.
const MaxCheckpointBytes = 64 << 10

// A Checkpoint states how many leaves a member's log has and the root of the Merkle tree over them (RFC 6962 §2.1).
// Signed, it is the one thing a member vouches for; everything else is proved against it. Members of one network have
// logs of different origins and, as long as they are honest, equal roots at equal sizes.
//
// The form is that of C2SP tlog-checkpoint in a C2SP signed note, with its three lines and nothing more: an extension
// line is something a witness would sign without being able to check it.
type Checkpoint struct {
	Origin string // "<network>/<member>", see [Origin]; also the name of the key that signs
	Size   int64  // leaves in the log, at least 0
	Root   Hash   // Merkle tree hash of those leaves; for size 0 the hash of nothing
}

// Origin names the log that a member keeps of its network. It is also the name of the member's signing key.
func Origin(network string, member MemberID) string { return network + "/" + string(member) }

// Text returns the three lines that are signed, the last one ended too. It does not check c; see [SignCheckpoint].
func (c Checkpoint) Text() string {
	return c.Origin + "\n" + strconv.FormatInt(c.Size, 10) + "\n" + base64.StdEncoding.EncodeToString(c.Root[:]) + "\n"
}

// ParseCheckpoint reads exactly what Text writes for a valid checkpoint and refuses every other spelling of it, so
// equal checkpoints are equal bytes. It knows nothing of signatures; see [OpenCheckpoint].
func ParseCheckpoint(text string) (Checkpoint, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		return Checkpoint{}, errors.New("checkpoint: not exactly three lines, each ended by a newline")
	}
	c := Checkpoint{Origin: lines[0]}
	if err := checkOrigin(c.Origin); err != nil {
		return Checkpoint{}, err
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != lines[1] {
		return Checkpoint{}, fmt.Errorf("checkpoint: %q is not a size in plain decimal", clip(lines[1]))
	}
	c.Size = size
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != len(c.Root) || strings.Contains(lines[2], "\r") { // which the decoder passes over
		return Checkpoint{}, fmt.Errorf("checkpoint: %q is not a root hash in base64", clip(lines[2]))
	}
	copy(c.Root[:], root)
	return c, nil
}

func checkOrigin(origin string) error {
	network, member, ok := strings.Cut(origin, "/")
	if !ok {
		return fmt.Errorf("checkpoint: origin %q is not <network>/<member>", clip(origin))
	}
	if err := CheckName("checkpoint: network", network); err != nil {
		return err
	}
	return CheckName("checkpoint: member", member)
}

// JoinNotes writes the checkpoints of several members into one file, an empty line between two; that of one is its note.
func JoinNotes(notes []string) string { return strings.Join(notes, "\n") }

// SplitNotes reads what JoinNotes writes, without checking the notes. No note has an empty line but the one above its signatures.
func SplitNotes(text string) (notes []string, err error) {
	if len(text) > MaxMembers*MaxCheckpointBytes {
		return nil, fmt.Errorf("checkpoints of %d bytes are too long", len(text))
	}
	parts := strings.Split(text, "\n\n")
	if len(parts)%2 != 0 || len(parts) > 2*MaxMembers {
		return nil, errors.New("checkpoints: not signed notes with an empty line between two")
	}
	for i := 0; i < len(parts); i += 2 {
		n := parts[i] + "\n\n" + parts[i+1]
		if i+2 < len(parts) {
			n += "\n"
		}
		notes = append(notes, n)
	}
	return notes, nil
}

// SignCheckpoint returns c as a signed note, a signature of each signer below it. The first signer must be the
// member's own: its name is c.Origin. Ed25519 signers are deterministic, so signing again gives the same bytes.
func SignCheckpoint(c Checkpoint, signers ...note.Signer) ([]byte, error) {
	if _, err := ParseCheckpoint(c.Text()); err != nil {
		return nil, err
	}
	if len(signers) == 0 || signers[0].Name() != c.Origin {
		return nil, fmt.Errorf("signing checkpoint of %q: the first signer is not that origin's", c.Origin)
	}
	msg, err := note.Sign(&note.Note{Text: c.Text()}, signers...)
	if err != nil {
		return nil, fmt.Errorf("signing checkpoint of %q at size %d: %w", c.Origin, c.Size, err)
	}
	return msg, nil
}

// OpenCheckpoint reads a signed checkpoint, requires a valid signature by a known key whose name is the checkpoint's
// origin, and returns it with every signature that verified, in the order they stand in msg (the member's and those of
// known witnesses). Signatures of unknown keys are ignored, a wrong one of a known key is an error (C2SP signed-note).
func OpenCheckpoint(msg []byte, known note.Verifiers) (Checkpoint, []note.Signature, error) {
	if len(msg) > MaxCheckpointBytes {
		return Checkpoint{}, nil, fmt.Errorf("checkpoint: %d bytes, more than %d", len(msg), MaxCheckpointBytes)
	}
	n, err := note.Open(msg, known)
	if err != nil {
		return Checkpoint{}, nil, fmt.Errorf("opening checkpoint: %w", err)
	}
	c, err := ParseCheckpoint(n.Text)
	if err != nil {
		return Checkpoint{}, nil, err
	}
	for _, s := range n.Sigs {
		// A witness may call itself as it likes, also like a log: it does not sign for it.
		v, err := known.Verifier(s.Name, s.Hash)
		if _, witness := v.(*WitnessKey); err == nil && s.Name == c.Origin && !witness {
			return c, n.Sigs, nil
		}
	}
	return Checkpoint{}, nil, fmt.Errorf("opening checkpoint of %q: signed by others, not by that origin's key", c.Origin)
}
