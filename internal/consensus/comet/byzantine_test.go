//go:build !small

package comet_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus"
	"github.com/lamppost/lamppost/internal/consensus/comet"
)

// Tests of four members of whom one, "d", lies. What they protect is always the same: the three others have one chain, it goes on, and
// nothing wrong is in it.

// lying starts four members, lets them agree once, and puts a liar in the place of the last one's signer.
func lying(t *testing.T, l comet.Liar) (honest []*seat, liar *seat) {
	t.Helper()
	all := seats(t, 4)
	for _, s := range all {
		s.start()
	}
	first := all[0].must("first")
	all[3].app.until(t, "first block", all[3].app.at(first.Height))
	if err := all[3].engine.Lie(l); err != nil {
		t.Fatal(err)
	}
	return all[:3], all[3]
}

// goOn orders so many transactions at the honest members, and wants the same blocks at all of them.
func goOn(t *testing.T, honest []*seat, n int) {
	t.Helper()
	var last consensus.Decision
	for i := range n {
		s := honest[i%len(honest)]
		last = s.must(fmt.Sprint(t.Name(), i, s.cfg.Member))
	}
	for _, s := range honest {
		s.app.until(t, "last block", s.app.at(last.Height))
	}
	sameBlocks(t, honest)
}

func other(id cmtproto.BlockID) cmtproto.BlockID {
	id.Hash = bytes.Repeat([]byte{7}, 32)
	id.PartSetHeader = cmtproto.PartSetHeader{Total: 1, Hash: bytes.Repeat([]byte{8}, 32)}
	return id
}

// A member that votes for two blocks of one height stands in a block as evidence, with every honest member.
func TestDoubleVotes(t *testing.T) {
	t.Parallel()
	honest, _ := lying(t, comet.Liar{Vote: func(v *cmtproto.Vote) *cmtproto.Vote {
		also := *v
		also.BlockID = other(v.BlockID)
		return &also
	}})
	accused := func(blocks []*lamppost.Block) bool {
		return slices.ContainsFunc(blocks, func(b *lamppost.Block) bool {
			return slices.ContainsFunc(b.Evidence, func(e lamppost.Evidence) bool { return e.Member == "d" && e.Kind == 1 })
		})
	}
	goOn(t, honest, 9)
	for end := time.Now().Add(patience); ; {
		honest[0].app.mu.Lock()
		found := accused(honest[0].app.blocks)
		honest[0].app.mu.Unlock()
		if found {
			break
		}
		if time.Now().After(end) {
			t.Fatal("nobody notices that a member votes twice")
		}
		goOn(t, honest, 3)
	}
	for _, s := range honest {
		s.app.until(t, "evidence", accused)
	}
	sameBlocks(t, honest)
}

// A member that proposes two blocks of one height, one of which nobody can ever see whole, costs its turns and nothing else.
func TestDoubleProposals(t *testing.T) {
	t.Parallel()
	honest, _ := lying(t, comet.Liar{Proposal: func(p *cmtproto.Proposal) *cmtproto.Proposal {
		also := *p
		also.BlockID = other(p.BlockID)
		return &also
	}})
	goOn(t, honest, 9)
}

// A member's wrong clock moves nobody's time: a block's is the median of what more than two thirds say.
func TestFalseTime(t *testing.T) {
	t.Parallel()
	for _, wrong := range []time.Duration{-24 * time.Hour, 24 * time.Hour} {
		t.Run(wrong.String(), func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			honest, _ := lying(t, comet.Liar{Vote: func(v *cmtproto.Vote) *cmtproto.Vote {
				v.Timestamp = v.Timestamp.Add(wrong)
				return nil
			}})
			goOn(t, honest, 12)
			for _, b := range honest[0].app.blocks {
				at := time.UnixMilli(int64(b.Time))
				if at.Before(began.Add(-time.Minute)) || at.After(time.Now().Add(time.Minute)) {
					t.Errorf("block %d is of %v", b.Height, at)
				}
			}
		})
	}
}

// A wrongApp comes to another root than everybody else.
type wrongApp struct{ *app }

func (a wrongApp) Apply(b *lamppost.Block) (*lamppost.Result, error) {
	r, err := a.app.Apply(b)
	if err == nil {
		r.Root[0] ^= 1
		a.app.mu.Lock()
		a.app.last.Root = r.Root
		a.app.mu.Unlock()
	}
	return r, err
}

// A member whose ledger says something else is alone with it: its blocks are refused, and its engine says why it ends.
func TestWrongRoot(t *testing.T) {
	t.Parallel()
	all := seats(t, 4)
	all[3].wraps = func(a *app) consensus.App { return wrongApp{a} }
	for _, s := range all {
		s.start()
	}
	goOn(t, all[:3], 9)
	if err := all[3].end(); err == nil || !strings.Contains(err.Error(), "AppHash") {
		t.Errorf("Run of the member with another root = %v", err)
	}
}

// Goal: what becomes of other bytes that somebody put behind a proposal's id is not told to who proposes; its own are ordered. Method:
// every member keeps the true transaction back until the forged one, which the liar submits, is in a block.
func TestForgedBehindAnId(t *testing.T) {
	t.Parallel()
	all := seats(t, 4)
	forged, honest := []byte("order|forged"), []byte("order|true")
	name := func(tx []byte) lamppost.TxID {
		id, _, _ := bytes.Cut(tx, []byte("|"))
		return idOf(id)
	}
	for _, s := range all {
		s.app.trace, s.app.name = false, name
		s.app.hold = func(tx []byte) bool {
			return bytes.Equal(tx, honest) && !slices.ContainsFunc(s.app.blocks, func(b *lamppost.Block) bool {
				return slices.ContainsFunc(b.Txs, func(tx []byte) bool { return bytes.Equal(tx, forged) })
			})
		}
		s.start()
	}
	all[0].must("first")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	answered := make(chan consensus.Decision, 1)
	go func() {
		d, err := all[0].engine.Propose(ctx, name(honest), honest)
		if err != nil {
			t.Error(err)
		}
		answered <- d
	}()
	if _, err := all[3].engine.Propose(ctx, name(forged), forged); err != nil {
		t.Fatal(err)
	}
	d := <-answered
	if d.Height == 0 {
		return
	}
	all[0].app.until(t, "block", all[0].app.at(d.Height))
	if b := all[0].app.blocks[d.Height-1]; !slices.ContainsFunc(b.Txs, func(tx []byte) bool { return bytes.Equal(tx, honest) }) {
		t.Errorf("Propose was answered with block %d, which has %q", d.Height, b.Txs)
	}
	goOn(t, all[:3], 3)
}

// Old and odd transactions from one member, again and again, take nobody's turn.
func TestReplays(t *testing.T) {
	t.Parallel()
	all := seats(t, 4)
	for _, s := range all {
		s.start()
	}
	honest, liar := all[:3], all[3]
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for i := 0; i < 40 && ctx.Err() == nil; i++ {
			liar.app.mu.Lock()
			var tx []byte
			if n := len(liar.app.blocks); n > 0 {
				tx = liar.app.blocks[i%n].Txs[0]
			}
			liar.app.mu.Unlock()
			turn, done := context.WithTimeout(ctx, 20*time.Millisecond)
			_, _ = liar.engine.Propose(turn, lamppost.TxID{byte(i), 1}, append([]byte{0, byte(i)}, tx...)) // whatever its own door says of it
			done()
		}
	}()
	goOn(t, honest, 9)
	cancel()
	<-ended
}
