package pilot

import (
	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/agent"
)

// Chargers and storages of a site whose owners say a share, the W that they may draw together, trade: each offers, and each decides by the same offers
// (agent.Site). Whoever is told something new then, all of its site are: what was cleared together holds together.

// A market is where devices trade: at one site, by one tariff's price.
type market struct{ site, tariff, currency string }

func (m *member) market() market { return market{m.body.Site, m.terms.tariff, m.body.Currency} }

// shares reports whether a device's power is counted with that of others at its site.
func (m *member) shares() bool {
	return m.body.Site != "" && (m.body.Kind == lamppost.AgentCharger || m.body.Kind == lamppost.AgentStorage)
}

// trade gives all that trade what the others offer. The least share that one of them says counts.
func (p *Pilot) trade(inputs []*agent.Inputs) {
	markets := map[market][]int{}
	for i, m := range p.order {
		if m.shares() && m.terms.share > 0 {
			markets[m.market()] = append(markets[m.market()], i)
		}
	}
	for _, all := range markets {
		p.tradeAt(all, inputs)
	}
}

func (p *Pilot) tradeAt(all []int, inputs []*agent.Inputs) {
	limit, feed := int64(agent.MaxPower), int64(1000)
	traders := make([]*agent.Inputs, len(all))
	for k, i := range all {
		m := p.order[i]
		traders[k], limit = inputs[i], min(limit, m.terms.share)
		if m.body.Kind == lamppost.AgentStorage {
			feed = min(feed, m.terms.storage.Feed)
		}
	}
	agent.Trade(traders, limit, feed)
}

// join adds to the decisions that are to be ordered those of the same sites that are another by anything.
func (p *Pilot) join(made []lamppost.Decision, due []bool, now lamppost.TimeMS) {
	sites := map[string]bool{}
	for i, m := range p.order {
		if due[i] && m.shares() {
			sites[m.body.Site] = true
		}
	}
	for i, m := range p.order {
		if !due[i] && m.shares() && sites[m.body.Site] {
			last := &m.run.body // else it were due
			due[i] = now > last.At && made[i].Action.Value.Cmp(last.Action.Value) != 0
		}
	}
}
