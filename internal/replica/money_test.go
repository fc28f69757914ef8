package replica_test

import (
	"flag"
	"fmt"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/internal/tilelog"
)

var (
	moneySeeds = flag.Int("money.seeds", 8, "how many chains TestRandomStatements makes")
	moneySeed  = flag.Uint64("money.seed", 1, "the seed of the first")
)

// Whatever an honest ledger was told, an auditor computes every bill of every buyer again and comes to the same.
//
// A longer run: go test ./internal/replica -run RandomStatements -money.seeds 1000 -timeout 4h
func TestRandomStatements(t *testing.T) {
	t.Parallel()
	for i := range *moneySeeds {
		seed := *moneySeed + uint64(i)
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			net, store := randomMoney(t, seed, 500)
			signed, tree := publish(t, net, store, new(tilelog.MemStorage))
			v, n := archive.View{Reader: store}, 0
			for _, buyer := range []lamppost.PartyID{"b0", "b1", "b2"} {
				want, err := replica.WantStatement(v, buyer)
				if err != nil {
					continue // nothing was billed
				}
				proof, err := replica.Prove(v, net.ID, []string{signed}, tree, want)
				if err != nil {
					t.Fatalf("Prove = %v", err)
				}
				s, err := audit.NewStatement(proof, pin(net), buyer)
				if err != nil {
					t.Fatalf("the statement of %s: %v", buyer, err)
				}
				if _, err := audit.Verify(s.Encode(), pin(net)); err != nil {
					t.Fatalf("Verify = %v", err)
				}
				n += len(s.Invoices)
			}
			if n == 0 {
				t.Error("nothing was billed")
			}
		})
	}
}

// randomMoney is a network with so much traffic on it.
func randomMoney(t *testing.T, seed uint64, ops int) (*ledgertest.Network, *kv.Mem) {
	t.Helper()
	draw, net, store := seeded(seed), ledgertest.New("net"), kv.NewMem()
	m, r := ledgertest.NewMoney(net, draw), open(t, store)
	run := func(txs ...*lamppost.Transaction) {
		res := apply(t, r, block(r.Last().Height+1, m.Now, txs...))
		commit(t, r)
		for i, tx := range txs {
			m.Saw(tx, res.Outcomes[i][0])
		}
	}
	run(m.Found()...)
	for range ops {
		m.Wait()
		run(m.Next())
	}
	return net, store
}
