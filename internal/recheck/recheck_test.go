package recheck_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
	"github.com/lamppost/lamppost/internal/recheck"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/internal/tilelog"
	"github.com/lamppost/lamppost/sig"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A chain is a node's blocks with their log.
type chain struct {
	t     testing.TB
	net   *ledgertest.Network
	store *kv.Mem
	rep   *replica.Replica
	view  archive.View
	now   lamppost.TimeMS
}

func newChain(t testing.TB) *chain {
	c := &chain{t: t, net: ledgertest.New("net"), store: kv.NewMem(), now: ledgertest.Start}
	var err error
	c.rep, err = replica.Open(replica.Config{Store: c.store})
	must(t, err)
	c.view = archive.View{Reader: c.store}
	return c
}

// block commits transactions and returns the codes of all outcomes.
func (c *chain) block(txs ...*lamppost.Transaction) string {
	c.t.Helper()
	c.now = max(c.now, c.rep.Last().Time) + 1
	b := &lamppost.Block{Height: c.rep.Last().Height + 1, Time: c.now, Cursor: lamppost.Cursor(c.rep.Last().Height + 1)}
	for _, tx := range txs {
		b.Txs = append(b.Txs, tx.Append(nil))
	}
	res, err := c.rep.Apply(b)
	must(c.t, err)
	_, err = c.rep.Commit()
	must(c.t, err)
	var codes []string
	for _, outs := range res.Outcomes {
		for _, o := range outs {
			codes = append(codes, o.Code.String())
		}
	}
	return strings.Join(codes, " ")
}

func (c *chain) order(t lamppost.TxType, body any) *lamppost.Transaction {
	return c.net.Order(c.now+ledgertest.Hour, t, body)
}

// log publishes all there is, under a key that does not matter here.
func (c *chain) log() *tilelog.Tree {
	c.t.Helper()
	skey, vkey, err := note.GenerateKey(zeroes{}, "net/m1")
	must(c.t, err)
	signer, err := note.NewSigner(skey)
	must(c.t, err)
	verifier, err := note.NewVerifier(vkey)
	must(c.t, err)
	files := new(tilelog.MemStorage)
	p := tilelog.Publisher{Origin: verifier.Name(), Signer: signer, Verifier: verifier, Storage: files}
	signed, err := p.Publish(c.store)
	must(c.t, err)
	head, _, err := lamppost.OpenCheckpoint(signed, note.VerifierList(verifier))
	must(c.t, err)
	return tilelog.NewTree(files, head.Size, tlog.Hash(head.Root))
}

type zeroes struct{}

func (zeroes) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// sends hands out the chain's blocks, three at a time, as change makes them; nil leaves one out.
func (c *chain) sends(change func(h lamppost.Height, raw []byte) []byte) replica.Blocks {
	return func(_ context.Context, after lamppost.Height, fn func([]byte) error) error {
		for h := after + 1; h <= min(after+3, c.rep.Last().Height); h++ {
			raw, err := c.view.Encoded(h)
			must(c.t, err)
			if change != nil {
				raw = change(h, raw)
			}
			if raw == nil {
				continue
			}
			if err := fn(raw); err != nil {
				return err
			}
		}
		return nil
	}
}

func (c *chain) check(change func(*recheck.Check)) (*recheck.Found, error) {
	c.t.Helper()
	k := recheck.Check{Network: "net", Blocks: c.sends(nil), Log: c.log()}
	if change != nil {
		change(&k)
	}
	return k.Run(c.t.Context())
}

// Whatever happened on a network, all that its ledger took holds, and every report is counted once.
func TestTraffic(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		c := newChain(t)
		traffic := ledgertest.NewTraffic(c.net, rand.New(rand.NewPCG(seed, 0)).IntN)
		c.block(traffic.Found()...)
		for range 40 {
			traffic.Wait()
			c.now = max(c.now, traffic.Now)
			traffic.Now = c.now + 1
			c.block(traffic.Segment(), traffic.Next(), traffic.Segment())
		}
		got, err := c.check(nil)
		must(t, err)
		if got.Bad != 0 || got.Corrected != 0 || got.Gone != 0 || got.Alone != 0 || got.Halved == 0 {
			t.Errorf("seed %d: %+v", seed, got)
		}
		if got.Checked+got.Vouched+got.Refused != got.Reports || got.Suites["ed25519"] != got.Checked || got.Checked < 40 {
			t.Errorf("seed %d: the reports do not add up: %+v", seed, got)
		}
		if got.Leaves != c.log().Size() || got.Blocks != 41 || got.To != 41 {
			t.Errorf("seed %d: not all was looked at: %+v", seed, got)
		}
		half, err := c.check(func(k *recheck.Check) { k.From, k.To = 21, 30 })
		must(t, err)
		if half.To != 30 || half.Reports == 0 || half.Reports >= got.Reports || half.Checked+half.Refused != half.Reports {
			t.Errorf("seed %d: blocks 21 to 30: %+v", seed, half)
		}
	}
}

// Every suite and assurance is what it is counted as: a device's own key, also one that was replaced, half of a signature, a
// gateway's key for a device without one, and a key that only its gateway has.
func TestSuites(t *testing.T) {
	t.Parallel()
	c := newChain(t)
	ed, es, cold := c.net.NewDevice("ed", sig.EdDSA), c.net.NewDevice("es", sig.ES256), c.net.NewDevice("cold", sig.EdDSA)
	mac := c.net.NewDevice("mac", sig.HMAC256)
	vouched := mac.Body("p")
	vouched.Assurance, vouched.Gateway = lamppost.GatewayVouched, "m1"
	sum := lamppost.KeyCommitment(vouched.Salt, mac.Key.Public().Bytes())
	vouched.Key = sum[:]
	wrapped := c.net.NewDevice("plain", sig.EdDSA)
	plain := wrapped.Body("p")
	plain.Assurance, plain.Gateway, plain.Suite, plain.Key = lamppost.ChannelAuthenticated, "m1", 0, nil
	wrapped.Key = c.net.Key
	c.block(c.net.Genesis(), c.order(lamppost.TxParty, lamppost.PartyBody{ID: "p"}), c.order(lamppost.TxDevice, ed.Body("p")),
		c.order(lamppost.TxDevice, es.Body("p")), c.order(lamppost.TxDevice, cold.Body("p")), c.order(lamppost.TxDevice, vouched),
		c.order(lamppost.TxDevice, plain))
	power := func(n uint64, flags uint32) lamppost.Report {
		return lamppost.Report{Seq: lamppost.Seq{N: n}, Flags: flags, Readings: []lamppost.Reading{ledgertest.Power(c.now, 1)}}
	}
	half := func(i int) *sig.PublicKey {
		if i < 2 {
			return cold.Key.Public()
		}
		return nil
	}
	old := ed.Sign(power(2, 0))
	codes := c.block(c.net.Aggregate(c.now, half, cold.Sign(power(1, lamppost.FlagCold)), cold.Sign(power(2, lamppost.FlagCold)), ed.Sign(power(1, 0)),
		es.Sign(power(1, 0)), mac.Sign(power(1, 0)), wrapped.Sign(power(1, lamppost.FlagWrapped)), []byte("junk")))
	if want := "ok ok ok ok ok ok bad_report"; codes != want {
		t.Fatalf("outcomes %s, want %s", codes, want)
	}
	ed.Rotate()
	c.block(c.order(lamppost.TxDevice, ed.Body("p")), c.net.Segment(c.now, old, ed.Sign(power(3, 0)), old))
	got, err := c.check(nil)
	must(t, err)
	if got.Bad != 0 || got.Checked != 7 || got.Halved != 2 || got.Suites["ed25519"] != 6 || got.Suites["es256"] != 1 || got.Vouched != 1 || got.Refused != 2 {
		t.Errorf("found %+v", got)
	}
}

// What a trusted gateway signed for and its device did not is found, by its place, until a fraud order has undone it.
func TestForged(t *testing.T) {
	t.Parallel()
	c := newChain(t)
	gw := *c.net
	gw.Member, gw.Key = "gw", ledgertest.Key("gw", sig.EdDSA)
	genesis := c.net.GenesisBody()
	genesis.Verify = lamppost.VerifyGateway
	d := c.net.NewDevice("meter", sig.EdDSA)
	thief := *d
	thief.Key = ledgertest.Key("thief", sig.EdDSA)
	c.block(c.net.Order(0, lamppost.TxGenesis, genesis), c.order(lamppost.TxParty, lamppost.PartyBody{ID: "p"}),
		c.order(lamppost.TxGateway, lamppost.GatewayBody{ID: "gw", Member: "m1", Key: gw.Key.Public().Bytes()}), c.order(lamppost.TxDevice, d.Body("p")))
	lie := gw.Segment(c.now, d.Report(1, ledgertest.Power(c.now, 1)), thief.Report(2, ledgertest.Power(c.now, 9)))
	if codes := c.block(lie); codes != "ok ok" {
		t.Fatalf("outcomes %s", codes)
	}
	got, err := c.check(nil)
	must(t, err)
	if got.Bad != 1 || got.Checked != 2 || got.BadFirst[0].String() != `block 2, transaction 0, report 1 of device "meter": its device did not sign it` {
		t.Errorf("found %+v", got)
	}
	it := &lie.Items[1]
	accusation := lamppost.FraudBody{Height: 2, Tx: 0, Report: 1, Header: lie.SignedRaw, Salt: it.Salt[:], Received: it.Received, Raw: it.Report,
		Path: lamppost.MerklePath(lie.Leaves(), 1)}
	if codes := c.block(c.order(lamppost.TxFraud, accusation)); codes != "ok" {
		t.Fatalf("the accusation is %s", codes)
	}
	if got, err = c.check(nil); err != nil || got.Bad != 0 || got.Corrected != 1 || got.Checked != 2 {
		t.Errorf("after the correction: %+v, %v", got, err)
	}
}

// Reports that were pruned are gone; halves whose others were erased can be checked by nobody, and are no lie.
func TestThinned(t *testing.T) {
	t.Parallel()
	c := newChain(t)
	a, b, d := c.net.NewDevice("a", sig.EdDSA), c.net.NewDevice("b", sig.EdDSA), c.net.NewDevice("d", sig.EdDSA)
	keys := []*sig.PublicKey{a.Key.Public(), b.Key.Public(), nil}
	c.block(c.net.Genesis(), c.order(lamppost.TxParty, lamppost.PartyBody{ID: "p"}), c.order(lamppost.TxDevice, a.Body("p")),
		c.order(lamppost.TxDevice, b.Body("p")), c.order(lamppost.TxDevice, d.Body("p")))
	for n := range uint64(2) {
		cold := lamppost.Report{Seq: lamppost.Seq{N: n + 1}, Flags: lamppost.FlagCold, Readings: []lamppost.Reading{ledgertest.Power(c.now, 1)}}
		c.block(c.net.Aggregate(c.now, func(i int) *sig.PublicKey { return keys[i] }, a.Sign(cold), b.Sign(cold), d.Report(n+1, ledgertest.Power(c.now, 1))))
	}
	tree := c.log()
	packs, err := archive.NewPacks(c.store, new(archive.MemObjects))
	must(t, err)
	c.view.Packs = packs
	rules := archive.Rules{Erased: map[lamppost.DeviceID][]archive.Place{"a": {{Height: 2, Index: 99}}}, Erase: 2, Changed: 2}
	keeper := archive.Keeper{Store: c.store, Packs: packs, MaxHot: 1, Rules: func(kv.Reader) (*archive.Rules, error) { return &rules, nil }}
	for did := (archive.Did{Sealed: 1}); did.Some(); {
		did, err = keeper.Step(c.now)
		must(t, err)
	}
	got, err := c.check(func(k *recheck.Check) { k.Log = tree })
	must(t, err)
	if got.Bad != 0 || got.Gone != 1 || got.Alone != 1 || got.Halved != 2 || got.Checked != 4 || got.Reports != 6 {
		t.Errorf("found %+v", got)
	}
}

// Whoever hands out the blocks can change nothing, leave nothing out and add nothing.
func TestWhatIsSentFitsTheLog(t *testing.T) {
	t.Parallel()
	c := newChain(t)
	d := c.net.NewDevice("d", sig.EdDSA)
	c.block(c.net.Genesis(), c.order(lamppost.TxParty, lamppost.PartyBody{ID: "p"}), c.order(lamppost.TxDevice, d.Body("p")))
	for n := range uint64(4) {
		c.block(c.net.Segment(c.now, d.Report(n+1, ledgertest.Power(c.now, 1))))
	}
	at := func(height lamppost.Height, change func([]byte) []byte) func(*recheck.Check) {
		return func(k *recheck.Check) {
			k.Blocks = c.sends(func(h lamppost.Height, raw []byte) []byte {
				if h == height {
					return change(raw)
				}
				return raw
			})
		}
	}
	flip := func(raw []byte) []byte { raw[len(raw)-200] ^= 1; return raw }
	for name, x := range map[string]struct {
		change func(*recheck.Check)
		says   string // an error, or a fault
	}{
		"another signature":    {at(3, flip), "not what entry"},
		"a block is left out":  {at(3, func([]byte) []byte { return nil }), "leaves out those from 6 on"},
		"the end is left out":  {at(5, func([]byte) []byte { return nil }), "no blocks after 4"},
		"the first is missing": {at(1, func([]byte) []byte { return nil }), "begins with block 2"},
		"a block twice":        {at(3, func([]byte) []byte { return must1(c.view.Encoded(2)) }), "block 2 came after block 2"},
		"no block":             {at(3, func([]byte) []byte { return []byte("x") }), "after block 2: reading a block"},
	} {
		got, err := c.check(x.change)
		said := ""
		if err != nil {
			said = err.Error()
		} else if got.Bad > 0 {
			said = got.BadFirst[0].String()
		}
		if !strings.Contains(said, x.says) {
			t.Errorf("%s: %q (%+v), want %q", name, said, got, x.says)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	k := recheck.Check{Network: "net", Blocks: c.sends(nil), Log: c.log()}
	if _, err := k.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}
}

func must1(raw []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return raw
}
