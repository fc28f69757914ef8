package lamppost

// Bodies of the orders around bills: values entered by hand, corrections, disputes, sessions, and money of two currencies.

// ReadingBody enters a register's value by hand, because none came (estimated: a measured one that comes later counts instead)
// or in place of one that is wrong (substituted). Bills that rest on it say so, and by whose word.
type ReadingBody struct {
	Device   DeviceID `cbor:"1,keyasint" json:"device"`
	Register string   `cbor:"2,keyasint" json:"register"`
	Unit     string   `cbor:"3,keyasint" json:"unit"`
	Time     TimeMS   `cbor:"4,keyasint" json:"time_ms"` // a UTC quarter hour, or any moment where there are sessions
	Value    Decimal  `cbor:"5,keyasint" json:"value"`
	Quality  Quality  `cbor:"6,keyasint" json:"quality"` // Estimated or Substituted
	Reason   string   `cbor:"7,keyasint" json:"reason"`
}

// CorrectBody bills an invoice again, with what is known now. What comes of it replaces the invoice, and claims the difference.
type CorrectBody struct {
	Seller  PartyID `cbor:"1,keyasint" json:"seller"`
	Number  string  `cbor:"2,keyasint" json:"number"` // of the invoice, or of what corrected it last
	Cause   Cause   `cbor:"3,keyasint" json:"cause"`
	Dispute string  `cbor:"4,keyasint,omitempty" json:"dispute,omitempty"` // that is upheld by it
	Reason  string  `cbor:"5,keyasint,omitempty" json:"reason,omitempty"`
}

// A Cause says why a bill is corrected. The numbers are part of the format.
type Cause uint8

// Causes.
const (
	CauseLate        Cause = 1 // a reading came after the bill
	CauseSubstituted Cause = 2 // a reading was replaced
	CauseDispute     Cause = 3 // the buyer was right
	CauseTerms       Cause = 4 // meter, agreement or its dates were registered wrongly or late
)

var causeNames = [...]string{"", "late reading", "substituted reading", "dispute", "terms"}

// String returns the cause's name.
func (c Cause) String() string {
	if int(c) < len(causeNames) {
		return causeNames[c]
	}
	return "unknown"
}

// DisputeBody opens a dispute about an invoice, or ends it. While it is open, the devices' reports of the invoice's period are kept.
type DisputeBody struct {
	ID      string       `cbor:"1,keyasint" json:"id"`
	Invoice string       `cbor:"2,keyasint" json:"invoice"`                  // its number
	Line    uint32       `cbor:"3,keyasint,omitempty" json:"line,omitempty"` // 0: all of it
	State   DisputeState `cbor:"4,keyasint" json:"state"`
	Reason  string       `cbor:"5,keyasint" json:"reason"`
	Until   TimeMS       `cbor:"6,keyasint,omitempty" json:"until_ms,omitempty"` // when the seller must have answered
	Seller  PartyID      `cbor:"7,keyasint" json:"seller"`
}

// A DisputeState says where a dispute stands. The numbers are part of the format.
type DisputeState uint8

// States: a dispute is opened, and ends in one of the others.
const (
	DisputeOpen      DisputeState = 1
	DisputeRejected  DisputeState = 2 // by the seller, with a reason
	DisputeWithdrawn DisputeState = 3 // by the buyer
	DisputeUpheld    DisputeState = 4 // by a correction
)

var disputeNames = [...]string{"", "open", "rejected", "withdrawn", "upheld"}

// String returns the state's name.
func (s DisputeState) String() string {
	if int(s) < len(disputeNames) {
		return disputeNames[s]
	}
	return "unknown"
}

// SessionBody begins one use of a device by a buyer, on terms that stay with it: a version of a tariff, and the most that it may
// come to. So much of the buyer's money is held until it is billed.
type SessionBody struct {
	ID      string  `cbor:"1,keyasint" json:"id"`
	Buyer   PartyID `cbor:"2,keyasint" json:"buyer"`
	Point   string  `cbor:"3,keyasint" json:"point"`
	Tariff  string  `cbor:"4,keyasint" json:"tariff"`
	Version uint32  `cbor:"5,keyasint" json:"version"`
	Limit   Micro   `cbor:"6,keyasint" json:"limit"`    // before tax
	From    TimeMS  `cbor:"7,keyasint" json:"from_ms"`  // no reading before counts
	Until   TimeMS  `cbor:"8,keyasint" json:"until_ms"` // it has ended by then, whether or not anybody said so
}

// SettleBody ends a session with what its readings say, or as nothing where nothing can be billed.
type SettleBody struct {
	Session string `cbor:"1,keyasint" json:"session"`
	Stop    TimeMS `cbor:"2,keyasint" json:"stop_ms"`                  // no reading after counts
	Void    string `cbor:"3,keyasint,omitempty" json:"void,omitempty"` // why nothing is billed
}

// CreditBody changes how far below zero each account of a party may go by transfers and for sessions. What is owed and held already stays,
// also where it is more than the new limit.
type CreditBody struct {
	Party  PartyID `cbor:"1,keyasint" json:"party"`
	Limit  Micro   `cbor:"2,keyasint" json:"limit"` // not below zero
	Reason string  `cbor:"3,keyasint,omitempty" json:"reason,omitempty"`
}

// ConvertBody exchanges a party's claim for one in another currency, at a dated rate that both sides agreed on.
type ConvertBody struct {
	Party    PartyID `cbor:"1,keyasint" json:"party"`
	With     PartyID `cbor:"2,keyasint" json:"with"` // takes From and gives To
	From     string  `cbor:"3,keyasint" json:"from"` // currencies
	To       string  `cbor:"4,keyasint" json:"to"`
	Amount   Micro   `cbor:"5,keyasint" json:"amount"` // of From
	Rate     Decimal `cbor:"6,keyasint" json:"rate"`   // of To for one of From
	RateTime TimeMS  `cbor:"7,keyasint" json:"rate_time_ms"`
	Source   string  `cbor:"8,keyasint" json:"source"` // of the rate, such as "ECB reference rate"
}
