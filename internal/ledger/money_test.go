package ledger_test

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
	"github.com/lamppost/lamppost/tariff"
)

var (
	moneyOps  = flag.Int("money.ops", 6000, "how many orders and segments TestRandomMoney gives the ledger")
	moneySeed = flag.Uint64("money.seed", 1, "the seed of its first ledger; each that follows has the next")
)

// moneyRun is how many of them one ledger sees.
const moneyRun = 1500

// Whatever is ordered about money, from a seed: what is posted sums to zero; but for invoices nobody goes below his limit and what is
// held; what is held is what sessions and channels hold; nothing is cashed beyond what was held for it, or twice; numbers leave no gap; a chain of
// corrections claims what its last comes to; a refused order writes nothing; and the ledger in memory is the one in the store, however its blocks are grouped into commits, opened again or replayed.
//
// A longer run: go test ./internal/ledger -run RandomMoney -money.ops 10000000 -timeout 24h
func TestRandomMoney(t *testing.T) {
	t.Parallel()
	runs := max(1, *moneyOps/moneyRun)
	var next, ops atomic.Int64
	var mu sync.Mutex
	done := map[string]int{}
	var wg sync.WaitGroup
	for range min(runs, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(runs) && !t.Failed(); i = next.Add(1) - 1 {
				p := newPurse(t, *moneySeed+uint64(i))
				p.run(min(moneyRun, *moneyOps))
				mu.Lock()
				for what, n := range p.done {
					done[what] += n
				}
				mu.Unlock()
				if n := ops.Add(moneyRun); n%(100*moneyRun) == 0 {
					t.Logf("%d operations", n)
				}
			}
		})
	}
	wg.Wait()
	for _, what := range [...]string{"invoice", "correct", "session", "settle", "dispute", "convert", "reading", "point", "transfer",
		"credit", "channel", "cash", "contradict", "centre", "payout", "offer", "accept", "contract", "call", "run of split", "verdicts", "review", "watch"} {
		if done[what+" ok"] == 0 && *moneyOps >= 4*moneyRun {
			t.Errorf("no %s was accepted", what)
		}
	}
	t.Logf("%d ledgers from seed %d: %v", runs, *moneySeed, done)
}

// A purse drives one ledger and keeps a naive account of it.
type purse struct {
	t       *testing.T
	seed    uint64
	draw    func(n int) int
	traffic *ledgertest.Money

	store, lazily *kv.Mem
	state, late   *ledger.State     // of which the second commits now and then
	mirror        map[string]string // of every key written
	height        lamppost.Height
	log           []applied
	done          map[string]int

	cashed map[string]lamppost.Micro // by channel

	bills map[lamppost.CorrectBody]*bill // by seller and number
	count map[lamppost.PartyID]int

	limits map[lamppost.PartyID]lamppost.Micro // that were ordered
}

type bill struct {
	total, dues lamppost.Micro
	replaced    bool
}

type applied struct {
	height lamppost.Height
	time   lamppost.TimeMS
	tx     *lamppost.Transaction
	writes []byte
}

func newPurse(t *testing.T, seed uint64) *purse {
	rnd := rand.New(rand.NewPCG(seed, 9))
	p := &purse{t: t, seed: seed, draw: rnd.IntN, store: kv.NewMem(), lazily: kv.NewMem(), mirror: map[string]string{}, done: map[string]int{}, cashed: map[string]lamppost.Micro{},
		bills: map[lamppost.CorrectBody]*bill{}, count: map[lamppost.PartyID]int{}, limits: map[lamppost.PartyID]lamppost.Micro{}}
	p.traffic = ledgertest.NewMoney(ledgertest.New("net"), p.draw)
	p.state, p.late = p.open(p.store), p.open(p.lazily)
	return p
}

func (p *purse) fail(format string, args ...any) {
	p.t.Helper()
	p.t.Fatalf("seed %d, block %d: %s", p.seed, p.height, fmt.Sprintf(format, args...))
}

func (p *purse) open(store *kv.Mem) *ledger.State {
	s, err := ledger.Open(store)
	if err != nil {
		p.fail("Open = %v", err)
	}
	return s
}

func (p *purse) run(ops int) {
	defer func() {
		if x := recover(); x != nil {
			panic(fmt.Sprintf("seed %d, block %d: %v", p.seed, p.height, x))
		}
	}()
	p.begin()
	for _, tx := range p.traffic.Found() {
		if code := p.apply(tx); code != lamppost.CodeOK {
			p.fail("founding: a %s is %s", tx.Type, code)
		}
	}
	p.commit()
	for n := 0; n < ops; {
		p.traffic.Wait()
		p.begin()
		for range 1 + p.draw(3) {
			p.apply(p.traffic.Next())
			n++
		}
		p.commit()
		if p.draw(60) == 0 {
			p.compare()
		}
	}
	p.compare()
	p.replay()
}

func (p *purse) begin() {
	p.height++
	p.traffic.Height, p.traffic.Index = p.height, 0
	p.state.Begin(p.height, p.traffic.Now)
	p.late.Begin(p.height, p.traffic.Now)
}

func (p *purse) commit() {
	flush := func(s *ledger.State, store *kv.Mem) {
		var b kv.Batch
		s.Stage(&b)
		if err := store.Apply(&b); err != nil {
			p.fail("Apply = %v", err)
		}
		s.Committed()
	}
	flush(p.state, p.store)
	if p.draw(10) == 0 {
		flush(p.late, p.lazily)
	}
}

func (p *purse) apply(tx *lamppost.Transaction) lamppost.Code {
	outcomes, writes, err := p.state.Apply(tx, tx.ID("net"), true)
	if err != nil {
		p.fail("Apply(%s) = %v", tx.Type, err)
	}
	writes = bytes.Clone(writes)
	again, other, err := p.late.Apply(tx, tx.ID("net"), true)
	if err != nil || !bytes.Equal(writes, other) || fmt.Sprint(outcomes) != fmt.Sprint(again) {
		p.fail("a %s says %v, and before a commit %v (%v)", tx.Type, outcomes, again, err)
	}
	o := outcomes[0]
	if tx.Type != lamppost.TxSegment && o.Code != lamppost.CodeOK && len(writes) > 0 {
		p.fail("a %s was refused with %s and wrote", tx.Type, o.Code)
	}
	p.log = append(p.log, applied{p.height, p.traffic.Now, tx, writes})
	if p.done[tx.Type.String()+" "+o.Code.String()]++; o.Code == lamppost.CodeOK {
		p.check(tx, o, changedBy(writes), writes)
	}
	p.note(writes)
	p.traffic.Saw(tx, o)
	p.traffic.Index++
	return o.Code
}

// note keeps what was written.
func (p *purse) note(writes []byte) {
	eachWrite(writes, func(key string, val []byte, deleted bool) {
		if p.mirror[key] = string(val); deleted {
			delete(p.mirror, key)
		}
	})
}

// eachWrite reads writes as docs/formats.md says.
func eachWrite(b []byte, fn func(key string, val []byte, deleted bool)) {
	for len(b) > 0 {
		n := 2 + int(binary.BigEndian.Uint16(b))
		size := int(binary.BigEndian.Uint32(b[n:]))
		val := b[n+4 : n+4+max(size-1, 0)]
		fn(string(b[2:n]), val, size == 0)
		b = b[n+4+len(val):]
	}
}

// changedBy returns the new balances and what is held, by the key behind 'sA' and 'sH'.
func changedBy(writes []byte) map[string]lamppost.Micro {
	m := map[string]lamppost.Micro{}
	eachWrite(writes, func(key string, val []byte, _ bool) {
		if key[1] == 'A' || key[1] == 'H' {
			m[key] = lamppost.Micro(binary.BigEndian.Uint64(val))
		}
	})
	return m
}

// number is what the mirror has of a balance, or of what is held.
func (p *purse) number(key string) lamppost.Micro {
	if v := p.mirror[key]; v != "" {
		return lamppost.Micro(binary.BigEndian.Uint64([]byte(v)))
	}
	return 0
}

// check compares what an order changed with what it may change.
func (p *purse) check(tx *lamppost.Transaction, o lamppost.Outcome, after map[string]lamppost.Micro, writes []byte) {
	sums, sides := map[string]lamppost.Micro{}, map[lamppost.PartyID]lamppost.Micro{}
	before := p.number
	now := func(key string) lamppost.Micro {
		if v, ok := after[key]; ok {
			return v
		}
		return before(key)
	}
	claim := tx.Type == lamppost.TxInvoice || tx.Type == lamppost.TxCorrect
	for key, v := range after {
		party, currency, _ := strings.Cut(key[2:], "\x00")
		if key[1] == 'A' {
			sums[currency] += v - before(key)
			sides[owner(party)] += v - before(key)
		} else if v < 0 {
			p.fail("%s is held of %s after a %s", v, party, tx.Type)
		}
		free := func(number func(string) lamppost.Micro) lamppost.Micro {
			return number("sA"+key[2:]) - number("sH"+key[2:])
		}
		if !claim && free(now) < free(before) && free(now) < -p.limit(party) {
			p.fail("a %s took %s to %s %s free, its limit is %s", tx.Type, party, free(now), currency, p.limit(party))
		}
	}
	for currency, sum := range sums {
		if sum != 0 {
			p.fail("a %s posted %s %s more than nothing", tx.Type, sum, currency)
		}
	}
	p.checkRuns(tx, sides, writes)
	switch tx.Type {
	case lamppost.TxCredit:
		var b lamppost.CreditBody
		if err := lamppost.Unmarshal(tx.Order.Body, &b); err != nil || len(after) > 0 {
			p.fail("a credit limit changed accounts: %v (%v)", after, err)
		}
		p.limits[b.Party] = b.Limit
	case lamppost.TxInvoice, lamppost.TxCorrect:
		p.checkBill(tx, o, sides)
	case lamppost.TxSettle:
		p.checkSettle(tx, o)
	case lamppost.TxCash:
		p.checkCash(o, after)
	}
}

// checkCash adds up what was cashed on each channel: all of it once.
func (p *purse) checkCash(o lamppost.Outcome, after map[string]lamppost.Micro) {
	for key := range after {
		if key[1] == 'A' && after[key] != p.number(key) {
			p.fail("cashing posted to %q: an invoice does that", key)
		}
	}
	for _, c := range decoded[[]lamppost.Cashed](o.Data) {
		if p.cashed[c.Channel] += c.More; p.cashed[c.Channel] != c.Amount || c.More < 0 || c.Freed < 0 {
			p.fail("channel %s comes to %s, cashed was %s: %+v", c.Channel, c.Amount, p.cashed[c.Channel], c)
		}
	}
}

// checkRuns takes what contracts paid out of what changed, and checks that a run that failed paid nothing.
func (p *purse) checkRuns(tx *lamppost.Transaction, sides map[lamppost.PartyID]lamppost.Micro, writes []byte) {
	eachWrite(writes, func(key string, val []byte, _ bool) {
		if key[1] != 'i' {
			return
		}
		r := decoded[ledger.Run](val)
		what := "run of " + r.Event.Name + " ok"
		if r.Failure != nil {
			what = "run of " + r.Event.Name + " " + r.Failure.Reason.String()
			if len(r.Payments) > 0 {
				p.fail("%+v failed and paid", r)
			}
		}
		p.done[what]++
		at := lamppost.CallBody{Contract: r.Contract, Height: lamppost.Height(binary.BigEndian.Uint64([]byte(key[2:]))), Index: binary.BigEndian.Uint32([]byte(key[10:]))}
		if r.Failure != nil && r.Again == (ledger.Place{}) {
			p.traffic.Failed = append(p.traffic.Failed, at)
		}
		for _, x := range r.Payments {
			sides[owner(string(x.From))] += x.Amount
			sides[owner(string(x.To))] -= x.Amount
		}
	})
}

// checkContracts checks that no contract took more of anybody than was agreed.
func (p *purse) checkContracts() {
	all, err := ledger.View{Reader: p.store}.Contracts()
	must(err)
	for _, c := range all {
		for i, x := range c.Parties {
			if c.Taken[i] > x.Limit {
				p.fail("%s took %s of %s beyond its bills, its limit is %s", c.ID, c.Taken[i], x.Party, x.Limit)
			}
		}
	}
}

// owner is who owns an account: its party, or that of its device.
func owner(account string) lamppost.PartyID {
	var i int
	if n, _ := fmt.Sscanf(account, "m%d", &i); n == 1 {
		return lamppost.PartyID([...]string{fmt.Sprint("s", i%2), fmt.Sprint("s", i%2), fmt.Sprint("b", i%3)}[i%3])
	}
	return lamppost.PartyID(account)
}

// limit is how far an account may go below zero: what it was founded with, or what was ordered since.
func (p *purse) limit(account string) lamppost.Micro {
	if ordered, ok := p.limits[lamppost.PartyID(account)]; ok {
		return ordered
	}
	return map[string]lamppost.Micro{"s0": 1_000_000_000, "s1": 1_000_000_000, "b0": 200_000_000, "b1": 400_000_000, "b2": 600_000_000}[account]
}

// checkBill follows numbers and corrections, and what they claim of whom.
func (p *purse) checkBill(tx *lamppost.Transaction, o lamppost.Outcome, sides map[lamppost.PartyID]lamppost.Micro) {
	inv := decoded[tariff.Invoice](o.Data)
	p.count[inv.Seller]++
	if want := fmt.Sprintf("%s-%06d", inv.Seller, p.count[inv.Seller]); inv.Number != want {
		p.fail("the invoice is %s, not %s", inv.Number, want)
	}
	var lines lamppost.Micro
	for _, s := range inv.Supplies {
		if s.Channel != "" && inv.Corrects == nil {
			if p.done["billed "+s.Channel]++; p.done["billed "+s.Channel] > 1 {
				p.fail("channel %s stands on %s and on another invoice", s.Channel, inv.Number)
			}
		}
		for _, l := range s.Lines {
			lines += l.Amount
		}
	}
	if lines != inv.Net {
		p.fail("net %s, lines %s", inv.Net, lines)
	}
	b := &bill{total: inv.Total, dues: inv.Total}
	if tx.Type == lamppost.TxCorrect {
		of := decoded[lamppost.CorrectBody](tx.Order.Body)
		was := p.bills[lamppost.CorrectBody{Seller: of.Seller, Number: of.Number}]
		if was == nil || was.replaced || inv.Corrects == nil || inv.Corrects.Number != of.Number || inv.Corrects.Total != was.total {
			p.fail("%s corrects %+v, which was %+v", inv.Number, inv.Corrects, was)
		}
		was.replaced = true
		b.dues = was.dues + inv.Due()
	}
	if b.dues != b.total {
		p.fail("the chain up to %s claims %s, its last comes to %s", inv.Number, b.dues, b.total)
	}
	if sides[inv.Seller] != inv.Due() || sides[inv.Buyer] != -inv.Due() {
		p.fail("invoice %s claims %s, accounts changed by %v", inv.Number, inv.Due(), sides)
	}
	p.bills[lamppost.CorrectBody{Seller: inv.Seller, Number: inv.Number}] = b
}

// checkSettle checks that a session comes to no more than was held for it.
func (p *purse) checkSettle(tx *lamppost.Transaction, o lamppost.Outcome) {
	if len(o.Data) == 0 {
		return
	}
	x, err := ledger.View{Reader: p.store}.Session(decoded[lamppost.SettleBody](tx.Order.Body).Session)
	if err != nil {
		return // opened in the same block
	}
	var sum lamppost.Micro
	for _, l := range decoded[[]tariff.Line](o.Data) {
		sum += l.Amount
	}
	if sum > x.Limit {
		p.fail("session %s comes to %s, its limit is %s", x.ID, sum, x.Limit)
	}
}

func decoded[B any](raw []byte) (b B) {
	must(lamppost.Unmarshal(raw, &b))
	return b
}

// compare compares the store with what was written, what is held with the sessions that hold it, and the state in memory with one that is
// opened from the store, which goes on from here.
func (p *purse) compare() {
	n := 0
	must(p.store.Scan([]byte("s"), []byte("t"), func(k, v []byte) error {
		if got, ok := p.mirror[string(k)]; !ok || got != string(v) {
			p.fail("%q is %x in the store, written was %x", k, v, got)
		}
		n++
		return nil
	}))
	if n != len(p.mirror) {
		p.fail("%d keys in the store, %d were written", n, len(p.mirror))
	}
	p.checkContracts()
	sessions, err := ledger.View{Reader: p.store}.Sessions()
	must(err)
	held := map[string]lamppost.Micro{}
	for i := range sessions {
		x := &sessions[i]
		if word := x.State(); (word == "open" || word == "settled") != (x.Held > 0) {
			p.fail("session %s is %s and holds %s", x.ID, x.State(), x.Held)
		}
		t := decoded[tariff.Tariff]([]byte(p.mirror["sT"+x.Tariff+"\x00\x00\x00\x00\x01"])[12:])
		held["sH"+string(x.Buyer)+"\x00"+t.Currency] += x.Held
	}
	channels, err := ledger.View{Reader: p.store}.Channels()
	must(err)
	for i := range channels {
		x := &channels[i]
		word := x.State()
		if word == "open" && x.Held == 0 || (word == "billed" || word == "unused") && x.Held != 0 || x.Cashed > x.Most || x.Cashed != p.cashed[x.ID] {
			p.fail("channel %s is %s, holds %s and cashed %s of %s", x.ID, word, x.Held, x.Cashed, x.Most)
		}
		t := decoded[tariff.Tariff]([]byte(p.mirror["sT"+x.Tariff+"\x00\x00\x00\x00\x01"])[12:])
		held["sH"+string(x.Payer)+"\x00"+t.Currency] += x.Held
	}
	for key := range p.mirror {
		if key[1] == 'H' && p.number(key) != held[key] {
			p.fail("%q: %s is held, sessions and channels hold %s", key, p.number(key), held[key])
		}
	}
	opened := p.open(p.store)
	if !bytes.Equal(opened.Registry(), p.state.Registry()) {
		p.fail("the registry in the store is not the one in memory")
	}
	p.state = opened
}

// replay applies all of it again.
func (p *purse) replay() {
	s, height := p.open(kv.NewMem()), lamppost.Height(0)
	for i := range p.log {
		x := &p.log[i]
		if x.height != height {
			height = x.height
			s.Begin(height, x.time)
		}
		if _, writes, err := s.Apply(x.tx, x.tx.ID("net"), false); err != nil || !bytes.Equal(writes, x.writes) {
			p.fail("replayed, a %s of block %d writes something else (%v)", x.tx.Type, height, err)
		}
	}
	if !bytes.Equal(s.Registry(), p.state.Registry()) {
		p.fail("the registry after a replay is another")
	}
}
