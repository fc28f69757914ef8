// Package sim runs a network in a world that is against it: devices and members on a network that loses, doubles, reorders
// and cuts off, disks whose writes fail before or after they are done, that are full, that lie about what is durable or let a
// bit flip, processes that die between any two steps, clocks that jump. The members' parts are the production ones (ingest's
// core, replica, ledger, log and its publication); a member that is alone has the solo engine, several have a model of raft
// or comet. What the world does follows from a seed alone, without goroutine or wall clock, so that a seed is a bug report.
//
// It promises that a violated invariant is an error that says which, with the last things that happened. It does not
// simulate listeners, slow disks, the real raft and comet (consensustest does), members who lie, or members who come and go.
//
// Start reading at [Run]. member.go and node.go are a member and its process, engine.go is the model, devices.go what stands
// outside, check.go what must always hold. [Sweep] runs many seeds.
package sim

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"math/rand/v2"
	"runtime/debug"
	"strings"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/ingest"
	"github.com/lamppost/lamppost/internal/ledger/ledgertest"
)

// Options says what to simulate.
type Options struct {
	Seed    uint64
	Members int             // 0: 1
	Engine  lamppost.Engine // what several members order by
	Steps   int             // things that happen before the world calms down; 0: 300 with one member, 150 with several

	// Broken makes the members break a rule, to see that the checks notice.
	Broken Rule

	// Tell is told everything that happens, as it happens. Nil: nobody is.
	Tell func(event string)
}

// A Rule is one the members must keep and can be told to break.
type Rule int

// Rules.
const (
	None           Rule = iota
	AckAfterCommit      // broken: reports are acknowledged when they are proposed
	AtomicWrites        // broken: a failed write leaves the first half of its batch
	DurableWrites       // broken: the last write is gone after a crash
	OneDecision         // broken: a retry of an order is signed anew, under another id
	VerifiedFirst       // broken: reports go into segments unverified, and the replica believes it
	Majority            // broken: a leader alone commits
	ConflictsCut        // broken: what a new leader did not order stays in the log
	LossNoticed         // broken: who lost entries of its log goes on as if it had not
	ReadsChecked        // broken: a value whose bits have flipped is read as it is
)

// RuleNames are the rules as flags name them, in the order of their constants.
var RuleNames = [...]string{"none", "ack-after-commit", "atomic-writes", "durable-writes", "one-decision", "verified-first", "majority",
	"conflicts-cut", "loss-noticed", "reads-checked"}

// A Result is what happened in a run that kept every rule.
type Result struct {
	Blocks      int `json:"blocks"` // at each member
	Reports     int `json:"reports"`
	Resent      int `json:"resent"`
	Refused     int `json:"refused"`
	PutOff      int `json:"put_off"`
	Halved      int `json:"halved"`
	Orders      int `json:"orders"`
	Invoices    int `json:"invoices"`
	Rotated     int `json:"rotated"`
	Revoked     int `json:"revoked"`
	Crashes     int `json:"crashes"`
	Faults      int `json:"faults"` // writes that failed
	Checkpoints int `json:"checkpoints"`

	// Of several members.
	Packets    int `json:"packets"` // that arrived
	Leaders    int `json:"leaders"` // elections won
	Partitions int `json:"partitions"`
	Snapshots  int `json:"snapshots"`
	Restored   int `json:"restored"`
	Lost       int `json:"lost"`    // times a disk had lied, or an engine's log could not be read
	Emptied    int `json:"emptied"` // stores that began anew

	Root  lamppost.Hash `json:"root,omitzero"`
	Trace lamppost.Hash `json:"trace,omitzero"` // over all that happened, in its order
}

const (
	aloneSteps   = 300
	togetherStep = 150
	calmSteps    = 2_000 // within which a world without faults must have finished its work
	unhurried    = 8     // rounds of these that several members have for an answer
	traceLines   = 60
)

// Run simulates one seed. The error of a broken invariant is a *Violation.
func Run(o Options) (res Result, err error) {
	o.Members = max(o.Members, 1)
	if o.Members == 1 {
		o.Engine = lamppost.Solo
	}
	if o.Steps == 0 {
		o.Steps = togetherStep
		if o.Members == 1 {
			o.Steps = aloneSteps
		}
	}
	w := newWorld(o)
	defer func() {
		switch p := recover().(type) {
		case nil:
		case violation:
			err = &Violation{o, string(p), w.trace}
		default:
			err = &Violation{o, fmt.Sprintf("panic: %v\n%s", p, debug.Stack()), w.trace}
		}
	}()
	w.found()
	for range o.Steps {
		if w.step(); o.Members > 1 {
			w.together()
		}
	}
	w.calm()
	w.checkAll()
	w.result.Root = w.best().node.rep.Last().Root
	w.result.Trace = lamppost.Hash(w.hash.Sum(nil))
	return w.result, nil
}

// A Violation is a rule that was broken, with the last events.
type Violation struct {
	Options Options  `json:"-"`
	What    string   `json:"what"`
	Events  []string `json:"events"`
}

// Error tells all of it.
func (v *Violation) Error() string {
	return v.What + "\nthe last events:\n" + strings.Join(v.Events, "\n")
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
	hash   hash.Hash

	members []*member
	cut     [][]bool // from whom to whom nothing arrives
	wire    []packet
	devices []*device
	air     []message
	office  office
	promise promises
	chain   chain
	roots   map[int64]lamppost.Hash // by size of the log, after every block
	metrics *ingest.Metrics
	quiet   bool // no more faults
}

func newWorld(o Options) *world {
	w := &world{o: o, rng: rand.New(rand.NewPCG(o.Seed, 0x6c616d70)), now: ledgertest.Start, net: ledgertest.New("sim"), hash: sha256.New()}
	for i := range o.Members {
		w.members = append(w.members, newMember(w, i))
		w.cut = append(w.cut, make([]bool, o.Members))
	}
	w.promise, w.chain, w.metrics = newPromises(), newChain(), ingest.NewMetrics(nil)
	w.roots = map[int64]lamppost.Hash{0: sha256.Sum256(nil)}
	return w
}

// accepts says whether members look at a block before they vote for it.
func (w *world) accepts() bool { return w.o.Engine == lamppost.Comet }

// chance is true once in n.
func (w *world) chance(n int) bool { return w.rng.IntN(n) == 0 }

// any is one of the members.
func (w *world) any() *member {
	if len(w.members) == 1 {
		return w.members[0]
	}
	return w.members[w.rng.IntN(len(w.members))]
}

// best is a member that has as much of the chain as any, and can be read.
func (w *world) best() *member {
	best := w.members[0]
	for _, m := range w.members[1:] {
		if bad := len(best.disk.rot); bad > 0 && len(m.disk.rot) == 0 || (bad == 0) == (len(m.disk.rot) == 0) && m.durable > best.durable {
			best = m
		}
	}
	return best
}

func (w *world) note(format string, args ...any) {
	event := fmt.Sprintf("%8d ", w.now-ledgertest.Start) + fmt.Sprintf(format, args...)
	if w.o.Tell != nil {
		w.o.Tell(event)
	}
	w.hash.Write([]byte(event))
	if len(w.trace) == traceLines {
		copy(w.trace, w.trace[1:])
		w.trace = w.trace[:traceLines-1]
	}
	w.trace = append(w.trace, event)
}

// step lets one thing happen.
func (w *world) step() {
	w.now += lamppost.TimeMS(w.rng.IntN(50))
	n := w.rng.IntN(102)
	switch m := w.any(); {
	case n < 18:
		w.devices[w.rng.IntN(len(w.devices))].measure(w)
	case n < 38:
		w.devices[w.rng.IntN(len(w.devices))].send(w)
	case n < 65:
		w.deliver()
	case n >= 85 && n < 92:
		w.office.order(w)
	case n >= 95 && n < 98:
		w.now += ledgertest.Hour / 4
	case n == 98:
		m.jump(w)
	case n == 99 || n == 100:
		w.fault(m)
	case m.node == nil:
	case n < 75:
		m.node.pack(w)
	case n < 85:
		m.node.block(w)
	case n < 95:
		m.node.publish(w)
	default:
		w.crash(m, "killed")
	}
}

// calm ends all faults and lets the world finish its work: every report in and acknowledged, every order decided, every member
// with all of it.
func (w *world) calm() {
	w.quiet = true
	w.note("calm")
	w.mend()
	for i := range calmSteps {
		if w.idle() {
			for _, m := range w.members {
				m.node.publish(w)
			}
			return
		}
		w.now++
		for _, d := range w.devices {
			if i%unhurried == 0 || len(w.members) == 1 {
				d.send(w)
			}
		}
		for len(w.air) > 0 {
			w.deliver()
		}
		if i%unhurried == 0 || len(w.members) == 1 {
			w.office.retry(w)
		}
		for _, m := range w.members {
			m.node.pack(w)
			m.node.block(w)
		}
		w.converse()
	}
	w.violate("no end: %d reports are still unacknowledged, %d orders undecided, the members stand at blocks %v of %d", w.outstanding(),
		len(w.office.open), w.heights(), len(w.chain.facts))
}

func (w *world) idle() bool {
	for _, m := range w.members {
		if m.lost || int(m.node.rep.Last().Height) < len(w.chain.facts) {
			return false
		}
	}
	return w.outstanding() == 0 && len(w.office.open) == 0 && len(w.air) == 0
}

func (w *world) heights() (all []lamppost.Height) {
	for _, m := range w.members {
		all = append(all, m.node.rep.Last().Height)
	}
	return all
}

func (w *world) outstanding() (n int) {
	for _, d := range w.devices {
		n += len(d.outbox)
	}
	return n
}
