package checkpage_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/lamppost/lamppost/internal/checkpage"
	"github.com/lamppost/lamppost/internal/dashboard/browsertest"
	"github.com/lamppost/lamppost/sig"
)

var screens = flag.String("screens", "", "write screenshots into this directory")

// looks are states of the page that people see: what is opened, and which pin is brought.
func looks(t *testing.T) []look {
	pin := string(example(t, "network.pin"))
	statement := example(t, "statement.json")
	changed := replace(t, statement, `"amount":"1.48"`, `"amount":"1.84"`, `"value":"122471319.7"`, `"value":"122471379.7"`, `"total":"11.97"`, `"total":"12.33"`)
	washed, other := laundry(t, 12, sig.EdDSA, "Laundry in the basement, left row")
	return []look{
		{"empty", checkpage.Content{Pin: pin}, nil, ""},
		{"mail", checkpage.Content{Pin: pin, File: statement}, nil, ""},
		{"holds", checkpage.Content{Pin: pin, File: statement}, nil, pin},
		{"changed", checkpage.Content{}, changed, pin},
		{"laundry", checkpage.Content{}, washed, other},
		{"other-network", checkpage.Content{}, washed, pin},
		{"receipt", checkpage.Content{}, example(t, "receipt.json"), pin},
		{"report", checkpage.Content{}, replace(t, example(t, "report.json"), `"value":"`, `"value":"1`), pin},
	}
}

type look struct {
	name    string
	content checkpage.Content
	file    []byte // that is dropped
	pin     string // that is pasted
}

func (l look) open(t *testing.T, ctx context.Context, size [2]int64, scheme string) *browsertest.Tab {
	t.Helper()
	p := browsertest.Open(t, ctx, serve(t, l.content), size)
	p.Prefer(scheme)
	p.Visit("", settled)
	if l.pin != "" {
		bring(p, l.pin)
		p.WaitText("#main", "Use another pin")
	}
	if l.file != nil {
		drop(p, "statement.json", l.file)
	}
	if l.content.File != nil {
		p.Wait("document.querySelector('#result').dataset.done")
	}
	return p
}

func replace(t *testing.T, data []byte, pairs ...string) []byte {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		next := bytes.Replace(data, []byte(pairs[i]), []byte(pairs[i+1]), 1)
		if bytes.Equal(next, data) {
			t.Fatalf("%s is not in the file", pairs[i])
		}
		data = next
	}
	return data
}

// TestScreens writes a picture of every look at both widths and in both schemes, for people to look at.
func TestScreens(t *testing.T) {
	if *screens == "" {
		t.Skip("give -screens DIR to write screenshots")
	}
	ctx := browsertest.Start(t)
	must(t, os.MkdirAll(*screens, 0o755))
	for _, scheme := range []string{"light", "dark"} {
		for name, size := range map[string][2]int64{"phone": {browsertest.Phone[0], 2400}, "desktop": {1100, 2000}} {
			for _, l := range looks(t) {
				p := l.open(t, ctx, size, scheme)
				p.Shoot(filepath.Join(*screens, fmt.Sprintf("check-%s-%s-%s.png", l.name, name, scheme)))
			}
		}
	}
}
