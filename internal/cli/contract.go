package cli

import (
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/contract"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/spf13/cobra"
)

func contractCmd() *cobra.Command {
	f := &nodeFlags{}
	return f.group("contract", "Programs that say what becomes of money once a bill is made", `  lamppost contract example revenue > mine.star
  lamppost contract try mine.star --device lamp-1 --term holder1=ivy --term share1=3000
  lamppost contract deploy split-lamp mine.star --currency EUR --device lamp-1 --party lamp-1 --party ivy --term holder1=ivy --term share1=3000
  lamppost contract show split-lamp`,
		contractDeployCmd(f), contractTryCmd(f), contractListCmd(f), contractShowCmd(f), contractCallCmd(f), contractRepeatCmd(f), contractExampleCmd())
}

// contractFlags say what a contract is beside its program.
type contractFlags struct {
	currency, to            string
	parties, devices, terms []string
}

func (c *contractFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&c.parties, "party", nil, "who is bound: a party's or device's id, and after a colon how much of its own the contract may take in all, such as acme:500.00 (repeat for each)")
	cmd.Flags().StringArrayVar(&c.devices, "device", nil, "device whose bills it hears of (repeat for each)")
	cmd.Flags().StringArrayVar(&c.terms, "term", nil, "what the program sees in terms: NAME=VALUE, an amount with a point, an integer, or text (repeat for each)")
}

// body makes the order. Of a later version what stays is taken from the one before.
func (c *contractFlags) body(id, source string, before *api.Contract) (b lamppost.ContractBody, err error) {
	b = lamppost.ContractBody{ID: id, Version: 1, Source: source, Currency: c.currency}
	if before != nil {
		b.Version, b.Currency, b.Devices, b.Terms, b.To = before.Version+1, before.Currency, before.Devices, before.Terms, before.To
		for _, p := range before.Parties {
			b.Parties = append(b.Parties, lamppost.ContractParty{Party: p.Party, Limit: p.Limit})
		}
	}
	for _, text := range c.parties {
		name, limit, has := strings.Cut(text, ":")
		p := lamppost.ContractParty{Party: lamppost.PartyID(name)}
		if has {
			if p.Limit, err = lamppost.ParseMicro(limit); err != nil {
				return b, usage(fmt.Errorf("--party %s: %w: write it like acme:500.00", text, err))
			}
		}
		b.Parties = append(b.Parties, p)
	}
	for _, d := range c.devices {
		b.Devices = append(b.Devices, lamppost.DeviceID(d))
	}
	slices.SortFunc(b.Parties, func(a, b lamppost.ContractParty) int { return strings.Compare(string(a.Party), string(b.Party)) })
	slices.Sort(b.Devices)
	if len(c.terms) > 0 {
		b.Terms, err = namedValues("--term", c.terms)
	}
	return b, err
}

// namedValues reads NAME=VALUE: an integer, an amount with a point in millionths, or text.
func namedValues(flag string, texts []string) (all []lamppost.Arg, err error) {
	for _, t := range texts {
		name, val, ok := strings.Cut(t, "=")
		if !ok {
			return nil, usage(fmt.Errorf("%s %s: write it like rate=0.05 or holder=ivy", flag, t))
		}
		a := lamppost.Arg{Name: name}
		if n, err := strconv.ParseInt(val, 10, 64); err == nil {
			a.Number = n
		} else if m, err := lamppost.ParseMicro(val); err == nil {
			a.Number = int64(m)
		} else {
			a.Text = val
		}
		all = append(all, a)
	}
	slices.SortFunc(all, func(a, b lamppost.Arg) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// readProgram reads a file, the standard input, or a program of the library.
func readProgram(stdin io.Reader, name string) (string, error) {
	if source, ok := contract.Library(name); ok && !isFile(name) {
		return source, nil
	}
	raw, err := readTariff(stdin, name)
	if os.IsNotExist(err) {
		err = fmt.Errorf("%s is no file, and none of the library's programs: %s", name, strings.Join(contract.LibraryNames(), ", "))
	}
	return string(raw), err
}

func contractDeployCmd(f *nodeFlags) *cobra.Command {
	var c contractFlags
	cmd := &cobra.Command{
		Use:   "deploy ID FILE.star|PROGRAM [--currency C --party PARTY[:LIMIT]… --device DEVICE… --term NAME=VALUE… --to TIME]",
		Short: "Put a program on the ledger, or its next version",
		Long: `Put a program on the ledger for its parties, from a file, the standard input ("-"), or the library (lamppost contract example). Of a bill of its
devices it moves what the bill brought, and of a party's own money no more than the party's limit, over the contract's life.
A later version changes the program, its terms (all of them, or none) and its end. Whom it binds, in what currency and for which
devices stays, and is not given again. docs/contracts.md has the language.`,
		Example: `  lamppost contract deploy split-lamp revenue --currency EUR --device lamp-1 --party lamp-1 --party ivy --term holder1=ivy --term share1=3000
  lamppost contract deploy loan-lamp loan.star --currency EUR --device lamp-1 --party lamp-1 --party bank --party acme:500.00 \
      --term lender=bank --term borrower=acme --term principal=500.00 --term rate=0.05 --to 2028-01-01T00:00:00Z
  lamppost contract deploy split-lamp mine.star`,
		Args: twoArgs("the contract's id, such as split-lamp", "a file, - or a program of the library"),
		RunE: func(cmd *cobra.Command, args []string) error {
			source, err := readProgram(cmd.InOrStdin(), args[1])
			if err != nil {
				return usage(err)
			}
			return f.run(func(n *remote, args []string) error { return n.deploy(&c, args[0], source) })(cmd, args)
		},
	}
	c.add(cmd)
	cmd.Flags().StringVar(&c.currency, "currency", "", "ISO 4217, such as EUR (of a first version)")
	cmd.Flags().StringVar(&c.to, "to", "", "when it ends: an instant (default: never)")
	return cmd
}

func (n *remote) deploy(c *contractFlags, id, source string) error {
	var all api.ContractList
	if _, err := n.get("/api/contracts", &all); err != nil {
		return err
	}
	var before *api.Contract
	if i := slices.IndexFunc(all.Contracts, func(x api.Contract) bool { return x.ID == id }); i >= 0 {
		before = new(api.Contract)
		if _, err := n.get("/api/contracts/"+url.PathEscape(id), before); err != nil {
			return err
		}
	} else if c.currency == "" || len(c.parties) == 0 {
		return usage(fmt.Errorf("the first version of a contract needs --currency and --party"))
	}
	b, err := c.body(id, source, before)
	if err != nil {
		return err
	}
	if c.to != "" {
		if b.To, err = parseMoment(c.to, nil); err != nil {
			return usage(fmt.Errorf("--to: %w", err))
		}
	}
	return n.order("/api/contracts", b, fmt.Sprintf("Version %d of contract %s holds from now on", b.Version, id))
}

func contractTryCmd(f *nodeFlags) *cobra.Command {
	var c contractFlags
	var from, to string
	cmd := &cobra.Command{
		Use:   "try FILE.star|PROGRAM [--currency C --party PARTY[:LIMIT]… --device DEVICE… --term NAME=VALUE…] [--from TIME] [--to TIME]",
		Short: "Tell a program of the bills that were made, and see what it would have paid",
		Long: `Tell a program of the invoices that were made of the devices, as if its contract had been there, and show what it would have paid, where it
would have failed, and what it costs. It orders nothing. That accounts cover it is assumed, and that no other contract has a part in
the same devices. With --party only those are bound, up to their limits; without, anybody can be paid. Events that come from no
bill are not tried.`,
		Example: `  lamppost contract try revenue --device lamp-1 --term holder1=ivy --term share1=3000
  lamppost contract try mine.star --device lamp-1 --party lamp-1 --party ivy --from 2026-11-01T00:00:00Z --json`,
		Args: oneArg("a file, - or a program of the library"),
		RunE: func(cmd *cobra.Command, args []string) error {
			source, err := readProgram(cmd.InOrStdin(), args[0])
			if err != nil {
				return usage(err)
			}
			return f.run(func(n *remote, _ []string) error { return n.tryContract(&c, source, from, to) })(cmd, args)
		},
	}
	c.add(cmd)
	cmd.Flags().StringVar(&c.currency, "currency", "EUR", "of the bills it hears of")
	cmd.Flags().StringVar(&from, "from", "", "invoices issued from this instant on (default: the first)")
	cmd.Flags().StringVar(&to, "to", "", "and before this one (default: the last)")
	return require(cmd, "device")
}

func (n *remote) tryContract(c *contractFlags, source, from, to string) (err error) {
	var b api.ContractTrial
	if b.Contract, err = c.body("trial", source, nil); err != nil {
		return err
	}
	for text, at := range map[*string]*lamppost.TimeMS{&from: &b.From, &to: &b.To} {
		if *text == "" {
			continue
		}
		if *at, err = parseMoment(*text, nil); err != nil {
			return usage(err)
		}
	}
	var out api.ContractTried
	raw, err := n.post("/api/contracts/try", b, &out)
	if err != nil {
		return err
	}
	return n.show(raw, func(w io.Writer) {
		fmt.Fprintf(w, "The program has functions for: %s\n%d bills were made of these devices; at %d of them it fails\n\n", printable(strings.Join(out.Handles, ", ")), out.Bills, out.Failed)
		t := table{head: []string{"PARTY", ">GETS", ""}}
		for _, x := range out.Sums {
			t.add(string(x.Party), x.Sum.String(), out.Currency)
		}
		t.print(w, "It pays nothing.")
		if len(out.Runs) > 0 {
			fmt.Fprintln(w)
			printRuns(w, out.Runs, out.Currency)
			fmt.Fprintf(w, "\nIt would keep: %s\n", printable(out.State))
		}
	})
}

func contractListCmd(f *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List contracts",
		Example: "  lamppost contract list",
		Args:    cobra.NoArgs,
		RunE: f.run(func(n *remote, _ []string) error {
			var all api.ContractList
			raw, err := n.get("/api/contracts", &all)
			if err != nil {
				return err
			}
			return n.show(raw, func(w io.Writer) {
				t := table{head: []string{"ID", ">VERSION", "PARTIES", "DEVICES", "EVENTS", ">RUNS", ">FAILED", "UNTIL"}}
				for i := range all.Contracts {
					c := &all.Contracts[i]
					until := seconds(nil, c.To)
					if c.Ended {
						until = "ended"
					}
					var parties, devices []string
					for _, p := range c.Parties {
						parties = append(parties, string(p.Party))
					}
					for _, d := range c.Devices {
						devices = append(devices, string(d))
					}
					t.add(c.ID, strconv.Itoa(int(c.Version)), strings.Join(parties, " "), strings.Join(devices, " "), strings.Join(c.Handles, " "),
						strconv.FormatUint(c.Count, 10), strconv.Itoa(c.Failed), until)
				}
				t.print(w, "No contracts. Start from an example: lamppost contract example")
			})
		}),
	}
}

func contractShowCmd(f *nodeFlags) *cobra.Command {
	var source bool
	var version uint32
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show a contract: whom it binds, what it keeps, what it did last and where it failed",
		Example: `  lamppost contract show split-lamp
  lamppost contract show split-lamp --source > mine.star
  lamppost contract show split-lamp --version 1 --source`,
		Args: oneArg("the contract's id"),
		RunE: f.run(func(n *remote, args []string) error {
			var c api.Contract
			path := "/api/contracts/" + url.PathEscape(args[0])
			if version != 0 {
				path += "?version=" + strconv.Itoa(int(version))
			}
			raw, err := n.get(path, &c)
			if err != nil {
				return err
			}
			return n.show(raw, func(w io.Writer) {
				if source {
					fmt.Fprint(w, c.Source)
					return
				}
				printContract(w, &c)
			})
		}),
	}
	cmd.Flags().BoolVar(&source, "source", false, "print the program alone")
	cmd.Flags().Uint32Var(&version, "version", 0, "program and terms of this version (default: the latest)")
	return cmd
}

func printContract(w io.Writer, c *api.Contract) {
	fmt.Fprintf(w, "%s, version %d, in %s", c.ID, c.Version, c.Currency)
	switch {
	case c.Ended:
		fmt.Fprint(w, ", has ended")
	case c.To != 0:
		fmt.Fprintf(w, ", until %s", seconds(nil, c.To))
	}
	fmt.Fprintf(w, "\nHears of %s; keeps %s\n\n", strings.Join(c.Handles, ", "), or(printable(c.State), "nothing yet"))
	t := table{head: []string{"PARTY", ">LIMIT", ">TAKEN OF IT", ""}}
	for _, p := range c.Parties {
		t.add(string(p.Party), p.Limit.String(), max(p.Taken, 0).String(), c.Currency)
	}
	t.print(w, "")
	t = table{head: []string{"TERM", ">VALUE"}}
	for _, a := range c.Terms {
		t.add(a.Name, or(printable(a.Text), strconv.FormatInt(a.Number, 10)))
	}
	if len(c.Terms) > 0 {
		fmt.Fprintln(w)
		t.print(w, "")
	}
	fmt.Fprintln(w)
	printRuns(w, c.Runs, c.Currency)
}

func printRuns(w io.Writer, runs []api.ContractRun, currency string) {
	t := table{head: []string{"RUN", "VERSION", "EVENT", "OF", ">STEPS", "WHAT CAME OF IT"}}
	for i := range runs {
		r := &runs[i]
		of := ""
		if b := r.Event.Bill; b != nil {
			of = b.Number
		}
		t.add(fmt.Sprintf("%d/%d", r.Height, r.Index), strconv.Itoa(int(r.Version)), r.Event.Name, of, strconv.FormatInt(r.Steps, 10), came(r, currency))
	}
	t.print(w, "It has not run yet.")
}

// came says in a line what came of a run.
func came(r *api.ContractRun, currency string) string {
	var parts []string
	if r.Failure != "" {
		parts = append(parts, "FAILED: "+printable(r.Failure))
	}
	if r.Again != 0 {
		parts = append(parts, fmt.Sprintf("made up for in block %d", r.Again))
	}
	for _, p := range r.Payments {
		parts = append(parts, fmt.Sprintf("%s pays %s %s %s", p.From, p.To, p.Amount, currency))
	}
	if r.Note != "" {
		parts = append(parts, printable(r.Note))
	}
	return or(strings.Join(parts, "; "), "nothing is paid")
}

func contractCallCmd(f *nodeFlags) *cobra.Command {
	var args, readings []string
	cmd := &cobra.Command{
		Use:   "call ID EVENT [--arg NAME=VALUE…] [--reading DEVICE/REGISTER/TIME…]",
		Short: "Tell a contract of an event that comes from no bill, such as breach or milestone",
		Long: `Tell a contract of an event that comes from no bill: its program's function of that name runs. Values that it sees come as --arg. Readings are looked up
by the ledger: the registers of the contract's devices at UTC quarter hours, or at any moment where there are sessions.
What fails is refused and changes nothing.`,
		Example: `  lamppost contract call loan-lamp repay --arg amount=50.00
  lamppost contract call batch-7 milestone --reading tag-7/kg/2026-11-24T12:00:00Z
  lamppost contract call loan-lamp expire`,
		Args: twoArgs("the contract's id", "the event, such as breach"),
		RunE: f.run(func(n *remote, names []string) (err error) {
			b := lamppost.CallBody{Event: names[1]}
			if b.Args, err = namedValues("--arg", args); err != nil {
				return err
			}
			for _, text := range readings {
				p := strings.SplitN(text, "/", 3)
				if len(p) != 3 {
					return usage(fmt.Errorf("--reading %s: write it like tag-7/kg/2026-11-24T12:00:00Z", text))
				}
				at, err := parseMoment(p[2], nil)
				if err != nil {
					return usage(fmt.Errorf("--reading: %w", err))
				}
				b.Readings = append(b.Readings, lamppost.ReadingRef{Device: lamppost.DeviceID(p[0]), Register: p[1], Time: at})
			}
			return n.call(names[0], &b)
		}),
	}
	cmd.Flags().StringArrayVar(&args, "arg", nil, "what the program sees in event[\"args\"]: NAME=VALUE (repeat for each)")
	cmd.Flags().StringArrayVar(&readings, "reading", nil, "a register's value at a time: DEVICE/REGISTER/TIME (repeat for each)")
	return cmd
}

func contractRepeatCmd(f *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "repeat ID HEIGHT/TX",
		Short: "Run again what failed, by the version that holds now",
		Long: `Run again what failed, by the version that holds now. What the program is told is what it was told then; accounts must still cover what
it takes. lamppost contract show lists what failed, and where it stands.`,
		Example: "  lamppost contract repeat split-lamp 4711/0",
		Args:    twoArgs("the contract's id", "where the run stands, such as 4711/0"),
		RunE: f.run(func(n *remote, args []string) error {
			var b lamppost.CallBody
			if _, err := fmt.Sscanf(args[1], "%d/%d", &b.Height, &b.Index); err != nil {
				return usage(fmt.Errorf("%q: where a run stands is written like 4711/0", args[1]))
			}
			return n.call(args[0], &b)
		}),
	}
}

func (n *remote) call(id string, b *lamppost.CallBody) error {
	var c api.Contract
	if _, err := n.get("/api/contracts/"+url.PathEscape(id), &c); err != nil {
		return err
	}
	var done api.Done
	raw, err := n.post("/api/contracts/"+url.PathEscape(id)+"/call", b, &done)
	if err != nil {
		return err
	}
	return n.show(raw, func(w io.Writer) {
		said := ""
		if done.Run != nil {
			said = came(done.Run, c.Currency)
		}
		fmt.Fprintf(w, "Contract %s: %s (block %d)\n", id, said, done.Height)
	})
}

func contractExampleCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "example [PROGRAM]",
		Short: "Print a program of the library, or list them",
		Long: `Print a program of the library to start from, or without a name list them. Each says at its top what it does and which terms it takes.
docs/contracts.md has the language.`,
		Example: `  lamppost contract example
  lamppost contract example revenue > mine.star`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			w := cmd.OutOrStdout()
			if len(args) == 1 {
				source, ok := contract.Library(args[0])
				if !ok {
					return usage(fmt.Errorf("no program %q in the library: %s", args[0], strings.Join(contract.LibraryNames(), ", ")))
				}
				_, err := fmt.Fprint(w, source)
				return err
			}
			t := table{head: []string{"PROGRAM", "WHAT IT DOES"}}
			for _, name := range contract.LibraryNames() {
				source, _ := contract.Library(name)
				first, _, _ := strings.Cut(strings.TrimPrefix(source, `"""`), "\n")
				t.add(name, first)
			}
			t.print(w, "")
			return nil
		},
	}
}
