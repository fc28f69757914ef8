package advise

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// mostFlips is how many are told.
const mostFlips = 5

// Apply makes the change to a copy of the fleet.
func (c *Flip) Apply(f *Fleet) (*Fleet, error) { return change{c.Field, c.To}.apply(f) }

// A change puts a value into a field. Fields are named as in a fleet's file, with the name of a class or an organisation between;
// "organisations.*" is all of them.
type change struct{ field, to string }

// clone copies all of a fleet.
func (f *Fleet) clone() *Fleet {
	raw, err := json.Marshal(f)
	if err != nil {
		panic(err) // numbers were checked, and nothing else can fail
	}
	c := new(Fleet)
	if err := json.Unmarshal(raw, c); err != nil {
		panic(err)
	}
	return c
}

func (c change) apply(f *Fleet) (*Fleet, error) {
	n := f.clone()
	list, rest, _ := strings.Cut(c.field, ".")
	name, field := "", rest
	if i := strings.LastIndexByte(rest, '.'); i >= 0 {
		name, field = rest[:i], rest[i+1:]
	}
	var err error
	switch list {
	case "needs":
		err = c.need(&n.Needs, field)
	case "classes":
		i := slices.IndexFunc(n.Classes, func(c Class) bool { return c.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("%s: no class is called %q", c.field, name)
		}
		err = c.class(&n.Classes[i], field)
	case "organisations":
		err = c.organisation(n, name, field)
	default:
		err = fmt.Errorf("%s: no such field", c.field)
	}
	if err != nil {
		return nil, err
	}
	return n, n.Check()
}

func (c change) need(n *Needs, field string) (err error) {
	if at := n.number(field); at != nil {
		*at, err = strconv.ParseFloat(c.to, 64)
		return err
	}
	switch field {
	case "survive":
		n.Survive = c.to
	case "check":
		n.Check = c.to
	case "nobody_alone":
		n.NobodyAlone, err = strconv.ParseBool(c.to)
	case "strangers":
		n.Strangers, err = strconv.ParseBool(c.to)
	case "personal_data":
		n.PersonalData, err = strconv.ParseBool(c.to)
	case "stay_in":
		n.StayIn = nil
	default:
		err = fmt.Errorf("%s: no such field", c.field)
	}
	return err
}

func (n *Needs) number(field string) *float64 {
	return map[string]*float64{"latency_ms": &n.LatencyMS, "rtt_ms": &n.RTTMS, "retention_years": &n.RetentionYears, "budget_a_year": &n.BudgetAYear}[field]
}

func (c *Class) number(field string) *float64 {
	return map[string]*float64{"readings_a_day": &c.ReadingsADay, "late_minutes": &c.LateMinutes, "battery_years": &c.BatteryYears}[field]
}

func (c change) class(of *Class, field string) (err error) {
	if at := of.number(field); at != nil {
		*at, err = strconv.ParseFloat(c.to, 64)
		return err
	}
	switch field {
	case "devices":
		of.Devices, err = strconv.Atoi(c.to)
	case "on_site":
		of.OnSite, err = strconv.ParseBool(c.to)
	default:
		err = fmt.Errorf("%s: no such field", c.field)
	}
	return err
}

// everyone stands for all organisations, in the place of one.
const everyone = "all"

func (c change) organisation(f *Fleet, name, field string) (err error) {
	if name == "" { // one more
		f.Organisations = append(f.Organisations, Organisation{Name: "one more", Runs: true, Place: f.place()})
		return nil
	}
	for i := range f.Organisations {
		o := &f.Organisations[i]
		switch {
		case name == o.Name && field == "runs":
			o.Runs, err = strconv.ParseBool(c.to)
			o.Place = or(o.Place, f.place())
		case name == "*" && field == "trusts" && c.to == "none":
			o.Trusts = nil
		case name == "*" && field == "trusts":
			o.Trusts = trusting(f.Organisations, o, c.to)
		}
	}
	return err
}

// place is somewhere the data may be.
func (f *Fleet) place() string {
	if len(f.Needs.StayIn) > 0 {
		return f.Needs.StayIn[0]
	}
	return ""
}

func trusting(all []Organisation, o *Organisation, whom string) []string {
	trusts := o.Trusts
	for _, other := range all {
		if other.Name != o.Name && (whom == everyone || whom == other.Name) && !slices.Contains(trusts, other.Name) {
			trusts = append(trusts, other.Name)
		}
	}
	return trusts
}

// A try is a field with what could stand there instead, nearest first, in both directions where there are two.
type try struct {
	field, from string
	to          [][]string
	number      bool
}

// tries are all changes that are looked at.
func (f *Fleet) tries() (all []try) {
	n := &f.Needs
	for _, field := range []string{"latency_ms", "rtt_ms", "retention_years", "budget_a_year"} {
		all = append(all, ladder("needs."+field, *n.number(field)))
	}
	all = append(all, ways("needs.survive", n.Survive, survives), ways("needs.check", n.Check, checks))
	for field, v := range map[string]bool{"nobody_alone": n.NobodyAlone, "strangers": n.Strangers, "personal_data": n.PersonalData} {
		all = append(all, other("needs."+field, v))
	}
	if len(n.StayIn) > 0 {
		all = append(all, try{"needs.stay_in", strings.Join(n.StayIn, ","), [][]string{{"anywhere"}}, false})
	}
	for _, c := range f.busiest() {
		at := "classes." + c.Name + "."
		all = append(all, ladder(at+"devices", float64(c.Devices)))
		for _, field := range []string{"readings_a_day", "late_minutes", "battery_years"} {
			if field != "battery_years" || c.Power == "battery" {
				all = append(all, ladder(at+field, *c.number(field)))
			}
		}
		all = append(all, other(at+"on_site", c.OnSite))
	}
	all = append(all, f.organisationTries()...)
	slices.SortFunc(all, func(a, b try) int { return cmp.Compare(a.field, b.field) })
	return all
}

// mostClasses is how many classes are tried to be changed.
const mostClasses = 8

// busiest are the classes that send most.
func (f *Fleet) busiest() []Class {
	all := slices.Clone(f.Classes)
	slices.SortStableFunc(all, func(a, b Class) int {
		return cmp.Compare(float64(b.Devices)*b.ReadingsADay, float64(a.Devices)*a.ReadingsADay)
	})
	return all[:min(len(all), mostClasses)]
}

func (f *Fleet) organisationTries() (all []try) {
	trusts := try{"organisations.*.trusts", "as it is", [][]string{{"none"}, {everyone}}, false}
	for _, o := range f.Organisations {
		all = append(all, other("organisations."+o.Name+".runs", o.Runs))
		trusts.to = append(trusts.to, []string{o.Name})
	}
	more := try{"organisations", strconv.Itoa(len(f.Organisations)), [][]string{{fmt.Sprintf("%d, one more that runs a member", len(f.Organisations)+1)}}, false}
	return append(all, trusts, more)
}

func other(field string, v bool) try {
	return try{field, strconv.FormatBool(v), [][]string{{strconv.FormatBool(!v)}}, false}
}

// ways are the words on either side of one, the nearest first.
func ways(field, v string, words []string) try {
	i := slices.Index(words, v)
	down := slices.Clone(words[:i])
	slices.Reverse(down)
	return try{field, v, [][]string{words[i+1:], down}, false}
}

// doublings is how far numbers are changed.
const doublings = 6

// ladder doubles and halves a number.
func ladder(field string, v float64) try {
	up, down := []string{}, []string{}
	from := max(v, 1)
	for i := range doublings {
		by := math.Exp2(float64(i + 1))
		up = append(up, digits(from*by))
		if v > 0 {
			down = append(down, digits(v/by))
		}
	}
	if v == 0 {
		up = append([]string{digits(from)}, up...)
	} else {
		down = append(down, "0") // where 0 is allowed
	}
	return try{field, strconv.FormatFloat(v, 'f', -1, 64), [][]string{up, down}, true}
}

// digits writes a number with two digits, as people would say it.
func digits(v float64) string {
	rounded, _ := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 2, 64), 64)
	return strconv.FormatFloat(rounded, 'f', -1, 64)
}

const noAdvice = "no advice"

// noAdviceAway is how much farther away a change counts that leads to no advice: people ask what else there is.
const noAdviceAway = 2

// outcome is what two answers have in common that recommend the same.
func (a *Answer) outcome() string {
	if a.Verdict == "abstain" {
		return noAdvice
	}
	return a.Options[0].Name
}

// flips are the nearest changes that make another answer. Each was tried.
func (w *weigher) flips(f *Fleet, a *Answer) []Flip {
	type found struct {
		Flip
		far float64
	}
	var all []found
	for _, t := range f.tries() {
		for _, way := range t.to {
			if flip, far := w.nearest(f, a.outcome(), t, way); flip != nil {
				all = append(all, found{*flip, far})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b found) int { return cmp.Compare(a.far, b.far) })
	var flips []Flip
	for _, x := range all {
		same := slices.ContainsFunc(flips, func(f Flip) bool { return f.Field == x.Field && f.Then == x.Then })
		if !same && len(flips) < mostFlips {
			flips = append(flips, x.Flip)
		}
	}
	return flips
}

// nearest is the first value of a way that makes another answer; of a number, the nearest to two digits between it and the one before.
func (w *weigher) nearest(f *Fleet, was string, t try, way []string) (*Flip, float64) {
	same := t.from
	for i, to := range way {
		then, ok := w.then(f, t.field, to)
		if !ok || then == was {
			same = to
			continue
		}
		far := float64(i + 1)
		if t.number {
			to, then = w.bisect(f, t.field, was, same, to, then)
			far = distance(t.from, to)
		}
		if then == noAdvice {
			far += noAdviceAway
		}
		return &Flip{Field: t.field, From: t.from, To: to, Then: then}, far
	}
	return nil, 0
}

// then is the outcome after a change; false: the change cannot be.
func (w *weigher) then(f *Fleet, field, to string) (string, bool) {
	n, err := change{field, to}.apply(f)
	if err != nil {
		return "", false
	}
	return w.weigh(n).outcome(), true
}

// bisect narrows a number down between one that changes nothing and one that does.
func (w *weigher) bisect(f *Fleet, field, was, same, to, then string) (string, string) {
	for range doublings {
		low, _ := strconv.ParseFloat(same, 64)
		high, _ := strconv.ParseFloat(to, 64)
		middle := digits((low + high) / 2)
		if middle == same || middle == to {
			break
		}
		switch now, ok := w.then(f, field, middle); {
		case ok && now != was:
			to, then = middle, now
		default:
			same = middle
		}
	}
	return to, then
}

// distance is how many times a number doubles; something for nothing is one more.
func distance(from, to string) float64 {
	a, _ := strconv.ParseFloat(from, 64)
	b, _ := strconv.ParseFloat(to, 64)
	if a == 0 || b == 0 {
		return 1 + math.Abs(math.Log2(max(a, b, 1)))
	}
	return math.Abs(math.Log2(b / a))
}
