package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/lamppost/lamppost"
)

// A Log is a published log as a [Follower] reads it. Nothing it says is believed.
type Log interface {
	// Checkpoints returns the latest checkpoint as so many members signed it, each a note of its own, or as one did that the log's
	// witnesses have cosigned.
	Checkpoints(members int, cosigned bool) ([]string, error)
	// Beginning returns the root of the first n leaves of the log under a checkpoint, and the consistency proof that leads from
	// there to the checkpoint's root (RFC 6962 §2.1.2); 1 ≤ n < c.Size.
	Beginning(c lamppost.Checkpoint, n int64) (lamppost.Hash, tlog.TreeProof, error)
}

// A Follower is a light client: it remembers the latest checkpoint of a network's log that it believes, and believes another one
// only if it is signed and cosigned as the pin asks and the log under it continues what is remembered. So it keeps a few hundred
// bytes and reads a few tiles a look, and nobody can show it another history later. One goroutine uses it.
type Follower struct {
	Pin  *Pin
	Head *Head // what is remembered; nil before the first look
}

// A Head is a checkpoint that holds under a pin.
type Head struct {
	lamppost.Checkpoint               // the first, all of which are equal but for their origin
	Notes               []string      // one of each member, with the signatures of the pin's members and witnesses alone
	Signers             []string      // origins of the notes
	Cosigned            []Cosignature // by the pin's witnesses
}

// A RollbackError is returned for a log that is shorter than it was. That happens to a node that was restored from a backup, and
// to an old copy on some server on the way: it is no proof of a lie, and no reason to believe.
type RollbackError struct{ Remembered, Offered *Head }

// Error names both sizes.
func (e *RollbackError) Error() string {
	return fmt.Sprintf("the log %s was rolled back: it has %d entries, and had %d with root %s", e.Offered.Origin, e.Offered.Size, e.Remembered.Size,
		e.Remembered.Root)
}

// Look reads the log's latest checkpoint and remembers it if it continues what was remembered; grown says that it is a larger one.
// A log that is shorter than it was is a [*RollbackError], one that has another history a [*Fork]: what is remembered stays. Other errors are
// checkpoints that do not hold under the pin, which wrap [ErrNotBelieved], and those of reading.
func (f *Follower) Look(log Log) (grown bool, err error) {
	notes, err := log.Checkpoints(f.Pin.Quorum, len(f.Pin.Witnesses) > 0)
	if err != nil {
		return false, fmt.Errorf("reading the log's checkpoint: %w", err)
	}
	next, err := f.Pin.OpenHead(notes...)
	if err != nil {
		return false, err
	}
	if f.Head != nil {
		if err := f.compare(next, log); err != nil {
			return false, err
		}
	}
	grown = f.Head == nil || next.Size > f.Head.Size
	f.Head = next
	return grown, nil
}

// compare demands that a checkpoint continues what is remembered.
func (f *Follower) compare(next *Head, log Log) error {
	if next.Size >= f.Head.Size {
		return oneHistory(f.Head, next, log)
	}
	err := oneHistory(next, f.Head, log) // its files may be there still, and tell more than a size
	if fork := (*Fork)(nil); errors.As(err, &fork) {
		return err
	}
	return &RollbackError{f.Head, next}
}

// Compare demands that the checkpoint of a file that was verified under the pin is of the history that is remembered: the log's
// files prove it. A file under a larger checkpoint than the remembered one cannot be judged before the next Look: that is [ErrNewer].
func (f *Follower) Compare(found *Finding, log Log) error {
	for _, text := range found.notes {
		c, err := f.Pin.OpenCheckpoint([]byte(text))
		if err != nil {
			return err
		}
		h := &Head{Checkpoint: c, Notes: []string{text}, Signers: []string{c.Origin}}
		if f.Head == nil || h.Size > f.Head.Size {
			return fmt.Errorf("its checkpoint has %d entries: %w", h.Size, ErrNewer)
		}
		if err := oneHistory(h, f.Head, log); err != nil {
			return err
		}
	}
	return nil
}

// ErrNewer is returned for what is newer than what a [Follower] remembers.
var ErrNewer = errors.New("that is more than is remembered of the log")

// ErrNotBelieved is wrapped by errors of checkpoints that are not signed or cosigned as a pin asks.
var ErrNotBelieved = errors.New("not as the pin asks")

// oneHistory demands that the log under one checkpoint begins with that under a smaller one. It returns a [*Fork] that proves the
// contrary, or the error of reading what would tell.
func oneHistory(small, large *Head, log Log) error {
	fork := forkOf(small, large)
	switch {
	case small.Size == large.Size && small.Root == large.Root, small.Size == 0:
		return nil
	case small.Size == large.Size:
		return fork
	}
	begin, proof, err := log.Beginning(large.Checkpoint, small.Size)
	if err == nil {
		err = tlog.CheckTree(proof, large.Size, tlog.Hash(large.Root), small.Size, tlog.Hash(begin))
	}
	if err != nil {
		return fmt.Errorf("the log's files do not say how it came from %d to %d entries: %w", small.Size, large.Size, err)
	}
	if begin == small.Root {
		return nil
	}
	fork.Begin = begin
	for _, h := range proof {
		fork.Proof = append(fork.Proof, lamppost.Hash(h))
	}
	return fork
}

// forkOf says what two heads would prove, by one member that signed both where there is one.
func forkOf(small, large *Head) *Fork {
	i, j := 0, 0
	for at, origin := range small.Signers {
		if same := slices.Index(large.Signers, origin); same >= 0 {
			i, j = at, same
			break
		}
	}
	f := &Fork{Smaller: small.Notes[i], Larger: large.Notes[j], small: small.Checkpoint, large: large.Checkpoint}
	f.small.Origin, f.large.Origin = small.Signers[i], large.Signers[j]
	return f
}

// OpenHead reads a checkpoint of the network as members signed it and checks it as [CheckProof] does. Signatures of others are left out.
func (p *Pin) OpenHead(notes ...string) (*Head, error) {
	proof := &lamppost.Proof{Network: p.Network}
	for _, n := range notes {
		text, used := p.ownSignatures([]byte(n))
		proof.Checkpoints, proof.Witnesses = append(proof.Checkpoints, text), append(proof.Witnesses, used...)
	}
	slices.Sort(proof.Witnesses)
	proof.Witnesses = slices.Compact(proof.Witnesses)
	e, err := CheckProof(proof, p)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotBelieved, err)
	}
	return &Head{e.Checkpoint, proof.Checkpoints, e.Signers, e.Cosigned}, nil
}

// ownSignatures keeps of a note what the pin's members and witnesses signed, and says which of the witnesses. A note that cannot be read so
// stays as it is: CheckProof says why.
func (p *Pin) ownSignatures(signed []byte) (text string, used []string) {
	r, err := newRoster(p.Network, p.Members)
	if err != nil {
		return string(signed), nil
	}
	c, sigs, err := lamppost.OpenCheckpoint(signed, r.notes)
	if err != nil {
		return string(signed), nil
	}
	for _, vkey := range slices.Sorted(slices.Values(p.Witnesses)) {
		k, err := lamppost.ParseWitnessKey(vkey)
		if err != nil {
			continue
		}
		if n, err := note.Open(signed, note.VerifierList(k)); err == nil {
			sigs, used = append(sigs, n.Sigs...), append(used, vkey)
		}
	}
	own, err := lamppost.SignedNote(c.Text(), sigs...)
	if err != nil {
		return string(signed), nil
	}
	return string(own), used
}

// Kinds of the files that a follower keeps between runs: what is remembered, and what proves a fork.
const (
	KindHead = "head/1"
	KindFork = "fork/1"
)

// A headFile is a remembered head on disk. It says nothing that is not signed but where the log is read.
type headFile struct {
	Lamppost   string `json:"lamppost"`
	Log        string `json:"log"`
	Checkpoint string `json:"checkpoint"`
}

// Encode writes the head as a file, with the address or folder that the log is read from.
func (h *Head) Encode(log string) []byte {
	return encode(headFile{KindHead, log, lamppost.JoinNotes(h.Notes)}, 1)
}

// ParseHead reads what Encode writes, and checks it under the pin again.
func (p *Pin) ParseHead(data []byte) (h *Head, log string, err error) {
	var f headFile
	if err := readFile(data, KindHead, &f, &f.Lamppost); err != nil {
		return nil, "", err
	}
	notes, err := lamppost.SplitNotes(f.Checkpoint)
	if err != nil {
		return nil, "", err
	}
	h, err = p.OpenHead(notes...)
	return h, f.Log, err
}

// readFile reads a small file of one kind, without fields that nobody knows.
func readFile(data []byte, kind string, to any, found *string) error {
	if len(data) > MaxHeadBytes {
		return fmt.Errorf("%s: %d bytes are over the limit of %d", kind, len(data), MaxHeadBytes)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(to); err != nil {
		return fmt.Errorf("%s: not JSON as this program writes it: %v", kind, err)
	}
	if *found != kind {
		return fmt.Errorf("kind %q is not %s", printable(clip(*found)), kind)
	}
	return nil
}
