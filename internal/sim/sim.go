// Package sim runs a node in a world that is against it: devices on a network that loses, doubles and reorders, a disk
// whose writes fail before or after they are done, a process that dies between any two steps, a clock that jumps. The
// node's parts are the production ones (ingest's core, the solo engine, replica, ledger, log and its publication); what
// the world does follows from a seed alone, without goroutine or wall clock, so that a seed is a bug report.
//
// It promises that a violated invariant is an error that says which, with the last things that happened. It does not
// simulate several nodes, listeners, or slow disks.
//
// Start reading at [Run]. node.go is the node, devices.go what stands outside, check.go what must always hold.
package sim

import (
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"strings"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/ingest"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
)

// Options says what to simulate.
type Options struct {
	Seed  uint64
	Steps int // things that happen before the world calms down; 0: 600

	// Broken makes the node break a rule, to see that the checks notice.
	Broken Rule
}

// A Rule is one the node must keep and can be told to break.
type Rule int

// Rules.
const (
	None           Rule = iota
	AckAfterCommit      // broken: reports are acknowledged when they are proposed
	AtomicWrites        // broken: a failed write leaves the first half of its batch
	DurableWrites       // broken: the last write is gone after a crash
	OneDecision         // broken: a retry of an order is signed anew, under another id
	VerifiedFirst       // broken: reports go into segments unverified, and the replica believes it
)

// A Result is what happened in a run that kept every rule.
type Result struct {
	Blocks, Reports, Resent, Refused, PutOff, Halved, Orders, Invoices, Rotated, Revoked, Crashes, Faults, Checkpoints int

	Root lamppost.Hash
}

const (
	defaultSteps = 600
	calmSteps    = 20_000 // within which a world without faults must have finished its work
	traceLines   = 60
)

// Run simulates one seed. The error of a broken invariant names it and tells the last events.
func Run(o Options) (res Result, err error) {
	if o.Steps == 0 {
		o.Steps = defaultSteps
	}
	w := newWorld(o)
	defer func() {
		switch p := recover().(type) {
		case nil:
		case violation:
			err = fmt.Errorf("%s\nthe last events:\n%s", p, strings.Join(w.trace, "\n"))
		default:
			err = fmt.Errorf("panic: %v\n%s\nthe last events:\n%s", p, debug.Stack(), strings.Join(w.trace, "\n"))
		}
	}()
	w.found()
	for range o.Steps {
		w.step()
	}
	w.calm()
	w.checkAll()
	w.result.Root = w.node.rep.Last().Root
	return w.result, nil
}

// A violation is thrown by the checks and caught by Run, so that the story of a run reads without error paths.
type violation string

func (w *world) violate(format string, args ...any) { panic(violation(fmt.Sprintf(format, args...))) }

// A world is one simulation.
type world struct {
	o      Options
	rng    *rand.Rand
	now    lamppost.TimeMS
	net    *ledgertest.Network
	result Result
	trace  []string

	disk    *disk
	files   *files
	node    *node
	devices []*device
	air     []message
	office  office
	promise promises
	metrics *ingest.Metrics
	quiet   bool // no more faults
}

func newWorld(o Options) *world {
	w := &world{o: o, rng: rand.New(rand.NewPCG(o.Seed, 0x6c616d70)), now: ledgertest.Start, net: ledgertest.New("sim")}
	w.disk, w.files = newDisk(w), newFiles(w)
	w.promise, w.metrics = newPromises(), ingest.NewMetrics(nil)
	return w
}

// chance is true once in n.
func (w *world) chance(n int) bool { return w.rng.IntN(n) == 0 }

func (w *world) note(format string, args ...any) {
	if len(w.trace) == traceLines {
		copy(w.trace, w.trace[1:])
		w.trace = w.trace[:traceLines-1]
	}
	w.trace = append(w.trace, fmt.Sprintf("%8d ", w.now-ledgertest.Start)+fmt.Sprintf(format, args...))
}

// step lets one thing happen.
func (w *world) step() {
	w.now += lamppost.TimeMS(w.rng.IntN(50))
	switch n := w.rng.IntN(102); {
	case n < 18:
		w.devices[w.rng.IntN(len(w.devices))].measure(w)
	case n < 38:
		w.devices[w.rng.IntN(len(w.devices))].send(w)
	case n < 65:
		w.deliver()
	case n < 75:
		w.node.pack(w)
	case n < 85:
		w.node.block(w)
	case n < 92:
		w.office.order(w)
	case n < 95:
		w.node.publish(w)
	case n < 98:
		w.now += ledgertest.Hour / 4
	case n < 99:
		w.node.skew = lamppost.TimeMS(w.rng.IntN(4000) - 2000)
		w.note("the node's clock is off by %d ms", w.node.skew)
	case n < 101:
		w.disk.plan(w)
	default:
		w.crash("killed")
	}
}

// calm ends all faults and lets the world finish its work: every report in and acknowledged, every order decided.
func (w *world) calm() {
	w.quiet = true
	w.note("calm")
	w.disk.calm()
	for range calmSteps {
		if w.idle() {
			w.node.publish(w)
			return
		}
		w.now++
		for _, d := range w.devices {
			d.send(w)
		}
		for len(w.air) > 0 {
			w.deliver()
		}
		w.office.retry(w)
		w.node.pack(w)
		w.node.block(w)
	}
	w.violate("no end: %d reports are still unacknowledged, %d orders undecided", w.outstanding(), len(w.office.open))
}

func (w *world) idle() bool {
	return w.outstanding() == 0 && len(w.office.open) == 0 && len(w.air) == 0
}

func (w *world) outstanding() (n int) {
	for _, d := range w.devices {
		n += len(d.outbox)
	}
	return n
}

// crash throws away all that is not on disk and starts the node again.
func (w *world) crash(why string) {
	w.result.Crashes++
	w.note("crash: %s", why)
	w.disk.crash(w)
	w.node = openNode(w)
	w.checkStore()
}
