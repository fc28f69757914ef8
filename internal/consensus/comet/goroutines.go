//go:build !small

package comet

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/signal"
	"reflect"
	"runtime/pprof"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	cs "github.com/cometbft/cometbft/consensus"
)

// Comet's goroutines have nobody who waits for them: those that gossip to a peer, that accept or dial a connection, that
// run down a timer look for themselves, now and then, whether they should end. All inherit a label; when no goroutine has
// it, all have ended.

var runs atomic.Uint64

const (
	labelKey   = "lamppost-comet"
	endTimeout = 30 * time.Second // comet gives a connection that is being made 20 s
)

// labelled runs f and waits until all goroutines that came of it have ended.
func labelled(ctx context.Context, f func(context.Context) error) (err error) {
	label := fmt.Sprintf("run-%d.", runs.Add(1))
	pprof.Do(ctx, pprof.Labels(labelKey, label), func(ctx context.Context) { err = f(ctx) })
	pause := time.Millisecond
	for end := time.Now().Add(endTimeout); time.Now().Before(end); time.Sleep(pause) {
		left, lookErr := alive(label)
		if lookErr != nil || !left {
			return err
		}
		pause = min(2*pause, 50*time.Millisecond)
	}
	return errLeft
}

var errLeft = fmt.Errorf("comet: goroutines are left %v after the end", endTimeout)

func alive(label string) (bool, error) {
	var profile bytes.Buffer
	err := pprof.Lookup("goroutine").WriteTo(&profile, 1)
	return bytes.Contains(profile.Bytes(), []byte(label)), err
}

// startSignals starts the goroutine that Go has for signals, which never ends, before comet asks for a signal in a
// labelled one.
func startSignals() {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	signal.Stop(c)
}

// Comet's log file has two goroutines that comet never ends, one of them listening for SIGHUP, and what ends them is out
// of reach. So this reaches into comet: another version of it may need another way, which TestContract finds out.

// closeLog ends what reads and writes comet's log.
func closeLog(machine *cs.State) error {
	log, ok := private[cs.WAL](machine, "wal").(*cs.BaseWAL)
	if !ok {
		return nil // it was not opened
	}
	if log.IsRunning() {
		if err := log.Stop(); err != nil {
			return err
		}
		log.Wait()
	}
	head := log.Group().Head
	signal.Stop(private[chan os.Signal](head, "hupc"))
	return head.Close()
}

// unstick makes a state machine whose main loop never began look ended to who waits for it.
func unstick(machine *cs.State) { close(private[chan struct{}](machine, "done")) }

// private returns a field of what a pointer points at.
func private[T any](of any, field string) T {
	f := reflect.ValueOf(of).Elem().FieldByName(field)
	return reflect.NewAt(f.Type(), unsafe.Pointer(f.UnsafeAddr())).Elem().Interface().(T)
}
