package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/lamppost/lamppost/internal/fsck"
	"github.com/lamppost/lamppost/internal/node"
	"github.com/lamppost/lamppost/internal/replica"
	"github.com/lamppost/lamppost/internal/tilelog"
)

// ExitRepaired is how fsck ends where all that it found was put right.
const ExitRepaired = 3

func fsckCmd() *cobra.Command {
	var f fsck.Folder
	var archived string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "fsck --data DIR [--repair]",
		Short: "Check a data folder: derive everything again and compare",
		Long: `Check a data folder whose node is stopped, without changing it: every byte of the store, of the archive's objects and of the
snapshots against their checksums; every tile of the log, every body and outcome against what the log commits to; and all registers,
accounts and keys of the state, which is derived again from the signed blocks: from the first one, or, where the history was
pruned, from the oldest snapshot after that whose digest stands in the log. What does not fit is named, with what follows from it.

--repair puts right what follows from the rest: tiles from bundles and the other way round, the list of packs from their objects, the
end of the log in the store; a damaged snapshot is removed, and the node takes another. Nothing else is touched.

Exit status: 0 all is well; 1 something does not fit; 2 wrong usage or an unreadable folder; 3 all that did not fit was put right.`,
		Example: `  lamppost fsck --data ./node
  lamppost fsck --data ./node --repair`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if f.Archive, err = logArchive(archived); err != nil {
				return usage(err)
			}
			bar := newProgress(cmd.ErrOrStderr())
			f.Progress = func(step string, done, all int64) { bar.set(done, all, step) }
			found, err := f.Check(cmd.Context())
			bar.end()
			if err != nil && cmd.Context().Err() == nil {
				return usage(err)
			}
			if err != nil {
				return err
			}
			return reportCheckup(cmd.OutOrStdout(), found, asJSON)
		},
	}
	cmd.Flags().StringVar(&f.Data, "data", "", "the node's data folder")
	cmd.Flags().BoolVar(&f.Repair, "repair", false, "put right what follows from the rest")
	cmd.Flags().StringVar(&archived, "log-archive", "", "where tiles of the log are that were moved away: a folder or an address")
	cmd.Flags().StringVar(&f.Scratch, "tmp", "", "folder for the state that is derived again (default: where temporary files go)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	_ = cmd.MarkFlagRequired("data")
	return cmd
}

// logArchive is where tiles are that were moved away; nil: nowhere.
func logArchive(at string) (tilelog.Source, error) {
	if at == "" || isURL(at) {
		return node.LogArchive(at), nil
	}
	if _, err := os.Stat(at); err != nil {
		return nil, fmt.Errorf("the log's archive: %w", err)
	}
	return node.LogArchive(at), nil
}

func reportCheckup(out io.Writer, c *replica.Checkup, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		if err := enc.Encode(c); err != nil {
			return err
		}
	} else {
		printCheckup(out, c)
	}
	left := fsck.Remaining(c)
	switch {
	case left > 0:
		return &ExitError{ExitFailed, fmt.Errorf("%d faults: restore a backup, and keep this folder as evidence", left)}
	case len(c.Faults) > 0:
		return &ExitError{ExitRepaired, fmt.Errorf("%d faults were put right: check once more", len(c.Faults))}
	case !asJSON && c.Replayed:
		fmt.Fprintln(out, "Everything fits: leaves, roots, registers and accounts follow from the signed blocks.")
	case !asJSON:
		fmt.Fprintln(out, "Everything fits that could be compared.")
	}
	return nil
}

func printCheckup(out io.Writer, c *replica.Checkup) {
	fmt.Fprintf(out, "Compared %d leaves of the log with %d transactions and %d reports, of which %d are pruned or erased.\n", c.Leaves, c.Transactions, c.Reports, c.Gone)
	if c.Replayed && c.From == 0 {
		fmt.Fprintf(out, "Replayed all blocks up to %d; the root is %s.\n", c.Height, c.Root)
	} else if c.Replayed {
		fmt.Fprintf(out, "Replayed blocks %d to %d from the snapshot before them; the root is %s.\n", c.From+1, c.Height, c.Root)
	}
	for i := range c.Faults {
		fmt.Fprintln(out, printable("FAULT "+fsck.Words(&c.Faults[i])))
	}
	for _, n := range c.Notes {
		fmt.Fprintln(out, printable("Note: "+n))
	}
}

// A progress shows how far long work is, with the time it still takes, on a terminal; elsewhere it is silent.
type progress struct {
	out   io.Writer
	what  string
	rate  string    // shown beside it
	start time.Time // of what
	shown time.Time
}

func newProgress(out io.Writer) *progress {
	if !isTerminal(out) {
		out = nil
	}
	return &progress{out: out, start: time.Now()}
}

func (p *progress) set(done, all int64, what string) {
	if p.out != nil && p.what != what {
		p.end()
		p.what, p.start, p.shown = what, time.Now(), time.Time{}
	}
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
	fmt.Fprintf(p.out, "\r[%-*s] %d of %d %s, %s left   %s", width, bar[:n], done, all, what, left, p.rate)
}

const bar = "=============================="

func (p *progress) end() {
	if p.out != nil && !p.shown.IsZero() {
		fmt.Fprintln(p.out)
		p.shown = time.Time{}
	}
}
