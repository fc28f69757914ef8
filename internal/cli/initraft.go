package cli

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lamppost/lamppost/internal/folder"
	"github.com/lamppost/lamppost/internal/node"
)

func initRaftCmd() *cobra.Command {
	var cfg node.TurnConfig
	var trust []string
	var archived string
	var dry, yes bool
	cmd := &cobra.Command{
		Use:   "raft --data DIR --address HOST:PORT",
		Short: "Let a node that orders alone have others beside it",
		Long: `Make of the folder of a stopped node, which orders alone, that of the only member of a network under raft: the same network, with
its chain, log, keys, tokens and devices. Nothing that anybody holds becomes invalid. Afterwards others come in by lamppost member add.

It is one order more on the ledger, and cannot be undone. Who checks devices' signatures (--verify) and whether unsigned ones are let
in (--admit-unsigned) stay as the network was founded. --trust and --reason are said now and never again: without them, only members
of this node's own organisation come in. Its organisation and its addresses change later by lamppost member add.

If it is killed, the folder is as it was or has turned whole, at the next start at the latest. Programs that follow the log or check
statements must know this order: update them first.`,
		Example: `  lamppost init raft --org utility --address north.example:7650 --url https://north.example:8443 --trust utility,coop --data ./node --dry-run
  lamppost init raft --org utility --address north.example:7650 --url https://north.example:8443 --trust utility,coop --data ./node`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if cfg.Data == "" {
				return usage(errors.New("init raft: give --data DIR with the folder of a stopped node"))
			}
			for _, group := range trust {
				cfg.Trust = append(cfg.Trust, strings.Split(group, ","))
			}
			if cfg.Archive, err = logArchive(archived); err != nil {
				return usage(err)
			}
			cfg.Now = time.Now
			return turn(cmd, cfg, dry, yes)
		},
	}
	f := cmd.Flags()
	f.StringVar(&cfg.Data, "data", "", "the node's data folder")
	f.StringVar(&cfg.Org, "org", "", "the organisation whose it is")
	f.StringVar(&cfg.Address, "address", "", "host:port where the other members' engines find it")
	f.StringVar(&cfg.URL, "url", "", "its HTTP door, as the other members see it")
	f.StringArrayVar(&trust, "trust", nil, "organisations that trust each other, as ORG,ORG; once for each group")
	f.StringVar(&cfg.Reason, "reason", "", "why raft all the same, among organisations that are not said to trust each other")
	f.StringVar(&archived, "log-archive", "", "where tiles of the log are that were moved away: a folder or an address")
	f.BoolVar(&dry, "dry-run", false, "do it on a copy of the store, say what would be, and leave the folder as it is")
	f.BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

func turn(cmd *cobra.Command, cfg node.TurnConfig, dry, yes bool) (err error) {
	t, err := node.OpenTurn(cfg)
	if err != nil {
		return usage(err)
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	out := cmd.OutOrStdout()
	if t.Done {
		fmt.Fprintf(out, "Network %s orders by raft already: nothing was done. Addresses change by lamppost member add CARD.\n", t.Network)
		return nil
	}
	fmt.Fprintf(out, "Network %s, so far ordered by %s alone, is ordered by raft from block %d on. Others find %s at %s.\n", t.Network, t.Member.ID, t.Height, t.Member.ID, t.Member.Address)
	if dry {
		fmt.Fprintln(out, "It was done on a copy of the store, and fits. The folder is as it was.")
		return nil
	}
	if err := confirm(cmd, yes, fmt.Sprintf("%q will be that of a network under raft. This cannot be undone.", cfg.Data)); err != nil {
		return err
	}
	if err := t.Commit(); err != nil {
		return err
	}
	file := filepath.Join(cfg.Data, folder.Network)
	fmt.Fprintf(out, "Done. Start the node as before. Who joins puts %s into its data folder, makes its card by lamppost init member, and starts;\nthen let it in: lamppost member add CARD --data %s\n", file, cfg.Data)
	return nil
}
