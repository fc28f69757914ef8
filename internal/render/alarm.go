package render

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/tariff"
)

// A Reader is for whom a verdict is put into words.
type Reader struct {
	Lang string      // BCP 47; empty: English
	Zone tariff.Zone // whose clock times are on
}

// A Judged is a verdict with what it leaves to be looked up.
type Judged struct {
	*lamppost.Verdict
	// Register: the reading is a running total. Detectors judge one by what it moves in an hour.
	Register bool
}

// An Alarm is a verdict in words: a title, since when, and a sentence for each reason, the weightiest first.
type Alarm struct {
	Title string   `json:"title"`
	Since string   `json:"since"`
	Why   []string `json:"why"`
}

// AlarmOf puts a verdict into words. Every code gives a sentence: one that this version does not know stands there with its numbers. An
// unknown language is an [*InputError].
func AlarmOf(v Judged, r Reader) (*Alarm, error) {
	l, err := newLocale(r.Lang)
	if err != nil {
		return nil, err
	}
	t := teller{l, r.Zone, v}
	a := &Alarm{Title: t.title(), Since: l.text("alarm.since", "time", l.moment(r.Zone, v.Since))}
	for i := range v.Reasons {
		a.Why = append(a.Why, t.reason(&v.Reasons[i]))
	}
	return a, nil
}

// A teller makes sentences about one verdict.
type teller struct {
	l    *locale
	zone tariff.Zone
	v    Judged
}

func (t teller) title() string {
	of := []string{"name", t.v.Name, "device", string(t.v.Device)}
	switch {
	case t.v.Kind == lamppost.Behaviour:
		return t.l.text("alarm.behaviour", of...)
	case t.v.Kind == lamppost.Anomaly:
		return t.l.text("alarm.anomaly", of...)
	case t.v.Suspends:
		return t.l.text("alarm.impossible", of...)
	}
	return t.l.text("alarm.doubtful", of...)
}

// reason makes a sentence of a reason: what is, and then what it was so far.
func (t teller) reason(r *lamppost.VerdictReason) string {
	switch t.v.Kind {
	case lamppost.Behaviour:
		return sentence(t.does(r))
	case lamppost.Implausible:
		return sentence(t.cannot(r))
	}
	if r.Name != "" { // another reading of the device, whose unit the verdict does not say
		v := *t.v.Verdict
		v.Unit = ""
		other := teller{t.l, t.zone, Judged{Verdict: &v}}
		return r.Name + ": " + sentence(other.unusual(r))
	}
	return sentence(t.unusual(r))
}

// unusual tells of an anomaly: see triage.ReasonCode, and joint.Code for relation and level.
func (t teller) unusual(r *lamppost.VerdictReason) string {
	l, is := t.l, t.rate
	args := []string{"value", is(r.Value), "time", t.moment(r.At), "n", l.decimal(strconv.FormatUint(uint64(r.Readings), 10)), "other", r.Other}
	switch r.Code {
	case "value":
		return t.so(l.text("why.value", args...), r, is)
	case "change":
		return t.so(l.text("why.change", args...), r, is)
	case "mean":
		return t.so(l.text("why.mean", args...), r, is)
	case "variation": // a logarithm
		grown := func(d *lamppost.Decimal) string { return t.withUnit(exponential(d), t.rateUnit()) }
		return t.so(l.text("why.variation", "n", args[5], "value", grown(r.Value)), r, grown)
	case "hour":
		r = upwards(r)
		return t.so(l.text("why.hour", "value", t.number(r.Value), "time", args[3]), r, t.number)
	case "shift":
		r = upwards(r)
		return t.so(l.text("why.shift", "n", args[5], "value", t.number(r.Value)), r, t.number)
	case "pattern":
		if r.Nearest == 0 {
			return l.text("why.pattern.none")
		}
		return l.text("why.pattern", "n", args[5], "nearest", t.moment(r.Nearest), "gap", is(r.Gap), "time", args[3], "value", args[1])
	case "relation":
		if r.Other != "" {
			return t.usually(l.text("why.relation", args[:2]...)+l.text("why.relation.other", "other", r.Other), r, is)
		}
		return t.usually(l.text("why.relation", args[:2]...), r, is)
	case "level":
		return t.usually(l.text("why.level", args[:2]...), r, is)
	case "late":
		return l.text("why.late.value", "after", t.moment(r.Nearest))
	}
	return t.unknown(r, is)
}

// upwards turns a deviation to below into one to above, as it is told without a direction.
func upwards(r *lamppost.VerdictReason) *lamppost.VerdictReason {
	if r.Value == nil || r.Low == nil || r.High == nil || r.Value.Mantissa >= 0 {
		return r
	}
	minus := func(d *lamppost.Decimal) *lamppost.Decimal { x := lamppost.Dec(-d.Mantissa, d.Exponent); return &x }
	return &lamppost.VerdictReason{Code: r.Code, Value: minus(r.Value), Low: minus(r.High), High: minus(r.Low)}
}

// cannot tells of what cannot be, or is hard to believe: see plausible.Code. A finding's limit stands in High, or else in Low.
func (t teller) cannot(r *lamppost.VerdictReason) string {
	l := t.l
	limit := r.High
	if limit == nil {
		limit = r.Low
	}
	value, most, since := t.quantity(r.Value), t.quantity(limit), t.moment(t.v.Since)
	switch r.Code {
	case "rolled_back":
		return l.text("why.rolled_back", "value", value, "limit", most, "time", t.moment(t.v.At))
	case "too_fast":
		return l.text("why.too_fast", "value", value, "limit", most, "since", since)
	case "clone":
		return l.text("why.clone", "value", value, "limit", most)
	case "twin":
		return l.text("why.twin", "other", r.Other, "n", t.number(r.Value))
	case "frozen":
		return l.text("why.frozen", "since", since, "n", t.number(r.Value), "limit", t.number(limit))
	case "used_while_off":
		return l.text("why.used_while_off", "value", value, "limit", most, "since", since)
	case "unbalanced":
		text := l.text("why.unbalanced", "value", value, "limit", most, "since", since)
		if r.Share > 0 {
			return text + l.text("why.unbalanced.whose", "share", l.percent(int64(r.Share)*10))
		}
		return text
	case "less_used":
		return l.text("why.less_used", "value", value, "limit", most, "since", since)
	case "more_used":
		return l.text("why.more_used", "value", value, "limit", most, "since", since)
	case "never_zero":
		return l.text("why.never_zero", "value", value, "limit", most)
	case "late":
		after := []string{"value", value, "after", t.moment(r.Nearest), "high", t.quantity(r.High)}
		if r.Low == nil {
			return l.text("why.late.first", after...)
		}
		return l.text("why.late", append(after, "before", t.moment(r.At), "low", t.quantity(r.Low))...)
	}
	return t.unknown(r, t.quantity)
}

// behaviours are the codes of behave whose value is a count, or bytes.
var behaviours = []string{"rate", "pace", "size", "largest", "readings", "repeated", "refused", "bad", "forbidden", "unheard", "connects", "taken_over"}

// does tells of a device's behaviour.
func (t teller) does(r *lamppost.VerdictReason) string {
	l := t.l
	switch r.Code {
	case "silence":
		span := func(d *lamppost.Decimal) string { return t.seconds(d) }
		return t.usually(l.text("does.silence", "value", span(r.Value)), r, span)
	case "names":
		return l.text("does.names", "other", r.Other)
	case "firmware":
		return l.text("does.firmware")
	case "unknown_firmware":
		return l.text("does.unknown_firmware")
	case "hour":
		return l.text("does.hour", "time", t.moment(t.v.At))
	case "forbidden":
		if r.Other != "" {
			return t.usually(t.counted("does.forbidden", r.Value)+" ("+r.Other+")", r, t.number)
		}
	}
	if slices.Contains(behaviours, r.Code) {
		return t.usually(t.counted("does."+r.Code, r.Value), r, t.number)
	}
	return t.unknown(r, t.number)
}

// so adds what a quantity was between so far, or the one end that it is outside of.
func (t teller) so(what string, r *lamppost.VerdictReason, is func(*lamppost.Decimal) string) string {
	switch {
	case r.Low == nil || r.High == nil || r.Value == nil:
		return what
	case r.Value.Cmp(*r.High) > 0 && r.Code != "change":
		return t.l.text("so.most", "what", what, "high", is(r.High))
	case r.Value.Cmp(*r.Low) < 0 && r.Code != "change":
		return t.l.text("so.least", "what", what, "low", is(r.Low))
	}
	return t.l.text("so.between", "what", what, "low", is(r.Low), "high", is(r.High))
}

// usually adds what is usual, where that is known.
func (t teller) usually(what string, r *lamppost.VerdictReason, is func(*lamppost.Decimal) string) string {
	switch {
	case r.Low == nil || r.High == nil || r.Low.Cmp(*r.High) > 0:
		return what
	case r.Low.Cmp(*r.High) == 0:
		return t.l.text("usually.one", "what", what, "low", is(r.Low))
	}
	return t.l.text("usually", "what", what, "low", is(r.Low), "high", is(r.High))
}

// unknown is the sentence for codes of later versions.
func (t teller) unknown(r *lamppost.VerdictReason, is func(*lamppost.Decimal) string) string {
	what := t.l.text("why.unknown", "code", strings.ReplaceAll(r.Code, "_", " "))
	if r.Value != nil {
		what += ": " + is(r.Value)
	}
	if r.Other != "" {
		what += " (" + r.Other + ")"
	}
	return t.usually(what, r, is)
}

// moment writes a time of a reason; one that has none is of the verdict's.
func (t teller) moment(at lamppost.TimeMS) string {
	if at == 0 {
		at = t.v.At
	}
	return t.l.moment(t.zone, at)
}

// number writes what has no unit.
func (t teller) number(d *lamppost.Decimal) string {
	if d == nil {
		return "–"
	}
	return t.l.decimal(plainly(*d))
}

// counted writes a message about so many things.
func (t teller) counted(key string, d *lamppost.Decimal) string {
	if d == nil || d.Exponent != 0 {
		return t.l.text(key, "n", t.number(d))
	}
	return t.l.count(key, int(d.Mantissa))
}

// quantity writes what is in the reading's unit.
func (t teller) quantity(d *lamppost.Decimal) string {
	if d == nil {
		return "–"
	}
	return t.withUnit(trimZeros(*d).String(), t.v.Unit)
}

// rate writes what a detector saw: of a register, what it moves in an hour.
func (t teller) rate(d *lamppost.Decimal) string {
	if d == nil {
		return "–"
	}
	return t.withUnit(plainly(*d), t.rateUnit())
}

func (t teller) rateUnit() string {
	if t.v.Register {
		return peakUnit(t.v.Unit)
	}
	return t.v.Unit
}

// signs are of units that only gauges have.
var signs = map[string]string{"Cel": "°C", "/": ""}

// thousands are units of which people read a thousand as one of the other.
var thousands = map[string]string{"Wh": "kWh", "W": "kW"}

// withUnit writes a number in plain notation with its unit.
func (t teller) withUnit(number, unit string) string {
	whole, fraction, _ := strings.Cut(strings.TrimPrefix(number, "-"), ".")
	if larger := thousands[unit]; larger != "" && len(whole) > 3 {
		text := strings.TrimRight(whole[:len(whole)-3]+"."+whole[len(whole)-3:]+fraction, "0")
		number, unit = number[:len(number)-len(strings.TrimPrefix(number, "-"))]+strings.TrimSuffix(text, "."), larger
	}
	sign, ok := signs[unit]
	if !ok {
		sign = unitSign(unit)
	}
	return strings.TrimSuffix(t.l.decimal(number)+"\u00a0"+sign, "\u00a0")
}

// seconds writes a span of time in the one unit that matters.
func (t teller) seconds(d *lamppost.Decimal) string {
	if d == nil {
		return "–"
	}
	n, _ := strconv.ParseFloat(d.String(), 64)
	unit := "s"
	switch {
	case n >= 2*24*3600:
		n, unit = n/24/3600, "d"
	case n >= 2*3600:
		n, unit = n/3600, "h"
	case n >= 120:
		n, unit = n/60, "min"
	}
	return t.withUnit(strconv.FormatFloat(math.Round(n), 'f', 0, 64), unit)
}

// significantDigits is how many a reader gets of what detectors compute.
const significantDigits = 4

// plainly rounds a fraction to the digits that tell something. Whole numbers stay.
func plainly(d lamppost.Decimal) string {
	for d.Exponent < 0 && (d.Mantissa >= 1e4 || d.Mantissa <= -1e4) { // 10^significantDigits
		half := int64(5)
		if d.Mantissa < 0 {
			half = -5
		}
		if d.Mantissa > math.MaxInt64-5 || d.Mantissa < math.MinInt64+5 {
			half = 0
		}
		d.Mantissa, d.Exponent = (d.Mantissa+half)/10, d.Exponent+1
	}
	return trimZeros(d).String()
}

// exponential writes e to the power of a number, to as many digits.
func exponential(d *lamppost.Decimal) string {
	if d == nil {
		return "0"
	}
	x, _ := strconv.ParseFloat(d.String(), 64)
	x, _ = strconv.ParseFloat(strconv.FormatFloat(math.Exp(min(x, 100)), 'e', significantDigits-2, 64), 64)
	return strconv.FormatFloat(x, 'f', -1, 64)
}

// sentence begins with a capital and ends with a full stop.
func sentence(s string) string {
	first, size := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(first)) + s[size:] + "."
}

// TellAlarm is AlarmOf for a reader in a location, whose clock it reads from the time zone database.
func TellAlarm(v Judged, lang string, loc *time.Location) (*Alarm, error) {
	const before = 400 * 24 * 3600 * 1000 // so that the zone has an offset before the first time there is
	first, last := v.Since, v.At
	for i := range v.Reasons {
		for _, at := range [...]lamppost.TimeMS{v.Reasons[i].At, v.Reasons[i].Nearest} {
			if at > 0 {
				first, last = min(first, at), max(last, at)
			}
		}
	}
	return AlarmOf(v, Reader{Lang: lang, Zone: tariff.ZoneOf(loc, max(0, first-before), last+1)})
}
