package node

import (
	"context"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/forecast"
	"github.com/lamppost/lamppost/internal/ingest"
	"github.com/lamppost/lamppost/internal/kv"
)

// A Part is one of the parts that RunStages runs.
type Part struct {
	Name string
	Run  func(context.Context) error
}

// RunStages runs parts as Run does with a node's.
func RunStages(ctx context.Context, parts ...Part) error {
	var s stages
	for _, p := range parts {
		s.add(p.Name, p.Run)
	}
	return s.run(ctx)
}

// SnapshotDue says whether a snapshot would be taken now.
func (n *Node) SnapshotDue() bool { return n.snapshotDue() }

// Height is that of the last block.
func (n *Node) Height() lamppost.Height { return n.rep.Last().Height }

// Propose puts a transaction before the engine as a member that lies would: whatever it is, under whatever id.
func (n *Node) Propose(ctx context.Context, id lamppost.TxID, raw []byte) error {
	_, err := n.engine.Propose(ctx, id, raw)
	return err
}

// Raw returns the transactions of a block.
func (n *Node) Raw(h lamppost.Height) (txs [][]byte) {
	for i := uint32(0); ; i++ {
		rec, err := n.archive().Tx(h, i)
		if err != nil {
			return txs
		}
		txs = append(txs, rec.Raw)
	}
}

// Members are those of the last block.
func (n *Node) Members() []lamppost.Member { return n.rep.Last().Members }

// OtherMembers is how they did when they were asked last.
func (n *Node) OtherMembers() []api.MemberState { return n.otherMembers() }

// Forgotten says whether the engine's files hold nothing that is in the ledger now.
func (n *Node) Forgotten() bool { return n.forgetter.Forgotten() >= n.rep.Last().Cursor }

// MiddleClock is the middle of this machine's clock and of those that were heard so long ago.
func MiddleClock(own lamppost.TimeMS, heard map[lamppost.MemberID]lamppost.TimeMS, ago time.Duration) lamppost.TimeMS {
	now := time.Now()
	c := clocks{heard: map[lamppost.MemberID]reading{}}
	for id, said := range heard {
		c.heard[id] = reading{said, now.Add(-ago)}
	}
	return c.middle(own, now)
}

// Behaved judges how devices behaved in the minute that is over on the node's clock.
func (n *Node) Behaved(ctx context.Context) error { return n.behaved(ctx, n.now()) }

// Store is the node's.
func (n *Node) Store() kv.Store { return n.store }

// Teach makes and orders this member's updates of its configured models.
func (n *Node) Teach(ctx context.Context) error {
	for i := range n.cfg.Learn {
		if err := n.teach(ctx, &n.cfg.Learn[i], n.now()); err != nil {
			return err
		}
	}
	return nil
}

// Kin is what members learnt together of a device's reading.
func (n *Node) Kin(id lamppost.DeviceID, reading string) (lamppost.Hash, []*forecast.Stats, error) {
	return n.kin(id, reading)
}

// TickAgents is a minute of this node's agents.
func (n *Node) TickAgents(ctx context.Context) error { return n.pilot.Tick(ctx, n.now()) }

// GatherAlarms has the notifier look at the ledger now.
func (n *Node) GatherAlarms() error { return n.notifier.Gather() }

// MessagesTold is how many messages the notifier has made.
func (n *Node) MessagesTold() uint64 { return n.notifier.Told() }

// BoundTriage lets so many verdicts wait before nothing more is judged, and orders of money wait for so long. With 0 nothing is judged.
func (n *Node) BoundTriage(most int, within time.Duration) {
	n.judging.change(func() { n.judging.most, n.judging.within = most, within })
}

// SaidAgo lets triage believe that it ordered something so long ago.
func (n *Node) SaidAgo(d time.Duration) {
	n.judging.change(func() { n.judging.saidAt = time.Now().Add(-d) })
}

// WaitingVerdicts are those that triage has still to order.
func (n *Node) WaitingVerdicts() int { return n.judging.state().Waiting }

// Tallied is of how many devices something was counted.
func (n *Node) Tallied() (devices int) {
	n.behaviour.origins.Take(func(lamppost.DeviceID, *ingest.Counts) { devices++ })
	return devices
}

// Latest is the latest reading of a name that the twin has.
func (n *Node) Latest(id lamppost.DeviceID, name string) (lamppost.Reading, bool) {
	return n.live.Latest(id, name)
}

// Interrupted returns a config whose turn ends before a step, as a crash would end it there.
func (c TurnConfig) Interrupted(step func(name string) error) TurnConfig {
	c.step = step
	return c
}

// Crash lets the folder go as the end of a process does.
func (t *Turn) Crash() error { return t.store.Close() }

// Is returns what the network is.
func (n *Node) Is() lamppost.Network {
	is, err := n.net()
	if err != nil {
		panic(err)
	}
	return is
}
