package archive

import (
	"slices"

	"github.com/lamppost/lamppost"
)

// A Class says how much of a report is kept.
type Class uint8

// Classes, from all to nothing.
const (
	Raw        Class = iota // as it came, and proven
	Summary                 // its readings are in the summaries of their hours
	HeaderOnly              // its segment's header says that it was there
	Erased                  // likewise, and summaries forget it too
)

var classNames = [...]string{"raw", "summary", "header-only", "erased"}

// String returns the class's name.
func (c Class) String() string { return classNames[c] }

// A Retention says how long after it was received a report stays raw, and then in summaries. 0 is for ever.
type Retention struct {
	RawMS     lamppost.TimeMS
	SummaryMS lamppost.TimeMS // counted from the same moment, so not less than RawMS to mean anything
}

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
	Erase   lamppost.Height               // the last block that erased
}

// A Place says where a transaction stands.
type Place struct {
	Height lamppost.Height
	Index  uint32
}

func (p Place) before(q Place) bool {
	return p.Height < q.Height || p.Height == q.Height && p.Index < q.Index
}

func (r *Rules) of(d lamppost.DeviceID) Retention {
	if own, ok := r.Devices[d]; ok {
		return own
	}
	return r.Default
}

// class judges a report that was received then, committed at that place, and decided so. Bills rest on billing
// reports, and a device's two reports under one number are evidence: both stay, also where the device is erased, for whoever
// was billed or deceived.
func (r *Rules) class(rep *lamppost.Report, k *lamppost.KeptReport, at Place, now lamppost.TimeMS) Class {
	outcome, err := lamppost.DecodeOutcome(k.Outcome)
	if err != nil || rep.Billing() && outcome.Code == lamppost.CodeOK || outcome.Code == lamppost.CodeReused {
		return Raw
	}
	held := func(x Hold) bool {
		return (x.Device == "" || x.Device == rep.Device) && x.From <= k.Received && (x.To == 0 || k.Received < x.To)
	}
	erased := func(e Place) bool {
		return at.before(e) && !slices.ContainsFunc(r.Holds, func(x Hold) bool { return x.Since.before(e) && held(x) })
	}
	age := now - k.Received
	switch keep := r.of(rep.Device); {
	case slices.ContainsFunc(r.Erased[rep.Device], erased):
		return Erased
	case slices.ContainsFunc(r.Holds, held):
		return Raw
	case keep.RawMS == 0 || age < keep.RawMS:
		return Raw
	case outcome.Code == lamppost.CodeOK && (keep.SummaryMS == 0 || age < keep.SummaryMS):
		return Summary
	}
	return HeaderOnly
}

// Erases says whether a report committed at that place was erased, though it may still be there: it is out of all views from
// the order on.
func (r *Rules) Erases(rep *lamppost.Report, k *lamppost.KeptReport, at Place) bool {
	return len(r.Erased[rep.Device]) > 0 && r.class(rep, k, at, k.Received) == Erased
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
		consider(r.of(d))
	}
	return next
}
