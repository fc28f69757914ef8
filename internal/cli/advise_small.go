//go:build small

package cli

import (
	"errors"

	"github.com/spf13/cobra"
)

func adviseCmd() *cobra.Command {
	return &cobra.Command{
		Use:                "advise",
		Short:              "Left out of this program",
		Hidden:             true,
		DisableFlagParsing: true,
		RunE: func(*cobra.Command, []string) error {
			return errors.New("advise: this program was built without it (tag small): use the full one")
		},
	}
}
