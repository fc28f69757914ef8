package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/node"
)

func serveCmd() *cobra.Command {
	var file, member string
	var witnesses []string
	var check, asJSON bool
	var flags node.Config
	cmd := &cobra.Command{
		Use:   "serve --data DIR",
		Short: "Run a node: everything in one process and one folder",
		Long: `Run a node: MQTT and HTTP for devices, the ledger, the log, the dashboard, in one process and one folder.

The first start founds a network in the folder and prints the administrator's token, which is also in its file
admin.token. Only this machine can reach a node unless it is given an address and a TLS certificate.

With --mqtt-broker the node also takes what devices publish to an MQTT broker that is there already (MQTT 5), signed or by
--mapping. Its password is best given in LAMPPOST_BROKER_PASSWORD or in the configuration file, where no list of processes
shows it.`,
		Example: `  lamppost serve --data ./node
  lamppost serve --data ./node --http 0.0.0.0:8443 --mqtt 0.0.0.0:8883 --tls-cert cert.pem --tls-key key.pem
  LAMPPOST_BROKER_PASSWORD=… lamppost serve --data ./node --mqtt-broker mqtts://node@broker.example
  lamppost serve --config node.yaml --check`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg := node.Config{}
			if file != "" {
				if err := cfg.ReadConfig(file); err != nil {
					return &ExitError{ExitUsage, err}
				}
			}
			override(cmd, &cfg, flags, member)
			if secret := os.Getenv("LAMPPOST_BROKER_PASSWORD"); secret != "" && cfg.Broker.URL != "" {
				cfg.Broker.Password = secret
			}
			if err := addWitnesses(&cfg, witnesses); err != nil {
				return usage(err)
			}
			if err := cfg.Check(); err != nil {
				return &ExitError{ExitUsage, err}
			}
			if check {
				return checked(cmd, &cfg)
			}
			cfg.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
			if asJSON {
				cfg.Log = slog.New(slog.NewJSONHandler(os.Stderr, nil))
			}
			return serve(cmd, cfg)
		},
	}
	f := cmd.Flags()
	f.StringVar(&flags.Data, "data", "", "folder for everything the node keeps; made if it is not there")
	f.StringVar(&file, "config", "", "YAML file with the same settings; flags override it")
	f.StringVar(&flags.Network, "network", "", `id of a new network (default "lamppost")`)
	f.StringVar(&member, "member", "", `this node's seat in a new network (default "node1")`)
	f.StringVar(&flags.HTTP, "http", "", "address for HTTP and the dashboard (default 127.0.0.1:8080)")
	f.StringVar(&flags.MQTT, "mqtt", "", `address for MQTT, or "off" (default 127.0.0.1:1883)`)
	f.StringVar(&flags.TLSCert, "tls-cert", "", "certificate for both doors, PEM")
	f.StringVar(&flags.TLSKey, "tls-key", "", "its key, PEM")
	f.StringVar(&flags.TLSClientCA, "tls-client-ca", "", "authorities, PEM: devices with their certificates need no password")
	f.StringVar(&flags.Mapping, "mapping", "", "file that says what foreign JSON on MQTT topics means, for devices that do not sign")
	f.StringVar(&flags.Broker.URL, "mqtt-broker", "", "MQTT broker to join: mqtts://[USER@]HOST[:8883], or mqtt://HOST[:1883]")
	f.StringVar(&flags.Broker.CA, "mqtt-broker-ca", "", "authorities of the broker's certificate, PEM (default: the system's)")
	f.StringVar(&flags.Broker.Group, "mqtt-broker-group", "", "share what comes from the broker with the nodes that name this group")
	f.BoolVar(&flags.Broker.ACL, "mqtt-broker-acl", false, "the broker lets a device publish only to topics that name it")
	f.BoolVar(&flags.Broker.Plain, "mqtt-broker-plain", false, "allow mqtt:// to another machine, in the clear")
	f.StringVar(&flags.LogArchive, "log-archive", "", "where tiles of the log are that were moved away: a folder or an address")
	f.StringVar(&flags.Triage, "triage", "", "whether readings are judged as they come: on or off (default on)")
	f.Var(&flags.Scrub, "scrub", "time in which everything on the disk is read again and checked, or off (default 168h)")
	f.Var(&flags.SnapshotEvery, "snapshot-every", "time between snapshots of the state, on the node's clock, or off (default 24h)")
	f.BoolVar(&flags.AdmitUnsigned, "admit-unsigned", false, "let a new network enrol devices that nobody vouches for")
	f.StringVar(&flags.Verify, "verify", "", `who checks devices' signatures in a new network: "full", every replica, or "gateway", gateways and samples (default "full")`)
	f.Float64Var(&flags.Sample, "sample", 0, "share of trusted gateways' reports that this node checks itself (default 0.01)")
	f.DurationVar(&flags.Linger, "linger", 0, "longest wait of a report for others (default 25ms)")
	f.StringArrayVar(&witnesses, "witness", nil, "a witness to ask for cosignatures, as 'VKEY URL'; once for each")
	f.IntVar(&flags.WitnessQuorum, "witness-quorum", 0, "how many of them are enough (default more than half)")
	f.BoolVar(&check, "check", false, "check the configuration and end")
	f.BoolVar(&asJSON, "log-json", false, "log in JSON")
	return cmd
}

// override puts the flags that were given over what the file says.
func override(cmd *cobra.Command, cfg *node.Config, flags node.Config, member string) {
	set := cmd.Flags().Changed
	for name, fields := range map[string][2]*string{
		"data": {&cfg.Data, &flags.Data}, "network": {&cfg.Network, &flags.Network}, "http": {&cfg.HTTP, &flags.HTTP},
		"mqtt": {&cfg.MQTT, &flags.MQTT}, "tls-cert": {&cfg.TLSCert, &flags.TLSCert}, "tls-key": {&cfg.TLSKey, &flags.TLSKey},
		"mapping": {&cfg.Mapping, &flags.Mapping}, "tls-client-ca": {&cfg.TLSClientCA, &flags.TLSClientCA},
		"mqtt-broker": {&cfg.Broker.URL, &flags.Broker.URL}, "mqtt-broker-ca": {&cfg.Broker.CA, &flags.Broker.CA},
		"log-archive":       {&cfg.LogArchive, &flags.LogArchive},
		"triage":            {&cfg.Triage, &flags.Triage},
		"mqtt-broker-group": {&cfg.Broker.Group, &flags.Broker.Group},
		"verify":            {&cfg.Verify, &flags.Verify},
	} {
		if set(name) {
			*fields[0] = *fields[1]
		}
	}
	if set("member") {
		cfg.Member = lamppost.MemberID(member)
	}
	for name, fields := range map[string][2]*bool{"admit-unsigned": {&cfg.AdmitUnsigned, &flags.AdmitUnsigned},
		"mqtt-broker-acl": {&cfg.Broker.ACL, &flags.Broker.ACL}, "mqtt-broker-plain": {&cfg.Broker.Plain, &flags.Broker.Plain}} {
		if set(name) {
			*fields[0] = *fields[1]
		}
	}
	if set("snapshot-every") {
		cfg.SnapshotEvery = flags.SnapshotEvery
	}
	if set("scrub") {
		cfg.Scrub = flags.Scrub
	}
	if set("sample") {
		cfg.Sample = flags.Sample
	}
	if set("linger") {
		cfg.Linger = flags.Linger
	}
	if set("witness-quorum") {
		cfg.WitnessQuorum = flags.WitnessQuorum
	}
}

// addWitnesses takes those of the flags instead of the file's.
func addWitnesses(cfg *node.Config, given []string) error {
	if len(given) > 0 {
		cfg.Witnesses = nil
	}
	for _, text := range given {
		fields := strings.Fields(text)
		if len(fields) != 2 {
			return fmt.Errorf("--witness %q: say its verifier key and its address, as in --witness 'witness.example+5f2e00d1+B… https://witness.example'", text)
		}
		cfg.Witnesses = append(cfg.Witnesses, node.Witness{VKey: fields[0], URL: fields[1]})
	}
	return nil
}

// checked says what is known of a configuration without running it. A broker is asked, for a password is good only there.
func checked(cmd *cobra.Command, cfg *node.Config) error {
	fmt.Fprintf(cmd.OutOrStdout(), "The configuration is good: data in %s, HTTP on %s, MQTT on %s.\n", cfg.Data, cfg.HTTP, cfg.MQTT)
	if err := cfg.ProbeBroker(cmd.Context()); err != nil {
		return fmt.Errorf("the broker cannot be joined as things are: %w", err)
	}
	if cfg.Broker.URL != "" {
		fmt.Fprintln(cmd.OutOrStdout(), "The broker can be reached and takes the log-in.")
	}
	return nil
}

func serve(cmd *cobra.Command, cfg node.Config) error {
	for {
		n, err := node.Open(cfg)
		if err != nil {
			return err
		}
		announce(cmd, n, &cfg)
		if err := n.Run(cmd.Context()); !errors.Is(err, node.ErrArrived) || cmd.Context().Err() != nil {
			return err
		}
	}
}

func announce(cmd *cobra.Command, n *node.Node, cfg *node.Config) {
	out := cmd.OutOrStdout()
	fmt.Fprintf(out, "Network %s is served from %s.\n", n.Network(), cfg.Data)
	if n.Founded() {
		fmt.Fprintf(out, "Administrator's token, shown this once (kept in %s/admin.token): %s\n", cfg.Data, n.AdminToken())
	}
	fmt.Fprintf(out, "Dashboard and API: %s\n", n.URL())
	if addr := n.MQTTAddr(); addr != "" {
		fmt.Fprintf(out, "Devices: MQTT on %s, or HTTP at the address above\n", addr)
	}
	if at := n.Broker(); at != "" {
		fmt.Fprintf(out, "Broker: what devices publish at %s is taken too; lamppost status says whether it is reached\n", at)
	}
	if len(cfg.Witnesses) > 0 {
		fmt.Fprintf(out, "Its log is cosigned by %d witnesses, %d of them are enough: network.pin names them now\n", len(cfg.Witnesses), cfg.WitnessQuorum)
	}
	fmt.Fprintf(out, "Next: lamppost party add … and lamppost device add … with --data %s. Ctrl-C ends cleanly.\n", cfg.Data)
}
