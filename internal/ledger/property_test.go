package ledger_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
	"github.com/lamppost/lamppost/sig"
)

// A book is a ledger on a store of its own, one transaction to a block.
type book struct {
	t      *rapid.T
	store  *kv.Mem
	state  *ledger.State
	height lamppost.Height
	wrote  int // bytes, by the last transaction
}

func newBook(t *rapid.T) *book {
	b := &book{t: t, store: kv.NewMem()}
	b.reopen()
	return b
}

func (b *book) reopen() {
	var err error
	if b.state, err = ledger.Open(b.store); err != nil {
		b.t.Fatal(err)
	}
}

func (b *book) apply(now lamppost.TimeMS, tx *lamppost.Transaction, checked bool) []lamppost.Outcome {
	b.height++
	b.state.Begin(b.height, now)
	outcomes, writes, err := b.state.Apply(tx, tx.ID("net"), checked)
	if err != nil {
		b.t.Fatal(err)
	}
	b.wrote = len(writes)
	var batch kv.Batch
	b.state.Stage(&batch)
	if err := b.store.Apply(&batch); err != nil {
		b.t.Fatal(err)
	}
	b.state.Committed()
	return outcomes
}

func (b *book) balances() map[ledger.Account]lamppost.Micro {
	accounts, err := ledger.View{Reader: b.store}.Accounts()
	if err != nil {
		b.t.Fatal(err)
	}
	m := map[ledger.Account]lamppost.Micro{}
	for _, a := range accounts {
		m[ledger.Account{Party: a.Party, Currency: a.Currency}] = a.Balance
	}
	return m
}

func (b *book) limit(p lamppost.PartyID) lamppost.Micro {
	party, _ := ledger.View{Reader: b.store}.Party(p) // a device has none
	return party.CreditLimit
}

func drawer(t *rapid.T) func(n int) int {
	return func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "") }
}

// Whatever is ordered, balances sum to zero in every currency; only invoices take an account below its credit limit; a
// transfer changes the two accounts it names and nothing else; and a refused order writes nothing at all.
func TestMoneyIsConserved(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := newBook(t)
		traffic := ledgertest.NewTraffic(ledgertest.New("net"), drawer(t))
		for _, tx := range traffic.Found() {
			traffic.Now++
			if o := b.apply(traffic.Now, tx, false); o[0].Code != lamppost.CodeOK {
				t.Fatalf("founding: %v: %+v", tx.Type, o[0])
			}
			if tx.Type == lamppost.TxGenesis {
				b.height = 1
			}
		}
		for range rapid.IntRange(1, 40).Draw(t, "transactions") {
			traffic.Wait()
			traffic.Now++
			tx := traffic.Next()
			before := b.balances()
			o := b.apply(traffic.Now, tx, false)
			after := b.balances()
			if tx.Type != lamppost.TxSegment && o[0].Code != lamppost.CodeOK && b.wrote > 0 {
				t.Fatalf("a %v with outcome %+v wrote %d bytes", tx.Type, o[0], b.wrote)
			}
			checkMoney(t, b, tx, o[0].Code, before, after)
			if rapid.IntRange(0, 5).Draw(t, "reopen") == 0 {
				b.reopen()
			}
		}
	})
}

func checkMoney(t *rapid.T, b *book, tx *lamppost.Transaction, code lamppost.Code, before, after map[ledger.Account]lamppost.Micro) {
	sums := map[string]lamppost.Micro{}
	for a, balance := range after {
		sums[a.Currency] += balance
		if balance < before[a] && balance < -b.limit(a.Party) && tx.Type != lamppost.TxInvoice {
			t.Fatalf("a %v took %v to %v, its limit is %v", tx.Type, a, balance, b.limit(a.Party))
		}
	}
	for currency, sum := range sums {
		if sum != 0 {
			t.Fatalf("balances in %s sum to %s after a %v", currency, sum, tx.Type)
		}
	}
	var body lamppost.TransferBody
	if tx.Type == lamppost.TxTransfer && code == lamppost.CodeOK && lamppost.Unmarshal(tx.Order.Body, &body) == nil {
		before[ledger.Account{Party: body.From, Currency: body.Currency}] -= body.Amount
		before[ledger.Account{Party: body.To, Currency: body.Currency}] += body.Amount
	} else if tx.Type == lamppost.TxInvoice && code == lamppost.CodeOK {
		return
	}
	if !maps.Equal(before, after) {
		t.Fatalf("after a %v (%v) accounts are %v, want %v", tx.Type, code, after, before)
	}
}

// A naive device's numbers: every number seen, and nothing clever.
type naive struct {
	epoch       uint32
	high        uint64
	missing     map[uint64]bool
	lost        uint64
	recent      []slot // the last 32 accepted
	quarantined bool
}

type slot struct {
	seq    lamppost.Seq
	raw    string
	height lamppost.Height
}

// runs counts the intervals of missing numbers and returns the lowest.
func (m *naive) runs() (n int, lowest []uint64) {
	numbers := slices.Sorted(maps.Keys(m.missing))
	for i, x := range numbers {
		if i == 0 || numbers[i-1]+1 != x {
			n++
		}
		if n == 1 {
			lowest = append(lowest, x)
		}
	}
	return n, lowest
}

// judge says what becomes of a report, and remembers it.
func (m *naive) judge(seq lamppost.Seq, raw string, h lamppost.Height) (lamppost.Code, lamppost.Height) {
	var kept slot
	if i := slices.IndexFunc(m.recent, func(s slot) bool { return s.seq == seq }); i >= 0 {
		kept = m.recent[i]
	}
	switch {
	case m.quarantined:
		return lamppost.CodeQuarantined, 0
	case seq.Epoch < m.epoch:
		return lamppost.CodeTooOld, 0
	case seq.Epoch == m.epoch && seq.N <= m.high && !m.missing[seq.N]:
		switch {
		case kept.raw == "":
			return lamppost.CodeTooOld, 0
		case kept.raw == raw:
			return lamppost.CodeDuplicate, kept.height
		}
		m.quarantined = true
		return lamppost.CodeReused, 0
	}
	if seq.Epoch > m.epoch {
		m.lost += uint64(len(m.missing))
		m.epoch, m.high, m.missing = seq.Epoch, 0, map[uint64]bool{}
	}
	for n := m.high + 1; n < seq.N; n++ {
		m.missing[n] = true
	}
	m.high = max(m.high, seq.N)
	delete(m.missing, seq.N)
	if n, lowest := m.runs(); n > lamppost.MaxGaps {
		m.lost += uint64(len(lowest))
		for _, x := range lowest {
			delete(m.missing, x)
		}
	}
	m.recent = append(m.recent, slot{seq, raw, h})
	m.recent = m.recent[max(0, len(m.recent)-lamppost.RecentIDs):]
	return lamppost.CodeOK, 0
}

// The sequence rule says of every report what a list of all numbers ever seen would say, however reports are spread over
// segments and whenever the ledger is opened again.
func TestSequenceAgainstNaiveModel(t *testing.T) {
	t.Parallel()
	net := ledgertest.New("net")
	dev := net.NewDevice("d", sig.EdDSA)
	rapid.Check(t, func(t *rapid.T) {
		b := newBook(t)
		b.apply(1, net.Genesis(), false)
		b.apply(2, net.Order(1000, lamppost.TxParty, lamppost.PartyBody{ID: "p"}), false)
		b.apply(3, net.Order(1000, lamppost.TxDevice, dev.Body("p")), false)
		m := &naive{missing: map[uint64]bool{}}
		top := lamppost.Seq{N: 0}
		draw := func(lo, hi int) int { return rapid.IntRange(lo, hi).Draw(t, "") }
		for range draw(1, 12) {
			var reports [][]byte
			var seqs []lamppost.Seq
			for range draw(1, 25) {
				seq := top
				switch k := draw(0, 19); {
				case k < 4:
					seq.N = top.N + 1
				case k < 14:
					seq.N = top.N + 2 // a gap of one
				case k == 14:
					seq.N = top.N + uint64(draw(1, 40))
				case k == 15 && top.Epoch < 3:
					seq = lamppost.Seq{Epoch: top.Epoch + 1, N: uint64(draw(1, 3))}
				case k == 16 && top.Epoch > 0:
					seq.Epoch--
				default:
					seq.N = max(1, top.N-min(top.N, uint64(draw(0, 150))))
				}
				seq.N = max(seq.N, 1)
				if seq.Epoch > top.Epoch || seq.N > top.N {
					top = seq
				}
				value := int64(0)
				if draw(0, 150) == 0 {
					value = 1 // another report under that number, perhaps
				}
				seqs = append(seqs, seq)
				reports = append(reports, dev.Sign(lamppost.Report{Seq: seq, Readings: []lamppost.Reading{ledgertest.Power(1, value)}}))
			}
			outcomes := b.apply(10+lamppost.TimeMS(b.height), net.Segment(5, reports...), true)
			for i, o := range outcomes {
				code, height := m.judge(seqs[i], string(reports[i]), b.height)
				if o.Code != code || code == lamppost.CodeDuplicate && binary.BigEndian.Uint64(o.Data) != uint64(height) {
					t.Fatalf("report %+v: %v %x, want %v of block %d", seqs[i], o.Code, o.Data, code, height)
				}
			}
			high, missing, lost, err := ledger.View{Reader: b.store}.Sequence("d")
			if err != nil || high != (lamppost.Seq{Epoch: m.epoch, N: m.high}) || missing != uint64(len(m.missing)) || lost != m.lost {
				t.Fatalf("high %+v, %d missing, %d lost (%v); want epoch %d, high %d, %d missing, %d lost", high, missing, lost, err,
					m.epoch, m.high, len(m.missing), m.lost)
			}
			if draw(0, 3) == 0 {
				b.reopen()
			}
		}
	})
}

func gatewayKey(epoch uint32) *sig.PrivateKey {
	return ledgertest.Key(fmt.Sprint("gw/", epoch), sig.EdDSA)
}

// A process that verified a segment itself, and one that replays it, decide and write the same, whatever happened to the
// keys of devices and gateways since the first looked.
func TestCheckedMakesNoDifference(t *testing.T) {
	t.Parallel()
	net := ledgertest.New("net")
	gateway := func(epoch uint32) *lamppost.Transaction {
		return net.Order(1000, lamppost.TxGateway, lamppost.GatewayBody{ID: "gw", Member: "m1", KeyEpoch: epoch, Key: gatewayKey(epoch).Public().Bytes()})
	}
	for name, between := range map[string]func(d *ledgertest.Device) []*lamppost.Transaction{
		"nothing": func(*ledgertest.Device) []*lamppost.Transaction { return nil },
		"a new key": func(d *ledgertest.Device) []*lamppost.Transaction {
			d.Rotate()
			return []*lamppost.Transaction{net.Order(1000, lamppost.TxDevice, d.Body("p"))}
		},
		"a gateway's new key": func(*ledgertest.Device) []*lamppost.Transaction { return []*lamppost.Transaction{gateway(1)} },
		"two of them": func(*ledgertest.Device) []*lamppost.Transaction {
			return []*lamppost.Transaction{gateway(1), gateway(2)}
		},
		"a gateway revoked": func(*ledgertest.Device) []*lamppost.Transaction {
			return []*lamppost.Transaction{net.Order(1000, lamppost.TxRevoke, lamppost.RevokeBody{Gateway: "gw"}), gateway(1)}
		},
	} {
		d, plug, gw := net.NewDevice("d", sig.EdDSA), net.NewDevice("plug", sig.EdDSA), *net
		gw.Member, gw.Key, plug.Key = "gw", gatewayKey(0), gatewayKey(0)
		b := plug.Body("p")
		b.Assurance, b.Gateway, b.Suite, b.Key = lamppost.ChannelAuthenticated, "gw", 0, nil
		wrapped := plug.Sign(lamppost.Report{Seq: lamppost.Seq{Epoch: 1, N: 1}, Flags: lamppost.FlagWrapped, Readings: []lamppost.Reading{ledgertest.Power(1, 1)}})
		body := net.GenesisBody()
		body.Verify = lamppost.VerifyGateway
		txs := []*lamppost.Transaction{net.Order(0, lamppost.TxGenesis, body), net.Order(1000, lamppost.TxParty, lamppost.PartyBody{ID: "p"}),
			net.Order(1000, lamppost.TxDevice, d.Body("p")), gateway(0), net.Order(1000, lamppost.TxDevice, b)}
		segment := net.Segment(5, d.Report(1, ledgertest.Power(1, 1)), []byte("junk"), net.NewDevice("ghost", sig.EdDSA).Report(1, ledgertest.Power(1, 1)))
		delivered := gw.Segment(5, d.Report(2, ledgertest.Power(1, 1)), wrapped)
		txs = append(append(txs, between(d)...), segment, delivered)
		var said [2][]lamppost.Outcome
		var wrote [2][]byte
		for i, checked := range [...]bool{false, true} {
			state, err := ledger.Open(kv.NewMem())
			if err != nil {
				t.Fatal(err)
			}
			state.Begin(1, 1)
			for _, tx := range txs {
				outcomes, writes, err := state.Apply(tx, tx.ID("net"), checked)
				if err != nil {
					t.Fatal(err)
				}
				said[i], wrote[i] = append(said[i], outcomes...), append(wrote[i], writes...)
			}
		}
		if !slices.EqualFunc(said[0], said[1], func(a, b lamppost.Outcome) bool { return a.Code == b.Code && bytes.Equal(a.Data, b.Data) }) {
			t.Errorf("%s: outcomes %+v unchecked, %+v checked", name, said[0], said[1])
		}
		if !bytes.Equal(wrote[0], wrote[1]) {
			t.Errorf("%s: writes differ", name)
		}
	}
}
