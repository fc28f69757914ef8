package cli

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/render"
	"github.com/spf13/cobra"
)

func statementCmd() *cobra.Command {
	f := &nodeFlags{}
	var d delivery
	var c rendering
	cmd := &cobra.Command{
		Use:   "statement PARTY|FILE [--html|--pdf|--csv|--xml] [--lang TAG] [--invoice NUMBER] [-o FILE] [--self-check FILE]",
		Short: "Fetch a party's statement: all its invoices, with the proof; or write it for people",
		Long: `Fetch the statement of a party: all its invoices, and all that contracts paid to or from it and its devices, with the proof that every
line of them is true. Whoever gets the file
checks it offline with ` + "`lamppost verify`" + ` and the network's pin, or in a browser on the page /check/ of any node. It waits a moment
for what is committed but not published yet.

With --html, --pdf, --csv or --xml it is a copy to read, to print or to book, in the language --lang; XML is EN 16931 in UBL 2.1, one
document per invoice, of several an archive. From a node, HTML and PDF look ahead too, visibly apart: what the running month will
probably come to, budgets, and tariffs that would have been cheaper; --no-outlook leaves it out. Copies prove nothing: send the statement with them. They can be written from a statement's
FILE too (named with a folder or .json), offline, once it is held against --pin. See docs/statements.md.

With --self-check it is written as a page that checks itself: one file, to be sent by mail and opened with a click, without any
network. It turns green by the pin that its reader has from elsewhere, or by the pin's fingerprint.`,
		Example: `  lamppost statement tenant-3
  lamppost statement tenant-3 -o november.json
  lamppost statement tenant-3 --pdf --lang de --invoice landlord-000001
  lamppost statement november.json --pin network.pin --html -o november.html
  lamppost statement tenant-3 --self-check november.html
  lamppost statement tenant-3 -o - | less`,
		Args: oneArg("the party's id, such as tenant-3, or a statement's file, such as november.json"),
		RunE: func(cmd *cobra.Command, args []string) error {
			format, err := c.format()
			if err != nil {
				return err
			}
			if isFile(args[0]) {
				return c.fromFile(cmd, args[0], format, &d)
			}
			return f.run(func(n *remote, args []string) error { return fetchStatement(n, args[0], format, &c, &d) })(cmd, args)
		},
	}
	d.flags(cmd, "statement-PARTY.json, invoice-NUMBER.pdf, …")
	c.flags(cmd)
	return f.add(cmd)
}

func fetchStatement(n *remote, party, format string, c *rendering, d *delivery) error {
	path := "/api/statements/" + url.PathEscape(party)
	if c.pin+c.parties != "" {
		return usage(fmt.Errorf("statement: --pin and --parties are for a statement's file, and %q is a party: its node has both", party))
	}
	if format == "" {
		raw, err := n.ask(http.MethodGet, path, nil)
		if err != nil {
			return err
		}
		return d.deliver(n, "Statement of "+party, "statement-"+party+".json", raw)
	}
	if d.page != "" {
		return usage(fmt.Errorf("statement: --self-check and --%s are too much: run it twice", format))
	}
	query := url.Values{"format": {format}, "lang": {c.lang}, "invoice": {c.invoice}, "outlook": {strconv.FormatBool(!c.bare)}}
	raw, name, err := n.askFile(path + "?" + query.Encode())
	if err != nil {
		return err
	}
	return writeCopy(n.out, d.file, &render.Document{Name: name, Data: raw})
}

func deviceReceiptCmd(f *nodeFlags) *cobra.Command {
	var d delivery
	var epoch uint32
	cmd := &cobra.Command{
		Use:   "receipt ID [NUMBER] [-o FILE] [--self-check FILE]",
		Short: "Fetch the receipt of one of a device's last reports",
		Long: `Fetch the receipt of a report: the proof that it stands in the log as its device signed it, and what became of it. The
node can make one for the last 32 reports of a device; without a number it is the latest. Whoever gets the file checks it
offline, as a statement; with --self-check it is a page that checks itself.`,
		Example: `  lamppost device receipt lamp-7
  lamppost device receipt lamp-7 4711 --self-check receipt.html`,
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
