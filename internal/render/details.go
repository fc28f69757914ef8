package render

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/outlook"
	"github.com/lamppost/lamppost/internal/sepa"
	"golang.org/x/text/language"
)

// MaxDetailsBytes bounds a file of details.
const MaxDetailsBytes = 16 << 20

// Details are what an operator knows of the parties beyond the log, by their ids: postal addresses, tax numbers, the language
// they read. None of it is hashed or proven; a bill shows it and a tax office may demand it.
type Details map[string]PartyDetails

// PartyDetails are those of one party. All of it is optional.
type PartyDetails struct {
	Lang         string `json:"lang,omitempty"`   // BCP 47: what the party reads
	Street       string `json:"street,omitempty"` // with the number
	Postcode     string `json:"postcode,omitempty"`
	City         string `json:"city,omitempty"`
	Country      string `json:"country,omitempty"`      // ISO 3166-1, two letters
	VAT          string `json:"vat,omitempty"`          // VAT identifier, with the country's letters
	TaxNumber    string `json:"tax_number,omitempty"`   // of the local tax office
	Registration string `json:"registration,omitempty"` // in the register of companies
	Email        string `json:"email,omitempty"`
	Phone        string `json:"phone,omitempty"`
	IBAN         string `json:"iban,omitempty"` // where a seller is paid, and where a buyer pays from
	BIC          string `json:"bic,omitempty"`
	DueDays      int    `json:"due_days,omitempty"` // of a seller: days from the invoice's date until it is to be paid

	// Of a seller who collects by direct debit: its creditor identifier. Of a buyer: the mandates, by seller.
	CreditorID string                       `json:"creditor_id,omitempty"`
	Mandates   map[lamppost.PartyID]Mandate `json:"mandates,omitempty"`
	// Budgets are what a buyer means to spend at most in a month, with tax, by currency.
	Budgets outlook.Budgets `json:"budgets,omitempty"`
	// Clearing is, of a seller, the party whose account takes the other side of payments; empty: the seller itself.
	Clearing lamppost.PartyID `json:"clearing,omitempty"`
}

// A Mandate is a buyer's leave to a seller to collect what is due.
type Mandate struct {
	ID       string `json:"id"`
	Signed   string `json:"signed"`             // the day, as 2026-01-02
	Sequence string `json:"sequence,omitempty"` // FRST, RCUR, OOFF or FNAL; empty: RCUR
}

// ReadDetails reads a file of details.
func ReadDetails(path string) (Details, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("details of parties: %w", err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, MaxDetailsBytes+1))
	if err != nil {
		return nil, fmt.Errorf("details of parties: %w", err)
	}
	d, err := ParseDetails(raw)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", path, err)
	}
	return d, nil
}

// ParseDetails reads a file of details: a JSON object of parties by their ids. Unknown fields are errors.
func ParseDetails(raw []byte) (Details, error) {
	if len(raw) > MaxDetailsBytes {
		return nil, fmt.Errorf("details of parties: %d bytes are over the limit of %d", len(raw), MaxDetailsBytes)
	}
	var d Details
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		return nil, fmt.Errorf("details of parties: %v", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("details of parties: something follows the object")
	}
	for id, p := range d {
		if err := errors.Join(lamppost.CheckName("party", id), p.check()); err != nil {
			return nil, fmt.Errorf("details of party %q: %v", id, err)
		}
	}
	return d, nil
}

func (p *PartyDetails) check() error {
	if p.Country != "" {
		if r, err := language.ParseRegion(p.Country); err != nil || !r.IsCountry() || r.String() != p.Country {
			return fmt.Errorf("country %q: not a code of ISO 3166-1 in two capital letters", p.Country)
		}
	}
	if p.Lang != "" {
		if _, err := newLocale(p.Lang); err != nil {
			return err
		}
	}
	if p.DueDays < 0 || p.DueDays > 365 {
		return fmt.Errorf("due_days %d is not between 0 and 365", p.DueDays)
	}
	if strings.ContainsFunc(p.VAT+p.IBAN+p.BIC, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errors.New("vat, iban and bic are written without spaces")
	}
	return errors.Join(p.Budgets.Check(), p.checkBank())
}

// checkBank refuses what no bank would take. Mandates are looked at when they are used.
func (p *PartyDetails) checkBank() (err error) {
	if p.IBAN != "" {
		err = sepa.CheckIBAN(p.IBAN)
	}
	if p.BIC != "" {
		err = errors.Join(err, sepa.CheckBIC(p.BIC))
	}
	if p.CreditorID != "" {
		err = errors.Join(err, sepa.CheckCreditorID(p.CreditorID))
	}
	return err
}

// lines is the postal address as it is written on an envelope.
func (p *PartyDetails) lines() (all []string) {
	for _, s := range []string{p.Street, strings.TrimSpace(p.Postcode + " " + p.City), p.Country} {
		if s != "" {
			all = append(all, s)
		}
	}
	return all
}
