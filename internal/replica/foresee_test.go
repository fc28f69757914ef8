package replica_test

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/sig"
)

var _ interface{ Foresee([][]byte) } = (*replica.Replica)(nil)

// What a replica foresees decides nothing. One is told of blocks some blocks ahead, of some never, of some that do not come, and its store
// is that of one that is told of none. Keys change on the way, so what was found ahead is sometimes of a key that counts no longer.
func TestForeseenDecidesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		draw := func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "") }
		chain := blocks(1+draw(12), draw)
		storeA, storeB := kv.NewMem(), kv.NewMem()
		told, untold := open(t, storeA), open(t, storeB)
		for i, b := range chain {
			for _, next := range chain[i:min(len(chain), i+1+draw(6))] {
				switch txs := copied(next.Txs); {
				case draw(4) == 0:
				case draw(8) == 0:
					told.Foresee(txs[1:])
				default:
					told.Foresee(txs)
				}
			}
			a := apply(t, told, b)
			if c := apply(t, untold, b); a.Root != c.Root {
				t.Fatalf("block %d: root %v when it was foreseen, %v when not", b.Height, a.Root, c.Root)
			}
			if draw(3) > 0 {
				commit(t, told)
				commit(t, untold)
			}
		}
		commit(t, told)
		commit(t, untold)
		if a, b := dump(t, storeA), dump(t, storeB); a != b {
			t.Fatalf("the stores differ: %s", diff(a, b))
		}
	})
}

func copied(txs [][]byte) (c [][]byte) {
	for _, tx := range txs {
		c = append(c, bytes.Clone(tx))
	}
	return c
}

// BenchmarkForesee is what Apply takes of the time between a block's decision and its acknowledgements: a block of three segments of 64
// reports, foreseen while it was made durable, and not.
func BenchmarkForesee(b *testing.B) {
	const segments, each = 3, 64
	net := ledgertest.New("net")
	devices := make([]*ledgertest.Device, segments*each)
	founding := []*lamppost.Transaction{net.Genesis(), net.Order(1000, lamppost.TxParty, lamppost.PartyBody{ID: "p", Name: "P"})}
	for i := range devices {
		devices[i] = net.NewDevice(lamppost.DeviceID("device-"+string(rune('a'+i/26))+string(rune('a'+i%26))), sig.EdDSA)
		founding = append(founding, net.Order(1000, lamppost.TxDevice, devices[i].Body("p")))
	}
	for _, foreseen := range []bool{true, false} {
		b.Run(map[bool]string{true: "foreseen", false: "not"}[foreseen], func(b *testing.B) {
			r := open(b, kv.NewMem())
			apply(b, r, block(1, 1, founding...))
			commit(b, r)
			for n := uint64(1); b.Loop(); n++ {
				b.StopTimer()
				var txs []*lamppost.Transaction
				for i := range segments {
					var reports [][]byte
					for _, d := range devices[i*each : (i+1)*each] {
						reports = append(reports, d.Report(n, ledgertest.Power(lamppost.TimeMS(n), 1)))
					}
					txs = append(txs, net.Segment(lamppost.TimeMS(n+1), reports...))
				}
				next := block(lamppost.Height(n+1), lamppost.TimeMS(n+1), txs...)
				if foreseen {
					r.Foresee(next.Txs)
					replica.WaitForeseen(r)
				}
				b.StartTimer()
				apply(b, r, next)
				b.StopTimer()
				commit(b, r)
				b.StartTimer()
			}
		})
	}
}
