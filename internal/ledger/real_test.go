package ledger_test

import (
	"compress/gzip"
	"encoding/csv"
	"flag"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
	"github.com/lamppost/lamppost/sig"
	"github.com/lamppost/lamppost/tariff"
)

var sets = flag.String("sets", "../../../shared/data", "the folder of public data sets; tests that want one which is not there are skipped")

// rows reads a data set, without its heading.
func rows(t *testing.T, file string) [][]string {
	t.Helper()
	f, err := os.Open(filepath.Join(*sets, filepath.FromSlash(file)))
	if err != nil {
		t.Skipf("the data set is not there: %v; give its folder with -sets", err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	must(err)
	all, err := csv.NewReader(z).ReadAll()
	must(err)
	return all[1:]
}

// An office is a ledger that takes one block after the other.
type office struct {
	t      *testing.T
	net    *ledgertest.Network
	state  *ledger.State
	height lamppost.Height
}

func newOffice(t *testing.T) *office {
	s, err := ledger.Open(kv.NewMem())
	must(err)
	return &office{t: t, net: ledgertest.New("net"), state: s}
}

// block commits transactions at a time, all of which must be accepted, and returns the last one's outcome.
func (o *office) block(now lamppost.TimeMS, txs ...*lamppost.Transaction) (last lamppost.Outcome) {
	o.t.Helper()
	o.height++
	o.state.Begin(o.height, now)
	for i, tx := range txs {
		outcomes, _, err := o.state.Apply(tx, tx.ID("net"), true)
		must(err)
		if last = outcomes[0]; last.Code != lamppost.CodeOK {
			o.t.Fatalf("transaction %d, a %s: %+v", i, tx.Type, last)
		}
	}
	return last
}

// cents rounds an amount in Micro to cents, ties to even, and returns it in Micro.
func cents(x *big.Rat) int64 {
	x = new(big.Rat).Mul(x, big.NewRat(1, 10_000))
	q, rest := new(big.Int).DivMod(x.Num(), x.Denom(), new(big.Int))
	twice := new(big.Int).Lsh(rest, 1)
	if c := twice.Cmp(x.Denom()); c > 0 || c == 0 && q.Bit(0) == 1 {
		q.Add(q, big.NewInt(1))
	}
	return q.Int64() * 10_000
}

// A charge is a row of ACN-Data: a car at a station.
type charge struct {
	id, station    string
	from, done, to time.Time // done is zero where nothing says when it was full
	wh             int64
}

func charges(t *testing.T) (all []charge) {
	t.Helper()
	at := func(s string) time.Time { x, _ := time.Parse(time.RFC3339, s); return x }
	for _, r := range rows(t, "ev-acn/sessions.csv.gz") {
		kwh, ok := new(big.Rat).SetString(r[5])
		if !ok {
			t.Fatalf("session %s: %q kWh", r[0], r[5])
		}
		wh := new(big.Rat).Mul(kwh, big.NewRat(1000, 1)) // a few have parts of them: the register shows whole ones
		all = append(all, charge{r[0], r[1], at(r[2]), at(r[4]), at(r[3]), new(big.Int).Quo(wh.Num(), wh.Denom()).Int64()})
	}
	slices.SortFunc(all, func(a, b charge) int { return a.to.Compare(b.to) })
	return all
}

const (
	peakPrice, offPrice = 412_345, 187_654 // Micro per kWh
	startFee, perMinute = 990_000, 12_345
	idleFee             = 101_000
	graceMin, idleMost  = 10, 180
	taxPoints           = 950
)

// TestRealSessions bills every session of ACN-Data in the range of the set through the ledger, under a tariff by the time of day with a start
// fee, minutes, an idle fee and tax, and computes each line and invoice again with rationals: to the Wh and the cent.
func TestRealSessions(t *testing.T) {
	t.Parallel()
	all := charges(t)
	o := newOffice(t)
	begin := lamppost.TimeMS(all[0].to.UnixMilli())/ledgertest.Day*ledgertest.Day - 60*ledgertest.Day
	order := func(now lamppost.TimeMS, typ lamppost.TxType, body any) *lamppost.Transaction {
		return o.net.Order(now+ledgertest.Hour, typ, body)
	}
	terms := ledgertest.Tariff("fast", 1, "garage", begin, 0)
	terms.Currency, terms.Rounding, terms.Tax.BasisPoints = "USD", tariff.RoundHalfEven, taxPoints
	terms.Zone = tariff.Zone{Name: "America/Los_Angeles", Transitions: []tariff.Transition{{AtMS: 0, OffsetMin: -480}, {AtMS: 1_615_716_000_000, OffsetMin: -420}}}
	terms.Bands = []tariff.Band{{Name: "off", ToMin: 16 * 60, Price: offPrice}, {Name: "peak", FromMin: 16 * 60, ToMin: 21 * 60, Price: peakPrice}, {Name: "off", FromMin: 21 * 60, ToMin: 24 * 60, Price: offPrice}}
	terms.Session = &tariff.SessionTerms{Start: startFee, Minute: perMinute, Idle: idleFee, Grace: graceMin, MaxMin: idleMost}
	o.block(begin, o.net.Genesis(), order(begin, lamppost.TxParty, lamppost.PartyBody{ID: "garage"}),
		order(begin, lamppost.TxParty, lamppost.PartyBody{ID: "drivers", CreditLimit: 1e15}), order(begin, lamppost.TxTariff, terms))

	meters, shows, sent, until := map[string]*ledgertest.Device{}, map[string]int64{}, map[string]uint64{}, map[string]time.Time{}
	var net, sum int64 // of the sessions since the last invoice, and of all
	billed, skipped, bills := 0, 0, 0
	for i, c := range all {
		now := lamppost.TimeMS(c.to.UnixMilli()) + 1000 + lamppost.TimeMS(i)
		d := meters[c.station]
		if d == nil {
			d = o.net.NewDevice(lamppost.DeviceID("st-"+c.station), sig.EdDSA)
			meters[c.station] = d
			o.block(now, order(now, lamppost.TxDevice, d.Body("garage")), order(now, lamppost.TxPoint, lamppost.PointBody{ID: c.station, Device: d.ID, Register: "energy", Unit: "Wh", Sessions: true}))
		}
		if c.from.Before(until[c.station]) {
			skipped++ // two cars at one plug: the ledger would refuse the second
			continue
		}
		until[c.station] = c.to
		readings := []lamppost.Reading{ledgertest.Energy(lamppost.TimeMS(c.from.UnixMilli()), shows[c.station])}
		if c.done.After(c.from) && c.done.Before(c.to) {
			readings = append(readings, ledgertest.Energy(lamppost.TimeMS(c.done.UnixMilli()), shows[c.station]+c.wh))
		}
		readings = append(readings, ledgertest.Energy(lamppost.TimeMS(c.to.UnixMilli()), shows[c.station]+c.wh))
		shows[c.station] += c.wh
		sent[c.station]++
		out := o.block(now, order(now, lamppost.TxSession, lamppost.SessionBody{ID: "s-" + c.id, Buyer: "drivers", Point: c.station, Tariff: "fast", Version: 1, Limit: 10_000_000_000,
			From: readings[0].Time, Until: readings[len(readings)-1].Time + ledgertest.Hour}),
			o.net.Segment(now, d.Billing(sent[c.station], readings...)),
			order(now, lamppost.TxSettle, lamppost.SettleBody{Session: "s-" + c.id, Stop: readings[len(readings)-1].Time}))
		want := c.price()
		got := map[string][2]int64{}
		for _, l := range decoded[[]tariff.Line](out.Data) {
			wh, ok := l.Quantity.At(0)
			if !ok {
				t.Fatalf("session %s: %s Wh", c.id, l.Quantity)
			}
			got[l.Band] = [2]int64{wh + int64(l.Minutes), int64(l.Amount)}
			net += int64(l.Amount)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("session %s of %d Wh from %s by %s to %s comes to %v, want %v", c.id, c.wh, c.from, c.done, c.to, got, want)
		}
		if billed++; billed%97 == 0 || i == len(all)-1 {
			to := now/lamppost.EdgeMS*lamppost.EdgeMS + lamppost.EdgeMS
			raw := o.block(to, order(to, lamppost.TxInvoice, lamppost.InvoiceBody{Seller: "garage", Buyer: "drivers", Currency: "USD", From: begin, To: to}))
			inv := decoded[tariff.Invoice](raw.Data)
			tax := cents(big.NewRat(net*taxPoints, 10_000))
			if int64(inv.Net) != net || int64(inv.Total) != net+tax {
				t.Fatalf("invoice %s: net %s, total %s; want %d and %d Micro of tax", inv.Number, inv.Net, inv.Total, net, tax)
			}
			sum, net, bills = sum+net+tax, 0, bills+1
		}
	}
	t.Logf("%d sessions at %d stations on %d invoices, %d overlap another at their station; %d.%02d USD", billed, len(meters), bills, skipped, sum/1_000_000, sum/10_000%100)
	if billed < 1300 {
		t.Errorf("only %d sessions were billed", billed)
	}
}

// price is what a session costs, by line: what is counted and the amount in Micro.
func (c *charge) price() map[string][2]int64 {
	pacific := time.FixedZone("PDT", -7*3600)
	full := c.done // when the register last rose
	if !full.After(c.from) || !full.Before(c.to) {
		full = c.to
	}
	shows := func(at time.Time) int64 { // on the straight line, whole Wh
		if !at.Before(full) {
			return c.wh
		}
		return c.wh * at.Sub(c.from).Milliseconds() / full.Sub(c.from).Milliseconds()
	}
	used := map[string]int64{"off": 0, "peak": 0}
	local := c.from.In(pacific)
	for day := time.Date(local.Year(), local.Month(), local.Day(), 0, 0, 0, 0, pacific); day.Before(c.to); day = day.Add(24 * time.Hour) {
		lo, hi := day.Add(16*time.Hour), day.Add(21*time.Hour)
		if lo.Before(c.from) {
			lo = c.from
		}
		if hi.After(c.to) {
			hi = c.to
		}
		if lo.Before(hi) {
			used["peak"] += shows(hi) - shows(lo)
		}
	}
	used["off"] = c.wh - used["peak"]
	lines := map[string][2]int64{
		"off":            {used["off"], cents(big.NewRat(used["off"]*offPrice, 1000))},
		"peak":           {used["peak"], cents(big.NewRat(used["peak"]*peakPrice, 1000))},
		tariff.LineStart: {0, startFee},
	}
	minutes := func(d time.Duration) int64 { return int64((d + time.Minute - 1) / time.Minute) }
	line := func(name string, n int64, price int64) {
		if n > 0 {
			lines[name] = [2]int64{n, cents(big.NewRat(n*price, 1))}
		}
	}
	line(tariff.LineTime, minutes(c.to.Sub(c.from)), perMinute)
	if c.wh == 0 {
		full = c.from
	}
	line(tariff.LineIdle, min(idleMost, max(0, minutes(c.to.Sub(full)-graceMin*time.Minute))), idleFee)
	return lines
}

// TestRealMonths bills a household in Sceaux for the months around both clock changes of 2007, hour by hour, once by bands and once by blocks,
// each with a levy that changes and a standing charge, and computes it again with rationals and the time zone database.
func TestRealMonths(t *testing.T) {
	t.Parallel()
	paris, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Skipf("no time zone database: %v", err)
	}
	set := rows(t, "household-power/household_power_hourly.csv.gz")
	for _, m := range []struct {
		name     string
		from, to time.Time
	}{
		{"March, 23 hours", time.Date(2007, 3, 1, 0, 0, 0, 0, paris), time.Date(2007, 4, 1, 0, 0, 0, 0, paris)},
		{"October, 25 hours", time.Date(2007, 10, 1, 0, 0, 0, 0, paris), time.Date(2007, 11, 1, 0, 0, 0, 0, paris)},
	} {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			// The set is on a clock that never changes: its hours are taken as UTC. It has the kW of sixty minutes.
			shows, register := map[int64]int64{}, new(big.Rat)
			var hours []int64
			for _, r := range set {
				at, err := time.Parse(time.DateTime, r[0])
				must(err)
				kw, err := strconv.ParseFloat(r[1], 64)
				must(err)
				if at.Before(m.from.Add(-3*time.Hour)) || at.After(m.to.Add(3*time.Hour)) {
					continue
				}
				whole := new(big.Int).Quo(register.Num(), register.Denom()).Int64()
				shows[at.UnixMilli()] = whole
				hours = append(hours, at.UnixMilli())
				register.Add(register, big.NewRat(int64(kw*1000), 60))
			}
			checkMonth(t, paris, m.from, m.to, hours, shows)
		})
	}
}

const (
	dayPrice, nightPrice    = 189_137, 98_761
	standing                = 412_300
	levyFirst, levyThen     = 21_337, 33_331
	blockEndKWh             = 300
	firstBlock, secondBlock = 111_119, 222_227
)

func checkMonth(t *testing.T, zone *time.Location, from, to time.Time, hours []int64, shows map[int64]int64) {
	o, begin, now := newOffice(t), lamppost.TimeMS(from.UnixMilli()), lamppost.TimeMS(to.UnixMilli())+4*ledgertest.Hour
	order := func(typ lamppost.TxType, body any) *lamppost.Transaction {
		return o.net.Order(now+ledgertest.Hour, typ, body)
	}
	changes := time.Date(from.Year(), from.Month(), 15, 0, 0, 0, 0, zone) // of the levy
	terms := func(id string) tariff.Tariff {
		x := ledgertest.Tariff(id, 1, "edf", begin-begin%ledgertest.Day-ledgertest.Day, 0)
		x.Rounding, x.Standing = tariff.RoundHalfEven, standing
		x.Zone = tariff.Zone{Name: "Europe/Paris", Transitions: []tariff.Transition{{AtMS: 0, OffsetMin: 60}, {AtMS: 1_174_784_400_000, OffsetMin: 120}, {AtMS: 1_193_533_200_000, OffsetMin: 60}}}
		x.Levies = []tariff.Levy{{Name: "levy", Price: levyFirst, To: lamppost.TimeMS(changes.UnixMilli())}, {Name: "levy", Price: levyThen, From: lamppost.TimeMS(changes.UnixMilli())}}
		return x
	}
	bands, blocks := terms("bands"), terms("blocks")
	bands.Bands = []tariff.Band{{Name: "night", ToMin: 6 * 60, Price: nightPrice}, {Name: "day", FromMin: 6 * 60, ToMin: 22 * 60, Price: dayPrice}, {Name: "night", FromMin: 22 * 60, ToMin: 24 * 60, Price: nightPrice}}
	blocks.Blocks = []tariff.Block{{To: lamppost.Dec(blockEndKWh, 0), Price: firstBlock}, {Price: secondBlock}}
	d := o.net.NewDevice("meter", sig.EdDSA)
	o.block(now, o.net.Genesis(), order(lamppost.TxParty, lamppost.PartyBody{ID: "edf"}), order(lamppost.TxParty, lamppost.PartyBody{ID: "house"}), order(lamppost.TxDevice, d.Body("edf")),
		order(lamppost.TxPoint, lamppost.PointBody{ID: "p", Device: "meter", Register: "energy", Unit: "Wh"}), order(lamppost.TxTariff, bands), order(lamppost.TxTariff, blocks),
		order(lamppost.TxAgreement, lamppost.AgreementBody{ID: "a-bands", Seller: "edf", Buyer: "house", Point: "p", Tariff: "bands", From: begin}),
		order(lamppost.TxAgreement, lamppost.AgreementBody{ID: "a-blocks", Seller: "edf", Buyer: "house", Point: "p", Tariff: "blocks", From: begin}))
	n := uint64(0)
	for part := range slices.Chunk(hours, 400) {
		var readings []lamppost.Reading
		for _, h := range part {
			readings = append(readings, ledgertest.Energy(lamppost.TimeMS(h), shows[h]))
		}
		n++
		o.block(now+lamppost.TimeMS(n), o.net.Segment(now, d.Billing(n, readings...)))
	}
	out := o.block(now+1000, order(lamppost.TxInvoice, lamppost.InvoiceBody{Seller: "edf", Buyer: "house", Currency: "EUR", From: begin, To: lamppost.TimeMS(to.UnixMilli())}))
	inv := decoded[tariff.Invoice](out.Data)

	// Again, hour by hour.
	used := map[string]int64{}
	for at := from; at.Before(to); at = at.Add(time.Hour) {
		a, ok1 := shows[at.UnixMilli()]
		b, ok2 := shows[at.Add(time.Hour).UnixMilli()]
		if !ok1 || !ok2 {
			t.Fatalf("the set has no value at %s or an hour later", at)
		}
		wh, band, levy := b-a, "night", "levy 1"
		if h := at.In(zone).Hour(); h >= 6 && h < 22 {
			band = "day"
		}
		if !at.Before(changes) {
			levy = "levy 2"
		}
		used[band], used[levy], used["all"] = used[band]+wh, used[levy]+wh, used["all"]+wh
	}
	days := int64(0)
	for day := from; day.Before(to); day = day.AddDate(0, 0, 1) {
		days++
	}
	cost := func(wh, price int64) int64 { return cents(big.NewRat(wh*price, 1000)) }
	first := min(used["all"], blockEndKWh*1000)
	rest := []int64{cost(used["levy 1"], levyFirst), cost(used["levy 2"], levyThen), cents(big.NewRat(days*standing, 1))}
	want := append([]int64{cost(used["night"], nightPrice), cost(used["day"], dayPrice)}, rest...)
	want = append(append(want, cost(first, firstBlock), cost(used["all"]-first, secondBlock)), rest...)
	var got []int64
	var net int64
	for _, s := range inv.Supplies {
		for _, l := range s.Lines {
			got, net = append(got, int64(l.Amount)), net+int64(l.Amount)
		}
	}
	if !slices.Equal(got, want) || int64(inv.Total) != net+cents(big.NewRat(net*1900, 10_000)) {
		t.Fatalf("%d Wh (%v) come to %v, total %s; want %v", used["all"], used, got, inv.Total, want)
	}
	t.Logf("%d Wh in %d days come to %s EUR twice over", used["all"], days, inv.Total)
}
