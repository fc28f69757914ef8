package sepa_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/lamppost/lamppost/internal/sepa"
)

const head = `<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt><Stmt><Acct><Id><IBAN>DE02120300000000202051</IBAN></Id></Acct>`
const tail = `</Stmt></BkToCstmrStmt></Document>`

func ntry(inside string) string {
	return `<Ntry><Amt Ccy="EUR">10.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts><BookgDt><Dt>2026-03-02</Dt></BookgDt>` + inside + `</Ntry>`
}

// entries reads a statement: a line for each entry, and the error.
func entries(text string) (lines []string) {
	err := sepa.Read(strings.NewReader(text), func(e *sepa.Entry) error {
		lines = append(lines, fmt.Sprintf("%s %s %v e2e=%s text=%s of=%s,%s back=%s problem=%s", strings.TrimPrefix(e.Reference, e.Account), e.Amount, e.Credit, e.EndToEnd, e.Text,
			e.Name, e.IBAN, e.Returned, e.Problem))
		return nil
	})
	if err != nil {
		lines = append(lines, err.Error())
	}
	return lines
}

// Entries are read with what matching needs; those that say too little say so; a reference is never there twice.
func TestRead(t *testing.T) {
	t.Parallel()
	detail := func(inside string) string { return `<NtryDtls><TxDtls>` + inside + `</TxDtls></NtryDtls>` }
	for _, c := range []struct{ text, want string }{
		{head + ntry(`<AcctSvcrRef>R</AcctSvcrRef>`+detail(`<Refs><EndToEndId>a-1</EndToEndId></Refs><RmtInf><Ustrd>x</Ustrd><Ustrd>y</Ustrd></RmtInf>`)) + tail,
			"/R 10.00 true e2e=a-1 text=x y of=, back= problem="},
		{head + ntry(`<AcctSvcrRef>R</AcctSvcrRef>`) + ntry(`<AcctSvcrRef>R</AcctSvcrRef>`) + tail, "/R 10.00 true e2e= text= of=, back= problem=\n/R#2 10.00 true e2e= text= of=, back= problem="},
		{head + ntry(`<RvslInd>true</RvslInd><AcctSvcrRef>R</AcctSvcrRef>`) + tail, "/R 10.00 true e2e= text= of=, back=reversal problem="},
		{head + ntry(`<AcctSvcrRef>R</AcctSvcrRef><NtryDtls><TxDtls><Amt Ccy="EUR">4</Amt></TxDtls><TxDtls><Amt Ccy="EUR">6.00</Amt></TxDtls></NtryDtls>`) + tail,
			"/R/1 4.00 true e2e= text= of=, back= problem=\n/R/2 6.00 true e2e= text= of=, back= problem="},
		{head + ntry(`<AcctSvcrRef>R</AcctSvcrRef><NtryDtls><TxDtls><Amt Ccy="EUR">4</Amt></TxDtls><TxDtls><Amt Ccy="EUR">5.00</Amt></TxDtls></NtryDtls>`) + tail,
			"/R 10.00 true e2e= text= of=, back= problem=its 2 payments do not add up to it"},
		{strings.Replace(head+ntry(`<AcctSvcrRef>R</AcctSvcrRef>`)+tail, "10.00", "-10", 1), "/R 0.00 true e2e= text= of=, back= problem=its amount \"-10\" is none"},
		{strings.Replace(head+ntry(`<AcctSvcrRef>R</AcctSvcrRef>`)+tail, "<IBAN>DE02120300000000202051</IBAN>", "", 1), "/R 10.00 true e2e= text= of=, back= problem=its statement names no IBAN"},
		{"<Document><x/></Document>", `line 1: it begins with "Document" of "": not a statement in camt.053.001.08`},
		{head + ntry(""), "/x" + "@" + " 10.00 true e2e= text= of=, back= problem=\nline 1: XML syntax error on line 1: unexpected EOF"},
		{"", "line 1: it ends before its end"},
		{head + ntry(`<AcctSvcrRef>`+strings.Repeat("R", 5000)+`</AcctSvcrRef>`) + tail, "line 1: an entry has a text of more than 4096 bytes"},
		{head + ntry(strings.Repeat(" ", 17<<20)) + tail, "line 1: an entry of more than 16777216 bytes"},
	} {
		got := strings.Join(entries(c.text), "\n")
		if i := strings.Index(c.want, "@"); i >= 0 && len(got) > i+24 {
			got = got[:i] + "@" + got[i+24:] // a hash
		}
		if got != c.want {
			t.Errorf("%.300s\n got %s\nwant %s", c.text, got, c.want)
		}
	}
}

// The same statement gives the same references, also where the bank gives none.
func TestReferencesStay(t *testing.T) {
	t.Parallel()
	text := head + ntry("<NtryRef>1</NtryRef>") + ntry("<NtryRef>1</NtryRef>") + ntry("<NtryRef>2</NtryRef>") + tail
	first, again := entries(text), entries(text)
	if strings.Join(first, "\n") != strings.Join(again, "\n") || len(first) != 3 || first[0] == first[1] || first[1] == first[2] {
		t.Errorf("first\n%q\nagain\n%q", first, again)
	}
}

// Whatever a file says: no panic, no amount below zero, and no entry without a reference.
func FuzzRead(f *testing.F) {
	f.Add(head + ntry(`<AcctSvcrRef>R</AcctSvcrRef>`) + tail)
	f.Add(head + ntry(`<NtryDtls><TxDtls><Amt Ccy="EUR">4</Amt><RtrInf/></TxDtls><TxDtls><Amt Ccy="EUR">6</Amt></TxDtls></NtryDtls>`) + tail)
	f.Fuzz(func(t *testing.T, text string) {
		_ = sepa.Read(strings.NewReader(text), func(e *sepa.Entry) error {
			if e.Amount < 0 || e.Reference == "" {
				t.Fatalf("an entry of %+v", e)
			}
			return nil
		})
	})
}
