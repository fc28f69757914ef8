package ledger_test

import (
	"fmt"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
	"github.com/lamppost/lamppost/sig"
	"pgregory.net/rapid"
)

// A device never agrees to more in a period than its limit, whatever is accepted, voided, settled and billed in whatever order, and
// is never refused what is left. Method: against a model that counts what each session holds or came to in the day it was accepted.
func TestSpendingLimit(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := newDesk()
		const limit = 20
		run := func(line string) string {
			d.now += 1000
			return d.answer(line)
		}
		for _, line := range []string{"genesis", "party grid", "party farm limit=100000", "device charger grid", "device robot farm", "point bay charger energy sessions",
			"tariff fast 1 grid 1.00 00:00Z", "centre robot 1 00:15Z farm:1 limit=20/1"} {
			if got := run(line); got != "ok" {
				t.Fatalf("%s: %s", line, got)
			}
		}
		d.now = d.time("00:15Z")
		start := d.now
		type deal struct{ day, holds, count, n int } // money in whole units, which is kWh
		var open, settled *deal
		counts := map[int]*int{}
		count := func(day int) *int {
			if counts[day] == nil {
				counts[day] = new(int)
			}
			return counts[day]
		}
		register, reports, opened := 0, 0, 0
		for range rapid.IntRange(5, 40).Draw(t, "steps") {
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0:
				d.now += ledgertest.Day / 3
			case 1: // accept
				if open != nil {
					continue
				}
				opened++
				reports++
				amount := rapid.IntRange(1, 12).Draw(t, "amount")
				offer := fmt.Sprintf("offer o%d charger bay fast 12 +700h +24h", opened)
				if got := run(offer); got != "ok" {
					t.Fatalf("%s: %s", offer, got)
				}
				on := int((d.now + 2000 - start) / ledgertest.Day)
				want := *count(on)+amount <= limit
				got := run(fmt.Sprintf("accept o%d s%d robot farm bay fast %d +0s +600h", opened, opened, amount))
				if (got == "ok") != want {
					t.Fatalf("%d more of %d: %s", amount, *count(on), got)
				}
				if !want {
					continue
				}
				*count(on) += amount
				open = &deal{day: on, holds: amount, n: opened}
				run(fmt.Sprintf("report charger %d billing energy@+1s=%d", reports, 1000*register))
			case 2: // void
				if open == nil {
					continue
				}
				if got := run(fmt.Sprintf("settle s%d +0s void=left", open.n)); got != "ok" {
					t.Fatalf("void: %s", got)
				}
				*count(open.day) -= open.holds
				open = nil
			case 3: // settle
				if open == nil || settled != nil {
					continue
				}
				reports++
				used := rapid.IntRange(0, 15).Draw(t, "used")
				register += used
				d.now += 60_000
				run(fmt.Sprintf("report charger %d billing energy@-1s=%d", reports, 1000*register))
				run(fmt.Sprintf("settle s%d +0s", open.n))
				x, err := ledger.View{Reader: d.store}.Session(fmt.Sprintf("s%d", open.n))
				must(err)
				if x.Stop == 0 {
					t.Fatalf("session s%d is not settled", open.n)
				}
				open.count = min(used, open.holds)
				settled, open = open, nil
			case 4: // bill
				if settled == nil {
					continue
				}
				d.now = d.now/lamppost.EdgeMS*lamppost.EdgeMS + lamppost.EdgeMS
				d.now += 1000
				got := d.answer(fmt.Sprintf("invoice grid farm -%dms -%dms", d.now%lamppost.EdgeMS+lamppost.EdgeMS+1000, d.now%lamppost.EdgeMS+1000))
				if got[:5] != "grid-" {
					t.Fatalf("bill: %s", got)
				}
				*count(settled.day) += settled.count - settled.holds
				settled = nil
			}
			for at, sum := range counts {
				from := start + lamppost.TimeMS(at)*ledgertest.Day
				x, err := ledger.View{Reader: d.store}.Spending("robot", from)
				must(err)
				if x == nil || int(x.Spent+x.Held) != *sum*int(lamppost.MicroUnit) || x.Spent+x.Held > x.Limit {
					t.Fatalf("on day %d: %+v, the model says %d", at, x, *sum)
				}
			}
		}
	})
}

// What a word covers: every field of an offer and of an acceptance, its device, network and purpose.
func TestWords(t *testing.T) {
	t.Parallel()
	for _, suite := range []sig.Suite{sig.EdDSA, sig.ES256} {
		key := ledgertest.Key("robot", suite)
		a := lamppost.AcceptBody{Offer: "o", Device: "robot", KeyEpoch: 1, Session: lamppost.SessionBody{ID: "s", Buyer: "farm", Limit: 1}}
		must(a.Sign("net", key))
		o := lamppost.OfferBody{ID: "o", Device: "robot", Most: 1, KeyEpoch: 1}
		must(o.Sign("net", key))
		if !a.Verify("net", key.Public()) || !o.Verify("net", key.Public()) {
			t.Errorf("%s: a word does not verify", suite)
		}
		for what, bad := range map[string]func(a *lamppost.AcceptBody){
			"offer": func(a *lamppost.AcceptBody) { a.Offer = "p" }, "device": func(a *lamppost.AcceptBody) { a.Device = "plough" },
			"epoch": func(a *lamppost.AcceptBody) { a.KeyEpoch++ }, "limit": func(a *lamppost.AcceptBody) { a.Session.Limit++ },
			"session": func(a *lamppost.AcceptBody) { a.Session.ID = "t" }, "end": func(a *lamppost.AcceptBody) { a.Session.Until++ },
			"no word": func(a *lamppost.AcceptBody) { a.Word = nil }, "an offer's word": func(a *lamppost.AcceptBody) { a.Word = o.Word },
		} {
			x := a
			if bad(&x); x.Verify("net", key.Public()) {
				t.Errorf("%s: another %s verifies", suite, what)
			}
		}
		if a.Verify("other", key.Public()) || a.Verify("net", ledgertest.Key("plough", suite).Public()) {
			t.Errorf("%s: a word for another network, or of another key, verifies", suite)
		}
	}
}
