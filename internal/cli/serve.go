package cli

import (
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/node"
)

func serveCmd() *cobra.Command {
	var file, member string
	var check, asJSON bool
	var flags node.Config
	cmd := &cobra.Command{
		Use:   "serve --data DIR",
		Short: "Run a node: everything in one process and one folder",
		Long: `Run a node: MQTT and HTTP for devices, the ledger, the log, the dashboard, in one process and one folder.

The first start founds a network in the folder and prints the administrator's token, which is also in its file
admin.token. Only this machine can reach a node unless it is given an address and a TLS certificate.`,
		Example: `  lamppost serve --data ./node
  lamppost serve --data ./node --http 0.0.0.0:8443 --mqtt 0.0.0.0:8883 --tls-cert cert.pem --tls-key key.pem
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
			if err := cfg.Check(); err != nil {
				return &ExitError{ExitUsage, err}
			}
			if check {
				fmt.Fprintf(cmd.OutOrStdout(), "The configuration is good: data in %s, HTTP on %s, MQTT on %s.\n", cfg.Data, cfg.HTTP, cfg.MQTT)
				return nil
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
	f.BoolVar(&flags.AdmitUnsigned, "admit-unsigned", false, "let a new network enrol devices that nobody vouches for")
	f.StringVar(&flags.Verify, "verify", "", `who checks devices' signatures in a new network: "full", every replica, or "gateway", gateways and samples (default "full")`)
	f.Float64Var(&flags.Sample, "sample", 0, "share of trusted gateways' reports that this node checks itself (default 0.01)")
	f.DurationVar(&flags.Linger, "linger", 0, "longest wait of a report for others (default 25ms)")
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
		"verify": {&cfg.Verify, &flags.Verify},
	} {
		if set(name) {
			*fields[0] = *fields[1]
		}
	}
	if set("member") {
		cfg.Member = lamppost.MemberID(member)
	}
	if set("admit-unsigned") {
		cfg.AdmitUnsigned = flags.AdmitUnsigned
	}
	if set("sample") {
		cfg.Sample = flags.Sample
	}
	if set("linger") {
		cfg.Linger = flags.Linger
	}
}

func serve(cmd *cobra.Command, cfg node.Config) error {
	n, err := node.Open(cfg)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	fmt.Fprintf(out, "Network %s is served from %s.\n", n.Network(), cfg.Data)
	if n.Founded() {
		fmt.Fprintf(out, "Administrator's token, shown this once (kept in %s/admin.token): %s\n", cfg.Data, n.AdminToken())
	}
	fmt.Fprintf(out, "Dashboard and API: %s\n", n.URL())
	if addr := n.MQTTAddr(); addr != "" {
		fmt.Fprintf(out, "Devices: MQTT on %s, or HTTP at the address above\n", addr)
	}
	fmt.Fprintf(out, "Next: lamppost party add … and lamppost device add … with --data %s. Ctrl-C ends cleanly.\n", cfg.Data)
	return n.Run(cmd.Context())
}
