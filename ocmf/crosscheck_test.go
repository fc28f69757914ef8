package ocmf_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/lamppost/lamppost/ocmf"
)

// differences are the vectors of which the other implementation may say something else, and why.
var differences = map[string]string{
	"eBZ LD3, P-192, integers of the signature in fixed width": "it reads DER integers as signed, and refuses what is negative",
	"a session in one record, ECDSA-secp384r1-SHA384":          "it knows SHA-256 only",
	"a session in one record, ECDSA-brainpool384r1-SHA384":     "it knows SHA-256 only",
	"the default algorithm and a signature in base64":          "it reads signatures in hex only",
	"a name that stands twice":                                 "it takes the last of the two",
	"a day that does not exist":                                "it does not look at the day to verify",
}

// A foreign is what the other implementation says of a vector.
type foreign struct {
	Verdict, Why, Page string
	Readings           []struct {
		Time                                 int64
		Sync, Reason, Register, Unit, Status string
		Value                                float64
	}
}

// TestCrossCheck protects us from our own reading of the format: the npm packages @road-labs/ocmf and
// @road-labs/ocmf-crypto-noble must give the same verdicts and values. OCMF_JS names the folder where they are installed.
func TestCrossCheck(t *testing.T) {
	t.Parallel()
	folder := os.Getenv("OCMF_JS")
	if folder == "" {
		t.Skip("OCMF_JS names no folder with the npm packages @road-labs/ocmf and @road-labs/ocmf-crypto-noble")
	}
	node := filepath.Join(folder, "node_modules/.bin/node") // where the one of the system is too old
	if _, err := os.Stat(node); err != nil {
		if node, err = exec.LookPath("node"); err != nil {
			t.Skip("no node here to run them")
		}
	}
	all := allVectors(t)
	said := ask(t, node, folder, all)
	if len(said) != len(all) {
		t.Fatalf("%d answers to %d vectors", len(said), len(all))
	}
	agreed := 0
	for i := range all {
		v, it := &all[i], &said[i]
		ours := v.lines[0] == "expect: ok"
		theirs := it.Verdict == "ok"
		_, differs := differences[v.name]
		switch {
		case differs && ours == theirs && it.Verdict != "error":
			t.Errorf("%s: they agree with us now: take it out of the list of differences", v.name)
		case differs:
		case ours != theirs:
			t.Errorf("%s: we say %s, they say %s %s", v.name, v.lines[0], it.Verdict, it.Why)
		case ours:
			agreed++
			compare(t, v, it)
		}
	}
	if agreed < 10 {
		t.Errorf("only %d records verified by both", agreed)
	}
}

func ask(t *testing.T, node, folder string, all []vector) (said []foreign) {
	t.Helper()
	type question struct {
		Record string `json:"record"`
		Key    string `json:"key"`
	}
	questions := make([]question, len(all))
	for i := range all {
		key, err := ocmf.ParsePublicKeyText(all[i].key)
		if err != nil {
			t.Fatal(err)
		}
		questions[i] = question{all[i].record, hex.EncodeToString(key.DER())}
	}
	in, err := json.Marshal(questions)
	if err != nil {
		t.Fatal(err)
	}
	script, err := filepath.Abs("testdata/crosscheck.cjs")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(node, script)
	cmd.Dir, cmd.Stdin = folder, bytes.NewReader(in)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node: %v: %s", err, stderr.String())
	}
	if err := json.Unmarshal(out, &said); err != nil {
		t.Fatalf("node says %q: %v", out, err)
	}
	return said
}

func compare(t *testing.T, v *vector, it *foreign) {
	t.Helper()
	r, err := ocmf.Parse(v.record)
	if err != nil || r.Page.String() != it.Page || len(r.Readings) != len(it.Readings) {
		t.Errorf("%s: %v; page %s and %d readings, they say %s and %d", v.name, err, r.Page, len(r.Readings), it.Page, len(it.Readings))
		return
	}
	for i, y := range it.Readings {
		x := r.Readings[i]
		value, err := strconv.ParseFloat(x.Value.String(), 64)
		reason := strings.Trim(string(x.Reason), "\x00")
		if err != nil || int64(x.Time) != y.Time || string(x.Sync) != y.Sync || reason != y.Reason || value != y.Value ||
			x.Register != y.Register || x.Unit != y.Unit || string(x.Status) != y.Status {
			t.Errorf("%s: reading %d: %+v, they say %+v", v.name, i+1, x, y)
		}
	}
}
