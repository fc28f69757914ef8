package explore_test

import (
	"encoding/csv"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/lamppost/lamppost/internal/dashboard/browsertest"
	"github.com/lamppost/lamppost/internal/explore"
)

var (
	rewrite = flag.Bool("rewrite", false, "write the golden files anew")
	screens = flag.String("screens", "", "folder for pictures of the report")
	sweepIn = flag.String("sweep", "", "folder of a sweep to take pictures of, instead of made-up rows")
)

// made is a sweep of made-up figures, which come of the settings and a seed.
func made(t testing.TB) *explore.Set {
	t.Helper()
	s := must(explore.ParseSpace([]byte("seed: 2\nrepetitions: 3\ngrids:\n  - {engine: [solo, raft, comet], rate: [0, 1000], readings: [1, 10, 100], linger_ms: [5, 25]}\n" +
		"  - {engine: [raft, comet], rate: 1000, rtt_ms: [0, 20, 100]}\n  - {engine: [raft, comet], rate: 1000, verify: [full, gateway], fault: [none, kill]}\n")))(t)
	set := &explore.Set{V: explore.Version, Space: s}
	die := rand.New(rand.NewPCG(2, 3))
	for _, run := range must(s.Plan())(t) {
		p := run.Point
		work := map[string]float64{"solo": 1, "raft": 3.4, "comet": 9}[p.Engine] * (1 + die.Float64()/5)
		n := float64(p.Readings)
		r := explore.Row{V: explore.Version, Order: run.Order, Rep: run.Rep, Seed: 2, Start: time.Date(2026, 11, 1, 12, 0, 3*run.Order, 0, time.UTC), Commit: "abc123",
			Machine: "a <machine>, 2 cores", Cores: 2, Load: 0.5, Point: p}
		r.Figures = explore.Figures{Seconds: 5, Committed: int64(10_000 * n), PerS: 2000 * n, P50: 4*work + p.RTTMS*2 + p.LingerMS/5, P99: 9*work + p.RTTMS*4 + p.LingerMS/5, Max: 20 * work,
			NodeCPU: 14 * work / n, CPU: 16 * work / n, DeviceBytes: 100/n + 20, WireBytes: 150 * (work - 1) / n, Messages: (work - 1) / 20 / n, DiskBytes: 90 * work / n,
			WrittenBytes: 100 * work / n, Syncs: work / 50 / n, PeakMB: 60 + work, Blocks: 50, NodeUJ: 60 * work / n, DeviceUJ: map[string]float64{"mains": 7700 / n, "battery": 7800 / n, "lora": 60_000 / n}}
		if p.Verify == "gateway" {
			r.NodeCPU, r.GatewayCPU = r.NodeCPU/2, 6
		}
		if p.Fault == "kill" {
			r.P99 += 900
		}
		if p.Engine == "comet" && p.Fault == "kill" && run.Rep == 2 {
			r.Error, r.Figures = `"m3" did not start: <script>`, explore.Figures{}
		}
		set.Rows = append(set.Rows, r)
	}
	return set
}

// The files of a sweep are what they were: a change of a table or a plot shows in the difference.
func TestGolden(t *testing.T) {
	t.Parallel()
	set := made(t)
	for name, text := range map[string]string{"rows.csv": must(set.CSV())(t), "report.html": must(set.HTML())(t), "tables.md": set.Markdown()} {
		path := filepath.Join("testdata", name)
		if *rewrite {
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if want := string(must(os.ReadFile(path))(t)); text != want {
			i := 0
			for i < min(len(text), len(want)) && text[i] == want[i] {
				i++
			}
			t.Errorf("%s differs from byte %d on, where it is now %.200q: look at it, and say -rewrite if it is right", path, i, text[i:])
		}
	}
}

// The table has a line for each row, each as long as its head.
func TestCSV(t *testing.T) {
	t.Parallel()
	set := made(t)
	lines := must(csv.NewReader(strings.NewReader(must(set.CSV())(t))).ReadAll())(t)
	if len(lines) != len(set.Rows)+1 {
		t.Errorf("%d lines of %d rows", len(lines), len(set.Rows))
	}
}

// Text of errors and machines is text in the page, never markup.
func TestNoMarkup(t *testing.T) {
	t.Parallel()
	page := must(made(t).HTML())(t)
	if strings.Contains(page, "<script") || strings.Contains(page, "<machine>") || !strings.Contains(page, "&lt;script&gt;") {
		t.Error("the page takes text for markup")
	}
	if strings.Contains(page, "NaN") || strings.Contains(page, "Inf") {
		t.Error("the page has a place that is no number")
	}
}

// A document's tables are replaced between the marks, and nowhere else.
func TestRefill(t *testing.T) {
	t.Parallel()
	doc := "before\n" + explore.Begin + "\nold\n" + explore.End + "\nafter\n"
	full := must(explore.Refill(doc, made(t).Markdown()))(t)
	if !strings.HasPrefix(full, "before\n"+explore.Begin) || !strings.HasSuffix(full, explore.End+"\nafter\n") || strings.Contains(full, "old") {
		t.Errorf("%.200q", full)
	}
	if again := must(explore.Refill(full, made(t).Markdown()))(t); again != full {
		t.Error("a second time changes it")
	}
	for _, bad := range []string{"", explore.Begin, explore.End + "\n" + explore.Begin, doc + doc} {
		if _, err := explore.Refill(bad, ""); err == nil {
			t.Errorf("%.40q is taken", bad)
		}
	}
}

// The page is never wider than the screen, keeps WCAG 2.2 AA as far as axe-core can tell, in both schemes, and asks nobody for anything.
func TestInBrowser(t *testing.T) {
	t.Parallel()
	ctx := browsertest.Start(t)
	set := made(t)
	if *sweepIn != "" {
		set = must(explore.Load(*sweepIn))(t)
	}
	page := must(set.HTML())(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, page) }))
	t.Cleanup(server.Close)
	for _, size := range [][2]int64{browsertest.Phone, browsertest.Desktop} {
		for _, scheme := range []string{"light", "dark"} {
			tab := browsertest.Open(t, ctx, server.URL+"/", size)
			tab.Prefer(scheme)
			tab.Visit("", "main svg")
			if over := browsertest.Value[[]string](tab, browsertest.Overflow); len(over) > 0 {
				t.Errorf("%s at %d: wider than the screen: %q", scheme, size[0], over)
			}
			for _, v := range tab.Violations() {
				t.Errorf("%s at %d: %s", scheme, size[0], v)
			}
			if asked := tab.Asked(); len(asked) != 1 {
				t.Errorf("the page asks for %q", asked)
			}
			tab.Clean()
			if *screens != "" {
				tab.Size([2]int64{size[0], browsertest.Value[int64](tab, "document.documentElement.scrollHeight")})
				tab.Shoot(filepath.Join(*screens, fmt.Sprintf("%s-%d.png", scheme, size[0])))
			}
		}
	}
}

// Every field of a row stands in the documentation, which other programs are written by.
func TestRowsDocumented(t *testing.T) {
	t.Parallel()
	doc := string(must(os.ReadFile("../../docs/consensus.md"))(t))
	var check func(reflect.Type)
	check = func(typ reflect.Type) {
		for i := range typ.NumField() {
			f := typ.Field(i)
			if f.Anonymous {
				check(f.Type)
				continue
			}
			if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); !strings.Contains(doc, "`"+name+"`") {
				t.Errorf("docs/consensus.md says nothing of the field %q", name)
			}
		}
	}
	check(reflect.TypeFor[explore.Row]())
}

// The spaces that are kept for the machine's owner can be run.
func TestKeptSpaces(t *testing.T) {
	t.Parallel()
	for name, most := range map[string]int{"space.yaml": 690, "space-short.yaml": 60} {
		s := must(explore.ParseSpace(must(os.ReadFile("../../bench/results/" + name))(t)))(t)
		if plan := must(s.Plan())(t); len(plan) == 0 || len(plan) > most {
			t.Errorf("%s: %d runs, at most %d are meant", name, len(plan), most)
		}
	}
}
