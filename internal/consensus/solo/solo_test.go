package solo_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus"
	"github.com/lamppost/lamppost/internal/consensus/consensustest"
	"github.com/lamppost/lamppost/internal/consensus/solo"
)

func TestContract(t *testing.T) {
	t.Parallel()
	consensustest.Run(t, consensustest.Factory{
		Open: func(_ testing.TB, _ string, app consensus.App, view consensus.View, now func() lamppost.TimeMS) consensus.Engine {
			return solo.New(solo.Config{App: app, View: view, Member: "m", Now: now})
		},
		Queue: 1024,
	})
}

// An app that takes a second over every block, on a clock that only the test moves.
type slowApp struct {
	last  consensus.Last
	takes time.Duration
	times []lamppost.TimeMS
}

func (a *slowApp) Last() consensus.Last                      { return a.last }
func (a *slowApp) Prepare(b *lamppost.Block, _ int) [][]byte { return b.Txs }
func (a *slowApp) Accept(*lamppost.Block) error              { return nil }
func (a *slowApp) Commit() (lamppost.Cursor, error)          { return 0, nil }
func (a *slowApp) CheckTx([]byte) error                      { return nil }
func (a *slowApp) Decided(lamppost.TxID) (consensus.Decision, bool) {
	return consensus.Decision{}, false
}
func (a *slowApp) Apply(b *lamppost.Block) (*lamppost.Result, error) {
	time.Sleep(a.takes)
	a.times = append(a.times, b.Time)
	return &lamppost.Result{Height: b.Height, Outcomes: make([][]lamppost.Outcome, len(b.Txs))}, nil
}

func now() lamppost.TimeMS { return lamppost.TimeMS(time.Now().UnixMilli()) }

// What came while a block was in the making goes into the next one together; a block's time is when it was made; Status
// tells how long the oldest has waited, the block at hand included, so that a hanging disk is seen.
func TestBatchingAndStatus(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		app := &slowApp{takes: time.Second}
		e := solo.New(solo.Config{App: app, View: app, Member: "m", Now: now})
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- e.Run(ctx) }()
		heights := make([]lamppost.Height, 4)
		for i := range heights {
			go func() {
				d, err := e.Propose(ctx, lamppost.TxID{byte(i)}, []byte{byte(i)})
				if err != nil {
					t.Errorf("Propose = %v", err)
				}
				heights[i] = d.Height
			}()
			if i == 0 {
				synctest.Wait() // the engine is in the first block now
			}
		}
		time.Sleep(700 * time.Millisecond)
		synctest.Wait()
		if s := e.Status(); s.WaitedMS != 700 || s.Queued != 4 || s.Height != 0 {
			t.Errorf("Status = %+v in the first block, want 4 queued for up to 700 ms", s)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if s := e.Status(); s.WaitedMS != 1700 || s.Queued != 3 || s.Height != 1 {
			t.Errorf("Status = %+v in the second block, want 3 queued for 1700 ms", s)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if s := e.Status(); s.WaitedMS != 0 || s.Queued != 0 || s.Height != 2 {
			t.Errorf("Status = %+v at rest", s)
		}
		if want := [4]lamppost.Height{1, 2, 2, 2}; [4]lamppost.Height(heights) != want {
			t.Errorf("heights %v, want %v", heights, want)
		}
		if len(app.times) != 2 || app.times[1]-app.times[0] != 1000 {
			t.Errorf("block times %v, want two, a second apart", app.times)
		}
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
}

// Propose's deadline holds while a block hangs, and Run, told to stop, finishes that block first.
func TestDeadlineInAHangingBlock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		app := &slowApp{takes: time.Hour}
		e := solo.New(solo.Config{App: app, View: app, Member: "m", Now: now})
		run, stop := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- e.Run(run) }()
		start := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		if _, err := e.Propose(ctx, lamppost.TxID{1}, []byte{1}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Propose = %v, want its deadline", err)
		}
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("Propose took %v", took)
		}
		stop()
		if err := <-ended; err != nil || time.Since(start) != time.Hour {
			t.Errorf("Run = %v after %v, want nil when the block is finished", err, time.Since(start))
		}
	})
}

// Step by hand is what Run does: the simulator relies on it.
func TestStep(t *testing.T) {
	t.Parallel()
	app := &slowApp{}
	e := solo.New(solo.Config{App: app, View: app, Member: "m", Now: func() lamppost.TimeMS { return 7 }})
	if did, err := e.Step(); did || err != nil {
		t.Errorf("Step = %v, %v with nothing to do", did, err)
	}
	p, err := e.Submit(lamppost.TxID{1}, []byte{1})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.Done():
		t.Error("answered before a block")
	default:
	}
	if did, err := e.Step(); !did || err != nil {
		t.Errorf("Step = %v, %v", did, err)
	}
	<-p.Done()
	if d, err := p.Answer(); err != nil || d.Height != 1 {
		t.Errorf("Answer = %+v, %v", d, err)
	}
}
