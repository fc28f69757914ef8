package archive

import (
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/compact"
)

// A Class says how much of a report is kept.
type Class uint8

// Classes, from all to nothing.
const (
	Raw        = Class(compact.Raw)        // as it came, and proven
	Summary    = Class(compact.Summary)    // its readings are in a series, each within a bound
	HeaderOnly = Class(compact.HeaderOnly) // its segment's header says that it was there
	Erased     = HeaderOnly + 1            // likewise, and summaries forget it too
)

var classNames = [...]string{"raw", "summary", "header-only", "erased"}

// String returns the class's name.
func (c Class) String() string { return classNames[c] }

// A Retention says how long after it was received a report stays raw, and then in summaries. 0 is for ever.
type Retention struct {
	RawMS     lamppost.TimeMS
	SummaryMS lamppost.TimeMS // counted from the same moment, so not less than RawMS to mean anything
	Error     float64         // of a value in summaries, as a share of its series's range; 0: as package compact has it
}

// A Window is a period around an alarm: what was received in it, To not included, stays raw.
type Window struct{ From, To lamppost.TimeMS }

// A Hold keeps the reports of a device raw that were received in a period: a dispute is open, or a court asked. What was
// erased before it came it does not bring back: some members have forgotten it by then.
type Hold struct {
	Device   lamppost.DeviceID // empty: of all
	From, To lamppost.TimeMS   // To 0: without end
	Since    Place             // of the order
}

// Rules say what may and what must be forgotten. The ledger's orders make them.
type Rules struct {
	Default Retention
	Devices map[lamppost.DeviceID]Retention
	Holds   []Hold
	Erased  map[lamppost.DeviceID][]Place // orders to erase the reports before them, the oldest first
	Gone    map[Place]bool                // erased transactions that are no segments
	Changed lamppost.Height               // the last block that changed any of these
	// Alarms returns the windows around the alarms of a device. Nil: there are none. A window that opens later keeps what is still there.
	Alarms func(lamppost.DeviceID) ([]Window, error)
	Erase  lamppost.Height // the last block that erased
}

// A Place says where a transaction stands.
type Place struct {
	Height lamppost.Height
	Index  uint32
}

func (p Place) before(q Place) bool {
	return p.Height < q.Height || p.Height == q.Height && p.Index < q.Index
}

// Of returns the rule that holds for a device.
func (r *Rules) Of(d lamppost.DeviceID) Retention {
	if own, ok := r.Devices[d]; ok {
		return own
	}
	return r.Default
}

// A judgement is what a report's class depends on beside the rules and the report.
type judgement struct {
	at    Place
	now   lamppost.TimeMS
	alarm bool // one is near
}

// class judges a report that was received then, committed at that place, and decided so. Bills rest on billing
// reports, and a device's two reports under one number are evidence: both stay, also where the device is erased, for whoever
// was billed or deceived.
func (r *Rules) class(rep *lamppost.Report, k *lamppost.KeptReport, j judgement) (Class, compact.Reason) {
	outcome, err := lamppost.DecodeOutcome(k.Outcome)
	if err != nil || outcome.Code == lamppost.CodeReused {
		return Raw, compact.Disputed
	}
	if rep.Billing() && outcome.Code == lamppost.CodeOK {
		return Raw, compact.Billed
	}
	held := func(x Hold) bool {
		return (x.Device == "" || x.Device == rep.Device) && x.From <= k.Received && (x.To == 0 || k.Received < x.To)
	}
	erased := func(e Place) bool {
		return j.at.before(e) && !slices.ContainsFunc(r.Holds, func(x Hold) bool { return x.Since.before(e) && held(x) })
	}
	if slices.ContainsFunc(r.Erased[rep.Device], erased) {
		return Erased, compact.None
	}
	policy := r.Of(rep.Device).class(j.now-k.Received, outcome.Code == lamppost.CodeOK)
	// Rules count days and the judge follows within seconds: whatever policy lets go has been judged.
	c := compact.Case{Disputed: slices.ContainsFunc(r.Holds, held), Alarm: -1, After: compact.AroundAlarm, Policy: &policy}
	if j.alarm {
		c.Alarm = 0
	}
	class, why := compact.Classify(c)
	return Class(class), why
}

// class is what a rule alone says of a report of some age.
func (r Retention) class(age lamppost.TimeMS, accepted bool) compact.Class {
	switch {
	case r.RawMS == 0 || age < r.RawMS:
		return compact.Raw
	case accepted && (r.SummaryMS == 0 || age < r.SummaryMS):
		return compact.Summary
	}
	return compact.HeaderOnly
}

// Erases says whether a report committed at that place was erased, though it may still be there: it is out of all views from
// the order on.
func (r *Rules) Erases(rep *lamppost.Report, k *lamppost.KeptReport, at Place) bool {
	if len(r.Erased[rep.Device]) == 0 {
		return false
	}
	class, _ := r.class(rep, k, judgement{at: at, now: k.Received})
	return class == Erased
}

// ErasesSeries says likewise of a series of a pack that ends with a block.
func (r *Rules) ErasesSeries(d lamppost.DeviceID, last lamppost.Height) bool {
	orders := r.Erased[d]
	return len(orders) > 0 && last <= orders[len(orders)-1].Height
}

// alarmed tells whether something received then is near an alarm of a device.
type alarmed struct {
	rules *Rules
	known map[lamppost.DeviceID][]Window
}

func (a *alarmed) near(d lamppost.DeviceID, received lamppost.TimeMS) (bool, error) {
	if a.rules.Alarms == nil {
		return false, nil
	}
	windows, ok := a.known[d]
	if !ok {
		var err error
		d = lamppost.DeviceID(slices.Clone([]byte(d))) // not the report's bytes
		if windows, err = a.rules.Alarms(d); err != nil {
			return false, err
		}
		if a.known == nil {
			a.known = map[lamppost.DeviceID][]Window{}
		}
		a.known[d] = windows
	}
	return slices.ContainsFunc(windows, func(w Window) bool { return w.From <= received && received < w.To }), nil
}

// due returns when something of what was received until then may be taken out next, 0 for never. The last to come decides: a
// pack is written again once for all that it holds, and not once for each report.
func (r *Rules) due(last lamppost.TimeMS, devices map[lamppost.DeviceID]bool, now lamppost.TimeMS) (next lamppost.TimeMS) {
	consider := func(keep Retention) {
		for _, after := range [...]lamppost.TimeMS{keep.RawMS, keep.SummaryMS} {
			if at := last + after; after > 0 && at > now && (next == 0 || at < next) {
				next = at
			}
		}
	}
	for d := range devices {
		consider(r.Of(d))
	}
	return next
}
