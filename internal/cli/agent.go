package cli

import (
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/render"
)

func agentCmd() *cobra.Command {
	f := &nodeFlags{}
	return f.group("agent", "Agents that decide for devices: what owners want of them, what they decided, what it came to", `  lamppost agent set cell-1 storage --mode advise --tariff spot --input stored=cell-1/stored --rule capacity=10000 --rule feed=100
  lamppost agent show cell-1
  lamppost agent stop cell-1
  lamppost explain d1204.3.0`, agentSetCmd(f), agentListCmd(f), agentShowCmd(f), agentStopCmd(f))
}

func agentSetCmd(f *nodeFlags) *cobra.Command {
	b := lamppost.AgentBody{}
	var mode string
	var inputs, rules []string
	cmd := &cobra.Command{
		Use:   "set DEVICE KIND [--mode MODE] [--tariff ID] [--input NAME=DEVICE/READING]… [--rule NAME=VALUE]…",
		Short: "Give a device an agent, or change how it decides",
		Long: `Give a device an agent: a lamp's, charger's, storage's or valve's. In mode advise it decides and nobody acts on it; in mode bounded its device is told,
within what its guard and its spending limit allow. What is said replaces all that was said before. docs/agents.md lists inputs and rules by kind.`,
		Example: `  lamppost agent set cell-1 storage --tariff spot --input stored=cell-1/stored --rule capacity=10000
  lamppost agent set lamp-7 lamp --mode bounded --tariff spot --input traffic=road/cars --input daylight=road/lux --rule level_0=30 --rule level_100=60`,
		Args: cobra.ExactArgs(2),
		RunE: f.run(func(n *remote, args []string) (err error) {
			b.Device = lamppost.DeviceID(args[0])
			if b.Kind, err = lamppost.ParseAgentKind(args[1]); err != nil {
				return usage(err)
			}
			if b.Mode, err = lamppost.ParseAgentMode(mode); err != nil {
				return usage(fmt.Errorf("--mode: %w", err))
			}
			if b.Inputs, err = parseInputs(inputs); err != nil {
				return usage(fmt.Errorf("--input: %w", err))
			}
			if b.Rules, err = parseRules(rules); err != nil {
				return usage(fmt.Errorf("--rule: %w", err))
			}
			return n.order("/api/agents", b, fmt.Sprintf("%s has a %s's agent, in mode %s, from the next minute on", b.Device, b.Kind, b.Mode))
		}),
	}
	cmd.Flags().StringVar(&mode, "mode", "advise", "advise, bounded or stopped")
	cmd.Flags().StringVar((*string)(&b.Member), "member", "", "whose node runs it (default: this one)")
	cmd.Flags().StringVar(&b.Currency, "currency", "EUR", "ISO 4217, that of the tariff")
	cmd.Flags().StringVar(&b.Tariff, "tariff", "", "whose prices count")
	cmd.Flags().StringVar(&b.Site, "site", "", "devices of one site share its limit")
	cmd.Flags().StringVar(&b.Function, "function", "", "of the device's guard (default: the name of the action)")
	cmd.Flags().StringArrayVar(&inputs, "input", nil, "NAME=DEVICE/READING: what it observes")
	cmd.Flags().StringArrayVar(&rules, "rule", nil, "NAME=VALUE: a number of the owner's")
	return cmd
}

func parseInputs(texts []string) (all []lamppost.AgentInput, err error) {
	for _, text := range texts {
		name, from, ok := strings.Cut(text, "=")
		device, reading, both := strings.Cut(from, "/")
		if !ok || !both {
			return nil, fmt.Errorf("%q: write it like traffic=road/cars", text)
		}
		all = append(all, lamppost.AgentInput{Name: name, Device: lamppost.DeviceID(device), Reading: reading})
	}
	return all, nil
}

func parseRules(texts []string) (all []lamppost.AgentRule, err error) {
	for _, text := range texts {
		name, value, ok := strings.Cut(text, "=")
		if !ok {
			return nil, fmt.Errorf("%q: write it like capacity=10000", text)
		}
		v, err := lamppost.ParseDecimal(value)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", text, err)
		}
		all = append(all, lamppost.AgentRule{Name: name, Value: v})
	}
	return all, nil
}

func agentListCmd(f *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List agents with what they came to",
		Example: `  lamppost agent list`,
		Args:    cobra.NoArgs,
		RunE: f.run(func(n *remote, _ []string) error {
			var all api.AgentList
			raw, err := n.get("/api/agents", &all)
			if err != nil {
				return err
			}
			return n.show(raw, func(w io.Writer) {
				t := table{head: []string{"DEVICE", "KIND", "MODE", "DECISIONS", "EXPECTED", "REALISED", "BETTER", "LAST"}}
				for i := range all.Agents {
					a := &all.Agents[i]
					sum := total(a)
					last := "–"
					if a.Last != nil {
						d := &a.Last.Decision.Body
						last = fmt.Sprintf("%s %s %s", d.Action.Name, d.Action.Value, d.Action.Unit)
					}
					t.add(string(a.Device), a.Kind.String(), a.Mode.String(), fmt.Sprint(sum.Decisions), fmt.Sprintf("%s %s", sum.Expected, a.Currency), fmt.Sprintf("%s %s", sum.Realised, a.Currency),
						fmt.Sprintf("%d.%d %%", a.Better/10, a.Better%10), last)
				}
				t.print(w, "No agents. Give a device one with: lamppost agent set DEVICE KIND")
			})
		}),
	}
}

// total is what was acted upon, or, where nothing was, what was advised.
func total(a *api.Agent) (sum api.Tally) {
	add := func(t *api.Tally) {
		sum.Decisions += t.Decisions
		sum.Outcomes += t.Outcomes
		sum.Expected += t.Expected
		sum.Realised += t.Realised
	}
	for i := range a.Records {
		add(&a.Records[i].Acted)
	}
	if sum.Decisions > 0 {
		return sum
	}
	for i := range a.Records {
		add(&a.Records[i].Advised)
	}
	return sum
}

func agentShowCmd(f *nodeFlags) *cobra.Command {
	var lang string
	var limit int
	cmd := &cobra.Command{
		Use:     "show DEVICE",
		Short:   "Show an agent: what its owner wants, its record by month, and its last decisions with reasons",
		Example: `  lamppost agent show cell-1 --lang de`,
		Args:    oneArg("the device's id, such as cell-1"),
		RunE: f.run(func(n *remote, args []string) error {
			q := url.Values{"device": {args[0]}, "lang": {lang}, "limit": {fmt.Sprint(limit)}}
			var a api.Agent
			raw, err := n.get("/api/agents/"+url.PathEscape(args[0])+"?"+q.Encode(), &a)
			if err != nil {
				return err
			}
			var d api.DecisionList
			if _, err := n.get("/api/decisions?"+q.Encode(), &d); err != nil {
				return err
			}
			return n.show(raw, func(w io.Writer) { printAgent(w, &a, d.Decisions) })
		}),
	}
	cmd.Flags().StringVar(&lang, "lang", "", "language of the reasons: "+strings.Join(render.Languages(), ", ")+" (default: English)")
	cmd.Flags().IntVar(&limit, "limit", 5, "how many decisions, up to 256")
	return cmd
}

func printAgent(w io.Writer, a *api.Agent, last []api.Decision) {
	fmt.Fprintf(w, "%s: %s, mode %s, run by %s\n", a.Device, a.Kind, a.Mode, a.Member)
	if a.Tariff != "" {
		fmt.Fprintf(w, "Prices: tariff %s\n", printable(a.Tariff))
	}
	for _, in := range a.Inputs {
		fmt.Fprintf(w, "Input %s: %s of %s\n", printable(in.Name), printable(in.Reading), in.Device)
	}
	for _, r := range a.Rules {
		fmt.Fprintf(w, "Rule %s: %s\n", printable(r.Name), strings.TrimSpace(r.Value.String()+" "+printable(r.Unit)))
	}
	t := table{head: []string{"MONTH", "", "DECISIONS", "OVER", "BETTER", "WORSE", "EXPECTED", "REALISED"}}
	for i := range a.Records {
		r := &a.Records[i]
		for k, x := range [...]*api.Tally{&r.Acted, &r.Advised} {
			if x.Decisions > 0 {
				t.add(r.Month, [...]string{"acted", "advised"}[k], fmt.Sprint(x.Decisions), fmt.Sprint(x.Outcomes), fmt.Sprint(x.Better), fmt.Sprint(x.Worse), fmt.Sprintf("%s %s", x.Expected, r.Currency), fmt.Sprintf("%s %s", x.Realised, r.Currency))
			}
		}
		if r.Safe > 0 {
			t.add(r.Month, "safe rule", fmt.Sprint(r.Safe), "", "", "", "", "")
		}
	}
	t.print(w, "Nothing was decided yet.")
	for i := range last {
		printDecided(w, last[i].ID, &last[i].Words)
	}
}

func printDecided(w io.Writer, id lamppost.DecisionID, words *render.Decided) {
	plain := func(s string) string {
		return printable(strings.ReplaceAll(strings.ReplaceAll(s, "\u00a0", " "), "\u202f", " "))
	}
	fmt.Fprintf(w, "%s  %s\n", id, plain(words.Title))
	for _, s := range words.Why {
		fmt.Fprintf(w, "  - %s\n", plain(s))
	}
	for _, s := range []string{words.Gain, words.Flip, words.Outcome} {
		if s != "" {
			fmt.Fprintf(w, "    %s\n", plain(s))
		}
	}
	for _, s := range words.Alternatives {
		fmt.Fprintf(w, "    Instead: %s\n", plain(s))
	}
}

func agentStopCmd(f *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "stop DEVICE",
		Short:   "Stop a device's agent: from the next minute on it follows its safe rule",
		Example: `  lamppost agent stop cell-1`,
		Args:    oneArg("the device's id, such as cell-1"),
		RunE: f.run(func(n *remote, args []string) error {
			var a api.Agent
			if _, err := n.get("/api/agents/"+url.PathEscape(args[0]), &a); err != nil {
				return err
			}
			a.Mode = lamppost.AgentStopped
			return n.order("/api/agents", a.AgentBody, fmt.Sprintf("%s follows its safe rule from the next minute on; lamppost agent set lets its agent decide again", a.Device))
		}),
	}
}
