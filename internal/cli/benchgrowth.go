package cli

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/lamppost/lamppost/internal/measure"
)

func benchGrowthCmd() *cobra.Command {
	var asJSON bool
	var raw, summary string
	o := measure.GrowthOptions{}
	cmd := &cobra.Command{
		Use:   "growth",
		Short: "What a report costs on disk, day after day, by how long it is kept",
		Long: `Run a fleet through the chain of a node on a clock of its own, as fast as the machine can, and measure the data folder at
the end of each simulated day: store, log and archive. Signatures are real and not checked. Thirty days of a thousand
devices take about half an hour.`,
		Example: `  lamppost bench growth --days 30 --raw 2d --json
  lamppost bench growth --days 3 --raw ever --export`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if o.RawDays, err = parseDays("--raw", raw); err != nil {
				return err
			}
			if o.SumDays, err = parseDays("--summary", summary); err != nil {
				return err
			}
			if summary == "" {
				o.SumDays = o.RawDays
			}
			if o.Devices < 1 || o.Days < 1 || o.Linger < time.Millisecond || o.Every < o.Linger {
				return usage(fmt.Errorf("growth needs a device, a day, and a linger not longer than the time between two reports"))
			}
			bar := newProgress(cmd.ErrOrStderr())
			o.Progress = bar.set
			r, err := measure.Growth(cmd.Context(), o)
			bar.end()
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if asJSON {
				return json.NewEncoder(out).Encode(r)
			}
			t := table{head: []string{">DAY", ">REPORTS", ">STORE MB", ">LOG MB", ">ARCHIVE MB"}}
			mb := func(n int64) string { return fmt.Sprintf("%.1f", float64(n)/1e6) }
			for _, b := range r.Bytes {
				t.add(fmt.Sprint(b.Day), fmt.Sprint(b.Reports), mb(b.Store), mb(b.Log), mb(b.Archive))
			}
			t.print(out, "")
			_, err = fmt.Fprintf(out, "After day %d a report costs %.1f bytes: %.1f in the store, %.1f in the log, %.1f in the archive. As it is sent it has %.0f; a segment has %.1f.\n",
				r.SlopeFrom, r.BytesPerEach, r.StorePerEach, r.LogPerEach, r.ArchivePerEach, r.ReportBytes, r.SegmentOf)
			if x := r.Export; x != nil && err == nil {
				_, err = fmt.Fprintf(out, "All readings as Parquet: %d rows in %.1f s (%.1f s of CPU), %.0f a second; %.2f bytes each; at most %.0f MB of memory.\n",
					x.Rows, x.Seconds, x.CPUSeconds, x.RowsPerS, x.BytesPerRow, x.PeakHeapMB)
			}
			return err
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.Devices, "devices", 1000, "devices with a key each")
	f.IntVar(&o.Days, "days", 30, "simulated days")
	f.DurationVar(&o.Every, "every", time.Minute, "time between two reports of a device")
	f.DurationVar(&o.Linger, "linger", 2*time.Second, "how long a segment gathers reports")
	f.StringVar(&raw, "raw", "2d", "how long reports stay raw, or ever")
	f.StringVar(&summary, "summary", "", "how long they stay summed up, or ever (default: not at all)")
	f.BoolVar(&o.Export, "export", false, "export all readings as Parquet at the end")
	f.StringVar(&o.Dir, "dir", "", "where to make the folder (default: the system's temporary folder)")
	f.BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}
