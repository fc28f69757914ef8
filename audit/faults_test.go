package audit_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/tariff"
)

// Whoever shows a file with its faults learns of each where it stands, also of several at once, and whether the rest was
// found to be true.
func TestFaults(t *testing.T) {
	t.Parallel()
	h := billed(t, nil)
	data, pin := compacted(t, h.statement()), h.pin(1)
	replace := func(pairs ...string) []byte {
		bad := data
		for i := 0; i < len(pairs); i += 2 {
			next := bytes.Replace(bad, []byte(pairs[i]), []byte(pairs[i+1]), 1)
			if bytes.Equal(next, bad) {
				t.Fatalf("%s is not in the statement", pairs[i])
			}
			bad = next
		}
		return bad
	}
	for name, c := range map[string]struct {
		file   []byte
		want   []string // path and the beginning of the text
		proven bool
	}{
		"true":     {data, nil, true},
		"amount":   {replace(`"amount":"1.48"`, `"amount":"1.49"`), []string{`/invoices/0/lines/1/amount amount 1.49 is not what tariff`}, true},
		"register": {replace(`"value":"122471319.7"`, `"value":"122471319.8"`), []string{`/invoices/0/lines/0/opening/value opening value 122471319.8 is not what device BQ27 signed`}, true},
		"several": {replace(`"amount":"1.48"`, `"amount":"1.49"`, `"price":"0.1237"`, `"price":"0.1"`, `"total":"11.97"`, `"total":"11"`),
			[]string{`/invoices/0/lines/1/amount amount 1.49`, `/invoices/0/lines/2/price price 0.1 is not that of tariff`, `/invoices/0/total total 11 is not`}, true},
		"extra":      {replace(`"currency":"EUR",`, `"currency":"EUR","odd/~name":1,`), []string{`/invoices/0/odd~1~0name odd/~name 1 stands in the file`}, true},
		"checkpoint": {replace(`"size":26`, `"size":27`), []string{`/checkpoint/size size 27`}, true},
		"spelling":   {replace(`"ST-000001"`, `"ST\u002d000001"`), []string{` statement: a field stands twice`}, false},
		"proof":      {replace(`"proof":"`, `"proof":"AAAA`), []string{` proof: `}, false},
		"no JSON":    {[]byte("<html>"), []string{` file: not JSON`}, false},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := audit.Verify(c.file, pin)
			faults, proven := audit.Faults(c.file, err)
			same := slices.EqualFunc(faults, c.want, func(f audit.Fault, want string) bool { return strings.HasPrefix(f.Path+" "+f.Text, want) })
			if !same || proven != c.proven {
				t.Errorf("faults %+v, the rest proven: %t; want %q, %t", faults, proven, c.want, c.proven)
			}
		})
	}
	_, err := audit.Verify(replace(`"amount":"1.48"`, `"amount":"1.49"`, `"price":"0.1237"`, `"price":"0.1"`, `"total":"11.97"`, `"total":"11"`), pin)
	refused(t, err, "line 2: amount 1.49", "2 more places differ")
}

// compacted is a file without white space, which says the same.
func compacted(t *testing.T, file []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	must(t, json.Compact(&b, file))
	return b.Bytes()
}

// A fault of the proof itself is found at the line that rests on it, where the file has that line; of the rest nothing is said.
func TestFaultsOfTheProof(t *testing.T) {
	t.Parallel()
	h := billed(t, nil)
	h.reports[0].Report[len(h.reports[0].Report)-1] ^= 1
	honest := billed(t, nil)
	data := bytes.Replace(compacted(t, honest.statement()), []byte(audit.WriteProof(honest.customer())), []byte(audit.WriteProof(h.customer())), 1)
	_, err := audit.Verify(data, h.pin(1))
	faults, proven := audit.Faults(data, err)
	if len(faults) != 1 || !strings.HasPrefix(faults[0].Path, "/invoices/0/lines/") || proven || !strings.Contains(faults[0].Text, "does not match the signature of device BQ27") {
		t.Errorf("faults %+v, %t (%v)", faults, proven, err)
	}
	data = bytes.ReplaceAll(data, []byte(`"n":`), []byte(`"n":7`))
	if faults, _ := audit.Faults(data, err); len(faults) != 1 || faults[0].Path != "/invoices/0" {
		t.Errorf("with other line numbers: %+v", faults)
	}
	data = bytes.ReplaceAll(data, []byte(`ST-000001`), []byte(`ST-000002`))
	if faults, _ := audit.Faults(data, err); len(faults) != 1 || faults[0].Path != "" || !strings.Contains(faults[0].Text, "invoice ST-000001") {
		t.Errorf("with another number: %+v", faults)
	}
	wrong := billed(t, func(inv *tariff.Invoice) { inv.Supplies[0].Lines[1].Amount += 10_000 })
	_, err = audit.NewStatement(wrong.customer(), wrong.pin(1), "anna")
	if faults, proven := audit.Faults(honest.statement(), err); proven || faults[0].Path != "/invoices/0/lines/1" {
		t.Errorf("of a wrong invoice in the log: %+v", faults)
	}
}

// However much of a file is changed, what is named of it is bounded.
func TestFaultsAreBounded(t *testing.T) {
	t.Parallel()
	h := billed(t, nil)
	more := []byte(`"currency":"EUR",`)
	for i := range 5000 {
		more = fmt.Appendf(more, `"x%d":1,`, i)
	}
	data := bytes.Replace(compacted(t, h.statement()), []byte(`"currency":"EUR",`), more, 1)
	_, err := audit.Verify(data, h.pin(1))
	if faults, proven := audit.Faults(data, err); len(faults) != 1000 || proven {
		t.Errorf("%d faults, the rest proven: %t; want 1000 and nothing said of the rest", len(faults), proven)
	}
}

// The fingerprint is of what a pin says, not of how its file is written, and changes with every word of it.
func TestFingerprint(t *testing.T) {
	t.Parallel()
	pin := billed(t, nil).pin(1)
	first := pin.Fingerprint()
	if !regexp.MustCompile(`^([A-Z2-7]{4} ){7}[A-Z2-7]{4}$`).MatchString(first) {
		t.Errorf("fingerprint %q is not 8 groups of 4", first)
	}
	again, err := audit.ParsePin("# by letter\n\n" + pin.String())
	must(t, err)
	if got := again.Fingerprint(); got != first {
		t.Errorf("with a comment: %q, want %q", got, first)
	}
	again.Quorum = 2
	if got := again.Fingerprint(); got == first {
		t.Errorf("with another quorum it is still %q", got)
	}
}
