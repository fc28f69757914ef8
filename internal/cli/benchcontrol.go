package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/lamppost/lamppost/internal/measure"
)

func benchControlCmd() *cobra.Command {
	o := measure.ControlOptions{}
	cmd := &cobra.Command{
		Use:   "control",
		Short: "What agents that decide for lamps, storages and chargers are worth",
		Long: `Let agents decide over public data as a node lets them: forecasts see nothing of what comes, settings were chosen on data before the time
that is measured, and every 997th decision is replayed from its encoded inputs. Lamps are held against full power from dusk to dawn and the best fixed
timetable; storages against doing nothing and perfect foresight; chargers against an equal share of the limit and what was possible with all sessions known.
docs/agents.md tells what the figures mean.

The folder of data sets holds the folders citylearn-2022, epf-prices, ev-acn and traffic-metro; files may be compressed with gzip.`,
		Example: `  lamppost bench control --sets data
  lamppost bench control --sets data --json`,
	}
	return overSets(cmd, &o.Sets, "what agents decide over does", "folder of data sets", func(ctx context.Context, progress func(done, all int64, what string)) (*measure.ControlResult, error) {
		o.Progress = progress
		return measure.Control(ctx, o)
	}, printControl)
}

func printControl(out io.Writer, r *measure.ControlResult) error {
	l, s, c := &r.Lamp, &r.Storages, &r.Chargers
	fmt.Fprintf(out, "Lamp of 100 W, %d nights: full power %.2f EUR, best timetable %.2f (%d minutes too dark), agent %.2f (%d): %.1f %% saved, %.1f %% against the timetable.\n",
		l.Nights, l.Full, l.Timetable, l.TimetableBelow, l.Agent, r.LampBelow, 100*r.LampSaving, 100*r.LampVsTimetable)
	fmt.Fprintf(out, "  Its sensor raised it for %d minutes; %.1f changes a night. Without a sensor %.2f EUR (%d minutes too dark). A sensor alone %.2f EUR, %.1f changes.\n",
		l.Raised, l.Changes, l.Blind, l.BlindBelow, l.SensorAlone, l.SensorAloneChanges)
	fmt.Fprintf(out, "Storage, %d homes: nothing %.2f USD, agents %.2f, perfect foresight %.2f: %.1f %% of its saving (worst home %.1f %%, best %.1f %%).\n",
		s.Homes, s.Nothing, s.Agent, s.Perfect, 100*r.Storage, 100*s.Worst, 100*s.Best)
	fmt.Fprintf(out, "  With a meter that the storage follows %.2f USD, %.1f %%; with the meter and no agent %.2f USD.\n", s.Metered, 100*r.StorageMetered, s.MeterAlone)
	fmt.Fprintf(out, "  Lost to the forecast's errors: %.1f %% of perfect foresight's saving; to the horizon %.1f %%.\n", 100*s.LostToForecast, 100*s.LostToHorizon)
	fmt.Fprintf(out, "Chargers, %d sessions under %d W: %.1f kWh asked for, %.1f possible, %.1f charged (%d sessions short); peak %d W; %.2f USD.\n",
		c.Sessions, c.Limit, c.Requested, c.Feasible, c.Charged, c.Short, c.Peak, c.USD)
	fmt.Fprintf(out, "  Equal shares: %.1f kWh (%d short), %.2f USD. Had drivers left as they did: %.1f %% of what they took, by equal shares %.1f %%.\n",
		c.EqualCharged, c.EqualShort, c.EqualUSD, 100*c.AsItWas, 100*c.AsItWasEqual)
	for _, t := range c.Tighter {
		fmt.Fprintf(out, "  Under %d W: %.1f kWh possible, %.1f of that not charged, peak %d W.\n", t.Limit, t.Feasible, t.Unmet, t.Peak)
	}
	_, err := fmt.Fprintf(out, "%.1f ms of CPU for 1,000 decisions, %.0f µs for one with what would have changed it; %d decisions, %d replayed.\n", r.DecideMS, r.RecordUS, r.Decisions, r.Replayed)
	return err
}
