// Package plausible knows whether what a meter says can be true. A signature says who; this says whether.
//
// Start reading at [Meter], which judges the readings of one register, and [Group], which holds a main meter against those behind it, or
// meters of one kind against each other. Each rule is small, looks at the past alone, and has one setting for all meters; what it finds is
// a [Finding] in numbers, from which a sentence can be made. docs/intelligence.md has the rules, and what they find of frauds that were put
// into real series.
//
// What it promises: the same readings give the same findings on every machine, whether or not the state was saved and restored between
// them; memory is bounded; a reading allocates nothing. What it does not: it knows no device, ledger, tariff or disk, changes no reading, and
// proves no intent: a frozen meter may be broken. It is not for concurrent use.
package plausible

import (
	"errors"

	"github.com/lamppost/lamppost"
)

// Limits.
const (
	MaxRegister = 1 << 53 // so that doubles hold it exactly
	MaxMeters   = 64      // in a group, the main meter not counted

	msPerHour = 3_600_000
	msPerDay  = 24 * msPerHour
)

// What is refused. A refused reading changes nothing.
var (
	ErrRegister = errors.New("a register is from 0 to 2^53 units of its last digit")
	ErrTime     = errors.New("a reading's time is before 1970 or after 2242")
	ErrSize     = errors.New("a connection's size is above 0 and at most 2^53 units an hour")
	ErrMeters   = errors.New("a group has 1 to 64 meters besides its main meter")
	ErrUnknown  = errors.New("the group has no such meter")
)

// maxTimeMS is in the year 2242.
const maxTimeMS = 1 << 43

// A Reading is what one register said at one time. Units are those of the register's last digit: watt-hours, litres.
type Reading struct {
	AtMS     lamppost.TimeMS
	ReadMS   lamppost.TimeMS // when it was read, where AtMS is the moment of its group that it stands for; 0: AtMS
	Register int64
	Aside    bool // it stands for no moment of its group

	// What is known beside the meter, of the time since the reading before.
	Off       bool // the device was off, or the place vacant: nothing may have been used
	Exchanged bool // the register was reset or another meter hangs here, as was declared
}

func (r Reading) readMS() lamppost.TimeMS {
	if r.ReadMS != 0 {
		return r.ReadMS
	}
	return r.AtMS
}

func (r Reading) check() error {
	switch {
	case r.Register < 0 || r.Register > MaxRegister:
		return ErrRegister
	case r.AtMS < 0 || r.AtMS > maxTimeMS || r.ReadMS < 0 || r.ReadMS > maxTimeMS:
		return ErrTime
	}
	return nil
}

// A Code says what cannot be true, or is hard to believe.
type Code uint8

// Codes. Value is what was found and Limit what it should have been; both are in units of the register unless something else is said.
const (
	RolledBack   Code = iota + 1 // the register fell from Limit to Value
	TooFast                      // Value was used since FromMS, and the connection lets Limit through
	Clone                        // for one moment there are two registers, Value and Limit
	Twin                         // meter Other has used the same as this one in Value steps in a row, of which no two in a row were alike
	Frozen                       // unchanged for Value steps since FromMS; the longest before was Limit
	UsedWhileOff                 // Value was used while nothing should, since FromMS; a stand-by may use Limit
	Unbalanced                   // the main meter saw Value since FromMS and all others, with the usual loss, Limit
	LessUsed                     // a day's use was Value and is usually Limit, for some days: since FromMS
	MoreUsed                     // the same, above
	NeverZero                    // the least use in an hour of the latest days was Value, and in any day before Limit
	Late                         // beside another: it came after younger readings; the register was Low at FromMS (0: nothing is known) and Limit at AtMS, and Value between
)

var codeNames = [...]string{"unknown", "rolled_back", "too_fast", "clone", "twin", "frozen", "used_while_off", "unbalanced", "less_used", "more_used",
	"never_zero", "late"}

// String returns the code's name, as the API has it.
func (c Code) String() string {
	if int(c) < len(codeNames) {
		return codeNames[c]
	}
	return codeNames[0]
}

// Hard reports whether an honest and whole meter would hardly ever give rise to it. What is not hard is a hint: people change.
func (c Code) Hard() bool { return c >= RolledBack && c <= Unbalanced }

// Main and Unnamed stand in a finding in place of a meter's number.
const (
	Main    = -1
	Unnamed = -2 // the group knows that something is wrong, but not whose
)

// A Finding is one thing that cannot be true, in numbers.
type Finding struct {
	Code         Code
	Meter, Other int // in a group; 0 for a meter alone
	FromMS, AtMS lamppost.TimeMS
	Value, Limit float64
	Low          float64 // of Late
	Share        float64 // Unbalanced with a meter named: how much of its use the meter probably does not count
}
