package replica_test

import (
	"bytes"
	"crypto/sha256"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/internal/tilelog"
	"github.com/lamppost/lamppost/sig"
	"github.com/lamppost/lamppost/tariff"
)

// A guesser has everything that a member has, knows all of a report but its value, of which there are a thousand, and tries
// them all. It knows the formats: every place in state, archive and log where something follows from the report.
type guesser struct {
	device  lamppost.DeviceBody
	remains []byte // all that is left, in one piece
	guess   func(value int64) (*lamppost.Report, []byte)
}

// right returns the values that something confirms.
func (g *guesser) right() (values []int64) {
	for v := range int64(1000) {
		r, payload := g.guess(v)
		signed := r.AppendToBeSigned(nil, "net")
		id := lamppost.ReportID(sha256.Sum256(signed))
		recent := lamppost.RecentID(g.device.Salt, id)
		if bytes.Contains(g.remains, payload) || bytes.Contains(g.remains, id[:]) || bytes.Contains(g.remains, recent[:]) {
			values = append(values, v)
		}
	}
	return values
}

// Goal: an erased reading of low entropy cannot be guessed from what remains, by anybody, the operator included; before the
// erasure it can, so the guesser is worth its name. What was not erased, and the whole chain's log, hold as before.
func TestErasedReadingCannotBeGuessed(t *testing.T) {
	t.Parallel()
	const secret = 417
	net := ledgertest.New("net")
	store, objects := kv.NewMem(), new(archive.MemObjects)
	packs, err := archive.NewPacks(store, objects)
	must(t, err)
	r, err := replica.Open(replica.Config{Store: store, Packs: packs})
	must(t, err)
	now := ledgertest.Start
	run := func(txs ...*lamppost.Transaction) *lamppost.Result {
		t.Helper()
		now += 1000
		res := apply(t, r, block(r.Last().Height+1, now, txs...))
		commit(t, r)
		for i := range res.Outcomes {
			for _, o := range res.Outcomes[i] {
				must(t, o.Err())
			}
		}
		return res
	}
	order := func(typ lamppost.TxType, body any) *lamppost.Transaction {
		return net.Order(now+ledgertest.Hour, typ, body)
	}
	hers, his := net.NewDevice("hers", sig.EdDSA), net.NewDevice("his", sig.EdDSA)
	body := hers.Body("owner")
	run(net.Genesis(), order(lamppost.TxParty, lamppost.PartyBody{ID: "owner"}), order(lamppost.TxDevice, body), order(lamppost.TxDevice, his.Body("owner")))
	run(net.Segment(now, hers.Report(1, ledgertest.Power(now, secret)), his.Report(1, ledgertest.Power(now, 5000))))
	segment := parsed(t, archive.View{Reader: store}, 2)
	files := new(tilelog.MemStorage)
	publish(t, net, store, files)

	var original lamppost.Report
	must(t, original.Decode(segment.Items[0].Report))
	g := &guesser{device: body, guess: func(v int64) (*lamppost.Report, []byte) {
		guess := original
		guess.Readings = []lamppost.Reading{original.Readings[0]}
		guess.Readings[0].Value = lamppost.Dec(v, 0)
		raw, err := lamppost.SignReport(&guess, "net", his.Key) // the header and the payload are what would be signed
		must(t, err)
		var again lamppost.Report
		must(t, again.Decode(raw))
		return &again, lamppost.AppendPack(nil, guess.Readings)
	}}
	look := func() {
		t.Helper()
		g.remains = nil
		must(t, store.Scan(nil, nil, func(k, v []byte) error { g.remains = append(append(g.remains, k...), v...); return nil }))
		v := archive.View{Reader: store, Packs: packs}
		for h := lamppost.Height(1); h <= r.Last().Height; h++ {
			blk, err := v.Block(h)
			must(t, err)
			for i := range blk.Count {
				rec, err := v.Tx(h, i)
				must(t, err)
				g.remains = append(g.remains, rec.Raw...)
				if rec.Thin != nil {
					g.remains = append(g.remains, rec.Thin.Append(nil)...)
				}
			}
		}
	}
	look()
	if got := g.right(); len(got) != 1 || got[0] != secret {
		t.Fatalf("before the erasure the guesser finds %v, want %d: it is not worth much", got, secret)
	}
	run(order(lamppost.TxErase, lamppost.EraseBody{Device: "hers", Basis: "GDPR Art. 17"}),
		order(lamppost.TxHold, lamppost.HoldBody{ID: "late", Device: "hers", Reason: "comes after the erasure"}))
	k := archive.Keeper{Store: store, Packs: packs, Rules: replica.Rules}
	for did := (archive.Did{Sealed: 1}); did.Some(); {
		did, err = k.Step(now)
		must(t, err)
	}
	look()
	if got := g.right(); len(got) != 0 {
		t.Errorf("after the erasure the guesser finds %v", got)
	}
	salt, writes := segment.Items[0].Salt, segment.Seed.Salt(lamppost.SaltWrites)
	for what, s := range map[string][]byte{"the report's salt": salt[:], "the transaction's seed": segment.Seed[:], "the salt of the writes": writes[:],
		"the signature": original.Signature()} {
		if bytes.Contains(g.remains, s) {
			t.Errorf("%s is still there", what)
		}
	}
	v := archive.View{Reader: store, Packs: packs}
	signed, tree := publish(t, net, store, files)
	want, err := replica.WantReport(v, tariff.Source{Height: 2, Report: 1})
	must(t, err)
	if _, err := replica.Prove(v, net.ID, []string{signed}, tree, want); err != nil {
		t.Errorf("the other report of the segment: %v", err)
	}
	if _, err := replica.WantReport(v, tariff.Source{Height: 2}); err == nil {
		t.Error("the erased report can be asked for")
	}
}

func parsed(t *testing.T, v archive.View, h lamppost.Height) *lamppost.Transaction {
	t.Helper()
	rec, err := v.Tx(h, 0)
	must(t, err)
	tx, err := lamppost.ParseTransaction(rec.Raw)
	must(t, err)
	return tx
}

// What is pruned and what stays: a statement issued before, and the receipt of a billing report, are made and hold after
// everything else of the chain was pruned to headers.
func TestPrunedChainStillBills(t *testing.T) {
	t.Parallel()
	net, store, r := billed(t)
	objects := new(archive.MemObjects)
	packs, err := archive.NewPacks(store, objects)
	must(t, err)
	k := archive.Keeper{Store: store, Packs: packs, Rules: func(kv.Reader) (*archive.Rules, error) {
		return &archive.Rules{Default: archive.Retention{RawMS: 1, SummaryMS: 1}}, nil
	}}
	thinned := 0
	for did := (archive.Did{Sealed: 1}); did.Some(); {
		did, err = k.Step(r.Last().Time + 10*ledgertest.Day)
		must(t, err)
		thinned += did.Thinned
	}
	if thinned == 0 {
		t.Fatal("nothing was pruned")
	}
	v := archive.View{Reader: store, Packs: packs}
	signed, tree := publish(t, net, store, new(tilelog.MemStorage))
	want, err := replica.WantStatement(v, "bob")
	must(t, err)
	proof, err := replica.Prove(v, net.ID, []string{signed}, tree, want)
	must(t, err)
	checkStatement(t, net, proof)
}
