package lamppost_test

import (
	"encoding/hex"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
)

// docs/formats.md is what other implementations are written from. These tests hold it to the code.

func formats(t *testing.T) string {
	t.Helper()
	return string(want(os.ReadFile("docs/formats.md"))(t))
}

// constants returns the constants of a file whose values are literals, by name.
func constants(t *testing.T, file string) map[string]string {
	t.Helper()
	fset := token.NewFileSet()
	tree := want(parser.ParseFile(fset, file, nil, 0))(t)
	found := map[string]string{}
	for _, decl := range tree.Decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok || gen.Tok != token.CONST {
			continue
		}
		for _, spec := range gen.Specs {
			v := spec.(*ast.ValueSpec)
			for i := range v.Values {
				tv, err := types.Eval(fset, nil, token.NoPos, types.ExprString(v.Values[i]))
				if err == nil && tv.Value != nil {
					found[v.Names[i].Name] = tv.Value.ExactString()
				}
			}
		}
	}
	return found
}

// Every limit stands in the table of limits with its value.
func TestLimitsDocumented(t *testing.T) {
	t.Parallel()
	doc, n := formats(t), 0
	for _, file := range []string{"limits.go", "checkpoint.go", "decimal.go"} {
		for name, value := range constants(t, file) {
			if !ast.IsExported(name) || name == "MicroUnit" {
				continue
			}
			n++
			if row := fmt.Sprintf("| `%s` | %s |", name, value); !strings.Contains(doc, row) {
				t.Errorf("docs/formats.md has no row %q", row)
			}
		}
	}
	if n < 20 {
		t.Errorf("only %d limits were found in the code: the search is broken", n)
	}
}

// Every domain byte stands in the table of commitments.
func TestDomainsDocumented(t *testing.T) {
	t.Parallel()
	doc, n := formats(t), 0
	for name, value := range constants(t, "segment.go") {
		if !strings.HasPrefix(name, "domain") {
			continue
		}
		n++
		var b int
		if _, err := fmt.Sscan(value, &b); err != nil {
			t.Fatal(err)
		}
		if row := fmt.Sprintf("| `0x%02x` |", b); strings.Count(doc, row) != 1 {
			t.Errorf("docs/formats.md has %d rows %q for %s", strings.Count(doc, row), row, name)
		}
	}
	if n < 9 {
		t.Errorf("only %d domain bytes were found in the code: the search is broken", n)
	}
}

func TestNamesDocumented(t *testing.T) {
	t.Parallel()
	doc := formats(t)
	for i, name := range lamppost.CodeNames() {
		if row := fmt.Sprintf("| %d | `%s` |", i, name); !strings.Contains(doc, row) {
			t.Errorf("docs/formats.md has no row %q", row)
		}
	}
	if next := lamppost.Code(len(lamppost.CodeNames())); !strings.HasPrefix(next.String(), "code_") {
		t.Errorf("%v is missing in CodeNames", next)
	}
	for i := range lamppost.TxUnreadable {
		if i.String() == "unknown" {
			continue // numbers between are others'
		}
		if row := fmt.Sprintf("| %d | `%s` |", i, i); !strings.Contains(doc, row) {
			t.Errorf("docs/formats.md has no row %q", row)
		}
	}
	for c := lamppost.Essential; c <= lamppost.Ordinary; c++ {
		if text := fmt.Sprintf("%d `%s`", c, c); !strings.Contains(doc, text) {
			t.Errorf("docs/formats.md has no %q", text)
		}
	}
	for a := lamppost.DeviceSigned; a <= lamppost.Unsigned; a++ {
		if row := fmt.Sprintf("| %d | `%s` |", a, a); !strings.Contains(doc, row) {
			t.Errorf("docs/formats.md has no row %q", row)
		}
		if again, err := lamppost.ParseAssurance(a.String()); err != nil || again != a {
			t.Errorf("%s is read as %s, %v", a, again, err)
		}
	}
	for p := lamppost.VerifyFull; p <= lamppost.VerifyGateway; p++ {
		if text := fmt.Sprintf("%d `%s`", p, p); !strings.Contains(doc, text) {
			t.Errorf("docs/formats.md has no %q", text)
		}
		if again, err := lamppost.ParsePolicy(p.String()); err != nil || again != p {
			t.Errorf("%s is read as %s, %v", p, again, err)
		}
	}
	for _, p := range []lamppost.Purpose{lamppost.PurposeReport, lamppost.PurposeSegment, lamppost.PurposeTx,
		lamppost.PurposeDeviceKey, lamppost.PurposeGatewayKey, lamppost.PurposeCharter, lamppost.PurposeAgreed, lamppost.PurposeLearn} {
		if text := fmt.Sprintf("`%q`", p); !strings.Contains(doc, text) {
			t.Errorf("docs/formats.md has no %q", text)
		}
	}
}

// Every field of every body stands in a table with its key, and no table has a field that is not there.
func TestFieldsDocumented(t *testing.T) {
	t.Parallel()
	doc := formats(t)
	for heading, place := range map[string][2]string{
		"### genesis": {"network.go", "GenesisBody"}, "| key | member field |": {"network.go", "Member"},
		"| key | network field |": {"network.go", "NetworkBody"}, "### party": {"body.go", "PartyBody"},
		"### device": {"body.go", "DeviceBody"}, "### point": {"body.go", "PointBody"}, "### tariff": {"tariff/tariff.go", "Tariff"},
		"### agreement": {"body.go", "AgreementBody"}, "### invoice": {"body.go", "InvoiceBody"}, "### transfer": {"body.go", "TransferBody"},
		"### gateway": {"body.go", "GatewayBody"}, "### revoke": {"body.go", "RevokeBody"},
		"### retention": {"body.go", "RetentionBody"}, "### hold": {"body.go", "HoldBody"}, "### erase\n": {"body.go", "EraseBody"},
		"### erased": {"body.go", "ErasedBody"},
		"### fraud":  {"fraud.go", "FraudBody"}, "| key | correction field |": {"fraud.go", "Correction"},
		"| key | evidence field |": {"block.go", "Evidence"},
		"### snapshot":             {"body.go", "SnapshotBody"},
		"### reading":              {"commerce.go", "ReadingBody"}, "### correct\n": {"commerce.go", "CorrectBody"},
		"### dispute": {"commerce.go", "DisputeBody"}, "### session\n": {"commerce.go", "SessionBody"},
		"### charter\n": {"charter.go", "CharterBody"}, "| key | charter field |": {"charter.go", "Charter"},
		"| key | charter key field |": {"charter.go", "CharterKey"}, "| key | function field |": {"charter.go", "Function"},
		"### restrict\n": {"charter.go", "RestrictBody"},
		"### desire\n":   {"desire.go", "DesireBody"}, "| key | setpoint field |": {"desire.go", "Setpoint"},
		"### agent\n": {"decision.go", "AgentBody"}, "### decisions\n": {"decision.go", "DecisionsBody"}, "| key | decision field |": {"decision.go", "Decision"},
		"| key | outcome field |": {"decision.go", "DecisionOutcome"}, "### learn\n": {"decision.go", "LearnBody"},
		"### settle": {"commerce.go", "SettleBody"}, "### convert": {"commerce.go", "ConvertBody"}, "### credit": {"commerce.go", "CreditBody"},
		"### contract\n": {"contracts.go", "ContractBody"}, "### call\n": {"contracts.go", "CallBody"},
		"| key | run field |": {"run.go", "Run"}, "| key | event field |": {"run.go", "RunEvent"},
	} {
		if got, want := tableFields(doc, heading), structFields(t, place[0], place[1]); got != want || want == "" {
			t.Errorf("docs/formats.md, %s: fields\n%s\nthe code has\n%s", heading, got, want)
		}
	}
}

var fieldRow = regexp.MustCompile("(?m)^\\| (\\d+) \\| `(\\w+)` \\| ([^|]*) \\|")

// tableFields lists "key name" of the first table after a heading, with "opt" where a field may be left out.
func tableFields(doc, heading string) string {
	_, doc, _ = strings.Cut(doc, heading)
	if i := strings.Index(doc, "\n| 1 |"); i >= 0 {
		doc = doc[i+1:]
	}
	table, _, _ := strings.Cut(doc, "\n\n")
	var fields []string
	for _, m := range fieldRow.FindAllStringSubmatch(table, -1) {
		fields = append(fields, describeField(m[1], m[2], strings.HasSuffix(m[3], ", opt")))
	}
	return strings.Join(fields, "; ")
}

// structFields lists the same of a struct's tags.
func structFields(t *testing.T, file, name string) string {
	t.Helper()
	var fields []string
	ast.Inspect(want(parser.ParseFile(token.NewFileSet(), file, nil, 0))(t), func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok || spec.Name.Name != name {
			return true
		}
		for _, f := range spec.Type.(*ast.StructType).Fields.List {
			tag := reflect.StructTag(strings.Trim(f.Tag.Value, "`"))
			key, options, _ := strings.Cut(tag.Get("cbor"), ",")
			if key == "-" {
				continue
			}
			name, _, _ := strings.Cut(tag.Get("json"), ",")
			if name == "" || name == "-" {
				name = strings.ToLower(f.Names[0].Name)
			}
			fields = append(fields, describeField(key, name, strings.Contains(options, "omit")))
		}
		return false
	})
	return strings.Join(fields, "; ")
}

func describeField(key, name string, optional bool) string {
	if optional {
		return key + " " + name + " opt"
	}
	return key + " " + name
}

var spacedHex = regexp.MustCompile(`^ *((?:[0-9a-f]{2}|[0-9a-f ])+?)(?:   .*)?$`)

// The example of docs/formats.md is the vector it says it is.
func TestExampleDocumented(t *testing.T) {
	t.Parallel()
	_, rest, _ := strings.Cut(formats(t), "### An example, byte by byte")
	_, rest, _ = strings.Cut(rest, "```\n")
	block, _, _ := strings.Cut(rest, "```")
	var digits strings.Builder
	for line := range strings.Lines(block) {
		m := spacedHex.FindStringSubmatch(strings.TrimRight(line, "\n"))
		if m == nil {
			t.Fatalf("line %q of the example is not hexadecimal and words", line)
		}
		digits.WriteString(strings.ReplaceAll(m[1], " ", ""))
	}
	for _, v := range parseVectors(t, "testdata/vectors/report.txt") {
		if v.name == "one reading, ed25519" {
			if got := digits.String(); got != hex.EncodeToString(v.raw) {
				t.Errorf("the example is\n%s\nthe vector\n%x", got, v.raw)
			}
			return
		}
	}
	t.Error("the vector of the example is gone")
}
