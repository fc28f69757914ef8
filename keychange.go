package lamppost

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/lamppost/lamppost/sig"
)

// A KeyChange says which key takes over, signed with the key that it follows. It travels in the order that makes the new
// key known and shows that whoever holds the old key agreed: the device itself, or a gateway for its own key. The
// purpose, [PurposeDeviceKey] or [PurposeGatewayKey], says which of the two.
type KeyChange struct {
	ID    string    // of the device or gateway
	Epoch uint32    // of the key that signs
	Next  uint32    // epoch of the key that takes over
	Suite sig.Suite // of that key
	Key   []byte    // public, as package sig writes it

	env envelope
}

const keyChangeVersion = 1

// Sign writes the change as a COSE_Sign1 by the key that is followed. Only exported fields are read.
func (c *KeyChange) Sign(network string, p Purpose, key *sig.PrivateKey) ([]byte, error) {
	suite := key.Suite()
	if suite == sig.HMAC256 {
		return nil, fmt.Errorf("changing the key of %q: a %s tag convinces nobody but who could have made it", c.ID, suite)
	}
	protected, payload := c.appendProtected(suite), c.appendPayload()
	signature, err := key.Sign(appendToBeSigned(nil, suite, protected, network, p, payload))
	if err != nil {
		return nil, fmt.Errorf("changing the key of %q: %w", c.ID, err)
	}
	raw := appendEnvelope(nil, suite, protected, payload, signature)
	return raw, new(KeyChange).Decode(raw) // what nobody can read would be found out too late
}

func (c *KeyChange) appendProtected(suite sig.Suite) []byte {
	b := appendInt([]byte{majMap | 2, headerAlg}, int64(suite))
	return appendBytes(append(b, headerKid), appendKid(nil, c.ID, c.Epoch))
}

// appendPayload writes CBOR [1, next epoch, algorithm, key].
func (c *KeyChange) appendPayload() []byte {
	b := appendHead([]byte{majArray | 4, keyChangeVersion}, majUint, uint64(c.Next))
	return appendBytes(appendInt(b, int64(c.Suite)), c.Key)
}

// Decode reads what Sign writes. It checks form and limits, not the signature. The key aliases raw.
func (c *KeyChange) Decode(raw []byte) error {
	*c = KeyChange{}
	w := wire{b: raw}
	w.max(uint64(len(raw)), MaxKeyChangeBytes)
	c.env.decode(&w)
	if w.err == nil && c.env.suite == sig.HMAC256 {
		w.fail(fmt.Errorf("a change of keys is signed, a MAC is not enough"))
	}
	if err := w.end("key change"); err != nil {
		return err
	}
	if err := c.decodeHeader(); err != nil {
		return err
	}
	p := wire{b: c.env.payload}
	p.array(4)
	p.constInt(keyChangeVersion)
	c.Next = p.uint32()
	alg := p.int()
	if c.Suite = sig.Suite(alg); int64(c.Suite) != alg {
		p.fail(fmt.Errorf("there is no algorithm %d", alg))
	}
	c.Key = p.bytes()
	return p.end("key change")
}

func (c *KeyChange) decodeHeader() (err error) {
	h := wire{b: c.env.protected}
	h.exactly(h.mapLen(), 2, "fields of the protected header")
	h.constInt(headerAlg)
	h.int()
	h.constInt(headerKid)
	kid := h.bytes()
	if err := h.end("key change: protected header"); err != nil {
		return err
	}
	c.ID, c.Epoch, err = parseKid(kid)
	return err
}

// Verify checks the signature by the one validity rule of package sig.
func (c *KeyChange) Verify(network string, p Purpose, key *sig.PublicKey) bool {
	return key.Suite() == c.env.suite && key.Verify(appendToBeSigned(nil, c.env.suite, c.env.protected, network, p, c.env.payload), c.env.signature)
}

// Check says why raw is not this very change, signed with a key: nil if it is. It is how an order with a change is judged,
// by the ledger and by auditors.
func (c *KeyChange) Check(raw []byte, network string, p Purpose, key *sig.PublicKey) error {
	var signed KeyChange
	if err := signed.Decode(raw); err != nil {
		return err
	}
	switch {
	case signed.ID != c.ID || signed.Epoch != c.Epoch:
		return fmt.Errorf("the change is signed as key %d of %q, not as key %d of %q", signed.Epoch, signed.ID, c.Epoch, c.ID)
	case signed.Next != c.Next || signed.Suite != c.Suite || !bytes.Equal(signed.Key, c.Key):
		return fmt.Errorf("the change is to another key than the order's")
	case key == nil || !signed.Verify(network, p, key):
		return fmt.Errorf("the change does not match the signature of key %d of %q", c.Epoch, c.ID)
	}
	return nil
}

func appendKid(b []byte, id string, epoch uint32) []byte {
	return strconv.AppendUint(append(append(b, id...), '/'), uint64(epoch), 10)
}
