package challenge_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/challenge"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/sig"
)

// A street is a chain of a network that trusts its gateways "liar" and "honest", with a meter; each transaction is a block.
type street struct {
	t      testing.TB
	net    *ledgertest.Network
	store  *kv.Mem
	rep    *replica.Replica
	meter  *ledgertest.Device
	thief  *ledgertest.Device // signs as the meter with another key
	gates  map[lamppost.MemberID]*ledgertest.Network
	height lamppost.Height
	events []*replica.Event
}

func newStreet(t testing.TB) *street {
	s := &street{t: t, net: ledgertest.New("net"), store: kv.NewMem(), gates: map[lamppost.MemberID]*ledgertest.Network{}}
	var err error
	s.rep, err = replica.Open(replica.Config{Store: s.store, Committed: func(ev *replica.Event) { s.events = append(s.events, ev) }})
	must(t, err)
	body := s.net.GenesisBody()
	body.Verify = lamppost.VerifyGateway
	s.order(lamppost.TxGenesis, body)
	s.order(lamppost.TxParty, lamppost.PartyBody{ID: "p0"})
	for _, id := range []lamppost.MemberID{"liar", "honest"} {
		gw := *s.net
		gw.Member, gw.Key = id, ledgertest.Key(string(id), sig.EdDSA)
		s.gates[id] = &gw
		s.order(lamppost.TxGateway, lamppost.GatewayBody{ID: id, Member: s.net.Member, Key: gw.Key.Public().Bytes()})
	}
	s.meter = s.net.NewDevice("meter", sig.EdDSA)
	thief := *s.meter
	thief.Key = ledgertest.Key("thief", sig.EdDSA)
	s.thief = &thief
	s.order(lamppost.TxDevice, s.meter.Body("p0"))
	s.events = nil
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (s *street) now() lamppost.TimeMS { return ledgertest.Start + lamppost.TimeMS(s.height) }

// commit makes a block of a transaction and returns what became of it.
func (s *street) commit(tx *lamppost.Transaction) []lamppost.Outcome {
	s.t.Helper()
	s.height++
	res, err := s.rep.Apply(&lamppost.Block{Height: s.height, Time: s.now(), Cursor: lamppost.Cursor(s.height), Proposer: "m1", Txs: [][]byte{tx.Append(nil)}})
	must(s.t, err)
	_, err = s.rep.Commit()
	must(s.t, err)
	return res.Outcomes[0]
}

func (s *street) order(t lamppost.TxType, body any) {
	s.t.Helper()
	must(s.t, s.accuse(t, body))
}

func (s *street) accuse(t lamppost.TxType, body any) error {
	return s.commit(s.net.Order(s.now()+ledgertest.Hour, t, body))[0].Err()
}

// bring has a gateway, or as "" the member, bring reports of the meter with these numbers, a negative one forged. All are taken.
func (s *street) bring(gateway lamppost.MemberID, numbers ...int) {
	s.t.Helper()
	packer := s.net
	if gateway != "" {
		packer = s.gates[gateway]
	}
	var raws [][]byte
	for _, n := range numbers {
		d := s.meter
		if n < 0 {
			d, n = s.thief, -n
		}
		raws = append(raws, d.Report(uint64(n), ledgertest.Power(s.now(), int64(n))))
	}
	s.commit(packer.Segment(s.now(), raws...))
}

// sampler looks at the street; what it finds is ordered.
func (s *street) sampler(rate float64, random func([]byte)) *challenge.Sampler {
	return challenge.New(challenge.Config{Archive: archive.View{Reader: s.store}, Rate: rate, Random: random, Now: s.now,
		Accuse: func(_ context.Context, b lamppost.FraudBody) error { return s.accuse(lamppost.TxFraud, b) }},
		[]lamppost.Member{{ID: s.net.Member}})
}

func (s *street) watch(by *challenge.Sampler) {
	s.t.Helper()
	for _, ev := range s.events {
		by.Observe(ev)
	}
	s.events = nil
	must(s.t, by.Drain(s.t.Context()))
}

// never is randomness that draws nothing, always one that draws all.
func never(b []byte) {
	for i := range b {
		b[i] = 0xff
	}
}

func always(b []byte) { clear(b) }

// A gateway that forges k reports is caught by a node that checks the share p of them with probability 1 − (1 − p)^k.
func TestLiarsAreCaught(t *testing.T) {
	t.Parallel()
	const trials, forged = 1000, 10
	s := newStreet(t)
	s.bring("liar", -1, 2, -3, 4, -5, -6, 7, 8, -9, -10)
	s.bring("liar", 11, 12, -13, -14, 15, 16, -17, -18)
	seed := rand.NewChaCha8([32]byte{1})
	for _, p := range []float64{0.01, 0.05, 0.2, 1} {
		caught := 0
		for range trials {
			hit := false
			ctx, cancel := context.WithCancel(t.Context())
			by := challenge.New(challenge.Config{Archive: archive.View{Reader: s.store}, Rate: p, Random: func(b []byte) { seed.Read(b) }, Now: s.now,
				Accuse: func(_ context.Context, b lamppost.FraudBody) error {
					hit = true
					cancel() // ends the trial
					return nil
				}}, nil)
			for _, ev := range s.events {
				by.Observe(ev)
			}
			if err := by.Drain(ctx); err != nil && !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			cancel()
			if hit {
				caught++
			}
		}
		want := 1 - math.Pow(1-p, forged)
		if got, sigma := float64(caught)/trials, math.Sqrt(want*(1-want)/trials); math.Abs(got-want) > 4*sigma {
			t.Errorf("with p = %v the liar was caught in %v of the trials, want %.3f ± %.3f", p, got, want, sigma)
		}
	}
}

// One hit is enough: all that the liar brought and can be challenged is looked at, nothing of others beyond the draw. Its
// lies are undone, and nothing of it is taken any more.
func TestOneHit(t *testing.T) {
	t.Parallel()
	s := newStreet(t)
	s.bring("liar", 1, -2, 3)
	s.bring("honest", 4, 5)
	s.bring("liar", -6, 7)
	s.bring("liar", 8, -9)
	draws := 0
	by := s.sampler(0.5, func(b []byte) {
		if draws++; draws > 1 {
			t.Error("more than one fill for nine reports")
		}
		never(b)
		clear(b[4*5 : 4*6]) // only report 6 is drawn
	})
	s.watch(by)
	if c := by.Counts(); c.Hits != 3 || c.Sampled != 1+7 || c.Skipped != 0 {
		t.Errorf("%+v, want 3 hits in 8 reports", c)
	}
	v := ledger.View{Reader: s.store}
	_, missing, _, err := v.Sequence("meter")
	must(t, err)
	if missing != 2 { // 2 and 6: nothing is above 8 now
		t.Errorf("%d numbers are missing, want 2", missing)
	}
	s.bring("liar", 10)
	last := s.events[len(s.events)-1]
	if code := last.Result.Outcomes[0][0].Code; code != lamppost.CodeBadSignature {
		t.Errorf("a suspended gateway is answered %v", code)
	}
	s.bring("honest", 2, 6, 9)
	for i, o := range s.events[len(s.events)-1].Result.Outcomes[0] {
		if o.Code != lamppost.CodeOK {
			t.Errorf("true report %d of those that were forged: %v", i, o.Code)
		}
	}
	s.watch(s.sampler(1, always))
}

// A number that was used before points at who used it: a true report that comes after a forged one convicts it, without
// any draw, and whoever brings it. A device that reuses a number itself convicts nobody.
func TestReusedNumberIsAHint(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		second lamppost.MemberID // who brings number 1 again
		first  int
		hits   uint64
	}{{"honest", -1, 1}, {"liar", -1, 1}, {"", -1, 1}, {"honest", 1, 0}, {"", 1, 0}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			t.Parallel()
			s := newStreet(t)
			by := s.sampler(0.01, never)
			s.bring("liar", c.first, 2)
			s.bring(c.second, 1)
			if code := s.events[1].Result.Outcomes[0][0].Code; code != lamppost.CodeReused {
				t.Fatalf("number 1 again: %v", code)
			}
			s.watch(by)
			if got := by.Counts(); got.Hits != c.hits {
				t.Errorf("%+v, want %d hits", got, c.hits)
			}
			why, err := ledger.View{Reader: s.store}.Quarantine("meter")
			must(t, err)
			if (why == "") != (c.hits == 1) {
				t.Errorf("the meter's quarantine: %q", why)
			}
		})
	}
}

// Members' segments are checked in full and are not drawn from.
func TestMembersAreNotSampled(t *testing.T) {
	t.Parallel()
	s := newStreet(t)
	by := s.sampler(1, always)
	s.bring("", 1, -2, 3)
	s.bring("honest", 4)
	s.watch(by)
	if c := by.Counts(); c.Sampled != 1 || c.Hits != 0 {
		t.Errorf("%+v, want 1 report looked at", c)
	}
}

// The engine never waits: what is drawn beyond the queue is counted and not looked at.
func TestFullQueue(t *testing.T) {
	t.Parallel()
	s := newStreet(t)
	by := s.sampler(1, always)
	s.bring("honest", 1)
	ev := *s.events[0]
	const more = 7
	ev.Result = &lamppost.Result{Outcomes: [][]lamppost.Outcome{make([]lamppost.Outcome, challenge.MaxQueue+more)}}
	by.Observe(&ev)
	if c := by.Counts(); c.Skipped != more {
		t.Errorf("%+v, want %d skipped", c, more)
	}
}

// A lie that was found is not lost when the engine cannot take it at once. Run ends when it is told to.
func TestAccusesUntilDecided(t *testing.T) {
	t.Parallel()
	s := newStreet(t)
	s.bring("liar", -1)
	events := s.events
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		ctx, cancel := context.WithCancel(t.Context())
		by := challenge.New(challenge.Config{Archive: archive.View{Reader: s.store}, Rate: 1, Random: always, Now: s.now,
			Accuse: func(_ context.Context, b lamppost.FraudBody) error {
				switch tries++; tries {
				case 1, 2:
					return errors.New("busy")
				default:
					cancel()
					return lamppost.Refuse(lamppost.CodeExists, "somebody else was first")
				}
			}}, nil)
		for _, ev := range events {
			by.Observe(ev)
		}
		must(t, by.Run(ctx))
		if c := by.Counts(); tries != 3 || c.Hits != 0 {
			t.Errorf("%d tries, %+v", tries, c)
		}
	})
}

// A store that cannot be read ends it: what it does not know it does not guess.
func TestUnreadableStore(t *testing.T) {
	t.Parallel()
	s := newStreet(t)
	s.bring("liar", -1)
	by := challenge.New(challenge.Config{Archive: archive.View{Reader: kv.NewMem()}, Rate: 1, Random: always, Now: s.now}, nil)
	for _, ev := range s.events {
		by.Observe(ev)
	}
	if err := by.Run(t.Context()); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("report 0 of transaction 0 in block %d", s.height)) {
		t.Errorf("Run = %v", err)
	}
}

// BenchmarkSample is what it costs to draw one of a segment of 1,024 reports and to look at it.
func BenchmarkSample(b *testing.B) {
	s := newStreet(b)
	numbers := make([]int, 1024)
	for i := range numbers {
		numbers[i] = i + 1
	}
	s.bring("honest", numbers...)
	by := s.sampler(0.01, func(b []byte) {
		never(b)
		clear(b[:4])
	})
	for b.Loop() {
		by.Observe(s.events[0])
		must(b, by.Drain(b.Context()))
	}
	if c := by.Counts(); c.Sampled != uint64(b.N) {
		b.Errorf("%+v in %d rounds", c, b.N)
	}
}
