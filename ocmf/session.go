package ocmf

import (
	"strings"

	"github.com/lamppost/lamppost"
)

// A Session is what the records of one charging session show together: a transaction from its begin to its end.
type Session struct {
	Register    string // RI
	Unit        string // of Energy: "kWh" or "Wh"
	Start, Stop Reading
	Energy      lamppost.Decimal // Stop.Value - Start.Value

	// ExactDuration reports whether time may be billed too: both times are synchronised or counted on (S, R), and no error
	// flag touches time.
	ExactDuration bool
}

// NewSession verifies the records of a session, in their order, with the key of its meter, and puts them together. There
// may be one record with all readings or several whose pagination follows without a gap. register names which RI is wanted; it may
// be empty where the records have but one. Errors are [*Refusal]s; of a record that does not verify, those of [Record.Verify].
//
// The rules ("Signing and Verification Process" and tables 2, 7 and 10 of the format): all records are of the transaction
// context and of one meter and gateway; the first reading of the register begins the transaction, the last ends it, none between
// does either; times do not run backwards, values do not fall; no reading shows a meter that is not well, an exception or energy
// that may not be billed.
func NewSession(key *PublicKey, register string, records ...*Record) (*Session, error) {
	if n := len(records); n == 0 || n > MaxSessionRecords {
		return nil, refuse(RuleLimit, "a session has 1 to %d records, not %d", MaxSessionRecords, n)
	}
	for i, r := range records {
		if err := r.Verify(key); err != nil {
			return nil, err
		}
		if i > 0 {
			if err := follows(&records[i-1].Payload, &r.Payload); err != nil {
				return nil, err
			}
		}
	}
	if c := records[0].Page.Context; c != 'T' {
		return nil, refuse(RulePages, "%s is no record of a transaction", records[0].Page)
	}
	readings, err := ofRegister(register, records)
	if err != nil {
		return nil, err
	}
	if err := checkReasons(readings); err != nil {
		return nil, err
	}
	return newSession(readings)
}

// follows checks that b is the record after a, of the same meter.
func follows(a, b *Payload) error {
	switch {
	case b.Page.Context != a.Page.Context || b.Page.N != a.Page.N+1:
		return refuse(RulePages, "%s does not follow %s", b.Page, a.Page)
	case a.Meter.Model != b.Meter.Model || a.Meter.Serial != b.Meter.Serial || a.MeterVendor != b.MeterVendor:
		return refuse(RuleMeter, "meter %q of %s is another than meter %q of %s", clip(b.Meter.Serial), b.Page, clip(a.Meter.Serial), a.Page)
	case a.Gateway.Model != b.Gateway.Model || a.Gateway.Serial != b.Gateway.Serial || a.PointID != b.PointID:
		return refuse(RuleMeter, "gateway %q of %s is another than gateway %q of %s", clip(b.Gateway.Serial), b.Page, clip(a.Gateway.Serial), a.Page)
	}
	return nil
}

// ofRegister picks the readings of a register. A reading without one is an event of the whole meter and counts too.
func ofRegister(register string, records []*Record) ([]Reading, error) {
	var of []Reading
	wanted := register
	for _, r := range records {
		for _, x := range r.Readings {
			switch {
			case wanted == "":
				wanted = x.Register
			case register == "" && x.Register != "" && x.Register != wanted:
				return nil, refuse(RuleRegister, "the records have %q and %q: say which is billed", clip(wanted), clip(x.Register))
			}
			if x.Register == "" || x.Register == wanted {
				of = append(of, x)
			}
		}
	}
	if len(of) == 0 || wanted == "" {
		return nil, refuse(RuleRegister, "the records have no register %q", clip(register))
	}
	return of, nil
}

func checkReasons(readings []Reading) error {
	last := len(readings) - 1
	for i := range readings {
		switch x := &readings[i]; {
		case i == 0 && x.Reason != 'B':
			return refuse(RuleBegin, "the first reading does not begin a transaction (TX B)")
		case i > 0 && x.Reason == 'B':
			return refuse(RuleBegin, "another transaction begins in between")
		case i == last && !x.Ends():
			return refuse(RuleEnd, "the last reading does not end the transaction: it is still open")
		case i < last && x.Ends():
			return refuse(RuleEnd, "readings follow the end of the transaction")
		case x.Reason == 0:
			return refuse(RuleBegin, "reading %d is of no transaction", i+1)
		}
	}
	return nil
}

func newSession(readings []Reading) (*Session, error) {
	s := &Session{Start: readings[0], Stop: readings[len(readings)-1], ExactDuration: true}
	s.Register, s.Unit = s.Start.Register, s.Start.Unit
	if s.Unit != "kWh" && s.Unit != "Wh" {
		return nil, refuse(RuleRegister, "unit %q is not one of energy", clip(s.Unit))
	}
	for i := range readings {
		x := &readings[i]
		if err := checkReading(x, &readings[max(i-1, 0)]); err != nil {
			return nil, err
		}
		if strings.Contains(x.Errors, "t") {
			s.ExactDuration = false
		}
	}
	if !exact(s.Start.Sync, s.Stop.Sync) {
		s.ExactDuration = false
	}
	var ok bool
	if s.Energy, ok = s.Stop.Value.Sub(s.Start.Value); !ok {
		return nil, refuse(RuleValue, "the difference from %s to %s has too many digits", s.Start.Value, s.Stop.Value)
	}
	return s, nil
}

// exact reports whether a duration from a to b is right: an informative time at the start is enough where the meter then
// counts on from it (table 19, R).
func exact(a, b Sync) bool {
	return b == TimeRelative && a != TimeUnknown || a == TimeSynchronised && b == TimeSynchronised
}

// checkReading checks a reading of a session against the one before, or the first against itself.
func checkReading(x, before *Reading) error {
	switch {
	case !x.Billable():
		return refuse(RuleStatus, "reading at %d ms: status %c, errors %q: its energy may not be billed", x.Time, x.Status, x.Errors)
	case x.Reason == 'X' && x.Errors == "":
		return refuse(RuleStatus, "reading at %d ms: an exception that does not say what it touches", x.Time)
	case x.Unit != before.Unit || x.Current != before.Current:
		return refuse(RuleRegister, "reading at %d ms is of another unit or current than the one before", x.Time)
	case x.Time < before.Time:
		return refuse(RuleTime, "reading at %d ms comes after one at %d ms", x.Time, before.Time)
	case x.Value.Cmp(before.Value) < 0:
		return refuse(RuleValue, "register %s is below %s before", x.Value, before.Value)
	}
	return nil
}
