package ocmf

import (
	"crypto/ecdsa"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"math/big"
	"strings"
)

// A PublicKey is a meter's public key. Many goroutines may use it.
type PublicKey struct {
	curve *curve
	point []byte           // 4 ‖ x ‖ y
	nist  *ecdsa.PublicKey // where the standard library has the curve
	x, y  *big.Int         // else
}

// Curve returns the format's name of the key's curve (table 23), such as "secp256r1".
func (k *PublicKey) Curve() string { return k.curve.name }

// subjectPublicKeyInfo is RFC 5480 §2 with a named curve.
type subjectPublicKeyInfo struct {
	Algorithm struct {
		ID    asn1.ObjectIdentifier
		Curve asn1.ObjectIdentifier
	}
	Key asn1.BitString
}

var ecPublicKey = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}

// DER returns the key as a SubjectPublicKeyInfo, which [ParsePublicKey] reads: the one form of a key that says its curve.
func (k *PublicKey) DER() []byte {
	info := subjectPublicKeyInfo{Key: asn1.BitString{Bytes: k.point, BitLength: 8 * len(k.point)}}
	info.Algorithm.ID, info.Algorithm.Curve = ecPublicKey, k.curve.oid
	b, err := asn1.Marshal(info)
	if err != nil {
		panic("ocmf: writing a public key: " + err.Error())
	}
	return b
}

// ParsePublicKey reads a DER SubjectPublicKeyInfo with a named curve and an uncompressed point. Errors are [*Refusal]s of
// RuleKey, RuleAlgorithm or RuleLimit.
func ParsePublicKey(der []byte) (*PublicKey, error) {
	if len(der) > MaxKeyBytes {
		return nil, refuse(RuleLimit, "a public key of %d bytes is over the limit of %d", len(der), MaxKeyBytes)
	}
	var info subjectPublicKeyInfo
	if rest, err := asn1.Unmarshal(der, &info); err != nil || len(rest) > 0 || !info.Algorithm.ID.Equal(ecPublicKey) {
		return nil, refuse(RuleKey, "it is not the DER SubjectPublicKeyInfo of a named elliptic curve")
	}
	for _, c := range curves {
		if c.oid.Equal(info.Algorithm.Curve) {
			return c.key(info.Key.RightAlign())
		}
	}
	return nil, refuse(RuleAlgorithm, "curve %v is not supported", info.Algorithm.Curve)
}

// ParsePoint reads the uncompressed point of a curve, 4 ‖ x ‖ y or x ‖ y, which does not say itself on which curve it is.
func ParsePoint(curve string, point []byte) (*PublicKey, error) {
	for _, c := range curves {
		if c.name == curve {
			return c.key(point)
		}
	}
	return nil, refuse(RuleAlgorithm, "curve %q is not supported", clip(curve))
}

// ParsePublicKeyText reads what manufacturers print: [ParsePublicKey] in hex or base64; or the name of a curve, a colon, and
// [ParsePoint] in hex or base64, such as "secp256r1:04…". Space is passed over.
func ParsePublicKeyText(text string) (*PublicKey, error) {
	if len(text) > 4*MaxKeyBytes {
		return nil, refuse(RuleLimit, "a public key of %d letters is over the limit of %d", len(text), 4*MaxKeyBytes)
	}
	text = strings.Join(strings.Fields(text), "")
	curve, point, named := strings.Cut(text, ":")
	if named {
		text = point
	}
	raw, err := hex.DecodeString(text)
	if err != nil {
		raw, err = base64.StdEncoding.DecodeString(text)
	}
	switch {
	case err != nil:
		return nil, refuse(RuleKey, "it is neither hex nor base64")
	case named:
		return ParsePoint(curve, raw)
	}
	return ParsePublicKey(raw)
}

// key checks that a point is one of the curve's. Its order is the curve's, because all of them have cofactor 1.
func (c *curve) key(point []byte) (*PublicKey, error) {
	size := (c.p.BitLen() + 7) / 8
	if len(point) == 2*size {
		point = append([]byte{4}, point...)
	}
	if len(point) != 1+2*size || point[0] != 4 {
		return nil, refuse(RuleKey, "a point of %s is 04, x and y of %d bytes each", c.name, size)
	}
	k := &PublicKey{curve: c, point: point}
	if c.nist != nil {
		var err error
		if k.nist, err = ecdsa.ParseUncompressedPublicKey(c.nist, point); err != nil {
			return nil, refuse(RuleKey, "the point is not on %s", c.name)
		}
		return k, nil
	}
	k.x, k.y = new(big.Int).SetBytes(point[1:1+size]), new(big.Int).SetBytes(point[1+size:])
	if !c.has(k.x, k.y) {
		return nil, refuse(RuleKey, "the point is not on %s", c.name)
	}
	return k, nil
}
