package replica_test

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/contract"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/books"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/internal/tilelog"
)

var (
	moneySeeds = flag.Int("money.seeds", 8, "how many chains TestRandomStatements makes")
	moneySeed  = flag.Uint64("money.seed", 1, "the seed of the first")
)

// Whatever an honest ledger was told, an auditor computes every bill of every buyer again and comes to the same; the journal has every
// posting, also those that contracts made; and whatever a contract did, its program does again, given what it was told.
//
// A longer run: go test ./internal/replica -run RandomStatements -money.seeds 1000 -timeout 4h
func TestRandomStatements(t *testing.T) {
	t.Parallel()
	var runs, paid, judged, found atomic.Int64
	t.Cleanup(func() {
		if runs.Load() == 0 || paid.Load() == 0 || judged.Load() == 0 || found.Load() == 0 {
			t.Errorf("%d contracts ran, %d payments of them were shown, %d lines were judged, %d findings answered: none of these should be 0", runs.Load(), paid.Load(), judged.Load(), found.Load())
		}
	})
	for i := range *moneySeeds {
		seed := *moneySeed + uint64(i)
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			net, store := randomMoney(t, seed, 500)
			signed, tree := publish(t, net, store, new(tilelog.MemStorage))
			v, n := archive.View{Reader: store}, 0
			parties, err := ledger.View{Reader: store}.Parties()
			must(t, err)
			for i := range parties {
				buyer := parties[i].ID
				want, err := replica.WantStatement(v, buyer)
				if refusal := new(lamppost.Refusal); errors.As(err, &refusal) {
					continue // nothing was billed or paid
				}
				must(t, err)
				proof, err := replica.Prove(v, net.ID, []string{signed}, tree, want)
				if err != nil {
					t.Fatalf("Prove = %v", err)
				}
				s, err := audit.NewStatement(proof, pin(net), buyer)
				if err != nil {
					t.Fatalf("the statement of %s: %v", buyer, err)
				}
				if _, err := audit.VerifyRunning(s.Encode(), pin(net), contract.Again); err != nil {
					t.Fatalf("Verify = %v", err)
				}
				comparePaid(t, store, s)
				paid.Add(int64(len(s.Payments())))
				n += len(s.Invoices)
				for i := range s.Invoices {
					for _, l := range s.Invoices[i].Lines {
						found.Add(int64(len(l.Findings)))
						if l.Judged {
							judged.Add(1)
						}
					}
				}
			}
			if n == 0 {
				t.Error("nothing was billed")
			}
			see := func(f func(archive.View) error) error { return f(v) }
			if _, err := books.WriteJournal(t.Context(), io.Discard, see, false); err != nil {
				t.Error(err)
			}
			runs.Add(int64(runAgain(t, store)))
		})
	}
}

// comparePaid holds a statement's payments against every run there ever was.
func comparePaid(t *testing.T, store *kv.Mem, s *audit.Statement) {
	t.Helper()
	v := ledger.View{Reader: store}
	all, err := v.Runs(0, math.MaxInt64)
	must(t, err)
	mine := func(p lamppost.PartyID) bool {
		d, err := v.Device(lamppost.DeviceID(p))
		return string(p) == s.Party.ID || err == nil && string(d.Owner) == s.Party.ID
	}
	var want, got []string
	for i := range all {
		for _, p := range all[i].Payments {
			if mine(p.From) || mine(p.To) {
				want = append(want, fmt.Sprint(all[i].Contract, all[i].N, p))
			}
		}
	}
	for _, p := range s.Payments() {
		got = append(got, fmt.Sprint(p.Run.Contract, p.Run.N, p.Payment))
	}
	if !slices.Equal(got, want) {
		t.Errorf("the statement of %s shows the payments %v, there were %v", s.Party.ID, got, want)
	}
}

// runAgain does what contracts did by package contract alone: with the source and the terms of the version, the event, and the state before.
func runAgain(t *testing.T, store *kv.Mem) int {
	v := ledger.View{Reader: store}
	all, err := v.Runs(0, math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	for i := range all {
		x := &all[i]
		b, err := v.ContractVersion(x.Contract, x.Version)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := contract.Again(&b, &x.Run, ledger.Rules); err != nil {
			t.Errorf("run %+v: %v", x, err)
		}
	}
	return len(all)
}

// randomMoney is a network with so much traffic on it.
func randomMoney(t *testing.T, seed uint64, ops int) (*ledgertest.Network, *kv.Mem) {
	t.Helper()
	draw, net, store := seeded(seed), ledgertest.New("net"), kv.NewMem()
	m, r := ledgertest.NewMoney(net, draw), open(t, store)
	run := func(txs ...*lamppost.Transaction) {
		res := apply(t, r, block(m.Height, m.Now, txs...))
		commit(t, r)
		for i, tx := range txs {
			m.Index = uint32(i)
			m.Saw(tx, res.Outcomes[i][0])
		}
	}
	m.Height = 1
	run(m.Found()...)
	for range ops {
		m.Height++
		m.Wait()
		run(m.Next())
	}
	return net, store
}
