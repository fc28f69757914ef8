package node

import (
	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/ingest"
)

// How devices behave that speak to others than this node is seen by what these hand on. A gateway has authenticated its devices and says when
// each report came: its minutes are judged as if its door were here, however much later they come. Of what comes by a broker only that counts which
// the device alone can have signed.

// behind is what came by one gateway of its devices, in the minutes that are not over by its clock.
type behind struct {
	latest  lamppost.TimeMS // end of the latest minute of which something came
	closed  lamppost.TimeMS // what latest was when minutes were last ended
	devices map[lamppost.DeviceID]*behindDevice
}

type behindDevice struct {
	end   lamppost.TimeMS // of the minute that is counted
	tally ingest.Tally
}

// A pastMinute is what a device did in a minute that is over.
type pastMinute struct {
	id     lamppost.DeviceID
	end    lamppost.TimeMS
	counts ingest.Counts
}

// brokered is what counts the reports of a device that come by a broker of others; nil: the device does not sign them.
func (n *Node) brokered(id lamppost.DeviceID) *ingest.Tally {
	if v, enrolled := n.rep.Vouch(id); !enrolled || v.Assurance != lamppost.DeviceSigned {
		return nil
	}
	return n.behaviour.broker.Of(id).Tally
}

// tallyBehind counts what a segment of a gateway says of its devices, by the minutes in which the gateway received it, and judges the minutes that are over. A
// segment that was committed before is the gateway's doing, not the devices'.
func (n *Node) tallyBehind(gateway lamppost.MemberID, tx *lamppost.Transaction, outcomes []lamppost.Outcome) error {
	if !n.watchesDoors() || len(outcomes) != len(tx.Items) || allDuplicates(outcomes) {
		return nil
	}
	b, now := &n.behaviour, n.now()
	b.mu.Lock()
	defer b.mu.Unlock()
	g := b.gateway(gateway)
	var over []pastMinute
	var r lamppost.Report
	for i := range tx.Items {
		if !signedRightly(outcomes[i].Code) || r.Decode(tx.Items[i].Report) != nil {
			continue
		}
		if v, enrolled := n.rep.Vouch(r.Device); !enrolled || v.Assurance != lamppost.DeviceSigned {
			continue
		}
		d := g.device(r.Device, minuteEnd(min(tx.Items[i].Received, now)), &over)
		d.tally.Relayed(&r, len(tx.Items[i].Report), outcomes[i].Code)
	}
	g.close(&over)
	return n.judgePast(over)
}

func minuteEnd(at lamppost.TimeMS) lamppost.TimeMS {
	return at - at%behaviourMinuteMS + behaviourMinuteMS
}

func allDuplicates(outcomes []lamppost.Outcome) bool {
	for i := range outcomes {
		if outcomes[i].Code != lamppost.CodeDuplicate {
			return false
		}
	}
	return true
}

// signedRightly says whether a report with that outcome is the device's.
func signedRightly(code lamppost.Code) bool {
	switch code {
	case lamppost.CodeOK, lamppost.CodeDuplicate, lamppost.CodeTooOld, lamppost.CodeAhead, lamppost.CodeReused, lamppost.CodeFloatBilled, lamppost.CodeBadEvidence:
		return true
	}
	return false
}

// gateway is what came by a gateway. Called with the lock held, as all below.
func (b *behaviour) gateway(id lamppost.MemberID) *behind {
	g := b.behind[id]
	if g == nil {
		g = &behind{devices: map[lamppost.DeviceID]*behindDevice{}}
		b.behind[id] = g
	}
	return g
}

// device is the count of a device, whose minute before is over when a later one begins.
func (g *behind) device(id lamppost.DeviceID, end lamppost.TimeMS, over *[]pastMinute) *behindDevice {
	d := g.devices[id]
	if d == nil {
		d = &behindDevice{end: end}
		g.devices[lamppost.DeviceID([]byte(id))] = d // the id may be in a packet
	}
	if end > d.end {
		d.take(id, over)
		d.end = end
	}
	g.latest = max(g.latest, end)
	return d
}

func (d *behindDevice) take(id lamppost.DeviceID, over *[]pastMinute) {
	if c, some := d.tally.Take(); some {
		*over = append(*over, pastMinute{lamppost.DeviceID([]byte(id)), d.end, c})
	}
}

// close ends minutes that the gateway is well past, whenever it comes to a later one: what it sends is nearly in order.
func (g *behind) close(over *[]pastMinute) {
	if g.closed == g.latest {
		return
	}
	g.closed = g.latest
	for id, d := range g.devices {
		if d.end+behaviourMinuteMS < g.latest {
			d.take(id, over)
		}
	}
}

func (n *Node) judgePast(over []pastMinute) error {
	if len(over) == 0 {
		return nil
	}
	return n.judgeMinutes(func(each func(lamppost.DeviceID, *ingest.Counts, lamppost.TimeMS)) {
		for i := range over {
			each(over[i].id, &over[i].counts, over[i].end)
		}
	})
}
