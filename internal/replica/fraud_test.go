package replica_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/sig"
)

// lies makes a chain of a network that trusts its gateway: it brings true and forged reports, and orders accuse it, rightly
// and falsely, in the block of its segment or later. A suspended gateway registers its next key.
func lies(draw func(n int) int) (chain []*lamppost.Block) {
	net := ledgertest.New("net")
	gw := *net
	gw.Member, gw.Key = "gw", ledgertest.Key("gw/0", sig.EdDSA)
	meter := net.NewDevice("meter", sig.EdDSA)
	thief := *meter
	thief.Key = ledgertest.Key("thief", sig.EdDSA)
	at := ledgertest.Start
	order := func(t lamppost.TxType, body any) *lamppost.Transaction { return net.Order(at+ledgertest.Hour, t, body) }
	g := net.GenesisBody()
	g.Verify = lamppost.VerifyGateway
	chain = append(chain, block(1, at, order(lamppost.TxGenesis, g), order(lamppost.TxParty, lamppost.PartyBody{ID: "p"}), order(lamppost.TxDevice, meter.Body("p")),
		order(lamppost.TxGateway, lamppost.GatewayBody{ID: "gw", Member: net.Member, Key: gw.Key.Public().Bytes()})))
	var evidence []lamppost.FraudBody
	key := uint32(0)
	for h, last := lamppost.Height(2), lamppost.Height(3+draw(9)); h <= last; h++ {
		at += 1 + lamppost.TimeMS(draw(5))*lamppost.ChallengeMS/8
		var txs []*lamppost.Transaction
		for range 1 + draw(4) {
			switch kind := draw(5); {
			case kind == 0:
				key++
				gw.Key = ledgertest.Key(fmt.Sprint("gw/", key), sig.EdDSA)
				txs = append(txs, order(lamppost.TxGateway, lamppost.GatewayBody{ID: "gw", Member: net.Member, Key: gw.Key.Public().Bytes(), KeyEpoch: key}))
			case kind < 3 && len(evidence) > 0:
				txs = append(txs, order(lamppost.TxFraud, evidence[draw(len(evidence))]))
			default:
				var raws [][]byte
				for range 1 + draw(5) {
					d := meter
					if draw(3) == 0 {
						d = &thief
					}
					raws = append(raws, d.Billing(uint64(1+draw(20)), ledgertest.Energy(ledgertest.Start+lamppost.TimeMS(draw(9))*lamppost.EdgeMS, int64(draw(99)))))
				}
				tx := gw.Segment(at, raws...)
				for i := range raws {
					it := &tx.Items[i]
					evidence = append(evidence, lamppost.FraudBody{Height: h, Tx: uint32(len(txs)), Report: uint32(i), Header: tx.SignedRaw, Salt: it.Salt[:],
						Received: it.Received, Raw: it.Report, Path: lamppost.MerklePath(tx.Leaves(), i)})
				}
				txs = append(txs, tx)
			}
		}
		chain = append(chain, block(h, at, txs...))
	}
	return chain
}

// Corrections are part of the chain: replicas that decide the same blocks agree on what was undone.
func TestCorrectionsReplay(t *testing.T) {
	t.Parallel()
	corrected := 0
	rapid.Check(t, func(t *rapid.T) {
		draw := func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "") }
		sameBlocksSameStore(t, lies(draw), draw, func(tx *lamppost.Transaction, o lamppost.Outcome) {
			if tx.Type == lamppost.TxFraud && o.Code == lamppost.CodeOK {
				corrected++
			}
		})
	})
	if corrected == 0 {
		t.Error("no accusation was accepted")
	}
}

// What ingest believes of a gateway ends with the correction that suspends it.
func TestSuspendedGateway(t *testing.T) {
	t.Parallel()
	net, store := ledgertest.New("net"), kv.NewMem()
	gw := *net
	gw.Member, gw.Key = "gw", ledgertest.Key("gw", sig.EdDSA)
	order := func(t lamppost.TxType, body any) *lamppost.Transaction {
		return net.Order(ledgertest.Start+ledgertest.Hour, t, body)
	}
	g := net.GenesisBody()
	g.Verify = lamppost.VerifyGateway
	meter := net.NewDevice("meter", sig.EdDSA)
	body := meter.Body("p")
	meter.Key = ledgertest.Key("thief", sig.EdDSA)
	tx := gw.Segment(ledgertest.Start, meter.Report(1, ledgertest.Power(ledgertest.Start, 1)))
	r := open(t, store)
	apply(t, r, block(1, ledgertest.Start, order(lamppost.TxGenesis, g), order(lamppost.TxParty, lamppost.PartyBody{ID: "p"}), order(lamppost.TxDevice, body),
		order(lamppost.TxGateway, lamppost.GatewayBody{ID: "gw", Member: "m1", Key: gw.Key.Public().Bytes()}), tx))
	commit(t, r)
	counts := func(r *replica.Replica) bool { return r.Gateway("gw").Signed(tx, "net", ledgertest.Start) }
	if !counts(r) || r.Policy() != lamppost.VerifyGateway {
		t.Fatalf("the gateway's key counts: %t, the policy is %v", counts(r), r.Policy())
	}
	it := &tx.Items[0]
	apply(t, r, block(2, ledgertest.Start+1, order(lamppost.TxFraud, lamppost.FraudBody{Height: 1, Tx: 4, Header: tx.SignedRaw, Salt: it.Salt[:],
		Received: it.Received, Raw: it.Report})))
	commit(t, r)
	if counts(r) || counts(open(t, store)) {
		t.Errorf("its key counts after the commit: %t, opened again: %t", counts(r), counts(open(t, store)))
	}
}
