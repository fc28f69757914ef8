package cli

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"strings"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/voucher"
	"github.com/spf13/cobra"
)

func voucherCmd() *cobra.Command {
	f := &nodeFlags{}
	return f.group("voucher", "Promise payments while offline, take them, and cash them", `  lamppost voucher open ch-1 --payer tenant-3 --payee lamp-17 --tariff light --most 10.00 --wallet ./wallet
  lamppost voucher expect ch-1 --till ./till
  lamppost voucher pay ch-1 0.25 --wallet ./wallet           offline, at the payer
  lamppost voucher take VOUCHER --till ./till                offline, at the payee
  lamppost voucher cash --till ./till`, voucherOpenCmd(f), voucherExpectCmd(f), voucherPayCmd(f), voucherTakeCmd(f), voucherCashCmd(f), voucherCloseCmd(f), voucherShowCmd(f),
		voucherListCmd(f), voucherContradictCmd(f))
}

func writeVoucher(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }

func readVoucher(text string) ([]byte, error) {
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimSpace(text))
	if err == nil {
		err = new(lamppost.Voucher).Decode(raw)
	}
	if err != nil {
		return nil, usage(fmt.Errorf("%.40q is no voucher: %v: give it as `lamppost voucher pay` prints it", text, err))
	}
	return raw, nil
}

func readVouchers(args []string) (all [][]byte, err error) {
	for _, text := range args {
		raw, err := readVoucher(text)
		if err != nil {
			return nil, err
		}
		all = append(all, raw)
	}
	return all, nil
}

func nowMS() lamppost.TimeMS { return lamppost.TimeMS(time.Now().UnixMilli()) }

// offline makes the function of a verb that asks no node: it opens a folder of vouchers.
func (f *nodeFlags) offline(dir *string, do func(n *remote, at *voucher.Folder, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		n := &remote{ctx: cmd.Context(), out: cmd.OutOrStdout(), json: f.json}
		return withFolder(*dir, func(at *voucher.Folder) error { return do(n, at, args) })
	}
}

func withFolder(dir string, do func(*voucher.Folder) error) error {
	at, err := voucher.OpenFolder(dir)
	if err != nil {
		return err
	}
	return errors.Join(do(at), at.Close())
}

// said prints what was done: as JSON, or in words.
func (n *remote) said(v any, inWords func(w io.Writer)) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return n.show(raw, inWords)
}

func voucherOpenCmd(f *nodeFlags) *cobra.Command {
	var b lamppost.ChannelBody
	var payer, payee, most, dir string
	var last time.Duration
	cmd := &cobra.Command{
		Use:   "open ID --payer PARTY --payee DEVICE --tariff TARIFF --most AMOUNT --wallet DIR [--for DURATION]",
		Short: "Open a channel and its wallet, and hold the money for it",
		Long: `Open a channel on which the payer may promise the payee at most so much by vouchers, without either being online. So much, with the
tariff's tax, is held out of the payer's money and credit until the channel is closed and billed. The payee is a device of the
tariff's seller, or the seller. The folder of the wallet has the payer's key, which is made where there is none.`,
		Example: `  lamppost voucher open ch-1 --payer tenant-3 --payee lamp-17 --tariff light --most 10.00 --wallet ./wallet
  lamppost voucher open ch-2 --payer tenant-3 --payee lamp-18 --tariff light --most 50.00 --for 720h --wallet ./wallet`,
		Args: oneArg("the channel's id, such as ch-1"),
		RunE: f.run(func(n *remote, args []string) (err error) {
			b.ID, b.Payer, b.Payee = args[0], lamppost.PartyID(payer), lamppost.PartyID(payee)
			if b.Most, err = lamppost.ParseMicro(most); err != nil {
				return usage(fmt.Errorf("--most: %w: write it like 10.00", err))
			}
			return withFolder(dir, func(at *voucher.Folder) error { return n.openChannel(at, &b, last) })
		}),
	}
	cmd.Flags().StringVar(&payer, "payer", "", "party that promises")
	cmd.Flags().StringVar(&payee, "payee", "", "device that is promised to, or the seller")
	cmd.Flags().StringVar(&b.Tariff, "tariff", "", "whose seller, currency and tax the bill has")
	cmd.Flags().StringVar(&most, "most", "", "the most that may be promised in all, before tax")
	cmd.Flags().StringVar(&dir, "wallet", "", "folder of the wallet")
	cmd.Flags().DurationVar(&last, "for", 24*time.Hour, "how long vouchers may be given and taken, such as 24h; at most 744h")
	return require(cmd, "payer", "payee", "tariff", "most", "wallet")
}

// openChannel orders a channel and begins its wallet. Where the order was made before and no wallet came of it, only that is begun.
func (n *remote) openChannel(at *voucher.Folder, b *lamppost.ChannelBody, last time.Duration) error {
	key, err := at.Key()
	if err != nil {
		return err
	}
	if _, err := at.Wallet(b.ID); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(fmt.Errorf("this folder has a wallet of channel %q: choose another id", b.ID), err)
	}
	b.Key = key.Public().Bytes()
	if b.From, err = n.moment("now", nil); err != nil {
		return err
	}
	b.Until = b.From + lamppost.TimeMS(last.Milliseconds())
	var q api.Quote
	if _, err := n.get("/api/tariffs/"+url.PathEscape(b.Tariff)+"/quote", &q); err != nil {
		return err
	}
	b.Version = q.Version
	_, ordered := n.post("/api/channels", b, new(api.Done))
	c, err := n.channel(b.ID)
	if ordered != nil && (err != nil || string(c.Key) != string(b.Key)) {
		return ordered
	}
	if err != nil {
		return err
	}
	if _, err := at.NewWallet(termsOf(c)); err != nil {
		return err
	}
	return n.said(c, func(w io.Writer) {
		fmt.Fprintf(w, "Channel %s is open until %s: %s may promise %s at most %s %s, and %s are held\n", c.ID, seconds(nil, c.Until), c.Payer, c.Payee, c.Most, c.Currency, c.Held)
	})
}

func termsOf(c *api.Channel) voucher.Terms {
	return voucher.Terms{Network: c.Network, Channel: c.ChannelBody}
}

func (n *remote) channel(id string) (*api.Channel, error) {
	c := new(api.Channel)
	_, err := n.get("/api/channels/"+url.PathEscape(id), c)
	return c, err
}

func voucherExpectCmd(f *nodeFlags) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "expect ID --till DIR",
		Short: "Begin the till of a channel, with its terms as the ledger has them",
		Long: `Fetch the terms of a channel from a node that the payee trusts, and begin its till with them. From then on the payee takes
vouchers without being online. What a payer says of a channel is worth nothing: the hold stands in the ledger.`,
		Example: `  lamppost voucher expect ch-1 --till ./till`,
		Args:    oneArg("the channel's id, such as ch-1"),
		RunE: f.run(func(n *remote, args []string) error {
			c, err := n.channel(args[0])
			if err != nil {
				return err
			}
			if c.State != "open" || c.Ended {
				return fmt.Errorf("channel %q takes no vouchers any more: it has ended, or is %s", c.ID, c.State)
			}
			err = withFolder(dir, func(at *voucher.Folder) error {
				_, err := at.NewTill(termsOf(c))
				return err
			})
			if err != nil {
				return err
			}
			return n.said(c, func(w io.Writer) {
				fmt.Fprintf(w, "Vouchers of channel %s for %s are taken until %s, up to %s %s\n", c.ID, c.Payee, seconds(nil, c.Until), c.Most, c.Currency)
			})
		}),
	}
	cmd.Flags().StringVar(&dir, "till", "", "folder of the till")
	return require(cmd, "till")
}

// A promise is what `voucher pay`, `take` and `show` print as JSON.
type promise struct {
	Channel string           `json:"channel"`
	Payee   lamppost.PartyID `json:"payee"`
	N       uint64           `json:"n"`
	Amount  lamppost.Micro   `json:"amount"` // in all, before tax
	Until   lamppost.TimeMS  `json:"until_ms"`
	Voucher string           `json:"voucher"`
	Left    *lamppost.Micro  `json:"left,omitempty"`   // of a wallet: what may still be promised
	Credit  *lamppost.Micro  `json:"credit,omitempty"` // of a till: what is not used
}

func promised(raw []byte) (promise, error) {
	var v lamppost.Voucher
	err := v.Decode(raw)
	return promise{Channel: v.Channel, Payee: v.Payee, N: v.N, Amount: v.Amount, Until: v.Until, Voucher: writeVoucher(raw)}, err
}

func voucherPayCmd(f *nodeFlags) *cobra.Command {
	var dir string
	var again bool
	cmd := &cobra.Command{
		Use:   "pay ID AMOUNT --wallet DIR | pay ID --again --wallet DIR",
		Short: "Promise so much more, offline, and print the voucher",
		Long: `Sign the next voucher of a channel, which promises so much more than the one before, and print it. It is in the wallet before it is
printed. No node is asked. Where nobody knows whether the last one arrived, --again prints it again and promises nothing more.`,
		Example: `  lamppost voucher pay ch-1 0.25 --wallet ./wallet
  lamppost voucher pay ch-1 --again --wallet ./wallet`,
		Args: cobra.RangeArgs(1, 2),
		RunE: f.offline(&dir, func(n *remote, at *voucher.Folder, args []string) error {
			if again == (len(args) == 2) {
				return usage(errors.New("say how much more is promised, such as 0.25, or --again"))
			}
			w, err := at.Wallet(args[0])
			if err != nil {
				return err
			}
			raw := w.Last()
			if !again {
				more, err := lamppost.ParseMicro(args[1])
				if err != nil {
					return usage(fmt.Errorf("%w: write the amount like 0.25", err))
				}
				if raw, err = w.Pay(nowMS(), more); err != nil {
					return err
				}
			}
			if raw == nil {
				return fmt.Errorf("nothing was promised on channel %q yet", args[0])
			}
			p, err := promised(raw)
			if err != nil {
				return err
			}
			left := w.Terms().Channel.Most - w.Paid()
			p.Left = &left
			return n.said(p, func(w io.Writer) { fmt.Fprintln(w, p.Voucher) })
		}),
	}
	cmd.Flags().StringVar(&dir, "wallet", "", "folder of the wallet")
	cmd.Flags().BoolVar(&again, "again", false, "print the last voucher")
	return require(cmd, "wallet")
}

func voucherTakeCmd(f *nodeFlags) *cobra.Command {
	var dir, use string
	cmd := &cobra.Command{
		Use:   "take VOUCHER --till DIR [--use AMOUNT]",
		Short: "Take a voucher, offline, and keep it if it is the highest",
		Long: `Check a voucher against the channel's terms and keep it if it promises more than the one before. With --use so much of what is
promised and not used yet is used for what is delivered now; the verb fails where that is not covered. No node is asked.`,
		Example: `  lamppost voucher take VOUCHER --till ./till --use 0.25`,
		Args:    oneArg("a voucher, as `lamppost voucher pay` prints it"),
		RunE: f.offline(&dir, func(n *remote, at *voucher.Folder, args []string) error {
			raw, err := readVoucher(args[0])
			if err != nil {
				return err
			}
			amount, err := lamppost.ParseMicro(use)
			if err != nil {
				return usage(fmt.Errorf("--use: %w: write it like 0.25", err))
			}
			p, err := promised(raw)
			if err != nil {
				return err
			}
			x, err := at.Till(p.Channel)
			if err != nil {
				return fmt.Errorf("%w: `lamppost voucher expect` begins one", err)
			}
			if err := x.Take(nowMS(), raw, amount); err != nil {
				return evidence(err, x.Last(), raw)
			}
			if p, err = promised(x.Last()); err != nil {
				return err
			}
			credit := x.Credit()
			p.Credit = &credit
			return n.said(p, func(w io.Writer) {
				fmt.Fprintf(w, "%s are promised on channel %s in all, %s of it not used\n", p.Amount, p.Channel, credit)
			})
		}),
	}
	cmd.Flags().StringVar(&dir, "till", "", "folder of the till")
	cmd.Flags().StringVar(&use, "use", "0", "how much of it pays for what is delivered now")
	return require(cmd, "till")
}

// evidence adds to the refusal of a voucher that contradicts the one before how to show both.
func evidence(err error, before, raw []byte) error {
	var refusal *lamppost.Refusal
	if errors.As(err, &refusal) && refusal.Code == lamppost.CodeForbidden {
		return fmt.Errorf("%w: `lamppost voucher contradict %s %s` puts both into the log", err, writeVoucher(before), writeVoucher(raw))
	}
	return err
}
