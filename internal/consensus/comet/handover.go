//go:build !small

package comet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/evidence"
	cmtstate "github.com/cometbft/cometbft/proto/tendermint/state"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	sm "github.com/cometbft/cometbft/state"
	"github.com/cometbft/cometbft/types"
	"github.com/cometbft/cometbft/version"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus"
)

// What a member that is too far behind begins again with is a handover: comet's state after a block, then the App's. Members that
// stand at the same block make the same bytes, so that their word on the digest can be compared. docs/formats.md has them.

const handoverMagic = "LPH1"

// A handover is what stands before the App's state.
type handover struct {
	_       struct{} `cbor:",toarray"`
	State   []byte   // comet's after the block, as protobuf
	Cursor  lamppost.Cursor
	Members []lamppost.Member // all there ever were, by name and key
	Past    []pastBlock       // those against which evidence may still come, the last first
}

// A pastBlock is what evidence about a block is judged by.
type pastBlock struct {
	_          struct{} `cbor:",toarray"`
	Meta       []byte   // its header, as protobuf
	Commit     []byte   // the votes for it, as protobuf; empty for the last one
	Validators []lamppost.Member
}

// newHandover describes comet's files after the block of a state, which is the last. What differs between members that agree is left
// out: the program's version, and since when validators and parameters are what they are.
func newHandover(state sm.State, d *stores, cursor lamppost.Cursor, members []lamppost.Member) (*handover, error) {
	at := state.LastBlockHeight
	state.Version.Software, state.LastHeightValidatorsChanged, state.LastHeightConsensusParamsChanged = "", at+2, at+1
	h := &handover{State: state.Bytes(), Cursor: cursor, Members: members}
	for height := at; height > 0; height-- {
		meta := d.blocks.LoadBlockMeta(height)
		if meta == nil || evidence.IsEvidenceExpired(at, state.LastBlockTime, height, meta.Header.Time, state.ConsensusParams.Evidence) {
			break
		}
		p, err := newPastBlock(meta, d, height == at)
		if err != nil {
			return nil, err
		}
		h.Past = append(h.Past, *p)
	}
	return h, nil
}

func newPastBlock(meta *types.BlockMeta, d *stores, last bool) (p *pastBlock, err error) {
	p = &pastBlock{}
	if p.Meta, err = meta.ToProto().Marshal(); err != nil {
		return nil, err
	}
	if commit := d.blocks.LoadBlockCommit(meta.Header.Height); commit != nil && !last {
		if p.Commit, err = commit.ToProto().Marshal(); err != nil {
			return nil, err
		}
	}
	validators, err := d.states.LoadValidators(meta.Header.Height)
	if err != nil {
		return nil, err
	}
	for _, v := range validators.Validators {
		p.Validators = append(p.Validators, lamppost.Member{Key: v.PubKey.Bytes()})
	}
	return p, nil
}

func (h *handover) writeTo(to io.Writer, app io.Reader) error {
	raw := lamppost.Marshal(h)
	head := binary.BigEndian.AppendUint32([]byte(handoverMagic), uint32(len(raw)))
	if _, err := to.Write(append(head, raw...)); err != nil {
		return err
	}
	_, err := io.Copy(to, app)
	return err
}

// readHandover reads what stands before the App's state, which follows in from.
func readHandover(from io.Reader) (*handover, error) {
	var head [len(handoverMagic) + 4]byte
	if _, err := io.ReadFull(from, head[:]); err != nil {
		return nil, fmt.Errorf("a handover: %w", err)
	}
	size := binary.BigEndian.Uint32(head[len(handoverMagic):])
	if string(head[:len(handoverMagic)]) != handoverMagic || size > maxHandoverBytes {
		return nil, fmt.Errorf("a handover begins with %q and at most %d bytes of comet's, not %q", handoverMagic, maxHandoverBytes, head)
	}
	raw := make([]byte, size)
	if _, err := io.ReadFull(from, raw); err != nil {
		return nil, fmt.Errorf("a handover: %w", err)
	}
	h := &handover{}
	if err := lamppost.Unmarshal(raw, h); err != nil {
		return nil, fmt.Errorf("a handover: %w", err)
	}
	return h, nil
}

// state reads comet's state.
func (h *handover) state() (sm.State, error) {
	pb := new(cmtstate.State)
	if err := pb.Unmarshal(h.State); err != nil {
		return sm.State{}, fmt.Errorf("comet's state: %w", err)
	}
	state, err := sm.FromProto(pb)
	if err != nil {
		return sm.State{}, fmt.Errorf("comet's state: %w", err)
	}
	state.Version.Software = version.TMCoreSemVer
	return *state, nil
}

// check refuses a handover that is not of a network after a height, or whose last block two thirds of the validators did not sign. That
// the rest is true is the word of as many members as one of them must be honest.
func (h *handover) check(network string, height int64, seen []byte) error {
	state, err := h.state()
	if err != nil {
		return err
	}
	if state.ChainID != network || state.LastBlockHeight != height || state.LastValidators.IsNilOrEmpty() {
		return fmt.Errorf("the state is of network %q after block %d, not %q after %d", state.ChainID, state.LastBlockHeight, network, height)
	}
	commit, err := readCommit(seen)
	if err != nil {
		return err
	}
	return state.LastValidators.VerifyCommit(network, state.LastBlockID, height, commit)
}

func readCommit(raw []byte) (*types.Commit, error) {
	pb := new(cmtproto.Commit)
	if err := pb.Unmarshal(raw); err != nil {
		return nil, fmt.Errorf("the votes for a block: %w", err)
	}
	return types.CommitFromProto(pb)
}

// begin fills empty files so that comet goes on after the handover's block. The state, which says that all is there, is written last.
func (n *node) begin(h *handover, seen []byte) error {
	state, err := h.state()
	if err != nil {
		return err
	}
	commit, err := readCommit(seen)
	if err != nil {
		return err
	}
	if err := n.disk.blocks.SaveSeenCommit(state.LastBlockHeight, commit); err != nil {
		return err
	}
	blocks, states := n.databases[0].NewBatch(), n.databases[1].NewBatch()
	defer blocks.Close()
	defer states.Close()
	for i := range h.Past {
		at := state.LastBlockHeight - int64(i)
		validators, err := h.Past[i].validators(at)
		if err != nil {
			return err
		}
		// Comet has no call for these; the keys are those of store.BlockStore and of state.dbStore.
		err = errors.Join(blocks.Set(fmt.Appendf(nil, "H:%v", at), h.Past[i].Meta), states.Set(fmt.Appendf(nil, "validatorsKey:%v", at), validators))
		if len(h.Past[i].Commit) > 0 {
			err = errors.Join(err, blocks.Set(fmt.Appendf(nil, "C:%v", at), h.Past[i].Commit))
		}
		if err != nil {
			return err
		}
	}
	if err := errors.Join(states.Set(rosterKey, lamppost.Marshal(h.Members)), blocks.WriteSync(), states.WriteSync()); err != nil {
		return err
	}
	return n.disk.states.Bootstrap(state)
}

// validators is the record of comet's database of states for the height.
func (p *pastBlock) validators(at int64) ([]byte, error) {
	var all []*types.Validator
	for _, v := range p.Validators {
		if len(v.Key) != ed25519.PubKeySize {
			return nil, fmt.Errorf("a validator's key of %d bytes", len(v.Key))
		}
		all = append(all, types.NewValidator(ed25519.PubKey(v.Key), power))
	}
	set, err := types.NewValidatorSet(all).ToProto()
	if err != nil {
		return nil, err
	}
	return (&cmtstate.ValidatorsInfo{ValidatorSet: set, LastHeightChanged: at}).Marshal()
}

// Files of a handover in the engine's folder.
const (
	givenFile   = "handover.out"   // being sent
	takenFile   = "handover.in"    // being received
	votesFile   = "handover.votes" // for the last block, of who sent it
	arrivedFile = "handover"       // whole and believed, until App and comet have begun with it
)

// An arrival is a handover that is whole and believed.
type arrival struct {
	*handover
	*os.File // at the App's state
	seen     []byte
}

// arrive gives what was received, and is durable, its name.
func arrive(dir string, seen []byte) error {
	votes, err := os.Create(filepath.Join(dir, votesFile))
	if err != nil {
		return err
	}
	_, err = votes.Write(seen)
	if err = errors.Join(err, votes.Sync(), votes.Close()); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(dir, takenFile), filepath.Join(dir, arrivedFile)); err != nil {
		return err
	}
	return syncDir(dir)
}

// openArrival opens what arrived, nil if nothing has.
func openArrival(dir string) (*arrival, error) {
	f, err := os.Open(filepath.Join(dir, arrivedFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	a := &arrival{File: f}
	if a.seen, err = os.ReadFile(filepath.Join(dir, votesFile)); err == nil {
		a.handover, err = readHandover(f)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("comet: %q, which can be removed: %w", f.Name(), err), f.Close())
	}
	return a, nil
}

// takeArrival lets App and comet begin with what arrived, if something has. Each step may be done twice: a crash in between is no harm.
func (e *Engine) takeArrival() error {
	a, err := openArrival(e.cfg.Dir)
	if err != nil || a == nil {
		return err
	}
	defer a.Close()
	state, err := a.state()
	if err != nil {
		return err
	}
	app, ok := e.app.(consensus.Snapshotter)
	if !ok {
		return errors.New("comet: the ledger cannot begin with another member's state")
	}
	if e.app.Last().Cursor < a.Cursor {
		if err := app.Restore(a, lamppost.Hash(state.AppHash)); err != nil {
			return fmt.Errorf("comet: taking over %q: %w", a.Name(), err)
		}
	}
	last := e.app.Last()
	if last.Cursor != a.Cursor || !bytes.Equal(last.Root[:], state.AppHash) {
		return fmt.Errorf("comet: the ledger stands at cursor %d with root %v, %q at %d with %x", last.Cursor, last.Root, a.Name(), a.Cursor, state.AppHash)
	}
	if err := e.beginWith(a); err != nil {
		return err
	}
	e.pool.jumped(last)
	e.cfg.Log.Info("began again with the state of the other members", "height", last.Height, "block", state.LastBlockHeight)
	return e.dropArrival()
}

func (e *Engine) beginWith(a *arrival) error {
	for _, name := range []string{dataDir, walDir} {
		if err := os.RemoveAll(filepath.Join(e.cfg.Dir, name)); err != nil {
			return err
		}
	}
	n := &node{cfg: &e.cfg, log: logger{e.cfg.Log, e.fail}}
	defer n.close()
	if err := n.openStores(); err != nil {
		return err
	}
	return n.begin(a.handover, a.seen)
}

func (e *Engine) dropArrival() error {
	for _, name := range []string{arrivedFile, votesFile} {
		if err := os.RemoveAll(filepath.Join(e.cfg.Dir, name)); err != nil {
			return err
		}
	}
	return syncDir(e.cfg.Dir)
}
