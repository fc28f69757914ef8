// Package sig knows how signatures of devices, gateways and members are made and checked.
//
// It promises one validity rule per suite, the same on every path: a signature that [PublicKey.Verify] accepts alone is
// accepted in any batch and by any number of workers, and one that it refuses is refused everywhere (but for a chance
// below 2^-117 per batch, see batch.go). Replicas must never disagree about a signature, so this package never asks
// crypto/ed25519 whether one is valid: that package decides by another equation.
//
//	suite         key                        signature     valid when
//	EdDSA         32 bytes, RFC 8032         64 bytes      s < l and 8sB = 8R + 8kA, points decoded as in ZIP-215
//	ES256         33 bytes, SEC 1 §2.3.3     r ‖ s, 64     FIPS 186-5 §6.4.2 over SHA-256, and s <= n/2
//	HMAC256       32 secret bytes            32 bytes      equal to HMAC-SHA-256, compared in constant time
//	MLDSA44       –                          –             never: the number is reserved, every operation refuses it
//
// It does not know what is signed: building the bytes to sign (COSE structures, checkpoints) belongs to the formats that
// define them. It does not look keys up or decide who may use them; of ES256 keys that sign often it keeps tables, beside
// the keys and up to a limit, which make checks faster and change no verdict.
//
// Start reading at [PublicKey.Verify], then [Verifier.Verify]. The limits are in limits.go. Verification takes variable
// time, which is fine for public data; signing and the HMAC comparison take constant time.
package sig

import "fmt"

// A Suite names a signature algorithm. Its value is the algorithm's number in the IANA COSE registry (RFC 9053), so it
// can be written to a COSE header as it is. The zero value is no suite.
type Suite int8

// The suites a device, gateway or member can use.
const (
	// EdDSA is pure Ed25519 (RFC 8032), the cheapest to verify.
	EdDSA Suite = -8

	// ES256 is ECDSA on P-256 with SHA-256, which the common secure elements speak. Only low-S signatures are valid.
	ES256 Suite = -7

	// HMAC256 is HMAC-SHA-256 with the full 32-byte tag. Who can check it can also make it: it convinces nobody else.
	HMAC256 Suite = 5

	// MLDSA44 is reserved for ML-DSA-44 (FIPS 204). Its name is known; every operation refuses it.
	MLDSA44 Suite = -48
)

// String returns the name that [ParseSuite] reads.
func (s Suite) String() string {
	switch s {
	case EdDSA:
		return "ed25519"
	case ES256:
		return "es256"
	case HMAC256:
		return "hmac-sha256"
	case MLDSA44:
		return "ml-dsa-44"
	}
	return fmt.Sprintf("suite(%d)", int8(s))
}

// ParseSuite returns the suite of a name such as "ed25519", "es256" or "hmac-sha256". It knows reserved names too.
func ParseSuite(name string) (Suite, error) {
	for _, s := range []Suite{EdDSA, ES256, HMAC256, MLDSA44} {
		if name == s.String() {
			return s, nil
		}
	}
	return 0, fmt.Errorf("parsing suite: unknown name %q", name)
}

// refuse returns why nothing can be done in suite s. It is called for suites that no case of a switch has taken.
func (s Suite) refuse(doing string) error {
	if s == MLDSA44 {
		return fmt.Errorf("%s: suite %q is reserved", doing, s)
	}
	return fmt.Errorf("%s: unknown suite %q", doing, s)
}
