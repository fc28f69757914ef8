package audit

import (
	"encoding/hex"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/lamppost/lamppost"
)

// A Fork proves that members of a network signed two histories of its log, to anybody who has the network's pin: two roots at one
// size, or a consistency proof which shows that the larger log begins with something else than the smaller one. It is an error and a file to keep.
type Fork struct {
	Smaller string // signed notes; of equal sizes the one that was seen first
	Larger  string
	Begin   lamppost.Hash   // root of the beginning of the larger log that is as long as the smaller; zero at one size
	Proof   []lamppost.Hash // leads from Begin to the larger root

	small, large lamppost.Checkpoint // read
}

// Error says what the members signed.
func (f *Fork) Error() string {
	a, b := &f.small, &f.large
	if a.Size == b.Size {
		return fmt.Sprintf("two histories: of the log's first %d entries %s signed root %s, and %s root %s", a.Size, a.Origin, a.Root, b.Origin, b.Root)
	}
	return fmt.Sprintf("two histories: of the log's first %d entries %s signed root %s, but in the log of %d entries that %s signed they have root %s",
		a.Size, a.Origin, a.Root, b.Size, b.Origin, f.Begin)
}

// Check proves the fork under a pin; the witnesses' signatures do not matter for it.
func (f *Fork) Check(pin *Pin) error {
	var err, err2 error
	f.small, err = pin.OpenCheckpoint([]byte(f.Smaller))
	f.large, err2 = pin.OpenCheckpoint([]byte(f.Larger))
	if err = errors.Join(err, err2); err != nil {
		return fmt.Errorf("the fork's checkpoints: %w", err)
	}
	switch a, b := &f.small, &f.large; {
	case a.Size > b.Size || a.Size < 1 || b.Size > maxLogSize:
		return errors.New("the fork's checkpoints stand in the wrong order")
	case a.Size == b.Size && a.Root == b.Root, a.Size < b.Size && a.Root == f.Begin:
		return errors.New("both checkpoints of the fork are of one history")
	case a.Size == b.Size && (len(f.Proof) > 0 || !f.Begin.IsZero()):
		return errors.New("the fork has a proof that it does not need")
	case a.Size < b.Size:
		proof := make(tlog.TreeProof, len(f.Proof))
		for i, h := range f.Proof {
			proof[i] = tlog.Hash(h)
		}
		if err := tlog.CheckTree(proof, b.Size, tlog.Hash(b.Root), a.Size, tlog.Hash(f.Begin)); err != nil {
			return fmt.Errorf("the fork's proof leads nowhere: %w", err)
		}
	}
	return nil
}

// A forkFile is a Fork on disk, hashes in hexadecimal.
type forkFile struct {
	Lamppost string   `json:"lamppost"`
	Smaller  string   `json:"smaller"`
	Larger   string   `json:"larger"`
	Begin    string   `json:"begin,omitempty"`
	Proof    []string `json:"consistency,omitempty"`
}

// Encode writes the fork as a file that [Verify] checks.
func (f *Fork) Encode() []byte {
	file := forkFile{Lamppost: KindFork, Smaller: f.Smaller, Larger: f.Larger}
	if !f.Begin.IsZero() {
		file.Begin = f.Begin.String()
	}
	for _, h := range f.Proof {
		file.Proof = append(file.Proof, h.String())
	}
	return encode(file, 2)
}

// ParseFork reads what Encode writes. It proves nothing yet: see [Fork.Check].
func ParseFork(data []byte) (*Fork, error) {
	var file forkFile
	if err := readFile(data, KindFork, &file, &file.Lamppost); err != nil {
		return nil, err
	}
	f := &Fork{Smaller: file.Smaller, Larger: file.Larger}
	var err error
	if file.Begin != "" {
		if f.Begin, err = parseHash(file.Begin); err != nil {
			return nil, err
		}
	}
	for _, text := range file.Proof {
		h, err := parseHash(text)
		if err != nil {
			return nil, err
		}
		f.Proof = append(f.Proof, h)
	}
	return f, nil
}

func parseHash(text string) (h lamppost.Hash, err error) {
	raw, err := hex.DecodeString(text)
	if copy(h[:], raw); err != nil || len(raw) != len(h) || h.String() != text {
		return h, fmt.Errorf("fork: %q is no hash in hexadecimal", printable(clip(text)))
	}
	return h, nil
}

// verifyFork is [Verify] of a fork's file.
func verifyFork(data []byte, pin *Pin) (*Finding, error) {
	f, err := ParseFork(data)
	if err != nil {
		return nil, err
	}
	if pin == nil {
		return nil, fmt.Errorf("fork: %w", ErrUnknownMembers)
	}
	if err := f.Check(pin); err != nil {
		return nil, err
	}
	c := &f.large
	out := &Finding{Kind: KindFork, Network: pin.Network, Pinned: true, Size: c.Size, Root: c.Root.String(), Signers: []string{c.Origin}}
	out.add("%s", f)
	out.DoesNotProve = []string{"which of the two is the true one, or why there are two"}
	return out, nil
}
