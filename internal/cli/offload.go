package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/folder"
	"github.com/lamppost/lamppost/internal/tilelog"
)

func logCmd() *cobra.Command {
	f := &nodeFlags{}
	return f.group("log", "The published log: move old tiles away", `  lamppost log offload --to /mnt/archive/house-7 --before 1y --data ./node`, offloadCmd(f))
}

func offloadCmd(f *nodeFlags) *cobra.Command {
	var to, before string
	cmd := &cobra.Command{
		Use:   "offload --to DIR --before SIZE|AGE --data DIR",
		Short: "Move old tiles of the log to another folder, where they are still read",
		Long: `Copy complete tiles and bundles of the log to another folder, read them back there against the signed root, and remove the
leaves and their hashes here. A node reads them there when it is started with log_archive, and serves them at /log/ as before. The
folder can be on a slower disk, or be shown by a web server. SIZE counts leaves; AGE is like 90d, 12w or 2y.`,
		Example: "  lamppost log offload --to /mnt/archive/house-7 --before 1y --data ./node",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.data == "" {
				return usage(errors.New("log offload: give --data DIR with the node's data folder"))
			}
			return offload(cmd, f, to, before)
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "folder to move to; made if it is not there")
	cmd.Flags().StringVar(&before, "before", "", "what to move: the first so many leaves, or those older than an age such as 1y")
	_ = cmd.MarkFlagRequired("to")
	_ = cmd.MarkFlagRequired("before")
	return cmd
}

func offload(cmd *cobra.Command, f *nodeFlags, to, before string) error {
	to, err := filepath.Abs(to)
	if err != nil {
		return err
	}
	runs, err := readsThere(cmd, f, to)
	if err != nil {
		return err
	}
	here, err := tilelog.OpenDir(filepath.Join(f.data, folder.Log))
	if err != nil {
		return usage(err)
	}
	head, err := publishedHead(f.data, here)
	if err != nil {
		return usage(err)
	}
	there, err := tilelog.OpenDir(to)
	if err != nil {
		return err
	}
	tree := tilelog.TreeOf(tilelog.Layers{here, there}, head)
	size, err := sizeBefore(tree, before, time.Now())
	if err != nil {
		return err
	}
	bar := newProgress(cmd.ErrOrStderr())
	moved, err := tilelog.Offload(cmd.Context(), here, there, head, size, func(done, all int64) { bar.set(done, all, "bundles") })
	bar.end()
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "Moved %d bundles with their tiles, %.1f MB. The first %d leaves of %d are in %s.\n", moved.Bundles, float64(moved.Bytes)/1e6, moved.Before, head.Size, to)
	if !runs {
		fmt.Fprintf(cmd.OutOrStdout(), "Start the node with log_archive: %s, or it cannot prove them.\n", to)
	}
	return nil
}

// readsThere says whether a node runs on the folder, which then must read where tiles are moved to.
func readsThere(cmd *cobra.Command, f *nodeFlags, to string) (runs bool, err error) {
	n, err := f.open(cmd)
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), 5*time.Second)
	defer cancel()
	n.ctx = ctx
	var s api.Status
	if _, err := n.get("/api/status", &s); err != nil {
		return false, nil // nobody answers for this folder
	}
	if s.Log.Archive != to {
		return true, usage(fmt.Errorf("a node runs on %q that would not find the tiles in %q: start it with log_archive: %s first (it has %q)", f.data, to, to, s.Log.Archive))
	}
	return true, nil
}

// publishedHead is the checkpoint in a data folder, by the signature of a member.
func publishedHead(data string, files tilelog.Source) (lamppost.Checkpoint, error) {
	text, err := os.ReadFile(filepath.Join(data, folder.Pin))
	if err != nil {
		return lamppost.Checkpoint{}, err
	}
	pin, err := audit.ParsePin(string(text))
	if err != nil {
		return lamppost.Checkpoint{}, err
	}
	signed, err := files.Get(tilelog.CheckpointPath)
	if err != nil {
		return lamppost.Checkpoint{}, err
	}
	return pin.OpenCheckpoint(signed)
}

// sizeBefore reads --before: a number of leaves, or an age, for which it looks up the times of blocks in the log.
func sizeBefore(tree *tilelog.Tree, before string, now time.Time) (int64, error) {
	if n, err := strconv.ParseInt(before, 10, 64); err == nil && n >= 0 {
		return n, nil
	}
	days, err := parseDays("--before", before)
	if err != nil || days == 0 || strings.EqualFold(before, "ever") {
		return 0, usage(fmt.Errorf("--before %q: write a number of leaves, or an age like 90d, 12w or 2y", before))
	}
	limit := lamppost.TimeMS(now.Add(-time.Duration(days) * 24 * time.Hour).UnixMilli())
	low, high := int64(0), (tree.Size()+255)>>8 // bundles whose blocks are older; one where they are not
	for low < high {
		mid := (low + high) / 2
		at, err := timeFrom(tree, mid)
		if err != nil {
			return 0, err
		}
		if at < limit {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return max(0, low-1) << 8, nil // the last of them may end with younger ones
}

// timeFrom is the time of the first block that ends in a bundle or after it.
func timeFrom(tree *tilelog.Tree, n int64) (lamppost.TimeMS, error) {
	for ; n<<8 < tree.Size(); n++ {
		leaves, err := tree.Bundle(n)
		if err != nil {
			return 0, err
		}
		for _, raw := range leaves {
			if b, err := lamppost.ParseBlockLeaf(raw); err == nil {
				return b.Time, nil
			}
		}
	}
	return 1<<63 - 1, nil
}
