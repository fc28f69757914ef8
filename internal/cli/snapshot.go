package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/lamppost/lamppost/internal/api"
)

func snapshotCmd() *cobra.Command {
	f := &nodeFlags{}
	return f.group("snapshot", "The ledger's whole state in a file, where a copy can begin: take and list", `  lamppost snapshot take --data ./node
  lamppost snapshot list --data ./node`, snapshotTakeCmd(f), snapshotListCmd(f))
}

func snapshotTakeCmd(f *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "take",
		Short: "Take one now",
		Long: `Take a snapshot now: the state as it stands goes into a file in the node's folder snapshots, its digest onto the ledger, and the
proof of that into the file. A node takes one every day by itself (snapshot_every); the latest three stay.`,
		Example: "  lamppost snapshot take --data ./node",
		Args:    cobra.NoArgs,
		RunE: f.run(func(n *remote, _ []string) error {
			n.client.Timeout = 0 // it takes as long as the state is large
			var done api.SnapshotFile
			raw, err := n.post("/api/snapshots", []byte("{}"), &done)
			if err != nil {
				return err
			}
			return n.show(raw, func(w io.Writer) {
				fmt.Fprintf(w, "Snapshot %s of block %d is taken, %.1f kB\n", done.Name, done.Height, float64(done.Bytes)/1e3)
			})
		}),
	}
}

func snapshotListCmd(f *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List those of the node, and what members said of their states",
		Example: "  lamppost snapshot list --data ./node",
		Args:    cobra.NoArgs,
		RunE: f.run(func(n *remote, _ []string) error {
			var list api.SnapshotList
			raw, err := n.get("/api/snapshots", &list)
			if err != nil {
				return err
			}
			return n.show(raw, func(w io.Writer) { printSnapshots(w, &list) })
		}),
	}
}

func printSnapshots(w io.Writer, list *api.SnapshotList) {
	files := table{head: []string{"FILE", ">BLOCK", ">KB"}}
	for _, s := range list.Files {
		files.add(s.Name, fmt.Sprint(s.Height), fmt.Sprintf("%.1f", float64(s.Bytes)/1e3))
	}
	files.print(w, "No snapshot was taken yet.")
	if len(list.Said) == 0 {
		return
	}
	fmt.Fprintln(w)
	said := table{head: []string{">BLOCK", "MEMBER", "SAID THE STATE IS", "IN BLOCK", ""}}
	for _, one := range list.Said {
		mark := ""
		if one.Disagree {
			mark = "THEY DISAGREE"
		}
		for _, m := range one.Members {
			said.add(fmt.Sprint(one.Height), string(m.Member), m.Digest[:16]+"…", fmt.Sprint(m.Block), mark)
		}
	}
	said.print(w, "")
}
