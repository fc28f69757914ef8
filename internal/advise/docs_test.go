package advise

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// docs/advise.md has a row for every field of a fleet, every fleet of examples and every ledger of the catalogue.
func TestDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/advise.md")
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "|") {
			cells := strings.Split(line, "|")
			rows = append(rows, cells[1])
		}
	}
	first := strings.Join(rows, "\n")
	want := func(word string) {
		if !strings.Contains(first, word) {
			t.Errorf("docs/advise.md has no row for %s", word)
		}
	}
	for field := range reflect.TypeFor[Fleet]().Fields() {
		want("`" + field.Tag.Get("yaml") + "`")
	}
	for _, part := range []reflect.Type{reflect.TypeFor[Class](), reflect.TypeFor[Organisation](), reflect.TypeFor[Needs]()} {
		for field := range part.Fields() {
			want("`." + field.Tag.Get("yaml") + "`")
		}
	}
	files, err := filepath.Glob(filepath.Join(examples, "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if name := filepath.Base(file); name != "expected.yaml" {
			want("../examples/fleets/" + name)
		}
	}
	for _, l := range shippedCatalogue(t).Ledgers {
		name, _, _ := strings.Cut(l.Name, " (")
		want(name)
	}
}
