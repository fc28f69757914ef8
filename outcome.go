package lamppost

import (
	"fmt"
)

// A Code says what became of a report or a transaction. Codes are part of the format and of the API: the numbers are
// logged, the names stand in replies and metrics.
type Code uint8

// Codes.
const (
	CodeOK           Code = 0  // committed
	CodeDuplicate    Code = 1  // the same report again: acknowledged as before
	CodeBadReport    Code = 2  // not a report in canonical form
	CodeTooLarge     Code = 3  // over a limit of limits.go
	CodeBadSignature Code = 4  // does not verify against the device's key
	CodeUnknown      Code = 5  // a device, party, point, tariff or agreement nobody registered
	CodeReused       Code = 6  // another report with this number was committed before: evidence
	CodeTooOld       Code = 7  // in no gap and older than the ids kept
	CodeAhead        Code = 8  // a synchronised clock more than a day ahead
	CodeFloatBilled  Code = 9  // a register given as a floating point number
	CodeQuarantined  Code = 10 // the device is quarantined until its operator frees it
	CodeForbidden    Code = 11 // the connection or the signer may not do this
	CodeBadTx        Code = 12 // a transaction body that cannot be read or contradicts itself
	CodeExpired      Code = 13 // the transaction came after its expiry
	CodeExists       Code = 14 // the id is taken
	CodeNoFunds      Code = 15 // the account would fall below its credit limit
	CodeNotReady     Code = 16 // e.g. an invoice before the closing registers are in
	CodeBusy         Code = 17 // try again: the queue is full (never logged)
	CodeBadEvidence  Code = 18 // a meter's record that its key did not sign, or that says something else than the report
)

var codeNames = [...]string{"ok", "duplicate", "bad_report", "too_large", "bad_signature", "unknown", "number_reused",
	"too_old", "clock_ahead", "float_billed", "quarantined", "forbidden", "bad_transaction", "expired", "exists",
	"no_funds", "not_ready", "busy", "bad_evidence"}

// CodeNames lists all codes' names by number.
func CodeNames() []string { return append([]string(nil), codeNames[:]...) }

// String returns the code's name.
func (c Code) String() string {
	if int(c) < len(codeNames) {
		return codeNames[c]
	}
	return fmt.Sprintf("code_%d", uint8(c))
}

// Final reports whether trying the same again cannot help.
func (c Code) Final() bool { return c != CodeBusy && c != CodeNotReady }

// Accepted reports whether the report is committed, now or before.
func (c Code) Accepted() bool { return c <= CodeDuplicate }

// A Refusal is the error of input that will not be taken: a code for programs and words for people.
type Refusal struct {
	Code Code
	Text string
}

// Error returns the text with its code.
func (r *Refusal) Error() string { return r.Code.String() + ": " + r.Text }

// Refuse makes a Refusal.
func Refuse(code Code, format string, args ...any) *Refusal {
	return &Refusal{code, fmt.Sprintf(format, args...)}
}

// An Outcome is what the ledger decided about one report or transaction. Data depends on the code and type: the
// height of the first commit for a duplicate (eight bytes, big-endian), a tariff.Invoice for an invoice. Text says to
// people why something was refused; it is not logged, since words are no part of what replicas agree on.
type Outcome struct {
	Code Code
	Data []byte
	Text string
}

// Append writes the outcome as the log commits to it: CBOR [code, data].
func (o Outcome) Append(b []byte) []byte {
	return appendBytes(appendHead(append(b, majArray|2), majUint, uint64(o.Code)), o.Data)
}

// DecodeOutcome reads what Append writes.
func DecodeOutcome(b []byte) (Outcome, error) {
	w := wire{b: b}
	w.array(2)
	o := Outcome{Code: Code(w.max(w.uint(), 255))}
	o.Data = w.bytes()
	return o, w.end("outcome")
}

// Err returns the refusal an outcome stands for, or nil where it is accepted.
func (o Outcome) Err() error {
	if o.Code.Accepted() {
		return nil
	}
	return &Refusal{o.Code, o.Text}
}
