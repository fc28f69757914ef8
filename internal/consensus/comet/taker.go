//go:build !small

package comet

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/cometbft/cometbft/p2p"

	"github.com/lamppost/lamppost"
)

// A taker asks the others for a handover when they no longer have the blocks that this member lacks. It believes what more members
// than may lie say alike: of those that this member's ledger knows, each by its connection.
type taker struct {
	height int64              // of the last look
	stood  int                // looks without a new block
	told   bool               // people were told that blocks are missing
	others map[p2p.ID]message // how far they say they are
	top    int64              // how far as many as must agree were at the last look
	lead   int64              // how many blocks ahead the state is asked for
	want   int64              // the block after which it is; 0: none is asked for
	since  time.Time          // when it was asked for, or a part of it came
	taking map[p2p.ID]bool    // who has it
	passed map[p2p.ID]bool    // who cannot take it
	missed bool               // since it has blocks after that one
	words  map[p2p.ID]message // who says what it is
	from   []p2p.ID           // who sends it, the first now, the others if that one fails
	word   message            // what it must be
	file   *os.File           // what came
	sum    hash.Hash          // of that
	got    int64              // bytes
	sought int64              // bytes that were asked for
	done   bool               // it has arrived
}

const (
	handTick     = 500 * time.Millisecond
	handStood    = 4                // looks
	handPatience = 5 * time.Second  // for members to reach a block, and for a part
	handWriting  = 30 * time.Minute // for members to write a state down

	minHandLead, maxHandLead = 4, 256
)

// trusted are the members that are connected and whose words count, by the keys in this member's own ledger, and how many of them must
// say the same.
func (h *hand) trusted() (peers map[p2p.ID]p2p.Peer, need int) {
	members := h.node.roster.members()
	peers = map[p2p.ID]p2p.Peer{}
	for _, m := range members {
		if p := h.find(nodeID(m.Key)); p != nil && m.ID != h.cfg.Member {
			peers[p.ID()] = p
		}
	}
	return peers, lamppost.Comet.Quorum(len(members))
}

// look goes on with what is due.
func (h *hand) look() {
	_, height := h.reach()
	if height > h.height {
		h.height, h.stood, h.told = height, 0, false
		if h.want != 0 {
			h.abandon()
		}
		return
	}
	h.stood++
	peers, need := h.trusted()
	switch {
	case h.file != nil:
		if time.Since(h.since) > handPatience {
			h.next("it sends nothing")
		}
	case h.want == 0:
		h.consider(peers, need)
	case len(h.taking) < need && time.Since(h.since) > handPatience:
		h.retry()
	case time.Since(h.since) > handWriting:
		h.abandon()
	}
}

// consider asks the others how far they are, and begins when as many as must agree have forgotten the next block. As long as blocks come
// from anybody, nothing is asked for.
func (h *hand) consider(peers map[p2p.ID]p2p.Peer, need int) {
	var heights []int64
	forgot := 0
	for id := range peers {
		if how, ok := h.others[id]; ok {
			heights = append(heights, how.Height)
			if how.Base > h.height+1 {
				forgot++
			}
		}
	}
	h.others = map[p2p.ID]message{}
	for _, p := range peers {
		say(p, message{Kind: askHow})
	}
	if len(heights) < need {
		return
	}
	slices.Sort(heights)
	top, moved := heights[len(heights)-need], false // one of the honest is as far
	h.top, moved = top, top > h.top
	if forgot < need || h.stood < handStood {
		return
	}
	if h.want = top; moved {
		h.lead = max(h.lead, minHandLead)
		h.want += h.lead
	}
	h.since, h.missed = time.Now(), false
	h.taking, h.passed, h.words = map[p2p.ID]bool{}, map[p2p.ID]bool{}, map[p2p.ID]message{}
	if !h.told {
		h.told = true
		h.cfg.Log.Info("the others have forgotten the blocks that are missing here: asking for their state", "block", h.height)
	}
	for _, p := range peers {
		say(p, message{Kind: askState, Height: h.want})
	}
}

// retry asks anew, for a block further ahead if that was too near.
func (h *hand) retry() {
	if h.want = 0; h.missed {
		h.lead = min(2*h.lead, maxHandLead)
	} else { // they are busy, or do not come that far
		h.stood = 0
	}
}

// heard takes an answer.
func (h *hand) heard(e event) {
	id := e.from.ID()
	peers, need := h.trusted()
	if peers[id] == nil {
		return
	}
	switch {
	case e.Kind == sayHow:
		if h.others != nil {
			h.others[id] = e.message
		}
	case e.Kind == sayPassed && h.want != 0 && h.file == nil && (e.Height == 0 || e.Height > h.want):
		h.passed[id] = true
		h.missed = h.missed || e.Height > 0
		if len(peers)-len(h.passed) < need {
			h.retry()
		}
	case e.Height != h.want || h.want == 0:
	case e.Kind == sayTaking:
		h.taking[id] = true
	case e.Kind == sayState && h.file == nil:
		h.taking[id], h.words[id] = true, e.message
		h.count(e.message, need)
	case e.Kind == sayPart && h.file != nil && len(h.from) > 0 && id == h.from[0]:
		h.part(e.message)
	}
}

// count begins to take a handover when enough members say alike what it is.
func (h *hand) count(word message, need int) {
	var alike []p2p.ID
	for id, w := range h.words {
		if w.Digest == word.Digest && w.Size == word.Size {
			alike = append(alike, id)
		}
	}
	if len(alike) < need {
		return
	}
	h.from, h.word = alike, word
	h.open()
}

// open begins to receive from the first of those who have it.
func (h *hand) open() {
	f, err := os.Create(filepath.Join(h.cfg.Dir, takenFile))
	if err != nil {
		h.cfg.Log.Error("receiving the state of another member", "err", err)
		h.abandon()
		return
	}
	h.receiving.Store(true)
	h.file, h.sum, h.got, h.sought, h.since = f, sha256.New(), 0, 0, time.Now()
	h.more()
}

// more asks for parts, some before the former have come.
func (h *hand) more() {
	p := h.find(h.from[0])
	for p != nil && h.sought < h.word.Size && h.sought < h.got+handAhead*handPartBytes {
		if !say(p, message{Kind: askPart, Height: h.want, Offset: h.sought}) {
			return
		}
		h.sought += handPartBytes
	}
}

// part takes the next part. They come in the order they were asked for.
func (h *hand) part(m message) {
	if m.Offset != h.got || len(m.Data) == 0 || h.got+int64(len(m.Data)) > h.word.Size {
		return
	}
	if _, err := io.MultiWriter(h.file, h.sum).Write(m.Data); err != nil {
		h.cfg.Log.Error("receiving the state of another member", "err", err)
		h.abandon()
		return
	}
	h.got, h.since = h.got+int64(len(m.Data)), time.Now()
	if h.got < h.word.Size {
		h.more()
		return
	}
	if err := h.accept(); err != nil {
		h.next(err.Error())
	}
}

// accept makes what came durable if it is what enough members say it is, and two thirds of its validators signed its block.
func (h *hand) accept() error {
	if lamppost.Hash(h.sum.Sum(nil)) != h.word.Digest {
		return errors.New("it sent something else than it said")
	}
	if _, err := h.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	got, err := readHandover(h.file)
	if err != nil {
		return err
	}
	if h.want <= h.height {
		return fmt.Errorf("the state after block %d is older than what is here, block %d", h.want, h.height)
	}
	var errs []error
	for _, w := range h.words {
		if err := got.check(h.cfg.Network, h.want, w.Data); err != nil {
			errs = append(errs, err)
			continue
		}
		if err := errors.Join(h.file.Sync(), h.file.Close(), arrive(h.cfg.Dir, w.Data)); err != nil {
			return err
		}
		h.file, h.done = nil, true
		for id := range h.words {
			if p := h.find(id); p != nil {
				say(p, message{Kind: sayThanks, Height: h.want})
			}
		}
		return nil
	}
	return errors.Join(errs...)
}

// next goes on with another of those who have it.
func (h *hand) next(why string) {
	h.cfg.Log.Warn("a member does not give the state that it said it has", "peer", h.from[0], "why", why)
	delete(h.words, h.from[0])
	from := h.from[1:]
	if len(from) == 0 {
		h.abandon()
		return
	}
	h.file.Close()
	h.from = from
	h.open()
}

// abandon forgets what was asked for, and what came of it.
func (h *hand) abandon() {
	if h.file != nil {
		h.file.Close()
		h.file = nil
	}
	h.want, h.from = 0, nil
	if err := os.RemoveAll(filepath.Join(h.cfg.Dir, takenFile)); err != nil {
		h.cfg.Log.Error("removing what came of another member's state", "err", err)
		return
	}
	h.receiving.Store(false)
}
