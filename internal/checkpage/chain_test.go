package checkpage_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/internal/tilelog"
	"github.com/lamppost/lamppost/sig"
)

// example reads one of package audit's files: a statement of 4 lines, a receipt, a report, without the white space that
// means nothing in them; or their pin.
func example(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "audit", "testdata", name))
	must(t, err)
	if filepath.Ext(name) == ".json" {
		data = compacted(t, data)
	}
	return data
}

func compacted(t testing.TB, file []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	must(t, json.Compact(&b, file))
	return b.Bytes()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A chain is a network of one member whose blocks go through the real replica, log and proofs.
type chain struct {
	t     testing.TB
	net   *ledgertest.Network
	store *kv.Mem
	r     *replica.Replica
	now   lamppost.TimeMS
}

func newChain(t testing.TB, network string) *chain {
	t.Helper()
	c := &chain{t: t, net: ledgertest.New(network), store: kv.NewMem(), now: ledgertest.Start}
	var err error
	c.r, err = replica.Open(replica.Config{Store: c.store})
	must(t, err)
	return c
}

func (c *chain) order(typ lamppost.TxType, body any) *lamppost.Transaction {
	return c.net.Order(c.now+ledgertest.Hour, typ, body)
}

// run commits a block, all of which must be accepted.
func (c *chain) run(txs ...*lamppost.Transaction) {
	c.t.Helper()
	h := c.r.Last().Height + 1
	b := &lamppost.Block{Height: h, Time: c.now, Cursor: lamppost.Cursor(h), Proposer: c.net.Member}
	for _, tx := range txs {
		b.Txs = append(b.Txs, tx.Append(nil))
	}
	must(c.t, c.r.Accept(b))
	res, err := c.r.Apply(b)
	must(c.t, err)
	_, err = c.r.Commit()
	must(c.t, err)
	for i, outcomes := range res.Outcomes {
		for j, o := range outcomes {
			if o.Code != lamppost.CodeOK {
				c.t.Fatalf("transaction %d of block %d, %d: %+v", i, h, j, o)
			}
		}
	}
	c.now++
}

func (c *chain) pin() *audit.Pin {
	return &audit.Pin{Network: c.net.ID, Quorum: 1, Members: c.net.GenesisBody().Members}
}

// statement publishes the log and proves a party's invoices.
func (c *chain) statement(party lamppost.PartyID) []byte {
	c.t.Helper()
	verifier, err := note.NewVerifier(audit.VerifierKey(c.net.ID, c.net.GenesisBody().Members[0]))
	must(c.t, err)
	signer, err := note.NewSigner(fmt.Sprintf("PRIVATE+KEY+%s+%08x+%s", verifier.Name(), verifier.KeyHash(),
		base64.StdEncoding.EncodeToString(append([]byte{1}, c.net.Key.Seed()...))))
	must(c.t, err)
	p := tilelog.Publisher{Origin: signer.Name(), Signer: signer, Verifier: verifier, Storage: new(tilelog.MemStorage)}
	signed, err := p.Publish(c.store)
	must(c.t, err)
	at, _, err := lamppost.OpenCheckpoint(signed, note.VerifierList(verifier))
	must(c.t, err)
	view := archive.View{Reader: c.store}
	want, err := replica.WantStatement(view, party)
	must(c.t, err)
	proof, err := replica.Prove(view, c.net.ID, []string{string(signed)}, tilelog.NewTree(p.Storage, at.Size, tlog.Hash(at.Root)), want)
	must(c.t, err)
	s, err := audit.NewStatement(proof, c.pin(), party)
	must(c.t, err)
	return s.Encode()
}

// laundry is a statement with a line for each of n washing machines at a flat price: two signed registers a line. The
// names are those of seller, buyer and places.
func laundry(t testing.TB, n int, suite sig.Suite, name string) (statement []byte, pin string) {
	t.Helper()
	c := newChain(t, "lantern")
	txs := []*lamppost.Transaction{c.net.Genesis(), c.order(lamppost.TxParty, lamppost.PartyBody{ID: "coop", Name: name}),
		c.order(lamppost.TxParty, lamppost.PartyBody{ID: "house", Name: name}), c.order(lamppost.TxTariff, ledgertest.Tariff("wash", 1, "coop", c.now, 312_000))}
	devices := make([]*ledgertest.Device, n)
	for i := range devices {
		devices[i] = c.net.NewDevice(lamppost.DeviceID(fmt.Sprintf("washer-%03d", i+1)), suite)
		point, agreement := fmt.Sprintf("p%d", i+1), fmt.Sprintf("a%d", i+1)
		txs = append(txs, c.order(lamppost.TxDevice, devices[i].Body("coop")),
			c.order(lamppost.TxPoint, lamppost.PointBody{ID: point, Device: devices[i].ID, Register: "energy", Unit: "Wh", Place: name}),
			c.order(lamppost.TxAgreement, lamppost.AgreementBody{ID: agreement, Seller: "coop", Buyer: "house", Point: point, Tariff: "wash", From: c.now}))
	}
	from := c.now
	c.run(txs...)
	for k := range 2 {
		c.now = from + lamppost.TimeMS(k)*ledgertest.Hour + 1000
		reports := make([][]byte, n)
		for i, d := range devices {
			reports[i] = d.Billing(uint64(k+1), ledgertest.Energy(from+lamppost.TimeMS(k)*ledgertest.Hour, int64(10_000+13*i+k*(1234+17*i))))
		}
		c.run(c.net.Segment(c.now, reports...))
	}
	c.run(c.order(lamppost.TxInvoice, lamppost.InvoiceBody{Seller: "coop", Buyer: "house", Currency: "EUR", From: from, To: from + ledgertest.Hour}))
	return compacted(t, c.statement("house")), c.pin().String()
}
