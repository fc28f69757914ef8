// Package advise recommends how a fleet of machines should be kept: whether a ledger is needed at all, which engine and settings
// if so, and what that costs, from measurements of package explore.
//
// It promises that every figure it predicts rests on measured rows, which it names, and has an interval; that outside what was measured
// it abstains and says so; and that what breaks a must-have is never recommended. It measures nothing itself. Start reading at [Fleet], [Advise] and
// [Answer].
package advise

import "github.com/lamppost/lamppost/internal/explore"

// Version is that of answers. Fields are only ever added within it.
const Version = 1

// A Range is a predicted figure: nine of ten measurements should lie from Low to High. What is kept up and how long 99 of 100 wait are wider: nine
// of ten should lie in both.
type Range struct {
	Low  float64 `json:"low"`
	Mid  float64 `json:"mid"`
	High float64 `json:"high"`
}

// A Prediction is what a point would measure. What is "per reading" is of all members together, as in rows.
type Prediction struct {
	PerS     Range   `json:"readings_per_s"` // committed, at the point's rate
	Capacity Range   `json:"capacity_per_s"` // readings a second that it bears at most
	P50      Range   `json:"commit_p50_ms"`
	P99      Range   `json:"commit_p99_ms"`
	Sure     float64 `json:"commit_p99_sure_ms"` // 19 of 20 measured p99 should lie below: needs are held against it
	CPU      Range   `json:"cpu_us"`             // per reading, of members and gateways
	Wire     Range   `json:"wire_bytes"`         // per reading, between members
	Disk     Range   `json:"disk_bytes"`         // per reading
	Syncs    Range   `json:"syncs"`              // per reading
	Nearest  []Near  `json:"nearest"`            // the measured points it rests on most, nearest first
}

// A Near is a measured point that a prediction rests on.
type Near struct {
	explore.Point
	Rows     int     `json:"rows"`     // repetitions
	Distance float64 `json:"distance"` // 0: the point itself
}

// An Answer is what is recommended, and why.
type Answer struct {
	V       int    `json:"v"`
	Fleet   string `json:"fleet"`
	Verdict string `json:"verdict"` // lamppost, database, outside, abstain
	Summary string `json:"summary"` // a sentence or two for people

	Gate    []Step   `json:"gate"`              // is a ledger needed at all
	Demand  Demand   `json:"demand"`            // what the fleet asks of members
	Options []Option `json:"options"`           // all that was weighed, the recommended first, what is out last
	Flips   []Flip   `json:"flips"`             // the smallest changes that would make another answer
	Config  string   `json:"config,omitempty"`  // for lamppost serve --config
	Next    []string `json:"next,omitempty"`    // commands that found it, or that measure what is missing
	Assumed []string `json:"assumed,omitempty"` // what figures rest on beside measurements
	Silent  []string `json:"silent,omitempty"`  // of what nothing is said, and why
	Rows    Source   `json:"rows"`              // the measurements
}

// A Step is a question of the gate.
type Step struct {
	Question string `json:"question"`
	Answer   string `json:"answer"`
	Because  string `json:"because"` // which of the fleet's fields say so
}

// Demand is what all classes together ask for in their busiest hour.
type Demand struct {
	ReadingsPerS float64 `json:"readings_per_s"`
	ReadingsADay float64 `json:"readings_a_day"`
	LatencyMS    float64 `json:"latency_ms"`
}

// An Option is one way to keep the fleet: an engine of Lamppost with its settings, a plain database, or a ledger of others.
type Option struct {
	Name    string         `json:"name"`              // "raft, 3 members", "Hedera Consensus Service"
	Kind    string         `json:"kind"`              // solo, raft, comet, database, outside
	Place   int            `json:"place,omitempty"`   // from 1; 0: out
	Out     []string       `json:"out,omitempty"`     // the must-haves it breaks
	Binding []string       `json:"binding,omitempty"` // the needs that hold it where it is: what could be had cheaper without them
	Point   *explore.Point `json:"point,omitempty"`   // the settings, as in rows

	Members    []string `json:"members,omitempty"`    // the organisation of each member
	Witnesses  []string `json:"witnesses,omitempty"`  // organisations that cosign its log
	Unmeasured bool     `json:"unmeasured,omitempty"` // it is out for nothing else than that nobody measured it

	Classes []ClassAdvice `json:"classes,omitempty"`
	Figures *Prediction   `json:"figures,omitempty"`
	Year    *Year         `json:"year,omitempty"`
	Notes   []string      `json:"notes,omitempty"` // conditions, with their sources

	asked *explore.Point // what would have been predicted, had it been measured
}

// ClassAdvice is what devices of one class should do.
type ClassAdvice struct {
	Class       string  `json:"class"`
	Suite       string  `json:"suite"`        // as in rows; "none": nobody can check who sent it
	EverySec    float64 `json:"every_s"`      // between reports
	Readings    int     `json:"readings"`     // in a report
	Via         string  `json:"via"`          // direct, gateway
	UJADay      Range   `json:"uj_a_day"`     // of a device, for signing and sending
	BatteryDays Range   `json:"battery_days"` // 0: mains
	Because     string  `json:"because"`
}

// Year is what an option takes in a year.
type Year struct {
	EUR   Range  `json:"eur"`
	KWh   Range  `json:"kwh"` // of members; of an outside ledger only where somebody measured it
	Parts []Part `json:"parts"`
}

// A Part is a share of a year's cost.
type Part struct {
	What   string `json:"what"`
	EUR    Range  `json:"eur"`
	KWh    Range  `json:"kwh"`
	Fixed  bool   `json:"fixed,omitempty"` // settings do not decide it: a machine costs the same idle
	Source string `json:"source"`          // of the price, with its date
}

// A Flip is a change of the fleet that makes another answer.
type Flip struct {
	Field string `json:"field"` // "needs.latency_ms"
	From  string `json:"from"`
	To    string `json:"to"`
	Then  string `json:"then"` // the option that is first then
}

// Source says which measurements an answer rests on.
type Source struct {
	Commit  string `json:"commit"`
	Machine string `json:"machine"`
	From    string `json:"from"` // of the first row, RFC 3339
	Points  int    `json:"points"`
	Rows    int    `json:"rows"`
}
