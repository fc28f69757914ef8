//go:build !small

package comet

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/p2p/conn"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus"
)

// A hand gives a handover to members that are too far behind, and takes one if this member is; taker.go has that half. It is a reactor of
// comet's, so that a message is from whom the connection's key says. All that is not said to be another's belongs to run's goroutine.
type hand struct {
	p2p.BaseReactor
	cfg     *Config
	node    *node
	machine *machine
	events  chan event
	states  chan takenState
	wrote   chan *given
	find    func(p2p.ID) p2p.Peer // who is connected; nil: it is not

	wanted    atomic.Int64 // the block after which the App's state shall be taken; 0: none
	giving    atomic.Bool  // a file here holds this member's state
	receiving atomic.Bool  // or may hold another's
	after     atomic.Int64 // the last block after which a state was taken
	until     atomic.Int64 // when blocks after that one may be forgotten, in Unix seconds

	askers  map[p2p.ID]int64 // who asked for the state after which block
	given   *given           // nil: nothing is there to be sent
	writing int64            // the block after which it is being written down; 0: none is
	rested  time.Time        // before then none is taken

	taker
}

const (
	handChannel = byte(0x70) // comet's own end at 0x61

	handRest = 5 * time.Second  // between two handovers that are made
	handKept = 10 * time.Minute // how long one is kept for who asks no more, and all blocks after it for who begins with it
)

// An event is a message from a peer.
type event struct {
	from p2p.Peer
	message
}

// What members say to each other about handovers.
const (
	askHow     = 1 + iota // how far are you?
	sayHow                // Height is my last block, Base the first that I still have
	askState              // take your state after block Height
	sayPassed             // that cannot be: I stand at block Height; 0: I am busy with another
	sayTaking             // I have it, and write it down
	sayState              // it is this: Digest, Size, and in Data the votes for the block
	askPart               // send me what stands at Offset
	sayPart               // Data stands at Offset
	sayThanks             // I have all
	lastOfHand = sayThanks
)

// A message is one of these, in CBOR.
type message struct {
	Kind   uint8         `cbor:"1,keyasint"`
	Height int64         `cbor:"2,keyasint,omitempty"`
	Base   int64         `cbor:"3,keyasint,omitempty"`
	Digest lamppost.Hash `cbor:"4,keyasint"`
	Size   int64         `cbor:"5,keyasint,omitempty"`
	Offset int64         `cbor:"6,keyasint,omitempty"`
	Data   []byte        `cbor:"7,keyasint,omitempty"`
}

func readMessage(raw []byte) (m message, err error) {
	if len(raw) > handMessageBytes {
		return m, fmt.Errorf("a message of %d bytes", len(raw))
	}
	err = lamppost.Unmarshal(raw, &m)
	if err == nil && (m.Kind == 0 || m.Kind > lastOfHand || m.Height < 0 || m.Base < 0 || m.Size < 0 || m.Offset < 0) {
		err = fmt.Errorf("a message of kind %d about block %d", m.Kind, m.Height)
	}
	return m, err
}

// A takenState is the App's and comet's state after a block.
type takenState struct {
	*handover
	height int64
	app    io.ReadCloser
}

// A given handover is written down.
type given struct {
	height int64
	size   int64
	digest lamppost.Hash
	votes  []byte
	file   *os.File
	used   time.Time
	err    error
}

func newHand(n *node, m *machine) *hand {
	h := &hand{cfg: n.cfg, node: n, machine: m, events: make(chan event, handEvents), states: make(chan takenState, 1), wrote: make(chan *given, 1),
		askers: map[p2p.ID]int64{}}
	h.find = func(id p2p.ID) p2p.Peer { return h.Switch.Peers().Get(id) }
	h.BaseReactor = *p2p.NewBaseReactor("Handover", h)
	return h
}

// GetChannels implements p2p.Reactor. The p2p package wants protobuf: of comet's messages this one holds bytes.
func (h *hand) GetChannels() []*conn.ChannelDescriptor {
	return []*conn.ChannelDescriptor{{ID: handChannel, Priority: 1, SendQueueCapacity: 2 * handAhead, RecvMessageCapacity: handMessageBytes + 64,
		MessageType: &cmtproto.Data{}}}
}

// Receive implements p2p.Reactor. It waits for nobody: what is too much is dropped.
func (h *hand) Receive(e p2p.Envelope) {
	data, ok := e.Message.(*cmtproto.Data)
	if !ok || len(data.Txs) != 1 {
		return
	}
	m, err := readMessage(data.Txs[0])
	if err != nil {
		h.cfg.Log.Warn("a member's message cannot be read", "peer", e.Src.ID(), "err", err)
		return
	}
	select {
	case h.events <- event{e.Src, m}:
	default:
	}
}

func say(to p2p.Peer, m message) bool {
	return to.TrySend(p2p.Envelope{ChannelID: handChannel, Message: &cmtproto.Data{Txs: [][]byte{lamppost.Marshal(m)}}})
}

// run gives and takes until ctx is done or a handover has arrived.
func (h *hand) run(ctx context.Context) (arrived bool) {
	if _, ok := h.machine.app.(consensus.Snapshotter); !ok {
		<-ctx.Done()
		return false
	}
	h.drop() // what a crash left
	h.abandon()
	ctx, cancel := context.WithCancel(ctx)
	var writing sync.WaitGroup
	defer func() {
		cancel()
		writing.Wait()
		h.end()
	}()
	tick := time.NewTicker(handTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
			h.look()
			if at := h.wanted.Load(); at > 0 {
				h.machine.takeNow(at) // no block may follow it for long
			}
			if h.given != nil && time.Since(h.given.used) > handKept {
				h.drop()
			}
		case s := <-h.states:
			h.writing = s.height
			h.tell(s.height)
			writing.Go(func() { h.wrote <- h.write(ctx, s) })
		case g := <-h.wrote:
			h.written(g)
		case e := <-h.events:
			if h.on(e); h.done {
				return true
			}
		}
	}
}

// on answers a message.
func (h *hand) on(e event) {
	switch e.Kind {
	case askHow:
		base, height := h.reach()
		say(e.from, message{Kind: sayHow, Base: base, Height: height})
	case askState:
		h.asked(e)
	case askPart:
		h.send(e)
	case sayThanks:
		if h.given != nil && h.given.height == e.Height {
			delete(h.askers, e.from.ID())
			if !h.askedFor(e.Height) {
				h.drop()
			}
		}
	default:
		h.heard(e)
	}
}

// reach returns the first block that is here, and the last.
func (h *hand) reach() (base, height int64) {
	base, height = h.node.disk.blocks.Base(), h.node.disk.blocks.Height()
	if height == 0 { // none has come since this member began with the others' state, or at all
		if state, err := h.node.disk.states.Load(); err == nil {
			return state.LastBlockHeight + 1, state.LastBlockHeight
		}
	}
	return base, height
}

// asked notes who asks for a state. All give the one after the same block, so that their words can be compared.
func (h *hand) asked(e event) {
	_, height := h.reach()
	g, id := h.given, e.from.ID()
	switch {
	case g != nil && g.height == e.Height:
		h.askers[id] = e.Height
		h.offer(e.from)
	case h.writing == e.Height && e.Height > 0:
		h.askers[id] = e.Height
		h.tell(e.Height)
	case h.writing != 0, time.Now().Before(h.rested), g != nil && h.askedFor(g.height) && time.Since(g.used) < 2*handPatience:
		say(e.from, message{Kind: sayPassed})
	case e.Height < height || e.Height > height+maxHandLead:
		say(e.from, message{Kind: sayPassed, Height: height})
	default:
		h.drop()
		h.askers[id] = e.Height
		h.wanted.Store(e.Height)
		h.machine.takeNow(e.Height)
	}
}

// tell tells all who asked that the state after a block is being written down.
func (h *hand) tell(height int64) {
	for id, at := range h.askers {
		if p := h.find(id); p != nil && at == height {
			say(p, message{Kind: sayTaking, Height: height})
		}
	}
}

func (h *hand) askedFor(height int64) bool {
	for id, at := range h.askers {
		if at == height && h.find(id) != nil {
			return true
		}
	}
	return false
}

// write writes a handover into its file.
func (h *hand) write(ctx context.Context, s takenState) *given {
	defer context.AfterFunc(ctx, func() { s.app.Close() })()
	g := &given{height: s.height}
	h.giving.Store(true)
	g.file, g.err = os.Create(filepath.Join(h.cfg.Dir, givenFile))
	if g.err == nil {
		sum := sha256.New()
		g.err = s.writeTo(io.MultiWriter(g.file, sum), s.app)
		g.digest = lamppost.Hash(sum.Sum(nil))
	}
	if g.err = errors.Join(g.err, s.app.Close()); g.err == nil {
		g.size, g.err = g.file.Seek(0, io.SeekCurrent)
	}
	if seen := h.node.disk.blocks.LoadSeenCommit(s.height); seen != nil && g.err == nil {
		g.votes, g.err = seen.ToProto().Marshal()
	} else if commit := h.node.disk.blocks.LoadBlockCommit(s.height); commit != nil && g.err == nil {
		g.votes, g.err = commit.ToProto().Marshal()
	}
	return g
}

func (h *hand) written(g *given) {
	h.writing, h.given, g.used, h.rested = 0, g, time.Now(), time.Now().Add(handRest)
	if g.err != nil {
		h.cfg.Log.Error("writing the state for a member that is far behind", "err", g.err)
		h.drop()
		return
	}
	h.cfg.Log.Info("wrote the state for a member that is far behind", "block", g.height, "bytes", g.size)
	for id, at := range h.askers {
		if p := h.find(id); p != nil && at == g.height {
			h.offer(p)
		}
	}
}

func (h *hand) offer(to p2p.Peer) {
	say(to, message{Kind: sayState, Height: h.given.height, Digest: h.given.digest, Size: h.given.size, Data: h.given.votes})
}

func (h *hand) send(e event) {
	g := h.given
	if g == nil || g.height != e.Height || e.Offset > g.size {
		return
	}
	g.used = time.Now()
	part := make([]byte, min(handPartBytes, g.size-e.Offset))
	if _, err := g.file.ReadAt(part, e.Offset); err != nil {
		h.cfg.Log.Error("reading the state for a member that is far behind", "err", err)
		return
	}
	say(e.from, message{Kind: sayPart, Height: g.height, Offset: e.Offset, Data: part})
}

// drop removes what is given. What was erased may be in it.
func (h *hand) drop() {
	if h.given != nil && h.given.file != nil {
		h.given.file.Close()
	}
	h.given = nil
	if err := os.RemoveAll(filepath.Join(h.cfg.Dir, givenFile)); err != nil {
		h.cfg.Log.Error("removing the state for a member that was far behind", "err", err)
		return
	}
	h.giving.Store(false)
}

// needs says whether a block is needed by who begins with a state that was taken here.
func (h *hand) needs(height int64) bool {
	after := h.after.Load()
	return after > 0 && height > after && time.Now().Unix() < h.until.Load()
}

// end lets go of what is on its way when nothing writes any more.
func (h *hand) end() {
	select {
	case s := <-h.states:
		s.app.Close()
	default:
	}
	select {
	case h.given = <-h.wrote:
	default:
	}
	h.drop()
	h.abandon()
}

// takeState takes the App's state after a block, if it shall. It is called with mu held before the next block is applied.
func (m *machine) takeState(height int64) {
	if !m.prunes || height == 0 || m.hand.wanted.Load() != height || len(m.applied) > 0 {
		return
	}
	state, err := m.disk.states.Load()
	if err != nil || state.LastBlockHeight != height {
		return
	}
	m.hand.wanted.Store(0)
	m.hand.until.Store(time.Now().Add(handKept).Unix())
	m.hand.after.Store(height)
	last, from, err := m.app.(consensus.Snapshotter).Snapshot()
	if err != nil {
		m.cfg.Log.Error("taking the state for a member that is far behind", "err", err)
		return
	}
	h, err := newHandover(state, &m.disk, last.Cursor, m.roster.everybody())
	if err == nil {
		select {
		case m.hand.states <- takenState{h, height, from}:
			return
		default:
			err = errors.New("another one is waiting")
		}
	}
	m.cfg.Log.Error("taking the state for a member that is far behind", "err", errors.Join(err, from.Close()))
}

// takeNow takes it at once, if no block has come after this one.
func (m *machine) takeNow(height int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead == nil && m.done == height {
		m.takeState(height)
	}
}
