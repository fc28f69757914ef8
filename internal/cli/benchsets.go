package cli

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"

	"github.com/spf13/cobra"
)

// overSets completes a verb that measures over data sets with its flags and what it runs. missing says what is not there without them,
// with its verb; folder, what the folder of sets holds.
func overSets[R any](cmd *cobra.Command, sets *string, missing, folder string,
	run func(ctx context.Context, progress func(done, all int64, what string)) (*R, error), show func(io.Writer, *R) error) *cobra.Command {
	var asJSON bool
	cmd.Args = cobra.NoArgs
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *sets == "" {
			return usage(errors.New(missing + " not come with this program: say where the data sets are with --sets DIR"))
		}
		bar := newProgress(cmd.ErrOrStderr())
		res, err := run(cmd.Context(), bar.set)
		bar.end()
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return usage(err)
		case err != nil:
			return err
		case asJSON:
			return json.NewEncoder(cmd.OutOrStdout()).Encode(res)
		}
		return show(cmd.OutOrStdout(), res)
	}
	cmd.Flags().StringVar(sets, "sets", "", folder)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}
