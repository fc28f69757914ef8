package lamppost

import "fmt"

// What a contract did, as the log commits to it. Package contract makes events into what a program sees, and runs it; an auditor who has
// no interpreter reads what came of it here.

// A Run is one call of a contract's program and what came of it. Of a call by order it is the outcome's data; of a bill it is the data of
// an outcome after the order's own.
type Run struct {
	Contract string      `cbor:"1,keyasint" json:"contract"`
	Version  uint32      `cbor:"2,keyasint" json:"version"`
	Event    RunEvent    `cbor:"3,keyasint" json:"event"`
	Payments []Payment   `cbor:"4,keyasint,omitempty" json:"payments,omitempty"`
	Note     string      `cbor:"5,keyasint,omitempty" json:"note,omitempty"` // what the program returned, for people
	Cost     RunCost     `cbor:"6,keyasint" json:"cost"`
	Failure  *RunFailure `cbor:"7,keyasint,omitempty" json:"failure,omitempty"` // nothing was paid
	Currency string      `cbor:"8,keyasint" json:"currency"`
	Before   []byte      `cbor:"9,keyasint,omitempty" json:"-"` // the program's state that it began with
	N        uint64      `cbor:"11,keyasint" json:"n"`          // counts the contract's runs from 1, without gaps
}

// A RunEvent is what a program hears of. The zero value of what it does not concern is told as nothing.
type RunEvent struct {
	Name     string       `cbor:"1,keyasint" json:"name"`    // of the function that is called
	Time     TimeMS       `cbor:"2,keyasint" json:"time_ms"` // the block's
	By       string       `cbor:"3,keyasint,omitempty" json:"by,omitempty"`
	Bill     *RunBill     `cbor:"4,keyasint,omitempty" json:"bill,omitempty"`
	Readings []RunReading `cbor:"5,keyasint,omitempty" json:"readings,omitempty"`
	Args     []Arg        `cbor:"6,keyasint,omitempty" json:"args,omitempty"`
}

// A RunBill is what an invoice, or a session that was settled, says of the devices that a contract is about. Of a correction it says the
// difference: what was billed before stands among the parts with its sign turned.
type RunBill struct {
	Number   string    `cbor:"1,keyasint,omitempty" json:"number,omitempty"`
	Corrects string    `cbor:"2,keyasint,omitempty" json:"corrects,omitempty"`
	Seller   PartyID   `cbor:"3,keyasint" json:"seller"`
	Buyer    PartyID   `cbor:"4,keyasint" json:"buyer"`
	From     TimeMS    `cbor:"5,keyasint" json:"from_ms"`
	To       TimeMS    `cbor:"6,keyasint" json:"to_ms"`
	Parts    []RunPart `cbor:"7,keyasint" json:"parts"`
}

// A RunPart is what one device delivered under one agreement or in one session.
type RunPart struct {
	Device    DeviceID `cbor:"1,keyasint" json:"device"`
	Agreement string   `cbor:"2,keyasint,omitempty" json:"agreement,omitempty"`
	Session   string   `cbor:"3,keyasint,omitempty" json:"session,omitempty"`
	Earns     PartyID  `cbor:"4,keyasint" json:"earns"`                    // the account that it is booked to
	Pays      PartyID  `cbor:"5,keyasint" json:"pays"`                     // and from
	Net       Micro    `cbor:"6,keyasint" json:"net"`                      // before tax
	Used      Micro    `cbor:"7,keyasint" json:"used"`                     // millionths of what the tariff's prices are per, such as kWh; digits beyond are cut
	Back      bool     `cbor:"8,keyasint,omitempty" json:"back,omitempty"` // it takes back what an earlier bill said
}

// A RunReading is a register's value that the ledger keeps, looked up by itself.
type RunReading struct {
	Device   DeviceID `cbor:"1,keyasint" json:"device"`
	Register string   `cbor:"2,keyasint" json:"register"`
	Time     TimeMS   `cbor:"3,keyasint" json:"time_ms"`
	Value    Micro    `cbor:"4,keyasint" json:"value"`    // millionths of the register's unit; digits beyond are cut
	Measured bool     `cbor:"5,keyasint" json:"measured"` // neither estimated nor entered by hand
}

// A Payment moves money from one party to another. It is more than nothing.
type Payment struct {
	From   PartyID `cbor:"1,keyasint" json:"from"`
	To     PartyID `cbor:"2,keyasint" json:"to"`
	Amount Micro   `cbor:"3,keyasint" json:"amount"`
}

// A RunCost is what a run used.
type RunCost struct {
	Steps int64 `cbor:"1,keyasint" json:"steps"`
	Bytes int64 `cbor:"2,keyasint" json:"bytes"` // of all values that were made, gone or not
}

// A RunReason says in a number why a run failed. The numbers are part of the format: words are not what replicas agree on. Package contract
// names them.
type RunReason uint8

var reasonNames = [...]string{"", "over_steps", "over_bytes", "bad_value", "failed", "bad_state", "bad_source", "not_bound", "over_limit", "no_funds", "block_full"}

// String returns the reason's name.
func (r RunReason) String() string {
	if int(r) < len(reasonNames) {
		return reasonNames[r]
	}
	return fmt.Sprintf("reason_%d", uint8(r))
}

// MarshalText writes the reason's name.
func (r RunReason) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// A RunFailure is why a program was refused, or a run came to nothing.
type RunFailure struct {
	Reason RunReason `cbor:"1,keyasint" json:"reason"`
	Line   int32     `cbor:"2,keyasint,omitempty" json:"line,omitempty"` // of the source
	Said   string    `cbor:"3,keyasint,omitempty" json:"said,omitempty"` // what it called fail with
	Detail string    `cbor:"-" json:"-"`                                 // for people
}

// Error is "line 12: over_steps: …".
func (f *RunFailure) Error() string {
	s := f.Reason.String()
	if f.Line > 0 {
		s = fmt.Sprintf("line %d: %s", f.Line, s)
	}
	for _, more := range [...]string{f.Said, f.Detail} {
		if more != "" {
			s += ": " + more
		}
	}
	return s
}
