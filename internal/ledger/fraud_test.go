package ledger_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
	"github.com/lamppost/lamppost/sig"
)

// A trusting is a network of a policy with a member, a gateway and some devices, a block to a transaction.
type trusting struct {
	t      fatal
	net    *ledgertest.Network
	gw     *ledgertest.Network // signs as the gateway
	store  *kv.Mem
	state  *ledger.State
	height lamppost.Height
	now    lamppost.TimeMS
}

// fatal is what *testing.F and *rapid.T have in common.
type fatal interface {
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func newTrusting(t fatal, policy lamppost.Policy, devices ...*ledgertest.Device) *trusting {
	n := &trusting{t: t, net: ledgertest.New("net"), store: kv.NewMem(), now: ledgertest.Start}
	gw := *n.net
	gw.Member, gw.Key = "gw", ledgertest.Key("gw", sig.EdDSA)
	n.gw = &gw
	n.reopen()
	body := n.net.GenesisBody()
	body.Verify = policy
	n.order(lamppost.TxGenesis, body)
	n.order(lamppost.TxParty, lamppost.PartyBody{ID: "p0"})
	n.order(lamppost.TxGateway, lamppost.GatewayBody{ID: "gw", Member: "m1", Key: gw.Key.Public().Bytes()})
	for _, d := range devices {
		n.order(lamppost.TxDevice, d.Body("p0"))
	}
	return n
}

func (n *trusting) reopen() {
	var err error
	if n.state, err = ledger.Open(n.store); err != nil {
		n.t.Fatal(err)
	}
}

// apply decides a transaction; the first ones stand in the founding block.
func (n *trusting) apply(tx *lamppost.Transaction) []lamppost.Outcome {
	n.height++
	n.now++
	n.state.Begin(n.height, n.now)
	n.state.Verify([]*lamppost.Transaction{tx}, never)
	outcomes, _, err := n.state.Apply(tx, tx.ID("net"), false)
	if err != nil {
		n.t.Fatal(err)
	}
	var batch kv.Batch
	n.state.Stage(&batch)
	if err := n.store.Apply(&batch); err != nil {
		n.t.Fatal(err)
	}
	n.state.Committed()
	return outcomes
}

func (n *trusting) order(typ lamppost.TxType, body any) {
	tx := n.net.Order(n.now+ledgertest.Hour, typ, body)
	if o := n.apply(tx); o[0].Code != lamppost.CodeOK {
		n.t.Fatalf("%v: %+v", typ, o[0])
	}
}

// content is the state but for what only a trusting network keeps: its policy and the records of segments.
func (n *trusting) content() string {
	var b bytes.Buffer
	err := n.store.Scan([]byte("s"), []byte("t"), func(k, v []byte) error {
		if k[1] != 'S' && k[1] != 'N' {
			fmt.Fprintf(&b, "%q = %x\n", k, v)
		}
		return nil
	})
	if err != nil {
		n.t.Fatal(err)
	}
	return b.String()
}

// With honest gateways it makes no difference whether every signature is checked or their word is taken: each report has
// the same outcome, and the state is the same. Method: a gateway packs what devices send, also again, late, under a key
// that was replaced or revoked, under used numbers and in new epochs, but nothing that the key it names did not sign.
func TestHonestGatewaysMakeNoDifference(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		draw := drawer(t)
		base := ledgertest.New("net")
		devices := []*ledgertest.Device{base.NewDevice("d0", sig.EdDSA), base.NewDevice("d1", sig.ES256)}
		full, trusts := newTrusting(t, lamppost.VerifyFull, devices...), newTrusting(t, lamppost.VerifyGateway, devices...)
		var sent [][]byte
		both := func(tx *lamppost.Transaction) {
			a, b := full.apply(tx), trusts.apply(tx)
			if fmt.Sprint(a) != fmt.Sprint(b) {
				t.Fatalf("%v: full %v, trusting %v", tx.Type, a, b)
			}
		}
		for range 1 + draw(30) {
			d := devices[draw(2)]
			switch draw(8) {
			case 0:
				consent := d.Rotate()
				b := d.Body("p0")
				b.Consent = consent
				both(full.net.Order(full.now+ledgertest.Hour, lamppost.TxDevice, b))
				continue
			case 1:
				both(full.net.Order(full.now+ledgertest.Hour, lamppost.TxRevoke, lamppost.RevokeBody{Device: d.ID, KeyEpoch: d.Epoch - min(d.Epoch, uint32(draw(3)))}))
				continue
			}
			var reports [][]byte
			for range 1 + draw(4) {
				at := ledgertest.Start + lamppost.TimeMS(draw(8))*lamppost.EdgeMS
				r := lamppost.Report{Seq: lamppost.Seq{Epoch: uint32(draw(3) / 2), N: uint64(1 + draw(12))}, Flags: uint32(draw(2)) * lamppost.FlagBilling,
					Readings: []lamppost.Reading{ledgertest.Energy(at, int64(draw(50)))}}
				raw := d.Sign(r)
				if len(sent) > 0 && draw(3) == 0 {
					raw = sent[draw(len(sent))]
				}
				sent, reports = append(sent, raw), append(reports, raw)
			}
			both(full.gw.Segment(full.now, reports...))
			if draw(6) == 0 {
				full.reopen()
				trusts.reopen()
			}
		}
		if a, b := full.content(), trusts.content(); a != b {
			t.Fatalf("full:\n%s\ntrusting:\n%s", a, b)
		}
	})
}

// A lie that is found leaves nothing behind: once all forged reports are corrected, in any order, a device's numbers and
// registers are those of a network in which they never came, and the true reports under their numbers are taken.
func TestCorrectionUndoes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		draw := drawer(t)
		d := ledgertest.New("net").NewDevice("d", sig.EdDSA)
		liar := *d
		liar.Key = ledgertest.Key("liar", sig.EdDSA)
		lied, never := newTrusting(t, lamppost.VerifyGateway, d), newTrusting(t, lamppost.VerifyGateway, d)
		numbers := rapid.Permutation([]uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 1 << 40, 1 << 41}).Draw(t, "numbers")
		var frauds []lamppost.FraudBody
		var freed []uint64
		for len(numbers) > 0 {
			n := min(len(numbers), 1+draw(4))
			var all, honest [][]byte
			var forged []int
			for _, number := range numbers[:n] {
				edge := ledgertest.Start + lamppost.TimeMS(number%64)*lamppost.EdgeMS
				if number > 100 || draw(2) == 0 {
					forged = append(forged, len(all))
					freed = append(freed, number)
					all = append(all, liar.Billing(number, ledgertest.Energy(edge, 666)))
					continue
				}
				raw := d.Billing(number, ledgertest.Energy(edge, int64(number)))
				all, honest = append(all, raw), append(honest, raw)
			}
			numbers = numbers[n:]
			tx := lied.gw.Segment(lied.now, all...)
			lied.apply(tx)
			for _, i := range forged {
				it := &tx.Items[i]
				frauds = append(frauds, lamppost.FraudBody{Height: lied.height, Report: uint32(i), Header: tx.SignedRaw, Salt: it.Salt[:], Received: it.Received,
					Raw: it.Report, Path: lamppost.MerklePath(tx.Leaves(), i)})
			}
			if len(honest) > 0 {
				never.apply(never.gw.Segment(lied.now, honest...))
			}
		}
		if draw(2) == 0 {
			lied.reopen()
		}
		for _, b := range rapid.Permutation(frauds).Draw(t, "frauds") {
			lied.order(lamppost.TxFraud, b)
		}
		compareDevice(t, lied, never)
		for _, number := range freed {
			if number > 100 {
				continue
			}
			raw := d.Billing(number, ledgertest.Energy(ledgertest.Start+lamppost.TimeMS(number)*lamppost.EdgeMS, int64(number)))
			if o := lied.apply(lied.net.Segment(lied.now, raw)); o[0].Code != lamppost.CodeOK {
				t.Fatalf("the true report %d: %+v", number, o[0])
			}
			if o := lied.apply(lied.net.Segment(lied.now, raw)); o[0].Code != lamppost.CodeDuplicate {
				t.Fatalf("the true report %d again: %+v", number, o[0])
			}
			never.apply(never.net.Segment(lied.now, raw))
		}
		compareDevice(t, lied, never)
	})
}

func compareDevice(t *rapid.T, a, b *trusting) {
	show := func(n *trusting) string {
		v := ledger.View{Reader: n.store}
		high, missing, lost, err := v.Sequence("d")
		if err != nil {
			t.Fatal(err)
		}
		why, err := v.Quarantine("d")
		if err != nil {
			t.Fatal(err)
		}
		edges := 0
		var last []byte
		from := []byte("sEd\x00")
		if err := n.store.Scan(from, append(slices.Clone(from[:3]), 1), func(k, v []byte) error { edges++; last = slices.Clone(k); return nil }); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("high %d/%d, missing %d, lost %d, quarantine %q, %d edges, the last %q", high.Epoch, high.N, missing, lost, why, edges, last)
	}
	if x, y := show(a), show(b); x != y {
		t.Fatalf("after the corrections: %s; without lies: %s", x, y)
	}
}

// Whatever a stranger sends, an accusation holds only if it shows the one forged report that there is.
func FuzzChallenge(f *testing.F) {
	d := ledgertest.New("net").NewDevice("d", sig.EdDSA)
	liar := *d
	liar.Key = ledgertest.Key("liar", sig.EdDSA)
	n := newTrusting(f, lamppost.VerifyGateway, d)
	honest, forged := d.Report(1, ledgertest.Power(n.now, 1)), liar.Report(2, ledgertest.Power(n.now, 2))
	tx := n.gw.Segment(n.now, honest, forged, d.Report(3, ledgertest.Power(n.now, 3)))
	n.apply(tx)
	for i := range tx.Items {
		it := &tx.Items[i]
		f.Add(lamppost.Marshal(lamppost.FraudBody{Height: n.height, Report: uint32(i), Header: tx.SignedRaw, Salt: it.Salt[:], Received: it.Received,
			Raw: it.Report, Path: lamppost.MerklePath(tx.Leaves(), i)}))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var b lamppost.FraudBody
		if lamppost.Unmarshal(raw, &b) != nil {
			return
		}
		err := ledger.View{Reader: n.store}.Challenge(n.now, &b)
		var refusal *lamppost.Refusal
		switch {
		case err == nil && (b.Height != n.height || b.Tx != 0 || b.Report != 1 || !bytes.Equal(b.Raw, forged)):
			t.Errorf("accepted: %+v", b)
		case err != nil && !errors.As(err, &refusal):
			t.Errorf("not a refusal: %v", err)
		}
	})
}
