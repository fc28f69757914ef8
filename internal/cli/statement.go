package cli

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/lamppost/lamppost/internal/api"
	"github.com/spf13/cobra"
)

func statementCmd() *cobra.Command {
	f := &nodeFlags{}
	var d delivery
	cmd := &cobra.Command{
		Use:   "statement PARTY [-o FILE] [--html FILE]",
		Short: "Fetch a party's statement: all its invoices, with the proof",
		Long: `Fetch the statement of a party: all its invoices with the proof that every line of them is true. Whoever gets the file
checks it offline with ` + "`lamppost verify`" + ` and the network's pin, or in a browser on the page /check/ of any node. It waits a moment
for what is committed but not published yet.

With --html it is written as a page that checks itself: one file, to be sent by mail and opened with a click, without any
network. It turns green by the pin that its reader has from elsewhere, or by the pin's fingerprint.`,
		Example: `  lamppost statement tenant-3
  lamppost statement tenant-3 -o november.json
  lamppost statement tenant-3 --html november.html
  lamppost statement tenant-3 -o - | less`,
		Args: oneArg("the party's id, such as tenant-3"),
		RunE: f.run(func(n *remote, args []string) error {
			raw, err := n.ask(http.MethodGet, "/api/statements/"+url.PathEscape(args[0]), nil)
			if err != nil {
				return err
			}
			return d.deliver(n, "Statement of "+args[0], "statement-"+args[0]+".json", raw)
		}),
	}
	d.flags(cmd, "statement-PARTY.json")
	return f.add(cmd)
}

func deviceReceiptCmd(f *nodeFlags) *cobra.Command {
	var d delivery
	var epoch uint32
	cmd := &cobra.Command{
		Use:   "receipt ID [NUMBER] [-o FILE] [--html FILE]",
		Short: "Fetch the receipt of one of a device's last reports",
		Long: `Fetch the receipt of a report: the proof that it stands in the log as its device signed it, and what became of it. The
node can make one for the last 32 reports of a device; without a number it is the latest. Whoever gets the file checks it
offline, as a statement; with --html it is a page that checks itself.`,
		Example: `  lamppost device receipt lamp-7
  lamppost device receipt lamp-7 4711 --html receipt.html`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > 2 {
				return usage(fmt.Errorf("%s takes the device's id and perhaps a report's number; got %d arguments", cmd.CommandPath(), len(args)))
			}
			return nil
		},
		RunE: f.run(func(n *remote, args []string) error {
			var device api.DeviceDetail
			if _, err := n.get("/api/devices/"+url.PathEscape(args[0]), &device); err != nil {
				return err
			}
			number := strconv.FormatUint(device.Seq.N, 10)
			if len(args) == 2 {
				number = args[1]
			}
			if epoch == 0 {
				epoch = device.Seq.Epoch
			}
			raw, err := n.ask(http.MethodGet, fmt.Sprintf("/api/receipts/%s/%d/%s", url.PathEscape(args[0]), epoch, url.PathEscape(number)), nil)
			if err != nil {
				return err
			}
			return d.deliver(n, fmt.Sprintf("Receipt of report %s of %s", number, args[0]), fmt.Sprintf("receipt-%s-%s.json", args[0], number), raw)
		}),
	}
	cmd.Flags().Uint32Var(&epoch, "epoch", 0, "in which the number was counted (default: that of the latest report)")
	d.flags(cmd, "receipt-ID-NUMBER.json")
	return cmd
}
