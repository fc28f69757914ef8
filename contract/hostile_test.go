package contract_test

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lamppost/lamppost/contract"
	"github.com/lamppost/lamppost/internal/transcript"
)

// What checking and running a program may allocate together, whatever it is.
const mostAllocated = 8 << 20

type attack struct{ name, source, want string }

// hostile reads testdata/hostile.txt: after "== name" the source, then "-- " and the answer.
func hostile(t testing.TB) (head string, all []attack) {
	raw, err := os.ReadFile("testdata/hostile.txt")
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(raw), "\n== ")
	for _, p := range parts[1:] {
		name, rest, _ := strings.Cut(p, "\n")
		source, want, _ := strings.Cut("\n"+rest, "\n-- ")
		all = append(all, attack{name, strings.TrimRight(source[min(1, len(source)):], "\n") + "\n", strings.TrimSpace(want)})
	}
	return parts[0], all
}

var repeated = regexp.MustCompile(`<<(\d+) ((?s:[^>]+))>>`)

func (a *attack) program() string {
	return repeated.ReplaceAllStringFunc(a.source, func(s string) string {
		m := repeated.FindStringSubmatch(s)
		n, err := strconv.Atoi(m[1])
		if err != nil {
			panic(err)
		}
		return strings.Repeat(m[2], n)
	})
}

// run says what becomes of a program.
func run(source string) string {
	p, err := contract.Check(source, contract.At(1))
	var f *contract.Failure
	if errors.As(err, &f) {
		return fmt.Sprintf("refused, line %d", f.Line)
	}
	res, cost, f := p.Run(&contract.Event{Name: contract.Split, Bill: &contract.Bill{}}, nil, nil)
	spent := fmt.Sprintf("%d steps, %d bytes", cost.Steps, cost.Bytes)
	if f != nil {
		return fmt.Sprintf("%s, line %d: %s", f.Reason, f.Line, spent)
	}
	return fmt.Sprintf("ok %s: %s", res.State, spent)
}

// Goal: no program takes more than so much time and memory, and each comes to the same wherever it runs. Method: every one of the corpus
// runs several times at once and gives what the file says, steps and bytes included; what is allocated meanwhile is measured.
func TestHostile(t *testing.T) {
	head, all := hostile(t)
	if len(all) < 60 {
		t.Fatalf("%d hostile programs are too few", len(all))
	}
	out := strings.TrimRight(head, "\n") + "\n"
	var longest time.Duration
	var most uint64
	for _, a := range all {
		source := a.program()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		begin := time.Now()
		got := run(source)
		longest = max(longest, time.Since(begin))
		runtime.ReadMemStats(&after)
		most = max(most, after.TotalAlloc-before.TotalAlloc)
		if n := after.TotalAlloc - before.TotalAlloc; n > mostAllocated {
			t.Errorf("%s: allocated %d bytes", a.name, n)
		}
		if got != a.want && !transcript.Rewrite() {
			t.Errorf("%s: %q, want %q", a.name, got, a.want)
		}
		alike(t, &a, source, got)
		out += "\n== " + a.name + "\n" + strings.TrimRight(a.source, "\n") + "\n-- " + got + "\n"
	}
	t.Logf("%d programs: %d bytes were allocated at most, and it took %v", len(all), most, longest)
	if transcript.Rewrite() {
		if err := os.WriteFile("testdata/hostile.txt", []byte(out), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func alike(t *testing.T, a *attack, source, want string) {
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if got := run(source); got != want {
				t.Errorf("%s: %q, and %q elsewhere", a.name, want, got)
			}
		})
	}
	wg.Wait()
}

// FuzzProgram: whatever the source, checking and running it do not panic, stay within the limits, and come to the same twice.
func FuzzProgram(f *testing.F) {
	_, all := hostile(f)
	for _, a := range all {
		f.Add(a.program())
	}
	f.Fuzz(func(t *testing.T, source string) {
		got := run(source)
		if again := run(source); got != again {
			t.Fatalf("%q, and %q the second time", got, again)
		}
		p, err := contract.Check(source, contract.At(1))
		if err != nil {
			return
		}
		for _, name := range p.Handlers() {
			res, cost, _ := p.Run(&contract.Event{Name: name}, nil, nil)
			if l := contract.At(1); cost.Steps > l.Steps+int64(l.Source) || cost.Bytes > l.Bytes+int64(l.Bytes) || len(res.State) > l.State {
				t.Fatalf("%+v and a state of %d bytes are over the limits", cost, len(res.State))
			}
		}
	})
}
