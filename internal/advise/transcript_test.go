package advise

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lamppost/lamppost/internal/transcript"
)

// TestTranscripts: who may decide what, and what fleets are told. A question is a verb with what it is asked about:
//
//	gate a b c?; b>a; check: nobody     organisations (with ? they run nothing), who trusts whom, needs: what the gate says, and who sits where
//	advise FILE                         a fleet of examples/fleets: the verdict, what is first, which engines are in, what its machines do
func TestTranscripts(t *testing.T) {
	transcript.Run(t, func(t *testing.T) func(string) string {
		return func(question string) string {
			verb, rest, _ := strings.Cut(question, " ")
			switch verb {
			case "gate":
				return gateSaid(t, rest)
			case "advise":
				return adviseSaid(t, rest)
			}
			t.Fatalf("no such verb: %q", question)
			return ""
		}
	})
}

func gateSaid(t *testing.T, question string) string {
	f := gateFleet(t, question)
	g := f.gate()
	var b strings.Builder
	for _, s := range g.steps {
		fmt.Fprintf(&b, "%s %s\n", s.Question, s.Answer)
	}
	if g.database {
		return b.String() + "database"
	}
	for _, kind := range kinds {
		s := f.seats(kind, g)
		fmt.Fprintf(&b, "%s: %s", kind, strings.Join(s.members, " "))
		if len(s.witnesses) > 0 {
			fmt.Fprintf(&b, ", watched by %s", strings.Join(s.witnesses, " "))
		}
		if f.trusted(s.members) {
			b.WriteString(", whose word all take")
		}
		b.WriteString("\n")
		for _, out := range s.out {
			fmt.Fprintf(&b, "  out: %s\n", out)
		}
	}
	return b.String()
}

// gateFleet reads a question. Trust is a>b, or * for everybody in everybody.
func gateFleet(t *testing.T, question string) *Fleet {
	t.Helper()
	parts := strings.SplitN(question, ";", 3)
	f := &Fleet{Name: "x", Classes: []Class{{Name: "m", Devices: 1, Signs: []string{"ed25519"}, ReadingsADay: 1}}}
	for _, name := range strings.Fields(parts[0]) {
		name, place, _ := strings.Cut(name, "@")
		name, idle := strings.CutSuffix(name, "?")
		f.Organisations = append(f.Organisations, Organisation{Name: name, Runs: !idle, Place: place})
	}
	for _, pair := range strings.Fields(parts[1]) {
		a, b, _ := strings.Cut(pair, ">")
		for i := range f.Organisations {
			if o := &f.Organisations[i]; pair == "*" {
				o.Trusts = trusting(f.Organisations, o, everyone)
			} else if o.Name == a {
				o.Trusts = append(o.Trusts, b)
			}
		}
	}
	n := parse(t, "name: x\nclasses: [{name: m, devices: 1, signs: [ed25519], readings_a_day: 1}]\norganisations: [{name: a}]\nneeds: {"+parts[2]+"}")
	f.Needs, f.Classes = n.Needs, n.Classes
	if err := f.Check(); err != nil {
		t.Fatalf("%q: %v", question, err)
	}
	return f
}

func parse(t *testing.T, text string) *Fleet {
	t.Helper()
	f, err := ParseFleet([]byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return f
}

const fleets = "../../examples/fleets/"

func readFleet(t *testing.T, name string) *Fleet {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(fleets, name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, string(raw))
}

// adviseSaid is what of an answer shall not change unseen. Figures are not in it: they change with rows and prices.
func adviseSaid(t *testing.T, name string) string {
	m, err := Shipped()
	if err != nil {
		t.Fatal(err)
	}
	a, err := Advise(readFleet(t, name), m)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", a.Verdict, a.outcome())
	for _, kind := range kinds {
		i := slices.IndexFunc(a.Options, func(o Option) bool { return o.Kind == kind })
		fmt.Fprintf(&b, "%s is in: %v\n", kind, a.Options[i].Place > 0)
	}
	if a.Verdict == "lamppost" {
		for _, c := range a.Options[0].Classes {
			fmt.Fprintf(&b, "%s: %s, %s every %s, %s\n", c.Class, c.Suite, count(c.Readings, "reading"), duration(c.EverySec), c.Via)
		}
	}
	return b.String()
}
