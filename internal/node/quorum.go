package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/tilelog"
)

// Where fewer than a third of the members may lie, a checkpoint is the network's when one more than that has signed it: each of them
// under its own origin, all of the same size and root.

const (
	agreeEvery   = 200 * time.Millisecond // how often is looked for a new checkpoint to agree on
	agreeTimeout = 2 * time.Second        // for the others' answers
)

// quorum is how many members must have signed a checkpoint.
func (n *Node) quorum(members []lamppost.Member) int {
	is, err := n.net()
	if err != nil {
		return 1 // before the founding
	}
	return is.Engine.Quorum(len(members))
}

// Sign returns the published log's checkpoint of a size, signed by this member.
func (n *Node) Sign(size int64) (string, error) {
	p := n.published.Load()
	if p == nil || size > p.Size || n.conflict.Load() != nil {
		return "", lamppost.Refuse(lamppost.CodeNotReady, "%q has not published %d entries", n.cfg.Member, size)
	}
	root, err := tilelog.NewTree(n.files, p.Size, tlog.Hash(p.Root)).RootAt(size)
	if err != nil {
		return "", err
	}
	signed, err := lamppost.SignCheckpoint(lamppost.Checkpoint{Origin: p.Origin, Size: size, Root: lamppost.Hash(root)}, n.signer)
	return string(signed), err
}

// Agreed returns the latest checkpoint that a quorum has signed.
func (n *Node) Agreed() (api.Cosigned, error) {
	if c := n.agreed.Load(); c != nil {
		return *c, nil
	}
	return api.Cosigned{}, lamppost.Refuse(lamppost.CodeNotReady, "too few members have signed the same checkpoint yet")
}

// agree asks the other members for their signatures on what this one publishes, or has cosigned where there are witnesses.
func (n *Node) agree(ctx context.Context) error {
	tick := time.NewTicker(agreeEvery)
	defer tick.Stop()
	for {
		c, ok := n.toAgree()
		if old := n.agreed.Load(); ok && (old == nil || old.Size < c.Size) {
			if err := n.agreeOn(ctx, c); err != nil && ctx.Err() == nil {
				n.cfg.Log.Warn("too few members sign the same checkpoint", "size", c.Size, "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (n *Node) toAgree() (api.Cosigned, bool) {
	if n.asker != nil {
		c := n.cosigned.Load()
		if c == nil {
			return api.Cosigned{}, false
		}
		return *c, true
	}
	p := n.published.Load()
	if p == nil {
		return api.Cosigned{}, false
	}
	return api.Cosigned{Checkpoint: p.Checkpoint, Note: p.note}, true
}

// agreeOn gathers the signatures that a quorum lacks. One that is on another log is evidence, and is kept: its member lies, or this one is
// wrong. If more say the same against this node than may lie, it is this one, and it stops.
func (n *Node) agreeOn(ctx context.Context, c api.Cosigned) error {
	members := n.members()
	need := n.quorum(members) - 1
	if need == 0 {
		return n.publishAgreed(c)
	}
	ctx, cancel := context.WithTimeout(ctx, agreeTimeout)
	defer cancel()
	answers := make(chan signedBy, len(members))
	asked, size := 0, c.Size // c grows below while others still ask
	for _, m := range members {
		if m.ID != n.cfg.Member && m.URL != "" {
			asked++
			go func() { answers <- n.askCheckpoint(ctx, m, size) }()
		}
	}
	var errs []error
	against := map[lamppost.Hash]int{}
	for ; asked > 0 && need > len(c.Others); asked-- {
		a := <-answers
		switch {
		case a.err != nil:
			errs = append(errs, a.err)
		case a.Root == c.Root:
			c.Others = append(c.Others, a.note)
		default:
			against[a.Root]++
			n.differs(a, c.Note)
			errs = append(errs, fmt.Errorf("member %q signed another log", a.member))
			if against[a.Root] > need {
				n.stop(api.Conflict{Text: fmt.Sprintf("of %d entries the root of member %q is %s, here it is %s, and more members say so than may lie",
					c.Size, a.member, a.Root, c.Root), Ours: c.Note, Theirs: a.note}, true)
			}
		}
	}
	if len(c.Others) < need {
		return errors.Join(errs...)
	}
	return errors.Join(append(errs, n.publishAgreed(c))...)
}

// publishAgreed puts what a quorum has signed where everybody finds it, and then lets proofs rest on it.
func (n *Node) publishAgreed(c api.Cosigned) error {
	n.printing.Lock()
	defer n.printing.Unlock()
	if n.conflict.Load() != nil {
		return nil
	}
	old, err := n.files.Get(tilelog.AgreedPath)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := n.publisher.Storage.PutCheckpoint(tilelog.AgreedPath, old, []byte(lamppost.JoinNotes(c.Notes()))); err != nil {
		return fmt.Errorf("publishing the checkpoint that a quorum signed: %w", err)
	}
	n.agreed.Store(&c)
	return nil
}

// A signedBy is a member's checkpoint.
type signedBy struct {
	lamppost.Checkpoint
	member lamppost.MemberID
	note   string
	err    error
}

// askCheckpoint asks a member until it has published as much, and reads what it signed. What else the note says is left out: with a
// line that nobody can check no receipt made of it would hold.
func (n *Node) askCheckpoint(ctx context.Context, m lamppost.Member, size int64) signedBy {
	failed := func(format string, args ...any) signedBy {
		return signedBy{member: m.ID, err: fmt.Errorf(format, args...)}
	}
	v, err := note.NewVerifier(audit.VerifierKey(n.cfg.Network, m))
	if err != nil {
		return failed("the key of %q: %w", m.ID, err)
	}
	for {
		text, status, err := n.askMember(ctx, m.ID, m.URL, "/api/checkpoints/"+strconv.FormatInt(size, 10))
		switch {
		case err != nil:
			return failed("asking %q: %w", m.ID, err)
		case status == http.StatusOK:
			theirs, sigs, err := lamppost.OpenCheckpoint([]byte(text), note.VerifierList(v))
			if err != nil {
				return failed("what %q signed is no checkpoint: %w", m.ID, err)
			}
			if theirs.Size != size {
				return failed("%q was asked for %d entries and signed %d", m.ID, size, theirs.Size)
			}
			own, err := lamppost.SignedNote(theirs.Text(), sigs...)
			return signedBy{theirs, m.ID, string(own), err}
		case status != http.StatusServiceUnavailable && status != http.StatusConflict:
			return failed("asking %q: status %d", m.ID, status)
		}
		select {
		case <-ctx.Done():
			return failed("%q has not published %d entries", m.ID, size)
		case <-time.After(agreeEvery / 2):
		}
	}
}

// watchEvery is how often the other members are asked how they do.
const watchEvery = 2 * time.Second

// watchMembers asks the other members how they do, for people to see, what time it is, and where one may lie, whether its log is this
// one's: the quorum of a checkpoint does not need them all.
func (n *Node) watchMembers(ctx context.Context) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		var wg sync.WaitGroup
		var list []api.MemberState
		others := slices.DeleteFunc(slices.Clone(n.members()), func(m lamppost.Member) bool { return m.ID == n.cfg.Member })
		for _, m := range others {
			list = append(list, api.MemberState{ID: m.ID, URL: m.URL})
		}
		for i := range list {
			wg.Go(func() { n.lookAt(ctx, &list[i]); n.compare(ctx, others[i], list[i].Size) })
		}
		wg.Wait()
		n.others.Store(&list)
		n.tellClock()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// compare asks a member for its signature on the latest checkpoint of a quorum, if it has published as much.
func (n *Node) compare(ctx context.Context, m lamppost.Member, size int64) {
	c := n.agreed.Load()
	if !n.liars || c == nil || size < c.Size {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, watchEvery)
	defer cancel()
	if a := n.askCheckpoint(ctx, m, c.Size); a.err == nil && a.Root != c.Root {
		n.differs(a, c.Note)
	}
}

// lookAt asks one; of one that does not answer what it said last stays.
func (n *Node) lookAt(ctx context.Context, m *api.MemberState) {
	if old := n.others.Load(); old != nil {
		if i := slices.IndexFunc(*old, func(o api.MemberState) bool { return o.ID == m.ID }); i >= 0 {
			was := (*old)[i]
			m.Role, m.Height, m.Size, m.Certificate, m.Seen = was.Role, was.Height, was.Size, was.Certificate, was.Seen
		}
	}
	if m.URL == "" {
		m.Error = "the ledger has no address of its HTTP door"
		return
	}
	ctx, cancel := context.WithTimeout(ctx, watchEvery)
	defer cancel()
	text, status, err := n.askMember(ctx, m.ID, m.URL, "/api/member")
	var said api.MemberState
	if err == nil && (status != http.StatusOK || json.Unmarshal([]byte(text), &said) != nil || said.ID != m.ID) {
		err = fmt.Errorf("somebody else answers there, with status %d", status)
	}
	if err != nil {
		m.Error = err.Error()
		return
	}
	m.Role, m.Height, m.Size, m.Certificate, m.Seen = said.Role, said.Height, said.Size, said.Certificate, n.now()
	n.clocks.hear(m.ID, said.Seen)
}

// otherMembers is how they did when they were asked last.
func (n *Node) otherMembers() []api.MemberState {
	if list := n.others.Load(); list != nil {
		return slices.Clone(*list)
	}
	return []api.MemberState{}
}
