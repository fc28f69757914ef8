package ocmf

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"math/big"
)

// DefaultAlgorithm is that of a record which names none (table 22).
const DefaultAlgorithm = "ECDSA-secp256r1-SHA256"

// An algorithm is a curve with the hash that is signed.
type algorithm struct {
	curve  *curve
	sha384 bool
}

// algorithms are those of table 22; the same with SHA-384 for the curves of that size; and the curves of RFC 5639 under the
// names they have there, which meters use too.
var algorithms = map[string]*algorithm{
	"ECDSA-secp192k1-SHA256":       {curve: secp192k1},
	"ECDSA-secp192r1-SHA256":       {curve: secp192r1},
	"ECDSA-secp256k1-SHA256":       {curve: secp256k1},
	"ECDSA-secp256r1-SHA256":       {curve: secp256r1},
	"ECDSA-secp384r1-SHA256":       {curve: secp384r1},
	"ECDSA-secp384r1-SHA384":       {curve: secp384r1, sha384: true},
	"ECDSA-brainpool256r1-SHA256":  {curve: brainpool256r1},
	"ECDSA-brainpoolP256r1-SHA256": {curve: brainpool256r1},
	"ECDSA-brainpool384r1-SHA256":  {curve: brainpool384r1},
	"ECDSA-brainpoolP384r1-SHA256": {curve: brainpool384r1},
	"ECDSA-brainpool384r1-SHA384":  {curve: brainpool384r1, sha384: true},
	"ECDSA-brainpoolP384r1-SHA384": {curve: brainpool384r1, sha384: true},
}

// readSignature reads the signature section (table 8).
func (r *Record) readSignature(text string) error {
	f := readObject(text)
	r.Algorithm = DefaultAlgorithm
	if f.has("SA") {
		r.Algorithm = f.text("SA")
	}
	encoding, mime, data := "hex", "application/x-der", f.must("SD")
	if f.has("SE") {
		encoding = f.text("SE")
	}
	if f.has("SM") {
		mime = f.text("SM")
	}
	if f.err != nil {
		return f.err
	}
	if r.how = algorithms[r.Algorithm]; r.how == nil {
		return refuse(RuleAlgorithm, "SA %q is not supported", clip(r.Algorithm))
	}
	if mime != "application/x-der" {
		return refuse(RuleAlgorithm, "SM %q is not supported", clip(mime))
	}
	var err error
	switch encoding {
	case "hex":
		r.signature, err = hex.DecodeString(data)
	case "base64":
		r.signature, err = base64.StdEncoding.Strict().DecodeString(data)
	default:
		return refuse(RuleAlgorithm, "SE %q is not supported", clip(encoding))
	}
	if err != nil {
		return refuse(RuleForm, "SD is not %s", encoding)
	}
	return nil
}

// Verify checks the record's signature. It accepts both s and n-s, as ECDSA does: who holds a record can turn one into the
// other, which changes nothing that is signed. Errors are [*Refusal]s of RuleKey or RuleSignature.
func (r *Record) Verify(key *PublicKey) error {
	if key.curve != r.how.curve {
		return refuse(RuleKey, "the record is signed on %s, the key is one of %s", r.how.curve.name, key.curve.name)
	}
	rr, s, ok := splitDER(r.signature)
	if !ok {
		return refuse(RuleSignature, "SD is not a DER sequence of two integers")
	}
	if !key.verify(r.digest(), rr, s) {
		return refuse(RuleSignature, "the key did not sign this record")
	}
	return nil
}

func (r *Record) digest() []byte {
	if r.how.sha384 {
		h := sha512.Sum384([]byte(r.signed))
		return h[:]
	}
	h := sha256.Sum256([]byte(r.signed))
	return h[:]
}

func (k *PublicKey) verify(digest []byte, r, s *big.Int) bool {
	if k.nist != nil {
		return ecdsa.Verify(k.nist, digest, r, s)
	}
	return k.curve.verify(k.x, k.y, digest, r, s)
}

// splitDER reads SEQUENCE { INTEGER r, INTEGER s } (RFC 3279 §2.2.3) with nothing after it. Integers are read as unsigned and
// may be padded: there are approved meters that write them in a fixed width, with the highest bit as it falls.
func splitDER(b []byte) (r, s *big.Int, ok bool) {
	body, rest, ok := derValue(b, 0x30)
	if !ok || len(rest) > 0 {
		return nil, nil, false
	}
	first, rest, ok1 := derValue(body, 0x02)
	second, rest, ok2 := derValue(rest, 0x02)
	if !ok1 || !ok2 || len(rest) > 0 || len(first) == 0 || len(second) == 0 {
		return nil, nil, false
	}
	return new(big.Int).SetBytes(first), new(big.Int).SetBytes(second), true
}

// derValue cuts off a value with a tag. The longest signature here, of two 384-bit integers, has 102 bytes of body: one byte
// of length is enough.
func derValue(b []byte, tag byte) (value, rest []byte, ok bool) {
	if len(b) < 2 || b[0] != tag || b[1] > 127 || len(b) < 2+int(b[1]) {
		return nil, nil, false
	}
	return b[2 : 2+b[1]], b[2+b[1]:], true
}
