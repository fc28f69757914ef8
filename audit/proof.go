package audit

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/lamppost/lamppost"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// CheckProof follows everything in a proof up to its checkpoints and from there to the members' keys:
//
//	reading ─ device's signature ─▶ report ─▶ segment ─ gateway's signature ─▶ leaf ─▶ root ─▶ checkpoints ─▶ members
//
// With a pin, the checkpoints are signed by members of the pin, as many as its quorum; each must be cosigned by as many of the
// pin's witnesses as it says. Who was a member when, and so whose orders and segments count at which place, the log itself
// says: by the founding and the changes since, which a proof carries. Without a pin the members are the last of these, and the
// evidence says so: anybody can found a network.
//
// An invoice in the proof is computed again from its agreements, tariffs and readings.
//
// Nothing in an accepted proof is spare: change any byte and it is refused. Two members who sign different roots of one
// size are reported as a [*Disagreement]. The evidence refers to p's memory, which must not change afterwards.
//
// Signatures are checked before hashes, though either would do: a signature says whose word was changed.
func CheckProof(p *lamppost.Proof, pin *Pin) (*Evidence, error) {
	e := &Evidence{Network: p.Network, Pinned: pin != nil, proof: p, bodies: make(map[bodyKey][]int),
		accepted: make(map[string]*lamppost.AcceptBody)}
	quorum, err := e.readPin(pin)
	if err != nil {
		return nil, err
	}
	steps := [...]func() error{
		func() error { return e.readWitnesses(pin) }, e.readTxs, e.chooseSigners, func() error { return e.checkCheckpoints(quorum) },
		e.readBlocks, e.checkConsents, e.checkGateways, e.readReports, e.checkSignatures, e.checkSegments, e.checkWords,
		e.checkInvoices, e.checkPayouts, e.checkRuns, e.checkLog,
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return e, err
		}
	}
	return e, nil
}

// ErrUnknownMembers is returned without a pin for a proof that does not name the network's members either.
var ErrUnknownMembers = errors.New("the proof does not carry the network's founding, so without a pin nobody's signature can be checked")

// readPin takes the members whose checkpoints count from the pin, if there is one.
func (e *Evidence) readPin(pin *Pin) (quorum int, err error) {
	if err := lamppost.CheckName("network", e.Network); err != nil || pin == nil {
		return 1, err
	}
	if pin.Network != e.Network {
		return 0, fmt.Errorf("network: the proof is of network %q, the pin of %q", e.Network, pin.Network)
	}
	if pin.Quorum < 1 || len(pin.Members) > lamppost.MaxMembers {
		return 0, fmt.Errorf("members: a quorum of %d, %d members (at most %d)", pin.Quorum, len(pin.Members), lamppost.MaxMembers)
	}
	if e.members, err = newRoster(pin.Network, pin.Members); err != nil {
		return 0, fmt.Errorf("members: %w", err)
	}
	return pin.Quorum, nil
}

// A Disagreement is evidence that members of one network, or one member twice, signed different logs of one size. The
// notes prove it to anyone who knows the keys: keep them.
type Disagreement struct {
	Size    int64
	Origins [2]string
	Roots   [2]lamppost.Hash
	Notes   [2]string // the signed checkpoints
}

// Error names both sides.
func (d *Disagreement) Error() string {
	return fmt.Sprintf("checkpoint: members disagree about the log at size %d: %s signed root %s, %s signed root %s; keep this file, it is evidence",
		d.Size, d.Origins[0], d.Roots[0], d.Origins[1], d.Roots[1])
}

func (e *Evidence) checkCheckpoints(quorum int) error {
	if len(e.proof.Checkpoints) == 0 {
		return errors.New("checkpoint: the proof has none")
	}
	if len(e.proof.Checkpoints) > len(e.members.members) {
		return fmt.Errorf("checkpoint: the proof has %d, but there are %d members", len(e.proof.Checkpoints), len(e.members.members))
	}
	count := 0
	var short error // a checkpoint that too few witnesses cosigned
	for i, text := range e.proof.Checkpoints {
		c, err := e.openCheckpoint(text)
		if err != nil {
			return fmt.Errorf("checkpoint: %w", err)
		}
		if err := e.checkSigner(c.Origin); err != nil {
			return fmt.Errorf("checkpoint: %w", err)
		}
		if i == 0 {
			e.Checkpoint = c
		}
		if err := e.agree(c, text); err != nil {
			return err
		}
		e.Signers = append(e.Signers, c.Origin)
		if err := e.cosignedEnough(c.Origin); err != nil {
			short = err
			continue
		}
		count++
	}
	if len(e.Signers) < quorum {
		return fmt.Errorf("checkpoint: signed by %d of the members (%s), the pin asks for %d", len(e.Signers), strings.Join(e.Signers, ", "), quorum)
	}
	if count < quorum {
		return short
	}
	return e.checkWitnessesUsed()
}

// openCheckpoint reads a note that a member signed and that holds not a byte more: a signature nobody could check, or
// one in another spelling, would be text that may change unnoticed.
func (e *Evidence) openCheckpoint(text string) (lamppost.Checkpoint, error) {
	c, sigs, err := lamppost.OpenCheckpoint([]byte(text), e.members.notes)
	var unknown *note.UnverifiedNoteError
	switch {
	case errors.As(err, &unknown):
		return c, fmt.Errorf("it is signed by %s: not by a member's key that is known here%s", signerNames(unknown.Note), e.newcomers(unknown.Note))
	case err != nil:
		return c, err
	case !strings.HasPrefix(c.Origin, e.Network+"/"):
		return c, fmt.Errorf("it is of the log %q, not of network %q", c.Origin, e.Network)
	case c.Size > maxLogSize:
		return c, fmt.Errorf("a log of %d leaves is over the limit of %d", c.Size, int64(maxLogSize))
	}
	cosigned, err := e.openCosignatures(c.Origin, text)
	if err != nil {
		return c, err
	}
	if again, err := lamppost.SignedNote(c.Text(), append(sigs, cosigned...)...); err != nil || string(again) != text {
		return c, fmt.Errorf("that of %q carries a signature of an unknown key, one twice, or one in an unusual form", c.Origin)
	}
	return c, nil
}

func signerNames(n *note.Note) string {
	var names []string
	for _, s := range n.UnverifiedSigs {
		names = append(names, fmt.Sprintf("%q (key %08x)", s.Name, s.Hash))
	}
	return strings.Join(names, ", ")
}

// agree compares a checkpoint with those before it.
func (e *Evidence) agree(c lamppost.Checkpoint, text string) error {
	first := e.Checkpoint
	if c.Size != first.Size {
		return fmt.Errorf("checkpoint: %s signed size %d, %s size %d: a quorum signs one size", first.Origin, first.Size, c.Origin, c.Size)
	}
	if c.Root != first.Root {
		return &Disagreement{Size: c.Size, Origins: [2]string{first.Origin, c.Origin}, Roots: [2]lamppost.Hash{first.Root, c.Root},
			Notes: [2]string{e.proof.Checkpoints[0], text}}
	}
	for _, before := range e.Signers {
		if before == c.Origin {
			return fmt.Errorf("checkpoint: %s stands twice and counts once", c.Origin)
		}
	}
	return nil
}

// readBlocks reads the blocks' leaves, which checkLog finds in the log.
func (e *Evidence) readBlocks() error {
	last := int64(-1)
	for i := range e.proof.Blocks {
		b := &e.proof.Blocks[i]
		leaf, err := lamppost.ParseBlockLeaf(b.Raw)
		if err != nil {
			return fmt.Errorf("block at leaf %d: %w", b.Leaf, err)
		}
		if b.Leaf <= last || i > 0 && leaf.Height <= e.blocks[i-1].Height {
			return fmt.Errorf("block %d: the blocks of a proof ascend", leaf.Height)
		}
		last = b.Leaf
		e.blocks = append(e.blocks, leaf)
		if err := e.checkMembers(b.Leaf, &leaf); err != nil {
			return err
		}
		if err := e.checkPlaces(b.Leaf, &leaf); err != nil {
			return err
		}
	}
	return nil
}

// checkPlaces compares a block's leaf, the last of its block, with the transactions that claim to be in it.
func (e *Evidence) checkPlaces(at int64, b *lamppost.BlockLeaf) error {
	first := at - int64(b.Index)
	i := sort.Search(len(e.Txs), func(i int) bool { return e.Txs[i].Leaf >= first || e.Txs[i].Height >= b.Height })
	for ; i < len(e.Txs); i++ {
		t := &e.Txs[i]
		inside := t.Leaf >= first && t.Leaf < at
		if !inside && t.Height > b.Height {
			return nil
		}
		if inside != (t.Height == b.Height) || inside && t.Leaf != first+int64(t.Index) {
			return fmt.Errorf("%s: its place does not fit block %d of %d transactions", t, b.Height, b.Index)
		}
	}
	return nil
}

// checkLog checks that the leaves of all transactions and blocks, each at its place, and the hashes that came with them
// make the root under the checkpoint.
func (e *Evidence) checkLog() error {
	at, leaves := e.leaves()
	if len(at) == 0 && len(e.proof.Nodes) == 0 {
		return nil // nothing but a checkpoint
	}
	root, err := lamppost.RootOver(e.Checkpoint.Size, at, leaves, e.proof.Nodes)
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	if root != e.Checkpoint.Root {
		return errors.New("log: what the proof shows does not lead to the checkpoint's root: something of it was not logged so or not there, " +
			"an invoice was logged with other registers than its reports give, or a contract paid something else")
	}
	return nil
}

// leaves returns the hashes of the proof's leaves and their places, ascending.
func (e *Evidence) leaves() (at []int64, leaves []lamppost.Hash) {
	type entry struct {
		at   int64
		hash lamppost.Hash
	}
	var entries []entry
	for i := range e.Txs {
		entries = append(entries, entry{e.Txs[i].Leaf, lamppost.Hash(tlog.RecordHash(e.Txs[i].leaf()))})
	}
	for i := range e.proof.Blocks {
		entries = append(entries, entry{e.proof.Blocks[i].Leaf, lamppost.Hash(tlog.RecordHash(e.proof.Blocks[i].Raw))})
	}
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.at, b.at) })
	for _, x := range entries {
		at, leaves = append(at, x.at), append(leaves, x.hash)
	}
	return at, leaves
}
