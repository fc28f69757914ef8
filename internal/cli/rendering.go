package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/contract"
	"github.com/lamppost/lamppost/internal/checkpage"
	"github.com/lamppost/lamppost/internal/render"
	"github.com/spf13/cobra"
)

// A rendering is how a statement is written for people.
type rendering struct {
	chosen        [4]bool // of [render.Formats]
	lang, invoice string
	bare          bool   // without what looks ahead
	pin, parties  string // of a file
}

func (c *rendering) flags(cmd *cobra.Command) {
	for i, usage := range [...]string{"write a page to read, in one file that needs nothing else", "write it to print or to send by mail", "write a row per line, for spreadsheets",
		"write electronic invoices: EN 16931 in UBL 2.1"} {
		cmd.Flags().BoolVar(&c.chosen[i], render.Formats[i], false, usage)
	}
	cmd.Flags().StringVar(&c.lang, "lang", "", "language of a copy, such as de or fr-CH: "+strings.Join(render.Languages(), ", ")+" (default: the party's, or English)")
	cmd.Flags().StringVar(&c.invoice, "invoice", "", "only the invoice of this number")
	cmd.Flags().BoolVar(&c.bare, "no-outlook", false, "without the part that looks ahead: forecast, budgets, cheaper tariffs")
	cmd.Flags().StringVar(&c.pin, "pin", "", "of a statement's file: the network's pin, against which it is held")
	cmd.Flags().StringVar(&c.parties, "parties", "", "of a statement's file: what is known of the parties, as in the node's setting of that name")
}

// format is the chosen format, or empty for the statement itself.
func (c *rendering) format() (format string, err error) {
	for i, chosen := range c.chosen {
		if chosen && format != "" {
			return "", usage(fmt.Errorf("statement: --%s and --%s are too much: run it twice", format, render.Formats[i]))
		}
		if chosen {
			format = render.Formats[i]
		}
	}
	if format == "" && c.lang+c.invoice != "" {
		return "", usage(fmt.Errorf("statement: --lang and --invoice are for copies: say --%s too", strings.Join(render.Formats, ", --")))
	}
	if c.bare && format != "html" && format != "pdf" {
		return "", usage(fmt.Errorf("statement: --no-outlook is for --html and --pdf: nothing else looks ahead"))
	}
	return format, nil
}

// isFile says whether an argument names a file and not a party.
func isFile(arg string) bool {
	return strings.ContainsRune(arg, filepath.Separator) || strings.HasSuffix(arg, ".json") || strings.HasSuffix(arg, ".html")
}

// fromFile writes a copy of a statement that lies in a file, after checking it.
func (c *rendering) fromFile(cmd *cobra.Command, path, format string, d *delivery) error {
	if format == "" || d.page != "" {
		return usage(fmt.Errorf("statement: %q is a statement already: say what to make of it, --%s; or check it with lamppost verify", path, strings.Join(render.Formats, ", --")))
	}
	o := render.Options{Lang: c.lang, Invoice: c.invoice}
	var err error
	if c.parties != "" {
		if o.Details, err = render.ReadDetails(c.parties); err != nil {
			return usage(err)
		}
	}
	st, err := c.read(path)
	if err != nil {
		return err
	}
	if c.pin == "" {
		fmt.Fprintln(cmd.ErrOrStderr(), "This statement was held against no pin, so nothing says whose network it is, and the copy says so: give --pin network.pin.")
	}
	if format == "xml" && c.parties == "" {
		fmt.Fprintln(cmd.ErrOrStderr(), "The log has no addresses, countries or tax numbers, without which a receiver will refuse the invoice: give --parties FILE, see docs/statements.md.")
	}
	doc, err := render.Render(st, format, o)
	var input *render.InputError
	if errors.As(err, &input) {
		return usage(err)
	}
	if err != nil {
		return err
	}
	return writeCopy(cmd.OutOrStdout(), d.file, doc)
}

// read checks a statement's file, or a page with one in it.
func (c *rendering) read(path string) (*audit.Statement, error) {
	var pin *audit.Pin
	data, err := readLimited(path, audit.MaxFileBytes)
	if err == nil && c.pin != "" {
		pin, err = readPin(c.pin)
	}
	if err == nil && checkpage.IsPage(data) {
		data, _, err = carried(data)
	}
	if err != nil {
		return nil, usage(err)
	}
	found, err := audit.VerifyRunning(data, pin, contract.Again)
	if err != nil {
		return nil, fmt.Errorf("%s does not hold, so no copy is made of it: %w", path, err)
	}
	if found.Statement == nil {
		return nil, usage(fmt.Errorf("%s is a %s and no statement", path, found.Kind))
	}
	return found.Statement, nil
}

// writeCopy writes a copy under its own name, or another.
func writeCopy(out io.Writer, file string, d *render.Document) error {
	if file == "" {
		file = d.Name
	} else if info, err := os.Stat(file); err == nil && info.IsDir() {
		file = filepath.Join(file, d.Name)
	}
	return writeOut(out, file, d.Data, fmt.Sprintf("Copy written to %s. What proves it is the statement: lamppost statement PARTY", file))
}
