package cli

import (
	"fmt"
	"io"
	"net/url"
	"sort"
	"strings"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/spf13/cobra"
)

func deviceCmd() *cobra.Command {
	f := &nodeFlags{}
	return f.group("device", "Machines: announce, list and show them, end their keys, and say what may be done to them", `  lamppost device add lamp-7 --owner city --name "Lamp 7" --site "Main Street" --safety public
  lamppost device list
  lamppost device show lamp-7
  lamppost device series lamp-7 power --from 2026-11-01
  lamppost device keys lamp-7
  lamppost device guard lamp-7
  lamppost device desire lamp-7 level=60 --for 15m`, deviceAddCmd(f), deviceAdoptCmd(f), deviceTokenCmd(f), deviceListCmd(f), deviceShowCmd(f), deviceSeriesCmd(f), deviceReceiptCmd(f),
		deviceKeys.keysCmd(f), deviceKeys.revokeCmd(f), deviceGuardCmd(f), deviceCharterCmd(f), deviceCharterKeyCmd(), deviceRestrictCmd(f), deviceLiftCmd(f), deviceDesireCmd(f))
}

func deviceAddCmd(f *nodeFlags) *cobra.Command {
	var d api.NewDevice
	var owner string
	cmd := &cobra.Command{
		Use:   "add ID --owner PARTY",
		Short: "Announce a device and print its token",
		Long: `Announce a device. It prints the token with which the device connects and enrols its key; the token is shown this
once, and only its hash is kept.

The safety class says what stopping the device could do to people: life never refuses service, public never falls under
its minimum, essential degrades only after notice, ordinary may stop.`,
		Example: `  lamppost device add meter-3 --owner landlord --name "Flat 3" --site "Main Street 5" --safety ordinary
  lamppost device add lamp-7 --owner city --safety public`,
		Args: oneArg("the device's id, such as lamp-7"),
		RunE: f.run(func(n *remote, args []string) error {
			d.ID, d.Owner = lamppost.DeviceID(args[0]), lamppost.PartyID(owner)
			var token api.DeviceToken
			raw, err := n.post("/api/devices", d, &token)
			if err != nil {
				return err
			}
			return n.show(raw, func(w io.Writer) { printToken(w, n.url, token) })
		}),
	}
	cmd.Flags().StringVar(&owner, "owner", "", "the party it belongs to")
	cmd.Flags().StringVar(&d.Name, "name", "", "name for people")
	cmd.Flags().StringVar(&d.Site, "site", "", "where it stands")
	cmd.Flags().StringVar(&d.Safety, "safety", "essential", "life, public, essential or ordinary")
	cmd.Flags().StringVar(&d.MeterKey, "meter-key", "", "public key of a meter that signs by itself (OCMF): DER in hex or base64")
	return require(cmd, "owner")
}

func deviceAdoptCmd(f *nodeFlags) *cobra.Command {
	var a api.Adoption
	var owner string
	cmd := &cobra.Command{
		Use:   "adopt ID --owner PARTY",
		Short: "Enrol a device that does not sign and speaks by a mapping",
		Long: `Enrol a device that does not sign and that the node understands by its mapping file; "device list" shows those that
speak and are not adopted. The node signs in its place, and every bill says so.

A channel-authenticated device logs in with a token of its own: announce it first with "device add". An unsigned one is
brought by a bridge or a broker; only a network founded with --admit-unsigned takes it. Which of these it is shows by the way it
came, unless --assurance says so; a device that has not spoken since the node started needs it.`,
		Example: `  lamppost device adopt plug-3 --owner landlord
  lamppost device adopt kitchen-plug --owner landlord --site "Elm Street 5" --safety ordinary`,
		Args: oneArg("the device's id, as its topic names it"),
		RunE: f.run(func(n *remote, args []string) error {
			a.Owner = lamppost.PartyID(owner)
			var d api.DeviceDetail
			raw, err := n.post("/api/devices/"+url.PathEscape(args[0])+"/adopt", a, &d)
			if err != nil {
				return err
			}
			return n.show(raw, func(w io.Writer) {
				fmt.Fprintf(w, "Device %s is enrolled as %s; it belongs to %s.\n", d.ID, d.Assurance, d.Owner)
			})
		}),
	}
	cmd.Flags().StringVar(&owner, "owner", "", "the party it belongs to")
	cmd.Flags().StringVar(&a.Name, "name", "", "name for people")
	cmd.Flags().StringVar(&a.Site, "site", "", "where it stands")
	cmd.Flags().StringVar(&a.Safety, "safety", "essential", "life, public, essential or ordinary")
	cmd.Flags().StringVar(&a.Assurance, "assurance", "", "channel-authenticated or unsigned (default: by the way it came)")
	return require(cmd, "owner")
}

// printToken says what whoever installs the device needs to know.
func printToken(w io.Writer, nodeURL string, t api.DeviceToken) {
	home := t.HTTP
	if home == "" {
		home = nodeURL
	}
	fmt.Fprintf(w, "Token of %s, shown this once: %s\n", t.ID, t.Token)
	fmt.Fprintf(w, "  first  enrol its key:  POST %s/v1/enrol as %s with the token (the device SDK's Enrol does it)\n", home, t.ID)
	fmt.Fprintf(w, "  then   over HTTP:      POST %s/v1/report as %s with the token\n", home, t.ID)
	if t.MQTT != "" {
		fmt.Fprintf(w, "  or     over MQTT:      %s, user %s, password the token, topic lp/%s/report\n", t.MQTT, t.ID, t.ID)
	}
}

func deviceTokenCmd(f *nodeFlags) *cobra.Command {
	var n api.NewToken
	cmd := &cobra.Command{
		Use:     "token ID",
		Aliases: []string{"rotate"},
		Short:   "Give a device another token, which voids the old one and lets it enrol another key",
		Long: `Give a device another token, which voids the old one and lets it enrol another key: after a loss, a revocation or a
quarantine. A device that has its key changes it by its own word and needs no token; a key that comes by a token alone is
shown as set by the operator on every statement that rests on it.

The key it had counts for 30 days more, so that nothing in its queue is lost. If that may be in other hands, revoke it.`,
		Example: "  lamppost device token lamp-7",
		Args:    oneArg("the device's id"),
		RunE: f.run(func(node *remote, args []string) error {
			var token api.DeviceToken
			raw, err := node.post("/api/devices/"+url.PathEscape(args[0])+"/token", n, &token)
			if err != nil {
				return err
			}
			return node.show(raw, func(w io.Writer) { printToken(w, node.url, token) })
		}),
	}
	cmd.Flags().StringVar(&n.MeterKey, "meter-key", "", "public key of another meter that signs by itself (OCMF): DER in hex or base64")
	return cmd
}

func deviceListCmd(f *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List devices and how they are",
		Example: "  lamppost device list",
		Args:    cobra.NoArgs,
		RunE: f.run(func(n *remote, _ []string) error {
			var all api.DeviceList
			raw, err := n.get("/api/devices", &all)
			if err != nil {
				return err
			}
			return n.show(raw, func(w io.Writer) { printDevices(w, all) })
		}),
	}
}

func printDevices(w io.Writer, all api.DeviceList) {
	t := table{head: []string{"ID", "NAME", "SITE", "OWNER", "SAFETY", "STATE", "LAST REPORT", ">BALANCE"}}
	for i := range all.Devices {
		d := &all.Devices[i]
		t.add(string(d.ID), d.Name, d.Site, string(d.Owner), d.Safety, state(d), when(d.Last), money(d.Balance))
	}
	for _, p := range all.Pending {
		waits := "waits for its key"
		if p.Seen > 0 {
			waits = fmt.Sprintf("speaks on %s (%s), not adopted", p.Topic, p.Mapping)
		}
		t.add(string(p.ID), p.Name, p.Site, string(p.Owner), p.Safety, waits, when(p.Seen), "")
	}
	t.print(w, "No devices yet. Announce one: lamppost device add ID --owner PARTY")
}

func state(d *api.Device) string {
	switch {
	case d.Quarantined != "":
		return "quarantined"
	case d.Online:
		return "online"
	default:
		return "silent"
	}
}

// money writes balances in the order of their currencies.
func money(balance map[string]lamppost.Micro) string {
	var parts []string
	for currency, amount := range balance {
		parts = append(parts, amount.String()+" "+currency)
	}
	sort.Strings(parts)
	return strings.Join(parts, ", ")
}

func deviceShowCmd(f *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "show ID",
		Short:   "Show all that is known of a device",
		Example: "  lamppost device show lamp-7",
		Args:    oneArg("the device's id"),
		RunE: f.run(func(n *remote, args []string) error {
			var d api.DeviceDetail
			raw, err := n.get("/api/devices/"+url.PathEscape(args[0]), &d)
			if err != nil {
				return err
			}
			return n.show(raw, func(w io.Writer) { printDevice(w, &d) })
		}),
	}
}

func printDevice(w io.Writer, d *api.DeviceDetail) {
	facts := [][2]string{
		{"Device", string(d.ID)}, {"Name", d.Name}, {"Site", d.Site}, {"Owner", string(d.Owner)}, {"Safety", d.Safety},
		{"Key", fmt.Sprintf("%s, epoch %d, %s", d.Suite, d.KeyEpoch, d.Assurance)},
		{"State", strings.TrimSuffix(state(&d.Device)+": "+d.Quarantined, ": ")},
		{"Reports", fmt.Sprintf("number %d/%d is the latest, %d missing, %d lost", d.Seq.Epoch, d.Seq.N, d.Missing, d.Lost)},
		{"Last report", when(d.Last)}, {"Balance", money(d.Balance)},
	}
	for _, p := range d.Points {
		facts = append(facts, [2]string{"Measures at", fmt.Sprintf("%s (%s in %s) %s", p.ID, p.Register, p.Unit, p.Place)})
	}
	for _, f := range facts {
		if f[1] != "" {
			fmt.Fprintf(w, "%-12s %s\n", f[0]+":", printable(f[1]))
		}
	}
	fmt.Fprintln(w)
	printDesired(w, &d.Desired)
	t := table{head: []string{"READING", ">VALUE", "UNIT", "KIND", "QUALITY", "TIME"}}
	for _, r := range d.Readings {
		t.add(r.Name, r.Value, r.Unit, r.Kind, r.Quality, when(r.Time))
	}
	t.print(w, "No readings since the node started.")
}
