package lamppost

import "fmt"

// A Policy says who checks the signatures of a network's devices before a report counts. It is part of the founding.
type Policy uint8

// Policies; the zero value trusts nobody.
const (
	// VerifyFull: every replica checks every signature.
	VerifyFull Policy = iota
	// VerifyGateway: of segments that registered gateways signed, replicas check that signature and the Merkle root, and the
	// devices' signatures by sample. Whoever finds a gateway lying proves it with a fraud transaction: [FraudBody].
	VerifyGateway
)

var policyNames = [...]string{"full", "gateway"}

// String returns the policy's name, as settings and the API have it.
func (p Policy) String() string {
	if int(p) < len(policyNames) {
		return policyNames[p]
	}
	return "unknown"
}

// ParsePolicy reads the form that String writes.
func ParsePolicy(s string) (Policy, error) {
	for i, name := range policyNames {
		if s == name {
			return Policy(i), nil
		}
	}
	return 0, fmt.Errorf("%q is not a policy of verification: full or gateway", clip(s))
}

// FraudBody accuses a gateway of having signed for a report that its device did not sign, in a network whose members trust
// gateways. It carries all that everybody needs to see that for themselves: the segment's header, signed by the gateway,
// and a report with its path to the header's root, whose signature does not verify under the key that it names.
type FraudBody struct {
	Height   Height `cbor:"1,keyasint" json:"height"` // where the segment was committed
	Tx       uint32 `cbor:"2,keyasint" json:"tx"`
	Report   uint32 `cbor:"3,keyasint" json:"report"`
	Header   []byte `cbor:"4,keyasint" json:"header"` // the signed segment header
	Salt     []byte `cbor:"5,keyasint" json:"salt"`
	Received TimeMS `cbor:"6,keyasint" json:"received_ms"`
	Raw      []byte `cbor:"7,keyasint" json:"raw"`  // the report
	Path     []Hash `cbor:"8,keyasint" json:"path"` // from the report to the header's root
}

// Leaf is the hash of the report in its segment.
func (b *FraudBody) Leaf() (Hash, error) {
	if len(b.Salt) != SaltBytes {
		return Hash{}, fmt.Errorf("a salt has %d bytes, not %d", SaltBytes, len(b.Salt))
	}
	it := SegmentItem{Salt: [SaltBytes]byte(b.Salt), Received: b.Received, Report: b.Raw}
	return it.LeafHash(), nil
}

// A Correction is the outcome of an accepted accusation: what was undone. History stays as it is.
type Correction struct {
	Gateway MemberID `cbor:"1,keyasint" json:"gateway"`
	Device  DeviceID `cbor:"2,keyasint" json:"device"`
	Epoch   uint32   `cbor:"3,keyasint" json:"epoch"` // of the number that the report used
	N       uint64   `cbor:"4,keyasint" json:"n"`
	// Taken: the report had been accepted as new, and its number is free again. Otherwise it had changed nothing.
	Taken bool   `cbor:"5,keyasint" json:"taken"`
	Edges uint32 `cbor:"6,keyasint" json:"edges"` // registers at billing edges that were taken back
	// Invoices rest on the report and were issued before: their sellers should correct them.
	Invoices []string `cbor:"7,keyasint,omitempty" json:"invoices,omitempty"`
	// Suspended: the gateway's key ended with this, and its segments are refused until its member registers another.
	Suspended bool `cbor:"8,keyasint" json:"suspended"`
}
