package advise

import (
	"fmt"
	"slices"
)

// A relaxation takes one need away, as far as that can go.
type relaxation struct {
	field, is string
	of        func(*Fleet)
}

// relaxations are those that change a fleet.
func (f *Fleet) relaxations() (all []relaxation) {
	n := &f.Needs
	put := func(does bool, field string, is any, of func(*Fleet)) {
		if does {
			all = append(all, relaxation{field, fmt.Sprint(is), of})
		}
	}
	put(n.Survive != "nothing", "needs.survive", n.Survive, func(f *Fleet) { f.Needs.Survive = "nothing" })
	put(n.NobodyAlone, "needs.nobody_alone", true, func(f *Fleet) { f.Needs.NobodyAlone = false })
	put(n.Check != "nobody", "needs.check", n.Check, func(f *Fleet) { f.Needs.Check = "nobody" })
	put(n.Strangers, "needs.strangers", true, func(f *Fleet) { f.Needs.Strangers = false })
	put(true, "needs.latency_ms", plain(n.LatencyMS), func(f *Fleet) { f.Needs.LatencyMS = 86_400_000 })
	put(n.RetentionYears > 1, "needs.retention_years", plain(n.RetentionYears), func(f *Fleet) { f.Needs.RetentionYears = 1 })
	put(n.PersonalData, "needs.personal_data", true, func(f *Fleet) { f.Needs.PersonalData = false })
	put(len(n.StayIn) > 0, "needs.stay_in", list(n.StayIn), func(f *Fleet) { f.Needs.StayIn = nil })
	put(n.BudgetAYear > 0, "needs.budget_a_year", plain(n.BudgetAYear), func(f *Fleet) { f.Needs.BudgetAYear = 0 })
	put(f.believed() == "", "organisations.*.trusts", "nobody is trusted by all", func(f *Fleet) {
		for i := range f.Organisations {
			f.Organisations[i].Trusts = trusting(f.Organisations, &f.Organisations[i], everyone)
		}
	})
	for i, c := range f.Classes {
		put(c.BatteryYears > 0, "classes."+c.Name+".battery_years", plain(c.BatteryYears), func(f *Fleet) { f.Classes[i].BatteryYears = 0 })
		put(c.LateMinutes < 1440, "classes."+c.Name+".late_minutes", plain(c.LateMinutes), func(f *Fleet) { f.Classes[i].LateMinutes = 1440 })
	}
	return all
}

// bind says of each need whether something cheaper would be first without it.
func (w *weigher) bind(f *Fleet, a *Answer) {
	first := &a.Options[0]
	for _, r := range f.relaxations() {
		n := f.clone()
		r.of(n)
		if n.Check() != nil {
			continue
		}
		if line := first.without(w.weigh(n), a.Verdict); line != "" {
			first.Binding = append(first.Binding, fmt.Sprintf("%s (%s) binds: %s", r.field, r.is, line))
		}
	}
}

// worthSaying is the share of a year's cost from which a need is said to bind.
const worthSaying = 0.03

// without compares with what would be first if a need were not there.
func (o *Option) without(b *Answer, verdict string) string {
	if b.Verdict == "abstain" {
		return ""
	}
	then := &b.Options[0]
	switch {
	case verdict == "abstain":
		return fmt.Sprintf("without it %s would be first%s", then.Name, then.aYear())
	case o.Year == nil || then.Year == nil:
		return ""
	}
	less := o.Year.EUR.Mid - then.Year.EUR.Mid
	switch {
	case less < worthSaying*o.Year.EUR.Mid:
		return ""
	case then.Name != o.Name || !slices.Equal(then.Members, o.Members):
		return fmt.Sprintf("without it %s would be first and take %s EUR a year less", then.Name, plain(less))
	}
	settings := ""
	if o.Point != nil && then.Point != nil && o.Point.LingerMS != then.Point.LingerMS {
		settings = fmt.Sprintf(", with linger %s ms,", plain(then.Point.LingerMS))
	}
	return fmt.Sprintf("without it the same%s would take %s EUR a year less", settings, plain(less))
}
