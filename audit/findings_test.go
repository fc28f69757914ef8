package audit_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/tariff"
)

// A judged home is one of whose registers triage found something: a verdict on edge 5, and what was answered.
type judged struct {
	*home
	verdict lamppost.Verdict
	id      lamppost.VerdictID
	found   []tariff.Finding
}

// newJudged has its readings, and the verdict.
func newJudged(t testing.TB, members ...lamppost.MemberID) *judged {
	t.Helper()
	j := &judged{home: registered(t, append(members, "north")...)}
	edges := j.terms.Edges(j.invoice.From, j.invoice.To)
	j.readingsAt(edges)
	j.verdict = lamppost.Verdict{Kind: lamppost.Implausible, Device: "BQ27", Name: energy, Unit: "Wh", Since: edges[5], At: edges[5], Height: 10, Suspends: true,
		Reasons: []lamppost.VerdictReason{{Code: "too_fast"}}}
	return j
}

func (j *judged) find(out lamppost.Code) {
	j.decided(lamppost.TxVerdicts, lamppost.VerdictsBody{Model: lamppost.Model{ID: "plausible", Version: 1}, Verdicts: []lamppost.Verdict{j.verdict}}, lamppost.Outcome{Code: out})
	j.id = lamppost.VerdictID{Height: j.height}
}

func (j *judged) answer(a lamppost.ReviewAnswer) {
	j.order(lamppost.TxReview, lamppost.ReviewBody{Verdict: j.id, Answer: a, Reason: "asked"})
	if a.Final() {
		j.found = []tariff.Finding{{Verdict: j.id, Code: "too_fast", Answer: a, Height: j.height}}
	}
}

// billFound commits the invoice with what was found, which change may falsify.
func (j *judged) billFound(change func(*tariff.Invoice)) {
	j.billAs(j.invoice, "ST-000001", j.supply(), func(s *tariff.Supply) { s.Judged, s.Findings = true, j.found }, change)
}

// valid has the verdict answered, and the bill that says so.
func valid(t testing.TB, change func(*tariff.Invoice), members ...lamppost.MemberID) *judged {
	t.Helper()
	j := newJudged(t, members...)
	j.find(lamppost.CodeOK)
	j.answer(lamppost.ReviewSeen)
	j.answer(lamppost.ReviewValid)
	j.answer(lamppost.ReviewSeen) // changes nothing
	j.billFound(change)
	return j
}

// A line says that its register was judged, and which finding was answered; verify says what of that is proven.
func TestFindingOnALine(t *testing.T) {
	t.Parallel()
	j := valid(t, nil)
	s, err := audit.NewStatement(j.customer(), j.pin(1), "anna")
	must(t, err)
	for _, l := range s.Invoices[0].Lines[:3] {
		if want := (audit.BilledFinding{Verdict: j.id.String(), Code: "too_fast", Answer: "valid"}); !l.Judged || !slices.Equal(l.Findings, []audit.BilledFinding{want}) {
			t.Errorf("line %d: judged %v, findings %v, want %v", l.N, l.Judged, l.Findings, want)
		}
	}
	f, err := audit.Verify(s.Encode(), j.pin(1))
	must(t, err)
	said, not := strings.Join(f.Summary, "\n"), strings.Join(f.DoesNotProve, "\n")
	if want := "triage judged 1 of 1 register; verdict " + j.id.String() + " (too_fast) of BQ27 was found valid"; !strings.Contains(said, want) {
		t.Errorf("summary %q, want %q in it", said, want)
	}
	if !strings.Contains(not, "found nothing else") {
		t.Errorf("does not prove %q, want that triage found nothing else", not)
	}
}

// Goal: a line neither hides nor invents what triage found, as far as the proof shows it. Method: falsify the invoice before the log commits
// to it, or leave out of the proof what it names.
func TestFalseFindings(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*tariff.InvoiceSupply)
		want   string
	}{
		"hidden": {func(s *tariff.InvoiceSupply) { s.Findings = nil }, "line 1: it does not say that verdict"},
		"invented": {func(s *tariff.InvoiceSupply) {
			s.Findings = append(slices.Clone(s.Findings), tariff.Finding{Verdict: lamppost.VerdictID{Height: 99}})
		}, "line 1: it says that verdict v99.0.0"},
		"twice": {func(s *tariff.InvoiceSupply) { s.Findings = append(slices.Clone(s.Findings), s.Findings[0]) }, "line 1: it says that verdict"},
		"answer": {func(s *tariff.InvoiceSupply) {
			s.Findings = changedFinding(s, func(f *tariff.Finding) { f.Answer = lamppost.ReviewWrong })
		}, "was answered valid"},
		"code": {func(s *tariff.InvoiceSupply) {
			s.Findings = changedFinding(s, func(f *tariff.Finding) { f.Code = "frozen" })
		}, `("too_fast")`},
		"which order": {func(s *tariff.InvoiceSupply) { s.Findings = changedFinding(s, func(f *tariff.Finding) { f.Height++ }) }, "it does not say"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := valid(t, func(inv *tariff.Invoice) { c.change(&inv.Supplies[0]) })
			_, err := audit.NewStatement(j.all(), j.pin(1), "anna")
			refused(t, err, "invoice ST-000001: ", c.want)
		})
	}
	j := valid(t, nil)
	for _, kind := range []lamppost.TxType{lamppost.TxVerdicts, lamppost.TxReview} {
		_, err := audit.NewStatement(j.proof(func(p *logged) bool { return p.Type != kind }, anyReport), j.pin(1), "anna")
		refused(t, err, "invoice ST-000001: line")
	}
}

func changedFinding(s *tariff.InvoiceSupply, change func(*tariff.Finding)) []tariff.Finding {
	all := slices.Clone(s.Findings)
	change(&all[0])
	return all
}

// What a verdict in the proof held back when a bill was made was not to be billed: nobody had answered, or only that it is wrong, and the
// value stayed.
func TestBilledThoughHeldBack(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		run  func(j *judged)
		want string
	}{
		"not answered": {func(j *judged) { j.find(lamppost.CodeOK); j.billFound(nil) }, "it bills what was held back: verdict"},
		"answered later": {func(j *judged) {
			j.find(lamppost.CodeOK)
			j.billFound(nil)
			j.answer(lamppost.ReviewValid)
		}, "it bills what was held back: verdict"},
		"wrong and not replaced": {func(j *judged) {
			j.find(lamppost.CodeOK)
			j.answer(lamppost.ReviewValid)
			j.answer(lamppost.ReviewWrong)
			j.billFound(nil)
		}, "was found wrong"},
		"found after the bill":  {func(j *judged) { j.billFound(nil); j.find(lamppost.CodeOK) }, ""},
		"refused by the ledger": {func(j *judged) { j.find(lamppost.CodeUnknown); j.billFound(nil) }, ""},
		"of another device":     {func(j *judged) { j.verdict.Device = "CZ11"; j.find(lamppost.CodeOK); j.billFound(nil) }, ""},
		"of another register":   {func(j *judged) { j.verdict.Name = "reactive"; j.find(lamppost.CodeOK); j.billFound(nil) }, ""},
		"that suspends nothing": {func(j *judged) { j.verdict.Suspends = false; j.find(lamppost.CodeOK); j.billFound(nil) }, ""},
		"of after the period": {func(j *judged) {
			j.verdict.Since = j.invoice.To + 900_000
			j.verdict.At = j.verdict.Since
			j.find(lamppost.CodeOK)
			j.billFound(nil)
		}, ""},
		"before it and answered": {func(j *judged) {
			j.verdict.Since, j.verdict.At = 0, 1
			j.find(lamppost.CodeOK)
			j.answer(lamppost.ReviewWrong)
			j.found = nil
			j.billFound(nil)
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := newJudged(t)
			c.run(j)
			_, err := audit.NewStatement(j.all(), j.pin(1), "anna")
			if c.want == "" {
				must(t, err)
				return
			}
			refused(t, err, "invoice ST-000001: line 1: device BQ27: ", c.want)
		})
	}
}
