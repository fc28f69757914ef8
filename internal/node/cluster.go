package node

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus"
	"github.com/lamppost/lamppost/internal/consensus/comet"
	"github.com/lamppost/lamppost/internal/consensus/raft"
	"github.com/lamppost/lamppost/internal/consensus/solo"
	"github.com/lamppost/lamppost/internal/folder"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/network"
)

// A node of several members: how it begins with the same block as the others, which of them it is, and what it does while it cannot
// commit.

// patience is how long a node waits for the others before it sends its devices to them: longer than most elections of raft take, and
// short enough that a leader which lost the others costs its devices 3 s at most, the time until it knows and until they are
// elsewhere included.
const patience = 1500 * time.Millisecond

// openNetwork reads the founding of several members, and which of them this folder is, if there is one.
func (n *Node) openNetwork() (err error) {
	if err := settleTurn(n.cfg.Data, n.store); err != nil {
		return fmt.Errorf("ending the turn to raft: %w", err)
	}
	if n.file, err = network.Read(filepath.Join(n.cfg.Data, folder.Network)); err != nil {
		return err
	}
	if n.card, err = network.ReadMember(filepath.Join(n.cfg.Data, folder.Card)); err != nil || n.file == nil {
		return err
	}
	if n.cfg.Network = or(n.cfg.Network, n.file.Network); n.cfg.Network != n.file.Network {
		return fmt.Errorf("%q is the founding of network %q, not %q: leave the name out", folder.Network, n.file.Network, n.cfg.Network)
	}
	return nil
}

// net is what the network is now.
func (n *Node) net() (lamppost.Network, error) { return ledger.View{Reader: n.store}.Network() }

// seat finds which member this folder's key is.
func (n *Node) seat(members []lamppost.Member) (lamppost.MemberID, bool) {
	for _, m := range members {
		if string(m.Key) == string(n.key.Public().Bytes()) {
			return m.ID, true
		}
	}
	return "", false
}

// join makes this node one that is no member yet, or not any more: it takes the blocks of the others, and nothing from devices.
func (n *Node) join() error {
	if n.file == nil || n.card == nil {
		return fmt.Errorf("the key in %q is no member's: was member.key replaced?", filepath.Join(n.cfg.Data, folder.MemberKey))
	}
	if n.cfg.Member = or(n.cfg.Member, n.card.ID); n.cfg.Member != n.card.ID {
		return fmt.Errorf("this folder's card is of member %q, not %q", n.card.ID, n.cfg.Member)
	}
	n.outside.Store(true)
	n.cfg.Log.Info("this node is no member yet: let it in with lamppost member add, at as many members as must agree", "member", n.cfg.Member)
	return nil
}

// moved looks whether a block made this node a member, or took it out.
func (n *Node) moved(members []lamppost.Member) {
	if n.file == nil {
		return
	}
	_, inside := n.seat(members)
	if n.outside.Swap(!inside) == inside {
		n.cfg.Log.Info("the members have changed", "member", n.cfg.Member, "inside", inside)
	}
	if err := n.writePin(members); err != nil {
		n.cfg.Log.Error("writing the network's pin", "error", err)
	}
}

// openEngine makes what orders the network's transactions.
func (n *Node) openEngine() (consensus.Engine, error) {
	is, err := n.net()
	if err != nil {
		return nil, err
	}
	if err := is.CheckTrust(); err != nil {
		return nil, err
	}
	if n.file != nil && n.file.Turned != "" {
		is.Engine = lamppost.Raft // here the ledger says so too, once the state of the others has come
	}
	n.liars = is.Engine == lamppost.Comet
	n.openLinks()
	switch is.Engine {
	case lamppost.Solo:
		return solo.New(solo.Config{App: n.rep, View: n.rep, Member: n.cfg.Member, Now: n.now}), nil
	case lamppost.Raft:
		return n.openRaft(&is)
	case lamppost.Comet:
		return n.openComet()
	}
	return nil, fmt.Errorf("the network orders by %s, which this program cannot", is.Engine)
}

func (n *Node) openRaft(is *lamppost.Network) (consensus.Engine, error) {
	founding, err := ledger.View{Reader: n.store}.Founding()
	if err != nil {
		return nil, err
	}
	cfg := raft.Config{Network: n.cfg.Network, Member: n.cfg.Member, Dir: filepath.Join(n.cfg.Data, folder.Raft), Address: n.address, Now: n.clock, Log: n.cfg.Log,
		SnapshotEvery: n.cfg.ForgetEvery}
	for _, m := range founding.Members {
		cfg.Founders = append(cfg.Founders, m.ID)
	}
	if cfg.Listen, err = n.memberListen(); err != nil {
		return nil, err
	}
	cfg.TLS = func() (*tls.Config, error) { return n.links.Config() }
	return raft.New(cfg, standby{n.rep, n}, n.rep)
}

func (n *Node) openComet() (consensus.Engine, error) {
	founding, err := ledger.View{Reader: n.store}.Founding()
	if err != nil {
		return nil, err
	}
	if n.file == nil {
		return nil, fmt.Errorf("%q is not there, which says when the network was founded: put it back as it was", filepath.Join(n.cfg.Data, folder.Network))
	}
	cfg := comet.Config{Network: n.cfg.Network, Member: n.cfg.Member, Dir: filepath.Join(n.cfg.Data, folder.Comet), Key: ed25519.NewKeyFromSeed(n.key.Seed()),
		Founders: founding.Members, Founded: lamppost.TimeMS(n.file.Founded.UnixMilli()) + 1, Address: n.address, Keep: n.cfg.ForgetEvery, Now: n.now, Log: n.cfg.Log}
	if cfg.Listen, err = n.memberListen(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, err
	}
	return comet.New(cfg, standby{n.rep, n}, n.rep)
}

// members are those there are now.
func (n *Node) members() []lamppost.Member {
	is, err := n.net()
	if err != nil {
		n.cfg.Log.Error("reading who the members are", "error", err)
	}
	return is.Members
}

// address is where another member's engine is found.
func (n *Node) address(to lamppost.MemberID) string {
	if a := n.cfg.Peers[to]; a != "" {
		return a
	}
	for _, m := range n.members() {
		if m.ID == to {
			return m.Address
		}
	}
	return ""
}

// memberListen is where the other members find this one: at the port of its own address, on the same host if that is a number.
func (n *Node) memberListen() (string, error) {
	if n.cfg.MemberListen != "" {
		return n.cfg.MemberListen, nil
	}
	own := n.address(n.cfg.Member)
	if own == "" && n.card != nil {
		own = n.card.Address
	}
	host, port, err := net.SplitHostPort(own)
	if err != nil {
		return "", fmt.Errorf("the address %q of member %q is not host:port: say member_listen", own, n.cfg.Member)
	}
	if net.ParseIP(host) == nil {
		host = ""
	}
	return net.JoinHostPort(host, port), nil
}

// found commits the first block: the one that the network's file begins with, or a genesis with this node as the only member.
func (n *Node) found() error {
	b, err := n.first()
	if err != nil {
		return err
	}
	res, err := n.rep.Apply(b)
	if err != nil {
		return err
	}
	if err := res.Outcomes[0][0].Err(); err != nil {
		return err
	}
	_, err = n.rep.Commit()
	n.founded = err == nil
	return err
}

func (n *Node) first() (*lamppost.Block, error) {
	if n.file != nil {
		b, err := n.file.First()
		if err == nil && n.file.Engine == lamppost.Solo.String() {
			b.Cursor = 1
		}
		return b, err
	}
	n.cfg.Network, n.cfg.Member = or(n.cfg.Network, "lamppost"), or(n.cfg.Member, "node1")
	policy, err := lamppost.ParsePolicy(or(n.cfg.Verify, lamppost.VerifyFull.String()))
	if err != nil {
		return nil, err
	}
	body := lamppost.GenesisBody{Network: n.cfg.Network, Rules: 1, AdmitUnsigned: n.cfg.AdmitUnsigned, Verify: policy,
		Members: []lamppost.Member{{ID: n.cfg.Member, Key: n.key.Public().Bytes()}}}
	tx, err := n.sign(lamppost.TxGenesis, body)
	if err != nil {
		return nil, err
	}
	return &lamppost.Block{Height: 1, Time: n.now(), Cursor: 1, Proposer: n.cfg.Member, Txs: [][]byte{tx.Append(nil)}}, nil
}

// recognise checks that this folder holds the network and the seat that were asked for.
func (n *Node) recognise() error {
	if n.cfg.Network = or(n.cfg.Network, n.rep.Network()); n.cfg.Network != n.rep.Network() {
		return fmt.Errorf("%q holds network %q, not %q: choose another folder or leave the name out", n.cfg.Data, n.rep.Network(), n.cfg.Network)
	}
	if was := n.rep.Policy().String(); n.cfg.Verify != "" && n.cfg.Verify != was {
		return fmt.Errorf("network %q was founded with verify %q, which cannot be changed: leave it out, or say %q", n.cfg.Network, was, was)
	}
	id, inside := n.seat(n.rep.Last().Members)
	if !inside {
		return n.join()
	}
	if n.cfg.Member = or(n.cfg.Member, id); n.cfg.Member != id {
		return fmt.Errorf("this folder's key is member %q, not %q", id, n.cfg.Member)
	}
	return nil
}

// ready says why devices are better served elsewhere just now, or nothing.
func (n *Node) ready() error {
	switch s := n.engine.Status(); {
	case n.file == nil:
		return nil
	case n.conflict.Load() != nil:
		return errors.New("this member's log is contradicted")
	case n.outside.Load():
		return fmt.Errorf("%q is no member of the network", n.cfg.Member)
	case s.Leader == "" && s.Engine == lamppost.Raft.String():
		return errors.New("too few members are in reach to commit anything")
	case s.WaitedMS > lamppost.TimeMS(patience.Milliseconds()):
		return fmt.Errorf("nothing was committed for %d s", s.WaitedMS/1000)
	}
	return nil
}

// sendElsewhere sends the devices at the MQTT door to other members while nothing can be committed here.
func (n *Node) sendElsewhere(ctx context.Context) error {
	const look = 250 * time.Millisecond
	tick := time.NewTicker(look)
	defer tick.Stop()
	away, since := false, time.Now()
	for {
		why := n.ready()
		if why == nil {
			since = time.Now()
		}
		if late := time.Since(since) >= patience || n.outside.Load(); late != away && (late || why == nil) {
			away = late
			n.mqtt.SetAway(away)
			n.cfg.Log.Info("devices are sent to other members, or taken back", "away", away, "why", why)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
