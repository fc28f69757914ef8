package guard_test

import (
	"flag"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/guard"
	"github.com/lamppost/lamppost/sig"
)

// The model check: the guard beside a world that knows what is true. The world has its own, independent account of how much
// time passed in contact with the network, what is asked for since when, and which charter may be in force; after every step the
// guard is held against it.

var (
	depth = flag.Int("depth", 7, "steps within which TestModel visits every state")
	walks = flag.Int("walks", 40, "random walks of TestWalks, of 5,000 steps each")
)

// unit is a step of time in the exhaustive check: notice and grace are one each, silence is two.
const unit = lamppost.MinNoticeMS

const outside = "x" // a function that no charter names

var names = []string{"door", "heat", "lamp", "wash", outside}

// charter makes one whose functions are a door that is life, a heater that is essential, a lamp that is public and a machine that is
// ordinary.
func charter(number uint32, door lamppost.SafetyClass, lamp uint8, notice, grace lamppost.TimeMS) lamppost.Charter {
	key := func(b byte) lamppost.CharterKey { return lamppost.CharterKey{Suite: sig.EdDSA, Key: []byte{b}} }
	second := key(2)
	return lamppost.Charter{Version: 1, Device: "d", Number: number, Owner: key(1), Second: &second, Functions: []lamppost.Function{
		{Name: "door", Class: door}, {Name: "heat", Class: lamppost.Essential, Min: 20, Notice: notice, Grace: grace},
		{Name: "lamp", Class: lamppost.Public, Min: lamp}, {Name: "wash", Class: lamppost.Ordinary}}}
}

// A truth is what the world knows of a request.
type truth struct {
	function string
	level    uint8
	known    lamppost.TimeMS // in contact, since it was first heard of here
	left     lamppost.TimeMS
	vague    bool // the clock of days lied over a restart: nobody can know when it ends
}

// A world is a guard, what is on its disk, and what is true.
type world struct {
	s, kept *guard.State
	silence lamppost.TimeMS
	enough  lamppost.TimeMS // times above it are not told apart

	away     lamppost.TimeMS // since the network was heard of
	asked    map[string]truth
	charters []guard.Held // that count, Known being true

	mirrored bool     // the guard in C does the same
	did      []string // by it, since the start or since it was told: see mirror
}

func newWorld(off guard.Rule, first lamppost.Charter, silence lamppost.TimeMS) *world {
	offer := lamppost.Offer{Charter: first, Signed: true}
	s := guard.New(lamppost.Essential)
	s.SetSilence(silence)
	if err := s.Take(offer); err != nil {
		panic(err)
	}
	s.Without(off)
	h := first.Function("heat")
	return &world{s: s, kept: s.Kept(), silence: silence, enough: 2*(h.Notice+h.Grace) + silence, away: silence + 1, asked: map[string]truth{}, charters: []guard.Held{{Charter: first}},
		did: []string{fmt.Sprintf("new 0 %d", silence), sayOffer(offer)}}
}

// does tells the guard in C.
func (w *world) does(format string, args ...any) {
	if w.mirrored {
		w.did = append(w.did, fmt.Sprintf(format, args...))
	}
}

func (w *world) clone() *world {
	c := *w
	c.s, c.kept, c.charters, c.did = w.s.Clone(), w.kept.Clone(), slices.Clone(w.charters), slices.Clip(w.did)
	c.asked = make(map[string]truth, len(w.asked))
	for id, a := range w.asked {
		c.asked[id] = a
	}
	return &c
}

func (w *world) save() { w.kept = w.s.Kept() }

// saves is a step in which it is kept though nothing takes that.
func (w *world) saves() {
	w.does("save")
	w.save()
}

// tick lets time pass, of which each clock says something.
func (w *world) tick(true_, mono, wall lamppost.TimeMS) {
	w.does("tick %d %d", mono, wall)
	w.pass(true_, false)
	if w.s.Tick(mono, wall) {
		w.save()
	}
}

// pass lets true time pass. What passes in a restart is not seen.
func (w *world) pass(t lamppost.TimeMS, lied bool) {
	w.away = min(w.away+t, w.silence+1)
	online := lamppost.TimeMS(0)
	if w.away <= w.silence {
		online = t
	}
	for id, a := range w.asked {
		a.known, a.left, a.vague = min(a.known+online, w.enough), max(a.left-t, 0), a.vague || lied
		w.asked[id] = a
	}
	over := 0
	for i := range w.charters {
		h := &w.charters[i]
		if h.Known = min(h.Known+online, w.enough); h.Known >= lamppost.MinNoticeMS {
			over = i
		}
	}
	w.charters = slices.Delete(w.charters, 0, over)
}

// contact is the network heard of, with what it asks for.
func (w *world) contact(asked []guard.Request) {
	w.does("%s", sayContact(asked))
	w.away = 0
	before := w.asked
	w.asked = map[string]truth{}
	for _, r := range asked {
		a := truth{function: r.Function, level: r.Level, left: r.Left}
		if b, ok := before[r.ID]; ok && b.function == r.Function && b.level == r.Level {
			a.known = b.known
		}
		w.asked[r.ID] = a
	}
	if w.s.Contact(asked) {
		w.save()
	}
}

// restart comes back with what is on the disk; down is how long that took, wall what the clock of days says of it.
func (w *world) restart(down, wall lamppost.TimeMS) {
	w.does("restart %d", wall)
	w.pass(down, wall < down)
	for id, a := range w.asked { // what was not kept yet passed unseen
		a.vague = true
		w.asked[id] = a
	}
	w.s = w.kept.Clone()
	w.s.Restart()
	if w.s.Tick(0, wall) {
		w.save()
	}
}

// offer brings a charter.
func (w *world) offer(o lamppost.Offer) {
	w.does("%s", sayOffer(o))
	latest := &w.charters[len(w.charters)-1].Charter
	c := &o.Charter
	taken := w.s.Take(o) == nil
	if taken {
		w.save()
	}
	if o.Signed && c.Number > latest.Number && (c.Falls(latest) == "" || o.Agreed && taken) {
		w.charters = append(w.charters, guard.Held{Charter: *c})
	}
}

// wrong says which promise is broken, or nothing.
func (w *world) wrong() string {
	for _, name := range names {
		if !w.s.May(guard.Unlock, name) || !w.s.May(guard.Release, name) {
			return name + " does not let go"
		}
		for _, d := range []guard.Decision{w.s.Level(name), w.s.Least(name)} {
			for i := range w.charters {
				if why := w.judge(w.charters[i].Charter.Function(name), d.Level); why != "" {
					return fmt.Sprintf("%s by charter %d: %s", why, w.charters[i].Charter.Number, d)
				}
			}
		}
		if d := w.s.Level(name); d.Level < 100 && w.over(name) {
			return fmt.Sprintf("nothing asks for it any more: %s", d)
		}
	}
	return ""
}

// judge holds the level of a function against what is true.
func (w *world) judge(f lamppost.Function, level uint8) string {
	switch {
	case level == 100:
		return ""
	case f.Class == lamppost.Life:
		return "life is refused"
	case level < f.Min && f.Class != lamppost.Ordinary:
		return "under its floor"
	case f.Class != lamppost.Essential:
		return ""
	case w.away > w.silence:
		return "essential, restricted offline"
	}
	for _, a := range w.asked {
		if a.function == f.Name && a.known >= f.Notice+f.Grace {
			return ""
		}
	}
	return "essential, restricted within notice and grace"
}

// over reports whether all that asks for a function has surely ended.
func (w *world) over(name string) bool {
	for _, a := range w.asked {
		if a.function == name && (a.left > 0 || a.vague) {
			return false
		}
	}
	return len(w.asked) > 0
}

// key names the state, for none to be visited twice.
func (w *world) key(b []byte) string {
	put := func(ts ...lamppost.TimeMS) {
		for _, t := range ts {
			b = append(b, byte(t/unit), byte(min(t%unit, 1)))
		}
	}
	held := func(all []guard.Held) {
		b = append(b, byte(len(all)))
		for i := range all {
			b = append(b, byte(all[i].Charter.Number))
			put(all[i].Known)
		}
	}
	for _, s := range []*guard.State{w.s, w.kept} {
		held(s.Charters)
		b = append(b, byte(len(s.Requests)))
		put(s.Silent())
		for _, r := range s.Requests {
			b = append(b, r.ID[0], r.Level)
			put(r.Left, r.Known)
		}
	}
	held(w.charters)
	put(w.away)
	for _, name := range names {
		if a, ok := w.asked[name]; ok {
			b = append(b, name[0], a.level)
			put(a.left, a.known)
			if a.vague {
				b = append(b, 1)
			}
		}
	}
	return string(b)
}

// A step is one thing that happens.
type step struct {
	name string
	do   func(*world)
}

// requests ask for every function at a level; the request for the heater, for which it is another, bears the same id.
func requests(level, heat uint8, left lamppost.TimeMS) (all []guard.Request) {
	for _, name := range names {
		r := guard.Request{ID: name, Function: name, Level: level, Left: left}
		if name == "heat" {
			r.Level = heat
		}
		all = append(all, r)
	}
	return all
}

var (
	strong = charter(1, lamppost.Life, 30, unit, unit)
	weak   = charter(2, lamppost.Ordinary, 10, unit, unit)
	strict = charter(3, lamppost.Life, 60, unit, unit)
)

// steps is all that can happen in the exhaustive check. Of both clocks one is right at each step.
func steps() []step {
	all := []step{
		{"save", (*world).saves},
		{"contact: nothing is asked", func(w *world) { w.contact(nil) }},
		{"contact: all off", func(w *world) { w.contact(requests(0, 0, 3*unit)) }},
		{"contact: all off, heat half", func(w *world) { w.contact(requests(0, 50, 3*unit)) }},
		{"charter 2, agreed", func(w *world) { w.offer(lamppost.Offer{Charter: weak, Signed: true, Agreed: true}) }},
		{"charter 2, not agreed", func(w *world) { w.offer(lamppost.Offer{Charter: weak, Signed: true}) }},
		{"charter 2, not signed", func(w *world) { w.offer(lamppost.Offer{Charter: weak, Agreed: true}) }},
		{"charter 3", func(w *world) { w.offer(lamppost.Offer{Charter: strict, Signed: true}) }},
	}
	for _, c := range [][2]lamppost.TimeMS{{1, 1}, {0, 1}, {2, 1}, {1, -4}, {1, 9}} {
		all = append(all, step{fmt.Sprintf("tick, clocks say %d and %d", c[0], c[1]), func(w *world) { w.tick(unit, c[0]*unit, c[1]*unit) }})
	}
	for _, c := range [][2]lamppost.TimeMS{{0, 0}, {0, 9}, {3, 0}, {3, 3}} {
		all = append(all, step{fmt.Sprintf("restart after %d, clock says %d", c[0], c[1]), func(w *world) { w.restart(c[0]*unit, c[1]*unit) }})
	}
	return all
}

// A seen is a state that was reached, and how.
type seen struct {
	w      *world
	parent int
	step   int
}

// search visits every state within some steps, and returns how many there are and the first way to a broken promise. m, which may be nil,
// does the same.
func search(off guard.Rule, depth int, m *mirror) (states int, broken string, reached map[string]bool) {
	all := steps()
	start := newWorld(off, strong, 2*unit)
	start.mirrored = m != nil
	visited := []seen{{start, -1, -1}}
	known := map[string]bool{visited[0].w.key(nil): true}
	reached = map[string]bool{}
	for from, level := 0, 0; level < depth; level++ {
		end := len(visited)
		for ; from < end; from++ {
			m.mark(visited[from].w)
			for i, st := range all {
				w := visited[from].w.clone()
				st.do(w)
				m.branch(visited[from].w, w, st.name)
				if why := w.wrong(); why != "" {
					return len(visited), tell(all, append(visited, seen{w, from, i})) + why, reached
				}
				k := w.key(nil)
				if known[k] {
					continue
				}
				known[k] = true
				visited = append(visited, seen{w, from, i})
				note(w, reached)
			}
			visited[from].w = nil // its states are out
			m.flush()
		}
	}
	return len(visited), "", reached
}

func note(w *world, reached map[string]bool) {
	for _, name := range names {
		reached[fmt.Sprintf("%s at %d", name, w.s.Level(name).Level)] = true
	}
	reached[fmt.Sprintf("charter %d alone", w.s.Charters[0].Charter.Number)] = true
}

func tell(all []step, visited []seen) string {
	var way []string
	for at := len(visited) - 1; visited[at].parent >= 0; at = visited[at].parent {
		way = append(way, all[visited[at].step].name)
	}
	slices.Reverse(way)
	return strings.Join(way, "; ") + " => "
}

// Goal: no state that is reached within -depth steps breaks a promise of the package, whatever the ledger asks, the network does, one
// clock says and the power does. And the check sees something: what may happen does.
func TestModel(t *testing.T) {
	t.Parallel()
	n := *depth
	if testing.Short() {
		n = min(n, 6)
	}
	states, broken, reached := search(0, n, nil)
	if broken != "" {
		t.Error(broken)
	}
	t.Logf("%d states within %d steps", states, n)
	for _, must := range []string{"door at 100", "heat at 20", "heat at 50", "lamp at 30", "lamp at 60", "lamp at 10", "wash at 0", outside + " at 0", "charter 2 alone", "charter 3 alone"} {
		if !reached[must] {
			t.Errorf("no state was reached with %s: the check sees too little", must)
		}
	}
}

// Goal: every rule is needed. Without any one of them the same check finds a broken promise.
func TestRules(t *testing.T) {
	t.Parallel()
	for r := guard.Rule(1); r < guard.RuleEnd; r <<= 1 {
		t.Run(fmt.Sprint(bits.TrailingZeros32(uint32(r))), func(t *testing.T) {
			t.Parallel()
			_, broken, _ := search(r, 8, nil)
			if broken == "" {
				t.Errorf("rule %d can be left out, and nothing breaks", bits.TrailingZeros32(uint32(r)))
			}
			t.Log(broken)
		})
	}
}

// Goal: the same over long times, with charters, clocks and requests of all kinds, from seeds. Method: random walks.
func TestWalks(t *testing.T) {
	t.Parallel()
	n, long := *walks, 5000
	if testing.Short() {
		n = min(n, 10)
	}
	restricted := 0
	for seed := range uint64(n) {
		got, broken := walk(seed, long, nil)
		if broken != "" {
			t.Errorf("seed %d: %s", seed, broken)
		}
		restricted += got
	}
	if restricted == 0 {
		t.Error("no walk ever restricted the heater: the check sees nothing")
	}
	t.Logf("the heater was restricted in %d of %d steps", restricted, n*long)
}

func walk(seed uint64, long int, m *mirror) (restricted int, broken string) {
	const hour = 3600 * 1000
	random := rand.New(rand.NewPCG(seed, 38))
	first := charter(1, lamppost.Life, 30, lamppost.MinNoticeMS, lamppost.MinGraceMS)
	w := newWorld(0, first, 12*hour)
	w.mirrored = m != nil
	calm := random.IntN(2) == 0 // else everything happens all the time, and nothing matures
	for i := range long {
		what := happen(w, random, calm)
		m.follow(w, what)
		if why := w.wrong(); why != "" {
			return restricted, fmt.Sprintf("step %d, %s: %s", i, what, why)
		}
		if w.s.Level("heat").Level < 100 {
			restricted++
		}
	}
	return restricted, ""
}

func happen(w *world, random *rand.Rand, calm bool) string {
	const hour = 3600 * 1000
	span := lamppost.TimeMS(random.Int64N(8 * hour))
	pick := random.IntN(100)
	if calm && random.IntN(2000) > 0 {
		pick %= 80 // nothing but time and contact with the same requests
	}
	switch {
	case pick < 40:
		mono, wall := span, span
		if lie := lamppost.TimeMS(random.Int64N(4000*hour) - 2000*hour); random.IntN(4) == 0 {
			if random.IntN(2) == 0 {
				mono = max(lie, 0)
			} else {
				wall = lie
			}
		}
		w.tick(span, mono, wall)
		return fmt.Sprintf("tick %d as %d and %d", span, mono, wall)
	case pick < 80:
		w.contact(requests(0, 0, 500*hour))
		return "contact"
	case pick < 84:
		some := requests(0, uint8(random.IntN(100)), lamppost.TimeMS(random.Int64N(1000*hour)+1))
		w.contact(slices.DeleteFunc(some, func(guard.Request) bool { return random.IntN(2) == 0 }))
		return "contact with some"
	case pick < 88:
		w.restart(span, span*lamppost.TimeMS(random.IntN(3)))
		return "restart"
	case pick < 92:
		w.saves()
		return "save"
	case pick < 94:
		w.tick(30*span, 30*span, 30*span)
		return "a long silence"
	}
	latest := w.s.Latest()
	class, lamp := lamppost.SafetyClass(random.IntN(4)), uint8(random.IntN(101))
	if random.IntN(2) == 0 {
		class, lamp = lamppost.Life, max(lamp, latest.Function("lamp").Min)
	}
	more := lamppost.TimeMS(random.IntN(3)) * hour
	c := charter(latest.Number+uint32(random.IntN(3)), class, lamp, lamppost.MinNoticeMS, lamppost.MinGraceMS+more)
	if class == lamppost.Essential {
		c.Functions[0].Notice, c.Functions[0].Grace = lamppost.MinNoticeMS, lamppost.MinGraceMS
	}
	if class == lamppost.Public {
		c.Functions[0].Min = lamp
	}
	w.offer(lamppost.Offer{Charter: c, Signed: random.IntN(4) > 0, Agreed: random.IntN(2) == 0})
	return fmt.Sprintf("charter %d", c.Number)
}
