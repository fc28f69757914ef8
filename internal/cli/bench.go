package cli

import (
	"cmp"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/lamppost/lamppost/internal/measure"
	"github.com/lamppost/lamppost/sig"
)

func benchCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "bench",
		Short:   "Measure this program on this machine",
		Example: "  lamppost bench ingest --for 10s --json",
		Long:    "Measure this program on this machine. docs/performance.md tells what was measured where.",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(benchIngestCmd(), benchVerifyCmd(), benchGrowthCmd(), benchMoneyCmd(), benchNABCmd(), benchNSLKDDCmd(), benchCompressCmd(), benchFraudCmd(), benchBATADALCmd(), benchSKABCmd(), benchForecastCmd(), benchControlCmd(), benchFederateCmd(), benchAdviseCmd())
	return cmd
}

func benchIngestCmd() *cobra.Command {
	var asJSON bool
	var suite string
	o := measure.IngestOptions{}
	cmd := &cobra.Command{
		Use:   "ingest",
		Short: "Signed reports over real connections, until they are committed and synced",
		Long: `Start a node on a new folder, enrol devices, sign their reports, and then send them over real connections on
loopback. A report counts when it is acknowledged: committed and synced to disk. Signing is done before the clock
starts; the clients run in the same process, on the same cores.

With --engine raft or comet a network is founded instead, its members are processes of their own, on this machine, and devices are
spread over all of them. Then committed means: synced by most members.`,
		Example: `  lamppost bench ingest --transport mqtt --readings 1 --for 10s --json
  lamppost bench ingest --rate 12500
  lamppost bench ingest --engine raft --members 3 --readings 10`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if o.Suite, err = sig.ParseSuite(suite); err != nil {
				return &ExitError{ExitUsage, err}
			}
			if o.Readings < 1 || o.For < time.Second || o.Devices < 1 || o.Window < 1 || o.Rate < 0 || o.Most < 1 {
				return &ExitError{ExitUsage, fmt.Errorf("a load needs a reading, a device, a window and a second at least")}
			}
			if err := checkMembers(&o); err != nil {
				return &ExitError{ExitUsage, err}
			}
			bar := newProgress(cmd.ErrOrStderr())
			o.Progress = bar.set
			res, err := measure.Ingest(cmd.Context(), o)
			bar.end()
			if err != nil {
				return err
			}
			return printIngest(cmd, res, asJSON)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Engine, "engine", "solo", "how members agree: solo, raft or comet")
	f.IntVar(&o.Members, "members", 0, "members, each a process of its own (default: 3 under raft, 4 under comet)")
	f.StringVar(&o.Transport, "transport", "mqtt", "how reports travel: mqtt")
	f.IntVar(&o.Readings, "readings", 1, "readings in a report")
	f.DurationVar(&o.For, "for", 10*time.Second, "how long to send")
	f.IntVar(&o.Rate, "rate", 0, "reports a second over all devices (0: as fast as they are acknowledged)")
	f.IntVar(&o.Devices, "devices", 200, "devices, each with a key and a connection of its own")
	f.IntVar(&o.Window, "window", 64, "unacknowledged reports of a device")
	f.IntVar(&o.Most, "most", 150_000, "reports a second to sign for in advance, where there is no --rate")
	f.BoolVar(&o.Triage, "triage", true, "judge every reading; the figure counts until the last is judged")
	f.StringVar(&suite, "suite", "ed25519", "ed25519 or es256")
	f.StringVar(&o.Dir, "dir", "", "where to make the node's folder (default: the system's temporary folder)")
	f.StringVar(&o.Profile, "cpuprofile", "", "file for a CPU profile of the sending, clients included")
	f.BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// checkMembers puts the fewest members that bear the loss of one where no number is given.
func checkMembers(o *measure.IngestOptions) error {
	few, ok := map[string]int{"solo": 1, "raft": 3, "comet": 4}[o.Engine]
	o.Members = cmp.Or(o.Members, few)
	if !ok || o.Members < 1 || o.Engine == "solo" && o.Members != 1 {
		return fmt.Errorf("%d members under engine %q: say solo, or raft or comet with members", o.Members, o.Engine)
	}
	return nil
}

func printIngest(cmd *cobra.Command, r *measure.IngestResult, asJSON bool) error {
	out := cmd.OutOrStdout()
	if asJSON {
		enc := json.NewEncoder(out)
		return enc.Encode(r)
	}
	fmt.Fprintf(out, "%.0f reports/s, %.0f readings/s over %s (%s, %d devices, %d members, %s, %.1f s)\n", r.ReportsPerS, r.ReadingsPerS, r.Transport, r.Suite, r.Devices,
		r.Members, r.Engine, r.Seconds)
	fmt.Fprintf(out, "committed after %.1f ms (half of them), %.1f ms (99 of 100)\n", r.CommitP50MS, r.CommitP99MS)
	fmt.Fprintf(out, "%.1f s of CPU, %.1f bytes of disk a reading, %d blocks, %d errors\n", r.CPUSeconds, r.DiskBytesPerReading, r.Blocks, r.Errors)
	if j := r.Triage; j != nil {
		fmt.Fprintf(out, "%d readings of %d series judged, %d that came late without their order, %d not, the last %.2f s after its acknowledgement; detectors take %.0f MB, the heap %.0f MB; %d anomalies, %d implausible\n", j.Readings,
			j.Series, j.Late, j.Passed, j.Behind, float64(j.Bytes)/1e6, j.HeapMB, j.Verdicts["anomaly"], j.Verdicts["implausible"])
	}
	return nil
}
