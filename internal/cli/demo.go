package cli

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lamppost/lamppost/internal/demo"
	"github.com/lamppost/lamppost/internal/node"
)

func demoCmd() *cobra.Command {
	o := demo.Options{Start: startDemoNode}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "A street and a house, or a car park, in half a minute",
		Long: `Run a small world through the program as it serves in production: every device has a key of its own and reports over
MQTT. Its time passes in the time --for.

district  A week of a street of 40 lamps and a house of 12 flats, with the October clock change in it. Tenants buy electricity
          and water; a water meter is exchanged in the middle of a day. It ends with what was taken and committed, each lamp's
          profit or loss, one tenant's bill with both meters, a statement to verify, and what the lamps' agents were worth.
charging  Two days of a car park with 12 chargers: quotes, holds, sessions, bills. A charger is offline for an hour, one loses
          its power, starts have no stop, a stop is below its start, two bills are disputed. The chargers' agents share a
          connection of 55 kW. It ends with each charger's income, the accounts held against the invoices, one driver's
          bill, a statement to verify, and what the agents were worth against first come first served and a fixed
          timetable. The cars come and go as in the public set ACN-Data if its folder is there (--sets), and otherwise
          as a seed says.

Ctrl-C ends earlier, with the same summary.`,
		Example: `  lamppost demo
  lamppost demo --for 2m --data ./demo --open
  lamppost demo --scenario charging`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Out, o.Command = cmd.OutOrStdout(), calledAs()
			return demo.Run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.DurationVar(&o.For, "for", 0, "wall time that it takes (default 30s, charging 20s)")
	f.StringVar(&o.Data, "data", "", "folder to keep everything in (default: a new temporary one)")
	f.StringVar(&o.Scenario, "scenario", "district", "what to show: district or charging")
	f.StringVar(&o.Sets, "sets", "", "folder of public data sets for charging (default ../shared/data, if it is there)")
	f.BoolVar(&o.Open, "open", false, "open the dashboard in a browser")
	return cmd
}

// calledAs is how people run this program again: one that go run has built is gone afterwards.
func calledAs() string {
	if path, err := os.Executable(); err == nil && strings.Contains(filepath.ToSlash(path), "/go-build") {
		return "go run ./cmd/lamppost"
	}
	return "lamppost"
}

// startDemoNode opens a node as serve does, on free ports and the demo's clock.
func startDemoNode(s demo.Setting) (demo.Node, error) {
	n, err := node.Open(node.Config{Data: s.Data, Network: s.Network, Member: s.Member, HTTP: "127.0.0.1:0", MQTT: "127.0.0.1:0",
		Now: s.Now, Speed: s.Speed, Played: true})
	if err != nil {
		return nil, err // not n: a nil *node.Node is no nil demo.Node
	}
	return n, nil
}
