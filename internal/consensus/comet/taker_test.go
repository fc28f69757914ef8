//go:build !small

package comet

import (
	"bytes"
	"crypto/sha256"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	dbm "github.com/cometbft/cometbft-db"
	"github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/p2p/mock"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	sm "github.com/cometbft/cometbft/state"
	"github.com/cometbft/cometbft/types"
	"github.com/cometbft/cometbft/version"

	"github.com/lamppost/lamppost"
)

// A teller is a member that the taker hears: it has a key, and remembers what it is told.
type teller struct {
	*mock.Peer
	key  ed25519.PrivKey
	id   p2p.ID
	told []message
}

func (p *teller) ID() p2p.ID { return p.id }

func (p *teller) TrySend(e p2p.Envelope) bool {
	m, err := readMessage(e.Message.(*cmtproto.Data).Txs[0])
	p.told = append(p.told, m)
	return err == nil
}

// A bench is a taker of member "a" among four, none of which runs.
type bench struct {
	t     *testing.T
	h     *hand
	peers []*teller // "b", "c" and "d"
	keys  map[string]ed25519.PrivKey
}

const network = "net"

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, keys: map[string]ed25519.PrivKey{}}
	var members []lamppost.Member
	for _, id := range []string{"a", "b", "c", "d"} {
		key := ed25519.GenPrivKeyFromSecret([]byte(id))
		members = append(members, lamppost.Member{ID: lamppost.MemberID(id), Key: key.PubKey().Bytes()})
		b.keys[string(key.PubKey().Address())] = key
		if id != "a" {
			b.peers = append(b.peers, &teller{Peer: mock.NewPeer(nil), key: key, id: nodeID(key.PubKey().Bytes())})
		}
	}
	cfg := &Config{Member: "a", Dir: t.TempDir(), Network: network, Founders: members, Log: slog.New(slog.DiscardHandler)}
	n := &node{cfg: cfg}
	if err := n.openStores(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.close)
	var err error
	if n.roster, err = openRoster(dbm.NewMemDB(), members, nil); err != nil {
		t.Fatal(err)
	}
	b.h = newHand(n, &machine{cfg: cfg})
	b.h.find = func(id p2p.ID) p2p.Peer {
		for _, p := range b.peers {
			if p.id == id {
				return p
			}
		}
		return nil
	}
	return b
}

// handover makes what members give after a block, and the votes for it. Forge changes comet's state before it is written.
func (b *bench) handover(height int64, app string, forge func(*sm.State)) (file, votes []byte) {
	b.t.Helper()
	var all []*types.Validator
	for _, key := range b.keys {
		all = append(all, types.NewValidator(key.PubKey(), power))
	}
	set := types.NewValidatorSet(all)
	id := types.BlockID{Hash: bytes.Repeat([]byte{1}, 32), PartSetHeader: types.PartSetHeader{Total: 1, Hash: bytes.Repeat([]byte{2}, 32)}}
	state := sm.State{ChainID: network, InitialHeight: 1, LastBlockHeight: height, LastBlockID: id, LastBlockTime: time.Unix(1, 0).UTC(),
		Validators: set, NextValidators: set, LastValidators: set, ConsensusParams: *types.DefaultConsensusParams(), AppHash: bytes.Repeat([]byte{3}, 32)}
	state.Version.Software = version.TMCoreSemVer
	commit := &types.Commit{Height: height, BlockID: id}
	for i, v := range set.Validators {
		vote := cmtproto.Vote{Type: cmtproto.PrecommitType, Height: height, BlockID: id.ToProto(), Timestamp: time.Unix(2, 0).UTC(), ValidatorAddress: v.Address, ValidatorIndex: int32(i)}
		sig, err := b.keys[string(v.Address)].Sign(types.VoteSignBytes(network, &vote))
		if err != nil {
			b.t.Fatal(err)
		}
		commit.Signatures = append(commit.Signatures, types.CommitSig{BlockIDFlag: types.BlockIDFlagCommit, ValidatorAddress: v.Address, Timestamp: vote.Timestamp, Signature: sig})
	}
	if forge != nil {
		forge(&state)
	}
	d := &stores{blocks: b.h.node.disk.blocks, states: b.h.node.disk.states}
	made, err := newHandover(state, d, 7, b.h.node.roster.everybody())
	if err != nil {
		b.t.Fatal(err)
	}
	var out bytes.Buffer
	if err := made.writeTo(&out, strings.NewReader(app)); err != nil {
		b.t.Fatal(err)
	}
	votes, err = commit.ToProto().Marshal()
	if err != nil {
		b.t.Fatal(err)
	}
	return out.Bytes(), votes
}

// begin makes the taker ask for the state after a block.
func (b *bench) begin(height int64) {
	b.t.Helper()
	for b.h.want == 0 {
		for _, p := range b.peers {
			b.h.on(event{p, message{Kind: sayHow, Base: height - 2, Height: height}})
		}
		b.h.look()
	}
	if b.h.want != height {
		b.t.Fatalf("the state after block %d is asked for, want %d", b.h.want, height)
	}
}

// says lets a member say what its handover is.
func (p *teller) says(b *bench, height int64, file, votes []byte) {
	b.h.on(event{p, message{Kind: sayState, Height: height, Digest: sha256.Sum256(file), Size: int64(len(file)), Data: votes}})
}

// sends lets a member answer all that it was asked, with parts of a file.
func (p *teller) sends(b *bench, file []byte) {
	for len(p.told) > 0 && !b.h.done {
		m := p.told[0]
		if p.told = p.told[1:]; m.Kind == askPart {
			b.h.on(event{p, message{Kind: sayPart, Height: m.Height, Offset: m.Offset, Data: file[m.Offset:min(m.Offset+handPartBytes, int64(len(file)))]}})
		}
	}
}

// arrived returns the App's part of what arrived.
func (b *bench) arrived() string {
	b.t.Helper()
	a, err := openArrival(b.h.cfg.Dir)
	if err != nil || a == nil {
		b.t.Fatalf("what arrived: %v, %v", a, err)
	}
	defer a.Close()
	app, err := io.ReadAll(a)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(app)
}

// What two of four say alike is taken, from whichever of them gives it, however large it is.
func TestTake(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.begin(50)
	app := strings.Repeat("the true state ", 1<<18)
	file, votes := b.handover(50, app, nil)
	b.peers[0].says(b, 50, file, votes)
	if b.h.file != nil {
		t.Fatal("one member's word is enough")
	}
	b.peers[2].says(b, 50, file, votes)
	for _, p := range b.peers {
		p.sends(b, file)
	}
	if !b.h.done || b.arrived() != app {
		t.Fatal("what two members gave alike did not arrive")
	}
}

// One that lies cannot hand over another state, an older one, or one with votes that nobody gave; and what it sends instead of what it
// said is thrown away. The honest are heard all the same.
func TestLiar(t *testing.T) {
	t.Parallel()
	for name, lie := range map[string]func(b *bench, liar *teller, file, votes []byte){
		"another state": func(b *bench, liar *teller, file, votes []byte) {
			forged, _ := b.handover(50, "a forged state", nil)
			for range 3 { // it may say so often
				liar.says(b, 50, forged, votes)
			}
			liar.sends(b, forged)
		},
		"another state of comet's": func(b *bench, liar *teller, file, votes []byte) {
			forged, _ := b.handover(50, "the true state", func(s *sm.State) { s.AppHash = make([]byte, 32) })
			liar.says(b, 50, forged, votes)
			liar.sends(b, forged)
		},
		"an old state": func(b *bench, liar *teller, file, votes []byte) {
			old, oldVotes := b.handover(10, "an old state", nil)
			liar.says(b, 10, old, oldVotes)
			liar.says(b, 50, old, oldVotes)
			liar.sends(b, old)
		},
		"something else than it said": func(b *bench, liar *teller, file, votes []byte) {
			liar.says(b, 50, file, votes)
			b.peers[1].says(b, 50, file, votes)
			b.h.from = []p2p.ID{liar.id, b.peers[1].id}
			b.h.open()
			other := bytes.Clone(file)
			other[len(other)-1] ^= 1 // in the App's part, which comet knows nothing of
			liar.sends(b, other)
		},
		"nothing": func(b *bench, liar *teller, file, votes []byte) {
			liar.says(b, 50, file, votes)
			b.peers[1].says(b, 50, file, votes)
			b.h.from = []p2p.ID{liar.id, b.peers[1].id}
			b.h.open()
			b.h.since = b.h.since.Add(-2 * handPatience)
			b.h.look()
		},
		"forged votes": func(b *bench, liar *teller, file, votes []byte) {
			spoilt := bytes.Clone(votes)
			spoilt[len(spoilt)-1] ^= 1
			liar.says(b, 50, file, spoilt)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.begin(50)
			file, votes := b.handover(50, "the true state", nil)
			lie(b, b.peers[0], file, votes)
			if b.h.done {
				t.Fatal("a lie was believed")
			}
			for _, p := range b.peers[1:] {
				p.says(b, 50, file, votes)
			}
			for range 2 {
				for _, p := range b.peers[1:] {
					p.sends(b, file)
				}
				b.peers[0].told = nil
				if b.h.look(); !b.h.done && b.h.file != nil && b.h.from[0] == b.peers[0].id {
					b.h.next("it is the liar")
				}
			}
			if !b.h.done || b.arrived() != "the true state" {
				t.Fatal("the true state did not arrive")
			}
		})
	}
}

// Who is no member here is not heard, however many say the same; and votes that were given by too few are not enough, whoever says
// that they are.
func TestStrangers(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.begin(50)
	file, votes := b.handover(50, "the true state", nil)
	for range 3 {
		key := ed25519.GenPrivKey()
		stranger := &teller{Peer: mock.NewPeer(nil), key: key, id: nodeID(key.PubKey().Bytes())}
		stranger.says(b, 50, file, votes)
	}
	if b.h.file != nil {
		t.Fatal("strangers were believed")
	}
	spoilt := bytes.Clone(votes)
	spoilt[len(spoilt)-1] ^= 1
	for _, p := range b.peers {
		p.says(b, 50, file, spoilt)
	}
	for _, p := range b.peers {
		p.sends(b, file)
	}
	if b.h.done {
		t.Fatal("a block that too few signed was believed")
	}
}

// As long as one more than may lie has not forgotten the next block, no state is asked for; nor while blocks come.
func TestBlocksBeforeStates(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for range 3 * handStood {
		for i, p := range b.peers {
			b.h.on(event{p, message{Kind: sayHow, Base: int64(1 + 40*(i/2)), Height: 50}}) // one says that the beginning is gone
		}
		b.h.look()
	}
	if b.h.want != 0 {
		t.Fatal("one member's word made this one ask for a state")
	}
}

// A message is read as it was written, and whatever comes ends in a message or an error.
func FuzzMessage(f *testing.F) {
	f.Add(lamppost.Marshal(message{Kind: sayState, Height: 7, Size: 9, Data: []byte("votes")}))
	f.Add([]byte{0xa1, 1, 1})
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := readMessage(raw)
		if err == nil && !bytes.Equal(lamppost.Marshal(m), raw) {
			t.Errorf("%x is read as %+v, which is written %x", raw, m, lamppost.Marshal(m))
		}
	})
}

// Whatever stands in a handover ends in one or in an error.
func FuzzHandover(f *testing.F) {
	var good bytes.Buffer
	h := handover{State: []byte("state"), Cursor: 3, Members: []lamppost.Member{{ID: "a", Key: make([]byte, 32)}}, Past: []pastBlock{{Meta: []byte("meta")}}}
	if err := h.writeTo(&good, strings.NewReader("app")); err != nil {
		f.Fatal(err)
	}
	f.Add(good.Bytes())
	f.Fuzz(func(t *testing.T, raw []byte) {
		h, err := readHandover(bytes.NewReader(raw))
		if err != nil {
			return
		}
		if _, err := h.state(); err == nil && len(h.State) == 0 {
			t.Errorf("a state of no bytes was read")
		}
		for i := range h.Past {
			h.Past[i].validators(1)
		}
	})
}

// A crash leaves nothing of a handover behind that was not whole.
func TestUnfinished(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.begin(50)
	file, votes := b.handover(50, strings.Repeat("x", 3*handAhead*handPartBytes), nil)
	b.peers[0].says(b, 50, file, votes)
	b.peers[1].says(b, 50, file, votes)
	if b.h.file == nil || !b.h.receiving.Load() {
		t.Fatal("nothing is being received")
	}
	b.h.abandon()
	if _, err := os.Stat(filepath.Join(b.h.cfg.Dir, takenFile)); !os.IsNotExist(err) || b.h.receiving.Load() {
		t.Errorf("what came is still there: %v", err)
	}
}
