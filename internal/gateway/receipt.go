package gateway

import (
	"fmt"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/sig"
)

// A Receipt is a gateway's word that it holds a report durably and will hand it on. It proves nothing about the ledger:
// whoever has one and finds no report there can hold the gateway to it. As bytes it is a COSE_Sign1 by [lamppost.SignBody]
// with purpose "custody" over CBOR [1, report id, received ms, segment epoch, segment number].
type Receipt struct {
	_        struct{} `cbor:",toarray"`
	Version  uint8
	Report   lamppost.ReportID
	Received lamppost.TimeMS
	Epoch    uint32 // the segment's number: (Epoch, N)
	N        uint64
}

const receiptVersion = 1

// sign makes the bytes of a receipt.
func (r Receipt) sign(network string, id lamppost.MemberID, key *sig.PrivateKey) ([]byte, error) {
	r.Version = receiptVersion
	return lamppost.SignBody(network, lamppost.PurposeCustody, id, key, lamppost.Marshal(r))
}

// OpenReceipt reads a receipt and checks that the gateway with this key signed it for this network.
func OpenReceipt(raw []byte, network string, key *sig.PublicKey) (r Receipt, by lamppost.MemberID, err error) {
	s, err := lamppost.ParseSigned(raw)
	if err != nil {
		return r, "", fmt.Errorf("reading a custody receipt: %w", err)
	}
	if !s.Verify(network, lamppost.PurposeCustody, key) {
		return r, s.Key, fmt.Errorf("custody receipt: gateway %q did not sign this for network %q with this key", s.Key, network)
	}
	if err := lamppost.Unmarshal(s.Payload, &r); err != nil || r.Version != receiptVersion {
		return r, s.Key, fmt.Errorf("custody receipt: not version %d (%v)", receiptVersion, err)
	}
	return r, s.Key, nil
}
