package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strconv"

	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/outlook"
	"github.com/spf13/cobra"
)

func partyOutlookCmd(f *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "outlook PARTY",
		Short: "What a party may expect: the running month, its budget, cheaper tariffs",
		Long: `Estimate what a party's running month will come to, how much of its budget is used, and which tariffs of the same seller would have been
cheaper for what was recorded. These are estimates; nothing of it is proven, and no bill says so. It orders nothing. Budgets stand
in the file of parties (docs/statements.md).`,
		Example: `  lamppost party outlook tenant-3
  lamppost party outlook tenant-3 --json`,
		Args: oneArg("the party's id, such as tenant-3"),
		RunE: f.run(func(n *remote, args []string) error {
			var o outlook.Outlook
			raw, err := n.get("/api/outlook/"+url.PathEscape(args[0]), &o)
			if err != nil {
				return err
			}
			return n.show(raw, func(w io.Writer) { printOutlook(w, &o) })
		}),
	}
}

func partyBudgetsCmd(f *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "budgets",
		Short:   "How much of their budgets all parties have used, and who crossed a threshold",
		Example: "  lamppost party budgets",
		Args:    cobra.NoArgs,
		RunE: f.run(func(n *remote, _ []string) error {
			var all api.BudgetList
			for next := ""; ; {
				var page api.BudgetList
				if _, err := n.get("/api/budgets?after="+url.QueryEscape(next), &page); err != nil {
					return err
				}
				all.Budgets = append(all.Budgets, page.Budgets...)
				if next = string(page.Next); next == "" {
					break
				}
			}
			raw, err := json.Marshal(all)
			if err != nil {
				return err
			}
			return n.show(raw, func(w io.Writer) {
				t := table{head: []string{"PARTY", ">BUDGET", ">USED", "", ">%", ">% OF MONTH", "NOTICE"}}
				for i := range all.Budgets {
					b := &all.Budgets[i]
					t.add(append([]string{string(b.Party)}, budgetCells(&b.Budget)...)...)
				}
				t.print(w, `No party has a budget. One stands in the file of parties: {"tenant-3": {"budgets": {"EUR": "120.00"}}}`)
			})
		}),
	}
}

func budgetCells(b *outlook.Budget) []string {
	return []string{b.Amount.String(), b.Used.String(), b.Currency, strconv.FormatInt(b.UsedPercent, 10), strconv.FormatInt(b.TimePercent, 10), notice(b)}
}

// notice says the gravest in words.
func notice(b *outlook.Budget) string {
	if len(b.Notices) == 0 {
		return ""
	}
	switch last := b.Notices[len(b.Notices)-1]; {
	case last == outlook.NoticeExpected:
		return "expected to be exceeded on " + b.OverDay
	case last == outlook.NoticeExceeded && b.OverDay != "":
		return "exceeded on " + b.OverDay
	case last == outlook.NoticeExceeded:
		return "exceeded"
	}
	return "nearly used"
}

func printOutlook(w io.Writer, o *outlook.Outlook) {
	if len(o.Budgets) > 0 {
		t := table{head: []string{">BUDGET", ">USED", "", ">%", ">% OF MONTH", "NOTICE"}}
		for i := range o.Budgets {
			t.add(budgetCells(&o.Budgets[i])...)
		}
		t.print(w, "")
		fmt.Fprintln(w)
	}
	t := table{head: []string{"THIS MONTH", ">SO FAR", ">EXPECTED", ">FROM", ">TO", "", ""}}
	add := func(what string, soFar fmt.Stringer, e *outlook.Expected, currency string, why outlook.Missing) {
		cells := []string{what, soFar.String(), "?", "", "", currency, missingWords[why]}
		if e != nil {
			cells[2], cells[3], cells[4] = e.Amount.String(), e.Low.String(), e.High.String()
		}
		t.add(cells...)
	}
	for _, m := range o.Months {
		for _, x := range m.Supplies {
			what := x.Agreement
			if what == "" {
				what = "sessions"
			}
			add(what, x.SoFar, x.Expected, m.Currency, x.Missing)
		}
		add("together", m.SoFar, m.Expected, m.Currency, m.Missing)
	}
	t.print(w, "Nothing runs for this party this month.")
	printComparisons(w, o)
}

// missingWords say why there is no estimate.
var missingWords = map[outlook.Missing]string{
	outlook.MissingHistory:  "too little is recorded",
	outlook.MissingReadings: "its meter is silent, or cannot be priced",
	outlook.MissingTerms:    "no price is known for part of it",
}

func printComparisons(w io.Writer, o *outlook.Outlook) {
	if len(o.Tariffs) == 0 {
		return
	}
	fmt.Fprintln(w)
	t := table{head: []string{"ON THE USE OF", "FROM", "UNTIL", "UNDER", ">TOTAL", "", ">CHEAPER BY", ""}}
	for i := range o.Tariffs {
		c := &o.Tariffs[i]
		if c.Missing != "" {
			t.add(c.Agreement, "", "", c.Tariff, "?", "", "", missingWords[c.Missing])
			continue
		}
		t.add(c.Agreement, localDate(&o.Zone, c.From), localDate(&o.Zone, c.To), c.Tariff, c.Total.String(), c.Currency, "", fmt.Sprintf("%d others compared", c.Compared))
		for _, x := range c.Cheaper {
			t.add("", "", "", x.Tariff, x.Total.String(), c.Currency, x.Less.String(), "")
		}
	}
	t.print(w, "")
}
