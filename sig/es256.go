package sig

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/asn1"
	"fmt"
	"math/big"
)

// es256HalfOrder is (n-1)/2 of P-256, big-endian. (r, s) and (r, n-s) are valid for the same messages; taking only the
// one with s <= n/2 leaves a report one signature, so nobody on the way can change its bytes and keep it valid.
const es256HalfOrder = "\x7f\xff\xff\xff\x80\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff" +
	"\xde\x73\x7d\x56\xd3\x8b\xcf\x42\x79\xdc\xe5\x61\x7e\x31\x92\xa8"

func verifyES256(key *p256Key, msg, sig []byte) bool {
	digest := sha256.Sum256(msg)
	return verifyECDSA(key, &digest, sig)
}

// signES256 makes the deterministic signature of RFC 6979, brought to low S.
func signES256(key *ecdsa.PrivateKey, msg []byte) ([]byte, error) {
	digest := sha256.Sum256(msg)
	der, err := key.Sign(nil, digest[:], crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("signing with es256: %w", err)
	}
	var parts struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &parts); err != nil {
		return nil, fmt.Errorf("signing with es256: reading %x: %w", der, err)
	}
	out := make([]byte, signatureSize)
	parts.R.FillBytes(out[:32])
	parts.S.FillBytes(out[32:])
	if string(out[32:]) > es256HalfOrder {
		parts.S.Sub(elliptic.P256().Params().N, parts.S).FillBytes(out[32:])
	}
	return out, nil
}

// newES256 makes a private key of the scalar d. It refuses 0 and anything from n on.
func newES256(d []byte) (*ecdsa.PrivateKey, error) {
	return ecdsa.ParseRawPrivateKey(elliptic.P256(), d)
}

// decodeES256 reads a compressed or uncompressed SEC 1 point; hybrid forms and infinity are refused.
func decodeES256(raw []byte) (*PublicKey, error) {
	if len(raw) != 33 && len(raw) != 65 {
		return nil, fmt.Errorf("parsing es256 public key %x: %d bytes, want 33 or 65", raw, len(raw))
	}
	k := new(p256Key)
	if _, err := k.point.SetBytes(raw); err != nil {
		return nil, fmt.Errorf("parsing es256 public key %x: %w", raw, err)
	}
	return &PublicKey{suite: ES256, raw: k.point.BytesCompressed(), p256: k}, nil
}
