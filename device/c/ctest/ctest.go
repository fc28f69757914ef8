// Package ctest compiles C and runs it as a program that a test talks to by lines. Without a compiler the test is skipped.
package ctest

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Strict are gcc's flags for a program that ends at the first warning and at the first thing that C leaves undefined.
var Strict = []string{"-std=c99", "-Wall", "-Wextra", "-Werror", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"}

// Compile calls gcc, or skips the test where there is none.
func Compile(t testing.TB, args ...string) {
	t.Helper()
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("gcc is not installed (Debian: gcc libc6-dev): the C is not looked at")
	}
	if out, err := exec.CommandContext(t.Context(), "gcc", args...).CombinedOutput(); err != nil {
		t.Fatalf("gcc %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// A Program is compiled once for all tests of a package, whose TestMain removes it.
type Program struct {
	Args []string // of gcc, beside Strict
	once sync.Once
	dir  string
	path string
}

// Path returns where the program is.
func (p *Program) Path(t testing.TB) string {
	t.Helper()
	p.once.Do(func() {
		dir, err := os.MkdirTemp("", "lamppost-c")
		if err != nil {
			t.Fatal(err)
		}
		p.dir = dir
		path := filepath.Join(dir, "program")
		Compile(t, slices.Concat(Strict, p.Args, []string{"-o", path})...)
		p.path = path
	})
	if p.path == "" {
		t.Skip("the C was not compiled: see the first test that tried")
	}
	return p.path
}

// Remove takes the program away.
func (p *Program) Remove() {
	if p.dir != "" {
		os.RemoveAll(p.dir)
	}
}

// Start starts a program; when the test ends it must have nothing to complain about.
func Start(t testing.TB, path string) (io.Writer, *bufio.Reader) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, path)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		defer cancel()
		in.Close()
		if err := cmd.Wait(); err != nil || complaints.Len() > 0 {
			t.Errorf("the C ended with %v and said:\n%s", err, complaints.String())
		}
	})
	return in, bufio.NewReaderSize(out, 1<<16)
}
