package witness

import (
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/lamppost/lamppost"
)

// A Fork is a pair of checkpoints that one log signed and that are not, or may not be, of one history. What counts as
// proof, to anybody who knows the log's key:
//
//   - Two roots at one size.
//   - A consistency proof from another root than that of the smaller checkpoint to the larger one: it shows that the
//     larger tree begins with something else.
//
// A consistency proof that leads nowhere is none: anybody may have sent it, beside a checkpoint that is honest.
type Fork struct {
	Found   lamppost.TimeMS `cbor:"1,keyasint"`
	Smaller string          `cbor:"2,keyasint"` // signed note; of equal sizes the one that was seen first
	Larger  string          `cbor:"3,keyasint"`
	Begin   lamppost.Hash   `cbor:"4,keyasint"` // root of the beginning of the larger tree that is as long as the smaller
	Proof   []lamppost.Hash `cbor:"5,keyasint"` // leads from Begin to the larger root
	Tried   lamppost.TimeMS `cbor:"6,keyasint"` // of one that is not proven: when the log's files were last looked at
	Why     string          `cbor:"7,keyasint"` // and why that did not tell
}

// Check proves the fork from its notes and the keys of the log alone, and says what is wrong if it does not.
func (f *Fork) Check(log note.Verifiers) error {
	a, err := openHead(f.Smaller, log)
	if err != nil {
		return err
	}
	b, err := openHead(f.Larger, log)
	if err != nil {
		return err
	}
	switch {
	case a.origin != b.origin:
		return fmt.Errorf("these are two logs, %q and %q", a.origin, b.origin)
	case a.size > b.size || b.size == 0:
		return errors.New("the checkpoints stand in the wrong order")
	case a.size == b.size && a.root == b.root, a.size < b.size && a.root == tlog.Hash(f.Begin):
		return errors.New("both are of one history")
	case a.size == b.size:
		return nil
	}
	return tlog.CheckTree(treeProof(f.Proof), b.size, b.root, a.size, tlog.Hash(f.Begin))
}

func openHead(signed string, log note.Verifiers) (head, error) {
	n, err := note.Open([]byte(signed), log)
	if err != nil {
		return head{}, err
	}
	return parseHead(n.Text)
}

// textHead reads a note whose signatures were verified when it was stored.
func textHead(signed string) (head, error) {
	_, err := note.Open([]byte(signed), note.VerifierList())
	var unverified *note.UnverifiedNoteError
	if !errors.As(err, &unverified) {
		return head{}, fmt.Errorf("reading a stored note: %w", err)
	}
	return parseHead(unverified.Note.Text)
}

// heads reads both checkpoints of a stored fork.
func (f *Fork) heads() (a, b head, err error) {
	if a, err = textHead(f.Smaller); err == nil {
		b, err = textHead(f.Larger)
	}
	return a, b, err
}

// Words says what the pair means. They are for the terminal and for the page.
func (f *Fork) Words() string {
	a, b, err := f.heads()
	if err != nil {
		return err.Error()
	}
	ra, rb, begin := lamppost.Hash(a.root), lamppost.Hash(b.root), f.Begin
	switch {
	case a.size == b.size:
		return fmt.Sprintf("the log %s signed two histories: of its first %d entries it signed root %s and root %s", a.origin, a.size, ra, rb)
	case !begin.IsZero():
		return fmt.Sprintf("the log %s signed two histories: of its first %d entries it signed root %s, but in the log of %d entries that it "+
			"signed too they have root %s", a.origin, a.size, ra, b.size, begin)
	}
	text := fmt.Sprintf("not resolved: somebody showed a checkpoint of size %d that the log %s signed, with a proof that does not lead there from "+
		"the size %d cosigned here. Either the proof was wrong, or the log signed two histories", b.size, a.origin, a.size)
	if f.Why != "" {
		text += ". Looking at the log's files did not tell: " + f.Why
	}
	return text
}

func treeProof(hashes []lamppost.Hash) tlog.TreeProof {
	p := make(tlog.TreeProof, len(hashes))
	for i, h := range hashes {
		p[i] = tlog.Hash(h)
	}
	return p
}

func hashesOf(p tlog.TreeProof) []lamppost.Hash {
	hashes := make([]lamppost.Hash, len(p))
	for i, h := range p {
		hashes[i] = lamppost.Hash(h)
	}
	return hashes
}

// beginning returns the root of the first n of t leaves that a consistency proof contains, if it leads from there to the
// root of all t. A log that forked sends such a proof in good faith: it fits its own history, not the one it signed
// before. Of a tree whose size is a power of two the proof does not contain the root.
func beginning(p tlog.TreeProof, t int64, root tlog.Hash, n int64) (tlog.Hash, bool) {
	old, ok := oldRoot(p, 0, t, n)
	return old, ok && tlog.CheckTree(p, t, root, n, old) == nil
}

// oldRoot walks a proof for the leaves from lo to hi as RFC 6962 §2.1.2 builds it: SUBPROOF(n - lo, D[lo:hi], lo == 0).
func oldRoot(p tlog.TreeProof, lo, hi, n int64) (tlog.Hash, bool) {
	if n == hi {
		if lo == 0 || len(p) != 1 {
			return tlog.Hash{}, false
		}
		return p[0], true
	}
	if len(p) == 0 {
		return tlog.Hash{}, false
	}
	rest, last := p[:len(p)-1], p[len(p)-1]
	k := int64(1)
	for k<<1 < hi-lo {
		k <<= 1
	}
	if n <= lo+k {
		return oldRoot(rest, lo, lo+k, n)
	}
	right, ok := oldRoot(rest, lo+k, hi, n)
	return tlog.NodeHash(last, right), ok
}
