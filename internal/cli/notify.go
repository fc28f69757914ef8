package cli

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/lamppost/lamppost/internal/api"
)

func notifyCmd() *cobra.Command {
	f := &nodeFlags{}
	return f.group("notify", "Messages of alarms to other programs", `  lamppost notify test --data ./node`, notifyTestCmd(f))
}

func notifyTestCmd(f *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "test",
		Short: "Send a test message to each webhook, and say what came back",
		Long: `Send a test message to each webhook that the node's configuration names under "notify", past those that wait, and say what came back.

Exit status: 0 all took it; 1 one did not, or there is none.`,
		Example: `  lamppost notify test --data ./node`,
		Args:    cobra.NoArgs,
		RunE: f.run(func(n *remote, _ []string) error {
			var all api.NotifyTest
			raw, err := n.post("/api/notifications/test", struct{}{}, &all)
			if err != nil {
				return err
			}
			failed := 0
			err = n.show(raw, func(w io.Writer) {
				for _, r := range all.Webhooks {
					said := fmt.Sprintf("took it (%d)", r.Status)
					if r.Error != "" {
						said = printable(r.Error)
					}
					fmt.Fprintf(w, "%s: %s\n", printable(r.URL), said)
				}
			})
			for _, r := range all.Webhooks {
				if r.Error != "" {
					failed++
				}
			}
			switch {
			case err != nil:
				return err
			case len(all.Webhooks) == 0:
				return errors.New("this node has no webhooks: name some under notify in its configuration, see docs/node.yaml")
			case failed > 0:
				return fmt.Errorf("%d of %d webhooks did not take it", failed, len(all.Webhooks))
			}
			return nil
		}),
	}
}
