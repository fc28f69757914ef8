package pilot

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/ledger"
)

// What the controller of a lamp or of a charger knows of each sample.
const (
	KnowsLamp    = knowsPrice | knowsTraffic | knowsDaylight | knowsActual
	KnowsCharger = knowsPrice | knowsActual
)

// Made is a decision that the agent made where it runs in its device's own controller: nobody is told anything.
type Made struct {
	Decision lamppost.Decision
	Inputs   []byte   // agent.Inputs, as committed to
	Samples  []Sample // of the time in which the decision before it held
}

// Take keeps what such decisions were made from and orders them, with what came of those before them. Of a device there is one. An error that is no
// *lamppost.Refusal says that some do not stand on the ledger: all may be given again.
func (p *Pilot) Take(ctx context.Context, now lamppost.TimeMS, made []Made) error {
	p.turn.Lock()
	defer p.turn.Unlock()
	all, err := p.dueOf(now, made)
	for part := range slices.Chunk(all, maxOrdered) {
		err = errors.Join(err, p.say(ctx, part))
	}
	p.told = nil // their controllers know
	for i := range all {
		if r := all[i].m.run; err == nil && (r == nil || r.body.At != all[i].body.At) {
			err = fmt.Errorf("the decision of %q could not be ordered", all[i].body.Device)
		}
	}
	return err
}

func (p *Pilot) dueOf(now lamppost.TimeMS, made []Made) (all []due, err error) {
	snap, err := p.cfg.Records.Snapshot()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, snap.Close()) }()
	v := ledger.View{Reader: snap}
	p.drop()
	unknown := func(x Made) bool { return p.crew[x.Decision.Device] == nil }
	if p.stale.Swap(false) || slices.ContainsFunc(made, unknown) {
		if err := p.refresh(v); err != nil {
			p.stale.Store(true)
			return nil, err
		}
	}
	for i := range made {
		d := &made[i].Decision
		m := p.crew[d.Device]
		if m == nil {
			return nil, lamppost.Refuse(lamppost.CodeUnknown, "device %q has no agent at this member", d.Device)
		}
		if m.run != nil && m.run.body.At == d.At {
			continue // given again
		}
		x := due{m: m, body: *d, inputs: made[i].Inputs}
		if m.run != nil {
			m.run.data.Samples = made[i].Samples
			x.end = m.run.over(d.At, &x)
		}
		if err := p.may(v, &x, now); err != nil {
			return nil, err
		}
		all = append(all, x)
	}
	return all, nil
}
