package browsertest

import (
	_ "embed"
	"fmt"
)

//go:embed axe/axe.min.js
var axe string

// axeRun lists what breaks a rule of WCAG 2.2 at levels A and AA that a machine can find, with the first places.
const axeRun = `axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'], resultTypes: ['violations'] }).then((r) =>
	r.violations.map((v) => v.id + ': ' + v.help + ': ' + v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160)).join(' | ')))`

// Violations lists what axe-core finds on the page, as it is shown now, that breaks a rule of WCAG 2.2 AA.
func (p *Tab) Violations() []string {
	p.t.Helper()
	Value[bool](p, fmt.Sprintf("(() => { %s; return true; })()", axe))
	return Value[[]string](p, axeRun)
}
