// Package transcript holds what code says against what it said before, for tests whose cases are data. The files are testdata/*.txt:
// paragraphs of a question, "----" and the answer; one without "----" is for the reader. With -rewrite the answers given are written
// into the files, for people to read the difference.
package transcript

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write what the code says into the transcripts in testdata")

// Rewrite reports whether expectations are to be written anew. It is for tests of other files in testdata.
func Rewrite() bool { return *rewrite }

// Run asks the questions of all transcripts, in parallel; open returns what answers those of one, in their order.
func Run(t *testing.T, open func(t *testing.T) (answer func(question string) string)) {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("found no transcripts (%v)", err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			said := replay(t, path, string(raw), open(t))
			if *rewrite {
				if err := os.WriteFile(path, []byte(said), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// replay returns the file with the answers given.
func replay(t *testing.T, path, text string, answer func(question string) string) string {
	var out strings.Builder
	for i, block := range strings.Split(strings.TrimSpace(text), "\n\n") {
		if i > 0 {
			out.WriteString("\n")
		}
		question, want, isQuestion := strings.Cut(block+"\n", "\n----\n")
		if !isQuestion {
			out.WriteString(block + "\n")
			continue
		}
		got := strings.TrimSpace(answer(question))
		if got != strings.TrimSpace(want) && !*rewrite {
			t.Errorf("%s:\n%s\n---- got\n%s\n---- want\n%s", path, question, got, want)
		}
		out.WriteString(question + "\n----\n" + got + "\n")
	}
	return out.String()
}
