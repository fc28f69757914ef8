package guard_test

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/device/c/ctest"
	"github.com/lamppost/lamppost/guard"
)

// The guard in C for firmware, device/c, is the same machine: what is done to the one is done to the other, by lines, and after every step
// both must tell the same.

const inC = "../device/c"

// inSource is what gcc is told of the driver, with the sources in a folder.
func inSource(src string) []string {
	return []string{"-O1", "-include", inC + "/testdata/limits.h", "-I" + src, inC + "/testdata/guard.c", src + "/lamppost_guard.c", src + "/lamppost_command.c"}
}

var program = ctest.Program{Args: inSource(inC + "/src")}

func TestMain(m *testing.M) {
	code := m.Run()
	program.Remove()
	os.Exit(code)
}

// A mirror is the guard in C, told what was done to the one in Go. A nil one does nothing. Questions are sent together, see flush.
type mirror struct {
	t    testing.TB
	in   io.Writer
	out  *bufio.Reader
	say  bytes.Buffer
	want []told
	// differs is the first difference that was found.
	differs string
}

// A told is what C must answer.
type told struct{ what, text string }

func open(t testing.TB, path string) *mirror {
	t.Helper()
	in, out := ctest.Start(t, path)
	return &mirror{t: t, in: in, out: out}
}

func (m *mirror) lines(all []string) {
	for _, line := range all {
		m.say.WriteString(line + "\n")
	}
}

// mark puts C into the state of a world, and keeps that.
func (m *mirror) mark(w *world) {
	if m != nil {
		m.lines(append(slices.Clip(w.did), "mark"))
	}
}

// branch does in C, from the marked state, what led from one world to the next.
func (m *mirror) branch(from, to *world, what string) {
	if m == nil {
		return
	}
	m.lines(append([]string{"back"}, to.did[len(from.did):]...))
	m.compare(to.s, strings.Join(to.did, "; ")+": "+what)
}

// follow does in C what a world did since the last time.
func (m *mirror) follow(w *world, what string) {
	if m == nil {
		return
	}
	m.lines(w.did)
	w.did = w.did[:0]
	m.compare(w.s, what)
	if len(m.want) > 100 {
		m.flush()
	}
}

// compare asks C to tell all that can be told.
func (m *mirror) compare(s *guard.State, what string) {
	m.say.WriteString("show " + strconv.Itoa(len(names)) + " " + strings.Join(names, " ") + "\n")
	m.want = append(m.want, told{what, tellState(s)})
}

// flush sends what is to be done and asked, and compares.
func (m *mirror) flush() {
	if m == nil || len(m.want) == 0 {
		return
	}
	m.say.WriteString("flush\n")
	if _, err := m.in.Write(m.say.Bytes()); err != nil {
		m.t.Fatalf("telling the guard in C: %v", err)
	}
	m.say.Reset()
	for _, w := range m.want {
		line, err := m.out.ReadString('\n')
		if err != nil {
			m.t.Fatalf("the guard in C does not answer after %s: %v", w.what, err)
		}
		if got := strings.TrimSuffix(line, "\n"); got != w.text && m.differs == "" {
			m.differs = fmt.Sprintf("after %s\n C says %s\nGo says %s", w.what, got, w.text)
		}
	}
	m.want = m.want[:0]
}

// ask sends one line and returns the words of the answer.
func (m *mirror) ask(format string, args ...any) []string {
	m.t.Helper()
	if _, err := fmt.Fprintf(m.in, format+"\nflush\n", args...); err != nil {
		m.t.Fatalf("telling the guard in C: %v", err)
	}
	line, err := m.out.ReadString('\n')
	if err != nil {
		m.t.Fatalf("the guard in C does not answer to %q: %v", fmt.Sprintf(format, args...), err)
	}
	return strings.Fields(line)
}

// number asks for one number.
func (m *mirror) number(format string, args ...any) int {
	m.t.Helper()
	n, err := strconv.Atoi(m.ask(format, args...)[0])
	if err != nil {
		m.t.Fatal(err)
	}
	return n
}

func sayContact(asked []guard.Request) string {
	b := fmt.Appendf(nil, "contact %d", len(asked))
	for _, r := range asked {
		b = fmt.Appendf(b, " %s %s %d %d", r.ID, r.Function, r.Level, r.Left)
	}
	return string(b)
}

// sayOffer writes keys by their first byte, as the charters here have them; of those that are signed with real keys it is a fair sign, too.
func sayOffer(o lamppost.Offer) string {
	c := &o.Charter
	second := byte(0)
	if c.Second != nil {
		second = c.Second.Key[0]
	}
	b := fmt.Appendf(nil, "offer %d %d %d %d %d %d", btoi(o.Signed), btoi(o.Agreed), c.Number, c.Owner.Key[0], second, len(c.Functions))
	for _, f := range c.Functions {
		b = fmt.Appendf(b, " %s %d %d %d %d", f.Name, f.Class, f.Min, f.Notice, f.Grace)
	}
	return string(b)
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// tellState writes what guard.c writes of the same state.
func tellState(s *guard.State) string {
	b := strconv.AppendInt(nil, int64(s.Silent()), 10)
	number := func(n int64) { b = strconv.AppendInt(append(b, ' '), n, 10) }
	for i := range s.Charters {
		number(int64(s.Charters[i].Charter.Number))
		b = strconv.AppendInt(append(b, ':'), int64(s.Charters[i].Known), 10)
	}
	for i := range s.Requests {
		r := &s.Requests[i]
		b = append(append(append(append(b, ' '), r.ID...), ' '), r.Function...)
		number(int64(r.Level))
		number(int64(r.Left))
		number(int64(r.Known))
	}
	for _, name := range names {
		b = append(b, " |"...)
		for _, d := range []guard.Decision{s.Level(name), s.Least(name)} {
			class, _ := lamppost.ParseSafetyClass(d.Class)
			number(int64(class))
			number(int64(d.Level))
			b = append(append(b, ' '), cmp.Or(d.Why, "-")...)
			number(int64(d.After))
			b = append(append(b, ' '), cmp.Or(d.Request, "-")...)
		}
		b = append(b, ' ')
		for _, a := range []guard.Action{guard.Use, guard.Unlock, guard.Release} {
			b = append(b, '0'+byte(btoi(s.May(a, name))))
		}
	}
	return string(b)
}

// Goal: in every state that TestModel reaches, and at every step out of it, the guard in C knows and decides the same as the one in Go, which keeps
// the promises there. So it keeps them.
func TestModelInC(t *testing.T) {
	t.Parallel()
	n := min(*depth, 7)
	if testing.Short() {
		n = min(n, 5)
	}
	m := open(t, program.Path(t))
	states, broken, _ := search(0, n, m)
	if broken != "" || m.differs != "" {
		t.Errorf("%s %s", broken, m.differs)
	}
	t.Logf("%d states within %d steps", states, n)
}

// Goal: the same over long times, as TestWalks goes.
func TestWalksInC(t *testing.T) {
	t.Parallel()
	n := min(*walks, 8)
	if testing.Short() {
		n = min(n, 3)
	}
	for seed := range uint64(n) {
		m := open(t, program.Path(t))
		_, broken := walk(seed, 5000, m)
		if m.flush(); broken != "" || m.differs != "" {
			t.Fatalf("seed %d: %s %s", seed, broken, m.differs)
		}
	}
}

// Goal: nor do they differ where nothing is promised: both clocks lie, at once and by any amount; requests are many, twice the same, over, for what is
// nobody's; charters are of all kinds, nobody's word, and many; and the power fails at any moment. Method: random walks from seeds.
func TestSameAsInC(t *testing.T) {
	t.Parallel()
	n := 12
	if testing.Short() {
		n = 3
	}
	m := open(t, program.Path(t))
	for seed := range uint64(n) {
		if differs := wild(m, seed, 3000, false); differs != "" {
			t.Fatalf("seed %d: %s", seed, differs)
		}
	}
}

// Goal: the same of firmware whose charter is the factory's, as it is built unless somebody says otherwise.
func TestFactoryCharterInC(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "guard")
	ctest.Compile(t, slices.Concat(ctest.Strict, inSource(inC+"/src"), []string{"-DLAMPPOST_CHARTERS=0", "-o", path})...)
	m := open(t, path)
	for seed := range uint64(10) {
		if differs := wild(m, seed, 2000, true); differs != "" {
			t.Fatalf("seed %d: %s", seed, differs)
		}
	}
}

// wild walks at random, whatever happens, in both; fixed is whether there is one charter from the start.
func wild(m *mirror, seed uint64, long int, fixed bool) (differs string) {
	random := rand.New(rand.NewPCG(seed, 41))
	class := lamppost.SafetyClass(random.IntN(4))
	w := &world{s: guard.New(class), silence: guard.Silence, mirrored: true, did: []string{fmt.Sprintf("new %d %d", class, guard.Silence)}, charters: []guard.Held{{}}}
	if fixed {
		c := anyCharter(random)
		w.s.Charters = []guard.Held{{Charter: c}}
		_, said, _ := strings.Cut(sayOffer(lamppost.Offer{Charter: c}), "offer 0 0 ")
		w.does("factory %s\nrestart 0", said)
	}
	w.kept = w.s.Kept()
	pace := lamppost.TimeMS(1) << random.IntN(36)
	for i := 0; i < long && m.differs == ""; i++ {
		m.follow(w, fmt.Sprintf("step %d, %s", i, happenWildly(w, random, pace, fixed)))
	}
	m.flush()
	return m.differs
}

func happenWildly(w *world, random *rand.Rand, pace lamppost.TimeMS, fixed bool) string {
	clock := func() lamppost.TimeMS {
		switch random.IntN(20) {
		case 0:
			return 0
		case 1:
			return -lamppost.TimeMS(random.Int64())
		case 2:
			return lamppost.TimeMS(random.Int64())
		}
		return lamppost.TimeMS(random.Int64N(int64(pace) + 1))
	}
	switch pick := random.IntN(100); {
	case pick < 45:
		mono, wall := clock(), clock()
		if random.IntN(3) > 0 {
			wall = mono
		}
		w.tick(0, mono, wall)
		return fmt.Sprintf("tick as %d and %d", mono, wall)
	case pick < 80:
		w.contact(anyRequests(random, pace))
		return "contact"
	case pick < 84:
		wall := max(-1<<40, min(clock(), 1<<40))
		w.restart(0, wall)
		return fmt.Sprintf("restart, the clock says %d", wall)
	case pick < 90 || fixed:
		w.saves()
		return "save"
	}
	c := anyCharter(random)
	if latest := w.s.Latest(); latest != nil {
		c.Number = latest.Number + uint32(random.IntN(3))
	}
	o := lamppost.Offer{Charter: c, Signed: random.IntN(5) > 0, Agreed: random.IntN(3) > 0}
	w.does("%s", sayOffer(o))
	if w.s.Take(o) == nil {
		w.save()
	}
	return fmt.Sprintf("charter %d", c.Number)
}

func anyRequests(random *rand.Rand, pace lamppost.TimeMS) (all []guard.Request) {
	ids := 1 + random.IntN(20)
	for range random.IntN(20) {
		id := random.IntN(ids)
		r := guard.Request{ID: fmt.Sprintf("r%d", id), Function: names[id%len(names)], Level: uint8(id * 9), Left: 1 << 41}
		switch random.IntN(12) {
		case 0:
			r.Level = uint8(random.IntN(256))
		case 1:
			r.Function = names[random.IntN(len(names))]
		case 2:
			r.Left = lamppost.TimeMS(random.Int64N(int64(pace)*8)) - 3
		}
		all = append(all, r)
	}
	return all
}

func anyCharter(random *rand.Rand) lamppost.Charter {
	key := func(b byte) *lamppost.CharterKey { return &lamppost.CharterKey{Key: []byte{b}} }
	c := lamppost.Charter{Device: "d", Number: 1 + uint32(random.IntN(3)), Owner: *key(1)}
	if random.IntN(40) == 0 {
		c.Owner = *key(3)
	}
	if random.IntN(40) > 0 {
		c.Second = key(2)
	}
	for _, name := range names {
		f := lamppost.DefaultFunction(name, lamppost.SafetyClass(random.IntN(4)))
		if f.Class == lamppost.Public || f.Class == lamppost.Essential && random.IntN(2) == 0 {
			f.Min = uint8(random.IntN(101))
		}
		if f.Class == lamppost.Essential && random.IntN(3) == 0 {
			f.Notice += lamppost.TimeMS(random.IntN(3)) * 24 * 3600 * 1000
			f.Grace += lamppost.TimeMS(random.IntN(3)) * 3600 * 1000
		}
		if random.IntN(4) > 0 {
			c.Functions = append(c.Functions, f)
		}
	}
	if len(c.Functions) == 0 {
		c.Functions = []lamppost.Function{lamppost.DefaultFunction("door", lamppost.Life)}
	}
	return c
}

// Goal: these checks see something. Method: each of the guard's 17 rules is taken out of the C, one at a time; then Go must differ.
func TestRulesInC(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("compiles 17 times")
	}
	text, err := os.ReadFile(inC + "/src/lamppost_guard.c")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range [...]struct{ name, is, becomes string }{
		{"life runs", "if (f->class == LAMPPOST_LIFE) return LAMPPOST_BY_LIFE;", ""},
		{"minimum holds", "f->class != LAMPPOST_ORDINARY && level < f->min", "f->class == 77"},
		{"offline serves", "if (!lamppost_guard_online(g)) return LAMPPOST_BY_OFFLINE;", ""},
		{"notice first", "if (known < f->notice) return LAMPPOST_BY_NOTICE;", ""},
		{"grace first", "return left > 0 ? LAMPPOST_BY_GRACE : LAMPPOST_GRANTED;", "return LAMPPOST_GRANTED;"},
		{"unknown is essential", "    return &default_of[LAMPPOST_ESSENTIAL];", "    return &default_of[LAMPPOST_ORDINARY];"},
		{"release passes", "action != LAMPPOST_USE || ", "action == 77 || "},
		{"the slower clock", "slow = mono < wall ? mono : wall, ", "slow = mono < wall ? wall : mono, "},
		{"the faster clock", "fast = mono < wall ? wall : mono;", "fast = mono < wall ? mono : wall;"},
		{"starts silent", "g->silent = LAMPPOST_SILENCE + 1;", "g->silent = 0;"},
		{"asked anew", "compare(a->function, b->function) == 0 && a->level == b->level", "1"},
		{"a request ends", "if (r->left == 0) return d;", ""},
		{"the owner signs", "if (!is_signed) return LAMPPOST_NOT_SIGNED;", "(void)is_signed;"},
		{"the second agrees", "!agreed && falls(c, latest)", "!agreed && 0"},
		{"a fall waits", "== notice) over = i;", ">= 0) over = i;"},
		{"numbers rise", "c->number <= latest->number", "c->number == 0"},
		{"save first", "int lamppost_guard_keep(struct lamppost_guard *g) {", "int lamppost_guard_keep(struct lamppost_guard *g) {\n    if (g->generation > 9) return LAMPPOST_OK;"},
	} {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			if strings.Count(string(text), r.is) != 1 {
				t.Fatalf("the rule is not in lamppost_guard.c as %q", r.is)
			}
			dir := t.TempDir()
			for _, name := range []string{"lamppost.h", "lamppost_guard.h", "lamppost_command.h", "lamppost_command.c"} {
				copyFile(t, inC+"/src/"+name, filepath.Join(dir, name))
			}
			if err := os.WriteFile(filepath.Join(dir, "lamppost_guard.c"), []byte(strings.Replace(string(text), r.is, r.becomes, 1)), 0o600); err != nil {
				t.Fatal(err)
			}
			ctest.Compile(t, slices.Concat([]string{"-std=c99"}, inSource(dir), []string{"-o", filepath.Join(dir, "guard")})...)
			for seed := range uint64(12) {
				m := open(t, filepath.Join(dir, "guard"))
				walk(seed, 2000, m)
				if m.flush(); m.differs == "" {
					wild(m, seed, 2000, false)
				}
				if m.differs != "" {
					return
				}
			}
			t.Error("the rule is gone from the C, and nothing shows that")
		})
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	raw, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, raw, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
