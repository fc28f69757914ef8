package lamppost

// Bodies of the orders around contracts: programs that say what becomes of money once a bill is made (package contract).

// ContractBody puts a program on the ledger for its parties, or a new version of it. Version 1 says who is bound, in what and for which
// devices, which stays; source, terms and end are those of the latest.
type ContractBody struct {
	ID       string          `cbor:"1,keyasint" json:"id"`
	Version  uint32          `cbor:"2,keyasint" json:"version"` // from 1, without gaps
	Source   string          `cbor:"3,keyasint" json:"source"`
	Currency string          `cbor:"4,keyasint" json:"currency"`
	Parties  []ContractParty `cbor:"5,keyasint" json:"parties"`                     // by id
	Devices  []DeviceID      `cbor:"6,keyasint,omitempty" json:"devices,omitempty"` // whose bills it hears of, by id
	To       TimeMS          `cbor:"7,keyasint,omitempty" json:"to_ms,omitempty"`   // 0: until further notice
	Terms    []Arg           `cbor:"8,keyasint,omitempty" json:"terms,omitempty"`   // what the program sees as terms, by name
}

// Binds reports whether a party is bound.
func (b *ContractBody) Binds(p PartyID) bool {
	for i := range b.Parties {
		if b.Parties[i].Party == p {
			return true
		}
	}
	return false
}

// A ContractParty is bound by a contract. Beyond what a bill brings a party, the contract takes no more of it than Limit in all.
type ContractParty struct {
	Party PartyID `cbor:"1,keyasint" json:"party"`
	Limit Micro   `cbor:"2,keyasint,omitempty" json:"limit,omitempty"`
}

// An Arg is a value that has a name: a text, or a number where there is none.
type Arg struct {
	Name   string `cbor:"1,keyasint" json:"name"`
	Text   string `cbor:"2,keyasint,omitempty" json:"text,omitempty"`
	Number int64  `cbor:"3,keyasint,omitempty" json:"number,omitempty"`
}

// CallBody tells a contract of an event that comes from no bill, or has a run repeated that failed.
type CallBody struct {
	Contract string       `cbor:"1,keyasint" json:"contract"`
	Event    string       `cbor:"2,keyasint,omitempty" json:"event,omitempty"` // the function
	Args     []Arg        `cbor:"3,keyasint,omitempty" json:"args,omitempty"`  // by name
	Readings []ReadingRef `cbor:"4,keyasint,omitempty" json:"readings,omitempty"`
	Height   Height       `cbor:"5,keyasint,omitempty" json:"height,omitempty"` // in place of an event: where a failed run stands
	Index    uint32       `cbor:"6,keyasint,omitempty" json:"index,omitempty"`
}

// A ReadingRef names a register's value that the ledger keeps: of a UTC quarter hour, or of a moment where there are sessions.
type ReadingRef struct {
	Device   DeviceID `cbor:"1,keyasint" json:"device"`
	Register string   `cbor:"2,keyasint" json:"register"`
	Time     TimeMS   `cbor:"3,keyasint" json:"time_ms"`
}
