package cli

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/device"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/sig"
	"github.com/spf13/cobra"
)

// What may be done to the functions of a device, and what is asked of its guard.

func deviceGuardCmd(f *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "guard ID",
		Short: "Show what a device's guard keeps to, what is asked of it and what it decided",
		Long: `Show what a device's guard keeps to, what is asked of it and what it decided, in words. The guard is the last word: no contract, bill or
outage makes it do more. Without an answer nothing that is asked reaches the device.`,
		Example: "  lamppost device guard lamp-7",
		Args:    oneArg("the device's id"),
		RunE: f.run(func(n *remote, args []string) error {
			state, raw, err := n.guardState(args[0])
			if err != nil {
				return err
			}
			return n.show(raw, func(w io.Writer) { printGuard(w, &state) })
		}),
	}
}

func (n *remote) guardState(id string) (state api.GuardState, raw []byte, err error) {
	raw, err = n.get("/api/devices/"+url.PathEscape(id)+"/guard", &state)
	return state, raw, err
}

func printGuard(w io.Writer, s *api.GuardState) {
	t := table{head: []string{"FUNCTION", "CLASS", ">LEAST", ">NOTICE", ">GRACE"}}
	if s.Charter != nil {
		fmt.Fprintf(w, "Charter %d of owner %s, second party %s:\n", s.Charter.Number, keyText(&s.Charter.Owner), keyText(s.Charter.Second))
		for _, fn := range s.Charter.Functions {
			t.add(fn.Name, fn.Class.String(), percent(fn.Min), timeSpan(fn.Notice), timeSpan(fn.Grace))
		}
	}
	t.print(w, fmt.Sprintf("No charter: all it does is %s.", s.Safety))
	fmt.Fprintln(w)
	for _, r := range s.Restrictions {
		fmt.Fprintf(w, "Asked:  %s: %s at %d %% for %s until %s: %s\n", r.ID, r.Function, r.Level, r.By, when(r.Until), printable(r.Reason))
	}
	for _, word := range s.Words {
		fmt.Fprintf(w, "%s, %s, with charter %d:\n", printable(word.By), when(word.At), word.Charter)
		for _, d := range word.Decisions {
			fmt.Fprintf(w, "  %s\n", printable(d.Text))
		}
		if word.Refused != "" {
			fmt.Fprintf(w, "  It does not take what it was offered: %s\n", printable(word.Refused))
		}
	}
	if len(s.Words) == 0 {
		fmt.Fprintln(w, "No guard has answered since the node started: nothing that is asked reaches the device.")
	}
}

func percent(n uint8) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d %%", n)
}

func timeSpan(t lamppost.TimeMS) string {
	if t == 0 {
		return ""
	}
	return strings.TrimSuffix(strings.TrimSuffix((time.Duration(t)*time.Millisecond).String(), "0s"), "0m")
}

func keyText(k *lamppost.CharterKey) string {
	if k == nil {
		return "none"
	}
	return fmt.Sprintf("%s:%x", k.Suite, k.Key)
}

func parseKeyText(text string) (*lamppost.CharterKey, error) {
	name, digits, _ := strings.Cut(text, ":")
	suite, err := sig.ParseSuite(name)
	if err != nil {
		return nil, err
	}
	key, err := hex.DecodeString(digits)
	if err != nil {
		return nil, fmt.Errorf("%q is not <suite>:<key in hexadecimal>, such as ed25519:9d61…", text)
	}
	k := &lamppost.CharterKey{Suite: suite, Key: key}
	_, err = k.Public()
	return k, err
}

// parseFunction reads NAME=CLASS[:MIN[:NOTICE:GRACE]].
func parseFunction(text string) (fn lamppost.Function, err error) {
	name, rest, ok := strings.Cut(text, "=")
	parts := strings.Split(rest, ":")
	class, err := lamppost.ParseSafetyClass(parts[0])
	if !ok || err != nil || len(parts) > 4 || len(parts) == 3 {
		return fn, fmt.Errorf("%q is not NAME=CLASS[:LEAST[:NOTICE:GRACE]], such as heat=essential:20:240h:72h: classes are life, public, essential and ordinary", text)
	}
	if fn = lamppost.DefaultFunction(name, class); len(parts) > 1 {
		least, err := strconv.ParseUint(parts[1], 10, 8)
		if err != nil {
			return fn, fmt.Errorf("%q: the least level %q is not a percentage", text, parts[1])
		}
		fn.Min = uint8(least)
	} else if class == lamppost.Public {
		return fn, fmt.Errorf("%q: say the least level of a public function, such as light=public:30", text)
	}
	if len(parts) == 4 {
		notice, err1 := time.ParseDuration(parts[2])
		grace, err2 := time.ParseDuration(parts[3])
		if err := errors.Join(err1, err2); err != nil {
			return fn, fmt.Errorf("%q: notice and grace are like 240h: %w", text, err)
		}
		fn.Notice, fn.Grace = lamppost.TimeMS(notice.Milliseconds()), lamppost.TimeMS(grace.Milliseconds())
	}
	return fn, nil
}

// A chartering is what "device charter" was told.
type chartering struct {
	functions             []string
	ownerKey, secondKey   string // folders
	second, agree, toFile string
}

func deviceCharterCmd(f *nodeFlags) *cobra.Command {
	var c chartering
	cmd := &cobra.Command{
		Use:   "charter ID --function NAME=CLASS[:LEAST[:NOTICE:GRACE]]… --owner-key DIR",
		Short: "Sign and register what a device's guard keeps to",
		Long: `Sign and register what a device's guard keeps to. Functions that are not named stay as the charter before has them; what no
charter names is essential. The owner's key is in a folder of its own, made at the first use: keep it, and not on the node.

A charter that protects less than the one before takes the second party's signature too, whom the first charter names with --second; guards
keep to both until its notice is over. The owner signs into a file with --out, and the second party registers it with --agree. Without a second party
nothing ever falls.`,
		Example: `  lamppost device charter lock-3 --function in=ordinary --function out=life --owner-key ./owner --second ed25519:9d61…
  lamppost device charter lamp-7 --function light=public:20 --owner-key ./owner --out lower.charter
  lamppost device charter lamp-7 --agree lower.charter --second-key ./authority`,
		Args: oneArg("the device's id"),
		RunE: f.run(func(n *remote, args []string) error { return c.run(n, lamppost.DeviceID(args[0])) }),
	}
	cmd.Flags().StringArrayVar(&c.functions, "function", nil, "a function and how it is protected; more than once")
	cmd.Flags().StringVar(&c.ownerKey, "owner-key", "", "folder of the owner's key, made at the first use")
	cmd.Flags().StringVar(&c.second, "second", "", "public key of the second party, of the first charter")
	cmd.Flags().StringVar(&c.secondKey, "second-key", "", "folder of the second party's key, who agrees; made at the first use")
	cmd.Flags().StringVar(&c.toFile, "out", "", "write what the owner signed to a file, and register nothing")
	cmd.Flags().StringVar(&c.agree, "agree", "", "register what the owner signed, with the second party's signature")
	return cmd
}

func (c *chartering) run(n *remote, id lamppost.DeviceID) error {
	var st api.Status
	if _, err := n.get("/api/status", &st); err != nil {
		return err
	}
	body := lamppost.CharterBody{Device: id}
	var err error
	if c.agree != "" {
		body.Charter, err = os.ReadFile(c.agree)
	} else {
		body.Charter, err = c.sign(n, st.Network, id)
	}
	if err != nil {
		return err
	}
	next, err := lamppost.ParseCharter(body.Charter)
	if err != nil {
		return err
	}
	if c.toFile != "" {
		if err := os.WriteFile(c.toFile, body.Charter, 0o644); err != nil {
			return err
		}
		fmt.Fprintf(n.out, "Charter %d of %s is signed by its owner and written to %s; the second party registers it with --agree\n", next.Number, id, c.toFile)
		return nil
	}
	if c.secondKey != "" && next.Number > 1 {
		key, err := device.LoadOrCreateKey(c.secondKey, sig.EdDSA)
		if err != nil {
			return err
		}
		if body.Second, err = next.Charter.Sign(st.Network, lamppost.PurposeAgreed, key); err != nil {
			return err
		}
	}
	return n.order("/api/charters", body, fmt.Sprintf("Charter %d of %s is registered; its guard takes it when it asks next", next.Number, id))
}

// sign makes the next charter of a device, by its owner.
func (c *chartering) sign(n *remote, network string, id lamppost.DeviceID) ([]byte, error) {
	if c.ownerKey == "" || len(c.functions) == 0 {
		return nil, usage(errors.New("say --function and --owner-key, or --agree with what the owner signed"))
	}
	state, _, err := n.guardState(string(id))
	if err != nil {
		return nil, err
	}
	owner, err := device.LoadOrCreateKey(c.ownerKey, sig.EdDSA)
	if err != nil {
		return nil, err
	}
	next := lamppost.Charter{Version: lamppost.CharterVersion, Device: id, Number: 1, Owner: lamppost.CharterKey{Suite: owner.Suite(), Key: owner.Public().Bytes()}}
	if before := state.Charter; before != nil {
		next = *before
		next.Number++
	} else if next.Second, err = c.secondParty(); err != nil {
		return nil, err
	}
	for _, text := range c.functions {
		fn, err := parseFunction(text)
		if err != nil {
			return nil, usage(err)
		}
		next.Functions = slices.DeleteFunc(next.Functions, func(old lamppost.Function) bool { return old.Name == fn.Name })
		next.Functions = append(next.Functions, fn)
	}
	slices.SortFunc(next.Functions, func(a, b lamppost.Function) int { return cmp.Compare(a.Name, b.Name) })
	return next.Sign(network, lamppost.PurposeCharter, owner)
}

func (c *chartering) secondParty() (*lamppost.CharterKey, error) {
	switch {
	case c.second != "":
		k, err := parseKeyText(c.second)
		if err != nil {
			return nil, usage(fmt.Errorf("--second: %w", err))
		}
		return k, nil
	case c.secondKey != "":
		key, err := device.LoadOrCreateKey(c.secondKey, sig.EdDSA)
		if err != nil {
			return nil, err
		}
		return &lamppost.CharterKey{Suite: key.Suite(), Key: key.Public().Bytes()}, nil
	}
	return nil, nil
}

func deviceCharterKeyCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "charter-key DIR",
		Short: "Show the public key that a party signs charters with, and make it at the first use",
		Long: `Show the public key that a party signs charters with, and make it at the first use. The folder holds a secret: who has it can say what may
be done to devices. A second party gives the key that this prints to the owner, for "device charter --second".`,
		Example: "  lamppost device charter-key ./authority",
		Args:    oneArg("the folder of the key"),
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := device.LoadOrCreateKey(args[0], sig.EdDSA)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), key.Public())
			return nil
		},
	}
}

func deviceRestrictCmd(f *nodeFlags) *cobra.Command {
	var b lamppost.RestrictBody
	var by, noticed string
	var last time.Duration
	cmd := &cobra.Command{
		Use:   "restrict ID --function NAME --level PERCENT --by PARTY --reason TEXT [--for TIME] [--id RESTRICTION]",
		Short: "Ask a device's guard to restrict a function",
		Long: `Ask a device's guard to restrict a function. The guard decides with what it knows itself: "device guard" shows what it says, and when.
It ends by itself after --for, or with "device lift".`,
		Example: `  lamppost device restrict flat-3 --function heat --level 20 --by landlord --reason "two rents are due"
  lamppost device restrict lamp-7 --function light --level 40 --by city --reason "power is scarce" --for 4h --id peak-12`,
		Args: oneArg("the device's id"),
		RunE: f.run(func(n *remote, args []string) error {
			var st api.Status
			if _, err := n.get("/api/status", &st); err != nil {
				return err
			}
			var err error
			if b.Notice, err = moment("--noticed", noticed); err != nil {
				return err
			}
			b.Device, b.By, b.Until = lamppost.DeviceID(args[0]), lamppost.PartyID(by), st.Now+lamppost.TimeMS(last.Milliseconds())
			return n.order("/api/restrictions", b, fmt.Sprintf("The guard of %s is asked to set %s to %d %% until %s at the latest; it decides", b.Device, b.Function, b.Level, when(b.Until)))
		}),
	}
	cmd.Flags().StringVar(&b.ID, "id", "restriction", "its name among those of the device")
	cmd.Flags().StringVar(&b.Function, "function", "", "which function")
	cmd.Flags().Uint8Var(&b.Level, "level", 0, "percent, below 100")
	cmd.Flags().StringVar(&by, "by", "", "party that asks")
	cmd.Flags().StringVar(&b.Reason, "reason", "", "for those who use the device")
	cmd.Flags().StringVar(&noticed, "noticed", "", "when they were told; the guard counts its own notice all the same")
	cmd.Flags().DurationVar(&last, "for", 30*24*time.Hour, "how long at most, up to 366 days")
	return require(cmd, "function", "by", "reason")
}

func deviceLiftCmd(f *nodeFlags) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:     "lift ID [RESTRICTION]",
		Short:   "Take back what was asked of a device's guard",
		Example: `  lamppost device lift flat-3 --reason "paid"`,
		Args:    cobra.RangeArgs(1, 2),
		RunE: f.run(func(n *remote, args []string) error {
			state, _, err := n.guardState(args[0])
			if err != nil {
				return err
			}
			id := append(args, "restriction")[1]
			for _, b := range state.Restrictions {
				if b.ID == id {
					b.Lifted, b.Reason = true, reason
					return n.order("/api/restrictions", b, fmt.Sprintf("%s of %s is taken back; its guard hears of it when it asks next", id, args[0]))
				}
			}
			return fmt.Errorf("nothing of the name %q is asked of %s: lamppost device guard %s lists what is", id, args[0], args[0])
		}),
	}
	cmd.Flags().StringVar(&reason, "reason", "taken back", "why")
	return cmd
}
