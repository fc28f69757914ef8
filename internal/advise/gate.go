package advise

import (
	"fmt"
	"slices"
	"strings"
)

// A gate is what follows from who writes, who reads and who trusts whom, before any figure: whether a ledger is needed, and what it must
// withstand. After Wüst and Gervais, "Do you need a Blockchain?" (2018), with two more steps: whether a lie must be impossible or only detected, and
// whose loss is borne.
type gate struct {
	steps    []Step
	database bool // nobody but its owner needs to believe the books
	public   bool // writers are not known beforehand
	agree    bool // no single organisation's word orders: members must agree
}

func (g *gate) step(question, answer, because string) {
	g.steps = append(g.steps, Step{question, answer, because})
}

// gate asks the questions in their order; the first that settles it is the last that is asked.
func (f *Fleet) gate() *gate {
	g := new(gate)
	believed := f.believed()
	switch {
	case f.Needs.Strangers:
		g.step("Is everybody who writes known beforehand?", "no", "needs.strangers: people nobody knows beforehand may write, and members of Lamppost know each other")
		g.public = true
		return g
	case len(f.Organisations) == 1 && f.Needs.Check != "anyone":
		g.step("Do several parties live with the books?", "no", fmt.Sprintf("organisations: %s is alone, and needs.check is %s: no other may check", f.Organisations[0].Name, f.Needs.Check))
		g.database = true
		return g
	case len(f.Organisations) == 1:
		g.step("Do several parties live with the books?", "yes", "needs.check is anyone: people who are no organisation here may check")
	default:
		g.step("Do several parties live with the books?", "yes", fmt.Sprintf("organisations: %s", names(f.Organisations)))
	}
	g.step("Is everybody who writes known beforehand?", "yes", "needs.strangers is false")
	if believed != "" && f.Needs.Check == "nobody" && !f.Needs.NobodyAlone {
		g.step("Does everybody take one party's books unchecked?", "yes", fmt.Sprintf("organisations: all others trust %s; needs.check is nobody", believed))
		g.database = true
		return g
	}
	f.believedStep(g, believed)
	f.agreeStep(g, believed)
	f.surviveStep(g)
	return g
}

func (f *Fleet) believedStep(g *gate, believed string) {
	const question = "Does everybody take one party's books unchecked?"
	switch {
	case believed == "":
		g.step(question, "no", "organisations: there is none whose books all others take unchecked")
	case f.Needs.Check != "nobody":
		g.step(question, "yes, but they may be checked", fmt.Sprintf("organisations: all others trust %s; needs.check is %s all the same", believed, f.Needs.Check))
	default:
		g.step(question, "yes, but it shall not decide alone", fmt.Sprintf("organisations: all others trust %s; needs.nobody_alone is true all the same", believed))
	}
}

func (f *Fleet) agreeStep(g *gate, believed string) {
	const question = "Is it enough that a lie is detected?"
	switch {
	case f.Needs.NobodyAlone:
		g.step(question, "no", "needs.nobody_alone: no single party may refuse, delay or reorder what others send")
		g.agree = true
	case believed == "" && f.Needs.Check == "nobody":
		g.step(question, "no", "needs.check is nobody: what nobody may check, nobody detects, and no one is believed by all")
		g.agree = true
	default:
		g.step(question, "yes", fmt.Sprintf("needs.check is %s: whoever checks finds a lie, and needs.nobody_alone is false", f.Needs.Check))
	}
}

func (f *Fleet) surviveStep(g *gate) {
	because := map[string]string{
		"nothing":      "one member will do; devices keep their reports while it is away",
		"machine":      "members on several machines take over",
		"organisation": "members of several organisations take over",
	}[f.Needs.Survive]
	g.step("Whose loss does the service bear?", f.Needs.Survive, "needs.survive: "+because)
}

// believed is an organisation whose books all others take unchecked; the first one that can run a member, if there are several.
func (f *Fleet) believed() string {
	found := ""
	for _, o := range f.Organisations {
		if f.trustedByAll(o.Name) && (found == "" || o.Runs && !f.organisation(found).Runs) {
			found = o.Name
		}
	}
	return found
}

func (f *Fleet) trustedByAll(name string) bool {
	return !slices.ContainsFunc(f.Organisations, func(o Organisation) bool { return o.Name != name && !slices.Contains(o.Trusts, name) })
}

// trustedBy is how many others trust an organisation.
func (f *Fleet) trustedBy(name string) (n int) {
	for _, o := range f.Organisations {
		if slices.Contains(o.Trusts, name) {
			n++
		}
	}
	return n
}

func (f *Fleet) organisation(name string) *Organisation {
	i := slices.IndexFunc(f.Organisations, func(o Organisation) bool { return o.Name == name })
	return &f.Organisations[i]
}

// mutual says that two organisations take each other's books unchecked.
func (f *Fleet) mutual(a, b string) bool {
	return a == b || slices.Contains(f.organisation(a).Trusts, b) && slices.Contains(f.organisation(b).Trusts, a)
}

func names(all []Organisation) string {
	var words []string
	for _, o := range all {
		words = append(words, o.Name)
	}
	return strings.Join(words, ", ")
}
