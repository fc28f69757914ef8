package lamppost_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/lamppost/lamppost"

// uses says which packages of this project a package may import, by folder. A package that is not here fails the test.
// Tests of internal packages and of programs may import anything of the project; tests of public packages only what
// stands here and in testUses.
//
// Before adding a line, ask what the package knows about and whether it now knows too much. A public package never
// imports an internal one; the ledger knows no engine, network or disk; node alone knows everybody.
var uses = map[string]string{
	".":                    "sig",
	"sig":                  "",
	"tariff":               ".",
	"ocmf":                 ".",
	"contract":             ".",
	"guard":                ".",
	"device":               ". audit guard sig",
	"device/c/ctest":       "",
	"device/devicemqtt":    ". device",
	"audit":                ". ocmf sig tariff",
	"voucher":              ". device sig",
	"examples/device-http": ". device sig",
	"examples/device-mqtt": ". device device/devicemqtt sig",
	"examples/fleets":      "",
	"examples/paid-reader": ". voucher",

	"internal/transcript":              "",
	"internal/kv":                      "",
	"internal/kv/kvtest":               "internal/kv",
	"internal/kv/pebble":               "internal/kv",
	"internal/archive":                 ". internal/compact internal/kv",
	"internal/archive/dir":             "",
	"internal/tilelog":                 ". internal/kv",
	"internal/ledger":                  ". contract ocmf sig tariff internal/kv",
	"internal/ledger/ledgertest":       ". contract ocmf sig tariff",
	"internal/consensus":               ".",
	"internal/consensus/consensustest": ". internal/consensus",
	"internal/consensus/solo":          ". internal/consensus",
	"internal/consensus/raft":          ". internal/consensus",
	"internal/consensus/comet":         ". internal/consensus",
	"internal/replica":                 ". audit sig tariff internal/archive internal/consensus internal/kv internal/ledger internal/snapshot internal/tilelog",
	"internal/challenge":               ". internal/archive internal/kv internal/ledger internal/replica",
	"internal/snapshot":                ". internal/kv",
	"internal/snapshot/dir":            ".",
	"internal/folder":                  "internal/kv",
	"internal/fsck": ". audit sig internal/archive internal/archive/dir internal/folder internal/kv internal/kv/pebble internal/ledger internal/replica " +
		"internal/snapshot/dir internal/tilelog",
	"internal/network": ". sig",
	"internal/export":  ". internal/archive internal/ledger internal/replica",
	"internal/backup":  ". internal/folder internal/kv internal/tilelog",
	"internal/scrub":   ". internal/archive internal/kv internal/snapshot internal/snapshot/dir internal/tilelog",
	"internal/restore": ". audit sig internal/api internal/archive internal/archive/dir internal/backup internal/folder internal/kv internal/kv/pebble internal/ledger " +
		"internal/notify internal/replica internal/snapshot internal/snapshot/dir internal/tilelog",
	"internal/recheck":                   ". sig internal/archive internal/replica internal/tilelog",
	"internal/ingest":                    ". sig internal/consensus internal/kv",
	"internal/ingest/brokerd":            ". internal/ingest",
	"internal/ingest/brokerd/brokertest": "",
	"internal/ingest/mapping":            ". internal/ingest",
	"internal/ingest/mqttd":              ". internal/ingest",
	"internal/ingest/httpd":              ". guard sig internal/ingest",
	"internal/api": ". audit contract guard ocmf sig tariff internal/archive internal/books internal/consensus internal/export internal/federate internal/kv internal/ledger internal/notify internal/outlook internal/provider internal/render internal/replica " +
		"internal/sepa internal/shadow internal/snapshot/dir internal/tilelog voucher",
	"internal/outlook":               ". tariff internal/archive internal/ledger",
	"internal/render":                ". audit tariff internal/outlook internal/sepa",
	"internal/sepa":                  ".",
	"internal/books":                 ". tariff internal/archive internal/ledger internal/replica",
	"internal/notify":                ". internal/kv internal/ledger internal/render",
	"internal/provider":              ". tariff internal/books",
	"internal/books/bookstest":       ". internal/ledger",
	"internal/shadow":                ".",
	"internal/masterdata":            ". tariff internal/api",
	"internal/dashboard":             "",
	"internal/dashboard/browsertest": "",
	"internal/checkpage":             "audit internal/dashboard",
	"internal/checkpage/wasm":        "audit",
	"internal/node": ". audit guard sig internal/advise internal/api internal/archive internal/archive/dir internal/backup internal/challenge internal/consensus internal/consensus/comet internal/consensus/raft internal/consensus/solo internal/cosign " +
		"internal/checkpage internal/compact internal/dashboard internal/federate internal/folder internal/forecast internal/ingest internal/ingest/brokerd internal/ingest/httpd internal/ingest/mapping internal/ingest/mqttd internal/judge internal/kv " +
		"internal/kv/pebble internal/ledger internal/network internal/notify internal/pilot internal/provider internal/render internal/replica internal/scrub internal/snapshot internal/snapshot/dir internal/tilelog internal/triage/behave internal/triage",
	"internal/gateway": ". guard sig internal/consensus internal/folder internal/ingest internal/ingest/httpd internal/ingest/mqttd internal/kv internal/kv/pebble",
	"internal/cosign":  ". internal/tilelog internal/witness",
	"internal/witness": ". internal/dashboard internal/kv internal/kv/pebble internal/tilelog",
	"internal/sim": ". audit sig internal/archive internal/consensus internal/consensus/solo internal/ingest internal/kv " +
		"internal/ledger internal/ledger/ledgertest internal/replica internal/tilelog",
	"internal/triage":            ". internal/triage/saved",
	"internal/triage/saved":      "",
	"internal/triage/plausible":  ". internal/triage/saved",
	"internal/triage/behave":     ". internal/triage internal/triage/saved",
	"internal/triage/joint":      ". internal/triage internal/triage/saved",
	"internal/triage/triagetest": ". internal/triage",
	"internal/compact":           ".",
	"internal/judge":             ". internal/compact internal/kv internal/triage internal/triage/joint internal/triage/plausible",
	"internal/agent":             ".",
	"internal/forecast":          ". tariff internal/triage/saved",
	"internal/federate":          ". internal/forecast",
	"internal/pilot":             ". tariff internal/agent internal/forecast internal/kv internal/ledger",
	"internal/demo":              ". audit guard device device/devicemqtt sig tariff internal/agent internal/api internal/consensus internal/forecast internal/node internal/pilot",
	"internal/demo/data/gen":     "",
	"internal/measure":           ". audit device sig tariff internal/agent internal/archive internal/archive/dir internal/compact internal/explore internal/export internal/federate internal/folder internal/forecast internal/kv internal/kv/pebble internal/node internal/replica internal/tilelog internal/triage internal/triage/joint internal/triage/behave internal/triage/plausible",
	"internal/explore":           ". sig internal/folder",
	"internal/advise":            ". sig examples/fleets internal/explore",
	"internal/cli": ". audit contract device guard sig tariff internal/agent internal/api internal/pilot internal/archive internal/archive/dir internal/backup internal/books internal/checkpage internal/advise internal/demo internal/explore internal/export internal/federate internal/folder internal/fsck internal/gateway " +
		"internal/judge internal/kv/pebble internal/masterdata internal/measure internal/network internal/node internal/outlook internal/recheck internal/render internal/replica internal/restore internal/sepa internal/shadow internal/sim internal/tilelog internal/triage/behave internal/witness voucher",
	"cmd/lamppost": "internal/cli",
}

// testUses is what tests of public packages may import beyond uses.
var testUses = map[string]string{
	"audit":             "contract",
	"contract":          "internal/transcript",
	"device/c":          ". device/c/ctest guard sig",
	"guard":             "device/c/ctest internal/transcript sig",
	"device/devicemqtt": "sig",
	"tariff":            "internal/transcript",
}

// library says which packages may import a module from elsewhere: one owner each where it can be, so that replacing
// it is work in one place. A module that is not here fails the test; docs/decisions/0003-dependencies.md needs a line too.
var library = map[string]struct{ code, tests string }{
	"codeberg.org/go-pdf/fpdf":                {code: "internal/render"},
	"filippo.io/edwards25519":                 {tests: "sig"},
	"filippo.io/nistec":                       {code: "sig"},
	"github.com/anishathalye/porcupine":       {tests: "cmd/lamppost"},
	"github.com/chromedp/chromedp":            {code: "internal/dashboard/browsertest", tests: "internal/checkpage internal/dashboard"},
	"github.com/chromedp/cdproto":             {code: "internal/dashboard/browsertest", tests: "internal/checkpage internal/dashboard"},
	"github.com/cockroachdb/pebble/v2":        {code: "internal/kv/pebble"},
	"github.com/cometbft/cometbft":            {code: "internal/consensus/comet"},
	"github.com/cometbft/cometbft-db":         {code: "internal/consensus/comet"},
	"github.com/eclipse/paho.golang":          {code: "device/devicemqtt internal/ingest/brokerd", tests: "internal/ingest/mqttd internal/node cmd/lamppost"},
	"github.com/eclipse/paho.mqtt.golang":     {tests: "device/devicemqtt internal/ingest/mqttd internal/node"},
	"github.com/fxamacker/cbor/v2":            {code: "."},
	"github.com/goccy/go-yaml":                {code: "internal/advise internal/explore internal/node internal/ingest/mapping internal/network"},
	"github.com/klauspost/compress":           {code: "internal/archive internal/backup internal/judge internal/pilot internal/snapshot", tests: "internal/backup"},
	"github.com/hashicorp/go-hclog":           {code: "internal/consensus/raft"},
	"github.com/hashicorp/raft":               {code: "internal/consensus/raft"},
	"github.com/hashicorp/raft-wal":           {code: "internal/consensus/raft"},
	"github.com/mochi-mqtt/server/v2":         {code: "internal/ingest/mqttd", tests: "device/devicemqtt"},
	"github.com/oasisprotocol/curve25519-voi": {code: "sig"},
	"github.com/parquet-go/parquet-go":        {code: "internal/export", tests: "internal/api"},
	"github.com/prometheus/client_golang":     {code: "internal/ingest internal/ingest/mqttd internal/ingest/httpd internal/ingest/brokerd internal/node"},
	"github.com/prometheus/client_model":      {tests: "internal/ingest internal/ingest/mqttd internal/ingest/httpd internal/ingest/brokerd internal/node"},
	"github.com/rogpeppe/go-internal":         {tests: "cmd/lamppost internal/cli"},
	"github.com/spf13/cobra":                  {code: "internal/cli"},
	"github.com/veraison/go-cose":             {tests: "."},
	"github.com/x448/float16":                 {code: "."},
	"go.starlark.net":                         {code: "contract", tests: "contract"},
	"golang.org/x/image":                      {code: "internal/render"},
	"golang.org/x/mod":                        {code: ". audit internal/api internal/cli internal/cosign internal/measure internal/node internal/sim internal/tilelog internal/witness", tests: "cmd/lamppost internal/checkpage internal/dashboard internal/recheck internal/replica"},
	"golang.org/x/sys":                        {code: "internal/tilelog"},
	"golang.org/x/text":                       {code: "internal/render internal/sepa"},
	"pgregory.net/rapid":                      {code: "internal/kv/kvtest", tests: everywhere},
}

const everywhere = "*"

// never says what of the standard library a package must not import, because replicas or auditors would disagree if it
// asked a clock, a network, a disk or a die. except names the file where the rule does not hold.
var never = map[string]struct{ std, except string }{
	".":                         {std: "time net os math/rand crypto/rand"},
	"sig":                       {std: "time net os math/rand"},
	"tariff":                    {std: "time net os math/rand crypto/rand", except: "zoneof.go"}, // makes a zone's data, before it is signed
	"ocmf":                      {std: "time net os math/rand crypto/rand"},
	"guard":                     {std: "net os math/rand crypto/rand"}, // the clock is given to it
	"contract":                  {std: "time net os math/rand crypto/rand"},
	"internal/ledger":           {std: "time net os math/rand crypto/rand"},
	"internal/archive":          {std: "time net os math/rand crypto/rand"},
	"internal/consensus":        {std: "time net os math/rand"},
	"internal/consensus/solo":   {std: "net os math/rand"},
	"internal/triage":           {std: "time net os math/rand crypto/rand"},
	"internal/triage/plausible": {std: "time net os math/rand crypto/rand"},
	"internal/triage/behave":    {std: "time net os math/rand crypto/rand"},
	"internal/triage/joint":     {std: "time net os math/rand crypto/rand"},
	"internal/compact":          {std: "time net os math/rand crypto/rand"},
	"internal/forecast":         {std: "time net os math/rand crypto/rand"},
	"internal/federate":         {std: "time net os math/rand crypto/rand"},
}

// A source is a Go file with what it imports.
type source struct {
	path, dir string
	pkg       string // the package's name
	test      bool
	imports   []string
	doc       string // the package comment, if it stands in this file
	lines     int
}

// sources reads the head of every Go file of this module, whatever its build tags.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		switch name := d.Name(); {
		case err != nil:
			return err
		case d.IsDir() && file != "." && (name == "testdata" || strings.HasPrefix(name, ".") || isModule(file)):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go"):
			return nil
		}
		s, err := readSource(file)
		all = append(all, s)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func isModule(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

func readSource(file string) (source, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return source{}, err
	}
	f, err := parser.ParseFile(token.NewFileSet(), file, text, parser.ImportsOnly|parser.ParseComments)
	if err != nil {
		return source{}, err
	}
	slash := filepath.ToSlash(file)
	s := source{path: slash, dir: path.Dir(slash), pkg: f.Name.Name, test: strings.HasSuffix(file, "_test.go"), doc: f.Doc.Text(),
		lines: strings.Count(string(text), "\n")}
	for _, imp := range f.Imports {
		s.imports = append(s.imports, strings.Trim(imp.Path.Value, `"`))
	}
	return s, nil
}

// TestImports protects the layout: who may know whom, and which library has which owner.
func TestImports(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		if _, known := uses[s.dir]; !known && !s.test {
			t.Errorf("%s: package %q is not in the table of %q: say there what it may import", s.path, s.dir, "deps_test.go")
			continue
		}
		for _, imp := range s.imports {
			if why := forbidden(s, imp); why != "" {
				t.Errorf("%s imports %q: %s. Is there a way without it? If not, think about who should own it before changing the "+
					"tables in deps_test.go", s.path, imp, why)
			}
		}
	}
}

// forbidden says why a file may not import a package, or nothing.
func forbidden(s source, imp string) string {
	folder, inProject := strings.CutPrefix(imp, module+"/")
	switch {
	case inProject:
		return forbiddenFolder(s, folder)
	case imp == module:
		return forbiddenFolder(s, ".")
	case strings.Contains(strings.SplitN(imp, "/", 2)[0], "."):
		return forbiddenLibrary(s, imp)
	default:
		return forbiddenStd(s, imp)
	}
}

func forbiddenFolder(s source, folder string) string {
	if listed(uses[s.dir], folder) || s.test && (folder == s.dir || !public(s.dir) || listed(testUses[s.dir], folder)) {
		return ""
	}
	return "the table does not let this package know that one"
}

func forbiddenLibrary(s source, imp string) string {
	for mod, who := range library {
		if imp != mod && !strings.HasPrefix(imp, mod+"/") {
			continue
		}
		if listed(who.code, s.dir) || s.test && (who.tests == everywhere || listed(who.tests, s.dir)) {
			return ""
		}
		return "this library belongs to others: " + strings.TrimSpace(who.code+" (tests: "+who.tests+")")
	}
	return "a library that nobody decided to use"
}

func forbiddenStd(s source, imp string) string {
	rule := never[s.dir]
	if s.test || path.Base(s.path) == rule.except {
		return ""
	}
	for _, std := range strings.Fields(rule.std) {
		if imp == std || strings.HasPrefix(imp, std+"/") {
			return "this package must give the same answer everywhere and always"
		}
	}
	return ""
}

func listed(list, name string) bool { return slices.Contains(strings.Fields(list), name) }

func public(dir string) bool {
	return !strings.HasPrefix(dir, "internal/") && !strings.HasPrefix(dir, "cmd/") && !strings.HasPrefix(dir, "examples/")
}

// TestSmallBuild protects the gateways' small program: what imports CometBFT or a writer of Parquet is left out of it.
func TestSmallBuild(t *testing.T) {
	t.Parallel()
	for _, large := range [...]string{"github.com/cometbft/", "github.com/parquet-go/"} {
		found := false
		for _, s := range sources(t) {
			if s.test || !slices.ContainsFunc(s.imports, func(imp string) bool { return strings.HasPrefix(imp, large) }) {
				continue
			}
			found = true
			if text, err := os.ReadFile(s.path); err != nil || !strings.HasPrefix(string(text), "//go:build !small\n") {
				t.Errorf("%s imports %s and does not begin with %q (%v)", s.path, large, "//go:build !small", err)
			}
		}
		if !found {
			t.Errorf("nothing imports %s: is the search broken?", large)
		}
	}
}

// TestForbidden protects the check itself: it must be able to say no.
func TestForbidden(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		file, imports string
		ok            bool
	}{
		{"internal/ledger/money.go", "time", false},
		{"internal/ledger/money.go", "math/rand/v2", false},
		{"internal/ledger/money.go", module + "/internal/consensus", false},
		{"internal/ledger/money.go", module + "/tariff", true},
		{"internal/ledger/money_test.go", "time", true},
		{"tariff/price.go", "time", false},
		{"tariff/zoneof.go", "time", true},
		{"sig/sig.go", "filippo.io/edwards25519", false},
		{"sig/sig_test.go", "filippo.io/edwards25519", true},
		{"sig/sig.go", module, false},
		{"audit/audit.go", module + "/internal/kv", false},
		{"audit/audit_test.go", module + "/internal/kv", false},
		{"internal/node/node.go", "github.com/cockroachdb/pebble/v2", false},
		{"internal/node/node.go", module + "/internal/kv/pebble", true},
		{"internal/api/api.go", "github.com/spf13/cobra", false},
		{"internal/api/api.go", "github.com/nobody/anything", false},
		{"internal/dashboard/dashboard.go", "github.com/chromedp/chromedp", false},
		{"internal/dashboard/dashboard_test.go", "github.com/chromedp/chromedp", true},
		{"internal/consensus/solo/solo.go", "github.com/cometbft/cometbft/abci/types", false},
	} {
		s := source{path: c.file, dir: path.Dir(c.file), test: strings.HasSuffix(c.file, "_test.go")}
		if why := forbidden(s, c.imports); (why == "") != c.ok {
			t.Errorf("%s imports %q: allowed %v, want %v (%s)", c.file, c.imports, why == "", c.ok, why)
		}
	}
}

// TestPublicPackagesStandAlone protects the tables themselves: whoever links a public package links nothing internal.
func TestPublicPackagesStandAlone(t *testing.T) {
	t.Parallel()
	for dir, list := range uses {
		inside := strings.HasPrefix(dir, "internal/") || strings.HasPrefix(dir, "cmd/")
		for _, used := range strings.Fields(list) {
			if !inside && strings.HasPrefix(used, "internal/") {
				t.Errorf("the table lets %q, which others link, import %q", dir, used)
			}
		}
	}
}

// TestLibrariesAreDecided protects the record of dependencies: every library in use has a line that says why.
func TestLibrariesAreDecided(t *testing.T) {
	t.Parallel()
	record, err := os.ReadFile("docs/decisions/0003-dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	for mod := range library {
		if !strings.Contains(string(record), mod) {
			t.Errorf("docs/decisions/0003-dependencies.md does not say why %q is used", mod)
		}
	}
}

// TestPackagesAreDescribed protects the reader: every package says what it knows about, every program what it does.
func TestPackagesAreDescribed(t *testing.T) {
	t.Parallel()
	described := map[string]bool{}
	for _, s := range sources(t) {
		if !s.test {
			described[s.dir] = described[s.dir] || strings.HasPrefix(s.doc, "Package "+s.pkg+" ") || s.pkg == "main" && s.doc != ""
		}
	}
	for dir, ok := range described {
		if !ok {
			t.Errorf("package %q has no comment that begins with %q and its name", dir, "Package")
		}
	}
}

// TestMainIsShort protects the rule that the program's main does nothing by itself.
func TestMainIsShort(t *testing.T) {
	t.Parallel()
	const limit = 100
	for _, s := range sources(t) {
		if s.path == "cmd/lamppost/main.go" {
			if s.lines > limit {
				t.Errorf("%s has %d lines, more than %d: move work to internal/cli", s.path, s.lines, limit)
			}
			return
		}
	}
	t.Error("there is no cmd/lamppost/main.go")
}
