package sim

import (
	"errors"
	"fmt"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/sig"
)

// found founds the network with its devices, before anything can fail.
func (w *world) found() {
	const hour = ledgertest.Hour
	b := &lamppost.Block{Height: 1, Time: w.now, Cursor: 1, Proposer: w.net.Member}
	add := func(tx *lamppost.Transaction) { b.Txs = append(b.Txs, tx.Append(nil)) }
	add(w.net.Order(0, lamppost.TxGenesis, w.genesis()))
	for i := range 3 {
		add(w.net.Order(w.now+hour, lamppost.TxParty, lamppost.PartyBody{ID: party(i), CreditLimit: 20 * lamppost.MicroUnit}))
	}
	add(w.net.Order(w.now+hour, lamppost.TxTariff, ledgertest.Tariff("t", 1, "p0", w.now, 300_000)))
	for i := range 6 {
		suite := sig.EdDSA
		if i == 3 {
			suite = sig.ES256
		}
		d := &device{Device: w.net.NewDevice(lamppost.DeviceID(fmt.Sprint("d", i)), suite), edge: w.now, atEdge: map[lamppost.TimeMS]int64{}, cold: i > 3}
		w.devices = append(w.devices, d)
		point := fmt.Sprint("o", i)
		add(w.net.Order(w.now+hour, lamppost.TxDevice, d.Body("p0")))
		if d.cold {
			continue
		}
		add(w.net.Order(w.now+hour, lamppost.TxPoint, lamppost.PointBody{ID: point, Device: d.ID, Register: "energy", Unit: "Wh"}))
		add(w.net.Order(w.now+hour, lamppost.TxAgreement, lamppost.AgreementBody{ID: fmt.Sprint("a", i), Seller: "p0", Buyer: party(1 + i%2),
			Point: point, Tariff: "t", From: w.now}))
	}
	first := w.members[0]
	open, err := replica.Open(replica.Config{Store: first.disk})
	if err != nil {
		w.violate("founding: %v", err)
	}
	rep := watched{open, w, first}
	before := rep.Last().Root
	res, err := rep.Apply(b)
	if err != nil {
		w.violate("founding: %v", err)
	}
	for i := range res.Outcomes {
		if o := res.Outcomes[i][0]; o.Code != lamppost.CodeOK {
			w.violate("founding: transaction %d: %+v", i, o)
		}
	}
	if _, err := rep.Commit(); err != nil {
		w.violate("founding: %v", err)
	}
	w.committed(first, b.Height)
	for _, m := range w.members {
		m.found(first, entry{Term: 1, Clock: b.Time, Proposer: b.Proposer, Root: before[:], Txs: b.Txs})
	}
}

// found begins a member with the first block in its store, and in its engine's log.
func (m *member) found(first *member, in entry) {
	if m != first {
		m.disk.set(first.disk.mem.Fork())
		m.durable, m.reached = first.durable, first.reached
	}
	if len(m.w.members) > 1 {
		l := log{d: m.wal}
		if err := errors.Join(l.promise(vote{Term: 1}), l.put(1, in)); err != nil {
			m.w.violate("founding: %v", err)
		}
	}
	m.start()
}

// genesis names the members, who are of one organisation and so may order by either engine.
func (w *world) genesis() lamppost.GenesisBody {
	b := w.net.GenesisBody()
	if len(w.members) == 1 {
		return b
	}
	b.Engine, b.Members = w.o.Engine, nil
	for _, m := range w.members {
		b.Members = append(b.Members, lamppost.Member{ID: m.id, Key: m.key.Public().Bytes(), Org: "o"})
	}
	return b
}
