package ocmf

import (
	"github.com/lamppost/lamppost"
)

// Match says which readings of a report its meter's records give too: registers of the record's name, at the very time of a
// reading of the record, with the same value. key is the meter's, as it is enrolled (DER).
//
// A report whose records do not hold is refused as a whole, by a [*Refusal]: a record that the key did not sign, another value
// at the same time, a value or a time that the meter itself does not vouch for, or a record that gives none of the report's
// readings. Where a record has several registers, the report's register is named like the one that is meant.
func Match(key []byte, readings []lamppost.Reading, records []lamppost.MeterRecord) (given []bool, err error) {
	if len(records) == 0 {
		return nil, nil
	}
	public, err := ParsePublicKey(key)
	if err != nil {
		return nil, err
	}
	given = make([]bool, len(readings))
	for i := range records {
		r, err := Parse(records[i].Text)
		if err == nil {
			err = r.Verify(public)
		}
		if err == nil {
			err = r.match(records[i].Name, readings, given)
		}
		if err != nil {
			return nil, err
		}
	}
	return given, nil
}

// match marks the readings of a register that the record gives.
func (r *Record) match(name string, readings []lamppost.Reading, given []bool) error {
	several, any := r.hasSeveral(), false
	for i := range readings {
		x := &readings[i]
		if x.Kind != lamppost.Register || x.Name != name {
			continue
		}
		for j := range r.Readings {
			y := &r.Readings[j]
			if y.Time != x.Time || y.Register == "" || several && y.Register != name {
				continue
			}
			if err := y.agrees(x); err != nil {
				return err
			}
			given[i], any = true, true
		}
	}
	if !any {
		return refuse(RuleTime, "record %s gives no reading of register %q in the report", r.Page, clip(name))
	}
	return nil
}

func (r *Record) hasSeveral() bool {
	first := ""
	for i := range r.Readings {
		switch s := r.Readings[i].Register; {
		case s == "" || s == first:
		case first == "":
			first = s
		default:
			return true
		}
	}
	return false
}

// agrees checks a reading of the record against one of the report at the same time.
func (x *Reading) agrees(with *lamppost.Reading) error {
	if !x.Billable() {
		return refuse(RuleStatus, "reading at %d ms: status %c, errors %q: its energy may not be billed", x.Time, x.Status, x.Errors)
	}
	if x.Sync == TimeUnknown {
		return refuse(RuleTime, "reading at %d ms: the meter does not know the time", x.Time)
	}
	ours, ok1 := inWh(x.Value, x.Unit)
	theirs, ok2 := inWh(with.Value, with.Unit)
	switch {
	case !ok1 || !ok2:
		return refuse(RuleRegister, "%s %s and %s %s cannot be compared in Wh", x.Value, clip(x.Unit), with.Value, clip(with.Unit))
	case ours.Cmp(theirs) != 0:
		return refuse(RuleValue, "reading at %d ms: the meter signed %s %s, the report says %s %s", x.Time, x.Value, x.Unit, with.Value, with.Unit)
	}
	return nil
}

// inWh returns an energy in Wh, exactly.
func inWh(d lamppost.Decimal, unit string) (lamppost.Decimal, bool) {
	switch unit {
	case "Wh":
		return d, true
	case "kWh":
		fine := min(d.Exponent, -3) // 0.001 kWh is 1 Wh
		m, ok := d.At(fine)
		return lamppost.Dec(m, fine+3), ok
	}
	return lamppost.Decimal{}, false
}
