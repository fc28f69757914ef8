package ingest_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus"
	"github.com/lamppost/lamppost/internal/ingest"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
)

// A segment has the reports of each device beside each other, as they came, so that those of neighbours are proven with fewer
// hashes; and each sender still hears of its own.
func TestSegmentOrder(t *testing.T) {
	t.Parallel()
	var cfg ingest.Config
	n := newNode(t, kv.NewMem(), 3, func(c *ingest.Config) { cfg = *c })
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	core, s := ingest.NewCore(cfg), newSink(t, 6)
	slices.SortFunc(n.devs, func(a, b *ledgertest.Device) int { return strings.Compare(string(a.ID), string(b.ID)) })
	var batch []ingest.Item
	var ids []lamppost.ReportID
	for i, from := range []int{2, 0, 1, 0, 2, 0} {
		d, number := n.devs[from], uint64(i+1) // gaps are allowed
		raw := d.Report(number, ledgertest.Power(now, 1))
		var r lamppost.Report
		must(r.Decode(raw))
		ids = append(ids, r.ID(n.net.ID))
		batch = append(batch, ingest.Item{Raw: raw, At: now, From: &ingest.Origin{Device: d.ID}, Token: uint64(i), Sink: s})
	}
	_, raw, err := core.Pack(batch, 1)
	must(err)
	tx, err := lamppost.ParseTransaction(raw)
	must(err)
	var order []uint64
	for i := range tx.Items {
		var r lamppost.Report
		must(r.Decode(tx.Items[i].Report))
		order = append(order, r.Seq.N)
	}
	if want := "[2 4 6 3 1 5]"; fmt.Sprint(order) != want {
		t.Errorf("reports %v, want %s", order, want)
	}
	res, err := n.rep.Apply(&lamppost.Block{Height: 2, Time: now + 1, Cursor: 2, Txs: [][]byte{raw}})
	must(err)
	core.Reply(consensus.Decision{Height: 2, Outcomes: res.Outcomes[0]})
	for i, r := range s.wait() {
		if r.Code != lamppost.CodeOK || r.ID != ids[i] {
			t.Errorf("report %d: %s for %x, want ok for %x", i, r.Code, r.ID, ids[i])
		}
	}
}
