package lamppost

import "github.com/lamppost/lamppost/sig"

// The bodies of transactions: what an operator tells the ledger. Each is deterministic CBOR, a map with small integer
// keys so that fields can be added; docs/formats.md has the tables. Names, addresses and other free text live only in
// bodies, which can be erased; the log holds salted digests.

// A TxType says what a transaction does; the numbers are part of the format.
type TxType uint8

// Transaction types. 0 is the block leaf's type in the log and never a transaction.
const (
	TxBlock     TxType = 0
	TxGenesis   TxType = 1 // GenesisBody: the first transaction of a network
	TxSegment   TxType = 2 // a gateway's segment of reports
	TxParty     TxType = 3 // PartyBody
	TxDevice    TxType = 4 // DeviceBody: enrols a device
	TxPoint     TxType = 5 // PointBody: a metering point
	TxTariff    TxType = 6 // tariff.Tariff
	TxAgreement TxType = 7 // AgreementBody
	TxInvoice   TxType = 8 // InvoiceBody; its outcome holds the tariff.Invoice
	TxTransfer  TxType = 9 // TransferBody
)

var txTypeNames = [...]string{"block", "genesis", "segment", "party", "device", "point", "tariff", "agreement", "invoice", "transfer"}

// String returns the type's name in messages and the API.
func (t TxType) String() string {
	if int(t) < len(txTypeNames) {
		return txTypeNames[t]
	}
	return "unknown"
}

// GenesisBody founds a network: its id, its rules and the members who order and sign. Height 1, index 0.
type GenesisBody struct {
	Network string   `cbor:"1,keyasint" json:"network"`
	Rules   uint32   `cbor:"2,keyasint" json:"rules"` // version of the rules of the ledger
	Members []Member `cbor:"3,keyasint" json:"members"`
}

// A Member is an organisation's seat: its key signs transactions, segments and, as a signed note's key, checkpoints.
type Member struct {
	ID  MemberID `cbor:"1,keyasint" json:"id"`
	Key []byte   `cbor:"2,keyasint" json:"key"` // Ed25519, 32 bytes
}

// PartyBody registers a person or an organisation.
type PartyBody struct {
	ID   PartyID `cbor:"1,keyasint" json:"id"`
	Name string  `cbor:"2,keyasint" json:"name"`
	// CreditLimit is how far below zero each account of the party may go by transfers. Invoices are claims and always post.
	CreditLimit Micro `cbor:"3,keyasint,omitempty" json:"credit_limit"`
}

// DeviceBody enrols a device: whose it is, with which key it signs, how much harm stopping it could do.
type DeviceBody struct {
	ID       DeviceID    `cbor:"1,keyasint" json:"id"`
	Owner    PartyID     `cbor:"2,keyasint" json:"owner"`
	Suite    sig.Suite   `cbor:"3,keyasint" json:"suite"` // COSE algorithm number, see package sig
	Key      []byte      `cbor:"4,keyasint" json:"key"`   // as package sig writes it
	KeyEpoch uint32      `cbor:"5,keyasint" json:"key_epoch"`
	Name     string      `cbor:"6,keyasint,omitempty" json:"name,omitempty"`
	Site     string      `cbor:"7,keyasint,omitempty" json:"site,omitempty"`
	Safety   SafetyClass `cbor:"8,keyasint" json:"safety"`
	// Salt hides the ids kept for the sequence rule: 16 random bytes.
	Salt []byte `cbor:"9,keyasint" json:"-"`
}

// A SafetyClass says what the guard must never let a contract or a bill do to a device (architecture.md §7).
type SafetyClass uint8

// Safety classes; the zero value is the careful one.
const (
	Essential SafetyClass = iota // degrades only after notice and grace, never offline
	Life                         // never refuses service
	Public                       // never falls under its minimum level
	Ordinary                     // may stop
)

var safetyNames = [...]string{"essential", "life", "public", "ordinary"}

// String returns the class's name.
func (c SafetyClass) String() string {
	if int(c) < len(safetyNames) {
		return safetyNames[c]
	}
	return "essential"
}

// PointBody opens a metering point: the place where use is measured, whichever meter hangs there.
type PointBody struct {
	ID       string   `cbor:"1,keyasint" json:"id"`
	Device   DeviceID `cbor:"2,keyasint" json:"device"`
	Register string   `cbor:"3,keyasint" json:"register"` // the reading's name
	Unit     string   `cbor:"4,keyasint" json:"unit"`     // SenML unit of the register, e.g. "Wh"
	Place    string   `cbor:"5,keyasint,omitempty" json:"place,omitempty"`
}

// AgreementBody binds a buyer to a seller's tariff at a metering point for [From, To); To 0 means until further notice.
type AgreementBody struct {
	ID     string  `cbor:"1,keyasint" json:"id"`
	Seller PartyID `cbor:"2,keyasint" json:"seller"`
	Buyer  PartyID `cbor:"3,keyasint" json:"buyer"`
	Point  string  `cbor:"4,keyasint" json:"point"`
	Tariff string  `cbor:"5,keyasint" json:"tariff"`
	From   TimeMS  `cbor:"6,keyasint" json:"from_ms"`
	To     TimeMS  `cbor:"7,keyasint,omitempty" json:"to_ms,omitempty"`
}

// InvoiceBody asks for the invoice of everything one seller supplied to one buyer in [From, To), in one currency.
type InvoiceBody struct {
	Seller   PartyID `cbor:"1,keyasint" json:"seller"`
	Buyer    PartyID `cbor:"2,keyasint" json:"buyer"`
	Currency string  `cbor:"3,keyasint" json:"currency"`
	From     TimeMS  `cbor:"4,keyasint" json:"from_ms"`
	To       TimeMS  `cbor:"5,keyasint" json:"to_ms"`
}

// TransferBody moves a claim between two accounts: a payment that a bank or provider reported.
type TransferBody struct {
	From     PartyID `cbor:"1,keyasint" json:"from"`
	To       PartyID `cbor:"2,keyasint" json:"to"`
	Currency string  `cbor:"3,keyasint" json:"currency"`
	Amount   Micro   `cbor:"4,keyasint" json:"amount"`
	Memo     string  `cbor:"5,keyasint,omitempty" json:"memo,omitempty"`
}
