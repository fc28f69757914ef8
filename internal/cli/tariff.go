package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // `tariff example` must know Berlin's clock on machines without a time zone database

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/tariff"
	"github.com/spf13/cobra"
)

func tariffCmd() *cobra.Command {
	f := &nodeFlags{}
	return f.group("tariff", "Priced terms: add, list, and an example to start from", `  lamppost tariff example > tariff.json
  lamppost tariff add tariff.json
  lamppost tariff list
  lamppost tariff try tariff.json --point flat-3 --from 2026-01-01 --to 2026-11-01`, tariffAddCmd(f), tariffListCmd(f), tariffTryCmd(f), tariffExampleCmd())
}

func tariffAddCmd(f *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "add FILE.json",
		Short: "Add a version of a tariff from a JSON file",
		Long: `Add a version of a tariff from a JSON file, or from the standard input with "-". Terms never change: other prices are
the next version, which begins later. docs/api.md lists the fields; ` + "`lamppost tariff example`" + ` prints a file to start from.`,
		Example: `  lamppost tariff add tariff.json
  lamppost tariff example | lamppost tariff add -`,
		Args: oneArg("a JSON file, or - for the standard input"),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := readTariff(cmd.InOrStdin(), args[0])
			if err != nil {
				return usage(err)
			}
			var t tariff.Tariff
			if err := json.Unmarshal(text, &t); err != nil {
				return usage(fmt.Errorf("%s is not a tariff in JSON: %v", args[0], err))
			}
			return f.run(func(n *remote, _ []string) error {
				return n.order("/api/tariffs", text, fmt.Sprintf("Tariff %s version %d is registered", t.ID, t.Version))
			})(cmd, args)
		},
	}
}

func readTariff(stdin io.Reader, name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(io.LimitReader(stdin, lamppost.MaxBodyBytes))
	}
	return os.ReadFile(name)
}

func tariffListCmd(f *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List tariffs and their versions",
		Example: "  lamppost tariff list",
		Args:    cobra.NoArgs,
		RunE: f.run(func(n *remote, _ []string) error {
			var all api.TariffList
			raw, err := n.get("/api/tariffs", &all)
			if err != nil {
				return err
			}
			return n.show(raw, func(w io.Writer) {
				t := table{head: []string{"ID", ">VERSION", "SELLER", "FROM", "UNTIL", "PRICES", ">STANDING/DAY", ">TAX"}}
				for i := range all.Tariffs {
					x := &all.Tariffs[i]
					t.add(x.ID, strconv.Itoa(int(x.Version)), string(x.Seller), localDate(&x.Zone, x.From), localDate(&x.Zone, x.To), prices(x),
						x.Standing.String(), lamppost.Dec(int64(x.Tax.BasisPoints), -2).String()+" %")
				}
				t.print(w, "No tariffs yet. Start from an example: lamppost tariff example > tariff.json")
			})
		}),
	}
}

// prices names each band's price once.
func prices(t *tariff.Tariff) string {
	if t.Series != nil {
		return fmt.Sprintf("%d prices in %s per %s", len(t.Series.Prices), t.Currency, t.PerUnit)
	}
	var parts []string
	seen := map[string]bool{}
	for _, b := range t.Bands {
		if !seen[b.Name] {
			seen[b.Name] = true
			parts = append(parts, b.Name+" "+b.Price.String())
		}
	}
	return strings.Join(parts, ", ") + " " + t.Currency + "/" + t.PerUnit
}

func tariffExampleCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "example",
		Short: "Print a valid tariff to start from: day and night in Berlin",
		Long: `Print a valid tariff to start from: a day and a night price on Berlin's clock, a standing charge, and German value
added tax. The clock's changes of this and the next year stand in it as data, so that a bill is computed alike for ever.`,
		Example: "  lamppost tariff example > tariff.json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			t, err := exampleTariff(time.Now())
			if err != nil {
				return err
			}
			text, err := json.MarshalIndent(t, "", "  ")
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", text)
			return err
		},
	}
}

// exampleTariff is valid from the beginning of now's year, with the clock changes of that year and the next.
func exampleTariff(now time.Time) (*tariff.Tariff, error) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		return nil, err
	}
	year := now.In(berlin).Year()
	from := lamppost.TimeMS(time.Date(year, 1, 1, 0, 0, 0, 0, berlin).UnixMilli())
	end := lamppost.TimeMS(time.Date(year+2, 1, 1, 0, 0, 0, 0, berlin).UnixMilli())
	night := lamppost.Micro(280_000)
	t := &tariff.Tariff{
		ID: "house-power", Version: 1, Seller: "landlord", Currency: "EUR", From: from, PerUnit: "kWh", RegisterUnit: "Wh", Scale: 3,
		Zone: tariff.ZoneOf(berlin, from, end-1),
		Bands: []tariff.Band{
			{Name: "day", FromMin: 6 * 60, ToMin: 22 * 60, Price: 340_000},
			{Name: "night", FromMin: 0, ToMin: 6 * 60, Price: night},
			{Name: "night", FromMin: 22 * 60, ToMin: 24 * 60, Price: night},
		},
		Standing: 150_000, Rounding: tariff.RoundHalfUp, Tax: tariff.Tax{Category: "S", BasisPoints: 1900},
	}
	return t, t.Validate()
}
