package lamppost_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// docs/architecture.md is how a newcomer finds the way. These tests hold it to the code.

var (
	link     = regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)
	function = regexp.MustCompile("\\[`(?:([A-Za-z]+)\\.)?([A-Za-z]+)`\\]\\(\\.\\./([^)]+\\.go)\\)")
)

// TestLinks protects the reader from dead ends: what the documents link to in this repository is there.
func TestLinks(t *testing.T) {
	t.Parallel()
	documents, err := filepath.Glob("docs/decisions/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, document := range append(documents, "README.md", "docs/architecture.md", "docs/export.md", "docs/statements.md", "docs/performance.md", "docs/intelligence.md", "docs/learning.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md") {
		text := string(want(os.ReadFile(document))(t))
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(document), m[1])); err != nil {
				t.Errorf("%s links to %q: %v", document, m[1], err)
			}
		}
	}
}

// TestFunctionsOfTheWay protects the path that newcomers read: each function stands in the file it is said to.
func TestFunctionsOfTheWay(t *testing.T) {
	t.Parallel()
	named := function.FindAllStringSubmatch(string(want(os.ReadFile("docs/architecture.md"))(t)), -1)
	if len(named) < 15 {
		t.Fatalf("only %d functions are named: has the table another form?", len(named))
	}
	for _, m := range named {
		receiver, name, file := m[1], m[2], m[3]
		decl := `(?m)^func ` + name + `[\[(]`
		if receiver != "" {
			decl = `(?m)^func \(\w+ \*?` + receiver + `\) ` + name + `\(`
		}
		if code := want(os.ReadFile(file))(t); !regexp.MustCompile(decl).Match(code) {
			t.Errorf("docs/architecture.md says that %s has %s; no line there matches %s", file, strings.Trim(receiver+"."+name, "."), decl)
		}
	}
}

// TestGoroutinesAreListed protects the rule that every goroutine has an owner: whoever starts one in a package that had
// none says in the table who waits for it.
func TestGoroutinesAreListed(t *testing.T) {
	t.Parallel()
	_, table, found := strings.Cut(string(want(os.ReadFile("docs/architecture.md"))(t)), "## Goroutines\n")
	table, _, _ = strings.Cut(table, "\n## ")
	if !found {
		t.Fatal("docs/architecture.md has no section on goroutines")
	}
	starts := map[string]bool{}
	for _, s := range sources(t) {
		ours := !s.test && !strings.HasPrefix(s.dir, "examples/") && !strings.HasSuffix(s.dir, "test")
		if ours && startsGoroutine(t, s.path) {
			starts[s.dir] = true
		}
	}
	for dir := range starts {
		if !strings.Contains(table, "\n| `"+dir+"` |") {
			t.Errorf("package %q starts goroutines; docs/architecture.md does not say who waits for them", dir)
		}
	}
	for _, m := range regexp.MustCompile("\n\\| `([^`]+)` \\|").FindAllStringSubmatch(table, -1) {
		if !starts[m[1]] {
			t.Errorf("docs/architecture.md lists goroutines of %q, which starts none", m[1])
		}
	}
}

// startsGoroutine looks for go statements and calls of sync.WaitGroup's Go.
func startsGoroutine(t *testing.T, file string) (found bool) {
	t.Helper()
	tree := want(parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution))(t)
	ast.Inspect(tree, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			found = true
		case *ast.CallExpr:
			called, ok := n.Fun.(*ast.SelectorExpr)
			found = found || ok && called.Sel.Name == "Go"
		}
		return !found
	})
	return found
}
