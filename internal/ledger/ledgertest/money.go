package ledgertest

import (
	"fmt"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/sig"
	"github.com/lamppost/lamppost/tariff"
)

// Money makes what happens around bills: every order that moves money or changes what a bill rests on, sensible ones and refused ones, under
// every kind of tariff. Everything follows from the numbers that Draw gives, and from the outcomes that Saw is told.
type Money struct {
	Net  *Network
	Draw func(n int) int // a number from 0 to n-1
	Now  lamppost.TimeMS

	// Where the next transaction stands, of which a test tells.
	Height lamppost.Height
	Index  uint32

	meters    []*countingMeter
	places    []*moneyPoint
	orders    []*lamppost.Transaction // made before
	invoices  []lamppost.CorrectBody  // seller and number
	disputes  []lamppost.DisputeBody
	open      []lamppost.SessionBody
	opened    int
	channels  []*moneyChannel
	told      int
	books     map[lamppost.DeviceID]booksOf
	offers    []lamppost.OfferBody
	offered   int
	billed    map[lamppost.InvoiceBody]lamppost.TimeMS // by seller, buyer and currency
	versions  map[string]uint32
	deployed  [contracts]uint32
	Failed    []lamppost.CallBody // runs of contracts that can be repeated, of which a test tells
	verdicted []lamppost.VerdictID
}

// A countingMeter is a device whose register counts up, and from 0 again where it rolls.
type countingMeter struct {
	*Device
	next  uint64
	count int64 // of all time
	at    lamppost.TimeMS
	rolls int64
	told  []Reading // what it signed lately
}

// A moneyPoint is a metering point and which meters hung there.
type moneyPoint struct {
	id       string
	meter    int
	mounts   uint32
	sessions bool
}

// A moneyChannel is a channel that was opened, and what its payer has promised.
type moneyChannel struct {
	lamppost.ChannelBody
	n      uint64
	amount lamppost.Micro
}

const (
	sellers, buyers = 2, 3
	supplied        = 6 // points with an agreement each; two more have sessions
	spare           = 2 // meters that hang nowhere at first
)

// NewMoney begins before the genesis, which is the first block.
func NewMoney(net *Network, draw func(n int) int) *Money {
	m := &Money{Net: net, Draw: draw, Now: Start, billed: map[lamppost.InvoiceBody]lamppost.TimeMS{}, versions: map[string]uint32{}, books: map[lamppost.DeviceID]booksOf{}}
	for i := range supplied + 2 + spare {
		x := &countingMeter{Device: net.NewDevice(lamppost.DeviceID(fmt.Sprint("m", i)), sig.EdDSA), next: 1, at: Start - Hour/4, count: int64(draw(3000))}
		if i%3 == 1 {
			x.rolls = 5000
		}
		m.meters = append(m.meters, x)
		if i < supplied+2 {
			m.places = append(m.places, &moneyPoint{id: fmt.Sprint("o", i), meter: i, mounts: 1, sessions: i >= supplied})
		}
	}
	return m
}

func seller(i int) lamppost.PartyID { return lamppost.PartyID(fmt.Sprint("s", i%sellers)) }
func buyer(i int) lamppost.PartyID  { return lamppost.PartyID(fmt.Sprint("b", i%buyers)) }

// Found returns the first block: parties, meters, points, a tariff of each kind and agreements under them.
func (m *Money) Found() []*lamppost.Transaction {
	txs := []*lamppost.Transaction{m.Net.Genesis()}
	add := func(typ lamppost.TxType, body any) { txs = append(txs, m.Net.Order(m.Now+Hour, typ, body)) }
	for i := range sellers {
		add(lamppost.TxParty, lamppost.PartyBody{ID: seller(i), Name: fmt.Sprint("Seller ", i), CreditLimit: 1_000_000_000})
	}
	for i := range buyers {
		add(lamppost.TxParty, lamppost.PartyBody{ID: buyer(i), Name: fmt.Sprint("Buyer ", i), CreditLimit: lamppost.Micro(i+1) * 200_000_000})
	}
	for _, x := range m.meters {
		add(lamppost.TxDevice, x.Body(m.owner(x)))
	}
	for _, p := range m.places {
		add(lamppost.TxPoint, m.point(p))
	}
	for i := range supplied + 2 {
		add(lamppost.TxTariff, m.terms(i, 1, Start))
	}
	for i := range supplied {
		a := m.agreement(i)
		if i == 4 {
			a.TaxCategory, a.TaxReason = "AE", "reverse charge"
		}
		add(lamppost.TxAgreement, a)
	}
	return txs
}

func (m *Money) point(p *moneyPoint) lamppost.PointBody {
	x := m.meters[p.meter]
	b := lamppost.PointBody{ID: p.id, Device: x.ID, Register: "energy", Unit: "Wh", Place: "at " + p.id, Sessions: p.sessions}
	if x.rolls != 0 {
		v := lamppost.Dec(x.rolls, 0)
		b.RollsAt = &v
	}
	return b
}

func (m *Money) agreement(i int) lamppost.AgreementBody {
	return lamppost.AgreementBody{ID: fmt.Sprint("a", i), Seller: seller(i), Buyer: buyer(i), Point: m.places[i].id, Tariff: termsOf(i), From: Start}
}

func termsOf(i int) string { return fmt.Sprint("t", i) }

// terms is a version of tariff i: each is of another kind.
func (m *Money) terms(i int, version uint32, from lamppost.TimeMS) tariff.Tariff {
	price := func(n int) lamppost.Micro { return lamppost.Micro(m.Draw(n)+1) * 20_000 }
	t := Tariff(termsOf(i), version, seller(i), from, price(500))
	t.Zone = tariff.Zone{Name: "Europe/Berlin", Transitions: []tariff.Transition{{AtMS: 0, OffsetMin: 60}, {AtMS: 1_774_746_000_000, OffsetMin: 120}}}
	if i%2 == 1 {
		t.Rounding, t.Currency = tariff.RoundHalfEven, [...]string{"EUR", "JPY"}[i/2%2]
	}
	blocks := func() {
		t.Bands[0].Price = 0
		t.Blocks = []tariff.Block{{To: lamppost.Dec(5, -1), Price: price(300)}, {To: lamppost.Dec(2, 0), Price: price(300)}, {Price: price(300)}}
	}
	switch i {
	case 0:
		t.Bands = []tariff.Band{{Name: "night", FromMin: 0, ToMin: 360, Price: -price(50)}, {Name: "day", FromMin: 360, ToMin: 1320, Price: price(500)}, {Name: "night", FromMin: 1320, ToMin: 1440, Price: 0}}
		t.Bands[2].Price, t.Standing = t.Bands[0].Price, price(900)
	case 1:
		blocks()
		t.Levies = []tariff.Levy{{Name: "levy", Price: price(30), To: Start + 6*Day}, {Name: "levy", Price: price(60), From: Start + 6*Day}}
	case 2:
		blocks()
		t.BlockRule, t.Minimum = tariff.BlockDay, lamppost.Micro(m.Draw(100))*10_000
		t.Levies = []tariff.Levy{{Name: "per day", Day: price(100)}}
	case 3:
		t.Bands = nil
		t.Series = &tariff.Series{From: from - from%Day, StepMS: Day / 2}
		for range 800 {
			t.Series.Prices = append(t.Series.Prices, price(400)-1_000_000)
		}
		t.To = t.Series.From + 800*t.Series.StepMS
	case 4:
		t.Capacity, t.Maximum = price(2000), lamppost.Micro(1+m.Draw(20))*1_000_000
	case 5:
		blocks()
		t.BlockRule = tariff.BlockReached
	default:
		t.Session = &tariff.SessionTerms{Start: price(900), Minute: price(30), Idle: price(60), Grace: uint32(m.Draw(20)), MaxMin: uint32(m.Draw(60))}
		t.Levies = []tariff.Levy{{Name: "levy", Price: price(30)}, {Name: "per day", Day: price(9)}}
		t.Minimum = lamppost.Micro(m.Draw(3)) * 1_000_000
	}
	return t
}

// Wait lets time go by: from a millisecond to an hour.
func (m *Money) Wait() {
	m.Now += 1 + [...]lamppost.TimeMS{0, 0, 1000, 20_000, 60_000, 5 * 60_000, Hour / 4, Hour}[m.Draw(8)]
}

// Next returns a transaction.
func (m *Money) Next() *lamppost.Transaction {
	switch n := m.Draw(20); {
	case n < 7:
		return m.segment()
	case n == 7 && len(m.orders) > 0:
		return m.orders[len(m.orders)-1-m.Draw(min(len(m.orders), 50))]
	}
	typ, body := m.body()
	tx := m.Net.Order(m.Now+Hour, typ, body)
	m.orders = append(m.orders, tx)
	return tx
}

func (m *Money) body() (lamppost.TxType, any) {
	switch m.Draw(35) {
	case 31, 32, 33, 34:
		return m.triage()
	case 29:
		if m.Draw(2) == 0 {
			return lamppost.TxContract, m.contract()
		}
		return lamppost.TxCall, m.call()
	case 30:
		return lamppost.TxCall, m.call()
	case 0, 1, 17:
		return lamppost.TxReading, m.reading()
	case 2, 3, 4:
		return lamppost.TxSession, m.session()
	case 5, 6, 7:
		return lamppost.TxSettle, m.settle()
	case 8, 9, 10:
		return lamppost.TxInvoice, m.invoice()
	case 11, 16:
		if len(m.invoices) > 0 {
			return lamppost.TxCorrect, m.correct()
		}
	case 12:
		if len(m.invoices) > 0 {
			return m.dispute()
		}
	case 13:
		return m.registry()
	case 18:
		return lamppost.TxCredit, lamppost.CreditBody{Party: m.party(), Limit: lamppost.Micro(m.Draw(4)) * 300_000_000}
	case 19, 20:
		return lamppost.TxChannel, m.channel()
	case 21, 22, 23:
		return lamppost.TxCash, m.cash()
	case 24:
		return lamppost.TxContradict, m.contradict()
	case 25, 26, 27, 28:
		return m.centre()
	case 14:
		return lamppost.TxConvert, lamppost.ConvertBody{Party: m.party(), With: m.party(), From: m.currency(), To: m.currency(), Amount: m.amount(), Rate: lamppost.Dec(int64(m.Draw(20_000)), -4),
			RateTime: m.Now - lamppost.TimeMS(m.Draw(1000)), Source: "drawn"}
	}
	return lamppost.TxTransfer, lamppost.TransferBody{From: m.party(), To: m.party(), Currency: m.currency(), Amount: m.amount()}
}

func (m *Money) party() lamppost.PartyID {
	return [...]lamppost.PartyID{"s0", "s1", "b0", "b1", "b2", "m0", "m2", "m6"}[m.Draw(8)]
}
func (m *Money) currency() string       { return [...]string{"EUR", "EUR", "EUR", "JPY"}[m.Draw(4)] }
func (m *Money) amount() lamppost.Micro { return lamppost.Micro(m.Draw(40)) * 1_234_500 }

// segment packs a billing report of some meters.
func (m *Money) segment() *lamppost.Transaction {
	var reports [][]byte
	for range 1 + m.Draw(6) {
		reports = append(reports, m.meters[m.Draw(len(m.meters))].report(m))
	}
	return m.Net.Segment(m.Now, reports...)
}

func (x *countingMeter) report(m *Money) []byte {
	var readings []lamppost.Reading
	read := func(at lamppost.TimeMS) {
		if at <= x.at {
			return
		}
		x.count, x.at = x.count+int64(m.Draw(3))*int64(m.Draw(500)), at
		r := Energy(at, x.shows())
		if m.Draw(3) == 0 {
			r.Value = lamppost.Dec(10*r.Value.Mantissa, -1)
		}
		if m.Draw(12) == 0 {
			r.Quality = lamppost.Estimated
		}
		readings = append(readings, r)
	}
	for at := max(x.at, m.Now-12*Hour)/(Hour/4)*(Hour/4) + Hour/4; at <= m.Now && len(readings) < 20; at += Hour / 4 {
		switch m.Draw(8) {
		case 0: // missing
		case 1:
			read(at + lamppost.TimeMS(m.Draw(200_000)-100_000))
		default:
			read(at)
		}
	}
	read(m.Now - lamppost.TimeMS(m.Draw(60_000)))
	x.next++
	if len(readings) == 0 {
		return x.Report(x.next-1, Power(m.Now, 1))
	}
	x.told = append(x.told[max(0, len(x.told)-60):], readings...)
	return x.Billing(x.next-1, readings...)
}

func (x *countingMeter) shows() int64 {
	if x.rolls != 0 {
		return x.count % x.rolls
	}
	return x.count
}

// reading is of a quarter hour, or of any moment, or in place of what was signed.
func (m *Money) reading() lamppost.ReadingBody {
	x := m.meters[m.Draw(len(m.meters))]
	if n := len(x.told); n > 0 && m.Draw(2) == 0 {
		r := x.told[m.Draw(n)]
		if at, near := lamppost.SnapToEdge(r.Time); near && m.Draw(2) == 0 {
			r.Time = at
		}
		r.Value.Mantissa += int64(m.Draw(90))
		return lamppost.ReadingBody{Device: x.ID, Register: "energy", Unit: "Wh", Time: r.Time, Value: r.Value, Quality: lamppost.Substituted, Reason: "drawn"}
	}
	at := (m.Now - lamppost.TimeMS(m.Draw(6))*Hour/4) / (Hour / 4) * (Hour / 4)
	if m.Draw(3) == 0 {
		at = m.Now - lamppost.TimeMS(m.Draw(7_200_000))
	}
	return lamppost.ReadingBody{Device: x.ID, Register: "energy", Unit: "Wh", Time: at, Value: lamppost.Dec(max(0, x.shows()-int64(m.Draw(200))+50), 0),
		Quality: lamppost.Estimated + lamppost.Quality(m.Draw(2)), Reason: "drawn"}
}

func (m *Money) session() lamppost.SessionBody {
	i := supplied + m.Draw(2)
	from := m.Now - lamppost.TimeMS(m.Draw(3_600_000))
	m.opened++
	return lamppost.SessionBody{ID: fmt.Sprint("x", m.opened-m.Draw(2)), Buyer: buyer(m.Draw(buyers)), Point: m.places[i].id, Tariff: termsOf(i), Version: m.versions[termsOf(i)],
		Limit: lamppost.Micro(m.Draw(40)) * [...]lamppost.Micro{1_000_000, 1_000_000, 510_000, 517_300}[m.Draw(4)], From: from, Until: from + lamppost.TimeMS(m.Draw(4*3_600_000))}
}

// channelKey is the key of all channels.
func channelKey() *sig.PrivateKey { return Key("channels", sig.EdDSA) }

func (m *Money) channel() lamppost.ChannelBody {
	i := m.Draw(supplied + 2)
	m.told++
	payee := seller(i)
	if m.Draw(3) > 0 {
		payee = lamppost.PartyID(fmt.Sprint("m", m.Draw(4)))
	}
	from := m.Now - lamppost.TimeMS(m.Draw(3_600_000))
	return lamppost.ChannelBody{ID: fmt.Sprint("v", m.told-m.Draw(2)), Payer: buyer(m.Draw(buyers)), Payee: payee, Tariff: termsOf(i), Version: m.versions[termsOf(i)],
		Most: lamppost.Micro(m.Draw(40)) * [...]lamppost.Micro{1_000_000, 1_000_000, 510_000, 517_300}[m.Draw(4)], From: from,
		Until: m.Now + lamppost.TimeMS(m.Draw(3*3_600_000)), Key: channelKey().Public().Bytes()}
}

// voucher promises more on a channel than before, as much, or too much.
func (m *Money) voucher(c *moneyChannel) []byte {
	v := lamppost.Voucher{Channel: c.ID, Payee: c.Payee, Until: c.Until, N: c.n + uint64(m.Draw(20)), Amount: c.amount + lamppost.Micro(m.Draw(3_000_000))}
	if m.Draw(8) == 0 {
		v.Amount = c.Most + lamppost.Micro(m.Draw(2))
	}
	if v.N, v.Amount = max(v.N, 1), max(v.Amount, 1); v.Amount <= c.Most {
		c.n, c.amount = v.N, v.Amount
	}
	raw, err := v.Sign(m.Net.ID, channelKey())
	if err != nil {
		panic(err)
	}
	return raw
}

func (m *Money) cash() lamppost.CashBody {
	var b lamppost.CashBody
	for range min(len(m.channels), 1+m.Draw(4)) {
		c := m.channels[len(m.channels)-1-m.Draw(min(len(m.channels), 8))]
		if m.Draw(4) > 0 {
			b.Vouchers = append(b.Vouchers, m.voucher(c))
		}
		if m.Draw(3) == 0 {
			b.Close = append(b.Close, c.ID)
		}
	}
	if m.Draw(3) > 0 {
		b.Reason = "drawn"
	}
	return b
}

func (m *Money) contradict() lamppost.ContradictBody {
	if len(m.channels) == 0 || m.Draw(3) > 0 {
		return lamppost.ContradictBody{Lift: buyer(m.Draw(buyers)), Reason: "drawn"}
	}
	c := m.channels[m.Draw(len(m.channels))]
	return lamppost.ContradictBody{Vouchers: [][]byte{m.voucher(c), m.voucher(c)}[:1+m.Draw(2)]}
}

func (m *Money) settle() lamppost.SettleBody {
	if len(m.open) == 0 {
		return lamppost.SettleBody{Session: "x1", Stop: m.Now}
	}
	x := m.open[m.Draw(len(m.open))]
	b := lamppost.SettleBody{Session: x.ID, Stop: min(x.Until, m.Now-lamppost.TimeMS(m.Draw(1000)))}
	if m.Draw(5) == 0 {
		b.Void = "drawn"
	}
	return b
}

// invoice goes on where the last one between the two ended, mostly.
func (m *Money) invoice() lamppost.InvoiceBody {
	i := m.Draw(supplied)
	b := lamppost.InvoiceBody{Seller: seller(i), Buyer: buyer(i), Currency: m.currency()}
	if i%2 == 0 {
		b.Currency = "EUR"
	}
	from, ok := m.billed[b]
	if !ok {
		from = Start
	}
	to := m.Now / (Hour / 4) * (Hour / 4)
	if n := int64(to-from) / int64(Hour/4); n > 4 && m.Draw(2) == 0 {
		to = from + lamppost.TimeMS(1+m.Draw(int(min(n, 1000))))*Hour/4
	}
	b.From, b.To = from, to
	return b
}

func (m *Money) correct() lamppost.CorrectBody {
	n := len(m.invoices)
	b := m.invoices[n-1-m.Draw(min(n, 12))]
	b.Cause = lamppost.Cause(1 + m.Draw(4))
	for _, d := range m.disputes {
		if d.Invoice == b.Number && d.Seller == b.Seller {
			b.Cause, b.Dispute = lamppost.CauseDispute, d.ID
		}
	}
	return b
}

// dispute opens one, ends one, or plays with the holds that disputes place.
func (m *Money) dispute() (lamppost.TxType, any) {
	id := fmt.Sprint("d", m.Draw(1+len(m.disputes)))
	switch m.Draw(6) {
	case 0:
		return lamppost.TxHold, lamppost.HoldBody{ID: fmt.Sprint(id, ".", m.Draw(3)), Lifted: m.Draw(2) == 0, Reason: "drawn"}
	case 1:
		return lamppost.TxDispute, lamppost.DisputeBody{ID: id, State: lamppost.DisputeRejected + lamppost.DisputeState(m.Draw(2)), Reason: "drawn"}
	}
	of := m.invoices[m.Draw(len(m.invoices))]
	return lamppost.TxDispute, lamppost.DisputeBody{ID: fmt.Sprint("d", len(m.disputes)), Seller: of.Seller, Invoice: of.Number, State: lamppost.DisputeOpen, Reason: "drawn"}
}

// registry hangs a meter, changes an agreement's end, or adds a version of a tariff.
func (m *Money) registry() (lamppost.TxType, any) {
	i := m.Draw(len(m.places))
	quarter := m.Now / (Hour / 4) * (Hour / 4)
	switch m.Draw(4) {
	case 0:
		p := *m.places[i]
		if m.Draw(2) == 0 {
			p.meter = supplied + 2 + m.Draw(spare)
		}
		b := m.point(&p)
		b.Mount, b.From = p.mounts, quarter-lamppost.TimeMS(m.Draw(8)-2)*Hour/4
		if m.Draw(3) > 0 {
			v := lamppost.Dec(m.meters[m.places[i].meter].shows(), 0)
			b.Closing = &v
		}
		if m.Draw(3) > 0 {
			v := lamppost.Dec(m.meters[p.meter].shows(), 0)
			b.Opening = &v
		}
		return lamppost.TxPoint, b
	case 1:
		a := m.agreement(i % supplied)
		if a.ID == "a4" {
			a.TaxCategory, a.TaxReason = "AE", "reverse charge"
		}
		a.To = [...]lamppost.TimeMS{0, quarter - 8*Hour, quarter - Hour, quarter, quarter + Day}[m.Draw(5)]
		return lamppost.TxAgreement, a
	case 2:
		id := termsOf(i)
		return lamppost.TxTariff, m.terms(i, m.versions[id]+1, quarter+lamppost.TimeMS(1+m.Draw(20))*Hour/4)
	}
	a := m.agreement(i % supplied) // another of the same
	a.ID, a.From = fmt.Sprint("e", m.Draw(40)), quarter
	return lamppost.TxAgreement, a
}

// Saw tells what became of an order, so that what follows can build on it.
func (m *Money) Saw(tx *lamppost.Transaction, o lamppost.Outcome) {
	if tx.Type == lamppost.TxSegment || o.Code != lamppost.CodeOK {
		return
	}
	raw := tx.Order.Body
	m.sawCentre(tx.Type, raw)
	if tx.Type == lamppost.TxVerdicts {
		m.found(read[lamppost.VerdictsBody](raw))
	}
	switch tx.Type {
	case lamppost.TxInvoice:
		b := read[lamppost.InvoiceBody](raw)
		m.invoices = append(m.invoices, lamppost.CorrectBody{Seller: b.Seller, Number: read[tariff.Invoice](o.Data).Number})
		to := b.To
		b.From, b.To = 0, 0
		m.billed[b] = to
	case lamppost.TxCorrect:
		m.invoices = append(m.invoices, lamppost.CorrectBody{Seller: read[lamppost.CorrectBody](raw).Seller, Number: read[tariff.Invoice](o.Data).Number})
	case lamppost.TxDispute:
		if b := read[lamppost.DisputeBody](raw); b.State == lamppost.DisputeOpen {
			m.disputes = append(m.disputes, b)
		}
	case lamppost.TxChannel:
		m.channels = append(m.channels, &moneyChannel{ChannelBody: read[lamppost.ChannelBody](raw)})
	case lamppost.TxSession:
		m.open = append(m.open, read[lamppost.SessionBody](raw))
	case lamppost.TxSettle:
		id := read[lamppost.SettleBody](raw).Session
		m.open = slices.DeleteFunc(m.open, func(x lamppost.SessionBody) bool { return x.ID == id })
	case lamppost.TxContract:
		m.deployed[read[lamppost.ContractBody](raw).ID[1]-'0']++
	case lamppost.TxTariff:
		m.versions[read[tariff.Tariff](raw).ID]++
	case lamppost.TxPoint:
		b := read[lamppost.PointBody](raw)
		for _, p := range m.places {
			if p.id == b.ID && b.Mount > 0 {
				p.mounts++
				p.meter = slices.IndexFunc(m.meters, func(x *countingMeter) bool { return x.ID == b.Device })
			}
		}
	}
}

func read[B any](raw []byte) (b B) {
	if err := lamppost.Unmarshal(raw, &b); err != nil {
		panic(err)
	}
	return b
}
