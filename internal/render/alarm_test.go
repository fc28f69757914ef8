package render_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/render"
	"github.com/lamppost/lamppost/internal/triage"
	"github.com/lamppost/lamppost/internal/triage/behave"
	"github.com/lamppost/lamppost/internal/triage/joint"
	"github.com/lamppost/lamppost/internal/triage/plausible"
)

// alarmCases are verdicts with every code there is, and one that there is not.
func alarmCases(h *house) (all []render.Judged) {
	at, since := h.at("2026-11-14 03:00"), h.at("2026-11-13 22:00")
	dec := func(s string) *lamppost.Decimal {
		d, err := lamppost.ParseDecimal(s)
		if err != nil {
			panic(err)
		}
		return &d
	}
	add := func(kind lamppost.VerdictKind, unit string, register, suspends bool, r ...lamppost.VerdictReason) {
		v := &lamppost.Verdict{Kind: kind, Device: "meter-7", Name: "volume", Unit: unit, Since: since, At: at, Suspends: suspends, Reasons: r}
		if kind == lamppost.Behaviour {
			v.Name = ""
		}
		all = append(all, render.Judged{Verdict: v, Register: register})
	}
	for _, r := range []lamppost.VerdictReason{
		{Code: "value", Readings: 1, Value: dec("4.2"), Low: dec("0"), High: dec("0.9"), At: at},
		{Code: "value", Readings: 1, Value: dec("-0.25"), Low: dec("0"), High: dec("0.9"), At: at},
		{Code: "change", Readings: 2, Value: dec("3.30012"), Low: dec("-0.9"), High: dec("0.8"), At: at},
		{Code: "mean", Readings: 36, Value: dec("1.23456"), Low: dec("0.1"), High: dec("0.5"), At: at},
		{Code: "variation", Readings: 12, Value: dec("-4.60517"), Low: dec("-2.3"), High: dec("0.4"), At: at},
		{Code: "hour", Readings: 1, Value: dec("18.2544"), Low: dec("-3"), High: dec("4.1"), At: at},
		{Code: "shift", Readings: 12, Value: dec("-1.70321"), Low: dec("-0.4"), High: dec("0.3"), At: at},
		{Code: "pattern", Readings: 24, Value: dec("1.7"), Low: dec("0"), High: dec("0.9"), Gap: dec("1.2"), At: at, Nearest: h.at("2026-11-02 07:15")},
		{Code: "pattern"},
		{Code: "relation", Value: dec("4.2"), Low: dec("0.5"), High: dec("0.9"), Other: "pressure"},
		{Code: "level", Value: dec("4.2"), Low: dec("0.5"), High: dec("0.9")},
		{Code: "level", Name: "pressure", Value: dec("4.2"), Low: dec("0.5"), High: dec("0.9")},
		{Code: "late", At: at, Nearest: h.at("2026-11-14 04:30")},
		{Code: "of_2031", Value: dec("4.2"), Low: dec("0.5"), High: dec("0.9"), Other: "moon"},
	} {
		add(lamppost.Anomaly, "m3", true, false, r)
	}
	add(lamppost.Anomaly, "Wh", true, false, lamppost.VerdictReason{Code: "value", Value: dec("14250.5"), Low: dec("30"), High: dec("2300"), At: at})
	add(lamppost.Anomaly, "Cel", false, false, lamppost.VerdictReason{Code: "value", Value: dec("-41.5"), Low: dec("-12"), High: dec("31"), At: at})
	for code := plausible.RolledBack; code.String() != "unknown"; code++ {
		r := lamppost.VerdictReason{Code: code.String(), Value: dec("12"), High: dec("48213.25")}
		switch code {
		case plausible.Twin:
			r.Other = "meter-9"
		case plausible.Unbalanced:
			r.Share = 405
		case plausible.Late:
			r.Nearest = h.at("2026-11-14 04:30")
			add(lamppost.Implausible, "m3", true, true, r)
			r.At, r.Low = since, dec("48210.5")
		}
		add(lamppost.Implausible, "m3", true, code.Hard(), r)
	}
	add(lamppost.Implausible, "Wh", true, true, lamppost.VerdictReason{Code: "unbalanced", Value: dec("48213000"), High: dec("912")})
	add(lamppost.Implausible, "m3", true, true, lamppost.VerdictReason{Code: "of_2031", Value: dec("7")})
	for _, code := range strings.Fields("rate pace size largest readings repeated refused bad forbidden unheard connects taken_over") {
		for _, n := range []string{"1", "1250"} {
			add(lamppost.Behaviour, "", false, false, lamppost.VerdictReason{Code: code, Value: dec(n), Low: dec("2"), High: dec("3")})
		}
	}
	for _, r := range []lamppost.VerdictReason{
		{Code: "rate", Value: dec("3"), Low: dec("1"), High: dec("1")}, {Code: "rate", Value: dec("3"), Low: dec("1"), High: dec("0")},
		{Code: "silence", Value: dec("259200"), Low: dec("60"), High: dec("600")}, {Code: "names", Other: "door, window"}, {Code: "firmware", Value: dec("7")},
		{Code: "unknown_firmware", Value: dec("7")}, {Code: "hour", Value: dec("3")}, {Code: "forbidden", Value: dec("1"), Low: dec("0"), High: dec("0"), Other: "lp/lamp-2/report"},
		{Code: "of_2031", Value: dec("4")},
	} {
		add(lamppost.Behaviour, "", false, true, r)
	}
	return all
}

// Every code has a sentence in every language, on the reader's clock, with units and numbers as the language has them. A wanted change is
// written with -rewrite and read in the diff.
func TestAlarmInWords(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, lang := range append(render.Languages(), "en-US", "de-CH") {
		var b strings.Builder
		for _, c := range alarmCases(h) {
			a := must(render.AlarmOf(c, render.Reader{Lang: lang, Zone: h.zone}))(t)
			fmt.Fprintf(&b, "%s %s\n  %s. %s\n", c.Kind, c.Reasons[0].Code, a.Title, a.Since)
			for _, s := range a.Why {
				fmt.Fprintf(&b, "  %s\n", strings.ReplaceAll(s, "\u00a0", "~"))
				if strings.ContainsAny(s, "{}") {
					t.Errorf("%s: a placeholder is left in %q", lang, s)
				}
			}
		}
		file := filepath.Join("testdata", "alarms-"+lang+".txt")
		if *rewrite {
			if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if want := string(must(os.ReadFile(file))(t)); b.String() != want {
			t.Errorf("%s: got\n%s\nwant\n%s", file, b.String(), want)
		}
	}
}

// No code of a detector is told as one that nobody knows, in any language, and an unknown language is the caller's mistake.
func TestAlarmKnowsAllCodes(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	codes := map[lamppost.VerdictKind][]string{lamppost.Behaviour: behave.Codes(), lamppost.Anomaly: {joint.Relation.String(), joint.Level.String()}}
	if next := joint.Level + 1; next.String() != "unknown" {
		t.Errorf("joint has a further code, %s", next)
	}
	for code := triage.ReasonValue; code.String() != "unknown"; code++ {
		codes[lamppost.Anomaly] = append(codes[lamppost.Anomaly], code.String())
	}
	for code := plausible.RolledBack; code.String() != "unknown"; code++ {
		codes[lamppost.Implausible] = append(codes[lamppost.Implausible], code.String())
	}
	for kind, least := range map[lamppost.VerdictKind]int{lamppost.Anomaly: 9, lamppost.Implausible: 10, lamppost.Behaviour: 17} {
		if len(codes[kind]) < least {
			t.Errorf("%s has only %d codes: is the list whole?", kind, len(codes[kind]))
		}
	}
	for _, lang := range render.Languages() {
		why := func(kind lamppost.VerdictKind, code string) string {
			v := &lamppost.Verdict{Kind: kind, Reasons: []lamppost.VerdictReason{{Code: code}}}
			return must(render.AlarmOf(render.Judged{Verdict: v}, render.Reader{Lang: lang, Zone: h.zone}))(t).Why[0]
		}
		for kind, all := range codes {
			nobodys, _, _ := strings.Cut(why(kind, "zzz"), "zzz")
			for _, code := range all {
				if got := why(kind, code); strings.HasPrefix(got, nobodys) {
					t.Errorf("%s: %s %s is told as a code that nobody knows: %s", lang, kind, code, got)
				}
			}
		}
	}
	if _, err := render.AlarmOf(alarmCases(h)[0], render.Reader{Lang: "tlh"}); !isInput(err) {
		t.Errorf("an unknown language: %v", err)
	}
}

// Reasons with numbers left out, or with the largest there are, are told all the same.
func FuzzAlarm(f *testing.F) {
	f.Add(uint8(1), "value", int64(42), int8(-1), true)
	f.Add(uint8(2), "unbalanced", int64(-9223372036854775808), int8(-12), false)
	f.Add(uint8(1), "variation", int64(9223372036854775807), int8(0), true)
	f.Add(uint8(3), "silence", int64(0), int8(-3), true)
	f.Fuzz(func(t *testing.T, kind uint8, code string, mantissa int64, exponent int8, all bool) {
		d := &lamppost.Decimal{Mantissa: mantissa, Exponent: max(-12, min(exponent, 0))}
		r := lamppost.VerdictReason{Code: code, Value: d}
		if all {
			r.Low, r.High, r.Gap, r.Nearest = d, d, d, 1
		} else if kind == 0 {
			r.Value = nil
		}
		v := render.Judged{Verdict: &lamppost.Verdict{Kind: lamppost.VerdictKind(kind % 4), Unit: "Wh", Reasons: []lamppost.VerdictReason{r}}, Register: all}
		a, err := render.AlarmOf(v, render.Reader{Lang: "de"})
		if err != nil || len(a.Why) != 1 || a.Why[0] == "" {
			t.Errorf("%+v, %v", a, err)
		}
	})
}
