package device_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/device"
	"github.com/lamppost/lamppost/sig"
)

// A registry is the network's side of a device's keys, in front of a ledger: a key is enrolled with the consent of the one
// before, and reports are taken that are signed with the latest key or the one before that.
type registry struct {
	*ledger
	mu     sync.Mutex
	keys   []*sig.PublicKey  // by epoch, from 1
	wrong  []string          // what an honest device never sends
	answer func(n int) error // what becomes of the n-th answer to an announcement; nil: it arrives
	asked  int
	signed map[lamppost.Seq]uint32 // key epochs
}

func newRegistry(first *sig.PrivateKey) *registry {
	return &registry{ledger: newLedger(), keys: []*sig.PublicKey{first.Public()}, signed: map[lamppost.Seq]uint32{}}
}

func (g *registry) Announce(_ context.Context, suite sig.Suite, key, consent []byte) (device.Enrolled, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	public, err := sig.ParsePublicKey(suite, key)
	if err != nil {
		return device.Enrolled{}, err
	}
	now := uint32(len(g.keys))
	if latest := g.keys[now-1]; !latest.Equal(public) {
		c := lamppost.KeyChange{ID: "meter-1", Epoch: now, Next: now + 1, Suite: suite, Key: key}
		if err := c.Check(consent, network, lamppost.PurposeDeviceKey, latest); err != nil {
			g.wrong = append(g.wrong, err.Error())
			return device.Enrolled{}, lamppost.Refuse(lamppost.CodeBadSignature, "%v", err)
		}
		g.keys = append(g.keys, public)
		now++
	}
	g.asked++
	if g.answer != nil {
		if err := g.answer(g.asked); err != nil {
			return device.Enrolled{}, err
		}
	}
	return device.Enrolled{Network: network, KeyEpoch: now}, nil
}

func (g *registry) Send(ctx context.Context, raw []byte) (device.Ack, error) {
	var r lamppost.Report
	if err := r.Decode(raw); err != nil {
		return device.Ack{}, err
	}
	g.mu.Lock()
	latest := uint32(len(g.keys))
	switch e := r.KeyEpoch; {
	case e < 1 || e > latest || e+1 < latest:
		g.wrong = append(g.wrong, fmt.Sprintf("report %v is signed under key %d, the latest is %d", r.Seq, e, latest))
	case !r.Verify(network, g.keys[e-1]):
		g.wrong = append(g.wrong, fmt.Sprintf("report %v is not signed with key %d", r.Seq, e))
	}
	g.signed[r.Seq] = r.KeyEpoch
	g.mu.Unlock()
	return g.ledger.Send(ctx, raw)
}

// rotatingLife reports, rotates and reports, twice, with the queue full of reports under the key before.
func rotatingLife(t *testing.T, cfg device.Config, disk *memDisk, g *registry) (queued []lamppost.Seq, alive bool) {
	cfg.Sender = g
	d, err := device.OpenOn(cfg, disk)
	if err != nil {
		return nil, notPower(t, err)
	}
	for i := range 5 {
		seq, err := d.Report(energy(int64(disk.calls*10 + i)))
		if err != nil {
			return queued, notPower(t, err)
		}
		queued = append(queued, seq)
		if i%2 == 1 {
			if err := d.Rotate(t.Context()); errors.Is(err, device.ErrFormerQueued) {
				continue
			} else if err != nil && !errors.Is(err, errLost) {
				return queued, notPower(t, err)
			}
			if !deliver(t, d) {
				return queued, false
			}
		}
	}
	if !deliver(t, d) {
		return queued, false
	}
	if err := d.Close(); err != nil {
		return queued, notPower(t, err)
	}
	return queued, true
}

var errLost = errors.New("the answer got lost")

// Goal: wherever the power fails while keys are changed, and whatever answers get lost, the device goes on: every report
// arrives, signed with a key that the network takes at that time, the keys change by consent alone, and in the end device
// and network agree which key is in use. Method: as in TestPowerLoss, at every call that changes the disk.
func TestPowerLossWhileRotating(t *testing.T) {
	t.Parallel()
	for way := range lossWays {
		for _, lost := range []bool{false, true} {
			t.Run(fmt.Sprintf("way=%d lost=%t", way, lost), func(t *testing.T) {
				t.Parallel()
				for failAt := 0; ; failAt++ {
					if rotationLoss(t, way, failAt, lost) {
						return
					}
				}
			})
		}
	}
}

func rotationLoss(t *testing.T, way, failAt int, lost bool) bool {
	random := rand.New(rand.NewPCG(uint64(way), uint64(failAt)))
	cfg := testConfig(t)
	cfg.MinBackoff, cfg.MaxBackoff = time.Hour, time.Hour // nothing goes on by itself while the power may fail
	g, disk := newRegistry(cfg.Key), newMemDisk()
	if lost {
		g.answer = func(n int) error {
			if n%3 == 1 {
				return errLost
			}
			return nil
		}
	}
	disk.failAt = failAt
	promised, alive := rotatingLife(t, cfg, disk, g)
	disk = disk.lose(way, random)
	disk.failAt = random.IntN(30)
	more, _ := rotatingLife(t, cfg, disk, g)
	promised = append(promised, more...)
	disk = disk.lose(way, random)
	g.answer = nil
	last, ok := rotatingLife(t, cfg, disk, g)
	if !ok {
		t.Fatalf("power lost at call %d: the last life failed without a power loss", failAt)
	}
	for _, seq := range append(promised, last...) {
		if g.reports[seq] == nil {
			t.Fatalf("power lost at call %d: report %v was queued and never arrived", failAt, seq)
		}
	}
	if len(g.wrong) > 0 || len(g.reused) > 0 {
		t.Fatalf("power lost at call %d: %q; numbers used twice: %v", failAt, g.wrong, g.reused)
	}
	if e := g.signed[last[len(last)-1]]; e != uint32(len(g.keys)) {
		t.Fatalf("power lost at call %d: the last report is signed under key %d, the network has %d", failAt, e, len(g.keys))
	}
	return alive
}

// A rotation whose answers get lost is finished by Run, with one key, and a refusal for good ends it: the device signs on
// with the key it has and may try with another.
func TestRotateGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig(t)
		g := newRegistry(cfg.Key)
		cfg.Sender = g
		d, err := device.OpenOn(cfg, newMemDisk())
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- d.Run(ctx) }()
		g.answer = func(n int) error {
			if n < 5 {
				return errLost
			}
			return nil
		}
		if err := d.Rotate(t.Context()); !errors.Is(err, errLost) {
			t.Errorf("Rotate = %v, want that the answer got lost", err)
		}
		if s := d.Stats(); !s.Rotating || s.KeyEpoch != 1 {
			t.Errorf("under way: %+v", s)
		}
		time.Sleep(10 * time.Minute)
		if s := d.Stats(); s.Rotating || s.KeyEpoch != 2 || len(g.keys) != 2 || g.asked != 5 {
			t.Errorf("in the end: %+v, asked %d times, %d keys", s, g.asked, len(g.keys))
		}
		g.answer = func(int) error { return lamppost.Refuse(lamppost.CodeForbidden, "revoked") }
		var refusal *lamppost.Refusal
		if err := d.Rotate(t.Context()); !errors.As(err, &refusal) || refusal.Code != lamppost.CodeForbidden {
			t.Errorf("Rotate = %v, want the refusal", err)
		}
		if s := d.Stats(); s.Rotating || s.KeyEpoch != 2 {
			t.Errorf("refused: %+v", s)
		}
		time.Sleep(10 * time.Minute)
		if g.asked != 6 {
			t.Errorf("asked %d times, want no more after a refusal", g.asked)
		}
		stop()
		if err := <-ran; err != nil {
			t.Error(err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if err := d.Rotate(t.Context()); !errors.Is(err, device.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}

// A program that always does the same at its start, with a key that is kept for it or with one that it keeps, goes on
// with the key that the device took, without a node; with another key the old story is over.
func TestRotateAcrossStarts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, err := device.LoadOrCreateKey(dir, sig.ES256)
	if err != nil {
		t.Fatal(err)
	}
	g := newRegistry(first)
	asked := 0
	node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Suite        string
			Key, Consent []byte
		}
		text, _ := io.ReadAll(r.Body)
		if r.URL.Path != "/v1/enrol" || json.Unmarshal(text, &in) != nil || in.Suite != "es256" {
			t.Errorf("asked for %s with %s", r.URL, text)
		}
		asked++
		got, err := g.Announce(r.Context(), sig.ES256, in.Key, in.Consent)
		if err != nil {
			t.Error(err)
		}
		json.NewEncoder(w).Encode(got)
	}))
	defer node.Close()
	// start is what a program does; it returns the key epoch that the device signs with.
	start := func(key *sig.PrivateKey, rotate bool) uint32 {
		t.Helper()
		in, err := device.Enrol(t.Context(), device.Enrolment{URL: node.URL, Device: "meter-1", Token: "token", Key: key, Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		d, err := device.Open(device.Config{Network: in.Network, ID: "meter-1", Key: key, KeyEpoch: in.KeyEpoch, Dir: dir,
			Sender: device.NewHTTP(node.URL, "meter-1", "token", nil)})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		if rotate {
			if err := d.Rotate(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		return d.Stats().KeyEpoch
	}
	kept := func() *sig.PrivateKey {
		t.Helper()
		key, err := device.LoadOrCreateKey(dir, sig.ES256)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	if e := start(kept(), true); e != 2 {
		t.Errorf("rotated to key %d", e)
	}
	if e := start(kept(), false); e != 2 || !kept().Public().Equal(g.keys[1]) {
		t.Errorf("started again with key %d", e)
	}
	if e := start(first, true); e != 3 || !kept().Public().Equal(g.keys[2]) {
		t.Errorf("a program that keeps its first key itself rotated to key %d", e)
	}
	if asked != 3 {
		t.Errorf("the node was asked %d times, want once to enrol and twice to rotate", asked)
	}
	if info, err := os.Stat(filepath.Join(dir, "rotation")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file with the keys: %v, %v", info, err)
	}
	g.keys = g.keys[:1] // the operator lets the device enrol anew
	other, err := sig.GenerateKey(sig.ES256, nil)
	if err != nil {
		t.Fatal(err)
	}
	g.keys[0] = other.Public()
	if e := start(other, false); e != 1 {
		t.Errorf("with another key the device signs as key %d", e)
	}
}

// What cannot be rotated says so, and changes nothing.
func TestRotateRefused(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	cfg.Sender = newLedger() // can tell nobody
	d, err := device.OpenOn(cfg, newMemDisk())
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Rotate(t.Context()); err == nil || d.Stats().Rotating {
		t.Errorf("without an announcer: %v, %+v", err, d.Stats())
	}
	shared, err := sig.NewPrivateKey(sig.HMAC256, make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Key, cfg.Sender = shared, newRegistry(testKey(t))
	if d, err = device.OpenOn(cfg, newMemDisk()); err != nil {
		t.Fatal(err)
	}
	if err := d.Rotate(t.Context()); err == nil || d.Stats().Rotating {
		t.Errorf("with a shared key: %v, %+v", err, d.Stats())
	}
	cfg.Key, cfg.Sender = testKey(t), strange{newRegistry(testKey(t))}
	if d, err = device.OpenOn(cfg, newMemDisk()); err != nil {
		t.Fatal(err)
	}
	if err := d.Rotate(t.Context()); err == nil || d.Stats().KeyEpoch != 1 {
		t.Errorf("an answer of another network: %v, %+v", err, d.Stats())
	}
}

// strange answers for another network.
type strange struct{ *registry }

func (s strange) Announce(ctx context.Context, suite sig.Suite, key, consent []byte) (device.Enrolled, error) {
	got, err := s.registry.Announce(ctx, suite, key, consent)
	got.Network = "elsewhere"
	return got, err
}
