package ledger_test

import (
	"bytes"
	"crypto/elliptic"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
	"github.com/lamppost/lamppost/sig"
)

func never(int) bool { return false }

// Checking a block's signatures together, before its transactions change any key, decides nothing: outcomes and writes
// are those of a ledger that checks each segment when its turn comes.
func TestVerifyDecidesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		draw := drawer(t)
		traffic := ledgertest.NewTraffic(ledgertest.New("net"), draw)
		together, apart := open(t), open(t)
		height := lamppost.Height(0)
		block := func(txs []*lamppost.Transaction) {
			height++
			together.Begin(height, traffic.Now)
			apart.Begin(height, traffic.Now)
			together.Verify(txs, never)
			for i, tx := range txs {
				a, wroteA, err := together.Apply(tx, tx.ID("net"), false)
				if err != nil {
					t.Fatal(err)
				}
				b, wroteB, err := apart.Apply(tx, tx.ID("net"), false)
				if err != nil {
					t.Fatal(err)
				}
				if fmt.Sprint(a) != fmt.Sprint(b) || !bytes.Equal(wroteA, wroteB) {
					t.Fatalf("block %d, transaction %d (%v): together %v, apart %v", height, i, tx.Type, a, b)
				}
			}
		}
		block(traffic.Found())
		for range 1 + draw(12) {
			traffic.Wait()
			traffic.Now++
			var txs []*lamppost.Transaction
			for range 1 + draw(8) {
				txs = append(txs, traffic.Next())
			}
			block(txs)
		}
	})
}

func open(t interface{ Fatal(...any) }) *ledger.State {
	state, err := ledger.Open(kv.NewMem())
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// A key that a block changes is the new one for the segments after it and the old one for those before, though all
// signatures were checked when the block began; and what was found for one key is never used for another.
func TestVerifyAcrossAKeyChange(t *testing.T) {
	t.Parallel()
	net := ledgertest.New("net")
	lamp := net.NewDevice("lamp", sig.EdDSA)
	state := found(t, net, lamp)
	order := func(typ lamppost.TxType, body any) *lamppost.Transaction { return net.Order(1000, typ, body) }
	old := *lamp
	lamp.Rotate()
	stranger := *lamp
	stranger.Key = ledgertest.Key("stranger", sig.EdDSA)
	power := ledgertest.Power(1, 1)
	txs := []*lamppost.Transaction{
		net.Segment(5, old.Report(1, power), lamp.Report(2, power)),
		order(lamppost.TxDevice, lamp.Body("p")),
		net.Segment(5, old.Report(3, power), lamp.Report(2, power), stranger.Report(4, power)),
		order(lamppost.TxRevoke, lamppost.RevokeBody{Device: "lamp", KeyEpoch: 1}),
		net.Segment(5, old.Report(5, power), lamp.Report(6, power)),
	}
	const ok, bad = lamppost.CodeOK, lamppost.CodeBadSignature
	want := [][]lamppost.Code{{ok, bad}, {ok}, {ok, ok, bad}, {ok}, {bad, ok}}
	state.Begin(2, 5)
	state.Verify(txs, never)
	for i, tx := range txs {
		outcomes, _, err := state.Apply(tx, tx.ID("net"), false)
		if err != nil {
			t.Fatal(err)
		}
		for j, o := range outcomes {
			if o.Code != want[i][j] {
				t.Errorf("transaction %d, report %d: %+v, want %v", i, j, o, want[i][j])
			}
		}
	}
}

// BenchmarkBlock is a block of 64 segments of 16 reports, each of another device, as many gateways send them: checked
// together, segment by segment, and not at all because the gateways are trusted.
func BenchmarkBlock(b *testing.B) {
	const segments, each = 64, 16
	net := ledgertest.New("net")
	devices := make([]*ledgertest.Device, segments*each)
	for i := range devices {
		devices[i] = net.NewDevice(lamppost.DeviceID(fmt.Sprintf("device-%04d", i)), sig.EdDSA)
	}
	for _, c := range []struct {
		name     string
		policy   lamppost.Policy
		together bool
	}{{"together", lamppost.VerifyFull, true}, {"apart", lamppost.VerifyFull, false}, {"trusted", lamppost.VerifyGateway, true}} {
		b.Run(c.name, func(b *testing.B) {
			street := newTrusting(b, c.policy, devices...)
			state, height := street.state, street.height
			for n := uint64(1); b.Loop(); n++ {
				b.StopTimer()
				txs := make([]*lamppost.Transaction, segments)
				for i := range txs {
					reports := make([][]byte, each)
					for j := range reports {
						reports[j] = devices[i*each+j].Report(n, ledgertest.Power(lamppost.TimeMS(n), 1))
					}
					txs[i] = street.gw.Segment(street.now, reports...)
				}
				height++
				state.Begin(height, street.now+lamppost.TimeMS(height))
				b.StartTimer()
				if c.together {
					state.Verify(txs, never)
				}
				for _, tx := range txs {
					if _, _, err := state.Apply(tx, lamppost.TxID{}, false); err != nil {
						b.Fatal(err)
					}
				}
				state.Committed()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*segments*each), "ns/report")
		})
	}
}

// A key that was replaced does not come back spelled in another way either: a P-256 point has two encodings.
func TestKeyDoesNotComeBackUncompressed(t *testing.T) {
	t.Parallel()
	d := ledgertest.New("net").NewDevice("d", sig.ES256)
	n := newTrusting(t, lamppost.VerifyFull, d)
	x, y := elliptic.UnmarshalCompressed(elliptic.P256(), d.Key.Public().Bytes())
	d.Rotate()
	n.order(lamppost.TxDevice, d.Body("p0"))
	back := d.Body("p0")
	back.KeyEpoch++
	back.Key = append([]byte{4}, make([]byte, 64)...)
	x.FillBytes(back.Key[1:33])
	y.FillBytes(back.Key[33:])
	if o := n.apply(n.net.Order(n.now+ledgertest.Hour, lamppost.TxDevice, back)); o[0].Code != lamppost.CodeBadTx {
		t.Errorf("the first key in 65 bytes: %+v", o[0])
	}
}

// What members say of an erasure is found wherever its order stands in a block.
func TestAttestedAtEveryPlace(t *testing.T) {
	t.Parallel()
	d := ledgertest.New("net").NewDevice("d", sig.EdDSA)
	n := newTrusting(t, lamppost.VerifyFull, d)
	n.height++
	n.now++
	n.state.Begin(n.height, n.now)
	for range 257 {
		tx := n.net.Order(n.now+1, lamppost.TxErase, lamppost.EraseBody{Device: "d", Basis: "x"})
		if o, _, err := n.state.Apply(tx, tx.ID("net"), false); err != nil || o[0].Code != lamppost.CodeOK {
			t.Fatal(o, err)
		}
	}
	at := n.height
	for i := range uint32(257) {
		tx := n.net.Order(n.now+1, lamppost.TxErased, lamppost.ErasedBody{Height: at, Index: i})
		if o, _, err := n.state.Apply(tx, tx.ID("net"), false); err != nil || o[0].Code != lamppost.CodeOK {
			t.Fatal(o, err)
		}
	}
	var b kv.Batch
	n.state.Stage(&b)
	if err := n.store.Apply(&b); err != nil {
		t.Fatal(err)
	}
	all, err := ledger.View{Reader: n.store}.Erasures()
	if err != nil || len(all) != 257 {
		t.Fatal(len(all), err)
	}
	for _, e := range all {
		if len(e.Attested) != 1 {
			t.Errorf("the erasure by transaction %d: attested %v", e.Index, e.Attested)
		}
	}
}

// What an order costs does not depend on how much the reports before it in the block wrote: it scans for ids to forget, and
// for nothing else. A device can write hundreds of registers with one report.
func TestOrdersDoNotPayForReports(t *testing.T) {
	t.Parallel()
	d := ledgertest.New("net").NewDevice("d", sig.EdDSA)
	cost := func(reports int) (least time.Duration) {
		n := newTrusting(t, lamppost.VerifyGateway, d)
		n.height++
		n.now++
		n.state.Begin(n.height, n.now)
		apply := func(tx *lamppost.Transaction) {
			if o, _, err := n.state.Apply(tx, tx.ID("net"), false); err != nil || o[0].Code != lamppost.CodeOK {
				t.Fatal(o, err)
			}
		}
		for i := range reports {
			readings := make([]lamppost.Reading, lamppost.MaxReadings)
			for j := range readings {
				readings[j] = ledgertest.Energy(lamppost.TimeMS(i*len(readings)+j)*lamppost.EdgeMS, 1)
			}
			apply(n.net.Segment(n.now, d.Billing(uint64(i+1), readings...)))
		}
		least = time.Hour
		for i := range 20 {
			tx := n.net.Order(n.now+1, lamppost.TxParty, lamppost.PartyBody{ID: lamppost.PartyID(fmt.Sprint("q", i))})
			before := time.Now()
			apply(tx)
			least = min(least, time.Since(before))
		}
		return least
	}
	if few, many := cost(0), cost(200); many > 20*few+time.Millisecond {
		t.Errorf("an order takes %v, and %v after 200 reports", few, many)
	}
}
