package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/lamppost/lamppost/internal/cli"
)

// TestMain lets the test binary be the program: testscript runs it under the program's name, and the crash test starts
// it as a process of its own that can be killed.
func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(cli.Main(os.Args[1:]))
	}
	if filepath.Base(os.Args[0]) != "lamppost" { // not a script's program
		if code, done := runAlone(); done {
			os.Exit(code)
		}
	}
	testscript.Main(m, map[string]func(){"lamppost": func() {
		code := cli.Main(os.Args[1:])
		_ = os.WriteFile(os.Getenv("WORK")+"/.status", []byte(strconv.Itoa(code)), 0o600)
		os.Exit(code)
	}})
}

// asProgram makes the test binary the program.
const asProgram = "LAMPPOST_TEST_AS_PROGRAM"

// TestScripts runs testdata/script: each file is a session at the command line, with what it must say.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/script", RequireExplicitExec: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"waitfile": waitFile, "status": checkStatus, "changedigit": changeDigit, "readenv": readEnv, "until": until, "freeport": freePort,
		}})
}

// waitFile waits until a file is there: `waitfile FILE`.
func waitFile(ts *testscript.TestScript, _ bool, args []string) {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
	}
	ts.Fatalf("%s did not appear", args[0])
}

// until runs a command again and again until it prints something: `until REGEXP COMMAND…`.
func until(ts *testscript.TestScript, _ bool, args []string) {
	want := regexp.MustCompile(args[0])
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if ts.Exec(args[1], args[2:]...) == nil && want.MatchString(ts.ReadFile("stdout")) {
			return
		}
	}
	ts.Fatalf("%q is never printed, but %q", args[0], ts.ReadFile("stdout"))
}

// freePort sets a variable to a port of this machine that nobody listens on just now, below those from which connections are made:
// `freeport NAME`.
func freePort(ts *testscript.TestScript, _ bool, args []string) {
	for range 100 {
		port := fmt.Sprint(10000 + rand.IntN(20000))
		if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			l.Close()
			ts.Setenv(args[0], port)
			return
		}
	}
	ts.Fatalf("no port is free")
}

// readEnv sets a variable to what stands in a file: `readenv NAME FILE`.
func readEnv(ts *testscript.TestScript, _ bool, args []string) {
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile(args[1])))
}

// checkStatus compares the exit status of the last command: `status N`.
func checkStatus(ts *testscript.TestScript, _ bool, args []string) {
	if got := ts.ReadFile(".status"); got != args[0] {
		ts.Fatalf("exit status %s, want %s", got, args[0])
	}
}

// changeDigit copies a statement with one digit of a total changed: `changedigit FROM TO`.
func changeDigit(ts *testscript.TestScript, _ bool, args []string) {
	raw := []byte(ts.ReadFile(args[0]))
	at := regexp.MustCompile(`"total":"\d`).FindIndex(raw)
	if at == nil {
		ts.Fatalf("%s has no total", args[0])
	}
	changed := bytes.Clone(raw)
	changed[at[1]-1] = '0' + (changed[at[1]-1]-'0'+1)%10
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), changed, 0o600))
}
