package ledger_test

import (
	"fmt"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
	"github.com/lamppost/lamppost/sig"
)

// A segment that its gateway did not sign as it stands is refused as a whole, every report with the same outcome, and
// leaves no trace: the same reports in an honest segment are taken.
func TestBadSegmentIsRefusedWhole(t *testing.T) {
	t.Parallel()
	net := ledgertest.New("net")
	d := net.NewDevice("d", sig.EdDSA)
	state := found(t, net, d)
	reports := [][]byte{d.Report(1, ledgertest.Power(1, 1)), []byte("junk"), d.Report(2, ledgertest.Power(1, 1), ledgertest.Energy(1, 5))}
	other := ledgertest.New("net")
	other.Member = "stranger"
	elsewhere := ledgertest.New("elsewhere")
	forged := ledgertest.New("net")
	forged.Key = elsewhere.Key
	swapped := net.Segment(5, reports...)
	swapped.Items[0], swapped.Items[2] = swapped.Items[2], swapped.Items[0]
	swapped, err := lamppost.ParseTransaction(swapped.Append(nil)) // forget the leaf hashes computed when it was made
	if err != nil {
		t.Fatal(err)
	}
	items := make([]lamppost.SegmentItem, len(reports))
	for i := range items {
		items[i].Report = reports[i]
	}
	miscounted, err := lamppost.NewSegment("net", lamppost.Seq{N: 1}, 2, items, net.Member, net.Key, lamppost.Seed{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		tx   *lamppost.Transaction
		want lamppost.Code
	}{
		{"by nobody known", other.Segment(5, reports...), lamppost.CodeBadSignature},
		{"for another network", elsewhere.Segment(5, reports...), lamppost.CodeBadSignature},
		{"signed by another key", forged.Segment(5, reports...), lamppost.CodeBadSignature},
		{"reports in another order", swapped, lamppost.CodeBadTx},
		{"readings miscounted", miscounted, lamppost.CodeBadTx},
	} {
		outcomes, writes, err := state.Apply(c.tx, c.tx.ID("net"), false)
		if err != nil || len(outcomes) != len(reports) || len(writes) > 0 {
			t.Fatalf("%s: %d outcomes, %d bytes written, %v", c.name, len(outcomes), len(writes), err)
		}
		for i, o := range outcomes {
			if o.Code != c.want || o.Text == "" {
				t.Errorf("%s: report %d: %+v, want %v", c.name, i, o, c.want)
			}
		}
	}
	outcomes, _, err := state.Apply(net.Segment(5, reports...), lamppost.TxID{}, false)
	if err != nil || outcomes[0].Code != lamppost.CodeOK || outcomes[1].Code != lamppost.CodeBadReport || outcomes[2].Code != lamppost.CodeOK {
		t.Errorf("the honest segment: %+v, %v", outcomes, err)
	}
}

func found(t testing.TB, net *ledgertest.Network, devices ...*ledgertest.Device) *ledger.State {
	t.Helper()
	state, err := ledger.Open(kv.NewMem())
	if err != nil {
		t.Fatal(err)
	}
	state.Begin(1, 1)
	txs := []*lamppost.Transaction{net.Genesis(), net.Order(1000, lamppost.TxParty, lamppost.PartyBody{ID: "p"})}
	for _, d := range devices {
		txs = append(txs, net.Order(1000, lamppost.TxDevice, d.Body("p")))
	}
	for _, tx := range txs {
		if o, _, err := state.Apply(tx, tx.ID(net.ID), false); err != nil || o[0].Code != lamppost.CodeOK {
			t.Fatalf("founding: %v: %+v, %v", tx.Type, o, err)
		}
	}
	state.Committed() // nothing is read back from the store here
	return state
}

// load signs segments of 1,000 reports with one reading each, of 100 devices in turn.
func load(tb testing.TB, segments int) (*ledger.State, []*lamppost.Transaction) {
	net := ledgertest.New("net")
	devices := make([]*ledgertest.Device, 100)
	for i := range devices {
		devices[i] = net.NewDevice(lamppost.DeviceID(fmt.Sprintf("device-%03d", i)), sig.EdDSA)
	}
	state := found(tb, net, devices...)
	txs := make([]*lamppost.Transaction, segments)
	n := uint64(0)
	for i := range txs {
		reports := make([][]byte, 1000)
		for j := range reports {
			d := devices[j%100]
			if j%100 == 0 {
				n++
			}
			reports[j] = d.Report(n, ledgertest.Power(lamppost.TimeMS(n), int64(j)))
		}
		txs[i] = net.Segment(5, reports...)
	}
	return state, txs
}

// The way of a report that this process checked itself allocates nothing in the steady state: what is left is a handful
// for the whole segment.
func TestCheckedReportAllocatesNothing(t *testing.T) {
	const runs = 5
	state, txs := load(t, runs+2)
	i := 0
	apply := func() {
		if _, _, err := state.Apply(txs[i], lamppost.TxID{}, true); err != nil {
			t.Fatal(err)
		}
		state.Committed()
		i++
	}
	apply()
	if perSegment := testing.AllocsPerRun(runs, apply); perSegment > 20 {
		t.Errorf("a segment of 1000 reports costs %v allocations, want a few for the segment", perSegment)
	}
}

func BenchmarkSegment(b *testing.B) {
	for name, checked := range map[string]bool{"checked": true, "unchecked": false} {
		b.Run(name, func(b *testing.B) {
			const each = 30
			state, txs := load(b, each)
			b.ReportAllocs()
			reports := 0
			for b.Loop() {
				if reports/1000%each == 0 && reports > 0 { // numbers are used up: begin again with an empty ledger
					b.StopTimer()
					state, txs = load(b, each)
					b.StartTimer()
				}
				if _, _, err := state.Apply(txs[reports/1000%each], lamppost.TxID{}, checked); err != nil {
					b.Fatal(err)
				}
				state.Committed()
				reports += 1000
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(reports), "ns/report")
		})
	}
}
