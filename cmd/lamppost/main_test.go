package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/lamppost/lamppost/internal/cli"
)

// TestMain lets the test binary be the program: testscript runs it under the program's name, and the crash test starts
// it as a process of its own that can be killed.
func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(cli.Main(os.Args[1:]))
	}
	testscript.Main(m, map[string]func(){"lamppost": func() { os.Exit(cli.Main(os.Args[1:])) }})
}

// asProgram makes the test binary the program.
const asProgram = "LAMPPOST_TEST_AS_PROGRAM"

// TestScripts runs testdata/script: each file is a session at the command line, with what it must say.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/script", RequireExplicitExec: true})
}
