package sig

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"io"

	"github.com/oasisprotocol/curve25519-voi/curve"
)

// A PublicKey checks signatures. It is immutable and safe for concurrent use, and it holds its point decompressed, so
// keep it rather than parsing it again for every signature: an ES256 key that is kept becomes twice as fast to check with.
//
// An HMAC key is a PublicKey only in the sense that it checks: its bytes are the secret itself.
type PublicKey struct {
	suite Suite
	raw   []byte

	// EdDSA only. The plain point (160 bytes) and not a table of its multiples (1.4 KB more): a table makes a single check
	// about 6% faster and the equation of a batch of 16 to 90 about 15%, but from 128 on nothing, and the keys of a large
	// fleet would no longer fit a processor's cache.
	point *curve.EdwardsPoint

	p256 *p256Key // ES256 only
}

// ParsePublicKey reads a key as it is enrolled. It copies raw.
//
// Ed25519 keys must be canonically encoded, of large order and free of torsion. Under a key of small order one signature
// fits every message, and under one with torsion a cofactorless verifier elsewhere would refuse some of what is valid
// here. P-256 keys may be compressed (33 bytes) or uncompressed (65).
func ParsePublicKey(suite Suite, raw []byte) (*PublicKey, error) {
	switch suite {
	case EdDSA:
		k, err := decodeEd25519(raw)
		if err == nil {
			err = k.checkOrder()
		}
		if err != nil {
			return nil, err
		}
		return k, nil
	case ES256:
		return decodeES256(raw)
	case HMAC256:
		if len(raw) != hmacKeySize {
			return nil, fmt.Errorf("parsing %s key: %d bytes, want %d", suite, len(raw), hmacKeySize)
		}
		return &PublicKey{suite: HMAC256, raw: bytes.Clone(raw)}, nil
	}
	return nil, suite.refuse("parsing public key")
}

// Verify reports whether sig is a valid signature of msg under k, by the rule of k's suite (see the package comment).
func (k *PublicKey) Verify(msg, sig []byte) bool {
	switch k.suite {
	case EdDSA:
		return verifyEd25519(k, msg, sig)
	case ES256:
		return verifyES256(k.p256, msg, sig)
	case HMAC256:
		return verifyHMAC(k.raw, msg, sig)
	}
	return false
}

// Suite returns the suite k belongs to.
func (k *PublicKey) Suite() Suite { return k.suite }

// Bytes returns a copy of k's canonical encoding: for ES256 always the compressed one, for HMAC256 the secret.
func (k *PublicKey) Bytes() []byte { return bytes.Clone(k.raw) }

// Equal reports whether k and other are the same key of the same suite, in constant time.
func (k *PublicKey) Equal(other *PublicKey) bool {
	return k.suite == other.suite && subtle.ConstantTimeCompare(k.raw, other.raw) == 1
}

// String returns suite and key for people, and never a secret.
func (k *PublicKey) String() string {
	if k.suite == HMAC256 {
		return "hmac-sha256:(secret)"
	}
	return fmt.Sprintf("%s:%x", k.suite, k.raw)
}

// GoString returns what String does, so that %#v shows no secret either.
func (k *PublicKey) GoString() string { return k.String() }

// A PrivateKey makes signatures. It is immutable and safe for concurrent use.
type PrivateKey struct {
	suite  Suite
	seed   [SeedSize]byte
	ed     ed25519.PrivateKey // EdDSA only
	ec     *ecdsa.PrivateKey  // ES256 only
	public *PublicKey
}

// GenerateKey draws a new key of the suite from random, or from the system's generator if random is nil. The same bytes
// from random give the same key.
func GenerateKey(suite Suite, random io.Reader) (*PrivateKey, error) {
	if random == nil {
		random = rand.Reader
	}
	var err error
	for range maxKeyDraws {
		var seed [SeedSize]byte
		if _, err = io.ReadFull(random, seed[:]); err != nil {
			return nil, fmt.Errorf("generating %s key: reading randomness: %w", suite, err)
		}
		var k *PrivateKey
		if k, err = NewPrivateKey(suite, seed[:]); err == nil {
			return k, nil
		}
		if suite != ES256 {
			break // only a P-256 scalar can be out of range
		}
	}
	return nil, fmt.Errorf("generating key: %w", err)
}

// NewPrivateKey returns the key of a 32-byte seed: RFC 8032's private key for EdDSA, the big-endian scalar d with
// 0 < d < n for ES256, the shared secret for HMAC256. It copies seed.
func NewPrivateKey(suite Suite, seed []byte) (*PrivateKey, error) {
	switch suite {
	case EdDSA, ES256, HMAC256:
	default:
		return nil, suite.refuse("making private key")
	}
	if len(seed) != SeedSize {
		return nil, fmt.Errorf("making %s private key: seed of %d bytes, want %d", suite, len(seed), SeedSize)
	}
	k := &PrivateKey{suite: suite, seed: [SeedSize]byte(seed)}
	raw, err := k.derive()
	if err != nil {
		return nil, fmt.Errorf("making %s private key: %w", suite, err)
	}
	k.public, err = ParsePublicKey(suite, raw)
	if err != nil {
		return nil, fmt.Errorf("making %s private key: %w", suite, err)
	}
	return k, nil
}

// derive fills in the suite's own form of k and returns the encoding of its public key.
func (k *PrivateKey) derive() (raw []byte, err error) {
	switch k.suite {
	case EdDSA:
		k.ed = ed25519.NewKeyFromSeed(k.seed[:])
		return k.ed[ed25519.SeedSize:], nil
	case ES256:
		k.ec, err = newES256(k.seed[:])
		if err != nil {
			return nil, err
		}
		return k.ec.PublicKey.Bytes()
	default: // HMAC256, by NewPrivateKey
		return k.seed[:], nil
	}
}

// Sign signs msg itself, not a digest of it. The same key and message give the same signature in every suite, so a
// device needs no randomness after its enrolment.
func (k *PrivateKey) Sign(msg []byte) ([]byte, error) {
	switch k.suite {
	case EdDSA:
		return ed25519.Sign(k.ed, msg), nil
	case ES256:
		return signES256(k.ec, msg)
	case HMAC256:
		return signHMAC(k.seed[:], msg), nil
	}
	return nil, k.suite.refuse("signing")
}

// Public returns the key that checks k's signatures.
func (k *PrivateKey) Public() *PublicKey { return k.public }

// Suite returns the suite k belongs to.
func (k *PrivateKey) Suite() Suite { return k.suite }

// Seed returns a copy of the secret that k can be made from again.
func (k *PrivateKey) Seed() []byte { return bytes.Clone(k.seed[:]) }

// String names the suite and never shows the secret.
func (k *PrivateKey) String() string { return k.suite.String() + ":(private)" }

// GoString returns what String does, so that %#v shows no secret either.
func (k *PrivateKey) GoString() string { return k.String() }
