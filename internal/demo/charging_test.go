package demo_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/demo"
)

// story is what a whole run of charging must tell, wherever its cars are from.
var story = []string{
	"kWh until", "are held",
	"power cut in the middle of session", "power is back: session",
	"offline in the middle of session", "online again: ", "settled from the late reports",
	"has forgotten session", "settled at its end by what was read until then", "void: nothing billed, its hold is free again",
	"(rolled_back) suspends register", "replaced by hand", "(rolled_back) answered: it was wrong", "Triage    all readings judged", `answered with "wrong"`,
	"refused, no power flows", "may go to -5.00",
	"a guest paid", "the rest is refunded",
	"my car took less", "upheld: parkhaus-", "nobody told me", "rejected: full at",
	": equal, none lost", "Sessions  ", "1 void, 1 refused, 0 not begun", "lower deck: ", "upper deck: ",
	"nothing is held any more, none is beyond its limit", "session-start", "Written and verified",
	"as the agents decided  ", "who comes first, at once  ", "the same, in cheap hours alone  ", " decisions stand on the ledger. Why one of them?", "explain d",
}

// Two days at the car park go through the real node: all that goes wrong has its outcome, the accounts are what the
// invoices make, and the statement that is taken home holds and is of a driver to whom something was credited.
func TestRunCharging(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("lives two days")
	}
	checkCharging(t, "", "generated from seed 12", "577.797 kWh    189.29 EUR  32.76 ct a kWh, peak 55.0 kW, 0.02 kWh wanted\n", "  274 decisions stand on the ledger.")
}

// The same with the cars of the public set.
func TestRunChargingSet(t *testing.T) {
	t.Parallel()
	sets := os.Getenv("LAMPPOST_SETS")
	if sets == "" {
		sets = "../../../shared/data"
	}
	if _, err := os.Stat(filepath.Join(sets, "ev-acn")); err != nil || testing.Short() {
		t.Skipf("lives two days of the data sets (%v); LAMPPOST_SETS names their folder", err)
	}
	checkCharging(t, sets, "ACN-Data")
}

func checkCharging(t *testing.T, sets string, more ...string) {
	t.Helper()
	dir := t.TempDir()
	out := &watchedOutput{}
	o := demo.Options{Start: startNode, Scenario: "charging", Sets: sets, For: 8 * time.Second, Data: dir, Out: out}
	if err := demo.Run(t.Context(), o); err != nil {
		t.Fatalf("%v\n%s", err, out.all.String())
	}
	text := out.all.String()
	for _, want := range append(story, more...) {
		if !strings.Contains(text, want) {
			t.Errorf("the output does not have %q", want)
		}
	}
	if !regexp.MustCompile(`replaces parkhaus-\d+, 1\.1[67] EUR are credited`).MatchString(text) { // 2 kWh at 0.49 and 19 %
		t.Error("the correction does not credit two kWh")
	}
	if t.Failed() {
		t.Log(text)
	}
	finding, err := audit.Verify(read(t, dir, "statement.json"), readPin(t, dir))
	if err != nil || finding.Invoices < 2 {
		t.Errorf("%+v, %v", finding, err)
	}
}

// Ended while cars are there, the demo lets them stop, settles and bills what they took, and ends without an error.
func TestRunChargingInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	dir := t.TempDir()
	out := &watchedOutput{match: regexp.MustCompile(`power cut in the middle`), fn: cancel}
	o := demo.Options{Start: startNode, Scenario: "charging", For: 20 * time.Second, Data: dir, Out: out}
	if err := demo.Run(ctx, o); err != nil {
		t.Fatalf("%v\n%s", err, out.all.String())
	}
	text := out.all.String()
	for _, want := range []string{"Ended early", ": equal, none lost", "nothing is held any more", "Written and verified"} {
		if !strings.Contains(text, want) {
			t.Errorf("the output does not have %q:\n%s", want, text)
		}
	}
	if _, err := audit.Verify(read(t, dir, "statement.json"), readPin(t, dir)); err != nil {
		t.Error(err)
	}
}

// When the node fails while cars are there, the demo ends soon and says why.
func TestRunChargingNodeFails(t *testing.T) {
	t.Parallel()
	start := func(s demo.Setting) (demo.Node, error) {
		n, err := startNode(s)
		return failingNode{n}, err
	}
	o := demo.Options{Start: start, Scenario: "charging", For: 12 * time.Second, Data: t.TempDir(), Out: &watchedOutput{}}
	if err := demo.Run(t.Context(), o); !errors.Is(err, errNode) {
		t.Errorf("%v", err)
	}
}
