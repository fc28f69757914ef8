//go:build small

package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

func adviseCmd() *cobra.Command      { return leftOut("advise") }
func benchAdviseCmd() *cobra.Command { return leftOut("bench advise") }

// leftOut stands for a verb, named by its path, that this program was built without.
func leftOut(path string) *cobra.Command {
	return &cobra.Command{
		Use:                "advise",
		Short:              "Left out of this program",
		Hidden:             true,
		DisableFlagParsing: true,
		RunE: func(*cobra.Command, []string) error {
			return fmt.Errorf("%s: this program was built without it (tag small): use the full one", path)
		},
	}
}
