package lamppost

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/lamppost/lamppost/sig"
)

// A Purpose separates what keys sign: with the network's id it is the external_aad of every signature (RFC 9052 §4.4),
// so that nothing signed for one network or one purpose means anything elsewhere.
type Purpose string

// Purposes.
const (
	PurposeReport  Purpose = "report"
	PurposeSegment Purpose = "segment"
	PurposeTx      Purpose = "transaction"
	PurposeCustody Purpose = "custody" // a gateway's receipt for a report it holds

	PurposeVoucher Purpose = "voucher" // a payer promises: Voucher
	PurposeOffer   Purpose = "offer"   // a device's word what it can be used for: OfferBody
	PurposeAccept  Purpose = "accept"  // a device's word that it uses another: AcceptBody

	PurposeLearn Purpose = "learn" // a gateway's word on its update of a shared model: LearnBody

	PurposeLogin Purpose = "login" // a device says to any member who it is: Login

	PurposeDeviceKey  Purpose = "device-key"  // a device's word that another key takes over: KeyChange
	PurposeGatewayKey Purpose = "gateway-key" // a gateway's

	PurposeCharter Purpose = "charter"        // a device's owner says what its guard keeps to: Charter
	PurposeAgreed  Purpose = "charter-agreed" // the second party agrees to that
)

// An envelope is a COSE_Sign1 (RFC 9052 §4.2) or, for HMAC, a COSE_Mac0 (§6.2), with everything in the protected
// header and nothing in the unprotected one. All slices alias the input.
type envelope struct {
	suite     sig.Suite
	protected []byte // the encoded protected header
	payload   []byte
	signature []byte // or MAC tag
}

const (
	tagSign1 = 18
	tagMac0  = 17

	headerAlg = 1 // RFC 9052 §3.1
	headerKid = 4
	// headerReport is this project's header label, from the range for private use (RFC 9052 §1.4). One label carries
	// number and clock together because each label costs five bytes.
	headerReport = -65537
)

// decode reads the envelope but not its protected header beyond the first field, the algorithm.
func (e *envelope) decode(w *wire) {
	tag := w.tag()
	w.array(4)
	e.protected = w.bytes()
	w.exactly(w.mapLen(), 0, "fields of the unprotected header")
	e.payload = w.bytes()
	e.signature = w.bytes()
	if w.err == nil && tag != tagSign1 && tag != tagMac0 {
		w.fail(fmt.Errorf("tag %d is neither COSE_Sign1 (18) nor COSE_Mac0 (17)", tag))
	}
	if w.err == nil {
		w.fail(e.decodeSuite(tag))
	}
}

// decodeSuite reads the algorithm, the first field of the protected header, and refuses what no suite implements.
func (e *envelope) decodeSuite(tag uint64) error {
	h := wire{b: e.protected}
	h.mapLen()
	h.constInt(headerAlg)
	alg := h.int()
	switch {
	case h.err != nil:
		return fmt.Errorf("protected header: %w", h.err)
	case tag == tagSign1 && (alg == int64(sig.EdDSA) || alg == int64(sig.ES256)), tag == tagMac0 && alg == int64(sig.HMAC256):
		e.suite = sig.Suite(alg)
		return nil
	default:
		return fmt.Errorf("algorithm %d has no place in an envelope with tag %d", alg, tag)
	}
}

// appendEnvelope writes the envelope around a finished signature.
func appendEnvelope(b []byte, suite sig.Suite, protected, payload, signature []byte) []byte {
	tag := byte(tagSign1)
	if suite == sig.HMAC256 {
		tag = tagMac0
	}
	b = append(b, majTag|tag, majArray|4) // both tags are below 24
	b = append(appendBytes(b, protected), majMap)
	return appendBytes(appendBytes(b, payload), signature)
}

// appendToBeSigned writes the Sig_structure (RFC 9052 §4.4), for HMAC the MAC_structure (§6.3).
func appendToBeSigned(b []byte, suite sig.Suite, protected []byte, network string, p Purpose, payload []byte) []byte {
	context := "Signature1"
	if suite == sig.HMAC256 {
		context = "MAC0"
	}
	b = appendText(append(b, majArray|4), context)
	b = appendBytes(b, protected)
	aad := 1 + headLen(len(network)) + len(network) + headLen(len(p)) + len(p)
	b = append(appendHead(b, majBytes, uint64(aad)), majArray|2)
	b = appendText(appendText(b, network), string(p))
	return appendBytes(b, payload)
}

func headLen(n int) int {
	var b [9]byte
	return len(appendHead(b[:0], majBytes, uint64(n)))
}

// Signed is a body signed by a member or gateway: the form of transactions and of segment headers.
type Signed struct {
	Key     MemberID // who signed
	Payload []byte
	raw     envelope
}

// SignBody signs payload for a purpose in a network; the key id is the signer's member id. The result is a COSE_Sign1.
func SignBody(network string, p Purpose, id MemberID, key *sig.PrivateKey, payload []byte) ([]byte, error) {
	suite := key.Suite()
	if suite == sig.HMAC256 {
		return nil, fmt.Errorf("signing as %q: a %s tag convinces nobody but who could have made it", id, suite)
	}
	protected := appendInt([]byte{majMap | 2, headerAlg}, int64(suite))
	protected = appendBytes(append(protected, headerKid), []byte(id))
	signature, err := key.Sign(appendToBeSigned(nil, suite, protected, network, p, payload))
	if err != nil {
		return nil, fmt.Errorf("signing as %q: %w", id, err)
	}
	return appendEnvelope(nil, suite, protected, payload, signature), nil
}

// ParseSigned reads a COSE_Sign1 made by SignBody, without checking its signature.
func ParseSigned(raw []byte) (Signed, error) {
	var s Signed
	if len(raw) > MaxBodyBytes {
		return s, fmt.Errorf("signed body: %d bytes are over the limit of %d", len(raw), MaxBodyBytes)
	}
	w := wire{b: raw}
	s.raw.decode(&w)
	if s.raw.suite == sig.HMAC256 {
		w.fail(errors.New("members and gateways sign, a MAC is not enough"))
	}
	if err := w.end("signed body"); err != nil {
		return s, err
	}
	h := wire{b: s.raw.protected}
	h.exactly(h.mapLen(), 2, "fields of the protected header")
	h.constInt(headerAlg)
	h.int()
	h.constInt(headerKid)
	s.Key, s.Payload = MemberID(h.bytes()), s.raw.payload
	if err := h.end("signed body: protected header"); err != nil {
		return s, err
	}
	return s, CheckName("key id", string(s.Key))
}

// Verify checks the signature by the one validity rule of package sig.
func (s *Signed) Verify(network string, p Purpose, key *sig.PublicKey) bool {
	return key.Suite() == s.raw.suite && key.Verify(s.toBeSigned(network, p), s.raw.signature)
}

// Item is the signature as [sig.Verifier] takes it, to be checked among others.
func (s *Signed) Item(network string, p Purpose, key *sig.PublicKey) sig.Item {
	if key.Suite() != s.raw.suite {
		return sig.Item{} // nothing verifies
	}
	return sig.Item{Key: key, Msg: s.toBeSigned(network, p), Sig: s.raw.signature}
}

// ID is the SHA-256 of the Sig_structure.
func (s *Signed) ID(network string, p Purpose) Hash { return sha256.Sum256(s.toBeSigned(network, p)) }

func (s *Signed) toBeSigned(network string, p Purpose) []byte {
	b := make([]byte, 0, len(s.raw.protected)+len(network)+len(s.Payload)+64)
	return appendToBeSigned(b, s.raw.suite, s.raw.protected, network, p, s.Payload)
}
