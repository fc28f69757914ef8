package voucher

import (
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/lamppost/lamppost"
)

// The bodies and headers of x402 version 1 over HTTP (x402-specification-v1.md, transports-v1/http.md) with the scheme of this package:
// "voucher", whose payload is a voucher and whose network is a Lamppost network.
const (
	X402Version = 1
	Scheme      = "voucher"

	PaymentHeader  = "X-PAYMENT"          // of a request: a Payment
	ResponseHeader = "X-PAYMENT-RESPONSE" // of an answer: a Settlement

	maxHeaderBytes = 4096
)

// NetworkName is what x402 calls a Lamppost network.
func NetworkName(network string) string { return "lamppost:" + network }

// Required is the body of an answer with status 402.
type Required struct {
	X402Version int      `json:"x402Version"`
	Error       string   `json:"error"`
	Accepts     []Accept `json:"accepts"`
}

// An Accept is a way to pay for a resource.
type Accept struct {
	Scheme            string          `json:"scheme"`
	Network           string          `json:"network"`
	MaxAmountRequired string          `json:"maxAmountRequired"` // in 10⁻⁶ of the asset's unit, before tax: by how much a voucher must be higher
	Resource          string          `json:"resource"`
	Description       string          `json:"description"`
	MimeType          string          `json:"mimeType"`
	OutputSchema      json.RawMessage `json:"outputSchema"` // always null
	PayTo             string          `json:"payTo"`        // the channel's payee
	MaxTimeoutSeconds int             `json:"maxTimeoutSeconds"`
	Asset             string          `json:"asset"` // ISO 4217
	Extra             Extra           `json:"extra"`
}

// Extra is what this scheme adds.
type Extra struct {
	Seller lamppost.PartyID `json:"seller"`
	Tariff string           `json:"tariff"` // that the channel must be on
	// Where a voucher of the channel came and was not enough:
	Promise string `json:"promise,omitempty"` // in 10⁻⁶, what the next must promise in all
	Last    []byte `json:"last,omitempty"`    // the highest that the payee has: a wallet that knows of less adopts it
}

// A Payment is what a client sends: PaymentHeader has it as base64 of JSON.
type Payment struct {
	X402Version int     `json:"x402Version"`
	Scheme      string  `json:"scheme"`
	Network     string  `json:"network"`
	Payload     Payload `json:"payload"`
}

// A Payload carries a voucher.
type Payload struct {
	Voucher []byte `json:"voucher"` // base64
}

// A Settlement is what a server says of a payment: ResponseHeader has it as base64 of JSON.
type Settlement struct {
	Success     bool             `json:"success"`
	ErrorReason string           `json:"errorReason,omitempty"` // a code of docs/api.md
	Transaction string           `json:"transaction"`           // the voucher's id; nothing is on the ledger yet
	Network     string           `json:"network"`
	Payer       lamppost.PartyID `json:"payer"`
}

// Header writes a Payment or Settlement as its header has it.
func Header(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("voucher.Header(%T): %v", v, err))
	}
	return base64.StdEncoding.EncodeToString(raw)
}

// NewPayment is a payment by a voucher of a network.
func NewPayment(network string, voucher []byte) Payment {
	return Payment{X402Version, Scheme, NetworkName(network), Payload{voucher}}
}

// ReadPayment reads PaymentHeader and returns the voucher, for a server of a network.
func ReadPayment(network, header string) ([]byte, error) {
	var p Payment
	if err := ReadHeader(header, &p); err != nil {
		return nil, err
	}
	if p.X402Version != X402Version || p.Scheme != Scheme || p.Network != NetworkName(network) {
		return nil, fmt.Errorf("it is x402 version %d, scheme %.40q on network %.60q: wanted are %d, %q and %q", p.X402Version, p.Scheme, p.Network, X402Version, Scheme, NetworkName(network))
	}
	return p.Payload.Voucher, nil
}

// ReadHeader reads what Header writes.
func ReadHeader(header string, v any) error {
	if len(header) > maxHeaderBytes {
		return fmt.Errorf("%d bytes are over the limit of %d", len(header), maxHeaderBytes)
	}
	raw, err := base64.StdEncoding.DecodeString(header)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, v)
}
