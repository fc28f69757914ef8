package sepa

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

var (
	ibanForm     = regexp.MustCompile(`^[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}$`)
	bicForm      = regexp.MustCompile(`^[A-Z0-9]{4}[A-Z]{2}[A-Z0-9]{2}([A-Z0-9]{3})?$`)
	creditorForm = regexp.MustCompile(`^[A-Z]{2}[0-9]{2}[A-Za-z0-9]{3}[A-Za-z0-9+?/:().,']{1,28}$`)
)

// CheckIBAN refuses what is no IBAN (ISO 13616) by its form and check digits. It is written without spaces.
func CheckIBAN(iban string) error {
	if !ibanForm.MatchString(iban) {
		return fmt.Errorf("iban %q: not two capital letters, two digits and 11 to 30 letters and digits, without spaces", iban)
	}
	if mod97(iban[4:]+iban[:4]) != 1 {
		return fmt.Errorf("iban %q: its check digits are wrong", iban)
	}
	return nil
}

// CheckBIC refuses what is no BIC (ISO 9362) by its form.
func CheckBIC(bic string) error {
	if !bicForm.MatchString(bic) {
		return fmt.Errorf("bic %q: not 8 or 11 capital letters and digits", bic)
	}
	return nil
}

// CheckCreditorID refuses what is no creditor identifier (EPC262-08). The business code, characters 5 to 7, is not part of the check.
func CheckCreditorID(id string) error {
	if !creditorForm.MatchString(id) {
		return fmt.Errorf("creditor_id %q: not of the form DE98ZZZ09999999999", id)
	}
	rest := strings.Map(func(r rune) rune {
		if strings.ContainsRune("+?/:().,'", r) {
			return -1
		}
		return unicode.ToUpper(r)
	}, id[7:])
	if mod97(rest+id[:4]) != 1 {
		return fmt.Errorf("creditor_id %q: its check digits are wrong", id)
	}
	return nil
}

// mod97 is the remainder of ISO 7064 of capital letters and digits, a letter being two digits from 10 on.
func mod97(s string) (rest int) {
	for _, c := range s {
		switch {
		case c >= '0' && c <= '9':
			rest = (rest*10 + int(c-'0')) % 97
		default:
			rest = (rest*100 + int(c-'A') + 10) % 97
		}
	}
	return rest
}

const otherChars = "/-?:().,'+ "

func isLatin(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(otherChars, r)
}

var spelled = strings.NewReplacer("ä", "ae", "ö", "oe", "ü", "ue", "Ä", "Ae", "Ö", "Oe", "Ü", "Ue", "ß", "ss", "ø", "o", "Ø", "O", "æ", "ae", "Æ", "Ae",
	"œ", "oe", "Œ", "Oe", "ł", "l", "Ł", "L", "đ", "d", "Đ", "D", "&", "+", "_", "-", "’", "'", "–", "-", "\"", "'", ";", ",")

// Latin writes a text for people in the characters that every bank of the area takes (EPC217-08): letters lose their accents. What
// has no such form stays, and [Check] refuses it.
func Latin(s string) string {
	plain := norm.NFD.String(spelled.Replace(norm.NFC.String(s)))
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return r
	}, plain)
}

// checkText refuses a text for people that is missing, too long or cannot be written in the characters of the area.
func checkText(what, s string, most int) error {
	s = Latin(s)
	if i := strings.IndexFunc(s, func(r rune) bool { return !isLatin(r) }); i >= 0 {
		return fmt.Errorf("%s %q: banks do not take %q", what, s, []rune(s[i:])[0])
	}
	if strings.TrimSpace(s) == "" || len(s) > most {
		return fmt.Errorf("%s %q: not 1 to %d characters", what, s, most)
	}
	return nil
}

// checkID refuses an id that a bank would refuse or change. Ids are never rewritten: they must come back as they went.
func checkID(what, s string) error {
	if i := strings.IndexFunc(s, func(r rune) bool { return !isLatin(r) || r == ' ' }); i >= 0 {
		return fmt.Errorf("%s %q: banks do not take %q in ids", what, s, []rune(s[i:])[0])
	}
	if s == "" || len(s) > maxID || strings.HasPrefix(s, "/") || strings.HasSuffix(s, "/") || strings.Contains(s, "//") {
		return fmt.Errorf("%s %q: not 1 to %d characters, without a slash at an end or two of them", what, s, maxID)
	}
	return nil
}

func checkDate(what, s string) error {
	if _, err := time.Parse(time.DateOnly, s); err != nil {
		return fmt.Errorf("%s %q: not a date like 2026-11-30", what, s)
	}
	return nil
}

func (p *Party) check() error {
	err := errors.Join(checkText("name", p.Name, maxName), CheckIBAN(p.IBAN))
	if p.BIC != "" {
		err = errors.Join(err, CheckBIC(p.BIC))
	}
	if p.City == "" || p.Country == "" {
		return err // the address is not written
	}
	for _, x := range []struct {
		what, text string
		most       int
	}{{"street", p.Street, maxName}, {"postcode", p.Postcode, maxPostcode}, {"city", p.City, maxCity}} {
		if x.text != "" {
			err = errors.Join(err, checkText(x.what, x.text, x.most))
		}
	}
	return err
}

// Sequences are the types that a direct debit can have: the first of a mandate, recurring, one-off, final.
var Sequences = []string{"FRST", "RCUR", "OOFF", "FNAL"}

// Check refuses a payment that a bank would refuse, with all that is wrong.
func Check(p *Payment, debit bool) error {
	err := errors.Join(checkID("invoice", p.EndToEnd), p.Party.check(), checkText("text", p.Text, maxText), checkDate("date", p.Date))
	if p.Amount <= 0 || p.Amount > maxAmount || p.Amount%10_000 != 0 {
		err = errors.Join(err, fmt.Errorf("amount %s: not from 0.01 to 999999999.99 in whole cents", p.Amount))
	}
	if !debit {
		return err
	}
	if !slices.Contains(Sequences, p.Sequence) {
		err = errors.Join(err, fmt.Errorf("sequence %q: not one of %s", p.Sequence, strings.Join(Sequences, ", ")))
	}
	if err = errors.Join(err, checkID("mandate", p.Mandate), checkDate("mandate's date of signature", p.Signed)); err == nil && p.Signed > p.Date {
		err = fmt.Errorf("mandate %q is signed on %s, after the collection on %s", p.Mandate, p.Signed, p.Date)
	}
	return err
}

// CheckSelf refuses a party that cannot send messages.
func CheckSelf(p *Party, creditorID string, debit bool) error {
	err := p.check()
	if debit {
		err = errors.Join(err, CheckCreditorID(creditorID))
	}
	return err
}

// check refuses a message with a payment that its caller should have left out.
func (m *Message) check(debit bool) error {
	if len(m.Payments) == 0 || len(m.Payments) > maxPayments {
		return fmt.Errorf("a message has 1 to %d payments, not %d", maxPayments, len(m.Payments))
	}
	err := CheckSelf(&m.Self, m.CreditorID, debit)
	for i := range m.Payments {
		err = errors.Join(err, Check(&m.Payments[i], debit))
	}
	return err
}
