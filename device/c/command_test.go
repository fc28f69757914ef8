package c_test

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/device/c/ctest"
	"github.com/lamppost/lamppost/guard"
)

// Further codes, of lamppost_guard.h.
const (
	codeDamaged = 16
	codeOld     = 19
)

// A machine is testdata/guard.c running, driven by lines.
type machine struct {
	t   testing.TB
	in  io.Writer
	out *bufio.Reader
}

func startGuard(t testing.TB) *machine {
	t.Helper()
	in, out := ctest.Start(t, guardProgram.Path(t))
	m := &machine{t, in, out}
	m.do("new 0 900000")
	return m
}

// do sends what has no answer.
func (m *machine) do(format string, args ...any) {
	m.t.Helper()
	if _, err := fmt.Fprintf(m.in, format+"\n", args...); err != nil {
		m.t.Fatalf("telling the machine: %v", err)
	}
}

// ask sends a line and returns its answer.
func (m *machine) ask(format string, args ...any) string {
	m.t.Helper()
	m.do(format+"\nflush", args...)
	line, err := m.out.ReadString('\n')
	if err != nil {
		m.t.Fatalf("the machine does not answer to %q: %v", fmt.Sprintf(format, args...), err)
	}
	return strings.TrimSuffix(line, "\n")
}

func (m *machine) code(format string, args ...any) int {
	m.t.Helper()
	n, err := strconv.Atoi(m.ask(format, args...))
	if err != nil {
		m.t.Fatal(err)
	}
	return n
}

func hexOf(raw []byte) string { return hexOr(string(raw)) }

// message reads a message to the device in C, in pieces.
func (m *machine) message(raw []byte, piece int) (d lamppost.Desired, code int) {
	m.t.Helper()
	f := strings.Fields(m.ask("message %d %s", piece, hexOf(raw)))
	number := func(s string) int64 {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			m.t.Fatal(err)
		}
		return n
	}
	if code = int(number(f[0])); code != codeOK {
		return d, code
	}
	d = lamppost.Desired{Revision: uint64(number(f[1])), Until: lamppost.TimeMS(number(f[2])), Left: lamppost.TimeMS(number(f[3]))}
	for f = f[4:]; len(f) > 0; f = f[4:] {
		unit, err := hex.DecodeString(f[3])
		if err != nil {
			m.t.Fatal(err)
		}
		d.Set = append(d.Set, lamppost.Setpoint{Name: f[0], Value: lamppost.Dec(number(f[1]), int8(number(f[2]))), Unit: string(unit)})
	}
	return d, codeOK
}

// sameMessage holds what C reads of bytes against Go: what C takes Go takes for the same, and what Go takes C takes too, as Go would write it.
// Between them is only what nobody writes, such as a level as 60.0.
func (m *machine) sameMessage(raw []byte, piece int) {
	m.t.Helper()
	want, err := lamppost.ParseDesired(raw)
	if got, code := m.message(raw, piece); code == codeOK && (err != nil || text(m.t, got) != text(m.t, want)) {
		m.t.Fatalf("%q: C reads %+v; Go %+v, %v", raw, got, want, err)
	}
	if err != nil {
		return
	}
	written := text(m.t, want)
	if got, code := m.message([]byte(written), piece); len(written) <= lamppost.MaxDesiredBytes && (code != codeOK || text(m.t, got) != written) {
		m.t.Fatalf("%s: C reads %+v, code %d; Go %+v", written, got, code, want)
	}
}

func text(t testing.TB, d lamppost.Desired) string {
	t.Helper()
	b, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var messages = []string{``, `{}`, ` {"level" : 60 } `, `{"level":60,"power":"-3.5 kW","revision":7,"until_ms":1800000900000,"left_ms":840000}`, `{"revision":7}`,
	`60`, `[]`, `{"level":60`, `{"level":60,"level":50}`, `{"level":101}`, `{"level":-1}`, `{"level":1.5}`, `{"level":60.0}`, `{"level":6e1}`, `{"level":00}`, `{"level":-0}`,
	`{"level":true}`, `{"level":null}`, `{"level":{"a":1}}`, `{"level":[1]}`, `{"power":"3500"}`, `{"power":" W"}`, `{"power":"1  W"}`, `{"power":"1 W "}`, `{"power":"60 %"}`,
	`{"power":"3500 watts per hour"}`, `{"power":"1 abcdefghijklmnop"}`, `{"power":"1 abcdefghijklmnopq"}`, `{"power":"-0 W"}`, `{"power":"-0.5 W"}`, `{"power":"01 W"}`, `{"power":"1. W"}`,
	`{"power":"9223372036854775807 W"}`, `{"power":"9223372036854775808 W"}`, `{"power":"-9223372036854775808 W"}`, `{"power":"0.123456789 W"}`, `{"power":"0.1234567890 W"}`,
	`{"power":"1 \u003c"}`, `{"power":"1 \""}`, `{"power":"1 \\"}`, `{"power":"1 \n"}`, `{"power":"1 \ud83d\ude00"}`, `{"power":"1 €"}`, `{"pow\u0065r":"1 W"}`, `{"power\u0000":1}`,
	`{"a/b":1}`, `{"":1}`, `{"revision":"7"}`, `{"revision":-1}`, `{"revision":07}`, `{"revision":4611686018427387903}`, `{"revision":4611686018427387904}`, `{"revision":18446744073709551617}`,
	`{"left_ms":1.5}`, `{"left_ms":1,"left_ms":2}`, `{"level":60}{"level":0}`, `{"level":60},`, `{"level":60,}`, `{,"level":60}`, `{"level"60}`, `{"level":}`, `{level:60}`, "{\"level\":60}\x00", "{\"le\tvel\":60}",
	`{"` + strings.Repeat("a", 40) + `":1}`, `{"` + strings.Repeat("a", 41) + `":1}`, `{"a":` + strings.Repeat("1", lamppost.MaxDesiredBytes) + `}`, "{" + strings.Repeat(" ", 4094) + "}", "{" + strings.Repeat(" ", 4095) + "}",
	`{"p":1,"o":1,"n":1,"m":1,"l":1,"k":1,"j":1,"i":1,"h":1,"g":1,"f":1,"e":1,"d":1,"c":1,"b":1,"a":1}`, `{"q":1,"p":1,"o":1,"n":1,"m":1,"l":1,"k":1,"j":1,"i":1,"h":1,"g":1,"f":1,"e":1,"d":1,"c":1,"b":1,"a":1}`}

// Goal: firmware understands a message to the device as Go does, or refuses it, whatever its bytes are and however they arrive. Method: the messages above,
// and ten thousand that were made from them by chance.
func TestSameMessages(t *testing.T) {
	t.Parallel()
	m, g := startGuard(t), generator{rand.New(rand.NewPCG(3, 4))}
	taken := 0
	for _, text := range messages {
		m.sameMessage([]byte(text), 1)
		if _, code := m.message([]byte(text), 4097); code == codeOK {
			taken++
		}
	}
	for range 10_000 {
		m.sameMessage(g.garble(messages), 1+g.IntN(50))
	}
	if taken != 17 {
		t.Errorf("C takes %d of %d messages, want 17", taken, len(messages))
	}
}

// garble changes a text a little, or puts two together.
func (g generator) garble(texts []string) []byte {
	raw := []byte(pick(g, texts...))
	for range 1 + g.IntN(3) {
		if len(raw) == 0 || len(raw) > 600 {
			raw = []byte(`{"level":60}`)
		}
		at := g.IntN(len(raw))
		switch g.IntN(5) {
		case 0:
			raw[at] = pick(g, []byte(`"{}[]:,.-+0159eEu\/ntr`+" \t\n%W\x00\x80")...)
		case 1:
			raw = slices.Delete(raw, at, at+1)
		case 2:
			raw = slices.Insert(raw, at, pick(g, []byte(`"{}[]:,.-0 1e\`)...))
		case 3:
			other := pick(g, texts...)
			if len(other) < 200 {
				raw = slices.Insert(raw, at, []byte(other[len(other)/2:])...)
			}
		case 4:
			raw = raw[:at]
		}
	}
	return raw
}

func FuzzMessage(f *testing.F) {
	m := startGuard(f)
	for _, text := range messages {
		f.Add([]byte(text), 3)
	}
	f.Fuzz(func(t *testing.T, raw []byte, piece int) {
		m.t = t
		if len(raw) <= lamppost.MaxDesiredBytes+2 {
			m.sameMessage(raw, 1+int(uint(piece)%64))
		}
	})
}

// An exact is what stands in an answer by the very names; Go's own reader takes ID for id.
func exact(raw []byte) (all []guard.Request, err error) {
	var a map[string]json.RawMessage
	if err := json.Unmarshal(raw, &a); err != nil {
		return nil, err
	}
	var network string
	if err := json.Unmarshal(a["network"], &network); err != nil || network != "net" {
		return nil, fmt.Errorf("network %q: %w", network, err)
	}
	var requests []map[string]json.RawMessage
	if text, ok := a["requests"]; ok {
		if err := json.Unmarshal(text, &requests); err != nil {
			return nil, err
		}
	}
	for _, r := range requests {
		var one guard.Request
		for name, to := range map[string]any{"id": &one.ID, "function": &one.Function, "level": &one.Level, "left_ms": &one.Left} {
			if err := json.Unmarshal(r[name], to); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		}
		one.Left = max(one.Left, 0)
		all = append(all, one)
	}
	return all, nil
}

func (m *machine) sameAnswer(raw []byte, piece int) (taken bool) {
	m.t.Helper()
	got := m.ask("answer %d %s", piece, hexOf(raw))
	code, rest, _ := strings.Cut(got, " ")
	if code != "0" {
		return false
	}
	all, err := exact(raw)
	if err != nil {
		m.t.Fatalf("%q: C reads %s, Go says %v", raw, got, err)
	}
	want := ""
	for _, r := range all[:min(len(all), lamppost.MaxRestrictions)] {
		want += fmt.Sprintf(" %s %s %d %d", r.ID, r.Function, r.Level, r.Left)
	}
	if strings.TrimPrefix(want, " ") != rest {
		m.t.Fatalf("%q: C reads %s, Go %s", raw, rest, want)
	}
	return true
}

var answers = []string{`{"network":"net","charters":[],"requests":[]}`, `{"network":"net"}`, `{"network":"net","requests":null}`, `{"network":"ten","requests":[]}`, `{"requests":[]}`,
	`{"network":"net","charters":[{"charter":"AAAA","second":"BBBB"}],"requests":[{"id":"peak@812.0","function":"light","level":40,"by":"city","reason":"power \"is\" scarce \ud83d\ude00 \u003c","left_ms":14400000}]}`,
	`{"requests":[{"left_ms":-5,"level":0,"id":"b","function":"f"},{"left_ms":9223372036854775807,"level":255,"id":"a","function":"g"}],"network":"net"}`,
	`{"network":"net","requests":[{"id":"a","function":"f","level":256,"left_ms":1}]}`, `{"network":"net","requests":[{"id":"a","function":"f","level":1.0,"left_ms":1}]}`,
	`{"network":"net","requests":[{"id":"a","function":"f","left_ms":1}]}`, `{"network":"net","requests":[{"id":"a","id":"b","function":"f","level":1,"left_ms":1}]}`,
	`{"network":"net","requests":[{"id":{"id":"a"},"function":"f","level":1,"left_ms":1}]}`, `{"network":"net","requests":[{"id":"a","function":"f","level":1,"left_ms":1,"x":{"id":[1,{"level":7}]}}]}`,
	`{"network":"net","requests":[[{"id":"a"}]]}`, `{"network":"net","requests":[5]}`, `{"network":"net","requests":{"id":"a"}}`, `{"network":"net","requests":[],"requests":[]}`,
	`{"network":"net","desired":{"level":5,"network":"x","requests":7},"more":[true,false,null,-1.5e+3,[[]]]}`, `{"network":"net","deep":[[[[[[[1]]]]]]]}`, `{"network":"net","deep":[[[[[[[[1]]]]]]]]}`,
	`{"network":"net","requests":[{"id":"` + strings.Repeat("i", 72) + `","function":"f","level":1,"left_ms":1}]}`, `{"network":"net","requests":[{"id":"` + strings.Repeat("i", 73) + `","function":"f","level":1,"left_ms":1}]}`,
	`{"network":"net","reason":"` + strings.Repeat("r", 1000) + `"}`}

// Goal: firmware reads the answer to its guard as Go does, or refuses it.
func TestSameAnswers(t *testing.T) {
	t.Parallel()
	m, g := startGuard(t), generator{rand.New(rand.NewPCG(5, 6))}
	taken := 0
	for _, text := range answers {
		if m.sameAnswer([]byte(text), 1) {
			taken++
		}
	}
	for range 10_000 {
		m.sameAnswer(g.garble(answers), 1+g.IntN(50))
	}
	if taken != 10 {
		t.Errorf("C takes %d of %d answers, want 10", taken, len(answers))
	}
	var all guard.Asked // all that may be asked at a time, in the longest words
	all.Network, all.Charters = "net", []guard.Signed{{Charter: make([]byte, lamppost.MaxCharterBytes)}}
	for i := range lamppost.MaxRestrictions + 3 {
		all.Requests = append(all.Requests, guard.Request{ID: fmt.Sprintf("%s@%d.%d", strings.Repeat("r", 40), uint64(1<<63), i), Function: strings.Repeat("f", 40), Level: uint8(i),
			By: "b", Reason: strings.Repeat("<", lamppost.MaxTextBytes), Left: 1})
	}
	text, err := json.Marshal(all)
	if err != nil || !m.sameAnswer(text, 100) {
		t.Errorf("the longest answer is not taken (%v)", err)
	}
}

func FuzzAnswer(f *testing.F) {
	m := startGuard(f)
	for _, text := range answers {
		f.Add([]byte(text), 3)
	}
	f.Fuzz(func(t *testing.T, raw []byte, piece int) {
		m.t = t
		if len(raw) < 32<<10 {
			m.sameAnswer(raw, 1+int(uint(piece)%64))
		}
	})
}

// Goal: a machine obeys as the SDK does: the same of each message, for as long, with the same acknowledgement. Method: messages, clocks, restrictions and a switch by
// chance, in C and in Go.
func TestObeysTheSame(t *testing.T) {
	t.Parallel()
	m, g := startGuard(t), generator{rand.New(rand.NewPCG(7, 8))}
	kinds := map[string]int{}
	for range 60 {
		class := lamppost.SafetyClass(g.IntN(4))
		m.do("new %d 900000", class)
		o := &obeying{s: guard.New(class), now: time.UnixMilli(1_800_000_000_000), last: " desired - 0 0"}
		c := lamppost.Charter{Device: "d", Number: 1, Owner: lamppost.CharterKey{Key: []byte{1}}, Functions: []lamppost.Function{
			{Name: "heat", Class: lamppost.Essential, Min: 20, Notice: lamppost.MinNoticeMS, Grace: lamppost.MinGraceMS}, {Name: "level", Class: lamppost.Public, Min: 30}, {Name: "power", Class: lamppost.Ordinary}}}
		if g.IntN(3) > 0 {
			o.s.Charters = []guard.Held{{Charter: c}}
			m.code("take 1 0 1 1 0 3 heat 0 20 %d %d level 2 30 0 0 power 3 0 0 0", lamppost.MinNoticeMS, lamppost.MinGraceMS)
		}
		m.code("now 0 %d", o.now.UnixMilli())
		for range 60 {
			o.happens(m, g, kinds)
		}
	}
	for _, kind := range []string{"applied", "acknowledged", "late", "refused", "1", "2", "3", "4", "5", "6"} {
		if kinds[kind] < 10 {
			t.Errorf("%q came to pass %d times: the test sees too little", kind, kinds[kind])
		}
	}
}

// An obeying is what device.Commands does, over the same guard and clock of days; the monotonic clock says the same.
type obeying struct {
	s        *guard.State
	standing guard.Standing
	now      time.Time
	mono     int64
	stopped  bool
	last     string
	told     bool
}

func (o *obeying) happens(m *machine, g generator, kinds map[string]int) {
	at := func() string { return fmt.Sprintf("%d %d", o.mono, o.now.UnixMilli()) }
	switch g.IntN(6) {
	case 0, 1, 2:
		d := lamppost.Desired{Revision: uint64(g.IntN(4)), Left: pick[lamppost.TimeMS](g, 0, 1000, 60_000, 1<<40)}
		if d.Revision > 0 {
			d.Revision += uint64(o.mono / 100_000)
		}
		for _, s := range []lamppost.Setpoint{{Name: "door", Unit: "%"}, {Name: "heat", Unit: "%"}, {Name: "level", Unit: "%"}, {Name: "power", Unit: "W"}, {Name: "sound", Unit: "dB"}} {
			if s.Value = lamppost.Dec(int64(g.IntN(101)), 0); g.IntN(2) == 0 {
				d.Set = append(d.Set, s)
			}
		}
		text, err := json.Marshal(d)
		if err != nil {
			m.t.Fatal(err)
		}
		if g.IntN(9) == 0 {
			text = text[:len(text)-1]
		}
		want := codeOK
		if got, err := lamppost.ParseDesired(text); err != nil {
			want = codeBadInput
			kinds["refused"]++
		} else if !o.standing.Tell(got, o.now) {
			want = codeOld
			kinds["late"]++
		} else {
			o.told = true
		}
		if code := m.code("tell %s 5 %s", at(), hexOf(text)); code != want {
			m.t.Fatalf("%s: code %d, want %d", text, code, want)
		}
	case 3:
		r := guard.Request{ID: "r", Function: pick(g, "level", "heat", "power", "door"), Level: uint8(g.IntN(100)), Left: 1 << 40}
		o.s.Contact([]guard.Request{r})
		m.do("contact 1 r %s %d %d", r.Function, r.Level, r.Left)
	case 4:
		o.stopped = g.IntN(3) == 0
		m.do("stop %d", map[bool]int{true: 1}[o.stopped])
	}
	span := pick[int64](g, 0, 500, 30_000, 59_000)
	o.now, o.mono = o.now.Add(time.Duration(span)*time.Millisecond), o.mono+span
	o.s.Tick(lamppost.TimeMS(span), lamppost.TimeMS(span))
	want := o.step(kinds)
	if got := m.ask("step %s", at()); got != want {
		m.t.Fatalf("at %s: C does %s; Go %s", at(), got, want)
	}
}

// step decides as device.Commands does; what is to be done, and the acknowledgement, in guard.c's words.
func (o *obeying) step(kinds map[string]int) string {
	units := map[string]string{"level": "%", "power": "W", "heat": "%", "door": "%"}
	d := o.standing.Now(o.now)
	var grants []lamppost.Grant
	for _, want := range d.Set {
		grant := lamppost.Grant{Want: want}
		switch {
		case units[want.Name] != want.Unit:
			grant.Why = lamppost.IsUnknown
		case o.stopped:
			grant.Why = lamppost.IsStopped
		default:
			grant = o.s.Command(want)
		}
		grants = append(grants, grant)
		kinds[strconv.Itoa(int(grant.Why))]++
	}
	ack := ""
	for _, r := range lamppost.AckReadings(d.Revision, grants, 0) {
		unit := r.Unit
		if unit == "" {
			unit = "-"
		}
		ack += fmt.Sprintf(" %s %s %d %d", r.Name, unit, r.Value.Mantissa, r.Value.Exponent)
	}
	todo := 0
	if other := o.told || ack != o.last; other {
		todo = 1
		kinds["applied"]++
		if d.Revision != 0 && (o.told || len(d.Set) > 0) {
			todo = 3
			kinds["acknowledged"]++
		}
	}
	o.told, o.last = false, ack
	return strconv.Itoa(todo) + ack
}

// The guard's word is what a node reads, in a buffer of any size.
func TestWord(t *testing.T) {
	t.Parallel()
	m := startGuard(t)
	m.code("take 1 0 3 1 0 2 heat 0 20 604800000 259200000 level 2 30 0 0")
	m.do("contact 3 a@5.0 level 10 1000 b@5.1 heat 0 1000 c@6.0 spin 50 1000")
	code, text, _ := strings.Cut(m.ask("word 8192"), " ")
	var w guard.Word
	dec := json.NewDecoder(strings.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&w); err != nil || code != "0" {
		t.Fatalf("code %s, %s: %v", code, text, err)
	}
	want := guard.Word{Charter: 3, Online: true, Decisions: []guard.Decision{
		{Function: "heat", Class: "essential", Level: 100, Request: "b@5.1", Why: guard.Notice, After: 864000000},
		{Function: "level", Class: "public", Level: 30, Request: "a@5.0", Asked: 10, Why: guard.Minimum},
		{Function: "spin", Class: "essential", Level: 100, Request: "c@6.0", Asked: 50, Why: guard.Notice, After: 864000000}}}
	if !reflect.DeepEqual(w, want) {
		t.Errorf("got  %+v\nwant %+v", w, want)
	}
	for size := range len(text) {
		if got := m.ask("word %d", size); got != fmt.Sprintf("%d %d", codeTooSmall, len(text)) {
			t.Fatalf("a buffer of %d: %q", size, got)
		}
	}
}

// Goal: whatever is in the slots, the guard starts, decides, and errs towards service. Method: the power fails at each write in each way; each bit of both slots rots;
// both are lost; chance writes them.
func TestGuardSlots(t *testing.T) {
	t.Parallel()
	m := startGuard(t)
	const hour = 3_600_000
	life := func() {
		m.do("new 3 900000")
		m.code("take 1 0 1 1 2 2 level 2 30 0 0 open 3 0 0 0")
		m.do("contact 1 r open 0 %d", 900*hour)
		m.do("tick 1000 1000\nsave")
	}
	// levels are those of what is ordinary and asked to stop, of what has a minimum, and the least of that.
	levels := func() string {
		return strings.Fields(m.ask("level open"))[1] + " " + strings.Fields(m.ask("least level"))[1] + " " + strings.Fields(m.ask("least open"))[1]
	}
	for _, how := range []string{"nothing", "erased", "half", "torn", "garbage", "after", "worn"} {
		for at := range 3 { // a charter is written twice
			life()
			m.do("cut %d %s", at, how)
			if code := m.code("take 1 0 2 1 2 2 level 2 60 0 0 open 3 0 0 0"); (code == codeStorage) != (at < 2) {
				t.Fatalf("%s at %d: code %d", how, at, code)
			}
			if got := levels(); at < 2 && got != "100 60 0" {
				t.Errorf("%s at %d: what cannot be kept restricts: %s", how, at, got)
			}
			code := m.code("open 3 0 0")
			if got := levels(); code != codeOK || got != "0 30 0" && got != "100 30 0" && got != "0 60 0" && got != "100 60 0" || at > 0 && !strings.Contains(got, " 60 ") {
				t.Errorf("%s at %d: it comes back with %s, code %d", how, at, got, code)
			}
		}
	}
	life()
	slots := strings.Fields(m.ask("slots"))
	raw := [2][]byte{unhex(t, slots[0]), unhex(t, slots[1])}
	newest := 0
	if bytes.Compare(raw[1][4:8], raw[0][4:8]) > 0 {
		newest = 1
	}
	length := int(raw[newest][10])<<8 | int(raw[newest][11])
	put := func(a, b []byte) int {
		m.do("slot 0 %x\nslot 1 %x", a, b)
		return m.code("open 3 0 0")
	}
	if code := put(raw[0], raw[1]); code != codeOK || levels() != "0 30 0" {
		t.Errorf("what was kept comes back as %s, code %d", levels(), code)
	}
	for bit := range length * 8 {
		rotten := [2][]byte{bytes.Clone(raw[0]), bytes.Clone(raw[1])}
		rotten[newest][bit/8] ^= 1 << (bit % 8)
		if code := put(rotten[0], rotten[1]); code != codeOK || levels() != "100 30 0" {
			t.Fatalf("bit %d of the newest is rotten: %s, code %d; want the charter, and nothing asked", bit, levels(), code)
		}
		if code := put(rotten[newest], rotten[newest]); code != codeDamaged || levels() != "100 100 100" {
			t.Fatalf("bit %d of both is rotten: %s, code %d; want nothing restricted", bit, levels(), code)
		}
	}
	if code := m.code("take 1 1 9 1 2 1 level 3 0 0 0"); code != codeDamaged {
		t.Errorf("a charter over one that nobody can read: code %d", code)
	}
	if code := m.code("begin 3 0 0"); code != codeOK || levels() != "100 0 0" {
		t.Errorf("begun anew: %s, code %d", levels(), code)
	}
	blank := bytes.Repeat([]byte{0xff}, len(raw[0]))
	if code := put(blank, blank); code != codeOK {
		t.Errorf("blank slots: code %d", code)
	}
	g := generator{rand.New(rand.NewPCG(9, 10))}
	for range 3000 { // with a sum that is right
		b := bytes.Clone(raw[newest])[:length-4]
		for range 1 + g.IntN(4) {
			b[16+g.IntN(len(b)-16)] = byte(g.Uint32())
		}
		b = b[:len(b)-g.IntN(2)*g.IntN(60)]
		b[10], b[11] = byte((len(b)+4)>>8), byte(len(b)+4)
		sum := castagnoli(b)
		put(append(b, byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum)), blank)
		levels()
		m.ask("word 8192")
	}
}

// Of the image's table and charters that were taken, none that protects less counts; a table that nobody can mean restricts nothing.
func TestFactoryTable(t *testing.T) {
	t.Parallel()
	m := startGuard(t)
	table := func(number, min int, notice int64) int {
		m.do("factory %d 1 2 2 heat 0 20 %d 259200000 level 2 %d 0 0", number, notice, min)
		return m.code("open 3 0 0")
	}
	least := func() string { return strings.Fields(m.ask("least level"))[1] }
	const week = int64(lamppost.MinNoticeMS)
	if code := table(1, 30, week); code != codeOK || least() != "30" {
		t.Errorf("a table: code %d, at least %s", code, least())
	}
	if code := table(1, 30, week-1); code != codeBadInput || least() != "100" {
		t.Errorf("a table with a short notice: code %d, at least %s; want nothing restricted", code, least())
	}
	table(1, 30, week)
	m.code("take 1 0 2 1 2 2 heat 0 20 604800000 259200000 level 2 50 0 0")
	for _, c := range []struct {
		number, min int
		want        string
	}{{1, 30, "50"}, {3, 40, "50"}, {3, 60, "60"}, {1, 10, "50"}} {
		if code := table(c.number, c.min, week); code != codeOK || least() != c.want {
			t.Errorf("table %d with a minimum of %d over a charter of 50: code %d, at least %s, want %s", c.number, c.min, code, least(), c.want)
		}
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
