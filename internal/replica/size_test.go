package replica_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/internal/tilelog"
	"github.com/lamppost/lamppost/sig"
	"github.com/lamppost/lamppost/tariff"
)

// A fleet is a chain that a month's statement of one customer rests on. Its meters report once a day, beside those of others.
type fleet struct {
	points    int  // metering points of the customer
	others    int  // meters of other customers
	segment   int  // reports in a segment
	arrival   bool // in which they stand in the order in which they came; otherwise by device, as ingest packs them
	registers int  // in a day's report; 1: only the first and last day count
	prices    string
	leaves    int // of others in the log, evenly over the time
}

const monthDays = 30

var (
	flatHouse   = fleet{points: 100, segment: 33, registers: 1, prices: "flat"}
	flatFleet   = fleet{points: 100, others: 900, segment: 1000, registers: 1, prices: "flat"}
	flatArrival = fleet{points: 100, others: 900, segment: 1000, arrival: true, registers: 1, prices: "flat"}
	bandFleet   = fleet{points: 100, others: 900, segment: 1000, registers: 24, prices: "bands"}
	hourFleet   = fleet{points: 100, others: 900, segment: 1000, registers: 24, prices: "hours"}
	quarterFl   = fleet{points: 100, others: 900, segment: 1000, registers: 96, prices: "hours"}
	quarterArr  = fleet{points: 100, others: 900, segment: 1000, arrival: true, registers: 96, prices: "hours"}
	hourHouse   = fleet{points: 1, others: 29, segment: 30, registers: 24, prices: "hours"}
	hourOne     = fleet{points: 1, others: 999, segment: 1000, registers: 24, prices: "hours"}
)

// What people hold of a month stays small: a line at a flat price within 1.8 KiB of file, a metering point with a price for each
// hour within 30 KiB, where the customer has many.
func TestStatementSizes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fleet
		limit float64 // KiB of file for a metering point
	}{
		"flat price, a house":                  {flatHouse, 1.8},
		"flat price, among others":             {flatFleet, 1.8},
		"hourly prices, quarter-hour readings": {quarterFl, 30},
		"bands":                                {bandFleet, 30},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.leaves = 1 << 13
			if c.registers > 1 { // a fifth is enough
				c.points, c.others, c.segment = c.points/5, c.others/5, c.segment/5
			}
			file := c.fleet.statement(t)
			if got := kib(len(file), c.points); got > c.limit {
				t.Errorf("%.2f KiB of file for a metering point, more than %.1f", got, c.limit)
			}
		})
	}
}

// The same in a log of a million leaves, measured: go test ./internal/replica -run '^$' -bench Statement -benchtime 1x.
func BenchmarkStatement(b *testing.B) {
	for _, c := range []struct {
		name string
		fleet
	}{
		{"flat/house", flatHouse}, {"flat/fleet", flatFleet}, {"flat/arrival", flatArrival}, {"bands", bandFleet}, {"hours", hourFleet},
		{"quarters", quarterFl}, {"quarters/arrival", quarterArr}, {"one/house", hourHouse}, {"one/fleet", hourOne},
	} {
		b.Run(c.name, func(b *testing.B) {
			c.leaves = 1 << 20
			file := c.fleet.statement(b)
			b.ResetTimer()
			for b.Loop() {
				if _, err := audit.Verify(file, nil); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(kib(len(file), c.points), "KiB/point")
		})
	}
}

func kib(bytes, points int) float64 { return float64(bytes) / 1024 / float64(points) }

// A chain is the fleet's while it is made.
type chain struct {
	fleet
	t      testing.TB
	net    *ledgertest.Network
	store  *kv.Mem
	r      *replica.Replica
	files  *tilelog.MemStorage
	now    lamppost.TimeMS
	draw   *rand.Rand
	meters []meter
}

type meter struct {
	*ledgertest.Device
	wh int64
}

// statement makes the chain and the customer's file.
func (f fleet) statement(t testing.TB) []byte {
	t.Helper()
	const start = ledgertest.Start
	c := &chain{fleet: f, t: t, net: ledgertest.New("riverside"), store: kv.NewMem(), files: new(tilelog.MemStorage),
		now: start - ledgertest.Day, draw: rand.New(rand.NewPCG(1, 2))}
	c.r = open(t, c.store)
	c.register()
	for day := range monthDays + 1 {
		c.fill(c.leaves / (monthDays + 1))
		if c.registers > 1 || day%monthDays == 0 {
			c.report(day)
		}
	}
	c.run(c.order(lamppost.TxInvoice, lamppost.InvoiceBody{Seller: "stadtwerk", Buyer: "anna", Currency: "EUR", From: start,
		To: start + monthDays*ledgertest.Day}))

	signed, tree := publish(t, c.net, c.store, c.files)
	v := archive.View{Reader: c.store}
	want, err := replica.WantStatement(v, "anna")
	must(t, err)
	p, err := replica.Prove(v, c.net.ID, []string{signed}, tree, want)
	must(t, err)
	s, err := audit.NewStatement(p, pin(c.net), "anna")
	must(t, err)
	return s.Encode()
}

// register founds the network, and registers the customer's meters one after the other.
func (c *chain) register() {
	c.t.Helper()
	c.run(c.net.Genesis(), c.order(lamppost.TxParty, lamppost.PartyBody{ID: "stadtwerk", Name: "Stadtwerk Nord GmbH"}),
		c.order(lamppost.TxParty, lamppost.PartyBody{ID: "anna", Name: "Anna Fischer"}), c.order(lamppost.TxTariff, c.terms()))
	for i := range c.points {
		m := meter{c.net.NewDevice(lamppost.DeviceID(serial(7_346_000+i*7)), sig.EdDSA), int64(1_000_000 + c.draw.IntN(30_000_000))}
		c.meters = append(c.meters, m)
		body, point := m.Body("stadtwerk"), fmt.Sprintf("DE00056%09d", 266_802_000+i)
		body.Name = fmt.Sprintf("meter of flat %d", i+1)
		c.run(c.order(lamppost.TxDevice, body))
		c.run(c.order(lamppost.TxPoint, lamppost.PointBody{ID: point, Device: m.ID, Register: "energy", Unit: "Wh",
			Place: fmt.Sprintf("Hafenstraße 3, flat %d", i+1)}))
		c.run(c.order(lamppost.TxAgreement, lamppost.AgreementBody{ID: fmt.Sprintf("A-%05d", 20_000+i), Seller: "stadtwerk", Buyer: "anna",
			Point: point, Tariff: "home-2026", From: ledgertest.Start}))
	}
}

func serial(n int) string { return fmt.Sprintf("1EMH00%08d", n) }

func (c *chain) terms() tariff.Tariff {
	t := ledgertest.Tariff("home-2026", 1, "stadtwerk", ledgertest.Start, 301_900)
	switch c.prices {
	case "bands":
		t.Bands = []tariff.Band{{Name: "day", FromMin: 6 * 60, ToMin: 17 * 60, Price: 301_900}, {Name: "peak", FromMin: 17 * 60, ToMin: 20 * 60, Price: 391_900},
			{Name: "day", FromMin: 20 * 60, ToMin: 22 * 60, Price: 301_900}, {Name: "night", FromMin: 22 * 60, ToMin: 24 * 60, Price: 214_300},
			{Name: "night", ToMin: 6 * 60, Price: 214_300}}
	case "hours":
		t.Bands, t.To = nil, ledgertest.Start+monthDays*ledgertest.Day
		t.Series = &tariff.Series{From: ledgertest.Start, StepMS: ledgertest.Hour}
		for range monthDays * 24 {
			t.Series.Prices = append(t.Series.Prices, lamppost.Micro(c.draw.IntN(40_000)*10))
		}
	}
	return t
}

// report has every meter send a day's registers, in one block for each segment.
func (c *chain) report(day int) {
	c.t.Helper()
	at := ledgertest.Start + lamppost.TimeMS(day)*ledgertest.Day
	type report struct {
		id  string
		raw []byte
	}
	var reports []report
	for i := range c.meters {
		m := &c.meters[i]
		var readings []lamppost.Reading
		for j := range c.registers {
			readings = append(readings, ledgertest.Energy(at+lamppost.TimeMS(j)*ledgertest.Day/lamppost.TimeMS(c.registers), m.wh))
			m.wh += int64(c.draw.IntN(20_000 / c.registers)) // 10 kWh a day
		}
		reports = append(reports, report{string(m.ID), m.Billing(uint64(day+1), readings...)})
	}
	for range c.others {
		reports = append(reports, report{serial(c.draw.IntN(90_000_000)), []byte{byte(c.draw.Uint32())}})
	}
	c.draw.Shuffle(len(reports), func(i, j int) { reports[i], reports[j] = reports[j], reports[i] })
	c.now = max(c.now, at+ledgertest.Day)
	for some := range slices.Chunk(reports, c.segment) {
		if !c.arrival {
			slices.SortFunc(some, func(a, b report) int { return cmp.Compare(a.id, b.id) })
		}
		var raws [][]byte
		for _, r := range some {
			raws = append(raws, r.raw)
		}
		c.run(c.net.Segment(c.now, raws...))
	}
}

func (c *chain) order(typ lamppost.TxType, body any) *lamppost.Transaction {
	return c.net.Order(c.now+ledgertest.Hour, typ, body)
}

// run commits a block. Reports of others are bytes that nobody can read.
func (c *chain) run(txs ...*lamppost.Transaction) {
	c.t.Helper()
	c.now += 1000
	res := apply(c.t, c.r, block(c.r.Last().Height+1, c.now, txs...))
	commit(c.t, c.r)
	for i, outcomes := range res.Outcomes {
		for j, o := range outcomes {
			if o.Code != lamppost.CodeOK && o.Code != lamppost.CodeBadReport {
				c.t.Fatalf("transaction %d of block %d, %d: %+v", i, res.Height, j, o)
			}
		}
	}
}

// fill appends leaves of others to the log, a few thousand at a time, and trims what is published.
func (c *chain) fill(n int) {
	c.t.Helper()
	for n > 0 {
		leaves := make([][]byte, min(n, 1<<13))
		n -= len(leaves)
		for i := range leaves {
			leaves[i] = fmt.Appendf(make([]byte, 0, 78), "%078d", i)
		}
		log, err := tilelog.Open(c.store)
		must(c.t, err)
		var b kv.Batch
		must(c.t, log.Append(&b, leaves...))
		must(c.t, c.store.Apply(&b))
		_, tree := publish(c.t, c.net, c.store, c.files)
		var trim kv.Batch
		tilelog.Trim(&trim, lamppost.Checkpoint{Size: tree.Size(), Root: lamppost.Hash(tree.Root())})
		must(c.t, c.store.Apply(&trim))
	}
	c.r = open(c.t, c.store)
}
