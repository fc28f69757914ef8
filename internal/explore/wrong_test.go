package explore_test

import (
	"strings"
	"testing"

	"github.com/lamppost/lamppost/internal/explore"
)

// TestPlainYAML: what is wrong with a file is said in one short line that begins with the file's line, in words for people.
func TestPlainYAML(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"seconds: 5\nrepetitions: many\n":                 `line 2: "many" is not a whole number`,
		"repetitions: 99999999999999999999\n":             "line 1: 99999999999999999999 is beyond any number",
		"\n\ngirds: []\n":                                 `line 3: unknown field "girds"`,
		strings.Repeat("a", 300_000):                      "line 1: \"aaaa",
		"a: [b\n":                                         "line 1: ",
		"seconds: fast # " + strings.Repeat("x", 200_000): `line 1: "fast" is not a number`,
	} {
		_, err := explore.ParseSpace([]byte(text))
		if err == nil || !strings.HasPrefix(err.Error(), want) || len(err.Error()) > 300 || strings.Contains(err.Error(), "Go ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.40q: %.400v, want %q", text, err, want)
		}
	}
}
