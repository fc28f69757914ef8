package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/lamppost/lamppost"
)

var (
	nemesisRuns   = flag.Int("nemesis.runs", 1, "how many runs of TestNemesis per engine, each of the next seed")
	nemesisFor    = flag.Duration("nemesis.for", 12*time.Second, "how long there are faults in each")
	nemesisEngine = flag.String("nemesis.engine", "", "raft or comet; empty: both")
	nemesisSeed   = flag.Uint64("nemesis.seed", 0, "of the first run; 0: by the clock")
	oneFaults     = flag.Int("onefaults", 1, "how often TestOneFault does each")
)

// TestNemesis lets three members by raft, and four by comet, run as processes in a network of this machine's own, with faults of it, of
// processes, disks and clocks, while devices report over MQTT to any member and people make transfers and ask for balances over
// HTTP. Afterwards every acknowledged report is in the chain of every member once, all have the same log, and what people were told
// could have been told by one ledger (history_test.go).
//
// Longer runs: go test ./cmd/lamppost -run TestNemesis -nemesis.engine raft -nemesis.runs 25 -nemesis.for 60s -timeout 2h -v
//
// What the nemesis does follows from the seed; what comes of it is up to the kernel's scheduler, too.
func TestNemesis(t *testing.T) {
	t.Parallel()
	first := cmp.Or(*nemesisSeed, uint64(time.Now().UnixNano()))
	for engine, n := range map[string]int{"raft": 3, "comet": 4} {
		if *nemesisEngine != "" && *nemesisEngine != engine {
			continue
		}
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			for i := range *nemesisRuns {
				seed := first + uint64(i)
				t.Run(fmt.Sprint(seed), func(t *testing.T) { torment(t, engine, n, seed) })
			}
		})
	}
}

// TestOneFault protects what a single fault may cost while nothing else is wrong: the longest time for which a device is acknowledged
// nothing. Members that the fault leaves alone go on, and the one that had it comes back.
func TestOneFault(t *testing.T) {
	t.Parallel()
	const waits = 15 * time.Second // a device's connection to a host that does not answer
	type one struct {
		kind string
		by   time.Duration
		most time.Duration
	}
	for _, c := range []struct {
		engine  string
		members int
		faults  []one
	}{
		{"raft", 3, []one{{"kill", 0, 3 * time.Second}, {"isolated leader", 0, 3 * time.Second}, {"clock", 2 * time.Hour, 3 * time.Second}, {"unreachable", 0, waits}, {"stop", 0, waits}}},
		{"comet", 4, []one{{"kill", 0, 3 * time.Second}, {"clock", -10 * time.Minute, waits}}},
	} {
		t.Run(c.engine, func(t *testing.T) {
			t.Parallel()
			x := summon(t, c.engine, c.members, 1)
			for range *oneFaults {
				for _, o := range c.faults {
					i := slices.IndexFunc(kinds, func(k kind) bool { return k.name == o.kind })
					x.alone(&fault{kind: kinds[i], by: o.by, pick: x.rnd.IntN(1 << 20)}, o.most)
				}
			}
			x.settled()
			x.judge()
		})
	}
}

// alone lets a fault last until every device is acknowledged again, and looks what it cost.
func (x *nemesis) alone(f *fault, most time.Duration) {
	x.until("all is well", x.served(time.Now()))
	from := time.Now()
	x.begin(f)
	time.Sleep(4 * time.Second) // longer than most faults may cost
	x.until("every device is acknowledged by the others", x.served(time.Now()))
	all, one := x.members[0].silence(from, time.Now())
	x.t.Logf("%s: the longest silence for all devices %.2f s, for one of them %.2f s", f.kind.name, all.Seconds(), one.Seconds())
	if *oneFaults == 1 {
		most *= 3 // other tests run on the same processors
	}
	if one > most {
		x.t.Errorf("%s cost a device %v without an acknowledgement, more than %v", f.kind.name, one, most)
	}
	x.end(f)
}

// served tells when every device was acknowledged some reports after a moment.
func (x *nemesis) served(from time.Time) func() bool {
	return func() bool {
		first := x.members[0]
		first.mu.Lock()
		defer first.mu.Unlock()
		fresh := map[lamppost.DeviceID]int{}
		for _, a := range slices.Backward(first.acks) {
			if a.at.Before(from) {
				break
			}
			fresh[a.id]++
		}
		for _, id := range meters {
			if fresh[id] < 20 {
				return false
			}
		}
		return true
	}
}

// A nemesis torments a crew.
type nemesis struct {
	*crew
	lab  *lab
	town *town
	work sync.WaitGroup // of devices and people
	rest func()         // ends it

	seed         uint64
	rnd          *rand.Rand
	begun        time.Time
	active, past []*fault
}

func torment(t *testing.T, engine string, n int, seed uint64) {
	x := summon(t, engine, n, seed)
	x.rage(x.plan(*nemesisFor))
	x.settled()
	x.judge()
	x.tell()
}

var meters = []lamppost.DeviceID{"meter-a", "meter-b", "meter-c", "meter-d"}

// summon founds a network in a lab and sets devices and people to work.
func summon(t *testing.T, engine string, n int, seed uint64) *nemesis {
	l := newLab(t, n, seed)
	var places []place
	for i := range n {
		places = append(places, l.place(i+1))
	}
	x := &nemesis{crew: found(t, engine, places), lab: l, seed: seed, rnd: rand.New(rand.NewPCG(seed, 4))}
	x.town = openTown(x.crew)
	ctx, cancel := context.WithCancel(context.Background())
	x.rest = func() {
		cancel()
		x.work.Wait()
	}
	t.Cleanup(x.rest)
	first := x.members[0]
	for _, id := range meters {
		x.work.Go(func() { first.device(ctx, id) })
	}
	for i := range 4 {
		x.work.Go(func() { x.town.walk(ctx, i, rand.New(rand.NewPCG(seed, uint64(10+i)))) })
	}
	x.until("devices are acknowledged", func() bool { return first.count() > 50 })
	x.begun = time.Now()
	return x
}

// settled waits until all is as it was before the faults, and ends the work of devices and people.
func (x *nemesis) settled() {
	x.until("devices are acknowledged", x.more(50))
	for _, c := range x.members {
		x.until("every member takes orders", func() bool {
			ok, code := c.ask("POST", "/api/parties", map[string]string{"id": "late", "name": "Late"}, nil)
			return ok || strings.HasPrefix(code, "exists")
		})
	}
	x.rest()
}

// more tells when so many more reports are acknowledged than now.
func (x *nemesis) more(n int) func() bool {
	first := x.members[0]
	before := first.count()
	return func() bool { return first.count() >= before+n }
}

// A fault begins and ends at times counted from the nemesis' begin.
type fault struct {
	kind     kind
	at, ends time.Duration
	pick     int           // which member, where it does not matter or nobody leads
	by       time.Duration // of a clock
	member   int           // who has it; -1: all
	strace   *exec.Cmd
	skipped  error
}

// A kind of fault begins and ends; what it does to wires is said by fate as long as it lasts.
type kind struct {
	name   string
	leader bool // preferably who leads has it
	whole  bool // all have it
	begin  func(*nemesis, *fault)
	end    func(*nemesis, *fault)
	fate   func(x *nemesis, f *fault, from, to int) fate
}

// kinds are all faults. Member i is at host i+1; host 0 is where devices and people are.
var kinds = []kind{
	{name: "halves", whole: true, fate: func(x *nemesis, f *fault, from, to int) fate {
		return fate{cut: from*to > 0 && x.half(f, from) != x.half(f, to)}
	}},
	{name: "isolated leader", leader: true, fate: func(_ *nemesis, f *fault, from, to int) fate {
		return fate{cut: from*to > 0 && (from == f.member+1 || to == f.member+1)}
	}},
	{name: "unreachable", fate: func(_ *nemesis, f *fault, from, to int) fate {
		return fate{cut: from == f.member+1 || to == f.member+1}
	}},
	{name: "one way cut", leader: true, fate: func(x *nemesis, f *fault, from, to int) fate {
		return fate{cut: from == f.member+1 && to == (f.member+1+f.pick%(len(x.members)-1))%len(x.members)+1}
	}},
	{name: "deaf", leader: true, fate: func(_ *nemesis, f *fault, from, to int) fate { return fate{cut: to == f.member+1 && from > 0} }},
	{name: "loss of 30 %", whole: true, fate: func(*nemesis, *fault, int, int) fate { return fate{loss: 0.3} }},
	{name: "slow network", whole: true, fate: func(*nemesis, *fault, int, int) fate { return fate{delay: 100 * time.Millisecond} }},
	{name: "kill", leader: true, begin: func(x *nemesis, f *fault) { x.members[f.member].kill() }, end: func(x *nemesis, f *fault) { x.members[f.member].start() }},
	{name: "kill any", begin: func(x *nemesis, f *fault) { x.members[f.member].kill() }, end: func(x *nemesis, f *fault) { x.members[f.member].start() }},
	{name: "stop", leader: true, begin: func(x *nemesis, f *fault) { x.signal(f, syscall.SIGSTOP) }, end: func(x *nemesis, f *fault) { x.signal(f, syscall.SIGCONT) }},
	{name: "slow disk", leader: true, begin: (*nemesis).slowDisk, end: (*nemesis).fastDisk},
	{name: "clock", leader: true, begin: func(x *nemesis, f *fault) { x.setClock(f, f.by) }, end: func(x *nemesis, f *fault) { x.setClock(f, 0) }},
	{name: "clock any", begin: func(x *nemesis, f *fault) { x.setClock(f, f.by) }, end: func(x *nemesis, f *fault) { x.setClock(f, 0) }},
}

// half divides the members, in raft a minority from a majority, in comet two from two.
func (x *nemesis) half(f *fault, host int) bool {
	return (host-1+f.pick)%len(x.members) < len(x.members)/2
}

func (x *nemesis) signal(f *fault, s syscall.Signal) {
	if err := x.members[f.member].cmd.Process.Signal(s); err != nil {
		x.t.Error(err)
	}
}

// setClock makes a member's clock differ from the others'.
func (x *nemesis) setClock(f *fault, by time.Duration) {
	if err := skew(x.members[f.member].cmd.Process.Pid, by); err != nil {
		f.skipped = err
	}
}

// slowDisk makes every sync of a member's files take longer, by stopping the process after the system call.
func (x *nemesis) slowDisk(f *fault) {
	f.strace = exec.Command("strace", "-f", "-p", fmt.Sprint(x.members[f.member].cmd.Process.Pid), "-o", "/dev/null", "-e", "trace=fsync,fdatasync",
		"-e", "inject=fsync,fdatasync:delay_exit=200000") // microseconds
	f.strace.Stderr = new(bytes.Buffer)
	if f.skipped = f.strace.Start(); f.skipped != nil {
		f.strace = nil
	}
}

func (x *nemesis) fastDisk(f *fault) {
	if f.strace != nil {
		f.strace.Process.Signal(os.Interrupt)
		late := time.AfterFunc(5*time.Second, func() { f.strace.Process.Kill() }) // it waits for what stands still; the kernel lets go, too
		f.strace.Wait()
		late.Stop()
		if text := f.strace.Stderr.(*bytes.Buffer).String(); strings.Contains(text, "ptrace(") {
			f.skipped = errors.New(strings.TrimSpace(text))
		}
	}
}

// plan says what befalls the members: every kind once, in any order, before one comes again. Two in five overlap with the next, which may
// be more than the members can bear, for seconds.
func (x *nemesis) plan(whole time.Duration) (all []*fault) {
	var order []int
	at := 300 * time.Millisecond
	for {
		if len(order) == 0 {
			order = x.rnd.Perm(len(kinds))
		}
		f := &fault{kind: kinds[order[0]], at: at, ends: at + time.Duration(1500+x.rnd.IntN(3500))*time.Millisecond, pick: x.rnd.IntN(1 << 20)}
		f.by = []time.Duration{2 * time.Second, time.Minute, 2 * time.Hour, -3 * time.Second, -10 * time.Minute}[x.rnd.IntN(5)]
		order = order[1:]
		if f.ends > whole {
			return all
		}
		all = append(all, f)
		at = f.ends + time.Duration(500+x.rnd.IntN(1500))*time.Millisecond
		if x.rnd.IntN(5) < 2 {
			at = f.at + (f.ends-f.at)/2
		}
	}
}

// rage does what was planned. A fault lasts as long as it should, also if it begins late: while every member has one, none begins.
func (x *nemesis) rage(plan []*fault) {
	for len(plan)+len(x.active) > 0 {
		first := func(a, b *fault) int { return cmp.Compare(a.ends, b.ends) }
		if len(x.active) > 0 && (len(plan) == 0 || slices.MinFunc(x.active, first).ends <= plan[0].at || x.full()) {
			f := slices.MinFunc(x.active, first)
			x.wait(f.ends)
			x.end(f)
			continue
		}
		x.wait(plan[0].at)
		x.begin(plan[0])
		plan = plan[1:]
	}
}

func (x *nemesis) wait(until time.Duration) { time.Sleep(until - time.Since(x.begun)) } // the moment is the test

func (x *nemesis) begin(f *fault) {
	f.member = x.victim(f)
	lasts, now := f.ends-f.at, time.Since(x.begun)
	f.at, f.ends = now, now+lasts
	if f.kind.begin != nil {
		f.kind.begin(x, f)
	}
	x.active = append(x.active, f)
	x.rewire()
}

func (x *nemesis) end(f *fault) {
	x.active = slices.DeleteFunc(x.active, func(o *fault) bool { return o == f })
	x.rewire()
	if f.kind.end != nil {
		f.kind.end(x, f)
	}
	f.ends = time.Since(x.begun)
	x.past = append(x.past, f)
	note := ""
	if f.skipped != nil {
		note = fmt.Sprintf(", skipped: %v", f.skipped)
	}
	if strings.HasPrefix(f.kind.name, "clock") {
		note += fmt.Sprintf(", by %v", f.by)
	}
	if !f.kind.whole {
		note = fmt.Sprintf(" of member %d%s", f.member+1, note)
	}
	x.t.Logf("%5.1f s to %5.1f s: %s%s", f.at.Seconds(), f.ends.Seconds(), f.kind.name, note)
}

// victim is who shall have a fault: one that has none yet.
func (x *nemesis) victim(f *fault) int {
	if f.kind.whole {
		return -1
	}
	if l := x.leader(); f.kind.leader && l != nil {
		if i := slices.Index(x.members, l); !x.suffers(i) {
			return i
		}
	}
	i := f.pick % len(x.members)
	for x.suffers(i) {
		i = (i + 1) % len(x.members)
	}
	return i
}

// full reports whether every member suffers.
func (x *nemesis) full() bool {
	for i := range x.members {
		if !x.suffers(i) {
			return false
		}
	}
	return true
}

func (x *nemesis) suffers(member int) bool {
	return slices.ContainsFunc(x.active, func(f *fault) bool { return f.member == member })
}

// rewire makes the wires what the faults of now make of them together.
func (x *nemesis) rewire() {
	for from := range x.lab.taps {
		for to := range x.lab.taps {
			var all fate
			for _, f := range x.active {
				if f.kind.fate != nil {
					one := f.kind.fate(x, f, from, to)
					all = fate{cut: all.cut || one.cut, loss: max(all.loss, one.loss), delay: max(all.delay, one.delay)}
				}
			}
			x.lab.set(from, to, all)
		}
	}
}

// judge holds together what was told and what is.
func (x *nemesis) judge() {
	t, first := x.t, x.members[0]
	x.until("all have the same chain", func() bool {
		heights := map[lamppost.Height]bool{}
		for _, c := range x.members {
			var s struct {
				Engine struct{ Height lamppost.Height }
			}
			c.ask("GET", "/api/status", nil, &s)
			heights[s.Engine.Height] = true
		}
		return len(heights) == 1 && !heights[0]
	})
	for i := range x.members {
		x.town.look(0, i)
	}
	x.town.client.CloseIdleConnections()
	size, roots := int64(1)<<62, map[tlog.Hash]bool{}
	for _, c := range x.members {
		c.stop()
		c.acked, c.paid = first.acked, x.town.confirmed()
		one, places := x.check(c)
		size = min(size, one)
		if info, ok := checkHistory(t, x.town.deeds, places); !ok {
			file := filepath.Join(t.ArtifactDir(), "history.html") // kept with -artifacts
			t.Logf("%s: %v", file, porcupine.VisualizePath(bookModel, info, file))
		}
	}
	for _, c := range x.members {
		root, err := c.published().RootAt(size)
		if err != nil {
			t.Fatal(err)
		}
		roots[root] = true
	}
	if len(roots) != 1 || size < 10 {
		t.Errorf("at size %d the members have different logs: %v", size, roots)
	}
	for _, c := range x.members {
		if file := filepath.Join(t.ArtifactDir(), filepath.Base(c.dir)+".log"); t.Failed() { // since its last start
			t.Logf("%s: %v", file, os.WriteFile(file, c.errs.Bytes(), 0o600))
		}
	}
}

// tell prints what came of it.
func (x *nemesis) tell() {
	first := x.members[0]
	all, one := map[string]time.Duration{}, map[string]time.Duration{}
	for _, f := range x.past {
		// What a fault costs may show after its end: until the next one, if it comes soon.
		end := f.ends + 3*time.Second
		a, o := first.silence(x.begun.Add(f.at), x.begun.Add(end))
		name := f.kind.name
		all[name], one[name] = max(all[name], a), max(one[name], o)
	}
	x.t.Logf("seed %d: %d reports acknowledged; of people: %s", x.seed, len(first.acked), x.town)
	for name := range all {
		x.t.Logf("longest silence, all devices and one of them: %5.2f s, %5.2f s: %s", all[name].Seconds(), one[name].Seconds(), name)
	}
	if len(first.acked) < 100 || len(x.town.confirmed()) < 10 {
		x.t.Error("the test did not get to acknowledge and confirm anything")
	}
}
