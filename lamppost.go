// Package lamppost is the protocol: what a device signs, what a gateway packs, what the ledger orders and what a
// receipt proves. It knows bytes and hashes, no network, disk or clock.
//
// Start reading at [Report] (what a machine signs), then [Segment] (many reports checked by one gateway),
// [Transaction] (what goes to consensus), [Leaf] (what the log keeps) and [Proof] (what a customer takes home).
// docs/formats.md has the byte tables, testdata/vectors the examples for other implementations.
//
// Every decoder here takes hostile bytes: it never panics, refuses anything that is not in the one canonical form
// (deterministic CBOR, RFC 8949 §4.2.1), and never allocates more than a small multiple of its input. Limits are in
// limits.go.
package lamppost

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// A Hash is a SHA-256 digest.
type Hash [sha256.Size]byte

// String returns the digest in lower-case hexadecimal.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText writes the form of String.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads it.
func (h *Hash) UnmarshalText(text []byte) (err error) {
	*h, err = ParseHash(string(text))
	return err
}

// IsZero reports whether no digest was set.
func (h Hash) IsZero() bool { return h == Hash{} }

// ParseHash reads the form that String writes.
func ParseHash(s string) (Hash, error) {
	var h Hash
	raw, err := hex.DecodeString(s)
	if err != nil || len(raw) != len(h) {
		return h, fmt.Errorf("%q is not a SHA-256 digest in hexadecimal", s)
	}
	copy(h[:], raw)
	return h, nil
}

type (
	// A ReportID is the SHA-256 of a report's Sig_structure: it names what was signed, not how it was encoded.
	ReportID = Hash
	// A TxID is the SHA-256 of a transaction's Sig_structure. A retry has the same id and counts once.
	TxID = Hash

	// A DeviceID names a device within a network; see [CheckName] for its form.
	DeviceID string
	// A PartyID names anyone with accounts: a person, an organisation or a device.
	PartyID string
	// A MemberID names an organisation's seat in a network, and a gateway inside or outside a node.
	MemberID string

	// Height counts blocks from 1; 0 is "before the first block".
	Height uint64
	// TimeMS is a time in milliseconds since 1970-01-01T00:00Z, without leap seconds.
	TimeMS int64
)

// CheckName refuses ids that are not 1 to 40 characters of A-Z a-z 0-9 . _ - beginning with a letter or a digit. Such
// a name fits an MQTT topic level, an URL path element, a file name and a signed note's key name without escaping.
func CheckName(what, s string) error {
	if len(s) == 0 || len(s) > MaxNameBytes {
		return fmt.Errorf("%s %q: an id has 1 to %d characters", what, clip(s), MaxNameBytes)
	}
	for i := range len(s) {
		if c := s[i]; !isAlnum(c) && (i == 0 || strings.IndexByte("._-", c) < 0) {
			return fmt.Errorf("%s %q: an id has only letters, digits, and after the first also . _ -", what, s)
		}
	}
	return nil
}

func isAlnum(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

func clip(s string) string {
	if len(s) > 2*MaxNameBytes {
		return s[:2*MaxNameBytes] + "…"
	}
	return s
}
