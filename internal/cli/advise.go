//go:build !small

package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/lamppost/lamppost/internal/advise"
	"github.com/lamppost/lamppost/internal/explore"
)

func adviseCmd() *cobra.Command {
	var fleet, rows, config string
	var example, force, asJSON bool
	cmd := &cobra.Command{
		Use:   "advise --fleet FILE",
		Short: "Say how a fleet of machines should be kept, and what that takes",
		Long: `Say how a fleet of machines should be kept: whether a ledger is needed at all, which engine and settings if so, what each class of devices
should do, and what that costs in a year. Every figure is predicted from measurements, with an interval that holds nine of ten of them; outside
what was measured nothing is said. docs/advise.md says how it decides, examples/fleets has fleets to begin with.

A fleet whose answer is "a database" or "a ledger of others" is answered as well: that is advice too. Nothing is changed anywhere.`,
		Example: `  lamppost advise --example > fleet.yaml
  lamppost advise --fleet fleet.yaml
  lamppost advise --fleet fleet.yaml --config node.yaml && lamppost serve --config node.yaml --check
  lamppost advise --fleet - --json < fleet.yaml
  lamppost advise --fleet fleet.yaml --rows ./sweep      measured on a machine of your own`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if example {
				_, err := fmt.Fprint(cmd.OutOrStdout(), advise.Example)
				return err
			}
			if fleet == "" {
				return usage(errors.New("advise: give --fleet FILE with what is known of the machines; --example prints one"))
			}
			a, err := adviseOn(cmd.InOrStdin(), fleet, rows)
			if err != nil {
				return err
			}
			if config != "" {
				if err := writeConfig(a, config, force); err != nil {
					return err
				}
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(a)
			}
			if _, err := io.WriteString(cmd.OutOrStdout(), a.Text()); err != nil || config == "" {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "\nThe configuration is in %s.\n", config)
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&fleet, "fleet", "", "file that says what is known of the machines, in YAML; - for the standard input")
	f.StringVar(&rows, "rows", "", "folder of a sweep, or rows.json of one, to predict from (default: what was measured for this version)")
	f.StringVar(&config, "config", "", "write the advised configuration there, for lamppost serve --config")
	f.BoolVar(&force, "force", false, "replace that file if it is there")
	f.BoolVar(&example, "example", false, "print a fleet with everything that can stand in one")
	f.BoolVar(&asJSON, "json", false, "print the answer as one JSON object")
	return cmd
}

func adviseOn(stdin io.Reader, name, rows string) (*advise.Answer, error) {
	text, err := readFleet(stdin, name)
	if err != nil {
		return nil, usage(fmt.Errorf("reading the fleet: %w; lamppost advise --example > fleet.yaml makes one", err))
	}
	f, err := advise.ParseFleet(text)
	if err != nil {
		return nil, usage(fmt.Errorf("%q: %w (lamppost advise --example shows what may stand in a fleet)", name, err))
	}
	m, err := measured(rows)
	if err != nil {
		return nil, err
	}
	return advise.Advise(f, m)
}

func readFleet(stdin io.Reader, name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(io.LimitReader(stdin, advise.MaxFleetBytes+1))
	}
	return os.ReadFile(name)
}

// measured is what predictions rest on: rows of somebody's own, or those that the program brings along.
func measured(path string) (*advise.Measured, error) {
	if path == "" {
		return advise.Shipped()
	}
	set, err := explore.Load(path)
	if err != nil {
		return nil, usage(err)
	}
	m, err := advise.Open(set)
	if err != nil {
		return nil, usage(fmt.Errorf("%q: %w", path, err))
	}
	return m, nil
}

func writeConfig(a *advise.Answer, path string, force bool) error {
	if a.Config == "" {
		return fmt.Errorf("there is no configuration to write: %s", a.Summary)
	}
	out, err := newFile(path, force)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(out.file(path), a.Config); err != nil {
		out.abort()
		return err
	}
	return out.commit()
}
