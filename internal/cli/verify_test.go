package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lamppost/lamppost/internal/checkpage"
)

// example copies a file of package audit's testdata into a folder of its own, changed if old is not empty.
func example(t *testing.T, dir, name, old, new string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "audit", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	if old != "" && !bytes.Contains(data, []byte(old)) {
		t.Fatalf("%s lacks %q", name, old)
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, bytes.Replace(data, []byte(old), []byte(new), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// verify runs the verb and returns its exit code with all it says.
func verify(t *testing.T, args ...string) (code int, said string) {
	t.Helper()
	cmd := verifyCmd()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(args)
	err := cmd.Execute()
	var exit *ExitError
	switch {
	case err == nil:
	case errors.As(err, &exit):
		code = exit.Code
	default:
		t.Fatalf("verify %q: %v is not an ExitError", args, err)
	}
	if err != nil {
		out.WriteString(err.Error())
	}
	return code, out.String()
}

// The exit code is what scripts see: 0 holds, 1 does not, 2 cannot be checked, 3 no pin. The words say what and why.
func TestVerifyExitCodes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pin := example(t, dir, "network.pin", "", "")
	good := example(t, dir, "statement.json", "", "")
	bad := example(t, t.TempDir(), "statement.json", `"amount":"1.48"`, `"amount":"1.84"`)
	receipt, report := example(t, dir, "receipt.json", "", ""), example(t, dir, "report.json", "", "")
	lonely := example(t, t.TempDir(), "statement.json", "", "")
	otherPin := example(t, t.TempDir(), "network.pin", "quorum 1", "quorum 2")
	for name, c := range map[string]struct {
		args []string
		code int
		want []string
	}{
		"intervals": {[]string{"--pin", pin, "--intervals", good}, 0, []string{"invoice ST-000001, line 2, night: 6.9142 kWh",
			"2026-10-25 02:00+01:00 to 2026-10-25 02:30+01:00: 122481690.1 to "}},
		"holds":           {[]string{"--pin", pin, good}, 0, []string{"statement.json: holds", "4 lines", "total 11.97 EUR", "signed by riverside/north", "does not prove that a meter"}},
		"all kinds":       {[]string{"--pin", pin, good, receipt, report}, 0, []string{"receipt.json: holds", "report.json: holds"}},
		"does not hold":   {[]string{"--pin", pin, bad}, 1, []string{"does not hold: invoice ST-000001: line 2: amount 1.84", "1 of 1 files"}},
		"one of two":      {[]string{"--pin", pin, good, bad}, 1, []string{": holds", ": does not hold", "1 of 2 files"}},
		"no pin":          {[]string{lonely}, 3, []string{"member riverside/north+", "Get network.pin from whoever runs network riverside", "only agrees with itself"}},
		"pin beside":      {[]string{good}, 3, []string{"There is a pin at " + pin, "--pin " + pin}},
		"bad, no pin":     {[]string{bad}, 1, []string{"line 2: amount"}},
		"no file":         {nil, 2, []string{"name at least one file"}},
		"missing file":    {[]string{"--pin", pin, "nowhere.json"}, 2, []string{"nowhere.json: cannot be checked", "no such file"}},
		"missing pin":     {[]string{"--pin", "nowhere.pin", good}, 2, []string{"reading the pin", "nowhere.pin"}},
		"bad pin":         {[]string{"--pin", otherPin, good}, 2, []string{"a quorum of 2 cannot come from 1 members", "get it again"}},
		"unknown flag":    {[]string{"--pim", pin, good}, 2, []string{"unknown flag"}},
		"not a statement": {[]string{"--pin", pin, pin}, 1, []string{"not JSON"}},
		"a folder":        {[]string{"--pin", pin, dir}, 2, []string{"cannot be checked"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, said := verify(t, c.args...)
			if code != c.code {
				t.Errorf("exit %d, want %d; it said:\n%s", code, c.code, said)
			}
			for _, want := range c.want {
				if !strings.Contains(said, want) {
					t.Errorf("it does not say %q but:\n%s", want, said)
				}
			}
		})
	}
}

// With --json every file is one line of JSON, good or bad, with the same exit codes.
func TestVerifyJSON(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pin, good := example(t, dir, "network.pin", "", ""), example(t, dir, "statement.json", "", "")
	bad := example(t, t.TempDir(), "receipt.json", `"outcome":"ok"`, `"outcome":"no"`)
	cmd := verifyCmd()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetArgs([]string{"--json", "--pin", pin, good, bad})
	var exit *ExitError
	if err := cmd.Execute(); !errors.As(err, &exit) || exit.Code != 1 {
		t.Errorf("Execute = %v, want exit 1", err)
	}
	dec := json.NewDecoder(&out)
	var a, b verdict
	if err := errors.Join(dec.Decode(&a), dec.Decode(&b)); err != nil {
		t.Fatal(err)
	}
	if !a.Holds || a.Finding == nil || a.Finding.Lines != 4 || !a.Finding.Pinned {
		t.Errorf("first = %+v", a)
	}
	if b.Holds || b.Finding != nil || !strings.Contains(b.Error, "outcome no") {
		t.Errorf("second = %+v", b)
	}
}

// What a page carries is checked like a file, and it is said whose checker the page has; a page that only checks is no file.
func TestVerifyPage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pin := example(t, dir, "network.pin", "", "")
	good, err := os.ReadFile(example(t, dir, "statement.json", "", ""))
	if err != nil {
		t.Fatal(err)
	}
	bad := bytes.Replace(bytes.Replace(good, []byte("1.48"), []byte("1.84"), 1), []byte("0.75"), []byte("0.57"), 1)
	page := func(name string, file []byte, change ...string) string {
		path := filepath.Join(dir, name)
		text := strings.NewReplacer(change...).Replace(string(checkpage.Content{File: file, Version: "v1"}.Page()))
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, c := range map[string]struct {
		file string
		code int
		want []string
	}{
		"own":        {page("own.html", good), 0, []string{"own.html: holds", "a page whose checker is this program's own", "total 11.97 EUR"}},
		"other":      {page("other.html", good, "answer.holds &&", "true &&"), 0, []string{"other.html: holds", "another checker than this program's"}},
		"false":      {page("false.html", bad), 1, []string{"does not hold: invoice ST-000001: line 2", "one more place differs", "/invoices/0/lines/1/", "checker is this program's own"}},
		"empty":      {page("empty.html", nil), 2, []string{"it is a page that checks files, and carries none"}},
		"not a page": {page("not.html", good, `id="file"`, `id="life"`), 2, []string{"it is not a page that this program makes"}},
	} {
		code, said := verify(t, "--pin", pin, c.file)
		for _, want := range c.want {
			if !strings.Contains(said, want) {
				t.Errorf("%s: it does not say %q but:\n%s", name, want, said)
			}
		}
		if code != c.code {
			t.Errorf("%s: exit %d, want %d", name, code, c.code)
		}
	}
	if _, said := verify(t, "--json", "--pin", pin, filepath.Join(dir, "false.html")); !strings.Contains(said, `"page":"own"`) || !strings.Contains(said, `"path":"/invoices/0/lines/1/`) {
		t.Errorf("as JSON: %s", said)
	}
}

// The page to keep is the one that nodes serve; a pin is told with its fingerprint.
func TestCheckerAndPin(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "check.html")
	says(t, []string{"checker", "-o", file}, "Checker written to "+file, checkpage.Checker())
	data, err := os.ReadFile(file)
	if c, own, err2 := checkpage.Read(data); err != nil || err2 != nil || !own || len(c.File) > 0 || c.Pin != "" {
		t.Errorf("the page is not our own, or carries something: %v, %v", err, err2)
	}
	says(t, []string{"pin", "../../audit/testdata/network.pin"}, "Network: riverside", "Members: 1, of whom 1 must sign", "Fingerprint: QXMY HLY2 3PZS TYFB V7HU O3MA F5BI IKXY")
	fails(t, []string{"pin", file}, "reading the pin")
}

// A file cannot write to the terminal: what it says is printed without control characters.
func TestVerifyPrintable(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pin, bad := example(t, dir, "network.pin", "", ""), example(t, dir, "statement.json", `"net":"10.06"`, `"net":"\u001b[2J"`)
	if code, said := verify(t, "--pin", pin, bad); code != 1 || strings.Contains(said, "\x1b") {
		t.Errorf("exit %d: %q", code, said)
	}
}
