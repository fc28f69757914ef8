package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus"
	"github.com/lamppost/lamppost/internal/ingest"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
	"github.com/lamppost/lamppost/sig"
)

// value reads a counter.
func value(m prometheus.Metric) int {
	var out dto.Metric
	if err := m.Write(&out); err != nil {
		panic(err)
	}
	return int(out.GetCounter().GetValue())
}

// waits is how long a FloodError says to wait, -1 where there is none.
func waits(err error) time.Duration {
	var flood *ingest.FloodError
	if errors.As(err, &flood) {
		return flood.Wait
	}
	return -1
}

// An allowance gives its burst and then its rate, is in debt for a minute at most, and is whole again after a while. It is one
// for all connections of a device.
func TestAllowance(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var origins ingest.Origins
		a := origins.Of("a").Allowance
		spend := func(n int) {
			for range n {
				a.Spend()
			}
		}
		check := func(want time.Duration) {
			t.Helper()
			if got := waits(origins.Of("a").Allowance.Check()); got != want {
				t.Errorf("to wait %v, want %v", got, want)
			}
		}
		check(-1)
		spend(99)
		check(-1)
		spend(1)
		check(50 * time.Millisecond)
		time.Sleep(49 * time.Millisecond)
		check(time.Millisecond)
		time.Sleep(time.Millisecond)
		check(-1)
		spend(20)
		check(time.Second)
		spend(1_000_000)
		check(60*time.Second + 50*time.Millisecond)
		time.Sleep(time.Hour)
		check(-1)
		spend(100)
		check(50 * time.Millisecond)
		if got := waits(origins.Of("b").Allowance.Check()); got != -1 {
			t.Errorf("another device waits %v", got)
		}
		var none *ingest.Allowance
		if none.Spend(); none.Check() != nil {
			t.Error("no allowance is a limit")
		}
	})
}

// tally counts replies by code.
type tally [18]atomic.Int64

func (c *tally) Done(_ uint64, r ingest.Reply) { c[r.Code].Add(1) }

func (c *tally) of(code lamppost.Code) int { return int(c[code].Load()) }

// A fleet is an ingest over an engine that accepts everything, with devices that it knows; one of them floods.
type fleet struct {
	in      *ingest.Ingest
	metrics *ingest.Metrics
	origins ingest.Origins
	devices []*ledgertest.Device
	honest  [][]byte // a report of each
	forged  []byte   // of the first, which floods
}

func newFleet(n int, change func(*ingest.Config)) *fleet {
	f := &fleet{metrics: ingest.NewMetrics(nil)}
	net := ledgertest.New("net")
	keys := map[lamppost.DeviceID]*sig.PublicKey{}
	for i := range n {
		d := net.NewDevice(lamppost.DeviceID(fmt.Sprintf("d%03d", i)), sig.EdDSA)
		keys[d.ID] = d.Key.Public()
		f.devices, f.honest = append(f.devices, d), append(f.honest, d.Report(1, ledgertest.Power(now, 1)))
	}
	f.forged = append([]byte(nil), f.honest[0]...)
	f.forged[len(f.forged)-40] ^= 1 // in R: only the equation can tell
	cfg := ingest.Config{Network: "net", Gateway: "m1", Key: func() *sig.PrivateKey { return net.Key }, Metrics: f.metrics, Salts: func([]byte) {}, Now: func() lamppost.TimeMS { return now },
		KeyOf: func(id lamppost.DeviceID, _ uint32) (*sig.PublicKey, *lamppost.Refusal) {
			if keys[id] == nil {
				return nil, ingest.Unknown
			}
			return keys[id], nil
		},
		Propose: script(func(_ context.Context, _ lamppost.TxID, raw []byte) (consensus.Decision, error) {
			return accept(raw), nil
		})}
	change(&cfg)
	f.in = ingest.New(cfg)
	return f
}

// flood sends forged reports for as long as ctx lasts, as fast as it is let, as a client without acknowledgements does.
func (f *fleet) flood(ctx context.Context, to ingest.Sink) {
	for from := f.origins.Of(f.devices[0].ID); ctx.Err() == nil; {
		if wait := waits(f.in.Submit(ctx, from, f.forged, 0, to)); wait >= 0 {
			select {
			case <-time.After(wait):
			case <-ctx.Done():
			}
		}
	}
}

// report sends so many rounds of honest reports, one of each device but the first, with a pause after each.
func (f *fleet) report(t testing.TB, rounds int, pause time.Duration, to ingest.Sink) {
	for range rounds {
		for i := 1; i < len(f.devices); i++ {
			if err := f.in.Submit(context.Background(), f.origins.Of(f.devices[i].ID), f.honest[i], 0, to); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(pause)
	}
}

// One device that floods with forged reports beside 50 honest ones: what is spent on the honest does not grow. They are
// checked together, as without it, and hardly a batch has to be searched: only those that were taken before the first forged
// report was known. Of the flood no more is checked than the allowance and its debt; the rest is not even looked at.
func TestFlood(t *testing.T) {
	t.Parallel()
	const pause, workers, batch, queue = 100 * time.Millisecond, 4, 64, 4000
	rounds := 300
	if testing.Short() {
		rounds = 50
	}
	for _, flooded := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			f := newFleet(51, func(c *ingest.Config) { c.Workers, c.MaxBatch, c.MaxQueue = workers, batch, queue })
			ctx, stop := context.WithCancel(t.Context())
			var all sync.WaitGroup
			all.Go(func() {
				if err := f.in.Run(ctx); err != nil {
					t.Error(err)
				}
			})
			var honest, forged tally
			if flooded {
				all.Go(func() { f.flood(ctx, &forged) })
			}
			f.report(t, rounds, pause, &honest)
			stop()
			all.Wait()

			m := f.metrics
			if got := honest.of(lamppost.CodeOK); got != 50*rounds {
				t.Errorf("%d of %d honest reports are accepted", got, 50*rounds)
			}
			if searches := value(m.Searches); searches > 2*workers {
				t.Errorf("%d batches were searched", searches)
			}
			if together := value(m.Together); together < 50*rounds || together > 50*rounds+2*workers*batch {
				t.Errorf("%d reports were checked together, %d of them honest", together, 50*rounds)
			}
			// 100 at once, 60 s of 20 a second as debt, 20 a second since (2 a round), and what was on its way.
			if bad := forged.of(lamppost.CodeBadSignature); flooded && bad < 100 || bad > 100+1200+2*rounds+2*workers*batch {
				t.Errorf("%d forged reports were checked", bad)
			}
			if busy := forged.of(lamppost.CodeBusy); flooded && value(m.Floods) == 0 || !flooded && value(m.Floods) > 0 || busy > queue {
				t.Errorf("turned away %d times, and %d reports were not looked at", value(m.Floods), busy)
			}
			t.Logf("flooded %t: %d together, %d alone, %d searches; forged: %d refused, %d not looked at, %d times not taken", flooded, value(m.Together),
				value(m.Alone), value(m.Searches), forged.of(lamppost.CodeBadSignature), forged.of(lamppost.CodeBusy), value(m.Floods))
		})
	}
}

// Who is suspected is checked alone and otherwise treated like all: good reports are accepted, in their place among others,
// and after a minute without a bad one the suspicion is over.
func TestSuspects(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var orders [][]string
		f := newFleet(3, func(c *ingest.Config) {
			c.Workers = 1
			c.Propose = script(func(_ context.Context, _ lamppost.TxID, raw []byte) (consensus.Decision, error) {
				tx, err := lamppost.ParseTransaction(raw)
				if err != nil {
					t.Error(err)
				}
				var order []string
				for _, it := range tx.Items {
					var r lamppost.Report
					if err := r.Decode(it.Report); err != nil {
						t.Error(err)
					}
					order = append(order, strings.Clone(string(r.Device)))
				}
				orders = append(orders, order)
				return accept(raw), nil
			})
		})
		ctx, stop := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() { f.in.Run(ctx) })
		var got tally
		send := func(first []byte) {
			for i, raw := range [][]byte{first, f.honest[1], f.honest[0], f.honest[2]} {
				submit := f.origins.Of(f.devices[[]int{0, 1, 0, 2}[i]].ID)
				if err := f.in.Submit(ctx, submit, raw, 0, &got); err != nil {
					t.Error(err)
				}
			}
			time.Sleep(time.Second)
		}
		alone := func(want int) {
			t.Helper()
			if got := value(f.metrics.Alone); got != want {
				t.Errorf("%d were checked alone, want %d", got, want)
			}
		}
		send(f.forged)
		alone(0)
		send(f.honest[0])
		alone(2)
		send([]byte("noise")) // cannot be read
		alone(3)
		time.Sleep(time.Minute)
		send(f.honest[0])
		alone(3)
		stop()
		all.Wait()
		if want := "[[d000 d001 d002] [d000 d000 d001 d002] [d000 d001 d002] [d000 d000 d001 d002]]"; fmt.Sprint(orders) != want {
			t.Errorf("segments %v, want %s", orders, want)
		}
		if value(f.metrics.Searches) != 1 || got.of(lamppost.CodeBadSignature) != 1 || got.of(lamppost.CodeBadReport) != 1 {
			t.Errorf("%d searches", value(f.metrics.Searches))
		}
	})
}

// Whoever writes my name into reports cannot harm me. Over a connection of his own it costs him; where a broker does not say
// who published, it costs the broker's connection. I am neither limited nor quarantined, and my reports are accepted, also
// that with the number he forged. Only a second report that I have signed quarantines me.
func TestSomebodyElsesName(t *testing.T) {
	t.Parallel()
	n := newNode(t, kv.NewMem(), 2, func(c *ingest.Config) { c.MaxBatch, c.Workers = 64, 1 })
	n.start(t)
	me, thief := n.devs[0], *n.devs[1]
	var door ingest.Origins
	broker := ingest.NewAllowance(5000, 1000)
	forger := *me
	forger.Key = thief.Key
	var forged, mine tally
	var done sync.WaitGroup
	send := func(from *ingest.Origin, raw []byte, to *tally) {
		t.Helper()
		done.Add(1)
		if err := n.in.Submit(t.Context(), from, raw, 0, both{to, &done}); err != nil {
			done.Done()
			to[17].Add(1) // not taken
		}
	}
	for k := range uint64(300) {
		raw := forger.Report(k+1, ledgertest.Power(now, int64(k)))
		send(door.Of(thief.ID), raw, &forged)                                               // as me, over his connection
		send(&ingest.Origin{Device: me.ID, Relayed: true, Allowance: broker}, raw, &forged) // on my topic, at a broker
		send(door.Of(me.ID), me.Report(k+1, ledgertest.Power(now, 7)), &mine)
	}
	done.Wait()
	if mine.of(lamppost.CodeOK) != 300 || forged.of(lamppost.CodeForbidden) != 300 || forged.of(lamppost.CodeBadSignature) != 300 {
		t.Errorf("%d of my reports are accepted; of the forged %d are forbidden, %d badly signed", mine.of(lamppost.CodeOK),
			forged.of(lamppost.CodeForbidden), forged.of(lamppost.CodeBadSignature))
	}
	if err := door.Of(me.ID).Allowance.Check(); err != nil {
		t.Errorf("I am told: %v", err)
	}
	if err := broker.Check(); err != nil {
		t.Errorf("the broker is told of 300 of 5000: %v", err)
	}
	quarantined := func() bool {
		send(door.Of(me.ID), me.Report(301, ledgertest.Power(now, 7)), &mine)
		done.Wait()
		return mine.of(lamppost.CodeQuarantined) > 0
	}
	if quarantined() {
		t.Error("I am quarantined for what somebody else forged")
	}
	send(door.Of(me.ID), me.Report(300, ledgertest.Power(now, 8)), &mine) // two reports, one number, both mine
	done.Wait()
	if mine.of(lamppost.CodeReused) != 1 || !quarantined() {
		t.Error("two reports of mine with one number do not quarantine me")
	}
}

// both counts a reply and tells of it.
type both struct {
	*tally
	done *sync.WaitGroup
}

func (b both) Done(token uint64, r ingest.Reply) { b.tally.Done(token, r); b.done.Done() }
