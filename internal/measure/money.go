package measure

import (
	"context"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/internal/tilelog"
	"github.com/lamppost/lamppost/tariff"
)

// MoneyOptions says how much is billed.
type MoneyOptions struct {
	Points   int    // metering points, each with a buyer and a month's invoice of its own
	Sessions int    // of one buyer, at [moneyPlugs] plugs at once
	Lines    int    // flat-price lines of the statement, each of a meter of its own, on one invoice
	Dir      string // where the folder is made; it is removed afterwards

	Progress func(done, all int64, what string)
}

// MoneyResult is what a node's chain bills in a second, and what a long statement takes.
type MoneyResult struct {
	Points     int     `json:"points"`
	PointsS    float64 `json:"points_s"` // until all points are billed
	InvoicesPS float64 `json:"invoices_per_s"`
	Sessions   int     `json:"sessions"`
	SessionsPS float64 `json:"sessions_per_s"` // opened, metered, settled and billed
	Lines      int     `json:"lines"`
	BuildMS    float64 `json:"statement_build_ms"`  // the median of moneyRuns
	VerifyMS   float64 `json:"statement_verify_ms"` // likewise
	Bytes      int     `json:"statement_bytes"`
}

const (
	moneyPlugs = 100
	moneyRuns  = 9
	moneyBlock = 500 // orders or reports of a block
	moneyMonth = 30 * growthDay
)

// Money bills points, sessions and a long statement through the chain of a node: replica, ledger, log and archive, synced to disk, without
// doors. Orders are signed by the member and devices sign their reports while the clock runs; registering is not timed.
func Money(ctx context.Context, o MoneyOptions) (*MoneyResult, error) {
	folder, err := os.MkdirTemp(o.Dir, "lamppost-money-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	m := &money{o: o, ctx: ctx, growth: growth{o: GrowthOptions{Devices: o.Points + o.Lines + moneyPlugs}, dir: folder, now: growthStart,
		rng: mathrand.New(mathrand.NewPCG(1, 2)), res: &GrowthResult{}, fsync: true}}
	if err := m.open(); err != nil {
		return nil, err
	}
	defer m.store.Close()
	r := &MoneyResult{Points: o.Points, Sessions: o.Sessions, Lines: o.Lines}
	for _, step := range [...]func(*MoneyResult) error{m.registry, m.sessions, m.points, m.statement} {
		if err := step(r); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// A money is a chain that bills.
type money struct {
	growth
	o   MoneyOptions
	ctx context.Context
}

// commit orders in blocks of a few hundred.
func (m *money) commit(what string, n int, order func(i int) (lamppost.TxType, any)) error {
	for from := 0; from < n; from += moneyBlock {
		if err := m.ctx.Err(); err != nil {
			return err
		}
		var txs []*lamppost.Transaction
		for i := from; i < min(n, from+moneyBlock); i++ {
			typ, body := order(i)
			txs = append(txs, m.order(typ, body, m.now+3_600_000))
		}
		if err := m.block(txs...); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if m.o.Progress != nil {
			m.o.Progress(int64(min(n, from+moneyBlock)), int64(n), what)
		}
	}
	return nil
}

// read lets some devices sign a register value of a time.
func (m *money) read(devices []growing, at lamppost.TimeMS) error {
	for from := 0; from < len(devices); from += moneyBlock {
		var due []send
		for i := from; i < min(len(devices), from+moneyBlock); i++ {
			due = append(due, send{&devices[i], lamppost.FlagBilling})
		}
		if err := m.send(due, at); err != nil {
			return err
		}
	}
	return nil
}

func (m *money) plugs() []growing { return m.devices[m.o.Points+m.o.Lines:] }

// buyer is of a device: of the statement's lines one for all of them.
func (m *money) buyer(i int) lamppost.PartyID {
	if i >= m.o.Points {
		return "large"
	}
	return lamppost.PartyID(fmt.Sprintf("buyer-%05d", i))
}

func (m *money) registry(*MoneyResult) error {
	m.now = growthStart + moneyMonth + growthDay
	party := func(id lamppost.PartyID) (lamppost.TxType, any) {
		return lamppost.TxParty, lamppost.PartyBody{ID: id, CreditLimit: 1_000_000 * lamppost.MicroUnit}
	}
	if err := m.commit("parties", m.o.Points+2, func(i int) (lamppost.TxType, any) {
		if i < m.o.Points {
			return party(m.buyer(i))
		}
		return party([...]lamppost.PartyID{"large", "driver"}[i-m.o.Points])
	}); err != nil {
		return err
	}
	if err := m.commit("points", len(m.devices), func(i int) (lamppost.TxType, any) {
		d := m.devices[i].id
		return lamppost.TxPoint, lamppost.PointBody{ID: string(d), Device: d, Register: "energy", Unit: "Wh", Sessions: i >= m.o.Points+m.o.Lines}
	}); err != nil {
		return err
	}
	flat := tariff.Tariff{ID: "flat", Version: 1, Seller: "owner", Currency: "EUR", From: growthStart, PerUnit: "kWh", RegisterUnit: "Wh", Scale: 3,
		Zone:  tariff.Zone{Name: "UTC", Transitions: []tariff.Transition{{AtMS: 0}}},
		Bands: []tariff.Band{{Name: "flat", ToMin: 1440, Price: 312_345}}, Rounding: tariff.RoundHalfUp, Tax: tariff.Tax{Category: "S", BasisPoints: 1900},
		Session: &tariff.SessionTerms{Start: 500_000, Minute: 10_000}}
	if err := m.commit("tariff", 1, func(int) (lamppost.TxType, any) { return lamppost.TxTariff, flat }); err != nil {
		return err
	}
	if err := m.commit("agreements", m.o.Points+m.o.Lines, func(i int) (lamppost.TxType, any) {
		d := string(m.devices[i].id)
		return lamppost.TxAgreement, lamppost.AgreementBody{ID: d, Seller: "owner", Buyer: m.buyer(i), Point: d, Tariff: "flat", From: growthStart}
	}); err != nil {
		return err
	}
	supplied := m.devices[:m.o.Points+m.o.Lines]
	if err := m.read(supplied, growthStart); err != nil {
		return err
	}
	return m.read(supplied, growthStart+moneyMonth)
}

// points bills a month of every point.
func (m *money) points(r *MoneyResult) error {
	begin := time.Now()
	err := m.commit("invoices", m.o.Points, func(i int) (lamppost.TxType, any) { return m.invoice(m.buyer(i), growthStart, growthStart+moneyMonth) })
	r.PointsS = time.Since(begin).Seconds()
	r.InvoicesPS = float64(m.o.Points) / r.PointsS
	return err
}

func (m *money) invoice(buyer lamppost.PartyID, from, to lamppost.TimeMS) (lamppost.TxType, any) {
	return lamppost.TxInvoice, lamppost.InvoiceBody{Seller: "owner", Buyer: buyer, Currency: "EUR", From: from, To: to}
}

// sessions opens one at every plug, reads it when it begins and when it ends, settles it, and bills when there are a thousand.
func (m *money) sessions(r *MoneyResult) error {
	const length = 10 * 60_000
	first, begin, unbilled := m.now/lamppost.EdgeMS*lamppost.EdgeMS, time.Now(), 0
	bill := func() error {
		to := m.now / lamppost.EdgeMS * lamppost.EdgeMS
		unbilled = 0
		return m.commit("invoices", 1, func(int) (lamppost.TxType, any) { return m.invoice("driver", first, to) })
	}
	for done := 0; done < m.o.Sessions; done += moneyPlugs {
		n := min(moneyPlugs, m.o.Sessions-done)
		from, plugs := m.now, m.plugs()[:n]
		id := func(i int) string { return fmt.Sprintf("session-%07d", done+i) }
		err := m.commit("sessions", n, func(i int) (lamppost.TxType, any) {
			return lamppost.TxSession, lamppost.SessionBody{ID: id(i), Buyer: "driver", Point: string(plugs[i].id), Tariff: "flat", Version: 1, Limit: 50 * lamppost.MicroUnit, From: from, Until: from + 2*length}
		})
		if err == nil {
			err = m.read(plugs, from)
		}
		m.now += length
		if err == nil {
			err = m.read(plugs, m.now)
		}
		if err == nil {
			err = m.commit("sessions", n, func(i int) (lamppost.TxType, any) {
				return lamppost.TxSettle, lamppost.SettleBody{Session: id(i), Stop: m.now}
			})
		}
		if m.now += lamppost.EdgeMS; err == nil {
			if unbilled += n; unbilled+moneyPlugs > tariff.MaxSupplies || done+n == m.o.Sessions {
				err = bill()
			}
		}
		if err != nil {
			return err
		}
	}
	r.SessionsPS = float64(m.o.Sessions) / time.Since(begin).Seconds()
	return nil
}

// statement bills the lines, and builds and verifies the statement.
func (m *money) statement(r *MoneyResult) error {
	if err := m.commit("invoice", 1, func(int) (lamppost.TxType, any) { return m.invoice("large", growthStart, growthStart+moneyMonth) }); err != nil {
		return err
	}
	signed, err := m.publish.Publish(m.store)
	if err != nil {
		return err
	}
	text, _, _ := strings.Cut(string(signed), "\n\n")
	c, err := lamppost.ParseCheckpoint(text + "\n")
	if err != nil {
		return err
	}
	pin := &audit.Pin{Network: "fleet", Quorum: 1, Members: []lamppost.Member{{ID: "node1", Key: m.key.Public().Bytes()}}}
	view := archive.View{Reader: m.store, Packs: m.packs}
	var builds, verifies []float64
	for range moneyRuns {
		begin := time.Now()
		want, err := replica.WantStatement(view, "large")
		if err != nil {
			return err
		}
		proof, err := replica.Prove(view, "fleet", []string{string(signed)}, tilelog.NewTree(m.publish.Storage, c.Size, [32]byte(c.Root)), want)
		if err != nil {
			return err
		}
		s, err := audit.NewStatement(proof, pin, "large")
		if err != nil {
			return err
		}
		data := s.Encode()
		builds = append(builds, float64(time.Since(begin).Microseconds())/1000)
		begin = time.Now()
		if _, err := audit.Verify(data, pin); err != nil {
			return err
		}
		verifies = append(verifies, float64(time.Since(begin).Microseconds())/1000)
		r.Bytes = len(data)
	}
	slices.Sort(builds)
	slices.Sort(verifies)
	r.BuildMS, r.VerifyMS = builds[moneyRuns/2], verifies[moneyRuns/2]
	return nil
}
