// Package ocmf knows about records in the Open Charge Metering Format, which charging stations' meters sign: it reads them,
// checks their signatures and their sessions, and says which readings of a report such a record gives. It never writes one.
//
// A record is evidence of others. Its bytes are kept as they came, because the signature is over exactly these; what is
// not understood in them is passed over, what contradicts the format is refused. Start with [Parse], then [Record.Verify];
// [NewSession] puts begin and end together, [Match] compares with a report's readings.
//
// The format: https://github.com/SAFE-eV/OCMF-Open-Charge-Metering-Format, revision 1.2. The package is pure: no clock,
// network, disk or randomness, and everything it computes with is public.
package ocmf

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/lamppost/lamppost"
)

// Limits; what is over them is refused before it is read.
const (
	MaxRecordBytes    = lamppost.MaxMeterRecordBytes // a record with its signature
	MaxRecordReadings = 128                          // its readings
	MaxSessionRecords = 1024                         // records of a session
	MaxKeyBytes       = 256                          // a public key

	maxDepth = 4 // of nested JSON values; the format needs 3
)

// A Record is one record as it was parsed. That it was signed by a meter only [Record.Verify] says.
type Record struct {
	Payload
	Algorithm string // SA, the format's default where the record names none

	signed    string // the payload section: what the signature is over
	signature []byte // DER, from SD
	how       *algorithm
}

// Signed returns the bytes under the signature, as they came.
func (r *Record) Signed() string { return r.signed }

// A Rule names what a record, a key or a session breaks.
type Rule string

// Rules.
const (
	RuleForm      Rule = "form"      // not a record of the format
	RuleLimit     Rule = "limit"     // over a limit of this package
	RuleAlgorithm Rule = "algorithm" // an algorithm, an encoding or a curve that is not supported
	RuleKey       Rule = "key"       // not a public key, or one of another curve than the signature
	RuleSignature Rule = "signature" // the key did not sign the record
	RulePages     Rule = "pages"     // records of a session that do not follow each other by their pagination
	RuleBegin     Rule = "begin"     // a session that does not begin with one B
	RuleEnd       Rule = "end"       // a session that does not end with its one end
	RuleMeter     Rule = "meter"     // the meter or its gateway changed
	RuleRegister  Rule = "register"  // no register, several, or another unit
	RuleTime      Rule = "time"      // times that run backwards, or of which nobody knows how right they are
	RuleValue     Rule = "value"     // a register that falls, or another value than the report's
	RuleStatus    Rule = "status"    // the meter says of itself that the value cannot be billed
)

// A Refusal is the error of this package: the rule that is broken, and words for people.
type Refusal struct {
	Rule Rule
	Text string
}

// Error returns the text with its rule.
func (r *Refusal) Error() string { return "OCMF " + string(r.Rule) + ": " + r.Text }

func refuse(rule Rule, format string, args ...any) *Refusal {
	return &Refusal{rule, fmt.Sprintf(format, args...)}
}

// Parse reads a record: OCMF|payload|signature. Errors are [*Refusal]s of RuleForm, RuleLimit or RuleAlgorithm.
func Parse(record string) (*Record, error) {
	if len(record) > MaxRecordBytes {
		return nil, refuse(RuleLimit, "a record of %d bytes is over the limit of %d", len(record), MaxRecordBytes)
	}
	if !utf8.ValidString(record) {
		return nil, refuse(RuleForm, "a record is UTF-8")
	}
	// The format forbids the bar inside of a section, so there is no second way to cut a record.
	sections := strings.Split(record, "|")
	if len(sections) != 3 || sections[0] != "OCMF" {
		return nil, refuse(RuleForm, "a record is OCMF|payload|signature")
	}
	r := &Record{signed: sections[1]}
	if err := r.Payload.read(sections[1]); err != nil {
		return nil, fmt.Errorf("payload: %w", err)
	}
	if err := r.readSignature(sections[2]); err != nil {
		return nil, fmt.Errorf("signature: %w", err)
	}
	return r, nil
}

// clip shortens what stands in a message.
func clip(s string) string {
	const most = 40
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
