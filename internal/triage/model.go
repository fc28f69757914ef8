package triage

import (
	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/triage/saved"
)

// Features is a reading and what is known of its series, this reading included.
type Features struct {
	Sample
	Low, High float64 // nearly all values lie between
	Width     float64 // of that range; above 0

	windows *windows
}

// A Model scores how unusual a reading is after those before it, and learns it. It keeps no more than a stated number of bytes,
// allocates nothing for a reading, and takes no product that the compiler may fuse. 0 is as usual as ever; no score is far above 8.
type Model interface {
	// next returns the score, and whether enough was seen for it to count.
	next(*Features) (score float64, ready bool)
	// reason says what the latest score rests on.
	reason() Reason
	// state reads or writes everything that next depends on.
	state(*saved.State)
	// bytes is how much memory it takes.
	bytes() int
	// reset forgets all.
	reset()
}

// A ReasonCode says in which way a reading is unusual.
type ReasonCode uint8

// Reasons. Readings is how many readings the quantity is made of, the latest included; Low and High are what it has been between so far,
// unless something else is said.
const (
	ReasonValue     ReasonCode = iota + 1 // the value is out of its range
	ReasonChange                          // the change from the reading before is
	ReasonMean                            // the mean of the latest readings is
	ReasonVariation                       // the logarithm of their standard deviation is: much steadier or much more restless than ever
	ReasonHour                            // the value is farther than ever from what it is at this hour (UTC), in deviations of that hour
	ReasonShift                           // the mean of the latest readings is farther than ever from the mean of those before, in widths
	ReasonPattern                         // the course of the latest readings resembles no earlier one: see NearestMS, Gap
)

var reasonNames = [...]string{"unknown", "value", "change", "mean", "variation", "hour", "shift", "pattern"}

// String returns the code's name, as the ledger and the API have it.
func (c ReasonCode) String() string {
	if int(c) < len(reasonNames) {
		return reasonNames[c]
	}
	return reasonNames[0]
}

// A Reason is why a reading is unusual, in numbers: everything that a sentence about it needs.
type Reason struct {
	Code      ReasonCode
	Worth     float64 // its share of the score
	Readings  int
	SinceMS   lamppost.TimeMS // when the first of them came
	Value     float64
	Low, High float64

	// Of a pattern: Value, of which Low and High are the usual range, came at AtMS and is by Gap above what came at that place of the
	// nearest earlier course, which ended at NearestMS.
	AtMS, NearestMS lamppost.TimeMS
	Gap             float64
}
