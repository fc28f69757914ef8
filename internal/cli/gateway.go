package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/gateway"
)

func gatewayCmd() *cobra.Command {
	var cfg gateway.Config
	var ack string
	var hold int64
	cmd := &cobra.Command{
		Use:   "gateway --upstream URL --data DIR",
		Short: "Run on site: take reports while the uplink is down, and hand them on",
		Long: `Run a gateway on site. Devices find the same doors as at a node. The gateway checks their reports, signs them together
with a key of its own, holds them on disk, and hands them to its node in order, however long the uplink is down.

With --ack custody an acknowledged report is durable here, and its device gets a signed receipt over HTTP; with --ack
committed devices wait until the node has committed it. When the disk space of --hold-mib is used up, devices are told to
try again. The first start needs the node, --id, and the token in LAMPPOST_GATEWAY_TOKEN.`,
		Example: `  lamppost gateway add cellar --data ./node
  LAMPPOST_GATEWAY_TOKEN=… lamppost gateway --upstream https://node.example:8443 --data ./gateway --id cellar
  lamppost gateway status --data ./gateway`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch ack {
			case "custody":
			case "committed":
				cfg.Committed = true
			default:
				return usage(fmt.Errorf("--ack %q: use custody or committed", ack))
			}
			cfg.Hold = hold << 20
			cfg.Token = os.Getenv("LAMPPOST_GATEWAY_TOKEN")
			cfg.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
			return runGateway(cmd, cfg)
		},
	}
	f := cmd.Flags()
	f.StringVar(&cfg.Data, "data", "", "folder for the gateway's key and what it holds; made if it is not there")
	f.StringVar(&cfg.Upstream, "upstream", "", "the node's address")
	f.StringVar(&cfg.ID, "id", "", "the gateway's id, as gateway add announced it; for the first start")
	f.StringVar(&cfg.HTTP, "http", "", "address for HTTP (default 127.0.0.1:8080)")
	f.StringVar(&cfg.MQTT, "mqtt", "", `address for MQTT, or "off" (default 127.0.0.1:1883)`)
	f.StringVar(&cfg.TLSCert, "tls-cert", "", "certificate for both doors, PEM")
	f.StringVar(&cfg.TLSKey, "tls-key", "", "its key, PEM")
	f.StringVar(&ack, "ack", "custody", "what an acknowledgement means: custody or committed")
	f.Int64Var(&hold, "hold-mib", gateway.DefaultHold>>20, "MiB of reports to hold while the uplink is down")
	f.DurationVar(&cfg.Linger, "linger", 0, "longest wait of a report for others (default 200ms)")
	atNode := &nodeFlags{}
	cmd.AddCommand(gatewayAddCmd(), gatewayStatusCmd(), gatewayRotateCmd(), atNode.add(gatewayListCmd(atNode)), atNode.add(gatewayKeys.keysCmd(atNode)),
		atNode.add(gatewayKeys.revokeCmd(atNode)))
	return cmd
}

func runGateway(cmd *cobra.Command, cfg gateway.Config) error {
	g, err := gateway.Open(cmd.Context(), cfg)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	fmt.Fprintf(out, "Gateway %s of network %s, upstream %s.\n", g.ID(), g.Network(), cfg.Upstream)
	fmt.Fprintf(out, "Disk: at most %d MiB in %s.\n", gateway.Disk(cfg.Hold)>>20, cfg.Data)
	if addr := g.MQTTAddr(); addr != "" {
		fmt.Fprintf(out, "Devices: MQTT on %s, or HTTP at %s\n", addr, g.URL())
	} else {
		fmt.Fprintf(out, "Devices: HTTP at %s\n", g.URL())
	}
	fmt.Fprintf(out, "Next: lamppost gateway status --data %s. Ctrl-C ends cleanly.\n", cfg.Data)
	return g.Run(cmd.Context())
}

func gatewayStatusCmd() *cobra.Command {
	var data string
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "status --data DIR",
		Short:   "Say how a gateway is: its uplink, what it holds, how far it is behind",
		Example: "  lamppost gateway status --data ./gateway",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, raw, err := askGateway(cmd, data, http.MethodGet, "/healthz", nil)
			if err != nil {
				return err
			}
			if asJSON {
				_, err := cmd.OutOrStdout().Write(raw)
				return err
			}
			var s gateway.Status
			if err := json.Unmarshal(raw, &s); err != nil {
				return fmt.Errorf("the gateway's answer cannot be read: %w", err)
			}
			printGateway(cmd.OutOrStdout(), &s)
			return nil
		},
	}
	cmd.Flags().StringVar(&data, "data", "", "the gateway's data folder")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the gateway's answer as JSON")
	_ = cmd.MarkFlagRequired("data")
	return cmd
}

// askGateway asks the running gateway of a data folder, as its operator.
func askGateway(cmd *cobra.Command, data, method, path string, body []byte) (status int, raw []byte, err error) {
	var left [2]string
	for i, name := range []string{"gateway.url", "admin.token"} {
		text, err := os.ReadFile(filepath.Join(data, name))
		if err != nil {
			return 0, nil, usage(fmt.Errorf("%w: is %q the data folder of a gateway?", err, data))
		}
		left[i] = strings.TrimSpace(string(text))
	}
	req, err := http.NewRequestWithContext(cmd.Context(), method, left[0]+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+left[1])
	client := &http.Client{Timeout: askTimeout}
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, fmt.Errorf("asking the gateway: %w: is it running?", err)
	}
	defer resp.Body.Close()
	raw, err = io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err == nil && resp.StatusCode >= 300 {
		var said struct{ Text string }
		_ = json.Unmarshal(raw, &said) // what is not from a gateway has no text
		err = fmt.Errorf("the gateway answers %s: %s", resp.Status, printable(said.Text))
	}
	return resp.StatusCode, raw, err
}

func gatewayRotateCmd() *cobra.Command {
	var data string
	cmd := &cobra.Command{
		Use:   "rotate --data DIR",
		Short: "Give a running gateway another key, on site",
		Long: `Give a running gateway another key. The key it has signs the change, and what it holds is handed on all the same. While
the uplink is down the change is under way and goes on by itself.

After its key was revoked the gateway needs a new token, which lamppost gateway add prints, in LAMPPOST_GATEWAY_TOKEN.`,
		Example: `  lamppost gateway rotate --data ./gateway
  LAMPPOST_GATEWAY_TOKEN=… lamppost gateway rotate --data ./gateway`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			body, err := json.Marshal(map[string]string{"token": os.Getenv("LAMPPOST_GATEWAY_TOKEN")})
			if err != nil {
				return err
			}
			status, raw, err := askGateway(cmd, data, http.MethodPost, "/v1/rotate", body)
			if err != nil {
				return err
			}
			var said struct {
				Epoch uint32 `json:"key_epoch"`
				Text  string
			}
			if err := json.Unmarshal(raw, &said); err != nil {
				return fmt.Errorf("the gateway's answer cannot be read: %w", err)
			}
			if status == http.StatusAccepted {
				fmt.Fprintf(cmd.OutOrStdout(), "The change is under way: %s\n", printable(said.Text))
				return nil
			}
			fmt.Fprintf(cmd.OutOrStdout(), "The gateway signs with key %d from now on.\n", said.Epoch)
			return nil
		},
	}
	cmd.Flags().StringVar(&data, "data", "", "the gateway's data folder")
	_ = cmd.MarkFlagRequired("data")
	return cmd
}

func printGateway(w io.Writer, s *gateway.Status) {
	fact := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-11s %s\n", name+":", printable(fmt.Sprintf(format, args...)))
	}
	fact("Gateway", "%s of network %s, %d devices", s.Gateway, s.Network, s.Devices)
	if s.Rotating {
		fact("Key", "%d; the upstream has not confirmed the next one yet", s.KeyEpoch)
	} else {
		fact("Key", "%d", s.KeyEpoch)
	}
	if s.Uplink.Up {
		fact("Uplink", "up since %s", when(s.Uplink.Since))
	} else {
		fact("Uplink", "down since %s: %s", when(s.Uplink.Since), s.Uplink.Error)
	}
	fact("Held", "%d reports in %d segments, %d of %d MiB", s.Held.Reports, s.Held.Segments, s.Held.Bytes>>20, s.Held.MaxBytes>>20)
	if s.Held.Segments > 0 {
		fact("Behind", "%s", (time.Duration(s.Lag) * time.Millisecond).Round(time.Second))
	}
	fact("Delivered", "%d reports in %d segments", s.Counts.Reports, s.Counts.Segments)
	var other []string
	for _, code := range slices.Sorted(maps.Keys(s.Counts.Outcomes)) {
		if code != lamppost.CodeOK.String() {
			other = append(other, fmt.Sprintf("%d %s", s.Counts.Outcomes[code], code))
		}
	}
	if len(other) > 0 {
		fact("Of these", "%s", strings.Join(other, ", "))
	}
	if s.Counts.Rejected > 0 {
		fact("Set aside", "%d segments that the upstream will never take; see the gateway's log", s.Counts.Rejected)
	}
	if s.Full {
		fact("Full", "devices are told to try again")
	}
}

func gatewayAddCmd() *cobra.Command {
	f := &nodeFlags{}
	var site string
	cmd := &cobra.Command{
		Use:   "add ID",
		Short: "Announce a gateway on site and print its token, once",
		Example: `  lamppost gateway add cellar --data ./node
  lamppost gateway add cellar --site "Elm Street 5" --data ./node`,
		Args: cobra.ExactArgs(1),
		RunE: f.run(func(n *remote, args []string) error {
			var t api.GatewayToken
			raw, err := n.post("/api/gateways", api.NewGateway{ID: lamppost.MemberID(args[0]), Site: site}, &t)
			if err != nil {
				return err
			}
			return n.show(raw, func(w io.Writer) {
				fmt.Fprintf(w, "Gateway %s may start. Its token, shown this once: %s\n", t.ID, t.Token)
				fmt.Fprintf(w, "On site: LAMPPOST_GATEWAY_TOKEN=%s lamppost gateway --upstream %s --data DIR --id %s\n", t.Token, n.url, t.ID)
			})
		}),
	}
	cmd.Flags().StringVar(&site, "site", "", "serve only the devices of this site (default: all)")
	return f.add(cmd)
}

func gatewayListCmd(f *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List gateways on site",
		Example: "  lamppost gateway list --data ./node",
		Args:    cobra.NoArgs,
		RunE: f.run(func(n *remote, _ []string) error {
			var all api.GatewayList
			raw, err := n.get("/api/gateways", &all)
			if err != nil {
				return err
			}
			return n.show(raw, func(w io.Writer) {
				t := table{head: []string{"ID", "SITE", "MEMBER", ">KEY", "STATE"}}
				for _, g := range all.Gateways {
					key, state := "", "announced, has not started"
					switch {
					case g.Revoked != "":
						key, state = fmt.Sprint(g.KeyEpoch), "revoked: "+g.Revoked
					case g.Registered:
						key, state = fmt.Sprint(g.KeyEpoch), "registered"
					}
					t.add(string(g.ID), g.Site, string(g.Member), key, state)
				}
				t.print(w, "No gateways yet. Announce one: lamppost gateway add ID")
			})
		}),
	}
}
