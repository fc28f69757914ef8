package sig

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
)

// es256HalfOrder is (n-1)/2 of P-256, big-endian. (r, s) and (r, n-s) are valid for the same messages; taking only the
// one with s <= n/2 leaves a report one signature, so nobody on the way can change its bytes and keep it valid.
const es256HalfOrder = "\x7f\xff\xff\xff\x80\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff" +
	"\xde\x73\x7d\x56\xd3\x8b\xcf\x42\x79\xdc\xe5\x61\x7e\x31\x92\xa8"

func verifyES256(key *ecdsa.PublicKey, msg, sig []byte) bool {
	if len(sig) != signatureSize || string(sig[32:]) > es256HalfOrder {
		return false
	}
	var r, s big.Int
	r.SetBytes(sig[:32])
	s.SetBytes(sig[32:])
	digest := sha256.Sum256(msg)
	return ecdsa.Verify(key, digest[:], &r, &s) // refuses r = 0, s = 0 and r >= n
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
	full, err := uncompress(raw)
	if err != nil {
		return nil, fmt.Errorf("parsing es256 public key %x: %w", raw, err)
	}
	ec, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), full)
	if err != nil {
		return nil, fmt.Errorf("parsing es256 public key %x: %w", raw, err)
	}
	short := append([]byte{2 | full[64]&1}, full[1:33]...) // SEC 1 §2.3.3: the tag is 2 plus the parity of y
	return &PublicKey{suite: ES256, raw: short, ec: ec}, nil
}

// uncompress returns the 65-byte form of raw, which is not yet checked if it had that form already.
func uncompress(raw []byte) ([]byte, error) {
	switch len(raw) {
	case 65:
		return raw, nil
	case 33:
		x, y := elliptic.UnmarshalCompressed(elliptic.P256(), raw)
		if x == nil {
			return nil, errors.New("not a compressed point")
		}
		full := make([]byte, 65)
		full[0] = 4
		x.FillBytes(full[1:33])
		y.FillBytes(full[33:])
		return full, nil
	}
	return nil, fmt.Errorf("%d bytes, want 33 or 65", len(raw))
}
