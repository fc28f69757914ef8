package contract_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"github.com/lamppost/lamppost/contract"
)

// Goal: what runs here means what Starlark says. Method: programs that use nothing but the language are run by the Starlark project's own
// interpreter, too; whatever this package computes, that one computes.
func TestAgainstStarlark(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/language/*.star")
	if err != nil || len(files) == 0 {
		t.Fatalf("found no programs (%v)", err)
	}
	for _, path := range files {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		checkMeaning(t, path, string(raw), true)
	}
	_, all := hostile(t)
	for _, a := range all {
		checkMeaning(t, a.name, a.program(), false)
	}
}

// checkMeaning runs split(event, state) of a source by both. must says that it has to work here.
func checkMeaning(t *testing.T, name, source string, must bool) {
	if strings.Contains(source, "share(") || strings.Contains(source, "divide(") {
		return // which Starlark does not have
	}
	p, err := contract.Check(source, contract.At(1))
	if err != nil {
		if must {
			t.Errorf("%s: %v", name, err)
		}
		return
	}
	res, _, f := p.Run(&contract.Event{Name: contract.Split}, nil, nil)
	if f != nil {
		if must {
			t.Errorf("%s: %v", name, f)
		}
		return
	}
	state := new(starlark.Dict)
	globals, err := starlark.ExecFileOptions(&syntax.FileOptions{}, new(starlark.Thread), name, source, starlark.StringDict{
		"pay": starlark.None, "terms": new(starlark.Dict)})
	if err == nil {
		_, err = starlark.Call(new(starlark.Thread), globals["split"], starlark.Tuple{new(starlark.Dict), state}, nil)
	}
	if err != nil {
		t.Errorf("%s: it works here, and in Starlark it is: %v", name, err)
		return
	}
	if got, want := string(res.State), asJSON(t, state); got != want {
		t.Errorf("%s:\n%s here, and in Starlark\n%s", name, got, want)
	}
}

func asJSON(t *testing.T, v starlark.Value) string {
	switch v := v.(type) {
	case starlark.NoneType:
		return "null"
	case starlark.Bool:
		if v {
			return "true"
		}
		return "false"
	case starlark.Int:
		return v.String()
	case starlark.String:
		return quoteJSON(string(v))
	case starlark.Indexable: // a list, or a tuple, which is kept as one
		s := "["
		for i := range v.Len() {
			if i > 0 {
				s += ","
			}
			s += asJSON(t, v.Index(i))
		}
		return s + "]"
	case *starlark.Dict:
		s := "{"
		for i, kv := range v.Items() {
			if i > 0 {
				s += ","
			}
			s += asJSON(t, kv[0]) + ":" + asJSON(t, kv[1])
		}
		return s + "}"
	}
	t.Errorf("a %s cannot be kept", v.Type())
	return ""
}

func quoteJSON(s string) string {
	const hex = "0123456789abcdef"
	out := `"`
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			out += `\` + string(c)
		case c < 0x20:
			out += `\u00` + string(hex[c>>4]) + string(hex[c&15])
		default:
			out += s[i : i+1]
		}
	}
	return out + `"`
}
