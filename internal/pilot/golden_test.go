package pilot_test

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/agent"
	"github.com/lamppost/lamppost/internal/pilot"
)

var rewrite = flag.Bool("rewrite", false, "write the golden file anew")

// TestGolden: decisions of a pilot with their inputs, and outcomes with their data, are the bytes of testdata/decisions.txt, and those replay, whatever made them.
func TestGolden(t *testing.T) {
	t.Parallel()
	path := filepath.Join("testdata", "decisions.txt")
	if *rewrite {
		if err := os.WriteFile(path, golden(t), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(golden(t), want) {
		t.Error("testdata/decisions.txt differs: run with -rewrite if that is meant")
	}
	for block := range strings.SplitSeq(strings.TrimSpace(string(want)), "\n\n") {
		part := map[string][]byte{}
		for line := range strings.SplitSeq(block, "\n") {
			name, text, _ := strings.Cut(line, " ")
			if part[name], err = hex.DecodeString(text); err != nil {
				t.Fatal(err)
			}
		}
		d, err := agent.Replay(part["inputs"])
		if err != nil || !bytes.Equal(lamppost.Marshal(d), part["decision"]) {
			t.Errorf("replays to %+v, %v", d, err)
		}
		in, err := agent.ParseInputs(part["inputs"])
		if err != nil {
			t.Fatal(err)
		}
		var data pilot.Data
		var booked lamppost.DecisionOutcome
		if len(part["outcome"]) == 0 {
			continue
		}
		if err := lamppost.Unmarshal(part["data"], &data); err != nil {
			t.Fatal(err)
		}
		if err := lamppost.Unmarshal(part["outcome"], &booked); err != nil {
			t.Fatal(err)
		}
		if o := pilot.Realise(in, &d, &data); o.Gain != booked.Gain || o.Expected != booked.Expected || o.Spent != booked.Spent || o.Measured != booked.Measured {
			t.Errorf("came to %+v, was %+v", o, booked)
		}
	}
}

// golden is two hours of a storage and of a site that trades.
func golden(t *testing.T) []byte {
	w := newWorld(t)
	w.device("cell", lamppost.Ordinary)
	w.device("twin", lamppost.Ordinary)
	w.spot(72)
	a := storageAgent(lamppost.AgentBounded)
	a.Site, a.Rules = "yard", append(a.Rules, lamppost.AgentRule{Name: "share", Value: lamppost.Dec(6000, 0), Unit: "W"})
	w.must(lamppost.TxAgent, a)
	a.Device = "twin"
	w.must(lamppost.TxAgent, a)
	w.minutes(100, (&storage{w: w}).minute)
	var out bytes.Buffer
	for _, id := range []lamppost.DeviceID{"cell", "twin"} {
		for _, d := range w.decisions(id) {
			e, err := pilot.ReadEvidence(w.store, &d.Body)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&out, "inputs %s\ndecision %s\n", hex.EncodeToString(e.Inputs), hex.EncodeToString(lamppost.Marshal(d.Body)))
			if d.Outcome != nil {
				fmt.Fprintf(&out, "data %s\noutcome %s\n", hex.EncodeToString(e.Data), hex.EncodeToString(lamppost.Marshal(*d.Outcome)))
			}
			fmt.Fprintln(&out)
		}
	}
	return out.Bytes()
}
