package api

import (
	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/tariff"
)

// The shapes of requests and answers. Their field names are an API: docs/api.md lists every one, and a test compares.

// An Error is the body of every answer that is not a success.
type Error struct {
	Code string `json:"code"` // a lamppost code's name, or not_found, unauthorized, bad_request, internal
	Text string `json:"text"` // what happened, and what to do
}

// Status answers /api/status.
type Status struct {
	Network string            `json:"network"`
	Member  lamppost.MemberID `json:"member"`
	Engine  consensus.Status  `json:"engine"`
	Log     LogHead           `json:"log"`
	Broker  *Broker           `json:"broker"` // null: this node has joined none
	Copies  Copies            `json:"copies"`
	Totals  Totals            `json:"totals"`
	Verify  Verification      `json:"verify"`
	Triage  *TriageState      `json:"triage"` // null: readings are not judged
	Now     lamppost.TimeMS   `json:"now_ms"`
	Speed   float64           `json:"speed"`
	Version string            `json:"version"`

	Certificate lamppost.TimeMS `json:"certificate_ends_ms"` // of the doors; 0: they have none

	Witnesses []WitnessState `json:"witnesses"`      // as configured
	Quorum    int            `json:"witness_quorum"` // how many of them are enough; 0: there are none
	Conflict  *Conflict      `json:"conflict"`
	Members   []MemberState  `json:"members"`  // the others, as this one sees them
	Evidence  []Evidence     `json:"evidence"` // that members lied, oldest first
	Alarms    int            `json:"alarms"`   // verdicts of triage that wait for an answer
}

// An Evidence is something that proves that a member lied. What proves it stands in a file of the folder "evidence", in a block, or both.
type Evidence struct {
	Member lamppost.MemberID `json:"member"`
	Kind   string            `json:"kind"`     // double_vote, false_chain or other_log
	Found  lamppost.TimeMS   `json:"found_ms"` // in a block: its time
	Height lamppost.Height   `json:"height"`   // of the block that says so; 0: two checkpoints do
	Size   int64             `json:"size"`     // entries of the log under these
	Text   string            `json:"text"`
	File   string            `json:"file"` // in the folder "evidence"
}

// A MemberState is how another member does. A member tells its own at GET /api/member.
type MemberState struct {
	ID     lamppost.MemberID `json:"id"`
	Role   string            `json:"role"`
	Height lamppost.Height   `json:"height"`
	Size   int64             `json:"size"` // of its published log
	// Certificate is when the certificate of its doors ends; 0: they have none
	Certificate lamppost.TimeMS `json:"certificate_ends_ms"`
	URL         string          `json:"url"`     // where it was asked; empty: the ledger has no address
	Seen        lamppost.TimeMS `json:"seen_ms"` // when it answered last; 0: not since the start
	Error       string          `json:"error"`   // why it did not answer when it was asked last
}

// A Broker is how the node stands with the MQTT broker that it has joined.
type Broker struct {
	Address      string          `json:"address"`
	Connected    bool            `json:"connected"`
	Since        lamppost.TimeMS `json:"since_ms"` // of being connected, or of not being
	Error        string          `json:"error"`    // why it is not
	Received     uint64          `json:"received"`
	Redelivered  uint64          `json:"redelivered"`
	Acknowledged uint64          `json:"acknowledged"`
	Refused      uint64          `json:"refused"`
}

// A Verification says who checks devices' signatures, and what came of this node's samples since it started.
type Verification struct {
	Policy  string `json:"policy"` // full or gateway
	Sampled uint64 `json:"sampled"`
	Skipped uint64 `json:"skipped"` // drawn, and not looked at because too many were
	Hits    uint64 `json:"hits"`
}

// A TriageState says how far readings are judged, and what came of it since the node started.
type TriageState struct {
	Height    lamppost.Height   `json:"height"`     // all blocks up to it are judged
	Lag       lamppost.Height   `json:"lag"`        // blocks that are not
	Said      lamppost.Height   `json:"said"`       // up to it what was found stands in the ledger
	Waiting   int               `json:"waiting"`    // verdicts that are to be ordered
	Readings  uint64            `json:"readings"`   // judged by detectors
	Rows      uint64            `json:"rows"`       // of several quantities that were judged together
	Registers uint64            `json:"registers"`  // judged for plausibility
	Late      uint64            `json:"late"`       // judged: came after younger ones of their series
	Passed    uint64            `json:"passed"`     // not judged: faulty, ahead, of another unit, or late with nothing to hold them against
	NotJudged uint64            `json:"not_judged"` // for want of memory, or of a device with too many names
	Series    int               `json:"series"`     // that have a detector
	Vectors   int               `json:"vectors"`    // of several quantities
	Bytes     int64             `json:"bytes"`      // of memory that they take
	Verdicts  map[string]uint64 `json:"verdicts"`   // by kind
	Error     string            `json:"error"`      // why nothing is judged any more
}

// A LogHead is the latest published checkpoint; its fields are zero before the first.
type LogHead struct {
	Size       int64           `json:"size"`
	Root       string          `json:"root"`
	Checkpoint string          `json:"checkpoint"` // signed note
	Published  lamppost.TimeMS `json:"published_ms"`
	Archive    string          `json:"archive"`       // where older tiles are read; empty: they are all here
	Cosigned   int64           `json:"cosigned_size"` // of the latest checkpoint that enough witnesses cosigned
}

// Totals count since the block of Since; devices and Billed are always those of the whole ledger.
type Totals struct {
	Devices       int                       `json:"devices"`
	DevicesOnline int                       `json:"devices_online"`
	Reports       uint64                    `json:"reports"`
	Readings      uint64                    `json:"readings"`
	KWh           string                    `json:"kwh"`
	Billed        map[string]lamppost.Micro `json:"billed"`  // by currency
	Refused       map[string]uint64         `json:"refused"` // by code
	Since         lamppost.TimeMS           `json:"since_ms"`
}

// DeviceList answers /api/devices.
type DeviceList struct {
	Devices []Device        `json:"devices"`
	Pending []PendingDevice `json:"pending"`
}

// A Device is an enrolled device with its twin.
type Device struct {
	ID          lamppost.DeviceID         `json:"id"`
	Name        string                    `json:"name"`
	Site        string                    `json:"site"`
	Owner       lamppost.PartyID          `json:"owner"`
	Safety      string                    `json:"safety"`
	Suite       string                    `json:"suite"`
	Assurance   string                    `json:"assurance"`
	MeterKey    []byte                    `json:"meter_key,omitempty"` // of a meter that signs by itself
	Last        lamppost.TimeMS           `json:"last_ms"`             // when its last report came; 0: none yet
	Online      bool                      `json:"online"`
	Quarantined string                    `json:"quarantined"` // why; empty: it is not
	Balance     map[string]lamppost.Micro `json:"balance"`     // by currency
	Readings    []Reading                 `json:"readings"`
}

// A Reading is the latest of its name.
type Reading struct {
	Name    string          `json:"name"`
	Unit    string          `json:"unit"`
	Value   string          `json:"value"`
	Kind    string          `json:"kind"`
	Quality string          `json:"quality"`
	Time    lamppost.TimeMS `json:"time_ms"`
}

// A PendingDevice was announced and has not enrolled its key yet, or speaks without a key and was not adopted.
type PendingDevice struct {
	ID     lamppost.DeviceID `json:"id"`
	Name   string            `json:"name"`
	Site   string            `json:"site"`
	Owner  lamppost.PartyID  `json:"owner"`
	Safety string            `json:"safety"`
	// Of one that spoke without a key.
	Seen      lamppost.TimeMS `json:"seen_ms"`   // when it last did; 0: it did not
	Topic     string          `json:"topic"`     // where
	Mapping   string          `json:"mapping"`   // that reads it
	Assurance string          `json:"assurance"` // what it can be adopted as, by the way it came
}

// Adoption enrols a device that has no key, in POST /api/devices/{id}/adopt.
type Adoption struct {
	Owner     lamppost.PartyID `json:"owner"`
	Name      string           `json:"name"`
	Site      string           `json:"site"`
	Safety    string           `json:"safety"`
	Assurance string           `json:"assurance"` // channel-authenticated or unsigned; empty: by the way it came
}

// DeviceDetail answers /api/devices/{id}.
type DeviceDetail struct {
	Device
	Seq      Seq                  `json:"seq"`
	Missing  uint64               `json:"missing"`
	Lost     uint64               `json:"lost"`
	KeyEpoch uint32               `json:"key_epoch"`
	Points   []lamppost.PointBody `json:"points"`
	Series   []string             `json:"series"`
	Desired  DesiredState         `json:"desired"`
}

// A Seq is a report's number.
type Seq struct {
	Epoch uint32 `json:"epoch"`
	N     uint64 `json:"n"`
}

// Series answers /api/devices/{id}/series: live, with values for drawing only; or of a period, with all that is left of it.
type Series struct {
	Name    string            `json:"name"`
	Unit    string            `json:"unit"`
	Kind    string            `json:"kind"`
	Times   []lamppost.TimeMS `json:"times_ms"`
	Values  []float64         `json:"values"`
	Errors  []float64         `json:"errors"`  // how far each value may be off
	Classes []string          `json:"classes"` // raw or summary
	Next    lamppost.TimeMS   `json:"next_ms"` // where to go on: there is more; 0: it is all
	Gone    []Gone            `json:"gone"`
}

// Log answers /api/log, newest transaction first.
type Log struct {
	Size         int64      `json:"size"`
	Root         string     `json:"root"`
	Checkpoint   string     `json:"checkpoint"`
	Transactions []LogEntry `json:"transactions"`
}

// A LogEntry is a transaction for people.
type LogEntry struct {
	Height   lamppost.Height   `json:"height"`
	Index    uint32            `json:"index"`
	Leaf     int64             `json:"leaf"`
	Time     lamppost.TimeMS   `json:"time_ms"`
	Type     string            `json:"type"`
	ID       string            `json:"id"`
	Signer   lamppost.MemberID `json:"signer"`
	Reports  int               `json:"reports"`
	Readings int               `json:"readings"`
	Outcome  any               `json:"outcome"` // a code's name; of a segment of several outcomes, how many had which
	Summary  string            `json:"summary"`
}

// LogProof answers /api/log/proof: a leaf and its path to the root under a checkpoint (RFC 6962 §2.1.1).
type LogProof struct {
	Leaf       string   `json:"leaf"` // hex
	LeafHash   string   `json:"leaf_hash"`
	LeafIndex  int64    `json:"leaf_index"`
	Size       int64    `json:"size"`
	Root       string   `json:"root"`
	Path       []string `json:"path"`
	Checkpoint string   `json:"checkpoint"`
}

// Lists of what the ledger has registered.
type (
	PartyList struct {
		Parties []lamppost.PartyBody `json:"parties"`
	}
	PointList struct {
		Points []lamppost.PointBody `json:"points"`
	}
	TariffList struct {
		Tariffs []tariff.Tariff `json:"tariffs"`
	}
	AgreementList struct {
		Agreements []lamppost.AgreementBody `json:"agreements"`
	}
	AccountList struct {
		Height   lamppost.Height  `json:"height"`
		Accounts []ledger.Account `json:"accounts"`
	}
	InvoiceList struct {
		Invoices []InvoiceEntry `json:"invoices"`
	}
)

// An InvoiceEntry is an invoice in a list.
type InvoiceEntry struct {
	Number   string           `json:"number"`
	Seller   lamppost.PartyID `json:"seller"`
	Buyer    lamppost.PartyID `json:"buyer"`
	Currency string           `json:"currency"`
	From     lamppost.TimeMS  `json:"from_ms"`
	To       lamppost.TimeMS  `json:"to_ms"`
	Issued   lamppost.TimeMS  `json:"issued_ms"`
	Net      lamppost.Micro   `json:"net"`
	Total    lamppost.Micro   `json:"total"`
	Due      lamppost.Micro   `json:"due"`         // Total, less that of the invoice it replaces
	Corrects string           `json:"corrects"`    // the number of that one
	Replaced string           `json:"replaced_by"` // the number of the one that replaces this one
	Height   lamppost.Height  `json:"height"`
	Index    uint32           `json:"index"`
}

// An Invoice answers /api/invoices/{number}: the invoice, its parties' names and where it stands.
type Invoice struct {
	tariff.Invoice
	SellerName string          `json:"seller_name"`
	BuyerName  string          `json:"buyer_name"`
	Due        lamppost.Micro  `json:"due"`         // Total, less that of the invoice it replaces
	Replaced   string          `json:"replaced_by"` // the number of the one that replaces this one
	Height     lamppost.Height `json:"height"`
	Index      uint32          `json:"index"`
	// FoundSince are verdicts that hold back what it bills, or what was found wrong, and came after it: a correction resolves them.
	FoundSince []lamppost.VerdictID `json:"found_since,omitempty"`
}

// Done answers an order that was committed and accepted, with what it made.
type Done struct {
	Height  lamppost.Height `json:"height"`
	Index   uint32          `json:"index"`
	Outcome string          `json:"outcome"`
	Invoice *tariff.Invoice `json:"invoice,omitempty"`
	Lines   []tariff.Line   `json:"lines,omitempty"`  // of a session
	Period  *Period         `json:"period,omitempty"` // of a payout

	Correction *lamppost.Correction `json:"correction,omitempty"`
	Cashed     []lamppost.Cashed    `json:"cashed,omitempty"`
	Run        *ContractRun         `json:"run,omitempty"`

	// Of a change of the network: how many members have ordered it, and how many must.
	Have int `json:"have,omitempty"`
	Need int `json:"need,omitempty"`
}

// NewDevice announces a device, in POST /api/devices.
type NewDevice struct {
	ID     lamppost.DeviceID `json:"id"`
	Owner  lamppost.PartyID  `json:"owner"`
	Name   string            `json:"name"`
	Site   string            `json:"site"`
	Safety string            `json:"safety"` // life, public, essential or ordinary; empty: essential
	// MeterKey is the public key of a meter that signs by itself, as [ocmf.ParsePublicKeyText] reads it; mostly empty.
	MeterKey string `json:"meter_key,omitempty"`
}

// NewToken may be sent with POST /api/devices/{id}/token.
type NewToken struct {
	MeterKey string `json:"meter_key,omitempty"` // of another meter; empty: as before
}

// A DeviceToken answers POST /api/devices and /api/devices/{id}/token. The token is shown this once.
type DeviceToken struct {
	ID    lamppost.DeviceID `json:"id"`
	Token string            `json:"token"`
	MQTT  string            `json:"mqtt"` // where the device connects
	HTTP  string            `json:"http"`
}

// A Block is a "block" event: what was committed since the one before, in one or several blocks.
type Block struct {
	Height       lamppost.Height `json:"height"`
	Time         lamppost.TimeMS `json:"time_ms"`
	Transactions int             `json:"transactions"`
	Reports      uint64          `json:"reports"`
	Readings     uint64          `json:"readings"`
}
