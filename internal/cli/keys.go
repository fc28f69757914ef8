package cli

import (
	"fmt"
	"io"
	"net/url"

	"github.com/lamppost/lamppost/internal/api"
	"github.com/spf13/cobra"
)

// A keyOwner is what has keys: devices and gateways have the same verbs for them.
type keyOwner struct {
	noun    string // "device"
	path    string // of the API
	itself  string // who rotated, where not the operator
	another string // what the operator does so that a new key can come, %s is the id
}

var (
	deviceKeys  = keyOwner{"device", "/api/devices/", "the device", "lamppost device token %s"}
	gatewayKeys = keyOwner{"gateway", "/api/gateways/", "the gateway",
		"lamppost gateway add %s, then on site: LAMPPOST_GATEWAY_TOKEN=… lamppost gateway rotate"}
)

func (o keyOwner) keysCmd(f *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "keys ID",
		Short:   "Show all keys the " + o.noun + " ever had: how each came, until when it counts, why it was revoked",
		Example: fmt.Sprintf("  lamppost %s keys %s", o.noun, o.example()),
		Args:    oneArg("the " + o.noun + "'s id"),
		RunE: f.run(func(n *remote, args []string) error {
			var h api.KeyHistory
			raw, err := n.get(o.path+url.PathEscape(args[0])+"/keys", &h)
			if err != nil {
				return err
			}
			return n.show(raw, func(w io.Writer) { o.print(w, &h) })
		}),
	}
}

func (o keyOwner) example() string {
	if o.noun == "gateway" {
		return "cellar --data ./node"
	}
	return "lamp-7"
}

func (o keyOwner) print(w io.Writer, h *api.KeyHistory) {
	t := table{head: []string{">KEY", "SUITE", "FROM", "HOW IT CAME", "STATE"}}
	for i := range h.Keys {
		k := &h.Keys[i]
		t.add(fmt.Sprint(k.Epoch), k.Suite, when(k.From), o.how(k), keyState(k))
	}
	t.print(w, "No keys.")
}

func (o keyOwner) how(k *api.KeyEntry) string {
	switch k.How {
	case "rotated":
		return "rotated by " + o.itself
	case "set":
		return "set by " + string(k.By) + ", without the consent of the key before"
	}
	return k.How
}

func keyState(k *api.KeyEntry) string {
	switch k.State {
	case "current":
		return "in use"
	case "former":
		return "replaced; counts until " + when(k.Until)
	case "revoked":
		return "revoked " + when(k.Revoked) + ": " + k.Reason
	}
	return "replaced; counted until " + when(k.Until)
}

func (o keyOwner) revokeCmd(f *nodeFlags) *cobra.Command {
	var b api.Revoke
	var epoch uint32
	var yes bool
	cmd := &cobra.Command{
		Use:   "revoke ID --reason TEXT",
		Short: "End a key of the " + o.noun + " for good, and all before it",
		Long: fmt.Sprintf(`End a key of the %[1]s for good, and all before it: what they sign is refused from then on. What was committed before
stays and can be checked with the key that was valid then.

Without the key in use the %[1]s can do nothing until it has another one. It asks first; a program says --yes.`, o.noun),
		Example: fmt.Sprintf("  lamppost %[1]s revoke %[2]s --reason \"stolen on Monday\"\n  lamppost %[1]s revoke %[2]s --reason \"copied\" --epoch 1 --yes", o.noun, o.example()),
		Args:    oneArg("the " + o.noun + "'s id"),
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return f.run(func(n *remote, args []string) error {
			var h api.KeyHistory
			if _, err := n.get(o.path+url.PathEscape(args[0])+"/keys", &h); err != nil {
				return err
			}
			inUse := h.Keys[0].Epoch
			if !cmd.Flags().Changed("epoch") {
				epoch = inUse
			}
			b.KeyEpoch = &epoch
			then := "The key in use stays."
			if epoch == inUse {
				then = "Nothing of it is taken then until it has another key."
			}
			what := fmt.Sprintf("This ends key %d of %s %s and all before it for good. %s", epoch, o.noun, printable(args[0]), then)
			if err := confirm(cmd, yes, what); err != nil {
				return err
			}
			var done api.Done
			raw, err := n.post(o.path+url.PathEscape(args[0])+"/revoke", b, &done)
			if err != nil {
				return err
			}
			return n.show(raw, func(w io.Writer) {
				fmt.Fprintf(w, "Key %d of %s %s and all before it are revoked (block %d).\n", epoch, o.noun, args[0], done.Height)
				if epoch == inUse {
					fmt.Fprintf(w, "Nothing of it is taken until it has another key: "+o.another+"\n", args[0])
				}
			})
		})(cmd, args)
	}
	cmd.Flags().StringVar(&b.Reason, "reason", "", "why, for people; stays on record")
	cmd.Flags().Uint32Var(&epoch, "epoch", 0, "the latest key to end (default: the one in use)")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return require(cmd, "reason")
}
