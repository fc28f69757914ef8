package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/archive/dir"
	"github.com/lamppost/lamppost/internal/kv/pebble"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/internal/tilelog"
)

func fsckCmd() *cobra.Command {
	var data string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "fsck --data DIR",
		Short: "Check a data folder: derive everything again and compare",
		Long: `Check a data folder whose node is stopped: replay every block from the archive with all signatures, and compare
every leaf, tile, root, register, account and key of the state with what the folder holds.

Exit status: 0 all is well; 1 something does not fit, and is named; 2 wrong usage or an unreadable folder.`,
		Example: "  lamppost fsck --data ./node",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			db := filepath.Join(data, "db")
			if _, err := os.Stat(db); err != nil {
				return &ExitError{ExitUsage, fmt.Errorf("%q is not a node's data folder: %w", data, err)}
			}
			store, err := pebble.Open(db, pebble.Options{})
			if err != nil {
				return &ExitError{ExitUsage, err}
			}
			defer store.Close()
			bar := newProgress(cmd.ErrOrStderr())
			objects, err := dir.Open(filepath.Join(data, "archive"))
			if err != nil {
				return &ExitError{ExitUsage, err}
			}
			packs, err := archive.NewPacks(store, objects)
			if err != nil {
				return err
			}
			files := tilelog.FS{FS: os.DirFS(filepath.Join(data, "log"))}
			found, err := replica.Fsck(cmd.Context(), archive.View{Reader: store, Packs: packs}, files, func(at, last lamppost.Height) { bar.set(int64(at), int64(last), "blocks") })
			bar.end()
			if err != nil {
				return err
			}
			return reportCheckup(cmd.OutOrStdout(), found, asJSON)
		},
	}
	cmd.Flags().StringVar(&data, "data", "", "the node's data folder")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	_ = cmd.MarkFlagRequired("data")
	return cmd
}

func reportCheckup(out io.Writer, c *replica.Checkup, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		if err := enc.Encode(c); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(out, "Replayed %d blocks with %d transactions and %d reports; the root is %s.\n", c.Height, c.Transactions, c.Reports, c.Root)
		for _, f := range c.Faults {
			fmt.Fprintf(out, "FAULT %s: %s\n", f.Where, f.What)
		}
	}
	if len(c.Faults) > 0 {
		return &ExitError{ExitFailed, fmt.Errorf("%d faults: restore a backup, and keep this folder as evidence", len(c.Faults))}
	}
	if !asJSON {
		fmt.Fprintln(out, "Everything fits: leaves, roots, registers and accounts follow from the signed blocks.")
	}
	return nil
}

// A progress shows how far long work is, with the time it still takes, on a terminal; elsewhere it is silent.
type progress struct {
	out   io.Writer
	start time.Time
	shown time.Time
}

func newProgress(out io.Writer) *progress {
	if !isTerminal(out) {
		out = nil
	}
	return &progress{out: out, start: time.Now()}
}

func (p *progress) set(done, all int64, what string) {
	if p.out == nil || done < all && time.Since(p.shown) < 200*time.Millisecond {
		return
	}
	p.shown = time.Now()
	left := time.Duration(0)
	if done > 0 {
		left = time.Duration(float64(time.Since(p.start)) * float64(all-done) / float64(done)).Round(time.Second)
	}
	const width = 30
	n := int(width * done / max(all, 1))
	fmt.Fprintf(p.out, "\r[%-*s] %d of %d %s, %s left   ", width, bar[:n], done, all, what, left)
}

const bar = "=============================="

func (p *progress) end() {
	if p.out != nil && !p.shown.IsZero() {
		fmt.Fprintln(p.out)
	}
}
