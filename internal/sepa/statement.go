package sepa

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/lamppost/lamppost"
)

// An Entry is one movement on an account, or one payment of an entry that stands for several.
type Entry struct {
	Account   string // IBAN of the statement's account
	Reference string // by the account and the bank's reference: the same in every statement
	Credit    bool   // money came
	Amount    lamppost.Micro
	Currency  string
	Date      string // when it was booked
	EndToEnd  string
	Text      string // remittance information, the lines one after the other
	Name      string // of the other side
	IBAN      string // of the other side
	Returned  string // why a payment came back
	Problem   string // why it cannot be taken: it is not booked yet, or says too little
}

// namespace is of the one version that is read.
const namespace = "urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"

// Read calls fn for each entry of a camt.053.001.08 statement, in the file's order. It holds one entry at a time. It returns fn's
// error, or what is wrong with the file; entries before that were told.
func Read(r io.Reader, fn func(*Entry) error) error {
	in := &budget{r: r}
	s := &statements{in: in, dec: xml.NewDecoder(in), seen: map[string]int{}, fn: fn}
	in.left = maxEntryBytes
	err := s.read()
	if errors.Is(err, io.EOF) {
		err = errors.New("it ends before its end")
	}
	if err != nil {
		line, _ := s.dec.InputPos()
		return fmt.Errorf("line %d: %w", line, err)
	}
	return nil
}

// A budget is how many bytes may be read until it is filled again.
type budget struct {
	r    io.Reader
	left int
}

// Read implements io.Reader.
func (b *budget) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("an entry of more than %d bytes", maxEntryBytes)
	}
	n, err := b.r.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

type statements struct {
	in      *budget
	dec     *xml.Decoder
	fn      func(*Entry) error
	account string
	seen    map[string]int // how often a reference was there
	entries int
}

func (s *statements) read() error {
	found := false
	for {
		s.in.left = maxEntryBytes
		tok, err := s.dec.Token()
		if errors.Is(err, io.EOF) && found {
			return nil
		}
		if err != nil {
			return err
		}
		start, ok := tok.(xml.StartElement)
		if !ok {
			continue
		}
		if !found {
			if start.Name.Local != "Document" || start.Name.Space != namespace {
				return fmt.Errorf("it begins with %q of %q: not a statement in camt.053.001.08", start.Name.Local, start.Name.Space)
			}
			found = true
			continue
		}
		if err := s.element(&start); err != nil {
			return err
		}
	}
}

// element takes an element of a statement, and skips what is of no use.
func (s *statements) element(start *xml.StartElement) error {
	switch start.Name.Local {
	case "BkToCstmrStmt":
		return nil
	case "Stmt":
		s.account = ""
		return nil
	case "Acct":
		var acct struct {
			IBAN string `xml:"Id>IBAN"`
		}
		err := s.dec.DecodeElement(&acct, start)
		s.account = strings.TrimSpace(acct.IBAN)
		return err
	case "Ntry":
		var n entry
		if err := s.dec.DecodeElement(&n, start); err != nil {
			return err
		}
		return s.entry(&n)
	}
	return s.dec.Skip()
}

// An entry is Ntry, as much as is of use.
type entry struct {
	Ref      string  `xml:"NtryRef"`
	Amount   amount  `xml:"Amt"`
	Side     string  `xml:"CdtDbtInd"`
	Reversal string  `xml:"RvslInd"`
	Status   string  `xml:"Sts>Cd"`
	Date     string  `xml:"BookgDt>Dt"`
	Instant  string  `xml:"BookgDt>DtTm"`
	BankRef  string  `xml:"AcctSvcrRef"`
	Details  []order `xml:"NtryDtls>TxDtls"`
	Info     string  `xml:"AddtlNtryInf"`
}

type order struct {
	BankRef      string   `xml:"Refs>AcctSvcrRef"`
	EndToEnd     string   `xml:"Refs>EndToEndId"`
	Amount       *amount  `xml:"Amt"`
	Debtor       string   `xml:"RltdPties>Dbtr>Pty>Nm"`
	DebtorIBAN   string   `xml:"RltdPties>DbtrAcct>Id>IBAN"`
	Creditor     string   `xml:"RltdPties>Cdtr>Pty>Nm"`
	CreditorIBAN string   `xml:"RltdPties>CdtrAcct>Id>IBAN"`
	Text         []string `xml:"RmtInf>Ustrd"`
	Structured   []string `xml:"RmtInf>Strd>CdtrRefInf>Ref"`
	Return       *struct {
		Code  string `xml:"Rsn>Cd"`
		Other string `xml:"Rsn>Prtry"`
	} `xml:"RtrInf"`
}

// entry tells what an entry is made of.
func (s *statements) entry(n *entry) error {
	if s.entries += max(1, len(n.Details)); s.entries > maxEntries {
		return fmt.Errorf("more than %d entries", maxEntries)
	}
	date := n.Date
	if date == "" && len(n.Instant) >= len("2026-11-30") {
		date = n.Instant[:len("2026-11-30")]
	}
	whole := Entry{Account: s.account, Credit: n.Side == "CRDT", Currency: n.Amount.Currency, Date: date, Text: n.Info}
	var err error
	if whole.Amount, err = lamppost.ParseMicro(strings.TrimSpace(n.Amount.Value)); err != nil || whole.Amount < 0 {
		whole.Amount, whole.Problem = 0, fmt.Sprintf("its amount %.40q is none", n.Amount.Value)
	}
	switch {
	case whole.Problem != "":
	case n.Side != "CRDT" && n.Side != "DBIT":
		whole.Problem = "it says neither that money came nor that it went"
	case n.Status != "BOOK":
		whole.Problem = fmt.Sprintf("it is not booked (%.10q)", n.Status)
	case s.account == "":
		whole.Problem = "its statement names no IBAN"
	case len(n.Details) > 1 && !addsUp(n, whole.Amount):
		whole.Problem = fmt.Sprintf("its %d payments do not add up to it", len(n.Details))
	}
	whole.Reference = s.reference(n, whole.Date)
	if n.Reversal == "true" {
		whole.Returned = "reversal"
	}
	if len(n.Details) == 0 || whole.Problem != "" {
		return s.tell(&whole)
	}
	for i := range n.Details {
		if err := s.detail(whole, n, i); err != nil {
			return err
		}
	}
	return nil
}

// addsUp says whether every payment of an entry has an amount, and these sum up to the entry's.
func addsUp(n *entry, whole lamppost.Micro) bool {
	var sum lamppost.Micro
	for i := range n.Details {
		a := n.Details[i].Amount
		if a == nil || a.Currency != n.Amount.Currency {
			return false
		}
		m, err := lamppost.ParseMicro(strings.TrimSpace(a.Value))
		var ok bool
		if sum, ok = sum.Add(m); err != nil || m < 0 || !ok {
			return false
		}
	}
	return sum == whole
}

// detail tells one payment of an entry.
func (s *statements) detail(e Entry, n *entry, i int) error {
	d := &n.Details[i]
	if len(n.Details) > 1 {
		e.Reference = fmt.Sprintf("%s/%d", e.Reference, i+1)
		e.Amount, _ = lamppost.ParseMicro(strings.TrimSpace(d.Amount.Value)) // addsUp has read it
	}
	if e.EndToEnd = strings.TrimSpace(d.EndToEnd); e.EndToEnd == "NOTPROVIDED" {
		e.EndToEnd = ""
	}
	e.Text = strings.TrimSpace(strings.Join(append(append(d.Structured[:len(d.Structured):len(d.Structured)], d.Text...), e.Text), " "))
	// Who is who stays as it was in a payment that comes back.
	e.Name, e.IBAN = d.Debtor, d.DebtorIBAN
	if e.IBAN == e.Account || e.IBAN == "" && !e.Credit {
		e.Name, e.IBAN = d.Creditor, d.CreditorIBAN
	}
	e.IBAN = strings.TrimSpace(e.IBAN)
	if e.IBAN == e.Account {
		e.Name, e.IBAN = "", ""
	}
	if d.Return != nil {
		e.Returned = strings.TrimSpace(d.Return.Code + d.Return.Other)
		if e.Returned == "" {
			e.Returned = "returned"
		}
	}
	return s.tell(&e)
}

// reference is the bank's, of this account, or made of what the entry says. The second of a file that has the same is another one.
func (s *statements) reference(n *entry, date string) string {
	ref := strings.TrimSpace(n.BankRef)
	if ref == "" && len(n.Details) == 1 {
		ref = strings.TrimSpace(n.Details[0].BankRef)
	}
	if ref == "" {
		sum := sha256.New()
		fmt.Fprintf(sum, "%q %q %q %q %q", n.Ref, date, n.Amount.Value, n.Side, n.Info)
		for i := range n.Details {
			d := &n.Details[i]
			fmt.Fprintf(sum, "%q %q %q %q", d.EndToEnd, d.DebtorIBAN, d.CreditorIBAN, d.Text)
		}
		ref = "x" + hex.EncodeToString(sum.Sum(nil))[:24]
	}
	ref = s.account + "/" + ref
	if s.seen[ref]++; s.seen[ref] > 1 {
		return fmt.Sprintf("%s#%d", ref, s.seen[ref])
	}
	return ref
}

// tell hands on an entry whose texts are short enough.
func (s *statements) tell(e *Entry) error {
	for _, field := range []string{e.Account, e.Reference, e.Currency, e.Date, e.EndToEnd, e.Text, e.Name, e.IBAN, e.Returned} {
		if len(field) > maxFieldBytes {
			return fmt.Errorf("an entry has a text of more than %d bytes", maxFieldBytes)
		}
	}
	return s.fn(e)
}
