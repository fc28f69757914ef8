package cli

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/folder"
	"github.com/lamppost/lamppost/internal/network"
	"github.com/lamppost/lamppost/sig"
)

func initCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Found a network of several members",
		Long: `Found a network of several members. A node on its own needs none of this: lamppost serve founds its network.

Each member makes its key and its card; one of them founds the network with everybody's cards; all start with the file that comes
of it. A node that is alone and shall not stay so: lamppost init raft. See docs/cluster.md.`,
		Example: `  lamppost init member north --org utility --address north.example:7650 --url https://north.example:8443 --data ./node > north.yaml
  lamppost init network house-7 --engine raft --members north.yaml,south.yaml,west.yaml --trust utility,coop --data ./node
  cp network.yaml ./node/ && lamppost serve --data ./node      # the other members
  lamppost init raft --address north.example:7650 --url https://north.example:8443 --data ./node                            # from one node`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(initMemberCmd(), initNetworkCmd(), initRaftCmd())
	return cmd
}

func initMemberCmd() *cobra.Command {
	var data string
	var m network.Member
	cmd := &cobra.Command{
		Use:   "member ID --address HOST:PORT --data DIR",
		Short: "Make a member's key and card",
		Long: `Make the key of a member, in its data folder, and print its card: what the others need to know of it. The key never leaves the
folder. Saying it again makes the card anew, with the same key.`,
		Example: `  lamppost init member north --org utility --address north.example:7650 --url https://north.example:8443 --data ./node > north.yaml`,
		Args:    oneArg("the member's id, such as north"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if data == "" {
				return usage(errors.New("init member: give --data DIR for the member's key"))
			}
			m.ID = lamppost.MemberID(args[0])
			key, err := memberKey(data, true)
			if err != nil {
				return err
			}
			m.Key = base64.StdEncoding.EncodeToString(key.Public().Bytes())
			if err := m.Check(); err != nil {
				return usage(err)
			}
			if err := folder.WriteDurably(filepath.Join(data, folder.Card), string(m.Bytes()), 0o600); err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(m.Bytes())
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&data, "data", "", "the member's data folder; made if it is not there")
	f.StringVar(&m.Org, "org", "", "the organisation whose it is")
	f.StringVar(&m.Address, "address", "", "host:port where the other members' engines find it")
	f.StringVar(&m.URL, "url", "", "its HTTP door, as the other members see it")
	return cmd
}

// memberKey reads the key in a data folder.
func memberKey(data string, create bool) (*sig.PrivateKey, error) {
	read := folder.ReadSecret
	if create {
		if err := os.MkdirAll(data, 0o700); err != nil {
			return nil, err
		}
		read = folder.Secret
	}
	seed, err := read(data, folder.MemberKey, sig.SeedSize)
	if err != nil {
		return nil, err
	}
	return sig.NewPrivateKey(sig.EdDSA, seed)
}

func initNetworkCmd() *cobra.Command {
	var data, out string
	var cards, trust []string
	var f network.File
	cmd := &cobra.Command{
		Use:   "network ID --engine raft|comet --members CARD,… --data DIR",
		Short: "Found a network with the cards of its members",
		Long: `Found a network with the cards of its members, signed with the key of the one in --data, and write its file: here, and into that
folder. Every member puts the file into its own data folder as it is, and starts.

raft is for members who believe each other: fewer than half may stop, and it is faster. With it each member believes what the
leader sends, so it is refused among organisations that are not said to trust each other, unless a reason is given, which stands in the
ledger for all to see. comet is for those who do not: of four members one may stop or lie, of seven two.`,
		Example: `  lamppost init network house-7 --engine raft --members north.yaml,south.yaml,west.yaml --trust utility,coop --data ./node
  lamppost init network street --engine comet --members a.yaml,b.yaml,c.yaml,d.yaml --data ./node`,
		Args: oneArg("the network's id, such as house-7"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if data == "" {
				return usage(errors.New("init network: give --data DIR with the key of a member: lamppost init member makes it"))
			}
			f.Network = args[0]
			for _, group := range trust {
				f.Trust = append(f.Trust, strings.Split(group, ","))
			}
			for _, path := range cards {
				m, err := network.ReadMember(path)
				if err == nil && m == nil {
					err = fmt.Errorf("card %q is not there: lamppost init member makes it", path)
				}
				if err != nil {
					return usage(err)
				}
				f.Members = append(f.Members, *m)
			}
			return foundNetwork(cmd, &f, data, out)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&data, "data", "", "the data folder of the member that signs")
	fl.StringVar(&f.Engine, "engine", "", "how members agree: raft or comet")
	fl.StringVar(&f.Verify, "verify", "full", `who checks devices' signatures: "full", every member, or "gateway", gateways and samples`)
	fl.BoolVar(&f.AdmitUnsigned, "admit-unsigned", false, "let devices be enrolled that nobody vouches for")
	fl.StringSliceVar(&cards, "members", nil, "files with the members' cards")
	fl.StringArrayVar(&trust, "trust", nil, "organisations that trust each other, as ORG,ORG; once for each group")
	fl.StringVar(&f.Reason, "reason", "", "why raft all the same, among organisations that are not said to trust each other")
	fl.StringVar(&out, "out", folder.Network, "file to write")
	return cmd
}

func foundNetwork(cmd *cobra.Command, f *network.File, data, out string) error {
	key, err := memberKey(data, false)
	if err != nil {
		return usage(err)
	}
	inside := filepath.Join(data, folder.Network)
	for _, path := range []string{out, inside} {
		if _, err := os.Stat(path); err == nil {
			return usage(fmt.Errorf("%q is there already: a network is founded once; move the file away if it was never started", path))
		}
	}
	if err := f.Found(key, time.Now()); err != nil {
		return usage(err)
	}
	if err := errors.Join(folder.WriteDurably(inside, string(f.Bytes()), 0o644), folder.WriteDurably(out, string(f.Bytes()), 0o644)); err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "Network %s is founded: %d members, ordered by %s.\n", f.Network, len(f.Members), f.Engine)
	if f.Engine == lamppost.Comet.String() && len(f.Members) < 4 {
		fmt.Fprintf(cmd.OutOrStdout(), "With %d members nobody may lie or stop: four bear one.\n", len(f.Members))
	}
	fmt.Fprintf(cmd.OutOrStdout(), "Every member puts %s into its data folder as it is, and starts: lamppost serve --data DIR\n", out)
	return nil
}
