package compact

// A Class says how much of a reading is kept: as in package archive.
type Class uint8

// Classes.
const (
	Raw        Class = iota // as it came, and proven
	Summary                 // its value within a bound
	HeaderOnly              // only that it was there
)

var classNames = [...]string{"raw", "summary", "header-only"}

// String returns the class's name.
func (c Class) String() string { return classNames[c] }

// A Reason says why readings have their class.
type Reason uint8

// Reasons, the strongest first.
const (
	None       Reason = iota // nobody decided
	Disputed                 // a dispute or a hold is open
	Billed                   // a bill rests on it, or may
	NearAlarm                // what was unusual, and what was before and after it
	Unfinished               // so new that an alarm may still come
	Policy                   // the rule for its device says so
	Usual                    // nobody asked for more
	reasons
)

var reasonNames = [reasons]string{"none", "disputed", "billed", "near-alarm", "unfinished", "policy", "usual"}

// String returns the reason's name.
func (r Reason) String() string { return reasonNames[r] }

// A Case is what is known of readings when their class is decided.
type Case struct {
	Disputed bool // a dispute or a hold covers them
	Billed   bool // of a register or session that bills are made from
	Alarm    int  // rows to the nearest alarm, before or after; below 0: there is none
	After    int  // rows that have come since

	Policy *Class // what the device's rule says, if it says anything
}

// Rows around an alarm that stay raw: what its reasons can name before it, and what it led to.
const AroundAlarm = 256

// Classify decides how much of readings is kept. Nothing takes away what a bill or a dispute rests on; a rule may keep more than an alarm needs, and less
// than is usual.
func Classify(c Case) (Class, Reason) {
	switch {
	case c.Disputed:
		return Raw, Disputed
	case c.Billed:
		return Raw, Billed
	case c.Policy != nil && *c.Policy == Raw:
		return Raw, Policy
	case c.Alarm >= 0 && c.Alarm <= AroundAlarm:
		return Raw, NearAlarm
	case c.After < AroundAlarm:
		return Raw, Unfinished
	case c.Policy != nil:
		return *c.Policy, Policy
	}
	return Summary, Usual
}
