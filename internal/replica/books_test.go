package replica_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/books"
	"github.com/lamppost/lamppost/internal/books/bookstest"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/sig"
)

// The journal of a ledger with orders of all kinds has the ledger's balances, also where invoices were corrected, money was
// converted and a memo tries to be something else.
func TestJournalOfEverything(t *testing.T) {
	t.Parallel()
	net, store := everything(t)
	r := open(t, store)
	now := r.Last().Time + 1
	order := func(typ lamppost.TxType, body any) *lamppost.Transaction {
		return net.Order(now+ledgertest.Hour, typ, body)
	}
	res := apply(t, r, block(r.Last().Height+1, now,
		order(lamppost.TxParty, lamppost.PartyBody{ID: "bank", Name: "Bank; the (one)\nof all", CreditLimit: 1_000_000_000}),
		order(lamppost.TxTransfer, lamppost.TransferBody{From: "bank", To: "bob", Currency: "EUR", Amount: 50_000_001, Memo: "x\n2026-01-01 * y\n    parties:bob  1 EUR ; (z) | ä"}),
		order(lamppost.TxTransfer, lamppost.TransferBody{From: "bank", To: "bob", Currency: "JPY", Amount: 9_000_000}),
		order(lamppost.TxConvert, lamppost.ConvertBody{Party: "bob", With: "bank", From: "EUR", To: "CHF", Amount: 7_770_000, Rate: lamppost.Dec(9371, -4), RateTime: now - 1, Source: "ECB reference rate"}),
		order(lamppost.TxTransfer, lamppost.TransferBody{From: "acme", To: "bob", Currency: "EUR", Amount: 1_000_000_000}),
	))
	commit(t, r)
	for i, o := range res.Outcomes {
		if want := i < 4; (o[0].Code == lamppost.CodeOK) != want {
			t.Fatalf("order %d: %+v", i, o)
		}
	}
	see := func(f func(archive.View) error) error { return f(archive.View{Reader: store}) }
	var out bytes.Buffer
	j, err := books.WriteJournal(t.Context(), &out, see, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"* (acme-000002) correction of acme-000001 (late reading): acme to bob  ; block:", " on acme-000001", "parties:bob  ; Bob\n",
		"account parties:bank  ; Bank, the one) of all\n", "commodity 1000. JPY\n", "commodity 1000.000000 EUR\n", "session s"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the journal has no %q:\n%s", want, out.String())
		}
	}
	if j.Entries != 7 || j.Network != "net" || j.Last != r.Last().Height {
		t.Errorf("it says of itself: %+v", j)
	}
	accounts, err := ledger.View{Reader: store}.Accounts()
	if err != nil || len(accounts) < 6 {
		t.Fatalf("accounts: %+v, %v", accounts, err)
	}
	bookstest.Check(t, out.Bytes(), accounts)
}

// Postings that do not come to the ledger's accounts are an error and no journal.
func TestJournalOfDamagedAccounts(t *testing.T) {
	t.Parallel()
	_, store := everything(t)
	see := func(f func(archive.View) error) error { return f(archive.View{Reader: store}) }
	var b kv.Batch
	b.Set([]byte("sAbob\x00EUR"), make([]byte, 8))
	if err := store.Apply(&b); err != nil {
		t.Fatal(err)
	}
	if _, err := books.WriteJournal(t.Context(), new(bytes.Buffer), see, false); err == nil || !strings.Contains(err.Error(), `"bob" has`) {
		t.Errorf("got %v", err)
	}
}

// What is due on an invoice is that of all that corrected it, under any of their numbers, less what was paid, more what went back.
func TestDuesOfCorrections(t *testing.T) {
	t.Parallel()
	net, store := everything(t)
	see := func(f func(archive.View) error) error { return f(archive.View{Reader: store}) }
	dues := books.NewDues()
	list := func() (all []string) {
		t.Helper()
		if err := dues.Update(t.Context(), see); err != nil {
			t.Fatal(err)
		}
		for _, d := range dues.List("", "bob", true) {
			all = append(all, strings.Join(d.Numbers, "+")+" "+d.Claimed.String()+" "+d.Paid.String()+" "+d.Due.String())
		}
		return all
	}
	if got, want := strings.Join(list(), ", "), "acme-000001+acme-000002+acme-000003 7.77 0.00 7.77, acme-000004 1.60 0.00 1.60"; got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
	r := open(t, store)
	now := r.Last().Time + 1
	pay := func(from, to lamppost.PartyID, amount lamppost.Micro, memo string) *lamppost.Transaction {
		return net.Order(now+ledgertest.Hour, lamppost.TxTransfer, lamppost.TransferBody{From: from, To: to, Currency: "EUR", Amount: amount, Memo: memo})
	}
	apply(t, r, block(r.Last().Height+1, now, net.Order(now+ledgertest.Hour, lamppost.TxParty, lamppost.PartyBody{ID: "bank", CreditLimit: 100_000_000}),
		pay("bank", "bob", 8_000_000, "acme-000001 ref:one"), pay("bob", "bank", 1_000_000, "acme-000003"), pay("bank", "bob", 140_000, "acme-0000044"),
		pay("bank", "bob", 900_000_000, "acme-000004 ref:refused")))
	commit(t, r)
	if got, want := strings.Join(list(), ", "), "acme-000001+acme-000002+acme-000003 7.77 7.00 0.77, acme-000004 1.60 0.00 1.60"; got != want {
		t.Errorf("after payments: got %s, want %s", got, want)
	}
	if at, ok := dues.Booked("one"); !ok || at.Height != r.Last().Height || at.Index != 1 {
		t.Errorf("the reference was booked at %+v, %v", at, ok)
	}
	if _, ok := dues.Booked("refused"); ok {
		t.Error("what the ledger refused counts as booked")
	}
}

// By the index of blocks the dues are what they are by all blocks: in the store, in packs, and where the index lacks a block, or is not there.
func TestDuesByIndex(t *testing.T) {
	t.Parallel()
	_, store := everything(t)
	packs, err := archive.NewPacks(store, new(archive.MemObjects))
	if err != nil {
		t.Fatal(err)
	}
	list := func() string {
		t.Helper()
		d := books.NewDues()
		if err := d.Update(t.Context(), func(f func(archive.View) error) error {
			return f(archive.View{Reader: store, Packs: packs})
		}); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%d %+v", d.Height, d.List("", "", true))
	}
	want := list()
	if !strings.Contains(want, "acme-000003") {
		t.Fatal(want)
	}
	k := archive.Keeper{Store: store, Packs: packs, Rules: replica.Rules, MaxHot: 1}
	if did, err := k.Step(1 << 52); err != nil || !did.Some() {
		t.Fatal(did, err)
	}
	if got := list(); got != want {
		t.Errorf("from packs: got %s, want %s", got, want)
	}
	var moved [][]byte
	if err := store.Scan([]byte("aM"), []byte("aN"), func(key, _ []byte) error {
		moved = append(moved, bytes.Clone(key))
		return nil
	}); err != nil || len(moved) < 3 || len(moved) >= int(open(t, store).Last().Height) {
		t.Fatalf("%d blocks are indexed, %v", len(moved), err)
	}
	for i := len(moved) - 1; i >= 0; i-- {
		var b kv.Batch
		b.Delete(moved[i])
		if err := store.Apply(&b); err != nil {
			t.Fatal(err)
		}
		c, err := replica.Fsck(t.Context(), archive.View{Reader: store, Packs: packs}, nowhere, func(_, _ lamppost.Height) {})
		if err != nil || i > 0 != strings.Contains(fmt.Sprint(c.Faults), "the index of such blocks does not have it") {
			t.Errorf("without %d of %d blocks in the index fsck says %v, %v", len(moved)-i, len(moved), c, err)
		}
		if got := list(); got != want {
			t.Errorf("without %d of %d blocks in the index: got %s, want %s", len(moved)-i, len(moved), got, want)
		}
	}
}

// BenchmarkDues is the first request for what is due in a chain of 300,000 reports, in packs, with a few invoices: by the index, and by all
// blocks, as where there is none.
func BenchmarkDues(b *testing.B) {
	const segments, reports = 300, 1000
	net, store := everything(b)
	r := open(b, store)
	d := net.NewDevice("old", sig.EdDSA)
	now := r.Last().Time
	for i := range segments {
		all := make([][]byte, reports)
		for j := range all {
			all[j] = d.Report(uint64(100+i*reports+j), ledgertest.Energy(now, int64(9000+i)))
		}
		now += 1000
		apply(b, r, block(r.Last().Height+1, now, net.Segment(now, all...)))
		commit(b, r)
	}
	packs, err := archive.NewPacks(store, new(archive.MemObjects))
	if err != nil {
		b.Fatal(err)
	}
	k := archive.Keeper{Store: store, Packs: packs, Rules: replica.Rules}
	for did := (archive.Did{Erased: 1}); did.Some(); {
		if did, err = k.Step(1 << 52); err != nil {
			b.Fatal(err)
		}
	}
	dues := func(b *testing.B) {
		for b.Loop() {
			if err := books.NewDues().Update(b.Context(), func(f func(archive.View) error) error {
				return f(archive.View{Reader: store, Packs: packs})
			}); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("index", dues)
	var batch kv.Batch
	batch.DeleteRange([]byte("aM"), []byte("aN"))
	if err := store.Apply(&batch); err != nil {
		b.Fatal(err)
	}
	b.Run("all", dues)
}
