// Package cli is the program's verbs: it reads flags, calls the packages that do the work, and turns what they say into
// text, JSON and exit codes. Start reading at [Main].
package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/lamppost/lamppost/internal/node"
)

// Main runs the program and returns its exit code. The first interrupt ends it cleanly, a second one at once.
func Main(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	root := rootCmd()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	code := ExitFailed
	var exit *ExitError
	if errors.As(err, &exit) {
		code = exit.Code
	} else if isUsage(err) {
		code = ExitUsage
		if extra := cmd.Flags().Args(); len(extra) > 0 && !cmd.HasSubCommands() && strings.HasPrefix(err.Error(), "unknown command") {
			err = fmt.Errorf("%s takes flags alone, not %q", cmd.CommandPath(), extra[0])
		}
		err = fmt.Errorf("%s\n`%s --help` shows how", strings.TrimSpace(err.Error()), cmd.CommandPath())
	}
	if text := err.Error(); text != "" {
		fmt.Fprintln(os.Stderr, "lamppost: "+strings.TrimPrefix(text, "lamppost: "))
	}
	return code
}

// isUsage recognises the errors with which cobra refuses a command line.
func isUsage(err error) bool {
	for _, p := range []string{"unknown command", "unknown flag", "unknown shorthand", "accepts ", "requires ", "invalid argument", "required flag", "flag needs", "at least one of the flags", "if any flags in the group"} {
		if strings.HasPrefix(err.Error(), p) {
			return true
		}
	}
	return false
}

func rootCmd() *cobra.Command {
	root := &cobra.Command{
		Use:   "lamppost",
		Short: "Bills for metered machines that everyone can check",
		Long: `Lamppost: bills for metered machines that everyone can check.

Machines sign their readings; Lamppost checks them, orders them in a log nobody can change unseen, charges for use, and
gives every party one statement whose every line can be checked offline.`,
		Example: `  lamppost demo                          a street and a house, in half a minute
  lamppost serve --data DIR              run a node
  lamppost verify --pin network.pin statement.json`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       node.Version(),
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	for _, g := range []struct {
		about string
		verbs []*cobra.Command
	}{
		{"Try and run", []*cobra.Command{demoCmd(), serveCmd(), statusCmd(), initCmd(), memberCmd(), gatewayCmd(), adviseCmd()}},
		{"Machines and their readings", []*cobra.Command{deviceCmd(), pointCmd(), readingCmd(), exportCmd(), importCmd()}},
		{"What is billed, and to whom", []*cobra.Command{partyCmd(), tariffCmd(), agreementCmd(), sessionCmd(), invoiceCmd(), statementCmd(), disputeCmd(), paymentCmd(),
			transferCmd(), shadowCmd()}},
		{"Machines that earn, spend and decide", []*cobra.Command{centreCmd(), agentCmd(), offerCmd(), voucherCmd(), contractCmd(), learnCmd()}},
		{"What is wrong, and why", []*cobra.Command{verdictCmd(), explainCmd(), watchCmd(), notifyCmd()}},
		{"Check it yourself", []*cobra.Command{verifyCmd(), checkerCmd(), followCmd(), pinCmd(), witnessCmd(), fsckCmd()}},
		{"Keep and forget", []*cobra.Command{backupCmd(), restoreCmd(), snapshotCmd(), retentionCmd(), holdCmd(), eraseCmd(), logCmd()}},
		{"Measure this program", []*cobra.Command{benchCmd(), exploreCmd(), simCmd()}},
	} {
		root.AddGroup(&cobra.Group{ID: g.about, Title: g.about + ":"})
		for _, verb := range g.verbs {
			verb.GroupID = g.about
		}
		root.AddCommand(g.verbs...)
	}
	root.SetHelpCommandGroupID(root.Groups()[0].ID)
	return root
}
