package checkpage_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lamppost/lamppost/internal/checkpage"
)

var rewrite = flag.Bool("rewrite", false, "build the checker anew: make wasm")

// The checker in the tree is what its sources give, to the byte, and its other parts are those of the toolchain that built
// it and of package audit. With -rewrite it is made so.
func TestCheckerIsCurrent(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("building takes a while; the whole run does it")
	}
	version := strings.TrimSpace(output(t, "go", "env", "GOVERSION"))
	built, err := os.ReadFile("built-with.txt")
	must(t, err)
	if recorded := strings.TrimSpace(string(built)); recorded != version && !*rewrite {
		t.Skipf("check.wasm.gz was built with %s, this is %s, which gives other bytes: make wasm builds it anew", recorded, version)
	}
	for file, want := range map[string][]byte{
		"check.wasm.gz":              build(t),
		"built-with.txt":             []byte(version + "\n"),
		"static/wasm_exec.js":        contents(t, filepath.Join(strings.TrimSpace(output(t, "go", "env", "GOROOT")), "lib", "wasm", "wasm_exec.js")),
		"wasm/sample/statement.json": contents(t, "../../audit/testdata/statement.json"),
		"wasm/sample/network.pin":    contents(t, "../../audit/testdata/network.pin"),
	} {
		if *rewrite {
			must(t, os.WriteFile(file, want, 0o644))
		}
		if !bytes.Equal(contents(t, file), want) {
			t.Errorf("%s is not what the sources give now: run make wasm, and commit what it changes", file)
		}
	}
	if !*rewrite {
		t.Logf("checker %s, built with %s", checkpage.Checker(), version)
	}
}

// build compiles and packs the checker as it is committed: nothing of the machine, of the repository or of who builds is in it.
func build(t *testing.T) []byte {
	t.Helper()
	if *rewrite { // the sample is compiled in
		must(t, os.WriteFile("wasm/sample/statement.json", contents(t, "../../audit/testdata/statement.json"), 0o644))
		must(t, os.WriteFile("wasm/sample/network.pin", contents(t, "../../audit/testdata/network.pin"), 0o644))
	}
	file := filepath.Join(t.TempDir(), "check.wasm")
	output(t, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", file, "./wasm")
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	must(t, err)
	_, err = z.Write(contents(t, file))
	must(t, errors.Join(err, z.Close()))
	return packed.Bytes()
}

// output runs a program without the settings of whoever runs the test.
func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm", "GOFLAGS=", "GOWASM=", "GOEXPERIMENT=", "CGO_ENABLED=0", "GOWORK=off")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, stderr.String())
	}
	return string(out)
}

func contents(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	must(t, err)
	return data
}
