package cli

import (
	"fmt"
	"net/http"
	"net/url"
	"os"

	"github.com/spf13/cobra"
)

func statementCmd() *cobra.Command {
	f := &nodeFlags{}
	var file string
	cmd := &cobra.Command{
		Use:   "statement PARTY [-o FILE]",
		Short: "Fetch a party's statement: all its invoices, with the proof",
		Long: `Fetch the statement of a party: all its invoices with the proof that every line of them is true. Whoever gets the file
checks it offline with ` + "`lamppost verify`" + ` and the network's pin. It waits a moment for what is committed but not published yet.`,
		Example: `  lamppost statement tenant-3
  lamppost statement tenant-3 -o november.json
  lamppost statement tenant-3 -o - | less`,
		Args: oneArg("the party's id, such as tenant-3"),
		RunE: f.run(func(n *remote, args []string) error {
			raw, err := n.ask(http.MethodGet, "/api/statements/"+url.PathEscape(args[0]), nil)
			if err != nil {
				return err
			}
			if file == "" {
				file = "statement-" + args[0] + ".json"
			}
			if n.json || file == "-" {
				_, err := n.out.Write(raw)
				return err
			}
			if err := os.WriteFile(file, raw, 0o644); err != nil {
				return fmt.Errorf("writing the statement: %w", err)
			}
			_, err = fmt.Fprintf(n.out, "Statement of %s written to %s. Check it: lamppost verify --pin network.pin %s\n", args[0], file, file)
			return err
		}),
	}
	cmd.Flags().StringVarP(&file, "output", "o", "", "file to write; - is the standard output (default statement-PARTY.json)")
	return f.add(cmd)
}
