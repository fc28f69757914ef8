package node

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/pilot"
	"github.com/lamppost/lamppost/internal/replica"
)

// The agents that this node runs: package pilot, fed with committed blocks, and ordering as this member.

func (n *Node) openAgents() (err error) {
	n.pilot, err = pilot.Open(pilot.Config{Member: n.cfg.Member, Records: n.store, Latest: n.live.Latest, Command: n.tellDevices, Kin: n.kin, Log: n.cfg.Log,
		Order: func(ctx context.Context, b *lamppost.DecisionsBody) (lamppost.Height, uint32, error) {
			d, err := n.Order(ctx, lamppost.TxDecisions, b)
			return d.Height, d.Index, err
		}})
	if err != nil {
		return err
	}
	erased, err := ledger.View{Reader: n.store}.Erasures() // a crash may have come between one and what follows from it
	if err != nil {
		return err
	}
	for i := range erased {
		if e := &erased[i]; e.Device != "" {
			if err := n.forgetDecisions(e.Device, e.Time); err != nil {
				return err
			}
		}
	}
	count := func(name, help string, value func(pilot.Counts) uint64) {
		n.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return float64(value(n.pilot.Counts())) }))
	}
	n.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "lamppost_agents", Help: "Agents that this node runs."}, func() float64 { return float64(n.pilot.Counts().Agents) }))
	count("lamppost_agent_decisions_total", "Decisions of this node's agents that stand on the ledger.", func(c pilot.Counts) uint64 { return c.Decisions })
	count("lamppost_agent_safe_total", "Decisions of them that were the safe rule.", func(c pilot.Counts) uint64 { return c.Safe })
	count("lamppost_agent_refused_total", "Decisions that the ledger does not take: stopped meanwhile, or beyond a spending limit.", func(c pilot.Counts) uint64 { return c.Refused })
	count("lamppost_agent_untold_total", "Actions that a device could not be told.", func(c pilot.Counts) uint64 { return c.Lost })
	return nil
}

// runAgents lets agents decide whenever a minute of the node's clock is over.
func (n *Node) runAgents(ctx context.Context) error {
	return n.pilot.Run(ctx, n.now, max(50*time.Millisecond, time.Duration(float64(time.Second)/max(1, n.cfg.Speed))))
}

// Take keeps and orders what agents in their devices' own controllers decided: see [pilot.Pilot.Take]. A node that ends takes nothing more.
func (n *Node) Take(ctx context.Context, made []pilot.Made) error {
	n.taking.RLock()
	defer n.taking.RUnlock()
	if n.taken {
		return errors.New("the node has ended")
	}
	return n.pilot.Take(ctx, n.now(), made)
}

// endTaking waits for ctx, and then for what is being taken.
func (n *Node) endTaking(ctx context.Context) error {
	<-ctx.Done()
	n.taking.Lock()
	defer n.taking.Unlock()
	n.taken = true
	return nil
}

// agentsHear hears what a block says of agents, or of what they go by.
func (n *Node) agentsHear(ev *replica.Event) error {
	for i, tx := range ev.Txs {
		switch tx.Type {
		case lamppost.TxAgent, lamppost.TxCharter, lamppost.TxDevice, lamppost.TxTariff, lamppost.TxCentre:
			n.pilot.Changed()
		case lamppost.TxErase:
			var b lamppost.EraseBody
			if !ev.Result.Outcomes[i][0].Code.Accepted() || lamppost.Unmarshal(tx.Order.Body, &b) != nil || b.Device == "" {
				continue
			}
			if err := n.forgetDecisions(b.Device, ev.Block.Time); err != nil {
				return err
			}
		}
	}
	return nil
}

// forgetDecisions forgets what a device's agent decided from before a time, and every other agent's that observed it.
func (n *Node) forgetDecisions(id lamppost.DeviceID, before lamppost.TimeMS) error {
	all, err := ledger.View{Reader: n.store}.Agents()
	if err != nil {
		return err
	}
	var observers []lamppost.DeviceID
	for i := range all {
		for _, in := range all[i].Inputs {
			if in.Device == id && all[i].Device != id {
				observers = append(observers, all[i].Device)
				break
			}
		}
	}
	return n.pilot.Erase(append(observers, id), before)
}

// decisionInputs is what a decision was made from, and what its outcome was computed from.
func (n *Node) decisionInputs(d *lamppost.Decision) (inputs, data []byte, err error) {
	e, err := pilot.ReadEvidence(n.store, d)
	return e.Inputs, e.Data, err
}

// telling bounds how many devices are told at once, and how long that may take.
const (
	telling     = 32
	tellTimeout = 20 * time.Second
)

// tellDevices orders what agents want of their devices as desired states: the guard of each has the last word. One that the ledger refuses is
// dropped; the next decision is told anew.
func (n *Node) tellDevices(ctx context.Context, all []pilot.Command) error {
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	var told sync.WaitGroup
	failed, room := make([]error, len(all)), make(chan struct{}, telling)
	for i := range all {
		room <- struct{}{}
		told.Go(func() {
			failed[i] = n.tellDevice(ctx, &all[i])
			<-room
		})
	}
	told.Wait()
	return errors.Join(failed...)
}

func (n *Node) tellDevice(ctx context.Context, c *pilot.Command) error {
	_, err := n.Order(ctx, lamppost.TxDesire, desireOf(c))
	var refusal *lamppost.Refusal
	if errors.As(err, &refusal) && (refusal.Code.Final() || refusal.Code == lamppost.CodeDuplicate) {
		n.cfg.Log.Warn("a device is not told what its agent decided", "device", c.Device, "decision", c.Decision, "why", refusal)
		return nil
	}
	return err
}

// desireOf is a command as an order: under the decision's id, so that it is the same however often it is told. Levels are whole, and rounded up: more light or
// water than was decided harms nobody.
func desireOf(c *pilot.Command) lamppost.DesireBody {
	b := lamppost.DesireBody{Device: c.Device, ID: c.Decision.String(), By: "agent", Reason: "decision " + c.Decision.String(), Mode: lamppost.ModeSafe}
	if c.Action == nil {
		return b
	}
	b.Mode, b.Until = lamppost.ModeBounded, c.Until
	v := c.Action.Value
	if c.Action.Unit == lamppost.Level {
		for v.Exponent < 0 {
			up := int64(0)
			if v.Mantissa%10 > 0 {
				up = 1
			}
			v = lamppost.Dec(v.Mantissa/10+up, v.Exponent+1)
		}
	}
	b.Set = lamppost.Setpoints{{Name: c.Function, Value: v, Unit: c.Action.Unit}}
	return b
}
