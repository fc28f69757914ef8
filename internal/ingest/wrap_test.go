package ingest_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/ingest"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
	"github.com/lamppost/lamppost/sig"
)

// enrol has a device enrolled; the engine runs.
func enrol(t *testing.T, n *node, body lamppost.DeviceBody) {
	t.Helper()
	tx := n.net.Order(now+ledgertest.Hour, lamppost.TxDevice, body)
	d, err := n.eng.Propose(context.Background(), tx.ID("net"), tx.Append(nil))
	if err == nil {
		err = d.Outcomes[0].Err()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func plug() lamppost.DeviceBody {
	return lamppost.DeviceBody{ID: "plug", Owner: "p", KeyEpoch: 1, Salt: make([]byte, 16), Assurance: lamppost.ChannelAuthenticated, Gateway: "m1"}
}

// What a device without a key says is committed as a report that this gateway signed, numbered without gaps while the
// process lives; after a restart, and also with an older copy of the counters, no number is used again.
func TestWrap(t *testing.T) {
	t.Parallel()
	store, own := kv.NewMem(), kv.NewMem()
	n := newNode(t, store, 0, func(c *ingest.Config) {
		c.KeyOf = func(lamppost.DeviceID, uint32) (*sig.PublicKey, *lamppost.Refusal) { return c.Key().Public(), nil }
	})
	n.start(t)
	enrol(t, n, plug())
	view := ledger.View{Reader: store}
	known := func(id lamppost.DeviceID) (lamppost.Seq, error) {
		high, _, _, err := view.Sequence(id)
		return high, err
	}
	wrapper := func(records kv.Store) *ingest.Wrapper {
		return ingest.NewWrapper(ingest.WrapConfig{Network: "net", Key: n.net.Key, Store: records, Submit: n.in, BootID: 1, Known: known})
	}
	say := func(w *ingest.Wrapper, times int) {
		t.Helper()
		s := newSink(t, times)
		var all sync.WaitGroup
		for i := range times {
			all.Go(func() {
				if err := w.Wrap(context.Background(), "plug", 1, []lamppost.Reading{ledgertest.Energy(now, int64(i))}, 0, uint64(i), s); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		for i, r := range s.wait() {
			if r.Code != lamppost.CodeOK {
				t.Errorf("reading %d: %+v", i, r)
			}
		}
	}
	check := func(high, missing uint64) {
		t.Helper()
		h, m, lost, err := view.Sequence("plug")
		if err != nil || h.N != high || m != missing || lost != 0 {
			t.Errorf("high %d, missing %d, lost %d, %v; want %d and %d", h.N, m, lost, err, high, missing)
		}
	}
	first := wrapper(own)
	say(first, 5)
	say(first, 4)
	check(9, 0)
	again := wrapper(own)
	say(again, 3)
	check(259, 247) // 256 were reserved
	say(again, 300)
	check(559, 247)
	say(wrapper(kv.NewMem()), 1) // the counters are gone
	check(560, 247)
	if why, err := view.Quarantine("plug"); why != "" || err != nil {
		t.Errorf("quarantined: %s, %v", why, err)
	}
}

// Nothing is numbered, let alone sent, while the counter cannot be made durable.
func TestWrapNeedsItsCounter(t *testing.T) {
	t.Parallel()
	bad := errors.New("disk full")
	w := ingest.NewWrapper(ingest.WrapConfig{Network: "net", Key: ledgertest.Key("m1", sig.EdDSA), Store: failing{kv.NewMem(), bad}, Submit: nobody{t}})
	if err := w.Wrap(context.Background(), "plug", 1, []lamppost.Reading{ledgertest.Energy(now, 1)}, 0, 0, newSink(t, 1)); !errors.Is(err, bad) {
		t.Errorf("Wrap = %v", err)
	}
}

type failing struct {
	kv.Store
	err error
}

func (f failing) Apply(*kv.Batch) error { return f.err }

type nobody struct{ t *testing.T }

func (n nobody) Submit(context.Context, *ingest.Origin, []byte, uint64, ingest.Sink) error {
	n.t.Error("submitted")
	return nil
}

// An HMAC report is checked with the key that this gateway shares with the device; of a device that another gateway
// vouches for nothing is taken, whatever it says.
func TestHMAC(t *testing.T) {
	t.Parallel()
	fan := ledgertest.New("net").NewDevice("fan", sig.HMAC256)
	body := fan.Body("p")
	sum := lamppost.KeyCommitment(body.Salt, body.Key)
	body.Key, body.Assurance, body.Gateway = sum[:], lamppost.GatewayVouched, "m1"
	n := newNode(t, kv.NewMem(), 1, func(c *ingest.Config) {
		byOwnKey := c.KeyOf
		c.KeyOf = func(id lamppost.DeviceID, epoch uint32) (*sig.PublicKey, *lamppost.Refusal) {
			switch id {
			case "fan":
				return fan.Key.Public(), nil
			case "elsewhere":
				return nil, ingest.Elsewhere
			}
			return byOwnKey(id, epoch)
		}
	})
	n.start(t)
	enrol(t, n, body)
	forged, stranger := *fan, *n.net.NewDevice("elsewhere", sig.HMAC256)
	forged.Key = ledgertest.Key("guess", sig.HMAC256)
	s := newSink(t, 4)
	submit(t, n.in, "fan", fan.Report(1, ledgertest.Energy(now, 1)), 1, s)
	submit(t, n.in, "fan", forged.Report(2, ledgertest.Energy(now, 1)), 2, s)
	submit(t, n.in, "elsewhere", stranger.Report(1, ledgertest.Energy(now, 1)), 3, s)
	submit(t, n.in, "d000", n.devs[0].Report(1, ledgertest.Energy(now, 1)), 4, s)
	for token, want := range map[uint64]lamppost.Code{1: lamppost.CodeOK, 2: lamppost.CodeBadSignature, 3: lamppost.CodeForbidden, 4: lamppost.CodeOK} {
		if got := s.wait()[token]; got.Code != want {
			t.Errorf("report %d: %+v, want %v", token, got, want)
		}
	}
}
