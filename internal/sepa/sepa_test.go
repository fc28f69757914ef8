package sepa_test

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/sepa"
)

var works = sepa.Party{Name: "Stadtwerke Müllheim & Söhne", IBAN: "DE02120300000000202051", BIC: "BYLADEM1001"}

const creditor = "DE98ZZZ09999999999"

func payment(n int, change func(*sepa.Payment)) sepa.Payment {
	p := sepa.Payment{EndToEnd: fmt.Sprintf("works-%06d", n), Amount: lamppost.Micro(n) * 1_230_000, Date: "2026-12-01", Mandate: "M-1", Signed: "2026-01-02", Sequence: "RCUR",
		Text: "Invoice", Party: sepa.Party{Name: "Zoë Łuczak", IBAN: "AT611904300234573201", Street: "Große Gasse 1", Postcode: "1010", City: "Wien", Country: "AT"}}
	if change != nil {
		change(&p)
	}
	return p
}

func message(n int) *sepa.Message {
	m := &sepa.Message{Created: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC), Self: works, CreditorID: creditor}
	for i := range n {
		m.Payments = append(m.Payments, payment(i+1, func(p *sepa.Payment) {
			if i%3 == 2 {
				p.Sequence, p.Party.BIC = "FRST", "BKAUATWW"
			}
		}))
	}
	return m
}

// paths lists the leaves of a document with their texts, in order.
func paths(t *testing.T, doc []byte) (all []string) {
	t.Helper()
	var at []string
	text := ""
	for dec := xml.NewDecoder(strings.NewReader(string(doc))); ; {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		switch x := tok.(type) {
		case xml.StartElement:
			at, text = append(at, x.Name.Local), ""
		case xml.CharData:
			text += string(x)
		case xml.EndElement:
			if s := strings.TrimSpace(text); s != "" {
				all = append(all, strings.Join(at[2:], "/")+" "+s)
			}
			at, text = at[:len(at)-1], ""
		}
	}
}

// A direct debit has the elements of pain.008.001.08 in their order, a group for each sequence type, and sums that are right.
func TestDebits(t *testing.T) {
	t.Parallel()
	m := message(3)
	doc, err := m.Debits()
	if err != nil {
		t.Fatal(err)
	}
	got := strings.ReplaceAll(strings.Join(paths(t, doc), "\n"), m.ID(), "LP")
	want := `GrpHdr/MsgId LP
GrpHdr/CreDtTm 2026-11-25T12:00:00Z
GrpHdr/NbOfTxs 3
GrpHdr/CtrlSum 7.38
GrpHdr/InitgPty/Nm Stadtwerke Muellheim + Soehne
PmtInf/PmtInfId LP-1
PmtInf/PmtMtd DD
PmtInf/NbOfTxs 1
PmtInf/CtrlSum 3.69
PmtInf/PmtTpInf/SvcLvl/Cd SEPA
PmtInf/PmtTpInf/LclInstrm/Cd CORE
PmtInf/PmtTpInf/SeqTp FRST
PmtInf/ReqdColltnDt 2026-12-01
PmtInf/Cdtr/Nm Stadtwerke Muellheim + Soehne
PmtInf/CdtrAcct/Id/IBAN DE02120300000000202051
PmtInf/CdtrAgt/FinInstnId/BICFI BYLADEM1001
PmtInf/ChrgBr SLEV
PmtInf/CdtrSchmeId/Id/PrvtId/Othr/Id DE98ZZZ09999999999
PmtInf/CdtrSchmeId/Id/PrvtId/Othr/SchmeNm/Prtry SEPA
PmtInf/DrctDbtTxInf/PmtId/EndToEndId works-000003
PmtInf/DrctDbtTxInf/InstdAmt 3.69
PmtInf/DrctDbtTxInf/DrctDbtTx/MndtRltdInf/MndtId M-1
PmtInf/DrctDbtTxInf/DrctDbtTx/MndtRltdInf/DtOfSgntr 2026-01-02
PmtInf/DrctDbtTxInf/DbtrAgt/FinInstnId/BICFI BKAUATWW
PmtInf/DrctDbtTxInf/Dbtr/Nm Zoe Luczak
PmtInf/DrctDbtTxInf/Dbtr/PstlAdr/StrtNm Grosse Gasse 1
PmtInf/DrctDbtTxInf/Dbtr/PstlAdr/PstCd 1010
PmtInf/DrctDbtTxInf/Dbtr/PstlAdr/TwnNm Wien
PmtInf/DrctDbtTxInf/Dbtr/PstlAdr/Ctry AT
PmtInf/DrctDbtTxInf/DbtrAcct/Id/IBAN AT611904300234573201
PmtInf/DrctDbtTxInf/RmtInf/Ustrd Invoice
PmtInf/PmtInfId LP-2`
	if !strings.HasPrefix(got, want) || strings.Count(string(doc), "<CstmrDrctDbtInitn>") != 1 {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if !strings.Contains(got, "PmtInf/CtrlSum 3.69\nPmtInf/PmtTpInf/SvcLvl/Cd SEPA\nPmtInf/PmtTpInf/LclInstrm/Cd CORE\nPmtInf/PmtTpInf/SeqTp RCUR") ||
		!strings.Contains(got, "DbtrAgt/FinInstnId/Othr/Id NOTPROVIDED") {
		t.Errorf("the second group is not as it should be:\n%s", got)
	}
}

// A credit transfer has those of pain.001.001.09.
func TestCredits(t *testing.T) {
	t.Parallel()
	m := message(1)
	doc, err := m.Credits()
	if err != nil {
		t.Fatal(err)
	}
	got := strings.ReplaceAll(strings.Join(paths(t, doc), "\n"), m.ID(), "LP")
	want := `GrpHdr/MsgId LP
GrpHdr/CreDtTm 2026-11-25T12:00:00Z
GrpHdr/NbOfTxs 1
GrpHdr/CtrlSum 1.23
GrpHdr/InitgPty/Nm Stadtwerke Muellheim + Soehne
PmtInf/PmtInfId LP-1
PmtInf/PmtMtd TRF
PmtInf/NbOfTxs 1
PmtInf/CtrlSum 1.23
PmtInf/PmtTpInf/SvcLvl/Cd SEPA
PmtInf/ReqdExctnDt/Dt 2026-12-01
PmtInf/Dbtr/Nm Stadtwerke Muellheim + Soehne
PmtInf/DbtrAcct/Id/IBAN DE02120300000000202051
PmtInf/DbtrAgt/FinInstnId/BICFI BYLADEM1001
PmtInf/ChrgBr SLEV
PmtInf/CdtTrfTxInf/PmtId/EndToEndId works-000001
PmtInf/CdtTrfTxInf/Amt/InstdAmt 1.23
PmtInf/CdtTrfTxInf/Cdtr/Nm Zoe Luczak
PmtInf/CdtTrfTxInf/Cdtr/PstlAdr/StrtNm Grosse Gasse 1
PmtInf/CdtTrfTxInf/Cdtr/PstlAdr/PstCd 1010
PmtInf/CdtTrfTxInf/Cdtr/PstlAdr/TwnNm Wien
PmtInf/CdtTrfTxInf/Cdtr/PstlAdr/Ctry AT
PmtInf/CdtTrfTxInf/CdtrAcct/Id/IBAN AT611904300234573201
PmtInf/CdtTrfTxInf/RmtInf/Ustrd Invoice`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// The same payments make the same message, and others another one, so that a bank notices what comes twice.
func TestMessageID(t *testing.T) {
	t.Parallel()
	a, b, c := message(3), message(3), message(3)
	b.Created = b.Created.Add(time.Hour)
	c.Payments[1].Amount += 10_000
	if a.ID() != b.ID() || a.ID() == c.ID() || len(a.ID()) > 33 {
		t.Errorf("ids %s, %s, %s", a.ID(), b.ID(), c.ID())
	}
}

// What a bank would refuse is refused, and says what.
func TestCheck(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*sepa.Payment){
		"":                                 nil,
		"amount 0.00":                      func(p *sepa.Payment) { p.Amount = 0 },
		"amount -1.00":                     func(p *sepa.Payment) { p.Amount = -1_000_000 },
		"amount 0.001":                     func(p *sepa.Payment) { p.Amount = 1000 },
		"amount 1000000000.00":             func(p *sepa.Payment) { p.Amount = 1_000_000_000_000_000 },
		`banks do not take '猫'`:            func(p *sepa.Payment) { p.Party.Name = "猫" },
		`name "": not 1 to 70 characters`:  func(p *sepa.Payment) { p.Party.Name = "" },
		"not 1 to 140 characters":          func(p *sepa.Payment) { p.Text = strings.Repeat("x", 141) },
		`banks do not take '_' in ids`:     func(p *sepa.Payment) { p.EndToEnd = "a_b-000001" },
		"without a slash at an end":        func(p *sepa.Payment) { p.EndToEnd = "/a" },
		`mandate "": not 1 to 35`:          func(p *sepa.Payment) { p.Mandate = "" },
		`"2026-13-01": not a date`:         func(p *sepa.Payment) { p.Signed = "2026-13-01" },
		"after the collection":             func(p *sepa.Payment) { p.Signed = "2026-12-02" },
		`sequence "X"`:                     func(p *sepa.Payment) { p.Sequence = "X" },
		"its check digits are wrong":       func(p *sepa.Payment) { p.Party.IBAN = "AT611904300234573202" },
		`iban "": not two capital letters`: func(p *sepa.Payment) { p.Party.IBAN = "" },
		`bic "X"`:                          func(p *sepa.Payment) { p.Party.BIC = "X" },
		"city":                             func(p *sepa.Payment) { p.Party.City = strings.Repeat("x", 36) },
	} {
		p := payment(1, change)
		err := sepa.Check(&p, true)
		if got := fmt.Sprint(err); (err == nil) != (want == "") || want != "" && !strings.Contains(got, want) {
			t.Errorf("got %v, want %q", err, want)
		}
		m := message(1)
		m.Payments[0] = p
		if _, err := m.Debits(); (err == nil) != (want == "") {
			t.Errorf("a message with it: %v", err)
		}
	}
	if sepa.CheckCreditorID("DE97ZZZ09999999999") == nil || sepa.CheckCreditorID("DE98ABC09999999999") != nil {
		t.Error("creditor ids: the check digits leave out the business code")
	}
	if _, err := new(sepa.Message).Debits(); err == nil {
		t.Error("a message without payments is written")
	}
}

// With the schemas of ISO 20022, which no package of Go, npm or Debian carries, the files are held against them.
func TestSchema(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("SEPA_SCHEMA")
	if dir == "" {
		t.Skip("SEPA_SCHEMA names no folder with pain.008.001.08.xsd and pain.001.001.09.xsd")
	}
	debits, err1 := message(5).Debits()
	credits, err2 := message(5).Credits()
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	for name, doc := range map[string][]byte{"pain.008.001.08.xsd": debits, "pain.001.001.09.xsd": credits} {
		cmd := exec.Command("xmllint", "--noout", "--schema", filepath.Join(dir, name), "-")
		cmd.Stdin = strings.NewReader(string(doc))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}
