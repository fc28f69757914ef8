// Package audit checks what a network of lampposts says: receipts, reports and statements, offline, with nothing but the
// file and a pin. It trusts no operator, no server and no clock.
//
// It promises that an accepted file is true to the last digit: every word of it is written again from the proof it
// carries, every amount is computed again from signed register values under the agreement and the tariff in the log, and
// all of that hangs on checkpoints signed by a quorum of the members that the reader's [Pin] names. Change one character
// and the file is refused, with the line and the link that broke.
//
// It does not prove that a meter measured right, that a file is the whole story (invoices could be missing; docs/formats.md
// says what else a proof can leave out) or that money changed hands. Without a pin it proves only that a file agrees with itself: anybody can found a network.
//
// Start reading at [Verify] (a file), then [CheckProof] (from readings to members' keys) and in it checkInvoices (from
// registers to amounts). The proof, compressed CBOR inside the JSON, is what counts; the words around it are for people. Input
// may be hostile: nothing here panics on it, and memory is bounded by the limits in limits.go. All functions may be called
// concurrently.
package audit

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/lamppost/lamppost"
)

// A Finding is what a file was found to prove.
type Finding struct {
	Kind    string   `json:"kind"` // "statement/1", …
	Network string   `json:"network"`
	Pinned  bool     `json:"pinned"` // false: it only agrees with itself
	Size    int64    `json:"size"`   // of the log under the checkpoint
	Root    string   `json:"root"`
	Signers []string `json:"signers"` // of the checkpoint
	// Cosigned lists the witnesses' signatures on the checkpoint.
	Cosigned []Cosignature `json:"cosigned,omitempty"`
	Members  []string      `json:"members"` // keys whose signatures counted, as a pin writes them
	Invoices int           `json:"invoices"`
	Lines    int           `json:"lines"`              // of the invoices
	Payments int           `json:"payments,omitempty"` // of contracts
	Readings int           `json:"readings"`           // that these or the report rest on
	// Assurances counts the accepted reports of the proof by how they are vouched for.
	Assurances   map[string]int `json:"assurances,omitempty"`
	Summary      []string       `json:"summary"` // what was proven, in words
	DoesNotProve []string       `json:"does_not_prove"`

	Books     *Books     `json:"-"` // of that kind of file
	Statement *Statement `json:"-"` // of that kind of file: all that it says, and how each line came about

	notes []string // the checkpoints
}

func (f *Finding) add(format string, args ...any) {
	f.Summary = append(f.Summary, printable(fmt.Sprintf(format, args...)))
}

// finding begins with what all kinds have in common.
func (e *Evidence) finding(kind string) *Finding {
	f := &Finding{Kind: kind, Network: e.Network, Pinned: e.Pinned, Size: e.Checkpoint.Size, Root: e.Checkpoint.Root.String(),
		Signers: e.Signers, notes: e.proof.Checkpoints}
	for _, m := range e.Members() {
		f.Members = append(f.Members, VerifierKey(e.Network, m))
	}
	f.add("log of network %s at size %d, root %s", e.Network, e.Checkpoint.Size, e.Checkpoint.Root)
	f.add("signed by %s", strings.Join(e.Signers, ", "))
	e.addCosigned(f)
	return f
}

// Verify checks a file of any kind. The finding of a file that holds says what it proves and whether it was held against
// a pin; without one that is little, see [CheckProof]. The error of one that does not hold names the line and the link.
func Verify(data []byte, pin *Pin) (*Finding, error) { return VerifyRunning(data, pin, nil) }

// VerifyRunning is [Verify], and runs the programs of contracts in the file again. The finding says which of the two it was.
func VerifyRunning(data []byte, pin *Pin, rerun Rerun) (*Finding, error) {
	if len(data) > MaxFileBytes {
		return nil, fmt.Errorf("file: %d bytes are over the limit of %d", len(data), MaxFileBytes)
	}
	var file struct {
		Lamppost string          `json:"lamppost"`
		Party    json.RawMessage `json:"party"`
		Device   json.RawMessage `json:"device"`
		Raw      json.RawMessage `json:"raw"`
		Proof    string          `json:"proof"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, fmt.Errorf("file: not JSON as this program writes it: %v", err)
	}
	switch file.Lamppost {
	case KindStatement, KindBooks, KindReceipt, KindReport:
	case KindFork:
		return verifyFork(data, pin)
	default:
		return nil, fmt.Errorf("file: kind %q is not one of %s, %s, %s, %s, %s", printable(clip(file.Lamppost)), KindStatement, KindBooks, KindReceipt, KindReport, KindFork)
	}
	p, err := readProof(file.Proof)
	if err != nil {
		return nil, err
	}
	switch file.Lamppost {
	case KindStatement:
		return verifyStatement(data, file.Party, p, file.Proof, pin, rerun)
	case KindBooks:
		return verifyBooks(data, file.Device, p, file.Proof, pin)
	case KindReceipt:
		return verifyReceipt(data, p, file.Proof, pin)
	default:
		return verifyReport(data, file.Raw, p, file.Proof, pin)
	}
}

// The proof of a file stands as text beside what is made of it: compressors differ, and what counts is what it holds.

func verifyStatement(data, party []byte, p *lamppost.Proof, text string, pin *Pin, rerun Rerun) (*Finding, error) {
	var named Named
	if err := json.Unmarshal(party, &named); err != nil {
		return nil, errors.New("party: not an id and a name")
	}
	s, err := newStatement(p, pin, lamppost.PartyID(named.ID))
	if err != nil {
		return nil, err
	}
	s.Proof = text
	if err := compareFile(data, compact(s), "statement", s.place); err != nil {
		return nil, err
	}
	if rerun != nil {
		if err := s.evidence.runAgain(rerun); err != nil {
			return nil, err
		}
	}
	return s.finding(), nil
}

func verifyReceipt(data []byte, p *lamppost.Proof, text string, pin *Pin) (*Finding, error) {
	r, err := newReceipt(p, pin)
	if err != nil {
		return nil, err
	}
	r.Proof = text
	if err := compareFile(data, compact(r), "receipt", nil); err != nil {
		return nil, err
	}
	return r.finding(), nil
}

func verifyReport(data, raw []byte, p *lamppost.Proof, text string, pin *Pin) (*Finding, error) {
	var encoded string
	if err := json.Unmarshal(raw, &encoded); err != nil {
		return nil, errors.New("raw: not a report in base64")
	}
	report, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return nil, fmt.Errorf("raw: not a report in base64: %v", err)
	}
	r, err := newBareReport(report, p, pin)
	if err != nil {
		return nil, err
	}
	r.Proof = text
	if err := compareFile(data, compact(r), "report", nil); err != nil {
		return nil, err
	}
	return r.finding(), nil
}

func clip(s string) string {
	if len(s) > 2*lamppost.MaxNameBytes {
		return s[:2*lamppost.MaxNameBytes] + "…"
	}
	return s
}

// compareFile demands that a file is, but for white space, what its proof gives. place puts a difference into words that
// fit the kind of file; it may be nil. What [Faults] takes apart is made here.
func compareFile(got, want []byte, kind string, place func(difference) error) error {
	var bare bytes.Buffer
	if err := json.Compact(&bare, got); err != nil {
		return fmt.Errorf("%s: not JSON: %v", kind, err)
	}
	if bytes.Equal(bare.Bytes(), want) {
		return nil
	}
	found := differences(got, want)
	if len(found) == 0 {
		return fmt.Errorf("%s: a field stands twice, in another order or in another spelling than this program writes", kind)
	}
	all := make(differs, len(found))
	for i, d := range found {
		all[i] = placed{d, fmt.Errorf("%s: %s", kind, d)}
		if place == nil {
			continue
		}
		if err := place(d); err != nil {
			all[i].err = err
		}
	}
	return all
}
