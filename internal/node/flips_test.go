package node_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/fsck"
	"github.com/lamppost/lamppost/internal/node"
)

var (
	flips    = flag.Int("flips", 40, "how many bits TestBitFlips flips")
	flipSeed = flag.Uint64("flipseed", 1, "which bits these are")
)

// TestBitFlips flips single bits in every kind of file of a data folder, one at a time: of a node that was stopped, and of one that was
// killed, with a chain that is billed, pruned and erased in. Each flip must be named by fsck, or be of no consequence for a
// reason that stands below (harmless); and whether or not anybody runs fsck, the node started on it serves what it served before, or an
// error, and never something else.
//
// A longer run: go test ./internal/node -run TestBitFlips -flips 600 -timeout 60m -v
func TestBitFlips(t *testing.T) {
	t.Parallel()
	f := newFlipped(t)
	rnd := rand.New(rand.NewPCG(*flipSeed, 9))
	todo := make(chan flip)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for x := range todo {
				f.try(x)
			}
		})
	}
	kinds := slices.Sorted(maps.Keys(f.files))
	for i := range *flips {
		files := f.files[kinds[i%len(kinds)]]
		file := files[rnd.IntN(len(files))]
		todo <- flip{kinds[i%len(kinds)], file, rnd.Int64N(8 * f.sizes[file])}
	}
	close(todo)
	wg.Wait()
	f.report(kinds)
}

// A flip is a bit of a file.
type flip struct {
	kind, file string
	bit        int64
}

// flipped are folders whose bits are flipped, with what a node says on them.
type flipped struct {
	t      *testing.T
	root   string // under it "stopped" and "killed"
	cfg    node.Config
	files  map[string][]string // by kind, from root
	sizes  map[string]int64
	paths  []string                     // of what is asked
	golden map[string]map[string]string // what is answered, by folder

	mu     sync.Mutex
	counts map[string]map[string]int // by kind and fate
}

// newFlipped makes the folders: a node that has billed, whose reports were pruned and a party erased, with a snapshot, complete
// tiles, packs, and blocks in the store.
func newFlipped(t *testing.T) *flipped {
	f := &flipped{t: t, root: t.TempDir(), files: map[string][]string{}, sizes: map[string]int64{}, golden: map[string]map[string]string{}, counts: map[string]map[string]int{}}
	var ahead atomic.Int64
	cfg := config(filepath.Join(f.root, "stopped"))
	cfg.Keep, cfg.NoFsync = 20*time.Millisecond, false // what is killed has all that was acknowledged in its files
	cfg.Triage = "off"                                 // its register falls, and what is near a verdict stays raw
	cfg.Now = func() time.Time { return begin.Add(time.Duration(ahead.Load())) }
	l := run(t, cfg)
	m, from, to := l.supply()
	l.meter(m, from, to)
	l.order("/api/invoices", map[string]any{"seller": "ada", "buyer": "tom", "currency": "EUR", "from_ms": from, "to_ms": to}, nil)
	l.order("/api/parties", lamppost.PartyBody{ID: "gone", Name: "Somebody"}, nil)
	for range 120 {
		l.post(m, m.report(t, nil))
	}
	l.order("/api/retentions", lamppost.RetentionBody{RawDays: 1, SummaryDays: 2}, nil)
	l.order("/api/erasures", lamppost.EraseBody{Party: "gone", Basis: "GDPR"}, nil)
	ahead.Store(int64(72 * time.Hour))
	eventually(t, "reports are pruned, and a snapshot is taken after that", func() bool {
		k, list := l.keeping(), l.snapshots()
		return k.Archive.Reports > 100 && k.Archive.Kept < 10 && len(k.Erasures[0].Attested) > 0 && len(list.Files) > 0 && l.Status().Height <= list.Files[len(list.Files)-1].Height+2
	})
	for range 12 {
		ahead.Add(int64(time.Second))
		l.post(m, m.report(t, func(r *lamppost.Report) { r.Readings[0].Time += 72 * 3600_000 }))
	}
	l.checkStatement()
	last := l.Status().Height
	eventually(t, "all is published", func() bool {
		status, _ := l.ask("GET", fmt.Sprintf("/api/log/proof?height=%d&index=0", last), nil)
		return status == 200
	})
	must(t, os.CopyFS(filepath.Join(f.root, "killed"), os.DirFS(cfg.Data)))
	f.ask(l, m, last)
	l.stop()
	f.cfg = cfg
	f.cfg.Keep, f.cfg.SnapshotEvery, f.cfg.Scrub, f.cfg.Publish = time.Hour, node.Every(-1), node.Every(-1), 100*time.Millisecond
	f.list()
	for _, name := range []string{"stopped", "killed"} {
		checked(t, f.copy(flip{file: name + "/none"}))
		answers, err := f.serve(f.copy(flip{file: name + "/none"}))
		must(t, err)
		f.golden[name] = map[string]string{}
		for path, a := range answers {
			if a.status != http.StatusOK {
				t.Errorf("%s: %s: status %d, %.200s", name, path, a.status, a.body)
			}
			f.golden[name][path] = a.body
		}
	}
	if t.Failed() {
		t.FailNow()
	}
	return f
}

// ask lists what a node is asked: everything that it hands out.
func (f *flipped) ask(l *lamp, m *machine, last lamppost.Height) {
	f.paths = []string{"/api/statements/tom", fmt.Sprintf("/api/receipts/meter/1/%d", m.n), fmt.Sprintf("/api/receipts/meter/1/%d", m.n-11),
		"/log/checkpoint", "/log/tile/0/000", "/log/tile/entries/000", "/log/tile/1/000.p/1", "/log/tile/0/001.p/5", "/log/tile/entries/001.p/5", "/network.pin",
		"/api/devices", "/api/devices/meter", "/api/devices/meter/series?name=energy", "/api/parties", "/api/points", "/api/tariffs", "/api/agreements", "/api/accounts",
		"/api/invoices", "/api/invoices/ada-000001", "/api/keeping", "/api/snapshots", "/api/log?limit=300", "/api/blocks?from=1&limit=1000"}
	for h := lamppost.Height(1); h <= last; h += 9 {
		f.paths = append(f.paths, fmt.Sprintf("/api/log/proof?height=%d&index=0", h))
	}
}

// list gathers all files with something in them, by kind.
func (f *flipped) list() {
	must(f.t, filepath.WalkDir(f.root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		rel, _ := filepath.Rel(f.root, path)
		if rel = filepath.ToSlash(rel); err == nil && info.Size() > 0 {
			f.files[kindOf(rel)] = append(f.files[kindOf(rel)], rel)
			f.sizes[rel] = info.Size()
		}
		return err
	}))
	for _, want := range []string{"db manifest", "db options", "db table", "db write ahead log", "log bundle", "log checkpoint", "log partial bundle", "log partial tile", "log tile", "archive object",
		"snapshot", "member.key", "admin.token", "network.pin", "node.url"} {
		if len(f.files[want]) == 0 {
			f.t.Errorf("the folder has no %s, but %v", want, slices.Sorted(maps.Keys(f.files)))
		}
	}
}

func kindOf(rel string) string {
	_, path, _ := strings.Cut(rel, "/")
	base := filepath.Base(path)
	partial := ""
	if strings.Contains(path, ".p/") {
		partial = "partial "
	}
	switch {
	case strings.HasSuffix(base, ".sst"):
		return "db table"
	case strings.HasPrefix(path, "db/") && strings.HasSuffix(base, ".log"):
		return "db write ahead log"
	case strings.HasPrefix(base, "MANIFEST"):
		return "db manifest"
	case strings.HasPrefix(base, "OPTIONS"):
		return "db options"
	case strings.HasPrefix(path, "log/tile/entries/"):
		return "log " + partial + "bundle"
	case strings.HasPrefix(path, "log/tile/"):
		return "log " + partial + "tile"
	case strings.HasPrefix(path, "log/"):
		return "log " + base
	case strings.HasPrefix(path, "archive/"):
		return "archive object"
	case strings.HasPrefix(path, "snapshots/"):
		return "snapshot"
	}
	return path
}

// copy makes a folder with a bit flipped, of links but for that file.
func (f *flipped) copy(x flip) string {
	from, file, _ := strings.Cut(x.file, "/")
	to := filepath.Join(f.t.TempDir(), "data")
	root := filepath.Join(f.root, from)
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		at := filepath.Join(to, rel)
		switch {
		case e.IsDir():
			return os.MkdirAll(at, 0o700)
		case filepath.ToSlash(rel) != file:
			return os.Link(path, at)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		data[x.bit/8] ^= 1 << (x.bit % 8)
		return os.WriteFile(at, data, 0o600)
	})
	if err != nil {
		panic(err)
	}
	return to
}

// An answer is what a node said.
type answer struct {
	status int
	body   string
}

// serve starts a node on a folder and asks it everything.
func (f *flipped) serve(data string) (map[string]answer, error) {
	cfg := f.cfg
	cfg.Data = data
	n, err := node.Open(cfg)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{}}
	defer func() {
		client.CloseIdleConnections()
		cancel()
		<-ended
	}()
	all := map[string]answer{}
	for _, path := range f.paths {
		a, err := fetch(client, n, path)
		if err != nil {
			return all, err
		}
		all[path] = a
	}
	return all, nil
}

func fetch(client *http.Client, n *node.Node, path string) (a answer, err error) {
	req, err := http.NewRequest("GET", n.URL()+path, nil)
	if err != nil {
		return a, err
	}
	req.Header.Set("Authorization", "Bearer "+n.AdminToken())
	res, err := client.Do(req)
	if err != nil {
		return a, err
	}
	defer res.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(res.Body); err != nil {
		return answer{http.StatusInternalServerError, err.Error()}, nil // it broke off: no answer
	}
	return answer{res.StatusCode, body.String()}, nil
}

// try flips a bit and looks what becomes of it.
func (f *flipped) try(x flip) {
	data := f.copy(x)
	base, file, _ := strings.Cut(x.file, "/")
	fate := "refused at start"
	check := fsck.Folder{Data: data}
	found, err := check.Check(context.Background())
	named := err != nil && strings.Contains(err.Error(), filepath.Base(file))
	if err == nil {
		for i := range found.Faults {
			named = named || strings.Contains(fsck.Words(&found.Faults[i]), file) || strings.HasPrefix(found.Faults[i].Where, strings.TrimSuffix(file, filepath.Ext(file)))
		}
	}
	answers, startErr := f.serve(data)
	changed := ""
	for path, a := range answers {
		if a.status == http.StatusOK && a.body != f.golden[base][path] && !f.mayDiffer(x, path) {
			changed = path
			f.t.Errorf("bit %d of %s (%s): %s is answered with something else: %s", x.bit, x.file, x.kind, path, difference(a.body, f.golden[base][path]))
		}
	}
	why := f.harmless(x, file)
	switch {
	case named:
		fate = "named by fsck"
	case err == nil && len(found.Faults) > 0:
		fate = "found by fsck, elsewhere"
		f.t.Errorf("bit %d of %s (%s): fsck finds %+v", x.bit, x.file, x.kind, found.Faults)
	case startErr != nil:
	case why != "" && changed == "":
		fate = "harmless: " + why
	default:
		fate = "not noticed"
		f.t.Errorf("bit %d of %s (%s): nobody noticed (%v)", x.bit, x.file, x.kind, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.counts[x.kind] == nil {
		f.counts[x.kind] = map[string]int{}
	}
	f.counts[x.kind][fate]++
}

// mayDiffer names what follows from files that are not checked by anybody but who reads them.
func (f *flipped) mayDiffer(x flip, path string) bool {
	return x.kind == "log checkpoint" && path == "/log/checkpoint" // its signature does not fit any more
}

// harmless says why nobody needs to notice a bit, or nothing.
func (f *flipped) harmless(x flip, file string) string {
	switch x.kind {
	case "node.url":
		return "written again at every start"
	case "db options":
		return "notes of the library on how it was set up; the program sets it up"
	case "log partial tile", "log partial bundle":
		return f.superseded(x.file)
	case "member.key", "admin.token":
		if data, err := os.ReadFile(filepath.Join(f.root, filepath.FromSlash(x.file))); err == nil {
			bad := bytes.Clone(data)
			bad[x.bit/8] ^= 1 << (x.bit % 8)
			if strings.EqualFold(strings.TrimSpace(string(bad)), strings.TrimSpace(string(data))) {
				return "the same number in other letters or white space"
			}
		}
	}
	return ""
}

// superseded says that a partial tile is of an older checkpoint: no checkpoint needs it, and what is served is made of the latest.
func (f *flipped) superseded(file string) string {
	base, _, _ := strings.Cut(file, "/")
	raw, err := os.ReadFile(filepath.Join(f.root, base, "log", "checkpoint"))
	must(f.t, err)
	size := 0
	_, rest, _ := strings.Cut(string(raw), "\n")
	fmt.Sscan(rest, &size)
	width := filepath.Base(file)
	if width == fmt.Sprint(size%256) || strings.Contains(file, "tile/1/") && width == fmt.Sprint(size>>8%256) {
		return ""
	}
	return "of an older checkpoint, and never served"
}

func difference(a, b string) string {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	return fmt.Sprintf("…%.120q, was …%.120q", a[max(0, i-20):], b[max(0, i-20):])
}

// report prints how many bits of each kind came to what.
func (f *flipped) report(kinds []string) {
	text, err := json.MarshalIndent(f.counts, "", "  ")
	must(f.t, err)
	f.t.Logf("%d bits, seed %d:\n%s", *flips, *flipSeed, text)
	for _, k := range kinds {
		if len(f.counts[k]) == 0 && *flips >= len(kinds) {
			f.t.Errorf("no bit of a %s was flipped", k)
		}
	}
}
