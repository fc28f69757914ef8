package agent

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// TestIntegersAlone: nothing but Round, which makes points of forecasts before inputs are fixed, knows a float.
func TestIntegersAlone(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	rounds := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			fn, isFunc := d.(*ast.FuncDecl)
			ast.Inspect(d, func(n ast.Node) bool {
				id, ok := n.(*ast.Ident)
				lit, isLit := n.(*ast.BasicLit)
				if !(ok && strings.HasPrefix(id.Name, "float") || isLit && lit.Kind == token.FLOAT) {
					return true
				}
				if isFunc && fn.Name.Name == "Round" {
					rounds++
				} else {
					t.Errorf("%s knows a float", name)
				}
				return true
			})
		}
	}
	if rounds == 0 {
		t.Error("no float in Round: the search is broken")
	}
}
