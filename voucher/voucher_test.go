package voucher_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/sig"
	"github.com/lamppost/lamppost/voucher"
	"pgregory.net/rapid"
)

const step = 250_000 // Micro: what one delivery costs

func testKey(t testing.TB, b byte) *sig.PrivateKey {
	t.Helper()
	key, err := sig.NewPrivateKey(sig.EdDSA, bytes.Repeat([]byte{b}, sig.SeedSize))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func testTerms(t testing.TB) voucher.Terms {
	return voucher.Terms{Network: "testnet", Channel: lamppost.ChannelBody{ID: "ch-1", Payer: "bob", Payee: "lamp-1", Tariff: "light", Version: 1,
		Most: 5_000_000, From: 1, Until: 1000, Key: testKey(t, 7).Public().Bytes()}}
}

func fine() *power { return &power{failAt: -1} }

func pair(t testing.TB) (*voucher.Wallet, *voucher.Till) {
	t.Helper()
	w, err := voucher.NewWallet(&memFile{power: fine()}, testTerms(t), testKey(t, 7))
	if err != nil {
		t.Fatal(err)
	}
	x, err := voucher.NewTill(&memFile{power: fine()}, testTerms(t))
	if err != nil {
		t.Fatal(err)
	}
	return w, x
}

func code(err error) lamppost.Code {
	var r *lamppost.Refusal
	if errors.As(err, &r) {
		return r.Code
	}
	return 255
}

// A payment is a voucher that is higher; the same again is used once; one that is late counts for nothing more; what is not used stays.
func TestPayAndTake(t *testing.T) {
	t.Parallel()
	w, x := pair(t)
	first, err := w.Pay(10, step)
	if err != nil {
		t.Fatal(err)
	}
	if len(first) > lamppost.MaxVoucherBytes {
		t.Errorf("a voucher has %d bytes", len(first))
	}
	second, err := w.Pay(10, 2*step)
	if err != nil {
		t.Fatal(err)
	}
	if err := x.Take(11, second, step); err != nil {
		t.Fatal(err)
	}
	if err := x.Take(12, first, 2*step); err != nil { // late: what the second promised is left
		t.Fatal(err)
	}
	if err := x.Take(12, second, step); code(err) != lamppost.CodeNoFunds {
		t.Errorf("a voucher was used up and is taken: %v", err)
	}
	if x.Paid() != 3*step || x.Credit() != 0 || !bytes.Equal(x.Last(), second) || w.Paid() != 3*step {
		t.Errorf("paid %s, credit %s", x.Paid(), x.Credit())
	}
	if err := x.GiveBack(step); err != nil || x.Credit() != step {
		t.Errorf("given back: credit %s (%v)", x.Credit(), err)
	}
	if err := x.GiveBack(3 * step); err == nil {
		t.Error("more was given back than used")
	}
}

// What a wallet does not sign and a till does not take.
func TestRefusals(t *testing.T) {
	t.Parallel()
	w, x := pair(t)
	for what, c := range map[string]struct {
		now  lamppost.TimeMS
		more lamppost.Micro
		want lamppost.Code
	}{
		"nothing": {10, 0, lamppost.CodeBadTx}, "less": {10, -1, lamppost.CodeBadTx}, "more than the most": {10, 5_000_001, lamppost.CodeNoFunds},
		"more than fits": {10, 1<<63 - 1, lamppost.CodeNoFunds}, "after the end": {1000, step, lamppost.CodeExpired},
	} {
		if raw, err := w.Pay(c.now, c.more); code(err) != c.want || raw != nil {
			t.Errorf("%s: %v, want %s", what, err, c.want)
		}
	}
	base := lamppost.Voucher{Channel: "ch-1", Payee: "lamp-1", N: 5, Amount: 5 * step, Until: 1000}
	sign := func(v lamppost.Voucher, network string, key byte) []byte {
		raw, err := v.Sign(network, testKey(t, key))
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	if err := x.Take(10, sign(base, "testnet", 7), 0); err != nil {
		t.Fatal(err)
	}
	with := func(f func(*lamppost.Voucher)) lamppost.Voucher {
		v := base
		v.N++
		v.Amount += step
		f(&v)
		return v
	}
	good := with(func(*lamppost.Voucher) {})
	for what, c := range map[string]struct {
		raw  []byte
		now  lamppost.TimeMS
		want lamppost.Code
	}{
		"junk":               {[]byte("junk"), 10, lamppost.CodeBadTx},
		"another network":    {sign(good, "other", 7), 10, lamppost.CodeBadSignature},
		"another key":        {sign(good, "testnet", 8), 10, lamppost.CodeBadSignature},
		"another channel":    {sign(with(func(v *lamppost.Voucher) { v.Channel = "ch-2" }), "testnet", 7), 10, lamppost.CodeBadTx},
		"another payee":      {sign(with(func(v *lamppost.Voucher) { v.Payee = "lamp-2" }), "testnet", 7), 10, lamppost.CodeBadTx},
		"another end":        {sign(with(func(v *lamppost.Voucher) { v.Until = 2000 }), "testnet", 7), 10, lamppost.CodeBadTx},
		"more than is held":  {sign(with(func(v *lamppost.Voucher) { v.Amount = 5_000_001 }), "testnet", 7), 10, lamppost.CodeBadTx},
		"after the end":      {sign(good, "testnet", 7), 1000, lamppost.CodeExpired},
		"the number again":   {sign(with(func(v *lamppost.Voucher) { v.N = 5 }), "testnet", 7), 10, lamppost.CodeForbidden},
		"higher, no more":    {sign(with(func(v *lamppost.Voucher) { v.Amount = base.Amount }), "testnet", 7), 10, lamppost.CodeForbidden},
		"lower, but as much": {sign(with(func(v *lamppost.Voucher) { v.N, v.Amount = 4, base.Amount }), "testnet", 7), 10, lamppost.CodeForbidden},
	} {
		if err := x.Take(c.now, c.raw, 0); code(err) != c.want {
			t.Errorf("%s: %v, want %s", what, err, c.want)
		}
	}
	if x.Paid() != base.Amount {
		t.Errorf("paid %s: a refused voucher counted", x.Paid())
	}
}

// A wallet that lost its file goes on with what the payee has, and not with a stranger's voucher.
func TestAdopt(t *testing.T) {
	t.Parallel()
	old, x := pair(t)
	for range 3 {
		raw, err := old.Pay(10, step)
		if err == nil {
			err = x.Take(10, raw, step)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	w, _ := pair(t)
	stranger, _ := (&lamppost.Voucher{Channel: "ch-1", Payee: "lamp-1", N: 9, Amount: step, Until: 1000}).Sign("testnet", testKey(t, 8))
	if err := w.Adopt(stranger); code(err) != lamppost.CodeBadSignature {
		t.Errorf("a stranger's voucher: %v", err)
	}
	if err := w.Adopt(x.Last()); err != nil {
		t.Fatal(err)
	}
	raw, err := w.Pay(10, step)
	if err == nil {
		err = x.Take(10, raw, step)
	}
	if err != nil || x.Paid() != 4*step {
		t.Errorf("paid %s (%v)", x.Paid(), err)
	}
}

// A file is of one channel, one kind and one key.
func TestOpening(t *testing.T) {
	t.Parallel()
	f := &memFile{power: fine()}
	if _, err := voucher.OpenWallet(f, testKey(t, 7)); err == nil {
		t.Error("an empty file was opened")
	}
	if _, err := voucher.NewWallet(f, testTerms(t), testKey(t, 8)); err == nil {
		t.Error("a wallet has another's key")
	}
	if _, err := voucher.NewWallet(f, testTerms(t), testKey(t, 7)); err != nil {
		t.Fatal(err)
	}
	if _, err := voucher.NewWallet(f, testTerms(t), testKey(t, 7)); err == nil || !strings.Contains(err.Error(), "would be lost") {
		t.Errorf("a wallet was begun over another: %v", err)
	}
	if _, err := voucher.OpenTill(f); err == nil {
		t.Error("a wallet was opened as a till")
	}
	if _, err := voucher.OpenWallet(f, testKey(t, 8)); err == nil {
		t.Error("a wallet was opened with another key")
	}
	if w, err := voucher.OpenWallet(f, testKey(t, 7)); err != nil || w.Terms().Channel.ID != "ch-1" {
		t.Error(err)
	}
}

// A world is a payer and a device beside each other, each with a disk of its own.
type world struct {
	t             *testing.T
	wallet, till  *memFile
	shown         [][]byte // every voucher that left the wallet
	delivered     lamppost.Micro
	steps, losses int
}

// live lets the payer buy until n deliveries were made in all, or the power fails, of whoever hangs on it. cut counts what happens between
// disk calls: a message that is under way at that moment is lost.
func (w *world) live(n int, cut func() bool) error {
	payer, err := voucher.OpenWallet(w.wallet, testKey(w.t, 7))
	if err != nil {
		return err
	}
	device, err := voucher.OpenTill(w.till)
	if err != nil {
		return err
	}
	if last := device.Last(); last != nil { // the device says what it has, and the payer what it signed
		if err := payer.Adopt(last); err != nil {
			return err
		}
	}
	raw := payer.Last()
	for ; w.steps < n; w.steps++ {
		if raw == nil || device.Credit() < step && bytes.Equal(raw, device.Last()) {
			if raw, err = payer.Pay(10, step); err != nil {
				return err
			}
		}
		w.shown = append(w.shown, raw)
		if cut() {
			return errPower
		}
		if err := device.Take(10, raw, step); err != nil {
			return err
		}
		if cut() {
			return errPower
		}
		w.delivered += step
		if cut() {
			return errPower
		}
	}
	return nil
}

// Goal: a power loss between any two steps, of payer, device or both, costs neither side more than one step, and makes no honest payer
// look like a liar. Method: the power fails at every disk call and every message of a series of payments, in three ways for what was not
// synced; both start again and go on, the power fails again, and at last they finish.
func TestPowerLoss(t *testing.T) {
	t.Parallel()
	for who := range 3 {
		for way := range 3 {
			t.Run(fmt.Sprintf("who=%d way=%d", who, way), func(t *testing.T) {
				t.Parallel()
				for failAt := 0; powerLoss(t, who, way, failAt); failAt++ {
				}
			})
		}
	}
}

// powerLoss reports whether the power failed before all was done.
func powerLoss(t *testing.T, who, way, failAt int) bool {
	random := rand.New(rand.NewPCG(uint64(10*who+way), uint64(failAt)))
	begin, end := fine(), &memFile{power: fine()}
	w := &world{t: t, wallet: &memFile{power: begin}, till: end}
	if _, err := voucher.NewWallet(w.wallet, testTerms(t), testKey(t, 7)); err != nil {
		t.Fatal(err)
	}
	if _, err := voucher.NewTill(w.till, testTerms(t)); err != nil {
		t.Fatal(err)
	}
	lost := false
	for _, at := range []int{failAt, random.IntN(12), -1} {
		p := &power{failAt: at}
		w.wallet, w.till = w.wallet.lose(way, fine(), random), w.till.lose(way, fine(), random)
		if who != 1 {
			w.wallet.power = p
		}
		if who != 0 {
			w.till.power = p
		}
		err := w.live(7, func() bool { return p.step() != nil })
		if err != nil && !errors.Is(err, errPower) {
			t.Fatalf("power lost at %d: %v", failAt, err)
		}
		lost = lost || err != nil
		if err != nil {
			w.losses++
		}
		w.check(failAt)
	}
	if w.steps != 7 {
		t.Fatalf("power lost at %d: %d deliveries of 7", failAt, w.steps)
	}
	return lost
}

// check compares what both have durably with what was delivered.
func (w *world) check(failAt int) {
	w.t.Helper()
	random := rand.New(rand.NewPCG(1, 1))
	payer, err := voucher.OpenWallet(w.wallet.lose(0, fine(), random), testKey(w.t, 7))
	if err != nil {
		w.t.Fatal(err)
	}
	device, err := voucher.OpenTill(w.till.lose(0, fine(), random))
	if err != nil {
		w.t.Fatal(err)
	}
	allowed := lamppost.Micro(w.losses) * step
	if device.Paid() < w.delivered {
		w.t.Fatalf("power lost at %d: the device delivered %s and can cash %s", failAt, w.delivered, device.Paid())
	}
	if device.Paid()-device.Credit() > w.delivered+allowed {
		w.t.Fatalf("power lost at %d: %s of %s were used up for %s after %d losses", failAt, device.Paid()-device.Credit(), device.Paid(), w.delivered, w.losses)
	}
	if over := payer.Paid() - device.Paid(); over < 0 || over > step {
		w.t.Fatalf("power lost at %d: the payer signed %s, the device has %s", failAt, payer.Paid(), device.Paid())
	}
	vs := make([]lamppost.Voucher, len(w.shown))
	for i, raw := range w.shown {
		if err := vs[i].Decode(raw); err != nil {
			w.t.Fatal(err)
		}
		for j := range vs[:i] {
			if why := vs[j].Contradicts(&vs[i]); why != "" {
				w.t.Fatalf("power lost at %d: the payer contradicts itself: %s", failAt, why)
			}
		}
	}
}

// Whatever vouchers an honest payer shows, none contradict each other, and a till that gets some of them, in any order and any number of
// times, has the highest of them and gives no more credit than it promises.
func TestHonestNeverContradicts(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w, err := voucher.NewWallet(&memFile{power: fine()}, quietTerms(), quietKey())
		if err != nil {
			t.Fatal(err)
		}
		x, err := voucher.NewTill(&memFile{power: fine()}, quietTerms())
		if err != nil {
			t.Fatal(err)
		}
		var all [][]byte
		var highest, used lamppost.Micro
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			if len(all) == 0 || rapid.Bool().Draw(t, "pay") {
				raw, err := w.Pay(1, lamppost.Micro(rapid.IntRange(1, 400_000).Draw(t, "more")))
				if code(err) == lamppost.CodeNoFunds {
					continue
				} else if err != nil {
					t.Fatal(err)
				}
				all = append(all, raw)
				continue
			}
			raw, use := rapid.SampledFrom(all).Draw(t, "shown"), lamppost.Micro(rapid.IntRange(0, 300_000).Draw(t, "use"))
			var v lamppost.Voucher
			if err := v.Decode(raw); err != nil {
				t.Fatal(err)
			}
			highest = max(highest, v.Amount)
			switch err := x.Take(1, raw, use); {
			case err == nil:
				used += use
			case code(err) != lamppost.CodeNoFunds || used+use <= highest:
				t.Fatalf("%s to be used of %s, %s were: %v", use, highest, used, err)
			}
			if x.Paid() != highest || x.Credit() != highest-used {
				t.Fatalf("paid %s, credit %s; want %s, less %s", x.Paid(), x.Credit(), highest, used)
			}
		}
	})
}

func quietKey() *sig.PrivateKey {
	key, _ := sig.NewPrivateKey(sig.EdDSA, bytes.Repeat([]byte{7}, sig.SeedSize))
	return key
}

func quietTerms() voucher.Terms {
	return voucher.Terms{Network: "testnet", Channel: lamppost.ChannelBody{ID: "ch-1", Payer: "bob", Payee: "lamp-1", Most: 5_000_000, Until: 1000, Key: quietKey().Public().Bytes()}}
}

// FuzzState: a file of any bytes is opened or refused, never more.
func FuzzState(f *testing.F) {
	begun := &memFile{power: fine()}
	if _, err := voucher.NewTill(begun, quietTerms()); err != nil {
		f.Fatal(err)
	}
	f.Add(begun.data)
	f.Fuzz(func(_ *testing.T, raw []byte) {
		if x, err := voucher.OpenTill(&memFile{power: fine(), data: raw}); err == nil {
			_ = x.Take(1, x.Last(), 1)
		}
		_, _ = voucher.OpenWallet(&memFile{power: fine(), data: raw}, quietKey())
	})
}
