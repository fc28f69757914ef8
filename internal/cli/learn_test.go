package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/federate"
)

// TestPrintLearning: who took part, who was left out and why, and how good it was and is, are all there to read.
func TestPrintLearning(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	printLearning(&b, nil)
	if !strings.Contains(b.String(), "Nothing is learnt together") {
		t.Errorf("nothing: %s", b.String())
	}
	b.Reset()
	printLearning(&b, []api.SharedModel{{Model: "load-1", Hash: lamppost.Hash{0xab, 0xcd}, Open: []string{"m2"}, Rounds: []api.SharedRound{{Round: 2969, Rows: 1800, Members: 2, Stale: 1,
		Hash: lamppost.Hash{0xab, 0xcd}, Updates: []api.SharedUpdate{
			{Part: federate.Part{By: "gate-7", Member: "organisation Riverside", Rows: 900, Share: 1, Rise: 0.021}, Devices: 7, Before: lamppost.Dec(81, -2), After: lamppost.Dec(62, -2)},
			{Part: federate.Part{By: "m3", Rows: 900, Rise: 4, Left: federate.LeftSpoils, Why: "the others would miss 400 % more"}, Devices: 5}}}}}, {Model: "load-2", Open: []string{"m1"}}})
	for _, want := range []string{"load-1: round 2969", "1800 rows", "of 2 members: too few to tell who lies", "gate-7  organisation Riverside  ", "1 updates of another base", "for the open round: m2", "100.0 %", "2.1 %", "0.81", "0.62", "the others would miss 400 % more",
		"load-2: no round was merged yet; for the open round: m1"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
}
