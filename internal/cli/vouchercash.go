package cli

import (
	"errors"
	"fmt"
	"io"
	"net/url"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/voucher"
	"github.com/spf13/cobra"
)

func voucherCashCmd(f *nodeFlags) *cobra.Command {
	var b api.Cash
	var dir string
	var closing bool
	cmd := &cobra.Command{
		Use:   "cash [VOUCHER…] [--till DIR] [--kept] [--close] [--reason TEXT]",
		Short: "Cash vouchers of any number of channels in one transaction",
		Long: `Cash vouchers: those that are named, the highest of each channel in a till, and with --kept what the node itself was paid with. The
last of a channel is enough, and one order cashes all. With --close their channels are closed too, which needs a reason before three days
after their end: what is held beyond is free again, and the next invoice to the payer has what was cashed.`,
		Example: `  lamppost voucher cash --till ./till
  lamppost voucher cash VOUCHER --close --reason 'the tenant moves out'
  lamppost voucher cash --kept`,
		Args: cobra.ArbitraryArgs,
		RunE: f.run(func(n *remote, args []string) (err error) {
			if b.Vouchers, err = readVouchers(args); err != nil {
				return err
			}
			if dir != "" {
				kept, err := inTill(dir)
				if err != nil {
					return err
				}
				b.Vouchers = append(b.Vouchers, kept...)
			}
			if len(b.Vouchers) == 0 && !b.Kept {
				return usage(errors.New("name vouchers, or a till that has some, or say --kept"))
			}
			if closing {
				if b.Close, err = channelsOf(b.Vouchers); err != nil {
					return err
				}
			}
			return n.cash(&b)
		}),
	}
	cmd.Flags().StringVar(&dir, "till", "", "folder of a till")
	cmd.Flags().BoolVar(&b.Kept, "kept", false, "also what the node was paid with")
	cmd.Flags().BoolVar(&closing, "close", false, "close the channels of the vouchers that are named or in the till")
	cmd.Flags().StringVar(&b.Reason, "reason", "", "why they are closed before the payee's time is over")
	return cmd
}

// inTill returns the highest voucher of each channel.
func inTill(dir string) (all [][]byte, err error) {
	err = withFolder(dir, func(at *voucher.Folder) error {
		channels, err := at.Tills()
		for _, id := range channels {
			x, err := at.Till(id)
			if err != nil {
				return err
			}
			if x.Last() != nil {
				all = append(all, x.Last())
			}
		}
		return err
	})
	return all, err
}

func channelsOf(vouchers [][]byte) (all []string, err error) {
	seen := map[string]bool{}
	for _, raw := range vouchers {
		p, err := promised(raw)
		if err != nil {
			return nil, err
		}
		if !seen[p.Channel] {
			seen[p.Channel], all = true, append(all, p.Channel)
		}
	}
	return all, nil
}

// cash orders it, and says what each channel came to.
func (n *remote) cash(b *api.Cash) error {
	var done api.Done
	raw, err := n.post("/api/channels/cash", b, &done)
	if err != nil {
		return err
	}
	return n.show(raw, func(w io.Writer) {
		t := table{head: []string{"CHANNEL", ">VOUCHER", ">CASHED", ">MORE", "", ">FREED"}}
		for i := range done.Cashed {
			c := &done.Cashed[i]
			state, freed := "open", ""
			if c.Closed {
				state, freed = "closed", c.Freed.String()
			}
			t.add(c.Channel, fmt.Sprint(c.N), c.Amount.String(), c.More.String(), state, freed)
		}
		t.print(w, "")
		fmt.Fprintf(w, "In one transaction of block %d\n", done.Height)
	})
}

func voucherCloseCmd(f *nodeFlags) *cobra.Command {
	var b api.Cash
	cmd := &cobra.Command{
		Use:   "close ID… [--reason TEXT]",
		Short: "Close channels, and free what was not cashed",
		Long: `Close channels: no voucher of them is cashed afterwards, what is held beyond what was cashed is free again, and the next invoice
has what was. A payee has three days after a channel's end to cash; earlier it is closed only with a reason.`,
		Example: `  lamppost voucher close ch-1
  lamppost voucher close ch-1 ch-2 --reason 'the lamp was taken down'`,
		Args: cobra.MinimumNArgs(1),
		RunE: f.run(func(n *remote, args []string) error {
			b.Close = args
			return n.cash(&b)
		}),
	}
	cmd.Flags().StringVar(&b.Reason, "reason", "", "why they are closed before the payee's time is over")
	return cmd
}

func voucherShowCmd(f *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "show ID | show VOUCHER",
		Short: "Show a channel as the ledger has it, or what a voucher says",
		Example: `  lamppost voucher show ch-1
  lamppost voucher show 0oRH…`,
		Args: oneArg("a channel's id, or a voucher"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if lamppost.CheckName("channel", args[0]) == nil {
				return f.run(showChannel)(cmd, args)
			}
			raw, err := readVoucher(args[0])
			if err != nil {
				return err
			}
			p, err := promised(raw)
			if err != nil {
				return err
			}
			return (&remote{out: cmd.OutOrStdout(), json: f.json}).said(p, func(w io.Writer) {
				fmt.Fprintf(w, "Voucher %d of channel %s promises %s %s in all, until %s. Whether its key signed it shows at the till or the node\n", p.N, p.Channel, p.Payee, p.Amount, seconds(nil, p.Until))
			})
		},
	}
}

func showChannel(n *remote, args []string) error {
	var c api.Channel
	raw, err := n.get("/api/channels/"+url.PathEscape(args[0]), &c)
	if err != nil {
		return err
	}
	return n.show(raw, func(w io.Writer) { printChannels(w, []api.Channel{c}) })
}

func printChannels(w io.Writer, all []api.Channel) {
	t := table{head: []string{"ID", "PAYER", "PAYEE", "TARIFF", "UNTIL", "STATE", ">MOST", ">CASHED", ">HELD", "", "INVOICE"}}
	for i := range all {
		c := &all[i]
		state := c.State
		if c.Ended {
			state += ", ENDED"
		}
		t.add(c.ID, string(c.Payer), string(c.Payee), fmt.Sprintf("%s/%d", c.Tariff, c.Version), seconds(nil, c.Until), state, c.Most.String(), c.Cashed.String(), c.Held.String(),
			c.Currency, or(c.Invoice, c.Reason))
	}
	t.print(w, "No channels. Open one: lamppost voucher open ID --payer … --payee … --tariff … --most … --wallet DIR")
}

func voucherListCmd(f *nodeFlags) *cobra.Command {
	var state, payer, payee string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List channels",
		Example: `  lamppost voucher list
  lamppost voucher list --state open --payee lamp-17`,
		Args: cobra.NoArgs,
		RunE: f.run(func(n *remote, _ []string) error {
			query := url.Values{"state": {state}}
			if payer != "" {
				query.Set("payer", payer)
			}
			if payee != "" {
				query.Set("payee", payee)
			}
			var all api.ChannelList
			raw, err := n.get("/api/channels?"+query.Encode(), &all)
			if err != nil {
				return err
			}
			return n.show(raw, func(w io.Writer) { printChannels(w, all.Channels) })
		}),
	}
	cmd.Flags().StringVar(&state, "state", "", "only those that are open, unused, closed or billed")
	cmd.Flags().StringVar(&payer, "payer", "", "only those of one payer")
	cmd.Flags().StringVar(&payee, "payee", "", "only those of one payee")
	return cmd
}

func voucherContradictCmd(f *nodeFlags) *cobra.Command {
	var b lamppost.ContradictBody
	var lift string
	cmd := &cobra.Command{
		Use:   "contradict [VOUCHER [VOUCHER]] | contradict --lift PARTY --reason TEXT | contradict",
		Short: "Show that a payer signed what no honest one signs; or list who did",
		Long: `Show one voucher that breaks its channel's terms, or two that contradict each other: the same number with two amounts, a higher one that
promises no more, two payees. It goes into the log, and nobody opens a channel for the payer until that is lifted. Without arguments it
lists what was shown.`,
		Example: `  lamppost voucher contradict VOUCHER VOUCHER
  lamppost voucher contradict
  lamppost voucher contradict --lift tenant-3 --reason 'its key was stolen'`,
		Args: cobra.MaximumNArgs(2),
		RunE: f.run(func(n *remote, args []string) (err error) {
			if b.Vouchers, err = readVouchers(args); err != nil {
				return err
			}
			b.Lift = lamppost.PartyID(lift)
			switch {
			case lift != "":
				return n.order("/api/contradictions", b, fmt.Sprintf("Channels can be opened for %s again", lift))
			case len(args) > 0:
				return n.order("/api/contradictions", b, "The contradiction is in the log; nobody opens a channel for its payer")
			}
			var all api.ContradictionList
			raw, err := n.get("/api/contradictions", &all)
			if err != nil {
				return err
			}
			return n.show(raw, func(w io.Writer) {
				t := table{head: []string{"PAYER", "CHANNEL", "WHY"}}
				for _, c := range all.Contradictions {
					t.add(string(c.Payer), c.Channel, c.Why)
				}
				t.print(w, "No payer has contradicted itself.")
			})
		}),
	}
	cmd.Flags().StringVar(&lift, "lift", "", "payer for whom channels may be opened again")
	cmd.Flags().StringVar(&b.Reason, "reason", "", "why")
	return cmd
}
