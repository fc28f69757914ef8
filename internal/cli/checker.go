package cli

import (
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/checkpage"
	"github.com/lamppost/lamppost/internal/node"
	"github.com/spf13/cobra"
)

// A delivery is where a file with a proof goes: as it is, in a page that checks it, or both.
type delivery struct{ file, page string }

func (d *delivery) flags(cmd *cobra.Command, name string) {
	cmd.Flags().StringVarP(&d.file, "output", "o", "", "file to write; - is the standard output (default "+name+")")
	cmd.Flags().StringVar(&d.page, "self-check", "", "write a page that checks itself to this file; - is the standard output")
}

// deliver writes a file and says what to do with it.
func (d *delivery) deliver(n *remote, what, name string, raw []byte) error {
	if n.json && d.page == "" {
		_, err := n.out.Write(raw)
		return err
	}
	if d.file == "" && d.page == "" {
		d.file = name
	}
	if d.file != "" {
		if err := writeOut(n.out, d.file, raw, fmt.Sprintf("%s written to %s. Check it: lamppost verify --pin network.pin %s", what, d.file, d.file)); err != nil {
			return err
		}
	}
	if d.page == "" {
		return nil
	}
	pinText, err := n.ask(http.MethodGet, "/network.pin", nil)
	if err != nil {
		return err
	}
	pin, err := audit.ParsePin(string(pinText))
	if err != nil {
		return fmt.Errorf("%s does not answer like a Lamppost node of this version: %v", n.url, err)
	}
	page := checkpage.Content{File: raw, Pin: string(pinText), Version: node.Version()}.Page()
	return writeOut(n.out, d.page, page, fmt.Sprintf("%s written to %s, a page that checks itself. It turns green by the network's pin or its\nfingerprint, which its reader must have from elsewhere, such as the contract: %s", what, d.page, pin.Fingerprint()))
}

// writeOut writes to a file and says so, or to the standard output and says nothing.
func writeOut(out io.Writer, file string, data []byte, done string) error {
	if file == "-" {
		_, err := out.Write(data)
		return err
	}
	if err := os.WriteFile(file, data, 0o644); err != nil {
		return err
	}
	_, err := fmt.Fprintln(out, done)
	return err
}

func checkerCmd() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "checker [-o FILE]",
		Short: "Write the page that checks bills in a browser, to keep or to pass on",
		Long: `Write the page on which anybody checks statements, receipts and reports in a browser: one file that needs no network and
nothing else, on a disk, a USB stick or any web server. It is the page that nodes serve at /check/, without a pin in it.

Who has it from somebody other than whoever writes the bills has a checker of one's own. Its number is the same for
everybody with the same version.`,
		Example: `  lamppost checker
  lamppost checker -o /media/stick/check.html`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return writeOut(cmd.OutOrStdout(), file, checkpage.Content{Version: node.Version()}.Page(), fmt.Sprintf("Checker written to %s. SHA-256 of what it runs: %s", file, checkpage.Checker()))
		},
	}
	cmd.Flags().StringVarP(&file, "output", "o", "check.html", "file to write; - is the standard output")
	return cmd
}

func pinCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "pin [FILE]",
		Short: "Say what a pin demands, and its fingerprint",
		Long: `Say what a pin demands, and its fingerprint: 32 letters and digits to be printed on contracts and bills, put on a notice
board or read out on the telephone. Whoever compares them has compared the pin.`,
		Example: `  lamppost pin network.pin
  lamppost pin ./node/network.pin`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := pinFile
			if len(args) == 1 {
				path = args[0]
			}
			p, err := readPin(path)
			if err != nil {
				return usage(err)
			}
			text := fmt.Sprintf("Network:     %s\nMembers:     %d, of whom %d must sign\n", p.Network, len(p.Members), p.Quorum)
			if p.WitnessQuorum > 0 {
				text += fmt.Sprintf("Witnesses:   %d, of whom %d must cosign\n", len(p.Witnesses), p.WitnessQuorum)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%sFingerprint: %s\n", text, p.Fingerprint())
			return err
		},
	}
}
