package triage

import (
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestLn: our logarithm is math's within a few units of the last place, over all magnitudes, and exact at 1.
func TestLn(t *testing.T) {
	t.Parallel()
	if got := ln(1); got != 0 {
		t.Errorf("ln 1 = %v", got)
	}
	random := rand.New(rand.NewPCG(1, 1))
	for range 100_000 {
		x := math.Exp(1400*random.Float64() - 700)
		if random.IntN(2) == 0 {
			x = 1 + random.Float64() - 0.5
		}
		if got, want := ln(x), math.Log(x); math.Abs(got-want) > 1e-15*max(1, math.Abs(want)) {
			t.Fatalf("ln(%v) = %v, want %v", x, got, want)
		}
	}
}

// TestSpread: the sample stays sorted, and its bounds are those of all values within two of a hundred of them.
func TestSpread(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(2, 2))
	for _, n := range []int{1, 2, 50, 255, 256, 257, 1000, 20_000} {
		var q spread
		var all []float64
		for range n {
			x := random.NormFloat64()
			q.add(x)
			all = append(all, x)
		}
		if !slices.IsSorted(q.sorted) {
			t.Fatalf("of %d the sample is not sorted", n)
		}
		slices.Sort(all)
		low, high := q.low, q.high
		below, _ := slices.BinarySearch(all, low)
		above, _ := slices.BinarySearch(all, high)
		if below > n/50+n/40 || above < n-1-n/50-n/40 {
			t.Errorf("of %d values, %d are below and %d above the bounds", n, below, n-1-above)
		}
		if n <= sampleSize && !slices.Equal(all, q.sorted) {
			t.Errorf("of %d values the sample has others", n)
		}
	}
}

// TestNothingIsFused: every product of floats that is not a constant stands in float64(…), so that no compiler may fuse it with a sum
// (Go specification, "Floating-point operators"); and of package math nothing is called that is not exact everywhere. Here and in packages plausible, joint, behave, compact and forecast.
func TestNothingIsFused(t *testing.T) {
	t.Parallel()
	for dir, least := range map[string]int{".": 10, "plausible": 3, "joint": 25, "behave": 5, "../compact": 5, "../forecast": 30} {
		t.Run(dir, func(t *testing.T) { t.Parallel(); nothingIsFused(t, dir, least) })
	}
}

// exact are the functions of math that are exact everywhere.
var exact = []string{"Abs", "Sqrt", "Frexp", "Round", "Nextafter32", "Float64bits", "Float64frombits", "Float32bits", "Float32frombits"}

func nothingIsFused(t *testing.T, dir string, least int) {
	fset := token.NewFileSet()
	sources, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, name := range sources {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}}
	config := types.Config{Importer: onlyMath{importer.ForCompiler(fset, "source", nil)}, Error: func(error) {}}
	_, _ = config.Check(dir, fset, files, info) // other packages are not known
	float := func(e ast.Expr) bool {
		typed := info.Types[e]
		if typed.Type == nil {
			return true // it hangs on another package: say float64 to be sure
		}
		basic, ok := typed.Type.Underlying().(*types.Basic)
		return ok && basic.Info()&types.IsFloat != 0 && typed.Value == nil
	}
	products, rounded := 0, map[ast.Expr]bool{}
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				if name, ok := n.Fun.(*ast.Ident); ok && name.Name == "float64" {
					rounded[n.Args[0]] = true
				}
				if sel, ok := n.Fun.(*ast.SelectorExpr); ok {
					if pkg, ok := sel.X.(*ast.Ident); ok && pkg.Name == "math" && !slices.Contains(exact, sel.Sel.Name) {
						t.Errorf("%s: math.%s may differ between machines", fset.Position(n.Pos()), sel.Sel.Name)
					}
				}
			case *ast.BinaryExpr:
				if n.Op == token.MUL && float(n) {
					products++
					if !rounded[n] {
						t.Errorf("%s: a product that may be fused", fset.Position(n.Pos()))
					}
				}
			case *ast.AssignStmt:
				if n.Tok == token.MUL_ASSIGN && float(n.Lhs[0]) {
					t.Errorf("%s: a product that may be fused", fset.Position(n.Pos()))
				}
			}
			return true
		})
	}
	if products < least {
		t.Errorf("only %d products found: the search is broken", products)
	}
}

// onlyMath knows no other package than math: reading the others takes long.
type onlyMath struct{ types.Importer }

func (m onlyMath) Import(path string) (*types.Package, error) {
	switch path {
	case "math":
		return m.Importer.Import(path)
	case "unsafe":
		return types.Unsafe, nil
	}
	p := types.NewPackage(path, path[strings.LastIndex(path, "/")+1:])
	p.MarkComplete()
	return p, nil
}
