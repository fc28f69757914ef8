package device_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/device"
)

// A forgetful is a network whose ledger remembers the ids of the last lamppost.RecentIDs reports it accepted, as the real one does, and
// refuses a resend of an earlier one. Reports reach it in any order, also long after the device gave the attempt up; answers are lost,
// one by one or all that are under way.
type forgetful struct {
	mu       sync.Mutex
	rnd      *rand.Rand
	unlucky  func(lamppost.Seq) bool // who is answered nothing
	accepted map[lamppost.Seq]bool
	recent   []lamppost.Seq
	breaks   chan struct{} // closed when the connection breaks
	late     sync.WaitGroup
}

func (f *forgetful) Send(ctx context.Context, raw []byte) (device.Ack, error) {
	var r lamppost.Report
	if err := r.Decode(raw); err != nil {
		return device.Ack{}, err
	}
	f.mu.Lock()
	there, back := f.delay(), f.delay()
	lost := f.unlucky(r.Seq)
	breaks := f.breaks
	f.mu.Unlock()
	answer := make(chan lamppost.Code, 1)
	f.late.Go(func() {
		time.Sleep(there)
		code := f.commit(r.Seq)
		time.Sleep(back)
		answer <- code
	})
	select {
	case <-breaks:
		return device.Ack{}, errors.New("the connection was lost")
	case <-ctx.Done():
		return device.Ack{}, ctx.Err()
	case code := <-answer:
		if lost {
			return device.Ack{}, errors.New("the answer was lost")
		}
		return device.Ack{Code: code, ID: r.ID(network)}, nil
	}
}

// delay is mostly short and at times longer than several attempts.
func (f *forgetful) delay() time.Duration {
	if f.rnd.IntN(20) == 0 {
		return time.Duration(f.rnd.IntN(1000)) * time.Millisecond
	}
	return time.Duration(1+f.rnd.IntN(10)) * time.Millisecond
}

func (f *forgetful) commit(seq lamppost.Seq) lamppost.Code {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case !f.accepted[seq]:
		f.accepted[seq] = true
		f.recent = append(f.recent, seq)
		f.recent = f.recent[max(0, len(f.recent)-lamppost.RecentIDs):]
		return lamppost.CodeOK
	case slices.Contains(f.recent, seq):
		return lamppost.CodeDuplicate
	}
	return lamppost.CodeTooOld
}

// torn breaks the connection now and then, until ctx is done.
func (f *forgetful) torn(ctx context.Context) {
	for ctx.Err() == nil {
		f.mu.Lock()
		wait := time.Duration(1+f.rnd.IntN(200)) * time.Millisecond
		f.mu.Unlock()
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
		f.mu.Lock()
		close(f.breaks)
		f.breaks = make(chan struct{})
		f.mu.Unlock()
	}
}

// TestResendIsKnown: whatever order reports are committed in, and however often an answer is lost, the ledger still remembers every report
// that is sent again, and refuses none as too old. Also where only some reports are answered again and again, which puts the blame on
// the others, for long, and where the device is started anew meanwhile.
func TestResendIsKnown(t *testing.T) {
	t.Parallel()
	for name, unlucky := range map[string]func(*rand.Rand) func(lamppost.Seq) bool{
		"any": func(rnd *rand.Rand) func(lamppost.Seq) bool {
			return func(lamppost.Seq) bool { return rnd.IntN(3) == 0 }
		},
		"tenth": func(*rand.Rand) func(lamppost.Seq) bool { return notForLong(10, 0) },
		"above": func(*rand.Rand) func(lamppost.Seq) bool { return notForLong(14, 11) },
	} {
		for seed := range uint64(6) {
			t.Run(fmt.Sprintf("%s/%d", name, seed), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					rnd := rand.New(rand.NewPCG(seed, 5))
					resends(t, &forgetful{rnd: rnd, unlucky: unlucky(rnd), accepted: map[lamppost.Seq]bool{}, breaks: make(chan struct{})})
				})
			})
		}
	}
}

// notForLong loses all answers to every so many reports for half a minute each.
func notForLong(every, of uint64) func(lamppost.Seq) bool {
	first := map[lamppost.Seq]time.Time{}
	return func(seq lamppost.Seq) bool {
		if seq.N%every != of {
			return false
		}
		if first[seq].IsZero() {
			first[seq] = time.Now()
		}
		return time.Since(first[seq]) < 30*time.Second
	}
}

func resends(t *testing.T, f *forgetful) {
	cfg, disk := testConfig(t), newMemDisk()
	cfg.Sender, cfg.MinBackoff, cfg.MaxBackoff, cfg.SendTimeout = f, 5*time.Millisecond, 500*time.Millisecond, 300*time.Millisecond
	cfg.OnRefused = func(r device.Refused) { t.Errorf("report %d was refused: %s", r.N, r.Code) }
	ctx, cancel := context.WithCancel(t.Context())
	f.late.Go(func() { f.torn(ctx) })
	for life := range 4 {
		d, err := device.OpenOn(cfg, disk)
		if err != nil {
			t.Fatal(err)
		}
		report(t, d, 100)
		stop := start(t, d)
		if life < 3 {
			time.Sleep(100 * time.Millisecond)
		} else if err := d.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		stop()
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	f.late.Wait()
	if len(f.accepted) != 400 {
		t.Errorf("the ledger has %d reports, want 400", len(f.accepted))
	}
}
