package checkpage_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/checkpage"
	"github.com/lamppost/lamppost/internal/dashboard/browsertest"
	"github.com/lamppost/lamppost/sig"
)

// testSameAnswers has the checker in the browser and the one in this process judge the same files, true ones and changed
// ones: a browser's verdict is the program's, to the word.
func testSameAnswers(t *testing.T, ctx context.Context) {
	pin := string(example(t, "network.pin"))
	washed, _ := laundry(t, 3, sig.EdDSA, "Laundry")
	files := [][]byte{example(t, "statement.json"), example(t, "receipt.json"), example(t, "report.json"), washed, []byte("{}"), nil}
	random := rand.New(rand.NewPCG(7, 0))
	for i := range 60 {
		bad := append([]byte(nil), files[i%3]...)
		bad[random.IntN(len(bad))] ^= 1 << random.IntN(7)
		files = append(files, bad)
	}
	var texts []string
	for _, f := range files {
		texts = append(texts, base64.StdEncoding.EncodeToString(f))
	}
	list, err := json.Marshal(texts)
	must(t, err)
	p := ready(t, ctx, serve(t, checkpage.Content{}), "")
	type answer struct {
		Holds   bool           `json:"holds"`
		Error   string         `json:"error"`
		Finding *audit.Finding `json:"finding"`
		Faults  []audit.Fault  `json:"faults"`
		Proven  bool           `json:"proven"`
	}
	for _, pinText := range []string{pin, ""} {
		got := browsertest.Value[[]answer](p, fmt.Sprintf(`(async () => {
			globalThis.own ??= lamppostEngine();
			if (!globalThis.lamppost) await own.load(document.getElementById('wasm').textContent);
			return %s.map((f) => own.check(Uint8Array.from(atob(f), (c) => c.charCodeAt(0)), %q));
		})()`, list, pinText))
		trusted, err := audit.ParsePin(pin)
		must(t, err)
		if pinText == "" {
			trusted = nil
		}
		for i, f := range files {
			want := answer{}
			var err error
			want.Finding, err = audit.Verify(f, trusted)
			want.Finding = told(t, want.Finding)
			want.Faults, want.Proven = audit.Faults(f, err)
			if want.Holds = err == nil; !want.Holds {
				want.Error = err.Error()
			}
			if !reflect.DeepEqual(got[i], want) {
				t.Errorf("file %d, pin %q: the browser says\n%+v, this process\n%+v", i, pinText, got[i], want)
			}
		}
	}
}

// told is what JSON tells of a finding.
func told(t *testing.T, f *audit.Finding) (out *audit.Finding) {
	text, err := json.Marshal(f)
	must(t, err)
	must(t, json.Unmarshal(text, &out))
	return out
}

// testSpeed prints how long a check takes, from the bytes of the file to the marks on the page, of a statement with 100
// lines on 200 signatures: the first time after loading, and again. It fails nothing: machines differ.
func testSpeed(t *testing.T, ctx context.Context) {
	for _, suite := range []sig.Suite{sig.EdDSA, sig.ES256} {
		washed, pin := laundry(t, 100, suite, "Laundry")
		p := ready(t, ctx, serve(t, checkpage.Content{}), "")
		bring(p, pin)
		p.WaitText("#main", "as you pasted it")
		times := fmt.Sprintf("%s, %d bytes: loaded in %s ms; checked in", suite, len(washed), browsertest.Value[string](p, "document.querySelector('#engine-state').dataset.ms"))
		for range 4 {
			drop(p, "statement.json", washed)
			p.WaitText("#result", "100 lines of 1 bill")
			times += " " + browsertest.Value[string](p, "document.querySelector('#result').dataset.ms.replace(' ', ' (') + ' in the checker)'")
		}
		t.Log(times + " ms")
		p.Clean()
	}
}
