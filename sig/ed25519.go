package sig

import (
	"bytes"
	"crypto/sha512"
	"errors"
	"fmt"

	"github.com/oasisprotocol/curve25519-voi/curve"
	"github.com/oasisprotocol/curve25519-voi/curve/scalar"
)

// A claim is an Ed25519 signature taken apart: that 8sB = 8R + 8kA. Single checks and batches decide the same claims, so
// what is refused before the equation (lengths, s, undecodable R) is refused alike by both.
type claim struct {
	A *curve.EdwardsPoint
	R curve.EdwardsPoint
	s scalar.Scalar
	k scalar.Scalar // SHA-512(R ‖ A ‖ msg) mod l, over the bytes as they were sent

	// For batches and half-aggregates: a 128-bit z and the products it goes into.
	z, zs, zk scalar.Scalar

	group int32 // its key's number in the Verifier's table
	at    int   // where the verdict belongs
}

// read takes sig apart. It reports false if no equation can make sig valid.
func (c *claim) read(key *PublicKey, msg, sig []byte) bool {
	if len(sig) != signatureSize || !scalar.ScMinimalVartime(sig[32:]) { // RFC 8032 §5.1.7: s < l
		return false
	}
	if _, err := c.s.SetBits(sig[32:]); err != nil {
		return false
	}
	return c.readR(key, msg, sig[:32])
}

// readR fills in all but s. It reports false if r is no point.
func (c *claim) readR(key *PublicKey, msg, r []byte) bool {
	// SetCompressedY decodes as ZIP-215 says: y may be p or more, and x = 0 may carry a sign.
	if _, err := c.R.SetCompressedY((*curve.CompressedEdwardsY)(r)); err != nil {
		return false
	}
	h := sha512.New()
	h.Write(r)
	h.Write(key.raw)
	h.Write(msg)
	var sum [sha512.Size]byte
	h.Sum(sum[:0])
	if _, err := c.k.SetBytesModOrderWide(sum[:]); err != nil {
		return false
	}
	c.A = key.point
	return true
}

// weigh sets z to 16 bytes, little-endian, and zk. It leaves zs, which half-aggregates have no s for.
func (c *claim) weigh(z []byte) {
	var wide [scalar.ScalarSize]byte
	copy(wide[:], z)
	if _, err := c.z.SetBits(wide[:]); err != nil {
		panic(fmt.Sprintf("sig: 128-bit scalar refused: %v", err))
	}
	c.zk.Mul(&c.z, &c.k)
}

// holds checks the claim's own equation.
func (c *claim) holds() bool {
	var minusK scalar.Scalar
	minusK.Neg(&c.k)
	// d·(sB - kA - R) for some d invertible modulo l: multiplied by 8 it is zero if and only if the claim holds.
	var rest curve.EdwardsPoint
	return rest.TripleScalarMulBasepointVartime(&minusK, c.A, &c.s, &c.R).IsSmallOrder()
}

func verifyEd25519(k *PublicKey, msg, sig []byte) bool {
	var c claim
	return c.read(k, msg, sig) && c.holds()
}

// decodeEd25519 decodes a key as ZIP-215 does, which is all that the validity rule asks. Enrolment asks more: checkOrder.
func decodeEd25519(raw []byte) (*PublicKey, error) {
	if len(raw) != ed25519KeySize {
		return nil, fmt.Errorf("parsing ed25519 public key: %d bytes, want %d", len(raw), ed25519KeySize)
	}
	k := &PublicKey{suite: EdDSA, raw: bytes.Clone(raw), point: new(curve.EdwardsPoint)}
	if _, err := k.point.SetCompressedY((*curve.CompressedEdwardsY)(raw)); err != nil {
		return nil, fmt.Errorf("parsing ed25519 public key %x: not a point", raw)
	}
	return k, nil
}

// checkOrder is the enrolment rule: one canonical encoding of a point of order l.
func (k *PublicKey) checkOrder() error {
	var canonical curve.CompressedEdwardsY
	canonical.SetEdwardsPoint(k.point)
	var why error
	switch {
	case !bytes.Equal(canonical[:], k.raw):
		why = errors.New("encoding is not canonical")
	case k.point.IsSmallOrder():
		why = errors.New("point has small order")
	case !k.point.IsTorsionFree():
		why = errors.New("point has torsion")
	default:
		return nil
	}
	return fmt.Errorf("parsing ed25519 public key %x: %w", k.raw, why)
}
