//go:build !small

package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lamppost/lamppost/internal/advise"
	"github.com/lamppost/lamppost/internal/node"
)

// TestAdvisedConfig: of every fleet of examples/fleets, what is advised can be set up: serve takes the configuration as it is, with the settings
// of which figures were predicted, and the commands beside it found the network.
func TestAdvisedConfig(t *testing.T) {
	t.Parallel()
	m, err := advise.Shipped()
	if err != nil {
		t.Fatal(err)
	}
	paths, err := filepath.Glob("../../examples/fleets/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	tried := map[string]bool{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Base(path) == "expected.yaml" {
			continue
		}
		f, err := advise.ParseFleet(text)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		a, err := advise.Advise(f, m)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if (a.Config != "") != (a.Verdict == "lamppost") {
			t.Errorf("%s: verdict %s with configuration %q", path, a.Verdict, a.Config)
		}
		if a.Config == "" {
			continue
		}
		tried[a.Options[0].Kind] = true
		takesConfig(t, a)
		if len(a.Options[0].Members) > 1 {
			founds(t, a.Next)
		}
	}
	for _, kind := range []string{"solo", "raft", "comet"} {
		if !tried[kind] {
			t.Errorf("no fleet is advised to take %s", kind)
		}
	}
}

func takesConfig(t *testing.T, a *advise.Answer) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "node.yaml")
	if err := os.WriteFile(file, []byte(a.Config), 0o600); err != nil {
		t.Fatal(err)
	}
	says(t, []string{"serve", "--config", file, "--check"}, "The configuration is good")
	var cfg node.Config
	if err := cfg.ReadConfig(file); err != nil {
		t.Fatal(err)
	}
	p := a.Options[0].Point
	if float64(cfg.Linger)/float64(time.Millisecond) != p.LingerMS || cfg.Segment != p.Segment || p.Nodes == 1 && cfg.Verify != p.Verify {
		t.Errorf("%s: %+v is not configured by %s", a.Fleet, p, a.Config)
	}
}

// founds runs the commands up to the founding, each member in a folder of its own.
func founds(t *testing.T, next []string) {
	t.Helper()
	dir := t.TempDir()
	members := 0
	for _, line := range next {
		line, _, _ = strings.Cut(line, "  #")
		line, card, _ := strings.Cut(strings.TrimSpace(line), " > ")
		args := strings.Fields(line)[1:]
		if args[0] != "init" {
			return
		}
		folder := "m1"
		if args[1] == "member" {
			members++
			folder = strings.TrimSuffix(card, ".yaml")
			if members == 1 {
				folder = "m1"
			}
		}
		for i, arg := range args {
			args[i] = strings.ReplaceAll(arg, "./node", filepath.Join(dir, folder))
			if i > 0 && args[i-1] == "--members" {
				cards := strings.Split(arg, ",")
				for j := range cards {
					cards[j] = filepath.Join(dir, cards[j])
				}
				args[i] = strings.Join(cards, ",")
			}
		}
		if args[1] == "network" {
			says(t, slices.Concat(args, []string{"--out", filepath.Join(dir, "network.yaml")}), "is founded")
			continue
		}
		out := says(t, args, "key:")
		if err := os.WriteFile(filepath.Join(dir, card), []byte(out), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
