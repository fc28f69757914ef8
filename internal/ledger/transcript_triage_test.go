package ledger_test

import (
	"fmt"
	"strings"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/ledger"
)

// triage makes the orders of what triage finds and what people say of it:
//
//	verdicts [through=N] [model=NAME] [KIND/DEVICE/REGISTER/SINCE/AT/HEIGHT.TX.REPORT.RECORD/CODE[/suspends][/keep] …]
//	review ID ANSWER [reason=TEXT]
//	watch [point=ID] [size=N] [off=TIME] [on=TIME] [device=ID] [firmware=N] [budget=N]
//	show verdicts [DEVICE]|verdict ID|open|suspending|judged|windows|watched
func (d *desk) triage(w words) (lamppost.TxType, any) {
	switch w.verb {
	case "verdicts":
		b := lamppost.VerdictsBody{Model: lamppost.Model{ID: w.or("model", "plausible"), Version: 1}, Through: lamppost.Height(number(w.or("through", "0")))}
		b.Model.Hash[0] = b.Model.ID[0]
		for _, spec := range w.args {
			b.Verdicts = append(b.Verdicts, d.verdict(spec))
		}
		return lamppost.TxVerdicts, b
	case "review":
		id, err := lamppost.ParseVerdictID(w.arg(0))
		must(err)
		answer, err := lamppost.ParseReviewAnswer(w.arg(1))
		if err != nil {
			answer = 9
		}
		return lamppost.TxReview, lamppost.ReviewBody{Verdict: id, Answer: answer, Reason: w.or("reason", "")}
	case "watch":
		return lamppost.TxWatch, d.watch(w)
	}
	return d.agents(w)
}

func (d *desk) verdict(spec string) lamppost.Verdict {
	p := append(strings.Split(spec, "/"), "", "")
	kind, err := lamppost.ParseVerdictKind(p[0])
	must(err)
	v := lamppost.Verdict{Kind: kind, Device: lamppost.DeviceID(p[1]), Name: p[2], Since: d.time(p[3]), At: d.time(p[4]), Reasons: []lamppost.VerdictReason{{Code: p[6]}}}
	if p[5] != "" {
		_, err := fmt.Sscanf(p[5], "%d.%d.%d.%d", &v.Height, &v.Tx, &v.Report, &v.Record)
		must(err)
	}
	for _, flag := range p[7:] {
		switch flag {
		case "suspends":
			v.Suspends = true
		case "keep":
			v.KeepFrom, v.KeepTo = v.Since-1000, v.At+1000
		}
	}
	return v
}

func (d *desk) watch(w words) lamppost.WatchBody {
	b := lamppost.WatchBody{Point: w.or("point", ""), Device: lamppost.DeviceID(w.or("device", ""))}
	if size, ok := w.opts["size"]; ok {
		b.Size = decimal(size)
	}
	for key, at := range map[string]*lamppost.TimeMS{"off": &b.Off, "on": &b.On} {
		if s, ok := w.opts[key]; ok {
			*at = d.time(s)
		}
	}
	if n, ok := w.opts["firmware"]; ok {
		b.Firmware = []lamppost.Hash{{byte(number(n))}}
	}
	if n, ok := w.opts["budget"]; ok {
		budget := uint32(number(n))
		b.Budget = &budget
	}
	return b
}

// showTriage shows what was found.
func (d *desk) showTriage(w words) (out []string) {
	v := ledger.View{Reader: d.store}
	line := func(x *ledger.Verdict) error {
		s := fmt.Sprintf("%s %s of %s %s: %s", x.ID, x.Body.Kind, x.Body.Device, x.Body.Name, x.Body.Reasons[0].Code)
		if x.Suspending() {
			s += ", suspends"
		}
		billed, err := v.BilledBefore(x)
		must(err)
		for _, b := range billed {
			s += ", billed before by " + b.Number
		}
		for _, r := range x.Reviews {
			s += fmt.Sprintf(", %s (%s)", r.Answer, r.Reason)
		}
		out = append(out, s)
		return nil
	}
	switch w.arg(0) {
	case "verdicts":
		if w.arg(1) != "" {
			must(v.VerdictsOf(lamppost.DeviceID(w.arg(1)), lamppost.VerdictID{}, line))
			break
		}
		must(v.Verdicts(lamppost.VerdictID{}, line))
	case "verdict":
		id, err := lamppost.ParseVerdictID(w.arg(1))
		must(err)
		x, err := v.Verdict(id)
		if err != nil {
			return []string{err.Error()}
		}
		must(line(&x))
	case "open":
		must(v.OpenVerdicts(lamppost.VerdictID{}, line))
	case "suspending":
		all, err := v.Suspending()
		must(err)
		for i := range all {
			must(line(&all[i]))
		}
	case "judged":
		for _, m := range d.state.Members() {
			h, err := v.Judged(m.ID)
			must(err)
			out = append(out, fmt.Sprintf("%s through block %d", m.ID, h))
		}
	case "windows":
		all, err := v.KeepWindows()
		must(err)
		for _, k := range all {
			out = append(out, fmt.Sprintf("%s from %d to %d for %s", k.Device, k.From, k.To, k.Verdict))
		}
	case "watched":
		all, err := v.Watched()
		must(err)
		for i := range all {
			b := &all[i]
			size := ""
			if b.Size != nil {
				size = b.Size.String()
			}
			out = append(out, fmt.Sprintf("point %q size %q off %d on %d, device %q with %d images, budget given: %v", b.Point, size, b.Off, b.On, b.Device, len(b.Firmware), b.Budget != nil))
		}
	default:
		return d.showAgents(w)
	}
	if len(out) == 0 {
		out = []string{"nothing"}
	}
	return out
}
